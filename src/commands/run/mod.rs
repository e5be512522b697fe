//! `aido run`: from what was typed to a supervised run and its exit status.

mod outcome;
mod stream;

use super::{Word, warn};
use crate::backend::{self, Backend, fault};
use crate::cli;
use crate::host::late;
use crate::inputs;
use crate::mutation;
use crate::plan;
use crate::progress::{self, Shown};
use crate::redact;
use crate::root;
use crate::settings::{At, Policy, Settings, Variable};
use crate::supervise::{self, Job, link::Wish, start::Supervisor};
use crate::task::Invocation;
use crate::view::{self, Patience, Show, Terminal, Watched};
use crate::words;
use crate::words::say;
use aido_evidence::{Project, Run, Sandbox};
use aido_runtime::Plan;
use anyhow::{Result, anyhow, bail};
use std::io::IsTerminal;
use std::path::Path;

pub(crate) fn run(dir: &Path, typed: &cli::Run) -> Result<u8> {
    let terminal = typed.tty.then(Terminal::of_the_caller).transpose()?;
    let (project, sandbox) = place(dir, typed)?;
    let (settings, config, backend) = settings(dir, typed, sandbox.as_ref())?;
    backend::refuse_writing(&settings, backend)?;
    backend::refuse_network(&settings, backend)?;
    if !typed.quiet {
        announce(&settings, sandbox.as_ref())?;
    }
    let invocation = Invocation::read(&settings.project, &typed.task)?;
    let layout = inputs::lay_out(&settings, invocation.script(), &backend::own_folders_in(&settings.project))?;
    let shown = progress::shown(typed.quiet);
    let ready = root::ready(&settings, backend, &shown)?;
    let caller = |name: &str| std::env::var_os(name);
    let (mut plan, secrets) =
        plan::assemble(&settings, &ready.facts, &invocation, typed.interactive, &layout, &caller)?;
    learn(typed, &settings, backend, &mut plan)?;
    if let Some(sandbox) = &sandbox {
        plan.deadline.ttl_ms = plan.deadline.ttl_ms.min(time_left(sandbox)?);
    }
    // Before the first run makes its own folder in the project.
    let (mut inputs, later) = inputs::digests(&layout.inputs, late::is_possible(&plan, backend))?;
    let secret_files = inputs::open_secrets(&layout.secrets, &mut inputs)?;
    let kept_out = redact::secrets(&secrets, &secret_files);
    plan.exact_output = typed.exact_output;
    if terminal.is_some() {
        plan::give_terminal(&mut plan, &caller);
    }
    redact::refuse_arguments(&plan, &secrets)?;
    let mut warnings = redact::warnings(&kept_out, plan.exact_output);
    warnings.extend(backend::docker::unheard(backend).into_iter().chain(mutation::warning(&plan)));
    backend::docker::refuse(backend, &plan)?;
    let project = match project {
        Some(project) => project,
        None => Project::create(&settings.project, &backend::own_home())?,
    };
    let (stdin, input) = match typed.interactive {
        true => view::input_pipe().map(|(theirs, ours)| (theirs, Some(ours)))?,
        false => (None, None),
    };
    let job = Job {
        project: project.clone(),
        sandbox,
        config,
        plan,
        secrets,
        secret_files,
        kept_out,
        inputs,
        later,
        hidden: layout.hidden(),
        warnings,
        stdin,
        window: terminal.as_ref().and_then(Terminal::window),
        hold: ready.hold,
        backend,
    };
    watch(typed, &project, job, (input, terminal), &shown)
}

/// Where it was asked for, nothing is let through.
fn learn(typed: &cli::Run, settings: &Settings, backend: Backend, plan: &mut Plan) -> Result<()> {
    if typed.learn {
        backend::refuse_learning(settings, backend)?;
        plan.network = plan.network.clone().learning();
    }
    Ok(())
}

/// Where the task will run, what was assumed, and what a file passes on to it.
fn announce(settings: &Settings, sandbox: Option<&Sandbox>) -> Result<()> {
    match sandbox {
        Some(sandbox) => {
            say(&format!("in sandbox {}, which has {} left", sandbox.id(), words::took(time_left(sandbox)?)));
        }
        None => settings.assumed().iter().for_each(|assumed| say(assumed)),
    }
    passed_on(settings);
    Ok(())
}

/// The project's evidence and the sandbox to run in: the named one, the current one, or none.
fn place(dir: &Path, typed: &cli::Run) -> Result<(Option<Project>, Option<Sandbox>)> {
    let project = Project::open(dir, &backend::own_home())?;
    let Some(project) = project else {
        if let Some(asked) = &typed.sandbox {
            bail!("there is no sandbox {asked}: this project has none; make one with `aido sandbox up`");
        }
        return Ok((None, None));
    };
    // One that is over is refused below, and that says it.
    let asked = typed.sandbox.as_deref().and_then(|asked| project.sandbox(asked).ok());
    let word = if typed.quiet { Word::Waits } else { Word::SaidBut(asked.as_ref()) };
    crate::commands::sweep(&project, word)?;
    let sandbox = match &typed.sandbox {
        Some(asked) => Some(project.sandbox(asked)?),
        None => crate::commands::sandbox::current(&project)?,
    };
    Ok((Some(project), sandbox))
}

