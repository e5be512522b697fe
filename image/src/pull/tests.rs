use super::*;
use crate::recipe::{KEPT, TAPE, beside};
use crate::{Reference, Removed, Which};
use imports::{docker_archive, oci_archive};
use serde_json::json;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

mod bounds;
mod export;
mod imports;
mod names;
mod prune;

mod power;
mod verify;

/// A tar stream of files, by path and content.
fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = ::tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// Blobs and names, as a registry or a layout has them.
#[derive(Clone, Default)]
struct Content {
    blobs: HashMap<String, Vec<u8>>,
    tags: HashMap<String, String>,
    /// Whether the registry keeps the digests of manifests to itself.
    mute: bool,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Content {
    fn add(&mut self, bytes: Vec<u8>) -> serde_json::Value {
        let (digest, size) = (Digest::of(&bytes).to_string(), bytes.len());
        self.blobs.insert(digest.clone(), bytes);
        json!({"mediaType": "application/octet-stream", "digest": digest, "size": size})
    }

    /// An image of these layers under a tag; returns its manifest's descriptor.
    fn image(&mut self, tag: &str, layers: &[Vec<u8>], platform: &Platform) -> serde_json::Value {
        let ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let config = json!({"os": platform.os, "architecture": platform.architecture, "variant": platform.variant,
            "config": {"Env": ["A=1"], "Cmd": ["sh"]}, "rootfs": {"type": "layers", "diff_ids": ids}});
        let mut config = self.add(config.to_string().into_bytes());
        config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
        let layers = layers.iter().map(|layer| {
            let mut blob = self.add(gzip(layer));
            blob["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");
            blob
        });
        let layers: Vec<_> = layers.collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.document(tag, MANIFEST, &manifest)
    }

    fn document(&mut self, tag: &str, kind: &str, document: &serde_json::Value) -> serde_json::Value {
        let mut blob = self.add(document.to_string().into_bytes());
        blob["mediaType"] = json!(kind);
        self.tags.insert(tag.to_owned(), blob["digest"].as_str().unwrap().to_owned());
        blob
    }

    fn simple(files: &[&[(&str, &str)]]) -> Content {
        let mut content = Content::default();
        let layers: Vec<Vec<u8>> = files.iter().map(|files| tar(files)).collect();
        content.image("latest", &layers, &Platform::here());
        content
    }

    /// The compressed layer at this height.
    fn layer(&mut self, height: usize) -> &mut Vec<u8> {
        let manifest: serde_json::Value = serde_json::from_slice(&self.blobs[&self.tags["latest"]]).unwrap();
        self.blobs.get_mut(manifest["layers"][height]["digest"].as_str().unwrap()).unwrap()
    }

    fn layout(&self, dir: &Path) -> Source {
        std::fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        for (digest, bytes) in &self.blobs {
            std::fs::write(dir.join("blobs/sha256").join(&digest[7..]), bytes).unwrap();
        }
        let entries = self.tags.iter().map(|(tag, digest)| {
            json!({"mediaType": MANIFEST, "digest": digest, "size": self.blobs[digest].len(),
                   "annotations": {"org.opencontainers.image.ref.name": tag}})
        });
        let entries: Vec<_> = entries.collect();
        std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
        std::fs::write(dir.join("index.json"), json!({"schemaVersion": 2, "manifests": entries}).to_string()).unwrap();
        Source::OciLayout { dir: dir.to_owned(), which: Which::Only }
    }
}

/// A registry on loopback, for as long as the value lives.
struct Server {
    address: String,
    requests: Arc<AtomicUsize>,
    content: Arc<Mutex<Content>>,
    /// Method and path of each request.
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(content: Content) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let (content, log) = (Arc::new(Mutex::new(content)), Arc::new(Mutex::new(Vec::new())));
        let server = Server { address, requests, content, log };
        let (counter, content, log) = (server.requests.clone(), server.content.clone(), server.log.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(io::Result::ok) {
                let (content, counter, log) = (content.clone(), counter.clone(), log.clone());
                std::thread::spawn(move || drop(serve(&stream, &content, &counter, &log)));
            }
        });
        server
    }

    /// What was asked for since the last time, but for the login.
    fn heard(&self) -> Vec<String> {
        let all = std::mem::take(&mut *self.log.lock().unwrap());
        all.into_iter().filter(|line| !line.ends_with(" /v2/")).collect()
    }

    fn source(&self, rest: &str) -> Source {
        format!("{}/{rest}", self.address).parse().unwrap()
    }

    fn asked(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(
    stream: &std::net::TcpStream,
    content: &Mutex<Content>,
    counter: &AtomicUsize,
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut header = String::new();
        while reader.read_line(&mut header)? > 2 {}
        counter.fetch_add(1, Ordering::SeqCst);
        log.lock().unwrap().push(line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        let content = content.lock().unwrap().clone();
        let last = path.rsplit('/').next().unwrap_or_default();
        let name = content.tags.get(last).map_or(last, String::as_str);
        let (status, body) = match content.blobs.get(name) {
            _ if path == "/v2/" => ("200 OK", &b"{}"[..]),
            Some(body) => ("200 OK", &body[..]),
            None => ("404 Not Found", &br#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#[..]),
        };
        // Sending less than announced and closing is how a broken transfer looks.
        let announced = body.len();
        // A type that is wrong for everything; the digest is that of what a name means.
        let named = if path.contains("/manifests/") && !content.mute {
            format!("docker-content-digest: {}\r\n", Digest::of(body))
        } else {
            String::new()
        };
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: text/plain\r\n{named}content-length: {announced}\r\n\r\n");
        (&*stream).write_all(head.as_bytes())?;
        if !line.starts_with("HEAD") {
            (&*stream).write_all(body)?;
        }
    }
}

struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    Place { dir, store }
}

impl Place {
    fn obtain(&self, source: &Source) -> Result<Image> {
        self.store.obtain(source, &Options::new(Ownership::Squash))
    }

    fn read(&self, image: &Image, path: &str) -> Option<String> {
        let bytes = self.store.read_file(image, path, 1 << 20).unwrap();
        bytes.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// Layer folders and half-made ones.
    fn layers(&self) -> Vec<String> {
        let folder = self.dir.path().join("store/layers/squash");
        let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| ![".json", ".mark", ".tape", ".folders"].iter().any(|beside| name.ends_with(beside)))
            .collect()
    }

    #[track_caller]
    fn refuses(&self, content: &Content, kind: Kind) -> Error {
        let layout = tempfile::tempdir().unwrap();
        let error = self.obtain(&content.layout(layout.path())).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(self.store.list().unwrap().is_empty());
        error
    }
}

#[test]
fn a_pulled_image_is_whole_and_then_needs_no_registry() {
    let server =
        Server::start(Content::simple(&[&[("etc/a", "one"), ("etc/b", "two")], &[("etc/.wh.a", ""), ("c", "three")]]));
    let place = place();
    let source = server.source("team/app");
    assert_eq!(place.store.find(&source, Ownership::Squash).unwrap(), None);
    let image = place.obtain(&source).unwrap();
    assert_eq!((image.layers.len(), image.size, image.config.env.len()), (2, 11, 1));
    assert_eq!(place.read(&image, "/etc/a"), None);
    assert_eq!(place.read(&image, "etc/b").unwrap(), "two");
    assert_eq!(place.read(&image, "/c").unwrap(), "three");
    let before = server.asked();
    let offline = Options { offline: true, ..Options::new(Ownership::Squash) };
    assert_eq!(place.store.obtain(&source, &offline).unwrap(), image);
    assert_eq!(place.obtain(&source).unwrap(), image);
    let pinned = format!("{}/team/app@{}", server.address, image.digest).parse().unwrap();
    assert_eq!(place.obtain(&pinned).unwrap().digest, image.digest);
    assert_eq!(server.asked(), before, "a present image asked the registry");
    let again = place.store.obtain(&source, &Options { refresh: true, ..Options::new(Ownership::Squash) }).unwrap();
    assert_eq!(again.layers, image.layers);
    assert!(server.asked() > before);
}

#[test]
fn offline_opens_no_socket_and_says_what_would() {
    let server = Server::start(Content::simple(&[&[("a", "")]]));
    let source = server.source("app:latest");
    let options = Options { offline: true, refresh: true, ..Options::new(Ownership::Squash) };
    let error = place().store.obtain(&source, &options).unwrap_err();
    assert_eq!((error.kind, server.asked()), (Kind::Offline, 0));
    assert_eq!(error.remedy.unwrap(), format!("aido image pull {source}"));
}

#[test]
fn what_the_registry_does_not_have_is_missing() {
    let server = Server::start(Content::default());
    assert_eq!(place().obtain(&server.source("nothing:1")).unwrap_err().kind, Kind::Missing);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(place().obtain(&format!("{closed}/a").parse().unwrap()).unwrap_err().kind, Kind::Registry);
}

#[test]
fn an_index_gives_this_platform_and_names_those_it_has() {
    let mut content = Content::default();
    let (here, other) = (Platform::here(), "linux/s390x".parse::<Platform>().unwrap());
    let mut entry = |files: &[(&str, &str)], platform: &Platform| {
        let mut blob = content.image("any", &[tar(files)], platform);
        blob["platform"] =
            json!({"os": platform.os, "architecture": platform.architecture, "variant": platform.variant});
        blob
    };
    let (ours, theirs) = (entry(&[("f", "ours")], &here), entry(&[("f", "theirs")], &other));
    let mut unknown = theirs.clone();
    unknown["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    let inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [unknown, theirs.clone(), ours]});
    content.document("latest", INDEX, &inner);
    content.document("foreign", INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs]}));
    let server = Server::start(content);
    let place = place();
    let image = place.obtain(&server.source("app")).unwrap();
    assert_eq!(place.read(&image, "f").unwrap(), "ours");
    let error = place.obtain(&server.source("app:foreign")).unwrap_err();
    assert_eq!(error.kind, Kind::Platform);
    assert!(error.what.contains("linux/s390x"), "{error}");
    let options = Options { platform: other, ..Options::new(Ownership::Squash) };
    let image = place.store.obtain(&server.source("app"), &options).unwrap();
    assert_eq!(place.read(&image, "f").unwrap(), "theirs");
}

