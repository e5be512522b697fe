//! Runs on a Docker-compatible engine: what a person sees of them, what is left, what is said when the engine fails.

mod failing;
mod network;
mod terminal;

use crate::chain;
use crate::engine::{Docked, Door};
use crate::host::{alive, marker, wait_for};
use crate::output::find;
use crate::planted::{TOKEN, search};
use crate::running::Running;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

/// Nothing of the last run is in the engine, and aido knows it.
#[track_caller]
fn assert_clean(engine: &crate::engine::Engine, d: &Docked) {
    assert_eq!(engine.holds(&d.last()), Vec::<String>::new(), "the engine still holds something of the run");
    assert!(d.owed().is_empty(), "{:?}", d.owed());
}

#[test]
fn an_image_of_aidos_own_store_runs_offline_and_the_engine_is_given_it_once() {
    let engine = engine!();
    let d = engine.project(&[("a.txt", "hello")]);
    let out = d.sh("cat /srv/app/motd a.txt; echo $AIDO_OUTPUTS; pwd");
    out.ok().stdout("from the image\nhello/outputs\n/workspace\n");
    let summary = d.project.summary();
    assert_eq!(summary["backend"], "docker", "{summary}");
    assert!(summary["runtime"].as_str().is_some_and(|name| name.ends_with("tiny:1")), "{summary}");
    let digest = summary["image_digest"].as_str().expect("an image is known by its digest");
    assert!(digest.starts_with("sha256:"), "{digest}");
    let plan: Value = serde_json::from_slice(&d.project.evidence("plan.json")).unwrap();
    let layers = find(&plan, "layers").and_then(Value::as_array).expect("layers");
    assert_eq!(layers.len(), 1, "{plan}");
    assert_clean(&engine, &d);
    let images = || engine.ask("/images/json").to_string().matches("aido.invalid/image").count();
    let before = images();
    d.sh("true").ok();
    assert!(before > 0 && images() == before, "the engine was given the image twice");
    d.aido(["verify"]).ok();
}

#[test]
fn an_image_that_the_engine_has_needs_no_store() {
    let engine = engine!();
    let d = engine.project(&[]);
    let name = "aido-test/tiny:1";
    d.aido(["run", "--quiet", "--offline", "--runtime", name, "--", "cat", "/srv/app/motd"])
        .ok()
        .stdout("from the image\n");
    let digest = d.project.summary()["image_digest"].as_str().unwrap().to_string();
    d.aido(["check", "--json"]).ok();
    d.project.write("sandbox.yaml", format!("runtime: {name}\n"));
    let checked = d.aido(["check", "--json"]).ok().json();
    assert_eq!((&checked["backend"], &checked["image"]), (&"docker".into(), &digest.into()), "{checked}");
}

#[test]
fn a_layout_and_an_archive_of_the_project_go_the_same_way() {
    let engine = engine!();
    let d = engine.project(&[]);
    let images = crate::host::images().unwrap();
    for runtime in ["oci:{}/tiny", "docker-archive:{}/tiny.docker.tar", "oci-archive:{}/tiny.oci.tar"] {
        let runtime = runtime.replace("{}", &images.display().to_string());
        d.aido(["run", "--quiet", "--offline", "--runtime", &runtime, "--", "cat", "/srv/app/motd"])
            .ok()
            .stdout("from the image\n");
        assert_clean(&engine, &d);
    }
}

#[test]
fn statuses_are_the_same_as_on_the_other_engine() {
    let engine = engine!();
    let d = engine.project(&[("plain.txt", "x")]);
    for (task, code, reason) in [
        (&["true"][..], 0, "exited"),
        (&["sh", "-c", "exit 3"], 3, "exited"),
        (&["sh", "-c", "exit 125"], 125, "exited"),
        (&["no-such-program"], 127, "not_found"),
        (&["/workspace/plain.txt"], 126, "not_executable"),
    ] {
        d.run(&[], task).code(code);
        assert_eq!(d.project.reason(), reason, "{task:?}");
        assert_clean(&engine, &d);
    }
    d.sh("kill -TERM $$").code(143);
    d.run(&["--ttl", "1s"], &["sleep", "60"]).code(124);
    assert_eq!(d.project.reason(), "deadline");
    assert_clean(&engine, &d);
}

#[test]
fn both_streams_come_apart_and_byte_for_byte() {
    let engine = engine!();
    let d = engine.project(&[]);
    let out = d.sh("printf 'a\\000\\377b'; printf 'c\\r\\n' >&2");
    assert_eq!((out.ok().stdout.as_slice(), out.stderr.as_slice()), (&b"a\0\xffb"[..], &b"c\r\n"[..]), "{out}");
    let out = d.sh("head -c 3000000 /dev/zero | tr '\\0' x");
    assert_eq!(out.ok().stdout.len(), 3_000_000);
    d.aido(["verify"]).ok();
}

