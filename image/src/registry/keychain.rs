//! Docker's credential helpers: programs of the user's that keep logins.
//!
//! They speak for a moment and about one thing; what they say may hold secrets and is never repeated.

use oci_distribution::secrets::RegistryAuth;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use serde::Deserialize;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_secs(10);
/// What a helper may say, in bytes.
const MOST: usize = 64 << 10;
/// What helpers need of the environment: to be found, to find the user's stores and agents, to ask
/// the user, and to reach the clouds that hand out logins.
const KEPT: [&str; 14] = [
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
const KEPT_FAMILIES: [&str; 5] = ["XDG_", "AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_"];
/// How a helper says that it has none; part of its protocol.
const NONE: [&str; 2] = ["credentials not found in native keychain", "no credentials server URL"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The login that a helper has for a server.
pub(super) fn ask(name: &str, server: &str) -> Result<Option<RegistryAuth>, String> {
    let shown: String = name.chars().take(80).collect::<String>().escape_debug().to_string();
    let program = program(name).ok_or_else(|| format!("the credential helper `{shown}` is not installed"))?;
    answer(&program, server, TIME).map_err(|why| format!("the credential helper `{shown}` {why}"))
}

/// The helper in the search path. Whatever lies in the folder where we stand may be anybody's.
fn program(name: &str) -> Option<PathBuf> {
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

fn answer(program: &Path, server: &str, time: Duration) -> Result<Option<RegistryAuth>, String> {
    let kept = |name: &str| KEPT.contains(&name) || KEPT_FAMILIES.iter().any(|family| name.starts_with(family));
    let mut child = Command::new(program)
        .arg("get")
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(kept)))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|e| format!("cannot be started: {e}"))?;
    let said = converse(&mut child, server, time);
    // Whatever it left behind goes too; the group is gone where nothing is left of it.
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    let status = child.wait().map_err(|e| format!("is lost: {e}"))?;
    let said = said?;
    if !status.success() {
        let text = String::from_utf8_lossy(&said);
        let none = NONE.iter().any(|none| text.trim().eq_ignore_ascii_case(none));
        return if none { Ok(None) } else { Err(format!("failed: {status}")) };
    }
    let Answer { username, secret } =
        serde_json::from_slice(&said).map_err(|_| "said something that is no login".to_owned())?;
    Ok(match (&username[..], secret.is_empty()) {
        (_, true) => None,
        ("<token>", _) => Some(RegistryAuth::Bearer(secret)),
        _ => Some(RegistryAuth::Basic(username, secret)),
    })
}

/// What it says until it has ended. It is not yet reaped then, so that its group is still its own.
fn converse(child: &mut Child, server: &str, time: Duration) -> Result<Vec<u8>, String> {
    let deadline = Instant::now() + time;
    let late = || format!("did not answer within {} seconds", time.as_secs());
    if let Some(mut input) = child.stdin.take() {
        // It may answer without reading.
        let _ = input.write_all(server.as_bytes());
    }
    let mut said = Vec::new();
    let Some(mut output) = child.stdout.take() else { return Err("is mute".to_owned()) };
    loop {
        let left = deadline.checked_duration_since(Instant::now()).ok_or_else(late)?;
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match rustix::event::poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(late()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(format!("cannot be heard: {e}")),
        }
        let mut piece = [0; 4096];
        match output.read(&mut piece) {
            Ok(0) => break,
            Ok(got) => said.extend_from_slice(&piece[..got]),
            Err(e) => return Err(format!("cannot be heard: {e}")),
        }
        if said.len() > MOST {
            return Err("says far too much".to_owned());
        }
    }
    let Some(pid) = Pid::from_raw(child.id().cast_signed()) else { return Err("is lost".to_owned()) };
    let only_look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while Instant::now() < deadline {
        if rustix::process::waitid(WaitId::Pid(pid), only_look).map_err(|e| format!("is lost: {e}"))?.is_some() {
            return Ok(said);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(late())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper(script: &str) -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("docker-credential-test");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (scratch, path)
    }

    fn said(script: &str) -> Result<Option<RegistryAuth>, String> {
        let (_scratch, path) = helper(script);
        answer(&path, "r.example", Duration::from_millis(700))
    }

    #[test]
    fn a_helper_is_asked_by_its_protocol() {
        let basic =
            said(r#"read s; [ "$1" = get ] && echo "{\"ServerURL\":\"$s\",\"Username\":\"me\",\"Secret\":\"$s\"}""#);
        assert_eq!(basic, Ok(Some(RegistryAuth::Basic("me".to_owned(), "r.example".to_owned()))));
        let token = said(r#"echo '{"ServerURL":"","Username":"<token>","Secret":"t"}'"#);
        assert_eq!(token, Ok(Some(RegistryAuth::Bearer("t".to_owned()))));
        assert_eq!(said("echo credentials not found in native keychain; exit 1"), Ok(None));
    }

    #[test]
    fn what_a_helper_says_in_its_trouble_is_not_repeated() {
        for script in ["echo s3cret; exit 3", "echo s3cret", "echo s3cret >&2; exit 1", "kill -9 $$"] {
            let why = said(script).unwrap_err();
            assert!(!why.contains("s3cret"), "{why}");
        }
    }

    #[test]
    fn a_helper_that_hangs_or_floods_is_killed_with_all_that_it_started() {
        let scratch = tempfile::tempdir().unwrap();
        let marked = scratch.path().join("pid");
        let start = Instant::now();
        let why = said(&format!("sleep 60 & echo $! > {}; sleep 60", marked.display())).unwrap_err();
        assert!(why.contains("within") && start.elapsed() < Duration::from_secs(5), "{why} {:?}", start.elapsed());
        let pid = std::fs::read_to_string(marked).unwrap();
        let gone = || !std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|s| !s.contains(") Z "));
        while !gone() {
            assert!(start.elapsed() < Duration::from_secs(8), "what it started lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(said("cat /dev/zero").unwrap_err().contains("too much"));
        // Closed output, but no end.
        assert!(said("exec >&-; sleep 60").unwrap_err().contains("within"));
    }

    #[test]
    fn a_helper_sees_what_it_needs_and_no_more() {
        let seen =
            said(r#"printf '{"Username":"u","Secret":"%s"}' "$(env | cut -d= -f1 | tr '\n' ' ')""#).unwrap().unwrap();
        let RegistryAuth::Basic(_, names) = seen else { panic!("no login") };
        let own = ["PWD", "OLDPWD", "SHLVL", "_"];
        let odd: Vec<&str> = names
            .split_whitespace()
            .filter(|n| !own.contains(n) && !KEPT.contains(n) && !KEPT_FAMILIES.iter().any(|f| n.starts_with(f)))
            .collect();
        assert!(odd.is_empty() && names.contains("PATH"), "{names}");
    }

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
