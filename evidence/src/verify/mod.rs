//! Whether evidence is as it was signed: which record or file is not, and what can still be believed.

mod compare;
mod examine;
mod hash;
mod ledger;
mod log;
mod older;
mod report;
mod seal;
mod whole;

pub use report::{Finding, FindingKind, LedgerReport, Level, Report, SignedBy, Trusted, VerifiedState};
pub use whole::{verify_bundle, verify_folder};

use std::collections::BTreeSet;

/// The keys that somebody vouches for, by their names. The name is a digest of the key, so no other key can have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust(BTreeSet<String>);

impl Trust {
    pub fn knows(&self, keyid: &str) -> bool {
        self.0.contains(keyid)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<String> for Trust {
    fn from_iter<I: IntoIterator<Item = String>>(ids: I) -> Trust {
        Trust(ids.into_iter().collect())
    }
}
