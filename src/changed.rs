//! What the tasks of a sandbox changed of the project, read from its layers.

use crate::collected;
use aido_changes::{Changes, Folder, Limits, RelPath, Stack};
use aido_evidence::{Project, Run, Sandbox};
use aido_runtime::{MountKind, Plan};
use anyhow::{Context, Result, anyhow, bail};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The changes of a sandbox; None where its tasks could change nothing, or have not yet.
pub(crate) fn of(sandbox: &Sandbox) -> Result<Option<Changes>> {
    within(sandbox, &Limits::default())
}

/// The same, and no more is read than this.
pub(crate) fn within(sandbox: &Sandbox, limits: &Limits) -> Result<Option<Changes>> {
    let Some(layers) = sandbox.known_layers()? else { return Ok(None) };
    let hidden = hidden(sandbox)?;
    let stack = Stack::open(&layers.contents())?;
    let project = Folder::open(project_folder(sandbox.project()))?;
    Ok(Some(Changes::of(stack, project, &hidden, limits)?))
}

/// The same for a command that cannot do without.
pub(crate) fn some(sandbox: &Sandbox) -> Result<Changes> {
    of(sandbox)?.ok_or_else(|| {
        anyhow!(
            "nothing was changed in sandbox {}: its tasks could only read the project, or none has run; `aido run --filesystem overlay …` lets a task change it",
            sandbox.id()
        )
    })
}

/// The sandbox that was meant: by its own ID, or by that of a run in it; without a word the newest run's.
pub(crate) fn sandbox(project: &Project, asked: Option<&str>) -> Result<Sandbox> {
    match asked {
        None | Some("latest") => match project.latest_run()? {
            Some(run) => Ok(run.sandbox().clone()),
            None => bail!("nothing was run in this project yet"),
        },
        Some(asked) if asked.starts_with('s') => Ok(project.sandbox(asked)?),
        Some(asked) => Ok(project.run(asked)?.sandbox().clone()),
    }
}

/// The folder that tasks are shown.
pub(crate) fn project_folder(project: &Project) -> &Path {
    project.folder().parent().unwrap_or(project.folder())
}

/// When the sandbox began: what the project has been given since, its tasks may never have seen.
pub(crate) fn began(sandbox: &Sandbox) -> Result<SystemTime> {
    let created = sandbox.state()?.created;
    let time: jiff::Timestamp = created.parse().with_context(|| format!("the time {created}"))?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(time.as_nanosecond()).unwrap_or_default()))
}

/// Why a person's own tools would act on a file by themselves.
pub(crate) fn active(path: &RelPath) -> Option<String> {
    collected::why_active(&String::from_utf8_lossy(path.as_bytes())).map(str::to_string)
}

/// What the last task was not shown, by the plan that it ran by.
fn hidden(sandbox: &Sandbox) -> Result<Vec<RelPath>> {
    let last: Option<Run> = sandbox.runs()?.into_iter().next();
    let stored = match last {
        Some(run) => run.plan()?,
        None => sandbox.plan()?,
    };
    let Some(stored) = stored else { return Ok(Vec::new()) };
    let plan: Plan =
        serde_json::from_slice(&stored).with_context(|| format!("the plan of sandbox {}", sandbox.id()))?;
    let hidden = plan.mounts.into_iter().find_map(|mount| match mount.kind {
        MountKind::Layered { hidden, .. } => Some(hidden),
        _ => None,
    });
    Ok(hidden.unwrap_or_default().into_iter().map(RelPath::new).collect::<Result<_, _>>()?)
}
