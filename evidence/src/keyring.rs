//! The user's keys: one that signs, and the public halves of those that did before.

use crate::clock;
use crate::dsse::Envelope;
use crate::error::{Error, Result};
use crate::folder::{Folder, For, present};
use crate::home::{private, private_or_new};
use crate::key::{MAX_PEM, PublicKey, SecretKey};
use crate::lock;
use crate::platform::{Owner, owner_of};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A file with the name of the key that signs.
const CURRENT: &str = "current";
const SECRET: &str = ".pem";
const PUBLIC: &str = ".pub.pem";
const ROTATION: &str = ".rotation.json";

/// `payloadType` of a rotation.
pub const ROTATION_TYPE: &str = "application/vnd.aido.rotation+json";

/// The folder of the keys, held open.
#[derive(Debug)]
pub struct Keyring {
    folder: Folder,
}

/// A key that this user has or had.
#[derive(Clone, Debug)]
pub struct Known {
    pub key: PublicKey,
    /// New runs are signed with it.
    pub current: bool,
    /// The file of its public half.
    pub path: PathBuf,
}

/// What the old key says of the new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    pub v: u32,
    pub from: String,
    pub to: String,
    /// PEM.
    pub to_key: String,
    /// RFC 3339, UTC.
    pub time: String,
}

/// What became of a rotation.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// None: there was no key that could vouch for the new one.
    pub from: Option<PublicKey>,
    pub to: PublicKey,
}

impl Keyring {
    /// None if there is no such folder.
    pub fn open(path: &Path) -> Result<Option<Keyring>> {
        Ok(private(path)?.map(|folder| Keyring { folder }))
    }

