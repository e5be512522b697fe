//! Questions by UDP and TCP. Both are answered at once, so nothing piles up.

use super::Names;
use super::packet::LONGEST;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Connections that may ask at once, how long one may be silent, and how often it may ask.
const AT_ONCE: usize = 64;
const SILENCE: Duration = Duration::from_secs(10);
const QUESTIONS: usize = 1000;
/// How long nothing is taken after the system refused to give a descriptor.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers datagrams until the task is dropped.
pub(crate) async fn serve_udp(socket: UdpSocket, names: Arc<Names>) {
    let mut buffer = vec![0; LONGEST + 1];
    loop {
        // Errors are those of earlier answers that nobody took, or of a lack of memory.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            sleep(Duration::from_millis(1)).await;
            continue;
        };
        if let Some(answer) = names.respond(&buffer[..length]) {
            // A lost answer is asked for again.
            let _ = socket.try_send_to(&answer, from);
        }
    }
}

/// Answers connections until the task is dropped.
pub(crate) async fn serve_tcp(listener: TcpListener, names: Arc<Names>) {
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = tokio::task::JoinSet::new();
    loop {
        while asking.try_join_next().is_some() {}
        let Ok(permit) = at_once.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let names = names.clone();
                asking.spawn(async move {
                    let _permit = permit;
                    // It ends when the other side is done, silent or wrong: nothing to tell.
                    let _ = answer_all(stream, &names).await;
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Answers what one connection asks, until it has nothing more to ask.
pub(crate) async fn answer_all(mut stream: TcpStream, names: &Names) -> std::io::Result<()> {
    let mut buffer = vec![0; LONGEST];
    for _ in 0..QUESTIONS {
        let one = async {
            let length = usize::from(stream.read_u16().await?);
            let Some(message) = buffer.get_mut(..length) else { return Ok(false) };
            stream.read_exact(message).await?;
            let Some(answer) = names.respond(message) else { return Ok(false) };
            let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
            stream.write_all(&framed).await.map(|()| true)
        };
        if !timeout(SILENCE, one).await.unwrap_or(Ok(false))? {
            break;
        }
    }
    Ok(())
}
