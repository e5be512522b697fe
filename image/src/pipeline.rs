//! One layer's way from its compressed bytes to a folder: digest, decompressor, digest, tar reader.
//!
//! Three threads share the work, so that one large layer keeps two processors busy: one reads, hashes
//! and inflates, one hashes what comes of it, and the caller's makes the files. Which of them has
//! the most to do differs from layer to layer; the scheduler sees that better than a fixed split.

use crate::decode::{Bounded, Decoder};
use crate::digest::{Exactly, Hashing};
use crate::flow::{Source, flow};
use crate::layer::{self, Record, Total};
use crate::manifest::Blob;
use crate::recipe::{Pen, beside};
use crate::{Digest, Error, Kind, LayerId, Ownership, Result, beneath};
use std::fs::File;
use std::io::{self, BufRead, BufWriter, Read};
use std::path::Path;
use std::sync::Arc;
use std::thread::{Scope, ScopedJoinHandle};

/// Reads the stream to its end into `folder`, and returns the record only if both digests are right.
pub(crate) fn unpacked(
    raw: impl Read + Send,
    id: &LayerId,
    blob: &Blob,
    folder: &Path,
    ownership: Ownership,
    total: &Arc<Total>,
) -> Result<Record> {
    let (source, stream, sum) = flow();
    let (unpacked, flat, raw) = std::thread::scope(move |scope| {
        let inflating = spawn(scope, "inflate", move || inflated(raw, blob.size, source))?;
        let hashing = spawn(scope, "hash", move || sum.finish())?;
        // The reading end goes before the others are waited for.
        let unpacked = applied(stream, folder, ownership, total);
        let died = |_| Error::new(Kind::Storage, "a thread that read the layer died");
        Ok((unpacked, hashing.join().map_err(died)?, inflating.join().map_err(died)?))
    })?;
    // Wrong bytes explain whatever the unpacker stumbled over.
    match raw {
        Ok((found, _)) if found != blob.digest => {
            let what = format!("its bytes have the digest {found}, and not {}", blob.digest);
            return Err(Error::new(Kind::Unverified, what));
        }
        _ => {}
    }
    let (record, (found, tar_bytes)) = (unpacked?, flat);
    raw.map_err(|e| Error::io("reading it", e))?;
    if found != id.0 {
        return Err(Error::new(Kind::Unverified, format!("it unpacks to a stream with the digest {found}")));
    }
    Ok(record.verified(*id, tar_bytes))
}

/// Passes on what the blob decompresses to. Returns digest and size of the blob itself, which is read
/// to its end whatever became of the rest.
fn inflated(raw: impl Read + Send, size: u64, flat: Source) -> io::Result<(Digest, u64)> {
    let mut raw = Hashing::new(Exactly::new(raw, size));
    let meter = raw.meter();
    match Decoder::new(&mut raw) {
        Ok(decoder) => flat.pump(Bounded::new(decoder, meter)),
        Err(error) => flat.fail(error.into()),
    }
    raw.finish()
}

fn applied(stream: impl BufRead, folder: &Path, ownership: Ownership, total: &Arc<Total>) -> Result<Record> {
    let root = beneath::own_folder(folder)?;
    let path = beside(folder, layer::LIST);
    let list = File::create(&path).map_err(|e| Error::io(format!("making `{}`", path.display()), e))?;
    layer::unpack(stream, root, ownership, Pen::beside(folder)?, BufWriter::new(list), total)
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    job: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn_scoped(scope, job).map_err(|e| Error::io("starting a thread", e))
}
