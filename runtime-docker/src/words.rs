//! From what an engine answered to what a person can do about it.

use bollard::errors::Error as Failure;

/// A failure of the engine, and of which kind it is.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) what: String,
    pub(crate) remedy: Option<String>,
}

/// What `doing` failed with, at the engine of this address.
pub(crate) fn failure(endpoint: &str, doing: &str, failure: &Failure) -> aido_runtime::Error {
    let said = said(endpoint, failure);
    let error = aido_runtime::Error::new(format!("{doing}: {}", said.what));
    match said.remedy {
        Some(remedy) => error.remedy(remedy),
        None => error,
    }
}

/// Whether the engine answered that there is no such thing.
pub(crate) fn is_missing(failure: &Failure) -> bool {
    matches!(failure, Failure::DockerResponseServerError { status_code: 404, .. })
}

/// Whether the engine may answer another way in a moment: a container is ending, in words that Podman has for that and
/// Docker's API has not, or a conflict.
pub(crate) fn may_pass(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::DockerResponseServerError { .. } | Failure::JsonDataError { .. } | Failure::JsonSerdeError { .. }
    )
}

fn said(endpoint: &str, failure: &Failure) -> Said {
    match failure {
        Failure::DockerResponseServerError { status_code, message } => answered(*status_code, message.trim()),
        Failure::DockerStreamError { error } => answered(500, error.trim()),
        Failure::RequestTimeoutError => Said {
            what: format!("the engine at {endpoint} did not answer in time"),
            remedy: Some("look at it: docker info; restart it if it hangs".into()),
        },
        // A folder above it is closed: then nobody here can say whether it is there.
        Failure::SocketNotFoundError(path) if std::path::Path::new(path).try_exists().is_err() => Said {
            what: format!("you may not talk to the engine at {endpoint}: permission denied"),
            remedy: Some(join_in().into()),
        },
        Failure::SocketNotFoundError(path) => Said {
            what: format!("there is no engine at {endpoint}: {path} does not exist"),
            remedy: Some(start().into()),
        },
        other => unreachable_engine(endpoint, other),
    }
}

/// What the system says where a connection failed, however deep it lies.
fn io_kind(failure: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut at = Some(failure);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            // One may be wrapped in another.
            match io.get_ref() {
                Some(inner) if io.kind() == std::io::ErrorKind::Other => {
                    if let Some(kind) = io_kind(inner) {
                        return Some(kind);
                    }
                }
                _ => return Some(io.kind()),
            }
        }
        at = error.source();
    }
    None
}

fn unreachable_engine(endpoint: &str, failure: &Failure) -> Said {
    use std::io::ErrorKind as Kind;
    let mut reasons = vec![failure.to_string()];
    let mut at = std::error::Error::source(failure);
    while let Some(error) = at {
        let reason = error.to_string();
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
        at = error.source();
    }
    let why = reasons.join(": ");
    // That one stands for what is in it, and does not name it as its source.
    let kind = match failure {
        Failure::IOError { err } => io_kind(err),
        other => io_kind(other),
    };
    let (what, remedy) = match kind {
        Some(Kind::PermissionDenied) => {
            (format!("you may not talk to the engine at {endpoint}: permission denied"), Some(join_in()))
        }
        Some(Kind::ConnectionRefused | Kind::NotFound) => {
            (format!("the engine at {endpoint} is not running"), Some(start()))
        }
        Some(Kind::ConnectionReset | Kind::BrokenPipe | Kind::UnexpectedEof | Kind::ConnectionAborted) => {
            (format!("the engine at {endpoint} went away in the middle of an answer"), Some(start()))
        }
        _ => (format!("the engine at {endpoint} cannot be reached: {why}"), None),
    };
    Said { what, remedy: remedy.map(Into::into) }
}

/// How a user comes to an engine.
fn join_in() -> &'static str {
    "sudo usermod -aG docker $USER and log in again (that group is as good as root), or a rootless engine: dockerd-rootless-setuptool.sh install"
}

fn start() -> &'static str {
    match std::env::consts::OS {
        "macos" => "start Docker Desktop, or: colima start",
        "windows" => "start Docker Desktop",
        _ => "start it: sudo systemctl start docker, or systemctl --user start podman.socket",
    }
}

fn answered(status: u16, message: &str) -> Said {
    let lower = message.to_lowercase();
    let has = |words: &str| lower.contains(words);
    let remedy = if has("no space left on device") || has("disk quota exceeded") {
        Some(
            "make room where the engine keeps its data: docker system df shows what is used, docker system prune removes what nobody uses",
        )
    } else if has("unauthorized") || has("pull access denied") || has("authentication required") || has("denied:") {
        Some("check the name; if the image is private: docker login, then docker pull it yourself and run again")
    } else if has("no such host") || has("dial tcp") || has("i/o timeout") || has("tls handshake") || has("no route") {
        Some(
            "the engine has no way to the registry: bring the image by hand, with docker load or as docker-archive:FILE",
        )
    } else if has("manifest unknown") || has("not found: manifest") {
        Some("check the name and the tag of the image")
    } else if has("no matching manifest") || has("does not match the specified platform") {
        Some("the image is not made for this engine's architecture: take one that is")
    } else if has("toomanyrequests") || has("too many requests") {
        Some("the registry limits unknown callers: docker login, or wait")
    } else if has("client version") && has("too") {
        Some("update the engine: API 1.40 (Docker 19.03) is the least")
    } else {
        None
    };
    let what = match status {
        500.. => format!("the engine failed: {message}"),
        _ => format!("the engine refused: {message}"),
    };
    Said { what, remedy: remedy.map(Into::into) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(kind: std::io::ErrorKind) -> Failure {
        Failure::IOError { err: std::io::Error::other(std::io::Error::from(kind)) }
    }

    #[test]
    fn each_way_to_fail_has_its_remedy() {
        let at = "unix:///x.sock";
        let server = |message: &str| Failure::DockerResponseServerError { status_code: 500, message: message.into() };
        for (failure, what, mends) in [
            (io(std::io::ErrorKind::PermissionDenied), "permission denied", "usermod -aG docker"),
            (io(std::io::ErrorKind::ConnectionRefused), "is not running", "start"),
            (io(std::io::ErrorKind::ConnectionReset), "went away", "start"),
            (Failure::SocketNotFoundError("/x.sock".into()), "does not exist", "start"),
            (Failure::RequestTimeoutError, "in time", "docker info"),
            (server("write /a: no space left on device"), "no space left", "docker system prune"),
            (server("Get \"https://r/v2/\": dial tcp: lookup r: no such host"), "no such host", "docker load"),
            (server("unauthorized: authentication required"), "unauthorized", "docker login"),
        ] {
            let error = super::failure(at, "cannot do it", &failure);
            assert!(error.what.contains(what), "{error}");
            assert!(error.what.starts_with("cannot do it: "), "{error}");
            assert!(error.remedy.as_deref().is_some_and(|told| told.contains(mends)), "{error:?}");
        }
    }
}
