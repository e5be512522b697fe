//! `aido doctor`, and what a refused run says: on this host, and on what can be made of it without another kernel.

use crate::host;
use crate::output::{Output, find};
use crate::project::Project;
use std::process::Command;

#[test]
fn doctor_says_what_holds_here() {
    let p = Project::new();
    // 1: something is lacking here.
    let status = if host::has_cgroups() { 0 } else { 1 };
    let said = p.aido(["doctor", "--json"]).code(status).json();
    for control in ["files", "network", "memory", "syscalls", "deadline"] {
        assert!(find(&said, control).is_some(), "nothing on {control}: {said}");
    }
    for fact in ["kernel", "container", "cgroup", "landlock", "max_user_namespaces"] {
        assert!(find(&said["facts"], fact).is_some_and(|value| value.is_string()), "no fact {fact}: {said}");
    }
    let out = p.aido(["doctor"]);
    assert!(!out.code(status).stdout.is_empty());
    assert_eq!(out.text().contains("absent"), status == 1, "{out}");
    assert!(!p.path().join(".aido").exists(), "doctor changed the project");
}

/// Every reason has a remedy, and both are there for who reads JSON.
#[test]
fn what_is_lacking_comes_with_a_remedy() {
    let p = Project::new();
    let said = p.aido(["doctor", "--json"]).json();
    let controls = said["controls"].as_object().expect("controls").values();
    let advice = said["advice"].as_array().expect("advice").iter();
    for standing in controls.chain(advice).filter(|standing| standing["why"].is_string()) {
        assert!(standing["remedy"].as_str().is_some_and(|remedy| remedy.len() > 5), "no remedy: {standing}");
    }
}

/// Runs `aido` as root of a user namespace whose own limits forbid another kind of namespace.
#[track_caller]
fn without(p: &Project, kind: &str, args: &[&str]) -> Option<Output> {
    let aido = p.command(args);
    let program = aido.get_program().to_string_lossy().into_owned();
    let script = format!("echo 0 >/proc/sys/user/max_{kind}_namespaces && exec '{program}' {}", args.join(" "));
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", &script]).current_dir(p.path()).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", p.home());
    let out = crate::running::Running::start(command).end();
    (!out.told().contains("/proc/sys")).then_some(out)
}

#[test]
fn namespaces_that_a_setting_forbids_are_told_with_the_command() {
    for kind in ["user", "net"] {
        let p = Project::new();
        let Some(out) = without(&p, kind, &["run", "--", "true"]) else { skip!("/proc/sys cannot be written to") };
        let setting = format!("user.max_{kind}_namespaces");
        out.refused(&[&format!("{setting} is 0"), &format!("{setting}=10000"), "sysctl -p"]);
        let out = without(&p, kind, &["doctor"]).expect("it was possible just now");
        out.code(1).prints(&format!("{setting}=10000"));
        // Twelve controls are absent for one reason: it is told once.
        assert_eq!(out.text().matches(&format!("{setting} is 0")).count(), 1, "{out}");
    }
}

#[test]
fn the_apparmor_profile_is_for_this_program_and_can_be_compiled() {
    let p = Project::new();
    let out = p.aido(["doctor", "--apparmor-profile"]);
    let program = host::aido().canonicalize().unwrap();
    out.ok().prints(&format!("profile aido \"{}\" flags=(unconfined)", program.display())).prints("\n  userns,\n");
    let Ok(parser) = Command::new("apparmor_parser").arg("--version").output() else { return };
    let version = String::from_utf8_lossy(&parser.stdout).into_owned();
    // Version 3 does not know of user namespaces, and hosts with it do not restrict them.
    if !version.contains("version 4") && !version.contains("version 5") {
        return;
    }
    p.write("profile", &out.stdout);
    let done = Command::new("apparmor_parser").args(["-Q", "-K", "profile"]).current_dir(p.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_folder_that_no_overlay_can_lie_on_is_named_with_its_file_system() {
    let p = Project::with(&[("lower/hello", "there"), ("other/x", ""), ("sandbox.yaml", "inputs: [two/]\n")]);
    let aido = host::aido();
    // Two overlays are as many as the kernel stacks: the sandbox's own would be the third.
    let mount = |at: &str, lower: &str| {
        std::fs::create_dir(p.path().join(at)).expect("a folder");
        format!("mount -t overlay none -o userxattr,lowerdir={lower} {at}")
    };
    let mounts = format!("{} && {}", mount("one", "lower:other"), mount("two", "one:other"));
    let run = |command: &str| {
        let script = format!("{mounts} && {}", command.replace("aido", &format!("exec '{}'", aido.display())));
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).current_dir(p.path()).env_clear();
        unshare.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", p.home());
        crate::running::Running::start(unshare).end()
    };
    let words = "two lies on an overlay that lies on another";
    run("cd two && aido doctor").prints("this folder").prints(words).prints("ext4, xfs, btrfs or tmpfs");
    run("aido run -- true").refused(&[words, "ext4, xfs, btrfs or tmpfs"]);
    // On one overlay there is room.
    p.write("sandbox.yaml", "inputs: [one/]\n");
    run("aido run --quiet -- cat one/hello").ok().stdout("there");
}
