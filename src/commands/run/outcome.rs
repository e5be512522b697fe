//! What the end of a watched run comes to: words, a summary, an exit status.

use crate::cli;
use crate::collected;
use crate::commands::{explained, warn};
use crate::explain::{Explanation, Source};
use crate::mutation::Mutated;
use crate::recover;
use crate::summary::Summary;
use crate::supervise::start::Child;
use crate::view::{Ended, Overdue};
use crate::words::{self, say};
use aido_evidence::{Project, Run};
use aido_runtime::{End, Error};
use anyhow::{Result, bail};

/// The supervisor has said its last word, or will not say it: then nothing of it may stay. One that has sealed its run
/// goes on by itself until that is on the disk.
pub(super) fn finish(
    typed: &cli::Run,
    project: &Project,
    process: &Child,
    ended: Ended,
    found: Option<&Run>,
) -> Result<u8> {
    match ended {
        Ended::Sealed { run, exit_code } => {
            match found.map_or(Ok(None), |run| tell(typed, run)) {
                Ok(Some(told)) => Ok(told),
                // Another command may remove a run as soon as it is sealed; how it ended is known all the same.
                Ok(None) if !typed.json => {
                    warn(&format!("run {run} was removed before more could be told of it"));
                    Ok(exit_code)
                }
                Ok(None) => bail!("run {run} was removed before its summary could be shown; it ended with {exit_code}"),
                Err(error) => Err(error),
            }
        }
        Ended::Failed { run, error, ran } => {
            process.dismiss();
            if let Some(run) = run.filter(|_| !typed.quiet) {
                let what = if ran { "the task ran" } else { "nothing ran" };
                say(&format!("{what}; the record is run {run}"));
            }
            Err(error.into())
        }
        Ended::Lost => {
            process.end();
            // It may have sealed the run and died before it could say so.
            if let Some(code) = found.map_or(Ok(None), |run| tell(typed, run))? {
                return Ok(code);
            }
            bail!("the run's supervisor was killed, and the sandbox with it{}", swept(project)?);
        }
        Ended::Overdue { why } => overdue(typed, project, process, why, found),
    }
}

/// The supervisor did not do in time what it should: it is killed, and its record closed.
fn overdue(typed: &cli::Run, project: &Project, process: &Child, why: Overdue, found: Option<&Run>) -> Result<u8> {
    let stuck = if process.end() { "was killed" } else { "does not even end when it is killed" };
    let end = match why {
        Overdue::Building => return Err(never_stood(project)),
        Overdue::Deadline { ttl_ms } => Some(End::Deadline { ttl_ms }),
        Overdue::Interrupted { signal } => Some(End::Interrupted { signal }),
        Overdue::Closing => None,
    };
    let said = found.map(|run| recover::close(run, end.clone())).unwrap_or_default();
    let told = found.map_or(Ok(None), |run| tell(typed, run))?;
    let Some(end) = end else {
        let what = "the task is over, but the run's supervisor did not seal its record in time and";
        bail!("{what} {stuck}; what there is was recorded{}", listed(&said));
    };
    say(&format!("the run's supervisor did not end the run in time and {stuck}, and the sandbox with it"));
    Ok(told.unwrap_or(end.exit_code()))
}

/// The error of a run whose supervisor never came so far as to start the task.
pub(super) fn never_stood(project: &Project) -> anyhow::Error {
    let said = swept(project).unwrap_or_else(|error| format!("; {error}"));
    let what = format!("nothing ran: the run's supervisor did not build the sandbox in time and was killed{said}");
    Error::new(what).remedy("try again; on a machine that is very busy a sandbox can take long").into()
}

fn swept(project: &Project) -> Result<String> {
    Ok(listed(&recover::sweep(project)))
}

fn listed(said: &[String]) -> String {
    said.iter().map(|line| format!("\n  {line}")).collect()
}

/// Tells how the run ended, by its summary; its exit status, if there is one.
fn tell(typed: &cli::Run, run: &Run) -> Result<Option<u8>> {
    let Some(summary) = run.summary::<Summary>()? else { return Ok(None) };
    cut_output(&summary);
    summary.mutated.iter().flat_map(Mutated::taken_out).for_each(|said| warn(&said));
    if typed.json {
        let explanations = explained::of(run, &summary);
        let value = explained::beside(serde_json::to_value(&summary)?, &explanations);
        super::stream::summary(&value);
    } else if !typed.quiet {
        say(&closing_words(run, &summary));
        if let Some(mutated) = &summary.mutated {
            say(&format!("the project itself was open to the task: {}", mutated.words()));
        }
        active(&summary);
        if !is_plain(&summary) {
            denied(&summary, &explained::of(run, &summary));
        }
    } else if is_verdict(&summary.outcome.end) {
        // The status alone does not tell whether it is the task's own: that is an error, and quiet is not silent.
        say(&closing_words(run, &summary));
    }
    if !typed.json
        && let Some(mend) = not_a_program(run, &summary)
    {
        say(&mend);
    }
    Ok(Some(summary.exit_code))
}

/// Whether aido or the kernel ended the task, or it could not be started: an end that is not the task's own doing.
fn is_verdict(end: &End) -> bool {
    !matches!(end, End::Exited { .. } | End::Signalled { .. } | End::Interrupted { .. })
}

