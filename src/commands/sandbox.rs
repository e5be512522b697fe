//! `aido sandbox up|list|destroy`.

use crate::backend::{self, Backend, fault};
use crate::cli;
use crate::host::changed;
use crate::inputs;
use crate::mutation;
use crate::plan;
use crate::redact;
use crate::root;
use crate::settings::{Filesystem, Overrides, Policy, Settings};
use crate::task::Invocation;
use crate::words::say;
use crate::{keeper, listing, progress, recover, words};
use aido_evidence::{Kind, NewSandbox, Project, Sandbox, State};
use aido_runtime::{Enforced, Isolation, MountKind, Plan, Root};
use anyhow::{Result, anyhow, bail};
use serde_json::json;
use std::path::Path;

/// Version of the JSON forms. 1: first.
const VERSION: u32 = 1;

/// Checks that the sandbox can be had here, then makes it; its ID alone goes to standard output.
pub(crate) fn up(dir: &Path, typed: &cli::SandboxUp) -> Result<u8> {
    let policy = Policy::of_the_user()?;
    let backend = backend::chosen(typed.wanted.backend, &policy)?;
    let settings = Settings::load(dir, typed.wanted.file.as_deref(), &typed.wanted.overrides(), &policy)?;
    policy.check_consent(&settings.network)?;
    if let (Some(assumed), false) = (settings.assumed(), typed.quiet) {
        say(&assumed);
    }
    make(&settings, backend, None, typed.quiet, typed.json)
}

/// Makes a sandbox that begins with what another one changed, and takes the same settings.
pub(crate) fn fork(dir: &Path, typed: &cli::Fork) -> Result<u8> {
    let project = super::past::project(dir)?;
    super::sweep(&project, super::Word::unless(typed.quiet))?;
    let first = project.sandbox(typed.sandbox.as_deref().unwrap_or("latest"))?;
    let policy = Policy::of_the_user()?;
    let backend = backend_of(None, &first, &policy)?;
    let config = first.config()?.ok_or_else(|| anyhow!("sandbox {} has lost its sandbox.yaml", first.id()))?;
    let text =
        String::from_utf8(config).map_err(|_| anyhow!("the sandbox.yaml of sandbox {} is damaged", first.id()))?;
    let overrides = as_made(Overrides { ttl: typed.ttl.clone(), ..Overrides::default() }, &first)?;
    let shown = format!("sandbox.yaml of sandbox {}", first.id());
    let settings = Settings::parse(&text, &shown, dir, &overrides, &policy)?;
    if settings.filesystem != Filesystem::Overlay {
        bail!(
            "sandbox {} cannot be forked: its tasks may not change the project, so it has no state; `--filesystem overlay` belongs to the making of a sandbox",
            first.id()
        );
    }
    make(&settings, backend, Some(&first), typed.quiet, typed.json)
}

