//! From the `runtime:` that was asked for to the facts of a root: the image is obtained here.

mod docker;

use crate::backend::{self, Backend};
use crate::host::interrupt::Held;
use crate::inputs::looks_secret;
use crate::plan::RootFacts;
use crate::progress::Shown;
use crate::settings::{self, At, Runtime, Settings};
pub(crate) use aido_image::Hold;
use aido_image::{Digest, Image, Kind, Options, Platform, Reference, Registries, Source, Store};
use aido_runtime::{Error, Root};
use std::cell::Cell;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The largest `/etc/passwd` or `/etc/group` of an image that is read.
const MOST_ACCOUNTS: u64 = 1 << 20;

/// A root that is ready to be used, and the lock that keeps its layers in the store.
pub(crate) struct Ready {
    pub(crate) facts: RootFacts,
    pub(crate) hold: Option<Hold>,
}

/// Finds or obtains the root that the settings name.
pub(crate) fn ready(settings: &Settings, backend: Backend, progress: &Shown) -> Result<Ready, Error> {
    if backend == Backend::Docker {
        return docker::ready(settings, progress);
    }
    match &settings.runtime.value {
        Runtime::Host => Ok(Ready { facts: host(), hold: None }),
        Runtime::RootFolder { folder } => folder_root(settings, folder),
        _ => image_root(settings, progress),
    }
}

/// The task on the host root is who the caller is.
fn host() -> RootFacts {
    RootFacts::host(nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw(), Vec::new())
}

fn folder_root(settings: &Settings, folder: &Path) -> Result<Ready, Error> {
    let failed =
        |what: String| Error::new(what).remedy("name a folder that holds a whole root file system: bin, etc, usr …");
    let path = real(settings, folder, "rootfs")?;
    // A root hides nothing: the project as its own root would show what its inputs hide.
    if settings.project.starts_with(&path) {
        return Err(failed(format!("rootfs {}: the project lies in it, secrets and all", folder.display())));
    }
    let keys = backend::own_home().keys.and_then(|keys| keys.canonicalize().ok());
    if keys.is_some_and(|keys| keys.starts_with(&path)) {
        return Err(failed(format!("rootfs {}: the keys that sign your runs lie in it", folder.display())));
    }
    held(settings, folder, &path, "rootfs")?;
    let looks = ["bin", "usr", "sbin", "lib", "etc"].iter().any(|name| path.join(name).symlink_metadata().is_ok());
    if !looks {
        return Err(failed(format!("{} does not look like a root file system", path.display())));
    }
    let facts = RootFacts { root: Root::Folder { path }, uid: 0, gid: 0, ..host() };
    Ok(Ready { facts, hold: None })
}

/// Where a path of the project really leads.
fn real(settings: &Settings, path: &Path, kind: &str) -> Result<PathBuf, Error> {
    let found = settings.project.join(path).canonicalize();
    found.map_err(|e| {
        Error::new(format!("{kind} {}: {e}", path.display()))
            .remedy("name a folder or file that is there, relative to the project")
    })
}

/// What a file names lies in the project, and is none of its secrets; what is typed is the user's own word.
fn held(settings: &Settings, path: &Path, real: &Path, kind: &str) -> Result<(), Error> {
    let typed = matches!(settings.runtime.at, At::Flag(_));
    let inside = real.strip_prefix(&settings.project).ok().and_then(Path::to_str);
    if typed || !inside.is_none_or(looks_secret) {
        return Ok(());
    }
    let what = format!("{kind} {}: it leads out of the project, or to its secrets", path.display());
    Err(Error::new(what).remedy(format!("type it yourself: `--runtime {}`", settings.runtime.value)))
}

