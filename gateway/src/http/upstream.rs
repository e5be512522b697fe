//! The server's side of a connection that speaks HTTP.

use super::Web;
use super::body::Passing;
use crate::gate::NotReached;
use crate::stream::Metered;
use crate::wide::{Gathered, Wide};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::error::Error;
use std::future::Future;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A server that was reached by TLS.
pub(crate) type Reached = tokio_rustls::client::TlsStream<Wide<Metered<TcpStream>>>;

/// How much may be under way in HTTP/2, for a connection and for each stream: memory that somebody who does not read can hold.
pub(super) const WINDOW: u32 = 512 * 1024;

/// How long a client may ask in vain before its connection ends: a new one may find the server.
const SAID: Duration = Duration::from_secs(2);

/// The server's side.
pub(super) enum Upstream {
    /// Nobody has asked for anything yet.
    Idle,
    /// It is there. The receiver hears when it is gone.
    Open(Sender, watch::Receiver<()>),
    /// It is not, and why.
    Lost(NotReached),
}

/// Sends requests.
pub(super) enum Sender {
    One(http1::SendRequest<Passing>),
    Two(http2::SendRequest<Passing>),
}

impl Upstream {
    /// Begins to speak to a server.
    pub(super) async fn open<S>(stream: S, is_2: bool) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (told, gone) = watch::channel(());
        let io = TokioIo::new(Gathered::new(stream));
        let result = if is_2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
            builder.max_header_list_size(super::HEAD_BYTES as u32);
            builder.handshake(io).await.map(|(sender, connection)| {
                tokio::spawn(async move { drop((connection.await, told)) });
                Sender::Two(sender)
            })
        } else {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(super::BUFFER).max_headers(super::HEADERS);
            builder.handshake(io).await.map(|(sender, connection)| {
                tokio::spawn(async move { drop((connection.with_upgrades().await, told)) });
                Sender::One(sender)
            })
        };
        match result {
            Ok(sender) => Self::Open(sender, gone),
            Err(error) => Self::Lost(NotReached::Failed(format!("the server does not speak HTTP: {}", cause(&error)))),
        }
    }

    /// Comes back when the server is gone that is there now. Never, if there is none yet: then it can be dialled anew.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + use<> {
        let (gone, lost) = match self {
            Self::Open(_, gone) => (Some(gone.clone()), false),
            Self::Lost(_) => (None, true),
            Self::Idle => (None, false),
        };
        async move {
            match gone {
                // It never changes: an error says that the other end was dropped.
                Some(mut gone) => drop(gone.changed().await),
                None if lost => tokio::time::sleep(SAID).await,
                None => std::future::pending().await,
            }
        }
    }
}

/// A sender that was lent. One of HTTP/1.1 is needed alone, which its own requests see to: they come one after the other.
pub(super) enum Lent<'a> {
    One(tokio::sync::MutexGuard<'a, Upstream>),
    Two(http2::SendRequest<Passing>),
}

impl Lent<'_> {
    pub(super) async fn send(&mut self, request: Request<Passing>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Two(sender) => sender.send_request(request).await,
            Self::One(upstream) => match &mut **upstream {
                Upstream::Open(Sender::One(sender), _) => sender.send_request(request).await,
                // Only the other arm of `ready` lends something else.
                _ => unreachable!("a sender of HTTP/1.1 was lent"),
            },
        }
    }
}

/// The server, ready to take a request. In the clear it is dialled when it is needed, each time with all checks.
pub(super) async fn ready(web: &Web) -> Result<Lent<'_>, NotReached> {
    let mut upstream = web.upstream.lock().await;
    let alive = match &mut *upstream {
        Upstream::Open(Sender::One(sender), _) => sender.ready().await.is_ok(),
        Upstream::Open(Sender::Two(sender), _) => sender.ready().await.is_ok(),
        Upstream::Idle => false,
        Upstream::Lost(why) if web.secure => return Err(why.clone()),
        Upstream::Lost(_) => false,
    };
    if !alive {
        if web.secure {
            return Err(NotReached::Failed("the server has closed the connection".to_owned()));
        }
        let stream = web.connection.dial().await?;
        *upstream = Upstream::open(Metered::new(stream, web.connection.meter.clone()), false).await;
    }
    match &*upstream {
        Upstream::Open(Sender::One(_), _) => Ok(Lent::One(upstream)),
        Upstream::Open(Sender::Two(sender), _) => Ok(Lent::Two(sender.clone())),
        Upstream::Lost(why) => Err(why.clone()),
        Upstream::Idle => Err(NotReached::Failed("the server is not there".to_owned())),
    }
}

/// The innermost reason, which is the one that says something.
pub(super) fn cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
