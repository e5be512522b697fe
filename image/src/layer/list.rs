//! The list of a layer's folders and whiteouts, as it lies beside the layer.
//!
//! It is written once, in order, and read as a stream: a list may be long, and nobody ever holds it
//! whole. The order goes by components, so that ancestors come right before what lies below them.
//!
//! ```text
//! aido folders 1\n
//! then for each path: depth, for all but the root a name (its length, its bytes), marks, and where
//!   the marks say so mode, owner, group, seconds, nanoseconds of the last change
//! then 0xff… (the largest number) and how many paths there were
//! ```
//! Numbers are in base 128, the lowest digits first; signed ones alternate between the signs.

use super::attributes::Attributes;
use crate::{Error, Kind, Result, limits};
use std::io::{self, BufRead, BufReader, Read, Write};

/// Version 1: first.
const HEAD: &[u8] = b"aido folders 1\n";
const END: u64 = u64::MAX;

/// What a list says of a path, as bits.
pub(super) type Marks = u64;

/// It is a folder.
pub(super) const FOLDER: Marks = 1;
/// Its attributes are known.
pub(super) const STATED: Marks = 1 << 1;
/// The topmost layer that has it says nothing of it.
pub(super) const IMPLIED: Marks = 1 << 2;
/// Nothing of lower layers shows in it.
pub(super) const OPAQUE: Marks = 1 << 3;
/// It is only there because it holds whiteouts.
pub(super) const PHANTOM: Marks = 1 << 4;
/// Whatever lower layers have there is gone.
pub(super) const HIDDEN: Marks = 1 << 5;
/// A device or FIFO that was not made; two bits for its kind.
pub(super) const LEFT_OUT_SHIFT: u32 = 6;

/// What a list says of one path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) path: Vec<u8>,
    pub(super) marks: Marks,
    pub(super) stated: Option<Attributes>,
}

impl Item {
    pub(super) fn has(&self, mark: Marks) -> bool {
        self.marks & mark != 0
    }
}

fn broken(why: &str) -> Error {
    Error::new(Kind::Storage, format!("the list of a layer's folders cannot be read: {why}"))
        .remedy("remove the image with `aido image remove`, then pull it again")
}

