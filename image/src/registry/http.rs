//! One request and its answer: clients, redirects, bodies that cannot grow.

use super::hosts::{Host, Way, is_near, linked, near, without_port};
use super::pace::Chunks;
use super::trouble::{Sort, Trouble};
use crate::{Error, Kind, Registries, limits};
use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Without a single byte.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 5;
/// As much of an answer that is none as is read.
const ERROR_BYTES: usize = 8 << 10;

pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// For this host and port alone, wherever it sends us.
    pub(super) secret: Option<HeaderValue>,
    /// A form, which is never sent anywhere else.
    pub(super) form: Option<String>,
}

impl Request {
    pub(super) fn get(url: Url) -> Request {
        Request { method: Method::GET, url, headers: HeaderMap::new(), secret: None, form: None }
    }
}

/// Which connections go together: those with the same idea of whom to trust.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Pool {
    Home(bool, bool),
    /// Where the host sends us: plain, or with certificates that hold.
    Away(bool),
    /// A host that the user said something of.
    Named(String),
}

/// The connections for one host and where it sends us. Each layer has one of its own: HTTP/1.1, so
/// that they share neither a window nor the order of their packets.
pub(super) struct Clients {
    pub(super) host: Host,
    insecure: Vec<String>,
    registries: Registries,
    pools: Mutex<HashMap<Pool, Client>>,
    /// Its name led to this machine.
    found_near: AtomicBool,
    proxies: Vec<String>,
}

impl Clients {
    pub(super) fn new(host: Host, insecure: &[String], registries: &Registries) -> Clients {
        provide_cryptography();
        let (insecure, registries) = (insecure.to_vec(), registries.clone());
        Clients {
            host,
            insecure,
            registries,
            pools: Mutex::default(),
            found_near: AtomicBool::new(false),
            proxies: proxies(),
        }
    }

    /// The address of something of the registry's.
    pub(super) fn url(&self, way: Way, path: &str) -> Result<Url, Trouble> {
        let scheme = if way == Way::Http { "http" } else { "https" };
        let text = format!("{scheme}://{}/v2/{path}", self.host.authority());
        Url::parse(&text).map_err(|e| Trouble::new(Sort::Final, format!("cannot be asked: {e}")))
    }

    /// Sends a request and follows where it leads, as far as that is safe.
    pub(super) async fn send(&self, way: Way, request: &Request) -> Result<Response, Trouble> {
        let home = self.url(way, "")?;
        let mut url = request.url.clone();
        for _ in 0..=REDIRECTS {
            let at_home = url.origin() == home.origin();
            let client = if at_home { self.home(way) } else { self.away(&url) };
            let mut built = client?.request(request.method.clone(), url.clone()).headers(request.headers.clone());
            if let Some(secret) = request.secret.as_ref().filter(|_| url.origin() == request.url.origin()) {
                built = built.header(AUTHORIZATION, secret);
            }
            if let Some(form) = &request.form {
                built = built.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.clone());
            }
            let response = built.send().await.map_err(|e| self.explain(&e, &url, at_home))?;
            if at_home && self.proxies.is_empty() && response.remote_addr().is_some_and(|a| near(a.ip())) {
                self.found_near.store(true, Ordering::Relaxed);
            }
            match self.next(&url, &response)? {
                None => return Ok(response),
                Some(_) if request.form.is_some() => {
                    return Err(Trouble::new(Sort::Final, "sends a login elsewhere, where it does not belong"));
                }
                Some(next) => url = next,
            }
        }
        Err(Trouble::new(Sort::Final, format!("sends us on more than {REDIRECTS} times")))
    }

    /// Where an answer leads; nothing if it is one itself.
    fn next(&self, from: &Url, response: &Response) -> Result<Option<Url>, Trouble> {
        use StatusCode as S;
        let status = response.status();
        let leads = [S::MOVED_PERMANENTLY, S::FOUND, S::SEE_OTHER, S::TEMPORARY_REDIRECT, S::PERMANENT_REDIRECT];
        if !leads.contains(&status) {
            return Ok(None);
        }
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let nowhere = || Trouble::new(Sort::Final, format!("answered {status} without saying where"));
        let mut url = location.and_then(|location| from.join(location).ok()).ok_or_else(nowhere)?;
        // What stands there would be sent as a login.
        let _ = (url.set_username(""), url.set_password(None));
        if from.scheme() == "https" && url.scheme() != "https" {
            return Err(Trouble::new(Sort::Final, "sends us to a place without encryption"));
        }
        self.permit(&url)?;
        Ok(Some(url))
    }

    /// A stranger's word leads to other hosts of the network, but not to this machine's own services;
    /// nobody's leads to what answers on the link, unless it is the host itself.
    pub(super) fn permit(&self, url: &Url) -> Result<(), Trouble> {
        let host = url.host_str().unwrap_or_default();
        if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
            return Err(Trouble::new(Sort::Final, "sends us to what is no web address"));
        }
        let bare = host.trim_matches(['[', ']']);
        if bare != without_port(&self.host.name) && bare.parse().is_ok_and(linked) {
            return Err(Trouble::new(
                Sort::Final,
                format!("sends us to {host}, which is a service of this machine's link"),
            ));
        }
        if !self.is_near() && is_near(bare) {
            return Err(Trouble::new(Sort::Final, format!("sends us to {host}, which is this machine")));
        }
        Ok(())
    }

    /// Whether the host itself is this machine, which may then lead to itself.
    pub(super) fn is_near(&self) -> bool {
        self.host.near || self.found_near.load(Ordering::Relaxed)
    }

    fn explain(&self, error: &reqwest::Error, url: &Url, at_home: bool) -> Trouble {
        let trouble = Trouble::from_http(error);
        if at_home {
            return trouble;
        }
        // Another way to the registry, or another word of the user's about it, would not help there.
        let sort = match trouble.sort {
            Sort::Unreachable => Sort::Passing(None),
            Sort::Unsafe => Sort::Final,
            sort => sort,
        };
        Trouble::new(sort, format!("sends us to {}, which {}", url.host_str().unwrap_or_default(), trouble.what))
    }

    fn pool(&self, pool: Pool, make: impl FnOnce() -> Result<Client, Error>) -> Result<Client, Trouble> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = pools.get(&pool) {
            return Ok(client.clone());
        }
        let client = make().map_err(Trouble::ours)?;
        pools.insert(pool, client.clone());
        Ok(client)
    }

    fn home(&self, way: Way) -> Result<Client, Trouble> {
        self.pool(Pool::Home(way == Way::Http, way == Way::Unchecked), || {
            // What is on this machine is no proxy's business.
            client(way, &[&self.host], |builder| Ok(if self.host.near { builder.no_proxy() } else { builder }))
        })
    }

    fn away(&self, url: &Url) -> Result<Client, Trouble> {
        let plain = url.scheme() == "http";
        let name = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let there = Host::new(&name, String::new(), &self.insecure, &self.registries).map_err(Trouble::ours)?;
        let special = !plain && (there.insecure || !there.certificates.is_empty());
        let pool = if special { Pool::Named(name) } else { Pool::Away(plain) };
        let way = match (plain, there.insecure) {
            (true, _) => Way::Http,
            (_, true) => Way::Unchecked,
            _ => Way::Https,
        };
        self.pool(pool, || {
            // What it shows of itself is for the host alone; whom it trusts holds for where it leads.
            let trusted = Host { certificates: self.host.certificates.without_own(), ..self.host.clone() };
            client(way, &[&there, &trusted], |builder| {
                let near = self.is_near();
                let builder = if near && there.near { builder.no_proxy() } else { builder };
                Ok(builder.dns_resolver(Arc::new(Guard { open: self.proxies.clone(), near })))
            })
        })
    }
}

