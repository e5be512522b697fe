//! Writing a bundle.

use super::form::{self, END};
use super::{ABOUT, About, KEY, Packed};
use crate::error::Error;
use crate::parts::{Content, Found, Parts, Stop};
use crate::platform;
use std::io::{self, Read, Write};
use std::path::Path;

/// Writes all files of a run, and what the bundle says of itself, to a stream that is called `to`.
pub(crate) fn write(
    out: impl Write + Send,
    to: &Path,
    parts: &mut dyn Parts,
    about: &About,
    key: Option<&str>,
) -> Result<Packed, Stop> {
    let failed = |e: io::Error| Stop::Failed(Error::io("write", to, e));
    let mut packed = Packed { outputs: about.outputs, ..Packed::default() };
    let mut about = serde_json::to_vec_pretty(about).map_err(|e| Stop::Failed(Error::damaged(to, e)))?;
    about.push(b'\n');
    let notes = [(ABOUT, Some(&about[..])), (KEY, key.map(str::as_bytes))];
    platform::packed(out, failed, |archive| {
        for (name, note) in notes.into_iter().filter_map(|(name, note)| Some((name, note?))) {
            entry(archive, name, note.len() as u64, &mut &note[..]).map_err(failed)?;
        }
        parts.each(&mut |Found { name, content }| match content {
            Content::Odd(what) => Err(Stop::Refused(format!("{name} {what}"))),
            Content::Plain(size, content) => {
                packed.files += 1;
                packed.bytes += size;
                entry(archive, name, size, content).map_err(failed)
            }
        })?;
        archive.write_all(&[0; END]).map_err(failed)
    })?;
    Ok(packed)
}

fn entry(mut out: &mut dyn Write, name: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
    out.write_all(&form::head(name, size))?;
    let copied = io::copy(&mut content.take(size), &mut out)?;
    if copied != size {
        return Err(io::Error::other(format!("{name} became shorter while it was read")));
    }
    out.write_all(&[0; form::BLOCK][..form::padding(size)])
}
