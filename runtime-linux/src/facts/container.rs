//! Whether this process is in somebody's container, from what such engines leave where all can see it.

use std::fs;
use std::path::Path;

/// Whose container it is: what an outer container must be given is said in other words to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Docker,
    Podman,
    Kubernetes,
    Lxc,
    Nspawn,
    Other,
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Engine::Docker => "docker",
            Engine::Podman => "podman",
            Engine::Kubernetes => "kubernetes",
            Engine::Lxc => "lxc",
            Engine::Nspawn => "systemd-nspawn",
            Engine::Other => "of a kind unknown",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) engine: Engine,
    /// What told so.
    pub(crate) by: String,
}

/// Names of groups and of folders that engines use, the more particular ones first.
const NAMES: [(&str, Engine); 8] = [
    ("kubepods", Engine::Kubernetes),
    ("/kubelet/pods/", Engine::Kubernetes),
    ("libpod-", Engine::Podman),
    ("/overlay-containers/", Engine::Podman),
    ("/docker/", Engine::Docker),
    ("docker-", Engine::Docker),
    ("/lxc", Engine::Lxc),
    ("/machine.slice/systemd-nspawn", Engine::Nspawn),
];

/// Files that only a container has.
const FILES: [(&str, Engine); 3] = [
    ("var/run/secrets/kubernetes.io", Engine::Kubernetes),
    ("run/.containerenv", Engine::Podman),
    (".dockerenv", Engine::Docker),
];

/// The number that the kernel gives to its first process namespace.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

pub(super) fn look(root: &Path) -> Option<Container> {
    let found = |engine, by: String| Some(Container { engine, by });
    if let Some((name, engine, file)) = named(root) {
        return found(engine, format!("{name} in /{file}"));
    }
    // A disk that was made of an image has such files too, and is none: there are the machine's first processes.
    let namespace = fs::read_link(root.join("proc/self/ns/pid")).ok();
    if namespace.as_ref().is_some_and(|name| name.as_os_str() == FIRST_PID_NAMESPACE) {
        return None;
    }
    if let Some((file, engine)) = FILES.into_iter().find(|(file, _)| root.join(file).exists()) {
        return found(engine, format!("/{file}"));
    }
    let manager = fs::read_to_string(root.join("run/systemd/container")).unwrap_or_default();
    // Windows' own Linux is a virtual machine, whatever it says of itself.
    if let Some(name) = Some(manager.trim()).filter(|name| !matches!(*name, "" | "wsl")) {
        return found(called(name), format!("/run/systemd/container ({name})"));
    }
    namespace.and_then(|_| found(Engine::Other, "a process namespace that is not the machine's first".into()))
}

fn called(name: &str) -> Engine {
    match name {
        "docker" => Engine::Docker,
        "podman" => Engine::Podman,
        "systemd-nspawn" => Engine::Nspawn,
        name if name.starts_with("lxc") => Engine::Lxc,
        _ => Engine::Other,
    }
}

/// By the control group, or by where the files that engines put over `/etc/hostname` and its like come from.
fn named(root: &Path) -> Option<(&'static str, Engine, &'static str)> {
    let groups = fs::read_to_string(root.join("proc/1/cgroup")).unwrap_or_default();
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    // Only the group's own path, and only the roots of what is mounted on these files.
    let groups: String = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect::<Vec<_>>().join("\n");
    let given: Vec<&str> = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(3);
            let (from, at) = (fields.next()?, fields.next()?);
            ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"].contains(&at).then_some(from)
        })
        .collect();
    let by = |text: &str, file| NAMES.into_iter().find(|(name, _)| text.contains(name)).map(|(n, e)| (n, e, file));
    by(&groups, "proc/1/cgroup").or_else(|| by(&given.join("\n"), "proc/self/mountinfo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(files: &[(&str, &str)]) -> Option<Engine> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        look(root.path()).map(|container| container.engine)
    }

    #[test]
    fn engines_are_told_by_what_they_leave() {
        assert_eq!(seen(&[(".dockerenv", "")]), Some(Engine::Docker));
        assert_eq!(seen(&[("run/.containerenv", "")]), Some(Engine::Podman));
        assert_eq!(seen(&[("run/systemd/container", "systemd-nspawn\n")]), Some(Engine::Nspawn));
        assert_eq!(seen(&[("run/systemd/container", "rkt\n")]), Some(Engine::Other));
        assert_eq!(seen(&[("proc/1/cgroup", "5:memory:/docker/0123\n")]), Some(Engine::Docker));
        assert_eq!(seen(&[("proc/1/cgroup", "0::/system.slice/docker-0123.scope\n")]), Some(Engine::Docker));
        assert_eq!(seen(&[("proc/1/cgroup", "0::/kubepods.slice/x\n")]), Some(Engine::Kubernetes));
        let hosts = "1 0 0:1 /var/lib/docker/containers/01/hosts /etc/hosts rw - ext4 /dev/x rw\n";
        assert_eq!(seen(&[("proc/self/mountinfo", hosts), ("proc/1/cgroup", "0::/\n")]), Some(Engine::Docker));
    }

    #[test]
    fn a_plain_host_is_no_container() {
        let elsewhere = "1 0 0:1 /docker/x /mnt rw - ext4 /dev/x rw\n";
        assert_eq!(seen(&[("proc/1/cgroup", "0::/init.scope\n1:name=systemd:/\n")]), None);
        assert_eq!(seen(&[("proc/self/mountinfo", elsewhere)]), None, "a folder of that name somewhere");
        assert_eq!(seen(&[("run/systemd/container", "\n")]), None);
        assert_eq!(seen(&[("run/systemd/container", "wsl\n")]), None);
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self/ns")).unwrap();
        fs::write(root.path().join(".dockerenv"), "").unwrap();
        std::os::unix::fs::symlink(FIRST_PID_NAMESPACE, root.path().join("proc/self/ns/pid")).unwrap();
        assert_eq!(look(root.path()), None, "a virtual machine whose disk was a container's once");
    }
}
