//! How long the command line waits for the supervisor: it is the deadline's second owner. A supervisor
//! that was stopped, or that hangs, must not hold anybody up.

use super::timer::Timer;
use crate::supervise::link::News;
use aido_runtime::{Deadline, Error};

/// After limit and grace the supervisor kills; so long it may take to do so and to say it.
pub(crate) const MARGIN_MS: u64 = 10_000;
/// While it brings outputs out it says every second that it is at it; sealing says nothing.
const SILENCE_MS: u64 = 30_000;

/// Who looks at the clock so much later did not run in between.
const LATE_MS: u64 = 3_000;

/// Why the supervisor is not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// The sandbox never stood.
    Building,
    /// The time limit of so many milliseconds passed, and the grace.
    Deadline { ttl_ms: u64 },
    /// It was asked to end with this signal, and did not.
    Interrupted { signal: i32 },
    /// The task is over, but its record was not sealed.
    Closing,
}

/// The moments, on the clock that also runs while the machine sleeps.
pub(crate) struct Patience {
    timer: Timer,
    until: Until,
}

impl Patience {
    /// `building_ms`: until the task is about to start.
    pub(crate) fn new(deadline: Deadline, building_ms: u64) -> Result<Patience, Error> {
        let until = Until::new(deadline, building_ms, aido_evidence::boottime_ms());
        let patience = Patience { timer: Timer::new()?, until };
        patience.set()?;
        Ok(patience)
    }

    /// The supervisor has said something.
    pub(crate) fn heard(&mut self, news: &News) -> Result<(), Error> {
        self.until.heard(news, aido_evidence::boottime_ms());
        self.set()
    }

    /// The supervisor was told to end the run.
    pub(crate) fn asked_to_end(&mut self, signal: i32) -> Result<(), Error> {
        self.until.asked_to_end(signal, aido_evidence::boottime_ms());
        self.set()
    }

    pub(crate) fn overdue(&mut self) -> Result<Option<Overdue>, Error> {
        let overdue = self.until.overdue(aido_evidence::boottime_ms());
        if overdue.is_none() {
            self.set()?;
        }
        Ok(overdue)
    }

    /// Whether the run's whole time is over, whoever reads its output: nobody is waited for then.
    pub(crate) fn is_spent(&self) -> bool {
        aido_evidence::boottime_ms() >= self.until.spent_ms
    }

    /// Goes off when [`Patience::overdue`] has an answer.
    pub(super) fn timer(&self) -> &Timer {
        &self.timer
    }

    fn set(&self) -> Result<(), Error> {
        self.timer.set(self.until.at_ms)
    }
}

/// The arithmetic, told what time it is.
struct Until {
    deadline: Deadline,
    building_ms: u64,
    at_ms: u64,
    why: Overdue,
    /// Limit, grace and margin from the start on.
    spent_ms: u64,
}

impl Until {
    fn new(deadline: Deadline, building_ms: u64, now: u64) -> Until {
        let at_ms = now + building_ms;
        let mut until = Until { deadline, building_ms, at_ms, why: Overdue::Building, spent_ms: 0 };
        until.spent_ms = now + until.whole();
        until
    }

    fn whole(&self) -> u64 {
        self.deadline.ttl_ms.saturating_add(self.deadline.grace_ms).saturating_add(MARGIN_MS)
    }

    fn heard(&mut self, news: &News, now: u64) {
        match news {
            News::Begun { .. } if self.why == Overdue::Building => self.at_ms = now + self.building_ms,
            // The task starts at the supervisor's next step.
            News::Ready { .. } if self.why == Overdue::Building => {
                self.spent_ms = now + self.whole();
                self.at_ms = self.spent_ms;
                self.why = Overdue::Deadline { ttl_ms: self.deadline.ttl_ms };
            }
            News::Over | News::Closing { .. } => {
                self.at_ms = now + SILENCE_MS;
                self.why = Overdue::Closing;
            }
            _ => {}
        }
    }

