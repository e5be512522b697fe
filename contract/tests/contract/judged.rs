//! From cases and engines to tests.

use crate::bent::{self, Bend};
use crate::cases::Case;
use crate::engines::{Engine, Kind};
use libtest_mimic::{Failed, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

type Verdict = Result<(), String>;

/// One test for each case on each engine, the reference first; and one for each engine that is missing.
pub(crate) fn trials(engines: Vec<Engine>, missing: Vec<(Kind, String)>) -> Vec<Trial> {
    let mut trials = Vec::new();
    let engines: Vec<Arc<Engine>> = engines.into_iter().map(Arc::new).collect();
    let reference = engines.iter().find(|engine| engine.kind == Kind::Docker).cloned();
    let proven: Vec<(Case, Arc<OnceLock<Verdict>>)> = crate::cases::all().map(|case| (case, Arc::default())).collect();
    for engine in &engines {
        for (case, verdict) in &proven {
            let (engine, case, verdict, reference) = (engine.clone(), *case, verdict.clone(), reference.clone());
            trials.push(Trial::test(format!("{}::{}", engine.kind.name(), case.name), move || {
                judge(&engine, case, &verdict, reference.as_deref())
            }));
        }
    }
    // The cases themselves are on trial, too: each of these engines must be caught by one.
    let linux = engines.iter().find(|engine| engine.kind == Kind::Linux);
    for (bend, engine) in bent::BENT.iter().filter_map(|bend| Some((*bend, linux?.clone()))) {
        let name = format!("bent::{}", bend.name);
        trials.push(Trial::test(name, move || caught(&engine, bend)));
    }
    for (kind, why) in missing {
        let test = Trial::test(format!("{}::is_here", kind.name()), move || Err(Failed::from(why)));
        trials.push(test.with_ignored_flag(!must_work()));
    }
    trials
}

/// Whether a test that is skipped is one that fails.
pub(crate) fn must_work() -> bool {
    std::env::var_os("AIDO_MUST_WORK").is_some_and(|value| value == "1")
}

/// A case that the reference does not pass says nothing of others.
fn judge(engine: &Engine, case: Case, proven: &OnceLock<Verdict>, reference: Option<&Engine>) -> Result<(), Failed> {
    let Some(reference) = reference else { return Ok(attempt(engine, case)?) };
    let verdict = proven.get_or_init(|| attempt(reference, case)).clone();
    if reference.kind == engine.kind {
        return Ok(verdict?);
    }
    if let Err(why) = verdict {
        return Err(format!("not judged: {}, the reference, does not pass it: {why}", reference.kind.name()).into());
    }
    Ok(attempt(engine, case)?)
}

/// What is wrong with the engine on purpose fails the case that is for it.
fn caught(engine: &Engine, bend: Bend) -> Result<(), Failed> {
    let case = crate::cases::all().find(|case| case.name == bend.case);
    let case = case.ok_or_else(|| format!("there is no case {}", bend.case))?;
    if engine.is_excused() && bend.needs_groups {
        return Ok(());
    }
    match attempt(&Engine { bent: Some(bend), ..engine.clone() }, case) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("{} passes on an engine that is broken: {}", case.name, bend.name).into()),
    }
}

fn attempt(engine: &Engine, case: Case) -> Verdict {
    catch_unwind(AssertUnwindSafe(|| (case.run)(engine))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "it panicked".into())
    })
}
