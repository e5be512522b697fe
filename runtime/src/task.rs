//! What follows of a task for every engine: where its programs are looked for, whether it is written to.

use crate::{Error, Task};
use std::collections::BTreeMap;

/// Used where the task's environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Task {
    /// Whether somebody writes to the task. At a terminal the end of what is typed is typed, too, also where it is all there is.
    pub fn is_typed_to(&self) -> bool {
        self.stdin || self.tty
    }

    /// The files that may be the task's program, likeliest first, each with the number of the program that it is meant for.
    pub fn candidates(&self, env: &BTreeMap<String, String>) -> Result<Vec<(usize, String)>, Error> {
        if self.programs.iter().any(String::is_empty) {
            return Err(Error::new("the task's command is an empty word"));
        }
        let path = env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
        let programs = self.programs.iter().enumerate();
        Ok(programs.flat_map(|(number, program)| search(program, path).map(move |file| (number, file))).collect())
    }
}

/// Where a program may be: itself if it is a path, else one candidate for each folder of `PATH`.
fn search<'a>(program: &'a str, path: &'a str) -> impl Iterator<Item = String> + 'a {
    let itself = program.contains('/').then(|| program.to_string());
    let folders = path.split(':').filter(|folder| folder.starts_with('/') && !program.contains('/'));
    itself.into_iter().chain(folders.map(move |folder| format!("{folder}/{program}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_searched_in_absolute_folders_only() {
        let found = |program, path| search(program, path).collect::<Vec<_>>();
        assert_eq!(found("ls", "/usr/bin:.::bin:/bin"), ["/usr/bin/ls", "/bin/ls"]);
        assert_eq!(found("./run", "/bin"), ["./run"]);
        assert_eq!(found("/bin/sh", ""), ["/bin/sh"]);
        assert!(found("ls", "").is_empty());
    }
}
