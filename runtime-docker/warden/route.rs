//! A route that makes every address this network namespace's own: `ip route add local 0.0.0.0/0 dev lo`, and `::/0`.

use crate::sys::{self, Result};

/// Of addresses, as the kernel counts them.
pub const V4: u8 = 2;
pub const V6: u8 = 10;

const PROTOCOL: i32 = 71;

/// Makes all of a family local.
pub fn all_is_here(family: u8) -> Result<()> {
    let mut answer = [0; 256];
    let length = sys::netlink(&request(family), &mut answer)?;
    // An error message with the number zero is the kernel's acknowledgement.
    let word = |at: usize| answer.get(at..at + 4).filter(|_| length >= at + 4);
    match (word(4), word(16)) {
        (Some([2, 0, ..]), Some([0, 0, 0, 0])) => Ok(()),
        (Some([2, 0, ..]), Some([a, b, c, d])) => Err(-i32::from_le_bytes([*a, *b, *c, *d])),
        _ => Err(PROTOCOL),
    }
}

/// A header, a route and the interface, as `linux/rtnetlink.h` has them.
fn request(family: u8) -> [u8; 36] {
    const NEWROUTE: u8 = 24;
    // Request, acknowledge; create, and nothing that is there already.
    const FLAGS: [u8; 2] = [0x05, 0x06];
    let mut bytes = [0; 36];
    bytes[0] = 36;
    bytes[4] = NEWROUTE;
    bytes[6..8].copy_from_slice(&FLAGS);
    bytes[8] = 1;
    bytes[16] = family;
    // The local table; by whoever set the machine up; of this host; local.
    bytes[20..24].copy_from_slice(&[255, 3, 254, 2]);
    // The interface to go out by is the first one, the loopback.
    bytes[28] = 8;
    bytes[30] = 4;
    bytes[32] = 1;
    bytes
}
