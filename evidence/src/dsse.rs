//! DSSE envelopes (<https://github.com/secure-systems-lab/dsse>): bytes, what they are, and who signed them.

use crate::key::{PublicKey, SecretKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// What is signed: the payload and its type, so framed that no two pairs give the same bytes.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// A signature as text: base64 with padding.
pub(crate) fn sign(key: &SecretKey, payload_type: &str, payload: &[u8]) -> String {
    STANDARD.encode(key.sign(&pae(payload_type, payload)))
}

/// Whether `key` made this signature of this payload.
pub(crate) fn verifies(key: &PublicKey, payload_type: &str, payload: &[u8], sig: &str) -> bool {
    STANDARD.decode(sig).is_ok_and(|sig| key.verifies(&pae(payload_type, payload), &sig))
}

/// The stored form: one JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// Base64 with padding.
    pub payload: String,
    pub signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    pub keyid: String,
    /// Base64 with padding.
    pub sig: String,
}

impl Envelope {
    pub(crate) fn sign(payload_type: &str, payload: &[u8], key: &SecretKey) -> Envelope {
        let signature = Signature { keyid: key.public().id().to_owned(), sig: sign(key, payload_type, payload) };
        Envelope {
            payload_type: payload_type.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![signature],
        }
    }

    /// Reads the stored form. The error says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Envelope, String> {
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(|e| format!("it is no envelope: {e}"))?;
        if envelope.signatures.len() != 1 {
            return Err(format!("it has {} signatures, and should have one", envelope.signatures.len()));
        }
        Ok(envelope)
    }

    /// The payload, whoever signed it.
    pub fn payload(&self) -> Result<Vec<u8>, String> {
        STANDARD.decode(&self.payload).map_err(|e| format!("its payload is not in base64: {e}"))
    }

    /// The name of the key that is said to have signed.
    pub fn keyid(&self) -> &str {
        self.signatures.first().map_or("", |signature| &signature.keyid)
    }

    /// The payload if it is of this type and `key` signed it. The error says what is wrong.
    pub fn verified(&self, payload_type: &str, key: &PublicKey) -> Result<Vec<u8>, String> {
        if self.payload_type != payload_type {
            return Err("its payload is of another type".to_owned());
        }
        let payload = self.payload()?;
        let signed = |signature: &Signature| {
            signature.keyid == key.id() && verifies(key, payload_type, &payload, &signature.sig)
        };
        if self.signatures.iter().any(signed) { Ok(payload) } else { Err(format!("key {} did not sign it", key.id())) }
    }

    /// The stored form: a line.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}
