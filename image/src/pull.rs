//! From a name to an image that is whole in the store.
//!
//! The manifest names the config, the config names the layers by what they unpack to. Each missing
//! layer is one pipeline (origin, digest, decompressor, digest, tar reader, folder), several at a
//! time. A layer becomes visible when both its digests are right; the image when all its layers are.

use crate::decode::{Bounded, decode};
use crate::digest::{Exactly, Hashing, verified};
use crate::layer::{self, Record};
use crate::manifest::{self, Blob, Document, Entry, Manifest};
use crate::origin::{self, Origin, Top};
use crate::store::{Image, Lock, Store};
use crate::{
    Config, Digest, Error, Kind, LayerId, Ownership, Platform, Progress, Result, Silent, Source, Step, beneath, limits,
};
use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::DirBuilderExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How an image is to be had.
pub struct Options<'a> {
    pub ownership: Ownership,
    /// Never open a socket.
    pub offline: bool,
    /// Registries, as they stand in references, where plain HTTP or an unknown certificate will do.
    pub insecure: &'a [String],
    /// Ask the origin again what the name means, even if the store knows.
    pub refresh: bool,
    pub platform: Platform,
    pub progress: &'a dyn Progress,
}

impl Options<'_> {
    /// For this machine, from the store where it has it, with no word on the way.
    pub fn new(ownership: Ownership) -> Self {
        let (platform, progress) = (Platform::here(), &Silent);
        Options { ownership, offline: false, insecure: &[], refresh: false, platform, progress }
    }
}

/// A manifest and what it leads to, all verified.
struct Plan {
    digest: Digest,
    config: Config,
    /// Diff ID and blob of each layer, lowest first.
    layers: Vec<(LayerId, Blob)>,
}

impl Store {
    /// The image, from the store if it has it whole, else from its origin.
    pub fn obtain(&self, source: &Source, options: &Options<'_>) -> Result<Image> {
        let remote = matches!(source, Source::Registry(_));
        let ask = options.refresh && !(remote && options.offline);
        if !ask && let Some(image) = self.find_for(source, options.ownership, &options.platform)? {
            return Ok(image);
        }
        if remote && options.offline {
            let what = format!("the image `{source}` is not in the store, and offline its registry is not asked");
            return Err(Error::new(Kind::Offline, what).remedy(format!("aido image pull {source}")));
        }
        self.fetch(source, options, ask).map_err(|e| e.within(format!("image `{source}`")))
    }

    fn fetch(&self, source: &Source, options: &Options<'_>, ask: bool) -> Result<Image> {
        let _arriving = self.lock_arriving()?;
        self.sweep(options.ownership)?;
        options.progress.step(Step::Resolving { name: &source.to_string() });
        let origin = origin::open(source, options, self.dir())?;
        let plan = match if ask { None } else { self.known(source, &options.platform)? } {
            Some(digest) => self.planned(&digest, &options.platform)?,
            None => None,
        };
        let plan = match plan {
            Some(plan) => plan,
            None => self.resolve(origin.as_ref(), &options.platform)?,
        };
        self.bring(origin.as_ref(), &plan, options)?;
        let image = self.compose(source, plan, options.ownership)?;
        self.remember(&image, source, &options.platform)?;
        Ok(image)
    }

    /// The plan for an image whose documents came by earlier, but not its layers in this ownership.
    fn planned(&self, digest: &Digest, platform: &Platform) -> Result<Option<Plan>> {
        let Some((manifest, config)) = self.documents(digest)? else { return Ok(None) };
        let Document::Manifest(parsed) = Document::parse(&manifest)? else { return Ok(None) };
        if Digest::of(&manifest) != *digest || Digest::of(&config) != parsed.config.digest {
            return Ok(None);
        }
        plan(*digest, parsed, &config, platform).map(Some)
    }

    fn resolve(&self, origin: &dyn Origin, platform: &Platform) -> Result<Plan> {
        let bytes = match origin.top()? {
            Top::Document(bytes) => bytes,
            Top::Entries(entries) => chosen(origin, &entries, platform)?,
        };
        let (bytes, manifest) = descend(origin, bytes, platform)?;
        let Blob { digest: id, size } = &manifest.config;
        let config = verified(origin.blob(&manifest.config)?, id, *size, limits::CONFIG_BYTES)?;
        let digest = Digest::of(&bytes);
        self.keep_documents(&digest, &bytes, &config)?;
        plan(digest, manifest, &config, platform)
    }

