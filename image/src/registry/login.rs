//! Logins that the user gave to Docker or Podman.

use super::{keychain, small};
use crate::{Error, Kind};
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use oci_distribution::secrets::RegistryAuth;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// A file with logins, in bytes.
const MOST: u64 = 1 << 20;
/// The name that Docker Hub's login is stored under.
const HUB: &str = "https://index.docker.io/v1/";

/// The parts of Docker's `config.json` and Podman's `auth.json` that matter here.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    auths: BTreeMap<String, Stored>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stored {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// Where logins are looked for.
pub(super) struct Logins {
    files: Vec<PathBuf>,
}

impl Logins {
    /// As the environment says: a file that it names, Docker's, Podman's.
    pub(super) fn here(variable: impl Fn(&str) -> Option<OsString>) -> Logins {
        let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = path("HOME");
        let docker = path("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.join(".docker")));
        let config = path("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
        let files = [
            path("REGISTRY_AUTH_FILE"),
            docker.map(|folder| folder.join("config.json")),
            path("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
            config.map(|folder| folder.join("containers/auth.json")),
        ];
        Logins { files: files.into_iter().flatten().collect() }
    }

    /// The login for a repository. None is no error; one that is there but cannot be had is.
    pub(super) fn find(&self, registry: &str, repository: &str) -> Result<RegistryAuth, Error> {
        for file in &self.files {
            let unreadable = |why: String| trouble(registry, &format!("`{}` cannot be read: {why}", file.display()));
            let Some(bytes) = small::read(file, MOST).map_err(|e| unreadable(e.to_string()))? else { continue };
            // The parser's own words quote what it stumbled over.
            let config: Config = serde_json::from_slice(&bytes)
                .map_err(|e| unreadable(format!("line {}, column {} is not as it should be", e.line(), e.column())))?;
            if let Some(login) = config.login(registry, repository)? {
                return Ok(login);
            }
        }
        Ok(RegistryAuth::Anonymous)
    }
}

impl Config {
    fn login(&self, registry: &str, repository: &str) -> Result<Option<RegistryAuth>, Error> {
        let server = if registry == "docker.io" { HUB } else { registry };
        let helped = |name: &str| keychain::ask(name, server).map_err(|why| trouble(registry, &why));
        if let Some((_, name)) = self.cred_helpers.iter().find(|(key, _)| normal(key) == registry) {
            return helped(name);
        }
        // The nearest one: the repository's own, those of the namespaces around it, the registry's.
        let mut key = format!("{registry}/{repository}");
        loop {
            let stored = self.auths.iter().filter(|(stored, _)| normal(stored) == key);
            for (_, stored) in stored {
                if let Some(login) = stored.login().map_err(|why| trouble(registry, why))? {
                    return Ok(Some(login));
                }
            }
            match key.rfind('/') {
                Some(end) => key.truncate(end),
                None => break,
            }
        }
        self.creds_store.as_deref().filter(|name| !name.is_empty()).map_or(Ok(None), helped)
    }
}

impl Stored {
    fn login(&self) -> Result<Option<RegistryAuth>, &'static str> {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = filled(&self.identitytoken) {
            return Ok(Some(RegistryAuth::Bearer(token)));
        }
        if let Some(auth) = filled(&self.auth) {
            let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
            let decoded = GeneralPurpose::new(&base64::alphabet::STANDARD, lenient).decode(auth.trim());
            let decoded = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let (user, password) = decoded
                .as_deref()
                .and_then(|text| text.split_once(':'))
                .ok_or("it is not in the form that it should be")?;
            return Ok(Some(RegistryAuth::Basic(user.to_owned(), password.trim_end_matches('\0').to_owned())));
        }
        Ok(filled(&self.username)
            .zip(filled(&self.password))
            .map(|(user, password)| RegistryAuth::Basic(user, password)))
    }
}

/// A key as the registry stands in references. Docker once stored addresses, with a path that meant nothing.
fn normal(key: &str) -> String {
    let bare = match key.split_once("://") {
        Some((_, address)) => address.split('/').next().unwrap_or_default(),
        None => key.trim_end_matches('/'),
    };
    let (host, path) = bare.split_once('/').map_or((bare, None), |(host, path)| (host, Some(path)));
    let host = if matches!(host, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { host };
    match path {
        None | Some("v1" | "v2") => host.to_owned(),
        Some(path) => format!("{host}/{path}"),
    }
}

fn trouble(registry: &str, why: &str) -> Error {
    Error::new(Kind::Registry, format!("the stored login for {registry} cannot be had: {why}"))
        .remedy(format!("docker login {registry}, or docker logout {registry} to pull without one"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    fn user(name: &str) -> RegistryAuth {
        RegistryAuth::Basic(name.to_owned(), "p:w".to_owned())
    }

    fn stored(name: &str) -> serde_json::Value {
        json!({"auth": STANDARD.encode(format!("{name}:p:w"))})
    }

    fn logins(config: &serde_json::Value) -> (tempfile::TempDir, Logins) {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".docker")).unwrap();
        std::fs::write(home.path().join(".docker/config.json"), config.to_string()).unwrap();
        let folder = home.path().as_os_str().to_owned();
        (home, Logins::here(|name| (name == "HOME").then(|| folder.clone())))
    }

    #[test]
    fn the_nearest_login_counts() {
        let (_home, logins) = logins(&json!({"auths": {
            "https://index.docker.io/v1/": stored("hub"), "r.example": stored("host"), "r.example/team": stored("team"),
            "r.example/team/app": stored("app"), "https://old.example/v2/": stored("old"), "empty.example": {},
            "t.example": {"identitytoken": "refresh", "auth": "b25l"}, "r.example:5000": stored("port")}}));
        let find = |registry: &str, repository: &str| logins.find(registry, repository).unwrap();
        assert_eq!(find("docker.io", "library/python"), user("hub"));
        assert_eq!(find("r.example", "other/app"), user("host"));
        assert_eq!(find("r.example", "team/x/y"), user("team"));
        assert_eq!(find("r.example", "team/app"), user("app"));
        assert_eq!(find("r.example", "teams/app"), user("host"));
        assert_eq!(find("r.example:5000", "a"), user("port"));
        assert_eq!(find("old.example", "a"), user("old"));
        assert_eq!(find("t.example", "a"), RegistryAuth::Bearer("refresh".to_owned()));
        for nothing in ["empty.example", "example", "r.example:6000"] {
            assert_eq!(find(nothing, "a"), RegistryAuth::Anonymous, "{nothing}");
        }
    }

    #[test]
    fn files_are_looked_for_where_docker_and_podman_write_them() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        let all = [("named.json", "named"), ("docker/config.json", "docker"), ("run/containers/auth.json", "run")];
        for (file, user) in all.into_iter().chain([("config/containers/auth.json", "config")]) {
            std::fs::create_dir_all(at(file).parent().unwrap()).unwrap();
            std::fs::write(at(file), json!({"auths": {"r.example": stored(user)}}).to_string()).unwrap();
        }
        let variables = [
            ("REGISTRY_AUTH_FILE", "named.json"),
            ("DOCKER_CONFIG", "docker"),
            ("XDG_RUNTIME_DIR", "run"),
            ("XDG_CONFIG_HOME", "config"),
        ];
        for (skip, expected) in ["named", "docker", "run", "config"].into_iter().enumerate() {
            let logins = Logins::here(|name| {
                let found = variables[skip..].iter().find(|(variable, _)| *variable == name)?;
                Some(at(found.1).into_os_string())
            });
            assert_eq!(logins.find("r.example", "a").unwrap(), user(expected));
        }
        assert_eq!(Logins::here(|_| None).find("r.example", "a").unwrap(), RegistryAuth::Anonymous);
    }

    #[test]
    fn what_a_file_holds_is_never_repeated() {
        for wrong in [json!({"auths": "s3cret"}), json!({"auths": {"r.example": {"auth": "s3cret!"}}}), json!("s3cret")]
        {
            let (_home, logins) = logins(&wrong);
            let error = logins.find("r.example", "a").unwrap_err();
            assert!(!error.what.contains("s3cret") && error.remedy.is_some(), "{error}");
        }
    }
}
