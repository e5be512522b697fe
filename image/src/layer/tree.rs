//! The paths that are remembered while a layer is unpacked, in little memory and all of it counted.
//!
//! The image chooses how many there are and how long, so a path is a node with its parent and its
//! last component, in pieces of fixed size that are counted before they are had. Nothing grows by
//! doubling but the table, which is dropped before the larger one is made.

use super::cost::Cost;
use crate::Result;
use std::hash::{BuildHasher, RandomState};

/// Number of a path. A parent's number is smaller than its children's.
pub(super) type Node = u32;

/// The layer's root.
pub(super) const ROOT: Node = 0;

/// What is known of a path, as bits.
pub(super) type Marks = u8;

/// It is a folder.
pub(super) const FOLDER: Marks = 1;
/// Nothing of lower layers shows in the folder.
pub(super) const OPAQUE: Marks = 1 << 1;
pub(super) const HOLDS_WHITEOUTS: Marks = 1 << 2;
/// Something real lies in the folder; one that only holds whiteouts need not exist at all.
pub(super) const FILLED: Marks = 1 << 3;
/// Whatever lower layers have there is gone.
pub(super) const HIDDEN: Marks = 1 << 4;
/// A device or a FIFO that is not made: two bits for its kind.
pub(super) const LEFT_OUT: Marks = 3 << 5;

const NODES: usize = 1024;
const NAMES: usize = 16 << 10;
const NONE: Node = Node::MAX;

#[derive(Clone, Copy)]
struct Place {
    parent: Node,
    /// The next one in the same slot of the table.
    next: Node,
    name: u32,
    /// Where what the layer says of it was put down; 0 if nowhere.
    said: u32,
    length: u8,
    marks: Marks,
}

pub(super) struct Tree {
    places: Vec<Box<[Place]>>,
    count: Node,
    names: Vec<Box<[u8]>>,
    /// Bytes of the last piece of names that are taken.
    taken: usize,
    /// Heads of the chains; once the tree is sorted, all nodes in order.
    table: Vec<Node>,
    /// Keyed, so that nobody can choose names that all fall into one slot.
    hasher: RandomState,
}

impl Tree {
    /// The root alone.
    pub(super) fn new(cost: &mut Cost) -> Result<Tree> {
        let (places, names) = (Vec::new(), Vec::new());
        let mut tree = Tree { places, count: 0, names, taken: NAMES, table: Vec::new(), hasher: RandomState::new() };
        tree.insert(NONE, b"", cost)?;
        Ok(tree)
    }

    fn place(&self, node: Node) -> &Place {
        &self.places[node as usize / NODES][node as usize % NODES]
    }

    fn place_mut(&mut self, node: Node) -> &mut Place {
        &mut self.places[node as usize / NODES][node as usize % NODES]
    }

    pub(super) fn count(&self) -> Node {
        self.count
    }

    pub(super) fn marks(&self, node: Node) -> Marks {
        self.place(node).marks
    }

    pub(super) fn marks_mut(&mut self, node: Node) -> &mut Marks {
        &mut self.place_mut(node).marks
    }

    pub(super) fn said(&self, node: Node) -> u32 {
        self.place(node).said
    }

    pub(super) fn said_mut(&mut self, node: Node) -> &mut u32 {
        &mut self.place_mut(node).said
    }

    /// The root is its own parent.
    pub(super) fn parent(&self, node: Node) -> Node {
        if node == ROOT { ROOT } else { self.place(node).parent }
    }

    pub(super) fn name(&self, node: Node) -> &[u8] {
        let Place { name, length, .. } = *self.place(node);
        let start = name as usize % NAMES;
        &self.names[name as usize / NAMES][start..start + usize::from(length)]
    }

    /// Writes the path of a node into `path`.
    pub(super) fn path(&self, node: Node, path: &mut Vec<u8>) {
        path.clear();
        let mut at = node;
        while at != ROOT {
            // Back to front; turned round as a whole below.
            path.extend(self.name(at).iter().rev());
            at = self.parent(at);
            if at != ROOT {
                path.push(b'/');
            }
        }
        path.reverse();
    }

    fn slot(&self, parent: Node, name: &[u8]) -> usize {
        self.hasher.hash_one((parent, name)) as usize & (self.table.len() - 1)
    }

