//! Groups of version 1: one hierarchy for each controller, each found and allowed for itself.

use super::knob;
use super::place::{Map, Spot};
use super::v2::{rounded, shares, swapping};
use super::want::{CONTROLLERS, Held, Lack, Want};
use crate::cause;
use aido_runtime::{Control, Standing, Usage};
use nix::sys::eventfd::{EfdFlags, EventFd};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The task's groups; several may be one folder where controllers are mounted together.
#[derive(Default)]
pub(super) struct Groups {
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
    pids: Option<PathBuf>,
    /// Counts processor time; holds nothing back.
    account: Option<PathBuf>,
    pub(super) notice: Option<EventFd>,
}

impl Groups {
    /// Makes the groups that this user may make, and sets what is wanted.
    pub(super) fn make(map: &Map, name: &str, want: &Want) -> (Groups, Vec<Held>) {
        let mut groups = Groups::default();
        let mut held = Vec::new();
        for (control, controller) in CONTROLLERS {
            let made = make(map, controller, name);
            if let Some(value) = want.of(control) {
                let standing = match &made {
                    Ok(folder) => limit(folder, control, value),
                    Err(lack) => lack.standing(),
                };
                held.push(Held::new(control, standing));
            }
            let place = match control {
                Control::Memory => &mut groups.memory,
                Control::Cpus => &mut groups.cpu,
                _ => &mut groups.pids,
            };
            *place = made.ok();
        }
        groups.account = make(map, "cpuacct", name).ok();
        groups.notice = groups.memory.as_ref().and_then(|folder| watch(folder).ok());
        (groups, held)
    }

    /// Each folder once.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let mut all: Vec<_> =
            [&self.memory, &self.cpu, &self.pids, &self.account].into_iter().flatten().cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    /// The groups that bound something.
    pub(super) fn by_control(&self) -> Vec<(Control, PathBuf)> {
        let all = [(Control::Memory, &self.memory), (Control::Cpus, &self.cpu), (Control::Pids, &self.pids)];
        all.into_iter().filter_map(|(control, folder)| Some((control, folder.clone()?))).collect()
    }

    /// The files by which a single thread comes in, whoever may write them: the kernel asks who opened them.
    pub(super) fn entrances(&self) -> io::Result<Vec<OwnedFd>> {
        let open = |folder: &PathBuf| {
            let path = folder.join("tasks");
            let file = fs::OpenOptions::new().write(true).open(&path);
            file.map(OwnedFd::from).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
        };
        self.folders().iter().map(open).collect()
    }

    pub(super) fn add(&self, pid: i32) -> io::Result<()> {
        self.folders().iter().try_for_each(|folder| {
            knob::write(folder, "cgroup.procs", &pid.to_string())
                .map_err(|e| io::Error::new(e.kind(), format!("process {pid} into {}: {e}", folder.display())))
        })
    }

    pub(super) fn oom_kills(&self) -> u64 {
        self.memory.as_ref().and_then(|dir| knob::entry(dir, "memory.oom_control", "oom_kill")).unwrap_or(0)
    }

    pub(super) fn usage(&self) -> Usage {
        let time = |file| self.account.as_ref().and_then(|dir| knob::number(dir, file)).map(|ns| ns / 1000);
        Usage {
            wall_ms: 0,
            cpu_user_us: time("cpuacct.usage_user"),
            cpu_system_us: time("cpuacct.usage_sys"),
            memory_peak: self.memory.as_ref().and_then(|dir| knob::number(dir, "memory.max_usage_in_bytes")),
            pids_peak: self.pids.as_ref().and_then(|dir| knob::number(dir, "pids.peak")),
            pids_refused: self.pids.as_ref().and_then(|dir| knob::entry(dir, "pids.events", "max")),
            cpu_throttled: self.cpu.as_ref().and_then(|dir| knob::entry(dir, "cpu.stat", "nr_throttled")),
        }
    }
}

