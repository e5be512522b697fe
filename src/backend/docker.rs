//! What only a Docker-compatible engine needs of the rest: who it is, what it cannot hear, what it leaves.

use super::{Backend, engine};
use crate::plan::RootFacts;
use aido_runtime::{Error, Isolation, Plan, Probe, Root, Runtime};
use aido_runtime_docker::{Docker, Endpoint, Found};

/// The engine that the caller uses.
pub(crate) fn of_the_caller(name: &str) -> Result<Docker, Error> {
    Ok(Docker::new(Endpoint::of_the_caller()?, name))
}

/// Whether something that a run holds goes on when every process of this machine that belongs to the run has died.
pub(crate) fn outlives_processes(leftover: &str) -> bool {
    Docker::is_ours(leftover)
}

/// The engine that holds it, wherever the caller's own is now.
pub(super) fn holder(leftover: &str) -> Result<Option<Docker>, Error> {
    if !Docker::is_ours(leftover) {
        return Ok(None);
    }
    let address = address(leftover)
        .ok_or_else(|| Error::new(format!("`{}` does not say which engine holds it", leftover.escape_debug())))?;
    at(address).map(Some)
}

/// The engine of this address. The caller's own comes with its certificates, which no address has.
fn at(address: &str) -> Result<Docker, Error> {
    let own = Endpoint::of_the_caller().ok().filter(|own| own.to_string() == address);
    Ok(Docker::new(own.map_or_else(|| Endpoint::parse(address), Ok)?, "sweep"))
}

/// `docker ADDRESS NAME`; the name has no space in it.
fn address(leftover: &str) -> Option<&str> {
    let (_, rest) = leftover.split_once(' ')?;
    rest.rsplit_once(' ').map(|(address, _)| address)
}

/// Ends what else the engines that held these have left of runs of this user whose time is over. Sentences come back.
pub(crate) fn sweep(reached: &[String]) -> Vec<String> {
    let mut asked: Vec<&str> = reached.iter().filter_map(|leftover| address(leftover)).collect();
    asked.sort_unstable();
    asked.dedup();
    let mut said = Vec::new();
    for address in asked {
        let Ok(engine) = at(address) else { continue };
        for left in engine.leftovers().unwrap_or_default() {
            said.extend(engine.destroy(&left).err().map(|error| error.to_string()));
        }
    }
    said
}

/// What a plan has to know of an image that an engine has.
pub(crate) fn facts(found: Found) -> RootFacts {
    RootFacts {
        root: Root::Image { reference: found.reference, digest: found.digest, layers: found.layers },
        env: found.env,
        workdir: found.workdir,
        uid: found.uid,
        gid: found.gid,
        groups: found.groups,
        entrypoint: found.entrypoint,
        cmd: found.cmd,
    }
}

/// What the caller's engine can hold, where there is one.
pub(crate) fn probe() -> Option<Probe> {
    Some(of_the_caller("doctor").ok()?.probe())
}

/// What is not on record of a run there, in one sentence.
pub(crate) fn unheard(backend: Backend) -> Option<String> {
    (backend == Backend::Docker).then(|| {
        "on Docker nobody hears which programs a task executes and what it is refused: the record has neither"
            .to_owned()
    })
}

/// What no engine has, whatever it can hold, is refused before anything is made, in the engine's own words.
pub(crate) fn refuse(backend: Backend, plan: &Plan) -> Result<(), Error> {
    let never = !matches!(plan.root, Root::Image { .. }) || plan.isolation != Isolation::Full;
    if backend == Backend::Docker && never {
        engine(backend, "probe")?.up(plan)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leftover_says_which_engine_holds_it() {
        assert_eq!(address("docker unix:///run/docker.sock aido-r1"), Some("unix:///run/docker.sock"));
        assert_eq!(address("docker unix:///my home/d.sock aido-r1"), Some("unix:///my home/d.sock"));
        assert!(holder("/sys/fs/cgroup/aido-r1").unwrap().is_none());
        assert!(holder("docker nowhere aido-r1").is_err(), "an address without a scheme");
    }
}
