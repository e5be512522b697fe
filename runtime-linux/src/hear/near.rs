//! The folders in which something was made, moved or removed just now: whoever does that does more of it there.
//!
//! What a path leads to is remembered until a folder or a link is removed, replaced or altered, and never for long: what
//! changes it without a question comes from outside of the sandbox, or from a thread that was let go on a moment ago. What
//! is made changes it only where something was removed before. The rights of a remembered folder are asked for each time.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MOST: usize = 8;
const LONGEST: Duration = Duration::from_millis(50);

pub(super) struct Near {
    folders: Vec<Arc<Folder>>,
    pub(super) longest: Duration,
}

impl Default for Near {
    fn default() -> Near {
        Near { folders: Vec::new(), longest: LONGEST }
    }
}

pub(super) struct Folder {
    path: Vec<u8>,
    pub(super) place: OwnedFd,
    /// By its mount or by rules, which stay as they are.
    pub(super) read_only: bool,
    seen: Instant,
}

impl Near {
    /// The folder at a path, which `look` finds if it is not known.
    pub(super) fn folder(
        &mut self,
        path: &[u8],
        look: impl FnOnce() -> Option<(OwnedFd, bool)>,
    ) -> Option<Arc<Folder>> {
        let now = Instant::now();
        let known = self.folders.iter().position(|folder| folder.path == path);
        if let Some(known) = known {
            if now.duration_since(self.folders[known].seen) < self.longest {
                return self.folders.get(known).cloned();
            }
            self.folders.swap_remove(known);
        }
        let (place, read_only) = look()?;
        if self.folders.len() == MOST {
            let oldest = (0..MOST).min_by_key(|at| self.folders[*at].seen)?;
            self.folders.swap_remove(oldest);
        }
        let folder = Arc::new(Folder { path: path.to_vec(), place, read_only, seen: now });
        self.folders.push(folder.clone());
        Some(folder)
    }

    pub(super) fn forget(&mut self) {
        self.folders.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs::File;

    #[test]
    fn a_folder_is_looked_up_once_until_it_is_forgotten() {
        let (mut near, looks) = (Near::default(), Cell::new(0));
        near.longest = Duration::from_secs(3600);
        let seen = |near: &mut Near, path: &str| {
            let look = || {
                looks.set(looks.get() + 1);
                Some((File::open("/").unwrap().into(), path == "/r"))
            };
            let folder = near.folder(path.as_bytes(), look).unwrap();
            assert_eq!((folder.path.as_slice(), folder.read_only), (path.as_bytes(), path == "/r"));
            looks.take()
        };
        for path in ["/a", "/r"] {
            assert_eq!((seen(&mut near, path), seen(&mut near, path)), (1, 0), "{path}");
        }
        near.forget();
        assert_eq!((seen(&mut near, "/a"), seen(&mut near, "/a")), (1, 0));
        for number in 0..2 * MOST {
            seen(&mut near, &format!("/{number}"));
        }
        assert_eq!((near.folders.len(), seen(&mut near, "/a")), (MOST, 1), "the oldest goes first");
        near.longest = Duration::ZERO;
        assert_eq!(seen(&mut near, "/a"), 1, "nothing is believed for long");
        assert!(near.folder(b"/none", || None).is_none());
    }
}
