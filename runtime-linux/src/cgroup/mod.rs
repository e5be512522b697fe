//! Bounds on memory, processors and processes for a run as a whole: control groups.
//!
//! Ways, in this order, each named in what is reported:
//! 1. version 2 with systemd: a transient scope that systemd makes for this user and hands over;
//! 2. version 2 without: a group above this process that is writable and hands controllers on;
//! 3. version 1, also where version 2 is mounted beside it without controllers: a group for each
//!    controller, below this process's own or below one that root gave to this user.
//!
//! A control is called in force only after its file was read back.
//!
//! # Why not cgroups-rs
//!
//! Its limits and statistics are a dozen writes and reads, which is what is left here after the
//! parts that it lacks: its D-Bus side speaks to the system bus only, so an ordinary user gets no
//! scope; `/sys/fs/cgroup` is a constant; a hybrid host counts as version 1 even where version 2
//! has the controllers; it has no descriptor for CLONE_INTO_CGROUP, no `memory.oom.group`, and
//! no reading back; and it unwraps what `/proc` says. Measured with version 0.5: 73 crates, an
//! asynchronous D-Bus stack among them, and 176 KiB in a stripped release binary.

mod bus;
mod ending;
mod knob;
mod place;
mod scope;
mod v1;
mod v2;
mod want;

#[cfg(test)]
mod live;

pub(crate) use want::{Held, Want};

use aido_runtime::{Control, Standing, Usage};
use place::{Map, Spot};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use want::{CONTROLLERS, Lack};

/// So many groups one run has at most, each with an entrance.
pub(crate) const ENTRANCES: usize = 4;

/// The group of one run. Dropping it removes nothing: [`Group::remove`] does, or [`destroy`].
pub(crate) struct Group(Kind);

enum Kind {
    V1(v1::Groups),
    V2(v2::Task),
}

/// Which version has the controllers here.
enum Host {
    V1(Map),
    V2(Spot),
}

/// What this host has, looked at once for a run.
pub(crate) struct Here(Result<Host, Lack>);

impl Here {
    pub(crate) fn look() -> Here {
        Here(Host::look())
    }
}

impl Host {
    fn look() -> Result<Host, Lack> {
        let map = Map::read()?;
        let known = |spot: &Spot| {
            CONTROLLERS.iter().any(|(_, c)| knob::words(&spot.top, "cgroup.controllers").iter().any(|w| w == c))
        };
        match map.v2() {
            Ok(spot) if known(&spot) => Ok(Host::V2(spot)),
            two => match CONTROLLERS.iter().map(|(_, c)| map.v1(c)).find(Result::is_ok) {
                Some(_) => Ok(Host::V1(map)),
                None => Err(no_hierarchy(two.err())),
            },
        }
    }
}

fn no_hierarchy(two: Option<Lack>) -> Lack {
    let why = two.map_or("cgroup v2 has no memory, cpu or pids controller".to_string(), |lack| lack.why);
    Lack::new(format!("{why}; nor is a cgroup v1 hierarchy of these mounted"))
        .remedy("sudo mkdir -p /sys/fs/cgroup && sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup")
}

/// What this host gives this user. Makes nothing.
pub(crate) fn probe() -> Vec<Held> {
    let one = |control, found: Result<String, Lack>| match found {
        Ok(by) => Held::new(control, Standing::in_force(by)),
        Err(lack) => lack.held(control),
    };
    match Host::look() {
        Err(lack) => CONTROLLERS.iter().map(|(control, _)| lack.held(*control)).collect(),
        Ok(Host::V1(map)) => CONTROLLERS
            .iter()
            .map(|(control, name)| {
                let found = v1::probe(&map, name).map(|dir| format!("cgroup v1 {name}, a group in {}", dir.display()));
                one(*control, found)
            })
            .collect(),
        Ok(Host::V2(spot)) => {
            let given = two_gives(&spot);
            let found = |name: &str| match &given {
                Ok((place, names)) if names.iter().any(|n| n == name) => Ok(format!("cgroup v2 {name}, {place}")),
                Ok(_) => Err(v2::not_handed_on(name)),
                Err(lack) => Err(lack.clone()),
            };
            CONTROLLERS.iter().map(|(control, name)| one(*control, found(name))).collect()
        }
    }
}

