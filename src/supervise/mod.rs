//! The supervisor: a process apart from the command line that owns the run and is the only writer of
//! its evidence. If the command line dies, it ends the run and seals it; if it dies itself, the kernel
//! ends the sandbox, and the next command closes the record.

mod fork;
pub(crate) mod link;
mod record;
pub(crate) mod stop;

use crate::inputs::InputDigest;
use crate::summary::{self, Bytes, SUMMARY_VERSION, Streams, Summary};
use aido_evidence::{Kind, NewSandbox, Project, Recording, Sandbox, Stream};
use aido_runtime::{End, Error, Io, Outcome, Plan, Runtime, Usage};
use link::{Link, News};
use nix::unistd::Pid;
use record::Recorder;
use serde_json::json;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// One run, ready to be started.
pub(crate) struct Job {
    pub(crate) project: Project,
    /// The sandbox to run in; none: a fresh one of its own.
    pub(crate) sandbox: Option<Sandbox>,
    /// The `sandbox.yaml` that a fresh sandbox keeps.
    pub(crate) config: Option<Vec<u8>>,
    pub(crate) plan: Plan,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) inputs: Vec<InputDigest>,
    pub(crate) hidden: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) stdin: Option<OwnedFd>,
    /// Keeps the image's layers in the store while the run lives.
    pub(crate) hold: Option<aido_image::Hold>,
    /// Makes the engine, given the name of the run.
    pub(crate) engine: fn(&str) -> Result<Box<dyn Runtime>, Error>,
}

/// The supervisor of a run, as its parent sees it.
pub(crate) struct Supervisor {
    pub(crate) pid: Pid,
    pub(crate) link: Link,
    /// The command line's end of the task's standard input.
    pub(crate) input: Option<OwnedFd>,
}

/// Starts the supervisor. The job is its own from here on.
pub(crate) fn start(job: Job, input: Option<OwnedFd>) -> Result<Supervisor, Error> {
    let (link, theirs) = Link::pair()?;
    match fork::fork() {
        Ok(Some(pid)) => Ok(Supervisor { pid, link, input }),
        Ok(None) => {
            // What is the command line's alone.
            drop((link, input));
            silence();
            let status = supervise(job, theirs).unwrap_or(aido_runtime::exit::AIDO_FAILED);
            std::process::exit(i32::from(status))
        }
        Err(e) => Err(Error::new(format!("cannot start the supervisor: {e}"))),
    }
}

/// The caller's streams are not the supervisor's: whoever waits for their end must not wait for it.
fn silence() {
    let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") else { return };
    let _ = nix::unistd::dup2_stdin(&null);
    let _ = nix::unistd::dup2_stdout(&null);
    let _ = nix::unistd::dup2_stderr(&null);
}

fn supervise(job: Job, link: Link) -> Result<u8, ()> {
    let begun = begin(&job);
    let (sandbox, recording) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            link.insist(&News::Failed { what: error.what, remedy: error.remedy, ran: false });
            return Err(());
        }
    };
    link.insist(&News::Begun { run: recording.id().to_string(), sandbox: sandbox.id().to_string() });
    let fresh = job.sandbox.is_none();
    let result = match Recorder::new(recording, link, job.plan.limits.output.value) {
        Ok(recorder) => conduct(job, &sandbox, recorder),
        Err(_) => Err(()),
    };
    if fresh {
        // The state only says what the lock on the record says too.
        let _ = sandbox.end("its run ended");
    }
    result
}

fn begin(job: &Job) -> Result<(Sandbox, Recording), Error> {
    let failed = |e: aido_evidence::Error| Error::new(e.to_string());
    let plan = serde_json::to_vec_pretty(&job.plan).map_err(|e| Error::new(e.to_string()))?;
    let sandbox = match &job.sandbox {
        Some(sandbox) => sandbox.clone(),
        None => job
            .project
            .new_sandbox(&NewSandbox {
                name: &job.plan.name,
                kind: Kind::Single,
                ttl_ms: job.plan.deadline.ttl_ms,
                config: job.config.as_deref(),
                plan: Some(&plan),
            })
            .map_err(failed)?,
    };
    let recording = sandbox.begin_run(job.plan.limits.output.value).map_err(failed)?;
    Ok((sandbox, recording))
}

