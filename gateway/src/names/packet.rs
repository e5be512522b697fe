//! Questions and answers of DNS, as far as they are needed: one question in, at most one record out.
//!
//! Strict: what is not exactly one well-formed question is answered with an error or not at all, and nothing of it goes anywhere.

use std::net::IpAddr;

/// The longest message that is read.
pub(super) const LONGEST: usize = 4096;
/// What is offered to clients that ask with EDNS: fits every path.
const UDP_SIZE: u16 = 1232;
const HEADER: usize = 12;
const LONGEST_NAME: usize = 255;
const IN: u16 = 1;
const ANY_CLASS: u16 = 255;
const OPT: u16 = 41;
/// How long an answer may be kept. It does not change while the run lasts.
const SECONDS: u32 = 60;

/// Kinds of records that are told apart.
pub(super) mod kind {
    pub(in crate::names) const A: u16 = 1;
    pub(in crate::names) const PTR: u16 = 12;
    pub(in crate::names) const AAAA: u16 = 28;
    pub(in crate::names) const ANY: u16 = 255;
    pub(in crate::names) const IXFR: u16 = 251;
    pub(in crate::names) const AXFR: u16 = 252;
}

/// A kind's name for the record.
pub(super) fn kind_name(kind: u16) -> String {
    let known = [
        (1, "A"),
        (2, "NS"),
        (5, "CNAME"),
        (6, "SOA"),
        (10, "NULL"),
        (12, "PTR"),
        (15, "MX"),
        (16, "TXT"),
        (28, "AAAA"),
        (33, "SRV"),
        (35, "NAPTR"),
        (43, "DS"),
        (48, "DNSKEY"),
        (52, "TLSA"),
        (64, "SVCB"),
        (65, "HTTPS"),
        (252, "AXFR"),
        (255, "ANY"),
        (257, "CAA"),
    ];
    known
        .iter()
        .find(|(number, _)| *number == kind)
        .map_or_else(|| format!("TYPE{kind}"), |(_, name)| (*name).to_owned())
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    id: u16,
    recursion: bool,
    edns: bool,
    /// The labels as sent.
    pub(super) labels: Vec<Vec<u8>>,
    pub(super) kind: u16,
    class: u16,
    /// The question's own bytes, which the answer repeats: some clients compare them letter by letter.
    raw: Vec<u8>,
}

/// What is said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Address(IpAddr),
    /// A name that an address belongs to.
    Pointer(String),
    /// The name is there, such a record is not.
    Empty,
    NoSuchName,
    Failed,
    Refused,
}

/// A message that is no question for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// Not even an ID, or an answer: nothing is said.
    Silence,
    /// These bytes are said.
    Say(Vec<u8>),
}

const FORMAT_ERROR: u8 = 1;
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;
const REFUSED: u8 = 5;

/// Reads a message.
pub(super) fn read(message: &[u8]) -> Result<Question, Malformed> {
    let (Some(&[id_high, id_low, flags, _, rest @ ..]), true) =
        (message.first_chunk::<HEADER>(), message.len() <= LONGEST)
    else {
        return Err(Malformed::Silence);
    };
    let id = u16::from_be_bytes([id_high, id_low]);
    if flags & 0x80 != 0 {
        return Err(Malformed::Silence);
    }
    let bad = |code| Malformed::Say(bare(id, flags, code));
    if flags & 0x78 != 0 {
        return Err(bad(NOT_IMPLEMENTED));
    }
    let [1, 0, 0, additional @ (0 | 1)] = [0, 2, 4, 6].map(|at| u16::from_be_bytes([rest[at], rest[at + 1]])) else {
        return Err(bad(FORMAT_ERROR));
    };
    let (labels, after) = read_name(message).ok_or_else(|| bad(FORMAT_ERROR))?;
    let tail = message.get(after..after + 4).ok_or_else(|| bad(FORMAT_ERROR))?;
    let (kind, class) = (u16::from_be_bytes([tail[0], tail[1]]), u16::from_be_bytes([tail[2], tail[3]]));
    let edns = match (additional, &message[after + 4..]) {
        (0, []) => false,
        (1, record) if is_edns(record) => true,
        _ => return Err(bad(FORMAT_ERROR)),
    };
    Ok(Question { id, recursion: flags & 1 != 0, edns, labels, kind, class, raw: message[HEADER..after + 4].to_vec() })
}

/// Labels, and where they end. A pointer has nothing to point at in a question.
fn read_name(message: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels, at));
        }
        if length > 63 || at + length - HEADER >= LONGEST_NAME {
            return None;
        }
        labels.push(message.get(at..at + length)?.to_vec());
        at += length;
    }
}

/// An OPT record and nothing behind it. Its options are not looked at, and not repeated.
fn is_edns(record: &[u8]) -> bool {
    let [0, kind_high, kind_low, _, _, _, 0, _, _, length_high, length_low, options @ ..] = record else {
        return false;
    };
    u16::from_be_bytes([*kind_high, *kind_low]) == OPT
        && options.len() == usize::from(u16::from_be_bytes([*length_high, *length_low]))
}

fn bare(id: u16, flags: u8, code: u8) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend([0x80 | (flags & 0x79), 0x80 | code, 0, 0, 0, 0, 0, 0, 0, 0]);
    out
}

