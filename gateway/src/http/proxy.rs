//! The courtesy proxy, for clients that are told of one. It is no other way out: what comes here gets the verdicts that a
//! connection of its own would get.

use super::body::Body;
use super::upstream::Upstream;
use super::{HEAD_BYTES, HEADERS, Web, answer, answer_one, target};
use crate::capture::{self, Client};
use crate::gate::{Connection, Gate, shown};
use crate::policy::{Destination, Reason, Refusal};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// One connection of a client to the proxy.
#[derive(Default)]
struct Talk {
    /// The server that its last request went to.
    web: Mutex<Option<Arc<Web>>>,
    tunnel: Mutex<Option<JoinHandle<()>>>,
}

/// Serves a client until it is done.
pub(crate) async fn serve_proxy(gate: &Arc<Gate>, stream: TcpStream) {
    let talk = Arc::new(Talk::default());
    let (shared, gate_) = (talk.clone(), gate.clone());
    let service = service_fn(move |request| {
        let (talk, gate) = (shared.clone(), gate_.clone());
        async move { Ok::<_, Infallible>(answer(&gate, &talk, request).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(gate.limits.head)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // Each request has said how it ended; the connection itself leads nowhere.
    let _ = serving.await;
    if let Some(tunnel) = talk.tunnel.lock().await.take() {
        let _ = tunnel.await;
    }
    if let Some(web) = talk.web.lock().await.take() {
        if let Some(upgraded) = web.upgraded.lock().await.take() {
            let _ = upgraded.await;
        }
        web.connection.ends("closed");
    }
}

async fn answer(gate: &Arc<Gate>, talk: &Arc<Talk>, request: Request<Incoming>) -> Response<Body> {
    let (to, port) = match meant(&request) {
        Ok(meant) => meant,
        Err(reason) => {
            let what = crate::name::shown(&request.uri().to_string());
            let (parts, body) = request.into_parts();
            return answer::refused(&Refusal { what, rule: None, reason, allow: None }, &parts, body).await;
        }
    };
    if request.method() == Method::CONNECT {
        return connect(gate, talk, request, to, port).await;
    }
    let mut kept = talk.web.lock().await;
    let fits = kept.as_ref().is_some_and(|web| web.connection.to == to && web.connection.port == port);
    if !fits {
        if let Some(last) = kept.take() {
            last.connection.ends("closed");
        }
        match Connection::open(gate, to, port, true) {
            Ok(connection) if super::is_web(connection.granted.handling) => {
                *kept = Some(Web::new(connection, false, Upstream::Idle))
            }
            Ok(connection) => {
                let refusal = connection.refuse(Reason::Protocol {
                    detail: "HTTP in the clear is not what this port is granted for".to_owned(),
                });
                let (parts, body) = request.into_parts();
                return answer::refused(&refusal, &parts, body).await;
            }
            Err(refusal) => {
                let (parts, body) = request.into_parts();
                return answer::refused(&refusal, &parts, body).await;
            }
        }
    }
    let Some(web) = kept.clone() else { return answer::failed("nothing was reached") };
    drop(kept);
    answer_one(&web, request).await
}

/// Where a request to a proxy goes: its target says so.
fn meant(request: &Request<Incoming>) -> Result<(Destination, u16), Reason> {
    let uri = request.uri();
    let wrong = |detail: &str| Reason::Protocol { detail: detail.to_owned() };
    let tunnel = request.method() == Method::CONNECT;
    if !tunnel && uri.scheme_str() != Some("http") {
        return Err(wrong("this is a proxy: it takes `CONNECT name:port` and targets that begin with http://"));
    }
    let authority = uri.authority().ok_or_else(|| wrong("the target names no host"))?;
    let (to, port) = target::authority(authority.as_str()).ok_or(Reason::Name)?;
    match (tunnel, port) {
        (true, None) => Err(wrong("CONNECT names a port: `CONNECT name:port`")),
        (true, Some(port)) => Ok((to, port)),
        (false, port) => Ok((to, port.unwrap_or(target::usual(false)))),
    }
}

/// A tunnel is a connection like any other, and its bytes are handled as its rule says.
async fn connect(
    gate: &Arc<Gate>,
    talk: &Talk,
    mut request: Request<Incoming>,
    to: Destination,
    port: u16,
) -> Response<Body> {
    let what = shown(&to, port);
    if request.version() != Version::HTTP_11 {
        return answer::failed("a tunnel needs HTTP/1.1");
    }
    let connection = match Connection::open(gate, to, port, true) {
        Ok(connection) => connection,
        Err(refusal) => {
            let (parts, body) = request.into_parts();
            return answer::refused(&refusal, &parts, body).await;
        }
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let tunnel = tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return connection.ends("the client did not wait for its tunnel") };
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => {
                let client = Client { stream: parts.io.into_inner(), read: parts.read_buf.to_vec() };
                capture::handle(connection, client).await;
            }
            Err(_) => connection.ends("the tunnel was lost"),
        }
    });
    let Ok(mut kept) = talk.tunnel.try_lock() else {
        tunnel.abort();
        return answer::failed(&format!("a second tunnel to {what} in one connection"));
    };
    *kept = Some(tunnel);
    let mut response = Response::new(Body::Own(None));
    *response.status_mut() = StatusCode::OK;
    response
}
