//! One file's content on its way out: without secrets, with holes where there are only zeros, and digested.

use aido_secrets::Redactor;
use rustix::fs::SeekFrom;
use rustix::io::Result;
use sha2::{Digest, Sha256};
use std::os::fd::OwnedFd;

/// What was written.
pub(crate) struct Copied {
    /// Bytes.
    pub(crate) size: u64,
    /// `sha256:…`
    pub(crate) digest: String,
    /// How many secrets were replaced.
    pub(crate) redacted: u64,
}

/// Copies `size` bytes into an empty file, and tells of each piece; `None` if more than `most` would come of them.
pub(crate) fn copy(
    source: &OwnedFd,
    copy: &OwnedFd,
    size: u64,
    most: u64,
    mut redactor: Option<Redactor>,
    passed: &mut dyn FnMut(u64),
) -> Result<Option<Copied>> {
    let mut target = Target { copy, hasher: Sha256::new(), size: 0 };
    let (mut buffer, mut clean) = (vec![0u8; 1 << 16], Vec::new());
    let mut left = size;
    while left > 0 {
        let piece = buffer.len().min(left as usize);
        let got = rustix::io::read(source, &mut buffer[..piece])?;
        if got == 0 {
            break;
        }
        left -= got as u64;
        passed(got as u64);
        match &mut redactor {
            Some(redactor) => {
                redactor.push(&buffer[..got], &mut clean);
                target.write(&clean)?;
                clean.clear();
            }
            None => target.write(&buffer[..got])?,
        }
        if target.size > most {
            return Ok(None);
        }
    }
    if let Some(redactor) = &mut redactor {
        redactor.finish(&mut clean);
        target.write(&clean)?;
    }
    if target.size > most {
        return Ok(None);
    }
    rustix::fs::ftruncate(copy, target.size)?;
    let digest = target.hasher.finalize();
    let digest = digest.iter().fold("sha256:".to_string(), |text, byte| format!("{text}{byte:02x}"));
    let redacted = redactor.map_or(0, |redactor| redactor.count());
    Ok(Some(Copied { size: target.size, digest, redacted }))
}

struct Target<'a> {
    copy: &'a OwnedFd,
    hasher: Sha256,
    size: u64,
}

impl Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        if bytes.iter().all(|byte| *byte == 0) {
            rustix::fs::seek(self.copy, SeekFrom::Current(bytes.len() as i64))?;
            return Ok(());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = rustix::io::write(self.copy, rest)?;
            rest = &rest[written..];
        }
        Ok(())
    }
}
