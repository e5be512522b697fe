//! YAML text to a tree in which every value knows its place. The only module that knows the YAML library.

use super::error::{At, Error, Place, Result, Told};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::granit_parser::{Event, Parser};
use serde_yaml::{Budget, DuplicateKeyPolicy, Location, MergeKeyPolicy, Options, Spanned};
use std::fmt;
use std::sync::Arc;

/// Bytes of the largest file that is read.
pub(super) const MAX_BYTES: usize = 1 << 20;
const MAX_NODES: usize = 10_000;
/// The schema needs four levels. The reader recurses, and a level takes tens of KiB of stack in a debug build.
const MAX_DEPTH: usize = 16;
const MAX_ALIASES: usize = 64;

/// A value and where it stands.
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) at: At,
}

pub(super) enum Value {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Told<String>, Node)>),
}

/// The one document of the text. `file` is what messages call it.
pub(super) fn read(text: &str, file: &str) -> Result<Node> {
    let source = Source { file: file.into(), text };
    if text.len() > MAX_BYTES {
        return Err(Error::new(At::File(file.into()), "the file is larger than 1 MiB"));
    }
    source.refuse_tags()?;
    let tree: Spanned<Raw> = serde_yaml::from_str_with_options(text, options()).map_err(|e| source.wrong(&e))?;
    Ok(source.node(tree))
}

/// A value of the outermost mapping as it stands in the text.
pub(super) enum Written {
    /// Its bytes without quotes.
    Scalar(std::ops::Range<usize>),
    /// Why it cannot be replaced where it stands.
    Odd(&'static str),
}

/// Where the value of a key stands. `text` is one that [`read`] takes.
pub(super) fn written(text: &str, key: &str) -> Option<Written> {
    let (mut depth, mut at_key, mut found) = (0_usize, true, false);
    for (event, span) in Parser::new_from_str(text).map_while(|event| event.ok()).take(8 * MAX_NODES) {
        let ends_node = match event {
            Event::MappingStart(..) | Event::SequenceStart(..) if depth == 1 && found && !at_key => {
                return Some(Written::Odd("is no plain value"));
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                depth += 1;
                false
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                true
            }
            Event::Alias(_) if depth == 1 && found && !at_key => {
                return Some(Written::Odd("is an alias: what it stands for is written elsewhere"));
            }
            Event::Scalar(_, _, anchor, _) if depth == 1 && found && !at_key && anchor > 0 => {
                return Some(Written::Odd("has an anchor, so it may be meant elsewhere too"));
            }
            Event::Scalar(value, ..) if depth == 1 && found && !at_key => {
                return Some(literally(text, span.start.index(), span.end.index(), &value));
            }
            Event::Scalar(value, ..) => {
                found = depth == 1 && at_key && value == key;
                true
            }
            Event::Alias(_) => true,
            _ => false,
        };
        if ends_node && depth == 1 {
            at_key = !at_key;
        }
    }
    None
}

/// The scalar between two characters, if it stands there as it reads, on one line.
fn literally(text: &str, start: usize, end: usize, value: &str) -> Written {
    let byte = |index: usize| text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
    let (start, end) = (byte(start), byte(end));
    let there = text.get(start..end).unwrap_or_default().trim_end();
    for quote in ["", "'", "\""] {
        let inner = there.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if inner == Some(value) && !value.is_empty() {
            return Written::Scalar(start + quote.len()..start + quote.len() + value.len());
        }
    }
    Written::Odd("is written with escapes or over several lines")
}

/// Whether two texts hold the same, but for one value; comments and style are not looked at.
pub(super) fn differ_in_one(one: &str, other: &str) -> bool {
    let events = |text: &str| -> Vec<String> {
        let all =
            Parser::new_from_str(text).map(|event| event.map_or_else(|e| e.to_string(), |(e, _)| format!("{e:?}")));
        all.take(8 * MAX_NODES).collect()
    };
    let (one, other) = (events(one), events(other));
    one.len() == other.len() && one.iter().zip(&other).filter(|(a, b)| a != b).count() == 1
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_nodes = MAX_NODES;
    budget.max_events = 4 * MAX_NODES;
    budget.max_depth = MAX_DEPTH;
    budget.flow_nesting_limit = MAX_DEPTH;
    budget.max_aliases = MAX_ALIASES;
    budget.max_anchors = MAX_ALIASES;
    budget.max_documents = 2;
    budget.max_reader_input_bytes = Some(MAX_BYTES);
    budget.max_total_scalar_bytes = 4 * MAX_BYTES;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = MAX_NODES;
    options.alias_limits.max_replay_stack_depth = 8;
    // Both places of a doubled key are named by whoever reads the map.
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.merge_keys = MergeKeyPolicy::Error;
    options.strict_booleans = true;
    options.with_snippet = false;
    options
}

struct Source<'a> {
    file: Arc<str>,
    text: &'a str,
}

