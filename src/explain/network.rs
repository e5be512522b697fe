//! Ways out that lead nowhere.

use super::{Explanation, Kind, Source, by, times};
use aido_runtime::{Cause, Refusal};

const WHY: &str = "a sandbox has no network but its own loopback, and this version grants none";
const INSTEAD: &str =
    "no change allows it: fetch it before the run into the project or an image, and give it by `inputs` or `runtime`";

/// Sockets that libraries try before they do without.
const OPTIONAL: [&str; 6] = ["/nscd/", "/dev/log", "/run/systemd/", "/dbus/", "/run/avahi", "/.X11-unix/"];

pub(super) fn explain(refused: &Refusal) -> Explanation {
    let target = refused.target.as_deref().unwrap_or("an address");
    let times = times(refused.count);
    if let Some(socket) = target.strip_prefix("unix:") {
        let what = format!("{} found no socket {socket}{times}", by(refused));
        let minor = OPTIONAL.iter().any(|part| socket.contains(part));
        let why = "a socket leads to a service, and no service of the host is given to a task";
        let instead = match socket.contains("docker") || socket.contains("podman") || socket.contains("containerd") {
            true => "no change allows it: who can talk to a container engine owns the host",
            false => "no change allows it: start the service in the sandbox, by the task itself",
        };
        return Explanation::new(Source::Record, Kind::Network, what, why).target(target).instead(instead).minor(minor);
    }
    let look_up = refused.place.as_deref().is_some_and(|place| place.contains("name"));
    let what = match (look_up, refused.cause) {
        (true, _) => format!("{} asked for the address of a name ({target}){times}", by(refused)),
        (false, Cause::Absent) => format!("{} found nothing at {target}{times}", by(refused)),
        _ => format!("{} could not reach {target}: {}{times}", by(refused), refused.answer),
    };
    Explanation::new(Source::Record, Kind::Network, what, WHY).target(target).instead(INSTEAD)
}

/// The task says so; `host` is what it wanted to reach, where it says that.
pub(super) fn said(host: Option<&str>, what: String) -> Explanation {
    let found = Explanation::new(Source::Output, Kind::Network, what, WHY).instead(INSTEAD);
    match host {
        Some(host) => found.target(host),
        None => found,
    }
}
