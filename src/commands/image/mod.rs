//! `aido image`: the local image store.

mod export;
mod list;
mod prune;
mod pull;
mod verify;

use crate::cli::{Image, ImageImport, ImageRemove};
use crate::{progress, root, words};
use aido_image::{Options, Platform, Reference, Source};
use aido_runtime::Error;
use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::Write;

pub(crate) fn image(typed: &Image) -> Result<u8> {
    let done = match typed {
        Image::Pull(typed) => pull::pull(typed),
        Image::Import(typed) => import(typed),
        Image::List(typed) => list::list(typed),
        Image::Remove(typed) => remove(typed),
        Image::Prune(typed) => prune::prune(typed),
        Image::Verify(typed) => verify::verify(typed),
        Image::Export(typed) => export::export(typed),
    };
    // All is said by now. What fails here is as it was before, and the next command tries again.
    drop(root::open_store().map(|store| store.settle()));
    done
}

fn import(typed: &ImageImport) -> Result<u8> {
    let source: Source = typed.source.parse().map_err(root::told)?;
    if matches!(source, Source::Registry(_)) {
        let wrong = Error::new(format!("`{}` is no folder or file with an image", typed.source));
        let remedy = format!(
            "name one as oci:DIR, oci-archive:FILE, docker-archive:FILE or rootfs-archive:FILE (`-` is standard input), or aido image pull {}",
            typed.source
        );
        return Err(wrong.remedy(remedy).into());
    }
    let name = typed.name.as_deref().map(str::parse::<Reference>).transpose().map_err(root::told)?;
    if source.is_standard_input() && name.is_none() {
        // What the archive calls itself would take a name that means something else already.
        let wrong =
            Error::new("an image from standard input needs a name, since nobody can ask for it again by its source");
        return Err(wrong.remedy(format!("aido image import {} NAME", typed.source)).into());
    }
    let progress = progress::shown(false);
    let store = root::open_store()?;
    let registries = root::registries()?;
    let options = Options {
        ownership: aido_runtime_linux::image_ownership(),
        offline: false,
        insecure: &[],
        registries: &registries,
        refresh: true,
        platform: Platform::here(),
        progress: &progress,
    };
    let image = root::named(&store, &source, &options, &progress, name.as_ref())?;
    if typed.json {
        let name = name.as_ref().map_or_else(|| image.reference.clone(), Reference::to_string);
        let layers: Vec<String> = image.layers.iter().map(ToString::to_string).collect();
        return print_json(&json!({"name": name, "digest": image.digest, "size": image.size, "layers": layers}));
    }
    print(&format!("{}\n", image.digest))
}

/// Removes one after the other, in the process that may delete what the image's own ids own.
fn remove(typed: &ImageRemove) -> Result<u8> {
    let store = root::open_store()?;
    aido_runtime_linux::with_image_ids(|| {
        let mut all = Vec::new();
        for name in &typed.references {
            let removed = store.remove(name).map_err(|e| in_full(&e))?;
            if !typed.json {
                let freed = match removed.image {
                    Some(_) => format!("{} freed", words::size(removed.bytes)),
                    None => "the image stays, under another name".to_owned(),
                };
                let what = if removed.names.is_empty() { name.clone() } else { removed.names.join(", ") };
                eprintln!("aido: removed {} ({freed})", words::inert(&what));
            }
            all.push(json!({"names": removed.names, "digest": removed.image, "freed": removed.bytes,
                "layers": removed.layers}));
        }
        if typed.json { print_json(&all).map(drop).map_err(|e| e.to_string()) } else { Ok(()) }
    })?;
    Ok(0)
}

/// What fails in a helper process comes home as text alone, so its remedy goes along.
fn in_full(error: &aido_image::Error) -> String {
    let help = error.remedy.as_ref().map(|remedy| format!("\n  help: {remedy}")).unwrap_or_default();
    format!("{error}{help}")
}

pub(super) fn print_json(value: &impl Serialize) -> Result<u8> {
    print(&(serde_json::to_string_pretty(&versioned(value)?)? + "\n"))
}

/// With the version of these forms, in each line of a list. 1: first.
pub(super) fn versioned(value: &impl Serialize) -> Result<Value> {
    const VERSION: u32 = 1;
    let mut value = serde_json::to_value(value)?;
    match &mut value {
        Value::Array(lines) => {
            lines.iter_mut().filter(|line| line.is_object()).for_each(|line| line["version"] = json!(VERSION))
        }
        Value::Object(_) => value["version"] = json!(VERSION),
        _ => {}
    }
    Ok(value)
}

pub(super) fn print(text: &str) -> Result<u8> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(0),
    }
}
