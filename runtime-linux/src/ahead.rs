//! A user namespace with a range of ids, made ready while the record of a run is begun: the two programs that write its
//! maps take longer than all else of a start.
//!
//! A process holds it, does nothing, and is ended as soon as the sandbox's first process is in it. The keeper of a sandbox that
//! stays has one for as long as it stays.

use crate::clone::{self, Guard, Side, ended};
use crate::ids::IdMap;
use crate::script::Strings;
use crate::spawn;
use crate::subordinate::find_helper;
use crate::sys::{self, Errno};
use aido_runtime::{Isolation, Plan, Root};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{Mode, OFlags, openat};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A user namespace that is ready, or is being made so. Dropped, what was made for it here is ended.
pub struct Ahead {
    ids: IdMap,
    namespace: OwnedFd,
    /// None: somebody else holds it.
    made: Option<Made>,
}

struct Made {
    holder: Guard,
    /// The holder ends when this is closed.
    _leash: OwnedFd,
    /// Those that write the maps and have not ended yet.
    helpers: Vec<Pid>,
    /// None of those that have ended failed.
    whole: bool,
}

/// Helpers take milliseconds, unless they ask a directory of users that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Ahead {
    /// Begins, where a plan's sandbox will have such a namespace; else there is nothing to gain. Whatever fails here is
    /// tried again where it is needed, and said there. The caller has one thread.
    pub fn begin(plan: &Plan) -> Option<Ahead> {
        let (ids, [uids, gids]) = wanted(plan)?;
        let (hold, leash) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).ok()?;
        let holder = match clone::holder().ok()? {
            Side::Child => wait(hold.as_raw_fd()),
            Side::Parent(holder) => holder,
        };
        let namespace = std::fs::File::open(format!("/proc/{}/ns/user", holder.pid)).map(OwnedFd::from);
        let Ok(namespace) = namespace else {
            spawn::end(&holder);
            return None;
        };
        let pid = holder.pid;
        let mut made = Made { holder, _leash: leash, helpers: Vec::new(), whole: true };
        for (name, extents) in [("newuidmap", uids), ("newgidmap", gids)] {
            made.helpers.push(start(&find_helper(name)?, pid, &extents).ok()?);
        }
        Some(Ahead { ids, namespace, made: Some(made) })
    }

    /// One that a child of the process `keeper` holds, if it has the ids of this plan's sandbox: for one that stays, where
    /// run after run has the same.
    pub fn held_for(plan: &Plan, keeper: i32) -> Option<Ahead> {
        let (ids, extents) = wanted(plan)?;
        let children = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).ok()?;
        children.split_whitespace().find_map(|child| {
            // Held open: whatever becomes of the number, this is one and the same process.
            let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let process = rustix::fs::open(format!("/proc/{child}"), folder, Mode::empty()).ok()?;
            let file = |name: &str| openat(&process, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok();
            for (name, extents) in ["uid_map", "gid_map"].into_iter().zip(&extents) {
                let mut text = String::new();
                std::fs::File::from(file(name)?).read_to_string(&mut text).ok()?;
                (extents_of(&text)? == *extents).then_some(())?;
            }
            Some(Ahead { ids: ids.clone(), namespace: file("ns/user")?, made: None })
        })
    }

    /// The namespace, once it is ready; None where it is not, or has another map than this.
    pub(crate) fn ready(&mut self, ids: &IdMap) -> Option<BorrowedFd<'_>> {
        let whole = self.is_whole();
        (whole && self.ids == *ids).then(|| self.namespace.as_fd())
    }

    /// Waits until its maps are written; whether they are. Helpers that ask somebody who does not answer are given up.
    pub fn is_whole(&mut self) -> bool {
        let Some(made) = &mut self.made else { return true };
        let until = Instant::now() + PATIENCE;
        while let Some(helper) = made.helpers.last().copied() {
            if !ends_by(helper, until) {
                return false;
            }
            made.whole &= ended(helper) == Some(0);
            made.helpers.pop();
        }
        made.whole
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for helper in self.helpers.drain(..) {
            // The caller's own, whatever rights its file lends it.
            let _ = rustix::process::kill_process(helper, Signal::KILL);
            ended(helper);
        }
        spawn::end(&self.holder);
    }
}

/// Whether a child ends in time; it is still to be waited for then.
fn ends_by(child: Pid, until: Instant) -> bool {
    let Ok(held) = rustix::process::pidfd_open(child, PidfdFlags::empty()) else { return false };
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(held.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(ready) => return ready > 0,
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// The ids of a plan's sandbox, where helpers have to write its maps.
fn wanted(plan: &Plan) -> Option<(IdMap, [Vec<[u32; 3]>; 2])> {
    if plan.isolation != Isolation::Full || !matches!(plan.root, Root::Image { .. }) || restricted() {
        return None;
    }
    let ids = IdMap::of(plan, true).ok()?;
    let written = ids.written()?;
    Some((ids, written))
}

/// Those that `/proc/PID/uid_map` tells.
fn extents_of(map: &str) -> Option<Vec<[u32; 3]>> {
    let extent = |line: &str| {
        let numbers: Vec<u32> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        numbers.try_into().ok()
    };
    map.lines().map(extent).collect()
}

/// Where only programs with a profile may have rights in a user namespace, who joins one could have more than who makes
/// it: there the usual way is gone, which shows what the host allows.
fn restricted() -> bool {
    std::fs::read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").is_ok_and(|text| text.starts_with(b"1"))
}

/// The holder's whole life. It makes system calls only.
fn wait(hold: RawFd) -> ! {
    let _ = rustix::thread::set_name(c"aido-ids");
    let alone = sys::close_all_but(0, &mut [hold]).is_ok();
    let bound = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).is_ok();
    if alone && bound {
        // Until the other end is closed: nothing is ever written to it.
        let _ = sys::read(hold, &mut [0]);
    }
    sys::leave(0)
}

/// Starts one of the helpers. Not by the standard library, which waits until the program is loaded.
fn start(program: &Path, pid: i32, extents: &[[u32; 3]]) -> Result<Pid, Errno> {
    let path = CString::new(program.as_os_str().as_bytes()).map_err(|_| Errno(libc::EINVAL))?;
    let numbers = std::iter::once(pid as u32).chain(extents.iter().flatten().copied());
    let argv = std::iter::once(path.clone()).chain(numbers.filter_map(|n| CString::new(n.to_string()).ok()));
    let (argv, envp) = (Strings::new(argv.collect()), Strings::new(Vec::new()));
    match sys::fork()? {
        0 => {
            sys::execute(&path, argv.pointers(), envp.pointers());
            sys::leave(127)
        }
        helper => Pid::from_raw(helper).ok_or(Errno(libc::ESRCH)),
    }
}
