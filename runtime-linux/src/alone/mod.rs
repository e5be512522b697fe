//! The second mechanism: Landlock, a filter of system calls and limits of processes alone, for hosts that allow no
//! namespaces. It holds less than a sandbox does, says so in every record, and is only ever chosen by name.
//!
//! The task runs on the host's own root. What it may see of the project is laid out as links in a folder of the
//! run's own ([`view`]); Landlock refuses to open anything else. Its processes are kept together by being orphans
//! of its guard's or of the supervisor's ([`descendants`]).

mod descendants;
mod guard;
mod view;

pub use descendants::{adopt as adopt_orphans, end as end_descendants};
pub(crate) use view::{View, translated};

use crate::cgroup::Group;
use crate::child::Ends;
use crate::clone::Guard;
use crate::script::Script;
use crate::sys;
use aido_runtime::Error;
use std::os::fd::AsFd;

/// Makes the guard of a run. In the child it never returns.
pub(crate) fn fork(script: &Script, ends: &Ends, group: Option<&Group>) -> Result<Guard, Error> {
    adopt_orphans().map_err(|e| Error::new(format!("cannot look after what a task leaves behind: {e}")))?;
    let failed = |e: std::io::Error| Error::new(format!("cannot make the task's guard: {e}"));
    let pid = sys::fork().map_err(|e| failed(e.into()))?;
    if pid == 0 {
        guard::main(script, ends)
    }
    let held = rustix::process::Pid::from_raw(pid)
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
    let guard = Guard { pid, pidfd: held.map_err(|e| failed(e.into()))? };
    if let Some(group) = group
        && let Err(e) = group.add(pid)
    {
        let _ = rustix::process::pidfd_send_signal(guard.pidfd.as_fd(), rustix::process::Signal::KILL);
        crate::spawn::wait(&guard);
        return Err(Error::new(format!("cannot move the task into its cgroup: {e}")));
    }
    Ok(guard)
}
