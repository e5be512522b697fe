//! The reading end of a chained file: checks the chain while it reads, in bounded memory.

use crate::append::MAX_TORN;
use crate::chain::{Head, Record, TORN, hex};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// The records of a chained file, in order. After the first [`Broken`] nothing follows: what comes
/// before it is as it was written, what comes after it proves nothing.
pub struct Events<R = File> {
    input: BufReader<R>,
    head: Head,
    line: u64,
    /// Bytes read so far.
    at: u64,
    /// Line and byte after the last good record, and whether that record had its newline.
    good: (u64, u64, bool),
    over: bool,
}

/// The first place where a chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Counted from 1, as editors do.
    pub line: u64,
    /// The number of the record that should stand there.
    pub seq: u64,
    pub why: String,
    /// The bad bytes are the end of the file: a writer stopped inside a record leaves this.
    pub torn_end: bool,
}

/// Bytes that are no record, until a `torn` record owns up to them.
struct Debt {
    first_line: u64,
    why: String,
    bytes: usize,
    hash: Sha256,
}

impl<R: Read> Events<R> {
    pub(crate) fn new(input: R) -> Self {
        Events::new_reading(input, 64 * 1024)
    }

    /// The same, which reads so many bytes at a time.
    pub(crate) fn new_reading(input: R, bytes: usize) -> Self {
        Events {
            input: BufReader::with_capacity(bytes, input),
            head: Head::start(),
            line: 0,
            at: 0,
            good: (0, 0, true),
            over: false,
        }
    }

    /// The hash of the last record that was read; 64 zeros before the first.
    pub fn head(&self) -> &str {
        &self.head.prev
    }

    /// The line of the last record that was read, counted from 1.
    pub(crate) fn good_line(&self) -> u64 {
        self.good.0
    }

    /// How many records were read.
    pub(crate) fn records(&self) -> u64 {
        self.head.seq
    }
}

impl Events {
    /// Goes on after the last good record: for a file that is still being written, when the end was
    /// reached or a record was only half there.
    pub fn again(&mut self) -> io::Result<()> {
        let (line, at, ended) = self.good;
        self.input.seek(SeekFrom::Start(at))?;
        (self.line, self.at, self.over) = (line, at, false);
        if !ended && self.input.fill_buf()?.first() == Some(&b'\n') {
            self.input.consume(1);
            self.at += 1;
            self.good = (line, self.at, true);
        }
        Ok(())
    }
}

impl<R: Read> Events<R> {
    fn step(&mut self) -> Result<Option<Record>, Broken> {
        let mut debt: Option<Debt> = None;
        loop {
            let Some((line, ended)) = self.next_line()? else {
                let Some(debt) = debt else { return Ok(None) };
                let why = format!("the file ends inside a record ({})", debt.why);
                return Err(self.broken(debt.first_line, why, true));
            };
            match Record::decode(&line) {
                Ok(record) => {
                    self.accept(&record, debt.take())?;
                    self.good = (self.line, self.at, ended);
                    return Ok(Some(record));
                }
                Err(why) => {
                    let debt =
                        debt.get_or_insert_with(|| Debt { first_line: self.line, why, bytes: 0, hash: Sha256::new() });
                    debt.add(&line, self.line);
                    if debt.bytes > MAX_TORN {
                        return Err(self.broken(debt.first_line, debt.why.clone(), false));
                    }
                }
            }
        }
    }

    fn accept(&mut self, record: &Record, debt: Option<Debt>) -> Result<(), Broken> {
        let owns_up = record.kind == TORN;
        match debt {
            Some(debt) if !(owns_up && debt.is_paid_by(record)) => {
                return Err(self.broken(debt.first_line, debt.why, false));
            }
            None if owns_up => {
                return Err(self.broken(self.line, "it speaks of a torn end that is not there".to_owned(), false));
            }
            _ => {}
        }
        if let Some(why) = self.head.refuses(record) {
            return Err(self.broken(self.line, why, false));
        }
        self.head = Head::after(record);
        Ok(())
    }

    /// A line without its newline, and whether it had one; None at the end.
    fn next_line(&mut self) -> Result<Option<(Vec<u8>, bool)>, Broken> {
        let mut line = Vec::new();
        let read = (&mut self.input).take(MAX_TORN as u64 + 1).read_until(b'\n', &mut line);
        match read {
            Ok(0) => Ok(None),
            Ok(_) => {
                self.line += 1;
                self.at += line.len() as u64;
                let ended = line.last() == Some(&b'\n');
                if ended {
                    line.pop();
                } else if line.len() > MAX_TORN {
                    return Err(self.broken(self.line, format!("it is longer than {MAX_TORN} bytes"), false));
                }
                Ok(Some((line, ended)))
            }
            Err(e) => Err(self.broken(self.line + 1, format!("it cannot be read: {e}"), false)),
        }
    }

    fn broken(&self, line: u64, why: String, torn_end: bool) -> Broken {
        Broken { line, seq: self.head.seq, why, torn_end }
    }
}

impl Debt {
    fn add(&mut self, line: &[u8], number: u64) {
        if number > self.first_line {
            self.hash.update(b"\n");
            self.bytes += 1;
        }
        self.hash.update(line);
        self.bytes += line.len();
    }

    fn is_paid_by(&self, record: &Record) -> bool {
        record.data["bytes"].as_u64() == Some(self.bytes as u64)
            && record.data["sha256"].as_str() == Some(&hex(&self.hash.clone().finalize()))
    }
}

impl<R: Read> Iterator for Events<R> {
    type Item = Result<Record, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let step = self.step().transpose();
        self.over = !matches!(step, Some(Ok(_)));
        step
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} (record {} should stand there): {}", self.line, self.seq, self.why)
    }
}

impl std::error::Error for Broken {}
