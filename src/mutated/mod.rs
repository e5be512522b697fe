//! `--dangerous-allow-mutations`: what a task did to the project itself, from its states before and after the run.
//!
//! The states lie in the sandbox's folder, so that what a killed supervisor left can still be told. Nothing is written into
//! the project or its repository.

mod aside;
mod git;
mod listing;

use crate::mutation::{After, Aside, Mutated, open};
use aido_evidence::{Sandbox, sha256_hex};
use aido_runtime::{Error, Plan};
use git::{Found, Git};
use listing::{Listing, What, shown};
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The folder of the states, in the sandbox's own.
const ROOM: &str = "before";
const STATE: &str = "state.json";
/// How long looking may take: before the task starts the command line waits for a minute, and after it as long as it hears
/// something.
const BEFORE: Duration = Duration::from_secs(20);
const AFTER: Duration = Duration::from_secs(60);
/// Paths that an event names before it only counts.
const NAMED: usize = 256;

/// The project before a run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Before {
    run: String,
    project: PathBuf,
    room: PathBuf,
    hidden: Vec<String>,
    kept: Vec<String>,
    listing: Listing,
    git: Option<Found>,
    /// Why there is no diff of a git work tree, though there is one.
    without: Option<String>,
}

impl Before {
    /// None: the plan's task can change nothing.
    pub(crate) fn take(plan: &Plan, sandbox: &Sandbox, run: &str) -> Result<Option<Before>, Error> {
        let Some((project, hidden, kept)) = open(plan) else { return Ok(None) };
        let failed = |e: &dyn std::fmt::Display| Error::new(format!("cannot note the project's state: {e}"));
        sandbox.discard(ROOM).map_err(|e| failed(&e))?;
        let room = sandbox.folder().join(ROOM);
        fs::create_dir(&room).map_err(|e| failed(&e))?;
        let hidden_all = hidden.to_vec();
        let listing = Listing::of(project, hidden).map_err(|e| failed(&e))?;
        let mut beat = || {};
        let (git, without) = match Git::new(project, &room, BEFORE, &mut beat).begin(&listing) {
            Ok(found) => (found, None),
            Err(why) => (None, Some(why)),
        };
        let (project, kept) = (project.to_path_buf(), kept.to_vec());
        let before = Before { run: run.into(), project, room, hidden: hidden_all, kept, listing, git, without };
        let stored = serde_json::to_vec(&before).map_err(|e| failed(&e))?;
        fs::write(before.room.join(STATE), stored).map_err(|e| failed(&e))?;
        Ok(Some(before))
    }

    /// What a killed supervisor left of this run.
    pub(crate) fn of(sandbox: &Sandbox, run: &str) -> Option<Before> {
        let stored = fs::read(sandbox.folder().join(ROOM).join(STATE)).ok()?;
        let before: Before = serde_json::from_slice(&stored).ok()?;
        // The project may have been moved since, and then another lies at its path.
        (before.run == run && before.room == sandbox.folder().join(ROOM)).then_some(before)
    }

    pub(crate) fn event(&self) -> Value {
        json!({
            "entries": self.listing.entries.len(),
            "gaps": self.listing.gaps,
            "git": self.git.as_ref().map(Found::told),
            "without_git": self.without,
            "kept": self.kept.len(),
        })
    }

