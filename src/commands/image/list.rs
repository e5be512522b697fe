//! `aido image list`: what is in the store, and when it was used.

use super::{print, print_json};
use crate::cli::ImageList;
use crate::{listing, root, words};
use aido_image::Listed;
use anyhow::Result;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn list(typed: &ImageList) -> Result<u8> {
    let listed = root::open_store()?.list().map_err(root::told)?;
    if typed.json {
        return print_json(&listed);
    }
    if listed.is_empty() {
        eprintln!("aido: no image in the store yet; `aido image pull IMAGE` brings one");
        return Ok(0);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let head = ["NAME", "DIGEST", "PLATFORM", "SIZE", "SHARED", "FETCHED", "USED"].map(str::to_owned);
    let rows: Vec<[String; 7]> =
        std::iter::once(head).chain(listed.iter().flat_map(|image| rows(image, now))).collect();
    print(&listing::table(&rows))
}

/// One row for each name.
fn rows(image: &Listed, now: u64) -> Vec<[String; 7]> {
    let nameless = ["<no name>".to_owned()];
    let names = if image.names.is_empty() { &nameless[..] } else { &image.names[..] };
    let ago = |seconds: u64| words::ago(now.saturating_sub(seconds) * 1000);
    let used = match image.used {
        _ if image.in_use => "now".to_owned(),
        Some(seconds) => ago(seconds),
        None => "never".to_owned(),
    };
    let shared = if image.shared == 0 { "-".to_owned() } else { words::size(image.shared) };
    let row = |name: &String| {
        let (digest, size) = (start(&image.digest.to_string()), words::size(image.size));
        let name = words::inert(&short(name));
        [name, digest, image.platform.clone(), size, shared.clone(), ago(image.fetched), used.clone()]
    };
    names.iter().map(row).collect()
}

/// The beginning of a digest, which is enough to name an image by.
fn start(digest: &str) -> String {
    digest.chars().take("sha256:".len() + 12).collect()
}

/// A name with the beginning of its digest, where it has one.
fn short(name: &str) -> String {
    match name.split_once('@') {
        Some((name, digest)) => format!("{name}@{}", start(digest)),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_row_and_use_is_said() {
        let digest = aido_image::Digest::of(b"");
        let names = vec!["docker.io/library/a:1".to_owned(), format!("docker.io/library/a:1@{digest}")];
        let mut image = Listed {
            names,
            digest,
            platform: "linux/amd64".to_owned(),
            size: 2048,
            shared: 0,
            fetched: 100,
            used: Some(3700),
            in_use: false,
            resolved: [].into(),
            unpacked: Vec::new(),
        };
        let told = rows(&image, 7300);
        let cut = "sha256:e3b0c44298fc";
        assert_eq!(
            told[0],
            ["docker.io/library/a:1", cut, "linux/amd64", words::size(2048).as_str(), "-", "2h ago", "1h ago"]
        );
        assert_eq!(told[1][0], format!("docker.io/library/a:1@{cut}"));
        (image.in_use, image.names) = (true, Vec::new());
        assert_eq!((&rows(&image, 7300)[0][0][..], &rows(&image, 7300)[0][6][..]), ("<no name>", "now"));
        (image.in_use, image.used) = (false, None);
        assert_eq!(rows(&image, 7300)[0][6], "never");
    }
}
