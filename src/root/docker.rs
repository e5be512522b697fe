//! A root for a Docker-compatible engine: an image that it has, is given, or pulls itself.

use super::{Ready, folder_root, host, image_root, open_store, source, told};
use crate::backend;
use crate::host::native::own_program;
use crate::progress::Shown;
use crate::settings::{Runtime, Settings};
use aido_image::{Identity, Image, Ownership, Reference, Source, Store};
use aido_runtime::Error;
use aido_runtime_docker::{Docker, Found};
use std::process::{Child, Command, Stdio};

/// What aido calls the images that it gives to an engine: nobody else's name is moved, and no registry has it.
const OURS: &str = "aido.invalid/image";

/// Finds the root in the engine, or brings it there.
pub(super) fn ready(settings: &Settings, progress: &Shown) -> Result<Ready, Error> {
    match &settings.runtime.value {
        // The engine has the words for what it cannot do, and they name the program that is to run.
        Runtime::Host => Ok(Ready { facts: host(), hold: None }),
        Runtime::RootFolder { folder } => folder_root(settings, folder),
        _ => {
            let engine = backend::docker::of_the_caller("image")?;
            let found = image(settings, &engine, progress);
            progress.clear();
            Ok(Ready { facts: backend::docker::facts(found?), hold: None })
        }
    }
}

/// What the runtime's name leads to in the engine, if it can be asked.
pub(super) fn resolved(settings: &Settings) -> Option<String> {
    let Source::Registry(reference) = source(settings).ok()? else { return None };
    let engine = backend::docker::of_the_caller("image").ok()?;
    Some(engine.find(&reference.to_string()).ok()??.digest)
}

fn image(settings: &Settings, engine: &Docker, progress: &Shown) -> Result<Found, Error> {
    let source = source(settings)?;
    let Source::Registry(reference) = &source else {
        // The project's own file or folder: it goes through aido's store, which checks every digest.
        let ready = image_root(settings, progress)?;
        let (store, image) = stored(&source)?.ok_or_else(|| not_there(&source))?;
        let found = given(engine, &store, &image, progress);
        drop(ready.hold);
        return found;
    };
    if let Some(found) = engine.find(&reference.to_string())? {
        return Ok(pinned(found, reference));
    }
    if let Some((store, image)) = stored(&source)? {
        return given(engine, &store, &image, progress);
    }
    if settings.offline {
        return Err(Error::new(format!("the image {reference} is neither in the engine nor in aido's store, and with --offline nobody is asked for it"))
            .remedy(format!("while online: docker pull {reference}, or aido image pull {reference}")));
    }
    if settings.insecure_registries.contains(&reference.registry) {
        // The engine has its own list of these; what was typed here is for aido.
        image_root(settings, progress)?;
        let (store, image) = stored(&source)?.ok_or_else(|| not_there(&source))?;
        return given(engine, &store, &image, progress);
    }
    pulled(engine, reference, progress)
}

fn not_there(source: &Source) -> Error {
    Error::new(format!("`{source}` was obtained, and is not in the store"))
}

/// The image in aido's own store, with whichever owners. Makes no store.
fn stored(source: &Source) -> Result<Option<(Store, Image)>, Error> {
    if !crate::host::native::images().is_ok_and(|folder| folder.is_dir()) {
        return Ok(None);
    }
    let store = open_store()?;
    for ownership in Ownership::ALL {
        if let Some(image) = store.find(source, ownership).map_err(told)? {
            return Ok(Some((store, image)));
        }
    }
    Ok(None)
}

/// An image of the store, in the engine: what it has under aido's name for it, or what it is given now.
fn given(engine: &Docker, store: &Store, image: &Image, progress: &Shown) -> Result<Found, Error> {
    let identity = store.identity(image).map_err(told)?;
    let name = format!("{OURS}:{}", identity.config.hex());
    // An engine may make a manifest of its own for it, which nobody else knows: there the image is known by its ID.
    let named = |found: Found| Found { reference: image.reference.clone(), digest: found.id.clone(), ..found };
    if let Some(found) = engine.find(&name)?.filter(|found| is(found, &identity)) {
        return Ok(named(found));
    }
    let loaded = load(engine, image, &name, progress)?;
    let found = loaded.into_iter().find(|found| is(found, &identity));
    let found = match found {
        Some(found) => Some(found),
        None => engine.find(&name)?.filter(|found| is(found, &identity)),
    };
    found.map(named).ok_or_else(|| {
        Error::new(format!("the engine was given image {}, and has none with its layers", image.reference))
            .remedy("see the engine's own log; `docker image ls` shows what it has")
    })
}

/// Its layers are what makes an image the same: an engine may write a manifest of its own.
fn is(found: &Found, identity: &Identity) -> bool {
    found.layers.iter().map(String::as_str).eq(identity.layers.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// This program writes the archive, in a process of its own: reading an image's files may need another user's rights.
fn load(engine: &Docker, image: &Image, name: &str, progress: &Shown) -> Result<Vec<Found>, Error> {
    let failed = |e: std::io::Error| Error::new(format!("cannot write image {} for the engine: {e}", image.reference));
    let mut command = Command::new(own_program());
    command.args(["image", "export", "--quiet", "--format", "docker-archive", "--as", name, "--output", "-"]);
    command.arg(image.digest.to_string());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let mut archive = child.stdout.take().ok_or_else(|| Error::new("the archive has no stream"))?;
    progress.say(format!("giving {} to the engine", image.reference));
    let loaded = engine.load(&mut archive, &mut |told| progress.engine(&told));
    // Where the engine reads no more, the writer has nobody left to write to.
    drop(archive);
    let written = ended(child);
    match (loaded, written) {
        (Ok(loaded), Ok(())) => Ok(loaded),
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(said)) if said.contains("Broken pipe") => Err(error),
        (_, Err(said)) => Err(Error::new(format!("cannot write image {} for the engine: {said}", image.reference))),
    }
}

/// What the writer of the archive says, if it failed.
fn ended(child: Child) -> Result<(), String> {
    let done = child.wait_with_output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&done.stderr).trim().trim_start_matches("aido: ").to_owned();
    if done.status.success() { Ok(()) } else { Err(said) }
}

fn pulled(engine: &Docker, reference: &Reference, progress: &Shown) -> Result<Found, Error> {
    progress.say(format!("the engine pulls {reference}"));
    let found = engine.pull(&reference.to_string(), &mut |told| progress.engine(&told))?;
    Ok(pinned(found, reference))
}

/// The engine may know an image by more digests than one; the one that was asked for is on record.
fn pinned(found: Found, reference: &Reference) -> Found {
    match reference.digest {
        Some(digest) => Found { digest: digest.to_string(), ..found },
        None => found,
    }
}
