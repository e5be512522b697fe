//! The supervisor: a process apart from the command line that owns the run and is the only writer of
//! its evidence. If the command line dies, it ends the run and seals it; if it dies itself, the kernel
//! ends the sandbox, and the next command closes the record.

mod changes;
mod due;
mod gateway;
mod laid;
mod mutations;
pub(crate) mod news;
mod record;
pub(crate) mod stop;

use crate::backend::{self, Ahead, Backend, SCRATCH, fault};
use crate::host::late::Late;
pub(crate) use crate::host::{link, start};
use crate::inputs::{Entry, InputDigest};
use crate::mend;
use crate::mutation::Mutated;
use crate::process::Process;
use crate::reached::Tally;
use crate::redact;
use crate::root;
use crate::summary::{self, Bytes, Changed, SUMMARY_VERSION, Streams, Summary};
use aido_evidence::{Kind, NewSandbox, Project, Recording, Sandbox, Signer, Stream, Unsettled};
use aido_runtime::{End, Error, Io, Isolation, Outcome, Plan, Usage, Window};
use aido_secrets::Secrets;
pub(crate) use changes::Found;
use due::Due;
use link::{Link, News};
use record::Recorder;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::PipeReader;
use std::path::Path;

/// One run, ready to be started.
pub(crate) struct Job {
    pub(crate) project: Project,
    /// The sandbox to run in; none: a fresh one of its own.
    pub(crate) sandbox: Option<Sandbox>,
    /// The `sandbox.yaml` that a fresh sandbox keeps.
    pub(crate) config: Option<Vec<u8>>,
    pub(crate) plan: Plan,
    /// Values of variables that are passed on, and files that are marked as secret.
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) secret_files: BTreeMap<String, Vec<u8>>,
    /// All of them, to be kept out of the record.
    pub(crate) kept_out: Secrets,
    pub(crate) inputs: Vec<InputDigest>,
    /// Those of them whose digests are taken while the task runs.
    pub(crate) later: Vec<Entry>,
    pub(crate) hidden: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) stdin: Option<PipeReader>,
    /// The size of the caller's terminal, where the task gets one.
    pub(crate) window: Option<Window>,
    /// Keeps the image's layers in the store while the run lives.
    pub(crate) hold: Option<root::Hold>,
    /// Which engine runs it.
    pub(crate) backend: Backend,
}

/// The supervisor's whole life; the exit status of the run where it is sealed.
pub(crate) fn supervise(mut job: Job, link: Link) -> Result<u8, ()> {
    let ahead = backend::ahead(job.backend, &job.plan, job.sandbox.as_ref().and_then(keeper));
    let begun = begin(&mut job);
    let (sandbox, recording, plan) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            link.insist(&News::Failed { what: error.what, remedy: error.remedy, ran: false });
            return Err(());
        }
    };
    link.insist(&News::Begun { run: recording.id().to_string(), sandbox: sandbox.id().to_string() });
    fault::point("supervise.begun");
    match Recorder::new(recording, link, &job) {
        Ok(recorder) => conduct(job, (&sandbox, plan), recorder, ahead),
        Err(_) => Err(()),
    }
}

/// The process that keeps a sandbox, if it lives.
fn keeper(sandbox: &Sandbox) -> Option<i32> {
    let keeper = sandbox.state().ok()?.keeper?;
    let named = Process { pid: keeper.pid, start: keeper.start };
    (Process::with(named.pid) == Some(named)).then_some(named.pid)
}

