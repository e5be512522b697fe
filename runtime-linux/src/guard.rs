//! The sandbox's first process once it is built. Runs after the clone, like [`crate::child`]: no heap, no formatting,
//! no panic, no destructor, no lock.

use crate::script::{Script, Step};
use crate::sys;
use crate::wire::{LENGTH, Order, Report};
use rustix::fd::RawFd;

/// The first process of the sandbox: reaps, passes signals on, reports how the task ended. When it
/// leaves, the kernel ends everything else in the sandbox.
pub(crate) fn guard(script: &Script, control: RawFd, task: i32) -> ! {
    // One descriptor and nothing else. The filter comes after that, since it leaves no way to look them up.
    if sys::place_for_now(control, 0).is_err() || sys::close_from(1).is_err() {
        sys::leave(1)
    }
    let Ok(children) = sys::child_watch() else { sys::leave(1) };
    confine(script);
    // What built the sandbox is not needed any more.
    sys::let_go();
    let started = sys::now_ms();
    loop {
        while let Some((pid, status)) = sys::reap() {
            if pid == task {
                let _ = sys::send(0, &Report::Ended { status }.encode(), &[]);
                sys::leave(0)
            }
        }
        let left = i64::from(script.backstop_ms) - (sys::now_ms() - started);
        let (Ok([order, child]), true) = (sys::wait_readable([0, children], left.max(0) as i32), left > 0) else {
            sys::leave(124)
        };
        if child {
            sys::drain(children);
        }
        if order {
            obey(task)
        }
    }
}

/// Puts the guard, whose socket stands on 0, under its filter.
pub(crate) fn confine(script: &Script) {
    if let Err(errno) = sys::filter::install(script.guard_filter) {
        let _ = sys::send(0, &Report::Failed { step: Step::Filter, index: 0, errno: errno.0 }.encode(), &[]);
        sys::leave(1)
    }
}

fn obey(task: i32) {
    let mut packet = [0; LENGTH];
    let length = sys::read(0, &mut packet).unwrap_or(0);
    match packet.get(..length).and_then(Order::decode) {
        Some(Order::Signal(signal)) => sys::signal(task, signal),
        Some(Order::SignalAll(signal)) => sys::signal(-1, signal),
        // The supervisor is gone, or out of its mind: end everything.
        _ => sys::leave(1),
    }
}
