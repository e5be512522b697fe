//! Where this process stands in the control groups, from `/proc/self/{cgroup,mountinfo}` alone.
//!
//! No path is a constant: distributions mount v1 controllers alone or together, containers see a
//! part of the tree, and a group named by `/proc` may lie outside of what is mounted.

use super::knob;
use super::want::Lack;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// The group that is seen at `point`.
    root: PathBuf,
    point: PathBuf,
    version: u8,
    /// What the mount says; on v1 the controllers are among them.
    options: Vec<String>,
}

/// One line of `/proc/self/cgroup`: v2 has no controllers there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    controllers: Vec<String>,
    path: PathBuf,
}

/// This process's group in one hierarchy, as a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) own: PathBuf,
    /// Where the hierarchy is mounted; `own` is this folder or below it.
    pub(super) top: PathBuf,
}

/// The two files, read once.
pub(super) struct Map {
    mounts: Vec<Mount>,
    members: Vec<Member>,
}

impl Map {
    pub(super) fn read() -> Result<Map, Lack> {
        let file = |path: &str| knob::text(Path::new(path)).map_err(|e| Lack::at(Path::new(path), &e));
        Ok(Map {
            mounts: mounts(file("/proc/self/mountinfo")?.as_bytes()),
            members: members(file("/proc/self/cgroup")?.as_bytes()),
        })
    }

    /// The group in the one hierarchy of version 2.
    pub(super) fn v2(&self) -> Result<Spot, Lack> {
        let member = self.members.iter().find(|m| m.controllers.is_empty());
        self.spot(member, "cgroup v2", |m| m.version == 2)
    }

    /// The group in the version 1 hierarchy of this controller.
    pub(super) fn v1(&self, controller: &str) -> Result<Spot, Lack> {
        let member = self.members.iter().find(|m| m.controllers.iter().any(|c| c == controller));
        let what = format!("the cgroup v1 controller {controller}");
        self.spot(member, &what, |m| m.version == 1 && m.options.iter().any(|o| o == controller))
    }

    fn spot(&self, member: Option<&Member>, what: &str, fits: impl Fn(&Mount) -> bool) -> Result<Spot, Lack> {
        let member = member.ok_or_else(|| Lack::new(format!("{what} is not offered by this kernel")))?;
        let mut mounts = self.mounts.iter().rev().filter(|m| fits(m)).peekable();
        if mounts.peek().is_none() {
            return Err(Lack::new(format!("{what} is not mounted here")));
        }
        // The last mount is the one on top where several share a mount point.
        mounts
            .filter_map(|m| Some(Spot { own: m.folder(&member.path)?, top: m.point.clone() }))
            .find(|spot| spot.own.to_str().is_some() && spot.own.is_dir())
            .ok_or_else(|| {
                Lack::new(format!("this process's group of {what}, {}, is not among the mounts", member.path.display()))
            })
    }
}

impl Mount {
    /// The folder of a group that `/proc` names, if this mount shows it.
    fn folder(&self, group: &Path) -> Option<PathBuf> {
        let below = group.strip_prefix(&self.root).ok()?;
        // "/.." stands for a group above the root of the cgroup namespace: not ours to walk.
        let plain = below.components().all(|c| matches!(c, Component::Normal(_)));
        plain.then(|| if below.as_os_str().is_empty() { self.point.clone() } else { self.point.join(below) })
    }
}

fn mounts(text: &[u8]) -> Vec<Mount> {
    text.split(|b| *b == b'\n').filter_map(mount).collect()
}

/// `id parent dev root point options [optional …] - type source super-options`
fn mount(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let dash = 6 + fields.get(6..)?.iter().position(|f| *f == b"-")?;
    let version = match *fields.get(dash + 1)? {
        b"cgroup" => 1,
        b"cgroup2" => 2,
        _ => return None,
    };
    let options = String::from_utf8_lossy(fields.get(dash + 3)?);
    Some(Mount {
        root: unescape(fields[3]),
        point: unescape(fields[4]),
        version,
        options: options.split(',').map(str::to_string).collect(),
    })
}

