//! The keys of `sandbox.yaml` and `policy.yaml`: the reader knows these and no others, and the schema is made of them.

mod network;
mod policy;
mod sandbox;

pub(super) use network::{FROM, INJECT, RULE, WHOLE};
pub(super) use policy::POLICY;
pub(super) use sandbox::{PERMISSIONS, RESOURCES, SANDBOX};

use super::bound::Bound;

/// A key that a mapping may have.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// What it is for, and what holds without it; for a person at an editor.
    pub(super) about: &'static str,
    pub(super) form: Form,
}

/// What may stand at a key.
pub(super) enum Form {
    /// Any text.
    Text,
    /// A text of this form, a regular expression.
    Like(&'static str),
    /// One of these words, each with what it means.
    OneOf(&'static [(&'static str, &'static str)]),
    /// `true` or `false`.
    Truth,
    /// So much of something.
    Measure(&'static Bound),
    /// A list of texts, at most so many.
    Texts(usize),
    /// A list of these words.
    Words(&'static [&'static str]),
    /// A list of numbers of ports.
    Ports,
    /// A version: a number or a text.
    Version(u64),
    /// Names of variables and their values.
    Variables,
    /// A mapping.
    Section(Section),
    /// `false`, `true`, a list of hosts and rules, or a mapping of them.
    Network,
    /// `false`, `true`, or a list of hosts.
    Reach,
}

/// A mapping and the keys that it must have.
pub(super) struct Section {
    pub(super) keys: &'static [Key],
    pub(super) required: &'static [&'static str],
}

/// What the keys of a mapping are called.
pub(super) fn names(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name).collect()
}

const fn key(name: &'static str, about: &'static str, form: Form) -> Key {
    Key { name, about, form }
}

const fn section(keys: &'static [Key]) -> Form {
    Form::Section(Section { keys, required: &[] })
}
