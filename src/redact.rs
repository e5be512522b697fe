//! What keeps the secrets of a run out of its record: the one place through which output, events, plan and summary go.

use aido_evidence::Stream;
use aido_runtime::{Error, Plan};
use aido_secrets::{Found, Redactor, Secrets};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A shorter value is looked for, but is no reason to refuse a command line that happens to hold it.
const TELLING: usize = 8;

/// Keys whose values are aido's own words, numbers and digests: readers depend on them, and no secret gets there. What
/// lies below `root` is how the sandbox was made, which later runs in it follow.
const OWN: [&str; 34] = [
    "type",
    "reason",
    "force",
    "cause",
    "change",
    "answer",
    "call",
    "kind",
    "isolation",
    "record",
    "network",
    "syscalls",
    "origin",
    "accept_weaker",
    "backend",
    "stream",
    "run",
    "sandbox",
    "boot_id",
    "digest",
    "plan_digest",
    "image_digest",
    "chain_head",
    "started",
    "ended",
    "time",
    "leftover",
    "from",
    "root",
    "status",
    "sha256",
    "keyid",
    "algorithm",
    "limit",
];

/// Something that was replaced, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redacted {
    /// `secret NAME`, or the format of a credential, such as `github-token`.
    pub what: String,
    pub count: u64,
}

/// The secrets of a run: variables of the caller, and files that are marked as secret.
pub(crate) fn secrets(variables: &BTreeMap<String, String>, files: &BTreeMap<String, Vec<u8>>) -> Secrets {
    let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let files = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    Secrets::new(variables.chain(files))
}

/// What a person should know before the task starts.
pub(crate) fn warnings(secrets: &Secrets, exact: bool) -> Vec<String> {
    let short = secrets
        .short()
        .iter()
        .map(|name| format!("the value of `{name}` is shorter than four bytes: it is not kept out of the record"));
    let exact = exact.then(|| {
        "--exact-output: what the task writes is kept byte for byte, and secrets that it writes are on record"
            .to_string()
    });
    short.chain(exact).collect()
}

/// Refuses a command line that holds the value of a secret: every process of this machine can read it there.
pub(crate) fn refuse_arguments(plan: &Plan, variables: &BTreeMap<String, String>) -> Result<(), Error> {
    for (name, value) in variables.iter().filter(|(_, value)| value.len() >= TELLING) {
        if plan.task.args.iter().chain(&plan.task.programs).any(|word| word.contains(value.as_str())) {
            let what = format!("the value of `{name}` stands in the arguments, where others can read it");
            let remedy = format!(
                "let the task read its variable, in single quotes: sh -c 'tool \"${name}\"'; if it is no secret, give it as a value: -e {name}=…"
            );
            return Err(Error::new(what).remedy(remedy));
        }
    }
    Ok(())
}

