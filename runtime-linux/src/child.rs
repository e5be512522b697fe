//! The sandbox from inside: builds it, becomes its first process, starts the task.
//!
//! Everything here runs after the clone: no heap, no formatting, no panic, no destructor, no lock. It
//! makes system calls over the prepared [`Script`] and says which step failed. Descriptors that a
//! failed step leaves open go with the process.

use crate::script::{BASE, Exec, FIRST_SLOT, OUTPUTS, Op, Script, Source, Step};
use crate::sys::{self, Errno};
use crate::wire::{LENGTH, Order, Report};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};
use std::ffi::CStr;

/// The descriptors that the child is born with and needs.
pub(crate) struct Ends {
    pub(crate) control: RawFd,
    pub(crate) stdin: RawFd,
    pub(crate) stdout: RawFd,
    pub(crate) stderr: RawFd,
    /// Closes when the task executes; a packet in it says why it did not.
    pub(crate) started: RawFd,
}

/// What failed and where: step, index, number of the error.
type Failure = (Step, u32, Errno);

trait At<T> {
    fn at(self, step: Step) -> Result<T, Failure>;
}

impl<T, E: Into<Errno>> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.map_err(|errno| (step, 0, errno.into()))
    }
}

/// Where the child begins. Never returns.
pub(crate) fn main(script: &Script, ends: &Ends) -> ! {
    match build(script, ends).and_then(|()| start(script, ends)) {
        Ok(task) => guard(ends.control, task, script.backstop_ms),
        Err((step, index, errno)) => {
            let _ = sys::send(ends.control, &Report::Failed { step, index, errno: errno.0 }.encode(), None);
            sys::leave(1)
        }
    }
}

/// How long the supervisor may leave a half-built sandbox alone. It may be stopped, or worse.
const PATIENCE_MS: i32 = 30_000;

fn expect(control: RawFd, order: Order) -> Result<(), Failure> {
    let mut packet = [0; LENGTH];
    if !sys::wait_readable([control, -1], PATIENCE_MS).at(Step::Handshake)?[0] {
        return Err((Step::Handshake, 0, Errno(libc::ETIMEDOUT)));
    }
    let length = sys::receive(control, &mut packet).at(Step::Handshake)?;
    match packet.get(..length).and_then(Order::decode) {
        Some(got) if got == order => Ok(()),
        _ => Err((Step::Handshake, 0, Errno(libc::EPROTO))),
    }
}

/// From the bare clone to a finished sandbox that the supervisor knows of.
fn build(script: &Script, ends: &Ends) -> Result<(), Failure> {
    // Whoever made us is the only one who knows of us: if it dies, so do we. We hold copies of all its
    // descriptors; with those gone, its death is also the end of the file that we read orders from.
    let mut kept = [ends.control, ends.stdin, ends.stdout, ends.stderr, ends.started];
    sys::close_all_but(3, &mut kept).at(Step::Guard)?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).at(Step::Guard)?;
    expect(ends.control, Order::Build)?;
    sys::reset_signals();
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).at(Step::Guard)?;
    sys::wipe(script.strings);
    rustix::process::setsid().at(Step::Guard)?;
    sys::unshare_cgroup().at(Step::CgroupNamespace)?;
    rustix::system::sethostname(script.host_name.to_bytes()).at(Step::HostName)?;
    sys::loopback_up().at(Step::Loopback)?;
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .at(Step::Propagation)?;
    rustix::process::umask(Mode::empty());
    let base = make_base(script).at(Step::Base)?;
    let root = walk(script, base.as_fd())?;
    // The outputs stay reachable for the supervisor after the sandbox is gone.
    let outputs = rustix::fs::openat(&base, OUTPUTS, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .at(Step::Base)?;
    pivot(root.as_fd()).at(Step::Pivot)?;
    sys::send(ends.control, &Report::Built.encode(), Some(outputs.as_raw_fd())).at(Step::Report)?;
    expect(ends.control, Order::Start)
}

