//! What people type for an image, read as Docker reads it.

use crate::{Digest, Error, Kind, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Host, with a port where one was given; `docker.io` for short names.
    pub registry: String,
    pub repository: String,
    /// `latest` where neither a tag nor a digest was given. Beside a digest it is for people: the
    /// digest decides.
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Registry(Reference),
    /// A folder in the OCI image layout.
    OciLayout {
        dir: PathBuf,
        which: Which,
    },
    /// A tar file of such a folder; `-` is standard input.
    OciArchive {
        file: PathBuf,
        which: Which,
    },
    /// What `docker save` writes; `-` is standard input.
    DockerArchive {
        file: PathBuf,
        which: Which,
    },
    /// A tar file of a whole root file system.
    RootArchive(PathBuf),
}

/// Written for a file: what comes in by standard input.
const STANDARD_INPUT: &str = "-";

pub(crate) fn is_standard_input(file: &Path) -> bool {
    file == Path::new(STANDARD_INPUT)
}

/// Which image of a folder or an archive is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Which {
    /// The only one there is.
    #[default]
    Only,
    /// By its name in there: a tag, or a whole reference.
    Named(String),
    /// By the digest of its manifest; of its config where there is no manifest.
    Digest(Digest),
}

fn wrong(text: &str, why: impl fmt::Display) -> Error {
    let text: String = text.chars().take(200).collect();
    Error::new(Kind::Name, format!("`{}` is no image reference: {why}", text.escape_debug()))
        .remedy("write it as `python:3.11`, `registry.example/team/image:tag` or `name@sha256:…`")
}

/// One component of a repository: lower-case letters and digits, with single separators between.
fn component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let edges = bytes.first().copied().is_some_and(alphanumeric) && bytes.last().copied().is_some_and(alphanumeric);
    edges
        && bytes
            .split(|b| alphanumeric(*b))
            .all(|separator| matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-'))
}

fn registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some((host, rest)) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                ("v6", rest.strip_prefix(':').or(if rest.is_empty() { Some("0") } else { None }))
            }
            _ => return false,
        },
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("0")),
        },
    };
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    port.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok())
        && host.split('.').all(label)
}

fn valid_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128 && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|e| wrong(text, e))?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag.filter(|tag| !valid_tag(tag)) {
            return Err(wrong(text, format!("the tag `{}` is not one", tag.escape_debug())));
        }
        let named_host = |first: &str| {
            first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase())
        };
        let (host, path) = match name.split_once('/') {
            Some((first, path)) if named_host(first) => (first, path.to_owned()),
            _ => ("docker.io", name.to_owned()),
        };
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        let short = host == "docker.io" && !path.contains('/');
        let repository = if short { format!("library/{path}") } else { path };
        if !registry(host) {
            return Err(wrong(text, format!("`{}` is no registry", host.escape_debug())));
        }
        if let Some(bad) = repository.split('/').find(|c| !component(c)) {
            let rule = "names are lower-case letters and digits with single `.`, `_`, `__` or dashes between";
            return Err(wrong(text, format!("`{}` is no repository name ({rule})", bad.escape_debug())));
        }
        if repository.len() > 255 {
            return Err(wrong(text, "the name is longer than 255 bytes"));
        }
        if name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(wrong(text, "64 hexadecimal digits are a digest, and no name"));
        }
        let tag = if digest.is_some() { tag } else { tag.or(Some("latest")) }.map(str::to_owned);
        Ok(Reference { registry: host.to_owned(), repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl Reference {
    /// The same name held to a digest; a tag stays for people.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Reference {
        Reference { digest: Some(digest), ..self.clone() }
    }

    /// The name without the digest, which can be asked again; none where there was no tag.
    #[must_use]
    pub fn tagged(&self) -> Option<Reference> {
        self.tag.as_ref().map(|_| Reference { digest: None, ..self.clone() })
    }

    /// A digest in this repository, as the store remembers where an image came from.
    pub(crate) fn spot(&self, digest: &Digest) -> String {
        format!("{}/{}@{digest}", self.registry, self.repository)
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            let (file, which) = local(rest, "oci-archive:FILE[:TAG]", true)?;
            return Ok(Source::OciArchive { file, which });
        }
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            let (file, which) = local(rest, "docker-archive:FILE[:NAME[:TAG]]", true)?;
            return Ok(Source::DockerArchive { file, which });
        }
        if let Some(path) = text.strip_prefix("rootfs-archive:") {
            if path.is_empty() {
                let wrong = Error::new(Kind::Name, "`rootfs-archive:` names no path");
                return Err(wrong.remedy("write rootfs-archive:FILE"));
            }
            return Ok(Source::RootArchive(path.into()));
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (dir, which) = local(rest, "oci:DIR[:TAG]", false)?;
            return Ok(Source::OciLayout { dir, which });
        }
        text.parse().map(Source::Registry)
    }
}

