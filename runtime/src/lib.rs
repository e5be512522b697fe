//! The contract between `aido` and the engines that run a task.
//!
//! What was asked is a [`Plan`]: plain data, the same value for every engine. What the engine held
//! is an [`Enforced`]; how the task ended is an [`Outcome`]. On the way the engine tells a
//! [`Listener`] what happens. Nothing here names a namespace, a container or a platform, so that an
//! engine of another kind fits behind the same trait.

mod egress;
mod enforced;
mod engine;
mod error;
mod event;
pub mod names;
mod outcome;
mod plan;
mod task;
mod trust;

pub use egress::{Carried, Doors, Egress, EgressBudget, EgressInject, EgressRule, EgressTls, Gate, PROXY_PORT};
pub use enforced::{Control, Enforced, Force, Standing};
pub use engine::{Advice, Command, Io, Layer, Listener, Probe, Runtime, Stream, Wake, Window};
pub use error::Error;
pub use event::{Artifact, Change, Collected, Event, Execution, Omission};
pub use outcome::{Cause, End, Executed, Outcome, Refusal, Usage, exit};
pub use plan::{
    Deadline, EnvValue, Identity, Isolation, Limit, Limits, Mount, MountKind, Network, Origin, PLAN_VERSION, Plan,
    Record, Root, SyscallProfile, Task,
};
pub use trust::{BUNDLES, TRUST, TRUST_STORE, trust_store, with_authority};
