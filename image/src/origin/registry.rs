//! A registry. One thread talks to it; everybody else reads from channels.
//!
//! The protocol (tokens, redirects, ranges) is the client library's; what comes in is bounded here
//! and verified by whoever reads it. Each blob has a few buffers on the way and no more.

use super::{Origin, Top, login};
use crate::manifest::{ACCEPTED, Blob};
use crate::{Digest, Error, Kind, Reference, Result, limits};
use futures_util::{Stream, StreamExt};
use oci_distribution::client::{BlobResponse, Client, ClientConfig, ClientProtocol};
use oci_distribution::errors::OciDistributionError as Failure;
use oci_distribution::secrets::RegistryAuth;
use std::io::{self, Read};
use std::sync::Once;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Without a single byte.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a registry may take, however busy it looks: single bytes now and then are no answer.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For a manifest with the login before it, and until a blob begins.
    answer: Duration,
    /// In each stretch of so much waiting for a blob …
    stretch: Duration,
    /// … so many bytes must come.
    least: usize,
}

const PATIENCE: Patience =
    Patience { answer: Duration::from_secs(60), stretch: Duration::from_secs(60), least: 256 << 10 };

enum Ask {
    Current(oneshot::Sender<Result<Option<Digest>>>),
    Manifest(Option<Digest>, oneshot::Sender<Result<Vec<u8>>>),
    Blob(Digest, mpsc::Sender<io::Result<Vec<u8>>>),
}

pub(super) struct Registry {
    reference: Reference,
    asks: mpsc::UnboundedSender<Ask>,
}

/// One way to reach the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Https,
    /// HTTPS with whatever certificate it shows.
    Unchecked,
    Http,
}

impl Registry {
    /// Starts the thread; nothing is asked yet.
    pub(super) fn connect(reference: &Reference, insecure: &[String]) -> Result<Registry> {
        provide_cryptography();
        let auth = login::find(&reference.registry)?;
        let ways = ways(reference, insecure);
        let (asks, inbox) = mpsc::unbounded_channel();
        let talker = Talker { reference: reference.clone(), auth, ways, chosen: None, patience: PATIENCE };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::io("starting the network", e))?;
        let thread = std::thread::Builder::new().name("registry".to_owned());
        thread
            .spawn(move || runtime.block_on(talker.serve(inbox)))
            .map_err(|e| Error::io("starting the network", e))?;
        Ok(Registry { reference: reference.clone(), asks })
    }

    fn manifest_bytes(&self, digest: Option<Digest>) -> Result<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::new(Kind::Registry, "the network thread ended");
        self.asks.send(Ask::Manifest(digest, reply)).map_err(|_| gone())?;
        let bytes = answer.blocking_recv().map_err(|_| gone())??;
        if bytes.len() as u64 > limits::MANIFEST_BYTES {
            let what = format!("its manifest has {} bytes; the limit is {}", bytes.len(), limits::MANIFEST_BYTES);
            return Err(Error::new(Kind::Limit, what));
        }
        Ok(bytes)
    }
}

fn provide_cryptography() {
    static PROVIDER: Once = Once::new();
    // Fails only if the program chose a provider before, which is as good.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// HTTPS, unless nobody can stand on the way or the user named the registry.
fn ways(reference: &Reference, insecure: &[String]) -> Vec<Way> {
    if insecure.contains(&reference.registry) {
        return vec![Way::Unchecked, Way::Http];
    }
    if reference.is_loopback() { vec![Way::Http, Way::Https] } else { vec![Way::Https] }
}

impl Origin for Registry {
    fn top(&self) -> Result<Top> {
        let bytes = self.manifest_bytes(self.reference.digest)?;
        let found = Digest::of(&bytes);
        match self.reference.digest {
            Some(wanted) if wanted != found => {
                let what = format!("the registry answered {wanted} with a manifest that has the digest {found}");
                Err(Error::new(Kind::Unverified, what))
            }
            _ => Ok(Top::Document(bytes)),
        }
    }

    fn current(&self) -> Result<Option<Digest>> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::new(Kind::Registry, "the network thread ended");
        self.asks.send(Ask::Current(reply)).map_err(|_| gone())?;
        answer.blocking_recv().map_err(|_| gone())?
    }

    fn manifest(&self, blob: &Blob) -> Result<Box<dyn Read + Send + '_>> {
        let bytes = self.manifest_bytes(Some(blob.digest))?;
        Ok(Box::new(io::Cursor::new(bytes)))
    }

    fn blob(&self, blob: &Blob) -> Result<Box<dyn Read + Send + '_>> {
        let (sender, chunks) = mpsc::channel(limits::BUFFERS);
        let gone = |_| Error::new(Kind::Registry, "the network thread ended");
        self.asks.send(Ask::Blob(blob.digest, sender)).map_err(gone)?;
        Ok(Box::new(Incoming { chunks, current: Vec::new(), at: 0 }))
    }
}

