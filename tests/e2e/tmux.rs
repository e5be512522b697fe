//! A real terminal for what draws on all of one: keys are typed into tmux, and what tmux shows is read.

use crate::host::{self, wait_for};
use crate::project::Project;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A shell in a terminal of tmux, at which `aido ui` was typed.
pub(crate) struct Tmux<'p> {
    p: &'p Project,
    /// A server of its own: one that ends takes no new terminal.
    socket: PathBuf,
}

impl<'p> Tmux<'p> {
    /// `line` is typed at a shell whose prompt is `out>`; `$AIDO` is the program.
    #[track_caller]
    pub(crate) fn typed(p: &'p Project, (columns, rows): (u16, u16), line: &str) -> Option<Tmux<'p>> {
        if Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_err() {
            host::left_out("tmux is not installed: run ci/test");
            return None;
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let socket = p.home().join(format!("tmux-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let tmux = Tmux { p, socket };
        let size = [columns, rows].map(|n| n.to_string());
        // A shell that is none of a person's unsets the prompt that it is given.
        let shell = "exec env PS1='out> ' bash --norc --noprofile --noediting";
        tmux.does(&["new-session", "-d", "-x", &size[0], "-y", &size[1], shell]);
        tmux.shows("out>");
        tmux.types(line);
        tmux.keys(&["Enter"]);
        Some(tmux)
    }

    pub(crate) fn does(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(&self.socket).args(args);
        let like = self.p.command(["ui"]);
        command.env_clear().envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.p.path()).env("AIDO", host::aido()).env("TERM", "xterm-256color");
        let out = command.stdin(Stdio::null()).output().expect("tmux");
        assert!(out.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    pub(crate) fn types(&self, text: &str) {
        self.does(&["send-keys", "-l", text]);
    }

    pub(crate) fn keys(&self, keys: &[&str]) {
        self.does(&[&["send-keys"], keys].concat());
    }

    pub(crate) fn screen(&self) -> String {
        self.does(&["capture-pane", "-p"])
    }

    /// With colours.
    pub(crate) fn coloured(&self) -> String {
        self.does(&["capture-pane", "-p", "-e"])
    }

    #[track_caller]
    pub(crate) fn shows(&self, words: &str) -> String {
        self.until(words, |screen| screen.contains(words))
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "not shown: {what}\n{screen}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The process that draws.
    #[track_caller]
    fn pid(&self) -> String {
        let shell = self.does(&["display-message", "-p", "#{pane_pid}"]);
        wait_for("aido", || {
            let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.trim())).ok()?;
            let of_aido =
                |pid: &&str| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"ui\0"));
            children.split_whitespace().find(of_aido).map(str::to_owned)
        })
    }

    pub(crate) fn kill(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.pid()]).status().expect("kill").success());
    }

    /// The shell has its own screen again, with its modes, and what was typed before.
    #[track_caller]
    pub(crate) fn is_given_back(&self, status: &str) {
        self.shows(status);
        assert_eq!(self.does(&["display-message", "-p", "#{alternate_on}#{cursor_flag}#{wrap_flag}"]).trim(), "011");
        self.types("stty -a | tr ';' '\\n' | grep -c -e ' icanon' -e ' echo ' -e ' isig'; echo modes");
        self.keys(&["Enter"]);
        self.shows("\nmodes");
        let screen = self.screen();
        assert!(!screen.contains("-icanon") && !screen.contains("-echo "), "{screen}");
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

macro_rules! tmux {
    ($p:expr, $size:expr, $line:expr) => {
        match $crate::tmux::Tmux::typed($p, $size, $line) {
            Some(tmux) => tmux,
            None => return,
        }
    };
}
