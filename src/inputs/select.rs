//! `inputs:`: from patterns to files and folders of the project.

use super::given::SecretFile;
use super::looked::Look;
use super::secrets::{EVIDENCE, is_closed, looks_secret, names_secret};
use super::walk::{Budget, Kind, walk};
use crate::settings::{At, Error, Result, Told, distance};
use globset::{GlobBuilder, GlobMatcher};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Inputs that one sandbox may have.
const MAX_INPUTS: usize = 20_000;

/// Paths that one folder may have to hide.
const MAX_HIDDEN: usize = 4096;

/// A file or folder of the project that the task is to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where, relative to `/workspace`; empty for the project folder itself.
    pub path: String,
    /// The file or folder itself, without a link in its path.
    pub source: PathBuf,
    pub folder: bool,
    /// What is not shown of a folder, relative to it.
    pub hidden: Vec<String>,
}

/// A selection in the making.
pub(super) struct Selection<'a> {
    project: &'a Path,
    budget: &'a mut Budget,
    /// Where it stands what earlier looks saw.
    memory: Option<&'a Path>,
    /// By path; `true` for what was named exactly.
    found: BTreeMap<String, (Entry, bool)>,
}

impl<'a> Selection<'a> {
    /// `project` holds no link.
    pub(super) fn new(project: &'a Path, budget: &'a mut Budget, memory: Option<&'a Path>) -> Self {
        Selection { project, budget, memory, found: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, wanted: &Told<String>) -> Result<()> {
        let (pattern, folders_only) = normal(wanted)?;
        if pattern.contains(['*', '?', '[', '{', '\\']) {
            self.add_matches(wanted, &pattern, folders_only)?;
        } else {
            self.add_named(wanted, &pattern, folders_only)?;
        }
        if self.found.len() > MAX_INPUTS {
            let what = format!("`{}` brings the inputs to more than {MAX_INPUTS}", wanted.value);
            return Err(Error::new(wanted.at.clone(), what).remedy("name the folder instead of its files"));
        }
        Ok(())
    }

    /// A file that the task needs, by its exact path.
    pub(super) fn add_file(&mut self, path: &str) -> Result<()> {
        let entry = resolve(self.project, path).map_err(|what| Error::new(At::Nowhere, what))?;
        self.refuse_disguise(&At::Nowhere, path, &entry)?;
        self.found.insert(path.to_string(), (entry, true));
        Ok(())
    }

    fn add_named(&mut self, wanted: &Told<String>, path: &str, folder_only: bool) -> Result<()> {
        let fail = |what: String| Error::new(wanted.at.clone(), what);
        if self.project.join(path).symlink_metadata().is_err() {
            return Err(missing(wanted, self.project, path));
        }
        let entry = resolve(self.project, path).map_err(fail)?;
        if folder_only && !entry.folder {
            return Err(
                fail(format!("`{path}` is a file, not a folder")).remedy(format!("write `{path}` without the slash"))
            );
        }
        self.refuse_disguise(&wanted.at, path, &entry)?;
        self.found.insert(path.to_string(), (entry, true));
        Ok(())
    }

    /// Naming a secret exactly gives it; a link with a harmless name must not, and nothing gives the evidence.
    fn refuse_disguise(&self, at: &At, path: &str, entry: &Entry) -> Result<()> {
        let real = entry.source.strip_prefix(self.project).unwrap_or(&entry.source).to_string_lossy();
        let evidence = |path: &str| path.split('/').next() == Some(EVIDENCE);
        if evidence(&real) || evidence(path) {
            let what = format!("`{path}` is the evidence of earlier runs, which no task is shown");
            return Err(Error::new(at.clone(), what).remedy("copy what the task needs of it into the project"));
        }
        if real != path && is_secret(&real, entry.folder) {
            let what = format!("`{path}` is a link to `{real}`, which looks like a secret");
            return Err(Error::new(at.clone(), what).remedy(format!("name `{real}` itself if the task is to have it")));
        }
        Ok(())
    }

    fn add_matches(&mut self, wanted: &Told<String>, pattern: &str, folders_only: bool) -> Result<()> {
        let fail = |what: String| Error::new(wanted.at.clone(), what);
        let matcher = matcher(pattern).map_err(fail)?;
        let base: Vec<&str> =
            pattern.split('/').take_while(|part| !part.contains(['*', '?', '[', '{', '\\'])).collect();
        let base = base.join("/");
        let (mut matched, mut kept_back) = (0, Vec::new());
        let root = self.project.join(&base);
        if root.is_dir() {
            let root = resolve(self.project, &base).map_err(fail)?.source;
            let (project, found) = (self.project, &mut self.found);
            walk(&root, self.budget, &mut |below, kind| {
                let Some(path) = below.to_str().map(|below| within(&base, below)) else { return Ok(false) };
                let name = path.rsplit('/').next().unwrap_or_default();
                if !matcher.is_match(&path) {
                    return Ok(!is_closed(name));
                }
                if matches!(kind, Kind::Other | Kind::Closed) || (folders_only && kind == Kind::File) {
                    return Ok(false);
                }
                let entry = resolve(project, &path).map_err(fail)?;
                let real = entry.source.strip_prefix(project).unwrap_or(&entry.source).to_string_lossy().into_owned();
                if folders_only && !entry.folder {
                    return Ok(false);
                }
                if is_secret(&path, entry.folder) || is_secret(&real, entry.folder) {
                    kept_back.push(path);
                    return Ok(false);
                }
                matched += 1;
                if matched > MAX_INPUTS {
                    return Err(fail(format!("`{}` matches more than {MAX_INPUTS} files", wanted.value)));
                }
                found.entry(path).or_insert((entry, false));
                // A folder is given as one; what lies below comes with it.
                Ok(false)
            })?;
        }
        match (matched, kept_back.first()) {
            (0, None) => Err(missing(wanted, self.project, &base)),
            (0, Some(first)) => {
                Err(fail(format!("`{}` matches only what looks like secrets, such as {first}", wanted.value))
                    .remedy("a pattern never gives those; name the file exactly if the task is to have it"))
            }
            _ => Ok(()),
        }
    }

    /// What is given as a secret is no other input.
    pub(super) fn leave_out(&mut self, secrets: &[SecretFile]) {
        self.found.retain(|path, _| !secrets.iter().any(|secret| secret.entry.path == *path));
    }

    /// The entries in order of their paths, none inside another, each folder with what it hides.
    pub(super) fn finish(self) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut exact: Vec<Entry> = Vec::new();
        let Selection { project, budget, memory, mut found } = self;
        if let Some((whole, _)) = found.remove("") {
            entries.push(whole);
        }
        // Sorted by path parts, so that what lies inside a folder follows it at once.
        let mut rest: Vec<(Entry, bool)> = found.into_values().collect();
        rest.sort_by(|(a, _), (b, _)| a.path.split('/').cmp(b.path.split('/')));
        for (entry, named) in rest {
            match entries.last() {
                Some(outer) if outer.folder && below(&entry.path, &outer.path).is_some() => {
                    if named {
                        exact.push(entry);
                    }
                }
                _ => entries.push(entry),
            }
        }
        for outer in entries.iter_mut().filter(|entry| entry.folder) {
            outer.hidden = hidden(&outer.source, project, budget, memory)?;
            for inner in &exact {
                if below(&inner.path, &outer.path).is_some() {
                    show(outer, inner, project, budget, memory)?;
                }
            }
        }
        Ok(entries)
    }
}

