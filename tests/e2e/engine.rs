//! A real engine for the tests (`ci/engine`), behind a door that can be shut, and what it holds.

use crate::host;
use crate::output::Output;
use crate::project::Project;
use crate::running::Running;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The engine that `AIDO_DOCKER` names, or the test is left out.
macro_rules! engine {
    () => {
        match crate::engine::Engine::given() {
            Some(engine) => engine,
            None => skip!("AIDO_DOCKER is no unix:// endpoint with AIDO_IMAGES: run ci/test"),
        }
    };
}

pub(crate) struct Engine {
    socket: PathBuf,
    images: PathBuf,
}

impl Engine {
    pub(crate) fn given() -> Option<Engine> {
        let endpoint = std::env::var("AIDO_DOCKER").ok()?;
        Some(Engine { socket: endpoint.strip_prefix("unix://")?.into(), images: host::images()? })
    }

    pub(crate) fn at(socket: PathBuf, images: PathBuf) -> Engine {
        Engine { socket, images }
    }

    /// A project whose `aido` uses this engine, with the tiny image in aido's own store as `tiny:1`.
    #[track_caller]
    pub(crate) fn project(&self, files: &[(&str, &str)]) -> Docked {
        let docked = Docked { project: Project::with(files), endpoint: format!("unix://{}", self.socket.display()) };
        // Where aido has no store of its own the engine has the image under this name (ci/test-portable).
        if !cfg!(aido_portable) {
            let tiny = format!("oci:{}/tiny", self.images.display());
            docked.aido(["image", "import", &tiny, "tiny:1"]).ok();
        }
        docked
    }

    /// The answer to a question that changes nothing.
    #[track_caller]
    pub(crate) fn ask(&self, path: &str) -> Value {
        let mut stream = UnixStream::connect(&self.socket).expect("the engine is there");
        write!(stream, "GET /v1.40{path} HTTP/1.0\r\nHost: engine\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_else(|e| panic!("GET {path}: {e}\n{answer}"))
    }

    /// Has it do something that takes no words.
    #[track_caller]
    pub(crate) fn post(&self, path: &str) {
        let mut stream = UnixStream::connect(&self.socket).expect("the engine is there");
        write!(stream, "POST /v1.40{path} HTTP/1.0\r\nHost: engine\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.split(' ').nth(1).is_some_and(|code| code.starts_with('2')), "POST {path}: {answer}");
    }

    /// Containers and volumes that are named after a run.
    #[track_caller]
    pub(crate) fn holds(&self, run: &str) -> Vec<String> {
        let containers = self.ask("/containers/json?all=1");
        let volumes = self.ask("/volumes");
        let all =
            containers.as_array().into_iter().flatten().chain(volumes["Volumes"].as_array().into_iter().flatten());
        all.map(Value::to_string).filter(|one| one.contains(run)).collect()
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

/// A project on an engine.
pub(crate) struct Docked {
    pub(crate) project: Project,
    endpoint: String,
}

impl Docked {
    pub(crate) fn on(mut self, door: &Door) -> Docked {
        self.endpoint = format!("unix://{}", door.at.display());
        self
    }

    pub(crate) fn command(&self, args: impl IntoIterator<Item: AsRef<std::ffi::OsStr>>) -> Command {
        let mut command = self.project.command(args);
        command.env("DOCKER_HOST", &self.endpoint).env("AIDO_BACKEND", "docker");
        command
    }

    /// The engine, for another command than `aido`.
    pub(crate) fn surround(&self, command: &mut Command) {
        command.env("DOCKER_HOST", &self.endpoint).env("AIDO_BACKEND", "docker");
    }

    #[track_caller]
    pub(crate) fn start<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Running {
        Running::start(self.command(args))
    }

    #[track_caller]
    pub(crate) fn aido<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Output {
        self.start(args).end()
    }

    /// `aido run` in the tiny image, offline.
    pub(crate) fn line<'a>(options: &[&'a str], task: &[&'a str]) -> Vec<&'a str> {
        [&["run", "--quiet", "--offline", "--runtime", "tiny:1"][..], options, &["--"], task].concat()
    }

    #[track_caller]
    pub(crate) fn run(&self, options: &[&str], task: &[&str]) -> Output {
        self.aido(Docked::line(options, task))
    }

    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> Output {
        self.run(&[], &["sh", "-c", script])
    }

    /// The ID of the last run.
    #[track_caller]
    pub(crate) fn last(&self) -> String {
        let folder = self.project.last_run().canonicalize().expect("a run");
        folder.file_name().unwrap().to_string_lossy().into_owned()
    }

    /// Accounts of what an engine may still hold.
    pub(crate) fn owed(&self) -> Vec<PathBuf> {
        let folder = self.project.home().join(".local/state/aido/engines");
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }
}

/// A way to the engine that can be shut and opened again.
pub(crate) struct Door {
    at: PathBuf,
    shut: Arc<AtomicBool>,
    _place: tempfile::TempDir,
}

impl Door {
    pub(crate) fn to(engine: &Engine) -> Door {
        let place = tempfile::tempdir().unwrap();
        let at = place.path().join("door.sock");
        let listener = UnixListener::bind(&at).unwrap();
        let shut = Arc::new(AtomicBool::new(false));
        let (closed, target) = (shut.clone(), engine.socket().to_path_buf());
        thread::spawn(move || {
            for near in listener.incoming().flatten().filter(|_| !closed.load(Ordering::SeqCst)) {
                let Ok(far) = UnixStream::connect(&target) else { continue };
                let (n, f) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                pump(n, f);
                pump(far.try_clone().unwrap(), near.try_clone().unwrap());
                let closed = closed.clone();
                thread::spawn(move || {
                    while !closed.load(Ordering::SeqCst) {
                        thread::sleep(std::time::Duration::from_millis(10));
                    }
                    let _ = (near.shutdown(Shutdown::Both), far.shutdown(Shutdown::Both));
                });
            }
        });
        Door { at, shut, _place: place }
    }

    /// Cuts every connection, and takes no other.
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        self.shut.store(false, Ordering::SeqCst);
    }
}

fn pump(mut from: UnixStream, mut to: UnixStream) {
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
