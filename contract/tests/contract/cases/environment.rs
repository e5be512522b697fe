//! What is passed on, and nothing else.

use super::cases;
use crate::asked::MARK;
use crate::differences::Name;
use crate::engines::Engine;
use aido_runtime::EnvValue;
use std::collections::BTreeSet;

cases!("environment":
    variables_are_those_of_the_plan,
    values_come_byte_for_byte,
    secrets_of_the_caller_are_passed_by_name,
    arguments_come_byte_for_byte,
    the_working_folder_is_the_plans,
    the_host_name_is_the_plans,
    programs_are_tried_in_order,
    a_path_may_lead_anywhere,
);

fn variables_are_those_of_the_plan(on: &Engine) {
    // The test's own environment is full of others.
    let ran = on.command(&["cat", "/proc/self/environ"]).run();
    ran.exits(0);
    let text = ran.text();
    let names: BTreeSet<&str> = text.split_terminator('\0').filter_map(|v| v.split('=').next()).collect();
    assert_eq!(names, BTreeSet::from(["PATH", "HOME", "LANG", MARK]), "{}", ran.account());
    // Not even what every shell needs, if the plan has nothing.
    let ran = on.command(&["/bin/cat", "/proc/self/environ"]).plan(|plan| plan.task.env.clear()).run();
    ran.exits(0).says("");
}

fn values_come_byte_for_byte(on: &Engine) {
    let values =
        ["", " ", "a b", "line\nbreak", "ünïcödé 日本", "$PATH `id` $(id)", "a=b=c", "\\n", "\"'", "\u{1b}[31m"];
    let mut asked = on.command(&["cat", "/proc/self/environ"]);
    for (at, value) in values.iter().enumerate() {
        asked = asked.env(&format!("V{at}"), value);
    }
    let ran = asked.run();
    let text = ran.text();
    for (at, value) in values.iter().enumerate() {
        assert!(text.split('\0').any(|entry| entry == format!("V{at}={value}")), "V{at}: {}", ran.account());
    }
}

fn secrets_of_the_caller_are_passed_by_name(on: &Engine) {
    let value = "hunter2-is-a-long-secret";
    let ran = on.sh("echo ${#GIVEN}; test \"$GIVEN\" = \"$CHECK\"; echo $?").secret("GIVEN", value).run();
    ran.exits(0).says(&format!("{}\n1\n", value.len()));
    // Without its value there is nothing to pass on.
    let missing =
        |plan: &mut aido_runtime::Plan| drop(plan.task.env.insert("X".into(), EnvValue::From { from: "X".into() }));
    on.sh("true").plan(missing).refused();
}

fn arguments_come_byte_for_byte(on: &Engine) {
    let long = "x".repeat(100_000);
    let words = [
        "",
        " ",
        "-",
        "--",
        "-n",
        "a b",
        "line\nbreak",
        "tab\t",
        "ünïcödé 日本",
        "$PATH `id`",
        "'\"\\",
        "*",
        "\u{1b}[0m",
        &long,
        "",
    ];
    let command: Vec<&str> = ["probe", "args"].into_iter().chain(words).collect();
    let ran = on.command(&command).run();
    ran.exits(0);
    let expected: String = words.iter().map(|word| format!("{word}\0")).collect();
    assert_eq!(ran.text(), expected);
}

fn the_working_folder_is_the_plans(on: &Engine) {
    on.command(&["pwd"]).run().says("/workspace\n");
    for folder in ["/", "/odd", "/workspace/sub dir"] {
        let asked = on.command(&["pwd"]).file("sub dir/x", "").plan(|plan| plan.task.workdir = folder.into());
        asked.run().exits(0).says(&format!("{folder}\n"));
    }
}

fn the_host_name_is_the_plans(on: &Engine) {
    let end = if on.differs(Name::EtcIsTheEngines) { "" } else { "\n" };
    on.sh("hostname; uname -n; cat /etc/hostname")
        .run()
        .exits(0)
        .says(&format!("the-suite\nthe-suite\nthe-suite{end}"));
}

fn programs_are_tried_in_order(on: &Engine) {
    let names = |programs: &[&str]| {
        let programs: Vec<String> = programs.iter().map(ToString::to_string).collect();
        on.command(&["x", "said"]).plan(|plan| plan.task.programs = programs).run()
    };
    names(&["python99", "/no/such", "echo", "cat"]).exits(0).says("said\n");
    names(&["/no/such", "/bin/echo"]).exits(0).says("said\n");
}

fn a_path_may_lead_anywhere(on: &Engine) {
    // A name is looked for in the plan's PATH, in its order.
    let asked = on.command(&["script", "a", "b"]).env("PATH", "/nowhere:/odd:/bin");
    asked.run().exits(0).says("script a b\n");
    let asked = on.command(&["/workspace/own.sh"]).file_with("own.sh", 0o755, "#!/bin/sh\necho own $0\n");
    asked.run().exits(0).says("own /workspace/own.sh\n");
    on.command(&["/odd/link", "x"]).run().exits(0).says("script x\n");
}
