//! Plans that an engine must not run, each with words for a person.

use super::cases;
use crate::differences::Name;
use crate::engines::Engine;
use aido_runtime::{Isolation, MountKind, Root};

cases!("refusals":
    the_hosts_tools_are_not_the_engines,
    an_image_that_is_not_there,
    landlock_is_for_hosts_without_namespaces,
    an_input_that_is_not_there,
    mounts_that_climb,
    outputs_that_climb,
    a_failed_run_leaves_no_outputs,
);

fn the_hosts_tools_are_not_the_engines(on: &Engine) {
    for (program, image) in [("python3", "python"), ("node", "node"), ("sh", "debian")] {
        let asked = on.command(&[program, "--version"]).plan(|plan| plan.root = Root::Host);
        if on.differs(Name::OnlyOneRoot) {
            let error = asked.refused();
            let remedy = error.remedy.unwrap_or_default();
            assert!(remedy.contains(image), "{program}: {} / {remedy}", error.what);
        }
    }
    if !on.differs(Name::OnlyOneRoot) && crate::engines::is_root() {
        on.command(&["sh", "-c", "echo host"])
            .plan(|plan| {
                plan.root = Root::Host;
                plan.task.env.insert("PATH".into(), aido_runtime::EnvValue::Literal("/usr/bin:/bin".into()));
            })
            .run()
            .says("host\n");
    }
}

fn an_image_that_is_not_there(on: &Engine) {
    let nowhere = Root::Image {
        reference: "localhost:1/no-such-image:none".into(),
        digest: format!("sha256:{}", "1".repeat(64)),
        layers: vec![format!("sha256:{}", "2".repeat(64))],
    };
    let error = on.sh("true").plan(|plan| plan.root = nowhere).refused();
    assert!(error.what.contains("no-such-image"), "{}", error.what);
    assert!(error.remedy.is_some(), "{}", error.what);
}

fn landlock_is_for_hosts_without_namespaces(on: &Engine) {
    let asked = on.sh("true").plan(|plan| plan.isolation = Isolation::Landlock);
    // On an image no engine can.
    let error = asked.refused();
    assert!(error.remedy.is_some(), "{}", error.what);
    if on.differs(Name::NoLandlock) {
        let asked = on.sh("true").plan(|plan| {
            plan.isolation = Isolation::Landlock;
            plan.root = Root::Host;
        });
        asked.refused();
    }
}

fn an_input_that_is_not_there(on: &Engine) {
    let mut asked = on.sh("true");
    let source = asked.project().join("none");
    asked.mount("/data", MountKind::Input { source, hidden: Vec::new(), secret: false });
    let error = asked.refused();
    assert!(error.what.contains("none"), "{}", error.what);
}

fn mounts_that_climb(on: &Engine) {
    for target in ["/", "/a/../b", "relative", "/a//b", "", "/workspace/../etc"] {
        let mut asked = on.sh("true");
        let source = asked.project();
        asked.mount(target, MountKind::Input { source, hidden: Vec::new(), secret: false });
        asked.refused();
    }
}

fn outputs_that_climb(on: &Engine) {
    for path in ["..", "../x", "a/../../x", "/etc", "a//b", "."] {
        let mut asked = on.sh("true");
        asked.mount("/workspace/out", MountKind::OutputFolder { path: path.into() });
        asked.refused();
    }
}

fn a_failed_run_leaves_no_outputs(on: &Engine) {
    let asked = on.command(&["no-such-program"]);
    let ran = asked.run();
    assert!(ran.collected().artifacts.is_empty(), "{}", ran.account());
}
