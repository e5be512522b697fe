//! `aido image verify`: whether what the store holds is what was pulled.

use super::{print, print_json};
use crate::cli::ImageVerify;
use crate::host::rights::with_image_rights;
use crate::{progress, root, words};
use aido_image::{CheckedImage, CheckedLayer, Ownership, Report};
use anyhow::Result;

/// Something is damaged. Not 125: aido did what was asked for.
const DAMAGED: u8 = 1;

pub(crate) fn verify(typed: &ImageVerify) -> Result<u8> {
    let store = root::open_store()?;
    let progress = progress::shown(typed.quiet);
    let report = with_image_rights(|| {
        let looked = store.verify(&typed.references, &progress);
        progress.clear();
        let mut report = looked?;
        if typed.remove && !report.is_sound() {
            store.drop_damaged(&mut report)?;
        }
        Ok(report)
    })?;
    let status = if report.is_sound() { 0 } else { DAMAGED };
    if typed.json {
        print_json(&serde_json::json!({"sound": report.is_sound(), "images": report.images,
            "layers": report.layers, "records": report.records}))?;
    } else {
        print(&told(&report, typed.quiet))?;
        help(&report, typed);
    }
    Ok(status)
}

fn told(report: &Report, quiet: bool) -> String {
    let mut text = String::new();
    let mut line = |what: &str, state: &str, words: &[String]| {
        text.push_str(&format!("{what}  {state}\n"));
        words.iter().for_each(|word| text.push_str(&format!("    {}\n", words::inert(word))));
    };
    for record in &report.records {
        line(
            &words::inert(&record.path.to_string_lossy()),
            state(true, record.removed),
            std::slice::from_ref(&record.damage),
        );
    }
    for image in &report.images {
        let damaged = !image.damage.is_empty() || layers_of(report, image).any(|layer| !layer.damage.is_empty());
        if damaged || !quiet {
            let kept = image.kept.iter().map(|why| format!("not removed: {why}"));
            let all: Vec<String> = image.damage.iter().cloned().chain(kept).collect();
            line(&called(image), state(damaged, image.removed), &all);
        }
    }
    for layer in &report.layers {
        let what = format!("layer {} ({})", layer.layer, flavour(layer.unpacked));
        if let Some(why) = &layer.unread {
            line(&what, "not looked at", std::slice::from_ref(why));
        } else if !layer.damage.is_empty() {
            let of = format!("of {}", layer.images.join(", "));
            let mut all: Vec<String> = if layer.images.is_empty() { Vec::new() } else { vec![of] };
            all.extend(layer.damage.iter().cloned());
            all.extend(layer.kept.iter().map(|why| format!("not removed: {why}")));
            line(&what, state(true, layer.removed), &all);
        }
    }
    text
}

fn layers_of<'a>(report: &'a Report, image: &'a CheckedImage) -> impl Iterator<Item = &'a CheckedLayer> {
    report.layers.iter().filter(|layer| image.layers.contains(&layer.layer))
}

fn called(image: &CheckedImage) -> String {
    if image.names.is_empty() { image.digest.to_string() } else { words::inert(&image.names.join(", ")) }
}

fn state(damaged: bool, removed: bool) -> &'static str {
    match (damaged, removed) {
        (false, _) => "sound",
        (true, false) => "damaged",
        (true, true) => "damaged, removed",
    }
}

fn flavour(ownership: Ownership) -> &'static str {
    match ownership {
        Ownership::Squash => "one owner",
        Ownership::Keep { .. } => "owners kept",
    }
}

/// What was seen, in one line, and what mends it.
fn help(report: &Report, typed: &ImageVerify) {
    if report.is_sound() {
        if !typed.quiet {
            let bytes = report.layers.iter().map(|layer| layer.bytes).sum();
            let (images, layers) = (report.images.len(), report.layers.len());
            let (images, layers) = (words::count(images, "image"), words::count(layers, "layer"));
            eprintln!("aido: {images} and {layers}, {} in all, are as they were pulled", words::size(bytes));
        }
        return;
    }
    let hurt = |image: &&CheckedImage| {
        !image.damage.is_empty() || layers_of(report, image).any(|layer| !layer.damage.is_empty())
    };
    let names: Vec<String> = report.images.iter().filter(hurt).flat_map(|image| image.names.first().cloned()).collect();
    if !typed.remove {
        eprintln!("  help: aido image verify --remove takes away what is damaged");
    }
    if !names.is_empty() {
        eprintln!("  help: aido image pull {} brings it again", words::inert(&names.join(" ")));
    }
}
