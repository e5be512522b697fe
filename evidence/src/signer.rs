//! Who signs a run: the user's key, or where none can be kept, one that dies with the process.

use crate::error::{Error, Result};
use crate::home::Home;
use crate::key::{PublicKey, SecretKey};
use crate::keyring::Keyring;
use serde_json::{Value, json};

/// A key that can sign, read once.
#[derive(Debug)]
pub struct Signer {
    pub(crate) key: SecretKey,
    /// Why it was not stored.
    unkept: Option<String>,
}

impl Signer {
    /// The user's key, made on first use. Where no key can be stored it is one that nobody can know later, see
    /// [`Signer::warning`]; a key that is there and must not be used is an error.
    pub fn of(home: &Home) -> Result<Signer> {
        let Some(path) = &home.keys else { return Signer::unkept("there is no home folder") };
        let ring = match Keyring::create(path) {
            Ok(ring) => ring,
            Err(error @ Error::Io { .. }) => return Signer::unkept(error.to_string()),
            // About the place where it would be made; what is there and must not be trusted is another matter.
            Err(error @ Error::Foreign { .. }) if !path.exists() => return Signer::unkept(error.to_string()),
            Err(error) => return Err(error),
        };
        match ring.secret_or_new() {
            Ok(key) => Ok(Signer { key, unkept: None }),
            Err(error @ Error::Io { .. }) if !ring.has_current() => Signer::unkept(error.to_string()),
            Err(error) => Err(error),
        }
    }

    fn unkept(why: impl Into<String>) -> Result<Signer> {
        Ok(Signer { key: SecretKey::generate()?, unkept: Some(why.into()) })
    }

    pub fn public(&self) -> &PublicKey {
        self.key.public()
    }

    /// False: the key is nobody's, and what it signs shows only that nobody changed it since.
    pub fn is_kept(&self) -> bool {
        self.unkept.is_none()
    }

    /// What the user must know of a key that was not stored.
    pub fn warning(&self) -> Option<String> {
        let why = self.unkept.as_ref()?;
        Some(format!("no key of yours signs this run, but one that is thrown away after it: {why}"))
    }

    /// Data of the event `key`.
    pub(crate) fn told(&self) -> Value {
        let public = self.public();
        json!({"keyid": public.id(), "algorithm": "ed25519", "public": public.to_pem(), "kept": self.is_kept()})
    }
}