#[test]
fn inputs_are_read_only_and_what_is_hidden_is_not_there() {
    let engine = engine!();
    let d = engine.project(&[("a.txt", "mine"), (".env", "SECRET=1"), ("sub/b.txt", "b")]);
    let out = d.sh("cat a.txt sub/b.txt; ls -A; echo x > a.txt; echo x > new; rm sub/b.txt; echo x > /etc/x");
    assert_eq!(out.text(), "mineba.txt\nsub\n", "{out}");
    assert_eq!(out.told().matches("Read-only file system").count(), 4, "{out}");
    assert_eq!(d.project.read("a.txt"), "mine");
    let hidden = d.project.summary()["hidden"].to_string();
    assert!(hidden.contains(".env"), "{hidden}");
}

#[test]
fn outputs_come_out_with_their_digests_and_the_seal_holds() {
    let engine = engine!();
    let d = engine.project(&[("sandbox.yaml", "runtime: tiny:1\noutputs: [out/, log.txt]\n")]);
    let script = "echo one > out/a; mkdir /outputs/deep; echo two > /outputs/deep/b; echo three > log.txt; \
        chmod 4755 out/a; ln -s /etc/passwd /outputs/link; mkfifo /outputs/fifo";
    d.aido(["run", "--quiet", "--offline", "--", "sh", "-c", script]).ok();
    let read = |name| d.project.output(name);
    assert_eq!((read("out/a"), read("deep/b"), read("log.txt")), ("one\n".into(), "two\n".into(), "three\n".into()));
    let outputs = d.project.last_sandbox().join("outputs");
    assert!(outputs.join("link").symlink_metadata().is_err() && outputs.join("fifo").symlink_metadata().is_err());
    assert_eq!(outputs.join("out/a").metadata().unwrap().permissions().mode() & 0o7777, 0o644);
    let told = d.project.summary()["outputs"].clone();
    assert!(told["omitted"].to_string().contains("link") && told["omitted"].to_string().contains("fifo"), "{told}");
    let digest = chain::sha256(b"one\n");
    assert!(told["artifacts"].to_string().contains(&digest), "{told}");
    d.aido(["verify"]).ok();
    chain::check(&d.project.evidence("events.log")).unwrap();
    std::fs::write(outputs.join("out/a"), "two\n").unwrap();
    assert_ne!(d.aido(["verify"]).code, Some(0), "an output that was changed is not found");
}

#[test]
fn secrets_reach_the_task_and_nothing_that_stays() {
    let engine = engine!();
    let d = engine.project(&[("key.pem", TOKEN)]);
    let mut command = d.command(Docked::line(
        &["-e", "MY_TOKEN", "--secret-file", "key.pem"],
        &["sh", "-c", "echo $MY_TOKEN; cat key.pem; echo $MY_TOKEN > /outputs/x"],
    ));
    command.env("MY_TOKEN", TOKEN);
    let out = Running::start(command).end();
    out.ok();
    assert!(out.text().contains("[secret MY_TOKEN]") && search(&out.stdout).is_none(), "{out}");
    assert!(d.project.output("x").contains("[secret MY_TOKEN]"));
    for file in ["events.log", "summary.json", "plan.json", "stdout.log"] {
        assert_eq!(search(&d.project.evidence(file)), None, "{file}");
    }
    assert_clean(&engine, &d);
}

#[test]
fn standard_input_is_passed_on_to_its_end() {
    let engine = engine!();
    let d = engine.project(&[]);
    let mut command = d.command(Docked::line(&["-i"], &["sh", "-c", "wc -c; echo done"]));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&vec![b'x'; 300_000]));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "300000\ndone");
}

#[test]
fn ctrl_c_ends_the_run_in_order_and_is_on_record() {
    let engine = engine!();
    let d = engine.project(&[]);
    let mut running = d.start(Docked::line(
        &[],
        &["sh", "-c", "trap 'echo asked; exit 0' TERM INT; echo up; while :; do sleep 0.1; done"],
    ));
    running.wait_for("up");
    running.signal(Signal::SIGINT);
    let out = running.end();
    out.code(130);
    assert!(out.text().contains("asked"), "{out}");
    assert_eq!(d.project.reason(), "interrupted");
    assert_clean(&engine, &d);
}

#[test]
fn a_detached_run_goes_on_and_is_sealed() {
    let engine = engine!();
    let d = engine.project(&[]);
    let id = d.run(&["--detach"], &["sh", "-c", "sleep 1; echo late"]).word();
    d.aido(["logs", "--follow", &id]).ok().stdout("late\n");
    wait_for("the seal", || d.project.last_run().join("seal.json").exists().then_some(()));
    d.aido(["verify", &id]).ok();
    wait_for("the end of what the engine holds", || engine.holds(&id).is_empty().then_some(()));
}

