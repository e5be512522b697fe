//! `aido image export`: an image of the store as a file or folder for other tools.

use super::print_json;
use crate::cli::{ExportCompression, ExportFormat, ImageExport};
use crate::rights::with_image_rights;
use crate::{progress, root, words};
use aido_image::{Compress, Export, Exported, Format, Outlet};
use aido_runtime::Error;
use anyhow::Result;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{BufWriter, IsTerminal};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

/// Where the export goes. Nothing is to be seen of it before it is whole.
enum Target {
    Stream(File),
    /// A file without a name yet, but for one that nobody looks for where the file system wants one.
    File(File, Option<PathBuf>),
    /// A folder under a name that nobody looks for.
    Folder(PathBuf),
}

pub(crate) fn export(typed: &ImageExport) -> Result<u8> {
    let store = root::open_store()?;
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
        progress: &progress,
    };
    let written = with_image_rights(|| {
        let mut outlet = match &target {
            // Not through the standard library's buffer, which looks for the ends of lines.
            Target::Stream(file) => Outlet::archive(BufWriter::with_capacity(1 << 18, file)),
            Target::File(file, _) => Outlet::archive(BufWriter::with_capacity(1 << 18, file)),
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
        eprintln!("{}", serde_json::to_string_pretty(exported)?);
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

fn there(path: &Path) -> Error {
    let remedy = if path.is_dir() { "name a folder that is not there yet" } else { "--force replaces it" };
    Error::new(format!("`{}` is there already", path.display())).remedy(remedy)
}

fn failed(path: &Path, error: impl Into<std::io::Error>) -> Error {
    Error::new(format!("writing `{}`: {}", path.display(), error.into()))
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
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => return Err(there(path)),
        Ok(found) if typed.force && !found.is_file() => {
            return Err(Error::new(format!("`{}` is no regular file", path.display())).remedy("name another file"));
        }
        Ok(_) if !typed.force => return Err(there(path)),
        _ => {}
    }
    let mode = Mode::from_raw_mode(0o666);
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(parent(path), flags, mode) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
            let fresh = beside(path)?;
            let file = File::options().write(true).create_new(true).open(&fresh).map_err(|e| failed(&fresh, e))?;
            Ok(Target::File(file, Some(fresh)))
        }
        opened => opened.map(|file| Target::File(file.into(), None)).map_err(|e| failed(path, e)),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name in the same folder that nobody else has.
fn beside(path: &Path) -> Result<PathBuf, Error> {
    let name = path.file_name().ok_or_else(|| Error::new(format!("`{}` names no file", path.display())))?;
    Ok(parent(path).join(format!(".{}.aido-{}", name.to_string_lossy(), std::process::id())))
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
            Target::File(file, fresh) => {
                let placed = place(&file, path, typed.force);
                fresh.map(std::fs::remove_file);
                placed
            }
        }
    }

    fn give_up(&self) {
        match self {
            Target::Folder(fresh) => drop(std::fs::remove_dir_all(fresh)),
            Target::File(_, Some(fresh)) => drop(std::fs::remove_file(fresh)),
            _ => {}
        }
    }
}

/// Gives the file the name that was asked for; one that is there is replaced only by force.
fn place(file: &File, path: &Path, force: bool) -> Result<(), Error> {
    file.sync_all().map_err(|e| failed(path, e))?;
    let link = |to: &Path| {
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        rustix::fs::linkat(CWD, from, CWD, to, AtFlags::SYMLINK_FOLLOW)
    };
    match link(path) {
        Err(Errno::EXIST) if force => {
            let fresh = beside(path)?.with_extension("new");
            link(&fresh).map_err(|e| failed(&fresh, e))?;
            std::fs::rename(&fresh, path).map_err(|e| {
                let _ = std::fs::remove_file(&fresh);
                failed(path, e)
            })
        }
        Err(Errno::EXIST) => Err(there(path)),
        linked => linked.map_err(|e| failed(path, e)),
    }
}
