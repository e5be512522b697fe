//! Which of an index's images fits a machine.

use crate::{Error, Kind, Result};
use std::fmt;
use std::str::FromStr;

/// Operating system, architecture and variant, in Go's names as OCI uses them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    /// Empty: any.
    pub variant: String,
}

impl Platform {
    /// What this machine runs: Linux on its own architecture.
    pub fn here() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "x86" => ("386", ""),
            "aarch64" => ("arm64", "v8"),
            "arm" => ("arm", "v7"),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", ""),
            "powerpc64" => ("ppc64", ""),
            "loongarch64" => ("loong64", ""),
            other => (other, ""),
        };
        Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
    }

    /// How well an image for `other` runs here: 0 is best, `None` not at all.
    pub(crate) fn rank(&self, other: &Platform) -> Option<usize> {
        if self.os != other.os || self.architecture != other.architecture {
            return None;
        }
        let accepted: &[&str] = match (self.architecture.as_str(), self.variant.as_str()) {
            ("amd64", "") => amd64_levels(),
            ("arm64", "" | "v8") => &["v8", ""],
            ("arm", "" | "v7") => &["v7", "", "v6", "v5"],
            ("arm", "v6") => &["v6", "", "v5"],
            (_, variant) => return (other.variant == variant).then_some(0),
        };
        accepted.iter().position(|variant| *variant == other.variant)
    }
}

/// The plain build first: it is what everybody tests. A level above it only where nothing else is.
fn amd64_levels() -> &'static [&'static str] {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("bmi2") {
            return &["", "v1", "v2", "v3"];
        }
        if std::arch::is_x86_feature_detected!("sse4.2") && std::arch::is_x86_feature_detected!("popcnt") {
            return &["", "v1", "v2"];
        }
    }
    &["", "v1"]
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |p: &&str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(word) {
            let what = format!("`{}` is no platform", text.escape_debug());
            return Err(Error::new(Kind::Name, what).remedy("write it as `linux/amd64` or `linux/arm64/v8`"));
        }
        let part = |n: usize| parts.get(n).copied().unwrap_or_default().to_owned();
        Ok(Platform { os: part(0), architecture: part(1), variant: part(2) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(here: &str, image: &str) -> Option<usize> {
        here.parse::<Platform>().unwrap().rank(&image.parse().unwrap())
    }

    #[test]
    fn variants_are_taken_in_the_order_that_runs_best() {
        assert!(rank("linux/arm/v7", "linux/arm/v7") < rank("linux/arm/v7", "linux/arm/v6"));
        assert!(rank("linux/arm/v7", "linux/arm/v6").is_some());
        assert_eq!(rank("linux/arm/v6", "linux/arm/v7"), None);
        assert!(rank("linux/arm64", "linux/arm64/v8").is_some() && rank("linux/arm64/v8", "linux/arm64").is_some());
        assert_eq!(rank("linux/amd64", "linux/amd64"), Some(0));
        assert_eq!(rank("linux/amd64", "linux/amd64/v9"), None);
        assert_eq!(rank("linux/amd64", "windows/amd64"), None);
        assert_eq!(rank("linux/amd64", "unknown/unknown"), None);
    }

    #[test]
    fn this_machine_has_a_name() {
        let here = Platform::here();
        assert_eq!(here.os, "linux");
        assert_eq!(here.rank(&here), Some(0));
        assert!("linux".parse::<Platform>().is_err() && "a/b/c/d".parse::<Platform>().is_err());
    }
}
