//! What can be typed after `aido image`.

use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Fetch images from their registries, or see whether their names moved
    Pull(ImagePull),
    /// Take an image from a folder or file into the store
    Import(ImageImport),
    /// List the images of the store
    List(ImageList),
    /// Remove images from the store
    Remove(ImageRemove),
    /// Remove images that nobody needs, and what failed pulls left
    Prune(ImagePrune),
    /// Check that images are as they were pulled, byte for byte
    Verify(ImageVerify),
    /// Write an image to a file or folder that other tools take
    Export(ImageExport),
}

const PULL_HELP: &str = "\
A name is resolved once: an image that is in the store keeps its meaning. `pull` brings it in if it is
not there; if it is, it asks the registry by one request whether the name means something else by now,
and says so. `--update` follows, and the image from before stays, without a name, until `aido image
prune`. What is held to a digest (python:3.11@sha256:…) never changes, and nobody is asked.";

#[derive(Debug, Args)]
#[command(after_help = PULL_HELP)]
pub(crate) struct ImagePull {
    /// Images, such as python:3.11 or python:3.11@sha256:…; short names mean Docker Hub's library
    #[arg(value_name = "IMAGE", required_unless_present = "update")]
    pub(crate) references: Vec<String>,

    /// Let names follow their registry; without a name all that were pulled
    #[arg(long, conflicts_with = "offline")]
    pub(crate) update: bool,

    /// Never touch the network: say whether the images are there
    #[arg(long)]
    pub(crate) offline: bool,

    /// Talk plain HTTP to this registry; can be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) insecure_registry: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Say nothing but errors and the digests
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImageImport {
    /// oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] or rootfs-archive:FILE; @sha256:… for a tag, `-` for standard input
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,

    /// A name to know it by as well, such as tools:1; without one it goes by its source, which standard input cannot
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImageList {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImageRemove {
    /// Names or digests
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) references: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const PRUNE_HELP: &str = "\
By default images without a name go: those whose names were moved on by `aido image pull --update`, and
those of local files that are gone or have changed. An image that a sandbox uses always stays.";

#[derive(Debug, Args)]
#[command(after_help = PRUNE_HELP)]
pub(crate) struct ImagePrune {
    /// Images, with a name or without, that were neither fetched nor used for so long: 30d, 12h
    #[arg(long, value_name = "TIME", value_parser = crate::settings::duration)]
    pub(crate) older_than: Option<std::time::Duration>,

    /// Images with a name too
    #[arg(long)]
    pub(crate) all: bool,

    /// Say what would go, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const VERIFY_HELP: &str = "\
Every layer is put together again from its files and held against the digest that the image states;
modes, owners, times, links, attributes and the number of files are compared too.

Exit status: 0 all is as it was pulled; 1 something is damaged; 125 aido failed.
`aido image verify --remove`, then `aido image pull IMAGE`, fetches again what is damaged and nothing else.";

#[derive(Debug, Args)]
#[command(after_help = VERIFY_HELP)]
pub(crate) struct ImageVerify {
    /// Names or digests; without one everything in the store
    #[arg(value_name = "IMAGE")]
    pub(crate) references: Vec<String>,

    /// Take damaged layers and documents out of the store, so that a pull brings them again
    #[arg(long)]
    pub(crate) remove: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Say nothing but what is damaged
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

const EXPORT_HELP: &str = "\
Examples:
  aido image export python:3.11 -o python.tar        an OCI archive: podman load, skopeo, umoci, aido
  aido image export python:3.11 -o python/           an OCI layout, a folder
  aido image export --format docker-archive python:3.11 -o - | docker load

Layers are written byte for byte as their diff IDs say, and the config is unchanged: the image keeps
its ID. The manifest is a new one, since layers are not compressed as they were in their registry.
Docker before 23 does not read zstd.";

#[derive(Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub(crate) struct ImageExport {
    /// A name or digest of an image in the store
    #[arg(value_name = "IMAGE")]
    pub(crate) reference: String,

    /// The file or folder to write; `-` is standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub(crate) output: PathBuf,

    /// What to write [default: oci for a folder, else oci-archive]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<ExportFormat>,

    /// Compress the layers
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) compress: Option<ExportCompression>,

    /// The name that it has there [default: those that it has in the store]
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,

    /// Print JSON; with `-o -` to standard error
    #[arg(long)]
    pub(crate) json: bool,

    /// Say nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// A folder in the OCI image layout
    Oci,
    /// A tar archive of such a folder
    OciArchive,
    /// What `docker load` takes
    DockerArchive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportCompression {
    Zstd,
    Gzip,
}
