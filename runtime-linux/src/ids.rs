//! Which ids of the host stand behind the ids of a sandbox.

use crate::subordinate::{Subordinate, find_helper, ranges};
use aido_image::Ownership;
use aido_runtime::{Error, Identity, MountKind, Plan};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// A map of ids: `inside outside count`, one extent a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdMap {
    /// One id: whoever the task is, it is the caller on the host.
    Single { uid: u32, gid: u32 },
    /// The caller as 0 and a range of subordinate ids from 1 on, written by `newuidmap`. Where the task changes the
    /// caller's files, the caller as the task instead: its number and 0 have changed places.
    Range { uids: Subordinate, gids: Subordinate, caller: (u32, u32) },
    /// All that the caller, who is root of more than itself, has: the ids are the same inside and outside. Where the
    /// task changes somebody's files, that somebody and the task have changed places.
    Same { uids: String, gids: String, swapped: Option<(u32, u32)> },
}

impl IdMap {
    /// The map for a plan. A task that may change files of the host does so as their owner, whoever it is inside.
    pub(crate) fn of(plan: &Plan, image: bool) -> Result<IdMap, Error> {
        let changed = plan.mounts.iter().find_map(|mount| match &mount.kind {
            MountKind::Layered { source, .. } | MountKind::Open { source, .. } => Some(source),
            _ => None,
        });
        let Some(source) = changed else { return IdMap::choose(&plan.identity, image) };
        let found = source.metadata().map_err(|e| Error::new(format!("cannot look at {}: {e}", source.display())))?;
        IdMap::for_owner(&plan.identity, image, Some((found.uid(), found.gid())))
    }

    /// The map for this caller and task. Only an image has owners that matter.
    pub(crate) fn choose(identity: &Identity, image: bool) -> Result<IdMap, Error> {
        IdMap::for_owner(identity, image, None)
    }

    fn for_owner(identity: &Identity, image: bool, owner: Option<(u32, u32)>) -> Result<IdMap, Error> {
        if rustix::process::geteuid().is_root() {
            let read = |name: &str| {
                std::fs::read_to_string(format!("/proc/self/{name}")).map_err(|e| Error::new(format!("{name}: {e}")))
            };
            let (uids, gids) = (read("uid_map")?, read("gid_map")?);
            if many_ids(&uids, &gids) {
                let (uid, gid) = owner.unwrap_or((identity.uid, identity.gid));
                let swapped = owner.filter(|owner| *owner != (identity.uid, identity.gid));
                let (uids, gids) = (same(&uids, identity.uid, uid), same(&gids, identity.gid, gid));
                return Ok(IdMap::Same { uids, gids, swapped });
            }
        }
        match image.then(ranges).flatten() {
            Some((uids, gids)) => {
                let caller = owner.map_or((0, 0), |_| (identity.uid, identity.gid));
                Ok(IdMap::Range { uids, gids, caller })
            }
            _ => Ok(IdMap::Single { uid: identity.uid, gid: identity.gid }),
        }
    }

    /// The task is the caller, and nobody else is there.
    pub(crate) fn single(identity: &Identity) -> IdMap {
        IdMap::Single { uid: identity.uid, gid: identity.gid }
    }

    /// Whether the task may be given supplementary groups, and files other owners than one.
    pub(crate) fn many(&self) -> bool {
        !matches!(self, IdMap::Single { .. })
    }

    /// In the words of the evidence.
    pub(crate) fn words(&self) -> String {
        let caller = rustix::process::geteuid().as_raw();
        match self {
            IdMap::Single { uid, gid } => {
                format!("user namespace, {uid}:{gid} is the caller ({caller}) and no other id")
            }
            IdMap::Range { uids, caller: (uid @ 1.., gid), .. } => format!(
                "user namespace, {uid}:{gid} is the caller ({caller}), whose files the task changes, all others subordinate ids {}..{}",
                uids.first,
                u64::from(uids.first) + u64::from(uids.count)
            ),
            IdMap::Range { uids, .. } => format!(
                "user namespace, 0 is the caller ({caller}), from 1 on subordinate ids {}..{}",
                uids.first,
                u64::from(uids.first) + u64::from(uids.count)
            ),
            IdMap::Same { swapped: Some((uid, gid)), .. } => format!(
                "user namespace with the ids of the caller, who is root; the task is {uid}:{gid}, whose files it changes, and those have its ids"
            ),
            IdMap::Same { .. } => "user namespace with the ids of the caller, who is root".into(),
        }
    }

