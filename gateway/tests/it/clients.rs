//! Unmodified clients against real servers, through the gateway.

use crate::place::{program, skip, truly_root, within};
use crate::servers::{FOLDER, certificates, nginx, output, start, write};
use crate::world::{PROXY, World, world, world_with};
use aido_gateway::{Limits, What};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;

/// `a` is opened, since its rule needs requests; `b` is passed on by its name.
fn opened() -> Option<(World, PathBuf, PathBuf)> {
    let (servers, roots) = certificates();
    if !nginx() {
        return None;
    }
    let rules = json!({"hosts": [
        {"host": "a.example.com", "methods": ["GET", "HEAD", "POST"], "paths": ["/ok/**", "/repo.git/**", "/moved/**", "/echo/**"]},
        {"host": "b.example.com"},
        {"host": "c.example.com", "ports": [8443], "methods": ["GET", "POST"]},
    ]});
    let world = world_with(rules, Limits::default(), roots);
    world.names.is("c.example.com", "93.184.215.14");
    let ours = write("run.pem", world.gateway.authority());
    Some((world, ours, servers))
}

/// A client that must get the page of an opened host, and must be told that another one is refused.
fn gets(world: &World, name: &str, command: impl Fn(&str) -> Command) {
    let (fine, said) = output(&mut command("https://a.example.com/ok/page"));
    assert!(fine && said.contains("a.example.com GET /ok/page HTTP/"), "{name}: {said}");
    let (_, said) = output(&mut command("https://a.example.com/no/page"));
    assert!(!said.contains("/no/page HTTP/"), "{name}: {said}");
    world.until(
        "the refusal",
        |what| matches!(what, What::Request { path, decision, .. } if path == "/no/page" && !decision.allowed),
    );
}

within! {
    fn curl_speaks_to_an_opened_host_by_both_versions() {
        let (Some((world, ours, servers)), Some(curl)) = (opened(), program("curl")) else { return };
        write("large", vec![b'x'; 200_000]);
        let curl = |arguments: &[&str]| output(Command::new(&curl).args(["-sS", "--max-time", "30", "--cacert"]).arg(&ours).args(arguments));
        for (version, spoken) in [("--http2", "HTTP/2.0"), ("--http1.1", "HTTP/1.1")] {
            let (fine, said) = curl(&[version, "https://a.example.com/ok/x"]);
            assert!(fine && said == format!("a.example.com GET /ok/x {spoken}\n"), "{version}: {said}");
            let (_, said) = curl(&[version, "-i", "-X", "DELETE", "https://a.example.com/ok/x"]);
            assert!(said.contains("403") && said.contains("aido: policy refused DELETE a.example.com:443/ok/x: no rule allows this method here; do not retry"), "{said}");
            // This nginx answers before it has read a body, and curl's HTTP/2 does not get over a large one: also without a gateway.
            let body = if version == "--http2" { "small" } else { "@/mnt/large" };
            let (fine, said) = curl(&[version, "-d", body, "https://a.example.com/ok/post"]);
            assert!(fine && said.contains("POST /ok/post"), "{version}: {said}");
            let (fine, said) = curl(&[version, "-I", "https://a.example.com/ok/head"]);
            assert!(fine && said.to_lowercase().contains("content-length: 37"), "{version}: {said}");
            let (_, said) = curl(&[version, "-d", "@/mnt/large", "https://a.example.com/no/post"]);
            assert!(said.contains("do not retry"), "{version}: {said}");
        }
        let (_, said) = curl(&["-H", "Accept: application/json", "https://a.example.com/no"]);
        let data: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert!(data["retry"] == false && data["allow"].as_str().unwrap().contains("paths: [/no]"), "{said}");
        // Several requests in one connection, one of them refused.
        let (_, said) = curl(&["--http2", "https://a.example.com/ok/1", "https://a.example.com/no/2", "https://a.example.com/ok/3"]);
        assert!(said.contains("/ok/1 ") && said.contains("do not retry") && said.contains("/ok/3 "), "{said}");
        // Redirects are followed by the client, and judged like everything else.
        let (fine, said) = curl(&["-L", "https://a.example.com/moved/x"]);
        assert!(!fine && said.contains("evil.example"), "{said}");
        // A host by another name in the same connection: the authority of HTTP/2, the header of HTTP/1.1.
        for version in ["--http2", "--http1.1"] {
            let (_, said) = curl(&[version, "-H", "Host: evil.example", "https://a.example.com/ok/x"]);
            assert!(said.contains("speaks to another, `evil.example`") && !said.contains("/ok/x HTTP"), "{version}: {said}");
        }
        // TLS for another name, though the request in it would fit.
        let (fine, _) = curl(&["-k", "-H", "Host: a.example.com", "--connect-to", "evil.example:443:a.example.com:443", "https://evil.example/ok/x"]);
        assert!(!fine);
        world.until("the other name", |what| matches!(what, What::Refused { decision, .. } if decision.words.as_ref().is_some_and(|words| words.contains("evil.example"))));
        // The run's authority is not the server's, and the other way round.
        let (fine, _) = output(Command::new("curl").args(["-sS", "--cacert"]).arg(&servers).arg("https://a.example.com/ok/x"));
        assert!(!fine, "an opened host with the server's own certificate");
        drop(world);
    }
}

