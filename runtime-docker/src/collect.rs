//! Bringing the outputs out of an archive: ordinary files and folders with plain names and modes, nothing else.
//!
//! The archive is what a hostile task left, told by an engine. It is parsed and never unpacked; the rules are those of
//! the Linux runtime's `collect.rs`. A thread writes, so that the engine can be read and the user heard meanwhile; it ends with the call.

use crate::client::Session;
use crate::os;
use crate::places::OUTPUTS;
use aido_runtime::names::{is_plain, shown};
use aido_runtime::{Artifact, Collected, Command, Io, Listener, Omission, Plan};
use aido_secrets::{Redactor, Secrets};
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tar::EntryType;
use tokio::sync::mpsc::{Receiver, channel};

/// How deep folders are followed.
const DEEPEST: usize = 64;
/// How many entries are looked at; what is beyond is named as left out.
const MOST_ENTRIES: usize = 100_000;
/// Bytes of their paths together: each is stored in the record, and a task must not make that too large to be sealed.
const MOST_NAMES: usize = 8 << 20;
/// An engine that sends nothing for so long has nothing more to send.
const STALLED: Duration = Duration::from_secs(60);

/// Copies the outputs of a container into the folder of outputs. What fails is named as left out: the run itself is
/// over, and stays as it was.
pub(crate) async fn collect(
    session: &Session,
    container: &str,
    io: &Io,
    plan: &Plan,
    listener: &mut dyn Listener,
) -> Collected {
    let (variables, files) = (io.secrets.iter(), io.secret_files.iter());
    let values =
        variables.map(|(name, value)| (name, value.as_bytes())).chain(files.map(|(path, bytes)| (path, &**bytes)));
    let secrets = Secrets::new(values);
    let mut copier = Copier::new(&io.outputs, secrets, !plan.exact_output, plan.limits.disk.value);
    let (send, receive) = channel::<Bytes>(16);
    let copying = std::thread::Builder::new().name("outputs".into()).spawn(move || {
        let result = copier.archive(Pipe { from: receive, piece: Bytes::new() });
        result.map(|()| copier.report()).map_err(|e| e.to_string())
    });
    let copying = match copying {
        Ok(copying) => copying,
        Err(e) => return Collected::lost(e),
    };
    let fetched = fetch(session, container, send, listener).await;
    let copied = copying.join().unwrap_or_else(|_| Err("the thread that copies them panicked".into()));
    match (fetched, copied) {
        (Err(why), _) | (Ok(()), Err(why)) => Collected::lost(why),
        (Ok(()), Ok(collected)) => collected,
    }
}

