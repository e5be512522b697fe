//! The sandbox from inside: builds it, becomes its first process, starts the task.
//!
//! Everything here runs after the clone: no heap, no formatting, no panic, no destructor, no lock. It
//! makes system calls over the prepared [`Script`] and says which step failed. Descriptors that a
//! failed step leaves open go with the process.

use crate::cgroup::ENTRANCES;
use crate::doors;
use crate::fault;
use crate::guard;
use crate::script::{BASE, Exec, FIRST_FREE, FIRST_SLOT, OUTPUTS, Op, Script, Source, Step};
use crate::sys::{self, Errno};
use crate::task;
use crate::wall::Wall;
use crate::wire::{LENGTH, Order, Report};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};
use rustix::pty::OpenptFlags;
use std::ffi::CStr;

/// The descriptors that the child is born with and needs.
pub(crate) struct Ends {
    pub(crate) control: RawFd,
    pub(crate) stdin: RawFd,
    pub(crate) stdout: RawFd,
    pub(crate) stderr: RawFd,
    /// Closes when the task executes; a packet in it says why it did not.
    pub(crate) started: RawFd,
    /// The doors of the control groups that the child enters by itself.
    pub(crate) groups: [Option<RawFd>; ENTRANCES],
}

/// Enters the control groups. A thread that moves itself alone (`0` into `tasks`) waits for nobody; who moves a process
/// from outside (`cgroup.procs`) waits until all processors have seen that threads may not come and go: 5 to 20 ms.
pub(crate) fn enter_groups(ends: &Ends) -> Result<(), Failure> {
    for (index, entrance) in ends.groups.iter().enumerate() {
        if let Some(entrance) = entrance {
            sys::write(*entrance, b"0").map_err(|errno| (Step::Groups, index as u32, errno))?;
        }
    }
    Ok(())
}

/// What failed and where: step, index, number of the error.
pub(crate) type Failure = (Step, u32, Errno);

pub(crate) trait At<T> {
    fn at(self, step: Step) -> Result<T, Failure>;
}

impl<T, E: Into<Errno>> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.map_err(|errno| (step, 0, errno.into()))
    }
}

/// Where the child begins. Never returns.
pub(crate) fn main(script: &Script, ends: &Ends) -> ! {
    match build(script, ends).and_then(|stage| task::start(script, ends, &stage)) {
        Ok(task) => guard::guard(script, ends.control, task),
        Err((step, index, errno)) => {
            let _ = sys::send(ends.control, &Report::Failed { step, index, errno: errno.0 }.encode(), &[]);
            sys::leave(1)
        }
    }
}

/// How long the supervisor may leave a half-built sandbox alone. It may be stopped, or worse.
const PATIENCE_MS: i32 = 30_000;

pub(crate) fn expect(control: RawFd, order: Order) -> Result<(), Failure> {
    let mut packet = [0; LENGTH];
    if !sys::wait_readable([control, -1], PATIENCE_MS).at(Step::Handshake)?[0] {
        return Err((Step::Handshake, 0, Errno(libc::ETIMEDOUT)));
    }
    let length = sys::read(control, &mut packet).at(Step::Handshake)?;
    match packet.get(..length).and_then(Order::decode) {
        Some(got) if got == order => Ok(()),
        _ => Err((Step::Handshake, 0, Errno(libc::EPROTO))),
    }
}

/// What of a finished sandbox the task's process goes on with.
pub(crate) struct Stage {
    /// The second wall's rules, if there are some.
    pub(crate) wall: Option<RawFd>,
    /// The task's end of its terminal, if it has one.
    pub(crate) terminal: Option<RawFd>,
}

