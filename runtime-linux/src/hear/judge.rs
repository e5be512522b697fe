//! The one place where calls that wait are answered: a call that the profile refuses gets the profile's error, and one
//! that it allows goes on. Nothing else is considered, so what is read of the task can decide nothing.

use crate::seccomp::{Call, Program, Verdict};
use crate::sys::filter::{self, Asked};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(super) struct Judge {
    listener: OwnedFd,
    /// The profile itself, which asks nobody.
    plain: Program,
}

/// A call that waits, with what the profile says of it.
pub(super) struct Waiting {
    asked: Asked,
    verdict: Verdict,
}

impl Waiting {
    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// The number of the error; none: it is allowed.
    pub(super) fn refused(&self) -> Option<i32> {
        match self.verdict {
            Verdict::Refused(errno) => Some(errno),
            Verdict::Allowed => None,
        }
    }
}

impl Judge {
    pub(super) fn new(listener: OwnedFd, plain: Program) -> Judge {
        // Kernels before 6.6 do not know that; answers take longer there.
        let _ = filter::wake_at_once(listener.as_fd());
        Judge { listener, plain }
    }

    /// The next call that waits. None: whoever asked is gone.
    pub(super) fn next(&self) -> Option<Waiting> {
        let asked = filter::next(self.listener.as_fd()).ok()?;
        // All of it stands in registers, which nobody can change while the call waits.
        let call = Call { arch: asked.arch, number: asked.number as u32, args: asked.args };
        Some(Waiting { asked, verdict: self.plain.verdict(&call) })
    }

    /// Answers; false: whoever asked is gone, or will ask again after a signal.
    pub(super) fn answer(&self, waiting: &Waiting) -> bool {
        match waiting.verdict {
            Verdict::Allowed => filter::go_on(self.listener.as_fd(), &waiting.asked).is_ok(),
            Verdict::Refused(errno) => filter::refuse(self.listener.as_fd(), &waiting.asked, errno).is_ok(),
        }
    }
}

impl AsFd for Judge {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
