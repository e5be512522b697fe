//! A run as one file for somebody else.

use crate::bundle::{self, About, BUNDLE_VERSION, Packed};
use crate::dsse::Envelope;
use crate::error::{Error, Result};
use crate::files::{MAX_SUMMARY, SEAL};
use crate::folder::present;
use crate::parts::{Far, Stop, Watched};
use crate::run::Run;
use crate::statement::Statement;
use std::io::Write;
use std::path::Path;

impl Run {
    /// Writes all files of the run as a bundle, whatever they are worth: [`Run::verify`] says that. `to`: what the
    /// stream is called. `made_by`: the program and its version. `hears`: who wants to know how far it is.
    pub fn export(
        &self,
        out: impl Write + Send,
        to: &Path,
        made_by: &str,
        hears: &mut dyn FnMut(Far),
    ) -> Result<Packed> {
        let (parts, _) = self.parts()?;
        let about = About {
            version: BUNDLE_VERSION,
            run: self.id().to_string(),
            sandbox: self.sandbox().id().to_string(),
            outputs: parts.outputs.is_some(),
            made_by: made_by.to_owned(),
        };
        let seal = present(self.own_folder().read(SEAL, MAX_SUMMARY))?;
        let statement = seal
            .and_then(|seal| Envelope::read(&seal).and_then(|e| e.payload()).and_then(|p| Statement::read(&p)).ok());
        let key = statement.map(|statement| statement.predicate.key.public);
        let mut parts = Watched { parts, hears };
        bundle::write(out, to, &mut parts, &about, key.as_deref()).map_err(|stop| match stop {
            Stop::Failed(error) => error,
            Stop::Refused(what) => Error::damaged(self.folder(), what),
        })
    }
}
