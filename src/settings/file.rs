//! Reads a configuration file that strangers may have put there.

use super::error::{At, Error, Result};
use super::yaml::MAX_BYTES;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

const CLOSED: &str = "nothing is started while it is unknown what your policy says; mend it, or HOME or XDG_CONFIG_HOME if they name a wrong place";

/// The file's text. `None`: there is none. A link must stay inside `project` or inside its own folder.
pub(super) fn read(path: &Path, project: &Path, shown: &str) -> Result<Option<String>> {
    let fail = |what: String| Error::new(At::File(shown.to_string()), what);
    let link = match path.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fail(format!("cannot be read: {e}"))),
        Ok(metadata) => metadata.is_symlink(),
    };
    let real = path.canonicalize().map_err(|e| fail(format!("cannot be read: {e}")))?;
    if link && !beneath(&real, project) && !path.parent().is_some_and(|folder| beneath(&real, folder)) {
        return Err(fail(format!("is a link that leads out of the project, to {}", real.display())));
    }
    text(ordinary(&real, shown)?.0, shown).map(Some)
}

/// The text of a file that rules over what strangers wrote: nobody but the caller and root can have written it, or can
/// put another into its place. A link is followed to such a file.
pub(super) fn read_own(path: &Path) -> Result<Option<String>> {
    let shown = path.display().to_string();
    let fail = |e: std::io::Error| Error::new(At::File(shown.clone()), format!("cannot be read: {e}")).remedy(CLOSED);
    let folder = path.parent().unwrap_or(path);
    match folder.metadata() {
        Ok(metadata) => refuse_foreign(&metadata, folder)?,
        Err(e) if e.kind() == ErrorKind::NotFound && folder.symlink_metadata().is_err() => return Ok(None),
        Err(e) => return Err(fail(e)),
    }
    match path.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fail(e)),
        Ok(_) => {}
    }
    let real = path.canonicalize().map_err(fail)?;
    if let Some(folder) = real.parent() {
        refuse_foreign(&folder.metadata().map_err(fail)?, folder)?;
    }
    let (file, metadata) = ordinary(&real, &shown)?;
    refuse_foreign(&metadata, &real)?;
    text(file, &shown).map(Some)
}

fn refuse_foreign(metadata: &Metadata, path: &Path) -> Result<()> {
    let Some((what, mend)) = foreign(metadata) else { return Ok(()) };
    let path = path.display().to_string();
    let remedy = format!("{mend} {path}");
    Err(Error::new(At::File(path), format!("{what}, so your policy may be no word of yours")).remedy(remedy))
}

/// What is wrong with the owner or the mode, and the command that mends it.
#[cfg(unix)]
fn foreign(metadata: &Metadata) -> Option<(String, String)> {
    use std::os::unix::fs::MetadataExt;
    judge(metadata.uid(), metadata.mode(), nix::unistd::geteuid().as_raw())
}

#[cfg(not(unix))]
fn foreign(_: &Metadata) -> Option<(String, String)> {
    None
}

#[cfg(unix)]
fn judge(owner: u32, mode: u32, user: u32) -> Option<(String, String)> {
    if owner != user && owner != 0 {
        return Some((format!("belongs to user {owner}, and you are user {user}"), format!("chown {user}")));
    }
    (mode & 0o022 != 0).then(|| ("can be written by others".to_string(), "chmod go-w".to_string()))
}

/// Opened, and what it was found to be when it was open.
fn ordinary(real: &Path, shown: &str) -> Result<(File, Metadata)> {
    let fail = |what: String| Error::new(At::File(shown.to_string()), what);
    let file = open(real).map_err(|e| fail(format!("cannot be opened: {e}")))?;
    let metadata = file.metadata().map_err(|e| fail(format!("cannot be read: {e}")))?;
    if !metadata.is_file() {
        return Err(fail("is no ordinary file".to_string()).remedy("a folder, FIFO, socket or device is not read"));
    }
    Ok((file, metadata))
}

fn text(file: File, shown: &str) -> Result<String> {
    let fail = |what: String| Error::new(At::File(shown.to_string()), what);
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| fail(format!("cannot be read: {e}")))?;
    if bytes.len() > MAX_BYTES {
        return Err(fail("the file is larger than 1 MiB".to_string()));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        fail(format!("is not UTF-8 (line {line})")).remedy("save it as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
}

fn beneath(path: &Path, folder: &Path) -> bool {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    folder.canonicalize().is_ok_and(|folder: PathBuf| path.starts_with(folder))
}

/// Without waiting for the other end of a FIFO, and without following what was swapped in meanwhile.
#[cfg(unix)]
fn open(path: &Path) -> std::io::Result<File> {
    use nix::fcntl::OFlag;
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY).bits())
        .open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn fails(path: &Path, project: &Path) -> String {
        read(path, project, "sandbox.yaml").unwrap_err().to_string()
    }

    #[test]
    fn only_the_caller_and_root_may_have_written_a_policy() {
        for (owner, mode, user, mends) in [
            (1000, 0o100644, 1000, None),
            (1000, 0o100444, 1000, None),
            (0, 0o100644, 1000, None),
            (0, 0o100664, 1000, Some("chmod go-w")),
            (1000, 0o100602, 1000, Some("chmod go-w")),
            (1001, 0o100600, 1000, Some("chown 1000")),
            (1000, 0o100600, 0, Some("chown 0")),
        ] {
            let judged = judge(owner, mode, user).map(|(_, mend)| mend);
            assert_eq!(judged.as_deref(), mends, "{owner} {mode:o} {user}");
        }
    }

    #[test]
    fn only_ordinary_small_files_of_the_project_are_read() {
        let (project, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| project.path().join(name);
        assert_eq!(read(&at("none"), project.path(), "x"), Ok(None));
        std::fs::write(at("a"), "\u{feff}ttl: 1m").unwrap();
        assert_eq!(read(&at("a"), project.path(), "x").unwrap().unwrap(), "ttl: 1m");

        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(fails(&at("fifo"), project.path()).contains("no ordinary file"));
        assert!(fails(project.path(), project.path()).contains("no ordinary file"));
        assert!(fails(Path::new("/dev/zero"), project.path()).contains("no ordinary file"));

        std::fs::write(at("full"), vec![b'#'; MAX_BYTES]).unwrap();
        assert!(read(&at("full"), project.path(), "x").is_ok());
        std::fs::write(at("more"), vec![b'#'; MAX_BYTES + 1]).unwrap();
        assert!(fails(&at("more"), project.path()).contains("larger than 1 MiB"));
        std::fs::write(at("latin"), b"a: 1\nb: \xe9").unwrap();
        assert!(fails(&at("latin"), project.path()).contains("not UTF-8 (line 2)"));

        symlink("a", at("inside")).unwrap();
        assert!(read(&at("inside"), project.path(), "x").is_ok());
        std::fs::write(other.path().join("b"), "ttl: 1m").unwrap();
        symlink(other.path().join("b"), at("outside")).unwrap();
        assert!(fails(&at("outside"), project.path()).contains("leads out of the project"));
        symlink("loop", at("loop")).unwrap();
        assert!(fails(&at("loop"), project.path()).contains("cannot be read"));
    }
}
