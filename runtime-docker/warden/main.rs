//! The warden: process 1 of a run's container, so that the run's end needs nobody outside.
//!
//! It tells what holds in here, waits for the word, starts the task, passes signals on, reaps, ends everything at the
//! limit, says how it went, and keeps the outputs until they were collected. No library, no heap. Orders are signals that come from
//! outside the container; what the task sends is not heard.
//!
//! With the word `door` after its name it is something else: the way out of a run with a network (`door.rs`).
#![no_std]
#![no_main]
#![no_builtins]

mod door;
mod memory;
mod route;
mod say;
mod script;
mod slots;
mod sys;

use say::{Frame, NO_WORD};
use script::Script;
use sys::{SIGCHLD, SIGKILL, SIGSTOP, SIGTERM};

/// Real-time signals are orders: this many more than a signal's number sends that to everything in here.
const TO_ALL: i32 = 34;
/// … but for these: begin; stay while outputs are collected; and what only the task is sent and cannot be passed on as it is.
const BEGIN: i32 = 64;
const STAY: i32 = 63;
const KILL_TASK: i32 = TO_ALL;
const STOP_TASK: i32 = TO_ALL + SIGSTOP;

const PATIENCE_MS: u64 = 10_000;
const BUILDING_MS: u64 = 120_000;
const KILLING_MS: u64 = 5_000;

/// The whole life of process 1. `stack`: as the kernel gave it to the program.
extern "C" fn main(stack: *const usize) -> ! {
    sys::not_dumpable();
    sys::block_signals(true);
    sys::umask(0o022);
    let mut words = sys::arguments(stack);
    let shut = match words.next() {
        Some(b"door\0") => door::main(words),
        word => word.and_then(number).unwrap_or(0) as u16,
    };
    if !report(shut).send(2, PATIENCE_MS) || !begin() {
        sys::exit(125)
    }
    match Script::read() {
        Ok(script) => run(script),
        Err(error) => failed(&NO_WORD, b's', error),
    }
}

/// A number in decimal digits, with its NUL.
fn number(word: &[u8]) -> Option<u64> {
    let digits = word.split_last().map_or(&[][..], |(_, digits)| digits);
    let add = |sum: u64, digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit.checked_sub(b'0')?));
    digits.iter().try_fold(0, add).filter(|_| digits.iter().all(u8::is_ascii_digit))
}

/// What holds in here, as files of the kernel say and as trials show. `shut`: a port that leads nowhere although every address
/// is at home here.
fn report(shut: u16) -> Frame {
    let mut frame = Frame::new(&NO_WORD, b'R');
    frame.file(b"status", b"/proc/self/status\0");
    frame.file(b"net", b"/proc/net/dev\0");
    frame.file(b"memory", b"/sys/fs/cgroup/memory.max\0");
    frame.file(b"swap", b"/sys/fs/cgroup/memory.swap.max\0");
    frame.file(b"cpu", b"/sys/fs/cgroup/cpu.max\0");
    frame.file(b"pids", b"/sys/fs/cgroup/pids.max\0");
    frame.file(b"memory1", b"/sys/fs/cgroup/memory/memory.limit_in_bytes\0");
    frame.file(b"swap1", b"/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes\0");
    frame.file(b"quota1", b"/sys/fs/cgroup/cpu/cpu.cfs_quota_us\0");
    frame.file(b"period1", b"/sys/fs/cgroup/cpu/cpu.cfs_period_us\0");
    frame.file(b"pids1", b"/sys/fs/cgroup/pids/pids.max\0");
    frame.number(b"environ", trial(|| sys::open(b"/proc/1/environ\0").map(|_| 0)));
    frame.number(b"root", trial(|| sys::create(b"/.aido-trial\0").map(|_| 0)));
    frame.number(b"namespace", trial(sys::unshare_user));
    frame.number(b"reach", trial(|| if shut == 0 { sys::reach_out() } else { sys::knock(shut) }));
    frame
}

/// What becomes of something that must fail, tried by a process of its own: the number of the error, 0 if it was
/// done, minus a signal's number if that ended it.
fn trial(what: impl Fn() -> sys::Result<usize>) -> i64 {
    match sys::fork() {
        Ok(0) => sys::exit(what().err().unwrap_or(0)),
        Ok(pid) => match sys::wait_for(pid) {
            Ok(status) if status & 0x7f == 0 => i64::from(status >> 8 & 0xff),
            Ok(status) => -i64::from(status & 0x7f),
            Err(error) => 1000 + i64::from(error),
        },
        Err(error) => 1000 + i64::from(error),
    }
}

/// Waits for the word to begin.
fn begin() -> bool {
    let until = sys::now_ms() + BUILDING_MS;
    while sys::now_ms() < until {
        match sys::wait_signal(1000) {
            Some(signal) if signal.from_outside && signal.number == BEGIN => return true,
            Some(signal) if signal.from_outside && signal.number == SIGTERM => return false,
            _ => {}
        }
    }
    false
}

/// The task was not started: the step and the number of the error.
fn failed(word: &[u8; 32], step: u8, error: i32) -> ! {
    let mut frame = Frame::new(word, b'X');
    frame.number(b"step", i64::from(step));
    frame.number(b"error", i64::from(error));
    frame.send(2, PATIENCE_MS);
    sys::exit(125)
}

