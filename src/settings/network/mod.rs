//! `permissions.network`: what a task may reach. Read from the file, laid over by options, checked as the gateway would.

mod planned;
mod read;
mod write;

pub(super) use read::{read, typed};

use super::error::{At, Error, Result, Told};
use super::variable;
use aido_gateway::{Budget, HostRule, Inject as GatewayInject, Policy as Checked, Rules, Secret, Tls};
use serde::Serialize;

/// What a task may reach; the default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Any public host, and where that was said.
    #[serde(serialize_with = "whether")]
    pub any: Option<At>,
    /// Hosts by name, in the order in which they were written.
    #[serde(serialize_with = "values")]
    pub hosts: Vec<Told<Host>>,
    /// For all of the run.
    #[serde(flatten)]
    pub most: Most,
}

/// One line of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Host {
    /// A name, or `*.NAME`.
    pub host: String,
    /// Refuses what it names, whatever else is allowed.
    #[serde(skip_serializing_if = "is_no")]
    pub deny: bool,
    /// What the gateway takes where none are named is 80 and 443.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<u16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inject: Option<Inject>,
    /// `tls: pass`: never opened.
    #[serde(skip_serializing_if = "is_no")]
    pub pass: bool,
    /// It may lead to addresses that are not public.
    #[serde(skip_serializing_if = "is_no")]
    pub private: bool,
    #[serde(skip_serializing_if = "is_no")]
    pub websocket: bool,
    #[serde(flatten)]
    pub most: Most,
    /// The user has typed its name, and so said that this file's line is meant.
    #[serde(skip)]
    pub consented: bool,
}

/// A header that requests get outside of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inject {
    pub header: String,
    /// With one `${NAME}` where the secret goes.
    pub value: String,
    /// The caller's variable that has the secret.
    pub from: String,
}

/// Bounds on an amount; what is absent has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Most {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_no(value: &bool) -> bool {
    !value
}

fn whether<S: serde::Serializer>(any: &Option<At>, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_bool(any.is_some())
}

fn values<S: serde::Serializer>(hosts: &[Told<Host>], to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_seq(hosts.iter().map(|told| &told.value))
}

/// Stands for a secret where only the rest of a rule is looked at.
const SOME_SECRET: &str = "some-secret";

impl Network {
    /// Whether nothing can be reached.
    pub fn is_none(&self) -> bool {
        self.any.is_none() && self.hosts.iter().all(|told| told.value.deny)
    }

    /// Where the first thing that is granted was asked for.
    pub fn asked_at(&self) -> Option<&At> {
        let host = self.hosts.iter().find(|told| !told.value.deny).map(|told| &told.at);
        self.any.as_ref().or(host)
    }

    /// Takes a typed host as the user's word for what a file grants there and must not grant alone; the file's own line,
    /// which is the narrower one, is what holds then. False: there is none.
    pub(super) fn consent(&mut self, typed: &Told<Host>) -> bool {
        let ports = |host: &Host| host.ports.clone().unwrap_or_default();
        let meant = |host: &Host| {
            let within = ports(&typed.value).iter().all(|port| ports(host).contains(port));
            host.gives_away() && host.host == typed.value.host && within
        };
        let mut meant: Vec<_> = self.hosts.iter_mut().filter(|told| meant(&told.value)).collect();
        meant.iter_mut().for_each(|told| told.value.consented = true);
        !meant.is_empty()
    }

    /// What is granted and was not typed, for a person.
    pub fn granted_by_file(&self) -> Vec<String> {
        let typed = |at: &At| matches!(at, At::Flag(_));
        let any = self.any.iter().filter(|at| !typed(at)).map(|_| ANY.to_string());
        let hosts = self.hosts.iter().filter(|told| !told.value.deny && !typed(&told.at));
        any.chain(hosts.map(|told| told.value.described())).collect()
    }

    /// What can be reached and how, one line each, with a word on what is wide.
    pub fn described(&self) -> Vec<String> {
        let any = self.any.iter().map(|_| format!("{ANY}; wide: what the task reads can go to anybody"));
        let hosts = self.hosts.iter().map(|told| told.value.described());
        let most = self.most.described();
        let most = (!most.is_empty()).then(|| format!("all together {most}"));
        any.chain(hosts).chain(most).collect()
    }

    /// The caller's variables whose values go into headers, with the place where each is named.
    pub fn variables(&self) -> impl Iterator<Item = Told<&str>> {
        self.hosts.iter().filter_map(|told| {
            let inject = told.value.inject.as_ref()?;
            Some(Told::new(inject.from.as_str(), told.at.clone()))
        })
    }

