//! No way out, and none in.

use super::cases;
use crate::engines::Engine;
use crate::way::{GRANTED, HELLO, INWARD, Way};

cases!("network":
    there_is_only_the_loopback,
    nothing_is_reached,
    services_of_the_host_are_not_reached,
    no_name_is_resolved,
    the_loopback_works,
    abstract_sockets_of_the_host_are_not_reached,
    what_is_granted_is_reached_by_its_name,
    nothing_but_what_is_granted_is_reached,
    without_its_gateway_no_run_begins,
);

fn there_is_only_the_loopback(on: &Engine) {
    let script = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | grep -v -e '^lo$' -e '^tunl0$' -e '^sit0$' -e '^ip6tnl0$' -e '^gre0$'; ip -o addr | grep -v ' lo ' | grep inet; wc -l </proc/net/route; echo over";
    on.sh(script).by_user(0, 0).run().says("1\nover\n");
}

fn nothing_is_reached(on: &Engine) {
    for address in ["192.0.2.1", "1.1.1.1", "169.254.169.254", "172.17.0.1", "10.0.2.2"] {
        let ran = on.command(&["probe", "reach", address, "80"]).run();
        ran.exits(0);
        // ENETUNREACH: at once, and not by silence.
        assert_eq!((ran.number("connect"), ran.number("send")), (101, 101), "{address}: {}", ran.account());
    }
}

fn services_of_the_host_are_not_reached(on: &Engine) {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    server.set_nonblocking(true).expect("a mode");
    let port = server.local_addr().expect("an address").port().to_string();
    let ran = on.command(&["probe", "reach", "127.0.0.1", &port]).run();
    ran.exits(0);
    assert_eq!(ran.number("connect"), 111, "{}", ran.account());
    assert!(server.accept().is_err(), "the task came to a service of the host");
}

fn no_name_is_resolved(on: &Engine) {
    let script = "nslookup example.com >/dev/null 2>&1 && echo resolved; ping -c 1 -W 1 example.com >/dev/null 2>&1 && echo reached; grep -c localhost /etc/hosts | grep -v '^0'>/dev/null && echo local";
    on.sh(script).deadline(40_000, 1_000).run().says("local\n");
}

fn the_loopback_works(on: &Engine) {
    on.command(&["probe", "loopback"]).run().exits(0).says("loopback\n");
}

fn abstract_sockets_of_the_host_are_not_reached(on: &Engine) {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("aido-{}", on.new_name());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("an address");
    let server = std::os::unix::net::UnixListener::bind_addr(&address).expect("a socket");
    let ran = on.sh("cat /proc/net/unix").run();
    ran.exits(0).is_silent_about(&name);
    drop(server);
}

/// `at NAME`: an address. `get ADDRESS PORT`: what a server there says.
const ASKING: &str = r#"
    at() { nslookup "$1" 2>/dev/null | sed -n 's/^Address: \([0-9.]*\)$/\1/p' | tail -n 1; }
    get() { nc -w 3 "$1" "$2" </dev/null 2>/dev/null; }
"#;

fn what_is_granted_is_reached_by_its_name(on: &Engine) {
    let way = Way::new();
    let (account, port) = (way.account(), way.port);
    let script = format!(
        "{ASKING} get $(at {GRANTED}) {port}; get $(at GRANTED.example.com) {port}; cut -d: -f1 /proc/net/dev | grep -c eth"
    );
    on.sh(&script).deadline(40_000, 1_000).through(way).run().says(&format!("{HELLO}\n{HELLO}\n0\n"));
    assert_eq!(account.came(), 2);
    assert!(account.refused().is_empty(), "{:?}", account.refused());
}

fn nothing_but_what_is_granted_is_reached(on: &Engine) {
    let way = Way::new();
    let (account, port) = (way.account(), way.port);
    let script = format!(
        r#"{ASKING}
        for name in other.example.com host.docker.internal host.containers.internal localhost.localdomain; do
            test -z "$(at $name)" || echo "REACHED the name $name"
        done
        for to in 127.0.0.1 10.0.0.1 169.254.169.254 172.17.0.1 1.1.1.1 2606:2800:21f::1 $(at {INWARD}); do
            get $to {port} | grep -q hello && echo "REACHED $to"
        done
        get $(at {GRANTED}) 443 | grep -q hello && echo REACHED another port
        for server in 127.0.0.11 127.0.0.53 1.1.1.1; do
            timeout 3 nslookup {GRANTED} $server 2>/dev/null | grep -q 'Name:' && echo "REACHED names at $server"
        done
        ip route del local default dev lo table local 2>/dev/null && echo REACHED the routes
        ip link set lo down 2>/dev/null && echo REACHED the interface
        echo over"#
    );
    on.sh(&script).deadline(60_000, 1_000).through(way).run().says("over\n");
    assert_eq!(account.came(), 0);
    let refused = account.refused();
    let names = ["other.example.com", "host.docker.internal", "host.containers.internal"].map(str::to_string);
    let places = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "172.17.0.1", "1.1.1.1", INWARD];
    let places = places.map(|place| format!("{place}:{port}"));
    for one in names.iter().chain(&places) {
        assert!(refused.contains(one), "{one} is not among what was refused: {refused:?}");
    }
}

fn without_its_gateway_no_run_begins(on: &Engine) {
    let network = Way::new().network();
    let error = on.sh("echo ran").plan(|plan| plan.network = network).refused();
    assert!(error.what.contains("network") || error.what.contains("gateway"), "{}", error.what);
}
