//! The task's streams: what it writes, as it came, and what it reads.

use crate::client::{Session, within};
use crate::endpoint::Address;
use aido_runtime::{Error, Stream};
use bollard::container::LogOutput;
use bollard::query_parameters::AttachContainerOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_secs(30);

/// Pieces of what a task writes, or why there are no more of them.
pub(crate) type Output = Pin<Box<dyn futures_util::Stream<Item = Result<(Stream, Bytes), String>> + Send>>;

/// Both directions.
pub(crate) struct Wires {
    pub(crate) output: Output,
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// Takes hold of a container's streams before it is started.
pub(crate) async fn attach(session: &Session, container: &str, tty: bool, stdin: bool) -> Result<Wires, Error> {
    if tty {
        // What a terminal shows has no frames around it, and bollard would look for some in its bytes.
        return within(PATIENCE, "cannot attach to the container", raw(session, container, stdin)).await?;
    }
    let options = AttachContainerOptionsBuilder::new().stream(true).stdin(stdin).stdout(true).stderr(true).build();
    let attached = session.api.attach_container(container, Some(options)).await;
    let attached = attached.map_err(session.failed("cannot attach to the container"))?;
    let output = attached.output.map(|piece| match piece {
        Ok(LogOutput::StdErr { message }) => Ok((Stream::Stderr, message)),
        Ok(LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message }) => {
            Ok((Stream::Stdout, message))
        }
        Err(e) => Err(e.to_string()),
    });
    Ok(Wires { output: Box::pin(output), input: attached.input })
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection of our own to the engine, as `docker attach` makes it.
async fn raw(session: &Session, container: &str, stdin: bool) -> Result<Wires, Error> {
    let failed = |e: std::io::Error| Error::new(format!("cannot attach to the container's terminal: {e}"));
    let mut wire: Box<dyn Duplex> = match &session.address {
        #[cfg(unix)]
        Address::Unix(path) => Box::new(tokio::net::UnixStream::connect(path).await.map_err(failed)?),
        #[cfg(windows)]
        Address::Pipe(path) => Box::new(
            tokio::net::windows::named_pipe::ClientOptions::new().open(path.replace('/', "\\")).map_err(failed)?,
        ),
        Address::Tcp { host, certificates: None } => {
            Box::new(tokio::net::TcpStream::connect(host.as_str()).await.map_err(failed)?)
        }
        _ => {
            return Err(Error::new("a terminal cannot be had from an engine behind certificates")
                .remedy("run without -t, or forward the engine's socket by ssh and set DOCKER_HOST to it"));
        }
    };
    let query = format!("stream=1&stdout=1&stderr=1&stdin={}", u8::from(stdin));
    let version = session.api.client_version();
    let request = format!(
        "POST /v{}.{}/containers/{container}/attach?{query} HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
        version.major_version, version.minor_version
    );
    wire.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut head = Vec::new();
    let end = loop {
        if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if wire.read_buf(&mut head).await.map_err(failed)? == 0 || head.len() > 1 << 16 {
            return Err(Error::new("the engine does not answer as it should when a terminal is attached"));
        }
    };
    let status = String::from_utf8_lossy(&head[..end]).lines().next().unwrap_or_default().to_string();
    if !matches!(status.split(' ').nth(1), Some("101" | "200")) {
        return Err(Error::new(format!("the engine refused to attach a terminal: {status}")));
    }
    let begun = Bytes::copy_from_slice(&head[end..]);
    let (reader, writer) = tokio::io::split(wire);
    let begun = futures_util::stream::iter((!begun.is_empty()).then_some(Ok((Stream::Stdout, begun))));
    let output = futures_util::stream::unfold(reader, |mut reader| async move {
        let mut piece = Vec::with_capacity(1 << 15);
        match reader.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok((Stream::Stdout, piece.into())), reader)),
            Err(e) => Some((Err(e.to_string()), reader)),
        }
    });
    Ok(Wires { output: Box::pin(begun.chain(output)), input: Box::pin(writer) })
}
