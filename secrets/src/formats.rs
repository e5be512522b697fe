//! Judges what follows the beginning of a well-known format.

use crate::rules::{self, RULES, Shape};

/// The longest first part of a JSON web token.
const HEAD: usize = 1024;
/// The most bytes of a PEM head, and of headers below it.
const KEY_HEAD: usize = 512;
/// The most bytes of a private key: what is beyond is none.
const KEY_BODY: usize = 64 << 10;
/// Space and signs between a name and its value.
const GAP: usize = 8;

/// Whether a credential stands here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    No,
    /// That depends on what follows.
    Unsure,
    /// From `from` up to `to`, and what `rest` says belongs to it.
    Yes {
        from: usize,
        to: usize,
        rest: Rest,
    },
}

/// What of the stream belongs to a credential that is already told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rest {
    Nothing,
    /// As long as bytes of this kind come.
    While(fn(u8) -> bool),
    /// Up to the foot of a PEM block.
    Block(Block),
}

impl PartialEq for Rest {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Eq for Rest {}

/// The body of a PEM block, and how far its end has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Block {
    bytes: usize,
    /// The last byte was a letter of the body: after space it would be prose.
    letter: bool,
    foot: Foot,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Foot {
    #[default]
    Body,
    /// So many dashes before `END`.
    Dashes(u8),
    Words,
    /// So many dashes after it.
    Closing(u8),
}

impl Rest {
    /// How many of these bytes belong to the credential; whether more may.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        match self {
            Rest::Nothing => (0, false),
            Rest::While(kind) => {
                let count = bytes.iter().take_while(|byte| kind(**byte)).count();
                (count, count == bytes.len())
            }
            Rest::Block(block) => {
                for (n, byte) in bytes.iter().enumerate() {
                    match block.step(*byte) {
                        Step::On => {}
                        Step::Last => return (n + 1, false),
                        Step::Over => return (n, false),
                    }
                }
                (bytes.len(), true)
            }
        }
    }
}

enum Step {
    On,
    Last,
    Over,
}

impl Block {
    fn step(&mut self, byte: u8) -> Step {
        self.bytes += 1;
        if self.bytes > KEY_BODY {
            return Step::Over;
        }
        match (self.foot, byte) {
            (Foot::Body, b'-') => self.foot = Foot::Dashes(1),
            (Foot::Body, b' ' | b'\t') if self.letter => return Step::Over,
            (Foot::Body, b' ' | b'\t' | b'\n' | b'\r' | b'\\' | b'"' | b',' | b'\'') => self.letter = false,
            (Foot::Body, byte) if rules::is_base64(byte) || byte == b'=' => self.letter = true,
            (Foot::Dashes(count), b'-') if count < 5 => self.foot = Foot::Dashes(count + 1),
            (Foot::Dashes(5), b'E') => self.foot = Foot::Words,
            (Foot::Words, b'-') => self.foot = Foot::Closing(1),
            (Foot::Words, byte) if byte == b' ' || byte.is_ascii_uppercase() => {}
            (Foot::Closing(4), b'-') => return Step::Last,
            (Foot::Closing(count), b'-') => self.foot = Foot::Closing(count + 1),
            _ => return Step::Over,
        }
        Step::On
    }
}

/// Judges the text that begins with a rule's prefix. `last`: nothing follows it.
pub(crate) fn judge(rule: usize, text: &[u8], last: bool) -> Verdict {
    let rule = &RULES[rule];
    let body = rule.prefix.len();
    let verdict = match rule.shape {
        Shape::Open { kind, least } => open(text, body, kind, least),
        Shape::Exact { kind, count } => exact(text, 0, body, kind, count, last),
        Shape::Token => token(text),
        Shape::Assigned => assigned(text, body, last),
        Shape::Header => header(text, body),
        Shape::Key => key(text, body),
    };
    if last && verdict == Verdict::Unsure { Verdict::No } else { verdict }
}

/// How many bytes of a kind there are, of at most so many; `None` if there may be more.
fn run(text: &[u8], from: usize, kind: fn(u8) -> bool, most: usize) -> Option<usize> {
    let rest = text.get(from..).unwrap_or_default();
    let count = rest.iter().take(most).take_while(|byte| kind(**byte)).count();
    (count < rest.len() || count == most).then_some(count)
}

fn open(text: &[u8], body: usize, kind: fn(u8) -> bool, least: usize) -> Verdict {
    match run(text, body, kind, least) {
        None => Verdict::Unsure,
        Some(count) if count < least => Verdict::No,
        Some(_) => Verdict::Yes { from: 0, to: body + least, rest: Rest::While(kind) },
    }
}

