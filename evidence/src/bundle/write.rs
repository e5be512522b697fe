//! Writing a bundle.

use super::form::{self, END};
use super::{ABOUT, About, KEY, Packed};
use crate::error::Error;
use crate::parts::{Content, Found, Parts, Stop};
use std::io::{self, Read, Write};
use std::path::Path;
use zstd::stream::write::Encoder;

/// Better levels take longer than they save.
const LEVEL: i32 = 3;

/// Writes all files of a run, and what the bundle says of itself, to a stream that is called `to`.
pub(crate) fn write(
    out: impl Write,
    to: &Path,
    parts: &mut dyn Parts,
    about: &About,
    key: Option<&str>,
) -> Result<Packed, Stop> {
    let failed = |e: io::Error| Stop::Failed(Error::io("write", to, e));
    let mut encoder = Encoder::new(out, LEVEL).map_err(failed)?;
    // A damaged copy is told from a changed one.
    encoder.include_checksum(true).map_err(failed)?;
    let mut packed = Packed { outputs: about.outputs, ..Packed::default() };
    let mut about = serde_json::to_vec_pretty(about).map_err(|e| Stop::Failed(Error::damaged(to, e)))?;
    about.push(b'\n');
    let notes = [(ABOUT, Some(&about[..])), (KEY, key.map(str::as_bytes))];
    for (name, note) in notes.into_iter().filter_map(|(name, note)| Some((name, note?))) {
        entry(&mut encoder, name, note.len() as u64, &mut &note[..]).map_err(failed)?;
    }
    parts.each(&mut |Found { name, content }| match content {
        Content::Odd(what) => Err(Stop::Refused(format!("{name} {what}"))),
        Content::Plain(size, content) => {
            packed.files += 1;
            packed.bytes += size;
            entry(&mut encoder, name, size, content).map_err(failed)
        }
    })?;
    encoder.write_all(&[0; END]).and_then(|()| encoder.finish()).and_then(|mut out| out.flush()).map_err(failed)?;
    Ok(packed)
}

fn entry(out: &mut impl Write, name: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
    out.write_all(&form::head(name, size))?;
    let copied = io::copy(&mut content.take(size), out)?;
    if copied != size {
        return Err(io::Error::other(format!("{name} became shorter while it was read")));
    }
    out.write_all(&[0; form::BLOCK][..form::padding(size)])
}