#[test]
fn wrong_bytes_never_become_visible() {
    let good = Content::simple(&[&[("a", "lower")], &[("b", &"content ".repeat(9000))]]);
    type Damage = fn(&mut Vec<u8>);
    let damages: [(Damage, Kind); 4] = [
        (|blob| blob.truncate(blob.len() / 2), Kind::Unverified),
        (|blob| blob.extend_from_slice(b"more"), Kind::Unverified),
        (|blob| *blob.last_mut().unwrap() ^= 1, Kind::Unverified),
        (|blob| blob[40] ^= 1, Kind::Unverified),
    ];
    for (damage, kind) in damages {
        let mut bad = good.clone();
        damage(bad.layer(1));
        let place = place();
        place.refuses(&bad, kind);
        assert!(place.layers().len() <= 1, "{:?}", place.layers());
        let server = Server::start(bad);
        let error = place.obtain(&server.source("app")).unwrap_err();
        assert!(matches!(error.kind, Kind::Unverified | Kind::Registry), "{error}");
        assert!(place.layers().iter().all(|name| !name.starts_with('.')));
    }
}

#[test]
fn a_layer_that_unpacks_to_something_else_is_refused() {
    let mut content = Content::default();
    let (promised, sent) = (tar(&[("a", "promised")]), tar(&[("a", "sent")]));
    content.image("latest", &[promised], &Platform::here());
    let manifest = content.tags["latest"].clone();
    let mut document: serde_json::Value = serde_json::from_slice(&content.blobs[&manifest]).unwrap();
    let kind = document["layers"][0]["mediaType"].clone();
    document["layers"][0] = content.add(gzip(&sent));
    document["layers"][0]["mediaType"] = kind;
    content.document("latest", MANIFEST, &document);
    let place = place();
    place.refuses(&content, Kind::Unverified);
    assert!(place.layers().is_empty());
}

