//! The few packets between the supervisor and the sandbox's first process: sixteen bytes each.

use crate::doors::Door;
use crate::script::Step;

pub(crate) const LENGTH: usize = 16;

/// From the supervisor to the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The id maps are written: build the sandbox.
    Build,
    /// The sandbox stands: make the task's process, and confine it.
    Start,
    /// To the task's process: what is in force is on record, execute.
    Execute,
    /// Pass a signal to the task.
    Signal(i32),
    /// Pass a signal to everything in the sandbox.
    SignalAll(i32),
}

/// From the guard to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The sandbox stands; descriptors of the outputs, the root and, where it has one, the terminal go along.
    Built,
    /// A way out of the sandbox; its socket goes along. All of them come before it stands.
    Door(Door),
    /// From the task's process: all that confines it is in force; where refusals are heard, the descriptor for
    /// that goes along.
    Confined,
    /// From the task's process: what became of trials that must fail.
    Tried(Trial),
    /// The task's wait status.
    Ended { status: i32 },
    /// A step failed; `index` is the operation's where the step is `Op`.
    Failed { step: Step, index: u32, errno: i32 },
}

/// The kernel's answers to the trials: the number of an error, or 0 for a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    /// The environment of the sandbox's first process.
    pub(crate) read: u8,
    /// A file in the root.
    pub(crate) write: u8,
    /// A way to the outside.
    pub(crate) connect: u8,
    /// Another user namespace.
    pub(crate) namespace: u8,
}

impl Order {
    pub(crate) fn encode(self) -> [u8; LENGTH] {
        match self {
            Order::Build => pack(1, 0, 0, 0),
            Order::Start => pack(2, 0, 0, 0),
            Order::Signal(signal) => pack(3, signal as u32, 0, 0),
            Order::SignalAll(signal) => pack(4, signal as u32, 0, 0),
            Order::Execute => pack(5, 0, 0, 0),
        }
    }

    pub(crate) fn decode(packet: &[u8]) -> Option<Order> {
        let [kind, a, _, _] = unpack(packet)?;
        match kind {
            1 => Some(Order::Build),
            2 => Some(Order::Start),
            3 => Some(Order::Signal(a as i32)),
            4 => Some(Order::SignalAll(a as i32)),
            5 => Some(Order::Execute),
            _ => None,
        }
    }
}

impl Report {
    pub(crate) fn encode(self) -> [u8; LENGTH] {
        match self {
            Report::Built => pack(101, 0, 0, 0),
            Report::Ended { status } => pack(102, status as u32, 0, 0),
            Report::Failed { step, index, errno } => pack(103, step as u32, index, errno as u32),
            Report::Confined => pack(104, 0, 0, 0),
            Report::Door(door) => pack(106, door as u32, 0, 0),
            Report::Tried(Trial { read, write, connect, namespace }) => {
                pack(105, u32::from_le_bytes([read, write, connect, namespace]), 0, 0)
            }
        }
    }

    pub(crate) fn decode(packet: &[u8]) -> Option<Report> {
        let [kind, a, b, c] = unpack(packet)?;
        match kind {
            101 => Some(Report::Built),
            102 => Some(Report::Ended { status: a as i32 }),
            103 => Some(Report::Failed { step: Step::from_number(a)?, index: b, errno: c as i32 }),
            104 => Some(Report::Confined),
            105 => {
                let [read, write, connect, namespace] = a.to_le_bytes();
                Some(Report::Tried(Trial { read, write, connect, namespace }))
            }
            106 => Some(Report::Door(Door::from_number(a)?)),
            _ => None,
        }
    }
}

fn pack(kind: u32, a: u32, b: u32, c: u32) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    for (slot, number) in packet.chunks_exact_mut(4).zip([kind, a, b, c]) {
        slot.copy_from_slice(&number.to_le_bytes());
    }
    packet
}

fn unpack(packet: &[u8]) -> Option<[u32; 4]> {
    let packet: &[u8; LENGTH] = packet.try_into().ok()?;
    let mut numbers = [0; 4];
    for (number, chunk) in numbers.iter_mut().zip(packet.chunks_exact(4)) {
        *number = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back_as_they_went() {
        for order in [Order::Build, Order::Start, Order::Execute, Order::Signal(15), Order::SignalAll(9)] {
            assert_eq!(Order::decode(&order.encode()), Some(order));
            assert_eq!(Report::decode(&order.encode()), None, "an order is no report");
        }
        for step in Step::ALL {
            let report = Report::Failed { step, index: 7, errno: 13 };
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        let trial = Trial { read: 13, write: 30, connect: 101, namespace: 0 };
        for report in [Report::Built, Report::Confined, Report::Door(Door::NamesUdp), Report::Tried(trial)] {
            assert_eq!(Report::decode(&report.encode()), Some(report));
            assert_eq!(Order::decode(&report.encode()), None, "a report is no order");
        }
        assert_eq!(Report::decode(&Report::Ended { status: -1 }.encode()), Some(Report::Ended { status: -1 }));
        assert_eq!(Order::decode(&[0; 15]), None);
        assert_eq!(Order::decode(&[0; 16]), None);
    }
}
