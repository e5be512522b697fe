//! The runtime's face: the contract, fulfilled with the kernel's own means.

use crate::ahead::Ahead;
use crate::alone::{self, View};
use crate::cgroup::{self, Group};
use crate::exec::{self, Weaker};
use crate::fault;
use crate::hear::{Ear, Scene};
use crate::ids::IdMap;
use crate::layer::{self, Meter};
use crate::layout::Ground;
use crate::open;
use crate::prepare::{Given, host_ground, script, script_alone};
use crate::probe;
use crate::script::{Script, Step};
use crate::seccomp::{self, Filters};
use crate::spawn::{self, Apart, Live};
use crate::stand;
use crate::watch::{self, Seen};
use crate::{collect, failure, handshake, proof, sys, terminal, wall};
use aido_image::{LayerId, Ownership, Store};
use aido_runtime::{
    End, Enforced, Error, Event, Gate, Io, Isolation, Layer, Listener, Network, Outcome, Plan, Probe, Root, Runtime,
    Usage,
};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// The cgroup's own watchdog comes last.
const SCOPE_MARGIN_MS: u64 = 10_000;
/// Beside the outputs: what a task without a mount namespace finds. It goes with the run, or with the sandbox's folder.
pub const SCRATCH: &str = "scratch";

/// Runs plans in namespaces of this host's kernel.
pub struct Linux {
    images: Option<PathBuf>,
    name: String,
    ahead: Cell<Option<Ahead>>,
}

impl Linux {
    /// `images` is the folder of the image store, where there is one; `name` tells this run's cgroup from others.
    pub fn new(images: Option<PathBuf>, name: impl Into<String>) -> Self {
        Linux { images, name: name.into(), ahead: Cell::new(None) }
    }

    /// Lets it use what was made ready for the next plan that is run.
    pub fn after(self, ahead: Option<Ahead>) -> Self {
        self.ahead.set(ahead);
        self
    }

    fn ground(&self, plan: &Plan) -> Result<(Ground, bool), Error> {
        match &plan.root {
            Root::Host => Ok((host_ground(), false)),
            Root::Folder { path } => Ok((Ground::Layers(vec![path.clone()]), false)),
            Root::Image { reference, layers, .. } => {
                let images = self.images.as_ref().ok_or_else(|| Error::new("there is no image store"))?;
                let store = Store::open(images).map_err(|e| Error::new(e.to_string()))?;
                let ownership = crate::image_ownership();
                Ok((Ground::Layers(stack(&store, layers, reference, ownership)?), true))
            }
        }
    }
}

