//! `aido image prune`: takes out what nobody needs.

use super::print_json;
use crate::cli::ImagePrune;
use crate::{root, words};
use aido_image::{Prune, Pruned};
use aido_runtime::Error;
use anyhow::Result;
use serde_json::json;

pub(super) fn prune(typed: &ImagePrune) -> Result<u8> {
    let store = root::open_store()?;
    let what = Prune { all: typed.all, older_than: typed.older_than, dry: typed.dry_run };
    root::among_image_ids(|| {
        let pruned = store.prune(what).map_err(root::told)?;
        if typed.json { in_json(&pruned, what.dry) } else { tell(&pruned, what.dry) }
    })?;
    Ok(0)
}

fn tell(pruned: &Pruned, dry: bool) -> Result<(), Error> {
    let say = |text: String| words::say(&words::inert(&text));
    let (goes, freed) = if dry { ("would remove", "would be freed") } else { ("removed", "freed") };
    for gone in &pruned.images {
        let name = if gone.names.is_empty() { gone.digest.to_string() } else { gone.names.join(", ") };
        say(format!("{goes} {name} ({} {freed})", words::size(gone.bytes)));
    }
    for digest in &pruned.in_use {
        say(format!("{digest} stays: a sandbox uses it"));
    }
    let (layers, partial) = (pruned.layers.len(), pruned.partial);
    if layers + partial > 0 {
        say(format!("{goes} what failed pulls left: {layers} layers, {partial} downloads that broke off"));
    }
    say(format!("{} {freed} in all", words::size(pruned.bytes)));
    Ok(())
}

fn in_json(pruned: &Pruned, dry: bool) -> Result<(), Error> {
    let images = pruned.images.iter();
    let images: Vec<_> =
        images.map(|gone| json!({"names": gone.names, "digest": gone.digest, "freed": gone.bytes})).collect();
    let value = json!({"images": images, "in_use": pruned.in_use, "layers": pruned.layers, "partial": pruned.partial,
        "freed": pruned.bytes, "dry_run": dry});
    print_json(&value).map(drop).map_err(|e| Error::new(e.to_string()))
}
