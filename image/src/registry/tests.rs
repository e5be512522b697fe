mod server;

use super::pace::tests::SHORT;
use super::*;
use crate::{Rules, Silent};
use server::{Body, Reply, Seen, Server};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Remembers why it was waited.
#[derive(Default)]
struct Heard(Mutex<Vec<(String, Duration)>>);

impl Progress for Heard {
    fn step(&self, step: Step<'_>) {
        if let Step::Retrying { why, wait } = step {
            self.0.lock().unwrap().push((why.to_owned(), wait));
        }
    }
}

impl Heard {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

fn no_logins() -> Logins {
    Logins::here(|_| None)
}

fn reference(name: &str) -> Reference {
    name.parse().unwrap()
}

fn link(server: &Server) -> Link {
    with(&server.address, &Registries::default(), no_logins())
}

fn with(address: &str, registries: &Registries, logins: Logins) -> Link {
    Link::with(&reference(&format!("{address}/team/app:1")), &[], registries, logins, SHORT).unwrap()
}

/// A login for a host, as a file.
fn logged_in(host: &str, stored: &serde_json::Value) -> (tempfile::TempDir, Logins) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config.json");
    std::fs::write(&file, serde_json::json!({"auths": {host: stored}}).to_string()).unwrap();
    let logins = Logins::here(|name| (name == "REGISTRY_AUTH_FILE").then(|| file.clone().into_os_string()));
    (home, logins)
}

fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    (0..size).map(|_| next()).collect()
}

fn blob(bytes: &[u8]) -> Blob {
    Blob { digest: Digest::of(bytes), size: bytes.len() as u64 }
}

fn fetch(link: &Link, blob: &Blob, from: u64, progress: &dyn Progress) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    link.blob(blob, from, progress)?.read_to_end(&mut bytes).map_err(|e| Error::io("reading it", e))?;
    Ok(bytes)
}

#[test]
fn a_name_costs_one_question_and_so_does_its_manifest() {
    let digest = Digest::of(b"{}");
    let server = Server::start(move |_| Reply::new(200, "{}").with("docker-content-digest", digest.to_string()));
    let link = link(&server);
    assert_eq!(link.current(&Silent).unwrap(), Some(digest));
    assert_eq!(server.paths(), ["HEAD /v2/team/app/manifests/1"]);
    assert_eq!(link.manifest(None, &Silent).unwrap(), b"{}");
    assert_eq!(server.paths()[1..], ["GET /v2/team/app/manifests/1"]);
    let asked = &server.seen()[0];
    assert!(asked.header("accept").unwrap().contains("application/vnd.oci.image.index.v1+json"));
    assert!(asked.header("user-agent").unwrap().starts_with("aido/") && asked.header("authorization").is_none());
}

#[test]
fn what_a_registry_does_not_say_of_a_name_is_not_known() {
    for (status, digest, known) in [(200, "", None), (200, "sha256:short", None), (405, "", None)] {
        let server = Server::start(move |_| Reply::new(status, "").with("docker-content-digest", digest));
        assert_eq!(link(&server).current(&Silent).unwrap(), known);
    }
    let server = Server::start(|_| Reply::new(404, ""));
    assert_eq!(link(&server).current(&Silent).unwrap_err().kind, Kind::Missing);
}

#[test]
fn no_answer_fills_the_memory() {
    for status in [200, 500, 404, 401] {
        let server = Server::start(move |_| Reply { status, headers: Vec::new(), body: Body::Endless });
        let start = Instant::now();
        let error = link(&server).manifest(None, &Silent).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5), "{status}");
        let expected = [(200, Kind::Limit), (404, Kind::Missing)].into_iter().find(|(s, _)| *s == status);
        assert_eq!(error.kind, expected.map_or(Kind::Registry, |(_, kind)| kind), "{error}");
        assert!(error.what.len() < 600, "{}", error.what.len());
    }
    let token = Server::start(|seen| match seen.path.starts_with("/token") {
        true => Reply { status: 200, headers: Vec::new(), body: Body::Endless },
        false => {
            let realm = format!("Bearer realm=\"http://{}/token\"", seen.header("host").unwrap());
            Reply::new(401, "").with("www-authenticate", realm)
        }
    });
    assert_eq!(link(&token).manifest(None, &Silent).unwrap_err().kind, Kind::Limit);
}

