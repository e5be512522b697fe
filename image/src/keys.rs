//! Documents that two readers would read differently: a key that is given twice, or in another case.
//!
//! Of two equal keys some readers take the first and others the last. Go's, which most tools of containers use, take
//! `Layers` for `layers`; we do not.

use crate::{Error, Kind, Result};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

/// The keys that a reader looks for. What is no [`Keys::Object`] has keys that mean themselves: labels.
pub(crate) enum Keys {
    Any,
    List(&'static Keys),
    Object(&'static [(&'static str, Keys)]),
}

const DESCRIPTOR: Keys = Keys::Object(&[
    ("mediaType", Keys::Any),
    ("artifactType", Keys::Any),
    ("digest", Keys::Any),
    ("size", Keys::Any),
    ("urls", Keys::Any),
    ("data", Keys::Any),
    ("annotations", Keys::Any),
    (
        "platform",
        Keys::Object(&[
            ("os", Keys::Any),
            ("os.version", Keys::Any),
            ("os.features", Keys::Any),
            ("architecture", Keys::Any),
            ("variant", Keys::Any),
        ]),
    ),
]);

/// A manifest or an index: which of them it is shows in its keys.
pub(crate) const MANIFEST: Keys = Keys::Object(&[
    ("schemaVersion", Keys::Any),
    ("mediaType", Keys::Any),
    ("artifactType", Keys::Any),
    ("subject", DESCRIPTOR),
    ("annotations", Keys::Any),
    ("config", DESCRIPTOR),
    ("layers", Keys::List(&DESCRIPTOR)),
    ("manifests", Keys::List(&DESCRIPTOR)),
]);

pub(crate) const CONFIG: Keys = Keys::Object(&[
    ("os", Keys::Any),
    ("os.version", Keys::Any),
    ("architecture", Keys::Any),
    ("variant", Keys::Any),
    (
        "config",
        Keys::Object(&[
            ("User", Keys::Any),
            ("Env", Keys::Any),
            ("Entrypoint", Keys::Any),
            ("Cmd", Keys::Any),
            ("WorkingDir", Keys::Any),
        ]),
    ),
    ("rootfs", Keys::Object(&[("type", Keys::Any), ("diff_ids", Keys::Any)])),
]);

/// What `docker save` lists its images in.
pub(crate) const SAVED: Keys =
    Keys::List(&Keys::Object(&[("Config", Keys::Any), ("RepoTags", Keys::Any), ("Layers", Keys::Any)]));

/// Refuses a document with a key that readers differ on.
pub(crate) fn check(what: &str, bytes: &[u8], keys: &Keys) -> Result<()> {
    let found = RefCell::new(None);
    let mut document = serde_json::Deserializer::from_slice(bytes);
    let read = Walk { keys, found: &found }.deserialize(&mut document).and_then(|()| document.end());
    read.map_err(|e| Error::new(Kind::NoImage, format!("{what} cannot be read: {e}")))?;
    found.into_inner().map_or(Ok(()), |why| Err(Error::new(Kind::Hostile, format!("{what} {why}"))))
}

/// As Go folds the letters of a key. Two letters beyond ASCII are forms of `s` and `k` to it.
fn folded(key: &str) -> String {
    let plain = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(plain).collect()
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    keys: &'a Keys,
    /// The first fault. The walk goes on: a text that is no JSON is told as that.
    found: &'a RefCell<Option<String>>,
}

impl Walk<'_> {
    fn fault(&self, why: String) {
        self.found.borrow_mut().get_or_insert(why);
    }

    /// What the value behind this key may have.
    fn below(&self, key: &str) -> &Keys {
        let Keys::Object(known) = self.keys else { return &Keys::Any };
        if let Some((_, keys)) = known.iter().find(|(name, _)| *name == key) {
            return keys;
        }
        let key = folded(key);
        if let Some((name, _)) = known.iter().find(|(name, _)| folded(name) == key) {
            self.fault(format!("has the key `{name}` in other letters, which only some readers take for it"));
        }
        &Keys::Any
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> std::result::Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(Walk { keys: self.below(&key), found: self.found })?;
            if seen.contains(&key) {
                let key: String = key.chars().take(100).collect();
                self.fault(format!("has the key `{}` twice in one place", key.escape_debug()));
            }
            seen.insert(key);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<(), A::Error> {
        let keys = if let Keys::List(keys) = self.keys { keys } else { &Keys::Any };
        while list.next_element_seed(Walk { keys, found: self.found })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> std::result::Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str, keys: &Keys) -> Option<Kind> {
        check("it", text.as_bytes(), keys).err().map(|error| error.kind)
    }

    #[test]
    fn a_key_that_readers_differ_on_is_refused_where_it_matters() {
        for (text, keys) in [
            (r#"{"layers": [], "layers": []}"#, &MANIFEST),
            (r#"{"layers": [], "Layers": []}"#, &MANIFEST),
            (r#"{"LAYERS": []}"#, &MANIFEST),
            (r#"{"layer\u017f": []}"#, &MANIFEST),
            (r#"{"l\u0061yers": [], "layers": 1}"#, &MANIFEST),
            (r#"{"config": {"Digest": "x"}}"#, &MANIFEST),
            (r#"{"layers": [{}, {"digest": "x", "DIGEST": "y"}]}"#, &MANIFEST),
            (r#"{"manifests": [{"platform": {"OS": "linux"}}]}"#, &MANIFEST),
            (r#"{"manifests": [{"size": 1, "size": 1}]}"#, &MANIFEST),
            (r#"{"manifests": [{"annotations": {"a": "1", "a": "2"}}]}"#, &MANIFEST),
            (r#"{"rootfs": {"Diff_IDs": []}}"#, &CONFIG),
            (r#"{"RootFS": {}}"#, &CONFIG),
            (r#"{"config": {"cmd": ["sh"]}}"#, &CONFIG),
            (r#"{"config": {"Wor\u212aingDir": "/"}}"#, &CONFIG),
            (r#"{"config": {"Labels": {"a": "1", "a": "2"}}}"#, &CONFIG),
            (r#"[{"layers": []}]"#, &SAVED),
        ] {
            assert_eq!(kind(text, keys), Some(Kind::Hostile), "{text}");
        }
    }

    #[test]
    fn other_keys_mean_themselves() {
        for (text, keys) in [
            (r#"{"annotations": {"Layers": "", "layers": "", "LAYERS": ""}, "x": {"Digest": 1}}"#, &MANIFEST),
            (r#"{"layers": [{"digest": "x"}, {"digest": "x"}], "n": [null, true, -1, 0.5, "Layers"]}"#, &MANIFEST),
            (
                r#"{"config": {"Labels": {"OS": "", "os": ""}, "Hostname": ""}, "container_config": {"cmd": 1}}"#,
                &CONFIG,
            ),
            (r#"[{"Config": "", "Layers": []}, {"Config": ""}]"#, &SAVED),
            ("7", &SAVED),
        ] {
            assert_eq!(kind(text, keys), None, "{text}");
        }
        for text in ["", "{", r#"{"Layers": 1"#, "{} {}", r#"{"a": 1, "a": }"#] {
            assert_eq!(kind(text, &MANIFEST), Some(Kind::NoImage), "{text}");
        }
        assert_eq!(kind(&"[".repeat(100_000), &MANIFEST), Some(Kind::NoImage));
    }
}
