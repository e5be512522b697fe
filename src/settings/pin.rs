//! Writes another `runtime:` into a configuration, and changes nothing else of it.

use super::error::{At, Error, Result};
use super::yaml::{self, Written};
use crate::host::files;
use std::fs::{self, Metadata};
use std::io::Write as _;
use std::path::Path;

const BY_HAND: &str = "write it there yourself";

/// Replaces the runtime `from` in the file by `to`. The file is replaced whole, keeps its mode and owner, and
/// where it is a link the file it leads to is meant: [`super::Settings::load`] has read it, and refuses links that
/// lead out of the project.
pub(crate) fn pin(path: &Path, shown: &str, from: &str, to: &str) -> Result<()> {
    let fail = |what: String| Error::new(At::File(shown.to_string()), what).remedy(format!("{BY_HAND}: runtime: {to}"));
    let real = path.canonicalize().map_err(|e| fail(format!("cannot be written: {e}")))?;
    let found = fs::symlink_metadata(&real).map_err(|e| fail(format!("cannot be written: {e}")))?;
    if !found.is_file() || files::names(&found) > 1 {
        return Err(fail("has several names (hard links), or is no ordinary file: it is not replaced".to_string()));
    }
    let before = fs::read_to_string(&real).map_err(|e| fail(format!("cannot be read: {e}")))?;
    let after = replaced(&before, from, to).map_err(&fail)?;
    put(&real, &found, &before, &after).map_err(|e| fail(format!("cannot be written: {e}")))
}

/// The text with the other runtime, or why it cannot be had.
fn replaced(text: &str, from: &str, to: &str) -> std::result::Result<String, String> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let place = match yaml::written(body, "runtime") {
        Some(Written::Scalar(place)) if &body[place.clone()] == from => place,
        Some(Written::Odd(why)) => return Err(format!("its `runtime` {why}, and is not changed here")),
        _ => return Err("its `runtime` is not found where it should stand".to_string()),
    };
    let after = format!("{}{to}{}", &body[..place.start], &body[place.end..]);
    let reads_back =
        matches!(yaml::written(&after, "runtime"), Some(Written::Scalar(place)) if &after[place.clone()] == to);
    if !reads_back || !yaml::differ_in_one(body, &after) {
        return Err("its `runtime` cannot be changed without changing more".to_string());
    }
    Ok(format!("{}{after}", &text[..text.len() - body.len()]))
}

/// Under another name first, then renamed: nobody reads a part of it, and who fails leaves the old one.
fn put(real: &Path, found: &Metadata, before: &str, after: &str) -> std::io::Result<()> {
    let folder = real.parent().unwrap_or(Path::new("/"));
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    let fresh = folder.join(format!(".{name}.aido-{}", std::process::id()));
    let mut file = files::new_private(&fresh)?;
    let done = (|| {
        file.write_all(after.as_bytes())?;
        files::take_after(&file, found)?;
        file.sync_all()?;
        if fs::read_to_string(real)? != before {
            return Err(std::io::Error::other("somebody else changed it meanwhile"));
        }
        fs::rename(&fresh, real)
    })();
    done.inspect_err(|_| drop(fs::remove_file(&fresh)))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    const TO: &str = "python:3.11@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn only_the_value_changes_whatever_stands_around_it() {
        for text in [
            "runtime: python:3.11",
            "runtime: python:3.11\n",
            "# runtime: python:3.11\nname: x # runtime\nruntime:   python:3.11   # the one\nttl: 5m\n",
            "name: x\r\nruntime: 'python:3.11' # quoted\r\nttl: 5m\r\n",
            "\u{feff}\"runtime\": \"python:3.11\"\n",
            "{name: x, runtime: python:3.11, ttl: 5m}\n",
            "{runtime: 'python:3.11'}",
            "---\nenv: {runtime: python:3.11, A: [runtime, python:3.11]}\ninputs: [runtime]\nruntime: python:3.11\n...\n",
            "env:\n  naïve: '日本 python:3.11'\n  runtime: python:3.11\nruntime: python:3.11\noutputs:\n- runtime\n",
            "? runtime\n: python:3.11\n",
            "runtime:\n  python:3.11\n",
            "runtime: |-\n  python:3.11\nname: x\n",
            "runtime: >-\n  python:3.11\n",
            "name: &n x\nruntime: python:3.11\nenv: {A: *n}\n",
        ] {
            let after = replaced(text, "python:3.11", TO).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(after.replacen(TO, "python:3.11", 1), text);
            assert_eq!(after.matches(TO).count(), 1);
            assert_eq!(replaced(&after, TO, "python:3.11").unwrap(), text);
        }
    }

    #[test]
    fn what_cannot_be_edited_safely_is_refused() {
        for (text, why) in [
            ("a: &r python:3.11\nruntime: *r\n", "alias"),
            ("runtime: &r python:3.11\nname: x\n", "anchor"),
            ("runtime: \"python:3\\x2e11\"\n", "escapes"),
            ("runtime: \"python:\\\n  3.11\"\n", "escapes"),
            ("runtime: [python:3.11]\n", "no plain value"),
            ("name: x\n", "not found"),
            ("env: {runtime: python:3.11}\n", "not found"),
            ("runtime: node:20\n", "not found"),
        ] {
            let error = replaced(text, "python:3.11", TO).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_file_keeps_its_mode_and_a_link_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real.yaml"), folder.path().join("sandbox.yaml"));
        fs::write(&file, "runtime: python:3.11\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.yaml", &link).unwrap();
        pin(&link, "sandbox.yaml", "python:3.11", TO).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("runtime: {TO}\n"));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        fs::hard_link(&file, folder.path().join("other")).unwrap();
        let error = pin(&link, "sandbox.yaml", TO, "python:3.11").unwrap_err();
        assert!(error.to_string().contains("hard links"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "something is left behind");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_other_byte_changes(text in "[\\[\\]{}:,&*!|>'\"#%@? \n\tabr.-]{0,40}(runtime: x:1)?[ \n#a:,}]{0,9}") {
            if let Ok(after) = replaced(&text, "x:1", "x:1@y") {
                prop_assert_eq!(after.replacen("x:1@y", "x:1", 1), text);
            }
        }
    }
}
