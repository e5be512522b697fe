//! What can be wrong with a profile.

use std::fmt;

/// Why a profile was refused. Every message names the place and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// Not JSON, or not of the profile's form.
    Form(String),
    /// A key that this compiler does not know. Skipping it could loosen the filter.
    UnknownKey { place: String, key: String },
    /// The profile does not speak about the architecture it is compiled for.
    ArchitectureMissing(&'static str),
    /// A number that the kernel would cut off.
    ReturnTooLarge { call: String, value: u32, most: u32 },
    /// System calls have the arguments 0 to 5.
    NoSuchArgument { call: String, index: usize },
    /// Container engines disagree on what this means: some join such conditions by «or».
    ArgumentTwice { call: String, index: usize },
    /// Two rules without arguments that want different things for one call.
    Contradiction { call: String },
    /// The kernel takes at most 4,096 instructions.
    TooLong { instructions: usize },
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Form(why) => write!(out, "the profile is not of the OCI/Docker form: {why}"),
            Error::UnknownKey { place, key } => {
                write!(out, "unknown key `{key}` in {place}: remove it, skipping it could loosen the filter")
            }
            Error::ArchitectureMissing(name) => {
                write!(out, "the profile is not for this machine: add {name} to `archMap` or `architectures`")
            }
            Error::ReturnTooLarge { call, value, most } => {
                write!(out, "`errnoRet` {value} for {call} is too large: use at most {most}")
            }
            Error::NoSuchArgument { call, index } => {
                write!(out, "a rule for {call} looks at argument {index}: system calls have the arguments 0 to 5")
            }
            Error::ArgumentTwice { call, index } => write!(
                out,
                "a rule for {call} looks at argument {index} twice, which container engines read differently: \
                 write it with one condition, or as several rules"
            ),
            Error::Contradiction { call } => {
                write!(out, "two rules without `args` want different things for {call}: keep one of them")
            }
            Error::TooLong { instructions } => {
                write!(out, "the filter has {instructions} instructions and the kernel takes 4096: use fewer rules")
            }
        }
    }
}
