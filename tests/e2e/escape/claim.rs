//! What the record of a run must hold: one `record:` line of a head each.

use crate::output::find;
use serde_json::Value;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// `call NAME|OTHER…`: `outcome.refused` names one of them.
    Call(Vec<String>),
    /// `control NAME`: it is in force, and where a canary is on record it is not empty.
    Control(String),
    /// `end REASON [NUMBER]`: how the run ended, with the code or signal.
    End(String, Option<i64>),
    /// `limit pids|output|memory`: the bound has struck.
    Limit(String),
    /// `omitted NAME`: an output of this name (or with this in its path) was left out, and why.
    Omitted(String),
    /// `collected NAME`: it came home.
    Collected(String),
    /// `hidden NAME`: an entry of the project that was kept from the task.
    Hidden(String),
    /// `config TEXT`: aido refused (125) and said this.
    Config(String),
    /// `unsaid TEXT`: neither plan, events nor summary has it.
    Unsaid(String),
}

/// What a run left to be looked at.
pub(crate) struct Left<'a> {
    pub(crate) summary: Option<&'a Value>,
    /// plan, events and summary as they lie there.
    pub(crate) texts: &'a str,
    pub(crate) code: Option<i32>,
    pub(crate) told: &'a str,
}

impl Claim {
    pub(crate) fn parse(text: &str) -> Result<Claim, String> {
        let (kind, rest) = text.split_once(' ').ok_or_else(|| format!("record: {text}"))?;
        let rest = rest.trim();
        Ok(match kind {
            "call" => Claim::Call(rest.split('|').map(str::to_string).collect()),
            "control" => Claim::Control(rest.into()),
            "end" => {
                let (reason, number) = rest.split_once(' ').map_or((rest, None), |(r, n)| (r, Some(n)));
                let number = number.map(|n| n.parse().map_err(|_| format!("record: {text}"))).transpose()?;
                Claim::End(reason.into(), number)
            }
            "limit" if ["pids", "output", "memory"].contains(&rest) => Claim::Limit(rest.into()),
            "omitted" => Claim::Omitted(rest.into()),
            "collected" => Claim::Collected(rest.into()),
            "hidden" => Claim::Hidden(rest.into()),
            "config" => Claim::Config(rest.into()),
            "unsaid" => Claim::Unsaid(rest.into()),
            _ => return Err(format!("record: {text}")),
        })
    }

    /// What is wrong with the record, if anything is.
    pub(crate) fn fault(&self, left: &Left) -> Option<String> {
        if let Claim::Config(words) = self {
            let said = left.code == Some(125) && left.told.contains(words.as_str());
            return (!said).then(|| format!("exit {:?}, and `{words}` not in: {}", left.code, left.told));
        }
        let Some(summary) = left.summary else { return Some(format!("no summary for {self:?}")) };
        let null = Value::Null;
        let at = |key: &str| find(summary, key).unwrap_or(&null);
        let missing = |held: bool, seen: &Value| (!held).then(|| format!("not on record: {self:?}; there is {seen}"));
        match self {
            Claim::Call(names) => {
                let refused = &summary["outcome"]["refused"];
                missing(refused_has(refused, names), refused)
            }
            Claim::Control(name) => {
                let standing = &at("enforced")[name];
                let proven = standing.get("proof").is_none_or(|p| p.as_str().is_some_and(|p| !p.is_empty()));
                missing(standing["force"] == "in-force" && proven, standing)
            }
            Claim::End(reason, number) => {
                let end = at("end");
                let told = ["code", "signal"].iter().find_map(|k| end[*k].as_i64());
                missing(end["reason"] == *reason && (number.is_none() || told == *number), end)
            }
            Claim::Limit(which) => missing(struck(summary, which), &summary["outcome"]),
            Claim::Omitted(name) => {
                let omitted = &at("outputs")["omitted"];
                let whole = |entry: &Value| entry["why"].as_str().is_some_and(|why| !why.is_empty());
                missing(entries(omitted).any(|e| whole(e) && path_has(e, name)), omitted)
            }
            Claim::Collected(name) => {
                let artifacts = &at("outputs")["artifacts"];
                missing(entries(artifacts).any(|e| e["path"] == *name), artifacts)
            }
            Claim::Hidden(name) => missing(entries(at("hidden")).any(|e| e == name), at("hidden")),
            Claim::Unsaid(text) => left
                .texts
                .contains(text.as_str())
                .then(|| format!("`{text}` is in the plan, the events or the summary")),
            Claim::Config(_) => None,
        }
    }
}

fn entries(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn path_has(entry: &Value, name: &str) -> bool {
    entry["path"].as_str().is_some_and(|path| path.contains(name))
}

/// An answer and a process belong to it: a bare name would be no evidence.
fn refused_has(refused: &Value, names: &[String]) -> bool {
    let whole = |entry: &Value| {
        let (answer, process) = (entry["answer"].as_str(), entry["process"].as_str());
        answer.is_some_and(|a| a.starts_with('E'))
            && process.is_some_and(|p| !p.is_empty())
            && entry["count"].as_u64().is_some_and(|n| n > 0)
    };
    entries(refused).any(|entry| whole(entry) && names.iter().any(|name| entry["call"] == *name))
}

fn struck(summary: &Value, which: &str) -> bool {
    let usage = &summary["outcome"]["usage"];
    match which {
        "pids" => usage["pids_refused"].as_u64().is_some_and(|n| n > 0),
        "memory" => summary["outcome"]["end"]["reason"] == "out_of_memory",
        _ => ["stdout", "stderr"].iter().any(|s| summary["output"][*s]["dropped"].as_u64().is_some_and(|n| n > 0)),
    }
}
