//! An apply that is killed half-way.

use super::apply;
use crate::overlay::{tree, up, within};
use crate::project::Project;
use nix::sys::signal::Signal;
use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

#[test]
fn whoever_is_killed_in_mid_apply_is_taken_back_or_was_done() {
    let p = Project::new();
    for n in 0..150 {
        p.write(&format!("d{}/f{n}", n % 7), format!("before {n}\n"));
    }
    // What a clock of seconds cannot tell from the start of the sandbox.
    let old = SystemTime::now() - Duration::from_secs(3600);
    let before = tree(&p.path());
    for path in before.keys().map(|path| p.path().join(path)).filter(|path| path.is_file()) {
        fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    let id = up(&p);
    within(
        &p,
        &id,
        "for f in d*/*; do echo after > $f; done; rm -r d3; mkdir e; for i in $(seq 99); do echo $i > e/$i; done",
    )
    .ok();
    let begun = Instant::now();
    apply(&p, &["--quiet", &id]).ok();
    let whole = begun.elapsed();
    apply(&p, &["--undo", "--quiet"]).ok();
    let (mut untouched, mut halves) = (0, 0);
    let folders = || (0..7).map(|n| p.path().join(format!("d{n}"))).chain([p.path()]);
    let times = || folders().map(|folder| folder.metadata().and_then(|seen| seen.modified()).ok()).collect::<Vec<_>>();
    for round in 1..18_u32 {
        let quiet = times();
        let running = p.start(["apply", "--quiet", &id]);
        // At any time, and right after the first change: the time of one whole apply says little of the next one's.
        match round % 2 {
            0 => thread::sleep(whole * round / 18),
            _ => {
                let begun = Instant::now();
                while times() == quiet && begun.elapsed() < Duration::from_secs(20) {}
            }
        }
        let killed = nix::sys::signal::kill(nix::unistd::Pid::from_raw(running.pid()), Signal::SIGKILL).is_ok();
        let out = running.end();
        assert!(killed && (out.signal == Some(9) || out.code == Some(0)), "{out}");
        let now = tree(&p.path());
        untouched += usize::from(now == before);
        halves += usize::from(out.signal == Some(9) && now != before);
        let back = apply(&p, &["--undo", "--quiet"]);
        assert!(back.code == Some(0) || (now == before && back.code == Some(125)), "{back}");
        assert_eq!(tree(&p.path()), before, "after {round}: {back}");
    }
    assert!(halves > 0, "{untouched} times nothing was changed yet, and never the half of it");
    apply(&p, &[&id]).ok();
    assert_eq!((p.read("d1/f1"), p.read("e/99")), ("after\n".into(), "99\n".into()));
    p.aido(["verify", "--all"]).ok();
}
