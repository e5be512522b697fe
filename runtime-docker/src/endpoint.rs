//! Where the engine is asked, found as the `docker` command finds it.

use crate::os;
use aido_runtime::Error;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};

/// The address of an engine, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) address: Address,
    found_by: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A socket file.
    Unix(String),
    /// A named pipe of Windows, with slashes.
    Pipe(String),
    /// Host and port, and the folder with certificates where there is one.
    Tcp { host: String, certificates: Option<PathBuf> },
}

/// What `docker` keeps of its settings.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    current_context: Option<String>,
}

#[derive(Deserialize)]
struct Context {
    #[serde(rename = "Endpoints")]
    endpoints: std::collections::BTreeMap<String, Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(rename = "Host", default)]
    host: String,
}

impl Endpoint {
    /// The engine that the caller's `docker` would talk to, else the first socket that is there.
    pub fn of_the_caller() -> Result<Endpoint, Error> {
        let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let folder = folder.or_else(|| os::home().map(|home| home.join(".docker")));
        search(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()), folder.as_deref(), &os::sockets())
    }

    /// An address as `DOCKER_HOST` has it.
    pub fn parse(address: &str) -> Result<Endpoint, Error> {
        Endpoint::named(address, "given", None)
    }

    /// What named it: a variable, a context, or the place itself.
    pub fn found_by(&self) -> &str {
        &self.found_by
    }

    fn named(text: &str, found_by: impl Into<String>, certificates: Option<PathBuf>) -> Result<Endpoint, Error> {
        let found_by = found_by.into();
        let wrong = |why: &str| Error::new(format!("{text:?} ({found_by}) is no address of an engine: {why}"));
        let remedy = "such as unix:///var/run/docker.sock, tcp://127.0.0.1:2375 or npipe:////./pipe/docker_engine";
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it has no scheme").remedy(remedy))?;
        let address = match scheme {
            "unix" if rest.starts_with('/') => Address::Unix(rest.into()),
            "unix" => return Err(wrong("the path must begin with a slash").remedy("unix:///var/run/docker.sock")),
            "npipe" if rest.starts_with("//") => Address::Pipe(rest.into()),
            "tcp" | "http" | "https" => {
                let host = rest.trim_end_matches('/');
                if host.is_empty() || host.contains(['/', '@', ' ']) {
                    return Err(wrong("a host and a port are wanted").remedy(remedy));
                }
                let port = if certificates.is_some() || scheme == "https" { 2376 } else { 2375 };
                let named = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                let host = if named { host.into() } else { format!("{host}:{port}") };
                if scheme == "https" && certificates.is_none() {
                    return Err(wrong("certificates are wanted for https")
                        .remedy("DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, or a context that has them"));
                }
                Address::Tcp { host, certificates }
            }
            "ssh" => {
                return Err(wrong("aido does not speak ssh").remedy(
                    "forward the socket: ssh -nNT -L /tmp/engine.sock:/var/run/docker.sock HOST, and DOCKER_HOST=unix:///tmp/engine.sock",
                ));
            }
            _ => return Err(wrong("its scheme is unknown").remedy(remedy)),
        };
        Ok(Endpoint { address, found_by })
    }
}

/// As `docker` does: the variable, the context by variable or settings, the places where engines listen.
fn search(
    variable: &dyn Fn(&str) -> Option<String>,
    folder: Option<&Path>,
    sockets: &[String],
) -> Result<Endpoint, Error> {
    if let Some(host) = variable("DOCKER_HOST") {
        let certificates = variable("DOCKER_TLS_VERIFY").is_some() || variable("DOCKER_TLS").is_some();
        let folder = variable("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| folder.map(Path::to_path_buf));
        return Endpoint::named(&host, "DOCKER_HOST", folder.filter(|_| certificates && host.starts_with("tcp")));
    }
    let named = variable("DOCKER_CONTEXT").map(|name| (name, "DOCKER_CONTEXT"));
    let current = || folder.and_then(current_context).map(|name| (name, "docker's current context"));
    if let Some((name, by)) = named.or_else(current).filter(|(name, _)| name != "default") {
        return context(&name, by, folder);
    }
    match sockets.iter().find(|socket| os::is_there(socket)) {
        Some(socket) => Endpoint::named(socket, "the first socket that is there", None),
        None => {
            let looked: Vec<&str> = sockets.iter().map(String::as_str).collect();
            let what =
                format!("no container engine was found: DOCKER_HOST is not set, and there is no {}", looked.join(", "));
            Err(Error::new(what).remedy(install()))
        }
    }
}

fn install() -> &'static str {
    match std::env::consts::OS {
        "macos" => "start Docker Desktop, or: brew install colima docker && colima start",
        "windows" => "start Docker Desktop, or: winget install Docker.DockerDesktop",
        _ => {
            "start it: sudo systemctl start docker; or install one: sudo apt-get install docker.io; or set DOCKER_HOST"
        }
    }
}