/// The sandbox's own tmpfs, attached where it hides no source.
fn make_base(script: &Script) -> sys::Result<OwnedFd> {
    let context = rustix::mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in &script.base {
        rustix::mount::fsconfig_set_string(context.as_fd(), key.as_c_str(), value.as_c_str())?;
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let tmpfs = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(tmpfs.as_fd(), c"", rustix::fs::CWD, BASE, flags)?;
    rustix::fs::mkdirat(&tmpfs, crate::script::ROOT, Mode::from_raw_mode(0o755))?;
    rustix::fs::mkdirat(&tmpfs, OUTPUTS, Mode::from_raw_mode(0o755))?;
    Ok(tmpfs)
}

/// The interpreter of the script: the root of the sandbox comes back.
fn walk(script: &Script, base: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let mut root: Option<OwnedFd> = None;
    for (index, op) in script.ops.iter().enumerate() {
        let here = root.as_ref().map_or(base, |fd| fd.as_fd());
        match perform(op, &script.exec, base, here) {
            Ok(Some(entered)) => root = Some(entered),
            Ok(None) => {}
            Err(errno) => return Err((Step::Op, index as u32, errno)),
        }
    }
    root.ok_or((Step::Op, script.ops.len() as u32, Errno(libc::ENOENT)))
}

fn perform(op: &Op, exec: &Exec, base: BorrowedFd<'_>, root: BorrowedFd<'_>) -> sys::Result<Option<OwnedFd>> {
    match op {
        Op::Folder { path, mode, owned } => {
            rustix::fs::mkdirat(base, path.as_c_str(), Mode::from_raw_mode(*mode))?;
            give(base, path, *owned, exec)?;
        }
        Op::File { path, content, mode, owned } => {
            write_file(base, path, content, *mode)?;
            give(base, path, *owned, exec)?;
        }
        Op::Link { path, target } => rustix::fs::symlinkat(target.as_c_str(), base, path.as_c_str())?,
        Op::Whiteout { path } => {
            rustix::fs::mknodat(base, path.as_c_str(), FileType::CharacterDevice, Mode::empty(), 0)?
        }
        Op::Lower { source, slot } => sys::place_for_now(open_source(source)?.into_raw_fd(), FIRST_SLOT + slot)?,
        Op::StagedLower { path, slot } => sys::place_for_now(open_below(base, path)?.into_raw_fd(), FIRST_SLOT + slot)?,
        Op::Overlay { at, data } => mount_overlay(at, data)?,
        Op::EnterRoot { at } => {
            // Bound onto itself, so that the root is a mount whatever it is made of.
            let tree = clone_tree(open_below(base, at)?.as_fd())?;
            let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
            sys::set_mount_attributes(tree.as_fd(), attributes)?;
            attach(tree.as_fd(), open_below(base, at)?.as_fd())?;
            return Ok(Some(tree));
        }
        Op::Bind { source, target, attributes } => {
            let tree = clone_tree(open_source(source)?.as_fd())?;
            sys::set_mount_attributes(tree.as_fd(), *attributes)?;
            attach(tree.as_fd(), open_below(root, target)?.as_fd())?;
        }
        Op::Staged { path, target, attributes } => {
            let tree = clone_tree(open_below(base, path)?.as_fd())?;
            sys::set_mount_attributes(tree.as_fd(), *attributes)?;
            attach(tree.as_fd(), open_below(root, target)?.as_fd())?;
        }
        Op::Move { path, target, attributes } => {
            let mounted = open_below(base, path)?;
            sys::set_mount_attributes(mounted.as_fd(), *attributes)?;
            attach(mounted.as_fd(), open_below(root, target)?.as_fd())?;
        }
        Op::Proc { target } => attach(fresh(c"proc", &[])?.as_fd(), open_below(root, target)?.as_fd())?,
        Op::Pts { target } => {
            let options = [(c"ptmxmode", c"0666"), (c"mode", c"0620")];
            attach(fresh(c"devpts", &options)?.as_fd(), open_below(root, target)?.as_fd())?;
        }
        Op::SealRoot => seal(root)?,
    }
    Ok(None)
}

/// Makes something the task's own. Where the map knows one id only, it is already.
fn give(base: BorrowedFd<'_>, path: &CStr, owned: bool, exec: &Exec) -> sys::Result<()> {
    if owned && exec.groups.is_some() {
        let (uid, gid) = (rustix::fs::Uid::from_raw(exec.uid), rustix::fs::Gid::from_raw(exec.gid));
        rustix::fs::chownat(base, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn write_file(base: BorrowedFd<'_>, path: &CStr, content: &[u8], mode: u32) -> sys::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(base, path, flags, Mode::from_raw_mode(mode))?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or(&[]);
    }
    Ok(())
}

/// Opens a source by its real path and makes sure that it is what the parent saw.
fn open_source(source: &Source) -> sys::Result<OwnedFd> {
    let how = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let path = source.path.as_c_str();
    let fd = rustix::fs::openat2(rustix::fs::CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how)?;
    let found = rustix::fs::statx(&fd, c"", AtFlags::EMPTY_PATH, rustix::fs::StatxFlags::INO)?;
    if (found.stx_dev_major, found.stx_dev_minor) == source.device && found.stx_ino == source.inode {
        Ok(fd)
    } else {
        Err(Errno(libc::ESTALE))
    }
}

/// Opens something below a folder of the sandbox, following no link and leaving it by no name.
fn open_below(folder: BorrowedFd<'_>, path: &CStr) -> sys::Result<OwnedFd> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(folder, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how)?)
}

fn clone_tree(of: BorrowedFd<'_>) -> sys::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(rustix::mount::open_tree(of, c"", flags)?)
}

fn attach(tree: BorrowedFd<'_>, onto: BorrowedFd<'_>) -> sys::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree, c"", onto, c"", flags)?)
}

