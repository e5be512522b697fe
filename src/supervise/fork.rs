//! Making the supervisor. The one place outside the Linux runtime where `unsafe` is allowed.

use nix::unistd::{ForkResult, Pid};

/// Forks; `None` in the child, which stands in a session of its own, so that no key of the terminal
/// reaches it. The caller has one thread.
pub(super) fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: the command line has one thread here (a pull's runtime and its threads have ended), so
    // the child is a whole copy and may go on as an ordinary program.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => {
            let _ = nix::unistd::setsid();
            Ok(None)
        }
    }
}
