//! What a project is made with, by the names at its top and a few lines of its files. Everything there is a stranger's.

use crate::backend::Backend;
use crate::host::files;
use crate::plan::PATH;
use serde_json::Value;
use std::fs;
use std::io::Read as _;
use std::path::Path;

/// Names at the top of a project that are looked at.
const MOST_NAMES: usize = 10_000;
/// Bytes of a file that are looked at.
const MOST_BYTES: u64 = 1 << 20;

/// One way in which projects are made.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Files that say so, the surest first.
    marks: &'static [&'static str],
    /// Endings of names that say so where no such file does.
    endings: &'static [&'static str],
    /// The program that runs its tasks.
    program: &'static str,
    /// An image that has it: `{}` is the version.
    image: &'static str,
    version: &'static str,
    /// Where its tools fetch packages.
    pub(super) hosts: &'static [&'static str],
    /// Variables that lead what its tools write to places where it vanishes.
    pub(super) env: &'static [(&'static str, &'static str)],
    /// Scripts that people start with.
    starts: &'static [&'static str],
    /// What can be run where there is no script.
    plain: &'static [&'static str],
}

pub(super) const KINDS: [Kind; 6] = [
    Kind {
        name: "rust",
        marks: &["Cargo.toml", "Cargo.lock"],
        endings: &[],
        program: "cargo",
        image: "rust:{}-slim",
        version: "1",
        hosts: &["index.crates.io", "static.crates.io"],
        env: &[("CARGO_HOME", "/tmp/cargo"), ("CARGO_TARGET_DIR", "/tmp/target")],
        starts: &[],
        plain: &["cargo", "build", "--offline"],
    },
    Kind {
        name: "go",
        marks: &["go.mod", "go.sum"],
        endings: &[".go"],
        program: "go",
        image: "golang:{}",
        version: "1",
        hosts: &["proxy.golang.org", "sum.golang.org"],
        env: &[("GOCACHE", "/tmp/go-build"), ("GOPATH", "/tmp/go")],
        starts: &[],
        plain: &["go", "vet", "./..."],
    },
    Kind {
        name: "python",
        marks: &["pyproject.toml", "requirements.txt", "setup.py", "setup.cfg", "Pipfile", "uv.lock", "poetry.lock"],
        endings: &[".py"],
        program: "python3",
        image: "python:{}-slim",
        version: "3",
        hosts: &["pypi.org", "files.pythonhosted.org"],
        env: &[],
        starts: &["main.py", "app.py", "run.py", "manage.py"],
        plain: &["python3", "--version"],
    },
    Kind {
        name: "node",
        marks: &["package.json", "package-lock.json", "pnpm-lock.yaml", "yarn.lock"],
        endings: &[".js", ".mjs", ".cjs"],
        program: "node",
        image: "node:{}-slim",
        version: "22",
        hosts: &["registry.npmjs.org"],
        env: &[],
        starts: &["index.js", "main.js", "server.js", "index.mjs"],
        plain: &["node", "--version"],
    },
    Kind {
        name: "terraform",
        marks: &[".terraform.lock.hcl"],
        endings: &[".tf"],
        program: "terraform",
        image: "hashicorp/terraform:{}",
        version: "1.9",
        hosts: &["registry.terraform.io", "releases.hashicorp.com"],
        env: &[("TF_DATA_DIR", "/tmp/terraform")],
        starts: &[],
        plain: &["terraform", "fmt", "-check", "-diff"],
    },
    Kind {
        name: "shell",
        marks: &[],
        endings: &[".sh", ".bash"],
        program: "sh",
        image: "debian:{}",
        version: "12",
        hosts: &[],
        env: &[],
        starts: &["main.sh", "run.sh", "build.sh", "test.sh"],
        plain: &["sh", "-c", "ls"],
    },
];

/// A kind that a project is of, and the name that says so.
pub(super) struct Seen {
    pub(super) kind: &'static Kind,
    pub(super) because: String,
    version: Option<String>,
    script: Option<String>,
}

/// What was found, the kind that decides first.
pub(super) struct Found {
    pub(super) kinds: Vec<Seen>,
}

impl Found {
    /// Looks at the top of the project and nowhere else. What cannot be read counts as not there.
    pub(super) fn look(dir: &Path) -> Found {
        let names = names(dir);
        let mut kinds: Vec<Seen> = KINDS.iter().filter_map(|kind| seen(dir, kind, &names)).collect();
        // A file that is there for a tool says more than a script that lies beside it.
        kinds.sort_by_key(|seen| !seen.kind.marks.contains(&seen.because.as_str()));
        if kinds.is_empty() {
            kinds.extend(by_first_line(dir, &names));
        }
        Found { kinds }
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        let told: Vec<String> =
            self.kinds.iter().map(|seen| format!("{} ({})", seen.kind.name, seen.because)).collect();
        if told.is_empty() { "nothing that says what runs here".to_string() } else { told.join(", ") }
    }

    /// Roots to try, the best first: this machine's own where it has the program, since that pulls nothing.
    pub(super) fn runtimes(&self, backend: Backend) -> Vec<String> {
        let image = self.image();
        let has = self.kinds.first().is_none_or(|seen| host_has(seen.kind.program));
        if backend == Backend::Linux && has {
            return vec!["host".to_string(), image];
        }
        // Without the program nothing would run on it, and an engine has no host: then the image or nothing.
        vec![image]
    }