    /// The extents of users and of groups that helpers write; none where nobody has to.
    pub(crate) fn written(&self) -> Option<[Vec<[u32; 3]>; 2]> {
        let IdMap::Range { uids, gids, caller: (uid, gid) } = self else { return None };
        let (me, mine) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Some([extents(*uid, me, *uids), extents(*gid, mine, *gids)])
    }

    /// Writes the map of a process that waits for it.
    pub(crate) fn write(&self, pid: i32) -> Result<(), Error> {
        let file = |name: &str, text: &str| {
            std::fs::write(format!("/proc/{pid}/{name}"), text).map_err(|e| crate::failure::map_refused(name, &e))
        };
        match self {
            IdMap::Single { uid, gid } => {
                file("setgroups", "deny")?;
                file("uid_map", &format!("{uid} {} 1\n", rustix::process::geteuid().as_raw()))?;
                file("gid_map", &format!("{gid} {} 1\n", rustix::process::getegid().as_raw()))
            }
            IdMap::Same { uids, gids, .. } => {
                file("uid_map", uids)?;
                file("gid_map", gids)
            }
            IdMap::Range { .. } => {
                let [uids, gids] = self.written().unwrap_or_default();
                helper("newuidmap", pid, &uids)?;
                helper("newgidmap", pid, &gids)
            }
        }
    }
}

/// How image layers are to be unpacked by this caller, so that its sandboxes see the right owners.
pub fn image_ownership() -> Ownership {
    // Nothing of an image may lend the rights of an id of the host to whoever finds it there. Those of
    // subordinate ids are nobody's, so there a file may look as the image has it; no-new-privs makes
    // the bits useless inside.
    if root_of_many() {
        Ownership::Keep { set_id: false }
    } else if ranges().is_some() {
        Ownership::Keep { set_id: true }
    } else {
        Ownership::Squash
    }
}

/// The same in words, for a person.
pub(crate) fn owners_words() -> &'static str {
    match image_ownership() {
        Ownership::Keep { .. } if root_of_many() => "all, since the caller is root",
        Ownership::Keep { .. } => "all, by subordinate ids",
        Ownership::Squash => "one, since this user has no subordinate ids to use",
    }
}

/// Whether the caller is root and has other ids too: root of a namespace may be the only one in it.
pub(crate) fn root_of_many() -> bool {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    rustix::process::geteuid().is_root() && many_ids(&read("uid_map"), &read("gid_map"))
}

/// A namespace with one user or one group is made by who had no right to more; groups cannot be given up there.
fn many_ids(uids: &str, gids: &str) -> bool {
    let more_than_one = |map: &str| {
        let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
        counts.fold(0, u64::saturating_add) > 1
    };
    more_than_one(uids) && more_than_one(gids)
}

/// Turns `/proc/self/uid_map` into the map that gives every id to itself, but for two that change places. Where one of
/// them is not there, neither moves.
fn same(map: &str, task: u32, owner: u32) -> String {
    let number = |field: Option<&str>| field?.parse::<u32>().ok();
    let extents: Vec<(u32, u32)> = map
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (inside, _, count) = (number(fields.next())?, fields.next()?, number(fields.next())?);
            Some((inside, count))
        })
        .collect();
    let has = |id: u32| extents.iter().any(|(first, count)| id.checked_sub(*first).is_some_and(|at| at < *count));
    let moved = if task != owner && has(task) && has(owner) { [task.min(owner), task.max(owner)] } else { [0; 2] };
    let mut text = String::new();
    let mut line = |inside: u32, outside: u32, count: u32| {
        if count > 0 {
            text.push_str(&format!("{inside} {outside} {count}\n"));
        }
    };
    for (mut first, mut count) in extents {
        for (id, other) in [(moved[0], moved[1]), (moved[1], moved[0])].into_iter().filter(|(id, other)| id != other) {
            if let Some(before) = id.checked_sub(first).filter(|before| *before < count) {
                line(first, first, before);
                line(id, other, 1);
                (first, count) = (id.wrapping_add(1), count - before - 1);
            }
        }
        line(first, first, count);
    }
    text
}

