//! Who the task is, and what it cannot become.

use super::cases;
use crate::engines::Engine;
use aido_runtime::Identity;

cases!("identity":
    the_task_is_who_it_is_told_to_be,
    groups_are_those_of_the_plan,
    no_capability_in_any_set,
    no_new_privileges,
    set_uid_programs_give_nothing,
    root_inside_is_not_root,
    nobody_else_can_be_become,
    files_for_root_stay_closed,
    umask_is_the_ordinary_one,
);

fn the_task_is_who_it_is_told_to_be(on: &Engine) {
    for (uid, gid) in [(0, 0), (1000, 1000), (1234, 4321), (60000, 7)] {
        on.sh("id -u; id -g; grep -E '^(Uid|Gid):' /proc/self/status | tr -s '\\t' ' '")
            .by_user(uid, gid)
            .run()
            .exits(0)
            .says(&format!("{uid}\n{gid}\nUid: {uid} {uid} {uid} {uid}\nGid: {gid} {gid} {gid} {gid}\n"));
    }
}

fn groups_are_those_of_the_plan(on: &Engine) {
    let groups = |groups: &[u32]| {
        let identity = Identity { uid: 1000, gid: 1000, groups: groups.to_vec() };
        let asked = on.sh("grep ^Groups: /proc/self/status | tr -s '\\t ' '\\n' | grep -v -e Groups -e '^$' | sort -n | uniq | tr '\\n' ' '");
        asked.plan(|plan| plan.identity = identity).attempt().0
    };
    let none = groups(&[]).expect("a run").text();
    // The own group may be listed once more: it gives nothing.
    assert!(none.is_empty() || none == "1000 ", "groups that nobody gave: {none}");
    match groups(&[7, 4000]) {
        Ok(ran) => assert_eq!(ran.text().replace("1000 ", ""), "7 4000 ", "{}", ran.account()),
        Err(error) => assert!(on.is_excused(), "{}", error.what),
    }
}

fn no_capability_in_any_set(on: &Engine) {
    for uid in [0, 1000] {
        let ran = on.sh("grep ^Cap /proc/self/status | tr -s '\\t' ' '").by_user(uid, uid).run();
        let none = "0000000000000000";
        ran.exits(0).says(&format!("CapInh: {none}\nCapPrm: {none}\nCapEff: {none}\nCapBnd: {none}\nCapAmb: {none}\n"));
    }
}

fn no_new_privileges(on: &Engine) {
    on.sh("grep ^NoNewPrivs /proc/self/status | tr -s '\\t' ' '; grep '^Seccomp:' /proc/self/status | tr -s '\\t' ' '")
        .run()
        .says("NoNewPrivs: 1\nSeccomp: 2\n");
}

fn set_uid_programs_give_nothing(on: &Engine) {
    on.sh("/odd/setuid ids; cp /bin/probe /tmp/own; chmod 4755 /tmp/own; /tmp/own ids")
        .plan(|plan| {
            plan.mounts.push(aido_runtime::Mount {
                target: "/tmp".into(),
                kind: aido_runtime::MountKind::Scratch { mode: 0o1777 },
            })
        })
        .run()
        .exits(0)
        .says("1000 1000 1000\n1000 1000 1000\n");
}

fn root_inside_is_not_root(on: &Engine) {
    for line in [
        "mount -t tmpfs x /outputs",
        "mount -o remount,rw /",
        "mknod /outputs/x b 8 0",
        "chown 5:5 /outputs",
        "hostname other",
        "chroot / true",
        "unshare -m true",
        "unshare -U true",
        "ip link add x type dummy",
        "nsenter -t 1 -m true",
        "setpriv --inh-caps +sys_admin true",
        "dmesg",
        "chmod 700 /etc",
    ] {
        let ran = on.sh(&format!("{line} >/dev/null 2>&1 && echo DONE; true")).by_user(0, 0).run();
        ran.exits(0);
        // A name space of one id may belong to its root alone: then the folder is its own already.
        assert_eq!(ran.text(), "", "{line}: {}", ran.account());
    }
}

fn nobody_else_can_be_become(on: &Engine) {
    for uid in [0, 1000] {
        let script = "su root -c 'echo become'; setpriv --reuid 5 echo become; setpriv --regid 5 echo become; setpriv --groups 5 echo become; true";
        on.sh(script).by_user(uid, uid).run().exits(0).is_silent_about("become");
    }
}

fn files_for_root_stay_closed(on: &Engine) {
    on.sh("cat /odd/closed || echo closed").run().says("closed\n");
}

fn umask_is_the_ordinary_one(on: &Engine) {
    on.sh("umask; touch /outputs/x; stat -c %a /outputs/x").run().exits(0).says("0022\n644\n");
}
