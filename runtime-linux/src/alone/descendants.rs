//! Keeping processes together without a PID namespace: whoever loses its parent becomes a child of the nearest
//! process above it that adopts orphans, so nothing that a task starts gets out of this family.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long killing what a task left may take. It forks at most as fast as its bounds let it.
const PATIENCE: Duration = Duration::from_secs(5);

/// From now on orphans of this process's family become its children.
pub fn adopt() -> std::io::Result<()> {
    rustix::process::set_child_subreaper(Pid::from_raw(1)).map_err(Into::into)
}

/// Sends a signal to every descendant of this process.
pub(super) fn signal(number: i32) {
    let Some(signal) = Signal::from_named_raw(number) else { return };
    let me = std::process::id() as i32;
    for pid in of(me, &parents()) {
        send(pid, me, signal);
    }
}

/// Kills every descendant, and what has lost its parent on the way, and collects them all; false if some outlast it.
/// Statuses of children are lost: for who needs none, or holds them by descriptor.
pub fn end() -> bool {
    let me = std::process::id() as i32;
    let until = Instant::now() + PATIENCE;
    loop {
        collect();
        let living = of(me, &parents());
        if living.is_empty() {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        // Whoever is stopped starts no other one while the rest of the family is looked up.
        for signal in [Signal::STOP, Signal::KILL] {
            for pid in &living {
                send(*pid, me, signal);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Takes the statuses of children that have ended; they are of no interest.
fn collect() {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

/// A number may be somebody else's by now; a descriptor cannot, so the family is looked at once more.
fn send(pid: i32, me: i32, signal: Signal) {
    let Some(number) = Pid::from_raw(pid) else { return };
    let Ok(held) = pidfd_open(number, PidfdFlags::empty()) else { return };
    if is_descendant(pid, me, &|pid| parent(pid)) {
        let _ = pidfd_send_signal(held, signal);
    }
}

/// Every process and its parent.
fn parents() -> HashMap<i32, i32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, parent(pid)?))).collect()
}

/// The fourth field of `/proc/PID/stat`, the second after the last `)`. Those that have ended do not count.
fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // A process that has ended and still has children had them adopted already.
    (!matches!(state, "Z" | "X")).then_some(parent)
}

fn of(me: i32, parents: &HashMap<i32, i32>) -> Vec<i32> {
    let parent = |pid| parents.get(&pid).copied();
    parents.keys().copied().filter(|pid| is_descendant(*pid, me, &parent)).collect()
}

/// Whether `pid` is below `me`. A table that was read while it changed may have a circle.
fn is_descendant(pid: i32, me: i32, parent: &dyn Fn(i32) -> Option<i32>) -> bool {
    let mut at = pid;
    for _ in 0..4096 {
        match parent(at) {
            Some(above) if above == me => return true,
            Some(above) if above > 1 => at = above,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_is_what_hangs_below() {
        let parents = HashMap::from([(10, 1), (11, 10), (12, 11), (13, 12), (20, 1), (30, 31), (31, 30)]);
        let mut found = of(10, &parents);
        found.sort_unstable();
        assert_eq!(found, [11, 12, 13]);
        assert!(of(13, &parents).is_empty());
    }
}
