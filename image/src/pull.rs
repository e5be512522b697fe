//! From a name to an image that is whole in the store.
//!
//! The manifest names the config, the config names the layers by what they unpack to. The image
//! becomes visible when all its layers are whole.

use crate::arrival::Arrival;
use crate::digest::verified;
use crate::layer::{self, Record, Total};
use crate::manifest::{self, Blob, Document, Entry, Manifest};
use crate::origin::{self, Origin, Top};
use crate::store::{Image, Lock, Meaning, Store};
use crate::{
    Config, Digest, Error, Kind, LayerId, Ownership, Platform, Progress, Registries, Result, Silent, Source, Step,
    beneath, limits,
};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

static NOTHING_SAID: Registries = Registries { rules: BTreeMap::new(), certificates: Vec::new() };

/// How an image is to be had.
#[derive(Clone)]
pub struct Options<'a> {
    pub ownership: Ownership,
    /// Never open a socket.
    pub offline: bool,
    /// Registries, as they stand in references, where plain HTTP or an unknown certificate will do.
    pub insecure: &'a [String],
    /// What else the user says of registries.
    pub registries: &'a Registries,
    /// Ask the origin again what the name means, even if the store knows; what it means now is what it
    /// means from then on.
    pub refresh: bool,
    pub platform: Platform,
    pub progress: &'a dyn Progress,
}

impl Options<'_> {
    /// For this machine, from the store where it has it, with no word on the way.
    pub fn new(ownership: Ownership) -> Self {
        let (platform, progress) = (Platform::here(), &Silent);
        Options {
            ownership,
            offline: false,
            insecure: &[],
            registries: &NOTHING_SAID,
            refresh: false,
            platform,
            progress,
        }
    }
}

/// A manifest and what it leads to, all verified.
pub(crate) struct Plan {
    pub(crate) means: Meaning,
    pub(crate) config: Config,
    /// Diff ID and blob of each layer, lowest first.
    pub(crate) layers: Vec<(LayerId, Blob)>,
    /// Manifest and config, if the store does not have them: they are kept when the image is whole.
    documents: Option<(Vec<u8>, Vec<u8>)>,
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
            if let Some(image) = self.recovered(source, options.ownership, &options.platform)? {
                return Ok(image);
            }
            let what = format!("the image `{source}` is not in the store, and offline its registry is not asked");
            return Err(Error::new(Kind::Offline, what).remedy(format!("aido image pull {source}")));
        }
        self.fetch(source, options, ask).map_err(|e| e.within(format!("image `{source}`")))
    }

    pub(crate) fn fetch(&self, source: &Source, options: &Options<'_>, ask: bool) -> Result<Image> {
        let arrival = Arrival::new(self.image_bytes());
        let image = self.fetch_into(&arrival, source, options, ask);
        if let Err(error) = &image {
            // Why it was refused is the news; what cannot be deleted now goes with the next removal.
            let _ = self.refuse(arrival, error.kind, options.ownership);
        }
        image
    }

    fn fetch_into(&self, arrival: &Arrival, source: &Source, options: &Options<'_>, ask: bool) -> Result<Image> {
        let _arriving = self.lock_arriving()?;
        self.sweep(options.ownership)?;
        options.progress.step(Step::Resolving { name: &source.to_string() });
        let known = if ask { None } else { self.known(source, &options.platform)? };
        // A name that was resolved once keeps its meaning, whatever the registry says by now.
        let held = known.and_then(|means| source.at(means.top));
        let origin = origin::open(held.as_ref().unwrap_or(source), options, self.dir())?;
        let plan = match known {
            Some(means) => self.planned(means, &options.platform)?,
            None => None,
        };
        let mut plan = match plan {
            Some(plan) => plan,
            None => self.resolve(origin.as_ref(), &options.platform)?,
        };
        self.bring(origin.as_ref(), &plan, options, arrival)?;
        let documents = plan.documents.take();
        let image = self.compose(source, plan, options.ownership, &arrival.total)?;
        if let Some((manifest, config)) = documents {
            self.keep_documents(&image.digest, &manifest, &config)?;
        }
        self.remember(&image, source, &options.platform)?;
        Ok(image)
    }

    /// The plan for an image whose documents came by earlier, but not its layers in this ownership.
    fn planned(&self, means: Meaning, platform: &Platform) -> Result<Option<Plan>> {
        let Some((manifest, config)) = self.documents(&means.digest)? else { return Ok(None) };
        if Digest::of(&manifest) != means.digest {
            return Ok(None);
        }
        let Document::Manifest(parsed) = Document::parse(&manifest)? else { return Ok(None) };
        if Digest::of(&config) != parsed.config.digest {
            return Ok(None);
        }
        plan(means, parsed, &config, platform).map(Some)
    }

    fn resolve(&self, origin: &dyn Origin, platform: &Platform) -> Result<Plan> {
        let bytes = match origin.top()? {
            Top::Document(bytes) => bytes,
            Top::Entries(entries) => chosen(origin, &entries, platform)?,
        };
        let top = Digest::of(&bytes);
        let (bytes, manifest) = descend(origin, bytes, platform)?;
        let Blob { digest: id, size } = &manifest.config;
        let config = verified(origin.blob(&manifest.config)?, id, *size, limits::CONFIG_BYTES)?;
        let digest = Digest::of(&bytes);
        let plan = plan(Meaning { digest, top }, manifest, &config, platform)?;
        Ok(Plan { documents: Some((bytes, config)), ..plan })
    }

    /// Puts the stack together, with a mending layer where folders need one.
    fn compose(&self, source: &Source, plan: Plan, ownership: Ownership, total: &Arc<Total>) -> Result<Image> {
        // A layer that occurs twice counts where it lies higher: below, it shows nothing of its own,
        // and an overlay mount refuses to have the same folder twice.
        let mut seen = BTreeSet::new();
        let mut layers: Vec<LayerId> =
            plan.layers.iter().rev().map(|(id, _)| *id).filter(|id| seen.insert(*id)).collect();
        layers.reverse();
        let records: Vec<Record> = layers.iter().map(|id| self.layer_record(id, ownership)).collect::<Result<_>>()?;
        let size = records.iter().map(|record| record.bytes).fold(0, u64::saturating_add);
        let open = |height: usize| self.layer_list(&layers[height], ownership);
        if let Some(mending) = layer::mend(layers.len(), open, beneath::own_folder(self.dir())?.as_fd())? {
            let blob = Blob { digest: mending.digest, size: mending.size };
            let id = LayerId(blob.digest);
            let _lock = Lock::exclusive(&self.layer_lock_path(&id, ownership), || ())?;
            if self.has_layer(&id, ownership) {
                self.count(&id, ownership, total)?;
            } else {
                self.unpack(mending.tar, &id, &blob, ownership, total)?;
            }
            layers.push(id);
        }
        self.merge(&layers, ownership)?;
        let fetched = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let Plan { means: Meaning { digest, top: resolved }, config, .. } = plan;
        Ok(Image { reference: source.to_string(), digest, resolved, config, layers, size, fetched })
    }
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

fn plan(means: Meaning, manifest: Manifest, config: &[u8], platform: &Platform) -> Result<Plan> {
    let (config, ids) = manifest::config(config, manifest.layers.len(), platform)?;
    Ok(Plan { means, config, layers: ids.into_iter().zip(manifest.layers).collect(), documents: None })
}

#[cfg(test)]
mod tests;