#[test]
fn the_manifest_is_held_to_the_digest_that_was_asked_for() {
    let mut content = Content::simple(&[&[("a", "")]]);
    let asked = Digest::of(b"something else");
    let manifest = content.blobs[&content.tags["latest"]].clone();
    content.blobs.insert(asked.to_string(), manifest);
    let server = Server::start(content);
    let error = place().obtain(&server.source(&format!("app@{asked}"))).unwrap_err();
    assert_eq!(error.kind, Kind::Unverified, "{error}");
}

#[test]
fn a_folder_used_without_a_word_is_mended_by_a_layer_on_top() {
    let mut content = Content::default();
    let mut base = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::Directory);
    header.set_mode(0o1777);
    header.set_size(0);
    base.append_data(&mut header, "tmp/", io::empty()).unwrap();
    content.image("latest", &[base.into_inner().unwrap(), tar(&[("tmp/f", "x")])], &Platform::here());
    let place = place();
    let source = content.layout(&place.dir.path().join("layout"));
    let image = place.obtain(&source).unwrap();
    assert_eq!(image.layers.len(), 3);
    let stack = place.store.stack(&image.layers, Ownership::Squash);
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(stack[0].join("tmp")).unwrap().mode() & 0o7777, 0o1777);
    assert_eq!(place.read(&image, "tmp/f").unwrap(), "x");
    assert_eq!(place.store.stack(&image.layers[..1], Ownership::Squash).len(), 2);
}

