//! The keys of `sandbox.yaml`.

use super::{Form, Key, key, section};
use crate::settings::bound;

/// At the left margin.
pub(in crate::settings) const SANDBOX: &[Key] = &[
    key(
        "name",
        "The sandbox's name, and the host name in it: 1 to 63 letters, digits, `-`, `_` or `.`. Default: the project folder's name.",
        Form::Like("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"),
    ),
    key(
        "runtime",
        "Where programs come from: `host` (this machine's own toolchains, read-only), an image such as `python:3.11`, `oci:DIR[:TAG]`, `oci-archive:FILE`, `docker-archive:FILE`, `rootfs:DIR` or `rootfs-archive:FILE`; paths are the project's. Default: `host`.",
        Form::Like(
            "^(?!(oci|oci-archive|docker-archive|rootfs|rootfs-archive):(/|$))(?![-/.])([A-Za-z0-9._/:@+\\[\\]-]+|(oci|oci-archive|docker-archive|rootfs|rootfs-archive):.+)$",
        ),
    ),
    key(
        "ttl",
        "The time limit: `90s`, `15m`, `1h30m`; from 1s to 24h. Then everything in the sandbox is ended. Default: `15m`.",
        Form::Measure(&bound::TIME),
    ),
    key(
        "inputs",
        "Files, folders and patterns of the project that the task sees, read-only, at the same relative paths. `[]`: none. Default: the whole project, but for `.git`, `.aido` and what looks like secrets.",
        Form::Texts(20_000),
    ),
    key(
        "outputs",
        "Paths that the task may write and that are collected: a file, or with a final slash a folder. Each starts empty; the project itself is not changed. `/outputs` is always there. Default: none.",
        Form::Texts(256),
    ),
    key(
        "secrets",
        "Files of the project whose content is a secret: the task sees them, read-only, and their content is kept out of the record. Default: none.",
        Form::Texts(64),
    ),
    key("permissions", "What the task may do beyond reading its inputs.", section(PERMISSIONS)),
    key(
        "env",
        "Variables of the task: `NAME: value`, or `NAME: {from: YOURS}` for a variable of the caller, whose value is kept out of the record.",
        Form::Variables,
    ),
    key(
        "resources",
        "Limits of the whole run. One that is written here is required: where this host cannot hold it, nothing is run.",
        section(RESOURCES),
    ),
    key(
        "record",
        "How much of what the task does is on record. Default: `standard`.",
        Form::OneOf(&[
            ("refusals", "what is refused only"),
            ("standard", "also every program that is executed, and refused changes of files"),
            ("full", "also refused reads of files"),
        ]),
    ),
];

/// Below `permissions`.
pub(in crate::settings) const PERMISSIONS: &[Key] = &[
    key(
        "filesystem",
        "What the task may do to the project. Default: `readonly`.",
        Form::OneOf(&[
            ("readonly", "nothing; results go to /outputs"),
            ("overlay", "change what it likes in a layer apart, which `aido diff` shows and `aido apply` brings in"),
        ]),
    ),
    key(
        "network",
        "What the task may reach: `false` (nothing but its own loopback), `true` (any public host, on usual ports), or a list of hosts and rules. `aido run --learn` says what a task asks for. Default: `false`.",
        Form::Network,
    ),
    key(
        "syscalls",
        "The profile of system calls. Default: `default`.",
        Form::OneOf(&[
            ("default", "what programs usually need"),
            ("strict", "what a plain script interpreter needs; no sockets but pairs"),
        ]),
    ),
];

/// Below `resources`; of a policy, too.
pub(in crate::settings) const RESOURCES: &[Key] = &[
    key(
        "memory",
        "Memory of the whole run, without swap: `512MiB`, `2GiB`. Default: `2GiB`.",
        Form::Measure(&bound::MEMORY),
    ),
    key(
        "cpus",
        "Processors, down to thousandths: `2`, `0.5`. Default: all of the host's.",
        Form::Measure(&bound::CPUS),
    ),
    key("pids", "Processes and threads. Default: `512`.", Form::Measure(&bound::PIDS)),
    key("disk", "Bytes in all writable places together: `1GiB`. Default: `1GiB`.", Form::Measure(&bound::DISK)),
    key(
        "output",
        "Bytes that are kept of standard output and of standard error, each: `64MiB`. Default: `64MiB`.",
        Form::Measure(&bound::OUTPUT),
    ),
];
