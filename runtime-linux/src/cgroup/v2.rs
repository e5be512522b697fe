//! Groups of version 2: where one may be made, and its limits.

use super::knob;
use super::place::Spot;
use super::scope;
use super::want::{CONTROLLERS, Held, Lack, Want};
use crate::cause;
use aido_runtime::{Control, Standing, Usage};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, inotify};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The group that the task lives in.
pub(super) struct Task {
    pub(super) folder: PathBuf,
    /// The same, open: for CLONE_INTO_CGROUP.
    pub(super) descriptor: OwnedFd,
    /// What goes away after a crash: the task's group, or the scope around it.
    pub(super) outer: PathBuf,
    pub(super) scope: bool,
    /// Inotify on `memory.events`.
    pub(super) notice: Option<OwnedFd>,
}

/// The first way: a scope of systemd's, split into the supervisor's group and the task's.
pub(super) fn in_scope(name: &str, lives_ms: u64) -> Result<Task, Lack> {
    let scope = scope::start(&format!("{name}.scope"), lives_ms)?.own;
    let supervisor = scope.join("supervisor");
    // Version 2 allows processes only in the leaves of groups that hand controllers on.
    fs::create_dir(&supervisor).map_err(|e| Lack::at(&supervisor, &e))?;
    knob::write(&supervisor, "cgroup.procs", "0").map_err(|e| Lack::at(&supervisor, &e))?;
    hand_on(&scope);
    open(scope.join("task"), scope, true)
}

/// The second way: below a group above this process that hands controllers on already.
pub(super) fn below(spot: &Spot, name: &str) -> Result<Task, Lack> {
    let parent = parent(spot)?;
    if is_root(&parent) {
        hand_on(&parent);
    }
    let folder = parent.join(name);
    open(folder.clone(), folder, false)
}

fn open(folder: PathBuf, outer: PathBuf, scope: bool) -> Result<Task, Lack> {
    fs::create_dir(&folder).map_err(|e| Lack::at(&folder, &e))?;
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open(&folder, flags, Mode::empty()).map_err(|e| {
        let _ = fs::remove_dir(&folder);
        Lack::at(&folder, &e.into())
    })?;
    let notice = watch(&folder).ok();
    Ok(Task { folder, descriptor, outer, scope, notice })
}

/// The group that a new one can be made in: the nearest one above this process that this user may
/// write, move processes through, and that has a controller to give.
pub(super) fn parent(spot: &Spot) -> Result<PathBuf, Lack> {
    let above = spot.own.ancestors().take_while(|dir| dir.starts_with(&spot.top));
    let writable = |dir: &Path, file: &str| accessat(CWD, dir.join(file), Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    above
        .filter(|dir| writable(dir, "") && writable(dir, "cgroup.procs"))
        .find(|dir| !given(dir).is_empty())
        .map(Path::to_path_buf)
        .ok_or_else(|| {
            let why =
                format!("no group from {} upwards is writable and hands on memory, cpu or pids", spot.own.display());
            let outside = cause::groups(&spot.top);
            Lack::new(why).remedy(outside.unwrap_or_else(|| delegate_here(spot)))
        })
}

/// The controllers that a new group in this one would have.
pub(super) fn given(parent: &Path) -> Vec<String> {
    let file = if is_root(parent) { "cgroup.controllers" } else { "cgroup.subtree_control" };
    let known = |word: &String| CONTROLLERS.iter().any(|(_, name)| name == word);
    knob::words(parent, file).into_iter().filter(known).collect()
}

/// The root of all groups has no type, and alone may hold processes and hand controllers on.
fn is_root(group: &Path) -> bool {
    !knob::has(group, "cgroup.type")
}

fn hand_on(group: &Path) {
    for (_, name) in CONTROLLERS {
        // One by one, since one that is missing fails the whole line; what failed shows in the task's group.
        let _ = knob::write(group, "cgroup.subtree_control", &format!("+{name}"));
    }
}

/// Sets what is wanted on the task's group, and says what the kernel then answered.
pub(super) fn limit(task: &Path, want: &Want, place: &str) -> Vec<Held> {
    let one = |(control, controller): (Control, &str)| {
        let value = want.of(control)?;
        let (file, text) = match control {
            Control::Memory => ("memory.max", value.to_string()),
            Control::Cpus => ("cpu.max", quota(value)),
            _ => ("pids.max", value.to_string()),
        };
        if !knob::has(task, file) {
            return Some(not_handed_on(controller).held(control));
        }
        Some(Held::new(
            control,
            match knob::set(task, file, &text) {
                Err(why) => Standing::absent(why, None),
                Ok(got) if !same(control, &text, &got) => {
                    Standing::absent(format!("{file} says {got} after {text} was written"), None)
                }
                Ok(got) if control == Control::Memory => memory(task, &got, place),
                Ok(got) => Standing::in_force(format!("cgroup v2 {file}={got} ({place})")),
            },
        ))
    };
    CONTROLLERS.into_iter().filter_map(one).collect()
}

/// Memory is rounded down to pages, everything else comes back as it was written.
fn same(control: Control, wrote: &str, got: &str) -> bool {
    match (control, wrote.parse::<u64>(), got.parse::<u64>()) {
        (Control::Memory, Ok(wrote), Ok(got)) => rounded(wrote, got),
        _ => wrote == got,
    }
}

/// Whether `got` is `wrote` rounded down to pages (64 KiB are the largest).
pub(super) fn rounded(wrote: u64, got: u64) -> bool {
    got <= wrote && wrote - got < 1 << 16
}

/// The limit is set; see that swap does not go round it, and that a kill takes the whole run.
fn memory(task: &Path, limit: &str, place: &str) -> Standing {
    let mut by = format!("cgroup v2 memory.max={limit}");
    let swap = knob::set(task, "memory.swap.max", "0");
    if swap.as_deref() == Ok("0") {
        by += " memory.swap.max=0";
    }
    if knob::set(task, "memory.oom.group", "1").as_deref() == Ok("1") {
        by += " memory.oom.group=1";
    }
    by += &format!(" ({place})");
    match swap {
        Err(why) if swapping() => {
            Standing::weaker(by, format!("swap is not counted: {why}"), Some("sudo swapoff -a".into()))
        }
        _ => Standing::in_force(by),
    }
}

/// Whether this host has any swap: one line of headings, then one for each.
pub(super) fn swapping() -> bool {
    fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
}

/// `quota period` in microseconds. The kernel takes no quota under a millisecond: a longer period
/// makes room for the smallest shares.
pub(super) fn quota(milli: u64) -> String {
    let (quota, period) = shares(milli);
    format!("{quota} {period}")
}

pub(super) fn shares(milli: u64) -> (u64, u64) {
    if milli < 10 { (milli * 1_000, 1_000_000) } else { (milli.saturating_mul(100), 100_000) }
}

fn watch(task: &Path) -> rustix::io::Result<OwnedFd> {
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&fd, task.join("memory.events"), inotify::WatchFlags::MODIFY)?;
    Ok(fd)
}