/// The reading end of a blob.
struct Incoming {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    at: usize,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.current.len() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => (self.current, self.at) = (chunk?, 0),
            }
        }
        let count = buffer.len().min(self.current.len() - self.at);
        buffer[..count].copy_from_slice(&self.current[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// The side that lives on the network thread.
struct Talker {
    reference: Reference,
    auth: RegistryAuth,
    ways: Vec<Way>,
    chosen: Option<Client>,
    patience: Patience,
}

impl Talker {
    /// Answers until nobody can ask any more.
    async fn serve(mut self, mut inbox: mpsc::UnboundedReceiver<Ask>) {
        while let Some(ask) = inbox.recv().await {
            match ask {
                Ask::Current(reply) => drop(reply.send(self.current().await)),
                Ask::Manifest(digest, reply) => drop(reply.send(self.manifest(digest).await)),
                Ask::Blob(digest, sink) => match self.client().await {
                    Ok(client) => {
                        let (reference, digest) = (self.at(None), digest.to_string());
                        let patience = self.patience;
                        tokio::spawn(async move { feed(client, reference, digest, sink, patience).await });
                    }
                    Err(error) => drop(sink.send(Err(error.into())).await),
                },
            }
        }
    }

    /// The reference in the library's form.
    fn at(&self, digest: Option<Digest>) -> oci_distribution::Reference {
        let Reference { registry, repository, tag, digest: own } = self.reference.clone();
        match (digest.or(own), tag) {
            (Some(digest), _) => oci_distribution::Reference::with_digest(registry, repository, digest.to_string()),
            (None, tag) => {
                oci_distribution::Reference::with_tag(registry, repository, tag.unwrap_or_else(|| "latest".to_owned()))
            }
        }
    }

    /// The client of the way that works; a blob may be the first thing that is asked for.
    async fn client(&mut self) -> Result<Client> {
        if self.chosen.is_none() {
            self.manifest(None).await?;
        }
        self.chosen.clone().ok_or_else(|| Error::new(Kind::Registry, "the registry was not reached"))
    }

    /// Asks for the name's digest alone.
    async fn current(&mut self) -> Result<Option<Digest>> {
        let at = self.at(None);
        let mut last = Error::new(Kind::Registry, "no way to reach the registry");
        for way in self.ways.clone() {
            let client = self.build(way)?;
            let asked = client.fetch_manifest_digest(&at, &self.auth);
            let late = |_| Err(Failure::IoError(io::ErrorKind::TimedOut.into()));
            match tokio::time::timeout(self.patience.answer, asked).await.unwrap_or_else(late) {
                Ok(digest) => {
                    self.chosen = Some(client);
                    return Ok(digest.parse().ok());
                }
                Err(error) if !matches!(error, Failure::RequestError(_)) => return Err(self.explain(&error)),
                Err(error) => last = self.explain(&error),
            }
        }
        Err(last)
    }

    async fn manifest(&mut self, digest: Option<Digest>) -> Result<Vec<u8>> {
        let at = self.at(digest);
        if let Some(client) = &self.chosen {
            return self.ask(client, &at).await.map_err(|e| self.explain(&e));
        }
        let mut last = None;
        for way in self.ways.clone() {
            let client = self.build(way)?;
            match self.ask(&client, &at).await {
                Ok(bytes) => {
                    self.chosen = Some(client);
                    return Ok(bytes);
                }
                // Somebody answered: another way would not make the answer better.
                Err(error) if !matches!(error, Failure::RequestError(_)) => return Err(self.explain(&error)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(|| Error::new(Kind::Registry, "no way to reach the registry"), |e| self.explain(&e)))
    }

    async fn ask(&self, client: &Client, at: &oci_distribution::Reference) -> std::result::Result<Vec<u8>, Failure> {
        let asked = async {
            if self.chosen.is_none() {
                // Later requests get their tokens by themselves; this first one says what is wrong with a login.
                client.auth(at, &self.auth, oci_distribution::RegistryOperation::Pull).await?;
            }
            client.pull_manifest_raw(at, &self.auth, &ACCEPTED).await
        };
        match tokio::time::timeout(self.patience.answer, asked).await {
            Ok(answer) => answer.map(|(bytes, _)| bytes.to_vec()),
            Err(_) => Err(Failure::IoError(io::ErrorKind::TimedOut.into())),
        }
    }

    fn build(&self, way: Way) -> Result<Client> {
        let config = ClientConfig {
            protocol: if way == Way::Http { ClientProtocol::Http } else { ClientProtocol::Https },
            accept_invalid_certificates: way == Way::Unchecked,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(SILENCE_TIMEOUT),
            user_agent: concat!("aido/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        Client::try_from(config).map_err(|e| {
            Error::new(Kind::Registry, format!("TLS cannot be set up: {}", chain(&e)))
                .remedy("install the system's certificates (package ca-certificates)")
        })
    }

    fn explain(&self, failure: &Failure) -> Error {
        let registry = &self.reference.registry;
        let (kind, what) = match failure {
            Failure::ImageManifestNotFoundError(_) => (Kind::Missing, "has no such image".to_owned()),
            Failure::ServerError { code: 404, .. } => (Kind::Missing, "has no such image".to_owned()),
            Failure::RegistryError { envelope, .. } if says_unknown(envelope) => {
                (Kind::Missing, "has no such image".to_owned())
            }
            Failure::UnauthorizedError { .. } | Failure::AuthenticationFailure(_) => {
                (Kind::Registry, "does not let us have it (it may also not exist)".to_owned())
            }
            Failure::DigestError(e) => (Kind::Unverified, format!("sent a wrong digest: {e}")),
            Failure::RequestError(e) => (Kind::Registry, format!("cannot be reached: {}", chain(e))),
            Failure::IoError(e) if e.kind() == io::ErrorKind::TimedOut => {
                (Kind::Registry, "did not answer in time".to_owned())
            }
            other => (Kind::Registry, format!("answered: {}", chain(other))),
        };
        let error = Error::new(kind, format!("{registry} {what}"));
        match failure {
            Failure::UnauthorizedError { .. } | Failure::AuthenticationFailure(_) => {
                error.remedy(format!("check the name, or log in: docker login {registry}"))
            }
            Failure::RequestError(_) => error.remedy(format!(
                "check the network; if {registry} speaks plain HTTP or has no valid certificate, say --insecure-registry {registry}"
            )),
            _ => error,
        }
    }
}

fn says_unknown(envelope: &oci_distribution::errors::OciEnvelope) -> bool {
    use oci_distribution::errors::OciErrorCode::{ManifestUnknown, NameUnknown, NotFound};
    envelope.errors.iter().any(|e| matches!(e.code, ManifestUnknown | NameUnknown | NotFound))
}

/// An error with its causes: the first line alone often says nothing.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    // The other end wrote parts of this, and it goes to a terminal.
    text.chars().take(600).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Passes a blob on, in buffers of a fair size, until its end or until nobody reads any more.
async fn feed(
    client: Client,
    reference: oci_distribution::Reference,
    digest: String,
    sink: mpsc::Sender<io::Result<Vec<u8>>>,
    patience: Patience,
) {
    let failed = |why: String| Err(Error::new(Kind::Registry, why).into());
    // Asked for from byte 0 on, so that the answer is a range: the library does not hash those, and
    // our reader hashes everything anyway.
    let asked = client.pull_blob_stream_partial(&reference, digest.as_str(), 0, None);
    let mut stream = match tokio::time::timeout(patience.answer, asked).await {
        Ok(Ok(BlobResponse::Full(stream) | BlobResponse::Partial(stream))) => stream.stream,
        Err(_) => {
            let _ = sink.send(failed("the registry did not begin to send it in time".to_owned())).await;
            return;
        }
        Ok(Err(error)) => {
            let _ = sink.send(failed(format!("the registry does not send it: {}", chain(&error)))).await;
            return;
        }
    };
    let mut pace = Pace::new(patience);
    let mut buffer = Vec::with_capacity(limits::BUFFER_BYTES);
    while let Some(chunk) = pace.next(&mut stream).await.transpose() {
        match chunk {
            Ok(Ok(bytes)) => buffer.extend_from_slice(&bytes),
            Err(slow) => {
                let _ = sink.send(Err(slow.into())).await;
                return;
            }
            Ok(Err(error)) => {
                let _ = sink.send(failed(format!("the transfer broke off: {}", chain(&error)))).await;
                return;
            }
        }
        if buffer.len() >= limits::BUFFER_BYTES {
            let full = std::mem::replace(&mut buffer, Vec::with_capacity(limits::BUFFER_BYTES));
            if sink.send(Ok(full)).await.is_err() {
                return;
            }
        }
    }
    let _ = sink.send(Ok(buffer)).await;
}

/// Holds a transfer to the least speed. Only time spent waiting for the other end counts: a slow
/// disk on this side is not the registry's fault.
struct Pace {
    patience: Patience,
    waited: Duration,
    came: usize,
}

impl Pace {
    fn new(patience: Patience) -> Self {
        Pace { patience, waited: Duration::ZERO, came: 0 }
    }

    async fn next<B: AsRef<[u8]>, E>(
        &mut self,
        stream: &mut (impl Stream<Item = std::result::Result<B, E>> + Unpin),
    ) -> Result<Option<std::result::Result<B, E>>> {
        let Patience { stretch, least, .. } = self.patience;
        loop {
            let start = Instant::now();
            let next = tokio::time::timeout(stretch.saturating_sub(self.waited), stream.next()).await;
            self.waited += start.elapsed();
            if let Ok(Some(Ok(bytes))) = &next {
                self.came += bytes.as_ref().len();
            }
            match next {
                Ok(next) if self.waited < stretch => return Ok(next),
                _ if self.came < least => {
                    let (came, time) = (self.came, self.waited.as_secs_f32());
                    let what = format!(
                        "the transfer is too slow: {came} bytes came in {time:.0} seconds, {least} are the least"
                    );
                    return Err(Error::new(Kind::Registry, what).remedy("try again, or use a registry that is nearer"));
                }
                next => {
                    (self.waited, self.came) = (Duration::ZERO, 0);
                    if let Ok(next) = next {
                        return Ok(next);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, Write};

    const SHORT: Patience =
        Patience { answer: Duration::from_millis(400), stretch: Duration::from_millis(200), least: 1000 };

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    /// Answers every request with a header line now and then, and never with an end, for as long as
    /// somebody listens.
    fn dripping() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(io::Result::ok) {
                std::thread::spawn(move || {
                    let _ = io::BufReader::new(&stream).read_line(&mut String::new());
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ");
                    while stream.write_all(b"y").is_ok() {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                });
            }
        });
        address
    }

    #[test]
    fn a_registry_that_drips_is_not_waited_for_even_at_the_login() {
        let reference: Reference = format!("{}/app", dripping()).parse().unwrap();
        provide_cryptography();
        run(async {
            let (auth, ways) = (RegistryAuth::Anonymous, vec![Way::Http]);
            let mut talker = Talker { reference, auth, ways, chosen: None, patience: SHORT };
            let asked = tokio::time::timeout(Duration::from_secs(10), talker.manifest(None)).await;
            let error = asked.expect("the login is waited for without an end").unwrap_err();
            assert!(error.kind == Kind::Registry && error.what.contains("in time"), "{error}");
            let (client, digest) = (talker.build(Way::Http).unwrap(), Digest::of(b"").to_string());
            let (sender, mut chunks) = mpsc::channel(1);
            let feeding = feed(client, talker.at(None), digest, sender, SHORT);
            let fed = tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(feeding, chunks.recv()).1 });
            let error = fed.await.expect("the blob is waited for without an end").unwrap().unwrap_err();
            assert!(error.to_string().contains("in time"), "{error}");
        });
    }

    /// Chunks of so many bytes, each after so many milliseconds; the milliseconds that it takes to
    /// handle one on this side; how it ends.
    fn transfer(chunks: usize, size: usize, each: u64, ours: u64) -> Result<usize> {
        run(async {
            let source = futures_util::stream::unfold(0, |n| async move {
                tokio::time::sleep(Duration::from_millis(each)).await;
                (n < chunks).then(|| (Ok::<_, io::Error>(vec![0_u8; size]), n + 1))
            });
            let (mut source, mut pace, mut all) = (Box::pin(source), Pace::new(SHORT), 0);
            while let Some(chunk) = pace.next(&mut source).await? {
                all += chunk.unwrap().len();
                tokio::time::sleep(Duration::from_millis(ours)).await;
            }
            Ok(all)
        })
    }

    #[test]
    fn a_blob_that_drips_is_given_up_and_a_slow_one_is_not() {
        for error in [transfer(100, 10, 20, 0).unwrap_err(), transfer(1, 9, 60_000, 0).unwrap_err()] {
            assert!(error.kind == Kind::Registry && error.what.contains("1000 are the least"), "{error}");
        }
        assert_eq!(transfer(25, 900, 20, 0).unwrap(), 25 * 900);
        // Few bytes, but it is this side that takes its time.
        assert_eq!(transfer(10, 10, 1, 60).unwrap(), 100);
    }

    #[test]
    fn plain_http_only_where_nobody_listens_or_the_user_said_so() {
        let way = |name: &str, insecure: &[&str]| {
            let insecure: Vec<String> = insecure.iter().map(|i| (*i).to_owned()).collect();
            ways(&name.parse().unwrap(), &insecure)
        };
        assert_eq!(way("registry.example/a", &[]), [Way::Https]);
        assert_eq!(way("registry.example:5000/a", &["registry.example"]), [Way::Https]);
        assert_eq!(way("registry.example/a", &["registry.example"]), [Way::Unchecked, Way::Http]);
        assert_eq!(way("127.0.0.1:5000/a", &[]), [Way::Http, Way::Https]);
        assert_eq!(way("python", &["127.0.0.1"]), [Way::Https]);
    }
}
