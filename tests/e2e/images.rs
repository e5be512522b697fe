//! Roots from images: fetched, unpacked, stacked, configured.

use crate::host;
use crate::output::find;
use crate::project::Project;
use crate::relay::Relay;
use std::path::Path;

macro_rules! registry {
    () => {
        match host::registry() {
            Some(registry) => Relay::to(&registry),
            None => skip!("AIDO_REGISTRY is not set: run ci/test"),
        }
    };
}

fn layout(images: &Path, name: &str) -> String {
    format!("oci:{}/{name}", images.display())
}

#[test]
fn an_image_is_pulled_once_and_then_needs_no_registry() {
    let relay = registry!();
    let p = Project::new();
    let name = format!("{}/tiny", relay.address());
    let run = |options: &[&str]| {
        let line =
            [&["run", "--quiet"][..], options, &["--runtime", &name, "--", "sh", "-c", "cat /srv/app/motd; ls /usr"]];
        p.aido(line.concat())
    };
    run(&[]).ok().stdout("from the image\nbin\n");
    let asked = relay.count();
    assert!(asked > 0);
    let digest = find(&p.summary(), "digest").expect("the image's digest is recorded").to_string();
    assert!(digest.contains("sha256:"), "{digest}");
    run(&[]).ok().stdout("from the image\nbin\n");
    assert_eq!(relay.count(), asked, "a cached image asked the registry");
    relay.shut();
    run(&["--offline"]).ok().stdout("from the image\nbin\n");
    run(&[]).ok();
    assert_eq!(relay.count(), asked);
}

#[test]
fn offline_never_touches_the_network() {
    let relay = registry!();
    let p = Project::new();
    let name = format!("{}/tiny", relay.address());
    p.aido(["run", "--offline", "--runtime", &name, "--", "true"]).refused(&["offline", &name]);
    assert_eq!(relay.count(), 0);
}

#[test]
fn pull_brings_up_to_date_and_list_and_remove_know_it() {
    let relay = registry!();
    let p = Project::new();
    let name = format!("{}/tiny:latest", relay.address());
    let pulled = p.aido(["image", "pull", &name]);
    pulled.ok().prints("sha256:");
    let before = relay.count();
    p.aido(["image", "pull", "--quiet", &name]).ok().prints("sha256:");
    assert!(relay.count() > before, "pull did not ask the registry");
    let listed = p.aido(["image", "list", "--json"]).ok().json();
    assert!(listed.to_string().contains(&format!("{}/tiny", relay.address())), "{listed}");
    p.aido(["image", "list"]).ok().prints("tiny");
    p.aido(["image", "remove", &name]).ok();
    assert_eq!(p.aido(["image", "list", "--json"]).ok().json().to_string(), "[]");
    p.aido(["run", "--offline", "--runtime", &name, "--", "true"]).refused(&[]);
}

#[test]
fn what_the_registry_does_not_have_is_a_clear_error() {
    let relay = registry!();
    let p = Project::new();
    let name = format!("{}/no-such-image:9", relay.address());
    p.aido(["run", "--runtime", &name, "--", "true"]).refused(&["no-such-image"]);
    relay.shut();
    let name = format!("{}/tiny", relay.address());
    let out = p.aido(["run", "--runtime", &name, "--", "true"]);
    out.refused(&[relay.address()]);
    assert!(!p.last_run().join("stdout.log").exists());
}

#[test]
fn an_index_gives_this_platform_and_skips_the_others() {
    let relay = registry!();
    let p = Project::new();
    let name = format!("{}/multi", relay.address());
    p.aido(["run", "--quiet", "--runtime", &name, "--", "sh", "-c", "test ! -e /other && cat /srv/app/motd"])
        .ok()
        .stdout("from the image\n");
    let foreign = format!("{}/foreign", relay.address());
    let other = if cfg!(target_arch = "x86_64") { "arm64" } else { "amd64" };
    p.aido(["run", "--runtime", &foreign, "--", "true"]).refused(&[other, "linux"]);
}

/// The tree inside, as tests/tree.sh prints it, against what ci/images computed and umoci confirmed.
fn assert_tree(name: &str) {
    let images = images!();
    let p = Project::with(&[("tree.sh", &host::ours("tree.sh"))]);
    let out = p.aido(["run", "--quiet", "--runtime", &layout(&images, name), "--", "sh", "/workspace/tree.sh"]);
    out.ok();
    let expected = std::fs::read_to_string(images.join("layers.tree")).unwrap();
    let all_ids = host::is_root() || host::has_subordinate_ids();
    let strip = |text: &str| -> Vec<String> {
        let owner = |l: &str| {
            let mut words: Vec<&str> = l.split(' ').collect();
            if !all_ids && words.len() > 4 {
                words.remove(4);
            }
            words.join(" ")
        };
        let mut lines: Vec<String> = text.lines().map(owner).collect();
        lines.sort();
        lines
    };
    let (got, want) = (strip(&out.text()), strip(&expected));
    let odd: Vec<String> = got.iter().filter(|l| !want.contains(l)).map(|l| format!("+ {l}")).collect();
    let lost: Vec<String> = want.iter().filter(|l| !got.contains(l)).map(|l| format!("- {l}")).collect();
    assert!(odd.is_empty() && lost.is_empty(), "{name}:\n{}\n{}{}", lost.join("\n"), odd.join("\n"), out.told());
}

