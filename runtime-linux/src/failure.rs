//! The words for what failed while a sandbox was built. The child only tells the step and the number.

use crate::cause::{self, Cause};
use crate::facts::{self, Facts};
use crate::script::{Op, Script, Step};
use crate::sys::Errno;
use crate::wall;
use aido_runtime::Error;
use std::borrow::Cow;
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn text(path: &CStr) -> Cow<'_, str> {
    path.to_string_lossy()
}

/// The words for a step that failed.
pub(crate) fn words(script: &Script, step: Step, index: u32, errno: Errno) -> Error {
    let reason = std::io::Error::from(errno);
    let what = match (step, script.ops.get(index as usize)) {
        (Step::Op, Some(op)) => describe(op),
        (Step::Op, None) => "the sandbox has no root".into(),
        (Step::Workdir, _) => format!("{} {}", step_words(step), text(&script.exec.workdir)),
        (step, _) => step_words(step).into(),
    };
    let what = format!("cannot build the sandbox: {what}: {reason}");
    let error =
        because(what, cause(script, step, index, errno.0, &Facts::look()), hint(step, errno.0).unwrap_or_default());
    if matches!(errno.0, libc::EPERM | libc::EACCES) && refused(step).is_some() { or_less(error) } else { error }
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
        Step::Groups => "move its first process into its cgroup",
        Step::Propagation => "cut its mounts off from the host's",
        Step::Base => "mount its tmpfs",
        Step::Op => "an operation",
        Step::CgroupNamespace => "make its cgroup namespace",
        Step::HostName => "set its host name",
        Step::Loopback => "bring its loopback up",
        Step::Doors => "open its doors to the gateway",
        Step::Pivot => "change its root",
        Step::Terminal => "make its terminal",
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

/// What of this host makes the step fail, where that can be told.
fn cause(script: &Script, step: Step, index: u32, errno: i32, facts: &Facts) -> Option<Cause> {
    if let Some(cause) = lacking(errno, facts) {
        return Some(cause);
    }
    let op = script.ops.get(index as usize).filter(|_| step == Step::Op);
    match (op, errno) {
        (Some(Op::Proc { .. }), libc::EPERM | libc::EACCES) => cause::proc_refused(facts),
        (Some(Op::Overlay { .. }), _) => cause::overlay_refused(errno, &lowers(script, index as usize), facts),
        (_, libc::EPERM | libc::EACCES) => cause::no_rights(refused(step)?, facts),
        _ => None,
    }
}

/// A call that is not there, or that a filter answers with a refusal, is the reason of whatever failed by such an answer.
fn lacking(errno: i32, facts: &Facts) -> Option<Cause> {
    let answer = errno == libc::ENOSYS || (facts.filtered && matches!(errno, libc::EPERM | libc::EACCES));
    if answer { cause::calls_missing(&facts::missing(), facts) } else { None }
}

/// The folders that the overlay at `index` lies on.
fn lowers(script: &Script, index: usize) -> Vec<&Path> {
    let before = script.ops.get(..index).unwrap_or_default().iter().rev();
    let mine = before.take_while(|op| !matches!(op, Op::Overlay { .. }));
    mine.filter_map(|op| match op {
        Op::Lower { source, .. } => Some(Path::new(std::ffi::OsStr::from_bytes(source.path.to_bytes()))),
        _ => None,
    })
    .collect()
}

/// What a step needs of its namespaces; the others need nothing of them.
fn refused(step: Step) -> Option<&'static str> {
    match step {
        Step::Propagation | Step::Base | Step::Op => Some("mounts"),
        Step::Pivot => Some("pivot_root"),
        Step::CgroupNamespace => Some("a cgroup namespace"),
        Step::HostName => Some("a host name of the sandbox's own"),
        Step::Loopback => Some("a loopback of the sandbox's own"),
        Step::Identity | Step::Privileges => Some("a change of identity"),
        _ => None,
    }
}

/// What the step alone says.
fn hint(step: Step, errno: i32) -> Option<&'static str> {
    match (step, errno) {
        (Step::Op, libc::ESTALE) => Some("it was replaced while the sandbox was being built: run it again"),
        (Step::Workdir, libc::ENOENT) => Some("the root has no such folder: name another one with --workdir"),
        _ => None,
    }
}

/// The namespaces were refused, before there was a sandbox.
pub(crate) fn clone_refused(errno: Errno) -> Error {
    let facts = Facts::look();
    // A filter that refuses the namespaces themselves most likely hides other calls too: first things first.
    let cause = cause::namespaces(errno.0, &facts).or_else(|| lacking(errno.0, &facts));
    let reason = std::io::Error::from(errno);
    let otherwise = "`aido doctor` shows what is known of this host";
    or_less(because(format!("this host refuses the namespaces of a sandbox: {reason}"), cause, otherwise))
}

/// A user namespace for the ids of image files was refused. In one sentence, since it comes from another process.
pub(crate) fn unshare_refused(errno: Errno) -> String {
    let what = format!("this host refuses a user namespace: {}", std::io::Error::from(errno));
    match cause::namespaces(errno.0, &Facts::look()) {
        Some(Cause { why, mend: Some(mend) }) => format!("{what}: {why}; what mends it: {mend}"),
        Some(Cause { why, mend: None }) => format!("{what}: {why}"),
        None => what,
    }
}

/// The map of ids was refused.
pub(crate) fn map_refused(name: &str, reason: &std::io::Error) -> Error {
    let cause = match reason.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => cause::id_map(&Facts::look()),
        _ => None,
    };
    because(format!("cannot write the {name} of the sandbox: {reason}"), cause, "")
}

/// A source could not be opened: for want of a system call, or for its own reasons.
pub(crate) fn not_opened(what: String, errno: i32) -> Error {
    because(what, lacking(errno, &Facts::look()), "")
}

/// The other mechanism, where this host has it. Nobody gets it unasked.
fn or_less(mut error: Error) -> Error {
    if let Some(remedy) = error.remedy.as_mut().filter(|_| wall::version().is_ok()) {
        remedy.push_str("\n  or have it hold less, on the host root alone: --isolation landlock");
    }
    error
}

fn because(what: String, cause: Option<Cause>, otherwise: &str) -> Error {
    match cause {
        Some(Cause { why, mend }) => Error { what: format!("{what}: {why}"), remedy: mend },
        None => Error { what, remedy: Some(otherwise.to_string()).filter(|words| !words.is_empty()) },
    }
}
