//! Where a diff goes: to a terminal with colours, harmless, and through git's pager; else as it is.

use crate::words::Inert;
use anyhow::{Context, Result};
use owo_colors::OwoColorize;
use std::io::{self, IsTerminal, Write};
use std::process::{Child, Command, Stdio};

/// Lines of a diff on their way to somebody.
pub(super) struct Out {
    to: Box<dyn Write>,
    pager: Option<Child>,
    /// Colours for a patch; none where bytes pass as they are.
    coloured: bool,
    harmless: bool,
    line: Vec<u8>,
}

impl Out {
    pub(super) fn new(raw: bool, patch: bool) -> Result<Out> {
        let terminal = io::stdout().is_terminal();
        let mut pager = terminal.then(pager).flatten();
        let to: Box<dyn Write> = match pager.as_mut().and_then(|child| child.stdin.take()) {
            Some(stdin) => Box::new(io::BufWriter::new(stdin)),
            None => Box::new(io::BufWriter::new(io::stdout())),
        };
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Ok(Out { to, pager, coloured: colour && patch, harmless: terminal && !raw, line: Vec::new() })
    }

    /// All that was written is shown, and the pager was closed by the reader.
    pub(super) fn finish(mut self) -> Result<()> {
        let rest = std::mem::take(&mut self.line);
        let done = self.show(&rest).and_then(|()| self.to.flush());
        drop(self.to);
        if let Some(mut pager) = self.pager {
            pager.wait().context("the pager")?;
        }
        match done {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.context("standard output"),
        }
    }

    fn show(&mut self, line: &[u8]) -> io::Result<()> {
        if line.is_empty() || !(self.harmless || self.coloured) {
            return self.to.write_all(line);
        }
        let mut text = String::new();
        let mut inert = Inert::default();
        inert.push(line, &mut text);
        inert.finish(&mut text);
        let bare = text.trim_end_matches('\n');
        let end = &text[bare.len()..];
        match bare.as_bytes().first().filter(|_| self.coloured) {
            Some(b'+') if !bare.starts_with("+++") => write!(self.to, "{}{end}", bare.green()),
            Some(b'-') if !bare.starts_with("---") => write!(self.to, "{}{end}", bare.red()),
            Some(b'@') => write!(self.to, "{}{end}", bare.cyan()),
            Some(b'd') if bare.starts_with("diff --git ") => write!(self.to, "{}{end}", bare.bold()),
            _ => self.to.write_all(text.as_bytes()),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !(self.harmless || self.coloured) {
            return self.to.write(bytes);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.show(&line)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The pager that git would use: `GIT_PAGER`, `PAGER`, `less`; none where it is `cat` or cannot be started.
fn pager() -> Option<Child> {
    let named = ["GIT_PAGER", "PAGER"].iter().find_map(|name| std::env::var(name).ok());
    let pager = named.unwrap_or_else(|| "less".to_string());
    if pager.trim().is_empty() || pager.trim() == "cat" {
        return None;
    }
    let mut command = Command::new("sh");
    command.args(["-c", &pager]).stdin(Stdio::piped());
    for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    command.spawn().ok()
}
