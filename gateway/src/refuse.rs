//! How a refusal looks from inside: in words where HTTP is spoken, as an alert where TLS is, and else as a reset.

use crate::copy::write_all;
use crate::policy::Refusal;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the client's first byte is waited for, which says what it speaks.
const FIRST: Duration = Duration::from_secs(1);
/// A fatal alert, "access denied".
pub(crate) const DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];
const TLS: u8 = 22;

/// The words for a person, and the same as data for a program.
pub(crate) fn words(refusal: &Refusal) -> String {
    format!("aido: {refusal}; do not retry\n{}\n", data(refusal))
}

/// One JSON object.
pub(crate) fn data(refusal: &Refusal) -> String {
    let data = serde_json::json!({
        "error": "aido_policy_refused",
        "message": format!("aido: {refusal}; do not retry"),
        "retry": false,
        "reason": refusal.reason,
        "allow": refusal.allow,
    });
    data.to_string()
}

/// Refuses a connection of which nothing was passed on. `read` is what was read of it already.
pub(crate) async fn politely(stream: TcpStream, read: &[u8], refusal: &Refusal) {
    let mut first = [0; 8];
    let seen = match read {
        [] => timeout(FIRST, stream.peek(&mut first))
            .await
            .ok()
            .and_then(Result::ok)
            .map_or(&[][..], |count| &first[..count]),
        read => read,
    };
    match seen {
        [TLS, ..] => said(&stream, &DENIED).await,
        seen if is_http(seen) => {
            let body = words(refusal);
            let head = format!(
                "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\nX-Aido-Refused: 1\r\n\r\n",
                body.len()
            );
            said(&stream, (head + &body).as_bytes()).await;
        }
        _ => cut(stream),
    }
}

/// A method in capitals and a blank behind it, as far as it has come.
fn is_http(seen: &[u8]) -> bool {
    let method = seen.split(|byte| *byte == b' ').next().unwrap_or_default();
    method.len() >= 3 && method.iter().all(u8::is_ascii_uppercase)
}

/// Ends a connection at once, so that nobody waits for more.
pub(crate) fn cut(stream: TcpStream) {
    // Without it the connection ends in the ordinary way, which is as good.
    let _ = stream.set_zero_linger();
}

/// What a client sends meanwhile is taken for a moment: unread bytes would have the system throw our words away.
async fn said(stream: &TcpStream, bytes: &[u8]) {
    let saying = async {
        write_all(stream, bytes).await?;
        rustix::net::shutdown(stream, rustix::net::Shutdown::Write)?;
        let mut rest = [0; 4096];
        for _ in 0..256 {
            stream.readable().await?;
            match stream.try_read(&mut rest) {
                Ok(0) => break,
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        std::io::Result::Ok(())
    };
    let _ = timeout(FIRST, saying).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_told_by_its_first_word() {
        for seen in ["GET / HT", "GET /lat", "POST /x ", "OPTIONS ", "PROPFIND", "GET"] {
            assert!(is_http(seen.as_bytes()), "{seen}");
        }
        for seen in
            ["SSH-2.0-", "", "get / HT", "\x16\x03\x01", "EH", "HELO me ".trim_start_matches("HELO"), "* OK IMA"]
        {
            assert!(!is_http(seen.as_bytes()), "{seen}");
        }
    }
}
