//! Which engine runs a task: the user's own choice, and never that of a file which comes with a project.

use super::suggest::nearest;
use std::fmt;
use std::str::FromStr;

/// The variable of the caller that stands for `--backend`.
pub const VARIABLE: &str = "AIDO_BACKEND";

/// An engine, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The kernel's own means.
    Linux,
    /// A Docker-compatible engine, through its API.
    Docker,
}

impl Backend {
    pub const ALL: [Backend; 2] = [Backend::Linux, Backend::Docker];

    /// The name in files, in evidence and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Linux => "linux",
            Backend::Docker => "docker",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Backend::ALL.map(Backend::name);
        Backend::ALL.into_iter().find(|backend| backend.name() == text).ok_or_else(|| {
            let hint = nearest(text, names).map_or(String::new(), |meant| format!(", did you mean `{meant}`?"));
            let podman = if text == "podman" { " (`docker` speaks to Podman's socket, too)" } else { "" };
            format!("`{text}` is no backend{hint}; write {}{podman}", names.join(" or "))
        })
    }
}