impl Question {
    /// Whether it is about the internet.
    pub(super) fn is_internet(&self) -> bool {
        matches!(self.class, IN | ANY_CLASS)
    }

    /// The name as text; other bytes than those of host names are made visible, so that no two names look the same.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (index, label) in self.labels.iter().enumerate() {
            if index > 0 {
                text.push('.');
            }
            for &byte in label {
                match byte {
                    b'.' | b'\\' => text.extend(['\\', char::from(byte)]),
                    0x21..=0x7e => text.push(char::from(byte)),
                    _ => text.push_str(&format!("\\{byte:03}")),
                }
            }
        }
        text
    }

    /// The message that answers it.
    pub(super) fn answered(&self, answer: &Answer) -> Vec<u8> {
        let code = match answer {
            Answer::Address(_) | Answer::Pointer(_) | Answer::Empty => 0,
            Answer::NoSuchName => NAME_ERROR,
            Answer::Failed => SERVER_FAILURE,
            Answer::Refused => REFUSED,
        };
        let (kind, data) = match answer {
            Answer::Address(IpAddr::V4(v4)) => (kind::A, v4.octets().to_vec()),
            Answer::Address(IpAddr::V6(v6)) => (kind::AAAA, v6.octets().to_vec()),
            Answer::Pointer(name) => (kind::PTR, wire(name)),
            _ => (0, Vec::new()),
        };
        let records = u8::from(!data.is_empty());
        let mut out = self.id.to_be_bytes().to_vec();
        out.extend([0x80 | u8::from(self.recursion), 0x80 | code, 0, 1, 0, records, 0, 0, 0, u8::from(self.edns)]);
        out.extend(&self.raw);
        if records == 1 {
            // The name is the question's: a pointer to it.
            out.extend([0xc0, HEADER as u8]);
            out.extend(kind.to_be_bytes());
            out.extend(IN.to_be_bytes());
            out.extend(SECONDS.to_be_bytes());
            out.extend((data.len() as u16).to_be_bytes());
            out.extend(data);
        }
        if self.edns {
            out.push(0);
            out.extend(OPT.to_be_bytes());
            out.extend(UDP_SIZE.to_be_bytes());
            out.extend([0; 6]);
        }
        out
    }
}

fn wire(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A question as clients send it.
    pub(in crate::names) fn question(name: &str, kind: u16, edns: bool) -> Vec<u8> {
        let mut out = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
        out.extend(wire(name));
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        if edns {
            out.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 12, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        }
        out
    }

    #[test]
    fn a_question_is_read_and_answered() {
        for edns in [false, true] {
            let asked = read(&question("DoCs.example.com", kind::A, edns)).unwrap();
            assert_eq!((asked.text().as_str(), asked.kind, asked.edns), ("DoCs.example.com", kind::A, edns));
            let said = asked.answered(&Answer::Address("198.18.0.1".parse().unwrap()));
            assert_eq!(&said[..12], [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, u8::from(edns)]);
            assert!(said.windows(15).any(|w| w == b"\x04DoCs\x07example\x03c"), "letters as they were asked");
            let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 18, 0, 1];
            assert!(said.windows(16).any(|w| w == record));
            assert_eq!(said.len(), 12 + 22 + 16 + if edns { 11 } else { 0 });
        }
    }

    #[test]
    fn what_is_not_one_question_is_not_answered_as_one() {
        let good = question("a.example", kind::A, true);
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            read(&bad)
        };
        assert!(read(&good).is_ok());
        assert_eq!(with(2, 0x81), Err(Malformed::Silence), "an answer");
        assert_eq!(read(&good[..11]), Err(Malformed::Silence));
        assert_eq!(read(&vec![0; LONGEST + 1]), Err(Malformed::Silence));
        let code = |result: Result<Question, Malformed>| match result {
            Err(Malformed::Say(bytes)) => bytes[3] & 15,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(with(2, 0x29)), NOT_IMPLEMENTED, "an update");
        for (at, byte) in [(5, 0), (5, 2), (7, 1), (9, 1), (11, 2), (12, 0xc0), (12, 64), (12, 3)] {
            assert_eq!(code(with(at, byte)), FORMAT_ERROR, "byte {at} = {byte}");
        }
        let mut long = good.clone();
        long.push(0);
        assert_eq!(code(read(&long)), FORMAT_ERROR, "something behind it");
        let name = ["abcdefghijklmnopqrstuvwxyz"; 12].join(".");
        assert_eq!(code(read(&question(&name, 1, false))), FORMAT_ERROR, "a name that is too long");
    }

    #[test]
    fn a_label_cannot_look_like_two() {
        let mut bytes = question("a", kind::A, false);
        bytes.splice(12..14, b"\x09a.example".iter().copied());
        assert_eq!(read(&bytes).unwrap().text(), "a\\.example");
    }

    proptest! {
        #[test]
        fn no_message_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..80), real: bool, at in 0usize..40) {
            let mut message = bytes;
            if real {
                message = [&question("docs.example.com", 28, true)[..at.min(35)], &message].concat();
            }
            if let Ok(question) = read(&message) {
                let said = question.answered(&Answer::Address("fd00::1".parse().unwrap()));
                prop_assert!(said.len() <= 512 && said[2] & 0x80 != 0);
                prop_assert!(said.starts_with(&message[..2]));
            }
        }
    }
}
