//! A request that became a WebSocket: its bytes are passed on until either side is done.

use super::Web;
use super::answer;
use super::body::{Body, Ending};
use crate::scrub::Scrub;
use http::Response;
use http::response::Parts;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const BUFFER: usize = 16 * 1024;

/// Answers with the server's 101, and goes on behind it.
pub(super) async fn upgrade(
    web: &Arc<Web>,
    parts: Parts,
    body: Incoming,
    client: OnUpgrade,
    ending: Ending,
) -> Response<Body> {
    let server = hyper::upgrade::on(Response::from_parts(parts.clone(), body));
    let shared = web.clone();
    let relaying = tokio::spawn(async move {
        // The client's side is there when our answer is out, the server's is already.
        let (client, server) = match tokio::try_join!(client, server) {
            Ok(both) => both,
            Err(error) => return ending.ends(&super::upstream::cause(&error)),
        };
        let scrub = shared.needles.clone().map(Scrub::new);
        let idle = shared.connection.gate.limits.idle;
        let how = tokio::select! {
            how = both_ways(TokioIo::new(client), TokioIo::new(server), scrub, &ending) => how,
            () = shared.connection.meter.idle_for(idle) => "nothing moved for too long".to_owned(),
        };
        ending.ends(&how);
    });
    let Ok(mut kept) = web.upgraded.try_lock() else {
        relaying.abort();
        return answer::failed("the connection was already used for something else");
    };
    *kept = Some(relaying);
    let mut response = Response::from_parts(parts, Body::Own(None));
    response.extensions_mut().clear();
    response
}

async fn both_ways<A, B>(client: A, server: B, scrub: Option<Scrub>, ending: &Ending) -> String
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    let out = one_way(from_client, to_server, None, ending);
    let back = one_way(from_server, to_client, scrub, ending);
    match tokio::try_join!(out, back) {
        Ok(_) => "closed".to_owned(),
        Err(error) => error.to_string(),
    }
}

async fn one_way<R, W>(mut from: R, mut to: W, mut scrub: Option<Scrub>, ending: &Ending) -> std::io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        let piece = match &mut scrub {
            None => None,
            Some(scrub) if read == 0 => Some(scrub.rest()),
            Some(scrub) => Some(scrub.piece(&buffer[..read])),
        };
        to.write_all(piece.as_deref().unwrap_or(&buffer[..read])).await?;
        to.flush().await?;
        if read == 0 {
            if let Some(scrub) = scrub {
                ending.covered(scrub.count);
            }
            return to.shutdown().await;
        }
    }
}
