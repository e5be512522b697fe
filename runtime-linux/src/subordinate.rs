//! Ranges of ids that `/etc/subuid` and `/etc/subgid` lend to a user, and whether they can be used here.

use crate::cause::Cause;
use crate::facts::Facts;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A range that `/etc/subuid` or `/etc/subgid` gives to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subordinate {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// So many ids images use: all of 16 bits but one.
const ENOUGH: u32 = 65535;
/// Where distributions let subordinate ids begin.
const LOWEST: u32 = 100_000;
/// Where the helpers are; `PATH` has no say in it.
const HELPER_FOLDERS: [&str; 3] = ["/usr/bin", "/bin", "/run/wrappers/bin"];
const HELPERS: [&str; 2] = ["newuidmap", "newgidmap"];
const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// Why a user has no range that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lack {
    NoHelper,
    /// The helper may not change ids: no set-uid bit that counts, no file capability.
    Powerless(PathBuf),
    /// Set-uid helpers, where root itself lacks the right that they need; file capabilities would do.
    SetUid,
    /// This process and its children may gain no rights.
    NoNewPrivileges,
    /// No line for the user, or none that is large enough, in these files.
    NoLine(Vec<&'static str>),
    /// Lent by this file, but not among the ids of the namespace that this is.
    Beyond(&'static str),
}

/// The ranges of users and of groups, where both can be used.
pub(crate) fn ranges() -> Option<(Subordinate, Subordinate)> {
    // Asked several times on the way of a run, and some thirty calls each. It is another question for another user.
    static FOUND: OnceLock<(u32, Option<(Subordinate, Subordinate)>)> = OnceLock::new();
    let user = rustix::process::geteuid().as_raw();
    match FOUND.get_or_init(|| (user, look().ok())) {
        (of, found) if *of == user => *found,
        _ => look().ok(),
    }
}

fn look() -> Result<(Subordinate, Subordinate), Lack> {
    for name in HELPERS {
        let helper = find_helper(name).ok_or(Lack::NoHelper)?;
        match power(&helper) {
            Power::None => return Err(Lack::Powerless(helper)),
            // As root it writes to a namespace of the caller's, which takes more than the right to change ids.
            Power::SetUid if !root_may_administrate() => return Err(Lack::SetUid),
            Power::SetUid | Power::Capability => {}
        }
    }
    if rustix::thread::no_new_privs().unwrap_or(false) {
        return Err(Lack::NoNewPrivileges);
    }
    let uid = rustix::process::geteuid().as_raw();
    let name = user_name(&fs::read_to_string("/etc/passwd").unwrap_or_default(), uid);
    let found = FILES.map(|file| lent(&fs::read_to_string(file).unwrap_or_default(), uid, name.as_deref()));
    let (Some(uids), Some(gids)) = (found[0], found[1]) else {
        let lacking = FILES.into_iter().zip(found).filter(|(_, range)| range.is_none());
        return Err(Lack::NoLine(lacking.map(|(file, _)| file).collect()));
    };
    for (range, map, file) in [(uids, "uid_map", FILES[0]), (gids, "gid_map", FILES[1])] {
        let map = fs::read_to_string(Path::new("/proc/self").join(map)).unwrap_or_default();
        if !within(range, &map) {
            return Err(Lack::Beyond(file));
        }
    }
    Ok((uids, gids))
}

/// Why images have one owner here; None: they keep theirs.
pub(crate) fn lacking(facts: &Facts) -> Option<Cause> {
    if crate::ids::root_of_many() {
        return None;
    }
    if facts.root() {
        let why = "root has no other id in the user namespace around it";
        return Some(Cause {
            why: why.into(),
            mend: Some("give this container more ids, or run aido outside of it".into()),
        });
    }
    let lack = look().err()?;
    let (why, mend) = match &lack {
        Lack::NoHelper => ("newuidmap or newgidmap is not installed".to_string(), package(&release(), facts)),
        Lack::Powerless(path) => {
            let both = find_helper(HELPERS[0]).zip(find_helper(HELPERS[1]));
            let words = both.map(|(a, b)| format!("{} {}", a.display(), b.display())).unwrap_or_default();
            let why =
                format!("{} may not change ids: it has no set-uid bit and no capability that counts", path.display());
            (why, format!("{0}chown root {words} && {0}chmod u+s {words}", facts.sudo()))
        }
        Lack::SetUid => {
            let why = "newuidmap and newgidmap are set-uid here, and root of this container has no CAP_SYS_ADMIN, which they need then";
            let [uids, gids] = HELPERS.map(|name| find_helper(name).unwrap_or_default());
            let (uids, gids, sudo) = (uids.display(), gids.display(), facts.sudo());
            let set = format!("{sudo}setcap cap_setuid=ep {uids} && {sudo}setcap cap_setgid=ep {gids}");
            (why.into(), format!("{sudo}chmod u-s {uids} {gids} && {set}"))
        }
        Lack::NoNewPrivileges => (
            "this process may gain no rights (no-new-privileges), and so neither may newuidmap".into(),
            match facts.container {
                Some(_) => "start this container without --security-opt no-new-privileges".into(),
                None => "start aido without NoNewPrivileges=".into(),
            },
        ),
        Lack::NoLine(files) => {
            let why = format!("this user has no range of {ENOUGH} ids or more in {}", files.join(" and "));
            (why, lend(files, facts))
        }
        Lack::Beyond(file) => (
            format!("the range that {file} lends to this user is not among the ids of this container"),
            "give this container more ids, or run aido outside of it".into(),
        ),
    };
    Some(Cause { why, mend: Some(mend) })
}

/// The command that installs the helpers, by the host's `os-release`.
fn package(release: &str, facts: &Facts) -> String {
    let sudo = facts.sudo();
    let like = |name: &str| {
        let lines = release.lines().filter(|line| line.starts_with("ID=") || line.starts_with("ID_LIKE="));
        lines.flat_map(|line| line.split(['=', ' ', '"'])).any(|word| word == name)
    };
    let known = [
        ("debian", "apt-get install uidmap"),
        ("ubuntu", "apt-get install uidmap"),
        ("fedora", "dnf install shadow-utils"),
        ("rhel", "dnf install shadow-utils"),
        ("arch", "pacman -S shadow"),
        ("suse", "zypper install shadow"),
        ("alpine", "apk add shadow-subids"),
    ];
    match known.into_iter().find(|(name, _)| like(name)) {
        Some((_, command)) => format!("{sudo}{command}"),
        None => "install newuidmap and newgidmap (in a package that is called uidmap or shadow)".into(),
    }
}

fn release() -> String {
    fs::read_to_string("/etc/os-release").unwrap_or_default()
}

/// The command that lends this user a range that nobody has.
fn lend(files: &[&'static str], facts: &Facts) -> String {
    let texts = FILES.map(|file| fs::read_to_string(file).unwrap_or_default());
    let first = free(&texts);
    let name = user_name(&fs::read_to_string("/etc/passwd").unwrap_or_default(), facts.user);
    match name {
        Some(name) => {
            let flags = files
                .iter()
                .map(|file| format!("--add-{}s {first}-{}", file.trim_start_matches("/etc/"), first + ENOUGH));
            let usermod = format!("{}usermod {} {name}", facts.sudo(), flags.collect::<Vec<_>>().join(" "));
            // It adds to a file and makes none.
            let missing: Vec<&str> = files.iter().copied().filter(|file| !Path::new(file).exists()).collect();
            match missing.is_empty() {
                true => usermod,
                false => format!("{}touch {} && {usermod}", facts.sudo(), missing.join(" ")),
            }
        }
        // A user of a number only, as in many containers.
        None => {
            let line = format!("{}:{first}:{}", facts.user, ENOUGH + 1);
            format!("echo {line} | {}tee -a {}", facts.sudo(), files.join(" "))
        }
    }
}

/// The first id past all that is lent.
fn free(texts: &[String]) -> u32 {
    let ends = texts.iter().flat_map(|text| text.lines()).filter_map(|line| {
        let mut fields = line.trim().split(':').skip(1);
        let (first, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        first.checked_add(count)
    });
    ends.max().unwrap_or(LOWEST).max(LOWEST)
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_string())
    })
}

/// The first range of the caller that is large enough for the ids that images use.
fn lent(text: &str, uid: u32, name: Option<&str>) -> Option<Subordinate> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let (owner, first, count) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let mine = name == Some(owner) || owner.parse() == Ok(uid);
        (mine && count >= ENOUGH).then_some(Subordinate { first, count })
    })
}

