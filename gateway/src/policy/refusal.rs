//! Why something was refused, as data and in words.

use crate::address::Class;
use serde::Serialize;
use std::fmt;
use std::net::IpAddr;

/// A refusal: the rule that decided, why, and the line that would allow it where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What was asked for, short.
    pub what: String,
    /// The rule that decided, counted from 0; none where no rule names it.
    pub rule: Option<usize>,
    /// Why.
    pub reason: Reason,
    /// What a person could add to `permissions.network` if it is meant to be allowed.
    pub allow: Option<String>,
}

/// Why something was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum Reason {
    /// No rule names the host.
    NotNamed,
    /// Nothing is let through, to learn what is asked for.
    Learns,
    /// A rule names the host, none of them this port.
    Port,
    /// A rule refuses it.
    Denied,
    /// No rule allows the method there.
    Method,
    /// No rule allows the path there.
    Path,
    /// The path can be read in two ways.
    PathAmbiguous,
    /// An address was dialled instead of a name.
    Address,
    /// An address was dialled instead of a name, and it is not public either.
    Private {
        /// What it is for.
        class: Class,
    },
    /// The name leads to an address that is not public.
    Class {
        /// The address.
        address: IpAddr,
        /// What it is for.
        class: Class,
    },
    /// The text is no host name.
    Name,
    /// A request to become something else than HTTP.
    Upgrade,
    /// A tunnel within a connection.
    Tunnel,
    /// A credential would go out in the clear.
    Cleartext,
    /// Not what is spoken on this port.
    Protocol {
        /// What was wrong.
        detail: String,
    },
    /// The name inside of the connection is another one than that which was dialled.
    OtherName {
        /// The name inside.
        inside: String,
    },
    /// A budget is used up.
    Budget {
        /// Which one.
        of: String,
    },
    /// By a datagram; only TCP leads out.
    Datagram,
    /// More at once than the gateway holds.
    TooMany,
    /// The record of the run is full, so nothing may happen any more.
    RecordFull,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNamed => f.write_str("no rule names this host"),
            Self::Learns => f.write_str("this run only learns what the task asks for"),
            Self::Port => f.write_str("no rule for this host names this port"),
            Self::Denied => f.write_str("a rule denies it"),
            Self::Method => f.write_str("no rule allows this method here"),
            Self::Path => f.write_str("no rule allows this path"),
            Self::PathAmbiguous => {
                f.write_str("servers read this path in different ways (dots, doubled or encoded slashes, `;`, `%25`)")
            }
            Self::Address => f.write_str("it is an address; hosts are reached by name"),
            Self::Private { class } => write!(f, "it is {}; hosts are reached by name", class.words()),
            Self::Class { address, class } => write!(f, "the name leads to {address}, which is {}", class.words()),
            Self::Name => f.write_str("it is no host name"),
            Self::Upgrade => f.write_str("no rule allows to leave HTTP here (`websocket: true`)"),
            Self::Tunnel => f.write_str("tunnels within a connection are not passed on"),
            Self::Cleartext => f.write_str("a credential is added to this host's requests, and they go by TLS alone"),
            Self::Protocol { detail } => f.write_str(detail),
            Self::OtherName { inside } => {
                write!(f, "the connection was made to one name and speaks to another, `{inside}`")
            }
            Self::Budget { of } => write!(f, "the budget is used up: {of}"),
            Self::Datagram => f.write_str("UDP leads nowhere; hosts are reached by TCP"),
            Self::TooMany => f.write_str("too many connections at once"),
            Self::RecordFull => f.write_str("the record of this run is full"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy refused {}: {}", self.what, self.reason)
    }
}