impl Source<'_> {
    fn at(&self, line: usize, column: usize, width: usize) -> At {
        let text = line.checked_sub(1).and_then(|n| self.text.lines().nth(n));
        match text {
            Some(text) => {
                let room = (text.trim_end().chars().count() + 1).saturating_sub(column);
                let (file, width) = (self.file.clone(), width.min(room).max(1));
                At::Place(Place { file, line, column: column.max(1), width, text: text.into() })
            }
            None => At::File(self.file.to_string()),
        }
    }

    fn located(&self, location: &Location) -> At {
        self.at(location.line() as usize, location.column() as usize, location.span().len() as usize)
    }

    /// A tag picks a type behind the reader's back; nothing here needs one.
    fn refuse_tags(&self) -> Result<()> {
        // Text that does not parse ends this pass; the reader proper says what is wrong with it.
        for (event, span) in Parser::new_from_str(self.text).map_while(|e| e.ok()).take(8 * MAX_NODES) {
            let (Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_))) = event
            else {
                continue;
            };
            let span = span.tag_span().unwrap_or(span);
            let at = self.at(span.start.line(), span.start.col() + 1, span.len());
            return Err(
                Error::new(at, "tags are not allowed here").remedy("remove the tag; quote the value if it is a text")
            );
        }
        Ok(())
    }

    fn node(&self, raw: Spanned<Raw>) -> Node {
        let at = self.located(&raw.referenced);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(b) => Value::Bool(b),
            Raw::Number(shown) => Value::Number(self.written(&raw.defined).unwrap_or(shown)),
            Raw::Text(text) => Value::Text(text),
            Raw::List(items) => Value::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (Told::new(key.value, self.located(&key.referenced)), self.node(value)))
                    .collect(),
            ),
        };
        Node { value, at }
    }

    /// The scalar as it stands in the text: `1.10` is not `1.1`.
    fn written(&self, location: &Location) -> Option<String> {
        let line = self.text.lines().nth((location.line() as usize).checked_sub(1)?)?;
        let word: String =
            line.chars().skip(location.column() as usize - 1).take(location.span().len() as usize).collect();
        Some(word.trim().to_string()).filter(|w| !w.is_empty())
    }

    fn wrong(&self, error: &serde_yaml::Error) -> Error {
        use serde_yaml::Error as E;
        let error = error.without_snippet();
        if let E::AliasError { error, .. } = error {
            return self.wrong(error);
        }
        let at = match error.location() {
            Some(location) if location.line() > 0 => self.located(&location),
            _ => At::File(self.file.to_string()),
        };
        let what = match error {
            E::MultipleDocuments { .. } => "a second document starts here; the file holds one".to_string(),
            E::MergeKeyNotAllowed { .. } => "merge keys (`<<`) are not allowed here".to_string(),
            E::UnknownAnchor { .. } => "this alias has no anchor before it".to_string(),
            E::Budget { .. }
            | E::AliasReplayCounterOverflow { .. }
            | E::AliasReplayLimitExceeded { .. }
            | E::AliasExpansionLimitExceeded { .. }
            | E::AliasReplayStackDepthExceeded { .. } => format!(
                "too much YAML: more than {MAX_NODES} values, {MAX_DEPTH} levels or {MAX_ALIASES} aliases, aliases counted as what they stand for"
            ),
            E::Eof { .. } => "the file ends too early".to_string(),
            E::Message { msg, .. } | E::ExternalMessage { msg, .. } => format!("this is not valid YAML: {msg}"),
            other => format!("this is not valid YAML: {}", short(&other.to_string())),
        };
        match self.mend(&at) {
            Some(remedy) => Error::new(at, what).remedy(remedy),
            None => Error::new(at, what),
        }
    }

    /// What most often is behind text that is no YAML, by how its line looks.
    fn mend(&self, at: &At) -> Option<&'static str> {
        let At::Place(place) = at else { return None };
        let line = self.text.lines().nth(place.line.checked_sub(1)?)?;
        let indent = &line[..line.len() - line.trim_start().len()];
        if indent.contains('\t') {
            return Some("indent with spaces: YAML takes no tabs there");
        }
        let before = self.text.lines().take(place.line - 1);
        let open = |one: char, other: char| {
            let count = |c| before.clone().flat_map(str::chars).filter(|found| *found == c).count();
            count(one) > count(other)
        };
        if open('[', ']') || open('{', '}') {
            return Some("a bracket of a line above is not closed");
        }
        let value = line.split_once(": ").map(|(_, value)| value.trim_start())?;
        let bare = !value.starts_with(['"', '\'', '[', '{', '#']);
        (bare && value.contains(": ")).then_some("put a text with `: ` in it in quotes")
    }
}

/// The library's message without the place, which is shown apart.
fn short(message: &str) -> &str {
    message.lines().next().unwrap_or("").split(" at line ").next().unwrap_or("")
}

