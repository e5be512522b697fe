//! What is left of a run, looked for without asking the engine's own code.

use crate::asked::MARK;
use crate::engines::{Engine, Kind};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Processes must be gone at once; what an engine or the kernel takes away may be on its way for so long.
const PATIENCE: Duration = Duration::from_secs(3);

/// Fails if anything is left of the run.
#[track_caller]
pub(crate) fn nothing(engine: &Engine, name: &str) {
    let alive = processes(name);
    assert!(alive.is_empty(), "processes of the run live on: {alive:?}");
    let until = Instant::now() + PATIENCE;
    loop {
        let found = things(engine, name);
        if found.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "left behind: {found:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whatever is left: processes, groups, containers, volumes.
pub(crate) fn anything(engine: &Engine, name: &str) -> Vec<String> {
    let mut found = processes(name);
    found.extend(things(engine, name));
    found
}

/// The numbers of processes that were started with the run's mark in their environment.
pub(crate) fn processes(name: &str) -> Vec<String> {
    let mark = format!("{MARK}={name}");
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours = numbers.filter(|entry| {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    });
    ours.map(|entry| format!("process {}", entry.file_name().to_string_lossy())).collect()
}

fn things(engine: &Engine, name: &str) -> Vec<String> {
    let name = format!("aido-{name}");
    match engine.kind {
        Kind::Linux => {
            let mut found = Vec::new();
            groups(Path::new("/sys/fs/cgroup"), &name, 8, &mut found);
            found
        }
        Kind::Docker | Kind::Podman => {
            let mut found = Vec::new();
            for (what, path) in [("container", "/v1.40/containers/json?all=true"), ("volume", "/v1.40/volumes")] {
                let text = get(&engine.endpoint, path).expect("the engine's answer");
                if text.contains(&name) {
                    found.push(format!("a {what} of {name}"));
                }
            }
            found
        }
    }
}

fn groups(folder: &Path, name: &str, depth: usize, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if entry.file_name().to_string_lossy().contains(name) {
                found.push(entry.path().display().to_string());
            }
            groups(&entry.path(), name, depth - 1, found);
        }
    }
}

/// What the engine answers, headers and all: enough to see a name in it.
fn get(endpoint: &str, path: &str) -> std::io::Result<String> {
    let socket = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: engine\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    assert!(text.lines().next().is_some_and(|line| line.contains(" 200")), "{path}: {text}");
    Ok(text)
}