within! {
    fn a_passed_host_shows_its_own_certificate() {
        let (Some((world, ours, servers)), Some(curl)) = (opened(), program("curl")) else { return };
        let curl = |arguments: &[&str]| output(Command::new(&curl).args(["-sS", "--max-time", "30"]).args(arguments));
        let (fine, said) = curl(&["--cacert", servers.to_str().unwrap(), "https://b.example.com/ok/x"]);
        assert!(fine && said.contains("b.example.com GET /ok/x"), "{said}");
        assert!(!curl(&["--cacert", ours.to_str().unwrap(), "https://b.example.com/ok/x"]).0);
        let (fine, said) = curl(&["http://b.example.com/ok/x"]);
        assert!(fine && said.contains("b.example.com GET /ok/x HTTP/1.1"), "{said}");
        let (_, said) = curl(&["-d", "x", "http://b.example.com/ok/x"]);
        assert!(said.contains("do not retry"), "{said}");
        // Another name in the same connection.
        assert!(!curl(&["-k", "--connect-to", "evil.example:443:b.example.com:443", "https://evil.example/ok/x"]).0);
        world.until("the other name", |what| matches!(what, What::Refused { decision, .. } if decision.words.as_ref().is_some_and(|words| words.contains("evil.example"))));
    }
}

within! {
    fn the_proxy_serves_who_asks_for_one() {
        let (Some((world, ours, servers)), Some(curl)) = (opened(), program("curl")) else { return };
        let proxy = format!("http://127.0.0.1:{PROXY}");
        let curl = |authority: &PathBuf, url: &str| output(Command::new(&curl).args(["-sS", "--max-time", "30", "-x", &proxy, "--cacert"]).arg(authority).arg(url));
        assert!(curl(&ours, "https://a.example.com/ok/x").1.contains("a.example.com GET /ok/x"));
        assert!(curl(&servers, "https://b.example.com/ok/x").1.contains("b.example.com GET /ok/x"));
        assert!(curl(&ours, "http://b.example.com/ok/x").1.contains("b.example.com GET /ok/x"));
        assert!(curl(&ours, "https://a.example.com/no").1.contains("do not retry"));
        assert!(curl(&ours, "https://evil.example/").1.contains("403"));
        drop(world);
    }
}

within! {
    fn a_server_that_is_not_who_it_says_is_not_spoken_to() {
        let (Some((world, ours, _)), Some(curl)) = (opened(), program("curl")) else { return };
        world.gateway.stop();
        let curl = |ours: &PathBuf, url: &str| output(Command::new(&curl).args(["-sS", "-i", "--max-time", "30", "--cacert"]).arg(ours).arg(url)).1;
        let rules = json!({"hosts": [{"host": "a.example.com", "methods": ["GET"]}, {"host": "d.example.com", "methods": ["GET"]}]});
        // Nobody's signature counts here.
        let world = world_with(rules.clone(), Limits::default(), Vec::new());
        let run = write("other.pem", world.gateway.authority());
        let said = curl(&run, "https://a.example.com/ok/x");
        assert!(said.contains("502") && said.contains("TLS with a.example.com:443 failed: invalid peer certificate"), "{said}");
        assert!(curl(&ours, "https://a.example.com/ok/x").contains("SSL certificate problem"), "each run has an authority of its own");
        world.gateway.stop();
        // The signature counts, the name does not fit; then the name leads inside.
        let (_, roots) = certificates();
        let world = world_with(rules, Limits::default(), roots);
        let run = write("third.pem", world.gateway.authority());
        world.names.is("d.example.com", "93.184.215.14");
        let said = curl(&run, "https://d.example.com/ok/x");
        assert!(said.contains("502") && said.contains("TLS with d.example.com:443 failed"), "{said}");
        world.names.is("d.example.com", "10.0.0.7");
        let said = curl(&run, "https://d.example.com/ok/x");
        assert!(said.contains("403") && said.contains("leads to 10.0.0.7, which is a private address; do not retry"), "{said}");
    }
}

