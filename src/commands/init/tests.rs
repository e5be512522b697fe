use super::*;
use crate::settings::Filesystem;
use std::fs;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        fs::write(dir.path().join(path), text).unwrap();
    }
    dir
}

fn kinds(dir: &Path) -> Vec<&'static str> {
    Found::look(dir).kinds.iter().map(|seen| seen.kind.name).collect()
}

fn drafted(dir: &Path) -> (String, Settings) {
    let text = draft(dir, &Found::look(dir), Backend::Linux, &Policy::default()).unwrap().text;
    let settings = Settings::from_text(&text, FILE, dir, &Overrides::default()).unwrap();
    (text, settings)
}

#[test]
fn each_kind_of_project_is_known_and_its_file_reads_back() {
    for (files, kind, image, next) in [
        (
            &[("pyproject.toml", "[project]\nrequires-python = \">=3.11,<4\"\n"), ("main.py", "")][..],
            "python",
            "python:3.11-slim",
            "aido run main.py",
        ),
        (&[("requirements.txt", "")], "python", "python:3-slim", "aido run -- python3 --version"),
        (&[("b.py", ""), ("a.py", "")], "python", "python:3-slim", "aido run a.py"),
        (
            &[("package.json", r#"{"main": "./lib.js", "engines": {"node": ">=20.1"}}"#), ("lib.js", "")],
            "node",
            "node:20-slim",
            "aido run lib.js",
        ),
        (&[("Cargo.toml", "[package]"), ("x.py", "")], "rust", "rust:1-slim", "aido run -- cargo build --offline"),
        (&[("go.mod", "module x\n\ngo 1.22.3\n")], "go", "golang:1.22", "aido run -- go vet ./..."),
        (&[("main.tf", "")], "terraform", "hashicorp/terraform:1.9", "aido run -- terraform fmt -check -diff"),
        (&[("x.sh", ""), ("build.sh", "")], "shell", "debian:12", "aido run build.sh"),
        (&[("deploy", "#!/bin/sh\n"), ("LICENSE", "")], "shell", "debian:12", "aido run deploy"),
    ] {
        let dir = project(files);
        let found = Found::look(dir.path());
        assert_eq!(found.kinds.first().map(|seen| seen.kind.name), Some(kind), "{files:?}");
        assert_eq!((found.image().as_str(), found.next().join(" ").as_str()), (image, next), "{files:?}");
        let (text, settings) = drafted(dir.path());
        assert!(settings.network.is_none() && settings.filesystem == Filesystem::ReadOnly, "{text}");
        assert!(text.contains(&format!("# Found: {kind} (")), "{text}");
    }
    let nothing = project(&[("LICENSE", "")]);
    assert!(kinds(nothing.path()).is_empty());
    assert_eq!(drafted(nothing.path()).1.runtime.value.to_string(), "host");
}

#[test]
fn what_is_commented_out_holds_when_it_is_written() {
    for files in [&[("package.json", "{}"), ("a.tf", "")][..], &[("Cargo.toml", "")], &[("x.sh", "")]] {
        let dir = project(files);
        for folder in ["src", "config"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("config/x.json"), "").unwrap();
        let (text, _) = drafted(dir.path());
        let mut tried = 0;
        for line in text.lines().filter(|line| line.trim_start().starts_with("# ")) {
            let opened = line.replacen("# ", "", 1);
            let Some((key, _)) = opened
                .trim()
                .split_once(": ")
                .filter(|(key, _)| ["inputs", "outputs", "runtime", "network", "env", "resources"].contains(key))
            else {
                continue;
            };
            // It takes the place of the line that stands there.
            let taken: Vec<&str> = text.lines().filter(|other| !other.trim().starts_with(&format!("{key}:"))).collect();
            let with = taken.join("\n").replace(line, &opened);
            let settings = Settings::from_text(&with, FILE, dir.path(), &Overrides::default());
            assert!(settings.is_ok(), "{with}\n{}", settings.unwrap_err());
            tried += 1;
        }
        assert!(tried >= 4, "{text}");
    }
}

#[test]
fn names_and_contents_of_strangers_stay_out() {
    let dir = project(&[
        ("a\nruntime: evil.py", ""),
        ("-x.py", ""),
        ("$(id).py", ""),
        ("package.json", r#"{"main": "../../etc/passwd", "engines": {"node": "20\nruntime: evil"}}"#),
        (".nvmrc", "v18; rm -rf /"),
    ]);
    let found = Found::look(dir.path());
    assert_eq!(kinds(dir.path()), ["node"]);
    assert_eq!(
        (found.image().as_str(), found.next().join(" ").as_str()),
        ("node:18-slim", "aido run -- node --version")
    );
    assert!(!drafted(dir.path()).0.contains("evil"));
}

#[test]
fn what_is_no_ordinary_file_counts_as_not_there() {
    let dir = project(&[]);
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("Cargo.toml")).unwrap();
    fs::create_dir(dir.path().join("go.mod")).unwrap();
    nix::unistd::mkfifo(&dir.path().join("package.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(kinds(dir.path()).is_empty());
    let large = fs::File::create(dir.path().join("pyproject.toml")).unwrap();
    large.set_len(1 << 30).unwrap();
    assert_eq!(kinds(dir.path()), ["python"]);
}

#[test]
fn a_name_is_a_text_whatever_it_looks_like() {
    for name in ["true", "12", "1e5", "No", "plain-name", "0x1f"] {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join(name);
        fs::create_dir(&dir).unwrap();
        assert_eq!(drafted(&dir.canonicalize().unwrap()).1.name, name);
    }
}

#[test]
fn a_policy_that_forbids_the_host_leads_to_an_image() {
    let dir = project(&[("main.py", "")]);
    let policy = Policy::parse("runtimes: [\"python:*\"]\n", "policy.yaml").unwrap();
    let draft = draft(dir.path(), &Found::look(dir.path()), Backend::Linux, &policy).unwrap();
    assert_eq!(draft.runtime, "python:3-slim");
    let none = Policy::parse("runtimes: []\n", "policy.yaml").unwrap();
    let refused = super::draft(dir.path(), &Found::look(dir.path()), Backend::Linux, &none).err().unwrap();
    assert!(refused.to_string().contains("policy"), "{refused}");
}

#[test]
fn what_is_there_is_written_over_by_force_alone_and_links_are_not_followed() {
    let (dir, other) = (project(&[]), project(&[("theirs", "kept")]));
    let (path, theirs) = (dir.path().join(FILE), other.path().join("theirs"));
    std::os::unix::fs::symlink(&theirs, &path).unwrap();
    assert!(write(dir.path(), "new", false).unwrap_err().to_string().contains("not written over"));
    write(dir.path(), "new", true).unwrap();
    assert_eq!(
        (fs::read_to_string(&path).unwrap(), fs::read_to_string(theirs).unwrap()),
        ("new".into(), "kept".into())
    );
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(write(dir.path(), "new", true).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something is left beside it");
}
