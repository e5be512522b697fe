//! `aido doctor`: what this host, or an engine, can hold, what it cannot, and what mends it.

use crate::backend::{self, Backend};
use crate::mend;
use crate::settings::Policy;
use crate::words::inert;
use aido_evidence::Project;
use aido_runtime::{Advice, Control, Enforced, Error, Force, Probe, Standing};
use anyhow::Result;
use owo_colors::OwoColorize;
use serde_json::{Value, json};
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::path::Path;

/// Version of the JSON form. 1: first. 2: `engine`.
const DOCTOR_VERSION: u32 = 2;

pub(crate) fn doctor(dir: &Path, typed: &crate::cli::Doctor) -> Result<u8> {
    if typed.apparmor_profile {
        print!("{}", backend::apparmor_profile()?);
        return Ok(0);
    }
    let chosen = backend::chosen(typed.backend, &Policy::of_the_user()?)?;
    let mut probe = backend::engine(chosen, "doctor")?.probe();
    probe.advice.extend(open_to_others(dir));
    // Beside the kernel's own means an engine is a choice; whoever asks for one engine wants to know of that one.
    let beside = (chosen == Backend::Linux && typed.backend.is_none()).then(backend::docker::probe).flatten();
    let lacking = probe.controls.lacking().count();
    if typed.json {
        let mut told = as_json(&probe);
        told["version"] = json!(DOCTOR_VERSION);
        told["backend"] = json!(chosen.name());
        told["engine"] = beside.as_ref().map_or(Value::Null, as_json);
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        let mut page = page(&probe, chosen, lacking)?;
        if let Some(beside) = &beside {
            short(&mut page, beside)?;
        }
        anstream::stdout().lock().write_all(page.as_bytes())?;
    }
    Ok(u8::from(can_be_better(&probe.controls)))
}

/// Evidence of the project here, or keys of the user, that others could change.
fn open_to_others(dir: &Path) -> impl Iterator<Item = Advice> {
    Project::open_to_others(dir, &backend::own_home()).into_iter().map(|error| {
        let Error { what, remedy } = mend::evidence(&error);
        Advice { about: "evidence and keys".to_string(), why: what, remedy }
    })
}

fn as_json(probe: &Probe) -> Value {
    let facts: serde_json::Map<_, _> =
        probe.facts.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    json!({"facts": facts, "controls": probe.controls, "advice": probe.advice})
}

/// What an engine cannot do at all is no fault of this host's: nothing here mends it.
fn can_be_better(controls: &Enforced) -> bool {
    controls.lacking().any(|(_, standing)| standing.remedy.is_some())
}

fn page(probe: &Probe, backend: Backend, lacking: usize) -> Result<String, fmt::Error> {
    let mut page = String::new();
    facts(&mut page, probe)?;
    writeln!(page)?;
    for (controls, standing) in alike(&probe.controls) {
        let word = match standing.force {
            Force::InForce => format!("{:<7}", "ok").green().to_string(),
            Force::Weaker => format!("{:<7}", "weaker").yellow().to_string(),
            Force::Absent => format!("{:<7}", "absent").red().to_string(),
        };
        let names = controls.iter().map(|control| control.name()).collect::<Vec<_>>().join(", ");
        let line = format!("{word} {} {}", format!("{names:<12}").bold(), inert(&standing.by));
        writeln!(page, "{}", line.trim_end())?;
        reason(&mut page, standing.why.as_deref(), standing.remedy.as_deref())?;
    }
    for advice in &probe.advice {
        writeln!(page, "{} {}", format!("{:<7}", "note").yellow(), advice.about.bold())?;
        reason(&mut page, Some(&inert(&advice.why)), advice.remedy.as_deref())?;
    }
    writeln!(page)?;
    let who = if backend == Backend::Docker { "This engine" } else { "This host" };
    let here = if backend == Backend::Docker { "there" } else { "here" };
    match lacking {
        0 => writeln!(page, "{who} can hold every control.")?,
        n => writeln!(page, "{n} of {} controls do not hold in full {here}.", probe.controls.0.len())?,
    }
    Ok(page)
}

fn facts(page: &mut String, probe: &Probe) -> fmt::Result {
    for (name, value) in &probe.facts {
        writeln!(page, "{} {}", format!("{name:<27}").dimmed(), inert(value))?;
    }
    Ok(())
}

/// An engine beside what is chosen: what it is, and what of the promises it does not hold.
fn short(page: &mut String, probe: &Probe) -> fmt::Result {
    writeln!(
        page,
        "\n{}",
        "An engine is here too (`--backend docker`; `aido doctor --backend docker` has the whole):".bold()
    )?;
    facts(page, probe)?;
    let names = |force: Force| {
        let chosen = probe.controls.lacking().filter(|(_, standing)| standing.force == force);
        chosen.map(|(control, _)| control.name()).collect::<Vec<_>>().join(", ")
    };
    for (word, names) in [("weaker", names(Force::Weaker)), ("absent", names(Force::Absent))] {
        if !names.is_empty() {
            writeln!(page, "{} {names}", format!("{word:<27}").dimmed())?;
        }
    }
    Ok(())
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
