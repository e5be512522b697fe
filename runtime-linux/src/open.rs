//! A folder of the host that the task changes itself: what of it stays out of reach all the same.
//!
//! Each path that is kept or hidden is a mount point, and so is every folder on the way to it: the kernel lets nobody
//! rename or remove a mount point in the namespace that it is one in. So nothing can be put in their place either. What is
//! not there when the sandbox is built cannot be held this way.

use crate::layout::{READ_ONLY, WRITABLE};
use crate::script::Op;
use crate::source::{c_string, look_exactly};
use aido_runtime::{Error, MountKind, Plan};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Mount points in one folder: a kernel has 100,000 for a namespace, and each takes time.
const MOST: usize = 8192;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// A folder on the way: it can be filled and not be moved.
    Pinned,
    Kept,
    Covered,
}

/// Whether a plan has a folder that the task changes itself.
pub(crate) fn wanted(plan: &Plan) -> bool {
    plan.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Open { .. }))
}

/// What is laid over an open folder at `target` (without the leading slash), folders before what lies in them.
pub(crate) fn guards(target: &str, source: &Path, hidden: &[String], kept: &[String]) -> Result<Vec<Op>, Error> {
    let mut ops = Vec::new();
    for (path, guard) in plan_of(hidden, kept)? {
        let on_host = source.join(&path);
        match on_host.symlink_metadata() {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::new(format!("cannot look at {}: {e}", on_host.display()))),
        }
        let seen = look_exactly(&on_host)?;
        let target = c_string(format!("{target}/{}", path.to_string_lossy()))?;
        ops.push(match guard {
            Guard::Pinned => Op::Bind { source: seen.source, target, attributes: WRITABLE },
            Guard::Kept => Op::Bind { source: seen.source, target, attributes: READ_ONLY },
            Guard::Covered => {
                let path = if seen.folder { c"void.d" } else { c"void" };
                Op::Staged { path: path.into(), target, attributes: READ_ONLY }
            }
        });
    }
    Ok(ops)
}

fn plan_of(hidden: &[String], kept: &[String]) -> Result<Vec<(PathBuf, Guard)>, Error> {
    let mut guards: BTreeMap<PathBuf, Guard> = BTreeMap::new();
    let kept = kept.iter().map(|path| (path, Guard::Kept));
    for (path, guard) in kept.chain(hidden.iter().map(|path| (path, Guard::Covered))) {
        if !crate::layout::plain(path) {
            return Err(Error::new(format!("{path:?} is no path of an open folder")));
        }
        guards.insert(PathBuf::from(path), guard);
    }
    let ends: Vec<PathBuf> = guards.keys().cloned().collect();
    for end in &ends {
        for above in end.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            guards.entry(above.to_path_buf()).or_insert(Guard::Pinned);
        }
    }
    let inside = |path: &Path, what: &[Guard]| {
        path.ancestors().skip(1).any(|above| guards.get(above).is_some_and(|guard| what.contains(guard)))
    };
    let needed = guards.iter().filter(|(path, guard)| match guard {
        Guard::Covered => !inside(path, &[Guard::Covered]),
        _ => !inside(path, &[Guard::Covered, Guard::Kept]),
    });
    let needed: Vec<(PathBuf, Guard)> = needed.map(|(path, guard)| (path.clone(), *guard)).collect();
    if needed.len() > MOST {
        let what = format!("{} places of the project would have to be kept from changes, {MOST} at most", needed.len());
        return Err(Error::new(what).remedy("--filesystem overlay, which needs none of that"));
    }
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_on_the_way_are_pinned_and_nothing_is_guarded_twice() {
        let text = |paths: &[&str]| paths.iter().map(|path| path.to_string()).collect::<Vec<_>>();
        let found = plan_of(
            &text(&[".git", "a/.vscode/.env", "a/b/.env"]),
            &text(&["a/.vscode", ".git/hooks", "a/b/c/.envrc"]),
        );
        let found: Vec<(String, &str)> = found
            .unwrap()
            .into_iter()
            .map(|(path, guard)| {
                let name = match guard {
                    Guard::Pinned => "pinned",
                    Guard::Kept => "kept",
                    Guard::Covered => "covered",
                };
                (path.display().to_string(), name)
            })
            .collect();
        let expected = [
            (".git", "covered"),
            ("a", "pinned"),
            ("a/.vscode", "kept"),
            ("a/.vscode/.env", "covered"),
            ("a/b", "pinned"),
            ("a/b/.env", "covered"),
            ("a/b/c", "pinned"),
            ("a/b/c/.envrc", "kept"),
        ];
        assert_eq!(found, expected.map(|(path, guard)| (path.to_string(), guard)));
        assert!(plan_of(&text(&["../x"]), &[]).is_err() && plan_of(&[], &text(&["/x"])).is_err());
    }
}
