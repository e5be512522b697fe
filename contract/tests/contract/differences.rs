//! Where engines differ by right: each by its name, with the reason. A case that meets one holds every engine to its own
//! side, so a difference that is no longer there fails.

use crate::engines::Kind;

/// The names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    DeathBySignalIsAStatus,
    RefusalsAreNotHeard,
    NoSecondWall,
    DiskIsBoundedByPlaces,
    OnlyOneRoot,
    NoLandlock,
    RootHasDev,
    FilesNeedAFolder,
    SocketsAreNotTold,
    RootSeesTheEnginesProc,
    OutputsAreOneStream,
    MemoryKillsOne,
    ProfilesKeepUserNamespacesOut,
    EtcIsTheEngines,
}

/// One difference.
pub(crate) struct Difference {
    pub(crate) name: Name,
    pub(crate) engines: &'static [Kind],
    /// Why it cannot be otherwise.
    #[expect(dead_code, reason = "the reader's, not the machine's")]
    pub(crate) reason: &'static str,
}

const ENGINES: &[Kind] = &[Kind::Docker, Kind::Podman];

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        name: Name::EtcIsTheEngines,
        engines: &[Kind::Podman],
        reason: "Podman lays files of its own over /etc/passwd, with a line for the task's user, and over /etc/hostname, \
                 without an end of the line; its API has no word against that",
    },
    Difference {
        name: Name::RefusalsAreNotHeard,
        engines: ENGINES,
        reason: "an engine gives nobody the listener of its filter: refused calls and executions are not recorded",
    },
    Difference {
        name: Name::NoSecondWall,
        engines: ENGINES,
        reason: "an engine has no second mechanism of its own behind its mounts that could be asked for",
    },
    Difference {
        name: Name::DiskIsBoundedByPlaces,
        engines: ENGINES,
        reason: "every writable place is a tmpfs with a size of its own; they cannot be bounded together",
    },
    Difference {
        name: Name::OnlyOneRoot,
        engines: ENGINES,
        reason: "the host's tools are not the engine's, which may stand on another machine",
    },
    Difference {
        name: Name::RootHasDev,
        engines: ENGINES,
        reason: "an engine makes /dev as a small tmpfs of its own, and a task that is root inside owns it",
    },
    Difference {
        name: Name::FilesNeedAFolder,
        engines: ENGINES,
        reason: "files travel into volumes, and a volume is a folder: a single file cannot be laid into the image",
    },
    Difference {
        name: Name::SocketsAreNotTold,
        engines: ENGINES,
        reason: "a tar archive has no sockets, so an engine leaves them out without a word",
    },
    Difference {
        name: Name::RootSeesTheEnginesProc,
        engines: ENGINES,
        reason: "an engine masks what it knows of /proc: a task that is root inside can read the counters of slabinfo, and \
                 can make itself and the warden a likelier victim of a memory kill, which ends its own run",
    },
    Difference {
        name: Name::OutputsAreOneStream,
        engines: ENGINES,
        reason: "outputs come as one archive: what lies behind a file that is larger than the bound cannot be come by",
    },
    Difference {
        name: Name::MemoryKillsOne,
        engines: ENGINES,
        reason: "an engine's memory bound kills one process, and the task may go on; on Linux it ends the run",
    },
    Difference {
        name: Name::ProfilesKeepUserNamespacesOut,
        engines: ENGINES,
        reason: "an engine has no other bound on user namespaces than the profile: one that allows them is refused",
    },
    Difference {
        name: Name::NoLandlock,
        engines: ENGINES,
        reason: "Landlock alone is for hosts that allow no namespaces; an engine is made of them",
    },
];

/// Whether the engine is on the other side of it.
pub(crate) fn holds(kind: Kind, name: Name) -> bool {
    DIFFERENCES.iter().any(|difference| difference.name == name && difference.engines.contains(&kind))
}
