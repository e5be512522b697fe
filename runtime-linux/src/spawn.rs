//! From the script to a finished sandbox that waits for the word to start its task.

use crate::ahead::Ahead;
use crate::alone;
use crate::cgroup::{ENTRANCES, Group};
use crate::child::{self, Ends};
use crate::clone::{self, Guard, Side};
use crate::doors;
use crate::failure::{self, clone_refused};
use crate::fault;
use crate::ids::IdMap;
use crate::script::{FIRST_FREE, FIRST_SLOT, Script};
use crate::sys::Errno;
use crate::terminal::Terminal;
use crate::wire::{LENGTH, Order, Report};
use aido_runtime::{Doors, Error};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::cell::Cell;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long building a sandbox may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// A sandbox that exists.
pub(crate) struct Live {
    pub(crate) guard: Guard,
    pub(crate) control: OwnedFd,
    pub(crate) started: OwnedFd,
    /// The end of a pipe, or of the task's terminal.
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// The folder of the outputs; outlives the sandbox's own mounts.
    pub(crate) outputs: OwnedFd,
    /// The root that the task sees, to look things up in.
    pub(crate) root: OwnedFd,
    /// None: the task has no namespaces, and its family is kept together by hand.
    pub(crate) user_namespace: Option<OwnedFd>,
    /// The task's streams are a terminal; its end is `stdout`.
    pub(crate) terminal: Option<Terminal>,
    /// What leads out, until the gateway has it; none: nothing does.
    pub(crate) doors: Option<Doors>,
}

impl Live {
    /// Kills the guard, and with it everything of the run, and waits until it is gone.
    pub(crate) fn end(&self) {
        end(&self.guard);
        if self.user_namespace.is_none() {
            alone::end_descendants();
        }
    }
}

/// How the task is to be kept apart.
pub(crate) enum Apart<'a> {
    /// By namespaces; the user namespace may have been made ready before.
    Namespaces(&'a IdMap, &'a Cell<Option<Ahead>>),
    /// By Landlock alone; outputs are collected from this folder.
    Alone(&'a Path),
}