/// Where a group of version 2 would stand, and the controllers it would have.
fn two_gives(spot: &Spot) -> Result<(String, Vec<String>), Lack> {
    match scope::manager_group() {
        Ok((bus, group)) => {
            let folder = spot.top.join(group.trim_start_matches('/'));
            Ok((
                format!("a systemd scope asked for over {}", bus.display()),
                knob::words(&folder, "cgroup.controllers"),
            ))
        }
        Err(first) => {
            let parent = v2::parent(spot).map_err(|lack| both(first, lack))?;
            Ok((format!("a group in {}", parent.display()), v2::given(&parent)))
        }
    }
}

/// Two ways failed: both reasons, and the remedy that makes the better way work.
fn both(scope: Lack, below: Lack) -> Lack {
    let remedy = scope.remedy.or(below.remedy.clone());
    Lack { remedy, ..below.after(scope.why) }
}

/// What [`destroy`] needs when this process dies while it makes the group `name`: where that may come to stand. A
/// scope is not among it: systemd takes one away that nobody is in.
pub(crate) fn places(here: &Here, name: &str) -> Option<String> {
    let folders = match here.0.as_ref().ok()? {
        Host::V1(map) => v1::places(map, name),
        Host::V2(spot) => vec![v2::parent(spot).ok()?.join(name)],
    };
    let any = ending::is_name(name) && !folders.is_empty();
    any.then(|| ending::Leftover::new(folders, false).to_json())
}

/// Makes the group `name` (`aido-…`) and sets what is wanted; for each control, what became of it.
/// This process may be moved into another group, where it stays to its end. systemd ends what is
/// left of the run, this process included, after `lives_ms`: time limit, grace and a margin.
pub(crate) fn create(here: Here, name: &str, want: &Want, lives_ms: u64) -> (Option<Group>, Vec<Held>) {
    if !ending::is_name(name) {
        return (None, want.all_lack(&Lack::new(format!("`{name}` cannot be the name of a control group"))));
    }
    be_killable();
    match here.0 {
        Err(lack) => (None, want.all_lack(&lack)),
        Ok(Host::V1(map)) => {
            let (groups, held) = v1::Groups::make(&map, name, want);
            let any = !groups.folders().is_empty();
            (any.then_some(Group(Kind::V1(groups))), held)
        }
        Ok(Host::V2(spot)) => match v2::in_scope(name, lives_ms)
            .or_else(|first| v2::below(&spot, name).map_err(|lack| both(first, lack)))
        {
            Err(lack) => (None, want.all_lack(&lack)),
            Ok(task) => {
                let place = match task.scope {
                    true => format!("systemd scope {name}.scope"),
                    false => format!("group {}", task.folder.display()),
                };
                let held = v2::limit(&task.folder, want, &place);
                (Some(Group(Kind::V2(task))), held)
            }
        },
    }
}

/// What starts aido may be exempt from the kernel's kills for want of memory (services with
/// `OOMScoreAdjust`), and children inherit that: at its bound such a task would stall, and not end.
fn be_killable() {
    let this = Path::new("/proc/self");
    let exempt = knob::read(this, "oom_score_adj").is_ok_and(|adjust| adjust.starts_with('-'));
    if exempt {
        // Giving an exemption up is always allowed.
        let _ = knob::write(this, "oom_score_adj", "0");
    }
}

