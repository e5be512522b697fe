//! Bodies on their way: counted, looked through for secrets, and told about when they are over.

use super::Web;
use crate::decision::What;
use crate::scrub::{Needles, Scrub};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// The body of an answer: a server's, or our own.
pub(super) enum Body {
    Passing(Passing),
    Own(Option<Bytes>),
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Own(Some(text.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }
}

/// What became of one request. It is told when the last who holds it lets go.
#[derive(Clone)]
pub(super) struct Ending(Arc<Inner>);

struct Inner {
    web: Arc<Web>,
    number: u64,
    started: Instant,
    status: AtomicU16,
    sent: AtomicU64,
    received: AtomicU64,
    scrubbed: AtomicU64,
    how: Mutex<Option<String>>,
}

impl Ending {
    pub(super) fn new(web: Arc<Web>, number: u64) -> Self {
        Self(Arc::new(Inner {
            web,
            number,
            started: Instant::now(),
            status: AtomicU16::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            scrubbed: AtomicU64::new(0),
            how: Mutex::default(),
        }))
    }

    pub(super) fn status(&self, status: StatusCode) {
        self.0.status.store(status.as_u16(), Ordering::Relaxed);
    }

    pub(super) fn covered(&self, count: u64) {
        self.0.scrubbed.fetch_add(count, Ordering::Relaxed);
    }

    /// Says how it ends. The first word counts.
    pub(super) fn ends(&self, how: &str) {
        self.0.how.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| how.to_owned());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let how = self.how.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.web.connection.gate.recorder.ended(What::Answered {
            connection: self.web.connection.number,
            request: self.number,
            status: *self.status.get_mut(),
            sent: *self.sent.get_mut(),
            received: *self.received.get_mut(),
            scrubbed: *self.scrubbed.get_mut(),
            millis: self.started.elapsed().as_millis() as u64,
            how: how.unwrap_or_else(|| "cut".to_owned()),
        });
    }
}

/// A body that is passed on.
pub(super) struct Passing {
    /// There until it is dropped.
    inner: Option<Incoming>,
    ending: Ending,
    is_answer: bool,
    scrub: Option<Scrub>,
    /// Not passed on, should they come behind the body.
    dropped: Vec<HeaderName>,
    /// What comes behind the last of the data.
    trailers: Option<HeaderMap>,
    over: bool,
}

impl Passing {
    pub(super) fn request(inner: Incoming, ending: &Ending, dropped: Vec<HeaderName>) -> Self {
        let ending = ending.clone();
        Self { inner: Some(inner), ending, is_answer: false, scrub: None, dropped, trailers: None, over: false }
    }

    pub(super) fn response(inner: Incoming, ending: Ending, needles: Option<Arc<Needles>>) -> Self {
        if inner.is_end_stream() {
            ending.ends("answered");
        }
        let scrub = needles.map(Scrub::new);
        Self { inner: Some(inner), ending, is_answer: true, scrub, dropped: Vec::new(), trailers: None, over: false }
    }

    fn inner_is_over(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn counted(&self, bytes: usize) {
        let counters = &self.ending.0;
        let counter = if self.is_answer { &counters.received } else { &counters.sent };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
        self.ending.0.web.connection.meter.touch();
    }

    /// What can go on of a piece of data.
    fn piece(&mut self, data: Bytes) -> Bytes {
        let Some(scrub) = &mut self.scrub else { return data };
        let before = scrub.count;
        let piece = scrub.piece(&data);
        let found = scrub.count - before;
        self.ending.covered(found);
        piece.into()
    }

    /// What was kept back, when nothing more comes.
    fn rest(&mut self) -> Option<Bytes> {
        let scrub = self.scrub.as_mut().filter(|scrub| !scrub.is_empty())?;
        let before = scrub.count;
        let rest = scrub.rest();
        let found = scrub.count - before;
        self.ending.covered(found);
        Some(rest.into())
    }

    fn trailers(&self, mut trailers: HeaderMap) -> HeaderMap {
        for name in &self.dropped {
            trailers.remove(name);
        }
        if let Some(needles) = self.ending.0.web.needles.as_ref().filter(|_| self.is_answer) {
            for value in trailers.values_mut() {
                if let Some((bytes, count)) = needles.covered(value.as_bytes()) {
                    self.ending.covered(count);
                    *value = HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| HeaderValue::from_static("***"));
                }
            }
        }
        trailers
    }

    fn done(&mut self) {
        self.over = true;
        if self.is_answer {
            self.ending.ends("answered");
        }
    }
}

impl Drop for Passing {
    /// A server that answers before it has read everything wants no more. The client may not be told so in the middle of
    /// its sending: some take that for a failure of the whole request.
    fn drop(&mut self) {
        let unread = self.inner.take().filter(|inner| !self.is_answer && !inner.is_end_stream());
        if let (Some(unread), Ok(runtime)) = (unread, tokio::runtime::Handle::try_current()) {
            runtime.spawn(super::answer::drain(unread));
        }
    }
}

type Piece = Option<Result<Frame<Bytes>, hyper::Error>>;

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Piece> {
        let this = &mut *self;
        loop {
            if this.over {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
            let frame = match ready!(Pin::new(inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    this.ending.ends(&super::upstream::cause(&error));
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.done();
                    match this.rest() {
                        Some(rest) => return Poll::Ready(Some(Ok(Frame::data(rest)))),
                        None => continue,
                    }
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    this.counted(data.len());
                    let piece = this.piece(data);
                    let last = this.inner_is_over() && this.scrub.as_ref().is_none_or(Scrub::is_empty);
                    if last {
                        this.done();
                    }
                    if !piece.is_empty() || last {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                }
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else { continue };
                    this.trailers = Some(this.trailers(trailers));
                    this.done();
                    if let Some(rest) = this.rest() {
                        return Poll::Ready(Some(Ok(Frame::data(rest))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.trailers.is_some() || self.scrub.as_ref().is_some_and(|scrub| !scrub.is_empty());
        !kept && (self.over || self.inner_is_over())
    }

    fn size_hint(&self) -> SizeHint {
        // What is kept back has been taken from the inner one; only before the first piece is the hint asked for.
        self.inner.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Piece> {
        match &mut *self {
            Self::Passing(passing) => Pin::new(passing).poll_frame(cx),
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passing(passing) => passing.is_end_stream(),
            Self::Own(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passing(passing) => passing.size_hint(),
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}
