//! Reads a recipe step by step.

use super::{END, FILE, LITERAL, MAGIC, MORE, REPLACED, SUM, VERSION, WINDOW_LOG};
use crate::{Error, Kind, Result, limits};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use zstd::stream::read::Decoder;

pub(super) enum Step {
    End(u64),
    /// So many bytes are to be read by [`Steps::literal`].
    Literal(u64),
    File {
        entry: u64,
        path: Vec<u8>,
        offset: u64,
        length: u64,
    },
    More {
        offset: u64,
        length: u64,
    },
    Sum(u32),
    Replaced {
        entry: u64,
        path: Vec<u8>,
    },
}

pub(super) struct Steps {
    input: BufReader<Decoder<'static, BufReader<File>>>,
}

fn damaged(why: impl std::fmt::Display) -> Error {
    Error::new(Kind::Unverified, format!("its recipe is damaged: {why}"))
}

impl Steps {
    /// Begins anew, at the start of the recipe.
    pub(super) fn new(file: &File) -> Result<Steps> {
        let failed = |e: io::Error| Error::io("reading its recipe", e);
        let mut file = file.try_clone().map_err(failed)?;
        io::Seek::rewind(&mut file).map_err(failed)?;
        let mut decoder = Decoder::new(file).map_err(failed)?.single_frame();
        decoder.window_log_max(WINDOW_LOG).map_err(failed)?;
        let mut steps = Steps { input: BufReader::with_capacity(32 << 10, decoder) };
        let mut magic = [0; MAGIC.len()];
        steps.literal(&mut magic)?;
        if magic != *MAGIC {
            return Err(damaged("it is none"));
        }
        match steps.number()? {
            VERSION => Ok(steps),
            other => Err(damaged(format!("its version is {other}; this aido knows {VERSION}"))),
        }
    }

    pub(super) fn next(&mut self) -> Result<Step> {
        let mut step = [0];
        self.literal(&mut step)?;
        Ok(match step[0] {
            END => Step::End(self.end()?),
            LITERAL => Step::Literal(self.number()?),
            FILE => {
                let (entry, path) = (self.number()?, self.path()?);
                Step::File { entry, path, offset: self.number()?, length: self.number()? }
            }
            MORE => Step::More { offset: self.number()?, length: self.number()? },
            SUM => {
                let mut sum = [0; 4];
                self.literal(&mut sum)?;
                Step::Sum(u32::from_le_bytes(sum))
            }
            REPLACED => Step::Replaced { entry: self.number()?, path: self.path()? },
            other => return Err(damaged(format!("it has a step {other}"))),
        })
    }

    pub(super) fn literal(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.input.read_exact(buffer).map_err(damaged)
    }

    /// Reads on to the frame's own end, where its checksum stands.
    fn end(&mut self) -> Result<u64> {
        let bytes = self.number()?;
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(bytes),
            Ok(_) => Err(damaged("it goes on after its end")),
            Err(e) => Err(damaged(e)),
        }
    }

    fn skip(&mut self, count: u64) -> Result<()> {
        let skipped = io::copy(&mut self.input.by_ref().take(count), &mut io::sink()).map_err(damaged)?;
        if skipped == count { Ok(()) } else { Err(damaged("it is cut off")) }
    }

    fn number(&mut self) -> Result<u64> {
        let (mut number, mut byte) = (0_u64, [0]);
        for shift in (0..64).step_by(7) {
            self.literal(&mut byte)?;
            let bits = u64::from(byte[0] & 0x7f);
            number |=
                bits.checked_shl(shift).filter(|moved| moved >> shift == bits).ok_or_else(|| damaged("a number"))?;
            if byte[0] & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(damaged("a number has no end"))
    }

    fn path(&mut self) -> Result<Vec<u8>> {
        let length = self.number()?;
        if length > limits::PATH_BYTES as u64 {
            return Err(damaged(format!("a path has {length} bytes")));
        }
        let mut path = vec![0; length as usize];
        self.literal(&mut path)?;
        Ok(path)
    }
}

/// What a layer replaced within itself: by path, which entry took its place, and the number under
/// which it was kept.
#[derive(Debug, Default)]
pub(crate) struct Moves(HashMap<Vec<u8>, Vec<(u64, u64)>>);

impl Moves {
    pub(super) fn read(file: &File) -> Result<Moves> {
        let (mut steps, mut moves, mut held, mut count) = (Steps::new(file)?, Moves::default(), 0, 0);
        loop {
            match steps.next()? {
                Step::End(_) => return Ok(moves),
                Step::Literal(length) => steps.skip(length)?,
                Step::Replaced { entry, path } => {
                    held += path.len() as u64;
                    if held > limits::HELD_BYTES || count > limits::ENTRIES {
                        return Err(damaged("it replaces too much"));
                    }
                    moves.0.entry(path).or_default().push((entry, count));
                    count += 1;
                }
                _ => {}
            }
        }
    }

    /// Where that which entry number `entry` put at `path` lies now, if it was replaced since.
    pub(crate) fn kept(&self, path: &[u8], entry: u64) -> Option<u64> {
        self.0.get(path)?.iter().find(|(by, _)| *by > entry).map(|(_, number)| *number)
    }

    /// How many things were kept.
    pub(crate) fn count(&self) -> u64 {
        self.0.values().map(|all| all.len() as u64).sum()
    }
}