/// Builds the sandbox; `meanwhile` is done while its first process is at it. An error means that nothing of it is left.
pub(crate) fn build(
    script: &Script,
    how: &Apart<'_>,
    group: Option<&Group>,
    stdin: Option<OwnedFd>,
    meanwhile: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<Live, Error> {
    let (control, control_end) = packets()?;
    let (started, started_end) = packets_with_names()?;
    let (stdout, stdout_end) = pipe()?;
    let (stderr, stderr_end) = pipe()?;
    let (typed, stdin) = if script.exec.terminal { (stdin, None) } else { (None, stdin) };
    let stdin_end = match stdin {
        Some(fd) => apart(fd.as_fd())?,
        None => apart(open_null()?.as_fd())?,
    };
    let entrances = group.map_or(Ok(Vec::new()), Group::entrances).map_err(not_entered)?;
    let mut groups = [None; ENTRANCES];
    groups.iter_mut().zip(&entrances).for_each(|(group, entrance)| *group = Some(entrance.as_raw_fd()));
    let ends = Ends {
        control: control_end.as_raw_fd(),
        stdin: stdin_end.as_raw_fd(),
        stdout: stdout_end.as_raw_fd(),
        stderr: stderr_end.as_raw_fd(),
        started: started_end.as_raw_fd(),
        groups,
    };
    // It comes in by itself where it can.
    let outside = group.filter(|_| entrances.is_empty());
    let (guard, in_group, namespace) = match how {
        Apart::Alone(_) => (alone::fork(script, &ends, outside)?, true, None),
        Apart::Namespaces(ids, ahead) => match born(ids, ahead, group.and_then(Group::clone_into))? {
            (Side::Child, ..) => child::main(script, &ends),
            (Side::Parent(guard), in_group, namespace) => (guard, in_group, namespace),
        },
    };
    drop((control_end, started_end, stdout_end, stderr_end, stdin_end, entrances));
    fault::point("supervise.cloned");
    let outside = outside.filter(|_| !in_group);
    let built = match how {
        Apart::Namespaces(ids, _) => map(&guard, (ids, namespace), outside)
            .and_then(|namespace| hand_over(script, namespace, &control, meanwhile)),
        Apart::Alone(outputs) => hand_over_alone(script, outputs, &control, meanwhile),
    };
    let built = built.and_then(|handed| {
        let terminal = handed.terminal.as_ref().map(|ours| Terminal::new(ours, typed)).transpose()?;
        Ok((handed, terminal))
    });
    match built {
        Ok((Handed { outputs, root, user_namespace, terminal: ours, doors }, terminal)) => {
            let stdout = ours.unwrap_or(stdout);
            Ok(Live { guard, control, started, stdout, stderr, outputs, root, user_namespace, terminal, doors })
        }
        Err(error) => {
            end(&guard);
            Err(error)
        }
    }
}

/// The sandbox's first process: in the namespace that was made ready, which comes along with it, or in one of its own.
fn born(
    ids: &IdMap,
    ahead: &Cell<Option<Ahead>>,
    group: Option<BorrowedFd<'_>>,
) -> Result<(Side, bool, Option<OwnedFd>), Error> {
    if let Some(mut ahead) = ahead.take()
        && let Some(namespace) = ahead.ready(ids)
        && let Ok(ours) = namespace.try_clone_to_owned()
    {
        // What a host refuses on this way it refuses on the usual one, too, where it is said. What may have been made is
        // not made a second time.
        match clone::clone_within(namespace, group) {
            Ok((Side::Child, in_group)) => {
                std::mem::forget(ahead);
                return Ok((Side::Child, in_group, None));
            }
            Ok((Side::Parent(guard), in_group)) => return Ok((Side::Parent(guard), in_group, Some(ours))),
            Err(Errno(libc::ECHILD)) => return Err(Error::new("who made the sandbox's first process was killed")),
            Err(_) => {}
        }
    }
    let (side, in_group) = clone::clone(group).map_err(clone_refused)?;
    Ok((side, in_group, None))
}

/// Kills the guard, and with it everything in the sandbox, and waits until it is gone.
pub(crate) fn end(guard: &Guard) {
    let _ = rustix::process::pidfd_send_signal(&guard.pidfd, rustix::process::Signal::KILL);
    wait(guard);
}

/// Waits until the guard is gone and takes its last word from the kernel.
pub(crate) fn wait(guard: &Guard) {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    while waitid(Id::PIDFd(guard.pidfd.as_fd()), WaitPidFlag::WEXITED) == Err(nix::errno::Errno::EINTR) {}
}

/// What of a sandbox can be reached from outside.
struct Handed {
    outputs: OwnedFd,
    root: OwnedFd,
    user_namespace: Option<OwnedFd>,
    /// Our end of it.
    terminal: Option<OwnedFd>,
    doors: Option<Doors>,
}

/// Gives it its group and its ids; its user namespace.
fn map(guard: &Guard, (ids, mapped): (&IdMap, Option<OwnedFd>), group: Option<&Group>) -> Result<OwnedFd, Error> {
    if let Some(group) = group {
        group.add(guard.pid).map_err(not_entered)?;
    }
    if let Some(mapped) = mapped {
        return Ok(mapped);
    }
    let opened = std::fs::File::open(format!("/proc/{}/ns/user", guard.pid));
    let opened = opened.map_err(|e| Error::new(format!("cannot open the sandbox's user namespace: {e}")))?;
    ids.write(guard.pid)?;
    Ok(opened.into())
}

fn hand_over(
    script: &Script,
    user_namespace: OwnedFd,
    control: &OwnedFd,
    meanwhile: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<Handed, Error> {
    order(control, Order::Build)?;
    meanwhile()?;
    let mut doors = Doors::default();
    let [Some(outputs), Some(root), terminal] = built(control.as_fd(), script, &mut doors)? else {
        return Err(out_of_turn());
    };
    if terminal.is_some() != script.exec.terminal {
        return Err(out_of_turn());
    }
    let doors = script.doors.as_ref().map(|_| doors);
    Ok(Handed { outputs, root, user_namespace: Some(user_namespace), terminal, doors })
}

fn hand_over_alone(
    script: &Script,
    outputs: &Path,
    control: &OwnedFd,
    meanwhile: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<Handed, Error> {
    order(control, Order::Build)?;
    meanwhile()?;
    built(control.as_fd(), script, &mut Doors::default())?;
    let open = |path: &Path| {
        let opened = std::fs::File::open(path).map(OwnedFd::from);
        opened.map_err(|e| Error::new(format!("{}: {e}", path.display())))
    };
    Ok(Handed {
        outputs: open(outputs)?,
        root: open(Path::new("/"))?,
        user_namespace: None,
        terminal: None,
        doors: None,
    })
}

fn not_entered(why: std::io::Error) -> Error {
    Error::new(format!("cannot move the sandbox into its cgroup: {why}"))
}

fn out_of_turn() -> Error {
    Error::new("the sandbox's first process spoke out of turn")
}

pub(crate) fn order(control: &OwnedFd, order: Order) -> Result<(), Error> {
    send(control.as_raw_fd(), &order.encode(), MsgFlags::MSG_NOSIGNAL)
        .map(drop)
        .map_err(|e| Error::new(format!("the sandbox's first process does not listen: {e}")))
}

/// The outputs and the root, where these lie inside of a sandbox, and our end of its terminal, if it has one.
type Inside = [Option<OwnedFd>; 3];

/// Waits for the report that the sandbox stands; descriptors come with it, and doors before it.
fn built(control: BorrowedFd<'_>, script: &Script, doors: &mut Doors) -> Result<Inside, Error> {
    let until = Instant::now() + PATIENCE;
    loop {
        wait_for_word(control, until)?;
        match (hear(control)?, &script.doors) {
            ((Some(Report::Built), inside), _) => return Ok(inside),
            ((Some(Report::Door(door)), [Some(socket), None, None]), Some(_)) => doors::take(doors, door, socket),
            ((Some(Report::Failed { step, index, errno }), _), _) => {
                return Err(failure::words(script, step, index, Errno(errno)));
            }
            _ => return Err(out_of_turn()),
        }
    }
}

fn wait_for_word(control: BorrowedFd<'_>, until: Instant) -> Result<(), Error> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let mut polled = [PollFd::new(control, PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut polled, timeout) {
            Ok(0) => return Err(Error::new(format!("the sandbox was not ready after {PATIENCE:?}"))),
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(Error::new(format!("cannot wait for the sandbox: {e}"))),
        }
    }
}

/// One packet, and what came with it.
fn hear(control: BorrowedFd<'_>) -> Result<(Option<Report>, Inside), Error> {
    let mut packet = [0u8; LENGTH];
    let mut room = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut room);
    let mut parts = [IoSliceMut::new(&mut packet)];
    let length = rustix::net::recvmsg(control, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(|e| Error::new(format!("cannot hear the sandbox: {e}")))?
        .bytes;
    let mut inside = [None, None, None];
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            inside = [descriptors.next(), descriptors.next(), descriptors.next()];
        }
    }
    match packet.get(..length).and_then(Report::decode) {
        None if length == 0 => Err(Error::new("the sandbox's first process died while it was building")),
        report => Ok((report, inside)),
    }
}