#[test]
fn what_passes_is_waited_for_and_said() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(503, "").with("retry-after", "1"),
        1 => Reply::new(429, r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#),
        2 => Reply::new(200, "{}").cut(1),
        _ => Reply::new(200, "{}"),
    });
    let (heard, start) = (Heard::default(), Instant::now());
    assert_eq!(link(&server).manifest(None, &heard).unwrap(), b"{}");
    assert!(start.elapsed() >= Duration::from_secs(1), "Retry-After was not waited for");
    let heard = heard.0.into_inner().unwrap();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard[0].1 >= Duration::from_secs(1) && heard[0].0.contains("503"), "{heard:?}");
    assert!(heard[1].0.contains("slow down") && heard[2].0.contains("broke off"), "{heard:?}");
}

#[test]
fn what_does_not_pass_is_asked_once_and_what_goes_on_so_often() {
    for (status, times) in [(404, 1), (403, 1), (400, 1), (503, 4), (429, 4)] {
        let server = Server::start(move |_| Reply::new(status, ""));
        link(&server).manifest(None, &Silent).unwrap_err();
        let asked = server.seen().len();
        assert_eq!(asked, times, "{status}");
    }
    let server = Server::start(|_| Reply::new(503, "").with("retry-after", "100000"));
    let error = link(&server).manifest(None, &Silent).unwrap_err();
    assert!(server.seen().len() == 1 && error.what.contains("100000"), "{error}");
}

