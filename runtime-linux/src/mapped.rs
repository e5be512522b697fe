//! Running a job under the ids of image files: unpacking, reading and removing layers.
//!
//! With subordinate ids the files of a layer belong to many ids, which only a process inside a user
//! namespace with that map may make and remove. Root and callers without such ids need no namespace.

use crate::ids::IdMap;
use crate::sys;
use aido_runtime::{Error, Identity};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Runs `job` with the right ids: in a child process in a user namespace where subordinate ids are to
/// be used, else here. The caller has one thread.
pub fn with_image_ids(job: impl FnOnce() -> Result<(), String>) -> Result<(), Error> {
    let root = Identity { uid: 0, gid: 0, groups: Vec::new() };
    match IdMap::choose(&root, true)? {
        ids @ IdMap::Range { .. } => in_namespace(&ids, job, None::<fn()>),
        IdMap::Single { .. } | IdMap::Same { .. } => job().map_err(Error::new),
    }
}

/// The same for a job that needs its caller where it is another process, with other ids: each has one
/// end of a socket then. `beside` runs in the caller's process until the job's end of it is closed.
pub fn with_image_ids_and_caller(
    job: impl FnOnce(Option<UnixStream>) -> Result<(), String>,
    beside: impl FnOnce(UnixStream) + Send,
) -> Result<(), Error> {
    let root = Identity { uid: 0, gid: 0, groups: Vec::new() };
    match IdMap::choose(&root, true)? {
        ids @ IdMap::Range { .. } => beside_caller(&ids, job, beside),
        IdMap::Single { .. } | IdMap::Same { .. } => job(None).map_err(Error::new),
    }
}

/// As [`with_image_rights`], with a socket to the caller where the job is in another process.
pub fn with_image_rights_and_caller(
    job: impl FnOnce(Option<UnixStream>) -> Result<(), String>,
    beside: impl FnOnce(UnixStream) + Send,
) -> Result<(), Error> {
    let root = Identity { uid: 0, gid: 0, groups: Vec::new() };
    match IdMap::choose(&root, true)? {
        IdMap::Same { .. } => job(None).map_err(Error::new),
        ids => beside_caller(&ids, job, beside),
    }
}

fn beside_caller(
    ids: &IdMap,
    job: impl FnOnce(Option<UnixStream>) -> Result<(), String>,
    beside: impl FnOnce(UnixStream) + Send,
) -> Result<(), Error> {
    let pair = UnixStream::pair();
    let (here, there) = pair.map_err(|e| Error::new(format!("cannot make a socket: {e}")))?;
    in_namespace(ids, move || job(Some(there)), Some(move || beside(here)))
}

/// Runs `job` where it may read whatever image files there are, closed ones too, without changing
/// any mode: as root of a user namespace in which their owners are, or as root. The caller has one thread.
pub fn with_image_rights(job: impl FnOnce() -> Result<(), String>) -> Result<(), Error> {
    let root = Identity { uid: 0, gid: 0, groups: Vec::new() };
    match IdMap::choose(&root, true)? {
        IdMap::Same { .. } => job().map_err(Error::new),
        ids => in_namespace(&ids, job, None::<fn()>),
    }
}

