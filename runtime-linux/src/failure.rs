//! The words for what failed while a sandbox was built. The child only tells the step and the number.

use crate::script::{Op, Script, Step};
use crate::sys::Errno;
use aido_runtime::Error;
use std::borrow::Cow;
use std::ffi::CStr;

fn text(path: &CStr) -> Cow<'_, str> {
    path.to_string_lossy()
}

/// The words for a step that failed.
pub(crate) fn words(script: &Script, step: Step, index: u32, errno: Errno) -> Error {
    let reason = std::io::Error::from(errno);
    let what = match (step, script.ops.get(index as usize)) {
        (Step::Op, Some(op)) => describe(op),
        (Step::Op, None) => "the sandbox has no root".into(),
        (step, _) => step_words(step).into(),
    };
    let error = Error::new(format!("cannot build the sandbox: {what}: {reason}"));
    match hint(step, script.ops.get(index as usize), errno.0) {
        Some(hint) => error.remedy(hint),
        None => error,
    }
}

fn describe(op: &Op) -> String {
    match op {
        Op::Folder { path, .. } | Op::File { path, .. } | Op::Link { path, .. } => format!("make {}", text(path)),
        Op::Whiteout { path } => format!("hide {}", text(path)),
        Op::Lower { source, .. } => format!("open {}", text(&source.path)),
        Op::StagedLower { path, .. } => format!("open {}", text(path)),
        Op::Overlay { at, .. } => format!("mount an overlay on {}", text(at)),
        Op::EnterRoot { .. } => "enter the new root".into(),
        Op::Bind { source, target, .. } => format!("mount {} on /{}", text(&source.path), text(target)),
        Op::Staged { target, .. } | Op::Move { target, .. } => format!("mount /{}", text(target)),
        Op::Proc { .. } => "mount /proc".into(),
        Op::Pts { .. } => "mount /dev/pts".into(),
        Op::SealRoot => "make the root read-only".into(),
    }
}

fn step_words(step: Step) -> &'static str {
    match step {
        Step::Handshake => "the handshake with its first process",
        Step::Guard => "guard its first process",
        Step::Propagation => "cut its mounts off from the host's",
        Step::Base => "mount its tmpfs",
        Step::Op => "an operation",
        Step::CgroupNamespace => "make its cgroup namespace",
        Step::HostName => "set its host name",
        Step::Loopback => "bring its loopback up",
        Step::Pivot => "change its root",
        Step::Wall => "set the rules of its second wall (Landlock)",
        Step::Report => "report",
        Step::Fork => "start a process in it",
        Step::Session => "make a session",
        Step::Streams => "lay out its descriptors",
        Step::Limits => "set its limits",
        Step::Identity => "take on the task's user and groups",
        Step::Workdir => "enter its working folder",
        Step::Privileges => "give up its privileges",
        Step::Filter => "install its system call filter",
        Step::Execute => "execute the task",
    }
}

fn hint(step: Step, op: Option<&Op>, errno: i32) -> Option<&'static str> {
    match (step, op, errno) {
        (Step::Op, Some(Op::Proc { .. }), libc::EPERM) => Some(
            "this host's own /proc is masked, as in a container: start the outer container with \
             `--security-opt systempaths=unconfined`",
        ),
        (Step::Op, Some(Op::Overlay { .. }), _) => Some(
            "the kernel must allow overlay mounts in user namespaces (5.11 or newer), and neither the image store \
             nor the project may lie on an overlay of an overlay",
        ),
        (Step::Op, _, libc::ESTALE) => Some("it was replaced while the sandbox was being built: run it again"),
        (Step::Workdir, _, libc::ENOENT) => Some("the root has no such folder: name another one with --workdir"),
        (Step::Base, _, libc::EPERM) | (Step::Propagation, _, libc::EPERM | libc::EACCES) => {
            Some("user namespaces give no rights here, as AppArmor does on Ubuntu 24.04: see `aido doctor`")
        }
        _ => None,
    }
}

pub(crate) fn clone_refused(errno: Errno) -> Error {
    let error = Error::new(format!("this host refuses the namespaces of a sandbox: {}", std::io::Error::from(errno)));
    match errno.0 {
        libc::ENOSPC => error.remedy("raise the limits: sysctl -w user.max_user_namespaces=10000"),
        libc::EPERM | libc::EACCES => error.remedy(
            "allow user namespaces to this user (sysctl kernel.unprivileged_userns_clone=1; in a container: \
             --security-opt seccomp=unconfined); `aido doctor` looks closer",
        ),
        _ => error,
    }
}