fn run(mut script: Script) -> ! {
    let started = sys::now_ms();
    let word = script.end_word;
    if script.tty {
        // The task's session takes it.
        sys::leave_terminal(0);
    }
    let ends = match sys::pipe() {
        Ok(ends) => ends,
        Err(error) => failed(&word, b'f', error),
    };
    let task = match sys::fork() {
        Ok(0) => become_task(&mut script, ends[1]),
        Ok(pid) => pid,
        Err(error) => failed(&word, b'f', error),
    };
    sys::close(ends[1]);
    // Closed by the exec, or by an end before it.
    let mut failure = [0_u8; 5];
    if matches!(sys::read(ends[0], &mut failure), Ok(5)) {
        let error = i32::from_le_bytes([failure[1], failure[2], failure[3], failure[4]]);
        failed(&word, failure[0], error)
    }
    sys::close(ends[0]);
    Frame::new(&script.start_word, b'S').send(2, PATIENCE_MS);
    let end = watch(&script, task, started);
    finish(&script, end)
}

fn become_task(script: &mut Script, report: i32) -> ! {
    sys::new_session();
    if script.tty {
        sys::take_terminal(0);
    }
    sys::default_signals();
    sys::block_signals(false);
    let (step, error) = match sys::chdir(script.workdir) {
        Ok(_) => (b'e', script.execute()),
        Err(error) => (b'c', error),
    };
    let number = error.to_le_bytes();
    let _ = sys::write(report, &[step, number[0], number[1], number[2], number[3]]);
    sys::exit(127)
}

/// How the task ended.
struct End {
    status: Option<i32>,
    deadline: bool,
    /// Milliseconds since it was started.
    wall: u64,
}

/// Until the task has ended: signals, the dead, the limit.
fn watch(script: &Script, task: i32, started: u64) -> End {
    let mut end = End { status: None, deadline: false, wall: 0 };
    loop {
        let passed = sys::now_ms() - started;
        end.wall = passed;
        while let Ok(Some((pid, status))) = sys::reap() {
            if pid == task {
                end.status = Some(status);
                return end;
            }
        }
        if passed >= script.ttl_ms && !end.deadline {
            end.deadline = true;
            sys::kill(-1, SIGTERM);
        }
        if passed >= script.ttl_ms.saturating_add(script.grace_ms) {
            return end;
        }
        let next = if end.deadline { script.ttl_ms + script.grace_ms } else { script.ttl_ms };
        // Never for long: the clock of the wait stands still while the machine sleeps.
        if let Some(signal) = sys::wait_signal((next - passed).min(1000)) {
            obey(signal, task)
        }
    }
}

fn obey(signal: sys::Signal, task: i32) {
    match signal.number {
        _ if !signal.from_outside => {}
        SIGCHLD => {}
        KILL_TASK => sys::kill(task, SIGKILL),
        STOP_TASK => sys::kill(task, SIGSTOP),
        number if number > TO_ALL && number < STAY => sys::kill(-1, number - TO_ALL),
        number if number < 32 => sys::kill(task, number),
        _ => {}
    }
}

/// Ends what is left, tells how it went, and waits to be removed.
fn finish(script: &Script, mut end: End) -> ! {
    let until = sys::now_ms() + KILLING_MS;
    let mut gone = false;
    while !gone && sys::now_ms() < until {
        sys::kill(-1, SIGKILL);
        match sys::reap() {
            Ok(Some((_, status))) => end.status = end.status.or(Some(status).filter(|_| end.deadline)),
            Ok(None) => drop(sys::wait_signal(10)),
            Err(_) => gone = true,
        }
    }
    sys::resume_terminal(2);
    sys::never_block(1);
    sys::never_block(2);
    // What the task wrote last comes before this, on each of the two.
    let said = script.tty || Frame::new(&script.end_word, b'D').send(1, PATIENCE_MS);
    let (user, system) = sys::used();
    let mut frame = Frame::new(&script.end_word, b'E');
    frame.number(b"status", i64::from(end.status.unwrap_or(SIGKILL)));
    frame.number(b"deadline", i64::from(end.deadline));
    frame.number(b"wall", end.wall as i64);
    frame.number(b"gone", i64::from(gone));
    frame.number(b"user", user as i64);
    frame.number(b"system", system as i64);
    frame.file(b"peak", b"/sys/fs/cgroup/memory.peak\0");
    frame.file(b"events", b"/sys/fs/cgroup/memory.events\0");
    frame.file(b"pidspeak", b"/sys/fs/cgroup/pids.peak\0");
    frame.file(b"pidsevents", b"/sys/fs/cgroup/pids.events\0");
    frame.file(b"cpustat", b"/sys/fs/cgroup/cpu.stat\0");
    frame.file(b"peak1", b"/sys/fs/cgroup/memory/memory.max_usage_in_bytes\0");
    frame.file(b"events1", b"/sys/fs/cgroup/memory/memory.oom_control\0");
    frame.file(b"pidsevents1", b"/sys/fs/cgroup/pids/pids.events\0");
    frame.file(b"cpustat1", b"/sys/fs/cgroup/cpu/cpu.stat\0");
    if said && frame.send(2, PATIENCE_MS) && gone {
        // Whoever collects the outputs says so; without them nobody is there to wait for.
        let mut until = sys::now_ms() + PATIENCE_MS;
        while sys::now_ms() < until {
            if sys::wait_signal(1000).is_some_and(|signal| signal.from_outside && signal.number == STAY) {
                until = sys::now_ms().saturating_add(script.rest_ms);
            }
        }
    }
    let status = end.status.unwrap_or(SIGKILL);
    sys::exit(if status & 0x7f == 0 { status >> 8 & 0xff } else { 128 + (status & 0x7f) })
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(125)
}
