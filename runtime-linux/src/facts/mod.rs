//! What this host is, as far as it bears on a sandbox: read when something was refused, and for `aido doctor`.
//!
//! Nothing here decides anything; `cause` draws the conclusions. Read below a root that tests can make.

mod calls;
mod container;

pub(crate) use calls::{CALLS, Call, can_end_processes, hidden, missing};
pub(crate) use container::{Container, Engine};

use std::fs;
use std::path::{Path, PathBuf};

/// Only what is there is known: a file that this user may not read says nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// `uname -r`.
    pub(crate) kernel: String,
    pub(crate) user: u32,
    pub(crate) container: Option<Container>,
    /// A system call filter is on this process already.
    pub(crate) filtered: bool,
    /// The user namespace is not the machine's first.
    pub(crate) nested: bool,
    /// The caller's user or group is none that this user namespace knows.
    pub(crate) nobody: bool,
    /// The capabilities in effect, a bit for each.
    pub(crate) capabilities: u64,
    /// The root of this process is no mount of its own: a plain chroot.
    pub(crate) chroot: bool,
    /// Kinds of namespaces, by the names of `/proc/sys/user`, and how many of each this user may have.
    pub(crate) namespace_limits: Vec<(&'static str, u64)>,
    pub(crate) unprivileged_userns_clone: Option<u64>,
    /// AppArmor lets user namespaces of unconfined programs have no capability.
    pub(crate) apparmor_restricts: bool,
    /// The AppArmor profile on this process, where one confines it.
    pub(crate) apparmor_profile: Option<String>,
    pub(crate) security_modules: Option<String>,
    /// Namespaces that this kernel was built without, by the names of `/proc/self/ns`.
    pub(crate) namespaces_lacking: Vec<&'static str>,
    /// What is mounted over parts of `/proc`.
    pub(crate) proc_covered: Vec<String>,
    /// Where something is mounted, and the kind of its file system.
    pub(crate) mounts: Vec<(PathBuf, String)>,
}

impl Facts {
    /// Looks at this host, and at this process.
    pub(crate) fn look() -> Facts {
        let mut facts = Facts::read(Path::new("/"));
        facts.kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        facts.user = rustix::process::geteuid().as_raw();
        let known = |id: u32, map: &str| fs::read_to_string(map).is_ok_and(|map| has(id, &map));
        let namespace = fs::read_link("/proc/self/ns/user");
        facts.nested = namespace.is_ok_and(|name| name.as_os_str() != FIRST_USER_NAMESPACE);
        facts.nobody = !known(facts.user, "/proc/self/uid_map")
            || !known(rustix::process::getegid().as_raw(), "/proc/self/gid_map");
        facts
    }

