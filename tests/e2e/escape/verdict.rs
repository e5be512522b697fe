//! What became of an attack, in the words of the heads: errno names, signals, ends of a run, `hidden`, `config`.

use crate::output::{Output, find};
use serde_json::Value;
use std::fmt;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Succeeded(String),
    Refused(Vec<String>),
    /// Neither was said, so nothing is known.
    Silent(String),
}

impl Verdict {
    /// The first line of these that begins with a verdict's word.
    pub(crate) fn told(text: &str) -> Option<Verdict> {
        text.lines().find_map(|line| {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "SUCCEEDED" => Some(Verdict::Succeeded(rest.into())),
                "REFUSED" => Some(Verdict::Refused(rest.split_whitespace().map(str::to_string).collect())),
                _ => None,
            }
        })
    }

    pub(crate) fn of_program(out: &Output) -> Verdict {
        let signal = out.signal.or(out.code.filter(|c| *c > 128).map(|c| c - 128));
        Verdict::told(&out.text()).unwrap_or_else(|| match signal {
            Some(signal) => Verdict::Refused(vec![signal_name(signal)]),
            None => Verdict::Silent(out.to_string()),
        })
    }

    /// A run that ended by itself is believed by what the attack said of itself; any other by its record.
    pub(crate) fn of_run(out: &Output, summary: Option<&Value>) -> Verdict {
        let Some(summary) = summary else {
            let config = out.code == Some(125);
            return if config { Verdict::Refused(vec!["config".into()]) } else { Verdict::Silent(out.to_string()) };
        };
        let end = find(summary, "end").cloned().unwrap_or_default();
        match end["reason"].as_str() {
            Some("exited") => Verdict::told(&out.text()).unwrap_or_else(|| Verdict::Silent(out.to_string())),
            Some("signalled") => {
                let signal = signal_name(end["signal"].as_i64().unwrap_or_default() as i32);
                // What it reached before it was ended still counts.
                let told = Verdict::told(&out.text()).filter(|v| matches!(v, Verdict::Succeeded(_)));
                told.unwrap_or(Verdict::Refused(vec![signal]))
            }
            Some(other) => {
                let told = Verdict::told(&out.text()).filter(|v| matches!(v, Verdict::Succeeded(_)));
                told.unwrap_or(Verdict::Refused(vec![other.into()]))
            }
            None => Verdict::Silent(format!("no reason in {summary}")),
        }
    }

    /// Refused, and each time in one of these ways.
    pub(crate) fn is_refused_as(&self, ways: &[String]) -> bool {
        matches!(self, Verdict::Refused(got) if !got.is_empty() && got.iter().all(|g| ways.contains(g)))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Succeeded(what) => write!(f, "succeeded: {what}"),
            Verdict::Refused(ways) => write!(f, "{}", ways.join(" ")),
            Verdict::Silent(why) => write!(f, "no verdict: {why}"),
        }
    }
}

fn signal_name(number: i32) -> String {
    let signal = nix::sys::signal::Signal::try_from(number);
    signal.map_or_else(|_| format!("signal-{number}"), |s| s.as_str().to_string())
}
