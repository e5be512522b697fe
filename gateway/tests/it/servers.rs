//! Real servers, as distributions install them, and certificates for them.

use crate::place::{outside, program};
use crate::world::{OTHER, SERVER};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio_rustls::rustls::pki_types::CertificateDer;

/// A scratch folder that is gone with the namespace.
pub(crate) const FOLDER: &str = "/mnt";

/// An authority that signed for the test's servers: its file, and itself for the gateway.
pub(crate) fn certificates() -> (PathBuf, Vec<CertificateDer<'static>>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    // With the name that a leaf has by default it would look like the leaf's own signature.
    params.distinguished_name.push(rcgen::DnType::CommonName, "authority of the test's servers");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let names = ["a.example.com", "b.example.com", "c.example.com"].map(str::to_owned);
    let own = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
    write("server.pem", leaf.pem());
    write("server.key", own.serialize_pem());
    (write("servers-authority.pem", authority.pem()), vec![authority.der().clone()])
}

pub(crate) fn write(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = Path::new(FOLDER).join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path
}

/// Starts a server where servers are, and waits until it takes connections.
pub(crate) fn start(mut command: Command, at: &'static str) {
    outside(move || {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut server = command.spawn().unwrap();
        let begun = Instant::now();
        while TcpStream::connect(at).is_err() {
            assert!(server.try_wait().unwrap().is_none(), "the server ended: {command:?}");
            assert!(begun.elapsed() < Duration::from_secs(60), "the server does not start: {command:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        // It ends with the namespace of processes that it is in.
        drop(server);
    });
}

/// nginx at both addresses, in the clear and by TLS with HTTP/2. It says what it was asked and by whom.
pub(crate) fn nginx() -> bool {
    let Some(nginx) = program("nginx") else { return false };
    let servers: String = [SERVER, OTHER]
        .iter()
        .map(|address| {
            format!(
                r#"server {{
                    listen {address}:80; listen {address}:443 ssl http2;
                    ssl_certificate {FOLDER}/server.pem; ssl_certificate_key {FOLDER}/server.key;
                    root {FOLDER}/www; autoindex on;
                    location /ok/ {{ default_type text/plain; return 200 "$host $request_method $uri $server_protocol\n"; }}
                    location /echo/ {{ default_type text/plain; add_header X-Echo "$http_authorization"; return 200 "you sent $http_authorization and $http_range and $http_accept_encoding\n"; }}
                    location /moved/ {{ return 302 https://evil.example/; }}
                }}"#
            )
        })
        .collect();
    let config = format!(
        "user root root; daemon off; master_process off; pid {FOLDER}/nginx.pid; error_log {FOLDER}/nginx.log; events {{}}\n\
         http {{ access_log off; client_body_temp_path {FOLDER}/n1; proxy_temp_path {FOLDER}/n2; fastcgi_temp_path {FOLDER}/n3; \
         uwsgi_temp_path {FOLDER}/n4; scgi_temp_path {FOLDER}/n5; {servers} }}"
    );
    let config = write("nginx.conf", config);
    std::fs::create_dir_all(Path::new(FOLDER).join("www")).unwrap();
    let mut command = Command::new(nginx);
    command.arg("-e").arg(format!("{FOLDER}/nginx.log")).arg("-p").arg(FOLDER).arg("-c").arg(config);
    start(command, "93.184.215.14:443");
    true
}

/// What a program printed, both streams, and whether it was content.
pub(crate) fn output(command: &mut Command) -> (bool, String) {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    command.env("PATH", path).env("HOME", FOLDER).env("LC_ALL", "C.UTF-8").current_dir(FOLDER).stdin(Stdio::null());
    for name in [
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
        "no_proxy",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "GIT_SSL_CAINFO",
        "JAVA_TOOL_OPTIONS",
    ] {
        if !command.get_envs().any(|(own, value)| own == name && value.is_some()) {
            command.env_remove(name);
        }
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = child.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = errors.read_to_end(&mut text);
        text
    });
    let mut text = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut text).unwrap();
    text.extend(reading.join().unwrap());
    (child.wait().unwrap().success(), String::from_utf8_lossy(&text).into_owned())
}
