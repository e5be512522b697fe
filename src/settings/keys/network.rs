//! The keys below `permissions.network`.

use super::{Form, Key, Section, key};
use crate::settings::bound;

/// Of the mapping that stands for all of the network.
pub(in crate::settings) const WHOLE: &[Key] = &[
    key("any", "`true`: any public host, on usual ports.", Form::Truth),
    key("hosts", "Hosts, by name or as rules.", Form::Network),
    key("bytes", "Traffic of the whole run at most: `100MiB`.", BYTES),
    key("connections", "Connections of the whole run at most.", CONNECTIONS),
];

/// Of a rule in the list of hosts.
pub(in crate::settings) const RULE: &[Key] = &[
    key("host", "The host's name, or `*.NAME` for every name one part below.", Form::Text),
    key("ports", "Ports at which it may be reached. Default: 80 and 443.", Form::Ports),
    key("methods", "HTTP methods that requests may have. TLS is opened for it.", Form::Texts(1000)),
    key("paths", "Paths that requests may ask for: `/v1/**`. TLS is opened for it.", Form::Texts(1000)),
    key(
        "inject",
        "A header that requests get outside of the sandbox, so that the task never sees the secret in it.",
        Form::Section(Section { keys: INJECT, required: &["header", "value", "from"] }),
    ),
    key(
        "tls",
        "`pass`: TLS is never opened, only the name is looked at.",
        Form::OneOf(&[("pass", "only the name is looked at")]),
    ),
    key("private", "`true`: it may lead to addresses that are not public. Needs your own word, too.", Form::Truth),
    key("deny", "`true`: refuses what this rule names, whatever else is allowed.", Form::Truth),
    key("websocket", "`true`: connections may become WebSockets.", Form::Truth),
    key("bytes", "Traffic with this host at most: `10MiB`.", BYTES),
    key("connections", "Connections to this host at most.", CONNECTIONS),
];

/// Of the header that is put in.
pub(in crate::settings) const INJECT: &[Key] = &[
    key("header", "The header's name: `Authorization`.", Form::Text),
    key("value", "Its value, with one `${NAME}` where the secret goes: `Bearer ${KEY}`.", Form::Text),
    key(
        "from",
        "Where the host finds the secret; never the secret itself.",
        Form::Section(Section { keys: FROM, required: &["env"] }),
    ),
];

/// Of the place where a header's secret is found.
pub(in crate::settings) const FROM: &[Key] =
    &[key("env", "The variable of yours that has the secret.", Form::Like("^[A-Za-z_][A-Za-z0-9_.-]{0,254}$"))];

const BYTES: Form = Form::Measure(&bound::TRAFFIC);
const CONNECTIONS: Form = Form::Measure(&bound::CONNECTIONS);