/// Takes secrets out of every text of a value, keys too.
pub(crate) fn value(secrets: &Secrets, value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(clean) = secrets.text(text) {
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| self::value(secrets, item)),
        Value::Object(fields) => {
            let named: Vec<String> = fields.keys().filter(|key| !is_own(key)).cloned().collect();
            for key in named {
                if let Some(clean) = secrets.text(&key)
                    && let Some(told) = fields.remove(&key)
                {
                    fields.insert(clean, told);
                }
            }
            for (key, item) in fields.iter_mut() {
                let plain = item.is_string() || item.as_array().is_some_and(|items| items.iter().all(Value::is_string));
                if !(OWN.contains(&key.as_str()) && (plain || key == "root")) {
                    self::value(secrets, item);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A key as the formats have them: nothing that a user or a task made up.
fn is_own(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'))
}

/// The same value without secrets, as it is stored.
pub(crate) fn stored<T: Serialize + DeserializeOwned>(secrets: &Secrets, told: &T) -> Result<T, serde_json::Error> {
    let mut clean = serde_json::to_value(told)?;
    value(secrets, &mut clean);
    serde_json::from_value(clean)
}

/// The plan as it is stored; and the sandbox's name in it.
pub(crate) fn stored_plan(secrets: &Secrets, plan: &Plan) -> Result<(String, Vec<u8>), Error> {
    let stored = stored(secrets, plan).map_err(|e| {
        Error::new(format!("a secret is a word of the plan, which cannot be stored without it: {e}"))
            .remedy("give a variable that is no secret as a value: -e NAME=…")
    })?;
    let bytes = serde_json::to_vec_pretty(&stored).map_err(|e| Error::new(e.to_string()))?;
    Ok((stored.name, bytes))
}

/// A text without secrets.
pub(crate) fn text(secrets: &Secrets, text: &str) -> String {
    secrets.text(text).unwrap_or_else(|| text.to_string())
}

/// The task's two streams on their way into the record.
pub(crate) struct Streams {
    /// None: they are kept byte for byte.
    redactors: Option<[Redactor; 2]>,
    /// What is on record already.
    told: [Vec<Found>; 2],
    clean: Vec<u8>,
}

impl Streams {
    pub(crate) fn new(secrets: &Secrets, exact: bool) -> Streams {
        let redactors = (!exact).then(|| [(); 2].map(|()| Redactor::new(secrets, true)));
        Streams { redactors, told: [Vec::new(), Vec::new()], clean: Vec::new() }
    }

    /// What of these bytes, and of those before them, may be kept now.
    pub(crate) fn push<'a>(&'a mut self, stream: Stream, bytes: &'a [u8]) -> &'a [u8] {
        let Some(redactors) = &mut self.redactors else { return bytes };
        redactors[index(stream)].pass(bytes, &mut self.clean)
    }

    /// Somebody waits for what came last: the first bytes of what is held back.
    pub(crate) fn show(&mut self, stream: Stream) -> &[u8] {
        self.clean.clear();
        if let Some(redactors) = &mut self.redactors {
            redactors[index(stream)].show(&mut self.clean);
        }
        &self.clean
    }

    /// Whether something of a stream is held back.
    pub(crate) fn holds(&self, stream: Stream) -> bool {
        self.redactors.as_ref().is_some_and(|redactors| !redactors[index(stream)].is_idle())
    }

    /// The stream is over: what was held back.
    pub(crate) fn finish(&mut self, stream: Stream) -> &[u8] {
        self.clean.clear();
        if let Some(redactors) = &mut self.redactors {
            redactors[index(stream)].finish(&mut self.clean);
        }
        &self.clean
    }

    /// What was found in a stream for the first time since this was asked.
    pub(crate) fn news(&mut self, stream: Stream) -> Vec<Redacted> {
        let Some(redactors) = &self.redactors else { return Vec::new() };
        let (found, told) = (redactors[index(stream)].found(), &mut self.told[index(stream)]);
        if found.len() == told.len() {
            return Vec::new();
        }
        let new: Vec<(Found, u64)> = found
            .iter()
            .filter(|(found, _)| !told.contains(found))
            .map(|(found, count)| (found.clone(), *count))
            .collect();
        told.extend(new.iter().map(|(found, _)| found.clone()));
        new.iter().map(|(found, count)| Redacted { what: word(found), count: *count }).collect()
    }

    /// What was replaced in both streams.
    pub(crate) fn total(&self) -> Vec<Redacted> {
        let mut total: BTreeMap<String, u64> = BTreeMap::new();
        for (found, count) in self.redactors.iter().flatten().flat_map(|redactor| redactor.found()) {
            *total.entry(word(found)).or_default() += count;
        }
        total.into_iter().map(|(what, count)| Redacted { what, count }).collect()
    }
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

fn word(found: &Found) -> String {
    match found {
        Found::Secret(name) => format!("secret {name}"),
        Found::Format(what) => (*what).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aido_runtime::{Cause, Event, Execution, Refusal};

    fn secret(value: &str) -> Secrets {
        Secrets::new([("X", value)])
    }

    #[test]
    fn every_text_goes_and_words_of_the_format_stay() {
        let refusal = Refusal {
            call: "openat".into(),
            number: 257,
            detail: None,
            answer: "EROFS".into(),
            cause: Cause::ReadOnly,
            target: Some("/etc/openat-EROFS".into()),
            place: Some("read-only".into()),
            process: "profile".into(),
            pid: 1,
            count: 1,
        };
        let executed = Execution {
            pid: 1,
            parent: None,
            program: "/bin/refused".into(),
            args: vec!["--x=executed".into()],
            cut: false,
        };
        for event in [Event::Refused(refusal), Event::Executed(executed)] {
            for word in ["openat", "EROFS", "read-only", "profile", "refused", "executed", "program", "type"] {
                let clean = stored(&secret(word), &event).unwrap();
                let (before, after) = (serde_json::to_value(&event).unwrap(), serde_json::to_value(&clean).unwrap());
                for (key, told) in before.as_object().unwrap() {
                    let holds = told.to_string().contains(word) && !OWN.contains(&key.as_str());
                    assert_eq!(after[key] != *told, holds, "{word}: {after}");
                }
            }
        }
    }

    #[test]
    fn keys_that_somebody_made_up_are_texts_too() {
        let mut told = serde_json::json!({"env": {"MY_TOKEN_abcd": "x", "OTHER": "y"}, "abcd": [{"why": "abcd"}]});
        value(&secret("abcd"), &mut told);
        assert_eq!(
            told,
            serde_json::json!({"env": {"MY_TOKEN_[secret X]": "x", "OTHER": "y"}, "abcd": [{"why": "[secret X]"}]})
        );
    }

    #[test]
    fn streams_tell_each_kind_once() {
        let mut streams = Streams::new(&secret("s3cret-value"), false);
        assert_eq!(streams.push(Stream::Stdout, b"a s3cret-"), b"a ");
        assert!(streams.news(Stream::Stdout).is_empty());
        assert_eq!(streams.push(Stream::Stderr, b"s3cret-value."), b"[secret X].");
        assert_eq!(streams.push(Stream::Stdout, b"value s3cret-value ghp_"), b"[secret X] [secret X] ");
        let told = Redacted { what: "secret X".into(), count: 2 };
        assert_eq!(streams.news(Stream::Stdout), [told]);
        assert!(streams.news(Stream::Stdout).is_empty());
        assert_eq!(streams.finish(Stream::Stdout), b"ghp_");
        assert_eq!(streams.total(), [Redacted { what: "secret X".into(), count: 3 }]);
        let mut exact = Streams::new(&secret("s3cret-value"), true);
        assert_eq!(exact.push(Stream::Stdout, b"s3cret-value"), b"s3cret-value");
        assert!(exact.finish(Stream::Stdout).is_empty() && exact.total().is_empty());
    }
}
