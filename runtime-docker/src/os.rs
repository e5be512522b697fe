//! What differs between platforms. The one place of this crate that knows which it is.

use std::path::PathBuf;

#[cfg(unix)]
mod here {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    use std::path::{Path, PathBuf};

    /// Where engines listen by default, likeliest first.
    pub(crate) fn sockets() -> Vec<String> {
        let home = super::home();
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let user = |path: &str| home.as_ref().map(|home| home.join(path));
        let own = |path: &str| runtime.as_ref().map(|folder| folder.join(path));
        let places = [
            Some("/var/run/docker.sock".into()),
            own("docker.sock"),
            user(".docker/run/docker.sock"),
            user(".colima/default/docker.sock"),
            user(".rd/docker.sock"),
            user(".orbstack/run/docker.sock"),
            own("podman/podman.sock"),
            Some("/run/podman/podman.sock".into()),
        ];
        places.into_iter().flatten().map(|path| format!("unix://{}", path.display())).collect()
    }

    /// Whether there is a socket at an address of this kind.
    pub(crate) fn is_there(address: &str) -> bool {
        let path = address.strip_prefix("unix://").map(Path::new);
        path.and_then(|path| path.metadata().ok()).is_some_and(|seen| seen.file_type().is_socket())
    }

    /// The caller, as labels have it.
    pub(crate) fn user() -> String {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        format!("{}@{machine}", rustix::process::geteuid().as_raw())
    }

    pub(crate) fn uid() -> Option<u32> {
        Some(rustix::process::geteuid().as_raw())
    }

    /// How many files and processes the caller itself may have, within reason.
    pub(crate) fn most_files_and_processes() -> Option<(i64, i64)> {
        use rustix::process::{Resource, getrlimit};
        let most = |resource| getrlimit(resource).maximum.and_then(|most| i64::try_from(most).ok()).unwrap_or(-1);
        let files = most(Resource::Nofile);
        // An engine takes no unlimited number of files.
        let at_most = |number: i64, most: i64| if number < 0 { most } else { number.min(most) };
        // Podman lowers its own number of processes to that.
        Some((at_most(files, 1 << 20), at_most(most(Resource::Nproc), 32768)))
    }

    /// Permission bits of a file, without those that change who runs it.
    pub(crate) fn mode(seen: &std::fs::Metadata) -> u32 {
        seen.mode() & 0o1777
    }

    /// A name in an archive.
    pub(crate) fn name_bytes(path: &Path) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt;
        path.as_os_str().as_bytes().to_vec()
    }

    /// Why this platform can have no file of that name.
    pub(crate) fn unnameable(_name: &str) -> Option<&'static str> {
        None
    }

    /// Makes files as everybody finds outputs: modes do not come from the task.
    pub(crate) fn plain_file(path: &Path) -> std::io::Result<std::fs::File> {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
        Ok(file)
    }
}

#[cfg(windows)]
mod here {
    use std::path::Path;

    pub(crate) fn sockets() -> Vec<String> {
        ["docker_engine", "dockerDesktopLinuxEngine", "podman-machine-default"]
            .map(|name| format!("npipe:////./pipe/{name}"))
            .into()
    }

    pub(crate) fn is_there(address: &str) -> bool {
        address.strip_prefix("npipe://").is_some_and(|pipe| Path::new(&pipe.replace('/', "\\")).exists())
    }

    pub(crate) fn user() -> String {
        let variable = |name| std::env::var(name).unwrap_or_default();
        format!("{}@{}", variable("USERNAME"), variable("COMPUTERNAME"))
    }

    pub(crate) fn uid() -> Option<u32> {
        None
    }

    pub(crate) fn most_files_and_processes() -> Option<(i64, i64)> {
        None
    }

    /// There are no such bits here: everything can be read and executed.
    pub(crate) fn mode(_seen: &std::fs::Metadata) -> u32 {
        0o755
    }

    pub(crate) fn name_bytes(path: &Path) -> Vec<u8> {
        path.to_string_lossy().replace('\\', "/").into_bytes()
    }

