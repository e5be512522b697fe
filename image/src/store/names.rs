//! What names mean, as far as the store knows: nothing here asks the network.

use super::records::{ImageRecord, Stamp};
use super::{Image, Meaning, Name, Store, files};
use crate::{Digest, Error, Kind, Ownership, Platform, Reference, Result, Source};
use std::path::PathBuf;

impl Store {
    /// The image that `source` means here and now, if it is whole in the store. Never asks the
    /// network; of a local source it looks whether its file is still the one that was imported.
    pub fn find(&self, source: &Source, ownership: Ownership) -> Result<Option<Image>> {
        self.find_for(source, ownership, &Platform::here())
    }

    pub(crate) fn find_for(&self, source: &Source, ownership: Ownership, on: &Platform) -> Result<Option<Image>> {
        let Some(means) = self.known(source, on)? else { return Ok(None) };
        let Some(record) = self.image_record(&means.digest)? else { return Ok(None) };
        let whole = record.layers.iter().all(|layer| self.has_layer(layer, ownership))
            && self.is_merged(&record.layers, ownership);
        Ok(whole.then(|| record.image(source.to_string(), means.top)))
    }

    /// What a name led to when it was last asked for, whether its image is still here or not.
    pub fn resolved(&self, source: &Source) -> Result<Option<Digest>> {
        Ok(self.known(source, &Platform::here())?.map(|means| means.top))
    }

    /// What a source means, as far as the store knows.
    pub(crate) fn known(&self, source: &Source, on: &Platform) -> Result<Option<Meaning>> {
        if let Some(name) = files::read_json::<Name>(&self.name_path(source, on)?)? {
            let same = name.stamp == Stamp::of(source)?;
            return Ok(same.then_some(Meaning { digest: name.digest, top: name.top }));
        }
        match source {
            Source::Registry(reference) => self.known_by_digest(reference, on),
            _ => Ok(None),
        }
    }

    /// The digest may be a manifest's or that of an index which led to one; it must have come from the
    /// same repository, or been given a name there.
    fn known_by_digest(&self, reference: &Reference, on: &Platform) -> Result<Option<Meaning>> {
        let Some(top) = reference.digest else { return Ok(None) };
        let spot = reference.spot(&top);
        let fits = |record: &ImageRecord| record.spots.contains(&spot) && record.fits(on);
        if let Some(record) = self.image_record(&top)?.filter(fits) {
            return Ok(Some(Meaning { digest: record.digest, top }));
        }
        let best = self.image_records()?.into_values().filter(fits).min_by_key(|record| on.rank(&record.platform()));
        Ok(best.map(|record| Meaning { digest: record.digest, top }))
    }

    fn name_path(&self, source: &Source, on: &Platform) -> Result<PathBuf> {
        let key = Digest::of(format!("{on} {}", source.absolute()?).as_bytes());
        Ok(self.dir.join("names").join(format!("{}.json", key.hex())))
    }

    pub(super) fn image_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("images").join(format!("{}.json", digest.hex()))
    }

    pub(super) fn image_record(&self, digest: &Digest) -> Result<Option<ImageRecord>> {
        let record = files::read_json::<ImageRecord>(&self.image_path(digest))?;
        Ok(record.filter(|record| record.digest == *digest))
    }

    pub(crate) fn names(&self) -> Result<Vec<(PathBuf, Name)>> {
        files::read_all(&self.dir.join("names"))
    }

    /// Makes a whole image known under its name. The last step of a pull.
    pub(crate) fn remember(&self, image: &Image, source: &Source, on: &Platform) -> Result<()> {
        let mut record = ImageRecord::of(image);
        if let Some(before) = self.image_record(&image.digest)? {
            record.spots = before.spots;
        }
        if let Source::Registry(reference) = source {
            record.spots.extend([image.digest, image.resolved].map(|digest| reference.spot(&digest)));
        }
        self.keep_image(&record)?;
        if source.is_standard_input() {
            return Ok(());
        }
        let means = Meaning { digest: image.digest, top: image.resolved };
        files::write_json(&self.name_path(source, on)?, &Name::new(source, on, means)?)
    }

    /// Gives an image of the store another name.
    pub fn tag(&self, image: &Image, name: &Reference) -> Result<()> {
        let _arriving = self.lock_arriving()?;
        let Some(mut record) = self.image_record(&image.digest)? else {
            return Err(Error::new(Kind::Missing, format!("the image `{}` is not in the store", image.reference)));
        };
        let means = Meaning { digest: image.digest, top: name.digest.unwrap_or(image.resolved) };
        if ![image.digest, image.resolved].contains(&means.top) {
            return Err(Error::new(Kind::Name, format!("`{name}` names another digest than the image has")));
        }
        // What a machine can run it looks for under its own platform, whatever the variant.
        let here = Platform::here();
        let on = if record.fits(&here) { here } else { record.platform() };
        record.spots.extend([means.digest, means.top].map(|digest| name.spot(&digest)));
        self.keep_image(&record)?;
        let source = Source::Registry(name.clone());
        files::write_json(&self.name_path(&source, &on)?, &Name::new(&source, &on, means)?.given())
    }

    /// Whether the name was given here, by hand.
    pub(crate) fn is_given(&self, source: &Source, on: &Platform) -> Result<bool> {
        Ok(files::read_json::<Name>(&self.name_path(source, on)?)?.is_some_and(|name| name.given))
    }

    /// The tags that were pulled for this machine: what an update of everything asks for again.
    pub fn tags(&self) -> Result<Vec<Reference>> {
        let here = Platform::here().to_string();
        let pulled = self.names()?.into_iter().filter(|(_, n)| n.stamp.is_none() && !n.given && n.platform == here);
        let mut tags: Vec<Reference> =
            pulled.filter_map(|(_, n)| n.name.parse().ok()).filter(|r: &Reference| r.digest.is_none()).collect();
        tags.sort_by_key(Reference::to_string);
        Ok(tags)
    }
}