fn image_root(settings: &Settings, progress: &Shown) -> Result<Ready, Error> {
    let source = source(settings)?;
    let ownership = aido_runtime_linux::image_ownership();
    let store = open_store()?;
    let found = store.find(&source, ownership).map_err(told)?;
    let image = match found {
        Some(image) => image,
        None => {
            let registries = registries()?;
            let options = Options {
                ownership,
                registries: &registries,
                offline: settings.offline,
                insecure: &settings.insecure_registries,
                refresh: false,
                progress,
                platform: Platform::here(),
            };
            obtain(&store, &source, &options, progress).map_err(|error| of_a_file(settings, error))?
        }
    };
    let hold = store.hold(&image, ownership).map_err(told)?;
    let facts = facts(&store, &image)?;
    Ok(Ready { facts, hold: Some(hold) })
}

/// What mends an image that was to come from a file or folder, where the error itself does not say it.
fn of_a_file(settings: &Settings, error: Error) -> Error {
    let Some(path) = settings.runtime.value.path().filter(|_| error.remedy.is_none()) else { return error };
    match settings.project.join(path).symlink_metadata() {
        Ok(_) => error.remedy(
            "`docker save` writes what docker-archive: reads, `skopeo copy` and `aido image export` what oci: and oci-archive: read",
        ),
        Err(_) => error.remedy("name a file or folder that is there, relative to the project"),
    }
}

/// The source as the store names it; paths are the project's. A sandbox of an archive that is gone still has its image.
fn source(settings: &Settings) -> Result<Source, Error> {
    let runtime = &settings.runtime.value;
    if let Some(path) = runtime.path()
        && settings.project.join(path).symlink_metadata().is_ok()
    {
        held(settings, path, &real(settings, path, "image")?, "image")?;
    }
    Ok(match runtime.at(settings.project.join(runtime.path().unwrap_or(Path::new("")))) {
        Runtime::OciLayout { folder, which } => Source::OciLayout { dir: folder, which },
        Runtime::OciArchive { file, which } => Source::OciArchive { file, which },
        Runtime::DockerArchive { file, which } => Source::DockerArchive { file, which },
        Runtime::RootArchive { file } => Source::RootArchive(file),
        other => other.to_string().parse().map_err(told)?,
    })
}

/// What the user says of registries.
pub(crate) fn registries() -> Result<Registries, Error> {
    settings::registries::of_the_user().map_err(|e| Error::new(e.to_string()))
}

/// What the runtime's name leads to, as far as the engine or aido's own store knows; makes no store, asks no registry.
pub(crate) fn resolved(settings: &Settings, backend: Backend) -> Option<String> {
    let held = (backend == Backend::Docker).then(|| docker::resolved(settings)).flatten();
    held.or_else(|| stored(settings).map(|digest| digest.to_string()))
}

fn stored(settings: &Settings) -> Option<Digest> {
    let Runtime::Image(_) = &settings.runtime.value else { return None };
    let there = crate::host::native::images().ok().filter(|folder| folder.is_dir())?;
    Store::open(&there).ok()?.resolved(&source(settings).ok()?).ok()?
}

/// What the tag was resolved to, else what its registry says.
pub(crate) fn meaning(tag: &Reference, asked: &crate::cli::Check) -> Result<Digest, Error> {
    let source = Source::Registry(tag.clone());
    let store: Store = open_store()?;
    if !asked.update
        && let Some(digest) = store.resolved(&source).map_err(told)?
    {
        return Ok(digest);
    }
    let progress = crate::progress::shown(false);
    let registries = registries()?;
    let options = Options {
        ownership: aido_runtime_linux::image_ownership(),
        offline: asked.offline,
        insecure: &asked.insecure_registry,
        registries: &registries,
        refresh: false,
        platform: Platform::here(),
        progress: &progress,
    };
    store.meant_now(&source, &options).map_err(told)
}

/// The names of what is in the store; makes no store.
pub(crate) fn image_names() -> Vec<String> {
    let there = crate::host::native::images().ok().filter(|folder| folder.is_dir());
    let listed = there.and_then(|there| Store::open(&there).ok()?.list().ok()).unwrap_or_default();
    listed.into_iter().flat_map(|image| image.names).collect()
}

