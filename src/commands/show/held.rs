//! What was in force, and what of the project the task saw.

use super::page::Page;
use crate::inputs::{InputDigest, InputKind};
use crate::summary::Summary;
use crate::words::{inert, size};
use aido_runtime::Force;
use owo_colors::OwoColorize;

/// Hidden paths that are named.
const HIDDEN: usize = 8;

pub(super) fn put(page: &mut Page, told: &Summary) {
    let held: Vec<&str> =
        told.enforced.0.iter().filter(|(_, s)| s.force == Force::InForce).map(|(c, _)| c.name()).collect();
    page.sentence("in force", "", &in_force(&held, told));
    for (control, standing) in told.enforced.lacking() {
        let (name, by) = match standing.force {
            Force::Absent => ("absent".red().to_string(), String::new()),
            _ => ("weaker".yellow().to_string(), format!(" by {}", inert(&standing.by))),
        };
        let why = standing.why.as_deref().map(|why| format!(": {}", inert(why))).unwrap_or_default();
        page.row(&name, format!("{control}{by}{why}"));
        if let Some(remedy) = &standing.remedy {
            page.row("", format!("to mend it: {}", inert(remedy)));
        }
    }
    page.list("inputs", &told.inputs.iter().map(input).collect::<Vec<_>>());
    let hidden: Vec<String> = told.hidden.iter().take(HIDDEN).map(|path| inert(path)).collect();
    let more = told.hidden.len() - hidden.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    page.sentence("hidden", "", &format!("{}{more}", hidden.join(", ")));
}

/// By name where something lacks: then it matters which.
fn in_force(held: &[&str], told: &Summary) -> String {
    if told.enforced.lacking().next().is_none() && !held.is_empty() {
        return format!("all of {} controls", held.len());
    }
    held.join(", ")
}

/// An input, and how well its digest covers it.
fn input(input: &InputDigest) -> String {
    let path = if input.path.is_empty() { "the project folder".to_owned() } else { inert(&input.path) };
    let more = if input.partial { " and more" } else { "" };
    let changed = if input.changed_during { "; some of it changed while the task ran" } else { "" };
    let entries = if input.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", input.entries) };
    match input.kind {
        InputKind::File if input.secret => {
            format!("{path} (a secret of {}, kept out of the record)", size(input.size.unwrap_or_default()))
        }
        InputKind::File => path,
        InputKind::Tree => format!("{path} ({entries}{more})"),
        InputKind::Metadata if input.pending => format!("{path} (its digest is missing)"),
        InputKind::Metadata => format!("{path} ({entries}{more}, by name, size and time only{changed})"),
    }
}