#[test]
fn a_registry_that_drips_is_not_waited_for() {
    let drip = |_: &Seen| Reply {
        status: 200,
        headers: Vec::new(),
        body: Body::Slow(vec![b'x'; 10_000], 1, Duration::from_millis(20)),
    };
    let server = Server::start(drip);
    let (start, link) = (Instant::now(), link(&server));
    let error = link.manifest(None, &Silent).unwrap_err();
    assert!(error.kind == Kind::Registry && error.what.contains("in time"), "{error}");
    let wanted = Blob { digest: Digest::of(b""), size: 10_000 };
    let error = fetch(&link, &wanted, 0, &Silent).unwrap_err();
    assert!(error.kind == Kind::Registry && error.what.contains("1000 are the least"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
    // One that begins no answer at all.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let link = with(&silent.local_addr().unwrap().to_string(), &Registries::default(), no_logins());
    let error = link.manifest(None, &Silent).unwrap_err();
    assert!(error.kind == Kind::Registry && error.what.contains("in time"), "{error}");
}

#[test]
fn a_blob_goes_on_where_it_broke_off() {
    let bytes = Arc::new(noise(300_000));
    let served = bytes.clone();
    let server = Server::start(move |seen| {
        let rest = Reply::part(&served, seen);
        if seen.from().unwrap_or(0) < 250_000 { rest.cut(50_000) } else { rest }
    });
    let (heard, wanted) = (Heard::default(), blob(&bytes));
    assert_eq!(fetch(&link(&server), &wanted, 0, &heard).unwrap(), **bytes);
    let asked: Vec<_> = server.seen().iter().map(|seen| seen.from()).collect();
    assert_eq!(asked, [None, Some(50_000), Some(100_000), Some(150_000), Some(200_000), Some(250_000)]);
    assert_eq!(heard.count(), 5, "more breaks than tries, but each went further");
    // From the middle, as a pull that was killed goes on.
    assert_eq!(fetch(&link(&server), &wanted, 250_001, &heard).unwrap(), bytes[250_001..]);
    let before = server.seen().len();
    assert_eq!(fetch(&link(&server), &wanted, 300_000, &heard).unwrap(), b"");
    assert_eq!(server.seen().len(), before, "what is whole is not asked for");
}

#[test]
fn a_server_that_knows_no_ranges_begins_again_and_the_bytes_are_the_same() {
    let bytes = Arc::new(noise(90_000));
    for answer in [200, 416] {
        let (served, count) = (bytes.clone(), AtomicUsize::new(0));
        let server = Server::start(move |seen| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::new(200, &served[..]).cut(40_000),
            _ if seen.from().is_some() && answer == 416 => Reply::new(416, ""),
            _ => Reply::new(200, &served[..]),
        });
        assert_eq!(fetch(&link(&server), &blob(&bytes), 0, &Silent).unwrap(), **bytes, "{answer}");
        assert_eq!(server.seen()[1].from(), Some(40_000));
    }
}

#[test]
fn a_part_that_was_not_asked_for_is_refused() {
    let bytes = Arc::new(noise(90_000));
    for range in ["bytes 0-89999/90000", "bytes 10001-89999/90000", "bytes 10000-89999/90001", "nonsense"] {
        let served = bytes.clone();
        let server = Server::start(move |_| Reply::new(206, &served[10_000..]).with("content-range", range));
        let error = fetch(&link(&server), &blob(&bytes), 10_000, &Silent).unwrap_err();
        assert_eq!((error.kind, server.seen().len()), (Kind::Unverified, 1), "{range}: {error}");
    }
    // A blob of another size is another blob, and not asked for again.
    let served = bytes.clone();
    let server = Server::start(move |_| Reply::new(200, &served[..80_000]));
    assert_eq!(fetch(&link(&server), &blob(&bytes), 0, &Silent).unwrap_err().kind, Kind::Unverified);
    assert_eq!(server.seen().len(), 1);
    // A part where all was asked for.
    let served = bytes.clone();
    let server = Server::start(move |_| Reply::new(206, &served[..]).with("content-range", "bytes 0-89999/90000"));
    fetch(&link(&server), &blob(&bytes), 0, &Silent).unwrap_err();
}

#[test]
fn breaking_off_after_a_byte_each_time_is_no_progress() {
    let bytes = noise(100_000);
    let (served, wanted) = (bytes.clone(), blob(&bytes));
    let server = Server::start(move |seen| Reply::part(&served, seen).cut(1));
    let error = fetch(&link(&server), &wanted, 0, &Silent).unwrap_err();
    assert!(error.kind == Kind::Registry && server.seen().len() == 4, "{} {error}", server.seen().len());
}

#[test]
fn a_blob_without_an_end_is_left_at_its_size() {
    let server = Server::start(|_| Reply { status: 200, headers: Vec::new(), body: Body::Endless });
    let wanted = Blob { digest: Digest::of(b""), size: 1 << 20 };
    let got = fetch(&link(&server), &wanted, 0, &Silent).unwrap();
    assert!(got.len() > 1 << 20 && got.len() < 4 << 20, "{}", got.len());
}

/// A registry that lets nobody in without a token of its own; each is good for so many requests.
fn guarded(good_for: usize, stored: &serde_json::Value, blob: Vec<u8>) -> (Server, tempfile::TempDir, Link) {
    let used = AtomicUsize::new(usize::MAX / 2);
    let number = AtomicUsize::new(0);
    let server = Server::start(move |seen| {
        if seen.path.starts_with("/token") {
            used.store(0, Ordering::SeqCst);
            let token = number.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::new(200, format!(r#"{{"token":"t{token}","expires_in":1}}"#));
        }
        let expected = format!("Bearer t{}", number.load(Ordering::SeqCst));
        let fresh = seen.header("authorization") == Some(&expected[..]);
        if !fresh || used.fetch_add(1, Ordering::SeqCst) >= good_for {
            let host = seen.header("host").unwrap();
            let challenge =
                format!("Bearer realm=\"http://{host}/token?x=1\",service=\"svc\",scope=\"repository:team/app:pull\"");
            return Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#).with("www-authenticate", challenge);
        }
        if seen.path.contains("/blobs/") { Reply::part(&blob, seen) } else { Reply::new(200, "{}") }
    });
    let (home, logins) = logged_in(&server.address, stored);
    let link = with(&server.address, &Registries::default(), logins);
    (server, home, link)
}

#[test]
fn a_token_is_had_by_the_challenge_and_renewed_when_it_is_refused() {
    let stored = serde_json::json!({"username": "me", "password": "s:cret"});
    let (server, _home, link) = guarded(2, &stored, Vec::new());
    for _ in 0..5 {
        assert_eq!(link.manifest(None, &Silent).unwrap(), b"{}");
    }
    let seen = server.seen();
    let tokens: Vec<&Seen> = seen.iter().filter(|seen| seen.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 3, "{:?}", server.paths());
    for part in ["x=1", "service=svc", "scope=repository%3Ateam%2Fapp%3Apull", "account=me"] {
        assert!(tokens[0].path.contains(part), "{} in {}", part, tokens[0].path);
    }
    // `me:s:cret`
    assert_eq!(tokens[0].header("authorization"), Some("Basic bWU6czpjcmV0"));
    assert!(seen[0].header("authorization").is_none(), "a login was sent before anybody asked");
}

#[test]
fn without_a_login_the_token_is_asked_for_as_nobody() {
    let (server, _home, link) = guarded(9, &serde_json::json!({}), Vec::new());
    link.manifest(None, &Silent).unwrap();
    let token = server.seen().into_iter().find(|seen| seen.path.starts_with("/token")).unwrap();
    assert!(token.header("authorization").is_none() && !token.path.contains("account"), "{token:?}");
}

#[test]
fn an_identity_token_is_exchanged_and_not_shown_in_an_address() {
    let (server, _home, link) = guarded(9, &serde_json::json!({"identitytoken": "re/fresh"}), Vec::new());
    link.manifest(None, &Silent).unwrap();
    let token = server.seen().into_iter().find(|seen| seen.path.starts_with("/token")).unwrap();
    assert_eq!((&token.method[..], token.header("authorization")), ("POST", None));
    assert!(
        token.body.contains("grant_type=refresh_token") && token.body.contains("refresh_token=re%2Ffresh"),
        "{token:?}"
    );
    assert!(token.body.contains("service=svc") && !token.path.contains("fresh"), "{token:?}");
}

#[test]
fn layers_that_need_a_token_at_once_get_the_same() {
    let bytes = noise(200_000);
    let wanted = blob(&bytes);
    let (server, _home, link) = guarded(1000, &serde_json::json!({}), bytes.clone());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| fetch(&link, &wanted, 0, &Silent).unwrap())).collect();
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), bytes));
    });
    let tokens = server.seen().iter().filter(|seen| seen.path.starts_with("/token")).count();
    assert_eq!(tokens, 1, "{:?}", server.paths());
}

