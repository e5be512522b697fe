//! No way out, and none in.

use super::cases;
use crate::engines::Engine;

cases!("network":
    there_is_only_the_loopback,
    nothing_is_reached,
    services_of_the_host_are_not_reached,
    no_name_is_resolved,
    the_loopback_works,
    abstract_sockets_of_the_host_are_not_reached,
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
