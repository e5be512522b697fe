//! Each host that refuses something, by its facts alone: the reason and the command must be right for it.

use super::*;
use crate::facts::Container;

fn user() -> Facts {
    Facts { user: 1000, kernel: "6.8.0-31-generic".into(), ..Facts::default() }
}

fn inside(engine: Engine, mut facts: Facts) -> Facts {
    facts.container = Some(Container { engine, by: "a test".into() });
    facts
}

#[track_caller]
fn says(cause: Option<Cause>, why: &str, mend: &str) {
    let cause = cause.expect("a cause");
    assert!(cause.why.contains(why), "{cause:?}");
    assert!(cause.mend.as_deref().unwrap_or_default().contains(mend), "{cause:?}");
}

#[test]
fn settings_that_forbid_namespaces_are_named_and_set() {
    let facts = Facts { namespace_limits: vec![("user", 0), ("net", 0), ("pid", 9)], ..user() };
    says(
        namespaces(libc::ENOSPC, &facts),
        "user.max_user_namespaces, user.max_net_namespaces is 0",
        "printf '%s\\n' user.max_user_namespaces=10000 user.max_net_namespaces=10000 | sudo tee -a \
         /etc/sysctl.d/99-aido.conf && sudo sysctl -p /etc/sysctl.d/99-aido.conf",
    );
    let facts = Facts { unprivileged_userns_clone: Some(0), ..user() };
    says(
        namespaces(libc::EPERM, &facts),
        "kernel.unprivileged_userns_clone is 0",
        "kernel.unprivileged_userns_clone=1",
    );
    // For root it is no hindrance, so something else is the reason.
    assert_eq!(namespaces(libc::EPERM, &Facts { user: 0, ..facts }), None);
    assert!(namespaces(libc::ENOSPC, &user()).unwrap().why.contains("32 deep"));
}

#[test]
fn root_needs_no_sudo_and_a_container_cannot_set_its_host() {
    let none = Facts { namespace_limits: vec![("user", 0)], ..Facts::default() };
    let mend = namespaces(libc::ENOSPC, &none).unwrap().mend.unwrap();
    assert!(mend.starts_with("printf") && !mend.contains("sudo"), "{mend}");
    says(namespaces(libc::ENOSPC, &inside(Engine::Docker, none)), "is 0", "on the machine that holds this container");
}

#[test]
fn ubuntu_is_mended_by_the_profile() {
    let facts = Facts { apparmor_restricts: true, ..user() };
    let two =
        "doctor --apparmor-profile | sudo tee /etc/apparmor.d/aido && sudo apparmor_parser -r /etc/apparmor.d/aido";
    for cause in [namespaces(libc::EACCES, &facts), no_rights("mounts", &facts), id_map(&facts)] {
        says(cause, "kernel.apparmor_restrict_unprivileged_userns is 1", two);
    }
}

#[test]
fn a_profile_that_confines_aido_is_named() {
    let facts = Facts { apparmor_profile: Some("ci-runner".into()), apparmor_restricts: true, ..user() };
    for cause in [namespaces(libc::EACCES, &facts), no_rights("mounts", &facts), id_map(&facts)] {
        assert!(cause.as_ref().unwrap().why.contains("add `userns,`"), "{cause:?}");
        says(cause, "`ci-runner`", "doctor --apparmor-profile | sudo tee /etc/apparmor.d/aido");
    }
    says(no_rights("mounts", &inside(Engine::Docker, facts)), "denies mounts", "--security-opt apparmor=unconfined");
}

#[test]
fn a_container_is_told_all_that_it_must_be_given_at_once() {
    let facts = Facts { filtered: true, ..user() }
        .with_mounts("1 0 0:2 / /proc rw - proc proc rw\n2 1 0:3 / /proc/kcore rw - tmpfs tmpfs rw\n");
    let both = "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined …";
    let docker = inside(Engine::Docker, facts.clone());
    says(namespaces(libc::EPERM, &docker), "filter of this container refuses user namespaces", both);
    says(proc_refused(&docker), "over /proc/kcore, and", both);
    says(proc_refused(&inside(Engine::Podman, facts.clone())), "/proc/kcore", "unmask=ALL");
    says(proc_refused(&inside(Engine::Kubernetes, facts.clone())), "/proc/kcore", "procMount: Unmasked");
    says(proc_refused(&inside(Engine::Other, facts.clone())), "/proc/kcore", "nothing mounted over parts of /proc");
    // What does not stand in the way is not asked for.
    let docker = Facts { filtered: false, ..docker };
    assert!(!proc_refused(&docker).unwrap().mend.unwrap().contains("seccomp"));
    says(proc_refused(&facts), "/proc/kcore", "sudo umount /proc/kcore");
}

