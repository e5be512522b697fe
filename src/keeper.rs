//! The keeper: a small process beside a sandbox that stays, which ends it when its time is over, without
//! another command. It is this program under a name of its own, in a session of its own, and holds nothing
//! of its caller: no stream, no variable, no folder but the evidence.

use crate::backend::{self, Ahead, fault};
use crate::process::Process;
use crate::recover;
use aido_evidence::{Draft, Home, Keeper, Project, Sandbox};
use aido_runtime::{Error, Plan};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::inotify;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// How it is called, by itself and by `ps`.
const NAME: &str = "aido-keeper";
/// How long it may take to stand.
const PATIENCE: Duration = Duration::from_secs(20);
/// What it says when it does.
const READY: u8 = b'k';
/// How often it looks whether the sandbox is still there where the kernel does not tell it.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// A keeper that stands. Ended with this value, unless it is let go.
pub(crate) struct Standing {
    child: Child,
    identity: Process,
    let_go: bool,
}

/// Starts the keeper of a sandbox that is being made, and waits until it stands.
pub(crate) fn start(project: &Path, draft: &Draft) -> Result<Standing, Error> {
    let failed = |why: String| {
        Error::new(format!("cannot start the keeper, which ends the sandbox when its time is over: {why}"))
            .remedy("`aido run` needs none; see `ulimit -u` for the number of processes that you may have")
    };
    // Not by its name: whatever lies at the program's path by now, this is the same program.
    let mut command = Command::new("/proc/self/exe");
    command.arg0(NAME).arg(project).arg(draft.id().as_str()).arg(draft.deadline_ms().to_string());
    // It has no variables to find them by.
    let home = backend::own_home();
    command.args([home.keys, home.anchors].map(Option::unwrap_or_default));
    command
        .env_clear()
        .envs(fault::passed_on())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    let ready = child.stdout.take().map(OwnedFd::from);
    let identity = Process::with(child.id() as i32);
    let mut standing = Standing { child, identity: Process { pid: 0, start: 0 }, let_go: false };
    let (Some(ready), Some(identity)) = (ready, identity) else { return Err(failed("it ended at once".into())) };
    standing.identity = identity;
    if stands(&ready) { Ok(standing) } else { Err(failed("it did not come to stand".into())) }
}

