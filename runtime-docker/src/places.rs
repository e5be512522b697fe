//! From the plan's mounts to volumes, links and small file systems in memory. Touches nothing but its arguments.
//!
//! Folders that the task may only read become a volume each, filled from an archive: a [`Region`]. What lies in
//! one becomes a part of its archive. Outputs of the project are links to `/outputs`.

use aido_runtime::{Error, Mount, MountKind};
use std::path::PathBuf;

/// The one writable place that outlives the task, and where it lies.
pub(crate) const OUTPUTS: &str = "/outputs";
/// Where the warden lies in the task's container.
pub(crate) const WARDEN: &str = "/.aido";

/// Where everything of a plan lies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) regions: Vec<Region>,
    /// What the outputs begin with: path, and whether it is a folder.
    pub(crate) outputs: Vec<(String, bool)>,
    /// Target and mode.
    pub(crate) scratch: Vec<(String, u32)>,
}

/// A folder that can only be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) target: String,
    /// In order: later ones lie over earlier ones.
    pub(crate) pieces: Vec<Piece>,
}

/// A part of a region, by its path in there (empty: the region itself).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) path: String,
    pub(crate) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    Text(String),
    Link(String),
    /// A file or folder of the host; what lies at one of these paths below it is left out.
    Source {
        source: PathBuf,
        without: Vec<String>,
    },
}

impl Places {
    /// `is_folder` tells what an input is on the host.
    pub(crate) fn of(mounts: &[Mount], is_folder: &dyn Fn(&std::path::Path) -> bool) -> Result<Places, Error> {
        let mut places = Places::default();
        for (number, mount) in mounts.iter().enumerate() {
            if !is_plain(mount.target.strip_prefix('/').unwrap_or_default()) {
                return Err(Error::new(format!("{:?} is no place for a mount", mount.target)));
            }
            if below(&mount.target, WARDEN).is_some() {
                return Err(Error::new(format!("{} is where aido's own program lies", mount.target)));
            }
            places.lay(mount, &mounts[..number], &mounts[number + 1..], is_folder)?;
        }
        Ok(places)
    }

    fn lay(
        &mut self,
        mount: &Mount,
        before: &[Mount],
        after: &[Mount],
        is_folder: &dyn Fn(&std::path::Path) -> bool,
    ) -> Result<(), Error> {
        let target = mount.target.as_str();
        match &mount.kind {
            MountKind::OutputFolder { path } if path.is_empty() => match target {
                OUTPUTS => Ok(()),
                _ => Err(Error::new(format!("on a container engine the outputs lie in {OUTPUTS}, not in {target}"))),
            },
            MountKind::OutputFolder { path } => self.output(target, path, true, before),
            MountKind::OutputFile { path } => self.output(target, path, false, before),
            MountKind::Scratch { mode } => {
                if self.home(target, before).is_some() {
                    self.put(target, before, Kind::Folder)?;
                }
                self.scratch.push((target.into(), mode & 0o1777));
                Ok(())
            }
            MountKind::Empty => self.put(target, before, Kind::Folder),
            MountKind::Text { content } => self.put(target, before, Kind::Text(content.clone())),
            MountKind::Input { source, hidden, .. } => {
                let folder = is_folder(source);
                if !folder && self.home(target, before).is_none() {
                    return Err(lonely(target));
                }
                let mut without = hidden.clone();
                let over = after.iter().filter_map(|later| below(&later.target, target).map(str::to_string));
                without.extend(over.filter(|path| !path.is_empty()));
                self.put(target, before, Kind::Source { source: source.clone(), without })
            }
            MountKind::Layered { .. } | MountKind::Open { .. } => Err(Error::new(format!(
                "on a container engine a task cannot write over the project or into it, at {target}"
            ))
            .remedy("use the engine of this machine: --backend linux")),
        }
    }

    /// The region that a place lies in, if it is in one and nothing else lies between.
    fn home(&self, target: &str, before: &[Mount]) -> Option<usize> {
        let around = before.iter().rev().find(|mount| below(target, &mount.target).is_some())?;
        let own =
            |kind: &MountKind| matches!(kind, MountKind::Input { .. } | MountKind::Empty | MountKind::Text { .. });
        let region = self.regions.iter().rposition(|region| below(target, &region.target).is_some())?;
        own(&around.kind).then_some(region)
    }

    fn put(&mut self, target: &str, before: &[Mount], kind: Kind) -> Result<(), Error> {
        match self.home(target, before) {
            Some(number) => {
                let region = &mut self.regions[number];
                let path = below(target, &region.target).unwrap_or_default().to_string();
                region.pieces.push(Piece { path, kind });
            }
            None if matches!(kind, Kind::Text(_) | Kind::Link(_)) => return Err(lonely(target)),
            None => {
                let piece = Piece { path: String::new(), kind };
                self.regions.push(Region { target: target.into(), pieces: vec![piece] });
            }
        }
        Ok(())
    }