#[test]
fn a_password_goes_where_a_password_is_asked_for() {
    let server = Server::start(|seen| match seen.header("authorization") {
        Some("Basic bWU6cHc=") => Reply::new(200, "{}"),
        _ => Reply::new(401, "").with("www-authenticate", "Basic realm=\"x\""),
    });
    let (_home, logins) = logged_in(&server.address, &serde_json::json!({"auth": "bWU6cHc="}));
    assert_eq!(with(&server.address, &Registries::default(), logins).manifest(None, &Silent).unwrap(), b"{}");
    let error = link(&server).manifest(None, &Silent).unwrap_err();
    assert!(error.remedy.unwrap().contains("docker login"), "{}", error.what);
    let (_home, logins) = logged_in(&server.address, &serde_json::json!({"auth": "bWU6d3Jvbmc="}));
    let wrong = with(&server.address, &Registries::default(), logins);
    let before = server.seen().len();
    wrong.manifest(None, &Silent).unwrap_err();
    assert_eq!(server.seen().len() - before, 2, "a wrong password is tried once");
}

#[test]
fn nothing_secret_follows_a_redirect() {
    let bytes = noise(50_000);
    let (served, wanted) = (bytes.clone(), blob(&bytes));
    let store = Server::start(move |seen| Reply::part(&served, seen));
    let place = store.address.clone();
    let server = Server::start(move |seen| match seen.header("authorization") {
        Some(_) if seen.path == "/elsewhere" => Reply::new(200, "{}"),
        Some(_) if seen.path.contains("manifests") => Reply::new(307, "").with("location", "/elsewhere"),
        Some(_) => Reply::new(307, "").with("location", format!("http://{place}/blob?signed=1")),
        None => Reply::new(401, "").with("www-authenticate", "Basic realm=\"x\""),
    });
    let (_home, logins) = logged_in(&server.address, &serde_json::json!({"auth": "bWU6cHc="}));
    let link = with(&server.address, &Registries::default(), logins);
    assert_eq!(link.manifest(None, &Silent).unwrap(), b"{}", "on the same host it may go along");
    assert_eq!(fetch(&link, &wanted, 20_000, &Silent).unwrap(), bytes[20_000..]);
    let seen = store.seen();
    assert_eq!((seen.len(), seen[0].from()), (1, Some(20_000)));
    assert!(seen[0].header("authorization").is_none() && seen[0].header("cookie").is_none(), "{seen:?}");
}