#[test]
fn only_images_that_an_engine_can_stack_are_taken() {
    let mut content = Content::default();
    content.image("latest", &[], &Platform::here());
    let error = place().refuses(&content, Kind::NoImage);
    assert!(error.what.contains("no layers") && error.remedy.is_some(), "{error}");
    let mut content = Content::default();
    content.image("latest", &vec![tar(&[("f", "")]); limits::LAYERS + 1], &Platform::here());
    place().refuses(&content, Kind::Limit);
}

#[test]
fn hundreds_of_layers_are_stacked_by_merging_the_lowest() {
    let mut content = Content::default();
    let layers = |count: usize| -> Vec<Vec<u8>> {
        (0..count).map(|n| tar(&[("last", &format!("{n}")), (&format!("all/{n}"), "")])).collect()
    };
    content.image("many", &layers(400), &Platform::here());
    content.image("more", &layers(401), &Platform::here());
    content.image("few", &layers(20), &Platform::here());
    let (place, server) = (place(), Server::start(content));
    let image = place.obtain(&server.source("app:many")).unwrap();
    let merged = || -> Vec<String> {
        let Ok(there) = std::fs::read_dir(place.dir.path().join("store/merged/squash")) else { return Vec::new() };
        there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let folders = || merged().iter().filter(|name| !name.ends_with(".json")).count();
    let stack = place.store.stack(&image.layers, Ownership::Squash);
    assert_eq!((image.layers.len(), stack.len(), folders()), (400, 400 - 4 * 63, 4));
    assert_eq!(place.read(&image, "last").unwrap(), "399");
    let files = |folder: &Path| std::fs::read_dir(folder.join("all")).unwrap().count();
    assert_eq!(stack.iter().map(|folder| files(folder)).sum::<usize>(), 400);
    assert_eq!(std::fs::read_to_string(stack[stack.len() - 1].join("last")).unwrap(), "63");
    // What the lowest layers were merged to is shared by an image that begins with them.
    let more = place.obtain(&server.source("app:more")).unwrap();
    place.obtain(&server.source("app:few")).unwrap();
    assert_eq!((place.store.stack(&more.layers, Ownership::Squash).len(), folders()), (401 - 4 * 63, 4));
    // Without it an image is not whole, and made whole again without its origin.
    std::fs::remove_dir_all(&stack[stack.len() - 1]).unwrap();
    assert_eq!(place.store.find(&server.source("app:many"), Ownership::Squash).unwrap(), None);
    assert_eq!(place.store.hold(&image, Ownership::Squash).unwrap_err().kind, Kind::Missing);
    let offline = Options { offline: true, ..Options::new(Ownership::Squash) };
    place.store.obtain(&server.source("app:many"), &offline).unwrap();
    assert_eq!(folders(), 4);
    std::fs::create_dir(place.dir.path().join("store/merged/squash/.new-left")).unwrap();
    place.store.remove(&server.source("app:many").to_string()).unwrap();
    assert_eq!(folders(), 4);
    place.store.remove(&server.source("app:more").to_string()).unwrap();
    assert_eq!(merged(), Vec::<String>::new());
    assert_eq!(place.layers().len(), 20);
}

#[test]
fn layers_that_occur_twice_are_stacked_once() {
    let (a, b) = (tar(&[("f", "a")]), tar(&[("f", "b")]));
    let mut content = Content::default();
    content.image("latest", &[a.clone(), b, a], &Platform::here());
    let place = place();
    let image = place.obtain(&content.layout(&place.dir.path().join("layout"))).unwrap();
    assert_eq!(image.layers.len(), 2);
    assert_eq!(place.read(&image, "f").unwrap(), "a");
}

#[test]
fn archives_give_the_image_of_their_layout() {
    let place = place();
    let dir = place.dir.path().join("layout");
    let source = Content::simple(&[&[("a", "one")], &[("b", "two")]]).layout(&dir);
    let whole = place.obtain(&source).unwrap();
    let packed = place.dir.path().join("archive.tar");
    let tar = |zip: &str| {
        let mut command = std::process::Command::new("tar");
        let done = command.args([zip, packed.to_str().unwrap(), "-C", dir.to_str().unwrap(), "."]).status().unwrap();
        assert!(done.success());
        let fresh = Store::open(&tempfile::tempdir_in(place.dir.path()).unwrap().keep()).unwrap();
        fresh.obtain(&oci_archive(packed.clone()), &Options::new(Ownership::Squash)).unwrap()
    };
    assert_eq!(tar("-cf").digest, whole.digest);
    assert_eq!(tar("-czf").layers, whole.layers);
    // The same file, changed, is another image.
    let name = oci_archive(packed.clone());
    place.obtain(&name).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    Content::simple(&[&[("a", "changed")]]).layout(&dir);
    tar("-cf");
    let changed = place.obtain(&name).unwrap();
    assert_eq!(place.read(&changed, "a").unwrap(), "changed");
}

#[test]
fn an_archive_that_is_no_file_is_refused_and_not_waited_for() {
    let place = place();
    let fifo = place.dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let (store, path) = (place.store.clone(), fifo.clone());
    let (sender, answers) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for source in [oci_archive(path.clone()), docker_archive(path), oci_archive("/".into())] {
            let error = store.obtain(&source, &Options::new(Ownership::Squash)).unwrap_err();
            sender.send((error.kind, error.what)).unwrap();
        }
    });
    for _ in 0..3 {
        let (kind, what) = answers.recv_timeout(std::time::Duration::from_secs(10)).expect("it waits for a writer");
        assert!(kind == Kind::Missing && what.contains("is no file"), "{what}");
    }
}

