//! `runs.index`: where the runs of a project are and what a list says of them, so that thousands need not be looked at.
//!
//! It is a help and no evidence: made from the runs themselves, dropped when it is damaged, of another program or of
//! another start of the machine (what it saw may have been lost since), and never asked by verification. Only runs that
//! change no more get in: sealed, and the only one of their sandbox. One whose sandbox is gone counts as gone.

use crate::clock;
use crate::error::Result;
use crate::folder::{Folder, present};
use crate::id::{Id, Of};
use crate::project::{Project, SANDBOXES};
use crate::run::Run;
use crate::sandbox::{Kind, RUNS, Sandbox};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::PathBuf;

const NAME: &str = "runs.index";
/// Bytes that are read of it at most.
const LONGEST: u64 = 256 << 20;
/// What is told of one run; more is asked for again each time.
const LONGEST_TOLD: usize = 4096;
/// Runs that are looked at anew before the index is written again.
const NEW: usize = 32;

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Itself.
    pub run: Id,
    /// Its sandbox.
    pub sandbox: Id,
    /// When it began (RFC 3339); empty where its record does not say.
    pub began: String,
    /// What was told of it when it was looked at.
    pub told: String,
}

/// What somebody tells of a run; `version` says how, and by which program.
struct Tell<'a> {
    version: &'a str,
    tell: &'a dyn Fn(&Run) -> String,
}

/// A run of the project.
enum Found<'a> {
    /// As the index has it: nothing of it changes any more.
    Known(Entry<'a>),
    /// As it was when it was looked at now, and whether nothing of it changes any more.
    Seen { listed: Listed, settled: bool },
}

impl Project {
    /// Runs, newest first: at most so many, and how many there are. `tell` is asked only for those that may have changed
    /// since they were last told of by the same `version`.
    pub fn list(&self, version: &str, tell: &dyn Fn(&Run) -> String, most: usize) -> Result<(Vec<Listed>, usize)> {
        self.survey(Some(&Tell { version, tell }), most)
    }

    /// The same, and nothing is told.
    pub(crate) fn known_runs(&self, most: usize) -> Result<Vec<Listed>> {
        Ok(self.survey(None, most)?.0)
    }

    /// Where a run of the list lies.
    pub fn place_of(&self, listed: &Listed) -> PathBuf {
        self.folder().join(SANDBOXES).join(listed.sandbox.as_str()).join(RUNS).join(listed.run.as_str())
    }

    fn survey(&self, telling: Option<&Tell>, most: usize) -> Result<(Vec<Listed>, usize)> {
        let Some(all) = self.known_sandboxes()? else { return Ok((Vec::new(), 0)) };
        let stored = self.own_folder().read(NAME, LONGEST).unwrap_or_default();
        let stored = String::from_utf8(stored).unwrap_or_default();
        let index = Index::read(&stored, &clock::boot_id()?);
        let usable = |entry: &Entry| match telling {
            None => true,
            Some(telling) => telling.version == index.version && !entry.told.is_empty(),
        };
        let places: HashMap<&str, usize> = index.runs.iter().enumerate().map(|(n, entry)| (entry.sandbox, n)).collect();
        let (mut there, mut seen, mut looked) = (vec![false; index.runs.len()], Vec::new(), 0);
        for name in all.names()? {
            match places.get(name.as_str()) {
                Some(place) if usable(&index.runs[*place]) => there[*place] = true,
                _ => {
                    let Some(sandbox) = Id::parse(Of::Sandbox, &name) else { continue };
                    seen.extend(self.look_at(&all, &sandbox, telling, &mut looked));
                }
            }
        }
        let version = telling.map_or(index.version, |telling| telling.version);
        let known = index.runs.into_iter().zip(there).filter(|(_, there)| *there).map(|(entry, _)| Found::Known(entry));
        let mut found: Vec<Found> = known.chain(seen).collect();
        // In order already, but for what was looked at now.
        found.sort_by(|a, b| b.when().cmp(&a.when()));
        if looked >= NEW {
            // Without it the next one looks at all of them again.
            let _ = self.own_folder().replace(NAME, Index::text(version, &found)?.as_bytes(), false);
        }
        let count = found.len();
        let told = telling.is_some();
        Ok((found.into_iter().take(most).filter_map(|found| found.listed(told)).collect(), count))
    }