    /// Brings in every layer that is missing, several at a time; the first failure stops the others.
    fn bring(&self, origin: &dyn Origin, plan: &Plan, options: &Options<'_>) -> Result<()> {
        let mut seen = BTreeSet::new();
        let mut missing: Vec<&(LayerId, Blob)> = plan.layers.iter().filter(|(id, _)| seen.insert(*id)).collect();
        let all = missing.len();
        missing.retain(|(id, _)| !self.has_layer(id, options.ownership));
        let announced: Vec<(LayerId, u64)> = missing.iter().map(|(id, blob)| (*id, blob.size)).collect();
        options.progress.step(Step::Planned { layers: &announced, present: all - missing.len() });
        // The largest first: it decides when the last one is done. Taken from the end.
        missing.sort_by_key(|(_, blob)| blob.size);
        let workers = missing.len().min(limits::LAYERS_AT_ONCE);
        let queue = Mutex::new(missing);
        let stop = AtomicBool::new(false);
        let next = || queue.lock().ok().and_then(|mut queue| queue.pop()).filter(|_| !stop.load(Ordering::Relaxed));
        let work = || -> Result<()> {
            while let Some((id, blob)) = next() {
                let done = self.bring_layer(origin, id, blob, options, &stop);
                done.inspect_err(|_| stop.store(true, Ordering::Relaxed))
                    .map_err(|e| e.within(format!("layer {id}")))?;
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
        stop: &AtomicBool,
    ) -> Result<()> {
        let progress = options.progress;
        let _lock = Lock::exclusive(&self.layer_lock_path(id, options.ownership), || {
            progress.step(Step::Waiting { layer: id });
        })?;
        if !self.has_layer(id, options.ownership) {
            let raw = Watched { inner: origin.blob(blob)?, id, progress, stop };
            self.unpack(raw, id, blob, options.ownership)?;
        }
        progress.step(Step::Unpacked { layer: id });
        Ok(())
    }

    /// One layer's pipeline. The caller holds the layer's lock.
    fn unpack(&self, raw: impl Read + Send, id: &LayerId, blob: &Blob, ownership: Ownership) -> Result<()> {
        let growing = self.growing(id, ownership);
        self.clear(&growing)?;
        let made = std::fs::DirBuilder::new().mode(0o700).create(&growing);
        made.map_err(|e| Error::io(format!("making `{}`", growing.display()), e))?;
        let whole = unpacked(raw, id, blob, &growing, ownership).and_then(|record| {
            self.keep_record(&record, ownership)?;
            // All of it at once: a layer that is there counts as whole, after a power cut too.
            self.write_out(ownership)?;
            let folder = self.layer_folder(id, ownership);
            std::fs::rename(&growing, &folder).map_err(|e| Error::io(format!("placing `{}`", folder.display()), e))
        });
        if whole.is_err() {
            // What went wrong is the news; what cannot be deleted now is swept later.
            let _ = self.clear(&growing);
        }
        whole
    }

    /// Puts the stack together, with a mending layer where folders need one.
    fn compose(&self, source: &Source, plan: Plan, ownership: Ownership) -> Result<Image> {
        // A layer that occurs twice counts where it lies higher: below, it shows nothing of its own,
        // and an overlay mount refuses to have the same folder twice.
        let mut seen = BTreeSet::new();
        let mut layers: Vec<LayerId> =
            plan.layers.iter().rev().map(|(id, _)| *id).filter(|id| seen.insert(*id)).collect();
        layers.reverse();
        let records: Vec<Record> = layers.iter().map(|id| self.layer_record(id, ownership)).collect::<Result<_>>()?;
        let size = bounded(&records)?;
        if let Some(tar) = layer::mend(&records)? {
            let blob = Blob { digest: Digest::of(&tar), size: tar.len() as u64 };
            let id = LayerId(blob.digest);
            let _lock = Lock::exclusive(&self.layer_lock_path(&id, ownership), || ())?;
            if !self.has_layer(&id, ownership) {
                self.unpack(&tar[..], &id, &blob, ownership)?;
            }
            layers.push(id);
        }
        let fetched = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Ok(Image { reference: source.to_string(), digest: plan.digest, config: plan.config, layers, size, fetched })
    }
}

/// The bytes of all layers' files, if the image may be so large.
fn bounded(records: &[Record]) -> Result<u64> {
    let charged = records.iter().map(Record::charge).fold(0, u64::saturating_add);
    if charged > limits::IMAGE_BYTES {
        let (each, limit) = (limits::INODE_BYTES, limits::IMAGE_BYTES);
        let what =
            format!("its layers take {charged} bytes, {each} counted for each file and folder; the limit is {limit}");
        return Err(Error::new(Kind::Limit, what));
    }
    Ok(records.iter().map(|record| record.bytes).sum())
}

/// Reads the stream to its end into `folder`, and returns the record only if both digests are right.
fn unpacked(
    raw: impl Read + Send,
    id: &LayerId,
    blob: &Blob,
    folder: &std::path::Path,
    ownership: Ownership,
) -> Result<Record> {
    let mut raw = Hashing::new(Exactly::new(raw, blob.size));
    let meter = raw.meter();
    let mut flat = Hashing::new(Bounded::new(decode(&mut raw)?, meter));
    let root = beneath::own_folder(folder)?;
    let unpacked = layer::unpack(BufReader::with_capacity(limits::BUFFER_BYTES, &mut flat), root, ownership);
    let flat = unpacked.and_then(|record| Ok((record, flat.finish().map_err(|e| Error::io("unpacking it", e))?)));
    let raw = raw.finish();
    // Wrong bytes explain whatever the unpacker stumbled over.
    match raw {
        Ok((found, _)) if found != blob.digest => {
            let what = format!("its bytes have the digest {found}, and not {}", blob.digest);
            return Err(Error::new(Kind::Unverified, what));
        }
        _ => {}
    }
    let (record, (found, tar_bytes)) = flat?;
    raw.map_err(|e| Error::io("reading it", e))?;
    if found != id.0 {
        return Err(Error::new(Kind::Unverified, format!("it unpacks to a stream with the digest {found}")));
    }
    Ok(record.verified(*id, tar_bytes))
}

/// The bytes of the entry that fits the platform.
fn chosen(origin: &dyn Origin, entries: &[Entry], platform: &Platform) -> Result<Vec<u8>> {
    let Blob { digest, size } = &manifest::choose(entries, platform)?.blob;
    let blob = Blob { digest: *digest, size: *size };
    if *size > limits::MANIFEST_BYTES {
        let what = format!("its manifest has {size} bytes; the limit is {}", limits::MANIFEST_BYTES);
        return Err(Error::new(Kind::Limit, what));
    }
    verified(origin.manifest(&blob)?, digest, *size, limits::MANIFEST_BYTES)
}

/// Follows indexes down to the manifest.
fn descend(origin: &dyn Origin, mut bytes: Vec<u8>, platform: &Platform) -> Result<(Vec<u8>, Manifest)> {
    for _ in 0..=limits::INDEX_DEPTH {
        match Document::parse(&bytes)? {
            Document::Manifest(manifest) => return Ok((bytes, manifest)),
            Document::Index(entries) => bytes = chosen(origin, &entries, platform)?,
        }
    }
    Err(Error::new(Kind::Limit, format!("its indexes are nested deeper than {}", limits::INDEX_DEPTH)))
}

fn plan(digest: Digest, manifest: Manifest, config: &[u8], platform: &Platform) -> Result<Plan> {
    let (config, ids) = manifest::config(config, manifest.layers.len(), platform)?;
    Ok(Plan { digest, config, layers: ids.into_iter().zip(manifest.layers).collect() })
}

/// Tells of progress, and ends early when another layer failed.
struct Watched<'a, R> {
    inner: R,
    id: &'a LayerId,
    progress: &'a dyn Progress,
    stop: &'a AtomicBool,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::new(Kind::Busy, "stopped, because another layer failed").into());
        }
        let got = self.inner.read(buffer)?;
        self.progress.step(Step::Advanced { layer: self.id, bytes: got as u64 });
        Ok(got)
    }
}

#[cfg(test)]
mod tests;
