//! What is remembered must never hide from a look what a look without a memory finds.

use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// A project large enough to be remembered, and a folder for memories.
struct Place {
    dir: tempfile::TempDir,
    made: SystemTime,
}

impl Place {
    fn new() -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap(), made: SystemTime::now() };
        for n in 0..50 {
            let folder = place.root().join(format!("d{n}/sub"));
            fs::create_dir_all(&folder).unwrap();
            (0..100).for_each(|m| drop(fs::File::create(folder.join(format!("f{m}"))).unwrap()));
        }
        fs::write(place.root().join("d1/sub/.env"), "").unwrap();
        place
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    fn memory(&self) -> PathBuf {
        self.dir.path().join("state/looks")
    }

    fn store(&self) -> PathBuf {
        fs::read_dir(self.memory()).unwrap().next().unwrap().unwrap().path()
    }

    /// What a look finds that is no folder, sorted; and how many entries it read. `later`: seconds after the project was
    /// made, by the look's clock.
    fn look(&self, later: u64) -> (Vec<String>, usize) {
        let mut look = Look::at(&self.root(), Some(&self.memory()));
        look.began = self.made + Duration::from_secs(later);
        let found = found(&mut look, &self.root());
        let read = look.read;
        look.remember();
        (found, read)
    }

    /// What is there.
    fn truth(&self) -> Vec<String> {
        found(&mut Look::at(&self.root(), None), &self.root())
    }
}

fn found(look: &mut Look, root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    look.through(root, &mut Budget::new(), &mut |path, kind| {
        if kind != Kind::Folder {
            found.push(format!("{kind:?} {}", path.display()));
        }
        Ok(true)
    })
    .unwrap();
    found.sort();
    found
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    let place = Place::new();
    assert_eq!(place.look(1000).0, ["File d1/sub/.env"]);
    assert_eq!(place.look(1000), (place.truth(), 0));
}

#[test]
fn every_change_is_seen_at_once() {
    let place = Place::new();
    let root = place.root();
    place.look(1000);
    let changes: [(&str, &dyn Fn()); 8] = [
        ("a new secret", &|| fs::write(root.join("d7/sub/id_rsa"), "").unwrap()),
        ("one that is renamed to be one", &|| fs::rename(root.join("d8/sub/f1"), root.join("d8/sub/x.pem")).unwrap()),
        ("a folder from elsewhere, as old as it is", &|| {
            let other = place.dir.path().join("other");
            fs::create_dir(&other).unwrap();
            fs::write(other.join(".npmrc"), "").unwrap();
            fs::rename(other, root.join("d9/moved")).unwrap();
        }),
        ("a folder in the place of another", &|| {
            fs::rename(root.join("d10/sub"), root.join("d10/old")).unwrap();
            fs::rename(root.join("d7/sub"), root.join("d10/sub")).unwrap();
        }),
        ("a file that becomes a link", &|| {
            fs::remove_file(root.join("d1/sub/.env")).unwrap();
            symlink("f1", root.join("d1/sub/.env")).unwrap();
        }),
        ("a door", &|| {
            let bound = std::os::unix::net::UnixListener::bind(root.join("d11/sub/socket")).unwrap();
            drop(bound);
        }),
        ("times that are set back", &|| {
            let sub = root.join("d12/sub");
            let before = fs::metadata(&sub).unwrap();
            fs::write(sub.join("server.key"), "").unwrap();
            let old = filetime(before.mtime(), before.mtime_nsec());
            fs::File::open(&sub).unwrap().set_modified(old).unwrap();
        }),
        ("what goes", &|| fs::remove_dir_all(root.join("d10/sub")).unwrap()),
    ];
    for (what, change) in changes {
        let before = place.truth();
        change();
        let truth = place.truth();
        assert_ne!(before, truth, "{what}: nothing changed");
        assert_eq!(place.look(1000).0, truth, "{what}");
        // Also when that look is what was remembered.
        assert_eq!(place.look(1000).0, truth, "{what}, looked at again");
    }
}

fn filetime(seconds: i64, nanoseconds: i64) -> SystemTime {
    std::time::UNIX_EPOCH + Duration::new(seconds.try_into().unwrap(), nanoseconds.try_into().unwrap())
}

#[test]
fn a_folder_that_changed_a_moment_ago_is_not_remembered() {
    let place = Place::new();
    let (_, read) = place.look(0);
    assert!(read > WORTH_IT);
    assert_eq!(place.look(0).1, read, "all of it is new: a change within the same tick would not show");
    let mut look = Look::at(&place.root(), Some(&place.memory()));
    look.began = place.made - Duration::from_secs(100);
    found(&mut look, &place.root());
    assert!(look.now.folders.is_empty(), "a clock that was set back settles nothing");
}

#[test]
fn what_others_could_have_written_is_not_believed() {
    let place = Place::new();
    place.look(1000);
    let store = place.store();
    let good = fs::read_to_string(&store).unwrap();
    // What a stranger would want it to say.
    let forged = good.replace(".env", "f.txt");
    assert_ne!(good, forged);
    fs::write(&store, &forged).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(place.look(0).0, place.truth());
    for damaged in [&good[..good.len() / 2], "", "[]", "{\"table\": 1}", "\0\0"] {
        fs::write(&store, damaged).unwrap();
        fs::set_permissions(&store, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(place.look(0).0, place.truth());
    }
    let other_table = forged.replace(&table(), &"0".repeat(64));
    assert_ne!(other_table, forged);
    fs::write(&store, other_table).unwrap();
    assert_eq!(place.look(0).0, place.truth(), "another table of secrets");
}

#[test]
fn it_is_kept_where_only_its_owner_reads_it_and_never_within_the_project() {
    let place = Place::new();
    place.look(1000);
    assert_eq!(fs::metadata(place.store()).unwrap().mode() & 0o077, 0);
    let inside = place.root().join("looks");
    let mut look = Look::at(&place.root(), Some(&inside));
    look.began = place.made + Duration::from_secs(1000);
    found(&mut look, &place.root());
    look.remember();
    assert!(!inside.exists());
}

#[test]
fn what_is_known_counts_as_seen() {
    let place = Place::new();
    place.look(1000);
    let mut look = Look::at(&place.root(), Some(&place.memory()));
    let said = look.through(&place.root(), &mut Budget::of(1000), &mut |_, _| Ok(true)).unwrap_err().to_string();
    assert!(said.contains("more than"), "{said}");
}

#[test]
fn a_folder_that_was_closed_since_is_closed() {
    if rustix::process::geteuid().is_root() {
        // Root lists everything; who runs the tests as an ordinary user tries it.
        return;
    }
    let place = Place::new();
    place.look(1000);
    let sub = place.root().join("d3/sub");
    fs::set_permissions(&sub, fs::Permissions::from_mode(0o000)).unwrap();
    let seen = place.look(1000).0;
    fs::set_permissions(&sub, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(seen.contains(&"Closed d3/sub".to_string()), "{seen:?}");
}
