//! What an engine says of itself.

use bollard::models::{SystemInfo, SystemVersion};
use std::fmt;

/// An engine, as far as it matters for what it can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) product: Product,
    pub(crate) version: String,
    pub(crate) api: String,
    pub(crate) os: String,
    /// As Rust names it.
    pub(crate) arch: String,
    pub(crate) kernel: String,
    pub(crate) system: String,
    pub(crate) rootless: bool,
    pub(crate) userns: bool,
    pub(crate) seccomp: bool,
    pub(crate) security: Vec<String>,
    pub(crate) cgroup_version: String,
    pub(crate) cgroup_driver: String,
    pub(crate) memory: bool,
    pub(crate) swap: bool,
    pub(crate) cpus: bool,
    pub(crate) pids: bool,
    pub(crate) warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Docker,
    Desktop,
    Colima,
    Podman,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Product::Docker => "Docker",
            Product::Desktop => "Docker Desktop",
            Product::Colima => "Docker in Colima",
            Product::Podman => "Podman",
        })
    }
}

impl About {
    pub(crate) fn read(told: &SystemVersion, info: &SystemInfo) -> About {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let components = told.components.iter().flatten();
        let podman = components.clone().any(|part| part.name.starts_with("Podman"));
        let system = text(&info.operating_system);
        let name = text(&info.name);
        let product = match () {
            () if podman => Product::Podman,
            () if system.starts_with("Docker Desktop") => Product::Desktop,
            () if name == "colima" || name.starts_with("colima-") => Product::Colima,
            () => Product::Docker,
        };
        let security: Vec<String> = info.security_options.clone().unwrap_or_default();
        let has =
            |name: &str| security.iter().any(|option| option.split(',').any(|part| part == format!("name={name}")));
        About {
            product,
            version: text(&told.version),
            api: text(&told.api_version),
            os: text(&info.os_type),
            arch: arch(&text(&told.arch)).to_string(),
            kernel: text(&info.kernel_version),
            system,
            rootless: has("rootless"),
            userns: has("userns"),
            seccomp: has("seccomp"),
            cgroup_version: info.cgroup_version.map(|version| version.to_string()).unwrap_or_default(),
            cgroup_driver: info.cgroup_driver.map(|driver| driver.to_string()).unwrap_or_default(),
            memory: info.memory_limit == Some(true),
            swap: info.swap_limit == Some(true),
            cpus: info.cpu_cfs_quota == Some(true),
            pids: info.pids_limit == Some(true),
            security,
            warnings: info.warnings.clone().unwrap_or_default(),
        }
    }

    /// Whether its containers run in a machine of their own, apart from the user's.
    pub(crate) fn virtual_machine(&self) -> bool {
        matches!(self.product, Product::Desktop | Product::Colima) || std::env::consts::OS != "linux"
    }
}

/// The name of an architecture as Rust has it.
fn arch(told: &str) -> &str {
    match told {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    }
}
