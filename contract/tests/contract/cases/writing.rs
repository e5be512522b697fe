//! Where the task may write, and what becomes of that.

use super::cases;
use crate::asked::MIB;
use crate::differences::Name;
use crate::engines::Engine;
use aido_runtime::{Limit, MountKind};

cases!("writing":
    the_outputs_folder_takes_everything,
    outputs_of_the_project_are_writable_in_it,
    outputs_are_one_folder_under_two_names,
    nothing_is_there_from_before,
    scratch_is_writable_and_is_thrown_away,
    runs_do_not_share_scratch,
    home_is_the_tasks_own,
    programs_of_its_own_can_be_executed,
    the_disk_is_full_when_it_is_full,
    places_are_bounded_together_or_it_is_said,
    files_without_content_are_bounded,
);

fn the_outputs_folder_takes_everything(on: &Engine) {
    for uid in [0, 1000] {
        let script = "echo one >/outputs/a; mkdir -p /outputs/sub/deeper; echo two >/outputs/sub/deeper/b; stat -c %u /outputs/a";
        let ran = on.sh(script).by_user(uid, uid).run();
        ran.exits(0).says(&format!("{uid}\n"));
        assert_eq!((ran.file("a"), ran.file("sub/deeper/b")), (b"one\n".to_vec(), b"two\n".to_vec()));
    }
}

fn outputs_of_the_project_are_writable_in_it(on: &Engine) {
    let asked =
        on.sh("echo new >out/a; echo line >>log; echo more >>log; touch other; echo x >>src/kept; cat out/a log; ls");
    let asked =
        asked.file("src/kept", "kept\n").file("out/before", "was here\n").output_folder("out").output_file("log");
    let ran = asked.run();
    ran.says("new\nline\nmore\nlog\nout\nsrc\n");
    assert_eq!((ran.file("out/a"), ran.file("log")), (b"new\n".to_vec(), b"line\nmore\n".to_vec()));
    assert!(!ran.outputs().join("out/before").exists(), "an output folder starts empty");
}

fn outputs_are_one_folder_under_two_names(on: &Engine) {
    let asked =
        on.sh("echo a >deep/out/a; cat /outputs/deep/out/a; echo b >/outputs/deep/out/b; cat deep/out/b; ls /outputs");
    let ran = asked.output_folder("deep/out").run();
    ran.exits(0).says("a\nb\ndeep\n");
    assert_eq!(ran.file("deep/out/b"), b"b\n");
}

fn nothing_is_there_from_before(on: &Engine) {
    let asked = on.sh("ls -A /outputs /tmp /home/aido /dev/shm out").output_folder("out").file("out/before", "");
    let asked = scratch(asked);
    asked.run().exits(0).says("/dev/shm:\n\n/home/aido:\n\n/outputs:\nout\n\n/tmp:\n\nout:\n");
}

fn scratch(mut asked: crate::asked::Asked<'_>) -> crate::asked::Asked<'_> {
    asked.mount("/tmp", MountKind::Scratch { mode: 0o1777 });
    asked.mount("/home/aido", MountKind::Scratch { mode: 0o700 });
    asked
}

fn scratch_is_writable_and_is_thrown_away(on: &Engine) {
    let asked = scratch(
        on.sh("for p in /tmp /home/aido /dev/shm; do echo $p >$p/x && cat $p/x; done; stat -c %a /tmp /home/aido"),
    );
    let ran = asked.run();
    ran.exits(0).says("/tmp\n/home/aido\n/dev/shm\n1777\n700\n");
    assert_eq!(std::fs::read_dir(ran.outputs()).map(Iterator::count).ok(), Some(0), "{}", ran.account());
}

fn runs_do_not_share_scratch(on: &Engine) {
    let both = "ls -A /tmp /dev/shm /home/aido /outputs | grep -v -e : -e '^$'; for p in /tmp /dev/shm /home/aido /outputs; do echo x >$p/left; done; echo over";
    scratch(on.sh(both)).run().says("over\n");
    scratch(on.sh(both)).run().says("over\n");
}

fn home_is_the_tasks_own(on: &Engine) {
    for uid in [0, 1000, 4321] {
        let asked = scratch(on.sh("cd && pwd && stat -c '%u %g' . && touch x && mkdir -p .config/y && echo ok"))
            .by_user(uid, uid);
        asked.run().exits(0).says(&format!("/home/aido\n{uid} {uid}\nok\n"));
    }
}

fn programs_of_its_own_can_be_executed(on: &Engine) {
    let script = "for p in /tmp /home/aido /outputs; do printf '#!/bin/sh\\necho from %s\\n' $p >$p/run; chmod +x $p/run; $p/run; done
        cp /bin/busybox /tmp/own; ln -s own /tmp/echo; /tmp/echo binary";
    scratch(on.sh(script)).run().exits(0).says("from /tmp\nfrom /home/aido\nfrom /outputs\nbinary\n");
}

fn the_disk_is_full_when_it_is_full(on: &Engine) {
    for place in ["/tmp", "/outputs", "/home/aido", "/dev/shm"] {
        let script = format!(
            "dd if=/dev/zero of={place}/big bs=1M count=64 2>&1 | grep -oi 'no space left on device' | head -1; stat -c %s {place}/big
            rm {place}/big; echo freed >{place}/small && cat {place}/small"
        );
        let ran = scratch(on.sh(&script)).plan(|plan| plan.limits.disk = Limit::asked(8 * MIB)).run();
        let text = ran.text();
        let [said, size, "freed"] = text.lines().collect::<Vec<&str>>()[..] else {
            panic!("{place}: {}", ran.account())
        };
        let size: u64 = size.parse().expect("a size");
        assert!(said.eq_ignore_ascii_case("no space left on device"), "{place}: {}", ran.account());
        assert!((MIB..=8 * MIB).contains(&size), "{place}: {}", ran.account());
    }
}

fn places_are_bounded_together_or_it_is_said(on: &Engine) {
    let script = "for p in /tmp /outputs /home/aido /dev/shm; do dd if=/dev/zero of=$p/big bs=1M count=16 2>/dev/null; done; cat /tmp/big /outputs/big /home/aido/big /dev/shm/big | wc -c";
    let ran = scratch(on.sh(script)).plan(|plan| plan.limits.disk = Limit::default(8 * MIB)).run();
    let wrote: u64 = ran.text().trim().parse().expect("a number");
    if on.differs(Name::DiskIsBoundedByPlaces) {
        assert!(
            wrote > 8 * MIB && wrote <= 4 * 8 * MIB,
            "the difference is gone, or each is unbounded: {wrote}; {}",
            ran.account()
        );
        assert_ne!(
            ran.force(aido_runtime::Control::Disk),
            aido_runtime::Force::InForce,
            "a bound for all together is claimed"
        );
    } else {
        assert!(wrote <= 8 * MIB, "{wrote}; {}", ran.account());
        assert_eq!(ran.force(aido_runtime::Control::Disk), aido_runtime::Force::InForce);
    }
}

fn files_without_content_are_bounded(on: &Engine) {
    for place in ["/tmp", "/outputs"] {
        let script = format!(
            "mkdir {place}/d; cd {place}/d; i=0; while [ $i -lt 40000 ]; do touch f$i || break; i=$((i+1)); done 2>/dev/null; test $i -lt 40000 && echo bounded; rm -rf {place}/d"
        );
        let ran = scratch(on.sh(&script)).plan(|plan| plan.limits.disk = Limit::asked(8 * MIB)).run();
        ran.mentions("bounded");
    }
}
