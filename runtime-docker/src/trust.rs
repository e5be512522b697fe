//! Whom programs in a container trust where TLS is opened: whom its image trusts, and the run's own authority. No single file can be
//! laid into a root that is read-only, so the folder of each bundle becomes a volume: the image's own content, with the
//! bundle written anew.

use crate::client::Session;
use aido_runtime::{BUNDLES, TRUST, TRUST_STORE, trust_store, with_authority};
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use futures_util::StreamExt;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// A bundle is some hundred KiB; what is much larger is none.
const MOST: usize = 4 << 20;
/// The engine sends it within this, or it counts as none.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder, and the files that are new in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) path: String,
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// The folders that tell: one of aido's own, which variables name, and those of the bundles of this container's image.
pub(crate) async fn folders(session: &Session, container: &str, authority: &str) -> Vec<Folder> {
    let mut found = Vec::new();
    for path in BUNDLES {
        if let Some(text) = bundle(session, container, path).await {
            found.push((path, text));
        }
    }
    let here = || BUNDLES.iter().find_map(|path| text(std::fs::File::open(path).ok()?));
    joined(&found, here, authority)
}

fn joined(found: &[(&str, String)], here: impl Fn() -> Option<String>, authority: &str) -> Vec<Folder> {
    let with = |trusted: &str| with_authority(trusted, authority);
    // An image without a bundle trusts whom this machine trusts.
    let trusted = found.first().map(|(_, text)| text.clone()).or_else(here).unwrap_or_default();
    let own = (TRUST, trusted);
    let all = std::iter::once((own.0, &own.1)).chain(found.iter().map(|(path, text)| (*path, text)));
    let mut folders: Vec<Folder> = Vec::new();
    for (path, trusted) in all {
        let Some((folder, name)) = path.rsplit_once('/') else { continue };
        let mut files = vec![(name.to_string(), with(trusted).into_bytes())];
        if path == TRUST {
            let store = TRUST_STORE.trim_start_matches(folder).trim_start_matches('/');
            files.push((store.to_string(), trust_store(&with(trusted))));
        }
        match folders.iter_mut().find(|known| known.path == folder) {
            Some(known) => known.files.extend(files),
            None => folders.push(Folder { path: folder.into(), files }),
        }
    }
    folders
}

/// The bundle at that path of a container, if a file is there. Links lead to a path that is looked for by itself.
async fn bundle(session: &Session, container: &str, path: &str) -> Option<String> {
    let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
    let mut pieces = std::pin::pin!(session.slow.download_from_container(container, Some(options)));
    let mut archive = Vec::new();
    let reading = async {
        while let Some(piece) = pieces.next().await {
            archive.extend_from_slice(&piece.ok()?);
            if archive.len() > MOST {
                return None;
            }
        }
        Some(())
    };
    tokio::time::timeout(PATIENCE, reading).await.ok()??;
    of_archive(&archive, path)
}

fn of_archive(archive: &[u8], path: &str) -> Option<String> {
    let mut archive = tar::Archive::new(archive);
    let mut entry = archive.entries().ok()?.next()?.ok()?;
    let is_it = entry.path().ok()?.file_name() == Path::new(path).file_name();
    let mut text = String::new();
    (is_it && entry.header().entry_type().is_file()).then(|| entry.read_to_string(&mut text).ok()).flatten()?;
    Some(text)
}

fn text(file: std::fs::File) -> Option<String> {
    let mut text = String::new();
    file.take(MOST as u64).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bundle_keeps_whom_it_trusts_and_gets_one_more() {
        let found = [(BUNDLES[0], "debian".to_string()), (BUNDLES[4], "suse\n".to_string())];
        let folders = joined(&found, || Some("here".into()), "mine\n");
        let file = |name: &str, text: &str| (name.to_string(), text.as_bytes().to_vec());
        let own = |text: &str| vec![file("trust.pem", text), ("trust.p12".to_string(), trust_store(text))];
        assert_eq!(folders[0], Folder { path: "/etc/aido".into(), files: own("debian\nmine\n") });
        let debian = vec![file("ca-certificates.crt", "debian\nmine\n")];
        assert_eq!(folders[1], Folder { path: "/etc/ssl/certs".into(), files: debian });
        let suse = vec![file("ca-bundle.pem", "suse\nmine\n")];
        assert_eq!(folders[2], Folder { path: "/etc/ssl".into(), files: suse });
        let none = joined(&[], || Some("here".into()), "mine\n");
        assert_eq!(none, [Folder { path: "/etc/aido".into(), files: own("here\nmine\n") }]);
    }

    #[test]
    fn a_link_is_no_bundle() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "cert.pem", "/etc/shadow").unwrap();
        assert_eq!(of_archive(&archive.into_inner().unwrap(), "/etc/ssl/cert.pem"), None);
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        archive.append_data(&mut header, "cert.pem", &b"pem"[..]).unwrap();
        assert_eq!(of_archive(&archive.into_inner().unwrap(), "/etc/ssl/cert.pem").as_deref(), Some("pem"));
    }
}
