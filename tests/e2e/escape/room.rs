//! One attack inside of aido: what became of it, and what the record says.

use super::claim::Left;
use super::field::Field;
use super::head::{Attack, Kind};
use super::table::Cell;
use super::verdict::Verdict;
use crate::host;
use crate::output::Output;
use crate::running::Running;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Host,
    Image,
}

impl Room {
    pub(crate) const ALL: [Room; 2] = [Room::Host, Room::Image];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Room::Host => "host",
            Room::Image => "image",
        }
    }

    /// The smallest image that can run it.
    pub(crate) fn runtime(self, kind: Kind) -> Vec<String> {
        let image = if kind == Kind::Python { "python" } else { "tiny" };
        match (self, host::images()) {
            (Room::Image, Some(images)) => vec!["--runtime".into(), format!("oci:{}", images.join(image).display())],
            _ => Vec::new(),
        }
    }
}

/// The last run of the project, if it has one.
fn last_run(field: &Field) -> Option<PathBuf> {
    fs::canonicalize(field.project.last_run()).ok()
}

pub(crate) fn tried(attack: &Attack, field: &Field, room: Room) -> Cell {
    if room == Room::Image && host::images().is_none() {
        host::left_out(&format!("{} in an image: AIDO_IMAGES is not set: run ci/test", attack.title()));
        return Cell::LeftOut("no images here".into());
    }
    let (out, verdict, run) = run(attack, field, room, attack.around.as_deref());
    if attack.needs_cgroups && !host::has_cgroups() {
        // What cannot be held is refused by name.
        let ran = run.as_deref().and_then(summary).is_some_and(|s| s["outcome"]["end"]["reason"] != "refused");
        let named = out.code == Some(125) && out.told().contains("--accept-weaker") && !ran;
        return if named { Cell::NotHeldHere } else { Cell::Fault(format!("not refused without control groups{out}")) };
    }
    let mut faults = Vec::new();
    if !verdict.is_refused_as(&attack.refused) {
        faults.push(format!("expected {}, but: {verdict}{out}", attack.refused.join("|")));
    }
    if attack.within.is_some_and(|seconds| out.took > Duration::from_secs(seconds)) {
        faults.push(format!("it took {:?}", out.took));
    }
    faults.extend(record_faults(attack, &out, run));
    match faults.is_empty() {
        true => Cell::Refused(verdict.to_string()),
        false => Cell::Fault(faults.join("; ")),
    }
}

/// Runs it, and waits until nothing of it lives.
pub(crate) fn run(
    attack: &Attack,
    field: &Field,
    room: Room,
    around: Option<&str>,
) -> (Output, Verdict, Option<PathBuf>) {
    let before = last_run(field);
    let out = Running::start(field.inside(attack, room, around)).end();
    let run = last_run(field).filter(|run| before.as_ref() != Some(run));
    host::assert_gone(&field.mark);
    let verdict = match &attack.judge {
        Some(judge) => judged(judge, field, &out, run.as_deref()),
        None => Verdict::of_run(&out, run.as_deref().and_then(summary).as_ref()),
    };
    (out, verdict, run)
}

fn judged(judge: &str, field: &Field, out: &Output, run: Option<&std::path::Path>) -> Verdict {
    let Some(run) = run else { return Verdict::Silent(format!("no run{out}")) };
    let shown = run.join("../../shown");
    fs::write(&shown, &out.stdout).unwrap();
    let outputs = run.join("../../outputs");
    let status = out.code.map_or("none".into(), |c| c.to_string());
    let left: [(&str, OsString); 5] = [
        ("JUDGE_WHERE", "aido".into()),
        ("JUDGE_RUN", run.into()),
        ("JUDGE_STDOUT", shown.into()),
        ("JUDGE_OUTPUTS", outputs.into()),
        ("JUDGE_STATUS", status.into()),
    ];
    field.judged(judge, &left)
}

fn summary(run: &std::path::Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(run.join("summary.json")).ok()?).ok()
}

fn record_faults(attack: &Attack, out: &Output, run: Option<PathBuf>) -> Vec<String> {
    let (mut faults, mut texts, mut held) = (Vec::new(), String::new(), None);
    if let Some(run) = &run {
        held = summary(run);
        let events = fs::read(run.join("events.log")).unwrap_or_default();
        match crate::chain::check(&events) {
            Ok(records) => {
                let head = records.last().map(|r| r["hash"].clone());
                if held.as_ref().map(|s| s["chain_head"].clone()) != head {
                    faults.push("the summary does not name the end of the events".into());
                }
            }
            Err(why) => faults.push(format!("events.log: {why}")),
        }
        for name in ["plan.json", "events.log", "summary.json"] {
            texts += &fs::read_to_string(run.join(name)).unwrap_or_default();
        }
    }
    let told = out.told();
    let left = Left { summary: held.as_ref(), texts: &texts, code: out.code, told: &told };
    faults.extend(attack.record.iter().filter_map(|claim| claim.fault(&left)));
    faults
}
