//! What ends programs on Windows: Ctrl-C, Ctrl-Break, a console that is closed. Which of them came is not told here.

use super::Came;
use aido_runtime::Error;
use std::sync::atomic::{AtomicUsize, Ordering};

const SIGINT: i32 = 2;

static CAME: AtomicUsize = AtomicUsize::new(0);

/// Such events that came; all count as Ctrl-C.
pub(crate) struct Signals {
    seen: usize,
}

impl Signals {
    pub(crate) fn catch(_terminal: bool) -> Result<Signals, Error> {
        let caught = ctrlc::set_handler(|| {
            CAME.fetch_add(1, Ordering::SeqCst);
            super::wake();
        });
        match caught {
            Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(Signals { seen: CAME.load(Ordering::SeqCst) }),
            Err(e) => Err(Error::new(format!("cannot catch Ctrl-C: {e}"))),
        }
    }

    /// The next one that came; never blocks.
    pub(crate) fn next(&mut self) -> Option<Came> {
        (CAME.load(Ordering::SeqCst) > self.seen).then(|| {
            self.seen += 1;
            Came::End(SIGINT)
        })
    }
}

/// They are caught by a thread of the system's own.
pub(crate) fn hold(_terminal: bool) -> std::io::Result<()> {
    Ok(())
}