    /// Holds the rules against each other and against what the gateway takes.
    pub(super) fn check(&self) -> Result<()> {
        self.hosts.iter().filter(|told| !told.value.deny).try_for_each(refuse_this_machine)?;
        let hosts = self.hosts.iter().map(|told| told.value.rule()).collect();
        let rules = Rules { any: self.any.is_some(), hosts, budget: self.most.budget() };
        let Err(wrong) = Checked::new(rules) else { return Ok(()) };
        let at = self.hosts.get(wrong.rule).map(|told| told.at.clone()).unwrap_or_default();
        let host = self.hosts.get(wrong.rule).map_or("", |told| told.value.host.as_str());
        let what = match wrong.words.contains(&format!("`{host}`")) {
            true => wrong.words,
            false => format!("the rule for `{host}`: {}", wrong.words),
        };
        if matches!(at, At::Flag(_)) {
            return Err(Error::new(at, what).remedy(TYPED));
        }
        Err(Error::new(at, what).remedy(
            "write a host (`docs.example.com`, `*.cdn.example.com`), or {host: …} with `ports`, `methods`, `paths`, `inject`, `tls: pass`, `private: true`; docs/NETWORK.md has all of them",
        ))
    }
}

/// Every sandbox has a `localhost` of its own, so no rule for it can lead out.
fn refuse_this_machine(told: &Told<Host>) -> Result<()> {
    let host = told.value.host.trim_end_matches('.').to_ascii_lowercase();
    if host != "localhost" && !host.ends_with(".localhost") {
        return Ok(());
    }
    let what = format!("`{}` is the sandbox's own loopback: no task leaves by it", told.value.host);
    Err(Error::new(told.at.clone(), what).remedy(
        "a service of this machine is reached by another name of it (`hostname`), with `private: true` in sandbox.yaml; see docs/NETWORK.md",
    ))
}

/// What `--allow-host` takes.
const TYPED: &str = "write a host, and a port that is not 80 or 443 behind a colon: `--allow-host docs.example.com:8443`; the rest is said by `network` of sandbox.yaml (docs/NETWORK.md)";

const ANY: &str = "any public host, on ports 22, 80, 443, 8080, 8443 and 9418";

impl Host {
    fn rule(&self) -> HostRule {
        HostRule {
            host: self.host.clone(),
            deny: self.deny,
            ports: self.ports.clone(),
            methods: self.methods.clone(),
            paths: self.paths.clone(),
            inject: self.inject.as_ref().map(|inject| GatewayInject {
                header: inject.header.clone(),
                value: inject.value.clone(),
                secret: Secret::new(SOME_SECRET.to_string()),
            }),
            tls: self.pass.then_some(Tls::Pass),
            private: self.private,
            websocket: self.websocket,
            budget: self.most.budget(),
        }
    }

    /// Ways to addresses that are not public, or the user's own credential: more than a file may grant alone.
    pub fn gives_away(&self) -> bool {
        !self.deny && (self.private || self.inject.is_some())
    }

    /// Whether requests are looked at, for which TLS is opened.
    pub fn is_opened(&self) -> bool {
        self.methods.is_some() || self.paths.is_some() || self.inject.is_some() || self.websocket
    }

    /// One line for a person; never a secret.
    pub fn described(&self) -> String {
        let mut line = self.host.clone();
        let mut put = |text: &str| line.push_str(text);
        match &self.ports {
            Some(ports) => put(&format!(":{}", joined(ports, ","))),
            None if self.deny => {}
            None if self.inject.is_some() || self.pass => put(":443"),
            None => put(":80,443"),
        }
        if let Some(methods) = &self.methods {
            put(&format!(" {}", methods.join(",")));
        }
        if let Some(paths) = &self.paths {
            put(&format!(" {}", paths.join(" ")));
        }
        if self.deny {
            return format!("not {line}");
        }
        if let Some(Inject { header, from, .. }) = &self.inject {
            put(&format!("; header {header} from your {from}"));
        }
        if self.is_opened() {
            put("; TLS is opened");
        }
        if self.pass {
            put("; TLS is passed on: only the name is looked at");
        }
        if self.websocket {
            put("; WebSockets");
        }
        if self.private {
            put("; wide: also private addresses, this machine's and its network's");
        }
        if self.host.starts_with("*.") {
            put("; wide: every name one part below");
        }
        let most = self.most.described();
        if !most.is_empty() {
            put(&format!("; {most}"));
        }
        line
    }
}

impl Most {
    fn budget(self) -> Budget {
        Budget { connections: self.connections, bytes: self.bytes }
    }

    fn described(self) -> String {
        let bytes = self.bytes.map(super::show_bytes);
        let connections = self.connections.map(|number| format!("{number} connections"));
        let parts: Vec<String> = bytes.into_iter().chain(connections).collect();
        if parts.is_empty() { String::new() } else { format!("at most {}", parts.join(" and ")) }
    }
}

fn joined(ports: &[u16], with: &str) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(with)
}

#[cfg(test)]
mod tests;
