//! Folders that a task may change as it likes: nothing of it is seen outside, all of it is seen by the next run in the
//! same layer, and what is written is bounded.

use aido_runtime::{
    Command, Control, Deadline, End, Error, Event, Identity, Io, Isolation, Layer, Limit, Limits, Listener, Mount,
    MountKind, Network, Outcome, PLAN_VERSION, Plan, Root, Runtime, Stream, SyscallProfile, Task,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

#[derive(Default)]
struct Heard {
    text: String,
}

impl Listener for Heard {
    fn event(&mut self, _: Event) -> Result<(), Error> {
        Ok(())
    }

    fn output(&mut self, _: Stream, bytes: &[u8]) {
        self.text.push_str(&String::from_utf8_lossy(bytes));
    }

    fn command(&mut self) -> Option<Command> {
        None
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A project and the layers over it.
struct Bench {
    scratch: tempfile::TempDir,
    number: u32,
}

/// What a project is made of, to be compared: paths, kinds, modes and contents.
type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

fn tree(folder: &Path) -> Tree {
    let mut found = Tree::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap().flatten() {
            let path = entry.path();
            if entry.file_name() == ".aido" {
                continue;
            }
            let meta = path.symlink_metadata().unwrap();
            let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            if meta.is_dir() {
                open.push(path.clone());
            }
            found.insert(path.strip_prefix(folder).unwrap().to_path_buf(), (meta.mode(), content));
        }
    }
    found
}

impl Bench {
    fn new() -> Bench {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        for folder in ["project/src/deep", "project/.git", "project/old"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["src/a.txt", "src/deep/b.txt", ".git/config", "old/c.txt", ".env"] {
            fs::write(at("project").join(file), format!("{file}\n")).unwrap();
        }
        Bench { scratch, number: 0 }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.scratch.path().canonicalize().unwrap().join(name)
    }

    /// Below the project, as aido keeps them.
    fn layer(&self, name: &str) -> PathBuf {
        let layer = self.at("project/.aido").join(name);
        fs::create_dir_all(layer.join("upper")).unwrap();
        layer
    }

    fn plan(&self, script: &str, disk: u64) -> Plan {
        let mount = |target: &str, kind| Mount { target: target.into(), kind };
        let layered = MountKind::Layered {
            source: self.at("project"),
            hidden: vec![".aido".into(), ".git".into(), ".env".into()],
        };
        Plan {
            version: PLAN_VERSION,
            name: "layer".into(),
            root: Root::Host,
            mounts: vec![
                mount("/outputs", MountKind::OutputFolder { path: String::new() }),
                mount("/workspace", layered),
                mount("/workspace/results", MountKind::OutputFolder { path: "results".into() }),
                mount("/tmp", MountKind::Scratch { mode: 0o1777 }),
            ],
            task: Task {
                programs: vec!["sh".into()],
                args: vec!["-ec".into(), script.into()],
                workdir: "/workspace".into(),
                env: BTreeMap::new(),
                stdin: false,
                tty: false,
            },
            identity: Identity {
                uid: rustix::process::geteuid().as_raw(),
                gid: rustix::process::getegid().as_raw(),
                groups: Vec::new(),
            },
            limits: Limits {
                memory: Limit::default(512 << 20),
                cpus: Limit::default(2000),
                pids: Limit::default(64),
                disk: Limit::default(disk),
                output: Limit::default(1 << 20),
            },
            network: Network::None,
            syscalls: SyscallProfile::Default,
            isolation: Isolation::Full,
            deadline: Deadline { ttl_ms: 60_000, grace_ms: 1_000 },
            record: aido_runtime::Record::default(),
            exact_output: false,
            accept_weaker: BTreeSet::from([Control::Memory, Control::Cpus, Control::Pids]),
        }
    }

    fn run(&mut self, layer: &Path, below: &[PathBuf], script: &str, disk: u64) -> (Outcome, String) {
        self.number += 1;
        let outputs = self.at(&format!("outputs{}", self.number));
        fs::create_dir(&outputs).unwrap();
        let engine = aido_runtime_linux::Linux::new(None, format!("layer{}-{}", std::process::id(), self.number));
        let io = Io {
            secrets: BTreeMap::new(),
            secret_files: BTreeMap::new(),
            outputs,
            layer: Some(Layer { folder: layer.to_path_buf(), below: below.to_vec() }),
            stdin: None,
            window: None,
            gate: None,
        };
        let mut heard = Heard::default();
        let outcome = engine.run(&self.plan(script, disk), io, &mut heard).unwrap();
        (outcome, heard.text)
    }

    /// A run that must do all that its script says.
    fn done(&mut self, layer: &Path, below: &[PathBuf], script: &str) -> String {
        let (outcome, text) = self.run(layer, below, script, 64 << 20);
        assert_eq!(outcome.end, End::Exited { code: 0 }, "{script}: {text}");
        text
    }
}

/// This test program makes sandboxes from a process with one thread only.
#[test]
fn layers() {
    changes_stay_in_the_layer_and_the_next_run_sees_them();
    layers_do_not_see_each_other_and_one_can_lie_over_another();
    what_is_written_is_bounded_together();
    what_is_hidden_stays_hidden();
    closed_folders_are_measured_and_stand_in_nobodys_way();
}

fn changes_stay_in_the_layer_and_the_next_run_sees_them() {
    let mut bench = Bench::new();
    let (before, layer) = (tree(&bench.at("project")), bench.layer("one"));
    bench.done(
        &layer,
        &[],
        "echo more >> src/a.txt; echo new > src/new.txt; rm old/c.txt; rmdir old; mkdir old; echo again > old/d.txt; \
         mv src/deep/b.txt src/moved.txt; mkdir -p x/y; mv x z; chmod 700 src/deep; ln -s a.txt src/link; \
         ln src/a.txt src/hard; echo out > results/kept; setfattr -n user.x -v y src/a.txt 2>/dev/null || true",
    );
    assert_eq!(tree(&bench.at("project")), before, "nothing of the project changed");
    assert_eq!(fs::read_to_string(bench.at("outputs1/results/kept")).unwrap(), "out\n");
    let text = bench.done(
        &layer,
        &[],
        "cat src/a.txt src/hard src/link src/moved.txt; ls -A old z; ls -A src; stat -c %a src/deep; ls -A results; mv src/deep deeper",
    );
    assert_eq!(
        text,
        "src/a.txt\nmore\nsrc/a.txt\nmore\nsrc/a.txt\nmore\nsrc/deep/b.txt\nold:\nd.txt\n\nz:\ny\na.txt\ndeep\nhard\nlink\nmoved.txt\nnew.txt\n700\n"
    );
    assert_eq!(tree(&bench.at("project")), before);
}

fn layers_do_not_see_each_other_and_one_can_lie_over_another() {
    let mut bench = Bench::new();
    let (one, two, three) = (bench.layer("one"), bench.layer("two"), bench.layer("three"));
    bench.done(&one, &[], "echo one > src/a.txt; rm -r old; echo fork > src/new.txt");
    assert_eq!(bench.done(&two, &[], "cat src/a.txt; ls -A"), "src/a.txt\nold\nresults\nsrc\n");
    let frozen = tree(&one.join("upper"));
    let over = [one.clone()];
    let text = bench.done(
        &three,
        &over,
        "cat src/a.txt; ls -A; mkdir old; rm src/new.txt; echo three >> src/a.txt; cat src/a.txt",
    );
    assert_eq!(text, "one\nresults\nsrc\none\nthree\n");
    let text = bench.done(&three, &over, "ls -A old src; cat src/a.txt");
    assert_eq!(text, "old:\n\nsrc:\na.txt\ndeep\none\nthree\n");
    assert_eq!(tree(&one.join("upper")), frozen, "what lies below does not change");
}

fn what_is_written_is_bounded_together() {
    let mut bench = Bench::new();
    let disk = 8 << 20;
    for script in [
        "dd if=/dev/zero of=big bs=1M count=9 2>/dev/null || exit 1; sleep 30",
        // One file alone: by a child, by the task itself, and by one that does not heed it.
        "dd if=/dev/zero of=big bs=1M count=64 2>/dev/null; exit 0",
        "exec dd if=/dev/zero of=big bs=1M count=64 2>/dev/null",
        "trap '' XFSZ; dd if=/dev/zero of=big bs=1M count=64 2>/dev/null; true",
        "for n in 1 2 3 4; do dd if=/dev/zero of=f$n bs=1M count=3 2>/dev/null; done; sleep 30",
        "mkdir d; i=0; while [ $i -lt 6000 ]; do : > d/$i; i=$((i + 1)); done; sleep 30",
        "mkdir closed; cd closed; chmod 300 .; for n in 1 2 3 4; do dd if=/dev/zero of=f$n bs=1M count=3 2>/dev/null; done; sleep 30",
    ] {
        let layer = bench.layer(&format!("layer-{}", bench.number));
        let (outcome, text) = bench.run(&layer, &[], script, disk);
        match outcome.end {
            End::OutOfDisk { limit, bytes, files } => {
                assert_eq!(limit, disk);
                assert!(bytes > disk || files > 1024, "{script}: {bytes} bytes, {files} files");
            }
            end => panic!("{script}: {end:?} {text}"),
        }
        assert!(outcome.usage.wall_ms < 20_000, "{script}: seen after {} ms", outcome.usage.wall_ms);
    }
}

fn what_is_hidden_stays_hidden() {
    let mut bench = Bench::new();
    let (before, layer) = (tree(&bench.at("project")), bench.layer("one"));
    let text = bench.done(
        &layer,
        &[],
        "test ! -e .git; test ! -e .env; mkdir .git; echo evil > .git/config; echo mine > .env; cat .git/config .env",
    );
    assert_eq!(text, "evil\nmine\n");
    assert_eq!(tree(&bench.at("project")), before);
    let again = bench.layer("two");
    assert_eq!(bench.done(&again, &[layer], "cat .env"), "mine\n", "a change like any other, for who forks");
}

fn closed_folders_are_measured_and_stand_in_nobodys_way() {
    let mut bench = Bench::new();
    let layer = bench.layer("one");
    bench.done(&layer, &[], "mkdir c; echo x > c/x; chmod 0 c/x c; chmod 0 src");
    bench.done(&layer, &[], "chmod 755 c src; chmod 644 c/x; cat c/x src/a.txt");
    let mode = fs::metadata(bench.at("project/src")).unwrap().permissions().mode();
    assert_ne!(mode & 0o777, 0);
}
