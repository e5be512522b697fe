//! The guard of a task that has no PID namespace. A fork of the supervisor, which has one thread, so the heap is as
//! whole as it was there. It outlives its supervisor for just as long as it takes to end the task and all that it started.

use super::descendants;
use crate::child::{self, At, Ends, Failure, Stage};
use crate::script::{Script, Step};
use crate::wire::{LENGTH, Order, Report};
use crate::{sys, task};
use rustix::fd::RawFd;
use rustix::fs::Mode;
use std::time::{Duration, Instant};

/// Where the guard begins. Never returns.
pub(super) fn main(script: &Script, ends: &Ends) -> ! {
    match build(script, ends).and_then(|stage| task::start(script, ends, &stage)) {
        Ok(task) => watch(script, ends.control, task),
        Err((step, index, errno)) => {
            let _ = sys::send(ends.control, &Report::Failed { step, index, errno: errno.0 }.encode(), &[]);
            descendants::end();
            sys::leave(1)
        }
    }
}

/// What the guard of a whole sandbox does before and after it builds one.
fn build(script: &Script, ends: &Ends) -> Result<Stage, Failure> {
    child::enter_groups(ends)?;
    let mut kept = [ends.control, ends.stdin, ends.stdout, ends.stderr, ends.started];
    sys::close_all_but(3, &mut kept).at(Step::Guard)?;
    child::expect(ends.control, Order::Build)?;
    sys::reset_signals();
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).at(Step::Guard)?;
    sys::wipe(script.strings);
    rustix::process::setsid().at(Step::Guard)?;
    descendants::adopt().map_err(|e| (Step::Guard, 0, sys::Errno(e.raw_os_error().unwrap_or(libc::EINVAL))))?;
    rustix::process::umask(Mode::empty());
    let wall = script.wall.as_ref().map(child::raise).transpose().at(Step::Wall)?;
    sys::send(ends.control, &Report::Built.encode(), &[]).at(Step::Report)?;
    child::expect(ends.control, Order::Start)?;
    Ok(Stage { wall, terminal: None })
}

/// Reaps, passes signals on, reports how the task ended, and ends what it left.
fn watch(script: &Script, control: RawFd, task: i32) -> ! {
    // Not with its parent: somebody must end what the task started.
    let _ = rustix::process::set_parent_process_death_signal(None);
    if sys::place_for_now(control, 0).is_err() || sys::close_from(1).is_err() {
        end(1)
    }
    let Ok(children) = sys::child_watch() else { end(1) };
    crate::guard::confine(script);
    let until = Instant::now() + Duration::from_millis(u64::try_from(script.backstop_ms).unwrap_or_default());
    loop {
        while let Some((pid, status)) = sys::reap() {
            if pid == task {
                let _ = sys::send(0, &Report::Ended { status }.encode(), &[]);
                end(0)
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        let timeout = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        let (Ok([order, child]), false) = (sys::wait_readable([0, children], timeout), left.is_zero()) else {
            end(124)
        };
        if child {
            sys::drain(children);
        }
        if order {
            obey(task)
        }
    }
}

fn obey(task: i32) {
    let mut packet = [0; LENGTH];
    let length = sys::read(0, &mut packet).unwrap_or(0);
    match packet.get(..length).and_then(Order::decode) {
        Some(Order::Signal(signal)) => sys::signal(task, signal),
        Some(Order::SignalAll(signal)) => descendants::signal(signal),
        // The supervisor is gone, or out of its mind: end everything.
        _ => end(1),
    }
}

fn end(status: i32) -> ! {
    descendants::end();
    sys::leave(status)
}