    fn asked_to_end(&mut self, signal: i32, now: u64) {
        let soon = now + self.deadline.grace_ms + MARGIN_MS;
        if self.why != Overdue::Closing && soon < self.at_ms {
            self.at_ms = soon;
            self.why = Overdue::Interrupted { signal };
        }
    }

    fn overdue(&mut self, now: u64) -> Option<Overdue> {
        if now >= self.at_ms + LATE_MS {
            // Not the supervisor alone has slept, but the machine or this process: it may act first now.
            self.at_ms = now + self.deadline.grace_ms + MARGIN_MS;
        }
        (now >= self.at_ms).then_some(self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: u64 = 900_000;
    const GRACE: u64 = 5_000;

    fn until(now: u64) -> Until {
        Until::new(Deadline { ttl_ms: TTL, grace_ms: GRACE }, 60_000, now)
    }

    fn ready() -> News {
        News::Ready { warnings: Vec::new() }
    }

    #[test]
    fn every_phase_has_its_bound() {
        let mut until = until(1_000);
        assert_eq!(until.overdue(60_999), None);
        assert_eq!(until.overdue(61_000), Some(Overdue::Building));
        until.heard(&News::Begun { run: String::new(), sandbox: String::new() }, 2_000);
        assert_eq!(until.overdue(61_999), None);
        until.heard(&ready(), 3_000);
        let end = 3_000 + TTL + GRACE + MARGIN_MS;
        assert_eq!(until.overdue(end - 1), None);
        assert_eq!(until.overdue(end), Some(Overdue::Deadline { ttl_ms: TTL }));
        // What the task prints gives it no more time.
        until.heard(&News::Output, end - 1);
        assert_eq!(until.overdue(end), Some(Overdue::Deadline { ttl_ms: TTL }));
        until.heard(&News::Over, end - 1);
        assert_eq!(until.overdue(end + SILENCE_MS - 2), None);
        until.heard(&News::Closing { collected: None }, end + 20_000);
        assert_eq!(until.overdue(end + 20_000 + SILENCE_MS), Some(Overdue::Closing));
    }

    #[test]
    fn a_machine_that_slept_past_the_deadline_is_past_it_when_it_wakes() {
        let mut until = until(0);
        until.heard(&ready(), 1_000);
        // Nothing happens for a day: that is all that a suspended machine is to this clock. The supervisor has
        // slept as well, and may end the run in order.
        let woken = 86_400_000;
        assert_eq!((until.overdue(woken), until.overdue(woken + GRACE + MARGIN_MS - 1)), (None, None));
        assert_eq!(until.overdue(woken + GRACE + MARGIN_MS), Some(Overdue::Deadline { ttl_ms: TTL }));
    }

    #[test]
    fn asking_shortens_the_wait_and_never_lengthens_it() {
        let mut until = until(0);
        until.heard(&ready(), 0);
        until.asked_to_end(2, 10_000);
        let soon = 10_000 + GRACE + MARGIN_MS;
        assert_eq!((until.overdue(soon - 1), until.overdue(soon)), (None, Some(Overdue::Interrupted { signal: 2 })));
        until.asked_to_end(15, 12_000);
        assert_eq!(until.overdue(soon), Some(Overdue::Interrupted { signal: 2 }), "asking again");
        let mut late = Until::new(Deadline { ttl_ms: TTL, grace_ms: GRACE }, 60_000, 0);
        late.heard(&ready(), 0);
        let end = TTL + GRACE + MARGIN_MS;
        late.asked_to_end(2, end - 1);
        assert_eq!(late.overdue(end), Some(Overdue::Deadline { ttl_ms: TTL }));
        late.heard(&News::Over, end - 1);
        late.asked_to_end(2, end);
        assert_eq!(late.overdue(end + GRACE + MARGIN_MS), None, "a record is not given up for an impatient hand");
    }
}
