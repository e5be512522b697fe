//! Whom the task sees, and whom it can touch.

use super::cases;
use crate::engines::Engine;
use std::time::Duration;

cases!("processes":
    no_process_of_the_host_is_seen,
    the_first_process_is_out_of_reach,
    orphans_are_reaped,
    whoever_stays_behind_is_ended,
    kill_everything_ends_the_run_in_order,
    nobody_is_signalled_outside,
    objects_in_memory_are_not_shared_between_runs,
    no_descriptor_too_many,
    a_session_of_its_own,
);

fn no_process_of_the_host_is_seen(on: &Engine) {
    // This program, and whatever runs here.
    let me = std::process::id();
    let script = format!(
        "ls -d /proc/[0-9]* | wc -l; test -e /proc/{me} && grep 'c[o]ntract' /proc/{me}/cmdline; cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -e 'c[o]ntract' -e 'd[o]ckerd' -e 's[y]stemd'; echo over"
    );
    let ran = on.sh(&script).by_user(0, 0).run();
    let text = ran.text();
    let (count, rest) = text.split_once('\n').expect("two lines");
    assert!(count.parse::<u32>().is_ok_and(|count| count <= 6), "{}", ran.account());
    assert_eq!(rest, "over\n", "{}", ran.account());
}

fn the_first_process_is_out_of_reach(on: &Engine) {
    for uid in [0, 1000] {
        let ran = on.command(&["probe", "first"]).by_user(uid, uid).run();
        let text = ran.text();
        assert!(text.ends_with("alive\n"), "it was ended or stopped from inside: {}", ran.account());
        ran.exits(0);
        for line in text.lines().filter(|line| *line != "alive") {
            assert!(line.ends_with(" no"), "user {uid}: {line}: {}", ran.account());
        }
        assert!(text.lines().count() > 8, "{}", ran.account());
    }
}

fn orphans_are_reaped(on: &Engine) {
    let script = "i=0; while [ $i -lt 30 ]; do (sh -c 'true &' &) ; i=$((i+1)); done; sleep 0.7; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l";
    on.sh(script).run().exits(0).says("0\n");
}

fn whoever_stays_behind_is_ended(on: &Engine) {
    let script = "(trap '' TERM HUP INT; exec setsid sleep 1000) & setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 1; done' >/dev/null 2>&1 & sleep 0.3; exit 4";
    let ran = on.sh(script).run();
    ran.exits(4);
    assert!(ran.lasted() < Duration::from_secs(15), "{:?}", ran.lasted());
}

fn kill_everything_ends_the_run_in_order(on: &Engine) {
    // By everybody that it may signal; itself is spared by the kernel.
    let ran = on.sh("sleep 100 & kill -9 -1; echo survived; exit 6").run();
    ran.mentions("survived").exits(6);
}

fn nobody_is_signalled_outside(on: &Engine) {
    let mut other = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
    let script = format!("kill -9 {} 2>/dev/null; kill -9 -1 2>/dev/null; echo over", other.id());
    let ran = on.sh(&script).by_user(0, 0).attempt();
    let alive = other.try_wait().is_ok_and(|status| status.is_none());
    let _ = other.kill();
    let _ = other.wait();
    assert!(alive, "a process of the host was killed");
    ran.0.expect("a run").mentions("over");
}

fn objects_in_memory_are_not_shared_between_runs(on: &Engine) {
    for _ in 0..2 {
        let ran = on.command(&["probe", "ipc"]).run();
        ran.exits(0);
        assert_eq!(ran.value("before"), "none", "{}", ran.account());
    }
}

fn no_descriptor_too_many(on: &Engine) {
    // One that is open here and may be inherited.
    let kept = std::fs::File::open("/etc/hostname").or_else(|_| std::fs::File::open("/etc/passwd")).expect("a file");
    let ran = on.sh("ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/fd/0").run();
    drop(kept);
    // The last is the listing's own.
    ran.exits(0).says("0 1 2 3 /dev/null\n");
}

fn a_session_of_its_own(on: &Engine) {
    // Without a terminal there is none to be reached.
    on.sh("cat /proc/self/stat | cut -d' ' -f7; (echo x >/dev/tty) 2>/dev/null || echo none")
        .run()
        .exits(0)
        .says("0\nnone\n");
}
