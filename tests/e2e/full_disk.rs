//! A disk that is full, or that breaks, at any moment. Once by a real file system with room for a few pages or files
//! more, once by a fault at each single thing that aido does to its evidence (`evidence/src/fault.rs`, debug builds).
//! Whatever fails: the command ends, its exit status and words are true, nothing of the run lives, and when there is
//! room again the next command closes the record, and what was recorded before stays as it was.

use crate::family;
use crate::ground::{Ground, debug_build, until};
use crate::host::{alive, is_root, marker};
use crate::output::Output;
use crate::project::Project;
use crate::running::Running;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

/// What a run does in these tests: something of everything that is recorded.
fn task(mark: &str) -> String {
    format!("echo out; echo err >&2; echo x > /outputs/x; : {mark}")
}

/// How the disk fails, and what a person must then be told.
const FAILURES: [(&str, &[&str]); 3] = [
    ("full", &["No space left"]),
    ("half", &["No space left", "were written; the disk or a quota is full", "failed to write whole buffer"]),
    ("error", &["Input/output error"]),
];

/// aido with a fault at the Nth thing that it does to the evidence. What was struck; none: it does fewer.
struct Struck {
    out: Output,
    what: Option<String>,
}

fn strike(p: &Project, how: &str, at: u64, args: &[&str]) -> Struck {
    let told = p.home().join(format!("told-{}", marker()));
    let mut command = p.command(args);
    command.env("AIDO_DISK", format!("{how}@{at}")).env("AIDO_DISK_TOLD", &told);
    let out = Running::start(command).end();
    let what = fs::read_to_string(&told).ok().map(|lines| lines.trim().replace('\n', ", "));
    let _ = fs::remove_file(&told);
    Struck { out, what }
}

/// The exit status and the words of a run of [`task`] whose disk failed.
fn judge(out: &Output, p: &Project, how: &str, words: &[&str]) -> Result<(), String> {
    let told = out.told();
    if matches!(how, "kill" | "torn") {
        return match (out.code, out.signal) {
            (None, Some(9)) | (Some(125), None) => Ok(()),
            // Struck after the seal.
            (Some(0), None) => sealed_as_told(p, out),
            _ => Err(format!("an odd end: {out}")),
        };
    }
    match out.code {
        Some(0) => sealed_as_told(p, out),
        Some(125) if words.iter().any(|word| told.contains(word)) => Ok(()),
        Some(125) => Err(format!("it does not say why: {out}")),
        _ => Err(format!("an odd end: {out}")),
    }
}

fn sealed_as_told(p: &Project, out: &Output) -> Result<(), String> {
    let end = &p.summary()["outcome"]["end"];
    if *end != serde_json::json!({"reason": "exited", "code": 0}) {
        return Err(format!("the exit status is 0, and the record says {end}: {out}"));
    }
    match out.stdout == b"out\n" || out.told().contains("standard output was cut") {
        true => Ok(()),
        false => Err(format!("output is missing, and nobody says so: {out}")),
    }
}

/// Nothing of the run lives: the kernel takes a moment.
fn gone(mark: &str) -> Result<(), String> {
    let over = crate::ground::until(Duration::from_secs(10), || alive(mark).is_empty().then_some(()));
    over.ok_or_else(|| format!("these outlived it: {:?}", alive(mark)))
}

