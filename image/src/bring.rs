//! Brings the missing layers of an image into the store, several at a time.
//!
//! A layer becomes visible when both its digests are right; whatever fails leaves nothing behind. All
//! layers together are held to the image's bound while they come in.

use crate::arrival::Arrival;
use crate::layer::Total;
use crate::manifest::Blob;
use crate::origin::Origin;
use crate::pipeline::unpacked;
use crate::pull::{Options, Plan};
use crate::spool;
use crate::store::{Lock, Store};
use crate::{Error, Kind, LayerId, Ownership, Progress, Result, Step, limits};
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::sync::{Arc, Mutex};

impl Store {
    /// Brings in every layer that is missing, several at a time; the first failure stops the others.
    pub(crate) fn bring(
        &self,
        origin: &dyn Origin,
        plan: &Plan,
        options: &Options<'_>,
        arrival: &Arrival,
    ) -> Result<()> {
        let mut seen = BTreeSet::new();
        let all = plan.layers.iter().filter(|(id, _)| seen.insert(*id));
        let (present, mut missing): (Vec<_>, Vec<_>) = all.partition(|(id, _)| self.has_layer(id, options.ownership));
        for (id, _) in &present {
            self.count(id, options.ownership, &arrival.total)?;
        }
        arrival.expect(missing.iter().map(|(_, blob)| blob.digest));
        let announced: Vec<(LayerId, u64)> = missing.iter().map(|(id, blob)| (*id, blob.size)).collect();
        options.progress.step(Step::Planned { layers: &announced, present: present.len() });
        // The largest first: it decides when the last one is done. Taken from the end.
        missing.sort_by_key(|(_, blob)| blob.size);
        let workers = missing.len().min(limits::LAYERS_AT_ONCE);
        let queue = Mutex::new(missing);
        let next = || queue.lock().ok().and_then(|mut queue| queue.pop()).filter(|_| !arrival.is_over());
        let work = || -> Result<()> {
            while let Some((id, blob)) = next() {
                let done = self.bring_layer(origin, id, blob, options, arrival);
                done.inspect_err(|_| arrival.stop()).map_err(|e| e.within(format!("layer {id}")))?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let died = |_| Err(Error::new(Kind::Storage, "a thread that unpacked a layer died"));
            let results: Vec<Result<()>> = threads.into_iter().map(|t| t.join().unwrap_or_else(died)).collect();
            // Those that were stopped by another's failure have nothing to say.
            let mut failures: Vec<Error> = results.into_iter().filter_map(Result::err).collect();
            failures.sort_by_key(|e| e.kind == Kind::Busy);
            failures.into_iter().next().map_or(Ok(()), Err)
        })
    }

    fn bring_layer(
        &self,
        origin: &dyn Origin,
        id: &LayerId,
        blob: &Blob,
        options: &Options<'_>,
        arrival: &Arrival,
    ) -> Result<()> {
        let progress = options.progress;
        let _lock = Lock::exclusive(&self.layer_lock_path(id, options.ownership), || {
            progress.step(Step::Waiting { layer: id });
        })?;
        if self.has_layer(id, options.ownership) || self.survived(id, options.ownership)? {
            self.count(id, options.ownership, &arrival.total)?;
        } else {
            let new = self.layer_folder(id, options.ownership).symlink_metadata().is_err();
            self.fetch_layer(origin, id, blob, options, arrival)?;
            if new {
                arrival.brought(*id);
            }
        }
        progress.step(Step::Unpacked { layer: id });
        Ok(())
    }

    /// A layer that is there counts as what it took.
    pub(crate) fn count(&self, id: &LayerId, ownership: Ownership, total: &Total) -> Result<()> {
        total.take(self.layer_record(id, ownership)?.charge())
    }

    /// Begins with what an earlier pull left of the blob. If that was wrong, all of it is fetched once more.
    fn fetch_layer(
        &self,
        origin: &dyn Origin,
        id: &LayerId,
        blob: &Blob,
        options: &Options<'_>,
        arrival: &Arrival,
    ) -> Result<()> {
        loop {
            let coming = spool::open(self, origin, blob)?;
            let old = coming.head() > 0;
            let raw = Watched { inner: coming, id, progress: options.progress, arrival };
            let done = self.unpack(raw, id, blob, options.ownership, &arrival.total);
            let failed = done.as_ref().err().map(|e| e.kind);
            if matches!(failed, Some(Kind::Registry | Kind::Busy)) {
                return done;
            }
            if let Some(head) = self.head(&blob.digest)? {
                head.remove()?;
            }
            if !old || matches!(failed, None | Some(Kind::Storage | Kind::Closed)) || arrival.total.passed() {
                return done;
            }
        }
    }

    /// One layer's pipeline. The caller holds the layer's lock.
    pub(crate) fn unpack(
        &self,
        raw: impl Read + Send,
        id: &LayerId,
        blob: &Blob,
        ownership: Ownership,
        total: &Arc<Total>,
    ) -> Result<()> {
        let growing = self.growing(id, ownership);
        self.clear_layer(&growing)?;
        let made = std::fs::DirBuilder::new().mode(0o700).create(&growing);
        made.map_err(|e| Error::io(format!("making `{}`", growing.display()), e))?;
        let whole = unpacked(raw, id, blob, &growing, ownership, total).and_then(|record| {
            // What it had while it grew was given back.
            total.take(record.charge())?;
            self.keep_record(&record, ownership)?;
            self.place(&growing, id, ownership)
        });
        if whole.is_err() {
            // What went wrong is the news; what cannot be deleted now is swept later.
            let _ = self.clear_layer(&growing);
        }
        whole
    }
}

/// Tells of progress, and ends early when another layer failed.
struct Watched<'a, R> {
    inner: R,
    id: &'a LayerId,
    progress: &'a dyn Progress,
    arrival: &'a Arrival,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.arrival.is_over() {
            return Err(Error::new(Kind::Busy, "stopped, because another layer failed").into());
        }
        let got = self.inner.read(buffer)?;
        self.progress.step(Step::Advanced { layer: self.id, bytes: got as u64 });
        Ok(got)
    }
}
