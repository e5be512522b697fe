//! The filter on the running kernel: threads take it, and what they start runs under it.

use crate::seccomp::Filters;
use aido_runtime::{Record, SyscallProfile};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs a command from a thread that has taken the default filter.
fn filtered(command: &mut Command) -> Output {
    filtered_by(&SyscallProfile::Default, command)
}

fn filtered_by(profile: &SyscallProfile, command: &mut Command) -> Output {
    let convert = |i: &libc::sock_filter| seccompiler::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
    let filters = Filters::of(profile, Record::Standard).expect("a profile of ours");
    let filter: Vec<_> = filters.plain.instructions().iter().map(convert).collect();
    let run = || {
        seccompiler::apply_filter(&filter).expect("the kernel takes the filter");
        command.stdin(Stdio::null()).output().expect("the command starts under the filter")
    };
    std::thread::scope(|scope| scope.spawn(run).join().expect("the filtered thread ends well"))
}

/// A missing tool is said aloud; with AIDO_MUST_WORK=1 it is a failure.
fn have(tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |tool: &&&str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    let missing: Vec<_> = tools.iter().filter(|tool| !found(tool)).collect();
    if missing.is_empty() {
        return true;
    }
    let must = std::env::var("AIDO_MUST_WORK").is_ok_and(|value| value == "1");
    assert!(!must, "not on this machine: {missing:?}; install them or unset AIDO_MUST_WORK");
    eprintln!("SKIPPED: not on this machine: {missing:?}");
    false
}

fn succeeds(name: &str, command: &mut Command) -> String {
    succeeds_by(&SyscallProfile::Default, name, command)
}

