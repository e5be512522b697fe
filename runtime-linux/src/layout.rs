//! From the plan's root and mounts to the operations that build them. Pure but for looking at sources.
//!
//! Each mount is a [`Place`]. A mount that lies inside another needs a hole there: a mount point. The
//! holes are made in the other's stage, a folder of the sandbox's tmpfs: the folder itself where the
//! place is writable, a layer over what it shows where it is read-only. So nothing is ever created in
//! a folder of the host, and no mount point is a name that an image or a project chose.

mod places;

use crate::host::{self, Piece};
use crate::script::{FIRST_SLOT, Op, ROOT, Source};
use crate::source::{c_string, look};
use aido_runtime::{Error, Layer, Mount, MountKind};
pub(crate) use places::plain;
use places::{Place, Upper, places};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

pub(crate) const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | WRITABLE;
pub(crate) const WRITABLE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
/// For a device node: it may be used, but not changed.
const DEVICE: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
/// At most this many lower folders fit into the options of one overlay.
const MOST_LAYERS: usize = 200;
/// What a layer's folder holds: its content, and what the kernel needs beside it.
pub(crate) const UPPER: &str = "upper";
pub(crate) const WORK: &str = "work";

/// What the sandbox's root is made of.
pub(crate) enum Ground {
    /// The host's toolchains.
    Host { root: PathBuf },
    /// Folders of the host, highest first.
    Layers(Vec<PathBuf>),
}

/// A plain file that every sandbox has, by its path without the leading slash.
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
    /// It covers a file that a folder of the host has there.
    pub(crate) over: bool,
}

/// Compiles root and mounts into operations.
pub(crate) fn compile(
    ground: &Ground,
    mounts: &[Mount],
    texts: &[Text],
    layer: Option<&Layer>,
) -> Result<Vec<Op>, Error> {
    let pieces = match ground {
        Ground::Host { root } => host::pieces(root),
        Ground::Layers(_) => Vec::new(),
    };
    let mut builder = Builder { pieces, ..Builder::default() };
    let mut places = places(ground, mounts, layer)?;
    builder.skeleton(ground, texts)?;
    for (mount, place) in mounts.iter().zip(&places) {
        builder.stage(mount, place, &places, ground)?;
    }
    builder.root(ground)?;
    builder.cover(texts)?;
    for (mount, place) in mounts.iter().zip(&mut places) {
        builder.attach(mount, place)?;
    }
    builder.system(ground)?;
    Ok(builder.ops)
}

/// Where the project is shown to layers that lie over it.
fn shown_below(number: usize) -> String {
    format!("b{number}")
}

/// Where a text waits that covers a file of the host's.
fn covering(number: usize) -> String {
    format!("c{number}")
}

/// Whether a file of the host lies in what the host root shows.
pub(crate) fn is_shown(ground: &Ground, path: &str) -> bool {
    let Ground::Host { root } = ground else { return false };
    let at = root.join(path);
    host::pieces(root).iter().any(|piece| match piece {
        Piece::Folder(folder) => at.starts_with(folder),
        Piece::File(file) => at == *file,
        Piece::Link { .. } => false,
    })
}

#[derive(Default)]
struct Builder {
    ops: Vec<Op>,
    /// What exists below the base.
    made: HashSet<String>,
    /// Of the host's root, where that is the ground.
    pieces: Vec<Piece>,
}

