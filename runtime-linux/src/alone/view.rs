//! What a task without a mount namespace finds: a folder of the run's own with links to what it may read and with
//! real folders where it may write. Places of the plan (`/workspace`, `/outputs`) are places below it, and the task is
//! told their real paths.
//!
//! Landlock decides by what a link leads to, so a link gives nothing that no rule gives.

use crate::host;
use crate::source::c_string;
use crate::wall::{FILL, LOOK, READ_PROGRAM, USE_DEVICE, USE_FILE, Wall};
use aido_runtime::{Error, Mount, MountKind, Plan};
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

/// Files of `/proc` that say how large the machine is.
const FACTS: [&str; 6] =
    ["/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/uptime", "/proc/filesystems"];
/// Devices without a terminal among them: the task has none.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Where the plan shows the project.
const WORKSPACE: &str = "/workspace";
/// A folder with more entries that has to be laid out one by one is refused.
const MOST_LINKS: usize = 100_000;

/// The folder, and what may be opened.
pub(crate) struct View {
    base: PathBuf,
    rules: Vec<(PathBuf, u64)>,
    links: usize,
}

impl View {
    /// Lays out a plan's mounts below `base`, which must not exist yet.
    pub(crate) fn make(plan: &Plan, base: &Path) -> Result<View, Error> {
        let mut view = View { base: base.to_path_buf(), rules: Vec::new(), links: 0 };
        let made = view.lay_out(plan);
        match made {
            Ok(()) => Ok(view),
            Err((path, e)) => {
                view.remove();
                Err(Error::new(format!("cannot lay out what the task may see: {}: {e}", path.display())))
            }
        }
    }

    /// Where outputs are collected from.
    pub(crate) fn outputs(&self) -> PathBuf {
        self.base.join("out")
    }

    /// A file that nobody may read, for the trial.
    pub(crate) fn unreadable(&self) -> PathBuf {
        self.base.join("canary")
    }

    /// A file that nobody may make, for the trial.
    pub(crate) fn unwritable(&self) -> PathBuf {
        self.base.join("canary-2")
    }

    pub(crate) fn remove(&self) {
        // What cannot be removed now goes with the sandbox's folder.
        let _ = fs::remove_dir_all(&self.base);
    }

    /// The rules for Landlock.
    pub(crate) fn wall(&self, version: u32) -> Result<Wall, Error> {
        let files = crate::wall::known(version);
        let rule = |(path, allowed): &(PathBuf, u64)| {
            let path = path.to_str().map(|path| path.trim_start_matches('/'));
            let path = path.ok_or_else(|| Error::new("a path that is not UTF-8 cannot be given to the task"))?;
            Ok((c_string(path)?, allowed & files))
        };
        let rules = self.rules.iter().map(rule).collect::<Result<Vec<(CString, u64)>, Error>>()?;
        Ok(Wall { version, files, scoped: crate::wall::scoped(version), rules })
    }