/// Says what [`make`] would do, and makes nothing.
pub(super) fn probe(map: &Map, controller: &str) -> Result<PathBuf, Lack> {
    let spot = map.v1(controller)?;
    let writable = |dir: &PathBuf| accessat(CWD, dir, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok();
    parents(&spot).find(writable).ok_or_else(|| not_allowed(&spot, controller, "no write permission"))
}

/// Where [`Groups::make`] may make groups of this name.
pub(super) fn places(map: &Map, name: &str) -> Vec<PathBuf> {
    let controllers = CONTROLLERS.iter().map(|(_, controller)| *controller).chain(["cpuacct"]);
    let spots = controllers.filter_map(|controller| map.v1(controller).ok()).collect::<Vec<_>>();
    let mut all: Vec<_> = spots.iter().flat_map(parents).map(|parent| parent.join(name)).collect();
    all.sort();
    all.dedup();
    all
}

/// Makes the group; one that stands already, mounted together with another controller, is taken.
fn make(map: &Map, controller: &str, name: &str) -> Result<PathBuf, Lack> {
    let spot = map.v1(controller)?;
    let mut refused = String::new();
    for parent in parents(&spot) {
        let folder = parent.join(name);
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(folder),
            Err(e) if refused.is_empty() => refused = e.to_string(),
            Err(_) => {}
        }
    }
    Err(not_allowed(&spot, controller, &refused))
}

/// Where a new group may stand: below this process's own, or below a group called `aido.UID` that
/// root made for this user there or further up, which is looked for only where the first will not do. Version 1 asks for
/// no more than the right to write.
fn parents(spot: &Spot) -> impl Iterator<Item = PathBuf> {
    let given = format!("aido.{}", nix::unistd::geteuid());
    let above = spot.own.ancestors().take_while(|dir| dir.starts_with(&spot.top));
    let granted = above.map(move |dir| dir.join(&given)).filter(|dir| dir.is_dir());
    std::iter::once(spot.own.clone()).chain(granted)
}

fn not_allowed(spot: &Spot, controller: &str, why: &str) -> Lack {
    let uid = nix::unistd::geteuid();
    let lack =
        Lack::new(format!("user {uid} may make no {controller} group (cgroup v1) in {}: {why}", spot.own.display()));
    if let Some(mend) = cause::groups(&spot.top) {
        return lack.remedy(mend);
    }
    if uid.is_root() {
        return lack.remedy(format!("mount -o remount,rw {}", spot.top.display()));
    }
    let folder = spot.top.join(format!("aido.{uid}"));
    let folder = folder.display();
    lack.remedy(format!("sudo mkdir -p {folder} && sudo chown {uid} {folder}"))
}

fn limit(folder: &Path, control: Control, value: u64) -> Standing {
    let held = match control {
        Control::Memory => memory(folder, value),
        Control::Cpus => cpu(folder, value),
        _ => written(folder, "pids.max", value, |got| got == value)
            .map(|by| Standing::in_force(format!("cgroup v1 {by}"))),
    };
    held.unwrap_or_else(|why| Standing::absent(why, None))
}

/// Writes a number, reads it back, and answers `file=number` if it is as wanted.
fn written(folder: &Path, file: &str, value: u64, good: impl Fn(u64) -> bool) -> Result<String, String> {
    let got = knob::set(folder, file, &value.to_string())?;
    match got.parse() {
        Ok(number) if good(number) => Ok(format!("{file}={got}")),
        _ => Err(format!("{file} says {got} after {value} was written")),
    }
}

/// Memory, then memory and swap together at the same figure: no swap. Where swap is not counted, a
/// swappiness of 0 keeps this group out of it.
fn memory(folder: &Path, value: u64) -> Result<Standing, String> {
    let page = |got| rounded(value, got);
    let by = format!("cgroup v1 {}", written(folder, "memory.limit_in_bytes", value, page)?);
    let swap = match written(folder, "memory.memsw.limit_in_bytes", value, page) {
        Err(_) if !knob::has(folder, "memory.memsw.limit_in_bytes") => {
            written(folder, "memory.swappiness", 0, |got| got == 0)
        }
        told => told,
    };
    Ok(match swap {
        Ok(swap) => Standing::in_force(format!("{by} {swap}")),
        Err(why) if swapping() => {
            Standing::weaker(by, format!("swap is not counted: {why}"), Some("sudo swapoff -a".into()))
        }
        Err(_) => Standing::in_force(by),
    })
}

fn cpu(folder: &Path, milli: u64) -> Result<Standing, String> {
    let (quota, period) = shares(milli);
    let period = written(folder, "cpu.cfs_period_us", period, |got| got == period)?;
    let quota = written(folder, "cpu.cfs_quota_us", quota, |got| got == quota)?;
    Ok(Standing::in_force(format!("cgroup v1 {quota} {period}")))
}

/// An event counter that the kernel raises when the group runs out of memory.
fn watch(folder: &Path) -> io::Result<EventFd> {
    let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    // The kernel keeps what it needs of this file; ours is closed on return.
    let control = File::open(folder.join("memory.oom_control"))?;
    knob::write(folder, "cgroup.event_control", &format!("{} {}", event.as_raw_fd(), control.as_raw_fd()))?;
    Ok(event)
}
