//! The few packets between the supervisor and the sandbox's first process: sixteen bytes each.

use crate::script::Step;

pub(crate) const LENGTH: usize = 16;

/// From the supervisor to the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The id maps are written: build the sandbox.
    Build,
    /// The sandbox is on record: start the task.
    Start,
    /// Pass a signal to the task.
    Signal(i32),
    /// Pass a signal to everything in the sandbox.
    SignalAll(i32),
}

/// From the guard to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The sandbox stands; a descriptor of the outputs goes along.
    Built,
    /// The task's wait status.
    Ended { status: i32 },
    /// A step failed; `index` is the operation's where the step is `Op`.
    Failed { step: Step, index: u32, errno: i32 },
}

impl Order {
    pub(crate) fn encode(self) -> [u8; LENGTH] {
        match self {
            Order::Build => pack(1, 0, 0, 0),
            Order::Start => pack(2, 0, 0, 0),
            Order::Signal(signal) => pack(3, signal as u32, 0, 0),
            Order::SignalAll(signal) => pack(4, signal as u32, 0, 0),
        }
    }

    pub(crate) fn decode(packet: &[u8]) -> Option<Order> {
        let [kind, a, _, _] = unpack(packet)?;
        match kind {
            1 => Some(Order::Build),
            2 => Some(Order::Start),
            3 => Some(Order::Signal(a as i32)),
            4 => Some(Order::SignalAll(a as i32)),
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
        }
    }

    pub(crate) fn decode(packet: &[u8]) -> Option<Report> {
        let [kind, a, b, c] = unpack(packet)?;
        match kind {
            101 => Some(Report::Built),
            102 => Some(Report::Ended { status: a as i32 }),
            103 => Some(Report::Failed { step: Step::from_number(a)?, index: b, errno: c as i32 }),
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
        for order in [Order::Build, Order::Start, Order::Signal(15), Order::SignalAll(9)] {
            assert_eq!(Order::decode(&order.encode()), Some(order));
            assert_eq!(Report::decode(&order.encode()), None, "an order is no report");
        }
        for step in Step::ALL {
            let report = Report::Failed { step, index: 7, errno: 13 };
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        assert_eq!(Report::decode(&Report::Ended { status: -1 }.encode()), Some(Report::Ended { status: -1 }));
        assert_eq!(Order::decode(&[0; 15]), None);
        assert_eq!(Order::decode(&[0; 16]), None);
    }
}
