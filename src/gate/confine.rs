//! What a gateway gives up before a task may speak to it: it writes no file, starts no program, takes no port of its choice, sends
//! no signal and reads nothing of people's. What it needs for finding names and servers stays.

use landlock::{
    ABI, Access, AccessFs, AccessNet, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope, path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// What the system's search for names reads: settings, modules of it, sockets and caches of its services. In `/mnt/wsl`
/// are the name servers of a Linux on Windows.
const READS: [&str; 12] = [
    "/etc",
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/run",
    "/var/run",
    "/var/lib",
    "/nix",
    "/gnu",
    "/mnt/wsl",
    "/proc/self",
];

/// No capability, whoever the gateway's user is.
pub(super) fn give_up_capabilities() -> rustix::io::Result<()> {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// Holds for this thread and for those that it starts, as far as this kernel has rules for it.
pub(super) fn keep_out() -> Result<RulesetStatus, RulesetError> {
    let abi = ABI::V6;
    let held = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(READS, AccessFs::ReadFile | AccessFs::ReadDir))?
        // One that the kernel picks: where an engine's stream carries the connections, they are made of it again on loopback.
        .add_rule(NetPort::new(0, AccessNet::BindTcp))?
        .restrict_self()?;
    Ok(held.ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    /// In a thread of its own, which takes the rules along when it ends.
    #[test]
    fn nothing_is_written_started_or_taken_and_servers_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "x").unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = server.local_addr().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let within = move || {
            give_up_capabilities().unwrap();
            let held = keep_out().unwrap();
            let refused = [
                std::fs::read(&secret).is_err(),
                std::fs::write(secret.with_file_name("new"), "x").is_err(),
                std::process::Command::new("/bin/true").status().is_err(),
            ];
            assert!(TcpListener::bind("127.0.0.1:0").is_ok());
            let taken = TcpListener::bind(free).is_ok();
            (held, refused, taken, TcpStream::connect(at).is_ok(), std::fs::read("/etc/hosts").is_ok())
        };
        let (held, refused, taken, reached, read) = std::thread::spawn(within).join().unwrap();
        assert!(reached && read);
        match held {
            RulesetStatus::NotEnforced => {
                let must = std::env::var_os("AIDO_MUST_WORK").is_some_and(|value| value == "1");
                assert!(!must, "this kernel has no Landlock; unset AIDO_MUST_WORK");
                eprintln!("SKIPPED: this kernel has no Landlock");
            }
            // Ports are in later versions than files.
            RulesetStatus::PartiallyEnforced => assert_eq!(refused, [true; 3]),
            RulesetStatus::FullyEnforced => assert_eq!((refused, taken), ([true; 3], false)),
        }
    }
}
