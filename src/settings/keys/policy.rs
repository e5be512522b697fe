//! The keys of the user's own `policy.yaml`.

use super::{Form, Key, RESOURCES, key, section};
use crate::settings::bound;

/// At the left margin.
pub(in crate::settings) const POLICY: &[Key] = &[
    key("version", "The version of this format: 1.", Form::Version(1)),
    key("ttl", "The longest time limit that may be asked for.", Form::Measure(&bound::TIME)),
    key("resources", "The most that may be asked for of each.", section(RESOURCES)),
    key(
        "runtimes",
        "Patterns of what may be named as runtime: `*` stays within a part of a path, `**` crosses. `[]`: none.",
        Form::Texts(usize::MAX),
    ),
    key("env", "Patterns of those of your variables that a file may pass on. `[]`: none.", Form::Texts(usize::MAX)),
    key(
        "backend",
        "The engine that is meant where none is named.",
        Form::OneOf(&[("linux", "the kernel's own means"), ("docker", "a Docker-compatible engine")]),
    ),
    key("backends", "The engines that runs may use.", Form::Words(&["linux", "docker"])),
    key("mutations", "`false`: `--dangerous-allow-mutations` is refused.", Form::Truth),
    key(
        "network",
        "`false`: none; `true`: whatever is asked for; or a list of the hosts at most, by name or as `*.NAME`.",
        Form::Reach,
    ),
];
