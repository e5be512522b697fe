//! Pulls over bad networks and through other people's machines, from a registry that does as it is told.

use crate::project::Project;
use crate::running::Running;
use nix::sys::signal::Signal;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the one layer's file holds: too much for what comes slowly to come soon.
const LAYER: usize = 16 << 20;

/// Serves one image under every name, slowly while it is told to.
#[derive(Default)]
struct State {
    documents: HashMap<String, Vec<u8>>,
    layer: String,
    slow: AtomicBool,
    /// Nobody gets in without a password.
    closed: AtomicBool,
    /// Bytes of the layer that went out.
    served: AtomicU64,
    asked: Mutex<Vec<String>>,
    /// What opened it, as it came.
    passwords: Mutex<Vec<String>>,
}

struct Registry {
    address: String,
    state: Arc<State>,
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A tar stream of one file that no compression makes smaller.
fn layer() -> Vec<u8> {
    let mut header = vec![0_u8; 512];
    header[..5].copy_from_slice(b"noise");
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{LAYER:011o}\0").as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut state = 9_u64;
    header.extend((0..LAYER).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    }));
    header.resize(header.len() + 1024, 0);
    header
}

impl Registry {
    fn start() -> Registry {
        let mut state = State::default();
        let layer = layer();
        let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let config = json!({"os": "linux", "architecture": architecture, "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]}});
        let config = config.to_string().into_bytes();
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&config), "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(&layer), "size": layer.len()}]});
        let manifest = manifest.to_string().into_bytes();
        state.layer = digest(&layer);
        state.documents.insert("1".to_owned(), manifest.clone());
        for document in [manifest, config, layer] {
            state.documents.insert(digest(&document), document);
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(state);
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Registry { address, state }
    }

    fn name(&self) -> String {
        format!("{}/app:1", self.address)
    }

    fn served(&self) -> u64 {
        self.state.served.load(Ordering::SeqCst)
    }

    fn slow(&self, slow: bool) {
        self.state.slow.store(slow, Ordering::SeqCst);
    }

    fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, state: &State) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let line = head.lines().next()?.to_owned();
        state.asked.lock().unwrap().push(line.clone());
        let mut words = line.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let password = head.lines().find_map(|line| {
            line.split_once(": Basic ").filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        });
        state.passwords.lock().unwrap().extend(password.map(|(_, text)| text.to_owned()));
        let found = state.documents.get(path.rsplit('/').next()?);
        let (status, extra, body) = match found {
            _ if method == "CONNECT" => ("403 Forbidden", String::new(), &[][..]),
            _ if state.closed.load(Ordering::SeqCst) && password.is_none() => {
                ("401 Unauthorized", "www-authenticate: Basic realm=\"x\"\r\n".to_owned(), &[][..])
            }
            None => ("404 Not Found", String::new(), &[][..]),
            Some(body) => {
                let range =
                    head.lines().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
                let from: usize = range.and_then(|range| range.strip_suffix('-')?.parse().ok()).unwrap_or(0);
                match from {
                    0 => ("200 OK", String::new(), &body[..]),
                    _ => {
                        let range = format!("content-range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len());
                        ("206 Partial Content", range, &body[from..])
                    }
                }
            }
        };
        let mut out = stream;
        write!(out, "HTTP/1.1 {status}\r\n{extra}content-length: {}\r\n\r\n", body.len()).ok()?;
        if method == "HEAD" {
            continue;
        }
        let large = path.ends_with(&state.layer);
        for piece in body.chunks(64 << 10) {
            out.write_all(piece).ok()?;
            if large {
                state.served.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
            if large && state.slow.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(32));
            }
        }
    }
}

