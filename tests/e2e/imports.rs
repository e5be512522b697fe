//! Images from files, folders and standard input; which of them a cloned repository may name.

use crate::host;
use crate::project::Project;
use crate::running::Running;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The output of a program, in a file below the project's home.
fn made(p: &Project, name: &str, command: &[&str]) -> PathBuf {
    let path = p.home().join(name);
    let out = File::create(&path).unwrap();
    let done = Command::new(command[0]).args(&command[1..]).stdout(out).status().unwrap();
    assert!(done.success(), "{command:?}");
    path
}

fn store(p: &Project) -> PathBuf {
    p.home().join(".local/share/aido")
}

/// Everything below, by name.
fn listed(at: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(at) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    all.extend(all.clone().iter().filter(|path| path.is_dir() && !path.is_symlink()).flat_map(|path| listed(path)));
    all
}

#[test]
fn an_image_comes_in_by_standard_input_compressed_or_not() {
    let images = images!();
    let p = Project::new();
    let (oci, docker) = (images.join("tiny.oci.tar"), images.join("tiny.docker.tar"));
    let gzip = made(&p, "tiny.gz", &["gzip", "-c", docker.to_str().unwrap()]);
    let zstd = made(&p, "tiny.zst", &["zstd", "-q", "-c", oci.to_str().unwrap()]);
    for (source, file, name) in [
        ("oci-archive:-", &oci, "plain:1"),
        ("docker-archive:-", &gzip, "gz:1"),
        ("oci-archive:-:latest", &zstd, "zst:1"),
        ("docker-archive:-:tiny", &docker, "by-name:1"),
    ] {
        let mut command = p.command(["image", "import", source, name]);
        command.stdin(File::open(file).unwrap());
        let out = Running::start(command).end();
        out.ok().prints("sha256:");
        p.aido(["run", "--quiet", "--offline", "--runtime", name, "--", "cat", "/srv/app/motd"])
            .ok()
            .stdout("from the image\n");
    }
    let names = p.aido(["image", "list", "--json"]).ok().json().to_string();
    assert!(!names.contains("-archive"), "standard input is no name: {names}");
}

#[test]
fn a_pipe_gives_its_image_too() {
    let images = images!();
    let p = Project::new();
    let mut command = p.command(["image", "import", "oci-archive:-", "piped:1"]);
    let mut cat = Command::new("cat").arg(images.join("tiny.oci.tar")).stdout(Stdio::piped()).spawn().unwrap();
    command.stdin(cat.stdout.take().unwrap());
    Running::start(command).end().ok();
    assert!(cat.wait().unwrap().success());
    p.aido(["run", "--quiet", "--offline", "--runtime", "piped:1", "--", "true"]).ok();
}

#[test]
fn standard_input_must_hold_an_archive_and_have_a_name() {
    let p = Project::new();
    p.aido(["image", "import", "oci-archive:-"]).code(125).says("needs a name").says("oci-archive:- NAME");
    // Empty, and then what is no archive.
    p.aido(["image", "import", "oci-archive:-", "x"]).code(125).says("it is empty");
    let mut command = p.command(["image", "import", "docker-archive:-", "x"]);
    command.stdin(File::open("/bin/sh").unwrap());
    Running::start(command).end().code(125).says("standard input");
    // Somebody who types.
    let script = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(host::aido()).args(["image", "import", "docker-archive:-", "x"]);
    command.current_dir(p.path()).env("HOME", p.home()).stdin(Stdio::null());
    Running::start(command).end().code(125).prints("a terminal is no archive").prints("docker save");
    assert!(listed(&store(&p)).iter().all(|path| !path.to_string_lossy().contains("sha256")));
    assert_eq!(p.aido(["image", "list", "--json"]).ok().json().to_string(), "[]");
}

#[test]
fn a_sandbox_yaml_names_no_image_outside_of_its_project() {
    let images = images!();
    let p = Project::new();
    let archive = images.join("tiny.oci.tar");
    std::fs::copy(&archive, p.path().join("tiny.tar")).unwrap();
    std::fs::copy(&archive, p.path().join(".env")).unwrap();
    symlink(&archive, p.path().join("out.tar")).unwrap();
    symlink(images.join("tiny"), p.path().join("layout")).unwrap();
    for (runtime, said) in [
        (format!("oci-archive:{}", archive.display()), "an image of the project only"),
        (format!("oci:{}", images.join("tiny").display()), "an image of the project only"),
        ("docker-archive:../tiny.docker.tar".to_owned(), "an image of the project only"),
        ("oci-archive:out.tar".to_owned(), "leads out of the project"),
        ("oci:layout".to_owned(), "leads out of the project"),
        ("oci-archive:.env".to_owned(), "to its secrets"),
    ] {
        p.write("sandbox.yaml", format!("runtime: \"{runtime}\"\ninputs: []\n"));
        p.aido(["run", "--", "true"]).code(125).says(said).says("type it yourself");
        p.aido(["sandbox", "up"]).code(125).says(said);
    }
    assert_eq!(p.aido(["image", "list", "--json"]).ok().json().to_string(), "[]", "a refused image was brought in");
    p.write("sandbox.yaml", "runtime: oci-archive:tiny.tar\ninputs: []\n");
    p.aido(["run", "-q", "--", "cat", "/srv/app/motd"]).ok().stdout("from the image\n");
    // What is typed is the user's own word, in a sandbox that stays too.
    let typed = format!("oci-archive:{}:latest", archive.display());
    p.aido(["run", "-q", "--runtime", &typed, "--", "cat", "/srv/app/motd"]).ok().stdout("from the image\n");
    p.aido(["sandbox", "up", "-q", "--runtime", &typed]).ok();
    p.aido(["run", "-q", "--", "cat", "/srv/app/motd"]).ok().stdout("from the image\n");
}

#[test]
fn several_images_are_listed_and_one_is_named() {
    let images = images!();
    let p = Project::new();
    let dir = p.home().join("two");
    let copied = Command::new("cp").arg("-R").args([images.join("tiny"), dir.clone()]).status().unwrap();
    assert!(copied.success());
    let index = std::fs::read_to_string(dir.join("index.json")).unwrap();
    let mut index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let mut second = index["manifests"][0].clone();
    second["annotations"]["org.opencontainers.image.ref.name"] = "second\u{1b}[2J".into();
    index["manifests"].as_array_mut().unwrap().push(second);
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
    let source = format!("oci:{}", dir.display());
    let out = p.aido(["image", "import", &source]);
    out.code(125).says("it holds several images: latest, second").says("say which");
    assert!(!out.told().contains('\u{1b}'), "a name in an index steers the terminal");
    p.aido(["image", "import", &format!("{source}:third")]).code(125).says("no image `third`");
    p.aido(["image", "import", &format!("{source}:latest")]).ok();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    p.aido(["image", "import", &format!("{source}@{digest}")]).ok().prints(digest);
}
