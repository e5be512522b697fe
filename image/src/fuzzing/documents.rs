//! Small documents and names: any bytes are read, refused or believed, and never more than that.

use crate::decode::{Bounded, Decoder};
use crate::digest::Hashing;
use crate::manifest::{self, Document};
use crate::{Platform, Reference, Source, limits};
use std::io::Read;

/// What a decoder may give here: enough for any small input, and quickly done.
const MOST: u64 = 8 << 20;

/// A reader that gives a few bytes at a time.
struct Drips<'a>(&'a [u8], usize);

impl Read for Drips<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(self.0.len()).min(buffer.len());
        let (now, later) = self.0.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.0 = later;
        Ok(count)
    }
}

fn decoded(raw: impl Read + Send) -> Result<Vec<u8>, String> {
    let raw = Hashing::new(raw);
    let meter = raw.meter();
    let mut out = Vec::new();
    let decoder = Decoder::new(raw).map_err(|e| e.to_string())?;
    Bounded::new(decoder, meter).take(MOST).read_to_end(&mut out).map_err(|e| e.to_string())?;
    Ok(out)
}

pub(super) fn decoder(bytes: &[u8]) {
    let whole = decoded(bytes);
    let dripped = decoded(Drips(bytes, bytes.len() % 5 + 1));
    match (whole, dripped) {
        (Ok(one), Ok(other)) => assert!(one == other, "where the chunks end changes what comes out"),
        (Err(_), Err(_)) => {}
        (one, other) => panic!("chunks decide whether it is taken: {:?}, {:?}", one.is_ok(), other.is_ok()),
    }
}

fn platforms() -> [Platform; 2] {
    ["linux/amd64", "linux/arm/v7"].map(|text| text.parse().unwrap_or_else(|e| panic!("{text}: {e}")))
}

pub(super) fn manifest(bytes: &[u8]) {
    match Document::parse(bytes) {
        Ok(Document::Manifest(manifest)) => {
            assert!(!manifest.layers.is_empty() && manifest.layers.len() <= limits::LAYERS, "an odd number of layers");
        }
        Ok(Document::Index(entries)) => {
            for platform in platforms() {
                if let Ok(entry) = manifest::choose(&entries, &platform) {
                    assert!(entry.platform.as_ref().is_none_or(|p| platform.rank(p).is_some()), "a foreign platform");
                }
            }
        }
        Err(error) => assert!(!error.what.is_empty()),
    }
}

pub(super) fn config(bytes: &[u8]) {
    for platform in platforms() {
        for layers in 0..3 {
            if let Ok((config, ids)) = manifest::config(bytes, layers, &platform) {
                assert_eq!(ids.len(), layers);
                let text = serde_json::to_vec(&config).unwrap_or_else(|e| panic!("it cannot be written: {e}"));
                let back: crate::Config = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(back, config, "the store would give back another config");
            }
        }
    }
}

pub(super) fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(reference) = text.parse::<Reference>() {
        let printed = reference.to_string();
        assert_eq!(printed.parse::<Reference>().as_ref().ok(), Some(&reference), "{printed} reads back as another");
        assert!(reference.repository.split('/').all(|part| !matches!(part, "" | "." | "..")), "{printed} climbs");
        assert!(printed.bytes().all(|b| b.is_ascii_graphic()), "{printed:?} steers a terminal");
    }
    if let Ok(source) = text.parse::<Source>() {
        let printed = source.to_string();
        assert_eq!(printed.parse::<Source>().as_ref().ok(), Some(&source), "{printed} reads back as another");
    }
}
