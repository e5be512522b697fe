//! Small documents: any bytes are read or refused; what is read says the same when it is written and read again.

use crate::sandbox::State;

pub(super) fn state(bytes: &[u8]) {
    let Ok(state) = State::parse(bytes) else { return };
    let written = serde_json::to_vec_pretty(&state).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(State::parse(&written).ok(), Some(state), "it reads back as something else");
}