/// Runs the plan and seals the record, whatever comes.
fn conduct(job: Job, sandbox: &Sandbox, mut recorder: Recorder) -> Result<u8, ()> {
    recorder.warnings = job.warnings;
    let started = aido_evidence::now();
    let engine = (job.engine)(recorder.recording.id().as_str());
    let mut draft = Draft {
        sandbox: sandbox.id().to_string(),
        plan: &job.plan,
        backend: engine.as_ref().map_or("none", |engine| engine.name()),
        inputs: job.inputs,
        hidden: job.hidden,
        plan_digest: None,
        started,
    };
    let result = prepare(&mut draft, &mut recorder).and_then(|()| {
        let engine = engine?;
        let outputs = sandbox.fresh_outputs().map_err(|e| Error::new(e.to_string()))?;
        engine.run(&job.plan, Io { secrets: job.secrets, outputs, stdin: job.stdin }, &mut recorder)
    });
    // From here on the image may go: nothing of the run uses it any more.
    drop(job.hold);
    match result {
        Ok(outcome) => seal(draft, recorder, outcome, None),
        Err(error) => {
            let why = error.what.clone();
            let end = if recorder.started { End::Lost { why } } else { End::Refused { why } };
            seal(draft, recorder, Outcome { end, usage: Usage::default(), refused: Vec::new() }, Some(error))
        }
    }
}

/// What is on record before anything starts.
fn prepare(draft: &mut Draft<'_>, recorder: &mut Recorder) -> Result<(), Error> {
    let plan = serde_json::to_vec_pretty(draft.plan).map_err(|e| Error::new(e.to_string()))?;
    draft.plan_digest = Some(recorder.recording.plan(&plan).map_err(|e| Error::new(e.to_string()))?);
    recorder.note(stop::EVENT, serde_json::to_value(stop::Writer::me()).unwrap_or_default())?;
    recorder.note("inputs", json!({"inputs": draft.inputs, "hidden": draft.hidden}))
}

/// The parts of the summary that are known before the end.
struct Draft<'a> {
    sandbox: String,
    plan: &'a Plan,
    backend: &'static str,
    inputs: Vec<InputDigest>,
    hidden: Vec<String>,
    plan_digest: Option<String>,
    started: String,
}

fn seal(draft: Draft<'_>, mut recorder: Recorder, outcome: Outcome, error: Option<Error>) -> Result<u8, ()> {
    let exit_code = outcome.end.exit_code();
    let data = json!({"outcome": outcome, "exit_code": exit_code});
    let noted = recorder.note("outcome", data);
    let chain_head = recorder.recording.chain_head().unwrap_or_default();
    let bytes = |stream| {
        let captured = recorder.recording.captured(stream);
        let digest = Some(recorder.recording.digest(stream));
        Bytes { kept: captured.kept, dropped: captured.dropped, digest }
    };
    let (runtime, image_digest) = summary::root_words(&draft.plan.root);
    let summary = Summary {
        version: SUMMARY_VERSION,
        run: recorder.recording.id().to_string(),
        sandbox: draft.sandbox,
        name: draft.plan.name.clone(),
        task: summary::argv(&draft.plan.task),
        runtime,
        image_digest,
        backend: draft.backend.to_string(),
        started: draft.started,
        ended: aido_evidence::now(),
        exit_code,
        outcome,
        enforced: recorder.enforced.clone(),
        warnings: recorder.warnings.clone(),
        inputs: draft.inputs,
        hidden: draft.hidden,
        outputs: recorder.collected.clone(),
        output: Streams { stdout: bytes(Stream::Stdout), stderr: bytes(Stream::Stderr) },
        plan_digest: draft.plan_digest,
        chain_head,
    };
    let Recorder { recording, link, started: ran, .. } = recorder;
    let sealed = noted.map_err(|e| e.what).and_then(|()| recording.seal(&summary).map_err(|e| e.to_string()));
    let news = match (error, sealed) {
        (Some(error), _) => News::Failed { what: error.what, remedy: error.remedy, ran },
        (None, Ok(_)) => News::Ended { exit_code },
        (None, Err(why)) => {
            let what = format!("the task ended (status {exit_code}), but its record could not be sealed: {why}");
            News::Failed { what, remedy: None, ran }
        }
    };
    let failed = matches!(news, News::Failed { .. });
    if let Some(link) = link {
        link.insist(&news);
    }
    if failed { Err(()) } else { Ok(exit_code) }
}
