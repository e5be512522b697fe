//! Ways out that lead nowhere.

use super::{Explanation, Facts, Kind, Source, by, times};
use crate::backend::{self, Backend};
use crate::settings::Edit;
use aido_gateway::HostName;
use aido_runtime::{Cause, Refusal};

const NONE: &str = "a sandbox has no network but its own loopback, and this version grants none";
const WHY: &str = "a sandbox reaches only the hosts that it was granted by name";
const FETCH: &str =
    "no change allows it: fetch it before the run into the project or an image, and give it by `inputs` or `runtime`";
pub(super) const BY_NAME: &str =
    "an address cannot be granted: have the task use the host's name, and grant that: `--allow-host NAME`";
const LEARN: &str =
    "grant the host by its name: `--allow-host NAME`; `aido run --learn` tells which names are asked for";
pub(super) const EXPOSES: &str =
    "what the task reads can go to this host, and what it sends there is executed or believed";

/// Sockets that libraries try before they do without.
const OPTIONAL: [&str; 6] = ["/nscd/", "/dev/log", "/run/systemd/", "/dbus/", "/run/avahi", "/.X11-unix/"];

pub(super) fn explain(facts: &Facts<'_>, refused: &Refusal) -> Explanation {
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
    let (why, instead) = words(facts);
    // Which name it was is known to who answers for names, and here nobody did.
    let instead = if look_up && held(facts) { LEARN } else { instead };
    Explanation::new(Source::Record, Kind::Network, what, why).target(target).instead(instead)
}

/// Why, and what to do, where no name is known.
fn words(facts: &Facts<'_>) -> (&'static str, &'static str) {
    if held(facts) { (WHY, BY_NAME) } else { (NONE, FETCH) }
}

/// Whether the engine of this run could hold a task to some hosts.
fn held(facts: &Facts<'_>) -> bool {
    backend::holds_network(if facts.in_container() { Backend::Docker } else { Backend::Linux })
}

/// The task says so; `host` is what it wanted to reach, where it says that.
pub(super) fn said(facts: &Facts<'_>, host: Option<&str>, what: String) -> Explanation {
    let (why, instead) = words(facts);
    let found = Explanation::new(Source::Output, Kind::Network, what, why);
    let found = match host.and_then(granting) {
        Some(name) if held(facts) => found.allowed_by(Edit::Host(name), EXPOSES),
        _ => found.instead(instead),
    };
    match host {
        Some(host) => found.target(host),
        None => found,
    }
}

/// The name that a grant would have: one with a dot in it, without scheme and port.
pub(super) fn granting(text: &str) -> Option<String> {
    let name = HostName::ascii(text).ok()?;
    name.as_str().contains('.').then(|| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_can_be_granted() {
        assert_eq!(granting("PyPI.example.org."), Some("pypi.example.org".to_string()));
        for text in ["10.0.0.1", "0x7f.1", "localhost", "a b.example", "https://a.example", "a.example:80", "", "::1"] {
            assert_eq!(granting(text), None, "{text}");
        }
    }
}
