//! The egress gateway: the only way out of a sandbox.
//!
//! It is given listeners that were made inside of a sandbox's network namespace, where every address is local, and a
//! policy. Names are answered with private addresses of its own, so that the address at which a connection arrives says
//! which name was meant, whatever the protocol. It asks the policy, resolves and dials the true name itself, and tells
//! each decision as data. It imports no other room, writes no file, and has no global state.

mod address;
mod budget;
mod capture;
mod carried;
mod copy;
mod decision;
mod dial;
mod gate;
mod http;
mod limits;
mod name;
mod names;
mod policy;
mod refuse;
mod run;
mod scrub;
mod strays;
mod stream;
mod tls;
mod wide;

pub use address::{Class, class_of};
pub use carried::Carried;
pub use decision::{Decision, Event, Memory, Sink, What};
pub use dial::{Resolve, Resolving, SystemResolver};
pub use limits::Limits;
pub use name::{HostName, HostPattern, NameError};
pub use names::Families;
pub use policy::{
    ANY_PORTS, Budget, Destination, Granted, Handling, HostRule, Inject, Policy, PolicyError, Reason, Refusal, Request,
    Rules, Secret, Tls, Verdict, WebGrant,
};
pub use run::{Gateway, Listeners, Setup, StartError};
pub use tls::{NoTls, NotSigned};
