//! Bytes between two connections, each end of which can close its half. In small amounts through a buffer; what moves
//! much goes through a pipe within the kernel (`splice`), where there is one.

use crate::budget::{Meter, USED_UP, Way};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// What is moved in one go by a buffer, and after how many bytes it pays to make a pipe.
const BUFFER: usize = 32 * 1024;
#[cfg(target_os = "linux")]
const MUCH: u64 = 512 * 1024;

/// Pipes at once. What is stuck in one is the kernel's memory, a megabyte at most; who gets none goes on by a buffer.
pub(crate) const PIPES: usize = 64;

/// Moves bytes until both halves are closed, something fails, a budget is used up or nothing moves for too long. Says how it ended.
pub(crate) async fn both_ways(
    client: &TcpStream,
    server: &TcpStream,
    meter: &Arc<Meter>,
    idle: Duration,
    pipes: &Semaphore,
) -> String {
    let moving = async {
        tokio::try_join!(
            one_way(client, server, meter, Way::Out, pipes),
            one_way(server, client, meter, Way::In, pipes)
        )
    };
    let result = tokio::select! {
        result = moving => result,
        () = meter.idle_for(idle) => return format!("nothing moved for {} s", idle.as_secs()),
    };
    match result {
        Ok(_) => "closed".to_owned(),
        Err(error) => error.to_string(),
    }
}

async fn one_way(from: &TcpStream, to: &TcpStream, meter: &Meter, way: Way, pipes: &Semaphore) -> io::Result<()> {
    while !small(from, to, meter, way).await? {
        let Ok(_pipe) = pipes.try_acquire() else { continue };
        #[cfg(target_os = "linux")]
        if kernel::large(from, to, meter, way).await? {
            break;
        }
    }
    meter.touch();
    // The other side may have gone for good: then its own half ends with an error, and says so.
    let _ = rustix::net::shutdown(to, rustix::net::Shutdown::Write);
    Ok(())
}

/// By a buffer. True: the end was reached; false: it pays to make a pipe.
async fn small(from: &TcpStream, to: &TcpStream, meter: &Meter, way: Way) -> io::Result<bool> {
    let mut buffer = vec![0; BUFFER];
    #[cfg(target_os = "linux")]
    let mut total: u64 = 0;
    loop {
        // Nothing is reserved while nothing is there: others may need it.
        from.readable().await?;
        let leave = reserve(meter, BUFFER)?;
        let read = match from.try_read(&mut buffer[..leave]) {
            Ok(read) => read,
            Err(error) => {
                meter.moved(way, leave, 0);
                if error.kind() == io::ErrorKind::WouldBlock {
                    continue;
                }
                return Err(error);
            }
        };
        meter.moved(way, leave, read);
        if read == 0 {
            return Ok(true);
        }
        write_all(to, &buffer[..read]).await?;
        meter.touch();
        #[cfg(target_os = "linux")]
        {
            total += read as u64;
            if total >= MUCH {
                return Ok(false);
            }
        }
    }
}

fn reserve(meter: &Meter, want: usize) -> io::Result<usize> {
    match meter.reserve(want) {
        0 => Err(io::Error::other(USED_UP)),
        leave => Ok(leave),
    }
}

/// Writes all of it to a connection that is only borrowed.
pub(crate) async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
mod kernel {
    use super::{Meter, Way, io, reserve};
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
    use std::os::fd::OwnedFd;
    use tokio::io::Interest;
    use tokio::net::TcpStream;

    /// The largest that is allowed to everybody (`fs.pipe-max-size`). Measured: a fifth less work than with a quarter of it,
    /// and than by a buffer.
    const PIPE: usize = 1024 * 1024;

    /// True: the end was reached. A descriptor that the kernel does not give is no failure of the connection: then it goes on by a buffer.
    pub(super) async fn large(from: &TcpStream, to: &TcpStream, meter: &Meter, way: Way) -> io::Result<bool> {
        let Ok((out, into)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) else { return Ok(false) };
        // A small one works too.
        let size = fcntl_setpipe_size(&into, PIPE).unwrap_or(64 * 1024);
        loop {
            let read = fill(from, &into, meter, way, size).await?;
            if read == 0 {
                return Ok(true);
            }
            drain(&out, to, read).await?;
            meter.touch();
        }
    }

