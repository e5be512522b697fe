//! The door: the way out of a run with a network. It is process 1 of a container of its own, whose network namespace, with a
//! loopback and nothing else, the task's container shares. It makes every address local, listens for whoever wants
//! to leave, gives up its powers, and carries all connections on its standard streams to aido, which decides. It decides nothing.
//!
//! Frames, both ways: a number (u32, little-endian), a letter, a zero, the length of what follows (u16). To aido: `h` once, with the
//! version and whether there is IPv6; `o` with which listener, a zero, the port (u16) and 16 bytes of the address that the client
//! dialled; `x` the same of one too many, which is cut; `q` a question about a name, answered by `d` or `r`. Both ways: `d` bytes; `f` no more of them; `r` cut; `c` so many
//! bytes (u32) were taken, and more may come. Each direction of a connection begins with `slots::WINDOW` bytes that may be sent.

use crate::route;
use crate::say::{Frame, NO_WORD};
use crate::slots::{SLOTS, Slots, WORTH_SAYING};
use crate::sys::{self, Address, POLLERR, POLLHUP, POLLIN, POLLOUT};

const VERSION: u8 = 1;
const HEAD: usize = 8;
const PIECE: usize = 32 * 1024;
/// Listeners: one for each port, and those for names and the proxy.
const LISTENERS: usize = 1024;
const PROXY: u16 = 3128;
const PATIENCE_MS: u64 = 10_000;
const TOO_MANY: i32 = 7;
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// What a listener is for.
const CAPTURED: u8 = 1;
const FOR_PROXIES: u8 = 2;
const NAMES: u8 = 4;

struct Door {
    slots: Slots,
    listeners: [(i32, u8); LISTENERS],
    count: usize,
    /// Where names are asked for by datagrams.
    questions: i32,
    /// What came and is no whole frame yet.
    input: &'static mut [u8],
    came: usize,
    /// The frame that is being said.
    output: &'static mut [u8],
}

/// Its whole life. `words`: for how many milliseconds at most, and the ports.
pub fn main(mut words: sys::Arguments) -> ! {
    let lives_ms = words.next().and_then(crate::number).unwrap_or(0);
    let until = sys::now_ms().saturating_add(lives_ms);
    match Door::open(words) {
        Ok((door, six)) => {
            let mut said = Frame::new(&NO_WORD, b'R');
            said.number(b"six", i64::from(six));
            if !said.send(2, PATIENCE_MS) {
                sys::exit(125)
            }
            door.carry(until, six)
        }
        Err((step, error)) => {
            let mut said = Frame::new(&NO_WORD, b'X');
            said.number(b"step", i64::from(step));
            said.number(b"error", i64::from(error));
            said.send(2, PATIENCE_MS);
            sys::exit(125)
        }
    }
}

impl Door {
    /// Everything that needs a power, and then there is none any more. Steps: `m` memory, `r` route, `p` powers, else the port.
    fn open(words: sys::Arguments) -> Result<(Door, bool), (u32, i32)> {
        let at = |step: u8| move |error: i32| (u32::from(step), error);
        let memory = |length| sys::memory(length).map_err(at(b'm'));
        let mut door = Door {
            slots: Slots::new().map_err(at(b'm'))?,
            listeners: [(-1, 0); LISTENERS],
            count: 0,
            questions: -1,
            input: memory(4 * PIECE)?,
            came: 0,
            output: memory(HEAD + PIECE)?,
        };
        route::all_is_here(route::V4).map_err(at(b'r'))?;
        // A host may do without IPv6.
        let six = route::all_is_here(route::V6).is_ok();
        let mut proxy = true;
        for word in words {
            let port = crate::number(word).unwrap_or(0) as u16;
            let anywhere = if six { Address::anywhere(port) } else { Address::v4([0; 4], port) };
            door.listen(&anywhere, CAPTURED).map_err(|error| (u32::from(port) << 8, error))?;
            proxy &= port != PROXY;
        }
        if proxy {
            door.listen(&Address::v4(LOOPBACK, PROXY), FOR_PROXIES).map_err(|error| (u32::from(PROXY) << 8, error))?;
        }
        let names = Address::v4(LOOPBACK, 53);
        door.listen(&names, NAMES).map_err(|error| (53 << 8, error))?;
        door.questions = sys::datagrams(&names).map_err(|error| (53 << 8, error))?;
        sys::powerless().map_err(at(b'p'))?;
        Ok((door, six))
    }