pub(super) fn oom_kills(task: &Path) -> u64 {
    knob::entry(task, "memory.events", "oom_kill").unwrap_or(0)
}

pub(super) fn usage(task: &Path) -> Usage {
    Usage {
        wall_ms: 0,
        cpu_user_us: knob::entry(task, "cpu.stat", "user_usec"),
        cpu_system_us: knob::entry(task, "cpu.stat", "system_usec"),
        memory_peak: knob::number(task, "memory.peak"),
        pids_peak: knob::number(task, "pids.peak"),
        pids_refused: knob::entry(task, "pids.events", "max"),
        cpu_throttled: knob::entry(task, "cpu.stat", "nr_throttled"),
    }
}

/// Why a group of this user's lacks a controller, and what mends it.
pub(super) fn not_handed_on(controller: &str) -> Lack {
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return Lack::new(format!("the kernel gives no cgroup v2 controller {controller} to this group"))
            .remedy(format!("boot with the kernel parameter cgroup_enable={controller}"));
    }
    let drop_in = "/etc/systemd/system/user@.service.d";
    Lack::new(format!("the cgroup v2 controller {controller} is not delegated to user {uid}")).remedy(format!(
        "sudo mkdir -p {drop_in} && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | \
         sudo tee {drop_in}/delegate.conf && sudo systemctl daemon-reload && sudo systemctl restart user@{uid}.service"
    ))
}

/// The command that makes a group for this user and moves the shell into it.
fn delegate_here(spot: &Spot) -> String {
    let uid = nix::unistd::geteuid();
    let top = spot.top.display();
    let on = "+memory +cpu +pids";
    if uid.is_root() && !is_root(&spot.top) {
        // A container's own root group: its processes must sit in a leaf before it can hand on.
        return format!(
            "mkdir -p {top}/init; for p in $(cat {top}/cgroup.procs); do echo $p > {top}/init/cgroup.procs; done 2>/dev/null; \
             echo {on} > {top}/cgroup.subtree_control"
        );
    }
    let new = format!("{top}/aido.{uid}");
    format!(
        "sudo sh -c 'echo {on} > {top}/cgroup.subtree_control && mkdir -p {new}/shell && \
         echo {on} > {new}/cgroup.subtree_control && chown -R {uid} {new} && echo '$$' > {new}/shell/cgroup.procs'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_never_below_what_the_kernel_takes() {
        assert_eq!(quota(1500), "150000 100000");
        assert_eq!(quota(10), "1000 100000");
        assert_eq!(quota(1), "1000 1000000");
        assert_eq!(quota(9), "9000 1000000");
        quota(u64::MAX);
    }

    #[test]
    fn only_rounding_to_pages_passes_for_the_same() {
        assert!(same(Control::Memory, "10000", "8192"));
        assert!(!same(Control::Memory, "10000", "12288"), "more than was asked");
        assert!(!same(Control::Memory, "1000000", "4096"));
        assert!(!same(Control::Memory, "10000", "max"));
        assert!(!same(Control::Pids, "100", "99"));
        assert!(!same(Control::Cpus, "1000 100000", "max 100000"));
    }

    #[test]
    fn a_folder_that_is_no_group_yields_no_limit() {
        let folder = tempfile::tempdir().unwrap();
        let want = Want { memory: Some(1 << 20), cpus_milli: None, pids: Some(5) };
        let held = limit(folder.path(), &want, "test");
        assert_eq!(held.len(), 2);
        assert!(held.iter().all(|h| h.standing.force == aido_runtime::Force::Absent && h.standing.remedy.is_some()));
    }

    #[test]
    fn a_value_that_the_file_does_not_keep_is_not_in_force() {
        let folder = tempfile::tempdir().unwrap();
        // A write that lands in front of older bytes reads back as something else.
        fs::write(folder.path().join("pids.max"), "99999").unwrap();
        let held = limit(folder.path(), &Want { pids: Some(5), ..Want::default() }, "test");
        assert_eq!(held[0].standing.force, aido_runtime::Force::Absent, "{held:?}");
        assert!(held[0].standing.why.as_ref().unwrap().contains("59999"), "{held:?}");
    }
}
