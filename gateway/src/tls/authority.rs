//! The authority of one run, and what it signs: a leaf for each name that is opened. Its key is in this process's memory and nowhere else.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SanType,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Signs leaves for one run.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    provider: Arc<CryptoProvider>,
    made: Mutex<HashMap<Spoken, (Instant, Arc<ServerConfig>)>>,
}

/// A name, and the protocol above TLS.
type Spoken = (String, Option<Vec<u8>>);

/// Something in making a key or certificate went wrong.
#[derive(Debug, thiserror::Error)]
#[error("no certificate could be made: {0}")]
pub struct NotSigned(String);

impl NotSigned {
    fn from(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A leaf is made anew long before it is over, for connections that last.
const FRESH: Duration = Duration::from_secs(12 * 60 * 60);
/// Clocks in containers differ a little, in virtual machines more.
const BEFORE: Duration = Duration::from_secs(60 * 60);
/// A run may last long; its authority is worth nothing after it, since the key is gone.
const AUTHORITY_DAYS: u32 = 90;
/// Names whose configurations are kept.
const MOST: usize = 1024;

impl Authority {
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Result<Self, NotSigned> {
        let key = KeyPair::generate().map_err(NotSigned::from)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named("aido: authority of this run alone");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.key_identifier_method = KeyIdMethod::Sha256;
        valid(&mut params, DAY * AUTHORITY_DAYS);
        let certificate = params.self_signed(&key).map_err(NotSigned::from)?;
        Ok(Self { pem: certificate.pem(), issuer: Issuer::new(params, key), provider, made: Mutex::default() })
    }

    /// The certificate that the sandbox has to trust.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// How to speak as this name, with this protocol above TLS.
    pub(crate) fn server(&self, name: &str, protocol: Option<&[u8]>) -> Result<Arc<ServerConfig>, NotSigned> {
        let key = (name.to_owned(), protocol.map(<[u8]>::to_vec));
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = made.get(&key).filter(|(when, _)| when.elapsed() < FRESH) {
            return Ok(config.clone());
        }
        if made.len() >= MOST {
            made.clear();
        }
        let config = Arc::new(self.make(name, protocol)?);
        made.insert(key, (Instant::now(), config.clone()));
        Ok(config)
    }

    fn make(&self, name: &str, protocol: Option<&[u8]>) -> Result<ServerConfig, NotSigned> {
        let key = KeyPair::generate().map_err(NotSigned::from)?;
        let mut params = CertificateParams::default();
        // A common name has 64 characters at most; the name that counts is the other one.
        params.distinguished_name = named(if name.len() <= 64 { name } else { "aido" });
        let san = match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into().map_err(NotSigned::from)?),
        };
        params.subject_alt_names = vec![san];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.key_identifier_method = KeyIdMethod::Sha256;
        valid(&mut params, DAY);
        let leaf = params.signed_by(&key, &self.issuer).map_err(NotSigned::from)?;
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(NotSigned::from)?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], secret)
            .map_err(NotSigned::from)?;
        // The gateway's own order, which is by what a cipher costs.
        config.ignore_client_order = true;
        config.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
        Ok(config)
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn valid(params: &mut CertificateParams, during: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - BEFORE).into();
    params.not_after = (now + during).into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_signed_once_and_each_protocol_apart() {
        let authority = Authority::new(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider())).unwrap();
        assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----"));
        let one = authority.server("a.example", Some(b"h2")).unwrap();
        assert!(Arc::ptr_eq(&one, &authority.server("a.example", Some(b"h2")).unwrap()));
        let other = authority.server("a.example", None).unwrap();
        assert!(!Arc::ptr_eq(&one, &other) && other.alpn_protocols.is_empty());
        let long = format!("{}.{}.example", "a".repeat(60), "b".repeat(60));
        assert!(authority.server(&long, None).is_ok());
    }
}