/// What stands in the store of a layer that is not whole.
fn head_length(p: &Project) -> u64 {
    let folder = p.home().join(".local/share/aido/images/partial");
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

fn until_a_head_stands(p: &Project) {
    let start = Instant::now();
    while head_length(p) < 3 << 20 {
        assert!(start.elapsed() < Duration::from_secs(60), "no head: {} bytes", head_length(p));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_pull_that_is_killed_goes_on_where_it_was() {
    let (registry, p) = (Registry::start(), Project::new());
    registry.slow(true);
    let running = p.start(["image", "pull", &registry.name()]);
    until_a_head_stands(&p);
    running.signal(Signal::SIGKILL);
    assert_eq!(running.end().signal, Some(Signal::SIGKILL as i32));
    // Whoever worked for it is gone too, and writes no more.
    std::thread::sleep(Duration::from_millis(200));
    let kept = head_length(&p);
    registry.slow(false);
    let before = registry.served();
    p.aido(["image", "pull", &registry.name()]).ok().prints("sha256:");
    let (rest, whole) = (registry.served() - before, (LAYER + 1536) as u64);
    assert_eq!(rest, whole - kept, "kept {kept} of {whole}");
    assert_eq!(head_length(&p), 0, "what is whole needs no head");
}

#[test]
fn an_interrupted_pull_ends_at_once_and_says_how_it_goes_on() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (registry, p) = (Registry::start(), Project::new());
        registry.slow(true);
        let running = p.start(["image", "pull", &registry.name()]);
        until_a_head_stands(&p);
        let start = Instant::now();
        running.signal(signal);
        let out = running.end();
        assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
        assert_eq!(out.signal, Some(signal as i32), "{}", out.told());
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(said.matches("interrupted").count(), 1, "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        registry.slow(false);
        let before = registry.served();
        p.aido(["image", "pull", &registry.name()]).ok();
        assert!(registry.served() - before < LAYER as u64 - (2 << 20), "all of it was fetched again");
    }
}

/// A registry that asks for a password, and a user whose helper `mine` has it.
fn closed() -> (Registry, Project) {
    let (registry, p) = (Registry::start(), Project::new());
    registry.state.closed.store(true, Ordering::SeqCst);
    let config = json!({"credHelpers": {&registry.address: "mine"}});
    fs::create_dir_all(p.home().join(".docker")).unwrap();
    fs::write(p.home().join(".docker/config.json"), config.to_string()).unwrap();
    (registry, p)
}

fn helper(folder: &Path, script: &str) {
    fs::create_dir_all(folder).unwrap();
    let file = folder.join("docker-credential-mine");
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What stands in base64.
fn plain(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let bits: Vec<u8> = digits.flat_map(|digit| (0..6).rev().map(move |at| (digit >> at & 1) as u8)).collect();
    let bytes = bits.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    String::from_utf8(bytes).unwrap()
}

fn start_pull(registry: &Registry, p: &Project) -> Running {
    let mut command = p.command(["image", "pull", &registry.name()]);
    let folders = [p.path().join("bin"), p.home().join("bin")].map(|folder| folder.display().to_string());
    command.env("PATH", format!("{}:/usr/bin:/bin", folders.join(":")));
    Running::start(command)
}

#[test]
fn a_login_helper_is_run_by_the_user_and_ends_with_the_pull() {
    let (registry, p) = closed();
    // Daemons that keep passwords look at whom they talk to, and programs at whose files they find.
    let script = "r=$(readlink /proc/self/ns/user); \
                  printf '{\"Username\":\"%s\",\"Secret\":\"s3cret-%s\"}' \"$(id -u)/$(stat -c %u \"$HOME\")\" \"$r\"";
    helper(&p.home().join("bin"), script);
    let out = start_pull(&registry, &p).end();
    out.ok().prints("sha256:");
    assert!(!out.told().contains("s3cret"), "{}", out.told());
    let uid = nix::unistd::geteuid();
    let space = fs::read_link("/proc/self/ns/user").unwrap();
    let passwords = registry.state.passwords.lock().unwrap().clone();
    let said = format!("{uid}/{uid}:s3cret-{}", space.display());
    assert!(!passwords.is_empty() && passwords.iter().all(|password| plain(password) == said), "{passwords:?}");

    // One that waits for its user does not outlive whoever asked.
    let marker = crate::host::marker();
    p.aido(["image", "remove", &registry.name()]).ok();
    helper(&p.home().join("bin"), &format!("sleep {marker}"));
    let running = start_pull(&registry, &p);
    crate::host::wait_for("the helper", || (!crate::host::alive(&marker).is_empty()).then_some(()));
    let start = Instant::now();
    running.signal(Signal::SIGINT);
    assert_eq!(running.end().signal, Some(Signal::SIGINT as i32));
    assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
    crate::host::assert_gone(&marker);
}

#[test]
fn a_login_helper_that_hangs_is_given_up_and_not_believed_from_the_project() {
    let (registry, p) = closed();
    let write = helper;
    let pull = || start_pull(&registry, &p).end();
    write(&p.path().join("bin"), "touch \"$HOME/taken\"; echo '{\"Username\":\"u\",\"Secret\":\"s\"}'");
    pull().refused(&["docker-credential", "mine", "not installed"][1..]);
    assert!(!p.home().join("taken").exists(), "a helper of the project's was run");
    write(&p.home().join("bin"), "echo s3cret; echo s3cret >&2; sleep 600");
    let out = pull();
    out.refused(&["mine", "10 seconds"]);
    assert!(!out.told().contains("s3cret") && out.took < Duration::from_secs(30), "{:?}", out.took);
    write(&p.home().join("bin"), "echo '{\"Username\":\"u\",\"Secret\":\"s\"}'");
    pull().ok().prints("sha256:");
}

#[test]
fn a_mirror_of_the_users_serves_a_registry_that_is_not_there() {
    let (mirror, p) = (Registry::start(), Project::new());
    let folder = p.home().join(".config/aido");
    fs::create_dir_all(&folder).unwrap();
    for folder in [p.home().join(".config"), folder.clone()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let file = folder.join("registries.yaml");
    let write = |text: &str| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    };
    write(&format!("registries:\n  nowhere.invalid: {{mirrors: ['{}/copies']}}\n", mirror.address));
    p.aido(["image", "pull", "nowhere.invalid/team/app:1"]).ok().prints("sha256:");
    assert!(mirror.asked()[0].contains("/v2/copies/team/app/manifests/1"), "{:?}", mirror.asked());
    p.aido(["image", "list"]).ok().prints("nowhere.invalid/team/app");
    write("registries:\n  nowhere.invalid: {mirorrs: []}\n");
    p.aido(["image", "pull", "nowhere.invalid/team/app:2"]).refused(&["registries.yaml:2:", "mirrors"]);
    // A project has no word in it.
    fs::remove_file(&file).unwrap();
    p.write("registries.yaml", "registries: {nowhere.invalid: {mirrors: ['127.0.0.1:1']}}");
    let asked = mirror.asked().len();
    p.aido(["image", "pull", "nowhere.invalid/team/app:2"]).refused(&["nowhere.invalid"]);
    assert_eq!(mirror.asked().len(), asked);
}

#[test]
fn a_proxy_is_asked_for_what_is_elsewhere_and_for_nothing_of_this_machine() {
    let (proxy, here, p) = (Registry::start(), Registry::start(), Project::new());
    let pull = |name: &str| {
        let mut command = p.command(["image", "pull", "--insecure-registry", "far.invalid", name]);
        for variable in ["http_proxy", "HTTPS_PROXY"] {
            command.env(variable, format!("http://{}", proxy.address));
        }
        Running::start(command).end()
    };
    pull("far.invalid/app:1").ok().prints("sha256:");
    assert!(
        proxy.asked().iter().any(|line| line.contains(" http://far.invalid/v2/app/manifests/1")),
        "{:?}",
        proxy.asked()
    );
    let asked = proxy.asked().len();
    pull(&here.name()).ok();
    assert_eq!(proxy.asked().len(), asked, "{:?}", &proxy.asked()[asked..]);
    assert!(!here.asked().is_empty());
}
