//! A user namespace with a range of ids is made ready before a run's record is begun. Whatever ends the run, its holder
//! goes too, and where nothing can be made ready the run is the same.

use crate::family::{self, Family};
use crate::ground::{Ground, debug_build, ended, send, start, until};
use crate::host;
use crate::project::Project;
use nix::sys::signal::Signal;
use std::time::Duration;

/// What holds the namespace and what writes its maps: children of the supervisor while there is no sandbox yet.
#[test]
fn whatever_ends_a_run_the_holder_of_its_ids_goes_too() {
    let image = format!("oci:{}", images!().join("tiny").display());
    if !debug_build() {
        skip!("this aido was built without fault points");
    }
    // Root gives every id to itself, and who has no range has nothing to wait for.
    let held_by = usize::from(!host::is_root() && host::has_subordinate_ids());
    for point in ["supervise.begun", "supervise.grouped", "supervise.cloned", "supervise.inputs", "supervise.built"] {
        for victim in ["supervisor", "command line", "nobody"] {
            let ground = Ground::new();
            let mut run = start(&ground.project, point, &["run", "--quiet", "--runtime", &image, "--", "true"]);
            let me = run.id() as i32;
            until(Duration::from_secs(40), || Family::of(me).held()).unwrap_or_else(|| panic!("{point}"));
            let (family, supervisor) = (Family::of(me), Family::of(me).supervisor().unwrap());
            if ["supervise.begun", "supervise.grouped"].contains(&point) {
                let holders = family.pids().len() - 2;
                assert!(holders >= held_by && (held_by > 0 || holders == 0), "{point}: {}", family.words());
            }
            match victim {
                "supervisor" => send(supervisor, Signal::SIGKILL),
                "command line" => send(me, Signal::SIGKILL),
                _ => {}
            }
            send(supervisor, Signal::SIGUSR1);
            assert!(ended(&mut run, Duration::from_secs(60)), "{point}, {victim}: the command line stays");
            let gone = || family.pids().iter().all(|pid| !family::lives(*pid)).then_some(());
            assert!(until(Duration::from_secs(20), gone).is_some(), "{point}, {victim}: {}", family.words());
            ground.check(&format!("{point}, {victim}")).unwrap();
        }
    }
}

/// Of a sandbox that stays, its keeper has the ids made once: its runs are all in one and the same namespace, and nothing of
/// it outlasts the keeper, however that ends.
#[test]
fn runs_of_a_sandbox_that_stays_have_the_ids_that_its_keeper_holds() {
    let image = format!("oci:{}", images!().join("tiny").display());
    let held = !host::is_root() && host::has_subordinate_ids();
    let p = Project::new();
    let up = ["sandbox", "up", "--quiet", "--ttl", "10m", "--runtime", &image];
    let namespace = || p.aido(["run", "--quiet", "--", "readlink", "/proc/self/ns/user"]).ok().text();
    for ending in ["destroyed", "killed"] {
        let id = p.aido(up).ok().text().trim().to_string();
        let processes = || family::with_arguments(&["aido-keeper", &id]);
        // Both helpers are gone when it is ready.
        let ready = || (processes().len() == 1 + usize::from(held)).then_some(());
        until(Duration::from_secs(20), ready).unwrap_or_else(|| panic!("{ending}: {:?}", processes()));
        let keeper = *processes().iter().min().unwrap();
        if let Some(holder) = processes().into_iter().find(|pid| *pid != keeper) {
            let its = std::fs::read_link(format!("/proc/{holder}/ns/user")).unwrap();
            // The helpers may still be writing when the first run comes: then it makes its own.
            let seen = until(Duration::from_secs(20), || (namespace().trim() == its.to_str().unwrap()).then_some(()));
            seen.unwrap_or_else(|| panic!("{} and {its:?}", namespace()));
            assert_eq!(namespace().trim(), its.to_str().unwrap());
        }
        match ending {
            "destroyed" => drop(p.aido(["sandbox", "destroy", &id]).ok()),
            _ => send(keeper, Signal::SIGKILL),
        }
        until(Duration::from_secs(20), || processes().is_empty().then_some(()))
            .unwrap_or_else(|| panic!("{ending}: {:?} are left", processes()));
        if ending == "killed" {
            // Without it each run makes its own again.
            namespace();
            p.aido(["sandbox", "destroy", &id]).ok();
        }
    }
}

/// The same ids, whichever way the sandbox's first process came to them.
#[test]
fn ids_are_those_of_the_image_with_and_without_a_namespace_that_was_made_ready() {
    let image = format!("oci:{}", images!().join("tiny").display());
    let p = Project::new();
    let shown =
        ["run", "--quiet", "--runtime", &image, "--", "sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map; id -u"];
    let first = p.aido(shown).ok().text();
    assert_eq!(first, p.aido(shown).ok().text());
    // In a sandbox that is up, and with a project that the task may change: then its ids have changed places.
    p.aido(["sandbox", "up", "--quiet", "--runtime", &image]).ok();
    let again = ["run", "--quiet", "--", "sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map; id -u"];
    assert_eq!(first, p.aido(again).ok().text());
    p.aido(["sandbox", "destroy", "--all"]).ok();
    let lines = first.lines().count();
    match host::is_root() || host::has_subordinate_ids() {
        true => assert!(lines >= 3, "{first}"),
        false => assert_eq!(lines, 3, "{first}"),
    }
}
