//! What a task sees, what it can write, and what is brought home.

use crate::output::find;
use crate::project::Project;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

#[test]
fn inputs_cannot_be_changed_in_any_way() {
    let p = Project::with(&[("data.txt", "as it was\n"), ("folder/inner", "inner\n")]);
    let before = fs::metadata(p.path().join("data.txt")).unwrap();
    for attempt in [
        "echo x > data.txt",
        "echo x >> data.txt",
        "rm -f data.txt",
        "mv data.txt other.txt",
        "chmod 777 data.txt",
        "touch -d 2001-01-01 data.txt",
        "ln data.txt linked.txt",
        "truncate -s 0 data.txt",
        "echo x > folder/new",
        "rm -rf folder",
        "echo x > new.txt",
        "mkdir new",
    ] {
        let out = p.sh(&format!("{attempt} && echo done; cat data.txt folder/inner"));
        out.ok().stdout("as it was\ninner\n");
        assert!(out.told().contains("Read-only file system") || out.told().contains("denied"), "{attempt}{out}");
    }
    let after = fs::metadata(p.path().join("data.txt")).unwrap();
    assert_eq!(
        (after.mtime(), after.mode(), after.ino(), after.len()),
        (before.mtime(), before.mode(), before.ino(), 10)
    );
    assert!(!p.path().join("new.txt").exists() && !p.path().join("new").exists());
}

#[test]
fn by_default_the_project_is_shown_without_its_secrets() {
    let p = Project::with(&[
        ("main.py", ""),
        ("sub/code.py", ""),
        ("secret-looking-but-fine.md", ""),
        (".git/config", "[remote]"),
        (".env", "PASSWORD=1"),
        (".env.production", "PASSWORD=2"),
        ("sub/.env", "PASSWORD=3"),
        ("sub/server.pem", "KEY"),
        ("id_rsa", "KEY"),
        (".aws/credentials", "KEY"),
    ]);
    let out = p.sh("find . -type f | sort; cat .env sub/.env id_rsa .git/config 2>/dev/null");
    out.stdout("./main.py\n./secret-looking-but-fine.md\n./sub/code.py\n");
    let record = String::from_utf8(p.evidence("plan.json")).unwrap() + &p.summary().to_string();
    for hidden in [".env", ".env.production", "sub/.env", "sub/server.pem", "id_rsa", ".aws", ".git"] {
        assert!(record.contains(hidden), "{hidden} was hidden, but the record does not name it:\n{record}");
    }
    assert!(!record.contains("PASSWORD"));
}

#[test]
fn a_named_input_is_all_there_is() {
    let p = Project::with(&[
        ("sandbox.yaml", "inputs: [scripts/a.sh, 'config/*.json']\n"),
        ("scripts/a.sh", "#!/bin/sh\nfind . -type f | sort\n"),
        ("scripts/b.sh", ""),
        ("config/x.json", "{}"),
        ("config/y.json", "{}"),
        ("config/z.yaml", ""),
        ("other", ""),
    ]);
    p.aido(["run", "scripts/a.sh"]).ok().stdout("./config/x.json\n./config/y.json\n./scripts/a.sh\n");
}

#[test]
fn no_inputs_means_none() {
    let p = Project::with(&[("sandbox.yaml", "inputs: []\n"), ("there", "")]);
    p.sh("find . -mindepth 1; pwd").ok().stdout("/workspace\n");
}

#[test]
fn an_input_that_is_not_there_climbs_out_or_leads_out_is_refused() {
    let p = Project::with(&[("there", "")]);
    fs::write(p.home().join("outside"), "outside\n").unwrap();
    symlink(p.home().join("outside"), p.path().join("leads-out")).unwrap();
    for (input, words) in [
        ("nowhere/*.json", "nowhere/*.json"),
        ("missing.txt", "missing.txt"),
        ("../home/outside", ".."),
        ("/etc/passwd", "/etc/passwd"),
        ("leads-out", "leads-out"),
    ] {
        p.aido(["run", "--input", input, "--", "true"]).refused(&[words]);
    }
}

#[test]
fn links_of_the_project_lead_to_nothing_of_the_host() {
    let p = Project::with(&[("inside", "inside\n")]);
    fs::write(p.home().join("outside"), "outside\n").unwrap();
    fs::create_dir(p.path().join("sub")).unwrap();
    symlink(p.home().join("outside"), p.path().join("sub/absolute")).unwrap();
    symlink("../../home/outside", p.path().join("sub/relative")).unwrap();
    symlink("../inside", p.path().join("sub/fine")).unwrap();
    let out = p.sh("cat sub/absolute; cat sub/relative; cat sub/fine; true");
    out.ok().stdout("inside\n");
}

