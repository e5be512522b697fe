//! Streams with something in front or in between: bytes that were read ahead, and the meter.

use crate::budget::{Meter, USED_UP, Way};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose first bytes were read already and come once more.
#[derive(Debug)]
pub(crate) struct Prefixed<S> {
    prefix: Vec<u8>,
    at: usize,
    stream: S,
}

impl<S> Prefixed<S> {
    pub(crate) fn new(prefix: Vec<u8>, stream: S) -> Self {
        Self { prefix, at: 0, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = &self.prefix[self.at..];
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = left.len().min(buf.remaining());
        buf.put_slice(&left[..count]);
        self.at += count;
        if self.at == self.prefix.len() {
            self.prefix = Vec::new();
            self.at = 0;
        }
        Poll::Ready(Ok(()))
    }
}

/// What is written goes to the stream as it is.
macro_rules! written_below {
    ($($what:ident),*) => {$(
        impl<S: AsyncWrite + Unpin> AsyncWrite for $what<S> {
            fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.stream).poll_write(cx, buf)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_flush(cx)
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.stream).poll_shutdown(cx)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.stream.is_write_vectored()
            }
        }
    )*};
}
pub(crate) use written_below;

written_below!(Prefixed);

/// A stream to a server. What moves is counted and within the budgets.
#[derive(Debug)]
pub(crate) struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
}

impl<S> Metered<S> {
    pub(crate) fn new(stream: S, meter: Arc<Meter>) -> Self {
        Self { stream, meter }
    }
}

fn used_up() -> io::Error {
    io::Error::other(USED_UP)
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let leave = this.meter.reserve(buf.remaining());
        if leave == 0 && buf.remaining() > 0 {
            return Poll::Ready(Err(used_up()));
        }
        // Memory that is initialised, so that the part of it that was filled can be said without `unsafe`.
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(leave));
        let result = Pin::new(&mut this.stream).poll_read(cx, &mut part);
        let bytes = part.filled().len();
        this.meter.moved(Way::In, leave, bytes);
        ready!(result)?;
        buf.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let leave = this.meter.reserve(buf.len());
        if leave == 0 && !buf.is_empty() {
            return Poll::Ready(Err(used_up()));
        }
        let result = Pin::new(&mut this.stream).poll_write(cx, &buf[..leave]);
        let bytes = match &result {
            Poll::Ready(Ok(bytes)) => *bytes,
            _ => 0,
        };
        this.meter.moved(Way::Out, leave, bytes);
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budgets;
    use crate::policy::{Budget, Policy, Rules};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_was_read_ahead_comes_first_and_once() {
        let (mut far, near) = tokio::io::duplex(64);
        far.write_all(b"world").await.unwrap();
        drop(far);
        let mut all = String::new();
        Prefixed::new(b"hello ".to_vec(), near).read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "hello world");
    }

    #[tokio::test]
    async fn a_metered_stream_stops_at_its_budget_to_the_byte() {
        let budget = Budget { bytes: Some(100), connections: None };
        let policy = Policy::new(Rules { any: true, budget, ..Rules::default() }).unwrap();
        let meter = Arc::new(Budgets::new(&policy).connection(None).unwrap());
        let (mut far, near) = tokio::io::duplex(1024);
        let mut near = Metered::new(near, meter.clone());
        near.write_all(&[1; 40]).await.unwrap();
        far.write_all(&[2; 80]).await.unwrap();
        let mut buffer = Vec::new();
        let error = near.read_to_end(&mut buffer).await.unwrap_err();
        assert_eq!((error.to_string().as_str(), buffer.len(), meter.totals()), (USED_UP, 60, (40, 60)));
        assert!(near.write_all(&[3]).await.is_err());
    }
}
