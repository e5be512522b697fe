//! From the graph to instructions.
//!
//! Jumps of classic BPF only go forward, and conditional ones at most 255 instructions far. So the program is
//! written from its end: what a test leads to stands before the test is written, and distances are known.

use super::graph::{Compare, Graph, Id, Node, Test};
use std::collections::HashMap;

/// One `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) jt: u8,
    pub(crate) jf: u8,
    pub(crate) k: u32,
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// What the accumulator holds: a word of the call's data under a mask.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Held {
    word: u32,
    mask: u32,
}

pub(super) fn assemble(graph: &Graph, root: Id) -> Vec<Instruction> {
    let children_first = children_first(graph, root);
    let held = held_on_entry(graph, root, &children_first);
    let mut backwards = Backwards { instructions: Vec::new(), entry: HashMap::new() };
    for id in children_first {
        match graph.node(id) {
            Node::Return(value) => backwards.push(Instruction { code: RETURN, jt: 0, jf: 0, k: value }),
            Node::Test(test) => backwards.test(graph, &test, held[&id]),
        }
        backwards.enter(id);
    }
    backwards.instructions.reverse();
    backwards.instructions
}

/// Every reachable node once, after all it leads to. No recursion: a profile may have long lists of rules.
fn children_first(graph: &Graph, root: Id) -> Vec<Id> {
    let mut order = Vec::new();
    let mut visited: HashMap<Id, bool> = HashMap::new();
    let mut open = vec![root];
    while let Some(&id) = open.last() {
        match visited.get(&id) {
            None => {
                visited.insert(id, false);
                if let Node::Test(test) = graph.node(id) {
                    open.extend([test.no, test.yes].into_iter().filter(|child| !visited.contains_key(child)));
                }
            }
            Some(done) => {
                open.pop();
                if !done {
                    visited.insert(id, true);
                    order.push(id);
                }
            }
        }
    }
    order
}

/// What the accumulator is known to hold when a node is entered: the same on every way to it, or nothing.
fn held_on_entry(graph: &Graph, root: Id, children_first: &[Id]) -> HashMap<Id, Option<Held>> {
    let mut held: HashMap<Id, Option<Held>> = HashMap::from([(root, None)]);
    for id in children_first.iter().rev() {
        if let Node::Test(test) = graph.node(*id) {
            let left = wanted(&test);
            for child in [test.yes, test.no] {
                held.entry(child).and_modify(|known| *known = known.filter(|it| *it == left)).or_insert(Some(left));
            }
        }
    }
    held
}

/// What a test needs in the accumulator, and leaves there.
fn wanted(test: &Test) -> Held {
    let mask = match test.compare {
        Compare::Masked { mask, value } if value != 0 => mask,
        _ => u32::MAX,
    };
    Held { word: test.word, mask }
}

/// The program, last instruction first.
struct Backwards {
    instructions: Vec<Instruction>,
    /// Where each node can be entered: the nearest place so far.
    entry: HashMap<Id, usize>,
}

impl Backwards {
    fn push(&mut self, instruction: Instruction) {
        self.instructions.push(instruction);
    }

    fn enter(&mut self, id: Id) {
        self.entry.insert(id, self.instructions.len() - 1);
    }

    fn test(&mut self, graph: &Graph, test: &Test, held: Option<Held>) {
        let (code, k, set, clear) = match test.compare {
            Compare::Equal(k) => (JUMP_EQUAL, k, test.yes, test.no),
            Compare::Greater(k) => (JUMP_GREATER, k, test.yes, test.no),
            Compare::AtLeast(k) => (JUMP_AT_LEAST, k, test.yes, test.no),
            // No bit of the mask is set: one instruction that spares the accumulator.
            Compare::Masked { mask, value: 0 } => (JUMP_ANY_BIT, mask, test.no, test.yes),
            Compare::Masked { value, .. } => (JUMP_EQUAL, value, test.yes, test.no),
        };
        self.bring_near(graph, set);
        self.bring_near(graph, clear);
        let near = |id| u8::try_from(self.distance(id)).expect("both branches were brought near");
        let (jt, jf) = (near(set), near(clear));
        self.push(Instruction { code, jt, jf, k });

        let wanted = wanted(test);
        if held != Some(wanted) {
            let whole = Held { word: wanted.word, mask: u32::MAX };
            if wanted.mask != u32::MAX {
                self.push(Instruction { code: AND, jt: 0, jf: 0, k: wanted.mask });
            }
            if held != Some(whole) {
                self.push(Instruction { code: LOAD, jt: 0, jf: 0, k: wanted.word });
            }
        }
    }

    /// How far a jump written now would go.
    fn distance(&self, id: Id) -> usize {
        self.instructions.len() - 1 - self.entry[&id]
    }

    /// Puts a stepping stone where a jump would be too long: a copy of a return, or a jump without condition.
    /// Later jumps use it too. One place is kept free for the stone of the other branch.
    fn bring_near(&mut self, graph: &Graph, id: Id) {
        let distance = self.distance(id);
        if distance >= usize::from(u8::MAX) {
            let stone = match graph.node(id) {
                Node::Return(value) => Instruction { code: RETURN, jt: 0, jf: 0, k: value },
                Node::Test(_) => Instruction { code: JUMP, jt: 0, jf: 0, k: distance as u32 },
            };
            self.push(stone);
            self.enter(id);
        }
    }
}
