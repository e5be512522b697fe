//! From ranges to a graph of tests: a balanced tree over the call's number, whose leaves look at arguments.
//!
//! Equal nodes are made once and shared, so that a program stays small.

use super::Machine;
use super::decide::{Condition, Decision, KILL_PROCESS, Range, Return, Rule};
use oci_spec::runtime::LinuxSeccompOperator as Operator;
use std::collections::HashMap;

/// Offsets in the kernel's `struct seccomp_data`, whose 64-bit arguments are two words, the low one first.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// A place in [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Return(Return),
    Test(Test),
}

/// Compares one 32-bit word of the call's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Test {
    pub(super) word: u32,
    pub(super) compare: Compare,
    pub(super) yes: Id,
    pub(super) no: Id,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Compare {
    Equal(u32),
    Greater(u32),
    AtLeast(u32),
    /// The bits of `mask` are those of `value`, which has no others.
    Masked {
        mask: u32,
        value: u32,
    },
}

#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    known: HashMap<Node, Id>,
}

/// The architecture is tested first: in another one the numbers mean other calls.
pub(super) fn build(ranges: &[Range], machine: Machine) -> (Graph, Id) {
    let mut graph = Graph::default();
    let leaves: Vec<(u32, Id)> = ranges.iter().map(|range| (range.first, graph.decision(&range.decision))).collect();
    let native = graph.tree(&leaves);
    let foreign = graph.add(Node::Return(KILL_PROCESS));
    let root = graph.test(ARCH, Compare::Equal(machine.audit()), native, foreign);
    (graph, root)
}

impl Graph {
    pub(super) fn node(&self, id: Id) -> Node {
        self.nodes[id.0]
    }

    fn add(&mut self, node: Node) -> Id {
        *self.known.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            Id(self.nodes.len() - 1)
        })
    }

    fn test(&mut self, word: u32, compare: Compare, yes: Id, no: Id) -> Id {
        if yes == no {
            return yes;
        }
        self.add(Node::Test(Test { word, compare, yes, no }))
    }

    /// Halves the ranges until one is left. A single number between equal neighbours takes one test.
    fn tree(&mut self, leaves: &[(u32, Id)]) -> Id {
        match leaves {
            [] => unreachable!("the ranges cover every number, so there is one at least"),
            [(_, only)] => *only,
            [(_, before), (first, only), (next, after)] if before == after && first + 1 == *next => {
                self.test(NUMBER, Compare::Equal(*first), *only, *before)
            }
            _ => {
                let (low, high) = leaves.split_at(leaves.len() / 2);
                let (yes, no) = (self.tree(high), self.tree(low));
                self.test(NUMBER, Compare::AtLeast(high[0].0), yes, no)
            }
        }
    }

    fn decision(&mut self, decision: &Decision) -> Id {
        match decision {
            Decision::Always(then) => self.add(Node::Return(*then)),
            Decision::FirstOf { rules, otherwise } => {
                let otherwise = self.add(Node::Return(*otherwise));
                rules.iter().rev().fold(otherwise, |next, rule| self.rule(rule, next))
            }
        }
    }

    /// All conditions hold, or the next rule has its turn.
    fn rule(&mut self, rule: &Rule, next: Id) -> Id {
        let then = self.add(Node::Return(rule.then));
        rule.conditions.iter().rev().fold(then, |yes, condition| self.condition(condition, yes, next))
    }

    /// The kernel's arguments are unsigned 64-bit numbers; the filter's machine has 32 bits.
    fn condition(&mut self, condition: &Condition, yes: Id, no: Id) -> Id {
        let words = Words::of(condition.argument);
        let value = condition.value;
        match condition.operator {
            Operator::ScmpCmpEq => self.masked(words, u64::MAX, value, yes, no),
            Operator::ScmpCmpNe => self.masked(words, u64::MAX, value, no, yes),
            Operator::ScmpCmpMaskedEq => self.masked(words, value, condition.value_two, yes, no),
            Operator::ScmpCmpGt => self.ordered(words, value, Compare::Greater(low(value)), yes, no),
            Operator::ScmpCmpLe => self.ordered(words, value, Compare::Greater(low(value)), no, yes),
            Operator::ScmpCmpGe => self.ordered(words, value, Compare::AtLeast(low(value)), yes, no),
            Operator::ScmpCmpLt => self.ordered(words, value, Compare::AtLeast(low(value)), no, yes),
        }
    }

    fn ordered(&mut self, words: Words, value: u64, of_low: Compare, yes: Id, no: Id) -> Id {
        let by_low = self.test(words.low, of_low, yes, no);
        let not_greater = self.test(words.high, Compare::Equal(high(value)), by_low, no);
        self.test(words.high, Compare::Greater(high(value)), yes, not_greater)
    }

    fn masked(&mut self, words: Words, mask: u64, value: u64, yes: Id, no: Id) -> Id {
        let by_low = self.masked_word(words.low, low(mask), low(value), yes, no);
        self.masked_word(words.high, high(mask), high(value), by_low, no)
    }

    /// Bits of the value outside the mask are dropped, as in libseccomp.
    fn masked_word(&mut self, word: u32, mask: u32, value: u32, yes: Id, no: Id) -> Id {
        let value = value & mask;
        match mask {
            0 => return yes,
            u32::MAX => return self.test(word, Compare::Equal(value), yes, no),
            _ => {}
        }
        if let Some(merged) = self.merged(word, mask, value, yes, no) {
            return merged;
        }
        // «This one bit is set» is «it is not clear»: the other form may merge, and takes one instruction.
        if mask.is_power_of_two() {
            if let Some(merged) = self.merged(word, mask, value ^ mask, no, yes) {
                return merged;
            }
            if value == mask {
                return self.test(word, Compare::Masked { mask, value: 0 }, no, yes);
            }
        }
        self.test(word, Compare::Masked { mask, value }, yes, no)
    }

    /// A masked test followed, where it holds, by another one on the same word with the same way out is one
    /// test on the bits of both. This turns a long list of «differs in bit n» into a single comparison.
    fn merged(&mut self, word: u32, mask: u32, value: u32, yes: Id, no: Id) -> Option<Id> {
        let Node::Test(next) = self.node(yes) else { return None };
        let Compare::Masked { mask: more, value: wanted } = next.compare else { return None };
        let (wanted, yes) = match next {
            _ if next.word != word => return None,
            _ if next.no == no => (wanted, next.yes),
            _ if next.yes == no && more.is_power_of_two() => (wanted ^ more, next.no),
            _ => return None,
        };
        if (value ^ wanted) & mask & more != 0 {
            return Some(no);
        }
        Some(self.masked_word(word, mask | more, value | wanted, yes, no))
    }
}

/// Where the halves of an argument are.
#[derive(Clone, Copy)]
struct Words {
    low: u32,
    high: u32,
}

impl Words {
    fn of(argument: u32) -> Words {
        let low = ARGUMENTS + 8 * argument;
        Words { low, high: low + 4 }
    }
}

fn low(value: u64) -> u32 {
    (value & u64::from(u32::MAX)) as u32
}

fn high(value: u64) -> u32 {
    (value >> 32) as u32
}
