//! What runs leave in an engine when nobody could clean up: named, found by label, removed.

use crate::client::Session;
use crate::seccomp::InFile;
use crate::shape::{DEADLINE, Names, RUN, USER};
use crate::{os, words};
use aido_runtime::Error;
use bollard::errors::Error as Failure;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const KIND: &str = "docker ";
const LEFT: &str = "what a run left could not be removed";
/// A container that is ending is let go within this.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// The name of a run's things at an engine, as the record has it.
pub(crate) fn named(endpoint: &str, run: &str) -> String {
    format!("{KIND}{endpoint} {run}")
}

/// Engine and run of such a name.
pub(crate) fn parts(leftover: &str) -> Option<(&str, &str)> {
    let (endpoint, run) = leftover.strip_prefix(KIND)?.rsplit_once(' ')?;
    let plain =
        run.starts_with("aido-") && run.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    plain.then_some((endpoint, run))
}

fn labelled(name: &str, value: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_string(), vec![format!("{name}={value}")])])
}

/// Removes containers and volumes of a run, until none is listed any more. What is in the middle of something, such as its
/// end, is asked again.
pub(crate) async fn remove(session: &Session, run: &str) -> Result<(), Error> {
    InFile::forget(run);
    let until = Instant::now() + PATIENCE;
    loop {
        let said = match removed(session, run).await {
            Ok(0) => return Ok(()),
            Ok(_) => None,
            Err(e) if words::may_pass(&e) => Some(e),
            Err(e) => return Err(session.failed(LEFT)(e)),
        };
        if Instant::now() > until {
            let stays = || Error::new(format!("what run {run} left at {} does not go", session.at));
            return Err(said.map_or_else(stays, session.failed(LEFT)));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Containers with a label. None where the engine has a word for the state of one that its API does not know: Podman says
/// `stopped` of a container that has ended without anybody to clean up.
async fn containers(
    session: &Session,
    filter: &HashMap<String, Vec<String>>,
) -> Result<Option<Vec<ContainerSummary>>, Failure> {
    let options = ListContainersOptionsBuilder::new().all(true).filters(filter).build();
    match session.api.list_containers(Some(options)).await {
        Err(Failure::JsonDataError { .. } | Failure::JsonSerdeError { .. }) => Ok(None),
        listed => listed.map(Some),
    }
}

/// One round: how much was there.
async fn removed(session: &Session, run: &str) -> Result<usize, Failure> {
    let filter = labelled(RUN, run);
    let containers: Vec<String> = match containers(session, &filter).await? {
        Some(listed) => listed.into_iter().filter_map(|container| container.id).collect(),
        // A run has these at most, whatever is said of them.
        None => [Names::task_of(run), Names::door_of(run), Names::loader_of(run), Names::trust_of(run)].into(),
    };
    let options = ListVolumesOptionsBuilder::new().filters(&filter).build();
    let volumes = session.api.list_volumes(Some(options)).await?.volumes.unwrap_or_default();
    // One that does not go must not keep the others.
    let mut first = None;
    let mut take = |done: Result<(), Failure>| match done {
        Err(e) if !words::is_missing(&e) => drop(first.get_or_insert(e)),
        _ => {}
    };
    for id in &containers {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        take(session.api.remove_container(id, Some(options)).await);
    }
    for volume in &volumes {
        let options = RemoveVolumeOptionsBuilder::new().force(true).build();
        take(session.api.remove_volume(&volume.name, Some(options)).await);
    }
    first.map_or(Ok(containers.len() + volumes.len()), Err)
}

/// What this user's runs have left, and whose time is over.
pub(crate) async fn overdue(session: &Session) -> Result<Vec<String>, Error> {
    let failed = session.failed("the engine's containers could not be listed");
    let filter = labelled(USER, &os::user());
    let containers = containers(session, &filter).await.map_err(&failed)?;
    let options = ListVolumesOptionsBuilder::new().filters(&filter).build();
    let volumes = session.api.list_volumes(Some(options)).await.map_err(&failed)?.volumes;
    // Each run has volumes, too: they are there as long as its containers are.
    let labels = containers.into_iter().flatten().filter_map(|container| container.labels);
    let labels = labels.chain(volumes.into_iter().flatten().map(|volume| volume.labels));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let over = labels.filter(|labels| is_over(labels, now)).filter_map(|labels| labels.get(RUN).cloned());
    let over: BTreeSet<String> = over.collect();
    Ok(over.iter().map(|run| named(&session.at, run)).filter(|name| parts(name).is_some()).collect())
}

fn is_over(labels: &HashMap<String, String>, now: u64) -> bool {
    labels.get(DEADLINE).and_then(|told| told.parse::<u64>().ok()).is_some_and(|deadline| deadline < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_engine() {
        let name = named("unix:///run/my engine.sock", "aido-abc-1");
        assert_eq!(parts(&name), Some(("unix:///run/my engine.sock", "aido-abc-1")));
        for bad in ["docker unix:///x other", "docker unix:///x aido-a/b", "cgroup /x", "docker "] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    /// Podman says `stopped` of a container that has ended without anybody to clean up after it.
    #[cfg(unix)]
    #[test]
    fn a_state_that_the_api_does_not_know_hides_nothing_and_keeps_nothing() {
        use crate::fake::Fake;
        let labels = format!(r#"{{"aido.run":"aido-r1","aido.deadline":"1","aido.user":"{}"}}"#, os::user());
        let container = format!(r#"[{{"Id":"0123","State":"stopped","Labels":{labels}}}]"#);
        let volume = format!(
            r#"{{"Name":"aido-r1-out","Driver":"local","Mountpoint":"/x","Labels":{labels},"Scope":"local","Options":{{}}}}"#
        );
        let mut gone = false;
        let fake = Fake::engine("1.41", move |request| {
            let listed = |all: &str, none: &str| if gone { none.to_string() } else { all.to_string() };
            if request.starts_with("DELETE") && request.contains("/containers/aido-r1?") {
                gone = true;
                return (204, String::new());
            }
            match request {
                _ if request.contains("/containers/json") => (200, listed(&container, "[]")),
                _ if request.contains("/volumes?") => (200, format!(r#"{{"Volumes":[{}]}}"#, listed(&volume, ""))),
                _ => (404, r#"{"message":"no such thing"}"#.into()),
            }
        });
        let engine = crate::Docker::new(fake.endpoint(), "test");
        let left = engine.leftovers().unwrap();
        assert_eq!(left, [named(&fake.endpoint().to_string(), "aido-r1")]);
        aido_runtime::Runtime::destroy(&engine, &left[0]).unwrap();
        assert!(fake.was_asked("DELETE", "/containers/aido-r1-load?"), "the other one was forgotten");
        assert!(engine.leftovers().unwrap().is_empty());
    }

    #[test]
    fn a_run_whose_time_is_not_over_is_left_alone() {
        let labels = |text: &str| HashMap::from([(DEADLINE.to_string(), text.to_string())]);
        assert!(is_over(&labels("9"), 10));
        assert!(!is_over(&labels("10"), 10) && !is_over(&labels("soon"), 10) && !is_over(&HashMap::new(), 10));
    }
}