within! {
    fn any_public_host_is_reached_and_recorded() {
        let (servers, _) = certificates();
        let (true, Some(curl)) = (nginx(), program("curl")) else { return };
        let world = world(json!({"any": true, "hosts": [{"host": "b.example.com", "deny": true}]}));
        let curl = |arguments: &[&str]| output(Command::new(&curl).args(["-sS", "--max-time", "30"]).args(arguments)).1;
        assert!(curl(&["-X", "POST", "http://a.example.com/ok/x"]).contains("a.example.com POST /ok/x"));
        assert!(curl(&["--cacert", servers.to_str().unwrap(), "https://a.example.com/ok/x"]).contains("a.example.com GET /ok/x"));
        assert!(curl(&["http://93.184.215.14/ok/x"]).contains("93.184.215.14 GET /ok/x"));
        assert!(curl(&["http://b.example.com/ok/x"]).contains("Could not resolve"));
        assert!(curl(&["http://169.254.169.254/ok/x"]).contains("do not retry"));
        world.names.is("inner.example", "10.0.0.1");
        assert!(curl(&["http://inner.example/ok/x"]).contains("leads to 10.0.0.1"));
        world.until("the request", |what| matches!(what, What::Request { method, path, .. } if method == "POST" && path == "/ok/x"));
    }
}

within! {
    fn the_leaf_is_what_strict_clients_ask_for() {
        let (Some((world, ours, _)), Some(openssl)) = (opened(), program("openssl")) else { return };
        let arguments = ["s_client", "-connect", "a.example.com:443", "-servername", "a.example.com", "-verify_return_error", "-x509_strict", "-verify_hostname", "a.example.com", "-alpn", "h2,http/1.1", "-CAfile"];
        let (fine, said) = output(Command::new(&openssl).args(arguments).arg(&ours));
        assert!(fine && said.contains("Verify return code: 0 (ok)") && said.contains("ALPN protocol: h2"), "{said}");
        let pem = &said[said.find("-----BEGIN").unwrap()..said.find("-----END CERTIFICATE-----").unwrap() + 26];
        let leaf = write("leaf.pem", pem);
        let (_, said) = output(Command::new(openssl).args(["x509", "-noout", "-text", "-in"]).arg(leaf));
        for part in ["Authority Key Identifier", "Subject Key Identifier", "Digital Signature", "TLS Web Server Authentication", "DNS:a.example.com"] {
            assert!(said.contains(part), "{part} in {said}");
        }
        drop(world);
    }
}

within! {
    fn http_2_keeps_its_trailers() {
        let (Some((world, ..)), Some(nghttp), Some(nghttpd)) = (opened(), program("nghttp"), program("nghttpd")) else { return };
        write("www2/call", "answer");
        let mut server = Command::new(nghttpd);
        server.args(["-a", "93.184.215.14", "--trailer=grpc-status: 0", "-d"]).arg(format!("{FOLDER}/www2"));
        server.arg("8443").arg(format!("{FOLDER}/server.key")).arg(format!("{FOLDER}/server.pem"));
        server.stderr(std::process::Stdio::null());
        start(server, "93.184.215.14:8443");
        let body = write("body", "request");
        let arguments = ["-v", "-t", "20", "--no-verify-peer", "--trailer=x-trailer: sent", "-H", "te: trailers", "-d"];
        let (_, said) = output(Command::new(nghttp).args(arguments).arg(body).arg("https://c.example.com:8443/call"));
        assert!(said.contains("answer") && said.contains("grpc-status: 0"), "{said}");
        world.until("the request", |what| matches!(what, What::Answered { status: 200, received: 6, sent: 7, how, .. } if how == "answered"));
    }
}

within! {
    fn wget_and_pythons_trust_the_run() {
        let Some((world, ours, _)) = opened() else { return };
        if let Some(wget) = program("wget") {
            gets(&world, "wget", |url| {
                let mut command = Command::new(&wget);
                command.args(["-q", "-O", "-", "-T", "20", "-t", "1", "--ca-certificate"]).arg(&ours).arg(url);
                command
            });
        }
        let python = |script: &'static str, variable: &'static str| {
            let ours = ours.clone();
            move |url: &str| {
                let mut command = Command::new("/usr/bin/python3");
                command.args(["-c", script, url]).env(variable, &ours);
                command
            }
        };
        if program("python3").is_some() {
            gets(&world, "urllib", python("import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=20).read().decode())", "SSL_CERT_FILE"));
            match output(Command::new("/usr/bin/python3").args(["-c", "import requests"])) {
                (true, _) => gets(&world, "requests", python("import sys, requests; print(requests.get(sys.argv[1], timeout=20).text)", "REQUESTS_CA_BUNDLE")),
                _ => skip("Python has no requests"),
            }
        }
    }
}