    pub(crate) fn unnameable(name: &str) -> Option<&'static str> {
        let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
        let device = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
            || stem.strip_prefix("COM").or(stem.strip_prefix("LPT")).is_some_and(|n| n.chars().count() == 1);
        let bad = name.contains(['<', '>', ':', '"', '\\', '|', '?', '*']) || name.ends_with([' ', '.']);
        (device || bad).then_some("Windows has no files of this name")
    }

    pub(crate) fn plain_file(path: &Path) -> std::io::Result<std::fs::File> {
        std::fs::OpenOptions::new().write(true).create_new(true).open(path)
    }
}

pub(crate) use here::*;

/// The caller's home folder.
pub(crate) fn home() -> Option<PathBuf> {
    let name = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(unix)]
mod wait {
    use aido_runtime::Listener;
    use std::os::fd::{AsFd, OwnedFd};
    use std::time::Duration;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// Registers a descriptor that is owned or borrowed, and so stays what it is.
    #[expect(deprecated, reason = "unsound for types that lie about their descriptor: these two do not")]
    fn watched<T: std::os::fd::AsRawFd + AsFd>(fd: T) -> Option<AsyncFd<T>> {
        AsyncFd::with_interest(fd, Interest::READABLE).ok()
    }

    /// Until the listener has something to say, or a moment has passed.
    pub(crate) async fn wish(listener: &dyn Listener) {
        match listener.wake().and_then(watched) {
            Some(wake) => drop(wake.readable().await),
            None => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }

    /// What the task is given to read.
    pub(crate) struct Source {
        file: std::fs::File,
        /// None for what never makes anybody wait, such as a file.
        ready: Option<AsyncFd<OwnedFd>>,
    }

    impl Source {
        pub(crate) fn new(pipe: std::io::PipeReader) -> std::io::Result<Source> {
            let file = std::fs::File::from(OwnedFd::from(pipe));
            let ready = watched(OwnedFd::from(file.try_clone()?));
            Ok(Source { file, ready })
        }

        /// The next bytes; none at the end. The descriptor is the caller's too, so its mode stays as it is.
        pub(crate) async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
            if let Some(ready) = &self.ready {
                while !is_readable(&self.file) {
                    let mut guard = ready.readable().await?;
                    if !is_readable(&self.file) {
                        guard.clear_ready();
                    }
                }
            }
            let mut piece = vec![0; 1 << 15];
            let length = std::io::Read::read(&mut self.file, &mut piece)?;
            piece.truncate(length);
            Ok((length > 0).then_some(piece))
        }
    }

    fn is_readable(file: &std::fs::File) -> bool {
        let mut polled = [rustix::event::PollFd::from_borrowed_fd(file.as_fd(), rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut polled, Some(&rustix::event::Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

#[cfg(not(unix))]
mod wait {
    use aido_runtime::Listener;
    use std::time::Duration;

    pub(crate) async fn wish(_listener: &dyn Listener) {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }

    /// What the task is given to read. Its thread stays until the pipe has something to say: nothing else can wait for one here.
    pub(crate) struct Source(tokio::sync::mpsc::Receiver<std::io::Result<Vec<u8>>>);

    impl Source {
        pub(crate) fn new(mut pipe: std::io::PipeReader) -> std::io::Result<Source> {
            let (tell, hear) = tokio::sync::mpsc::channel(4);
            std::thread::Builder::new().name("stdin".into()).spawn(move || {
                loop {
                    let mut piece = vec![0; 1 << 15];
                    let read = std::io::Read::read(&mut pipe, &mut piece);
                    let over = !matches!(read, Ok(1..));
                    let told = read.map(|length| {
                        piece.truncate(length);
                        piece
                    });
                    if tell.blocking_send(told).is_err() || over {
                        break;
                    }
                }
            })?;
            Ok(Source(hear))
        }

        pub(crate) async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
            match self.0.recv().await {
                Some(Ok(piece)) => Ok(Some(piece).filter(|piece| !piece.is_empty())),
                Some(Err(e)) => Err(e),
                None => Ok(None),
            }
        }
    }
}

pub(crate) use wait::*;
