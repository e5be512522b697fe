//! The user's own policy: a repository's `sandbox.yaml` stays below it, and so does what is typed.

use crate::project::Project;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Writes the policy, into `~/.config` unless another folder is named.
fn set(config: PathBuf, text: &str) -> PathBuf {
    let file = config.join("aido/policy.yaml");
    let folder = file.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    file
}

fn with_policy(yaml: &str, policy: &str) -> (Project, PathBuf) {
    let p = Project::with(&[("sandbox.yaml", yaml), ("a", "")]);
    let file = set(p.home().join(".config"), policy);
    (p, file)
}

const TOUCH: [&str; 4] = ["run", "--", "touch", "/outputs/started"];

#[test]
fn a_repository_that_asks_for_more_is_refused_and_nothing_starts() {
    for (yaml, policy, place) in [
        ("resources:\n  disk: 600MiB\n", "resources: {disk: 512MiB}\n", "sandbox.yaml:2:9"),
        ("resources:\n  memory: 8GiB\n", "resources: {memory: 4GiB}\n", "sandbox.yaml:2:11"),
        ("ttl: 31m\n", "ttl: 30m\n", "sandbox.yaml:1:6"),
        ("runtime: oci:images/x\n", "runtimes: [host, 'python:*']\n", "sandbox.yaml:1:10"),
        ("env: {T: {from: AIDO_E2E_LEAK}}\n", "env: [CI]\n", "sandbox.yaml:1:10"),
    ] {
        let (p, file) = with_policy(yaml, policy);
        let here = format!("{}:1", file.display());
        for args in [&TOUCH[..], &["sandbox", "up"], &["check"]] {
            p.aido(args).refused(&[place, &here]);
        }
        assert!(!p.path().join(".aido").exists(), "{yaml:?} started");
    }
}

#[test]
fn the_command_line_is_bound_too_but_may_give_away_its_own_variables() {
    let (p, file) = with_policy("env: {T: {from: AIDO_E2E_LEAK}}\n", "resources: {disk: 64MiB}\nenv: []\n");
    p.aido(["run", "--disk", "65MiB", "-e", "T=x", "--", "true"]).refused(&["--disk", &file.display().to_string()]);
    p.aido(["run", "--quiet", "--", "true"]).refused(&["AIDO_E2E_LEAK", "sandbox.yaml:1:"]);
    p.write("sandbox.yaml", "env: {AIDO_E2E_LEAK: {from: AIDO_E2E_LEAK}}\n");
    let shell = ["--", "sh", "-c", "echo ${#AIDO_E2E_LEAK} $AIDO_E2E_LEAK"];
    p.aido(["run", "--quiet", "-e", "AIDO_E2E_LEAK"].iter().chain(&shell)).ok().stdout("16 [secret AIDO_E2E_LEAK]\n");
}

#[test]
fn a_tighter_file_works_and_defaults_are_lowered_to_the_ceiling() {
    let (p, _) = with_policy("ttl: 1m\n", "ttl: 30m\nresources: {disk: 8MiB, output: 4KiB}\nruntimes: [host]\n");
    p.sh("echo fine").ok().stdout("fine\n");
    // Held, and not only accepted: nobody asked for a bound on the disk here.
    p.sh("head -c 16777216 /dev/zero > /outputs/big").code(1);
    assert!(fs::metadata(p.last_sandbox().join("outputs/big")).map_or(0, |m| m.len()) <= 8 << 20);
    p.write("sandbox.yaml", "");
    let granted = p.aido(["check", "--json"]).ok().json();
    assert_eq!(granted["limits"]["output"], serde_json::json!({"value": 4096, "origin": "default"}));
    assert_eq!(granted["policy"]["ceilings"]["disk"], "8MiB");
    p.aido(["check"]).ok().prints("limited by    policy ").prints("runtimes: host");
}

#[test]
fn a_kept_sandbox_is_bound_by_the_policy_of_the_day() {
    let (p, file) = with_policy("resources: {disk: 32MiB}\n", "resources: {disk: 64MiB}\n");
    let id = p.aido(["sandbox", "up", "--quiet"]).word();
    let run = ["run", "--quiet", "--sandbox", &id, "--", "echo", "in"];
    p.aido(run).ok().stdout("in\n");
    set(p.home().join(".config"), "resources: {disk: 16MiB}\n");
    p.aido(run).refused(&[&id, "32MiB", &file.display().to_string()]);
    p.aido(["sandbox", "destroy", &id]).ok();
}

#[test]
fn a_policy_that_others_can_write_or_that_is_wrong_refuses_everything() {
    let (p, file) = with_policy("", "ttl: 30m\n");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let mend = format!("chmod go-w {}", file.display());
    p.aido(TOUCH).refused(&[&mend]);
    p.aido(["sandbox", "up"]).refused(&[&mend]);
    p.aido(["check"]).refused(&[&mend]);
    set(p.home().join(".config"), "tll: 30m\n");
    p.aido(TOUCH).refused(&["policy.yaml:1:1", "did you mean `ttl`?", "^^^"]);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    p.aido(TOUCH).refused(&["no ordinary file"]);
    assert!(!p.path().join(".aido").exists());
    fs::remove_dir(&file).unwrap();
    p.sh("true").ok();
}

#[test]
fn xdg_config_home_names_the_folder_if_it_is_absolute() {
    let (p, _) = with_policy("ttl: 10m\n", "ttl: 5m\n");
    let other = p.home().join("elsewhere");
    set(other.clone(), "ttl: 20m\n");
    let check = |config: &str| {
        let mut command = p.command(["check"]);
        command.env("XDG_CONFIG_HOME", config);
        crate::running::Running::start(command).end()
    };
    check(&other.display().to_string()).ok().prints("ttl: 20m");
    check("").refused(&["5m"]);
    check("project/none").refused(&["5m"]);
}
