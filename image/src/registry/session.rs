//! What is asked of a registry and its mirrors, and asked again.

use super::auth::Auth;
use super::hosts::{Way, hosts};
use super::http::{Clients, Request, body, refusal};
use super::login::Logins;
use super::pace::{Patience, Tries};
use super::trouble::{Sort, Trouble};
use crate::manifest::ACCEPTED;
use crate::{Digest, Error, Kind, Reference, Registries, limits};
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Tries at a mirror, before the next host is asked.
const TRIES_OF_MIRRORS: u32 = 2;

pub(super) struct Session {
    reference: Reference,
    places: Vec<Place>,
    /// Which of them answered last.
    chosen: AtomicUsize,
    logins: Arc<Logins>,
    pub(super) patience: Patience,
}

/// One host that may have it.
pub(super) struct Place {
    pub(super) clients: Clients,
    auth: Auth,
    /// The way that led to somebody.
    way: OnceLock<Way>,
    /// Somebody was there.
    known: AtomicBool,
    /// How often it is worth asking.
    pub(super) patience: Patience,
}

/// A document, or what stands in its place.
pub(super) struct Got {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Option<Digest>,
}

impl Place {
    pub(super) fn name(&self) -> &str {
        &self.clients.host.name
    }

    pub(super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }
}

impl Session {
    pub(super) fn new(
        reference: &Reference,
        insecure: &[String],
        registries: &Registries,
        logins: Logins,
        patience: Patience,
    ) -> Result<Session, Error> {
        let hosts = hosts(reference, insecure, registries)?;
        let last = hosts.len() - 1;
        let place = |(at, host)| {
            let tries = if at == last { patience.tries } else { patience.tries.min(TRIES_OF_MIRRORS) };
            Place {
                clients: Clients::new(host, insecure, registries),
                auth: Auth::default(),
                way: OnceLock::new(),
                known: AtomicBool::new(false),
                patience: Patience { tries, ..patience },
            }
        };
        let places = hosts.into_iter().enumerate().map(place).collect();
        let (reference, logins) = (reference.clone(), Arc::new(logins));
        Ok(Session { reference, places, chosen: AtomicUsize::new(0), logins, patience })
    }

    /// The places, that which answered last first.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        let chosen = self.chosen.load(Ordering::Relaxed);
        let others = self.places.iter().enumerate().filter(move |(at, _)| *at != chosen).map(|(_, place)| place);
        self.places.get(chosen).into_iter().chain(others)
    }

    /// A manifest or an index, or only what its digest is. `tell` hears why it is waited for.
    pub(super) async fn document(
        &self,
        digest: Option<Digest>,
        head: bool,
        tell: &(dyn Fn(String, Duration) + Sync),
    ) -> Result<Got, Error> {
        let mut failure = Error::new(Kind::Registry, "there is no registry to ask");
        for place in self.places() {
            let mut tries = Tries::new(place.patience);
            loop {
                let asked = tokio::time::timeout(self.patience.answer, self.once(place, digest, head));
                let late = |_| Err(Trouble::new(Sort::Late, "did not answer in time"));
                let trouble = match asked.await.unwrap_or_else(late) {
                    Ok(got) => {
                        let at = self.places.iter().position(|other| std::ptr::eq(other, place));
                        self.chosen.store(at.unwrap_or_default(), Ordering::Relaxed);
                        return Ok(got);
                    }
                    Err(trouble) => trouble,
                };
                let Some(wait) = tries.again(&trouble, place.is_known()) else {
                    failure = trouble.into_error(place.name());
                    break;
                };
                tell(format!("{} {}", place.name(), trouble.what), wait);
                tokio::time::sleep(wait).await;
            }
        }
        Err(failure)
    }

    async fn once(&self, place: &Place, digest: Option<Digest>, head: bool) -> Result<Got, Trouble> {
        let digest = digest.or(self.reference.digest);
        let name = digest.map(|digest| digest.to_string()).or_else(|| self.reference.tag.clone());
        let path = format!("manifests/{}", name.as_deref().unwrap_or("latest"));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(&ACCEPTED.join(", ")).unwrap_or(HeaderValue::from_static("*/*")));
        let method = if head { Method::HEAD } else { Method::GET };
        let response = self.ask(place, method, &path, headers).await?;
        let stated =
            response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok()?.parse().ok());
        match response.status() {
            status if status.is_success() && head => Ok(Got { bytes: Vec::new(), digest: stated }),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED if head => {
                Ok(Got { bytes: Vec::new(), digest: None })
            }
            StatusCode::OK => {
                let most = usize::try_from(limits::MANIFEST_BYTES).unwrap_or(usize::MAX);
                Ok(Got { bytes: body(response, most).await?, digest: stated })
            }
            _ => Err(refusal(response).await),
        }
    }

    /// The beginning of an answer, by the way that works and with what the host wants to see.
    pub(super) async fn ask(
        &self,
        place: &Place,
        method: Method,
        path: &str,
        headers: HeaderMap,
    ) -> Result<Response, Trouble> {
        let path = format!("{}/{path}", place.clients.host.repository);
        let request = |way| -> Result<Request, Trouble> {
            let url = place.clients.url(way, &path)?;
            Ok(Request { method: method.clone(), headers: headers.clone(), ..Request::get(url) })
        };
        if let Some(way) = place.way.get() {
            return self.exchange(place, *way, request(*way)?).await;
        }
        let mut failure: Option<Trouble> = None;
        for (at, way) in place.clients.host.ways.iter().enumerate() {
            let more = at + 1 < place.clients.host.ways.len();
            match self.exchange(place, *way, request(*way)?).await {
                // So answers whoever speaks TLS there.
                Ok(response) if more && *way == Way::Http && response.status() == StatusCode::BAD_REQUEST => {
                    failure = Some(refusal(response).await);
                }
                Ok(response) => {
                    let _ = place.way.set(*way);
                    return Ok(response);
                }
                Err(trouble) => {
                    let elsewhere = matches!(trouble.sort, Sort::Unreachable | Sort::Unsafe | Sort::Passing(_));
                    if !more || !elsewhere {
                        // Where somebody answered, that nobody does by another way is not the news.
                        let first = failure.filter(|f| f.sort != Sort::Unreachable && trouble.sort != Sort::Unsafe);
                        return Err(first.unwrap_or(trouble));
                    }
                    failure = Some(trouble);
                }
            }
        }
        Err(failure.unwrap_or_else(|| Trouble::new(Sort::Final, "cannot be reached in any way")))
    }

    async fn exchange(&self, place: &Place, way: Way, mut request: Request) -> Result<Response, Trouble> {
        let asked = async {
            let home = request.url.origin();
            let pass = place.auth.pass().await;
            request.secret.clone_from(&pass.header);
            let response = place.clients.send(way, &request).await?;
            place.known.store(true, Ordering::Relaxed);
            // Only the registry itself may ask for a login, not where it leads.
            if response.status() != StatusCode::UNAUTHORIZED || response.url().origin() != home {
                return Ok(response);
            }
            let headers = response.headers().clone();
            drop(refusal(response).await);
            let pass = place.auth.renew(&pass, &headers, &place.clients, way, &self.logins).await?;
            request.secret = pass.header;
            place.clients.send(way, &request).await
        };
        let late = |_| Err(Trouble::new(Sort::Late, "did not answer in time"));
        tokio::time::timeout(self.patience.answer, asked).await.unwrap_or_else(late)
    }
}