#[test]
fn docker_archives_are_read_with_their_links() {
    let place = place();
    let (lower, upper) = (tar(&[("a", "one")]), tar(&[("b", "two")]));
    let ids = [Digest::of(&lower), Digest::of(&upper)];
    let here = Platform::here();
    let config =
        json!({"os": here.os, "architecture": here.architecture, "rootfs": {"type": "layers", "diff_ids": ids}});
    let dir = place.dir.path().join("saved");
    std::fs::create_dir_all(dir.join("l1")).unwrap();
    std::fs::create_dir_all(dir.join("l2")).unwrap();
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    std::fs::write(dir.join("l1/real.tar"), &lower).unwrap();
    std::os::unix::fs::symlink("../l1/real.tar", dir.join("l2/layer.tar")).unwrap();
    std::fs::write(dir.join("l1/upper.tar"), gzip(&upper)).unwrap();
    let saved = json!([{"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["l2/layer.tar", "l1/upper.tar"]}]);
    std::fs::write(dir.join("manifest.json"), saved.to_string()).unwrap();
    let file = place.dir.path().join("saved.tar");
    let pack = || {
        let args = ["-cf", file.to_str().unwrap(), "-C", dir.to_str().unwrap(), "."];
        assert!(std::process::Command::new("tar").args(args).status().unwrap().success());
    };
    pack();
    let image = place.obtain(&docker_archive(file.clone())).unwrap();
    assert_eq!(image.layers, ids.map(LayerId));
    assert_eq!(place.read(&image, "a").unwrap() + &place.read(&image, "b").unwrap(), "onetwo");
}

#[test]
fn many_pulls_at_once_unpack_each_layer_once() {
    let layers: Vec<Vec<(String, String)>> =
        (0..6).map(|n| (0..40).map(|f| (format!("d{n}/f{f}"), format!("{n} {f}"))).collect()).collect();
    let layers: Vec<Vec<(&str, &str)>> =
        layers.iter().map(|l| l.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()).collect();
    let slices: Vec<&[(&str, &str)]> = layers.iter().map(Vec::as_slice).collect();
    let server = Server::start(Content::simple(&slices));
    let place = place();
    let images: Vec<Image> = std::thread::scope(|scope| {
        let pull = || place.obtain(&server.source("app")).unwrap();
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(pull)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(images.windows(2).all(|pair| pair[0].layers == pair[1].layers));
    assert_eq!(place.layers().len(), 6);
    assert_eq!(place.read(&images[0], "d5/f39").unwrap(), "5 39");
}

#[test]
fn what_a_killed_pull_left_is_swept_and_does_not_disturb() {
    let place = place();
    let source = Content::simple(&[&[("a", "x")]]).layout(&place.dir.path().join("layout"));
    let flavour = place.dir.path().join("store/layers/squash");
    let half = flavour.join(format!(".new-{}", Digest::of(&tar(&[("a", "x")])).hex()));
    let other = flavour.join(format!(".new-{}", Digest::of(b"another").hex()));
    let gone = flavour.join(".gone-1-2");
    let kept = beside(&other, KEPT);
    for folder in [&half, &other, &gone, &kept, &beside(&half, KEPT)] {
        std::fs::create_dir_all(folder.join("a/b")).unwrap();
    }
    // Recipes and a record without their layers: of one that grew, and of one that was placed or removed.
    let lone = flavour.join(Digest::of(b"another").hex());
    let strays = [&half, &other, &lone].map(|layer| beside(layer, TAPE));
    let strays = [&strays[..], &[".json", ".mark"].map(|ending| beside(&lone, ending))].concat();
    strays.iter().for_each(|stray| std::fs::write(stray, "stray").unwrap());
    std::fs::create_dir_all(beside(&lone, KEPT).join("a")).unwrap();
    let image = place.obtain(&source).unwrap();
    assert_eq!(place.read(&image, "a").unwrap(), "x");
    assert!(!half.exists() && !other.exists() && !gone.exists());
    let left: BTreeSet<_> =
        std::fs::read_dir(&flavour).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let hex = image.layers[0].0.hex();
    assert_eq!(left, ["", ".folders", ".json", ".mark", ".tape"].map(|end| format!("{hex}{end}")).into());
}

#[test]
fn removal_keeps_what_others_use() {
    let place = place();
    let base = tar(&[("base", "shared")]);
    let mut content = Content::default();
    content.image("one", &[base.clone(), tar(&[("x", "1")])], &Platform::here());
    content.image("two", &[base, tar(&[("x", "2")])], &Platform::here());
    let server = Server::start(content);
    let one = place.obtain(&server.source("app:one")).unwrap();
    let two = place.obtain(&server.source("app:two")).unwrap();
    place.store.tag(&one, &"mine:1".parse::<Reference>().unwrap()).unwrap();
    assert_eq!(place.store.list().unwrap().len(), 2);
    let removed = place.store.remove("mine:1").unwrap();
    assert_eq!(removed, Removed { names: vec!["docker.io/library/mine:1".to_owned()], ..Removed::default() });
    let hold = place.store.hold(&one, Ownership::Squash).unwrap();
    let by_digest = &one.digest.hex()[..12];
    assert_eq!(place.store.remove(by_digest).unwrap_err().kind, Kind::Busy);
    drop(hold);
    let removed = place.store.remove(by_digest).unwrap();
    assert_eq!((removed.image, removed.layers.len(), removed.bytes), (Some(one.digest), 1, 1));
    assert_eq!(place.layers().len(), 2);
    assert_eq!(place.read(&two, "base").unwrap(), "shared");
    assert_eq!(place.store.find(&server.source("app:one"), Ownership::Squash).unwrap(), None);
    assert_eq!(place.store.hold(&one, Ownership::Squash).unwrap_err().kind, Kind::Missing);
    assert_eq!(place.store.remove("app:three").unwrap_err().kind, Kind::Missing);
    place.store.remove(&server.source("app:two").to_string()).unwrap();
    assert!(place.layers().is_empty() && place.store.list().unwrap().is_empty());
    place.obtain(&server.source("app:one")).unwrap();
}

#[test]
fn names_of_local_files_do_not_keep_a_removed_image() {
    let place = place();
    let source = Content::simple(&[&[("a", "x")]]).layout(&place.dir.path().join("layout"));
    let image = place.obtain(&source).unwrap();
    place.store.tag(&image, &"mine".parse::<Reference>().unwrap()).unwrap();
    assert_eq!(
        place.store.find(&"mine:latest".parse().unwrap(), Ownership::Squash).unwrap().unwrap().digest,
        image.digest
    );
    assert_eq!(place.store.remove("mine").unwrap().image, Some(image.digest));
    assert!(place.store.list().unwrap().is_empty());
}

#[test]
fn removal_takes_along_what_failed_imports_left() {
    let place = place();
    let mut content = Content::simple(&[&[("kept", "1")]]);
    content.image("other", &[tar(&[("o", "2")])], &Platform::here());
    let server = Server::start(content);
    let (kept, other) = (server.source("app"), server.source("app:other"));
    let image = place.obtain(&kept).unwrap();
    place.obtain(&other).unwrap();
    // The first layer comes in whole, the second one is broken.
    let fails = || {
        let mut broken = Content::simple(&[&[("orphan", "12345")], &[("b", &"content ".repeat(9000))]]);
        let half = broken.layer(1).len() / 2;
        broken.layer(1).truncate(half);
        let dir = tempfile::tempdir().unwrap();
        place.obtain(&broken.layout(dir.path())).unwrap_err();
        // The larger one is taken first, and its failure may stop the small one before it is there.
        let orphan = place.store.layer_folder(&LayerId(Digest::of(b"orphan")), Ownership::Squash);
        std::fs::create_dir_all(orphan.join("a")).unwrap();
        assert!(place.layers().len() >= 2);
        // What a process leaves that dies before its image has a record.
        for kind in ["manifest", "config"] {
            let document = format!("store/blobs/{}.{kind}", Digest::of(b"orphan").hex());
            std::fs::write(place.dir.path().join(document), "{}").unwrap();
        }
    };
    let blobs = || std::fs::read_dir(place.dir.path().join("store/blobs")).unwrap().count();
    fails();
    assert_eq!(blobs(), 6);
    // Neither while somebody unpacks into it, nor while a sandbox has an image.
    let arriving =
        Lock::exclusive(&place.store.layer_lock_path(&LayerId(Digest::of(b"orphan")), Ownership::Squash), || ())
            .unwrap();
    place.store.remove(&other.to_string()).unwrap();
    assert_eq!((place.layers().len(), blobs()), (2, 2));
    drop(arriving);
    place.obtain(&other).unwrap();
    let hold = place.store.hold(&image, Ownership::Squash).unwrap();
    place.store.remove(&other.to_string()).unwrap();
    assert_eq!(place.layers().len(), 2);
    drop(hold);
    place.store.tag(&image, &"mine:1".parse::<Reference>().unwrap()).unwrap();
    let removed = place.store.remove("mine:1").unwrap();
    assert_eq!((removed.image, removed.layers), (None, vec![LayerId(Digest::of(b"orphan"))]));
    assert_eq!(place.layers(), [image.layers[0].0.hex()]);
    assert_eq!(place.read(&image, "kept").unwrap(), "1");
}
