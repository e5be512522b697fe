//! What the tasks of a sandbox changed of the project, read from its layers.

mod kept;

use crate::collected;
use aido_changes::{Base, Changes, Folder, Limits, RelPath, Stack};
use aido_evidence::{Project, Run, Sandbox};
use aido_runtime::{MountKind, Plan};
use anyhow::{Context, Result, anyhow, bail};
pub(crate) use kept::looked_at;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Of a sandbox: what the project was where its tasks changed it.
const BASE: &str = "base.json";

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

/// `base.json` of a sandbox.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    base: Base,
    /// When a run began that was not looked at since: it goes on, or it was interrupted. Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unlooked_since_ms: Option<u64>,
}

/// What the project was where tasks of the sandbox changed it, as far as that is known.
pub(crate) fn base(sandbox: &Sandbox) -> Result<Base> {
    Ok(known(sandbox)?.base)
}

/// Takes over what the project is now where an apply wrote.
pub(crate) fn settle(sandbox: &Sandbox, left: &Base) -> Result<()> {
    if left.files.is_empty() {
        return Ok(());
    }
    let mut known = known(sandbox)?;
    known.base.replace(left.clone());
    keep(sandbox, &known)
}

/// A run begins that may change the project's layer.
pub(crate) fn run_begins(sandbox: &Sandbox) -> Result<()> {
    let mut known = known(sandbox)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    known.unlooked_since_ms.get_or_insert(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    keep(sandbox, &known)
}

/// A run is over: what the project is now was the base of its changes, unless it was written meanwhile.
pub(crate) fn run_is_over(sandbox: &Sandbox, changes: &Changes) -> Result<()> {
    let mut known = known(sandbox)?;
    let began = match known.unlooked_since_ms.take() {
        Some(began) => SystemTime::UNIX_EPOCH + Duration::from_millis(began),
        None => self::began(sandbox)?,
    };
    known.base.add(&changes.base, began);
    keep(sandbox, &known)
}

/// A fork's changes begin with those of the first.
pub(crate) fn hand_base_over(first: &Sandbox, second: &Sandbox) -> Result<()> {
    keep(second, &known(first)?)
}

fn known(sandbox: &Sandbox) -> Result<Known> {
    let path = sandbox.folder().join(BASE);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| path.display().to_string()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Known::default()),
        Err(e) => Err(e).with_context(|| path.display().to_string()),
    }
}

fn keep(sandbox: &Sandbox, known: &Known) -> Result<()> {
    let path = sandbox.folder().join(BASE);
    let fresh = path.with_extension("new");
    fs::write(&fresh, serde_json::to_vec(known)?)
        .and_then(|()| fs::rename(&fresh, &path))
        .with_context(|| path.display().to_string())
}

/// With the changes goes what they were changes of.
pub(crate) fn forget_base(sandbox: &Sandbox) -> Result<()> {
    let path = sandbox.folder().join(BASE);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e).with_context(|| path.display().to_string()),
        _ => Ok(()),
    }
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
    // A link may stand for a folder of which everything is acted on.
    collected::why_active_folder(&String::from_utf8_lossy(path.as_bytes())).map(str::to_string)
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