#[test]
fn host_files_are_not_there() {
    let p = Project::new();
    fs::create_dir(p.home().join(".ssh")).unwrap();
    fs::write(p.home().join(".ssh/id_ed25519"), "PRIVATE").unwrap();
    let home = p.home().display().to_string();
    let place = p.path().parent().unwrap().display().to_string();
    let script = format!(
        "cat {home}/.ssh/id_ed25519 ~/.ssh/id_ed25519; ls {place} {home}; ls -A /root /home /var/lib /run /mnt /media /srv /boot; \
         cat /etc/shadow /etc/ssh/ssh_host_rsa_key /etc/sudoers /etc/machine-id; echo reached:"
    );
    let out = p.sh(&script);
    out.ok().prints("reached:");
    // The task has a home of its own there.
    let names: Vec<String> =
        out.text().lines().filter(|l| !l.is_empty() && !l.ends_with(':') && *l != "aido").map(str::to_string).collect();
    assert!(names.is_empty(), "found {names:?}{out}");
}

#[test]
fn outputs_are_brought_home() {
    let p = Project::with(&[("sandbox.yaml", "outputs: [results/, migration.log]\ninputs: []\n")]);
    let script = "mkdir results/deep && echo r > results/deep/r.txt && echo log > migration.log && echo free > $AIDO_OUTPUTS/free.txt";
    p.sh(script).ok();
    assert_eq!(p.output("results/deep/r.txt"), "r\n");
    assert_eq!(p.output("migration.log"), "log\n");
    assert_eq!(p.output("free.txt"), "free\n");
    assert!(
        !p.path().join("results").exists() && !p.path().join("migration.log").exists(),
        "the project was written to"
    );
    let summary = p.summary().to_string();
    for name in ["results/deep/r.txt", "migration.log", "free.txt"] {
        assert!(summary.contains(name), "{name} is not listed: {summary}");
    }
}

#[test]
fn collected_files_have_their_true_digests() {
    let p = Project::new();
    p.sh("printf abc > $AIDO_OUTPUTS/abc").ok();
    let summary = p.summary().to_string();
    assert!(summary.contains("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "{summary}");
}

#[test]
fn what_is_no_plain_file_stays_behind_and_is_listed() {
    let p = Project::new();
    let script = "cd $AIDO_OUTPUTS && ln -s /etc/passwd leak && ln -s ../../../.. up && mkfifo pipe && \
                  echo s > tool && chmod 6755 tool && mkdir -m 0 shut && echo ok > plain && ln plain twin";
    p.sh(script).ok();
    let outputs = p.last_sandbox().join("outputs");
    for left_out in ["leak", "up", "pipe"] {
        assert!(fs::symlink_metadata(outputs.join(left_out)).is_err(), "{left_out} came home");
        assert!(p.summary().to_string().contains(left_out), "{left_out} is not listed: {}", p.summary());
    }
    assert_eq!(p.output("plain"), "ok\n");
    assert_eq!(p.output("twin"), "ok\n");
    let mode = fs::metadata(outputs.join("tool")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7000, 0, "{mode:o}");
    let owner = fs::metadata(outputs.join("plain")).unwrap().uid();
    assert_eq!(owner, nix::unistd::geteuid().as_raw());
}

#[test]
fn tmp_and_home_are_private_and_vanish() {
    let p = Project::new();
    let mark = crate::host::marker();
    p.sh(&format!("echo x > /tmp/{mark} && echo x > ~/{mark} && cat /tmp/{mark} ~/{mark}")).ok().stdout("x\nx\n");
    for place in [std::env::temp_dir(), "/tmp".into(), p.home()] {
        assert!(!place.join(&mark).exists(), "{}", place.display());
    }
    p.sh(&format!("ls /tmp/{mark} ~/{mark} 2>/dev/null; true")).stdout("");
}

#[test]
fn writable_places_are_bounded_together() {
    let p = Project::new();
    for place in ["/tmp", "$HOME", "$AIDO_OUTPUTS"] {
        let script = format!("dd if=/dev/zero of={place}/big bs=64k count=64 2>&1; echo status $?");
        let out = p.aido(["run", "--quiet", "--disk", "1MiB", "--", "sh", "-c", &script]);
        assert!(out.text().contains("No space left on device"), "{place}{out}");
    }
    // The same amount fits where the bound is wider.
    p.aido(["run", "--quiet", "--disk", "64MiB", "--", "dd", "if=/dev/zero", "of=/tmp/big", "bs=64k", "count=64"]).ok();
}

#[test]
fn writable_places_are_bounded_in_files_too() {
    let p = Project::with(&[("many.py", "import os\nfor i in range(2_000_000): open(f'/tmp/{i}', 'x').close()\n")]);
    let out = p.aido(["run", "--quiet", "--disk", "1MiB", "--ttl", "60s", "many.py"]);
    assert!(out.code != Some(0) && out.code != Some(124) && out.told().contains("No space left"), "{out}");
}

#[test]
fn everything_else_of_the_workspace_is_read_only_beside_an_output() {
    let p = Project::with(&[("sandbox.yaml", "inputs: [src]\noutputs: [src/out/, log]\n"), ("src/code", "code\n")]);
    let out = p.sh("echo a > src/out/a && echo b > log; echo c > src/code; echo d > src/d; echo e > e; echo f > src/out/../f; cat src/code");
    out.ok().stdout("code\n");
    assert_eq!(p.output("src/out/a"), "a\n");
    assert_eq!(p.output("log"), "b\n");
    let listed = find(&p.summary(), "artifacts").unwrap().to_string();
    assert!(!listed.contains("\"e\"") && !listed.contains("src/d"), "{listed}");
}
