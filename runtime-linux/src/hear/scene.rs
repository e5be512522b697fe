//! What the record needs to know of a run before it can make sense of its calls.

use super::places::{Places, Writable};
use super::process::Status;
use crate::script::Script;
use aido_runtime::{Error, Plan, Record};
use std::collections::HashMap;
use std::os::fd::OwnedFd;

pub(crate) struct Scene {
    pub(super) places: Places,
    pub(super) first: First,
}

/// The task's process before its first program: it cannot be read, but what it will execute is ours, and lies where it
/// lies in this process.
pub(super) struct First {
    pub(super) pid: i32,
    programs: HashMap<u64, String>,
    args: HashMap<u64, Vec<String>>,
}

impl Scene {
    /// `root` is what the task sees; `view` where the plan's places lie if there is no mount of the run's own.
    pub(crate) fn new(
        plan: &Plan,
        script: &Script,
        root: &OwnedFd,
        view: Option<String>,
        pid: i32,
    ) -> Result<Scene, Error> {
        let failed = |e: std::io::Error| Error::new(format!("cannot look at the task's root: {e}"));
        let status = Status::of(pid).ok_or_else(|| Error::new("the task's process is gone"))?;
        let places = Places {
            root: root.try_clone().map_err(failed)?,
            mounts: plan.mounts.iter().map(|mount| mount.target.clone()).collect(),
            alone: view.is_some().then(|| writable(script)),
            view,
            doors: script.doors.as_ref().map(|doors| doors.ports.clone()),
            rights: status.rights(),
            reads: plan.record == Record::Full,
            near: Default::default(),
        };
        Ok(Scene { places, first: First::of(script, pid) })
    }
}

impl First {
    fn of(script: &Script, pid: i32) -> First {
        let programs = script.exec.candidates.iter();
        let programs = programs.map(|(path, _)| (path.as_ptr() as u64, path.to_string_lossy().into_owned()));
        let args = script.exec.argv.iter().map(|words| (words.pointers().as_ptr() as u64, words.texts()));
        First { pid, programs: programs.collect(), args: args.collect() }
    }

    /// The program and arguments at these addresses.
    pub(super) fn execution(&self, path: u64, args: u64) -> Option<(String, Vec<String>)> {
        Some((self.programs.get(&path)?.clone(), self.args.get(&args)?.clone()))
    }
}

/// Where Landlock's rules allow changes.
fn writable(script: &Script) -> Vec<Writable> {
    let rules = script.wall.iter().flat_map(|wall| &wall.rules);
    let may = |right: u64, allowed: &u64| allowed & right != 0;
    let rules = rules.filter(|(_, allowed)| may(crate::wall::WRITE_FILE, allowed));
    let place = |(path, allowed): &(std::ffi::CString, u64)| Writable {
        path: format!("/{}", path.to_string_lossy()),
        folder: may(crate::wall::MAKE_REG, allowed),
    };
    rules.map(place).collect()
}
