//! `aido doctor`: what this host can hold, what it cannot, and what mends it.

use crate::backend;
use aido_runtime::Force;
use anyhow::Result;
use owo_colors::OwoColorize;
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;

pub(crate) fn doctor(typed: &crate::cli::Doctor) -> Result<u8> {
    let engine = backend::engine("doctor")?;
    let probe = engine.probe();
    let lacking = probe.controls.lacking().count();
    if typed.json {
        let facts: serde_json::Map<_, _> = probe.facts.into_iter().map(|(name, value)| (name, value.into())).collect();
        let told = json!({"version": 1, "backend": engine.name(), "facts": facts, "controls": probe.controls});
        println!("{}", serde_json::to_string_pretty(&told)?);
        return Ok(u8::from(lacking > 0));
    }
    let mut page = String::new();
    for (name, value) in &probe.facts {
        writeln!(page, "{} {value}", format!("{name:<27}").dimmed())?;
    }
    writeln!(page)?;
    for (control, standing) in &probe.controls.0 {
        let word = match standing.force {
            Force::InForce => format!("{:<7}", "ok").green().to_string(),
            Force::Weaker => format!("{:<7}", "weaker").yellow().to_string(),
            Force::Absent => format!("{:<7}", "absent").red().to_string(),
        };
        let line = format!("{word} {} {}", format!("{control:<12}").bold(), standing.by);
        writeln!(page, "{}", line.trim_end())?;
        if let Some(why) = &standing.why {
            writeln!(page, "        why:  {why}")?;
        }
        if let Some(remedy) = &standing.remedy {
            writeln!(page, "        mend: {remedy}")?;
        }
    }
    writeln!(page)?;
    match lacking {
        0 => writeln!(page, "This host can hold every control.")?,
        n => writeln!(page, "{n} of {} controls do not hold in full here.", probe.controls.0.len())?,
    }
    anstream::stdout().lock().write_all(page.as_bytes())?;
    Ok(u8::from(lacking > 0))
}
