//! `registries.yaml`: what the user says of registries. A project has no word in it.

use super::error::{Error, Result, Told};
use super::policy::config_home;
use super::schema::Section;
use super::yaml::{self, Node, Value};
use super::{file, policy};
use aido_image::{Reference, Registries, Rules};
use std::path::{Path, PathBuf};

const FILE: &str = "registries.yaml";
const KEYS: [&str; 3] = ["mirrors", "insecure", "ca"];
/// Where Docker and Podman look for certificates for the whole machine.
const MACHINE: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// What the user and the machine say of registries; no file says nothing.
pub fn of_the_user() -> Result<Registries> {
    let config = config_home();
    let mut registries = config.as_deref().map_or_else(|| Ok(Registries::default()), load)?;
    let own = config.map(|config| config.join("containers/certs.d"));
    registries.certificates = own.into_iter().chain(MACHINE.map(PathBuf::from)).collect();
    Ok(registries)
}

/// `aido/registries.yaml` in this folder of configurations.
fn load(config: &Path) -> Result<Registries> {
    let folder = config.join("aido");
    let path = folder.join(FILE);
    match file::read_own(&path)? {
        Some(text) => parse(&text, &path.display().to_string(), &folder),
        None => Ok(Registries::default()),
    }
}

/// `shown` is what messages call the text; paths in it begin in `folder`.
fn parse(text: &str, shown: &str, folder: &Path) -> Result<Registries> {
    let mut registries = Registries::default();
    let document = yaml::read(text, shown)?;
    if matches!(document.value, Value::Null) {
        return Ok(registries);
    }
    let mut top = Section::new(document, FILE, &["version", "registries"])?;
    top.take("version").map(policy::version).transpose()?;
    let Some(all) = top.take("registries") else { return Ok(registries) };
    for (key, node) in Section::any(all, "registries")?.into_entries() {
        let name = registry(&key)?;
        let rules = rules(node, &key.value, folder)?;
        if registries.rules.insert(name, rules).is_some() {
            return Err(Error::new(
                key.at,
                format!("`{}` is another name of a registry that is given above", key.value),
            ));
        }
    }
    Ok(registries)
}

fn rules(node: Node, key: &str, folder: &Path) -> Result<Rules> {
    let mut section = Section::new(node, key, &KEYS)?;
    let mut rules = Rules::default();
    if let Some(node) = section.take("mirrors") {
        for mirror in node.texts("mirrors")? {
            rules.mirrors.push(self::mirror(&mirror)?);
        }
    }
    if let Some(node) = section.take("insecure") {
        rules.insecure = match node.value {
            Value::Bool(insecure) => insecure,
            _ => return Err(Error::new(node.at, "`insecure` is true or false")),
        };
    }
    if let Some(node) = section.take("ca") {
        rules.ca = Some(folder.join(node.text("ca")?.value));
    }
    Ok(rules)
}

/// The registry as references name it.
fn registry(told: &Told<String>) -> Result<String> {
    let wrong = || {
        let what = format!("`{}` is no registry", told.value);
        Error::new(told.at.clone(), what).remedy("write it as in images' names: `docker.io`, `registry.example:5000`")
    };
    let reference: Reference = format!("{}/x", told.value).parse().map_err(|_| wrong())?;
    let hub = matches!(&told.value[..], "docker.io" | "index.docker.io");
    if reference.registry == told.value || hub { Ok(reference.registry) } else { Err(wrong()) }
}

/// A mirror as it was written, if a reference may begin with it.
fn mirror(told: &Told<String>) -> Result<String> {
    let host = told.value.split('/').next().unwrap_or_default();
    let parsed = format!("{}/x", told.value.trim_end_matches('/')).parse::<Reference>();
    if parsed.is_ok_and(|reference| reference.registry == host && reference.tag.as_deref() == Some("latest")) {
        return Ok(told.value.clone());
    }
    let what = format!("`{}` is no mirror", told.value);
    Err(Error::new(told.at.clone(), what).remedy("write it as HOST[:PORT][/PREFIX], without `https://`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Registries> {
        parse(text, "registries.yaml", Path::new("/home/me/.config/aido"))
    }

    #[test]
    fn what_is_said_of_registries_is_read() {
        let text = "version: 1\nregistries:\n  docker.io: {mirrors: [mirror.example, 'hub.example:5000/cache']}\n  \
                    r.example:5000:\n    insecure: true\n    ca: own.pem\n  localhost: {ca: /etc/x.pem}\n";
        let found = read(text).unwrap().rules;
        assert_eq!(found["docker.io"].mirrors, ["mirror.example", "hub.example:5000/cache"]);
        let own = Rules { mirrors: Vec::new(), insecure: true, ca: Some("/home/me/.config/aido/own.pem".into()) };
        assert_eq!(found["r.example:5000"], own);
        assert_eq!(found["localhost"].ca.as_deref(), Some(Path::new("/etc/x.pem")));
        assert_eq!(read("registries: {index.docker.io: {insecure: false}}").unwrap().rules.len(), 1);
        for nothing in ["", "version: 1\n", "registries: {}\n"] {
            assert_eq!(read(nothing).unwrap(), Registries::default());
        }
    }

    #[test]
    fn every_mistake_has_its_place_and_what_mends_it() {
        for (text, said) in [
            ("registries:\n  r.example: {mirror: [a.example]}", ":2:15: unknown key `mirror`; did you mean `mirrors`?"),
            ("registries:\n  https://r.example: {}", ":2:3: `https://r.example` is no registry"),
            ("registries:\n  registry: {}", ":2:3: `registry` is no registry"),
            ("registries:\n  r.example/team: {}", ":2:3: `r.example/team` is no registry"),
            ("registries:\n  docker.io: {mirrors: ['https://a.example']}", ":2:25: `https://a.example` is no mirror"),
            ("registries:\n  docker.io: {mirrors: [cache]}", ":2:25: `cache` is no mirror"),
            ("registries:\n  docker.io: {mirrors: ['a.example/x:1']}", ":2:25: `a.example/x:1` is no mirror"),
            ("registries:\n  docker.io: {insecure: 1}", "`insecure` is true or false"),
            ("registries:\n  docker.io: {}\n  index.docker.io: {}", ":3:3: `index.docker.io` is another name"),
            ("registries: [docker.io]", "is a mapping"),
            ("docker.io: {}", "unknown key `docker.io`"),
            ("version: 2", "version"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with("registries.yaml:") && error.contains(said), "{text}\n{error}");
        }
    }

    #[test]
    fn a_file_that_others_may_write_is_not_believed() {
        use std::os::unix::fs::PermissionsExt;
        let config = tempfile::tempdir().unwrap();
        assert_eq!(load(config.path()).unwrap(), Registries::default());
        let file = config.path().join("aido/registries.yaml");
        std::fs::create_dir(config.path().join("aido")).unwrap();
        std::fs::write(&file, "registries: {docker.io: {insecure: true}}").unwrap();
        assert!(load(config.path()).unwrap().rules["docker.io"].insecure);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        load(config.path()).unwrap_err();
    }
}
