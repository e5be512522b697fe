//! What the command line lays over the file.

use super::asked::{Asked, Variable};
use super::error::{At, Error, Result, Told};
use super::{Network, network, variable};
use aido_runtime::{Control, Isolation, SyscallProfile};

/// Options of the command line, as they were typed. Lists add to the file's; everything else replaces.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub runtime: Option<String>,
    pub ttl: Option<String>,
    /// Where the file has no `inputs`, these are the only ones.
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub secret_files: Vec<String>,
    /// `NAME=VALUE`, or `NAME` for the caller's own value.
    pub env: Vec<String>,
    pub memory: Option<String>,
    pub cpus: Option<String>,
    pub pids: Option<String>,
    pub disk: Option<String>,
    /// `readonly` or `overlay`.
    pub filesystem: Option<String>,
    /// Any public host, beside what the file says of hosts.
    pub network: bool,
    /// Nothing, whatever the file says.
    pub no_network: bool,
    /// `NAME` or `NAME:PORT`, beside the file's.
    pub allow_hosts: Vec<String>,
    /// The task may change the project itself; no file can say that.
    pub mutations: bool,
    pub accept_weaker: Vec<Control>,
    /// A name, or a file of the user's.
    pub syscalls: Option<String>,
    /// The profile that the sandbox was made with.
    pub made_with: Option<SyscallProfile>,
    pub isolation: Isolation,
    /// How much is on record.
    pub record: Option<String>,
    pub workdir: Option<String>,
    pub offline: bool,
    pub insecure_registries: Vec<String>,
}

impl Overrides {
    pub(super) fn lay_over(&self, asked: &mut Asked) -> Result<()> {
        let replace = |slot: &mut Option<Told<String>>, flag: &str, value: &Option<String>| {
            if let Some(value) = value {
                *slot = Some(flagged(flag, value));
            }
        };
        replace(&mut asked.runtime, "--runtime", &self.runtime);
        asked.runtime_typed = self.runtime.is_some();
        // One of the user's own files is no part of a sandbox.yaml: the plan keeps it.
        let named = self.syscalls.clone().filter(|text| ["default", "strict"].contains(&text.as_str()));
        replace(&mut asked.syscalls, "--syscalls", &named);
        replace(&mut asked.ttl, "--ttl", &self.ttl);
        replace(&mut asked.filesystem, "--filesystem", &self.filesystem);
        replace(&mut asked.record, "--record", &self.record);
        self.lay_over_network(&mut asked.network)?;
        let resources = &mut asked.resources;
        replace(&mut resources.memory, "--memory", &self.memory);
        replace(&mut resources.cpus, "--cpus", &self.cpus);
        replace(&mut resources.pids, "--pids", &self.pids);
        replace(&mut resources.disk, "--disk", &self.disk);
        if !self.inputs.is_empty() {
            asked.inputs.get_or_insert_default().extend(self.inputs.iter().map(|text| flagged("--input", text)));
        }
        asked.outputs.extend(self.outputs.iter().map(|text| flagged("--output", text)));
        asked.secrets.extend(self.secret_files.iter().map(|text| flagged("--secret-file", text)));
        for text in &self.env {
            let at = At::Flag("--env".to_string());
            let (name, value): (String, Variable) =
                variable::typed(text).map_err(|what| Error::new(at.clone(), what))?;
            asked.env.insert(name, Told::new(value, at));
        }
        Ok(())
    }

    /// Nothing beats all else; the rest adds to what the file grants, and takes away nothing that it denies.
    fn lay_over_network(&self, network: &mut Network) -> Result<()> {
        if self.no_network {
            *network = Network::default();
            return Ok(());
        }
        if self.network {
            network.any = Some(At::Flag("--network".to_string()));
        }
        for text in &self.allow_hosts {
            let typed = network::typed(text)?;
            if !network.consent(&typed) {
                network.hosts.push(typed);
            }
        }
        Ok(())
    }
}

pub(super) fn flagged(flag: &str, value: &str) -> Told<String> {
    Told::new(value.to_string(), At::Flag(flag.to_string()))
}
