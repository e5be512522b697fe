//! A name that the store knows, and what its registry says of it by now.
//!
//! What a tag was resolved to stays: what ran yesterday runs today. A registry that says something else
//! is quoted, and followed only when that was asked for.

use crate::origin::{self, Origin, Top};
use crate::store::{Image, Store};
use crate::{Digest, Error, Kind, Options, Result, Source, Step};

/// What a pull found out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// It was not in the store, or not whole, and is now.
    Fetched,
    /// The registry was asked: the name means what it meant.
    Same,
    /// The registry means this by now; the store does not.
    Moved(Digest),
    /// The name meant this before, and was brought up to date.
    Updated(Digest),
    /// It is held to its digest, so nobody needed to be asked.
    Pinned,
    /// The name was given here; no registry is known to have it.
    Given,
    /// The registry was not asked, since it must not be.
    Offline,
    /// The registry could not be asked, for this reason; the image is as it was.
    Unreachable(String),
}

/// An image of the store, and what its registry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    pub image: Image,
    pub news: News,
}

impl Store {
    /// Brings the image in if it is not there. If it is, its registry is asked what the name means, by
    /// one request; with `update` the name follows.
    pub fn pull(&self, source: &Source, options: &Options<'_>, update: bool) -> Result<Pulled> {
        let Some(image) = self.find_for(source, options.ownership, &options.platform)? else {
            let before = self.known(source, &options.platform)?.filter(|_| update && !options.offline);
            let image = self.obtain(source, &Options { refresh: update, ..options.clone() })?;
            let moved = before.map(|means| means.top).filter(|top| *top != image.resolved);
            return Ok(Pulled { image, news: moved.map_or(News::Fetched, News::Updated) });
        };
        let Source::Registry(reference) = source else {
            return Ok(Pulled { image, news: News::Same });
        };
        let unasked = if reference.digest.is_some() {
            Some(News::Pinned)
        } else if options.offline {
            Some(News::Offline)
        } else if !update && self.is_given(source, &options.platform)? {
            Some(News::Given)
        } else {
            None
        };
        if let Some(news) = unasked {
            return Ok(Pulled { image, news });
        }
        options.progress.step(Step::Resolving { name: &source.to_string() });
        match self.meant_now(source, options) {
            Ok(now) if now == image.resolved => Ok(Pulled { image, news: News::Same }),
            Ok(now) if !update => Ok(Pulled { image, news: News::Moved(now) }),
            Ok(_) => {
                let before = image.resolved;
                let image = self.obtain(source, &Options { refresh: true, ..options.clone() })?;
                let news = if image.resolved == before { News::Same } else { News::Updated(before) };
                Ok(Pulled { image, news })
            }
            // The image is here, and would have stayed what it is.
            Err(error) if !update && matches!(error.kind, Kind::Registry | Kind::Missing) => {
                Ok(Pulled { image, news: News::Unreachable(error.what) })
            }
            Err(error) => Err(error),
        }
    }

    /// The digest that a name of a registry leads to now, from the registry alone.
    pub fn meant_now(&self, source: &Source, options: &Options<'_>) -> Result<Digest> {
        let place = |e: Error| e.within(format!("image `{source}`"));
        if options.offline {
            let what = format!("offline nobody can be asked what `{source}` means now");
            return Err(Error::new(Kind::Offline, what).remedy("leave out `--offline`"));
        }
        let origin = origin::open(source, options, self.dir()).map_err(place)?;
        top(origin.as_ref()).map_err(place)
    }
}

/// Some registries name no digest when they are asked for it alone: then the document tells.
fn top(origin: &dyn Origin) -> Result<Digest> {
    if let Some(digest) = origin.current()? {
        return Ok(digest);
    }
    match origin.top()? {
        Top::Document(bytes) => Ok(Digest::of(&bytes)),
        Top::Entries(_) => Err(Error::new(Kind::Name, "only a registry says what a name means now")),
    }
}
