//! Answers as an engine would, for what no engine at hand says.

use crate::Endpoint;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

/// An engine that is none. Its thread waits for callers as long as the tests run.
pub(crate) struct Fake {
    place: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// It says which API it has; `answer` has the rest: from the first line of a request to status and body.
    pub(crate) fn engine(api: &str, mut answer: impl FnMut(&str) -> (u16, String) + Send + 'static) -> Fake {
        let fake = Fake { place: tempfile::tempdir().unwrap(), asked: Arc::default() };
        let listener = UnixListener::bind(fake.place.path().join("engine.sock")).unwrap();
        let (version, asked) = (format!(r#"{{"Version":"1.2.3","ApiVersion":"{api}"}}"#), fake.asked.clone());
        std::thread::spawn(move || {
            for mut wire in listener.incoming().flatten() {
                let mut lines = BufReader::new(wire.try_clone().unwrap()).lines().map_while(Result::ok);
                let request = lines.next().unwrap_or_default();
                drop(lines.find(String::is_empty));
                let (status, body) = match &request {
                    said if said.contains("/version ") => (200, version.clone()),
                    said if said.contains("/info ") => (200, "{}".into()),
                    said => answer(said),
                };
                asked.lock().unwrap().push(request);
                let head = format!("HTTP/1.1 {status} so\r\nContent-Type: application/json\r\nConnection: close\r\n");
                let _ = write!(wire, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        fake
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&format!("unix://{}", self.place.path().join("engine.sock").display())).unwrap()
    }

    pub(crate) fn was_asked(&self, method: &str, path: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|line| line.starts_with(method) && line.contains(path))
    }
}
