//! Large pieces around TLS, which itself takes and gives records of 16 KiB: below it what has arrived is read at once, above
//! it records that are there are given together. A call of the system, and a turn of two tasks, cost more than a record.

use crate::stream::written_below;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at once of a connection that has much to give.
const PIECE: usize = 128 * 1024;
/// Who gives less than that at once needs no large buffer.
const LITTLE: usize = 16 * 1024;

/// A stream that is read in large pieces where it has them. It keeps a buffer only while it does.
#[derive(Debug)]
pub(crate) struct Wide<S> {
    stream: S,
    piece: Vec<u8>,
    at: usize,
    until: usize,
    /// The last who read got all that he had room for.
    more: bool,
}

impl<S> Wide<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, piece: Vec::new(), at: 0, until: 0, more: false }
    }
}

impl<S: AsyncRead + Unpin> Wide<S> {
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.piece.resize(PIECE, 0);
        let mut room = ReadBuf::new(&mut self.piece);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
        (self.at, self.until) = (0, room.filled().len());
        self.more = self.until >= LITTLE;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wide<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.at == this.until && this.more && buf.remaining() < PIECE {
            ready!(this.fill(cx))?;
        } else if this.at == this.until {
            this.piece = Vec::new();
            let room = buf.remaining();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            this.more = room > 0 && buf.remaining() == 0;
            return Poll::Ready(Ok(()));
        }
        let count = (this.until - this.at).min(buf.remaining());
        buf.put_slice(&this.piece[this.at..this.at + count]);
        this.at += count;
        Poll::Ready(Ok(()))
    }
}

/// A stream of records of which as many are given at once as there is room for.
#[derive(Debug)]
pub(crate) struct Gathered<S> {
    stream: S,
    /// How it ended, behind what came before.
    over: Option<io::Result<()>>,
}

impl<S> Gathered<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, over: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(over) = this.over.take() {
            return Poll::Ready(over);
        }
        let begun = buf.filled().len();
        while buf.remaining() > 0 {
            let before = buf.filled().len();
            match Pin::new(&mut this.stream).poll_read(cx, buf) {
                Poll::Ready(Ok(())) if buf.filled().len() > before => {}
                // Said once more it might be said otherwise: an end that was cut off as a good one.
                Poll::Ready(over) if before > begun => {
                    this.over = Some(over);
                    break;
                }
                Poll::Pending if before > begun => break,
                result => return result,
            }
        }
        Poll::Ready(Ok(()))
    }
}

written_below!(Wide, Gathered);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use tokio::io::AsyncReadExt;

    /// Gives these pieces, one at a time, then fails or ends; counts how often it was asked.
    struct Pieces(VecDeque<Vec<u8>>, bool, usize);

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.2 += 1;
            let Some(mut piece) = self.0.pop_front() else {
                // Said once: whoever asks again hears of a good end.
                let failed = std::mem::take(&mut self.1);
                return Poll::Ready(if failed { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) });
            };
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
            Poll::Ready(Ok(()))
        }
    }

    fn pieces(lengths: &[usize], fails: bool) -> (Pieces, Vec<u8>) {
        let all: Vec<u8> = (0..lengths.iter().sum()).map(|n: usize| (n % 251) as u8).collect();
        let mut at = 0;
        let cut = lengths.iter().map(|length| {
            at += length;
            all[at - length..at].to_vec()
        });
        (Pieces(cut.collect(), fails, 0), all)
    }

    #[tokio::test]
    async fn much_is_read_at_once_and_all_of_it_arrives() {
        let (stream, all) = pieces(&[10, 5, 1_000_000, 3, 300_000], false);
        let mut wide = Wide::new(stream);
        let (mut got, mut room) = (Vec::new(), [0; 4096]);
        while let count @ 1.. = wide.read(&mut room).await.unwrap() {
            got.extend_from_slice(&room[..count]);
        }
        assert!(got == all);
        assert!(wide.stream.2 < 20, "{} reads", wide.stream.2);
    }

    #[tokio::test]
    async fn who_gives_little_has_no_buffer() {
        let (stream, _) = pieces(&[4096, 100_000, 10, 10], false);
        let mut wide = Wide::new(stream);
        let mut room = [0; 4096];
        for _ in 0..2 {
            assert_eq!(wide.read(&mut room).await.unwrap(), 4096);
        }
        assert_eq!(wide.piece.len(), PIECE);
        while wide.read(&mut room).await.unwrap() > 10 {}
        assert_eq!(wide.read(&mut room).await.unwrap(), 10);
        assert!(wide.piece.is_empty());
    }

    #[tokio::test]
    async fn records_come_together_and_their_end_is_as_it_was() {
        for fails in [false, true] {
            let (stream, all) = pieces(&[16384, 16384, 7], fails);
            let mut gathered = Gathered::new(stream);
            let mut room = vec![0; 64 * 1024];
            assert_eq!(gathered.read(&mut room).await.unwrap(), all.len());
            assert!(room[..all.len()] == all);
            let over = gathered.read(&mut room).await;
            assert_eq!(
                over.as_ref().map_err(io::Error::kind),
                if fails { Err(io::ErrorKind::UnexpectedEof) } else { Ok(&0) }
            );
        }
    }
}
