//! Docker's credential helpers: programs of the user's that keep logins.
//!
//! They belong to whoever calls aido: their stores and agents talk to nobody else. A process that took
//! on other ids to unpack an image has its caller's process run them, over a socket.

use super::credentials::{self, MOST, Said, TIME};
use oci_distribution::secrets::RegistryAuth;
use rustix::io::Errno;
use rustix::net::SendFlags;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// The way to the process that is still the caller's, where this one no longer is.
static CALLER: OnceLock<Mutex<UnixStream>> = OnceLock::new();
/// A question that crosses it, in bytes.
const QUESTION: usize = 4 << 10;
/// What the first byte of an answer says of the rest.
const SAID: u8 = b's';
const NOTHING: u8 = b'n';
const FAILED: u8 = b'f';

#[derive(Deserialize, Serialize)]
struct Question {
    helper: String,
    server: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// From here on this process has helpers run by the one that [`serve_helpers`] at the other end.
pub fn helpers_beyond(caller: UnixStream) {
    // Only the first counts: there is one caller.
    let _ = CALLER.set(Mutex::new(caller));
}

/// Runs helpers for the other end, as whom this process is, until that end is closed.
pub fn serve_helpers(asker: UnixStream) {
    serve(asker, TIME);
}

fn serve(mut asker: UnixStream, time: Duration) {
    while let Ok(question) = receive(&mut asker, QUESTION) {
        let Ok(Question { helper, server }) = serde_json::from_slice(&question) else { return };
        let mut answer = Said::new(Vec::with_capacity(1 + MOST));
        match said(&helper, &server, time, Some(&asker)) {
            Ok(Some(said)) => {
                answer.push(SAID);
                answer.extend_from_slice(&said);
            }
            Ok(None) => answer.push(NOTHING),
            Err(why) => {
                answer.push(FAILED);
                answer.extend_from_slice(why.as_bytes());
            }
        }
        if send(&asker, &answer).is_err() {
            return;
        }
    }
}

/// The login that a helper has for a server.
pub(super) fn ask(name: &str, server: &str) -> Result<Option<RegistryAuth>, String> {
    let shown: String = name.chars().take(80).collect::<String>().escape_debug().to_string();
    let said = match CALLER.get() {
        Some(caller) => beyond(&mut caller.lock().unwrap_or_else(PoisonError::into_inner), name, server),
        None => said(name, server, TIME, None),
    };
    let login = said.and_then(|said| said.map_or(Ok(None), |said| login(&said)));
    login.map_err(|why| format!("the credential helper `{shown}` {why}"))
}

fn said(name: &str, server: &str, time: Duration, asker: Option<&UnixStream>) -> Result<Option<Said>, String> {
    let program = credentials::program(name).ok_or("is not installed")?;
    credentials::run(&program, server, time, asker.map(AsFd::as_fd))
}

fn beyond(caller: &mut UnixStream, helper: &str, server: &str) -> Result<Option<Said>, String> {
    let lost = |e: io::Error| format!("cannot be asked: {e}");
    let question = Question { helper: helper.to_owned(), server: server.to_owned() };
    let question = serde_json::to_vec(&question).map_err(|e| lost(e.into()))?;
    if question.len() > QUESTION {
        return Err("cannot be asked: its name or the server's is too long".to_owned());
    }
    send(caller, &question).map_err(lost)?;
    let mut answer = receive(caller, 1 + MOST).map_err(lost)?;
    match answer.first() {
        Some(&SAID) => {
            answer.remove(0);
            Ok(Some(answer))
        }
        Some(&NOTHING) => Ok(None),
        _ => Err(String::from_utf8_lossy(answer.get(1..).unwrap_or_default()).into_owned()),
    }
}

/// A message and, before it, its length.
fn send(to: &UnixStream, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    send_all(to, &length.to_le_bytes())?;
    send_all(to, message)
}

/// An error, and no signal, where the other end is gone: somebody else has the words for that.
fn send_all(to: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::net::send(to, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn receive(from: &mut UnixStream, most: usize) -> io::Result<Said> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > most {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut message)?;
    Ok(message)
}

fn login(said: &[u8]) -> Result<Option<RegistryAuth>, String> {
    let Answer { username, secret } =
        serde_json::from_slice(said).map_err(|_| "said something that is no login".to_owned())?;
    Ok(match (&username[..], secret.is_empty()) {
        (_, true) => None,
        ("<token>", _) => Some(RegistryAuth::Bearer(secret)),
        _ => Some(RegistryAuth::Basic(username, secret)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::credentials::{KEPT, KEPT_FAMILIES};
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::time::Instant;

    fn script(script: &str) -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("docker-credential-test");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (scratch, path)
    }

    fn heard(path: &Path, asker: Option<&UnixStream>) -> Result<Option<RegistryAuth>, String> {
        let said = credentials::run(path, "r.example", Duration::from_millis(700), asker.map(AsFd::as_fd))?;
        said.map_or(Ok(None), |said| login(&said))
    }

    fn told(script: &str) -> Result<Option<RegistryAuth>, String> {
        let (_scratch, path) = self::script(script);
        heard(&path, None)
    }

    #[test]
    fn a_helper_is_asked_by_its_protocol() {
        let basic =
            told(r#"read s; [ "$1" = get ] && echo "{\"ServerURL\":\"$s\",\"Username\":\"me\",\"Secret\":\"$s\"}""#);
        assert_eq!(basic, Ok(Some(RegistryAuth::Basic("me".to_owned(), "r.example".to_owned()))));
        let token = told(r#"echo '{"ServerURL":"","Username":"<token>","Secret":"t"}'"#);
        assert_eq!(token, Ok(Some(RegistryAuth::Bearer("t".to_owned()))));
        assert_eq!(told("echo credentials not found in native keychain; exit 1"), Ok(None));
    }

    #[test]
    fn what_a_helper_says_in_its_trouble_is_not_repeated() {
        for script in ["echo s3cret; exit 3", "echo s3cret", "echo s3cret >&2; exit 1", "kill -9 $$"] {
            let why = told(script).unwrap_err();
            assert!(!why.contains("s3cret"), "{why}");
        }
    }

    #[test]
    fn a_helper_that_hangs_or_floods_is_killed_with_all_that_it_started() {
        let scratch = tempfile::tempdir().unwrap();
        let marked = scratch.path().join("pid");
        let start = Instant::now();
        let why = told(&format!("sleep 60 & echo $! > {}; sleep 60", marked.display())).unwrap_err();
        assert!(why.contains("within") && start.elapsed() < Duration::from_secs(5), "{why} {:?}", start.elapsed());
        let pid = std::fs::read_to_string(marked).unwrap();
        let gone = || !std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|s| !s.contains(") Z "));
        while !gone() {
            assert!(start.elapsed() < Duration::from_secs(8), "what it started lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(told("cat /dev/zero").unwrap_err().contains("too much"));
        // Closed output, but no end.
        assert!(told("exec >&-; sleep 60").unwrap_err().contains("within"));
    }

    #[test]
    fn a_helper_sees_what_it_needs_and_no_more() {
        let seen =
            told(r#"printf '{"Username":"u","Secret":"%s"}' "$(env | cut -d= -f1 | tr '\n' ' ')""#).unwrap().unwrap();
        let RegistryAuth::Basic(_, names) = seen else { panic!("no login") };
        let own = ["PWD", "OLDPWD", "SHLVL", "_"];
        let odd: Vec<&str> = names
            .split_whitespace()
            .filter(|n| !own.contains(n) && !KEPT.contains(n) && !KEPT_FAMILIES.iter().any(|f| n.starts_with(f)))
            .collect();
        assert!(odd.is_empty() && names.contains("PATH"), "{names}");
    }

    #[test]
    fn another_process_has_them_run_and_hears_the_same() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || serve(there, Duration::from_millis(700)));
        let why = beyond(&mut here, "aido-has-no-such-helper", "r.example").unwrap_err();
        assert_eq!(why, "is not installed");
        assert_eq!(beyond(&mut here, "../x", "r.example").unwrap_err(), "is not installed");
        assert!(beyond(&mut here, "x", &"y".repeat(QUESTION)).unwrap_err().contains("too long"));
        drop(here);
        server.join().unwrap();
        // What claims to be long is not waited for, and no room is made for it.
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&u32::MAX.to_le_bytes()).unwrap();
        serve(there, Duration::from_millis(700));
    }

    #[test]
    fn a_helper_whose_asker_is_gone_is_ended_at_once() {
        let (_scratch, path) = script("sleep 60");
        let (here, there) = UnixStream::pair().unwrap();
        let start = Instant::now();
        let waiter = std::thread::spawn(move || {
            credentials::run(&path, "r.example", Duration::from_secs(30), Some(there.as_fd())).unwrap_err()
        });
        std::thread::sleep(Duration::from_millis(50));
        drop(here);
        assert!(waiter.join().unwrap().contains("waited for") && start.elapsed() < Duration::from_secs(5));
    }
}
