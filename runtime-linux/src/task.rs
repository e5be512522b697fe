//! From the finished sandbox to the task's first instruction. Runs after the clone, like [`crate::child`]: no
//! heap, no formatting, no panic, no destructor, no lock.
//!
//! When all that confines it is in force the task tries what must fail, tells the supervisor what became of it, and
//! executes when the supervisor has put that on record.

use crate::child::{At, Ends, Failure, Stage};
use crate::fault;
use crate::script::{Exec, Script, Step};
use crate::sys::{self, Errno};
use crate::wire::{LENGTH, Order, Report, Trial};
use rustix::fd::RawFd;
use rustix::fs::{Mode, OFlags};

/// Where the task's end of the socket to the supervisor stands until it executes.
const STARTED: RawFd = 3;
/// Where the second wall's rules stand until the task is behind them.
const WALL: RawFd = 4;

/// Forks the task; its number comes back in the guard.
pub(crate) fn start(script: &Script, ends: &Ends, stage: &Stage) -> Result<i32, Failure> {
    let task = sys::fork().at(Step::Fork)?;
    if task == 0 {
        fault::point("task.forked");
        let (step, errno) = match enter(script, ends, stage) {
            Ok(errno) => (Step::Execute, errno),
            Err((step, _, errno)) => (step, errno),
        };
        // By `write`, which every profile has. After `enter` has closed the rest it stands on 3.
        let _ = sys::write(STARTED, &Report::Failed { step, index: 0, errno: errno.0 }.encode());
        sys::leave(127)
    }
    fault::point("guard.forked");
    // The guard shares nothing of the task's but its identity.
    give_up(&script.exec)?;
    Ok(task)
}

/// From the fork to the task's first instruction. Comes back with the reason why not.
fn enter(script: &Script, ends: &Ends, stage: &Stage) -> Result<Errno, Failure> {
    let exec = &script.exec;
    // The report first, so that each later failure finds its way home.
    sys::place_for_now(ends.started, STARTED).at(Step::Streams)?;
    if let Some(rules) = stage.wall {
        sys::place_for_now(rules, WALL).at(Step::Streams)?;
    }
    let [stdin, stdout, stderr] = stage.terminal.map_or([ends.stdin, ends.stdout, ends.stderr], |end| [end; 3]);
    sys::place(stdin, 0).at(Step::Streams)?;
    sys::place(stdout, 1).at(Step::Streams)?;
    sys::place(stderr, 2).at(Step::Streams)?;
    sys::close_from(if stage.wall.is_some() { WALL } else { STARTED } as u32 + 1).at(Step::Streams)?;
    if exec.stdin_empty {
        // The sandbox's own, which can be opened again by its name.
        empty_stdin().at(Step::Streams)?;
    }
    rustix::process::setsid().at(Step::Session)?;
    if stage.terminal.is_some() {
        sys::take_terminal(0).at(Step::Terminal)?;
    }
    sys::reset_signals();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    for (resource, value) in &exec.rlimits {
        sys::limit(*resource, *value).at(Step::Limits)?;
    }
    if let Some(count) = exec.processors {
        sys::use_processors(count).at(Step::Limits)?;
    }
    give_up(exec)?;
    rustix::process::chdir(exec.workdir.as_c_str()).at(Step::Workdir)?;
    if stage.wall.is_some() {
        sys::wall::restrict(WALL).at(Step::Wall)?;
        sys::close(WALL);
    }
    filter(exec)?;
    let trial = try_what_must_fail(script);
    sys::write(STARTED, &Report::Tried(trial).encode()).at(Step::Report)?;
    wait_for_the_word()?;
    Ok(execute(exec))
}

fn empty_stdin() -> sys::Result<()> {
    let null = rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    sys::place(rustix::fd::AsRawFd::as_raw_fd(&null), 0)
}

/// Takes on the identity and gives every privilege up, in the order that the kernel wants.
fn give_up(exec: &Exec) -> Result<(), Failure> {
    if exec.bounding {
        sys::drop_capabilities().at(Step::Privileges)?;
    }
    sys::become_user(exec.uid, exec.gid, exec.groups.as_deref()).at(Step::Identity)?;
    sys::clear_capabilities().at(Step::Privileges)?;
    // A change of identity may have made us dumpable again.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).at(Step::Privileges)?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).at(Step::Privileges)?;
    rustix::thread::set_no_new_privs(true).at(Step::Privileges)
}

/// Installs the filter; where somebody is to hear of refusals the supervisor gets the descriptor.
fn filter(exec: &Exec) -> Result<(), Failure> {
    if !exec.heard {
        sys::filter::install(exec.filter).at(Step::Filter)?;
        return sys::write(STARTED, &Report::Confined.encode()).at(Step::Report);
    }
    // Closed at the exec.
    let listener = sys::filter::install_heard(exec.filter).at(Step::Filter)?;
    sys::send(STARTED, &Report::Confined.encode(), &[listener]).at(Step::Report)
}

/// Tries what each promise says must fail. What comes back is the kernel's own number, 0 for a success.
fn try_what_must_fail(script: &Script) -> Trial {
    let number = |result: Result<(), Errno>| result.err().map_or(0, |errno| errno.0.clamp(1, 255) as u8);
    let open = |path: &std::ffi::CStr, flags: OFlags| {
        let opened = rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o600));
        opened.map(drop).map_err(Errno::from)
    };
    Trial {
        read: number(open(&script.unreadable, OFlags::RDONLY)),
        write: number(open(&script.unwritable, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)),
        connect: number(match &script.doors {
            None => sys::reach_out(),
            Some(wanted) => sys::knock(wanted.shut),
        }),
        namespace: number(sys::unshare_user()),
    }
}

/// The supervisor says when what was tried is on record.
fn wait_for_the_word() -> Result<(), Failure> {
    let mut packet = [0; LENGTH];
    let length = sys::read(STARTED, &mut packet).at(Step::Handshake)?;
    match packet.get(..length).and_then(Order::decode) {
        Some(Order::Execute) => Ok(()),
        _ => Err((Step::Handshake, 0, Errno(libc::EPROTO))),
    }
}

/// Executes the first candidate that can be; the reason why none could.
fn execute(exec: &Exec) -> Errno {
    let mut why = Errno(libc::ENOENT);
    for (candidate, which) in &exec.candidates {
        let Some(argv) = exec.argv.get(*which) else { continue };
        match sys::execute(candidate, argv.pointers(), exec.envp.pointers()) {
            Errno(libc::ENOENT | libc::ENOTDIR) => {}
            // Found, but not to be executed: worth more than a later "not found".
            other => why = other,
        }
    }
    why
}
