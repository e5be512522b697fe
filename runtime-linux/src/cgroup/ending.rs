//! Ending groups: kill what is in them, take the folders away, and know both after a crash.

use super::knob;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fs, io};

/// The version of [`Leftover`] that this program writes, and the only one so far.
const VERSION: u32 = 1;
/// How long a killed process may take to be gone, and a folder to be free.
const PATIENCE: Duration = Duration::from_secs(2);
/// Groups inside of groups that are looked at. The task sees no control groups, so it makes none.
const DEPTH: usize = 8;

/// Every group that aido makes is called so; nothing else is ever killed or removed. No dot: a
/// service or slice of systemd's that happens to begin so is not ours.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.strip_prefix("aido-").is_some_and(|id| !id.is_empty() && id.len() <= 128 && id.chars().all(plain))
}

/// What must go when the supervisor died, as it is stored.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leftover {
    version: u32,
    /// Folders of control groups.
    groups: Vec<PathBuf>,
    /// Whether systemd made the group and removes it when it is empty.
    scope: bool,
}

impl Leftover {
    pub(super) fn new(groups: Vec<PathBuf>, scope: bool) -> Self {
        Leftover { version: VERSION, groups, scope }
    }

    /// The paths come from a mount point that is UTF-8 (see `place`), so this cannot fail in use.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    fn parse(text: &str) -> io::Result<Self> {
        let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("record of control groups: {why}"));
        let left: Leftover = serde_json::from_str(text).map_err(|e| bad(e.to_string()))?;
        match left.version {
            VERSION => Ok(left),
            other => Err(bad(format!("version {other} is not known to this aido, which knows {VERSION}"))),
        }
    }
}

/// Kills and removes what a record names. What is gone already is no error.
pub(super) fn destroy(text: &str) -> io::Result<()> {
    let left = Leftover::parse(text)?;
    let mut groups = Vec::new();
    for group in &left.groups {
        groups.extend(ours(group, left.scope)?);
    }
    let me = std::process::id() as i32;
    if inside(&groups).contains(&me) {
        return Err(io::Error::other(format!("process {me}, which should end these groups, is in them: {groups:?}")));
    }
    let empty = kill(&groups);
    if left.scope {
        let until = Instant::now() + PATIENCE;
        while groups.iter().any(|g| g.exists()) && Instant::now() < until {
            sleep(Duration::from_millis(5));
        }
    }
    remove(&groups).map_err(|e| match empty {
        true => e,
        false => io::Error::new(e.kind(), format!("processes {:?} could not be ended: {e}", inside(&groups))),
    })
}

/// A record is a file that others may have written: take only what can be nothing but our group.
fn ours(group: &Path, scope: bool) -> io::Result<Option<PathBuf>> {
    let refuse = |why: &str| {
        let text = format!("{} is not a control group of aido's: {why}", group.display());
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    };
    let name = group.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let named = is_name(if scope { name.strip_suffix(".scope").unwrap_or_default() } else { name });
    if !group.is_absolute() || group.components().any(|c| c == Component::ParentDir) || !named {
        return refuse("its name");
    }
    let real = match fs::canonicalize(group) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let kind = rustix::fs::statfs(&real)?.f_type;
    if real != group {
        return refuse("a link leads there");
    }
    if kind != libc::CGROUP_SUPER_MAGIC && kind != libc::CGROUP2_SUPER_MAGIC {
        return refuse("it is on another file system");
    }
    Ok(Some(real))
}