/// A sandbox that is up keeps the configuration it was made with; a fresh one takes the project's.
fn settings(dir: &Path, typed: &cli::Run, sandbox: Option<&Sandbox>) -> Result<(Settings, Option<Vec<u8>>, Backend)> {
    let (overrides, policy) = (typed.wanted.overrides(), Policy::of_the_user()?);
    let Some(sandbox) = sandbox else {
        let backend = backend::chosen(typed.wanted.backend, &policy)?;
        let settings = Settings::load(dir, typed.wanted.file.as_deref(), &overrides, &policy)?;
        policy.check_consent(&settings.network)?;
        let config = settings.to_yaml().into_bytes();
        return Ok((settings, Some(config), backend));
    };
    time_left(sandbox)?;
    if let Some(run) = sandbox.running()? {
        bail!(
            "run {} is still going on in sandbox {}, and its outputs would mix: wait for it (`aido logs -f {}`), or use a sandbox of its own",
            run.id(),
            sandbox.id(),
            run.id()
        );
    }
    crate::commands::sandbox::refuse_reshaping(&typed.wanted, sandbox)?;
    let backend = crate::commands::sandbox::backend_of(typed.wanted.backend, sandbox, &policy)?;
    let config = sandbox.config()?.ok_or_else(|| anyhow!("sandbox {} has lost its sandbox.yaml", sandbox.id()))?;
    let text =
        String::from_utf8(config).map_err(|_| anyhow!("the sandbox.yaml of sandbox {} is damaged", sandbox.id()))?;
    let shown = format!("sandbox.yaml of sandbox {}", sandbox.id());
    let overrides = crate::commands::sandbox::as_made(overrides, sandbox)?;
    Ok((Settings::parse(&text, &shown, dir, &overrides, &policy)?, None, backend))
}

fn time_left(sandbox: &Sandbox) -> Result<u64> {
    let state = sandbox.state()?;
    match state.left_ms()? {
        0 => bail!(
            "sandbox {} is over: its time limit of {} has passed; make a new one with `aido sandbox up`",
            sandbox.id(),
            words::took(state.ttl_ms)
        ),
        _ if state.ended.is_some() => {
            bail!("sandbox {} has ended; make a new one with `aido sandbox up`", sandbox.id())
        }
        left => Ok(left),
    }
}

fn watch(
    typed: &cli::Run,
    project: &Project,
    job: Job,
    (input, terminal): (Option<view::Sink>, Option<Terminal>),
    progress: &Shown,
) -> Result<u8> {
    let mut signals = view::catch_signals(terminal.is_some())?;
    let quiet = typed.quiet;
    let mut patience = Patience::new(job.plan.deadline, backend::building_ms(job.backend))?;
    let supervisor = supervise::start::start(job, input)?;
    if typed.detach {
        return detach(&supervisor, project, &mut patience, typed);
    }
    let (mut found, mut streamed): (Option<Run>, Option<stream::Stream>) = (None, None);
    let mut begun = |run: &str, sandbox: &str| {
        found = project.run_in(sandbox, run).ok();
        streamed = found.clone().filter(|_| typed.json).map(stream::Stream::of);
        found.as_ref().map(|run| run.folder().to_path_buf())
    };
    let mut ready = |warnings: &[String]| {
        if !quiet {
            warnings.iter().for_each(|warning| warn(warning));
        }
    };
    let Supervisor { input: stdin, link, process } = supervisor;
    // Who asked for a terminal asked for what steers it.
    let raw = typed.raw || typed.tty;
    let show = Show { raw, output: !typed.json, stdin, terminal, begun: &mut begun, ready: &mut ready, progress };
    let Watched { ended, unseen, unfinished } = view::watch(&process, &link, &mut signals, patience, show)?;
    if unfinished && !quiet && std::io::stderr().is_terminal() {
        // What is said stands on a line of its own.
        eprintln!();
    }
    if let Some(streamed) = streamed {
        streamed.end();
    }
    fault::point("run.ended");
    drop(link);
    let code = outcome::finish(typed, project, &process, ended, found.as_ref())?;
    outcome::unseen(unseen, found.as_ref());
    Ok(code)
}

/// A file may come with a repository: which of the caller's variables and secrets it hands to the task is said.
fn passed_on(settings: &Settings) {
    let from_file = settings.env.values().filter(|told| !matches!(told.at, At::Flag(_)));
    let names: Vec<&str> = from_file
        .filter_map(|told| match &told.value {
            Variable::From(name) => Some(name.as_str()),
            Variable::Literal(_) => None,
        })
        .collect();
    let file = settings.file.as_deref().unwrap_or("the configuration");
    if !names.is_empty() {
        say(&format!("{file} passes variables of yours on to the task: {}", names.join(", ")));
    }
    let reached: Vec<String> = settings.network.granted_by_file().iter().map(|line| words::inert(line)).collect();
    if !reached.is_empty() {
        say(&format!("{file} lets the task reach {}", reached.join(" · ")));
    }
    let secrets = settings.secrets.iter().filter(|told| !matches!(told.at, At::Flag(_)));
    let secrets: Vec<String> = secrets.map(|told| words::inert(&told.value)).collect();
    if !secrets.is_empty() {
        say(&format!("{file} gives secret files to the task: {}", secrets.join(", ")));
    }
}

/// Waits until the task starts, so that a refusal is still told, and leaves it alone.
fn detach(supervisor: &Supervisor, project: &Project, patience: &mut Patience, typed: &cli::Run) -> Result<u8> {
    let mut id = String::new();
    let mut begun = |run: &str| id = run.to_string();
    let mut ready = |warnings: &[String]| {
        if !typed.quiet {
            warnings.iter().for_each(|warning| warn(warning));
        }
    };
    let overdue = view::until_ready(supervisor, patience, &mut begun, &mut ready).inspect_err(|_| {
        supervisor.process.dismiss();
        supervisor.process.end();
    })?;
    if overdue.is_some() {
        supervisor.process.end();
        return Err(outcome::never_stood(project));
    }
    supervisor.link.insist(&Wish::Detach);
    match typed.json {
        true => stream::detached(&id),
        false => println!("{id}"),
    }
    Ok(0)
}
