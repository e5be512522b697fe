//! A look for secrets through a folder, and what it saw: the next one asks of each folder only whether it has changed.
//!
//! **Why that is safe.** An entry cannot come, go, be renamed or become of another type without its folder's change time
//! (ctime) being set to that moment, and nobody but the machine's administrator can set a change time back. So a folder
//! that has the same device, inode, change and modification time as at the last look has the same names; but only if
//! that time was over when the look began, since two changes within one tick of the clock look like one (git calls such
//! entries racy): a folder that changed in the [`SETTLED`] before a look is not remembered. Where a file system does not
//! keep that promise (network, FUSE, layers of folders), nothing is. What is remembered lies in the caller's state
//! folder, which no task is shown and no repository brings, is believed only if it is the caller's own file and nobody
//! else may write it, and counts for one table of secrets. Links are resolved each time: where they lead can change
//! elsewhere.

use super::secrets;
use super::walk::{Budget, Kind, each_of};
use crate::host::names::{Stamp, is_own, keeps_times, stamp};
use crate::settings::Result;
use aido_evidence::sha256_hex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long a folder has been as it is before it is remembered.
const SETTLED: Duration = Duration::from_secs(2);
/// Entries in folders that were not known, from which on the look is remembered: small projects are looked through as fast.
const WORTH_IT: usize = 4096;
/// Bytes that are read of a memory, and written.
const LONGEST: usize = 32 << 20;

/// What was seen, as it is stored.
#[derive(Default, Serialize, Deserialize)]
struct Seen {
    /// Of the table of secrets, and of this form.
    table: String,
    folders: HashMap<String, Folder>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Folder {
    stamp: Stamp,
    /// Entries that it has.
    entries: usize,
    /// The folders and what may have to be hidden.
    shown: Vec<(String, Kind)>,
}

/// Looks through folders, with a memory or without.
pub(super) struct Look {
    store: Option<PathBuf>,
    known: Seen,
    now: Seen,
    /// Entries that had to be read.
    read: usize,
    began: SystemTime,
    devices: HashMap<u64, bool>,
}

impl Look {
    /// `memory`: the folder for what was seen; none where nothing is remembered.
    pub(super) fn at(root: &Path, memory: Option<&Path>) -> Look {
        // Never where a task could come by it.
        let memory = memory.filter(|memory| !memory.starts_with(root));
        let name = sha256_hex(root.as_os_str().as_encoded_bytes());
        let store = memory.map(|memory| memory.join(&name[..32]));
        let table = table();
        let known = store.as_deref().and_then(read).filter(|known| known.table == table).unwrap_or_default();
        let now = Seen { table, folders: HashMap::new() };
        Look { store, known, now, read: 0, began: SystemTime::now(), devices: HashMap::new() }
    }

    /// Visits every folder below `root` and every file or link that [`secrets::names_secret`], and every door, in no
    /// order. The visitor says whether to go into a folder.
    pub(super) fn through(
        &mut self,
        root: &Path,
        budget: &mut Budget,
        visit: &mut dyn FnMut(&Path, Kind) -> Result<bool>,
    ) -> Result<()> {
        let mut waiting = vec![PathBuf::new()];
        while let Some(folder) = waiting.pop() {
            let Some(entries) = self.entries(root, &folder, budget)? else {
                visit(&folder, Kind::Closed)?;
                continue;
            };
            for (name, kind) in entries {
                let path = folder.join(name);
                if visit(&path, kind)? && kind == Kind::Folder {
                    waiting.push(path);
                }
            }
        }
        Ok(())
    }

    /// What of a folder is to be visited. `None`: this user may not list it.
    fn entries(
        &mut self,
        root: &Path,
        folder: &Path,
        budget: &mut Budget,
    ) -> Result<Option<Vec<(std::ffi::OsString, Kind)>>> {
        // Before its names: what changes from here on has a later time.
        let stamp = self.store.is_some().then(|| stamp(&root.join(folder))).flatten();
        let key = folder.to_str();
        if let (Some(stamp), Some(key)) = (&stamp, key)
            && let Some(known) = self.known.folders.remove(key)
            && known.stamp == *stamp
        {
            budget.take(known.entries, root)?;
            let shown = known.shown.iter().map(|(name, kind)| (name.into(), *kind)).collect();
            self.now.folders.insert(key.to_string(), known);
            return Ok(Some(shown));
        }
        let (mut shown, mut entries) = (Vec::new(), 0);
        let listed = each_of(root, folder, budget, &mut |name, kind| {
            entries += 1;
            // Most names end with the first question, and there are many.
            let hides = || {
                secrets::may_be_hidden(name.as_encoded_bytes())
                    && secrets::names_secret(&folder.join(name).to_string_lossy())
            };
            if !matches!(kind, Kind::File | Kind::Link) || hides() {
                shown.push((name.to_os_string(), kind));
            }
        })?;
        self.read += entries;
        if !listed {
            return Ok(None);
        }
        if let (Some(stamp), Some(key)) = (stamp, key)
            && self.is_settled(&stamp, &root.join(folder))
            && let Some(shown) = shown.iter().map(|(n, k)| Some((n.to_str()?.to_string(), *k))).collect()
        {
            self.now.folders.insert(key.to_string(), Folder { stamp, entries, shown });
        }
        Ok(Some(shown))
    }

    fn is_settled(&mut self, stamp: &Stamp, path: &Path) -> bool {
        let old = stamp.changed().is_some_and(|at| self.began.duration_since(at).is_ok_and(|age| age >= SETTLED));
        old && *self.devices.entry(stamp.device()).or_insert_with(|| keeps_times(path))
    }

    /// Remembers what was seen, if that is worth it. What cannot be stored is looked at again.
    pub(super) fn remember(self) {
        let Some(store) = self.store.filter(|_| self.read >= WORTH_IT) else { return };
        let Ok(bytes) = serde_json::to_vec(&self.now) else { return };
        if bytes.len() <= LONGEST {
            let _ = write(&store, &bytes);
        }
    }
}

fn read(store: &Path) -> Option<Seen> {
    let file = File::open(store).ok().filter(is_own)?;
    let mut bytes = Vec::new();
    file.take(LONGEST as u64).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn write(store: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = store.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(store)?;
    Ok(())
}

/// Names the table of secrets: what another one would hide is looked for anew.
fn table() -> String {
    let mut text = String::from("1\n");
    for name in secrets::FILES.iter().chain(&secrets::FOLDERS).chain(&secrets::PUBLIC) {
        text.push_str(name);
        text.push('\n');
    }
    sha256_hex(text.as_bytes())
}

// Elsewhere nothing is remembered.
#[cfg(all(test, target_os = "linux", not(aido_portable)))]
#[path = "looked_tests.rs"]
mod tests;
