//! The host root: the host's own toolchains, and nothing else of it.

use std::path::{Path, PathBuf};

/// One thing of the host root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A link as the host has it: name and target.
    Link { name: String, target: String },
    /// A folder of the host.
    Folder(PathBuf),
    /// A file of the host.
    File(PathBuf),
}

/// Programs and libraries. On a merged-/usr host all but the last are links into it.
const TREES: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr"];

/// What linkers and interpreters read of `/etc`. No account, no key, no machine id, no network setting.
const SETTINGS: [&str; 22] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "fonts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "magic",
    "mime.types",
    "os-release",
    "perl",
    "pki/ca-trust",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
];

/// Settings whose names carry a version.
const VERSIONED: [&str; 3] = ["java-", "python", "php"];

/// What of `root` (normally `/`) makes up the host root, sorted parents first.
pub(crate) fn pieces(root: &Path) -> Vec<Piece> {
    let mut names: Vec<String> = TREES.iter().map(|name| name.to_string()).collect();
    names.extend(SETTINGS.iter().map(|name| format!("etc/{name}")));
    names.extend(versioned(root));
    names.sort();
    names.into_iter().filter_map(|name| piece(root, name)).collect()
}

fn versioned(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("etc")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| VERSIONED.iter().any(|start| name.starts_with(start))).map(|n| format!("etc/{n}")).collect()
}

fn piece(root: &Path, name: String) -> Option<Piece> {
    let path = root.join(&name);
    let kind = path.symlink_metadata().ok()?.file_type();
    if kind.is_symlink() {
        let target = std::fs::read_link(&path).ok()?.into_os_string().into_string().ok()?;
        Some(Piece::Link { name, target })
    } else if kind.is_dir() {
        Some(Piece::Folder(path))
    } else if kind.is_file() {
        Some(Piece::File(path))
    } else {
        None
    }
}

/// The device nodes that programs cannot do without.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Those of them that this host has.
pub(crate) fn devices() -> impl Iterator<Item = &'static str> {
    DEVICES.into_iter().filter(|name| Path::new("/dev").join(name).exists())
}

/// Links in `/dev`: name and target.
pub(crate) const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Parts of procfs that tell about the host or its kernel's memory: name, and whether it is a folder.
const MASKED: [(&str, bool); 26] = [
    ("acpi", true),
    ("asound", true),
    ("bus", true),
    ("cmdline", false),
    ("config.gz", false),
    ("driver", true),
    ("fs", true),
    ("interrupts", false),
    ("iomem", false),
    ("ioports", false),
    ("kallsyms", false),
    ("kcore", false),
    ("key-users", false),
    ("keys", false),
    ("kmsg", false),
    ("kpagecgroup", false),
    ("kpagecount", false),
    ("kpageflags", false),
    ("latency_stats", false),
    ("pagetypeinfo", false),
    ("sched_debug", false),
    ("scsi", true),
    ("slabinfo", false),
    ("timer_list", false),
    ("timer_stats", false),
    ("vmallocinfo", false),
];

/// Those of them that this kernel has.
pub(crate) fn masked() -> impl Iterator<Item = (&'static str, bool)> {
    MASKED.into_iter().filter(|(name, _)| Path::new("/proc").join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_toolchains_and_leaves_accounts_and_keys() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["usr/bin", "etc/ssl/private", "etc/ssl/certs", "etc/python3.11", "root/.ssh", "home/me"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in ["etc/shadow", "etc/passwd", "etc/ld.so.cache", "etc/ssl/private/key.pem", "etc/machine-id"] {
            std::fs::write(root.path().join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink("usr/bin", root.path().join("bin")).unwrap();
        let at = |name: &str| root.path().join(name);
        let expected = vec![
            Piece::Link { name: "bin".into(), target: "usr/bin".into() },
            Piece::File(at("etc/ld.so.cache")),
            Piece::Folder(at("etc/python3.11")),
            Piece::Folder(at("etc/ssl/certs")),
            Piece::Folder(at("usr")),
        ];
        assert_eq!(pieces(root.path()), expected);
    }
}