/// Shows, in an input folder, what was named exactly beside it.
fn show(outer: &mut Entry, inner: &Entry, project: &Path, budget: &mut Budget, memory: Option<&Path>) -> Result<()> {
    let path = &inner.path;
    let real = inner.source.strip_prefix(&outer.source).ok().and_then(Path::to_str);
    let Some(real) = real else {
        let what = format!("`{path}` is a link out of `{}`, and both are inputs", outer.path);
        return Err(Error::new(At::Nowhere, what).remedy("name the file that it leads to"));
    };
    outer.hidden.retain(|hidden| hidden != real);
    if let Some(closed) = outer.hidden.iter().find(|hidden| below(real, hidden).is_some()) {
        let what = format!("`{path}` lies in `{closed}`, of which the input around it shows nothing");
        return Err(Error::new(At::Nowhere, what).remedy("name the inputs one by one, without the folder around them"));
    }
    if inner.folder {
        let more = hidden(&inner.source, project, budget, memory)?;
        outer.hidden.extend(more.into_iter().map(|hidden| format!("{real}/{hidden}")));
        outer.hidden.sort();
        outer.hidden.dedup();
    }
    Ok(())
}

/// What of a folder is not shown: what looks like a secret, and doors to the outside.
fn hidden(folder: &Path, project: &Path, budget: &mut Budget, memory: Option<&Path>) -> Result<Vec<String>> {
    let mut hidden = Vec::new();
    let mut look = Look::at(folder, memory);
    look.through(folder, budget, &mut |path, kind| {
        let name = path.file_name().unwrap_or_default();
        let shown = path.to_string_lossy();
        let hide = match kind {
            Kind::Other | Kind::Closed => true,
            Kind::Folder => is_closed(&name.to_string_lossy()),
            // No folder on the way is closed: those are not gone into.
            Kind::File | Kind::Link => names_secret(&shown),
        };
        if !hide {
            return Ok(kind == Kind::Folder);
        }
        let Some(path) = path.to_str() else {
            let what = format!("{shown} looks like a secret, and its name is not UTF-8, so it cannot be hidden");
            return Err(Error::new(At::Nowhere, what).remedy("rename it, or name the inputs one by one"));
        };
        if kind != Kind::Link {
            hidden.push(path.to_string());
        } else if let Ok(entry) = resolve(project, &join_str(folder, project, path))
            && let Ok(inside) = entry.source.strip_prefix(folder)
            && let Some(inside) = inside.to_str().filter(|inside| !inside.is_empty())
        {
            // The link itself leads nowhere once its target is hidden.
            hidden.push(inside.to_string());
        }
        if hidden.len() > MAX_HIDDEN {
            let what = format!("{} holds more than {MAX_HIDDEN} files that look like secrets", folder.display());
            return Err(Error::new(At::Nowhere, what).remedy("name what the task needs: `inputs:` or `--input`"));
        }
        Ok(false)
    })?;
    look.remember();
    hidden.sort();
    hidden.dedup();
    let copy = hidden.clone();
    hidden.retain(|path| !copy.iter().any(|outer| outer != path && below(path, outer).is_some()));
    Ok(hidden)
}

