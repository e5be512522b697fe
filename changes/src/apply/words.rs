//! Refusals in words for a person.

use super::{Clash, Refusal, Why};
use crate::entry::words;
use std::fmt;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path, self.why)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Git => f.write_str("lies in `.git`, where nothing is ever written"),
            Why::Hidden => f.write_str("the task was not shown what the project has there"),
            Why::Active(why) => write!(f, "{why}"),
            Why::Unfit(what) => write!(f, "{what}"),
            Why::LeadsOut(target) => write!(f, "a link to `{target}` leads out of the project or into `.git`"),
            Why::Through(what) | Why::InTheWay(what) => write!(f, "{what}"),
            Why::Changed(clash) => write!(f, "{clash}"),
        }
    }
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [was, is, becomes] = [&self.was, &self.is, &self.becomes].map(|entry| words(entry.as_ref()));
        match self.touched {
            true => write!(f, "the project's file was touched after the sandbox started; ")?,
            false => write!(f, "the project changed since; was: {was}; ")?,
        }
        write!(f, "is: {is}; would become: {becomes}")
    }
}