/// A path, and which image there. In an archive the name may be a whole reference, with colons and
/// slashes: it begins at the first colon. A folder's stands in the last part of the path.
fn local(text: &str, form: &str, archive: bool) -> Result<(PathBuf, Which)> {
    let pinned = text.rsplit_once('@').filter(|(_, digest)| digest.starts_with("sha256:"));
    let (path, which) = match pinned {
        Some((path, digest)) => (path, Which::Digest(digest.parse()?)),
        None => {
            let last = || text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
            let split = if archive { text.split_once(':') } else { last() };
            match split.filter(|(_, name)| !name.is_empty()) {
                Some((path, name)) => (path, Which::Named(name.to_owned())),
                None => (text, Which::Only),
            }
        }
    };
    if path.is_empty() {
        return Err(
            Error::new(Kind::Name, format!("`{}` names no path", text.escape_debug())).remedy(format!("write {form}"))
        );
    }
    Ok((path.into(), which))
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::Only => Ok(()),
            Which::Named(name) => write!(f, ":{name}"),
            Which::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Registry(reference) => reference.fmt(f),
            Source::OciLayout { dir, which } => write!(f, "oci:{}{which}", dir.display()),
            Source::OciArchive { file, which } => write!(f, "oci-archive:{}{which}", file.display()),
            Source::DockerArchive { file, which } => write!(f, "docker-archive:{}{which}", file.display()),
            Source::RootArchive(file) => write!(f, "rootfs-archive:{}", file.display()),
        }
    }
}

impl Source {
    /// The same image by its digest; what is no registry has no such name.
    pub(crate) fn at(&self, digest: Digest) -> Option<Source> {
        match self {
            Source::Registry(reference) => Some(Source::Registry(reference.at(digest))),
            _ => None,
        }
    }

    /// Whether its bytes come from standard input, so that nobody can ask for them again.
    pub fn is_standard_input(&self) -> bool {
        match self {
            Source::OciArchive { file, .. } | Source::DockerArchive { file, .. } => is_standard_input(file),
            _ => false,
        }
    }

