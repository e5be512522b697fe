//! The documents do what they say. A block marked `console` is typed into a shell, line by line, and what it shows is
//! compared: IDs, digests and times by their kinds, `…` for anything. Comments above a block say the rest:
//!
//! - `<!-- project: NAME -->`: a copy of that example from here on; `fresh`: an empty project
//! - `<!-- file: PATH -->`: the block becomes that file of the project
//! - `<!-- needs: PROGRAM -->`: on the host, else the blocks up to the next project are left out
//! - `<!-- not run: WHY -->`: it cannot be, here
//!
//! A line that is to fail says so: `# ends with 1`.

use crate::host;
use crate::session::{Session, neutral};
use std::fs;
use std::process::Command;

const DOCUMENTS: [&str; 5] = ["README.md", "docs/GUIDE.md", "docs/COOKBOOK.md", "docs/FAQ.md", "docs/COMPARISON.md"];

/// A fenced block and what the comments right above it say.
struct Block<'a> {
    line: usize,
    language: &'a str,
    text: String,
    notes: Vec<(&'a str, &'a str)>,
}

impl Block<'_> {
    fn note(&self, key: &str) -> Option<&str> {
        self.notes.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(note) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            notes.extend(note.split_once(": "));
        } else if let Some(language) = line.strip_prefix("```") {
            let text = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            let text: String = text.flat_map(|line| [line, "\n"]).collect();
            found.push(Block { line: number + 1, language, text, notes: std::mem::take(&mut notes) });
        } else if !line.is_empty() {
            notes.clear();
        }
    }
    found
}

fn has(program: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {program}")]).output().is_ok_and(|out| out.status.success())
}

/// A copy of an example, or an empty project.
fn stage(name: &str) -> Session {
    let session = Session::new();
    if name != "fresh" {
        let from = host::examples().join(if name == "examples" { "" } else { name }).join(".");
        let copied = Command::new("cp").arg("-R").arg(from).arg(session.project.path()).status().unwrap();
        assert!(copied.success(), "no example {name}");
    }
    session
}

fn follow(document: &str) {
    let text = fs::read_to_string(host::documents().join(document)).unwrap();
    let mut session = stage("fresh");
    let (mut wrong, mut lacking) = (Vec::new(), None);
    for block in blocks(&text) {
        if let Some(name) = block.note("project") {
            session = stage(name);
            lacking = None;
        }
        if let Some(program) = block.note("needs").filter(|program| !has(program)) {
            host::left_out(&format!("{document}:{}: {program} is missing", block.line));
            lacking = Some(program.to_string());
        }
        if lacking.is_some() || block.note("not run").is_some() {
            continue;
        }
        match (block.note("file"), block.language) {
            (Some(path), _) => session.project.write(path, &block.text),
            (None, "console") => type_in(&session, &block, document, &mut wrong),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each line that is typed, and what is shown below it up to the next.
fn type_in(session: &Session, block: &Block, document: &str, wrong: &mut Vec<String>) {
    let text = block.text.replace("\\\n", " ");
    let mut typed: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), typed.last_mut()) {
            (Some(line), _) => typed.push((line, Vec::new())),
            (None, Some((_, shown))) => shown.push(line),
            (None, None) => panic!("{document}:{}: a block begins with what is typed", block.line),
        }
    }
    for (line, shown) in typed {
        let out = session.run_together(line);
        let status = line.rsplit_once("# ends with ").map_or(Some(0), |(_, status)| status.trim().parse().ok());
        let found = session.neutral(&out.text());
        let found: Vec<&str> = found.lines().map(str::trim_end).collect();
        let expected: Vec<String> = shown.iter().map(|line| neutral(line).trim_end().to_string()).collect();
        if out.code != status || !(shown.is_empty() || matches(&expected, &found)) {
            wrong.push(format!(
                "{document}:{}\n--- written\n{}\n--- found{out}\n--- neutral\n{}",
                block.line,
                expected.join("\n"),
                found.join("\n")
            ));
        }
    }
}

/// A line `…` stands for any lines, `…` in a line for anything in it.
fn matches(expected: &[String], found: &[&str]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((line, rest)) if line == "…" => (0..=found.len()).any(|skipped| matches(rest, &found[skipped..])),
        Some((line, rest)) => {
            found.split_first().is_some_and(|(first, others)| in_line(line, first) && matches(rest, others))
        }
    }
}

fn in_line(expected: &str, found: &str) -> bool {
    match expected.split_once('…') {
        None => expected == found,
        Some((before, after)) => found.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| in_line(after, &rest[at..]))
        }),
    }
}

#[test]
fn the_readme_does_what_it_says() {
    follow("README.md");
}

#[test]
fn the_guide_does_what_it_says() {
    follow("docs/GUIDE.md");
}

#[test]
fn the_cookbook_does_what_it_says() {
    follow("docs/COOKBOOK.md");
}

#[test]
fn the_answers_and_the_comparison_do_what_they_say() {
    follow("docs/FAQ.md");
    follow("docs/COMPARISON.md");
}

#[test]
fn every_block_is_typed_written_or_excused_and_every_link_leads_somewhere() {
    for document in DOCUMENTS {
        let path = host::documents().join(document);
        let text = fs::read_to_string(&path).unwrap();
        for block in blocks(&text) {
            let place = format!("{document}:{}", block.line);
            let excused = block.note("file").is_some() || block.note("not run").is_some_and(|why| why.len() > 10);
            assert!(excused || block.language == "console", "{place}: nothing tries this block");
            if block.language == "yaml" {
                let parsed = serde_yaml::from_str::<serde_json::Value>(&block.text);
                assert!(parsed.is_ok_and(|value| value.is_object()), "{place} is no YAML");
            }
        }
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            // Ordinary users are given the documents and the examples alone.
            let there = path.parent().unwrap().join(link).exists() || std::env::var_os("AIDO_DOCUMENTS").is_some();
            assert!(there, "{document}: {link} leads nowhere");
        }
    }
}

#[test]
fn what_is_written_is_held_against_what_is_found() {
    let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
    let same = |expected: &str, found: &str| matches(&lines(expected), &found.lines().collect::<Vec<_>>());
    assert!(same("a\n…\nz", "a\nb\nc\nz") && same("a\n…", "a") && same("exit … in …/out", "exit 0 in /x/out"));
    assert!(!same("a", "a\nb") && !same("a\n…\nz", "a\nb") && !same("exit …!", "exit 0") && !same("", "a"));
    assert_eq!(neutral("run r0123456789ab after 48ms, exit 0\n"), "run RUN after TIME, exit 0\n");
}
