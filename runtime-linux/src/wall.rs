//! The second wall: Landlock rules that say again what the mounts say, for the day a mount fails.

use crate::source::c_string;
use crate::sys::wall;
use aido_runtime::{Error, Mount, MountKind};
use std::ffi::CString;

const EXECUTE: u64 = 1;
pub(crate) const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_DIR: u64 = 1 << 7;
pub(crate) const MAKE_REG: u64 = 1 << 8;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;

pub(crate) const LOOK: u64 = EXECUTE | READ_FILE | READ_DIR;
/// Devices are made nowhere, so those rights are in no rule.
pub(crate) const FILL: u64 = LOOK
    | WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_SYM
    | REFER
    | TRUNCATE;
/// A file that may be read and executed.
pub(crate) const READ_PROGRAM: u64 = EXECUTE | READ_FILE;
pub(crate) const USE_FILE: u64 = READ_FILE | WRITE_FILE | TRUNCATE;
pub(crate) const USE_DEVICE: u64 = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV;

/// Without the second version, which knows `REFER`, no file could be moved from one folder to another.
const OLDEST: u32 = 2;

/// The rules as the child will set them.
pub(crate) struct Wall {
    pub(crate) version: u32,
    /// Rights on files that are taken away where no rule gives them back.
    pub(crate) files: u64,
    /// Since version 6: signals and abstract sockets do not leave the task's own processes.
    pub(crate) scoped: u64,
    /// Paths in the sandbox, from its root on, and the rights there.
    pub(crate) rules: Vec<(CString, u64)>,
}

/// The version that is used, or why there is none.
pub(crate) fn version() -> Result<u32, &'static str> {
    match wall::version() {
        Ok(version) if version >= OLDEST => Ok(version),
        Ok(_) => Err("this kernel's Landlock forbids moving files between folders (it is older than 5.19)"),
        Err(_) => Err("this kernel has no Landlock, or it is not switched on"),
    }
}

/// The rules of a sandbox with these mounts.
pub(crate) fn compile(mounts: &[Mount], devices: &[&str]) -> Result<Option<Wall>, Error> {
    let Ok(version) = version() else { return Ok(None) };
    let files = known(version);
    let mut rules = vec![(c_string(".")?, LOOK)];
    for mount in mounts {
        let allowed = match mount.kind {
            MountKind::Layered { .. } | MountKind::OutputFolder { .. } | MountKind::Scratch { .. } => FILL,
            // A socket or a pipe in a person's project would be a door into the sandbox. What is kept in it only the mounts
            // hold: a rule can add rights below a folder and take none away.
            MountKind::Open { .. } => FILL & !(MAKE_SOCK | MAKE_FIFO),
            MountKind::OutputFile { .. } => USE_FILE,
            MountKind::Input { .. } | MountKind::Empty | MountKind::Text { .. } => continue,
        };
        rules.push((c_string(mount.target.trim_start_matches('/'))?, allowed));
    }
    rules.push((c_string("dev/shm")?, FILL));
    rules.push((c_string("dev/pts")?, LOOK | WRITE_FILE | IOCTL_DEV));
    for device in devices {
        rules.push((c_string(format!("dev/{device}"))?, USE_DEVICE));
    }
    let rules = rules.into_iter().map(|(path, allowed)| (path, allowed & files)).collect();
    Ok(Some(Wall { version, files, scoped: scoped(version), rules }))
}

/// The first version that bounds signals and abstract sockets.
pub(crate) const BOUNDS_SIGNALS: u32 = 6;

pub(crate) fn scoped(version: u32) -> u64 {
    if version >= BOUNDS_SIGNALS { 3 } else { 0 }
}

/// All rights on files that a version knows.
pub(crate) fn known(version: u32) -> u64 {
    let count = match version {
        1 => 13,
        2 => 14,
        3..=4 => 15,
        _ => 16,
    };
    (1 << count) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_asked_for_what_it_knows() {
        assert_eq!(known(2), 0x3FFF);
        assert_eq!(known(3), 0x7FFF);
        assert_eq!(known(7), 0xFFFF);
        // Character and block devices are made nowhere.
        assert_eq!(FILL & (1 << 6 | 1 << 11), 0);
    }

    #[test]
    fn only_what_is_writable_gets_a_rule_to_write() {
        if version().is_err() {
            eprintln!("SKIPPED: {}", version().unwrap_err());
            return;
        }
        let mount = |target: &str, kind| Mount { target: target.into(), kind };
        let mounts = [
            mount("/workspace", MountKind::Input { source: "/".into(), hidden: Vec::new(), secret: false }),
            mount("/workspace/out", MountKind::OutputFolder { path: "out".into() }),
            mount("/etc/x", MountKind::Text { content: String::new() }),
        ];
        let wall = compile(&mounts, &["null"]).unwrap().unwrap();
        let writes: Vec<&str> = wall
            .rules
            .iter()
            .filter(|(_, allowed)| allowed & WRITE_FILE != 0)
            .map(|(path, _)| path.to_str().unwrap())
            .collect();
        assert_eq!(writes, ["workspace/out", "dev/shm", "dev/pts", "dev/null"]);
        assert_eq!(wall.rules[0].1, LOOK);
    }
}
