//! What came out of a sandbox, as the user's own tools would take it: what is active, and what is new to the project.

mod active;
mod change;

use aido_runtime::{Change, Collected};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;

/// Paths that an event names before it only counts.
const NAMED: usize = 256;

/// Fills in what the engine does not know of what it collected.
pub(crate) fn look_over(collected: &mut Collected, project: &Path) {
    let heads: HashSet<String> = collected.artifacts.iter().filter_map(|a| beside(&a.path, "head")).collect();
    let mut reading = change::Reading::new(project);
    for artifact in &mut collected.artifacts {
        let repository = || {
            let folder = beside(&artifact.path, "config")?;
            heads.contains(&folder).then_some(active::REPOSITORY)
        };
        artifact.active = active::why(&artifact.path).or_else(repository).map(str::to_string);
        artifact.change = reading.compare(artifact);
    }
}

/// The folder of a file that goes by this name.
fn beside(path: &str, name: &str) -> Option<String> {
    let (folder, last) = path.rsplit_once('/').unwrap_or(("", path));
    last.eq_ignore_ascii_case(name).then(|| folder.to_lowercase())
}

/// Why a tool of the user would act on a file at this path by itself: hooks, editor and agent settings, CI files and the
/// like, but not what a build runs.
pub(crate) fn why_active(path: &str) -> Option<&'static str> {
    active::why_unasked(path)
}

/// The same of a path that is a folder, or a link that may stand for one: whatever lies in it may be acted on.
pub(crate) fn why_active_folder(path: &str) -> Option<&'static str> {
    why_active(path).or_else(|| why_active(&format!("{path}/\u{1}")))
}

/// Whether a folder is such a one.
pub(crate) fn is_active_folder(path: &str) -> bool {
    why_active_folder(path).is_some()
}

/// What of it a tool of the user may act on by itself, and why.
pub(crate) fn active(collected: &Collected) -> impl Iterator<Item = (&str, &str)> {
    collected.artifacts.iter().filter_map(|artifact| Some((artifact.path.as_str(), artifact.active.as_deref()?)))
}

/// The event `changed`: which outputs are new to the project, and which differ from what it has. `None` without outputs.
pub(crate) fn changed(collected: &Collected) -> Option<Value> {
    let of = |change| {
        let all = collected.artifacts.iter().filter(move |artifact| artifact.change == Some(change));
        all.map(|artifact| artifact.path.as_str()).collect::<Vec<_>>()
    };
    let (added, changed, same) = (of(Change::Added), of(Change::Changed), of(Change::Same).len());
    let unknown = collected.artifacts.len() - added.len() - changed.len() - same;
    let named = |paths: &[&str]| json!({"count": paths.len(), "paths": paths.iter().take(NAMED).collect::<Vec<_>>()});
    (!collected.artifacts.is_empty())
        .then(|| json!({"added": named(&added), "changed": named(&changed), "same": same, "unknown": unknown}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aido_runtime::Artifact;
    use sha2::{Digest, Sha256};

    fn artifact(path: &str, content: &[u8]) -> Artifact {
        let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        Artifact {
            path: path.into(),
            size: content.len() as u64,
            digest: format!("sha256:{digest}"),
            active: None,
            change: None,
            redacted: 0,
        }
    }

    #[test]
    fn outputs_are_held_against_the_project() {
        let project = tempfile::tempdir().unwrap();
        let at = |name: &str| project.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        for (name, text) in [("same", "one"), ("sub/other", "two"), ("longer", "three and more")] {
            std::fs::write(at(name), text).unwrap();
        }
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(secret.path(), at("link")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut collected = Collected {
            artifacts: vec![
                artifact("same", b"one"),
                artifact("sub/other", b"TWO"),
                artifact("longer", b"three"),
                artifact("new", b""),
                artifact("nowhere/new", b""),
                artifact("link", b""),
                artifact("fifo", b""),
            ],
            omitted: vec![],
        };
        look_over(&mut collected, project.path());
        let changes: Vec<Option<Change>> = collected.artifacts.iter().map(|artifact| artifact.change).collect();
        let (added, changed_, same) = (Some(Change::Added), Some(Change::Changed), Some(Change::Same));
        // What is no file in the project would be replaced by one.
        assert_eq!(changes, [same, changed_, changed_, added, added, changed_, changed_]);
        let event = changed(&collected).unwrap();
        assert_eq!((&event["added"]["count"], &event["same"]), (&json!(2), &json!(1)));
        assert_eq!(event["changed"]["paths"], json!(["sub/other", "longer", "link", "fifo"]));
        assert_eq!(changed(&Collected::default()), None);
    }

    #[test]
    fn active_content_is_marked_and_a_repository_without_its_name_too() {
        let names = [".git/config", "bare/HEAD", "bare/config", "other/config", "report.txt"];
        let artifacts = names.iter().map(|name| artifact(name, b"")).collect();
        let mut collected = Collected { artifacts, omitted: vec![] };
        look_over(&mut collected, Path::new("/nowhere"));
        let active: Vec<bool> = collected.artifacts.iter().map(|artifact| artifact.active.is_some()).collect();
        assert_eq!(active, [true, false, true, false, false]);
    }
}
