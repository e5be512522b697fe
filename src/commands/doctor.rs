//! `aido doctor`: what this host can hold, what it cannot, and what mends it.

use crate::backend;
use aido_runtime::{Control, Enforced, Force, Probe, Standing};
use anyhow::Result;
use owo_colors::OwoColorize;
use serde_json::json;
use std::fmt::{self, Write as _};
use std::io::Write as _;

pub(crate) fn doctor(typed: &crate::cli::Doctor) -> Result<u8> {
    if typed.apparmor_profile {
        print!("{}", backend::apparmor_profile()?);
        return Ok(0);
    }
    let engine = backend::engine("doctor")?;
    let probe = engine.probe();
    let lacking = probe.controls.lacking().count();
    if typed.json {
        let facts: serde_json::Map<_, _> = probe.facts.into_iter().map(|(name, value)| (name, value.into())).collect();
        let told = json!({
            "version": 1, "backend": engine.name(), "facts": facts, "controls": probe.controls, "advice": probe.advice,
        });
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        anstream::stdout().lock().write_all(page(&probe, lacking)?.as_bytes())?;
    }
    Ok(u8::from(lacking > 0))
}

fn page(probe: &Probe, lacking: usize) -> Result<String, fmt::Error> {
    let mut page = String::new();
    for (name, value) in &probe.facts {
        writeln!(page, "{} {value}", format!("{name:<27}").dimmed())?;
    }
    writeln!(page)?;
    for (controls, standing) in alike(&probe.controls) {
        let word = match standing.force {
            Force::InForce => format!("{:<7}", "ok").green().to_string(),
            Force::Weaker => format!("{:<7}", "weaker").yellow().to_string(),
            Force::Absent => format!("{:<7}", "absent").red().to_string(),
        };
        let names = controls.iter().map(|control| control.name()).collect::<Vec<_>>().join(", ");
        let line = format!("{word} {} {}", format!("{names:<12}").bold(), standing.by);
        writeln!(page, "{}", line.trim_end())?;
        reason(&mut page, standing.why.as_deref(), standing.remedy.as_deref())?;
    }
    for advice in &probe.advice {
        writeln!(page, "{} {}", format!("{:<7}", "note").yellow(), advice.about.bold())?;
        reason(&mut page, Some(&advice.why), advice.remedy.as_deref())?;
    }
    writeln!(page)?;
    match lacking {
        0 => writeln!(page, "This host can hold every control.")?,
        n => writeln!(page, "{n} of {} controls do not hold in full here.", probe.controls.0.len())?,
    }
    Ok(page)
}

fn reason(page: &mut String, why: Option<&str>, remedy: Option<&str>) -> fmt::Result {
    why.map_or(Ok(()), |why| writeln!(page, "        why:  {why}"))?;
    remedy.map_or(Ok(()), |remedy| writeln!(page, "        mend: {}", remedy.replace("\n", "\n            ")))
}

/// What is absent for one reason is told once.
fn alike(enforced: &Enforced) -> Vec<(Vec<Control>, &Standing)> {
    let mut told: Vec<(Vec<Control>, &Standing)> = Vec::new();
    for (control, standing) in &enforced.0 {
        let same = |told: &&mut (Vec<Control>, &Standing)| standing.force == Force::Absent && told.1 == standing;
        match told.iter_mut().find(same) {
            Some((controls, _)) => controls.push(*control),
            None => told.push((vec![*control], standing)),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_is_told_once_and_two_are_told_twice() {
        let mut enforced = Enforced::default();
        for control in [Control::Files, Control::Network] {
            enforced.set(control, Standing::absent("no namespaces", Some("mend it".into())));
        }
        enforced.set(Control::Memory, Standing::absent("no group", None));
        enforced.set(Control::Output, Standing::in_force("counted"));
        let told = alike(&enforced);
        let names: Vec<_> = told.iter().map(|(controls, _)| controls.as_slice()).collect();
        assert_eq!(names, [&[Control::Files, Control::Network][..], &[Control::Memory], &[Control::Output]]);
    }
}