    /// An image that has the program.
    pub(super) fn image(&self) -> String {
        let Some(Seen { kind, version, .. }) = self.kinds.first() else { return "debian:12".to_string() };
        kind.image.replace("{}", version.as_deref().unwrap_or(kind.version))
    }

    /// The command to try next.
    pub(super) fn next(&self) -> Vec<String> {
        let words = |task: &[&str]| ["aido", "run"].iter().chain(task).map(|word| word.to_string()).collect();
        match self.kinds.first() {
            Some(Seen { script: Some(script), .. }) => words(&[script]),
            Some(Seen { kind, .. }) => words(&[&["--"], kind.plain].concat()),
            None => words(&["--", "sh", "-c", "ls"]),
        }
    }
}

/// Ordinary files at the top whose names are plain words: others are not looked at, and stand in no file or command.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().take(MOST_NAMES).flatten();
    let ordinary = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut names: Vec<String> = ordinary.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let plain = |name: &String| {
        !name.starts_with('-')
            && name.len() <= 100
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    names.retain(plain);
    names.sort();
    names
}

fn seen(dir: &Path, kind: &'static Kind, names: &[String]) -> Option<Seen> {
    let named = |wanted: &str| names.iter().any(|name| name == wanted);
    let ends = |name: &&String| kind.endings.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending));
    let mark = kind.marks.iter().find(|mark| named(mark)).map(|mark| mark.to_string());
    let because = mark.or_else(|| names.iter().find(ends).cloned())?;
    let told = (kind.name == "node").then(|| main_of(dir)).flatten().filter(|main| named(main));
    let starts = kind.starts.iter().find(|start| named(start)).map(|start| start.to_string());
    // Sources of a compiler are no scripts, and `setup.py` installs.
    let scripts =
        (!kind.starts.is_empty()).then(|| names.iter().filter(ends).find(|name| *name != "setup.py").cloned());
    let script = told.or(starts).or(scripts.flatten());
    Some(Seen { kind, because, version: version(dir, kind), script })
}

/// A script without an ending, by its `#!` line.
fn by_first_line(dir: &Path, names: &[String]) -> Option<Seen> {
    let shell = KINDS.iter().find(|kind| kind.name == "shell")?;
    let is_script = |name: &&String| {
        let mut head = [0; 2];
        let file = files::open_unmoved(&dir.join(name)).ok();
        file.is_some_and(|mut file| file.read_exact(&mut head).is_ok() && head == *b"#!")
    };
    let script = names.iter().take(200).find(is_script)?;
    Some(Seen { kind: shell, because: script.clone(), version: None, script: Some(script.clone()) })
}

/// The version that the project names: of these files the first line that has one.
fn version(dir: &Path, kind: &Kind) -> Option<String> {
    let line = |name: &str, start: &str| {
        let text = read(dir, name)?;
        text.lines().find_map(|line| number(line.trim().strip_prefix(start)?, 2))
    };
    match kind.name {
        "python" => line(".python-version", "").or_else(|| line("pyproject.toml", "requires-python")),
        "go" => line("go.mod", "go "),
        "rust" => line("rust-toolchain.toml", "channel").or_else(|| line("rust-toolchain", "")),
        "node" => line(".nvmrc", "").map(|told| major(&told)).or_else(|| {
            let package: Value = serde_json::from_str(&read(dir, "package.json")?).ok()?;
            number(package.get("engines")?.get("node")?.as_str()?, 1)
        }),
        _ => None,
    }
}

fn major(version: &str) -> String {
    version.split('.').next().unwrap_or_default().to_string()
}

/// The first number in a text, with at most so many parts: digits and points, whoever wrote it.
fn number(text: &str, parts: usize) -> Option<String> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let end = text[start..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(text.len(), |at| start + at);
    let parts: Vec<&str> = text[start..end].split('.').filter(|part| !part.is_empty()).take(parts).collect();
    Some(parts.join(".")).filter(|number| number.len() <= 10)
}

/// What `package.json` calls the project's main file.
fn main_of(dir: &Path) -> Option<String> {
    let package: Value = serde_json::from_str(&read(dir, "package.json")?).ok()?;
    let main = package.get("main")?.as_str()?;
    Some(main.strip_prefix("./").unwrap_or(main).to_string())
}

/// An ordinary file of bounded size; neither waited for nor followed elsewhere.
fn read(dir: &Path, name: &str) -> Option<String> {
    let file = files::open_unmoved(&dir.join(name)).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= MOST_BYTES).then(|| String::from_utf8(bytes).ok())?
}

/// Whether a task whose root is this machine finds the program: in the search path there, and not by a link to
/// somewhere that it is not shown.
fn host_has(program: &str) -> bool {
    let shown = ["/usr", "/bin", "/sbin", "/lib"];
    PATH.split(':').any(|folder| {
        let real = Path::new(folder).join(program).canonicalize();
        real.is_ok_and(|real| real.is_file() && shown.iter().any(|top| real.starts_with(top)))
    })
}
