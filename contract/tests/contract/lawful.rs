//! What holds of every run, whatever its case is about.

use aido_runtime::{Control, End, Error, Event, Force, Outcome, Plan};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// What an engine may take beside the task's own time: images are there, nothing is pulled.
const AROUND: Duration = Duration::from_secs(30);
/// From the moment when everything must be dead to the moment when the end is told.
const SLACK: Duration = Duration::from_secs(5);

/// Names, sizes, modes, owners and times of everything below.
pub(crate) fn look(folder: &Path) -> BTreeMap<String, (u64, u32, u32, i64)> {
    let mut seen = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        // One that is closed to this user stays closed.
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            let size = if found.is_dir() { 0 } else { found.size() };
            let name = entry.path().to_string_lossy().into_owned();
            seen.insert(name, (size, found.mode(), found.uid(), found.mtime()));
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    seen
}

fn kind(event: &Event) -> Option<u8> {
    match event {
        Event::Held { .. } => Some(0),
        Event::Enforced { .. } => Some(1),
        Event::Started { .. } => Some(2),
        Event::Signalled { .. } | Event::DeadlineReached { .. } | Event::OutputTruncated { .. } => Some(3),
        // Heard by a thread of its own.
        Event::Executed(_) | Event::Refused(_) => None,
        Event::Ended => Some(4),
        Event::Collected(_) => Some(5),
    }
}

/// Order and number of the events, and that every control has an answer.
pub(crate) fn events(plan: &Plan, outcome: &Outcome, events: &[(Instant, Event)]) {
    let events: Vec<&Event> = events.iter().map(|(_, event)| event).collect();
    let order: Vec<u8> = events.iter().filter_map(|event| kind(event)).collect();
    let names = || events.iter().map(|event| format!("{event:?}").chars().take(40).collect()).collect::<Vec<String>>();
    assert!(order.is_sorted(), "the events came out of order: {:?}", names());
    let count = |number: u8| order.iter().filter(|kind| **kind == number).count();
    assert_eq!((count(1), count(4), count(5)), (1, 1, 1), "each of Enforced, Ended, Collected once: {:?}", names());
    let ran = !matches!(outcome.end, End::NotFound { .. } | End::NotExecutable { .. } | End::Refused { .. });
    assert_eq!(count(2), usize::from(ran), "Started, if the task was: {:?}", names());
    let reached = events.iter().filter(|event| matches!(event, Event::DeadlineReached { .. })).count();
    assert_eq!(reached > 0, matches!(outcome.end, End::Deadline { .. }), "{:?}: {:?}", outcome.end, names());
    for event in events {
        let Event::Enforced { controls } = event else { continue };
        for control in Control::ALL {
            let standing = controls.get(control).unwrap_or_else(|| panic!("nothing is said of {control}"));
            match standing.force {
                Force::InForce => assert!(!standing.by.is_empty(), "{control} is in force by nothing"),
                Force::Weaker | Force::Absent => {
                    assert!(
                        standing.why.as_ref().is_some_and(|why| !why.is_empty()),
                        "{control} lacks without a reason"
                    );
                }
            }
            let lacks = standing.force != Force::InForce;
            let asked = [
                (Control::Memory, plan.limits.memory),
                (Control::Cpus, plan.limits.cpus),
                (Control::Pids, plan.limits.pids),
            ];
            let required = asked.iter().any(|(c, limit)| *c == control && limit.origin == aido_runtime::Origin::Asked);
            assert!(
                !(lacks && required && !plan.accept_weaker.contains(&control)),
                "{control} was asked for, and lacks"
            );
        }
    }
}

/// A run takes no longer than it was given, and its own account of that is true.
pub(crate) fn times(plan: &Plan, outcome: &Outcome, events: &[(Instant, Event)], begun: Instant, returned: Instant) {
    let at = |which: fn(&Event) -> bool| events.iter().find(|(_, event)| which(event)).map(|(at, _)| *at);
    let given = Duration::from_millis(plan.deadline.ttl_ms + plan.deadline.grace_ms);
    assert!(returned - begun < given + AROUND, "it took {:?}", returned - begun);
    let (Some(started), Some(ended)) = (at(|e| matches!(e, Event::Started { .. })), at(|e| matches!(e, Event::Ended)))
    else {
        return;
    };
    assert!(ended - started < given + SLACK, "the task took {:?} and was given {given:?}", ended - started);
    let wall = Duration::from_millis(outcome.usage.wall_ms);
    assert!(wall <= returned - begun, "the account says {wall:?}, and all of it took {:?}", returned - begun);
    assert!(wall + SLACK > ended - started, "the account says {wall:?}, and the task took {:?}", ended - started);
}

/// Nothing started, and the words are for a person.
pub(crate) fn refused(error: &Error, events: &[(Instant, Event)]) {
    assert!(!error.what.trim().is_empty(), "refused without a word");
    let started = events.iter().any(|(_, event)| matches!(event, Event::Started { .. }));
    assert!(!started, "an error means that the task was not started: {}; {events:?}", error.what);
}