/// A pair of sockets that keep packets whole; the second is the child's.
fn packets() -> Result<(OwnedFd, OwnedFd), Error> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(|e| Error::new(format!("cannot make a socket pair: {e}")))?;
    Ok((ours, apart(theirs.as_fd())?))
}

/// The same, where the kernel says which process a packet came from: the task's number on the host.
fn packets_with_names() -> Result<(OwnedFd, OwnedFd), Error> {
    let (ours, theirs) = packets()?;
    rustix::net::sockopt::set_socket_passcred(&ours, true)
        .map_err(|e| Error::new(format!("cannot prepare a socket: {e}")))?;
    Ok((ours, theirs))
}

/// A pipe: our end, which never blocks, and the child's.
fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    let failed = |e| Error::new(format!("cannot make a pipe: {e}"));
    let (ours, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(failed)?;
    // A larger buffer means fewer turns for a task that prints much; the default does as well.
    let _ = fcntl(&ours, FcntlArg::F_SETPIPE_SZ(1 << 18));
    Ok((ours, apart(theirs.as_fd())?))
}

/// A copy of a descriptor on a number that the child does not use for itself.
fn apart(fd: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let copy = rustix::io::fcntl_dupfd_cloexec(fd, FIRST_FREE)
        .map_err(|e| Error::new(format!("cannot copy a descriptor: {e}")))?;
    if copy.as_raw_fd() >= FIRST_SLOT {
        return Err(Error::new("too many files are open in this process"));
    }
    Ok(copy)
}

fn open_null() -> Result<OwnedFd, Error> {
    std::fs::File::open("/dev/null").map(OwnedFd::from).map_err(|e| Error::new(format!("cannot open /dev/null: {e}")))
}
