//! What this host can hold. `aido doctor` shows it.

use crate::cgroup;
use crate::ids::IdMap;
use aido_runtime::{Control, Identity, Probe};

/// Looks at the host. Makes nothing that lasts.
pub(crate) fn probe() -> Probe {
    let mut controls = aido_runtime::Enforced::default();
    for held in cgroup::probe() {
        controls.set(held.control, held.standing);
    }
    let identity = Identity {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        groups: Vec::new(),
    };
    if let Ok(ids) = IdMap::choose(&identity, true) {
        controls.set(Control::Identity, aido_runtime::Standing::in_force(ids.words()));
    }
    Probe { facts: facts(), controls }
}

fn facts() -> Vec<(String, String)> {
    let kernel = rustix::system::uname();
    vec![
        ("kernel".into(), kernel.release().to_string_lossy().into_owned()),
        ("machine".into(), kernel.machine().to_string_lossy().into_owned()),
        ("user".into(), rustix::process::geteuid().as_raw().to_string()),
    ]
}
