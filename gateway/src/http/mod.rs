//! Requests of HTTP, each with a verdict of its own. What is passed on is written anew from what was understood, so that no
//! server can understand something else.

mod answer;
mod body;
mod headers;
mod proxy;
mod relay;
mod target;
mod upstream;

pub(crate) use proxy::serve_proxy;
pub(crate) use upstream::Reached;

use crate::capture::Client;
use crate::decision::{Decision, What};
use crate::gate::{Connection, NotReached};
use crate::policy::{self, Handling, Inject, Reason, Refusal, Verdict};
use crate::scrub::Needles;
use crate::stream::Prefixed;
use body::{Body, Ending, Passing};
use http::request::Parts;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sha2::Digest;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use upstream::Upstream;

/// Bounds on what a head may be, for both versions.
const HEAD_BYTES: usize = 64 * 1024;
const HEADERS: usize = 128;
/// What is read and written at once of a body.
pub(crate) const BUFFER: usize = 256 * 1024;
const STREAMS: u32 = 100;
const PATH_SHOWN: usize = 1024;

/// A connection that speaks HTTP, on both sides.
pub(crate) struct Web {
    connection: Connection,
    secure: bool,
    upstream: Mutex<Upstream>,
    /// Secrets that this host's requests get, and its answers must not give back.
    needles: Option<Arc<Needles>>,
    /// A request that became something else goes on here.
    upgraded: Mutex<Option<JoinHandle<()>>>,
}

impl Web {
    fn new(connection: Connection, secure: bool, upstream: Upstream) -> Arc<Self> {
        let needles = Needles::new(connection.gate.policy.secrets_for(&connection.to, connection.port));
        Arc::new(Self { connection, secure, upstream: Mutex::new(upstream), needles, upgraded: Mutex::default() })
    }
}

/// HTTP in the clear.
pub(crate) async fn serve_plain(connection: Connection, client: Client) {
    let web = Web::new(connection, false, Upstream::Idle);
    serve_1(web, Prefixed::new(client.read, client.stream)).await;
}

/// HTTP in opened TLS.
pub(crate) async fn serve_secure<S>(connection: Connection, stream: S, is_2: bool, reached: Result<Reached, NotReached>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let upstream = match reached {
        Ok(stream) => Upstream::open(stream, is_2).await,
        Err(why) => Upstream::Lost(why),
    };
    let web = Web::new(connection, true, upstream);
    if is_2 { serve_2(web, stream).await } else { serve_1(web, stream).await }
}

async fn serve_1<S>(web: Arc<Web>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let gone = web.upstream.lock().await.gone();
    let service = service_fn(|request| {
        let web = web.clone();
        async move { Ok::<_, Infallible>(answer_one(&web, request).await) }
    });
    let limits = web.connection.gate.limits;
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(BUFFER)
        .max_header_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = &mut serving => result,
        () = web.connection.meter.idle_for(limits.idle) => return web.connection.ends("nothing moved for too long"),
        () = gone => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    finish(&web, result).await;
}

async fn serve_2<S>(web: Arc<Web>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let gone = web.upstream.lock().await.gone();
    let shared = web.clone();
    let service = service_fn(move |request| {
        let web = shared.clone();
        async move { Ok::<_, Infallible>(answer_one(&web, request).await) }
    });
    let limits = web.connection.gate.limits;
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .initial_stream_window_size(upstream::WINDOW)
        .initial_connection_window_size(upstream::WINDOW)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = &mut serving => result,
        () = web.connection.meter.idle_for(limits.idle) => return web.connection.ends("nothing moved for too long"),
        () = gone => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    finish(&web, result).await;
}

async fn finish(web: &Web, result: hyper::Result<()>) {
    if let Some(upgraded) = web.upgraded.lock().await.take() {
        // It says itself how it ended.
        let _ = upgraded.await;
    }
    match result {
        Ok(()) => web.connection.ends("closed"),
        Err(error) => web.connection.ends(&format!("HTTP: {error}")),
    }
}