pub(super) struct Writer<W> {
    out: W,
    count: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(HEAD)?;
        Ok(Writer { out, count: 0 })
    }

    /// The next path in order.
    pub(super) fn add(&mut self, path: &[u8], marks: Marks, stated: Option<&Attributes>) -> io::Result<()> {
        self.count += 1;
        let slashes = path.iter().filter(|b| **b == b'/').count() as u64;
        number(&mut self.out, if path.is_empty() { 0 } else { slashes + 1 })?;
        if !path.is_empty() {
            let name = super::name::split(path).1;
            number(&mut self.out, name.len() as u64)?;
            self.out.write_all(name)?;
        }
        number(&mut self.out, marks & !STATED | if stated.is_some() { STATED } else { 0 })?;
        stated.map_or(Ok(()), |stated| attributes(&mut self.out, stated))
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        number(&mut self.out, END)?;
        number(&mut self.out, self.count)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

pub(super) fn number(out: &mut impl Write, mut number: u64) -> io::Result<()> {
    let (mut digits, mut count) = ([0; 10], 0);
    loop {
        digits[count] = number as u8 & 0x7f | if number > 0x7f { 0x80 } else { 0 };
        count += 1;
        number >>= 7;
        if number == 0 {
            return out.write_all(&digits[..count]);
        }
    }
}

pub(super) fn attributes(out: &mut impl Write, of: &Attributes) -> io::Result<()> {
    let seconds = (of.mtime << 1 ^ of.mtime >> 63) as u64;
    [of.mode.into(), of.uid, of.gid, seconds, of.mtime_nanos.into()].iter().try_for_each(|n| number(out, *n))
}

pub(super) fn read_number(from: &mut impl Read) -> Result<u64> {
    let mut number = 0;
    for place in 0..10 {
        let mut byte = [0];
        from.read_exact(&mut byte).map_err(|e| broken(&e.to_string()))?;
        let digit = u64::from(byte[0] & 0x7f);
        if place == 9 && digit > 1 {
            break;
        }
        number |= digit << (7 * place);
        if byte[0] & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(broken("a number is too large"))
}

pub(super) fn read_attributes(from: &mut impl Read) -> Result<Attributes> {
    let small = |n: u64| u32::try_from(n).map_err(|_| broken("a number is too large"));
    let (mode, uid, gid) = (small(read_number(from)?)?, read_number(from)?, read_number(from)?);
    let (seconds, nanos) = (read_number(from)?, read_number(from)?);
    let mtime = (seconds >> 1) as i64 ^ -((seconds & 1) as i64);
    Ok(Attributes { mode, uid, gid, mtime, mtime_nanos: small(nanos)? })
}

/// Reads a list to its end, for nothing but to see that it can be read.
pub(crate) fn check_list(from: impl Read) -> Result<()> {
    let mut list = Reader::new(from)?;
    while list.advance()? {}
    Ok(())
}

/// Reads a list path by path.
pub(super) struct Reader<R> {
    from: BufReader<R>,
    /// The last path that was read.
    pub(super) item: Item,
    /// Length of that path's part at each depth.
    ends: Vec<usize>,
    count: u64,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(from: R) -> Result<Self> {
        let mut from = BufReader::with_capacity(limits::LIST_BYTES, from);
        let mut head = [0; HEAD.len()];
        from.read_exact(&mut head).map_err(|e| broken(&e.to_string()))?;
        if head == *HEAD {
            Ok(Reader { from, item: Item::default(), ends: Vec::new(), count: 0 })
        } else {
            Err(broken("it is of another version"))
        }
    }

    /// Reads the next path; false, and not to be called again, at the end.
    pub(super) fn advance(&mut self) -> Result<bool> {
        let depth = read_number(&mut self.from)?;
        if depth == END {
            let whole = read_number(&mut self.from)? == self.count && self.from.fill_buf().is_ok_and(<[u8]>::is_empty);
            return if whole { Ok(false) } else { Err(broken("it has another length than it says")) };
        }
        let depth = usize::try_from(depth).unwrap_or(usize::MAX);
        if depth > self.ends.len() || (depth == 0) != self.ends.is_empty() {
            return Err(broken("a path comes before its parent"));
        }
        if depth > 0 {
            self.name(depth)?;
        }
        self.ends.push(self.item.path.len());
        self.count += 1;
        self.item.marks = read_number(&mut self.from)?;
        self.item.stated = if self.item.has(STATED) { Some(read_attributes(&mut self.from)?) } else { None };
        Ok(true)
    }

    fn name(&mut self, depth: usize) -> Result<()> {
        let length = read_number(&mut self.from)?;
        if length == 0 || length > limits::NAME_BYTES as u64 {
            return Err(broken("a name has a wrong length"));
        }
        let mut name = [0; limits::NAME_BYTES];
        let name = &mut name[..length as usize];
        self.from.read_exact(name).map_err(|e| broken(&e.to_string()))?;
        if name.iter().any(|b| matches!(b, 0 | b'/')) {
            return Err(broken("a name is none"));
        }
        let path = &mut self.item.path;
        let start = if depth == 1 { 0 } else { self.ends[depth - 1] + 1 };
        // Siblings ascend.
        if self.ends.get(depth).is_some_and(|end| path[start..*end] >= *name) {
            return Err(broken("it is out of order"));
        }
        self.ends.truncate(depth);
        path.truncate(self.ends[depth - 1]);
        if depth > 1 {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        if path.len() > limits::PATH_BYTES { Err(broken("a path is too long")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Paths with all that lie above them, in the order of a list.
    fn closed(paths: Vec<Vec<Vec<u8>>>) -> BTreeMap<Vec<Vec<u8>>, (u64, Option<Attributes>)> {
        let above = paths.iter().flat_map(|path| (0..=path.len()).map(|depth| (path[..depth].to_vec(), (1, None))));
        above.chain([(Vec::new(), (1, None))]).collect()
    }

    fn written(items: &BTreeMap<Vec<Vec<u8>>, (u64, Option<Attributes>)>) -> Vec<u8> {
        let mut list = Writer::new(Vec::new()).unwrap();
        for (path, (marks, stated)) in items {
            list.add(&path.join(&b'/'), *marks, stated.as_ref()).unwrap();
        }
        list.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Item>> {
        let mut list = Reader::new(bytes)?;
        let mut items = Vec::new();
        while list.advance()? {
            items.push(list.item.clone());
        }
        Ok(items)
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(b"ab-.0\xff~".to_vec()), 1..3)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_and_nothing_less(
            paths in prop::collection::vec(prop::collection::vec(name(), 1..5), 0..12),
            said in any::<(u32, u64, u64, i64, u32)>(), at in any::<prop::sample::Index>(),
        ) {
            let mut items = closed(paths);
            let (mode, uid, gid, mtime, mtime_nanos) = said;
            let one = at.index(items.len());
            let attributes = Attributes { mode, uid, gid, mtime, mtime_nanos };
            *items.values_mut().nth(one).unwrap() = (FOLDER | STATED, Some(attributes));
            let bytes = written(&items);
            let back = read(&bytes).unwrap();
            prop_assert_eq!(back.len(), items.len());
            for (item, (path, (marks, stated))) in back.iter().zip(&items) {
                prop_assert_eq!((&item.path, item.marks, &item.stated), (&path.join(&b'/'), *marks, stated));
            }
            let cut = at.index(bytes.len());
            prop_assert!(read(&bytes[..cut]).is_err());
        }

        #[test]
        fn no_damage_is_a_panic_or_a_path_without_a_parent(noise in prop::collection::vec(any::<(u16, u8)>(), 1..4)) {
            let mut bytes = written(&closed(vec![vec![b"a".to_vec(), b"b".to_vec()], vec![b"b".to_vec()]]));
            for (at, byte) in noise {
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
            }
            let Ok(items) = read(&bytes) else { return Ok(()) };
            for item in &items[1..] {
                let parent = super::super::name::split(&item.path).0;
                prop_assert!(items.iter().any(|other| other.path == parent));
            }
        }
    }
}
