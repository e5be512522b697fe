//! Inputs and outputs against real folders.

use super::*;
use crate::settings::Overrides;
use aido_runtime::MountKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// Paths with a final slash are folders; every file holds its own path.
    fn new(paths: &[&str]) -> Project {
        let folder = tempfile::tempdir().unwrap();
        for path in paths {
            let full = folder.path().join(path);
            if path.ends_with('/') {
                std::fs::create_dir_all(full).unwrap();
            } else {
                std::fs::create_dir_all(full.parent().unwrap()).unwrap();
                std::fs::write(full, path).unwrap();
            }
        }
        Project { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(path)
    }

    fn try_lay_out(&self, yaml: &str) -> Result<Layout> {
        let settings = Settings::from_text(yaml, "sandbox.yaml", self.folder.path(), &Overrides::default())?;
        lay_out(&settings, None, &Own::default())
    }

    fn lay_out(&self, yaml: &str) -> Layout {
        self.try_lay_out(yaml).unwrap_or_else(|e| panic!("{yaml}\n{e}"))
    }

    fn fails(&self, yaml: &str) -> String {
        match self.try_lay_out(yaml) {
            Err(error) => error.to_string(),
            Ok(layout) => panic!("accepted {yaml}: {layout:?}"),
        }
    }

    /// Inputs as `path` or `path -> source`, with `-hidden` ones.
    fn inputs(&self, yaml: &str) -> Vec<String> {
        let show = |entry: &Entry| {
            let mut text = if entry.path.is_empty() { ".".to_string() } else { entry.path.clone() };
            if entry.source != self.path(&entry.path) {
                text += &format!(" -> {}", entry.source.strip_prefix(self.path("")).unwrap().display());
            }
            entry.hidden.iter().fold(text, |text, h| format!("{text} -{h}"))
        };
        self.lay_out(yaml).inputs.iter().map(show).collect()
    }

    /// Mounts of the workspace as `target kind`.
    fn workspace(&self, yaml: &str) -> Vec<String> {
        let mounts = self.lay_out(yaml).mounts;
        let inside = mounts.iter().filter(|m| m.target.starts_with(WORKSPACE));
        inside
            .map(|m| {
                let name = m.target.strip_prefix(WORKSPACE).unwrap();
                match &m.kind {
                    MountKind::Input { source, hidden, .. } => {
                        let source = source.strip_prefix(self.path("")).unwrap().display();
                        hidden.iter().fold(format!("{name} = {source}"), |t, h| format!("{t} -{h}"))
                    }
                    MountKind::Empty => format!("{name} empty"),
                    MountKind::OutputFolder { path } => format!("{name} folder {path}"),
                    MountKind::OutputFile { path } => format!("{name} file {path}"),
                    other => panic!("{other:?}"),
                }
            })
            .collect()
    }
}

#[test]
fn by_default_the_project_without_its_secrets() {
    let p = Project::new(&[
        "a.py",
        ".git/config",
        ".env",
        ".env.example",
        "sub/.env.local",
        "sub/tls.pem",
        "sub/b",
        ".aido/x",
    ]);
    assert_eq!(p.inputs(""), [". -.aido -.env -.git -sub/.env.local -sub/tls.pem"]);
    assert_eq!(p.inputs("inputs: [.]"), p.inputs(""));
    assert_eq!(p.inputs("inputs: ['**']"), p.inputs(""));
    let layout = p.lay_out("");
    assert_eq!(layout.hidden(), [".aido", ".env", ".git", "sub/.env.local", "sub/tls.pem"]);
    let targets: Vec<&str> = layout.mounts.iter().map(|m| m.target.as_str()).collect();
    assert_eq!(targets, ["/outputs", "/workspace", "/tmp", "/home/aido"]);
    assert_eq!(p.workspace("inputs: []"), [" empty"]);
}

