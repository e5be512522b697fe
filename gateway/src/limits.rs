//! What one gateway holds at most. All of it is bounded, so that a task can only starve itself.

use std::time::Duration;

/// Bounds of one gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; each takes two descriptors, and four more while it moves much both ways.
    pub at_once: usize,
    /// Events that are told before nothing more is let through.
    pub events: u64,
    /// How long a connection may be silent in both directions.
    pub idle: Duration,
    /// How long the head of a request or the first message of TLS may take.
    pub head: Duration,
    /// How long finding and reaching a server may take.
    pub dial: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: 1024,
            events: 200_000,
            idle: Duration::from_secs(300),
            head: Duration::from_secs(30),
            dial: Duration::from_secs(15),
        }
    }
}