impl Runtime for Linux {
    fn name(&self) -> &'static str {
        "linux"
    }

    fn probe(&self) -> Probe {
        probe::probe()
    }

    fn up(&self, plan: &Plan) -> Result<Enforced, Error> {
        let mut enforced = match plan.isolation {
            Isolation::Full => {
                let (_, image) = self.ground(plan)?;
                stand::by_construction(plan, &IdMap::of(plan, image)?, &Filters::of(&plan.syscalls, plan.record)?)
            }
            Isolation::Landlock => stand_alone(plan)?.0,
        };
        stand::settle(plan, cgroup::probe(), &mut enforced)?;
        Ok(enforced)
    }

    fn run(&self, plan: &Plan, io: Io, listener: &mut dyn Listener) -> Result<Outcome, Error> {
        let gate = gate(plan, &io)?;
        match plan.isolation {
            Isolation::Full => {
                let filters = Filters::of(&plan.syscalls, plan.record)?;
                let (ground, image) = self.ground(plan)?;
                if layer::wanted(plan) && io.layer.is_none() {
                    return Err(Error::new("the plan's layered folder was given no layer"));
                }
                let over = io.layer.clone();
                if let Some(over) = &over {
                    layer::make_ready(over)?;
                    layer::give(over, plan)?;
                }
                let ids = IdMap::of(plan, image)?;
                let enforced = stand::by_construction(plan, &ids, &filters);
                let scripted = |weaker: &Weaker, secrets: &Secrets| {
                    let exec = exec::compile(plan, secrets, &ids, weaker, &filters)?;
                    script(plan, &ground, Given { layer: over.as_ref(), gate: gate.as_ref() }, exec, &filters)
                };
                let outcome =
                    Conduct { name: &self.name, plan, filters: &filters, apart: Apart::Namespaces(&ids, &self.ahead) }
                        .run(enforced, &scripted, io, listener);
                if let Some(over) = &over {
                    layer::leave(over);
                }
                outcome
            }
            Isolation::Landlock => {
                let (enforced, filters, version) = stand_alone(plan)?;
                let view = View::make(plan, &io.outputs.with_file_name(SCRATCH))?;
                let (real, outputs) = (alone::translated(plan, &view), view.outputs());
                let scripted = |weaker: &Weaker, secrets: &Secrets| {
                    let mut exec = exec::compile(&real, secrets, &IdMap::single(&plan.identity), weaker, &filters)?;
                    // The only bound on what is written: each file by itself.
                    exec.bounding = rustix::process::geteuid().is_root();
                    exec.groups = exec.bounding.then(Vec::new);
                    exec.rlimits.push((libc::RLIMIT_FSIZE, plan.limits.disk.value));
                    script_alone(plan, &view, exec, version)
                };
                let outcome = Conduct { name: &self.name, plan, filters: &filters, apart: Apart::Alone(&outputs) }
                    .run(enforced, &scripted, io, listener);
                view.remove();
                outcome
            }
        }
    }

    fn destroy(&self, leftover: &str) -> Result<(), Error> {
        cgroup::destroy(leftover).map_err(|e| Error::new(format!("cannot end what a lost run left: {e}")))
    }
}

/// The gateway of a plan that wants one. Without it nothing is run: never with another network than the plan's.
fn gate(plan: &Plan, io: &Io) -> Result<Option<Gate>, Error> {
    match (&plan.network, &io.gate) {
        (Network::None, _) => Ok(None),
        (Network::Gateway(_), Some(gate)) => Ok(Some(gate.clone())),
        (Network::Gateway(_), None) => Err(Error::new("the plan's network was given no gateway")),
    }
}

/// The controls, filters and Landlock version of a plan that is held without namespaces.
fn stand_alone(plan: &Plan) -> Result<(Enforced, Filters, u32), Error> {
    if layer::wanted(plan) {
        return Err(Error::new("without namespaces the project can have no layer of its own")
            .remedy("filesystem: readonly, or --isolation full where this host allows it"));
    }
    if open::wanted(plan) {
        return Err(Error::new(
            "without namespaces nothing in the project could be kept from a task that may change it",
        )
        .remedy("--isolation full where this host allows it"));
    }
    if plan.root != Root::Host {
        return Err(Error::new("without namespaces there is no other root than the host's")
            .remedy("--runtime host, or --isolation full where this host allows it"));
    }
    if plan.network != Network::None {
        return Err(Error::new("without namespaces there is no network of the sandbox's own, and so no gateway to it")
            .remedy("--no-network, or --isolation full where this host allows it"));
    }
    if plan.task.tty {
        return Err(Error::new("without namespaces a task gets no terminal: the only ones there are the host's own")
            .remedy("leave -t out, or --isolation full where this host allows it"));
    }
    let version = wall::version().map_err(|why| Error::new(format!("--isolation landlock cannot be had: {why}")))?;
    let restrictions: &[&str] = match version {
        version if version >= wall::BOUNDS_SIGNALS => &[seccomp::WALL_ALONE],
        _ => &[seccomp::WALL_ALONE, seccomp::NO_SIGNALS],
    };
    let filters = Filters::under(restrictions, &plan.syscalls, plan.record)?;
    Ok((stand::by_wall_alone(plan, version, &filters), filters, version))
}

type Secrets = BTreeMap<String, String>;