impl Builder {
    /// A folder below the base and all above it; what is there already stays as it is.
    fn folder(&mut self, path: &str, mode: u32, owned: bool) -> Result<(), Error> {
        if self.made.contains(path) || path == "root" || path == "out" {
            return Ok(());
        }
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above, 0o755, owned)?;
        }
        self.made.insert(path.to_string());
        self.ops.push(Op::Folder { path: c_string(path)?, mode, owned });
        Ok(())
    }

    fn file(&mut self, path: &str, content: impl AsRef<[u8]>, mode: u32, owned: bool) -> Result<(), Error> {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above, 0o755, owned)?;
        }
        if self.made.insert(path.to_string()) {
            let content = content.as_ref().to_vec();
            self.ops.push(Op::File { path: c_string(path)?, content, mode, owned });
        }
        Ok(())
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), Error> {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above, 0o755, false)?;
        }
        if self.made.insert(path.to_string()) {
            self.ops.push(Op::Link { path: c_string(path)?, target: c_string(target)? });
        }
        Ok(())
    }

    fn whiteout(&mut self, path: &str) -> Result<(), Error> {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above, 0o755, false)?;
        }
        if self.made.insert(path.to_string()) {
            self.ops.push(Op::Whiteout { path: c_string(path)? });
        }
        Ok(())
    }

    /// Mount points of the system's own, and the plain files that every root has.
    fn skeleton(&mut self, ground: &Ground, texts: &[Text]) -> Result<(), Error> {
        let top = ground.top();
        self.folder("skel", 0o755, false)?;
        for name in ["proc", "dev"] {
            self.folder(&format!("{top}/{name}"), 0o755, false)?;
        }
        for (number, text) in texts.iter().enumerate().filter(|(_, text)| text.over) {
            self.file(&covering(number), &text.content, 0o444, false)?;
        }
        for text in texts.iter().filter(|text| !text.over) {
            self.file(&format!("{top}/{}", text.path), &text.content, 0o644, false)?;
        }
        let dev = ground.dev();
        for name in host::devices() {
            self.file(&format!("{dev}/{name}"), "", 0o644, false)?;
        }
        for (name, target) in host::DEVICE_LINKS {
            self.link(&format!("{dev}/{name}"), target)?;
        }
        self.folder(&format!("{dev}/pts"), 0o755, false)?;
        self.folder(&format!("{dev}/shm"), 0o755, false)?;
        self.folder("shm", 0o1777, true)?;
        self.file("void", "", 0o444, false)?;
        self.folder("void.d", 0o555, false)?;
        if let Ground::Host { root } = ground {
            for piece in self.pieces.clone() {
                match piece {
                    Piece::Link { name, target } => self.link(&format!("root/{name}"), &target)?,
                    Piece::Folder(path) => self.folder(&format!("root/{}", name_in(root, &path)), 0o755, false)?,
                    Piece::File(path) => self.file(&format!("root/{}", name_in(root, &path)), "", 0o644, false)?,
                }
            }
        }
        Ok(())
    }

    /// What one mount needs below the base: its own folder, and its hole in the one it lies in.
    fn stage(&mut self, mount: &Mount, place: &Place, places: &[Place], ground: &Ground) -> Result<(), Error> {
        let hole = match place.parent {
            None => format!("{}/{}", ground.top(), place.target),
            Some(parent) if place.target == places[parent].target => String::new(),
            // Nothing is made there: what lies in it lies over what is there.
            Some(parent) if places[parent].open => String::new(),
            Some(parent) => {
                let inside = &place.target[places[parent].target.len() + 1..];
                format!("{}/{inside}", places[parent].stage)
            }
        };
        let file = matches!(mount.kind, MountKind::OutputFile { .. } | MountKind::Text { .. })
            || place.source.as_ref().is_some_and(|seen| !seen.folder);
        let owned = place.parent.is_some_and(|parent| places[parent].stage.starts_with(['o', 's']));
        match (hole.as_str(), file) {
            ("", _) => {}
            (hole, true) => self.file(hole, "", 0o644, owned)?,
            (hole, false) => self.folder(hole, 0o755, owned)?,
        }
        match &mount.kind {
            MountKind::Input { hidden, .. } | MountKind::Layered { hidden, .. } if place.layered => {
                self.folder(&place.stage, 0o755, false)?;
                self.folder(&format!("o{}", place.number), 0o755, false)?;
                if place.upper.as_ref().is_some_and(|upper| !upper.below.is_empty()) {
                    self.folder(&shown_below(place.number), 0o755, false)?;
                }
                for path in hidden {
                    if !plain(path) {
                        return Err(Error::new(format!("{path:?} cannot be hidden")));
                    }
                    self.whiteout(&format!("{}/{path}", place.stage))?;
                }
            }
            MountKind::Input { .. } | MountKind::Layered { .. } | MountKind::Open { .. } => {}
            MountKind::OutputFolder { .. } => self.folder(&place.stage, 0o755, true)?,
            MountKind::OutputFile { .. } => self.file(&place.stage, "", 0o644, true)?,
            MountKind::Scratch { mode } => self.folder(&place.stage, *mode, true)?,
            MountKind::Text { content } => self.file(&place.stage, content, 0o444, false)?,
            MountKind::Empty => self.folder(&place.stage, 0o755, false)?,
        }
        Ok(())
    }

    /// The root itself: what is attached later lies below it.
    fn root(&mut self, ground: &Ground) -> Result<(), Error> {
        if let Ground::Layers(layers) = ground {
            let lowers = layers.iter().map(|path| look(path).map(|seen| seen.source)).collect::<Result<Vec<_>, _>>()?;
            self.overlay(ROOT.to_string_lossy().as_ref(), "skel", lowers, None)?;
        }
        self.ops.push(Op::EnterRoot { at: ROOT.to_owned() });
        if let Ground::Host { root } = ground {
            for piece in std::mem::take(&mut self.pieces) {
                if let Piece::Folder(path) | Piece::File(path) = piece {
                    let target = c_string(name_in(root, &path))?;
                    self.ops.push(Op::Bind { source: look(&path)?.source, target, attributes: READ_ONLY });
                }
            }
        }
        Ok(())
    }

    /// Lays files over those that folders of the host have, if the sandbox is shown these.
    fn cover(&mut self, texts: &[Text]) -> Result<(), Error> {
        for (number, text) in texts.iter().enumerate().filter(|(_, text)| text.over) {
            let (path, target) = (c_string(covering(number))?, c_string(&text.path)?);
            self.ops.push(Op::Staged { path, target, attributes: READ_ONLY });
        }
        Ok(())
    }

    /// An overlay on a folder below the base: a stage over folders of the host. Without a layer it is read-only.
    fn overlay(&mut self, at: &str, stage: &str, lowers: Vec<Source>, upper: Option<Upper>) -> Result<(), Error> {
        let (upper, below) = match upper {
            Some(Upper { content, work, below }) => (Some([content, work]), below),
            None => (None, Vec::new()),
        };
        let count = lowers.len() + below.len();
        if count > MOST_LAYERS {
            return Err(Error::new(format!("{count} layers are more than one root can have ({MOST_LAYERS})")));
        }
        let writable = upper.is_some();
        let mut slots = 0..;
        let mut open = |ops: &mut Vec<Op>, source: Option<Source>| -> Result<String, Error> {
            let slot = slots.next().unwrap_or_default();
            ops.push(match source {
                Some(source) => Op::Lower { source, slot },
                None => Op::StagedLower { path: c_string(stage)?, slot },
            });
            Ok(format!("/proc/self/fd/{}", FIRST_SLOT + slot))
        };
        // What another sandbox left lies over the stage: there it is a change like any other, also in a place that is hidden.
        let order = below.into_iter().map(Some).chain([None]).chain(lowers.into_iter().map(Some));
        let lowers = order.map(|source| open(&mut self.ops, source)).collect::<Result<Vec<_>, _>>()?;
        let mut data = format!("userxattr,lowerdir={}", lowers.join(":"));
        if let Some([upper, work]) = upper {
            let upper = open(&mut self.ops, Some(upper))?;
            let work = open(&mut self.ops, Some(work))?;
            // Without `volatile` the end of the run would wait until the whole file system is on the disk.
            data.push_str(&format!(",upperdir={upper},workdir={work},volatile"));
        }
        let at = format!("{}/{at}", crate::script::BASE.to_string_lossy());
        self.ops.push(Op::Overlay { at: c_string(at)?, data: c_string(data)?, writable });
        Ok(())
    }

    fn attach(&mut self, mount: &Mount, place: &mut Place) -> Result<(), Error> {
        let target = c_string(&place.target)?;
        let stage = c_string(&place.stage)?;
        let staged = |attributes| Op::Staged { path: stage, target: target.clone(), attributes };
        let op = match &mount.kind {
            MountKind::Input { source, .. } => {
                let Some(seen) = place.source.take() else {
                    return Err(Error::new(format!("{} was not looked at", source.display())));
                };
                if place.layered {
                    let at = format!("o{}", place.number);
                    self.overlay(&at, &place.stage, vec![seen.source], None)?;
                    Op::Move { path: c_string(at)?, target, attributes: READ_ONLY }
                } else {
                    Op::Bind { source: seen.source, target, attributes: READ_ONLY }
                }
            }
            MountKind::Layered { source, .. } => {
                let (Some(seen), Some(upper)) = (place.source.take(), place.upper.take()) else {
                    return Err(Error::new(format!("{} was not looked at", source.display())));
                };
                let at = format!("o{}", place.number);
                if upper.below.is_empty() {
                    self.overlay(&at, &place.stage, vec![seen.source], Some(upper))?;
                } else {
                    // Those layers lie in the project's own folder, and the kernel takes no layer that lies in another one.
                    // Through an overlay of its own the project is none that they lie in.
                    let shown = shown_below(place.number);
                    self.overlay(&shown, &place.stage, vec![seen.source], None)?;
                    self.overlay(&at, &shown, Vec::new(), Some(upper))?;
                }
                Op::Move { path: c_string(at)?, target, attributes: WRITABLE }
            }
            MountKind::Open { source, hidden, kept } => {
                let Some(seen) = place.source.take() else {
                    return Err(Error::new(format!("{} was not looked at", source.display())));
                };
                self.ops.push(Op::Bind { source: seen.source, target, attributes: WRITABLE });
                self.ops.extend(crate::open::guards(&place.target, source, hidden, kept)?);
                return Ok(());
            }
            MountKind::OutputFolder { .. } | MountKind::OutputFile { .. } | MountKind::Scratch { .. } => {
                staged(WRITABLE)
            }
            MountKind::Text { .. } => staged(READ_ONLY),
            // A plain folder of the root needs no mount.
            MountKind::Empty if place.stage.starts_with("root/") => return Ok(()),
            MountKind::Empty => staged(READ_ONLY),
        };
        self.ops.push(op);
        Ok(())
    }

    /// `/dev`, `/proc`, and the seal on the root.
    fn system(&mut self, ground: &Ground) -> Result<(), Error> {
        if let Ground::Layers(_) = ground {
            self.ops.push(Op::Staged { path: c"dev".into(), target: c"dev".into(), attributes: READ_ONLY });
        }
        for name in host::devices() {
            let source = look(&Path::new("/dev").join(name))?.source;
            self.ops.push(Op::Bind { source, target: c_string(format!("dev/{name}"))?, attributes: DEVICE });
        }
        self.ops.push(Op::Staged { path: c"shm".into(), target: c"dev/shm".into(), attributes: WRITABLE });
        self.ops.push(Op::Pts { target: c"dev/pts".into() });
        self.ops.push(Op::Proc { target: c"proc".into() });
        for (name, folder) in host::masked() {
            let path = if folder { c"void.d" } else { c"void" };
            let target = c_string(format!("proc/{name}"))?;
            self.ops.push(Op::Staged { path: path.into(), target, attributes: READ_ONLY });
        }
        self.ops.push(Op::SealRoot);
        Ok(())
    }
}

impl Ground {
    /// The folder below the base that stands at the top of the root.
    fn top(&self) -> &'static str {
        match self {
            Ground::Host { .. } => "root",
            Ground::Layers(_) => "skel",
        }
    }

    /// Where `/dev` is built.
    fn dev(&self) -> &'static str {
        match self {
            Ground::Host { .. } => "root/dev",
            Ground::Layers(_) => "dev",
        }
    }
}

fn name_in(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
