//! From the plan's task to what `execve` wants.

use crate::ids::IdMap;
use crate::layer;
use crate::open;
use crate::script::{Exec, Strings};
use crate::seccomp::Filters;
use crate::source::c_string;
use aido_runtime::{Error, Plan};
use std::collections::BTreeMap;

/// The weaker bounds, for hosts that give no cgroup.
#[derive(Default)]
pub(crate) struct Weaker {
    pub(crate) address_space: Option<u64>,
    pub(crate) processes: Option<u64>,
    pub(crate) processors: Option<usize>,
}

pub(crate) fn compile(
    plan: &Plan,
    secrets: &BTreeMap<String, String>,
    ids: &IdMap,
    weaker: &Weaker,
    filters: &Filters,
) -> Result<Exec, Error> {
    let task = &plan.task;
    let env = plan.task.environment(secrets)?;
    let candidates = task.candidates(&env)?.into_iter();
    let candidates = candidates.map(|(number, file)| Ok((c_string(file)?, number))).collect::<Result<_, Error>>()?;
    let mut argv = Vec::new();
    for program in &task.programs {
        let words = std::iter::once(program).chain(&task.args).map(c_string).collect::<Result<Vec<_>, _>>()?;
        argv.push(Strings::new(words));
    }
    let variables = env.iter().map(|(name, value)| c_string(format!("{name}={value}"))).collect::<Result<_, _>>()?;
    let mut rlimits = vec![(libc::RLIMIT_CORE, 0)];
    let disk = plan.limits.disk.value;
    // A layer is measured and has no quota: one file alone cannot run ahead of that by more than shows in the measure.
    rlimits.extend(layer::wanted(plan).then_some((libc::RLIMIT_FSIZE, disk.saturating_add(layer::BEYOND))));
    // In an open folder that is all there is.
    rlimits.extend(open::wanted(plan).then_some((libc::RLIMIT_FSIZE, disk)));
    rlimits.extend(weaker.address_space.map(|bytes| (libc::RLIMIT_AS, bytes)));
    rlimits.extend(weaker.processes.map(|count| (libc::RLIMIT_NPROC, count)));
    Ok(Exec {
        candidates,
        argv,
        envp: Strings::new(variables),
        workdir: c_string(&task.workdir)?,
        uid: plan.identity.uid,
        gid: plan.identity.gid,
        groups: ids.many().then(|| plan.identity.groups.clone()),
        bounding: true,
        rlimits,
        processors: weaker.processors,
        filter: filters.heard.unwrap_or(filters.plain).instructions(),
        heard: filters.heard.is_some(),
        stdin_empty: !task.is_typed_to(),
        terminal: task.tty,
    })
}