fn in_namespace(
    ids: &IdMap,
    job: impl FnOnce() -> Result<(), String>,
    beside: Option<impl FnOnce() + Send>,
) -> Result<(), Error> {
    let failed = |what: &str, e: std::io::Error| Error::new(format!("cannot use the ids of image files: {what}: {e}"));
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed("pipe", e.into()));
    let (answer, tell) = pipe()?;
    let (go, mapped) = pipe()?;
    let pid = sys::fork().map_err(|e| failed("fork", e.into()))?;
    if pid == 0 {
        drop((answer, mapped, beside));
        sys::leave(child(ids, go, tell, job))
    }
    // What either side is to hear the end of, the other alone may hold.
    drop((go, tell, job));
    let mut answer = std::fs::File::from(answer);
    let mut first = [0; 1];
    let result = match answer.read_exact(&mut first) {
        Ok(()) if first == [READY] => ids.write(pid).and_then(|()| release(mapped)),
        Ok(()) => Ok(()),
        Err(e) => Err(failed("the helper process", e)),
    };
    let (heard, status) = std::thread::scope(|scope| {
        beside.map(|beside| scope.spawn(beside));
        (hear(&mut answer, Pid::from_raw(pid)), nix::sys::wait::waitpid(Pid::from_raw(pid), None))
    });
    result?;
    let said = heard.map_err(|e| failed("the helper process", e))?;
    match status {
        Ok(nix::sys::wait::WaitStatus::Exited(_, 0)) => Ok(()),
        _ if !said.is_empty() => Err(Error::new(said)),
        status => Err(Error::new(format!("the process that works on image files ended without a word: {status:?}"))),
    }
}

/// What the child says until its end. Signals that the caller holds back are passed on to it, who does the
/// work, and come to the caller when it lets them through again.
fn hear(answer: &mut std::fs::File, child: Pid) -> std::io::Result<String> {
    let mask = SigSet::thread_get_mask()?;
    let held = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().filter(|signal| mask.contains(*signal));
    let signals = SignalFd::with_flags(&held.collect(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    let mut passed = false;
    loop {
        let listen = if passed { PollFlags::empty() } else { PollFlags::POLLIN };
        let mut both = [PollFd::new(answer.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), listen)];
        match poll(&mut both, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            other => other?,
        };
        let talks = both[0].any() == Some(true);
        if !passed && let Some(came) = signals.read_signal()? {
            let signal = Signal::try_from(came.ssi_signo.cast_signed())?;
            let _ = kill(child, signal);
            // Taken from the descriptor, it would be lost for the caller: it waits again from here on.
            raise(signal)?;
            passed = true;
        }
        if talks {
            match answer.read(&mut piece)? {
                0 => return Ok(String::from_utf8_lossy(&said).into_owned()),
                got => said.extend_from_slice(&piece[..got]),
            }
        }
    }
}

const READY: u8 = b'r';
const REFUSED: u8 = b'n';

fn release(mapped: OwnedFd) -> Result<(), Error> {
    std::fs::File::from(mapped).write_all(b"g").map_err(|e| Error::new(format!("the helper process is gone: {e}")))
}

fn child(ids: &IdMap, go: OwnedFd, tell: OwnedFd, job: impl FnOnce() -> Result<(), String>) -> i32 {
    let mut tell = std::fs::File::from(tell);
    let result = enter(ids, go, &mut tell).and_then(|()| job());
    match result {
        Ok(()) => 0,
        Err(why) => {
            let _ = tell.write_all(why.as_bytes());
            1
        }
    }
}

/// Into a user namespace, then waits for its map, then becomes root in it.
fn enter(ids: &IdMap, go: OwnedFd, tell: &mut std::fs::File) -> Result<(), String> {
    // Nobody is left to hear of it if the command line dies: then this ends too.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let unshared = sys::unshare_user().map_err(crate::failure::unshare_refused);
    // Without a namespace there is nothing to map, and the helpers' complaint would hide the reason.
    let word = if unshared.is_ok() { READY } else { REFUSED };
    tell.write_all(&[word]).map_err(|e| e.to_string())?;
    unshared?;
    let mut byte = [0; 1];
    std::fs::File::from(go).read_exact(&mut byte).map_err(|e| format!("the id map was not written: {e}"))?;
    // With a single id in the map, groups cannot be given up.
    let groups: Option<&[u32]> = if ids.many() { Some(&[]) } else { None };
    sys::become_user(0, 0, groups)
        .map_err(|e| format!("cannot take on the mapped ids: {}", std::io::Error::from(e)))?;
    // A change of identity forgets it.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    Ok(())
}
