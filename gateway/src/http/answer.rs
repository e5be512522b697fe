//! What the gateway itself answers.

use super::body::Body;
use super::headers::{Wants, wants};
use crate::policy::{Reason, Refusal};
use crate::refuse;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use std::time::Duration;

/// What is taken of a refused body, so that the client comes to read the answer.
const DRAINED: usize = 256 * 1024;
const DRAINING: Duration = Duration::from_secs(1);
/// gRPC's "permission denied".
const DENIED: &str = "7";

/// The answer to a request that was refused. A connection of HTTP/1.1 ends with it: what was sent ahead is not looked at.
pub(super) async fn refused(refusal: &Refusal, parts: &Parts, body: Incoming) -> Response<Body> {
    let wanted = wants(parts);
    let expects = parts.headers.contains_key(header::EXPECT);
    if !body.is_end_stream() && !expects {
        drain(body).await;
    }
    let (kind, text) = match wanted {
        Wants::Json => ("application/json", refuse::data(refusal)),
        Wants::Words => ("text/plain; charset=utf-8", refuse::words(refusal)),
        Wants::Grpc => ("application/grpc", String::new()),
        Wants::Nothing => ("text/plain; charset=utf-8", String::new()),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::FORBIDDEN;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert("x-aido-refused", HeaderValue::from_static("1"));
    if wanted == Wants::Grpc {
        headers.insert("grpc-status", HeaderValue::from_static(DENIED));
        if let Ok(words) = HeaderValue::from_str(&format!("aido: {refusal}; do not retry")) {
            headers.insert("grpc-message", words);
        }
        *response.status_mut() = StatusCode::OK;
    } else if matches!(refusal.reason, Reason::Protocol { .. }) && parts.version != Version::HTTP_2 {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    closing(response, parts.version)
}

/// Takes what a client still sends of a body that nobody wants, for a while.
pub(super) async fn drain(mut body: Incoming) {
    let draining = async {
        let mut left = DRAINED;
        while let Some(Ok(frame)) = body.frame().await {
            left = match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(left) => left,
                None => break,
            };
        }
    };
    // What is not taken in time makes the end less gentle, and nothing else.
    let _ = tokio::time::timeout(DRAINING, draining).await;
}

fn closing(mut response: Response<Body>, version: Version) -> Response<Body> {
    if version != Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer where the server could not be reached, or did not keep to HTTP.
pub(super) fn failed(words: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("aido: {words}\n")));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