    /// What the files below `root` say.
    fn read(root: &Path) -> Facts {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok().map(|text| text.trim().to_string());
        let number = |path: &str| text(path)?.parse().ok();
        let mounts = mounts(&text("proc/self/mountinfo").unwrap_or_default());
        let status = text("proc/self/status").unwrap_or_default();
        let namespaces = root.join("proc/self/ns");
        Facts {
            container: container::look(root),
            filtered: field(&status, "Seccomp:") == Some("2"),
            capabilities: field(&status, "CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or(0),
            chroot: !mounts.is_empty() && !mounts.iter().any(|(point, _)| point == Path::new("/")),
            namespace_limits: NAMESPACES
                .into_iter()
                .filter_map(|name| Some((name, number(&format!("proc/sys/user/max_{name}_namespaces"))?)))
                .collect(),
            unprivileged_userns_clone: number("proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: number("proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1),
            apparmor_profile: profile(text("proc/self/attr/apparmor/current").or_else(|| apparmor_alone(&text))),
            security_modules: text("sys/kernel/security/lsm"),
            namespaces_lacking: NAMESPACES
                .into_iter()
                .filter(|name| namespaces.exists() && absent(&namespaces.join(name)))
                .collect(),
            proc_covered: covered(&mounts),
            mounts,
            ..Facts::default()
        }
    }

    pub(crate) fn root(&self) -> bool {
        self.user == 0
    }

    /// Major and minor number of the kernel; zeros where its name has none.
    pub(crate) fn version(&self) -> (u32, u32) {
        let mut numbers = self.kernel.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// The kind of file system that a path lies on.
    pub(crate) fn file_system(&self, path: &Path) -> Option<&str> {
        // Of mounts on one place the last is seen, and `max_by_key` gives the last of equals.
        let above = self.mounts.iter().filter(|(point, _)| path.starts_with(point));
        above.max_by_key(|(point, _)| point.as_os_str().len()).map(|(_, kind)| kind.as_str())
    }

    /// For commands that need root.
    pub(crate) fn sudo(&self) -> &'static str {
        if self.root() { "" } else { "sudo " }
    }

    #[cfg(test)]
    pub(crate) fn with_mounts(mut self, mountinfo: &str) -> Facts {
        self.mounts = mounts(mountinfo);
        self.proc_covered = covered(&self.mounts);
        self
    }
}

/// The number that the kernel gives to its first user namespace.
const FIRST_USER_NAMESPACE: &str = "user:[4026531837]";

/// The namespaces of a sandbox.
const NAMESPACES: [&str; 7] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];

/// Not there at all: a module may keep a process from following its own links.
fn absent(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
}

/// The value of `name` in the form of `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Whether an id is among those of a `/proc/PID/uid_map`.
fn has(id: u32, map: &str) -> bool {
    map.lines().any(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) = (fields.next(), fields.next(), fields.next()) else {
            return false;
        };
        (first..first + count).contains(&u64::from(id))
    })
}

/// Kernels with one security module that labels processes show its label in the older file only.
fn apparmor_alone(text: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let is_on = text("sys/module/apparmor/parameters/enabled").is_some_and(|on| on.starts_with('Y'));
    is_on.then(|| text("proc/self/attr/current")).flatten()
}

/// `NAME (enforce)` confines; `unconfined` and what only complains do not.
fn profile(label: Option<String>) -> Option<String> {
    let label = label?;
    let name = label.trim_end_matches('\0').strip_suffix(" (enforce)")?;
    Some(name.to_string())
}