enum Raw {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> std::result::Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, v: bool) -> std::result::Result<Raw, E> {
        Ok(Raw::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> std::result::Result<Raw, E> {
        Ok(Raw::Number(v.to_string()))
    }

    fn visit_u64<E>(self, v: u64) -> std::result::Result<Raw, E> {
        Ok(Raw::Number(v.to_string()))
    }

    fn visit_i128<E>(self, v: i128) -> std::result::Result<Raw, E> {
        Ok(Raw::Number(v.to_string()))
    }

    fn visit_u128<E>(self, v: u128) -> std::result::Result<Raw, E> {
        Ok(Raw::Number(v.to_string()))
    }

    fn visit_f64<E>(self, v: f64) -> std::result::Result<Raw, E> {
        Ok(Raw::Number(v.to_string()))
    }

    fn visit_str<E>(self, v: &str) -> std::result::Result<Raw, E> {
        Ok(Raw::Text(v.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fails(text: &str) -> String {
        match read(text, "sandbox.yaml") {
            Err(error) => error.to_string(),
            Ok(_) => panic!("accepted:\n{text}"),
        }
    }

    #[test]
    fn numbers_keep_their_spelling_and_their_place() {
        let Value::Map(entries) = read("a: 1\nb: [1.10, 0x10, yes, 'x']\n", "f").ok().unwrap().value else { panic!() };
        let Value::List(items) = &entries[1].1.value else { panic!() };
        assert!(matches!(&items[0].value, Value::Number(n) if n == "1.10"));
        assert!(matches!(&items[1].value, Value::Number(n) if n == "0x10"));
        assert!(matches!(&items[2].value, Value::Text(n) if n == "yes"));
        let At::Place(place) = &items[3].at else { panic!() };
        assert_eq!((place.line, place.column, place.width), (2, 22, 3));
        let At::Place(key) = &entries[1].0.at else { panic!() };
        assert_eq!((key.line, key.column, key.width), (2, 1, 1));
    }

    #[test]
    fn tags_are_refused_with_their_place() {
        assert_eq!(
            fails("name: x\nttl: !!str 15m\n"),
            "sandbox.yaml:2:6: tags are not allowed here\n   |\n 2 | ttl: !!str 15m\n   |      ^^^^^\n  help: remove the tag; quote the value if it is a text"
        );
        for text in ["!thing {a: 1}", "a: !include /etc/passwd", "a: !!binary aGVsbG8=", "!k a: 1"] {
            assert!(fails(text).contains("tags are not allowed"), "{text}");
        }
    }

    #[test]
    fn a_second_document_is_refused() {
        let error = fails("name: x\n---\nname: y\n");
        assert!(error.contains("a second document starts here"), "{error}");
    }

    #[test]
    fn bombs_are_refused_quickly() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let before = vec![format!("*a{}", n - 1); 10].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{before}]\n"));
        }
        let started = std::time::Instant::now();
        let deep = "[".repeat(200) + &"]".repeat(200);
        let deep_blocks: String = (0..200).map(|n| format!("{}k:\n", " ".repeat(n))).collect();
        let wide = format!("[{}]", "1,".repeat(20_000));
        let aliases = format!("a: &a 1\nb: [{}]", "*a, ".repeat(100));
        for text in [&bomb, &deep, &deep_blocks, &wide, &aliases] {
            let error = fails(text);
            assert!(error.contains("too much YAML") || error.contains("not valid YAML"), "{error}");
        }
        assert!(fails(&bomb).contains("too much YAML"));
        assert!(fails(&wide).contains("too much YAML"));
        assert!(fails(&aliases).contains("too much YAML"));
        assert!(started.elapsed().as_secs() < 5);
        assert!(fails(&" ".repeat(MAX_BYTES + 1)).contains("larger than 1 MiB"));
        assert!(read(&"#".repeat(MAX_BYTES), "f").is_ok());
    }

    #[test]
    fn broken_text_has_a_place() {
        for text in ["a: [1, 2", "a: b: c", "a:\n\tb: 1", "a: *nobody", "a: \"x", "<<: {a: 1}"] {
            let error = fails(text);
            assert!(
                error.starts_with("sandbox.yaml:1:")
                    || error.starts_with("sandbox.yaml:2:")
                    || error.contains("ends too early"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn aliases_cannot_deepen_the_tree() {
        let shell = |inner: &str| format!("{}{inner}{}", "[".repeat(14), "]".repeat(14));
        let mut tower = format!("a0: &a0 {}\n", shell(""));
        for n in 1..8 {
            tower.push_str(&format!("a{n}: &a{n} {}\n", shell(&format!("*a{}", n - 1))));
        }
        assert!(fails(&tower).contains("too much YAML"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}:,&*!|>'\"#%@ \n\tab01.-]{0,80}") {
            let _ = read(&text, "f").map_err(|e| e.to_string());
        }
    }
}