/// One run, whatever keeps it apart.
struct Conduct<'a> {
    name: &'a str,
    plan: &'a Plan,
    filters: &'a Filters,
    apart: Apart<'a>,
}

impl Conduct<'_> {
    /// From the control group to the collected outputs. `scripted` makes the script once it is settled which
    /// bounds are the weaker ones.
    fn run(
        &self,
        mut enforced: Enforced,
        scripted: &dyn Fn(&Weaker, &Secrets) -> Result<Script, Error>,
        mut io: Io,
        listener: &mut dyn Listener,
    ) -> Result<Outcome, Error> {
        let plan = self.plan;
        let lives_ms = plan.deadline.ttl_ms + plan.deadline.grace_ms + SCOPE_MARGIN_MS;
        let name = format!("aido-{}", self.name);
        // Before anything is made: whoever is killed in the middle leaves nothing that is not on record.
        let here = cgroup::Here::look();
        let places = cgroup::places(&here, &name);
        if let Some(leftover) = &places {
            listener.event(Event::Held { leftover: leftover.clone() })?;
        }
        let (group, held) = cgroup::create(here, &name, &stand::want(plan), lives_ms);
        fault::point("supervise.grouped");
        if let Some(leftover) = group.as_ref().map(Group::leftover).filter(|made| places.as_ref() != Some(made)) {
            listener.event(Event::Held { leftover })?;
        }
        let result = stand::settle(plan, held, &mut enforced).and_then(|weaker| {
            let script = scripted(&weaker, &io.secrets)?;
            let (stdin, mut meanwhile) = (io.stdin.take().map(Into::into), || listener.building());
            let mut live = spawn::build(&script, &self.apart, group.as_ref(), stdin, &mut meanwhile)?;
            if live.terminal.is_some() {
                terminal::resize(live.stdout.as_fd(), io.window.unwrap_or(terminal::USUAL));
            }
            fault::point("supervise.built");
            // The task does not start before the gateway serves.
            let served = live.doors.take().map_or(Ok(()), |doors| listener.doors(doors));
            let outcome = served.and_then(|()| {
                self.watch(&script, &live, group.as_ref(), io.layer.as_ref(), (&weaker, &mut enforced), listener)
            });
            // Whatever went wrong above, nothing of the run may live.
            live.end();
            fault::point("supervise.killed");
            let outcome = outcome?;
            // The task is over: whatever fails from here on does not change how it ended. The listener
            // remembers what it could not record.
            let _ = listener.event(Event::Ended);
            let collected = collect::collect(&live, &io, plan, listener);
            let _ = listener.event(Event::Collected(collected));
            Ok(outcome)
        });
        if let Some(group) = group {
            // What cannot be removed now is named in the record as held: the next command tries again.
            let _ = group.remove();
        }
        result
    }

    /// Where the places of the plan lie without mounts.
    fn view(&self) -> Option<String> {
        match self.apart {
            Apart::Namespaces(..) => None,
            // Outputs lie beside it.
            Apart::Alone(outputs) => Some(outputs.with_file_name("view").to_string_lossy().into_owned()),
        }
    }

    /// Has the task confined, puts on record what that showed, and runs it to its end.
    fn watch(
        &self,
        script: &Script,
        live: &Live,
        group: Option<&Group>,
        layer: Option<&Layer>,
        (weaker, enforced): (&Weaker, &mut Enforced),
        listener: &mut dyn Listener,
    ) -> Result<Outcome, Error> {
        let ready = handshake::ready(live, script, self.filters)?;
        proof::judge(&ready, script, self.filters, group, weaker, enforced)?;
        listener.event(Event::Enforced { controls: enforced.clone() })?;
        // By a fork, and so before there is a second thread.
        let meter = Meter::start(self.plan, layer, live)?;
        let scene = |_: &Ear| Scene::new(self.plan, script, &live.root, self.view(), ready.pid);
        let scene = ready.ear.as_ref().map(scene).transpose()?;
        let hearing = ready.ear.zip(scene).map(|(ear, scene)| ear.listen(scene)).transpose()?;
        let seen = watch::watch(live, group, self.plan.deadline, hearing, meter, listener)?;
        judge(self.plan, script, seen, group)
    }
}

