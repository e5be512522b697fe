//! `TASK [ARG…]`: a script of the project with its interpreter, or a command of the root.

use crate::inputs::{WORKSPACE, near};
use crate::settings::{At, Error, Result};
use crate::words;
use std::io::Read;
use std::path::{Component, Path};

/// Extensions and the programs that run them, the first that the root has.
const INTERPRETERS: [(&str, &[&str]); 21] = [
    ("py", &["python3", "python"]),
    ("sh", &["sh"]),
    ("bash", &["bash"]),
    ("zsh", &["zsh"]),
    ("fish", &["fish"]),
    ("js", &["node", "nodejs"]),
    ("mjs", &["node", "nodejs"]),
    ("cjs", &["node", "nodejs"]),
    ("rb", &["ruby"]),
    ("pl", &["perl"]),
    ("php", &["php"]),
    ("lua", &["lua"]),
    ("R", &["Rscript"]),
    ("r", &["Rscript"]),
    ("jl", &["julia"]),
    ("tcl", &["tclsh"]),
    ("exs", &["elixir"]),
    ("groovy", &["groovy"]),
    ("ps1", &["pwsh"]),
    ("scm", &["guile"]),
    ("raku", &["raku"]),
];

/// Programs that go by two names; a `#!` line that names one is content with the other.
const ALIASES: [(&str, &str); 3] = [("python", "python3"), ("python3", "python"), ("node", "nodejs")];

/// Bytes of a file that are looked at for a `#!` line, as many as the kernel reads.
const SHEBANG_BYTES: usize = 256;

/// What is to be started, before the root is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// The image's own entry point and command.
    Image,
    Command {
        program: String,
        args: Vec<String>,
    },
    Script(Script),
}

/// A file of the project and what runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Relative to the project.
    pub path: String,
    /// Programs to try, in this order. Empty: the file itself is executed.
    pub interpreters: Vec<String>,
    /// What stands between the interpreter and the script.
    pub options: Vec<String>,
    pub args: Vec<String>,
}

impl Invocation {
    /// Looks at the project to tell scripts from commands. `project` holds no link.
    pub fn read(project: &Path, task: &[String]) -> Result<Invocation> {
        let Some((name, args)) = task.split_first() else { return Ok(Invocation::Image) };
        if name.is_empty() || task.iter().any(|word| word.contains('\0')) {
            return Err(wrong("an empty name, or a NUL character in the task".to_string()));
        }
        let command = || Invocation::Command { program: name.clone(), args: args.to_vec() };
        let Some(path) = inside(project, name)? else { return Ok(command()) };
        let full = project.join(&path);
        let Ok(metadata) = full.metadata() else {
            return if looks_like_script(name) { Err(missing(project, &path, name)) } else { Ok(command()) };
        };
        if !metadata.is_file() {
            return if name.contains('/') { Err(wrong(format!("`{name}` is no file"))) } else { Ok(command()) };
        }
        let head = head(&full).map_err(|e| {
            wrong(format!("`{name}` cannot be read: {e}")).remedy(format!("`ls -l {name}` shows who may"))
        })?;
        let (interpreters, options) = match (shebang(&head), by_extension(&path)) {
            (Some(line), _) => line,
            (None, Some(programs)) => (programs.iter().map(|p| p.to_string()).collect(), Vec::new()),
            (None, None) if !name.contains('/') => return Ok(command()),
            (None, None) if is_executable(&metadata) => (Vec::new(), Vec::new()),
            (None, None) => {
                let what = format!("`{name}` is not executable, and neither its name nor a #! line says what runs it");
                let remedy =
                    format!("name the program, as in `aido run sh {name}`, or make it executable: `chmod +x {name}`");
                return Err(wrong(what).remedy(remedy));
            }
        };
        Ok(Invocation::Script(Script { path, interpreters, options, args: args.to_vec() }))
    }

    /// The file of the project that the task cannot do without.
    pub fn script(&self) -> Option<&str> {
        if let Invocation::Script(script) = self { Some(&script.path) } else { None }
    }
}

impl Script {
    /// Programs to try, and what follows their name. The script goes by its relative path where that leads to it.
    pub fn command(&self, workdir: &str) -> (Vec<String>, Vec<String>) {
        let absolute = format!("{WORKSPACE}/{}", self.path);
        if self.interpreters.is_empty() {
            return (vec![absolute], self.args.clone());
        }
        let relative = if self.path.starts_with('-') { format!("./{}", self.path) } else { self.path.clone() };
        let path = if workdir == WORKSPACE { relative } else { absolute };
        let args = self.options.iter().chain([&path]).chain(&self.args).cloned().collect();
        (self.interpreters.clone(), args)
    }
}

/// The task's name as a path of the project. `None`: it is an absolute path of somewhere else, so a program of the root.
fn inside(project: &Path, name: &str) -> Result<Option<String>> {
    let path = Path::new(name);
    if path.is_absolute() {
        // Only names are compared: what a path of the root leads to is not for the host to say.
        return Ok(path.strip_prefix(project).ok().and_then(Path::to_str).map(str::to_string));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::CurDir => {}
            _ => {
                return Err(wrong(format!("`{name}` lies outside the project"))
                    .remedy("a script is a file of the project folder"));
            }
        }
    }
    Ok(Some(parts.join("/")).filter(|path| !path.is_empty()))
}