impl Group {
    /// The task's folder for CLONE_INTO_CGROUP; without it, [`Group::add`].
    pub(crate) fn clone_into(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Kind::V1(_) => None,
            Kind::V2(task) => Some(task.descriptor.as_fd()),
        }
    }

    /// Version 1: what a process writes `0` to, to come in by itself. On version 2 there is none.
    pub(crate) fn entrances(&self) -> io::Result<Vec<OwnedFd>> {
        match &self.0 {
            Kind::V1(groups) => groups.entrances(),
            Kind::V2(_) => Ok(Vec::new()),
        }
    }

    /// Moves a process in. What it used before is not counted, so do it before it is released.
    pub(crate) fn add(&self, pid: i32) -> io::Result<()> {
        match &self.0 {
            Kind::V1(groups) => groups.add(pid),
            Kind::V2(task) => knob::write(&task.folder, "cgroup.procs", &pid.to_string())
                .map_err(|e| io::Error::new(e.kind(), format!("process {pid} into {}: {e}", task.folder.display()))),
        }
    }

    /// For each control that has a group here: its folder, if this process is in it, or as an error if not.
    pub(crate) fn holds(&self, pid: i32) -> Vec<(Control, Result<PathBuf, PathBuf>)> {
        let folders: Vec<(Control, PathBuf)> = match &self.0 {
            Kind::V1(groups) => groups.by_control(),
            Kind::V2(task) => {
                let given = |file: &str| knob::has(&task.folder, file);
                let files = [(Control::Memory, "memory.max"), (Control::Cpus, "cpu.max"), (Control::Pids, "pids.max")];
                files.into_iter().filter(|(_, file)| given(file)).map(|(c, _)| (c, task.folder.clone())).collect()
            }
        };
        let pid = pid.to_string();
        let inside = |folder: &PathBuf| knob::words(folder, "cgroup.procs").contains(&pid);
        folders
            .into_iter()
            .map(|(control, folder)| (control, if inside(&folder) { Ok(folder) } else { Err(folder) }))
            .collect()
    }

    /// Readable (POLLIN) when memory ran short: an eventfd on version 1, inotify on
    /// `memory.events` on version 2, which also speaks of lesser events. Either way ask
    /// [`Group::oom_kills`], which takes the notice away. On version 1 the kernel kills one
    /// process only: the rest is the caller's to [`Group::kill`].
    pub(crate) fn oom_watch(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Kind::V1(groups) => groups.notice.as_ref().map(AsFd::as_fd),
            Kind::V2(task) => task.notice.as_ref().map(AsFd::as_fd),
        }
    }

    /// How many processes the kernel killed for want of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let noticed = self.oom_watch().is_some_and(drain);
        let count = || match &self.0 {
            Kind::V1(groups) => groups.oom_kills(),
            Kind::V2(task) => v2::oom_kills(&task.folder),
        };
        // Version 1 gives notice before it kills: wait a little for the count to move.
        let until = Instant::now() + Duration::from_millis(50);
        while noticed && matches!(self.0, Kind::V1(_)) && count() == 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        count()
    }

    /// What the run used so far. Read it before [`Group::remove`]. `wall_ms` is the caller's.
    pub(crate) fn usage(&self) -> Usage {
        match &self.0 {
            Kind::V1(groups) => groups.usage(),
            Kind::V2(task) => v2::usage(&task.folder),
        }
    }

    /// Kills everything in the group and waits until it is empty; false if a process outlasted two
    /// seconds. Not the supervisor: it is never in.
    pub(crate) fn kill(&self) -> bool {
        ending::kill(&self.task_folders())
    }

    /// What [`destroy`] needs when this process dies.
    pub(crate) fn leftover(&self) -> String {
        match &self.0 {
            Kind::V1(groups) => ending::Leftover::new(groups.folders(), false),
            Kind::V2(task) => ending::Leftover::new(vec![task.outer.clone()], task.scope),
        }
        .to_json()
    }

    /// Takes the folders away, and ends what is still in them. A scope ends with this process.
    pub(crate) fn remove(self) -> io::Result<()> {
        let folders = self.task_folders();
        // The kernel removes no group that somebody is in, so that one that goes held nobody.
        if folders.iter().all(|folder| std::fs::remove_dir(folder).is_ok()) {
            return Ok(());
        }
        ending::kill(&folders);
        ending::remove(&folders)
    }

    fn task_folders(&self) -> Vec<PathBuf> {
        match &self.0 {
            Kind::V1(groups) => groups.folders(),
            Kind::V2(task) => vec![task.folder.clone()],
        }
    }
}

/// Takes all notices from a descriptor; whether there was one.
fn drain(notice: BorrowedFd<'_>) -> bool {
    let mut buffer = [0u8; 4096];
    let mut any = false;
    while rustix::io::read(notice, &mut buffer).is_ok_and(|count| count > 0) {
        any = true;
    }
    any
}

/// Kills and removes what a crashed supervisor left. What is gone already is no error.
pub(crate) fn destroy(leftover: &str) -> io::Result<()> {
    ending::destroy(leftover)
}