/// From the bare clone to a finished sandbox that the supervisor knows of.
fn build(script: &Script, ends: &Ends) -> Result<Stage, Failure> {
    // First of all: from here on it is found by its group.
    enter_groups(ends)?;
    fault::point("guard.born");
    // Whoever made us is the only one who knows of us: if it dies, so do we. We hold copies of all its
    // descriptors; with those gone, its death is also the end of the file that we read orders from.
    let mut kept = [ends.control, ends.stdin, ends.stdout, ends.stderr, ends.started];
    sys::close_all_but(3, &mut kept).at(Step::Guard)?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).at(Step::Guard)?;
    fault::point("guard.bound");
    expect(ends.control, Order::Build)?;
    sys::reset_signals();
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).at(Step::Guard)?;
    sys::wipe(script.strings);
    rustix::process::setsid().at(Step::Guard)?;
    sys::unshare_cgroup().at(Step::CgroupNamespace)?;
    rustix::system::sethostname(script.host_name.to_bytes()).at(Step::HostName)?;
    sys::loopback_up().at(Step::Loopback)?;
    if let Some(wanted) = &script.doors {
        doors::open(ends.control, wanted)?;
    }
    rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .at(Step::Propagation)?;
    rustix::process::umask(Mode::empty());
    let base = make_base(script).at(Step::Base)?;
    let root = walk(script, base.as_fd())?;
    // The outputs stay reachable for the supervisor after the sandbox is gone.
    let outputs = rustix::fs::openat(&base, OUTPUTS, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .at(Step::Base)?;
    pivot(root.as_fd()).at(Step::Pivot)?;
    fault::point("guard.standing");
    let terminal = script.exec.terminal.then(|| open_terminal(&script.exec)).transpose().at(Step::Terminal)?;
    let wall = script.wall.as_ref().map(raise).transpose().at(Step::Wall)?;
    // What the task tries is looked up in here, for the record.
    let root = rustix::fs::open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.at(Step::Pivot)?;
    let descriptors = [outputs.as_raw_fd(), root.as_raw_fd(), terminal.as_ref().map_or(-1, |(ours, _)| *ours)];
    let count = if terminal.is_some() { 3 } else { 2 };
    sys::send(ends.control, &Report::Built.encode(), &descriptors[..count]).at(Step::Report)?;
    expect(ends.control, Order::Start)?;
    Ok(Stage { wall, terminal: terminal.map(|(_, theirs)| theirs) })
}

/// A terminal of the sandbox's own: the supervisor's end and the task's, which belongs to the task.
fn open_terminal(exec: &Exec) -> sys::Result<(RawFd, RawFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let ours = rustix::fs::open(c"/dev/pts/ptmx", flags, Mode::empty())?;
    rustix::pty::unlockpt(&ours)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags)?;
    if exec.groups.is_some() {
        let (uid, gid) = (rustix::fs::Uid::from_raw(exec.uid), rustix::fs::Gid::from_raw(exec.gid));
        rustix::fs::fchown(&theirs, Some(uid), Some(gid))?;
    }
    // Away from the numbers that the task lays its own descriptors out on.
    let theirs = rustix::io::fcntl_dupfd_cloexec(&theirs, FIRST_FREE)?;
    Ok((ours.into_raw_fd(), theirs.into_raw_fd()))
}

/// Makes the second wall's rules, now that the sandbox is all there is. The task goes behind them later.
pub(crate) fn raise(wall: &Wall) -> sys::Result<RawFd> {
    let rules = sys::wall::ruleset(wall.version, wall.files, 0, wall.scoped)?;
    let root = rustix::fs::open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for (path, allowed) in &wall.rules {
        sys::wall::allow(rules.as_fd(), open_below(root.as_fd(), path)?.as_fd(), *allowed)?;
    }
    // Away from the numbers that the task lays its own descriptors out on.
    Ok(rustix::io::fcntl_dupfd_cloexec(&rules, FIRST_FREE)?.into_raw_fd())
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
    // Whoever the task is: an image may name another user than root.
    give(tmpfs.as_fd(), OUTPUTS, true, &script.exec)?;
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
        Op::Overlay { at, data, writable } => mount_overlay(at, data, *writable)?,
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
        Op::Proc { target } => attach(fresh_proc()?.as_fd(), open_below(root, target)?.as_fd())?,
        Op::Pts { target } => {
            let options = [(c"ptmxmode", c"0666"), (c"mode", c"0620")];
            attach(fresh(c"devpts", &options, NO_PROGRAMS)?.as_fd(), open_below(root, target)?.as_fd())?;
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

const NO_PROGRAMS: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// A new instance of a file system of the kernel's.
fn fresh(kind: &CStr, options: &[(&CStr, &CStr)], attributes: MountAttrFlags) -> sys::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    Ok(rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A procfs that can still be written, for one setting: whoever is in this user namespace makes no other one,
/// whatever a filter of system calls allows. Then it is read-only.
fn fresh_proc() -> sys::Result<OwnedFd> {
    let proc = fresh(c"proc", &[], NO_PROGRAMS | MountAttrFlags::MOUNT_ATTR_NODEV)?;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let most = rustix::fs::openat(&proc, c"sys/user/max_user_namespaces", flags, Mode::empty())?;
    rustix::io::write(&most, b"0")?;
    // A mount with a file open for writing does not become read-only.
    drop(most);
    sys::set_mount_attributes(proc.as_fd(), libc::MOUNT_ATTR_RDONLY)?;
    Ok(proc)
}

fn mount_overlay(at: &CStr, data: &CStr, writable: bool) -> sys::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let flags = if writable { flags } else { flags | MountFlags::RDONLY };
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