/// Mount points and kinds of `/proc/self/mountinfo`, in its order.
fn mounts(mountinfo: &str) -> Vec<(PathBuf, String)> {
    mountinfo.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<(PathBuf, String)> {
    let (front, back) = line.split_once(" - ")?;
    let point = front.split(' ').nth(4)?.replace("\\040", " ");
    Some((point.into(), back.split(' ').next()?.to_string()))
}

/// What covers parts of the `/proc` that is seen: the kernel shows no fresh one to those who may not see all of it.
fn covered(mounts: &[(PathBuf, String)]) -> Vec<String> {
    let proc = Path::new("/proc");
    let below = mounts.iter().map(|(point, _)| point).filter(|point| point.starts_with(proc) && *point != proc);
    // Folders that the kernel keeps empty for mounts: nothing is hidden there.
    let empty = ["/proc/sys/fs/binfmt_misc", "/proc/fs/nfsd", "/proc/openprom"].map(Path::new);
    let covers = below.filter(|point| !empty.contains(&point.as_path()));
    covers.map(|point| point.display().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host that is made of these files.
    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Facts) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let facts = Facts::read(root.path());
        (root, facts)
    }

    #[test]
    fn an_empty_host_says_nothing() {
        let (_root, facts) = host(&[]);
        assert!(facts.container.is_none() && !facts.filtered && !facts.chroot && !facts.apparmor_restricts);
        assert!(facts.namespaces_lacking.is_empty() && facts.proc_covered.is_empty());
        assert_eq!((facts.namespace_limits.len(), facts.version()), (0, (0, 0)));
    }

    #[test]
    fn a_restricted_ubuntu_is_read() {
        let (_root, facts) = host(&[
            ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"),
            ("proc/sys/user/max_user_namespaces", "63000\n"),
            ("proc/self/attr/apparmor/current", "unconfined\n"),
            ("proc/self/status", "Name:\taido\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n"),
        ]);
        assert!(facts.apparmor_restricts && !facts.filtered);
        assert_eq!((facts.namespace_limits, facts.apparmor_profile), (vec![("user", 63000)], None));
    }

    #[test]
    fn a_profile_confines_where_it_is_enforced() {
        let label = |text: &str| profile(Some(text.to_string()));
        assert_eq!(label("docker-default (enforce)").as_deref(), Some("docker-default"));
        assert_eq!(label("/usr/bin/a b (enforce)\0").as_deref(), Some("/usr/bin/a b"));
        for free in ["unconfined", "aido (unconfined)", "x (complain)", ""] {
            assert_eq!(label(free), None, "{free}");
        }
        // Of SELinux and others nothing is believed to be a profile of AppArmor.
        let (_root, facts) = host(&[("proc/self/attr/current", "x (enforce)")]);
        assert_eq!(facts.apparmor_profile, None);
        let enabled = ("sys/module/apparmor/parameters/enabled", "Y\n");
        let (_root, facts) = host(&[("proc/self/attr/current", "x (enforce)"), enabled]);
        assert_eq!(facts.apparmor_profile.as_deref(), Some("x"));
    }

    #[test]
    fn what_covers_proc_is_told_from_what_lies_beside_it() {
        let facts = Facts::default().with_mounts(
            "1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /proc rw - proc proc rw\n\
             3 2 0:3 / /proc/kcore rw - tmpfs tmpfs rw\n4 2 0:2 /sys /proc/sys ro - proc proc rw\n\
             5 1 0:4 / /process rw shared:1 - ext4 /dev/x rw\n6 1 0:5 / /a\\040b rw - fuse.sshfs x rw\n",
        );
        assert_eq!(facts.proc_covered, ["/proc/kcore", "/proc/sys"]);
        assert_eq!(facts.file_system(Path::new("/a b/c")), Some("fuse.sshfs"));
        assert_eq!(facts.file_system(Path::new("/a bc")), Some("overlay"));
        assert_eq!(facts.file_system(Path::new("/process/x")), Some("ext4"));
    }

    #[test]
    fn a_namespace_that_cannot_be_looked_into_is_there() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/self/ns");
        fs::create_dir_all(&folder).unwrap();
        for name in ["user", "mnt", "net", "ipc", "uts", "cgroup"] {
            // As all of them look: links to what is no path.
            std::os::unix::fs::symlink(format!("{name}:[1]"), folder.join(name)).unwrap();
        }
        assert_eq!(Facts::read(root.path()).namespaces_lacking, ["pid"]);
    }

    #[test]
    fn versions_are_read_from_any_kernels_name() {
        let version = |kernel: &str| Facts { kernel: kernel.into(), ..Facts::default() }.version();
        assert_eq!(version("5.11.0-49-generic"), (5, 11));
        assert_eq!(version("6.18.44-fc-v595"), (6, 18));
        assert_eq!(version("odd"), (0, 0));
    }

    #[test]
    fn an_id_is_known_where_the_map_has_it() {
        let map = "0 1000 1\n1 100000 65536\n";
        assert!(has(0, map) && has(65536, map) && !has(65537, map));
        assert!(!has(0, "7 1000 1\n") && !has(0, "") && has(u32::MAX - 1, "0 0 4294967295\n"));
    }

    #[test]
    fn a_plain_chroot_has_no_mount_for_its_root() {
        let (_root, facts) = host(&[("proc/self/mountinfo", "2 1 0:2 / /proc rw - proc proc rw\n")]);
        assert!(facts.chroot);
        let (_root, facts) = host(&[("proc/self/mountinfo", "2 1 0:2 / / rw - ext4 x rw\n")]);
        assert!(!facts.chroot);
    }
}
