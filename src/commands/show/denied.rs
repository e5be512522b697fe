//! What was denied, why, what would allow it, and what that gives away.

use super::page::Page;
use crate::explain::{Explanation, Source};
use crate::words::{count, inert};
use owo_colors::OwoColorize;

/// Those that are told in full; of the others only what was denied.
const FULL: usize = 3;
/// Those that are named.
const NAMED: usize = 8;
/// As much as a screen has room for beside it.
const ONCE: usize = 50;
/// A line of `sandbox.yaml` that is longer is no screen's matter.
const LINE: usize = 200;

pub(super) fn put(page: &mut Page, all: &[Explanation]) {
    let (minor, real): (Vec<&Explanation>, Vec<&Explanation>) = all.iter().partition(|found| found.minor);
    let (recorded, said): (Vec<&Explanation>, Vec<&Explanation>) =
        real.into_iter().partition(|found| found.from == Source::Record);
    let full = FULL.saturating_sub(usize::from(!said.is_empty()));
    told(page, &"denied".red().to_string(), &recorded, full);
    if !minor.is_empty() {
        let name = if recorded.is_empty() { "denied" } else { "" };
        page.row(name, format!("{} that programs do without", count(minor.len(), "attempt")));
    }
    if !said.is_empty() {
        page.row("it says", "in the task's own words, which prove nothing:".dimmed().to_string());
        told(page, "", &said, FULL.saturating_sub(recorded.len()).max(1));
    }
}

fn told(page: &mut Page, name: &str, all: &[&Explanation], full: usize) {
    for (n, found) in all.iter().take(NAMED).enumerate() {
        page.sentence(if n == 0 { name } else { "" }, "", &inert(&found.what));
        if n < full {
            details(page, found);
        }
    }
    if all.len() > full {
        let rest = all.len() - full.min(all.len());
        page.row("", format!("`aido show --json` explains {rest} more"));
    }
}

fn details(page: &mut Page, found: &Explanation) {
    page.sentence("", "  why: ", &inert(&found.why));
    if let Some(change) = &found.change {
        let yaml = inert(&change.yaml);
        if yaml.chars().count() <= LINE {
            page.row("", format!("  to allow it: {}", yaml.green()));
            let once = format!("or for once: aido run {} …", inert(&change.options));
            if !change.options.is_empty() && once.chars().count() <= ONCE {
                page.row("", format!("               {once}"));
            }
        } else {
            page.row("", "  to allow it: a line of `sandbox.yaml` that `aido show --json` has");
        }
    }
    if let Some(exposes) = &found.exposes {
        page.sentence("", "  that gives: ", &inert(exposes));
    }
    if let Some(instead) = &found.instead {
        page.sentence("", if found.change.is_some() { "  or: " } else { "  instead: " }, &inert(instead));
    }
}
