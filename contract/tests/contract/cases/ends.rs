//! How a run ended, as the caller is told.

use super::cases;
use crate::differences::Name;
use crate::engines::Engine;
use aido_runtime::{End, MountKind};

cases!("ends":
    statuses_are_the_tasks_own,
    statuses_that_look_like_signals_are_statuses,
    a_death_by_signal_is_one,
    the_shell_says_what_its_child_did,
    a_program_that_is_not_there,
    a_program_that_cannot_be_executed,
    a_format_that_no_kernel_knows,
    a_closed_way_is_not_an_absent_one,
    a_working_folder_that_is_not_there,
    an_immediate_end_loses_nothing,
);

fn statuses_are_the_tasks_own(on: &Engine) {
    for code in [0, 1, 3, 124, 125, 126, 127, 255] {
        on.sh(&format!("echo out; echo err >&2; exit {code}")).run().exits(code).says("out\n");
    }
}

fn statuses_that_look_like_signals_are_statuses(on: &Engine) {
    for code in [128, 137, 139, 143] {
        on.sh(&format!("exit {code}")).run().exits(code);
    }
}

fn a_death_by_signal_is_one(on: &Engine) {
    for signal in [1, 2, 6, 9, 11, 15] {
        let ran = on.command(&["probe", "raise", &signal.to_string()]).run();
        let expected = match on.differs(Name::DeathBySignalIsAStatus) {
            true => End::Exited { code: 128 + signal as u8 },
            false => End::Signalled { signal },
        };
        ran.ends(&expected);
        assert_eq!(ran.outcome.end.exit_code(), 128 + signal as u8);
    }
}

fn the_shell_says_what_its_child_did(on: &Engine) {
    on.sh("probe raise 15; echo $?; probe raise 9; echo $?; exit 5").run().exits(5).mentions("143\n").mentions("137\n");
}

fn a_program_that_is_not_there(on: &Engine) {
    for program in ["no-such-program", "/bin/no-such", "/nowhere/sh", "/bin/busybox/below"] {
        let ran = on.command(&[program]).run();
        ran.ends(&End::NotFound { program: program.into() });
        assert_eq!(ran.outcome.end.exit_code(), 127);
    }
    // An interpreter that is missing is what the kernel calls it.
    on.command(&["/odd/orphan"]).run().ends(&End::NotFound { program: "/odd/orphan".into() });
}

#[track_caller]
fn cannot(on: &Engine, program: &str) {
    let ran = on.command(&[program]).run();
    assert!(
        matches!(&ran.outcome.end, End::NotExecutable { program: named, why } if named == program && !why.is_empty()),
        "{program}: {}",
        ran.account()
    );
    assert_eq!(ran.outcome.end.exit_code(), 126);
}

fn a_program_that_cannot_be_executed(on: &Engine) {
    cannot(on, "/odd/plain");
    cannot(on, "/odd");
}

fn a_format_that_no_kernel_knows(on: &Engine) {
    cannot(on, "/odd/garbage");
}

fn a_closed_way_is_not_an_absent_one(on: &Engine) {
    let asked = on.command(&["/workspace/only-root"]).with(|project| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(project.join("only-root"), "#!/bin/sh\n").expect("a file");
        std::fs::set_permissions(project.join("only-root"), std::fs::Permissions::from_mode(0o600)).expect("a mode");
    });
    let ran = asked.run();
    assert!(matches!(ran.outcome.end, End::NotExecutable { .. }), "{}", ran.account());
}

fn a_working_folder_that_is_not_there(on: &Engine) {
    let mut asked = on.sh("echo ran; pwd").plan(|plan| plan.task.workdir = "/workspace/none".into());
    asked.mount("/tmp", MountKind::Scratch { mode: 0o1777 });
    // An error, or a run that ended otherwise than well; never another folder.
    match asked.attempt().0 {
        Ok(ran) => {
            assert!(!matches!(ran.outcome.end, End::Exited { code: 0 }) && ran.stdout.is_empty(), "{}", ran.account())
        }
        Err(error) => assert!(error.what.contains("/workspace/none"), "{}", error.what),
    }
}

fn an_immediate_end_loses_nothing(on: &Engine) {
    for _ in 0..3 {
        let ran = on.sh("printf first; printf second >&2").run();
        ran.exits(0).says("first");
        assert_eq!(ran.stderr, b"second");
    }
}
