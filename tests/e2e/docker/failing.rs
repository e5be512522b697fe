//! Engines that cannot, tried for real: a full disk, a socket that is somebody else's.

use super::assert_clean;
use crate::engine::{Docked, Engine};
use crate::host;
use crate::running::Running;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

/// An engine of this test's own, with so much disk. Only root can start one.
struct Small {
    engine: Engine,
    folder: PathBuf,
    _place: tempfile::TempDir,
}

fn script() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/engine"))
}

impl Small {
    #[track_caller]
    fn with(room: &str, images: PathBuf) -> Small {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("engine");
        let mut start = script();
        start.arg("start").arg(&folder).arg("docker").env("AIDO_ENGINE_ROOM", room).env("AIDO_IMAGES", &images);
        let out = start.output().expect("ci/engine");
        let told = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        let socket = told.strip_prefix("unix://").unwrap_or_else(|| panic!("no engine was started: {out:?}"));
        Small { engine: Engine::at(socket.into(), images), folder, _place: place }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let stopped = script().arg("stop").arg(&self.folder).status();
        assert!(std::thread::panicking() || stopped.is_ok_and(|status| status.success()), "the engine stays");
    }
}

#[test]
fn a_full_disk_of_the_engine_is_said_with_what_mends_it() {
    let (true, Some(images)) = (host::is_root(), host::images()) else { skip!("only root can start an engine") };
    let small = Small::with("24m", images.clone());
    let d = small.engine.project(&[]);
    // Inputs that have no room: the run fails as a whole, and leaves nothing.
    d.project.write("large", vec![7; 40 << 20]);
    let run = ["run", "--quiet", "--offline", "--runtime", "aido-test/tiny:1", "--", "true"];
    d.aido(run).code(125).says("no space left on device").says("docker system prune");
    assert_eq!(d.project.reason(), "refused");
    assert_clean(&small.engine, &d);
    d.aido(["verify"]).ok();
    std::fs::remove_file(d.project.path().join("large")).unwrap();
    d.aido(run).ok();
    assert_clean(&small.engine, &d);
    if cfg!(aido_portable) {
        return;
    }
    // An image that has no room.
    let tree = d.project.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("large"), noise(40 << 20)).unwrap();
    let packed = d.project.path().join("large.tar");
    let status = Command::new("tar").arg("-C").arg(&tree).arg("-cf").arg(&packed).arg(".").status().unwrap();
    assert!(status.success());
    std::fs::remove_dir_all(&tree).unwrap();
    d.aido(["image", "import", "rootfs-archive:large.tar", "large:1"]).ok();
    std::fs::remove_file(&packed).unwrap();
    d.aido(["run", "--quiet", "--offline", "--runtime", "large:1", "--", "true"])
        .code(125)
        .says("no space left on device")
        .says("docker system prune");
    d.aido(run).ok();
}

/// Bytes that cannot be packed.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

/// A command line of `d` as nobody, who may go to this project.
fn as_nobody(d: &Docked, args: &[&str]) -> Command {
    const NOBODY: u32 = 65534;
    let like = d.command(args);
    // Both lie in a folder of this test's own; the other home has what root has brought there.
    let own = d.project.path();
    let home = own.with_file_name("nobody");
    std::fs::set_permissions(own.parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir_all(&home).unwrap();
    for folder in [&own, &home] {
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    // The program may lie where nobody else can go.
    let program = own.join("aido-for-all");
    std::fs::copy(host::aido(), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program).args(args);
    command.env("HOME", home).current_dir(own);
    command
}

#[test]
fn a_socket_that_is_for_others_is_said_with_what_mends_it() {
    let engine = engine!();
    if !host::is_root() {
        skip!("only root can become another user");
    }
    let mode = engine.socket().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "the socket is for everybody");
    let d = engine.project(&[]);
    let run = ["run", "--offline", "--runtime", "tiny:1", "--", "true"];
    Running::start(as_nobody(&d, &run)).end().refused(&["permission denied", "usermod -aG docker", "rootless"]);
    Running::start(as_nobody(&d, &["doctor"])).end().prints("permission denied");
    assert!(!d.project.path().join(".aido").exists(), "something was made");
}