/// Checks that a sandbox can be had here, then makes it.
fn make(settings: &Settings, backend: Backend, first: Option<&Sandbox>, quiet: bool, as_json: bool) -> Result<u8> {
    backend::refuse_writing(settings, backend)?;
    backend::refuse_network(settings, backend)?;
    let layout = inputs::lay_out(settings, None, &backend::own_folders_in(&settings.project))?;
    let shown = progress::shown(quiet);
    let ready = root::ready(settings, backend, &shown)?;
    drop(shown);
    // Any command will do: what is asked is whether the host holds the rest of the plan.
    let probe = Invocation::Command { program: "true".into(), args: Vec::new() };
    let caller = |name: &str| std::env::var_os(name);
    let (plan, secrets) = plan::assemble(settings, &ready.facts, &probe, false, &layout, &caller)?;
    let enforced = backend::engine(backend, "probe")?.up(&plan)?;
    warn_of(&plan, &enforced, quiet);
    let project = Project::create(&settings.project, &backend::own_home())?;
    let (_, stored) = redact::stored_plan(&redact::secrets(&secrets, &inputs::SecretFiles::new()), &plan)?;
    let draft = project.draft(&NewSandbox {
        name: &settings.name,
        kind: Kind::Kept,
        ttl_ms: plan.deadline.ttl_ms,
        config: Some(settings.to_yaml().as_bytes()),
        plan: Some(&stored),
        backend: backend.name(),
    })?;
    // Held until the sandbox has its name: nobody removes the layers meanwhile.
    let handed = first.map(Sandbox::hand_over).transpose()?;
    handed.as_ref().map_or(Ok(()), |handed| draft.over(handed))?;
    // Nobody hears of a sandbox that nobody would end.
    fault::point("up.drafted");
    let keeper = keeper::start(&settings.project, &draft)?;
    fault::point("up.keeper");
    let deadline_ms = draft.deadline_ms();
    let sandbox = draft.publish(Some(keeper.identity())).map_err(|error| {
        // The keeper has taken away what nobody had a name for yet.
        match aido_evidence::boottime_ms() >= deadline_ms {
            true => anyhow!(
                "the sandbox's time limit of {} was over before it stood; give it more with --ttl",
                words::took(plan.deadline.ttl_ms)
            ),
            false => error.into(),
        }
    })?;
    if let Some(first) = first {
        changed::hand_base_over(first, &sandbox)?;
    }
    fault::point("up.published");
    keeper.let_go();
    tell(&sandbox, plan.deadline.ttl_ms, as_json);
    if !quiet {
        say(&format!(
            "up for {}; `aido run TASK` runs in it, `aido sandbox destroy {}` ends it",
            words::took(plan.deadline.ttl_ms),
            sandbox.id()
        ));
    }
    Ok(0)
}

fn tell(sandbox: &Sandbox, ttl_ms: u64, as_json: bool) {
    let id = sandbox.id();
    match as_json {
        true => println!("{}", json!({"version": VERSION, "id": id, "ttl_ms": ttl_ms, "folder": sandbox.folder()})),
        false => println!("{id}"),
    }
}

fn warn_of(plan: &Plan, enforced: &Enforced, quiet: bool) {
    if let Some(warning) = mutation::warning(plan) {
        super::warn(&warning);
    }
    if !quiet {
        for (control, standing) in enforced.lacking() {
            super::warn(&format!("{control} will be weaker or absent: {}", standing.why.as_deref().unwrap_or("")));
        }
    }
}

/// The sandbox that runs go to: the newest that was made to be kept and has time left.
pub(crate) fn current(project: &Project) -> Result<Option<Sandbox>> {
    Ok(project.kept()?.into_iter().next())
}

/// A sandbox is what it was made as: a run may add variables and shorten its own time, no more.
pub(crate) fn refuse_reshaping(wanted: &cli::Wanted, sandbox: &Sandbox) -> Result<()> {
    let given = [
        ("--file", wanted.file.is_some()),
        ("--runtime", wanted.runtime.is_some()),
        ("--input", !wanted.input.is_empty()),
        ("--output", !wanted.output.is_empty()),
        ("--secret-file", !wanted.secret_file.is_empty()),
        ("--memory", wanted.memory.is_some()),
        ("--cpus", wanted.cpus.is_some()),
        ("--pids", wanted.pids.is_some()),
        ("--disk", wanted.disk.is_some()),
        ("--filesystem", wanted.filesystem.is_some()),
        ("--network", wanted.network),
        ("--allow-host", !wanted.allow_host.is_empty()),
        ("--no-network", wanted.no_network),
        ("--dangerous-allow-mutations", wanted.dangerous_allow_mutations),
        ("--syscalls", wanted.syscalls.is_some()),
        ("--record", wanted.record.is_some()),
        ("--isolation", wanted.isolation != Isolation::Full),
    ];
    if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
        bail!(
            "{flag} belongs to a sandbox when it is made, and sandbox {} is up: give it to `aido sandbox up`, or end this one with `aido sandbox destroy {}`",
            sandbox.id(),
            sandbox.id()
        );
    }
    Ok(())
}

/// The engine that a sandbox was made for: its runs go nowhere else.
pub(crate) fn backend_of(typed: Option<Backend>, sandbox: &Sandbox, policy: &Policy) -> Result<Backend> {
    let made: Backend = match sandbox.state()?.backend {
        Some(name) => name.parse().map_err(|what| anyhow!("sandbox {}: {what}", sandbox.id()))?,
        // Made when there was no other.
        None => Backend::Linux,
    };
    if let Some(typed) = typed.filter(|typed| *typed != made) {
        bail!(
            "--backend {typed}: sandbox {} was made for {made}, and its runs stay there; make another with `aido sandbox up --backend {typed}`, or run in a fresh one after `aido sandbox destroy {}`",
            sandbox.id(),
            sandbox.id()
        );
    }
    Ok(backend::chosen(Some(made), policy)?)
}

