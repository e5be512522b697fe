//! What runs in the mount namespace: it mounts, works, and tells what the mount shows.

use crate::random;
use crate::sandbox::{LAYERS, ROOM, WORK};
use crate::tree::{self, Stored};
use crate::written;
use std::env;
use std::fs;
use std::path::Path;

/// No test by itself: [`crate::sandbox::Sandbox::work`] starts it.
#[test]
fn works() {
    let Some(room) = env::var_os(ROOM) else { return };
    let room = Path::new(&room);
    let work = env::var(WORK).unwrap();
    let layers: usize = env::var(LAYERS).unwrap().parse().unwrap();
    let merged = room.join("merged");
    for n in 0..layers {
        if n == 0 && work == "marks" {
            // This layer was made by hand.
            continue;
        }
        if let Err(e) = mount(room, n, &merged) {
            fs::write(room.join("no-overlay"), e.to_string()).unwrap();
            return;
        }
        match work.split_once(' ') {
            Some(("random", seed)) => random::work(&merged, seed.parse::<u64>().unwrap() * 31 + n as u64),
            _ => written::work(&work, n, &merged),
        }
        if n + 1 == layers {
            let stored = Stored(tree::read(&merged).into_iter().collect());
            fs::write(room.join("snapshot"), serde_json::to_vec(&stored).unwrap()).unwrap();
        }
        rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::empty()).unwrap();
    }
}

fn mount(room: &Path, n: usize, merged: &Path) -> rustix::io::Result<()> {
    let at = |name: String| room.join(name).display().to_string();
    let lower: Vec<String> = (0..n).rev().map(|n| at(format!("upper{n}"))).chain([at("project".into())]).collect();
    let (upper, work) = (at(format!("upper{n}")), at(format!("work{n}")));
    let options = format!("userxattr,lowerdir={},upperdir={upper},workdir={work}", lower.join(":"));
    let options = std::ffi::CString::new(options).unwrap();
    rustix::mount::mount("overlay", merged, "overlay", rustix::mount::MountFlags::empty(), Some(options.as_c_str()))
}
