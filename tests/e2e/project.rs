//! A project in a folder of its own, with a home and everything else that a person has.

use crate::host;
use crate::output::Output;
use crate::running::Running;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub(crate) struct Project {
    /// Holds `home/` and `project/`.
    place: TempDir,
}

impl Project {
    pub(crate) fn new() -> Project {
        Project::in_folder(&std::env::temp_dir())
    }

    /// In a folder of its own below this one.
    pub(crate) fn in_folder(folder: &Path) -> Project {
        let place = tempfile::Builder::new().prefix("aido-e2e-").tempdir_in(folder).expect("a temporary folder");
        fs::create_dir(place.path().join("home")).unwrap();
        fs::create_dir(place.path().join("project")).unwrap();
        Project { place }
    }

    /// With these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Project {
        let project = Project::new();
        files.iter().for_each(|(path, text)| project.write(path, text));
        project
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.path().join("project")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.place.path().join("home")
    }

    /// What begins with `#!` can be executed.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let (file, content) = (self.path().join(path), content.as_ref());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        let mode = if content.starts_with(b"#!") { 0o755 } else { 0o644 };
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        let file = self.path().join(path);
        fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    }

    /// `aido` in this project; the caller's environment is not passed on.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(host::aido());
        command.args(args).current_dir(self.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", self.home());
        command.env("LANG", "C.UTF-8").env("AIDO_E2E_LEAK", "the caller's own");
        command
    }

    /// Runs it to its end; standard input is empty.
    #[track_caller]
    pub(crate) fn aido<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        self.start(args).end()
    }

    #[track_caller]
    pub(crate) fn start<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Running {
        Running::start(self.command(args))
    }

    /// Runs a shell script of the project, which the host's root can.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> Output {
        self.aido(["run", "--quiet", "--", "sh", "-c", script])
    }

    pub(crate) fn last_sandbox(&self) -> PathBuf {
        newest(&self.path().join(".aido/sandboxes"))
    }

    pub(crate) fn last_run(&self) -> PathBuf {
        let run = newest(&self.last_sandbox().join("runs"));
        self.settled(&run);
        run
    }

    /// Waits until a run that is sealed is on the disk, as whoever changes its record by hand does: the ledger hears of it
    /// then.
    fn settled(&self, run: &Path) {
        let id = fs::canonicalize(run).ok().and_then(|real| real.file_name().map(OsStr::to_owned)).unwrap_or_default();
        let mark = self.path().join(".aido/unsealed").join(id);
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while run.join("summary.json").exists() && mark.symlink_metadata().is_ok() && std::time::Instant::now() < until
        {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    #[track_caller]
    pub(crate) fn evidence(&self, name: &str) -> Vec<u8> {
        let file = self.last_run().join(name);
        fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    }

    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        serde_json::from_slice(&self.evidence("summary.json")).expect("summary.json is JSON")
    }

    /// How the last run ended, by its own account.
    #[track_caller]
    pub(crate) fn reason(&self) -> String {
        let summary = self.summary();
        let reason = crate::output::find(&summary, "reason").and_then(Value::as_str);
        reason.unwrap_or_else(|| panic!("no reason in {summary}")).to_string()
    }

    /// A file that the last run left among the outputs.
    #[track_caller]
    pub(crate) fn output(&self, name: &str) -> String {
        let file = self.last_sandbox().join("outputs").join(name);
        fs::read_to_string(&file)
            .unwrap_or_else(|e| panic!("{}: {e}\n{}", file.display(), listing(&self.last_sandbox())))
    }
}

fn listing(folder: &Path) -> String {
    let found = Command::new("find").arg(folder.join(".")).output().expect("find");
    String::from_utf8_lossy(&found.stdout).into_owned()
}

impl Drop for Project {
    fn drop(&mut self) {
        // Layers may belong to subordinate ids, which only their user namespace may remove.
        if fs::remove_dir_all(self.place.path()).is_err() {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "--map-auto", "rm", "-rf"]).arg(self.place.path());
            let _ = command.stderr(Stdio::null()).status();
        }
    }
}

/// Where `latest` leads: a link, or a small file where links need a privilege.
fn newest(folder: &Path) -> PathBuf {
    let latest = folder.join("latest");
    fs::read_to_string(&latest).map_or(latest, |name| folder.join(name))
}
