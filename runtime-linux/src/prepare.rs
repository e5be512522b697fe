//! From a plan to the whole script of its sandbox.

use crate::alone::View;
use crate::doors::Wanted;
use crate::layout::{self, Ground, Text};
use crate::script::{Exec, Script};
use crate::seccomp::{Filters, Program};
use crate::source::c_string;
use crate::{host, stand, sys, trust, wall};
use aido_runtime::{Error, Gate, Layer, Network, Plan};

/// Past deadline and grace the guard ends the sandbox by itself, should nobody else.
const BACKSTOP_MS: u64 = 2_000;

/// The root that is made of this host's toolchains.
pub(crate) fn host_ground() -> Ground {
    Ground::Host { root: "/".into() }
}

/// What a sandbox is given beside its plan, for its own time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Given<'a> {
    pub(crate) layer: Option<&'a Layer>,
    /// The gateway of a plan that has one.
    pub(crate) gate: Option<&'a Gate>,
}

/// The whole script of a plan.
pub(crate) fn script(
    plan: &Plan,
    ground: &Ground,
    given: Given<'_>,
    exec: Exec,
    filters: &Filters,
) -> Result<Script, Error> {
    let disk = plan.limits.disk.value;
    let options =
        [("size", disk.to_string()), ("nr_inodes", stand::inodes(disk).to_string()), ("mode", "0755".to_string())];
    let options =
        options.into_iter().map(|(key, value)| Ok((c_string(key)?, c_string(value)?))).collect::<Result<_, Error>>();
    Ok(Script {
        ops: layout::compile(ground, &plan.mounts, &texts(plan, ground, given.gate), given.layer)?,
        base: options?,
        host_name: c_string(&plan.name)?,
        doors: given.gate.map(Wanted::of),
        exec,
        guard_filter: filters.guard.instructions(),
        unreadable: c"/proc/1/environ".into(),
        unwritable: c"/.aido-canary".into(),
        wall: wall::compile(&plan.mounts, &host::devices().collect::<Vec<_>>())?,
        backstop_ms: backstop_ms(plan),
        strings: sys::Strings::of_this_process(),
    })
}

/// The script of a plan without namespaces: nothing is built, and the wall is all there is.
pub(crate) fn script_alone(plan: &Plan, view: &View, exec: Exec, version: u32) -> Result<Script, Error> {
    let path = |path: std::path::PathBuf| c_string(path.to_string_lossy().into_owned());
    Ok(Script {
        ops: Vec::new(),
        base: Vec::new(),
        host_name: c_string(&plan.name)?,
        doors: None,
        exec,
        // It looks after processes by `/proc`.
        guard_filter: Program::of_default().instructions(),
        unreadable: path(view.unreadable())?,
        unwritable: path(view.unwritable())?,
        wall: Some(view.wall(version)?),
        backstop_ms: backstop_ms(plan),
        strings: sys::Strings::of_this_process(),
    })
}

fn backstop_ms(plan: &Plan) -> i32 {
    let ends_ms = plan.deadline.ttl_ms.saturating_add(plan.deadline.grace_ms).saturating_add(BACKSTOP_MS);
    i32::try_from(ends_ms).unwrap_or(i32::MAX)
}

/// The gateway answers for names.
const NAMES: &str = "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n";
const NO_NAMES: &str = "# no network in this sandbox\n";

/// The files that every sandbox has, whatever its root.
fn texts(plan: &Plan, ground: &Ground, gate: Option<&Gate>) -> Vec<Text> {
    let text = |path: &str, content: String| Text { path: path.into(), content: content.into_bytes(), over: false };
    let mut texts = vec![
        text("etc/hosts", format!("127.0.0.1 localhost {0}\n::1 localhost {0}\n", plan.name)),
        text("etc/hostname", format!("{}\n", plan.name)),
        text("etc/resolv.conf", if gate.is_some() { NAMES } else { NO_NAMES }.into()),
    ];
    if let Ground::Host { .. } = ground {
        let (uid, gid) = (plan.identity.uid, plan.identity.gid);
        let mut passwd =
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n".to_string();
        let mut group = "root:x:0:\nnogroup:x:65534:\n".to_string();
        if uid != 0 {
            passwd.push_str(&format!("aido:x:{uid}:{gid}:aido:/home/aido:/bin/sh\n"));
        }
        if gid != 0 {
            group.push_str(&format!("aido:x:{gid}:\n"));
        }
        texts.push(text("etc/passwd", passwd));
        texts.push(text("etc/group", group));
        texts.push(text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".into()));
    }
    if let (Some(gate), Network::Gateway(egress)) = (gate, &plan.network)
        && egress.opens_tls()
    {
        // Only those that the task is shown: the folders of the host root are some.
        let shown = |text: &Text| !text.over || layout::is_shown(ground, &text.path);
        texts.extend(trust::texts(ground, &gate.authority).into_iter().filter(shown));
    }
    texts
}
