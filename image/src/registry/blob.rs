//! A blob as a stream that goes on where it broke off.

use super::News;
use super::http::refusal;
use super::pace::{Chunks, Pace, Tries};
use super::session::{Place, Session};
use super::trouble::{Sort, Trouble};
use crate::{Digest, Error, Kind, limits};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};
use std::io;
use tokio::sync::mpsc;

/// A piece this large is passed on as it came; smaller ones are put together.
const LARGE: usize = limits::BUFFER_BYTES / 8;

pub(super) type Sink = mpsc::Sender<News<io::Result<Bytes>>>;

/// A blob from a byte on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) from: u64,
}

/// Why a transfer is over.
enum End {
    /// Nobody reads any more.
    Unwanted,
    Trouble(Trouble),
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> End {
        End::Trouble(trouble)
    }
}

/// Passes a blob on until its end or until nobody reads any more.
pub(super) async fn feed(session: &Session, wanted: Wanted, sink: Sink) {
    let mut way = Transfer { session, wanted, at: wanted.from, whole: false, sink };
    let mut failure = Error::new(Kind::Registry, "there is no registry to ask");
    for place in session.places() {
        let (mut tries, mut mark) = (Tries::new(place.patience), way.at);
        way.whole = false;
        loop {
            let trouble = match way.attempt(place).await {
                Ok(()) | Err(End::Unwanted) => return,
                Err(End::Trouble(trouble)) => trouble,
            };
            // A few bytes each time are no progress: that could go on for ever.
            if way.at - mark >= session.patience.least as u64 {
                tries.advanced();
                mark = way.at;
            }
            let Some(wait) = tries.again(&trouble, place.is_known()) else {
                failure = trouble.into_error(place.name());
                break;
            };
            let why = format!("{} {}", place.name(), trouble.what);
            if way.sink.send(News::Retrying { why, wait }).await.is_err() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }
    let _ = way.sink.send(News::Came(Err(failure.into()))).await;
}

struct Transfer<'a> {
    session: &'a Session,
    wanted: Wanted,
    /// What was passed on, from the blob's beginning.
    at: u64,
    /// The place cannot begin in the middle.
    whole: bool,
    sink: Sink,
}

impl Transfer<'_> {
    async fn attempt(&mut self, place: &Place) -> Result<(), End> {
        if self.at >= self.wanted.size {
            return Ok(());
        }
        let (mut response, skip) = self.begin(place).await?;
        let mut pending = BytesMut::new();
        let done = self.pump(&mut response, skip, &mut pending).await;
        // What came before a failure came.
        self.flush(&mut pending).await?;
        done?;
        if self.at < self.wanted.size {
            let (had, size) = (self.at, self.wanted.size);
            return Err(Trouble::new(Sort::Passing(None), format!("broke off after {had} of {size} bytes")).into());
        }
        Ok(())
    }

    /// The answer, and how many of its first bytes are here already.
    async fn begin(&mut self, place: &Place) -> Result<(Response, u64), Trouble> {
        loop {
            let ranged = self.at > 0 && !self.whole;
            let mut headers = HeaderMap::new();
            if ranged && let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", self.at)) {
                headers.insert(RANGE, range);
            }
            let path = format!("blobs/{}", self.wanted.digest);
            let response = self.session.ask(place, Method::GET, &path, headers).await?;
            match response.status() {
                StatusCode::OK => {
                    self.fits(response.content_length())?;
                    return Ok((response, self.at));
                }
                StatusCode::PARTIAL_CONTENT if ranged => {
                    let untrue = || Trouble::new(Sort::Untrue, "sent another part of a blob than it was asked for");
                    let (start, total) = content_range(response.headers()).ok_or_else(untrue)?;
                    if start != self.at {
                        return Err(untrue());
                    }
                    self.fits(total)?;
                    return Ok((response, 0));
                }
                StatusCode::RANGE_NOT_SATISFIABLE if ranged => self.whole = true,
                _ => return Err(refusal(response).await),
            }
        }
    }

    /// A blob of another size is another blob.
    fn fits(&self, total: Option<u64>) -> Result<(), Trouble> {
        match total {
            Some(total) if total != self.wanted.size => {
                let what = format!("has {total} bytes where the manifest announces {}", self.wanted.size);
                Err(Trouble::new(Sort::Untrue, what))
            }
            _ => Ok(()),
        }
    }

    async fn pump(&mut self, response: &mut Response, mut skip: u64, pending: &mut BytesMut) -> Result<(), End> {
        let mut pace = Pace::new(self.session.patience);
        loop {
            // What is there is gathered; before a wait it is passed on.
            let next = match Chunks::chunk(response).now_or_never() {
                Some(next) => next.inspect(|next| pace.came(next.as_ref().map_or(0, Bytes::len)))?,
                None => {
                    self.flush(pending).await?;
                    pace.next(response).await?
                }
            };
            let Some(mut bytes) = next else { return Ok(()) };
            let known = skip.min(bytes.len() as u64);
            skip -= known;
            drop(bytes.split_to(known as usize));
            if bytes.len() >= LARGE {
                self.flush(pending).await?;
                self.pass(bytes).await?;
            } else {
                pending.extend_from_slice(&bytes);
            }
            if pending.len() >= limits::BUFFER_BYTES {
                self.flush(pending).await?;
            }
            // Whoever reads it sees that it is too much; there is no need to see how much.
            if self.at > self.wanted.size {
                return Ok(());
            }
        }
    }

    async fn flush(&mut self, pending: &mut BytesMut) -> Result<(), End> {
        if pending.is_empty() { Ok(()) } else { self.pass(pending.split().freeze()).await }
    }

    async fn pass(&mut self, bytes: Bytes) -> Result<(), End> {
        self.at += bytes.len() as u64;
        self.sink.send(News::Came(Ok(bytes))).await.map_err(|_| End::Unwanted)
    }
}

/// Where a part begins, and how long the whole is: `bytes 0-99/1000`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, total) = text.split_once('/')?;
    let start = range.split_once('-')?.0.trim().parse().ok()?;
    Some((start, if total == "*" { None } else { Some(total.parse().ok()?) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_where_it_begins() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, HeaderValue::from_str(text).unwrap());
            content_range(&headers)
        };
        assert_eq!(read("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(read("bytes 0-0/*"), Some((0, None)));
        for wrong in ["", "bytes */10", "5-9/10", "bytes 5/10", "bytes -5/10", "bytes 5-9/ten", "bytes 5-9"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(content_range(&HeaderMap::new()), None);
    }
}
