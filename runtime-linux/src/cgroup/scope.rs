//! A transient scope of systemd's: the way to a group of one's own on a host that systemd runs.

use super::bus::Bus;
use super::place::{Map, Spot};
use super::want::Lack;
use rustbus::message_builder::{MarshalledMessage, MessageBuilder};
use rustbus::wire::errors::MarshalError;
use rustbus::wire::marshal::MarshalContext;
use rustbus::wire::marshal::traits::SignatureBuffer;
use rustbus::wire::unmarshal::traits::Variant;
use rustbus::{Marshal, Signature, signature};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// For the whole conversation, the start of the scope included.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between systemd's request to end and its kill, when our own watchdogs failed.
const STOP_USEC: u64 = 2_000_000;

/// Moves this process into the new scope `unit`, and answers where that is.
pub(super) fn start(unit: &str, lives_ms: u64) -> Result<Spot, Lack> {
    let path = socket();
    let mut bus = Bus::open(&path, PATIENCE).map_err(|e| unreachable_bus(&path, &e))?;
    let failed = |e: io::Error| Lack::new(format!("systemd gave no scope {unit}: {e}"));
    bus.call(&job_ends()).map_err(failed)?;
    bus.call(&start_unit(unit, lives_ms).map_err(|e| failed(io::Error::other(format!("{e:?}"))))?).map_err(failed)?;
    let result = loop {
        let signal = bus.signal().map_err(failed)?;
        if signal.dynheader.member.as_deref() == Some("JobRemoved") {
            // Job, its object, the unit, and how it ended.
            let mut body = signal.body.parser();
            let (_, _): (u32, rustbus::wire::ObjectPath<&str>) = body.get2().map_err(|e| failed(invalid(e)))?;
            let (name, result): (String, String) = body.get2().map_err(|e| failed(invalid(e)))?;
            if name == unit {
                break result;
            }
        }
    };
    let spot = Map::read()?.v2()?;
    match spot.own.file_name().is_some_and(|name| name == unit) {
        true => Ok(spot),
        false => Err(Lack::new(format!("systemd started {unit} ({result}) but this process is not in it"))),
    }
}

/// The group below which systemd makes scopes for this user, as the kernel names it.
pub(super) fn manager_group() -> Result<(PathBuf, String), Lack> {
    let path = socket();
    let failed = |e: io::Error| unreachable_bus(&path, &e);
    let mut bus = Bus::open(&path, PATIENCE).map_err(failed)?;
    let mut get = MessageBuilder::new()
        .call("Get")
        .on(OBJECT)
        .with_interface("org.freedesktop.DBus.Properties")
        .at(SYSTEMD)
        .build();
    get.body.push_param2(MANAGER, "ControlGroup").map_err(|e| failed(io::Error::other(format!("{e:?}"))))?;
    let reply = bus.call(&get).map_err(failed)?;
    let value: Variant = reply.body.parser().get().map_err(|e| failed(invalid(e)))?;
    let group = value.get::<String>().map_err(|e| failed(invalid(e)))?;
    Ok((path, group))
}

/// The bus of this user's systemd; root's is the system's.
fn socket() -> PathBuf {
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return "/run/dbus/system_bus_socket".into();
    }
    let named = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join("bus"));
    named.filter(|path| path.exists()).unwrap_or_else(|| format!("/run/user/{uid}/bus").into())
}

fn unreachable_bus(path: &Path, error: &io::Error) -> Lack {
    let lack = Lack::new(format!("systemd cannot be asked for a scope over {}: {error}", path.display()));
    let uid = nix::unistd::geteuid();
    let remedy = match Path::new("/run/systemd/system").is_dir() {
        // Another init system: see `v2::parent` for what mends that.
        false => return lack,
        true if uid.is_root() => "systemctl start dbus.socket".to_string(),
        // The manager's own socket: it runs, but nobody made a bus for it.
        true if Path::new(&format!("/run/user/{uid}/systemd/private")).exists() => {
            "sudo apt-get install dbus-user-session && systemctl --user start dbus.socket".to_string()
        }
        true => format!("sudo loginctl enable-linger {uid} && sudo systemctl start user@{uid}.service"),
    };
    lack.remedy(remedy)
}

fn invalid(error: rustbus::wire::errors::UnmarshalError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{error:?}"))
}

fn job_ends() -> MarshalledMessage {
    let rule = format!("type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'");
    rustbus::standard_messages::add_match(&rule)
}

fn start_unit(unit: &str, lives_ms: u64) -> Result<MarshalledMessage, MarshalError> {
    // 0 is the caller, as the bus saw it: right in any pid namespace.
    let properties: [(&str, Value); 6] = [
        ("Description", Value::Text("aido: a sandboxed run")),
        ("PIDs", Value::Numbers(&[0])),
        ("Delegate", Value::Flag(true)),
        ("CollectMode", Value::Text("inactive-or-failed")),
        ("RuntimeMaxUSec", Value::Long(lives_ms.saturating_mul(1000))),
        ("TimeoutStopUSec", Value::Long(STOP_USEC)),
    ];
    let none: [(&str, &[(&str, Value)]); 0] = [];
    let call = MessageBuilder::new().call("StartTransientUnit").on(OBJECT).with_interface(MANAGER).at(SYSTEMD);
    let mut message = call.build();
    message.body.push_param4(unit, "fail", &properties[..], &none[..])?;
    Ok(message)
}

/// The value of a unit's property: a variant on the wire.
enum Value {
    Text(&'static str),
    Flag(bool),
    Long(u64),
    Numbers(&'static [u32]),
}

impl Signature for Value {
    fn signature() -> signature::Type {
        signature::Type::Container(signature::Container::Variant)
    }

    fn alignment() -> usize {
        1
    }

    fn sig_str(buffer: &mut SignatureBuffer) {
        buffer.push_static("v");
    }

    fn has_sig(sig: &str) -> bool {
        sig.starts_with('v')
    }
}

impl Marshal for Value {
    fn marshal(&self, to: &mut MarshalContext) -> Result<(), MarshalError> {
        match self {
            Value::Text(text) => text.marshal_as_variant(to),
            Value::Flag(flag) => flag.marshal_as_variant(to),
            Value::Long(number) => number.marshal_as_variant(to),
            Value::Numbers(numbers) => numbers.marshal_as_variant(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_is_what_systemd_documents() {
        let message = start_unit("aido-1.scope", 1500).unwrap();
        assert_eq!(message.get_sig(), "ssa(sv)a(sa(sv))");
        message.body.validate().unwrap();
        let mut body = message.body.parser();
        assert_eq!(body.get2::<&str, &str>().unwrap(), ("aido-1.scope", "fail"));
        let properties: Vec<(&str, Variant)> = body.get().unwrap();
        let long = |name| properties.iter().find(|(n, _)| *n == name).map(|(_, value)| value.get::<u64>().unwrap());
        assert_eq!(long("RuntimeMaxUSec"), Some(1_500_000));
        assert_eq!(long("TimeoutStopUSec"), Some(STOP_USEC));
    }

    #[test]
    fn a_life_without_end_does_not_wrap_round() {
        start_unit("aido-1.scope", u64::MAX).unwrap().body.validate().unwrap();
    }
}
