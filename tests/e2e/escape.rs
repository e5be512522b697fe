//! The attack suite: every file of `tests/escape/AREA` is a hostile program that says in its head what it tries,
//! what counts as refused, what the record must hold, and where it is shown to succeed. Each is run inside of aido on the
//! host root and on an image root, and then where it must succeed: a case that cannot fail says nothing.
//! `CONTRIBUTING.md` has the form of the head; there is no code for any one case here.
//!
//! `AIDO_ESCAPE_ONLY=TEXT` leaves out all whose `AREA/NAME` has not this text; `AIDO_ESCAPE_TABLE=FILE` writes the table.

mod claim;
mod claim_tests;
mod field;
mod head;
mod proof;
mod room;
mod table;
mod verdict;

use field::Field;
use head::Attack;
use room::Room;
use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};
use table::{Cell, Row};

macro_rules! areas {
    ($($area:ident),+) => {
        const AREAS: &[&str] = &[$(stringify!($area)),+];
        $(
            #[test]
            fn $area() {
                try_area(stringify!($area));
            }
        )+
    };
}

areas!(
    config,
    deadline,
    environment,
    files,
    init,
    kernel,
    landlock,
    limits,
    network,
    outputs,
    processes,
    record,
    start
);

/// Where the attacks lie.
fn attacks() -> PathBuf {
    let tests = env::var_os("AIDO_TESTS").map(PathBuf::from);
    tests.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/tests").into()).join("escape")
}

/// All attacks of one area, by name.
fn of_area(area: &str) -> Vec<Attack> {
    let listed = fs::read_dir(attacks().join(area)).unwrap_or_else(|e| panic!("tests/escape/{area}: {e}"));
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| Attack::read(area, path).unwrap_or_else(|why| panic!("{}: {why}", path.display())))
        .collect()
}

/// Two at a time: many do nothing but wait.
fn try_area(area: &str) {
    let wanted = env::var("AIDO_ESCAPE_ONLY").unwrap_or_default();
    let tools = field::Tools::for_area(area);
    let attacks: Vec<Attack> = of_area(area).into_iter().filter(|a| a.title().contains(&wanted)).collect();
    let (next, faults) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(attack) = attacks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut row = Row::of(attack);
            let tried = catch_unwind(AssertUnwindSafe(|| try_one(attack, &tools, &mut row)));
            let found = tried.unwrap_or_else(|panic| vec![words(&*panic)]);
            let named = found.into_iter().map(|fault| format!("{}: {fault}", attack.title()));
            faults.lock().unwrap().extend(named);
            table::add(row);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let mut faults = faults.into_inner().unwrap();
    faults.sort();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Inside first and outside last: outside it may do what it wants with the field.
fn try_one(attack: &Attack, tools: &field::Tools, row: &mut Row) -> Vec<String> {
    if let Some(why) = attack.left_out_for(crate::host::is_root()) {
        row.everywhere(&Cell::LeftOut(why));
        return Vec::new();
    }
    let field = Field::prepared(attack, tools);
    let mut faults = Vec::new();
    for room in Room::ALL {
        let cell = match attack.left_out_in(room) {
            Some(why) => Cell::LeftOut(why),
            None => room::tried(attack, &field, room),
        };
        if let Cell::Fault(fault) = &cell {
            faults.push(format!("{}: {fault}", room.name()));
        }
        row.inside(room, cell);
    }
    let cell = proof::shown(attack, &field);
    if let Cell::Fault(fault) = &cell {
        faults.push(format!("outside: {fault}"));
    }
    row.outside = cell;
    faults
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_else(|| "a panic".into())
}

#[test]
fn every_file_is_tried_and_every_promise_attacked() {
    let helpers = ["around", "judge", "weakened"];
    let folders = fs::read_dir(attacks()).unwrap().flatten().filter(|e| e.file_type().unwrap().is_dir());
    let names: BTreeSet<String> = folders.map(|e| e.file_name().into_string().unwrap()).collect();
    let known: BTreeSet<String> = AREAS.iter().chain(&helpers).map(|a| a.to_string()).collect();
    assert_eq!(names, known, "a folder of attacks that no test runs, or a test without one");
    let all: Vec<Attack> = AREAS.iter().flat_map(|area| of_area(area)).collect();
    // The tenth is about images while they are unpacked, the fifteenth about crashes: e2e::hostile, e2e::crash.
    for promise in (1..=14).filter(|p| *p != 10) {
        let count = all.iter().filter(|a| a.promise == promise).count();
        assert!(count >= 3, "promise {promise} is attacked by {count} files only");
    }
}