fn client(
    way: Way,
    hosts: &[&Host],
    set: impl FnOnce(reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, Error>,
) -> Result<Client, Error> {
    let mut builder = Client::builder()
        .user_agent(concat!("aido/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE_TIMEOUT)
        .pool_max_idle_per_host(limits::LAYERS_AT_ONCE);
    match way {
        // The system's certificates are many, and a machine without any can do without here.
        Way::Http => builder = builder.tls_certs_only([]),
        Way::Unchecked => builder = builder.tls_danger_accept_invalid_certs(true),
        Way::Https => {
            for host in hosts {
                builder = builder.tls_certs_merge(host.certificates.roots()?);
            }
        }
    }
    if way != Way::Http
        && let Some(own) = hosts.first().map(|host| host.certificates.own()).transpose()?.flatten()
    {
        builder = builder.identity(own);
    }
    set(builder)?.build().map_err(|e| {
        Error::new(Kind::Registry, format!("TLS cannot be set up: {}", super::trouble::chain(&e)))
            .remedy("install the system's certificates (package ca-certificates)")
    })
}

fn provide_cryptography() {
    static PROVIDER: Once = Once::new();
    // Fails only if the program chose a provider before, which is as good.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// Names that lead to this machine count as if its address stood there.
struct Guard {
    /// Proxies, which may well be on this machine.
    open: Vec<String>,
    /// Who leads us is this machine itself.
    near: bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let open = self.open.iter().any(|open| open == name.as_str());
        let closed = if self.near { linked } else { near };
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<_> = found.filter(|address| open || !closed(address.ip())).collect();
            if found.is_empty() {
                return Err("it has no address but such of this machine".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The hosts of the proxies that the environment names.
fn proxies() -> Vec<String> {
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let values = names.iter().filter_map(|name| std::env::var(name).ok()).filter(|value| !value.is_empty());
    let url =
        |value: String| Url::parse(&value).ok().filter(Url::has_host).or(Url::parse(&format!("http://{value}")).ok());
    values.filter_map(|value| Some(url(value)?.host_str()?.to_owned())).collect()
}

impl Chunks for Response {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Trouble> {
        Response::chunk(self).await.map_err(|e| match Trouble::from_http(&e) {
            late @ Trouble { sort: Sort::Late, .. } => late,
            broken => Trouble::new(Sort::Passing(None), broken.what),
        })
    }
}

/// The whole body, if it is no larger than `most`.
pub(super) async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    while let Some(chunk) = Chunks::chunk(&mut response).await? {
        if bytes.len() + chunk.len() > most {
            return Err(Trouble::new(Sort::Limit, format!("answered with more than {most} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What an answer means that is none.
pub(super) async fn refusal(mut response: Response) -> Trouble {
    let mut bytes = Vec::new();
    while bytes.len() < ERROR_BYTES
        && let Ok(Some(chunk)) = Chunks::chunk(&mut response).await
    {
        bytes.extend_from_slice(&chunk[..chunk.len().min(ERROR_BYTES - bytes.len())]);
    }
    Trouble::from_answer(response.status(), response.headers(), &bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What the guard makes of a name.
    pub(crate) fn guarded(name: &str, near: bool) -> Result<usize, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(Guard { open: Vec::new(), near }.resolve(name.parse().unwrap()));
        found.map(Iterator::count).map_err(|e| e.to_string())
    }
}
