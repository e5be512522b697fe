//! The project as a folder that a task changes itself: what of it is hidden, and what is kept as it is.

use super::layered;
use super::select::{Entry, below, resolve};
use super::walk::{Budget, Kind, walk};
use crate::collected::{is_active_folder, why_active};
use crate::host::files::identity;
use crate::settings::{Error, Result, Told};
use aido_runtime::MountKind;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

/// The mount of the workspace. What a person's tools act on by themselves is kept, under each of its names.
pub(super) fn workspace(project: &Path, inputs: &[Entry], outputs: &[Told<String>]) -> Result<MountKind> {
    if let Some(told) = outputs.first() {
        let what = format!(
            "`{}` would be a place apart, and with --dangerous-allow-mutations the task writes into the project itself",
            told.value
        );
        return Err(Error::new(told.at.clone(), what).remedy("leave it away; /outputs is there all the same, and kept"));
    }
    let hidden = layered::hidden(project, inputs)?;
    let mut kept = kept(project, &hidden)?;
    // A repository that was named as an input is shown, and obeyed by git as a whole.
    let named = inputs.iter().filter(|entry| why_active(&format!("{}/x", entry.path)).is_some());
    kept.extend(named.map(|entry| entry.path.clone()));
    Ok(MountKind::Open { source: project.to_path_buf(), hidden, kept: kept.into_iter().collect() })
}

/// All names in the project that lead to one file.
type Names = BTreeMap<(u64, u64), Vec<String>>;

fn kept(project: &Path, hidden: &[String]) -> Result<BTreeSet<String>> {
    let hidden: HashSet<&str> = hidden.iter().map(String::as_str).collect();
    let (mut kept, mut names, mut heads) = (BTreeSet::new(), Names::new(), HashSet::new());
    let mut configs = Vec::new();
    walk(project, &mut Budget::new(), &mut |path, kind| {
        // A name that is no UTF-8 is in no table.
        let Some(path) = path.to_str() else { return Ok(true) };
        if hidden.contains(path) {
            // It has no other name that could be written by.
            if kind == Kind::File {
                note(project, path, &mut names);
            }
            return Ok(false);
        }
        let active = match kind {
            // A link may stand for a folder of which everything is acted on.
            Kind::Folder | Kind::Link => is_active_folder(path),
            _ => why_active(path).is_some(),
        };
        match kind {
            Kind::Link => {
                // A link itself cannot be held, what it leads to can.
                let target = resolve(project, path).ok().filter(|_| active);
                let target =
                    target.and_then(|entry| Some(entry.source.strip_prefix(project).ok()?.to_str()?.to_string()));
                kept.extend(target.filter(|target| !target.is_empty()));
                return Ok(false);
            }
            Kind::File => {
                note(project, path, &mut names);
                match path.rsplit_once('/') {
                    Some((folder, "HEAD")) => drop(heads.insert(folder.to_string())),
                    Some((folder, "config")) => configs.push(folder.to_string()),
                    _ => {}
                }
            }
            _ => {}
        }
        if active {
            kept.insert(path.to_string());
        }
        Ok(true)
    })?;
    // A repository without its name: what git obeys in it.
    for folder in configs.iter().filter(|folder| heads.contains(*folder)) {
        kept.insert(format!("{folder}/config"));
        kept.extend(Some(format!("{folder}/hooks")).filter(|hooks| project.join(hooks).is_dir()));
    }
    for same in names.into_values() {
        if same.iter().any(|path| kept.contains(path) || hidden.contains(path.as_str())) {
            kept.extend(same);
        }
    }
    let all = kept.clone();
    kept.retain(|path| !above(path).any(|above| all.contains(above)));
    kept.retain(|path| !hidden.iter().any(|hidden| path == hidden || below(path, hidden).is_some()));
    Ok(kept)
}

fn note(project: &Path, path: &str, names: &mut Names) {
    if let Ok(found) = project.join(path).symlink_metadata()
        && let Some(identity) = identity(&found)
    {
        names.entry(identity).or_default().push(path.to_string());
    }
}

fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_tools_obey_is_kept_under_all_its_names() {
        let scratch = tempfile::tempdir().unwrap();
        let project = scratch.path().canonicalize().unwrap();
        for file in [
            ".git/config",
            ".vscode/tasks.json",
            ".vscode/deep/x",
            "src/main.rs",
            "src/.envrc",
            ".github/workflows/ci.yml",
            ".github/notes",
            "docs/orders.txt",
            "bare/HEAD",
            "bare/config",
            "bare/hooks/x",
            "Makefile",
            "secret.pem",
        ] {
            fs::create_dir_all(project.join(file).parent().unwrap()).unwrap();
            fs::write(project.join(file), "").unwrap();
        }
        fs::hard_link(project.join("src/.envrc"), project.join("other-name")).unwrap();
        fs::hard_link(project.join("secret.pem"), project.join("twin")).unwrap();
        symlink("docs/orders.txt", project.join("AGENTS.md")).unwrap();
        symlink("/etc/passwd", project.join("CLAUDE.md")).unwrap();
        let found: Vec<String> =
            kept(&project, &[".git".to_string(), "secret.pem".to_string()]).unwrap().into_iter().collect();
        let expected = [
            ".github/workflows",
            ".vscode",
            "bare/config",
            "bare/hooks",
            "docs/orders.txt",
            "other-name",
            "src/.envrc",
            "twin",
        ];
        assert_eq!(found, expected);
    }
}
