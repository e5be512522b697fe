//! The cases, by what they are about. Each tries to break a promise.

mod calls;
mod deadline;
mod ends;
mod environment;
mod files;
mod identity;
mod leftovers;
mod limits;
mod network;
mod outputs;
mod processes;
mod record;
mod refusals;
mod signals;
mod stdin;
mod streams;
mod terminal;
mod writing;

use crate::engines::Engine;

/// One promise, and the attempt to break it.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Engine),
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = Case> {
    let rooms = [
        files::CASES,
        writing::CASES,
        identity::CASES,
        calls::CASES,
        processes::CASES,
        network::CASES,
        environment::CASES,
        limits::CASES,
        ends::CASES,
        signals::CASES,
        deadline::CASES,
        streams::CASES,
        stdin::CASES,
        terminal::CASES,
        outputs::CASES,
        record::CASES,
        refusals::CASES,
        leftovers::CASES,
    ];
    rooms.into_iter().flatten().copied()
}

/// The table of one room: its functions under their names.
macro_rules! cases {
    ($room:literal: $($name:ident),+ $(,)?) => {
        pub(super) const CASES: &[crate::cases::Case] = &[
            $(crate::cases::Case { name: concat!($room, "::", stringify!($name)), run: $name }),+
        ];
    };
}
pub(crate) use cases;
