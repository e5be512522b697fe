//! Two network namespaces for one test, made with `unshare` and `ip`: one for the gateway and the servers, and within the
//! same process one for a single thread, which is the sandbox. There is no way between the two but the gateway's listeners.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

const INSIDE: &str = "AIDO_GATEWAY_TEST_INSIDE";
/// Every address is this host; names are asked for on loopback, and nowhere else.
const SET_UP: &str = r#"
set -e
ip link set lo up
ip route add local 0.0.0.0/0 dev lo
ip -6 route add local ::/0 dev lo 2>/dev/null || true
mount -t tmpfs none /mnt
printf 'nameserver 127.0.0.1\noptions timeout:2 attempts:2\n' >/mnt/resolv.conf
printf 'hosts: dns\npasswd: files\ngroup: files\n' >/mnt/nsswitch.conf
printf '127.0.0.1 localhost\n' >/mnt/hosts
for file in resolv.conf nsswitch.conf hosts; do mount --bind /mnt/$file /etc/$file; done
exec "$@"
"#;

/// Says that something was not tried. Where everything must work that is a failure.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("AIDO_MUST_WORK").is_none(), "skipped, though everything must work: {why}");
    eprintln!("skipped: {why}");
}

/// Whether root here is root, and not somebody else who looks like it.
pub(crate) fn truly_root() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().nth(2) == Some("4294967295"))
}

/// A program's path, or the words that it was skipped.
pub(crate) fn program(name: &str) -> Option<std::path::PathBuf> {
    let found = std::env::split_paths("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// Runs the body in a namespace of its own.
pub(crate) fn inside(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        enter();
        return body();
    }
    let root = rustix::process::geteuid().is_root();
    let user: &[&str] = if root { &[] } else { &["--user", "--map-root-user"] };
    let mut unshare = Command::new("unshare");
    unshare.args(user).args(["--net", "--mount", "--propagation", "private"]);
    let able = unshare.args(["sh", "-c", SET_UP, "sh", "true"]).stdin(Stdio::null()).output();
    match able {
        Ok(output) if output.status.success() => {}
        Ok(output) => return skip(&format!("no network namespace: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => return skip(&format!("unshare: {error}")),
    }
    let (_, test) = test.split_once("::").unwrap();
    let status = Command::new("unshare")
        .args(user)
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
            "sh",
            "-c",
            SET_UP,
            "sh",
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{test} inside: {status}");
}

type Job = Box<dyn FnOnce() + Send>;
static OUTSIDE: OnceLock<Sender<Job>> = OnceLock::new();

/// This thread goes into a namespace of its own; another one stays where servers are.
fn enter() {
    let (sender, jobs) = channel::<Job>();
    std::thread::spawn(move || jobs.into_iter().for_each(|job| job()));
    OUTSIDE.set(sender).unwrap();
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    let links = "ip link set lo up && ip route add local 0.0.0.0/0 dev lo && { ip -6 route add local ::/0 dev lo 2>/dev/null || true; }";
    assert!(Command::new("sh").args(["-c", links]).status().unwrap().success());
}

/// Does something where the servers are; threads that it starts stay there.
pub(crate) fn outside<R: Send + 'static>(job: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = channel();
    let job: Job = Box::new(move || done.send(job()).unwrap());
    OUTSIDE.get().unwrap().send(job).unwrap();
    result.recv().unwrap()
}

/// A test that runs inside.
macro_rules! within {
    ($(#[$meta:meta])* fn $name:ident() $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            $crate::place::inside(concat!(module_path!(), "::", stringify!($name)), || $body);
        }
    };
}
pub(crate) use within;
