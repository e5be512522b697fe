//! Files that are to reach the disk together. A disk that is busy lets each of them wait for as long as all at once,
//! and one that is idle is told to flush once instead of once for each.

use crate::error::{Error, Result};
use crate::fault;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// Enough for a call and the words of its error.
const STACK: usize = 64 * 1024;

#[derive(Default)]
pub(crate) struct Pending<'a> {
    files: Vec<(&'a File, PathBuf)>,
}

impl<'a> Pending<'a> {
    pub(crate) fn add(&mut self, file: &'a File, path: PathBuf) {
        self.files.push((file, path));
    }

    /// Returns when all that they hold is on the disk, however far each of them got.
    pub(crate) fn sync(self) -> Result<()> {
        let mut failed = None;
        for (_, path) in &self.files {
            fault::step("sync", path).map_err(|e| Error::io("sync", path, e))?;
        }
        std::thread::scope(|scope| {
            let (own, others) = match self.files.split_first() {
                Some(split) => split,
                None => return,
            };
            let synced = |(file, path): &(&File, PathBuf)| sync(file).map_err(|e| Error::io("sync", path, e));
            let waiting: Vec<_> = others
                .iter()
                .map(|one| {
                    let thread = std::thread::Builder::new().stack_size(STACK);
                    (one, thread.spawn_scoped(scope, move || synced(one)).ok())
                })
                .collect();
            let mut note = |result: Result<()>| {
                if let (Err(error), None) = (result, &failed) {
                    failed = Some(error);
                }
            };
            note(synced(own));
            for (one, thread) in waiting {
                // Where no thread could be had it is done here.
                note(thread.and_then(|thread| thread.join().ok()).unwrap_or_else(|| synced(one)));
            }
        });
        failed.map_or(Ok(()), Err)
    }
}

fn sync(file: &File) -> io::Result<()> {
    file.sync_data()
}