/// From the engine to the thread. Whoever wants the run to end does not wait for its outputs.
async fn fetch(
    session: &Session,
    container: &str,
    to: tokio::sync::mpsc::Sender<Bytes>,
    listener: &mut dyn Listener,
) -> Result<(), String> {
    let options = DownloadFromContainerOptionsBuilder::new().path(OUTPUTS).build();
    let mut bytes = 0;
    let mut pieces = std::pin::pin!(session.slow.download_from_container(container, Some(options)));
    loop {
        tokio::select! {
            piece = tokio::time::timeout(STALLED, pieces.next()) => match piece {
                // The thread may have had enough: what it left out is named.
                Ok(Some(Ok(piece))) => {
                    bytes += piece.len() as u64;
                    listener.collected_so_far(bytes);
                    if to.send(piece).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(Some(Err(e))) => return Err(session.failed("the engine broke off")(e).what),
                Ok(None) => return Ok(()),
                Err(_) => return Err(format!("the engine sent nothing for {} s", STALLED.as_secs())),
            },
            () = os::wish(&*listener) => {
                while let Some(command) = listener.command() {
                    if matches!(command, Command::Interrupt(_)) {
                        return Err("interrupted".into());
                    }
                }
            }
        }
    }
}

/// What the other thread sends, as something to read.
struct Pipe {
    from: Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.piece.is_empty() {
            match self.from.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = into.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}

struct Copier {
    into: PathBuf,
    artifacts: Vec<Artifact>,
    omitted: Vec<Omission>,
    /// What must not get out, by name or content.
    secrets: Secrets,
    /// Whether it is taken out of contents.
    replace: bool,
    /// Bytes that may still be copied, and that may still be passed over.
    left: u64,
    passed: u64,
    entries: usize,
    names: usize,
    /// Where a file of the archive was copied to, by its name there: another name may be a second one of it.
    copied: HashMap<Vec<u8>, usize>,
}

impl Copier {
    fn new(into: &Path, secrets: Secrets, replace: bool, left: u64) -> Copier {
        let replace = replace && !secrets.is_empty();
        Copier {
            into: into.into(),
            artifacts: Vec::new(),
            omitted: Vec::new(),
            secrets,
            replace,
            left,
            passed: left.saturating_mul(2).saturating_add(1 << 30),
            entries: 0,
            names: 0,
            copied: HashMap::new(),
        }
    }

    fn report(self) -> Collected {
        let Copier { mut artifacts, mut omitted, .. } = self;
        artifacts.sort_by(|a, b| a.path.cmp(&b.path));
        omitted.sort_by(|a, b| a.path.cmp(&b.path));
        Collected { artifacts, omitted }
    }

    fn omit(&mut self, path: &str, why: impl Into<String>) {
        self.omitted.push(Omission { path: path.to_string(), why: why.into() });
    }

    fn archive(&mut self, from: impl Read) -> std::io::Result<()> {
        let mut archive = tar::Archive::new(from);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = entry.path_bytes().into_owned();
            let Some((path, parts)) = self.named(&name) else { continue };
            self.entries += 1;
            self.names += path.len();
            let most = match () {
                () if self.entries > MOST_ENTRIES => Some(format!("{MOST_ENTRIES} entries")),
                () if self.names > MOST_NAMES => Some(format!("{MOST_NAMES} bytes of paths")),
                () => None,
            };
            if let Some(most) = most {
                self.omit(&path, format!("more than {most}; what follows is left out too"));
                return Ok(());
            }
            if !parts.is_empty() {
                let size = entry.size();
                let taken = self.entry(&mut entry, &name, &path, &parts)?;
                if !taken && size > self.passed {
                    self.omit(&path, "what follows it in the archive is left out too");
                    return Ok(());
                }
                self.passed -= if taken { 0 } else { size };
            }
        }
        Ok(())
    }

    /// How a name is shown, and its parts; no parts where it cannot be taken, and nothing for the folder itself.
    fn named(&mut self, name: &[u8]) -> Option<(String, Vec<String>)> {
        let mut parts = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
        // The folder's own name comes first.
        parts.next()?;
        let parts: Vec<&[u8]> = parts.collect();
        if parts.is_empty() {
            return None;
        }
        let shown: Vec<String> = parts.iter().map(|part| shown(part)).collect();
        let (mut path, mut secret) = (Vec::new(), false);
        for part in &shown {
            let clean = self.secrets.text(part);
            secret |= clean.is_some();
            path.push(clean.unwrap_or_else(|| part.clone()));
        }
        let path = path.join("/");
        let why = match () {
            () if secret => Some("its name holds a secret".to_string()),
            () if parts.contains(&&b".."[..]) => Some("its name climbs out of the outputs".to_string()),
            () if !parts.iter().all(|part| is_plain(part)) => Some("its name is not plain text".to_string()),
            () if parts.len() > DEEPEST => Some(format!("deeper than {DEEPEST} folders")),
            () => shown.iter().find_map(|part| os::unnameable(part)).map(str::to_string),
        };
        match why {
            Some(why) => {
                // Of what lies in it the folder is enough.
                let below =
                    |omitted: &Omission| omitted.why == why && crate::places::below(&path, &omitted.path).is_some();
                if !self.omitted.iter().rev().take(64).any(below) {
                    self.omit(&path, why);
                }
                Some((path, Vec::new()))
            }
            None => Some((path, shown)),
        }
    }

    /// One entry; false if it was passed over. An error of the disk is about this entry; one of the archive ends everything.
    fn entry<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        name: &[u8],
        path: &str,
        parts: &[String],
    ) -> std::io::Result<bool> {
        let target = parts.iter().fold(self.into.clone(), |folder, part| folder.join(part));
        match entry.header().entry_type() {
            EntryType::Directory if parts.len() >= DEEPEST => self.omit(path, format!("deeper than {DEEPEST} folders")),
            EntryType::Directory => {
                if let Err(e) = folder(&target) {
                    self.omit(path, e.to_string());
                }
            }
            EntryType::Regular | EntryType::Continuous => return self.file(entry, name, path, &target),
            EntryType::Link => {
                let first = entry.link_name_bytes().and_then(|first| self.copied.get(&*first).copied());
                match first {
                    Some(number) => self.second_name(number, path, &target),
                    None => self.omit(path, "a second name of a file that was left out"),
                }
                return Ok(true);
            }
            EntryType::Symlink => self.omit(path, "a symbolic link"),
            EntryType::Fifo => self.omit(path, "a named pipe"),
            EntryType::Char | EntryType::Block => self.omit(path, "a device"),
            _ => self.omit(path, "of a kind that is neither a file nor a folder"),
        }
        Ok(true)
    }

    fn file<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        name: &[u8],
        path: &str,
        target: &Path,
    ) -> std::io::Result<bool> {
        let size = entry.size();
        // By its apparent size: a sparse file must not explode on the way out.
        if size > self.left {
            self.omit(path, format!("{size} bytes are more than the {} left of the disk bound", self.left));
            return Ok(false);
        }
        let file = match os::plain_file(target) {
            Ok(file) => file,
            Err(e) => {
                self.omit(path, e.to_string());
                return Ok(false);
            }
        };
        let most = self.left;
        self.left -= size;
        let redactor = self.replace.then(|| Redactor::new(&self.secrets, false));
        match copy(entry, &file, most, redactor) {
            Ok(Some(Copied { size, digest, redacted })) => {
                // A marker may be longer than what it stands for.
                self.left = self.left.min(most - size);
                self.copied.insert(name.to_vec(), self.artifacts.len());
                let path = path.to_string();
                self.artifacts.push(Artifact { path, size, digest, change: None, active: None, redacted });
            }
            Ok(None) => {
                std::fs::remove_file(target)?;
                self.omit(path, "with its secrets replaced it is larger than what is left of the disk bound");
            }
            Err(Failed::Target(e)) => {
                let _ = std::fs::remove_file(target);
                self.omit(path, e.to_string());
                return Ok(false);
            }
            Err(Failed::Archive(e)) => return Err(e),
        }
        Ok(true)
    }

    /// Another name of a file that was copied: a copy of its own.
    fn second_name(&mut self, number: usize, path: &str, target: &Path) {
        let first = self.artifacts[number].clone();
        if first.size > self.left {
            self.omit(path, format!("{} bytes are more than the {} left of the disk bound", first.size, self.left));
            return;
        }
        let source = first.path.split('/').fold(self.into.clone(), |folder, part| folder.join(part));
        let copied = File::open(source).and_then(|mut source| std::io::copy(&mut source, &mut os::plain_file(target)?));
        match copied {
            Ok(_) => {
                self.left -= first.size;
                self.artifacts.push(Artifact { path: path.into(), ..first });
            }
            Err(e) => self.omit(path, e.to_string()),
        }
    }
}

