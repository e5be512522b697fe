//! A registry as an origin.

use super::{Origin, Top};
use crate::manifest::Blob;
use crate::registry::Link;
use crate::{Digest, Error, Kind, Options, Progress, Reference, Result};
use std::io::{self, Read};

pub(super) struct Registry<'a> {
    reference: Reference,
    link: Link,
    progress: &'a dyn Progress,
}

impl<'a> Registry<'a> {
    pub(super) fn connect(reference: &Reference, options: &Options<'a>) -> Result<Registry<'a>> {
        let link = Link::open(reference, options.insecure, options.registries)?;
        Ok(Registry { reference: reference.clone(), link, progress: options.progress })
    }
}

impl Origin for Registry<'_> {
    fn top(&self) -> Result<Top> {
        let bytes = self.link.manifest(None, self.progress)?;
        let found = Digest::of(&bytes);
        match self.reference.digest {
            Some(wanted) if wanted != found => {
                let what = format!("the registry answered {wanted} with a manifest that has the digest {found}");
                Err(Error::new(Kind::Unverified, what))
            }
            _ => Ok(Top::Document(bytes)),
        }
    }

    fn current(&self) -> Result<Option<Digest>> {
        self.link.current(self.progress)
    }

    fn manifest(&self, blob: &Blob) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(io::Cursor::new(self.link.manifest(Some(blob.digest), self.progress)?)))
    }

    fn blob(&self, blob: &Blob) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.link.blob(blob, 0, self.progress)?))
    }

    fn blob_from(&self, blob: &Blob, from: u64) -> Result<Option<Box<dyn Read + Send + '_>>> {
        Ok(Some(Box::new(self.link.blob(blob, from, self.progress)?)))
    }
}
