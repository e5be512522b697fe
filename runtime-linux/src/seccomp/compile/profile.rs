//! Reads the JSON form, as Docker writes it and as the OCI runtime specification has it.

use super::{Error, Machine};
use oci_spec::runtime::{Arch, LinuxSeccomp};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Docker's way to name architectures.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchMapEntry {
    architecture: Arch,
    /// Foreign ABIs that the author would allow. They end the process here all the same.
    #[serde(default, rename = "subArchitectures")]
    _sub_architectures: Option<Vec<Arch>>,
}

/// Parses a profile and checks that every key in it is one that will be obeyed.
pub(crate) fn read(json: &str, machine: Machine) -> Result<LinuxSeccomp, Error> {
    let mut profile: Map<String, Value> = serde_json::from_str(json).map_err(form)?;
    let known = ["defaultAction", "defaultErrnoRet", "archMap", "architectures", "syscalls"];
    check_keys(&profile, "the profile", &known)?;
    for (index, rule) in profile.get("syscalls").and_then(Value::as_array).into_iter().flatten().enumerate() {
        check_rule(rule, index)?;
    }
    let mut architectures: Vec<Arch> = match profile.remove("archMap").filter(filled) {
        Some(map) => {
            let entries: Vec<ArchMapEntry> = serde_json::from_value(map).map_err(form)?;
            entries.into_iter().map(|entry| entry.architecture).collect()
        }
        None => Vec::new(),
    };
    let mut profile: LinuxSeccomp = serde_json::from_value(Value::Object(profile)).map_err(form)?;
    architectures.extend(profile.architectures().iter().flatten());
    let (native, name) = machine.oci();
    let spoken = architectures.iter().any(|arch| [native, Arch::ScmpArchNative].contains(arch));
    if !architectures.is_empty() && !spoken {
        return Err(Error::ArchitectureMissing(name));
    }
    profile.set_architectures(Some(vec![native]));
    Ok(profile)
}

/// Docker's `includes` and `excludes` switch rules by capability and kernel: only empty ones are obeyed here.
fn check_rule(rule: &Value, index: usize) -> Result<(), Error> {
    let place = format!("rule {index} of `syscalls`");
    let Some(rule) = rule.as_object() else {
        return Err(Error::Form(format!("{place} is not an object")));
    };
    let idle = |key: &str, value: &Value| ["includes", "excludes"].contains(&key) && !filled(value);
    let set = rule.iter().filter(|(key, value)| !idle(key, value));
    let set: Map<String, Value> = set.map(|(key, value)| (key.clone(), value.clone())).collect();
    check_keys(&set, &place, &["names", "action", "errnoRet", "args", "comment"])?;
    for condition in rule.get("args").and_then(Value::as_array).into_iter().flatten() {
        if let Some(condition) = condition.as_object() {
            check_keys(condition, &format!("`args` of {place}"), &["index", "value", "valueTwo", "op"])?;
        }
    }
    Ok(())
}

fn check_keys(object: &Map<String, Value>, place: &str, known: &[&str]) -> Result<(), Error> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Error::UnknownKey { place: place.to_owned(), key: key.clone() }),
        None => Ok(()),
    }
}

fn filled(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        _ => true,
    }
}

fn form(error: serde_json::Error) -> Error {
    Error::Form(error.to_string())
}
