//! One layer's way from its compressed bytes to a folder: digest, decompressor, digest, tar reader.

use crate::decode::{Bounded, decode};
use crate::digest::{Exactly, Hashing};
use crate::layer::{self, Record};
use crate::manifest::Blob;
use crate::recipe::{Pen, beside};
use crate::{Error, Kind, LayerId, Ownership, Result, beneath, limits};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read};

/// Reads the stream to its end into `folder`, and returns the record only if both digests are right.
pub(crate) fn unpacked(
    raw: impl Read + Send,
    id: &LayerId,
    blob: &Blob,
    folder: &std::path::Path,
    ownership: Ownership,
) -> Result<Record> {
    let mut raw = Hashing::new(Exactly::new(raw, blob.size));
    let meter = raw.meter();
    let mut flat = Hashing::new(Bounded::new(decode(&mut raw)?, meter));
    let root = beneath::own_folder(folder)?;
    let stream = BufReader::with_capacity(limits::BUFFER_BYTES, &mut flat);
    let path = beside(folder, layer::LIST);
    let list = File::create(&path).map_err(|e| Error::io(format!("making `{}`", path.display()), e))?;
    let unpacked = layer::unpack(stream, root, ownership, Pen::beside(folder)?, BufWriter::new(list));
    let flat = unpacked.and_then(|record| Ok((record, flat.finish().map_err(|e| Error::io("unpacking it", e))?)));
    let raw = raw.finish();
    // Wrong bytes explain whatever the unpacker stumbled over.
    match raw {
        Ok((found, _)) if found != blob.digest => {
            let what = format!("its bytes have the digest {found}, and not {}", blob.digest);
            return Err(Error::new(Kind::Unverified, what));
        }
        _ => {}
    }
    let (record, (found, tar_bytes)) = flat?;
    raw.map_err(|e| Error::io("reading it", e))?;
    if found != id.0 {
        return Err(Error::new(Kind::Unverified, format!("it unpacks to a stream with the digest {found}")));
    }
    Ok(record.verified(*id, tar_bytes))
}
