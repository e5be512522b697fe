//! Headers on their way: what belongs to one connection stays there, what is injected goes in, what must not come back is covered.

use super::Web;
use super::body::Ending;
use crate::policy::{Destination, Inject};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{self, PathAndQuery, Scheme, Uri};
use http::{Method, Response, Version};
use hyper::body::Incoming;

/// Headers of one connection, not of the message.
const HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Whether a request asks to become a WebSocket. Every other wish of that kind is not passed on.
pub(super) fn asks_websocket(parts: &Parts) -> bool {
    let upgrade =
        parts.headers.get_all(header::UPGRADE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    upgrade && parts.version == Version::HTTP_11 && has_token(&parts.headers, header::CONNECTION, "upgrade")
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(str::trim)
}

fn drop_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, header::CONNECTION).filter_map(|token| token.parse().ok()).collect();
    for name in named {
        // What frames a message, or says where it goes, is no matter of the client's wishes.
        if name != header::CONTENT_LENGTH && name != header::HOST {
            headers.remove(name);
        }
    }
    for name in HOP {
        headers.remove(name);
    }
}

/// The header that requests of this connection may get, so that nobody else sends one of that name.
pub(super) fn injected_name(web: &Web) -> Vec<HeaderName> {
    let policy = &web.connection.gate.policy;
    policy
        .injected_for(&web.connection.to, web.connection.port)
        .filter_map(|inject| inject.header.parse().ok())
        .collect()
}

/// Makes a request that was allowed into the one that goes out.
pub(super) fn outgoing(
    parts: &mut Parts,
    web: &Web,
    inject: Option<&Inject>,
    websocket: bool,
) -> Result<(), http::Error> {
    let trailers = has_token(&parts.headers, header::TE, "trailers");
    drop_hop(&mut parts.headers);
    // The gateway itself says "continue" when it takes the body.
    parts.headers.remove(header::EXPECT);
    parts.headers.remove(header::HOST);
    if trailers {
        parts.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if web.needles.is_some() {
        readable(&mut parts.headers, websocket);
    }
    // Also where this request gets none: a client must not sit in the place of the credential.
    for name in injected_name(web) {
        parts.headers.remove(name);
    }
    if let Some((name, value)) = inject.and_then(value_of) {
        parts.headers.insert(name, value);
    }
    if websocket {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    parts.extensions.clear();
    retarget(parts, web)
}

/// Asks for an answer that can be looked through: whole, and not packed.
fn readable(headers: &mut HeaderMap, websocket: bool) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for name in ["range", "if-range", "grpc-accept-encoding"] {
        headers.remove(name);
    }
    if websocket {
        headers.remove("sec-websocket-extensions");
    }
}

fn value_of(inject: &Inject) -> Option<(HeaderName, HeaderValue)> {
    let (head, tail) = inject.parts()?;
    let text = zeroize::Zeroizing::new([head, inject.secret.expose(), tail].concat());
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some((inject.header.parse().ok()?, value))
}

/// The path is the one that was judged, as it was sent; everything else of the target is made anew.
fn retarget(parts: &mut Parts, web: &Web) -> Result<(), http::Error> {
    let (to, port) = (&web.connection.to, web.connection.port);
    let host = match to {
        Destination::Name(name) => name.to_string(),
        Destination::Address(std::net::IpAddr::V6(v6)) => format!("[{v6}]"),
        Destination::Address(v4) => v4.to_string(),
    };
    let authority = if port == super::target::usual(web.secure) { host } else { format!("{host}:{port}") };
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut target = uri::Parts::default();
    target.path_and_query = Some(path);
    if parts.version == Version::HTTP_2 {
        target.scheme = Some(Scheme::HTTPS);
        target.authority = Some(authority.parse()?);
    } else {
        parts.version = Version::HTTP_11;
        parts.headers.insert(header::HOST, HeaderValue::from_str(&authority)?);
    }
    parts.uri = Uri::from_parts(target)?;
    Ok(())
}

/// Makes a server's answer into the one that goes in.
pub(super) fn incoming(response: Response<Incoming>, web: &Web, ending: &Ending) -> (http::response::Parts, Incoming) {
    let (mut parts, body) = response.into_parts();
    let closes = has_token(&parts.headers, header::CONNECTION, "close") || parts.version == Version::HTTP_10;
    let websocket = parts.status == http::StatusCode::SWITCHING_PROTOCOLS;
    let is_1 = parts.version != Version::HTTP_2;
    drop_hop(&mut parts.headers);
    // It would send clients to other names, ports and protocols.
    parts.headers.remove(header::ALT_SVC);
    if let Some(needles) = &web.needles {
        let mut covered = 0;
        for value in parts.headers.values_mut() {
            if let Some((bytes, count)) = needles.covered(value.as_bytes()) {
                covered += count;
                *value = HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| HeaderValue::from_static("***"));
            }
        }
        ending.covered(covered);
    }
    if websocket {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    } else if closes && is_1 && web.secure {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if is_1 {
        parts.version = Version::HTTP_11;
    }
    (parts, body)
}

/// About as many bytes as were read for them.
pub(super) fn length(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Whether an answer is packed.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    let mut names = tokens(headers, header::CONTENT_ENCODING);
    let grpc = headers.get("grpc-encoding").is_some_and(|value| value != "identity");
    grpc || names.any(|token| !token.is_empty() && !token.eq_ignore_ascii_case("identity"))
}

/// Whether a request asks for JSON, or is a call of gRPC: such clients read nothing else.
pub(super) fn wants(parts: &Parts) -> Wants {
    let says =
        |name, text: &str| tokens(&parts.headers, name).any(|token| token.to_ascii_lowercase().starts_with(text));
    if says(header::CONTENT_TYPE, "application/grpc") {
        Wants::Grpc
    } else if parts.method == Method::HEAD {
        Wants::Nothing
    } else if says(header::ACCEPT, "application/json") {
        Wants::Json
    } else {
        Wants::Words
    }
}

/// What a client can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Grpc,
    Nothing,
    Json,
    Words,
}
