//! Tasks that change the project itself: no engine here could keep from them what a person's tools obey, so there are none.

use crate::mutation::{After, open};
use aido_evidence::Sandbox;
use aido_runtime::{Error, Plan};
use serde_json::Value;

/// The project before such a run.
pub(crate) enum Before {}

impl Before {
    pub(crate) fn take(plan: &Plan, _sandbox: &Sandbox, _run: &str) -> Result<Option<Before>, Error> {
        match open(plan) {
            None => Ok(None),
            Some(_) => Err(Error::new("only the engine for Linux lets a task change the project itself")),
        }
    }

    pub(crate) fn of(_sandbox: &Sandbox, _run: &str) -> Option<Before> {
        None
    }

    pub(crate) fn event(&self) -> Value {
        match *self {}
    }

    pub(crate) fn after(self, _sandbox: &Sandbox, _most: u64, _beat: &mut dyn FnMut()) -> After {
        match self {}
    }
}
