//! The settings' target, shared with the test that replays its corpus in the root crate.

use super::{Overrides, Policy, Settings};
use std::path::Path;

/// Any text is read or refused; what was read says the same when it is printed and read again.
pub fn sandbox_yaml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read =
        |text: &str| Settings::parse(text, "sandbox.yaml", Path::new("/"), &Overrides::default(), &Policy::default());
    match read(text) {
        Ok(settings) => {
            let printed = settings.to_yaml();
            let again = read(&printed).unwrap_or_else(|e| panic!("{printed}\nis refused: {e}"));
            assert_eq!(again.to_yaml(), printed, "it reads back as something else");
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!said.contains('\u{1b}'), "the message steers a terminal: {said:?}");
        }
    }
}