    /// The same; made if it is not there.
    pub fn create(path: &Path) -> Result<Keyring> {
        private_or_new(path).map(|folder| Keyring { folder })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file that says whom to believe, and that nobody but this user can have written; None if it is not there.
    fn own(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = present(self.folder.file(name, For::Reading))? else { return Ok(None) };
        let path = self.folder.path().join(name);
        if let Some(Owner { user, me, mode }) = owner_of(&file).map_err(|e| Error::io("look at", &path, e))? {
            if user != me {
                let why = format!("belongs to user {user}, and this is user {me}");
                return Err(Error::foreign(&path, why, "keys are believed that are your own files; move it away"));
            }
            if mode & 0o022 != 0 {
                let why = format!("can be written by others (mode {:03o}), and says whom to believe", mode & 0o777);
                let remedy = format!("compare it with a copy that you trust, then: chmod go-w '{}'", path.display());
                return Err(Error::foreign(&path, why, remedy));
            }
        }
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", &path, e))?;
        match bytes.len() as u64 > most {
            true => Err(Error::damaged(&path, format_args!("it is longer than {most} bytes"))),
            false => Ok(Some(bytes)),
        }
    }

    /// The name of the key that signs.
    fn current_id(&self) -> Result<Option<String>> {
        let Some(bytes) = self.own(CURRENT, 128)? else { return Ok(None) };
        let id = String::from_utf8(bytes).ok().map(|text| text.trim().to_owned()).filter(|text| is_id(text));
        let path = self.folder.path().join(CURRENT);
        id.map(Some).ok_or_else(|| Error::damaged(&path, "it names no key; `aido key rotate` makes a new one"))
    }

    /// Whether some key is meant to sign, be it usable or not.
    pub(crate) fn has_current(&self) -> bool {
        !matches!(self.current_id(), Ok(None))
    }

    /// The key that signs, if there is one.
    pub fn current(&self) -> Result<Option<PublicKey>> {
        Ok(self.secret()?.map(|key| key.public().clone()))
    }

    /// The public half with this name.
    pub fn public(&self, id: &str) -> Result<Option<PublicKey>> {
        if !is_id(id) {
            return Ok(None);
        }
        let name = format!("{id}{PUBLIC}");
        let Some(bytes) = self.own(&name, MAX_PEM)? else { return Ok(None) };
        let path = self.folder.path().join(&name);
        let key = PublicKey::from_pem(&String::from_utf8_lossy(&bytes)).map_err(|why| Error::damaged(&path, why))?;
        if key.id() != id {
            return Err(Error::damaged(&path, format_args!("it holds the key {}", key.id())));
        }
        Ok(Some(key))
    }

    /// All keys, the one that signs first.
    pub fn keys(&self) -> Result<Vec<Known>> {
        let current = self.current_id()?;
        let mut known = Vec::new();
        for name in self.folder.names()? {
            let Some(id) = name.strip_suffix(PUBLIC).filter(|id| is_id(id)) else { continue };
            if let Some(key) = self.public(id)? {
                let current = current.as_deref() == Some(id);
                known.push(Known { key, current, path: self.folder.path().join(&name) });
            }
        }
        known.sort_by(|a, b| b.current.cmp(&a.current).then_with(|| a.key.id().cmp(b.key.id())));
        Ok(known)
    }

    /// What its predecessor says of the key with this name.
    pub fn rotation(&self, id: &str) -> Result<Option<Envelope>> {
        if !is_id(id) {
            return Ok(None);
        }
        let name = format!("{id}{ROTATION}");
        let Some(bytes) = self.own(&name, MAX_PEM)? else { return Ok(None) };
        let path = self.folder.path().join(&name);
        Envelope::read(&bytes).map(Some).map_err(|why| Error::damaged(&path, why))
    }

    /// The private half of the key that signs; None if no key was made yet.
    fn secret(&self) -> Result<Option<SecretKey>> {
        let Some(id) = self.current_id()? else { return Ok(None) };
        match present(self.read_secret(&id, true))? {
            Some(key) => Ok(Some(key)),
            None => {
                let path = self.folder.path().join(format!("{id}{SECRET}"));
                Err(Error::foreign(&path, "is gone, and it is the key that signs", "`aido key rotate` makes a new one"))
            }
        }
    }

    /// `strict`: nobody else may have been able to read it.
    fn read_secret(&self, id: &str, strict: bool) -> Result<SecretKey> {
        let name = format!("{id}{SECRET}");
        let path = self.folder.path().join(&name);
        let file = self.folder.file(&name, For::Reading)?;
        if let Some(Owner { user, me, mode }) = owner_of(&file).map_err(|e| Error::io("look at", &path, e))? {
            if user != me {
                let why = format!("belongs to user {user}, and this is user {me}");
                return Err(Error::foreign(&path, why, "a key is used by its owner only; `aido key rotate` makes one"));
            }
            if strict && mode & 0o077 != 0 {
                let why = format!("is a private key and open to others (mode {:03o})", mode & 0o777);
                let remedy = format!(
                    "close it: chmod 600 '{}'; if somebody may have read it, `aido key rotate` replaces it",
                    path.display()
                );
                return Err(Error::foreign(&path, why, remedy));
            }
        }
        // Of the full size at once: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_PEM as usize + 1));
        file.take(MAX_PEM).read_to_string(&mut text).map_err(|e| Error::io("read", &path, e))?;
        let key = SecretKey::from_pem(&text).map_err(|why| Error::damaged(&path, why))?;
        if key.public().id() != id {
            return Err(Error::damaged(&path, format_args!("it holds the key {}", key.public().id())));
        }
        Ok(key)
    }

    /// The key that signs; made if there is none. Any number of processes at once agree on one.
    pub(crate) fn secret_or_new(&self) -> Result<SecretKey> {
        if let Some(key) = self.secret()? {
            return Ok(key);
        }
        let _locked = self.lock()?;
        if let Some(key) = self.secret()? {
            return Ok(key);
        }
        let key = SecretKey::generate()?;
        self.store(&key)?;
        self.folder.replace(CURRENT, format!("{}\n", key.public().id()).as_bytes(), true)?;
        Ok(key)
    }

    /// Makes a new key the one that signs. The old one vouches for it, and its private half is removed; its public
    /// half stays, so that what it signed can still be checked.
    pub fn rotate(&self) -> Result<Rotated> {
        let _locked = self.lock()?;
        let old = self.current_id().ok().flatten().and_then(|id| self.read_secret(&id, false).ok());
        let new = SecretKey::generate()?;
        let (from, to) = (old.as_ref().map(|old| old.public().clone()), new.public().clone());
        self.store(&new)?;
        if let Some(old) = &old {
            let said = Rotation {
                v: 1,
                from: old.public().id().to_owned(),
                to: to.id().to_owned(),
                to_key: to.to_pem(),
                time: clock::now(),
            };
            let name = format!("{}{ROTATION}", to.id());
            let path = self.folder.path().join(&name);
            let bytes = serde_json::to_vec(&said)
                .and_then(|payload| Envelope::sign(ROTATION_TYPE, &payload, old).to_bytes())
                .map_err(|e| Error::damaged(&path, e))?;
            self.folder.replace(&name, &bytes, true)?;
        }
        self.folder.replace(CURRENT, format!("{}\n", to.id()).as_bytes(), true)?;
        // What a killed rotation left goes as well.
        for name in self.folder.names()? {
            if name.strip_suffix(SECRET).is_some_and(|id| is_id(id) && id != to.id()) {
                self.folder.unlink(&name)?;
            }
        }
        Ok(Rotated { from, to })
    }

    /// Both halves, on the disk.
    fn store(&self, key: &SecretKey) -> Result<()> {
        let id = key.public().id();
        self.folder.replace(&format!("{id}{SECRET}"), key.to_pem().as_bytes(), true)?;
        let name = format!("{id}{PUBLIC}");
        self.folder.replace(&name, key.public().to_pem().as_bytes(), true)?;
        let published = self.folder.dir().publish(&name);
        published.map_err(|e| Error::io("make readable", &self.folder.path().join(&name), e))
    }

    /// A lock of this call alone: other values share their descriptor.
    fn lock(&self) -> Result<Folder> {
        let own = self.folder.sub(".")?;
        lock::take(&own, own.path(), lock::PATIENCE)?;
        // Half of a private key that somebody was killed at is not left lying about.
        self.folder.remove_unfinished()?;
        Ok(own)
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
