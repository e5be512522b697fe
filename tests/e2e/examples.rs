//! The examples, as their README lines say.

use crate::host;
use crate::project::Project;
use std::process::Command;

/// A project that is a copy of an example, so that no test writes into the repository.
fn example(name: &str) -> Project {
    let p = Project::new();
    let from = host::examples().join(name).join(".");
    let copied = Command::new("cp").arg("-R").arg(from).arg(p.path()).status().unwrap();
    assert!(copied.success());
    p
}

#[test]
fn hello_is_the_two_command_start() {
    let p = Project::new();
    p.write("hello.py", std::fs::read(host::examples().join("hello.py")).unwrap());
    p.aido(["run", "hello.py"]).ok().prints("hello, world");
    assert_eq!(p.output("hello.txt"), "hello, world\n");
    p.aido(["run", "hello.py", "Ada"]).ok().prints("hello, Ada");
}

#[test]
fn the_migration_moves_what_it_may() {
    let p = example("migration");
    p.aido(["run", "--quiet", "scripts/migrate.py"]).ok().stdout("moved 3, set aside 1, total 11555 cents\n");
    assert!(p.output("migration.log").contains("WARNING no address"));
    let database = std::fs::read(p.last_sandbox().join("outputs/results/customers.db")).unwrap();
    assert!(database.starts_with(b"SQLite format 3\0"));
    assert!(!p.path().join("results").exists());
}

#[test]
fn the_incident_is_found_in_the_logs() {
    let p = example("incident");
    p.aido(["run", "--quiet", "analyse.py"]).ok().prints("**database** at 2026-03-01T10:04:58Z");
    let report = p.output("report.md");
    assert!(report.contains("| api | 3 |") && report.contains("8 lines read, 1 not"), "{report}");
}

#[test]
fn a_tool_of_several_words_runs_from_its_own_root() {
    if !Command::new("busybox").output().is_ok_and(|o| o.status.success()) {
        skip!("busybox is missing (apt-get install busybox-static)");
    }
    let p = example("terraform");
    assert!(Command::new("./make-root").current_dir(p.path()).status().unwrap().success());
    p.aido(["run", "--quiet", "terraform", "validate"]).ok().stdout("Success! The configuration is valid.\n");
    p.aido(["run", "--quiet", "terraform", "plan"]).ok().prints("Plan: 2 to add");
    assert_eq!(p.output("plan.txt").lines().count(), 3);
    p.write("infra/bad.tf", "resource \"x\" \"y\" {\n");
    p.aido(["run", "--quiet", "terraform", "validate"]).code(1).says("braces");
}