pub(crate) fn open_store() -> Result<Store, Error> {
    Store::open(&crate::host::native::images()?).map_err(told)
}

/// Fetches and unpacks under the ids of the image's files; the caller has one thread.
pub(crate) fn obtain(store: &Store, source: &Source, options: &Options<'_>, progress: &Shown) -> Result<Image, Error> {
    named(store, source, options, progress, None)
}

/// The same, with a name for what came; without one it is known by its source.
pub(crate) fn named(
    store: &Store,
    source: &Source,
    options: &Options<'_>,
    progress: &Shown,
    name: Option<&Reference>,
) -> Result<Image, Error> {
    let closed = Cell::new(false);
    fetching(progress, &closed, || {
        let done = store.obtain(source, options).and_then(|image| match name {
            Some(name) => store.tag(&image, name),
            None => Ok(()),
        });
        // Where the lines are known, which may be another process than the one that goes on.
        progress.clear();
        closed.set(done.as_ref().is_err_and(|error| error.kind == Kind::Closed) && !source.is_standard_input());
        done.map_err(told)
    })?;
    let known = name.map_or_else(|| source.clone(), |name| Source::Registry(name.clone()));
    let found = store.find(&known, options.ownership).map_err(told)?;
    found.ok_or_else(|| Error::new(format!("`{source}` was obtained, and is not in the store")))
}

/// As below, for a job that takes its time and may be interrupted. If it fails and says by `closed` that a
/// folder of an image is closed to this user, it is done once more as root of a namespace, where it opens;
/// its mode never changes.
pub(crate) fn fetching(
    progress: &Shown,
    closed: &Cell<bool>,
    mut job: impl FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    let held = Held::back()?;
    match among_image_ids(|| held.during(progress, &mut job)) {
        Err(_) if closed.get() => elsewhere(with_rights, || held.during(progress, &mut job)),
        done => done,
    }
}

/// Does `job` in the process that may touch what the ids of an image's files own. That may be another
/// process than this one: what the job found it has to say there.
pub(crate) fn among_image_ids(job: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    elsewhere(with_ids, job)
}

fn with_ids(job: &mut dyn FnMut() -> Result<(), String>) -> Result<(), Error> {
    aido_runtime_linux::with_image_ids_and_caller(beside_caller(job), aido_image::serve_helpers)
}

fn with_rights(job: &mut dyn FnMut() -> Result<(), String>) -> Result<(), Error> {
    aido_runtime_linux::with_image_rights_and_caller(beside_caller(job), aido_image::serve_helpers)
}

/// Programs that keep the user's logins talk to the user alone, not to the ids of files.
fn beside_caller(
    job: &mut dyn FnMut() -> Result<(), String>,
) -> impl FnOnce(Option<UnixStream>) -> Result<(), String> + '_ {
    |caller| {
        if let Some(caller) = caller {
            aido_image::helpers_beyond(caller);
        }
        job()
    }
}

fn elsewhere<J: FnOnce() -> Result<(), Error>>(
    run: impl FnOnce(&mut dyn FnMut() -> Result<(), String>) -> Result<(), Error>,
    job: J,
) -> Result<(), Error> {
    let (mut failure, mut job) = (None, Some(job));
    let done = run(&mut || {
        job.take().map_or(Ok(()), |job| job()).map_err(|error| {
            // Only what is printable crosses from the helper process: the remedy goes along as text.
            let text = pack(&error);
            failure = Some(error);
            text
        })
    });
    match (done, failure) {
        (Err(_), Some(error)) => Err(error),
        (Err(error), None) => Err(unpack(error)),
        (Ok(()), _) => Ok(()),
    }
}

/// Separates an error's remedy from its sentence while both are one text.
const REMEDY: char = '\u{1e}';

pub(crate) fn pack(error: &Error) -> String {
    match &error.remedy {
        Some(remedy) => format!("{}{REMEDY}{remedy}", error.what),
        None => error.what.clone(),
    }
}