#[test]
fn a_sandbox_that_is_up_keeps_its_engine() {
    let engine = engine!();
    let d = engine.project(&[("sandbox.yaml", "runtime: tiny:1\noutputs: [out/]\n")]);
    let id = d.aido(["sandbox", "up", "--quiet", "--offline"]).word();
    // Whatever is usual now: the sandbox was made for an engine.
    for usual in ["linux", "docker"] {
        let mut command =
            d.command(["run", "--quiet", "--sandbox", &id, "--", "sh", "-c", "echo in > out/x; cat /srv/app/motd"]);
        command.env("AIDO_BACKEND", usual);
        Running::start(command).end().ok().stdout("from the image\n");
        assert_eq!(d.project.summary()["backend"], "docker");
        assert_eq!(d.project.output("out/x"), "in\n");
    }
    d.aido(["run", "--backend", "linux", "--sandbox", &id, "--", "true"]).refused(&["was made for docker"]);
    let listed = d.aido(["sandbox", "list", "--json"]).ok().json();
    assert_eq!(find(&listed, "backend"), Some(&"docker".into()), "{listed}");
    let run = d.last();
    let running = d.start(["run", "--quiet", "--sandbox", &id, "--", "sleep", "60"]);
    let mine = wait_for("the run", || Some(d.last()).filter(|last| *last != run && !engine.holds(last).is_empty()));
    d.aido(["sandbox", "destroy", &id]).ok();
    assert_ne!(running.end().code, Some(0));
    assert_eq!(engine.holds(&mine), Vec::<String>::new());
}

/// The supervisor of the last run, by its record.
#[track_caller]
fn supervisor(d: &Docked) -> i32 {
    let events = String::from_utf8(d.project.evidence("events.log")).unwrap();
    let mut events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let event = events.find(|event| event["type"] == "supervised").expect("who supervises it");
    assert_eq!(event["data"]["backend"], "docker");
    event["data"]["pid"].as_i64().unwrap() as i32
}

#[test]
fn a_killed_supervisor_leaves_a_run_that_the_next_command_ends() {
    let engine = engine!();
    let d = engine.project(&[]);
    let mut running = d.start(Docked::line(&["--ttl", "5m"], &["sh", "-c", "echo up; sleep 300"]));
    running.wait_for("up");
    let run = d.last();
    assert!(!engine.holds(&run).is_empty());
    // Nobody is there to see it, and nobody of this run can tell the engine.
    let supervisor = supervisor(&d);
    kill(Pid::from_raw(running.pid()), Signal::SIGKILL).unwrap();
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    running.end();
    // With another engine as the usual one, and without a word on where this one is.
    let mut command = d.project.command(["runs"]);
    command.env("AIDO_BACKEND", "linux");
    Running::start(command).end().ok().says("was interrupted");
    assert_clean(&engine, &d);
    assert_eq!((d.project.reason().as_str(), &d.project.summary()["backend"]), ("lost", &"docker".into()));
    d.aido(["verify"]).ok();
}

#[test]
fn a_run_that_nobody_looks_after_ends_at_its_time() {
    let engine = engine!();
    let d = engine.project(&[]);
    let mark = marker();
    let script = format!("trap '' TERM INT HUP; echo up; sleep {mark}; while :; do sleep 1; done # {mark}");
    let mut running = d.start(Docked::line(&["--ttl", "3s"], &["sh", "-c", &script]));
    running.wait_for("up");
    let supervisor = supervisor(&d);
    kill(Pid::from_raw(running.pid()), Signal::SIGKILL).unwrap();
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    running.end();
    let began = Instant::now();
    assert!(!alive(&mark).is_empty(), "it was ended by something else");
    wait_for("the end of the task", || alive(&mark).is_empty().then_some(()));
    assert!(began.elapsed() > Duration::from_secs(1), "it was ended by something else");
    // The container has the outputs, for a while, for who might come for them.
    d.aido(["runs"]).ok();
    assert_clean(&engine, &d);
}

#[test]
fn an_engine_that_goes_in_mid_run_is_told_and_what_it_holds_is_ended_later() {
    let engine = engine!();
    let door = Door::to(&engine);
    let d = engine.project(&[]).on(&door);
    let mut running = d.start(Docked::line(&["--ttl", "5m"], &["sh", "-c", "echo up; sleep 300"]));
    running.wait_for("up");
    let run = d.last();
    door.shut();
    let out = running.end();
    assert_eq!((out.code, d.project.reason().as_str()), (Some(125), "lost"), "{out}");
    assert!(out.took < Duration::from_secs(60), "{out}");
    d.aido(["verify"]).ok();
    assert!(!engine.holds(&run).is_empty(), "there was nothing to be ended");
    // It is known what is left, and no command fails for it.
    let owed = d.owed();
    assert_eq!(owed.len(), 1, "{owed:?}");
    d.aido(["runs"]).ok();
    assert_eq!(d.owed().len(), 1);
    door.open();
    std::fs::File::options().write(true).open(&owed[0]).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    d.aido(["runs"]).ok();
    assert_clean(&engine, &d);
}

