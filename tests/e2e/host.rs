//! What this machine offers the tests.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Leaves the test out, and says why.
macro_rules! skip {
    ($($why:tt)*) => {{
        crate::host::left_out(&format!($($why)*));
        return;
    }};
}

/// What `ci/images` built.
macro_rules! images {
    () => {
        match crate::host::images() {
            Some(images) => images,
            None => skip!("AIDO_IMAGES is not set: run ci/test"),
        }
    };
}

pub(crate) fn left_out(why: &str) {
    assert!(env::var_os("AIDO_MUST_WORK").is_none_or(|v| v != "1"), "nothing may be skipped here: {why}");
    eprintln!("SKIPPED: {why}");
}

/// The program under test.
pub(crate) fn aido() -> PathBuf {
    env::var_os("AIDO_BIN").map_or_else(|| env!("CARGO_BIN_EXE_aido").into(), PathBuf::from)
}

fn folder(variable: &str, name: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(name), PathBuf::from)
}

/// Where a file of `tests/` is.
pub(crate) fn our_file(name: &str) -> PathBuf {
    folder("AIDO_TESTS", "tests").join(name)
}

/// A file of `tests/`.
pub(crate) fn ours(name: &str) -> String {
    let path = our_file(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub(crate) fn examples() -> PathBuf {
    folder("AIDO_EXAMPLES", "examples")
}

/// The folder of README.md and `docs/`.
pub(crate) fn documents() -> PathBuf {
    folder("AIDO_DOCUMENTS", ".")
}

/// What `ci/images build` wrote.
pub(crate) fn images() -> Option<PathBuf> {
    env::var_os("AIDO_IMAGES").map(PathBuf::from)
}

/// HOST:PORT of a registry that holds them.
pub(crate) fn registry() -> Option<String> {
    env::var("AIDO_REGISTRY").ok()
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether this user has a range of subordinate ids and the programs to use it.
pub(crate) fn has_subordinate_ids() -> bool {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|u| u.name).unwrap_or_default();
    let uid = nix::unistd::geteuid().to_string();
    let listed = |file: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().any(|l| l.starts_with(&format!("{user}:")) || l.starts_with(&format!("{uid}:")))
    };
    listed("/etc/subuid") && listed("/etc/subgid") && Path::new("/usr/bin/newuidmap").exists()
}

/// Whether this user may bound memory, processors and processes here. `ci/test` knows it; elsewhere what
/// `aido doctor` says is taken, since then the tests try whether that is true.
pub(crate) fn has_cgroups() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| match env::var("AIDO_CGROUPS").as_deref() {
        Ok("yes") => true,
        Ok("no") => false,
        _ => {
            let said = crate::project::Project::new().aido(["doctor", "--json"]).json();
            crate::output::find(&said, "memory").is_some_and(|m| m.to_string().contains("in-force"))
        }
    })
}

/// A text that no other test and no other process has, usable as a number for `sleep`.
pub(crate) fn marker() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("9{:07}.{:05}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Processes of the host whose arguments have `marker` in them.
pub(crate) fn alive(marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc is readable").flatten() {
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(marker) {
            found.push(format!("{}: {line}", entry.file_name().to_string_lossy()));
        }
    }
    found
}

/// Waits until `done` gives something.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        if let Some(got) = done() {
            return got;
        }
        assert!(std::time::Instant::now() < end, "waited in vain for: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Fails if anything of a run is on the host after at most a moment: the kernel reaps in its own time.
#[track_caller]
pub(crate) fn assert_gone(marker: &str) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while !alive(marker).is_empty() && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(alive(marker), Vec::<String>::new(), "these outlived their run");
}
