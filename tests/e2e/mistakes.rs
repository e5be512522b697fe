//! What aido says to likely mistakes, word by word: `tests/mistakes/*.txt`. Each was tried by a person who read the answer
//! as somebody new would. `AIDO_BLESS=1` writes the answers of today; read the difference before it is committed.
//!
//! `## TITLE` begins a project of its own with `hello.py`; `$ LINE` is typed, standard output has `| ` before it, and a
//! status that is not 0 stands behind `=>`. `[root]`, `[user]`, `[registry]`: only as whom, or where one is.

use crate::host;
use crate::session::Session;
use std::fmt::Write as _;
use std::fs;

const TABLES: [&str; 5] = ["typing.txt", "yaml.txt", "past.txt", "host.txt", "images.txt"];

fn answers(table: &str) {
    let name = format!("mistakes/{table}");
    let expected = host::ours(&name);
    let mut found = String::new();
    let mut wrong = Vec::new();
    let mut left_out = Vec::new();
    for (index, section) in sections(&expected).into_iter().enumerate() {
        let told = match (index, cannot_be_tried(section)) {
            (0, _) => section.to_string(),
            (_, Some(why)) => {
                left_out.push(format!("{}: {why}", title(section)));
                section.to_string()
            }
            _ => tried(section),
        };
        if told != section {
            wrong.push(format!("--- expected\n{section}--- found\n{told}"));
        }
        found.push_str(&told);
    }
    if std::env::var_os("AIDO_BLESS").is_some_and(|bless| bless == "1") {
        fs::write(host::our_file(&name), found).unwrap();
    } else {
        assert!(wrong.is_empty(), "{name}: AIDO_BLESS=1 writes it anew\n{}", wrong.join("\n"));
    }
    left_out.iter().for_each(|why| eprintln!("not tried: {why}"));
}

/// Of what stands before the first mistake, and of each.
fn sections(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = text.match_indices("\n## ").map(|(at, _)| at + 1).collect();
    starts.insert(0, 0);
    starts.push(text.len());
    starts.windows(2).map(|two| &text[two[0]..two[1]]).collect()
}

fn title(section: &str) -> &str {
    section.lines().next().unwrap_or_default().trim_start_matches("## ")
}

/// The other user tries it, and `ci/test` has both and a registry.
fn cannot_be_tried(section: &str) -> Option<&'static str> {
    let title = title(section);
    match () {
        () if title.contains("[root]") && !host::is_root() => Some("root tries it"),
        () if title.contains("[user]") && host::is_root() => Some("an ordinary user tries it"),
        () if title.contains("[registry]") && host::registry().is_none() => {
            host::left_out("AIDO_REGISTRY is not set: run ci/test");
            Some("there is no registry")
        }
        () => None,
    }
}

fn tried(section: &str) -> String {
    let session = Session::new();
    session.project.write("hello.py", "print(\"hello\")\n");
    let mut told = section.lines().next().unwrap_or_default().to_string() + "\n";
    for typed in section.lines().filter(|line| line.starts_with("$ ")) {
        let out = session.run(&typed[2..]);
        let _ = writeln!(told, "{typed}");
        session.neutral(&out.text()).lines().for_each(|line| told += &format!("| {line}\n"));
        told += &session.neutral(&out.told());
        match (out.code, out.signal) {
            (Some(0), _) => {}
            (Some(code), _) => told += &format!("=> {code}\n"),
            (None, signal) => told += &format!("=> signal {signal:?}\n"),
        }
    }
    told + "\n"
}

#[test]
fn what_is_typed() {
    answers("typing.txt");
}

#[test]
fn the_configuration() {
    answers("yaml.txt");
}

#[test]
fn looking_back() {
    answers("past.txt");
}

#[test]
fn files_disk_and_host() {
    answers("host.txt");
}

#[test]
fn images_and_network() {
    answers("images.txt");
}

/// What no answer may be, whatever it says: empty, on the wrong stream, a panic, the same twice, or without a mend.
#[test]
fn every_answer_says_what_where_and_what_mends_it() {
    const MENDS: [&str; 15] = [
        "help: ",
        "tip: ",
        "--help",
        "write ",
        "did you mean",
        "`aido ",
        "it lies between",
        "type more",
        "remove it",
        "first in line",
        "make one",
        "a number from",
        "copy ",
        "; there is ",
        "; there are ",
    ];
    let tables = TABLES.map(|table| host::ours(&format!("mistakes/{table}"))).join("\n");
    let all = sections(&tables).into_iter().filter(|section| section.starts_with("## ")).collect::<Vec<_>>();
    assert!(all.len() >= 100, "{} mistakes", all.len());
    for section in all {
        section.split("\n$ ").skip(1).for_each(|typed| judge(title(section), typed, &MENDS));
    }
}

/// What is said to one line that was typed.
fn judge(title: &str, typed: &str, mends: &[&str]) {
    let said: Vec<&str> = typed.lines().skip(1).filter(|line| !line.starts_with("=> ")).collect();
    let text = said.join("\n");
    for never in ["panicked", "RUST_BACKTRACE", "unwrap", "Error {", "Os {", "None)"] {
        assert!(!text.contains(never), "{title}: {never}: {typed}");
    }
    for line in &said {
        let cause = line.rsplit(": ").next().unwrap_or_default();
        assert!(cause.len() < 8 || line.matches(cause).count() == 1, "{title}: the same twice: {typed}");
    }
    if typed.contains("\n=> 125") {
        let to_stderr = |line: &&str| line.starts_with("aido: ") || line.starts_with("error: ");
        assert!(title == "no command" || said.iter().any(to_stderr), "{title}: nothing is said: {typed}");
        assert!(!said.iter().any(|line| line.starts_with("| ")), "{title}: on standard output: {typed}");
        assert!(mends.iter().any(|mend| text.contains(mend)), "{title}: nothing mends it: {typed}");
    }
}