/// Whether all of a range is among the ids that `/proc/self/uid_map` has.
fn within(range: Subordinate, map: &str) -> bool {
    let end = u64::from(range.first) + u64::from(range.count);
    let mut reached = u64::from(range.first);
    let mut extents: Vec<(u64, u64)> = map
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(str::parse::<u64>);
            let (inside, _, count) = (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
            Some((inside, inside + count))
        })
        .collect();
    extents.sort_unstable();
    for (first, past) in extents {
        if first <= reached {
            reached = reached.max(past);
        }
    }
    reached >= end
}

pub(crate) fn find_helper(name: &str) -> Option<PathBuf> {
    HELPER_FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

/// The rights that a program brings and its caller does not have.
#[derive(Debug, PartialEq, Eq)]
enum Power {
    None,
    SetUid,
    Capability,
}

fn power(program: &Path) -> Power {
    use std::os::unix::fs::MetadataExt;
    let counts =
        rustix::fs::statvfs(program).is_ok_and(|on| !on.f_flag.contains(rustix::fs::StatVfsMountFlags::NOSUID));
    match fs::metadata(program) {
        Ok(file) if counts => {
            let capable = rustix::fs::getxattr(program, "security.capability", &mut [0u8; 64][..]).is_ok();
            let set_uid = file.mode() & 0o4000 != 0 && file.uid() == 0;
            // With both it runs as root all the same, and not as the owner of the namespace.
            if set_uid {
                Power::SetUid
            } else if capable {
                Power::Capability
            } else {
                Power::None
            }
        }
        _ => Power::None,
    }
}

/// Whether a program that becomes root by its set-uid bit has the right to administrate.
fn root_may_administrate() -> bool {
    let right = rustix::thread::CapabilitySet::SYS_ADMIN;
    rustix::thread::capability_is_in_bounding_set(right).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_by_name_or_number_and_only_if_large_enough() {
        let text = "other:100000:65536\nme:1:10\nme:200000:65536\n1000:300000:65536\n";
        let range = |first| Some(Subordinate { first, count: 65536 });
        assert_eq!(lent(text, 1000, Some("me")), range(200000));
        assert_eq!(lent(text, 1000, None), range(300000));
        assert_eq!(lent(text, 7, Some("nobody")), None);
        assert_eq!(lent("me:x:65536\nme:5\n:::\n", 1, Some("me")), None);
        assert_eq!(user_name("root:x:0:0::/:\nme:x:1000:1000::/:\n", 1000).as_deref(), Some("me"));
    }

    #[test]
    fn a_range_must_be_among_the_ids_that_there_are() {
        let range = Subordinate { first: 100_000, count: 65536 };
        assert!(within(range, "         0          0 4294967295\n"));
        assert!(!within(range, "0 100000 65536\n"), "an outer container with 16 bits of ids");
        assert!(within(range, "150000 0 99999\n0 500000 100001\n100001 9 49999\n"), "in several pieces, in any order");
        assert!(!within(range, "0 0 120000\n120001 120001 900000\n"), "with a hole");
        assert!(!within(range, ""));
    }

    #[test]
    fn a_range_is_offered_that_nobody_has() {
        let files = |text: &str| [text.to_string(), "other:70000:65536\n".to_string()];
        assert_eq!(free(&files("")), 135_536);
        assert_eq!(free(&files("me:300000:65536\nbroken:::\n")), 365_536);
        assert_eq!(free(&[String::new(), String::new()]), LOWEST);
    }

    #[test]
    fn helpers_come_by_the_hosts_own_package() {
        let user = Facts { user: 1000, ..Facts::default() };
        assert_eq!(package("ID=ubuntu\nID_LIKE=debian\n", &user), "sudo apt-get install uidmap");
        assert_eq!(package("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", &user), "sudo dnf install shadow-utils");
        assert!(package("ID=other\nNAME=debian\n", &user).starts_with("install newuidmap"));
    }

    #[test]
    fn a_helper_without_rights_is_none() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("newuidmap");
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(power(&program), Power::None);
        assert_eq!(power(&folder.path().join("gone")), Power::None);
    }
}
