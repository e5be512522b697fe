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
    match kind {
        "executed" => executed(data),
        "refused" => refused(data),
        "image_resolved" => Some(format!("{} is {}", text(data, "reference")?, text(data, "digest")?)),
        "mounts" => mounts(data),
        "limit_hit" => limit_hit(data),
        "changed" => changed(data),
        "collected" => collected(data),
        "checkpoint" => Some(format!("signed by key {}", short(text(data, "keyid")?))),
        "key" => {
            let kept = if data["kept"] == false { ", of this run alone" } else { "" };
            Some(format!("{} ({}){kept}", short(text(data, "keyid")?), text(data, "algorithm")?))
        }
        "output" => {
            let stream = |name: &str| {
                let (kept, digest) = (data[name]["kept"].as_u64()?, data[name]["sha256"].as_str()?);
                Some(format!("{name} {} = {}", size(kept), short(digest)))
            };
            Some([stream("stdout"), stream("stderr")].into_iter().flatten().collect::<Vec<_>>().join(", "))
        }
        "redacted" => {
            let times = number(data, "count").filter(|count| *count > 1).map(|count| format!(", {count} times"));
            let place = text(data, "stream").unwrap_or("the record");
            Some(format!("{} in {place}{}", text(data, "what")?, times.unwrap_or_default()))
        }
        _ => None,
    }
}

fn text<'d>(data: &'d Value, name: &str) -> Option<&'d str> {
    data[name].as_str()
}

fn number(data: &Value, name: &str) -> Option<u64> {
    data[name].as_u64()
}

fn executed(data: &Value) -> Option<String> {
    let args: Vec<String> = data["args"].as_array()?.iter().map(shown).collect();
    let cut = if data["cut"] == true { " …" } else { "" };
    let parent = number(data, "parent").map(|parent| format!(" (of {parent})")).unwrap_or_default();
    let (pid, program) = (number(data, "pid")?, text(data, "program")?);
    Some(format!("process {pid}{parent}: {program} = {}{cut}", words::command_line(&args)))
}

fn refused(data: &Value) -> Option<String> {
    let target = text(data, "target").or(text(data, "detail")).map(|target| format!(" {target}")).unwrap_or_default();
    let place = text(data, "place").map(|place| format!(", by {place}")).unwrap_or_default();
    let cause = text(data, "cause").unwrap_or("profile");
    let (call, answer) = (text(data, "call")?, text(data, "answer")?);
    let (process, pid) = (text(data, "process")?, number(data, "pid")?);
    Some(format!("{call}{target}: {answer} ({cause}{place}), to {process}, process {pid}"))
}

fn mounts(data: &Value) -> Option<String> {
    let mount = |mount: &Value| {
        let hidden = mount["hidden"].as_u64().map(|many| format!(", {many} hidden")).unwrap_or_default();
        let writable = if mount["writable"] == true { "writable" } else { "read-only" };
        format!("{} {writable} ({}{hidden})", shown(&mount["target"]), shown(&mount["kind"]))
    };
    Some(listed(data["mounts"].as_array()?.iter().map(mount), number(data, "more").unwrap_or_default()))
}

fn limit_hit(data: &Value) -> Option<String> {
    let (limit, value) = (text(data, "limit")?, number(data, "value")?);
    let value = if limit == "pids" { value.to_string() } else { size(value) };
    let stream = text(data, "stream").map(|stream| format!(" on {stream}")).unwrap_or_default();
    Some(format!("{limit} of {value}{stream}"))
}

fn changed(data: &Value) -> Option<String> {
    let named = |name: &str| {
        let paths = data[name]["paths"].as_array()?;
        let more = data[name]["count"].as_u64()?.saturating_sub(paths.len() as u64);
        (!paths.is_empty()).then(|| format!("{name} {}", listed(paths.iter().map(shown), more)))
    };
    let same = number(data, "same").filter(|same| *same > 0).map(|same| format!("{same} as the project has them"));
    Some([named("added"), named("changed"), same].into_iter().flatten().collect::<Vec<_>>().join("; "))
}

fn collected(data: &Value) -> Option<String> {
    let (kept, left) = (data["artifacts"].as_array()?, data["omitted"].as_array()?);
    let named = |items: &[Value]| listed(items.iter().map(|item| shown(&item["path"])), 0);
    let files = if kept.is_empty() { String::new() } else { format!(": {}", named(kept)) };
    let left_out = if left.is_empty() { String::new() } else { format!("; left out {}", named(left)) };
    Some(format!("{}{files}{left_out}", count(kept.len(), "file")))
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