    /// The pipe is empty here, so that only the connection can be the one that has nothing.
    async fn fill(from: &TcpStream, into: &OwnedFd, meter: &Meter, way: Way, size: usize) -> io::Result<usize> {
        from.async_io(Interest::READABLE, || {
            let leave = reserve(meter, size)?;
            let result = splice(from, None, into, None, leave, SpliceFlags::MOVE | SpliceFlags::NONBLOCK);
            meter.moved(way, leave, *result.as_ref().unwrap_or(&0));
            Ok(result?)
        })
        .await
    }

    async fn drain(out: &OwnedFd, to: &TcpStream, mut left: usize) -> io::Result<()> {
        while left > 0 {
            let step = || Ok(splice(out, None, to, None, left, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?);
            match to.async_io(Interest::WRITABLE, step).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => left -= written,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budgets;
    use crate::policy::{Budget, Policy, Rules};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (one, two) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (one.unwrap(), two.unwrap().0)
    }

    fn meter(bytes: Option<u64>) -> Arc<Meter> {
        let policy =
            Policy::new(Rules { any: true, budget: Budget { bytes, connections: None }, ..Rules::default() }).unwrap();
        Arc::new(Budgets::new(&policy).connection(None).unwrap())
    }

    /// A client and a server, and the copying between them with its last words.
    async fn between(
        meter: Arc<Meter>,
        idle: Duration,
        pipes: usize,
    ) -> (TcpStream, TcpStream, tokio::task::JoinHandle<String>) {
        let ((client, near), (far, server)) = (pair().await, pair().await);
        let copying = tokio::spawn(async move { both_ways(&near, &far, &meter, idle, &Semaphore::new(pipes)).await });
        (client, server, copying)
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n % 251) as u8).collect()
    }

    #[tokio::test]
    async fn much_arrives_as_it_was_and_halves_close_one_by_one() {
        for pipes in [0, 1, 2] {
            much_arrives(pipes).await;
        }
    }

    async fn much_arrives(pipes: usize) {
        let meter = meter(None);
        let (mut client, mut server, copying) = between(meter.clone(), Duration::from_secs(20), pipes).await;
        let sent = pattern(8 * 1024 * 1024 + 17);
        let serving = tokio::spawn(async move {
            let mut got = Vec::new();
            server.read_to_end(&mut got).await.unwrap();
            // The client has closed its half; the answer still goes through.
            server.write_all(&got).await.unwrap();
            got.len()
        });
        let (mut reader, mut writer) = client.split();
        let mut back = Vec::new();
        let (_, _) = tokio::join!(
            async {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap()
            },
            async { reader.read_to_end(&mut back).await.unwrap() }
        );
        assert!(back == sent && serving.await.unwrap() == sent.len());
        assert_eq!(copying.await.unwrap(), "closed");
        assert_eq!(meter.totals(), (sent.len() as u64, sent.len() as u64));
    }

    #[tokio::test]
    async fn a_budget_ends_it_to_the_byte_small_or_large() {
        for (most, pipes) in [(1000, 2), (3 * 1024 * 1024 + 5, 2), (3 * 1024 * 1024 + 5, 0)] {
            let meter = meter(Some(most));
            let (mut client, mut server, copying) = between(meter.clone(), Duration::from_secs(20), pipes).await;
            let sending =
                tokio::spawn(async move { client.write_all(&pattern(6 * 1024 * 1024)).await.map(|()| client) });
            let mut got = Vec::new();
            let _ = server.read_to_end(&mut got).await;
            assert_eq!(copying.await.unwrap(), USED_UP);
            assert!(got.len() as u64 <= most && meter.totals() == (most, 0), "{} of {most}", got.len());
            let _ = sending.await;
        }
    }

    #[tokio::test]
    async fn silence_ends_it_and_a_reset_is_told() {
        let (client, _server, copying) = between(meter(None), Duration::from_millis(100), 2).await;
        assert!(copying.await.unwrap().starts_with("nothing moved"));
        drop(client);
        let (client, mut server, copying) = between(meter(None), Duration::from_secs(20), 2).await;
        client.set_zero_linger().unwrap();
        drop(client);
        assert!(copying.await.unwrap().contains("reset"));
        let mut rest = [0; 9];
        assert_eq!(server.read(&mut rest).await.unwrap_or(0), 0);
    }
}
