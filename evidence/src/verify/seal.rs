//! `seal.json`: who signed, and what.

use super::Trust;
use super::report::{Finding, FindingKind, SignedBy};
use crate::dsse::Envelope;
use crate::files::SEAL;
use crate::key::PublicKey;
use crate::statement::{STATEMENT_TYPE, Statement};

/// A seal whose signature holds, whoever made it.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) statement: Statement,
    pub(super) signer: SignedBy,
}

/// Reads a seal. `bytes`: all of the file.
pub(super) fn read(bytes: &[u8], trust: &Trust) -> Result<Sealed, Finding> {
    let bad = |what: String| Finding::fault(FindingKind::Signature, SEAL, what);
    let envelope = Envelope::read(bytes).map_err(bad)?;
    // The signature covers the payload only; one way to write the rest leaves nothing that could be changed.
    match envelope.to_bytes() {
        Ok(written) if written == bytes => {}
        _ => return Err(Finding::fault(FindingKind::Changed, SEAL, "it is not written as aido writes it")),
    }
    let payload = envelope.payload().map_err(bad)?;
    let statement = Statement::read(&payload).map_err(bad)?;
    let said = &statement.predicate.key;
    let key = PublicKey::from_pem(&said.public).map_err(|e| bad(format!("the key that it names: {e}")))?;
    if key.id() != said.id {
        return Err(bad(format!("the key that it names is not {} but {}", said.id, key.id())));
    }
    envelope.verified(STATEMENT_TYPE, &key).map_err(|e| bad(format!("its signature does not hold: {e}")))?;
    if !statement.subject.is_sorted_by(|a, b| a.name < b.name) {
        return Err(bad("its subjects are not in order, each once".to_owned()));
    }
    let signer =
        SignedBy { keyid: key.id().to_owned(), known: trust.knows(key.id()), kept: said.kept, public: key.to_pem() };
    Ok(Sealed { statement, signer })
}
