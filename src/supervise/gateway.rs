//! The gateway of a run, as its supervisor has it: started before the sandbox is built, heard while the task runs, and ended
//! when it is over. What it tells goes on record as it comes.

use super::record::Recorder;
use crate::gate::{self, Told};
use crate::reached::Tally;
use aido_runtime::{Doors, Error, Gate, Network, Plan};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// So much is heard before the engine has its turn again.
const AT_ONCE: usize = 256;
/// The last words of an ending gateway take no longer.
const ENDING: Duration = Duration::from_secs(10);

impl Recorder {
    /// Starts the gateway of a plan that has one; what the engine has to know of it comes back.
    pub(super) fn start_gateway(
        &mut self,
        plan: &Plan,
        secrets: &BTreeMap<String, String>,
    ) -> Result<Option<Gate>, Error> {
        let Network::Gateway(egress) = &plan.network else { return Ok(None) };
        let standing = gate::start(egress, secrets)?;
        let known = standing.gate().clone();
        let opens = egress.opens_tls().then(|| known.authority.clone());
        self.gateway = Some(standing);
        self.reached = Some(Tally::default());
        self.note("network_gateway", json!({"ports": known.ports, "learn": egress.learn, "authority": opens}))?;
        Ok(Some(known))
    }

    /// The sandbox stands, and its doors are the gateway's from here on.
    pub(super) fn open_doors(&mut self, doors: Doors) -> Result<(), Error> {
        let Some(gateway) = &mut self.gateway else {
            return Err(Error::new("there is no gateway for the sandbox's network"));
        };
        gateway.open(doors)?;
        self.ears.hear_of(gateway).map_err(|e| Error::new(format!("cannot listen to the gateway: {e}")))
    }

    /// Takes what the gateway has told by now; never blocks.
    pub(super) fn hear_gateway(&mut self) {
        for _ in 0..AT_ONCE {
            match self.gateway.as_mut().map(gate::Standing::told) {
                Some(Told::Event(kind, data)) => self.keep_told(&kind, data),
                Some(Told::Gone) => return self.lose_gateway("it ended before the task did"),
                Some(Told::Nothing) | None => return,
            }
        }
    }

    /// The task is over: what is still open is cut, and how it ended goes on record.
    pub(super) fn end_gateway(&mut self) {
        let until = Instant::now() + ENDING;
        if let Some(gateway) = &mut self.gateway {
            gateway.finish();
        }
        while Instant::now() < until {
            match self.gateway.as_mut().map(gate::Standing::told) {
                Some(Told::Event(kind, data)) => self.keep_told(&kind, data),
                Some(Told::Gone | Told::Nothing) | None => break,
            }
        }
        self.forget_gateway();
    }

    /// What cannot be kept on record must not go on.
    fn keep_told(&mut self, kind: &str, data: Value) {
        if let Some(reached) = &mut self.reached {
            reached.add(kind, &data);
        }
        if let Err(error) = self.note(kind, data) {
            self.lose_gateway(&format!("the record lacks an event `{kind}`: {error}"));
        }
    }

    fn lose_gateway(&mut self, why: &str) {
        self.forget_gateway();
        let warning = format!("the gateway is gone, and the task had no network any more: {why}");
        self.warnings.push(warning);
        if let Err(error) = self.note("network_lost", json!({"why": why})) {
            self.warnings.push(format!("the record lacks an event `network_lost`: {error}"));
        }
    }

    fn forget_gateway(&mut self) {
        if let Some(mut gateway) = self.gateway.take() {
            self.ears.hear_no_more_of(&gateway);
            gateway.kill();
        }
    }
}
