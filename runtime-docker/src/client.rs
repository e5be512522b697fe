//! A conversation with an engine: one thread, made for one call and gone after it, and a limit of time for everything.

use crate::about::About;
use crate::endpoint::{Address, Endpoint};
use crate::words;
use aido_runtime::Error;
use bollard::ClientVersion;
use std::future::Future;
use std::time::Duration;

/// An engine that is there answers small questions within this.
const QUICK: Duration = Duration::from_secs(60);
/// Archives and pulls: as long as something moves they may take this long.
const SLOW: Duration = Duration::from_secs(3600);
/// A first word.
const HELLO: Duration = Duration::from_secs(10);
/// Docker 19.03.
const LEAST: (usize, usize) = (1, 40);

/// An engine that has answered.
pub(crate) struct Session {
    pub(crate) api: bollard::Docker,
    /// The same engine, for what takes long.
    pub(crate) slow: bollard::Docker,
    pub(crate) about: About,
    pub(crate) at: String,
    pub(crate) address: Address,
}

/// Runs one conversation to its end. What is given says hello first.
pub(crate) fn converse<T>(
    endpoint: &Endpoint,
    talk: impl AsyncFnOnce(Session) -> Result<T, Error>,
) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|e| Error::new(format!("cannot wait for an engine: {e}")))?;
    let result = runtime.block_on(async { talk(Session::open(endpoint).await?).await });
    // A look-up of a name may still be under way: nobody waits for it.
    runtime.shutdown_background();
    result
}

impl Session {
    async fn open(endpoint: &Endpoint) -> Result<Session, Error> {
        let at = endpoint.to_string();
        let failed = |e: &bollard::errors::Error| words::failure(&at, "no container engine can be used", e);
        let api = connect(endpoint).map_err(|e| failed(&e))?;
        let hello = api.clone().with_timeout(HELLO);
        let told = hello.version().await.map_err(|e| failed(&e))?;
        let told_of_itself = hello.info().await.map_err(|e| failed(&e))?;
        let about = About::read(&told, &told_of_itself);
        let version = api_version(&about.api).ok_or_else(|| {
            Error::new(format!("the engine at {at} says {:?} of its API: this is no version", about.api))
        })?;
        if version < LEAST {
            let what = format!(
                "the engine at {at} ({} {}) is too old: its API is {}",
                about.product, about.version, about.api
            );
            return Err(Error::new(what).remedy("update it: API 1.40 (Docker 19.03) is the least"));
        }
        let api = connect_with(&endpoint.address, &client_version(version)).map_err(|e| failed(&e))?;
        let slow = api.clone().with_timeout(SLOW);
        Ok(Session { api: api.with_timeout(QUICK), slow, about, at, address: endpoint.address.clone() })
    }

    /// The same engine for another thread: connections belong to the one that made them.
    pub(crate) fn anew(&self) -> Result<Session, Error> {
        let failed = self.failed("no container engine can be used");
        let api = connect_with(&self.address, &self.api.client_version()).map_err(failed)?;
        let slow = api.clone().with_timeout(SLOW);
        let (about, at, address) = (self.about.clone(), self.at.clone(), self.address.clone());
        Ok(Session { api: api.with_timeout(QUICK), slow, about, at, address })
    }

    /// The words for a failure of this engine.
    pub(crate) fn failed(&self, doing: &str) -> impl Fn(bollard::errors::Error) -> Error + use<> {
        let (at, doing) = (self.at.clone(), doing.to_string());
        move |e| words::failure(&at, &doing, &e)
    }
}

/// Waits for something that has no limit of its own.
pub(crate) async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> Result<T, Error> {
    let late = |_| Error::new(format!("{what}: the engine did not answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, future).await.map_err(late)
}

fn api_version(text: &str) -> Option<(usize, usize)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.split(['.', '-']).next()?.parse().ok()?))
}

/// Never a newer one than this client knows.
fn client_version((major_version, minor_version): (usize, usize)) -> ClientVersion {
    let newest = bollard::API_DEFAULT_VERSION;
    match (major_version, minor_version) < (newest.major_version, newest.minor_version) {
        true => ClientVersion { major_version, minor_version },
        false => ClientVersion { major_version: newest.major_version, minor_version: newest.minor_version },
    }
}

fn connect(endpoint: &Endpoint) -> Result<bollard::Docker, bollard::errors::Error> {
    connect_with(&endpoint.address, &client_version(LEAST))
}

fn connect_with(address: &Address, version: &ClientVersion) -> Result<bollard::Docker, bollard::errors::Error> {
    let seconds = QUICK.as_secs();
    let elsewhere = |kind: &str| {
        let err = std::io::Error::new(std::io::ErrorKind::Unsupported, format!("{kind} on this platform"));
        bollard::errors::Error::IOError { err }
    };
    match address {
        #[cfg(unix)]
        Address::Unix(path) => bollard::Docker::connect_with_unix(path, seconds, version),
        #[cfg(windows)]
        Address::Pipe(path) => bollard::Docker::connect_with_named_pipe(path, seconds, version),
        Address::Tcp { host, certificates: None } => {
            bollard::Docker::connect_with_http(&format!("tcp://{host}"), seconds, version)
        }
        Address::Tcp { host, certificates: Some(folder) } => bollard::Docker::connect_with_ssl(
            &format!("tcp://{host}"),
            &folder.join("key.pem"),
            &folder.join("cert.pem"),
            &folder.join("ca.pem"),
            seconds,
            version,
        ),
        #[cfg(unix)]
        Address::Pipe(_) => Err(elsewhere("there are no named pipes")),
        #[cfg(windows)]
        Address::Unix(_) => Err(elsewhere("there are no socket files")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(api_version("1.9") < api_version("1.40"));
        assert_eq!(api_version("1.41"), Some((1, 41)));
        assert_eq!(api_version("new"), None);
        assert_eq!(client_version((9, 9)).major_version, bollard::API_DEFAULT_VERSION.major_version);
    }

    #[cfg(unix)]
    #[test]
    fn an_engine_that_is_too_old_or_no_engine_is_refused_with_what_mends_it() {
        for (api, what, remedy) in [("1.39", "too old: its API is 1.39", "1.40"), ("new", "no version", "")] {
            let fake = crate::fake::Fake::engine(api, |_| (404, "{}".into()));
            let error = converse(&fake.endpoint(), async |_| Ok(())).unwrap_err();
            assert!(error.what.contains(what), "{error:?}");
            assert!(error.remedy.unwrap_or_default().contains(remedy));
        }
        let fake = crate::fake::Fake::engine("1.40", |_| (404, "{}".into()));
        converse(&fake.endpoint(), async |_| Ok(())).unwrap();
    }
}
