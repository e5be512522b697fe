//! Reading a bundle that anybody may have made: as a stream, in bounded memory, and never onto the disk.

use super::form::{self, BLOCK, END, MAX_NAME};
use super::{ABOUT, KEY};
use crate::parts::{CONFIG, Content, Found, MAX_FILES, MAX_NAMES, OUTPUTS, Parts, RUN, Stop};
use crate::platform::Unpacking;
use std::io::{BufRead, Read};
use tar::{EntryType, Header};

/// What every zstd frame begins with.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

pub(crate) struct Bundle<R: BufRead> {
    input: Unpacking<R>,
    /// Bytes of content that may still come.
    left: u64,
    names: usize,
}

impl<R: BufRead> Bundle<R> {
    /// `at_most`: bytes of all files together.
    pub(crate) fn new(mut input: R, at_most: u64) -> Result<Self, Stop> {
        let begins = input.fill_buf().map_err(|e| Stop::Refused(format!("it cannot be read: {e}")))?;
        if begins.len() >= ZSTD.len() && !begins.starts_with(&ZSTD) {
            return Err(Stop::Refused("it is no bundle, as `aido export` writes them".to_owned()));
        }
        let bad = |e: std::io::Error| Stop::Refused(format!("it cannot be read: it is no zstd stream: {e}"));
        Ok(Bundle { input: Unpacking::new(input).map_err(bad)?, left: at_most, names: 0 })
    }

    /// Name and size of the next file; None at the end.
    fn next_head(&mut self) -> Result<Option<(String, u64)>, Stop> {
        let mut read = vec![0; BLOCK];
        self.fill(&mut read, "it ends before its end mark")?;
        if read.iter().all(|b| *b == 0) {
            let mut second = [0; END - BLOCK];
            self.fill(&mut second, "it ends inside its end mark")?;
            return match second.iter().all(|b| *b == 0) {
                true => Ok(None),
                false => Err(Stop::Refused("something stands inside its end mark".to_owned())),
            };
        }
        let name = match kind(&read) {
            EntryType::XHeader => {
                let name = self.long_name(&mut read)?;
                let from = read.len();
                read.resize(from + BLOCK, 0);
                self.fill(&mut read[from..], "it ends inside a header")?;
                name
            }
            EntryType::Regular => Header::from_byte_slice(&read).path_bytes().into_owned(),
            other => {
                return Err(Stop::Refused(format!(
                    "{} is {}, and a bundle holds plain files only",
                    shown(&read),
                    word(other)
                )));
            }
        };
        let name = String::from_utf8(name).map_err(|_| Stop::Refused("a name in it is no text".to_owned()))?;
        let header = Header::from_byte_slice(&read[read.len() - BLOCK..]);
        let size = header.entry_size().map_err(|e| Stop::Refused(format!("a size in it cannot be read: {e}")))?;
        permitted(&name)?;
        if form::head(&name, size) != read {
            return Err(Stop::Refused(format!("the header of {name:?} is not as aido writes it")));
        }
        Ok(Some((name, size)))
    }

    /// The name that a PAX header tells; its content is added to what was read.
    fn long_name(&mut self, read: &mut Vec<u8>) -> Result<Vec<u8>, Stop> {
        let size = Header::from_byte_slice(read).entry_size().unwrap_or(u64::MAX);
        if size > MAX_NAME as u64 + 32 {
            return Err(Stop::Refused(format!("it has a header of {size} bytes")));
        }
        let whole = size as usize + form::padding(size);
        read.resize(BLOCK + whole, 0);
        self.fill(&mut read[BLOCK..], "it ends inside a header")?;
        let name = form::name_in(&read[BLOCK..BLOCK + size as usize]);
        name.map(|name| name.as_bytes().to_vec())
            .ok_or_else(|| Stop::Refused("it has a header that aido does not write".to_owned()))
    }

    fn fill(&mut self, block: &mut [u8], short: &str) -> Result<(), Stop> {
        self.input.read_exact(block).map_err(|e| damaged(&e, short))
    }

    /// What the content may cost.
    fn count(&mut self, name: &str, size: u64) -> Result<(), Stop> {
        self.names += name.len();
        self.left = self
            .left
            .checked_sub(size)
            .ok_or_else(|| Stop::Refused(format!("with {name:?} ({size} bytes) it holds more than may be read")))?;
        if self.names > MAX_NAMES {
            return Err(Stop::Refused(format!("the names in it are longer than {MAX_NAMES} bytes")));
        }
        Ok(())
    }

    /// Nothing may follow: neither in the archive, nor after its frame.
    fn end(&mut self) -> Result<(), Stop> {
        let after = self.input.read(&mut [0; 1]).map_err(|e| damaged(&e, "its end is damaged"))?;
        let beyond = self.input.beyond().map_err(|e| damaged(&e, "its end is damaged"))?;
        match after == 0 && beyond.is_empty() {
            true => Ok(()),
            false => Err(Stop::Refused("something follows after its end".to_owned())),
        }
    }
}

impl<R: BufRead> Parts for Bundle<R> {
    fn each(&mut self, take: &mut dyn FnMut(Found<'_>) -> Result<(), Stop>) -> Result<(), Stop> {
        let mut before = String::new();
        let mut files = 0;
        while let Some((name, size)) = self.next_head()? {
            // Sorted, each once: a name cannot come again later and mean something else.
            if name <= before {
                return Err(Stop::Refused(format!(
                    "{name:?} stands after {before:?}: names are sorted, and each is there once"
                )));
            }
            files += 1;
            if files > MAX_FILES {
                return Err(Stop::Refused(format!("it has more than {MAX_FILES} files")));
            }
            self.count(&name, size)?;
            let mut content = (&mut self.input).take(size);
            take(Found { name: &name, content: Content::Plain(size, &mut content) })?;
            std::io::copy(&mut content, &mut std::io::sink()).map_err(|e| damaged(&e, "it is damaged"))?;
            if content.limit() > 0 {
                return Err(Stop::Refused(format!("it ends inside {name:?}")));
            }
            let mut padding = [0; BLOCK];
            let padding = &mut padding[..form::padding(size)];
            self.fill(padding, "it ends after a file")?;
            if padding.iter().any(|b| *b != 0) {
                return Err(Stop::Refused(format!("something stands behind {name:?}")));
            }
            before = name;
        }
        self.end()
    }
}

fn damaged(error: &std::io::Error, short: &str) -> Stop {
    Stop::Refused(match error.kind() {
        std::io::ErrorKind::UnexpectedEof => short.to_owned(),
        _ => format!("it cannot be read: {error}"),
    })
}

fn kind(block: &[u8]) -> EntryType {
    Header::from_byte_slice(block).entry_type()
}

fn shown(block: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(&Header::from_byte_slice(block).path_bytes()))
}

fn word(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Symlink => "a symbolic link",
        EntryType::Link => "a hard link",
        EntryType::Directory => "a folder",
        EntryType::Fifo => "a FIFO",
        EntryType::Char | EntryType::Block => "a device",
        _ => "of an unknown kind",
    }
}

/// Only names that a run has, and none that leads out of its folder.
fn permitted(name: &str) -> Result<(), Stop> {
    let inside = |path: &str| !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let known = match (name.strip_prefix(RUN), name.strip_prefix(OUTPUTS)) {
        (Some(own), _) => !own.contains('/') && inside(own),
        (_, Some(output)) => inside(output),
        _ => [ABOUT, KEY, CONFIG].contains(&name),
    };
    match known && name.len() <= MAX_NAME {
        true => Ok(()),
        false => Err(Stop::Refused(format!("{name:?} is no file of a run"))),
    }
}
