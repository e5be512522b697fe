//! A project with layers over it, and a way into a mount namespace where they are mounted.

use crate::tree::{Stored, Tree};
use aido_changes::{Changes, Folder, Limits, RelPath, Stack};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What the program is told that runs inside.
pub(crate) const ROOM: &str = "AIDO_CHANGES_ROOM";
pub(crate) const WORK: &str = "AIDO_CHANGES_WORK";
pub(crate) const LAYERS: &str = "AIDO_CHANGES_LAYERS";

pub(crate) struct Sandbox {
    pub(crate) room: TempDir,
    pub(crate) layers: usize,
}

/// Says why a test is not run; a failure where all must work.
pub(crate) fn skip(why: &str) {
    let must = std::env::var("AIDO_MUST_WORK").is_ok_and(|value| value == "1");
    assert!(!must, "nothing may be skipped here: {why}");
    eprintln!("skipped: {why}");
}

impl Sandbox {
    pub(crate) fn new(layers: usize) -> Self {
        let sandbox = Sandbox { room: tempfile::tempdir().unwrap(), layers };
        for folder in ["project", "merged"] {
            fs::create_dir(sandbox.at(folder)).unwrap();
        }
        for n in 0..layers {
            fs::create_dir(sandbox.at(&format!("upper{n}"))).unwrap();
            fs::create_dir(sandbox.at(&format!("work{n}"))).unwrap();
        }
        sandbox
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.at("project")
    }

    /// Does the work of that name inside, layer after layer, and returns what the mount showed at the end; `None` where
    /// this host has no overlay for this user.
    pub(crate) fn work(&self, work: &str) -> Option<Tree> {
        let mut command = Command::new("unshare");
        // Root has no need of a user namespace, and may have one.
        if !(rustix::process::getuid().is_root() && work.bytes().last().is_some_and(|b| b % 2 == 1)) {
            command.args(["-U", "-r"]);
        }
        command.args(["-m", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "inside::works", "--nocapture"]);
        command.env(ROOM, self.room.path()).env(WORK, work).env(LAYERS, self.layers.to_string());
        let output = command.output().expect("unshare of util-linux");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if self.at("no-overlay").exists() || said.starts_with("unshare:") {
            let why = fs::read_to_string(self.at("no-overlay")).unwrap_or(said);
            skip(&format!("an overlay in a user namespace: {why}"));
            return None;
        }
        let all = format!("{said}\n{}", String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{work}: {all}");
        let stored: Stored = serde_json::from_slice(&fs::read(self.at("snapshot")).expect(&all)).unwrap();
        Some(stored.0.into_iter().collect())
    }

    /// The layers, the topmost first.
    pub(crate) fn stack(&self) -> Stack {
        let uppers: Vec<PathBuf> = (0..self.layers).rev().map(|n| self.at(&format!("upper{n}"))).collect();
        Stack::open(&uppers).unwrap()
    }

    pub(crate) fn changes(&self) -> Changes {
        self.changes_over(&self.project())
    }

    pub(crate) fn changes_over(&self, project: &Path) -> Changes {
        Changes::of(self.stack(), Folder::open(project).unwrap(), &[], &Limits::default()).unwrap()
    }

    /// A copy of the project, modes and links as they are.
    pub(crate) fn copy(&self, name: &str) -> PathBuf {
        let to = self.at(name);
        let status = Command::new("cp").arg("-a").arg(self.project()).arg(&to).status().unwrap();
        assert!(status.success());
        to
    }
}

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}
