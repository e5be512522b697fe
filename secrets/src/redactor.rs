//! The two ways to find secrets, one behind the other, and what comes of them.

use crate::forms::SHORTEST;
use crate::given::{self, Given};
use crate::known::{self, Beginnings, Known};
use crate::scan::Wanted;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// The secrets of a run, made ready to be found. A copy is cheap.
#[derive(Clone)]
pub struct Secrets(Arc<Ready>);

struct Ready {
    wanted: Wanted,
    /// What each is called, and what stands in its place.
    names: Vec<(String, Vec<u8>)>,
    short: Vec<String>,
    /// So much of the beginning of one may be shown to who waits.
    few: usize,
}

/// Takes secrets out of a stream.
pub struct Redactor {
    secrets: Secrets,
    given: Given,
    known: Option<Known>,
    found: BTreeMap<Found, u64>,
}

/// Never more of it: what is looked for at all is longer. Of short secrets it is a quarter.
const FEW: usize = SHORTEST - 1;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// A secret of the run, by its name.
    Secret(String),
    /// A credential of this well-known format.
    Format(&'static str),
}

impl Secrets {
    /// `secrets`: names and values, which may end with a line end. A value of less than four bytes is not looked for: see [`Secrets::short`]. Of a value
    /// over [`crate::LONGEST`] bytes, or of what is beyond 256 KiB in all, encoded forms are not known.
    pub fn new<N: Into<String>, V: AsRef<[u8]>>(secrets: impl IntoIterator<Item = (N, V)>) -> Secrets {
        let (mut names, mut values, mut short) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in secrets {
            // The end of its last line is no part of a file's secret.
            let (name, bytes) = (name.into(), value.as_ref().trim_ascii_end());
            match bytes.len() {
                0 => {}
                1..SHORTEST => short.push(name),
                _ => {
                    names.push(name);
                    values.push(bytes.to_vec());
                }
            }
        }
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let few = values.iter().map(|value| value.len() / 4).min().unwrap_or(FEW).clamp(1, FEW);
        let wanted = Wanted::new(&values);
        let names = names.into_iter().enumerate().map(|(n, name)| marked(&wanted, n, name)).collect();
        Secrets(Arc::new(Ready { wanted, names, short, few }))
    }

    /// Whether there is nothing to be looked for.
    pub fn is_empty(&self) -> bool {
        self.0.names.is_empty()
    }

    /// The names of those that are too short to be kept out of anything.
    pub fn short(&self) -> &[String] {
        &self.0.short
    }

    /// The bytes with `[secret NAME]` for each secret; `None` if there is none.
    pub fn bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (mut out, mut hit) = (Vec::new(), false);
        if self.is_empty() {
            return None;
        }
        let mut given = Given::default();
        let mut tell = |piece: given::Piece<'_>| match piece {
            given::Piece::Text(text) => out.extend_from_slice(text),
            given::Piece::Secret(secret) => {
                hit = true;
                out.extend_from_slice(&self.0.names[secret].1);
            }
        };
        given.push(&self.0.wanted, bytes, &mut tell);
        given.finish(&self.0.wanted, &mut tell);
        hit.then_some(out)
    }

    /// The same for a text.
    pub fn text(&self, text: &str) -> Option<String> {
        self.bytes(text.as_bytes()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The name of a secret that stands in a text.
    pub fn in_text(&self, text: &str) -> Option<&str> {
        let seen = self.0.wanted.scan(text.as_bytes());
        seen.matches.first().map(|found| self.0.names[found.secret].0.as_str())
    }
}

/// What stands for a secret must not hold one: then it is called by its number, or not at all.
fn marked(wanted: &Wanted, n: usize, name: String) -> (String, Vec<u8>) {
    let shown: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let number = n + 1;
    let choices =
        [format!("[secret {shown}]"), format!("[secret #{number}]"), format!("[#{number}]"), "***".to_string()];
    let marker = choices.into_iter().find(|choice| wanted.scan(choice.as_bytes()).matches.is_empty());
    (name, marker.unwrap_or_default().into_bytes())
}

fn beginnings() -> &'static Beginnings {
    static BEGINNINGS: OnceLock<Beginnings> = OnceLock::new();
    BEGINNINGS.get_or_init(Beginnings::new)
}

impl Redactor {
    /// `formats`: credentials of well-known formats go too.
    pub fn new(secrets: &Secrets, formats: bool) -> Redactor {
        let known = formats.then(Known::new);
        Redactor { secrets: secrets.clone(), given: Given::default(), known, found: BTreeMap::new() }
    }

