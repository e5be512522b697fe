//! Small documents: any bytes are read or refused; what is read says the same when it is written and read again.

use crate::anchor::Anchor;
use crate::dsse::Envelope;
use crate::key::PublicKey;
use crate::sandbox::State;
use crate::statement::{STATEMENT_TYPE, Statement};

pub(super) fn state(bytes: &[u8]) {
    let Ok(state) = State::parse(bytes) else { return };
    let written = serde_json::to_vec_pretty(&state).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(State::parse(&written).ok(), Some(state), "it reads back as something else");
}

/// An envelope, the statement in it, and the key that the statement names: nobody holds a private half that could have
/// signed it, but for the seeds of the corpus.
pub(super) fn seal(bytes: &[u8]) {
    let Ok(envelope) = Envelope::read(bytes) else { return };
    let written = envelope.to_bytes().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(Envelope::read(&written).as_ref(), Ok(&envelope), "it reads back as something else");
    let Ok(payload) = envelope.payload() else { return };
    let Ok(statement) = Statement::read(&payload) else { return };
    let written = serde_json::to_vec(&statement).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(Statement::read(&written), Ok(statement.clone()), "it reads back as something else");
    let Ok(key) = PublicKey::from_pem(&statement.predicate.key.public) else { return };
    assert_eq!(PublicKey::from_pem(&key.to_pem()).as_ref(), Ok(&key), "it reads back as something else");
    match envelope.verified(STATEMENT_TYPE, &key) {
        Ok(signed) => assert_eq!((signed, envelope.keyid()), (payload, key.id()), "another payload or key"),
        Err(why) => assert!(!why.is_empty()),
    }
}

pub(super) fn anchor(bytes: &[u8]) {
    let Ok(anchor) = Anchor::parse(bytes) else { return };
    let written = serde_json::to_vec(&anchor).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(Anchor::parse(&written), Ok(anchor), "it reads back as something else");
}
