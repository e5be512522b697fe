//! Whom programs in a sandbox trust where TLS is opened: whom its root trusts, and the run's own authority.

use crate::layout::{Ground, Text};
use aido_runtime::{BUNDLES, TRUST, TRUST_STORE, trust_store, with_authority};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// A bundle is some hundred KiB; what is much larger is none.
const MOST: u64 = 4 << 20;

/// The files that tell: two of aido's own, which variables name, and over those that the root has already.
pub(crate) fn texts(ground: &Ground, authority: &str) -> Vec<Text> {
    let found: Vec<(PathBuf, String)> = BUNDLES.iter().filter_map(|path| find(ground, within(path))).collect();
    let host = || BUNDLES.iter().find_map(|path| read(File::open(path).ok()?));
    let trusted = found.first().map(|(_, text)| text.clone()).or_else(host).unwrap_or_default();
    let text =
        |path: String, trusted: &str, over| Text { path, content: with_authority(trusted, authority).into(), over };
    let store = trust_store(&with_authority(&trusted, authority));
    let mut texts = vec![
        text(within(TRUST).to_string(), &trusted, false),
        Text { path: within(TRUST_STORE).to_string(), content: store, over: false },
    ];
    for (path, trusted) in found {
        let path = path.to_string_lossy().into_owned();
        if texts.iter().all(|text| text.path != path) {
            texts.push(text(path, &trusted, matches!(ground, Ground::Host { .. })));
        }
    }
    texts
}

/// As a root has it.
fn within(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// Where the task finds a bundle, and what is in it.
fn find(ground: &Ground, path: &str) -> Option<(PathBuf, String)> {
    match ground {
        Ground::Host { root } => {
            // By its real name: a link in a folder of the host's cannot be covered, and what it leads to can.
            let real = root.join(path).canonicalize().ok()?;
            let text = read(File::open(&real).ok()?)?;
            Some((real.strip_prefix(root).ok()?.to_path_buf(), text))
        }
        Ground::Layers(layers) => Some((PathBuf::from(path), in_layers(layers, path)?)),
    }
}

/// The uppermost layer that has something at that path decides. Links lead to a path that is looked for by itself.
fn in_layers(layers: &[PathBuf], path: &str) -> Option<String> {
    for layer in layers {
        let folder = File::open(layer).ok()?;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match rustix::fs::openat2(&folder, path, flags, Mode::empty(), how) {
            Ok(file) => return read(file.into()),
            Err(Errno::NOENT) => {}
            Err(_) => return None,
        }
    }
    None
}

fn read(file: File) -> Option<String> {
    let about = file.metadata().ok()?;
    let mut text = String::new();
    let fits = about.is_file() && about.len() <= MOST;
    fits.then(|| file.take(MOST).read_to_string(&mut text).ok()).flatten()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn an_images_own_bundle_is_kept_and_the_uppermost_counts() {
        let (upper, lower) = (
            layer(&[(within(BUNDLES[0]), "upper")]),
            layer(&[(within(BUNDLES[0]), "lower"), (within(BUNDLES[2]), "two\n")]),
        );
        let ground = Ground::Layers(vec![upper.path().into(), lower.path().into()]);
        let texts: Vec<(String, Vec<u8>, bool)> =
            texts(&ground, "mine\n").into_iter().map(|text| (text.path, text.content, text.over)).collect();
        let none = trust_store("");
        let expected = [
            ("etc/aido/trust.pem", &b"upper\nmine\n"[..]),
            ("etc/aido/trust.p12", &none),
            (within(BUNDLES[0]), b"upper\nmine\n"),
            (within(BUNDLES[2]), b"two\nmine\n"),
        ];
        assert_eq!(texts, expected.map(|(path, text)| (path.to_string(), text.to_vec(), false)));
    }

    #[test]
    fn what_an_image_hides_or_links_is_not_read_through() {
        let (upper, lower) = (layer(&[]), layer(&[(within(BUNDLES[0]), "lower")]));
        std::os::unix::fs::symlink("/etc/shadow", upper.path().join("etc")).unwrap();
        assert_eq!(in_layers(&[upper.path().into(), lower.path().into()], within(BUNDLES[0])), None);
        assert_eq!(in_layers(&[lower.path().into()], within(BUNDLES[0])).unwrap(), "lower");
    }

    #[test]
    fn a_link_on_the_host_is_covered_where_it_leads() {
        let root = layer(&[(within(BUNDLES[1]), "host")]);
        std::fs::create_dir_all(root.path().join("etc/ssl/certs")).unwrap();
        std::os::unix::fs::symlink(root.path().join(within(BUNDLES[1])), root.path().join(within(BUNDLES[0]))).unwrap();
        let root = root.path().canonicalize().unwrap();
        let texts = texts(&Ground::Host { root }, "mine");
        let paths: Vec<(&str, bool)> = texts.iter().map(|text| (text.path.as_str(), text.over)).collect();
        assert_eq!(paths, [("etc/aido/trust.pem", false), ("etc/aido/trust.p12", false), (within(BUNDLES[1]), true)]);
    }
}