#[test]
fn layers_hide_replace_link_and_chmod_as_they_say() {
    assert_tree("layers");
}

#[test]
fn the_compression_makes_no_difference() {
    assert_tree("layers-zstd");
}

#[test]
fn an_image_of_hundreds_of_layers_runs() {
    let images = images!();
    let p = Project::new();
    let look = "cat /last; ls /all | wc -l; ls /half | wc -l; ls /two/*; stat -c %a /half; cat /srv/app/motd";
    // What was closed to its owner when it was merged, and opened by a layer above; and what stays closed.
    let closed = "ls /opened; stat -c %a /opened /shut; ls /shut 2>/dev/null || echo shut";
    let task = format!("{look}; {closed}");
    p.aido(["run", "--quiet", "--runtime", &layout(&images, "many"), "--", "sh", "-c", &task])
        .ok()
        .stdout("399399\n200\n/two/0:\n\n/two/1:\n399\n700\nfrom the image\n100\n101\n755\n0\nshut\n");
}

#[test]
fn an_images_configuration_holds_where_the_task_says_nothing() {
    let images = images!();
    let runtime = layout(&images, "configured");
    let p = Project::new();
    let run = |options: &[&str], task: &[&str]| {
        p.aido([&["run", "--quiet", "--runtime", &runtime][..], options, &["--"], task].concat())
    };
    let out = run(&[], &["sh", "-c", "echo $GREETING; echo $PATH; id -u; id -g"]);
    let text = out.ok().text();
    assert!(text.contains("hello from the image\n/opt/bin:/bin\n1234\n4321\n"), "{out}");
    let out = run(&["-e", "GREETING=mine"], &["sh", "-c", "echo $GREETING"]);
    assert!(out.ok().text().ends_with("mine\n"), "{out}");
    let out = run(&["--workdir", "/srv"], &["pwd"]);
    assert!(out.ok().text().ends_with("/srv\n"), "{out}");
}

#[test]
fn an_images_own_command_runs_when_no_task_is_given() {
    let images = images!();
    let p = Project::new();
    let out = p.aido(["run", "--quiet", "--runtime", &layout(&images, "configured")]);
    out.ok().stdout("entry[2]: echo the default\nthe default\n");
}

#[test]
fn archives_layouts_and_folders_are_roots_too() {
    let images = images!();
    let p = Project::new();
    let at = |form: &str, name: &str| format!("{form}:{}", images.join(name).display());
    for runtime in [
        at("oci", "tiny"),
        at("oci", "tiny") + ":latest",
        at("oci-archive", "tiny.oci.tar"),
        at("docker-archive", "tiny.docker.tar"),
        at("rootfs", "tiny.rootfs"),
    ] {
        let out = p.aido([
            "run",
            "--quiet",
            "--offline",
            "--runtime",
            &runtime,
            "--",
            "sh",
            "-c",
            "cat /srv/app/motd; echo x > /srv/app/motd",
        ]);
        assert!(out.code != Some(0) && out.told().contains("Read-only"), "{runtime}{out}");
        out.stdout("from the image\n");
    }
    let motd = std::fs::read_to_string(images.join("tiny.rootfs/srv/app/motd")).unwrap();
    assert_eq!(motd, "from the image\n");
    p.aido(["run", "--runtime", &at("oci", "tiny:nonsense"), "--", "true"]).refused(&["nonsense"]);
    p.aido(["run", "--runtime", "oci:nowhere", "--", "true"]).refused(&["nowhere"]);
}

#[test]
fn an_imported_image_has_a_name() {
    let images = images!();
    let p = Project::new();
    p.aido(["image", "import", &layout(&images, "tiny"), "mine:1"]).ok();
    p.aido(["run", "--quiet", "--offline", "--runtime", "mine:1", "--", "cat", "/srv/app/motd"])
        .ok()
        .stdout("from the image\n");
    p.aido(["image", "import", "oci:nowhere", "x"]).refused(&["nowhere"]);
}

#[test]
fn python_runs_from_a_pulled_debian_root() {
    let relay = registry!();
    let script = "import sys, json, sqlite3, pathlib\nprint(sys.version_info.major, pathlib.Path('/etc/debian_version').exists(), sys.argv[1:])\npathlib.Path('/outputs/x.json').write_text(json.dumps([sqlite3.sqlite_version != '']))\n";
    let p = Project::with(&[("job.py", script)]);
    let name = format!("{}/python", relay.address());
    p.aido(["run", "--quiet", "--runtime", &name, "job.py", "a"]).ok().stdout("3 True ['a']\n");
    assert_eq!(p.output("x.json"), "[true]");
}

#[test]
fn the_store_is_the_users_and_outlives_projects() {
    let images = images!();
    let p = Project::new();
    p.aido(["image", "import", &layout(&images, "tiny"), "kept"]).ok();
    assert!(!p.path().join(".aido/images").exists());
    assert!(p.home().join(".local/share/aido").is_dir(), "the store is not in the user's data folder");
    let mut command = p.command(["image", "list", "--json"]);
    let elsewhere = command.env("XDG_DATA_HOME", p.home().join("elsewhere")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&elsewhere.stdout).trim(), "[]");
}
