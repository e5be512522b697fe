//! What names mean: resolved once, moved only when asked, pinned in the file.

use crate::host;
use crate::output::find;
use crate::project::Project;
use crate::relay::Relay;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

macro_rules! registry {
    () => {
        match host::registry() {
            Some(registry) => registry,
            None => skip!("AIDO_REGISTRY is not set: run ci/test"),
        }
    };
}

/// One request to the registry; what it answered after the head.
fn ask(registry: &str, method: &str, path: &str, body: &[u8], head: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(registry).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {registry}\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an HTTP answer") + 4;
    let status = String::from_utf8_lossy(&answer[..end]).lines().next().unwrap_or_default().to_string();
    assert!(status.contains(" 20"), "{method} {path}: {status}");
    answer.split_off(end)
}

/// Points a tag of `tiny` at a manifest of its own, which differs by a note; returns the whole name.
fn point(registry: &str, tag: &str, note: &str) -> String {
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let old = ask(registry, "GET", "/v2/tiny/manifests/latest", b"", &format!("Accept: {kind}\r\n"));
    let mut manifest: Value = serde_json::from_slice(&old).unwrap();
    manifest["annotations"] = json!({"note": note});
    let path = format!("/v2/tiny/manifests/{tag}");
    ask(registry, "PUT", &path, manifest.to_string().as_bytes(), &format!("Content-Type: {kind}\r\n"));
    format!("{registry}/tiny:{tag}")
}

/// A tag that no other test has.
fn tag() -> String {
    format!("t{}", host::marker().replace('.', "-"))
}

#[test]
fn a_tag_keeps_its_meaning_until_an_update_and_the_old_image_until_a_prune() {
    let registry = registry!();
    let (p, tag) = (Project::new(), tag());
    let name = point(&registry, &tag, "old");
    let old = p.aido(["image", "pull", &name]).word();
    p.aido(["image", "pull", &name]).ok().says("means what it meant").stdout(&format!("{old}\n"));
    point(&registry, &tag, "new");
    let moved = p.aido(["image", "pull", &name]);
    moved.ok().stdout(&format!("{old}\n")).says("by now").says(&format!("aido image pull --update {name}"));
    let run = |options: &[&str]| {
        p.aido([&["run", "--quiet"][..], options, &["--runtime", &name, "--", "true"]].concat()).ok();
        p.summary()["image_digest"].as_str().unwrap().to_string()
    };
    assert_eq!(run(&[]), old);
    let updated = p.aido(["image", "pull", "--update", "--json"]);
    let new = find(&updated.ok().says(&format!("{old} -> ")).json(), "digest").unwrap().as_str().unwrap().to_string();
    assert!(new != old && run(&["--offline"]) == new);
    // Held to its digest, the old one is what it was; the tag beside it is for people.
    let pinned = format!("{name}@{old}");
    p.aido(["run", "--quiet", "--offline", "--runtime", &pinned, "--", "cat", "/srv/app/motd"])
        .ok()
        .stdout("from the image\n");
    assert_eq!(&p.summary()["image_digest"], &json!(old));
    assert!(p.summary().to_string().contains(&pinned), "the record does not say the name as it was asked for");
    p.aido(["image", "list"]).ok().prints("<no name>");
    p.aido(["image", "prune", "--dry-run"]).ok().says(&old).says("would");
    assert_eq!(p.aido(["image", "list", "--json"]).json().as_array().unwrap().len(), 2);
    let pruned = p.aido(["image", "prune", "--json"]).ok().json();
    assert_eq!(find(&pruned, "digest").unwrap(), &json!(old), "{pruned}");
    assert_eq!(run(&["--offline"]), new, "a prune took what another image needs");
    p.aido(["run", "--offline", "--runtime", &pinned, "--", "true"]).refused(&["offline"]);
}