fn extension(name: &str) -> Option<&str> {
    name.rsplit('/').next()?.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, extension)| extension)
}

fn by_extension(name: &str) -> Option<&'static [&'static str]> {
    let extension = extension(name)?;
    INTERPRETERS.iter().find(|(known, _)| *known == extension).map(|(_, programs)| *programs)
}

fn looks_like_script(name: &str) -> bool {
    by_extension(name).is_some() || (name.contains('/') && !name.starts_with('/'))
}

fn missing(project: &Path, path: &str, name: &str) -> Error {
    let wanted = extension(path);
    let near = near(project, path, |other| wanted.is_none() || extension(other) == wanted);
    let error = wrong(format!("`{name}` looks like a script, and the project has no such file"));
    match near.as_slice() {
        [] => error.remedy(format!(
            "the project folder is {}; a command of the root goes by its absolute path",
            project.display()
        )),
        names => error.remedy(words::there(&names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>())),
    }
}

fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(SHEBANG_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Programs and options of a `#!` line. Like the kernel, everything after the program is one option; `env`, which only
/// searches for a program, is taken at its word where that is plain.
fn shebang(head: &[u8]) -> Option<(Vec<String>, Vec<String>)> {
    let rest = head.strip_prefix(b"#!")?;
    let end = rest.iter().position(|b| *b == b'\n');
    // A line that the kernel would cut may name another program than it seems to.
    let line = match end {
        Some(end) => &rest[..end],
        None if head.len() < SHEBANG_BYTES => rest,
        None => return None,
    };
    let line = std::str::from_utf8(line).ok()?.trim_matches([' ', '\t', '\r']);
    if line.is_empty() || line.chars().any(|c| c.is_control() && c != '\t') {
        return None;
    }
    let (program, option) = match line.split_once([' ', '\t']) {
        Some((program, option)) => (program, option.trim_start_matches([' ', '\t'])),
        None => (line, ""),
    };
    let base = program.rsplit('/').next().filter(|base| !base.is_empty())?;
    if base == "env"
        && let Some(words) = env_words(option)
    {
        let (name, options) = words.split_first()?;
        return Some((with_alias(vec![name.clone()], name), options.to_vec()));
    }
    let options = if option.is_empty() { Vec::new() } else { vec![option.to_string()] };
    let mut programs = vec![program.to_string()];
    if program.starts_with('/') && base != program {
        // Another root may keep it elsewhere.
        programs.push(base.to_string());
    }
    Some((with_alias(programs, base), options))
}

/// The words after `env` that name a program and its options; `None` where `env` itself would have to work.
fn env_words(option: &str) -> Option<Vec<String>> {
    let (text, splits) = match option.strip_prefix("-S").or_else(|| option.strip_prefix("--split-string=")) {
        Some(text) => (text, true),
        None => (option, false),
    };
    let words: Vec<String> = text.split([' ', '\t']).filter(|word| !word.is_empty()).map(str::to_string).collect();
    let plain = |word: &String| !word.contains(['"', '\'', '\\', '$', '#']);
    let first = words.first()?;
    if first.starts_with('-') || first.contains('=') || !words.iter().all(plain) || (!splits && words.len() > 1) {
        return None;
    }
    Some(words)
}

fn with_alias(mut programs: Vec<String>, base: &str) -> Vec<String> {
    let base = base.rsplit('/').next().unwrap_or(base);
    if let Some((_, other)) = ALIASES.iter().find(|(name, _)| *name == base) {
        programs.push(other.to_string());
    }
    programs
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &std::fs::Metadata) -> bool {
    true
}

fn wrong(what: String) -> Error {
    Error::new(At::Flag("TASK".to_string()), what)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    fn read(project: &Path, task: &[&str]) -> Result<Invocation> {
        let task: Vec<String> = task.iter().map(|word| word.to_string()).collect();
        Invocation::read(&project.canonicalize().unwrap(), &task)
    }

    fn argv(project: &Path, task: &[&str]) -> String {
        match read(project, task).unwrap_or_else(|e| panic!("{e}")) {
            Invocation::Image => "image".to_string(),
            Invocation::Command { program, args } => format!("{program}: {}", args.join(" ")),
            Invocation::Script(script) => {
                let (programs, args) = script.command(WORKSPACE);
                format!("{}: {}", programs.join("|"), args.join(" "))
            }
        }
    }

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn scripts_are_told_from_commands() {
        let p = project(&[
            ("migrate.py", "print(1)"),
            ("bin/tool", "\u{7f}ELF"),
            ("bin/notes", "text"),
            ("deploy", "#!/usr/bin/env -S bash -eu\n"),
            ("terraform", "a file that is no script"),
            ("odd.rb", "#!/usr/bin/python3 -u\r\nx"),
            ("-x.sh", "true"),
            ("a.ts", "let x"),
            ("make/x", ""),
        ]);
        std::fs::set_permissions(p.path().join("bin/tool"), PermissionsExt::from_mode(0o755)).unwrap();
        let run = |task: &[&str]| argv(p.path(), task);
        assert_eq!(run(&["migrate.py", "--dry", "x y"]), "python3|python: migrate.py --dry x y");
        assert_eq!(run(&["./migrate.py"]), "python3|python: migrate.py");
        assert_eq!(
            run(&[p.path().canonicalize().unwrap().join("migrate.py").to_str().unwrap()]),
            "python3|python: migrate.py"
        );
        assert_eq!(run(&["deploy", "-n"]), "bash: -eu deploy -n");
        assert_eq!(run(&["odd.rb"]), "/usr/bin/python3|python3|python: -u odd.rb");
        assert_eq!(run(&["bin/tool", "a"]), "/workspace/bin/tool: a");
        assert_eq!(run(&["-x.sh"]), "sh: ./-x.sh");
        assert_eq!(run(&["terraform", "plan", "-out", "x"]), "terraform: plan -out x");
        assert_eq!(run(&["make"]), "make: ");
        assert_eq!(run(&["/bin/ls", "-l"]), "/bin/ls: -l");
        assert_eq!(run(&["a.ts"]), "a.ts: ");
        assert_eq!(run(&[]), "image");
        let error = read(p.path(), &["bin/notes"]).unwrap_err().to_string();
        assert!(error.contains("`aido run sh bin/notes`"), "{error}");
        for task in ["../migrate.py", "bin/../../x.py", "bin", "./make", "", "a\0b"] {
            let outcome = read(p.path(), &[task]);
            assert!(outcome.is_err() || task == "bin", "{task}: {outcome:?}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_names_the_file_that_was_meant() {
        let p = project(&[("migrate.py", ""), ("migrate.sh", ""), ("scripts/run.sh", "")]);
        assert_eq!(
            read(p.path(), &["migrat.py"]).unwrap_err().to_string(),
            "TASK: `migrat.py` looks like a script, and the project has no such file\n  help: there is `migrate.py`"
        );
        assert!(read(p.path(), &["scripts/rnu.sh"]).unwrap_err().to_string().ends_with("there is `scripts/run.sh`"));
        assert!(read(p.path(), &["nothing.pl"]).unwrap_err().to_string().contains("the project folder is"));
    }

    #[test]
    fn elsewhere_the_script_goes_by_its_absolute_path() {
        let p = project(&[("a.py", "")]);
        let Invocation::Script(script) = read(p.path(), &["a.py"]).unwrap() else { panic!() };
        assert_eq!(script.command("/tmp").1, ["/workspace/a.py"]);
    }

    #[test]
    fn hostile_first_lines() {
        let long = format!("#!/bin/sh {}", "x".repeat(300));
        for (line, expected) in [
            ("#!/bin/sh", Some("/bin/sh|sh:")),
            ("#! \t/bin/sh  -e  -u \n", Some("/bin/sh|sh: -e  -u")),
            ("#!/usr/bin/env python\n", Some("python|python3:")),
            ("#!/usr/bin/env -S python3 -u -B\n", Some("python3|python: -u -B")),
            ("#!/usr/bin/env python3 -u\n", Some("/usr/bin/env|env: python3 -u")),
            ("#!/usr/bin/env -S A=1 python3\n", Some("/usr/bin/env|env: -S A=1 python3")),
            ("#!/usr/bin/env -S sh -c 'x y'\n", Some("/usr/bin/env|env: -S sh -c 'x y'")),
            ("#!/usr/bin/env -i sh\n", Some("/usr/bin/env|env: -i sh")),
            ("#!/usr/bin/env\n", Some("/usr/bin/env|env:")),
            ("#!perl\n", Some("perl:")),
            ("#!\n/bin/sh", None),
            ("#!/bin/\n", None),
            ("#!/bin/s\u{0}h\n", None),
            ("#!/bin/s\u{1b}h\n", None),
            ("# !/bin/sh", None),
            ("", None),
            (&long, None),
        ] {
            let head = &line.as_bytes()[..line.len().min(SHEBANG_BYTES)];
            let read = shebang(head).map(|(programs, options)| {
                format!("{}: {}", programs.join("|"), options.join(" ")).trim_end().to_string()
            });
            assert_eq!(read.as_deref(), expected, "{line:?}");
        }
        assert_eq!(shebang(b"#!/bin/\xff\n"), None);
    }

    proptest! {
        #[test]
        fn no_first_line_panics_or_names_an_empty_program(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut head = b"#!".to_vec();
            head.extend(line);
            head.truncate(SHEBANG_BYTES);
            if let Some((programs, _)) = shebang(&head) {
                prop_assert!(!programs.is_empty() && programs.iter().all(|p| !p.is_empty() && !p.contains('\0')));
            }
        }
    }
}