/// Images that are not a registry's.
const LOCAL: [&str; 4] = ["oci:", "oci-archive:", "docker-archive:", "rootfs-archive:"];

/// What was typed when the sandbox was made and is no part of a file: a root folder outside the project,
/// accepted weaknesses. The plan that was checked then keeps it.
pub(crate) fn as_made(mut overrides: Overrides, sandbox: &Sandbox) -> Result<Overrides> {
    let Some(stored) = sandbox.plan()? else { return Ok(overrides) };
    let plan: Plan = serde_json::from_slice(&stored)
        .map_err(|e| anyhow!("the plan of sandbox {} cannot be read: {e}", sandbox.id()))?;
    match plan.root {
        Root::Folder { path } => overrides.runtime = Some(format!("rootfs:{}", path.display())),
        // What was typed when it was made need not be typed again.
        Root::Image { reference, .. } if LOCAL.iter().any(|scheme| reference.starts_with(scheme)) => {
            overrides.runtime = Some(reference);
        }
        _ => {}
    }
    overrides.accept_weaker.extend(plan.accept_weaker);
    overrides.made_with = Some(plan.syscalls);
    overrides.isolation = plan.isolation;
    overrides.mutations = plan.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Open { .. }));
    Ok(overrides)
}

pub(crate) fn list(dir: &Path, typed: &cli::SandboxList) -> Result<u8> {
    let Some(project) = Project::open(dir, &backend::own_home())? else {
        if typed.json {
            println!("[]");
        } else {
            say("this project has no sandboxes yet");
        }
        return Ok(0);
    };
    super::sweep(&project, super::Word::Said)?;
    let mut rows = Vec::new();
    for sandbox in project.sandboxes()? {
        match sandbox.state() {
            Ok(state) => rows.push((state, sandbox)),
            // Destroyed while one looked.
            Err(error) if error.is_missing() => {}
            // It must not hide the others.
            Err(error) => {
                say(&format!(
                    "sandbox {0} cannot be read: {error}; `aido sandbox destroy {0}` removes it",
                    sandbox.id()
                ));
            }
        }
    }
    rows.sort_by(|(a, _), (b, _)| b.created.cmp(&a.created));
    // What was made for one run is that run's, and `aido runs` has it; `--json` tells all.
    let before = rows.len();
    rows.retain(|(state, _)| typed.all || typed.json || state.kind == Kind::Kept || state.ended.is_none());
    if typed.json {
        let listed = rows.iter().map(|(state, sandbox)| as_json(state, sandbox)).collect::<Result<Vec<_>>>()?;
        println!("{}", serde_json::to_string_pretty(&listed)?);
        return Ok(0);
    }
    let mut table = vec![["SANDBOX", "NAME", "CREATED", "LEFT", "RUNS"].map(str::to_string)];
    for (state, sandbox) in &rows {
        table.push([
            sandbox.id().to_string(),
            state.name.clone(),
            words::since(&state.created).unwrap_or_else(|| state.created.clone()),
            left(state, sandbox)?,
            sandbox.runs()?.len().to_string(),
        ]);
    }
    let hidden = before - rows.len();
    if !rows.is_empty() || hidden == 0 {
        print!("{}", listing::table(&table));
    }
    match hidden {
        0 => {}
        1 => say("1 sandbox of a single run that is over is not listed; `--all` lists it"),
        n => say(&format!("{n} sandboxes of single runs that are over are not listed; `--all` lists them")),
    }
    Ok(0)
}

