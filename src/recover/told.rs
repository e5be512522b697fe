//! What the record of an interrupted run tells of it, as far as its writer came.

use crate::inputs::InputDigest;
use crate::redact::Redacted;
use aido_evidence::{Record, Run};
use aido_runtime::{Collected, Enforced, Event, Executed, Outcome, Refusal};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// So many programs are told apart, as in the summary of a run that was not interrupted.
const MOST_PROGRAMS: usize = 256;

#[derive(Default)]
pub(super) struct Told {
    pub(super) controls: Option<Enforced>,
    pub(super) inputs: Vec<InputDigest>,
    pub(super) hidden: Vec<String>,
    /// The first of each kind: how often each was refused, only the writer knew.
    pub(super) refused: Vec<Refusal>,
    pub(super) executed: Vec<Executed>,
    pub(super) collected: Collected,
    /// What was replaced in the output: each kind once for each stream, by its first time.
    pub(super) redacted: Vec<Redacted>,
    pub(super) deadline_reached: bool,
    /// How the run ended, where that was recorded before the writer died.
    pub(super) outcome: Option<Outcome>,
    /// `sha256:…` of the plan that was stored.
    pub(super) plan_digest: Option<String>,
}

impl Told {
    /// Reads the events up to the first that cannot be believed.
    pub(super) fn by(run: &Run) -> Told {
        let mut told = Told::default();
        run.events().into_iter().flatten().flatten().for_each(|record| told.take(record));
        told
    }

    fn take(&mut self, record: Record) {
        #[derive(Deserialize)]
        struct Inputs {
            inputs: Vec<InputDigest>,
            hidden: Vec<String>,
        }
        #[derive(Deserialize)]
        struct Ended {
            outcome: Outcome,
        }
        match record.kind.as_str() {
            "inputs" => {
                if let Some(Inputs { inputs, hidden }) = data(record) {
                    (self.inputs, self.hidden) = (inputs, hidden);
                }
            }
            "input" => {
                if let Some(input) = data::<InputDigest>(record) {
                    input.take_its_place(&mut self.inputs);
                }
            }
            "outcome" => self.outcome = data(record).map(|Ended { outcome }| outcome),
            "redacted" => self.redacted(data(record)),
            "plan" => self.plan_digest = record.data.get("digest").and_then(|d| d.as_str()).map(str::to_owned),
            _ => self.engine(record),
        }
    }

    fn engine(&mut self, record: Record) {
        match event(record) {
            Some(Event::Enforced { controls }) => self.controls = Some(controls),
            Some(Event::Refused(refusal)) => self.refused.push(refusal),
            Some(Event::Executed(execution)) => self.executed(execution.program),
            Some(Event::Collected(collected)) => self.collected = collected,
            Some(Event::DeadlineReached { .. }) => self.deadline_reached = true,
            _ => {}
        }
    }

    fn redacted(&mut self, found: Option<Redacted>) {
        let Some(found) = found else { return };
        match self.redacted.iter_mut().find(|other| other.what == found.what) {
            Some(other) => other.count += found.count,
            None => self.redacted.push(found),
        }
    }

    fn executed(&mut self, program: String) {
        let known = self.executed.iter().any(|other| other.program == program);
        let program = if known || self.executed.len() < MOST_PROGRAMS { program } else { "others".to_owned() };
        match self.executed.iter_mut().find(|other| other.program == program) {
            Some(other) => other.count += 1,
            None => self.executed.push(Executed { program, count: 1 }),
        }
    }
}

fn data<T: DeserializeOwned>(record: Record) -> Option<T> {
    serde_json::from_value(record.data).ok()
}

/// An event of the engine's, if it is one.
fn event(record: Record) -> Option<Event> {
    let mut data = record.data;
    data.as_object_mut()?.insert("type".into(), record.kind.into());
    serde_json::from_value(data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::past::example;
    use aido_runtime::{End, Execution, Usage};
    use serde_json::json;

    #[test]
    fn what_was_recorded_before_the_writer_died_is_known() {
        let (_dir, project) = example::project();
        let mut recording = example::begun(&project);
        let mut note = |kind: &str, data| recording.event(kind, data).unwrap();
        note("plan", json!({"digest": "sha256:aa"}));
        let input = json!({"path": "a", "kind": "file", "digest": "sha256:b", "entries": 1});
        note("inputs", json!({"inputs": [input], "hidden": [".env"]}));
        let refused = json!({"call": "mount", "number": 165, "answer": "EPERM", "process": "p", "pid": 1, "count": 1});
        note("refused", refused);
        for n in 0..300 {
            let program = format!("/bin/{}", n.min(298));
            let executed = Execution { pid: n, parent: None, program, args: Vec::new(), cut: false };
            note("executed", serde_json::to_value(executed).unwrap());
        }
        note("nobody_knows", json!({"x": 1}));
        for (stream, count) in [("stdout", 2), ("stderr", 3)] {
            note("redacted", json!({"stream": stream, "what": "secret A", "count": count}));
        }
        let artifact = json!({"path": "x", "size": 2, "digest": "sha256:c"});
        note("collected", json!({"artifacts": [artifact], "omitted": []}));
        let before = project.run(recording.id().as_str()).unwrap();
        assert!(Told::by(&before).outcome.is_none());
        let outcome = Outcome {
            end: End::Exited { code: 3 },
            usage: Usage::default(),
            refused: Vec::new(),
            executed: Vec::new(),
        };
        recording.event("outcome", json!({"outcome": outcome, "exit_code": 3})).unwrap();
        let told = Told::by(&before);
        assert_eq!(told.plan_digest.as_deref(), Some("sha256:aa"));
        assert_eq!((told.inputs.len(), told.hidden.as_slice()), (1, [".env".to_owned()].as_slice()));
        assert_eq!(told.refused[0].call, "mount");
        assert_eq!((told.executed.len(), told.executed[0].count), (MOST_PROGRAMS + 1, 1));
        assert_eq!((told.executed[MOST_PROGRAMS].program.as_str(), told.executed[MOST_PROGRAMS].count), ("others", 44));
        assert_eq!((told.redacted.len(), told.redacted[0].count), (1, 5));
        assert_eq!(told.collected.artifacts.len(), 1);
        assert_eq!(told.outcome, Some(outcome));
    }
}
