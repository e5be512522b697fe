//! The profile of system calls in the form that an engine reads, from the very files that aido's own compiler reads.

use crate::os;
use aido_runtime::{Error, SyscallProfile};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::PathBuf;

const DEFAULT: &str = include_str!("../../seccomp-profiles/default.json");
const STRICT: &str = include_str!("../../seccomp-profiles/strict.json");
/// What the warden needs beyond what every profile has.
const WARDEN: [&str; 8] =
    ["read", "write", "clone", "wait4", "kill", "rt_sigprocmask", "rt_sigtimedwait", "clock_gettime"];

/// A profile for one container.
#[derive(Debug)]
pub(crate) struct Profile {
    /// What the engine is given.
    pub(crate) text: String,
    /// Its name and digest.
    pub(crate) words: String,
    /// Why it is weaker than aido's own, where that is known.
    pub(crate) own: bool,
}

impl Profile {
    pub(crate) fn of(profile: &SyscallProfile) -> Result<Profile, Error> {
        let (name, text, own) = match profile {
            SyscallProfile::Default => ("default".to_string(), DEFAULT, false),
            SyscallProfile::Strict => ("strict".to_string(), STRICT, false),
            SyscallProfile::File { path, profile } => (path.display().to_string(), profile.as_str(), true),
        };
        let text = convert(text).map_err(|why| Error::new(format!("the system call profile {name}: {why}")))?;
        let digest: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Profile { words: format!("seccomp profile {name}, as given to the engine sha256:{digest}"), text, own })
    }
}

/// A profile for an engine that reads files only: there for as long as the container is being made.
pub(crate) struct InFile(PathBuf);

impl InFile {
    pub(crate) fn write(profile: &Profile, run: &str) -> Result<InFile, Error> {
        let path = InFile::of(run);
        let failed = |e: std::io::Error| Error::new(format!("cannot write {}: {e}", path.display()));
        os::plain_file(&path).and_then(|mut file| file.write_all(profile.text.as_bytes())).map_err(failed)?;
        Ok(InFile(path))
    }

    fn of(run: &str) -> PathBuf {
        std::env::temp_dir().join(format!("{run}-seccomp.json"))
    }

    /// Removes what somebody left who was killed meanwhile.
    pub(crate) fn forget(run: &str) {
        let _ = std::fs::remove_file(InFile::of(run));
    }

    pub(crate) fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for InFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Without comments, and with one list of architectures: engines refuse both together.
fn convert(text: &str) -> Result<String, String> {
    let mut profile: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let top = profile.as_object_mut().ok_or("it is no object")?;
    let filled = |value: Option<&Value>| value.and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if filled(top.get("archMap")) {
        top.remove("architectures");
    } else {
        top.remove("archMap");
    }
    let rules = top.get_mut("syscalls").and_then(Value::as_array_mut).ok_or("it has no list of system calls")?;
    for rule in rules.iter_mut() {
        let rule = rule.as_object_mut().ok_or("a rule is no object")?;
        for key in ["includes", "excludes"] {
            if rule.get(key).is_some_and(|value| !value.is_null() && value != &serde_json::json!({})) {
                return Err(format!("filled `{key}` are refused: engines decide by them what aido would not"));
            }
        }
        rule.remove("comment");
    }
    if top.get("defaultAction").and_then(Value::as_str) != Some("SCMP_ACT_ALLOW") {
        let rules = top.get("syscalls").and_then(Value::as_array).into_iter().flatten();
        let allowing = rules.filter(|rule| rule["action"] == "SCMP_ACT_ALLOW");
        let allowed: Vec<&str> =
            allowing.flat_map(|rule| rule["names"].as_array()).flatten().filter_map(Value::as_str).collect();
        if let Some(missing) = WARDEN.iter().find(|name| !allowed.contains(name)) {
            return Err(format!(
                "it must allow {}: aido's own first process is under it too on a container engine",
                missing
            ));
        }
    }
    serde_json::to_string(&profile).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_are_the_files_without_their_comments() {
        for (profile, source) in [(SyscallProfile::Default, DEFAULT), (SyscallProfile::Strict, STRICT)] {
            let given: Value = serde_json::from_str(&Profile::of(&profile).unwrap().text).unwrap();
            let mut file: Value = serde_json::from_str(source).unwrap();
            for rule in file["syscalls"].as_array_mut().unwrap() {
                rule.as_object_mut().unwrap().remove("comment");
            }
            assert_eq!(given, file);
        }
    }

    #[test]
    fn a_profile_that_ends_the_warden_or_is_read_in_two_ways_is_refused() {
        let file = |profile: &str| {
            Profile::of(&SyscallProfile::File { path: "p.json".into(), profile: profile.into() }).map(|p| p.text)
        };
        let error =
            file(r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#);
        assert!(error.unwrap_err().what.contains("must allow write"));
        let open = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"archMap":[],"syscalls":[{"names":["mount"],"action":"SCMP_ACT_ERRNO","includes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;
        assert!(file(open).unwrap_err().what.contains("includes"));
        let oci = open.replace(r#","includes":{"caps":["CAP_SYS_ADMIN"]}"#, "");
        let given: Value = serde_json::from_str(&file(&oci).unwrap()).unwrap();
        assert!(given.get("archMap").is_none() && given["architectures"][0] == "SCMP_ARCH_X86_64");
        assert!(file("[]").is_err());
    }
}