/// The kernel writes space, tab, line end and backslash as `\` and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let digit = |i: usize| tail.get(i).filter(|b| (b'0'..=b'7').contains(*b)).map(|b| u32::from(b - b'0'));
        match (*first == b'\\').then(|| Some(digit(0)? * 64 + digit(1)? * 8 + digit(2)?)).flatten() {
            Some(code) if code < 256 => {
                bytes.push(code as u8);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// `id:controllers:path`; the path may hold colons.
fn members(text: &[u8]) -> Vec<Member> {
    text.split(|b| *b == b'\n')
        .filter_map(|line| {
            let mut fields = line.splitn(3, |b| *b == b':').skip(1);
            let controllers = String::from_utf8_lossy(fields.next()?);
            let path = PathBuf::from(OsString::from_vec(fields.next()?.to_vec()));
            let controllers = controllers.split(',').filter(|c| !c.is_empty()).map(str::to_string).collect();
            Some(Member { controllers, path })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(mountinfo: &str, cgroup: &str) -> Map {
        Map { mounts: mounts(mountinfo.as_bytes()), members: members(cgroup.as_bytes()) }
    }

    fn folder(root: &str, point: &str, group: &str) -> Option<PathBuf> {
        Mount { root: root.into(), point: point.into(), version: 2, options: vec![] }.folder(Path::new(group))
    }

    #[test]
    fn a_line_is_read_whatever_its_optional_fields_are() {
        let plain = "31 23 0:26 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
        let shared = "31 23 0:26 / /sys/fs/cgroup rw shared:8 master:3 propagate_from:2 - cgroup2 cgroup rw\n";
        for text in [plain, shared] {
            let found = mounts(text.as_bytes());
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!((found[0].version, found[0].point.as_path()), (2, Path::new("/sys/fs/cgroup")));
        }
    }

    #[test]
    fn foreign_and_broken_lines_are_passed_over() {
        let text = "\n- - -\n22 1 0:1 / / rw - ext4 /dev/vda rw\n40 31 0:30 / /x rw cgroup cgroup rw\n\
                    41 31 0:30 / /trap rw - ext4 cgroup rw,memory\n42 31 0:30 /\n43 31 0:30 / /y rw - cgroup\n";
        assert_eq!(mounts(text.as_bytes()), vec![]);
    }

    #[test]
    fn escapes_are_undone_once() {
        assert_eq!(unescape(br"/my\040group\134040\011"), Path::new("/my group\\040\t"));
        assert_eq!(unescape(br"/short\04"), Path::new(r"/short\04"));
        assert_eq!(unescape(br"/big\777"), Path::new(r"/big\777"));
    }

    #[test]
    fn a_group_name_may_hold_colons_and_spaces() {
        let found = members(b"7:cpu,cpuacct:/a:b c\n1:name=systemd:/x\n0::/user.slice\nbroken\n");
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(found[0].path, Path::new("/a:b c"));
        assert!(found[2].controllers.is_empty());
    }

    #[test]
    fn a_group_is_found_through_the_root_of_its_mount() {
        assert_eq!(folder("/", "/m", "/"), Some("/m".into()));
        assert_eq!(folder("/", "/m", "/a/b"), Some("/m/a/b".into()));
        assert_eq!(folder("/docker/1", "/m", "/docker/1"), Some("/m".into()));
        assert_eq!(folder("/docker/1", "/m", "/docker/1/x"), Some("/m/x".into()));
        assert_eq!(folder("/docker/1", "/m", "/docker/12"), None, "a prefix of letters is not a parent");
        assert_eq!(folder("/docker/1", "/m", "/"), None);
        assert_eq!(folder("/", "/m", "/../other"), None, "above the cgroup namespace");
        assert_eq!(folder("/..", "/m", "/../other"), Some("/m/other".into()));
        assert_eq!(folder("/..", "/m", "/../../other"), None);
    }

    #[test]
    fn the_controller_is_matched_as_a_whole_word_and_on_its_own_version() {
        let here = tempfile::tempdir().unwrap();
        let at = here.path().display();
        let text = format!(
            "1 0 0:1 / {at} rw - cgroup cgroup rw,cpuset\n2 0 0:1 / /nowhere rw - cgroup cgroup rw,memory\n\
             3 0 0:1 / {at} rw - cgroup2 cgroup2 rw\n4 0 0:1 / {at} rw,cpu - cgroup cgroup rw,cpuacct\n"
        );
        let map = map(&text, "3:cpuset:/\n2:cpu,cpuacct:/\n4:memory:/\n0::/\n");
        assert_eq!(map.v2().unwrap().own, here.path());
        assert_eq!(map.v1("cpuset").unwrap().own, here.path());
        assert_eq!(map.v1("cpuacct").unwrap().own, here.path());
        assert!(map.v1("cpu").unwrap_err().why.contains("not mounted"), "the options of the mount do not count");
        assert!(map.v1("memory").unwrap_err().why.contains("not among the mounts"), "its folder is not there");
        assert!(map.v1("pids").unwrap_err().why.contains("not offered"));
    }

    #[test]
    fn the_mount_on_top_wins_and_a_useless_one_is_skipped() {
        let (low, high) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let text = format!(
            "1 0 0:1 / {} rw - cgroup2 a rw\n2 0 0:1 / {} rw - cgroup2 b rw\n3 0 0:1 /other /tmp rw - cgroup2 c rw\n",
            low.path().display(),
            high.path().display()
        );
        assert_eq!(map(&text, "0::/\n").v2().unwrap().own, high.path());
    }

    #[test]
    fn a_removed_group_is_not_taken_for_a_folder() {
        let here = tempfile::tempdir().unwrap();
        let text = format!("1 0 0:1 / {} rw - cgroup2 a rw\n", here.path().display());
        assert!(map(&text, "0::/gone (deleted)\n").v2().is_err());
    }

    #[test]
    fn this_host_is_read_without_a_constant() {
        let map = Map::read().unwrap();
        let known = [map.v2(), map.v1("memory"), map.v1("pids"), map.v1("cpu")];
        for spot in known.iter().flatten() {
            assert!(spot.own.starts_with(&spot.top) && spot.own.join("cgroup.procs").exists(), "{spot:?}");
        }
    }
}