/// The sandbox, the run's record, and the plan as it is stored.
fn begin(job: &mut Job) -> Result<(Sandbox, Recording, Vec<u8>), Error> {
    let failed = |e: aido_evidence::Error| mend::evidence(&e);
    let (name, plan) = redact::stored_plan(&job.kept_out, &job.plan)?;
    // Nobody reads it again: only a sandbox that is kept is asked what it was made with.
    let config = job.config.as_ref().map(|text| job.kept_out.bytes(text).unwrap_or_else(|| text.clone()));
    // First: where a key must not be used, nothing is made.
    let signer = Signer::of(job.project.home()).map_err(failed)?;
    job.warnings.extend(signer.warning());
    let sandbox = match &job.sandbox {
        Some(sandbox) => sandbox.clone(),
        None => job
            .project
            .new_sandbox(&NewSandbox {
                name: &name,
                kind: Kind::Single,
                ttl_ms: job.plan.deadline.ttl_ms,
                config: config.as_deref(),
                plan: Some(&plan),
                backend: job.backend.name(),
            })
            .map_err(failed)?,
    };
    fault::point("supervise.sandbox");
    let recording = sandbox.begin_run(job.plan.limits.output.value, signer).map_err(failed)?;
    job.warnings.extend(job.project.take_notes());
    Ok((sandbox, recording, plan))
}

/// The project that the evidence is of.
fn folder(project: &Project) -> &Path {
    project.folder().parent().unwrap_or(project.folder())
}

/// Runs the plan and seals the record, whatever comes.
fn conduct(
    job: Job,
    (sandbox, plan): (&Sandbox, Vec<u8>),
    mut recorder: Recorder,
    ahead: Option<Ahead>,
) -> Result<u8, ()> {
    recorder.warnings = job.warnings;
    let started = aido_evidence::now();
    let late = Late::begin(&job.later);
    let engine = backend::engine_after(job.backend, recorder.recording.id().as_str(), ahead);
    fault::point("supervise.engine");
    let mut draft = Draft {
        sandbox: sandbox.id().to_string(),
        plan: &job.plan,
        secrets: &job.kept_out,
        backend: job.backend.name(),
        inputs: job.inputs,
        hidden: job.hidden,
        changes: None,
        plan_digest: None,
        mutated: None,
        started,
    };
    let mut before = None;
    recorder.due = Some(Due::of(plan, &draft));
    let result = recorder.sign_on(draft.backend).and_then(|()| {
        changes::begin(sandbox, &job.plan)?;
        before = mutations::before(&job.plan, sandbox, &mut recorder)?;
        let outputs = sandbox.fresh_outputs().map_err(|e| mend::evidence(&e))?;
        let engine = engine?;
        let (layer, gate) = (laid::layer(&job.plan, sandbox)?, recorder.start_gateway(&job.plan, &job.secrets)?);
        let (stdin, window) = (job.stdin, job.window);
        let io = Io { secrets: job.secrets, secret_files: job.secret_files, outputs, layer, stdin, window, gate };
        engine.run(&job.plan, io, &mut recorder)
    });
    draft.plan_digest = recorder.plan_digest();
    recorder.finish_output();
    recorder.settle();
    drop_half(sandbox, &mut recorder);
    draft.mutated = mutations::after(before, sandbox, (&job.plan, &job.kept_out), &mut recorder);
    // From here on the image may go: nothing of the run uses it any more.
    drop(job.hold);
    // The engine removes what it can; a task may leave folders that are closed, or deeper than descriptors go.
    if let (Isolation::Landlock, Err(error)) = (job.plan.isolation, sandbox.discard(SCRATCH)) {
        recorder.warnings.push(error.to_string());
    }
    draft.changes = changes::note(&mut recorder, sandbox, draft.plan, draft.secrets);
    note_late(late, &mut draft.inputs, &mut recorder);
    fault::point("supervise.over");
    match result {
        Ok(outcome) => seal(draft, recorder, outcome, None),
        Err(error) => {
            let outcome = failed(&error, recorder.started);
            seal(draft, recorder, outcome, Some(error))
        }
    }
}

/// How a run ended whose engine failed.
fn failed(error: &Error, started: bool) -> Outcome {
    let why = error.what.clone();
    let end = if started { End::Lost { why } } else { End::Refused { why } };
    Outcome { end, usage: Usage::default(), refused: Vec::new(), executed: Vec::new() }
}