/// `inside outside count`: the caller is `own`, the subordinate ids are all others from 0 or 1 on.
fn extents(own: u32, caller: u32, range: Subordinate) -> Vec<[u32; 3]> {
    let Subordinate { first, count } = range;
    let all = match own {
        0 => vec![[0, caller, 1], [1, first, count]],
        own if own <= count => {
            vec![[0, first + own - 1, 1], [1, first, own - 1], [own, caller, 1], [own + 1, first + own, count - own]]
        }
        own => vec![[1, first, count], [own, caller, 1]],
    };
    all.into_iter().filter(|[.., count]| *count > 0).collect()
}

/// Has a program write one of the maps, with the rights that this user lacks.
fn helper(name: &str, pid: i32, extents: &[[u32; 3]]) -> Result<(), Error> {
    let program = find_helper(name).ok_or_else(|| Error::new(format!("{name} is gone")))?;
    let numbers = std::iter::once(pid as u32).chain(extents.iter().flatten().copied()).map(|n| n.to_string());
    let mut command = Command::new(&program);
    let command = command.args(numbers).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Error::new(format!(
            "{} refused the id map: {}",
            program.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        ))
        .remedy("check this user's lines in /etc/subuid and /etc/subgid, and that newuidmap may change ids (set-uid or file capabilities)")),
        Err(e) => Err(Error::new(format!("cannot run {}: {e}", program.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_alone_in_its_namespace_has_one_id_to_give() {
        let (all, one) = ("         0          0 4294967295\n", "0 1000 1\n");
        assert!(many_ids(all, all) && many_ids("0 1000 1\n1 100000 65536\n", all));
        assert!(!many_ids(one, all) && !many_ids(all, one) && !many_ids("", ""));
    }

    #[test]
    fn an_identical_map_keeps_the_extents_of_the_caller() {
        assert_eq!(same("         0          0 4294967295\n", 5, 5), "0 0 4294967295\n");
        assert_eq!(same("0 100000 1000\n5000 1 7\n", 0, 0), "0 0 1000\n5000 5000 7\n");
    }

    #[test]
    fn two_ids_change_places_and_no_other_moves() {
        let all = "0 0 4294967295\n";
        assert_eq!(same(all, 1000, 0), "0 1000 1\n1 1 999\n1000 0 1\n1001 1001 4294966294\n");
        assert_eq!(same(all, 1000, 0), same(all, 0, 1000));
        assert_eq!(same("0 100000 1000\n5000 1 7\n", 0, 5006), "0 5006 1\n1 1 999\n5000 5000 6\n5006 0 1\n");
        assert_eq!(same("0 100000 1000\n", 1000, 0), "0 0 1000\n", "one of them is not there");
    }

    #[test]
    fn the_caller_is_whom_it_is_to_be_and_no_id_is_there_twice() {
        let range = Subordinate { first: 100_000, count: 65536 };
        assert_eq!(extents(0, 7, range), [[0, 7, 1], [1, 100_000, 65536]]);
        assert_eq!(extents(1, 7, range), [[0, 100_000, 1], [1, 7, 1], [2, 100_001, 65535]]);
        let middle = [[0, 100_999, 1], [1, 100_000, 999], [1000, 7, 1], [1001, 101_000, 64536]];
        assert_eq!(extents(1000, 7, range), middle);
        assert_eq!(extents(65536, 7, range), [[0, 165_535, 1], [1, 100_000, 65535], [65536, 7, 1]]);
        assert_eq!(extents(70_000, 7, range), [[1, 100_000, 65536], [70_000, 7, 1]]);
    }
}
