//! Which ids of the host stand behind the ids of a sandbox.

use crate::subordinate::{Subordinate, find_helper, ranges};
use aido_image::Ownership;
use aido_runtime::{Error, Identity};
use std::process::{Command, Stdio};

/// A map of ids: `inside outside count`, one extent a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdMap {
    /// One id: whoever the task is, it is the caller on the host.
    Single { uid: u32, gid: u32 },
    /// The caller as 0 and a range of subordinate ids from 1 on, written by `newuidmap`.
    Range { uids: Subordinate, gids: Subordinate },
    /// All that the caller, who is root of more than itself, has: the ids are the same inside and outside.
    Same { uids: String, gids: String },
}

impl IdMap {
    /// The map for this caller and task. Only an image has owners that matter.
    pub(crate) fn choose(identity: &Identity, image: bool) -> Result<IdMap, Error> {
        if rustix::process::geteuid().is_root() {
            let read = |name: &str| {
                std::fs::read_to_string(format!("/proc/self/{name}")).map_err(|e| Error::new(format!("{name}: {e}")))
            };
            let (uids, gids) = (read("uid_map")?, read("gid_map")?);
            if many_ids(&uids, &gids) {
                return Ok(IdMap::Same { uids: same(&uids), gids: same(&gids) });
            }
        }
        match ranges() {
            Some((uids, gids)) if image => Ok(IdMap::Range { uids, gids }),
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
            IdMap::Range { uids, .. } => format!(
                "user namespace, 0 is the caller ({caller}), from 1 on subordinate ids {}..{}",
                uids.first,
                u64::from(uids.first) + u64::from(uids.count)
            ),
            IdMap::Same { .. } => "user namespace with the ids of the caller, who is root".into(),
        }
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
            IdMap::Same { uids, gids } => {
                file("uid_map", uids)?;
                file("gid_map", gids)
            }
            IdMap::Range { uids, gids } => {
                helper("newuidmap", pid, rustix::process::geteuid().as_raw(), *uids)?;
                helper("newgidmap", pid, rustix::process::getegid().as_raw(), *gids)
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

/// Turns `/proc/self/uid_map` into the map that gives every id to itself.
fn same(map: &str) -> String {
    map.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (inside, _, count) = (fields.next()?, fields.next()?, fields.next()?);
            Some(format!("{inside} {inside} {count}\n"))
        })
        .collect()
}

fn helper(name: &str, pid: i32, caller: u32, range: Subordinate) -> Result<(), Error> {
    let program = find_helper(name).ok_or_else(|| Error::new(format!("{name} is gone")))?;
    let numbers = [pid as u32, 0, caller, 1, 1, range.first, range.count].map(|n| n.to_string());
    let done = Command::new(&program).args(numbers).env_clear().stdin(Stdio::null()).output();
    match done {
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
        assert_eq!(same("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(same("0 100000 1000\n5000 1 7\n"), "0 0 1000\n5000 5000 7\n");
    }
}