/// What is left of `path` below `folder`; `None` where it does not lie there.
pub(super) fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    if folder.is_empty() {
        return Some(path);
    }
    path.strip_prefix(folder)?.strip_prefix('/')
}

/// The path of something inside a folder, seen from where the folder is seen.
pub(super) fn within(folder: &str, inside: &str) -> String {
    if folder.is_empty() { inside.to_string() } else { format!("{folder}/{inside}") }
}

/// The file or folder at a path of the project, through links that stay inside.
pub(super) fn resolve(project: &Path, path: &str) -> std::result::Result<Entry, String> {
    let full = project.join(path);
    let source = full.canonicalize().map_err(|e| {
        let link = full.is_symlink();
        if link { format!("`{path}` is a link that leads nowhere") } else { format!("`{path}` cannot be read: {e}") }
    })?;
    if !source.starts_with(project) {
        let out = format!("`{path}` leads out of the project, to {}", source.display());
        return Err(format!("{out}; copy into the project what the task is to see"));
    }
    let metadata = source.metadata().map_err(|e| format!("`{path}` cannot be read: {e}"))?;
    if !metadata.is_dir() && !metadata.is_file() {
        return Err(format!("`{path}` is neither a file nor a folder"));
    }
    Ok(Entry { path: path.to_string(), source, folder: metadata.is_dir(), hidden: Vec::new() })
}

/// The pattern without `.`, doubled and final slashes and a final `/**`, and whether only folders are meant.
pub(super) fn normal(wanted: &Told<String>) -> Result<(String, bool)> {
    let text = wanted.value.as_str();
    let fail = |what: String| Error::new(wanted.at.clone(), what);
    if text.is_empty() {
        return Err(fail("an empty path".to_string()).remedy("write `.` for the project folder"));
    }
    if text.starts_with('/') || text.starts_with('~') {
        let error = fail(format!("`{text}` is not a path of the project"));
        return Err(error.remedy("write it relative to the project folder; nothing else of this host can be shown"));
    }
    if text.split('/').any(|part| part == "..") {
        return Err(fail(format!("`{text}` climbs out of the project")).remedy("write it without `..`"));
    }
    let mut parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let mut folders_only = text.ends_with('/');
    while parts.last() == Some(&"**") {
        parts.pop();
        folders_only = true;
    }
    Ok((parts.join("/"), folders_only))
}

fn matcher(pattern: &str) -> std::result::Result<GlobMatcher, String> {
    if pattern.len() > 4096 {
        return Err("a pattern of more than 4096 bytes".to_string());
    }
    let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|e| format!("`{pattern}` is no pattern: {}", e.kind()))
}

fn is_secret(path: &str, folder: bool) -> bool {
    if folder { path.split('/').any(is_closed) } else { looks_secret(path) }
}

/// The path from the project to something below one of its folders.
fn join_str(folder: &Path, project: &Path, path: &str) -> String {
    folder.join(path).strip_prefix(project).map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
}

pub(super) fn missing(wanted: &Told<String>, project: &Path, path: &str) -> Error {
    let error = Error::new(wanted.at.clone(), format!("`{}` matches nothing in the project", wanted.value));
    match near(project, path, |_| true).first() {
        Some(name) if *name != wanted.value => error.remedy(format!("there is `{name}`")),
        _ => error.remedy(format!("the project folder is {}", project.display())),
    }
}

/// Names beside `path` that are a slip of the finger away, the nearest first.
pub(crate) fn near(project: &Path, path: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let Ok(entries) = std::fs::read_dir(project.join(folder)) else { return Vec::new() };
    let mut names: Vec<(usize, String)> = entries
        .take(4096)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|other| other.len() <= 128 && fits(other))
        .map(|other| (distance(&name.to_lowercase(), &other.to_lowercase()), other))
        .filter(|(far, other)| *far <= 1.max(other.chars().count() / 3))
        .collect();
    names.sort();
    names.truncate(3);
    names.into_iter().map(|(_, name)| within(folder, &name)).collect()
}
