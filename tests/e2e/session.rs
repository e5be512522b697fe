//! Commands as a person types them, with what is said to them: `tests/mistakes/*.txt` and the documents are written so.

use crate::host;
use crate::output::Output;
use crate::project::Project;
use crate::running::Running;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

/// A fresh project, and a shell that finds `aido`.
pub(crate) struct Session {
    pub(crate) project: Project,
    /// HOST:PORT of a registry that asks everybody for a login.
    locked: String,
}

impl Session {
    pub(crate) fn new() -> Session {
        let session = Session { project: Project::new(), locked: locked_registry() };
        std::fs::create_dir(session.bin()).unwrap();
        symlink(host::aido(), session.bin().join("aido")).unwrap();
        session
    }

    fn bin(&self) -> PathBuf {
        self.project.home().parent().unwrap().join("bin")
    }

    /// Runs one line, its two streams apart.
    pub(crate) fn run(&self, line: &str) -> Output {
        Running::start(self.shell(line)).end()
    }

    /// Runs one line as a terminal would show it: both streams in their order.
    pub(crate) fn run_together(&self, line: &str) -> Output {
        Running::start(self.shell(&format!("exec 2>&1; {line}"))).end()
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.project.path()).env_clear().stdin(Stdio::null());
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        command.env("PATH", format!("{}:{path}", self.bin().display())).env("HOME", self.project.home());
        command.env("LANG", "C.UTF-8").env("LOCKED", &self.locked);
        command.env("REGISTRY", host::registry().unwrap_or_default());
        command
    }

    /// The text without what differs from run to run, machine to machine and user to user.
    pub(crate) fn neutral(&self, text: &str) -> String {
        let (project, home) = (self.project.path(), self.project.home());
        let mut text = text.replace(&*project.to_string_lossy(), "PROJECT").replace(&*home.to_string_lossy(), "HOME");
        text = text.replace(&self.locked, "$LOCKED");
        if let Some(registry) = host::registry() {
            text = text.replace(&registry, "$REGISTRY");
        }
        neutral(&text)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.project.command(["sandbox", "destroy", "--all"]).output();
    }
}

/// IDs, digests and times by their kinds; without the line on what this host cannot hold.
pub(crate) fn neutral(text: &str) -> String {
    let of_the_host = |line: &&str| {
        !line.contains("`aido doctor` says why, and what mends it") && !line.contains(" will be weaker or absent: ")
    };
    let mut told = String::new();
    for line in text.split_inclusive('\n').filter(of_the_host) {
        let mut before = "";
        for word in line.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '.') {
            let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let rest = &word[bare.len()..];
            told.push_str(kind(bare, before).unwrap_or(bare));
            told.push_str(rest);
            before = bare;
        }
    }
    told
}

fn kind(word: &str, before: &str) -> Option<&'static str> {
    let hex = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_hexdigit());
    match word.as_bytes().first()? {
        b'r' if hex(&word[1..], 12) => Some("RUN"),
        b's' if hex(&word[1..], 12) => Some("SANDBOX"),
        _ if hex(word, 64) => Some("DIGEST"),
        b'0'..=b'9' if before == "after" && word.ends_with('s') => Some("TIME"),
        _ => None,
    }
}

/// Answers every plain request with 401, as long as the test program lives.
fn locked_registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut begin = [0; 1024];
            // Who begins with TLS is hung up on.
            if stream.read(&mut begin).is_ok_and(|count| count > 0 && begin[0].is_ascii_uppercase()) {
                let _ = stream.write_all(
                    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"locked\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                );
            }
        }
    });
    at
}
