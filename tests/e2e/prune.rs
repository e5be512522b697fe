//! What is taken out of the store, and what stays.

use crate::output::find;
use crate::project::Project;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn listed(p: &Project) -> Vec<Value> {
    p.aido(["image", "list", "--json"]).ok().json().as_array().unwrap().clone()
}

#[test]
fn what_a_sandbox_uses_stays_and_the_rest_goes_by_name_and_age() {
    let images = images!();
    let p = Project::new();
    for name in ["tiny", "configured"] {
        p.aido(["image", "import", &format!("oci:{}/{name}", images.display()), &format!("{name}:1")]).ok();
    }
    assert!(listed(&p).iter().all(|image| image["used"].is_null() && image["in_use"] == json!(false)));
    let script = "echo begun; while [ ! -e /outputs/stop ]; do sleep 0.05; done";
    let mut run =
        p.start(["run", "--quiet", "--offline", "--ttl", "60s", "--runtime", "tiny:1", "--", "sh", "-c", script]);
    run.wait_for("begun");
    let used: Vec<Value> = listed(&p).into_iter().filter(|image| image["in_use"] == json!(true)).collect();
    assert!(used.len() == 1 && used[0]["used"].is_u64() && used[0].to_string().contains("tiny:1"), "{used:?}");
    p.aido(["image", "list"]).ok().prints("USED").prints("now").prints("never");
    assert_eq!(p.aido(["image", "prune", "--older-than", "1h", "--json"]).ok().json()["images"], json!([]));
    p.aido(["image", "prune"]).ok().says("0 B freed");
    let foreseen = p.aido(["image", "prune", "--all", "--dry-run", "--json"]).ok().json();
    assert_eq!(listed(&p).len(), 2);
    let pruned = p.aido(["image", "prune", "--all", "--json"]).ok().json();
    assert_eq!(foreseen["images"], pruned["images"]);
    assert_eq!(pruned["in_use"], json!([used[0]["digest"]]), "{pruned}");
    assert!(find(&pruned, "names").unwrap().to_string().contains("configured:1"), "{pruned}");
    assert_eq!(listed(&p).len(), 1, "the image of a running sandbox is gone");
    run.signal(nix::sys::signal::Signal::SIGINT);
    run.end();
    p.aido(["image", "prune", "--older-than", "30"]).code(125).says("30s for seconds");
    p.aido(["image", "prune", "--older-than", "0s"]).ok().says("removed").says("tiny:1");
    assert!(listed(&p).is_empty());
    let folder = p.home().join(".local/share/aido/images/layers");
    let left = Command::new("find").arg(folder).args(["-name", "????????????????*"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "layers are left");
}

#[test]
fn a_tar_file_of_a_root_becomes_an_image() {
    let images = images!();
    let p = Project::new();
    let root = p.path().join("root.tar");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(images.join("tiny.rootfs")).arg("-cf").arg(&root).args(["--owner=0", "--group=0", "."]);
    assert!(tar.status().unwrap().success());
    let run = |options: &[&str]| p.aido([&["run", "--quiet"][..], options, &["--", "cat", "/srv/app/motd"]].concat());
    run(&["--runtime", "rootfs-archive:root.tar"]).ok().stdout("from the image\n");
    let digest = p.aido(["image", "import", "rootfs-archive:root.tar", "mine:1"]).word();
    std::fs::remove_file(&root).unwrap();
    run(&["--offline", "--runtime", &format!("mine:1@{digest}")]).ok().stdout("from the image\n");
    p.aido(["run", "--runtime", "rootfs-archive:root.tar", "--", "true"]).refused(&["root.tar"]);
    p.write("root.tar", "#! no tar file\n".repeat(100));
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o644)).unwrap();
    p.aido(["image", "import", "rootfs-archive:root.tar", "mine:2"]).refused(&["root.tar"]);
    // The name of the file that changed is none; the one that was given is.
    p.aido(["image", "prune"]).ok();
    assert_eq!(listed(&p)[0]["names"], json!(["docker.io/library/mine:1"]));
}