    /// The runs of a sandbox that the index does not know.
    fn look_at(&self, all: &Folder, id: &Id, telling: Option<&Tell>, looked: &mut usize) -> Vec<Found<'static>> {
        // Gone meanwhile, or a link that wears the name of one: not ours to list.
        let Ok(Some(own)) = present(all.sub(id.as_str())) else { return Vec::new() };
        let sandbox = Sandbox::at(self.clone(), id.clone(), own);
        let Ok(runs) = sandbox.runs() else { return Vec::new() };
        let single = sandbox.state().is_ok_and(|state| state.kind == Kind::Single) && runs.len() == 1;
        let found = runs.iter().map(|run| {
            // Asked before it is told of: what is told is then its last word.
            let settled = single && run.is_sealed().unwrap_or(false);
            *looked += usize::from(settled);
            let listed = Listed {
                run: run.id().clone(),
                sandbox: id.clone(),
                began: run.begun().map(|begun| begun.time).unwrap_or_default(),
                told: telling.map(|telling| (telling.tell)(run)).unwrap_or_default(),
            };
            Found::Seen { listed, settled }
        });
        found.collect()
    }
}

impl Found<'_> {
    /// What the list is ordered by.
    fn when(&self) -> (&str, &str) {
        match self {
            Found::Known(entry) => (entry.began, entry.run),
            Found::Seen { listed, .. } => (&listed.began, listed.run.as_str()),
        }
    }

    fn listed(self, told: bool) -> Option<Listed> {
        match self {
            Found::Known(entry) => Some(Listed {
                run: Id::parse(Of::Run, entry.run)?,
                sandbox: Id::parse(Of::Sandbox, entry.sandbox)?,
                began: entry.began.to_owned(),
                told: if told { entry.told.to_owned() } else { String::new() },
            }),
            Found::Seen { listed, .. } => Some(listed),
        }
    }

    /// As it is stored, if nothing of it changes any more.
    fn entry(&self) -> Option<Entry<'_>> {
        match self {
            Found::Known(entry) => Some(*entry),
            Found::Seen { listed: Listed { run, sandbox, began, told }, settled } => {
                let entry = Entry { sandbox: sandbox.as_str(), run: run.as_str(), began, told };
                settled.then_some(entry)
            }
        }
    }
}

/// The stored form: `aido-runs-1 BOOT-ID VERSION`, then for each run `SANDBOX RUN BEGAN TOLD`, a line each, newest first.
struct Index<'a> {
    version: &'a str,
    runs: Vec<Entry<'a>>,
}

#[derive(Clone, Copy)]
struct Entry<'a> {
    sandbox: &'a str,
    run: &'a str,
    began: &'a str,
    told: &'a str,
}

impl<'a> Index<'a> {
    fn read(text: &'a str, boot_id: &str) -> Index<'a> {
        let none = Index { version: "", runs: Vec::new() };
        let Some((head, lines)) = text.split_once('\n') else { return none };
        let Some(version) = head.strip_prefix("aido-runs-1 ").and_then(|rest| rest.strip_prefix(boot_id)) else {
            return none;
        };
        // The last line ends in a newline, too; one that does not was cut.
        let whole = lines.rfind('\n').map_or("", |end| &lines[..end]);
        let runs = whole.lines().filter_map(|line| {
            let mut parts = line.splitn(4, ' ');
            let (sandbox, run, began, told) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            Id::is(Of::Run, run).then_some(Entry { sandbox, run, began, told })
        });
        Index { version: version.trim_start_matches(' '), runs: runs.collect() }
    }

    fn text(version: &str, found: &[Found]) -> Result<String> {
        let mut text = format!("aido-runs-1 {} {version}\n", clock::boot_id()?);
        for Entry { sandbox, run, began, told } in found.iter().filter_map(Found::entry) {
            if !began.is_empty() && !began.contains([' ', '\n']) && !told.contains('\n') && told.len() <= LONGEST_TOLD {
                let _ = writeln!(text, "{sandbox} {run} {began} {told}");
            }
        }
        Ok(text)
    }
}