/// Half of the outputs is none: what lies there is what is listed.
fn drop_half(sandbox: &Sandbox, recorder: &mut Recorder) {
    if recorder.collected.is_lost()
        && let Err(error) = sandbox.fresh_outputs()
    {
        recorder.warnings.push(error.to_string());
    }
}

/// The digests that were taken meanwhile. One that is missing stays so in the record.
fn note_late(late: Late, inputs: &mut [InputDigest], recorder: &mut Recorder) {
    for found in late.finish(&mut || recorder.beat()) {
        let noted = serde_json::to_value(&found).map_err(|e| Error::new(e.to_string()));
        match noted.and_then(|data| recorder.note("input", data)) {
            Ok(()) => found.take_its_place(inputs),
            Err(error) => recorder.warnings.push(format!("the record lacks an event `input`: {error}")),
        }
    }
    for input in inputs.iter().filter(|input| input.pending) {
        let path = if input.path.is_empty() { "." } else { &input.path };
        recorder.warnings.push(format!("the digest of the input {path} could not be taken while the task ran"));
    }
}

/// The parts of the summary that are known before the end.
struct Draft<'a> {
    sandbox: String,
    plan: &'a Plan,
    secrets: &'a Secrets,
    backend: &'static str,
    inputs: Vec<InputDigest>,
    hidden: Vec<String>,
    changes: Option<Changed>,
    plan_digest: Option<String>,
    mutated: Option<Mutated>,
    started: String,
}

fn failure(secrets: &Secrets, error: Error, ran: bool) -> News {
    let clean = |text: String| redact::text(secrets, &text);
    News::Failed { what: clean(error.what), remedy: error.remedy.map(clean), ran }
}

fn seal(draft: Draft<'_>, mut recorder: Recorder, outcome: Outcome, error: Option<Error>) -> Result<u8, ()> {
    let exit_code = outcome.end.exit_code();
    recorder.note_limits(draft.plan, &outcome);
    let noted = recorder.note("outcome", json!({"outcome": outcome, "exit_code": exit_code}));
    fault::point("supervise.outcome");
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
        isolation: draft.plan.isolation,
        started: draft.started,
        ended: aido_evidence::now(),
        exit_code,
        outcome,
        enforced: recorder.enforced.clone(),
        warnings: recorder.warnings.clone(),
        inputs: draft.inputs,
        hidden: draft.hidden,
        outputs: recorder.collected.clone(),
        mutated: draft.mutated,
        output: Streams { stdout: bytes(Stream::Stdout), stderr: bytes(Stream::Stderr) },
        network: recorder.reached.as_mut().map(Tally::take),
        redacted: recorder.streams.total(),
        changes: draft.changes,
        plan_digest: draft.plan_digest,
        chain_head,
    };
    let Recorder { recording, link, started: ran, .. } = recorder;
    let sealed = noted.map_err(|e| e.what).and_then(|()| {
        let summary = redact::stored(draft.secrets, &summary).map_err(|e| e.to_string())?;
        recording.seal(&summary, summary.facts()).map_err(|e| e.to_string())
    });
    let news = match (error, &sealed) {
        (Some(error), _) => failure(draft.secrets, error, ran),
        (None, Ok(_)) => News::Ended { exit_code },
        (None, Err(why)) => {
            let what = format!("the task ended (status {exit_code}), but its record could not be sealed: {why}");
            News::Failed { what, remedy: None, ran }
        }
    };
    fault::point("supervise.sealed");
    leave(link, &news, sealed.ok());
    if matches!(news, News::Failed { .. }) { Err(()) } else { Ok(exit_code) }
}

/// The last word, and what comes after it.
fn leave(link: Option<Link>, news: &News, sealed: Option<Unsettled>) {
    if let Some(link) = link {
        link.insist(news);
    }
    fault::point("supervise.told");
    // Nobody waits for the disk. What does not get there keeps its mark, and the next command looks at it again.
    let _ = sealed.map(Unsettled::settle);
    fault::point("supervise.settled");
}
