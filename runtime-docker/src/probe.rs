//! What an engine can hold, as it says itself. `aido doctor` shows it.

use crate::about::{About, Product};
use crate::client::{Session, converse};
use crate::places::Places;
use crate::seccomp::Profile;
use crate::{Endpoint, os, stand, warden};
use aido_runtime::{
    Advice, Control, Deadline, Enforced, Error, Identity, Isolation, Limit, Limits, Network, PLAN_VERSION, Plan, Probe,
    Record, Root, Standing, SyscallProfile, Task,
};
use std::collections::{BTreeMap, BTreeSet};

/// Asks the engine; makes nothing.
pub(crate) fn probe(endpoint: &Endpoint) -> Probe {
    let mut facts = vec![
        ("engine".to_string(), endpoint.to_string()),
        ("engine found by".to_string(), endpoint.found_by().to_string()),
    ];
    match converse(endpoint, async |session: Session| Ok(session.about)) {
        Ok(about) => {
            facts.extend(told(&about).map(|(name, value)| (name.to_string(), value)));
            Probe { facts, controls: controls(&about), advice: advice(&about) }
        }
        Err(error) => Probe { facts, controls: nothing(&error), advice: Vec::new() },
    }
}

fn told(about: &About) -> [(&'static str, String); 9] {
    let or_unknown = |text: &str| if text.is_empty() { "not said".to_string() } else { text.to_string() };
    [
        ("product", format!("{} {}", about.product, about.version)),
        ("API", about.api.clone()),
        ("engine's system", format!("{} on {}, {}", or_unknown(&about.system), about.arch, about.os)),
        ("engine's kernel", or_unknown(&about.kernel)),
        ("rootless", if about.rootless { "yes" } else { "no" }.into()),
        ("engine's cgroup", format!("v{}, {}", or_unknown(&about.cgroup_version), or_unknown(&about.cgroup_driver))),
        ("security options", or_unknown(&about.security.join(" "))),
        (
            "bounds",
            [("memory", about.memory), ("swap", about.swap), ("cpus", about.cpus), ("pids", about.pids)]
                .map(|(name, can)| format!("{name}: {}", if can { "yes" } else { "no" }))
                .join(", "),
        ),
        ("first process", if warden::program(&about.arch).is_ok() { "built in" } else { "missing" }.into()),
    ]
}

fn controls(about: &About) -> Enforced {
    let plan = plan();
    if let Err(error) = warden::program(&about.arch) {
        return nothing(&error);
    }
    let (Ok(places), Ok(profile)) = (Places::of(&plan.mounts, &|_| true), Profile::of(&plan.syscalls)) else {
        return Enforced::default();
    };
    let mut enforced = stand::by_engine(&plan, &places, &profile, about);
    for (control, _, standing) in stand::bounds(&plan, about) {
        enforced.set(control, standing);
    }
    enforced
}

/// Where no engine answers, none of its controls can be had.
fn nothing(error: &Error) -> Enforced {
    let mut enforced = Enforced::default();
    for control in Control::ALL {
        enforced.set(control, Standing::absent(error.what.clone(), error.remedy.clone()));
    }
    enforced
}

fn advice(about: &About) -> Vec<Advice> {
    let mut advice = Vec::new();
    let mut say = |topic: &str, why: &str, remedy: Option<&str>| {
        advice.push(Advice { about: topic.into(), why: why.into(), remedy: remedy.map(str::to_string) });
    };
    say(
        "record",
        "what a task is refused, and which programs it executes, is not heard on a container engine",
        Some("--backend linux, where there is one"),
    );
    if about.product == Product::Docker && !about.rootless && std::env::consts::OS == "linux" {
        let why = "whoever may talk to this engine is as good as root on its host";
        say("this engine", why, Some("a rootless engine: dockerd-rootless-setuptool.sh install"));
    }
    for warning in &about.warnings {
        say("the engine's own warning", warning, None);
    }
    advice
}

/// A plan like any other, to ask what would hold.
fn plan() -> Plan {
    Plan {
        version: PLAN_VERSION,
        name: "probe".into(),
        root: Root::Image { reference: "probe".into(), digest: String::new(), layers: Vec::new() },
        mounts: Vec::new(),
        task: Task {
            programs: vec!["true".into()],
            args: Vec::new(),
            workdir: "/".into(),
            env: BTreeMap::new(),
            stdin: false,
            tty: false,
        },
        identity: Identity { uid: os::uid().unwrap_or(1000), gid: 0, groups: Vec::new() },
        limits: Limits {
            memory: Limit::default(1 << 30),
            cpus: Limit::default(1000),
            pids: Limit::default(16),
            disk: Limit::default(1 << 20),
            output: Limit::default(1 << 20),
        },
        network: Network::None,
        syscalls: SyscallProfile::Default,
        isolation: Isolation::Full,
        deadline: Deadline { ttl_ms: 10_000, grace_ms: 0 },
        record: Record::default(),
        exact_output: false,
        accept_weaker: BTreeSet::new(),
    }
}