fn succeeds_by(profile: &SyscallProfile, name: &str, command: &mut Command) -> String {
    let output = filtered_by(profile, command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} under the filter: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn build_probe(folder: &Path) -> PathBuf {
    let (source, probe) = (folder.join("probe.c"), folder.join("probe"));
    std::fs::write(&source, include_str!("probe.c")).expect("the probe's source");
    let built = Command::new("gcc").args(["-O1", "-o"]).arg(&probe).arg(&source).output().expect("gcc starts");
    assert!(built.status.success(), "gcc: {}", String::from_utf8_lossy(&built.stderr));
    probe
}

fn errors(output: &Output) -> BTreeMap<String, i32> {
    assert!(output.status.success(), "the probe itself failed: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |line: &str| {
        let (name, errno) = line.split_once(' ').expect("name and errno");
        (name.to_owned(), errno.parse().expect("an errno"))
    };
    text.lines().map(line).collect()
}

/// The filter's answer, and whether the kernel without a filter surely answers something else.
const ANSWERS: &[(&str, i32, bool)] = &[
    ("unshare", libc::EPERM, true),
    ("setns", libc::EPERM, true),
    ("umount2", libc::EPERM, true),
    ("clone-newuser", libc::EPERM, true),
    ("clone3", libc::ENOSYS, true),
    ("io_uring_setup", libc::ENOSYS, true),
    ("keyctl", libc::EPERM, true),
    ("bpf", libc::EPERM, false), // hosts refuse it to ordinary users with the same error
    ("perf_event_open", libc::EPERM, true),
    ("process_vm_readv", libc::ENOSYS, true),
    ("personality", libc::EPERM, true),
    ("socket-unknown-family", libc::EPERM, true),
    ("socket-alg", libc::EPERM, true),
    ("socket-packet-by-type", libc::EPERM, false), // likewise, for want of a capability
    ("socketpair-inet", libc::EPERM, true),
    ("tiocsti", libc::EPERM, true),
    ("tiocsti-high-bits", libc::EPERM, true),
    ("tioclinux", libc::EPERM, true),
    ("getpid", 0, false),
    ("socket-unix", 0, false),
    ("socket-route", 0, false),
    ("tiocgwinsz", libc::EBADF, false), // allowed: it is the kernel that misses the descriptor
    ("newer-than-the-profile", libc::ENOSYS, false),
];

#[test]
fn the_kernel_answers_as_the_profile_says() {
    if !have(&["gcc"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let probe = build_probe(folder.path());
    let inside = errors(&filtered(&mut Command::new(&probe)));
    let outside = errors(&Command::new(&probe).output().expect("the probe starts"));
    for (name, errno, differs) in ANSWERS {
        assert_eq!(inside[*name], *errno, "{name} under the filter");
        let unfiltered = outside[*name];
        // Where this process is itself in a container, its own filter may give the same answer.
        let nested = std::fs::read_to_string("/proc/self/status").is_ok_and(|status| !status.contains("Seccomp:\t0"));
        assert!(
            !differs || nested || unfiltered != *errno,
            "{name}: the kernel alone answers the same, so this proves nothing"
        );
    }
    assert_eq!(inside.len(), ANSWERS.len(), "every probe is in the table");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn foreign_entries_end_the_process() {
    if !have(&["gcc"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let probe = build_probe(folder.path());
    for entry in ["i386", "x32"] {
        let status = filtered(Command::new(&probe).arg(entry)).status;
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{entry} under the filter: {status}");
        let status = Command::new(&probe).arg(entry).status().expect("the probe starts");
        assert_ne!(status.signal(), Some(libc::SIGSYS), "{entry} without the filter: {status}");
    }
}

#[test]
fn shells_run() {
    if !have(&["sh", "bash", "busybox"]) {
        return;
    }
    let script = "set -e; x=$(printf 'b\\na\\n' | sort | head -n 1); [ \"$x\" = a ]; sleep 0.01 & wait; \
                  d=$(mktemp -d); mkfifo $d/f; (echo hi >$d/f &); read y <$d/f; rm -r $d; echo $y";
    for shell in [&["sh"][..], &["bash"], &["busybox", "sh"]] {
        let said = succeeds(shell[0], Command::new(shell[0]).args(&shell[1..]).args(["-c", script]));
        assert_eq!(said, "hi\n", "{shell:?}");
    }
}

#[test]
fn plain_interpreters_run_under_the_strict_profile() {
    if !have(&["sh", "bash", "python3", "perl"]) {
        return;
    }
    let strict = SyscallProfile::Strict;
    let script = "set -e; x=$(printf 'b\\na\\n' | sort | head -n 1); [ \"$x\" = a ]; d=$(mktemp -d); mkdir $d/e; cp /etc/passwd $d/e; \
                  mv $d/e $d/f; grep -c root $d/f/passwd >/dev/null; rm -r $d; (sleep 0.01; true) & wait; echo done";
    for shell in ["sh", "bash"] {
        assert_eq!(succeeds_by(&strict, shell, Command::new(shell).args(["-c", script])), "done\n");
    }
    let python = "import asyncio, json, os, re, subprocess, tempfile, threading\n\
                  t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n\
                  print(subprocess.check_output(['echo', 'sub'], text=True).strip())\n\
                  with tempfile.TemporaryDirectory() as d: open(os.path.join(d, 'x'), 'w').write(json.dumps([1]))\n\
                  async def two(): await asyncio.sleep(0.01); return 2\n\
                  print(asyncio.run(two()))\n\
                  import socket\n\
                  try: socket.socket(); print('SOCKET')\n\
                  except PermissionError: print('no socket')\n";
    let said = succeeds_by(&strict, "python3", Command::new("python3").args(["-c", python]));
    assert_eq!(said, "thread\nsub\n2\nno socket\n");
    let perl = "print join(',', map { $_ * 2 } 1..3), \"\\n\"; print `echo sub`;";
    assert_eq!(succeeds_by(&strict, "perl", Command::new("perl").args(["-e", perl])), "2,4,6\nsub\n");
}

const PYTHON: &str = r#"
import asyncio, multiprocessing, os, socket, sqlite3, subprocess, tempfile, threading
def square(n): return n * n
async def child():
    process = await asyncio.create_subprocess_exec("echo", "async", stdout=subprocess.PIPE)
    return (await process.communicate())[0].decode().strip()
async def echo():
    async def serve(reader, writer):
        writer.write(await reader.readline()); await writer.drain(); writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"net\n"); line = await reader.readline(); writer.close(); server.close()
    return line.decode().strip()
if __name__ == "__main__":
    found = []
    threads = [threading.Thread(target=found.append, args=(n,)) for n in range(8)]
    [t.start() for t in threads]; [t.join() for t in threads]
    assert sorted(found) == list(range(8))
    with multiprocessing.Pool(2) as pool: assert pool.map(square, [1, 2, 3]) == [1, 4, 9]
    with tempfile.TemporaryDirectory() as d:
        base = sqlite3.connect(os.path.join(d, "x.db")); base.execute("create table t(a)"); base.commit(); base.close()
    a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
    for kind in ("AF_PACKET", "AF_VSOCK", "AF_ALG"):
        try: socket.socket(getattr(socket, kind), socket.SOCK_RAW); raise SystemExit(kind)
        except PermissionError: pass
    print(subprocess.check_output(["echo", "sub"], text=True).strip(), asyncio.run(child()), asyncio.run(echo()))
"#;

#[test]
fn python_runs_threads_processes_and_event_loops() {
    if !have(&["python3"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("script.py");
    std::fs::write(&script, PYTHON).expect("the script");
    assert_eq!(succeeds("python3", Command::new("python3").arg(&script)), "sub async net\n");
}

#[test]
fn git_and_a_build_run() {
    if !have(&["git", "make", "gcc", "sh"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = "set -e; git init -q r; cd r; printf 'int main(void){return 0;}' >a.c; printf 'a: a.c\\n\\tgcc -o a a.c\\n' >Makefile
        make -s -j2; ./a; git add .; git -c user.name=a -c user.email=a@b commit -qm one; git gc -q; git clone -q . ../c; git -C ../c log --format=%s";
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder.path()).env("HOME", folder.path());
    assert_eq!(succeeds("git and make", &mut command), "one\n");
}