pub(crate) fn unpack(error: Error) -> Error {
    match error.what.split_once(REMEDY) {
        Some((what, remedy)) => Error::new(what).remedy(remedy),
        None => error,
    }
}

pub(crate) fn told(error: aido_image::Error) -> Error {
    Error { what: error.what, remedy: error.remedy }
}

fn facts(store: &Store, image: &Image) -> Result<RootFacts, Error> {
    let config = &image.config;
    let user = config.user.as_deref().unwrap_or("");
    let read = |path: &str| -> Result<String, Error> {
        let bytes = store.read_file(image, path, MOST_ACCOUNTS).map_err(told)?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    let (passwd, group) =
        if user.is_empty() { Default::default() } else { (read("/etc/passwd")?, read("/etc/group")?) };
    let (uid, gid, groups) = account(user, &passwd, &group)
        .map_err(|why| Error::new(format!("the user `{}` of image {}: {why}", user.escape_debug(), image.reference)))?;
    Ok(RootFacts {
        root: Root::Image {
            reference: image.reference.clone(),
            digest: image.digest.to_string(),
            layers: image.layers.iter().map(ToString::to_string).collect(),
        },
        env: config.env.clone(),
        workdir: config.workdir.clone().unwrap_or_default(),
        uid,
        gid,
        groups,
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
    })
}

/// Reads `USER[:GROUP]` of an image, names and numbers, against its own account files.
fn account(user: &str, passwd: &str, group: &str) -> Result<(u32, u32, Vec<u32>), String> {
    let (name, wanted) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    let fields = |line: &str| line.split(':').map(str::to_string).collect::<Vec<_>>();
    let number = |fields: &[String], at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    let asked: Option<u32> = if name.is_empty() { Some(0) } else { name.parse().ok() };
    let entry = passwd
        .lines()
        .map(fields)
        .find(|f| f.first().is_some_and(|first| first == name) || (asked.is_some() && number(f, 2) == asked));
    let uid = asked.or_else(|| entry.as_ref().and_then(|f| number(f, 2)));
    let uid = uid.filter(|uid| *uid != u32::MAX).ok_or("it is not in the image's /etc/passwd")?;
    let own_group = entry.as_ref().and_then(|f| number(f, 3)).unwrap_or(0);
    let login = entry.as_ref().and_then(|f| f.first().cloned()).unwrap_or_default();
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        let member = |f: &Vec<String>| {
            !login.is_empty() && f.get(3).is_some_and(|members| members.split(',').any(|member| member == login))
        };
        let groups = group.lines().map(fields).filter(member).filter_map(|f| number(&f, 2));
        return Ok((uid, own_group, groups.filter(|gid| *gid != own_group).take(64).collect()));
    };
    let by_name = || group.lines().map(fields).find(|f| f.first().is_some_and(|first| first == wanted));
    let gid = wanted.parse().ok().or_else(|| number(&by_name()?, 2)).filter(|gid: &u32| *gid != u32::MAX);
    Ok((uid, gid.ok_or_else(|| format!("group `{}` is not in its /etc/group", wanted.escape_debug()))?, Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/srv:/bin/sh\nbroken:x\n";
    const GROUP: &str = "root:x:0:\napp:x:1001:\naudio:x:29:app,root\n";

    #[test]
    fn users_are_read_as_docker_reads_them() {
        let read = |user| account(user, PASSWD, GROUP);
        assert_eq!(read(""), Ok((0, 0, vec![29])));
        assert_eq!(read("app"), Ok((1000, 1001, vec![29])));
        assert_eq!(read("1000"), Ok((1000, 1001, vec![29])));
        assert_eq!(read("1000:29"), Ok((1000, 29, vec![])));
        assert_eq!(read("app:audio"), Ok((1000, 29, vec![])));
        assert_eq!(read("4321"), Ok((4321, 0, vec![])));
        assert!(read("4294967295").is_err() && read("0:4294967295").is_err());
        assert!(read("nobody").is_err() && read("broken").is_err() && read("app:nogroup").is_err());
    }
}