#[test]
fn a_present_image_is_pulled_without_a_registry() {
    let relay = Relay::to(&registry!());
    let p = Project::new();
    let name = format!("{}/tiny:latest", relay.address());
    let digest = p.aido(["image", "pull", "--quiet", &name]).word();
    let asked = relay.count();
    p.aido(["image", "pull", "--offline", &name]).ok().stdout(&format!("{digest}\n")).says("not asked");
    p.aido(["image", "pull", &format!("{name}@{digest}")]).ok().stdout(&format!("{digest}\n")).says("nobody was asked");
    p.aido(["image", "pull", "--offline", "--update", &name]).code(125);
    assert_eq!(relay.count(), asked);
    relay.shut();
    p.aido(["image", "pull", &name]).ok().stdout(&format!("{digest}\n")).says("stays as it is");
    p.aido(["image", "pull", "--update", &name]).refused(&[relay.address()]);
    p.aido(["image", "pull", "--offline", "localhost:1/nothing"]).refused(&["offline"]);
    // One that cannot be had keeps no other from being pulled.
    let both = p.aido(["image", "pull", "--offline", "localhost:1/nothing", &name]);
    both.code(125).stdout(&format!("{digest}\n")).says("nothing");
}

#[test]
fn check_pins_what_the_store_resolved_and_changes_nothing_else() {
    let registry = registry!();
    let (p, tag) = (Project::new(), tag());
    let name = point(&registry, &tag, "one");
    let text = |runtime: &str| {
        format!("# ours\r\nname: 'pinned'   # keeps\r\n\r\nruntime:   \"{runtime}\" # the image\r\nttl: 5m\r\n")
    };
    p.write("sandbox.yaml", text(&name));
    std::fs::set_permissions(p.path().join("sandbox.yaml"), std::fs::Permissions::from_mode(0o600)).unwrap();
    // Nobody knows the name yet, so the registry is asked; nothing is brought in.
    p.aido(["check", "--pin", "--offline"]).refused(&["offline"]);
    assert_eq!(p.read("sandbox.yaml"), text(&name));
    let pinned = p.aido(["check", "--pin"]);
    pinned.ok().says(&format!("runtime {name} -> {name}@sha256:"));
    let runtime = p.aido(["check", "--json"]).ok().json()["runtime"].as_str().unwrap().to_string();
    let one = runtime.strip_prefix(&format!("{name}@")).unwrap().to_string();
    pinned.prints(&one);
    assert_eq!(p.read("sandbox.yaml"), text(&runtime));
    let mode = std::fs::metadata(p.path().join("sandbox.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(p.aido(["image", "list", "--json"]).json(), json!([]));
    // From now on it is that image, whatever the tag means.
    point(&registry, &tag, "two");
    p.aido(["run", "--quiet", "--", "cat", "/srv/app/motd"]).ok().stdout("from the image\n");
    assert_eq!(&p.summary()["image_digest"], &json!(one));
    let plan: Value = serde_json::from_slice(&std::fs::read(p.last_sandbox().join("plan.json")).unwrap()).unwrap();
    assert!(plan.to_string().contains(&runtime), "{plan}");
    p.aido(["check", "--pin"]).ok().says("pinned already");
    assert_eq!(p.read("sandbox.yaml"), text(&runtime));
    p.aido(["check", "--pin", "--update"]).ok().says(&format!("{one} -> {name}@sha256:"));
    let two = p.read("sandbox.yaml");
    assert!(!two.contains(&one) && two.contains(&format!("\"{name}@sha256:")), "{two}");
    p.aido(["check", "--pin", "--update"]).ok().says("pinned already");
    assert_eq!(p.read("sandbox.yaml"), two);
}

#[test]
fn the_digest_of_an_index_is_pinned_and_both_it_and_the_manifests_work() {
    let registry = registry!();
    let name = format!("{registry}/multi:latest");
    let p = Project::with(&[("sandbox.yaml", &format!("runtime: {name}\n"))]);
    let manifest = p.aido(["image", "pull", &name]).word();
    p.aido(["check"]).ok().prints("which is sha256:");
    p.aido(["check", "--pin", "--offline"]).ok();
    let pinned = p.read("sandbox.yaml");
    assert!(pinned.contains("@sha256:") && !pinned.contains(&manifest), "{pinned}");
    for runtime in [pinned.trim().trim_start_matches("runtime: ").to_string(), format!("{name}@{manifest}")] {
        p.aido(["run", "--quiet", "--offline", "--runtime", &runtime, "--", "true"]).ok();
        assert_eq!(&p.summary()["image_digest"], &json!(manifest), "{runtime}");
    }
    p.aido(["run", "--quiet", "--offline", "--", "cat", "/srv/app/motd"]).ok().stdout("from the image\n");
}

#[test]
fn what_cannot_be_pinned_is_refused_and_left_as_it_is() {
    let p = Project::new();
    p.aido(["check", "--pin"]).refused(&["no sandbox.yaml"]);
    for (text, why) in [
        ("runtime: host\n", "no digest names"),
        ("name: x\n", "no digest names"),
        ("runtime: oci:some/dir\n", "cannot be pinned"),
        ("name: &r localhost:1/a:1\nruntime: *r\n", "alias"),
    ] {
        p.write("sandbox.yaml", text);
        p.aido(["check", "--pin"]).code(125).says(if why == "alias" { "" } else { why });
        assert_eq!(p.read("sandbox.yaml"), text);
    }
    // Not through a link that leads out.
    let other = Project::with(&[("other.yaml", "runtime: localhost:1/a:1\n")]);
    std::fs::remove_file(p.path().join("sandbox.yaml")).unwrap();
    std::os::unix::fs::symlink(other.path().join("other.yaml"), p.path().join("sandbox.yaml")).unwrap();
    p.aido(["check", "--pin"]).refused(&["leads out"]);
    assert_eq!(other.read("other.yaml"), "runtime: localhost:1/a:1\n");
}

/// Under a terminal of so many lines, by `script`, which every Debian has.
fn on_a_terminal(p: &Project, setup: &str, line: &str, keys: &[u8]) -> String {
    let aido = host::aido();
    let mut command = Command::new("script");
    command.arg("-qefc").arg(format!("{setup}; {} {line}; echo left $?; stty -a", aido.display())).arg("/dev/null");
    command.current_dir(p.path()).env_clear().env("HOME", p.home()).env("TERM", "xterm").env("LANG", "C.UTF-8");
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("SHELL", "/bin/sh");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let keys = keys.to_vec();
    let typing = std::thread::spawn(move || {
        if !keys.is_empty() {
            std::thread::sleep(std::time::Duration::from_secs(2));
            let _ = stdin.write_all(&keys);
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    });
    let mut all = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut all).unwrap();
    child.wait().unwrap();
    typing.join().unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_pull_shows_its_layers_on_a_terminal_and_leaves_it_as_it_was() {
    let registry = registry!();
    let p = Project::new();
    let name = format!("{registry}/python:latest");
    let plain = p.aido(["image", "pull", &format!("{registry}/tiny")]);
    assert!(!plain.told().contains("layers") && !plain.told().contains('\u{1b}'), "lines for nobody{plain}");
    let shown = on_a_terminal(&p, "stty rows 12 cols 100", &format!("image pull {name}"), b"");
    assert!(shown.contains("looking for") && shown.contains("of 2 layers") && shown.contains("left 0"), "{shown}");
    assert!(shown.contains("downloading") || shown.contains("unpacking"), "no line for a layer: {shown}");
    assert!(!shown.contains("\u{1b}[?25l"), "the cursor is hidden: {shown}");
    // What stays is the digest and no line of a layer.
    let digest = shown.lines().find(|line| line.contains("sha256:")).unwrap();
    assert!(digest.trim().ends_with(|c: char| c.is_ascii_hexdigit()), "{digest:?}");
    p.aido(["image", "remove", &name]).ok();
    let quiet = on_a_terminal(&p, "export TERM=dumb; stty rows 12 cols 100", &format!("image pull {name}"), b"");
    assert!(!quiet.contains("layers") && quiet.contains("left 0"), "{quiet}");
}

#[test]
fn an_interrupted_pull_leaves_the_terminal_in_order() {
    // A registry that takes the call and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/app", silent.local_addr().unwrap());
    let p = Project::new();
    let shown = on_a_terminal(&p, "trap : INT; stty rows 12 cols 100", &format!("image pull {name}"), b"\x03");
    assert!(shown.contains("looking for") && shown.contains("left 130"), "{shown}");
    assert!(!shown.contains("\u{1b}[?25l") && !shown.contains("-echo ") && !shown.contains("-icanon"), "{shown}");
}
