//! Sandboxes that were weakened on purpose: the trials before the start must find out. Without these, a trial
//! that always fails as it should would prove nothing.

use crate::exec::{self, Weaker};
use crate::ids::IdMap;
use crate::script::{Op, Script};
use crate::seccomp::Filters;
use crate::spawn::{self, Apart};
use crate::{handshake, prepare, probe, proof, stand};
use aido_runtime::{Control, Enforced, SyscallProfile};
use std::collections::BTreeMap;

static ALLOW_ALL: &[libc::sock_filter] = &[libc::sock_filter { code: 6, jt: 0, jf: 0, k: 0x7FFF_0000 }];

/// Builds a sandbox with a script that somebody changed, and judges it.
fn judged(profile: &SyscallProfile, change: impl FnOnce(&mut Script)) -> Result<Enforced, String> {
    let plan = probe::plan();
    let filters = Filters::of(profile, plan.record).unwrap();
    let ids = IdMap::choose(&plan.identity, false).unwrap();
    let exec = exec::compile(&plan, &BTreeMap::new(), &ids, &Weaker::default(), &filters).unwrap();
    let mut script =
        prepare::script(&plan, &prepare::host_ground(), prepare::Given::default(), exec, &filters).unwrap();
    change(&mut script);
    let live = spawn::build(&script, &Apart::Namespaces(&ids, &std::cell::Cell::default()), None, None, &mut || Ok(()))
        .map_err(|e| e.what)?;
    let mut enforced = stand::by_construction(&plan, &ids, &filters);
    let result = handshake::ready(&live, &script, &filters)
        .and_then(|ready| proof::judge(&ready, &script, &filters, None, &Weaker::default(), &mut enforced));
    live.end();
    result.map(|()| enforced).map_err(|e| e.what)
}

#[track_caller]
fn found(profile: &SyscallProfile, change: impl FnOnce(&mut Script), words: &str) {
    let why = judged(profile, change).expect_err("a weakened sandbox was taken for a whole one");
    assert!(why.contains("nothing was run") && why.contains(words), "{why}");
}

#[test]
fn a_whole_sandbox_proves_what_it_holds() {
    for profile in [SyscallProfile::Default, SyscallProfile::Strict] {
        let enforced = judged(&profile, |_| {}).unwrap();
        let proven = [Control::Privileges, Control::Syscalls, Control::ReadOnly, Control::Processes, Control::Network];
        for control in proven {
            assert!(enforced.get(control).is_some_and(|standing| standing.proof.is_some()), "{control}: {enforced:?}");
        }
    }
}

#[test]
fn a_filter_that_is_not_the_profile_is_found() {
    let weaken = |script: &mut Script| {
        script.exec.filter = ALLOW_ALL;
        script.exec.heard = false;
    };
    found(&SyscallProfile::Default, weaken, "making a user namespace");
}

#[test]
fn a_root_that_can_be_written_is_found_where_the_second_wall_is_down_too() {
    let unsealed = |script: &mut Script| script.ops.retain(|op| !matches!(op, Op::SealRoot));
    // The second wall alone still refuses: that is what it is for.
    if crate::wall::version().is_ok() {
        judged(&SyscallProfile::Default, unsealed).unwrap();
    }
    let both = |script: &mut Script| {
        unsealed(script);
        script.wall = None;
    };
    found(&SyscallProfile::Default, both, "making /.aido-canary must fail, and succeeded");
}

#[test]
fn a_file_that_can_be_read_is_found() {
    let weaken = |script: &mut Script| script.unreadable = c"/etc/hosts".into();
    found(&SyscallProfile::Default, weaken, "reading /etc/hosts must fail, and succeeded");
    let absent = |script: &mut Script| script.unreadable = c"/nowhere".into();
    found(&SyscallProfile::Default, absent, "failed for another reason");
}

#[test]
fn a_user_namespace_is_refused_even_where_a_profile_allows_it() {
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#.to_string();
    let enforced = judged(&SyscallProfile::File { path: "own.json".into(), profile }, |_| {}).unwrap();
    let proof = enforced.get(Control::Privileges).and_then(|standing| standing.proof.clone()).unwrap();
    assert!(proof.contains("ENOSPC"), "{proof}");
}
