//! Older kernels, and containers whose filter is older than this kernel: the calls that they lack are answered as they
//! would, by a filter on `aido` itself. It works, or says in words what is needed; it never hangs.

use crate::host;
use crate::output::{Output, find};
use crate::project::Project;
use crate::running::Running;
use nix::libc;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// What a kernel lacks.
#[derive(Clone, Default)]
struct Lacks {
    /// All calls from this number on; they are numbered as they came, alike on all machines since 5.1.
    from: Option<u32>,
    /// These too.
    calls: Vec<libc::c_long>,
    /// The answer: `ENOSYS`, or what a filter that does not know a call says.
    errno: i32,
    /// The kernel gives itself a name from before all of this.
    named_old: bool,
}

/// The first call that a kernel does not have yet.
const KERNELS: [(&str, u32); 6] =
    [("5.12", 443), ("5.14", 448), ("5.15", 449), ("6.1", 451), ("6.6", 454), ("6.12", 463)];

fn kernel(from: u32) -> Lacks {
    Lacks { from: Some(from), errno: libc::ENOSYS, ..Lacks::default() }
}

fn hidden(calls: &[libc::c_long], errno: i32) -> Lacks {
    Lacks { calls: calls.to_vec(), errno, ..Lacks::default() }
}

impl Lacks {
    fn filter(&self) -> Vec<libc::sock_filter> {
        let line = |code: u32, k: u32, jt, jf| libc::sock_filter { code: code as u16, jt, jf, k };
        let (load, equal, least) = (
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K,
        );
        let answer = |errno: i32| line(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32, 0, 0);
        let mut filter = vec![line(load, 0, 0, 0)];
        for number in &self.calls {
            filter.extend([line(equal, *number as u32, 0, 1), answer(self.errno)]);
        }
        if let Some(first) = self.from {
            filter.extend([line(least, first, 0, 1), answer(self.errno)]);
        }
        filter.push(line(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0));
        filter
    }

