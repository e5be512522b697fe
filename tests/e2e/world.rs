//! A network of one test's own with servers of `tests/network/`: nobody on the internet is ever asked.

use crate::chain::check;
use crate::host;
use crate::output::Output;
use crate::project::Project;
use crate::running::Running;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// The caller's `KEY`. What servers make of it in URLs, JSON and HTML is not the same.
pub(crate) const SECRET: &str = "planted-9f8a/7s6d+5f4g=3&2x";

/// Python that makes more connections than a gateway holds at once, lets go of them, and still gets an answer by another one.
pub(crate) const MANY_CONNECTIONS: &str = r#"
import socket
held = []
for n in range(1500):
    try:
        held.append(socket.create_connection(("inner.example.com", 5432), timeout=10))
    except OSError:
        pass
print("held", len(held) > 100)
[there.close() for there in held]
for n in range(50):
    try:
        there = socket.create_connection(("inner.example.com", 5432), timeout=10); there.sendall(b"still there")
        got = there.recv(100)
        if got == b"still there":
            print(got.decode()); break
    except OSError:
        pass
"#;

const UNSHARE: [&str; 9] =
    ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "sh"];
const FOLDERS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

macro_rules! or_skipped {
    ($ran:expr) => {
        match $ran {
            Some(ran) => ran,
            None => return,
        }
    };
}

/// What is in it beside the usual servers.
#[derive(Clone, Copy, Default)]
pub(crate) struct World<'a> {
    /// Of `servers.sh`, with spaces between them.
    pub(crate) servers: &'a str,
    /// Programs that the task needs.
    pub(crate) tools: &'a [&'a str],
    /// The command is an ordinary user's, not root's.
    pub(crate) plain: bool,
}

impl World<'_> {
    /// A command that runs in it; None where that cannot be had.
    pub(crate) fn inside(&self, project: &Project, command: &[&str]) -> Option<Command> {
        let missing = self.missing();
        if let Some(missing) = missing {
            host::left_out(&missing);
            return None;
        }
        let mut inside = Command::new("unshare");
        if !host::is_root() {
            inside.args(["--user", "--map-root-user"]);
        }
        inside.args(UNSHARE).arg(host::our_file("network/world.sh")).args(command);
        inside.current_dir(project.path()).env_clear().stdin(Stdio::null());
        inside.env("PATH", FOLDERS.join(":")).env("HOME", project.home()).env("LANG", "C.UTF-8");
        inside.env("AIDO", host::aido()).env("KEY", SECRET).env("WORLD_SERVERS", self.servers);
        if self.plain {
            inside.env("WORLD_AS", "plain");
        }
        Some(inside)
    }

    /// `aido run` with these options, of a shell script.
    pub(crate) fn run(&self, project: &Project, options: &[&str], script: &str) -> Option<Output> {
        let aido = host::aido();
        let words = [&[aido.to_str().unwrap(), "run", "--quiet"], options, &["--", "sh", "-c", script]].concat();
        Some(Running::start(self.inside(project, &words)?).end())
    }

    fn missing(&self) -> Option<String> {
        let lacks = |tool: &&&str| !FOLDERS.iter().any(|folder| Path::new(folder).join(tool).is_file());
        let served = self.servers.split_whitespace().flat_map(|server| match server {
            "git" => &["fcgiwrap", "git"][..],
            "nginx" => &["nginx"],
            "sshd" => &["sshd", "ssh-keygen"],
            _ => &[],
        });
        let usual = ["unshare", "ip", "openssl", "python3", "curl"];
        if let Some(tool) = usual.iter().chain(self.tools).chain(served).find(lacks) {
            return Some(format!("{tool} is not installed"));
        }
        let versions = || std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        if self.servers.contains("postgres") && !versions().any(|one| one.path().join("bin/initdb").is_file()) {
            return Some("PostgreSQL's server is not installed".to_string());
        }
        let able = Command::new("unshare")
            .args(if host::is_root() { &[][..] } else { &["--user", "--map-root-user"] })
            .args(["--net", "true"])
            .output();
        (!able.is_ok_and(|able| able.status.success())).then(|| "no network namespace can be made".to_string())
    }
}

/// A command in a network with the usual servers.
pub(crate) fn inside(project: &Project, command: &[&str]) -> Option<Command> {
    World::default().inside(project, command)
}

/// A script that aido runs there.
pub(crate) fn run(project: &Project, options: &[&str], script: &str) -> Option<Output> {
    World::default().run(project, options, script)
}

/// The data of all events of a type, from a record that holds together.
pub(crate) fn events(project: &Project, kind: &str) -> Vec<Value> {
    let records = check(&project.evidence("events.log")).unwrap();
    records.into_iter().filter(|record| record["type"] == kind).map(|record| record["data"].clone()).collect()
}