/// Strikes at every step of a command, from the first to the last, in many projects at once. `prepare` makes one
/// ready and says what is to be done; `held` looks at what came of it.
fn at_every_step(
    how: &str,
    prepare: &(dyn Fn(&Project, &str) -> Vec<String> + Sync),
    held: &(dyn Fn(&Project, &Output) -> Result<(), String> + Sync),
) -> u64 {
    const WORKERS: u64 = 4;
    let (failed, most) = (Mutex::new(Vec::new()), Mutex::new(0));
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (failed, most) = (&failed, &most);
            scope.spawn(move || {
                let mut ground = Ground::new();
                for (round, at) in (1 + worker..).step_by(WORKERS as usize).enumerate() {
                    if (round + 1).is_multiple_of(8) {
                        ground = Ground::new();
                    }
                    let mark = marker();
                    let args = prepare(&ground.project, &mark);
                    let args: Vec<&str> = args.iter().map(String::as_str).collect();
                    let struck = strike(&ground.project, how, at, &args);
                    let Some(what) = &struck.what else { break };
                    let what = format!("{how}@{at} ({what})");
                    let fine = gone(&mark).and_then(|()| held(&ground.project, &struck.out));
                    let fine = fine.map_err(|e| format!("{what}: {e}")).and_then(|()| ground.check(&what));
                    if let Err(why) = fine {
                        failed.lock().unwrap().push(why);
                        ground = Ground::new();
                    }
                    let mut most = most.lock().unwrap();
                    *most = at.max(*most);
                }
                let _ = ground.project.aido(["sandbox", "destroy", "--all"]);
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    most.into_inner().unwrap()
}

fn words(how: &str) -> &'static [&'static str] {
    FAILURES.iter().find(|(name, _)| *name == how).map_or(&[], |(_, words)| words)
}

fn runs_fail(how: &str) {
    if !debug_build() {
        skip!("this aido was built without faults");
    }
    let prepare =
        |_: &Project, mark: &str| ["run", "--quiet", "--", "sh", "-c", &task(mark)].map(str::to_owned).to_vec();
    let steps = at_every_step(how, &prepare, &|p, out| judge(out, p, how, words(how)));
    eprintln!("{how}: {steps} steps");
    assert!(steps > 30, "a run does more than {steps} things");
}

#[test]
fn a_disk_that_is_full_from_any_step_of_a_run_on_leaves_a_record_that_can_be_closed() {
    runs_fail("full");
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_any_write_leaves_a_record_that_can_be_closed() {
    runs_fail("half");
}

#[test]
fn an_error_at_any_step_of_a_run_leaves_a_record_that_can_be_closed() {
    runs_fail("error");
}

#[test]
fn death_before_any_step_of_a_record_is_mended() {
    runs_fail("kill");
}

#[test]
fn death_in_the_middle_of_any_write_is_mended() {
    runs_fail("torn");
}

/// Nobody has run anything as this user before: keys, folders and the ledger are made, and each step of that fails.
#[test]
fn a_first_run_can_fail_at_any_step() {
    if !debug_build() {
        skip!("this aido was built without faults");
    }
    thread::scope(|scope| {
        // Each of them is the last thing that aido does, or the first that fails.
        for how in ["full", "kill", "torn"] {
            scope.spawn(move || {
                let steps = (1..).find(|at| first_run_is_over_before(how, *at)).unwrap_or_default();
                eprintln!("a first run, {how}: {steps} steps");
                assert!(steps > 60, "a first run does more than {steps} things");
            });
        }
    });
}

fn first_run_is_over_before(how: &str, at: u64) -> bool {
    let p = Project::new();
    let mark = marker();
    let struck = strike(&p, how, at, &["run", "--quiet", "--", "sh", "-c", &task(&mark)]);
    let Some(what) = struck.what else { return true };
    let what = format!("{how}@{at} ({what})");
    let fine = gone(&mark).and_then(|()| judge(&struck.out, &p, how, words(how)));
    fine.unwrap_or_else(|why| panic!("{what}: {why}"));
    let ground = Ground::with(p);
    ground.check(&what).unwrap();
    one_key(&ground.project).unwrap_or_else(|why| panic!("{what}: {why}"));
    false
}

/// One key signs, and nothing is left of one that was only half made.
fn one_key(p: &Project) -> Result<(), String> {
    let folder = p.home().join(".local/share/aido/keys");
    let names: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let current = fs::read_to_string(folder.join("current")).map_err(|e| e.to_string())?;
    let current = current.trim();
    let whole = ["current".to_owned(), format!("{current}.pem"), format!("{current}.pub.pem")];
    // Who was killed before he could say which key signs leaves one that signs nothing.
    let odd = |name: &&String| !whole.contains(name) && (name.starts_with('.') || !name.ends_with(".pem"));
    match whole.iter().all(|name| names.contains(name)) && !names.iter().any(|name| odd(&name)) {
        true => Ok(()),
        false => Err(format!("{names:?}")),
    }
}

/// The next command is struck, too, while it closes what another left; the one after that finishes.
#[test]
fn who_closes_a_record_can_fail_at_any_step_as_well() {
    if !debug_build() {
        skip!("this aido was built without faults");
    }
    for how in ["full", "half", "error", "kill", "torn"] {
        let prepare = |p: &Project, mark: &str| {
            let script = format!("echo out; sleep {mark}");
            let mut run = p.start(["run", "--quiet", "--", "sh", "-c", &script]);
            run.wait_for("out");
            let all = family::Family::of(run.pid()).pids();
            all.iter().take(2).for_each(|pid| crate::ground::send(*pid, Signal::SIGKILL));
            let _ = run.end();
            gone(mark).unwrap();
            vec!["runs".to_owned(), "--json".to_owned()]
        };
        let steps = at_every_step(how, &prepare, &|_, out| match (out.code, out.signal) {
            (Some(0), None) => Ok(()),
            (Some(125), None) if words(how).iter().any(|word| out.told().contains(word)) => Ok(()),
            (None, Some(9)) if matches!(how, "kill" | "torn") => Ok(()),
            _ => Err(format!("an odd end: {out}")),
        });
        eprintln!("{how}: {steps} steps");
        assert!(steps > 5, "closing a record takes more than {steps} steps");
    }
}

#[test]
fn making_and_removing_a_sandbox_can_fail_at_any_step() {
    if !debug_build() {
        skip!("this aido was built without faults");
    }
    type Prepare = fn(&Project, &str) -> Vec<String>;
    let up: Prepare = |_, _| ["sandbox", "up", "--quiet", "--ttl", "60s"].map(str::to_owned).to_vec();
    let destroy: Prepare = |p, _| {
        let id = p.aido(["sandbox", "up", "--quiet", "--ttl", "60s"]).word();
        p.aido(["run", "--quiet", "--sandbox", &id, "--", "sh", "-c", "echo x > /outputs/x"]).ok();
        ["sandbox", "destroy", &id].map(str::to_owned).to_vec()
    };
    for (name, prepare, fewest) in [("up", up, 10), ("destroy", destroy, 5)] {
        for how in ["full", "half", "error", "kill", "torn"] {
            let held = |p: &Project, out: &Output| {
                match (out.code, out.signal) {
                    (Some(0), None) => {}
                    (Some(125), None) if words(how).iter().any(|word| out.told().contains(word)) => {}
                    (None, Some(9)) if matches!(how, "kill" | "torn") => {}
                    _ => return Err(format!("an odd end: {out}")),
                }
                // Whatever is left of it can be removed, and nobody watches over what is gone.
                let removed = p.aido(["sandbox", "destroy", "--all"]);
                let path = p.path().display().to_string();
                let keepers = || family::with_arguments(&["aido-keeper", &path]);
                let over = crate::ground::until(Duration::from_secs(10), || keepers().is_empty().then_some(()));
                match removed.code {
                    Some(0) if over.is_some() => Ok(()),
                    Some(0) => Err(format!("a keeper is left: {:?}", keepers())),
                    _ => Err(format!("the rest cannot be removed: {removed}")),
                }
            };
            let steps = at_every_step_alone(how, &prepare, &held);
            eprintln!("{name}, {how}: {steps} steps");
            assert!(steps > fewest, "{name}: {steps} steps");
        }
    }
}

/// The same for commands after which everything is removed: no earlier run is there to be compared.
fn at_every_step_alone(
    how: &str,
    prepare: &dyn Fn(&Project, &str) -> Vec<String>,
    held: &dyn Fn(&Project, &Output) -> Result<(), String>,
) -> u64 {
    let p = Project::new();
    p.sh("true").ok();
    for at in 1.. {
        let args = prepare(&p, "");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let struck = strike(&p, how, at, &args);
        let Some(what) = struck.what else {
            let _ = p.aido(["sandbox", "destroy", "--all"]);
            return at - 1;
        };
        let ledger = || crate::chain::check(p.read(".aido/ledger.jsonl").as_bytes());
        let fine = held(&p, &struck.out).and_then(|()| ledger().map(drop));
        if let Err(why) = fine {
            panic!("{how}@{at} ({what}): {why}");
        }
    }
    unreachable!("a command ends")
}

const INSIDE: &str = "AIDO_TEST_SMALL_DISK";

/// A user and mount namespace of one's own has real small disks, for ordinary users as well.
#[test]
fn a_real_file_system_without_room_at_any_write_leaves_a_record_that_can_be_closed() {
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--mount").arg(std::env::current_exe().unwrap());
    command.args(["--exact", "full_disk::on_a_small_disk", "--ignored", "--nocapture", "--test-threads=1"]);
    let done = command.env(INSIDE, place.path()).output().expect("unshare of util-linux");
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    if said.contains("LEFT OUT: ") || said.contains("unshare: ") {
        skip!("no small disk can be mounted here: {said}");
    }
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
    said.lines().filter(|line| line.contains("ended by")).for_each(|line| eprintln!("{line}"));
}

#[test]
#[ignore = "the inside of the test above"]
fn on_a_small_disk() {
    let Some(place) = std::env::var_os(INSIDE).map(PathBuf::from) else { return };
    let mount = |options: &str| {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "small"]).arg(&place);
        mount.status().is_ok_and(|status| status.success())
    };
    if !mount("size=64M") {
        return println!("LEFT OUT: mount");
    }
    let tried = Project::in_folder(&place).sh("true");
    if tried.code != Some(0) {
        return println!("LEFT OUT: {}", tried.told());
    }
    let mut ends = [0, 0];
    for room in 0..48 {
        one_on_a_small_disk(&place, &|used, _| format!("size={}", used + room * 4096), &mut ends);
    }
    for room in 0..24 {
        one_on_a_small_disk(&place, &|_, files| format!("nr_inodes={}", files + room), &mut ends);
    }
    println!("{} runs were ended by the full disk, {} were not", ends[0], ends[1]);
    assert!(ends[0] > 10 && ends[1] > 0, "{ends:?}: nothing was tried");
}

