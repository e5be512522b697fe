//! What a case asks for: a plan like those that `aido run` makes, and what is done around it.

use crate::engines::Engine;
use crate::heard::{Deed, Heard, Moment};
use crate::ran::Ran;
use crate::way::Way;
use crate::{lawful, remains};
use aido_runtime::{
    Command, Deadline, EnvValue, Error, Event, Identity, Io, Isolation, Limit, Limits, Mount, MountKind, Network,
    PLAN_VERSION, Plan, Record, SyscallProfile, Task, Window,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The variable by which every process of a run is found from outside.
pub(crate) const MARK: &str = "SUITE_RUN";
pub(crate) const MIB: u64 = 1 << 20;

/// A run that is yet to happen.
pub(crate) struct Asked<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) name: String,
    pub(crate) plan: Plan,
    pub(crate) folder: tempfile::TempDir,
    stdin: Option<Vec<u8>>,
    stdin_stays_open: bool,
    moments: Vec<(Moment, Deed)>,
    secrets: BTreeMap<String, String>,
    secret_files: BTreeMap<String, Vec<u8>>,
    window: Option<Window>,
    slow: Duration,
    deaf_to: Option<fn(&Event) -> bool>,
    way: Option<Way>,
}

impl Engine {
    /// A script for the shell.
    pub(crate) fn sh(&self, script: &str) -> Asked<'_> {
        self.command(&["sh", "-c", script])
    }

    /// A program with its arguments.
    pub(crate) fn command(&self, words: &[&str]) -> Asked<'_> {
        let folder = tempfile::tempdir().expect("a folder for the run");
        for name in ["project", "outputs"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder of the run");
        }
        let name = self.new_name();
        let mut asked = Asked {
            plan: plan(self, &name, words),
            engine: self,
            name,
            folder,
            stdin: None,
            stdin_stays_open: false,
            moments: Vec::new(),
            secrets: BTreeMap::new(),
            secret_files: BTreeMap::new(),
            window: None,
            slow: Duration::ZERO,
            deaf_to: None,
            way: None,
        };
        let project = MountKind::Input { source: asked.project(), hidden: Vec::new(), secret: false };
        asked.mount("/outputs", MountKind::OutputFolder { path: String::new() });
        asked.mount("/workspace", project);
        asked
    }
}

fn plan(engine: &Engine, name: &str, words: &[&str]) -> Plan {
    let literal = |value: &str| EnvValue::Literal(value.into());
    let env = [("PATH", "/bin"), ("HOME", "/home/aido"), ("LANG", "C.UTF-8"), (MARK, name)];
    let (program, args) = words.split_first().expect("a program");
    Plan {
        version: PLAN_VERSION,
        name: "the-suite".into(),
        root: engine.root.clone(),
        mounts: Vec::new(),
        task: Task {
            programs: vec![program.to_string()],
            args: args.iter().map(ToString::to_string).collect(),
            workdir: "/workspace".into(),
            env: env.map(|(name, value)| (name.to_string(), literal(value))).into(),
            stdin: false,
            tty: false,
        },
        identity: Identity { uid: 1000, gid: 1000, groups: Vec::new() },
        limits: Limits {
            memory: Limit::default(128 * MIB),
            cpus: Limit::default(1000),
            pids: Limit::default(64),
            disk: Limit::default(32 * MIB),
            output: Limit::default(MIB),
        },
        network: Network::None,
        syscalls: SyscallProfile::Default,
        isolation: Isolation::Full,
        deadline: Deadline { ttl_ms: 30_000, grace_ms: 1_000 },
        record: Record::default(),
        exact_output: false,
        accept_weaker: BTreeSet::new(),
    }
}

impl<'a> Asked<'a> {
    /// The folder of the host that the task sees at `/workspace`.
    pub(crate) fn project(&self) -> PathBuf {
        // Inputs are given by their real paths.
        self.folder.path().canonicalize().expect("the run's folder").join("project")
    }

    pub(crate) fn mount(&mut self, target: &str, kind: MountKind) {
        self.plan.mounts.push(Mount { target: target.into(), kind });
    }

