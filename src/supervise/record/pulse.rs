//! From a task's end to the seal: the command line hears that it goes on, and how far outputs are brought out.

use super::{Recorder, SIGTERM};
use crate::supervise::link::News;
use aido_runtime::Command;
use std::time::{Duration, Instant};

/// How often the command line hears that the end of a run goes on.
const BEAT: Duration = Duration::from_secs(1);

/// While outputs are brought out.
pub(super) struct Pulse {
    until: Instant,
    /// When the command line heard it last.
    said: Instant,
    /// Bytes so far; none when they are out.
    collected: Option<u64>,
}

impl Recorder {
    /// From here on there is only copying and sealing.
    pub(super) fn closing(&mut self) {
        self.tell(&News::Over);
        // Without a pulse the command line's patience is shorter; that is no reason to fail.
        if self.ears.beat_every(BEAT) {
            let now = Instant::now();
            self.pulse = Some(Pulse { until: now + self.collecting, said: now, collected: Some(0) });
        }
    }

    pub(in crate::supervise) fn beat(&mut self) {
        let Some(pulse) = &mut self.pulse else { return };
        let due = self.ears.take_beat() && pulse.said.elapsed() > BEAT / 2;
        if let Some(link) = self.link.as_ref().filter(|_| due) {
            link.say(&News::Closing { collected: pulse.collected });
            pulse.said = Instant::now();
        }
        if Instant::now() > pulse.until {
            self.warnings.push(format!("the outputs were not brought out within {:?}", self.collecting));
            self.pulse = None;
            self.ears.beat_never();
            self.wishes.push_back(Command::Interrupt(SIGTERM));
        }
    }

    pub(super) fn note_collected(&mut self, bytes: Option<u64>) {
        if let Some(pulse) = &mut self.pulse {
            pulse.collected = bytes;
        }
    }
}
