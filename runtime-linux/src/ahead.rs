//! A user namespace with a range of ids, made ready while the record of a run is begun: the two programs that write its
//! maps take longer than all else of a start.
//!
//! A process holds it, does nothing, and is ended as soon as the sandbox's first process is in it.

use crate::clone::{self, Guard, Side, ended};
use crate::ids::IdMap;
use crate::script::Strings;
use crate::spawn;
use crate::subordinate::find_helper;
use crate::sys::{self, Errno};
use aido_runtime::{Isolation, Plan, Root};
use rustix::pipe::PipeFlags;
use rustix::process::Pid;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A user namespace that is being made ready. Dropped, all of it is ended.
pub struct Ahead {
    ids: IdMap,
    namespace: OwnedFd,
    holder: Guard,
    /// The holder ends when this is closed.
    _leash: OwnedFd,
    /// Those that write the maps.
    helpers: Vec<Pid>,
}

impl Ahead {
    /// Begins, where a plan's sandbox will have such a namespace; else there is nothing to gain. Whatever fails here is
    /// tried again where it is needed, and said there. The caller has one thread.
    pub fn begin(plan: &Plan) -> Option<Ahead> {
        if plan.isolation != Isolation::Full || !matches!(plan.root, Root::Image { .. }) || restricted() {
            return None;
        }
        let ids = IdMap::of(plan, true).ok()?;
        let [uids, gids] = ids.written()?;
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
        let mut ahead = Ahead { ids, namespace, holder, _leash: leash, helpers: Vec::new() };
        for (name, extents) in [("newuidmap", uids), ("newgidmap", gids)] {
            let helper = start(&find_helper(name)?, ahead.holder.pid, &extents).ok()?;
            ahead.helpers.push(helper);
        }
        Some(ahead)
    }

    /// The namespace, once it is ready; None where it is not, or has another map than this.
    pub(crate) fn ready(&mut self, ids: &IdMap) -> Option<BorrowedFd<'_>> {
        let mut whole = self.ids == *ids;
        for helper in self.helpers.drain(..) {
            whole &= ended(helper) == Some(0);
        }
        whole.then(|| self.namespace.as_fd())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        for helper in self.helpers.drain(..) {
            // It ends by itself: it writes one file.
            ended(helper);
        }
        spawn::end(&self.holder);
    }
}

/// Where only programs with a profile may have rights in a user namespace, who joins one could have more than who makes
/// it: there the usual way is gone, which shows what the host allows.
fn restricted() -> bool {
    std::fs::read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").is_ok_and(|text| text.starts_with(b"1"))
}

/// The holder's whole life. It makes system calls only.
fn wait(hold: RawFd) -> ! {
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
