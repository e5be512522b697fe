//! An `aido` that runs beside the test.

use crate::output::Output;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// No command of these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Running {
    line: String,
    child: Child,
    began: Instant,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    so_far: Vec<u8>,
}

impl Running {
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Running {
        let line = format!("{command:?}");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{line}: {e}"));
        let stdout = listen(child.stdout.take().unwrap());
        let stderr = listen(child.stderr.take().unwrap());
        Running { line, child, began: Instant::now(), stdout, stderr, so_far: Vec::new() }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("the command line lives");
    }

    /// Waits until the task has printed this.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, words: &str) {
        while !String::from_utf8_lossy(&self.so_far).contains(words) {
            match self.stdout.recv_timeout(Duration::from_secs(30)) {
                Ok(bytes) => self.so_far.extend(bytes),
                Err(why) => {
                    let _ = self.child.kill();
                    let said: Vec<u8> = self.stderr.iter().flatten().collect();
                    let so_far = String::from_utf8_lossy(&self.so_far).into_owned();
                    panic!(
                        "$ {}\nnever printed {words:?} ({why}): {so_far}\n{}",
                        self.line,
                        String::from_utf8_lossy(&said)
                    );
                }
            }
        }
    }

    /// Waits for its end, and for the end of what it says.
    #[track_caller]
    pub(crate) fn end(mut self) -> Output {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                break status;
            }
            if self.began.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let said: Vec<u8> = self.stderr.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
                panic!("still running after {PATIENCE:?}: {}\n{}", self.line, String::from_utf8_lossy(&said));
            }
            thread::sleep(Duration::from_millis(2));
        };
        let took = self.began.elapsed();
        let mut stdout = std::mem::take(&mut self.so_far);
        drain(&self.stdout, &mut stdout, &self.line);
        let mut stderr = Vec::new();
        drain(&self.stderr, &mut stderr, &self.line);
        Output { line: self.line, code: status.code(), signal: status.signal(), stdout, stderr, took }
    }
}

fn listen(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(n) = pipe.read(&mut buffer) {
            if n == 0 || sender.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Nobody may hold our pipes open once the command line has returned.
#[track_caller]
fn drain(from: &Receiver<Vec<u8>>, into: &mut Vec<u8>, line: &str) {
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        match from.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(bytes) => into.extend(bytes),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                panic!("the command returned, but something still holds its output: {line}")
            }
        }
    }
}
