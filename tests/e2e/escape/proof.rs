//! The same attack where it must succeed, so that its refusal says something.

use super::field::Field;
use super::head::{Attack, Proof};
use super::room::{self, Room};
use super::table::Cell;
use super::verdict::Verdict;
use crate::host;
use crate::output::Output;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// No attack needs longer to succeed.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) fn shown(attack: &Attack, field: &Field) -> Cell {
    let verdict = match &attack.proof {
        Proof::BareRoot if !host::is_root() => return Cell::AsRootOnly,
        Proof::Unwrapped if attack.needs_cgroups && !host::has_cgroups() => return Cell::NotHeldHere,
        Proof::Bare | Proof::BareRoot => outside(attack, field, None),
        Proof::Weakened(name) => outside(attack, field, Some(name)),
        Proof::Unwrapped => room::run(attack, field, Room::Host, None).1,
        Proof::Mended(script) => mended(attack, field, script),
    };
    match &verdict {
        Verdict::Succeeded(_) => Cell::Shown(attack.proof.clone()),
        _ if verdict.is_refused_as(&attack.lacks) => Cell::NotInThisKernel(verdict.to_string()),
        _ => Cell::Fault(format!("it must succeed here ({:?}), but: {verdict}", attack.proof)),
    }
}

fn outside(attack: &Attack, field: &Field, weakened: Option<&str>) -> Verdict {
    let (command, words) = field.outside(weakened);
    let out = ended(command, &words);
    let verdict = match &attack.judge {
        None => Verdict::of_program(&out),
        Some(judge) => {
            let outputs = words.with_file_name("outputs");
            let status = out.code.map_or("none".into(), |c| c.to_string());
            let left: [(&str, OsString); 4] = [
                ("JUDGE_WHERE", "outside".into()),
                ("JUDGE_STDOUT", words.into()),
                ("JUDGE_OUTPUTS", outputs.into()),
                ("JUDGE_STATUS", status.into()),
            ];
            field.judged(judge, &left)
        }
    };
    field.clear();
    verdict
}

fn ended(mut command: Command, words: &std::path::Path) -> Output {
    let (line, began) = (format!("{command:?}"), Instant::now());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{line}: {e}"));
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break status;
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            break child.wait().expect("wait");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let stdout = fs::read(words).unwrap_or_default();
    Output { line, code: status.code(), signal: status.signal(), stdout, stderr: Vec::new(), took: began.elapsed() }
}

fn mended(attack: &Attack, field: &Field, script: &str) -> Verdict {
    let sed = Command::new("sed").arg("-e").arg(script).arg(&attack.path).output().expect("sed");
    assert!(sed.status.success(), "sed {script}: {}", String::from_utf8_lossy(&sed.stderr));
    assert_ne!(fs::read(&attack.path).unwrap(), sed.stdout, "sed {script} changed nothing");
    field.project.write("sandbox.yaml", sed.stdout);
    room::run(attack, field, Room::Host, None).1
}