#[test]
fn a_filter_outside_of_containers_is_not_taken_for_one() {
    let facts = Facts { filtered: true, ..user() };
    says(namespaces(libc::EPERM, &facts), "already refuses user namespaces", "RestrictNamespaces=no");
    says(namespaces(libc::EPERM, &Facts { chroot: true, ..user() }), "in a chroot", "pivot_root");
    says(
        namespaces(libc::EPERM, &Facts { nobody: true, ..user() }),
        "none that the user namespace",
        "start aido as a user",
    );
    assert_eq!(namespaces(libc::EPERM, &user()), None, "nothing is made up");
}

#[test]
fn a_kernel_without_namespaces_is_named_by_what_it_lacks() {
    let facts = Facts { namespaces_lacking: vec!["user", "pid"], ..user() };
    says(namespaces(libc::EINVAL, &facts), "built without these namespaces: user, pid", "kernel");
}

#[test]
fn an_overlay_that_is_refused_names_the_folder_and_its_file_system() {
    let facts = user().with_mounts(
        "1 0 0:1 / / rw - ext4 /dev/x rw\n2 1 0:2 / /data rw - fuse.sshfs x rw\n3 1 0:3 / /c rw - overlay overlay rw\n",
    );
    let refused = |errno, path: &str| overlay_refused(errno, &[Path::new("/usr"), Path::new(path)], &facts);
    says(refused(libc::EINVAL, "/data/project"), "/data/project lies on fuse.sshfs", "ext4, xfs, btrfs or tmpfs");
    says(refused(libc::EINVAL, "/c/project"), "no third fits", "ext4");
    assert_eq!(refused(libc::EINVAL, "/home"), None, "a good file system is not blamed");
    says(refused(libc::ENODEV, "/home"), "no overlay file system", "sudo modprobe overlay");
    let old = Facts { kernel: "5.10.0".into(), ..facts };
    says(overlay_refused(libc::EPERM, &[], &old), "5.10.0 has no overlay mounts", "5.12");
}

#[test]
fn a_kernel_that_is_too_old_is_told_which_one_is_needed() {
    let all: Vec<&Call> = facts::CALLS.iter().filter(|call| call.needed_for.is_some()).collect();
    let old = Facts { kernel: "5.11.0-49-generic".into(), ..user() };
    let cause = calls_missing(&all[..1], &old);
    says(cause, "mount_setattr is missing here: it came with Linux 5.12, this is 5.11.0", "use Linux 5.12 or newer");
    // Not even then when a container is around it: a newer filter would not help.
    says(calls_missing(&all[..1], &inside(Engine::Docker, old)), "Linux 5.12", "use Linux 5.12");
    let new = Facts { filtered: true, ..user() };
    says(calls_missing(&all[..1], &new), "filter on this process hides mount_setattr", "newer version");
    says(calls_missing(&all[..1], &inside(Engine::Docker, new)), "hides mount_setattr", "seccomp=unconfined");
    assert_eq!(calls_missing(&[], &user()), None);
}

#[test]
fn root_without_its_capabilities_is_told_which_it_lacks() {
    let root = Facts { capabilities: 1 << 31, ..Facts::default() };
    says(
        id_map(&inside(Engine::Docker, root.clone())),
        "SETGID, SETUID here",
        "docker run --cap-add SETGID --cap-add SETUID",
    );
    says(id_map(&root), "SETGID, SETUID", "ordinary user");
    assert_eq!(id_map(&Facts { capabilities: u64::MAX, ..Facts::default() }), None);
}

#[test]
fn landlock_is_absent_for_different_reasons() {
    let facts = Facts { security_modules: Some("lockdown,capability,yama".into()), ..user() };
    says(Some(landlock(libc::EOPNOTSUPP, &facts)), "not turned on", "lsm=landlock,lockdown,capability,yama");
    let old = Facts { kernel: "5.12.1".into(), ..user() };
    says(Some(landlock(libc::ENOSYS, &old)), "came with Linux 5.13", "newer kernel");
    says(Some(landlock(libc::ENOSYS, &facts)), "built without", "CONFIG_SECURITY_LANDLOCK");
    let filtered = inside(Engine::Docker, Facts { filtered: true, ..facts });
    says(Some(landlock(libc::EPERM, &filtered)), "filter of this container", "seccomp=unconfined");
}
