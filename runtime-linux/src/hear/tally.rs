//! What is kept of a run: each kind of refusal and each program once, with how often.

use aido_runtime::{Cause, Executed, Refusal};
use std::collections::HashMap;

/// Kinds that are told apart; what comes after these is counted together.
const MOST_KINDS: usize = 256;
/// … of which so many may be about what is missing: programs look for many things that are not there.
const MOST_ABSENT: usize = 128;
const MOST_PROGRAMS: usize = 256;
const OTHERS: &str = "others";

#[derive(Default)]
pub(super) struct Tally {
    refused: Vec<Refusal>,
    absent: usize,
    executed: Vec<Executed>,
    places: HashMap<String, usize>,
}

impl Tally {
    /// The refusal back, if it is the first of its kind.
    pub(super) fn refused(&mut self, refusal: Refusal) -> Option<Refusal> {
        let same = |known: &&mut Refusal| match refusal.cause {
            Cause::Profile => {
                (known.number, &known.detail, &known.process) == (refusal.number, &refusal.detail, &refusal.process)
            }
            cause => {
                (known.cause, &known.target, &known.process) == (cause, &refusal.target, &refusal.process)
                    && known.target.is_some()
            }
        };
        if let Some(known) = self.refused.iter_mut().find(same) {
            known.count += 1;
            return None;
        }
        let absent = usize::from(refusal.cause == Cause::Absent);
        // The last place is that of the others.
        if self.refused.len() < MOST_KINDS && self.absent + absent <= MOST_ABSENT {
            self.absent += absent;
            self.refused.push(refusal.clone());
            return Some(refusal);
        }
        if let Some(others) = self.refused.iter_mut().find(|known| known.number == -1) {
            others.count += 1;
            return None;
        }
        let others = Refusal {
            call: OTHERS.into(),
            number: -1,
            detail: None,
            process: String::new(),
            cause: Cause::Profile,
            target: None,
            place: None,
            ..refusal
        };
        self.refused.push(others.clone());
        Some(others)
    }

    pub(super) fn executed(&mut self, program: &str) {
        let program = match self.places.get(program) {
            Some(place) => {
                self.executed[*place].count += 1;
                return;
            }
            None if self.executed.len() < MOST_PROGRAMS => program,
            None => OTHERS,
        };
        let place = *self.places.entry(program.to_string()).or_insert(self.executed.len());
        match self.executed.get_mut(place) {
            Some(known) => known.count += 1,
            None => self.executed.push(Executed { program: program.to_string(), count: 1 }),
        }
    }

    /// Each kind once, and each program.
    pub(super) fn into_lists(self) -> (Vec<Refusal>, Vec<Executed>) {
        (self.refused, self.executed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(cause: Cause, target: &str) -> Refusal {
        Refusal {
            call: "openat".into(),
            number: 257,
            detail: None,
            answer: "EROFS".into(),
            cause,
            target: Some(target.into()),
            place: None,
            process: "sh".into(),
            pid: 1,
            count: 1,
        }
    }

    #[test]
    fn kinds_are_bounded_and_what_is_missing_leaves_room_for_the_rest() {
        let mut tally = Tally::default();
        let told = (0..1000).filter_map(|n| tally.refused(about(Cause::Absent, &n.to_string()))).count();
        assert_eq!(told, MOST_ABSENT + 1);
        assert!(tally.refused(about(Cause::ReadOnly, "/usr/x")).is_some(), "no room for what matters");
        assert!(tally.refused(about(Cause::ReadOnly, "/usr/x")).is_none());
        (0..1000).for_each(|n| drop(tally.refused(about(Cause::Denied, &n.to_string()))));
        let (refused, _) = tally.into_lists();
        assert_eq!(refused.len(), MOST_KINDS);
        assert_eq!(refused.iter().map(|r| r.count).sum::<u64>(), 2002);
        assert_eq!(refused.iter().filter(|r| r.call == OTHERS && r.target.is_none()).count(), 1);
    }

    #[test]
    fn programs_are_counted_and_bounded() {
        let mut tally = Tally::default();
        for program in 0..1000 {
            (0..2).for_each(|_| tally.executed(&format!("/bin/{program}")));
        }
        let (_, executed) = tally.into_lists();
        assert_eq!((executed.len(), executed[0].count), (MOST_PROGRAMS + 1, 2));
        let last = executed.last().unwrap();
        assert_eq!((last.program.as_str(), last.count), (OTHERS, 2 * (1000 - MOST_PROGRAMS as u64)));
    }
}
