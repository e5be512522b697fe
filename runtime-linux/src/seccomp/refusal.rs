//! The words for a refused call: its name, what it asked for, what it got.

use super::compile::Machine;

/// The call's name on this machine.
pub(crate) fn name(number: u32) -> String {
    let known = Machine::here().and_then(|machine| machine.name(number));
    known.map_or_else(|| format!("syscall {number}"), str::to_string)
}

/// The error that something refused comes back with.
pub(crate) fn errno_name(errno: i32) -> String {
    match errno {
        libc::EPERM => "EPERM".into(),
        libc::EACCES => "EACCES".into(),
        libc::ENOSYS => "ENOSYS".into(),
        libc::EROFS => "EROFS".into(),
        libc::ENOSPC => "ENOSPC".into(),
        libc::ENOENT => "ENOENT".into(),
        libc::ECONNREFUSED => "ECONNREFUSED".into(),
        libc::EADDRNOTAVAIL => "EADDRNOTAVAIL".into(),
        libc::ENETUNREACH => "ENETUNREACH".into(),
        libc::EAFNOSUPPORT => "EAFNOSUPPORT".into(),
        other => format!("errno {other}"),
    }
}

/// The flags that make namespaces.
const NAMESPACES: [(u64, &str); 8] = [
    (libc::CLONE_NEWUSER as u64, "CLONE_NEWUSER"),
    (libc::CLONE_NEWNS as u64, "CLONE_NEWNS"),
    (libc::CLONE_NEWPID as u64, "CLONE_NEWPID"),
    (libc::CLONE_NEWNET as u64, "CLONE_NEWNET"),
    (libc::CLONE_NEWIPC as u64, "CLONE_NEWIPC"),
    (libc::CLONE_NEWUTS as u64, "CLONE_NEWUTS"),
    (libc::CLONE_NEWCGROUP as u64, "CLONE_NEWCGROUP"),
    (libc::CLONE_NEWTIME as u64, "CLONE_NEWTIME"),
];

const FAMILIES: [(i32, &str); 14] = [
    (libc::AF_UNIX, "AF_UNIX"),
    (libc::AF_INET, "AF_INET"),
    (libc::AF_INET6, "AF_INET6"),
    (libc::AF_KEY, "AF_KEY"),
    (libc::AF_NETLINK, "AF_NETLINK"),
    (libc::AF_PACKET, "AF_PACKET"),
    (libc::AF_RDS, "AF_RDS"),
    (libc::AF_CAN, "AF_CAN"),
    (libc::AF_TIPC, "AF_TIPC"),
    (libc::AF_BLUETOOTH, "AF_BLUETOOTH"),
    (libc::AF_ALG, "AF_ALG"),
    (libc::AF_NFC, "AF_NFC"),
    (libc::AF_VSOCK, "AF_VSOCK"),
    (libc::AF_XDP, "AF_XDP"),
];

/// What a call asked for, where that decided; `flags` of clone3 lie in the task's memory.
pub(crate) fn detail(call: &str, args: &[u64; 6], flags: Option<u64>) -> Option<String> {
    match call {
        "clone" | "unshare" => namespaces(args[0]),
        "setns" => namespaces(args[1]),
        "clone3" => namespaces(flags?),
        "socket" | "socketpair" => {
            let family = args[0] as i32;
            let named = FAMILIES.iter().find(|(number, _)| *number == family);
            let family = named.map_or_else(|| format!("family {family}"), |(_, name)| name.to_string());
            Some(format!("{family}, type {}, protocol {}", args[1] as u32 & 15, args[2] as i32))
        }
        "personality" => Some(format!("{:#x}", args[0] as u32)),
        "ioctl" => Some(match args[1] as u32 {
            0x5412 => "TIOCSTI".into(),
            0x541c => "TIOCLINUX".into(),
            0x5423 => "TIOCSETD".into(),
            other => format!("{other:#x}"),
        }),
        "fcntl" if args[1] as u32 == 1024 => Some("F_SETLEASE".into()),
        "prctl" => Some(format!("option {}", args[0] as i32)),
        _ => None,
    }
}

fn namespaces(flags: u64) -> Option<String> {
    let asked: Vec<&str> = NAMESPACES.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name).collect();
    (!asked.is_empty()).then(|| asked.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decided_is_named() {
        let args = |first, second| [first, second, 0, 0, 0, 0];
        assert_eq!(detail("unshare", &args(0x1002_0000, 0), None).unwrap(), "CLONE_NEWUSER|CLONE_NEWNS");
        assert_eq!(detail("clone", &args(0x11, 0), None), None, "an ordinary fork");
        assert_eq!(detail("clone3", &args(7, 8), Some(0x1000_0000)).unwrap(), "CLONE_NEWUSER");
        assert_eq!(detail("clone3", &args(0x1000_0000, 0), None), None, "the first argument is a pointer there");
        assert_eq!(detail("socket", &args(40, 1 | 0o2000000), None).unwrap(), "AF_VSOCK, type 1, protocol 0");
        assert_eq!(detail("ioctl", &args(0, 0xFFFF_FFFF_0000_5412), None).unwrap(), "TIOCSTI");
        assert_eq!(detail("mount", &args(0, 0), None), None);
    }
}