    fn output(&mut self, target: &str, path: &str, folder: bool, before: &[Mount]) -> Result<(), Error> {
        if !is_plain(path) || path == ".aido" {
            return Err(Error::new(format!("{path:?} is no place for an output")));
        }
        let place = format!("{OUTPUTS}/{path}");
        if target != place {
            if self.home(target, before).is_none() {
                let what = format!("on a container engine an output cannot lie at {target}, outside of the workspace");
                return Err(Error::new(what).remedy(format!("write to {OUTPUTS} instead")));
            }
            self.put(target, before, Kind::Link(place))?;
        }
        self.outputs.push((path.into(), folder));
        Ok(())
    }
}

fn lonely(target: &str) -> Error {
    Error::new(format!(
        "on a container engine a single file cannot be laid at {target}, outside of a folder of the plan"
    ))
    .remedy("--backend linux, or give the folder that it lies in")
}

/// The path of `inner` below `outer`: empty if they are the same, none if it lies elsewhere.
pub(crate) fn below<'a>(inner: &'a str, outer: &str) -> Option<&'a str> {
    let rest = inner.strip_prefix(outer)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

fn is_plain(path: &str) -> bool {
    !path.is_empty() && !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(target: &str, kind: MountKind) -> Mount {
        Mount { target: target.into(), kind }
    }

    fn input(source: &str, hidden: &[&str]) -> MountKind {
        let hidden = hidden.iter().map(|path| path.to_string()).collect();
        MountKind::Input { source: source.into(), hidden, secret: false }
    }

    fn of(mounts: &[Mount]) -> Result<Places, Error> {
        Places::of(mounts, &|source| !source.to_string_lossy().ends_with(".py"))
    }

    #[test]
    fn a_project_becomes_one_volume_with_links_to_its_outputs() {
        let places = of(&[
            mount("/outputs", MountKind::OutputFolder { path: String::new() }),
            mount("/workspace", input("/home/me/p", &[".aido", ".env"])),
            mount("/workspace/out", MountKind::OutputFolder { path: "out".into() }),
            mount("/workspace/a.log", MountKind::OutputFile { path: "a.log".into() }),
            mount("/tmp", MountKind::Scratch { mode: 0o1777 }),
            mount("/home/aido", MountKind::Scratch { mode: 0o700 }),
        ])
        .unwrap();
        let without = [".aido", ".env", "out", "a.log"].map(String::from).into();
        let source = Kind::Source { source: "/home/me/p".into(), without };
        let piece = |path: &str, kind| Piece { path: path.into(), kind };
        let pieces = vec![
            piece("", source),
            piece("out", Kind::Link("/outputs/out".into())),
            piece("a.log", Kind::Link("/outputs/a.log".into())),
        ];
        assert_eq!(places.regions, [Region { target: "/workspace".into(), pieces }]);
        assert_eq!(places.outputs, [("out".into(), true), ("a.log".into(), false)]);
        assert_eq!(places.scratch, [("/tmp".into(), 0o1777), ("/home/aido".into(), 0o700)]);
    }

    #[test]
    fn what_lies_in_a_writable_place_is_a_volume_of_its_own() {
        let places = of(&[
            mount("/workspace", MountKind::Empty),
            mount("/workspace/s", MountKind::Scratch { mode: 0o700 }),
            mount("/workspace/s/in", input("/in", &[])),
            mount("/workspace/s/in/t", MountKind::Text { content: "x".into() }),
            mount("/workspace/a.py", input("/a.py", &[])),
        ])
        .unwrap();
        let targets: Vec<(&str, usize)> = places.regions.iter().map(|r| (r.target.as_str(), r.pieces.len())).collect();
        assert_eq!(targets, [("/workspace", 3), ("/workspace/s/in", 2)]);
        assert_eq!(places.regions[0].pieces[1].path, "s", "the place needs a folder to lie on");
    }

    #[test]
    fn what_cannot_be_laid_is_refused() {
        for (target, kind) in [
            ("/etc/passwd", MountKind::Text { content: String::new() }),
            ("/a.py", input("/a.py", &[])),
            ("/.aido/x", MountKind::Empty),
            ("/a/../b", MountKind::Empty),
            ("relative", MountKind::Empty),
            ("/", MountKind::Empty),
            ("/data", MountKind::OutputFolder { path: "data".into() }),
            ("/results", MountKind::OutputFolder { path: String::new() }),
            ("/outputs/x", MountKind::OutputFolder { path: "../x".into() }),
        ] {
            assert!(of(&[mount(target, kind)]).is_err(), "{target}");
        }
    }
}