/// Makes a folder where there is none; a link in its place is none.
fn folder(path: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && path.symlink_metadata()?.is_dir() => Ok(()),
        other => other,
    }
}

struct Copied {
    size: u64,
    digest: String,
    redacted: u64,
}

enum Failed {
    Archive(std::io::Error),
    Target(std::io::Error),
}

/// Copies an entry into an empty file, with holes where there are only zeros; `None` if more than `most` would come of it.
fn copy(from: &mut impl Read, to: &File, most: u64, mut redactor: Option<Redactor>) -> Result<Option<Copied>, Failed> {
    let mut target = Target { to, hasher: Sha256::new(), size: 0 };
    let (mut buffer, mut clean) = (vec![0u8; 1 << 16], Vec::new());
    loop {
        let got = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Failed::Archive(e)),
        };
        match &mut redactor {
            Some(redactor) => {
                redactor.push(&buffer[..got], &mut clean);
                target.write(&clean).map_err(Failed::Target)?;
                clean.clear();
            }
            None => target.write(&buffer[..got]).map_err(Failed::Target)?,
        }
        if target.size > most {
            return Ok(None);
        }
    }
    if let Some(redactor) = &mut redactor {
        redactor.finish(&mut clean);
        target.write(&clean).map_err(Failed::Target)?;
    }
    if target.size > most {
        return Ok(None);
    }
    to.set_len(target.size).map_err(Failed::Target)?;
    let digest = target.hasher.finalize().iter().fold("sha256:".to_string(), |text, byte| format!("{text}{byte:02x}"));
    Ok(Some(Copied { size: target.size, digest, redacted: redactor.map_or(0, |redactor| redactor.count()) }))
}

struct Target<'a> {
    to: &'a File,
    hasher: Sha256,
    size: u64,
}

