//! The files of a group: read one, write one, and see what the kernel made of it.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

/// The content without its last line end.
pub(super) fn read(group: &Path, file: &str) -> io::Result<String> {
    Ok(text(&group.join(file))?.trim_end().to_string())
}

/// The whole of a file that the kernel makes up as it is read: by large pieces, since each one costs a good part of all,
/// and such a file says that it is empty. Names in it may be of any bytes; those that are no UTF-8 are none of ours.
pub(super) fn text(path: &Path) -> io::Result<String> {
    let mut text = Vec::with_capacity(8192);
    // As a stream: nobody asks such a file how long it is.
    fs::File::open(path)?.take(u64::MAX).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// One write call, which is what the kernel parses; never creates the file.
pub(super) fn write(group: &Path, file: &str, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(group.join(file))?.write_all(value.as_bytes())
}

/// Writes, then answers what the file says now.
pub(super) fn set(group: &Path, file: &str, value: &str) -> Result<String, String> {
    let at = |error: io::Error| format!("{value} was not taken by {}: {error}", group.join(file).display());
    write(group, file, value).map_err(at)?;
    read(group, file).map_err(at)
}

pub(super) fn has(group: &Path, file: &str) -> bool {
    group.join(file).exists()
}

/// The whole file as one number.
pub(super) fn number(group: &Path, file: &str) -> Option<u64> {
    read(group, file).ok()?.parse().ok()
}

/// The number behind `key` in a file of `key number` lines.
pub(super) fn entry(group: &Path, file: &str, key: &str) -> Option<u64> {
    keyed(&read(group, file).ok()?, key)
}

/// The words of a file, such as the names of controllers.
pub(super) fn words(group: &Path, file: &str) -> Vec<String> {
    read(group, file).map(|text| text.split_whitespace().map(str::to_string).collect()).unwrap_or_default()
}

fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| match line.split_once(' ') {
        Some((name, value)) if name == key => value.trim().parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_its_whole_name() {
        let text = "oom 3\noom_kill 7\noom_group_kill 1\nbad x\n";
        assert_eq!(keyed(text, "oom_kill"), Some(7));
        assert_eq!(keyed(text, "oom"), Some(3));
        assert_eq!(keyed(text, "kill"), None);
        assert_eq!(keyed(text, "bad"), None);
    }

    #[test]
    fn writing_never_makes_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = set(folder.path(), "memory.max", "1").unwrap_err();
        assert!(error.contains("memory.max"), "{error}");
        assert!(!has(folder.path(), "memory.max"));
    }
}
