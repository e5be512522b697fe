//! Runs in a process of their own that is then killed: what is left must end by itself, or by `destroy`.

use crate::asked::Asked;
use crate::engines::{Engine, Kind};
use crate::remains;
use aido_runtime::{Command, Error, Event, Io, Listener, Plan, Stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::process::{Child, ExitCode, Stdio};
use std::time::Duration;

/// Tells this program to be such a process; its value says what to run.
pub(crate) const ORDER: &str = "AIDO_CONTRACT_HELD";

/// Says what `destroy` needs, and when the task speaks.
struct Teller;

impl Listener for Teller {
    fn event(&mut self, event: Event) -> Result<(), Error> {
        if let Event::Held { leftover } = event {
            println!("held {leftover}");
        }
        Ok(())
    }

    fn output(&mut self, _: Stream, _: &[u8]) {
        println!("spoke");
        let _ = std::io::stdout().flush();
    }

    fn command(&mut self) -> Option<Command> {
        None
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// The whole life of such a process.
pub(crate) fn child(order: &OsStr) -> ExitCode {
    let order: Value = serde_json::from_str(&order.to_string_lossy()).expect("an order");
    let text = |name: &str| order[name].as_str().expect("a text").to_string();
    let kind = match text("kind").as_str() {
        "linux" => Kind::Linux,
        "docker" => Kind::Docker,
        _ => Kind::Podman,
    };
    let plan: Plan = serde_json::from_value(order["plan"].clone()).expect("a plan");
    let root = plan.root.clone();
    let engine = Engine { kind, endpoint: text("endpoint"), store: PathBuf::from(text("store")), root, bent: None };
    let io = Io {
        secrets: BTreeMap::new(),
        secret_files: BTreeMap::new(),
        outputs: PathBuf::from(text("outputs")),
        layer: None,
        stdin: None,
        window: None,
        gate: None,
    };
    match engine.runtime(&text("name")).run(&plan, io, &mut Teller) {
        Ok(outcome) => println!("over {:?}", outcome.end),
        Err(error) => println!("error {}", error.what),
    }
    ExitCode::SUCCESS
}

/// Starts the run, waits until the task has said something, and kills the process without warning; what was held.
pub(crate) fn strike(asked: &Asked<'_>) -> Vec<String> {
    let Asked { engine, name, plan, folder, .. } = asked;
    let order = json!({
        "kind": engine.kind.name(), "endpoint": engine.endpoint, "store": engine.store, "plan": plan,
        "outputs": folder.path().join("outputs"), "name": name,
    });
    let me = std::env::current_exe().expect("this program");
    let started = std::process::Command::new(me)
        .env(ORDER, order.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = Ended(started.expect("this program again"));
    let lines = BufReader::new(child.0.stdout.take().expect("its output")).lines();
    let mut held = Vec::new();
    for line in lines {
        let line = line.expect("a line");
        match line.split_once(' ') {
            Some(("held", leftover)) => held.push(leftover.to_string()),
            _ if line == "spoke" => {
                drop(child);
                // The kernel has a moment for what it does by itself.
                std::thread::sleep(Duration::from_millis(300));
                return held;
            }
            _ => panic!("the run is over before it was struck: {line}"),
        }
    }
    panic!("the process ended by itself; held: {held:?}");
}

/// Killed when it is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Has the engine end what was held, and holds it to that.
pub(crate) fn tidy(asked: &Asked<'_>, held: &[String]) {
    for leftover in held {
        let gone = asked.engine.runtime("tidy").destroy(leftover);
        assert!(gone.is_ok(), "{leftover}: {gone:?}");
    }
    remains::nothing(asked.engine, &asked.name);
}