fn current_context(folder: &Path) -> Option<String> {
    let text = std::fs::read(folder.join("config.json")).ok()?;
    serde_json::from_slice::<Config>(&text).ok()?.current_context.filter(|name| !name.is_empty())
}

fn context(name: &str, by: &str, folder: Option<&Path>) -> Result<Endpoint, Error> {
    let digest: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    let failed = |why: String| {
        Error::new(format!("the context {name:?} ({by}) names no engine: {why}"))
            .remedy("docker context ls shows those that there are; docker context use NAME chooses one")
    };
    let folder = folder.ok_or_else(|| failed("there is no home folder".into()))?;
    let path = folder.join("contexts/meta").join(&digest).join("meta.json");
    let text = std::fs::read(&path).map_err(|e| failed(format!("{}: {e}", path.display())))?;
    let read: Context = serde_json::from_slice(&text).map_err(|e| failed(format!("{}: {e}", path.display())))?;
    let host = read.endpoints.get("docker").map(|named| named.host.as_str()).unwrap_or_default();
    let certificates = folder.join("contexts/tls").join(&digest).join("docker");
    let certificates = Some(certificates).filter(|folder| folder.join("ca.pem").is_file());
    Endpoint::named(host, format!("{by}, {name}"), certificates)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Unix(path) => write!(f, "unix://{path}"),
            Address::Pipe(path) => write!(f, "npipe://{path}"),
            Address::Tcp { host, .. } => write!(f, "tcp://{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)], folder: Option<&Path>, sockets: &[String]) -> Result<Endpoint, Error> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string());
        search(&find, folder, sockets)
    }

    #[test]
    fn the_variable_comes_before_the_context_and_that_before_sockets() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), r#"{"auths":{},"currentContext":"far"}"#).unwrap();
        let digest: String = Sha256::digest("far").iter().map(|byte| format!("{byte:02x}")).collect();
        let meta = folder.path().join("contexts/meta").join(&digest);
        std::fs::create_dir_all(&meta).unwrap();
        let text = r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://far.example:2376","SkipTLSVerify":false}}}"#;
        std::fs::write(meta.join("meta.json"), text).unwrap();
        let by_variable = with(&[("DOCKER_HOST", "unix:///a/b.sock")], Some(folder.path()), &[]).unwrap();
        assert_eq!((by_variable.to_string().as_str(), by_variable.found_by()), ("unix:///a/b.sock", "DOCKER_HOST"));
        let by_context = with(&[], Some(folder.path()), &[]).unwrap();
        assert_eq!(by_context.to_string(), "tcp://far.example:2376");
        assert_eq!(by_context.found_by(), "docker's current context, far");
        let tls = folder.path().join("contexts/tls").join(&digest).join("docker");
        std::fs::create_dir_all(&tls).unwrap();
        std::fs::write(tls.join("ca.pem"), "").unwrap();
        let Address::Tcp { certificates, .. } = with(&[], Some(folder.path()), &[]).unwrap().address else { panic!() };
        assert_eq!(certificates, Some(tls));
        let error = with(&[("DOCKER_CONTEXT", "gone")], Some(folder.path()), &[]).unwrap_err();
        assert!(error.what.contains("\"gone\" (DOCKER_CONTEXT)"), "{error}");
    }

    #[test]
    fn what_was_looked_for_is_named_where_nothing_is() {
        let error = with(&[("DOCKER_CONTEXT", "default")], None, &["unix:///nowhere/x.sock".into()]).unwrap_err();
        assert!(error.what.contains("DOCKER_HOST is not set") && error.what.contains("/nowhere/x.sock"), "{error}");
        assert!(error.remedy.is_some());
    }

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        for (text, shown) in [
            ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
            ("tcp://10.0.0.1", "tcp://10.0.0.1:2375"),
            ("tcp://[::1]:99/", "tcp://[::1]:99"),
            ("npipe:////./pipe/docker_engine", "npipe:////./pipe/docker_engine"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), shown);
        }
        for bad in ["", "docker.sock", "unix://relative", "tcp://", "tcp://a/b", "https://a:1", "ftp://a"] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
        let error = Endpoint::parse("ssh://me@far").unwrap_err();
        assert!(error.remedy.unwrap().contains("ssh -nNT -L"));
    }
}