fn one_on_a_small_disk(place: &Path, bound: &dyn Fn(u64, u64) -> String, ends: &mut [usize; 2]) {
    // Not by mount(8): that repeats the mount's own options, ids that an ordinary user's namespace does not know.
    let remount =
        |options: &str| rustix::mount::mount_remount(place, rustix::mount::MountFlags::empty(), options).is_ok();
    let ground = Ground::in_folder(place);
    let mark = marker();
    // A disk cannot be made smaller than what is on it, and what the kernel counts of that lags behind.
    let bound = until(Duration::from_secs(5), || {
        let stat = nix::sys::statvfs::statvfs(place).unwrap();
        let used = (stat.blocks() - stat.blocks_free()) * stat.fragment_size();
        let bound = bound(used, stat.files() - stat.files_free());
        remount(&bound).then_some(bound)
    });
    let bound = bound.expect("a smaller disk");
    let out = ground.project.aido(["run", "--quiet", "--", "sh", "-c", &task(&mark)]);
    let lives = gone(&mark);
    assert!(remount("size=64M,nr_inodes=100000"));
    ends[usize::from(out.code == Some(0))] += 1;
    let fine =
        lives.and_then(|()| judge(&out, &ground.project, "full", FAILURES[1].1)).and_then(|()| ground.check(&bound));
    if let Err(why) = fine {
        let events = fs::read_to_string(ground.project.last_run().join("events.log")).unwrap_or_default();
        panic!("{bound}: {why}\n{events}");
    }
    let ledger: Vec<Value> = crate::chain::check(ground.project.read(".aido/ledger.jsonl").as_bytes()).unwrap();
    assert!(ledger.len() >= 3, "{ledger:?}");
}
