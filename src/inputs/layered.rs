//! The project as one folder that a task may change: what is not an input is hidden in it.

use super::secrets::EVIDENCE;
use super::select::{Entry, below, within};
use crate::settings::{At, Error, Result};
use std::path::Path;

/// Paths that may have to be hidden, as the engine takes them.
const MOST_HIDDEN: usize = 4096;

/// What the task must not find of the project, given what it is to see.
pub(super) fn hidden(project: &Path, inputs: &[Entry]) -> Result<Vec<String>> {
    if let Some(entry) = inputs.iter().find(|entry| entry.source != project.join(&entry.path)) {
        let real = entry.source.strip_prefix(project).unwrap_or(&entry.source).display().to_string();
        let what = format!(
            "`{}` is a link to `{real}`, and where the task may change the project it stays a link",
            entry.path
        );
        return Err(Error::new(At::Nowhere, what).remedy(format!("name `{real}` as an input, too, or instead")));
    }
    let mut hidden = Vec::new();
    match inputs.iter().find(|entry| entry.path.is_empty()) {
        Some(whole) => hidden.extend(whole.hidden.iter().cloned()),
        None => others(project, "", inputs, &mut hidden)?,
    }
    // The first run makes it after this look at the project, and must not see it either.
    if !hidden.iter().any(|path| path == EVIDENCE) {
        hidden.push(EVIDENCE.to_string());
    }
    hidden.sort();
    Ok(hidden)
}

/// What lies in a folder on the way to inputs and is none itself.
fn others(project: &Path, folder: &str, inputs: &[Entry], hidden: &mut Vec<String>) -> Result<()> {
    let at = project.join(folder);
    let fail = |e: std::io::Error| Error::new(At::Nowhere, format!("cannot list {}: {e}", at.display()));
    for entry in std::fs::read_dir(&at).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let Some(name) = name.to_str() else {
            let what = format!("{} in {} is not UTF-8, so it cannot be hidden", name.display(), at.display());
            return Err(Error::new(At::Nowhere, what).remedy("rename it, or show the whole project"));
        };
        let path = within(folder, name);
        match inputs.iter().find(|input| input.path == path) {
            Some(input) => hidden.extend(input.hidden.iter().map(|inner| within(&path, inner))),
            None if inputs.iter().any(|input| below(&input.path, &path).is_some()) => {
                others(project, &path, inputs, hidden)?;
            }
            None => hidden.push(path),
        }
        if hidden.len() > MOST_HIDDEN {
            let what = format!("more than {MOST_HIDDEN} files would have to be hidden beside the inputs");
            return Err(Error::new(At::Nowhere, what).remedy("name their folders as inputs, or show the whole project"));
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn entry(project: &Path, path: &str, hidden: &[&str]) -> Entry {
        let source = if path.is_empty() { project.to_path_buf() } else { project.join(path) };
        let folder = source.is_dir();
        Entry { path: path.into(), source, folder, hidden: hidden.iter().map(|path| path.to_string()).collect() }
    }

    #[test]
    fn what_is_no_input_is_hidden_and_folders_around_inputs_are_not() {
        let scratch = tempfile::tempdir().unwrap();
        let project = scratch.path();
        for folder in ["src/deep", "docs", ".git"] {
            std::fs::create_dir_all(project.join(folder)).unwrap();
        }
        for file in ["src/a", "src/b", "src/deep/c", "src/deep/.env", "docs/d", "e"] {
            std::fs::write(project.join(file), "").unwrap();
        }
        let some = [entry(project, "src/a", &[]), entry(project, "src/deep", &[".env"])];
        assert_eq!(hidden(project, &some).unwrap(), [".aido", ".git", "docs", "e", "src/b", "src/deep/.env"]);
        let whole = [entry(project, "", &[".git", "src/deep/.env"])];
        assert_eq!(hidden(project, &whole).unwrap(), [".aido", ".git", "src/deep/.env"]);
        assert_eq!(hidden(project, &[]).unwrap(), [".aido", ".git", "docs", "e", "src"]);
        std::os::unix::fs::symlink("docs", project.join("link")).unwrap();
        let link = Entry { path: "link".into(), ..entry(project, "docs", &[]) };
        assert!(hidden(project, &[link]).unwrap_err().to_string().contains("stays a link"));
    }
}
