//! Which changes were chosen.

use crate::{Error, RelPath, Result};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// All changes, those whose paths fit one of some patterns, or some by name.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    patterns: Option<GlobSet>,
    paths: Option<BTreeSet<RelPath>>,
}

impl Selection {
    /// Every change.
    pub fn all() -> Self {
        Selection::default()
    }

    /// Those that fit one of the patterns; one that names a folder takes all that lies in it. A star stays in one name,
    /// two go through folders.
    pub fn of<S: AsRef<str>>(patterns: &[S]) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let pattern = pattern.as_ref().trim_start_matches("./").trim_end_matches('/');
            let both = if pattern.is_empty() || pattern == "." {
                ["**".into(), "**".into()]
            } else {
                [pattern.to_string(), format!("{pattern}/**")]
            };
            for glob in both {
                let glob = GlobBuilder::new(&glob).literal_separator(true).backslash_escape(true).build();
                set.add(glob.map_err(|e| Error::Pattern(format!("`{pattern}`: {e}")))?);
            }
        }
        let set = set.build().map_err(|e| Error::Pattern(e.to_string()))?;
        Ok(Selection { patterns: Some(set), paths: None })
    }

    /// Exactly these paths.
    pub fn exactly(paths: impl IntoIterator<Item = RelPath>) -> Self {
        Selection { patterns: None, paths: Some(paths.into_iter().collect()) }
    }

    /// Whether a path was chosen.
    pub fn has(&self, path: &RelPath) -> bool {
        if let Some(paths) = &self.paths {
            return paths.contains(path);
        }
        let path = OsStr::from_bytes(path.as_bytes());
        self.patterns.as_ref().is_none_or(|patterns| patterns.is_match(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_takes_what_lies_in_it_and_a_star_stays_in_its_name() {
        let chosen = |patterns: &[&str], path: &str| Selection::of(patterns).unwrap().has(&RelPath::new(path).unwrap());
        assert!(chosen(&["src"], "src/a/b") && chosen(&["src/"], "src/a") && chosen(&["./src"], "src"));
        assert!(!chosen(&["src"], "src2") && !chosen(&["*.rs"], "src/a.rs") && chosen(&["**/*.rs"], "src/a.rs"));
        assert!(chosen(&["."], "a/b") && !chosen(&[], "a") && Selection::all().has(&RelPath::new("a").unwrap()));
    }
}