    fn listen(&mut self, at: &Address, kind: u8) -> sys::Result<()> {
        let place = self.listeners.get_mut(self.count).ok_or(TOO_MANY)?;
        *place = (sys::listen(at)?, kind);
        self.count += 1;
        Ok(())
    }

    /// Until aido is gone, or the time is over.
    fn carry(mut self, until: u64, six: bool) -> ! {
        self.say(0, b'h', &[VERSION, u8::from(six)]);
        let mut polled = [0_u64; 2 + LISTENERS + SLOTS];
        loop {
            let now = sys::now_ms();
            if now >= until {
                sys::exit(0)
            }
            let count = self.wanted(&mut polled);
            // Never for long: the clock of the wait stands still while the machine sleeps.
            sys::poll(&mut polled[..count], (until - now).min(1000));
            if sys::came(polled[0]) != 0 {
                self.hear();
            }
            for index in 0..SLOTS {
                let came = sys::came(polled[2 + self.count + index]);
                // Whoever has this place since then is asked the next time.
                if came != 0 && polled[2 + self.count + index] as u32 as i32 == self.slots.at(index).fd {
                    self.turn(index, came);
                }
            }
            if sys::came(polled[1]) != 0 {
                self.question();
            }
            for listener in 0..self.count {
                if sys::came(polled[2 + listener]) != 0 {
                    self.arrived(listener);
                }
            }
        }
    }

    /// What is waited for: aido, questions, clients that arrive, and those that are there.
    fn wanted(&mut self, polled: &mut [u64]) -> usize {
        polled[0] = sys::polled(0, POLLIN);
        polled[1] = sys::polled(self.questions, POLLIN);
        for (place, (fd, _)) in polled[2..].iter_mut().zip(&self.listeners[..self.count]) {
            *place = sys::polled(*fd, POLLIN);
        }
        for index in 0..SLOTS {
            let slot = self.slots.at(index);
            let reads = if slot.credit > 0 && !slot.quiet { POLLIN } else { 0 };
            let writes = if slot.held > 0 { POLLOUT } else { 0 };
            // A cut is told of whoever is waited for, whatever for: of others it is seen later.
            let fd = if slot.number == 0 || reads | writes == 0 { -1 } else { slot.fd };
            polled[2 + self.count + index] = sys::polled(fd, reads | writes);
        }
        2 + self.count + SLOTS
    }

    /// Says a frame. aido always reads: where it does not it is gone, and so is the network.
    fn say(&mut self, number: u32, letter: u8, bytes: &[u8]) {
        self.output[HEAD..HEAD + bytes.len()].copy_from_slice(bytes);
        self.say_held(number, letter, bytes.len());
    }

    /// The same with what stands in the place for it already.
    fn say_held(&mut self, number: u32, letter: u8, length: usize) {
        self.output[..4].copy_from_slice(&number.to_le_bytes());
        self.output[4..6].copy_from_slice(&[letter, 0]);
        self.output[6..HEAD].copy_from_slice(&(length as u16).to_le_bytes());
        let mut sent = 0;
        while sent < HEAD + length {
            match sys::write(1, &self.output[sent..HEAD + length]) {
                Ok(count) => sent += count,
                Err(sys::EAGAIN) => sys::wait_writable(1, 100),
                Err(4) => {}
                Err(_) => sys::exit(0),
            }
        }
    }

    /// What aido says.
    fn hear(&mut self) {
        match sys::read(0, &mut self.input[self.came..]) {
            Ok(0) => sys::exit(0),
            Ok(count) => self.came += count,
            Err(sys::EAGAIN | 4) => return,
            Err(_) => sys::exit(0),
        }
        let mut at = 0;
        while let Some(&[a, b, c, d, letter, _, low, high]) = self.input[at..self.came].first_chunk::<HEAD>() {
            let end = at + HEAD + usize::from(u16::from_le_bytes([low, high]));
            if end - at > HEAD + PIECE {
                sys::exit(125)
            }
            if end > self.came {
                break;
            }
            self.told(u32::from_le_bytes([a, b, c, d]), letter, at + HEAD, end);
            at = end;
        }
        self.input.copy_within(at..self.came, 0);
        self.came -= at;
    }

