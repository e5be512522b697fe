//! One event of a record on one line.

use crate::words::{self, count, size};
use aido_evidence::Record;
use serde_json::Value;

/// Items of a list before it is only counted.
const NAMED: usize = 6;

/// `2025-01-02T03:04:05.123Z  started  pid 7`. Nothing in it can steer a terminal.
pub(super) fn line(event: &Record) -> String {
    let told = in_words(&event.kind, &event.data).unwrap_or_else(|| members(&event.data));
    let line = format!("{}  {:<16} {told}", event.time, event.kind);
    words::inert(line.trim_end())
}

/// The events whose members would not read as a sentence. `None`: shown as they are stored.
fn in_words(kind: &str, data: &Value) -> Option<String> {
    let text = |name: &str| data[name].as_str();
    let number = |name: &str| data[name].as_u64();
    Some(match kind {
        "executed" => {
            let args = data["args"].as_array()?;
            let args: Vec<String> = args.iter().map(|arg| shown(arg)).collect();
            let cut = if data["cut"] == true { " …" } else { "" };
            let parent = number("parent").map(|parent| format!(" (of {parent})")).unwrap_or_default();
            format!("process {}{parent}: {} = {}{cut}", number("pid")?, text("program")?, words::command_line(&args))
        }
        "refused" => {
            let target = text("target").or(text("detail")).map(|target| format!(" {target}")).unwrap_or_default();
            let place = text("place").map(|place| format!(", by {place}")).unwrap_or_default();
            let cause = text("cause").unwrap_or("profile");
            format!(
                "{}{target}: {} ({cause}{place}), to {}, process {}",
                text("call")?,
                text("answer")?,
                text("process")?,
                number("pid")?
            )
        }
        "image_resolved" => format!("{} is {}", text("reference")?, text("digest")?),
        "mounts" => {
            let mount = |mount: &Value| {
                let hidden = mount["hidden"].as_u64().map(|many| format!(", {many} hidden")).unwrap_or_default();
                let writable = if mount["writable"] == true { "writable" } else { "read-only" };
                format!("{} {writable} ({}{hidden})", shown(&mount["target"]), shown(&mount["kind"]))
            };
            listed(data["mounts"].as_array()?.iter().map(mount), number("more").unwrap_or_default())
        }
        "limit_hit" => {
            let value = number("value")?;
            let value = if text("limit")? == "pids" { value.to_string() } else { size(value) };
            let stream = text("stream").map(|stream| format!(" on {stream}")).unwrap_or_default();
            format!("{} of {value}{stream}", text("limit")?)
        }
        "changed" => {
            let named = |name: &str| {
                let paths = data[name]["paths"].as_array()?;
                let more = data[name]["count"].as_u64()?.saturating_sub(paths.len() as u64);
                (!paths.is_empty()).then(|| format!("{name} {}", listed(paths.iter().map(shown), more)))
            };
            let same = number("same").filter(|same| *same > 0).map(|same| format!("{same} as the project has them"));
            [named("added"), named("changed"), same].into_iter().flatten().collect::<Vec<_>>().join("; ")
        }
        "collected" => {
            let (kept, left) = (data["artifacts"].as_array()?, data["omitted"].as_array()?);
            let kept_words = listed(kept.iter().map(|artifact| shown(&artifact["path"])), 0);
            let left_words = listed(left.iter().map(|left| shown(&left["path"])), 0);
            let left_out = if left.is_empty() { String::new() } else { format!("; left out {left_words}") };
            format!("{}{}{kept_words}{left_out}", count(kept.len(), "file"), if kept.is_empty() { "" } else { ": " })
        }
        "checkpoint" => format!("signed by key {}", short(text("keyid")?)),
        "key" => {
            let kept = if data["kept"] == false { ", of this run alone" } else { "" };
            format!("{} ({}){kept}", short(text("keyid")?), text("algorithm")?)
        }
        "output" => {
            let stream = |name: &str| {
                let (kept, digest) = (data[name]["kept"].as_u64()?, data[name]["sha256"].as_str()?);
                Some(format!("{name} {} = {}", size(kept), short(digest)))
            };
            [stream("stdout"), stream("stderr")].into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
        "redacted" => {
            let times = number("count").filter(|count| *count > 1).map(|count| format!(", {count} times"));
            format!("{} in {}{}", text("what")?, text("stream").unwrap_or("the record"), times.unwrap_or_default())
        }
        _ => return None,
    })
}

/// The first of them, and how many more there are beside `more`.
fn listed(items: impl ExactSizeIterator<Item = String>, more: u64) -> String {
    let all = items.len() as u64 + more;
    let mut named: Vec<String> = items.take(NAMED).collect();
    let rest = all - named.len() as u64;
    if rest > 0 {
        named.push(format!("and {rest} more"));
    }
    named.join(", ")
}

fn short(digest: &str) -> String {
    digest.chars().take(16).collect()
}

fn members(data: &Value) -> String {
    match data {
        Value::Object(members) => {
            let members = members.iter().filter(|(name, _)| *name != "type");
            members.map(|(name, value)| format!("{name} {}", shown(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Null => String::new(),
        other => shown(other),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_sentences_and_what_is_not_known_is_shown_as_it_is() {
        for (kind, data, told) in [
            (
                "executed",
                json!({"pid": 7, "parent": 6, "program": "/usr/bin/cc", "args": ["cc", "a b.c"], "cut": true}),
                "process 7 (of 6): /usr/bin/cc = cc 'a b.c' …",
            ),
            (
                "refused",
                json!({"call": "openat", "number": 257, "answer": "EROFS", "cause": "read-only", "target": "/workspace/x", "place": "/workspace", "process": "sh", "pid": 9, "count": 1}),
                "openat /workspace/x: EROFS (read-only, by /workspace), to sh, process 9",
            ),
            ("limit_hit", json!({"limit": "memory", "value": 1 << 20}), "memory of 1 MiB"),
            (
                "changed",
                json!({"added": {"count": 9, "paths": ["a"]}, "changed": {"count": 0, "paths": []}, "same": 2}),
                "added a, and 8 more; 2 as the project has them",
            ),
            (
                "mounts",
                json!({"mounts": [{"target": "/tmp", "kind": "scratch", "writable": true}]}),
                "/tmp writable (scratch)",
            ),
            ("collected", json!({"artifacts": [], "omitted": [{"path": "p", "why": "a pipe"}]}), "0 files; left out p"),
            ("checkpoint", json!({"keyid": "0123456789abcdef0123", "sig": "x"}), "signed by key 0123456789abcdef"),
            ("output", json!({"stdout": {"kept": 5, "sha256": "ab"}, "stderr": {}}), "stdout 5 B = ab"),
            ("redacted", json!({"stream": "stdout", "what": "TOKEN", "count": 2}), "TOKEN in stdout, 2 times"),
            ("executed", json!({"odd": 1}), "odd 1"),
            ("something", json!({"a": "b", "n": [1]}), "a b, n [1]"),
        ] {
            let said = in_words(kind, &data).unwrap_or_else(|| members(&data));
            assert_eq!(said, told, "{kind}");
        }
    }
}