/// Kills everything in the groups and waits until they are empty; false if some process outlasts it.
pub(super) fn kill(groups: &[PathBuf]) -> bool {
    for group in groups {
        // Linux 5.14 and version 2: one write that no fork outruns. Elsewhere the signals below do it.
        let _ = knob::write(group, "cgroup.kill", "1");
    }
    let until = Instant::now() + PATIENCE;
    for round in 0.. {
        let pids = inside(groups);
        if pids.is_empty() {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        if round == 8 {
            // Something forks as fast as it dies. Not sooner: refused forks are counted as the task's.
            groups.iter().for_each(|g| drop(knob::write(g, "pids.max", "0")));
        }
        signal(groups, &pids);
        sleep(Duration::from_millis(if round < 10 { 1 } else { 10 }));
    }
    unreachable!("the loop has no end but its returns")
}

/// Signals these processes if they are still in the groups. A number may have been given to
/// somebody else since it was read; a pidfd cannot, so membership is looked up after it is held.
fn signal(groups: &[PathBuf], pids: &BTreeSet<i32>) {
    let open = |pid: &i32| Some((*pid, pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok()?));
    let held: Vec<(i32, OwnedFd)> = pids.iter().filter_map(open).collect();
    let still = inside(groups);
    for (pid, fd) in held {
        if still.contains(&pid) {
            let _ = pidfd_send_signal(fd, Signal::KILL);
        }
    }
}

/// The processes in the groups. One in a foreign pid namespace reads as 0 and counts, unsignalled.
fn inside(groups: &[PathBuf]) -> BTreeSet<i32> {
    let folders = groups.iter().flat_map(|g| tree(g, DEPTH));
    folders.flat_map(|f| knob::words(&f, "cgroup.procs")).filter_map(|pid| pid.parse().ok()).collect()
}

/// The folders of a group, innermost first.
fn tree(group: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let (Ok(entries), true) = (fs::read_dir(group), depth > 0) {
        let folders = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
        found.extend(folders.flat_map(|e| tree(&e.path(), depth - 1)));
    }
    found.push(group.to_path_buf());
    found
}

/// Takes the folders away; a group is busy for a moment after its last process died.
pub(super) fn remove(groups: &[PathBuf]) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut pause = Duration::from_micros(100);
    loop {
        let mut failed = None;
        for folder in groups.iter().flat_map(|g| tree(g, DEPTH)) {
            match fs::remove_dir(&folder) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => failed = Some((folder, e)),
                Ok(()) => {}
            }
        }
        match failed {
            None => return Ok(()),
            Some((folder, e)) if Instant::now() > until => {
                return Err(io::Error::new(e.kind(), format!("{} cannot be removed: {e}", folder.display())));
            }
            Some(_) => sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(groups: &[&Path]) -> String {
        Leftover::new(groups.iter().map(|g| g.to_path_buf()).collect(), false).to_json()
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let left = Leftover::new(vec!["/a/aido-1.scope".into(), "/b c/aido-1".into()], true);
        assert_eq!(left.to_json(), r#"{"version":1,"groups":["/a/aido-1.scope","/b c/aido-1"],"scope":true}"#);
        assert_eq!(Leftover::parse(&left.to_json()).unwrap(), left);
    }

    #[test]
    fn a_record_of_another_version_or_shape_is_refused() {
        for text in [
            "",
            "{}",
            r#"{"version":2,"groups":[],"scope":false}"#,
            r#"{"version":1,"groups":[],"scope":false,"more":1}"#,
            r#"{"version":1,"groups":"/","scope":false}"#,
        ] {
            assert_eq!(destroy(text).unwrap_err().kind(), io::ErrorKind::InvalidData, "{text}");
        }
    }

    #[test]
    fn what_is_gone_is_no_error() {
        destroy(&record(&[Path::new("/sys/fs/cgroup/aido-never-was")])).unwrap();
        destroy(&record(&[])).unwrap();
    }

    #[test]
    fn a_name_has_no_room_for_anybody_else() {
        assert!(is_name("aido-1") && is_name("aido-0b_c-2"));
        for name in ["", "aido", "aido-", "aido-x.service", "aido.1000", "aido-../x", "aido-a b", "aido-\n", "xaido-1"]
        {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_record_cannot_name_what_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("aido-x");
        fs::create_dir(&real).unwrap();
        let link = folder.path().join("aido-link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let inner = real.join("../aido-x");
        let relative = Path::new("aido-x");
        for path in [real.as_path(), &link, &inner, relative, folder.path(), Path::new("/"), Path::new("/aido-x/..")] {
            let error = destroy(&record(&[path])).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
        assert!(real.is_dir(), "an ordinary folder was removed");
    }
}
