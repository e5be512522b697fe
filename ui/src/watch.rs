//! Changes of the store, as events. Where the kernel tells of them nothing is done meanwhile.

use crate::model::Event;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How often a store is looked at of whose changes nobody tells.
const PERIOD: Duration = Duration::from_secs(1);

/// Tells that something may have changed, again and again.
fn by_the_clock(to: Sender<Event>) {
    std::thread::spawn(move || {
        while to.send(Event::Store).is_ok() && to.send(Event::Grown).is_ok() {
            std::thread::sleep(PERIOD);
        }
    });
}

#[cfg(not(target_os = "linux"))]
pub(crate) struct Watch;

#[cfg(not(target_os = "linux"))]
impl Watch {
    pub(crate) fn start(_folders: &[PathBuf], to: Sender<Event>) -> Watch {
        by_the_clock(to);
        Watch
    }

    pub(crate) fn follow(&mut self, _folder: Option<PathBuf>) {}
}

#[cfg(target_os = "linux")]
pub(crate) use kernel::Watch;

#[cfg(target_os = "linux")]
mod kernel {
    use super::{Duration, Event, PathBuf, Sender, by_the_clock};
    use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
    use std::collections::HashSet;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    /// Between two events, so that a task that writes without end is no reason to draw without end.
    const PAUSE: Duration = Duration::from_millis(80);

    pub(crate) struct Watch {
        fd: Option<Arc<OwnedFd>>,
        /// The folder of the run that is shown.
        run: Option<(PathBuf, i32)>,
    }

    impl Watch {
        /// Of these folders, whose entries come and go.
        pub(crate) fn start(folders: &[PathBuf], to: Sender<Event>) -> Watch {
            let Ok(fd) = inotify::init(CreateFlags::CLOEXEC) else {
                by_the_clock(to);
                return Watch { fd: None, run: None };
            };
            let fd = Arc::new(fd);
            let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::ONLYDIR;
            let store: HashSet<i32> =
                folders.iter().filter_map(|folder| inotify::add_watch(&fd, folder, flags).ok()).collect();
            if store.is_empty() {
                by_the_clock(to);
                return Watch { fd: None, run: None };
            }
            let from = Arc::clone(&fd);
            std::thread::spawn(move || tell(&from, &store, &to));
            Watch { fd: Some(fd), run: None }
        }

        /// And of the files of one run.
        pub(crate) fn follow(&mut self, folder: Option<PathBuf>) {
            let Some(fd) = &self.fd else { return };
            if self.run.as_ref().map(|(folder, _)| folder) == folder.as_ref() {
                return;
            }
            if let Some((_, before)) = self.run.take() {
                let _ = inotify::remove_watch(fd, before);
            }
            let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::ONLYDIR;
            self.run = folder.and_then(|folder| {
                let watch = inotify::add_watch(fd, &folder, flags).ok()?;
                Some((folder, watch))
            });
        }
    }

    fn tell(fd: &OwnedFd, store: &HashSet<i32>, to: &Sender<Event>) {
        let mut room = [MaybeUninit::uninit(); 8192];
        let mut reader = Reader::new(fd, &mut room);
        let (mut changed, mut grown) = (false, false);
        while let Ok(event) = reader.next() {
            if store.contains(&event.wd()) {
                changed = true;
            } else {
                grown = true;
            }
            if !reader.is_buffer_empty() {
                continue;
            }
            if std::mem::take(&mut changed) && to.send(Event::Store).is_err() {
                return;
            }
            if std::mem::take(&mut grown) && to.send(Event::Grown).is_err() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}
