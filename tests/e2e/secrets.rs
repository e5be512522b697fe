//! What is taken out of the record and what is not; files that are given as secrets.

use crate::chain::check;
use crate::planted::{TOKEN, search};
use crate::project::Project;
use crate::running::Running;
use std::fs;

#[test]
fn a_secret_on_the_command_line_is_refused_before_anything_is_written() {
    let p = Project::new();
    let word = format!("--password={TOKEN}");
    let mut command = p.command(["run", "-e", "MY_TOKEN", "--", "true", &word]);
    let out = Running::start({
        command.env("MY_TOKEN", TOKEN);
        command
    })
    .end();
    out.refused(&["the value of `MY_TOKEN` stands in the arguments", "-e MY_TOKEN=…"]);
    assert_eq!(search(&out.stderr), None);
    let runs = p.path().join(".aido/sandboxes");
    assert!(!runs.exists() || fs::read_dir(runs).unwrap().count() == 0);
}

#[test]
fn what_else_of_the_plan_holds_a_secret_is_stored_without_it() {
    let p =
        Project::with(&[("sandbox.yaml", "name: x\ninputs: []\nenv: {A: {from: MODE}, B: before-production-after}\n")]);
    let mut command = p.command(["run", "--quiet", "--", "sh", "-c", "echo $A $B"]);
    let out = Running::start({
        command.env("MODE", "production");
        command
    })
    .end();
    out.ok().stdout("[secret MODE] before-[secret MODE]-after\n");
    let plan = String::from_utf8(p.evidence("plan.json")).unwrap();
    assert!(!plan.contains("production") && plan.contains("before-[secret MODE]-after"), "{plan}");
    let yaml = fs::read_to_string(p.last_sandbox().join("sandbox.yaml")).unwrap();
    assert!(!yaml.contains("production"), "{yaml}");
}

/// Words of the record that a variable may well hold: the record stays readable.
#[test]
fn a_value_that_is_a_word_of_ours_breaks_no_record() {
    for value in [
        "full", "host", "linux", "exited", "in-force", "stdout", "sha256", "2026", "true", "outcome", "memory",
        "input", "task",
    ] {
        let p = Project::with(&[("a.txt", "x")]);
        let mut command =
            p.command(["run", "--quiet", "-e", "WORD", "--", "sh", "-c", "echo $WORD; echo y > /outputs/f"]);
        let out = Running::start({
            command.env("WORD", value);
            command
        })
        .end();
        out.ok().stdout("[secret WORD]\n");
        p.aido(["show"]).ok().prints("succeeded");
        p.aido(["runs", "--json"]).ok();
        p.aido(["logs", "--events"]).ok();
        check(&p.evidence("events.log")).unwrap();
        assert_eq!(p.reason(), "exited", "{value}");
    }
}

#[test]
fn credentials_of_known_formats_are_replaced_and_told() {
    let p = Project::new();
    let (github, aws) = (format!("ghp_{}", "a1B2".repeat(9)), "AKIAIOSFODNN7EXAMPLE");
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\nAgEAAoIBAQ==\n-----END PRIVATE KEY-----";
    let script = format!(
        "printf '%s\\n' 'token {github}.' '{aws}' '{digest}' '{pem}'; printf gh; sleep 0.2; printf 'p_{}' '{}'",
        &github[4..20],
        &github[20..]
    );
    let told = format!(
        "token [redacted github-token].\n[redacted aws-access-key-id]\n{digest}\n[redacted private-key]\n[redacted github-token]"
    );
    let script = script.replace("printf 'p_", "printf '%s%s' 'p_");
    p.sh(&script).ok().stdout(&told);
    assert_eq!(p.evidence("stdout.log"), told.as_bytes());
    let redacted = &p.summary()["redacted"];
    assert_eq!(redacted[1], serde_json::json!({"what": "github-token", "count": 2}), "{redacted}");
    p.aido(["show"]).ok().prints("github-token, 2 times");
    // What is asked for byte for byte comes so.
    p.aido(["run", "--quiet", "--exact-output", "--", "echo", aws]).ok().stdout(&format!("{aws}\n"));
}

#[test]
fn secret_files_are_given_and_their_like_is_not() {
    let p = Project::with(&[
        (".env", "DB_PASSWORD=hunter2hunter2\n"),
        ("other.env", "X=1"),
        ("data/id_rsa", "rsa-secret-key"),
    ]);
    let look = "cat .env data/id_rsa; cat other.env; echo x >> .env; cat data/../.env | tail -c 6";
    let options = ["run", "--quiet", "--secret-file", ".env", "--secret-file", "data/id_rsa", "--", "sh", "-c", look];
    let out = p.aido(options);
    out.stdout("[secret .env]\n[secret data/id_rsa]nter2\n").says("other.env");
    let hidden = p.summary()["hidden"].to_string();
    assert!(hidden.contains("other.env") && !hidden.contains("\".env\"") && !hidden.contains("id_rsa"), "{hidden}");
    // Base64 of the value alone, as a manifest would have it.
    let out = p.aido([
        "run",
        "--quiet",
        "--secret-file",
        ".env",
        "--",
        "sh",
        "-c",
        "cut -d= -f2 .env | base64; cut -d= -f2 .env",
    ]);
    out.ok().stdout("[secret .env]K\n[secret .env]\n");
}

#[test]
fn what_is_no_secret_file_of_the_project_is_refused() {
    let p = Project::with(&[("a/key.pem", "k"), (".git/config", "[core]")]);
    std::os::unix::fs::symlink("a/key.pem", p.path().join("link")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", p.path().join("out")).unwrap();
    fs::write(p.path().join("big"), vec![b'x'; (64 << 10) + 1]).unwrap();
    for (path, words) in [
        ("a/*.pem", "is a pattern"),
        ("a", "is a folder"),
        ("nothing", "matches nothing"),
        ("/etc/passwd", "not a path of the project"),
        ("../x", "climbs out"),
        ("link", "is a link to `a/key.pem`"),
        ("out", "leads out of the project"),
        ("big", "larger than the 64 KiB"),
        (".aido/ledger.jsonl", "evidence of earlier runs"),
        (".git/config", "shows nothing"),
    ] {
        p.aido(["run", "--secret-file", path, "--", "true"]).refused(&[words, "--secret-file"]);
        p.write("sandbox.yaml", format!("secrets: ['{path}']\n"));
        p.aido(["check"]).refused(&[words, "sandbox.yaml:1:11"]);
        fs::remove_file(p.path().join("sandbox.yaml")).unwrap();
    }
}

#[test]
fn a_sandbox_that_is_kept_gives_its_secret_files_to_every_run() {
    let p = Project::with(&[("key.pem", "first-content"), ("sandbox.yaml", "secrets: [key.pem]\n")]);
    let sandbox = p.aido(["sandbox", "up", "--quiet"]).word();
    p.aido(["run", "--quiet", "--", "cat", "key.pem"]).ok().stdout("[secret key.pem]");
    p.write("key.pem", "second-content");
    p.aido(["run", "--", "cat", "key.pem"])
        .ok()
        .stdout("[secret key.pem]")
        .says("gives secret files to the task: key.pem");
    p.aido(["run", "--secret-file", "key.pem", "--", "true"]).refused(&["--secret-file belongs to a sandbox"]);
    p.aido(["sandbox", "destroy", &sandbox]).ok();
}