/// What an image's layers are mounted as, topmost first: the lowest of very many are merged.
fn stack(store: &Store, layers: &[String], reference: &str, ownership: Ownership) -> Result<Vec<PathBuf>, Error> {
    let id = |layer: &String| {
        layer.parse().map(LayerId).map_err(|_| Error::new(format!("{layer:?} is no digest of a layer")))
    };
    let ids = layers.iter().map(id).collect::<Result<Vec<_>, _>>()?;
    let mut folders = store.stack(&ids, ownership);
    // An empty one below a single layer is not needed here: the skeleton lies above.
    folders.truncate(ids.len());
    match folders.iter().find(|folder| !folder.is_dir()) {
        None => Ok(folders),
        Some(missing) => {
            let name = missing.file_name().unwrap_or_default().to_string_lossy();
            let what = format!("layer {name} of {reference} is not in the store");
            Err(Error::new(what).remedy(format!("aido image pull {reference}")))
        }
    }
}

/// How the run ended, from what was seen of it.
fn judge(plan: &Plan, script: &Script, seen: Seen, group: Option<&Group>) -> Result<Outcome, Error> {
    let mut usage = group.map(Group::usage).unwrap_or_default();
    usage.wall_ms = seen.wall.as_millis() as u64;
    if let Some((step, index, errno)) = seen.guard_failed {
        return Err(failure::words(script, step, index, sys::Errno(errno)));
    }
    if let Some((step, errno)) = seen.not_executed {
        return not_executed(plan, script, step, errno).map(|end| Outcome {
            end,
            usage,
            refused: seen.heard.refused,
            executed: seen.heard.executed,
        });
    }
    let end = end(plan, &seen, &usage);
    Ok(Outcome { end, usage, refused: seen.heard.refused, executed: seen.heard.executed })
}

fn not_executed(plan: &Plan, script: &Script, step: Step, errno: i32) -> Result<End, Error> {
    let program = plan.task.programs.join(" or ");
    match (step, errno) {
        (Step::Execute, libc::ENOENT | libc::ENOTDIR) => Ok(End::NotFound { program }),
        (Step::Execute, _) => {
            Ok(End::NotExecutable { program, why: std::io::Error::from_raw_os_error(errno).to_string() })
        }
        _ => Err(failure::words(script, step, 0, sys::Errno(errno))),
    }
}

fn end(plan: &Plan, seen: &Seen, usage: &Usage) -> End {
    let exited = seen.status.is_some_and(|status| libc::WIFEXITED(status));
    if seen.out_of_memory && !exited {
        return End::OutOfMemory { limit: plan.limits.memory.value, peak: usage.memory_peak };
    }
    if let Some(over) = seen.out_of_disk {
        return End::OutOfDisk { limit: plan.limits.disk.value, bytes: over.bytes, files: over.files };
    }
    if seen.deadline {
        return End::Deadline { ttl_ms: plan.deadline.ttl_ms };
    }
    if let Some(signal) = seen.interrupted {
        return End::Interrupted { signal };
    }
    match seen.status {
        Some(status) if libc::WIFEXITED(status) => End::Exited { code: libc::WEXITSTATUS(status) as u8 },
        Some(status) if libc::WIFSIGNALED(status) => End::Signalled { signal: libc::WTERMSIG(status) },
        _ => End::Lost { why: "the sandbox's first process was killed".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aido_runtime::Egress;

    #[test]
    fn a_network_that_cannot_be_held_is_refused_and_not_left_out() {
        let network = Network::Gateway(Egress { any: true, ..Egress::default() });
        let plan = Plan { network, isolation: Isolation::Landlock, ..probe::plan() };
        let refused = Linux::new(None, "refused").up(&plan).unwrap_err();
        assert!(refused.what.contains("gateway") && refused.remedy.is_some(), "{refused}");
    }
}
