//! The table of all that was tried, for people.

use super::head::{Attack, Proof};
use super::room::Room;
use crate::host;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::{env, fs};

#[derive(Clone)]
pub(crate) enum Cell {
    NotYet,
    Refused(String),
    Shown(Proof),
    /// It is shown where root runs the tests.
    AsRootOnly,
    NotInThisKernel(String),
    /// The bound needs a control group: aido refused to run at all.
    NotHeldHere,
    LeftOut(String),
    Fault(String),
}

pub(crate) struct Row {
    title: String,
    promise: u32,
    tries: String,
    expected: String,
    pub(crate) outside: Cell,
    inside: [Cell; 2],
}

impl Row {
    pub(crate) fn of(attack: &Attack) -> Row {
        Row {
            title: attack.title(),
            promise: attack.promise,
            tries: attack.tries.clone(),
            expected: attack.refused.join(", "),
            outside: Cell::NotYet,
            inside: [Cell::NotYet, Cell::NotYet],
        }
    }

    pub(crate) fn inside(&mut self, room: Room, cell: Cell) {
        self.inside[usize::from(room == Room::Image)] = cell;
    }

    pub(crate) fn everywhere(&mut self, cell: &Cell) {
        self.inside = [cell.clone(), cell.clone()];
        self.outside = cell.clone();
    }
}

impl Cell {
    fn words(&self) -> String {
        match self {
            Cell::NotYet => "**not tried**".into(),
            Cell::Refused(how) => how.clone(),
            Cell::Shown(Proof::Bare) => "succeeds".into(),
            Cell::Shown(Proof::BareRoot) => "succeeds as root".into(),
            Cell::Shown(Proof::Weakened(name)) => format!("succeeds in `{name}`"),
            Cell::Shown(Proof::Mended(_)) => "runs when mended".into(),
            Cell::Shown(Proof::Unwrapped) => "runs unwrapped".into(),
            Cell::AsRootOnly => "shown as root".into(),
            Cell::NotInThisKernel(how) => format!("not in this kernel ({how})"),
            Cell::NotHeldHere => "aido refuses: no control groups".into(),
            Cell::LeftOut(why) => format!("– ({why})"),
            Cell::Fault(_) => "**FAULT**".into(),
        }
    }
}

/// The file is written anew with each row, so that it is there however the tests end.
pub(crate) fn add(row: Row) {
    static ROWS: Mutex<BTreeMap<String, Row>> = Mutex::new(BTreeMap::new());
    let Some(file) = env::var_os("AIDO_ESCAPE_TABLE") else { return };
    let mut rows = ROWS.lock().unwrap_or_else(|e| e.into_inner());
    rows.insert(row.title.clone(), row);
    fs::write(&file, text(&rows)).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
}

fn text(rows: &BTreeMap<String, Row>) -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    let user = user.map_or_else(|| nix::unistd::geteuid().to_string(), |u| u.name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let groups = if host::has_cgroups() { "with control groups" } else { "without control groups" };
    let mut text = format!("As user {user}, {groups}, on Linux {}: {} attacks.\n\n", kernel.trim(), rows.len());
    text += "| attack | promise | what it tries | refused is | outside | host root | image root |\n";
    text += "| --- | --- | --- | --- | --- | --- | --- |\n";
    for row in rows.values() {
        let [host, image] = [&row.inside[0], &row.inside[1]].map(Cell::words);
        let (outside, tries) = (row.outside.words(), &row.tries);
        let cells = [&row.title, &row.promise.to_string(), tries, &row.expected, &outside, &host, &image];
        let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|").replace('\n', " ")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}
