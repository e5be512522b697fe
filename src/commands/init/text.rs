//! The `sandbox.yaml` that is written. Nothing of a stranger stands in it but plain names and numbers.

use super::found::Found;
use crate::commands::schema::LINE;
use std::fmt::Write as _;

/// The whole text.
pub(super) fn of(name: &str, runtime: &str, found: &Found) -> String {
    let mut text = format!(
        "{LINE}\n\
         # What a task of this project sees, writes, reaches and is limited to. `aido check` shows it;\n\
         # `aido schema --write` makes the schema for editors anew.\n\n\
         name: {}\n\n",
        quoted(name)
    );
    put_runtime(&mut text, runtime, found);
    text.push_str(
        "# Everything in the sandbox is ended then.\n\
         ttl: 15m\n\n\
         # What the task sees, read-only. Without this: the whole project, but for .git, .aido and what looks like\n\
         # secrets.\n\
         # inputs: [src/, config/*.json]\n\n\
         # What the task may write and what is kept, beside /outputs, which is always there.\n\
         # outputs: [results/]\n\n\
         permissions:\n\
         \x20 # overlay: the task may change the project in a layer apart, which `aido diff` shows.\n\
         \x20 filesystem: readonly\n",
    );
    put_network(&mut text, found);
    put_env(&mut text, found);
    text.push_str(
        "\n# Limits of the whole run. One that stands here is required: where the host cannot hold it, nothing is run.\n\
         # resources: {memory: 2GiB, cpus: 2, pids: 512, disk: 1GiB}\n",
    );
    text
}

fn put_runtime(text: &mut String, runtime: &str, found: &Found) {
    let _ = writeln!(text, "# Found: {}.", found.told());
    let other = match runtime {
        "host" => {
            text.push_str("# Programs are this machine's own, read-only. An image is the same on every machine:\n");
            found.image()
        }
        _ => {
            text.push_str("# An image, which the first run pulls. With `host` programs are this machine's own:\n");
            "host".to_string()
        }
    };
    let _ = writeln!(text, "# runtime: {other}\nruntime: {runtime}\n");
}

fn put_network(text: &mut String, found: &Found) {
    text.push_str("  # Nothing but its own loopback. `aido run --learn` says what a task asks for");
    let hosts: Vec<&str> = found.kinds.iter().flat_map(|seen| seen.kind.hosts).copied().collect();
    match hosts.is_empty() {
        true => text.push_str(".\n"),
        false => {
            let _ = writeln!(text, "; packages come from:\n  # network: [{}]", hosts.join(", "));
        }
    }
    text.push_str("  network: false\n");
}

fn put_env(text: &mut String, found: &Found) {
    let all: Vec<&(&str, &str)> = found.kinds.iter().flat_map(|seen| seen.kind.env).collect();
    if all.is_empty() {
        text.push_str(
            "\n# Variables of the task; {from: NAME} passes one of yours on, and keeps it out of the record.\n",
        );
        text.push_str("# env: {STAGE: test, TOKEN: {from: MY_TOKEN}}\n");
        return;
    }
    text.push_str("\n# What tools keep for themselves goes where it vanishes: the project is read-only.\nenv:\n");
    for (name, value) in all {
        let _ = writeln!(text, "  {name}: {}", quoted(value));
    }
}

/// As YAML reads a text, whatever it looks like.
fn quoted(text: &str) -> String {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let plain = begins && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    if plain && !words.contains(&text.to_ascii_lowercase().as_str()) { text.to_string() } else { format!("\"{text}\"") }
}
