//! The keeper: a small process beside a sandbox that stays, which ends it when its time is over. It sleeps and looks.

use super::native::{own_program, part};
use crate::backend;
use crate::process::Process;
use crate::recover;
use aido_evidence::{Draft, Home, Keeper, Project, Sandbox};
use aido_runtime::{Error, exit};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// The first argument by which it knows what it is.
pub(super) const PART: &str = "aido-keeper";
/// How long it may take to stand.
const PATIENCE: Duration = Duration::from_secs(20);
/// What it says when it does.
const READY: u8 = b'k';
/// How often it looks at the clock, and whether its sandbox is still there.
const LOOK: Duration = Duration::from_secs(1);
/// The variables that say where the user's own state lies, and what Windows' programs cannot be without.
const VARIABLES: [&str; 7] =
    ["HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_STATE_HOME", "XDG_DATA_HOME", "SystemRoot", "TMPDIR"];

/// A keeper that stands. Ended with this value, unless it is let go.
pub(crate) struct Standing {
    child: Child,
    identity: Process,
    let_go: bool,
}

/// Starts the keeper of a sandbox that is being made, and waits until it stands.
pub(crate) fn start(project: &Path, draft: &Draft) -> Result<Standing, Error> {
    let failed = |why: String| {
        Error::new(format!("cannot start the keeper, which ends the sandbox when its time is over: {why}"))
            .remedy("`aido run` needs none")
    };
    let mut command = part(PART);
    command.arg(project).arg(draft.id().as_str()).arg(draft.deadline_ms().to_string());
    let home = backend::own_home();
    command.args([home.keys, home.anchors].map(Option::unwrap_or_default));
    command.env_clear().envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    if let Some(top) = own_program().ancestors().last() {
        command.current_dir(top);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    let ready = child.stdout.take();
    let identity = Process::with(child.id().cast_signed());
    let mut standing = Standing { child, identity: Process { pid: 0, start: 0 }, let_go: false };
    let (Some(ready), Some(identity)) = (ready, identity) else { return Err(failed("it ended at once".into())) };
    standing.identity = identity;
    if stands(ready) { Ok(standing) } else { Err(failed("it did not come to stand".into())) }
}

/// Whether the keeper says in time that it stands.
fn stands(mut ready: impl Read + Send + 'static) -> bool {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut said = [0];
        let _ = tell.send(ready.read_exact(&mut said).is_ok() && said == [READY]);
    });
    told.recv_timeout(PATIENCE).unwrap_or(false)
}

impl Standing {
    pub(crate) fn identity(&self) -> Keeper {
        Keeper { pid: self.identity.pid, start: self.identity.start }
    }

    /// The sandbox has its name: from here on the keeper stays.
    pub(crate) fn let_go(mut self) {
        self.let_go = true;
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if !self.let_go {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The keeper's whole life.
pub(super) fn main(args: &[OsString]) -> ExitCode {
    ExitCode::from(match keep(args) {
        Ok(()) => 0,
        // Nobody listens: the next command that looks at the project does what is left.
        Err(_) => exit::AIDO_FAILED,
    })
}

fn keep(args: &[OsString]) -> Result<(), Error> {
    let failed = |e: &dyn std::fmt::Display| Error::new(e.to_string());
    let wrong = || Error::new("a keeper is started by `aido sandbox up`");
    let [dir, id, deadline, keys, anchors] = args else { return Err(wrong()) };
    let deadline = deadline.to_str().and_then(|text| text.parse::<u64>().ok());
    let (Some(id), Some(deadline)) = (id.to_str(), deadline) else { return Err(wrong()) };
    let place = |path: &OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let home = Home { keys: place(keys), anchors: place(anchors) };
    let project = Project::open(Path::new(dir), &home).map_err(|e| failed(&e))?.ok_or_else(|| failed(&"no .aido"))?;
    let mut stdout = std::io::stdout();
    stdout.write_all(&[READY]).and_then(|()| stdout.flush()).map_err(|e| failed(&e))?;
    wait_for_the_name(deadline);
    // The maker has published the sandbox, or it is dead.
    if project.discard_draft(id).map_err(|e| failed(&e))? {
        return Ok(());
    }
    wait_for_its_time(&project, id, deadline)?.map_or(Ok(()), |sandbox| recover::end_at_its_time(&sandbox))
}

/// Until the maker closes its end, or the time is over before.
fn wait_for_the_name(deadline: u64) {
    let (tell, closed) = channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(tell);
    });
    while closed.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
        if aido_evidence::boottime_ms() >= deadline {
            return;
        }
    }
}

/// Until its time is over; None if it was ended or destroyed before.
fn wait_for_its_time(project: &Project, id: &str, deadline: u64) -> Result<Option<Sandbox>, Error> {
    let there = || -> Option<Sandbox> {
        let sandbox = project.sandbox_with(id).ok()??;
        // One that cannot be read now is tried when its time is over.
        sandbox.state().map_or(true, |state| state.ended.is_none()).then_some(sandbox)
    };
    loop {
        let over = aido_evidence::boottime_ms() >= deadline;
        match there() {
            None => return Ok(None),
            Some(sandbox) if over => return Ok(Some(sandbox)),
            Some(_) => {}
        }
        let left = Duration::from_millis(deadline.saturating_sub(aido_evidence::boottime_ms()));
        std::thread::sleep(left.min(LOOK));
    }
}