#[test]
fn what_keeps_a_run_from_the_engine_is_said_with_what_mends_it() {
    let engine = engine!();
    let d = engine.project(&[]);
    let run = |host: &str| {
        let mut command = d.command(["run", "--runtime", "tiny:1", "--", "true"]);
        command.env("DOCKER_HOST", host);
        Running::start(command).end()
    };
    let nowhere = d.project.home().join("no.sock");
    run(&format!("unix://{}", nowhere.display())).refused(&["no.sock", "help:"]);
    run("ssh://somewhere").refused(&["ssh", "help:"]);
    // Somebody is there who does not listen.
    let dead = d.project.home().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    run(&format!("unix://{}", dead.display())).refused(&["dead.sock", "help:"]);
    if !crate::host::is_root() {
        std::fs::set_permissions(&dead, std::fs::Permissions::from_mode(0o000)).unwrap();
        run(&format!("unix://{}", dead.display())).refused(&["permission", "help:"]);
    }
    assert!(!d.project.path().join(".aido/sandboxes").exists(), "something was made");
    d.aido(["run", "--offline", "--runtime", "no-such/image:9", "--", "true"]).refused(&[
        "no-such/image:9",
        "--offline",
        "docker pull",
    ]);
    d.aido(["run", "--", "python3", "-c", "1"]).refused(&["host", "python"]);
    d.aido(["run", "--backend", "dokcer", "--", "true"]).code(125).says("did you mean `docker`?");
    assert!(!d.project.path().join(".aido/sandboxes").exists(), "something was made");
}

#[test]
fn a_policy_may_forbid_the_engine_and_a_project_may_not_choose_it() {
    let engine = engine!();
    let d = engine.project(&[("sandbox.yaml", "runtime: tiny:1\nbackend: docker\n")]);
    d.aido(["run", "--", "true"]).refused(&["sandbox.yaml:2:1", "may not choose the engine"]);
    d.project.write("sandbox.yaml", "runtime: tiny:1\n");
    let config = d.project.home().join(".config/aido");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("policy.yaml"), "backends: [linux]\n").unwrap();
    d.aido(["run", "--", "true"]).refused(&["AIDO_BACKEND", "policy.yaml:1"]);
    std::fs::write(config.join("policy.yaml"), "backend: docker\n").unwrap();
    let mut command = d.command(["run", "--quiet", "--offline", "--", "cat", "/srv/app/motd"]);
    command.env_remove("AIDO_BACKEND");
    Running::start(command).end().ok().stdout("from the image\n");
    assert_eq!(d.project.summary()["backend"], "docker");
}

#[test]
fn the_record_says_what_an_engine_does_not_hear_and_does_not_hold() {
    let engine = engine!();
    let d = engine.project(&[]);
    let out = d.aido(["run", "--offline", "--runtime", "tiny:1", "--", "sh", "-c", "echo x > /workspace/new"]);
    out.says("nobody hears which programs").says("Read-only");
    let summary = d.project.summary();
    assert!(summary["outcome"]["executed"].is_null() && summary["outcome"]["refused"].is_null(), "{summary}");
    assert!(summary["warnings"].to_string().contains("nobody hears"), "{summary}");
    let enforced = summary["enforced"].as_object().unwrap();
    for control in ["privileges", "syscalls", "read-only", "network", "deadline"] {
        assert_eq!(enforced[control]["force"], "in-force", "{control}: {}", enforced[control]);
    }
    assert_eq!(enforced["second-wall"]["force"], "absent");
    let shown = d.aido(["show"]).ok().text();
    assert!(shown.contains("by docker") && shown.contains("in the task's own words"), "{shown}");
}

#[test]
fn doctor_tells_of_the_engine() {
    let engine = engine!();
    let d = engine.project(&[]);
    let told = d.aido(["doctor", "--json"]).json();
    assert_eq!((&told["version"], &told["backend"]), (&2.into(), &"docker".into()), "{told}");
    for control in ["files", "network", "memory", "syscalls", "deadline"] {
        assert!(told["controls"][control]["force"].is_string(), "nothing on {control}: {told}");
    }
    let mut command = d.command(["doctor", "--json"]);
    command.env_remove("AIDO_BACKEND");
    let told = Running::start(command).end().json();
    assert_eq!(told["backend"], "linux");
    assert!(told["engine"]["facts"].as_object().is_some_and(|facts| !facts.is_empty()), "{told}");
    let mut command = d.command(["doctor"]);
    command.env_remove("AIDO_BACKEND");
    Running::start(command).end().prints("--backend docker");
}
