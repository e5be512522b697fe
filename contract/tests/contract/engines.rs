//! The engines under judgement, each with the one image.

use crate::bent::{Bend, Bent};
use crate::differences::{self, Name};
use crate::image;
use aido_image::{Options, Source, Store, Which};
use aido_runtime::{Root, Runtime};
use aido_runtime_docker::{Docker, Endpoint};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const ENGINES: &str = "AIDO_CONTRACT_ENGINES";
static RUNS: AtomicU32 = AtomicU32::new(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Docker,
    Podman,
    Linux,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Docker, Kind::Podman, Kind::Linux];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Docker => "docker",
            Kind::Podman => "podman",
            Kind::Linux => "linux",
        }
    }
}

/// One engine, ready to run the image.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) kind: Kind,
    /// What an engine behind a socket is reached by.
    pub(crate) endpoint: String,
    /// The folder of aido's own image store.
    pub(crate) store: PathBuf,
    pub(crate) root: Root,
    /// What is wrong with it on purpose.
    pub(crate) bent: Option<Bend>,
}

impl Engine {
    /// The engine for one run under this name.
    pub(crate) fn runtime(&self, name: &str) -> Box<dyn Runtime> {
        let engine: Box<dyn Runtime> = match self.kind {
            Kind::Linux => Box::new(aido_runtime_linux::Linux::new(Some(self.store.clone()), name)),
            Kind::Docker | Kind::Podman => {
                let endpoint = Endpoint::parse(&self.endpoint).expect("an endpoint that was parsed before");
                Box::new(Docker::new(endpoint, name))
            }
        };
        match self.bent {
            Some(bend) => Box::new(Bent { engine, bend }),
            None => engine,
        }
    }

    /// A name for a run that no other has.
    pub(crate) fn new_name(&self) -> String {
        format!("suite{}n{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether this engine is on the other side of a difference that is written down.
    pub(crate) fn differs(&self, name: Name) -> bool {
        differences::holds(self.kind, name)
    }

    /// On Linux an ordinary user has bounds by control groups where the host hands some over, and one id where no more
    /// are given: then a case need not find them. Nobody else is excused.
    pub(crate) fn is_excused(&self) -> bool {
        self.kind == Kind::Linux && !is_root()
    }
}

/// Whether this program runs as root.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// The folder of everything that is made here.
pub(crate) struct Room(tempfile::TempDir);

impl Room {
    /// Removes it; in a store of images there may be files of other ids.
    pub(crate) fn clear(self) -> Result<(), String> {
        let path = self.0.keep();
        let remove = || std::fs::remove_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()));
        aido_runtime_linux::with_image_rights(remove).map_err(|e| e.what)?;
        if path.exists() { Err(format!("{} is still there", path.display())) } else { Ok(()) }
    }
}

type Prepared = (Vec<Engine>, Vec<(Kind, String)>, Option<Room>);

/// The engines that the caller names, without asking any of them.
pub(crate) fn named() -> Result<Prepared, String> {
    let (asked, missing) = asked()?;
    let root = Root::Image { reference: String::new(), digest: String::new(), layers: Vec::new() };
    let engine = |(kind, endpoint)| Engine { kind, endpoint, store: PathBuf::new(), root: root.clone(), bent: None };
    Ok((asked.into_iter().map(engine).collect(), missing, None))
}

/// The same, with the image in each.
pub(crate) fn prepared() -> Result<Prepared, String> {
    let (asked, missing) = asked()?;
    let room = tempfile::tempdir().map_err(|e| e.to_string())?;
    let archive = image::build(room.path())?;
    let store = room.path().join("store");
    let mut engines = Vec::new();
    for (kind, endpoint) in asked {
        let root = match kind {
            Kind::Linux => in_the_store(&store, &archive)?,
            Kind::Docker | Kind::Podman => in_an_engine(&endpoint, &archive)?,
        };
        engines.push(Engine { kind, endpoint, store: store.clone(), root, bent: None });
    }
    Ok((engines, missing, Some(Room(room))))
}

type Asked = (Vec<(Kind, String)>, Vec<(Kind, String)>);

/// Whether the caller says which.
pub(crate) fn are_named() -> bool {
    std::env::var_os(ENGINES).is_some()
}

/// Names and endpoints, the reference first; and what is missing, with the reason.
fn asked() -> Result<Asked, String> {
    let Some(text) = std::env::var_os(ENGINES) else {
        let why = format!("no engine is named: {ENGINES}=\"linux docker=unix:///PATH podman=unix:///PATH\"");
        eprintln!("contract: judging linux alone; {why}");
        let missing = [Kind::Docker, Kind::Podman].map(|kind| (kind, why.clone()));
        return Ok((vec![(Kind::Linux, String::new())], missing.into()));
    };
    let text = text.into_string().map_err(|_| format!("{ENGINES} is not UTF-8"))?;
    let mut engines = Vec::new();
    for word in text.split_whitespace() {
        let (name, endpoint) = word.split_once('=').unwrap_or((word, ""));
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| format!("{ENGINES}: `{name}` is no engine that is known here"))?;
        if endpoint.is_empty() != (kind == Kind::Linux) {
            return Err(format!("{ENGINES}: `{word}` should be `linux`, or a name with an endpoint"));
        }
        engines.push((kind, endpoint.to_string()));
    }
    engines.sort();
    if engines.is_empty() { Err(format!("{ENGINES} names no engine")) } else { Ok((engines, Vec::new())) }
}

fn in_the_store(folder: &Path, archive: &Path) -> Result<Root, String> {
    let store = Store::open(folder).map_err(|e| e.to_string())?;
    let ownership = aido_runtime_linux::image_ownership();
    let source = Source::DockerArchive { file: archive.to_path_buf(), which: Which::Only };
    let obtain = || store.obtain(&source, &Options::new(ownership)).map(drop).map_err(|e| e.to_string());
    aido_runtime_linux::with_image_ids(obtain).map_err(|e| e.what)?;
    let image = store.find(&source, ownership).map_err(|e| e.to_string())?.ok_or("the store lost the image")?;
    Ok(Root::Image {
        reference: image.reference.clone(),
        digest: image.digest.to_string(),
        layers: image.layers.iter().map(ToString::to_string).collect(),
    })
}

/// The engine reads the same archive; what it then calls the image becomes the plan's root.
fn in_an_engine(endpoint: &str, archive: &Path) -> Result<Root, String> {
    let failed = |e: aido_runtime::Error| format!("{endpoint}: {e}");
    let docker = Docker::new(Endpoint::parse(endpoint).map_err(failed)?, "suite-load");
    let mut file = std::fs::File::open(archive).map_err(|e| e.to_string())?;
    let loaded = docker.load(&mut file, &mut |_| {}).map_err(failed)?;
    let found = loaded.into_iter().next().ok_or_else(|| format!("{endpoint}: it loaded the image and names none"))?;
    Ok(Root::Image { reference: found.reference, digest: found.digest, layers: found.layers })
}
