//! Where a path of the sandbox lies, by the plan alone.

use super::Facts;
use crate::inputs::{WORKSPACE, looks_secret};
use aido_runtime::{Isolation, MountKind, Plan, Root};

/// Paths are relative to the project where one is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The workspace itself.
    Workspace,
    /// The project's, and shown.
    Shown {
        path: String,
    },
    /// The project's, and kept from the task: `by` is what was hidden, this path or a folder around it.
    Hidden {
        by: String,
    },
    /// In the workspace, where no input shows anything.
    Uncovered {
        path: String,
    },
    /// An output, or `/outputs` itself.
    Output {
        path: String,
    },
    Scratch,
    /// A folder of the host that is no place of the sandbox: the project's own, by its path there.
    ProjectOnHost {
        path: String,
    },
    /// The root file system.
    Root,
    /// `/proc`, `/sys`, `/dev`.
    Kernel,
}

/// `path` is absolute, or relative to the task's working folder.
pub(super) fn locate(facts: &Facts<'_>, path: &str) -> (String, Place) {
    let path = absolute(facts.plan, path);
    let place = find(facts, &path);
    (path, place)
}

/// Without doubled slashes, `.` and `..`; links are not known here.
fn absolute(plan: &Plan, path: &str) -> String {
    let base = if path.starts_with('/') { "" } else { plan.task.workdir.as_str() };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = format!("/{}", parts.join("/"));
    match plan.isolation {
        Isolation::Full => path,
        Isolation::Landlock => as_planned(plan, path),
    }
}

/// Without namespaces the places of the plan lie in a folder of the run's own: `…/scratch/view/workspace`.
fn as_planned(plan: &Plan, path: String) -> String {
    let inside = |(at, _): (usize, &str)| {
        let rest = &path[at + "/view".len()..];
        plan.mounts.iter().any(|mount| below(rest, &mount.target).is_some()).then(|| rest.to_string())
    };
    path.match_indices("/view/").find_map(inside).unwrap_or(path)
}

fn find(facts: &Facts<'_>, path: &str) -> Place {
    // Before all else: a project below /tmp is not what the sandbox has there.
    let project = facts.project.to_str().filter(|project| project.len() > 1);
    if let Some(inside) =
        project.filter(|project| !project.starts_with(WORKSPACE)).and_then(|project| below(path, project))
    {
        return Place::ProjectOnHost { path: inside.to_string() };
    }
    let mounts = facts.plan.mounts.iter().filter_map(|mount| Some((mount, below(path, &mount.target)?)));
    // The longest target, and of several the last.
    let Some((mount, inside)) = mounts.max_by_key(|(mount, _)| mount.target.len()) else {
        return elsewhere(path);
    };
    let within = || below(path, WORKSPACE).unwrap_or_default().to_string();
    match &mount.kind {
        // Reading it is not refused.
        MountKind::Open { kept, .. } if under(kept, inside).is_some() => {
            Place::Hidden { by: under(kept, inside).cloned().unwrap_or_default() }
        }
        MountKind::Input { hidden, .. } | MountKind::Layered { hidden, .. } | MountKind::Open { hidden, .. } => {
            let by = under(hidden, inside);
            let base = below(&mount.target, WORKSPACE).unwrap_or_default();
            match by {
                Some(by) if base.is_empty() => Place::Hidden { by: by.clone() },
                Some(by) => Place::Hidden { by: format!("{base}/{by}") },
                None if within().is_empty() => Place::Workspace,
                None => Place::Shown { path: within() },
            }
        }
        MountKind::OutputFolder { path: output } | MountKind::OutputFile { path: output } => {
            let path = if output.is_empty() || inside.is_empty() {
                format!("{output}{inside}")
            } else {
                format!("{output}/{inside}")
            };
            Place::Output { path }
        }
        MountKind::Scratch { .. } => Place::Scratch,
        MountKind::Empty | MountKind::Text { .. } if within().is_empty() => Place::Workspace,
        MountKind::Empty | MountKind::Text { .. } => Place::Uncovered { path: within() },
    }
}

/// Which of these paths something is, or lies below.
fn under<'a>(paths: &'a [String], inside: &str) -> Option<&'a String> {
    paths.iter().find(|path| below(&format!("/{inside}"), &format!("/{path}")).is_some())
}

fn elsewhere(path: &str) -> Place {
    match path.split('/').nth(1) {
        Some("proc" | "sys" | "dev") => Place::Kernel,
        _ => Place::Root,
    }
}

/// What is left of a path below a folder; `None`: it does not lie there.
fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Whether a host has files of its own there that no sandbox shows: what is missing elsewhere in a root is just not there.
pub(super) fn is_hosts_own(plan: &Plan, path: &str) -> bool {
    let first = path.split('/').nth(1).unwrap_or_default();
    match plan.root {
        Root::Host => !["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "", "nonexistent"].contains(&first),
        _ => ["home", "root", "Users", "mnt", "media", "srv"].contains(&first) || looks_secret(path),
    }
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::explain::tests::Case;

    #[test]
    fn places_are_found_by_the_plan() {
        let case = Case::new("outputs: [results/, src/log]\n", &["src/a.py", ".env", ".git/config", "deep/.env"]);
        let project = case.project();
        let at = |path: &str| case.with(|facts| locate(facts, path));
        let shown = |path: &str| Place::Shown { path: path.into() };
        assert_eq!(at("src/a.py"), ("/workspace/src/a.py".into(), shown("src/a.py")));
        assert_eq!(at("./src/../x//y").1, shown("x/y"));
        assert_eq!(at(".env").1, Place::Hidden { by: ".env".into() });
        assert_eq!(at("/workspace/.git/config").1, Place::Hidden { by: ".git".into() });
        assert_eq!(at("/workspace/.gitignore").1, shown(".gitignore"));
        assert_eq!(at("deep/.env").1, Place::Hidden { by: "deep/.env".into() });
        assert_eq!(at("results/x").1, Place::Output { path: "results/x".into() });
        assert_eq!(at("/outputs/y").1, Place::Output { path: "y".into() });
        assert_eq!(at("src/log").1, Place::Output { path: "src/log".into() });
        assert_eq!((at("/tmp/x").1, at("/home/aido/.cache").1), (Place::Scratch, Place::Scratch));
        assert_eq!((at("/usr/lib").1, at("/proc/1/mem").1, at("/").1), (Place::Root, Place::Kernel, Place::Root));
        assert_eq!(at("/workspace").1, Place::Workspace);
        assert_eq!(at("../../etc/passwd").0, "/etc/passwd");
        assert_eq!(at(&format!("{project}/data/x")).1, Place::ProjectOnHost { path: "data/x".into() });
        let case = Case::new("inputs: [src/a.py]\n", &["src/a.py", "src/b.py"]);
        let at = |path: &str| case.with(|facts| locate(facts, path));
        assert_eq!(at("src/b.py").1, Place::Uncovered { path: "src/b.py".into() });
        assert_eq!(at("src/a.py").1, shown("src/a.py"));
        assert_eq!(at("/workspacex").1, Place::Root);
    }
}