fn exact(text: &[u8], from: usize, body: usize, kind: fn(u8) -> bool, count: usize, last: bool) -> Verdict {
    match run(text, body, kind, count) {
        None => return Verdict::Unsure,
        Some(found) if found < count => return Verdict::No,
        Some(_) => {}
    }
    let to = body + count;
    match text.get(to) {
        None if !last => Verdict::Unsure,
        Some(next) if rules::is_word(*next) || kind(*next) || *next == b'=' => Verdict::No,
        _ => Verdict::Yes { from, to, rest: Rest::Nothing },
    }
}

fn token(text: &[u8]) -> Verdict {
    let Some(head) = run(text, 0, rules::is_url, HEAD) else { return Verdict::Unsure };
    if head < 10 || head == HEAD || text.get(head) != Some(&b'.') {
        return Verdict::No;
    }
    let second = head + 1;
    for (n, wanted) in b"eyJ".iter().enumerate() {
        match text.get(second + n) {
            None => return Verdict::Unsure,
            Some(byte) if byte != wanted => return Verdict::No,
            Some(_) => {}
        }
    }
    open(text, second + 3, rules::is_url, 5).with_rest(Rest::While(rules::is_dotted))
}

impl Verdict {
    fn with_rest(self, other: Rest) -> Verdict {
        match self {
            Verdict::Yes { from, to, .. } => Verdict::Yes { from, to, rest: other },
            verdict => verdict,
        }
    }

    fn starting(self, at: usize) -> Verdict {
        match self {
            Verdict::Yes { to, rest, .. } => Verdict::Yes { from: at, to, rest },
            verdict => verdict,
        }
    }
}

/// Space, quotes and one sign of assignment: where the value begins.
fn gap(text: &[u8], from: usize) -> Result<usize, Verdict> {
    let (mut at, mut signs) = (from, 0);
    loop {
        match text.get(at) {
            None => return Err(Verdict::Unsure),
            Some(b'=' | b':') if signs == 0 => signs = 1,
            // Ruby's arrow.
            Some(b'>') if signs == 1 => {}
            Some(b' ' | b'\t' | b'"' | b'\'' | b'\\') => {}
            Some(_) if signs == 1 => return Ok(at),
            Some(_) => return Err(Verdict::No),
        }
        at += 1;
        if at > from + GAP {
            return Err(Verdict::No);
        }
    }
}

fn assigned(text: &[u8], body: usize, last: bool) -> Verdict {
    match gap(text, body) {
        Err(verdict) => verdict,
        Ok(at) => exact(text, at, at, rules::is_base64, 40, last),
    }
}

fn header(text: &[u8], body: usize) -> Verdict {
    let at = match gap(text, body) {
        Err(verdict) => return verdict,
        Ok(at) => at,
    };
    let Some(letters) = run(text, at, rules::is_alphanumeric, 7) else { return Verdict::Unsure };
    let scheme = text[at..at + letters].to_ascii_lowercase();
    if scheme != b"bearer" && scheme != b"token" {
        return Verdict::No;
    }
    let space = |byte| byte == b' ';
    let Some(spaces) = run(text, at + letters, space, GAP) else { return Verdict::Unsure };
    if spaces == 0 {
        return Verdict::No;
    }
    let from = at + letters + spaces;
    open(text, from, rules::is_token, 20).starting(from)
}

/// A key that is named in prose, or of which nothing follows, is none.
fn key(text: &[u8], body: usize) -> Verdict {
    let label = |byte: u8| byte == b' ' || byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let Some(letters) = run(text, body, label, 48) else { return Verdict::Unsure };
    let name = &text[body..body + letters];
    if !name.ends_with(b"PRIVATE KEY") && !name.ends_with(b"PRIVATE KEY BLOCK") {
        return Verdict::No;
    }
    let mut at = body + letters;
    for _ in 0..5 {
        match text.get(at) {
            None => return Verdict::Unsure,
            Some(b'-') => at += 1,
            Some(_) => return Verdict::No,
        }
    }
    // Line ends, written out or not, and headers such as `Proc-Type: 4,ENCRYPTED`.
    let head = at;
    loop {
        let Some(count) = run(text, at, rules::is_base64, 16) else { return Verdict::Unsure };
        if count == 16 {
            return Verdict::Yes {
                from: 0,
                to: at + 16,
                rest: Rest::Block(Block { letter: true, ..Block::default() }),
            };
        }
        match text.get(at + count) {
            _ if at > head + KEY_HEAD => return Verdict::No,
            None => return Verdict::Unsure,
            Some(b'\n' | b'\r' | b' ' | b'\t' | b'\\' | b'"' | b'\'' | b',') if count <= 1 => at += count + 1,
            Some(b'-' | b':') => {
                let line = |byte: u8| !matches!(byte, b'\n' | b'\r' | b'\\');
                let Some(rest) = run(text, at + count, line, 128) else { return Verdict::Unsure };
                if text[at + count..].starts_with(b"-----") || rest == 128 {
                    return Verdict::No;
                }
                at += count + rest;
            }
            Some(_) => return Verdict::No,
        }
    }
}