/// Who typed a file or folder of the project as if it were a program.
fn not_a_program(run: &Run, summary: &Summary) -> Option<String> {
    let (End::NotFound { program } | End::NotExecutable { program, .. }) = &summary.outcome.end else { return None };
    let typed = summary.task.first().filter(|typed| *typed == program && !typed.contains('/'))?;
    // The evidence lies in `.aido` of the project.
    let project = run.sandbox().folder().ancestors().nth(3)?;
    let found = std::fs::metadata(project.join(typed)).ok()?;
    let name = words::inert(typed);
    if let End::NotExecutable { .. } = summary.outcome.end
        && !found.is_dir()
    {
        return None;
    }
    Some(match found.is_dir() {
        true => format!("`{name}` is a folder of the project: name the program or script to run"),
        false => format!(
            "`{name}` is a file of the project, and nothing says what runs it: name the program, as in `aido run sh {name}`, or give it a #! line"
        ),
    })
}

/// What nobody took of the output while there was time. Said quiet or not: whoever reads it must know.
pub(super) fn unseen(bytes: [u64; 2], found: Option<&Run>) {
    let logs = [("output", aido_evidence::Stream::Stdout), ("error", aido_evidence::Stream::Stderr)];
    for ((name, log), bytes) in logs.into_iter().zip(bytes).filter(|(_, bytes)| *bytes > 0) {
        let all = found.map(|run| format!("; all of it is in {}", run.output_path(log).display())).unwrap_or_default();
        warn(&format!("{} of standard {name} were not shown: nothing took them{all}", words::size(bytes)));
    }
}

/// Output that was not kept was not shown either: whoever reads it must know, quiet or not.
fn cut_output(summary: &Summary) {
    for (name, bytes) in [("output", &summary.output.stdout), ("error", &summary.output.stderr)] {
        if bytes.dropped > 0 {
            warn(&format!(
                "standard {name} was cut after {}: {} more were dropped; raise `resources: {{output: …}}`",
                words::size(bytes.kept),
                words::size(bytes.dropped)
            ));
        }
    }
}

/// One line on how it ended and where the rest is to be found.
fn closing_words(run: &Run, summary: &Summary) -> String {
    let ran = !matches!(summary.outcome.end, End::NotFound { .. } | End::NotExecutable { .. });
    let took = if ran { format!(" after {}", words::took(summary.outcome.usage.wall_ms)) } else { String::new() };
    let root = match summary.runtime.as_str() {
        "host" => "among this host's programs".to_owned(),
        image => format!("in {}", words::inert(image)),
    };
    let end = match &summary.outcome.end {
        End::Exited { code } => format!("exit {code}"),
        End::Signalled { signal } => format!("ended by {}", words::signal(*signal)),
        End::OutOfMemory { limit, .. } => format!("the memory limit of {} ended it", words::size(*limit)),
        End::OutOfDisk { limit, .. } => format!("the disk limit of {} ended it", words::size(*limit)),
        End::Deadline { ttl_ms } => format!("the time limit of {} ended it", words::took(*ttl_ms)),
        End::Interrupted { signal } => format!("interrupted ({})", words::signal(*signal)),
        End::NotFound { program } => format!("{} was not found {root}", words::inert(program)),
        End::NotExecutable { program, why } => format!("{} cannot be executed: {why}", words::inert(program)),
        End::Refused { why } | End::Lost { why } => words::inert(why),
    };
    let mut line = format!("{end}{took}, run {}", run.id());
    let kept = &summary.outputs;
    if !kept.artifacts.is_empty() {
        let folder = run.sandbox().outputs();
        line.push_str(&format!("; {} in {}", words::count(kept.artifacts.len(), "output"), folder.display()));
    }
    if let Some(changed) = summary.changes.as_ref().filter(|changed| changed.files > 0) {
        line.push_str(&format!("; changed {}", changed.words("")));
    }
    if !kept.omitted.is_empty() {
        line.push_str(&format!("; {} left out, see `aido show`", kept.omitted.len()));
    }
    line
}

/// Outputs that the user's own tools would act on: to be looked at before they are used.
fn active(summary: &Summary) {
    let found: Vec<(&str, &str)> = collected::active(&summary.outputs).collect();
    let Some((path, why)) = found.first() else { return };
    let more = if found.len() > 1 { format!(", and {} more", found.len() - 1) } else { String::new() };
    warn(&format!(
        "active content among the outputs: {} ({why}){more}; look at it before your tools do",
        words::inert(path)
    ));
}

/// Whether a run went well and nothing is on record that was denied: then nothing has to be looked up.
fn is_plain(summary: &Summary) -> bool {
    let outcome = &summary.outcome;
    let bounded = outcome.usage.pids_refused.is_some_and(|refused| refused > 0)
        || summary.output.stdout.dropped + summary.output.stderr.dropped > 0;
    summary.exit_code == 0 && outcome.refused.is_empty() && !bounded
}

/// That something was denied, and where it is explained. What only the task says counts where it failed.
fn denied(summary: &Summary, explanations: &[Explanation]) {
    let failed = summary.exit_code != 0;
    let counts = |found: &&Explanation| !found.minor && (found.from == Source::Record || failed);
    match explanations.iter().filter(counts).count() {
        0 => {}
        1 => say("1 thing was denied; `aido show` says why, and what would allow it"),
        many => say(&format!("{many} things were denied; `aido show` says why, and what would allow them")),
    }
}
