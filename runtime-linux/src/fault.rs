//! Places where tests stop aido to kill it, or to have it killed. In debug builds only: a released aido has none.
//!
//! `AIDO_FAULT` names one of [`POINTS`]. The process that comes there calls itself `aido-fault` and waits, holding
//! still, until it is killed or gets SIGUSR1; then it goes on, as if nothing had been. Usable after the clone: no
//! heap, no lock.

/// All of them. What comes before the dot says whose they are, and so which command comes there.
pub const POINTS: &[&str] = &[
    // The command line of a run: before the supervisor is made, after that, when it has heard of the end.
    "run.forking",
    "run.forked",
    "run.ended",
    // The supervisor: each of its steps.
    "supervise.forked",
    "supervise.sandbox",
    "supervise.begun",
    "supervise.engine",
    "supervise.plan",
    "supervise.inputs",
    "supervise.held",
    "supervise.grouped",
    "supervise.cloned",
    "supervise.built",
    "supervise.enforced",
    "supervise.started",
    "supervise.output",
    "supervise.deadline",
    "supervise.killed",
    "supervise.ended",
    "supervise.collected",
    "supervise.outcome",
    "supervise.over",
    "supervise.sealed",
    "supervise.told",
    "supervise.settled",
    // The sandbox's first process, and the task's before it is confined.
    "guard.born",
    "guard.bound",
    "guard.standing",
    "guard.forked",
    "task.forked",
    // `sandbox up` and the keeper.
    "up.drafted",
    "up.keeper",
    "up.published",
    "keeper.begun",
    "keeper.named",
    "keeper.due",
    "keeper.ended",
    // `sandbox destroy`, and a command that closes what another left.
    "destroy.ended",
    "destroy.removed",
    "recover.held",
    "recover.closed",
    "recover.expired",
];

/// The variable that names a point.
const VARIABLE: &str = "AIDO_FAULT";

#[cfg(debug_assertions)]
mod armed {
    use super::{POINTS, VARIABLE};
    use nix::sys::signal::{SigSet, Signal};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// One more than the place in the list; zero: none.
    static CHOSEN: AtomicUsize = AtomicUsize::new(0);

    /// Reads the variable, before anything else. A name that is none ends the process: the test would prove nothing.
    pub fn arm() {
        let Some(name) = std::env::var_os(VARIABLE) else { return };
        match POINTS.iter().position(|point| name == *point) {
            Some(at) => CHOSEN.store(at + 1, Ordering::Relaxed),
            None => {
                eprintln!("aido: {VARIABLE}={} is no fault point", name.display());
                std::process::exit(125)
            }
        }
    }

    /// Waits here if this is the chosen point.
    pub fn point(name: &'static str) {
        let chosen = CHOSEN.load(Ordering::Relaxed);
        if chosen != 0 && POINTS.get(chosen - 1).is_some_and(|point| *point == name) {
            hold();
        }
    }

    fn hold() {
        let mut go_on = SigSet::empty();
        go_on.add(Signal::SIGUSR1);
        let _ = go_on.thread_block();
        let _ = rustix::thread::set_name(c"aido-fault");
        while go_on.wait().is_err() {}
        // Once is enough.
        CHOSEN.store(0, Ordering::Relaxed);
        let _ = rustix::thread::set_name(c"aido");
        let _ = go_on.thread_unblock();
    }

    /// What a process needs to be given that gets no other variable.
    pub fn passed_on() -> Option<(&'static str, std::ffi::OsString)> {
        Some((VARIABLE, std::env::var_os(VARIABLE)?))
    }
}

#[cfg(not(debug_assertions))]
mod armed {
    #[inline(always)]
    pub fn arm() {}

    #[inline(always)]
    pub fn point(_: &'static str) {}

    #[inline(always)]
    pub fn passed_on() -> Option<(&'static str, std::ffi::OsString)> {
        let _ = super::VARIABLE;
        None
    }
}

pub use armed::{arm, passed_on, point};

#[cfg(test)]
mod tests {
    use super::POINTS;

    #[test]
    fn names_are_their_own() {
        let mut names = POINTS.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), POINTS.len());
        assert!(names.iter().all(|name| name.split('.').count() == 2));
    }
}