within! {
    fn node_ignores_proxies_and_gets_through() {
        let (Some((world, ours, _)), Some(node)) = (opened(), program("node")) else { return };
        gets(&world, "node", |url| {
            let mut command = Command::new(&node);
            command.args(["-e", "fetch(process.argv[1]).then(r => r.text()).then(console.log)", url]).env("NODE_EXTRA_CA_CERTS", &ours);
            command
        });
    }
}

within! {
    fn java_trusts_a_store_with_the_run() {
        let (Some((world, ours, _)), Some(java), Some(keytool)) = (opened(), program("java"), program("keytool")) else { return };
        let (fine, said) = output(Command::new(keytool).args(["-importcert", "-noprompt", "-alias", "aido", "-storetype", "PKCS12", "-storepass", "changeit", "-keystore", "/mnt/trust.p12", "-file"]).arg(ours));
        assert!(fine, "{said}");
        let source = write("Fetch.java", r#"public class Fetch { public static void main(String[] a) throws Exception {
            System.out.print(new String(new java.net.URL(a[0]).openStream().readAllBytes())); } }"#);
        if program("javac").is_none() {
            return;
        }
        gets(&world, "java", |url| {
            let mut command = Command::new(&java);
            command.args(["-Djavax.net.ssl.trustStore=/mnt/trust.p12", "-Djavax.net.ssl.trustStorePassword=changeit"]).arg(&source).arg(url);
            command
        });
    }
}

within! {
    fn git_clones_by_https() {
        let (Some((world, ours, _)), Some(git)) = (opened(), program("git")) else { return };
        let git = |arguments: &[&str]| output(Command::new(&git).args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]).args(arguments).env("GIT_SSL_CAINFO", &ours).env("GIT_TERMINAL_PROMPT", "0"));
        write("work/hello.txt", "hello from git\n");
        for arguments in [&["init", "-q", "work"][..], &["-C", "work", "add", "."], &["-C", "work", "commit", "-qm", "one"], &["clone", "-q", "--bare", "work", "www/repo.git"], &["-C", "www/repo.git", "update-server-info"]] {
            let (fine, said) = git(arguments);
            assert!(fine, "{arguments:?}: {said}");
        }
        let (fine, said) = git(&["clone", "-q", "https://a.example.com/repo.git", "cloned"]);
        assert!(fine && std::fs::read_to_string("/mnt/cloned/hello.txt").unwrap() == "hello from git\n", "{said}");
        let (fine, said) = git(&["clone", "-q", "https://a.example.com/other.git", "refused"]);
        assert!(!fine && said.contains("403"), "{said}");
        drop(world);
    }
}

within! {
    fn psql_reaches_a_database_by_its_name() {
        let Some(psql) = program("psql") else { return };
        let servers = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
        let Some(bin) = servers.into_iter().find(|bin| bin.join("initdb").is_file()) else { return skip("PostgreSQL's server is not installed") };
        if !truly_root() {
            return skip("PostgreSQL does not run as root, and there is no other user here");
        }
        let data = format!("{FOLDER}/data");
        std::fs::create_dir_all(&data).unwrap();
        std::os::unix::fs::chown(&data, Some(65534), Some(65534)).unwrap();
        let as_nobody = |program: PathBuf| {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
            command
        };
        let (fine, said) = output(as_nobody(bin.join("initdb")).args(["-D", &data, "-A", "trust", "-U", "postgres", "--no-sync"]));
        assert!(fine, "{said}");
        std::fs::write(format!("{data}/pg_hba.conf"), "host all all all trust\n").unwrap();
        let mut server = as_nobody(bin.join("postgres"));
        server.args(["-D", &data, "-h", "93.184.215.14", "-k", "", "-F"]).stderr(std::process::Stdio::null());
        start(server, "93.184.215.14:5432");
        let world = world(json!({"hosts": [{"host": "a.example.com", "ports": [5432]}]}));
        let ask = |host: &str| output(Command::new(&psql).args(["-h", host, "-U", "postgres", "-At", "-c", "select 6 * 7"]).env("PGCONNECT_TIMEOUT", "20"));
        let (fine, said) = ask("a.example.com");
        assert!(fine && said == "42\n", "{said}");
        assert!(!ask("b.example.com").0 && !ask("93.184.215.14").0);
        drop(world);
    }
}
