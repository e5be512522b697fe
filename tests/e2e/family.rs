//! Who belongs to a run: the command line, its supervisor, the sandbox's first process, the task.

use std::fs;
use std::path::PathBuf;

fn field(pid: i32, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(number - 3).map(str::to_owned)
}

fn pids() -> Vec<i32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether it lives: one that nobody has waited for yet does not.
pub(crate) fn lives(pid: i32) -> bool {
    field(pid, 3).is_some_and(|state| state != "Z" && state != "X")
}

/// Whether it waits at a fault point.
pub(crate) fn is_held(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "aido-fault")
}

/// Who waits at a fault point for a command of this folder, whoever its parent is by now.
pub(crate) fn held_in(folder: &std::path::Path) -> Option<i32> {
    let there = |pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
    pids().into_iter().find(|pid| is_held(*pid) && there(pid))
}

/// Processes with all of these in their arguments.
pub(crate) fn with_arguments(words: &[&str]) -> Vec<i32> {
    let line = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let has = |pid: &i32| {
        let line = String::from_utf8_lossy(&line(pid)).into_owned();
        words.iter().all(|word| line.contains(word))
    };
    pids().into_iter().filter(has).filter(|pid| lives(*pid)).collect()
}

/// Control groups of a run.
pub(crate) fn groups(run: &str) -> Vec<PathBuf> {
    fn below(folder: PathBuf, depth: usize, name: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_str().is_some_and(|own| own == name || own == format!("{name}.scope")) {
                found.push(entry.path());
            } else if depth > 0 {
                below(entry.path(), depth - 1, name, found);
            }
        }
    }
    let mut found = Vec::new();
    below("/sys/fs/cgroup".into(), 6, &format!("aido-{run}"), &mut found);
    found
}

/// A run's processes by generation: the command line, its children, theirs …
pub(crate) struct Family(Vec<Vec<i32>>);

impl Family {
    pub(crate) fn of(command_line: i32) -> Family {
        let parents: Vec<(i32, i32)> =
            pids().into_iter().filter_map(|pid| Some((pid, field(pid, 4)?.parse().ok()?))).collect();
        let mut generations = vec![vec![command_line]];
        while let Some(last) = generations.last().filter(|last| !last.is_empty()) {
            let next = parents.iter().filter(|(_, parent)| last.contains(parent)).map(|(pid, _)| *pid).collect();
            generations.push(next);
        }
        Family(generations)
    }

    fn generation(&self, number: usize) -> impl Iterator<Item = i32> + '_ {
        self.0.get(number).into_iter().flatten().copied()
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        self.0.iter().flatten().copied().collect()
    }

    pub(crate) fn supervisor(&self) -> Option<i32> {
        self.generation(1).find(|pid| lives(*pid))
    }

    /// The supervisor's child, or what brings the outputs home when the sandbox is over.
    pub(crate) fn guard(&self) -> Option<i32> {
        self.generation(2).find(|pid| lives(*pid))
    }

    pub(crate) fn held(&self) -> Option<i32> {
        self.pids().into_iter().find(|pid| is_held(*pid))
    }

    pub(crate) fn words(&self) -> String {
        let one = |pid: &i32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{pid} {} {}", name.trim(), field(*pid, 3).unwrap_or_default())
        };
        self.pids().iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