    /// A file of the project.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.file_with(path, 0o644, content)
    }

    pub(crate) fn file_with(self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Self {
        let path = self.project().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of the project");
        std::fs::write(&path, content).expect("a file of the project");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
        self
    }

    /// The project, made by hand.
    pub(crate) fn with(self, make: impl FnOnce(&Path)) -> Self {
        make(&self.project());
        self
    }

    /// Paths of the project that the task must not find.
    pub(crate) fn hiding(mut self, paths: &[&str]) -> Self {
        for mount in &mut self.plan.mounts {
            if let MountKind::Input { hidden, .. } = &mut mount.kind {
                hidden.extend(paths.iter().map(ToString::to_string));
            }
        }
        self
    }

    /// An output folder of the project, collected by the same path.
    pub(crate) fn output_folder(mut self, path: &str) -> Self {
        self.mount(&format!("/workspace/{path}"), MountKind::OutputFolder { path: path.into() });
        self
    }

    pub(crate) fn output_file(mut self, path: &str) -> Self {
        self.mount(&format!("/workspace/{path}"), MountKind::OutputFile { path: path.into() });
        self
    }

    /// Changes whatever else of the plan.
    pub(crate) fn plan(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        change(&mut self.plan);
        self
    }

    pub(crate) fn by_user(self, uid: u32, gid: u32) -> Self {
        self.plan(|plan| plan.identity = Identity { uid, gid, groups: Vec::new() })
    }

    pub(crate) fn env(self, name: &str, value: &str) -> Self {
        self.plan(|plan| drop(plan.task.env.insert(name.into(), EnvValue::Literal(value.into()))))
    }

    /// Milliseconds to live, and of grace.
    pub(crate) fn deadline(self, ttl_ms: u64, grace_ms: u64) -> Self {
        self.plan(|plan| plan.deadline = Deadline { ttl_ms, grace_ms })
    }

    /// A variable whose value the plan does not hold.
    pub(crate) fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.into(), value.into());
        self.plan(|plan| drop(plan.task.env.insert(name.into(), EnvValue::From { from: name.into() })))
    }

    /// A file of the project whose content must not come out.
    pub(crate) fn secret_file(mut self, path: &str, content: &[u8]) -> Self {
        self = self.file_with(path, 0o644, content);
        let source = self.project().join(path);
        self.mount(&format!("/workspace/{path}"), MountKind::Input { source, hidden: Vec::new(), secret: true });
        self.secret_files.insert(path.into(), content.to_vec());
        self
    }

    /// All of the task's standard input.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self.plan(|plan| plan.task.stdin = true)
    }

    /// A standard input that does not end by itself.
    pub(crate) fn open_stdin(mut self) -> Self {
        self.stdin_stays_open = true;
        self.stdin("")
    }

    pub(crate) fn terminal(mut self, columns: u16, rows: u16) -> Self {
        self.window = Some(Window { columns, rows });
        self.open_stdin().plan(|plan| plan.task.tty = true)
    }

    pub(crate) fn when(mut self, moment: Moment, deed: Deed) -> Self {
        self.moments.push((moment, deed));
        self
    }

    pub(crate) fn when_said(self, text: &'static str, command: Command) -> Self {
        self.when(Moment::Said(text), Deed::Wish(command))
    }

    /// Whoever listens takes so long for each piece.
    pub(crate) fn slow(mut self, each: Duration) -> Self {
        self.slow = each;
        self
    }

    /// With a gateway, and what it grants.
    pub(crate) fn through(mut self, way: Way) -> Self {
        self.plan.network = way.network();
        self.way = Some(way);
        self
    }

    /// Recording this event fails.
    pub(crate) fn deaf_to(mut self, which: fn(&Event) -> bool) -> Self {
        self.deaf_to = Some(which);
        self
    }

    /// Runs it, and holds whatever holds of every run.
    #[track_caller]
    pub(crate) fn run(self) -> Ran {
        match self.attempt() {
            (Ok(ran), _) => ran,
            (Err(error), heard) => panic!("not run: {} ({:?}); {:?}", error.what, error.remedy, heard.events),
        }
    }

    /// Why it is not run.
    #[track_caller]
    pub(crate) fn refused(self) -> Error {
        match self.attempt() {
            (Ok(ran), _) => panic!("it ran, and should have been refused: {}", ran.account()),
            (Err(error), _) => error,
        }
    }

    /// The same with what was heard until then.
    #[track_caller]
    pub(crate) fn attempt(mut self) -> (Result<Ran, Error>, Heard) {
        let outputs = self.folder.path().join("outputs");
        let (reader, writer) = match self.stdin.is_some() {
            true => std::io::pipe().map(|(reader, writer)| (Some(reader), Some(writer))).expect("a pipe"),
            false => (None, None),
        };
        let (bytes, stays) = (self.stdin.take().unwrap_or_default(), self.stdin_stays_open);
        let kept = writer.as_ref().filter(|_| stays).map(|writer| writer.try_clone().expect("a pipe's end"));
        if let Some(mut writer) = writer {
            // Whoever does not read lets it wait.
            std::thread::spawn(move || writer.write_all(&bytes));
        }
        let mut heard = Heard::new(std::mem::take(&mut self.moments), kept);
        heard.slow = self.slow;
        heard.deaf_to = self.deaf_to;
        let io = Io {
            secrets: std::mem::take(&mut self.secrets),
            secret_files: std::mem::take(&mut self.secret_files),
            outputs,
            layer: None,
            stdin: reader,
            window: self.window,
            gate: self.way.as_ref().map(Way::gate),
        };
        heard.way = self.way.take();
        let before = lawful::look(&self.project());
        let begun = Instant::now();
        let outcome = self.engine.runtime(&self.name).run(&self.plan, io, &mut heard);
        let returned = Instant::now();
        remains::nothing(self.engine, &self.name);
        assert_eq!(lawful::look(&self.project()), before, "the project of the caller has changed");
        let Asked { engine, plan, folder, .. } = self;
        match outcome {
            Err(error) => {
                lawful::refused(&error, &heard.events);
                (Err(error), heard)
            }
            Ok(outcome) => {
                lawful::events(&plan, &outcome, &heard.events);
                lawful::times(&plan, &outcome, &heard.events, begun, returned);
                let ran = Ran {
                    kind: engine.kind,
                    outcome,
                    events: heard.events.clone(),
                    stdout: heard.stdout.clone(),
                    stderr: heard.stderr.clone(),
                    folder,
                };
                (Ok(ran), heard)
            }
        }
    }
}