/// Whether the keeper says in time that it stands.
fn stands(ready: &OwnedFd) -> bool {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(ready.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return false,
            Ok(_) => break,
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
    let mut said = [0];
    nix::unistd::read(ready, &mut said) == Ok(1) && said == [READY]
}

impl Standing {
    pub(crate) fn identity(&self) -> Keeper {
        Keeper { pid: self.identity.pid, start: self.identity.start }
    }

    /// The sandbox has its name: from here on the keeper stays.
    pub(crate) fn let_go(mut self) {
        self.let_go = true;
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if !self.let_go {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Whether this process was started to be a keeper; if so, its whole life.
pub(crate) fn main() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    if args.next().as_deref() != Some(OsStr::new(NAME)) {
        return None;
    }
    Some(ExitCode::from(match keep(&args.collect::<Vec<_>>()) {
        Ok(()) => 0,
        // Nobody listens: the next command that looks at the project does what is left.
        Err(_) => aido_runtime::exit::AIDO_FAILED,
    }))
}

fn keep(args: &[OsString]) -> Result<(), Error> {
    let failed = |e: &dyn std::fmt::Display| Error::new(e.to_string());
    let [dir, id, deadline, keys, anchors] = args else {
        return Err(Error::new("a keeper is started by `aido sandbox up`"));
    };
    let (Some(id), Some(deadline)) = (id.to_str(), deadline.to_str().and_then(|text| text.parse().ok())) else {
        return Err(Error::new("a keeper is started by `aido sandbox up`"));
    };
    rustix::process::setsid().map_err(|e| failed(&e))?;
    let _ = rustix::thread::set_name(c"aido-keeper");
    let place = |path: &OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let home = Home { keys: place(keys), anchors: place(anchors) };
    let project = Project::open(Path::new(dir), &home).map_err(|e| failed(&e))?.ok_or_else(|| failed(&"no .aido"))?;
    let timer = at(deadline).map_err(|e| failed(&e))?;
    fault::point("keeper.begun");
    nix::unistd::write(std::io::stdout(), &[READY]).map_err(|e| failed(&e))?;
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").map_err(|e| failed(&e))?;
    nix::unistd::dup2_stdout(&null).map_err(|e| failed(&e))?;
    wait_for_the_name(&timer);
    nix::unistd::dup2_stdin(&null).map_err(|e| failed(&e))?;
    // The maker has published the sandbox, or it is dead.
    if project.discard_draft(id).map_err(|e| failed(&e))? {
        return Ok(());
    }
    drop(null);
    fault::point("keeper.named");
    // For as long as this process lives.
    let _ids = hold_ids(&project, id);
    wait_for_its_time(&project, id, &timer)?.map_or(Ok(()), |sandbox| recover::end_at_its_time(&sandbox))
}

/// What takes longest of each run in an image is made once for all of them: a user namespace with the image's ids. Where it
/// cannot be had, each run makes its own.
fn hold_ids(project: &Project, id: &str) -> Option<Ahead> {
    let sandbox = project.sandbox_with(id).ok()??;
    let backend = sandbox.state().ok()?.backend?.parse().ok()?;
    let plan: Plan = serde_json::from_slice(&sandbox.plan().ok()??).ok()?;
    let mut ahead = backend::ahead(backend, &plan, None)?;
    ahead.is_whole().then_some(ahead)
}

/// A timer for a moment of the clock that also runs while the machine sleeps.
fn at(boottime_ms: u64) -> rustix::io::Result<OwnedFd> {
    let timer = rustix::time::timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    // Zero would mean never.
    let ms = boottime_ms.max(1);
    let when = Timespec { tv_sec: (ms / 1000) as i64, tv_nsec: (ms % 1000 * 1_000_000) as _ };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: when };
    rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &once)?;
    Ok(timer)
}

/// Until the maker closes its end, or the time is over before.
fn wait_for_the_name(timer: &OwnedFd) {
    let stdin = std::io::stdin();
    loop {
        let mut both = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN), PollFd::new(timer.as_fd(), PollFlags::POLLIN)];
        if poll(&mut both, PollTimeout::NONE) != Err(nix::errno::Errno::EINTR) {
            return;
        }
    }
}

/// Until its time is over; None if it was ended or destroyed before.
fn wait_for_its_time(project: &Project, id: &str, timer: &OwnedFd) -> Result<Option<Sandbox>, Error> {
    let there = || -> Option<Sandbox> {
        let sandbox = project.sandbox_with(id).ok()??;
        // One that cannot be read now is tried when its time is over.
        sandbox.state().map_or(true, |state| state.ended.is_none()).then_some(sandbox)
    };
    let changes = there().and_then(|sandbox| watch(&sandbox).ok());
    let patience = if changes.is_some() {
        PollTimeout::NONE
    } else {
        PollTimeout::try_from(LOOK_AGAIN).unwrap_or(PollTimeout::MAX)
    };
    loop {
        let mut polled = vec![PollFd::new(timer.as_fd(), PollFlags::POLLIN)];
        polled.extend(changes.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        if let Err(errno) = poll(&mut polled, patience)
            && errno != nix::errno::Errno::EINTR
        {
            return Err(Error::new(format!("cannot wait: {errno}")));
        }
        let over = polled[0].any() == Some(true);
        if let Some(changes) = &changes {
            let mut told = [0; 4096];
            while rustix::io::read(changes, &mut told).is_ok_and(|length| length > 0) {}
        }
        match there() {
            None => return Ok(None),
            Some(sandbox) if over => return Ok(Some(sandbox)),
            Some(_) => {}
        }
    }
}

/// Tells when a sandbox of the project is moved away (a removal begins so) or deleted, and when the state of
/// this one changes.
fn watch(sandbox: &Sandbox) -> rustix::io::Result<OwnedFd> {
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let (gone, state) = (inotify::WatchFlags::DELETE | inotify::WatchFlags::MOVED_FROM, inotify::WatchFlags::MOVED_TO);
    inotify::add_watch(&changes, sandbox.folder(), state | inotify::WatchFlags::ONLYDIR)?;
    let all = sandbox.folder().parent().ok_or(rustix::io::Errno::NOENT)?;
    inotify::add_watch(&changes, all, gone | inotify::WatchFlags::ONLYDIR)?;
    Ok(changes)
}
