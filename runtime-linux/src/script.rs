//! The plan as the child will walk it: every string, number and descriptor ready.
//!
//! The child has no heap, so nothing here is made after the clone. Paths that begin at the base are
//! relative to one tmpfs of the sandbox's own, mounted at [`BASE`] while the sandbox is built. What is
//! mounted is attached to the new root by descriptor; no name that an image or a project controls is
//! ever looked up by a plain path.

use crate::doors::Wanted;
use crate::wall::Wall;
use libc::c_char;
use std::ffi::CString;

/// Where the sandbox is built: a folder that is on every host with procfs and holds no source.
pub(crate) const BASE: &std::ffi::CStr = c"/proc/fs";
/// The root of the sandbox while it is built, below [`BASE`].
pub(crate) const ROOT: &std::ffi::CStr = c"root";
/// The outputs, below [`BASE`].
pub(crate) const OUTPUTS: &std::ffi::CStr = c"out";
/// Descriptors from here on stand in nobody's way in the child.
pub(crate) const FIRST_FREE: i32 = 10;
/// The first of the descriptor numbers that name the lower folders of an overlay.
pub(crate) const FIRST_SLOT: i32 = 128;

/// One step of building the sandbox.
#[derive(Debug)]
pub(crate) enum Op {
    /// A folder below the base; the task's own where `owned`.
    Folder { path: CString, mode: u32, owned: bool },
    /// A file below the base.
    File { path: CString, content: Vec<u8>, mode: u32, owned: bool },
    /// A symbolic link below the base.
    Link { path: CString, target: CString },
    /// An overlay whiteout below the base: hides what lies under it.
    Whiteout { path: CString },
    /// Opens a folder of the host for an overlay, on descriptor [`FIRST_SLOT`] + `slot`.
    Lower { source: Source, slot: i32 },
    /// Opens a folder below the base for an overlay.
    StagedLower { path: CString, slot: i32 },
    /// An overlay over opened folders, mounted on a folder below the base.
    Overlay { at: CString, data: CString, writable: bool },
    /// Opens the new root; what follows is attached below it.
    EnterRoot { at: CString },
    /// Attaches a file or folder of the host.
    Bind { source: Source, target: CString, attributes: u64 },
    /// Attaches a file or folder below the base.
    Staged { path: CString, target: CString, attributes: u64 },
    /// Attaches what is mounted below the base (an overlay), leaving nothing there.
    Move { path: CString, target: CString, attributes: u64 },
    /// A fresh procfs, read-only.
    Proc { target: CString },
    /// A fresh devpts.
    Pts { target: CString },
    /// Forbids changes through the root's own mount.
    SealRoot,
}

/// A file or folder of the host: opened by its real path and compared with what the parent saw.
#[derive(Debug)]
pub(crate) struct Source {
    /// Absolute, without links.
    pub(crate) path: CString,
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
}

/// The task, ready to be executed.
pub(crate) struct Exec {
    /// Tried in order: a path, and which of `argv` goes with it.
    pub(crate) candidates: Vec<(CString, usize)>,
    pub(crate) argv: Vec<Strings>,
    pub(crate) envp: Strings,
    pub(crate) workdir: CString,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// None: the id map allows no groups to be set.
    pub(crate) groups: Option<Vec<u32>>,
    /// Without a user namespace an ordinary user cannot empty the bounding set.
    pub(crate) bounding: bool,
    /// `RLIMIT_…` and its value.
    pub(crate) rlimits: Vec<(u32, u64)>,
    /// Confine to this many processors: the weaker bound where there is no cgroup.
    pub(crate) processors: Option<usize>,
    pub(crate) filter: &'static [libc::sock_filter],
    /// The filter asks the supervisor where it refuses.
    pub(crate) heard: bool,
    /// Nothing is passed on to the task's standard input.
    pub(crate) stdin_empty: bool,
    /// The three streams are a terminal of the sandbox's own.
    pub(crate) terminal: bool,
}

/// A null-terminated array of C strings for `execve`, and what it points into.
pub(crate) struct Strings {
    pointers: Vec<*const c_char>,
    owned: Vec<CString>,
}

impl Strings {
    pub(crate) fn new(owned: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = owned.iter().map(|s| s.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Strings { pointers, owned }
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.owned.iter().map(|text| text.to_string_lossy().into_owned()).collect()
    }

    pub(crate) fn pointers(&self) -> &[*const c_char] {
        &self.pointers
    }
}

/// All that the child will do.
pub(crate) struct Script {
    pub(crate) ops: Vec<Op>,
    /// Options of the sandbox's tmpfs: `size=…,nr_inodes=…`, one key and value each.
    pub(crate) base: Vec<(CString, CString)>,
    pub(crate) host_name: CString,
    /// The doors of a sandbox with a gateway; none: it has its own loopback and nothing else.
    pub(crate) doors: Option<Wanted>,
    pub(crate) exec: Exec,
    pub(crate) guard_filter: &'static [libc::sock_filter],
    /// What the finished sandbox is tried with: a file that must not be read, and one that must not be made.
    pub(crate) unreadable: CString,
    pub(crate) unwritable: CString,
    /// The second wall; none: this kernel has no such thing.
    pub(crate) wall: Option<Wall>,
    /// The guard ends the sandbox by itself after this many milliseconds.
    pub(crate) backstop_ms: i32,
    /// Where the command line and the environment lie that the child inherits, to be wiped.
    pub(crate) strings: crate::sys::Strings,
}

/// Where a child stopped: the place in the story, for the parent to find the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Step {
    Handshake = 1,
    Guard,
    /// Entering the control group with the index that goes along.
    Groups,
    Propagation,
    Base,
    /// The op with the index that goes along.
    Op,
    CgroupNamespace,
    HostName,
    Loopback,
    /// At the port that goes along, if one does.
    Doors,
    Pivot,
    Terminal,
    Wall,
    Report,
    Fork,
    Session,
    Streams,
    Limits,
    Identity,
    Workdir,
    Privileges,
    Filter,
    Execute,
}

impl Step {
    pub(crate) const ALL: [Step; 23] = [
        Step::Handshake,
        Step::Guard,
        Step::Groups,
        Step::Propagation,
        Step::Base,
        Step::Op,
        Step::CgroupNamespace,
        Step::HostName,
        Step::Loopback,
        Step::Doors,
        Step::Pivot,
        Step::Terminal,
        Step::Wall,
        Step::Report,
        Step::Fork,
        Step::Session,
        Step::Streams,
        Step::Limits,
        Step::Identity,
        Step::Workdir,
        Step::Privileges,
        Step::Filter,
        Step::Execute,
    ];

    pub(crate) fn from_number(number: u32) -> Option<Step> {
        Step::ALL.into_iter().find(|step| *step as u32 == number)
    }
}
