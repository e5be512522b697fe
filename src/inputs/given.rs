//! `secrets:`: files of the project that the task is given, and that nothing else is told of.
//!
//! Each is shown read-only in its place, also where it looks like a secret. Its content is kept out of the record, and no
//! digest of it is stored: from the digest of a short secret the secret can be guessed.

use super::digest::{InputDigest, InputKind};
use super::secrets::EVIDENCE;
use super::select::{Entry, below, missing, normal, resolve};
use crate::settings::{At, Error, Result, Told};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Secret files that one sandbox may have.
const MAX_FILES: usize = 64;

/// A file that is given as a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    pub entry: Entry,
    /// Where it was asked for.
    pub at: At,
}

/// Content by path.
pub type SecretFiles = BTreeMap<String, Vec<u8>>;

/// Each by its exact path: a secret is given by nobody's pattern, and under no other name.
pub(super) fn read(project: &Path, wanted: &[Told<String>]) -> Result<Vec<SecretFile>> {
    let mut files: BTreeMap<String, SecretFile> = BTreeMap::new();
    for told in wanted {
        let fail = |what: String| Error::new(told.at.clone(), what);
        let (path, folder) = normal(told)?;
        if path.contains(['*', '?', '[', '{', '\\']) {
            return Err(fail(format!("`{}` is a pattern", told.value)).remedy("name each secret file by its path"));
        }
        if path.split('/').next() == Some(EVIDENCE) {
            return Err(fail(format!("`{path}` is the evidence of earlier runs, which no task is shown")));
        }
        if project.join(&path).symlink_metadata().is_err() {
            return Err(missing(told, project, &path));
        }
        let entry = resolve(project, &path).map_err(fail)?;
        if folder || entry.folder || path.is_empty() {
            return Err(fail(format!("`{}` is a folder", told.value)).remedy("name the secret files in it one by one"));
        }
        if entry.source != project.join(&path) {
            let real = entry.source.strip_prefix(project).unwrap_or(&entry.source).display().to_string();
            return Err(fail(format!("`{path}` is a link to `{real}`")).remedy(format!("name `{real}` itself")));
        }
        content(&entry, &told.at)?;
        files.insert(path, SecretFile { entry, at: told.at.clone() });
        if files.len() > MAX_FILES {
            return Err(fail(format!("more than {MAX_FILES} secret files")));
        }
    }
    Ok(files.into_values().collect())
}

/// The folders around them show them by the mount of their own alone.
pub(super) fn make_room(inputs: &mut [Entry], secrets: &[SecretFile]) -> Result<()> {
    for SecretFile { entry: secret, at } in secrets {
        for outer in inputs.iter_mut() {
            let Some(inside) = below(&secret.path, &outer.path).filter(|_| outer.folder) else { continue };
            if outer.source.join(inside) != secret.source {
                let what = format!("`{}` lies in the input `{}`, which is a link", secret.path, outer.path);
                return Err(Error::new(at.clone(), what).remedy("name the folder that the link leads to as the input"));
            }
            if let Some(closed) = outer.hidden.iter().find(|hidden| below(inside, hidden).is_some()) {
                let what = format!("`{}` lies in `{closed}`, of which the input around it shows nothing", secret.path);
                return Err(
                    Error::new(at.clone(), what).remedy("name the inputs one by one, without the folder around them")
                );
            }
            if !outer.hidden.iter().any(|hidden| hidden == inside) {
                outer.hidden.push(inside.to_string());
                outer.hidden.sort();
            }
        }
    }
    Ok(())
}

fn content(entry: &Entry, at: &At) -> Result<Vec<u8>> {
    let fail = |what: String| Error::new(at.clone(), what);
    let mut bytes = Vec::new();
    let file = File::open(&entry.source).map_err(|e| fail(format!("`{}` cannot be read: {e}", entry.path)))?;
    let most = aido_secrets::LONGEST;
    file.take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| fail(format!("`{}` cannot be read: {e}", entry.path)))?;
    if bytes.len() > most {
        let what = format!("`{}` is larger than the {} KiB that a secret may have", entry.path, most >> 10);
        return Err(fail(what).remedy("give it as an input, and keep in mind that the record may hold it then"));
    }
    Ok(bytes)
}

/// Reads what is in them, to be kept out of the record; what the record tells of them goes to the other inputs.
pub fn open_secrets(files: &[SecretFile], told: &mut Vec<InputDigest>) -> Result<SecretFiles> {
    let mut contents = SecretFiles::new();
    for SecretFile { entry, at } in files {
        let content = content(entry, at)?;
        told.push(InputDigest {
            path: entry.path.clone(),
            kind: InputKind::File,
            digest: String::new(),
            entries: 1,
            partial: false,
            pending: false,
            changed_during: false,
            secret: true,
            size: Some(content.len() as u64),
        });
        contents.insert(entry.path.clone(), content);
    }
    Ok(contents)
}
