//! From the `runtime:` that was asked for to the facts of a root: an image that the engine has or pulls.

use crate::backend::{self, Backend};
use crate::cli::Check;
use crate::plan::RootFacts;
use crate::progress::Shown;
use crate::settings::{Runtime, Settings};
use aido_image::{Digest, Reference, Source};
use aido_runtime::{Error, Root};
use aido_runtime_docker::Found;
use std::convert::Infallible;
use std::path::Path;

/// Nothing has to be held, and nothing is: the engine keeps its images.
pub(crate) struct Hold(#[expect(dead_code, reason = "never made")] Box<Infallible>);

/// A root that is ready to be used.
pub(crate) struct Ready {
    pub(crate) facts: RootFacts,
    pub(crate) hold: Option<Hold>,
}

/// Finds the root that the settings name in the engine, or has it pulled.
pub(crate) fn ready(settings: &Settings, backend: Backend, progress: &Shown) -> Result<Ready, Error> {
    if backend == Backend::Linux {
        backend::engine(backend, "probe")?;
    }
    let facts = match &settings.runtime.value {
        // The engine has the words for what it cannot do, and they name the program that is to run.
        Runtime::Host => RootFacts::host(0, 0, Vec::new()),
        Runtime::RootFolder { folder } => {
            let root = Root::Folder { path: settings.project.join(folder) };
            RootFacts { root, ..RootFacts::host(0, 0, Vec::new()) }
        }
        _ => {
            let found = image(settings, progress);
            progress.clear();
            backend::docker::facts(found?)
        }
    };
    Ok(Ready { facts, hold: None })
}

/// What the runtime's name leads to, as far as the engine knows.
pub(crate) fn resolved(settings: &Settings, _backend: Backend) -> Option<String> {
    let engine = backend::docker::of_the_caller("image").ok()?;
    Some(engine.find(&reference(settings).ok()?.to_string()).ok()??.digest)
}

/// The names of what is in a store of aido's own, which is not used here.
pub(crate) fn image_names() -> Vec<String> {
    Vec::new()
}

/// What a tag means now: what the engine has under it, or pulls.
pub(crate) fn meaning(tag: &Reference, asked: &Check) -> Result<Digest, Error> {
    let engine = backend::docker::of_the_caller("image")?;
    let progress = crate::progress::shown(false);
    let found = match engine.find(&tag.to_string())?.filter(|_| !asked.update) {
        Some(found) => found,
        None if asked.offline => {
            return Err(Error::new(format!("the engine has no image {tag}, and with --offline it is not asked")));
        }
        None => engine.pull(&tag.to_string(), &mut |told| progress.engine(&told))?,
    };
    found.digest.parse().map_err(told)
}

/// An error of names, in the contract's form.
pub(crate) fn told(error: aido_image::Error) -> Error {
    Error { what: error.what, remedy: error.remedy }
}

fn image(settings: &Settings, progress: &Shown) -> Result<Found, Error> {
    let reference = reference(settings)?;
    let engine = backend::docker::of_the_caller("image")?;
    if let Some(found) = engine.find(&reference.to_string())? {
        return Ok(found);
    }
    if settings.offline {
        let what = format!("the engine has no image {reference}, and with --offline it is not asked to pull it");
        return Err(Error::new(what).remedy(format!("while online: docker pull {reference}")));
    }
    progress.say(format!("the engine pulls {reference}"));
    engine.pull(&reference.to_string(), &mut |told| progress.engine(&told))
}

fn reference(settings: &Settings) -> Result<Reference, Error> {
    let runtime = &settings.runtime.value;
    let file = || runtime.path().unwrap_or(Path::new("FILE")).display().to_string();
    let source: Source = runtime.to_string().parse().map_err(told)?;
    match source {
        Source::Registry(reference) => Ok(reference),
        Source::RootArchive(_) => Err(elsewhere(runtime, &format!("docker import {} NAME", file()))),
        Source::OciLayout { .. } => {
            Err(elsewhere(runtime, "pack the folder with tar, give it to `docker load`, and name the image"))
        }
        _ => Err(elsewhere(runtime, &format!("docker load -i {}, and name the image", file()))),
    }
}

fn elsewhere(runtime: &Runtime, remedy: &str) -> Error {
    Error::new(format!("`{runtime}`: aido reads such files on Linux only; here the engine has the images"))
        .remedy(remedy)
}
