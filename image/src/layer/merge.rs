//! Several layers' lists read at once, as if they were the list of one layer.
//!
//! All that is kept is the way down to the current path, so the size of the lists does not matter.
//! What comes out can be written as a list again: many layers are merged some at a time.

use super::list::{FOLDER, HIDDEN, IMPLIED, Item, Marks, OPAQUE, PHANTOM, Reader, Writer};
use crate::{Error, Result, beneath};
use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufWriter, Read, Seek};
use std::os::fd::BorrowedFd;

/// A set of layers; the lowest is bit 0.
type Layers = u32;

/// Lists that are open at the same time, at most.
pub(super) const AT_ONCE: usize = Layers::BITS as usize;

pub(super) struct Merge<R> {
    /// What all layers together say of the current path, as [`Merge::advance`] found it.
    pub(super) item: Item,
    /// Lowest layer first; those that have ended are none.
    lists: Vec<Option<Reader<R>>>,
    /// Those that have the current path.
    took: Layers,
    /// The folders above the current path and the path itself: length of the path, and the layers
    /// that take away all that lower ones have in it.
    above: Vec<(usize, Layers)>,
}

/// Components are compared, so that a folder's content follows right after it.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    match a.iter().zip(b).find(|(a, b)| a != b) {
        None => a.len().cmp(&b.len()),
        Some((b'/', _)) => Ordering::Less,
        Some((_, b'/')) => Ordering::Greater,
        Some((a, b)) => a.cmp(b),
    }
}

/// Whether `path` lies below `folder`, or is it.
pub(super) fn within(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

impl<R: Read> Merge<R> {
    /// At most [`AT_ONCE`] lists, that of the lowest layer first.
    pub(super) fn new(lists: impl IntoIterator<Item = R>) -> Result<Self> {
        let lists = lists.into_iter().map(|list| Reader::new(list).map(Some)).collect::<Result<Vec<_>>>()?;
        // None has a path yet: all go on to their first one.
        Ok(Merge { item: Item::default(), lists, took: Layers::MAX, above: Vec::new() })
    }

    /// Goes on to the next path of which the layers together have something to say; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool> {
        loop {
            for (height, slot) in self.lists.iter_mut().enumerate() {
                if self.took & 1 << height != 0
                    && let Some(list) = slot
                    && !list.advance()?
                {
                    *slot = None;
                }
            }
            let paths = self.lists.iter().flatten().map(|list| &list.item.path);
            let Some(first) = paths.min_by(|a, b| order(a, b)) else { return Ok(false) };
            self.above.truncate({
                let last = &self.item.path;
                self.above.iter().take_while(|(length, _)| within(first, &last[..*length])).count()
            });
            self.item.path.clone_from(first);
            let has = |list: &Option<Reader<R>>| list.as_ref().is_some_and(|list| list.item.path == self.item.path);
            self.took = set(self.lists.iter().map(has));
            if self.compose() {
                return Ok(true);
            }
        }
    }

    /// The layers of those that have the path whose list bears this mark on it.
    fn marked(&self, mark: Marks) -> Layers {
        self.took & set(self.lists.iter().map(|list| list.as_ref().is_some_and(|list| list.item.has(mark))))
    }

    /// Of some layers the topmost one's word on the path.
    fn topmost(&self, layers: Layers) -> Option<&Item> {
        let list = self.lists.get(layers.checked_ilog2()? as usize)?;
        list.as_ref().map(|list| &list.item)
    }

    /// What all layers together say of the path; false if it is nothing.
    fn compose(&mut self) -> bool {
        let covered = self.above.last().map_or(0, |(_, covered)| *covered);
        let (folders, hidden, opaque) = (self.marked(FOLDER), self.marked(HIDDEN), self.marked(OPAQUE));
        self.above.push((self.item.path.len(), covered | hidden | opaque));
        // What lies lower than this one does not show at this path.
        let lowest = (covered | hidden).checked_ilog2().unwrap_or(0);
        let shown = folders & Layers::MAX << lowest;
        // Where a folder above is covered already, one mark there says it for all below it.
        let mut marks = if hidden != 0 && covered == 0 { HIDDEN } else { 0 };
        self.item.stated = None;
        if let Some(top) = self.topmost(shown) {
            marks |= FOLDER | top.marks & IMPLIED;
            marks |= if opaque == 0 { 0 } else { OPAQUE };
            marks |= if shown & !self.marked(PHANTOM) == 0 { PHANTOM } else { 0 };
            let stated = set(self.lists.iter().map(|l| l.as_ref().is_some_and(|l| l.item.stated.is_some())));
            self.item.stated = self.topmost(shown & stated).and_then(|item| item.stated.clone());
        }
        self.item.marks = marks;
        marks != 0
    }
}

fn set(bits: impl Iterator<Item = bool>) -> Layers {
    bits.enumerate().fold(0, |set, (height, bit)| set | Layers::from(bit) << height)
}

/// One merge over the lists of any number of layers, at most so many of them open at once.
pub(super) fn over(
    count: usize,
    open: impl Fn(usize) -> Result<File>,
    scratch: BorrowedFd<'_>,
    at_once: usize,
) -> Result<Merge<File>> {
    if count <= at_once {
        return Merge::new((0..count).map(open).collect::<Result<Vec<_>>>()?);
    }
    let mut lists = Vec::new();
    for start in (0..count).step_by(at_once) {
        let group = (start..count.min(start + at_once)).map(&open).collect::<Result<Vec<_>>>()?;
        lists.push(written(Merge::new(group)?, scratch)?);
    }
    while lists.len() > at_once {
        let mut fewer = Vec::new();
        let mut rest = lists.into_iter().peekable();
        while rest.peek().is_some() {
            fewer.push(written(Merge::new(rest.by_ref().take(at_once))?, scratch)?);
        }
        lists = fewer;
    }
    Merge::new(lists)
}

/// The merged list in a file without a name.
fn written(mut merge: Merge<File>, scratch: BorrowedFd<'_>) -> Result<File> {
    let failed = |e: std::io::Error| Error::io("merging the lists of layers", e);
    let file = beneath::nameless(scratch).map_err(|e| failed(e.into()))?;
    let mut list = Writer::new(BufWriter::new(file)).map_err(failed)?;
    while merge.advance()? {
        let Item { path, marks, stated } = &merge.item;
        list.add(path, *marks, stated.as_ref()).map_err(failed)?;
    }
    let mut file = list.finish().and_then(|out| Ok(out.into_inner()?)).map_err(failed)?;
    file.rewind().map_err(failed)?;
    Ok(file)
}