/// One request: its verdict on record, then what came of it.
async fn answer_one(web: &Arc<Web>, mut request: Request<Incoming>) -> Response<Body> {
    let number = web.connection.next_request();
    web.connection.meter.touch();
    let upgrade = hyper::upgrade::on(&mut request);
    let (mut parts, body) = request.into_parts();
    let asked = Asked::of(&parts);
    let verdict = judge(web, &parts, asked.websocket);
    let (rule, inject, refusal) = match verdict {
        Ok((rule, inject)) => (rule, inject, None),
        Err(refusal) => (refusal.rule, None, Some(refusal)),
    };
    let decision = refusal.as_ref().map_or_else(|| Decision::allowed(rule), Decision::from);
    let told = web.connection.gate.recorder.decided(What::Request {
        connection: web.connection.number,
        request: number,
        method: crate::name::shown(parts.method.as_str()),
        path: asked.path.chars().take(PATH_SHOWN).collect(),
        query: asked.query.clone(),
        injected: inject.is_some(),
        decision,
    });
    if let Some(refusal) = refusal {
        return answer::refused(&refusal, &parts, body).await;
    }
    if told.is_err() {
        let what = format!("{} {}", parts.method, asked.path);
        return answer::refused(&Refusal { what, rule, reason: Reason::RecordFull, allow: None }, &parts, body).await;
    }
    let ending = Ending::new(web.clone(), number);
    if let Err(error) = headers::outgoing(&mut parts, web, inject, asked.websocket) {
        ending.ends(&error.to_string());
        return answer::failed("the request could not be written anew");
    }
    pass(web, parts, body, ending, asked.websocket.then_some(upgrade)).await
}

/// What the record has of a request.
struct Asked {
    path: String,
    query: Option<String>,
    websocket: bool,
}

impl Asked {
    fn of(parts: &Parts) -> Self {
        let query = parts.uri.query().map(|query| {
            let digest = sha2::Sha256::digest(query.as_bytes());
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        });
        Self { path: parts.uri.path().to_owned(), query, websocket: headers::asks_websocket(parts) }
    }
}

fn judge<'a>(web: &'a Web, parts: &Parts, websocket: bool) -> Verdict<(Option<usize>, Option<&'a Inject>)> {
    let connection = &web.connection;
    let what = || {
        format!(
            "{} {}{}",
            parts.method,
            crate::gate::shown(&connection.to, connection.port),
            crate::name::shown(parts.uri.path())
        )
    };
    let refused = |reason| Refusal { what: what(), rule: connection.granted.rule, reason, allow: None };
    target::check(parts, &connection.to, connection.port, web.secure).map_err(refused)?;
    if !connection.meter.has_left() {
        return Err(refused(Reason::Budget { of: "bytes".to_owned() }));
    }
    let asked = policy::Request {
        to: &connection.to,
        port: connection.port,
        method: parts.method.as_str(),
        path: parts.uri.path(),
        secure: web.secure,
        websocket,
    };
    connection.gate.policy.request(&asked).map(|granted| (granted.rule, granted.inject))
}

/// Sends a request on, and the answer back.
async fn pass(
    web: &Arc<Web>,
    parts: Parts,
    body: Incoming,
    ending: Ending,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
) -> Response<Body> {
    let mut sender = match upstream::ready(web).await {
        Ok(sender) => sender,
        Err(NotReached::Refused(refusal)) => {
            ending.ends("refused");
            return answer::refused(&refusal, &parts, body).await;
        }
        Err(NotReached::Failed(words)) => {
            ending.ends(&words);
            return answer::failed(&words);
        }
    };
    let passing = Passing::request(body, &ending, headers::injected_name(web));
    let response = match sender.send(Request::from_parts(parts, passing)).await {
        Ok(response) => response,
        Err(error) => {
            let words = format!("the server did not answer: {}", upstream::cause(&error));
            ending.ends(&words);
            return answer::failed(&words);
        }
    };
    ending.status(response.status());
    if headers::length(response.headers()) > HEAD_BYTES {
        let words = "the head of the answer is too large";
        ending.ends(words);
        return answer::failed(words);
    }
    let (mut parts, body) = headers::incoming(response, web, &ending);
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        let Some(upgrade) = upgrade else {
            return answer::failed("the server left HTTP without being asked");
        };
        return relay::upgrade(web, parts, body, upgrade, ending).await;
    }
    if web.needles.is_some() && headers::is_encoded(&parts.headers) {
        let words = "the answer is encoded though that was not asked for, so it cannot be looked through for the added credential";
        ending.ends(words);
        return answer::failed(words);
    }
    parts.extensions.clear();
    let scrub = web.needles.clone();
    Response::from_parts(parts, Body::Passing(Passing::response(body, ending, scrub)))
}

/// Whether HTTP in the clear is something that this handling lets through.
fn is_web(handling: Handling) -> bool {
    matches!(handling, Handling::Plain | Handling::Open | Handling::Raw)
}