#[test]
fn a_secret_is_given_only_to_those_who_name_it() {
    let p = Project::new(&["c/.env", "c/app.json", "c/.ssh/id_rsa", "c/.ssh/config", ".env", "keys/a.pem"]);
    assert_eq!(p.inputs("inputs: [c]"), ["c -.env -.ssh"]);
    assert_eq!(p.inputs("inputs: [c/*]"), ["c/app.json"]);
    assert_eq!(p.inputs("inputs: [c/.env, .env]"), [".env", "c/.env"]);
    assert_eq!(p.inputs("inputs: [c, c/.env]"), ["c -.ssh"]);
    assert_eq!(p.inputs("inputs: [., .env]"), [". -c/.env -c/.ssh -keys/a.pem"]);
    assert_eq!(p.inputs("inputs: [c, c/.ssh]"), ["c -.env -.ssh/id_rsa"]);
    assert!(p.fails("inputs: [c, c/.ssh/config]").contains("`c/.ssh/config` lies in `.ssh`"));
    assert!(p.fails("inputs: ['keys/*.pem']").contains("matches only what looks like secrets, such as keys/a.pem"));
    assert!(p.fails("inputs: ['.e*']").contains("matches only what looks like secrets"));
}

#[test]
fn doors_to_the_outside_are_hidden() {
    let p = Project::new(&["a", "run/"]);
    nix::unistd::mkfifo(&p.path("run/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(p.path("run/agent.sock")).unwrap();
    assert_eq!(p.inputs(""), [". -run/agent.sock -run/pipe"]);
    assert!(p.fails("inputs: [run/pipe]").contains("neither a file nor a folder"));
    assert!(p.fails("inputs: ['run/*']").contains("matches nothing"));
}

#[test]
fn patterns() {
    let p = Project::new(&[
        "config/a.json",
        "config/b.json",
        "config/c.txt",
        "config/deep/d.json",
        "scripts/migrate.py",
        "x",
    ]);
    assert_eq!(
        p.inputs("inputs: [scripts/migrate.py, config/*.json]"),
        ["config/a.json", "config/b.json", "scripts/migrate.py"]
    );
    assert_eq!(p.inputs("inputs: ['config/**']"), ["config"]);
    assert_eq!(p.inputs("inputs: [config/]"), ["config"]);
    assert_eq!(p.inputs("inputs: [./config//deep/.]"), ["config/deep"]);
    assert_eq!(p.inputs("inputs: ['**/*.json']"), ["config/a.json", "config/b.json", "config/deep/d.json"]);
    assert_eq!(p.inputs("inputs: ['config/*']"), ["config/a.json", "config/b.json", "config/c.txt", "config/deep"]);
    assert_eq!(p.inputs("inputs: ['*/']"), ["config", "scripts"]);
    assert_eq!(p.inputs("inputs: ['{x,config/c.*}']"), ["config/c.txt", "x"]);
    assert_eq!(p.inputs("inputs: [config, config/a.json, 'config/deep/*']"), ["config"]);
    assert_eq!(p.workspace("inputs: [x, config]"), [" empty", "/config = config", "/x = x"]);
}

#[test]
fn what_matches_nothing_or_climbs_is_refused_with_its_place() {
    let p = Project::new(&["config/app.json", "x"]);
    assert_eq!(
        p.fails("inputs:\n  - x\n  - config/ap.json\n"),
        "sandbox.yaml:3:5: `config/ap.json` matches nothing in the project
   |
 3 |   - config/ap.json
   |     ^^^^^^^^^^^^^^
  help: there is `config/app.json`"
    );
    for (pattern, said) in [
        ("'*.toml'", "matches nothing"),
        ("/etc/passwd", "is not a path of the project"),
        ("~/.ssh", "is not a path of the project"),
        ("../x", "climbs out of the project"),
        ("config/../../x", "climbs out of the project"),
        ("'**/../x'", "climbs out"),
        ("x/", "is a file, not a folder"),
        ("x/y", "matches nothing"),
        ("''", "an empty path"),
        ("'a[b'", "is no pattern"),
        ("'nothing/*'", "matches nothing"),
    ] {
        let error = p.fails(&format!("inputs: [{pattern}]"));
        assert!(error.contains(said) && error.starts_with("sandbox.yaml:1:10: "), "{pattern}: {error}");
    }
}

#[test]
fn links_stay_inside() {
    let p = Project::new(&["real/data", "real/.env", "dir/"]);
    let out = Project::new(&["secret"]);
    symlink("../real/data", p.path("dir/inside")).unwrap();
    symlink(out.path("secret"), p.path("dir/outside")).unwrap();
    symlink("nowhere", p.path("dir/dead")).unwrap();
    symlink(out.path(""), p.path("outdir")).unwrap();
    symlink("real", p.path("alias")).unwrap();
    symlink("../real/.env", p.path("dir/plain")).unwrap();
    assert_eq!(p.inputs("inputs: [dir/inside]"), ["dir/inside -> real/data"]);
    assert_eq!(p.inputs("inputs: [alias]"), ["alias -> real -.env"]);
    assert_eq!(p.inputs("inputs: ['alias/*']"), ["alias/data -> real/data"]);
    for pattern in ["dir/outside", "outdir", "outdir/secret", "'dir/o*'", "'outdir/*'", "'out*'"] {
        assert!(p.fails(&format!("inputs: [{pattern}]")).contains("leads out of the project"), "{pattern}");
    }
    assert!(p.fails("inputs: [dir/dead]").contains("leads nowhere"));
    // A link with a harmless name does not smuggle a secret out of a pattern, and one with a secret's name hides its target.
    assert!(p.fails("inputs: ['dir/pl*']").contains("only what looks like secrets"));
    symlink("real/data", p.path(".netrc")).unwrap();
    assert_eq!(p.inputs("inputs: [.]"), [". -real/.env -real/data"]);
}

#[test]
fn ten_thousand_files() {
    let p = Project::new(&["many/"]);
    for n in 0..10_000 {
        std::fs::File::create(p.path(&format!("many/{n}.txt"))).unwrap();
    }
    let started = std::time::Instant::now();
    assert_eq!(p.inputs("inputs: ['many/*.txt']").len(), 10_000);
    assert_eq!(p.inputs("inputs: [many]").len(), 1);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn outputs_lie_where_they_were_named() {
    let p = Project::new(&["a.py", "data/in.csv", "results/old", "log"]);
    assert_eq!(
        p.workspace("inputs: [data]\noutputs: [results/, new.log, deep/er/]"),
        [" empty", "/data = data", "/results folder results", "/new.log file new.log", "/deep/er folder deep/er"]
    );
    // What the project has is covered; a folder of the project needs no slash.
    assert_eq!(p.workspace("outputs: [results, log]"), [" =  -.aido", "/results folder results", "/log file log"]);
    let layout = p.lay_out("outputs: [results]");
    assert_eq!(layout.outputs[0].written(), "results/");
    assert_eq!(layout.mounts[0].kind, MountKind::OutputFolder { path: String::new() });
}

#[test]
fn an_output_may_lie_in_an_input_and_in_the_place_of_a_secret() {
    let p = Project::new(&["data/in.csv", "data/sub/x", "data/.env", "data/tls.key"]);
    assert_eq!(
        p.workspace("inputs: [data]\noutputs: [data/sub/deep/log, data/.env]"),
        [" empty", "/data = data -tls.key", "/data/sub/deep/log file data/sub/deep/log", "/data/.env file data/.env"]
    );
    assert_eq!(p.workspace("outputs: [new/]"), [" =  -.aido -data/.env -data/tls.key", "/new folder new"]);
}

#[test]
fn outputs_that_cannot_be_are_refused() {
    let p = Project::new(&["a", "d/x", "d/sub/", ".ssh/"]);
    symlink("d", p.path("alias")).unwrap();
    for (yaml, said) in [
        ("outputs: [/tmp/x]", "is not a path of the project"),
        ("outputs: [../x]", "climbs out"),
        ("outputs: ['*.log']", "is a pattern"),
        ("outputs: [.]", "the whole workspace"),
        ("outputs: [x, ./x]", "`x` is given twice"),
        ("outputs: [r/, r/log]", "`r/log` lies inside the output `r`"),
        ("outputs: [r/log, r/]", "`r/log` lies inside the output `r`"),
        ("outputs: [.git/hooks/]", "the task never sees that folder"),
        ("outputs: [.ssh/x]", "the task never sees that folder"),
        ("outputs: [a/]", "`a` is a file in the project"),
        ("outputs: [a/b]", "`a` is a file in the project"),
        ("outputs: [alias/y]", "`alias` is a link in the project"),
        ("inputs: [a]\noutputs: [a]", "`a` is an input and an output"),
        ("inputs: [d]\noutputs: [d/]", "`d` is an input and an output"),
        ("inputs: [d/x]\noutputs: [d/]", "the input `d/x` lies inside the output `d`"),
        ("inputs: [a]\noutputs: [a/b]", "which is a file"),
    ] {
        let error = p.fails(yaml);
        assert!(error.contains(said) && error.starts_with("sandbox.yaml:"), "{yaml}: {error}");
    }
}

#[test]
fn a_home_folder_is_no_project() {
    let home = Project::new(&["project/a", ".bashrc"]);
    let try_at = |project: &Path, yaml: &str| {
        let settings = Settings::from_text(yaml, "f", project, &Overrides::default()).unwrap();
        lay_out(&settings, None, &Own { home: Some(home.path("")), keys: None, looks: None })
    };
    assert!(try_at(&home.path(""), "").unwrap_err().to_string().contains("is no project"));
    assert!(try_at(home.path("").parent().unwrap(), "").is_err());
    assert!(try_at(Path::new("/"), "").is_err());
    assert!(try_at(&home.path("project"), "").is_ok());
    assert!(try_at(&home.path(""), "inputs: [project]").is_ok());
    assert!(try_at(Path::new("/"), "inputs: []").is_ok());
}

#[test]
fn keys_that_sign_are_no_input_however_they_are_named() {
    let p = Project::new(&["a", "share/b", "share/aido/keys/0a.pem", "share/aido/keys/0a.pub.pem"]);
    let keys = Some(p.path("share/aido/keys"));
    let try_with = |yaml: &str| {
        let settings = Settings::from_text(yaml, "f", p.folder.path(), &Overrides::default()).unwrap();
        lay_out(&settings, None, &Own { home: None, keys: keys.clone(), looks: None }).map(|layout| layout.hidden())
    };
    for yaml in ["", "inputs: [share]", "inputs: ['**']", "inputs: ['s*/']", "inputs: [share/aido]"] {
        assert_eq!(try_with(yaml).unwrap(), ["share/aido/keys"], "{yaml}");
    }
    // Named exactly beside its folder, and by a link too.
    symlink("share/aido/keys/0a.pub.pem", p.path("link")).unwrap();
    for inside in ["share/aido/keys", "share/aido/keys/0a.pem", "share/aido/keys/0a.pub.pem", "link"] {
        let said = try_with(&format!("inputs: [{inside}]")).unwrap_err().to_string();
        assert!(said.contains("where the keys are that sign") || said.contains("looks like a secret"), "{said}");
    }
    assert_eq!(try_with("inputs: [share, share/aido/keys/0a.pem]").unwrap(), ["share/aido/keys"]);
    assert!(try_with("inputs: [a]").unwrap().is_empty());
}

#[test]
fn the_script_is_shown_where_no_input_covers_it() {
    let p = Project::new(&["a.py", "d/b.py", "d/id_rsa.py"]);
    let with = |yaml: &str, script: &str| {
        let settings = Settings::from_text(yaml, "f", p.folder.path(), &Overrides::default()).unwrap();
        lay_out(&settings, Some(script), &Own::default())
            .map(|l| l.inputs.iter().map(|e| format!("{} {:?}", e.path, e.hidden)).collect::<Vec<_>>())
    };
    assert_eq!(with("inputs: []", "a.py").unwrap(), ["a.py []"]);
    assert_eq!(with("inputs: [d]", "d/b.py").unwrap(), ["d [\"id_rsa.py\"]"]);
    assert_eq!(with("inputs: [d]", "d/id_rsa.py").unwrap(), ["d []"]);
}

#[test]
fn digests_tell_every_change_that_the_task_could_see() {
    let p = Project::new(&["t/a", "t/b/c", "t/.env"]);
    let digest = || digests_at_once(&p.lay_out("inputs: [t]").inputs).unwrap().remove(0);
    let first = digest();
    assert_eq!((first.kind, first.entries, first.path.as_str()), (InputKind::Tree, 3, "t"));
    let mut seen = vec![first.digest.clone()];
    let mut changed = |what: &str| {
        let now = digest().digest;
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    };
    std::fs::write(p.path("t/a"), "t/A").unwrap();
    changed("content");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(p.path("t/a"), mode).unwrap();
    changed("execute bit");
    std::fs::rename(p.path("t/b/c"), p.path("t/b/d")).unwrap();
    changed("name");
    std::fs::create_dir(p.path("t/empty")).unwrap();
    changed("folder");
    symlink("a", p.path("t/link")).unwrap();
    changed("link");
    let before = digest();
    std::fs::write(p.path("t/.env"), "other").unwrap();
    assert_eq!(digest(), before, "a hidden file is no input");
    let file = digests_at_once(&p.lay_out("inputs: [t/b/d]").inputs).unwrap().remove(0);
    assert_eq!(file.kind, InputKind::File);
    // sha256 of "t/b/c", by another tool
    assert_eq!(file.digest, KNOWN);
}

const KNOWN: &str = "sha256:a90a2f870f396002e80d1ed6b03a0c13a463e738a1571d241286e31286a21165";

#[test]
fn a_large_folder_gets_a_digest_of_its_metadata() {
    let p = Project::new(&["big/"]);
    for n in 0..4097 {
        std::fs::File::create(p.path(&format!("big/{n}"))).unwrap();
    }
    let digest = || digests_at_once(&p.lay_out("inputs: [big]").inputs).unwrap().remove(0);
    let first = digest();
    assert_eq!((first.kind, first.entries, first.partial), (InputKind::Metadata, 4097, false));
    assert_eq!(digest(), first);
    std::fs::write(p.path("big/7"), "x").unwrap();
    assert_ne!(digest().digest, first.digest);
}

#[test]
fn a_digest_that_is_taken_late_is_the_same_and_tells_what_changed_meanwhile() {
    use std::os::unix::ffi::OsStrExt;
    let p = Project::new(&["big/sub/", "small/a"]);
    for n in 0..4097 {
        std::fs::File::create(p.path(&format!("big/{n}"))).unwrap();
    }
    std::fs::write(p.path("big/.env"), "KEY=1").unwrap();
    std::os::unix::fs::symlink("..", p.path("big/sub/loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", p.path("big/broken")).unwrap();
    std::fs::write(p.path("big").join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "x").unwrap();
    let _door = std::os::unix::net::UnixListener::bind(p.path("big/door")).unwrap();
    let inputs = p.lay_out("inputs: [big, small]").inputs;
    let (told, later) = digests(&inputs, true).unwrap();
    let at_once = digests_at_once(&inputs).unwrap();
    assert_eq!((told[0].pending, told[0].digest.as_str()), (true, ""));
    assert_eq!((&told[1], later.len()), (&at_once[1], 1));
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(digest_late(&later), at_once[..1]);
    // A time that can be set does not hide a change.
    let began = std::time::SystemTime::now();
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert!(!super::digest::digest(&later[0], 1, Some(began)).unwrap().changed_during);
    let file = std::fs::File::options().write(true).open(p.path("big/7")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert!(super::digest::digest(&later[0], 1, Some(began)).unwrap().changed_during);
    // What takes the place of what was pending is of the same path only.
    let (mut told, other) = (told, InputDigest { path: "other".into(), ..at_once[0].clone() });
    other.take_its_place(&mut told);
    assert!(told[0].pending);
    at_once[0].clone().take_its_place(&mut told);
    assert_eq!(told, at_once);
}

fn digests_at_once(inputs: &[Entry]) -> Result<Vec<InputDigest>> {
    digests(inputs, false).map(|(told, _)| told)
}
