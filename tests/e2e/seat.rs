//! A terminal with an `aido` at it, as a person has one.

use crate::family::Family;
use crate::host::wait_for;
use crate::project::Project;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::pty::OpenptFlags;
use rustix::termios::{Termios, Winsize};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Nothing that is waited for here may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Seat {
    ours: std::fs::File,
    theirs: OwnedFd,
    child: Child,
    shown: Receiver<Vec<u8>>,
    /// All that was shown so far.
    pub(crate) seen: Vec<u8>,
    /// Up to here it was waited for.
    done: usize,
    /// As the terminal was before.
    before: Termios,
}

impl Seat {
    /// `aido` with these arguments at a terminal of 33 lines of 101 characters.
    #[track_caller]
    pub(crate) fn at(project: &Project, args: &[&str]) -> Seat {
        Seat::of(project.command(args))
    }

    #[track_caller]
    pub(crate) fn of(like: Command) -> Seat {
        let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        rustix::pty::unlockpt(&ours).expect("a terminal that can be opened");
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags).expect("its other end");
        let size = Winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&ours, size).expect("a size");
        let before = rustix::termios::tcgetattr(&theirs).expect("its modes");
        // It becomes the leader of a session that has this terminal, under the same number.
        let mut command = Command::new("setsid");
        command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.arg("--ctty").arg(like.get_program()).args(like.get_args()).env("TERM", "xterm");
        command.current_dir(like.get_current_dir().expect("a project"));
        let end = || Stdio::from(theirs.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid");
        let (sender, shown) = channel();
        let mut from = std::fs::File::from(ours.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(length) = from.read(&mut buffer) {
                if length == 0 || sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Seat { ours: ours.into(), theirs, child, shown, seen: Vec::new(), done: 0, before }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    #[track_caller]
    pub(crate) fn supervisor(&self) -> i32 {
        wait_for("the supervisor", || Family::of(self.pid()).supervisor())
    }

    #[track_caller]
    pub(crate) fn kill(&self, pid: i32, signal: Signal) {
        kill(Pid::from_raw(pid), signal).expect("it lives");
    }

    #[track_caller]
    pub(crate) fn types(&mut self, keys: impl AsRef<[u8]>) {
        self.ours.write_all(keys.as_ref()).expect("the terminal takes keys");
    }

    /// Types a lot, beside the test.
    pub(crate) fn pastes(&self, bytes: Vec<u8>) -> std::thread::JoinHandle<std::io::Result<()>> {
        let mut to = self.ours.try_clone().unwrap();
        std::thread::spawn(move || to.write_all(&bytes))
    }

    /// Waits until this is shown, after what was waited for before; says how long it took.
    #[track_caller]
    pub(crate) fn shows(&mut self, words: &str) -> Duration {
        let began = Instant::now();
        loop {
            let new = &self.seen[self.done..];
            if let Some(at) = new.windows(words.len()).position(|seen| seen == words.as_bytes()) {
                self.done += at + words.len();
                return began.elapsed();
            }
            match self.shown.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(why) => {
                    let _ = self.child.kill();
                    panic!("{words:?} was not shown ({why}):\n{}", self.text());
                }
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.ours, size).expect("another size");
    }

    /// Whether keys pass through the terminal as they are.
    pub(crate) fn is_raw(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.theirs).expect("its modes");
        !modes.local_modes.intersects(rustix::termios::LocalModes::ICANON | rustix::termios::LocalModes::ISIG)
    }

    #[track_caller]
    pub(crate) fn is_as_before(&self) {
        let (now, before) = (rustix::termios::tcgetattr(&self.theirs).expect("its modes"), &self.before);
        let modes = |of: &Termios| (of.input_modes, of.output_modes, of.control_modes, of.local_modes);
        assert_eq!(modes(&now), modes(before), "the terminal was left in another state:\n{}", self.text());
    }

    /// At an outer shell with the prompt `out> `: aido is stopped, the terminal is the shell's; it goes on, and a key reaches
    /// the task, which says `int`; then it is ended, and the shell, too.
    #[track_caller]
    pub(crate) fn suspends(&mut self, aido: i32) {
        self.kill(aido, Signal::SIGTSTP);
        self.shows("Stopped");
        self.shows("out> ");
        assert!(!self.is_raw());
        self.types("fg\n");
        wait_for("the keys to be the task's again", || self.is_raw().then_some(()));
        self.types([3]);
        self.shows("int\r\n");
        self.kill(aido, Signal::SIGTERM);
        self.shows("out> ");
        self.types("exit 0\n");
        assert_eq!(self.ends(), 0);
    }

    /// Waits for the end: the exit status, 128 and more for a signal. The terminal must be as it was.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> i32 {
        let began = Instant::now();
        let status = loop {
            while let Ok(bytes) = self.shown.recv_timeout(Duration::from_millis(5)) {
                self.seen.extend(bytes);
            }
            if let Some(status) = self.child.try_wait().expect("wait") {
                break status;
            }
            if began.elapsed() > PATIENCE {
                let _ = self.child.kill();
                panic!("it did not end:\n{}", self.text());
            }
        };
        while let Ok(bytes) = self.shown.recv_timeout(Duration::from_millis(20)) {
            self.seen.extend(bytes);
        }
        self.is_as_before();
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
