//! What became of a run, and questions that cases ask of it.

use crate::engines::Kind;
use crate::heard::holds;
use aido_runtime::{Artifact, Collected, Control, End, Enforced, Event, Force, Outcome};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A run that is over.
pub(crate) struct Ran {
    pub(crate) kind: Kind,
    pub(crate) outcome: Outcome,
    pub(crate) events: Vec<(Instant, Event)>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) folder: tempfile::TempDir,
}

impl Ran {
    /// All of it, for whoever reads that a case failed.
    pub(crate) fn account(&self) -> String {
        let cut = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(3000)]).into_owned();
        let events: Vec<&Event> =
            self.events.iter().map(|(_, event)| event).filter(|e| !matches!(e, Event::Enforced { .. })).collect();
        format!(
            "on {}: {:?}\nstdout: {}\nstderr: {}\nevents: {events:?}",
            self.kind.name(),
            self.outcome.end,
            cut(&self.stdout),
            cut(&self.stderr)
        )
    }

    #[track_caller]
    pub(crate) fn ends(&self, end: &End) -> &Self {
        assert_eq!(&self.outcome.end, end, "{}", self.account());
        self
    }

    #[track_caller]
    pub(crate) fn exits(&self, code: u8) -> &Self {
        self.ends(&End::Exited { code })
    }

    /// All of its standard output.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert_eq!(String::from_utf8_lossy(&self.stdout), text, "{}", self.account());
        self
    }

    #[track_caller]
    pub(crate) fn mentions(&self, text: &str) -> &Self {
        assert!(holds(&self.stdout, text.as_bytes()), "`{text}` is not in the output; {}", self.account());
        self
    }

    #[track_caller]
    pub(crate) fn is_silent_about(&self, text: &str) -> &Self {
        let both = [&self.stdout, &self.stderr];
        assert!(!both.iter().any(|bytes| holds(bytes, text.as_bytes())), "`{text}` was said; {}", self.account());
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The word after `name` in a line of its standard output.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> String {
        let text = self.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no line `{name} …`; {}", self.account())).trim().to_string()
    }

    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.value(name).split(' ').next().and_then(|word| word.parse().ok()).expect("a number")
    }

    pub(crate) fn enforced(&self) -> &Enforced {
        let enforced = self.events.iter().find_map(|(_, event)| match event {
            Event::Enforced { controls } => Some(controls),
            _ => None,
        });
        enforced.expect("what was in force")
    }

    pub(crate) fn force(&self, control: Control) -> Force {
        self.enforced().get(control).expect("every control stands in it").force
    }

    pub(crate) fn collected(&self) -> &Collected {
        let collected = self.events.iter().find_map(|(_, event)| match event {
            Event::Collected(collected) => Some(collected),
            _ => None,
        });
        collected.expect("what was collected")
    }

    /// Where outputs were brought to.
    pub(crate) fn outputs(&self) -> PathBuf {
        self.folder.path().join("outputs")
    }

    /// A collected file's content.
    #[track_caller]
    pub(crate) fn file(&self, path: &str) -> Vec<u8> {
        let read = std::fs::read(self.outputs().join(path));
        read.unwrap_or_else(|e| panic!("{path} was not brought out: {e}; {}", self.account()))
    }

    #[track_caller]
    pub(crate) fn artifact(&self, path: &str) -> &Artifact {
        let found = self.collected().artifacts.iter().find(|artifact| artifact.path == path);
        found.unwrap_or_else(|| panic!("{path} is not listed; {}", self.account()))
    }

    /// Why it was left out.
    #[track_caller]
    pub(crate) fn omitted(&self, path: &str) -> &str {
        let found = self.collected().omitted.iter().find(|omitted| omitted.path == path);
        &found.unwrap_or_else(|| panic!("{path} is not listed as left out; {}", self.account())).why
    }

    /// From the start of the task to its end.
    pub(crate) fn lasted(&self) -> Duration {
        let at = |which: fn(&Event) -> bool| self.events.iter().find(|(_, event)| which(event)).map(|(at, _)| *at);
        let started = at(|event| matches!(event, Event::Started { .. })).expect("a start");
        at(|event| matches!(event, Event::Ended)).expect("an end") - started
    }

    pub(crate) fn has(&self, which: fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, event)| which(event))
    }
}
