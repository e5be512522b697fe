//! One run of a program of the user's that keeps logins: a credential helper, as Docker calls it.
//!
//! It speaks for a moment and about one thing; what it says may hold secrets and is never repeated.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

pub(super) const TIME: Duration = Duration::from_secs(10);
/// What a helper may say, in bytes.
pub(super) const MOST: usize = 64 << 10;
const PIECE: usize = 4 << 10;
/// What helpers need of the environment: to be found, to find the user's stores and agents, to ask
/// the user, and to reach the clouds that hand out logins.
pub(super) const KEPT: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TMPDIR",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
    "GPG_TTY",
    "PASSWORD_STORE_DIR",
    "DOCKER_CONFIG",
];
pub(super) const KEPT_FAMILIES: [&str; 5] = ["XDG_", "AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_"];
/// How a helper says that it has none; part of its protocol.
const NONE: [&str; 2] = ["credentials not found in native keychain", "no credentials server URL"];

/// The process groups of those that run.
static RUNNING: Mutex<Running> = Mutex::new(Running { groups: Vec::new(), over: false });

struct Running {
    groups: Vec<Pid>,
    /// This process ends: none is started any more.
    over: bool,
}

/// What it said, which is overwritten when it is no longer needed.
pub(super) type Said = Zeroizing<Vec<u8>>;

/// The helper in the search path. Whatever lies in the folder where we stand may be anybody's.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let here = std::env::current_dir().ok();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    std::env::split_paths(&std::env::var_os("PATH")?)
        .filter(|folder| trusted(folder, here.as_deref(), home.as_deref()))
        .map(|folder| folder.join(format!("docker-credential-{name}")))
        .find(|file| file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0))
}

/// Not below the folder where we stand, which may be a cloned project; the user's home is none.
fn trusted(folder: &Path, here: Option<&Path>, home: Option<&Path>) -> bool {
    let inside = |here: &Path| folder.starts_with(here) || folder.canonicalize().is_ok_and(|f| f.starts_with(here));
    let project = here.filter(|here| home.is_none_or(|home| !home.starts_with(here)));
    folder.is_absolute() && !project.is_some_and(inside)
}

/// What the program says of a server, if it knows it. Whoever waits for the answer may hold the other
/// end of `asker`: once that is closed, nobody does, and the program is ended.
pub(super) fn run(
    program: &Path,
    server: &str,
    time: Duration,
    asker: Option<BorrowedFd<'_>>,
) -> Result<Option<Said>, String> {
    let kept = |name: &str| KEPT.contains(&name) || KEPT_FAMILIES.iter().any(|family| name.starts_with(family));
    // Said before it runs: it may answer without reading, and a broken pipe would end this process.
    let (hears, mut says) = std::io::pipe().map_err(|e| format!("cannot be asked: {e}"))?;
    says.write_all(server.as_bytes()).map_err(|e| format!("cannot be asked: {e}"))?;
    drop(says);
    let mut command = Command::new(program);
    command
        .arg("get")
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(kept)))
        .current_dir("/")
        .stdin(hears)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    let (mut child, group) = start(&mut command)?;
    let said = converse(&mut child, time, asker);
    // Whatever it left behind goes too; the group is gone where nothing is left of it.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    // Once it is reaped, its number may be another's.
    running().groups.retain(|other| *other != group);
    let status = child.wait().map_err(|e| format!("is lost: {e}"))?;
    let said = said?;
    if status.success() {
        return Ok(Some(said));
    }
    let text = std::str::from_utf8(&said).unwrap_or_default();
    let none = NONE.iter().any(|none| text.trim().eq_ignore_ascii_case(none));
    if none { Ok(None) } else { Err(format!("failed: {status}")) }
}

fn running() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(command: &mut Command) -> Result<(Child, Pid), String> {
    let mut running = running();
    if running.over {
        return Err("is no longer waited for".to_owned());
    }
    let child = command.spawn().map_err(|e| format!("cannot be started: {e}"))?;
    let group = Pid::from_child(&child);
    running.groups.push(group);
    Ok((child, group))
}

/// Ends the login helpers that this process runs, which is about to end itself.
pub fn end_helpers() {
    let mut running = running();
    running.over = true;
    for group in &running.groups {
        let _ = rustix::process::kill_process_group(*group, Signal::KILL);
    }
}

/// What it says until it has ended. It is not yet reaped then, so that its group is still its own.
fn converse(child: &mut Child, time: Duration, asker: Option<BorrowedFd<'_>>) -> Result<Said, String> {
    let deadline = Instant::now() + time;
    let late = || format!("did not answer within {} seconds", time.as_secs());
    // Never moved while it grows: what is left behind is not overwritten.
    let mut said = Said::new(Vec::with_capacity(MOST + PIECE));
    let mut piece = Zeroizing::new([0; PIECE]);
    let Some(mut output) = child.stdout.take() else { return Err("is mute".to_owned()) };
    loop {
        let left = deadline.checked_duration_since(Instant::now()).ok_or_else(late)?;
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut heard = vec![PollFd::new(&output, PollFlags::IN)];
        heard.extend(asker.map(|asker| PollFd::from_borrowed_fd(asker, PollFlags::empty())));
        match rustix::event::poll(&mut heard, Some(&left)) {
            Ok(0) => return Err(late()),
            Ok(_) if heard.get(1).is_some_and(|asker| !asker.revents().is_empty()) => {
                return Err("is no longer waited for".to_owned());
            }
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(format!("cannot be heard: {e}")),
        }
        match output.read(&mut piece[..]) {
            Ok(0) => break,
            Ok(got) => said.extend_from_slice(&piece[..got]),
            Err(e) => return Err(format!("cannot be heard: {e}")),
        }
        if said.len() > MOST {
            return Err("says far too much".to_owned());
        }
    }
    ended(child, deadline).and_then(|ended| if ended { Ok(said) } else { Err(late()) })
}

/// Whether it ends in time, without output to tell.
fn ended(child: &Child, deadline: Instant) -> Result<bool, String> {
    let Some(pid) = Pid::from_raw(child.id().cast_signed()) else { return Err("is lost".to_owned()) };
    let only_look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while Instant::now() < deadline {
        if rustix::process::waitid(WaitId::Pid(pid), only_look).map_err(|e| format!("is lost: {e}"))?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_helper_is_taken_from_where_we_stand() {
        let (here, home) = (Path::new("/srv/project"), Path::new("/home/me"));
        let trusted = |folder: &str, here| trusted(Path::new(folder), Some(here), Some(home));
        assert!(trusted("/usr/bin", here) && trusted("/home/me/bin", here) && trusted("/home/me/bin", home));
        for folder in ["/srv/project/bin", "/srv/project", "bin", "", "."] {
            assert!(!trusted(folder, here), "{folder}");
        }
        for name in ["", "../x", "a/b", "a b"] {
            assert_eq!(program(name), None);
        }
    }
}