/// A new instance of a file system of the kernel's.
fn fresh(kind: &CStr, options: &[(&CStr, &CStr)]) -> sys::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    if options.is_empty() {
        attributes |= MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    Ok(rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn mount_overlay(at: &CStr, data: &CStr) -> sys::Result<()> {
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    Ok(rustix::mount::mount(c"overlay", at, c"overlay", flags, data)?)
}

/// The root's own mount becomes read-only; what is attached below it keeps its own attributes.
fn seal(root: BorrowedFd<'_>) -> sys::Result<()> {
    sys::set_one_mount_attributes(root, libc::MOUNT_ATTR_RDONLY)
}

/// Makes `root` the root, and the host's tree vanish.
fn pivot(root: BorrowedFd<'_>) -> sys::Result<()> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    Ok(())
}

/// Forks the task; its number comes back in the guard.
fn start(script: &Script, ends: &Ends) -> Result<i32, Failure> {
    let task = sys::fork().at(Step::Fork)?;
    if task == 0 {
        let (step, errno) = match enter(&script.exec, ends) {
            Ok(errno) => (Step::Execute, errno),
            Err((step, _, errno)) => (step, errno),
        };
        // After `enter` has closed the rest, the report's descriptor stands on 3.
        let _ = sys::send(STARTED, &Report::Failed { step, index: 0, errno: errno.0 }.encode(), None);
        sys::leave(127)
    }
    // The guard shares nothing of the task's but its identity.
    confine(&script.exec)?;
    Ok(task)
}

/// Where the task's report stands until it executes.
const STARTED: RawFd = 3;

/// From the fork to the task's first instruction. Comes back with the reason why not.
fn enter(exec: &Exec, ends: &Ends) -> Result<Errno, Failure> {
    // The report first, so that each later failure finds its way home.
    sys::place_for_now(ends.started, STARTED).at(Step::Streams)?;
    sys::place(ends.stdin, 0).at(Step::Streams)?;
    sys::place(ends.stdout, 1).at(Step::Streams)?;
    sys::place(ends.stderr, 2).at(Step::Streams)?;
    sys::close_from(STARTED as u32 + 1).at(Step::Streams)?;
    rustix::process::setsid().at(Step::Session)?;
    sys::reset_signals();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    for (resource, value) in &exec.rlimits {
        sys::limit(*resource, *value).at(Step::Limits)?;
    }
    if let Some(count) = exec.processors {
        sys::use_processors(count).at(Step::Limits)?;
    }
    confine_with(exec, || rustix::process::chdir(exec.workdir.as_c_str()).at(Step::Workdir))?;
    let mut why = Errno(libc::ENOENT);
    for (candidate, which) in &exec.candidates {
        let Some(argv) = exec.argv.get(*which) else { continue };
        match sys::execute(candidate, argv.pointers(), exec.envp.pointers()) {
            Errno(libc::ENOENT) | Errno(libc::ENOTDIR) => {}
            // Found, but not to be executed: worth more than a later "not found".
            other => why = other,
        }
    }
    Ok(why)
}

fn confine(exec: &Exec) -> Result<(), Failure> {
    confine_with(exec, || Ok(()))
}

/// Takes on the identity, gives every privilege up and installs the filter, in the order that the
/// kernel wants; `between` runs with the identity, before the filter.
fn confine_with(exec: &Exec, between: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    sys::drop_capabilities().at(Step::Privileges)?;
    sys::become_user(exec.uid, exec.gid, exec.groups.as_deref()).at(Step::Identity)?;
    sys::clear_capabilities().at(Step::Privileges)?;
    // A change of identity may have made us dumpable again.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).at(Step::Privileges)?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).at(Step::Privileges)?;
    between()?;
    rustix::thread::set_no_new_privs(true).at(Step::Privileges)?;
    sys::install_filter(exec.filter).at(Step::Filter)
}

/// The first process of the sandbox: reaps, passes signals on, reports how the task ended. When it
/// leaves, the kernel ends everything else in the sandbox.
fn guard(control: RawFd, task: i32, backstop_ms: i32) -> ! {
    // One descriptor and nothing else.
    if sys::place_for_now(control, 0).is_err() || sys::close_from(1).is_err() {
        sys::leave(1)
    }
    let Ok(children) = sys::child_watch() else { sys::leave(1) };
    let started = now_ms();
    loop {
        while let Some((pid, status)) = sys::reap() {
            if pid == task {
                let _ = sys::send(0, &Report::Ended { status }.encode(), None);
                sys::leave(0)
            }
        }
        let left = i64::from(backstop_ms) - (now_ms() - started);
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

fn obey(task: i32) {
    let mut packet = [0; LENGTH];
    let length = sys::receive(0, &mut packet).unwrap_or(0);
    match packet.get(..length).and_then(Order::decode) {
        Some(Order::Signal(signal)) => sys::signal(task, signal),
        Some(Order::SignalAll(signal)) => sys::signal(-1, signal),
        // The supervisor is gone, or out of its mind: end everything.
        _ => sys::leave(1),
    }
}

fn now_ms() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}