    /// A path of the plan as it really is here; what is no place of the plan stays.
    pub(crate) fn real(&self, text: &str, mounts: &[Mount]) -> String {
        let inside = |mount: &Mount| {
            let rest = text.strip_prefix(&mount.target)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| self.place(text))
        };
        let found = mounts.iter().find_map(inside);
        found.map_or_else(|| text.to_string(), |path| path.to_string_lossy().into_owned())
    }

    fn place(&self, target: &str) -> PathBuf {
        self.base.join("view").join(target.trim_start_matches('/'))
    }

    fn lay_out(&mut self, plan: &Plan) -> Result<(), (PathBuf, std::io::Error)> {
        let own = |path: &Path| {
            fs::DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(|e| (path.to_path_buf(), e))
        };
        own(&self.base.join("view"))?;
        own(&self.outputs())?;
        let canary = self.unreadable();
        fs::write(&canary, "nobody reads this\n").map_err(|e| (canary, e))?;
        self.rules.push((self.base.join("view"), LOOK));
        self.rules.push((self.outputs(), FILL));
        for piece in host::pieces(Path::new("/")) {
            match piece {
                host::Piece::Folder(path) => self.rules.push((path, LOOK)),
                host::Piece::File(path) => self.rules.push((path, READ_PROGRAM)),
                host::Piece::Link { .. } => {}
            }
        }
        for fact in FACTS.iter().map(PathBuf::from).filter(|path| path.exists()) {
            self.rules.push((fact, READ_PROGRAM));
        }
        for device in DEVICES.iter().map(|name| Path::new("/dev").join(name)).filter(|path| path.exists()) {
            self.rules.push((device, USE_DEVICE));
        }
        plan.mounts.iter().enumerate().try_for_each(|(n, mount)| self.mount(mount, &plan.mounts[n + 1..]))
    }

    fn mount(&mut self, mount: &Mount, later: &[Mount]) -> Result<(), (PathBuf, std::io::Error)> {
        let at = self.place(&mount.target);
        let failed = |e| (at.clone(), e);
        if let Some(above) = at.parent() {
            fs::DirBuilder::new().mode(0o700).recursive(true).create(above).map_err(failed)?;
        }
        match &mount.kind {
            MountKind::Empty => fs::DirBuilder::new().mode(0o700).recursive(true).create(&at).map_err(failed),
            MountKind::Scratch { .. } => {
                self.rules.push((at.clone(), FILL));
                fs::DirBuilder::new().mode(0o700).recursive(true).create(&at).map_err(failed)
            }
            MountKind::Text { content } => fs::write(&at, content).map_err(failed),
            MountKind::OutputFolder { path } => {
                let real = self.outputs().join(path);
                fs::create_dir_all(&real).and_then(|()| symlink(&real, &at)).map_err(failed)
            }
            MountKind::OutputFile { path } => {
                let real = self.outputs().join(path);
                let above = real.parent().map_or(Ok(()), fs::create_dir_all);
                self.rules.push((real.clone(), USE_FILE));
                above.and_then(|()| fs::write(&real, "")).and_then(|()| symlink(&real, &at)).map_err(failed)
            }
            MountKind::Layered { .. } | MountKind::Open { .. } => Err(failed(std::io::ErrorKind::Unsupported.into())),
            MountKind::Input { source, hidden, .. } => {
                let mut carved: Vec<String> = hidden.clone();
                let below =
                    |mount: &Mount, outer: &str| Some(mount.target.strip_prefix(outer)?.strip_prefix('/')?.to_string());
                carved.extend(later.iter().filter_map(|inner| below(inner, &mount.target)));
                self.show(source, &at, "", &carved)
            }
        }
    }

    /// A link where all below may be seen, else a folder with links.
    fn show(
        &mut self,
        source: &Path,
        at: &Path,
        inside: &str,
        carved: &[String],
    ) -> Result<(), (PathBuf, std::io::Error)> {
        let failed = |e| (source.to_path_buf(), e);
        let kind = source.symlink_metadata().map_err(failed)?.file_type();
        let prefix = if inside.is_empty() { String::new() } else { format!("{inside}/") };
        if kind.is_dir() && carved.iter().any(|path| path.starts_with(&prefix)) {
            fs::DirBuilder::new().mode(0o700).recursive(true).create(at).map_err(failed)?;
            for entry in fs::read_dir(source).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                // A name that the plan cannot tell from a hidden one is not shown.
                let Some(text) = name.to_str() else { continue };
                let inner = format!("{prefix}{text}");
                if !carved.contains(&inner) {
                    self.show(&source.join(text), &at.join(text), &inner, carved)?;
                }
            }
            return Ok(());
        }
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(failed(std::io::Error::other(format!(
                "more than {MOST_LINKS} entries would have to be linked"
            ))));
        }
        match (kind.is_dir(), kind.is_file()) {
            (true, _) => self.rules.push((source.to_path_buf(), LOOK)),
            (_, true) => self.rules.push((source.to_path_buf(), READ_PROGRAM)),
            // A link of the project's gives what it leads to only if that is given anyway; sockets and pipes are none.
            _ if kind.is_symlink() => {}
            _ => return Ok(()),
        }
        symlink(source, at).map_err(failed)
    }
}

/// Environment, arguments and working folder with the places of the plan as they really are.
pub(crate) fn translated(plan: &Plan, view: &View) -> Plan {
    let mut plan = plan.clone();
    let mounts = plan.mounts.clone();
    let real = |text: &mut String| *text = view.real(text, &mounts);
    plan.task.args.iter_mut().chain(plan.task.programs.iter_mut()).for_each(real);
    real(&mut plan.task.workdir);
    for value in plan.task.env.values_mut() {
        if let aido_runtime::EnvValue::Literal(text) = value {
            real(text);
        }
    }
    let temporary = aido_runtime::EnvValue::Literal(view.real("/tmp", &mounts));
    plan.task.env.entry("TMPDIR".into()).or_insert(temporary);
    // Python looks for modules beside what a script's link leads to, in a folder that nobody may list here.
    let beside = aido_runtime::EnvValue::Literal(view.real(WORKSPACE, &mounts));
    plan.task.env.entry("PYTHONPATH".into()).or_insert(beside);
    plan
}