fn left(state: &State, sandbox: &Sandbox) -> Result<String> {
    // A run that is being brought to its end goes on for a moment after its time.
    let running = if sandbox.running()?.is_some() { "running" } else { "" };
    let keeper = match state.kind {
        Kind::Kept if state.ended.is_none() && recover::living_keeper(state).is_none() => "its keeper is gone",
        _ => "",
    };
    let word = match state.left_ms()? {
        _ if state.ended.is_some() => "ended".into(),
        0 => "expired".into(),
        _ if sandbox.is_over()? => "ended".into(),
        left => words::took(left),
    };
    // Who looks later sees what was cleaned up meanwhile, why, and when.
    let ended = state.ended.as_ref().map(|ended| {
        let since = words::since(&ended.time).unwrap_or_default();
        format!("{}, {since}", words::inert(&ended.why))
    });
    let notes = [running, keeper, ended.as_deref().unwrap_or_default()];
    let notes: Vec<&str> = notes.into_iter().filter(|note| !note.is_empty()).collect();
    Ok(if notes.is_empty() { word } else { format!("{word} ({})", notes.join(", ")) })
}

fn as_json(state: &State, sandbox: &Sandbox) -> Result<serde_json::Value> {
    Ok(json!({
        "version": VERSION,
        "id": sandbox.id(),
        "name": state.name,
        "kind": state.kind,
        "backend": state.backend,
        "created": state.created,
        "ttl_ms": state.ttl_ms,
        "left_ms": if state.ended.is_some() { 0 } else { state.left_ms()? },
        "ended": state.ended,
        "keeper": recover::living_keeper(state).and(state.keeper).map(|keeper| keeper.pid),
        "running": sandbox.running()?.map(|run| run.id().to_string()),
        "runs": sandbox.runs()?.iter().map(|run| run.id().to_string()).collect::<Vec<_>>(),
        "folder": sandbox.folder(),
    }))
}

/// Ends and removes sandboxes. One that cannot be removed does not keep the others.
pub(crate) fn destroy(dir: &Path, typed: &cli::SandboxDestroy) -> Result<u8> {
    let Some(project) = Project::open(dir, &backend::own_home())? else {
        if typed.ids.is_empty() {
            say("this project has no sandboxes");
            if typed.json {
                println!("{}", json!({"version": VERSION, "destroyed": [], "failed": []}));
            }
            return Ok(0);
        }
        bail!("this project has no sandboxes");
    };
    super::sweep(&project, super::Word::Said)?;
    let chosen = chosen(&project, typed)?;
    let (mut gone, mut failed) = (Vec::new(), Vec::new());
    for sandbox in chosen {
        let id = sandbox.id().to_string();
        match end(sandbox) {
            Ok(()) => {
                if !typed.json {
                    println!("{id}");
                }
                gone.push(id);
            }
            // What was asked for is so.
            Err(_) if project.sandbox_with(&id)?.is_none() => {
                say(&format!("sandbox {id} was removed by another command meanwhile"));
            }
            Err(error) => {
                say(&format!("sandbox {id}: {error}"));
                failed.push(id);
            }
        }
    }
    if typed.json {
        println!("{}", json!({"version": VERSION, "destroyed": gone, "failed": failed}));
    }
    Ok(if failed.is_empty() { 0 } else { aido_runtime::exit::AIDO_FAILED })
}

fn chosen(project: &Project, typed: &cli::SandboxDestroy) -> Result<Vec<Sandbox>> {
    if !typed.ids.is_empty() {
        let mut chosen: Vec<Sandbox> = Vec::new();
        for asked in &typed.ids {
            let sandbox = project.sandbox(asked)?;
            if !chosen.iter().any(|other| other.id() == sandbox.id()) {
                chosen.push(sandbox);
            }
        }
        return Ok(chosen);
    }
    let mut chosen = Vec::new();
    for sandbox in project.sandboxes()? {
        if typed.all || sandbox.is_over()? {
            chosen.push(sandbox);
        }
    }
    Ok(chosen)
}

/// Ends what runs in a sandbox, removes it, and ends its keeper last: whoever is killed in between leaves
/// one that notices that its sandbox is gone.
pub(super) fn end(sandbox: Sandbox) -> Result<()> {
    // A state that cannot be read must not keep the sandbox from being removed.
    let state = sandbox.state();
    recover::end_runs(&sandbox)?;
    fault::point("destroy.ended");
    sandbox.destroy("asked for")?;
    fault::point("destroy.removed");
    if let Ok(state) = state {
        recover::end_keeper(&state);
    }
    Ok(())
}
