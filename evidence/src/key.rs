//! Ed25519 keys and the two forms in which they are stored: PKCS#8 and SPKI, as PEM.

use crate::chain::sha256_hex;
use crate::error::{Error, Result};
use crate::platform::{self, Page};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// What the DER forms of an Ed25519 key begin with (RFC 8410); 32 bytes follow, and nothing else.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The longest PEM file of a key that is read, in bytes; ours have less than 200.
pub(crate) const MAX_PEM: u64 = 4096;

/// The public half. Its name is the SHA-256 of its SPKI DER form, in hex.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    id: String,
}

impl PublicKey {
    fn new(key: VerifyingKey) -> PublicKey {
        let id = sha256_hex(&[&SPKI[..], key.as_bytes()].concat());
        PublicKey { key, id }
    }

    /// Reads `-----BEGIN PUBLIC KEY-----`, as openssl writes it too. The error says what is wrong with it.
    pub fn from_pem(text: &str) -> std::result::Result<PublicKey, String> {
        let der = pem("PUBLIC KEY", text)?;
        let raw = der.strip_prefix(&SPKI[..]).and_then(|raw| <[u8; 32]>::try_from(raw).ok());
        let raw = raw.ok_or("it is no Ed25519 key")?;
        VerifyingKey::from_bytes(&raw).map(PublicKey::new).map_err(|_| "it is no point of the curve".to_owned())
    }

    pub fn to_pem(&self) -> String {
        let der = [&SPKI[..], self.key.as_bytes()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// 64 hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether this key made the signature. Weak keys and signatures of more than one form count as none.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

/// The private half; overwritten when it is dropped.
pub(crate) struct SecretKey {
    seed: Page,
    public: PublicKey,
}

impl SecretKey {
    fn new(seed: &[u8; 32]) -> Result<SecretKey> {
        let seed = Page::with(seed).map_err(|e| Error::io("keep the key in", Path::new("memory"), e))?;
        let public = PublicKey::new(SigningKey::from_bytes(&seed.seed()).verifying_key());
        Ok(SecretKey { seed, public })
    }

    /// From the kernel's generator.
    pub(crate) fn generate() -> Result<SecretKey> {
        let mut seed = Zeroizing::new([0; 32]);
        platform::random(&mut seed[..]).map_err(|e| Error::io("draw random bytes from", Path::new("the kernel"), e))?;
        SecretKey::new(&seed)
    }

    pub(crate) fn from_pem(text: &str) -> std::result::Result<SecretKey, String> {
        let der = Zeroizing::new(pem("PRIVATE KEY", text)?);
        let seed = der.strip_prefix(&PKCS8[..]).and_then(|seed| <[u8; 32]>::try_from(seed).ok()).map(Zeroizing::new);
        SecretKey::new(&*seed.ok_or("it is no Ed25519 key")?).map_err(|e| e.to_string())
    }

    pub(crate) fn to_pem(&self) -> Zeroizing<String> {
        let seed = self.seed.seed();
        let der = Zeroizing::new([&PKCS8[..], &seed[..]].concat());
        let text = Zeroizing::new(STANDARD.encode(&*der));
        Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", *text))
    }

    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        SigningKey::from_bytes(&self.seed.seed()).sign(message).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public.id)
    }
}

/// The bytes in a PEM file that holds one thing of this kind.
fn pem(kind: &str, text: &str) -> std::result::Result<Vec<u8>, String> {
    let (begin, end) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let body = text.trim().strip_prefix(&begin).and_then(|rest| rest.strip_suffix(&end));
    let body = body.ok_or_else(|| format!("it does not stand between `{begin}` and `{end}`"))?;
    let digits = Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect::<String>());
    STANDARD.decode(digits.as_bytes()).map_err(|e| format!("it is not in base64: {e}"))
}