    /// The same source under the name that the store knows it by: paths are absolute.
    pub(crate) fn absolute(&self) -> Result<Source> {
        let absolute = |path: &PathBuf| match path.to_str() {
            Some(STANDARD_INPUT) => Ok(path.clone()),
            _ => std::path::absolute(path).map_err(|e| Error::io(format!("`{}`", path.display()), e)),
        };
        Ok(match self {
            Source::Registry(_) => self.clone(),
            Source::OciLayout { dir, which } => Source::OciLayout { dir: absolute(dir)?, which: which.clone() },
            Source::OciArchive { file, which } => Source::OciArchive { file: absolute(file)?, which: which.clone() },
            Source::DockerArchive { file, which } => {
                Source::DockerArchive { file: absolute(file)?, which: which.clone() }
            }
            Source::RootArchive(file) => Source::RootArchive(absolute(file)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_names_are_read_as_docker_reads_them() {
        for (typed, meant) in [
            ("python", "docker.io/library/python:latest"),
            ("python:3.11", "docker.io/library/python:3.11"),
            ("team/app", "docker.io/team/app:latest"),
            ("index.docker.io/library/python", "docker.io/library/python:latest"),
            ("localhost/app:1", "localhost/app:1"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("127.0.0.1:5055/tiny", "127.0.0.1:5055/tiny:latest"),
            ("[::1]:5000/tiny", "[::1]:5000/tiny:latest"),
            ("ghcr.io/a/b-c__d.e", "ghcr.io/a/b-c__d.e:latest"),
        ] {
            assert_eq!(typed.parse::<Reference>().unwrap().to_string(), meant);
        }
        for (typed, meant) in [("python:3.11", "library/python:3.11"), ("a/b", "a/b"), ("docker.io/a:1", "library/a:1")]
        {
            let pinned = format!("{typed}@{D}").parse::<Reference>().unwrap();
            assert_eq!(pinned.to_string(), format!("docker.io/{meant}@{D}"));
        }
    }

    #[test]
    fn a_tag_beside_a_digest_is_kept_for_people() {
        let pinned = format!("python:3.11@{D}").parse::<Reference>().unwrap();
        assert_eq!((pinned.tag.as_deref(), pinned.digest), (Some("3.11"), Some(Digest::of(b""))));
        let tag = "python:3.11".parse::<Reference>().unwrap();
        assert_eq!((tag.at(Digest::of(b"")), pinned.tagged()), (pinned, Some(tag)));
        let bare = format!("python@{D}").parse::<Reference>().unwrap();
        assert_eq!((bare.tag.as_deref(), bare.tagged()), (None, None));
    }

    /// Against Docker's own parser, as skopeo has it: `skopeo inspect docker-daemon:NAME` with a daemon
    /// that is not there tells a name that it cannot read from one that it cannot find. (Hosts in capitals
    /// and IPv6 addresses are left out: newer parsers take them, as aido does, older ones do not.)
    #[test]
    fn names_are_taken_and_refused_as_by_dockers_parser() {
        let long = |n: usize| "a".repeat(n);
        let names = [
            "python:3.11",
            "python",
            "team/app:1",
            "localhost/app:1",
            "localhost:5000/a/b:1",
            "localhost:5000",
            "a.b/c:1",
            "A.B/c:1",
            "a/B:1",
            "a__b:1",
            "a___b:1",
            "a--b:1",
            "a._b:1",
            "a-:1",
            "-a:1",
            "a..b:1",
            "a:-t",
            "a:.t",
            "a:_t",
            "a:t.",
            "a//b:1",
            "/a:1",
            "a/:1",
            "a b:1",
            "a:b:c",
            "a:",
            "x.y:/a:1",
            "x.y:80/a:1",
            "[::1/a:1",
            "-x.y/a:1",
            "x-.y/a:1",
            "x..y/a:1",
            "docker.io:1",
            "docker.io/a:1",
            "index.docker.io/a:1",
            "http://x.y/a:1",
            "é:1",
            "a@sha256:1",
            "a@md5:00000000000000000000000000000000",
        ];
        let mut names: Vec<String> = names.map(str::to_owned).to_vec();
        names.extend([format!("a@{D}"), format!("x.y/a@{D}"), format!("a@{}", D.to_uppercase()), format!("@{D}")]);
        names.extend([
            format!("{}:1", long(128)),
            format!("a:{}", long(128)),
            format!("a:{}", long(129)),
            "b".repeat(64),
        ]);
        for name in names {
            let mut skopeo = std::process::Command::new("skopeo");
            let asked =
                skopeo.args(["inspect", "--daemon-host", "unix:///nowhere.sock", &format!("docker-daemon:{name}")]);
            let Ok(asked) = asked.output() else {
                eprintln!("SKIPPED: skopeo is not installed");
                return;
            };
            let said = String::from_utf8(asked.stderr).unwrap();
            let taken = said.contains("nowhere.sock") || said.contains("neither a tag nor a digest");
            assert!(taken || said.contains("Error parsing image name"), "{said}");
            assert_eq!(name.parse::<Reference>().is_ok(), taken, "{name}: {said}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in [
            "",
            ":",
            "/",
            "Python",
            "a//b",
            "a/../b",
            "a:b:c",
            "a@sha256:1",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a b",
            "a\0",
            "x.y:99999/a",
            "x.y:/a",
            "[::1/a",
            "[nope]/a",
            "a:-t",
            "../a",
            "http://x.y/a",
            "a/",
            "é",
            "-x.y/a",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn local_sources_are_told_from_references() {
        let source = |text: &str| text.parse::<Source>().unwrap();
        let named = |name: &str| Which::Named(name.to_owned());
        let layout = |dir: &str, which| Source::OciLayout { dir: dir.into(), which };
        assert_eq!(source("oci:dir"), layout("dir", Which::Only));
        assert_eq!(source("oci:/a/dir:v1"), layout("/a/dir", named("v1")));
        assert_eq!(source("oci:/a:b/dir"), layout("/a:b/dir", Which::Only));
        assert_eq!(source(&format!("oci:dir@{D}")), layout("dir", Which::Digest(D.parse().unwrap())));
        assert!(format!("oci:dir@{}", &D[..20]).parse::<Source>().is_err());
        let docker = |file: &str, which| Source::DockerArchive { file: file.into(), which };
        assert_eq!(source("docker-archive:x.tar"), docker("x.tar", Which::Only));
        assert_eq!(source("docker-archive:x.tar:a.b:5/c:d"), docker("x.tar", named("a.b:5/c:d")));
        assert!(source("docker-archive:-").is_standard_input() && source("oci-archive:-:v1").is_standard_input());
        assert!(!source("oci-archive:./-").is_standard_input() && !source("oci:-").is_standard_input());
        assert!("oci:".parse::<Source>().is_err() && "oci-archive:".parse::<Source>().is_err());
    }

    proptest! {
        #[test]
        fn what_was_read_reads_back_the_same(text in "[a-zA-Z0-9._:/@-]{1,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = text.parse::<Source>();
        }
    }
}
