//! The changes for a person: one line each, or with the lines that differ.

use crate::patch::{Counted, count, is_folder, write};
use crate::{Change, Changes, Kind, Result};
use std::io::Write;

/// How much of a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Stat {
    Lines(Counted),
    /// Bytes before and after.
    Binary(u64, u64),
}

impl Kind {
    /// The letter that git has for it.
    pub fn letter(&self) -> String {
        let letter = match self {
            Kind::Deleted => "D",
            Kind::Added => "A",
            Kind::Modified | Kind::Mode | Kind::Link => "M",
            Kind::Renamed { similarity, .. } => return format!("R{similarity:03}"),
            Kind::Type => "T",
        };
        letter.to_string()
    }
}

impl Changes {
    /// What a listing shows: all, but for folders whose deletion their files tell.
    pub fn shown(&self) -> impl Iterator<Item = &Change> {
        let told = self.folders_told();
        self.list.iter().filter(move |change| !(is_folder(change) && told.contains(&change.path)))
    }

    /// One line for each change, as `git diff --name-status`; a folder ends in a slash, and what can only be shown says
    /// why in a column of its own.
    pub fn name_status(&self, out: &mut dyn Write) -> Result<()> {
        for change in self.shown() {
            let mut line = change.kind.letter().into_bytes();
            if let Kind::Renamed { from, .. } = &change.kind {
                line.push(b'\t');
                line.extend(from.quoted());
            }
            line.push(b'\t');
            line.extend(change.path.quoted());
            if is_folder(change) {
                line.push(b'/');
            }
            if let Some(why) = self.is_left_out(change) {
                line.extend(format!("\t({why})").bytes());
            }
            line.push(b'\n');
            write(out, &line)?;
        }
        Ok(())
    }

    /// How much of a changed file differs; `None` for what has no content that could be compared.
    pub fn stat(&self, change: &Change) -> Result<Option<Stat>> {
        if change.unfit().is_some() || is_folder(change) {
            return Ok(None);
        }
        let (before, after) = (self.before(change), self.after(change));
        let sizes = Stat::Binary(before.map_or(0, |side| side.entry.size), after.map_or(0, |side| side.entry.size));
        if ![before, after].iter().flatten().all(|side| side.is_text()) {
            return Ok(Some(sizes));
        }
        if before.zip(after).is_some_and(|(before, after)| before.entry.is_same_content(after.entry)) {
            return Ok(Some(Stat::Lines(Counted { added: 0, removed: 0 })));
        }
        let bytes = |side: Option<crate::patch::Side<'_>>| side.map_or_else(|| Ok(Vec::new()), |side| side.bytes());
        Ok(Some(count(&bytes(before)?, &bytes(after)?).map_or(sizes, Stat::Lines)))
    }

    /// One line for each change with what differs, and a sum, as `git diff --stat`.
    pub fn write_stat(&self, out: &mut dyn Write) -> Result<()> {
        let (mut files, mut all) = (0, Counted { added: 0, removed: 0 });
        for change in self.shown() {
            let mut line = vec![b' '];
            if let Kind::Renamed { from, .. } = &change.kind {
                line.extend([from.quoted().as_slice(), b" => "].concat());
            }
            line.extend([change.path.quoted().as_slice(), b" | "].concat());
            match self.stat(change)? {
                Some(Stat::Lines(lines)) => {
                    (all.added, all.removed) = (all.added + lines.added, all.removed + lines.removed);
                    line.extend(format!("{} {}", lines.added + lines.removed, bar(lines)).trim_end().bytes());
                }
                Some(Stat::Binary(before, after)) => line.extend(format!("Bin {before} -> {after} bytes").bytes()),
                None => line.extend(change.unfit().unwrap_or("a folder").bytes()),
            }
            line.push(b'\n');
            write(out, &line)?;
            files += 1;
        }
        let sum = format!(" {files} changed, {} lines added (+), {} lines removed (-)\n", all.added, all.removed);
        write(out, sum.as_bytes())
    }
}

/// Plus and minus signs, at most forty, each kind at least once where there is any.
fn bar(lines: Counted) -> String {
    const WIDTH: usize = 40;
    let all = lines.added + lines.removed;
    let share = |n: usize| match all > WIDTH {
        true => (n * WIDTH / all).max(usize::from(n > 0)),
        false => n,
    };
    format!("{}{}", "+".repeat(share(lines.added)), "-".repeat(share(lines.removed)))
}
