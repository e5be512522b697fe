//! The connections that a door carries, each with room for what its client does not take yet.

use crate::sys::{self, Address};

/// Connections and questions at once.
pub const SLOTS: usize = 576;
/// So many of them are for questions alone: who holds all connections can still ask for a name.
const QUESTIONS: usize = 64;
/// Bytes that may be under way in each direction of one. aido's end of the stream has the same number.
pub const WINDOW: usize = 256 * 1024;
/// So many bytes that went on are worth saying so.
pub const WORTH_SAYING: u32 = 64 * 1024;

/// One connection, or one question that waits for its answer.
#[derive(Clone, Copy)]
pub struct Slot {
    /// Zero: free.
    pub number: u32,
    /// Minus one: a question.
    pub fd: i32,
    /// Who asked it.
    pub from: Address,
    /// Bytes that may still be sent out.
    pub credit: u32,
    /// Bytes that the client took and that were not said to be.
    pub owed: u32,
    /// The client has said its last.
    pub quiet: bool,
    /// The server has; and the client knows.
    pub over: bool,
    pub told: bool,
    /// What the client has not taken yet begins here, and is so long.
    start: usize,
    pub held: usize,
}

const FREE: Slot = Slot {
    number: 0,
    fd: -1,
    from: Address::NONE,
    credit: 0,
    owed: 0,
    quiet: false,
    over: false,
    told: false,
    start: 0,
    held: 0,
};

/// All of them.
pub struct Slots {
    all: [Slot; SLOTS],
    room: &'static mut [u8],
    turn: u32,
}

impl Slots {
    pub fn new() -> sys::Result<Slots> {
        // What nobody writes to is no memory yet.
        Ok(Slots { all: [FREE; SLOTS], room: sys::memory(SLOTS * WINDOW)?, turn: 0 })
    }

    pub fn at(&mut self, index: usize) -> &mut Slot {
        &mut self.all[index % SLOTS]
    }

    /// The slot that this number is of, if it is there still.
    pub fn find(&mut self, number: u32) -> Option<usize> {
        let index = number as usize % SLOTS;
        (number != 0 && self.all[index].number == number).then_some(index)
    }

    /// Takes a free one, under a number that none had lately.
    pub fn take(&mut self, fd: i32, from: Address) -> Option<u32> {
        let most = if fd < 0 { SLOTS } else { SLOTS - QUESTIONS };
        let index = self.all[..most].iter().position(|slot| slot.number == 0)?;
        self.turn = self.turn % (u32::MAX / SLOTS as u32 - 1) + 1;
        let number = self.turn * SLOTS as u32 + index as u32;
        self.all[index] = Slot { number, fd, from, credit: WINDOW as u32, ..FREE };
        Some(number)
    }

    /// Nothing more of it. The descriptor is the caller's.
    pub fn free(&mut self, index: usize) {
        self.all[index] = FREE;
    }

    /// Gives the client these bytes, or keeps them for it. The number of the error if it is gone.
    pub fn give(&mut self, index: usize, mut bytes: &[u8]) -> sys::Result<()> {
        let slot = &mut self.all[index];
        if slot.held == 0 {
            slot.start = 0;
            let took = took(slot.fd, bytes)?;
            slot.owed += took as u32;
            bytes = &bytes[took..];
        }
        let room = &mut self.room[index * WINDOW..(index + 1) * WINDOW];
        if slot.held + bytes.len() > WINDOW {
            // aido does not send more than was taken: this is not aido.
            sys::exit(125)
        }
        for byte in bytes {
            room[(slot.start + slot.held) % WINDOW] = *byte;
            slot.held += 1;
        }
        Ok(())
    }

    /// Gives the client what is kept for it, as far as it takes that.
    pub fn go_on(&mut self, index: usize) -> sys::Result<()> {
        let slot = &mut self.all[index];
        let room = &self.room[index * WINDOW..(index + 1) * WINDOW];
        while slot.held > 0 {
            let end = (slot.start + slot.held).min(WINDOW);
            let took = took(slot.fd, &room[slot.start..end])?;
            if took == 0 {
                break;
            }
            slot.start = (slot.start + took) % WINDOW;
            slot.held -= took;
            slot.owed += took as u32;
        }
        Ok(())
    }
}

fn took(fd: i32, bytes: &[u8]) -> sys::Result<usize> {
    match sys::write(fd, bytes) {
        Err(sys::EAGAIN) => Ok(0),
        took => took,
    }
}
