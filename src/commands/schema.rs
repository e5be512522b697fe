//! `aido schema`: what may stand in the files that aido reads, for editors and other programs.

use crate::backend;
use crate::cli::Schema;
use crate::settings::json_schema;
use crate::words::{self, say};
use aido_evidence::Project;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// The first line of a `sandbox.yaml`, by which yaml-language-server finds the schema: relative to the file itself.
pub(super) const LINE: &str = "# yaml-language-server: $schema=.aido/sandbox.schema.json";

pub(super) fn schema(dir: &Path, asked: &Schema) -> Result<u8> {
    if asked.write {
        let path = written(dir)?;
        say(&format!("wrote {}; a sandbox.yaml of this project names it by its first line:", path.display()));
        words::print(&format!("{LINE}\n"));
        return Ok(0);
    }
    let schema = if asked.policy { json_schema::of_policy() } else { json_schema::of_sandbox() };
    words::print(&(serde_json::to_string_pretty(&schema)? + "\n"));
    Ok(0)
}

/// Puts the schema where the line says; git does not see it there.
pub(super) fn written(dir: &Path) -> Result<PathBuf> {
    let text = serde_json::to_string_pretty(&json_schema::of_sandbox())? + "\n";
    Ok(Project::create(dir, &backend::own_home())?.keep_schema(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_what_is_written() {
        let (dir, project) = crate::commands::example::project();
        let path = project.keep_schema(b"{}").unwrap();
        let named = LINE.split_once("$schema=").unwrap().1;
        assert_eq!(path, dir.path().join(named));
        assert_eq!(std::fs::read(path).unwrap(), b"{}");
    }
}
