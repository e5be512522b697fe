//! The way to a registry.
//!
//! One thread talks to it; everybody else reads from channels. What comes in is bounded here and
//! verified by whoever reads it: a blob has a few buffers on the way and no more.
//!
//! `hosts` says who is asked, `http` sends one request, `auth` opens the door with what `login` finds
//! (`keychain` asks the programs that keep logins, and `credentials` runs one), `session` asks again where that may help, `blob`
//! goes on where a transfer broke off. `trouble` stands at the bottom.

mod auth;
mod blob;
mod certificates;
mod credentials;
mod hosts;
mod http;
mod keychain;
mod login;
mod pace;
mod session;
mod small;
mod trouble;

pub use credentials::end_helpers;
pub use keychain::{helpers_beyond, serve_helpers};

use crate::manifest::Blob;
use crate::{Digest, Error, Kind, Progress, Reference, Registries, Result, Step, limits};
use blob::Wanted;
use bytes::{Buf, Bytes};
use login::Logins;
use pace::{PATIENCE, Patience};
use session::{Got, Session};
use std::io::{self, Read};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// What the network thread has to say.
enum News<T> {
    /// It failed, and will be tried again after a while.
    Retrying {
        why: String,
        wait: Duration,
    },
    Came(T),
}

enum Ask {
    Document { digest: Option<Digest>, head: bool, reply: mpsc::Sender<News<Result<Got>>> },
    Blob(Wanted, blob::Sink),
}

/// How long the thread's own helpers may take to end.
const FAREWELL: Duration = Duration::from_millis(200);

/// A conversation about one repository; its thread ends with the value.
pub(crate) struct Link {
    asks: Option<mpsc::UnboundedSender<Ask>>,
    thread: Option<JoinHandle<()>>,
}

fn gone() -> Error {
    Error::new(Kind::Registry, "the network thread ended")
}

impl Link {
    /// Starts the thread; nothing is asked yet.
    pub(crate) fn open(reference: &Reference, insecure: &[String], registries: &Registries) -> Result<Link> {
        let logins = Logins::here(|name| std::env::var_os(name));
        Link::with(reference, insecure, registries, logins, PATIENCE)
    }

    fn with(
        reference: &Reference,
        insecure: &[String],
        registries: &Registries,
        logins: Logins,
        patience: Patience,
    ) -> Result<Link> {
        let session = Arc::new(Session::new(reference, insecure, registries, logins, patience)?);
        let failed = |e| Error::io("starting the network", e);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (asks, mut inbox) = mpsc::unbounded_channel();
        let talk = move || {
            runtime.block_on(async {
                while let Some(ask) = inbox.recv().await {
                    tokio::spawn(answer(session.clone(), ask));
                }
            });
            runtime.shutdown_timeout(FAREWELL);
        };
        let thread = std::thread::Builder::new().name("registry".to_owned()).spawn(talk).map_err(failed)?;
        Ok(Link { asks: Some(asks), thread: Some(thread) })
    }

    fn say(&self, ask: Ask) -> Result<()> {
        self.asks.as_ref().and_then(|asks| asks.send(ask).ok()).ok_or_else(gone)
    }

    fn document(&self, digest: Option<Digest>, head: bool, progress: &dyn Progress) -> Result<Got> {
        let (reply, mut news) = mpsc::channel(limits::BUFFERS);
        self.say(Ask::Document { digest, head, reply })?;
        loop {
            match news.blocking_recv().ok_or_else(gone)? {
                News::Retrying { why, wait } => progress.step(Step::Retrying { why: &why, wait }),
                News::Came(got) => return got,
            }
        }
    }

    /// A manifest or an index; that which the reference means if there is no digest.
    pub(crate) fn manifest(&self, digest: Option<Digest>, progress: &dyn Progress) -> Result<Vec<u8>> {
        self.document(digest, false, progress).map(|got| got.bytes)
    }

    /// The digest of what the reference means now, as far as the registry says it: one request.
    pub(crate) fn current(&self, progress: &dyn Progress) -> Result<Option<Digest>> {
        self.document(None, true, progress).map(|got| got.digest)
    }

    /// A blob from a byte on.
    pub(crate) fn blob<'a>(&self, blob: &Blob, from: u64, progress: &'a dyn Progress) -> Result<Incoming<'a>> {
        let (sink, news) = mpsc::channel(limits::BUFFERS);
        self.say(Ask::Blob(Wanted { digest: blob.digest, size: blob.size, from }, sink))?;
        Ok(Incoming { news, current: Bytes::new(), progress })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn answer(session: Arc<Session>, ask: Ask) {
    match ask {
        Ask::Document { digest, head, reply } => {
            let tell = |why, wait| drop(reply.try_send(News::Retrying { why, wait }));
            let got = session.document(digest, head, &tell).await;
            let _ = reply.send(News::Came(got)).await;
        }
        Ask::Blob(wanted, sink) => blob::feed(&session, wanted, sink).await,
    }
}

/// The reading end of a blob.
pub(crate) struct Incoming<'a> {
    news: mpsc::Receiver<News<io::Result<Bytes>>>,
    current: Bytes,
    progress: &'a dyn Progress,
}

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.news.blocking_recv() {
                None => return Ok(0),
                Some(News::Came(bytes)) => self.current = bytes?,
                Some(News::Retrying { why, wait }) => self.progress.step(Step::Retrying { why: &why, wait }),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
