//! Many commands at once in one project: nothing that one of them records is lost or said twice, and nobody is hurt.

use crate::family::{self, Family};
use crate::ground::{Ground, debug_build, send, start, until};
use crate::host::{alive, marker};
use crate::output::Output;
use crate::project::Project;
use crate::running::Running;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// How often the ledger has each kind of line about each run and sandbox.
fn counted(p: &Project) -> BTreeMap<(String, String), usize> {
    let ledger = crate::chain::check(p.read(".aido/ledger.jsonl").as_bytes()).unwrap();
    let mut counted = BTreeMap::new();
    for line in ledger {
        let kind = line["type"].as_str().unwrap().to_owned();
        let about = if kind.starts_with("run_") { &line["data"]["run"] } else { &line["data"]["sandbox"] };
        *counted.entry((kind, about.as_str().unwrap_or_default().to_owned())).or_default() += 1;
    }
    counted
}

fn of_kind(counted: &BTreeMap<(String, String), usize>, kind: &str) -> usize {
    counted.keys().filter(|(of, _)| of == kind).count()
}

fn all(running: Vec<Running>) -> Vec<Output> {
    running.into_iter().map(Running::end).collect()
}

/// Nobody has run anything as this user before: everything that is made on first use is made by many at once.
#[test]
fn many_first_runs_at_once_are_all_recorded() {
    const MANY: usize = 12;
    let p = Project::new();
    let script = "echo $((40 + 2)); echo x > /outputs/x";
    let outs = all((0..MANY).map(|_| p.start(["run", "--quiet", "--", "sh", "-c", script])).collect());
    outs.iter().for_each(|out| {
        out.ok().stdout("42\n");
    });
    let listed = p.aido(["runs", "--json"]).ok().json();
    assert_eq!(listed.as_array().unwrap().len(), MANY);
    assert!(listed.as_array().unwrap().iter().all(|run| run["status"] == "sealed" && run["end"] == "exit 0"));
    // One key signs them all, and the ledger is the one that is known outside of the project.
    p.aido(["verify", "--all", "--strict"]).ok();
    let seals = p.path().join(".aido/sandboxes");
    let keys: std::collections::BTreeSet<String> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|run| {
            let seal = seals.join(run["folder"].as_str().unwrap()).join("seal.json");
            let seal: Value = serde_json::from_slice(&fs::read(seal).unwrap()).unwrap();
            seal["signatures"][0]["keyid"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    // The ledger hears of a run when it is on the disk.
    until(Duration::from_secs(20), || (of_kind(&counted(&p), "run_sealed") == MANY).then_some(()));
    let counted = counted(&p);
    for kind in ["sandbox_created", "run_begun", "run_sealed"] {
        assert_eq!(of_kind(&counted, kind), MANY, "{kind}: {counted:?}");
    }
    assert!(counted.values().all(|times| *times == 1), "{counted:?}");
}

#[test]
fn runs_removals_and_readers_at_once_do_not_hurt_each_other() {
    let p = Project::new();
    for _ in 0..4 {
        p.sh("echo x > /outputs/x").ok();
    }
    let old: Vec<String> = listed(&p, "sandbox").into_iter().collect();
    let mark = marker();
    let mut running = Vec::new();
    for round in 0..4 {
        running.push(p.start(["run", "--quiet", "--", "sh", "-c", &format!("echo new; sleep 0.{round}; : {mark}")]));
        running.push(p.start(["sandbox", "destroy", &old[round]]));
        running.push(p.start(["sandbox", "destroy", &old[3 - round]]));
        running.push(p.start(["sandbox", "destroy", "--expired"]));
        running.push(p.start(["runs"]));
        running.push(p.start(["sandbox", "list"]));
        running.push(p.start(["prune", "--keep", "50"]));
        running.push(p.start(["verify", "--all"]));
    }
    let outs = all(running);
    for (number, out) in outs.iter().enumerate() {
        match number % 8 {
            0 => {
                out.ok().stdout("new\n");
            }
            // Another may have been faster, or is at it.
            1 | 2 => assert!(
                out.code == Some(0)
                    || ["there is no sandbox", "No such file"].iter().any(|why| out.told().contains(why)),
                "{out}"
            ),
            _ => {
                out.ok();
            }
        }
    }
    // Nobody waits for a sealed run to reach the disk, and the ledger hears of it then.
    let settled = until(Duration::from_secs(20), || alive(&mark).is_empty().then_some(()));
    assert!(settled.is_some(), "{:?}", alive(&mark));
    let counted = counted(&p);
    assert_eq!((of_kind(&counted, "run_begun"), of_kind(&counted, "run_sealed")), (8, 8), "{counted:?}");
    let destroyed = |id: &String| counted.get(&("sandbox_destroyed".to_owned(), id.clone())).copied();
    assert!(old.iter().all(|id| destroyed(id) == Some(1)), "{counted:?}");
    assert!(counted.values().all(|times| *times == 1), "{counted:?}");
    p.aido(["verify", "--all"]).ok();
    let left = fs::read_dir(p.path().join(".aido/trash")).unwrap().count();
    assert_eq!(left, 0, "the trash is not empty");
}

fn listed(p: &Project, what: &str) -> Vec<String> {
    let runs = p.aido(["runs", "--json"]).ok().json();
    runs.as_array().unwrap().iter().map(|run| run[what].as_str().unwrap().to_owned()).collect()
}

/// A run whose command line and supervisor were killed.
fn left_open(p: &Project) -> String {
    let mark = marker();
    let mut run = p.start(["run", "--quiet", "--", "sh", "-c", &format!("echo out; sleep {mark}")]);
    run.wait_for("out");
    let supervisor = Family::of(run.pid()).supervisor().expect("who supervises it");
    // Stopped first: where the machine is busy it would see the command line die, and seal the run, before it is killed.
    send(supervisor, Signal::SIGSTOP);
    [run.pid(), supervisor].into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
    let _ = run.end();
    until(Duration::from_secs(20), || alive(&mark).is_empty().then_some(())).expect("the run ends");
    mark
}

#[test]
fn many_who_find_what_a_crash_left_close_it_once() {
    let ground = Ground::new();
    let p = &ground.project;
    (0..5).for_each(|_| drop(left_open(p)));
    let outs = all((0..8).map(|n| p.start([["runs", "--json"], ["sandbox", "list"]][n % 2])).collect());
    for out in &outs {
        out.ok();
    }
    // Who asks while another closes may still see it open; nobody does afterwards.
    ground.check("eight who close").unwrap();
    let counted = counted(p);
    assert_eq!(of_kind(&counted, "run_interrupted"), 5, "{counted:?}");
    assert!(counted.values().all(|times| *times == 1), "{counted:?}");
}

/// What was on record before the supervisor died stands in the summary that another makes.
#[test]
fn what_an_interrupted_run_had_recorded_is_in_its_summary() {
    if !debug_build() {
        skip!("this aido was built without fault points");
    }
    let ground = Ground::new();
    let p = &ground.project;
    p.write("data.txt", "abc");
    for (point, end) in [("supervise.outcome", "exited"), ("supervise.collected", "lost")] {
        let script = "unshare -U true; echo out; echo x > /outputs/x; exit 7";
        let mut run = start(p, point, &["run", "--quiet", "--input", "data.txt", "--", "sh", "-c", script]);
        let me = run.id() as i32;
        let held = until(Duration::from_secs(20), || Family::of(me).held()).expect(point);
        // The command line first: nobody is to say what only the record knows.
        [me, held].iter().for_each(|pid| send(*pid, Signal::SIGKILL));
        run.wait().unwrap();
        until(Duration::from_secs(20), || (!family::lives(held)).then_some(())).expect("the supervisor ends");
        ground.check(point).unwrap();
        let runs = p.aido(["runs", "--json"]).ok().json();
        // The newest is the one that `check` made.
        let folder = runs[1]["folder"].as_str().unwrap();
        let summary: Value =
            serde_json::from_str(&fs::read_to_string(format!("{folder}/summary.json")).unwrap()).unwrap();
        assert_eq!(summary["outcome"]["end"]["reason"], end, "{summary}");
        assert_eq!(summary["exit_code"], if end == "exited" { 7 } else { 125 });
        assert_eq!(summary["inputs"][0]["path"], "data.txt");
        assert_eq!(summary["outputs"]["artifacts"][0]["path"], "x");
        let refused = summary["outcome"]["refused"].as_array().unwrap();
        assert!(refused.iter().any(|refusal| refusal["call"] == "unshare"), "{summary}");
        assert!(summary["warnings"].to_string().contains("another closed the record"));
    }
}