    /// Puts this over a command.
    fn over(&self, command: &mut Command) {
        let (filter, named_old) = (self.filter(), self.named_old);
        let install = move || {
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
            let old_name = 0x0020000; // UNAME26
            // SAFETY: numbers, and a program that outlives the call; nothing is allocated after the fork.
            let done = unsafe {
                (!named_old || libc::personality(old_name) >= 0)
                    && (libc::geteuid() == 0 || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
                    && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
            };
            if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        };
        // SAFETY: `install` makes system calls and nothing else.
        unsafe { command.pre_exec(install) };
    }

    #[track_caller]
    fn aido(&self, p: &Project, args: &[&str]) -> Output {
        let mut command = p.command(args);
        self.over(&mut command);
        let out = Running::start(command).end();
        assert!(out.took < Duration::from_secs(20), "hung{out}");
        assert!(!out.told().contains("panicked"), "{out}");
        out
    }
}

#[test]
fn a_filter_of_the_tests_does_what_they_think() {
    let mut command = Command::new("python3");
    command.args(["-c", "import os\ntry: os.pidfd_open(os.getpid())\nexcept OSError as e: print(e.errno)"]);
    hidden(&[libc::SYS_pidfd_open], libc::ENOSYS).over(&mut command);
    let Ok(out) = command.output() else { skip!("python3 is missing") };
    assert_eq!(String::from_utf8_lossy(&out.stdout), format!("{}\n", libc::ENOSYS));
}

#[test]
fn every_kernel_from_5_12_on_runs_a_task_and_knows_its_bounds() {
    let task = ["run", "--quiet", "--", "sh", "-c", "echo out >/outputs/x; cat /outputs/x; touch /usr/x || echo held"];
    let all = Project::new().aido(["doctor", "--json"]).json();
    for (name, from) in KERNELS {
        let p = Project::new();
        let out = kernel(from).aido(&p, &task);
        out.ok().stdout("out\nheld\n");
        assert_eq!(p.output("x"), "out\n", "as on Linux {name}");
        // What could be held on this machine can be held with the calls of that kernel; only Landlock came later.
        let said = kernel(from).aido(&p, &["doctor", "--json"]).json();
        for (control, standing) in all["controls"].as_object().expect("controls") {
            if !standing["by"].as_str().unwrap_or_default().to_lowercase().contains("landlock") {
                assert_eq!(
                    said["controls"][control]["force"], standing["force"],
                    "{control} as on Linux {name}: {said}"
                );
            }
        }
        if from <= 444 {
            assert_eq!(find(&said["facts"], "landlock").and_then(|value| value.as_str()), Some("none"), "{said}");
        }
    }
}

#[test]
fn an_image_runs_on_the_oldest_kernel_too() {
    let Some(images) = host::images() else { skip!("AIDO_IMAGES is not set") };
    let p = Project::new();
    let image = format!("oci:{}", images.join("tiny").display());
    kernel(443).aido(&p, &["run", "--quiet", "--runtime", &image, "--", "echo", "here"]).ok().stdout("here\n");
}

#[test]
fn an_older_kernel_is_told_which_one_is_needed_and_for_what() {
    let p = Project::new();
    for from in [442, 441, 436] {
        let old = Lacks { named_old: true, ..kernel(from) };
        let words = ["mount_setattr", "came with Linux 5.12, this is 2.6.", "read-only", "use Linux 5.12 or newer"];
        old.aido(&p, &["run", "--quiet", "--", "true"]).refused(&words);
        let out = old.aido(&p, &["doctor"]);
        words.iter().for_each(|word| {
            out.code(1).prints(word);
        });
    }
}

#[test]
fn what_a_filter_hides_is_not_blamed_on_the_kernel() {
    let p = Project::new();
    for (call, name) in [(libc::SYS_mount_setattr, "mount_setattr"), (libc::SYS_openat2, "openat2")] {
        for errno in [libc::ENOSYS, libc::EPERM] {
            let words = ["system call filter", name];
            hidden(&[call], errno).aido(&p, &["run", "--quiet", "--", "true"]).refused(&words);
            hidden(&[call], errno).aido(&p, &["doctor"]).code(1).prints("system call filter").prints(name);
        }
    }
}

#[test]
fn a_hidden_clone3_or_close_range_is_done_without() {
    let leak = "ls /proc/self/fd | wc -l";
    for calls in [&[libc::SYS_clone3][..], &[libc::SYS_close_range], &[libc::SYS_clone3, libc::SYS_close_range]] {
        for errno in [libc::ENOSYS, libc::EPERM] {
            let p = Project::new();
            let out = hidden(calls, errno).aido(&p, &["run", "--quiet", "--", "sh", "-c", leak]);
            // The three streams, and the listing's own.
            assert_eq!(out.ok().text().trim(), "4", "{out}");
            // What the task does is heard all the same, also where no thread can be made for that.
            let summary = p.summary();
            assert_eq!(summary["outcome"]["executed"].as_array().map(Vec::len), Some(3), "{summary}");
            let out = hidden(calls, errno).aido(&p, &["doctor"]);
            out.prints("hidden system calls").prints("done in another way");
            if host::has_cgroups() {
                let out = hidden(calls, errno).aido(&p, &["run", "--quiet", "--pids", "7", "--", "true"]);
                out.ok();
                let pids = find(&p.summary(), "pids").cloned().unwrap_or_default();
                assert!(pids.to_string().contains("in-force"), "{pids}");
            }
        }
    }
}

/// A sandbox that could not be ended would be waited for without end.
#[test]
fn without_the_calls_that_end_a_process_nothing_is_started() {
    let p = Project::new();
    for call in [libc::SYS_pidfd_send_signal, libc::SYS_pidfd_open] {
        for errno in [libc::ENOSYS, libc::EPERM] {
            hidden(&[call], errno).aido(&p, &["run", "--quiet", "--", "true"]).refused(&["pidfd_", "ending a process"]);
            hidden(&[call], errno).aido(&p, &["doctor"]).code(1).prints("ending a process");
        }
    }
}
