//! `aido image export`: an image of the store as a file or folder for other tools.

use super::{print_json, versioned};
use crate::cli::{ExportCompression, ExportFormat, ImageExport};
use crate::fresh::{Fresh, beside, failed, there};
use crate::host::rights::with_image_rights;
use crate::{progress, root, words};
use aido_image::{Compress, Export, Exported, Format, Outlet, Reference};
use aido_runtime::Error;
use anyhow::Result;
use std::fs::File;
use std::io::{BufWriter, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Where the export goes. Nothing is to be seen of it before it is whole.
enum Target {
    Stream(File),
    File(Fresh),
    /// A folder under a name that nobody looks for.
    Folder(PathBuf),
}

pub(crate) fn export(typed: &ImageExport) -> Result<u8> {
    let store = root::open_store()?;
    let name = typed.name.as_deref().map(str::parse::<Reference>).transpose().map_err(root::told)?;
    let image = store.named(&typed.reference).map_err(root::told)?;
    let _hold = store.keep(&image).map_err(root::told)?;
    let format = format(typed);
    let target = target(typed, format)?;
    let progress = progress::shown(typed.quiet);
    let how = Export {
        format: if format == ExportFormat::DockerArchive { Format::Docker } else { Format::Oci },
        compress: match typed.compress {
            None => Compress::Not,
            Some(ExportCompression::Gzip) => Compress::Gzip,
            Some(ExportCompression::Zstd) => Compress::Zstd,
        },
        name: name.as_ref(),
        progress: &progress,
    };
    let written = with_image_rights(|| {
        let mut outlet = match &target {
            // Not through the standard library's buffer, which looks for the ends of lines.
            Target::Stream(file) => Outlet::archive(BufWriter::with_capacity(1 << 18, file)),
            Target::File(fresh) => Outlet::archive(BufWriter::with_capacity(1 << 18, &fresh.file)),
            Target::Folder(folder) => Outlet::folder(folder)?,
        };
        let done = store.export(&image, &how, &mut outlet);
        progress.clear();
        done
    });
    let exported = match written {
        Ok(exported) => exported,
        Err(error) => {
            target.give_up();
            return Err(error.into());
        }
    };
    target.show(typed)?;
    told(typed, &exported)
}

fn format(typed: &ImageExport) -> ExportFormat {
    let ends_as_folder = typed.output.as_os_str().as_encoded_bytes().ends_with(b"/");
    let folder = || ends_as_folder || typed.output.is_dir();
    typed.format.unwrap_or_else(|| if folder() { ExportFormat::Oci } else { ExportFormat::OciArchive })
}

fn told(typed: &ImageExport, exported: &Exported) -> Result<u8> {
    if typed.json && typed.output == Path::new("-") {
        eprintln!("{}", serde_json::to_string_pretty(&versioned(exported)?)?);
    } else if typed.json {
        return print_json(exported);
    } else if !typed.quiet {
        let to = if typed.output == Path::new("-") { "standard output".into() } else { typed.output.to_string_lossy() };
        eprintln!(
            "aido: wrote {} to {} (image ID {})",
            words::size(exported.bytes),
            words::inert(&to),
            exported.config
        );
    }
    Ok(0)
}

fn target(typed: &ImageExport, format: ExportFormat) -> Result<Target, Error> {
    let path = &typed.output;
    if path == Path::new("-") {
        if format == ExportFormat::Oci {
            return Err(Error::new("a folder cannot be written to standard output").remedy("--format oci-archive"));
        }
        if std::io::stdout().is_terminal() {
            let what = "an archive is nothing for a terminal";
            return Err(Error::new(what).remedy("name a file with -o, or pipe the output to another program"));
        }
        let own = std::io::stdout().as_fd().try_clone_to_owned().map_err(|e| failed(path, e))?;
        return Ok(Target::Stream(own.into()));
    }
    if format == ExportFormat::Oci {
        let filled = std::fs::read_dir(path).map(|mut entries| entries.next().is_some());
        if filled.unwrap_or_else(|_| path.symlink_metadata().is_ok()) {
            return Err(there(path));
        }
        let fresh = beside(path)?;
        return std::fs::create_dir(&fresh).map(|()| Target::Folder(fresh.clone())).map_err(|e| failed(&fresh, e));
    }
    Fresh::new(path, typed.force).map(Target::File)
}

impl Target {
    /// Gives it its name, in one step.
    fn show(self, typed: &ImageExport) -> Result<(), Error> {
        let path = &typed.output;
        match self {
            Target::Stream(_) => Ok(()),
            Target::Folder(fresh) => std::fs::rename(&fresh, path).map_err(|e| {
                let _ = std::fs::remove_dir_all(&fresh);
                failed(path, e)
            }),
            Target::File(fresh) => fresh.show(),
        }
    }

    fn give_up(&self) {
        if let Target::Folder(folder) = self {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