    /// Takes what tools would obey out of the project, and tells what else has changed. `most`: bytes of the diff.
    pub(crate) fn after(self, sandbox: &Sandbox, most: u64, beat: &mut dyn FnMut()) -> After {
        let mut warnings = Vec::new();
        let after = match self.listing.again(&self.project, &self.hidden) {
            Ok(after) => after,
            Err(e) => {
                warnings.push(format!("what the task changed in the project is not known: it cannot be listed: {e}"));
                let _ = sandbox.discard(ROOM);
                return After { warnings, ..After::default() };
            }
        };
        let changes = self.listing.compare(&after);
        let kept: HashSet<String> = self.kept.iter().map(|path| path.bytes().map(char::from).collect()).collect();
        let place = sandbox.folder().join(aside::FOLDER).join(&self.run);
        let set_aside = aside::take(&self.project, &place, &kept, (&self.listing, &after), &changes);
        let set_aside: Vec<Aside> = set_aside
            .into_iter()
            .map(|one| Aside { at: one.at.map(|at| format!("{}/{}/{at}", aside::FOLDER, self.run)), ..one })
            .collect();
        let of = |what| changes.iter().filter(move |(_, found)| *found == what).map(|(path, _)| shown(path));
        let summary = Mutated {
            added: of(What::Added).count(),
            modified: of(What::Modified).count(),
            deleted: of(What::Deleted).count(),
            set_aside,
        };
        let list = self.list(&after, &changes);
        let (git, patch) = self.diff(&after, most, &mut warnings, beat);
        let form = if patch.is_some() { "patch" } else { "names" };
        let digest = format!("sha256:{}", sha256_hex(list.as_bytes()));
        let mut data = json!({"count": changes.len(), "digest": digest, "form": form});
        for (name, what) in [("added", What::Added), ("modified", What::Modified), ("deleted", What::Deleted)] {
            data[name] = json!({"count": of(what).count(), "paths": of(what).take(NAMED).collect::<Vec<_>>()});
        }
        data["set_aside"] = json!(summary.set_aside);
        let state = json!({"entries": after.entries.len(), "gaps": after.gaps, "git": git.as_ref().map(Found::told)});
        warnings.extend(summary.taken_out());
        warnings.extend(after.gaps.iter().map(|gap| {
            format!("not all was looked into, and what tools act on by themselves may be left there: {gap}")
        }));
        if let Err(error) = sandbox.discard(ROOM) {
            warnings.push(error.to_string());
        }
        let events = vec![("project_after", state), ("changes", data)];
        let list = list.into_bytes();
        After { summary, changes: patch.unwrap_or_else(|| list.clone()), list, events, warnings }
    }

    /// The state of the work tree after the run, and the patch.
    fn diff(
        &self,
        after: &Listing,
        most: u64,
        warnings: &mut Vec<String>,
        beat: &mut dyn FnMut(),
    ) -> (Option<Found>, Option<Vec<u8>>) {
        warnings.extend(self.without.as_ref().map(|why| format!("changes.diff is a list of names: {why}")));
        let Some(before) = &self.git else { return (None, None) };
        let mut git = Git::new(&self.project, &self.room, AFTER, beat);
        let found = git.again(before, after).and_then(|found| Ok((git.patch(before, &found, most)?, found)));
        match found {
            Ok((Some(patch), found)) => (Some(found), Some(patch)),
            Ok((None, found)) => {
                warnings.push(format!("changes.diff is a list of names: the diff has more than {most} bytes"));
                (Some(found), None)
            }
            Err(why) => {
                warnings.push(format!("changes.diff is a list of names: {why}"));
                (None, None)
            }
        }
    }

    /// Every change, one a line: what, size before and after, mode, path.
    fn list(&self, after: &Listing, changes: &[(&str, What)]) -> String {
        let mut list =
            String::from("# aido: changed entries of the project: what, bytes before and after, mode, path\n");
        for (path, what) in changes {
            let (old, new) = (self.listing.entries.get(*path), after.entries.get(*path));
            let letter = match what {
                What::Added => 'A',
                What::Modified => 'M',
                What::Deleted => 'D',
            };
            let bytes = |seen: Option<&listing::Seen>| match seen {
                Some(seen) if seen.kind() == FileType::RegularFile => seen.size.to_string(),
                _ => "-".to_string(),
            };
            let mode = new.or(old).map_or(0, |seen| seen.mode);
            let path = shown(path).escape_debug().to_string();
            let _ = writeln!(list, "{letter}\t{}\t{}\t{mode:06o}\t{path}", bytes(old), bytes(new));
        }
        list
    }
}

impl Found {
    fn told(&self) -> Value {
        json!({"head": self.head, "branch": self.branch, "dirty": self.dirty, "tree": self.tree})
    }
}
