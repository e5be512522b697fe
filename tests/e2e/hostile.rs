//! A task that tries everything; images that try to leave their root.

use crate::host::{self, marker};
use crate::project::Project;
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

/// Runs tests/probe.py in this root and holds every answer against tests/probe.expected, which
/// `ci/reference` has proven on another sandbox.
#[track_caller]
fn probed(options: &[&str]) -> crate::output::Output {
    let p = Project::with(&[("probe.py", &host::ours("probe.py")), ("input", "in\n")]);
    fs::create_dir(p.home().join(".ssh")).unwrap();
    fs::write(p.home().join("secret"), "a file of the host").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("aido-e2e-{}", marker());
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let port = tcp.local_addr().unwrap().port().to_string();
    let (secret, me) = (p.home().join("secret").display().to_string(), std::process::id().to_string());
    let mut line = vec!["run", "--quiet"];
    line.extend(options);
    line.extend(["--", "python3", "probe.py", &port, &name, &secret, "/workspace/input", &me]);
    let out = p.aido(line);
    out.ok();
    let mut wrong = Vec::new();
    for row in host::ours("probe.expected").lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (key, values) = row.split_once(" = ").unwrap();
        let values = values.split(" ; ").next().unwrap();
        let got = out.key(key);
        if !values.split('|').any(|v| v == got) {
            wrong.push(format!("{key}: expected {values}, got {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}{out}", wrong.join("\n"));
    out
}

#[test]
fn a_task_on_the_hosts_root_sees_and_can_do_what_is_promised() {
    let out = probed(&[]);
    assert_eq!(out.key("workdir"), "/workspace");
    assert_eq!(out.key("core"), "0");
    assert_eq!(out.key("terminal"), "ENXIO");
}

#[test]
fn a_task_on_an_images_root_sees_and_can_do_what_is_promised() {
    let Some(images) = host::images() else { skip!("AIDO_IMAGES is not set: run ci/test") };
    probed(&["--runtime", &format!("oci:{}", images.join("python").display())]);
}

#[test]
fn descriptors_of_the_caller_do_not_come_along() {
    let p = Project::new();
    fs::write(p.home().join("secret"), "open").unwrap();
    // The shell opens one and leaves it to aido.
    let mut command = std::process::Command::new("sh");
    let line = format!("exec 7<{}/secret 8<. ; exec \"$@\"", p.home().display());
    command.args(["-c", &line, "sh"]).arg(host::aido());
    command.args(["run", "--quiet", "--", "sh", "-c", "ls /proc/self/fd; cat <&7"]);
    command.current_dir(p.path()).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", p.home());
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(said, "0\n1\n2\n3\n", "3 is the listing itself: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_fork_bomb_ends_with_its_run() {
    let p = Project::new();
    let mark = marker();
    // Twelve generations at most, so that a sandbox without a bound does not take the machine along.
    let bomb = "f() { [ \"$1\" -gt 0 ] || exec sleep MARK; f $(($1 - 1)) & f $(($1 - 1)) & wait; }; f 7";
    let mut line = vec!["run", "--quiet", "--ttl", "3s"];
    if host::has_cgroups() {
        line.extend(["--pids", "64"]);
    }
    // Where forking fails the bomb goes out by itself; the task stays.
    let script = format!("sh -c '{bomb}'; exec sleep MARK").replace("MARK", &mark);
    line.extend(["--", "sh", "-c", &script]);
    p.aido(line).code(124);
    host::assert_gone(&mark);
}

#[test]
fn the_hosts_mounts_are_as_before() {
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let p = Project::new();
    let mut running = p.start(["run", "--quiet", "--", "sh", "-c", "echo up; sleep 1"]);
    running.wait_for("up");
    let mark = p.path().display().to_string();
    let during = fs::read_to_string("/proc/self/mountinfo").unwrap();
    running.end().ok();
    assert!(!during.contains(&mark), "a run can be seen in the host's mount table: {during}");
    assert_eq!(before.lines().count(), during.lines().count());
}

/// Imports a hostile image and, where that is not refused, runs it; returns where the store is.
fn tried(kind: &str) -> Option<(Project, bool)> {
    let images = host::images()?;
    let p = Project::new();
    // An honest image must be taken, or a refusal would say nothing.
    p.aido(["image", "import", &format!("oci:{}", images.join("tiny").display()), "honest"]).ok();
    p.aido(["run", "--quiet", "--runtime", "honest", "--", "cat", "/srv/app/motd"]).ok().stdout("from the image\n");
    let source = format!("oci:{}", images.join(format!("hostile-{kind}")).display());
    let imported = p.aido(["image", "import", &source, "enemy"]);
    if imported.code != Some(0) {
        imported.code(125);
        return Some((p, false));
    }
    let out = p.aido(["run", "--quiet", "--offline", "--runtime", "enemy", "--", "true"]);
    assert!(out.code.is_some(), "{out}");
    Some((p, true))
}

#[test]
fn an_image_writes_and_deletes_nothing_outside_of_its_root() {
    for kind in ["dotdot", "absolute", "symlink", "whiteout"] {
        let escaped = format!("/tmp/aido-escaped-{kind}");
        let canary = Path::new("/tmp/aido-canary-whiteout");
        fs::write(canary, "alive").unwrap();
        let tried = tried(kind);
        let (out, gone) = (Path::new(&escaped).exists(), !canary.exists());
        let _ = fs::remove_file(&escaped);
        let _ = fs::remove_file(canary);
        if tried.is_none() {
            skip!("AIDO_IMAGES is not set: run ci/test");
        }
        assert!(!out, "{kind}: the image wrote {escaped} on the host");
        assert!(!gone, "{kind}: the image deleted {} on the host", canary.display());
    }
}

#[test]
fn an_image_links_nothing_of_the_host_into_its_root() {
    let host_file = fs::metadata("/etc/passwd").unwrap();
    let Some((p, _)) = tried("hardlink") else { skip!("AIDO_IMAGES is not set: run ci/test") };
    walk(&p.home(), &mut |path, meta| {
        assert!((meta.dev(), meta.ino()) != (host_file.dev(), host_file.ino()), "{} is /etc/passwd", path.display());
    });
}

#[test]
fn an_image_makes_no_device_and_no_setuid_file_on_the_host() {
    for kind in ["device", "setuid"] {
        let Some((p, _)) = tried(kind) else { skip!("AIDO_IMAGES is not set: run ci/test") };
        walk(&p.home(), &mut |path, meta| {
            assert_eq!(meta.permissions().mode() & 0o6000, 0, "{} is setuid or setgid", path.display());
            let kind = meta.mode() & 0o170000;
            // Overlay's own mark for something deleted is a character device 0:0, which opens nothing.
            let whiteout = kind == 0o020000 && meta.rdev() == 0;
            assert!(
                [0o100000, 0o040000, 0o120000].contains(&kind) || whiteout,
                "{} is of kind {kind:o}",
                path.display()
            );
        });
    }
}

#[test]
fn a_blob_that_is_not_what_it_says_is_refused_and_nothing_of_it_is_kept() {
    let Some((p, accepted)) = tried("digest") else { skip!("AIDO_IMAGES is not set: run ci/test") };
    assert!(!accepted, "a layer with a wrong digest was taken");
    p.aido(["run", "--offline", "--runtime", "enemy", "--", "true"]).refused(&["enemy"]);
}

/// `ci/reference` has shown that readers differ on them; aido reads each one way, or not at all.
#[test]
fn what_tar_readers_read_differently_is_refused_in_words() {
    let Some(images) = host::images() else { skip!("AIDO_IMAGES is not set: run ci/test") };
    let (escaped, canary) = (Path::new("/tmp/aido-escaped-tape"), Path::new("/tmp/aido-canary-tape"));
    let p = Project::new();
    let tapes: Value = serde_json::from_str(&fs::read_to_string(images.join("tapes.json")).unwrap()).unwrap();
    let at = |kind: &str| format!("oci:{}:{kind}", images.join("tapes").display());
    p.aido(["image", "import", &at("latest"), "honest"]).ok();
    let listed = p.aido(["image", "list", "--json"]).ok().json().as_array().unwrap().len();
    let mut taken = 0;
    for (kind, how) in tapes.as_object().unwrap() {
        let how = how.as_str().unwrap();
        fs::write(canary, "alive").unwrap();
        let out = p.aido(["image", "import", &at(kind), "enemy"]);
        let (out_there, gone) = (escaped.symlink_metadata().is_ok(), !canary.exists());
        let _ = (fs::remove_file(canary), fs::remove_dir_all(escaped));
        assert!(!out_there && !gone, "{kind} reaches the host{out}");
        if how == "refused" {
            out.code(125).says("layer sha256:");
            assert!(!out.told().contains("panicked"), "{kind}{out}");
            continue;
        }
        taken += 1;
        out.ok();
        p.aido(["run", "-q", "--offline", "--runtime", "enemy", "--", "cat", "/t/file"]).ok().stdout(how);
        assert!(!escaped.exists(), "{kind} reaches the host when it is run");
    }
    let now = p.aido(["image", "list", "--json"]).ok().json().as_array().unwrap().len();
    assert!(taken > 2 && now == listed + taken, "{now} images of {listed} and {taken}");
}

fn walk(at: &Path, see: &mut impl FnMut(&Path, &fs::Metadata)) {
    let Ok(entries) = fs::read_dir(at) else { return };
    for entry in entries.flatten() {
        let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
        see(&entry.path(), &meta);
        if meta.is_dir() {
            walk(&entry.path(), see);
        }
    }
}
