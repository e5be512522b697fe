//! What is to be run: a file that aido lays into the outputs before it gives the word, and that is gone before the task is there.
//!
//! `AIDO` and the version `1`; then little-endian: limit, grace and rest in milliseconds (u64 each), two words (32 bytes each), for the start
//! and for the end; whether there is a terminal (u32), the numbers of candidates, programs, arguments, variables and
//! scratch places (u32 each); then texts that end with NUL: the working folder, and all of those in this order. Before a candidate stands the number of its
//! program (u32).

use crate::sys::{self, Result};

const PATH: &[u8] = b"/outputs/.aido\0";
const LARGEST: usize = 16 << 20;
const BAD: i32 = 74;

pub struct Script {
    pub ttl_ms: u64,
    pub grace_ms: u64,
    /// How long the outputs are kept for whoever collects them.
    pub rest_ms: u64,
    /// Signs that the task was started. It may read that in its own standard error.
    pub start_word: [u8; 32],
    /// Signs how it ended, when there is no task any more.
    pub end_word: [u8; 32],
    pub tty: bool,
    pub workdir: &'static [u8],
    candidates: &'static [u8],
    count: u32,
    programs: &'static [usize],
    argv: &'static mut [usize],
    envp: &'static [usize],
}

/// Takes pieces off the front of the file.
struct Reader(&'static [u8]);

impl Reader {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (piece, rest) = self.0.split_first_chunk::<N>().ok_or(BAD)?;
        self.0 = rest;
        Ok(*piece)
    }

    fn number(&mut self) -> Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn long(&mut self) -> Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// With its NUL.
    fn text(&mut self) -> Result<&'static [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(BAD)? + 1;
        let (text, rest) = self.0.split_at_checked(end).ok_or(BAD)?;
        self.0 = rest;
        Ok(text)
    }

    /// Pointers to the next texts, and a zero; `before` is left free at the front.
    fn list(&mut self, before: usize, count: u32) -> Result<&'static mut [usize]> {
        if count as usize > self.0.len() {
            return Err(BAD);
        }
        let list = sys::pointers(before + count as usize + 1)?;
        for slot in list.iter_mut().skip(before).take(count as usize) {
            *slot = self.text()?.as_ptr() as usize;
        }
        Ok(list)
    }
}

impl Script {
    /// Reads it and takes it away.
    pub fn read() -> Result<Script> {
        let fd = sys::open(PATH)?;
        let space = sys::memory(LARGEST)?;
        let mut length = 0;
        while let Some(room) = space.get_mut(length..).filter(|room| !room.is_empty()) {
            match sys::read(fd, room)? {
                0 => break,
                more => length += more,
            }
        }
        sys::close(fd);
        sys::unlink(PATH)?;
        let space: &'static [u8] = space;
        Script::parse(Reader(space.get(..length).ok_or(BAD)?))
    }

    fn parse(mut from: Reader) -> Result<Script> {
        if from.take::<5>()? != *b"AIDO1" {
            return Err(BAD);
        }
        let (ttl_ms, grace_ms, rest_ms) = (from.long()?, from.long()?, from.long()?);
        let (start_word, end_word) = (from.take()?, from.take()?);
        let tty = from.number()? != 0;
        let (count, programs, args) = (from.number()?, from.number()?, from.number()?);
        let (variables, places) = (from.number()?, from.number()?);
        let workdir = from.text()?;
        let candidates = from.0;
        for _ in 0..count {
            if from.number()? >= programs {
                return Err(BAD);
            }
            from.text()?;
        }
        let programs = from.list(0, programs)?;
        let argv = from.list(1, args)?;
        let envp = from.list(0, variables)?;
        for _ in 0..places {
            // Engines give such a place the mode of the folder that it lies over.
            let mode = from.number()?;
            sys::chmod(from.text()?, mode);
        }
        Ok(Script {
            ttl_ms,
            grace_ms,
            rest_ms,
            start_word,
            end_word,
            tty,
            workdir,
            candidates,
            count,
            programs,
            argv,
            envp,
        })
    }

    /// Tries the candidates in order; comes back with the number of the error that says most.
    pub fn execute(&mut self) -> i32 {
        const NOT_FOUND: i32 = 2;
        const NO_FOLDER: i32 = 20;
        let mut said = NOT_FOUND;
        let mut from = Reader(self.candidates);
        for _ in 0..self.count {
            let (Ok(program), Ok(path)) = (from.number(), from.text()) else { return BAD };
            let Some(name) = self.programs.get(program as usize) else { return BAD };
            self.argv[0] = *name;
            let error = sys::execute(path, self.argv, self.envp);
            if said == NOT_FOUND && error != NO_FOLDER {
                said = error;
            }
        }
        said
    }
}
