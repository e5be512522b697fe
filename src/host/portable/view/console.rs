//! The caller's console on Windows while it is the task's: what is typed goes there key by key as terminals elsewhere send
//! it, what the task shows steers it, and whatever ends that, its modes are as they were before.

use super::show::USUAL;
use aido_runtime::{Error, Window};
use std::io::Write;
use winapi_util::HandleRef;
use winapi_util::console::{mode, screen_buffer_info, set_mode};

// Modes of a console, as its documentation has them.
const ENABLE_PROCESSED_INPUT: u32 = 0x0001;
const ENABLE_LINE_INPUT: u32 = 0x0002;
const ENABLE_ECHO_INPUT: u32 = 0x0004;
const ENABLE_MOUSE_INPUT: u32 = 0x0010;
const ENABLE_QUICK_EDIT_MODE: u32 = 0x0040;
const ENABLE_VIRTUAL_TERMINAL_INPUT: u32 = 0x0200;
const ENABLE_PROCESSED_OUTPUT: u32 = 0x0001;
const ENABLE_VIRTUAL_TERMINAL_PROCESSING: u32 = 0x0004;
const DISABLE_NEWLINE_AUTO_RETURN: u32 = 0x0008;

/// The console on standard input, and on standard output where that is one.
pub(crate) struct Terminal {
    before: Modes,
    /// Keys pass to the task as they are.
    raw: bool,
    /// The task has shown itself on it.
    used: bool,
}

#[derive(Clone, Copy)]
struct Modes {
    input: u32,
    output: Option<u32>,
}

impl Terminal {
    /// An error where there is none.
    pub(crate) fn of_the_caller() -> Result<Terminal, Error> {
        let input = mode(HandleRef::stdin()).map_err(|_| {
            Error::new("-t needs a terminal, and standard input is none")
                .remedy("leave -t out: `aido run -i` passes a pipe or a file on")
        })?;
        let output = mode(HandleRef::stdout()).ok();
        Ok(Terminal { before: Modes { input, output }, raw: false, used: false })
    }

    /// How large its window is, where it says so.
    pub(crate) fn window(&self) -> Option<Window> {
        let shown = screen_buffer_info(HandleRef::stdout()).ok()?.window_rect();
        let length = |from: i16, to: i16| u16::try_from(i32::from(to) - i32::from(from) + 1).ok().filter(|n| *n > 0);
        Some(Window { columns: length(shown.left, shown.right)?, rows: length(shown.top, shown.bottom)? })
    }

    /// The task shows itself here from now on, and `keys` are its own, Ctrl-C and Ctrl-Z too.
    pub(super) fn take(&mut self, keys: bool) {
        if !std::mem::replace(&mut self.used, true) {
            restored_in_panic(self.before);
        }
        if let Some(before) = self.before.output {
            let steered = before | ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
            // Older consoles know the first of them alone.
            let _ = set_mode(HandleRef::stdout(), steered | DISABLE_NEWLINE_AUTO_RETURN)
                .or_else(|_| set_mode(HandleRef::stdout(), steered));
        }
        if keys {
            let cooked = ENABLE_PROCESSED_INPUT | ENABLE_LINE_INPUT | ENABLE_ECHO_INPUT;
            let own = ENABLE_MOUSE_INPUT | ENABLE_QUICK_EDIT_MODE;
            let raw = self.before.input & !(cooked | own);
            self.raw = set_mode(HandleRef::stdin(), raw | ENABLE_VIRTUAL_TERMINAL_INPUT)
                .or_else(|_| set_mode(HandleRef::stdin(), raw))
                .is_ok();
        }
    }

    /// Whether the task has shown itself on it.
    pub(super) fn is_taken(&self) -> bool {
        self.used
    }

    /// No program is stopped by a key here.
    pub(super) fn suspend(&mut self) {}
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !self.used {
            return;
        }
        let steered = mode(HandleRef::stdout()).is_ok_and(|now| now & ENABLE_VIRTUAL_TERMINAL_PROCESSING != 0);
        if steered {
            let mut stdout = std::io::stdout();
            let _ = stdout.write_all(USUAL).and_then(|()| stdout.flush());
        }
        self.before.restore();
    }
}

impl Modes {
    fn restore(self) {
        let _ = set_mode(HandleRef::stdin(), self.input);
        if let Some(output) = self.output {
            let _ = set_mode(HandleRef::stdout(), output);
        }
    }
}

/// A release is built to abort in a panic, and then nothing is dropped.
fn restored_in_panic(before: Modes) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before.restore();
        usual(panic);
    }));
}
