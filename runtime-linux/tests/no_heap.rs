//! Between the clone and the exec nothing may touch the heap: another thread of the parent might have
//! held its lock. Here the allocator ends any process that tries, by the number that the sandbox's
//! first two processes have in their own process namespace.

use aido_runtime::{
    Command, Control, Deadline, Doors, Egress, End, EnvValue, Error, Event, Gate, Identity, Io, Isolation, Limit,
    Limits, Listener, Mount, MountKind, Network, PLAN_VERSION, Plan, Root, Runtime, Stream, SyscallProfile, Task,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::Stdio;

struct Forbidding;

// SAFETY: hands everything on to the system's allocator, or ends the process.
unsafe impl GlobalAlloc for Forbidding {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        stop_in_a_sandbox();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        stop_in_a_sandbox();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn stop_in_a_sandbox() {
    if std::process::id() <= 2 {
        std::process::abort();
    }
}

#[global_allocator]
static HEAP: Forbidding = Forbidding;

#[derive(Default)]
struct Heard {
    stdout: Vec<u8>,
    events: Vec<Event>,
    /// How many of each kind.
    doors: (usize, usize, usize, usize),
}

impl Listener for Heard {
    fn event(&mut self, event: Event) -> Result<(), Error> {
        self.events.push(event);
        Ok(())
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stdout {
            self.stdout.extend_from_slice(bytes);
        }
    }

    fn command(&mut self) -> Option<Command> {
        None
    }

    fn doors(&mut self, doors: Doors) -> Result<(), Error> {
        self.doors = (doors.tcp.len(), doors.proxy.len(), doors.names_udp.len(), doors.names_tcp.len());
        Ok(())
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

fn plan(project: &Path, tty: bool) -> Plan {
    let mount = |target: &str, kind| Mount { target: target.into(), kind };
    let input = MountKind::Input { source: project.to_path_buf(), hidden: vec![".env".into()], secret: false };
    let limits = Limits {
        memory: Limit::default(256 << 20),
        cpus: Limit::default(1000),
        pids: Limit::default(64),
        disk: Limit::default(16 << 20),
        output: Limit::default(1 << 20),
    };
    Plan {
        version: PLAN_VERSION,
        name: "no-heap".into(),
        root: Root::Host,
        mounts: vec![
            mount("/workspace", input),
            mount("/outputs", MountKind::OutputFolder { path: String::new() }),
            mount("/workspace/log", MountKind::OutputFile { path: "log".into() }),
            mount("/tmp", MountKind::Scratch { mode: 0o1777 }),
        ],
        task: Task {
            programs: vec!["nowhere".into(), "sh".into()],
            args: vec!["-c".into(), "echo $A; ls -A; echo kept > log".into()],
            workdir: "/workspace".into(),
            env: BTreeMap::from([("A".to_string(), EnvValue::Literal("here".into()))]),
            stdin: false,
            tty,
        },
        identity: Identity {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: Vec::new(),
        },
        limits,
        network: Network::None,
        syscalls: SyscallProfile::Default,
        isolation: Isolation::Full,
        deadline: Deadline { ttl_ms: 30_000, grace_ms: 1_000 },
        record: aido_runtime::Record::default(),
        exact_output: false,
        accept_weaker: BTreeSet::from([Control::Memory, Control::Cpus, Control::Pids]),
    }
}

#[test]
fn a_whole_run_happens_without_the_heap() {
    assert_eq!(run(false, None), "here\nlog\noutputs\nseen\n");
    // What is made for a terminal is made there too.
    assert_eq!(run(true, None), "here\r\nlog  outputs  seen\r\n");
}

#[test]
fn doors_are_opened_without_the_heap() {
    let gate = Gate { ports: vec![80, 443, 5432], authority: "a certificate".into() };
    assert_eq!(run(false, Some(gate)), "here\nlog\noutputs\nseen\n");
}

/// What a run shows, which must go well.
fn run(tty: bool, gate: Option<Gate>) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("seen"), "").unwrap();
    std::fs::write(folder.path().join(".env"), "SECRET=1").unwrap();
    let outputs = folder.path().join("outputs");
    std::fs::create_dir(&outputs).unwrap();
    let mut heard = Heard::default();
    let engine = aido_runtime_linux::Linux::new(None, format!("heap{}-{}", std::process::id(), gate.is_some()));
    let io = Io {
        secrets: BTreeMap::new(),
        secret_files: BTreeMap::new(),
        outputs: outputs.clone(),
        layer: None,
        stdin: None,
        window: None,
        gate: gate.clone(),
    };
    let egress = Egress { any: true, ..Egress::default() };
    let network = if gate.is_some() { Network::Gateway(egress) } else { Network::None };
    let plan = Plan { network, ..plan(folder.path(), tty) };
    let outcome = engine.run(&plan, io, &mut heard).unwrap();
    assert_eq!(heard.doors, gate.map_or((0, 0, 0, 0), |gate| (gate.ports.len(), 1, 1, 1)));
    assert_eq!(outcome.end, End::Exited { code: 0 }, "{:?}", heard.events);
    assert_eq!(std::fs::read_to_string(outputs.join("log")).unwrap(), "kept\n");
    String::from_utf8(heard.stdout).unwrap()
}

#[test]
fn the_allocator_does_end_a_process_with_such_a_number() {
    // This test program itself, as the first process of a process namespace.
    let me = std::env::current_exe().unwrap();
    let status = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child"])
        .arg(me)
        .arg("--list")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match status {
        Ok(status) => assert!(!status.success(), "the heap was used and nobody ended the process"),
        Err(e) => {
            assert!(std::env::var_os("AIDO_MUST_WORK").is_none(), "unshare: {e}");
            eprintln!("skipped: no unshare(1) here: {e}");
        }
    }
}