    /// One frame; what is said of a connection that is gone by now is nothing.
    fn told(&mut self, number: u32, letter: u8, start: usize, end: usize) {
        let Some(index) = self.slots.find(number) else { return };
        let slot = *self.slots.at(index);
        let bytes = &self.input[start..end];
        match (letter, slot.fd) {
            (b'd', -1) => {
                sys::send_to(self.questions, bytes, &slot.from);
                self.slots.free(index);
            }
            (_, -1) => self.slots.free(index),
            (b'd', _) if !slot.over => {
                let gave = self.slots.give(index, bytes);
                self.after(index, gave);
            }
            (b'f', _) => {
                self.slots.at(index).over = true;
                self.after(index, Ok(()));
            }
            (b'c', _) if bytes.len() == 4 => {
                let more = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                let slot = self.slots.at(index);
                slot.credit = slot.credit.saturating_add(more);
            }
            (b'r', fd) => {
                sys::cut(fd);
                self.slots.free(index);
            }
            _ => sys::exit(125),
        }
    }

    /// Something came of a client.
    fn turn(&mut self, index: usize, came: u16) {
        if came & POLLOUT != 0 {
            let gave = self.slots.go_on(index);
            self.after(index, gave);
        }
        let slot = *self.slots.at(index);
        if slot.number == 0 || slot.quiet || slot.credit == 0 || came & (POLLIN | POLLHUP | POLLERR) == 0 {
            return;
        }
        let most = PIECE.min(slot.credit as usize);
        match sys::read(slot.fd, &mut self.output[HEAD..HEAD + most]) {
            Ok(0) => {
                self.slots.at(index).quiet = true;
                self.say(slot.number, b'f', &[]);
                self.after(index, Ok(()));
            }
            Ok(count) => {
                self.slots.at(index).credit -= count as u32;
                self.say_held(slot.number, b'd', count);
            }
            Err(sys::EAGAIN) => {}
            Err(error) => self.after(index, Err(error)),
        }
    }

    /// What follows from what a client took, or from its being gone.
    fn after(&mut self, index: usize, gave: sys::Result<()>) {
        let slot = *self.slots.at(index);
        if gave.is_err() {
            self.say(slot.number, b'r', &[]);
            sys::cut(slot.fd);
            return self.slots.free(index);
        }
        if slot.owed >= WORTH_SAYING {
            self.slots.at(index).owed = 0;
            self.say(slot.number, b'c', &slot.owed.to_le_bytes());
        }
        if slot.over && slot.held == 0 && !slot.told {
            sys::end_writing(slot.fd);
            self.slots.at(index).told = true;
        }
        if slot.quiet && self.slots.at(index).told {
            sys::close(slot.fd);
            self.slots.free(index);
        }
    }

    /// Somebody asks for a name. Where there is no room that is lost, and asked again.
    fn question(&mut self) {
        // A byte more than any question that is answered.
        let Ok((length, from)) = sys::receive(self.questions, &mut self.output[HEAD..HEAD + 4097]) else { return };
        if let Some(number) = self.slots.take(-1, from) {
            self.say_held(number, b'q', length);
        }
    }

    /// Somebody wants to leave.
    fn arrived(&mut self, listener: usize) {
        let (socket, kind) = self.listeners[listener];
        let Ok((fd, to)) = sys::accept(socket) else { return };
        let number = self.slots.take(fd, Address::NONE);
        let (port, at) = to.parts();
        let mut bytes = [0; 20];
        bytes[..2].copy_from_slice(&[kind, 0]);
        bytes[2..4].copy_from_slice(&port.to_le_bytes());
        bytes[4..].copy_from_slice(&at);
        match number {
            Some(number) => self.say(number, b'o', &bytes),
            None => {
                self.say(0, b'x', &bytes);
                sys::cut(fd);
            }
        }
    }
}
