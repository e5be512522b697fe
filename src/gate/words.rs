//! What a supervisor and its gateway tell each other: first one message of JSON after its length, then descriptors with a byte
//! each, and on the way back lines of JSON.

use aido_runtime::{Egress, Gate};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// To the gateway, first of all.
#[derive(Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) egress: Egress,
    /// By the caller's variables that the rules name.
    pub(super) secrets: BTreeMap<String, String>,
}

/// The byte that comes with a socket, or another descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Door {
    Tcp = 1,
    Proxy,
    NamesUdp,
    NamesTcp,
    /// Two pipes that carry what comes at all of the others.
    CarriedFrom,
    CarriedTo,
}

/// The byte after the last one.
pub(super) const ALL: u8 = 0;

/// From the gateway.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// It stands, and serves nobody yet.
    Ready(Gate),
    /// It serves the sandbox.
    Open,
    /// Something was decided or came to its end.
    Event { kind: String, data: serde_json::Value },
    /// It cannot.
    Failed { what: String, remedy: Option<String> },
}

impl Door {
    pub(super) fn from_number(number: u8) -> Option<Door> {
        use Door::{CarriedFrom, CarriedTo, NamesTcp, NamesUdp, Proxy, Tcp};
        let all = [Tcp, Proxy, NamesUdp, NamesTcp, CarriedFrom, CarriedTo];
        all.into_iter().find(|door| *door as u8 == number)
    }
}
