//! Images in the engine: looked up, pulled, loaded.

use crate::client::Session;
use crate::places::below;
use crate::user;
use crate::words;
use aido_runtime::{Error, Mount};
use bollard::models::{BuildInfo, CreateImageInfo, ImageInspect, ProgressDetail};
use bollard::query_parameters::{CreateImageOptionsBuilder, ImportImageOptionsBuilder};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::io::Read;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender};

/// A transfer in which nothing moves for so long is over.
const STALLED: Duration = Duration::from_secs(300);

/// An image that the engine holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name that it was asked for by.
    pub reference: String,
    /// The manifest's digest where the engine knows one, else the image's ID.
    pub digest: String,
    /// The image's ID: the digest of its configuration, on most engines.
    pub id: String,
    /// Digests of the uncompressed layers (diff IDs), lowest first.
    pub layers: Vec<String>,
    /// `NAME=VALUE`, as the image has it.
    pub env: Vec<String>,
    pub workdir: String,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub architecture: String,
    pub os: String,
}

/// How far a pull or a load is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is about: a layer, or nothing where it is about the whole.
    pub layer: Option<String>,
    /// The engine's word for it, such as `Downloading`.
    pub status: String,
    /// Bytes so far, and of how many, where the engine says so.
    pub current: Option<u64>,
    pub total: Option<u64>,
}

/// The image of a plan, as the engine has it.
pub(crate) struct Here {
    pub(crate) id: String,
    /// Places that the image wants to have written to.
    volumes: Vec<String>,
}

impl Here {
    /// Those of its places that nothing of the plan covers.
    pub(crate) fn volumes_beside(&self, mounts: &[Mount]) -> Vec<String> {
        let covered = |place: &str| {
            ["/proc", "/sys", "/dev", "/outputs", "/.aido"].iter().any(|own| below(place, own).is_some())
                || mounts.iter().any(|mount| below(place, &mount.target).is_some())
        };
        let plain = self.volumes.iter().map(|place| place.trim_end_matches('/'));
        plain.filter(|place| place.starts_with('/') && !covered(place)).map(str::to_string).collect()
    }
}

/// The very image that a plan names: the digest or the layers decide, not the name.
pub(crate) async fn here(session: &Session, reference: &str, digest: &str, layers: &[String]) -> Result<Here, Error> {
    let repository = repository(reference);
    let names = [digest.to_string(), format!("{repository}@{digest}"), reference.to_string()];
    let mut other = false;
    for name in names.iter().filter(|name| !name.is_empty()) {
        let Some(seen) = inspect(session, name).await? else { continue };
        let own_layers = seen.root_fs.as_ref().and_then(|root| root.layers.clone()).unwrap_or_default();
        let by_digest = seen.id.as_deref() == Some(digest)
            || seen.repo_digests.iter().flatten().any(|told| told.ends_with(&format!("@{digest}")));
        if (layers.is_empty() && by_digest) || (!layers.is_empty() && own_layers == layers) {
            let volumes = seen.config.and_then(|config| config.volumes).unwrap_or_default();
            return Ok(Here { id: seen.id.unwrap_or_default(), volumes });
        }
        other = true;
    }
    let what = match other {
        true => format!(
            "the engine at {} has another image by the name of {reference} than the plan's, {digest}",
            session.at
        ),
        false => format!("the image {reference} is not in the engine at {}", session.at),
    };
    Err(Error::new(what).remedy(format!("docker pull {reference}, or docker load -i FILE where there is no network")))
}

async fn inspect(session: &Session, name: &str) -> Result<Option<ImageInspect>, Error> {
    match session.api.inspect_image(name).await {
        Ok(seen) => Ok(Some(seen)),
        Err(e) if words::is_missing(&e) => Ok(None),
        // What can be no name of an image is none.
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 400, .. }) => Ok(None),
        Err(e) => Err(session.failed(&format!("the image {name} could not be looked up"))(e)),
    }
}