impl Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        if bytes.iter().all(|byte| *byte == 0) {
            return self.to.seek(SeekFrom::Current(bytes.len() as i64)).map(drop);
        }
        self.to.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, Header};

    /// An archive as an enemy would write it: names are not checked by anybody.
    fn add(builder: &mut Builder<Vec<u8>>, kind: EntryType, name: &[u8], link: &[u8], content: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o6777);
        header.set_size(content.len() as u64);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }

    fn collect(
        left: u64,
        secret: Option<&str>,
        fill: impl Fn(&mut Builder<Vec<u8>>),
    ) -> (tempfile::TempDir, Collected) {
        let mut builder = Builder::new(Vec::new());
        add(&mut builder, EntryType::Directory, b"outputs/", b"", b"");
        fill(&mut builder);
        let bytes = builder.into_inner().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("into")).unwrap();
        let name = "TOKEN".to_string();
        let secrets = Secrets::new(secret.iter().map(|value| (&name, value.as_bytes())));
        let mut copier = Copier::new(&folder.path().join("into"), secrets, true, left);
        copier.archive(&*bytes).unwrap();
        (folder, copier.report())
    }

    fn omitted(collected: &Collected) -> Vec<(&str, &str)> {
        collected.omitted.iter().map(|omitted| (omitted.path.as_str(), omitted.why.as_str())).collect()
    }

    #[test]
    fn nothing_but_plain_files_and_folders_comes_out_of_a_hostile_archive() {
        let (folder, collected) = collect(1 << 20, None, |archive| {
            let mut put = |kind, name: &[u8], link: &[u8]| add(archive, kind, name, link, b"");
            put(EntryType::Symlink, b"outputs/link", b"/etc");
            put(EntryType::Directory, b"outputs/link/", b"");
            put(EntryType::Symlink, b"outputs/up", b"..");
            put(EntryType::Regular, b"outputs/up/escaped", b"");
            put(EntryType::Regular, b"outputs/../climbed", b"");
            put(EntryType::Regular, b"/etc/absolute", b"");
            put(EntryType::Char, b"outputs/device", b"");
            put(EntryType::Fifo, b"outputs/pipe", b"");
            put(EntryType::Link, b"outputs/hard", b"/etc/passwd");
            put(EntryType::Regular, b"outputs/bell\x07", b"");
            put(EntryType::Regular, b"outputs/\xff", b"");
            put(EntryType::Regular, b"outputs/ok", b"");
        });
        let names: Vec<&str> = collected.artifacts.iter().map(|artifact| artifact.path.as_str()).collect();
        // What the archive calls its own folder does not matter.
        assert_eq!(names, ["absolute", "ok"], "{collected:?}");
        let said = omitted(&collected);
        for (path, why) in [
            ("../climbed", "its name climbs out of the outputs"),
            ("bell\\x07", "its name is not plain text"),
            ("device", "a device"),
            ("hard", "a second name of a file that was left out"),
            ("link", "a symbolic link"),
            ("pipe", "a named pipe"),
            ("up", "a symbolic link"),
        ] {
            assert!(said.contains(&(path, why)), "{path}: {said:?}");
        }
        let outside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(outside, ["into"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = folder.path().join("into/ok").metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o644);
        }
    }

    #[test]
    fn contents_are_bounded_digested_and_without_secrets() {
        let (folder, collected) = collect(1000, Some("s3cret-value-123"), |archive| {
            add(archive, EntryType::Directory, b"outputs/a/", b"", b"");
            add(archive, EntryType::Regular, b"outputs/a/x", b"", b"it is s3cret-value-123!");
            add(archive, EntryType::Link, b"outputs/a/y", b"outputs/a/x", b"");
            add(archive, EntryType::Regular, b"outputs/large", b"", &[1; 2000]);
            add(archive, EntryType::Regular, b"outputs/s3cret-value-123", b"", b"");
            add(archive, EntryType::Regular, b"outputs/zeros", b"", &[0; 500]);
        });
        let found: Vec<(&str, u64, u64)> =
            collected.artifacts.iter().map(|a| (a.path.as_str(), a.size, a.redacted)).collect();
        let size = "it is [secret TOKEN]!".len() as u64;
        assert_eq!(found, [("a/x", size, 1), ("a/y", size, 1), ("zeros", 500, 0)]);
        for name in ["a/x", "a/y"] {
            let text = std::fs::read_to_string(folder.path().join("into").join(name)).unwrap();
            assert_eq!(text, "it is [secret TOKEN]!");
        }
        assert_eq!(std::fs::read(folder.path().join("into/zeros")).unwrap(), [0; 500]);
        let said = omitted(&collected);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said.iter().any(|(path, why)| *path == "large" && why.contains("2000 bytes are more than")));
        assert!(said.iter().any(|(path, why)| path.contains("secret TOKEN") && *why == "its name holds a secret"));
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = "d/".repeat(DEEPEST - 1);
        let (_, collected) = collect(10, None, |archive| {
            add(archive, EntryType::Regular, b"outputs/first", b"", b"");
            // Folders are not asked for what lies above them: the archive of an engine has them in order.
            let mut header = Header::new_gnu();
            header.set_size(0);
            header.set_cksum();
            archive.append_data(&mut header, format!("outputs/{deep}e/f"), std::io::empty()).unwrap();
        });
        assert_eq!(collected.artifacts.len(), 1);
        assert!(collected.omitted[0].why.contains("deeper than"), "{collected:?}");
    }
}