    fn child(&self, parent: Node, name: &[u8]) -> Option<Node> {
        let mut node = self.table[self.slot(parent, name)];
        while node != NONE {
            let place = self.place(node);
            if place.parent == parent && self.name(node) == name {
                return Some(node);
            }
            node = place.next;
        }
        None
    }

    /// The node of a path below `from`, if it has one.
    pub(super) fn find(&self, from: Node, path: &[u8]) -> Option<Node> {
        components(path).try_fold(from, |node, name| self.child(node, name))
    }

    /// The node of a path below the root, made with all above it.
    pub(super) fn reach(&mut self, path: &[u8], cost: &mut Cost) -> Result<Node> {
        let mut node = ROOT;
        for name in components(path) {
            node = match self.child(node, name) {
                Some(child) => child,
                None => self.insert(node, name, cost)?,
            };
        }
        Ok(node)
    }

    fn insert(&mut self, parent: Node, name: &[u8], cost: &mut Cost) -> Result<Node> {
        let node = self.count;
        if node as usize == self.table.len() {
            self.grow(cost)?;
        }
        if (node as usize).is_multiple_of(NODES) {
            cost.hold(NODES * size_of::<Place>())?;
            let empty = Place { parent: NONE, next: NONE, name: 0, said: 0, length: 0, marks: 0 };
            self.places.push(vec![empty; NODES].into());
        }
        if NAMES - self.taken < name.len() || self.names.is_empty() {
            cost.hold(NAMES)?;
            self.names.push(vec![0; NAMES].into());
            self.taken = 0;
        }
        let piece = self.names.len() - 1;
        self.names[piece][self.taken..self.taken + name.len()].copy_from_slice(name);
        let start = (piece * NAMES + self.taken) as u32;
        self.taken += name.len();
        let slot = self.slot(parent, name);
        let next = std::mem::replace(&mut self.table[slot], node);
        // Names have at most 255 bytes: longer ones were refused before.
        *self.place_mut(node) = Place { parent, next, name: start, said: 0, length: name.len() as u8, marks: 0 };
        self.count += 1;
        Ok(node)
    }

    fn grow(&mut self, cost: &mut Cost) -> Result<()> {
        let larger = (2 * self.table.len()).max(NODES);
        cost.hold((larger - self.table.len()) * size_of::<Node>())?;
        self.table = Vec::new();
        self.table = vec![NONE; larger];
        for node in 0..self.count {
            let slot = self.slot(self.place(node).parent, self.name(node));
            self.place_mut(node).next = std::mem::replace(&mut self.table[slot], node);
        }
        Ok(())
    }

    /// Puts all nodes in order, by parent and name; no path can be found or made any more.
    pub(super) fn sort(&mut self) {
        let mut order = std::mem::take(&mut self.table);
        order.clear();
        order.extend(0..self.count);
        order.sort_unstable_by(|a, b| {
            (self.place(*a).parent, self.name(*a)).cmp(&(self.place(*b).parent, self.name(*b)))
        });
        self.table = order;
    }

    /// The next node after `node` when a sorted tree is walked: ancestors come right before what
    /// lies below them, children in the order of their names.
    pub(super) fn after(&self, walk: &mut Vec<u32>) -> Option<Node> {
        if walk.is_empty() {
            walk.push(self.table.len() as u32 - 1);
            return Some(ROOT);
        }
        let last = *walk.last()?;
        let node = self.table[last as usize];
        let first = self.table.partition_point(|other| self.order_of(*other) < node) as u32;
        if self.belongs(first, node) {
            walk.push(first);
            return Some(self.table[first as usize]);
        }
        while let Some(at) = walk.pop() {
            let parent = self.place(self.table[at as usize]).parent;
            if parent != NONE && self.belongs(at + 1, parent) {
                walk.push(at + 1);
                return Some(self.table[at as usize + 1]);
            }
        }
        None
    }

    fn order_of(&self, node: Node) -> Node {
        self.place(node).parent
    }

    fn belongs(&self, at: u32, parent: Node) -> bool {
        self.table.get(at as usize).is_some_and(|node| self.place(*node).parent == parent)
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|name| !name.is_empty())
}
