//! `aido prune`: removes evidence that need not be kept any longer.

use crate::cli::Prune;
use crate::{backend, words};
use aido_evidence::{Over, Project, Reason, Retention, plain_json};
use anyhow::Result;
use serde_json::json;
use std::path::Path;

/// One sandbox that went, or would go.
struct Gone {
    sandbox: String,
    runs: Vec<String>,
    bytes: u64,
    last: String,
    why: String,
}

pub(crate) fn prune(dir: &Path, typed: &Prune) -> Result<u8> {
    let Some(project) = Project::open(dir, &backend::own_home())? else {
        if typed.json {
            words::print("{\n  \"version\": 1,\n  \"sandboxes\": [],\n  \"freed\": 0,\n  \"left\": 0\n}\n");
        } else {
            words::say("this project has no evidence");
        }
        return Ok(0);
    };
    super::sweep(&project, super::Word::Said)?;
    let over = project.over()?;
    let retention = Retention {
        older_than_ms: typed.older_than.map(|time| time.as_millis().try_into().unwrap_or(u64::MAX)),
        keep: typed.keep,
        max_bytes: typed.max_size,
    };
    let chosen = retention.choose(&over, words::age);
    let (mut gone, mut failed) = (Vec::new(), false);
    for (one, reason) in chosen {
        let why = words_for(typed, reason);
        let removed = match typed.dry_run {
            true => Ok(()),
            // One in which something runs now is refused.
            false => one.sandbox.clone().destroy(&format!("pruned: {why}")),
        };
        match removed {
            Ok(()) => gone.push(as_gone(one, why)),
            Err(error) => {
                words::say(&format!("sandbox {} stays: {}", one.sandbox.id(), words::inert(&error.to_string())));
                failed = true;
            }
        }
    }
    let all: u64 = over.iter().map(|one| one.bytes).sum();
    let freed: u64 = gone.iter().map(|one| one.bytes).sum();
    if typed.json {
        in_json(&gone, freed, all - freed, typed.dry_run)?;
    } else {
        tell(&gone, freed, all - freed, typed);
    }
    Ok(if failed { aido_runtime::exit::AIDO_FAILED } else { 0 })
}

fn as_gone(one: &Over, why: String) -> Gone {
    Gone {
        sandbox: one.sandbox.id().to_string(),
        runs: one.runs.iter().map(ToString::to_string).collect(),
        bytes: one.bytes,
        last: one.last.clone(),
        why,
    }
}

fn words_for(typed: &Prune, reason: Reason) -> String {
    let limit = |text: Option<String>| text.unwrap_or_default();
    match reason {
        Reason::Age => {
            let ms = |time: std::time::Duration| time.as_millis().try_into().unwrap_or(u64::MAX);
            format!("older than {}", limit(typed.older_than.map(|time| words::took(ms(time)))))
        }
        Reason::Count => format!("not among the newest {}", limit(typed.keep.map(|keep| keep.to_string()))),
        Reason::Size => format!("more than {} kept", limit(typed.max_size.map(words::size))),
    }
}

fn tell(gone: &[Gone], freed: u64, left: u64, typed: &Prune) {
    let (goes, are_freed) = if typed.dry_run { ("would remove", "would be freed") } else { ("removed", "freed") };
    for one in gone {
        let age = words::since(&one.last).unwrap_or_else(|| one.last.clone());
        words::say(&format!(
            "{goes} sandbox {} ({}, {}, last used {}): {}",
            one.sandbox,
            words::count(one.runs.len(), "run"),
            words::size(one.bytes),
            words::inert(&age),
            one.why
        ));
    }
    words::say(&format!(
        "{} in {} {are_freed}; {} of what is over stays",
        words::size(freed),
        if gone.len() == 1 { "1 sandbox".to_owned() } else { format!("{} sandboxes", gone.len()) },
        words::size(left)
    ));
    if let Some(most) = typed.max_size.filter(|most| left > *most) {
        words::say(&format!("that is more than {}: the newest {} stay", words::size(most), typed.keep.unwrap_or(0)));
    }
}

fn in_json(gone: &[Gone], freed: u64, left: u64, dry: bool) -> Result<()> {
    let sandboxes: Vec<_> = gone
        .iter()
        .map(|one| json!({"sandbox": one.sandbox, "runs": one.runs, "bytes": one.bytes, "last": one.last, "why": one.why}))
        .collect();
    let value = json!({"version": 1, "dry_run": dry, "sandboxes": sandboxes, "freed": freed, "left": left});
    words::print(&(plain_json(serde_json::to_string_pretty(&value)?) + "\n"));
    Ok(())
}
