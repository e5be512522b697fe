//! Whose signatures count.

use crate::backend;
use aido_evidence::{Keyring, PublicKey, Trust};
use anyhow::{Context, Result, bail};
use std::io::Read;
use std::path::Path;

/// The keys that were named; without any, those that are or were the user's own.
pub(in crate::commands) fn trust(named: &[String]) -> Result<Trust> {
    let ring = match backend::own_home().keys {
        Some(path) => Keyring::open(&path)?,
        None => None,
    };
    let own = || -> Result<Vec<String>> {
        let known = ring.as_ref().map(Keyring::keys).transpose()?.unwrap_or_default();
        Ok(known.into_iter().map(|known| known.key.id().to_owned()).collect())
    };
    if named.is_empty() {
        return Ok(own()?.into_iter().collect());
    }
    named.iter().map(|name| key(name, &own)).collect()
}

fn key(name: &str, own: &dyn Fn() -> Result<Vec<String>>) -> Result<String> {
    let is_hex = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    // The name of a key is a digest of it: whoever names it in full has named the key.
    if is_hex && name.len() == 64 {
        return Ok(name.to_owned());
    }
    if is_hex && !Path::new(name).exists() {
        let found: Vec<String> = own()?.into_iter().filter(|id| id.starts_with(name)).collect();
        return match &found[..] {
            [one] => Ok(one.clone()),
            [] => bail!("--key {name}: no key of yours begins so; give all 64 digits of it, or a file"),
            _ => bail!("--key {name}: more than one key of yours begins so"),
        };
    }
    let file = std::fs::File::open(name).with_context(|| format!("--key {name}"))?;
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).with_context(|| format!("--key {name}"))?;
    if text.contains("PRIVATE KEY") {
        bail!(
            "--key {name}: that is a private key, which nobody else should have; `aido key export` writes the public half"
        );
    }
    match PublicKey::from_pem(&text) {
        Ok(key) => Ok(key.id().to_owned()),
        Err(why) => bail!("--key {name}: {why}; `aido key export` writes such a file"),
    }
}
