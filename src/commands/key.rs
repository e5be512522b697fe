//! `aido key`: the keys that sign runs.

use super::warn;
use crate::cli::{Key, KeyExport, KeyRotate, KeyShow};
use crate::{backend, words};
use aido_evidence::{Keyring, Known, PublicKey};
use aido_runtime::Error;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Version of the JSON that `show` and `rotate` print. 1: first.
const VERSION: u32 = 1;

/// So much of a key's name a person reads.
const SHORT: usize = 16;

pub(crate) fn key(typed: &Key) -> Result<u8> {
    match typed {
        Key::Show(typed) => show(typed),
        Key::Export(typed) => export(typed),
        Key::Rotate(typed) => rotate(typed),
    }
}

fn folder() -> Result<PathBuf> {
    let none =
        || Error::new("there is no home folder for keys").remedy("set HOME, or XDG_DATA_HOME, to an absolute path");
    Ok(backend::own_home().keys.ok_or_else(none)?)
}

fn show(typed: &KeyShow) -> Result<u8> {
    let folder = folder()?;
    let ring = Keyring::open(&folder)?;
    let keys = ring.as_ref().map_or(Ok(Vec::new()), Keyring::keys)?;
    // Runs would be refused: said here too, whatever else there is to show.
    if let Some(Err(error)) = ring.as_ref().map(Keyring::current) {
        warn(&error.to_string());
    }
    let (current, older): (Vec<&Known>, Vec<&Known>) = keys.iter().partition(|key| key.current);
    if typed.json {
        let told = json!({
            "version": VERSION,
            "folder": folder,
            "current": current.first().map(|key| as_json(key, ring.as_ref())),
            "older": older.iter().map(|key| as_json(key, ring.as_ref())).collect::<Vec<_>>(),
        });
        words::print(&(serde_json::to_string_pretty(&told)? + "\n"));
        return Ok(0);
    }
    let Some(signs) = current.first() else {
        words::print(&format!("no key yet: the first run makes one in {}\n", shown(&folder)));
        return Ok(0);
    };
    let mut text = format!("key       {}\n", signs.key.id());
    text.push_str(&format!("public    {}\n", shown(&signs.path)));
    text.push_str(&format!("private   {}\n\n{}", shown(&private(&signs.path)), signs.key.to_pem()));
    if !older.is_empty() {
        text.push_str("\nsigned before, and is still believed:\n");
        older.iter().for_each(|key| text.push_str(&format!("  {}  {}\n", &key.key.id()[..SHORT], shown(&key.path))));
    }
    words::print(&text);
    Ok(0)
}

fn as_json(known: &Known, ring: Option<&Keyring>) -> Value {
    // Who vouched for it, if it came by a rotation.
    let rotation = ring.and_then(|ring| ring.rotation(known.key.id()).ok().flatten());
    json!({
        "id": known.key.id(),
        "algorithm": "ed25519",
        "public": known.key.to_pem(),
        "path": known.path,
        "follows": rotation.map(|envelope| envelope.keyid().to_owned()),
    })
}

/// The private half beside the public one.
fn private(public: &Path) -> PathBuf {
    public.with_extension("").with_extension("pem")
}

fn shown(path: &Path) -> String {
    words::inert(&path.display().to_string())
}

fn export(typed: &KeyExport) -> Result<u8> {
    let folder = folder()?;
    let keys = Keyring::open(&folder)?.map_or(Ok(Vec::new()), |ring| ring.keys())?;
    let key = chosen(&keys, typed.id.as_deref())?;
    let pem = key.to_pem();
    match &typed.output {
        None if typed.json => {
            let told = json!({"version": VERSION, "key": key.id(), "public": pem});
            words::print(&(serde_json::to_string_pretty(&told)? + "\n"));
        }
        None => words::print(&pem),
        Some(path) => write_new(path, &pem)?,
    }
    Ok(0)
}

fn chosen<'a>(keys: &'a [Known], asked: Option<&str>) -> Result<&'a PublicKey, Error> {
    if keys.is_empty() {
        return Err(Error::new("there is no key yet").remedy("the first run makes one; so does `aido key rotate`"));
    }
    let Some(asked) = asked else {
        let current = keys.iter().find(|key| key.current).map(|key| &key.key);
        return current.ok_or_else(|| Error::new("no key signs now").remedy("`aido key rotate` makes one"));
    };
    let typed = asked.to_ascii_lowercase();
    let mut found = keys.iter().filter(|key| !typed.is_empty() && key.key.id().starts_with(&typed));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(&one.key),
        (Some(_), Some(_)) => {
            Err(Error::new(format!("`{asked}` could be more than one key")).remedy("type more of it"))
        }
        (None, _) => {
            let known: Vec<String> = keys.iter().map(|key| key.key.id()[..SHORT].to_owned()).collect();
            Err(Error::new(format!("there is no key `{asked}` here")).remedy(words::there(&known)))
        }
    }
}

/// A file that holds the same already is no reason to fail.
fn write_new(path: &Path, pem: &str) -> Result<()> {
    let what = || format!("cannot write {}", path.display());
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(pem.as_bytes()).with_context(what),
        Err(e)
            if e.kind() == ErrorKind::AlreadyExists && std::fs::read(path).is_ok_and(|old| old == pem.as_bytes()) =>
        {
            Ok(())
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            Err(Error::new(format!("{} is there already", path.display()))
                .remedy("remove it, or name another file")
                .into())
        }
        Err(e) => Err(e).with_context(what),
    }
}

fn rotate(typed: &KeyRotate) -> Result<u8> {
    let ring = Keyring::create(&folder()?)?;
    let rotated = ring.rotate()?;
    let id = rotated.to.id();
    if typed.json {
        let told = json!({
            "version": VERSION,
            "key": id,
            "public": rotated.to.to_pem(),
            "follows": rotated.from.as_ref().map(PublicKey::id),
        });
        words::print(&(serde_json::to_string_pretty(&told)? + "\n"));
        return Ok(0);
    }
    words::say(&match &rotated.from {
        Some(old) => format!(
            "new runs are signed by a new key; {} vouches for it, and its private half is gone. Whoever checks your \
             runs needs the new public key: `aido key export`",
            &old.id()[..SHORT]
        ),
        None => "new runs are signed by a new key; there was none that could vouch for it".to_owned(),
    });
    words::print(&format!("{id}\n"));
    Ok(0)
}