#[test]
fn a_place_that_it_leads_to_cannot_ask_for_the_login() {
    let thief = Server::start(|_| Reply::new(401, "").with("www-authenticate", "Basic realm=\"x\""));
    let place = thief.address.clone();
    let server = Server::start(move |_| Reply::new(302, "").with("location", format!("http://{place}/")));
    let (_home, logins) = logged_in(&server.address, &serde_json::json!({"auth": "bWU6cHc="}));
    with(&server.address, &Registries::default(), logins).manifest(None, &Silent).unwrap_err();
    assert!(thief.seen().iter().all(|seen| seen.header("authorization").is_none()), "{:?}", thief.seen());
    assert!(server.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

#[test]
fn redirects_have_an_end() {
    let server = Server::start(|seen| Reply::new(302, "").with("location", format!("{}x", seen.path)));
    let error = link(&server).manifest(None, &Silent).unwrap_err();
    assert!(error.what.contains("more than 5 times") && server.seen().len() == 6, "{error}");
    for location in ["ftp://x/", "file:///etc/passwd", "http://", "\\\\"] {
        let server = Server::start(move |seen| match &seen.path[..] {
            "/v2/team/app/manifests/1" => Reply::new(302, "").with("location", location),
            _ => Reply::new(404, ""),
        });
        link(&server).manifest(None, &Silent).unwrap_err();
    }
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_when_it_fails() {
    let bytes = noise(120_000);
    let (served, wanted) = (bytes.clone(), blob(&bytes));
    // Half of each blob, and then nothing more.
    let mirror = Server::start(move |seen| match seen.path.contains("/blobs/") {
        true if seen.from().is_none() => Reply::part(&served, seen).cut(60_000),
        true => Reply::new(500, ""),
        false => Reply::new(200, r#"{"from":"mirror"}"#),
    });
    let served = bytes.clone();
    let origin = Server::start(move |seen| match seen.path.contains("/blobs/") {
        true => Reply::part(&served, seen),
        false => Reply::new(200, r#"{"from":"origin"}"#),
    });
    let mirrors = vec!["127.0.0.1:1".to_owned(), format!("{}/cache", mirror.address)];
    let rules = BTreeMap::from([(origin.address.clone(), Rules { mirrors, ..Rules::default() })]);
    let link = with(&origin.address, &Registries { rules, certificates: Vec::new() }, no_logins());
    assert_eq!(link.manifest(None, &Silent).unwrap(), br#"{"from":"mirror"}"#);
    assert!(origin.seen().is_empty());
    assert_eq!(mirror.paths(), ["GET /v2/cache/team/app/manifests/1"]);
    assert_eq!(fetch(&link, &wanted, 0, &Silent).unwrap(), bytes);
    assert_eq!(origin.seen().iter().map(Seen::from).collect::<Vec<_>>(), [Some(60_000)]);
}

/// A server with a certificate of an authority of its own, which may demand one of its clients. The
/// folder gets the authority's file, and a certificate with its key for a client.
fn own_authority(folder: &Path, demands: bool) -> (rustls::ServerConfig, std::path::PathBuf) {
    use rustls::pki_types::PrivateKeyDer;
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).unwrap();
    let file = folder.join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let issued = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer);
        (certificate.unwrap(), key)
    };
    let (client, key) = issued("me.example");
    std::fs::write(folder.join("me.cert"), client.pem()).unwrap();
    std::fs::write(folder.join("me.key"), key.serialize_pem()).unwrap();
    let (certificate, key) = issued("127.0.0.1");
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = match demands {
        true => tls.with_client_cert_verifier(verifier.build().unwrap()),
        false => tls.with_no_client_auth(),
    };
    (tls.with_single_cert(vec![certificate.into()], key).unwrap(), file)
}

#[test]
fn a_registry_sees_the_users_certificate_and_a_place_it_leads_to_does_not() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = |address: &str| scratch.path().join("certs.d").join(address);
    let give = |address: &str, files: &[(&str, &str)]| {
        std::fs::create_dir_all(folder(address)).unwrap();
        files.iter().for_each(|(from, to)| drop(std::fs::copy(scratch.path().join(from), folder(address).join(to))));
    };
    let registries = Registries { certificates: vec![scratch.path().join("certs.d")], ..Registries::default() };
    let (tls, _) = own_authority(scratch.path(), true);
    let store = Server::safe(tls.clone(), |_| Reply::new(200, "{}"));
    let place = store.address.clone();
    let server = Server::safe(tls, move |seen| match seen.path.contains("/manifests/2") {
        false => Reply::new(200, "{}"),
        true => Reply::new(307, "").with("location", format!("https://{place}/x")),
    });
    give(&server.address, &[("ca.pem", "ca.crt")]);
    with(&server.address, &registries, no_logins()).manifest(None, &Silent).unwrap_err();
    give(&server.address, &[("me.cert", "me.cert"), ("me.key", "me.key")]);
    assert_eq!(with(&server.address, &registries, no_logins()).manifest(None, &Silent).unwrap(), b"{}");
    let leads = reference(&format!("{}/app:2", server.address));
    let leads = || Link::with(&leads, &[], &registries, no_logins(), SHORT).unwrap().manifest(None, &Silent);
    leads().unwrap_err();
    assert!(store.seen().is_empty(), "the certificate was shown to somebody else");
    give(&store.address, &[("me.cert", "me.cert"), ("me.key", "me.key")]);
    assert_eq!(leads().unwrap(), b"{}");
}

#[test]
fn a_certificate_holds_where_the_user_said_whom_to_trust_and_nowhere_else() {
    let scratch = tempfile::tempdir().unwrap();
    let (tls, ca) = own_authority(scratch.path(), false);
    let server = Server::safe(tls, |_| Reply::new(200, "{}"));
    let error = link(&server).manifest(None, &Silent).unwrap_err();
    assert!(error.kind == Kind::Registry && error.remedy.is_some(), "{error}");
    assert!(server.seen().is_empty());
    let rules = BTreeMap::from([(server.address.clone(), Rules { ca: Some(ca.clone()), ..Rules::default() })]);
    let registries = Registries { rules, certificates: Vec::new() };
    assert_eq!(with(&server.address, &registries, no_logins()).manifest(None, &Silent).unwrap(), b"{}");
    // The same by a folder as Docker has them.
    let folder = scratch.path().join("certs.d").join(&server.address);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(&ca, folder.join("ca.crt")).unwrap();
    let registries = Registries { certificates: vec![scratch.path().join("certs.d")], ..Registries::default() };
    assert_eq!(with(&server.address, &registries, no_logins()).manifest(None, &Silent).unwrap(), b"{}");
    // And without any check where the user wants none.
    let rules = BTreeMap::from([(server.address.clone(), Rules { insecure: true, ..Rules::default() })]);
    let registries = Registries { rules, certificates: Vec::new() };
    assert_eq!(with(&server.address, &registries, no_logins()).manifest(None, &Silent).unwrap(), b"{}");
}

#[test]
fn encryption_is_not_given_up_on_the_way() {
    let scratch = tempfile::tempdir().unwrap();
    let (tls, ca) = own_authority(scratch.path(), false);
    let plain = Server::start(|_| Reply::new(200, "{}"));
    let place = plain.address.clone();
    let server = Server::safe(tls, move |seen| match seen.path.contains("/blobs/") {
        true => Reply::new(307, "").with("location", format!("http://{place}/blob")),
        false => Reply::new(401, "").with("www-authenticate", format!("Bearer realm=\"http://{place}/token\"")),
    });
    let rules = BTreeMap::from([(server.address.clone(), Rules { ca: Some(ca), ..Rules::default() })]);
    let registries = Registries { rules, certificates: Vec::new() };
    for stored in [serde_json::json!({}), serde_json::json!({"auth": "bWU6cHc="})] {
        let (_home, logins) = logged_in(&server.address, &stored);
        let link = with(&server.address, &registries, logins);
        let error = link.manifest(None, &Silent).unwrap_err();
        assert!(error.what.contains("no encryption"), "{error}");
        let error = fetch(&link, &blob(b"x"), 0, &Silent).unwrap_err();
        assert!(error.what.contains("without encryption"), "{error}");
    }
    assert!(plain.seen().is_empty());
}

#[test]
fn a_stranger_leads_nobody_to_this_machine() {
    use super::hosts::{Way, hosts};
    let far = reference("registry.example/a");
    let host = hosts(&far, &[], &Registries::default()).unwrap().remove(0);
    let clients = super::http::Clients::new(host, &[], &Registries::default());
    let permit = |url: &str| clients.permit(&reqwest::Url::parse(url).unwrap());
    for url in
        ["http://127.0.0.1/x", "https://localhost:8080/", "http://169.254.169.254/latest", "http://[::1]/", "http://0/"]
    {
        assert!(permit(url).is_err(), "{url}");
    }
    permit("https://blobs.example/x").unwrap();
    permit("http://10.1.2.3/").unwrap();
    // Nor by a name that leads there: `localhost` under another name is in no resolver, so this asks the guard itself.
    assert!(clients.url(Way::Https, "x").is_ok() && !clients.is_near());
    use super::http::tests::guarded;
    assert!(guarded("localhost", false).is_err(), "a name of this machine was resolved");
    assert!(guarded("localhost", true).is_ok());
    for near in [false, true] {
        assert!(guarded("169.254.169.254", near).is_err());
    }
}

#[test]
fn this_machine_leads_nobody_to_the_secrets_of_its_cloud() {
    // A registry here may be the near end of a tunnel to anybody.
    for place in ["http://169.254.169.254/latest", "http://[::ffff:169.254.169.254]/", "http://0xa9fea9fe/"] {
        let server = Server::start(move |seen| match seen.path.contains("/blobs/") {
            true => Reply::new(307, "").with("location", place),
            false => Reply::new(401, "").with("www-authenticate", format!("Bearer realm=\"{place}\"")),
        });
        let (_home, logins) = logged_in(&server.address, &serde_json::json!({"auth": "bWU6cHc="}));
        let link = with(&server.address, &Registries::default(), logins);
        for error in [link.manifest(None, &Silent).err(), fetch(&link, &blob(b"x"), 0, &Silent).err()] {
            assert!(error.as_ref().unwrap().what.contains("this machine's link"), "{place}: {error:?}");
        }
    }
}

#[test]
fn the_reader_keeps_up_with_a_fast_network() {
    const SIZE: usize = 512 << 20;
    let server = Server::start(|_| Reply { status: 200, headers: Vec::new(), body: Body::Zeros(SIZE) });
    let link = link(&server);
    let mut incoming = link.blob(&Blob { digest: Digest::of(b""), size: SIZE as u64 }, 0, &Silent).unwrap();
    let (mut buffer, mut all, mut start) = (vec![0; limits::BUFFER_BYTES], 0, None);
    loop {
        let got = incoming.read(&mut buffer).unwrap();
        start.get_or_insert_with(Instant::now);
        all += got;
        if got == 0 {
            break;
        }
    }
    let speed = all as f64 / start.unwrap().elapsed().as_secs_f64() / 1e6;
    eprintln!("{speed:.0} MB/s");
    // On an idle machine it is ten times that; here other tests run beside.
    assert!(all == SIZE && speed > 100.0, "{all} bytes at {speed:.0} MB/s");
}