/// The image of that name, or of that ID, if the engine has it.
pub(crate) async fn find(session: &Session, reference: &str) -> Result<Option<Found>, Error> {
    let Some(seen) = inspect(session, reference).await? else { return Ok(None) };
    let config = seen.config.unwrap_or_default();
    let id = seen.id.unwrap_or_default();
    let user = config.user.unwrap_or_default();
    let identity = user::identity(session, &id, &user).await?;
    let digests = seen.repo_digests.unwrap_or_default();
    let own = format!("{}@", repository(reference));
    let digest = digests.iter().find(|told| told.starts_with(&own)).or(digests.first());
    let digest = digest.and_then(|told| told.split_once('@')).map_or_else(|| id.clone(), |(_, digest)| digest.into());
    Ok(Some(Found {
        reference: reference.into(),
        digest,
        id,
        layers: seen.root_fs.and_then(|root| root.layers).unwrap_or_default(),
        env: config.env.unwrap_or_default(),
        workdir: config.working_dir.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        cmd: config.cmd.unwrap_or_default(),
        uid: identity.uid,
        gid: identity.gid,
        groups: identity.groups,
        architecture: seen.architecture.unwrap_or_default(),
        os: seen.os.unwrap_or_default(),
    }))
}

/// A reference without its tag and digest.
fn repository(reference: &str) -> &str {
    let name = reference.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

/// Has the engine pull an image.
pub(crate) async fn pull(session: &Session, reference: &str, told: &mut dyn FnMut(Progress)) -> Result<Found, Error> {
    // Without a tag an engine would pull all of them.
    let named = reference.contains('@') || repository(reference).len() < reference.len();
    let full = if named { reference.to_string() } else { format!("{reference}:latest") };
    let options = CreateImageOptionsBuilder::new().from_image(&full).build();
    let steps = session.slow.create_image(Some(options), None, None);
    let doing = format!("the image {reference} could not be pulled");
    follow(session, &doing, steps, |step: CreateImageInfo| {
        told(progress(step.id, step.status, step.progress_detail));
    })
    .await?;
    let found = find(session, &full).await?;
    found
        .map(|found| Found { reference: reference.into(), ..found })
        .ok_or_else(|| Error::new(format!("the engine says that it pulled {reference}, and does not have it")))
}

fn progress(layer: Option<String>, status: Option<String>, detail: Option<ProgressDetail>) -> Progress {
    let positive = |number: Option<i64>| number.and_then(|n| u64::try_from(n).ok());
    let detail = detail.unwrap_or_default();
    let status = status.unwrap_or_default().trim().to_string();
    Progress { layer, status, current: positive(detail.current), total: positive(detail.total) }
}

/// Hears an engine out that tells of its work; it may take as long as it says something.
async fn follow<T>(
    session: &Session,
    doing: &str,
    steps: impl Stream<Item = Result<T, bollard::errors::Error>>,
    mut each: impl FnMut(T),
) -> Result<(), Error> {
    let mut steps = std::pin::pin!(steps);
    loop {
        match tokio::time::timeout(STALLED, steps.next()).await {
            Ok(Some(Ok(step))) => each(step),
            Ok(Some(Err(e))) => return Err(session.failed(doing)(e)),
            Ok(None) => return Ok(()),
            Err(_) => return Err(Error::new(format!("{doing}: nothing moved for {} s", STALLED.as_secs()))),
        }
    }
}

/// Reads an archive for somebody else, until it ends or nobody takes any more.
pub(crate) fn read_archive(archive: &mut (dyn Read + Send), to: &Sender<std::io::Result<Bytes>>) {
    loop {
        let mut piece = vec![0; 1 << 18];
        let read = match archive.read(&mut piece) {
            Ok(0) => return,
            Ok(length) => {
                piece.truncate(length);
                Ok(Bytes::from(piece))
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => Err(e),
        };
        let over = read.is_err();
        if to.blocking_send(read).is_err() || over {
            return;
        }
    }
}

/// Gives the engine an archive, and tells what it made of it.
pub(crate) async fn load(
    session: &Session,
    mut archive: Receiver<std::io::Result<Bytes>>,
    told: &mut dyn FnMut(Progress),
) -> Result<Vec<Found>, Error> {
    let body = futures_util::stream::poll_fn(move |context| archive.poll_recv(context));
    let options = ImportImageOptionsBuilder::new().quiet(false).build();
    let mut names = Vec::new();
    let steps = session.slow.import_image_stream(options, body, None);
    follow(session, "the archive could not be loaded", steps, |step: BuildInfo| {
        let line = step.stream.unwrap_or_default();
        names.extend(line.lines().filter_map(loaded).map(str::to_string));
        told(progress(step.id, step.status.or(Some(line)), step.progress_detail));
    })
    .await?;
    let mut found = Vec::new();
    for name in names {
        found.extend(find(session, &name).await?);
    }
    if found.is_empty() {
        return Err(Error::new("the engine loaded the archive and named no image of it"));
    }
    Ok(found)
}

/// The name in a line of an engine that has loaded an image.
fn loaded(line: &str) -> Option<&str> {
    let line = line.trim();
    let (_, name) = line.split_once("Loaded image: ").or(line.split_once("Loaded image ID: "))?;
    Some(name.trim()).filter(|name| !name.is_empty())
}

/// The image that would do what the host's own toolchain does for this program.
pub(crate) fn instead_of_the_host(program: &str) -> &'static str {
    let name = program.rsplit('/').next().unwrap_or_default();
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    match stem {
        "python" | "pip" | "pytest" => "python:3",
        "node" | "npm" | "npx" | "yarn" => "node:lts",
        "ruby" | "gem" | "bundle" | "rake" => "ruby:3",
        "perl" => "perl:5",
        "php" | "composer" => "php:8-cli",
        "go" => "golang:1",
        "cargo" | "rustc" => "rust:1",
        "java" | "javac" => "eclipse-temurin:21",
        "deno" => "denoland/deno",
        "bun" => "oven/bun",
        "terraform" => "hashicorp/terraform",
        "gcc" | "cc" | "make" => "gcc:latest",
        _ => "debian:stable-slim",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aido_runtime::MountKind;

    #[test]
    fn the_repository_is_what_stands_before_tag_and_digest() {
        for (reference, expected) in [
            ("python", "python"),
            ("python:3.11", "python"),
            ("localhost:5000/a/b", "localhost:5000/a/b"),
            ("localhost:5000/a/b:1@sha256:00", "localhost:5000/a/b"),
        ] {
            assert_eq!(repository(reference), expected);
        }
    }

    #[test]
    fn engines_name_what_they_loaded() {
        assert_eq!(loaded("Loaded image: a:1\n"), Some("a:1"));
        assert_eq!(loaded("Loaded image ID: sha256:00"), Some("sha256:00"));
        assert_eq!(loaded("Loading layer"), None);
    }

    #[test]
    fn an_image_instead_of_the_host_follows_from_the_program() {
        for (program, image) in [
            ("python3", "python:3"),
            ("/usr/bin/python3.11", "python:3"),
            ("sh", "debian:stable-slim"),
            ("node", "node:lts"),
        ] {
            assert_eq!(instead_of_the_host(program), image);
        }
    }

    #[test]
    fn places_that_the_image_would_write_to_are_covered_unless_the_plan_does() {
        let here =
            Here { id: String::new(), volumes: ["/data/", "/tmp/x", "relative", "/dev/shm"].map(String::from).into() };
        let mounts = [Mount { target: "/tmp".into(), kind: MountKind::Scratch { mode: 0 } }];
        assert_eq!(here.volumes_beside(&mounts), ["/data"]);
    }
}