    /// Takes more of the stream; what can no longer become a secret is added to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.take(bytes, &mut Out::new(&[], out));
    }

    /// The same for who needs it only until the next call: most of a stream is given back as it came, and nothing of it
    /// is copied to `room`.
    pub fn pass<'a>(&mut self, bytes: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
        room.clear();
        let mut out = Out::new(bytes, room);
        self.take(bytes, &mut out);
        out.whole()
    }

    fn take(&mut self, bytes: &[u8], out: &mut Out<'_>) {
        let Redactor { secrets, given, known, found } = self;
        let ready = &secrets.0;
        if ready.wanted.is_empty() {
            return text(known, found, bytes, out);
        }
        given.push(&ready.wanted, bytes, &mut |piece| told(ready, known, found, piece, out));
    }

    /// Nothing has come for a while, and somebody waits for what did: the first few bytes of what is held back are
    /// added to `out`. Should it become a secret after all, the rest of it is replaced.
    pub fn show(&mut self, out: &mut Vec<u8>) {
        let out = &mut Out::new(&[], out);
        let Redactor { secrets, given, known, found } = self;
        let ready = &secrets.0;
        given.show(ready.few, &mut |piece| told(ready, known, found, piece, out));
        if let Some(known) = known {
            known.show(FEW, &mut |piece| credential(found, piece, out));
        }
    }

    /// The stream is over: the rest is added to `out`. What is pushed after that is another stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let out = &mut Out::new(&[], out);
        let Redactor { secrets, given, known, found } = self;
        let ready = &secrets.0;
        given.finish(&ready.wanted, &mut |piece| told(ready, known, found, piece, out));
        if let Some(known) = known {
            known.finish(beginnings, &mut |piece| credential(found, piece, out));
        }
    }

    /// Whether all that was pushed has come out again.
    pub fn is_idle(&self) -> bool {
        self.given.is_idle() && self.known.as_ref().is_none_or(Known::is_idle)
    }

    /// What was found so far, and how often.
    pub fn found(&self) -> &BTreeMap<Found, u64> {
        &self.found
    }

    /// How much was found so far.
    pub fn count(&self) -> u64 {
        self.found.values().sum()
    }
}

#[cfg(test)]
impl Redactor {
    pub(crate) fn held(&self) -> usize {
        self.given.held() + self.known.as_ref().map_or(0, Known::held)
    }
}

#[cfg(test)]
impl Secrets {
    /// The same secrets, found by the slower of the two filters.
    pub(crate) fn by_grams(&self, values: &[&[u8]]) -> Secrets {
        let Ready { names, short, few, .. } = &*self.0;
        let wanted = Wanted::by_grams(values);
        Secrets(Arc::new(Ready { wanted, names: names.clone(), short: short.clone(), few: *few }))
    }

    pub(crate) fn memory(&self) -> usize {
        self.0.wanted.memory()
    }
}

/// What comes out: a stretch of what came in, as long as it is one, or a copy.
struct Out<'a> {
    came: &'a [u8],
    stretch: Option<Range<usize>>,
    copy: &'a mut Vec<u8>,
}

impl<'a> Out<'a> {
    fn new(came: &'a [u8], copy: &'a mut Vec<u8>) -> Out<'a> {
        Out { came, stretch: None, copy }
    }

    fn add(&mut self, piece: &[u8]) {
        if self.stretch.is_none() && self.copy.is_empty() {
            self.stretch = self.place(piece);
            if self.stretch.is_some() {
                return;
            }
        }
        if let Some(stretch) = self.stretch.take() {
            self.copy.extend_from_slice(&self.came[stretch]);
        }
        self.copy.extend_from_slice(piece);
    }

    /// Where it lies in what came in, if it lies there.
    fn place(&self, piece: &[u8]) -> Option<Range<usize>> {
        let from = (piece.as_ptr() as usize).checked_sub(self.came.as_ptr() as usize)?;
        let to = from.checked_add(piece.len())?;
        (to <= self.came.len()).then_some(from..to)
    }

    fn whole(self) -> &'a [u8] {
        match self.stretch {
            Some(stretch) => &self.came[stretch],
            None => self.copy,
        }
    }
}

type Counts = BTreeMap<Found, u64>;

fn told(ready: &Ready, known: &mut Option<Known>, found: &mut Counts, piece: given::Piece<'_>, out: &mut Out<'_>) {
    match piece {
        given::Piece::Text(bytes) => text(known, found, bytes, out),
        given::Piece::Secret(secret) => {
            let (name, marker) = &ready.names[secret];
            if let Some(known) = known {
                // What was held back for want of more does not go on behind the marker.
                known.finish(beginnings, &mut |piece| credential(found, piece, out));
                known.interrupted();
            }
            *found.entry(Found::Secret(name.clone())).or_default() += 1;
            out.add(marker);
        }
    }
}

fn text(known: &mut Option<Known>, found: &mut Counts, bytes: &[u8], out: &mut Out<'_>) {
    match known {
        Some(known) => known.push(beginnings(), bytes, &mut |piece| credential(found, piece, out)),
        None => out.add(bytes),
    }
}

fn credential(found: &mut Counts, piece: known::Piece<'_>, out: &mut Out<'_>) {
    match piece {
        known::Piece::Text(bytes) => out.add(bytes),
        known::Piece::Credential(what) => {
            *found.entry(Found::Format(what)).or_default() += 1;
            out.add(format!("[redacted {what}]").as_bytes());
        }
    }
}
