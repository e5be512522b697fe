//! TLS that is opened: the gateway speaks as the server to the sandbox, and as a client to the true server, whose
//! certificate it checks. Both sides get the same protocol above TLS, so nothing is translated between them.

mod authority;
pub(crate) mod hello;

pub use authority::NotSigned;

use crate::capture::Client;
use crate::gate::{Connection, NotReached, shown};
use crate::http::{self, Reached};
use crate::policy::{Destination, Reason};
use crate::refuse::DENIED;
use crate::stream::{Metered, Prefixed};
use crate::wide::{Gathered, Wide};
use authority::Authority;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::server::{Acceptor, ClientHello};
use tokio_rustls::rustls::{CipherSuite, ClientConfig, RootCertStore};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, TlsConnector};

pub(crate) const H2: &[u8] = b"h2";
pub(crate) const H1: &[u8] = b"http/1.1";

/// What one gateway needs for both sides of TLS.
pub(crate) struct Tls {
    authority: Authority,
    /// By what the client offers: nothing, HTTP/1.1, HTTP/2, both. Kept, so that connections can be resumed.
    clients: [Arc<ClientConfig>; 4],
}

/// Something that TLS cannot be without.
#[derive(Debug, thiserror::Error)]
pub enum NoTls {
    /// The authority could not be made.
    #[error(transparent)]
    Authority(#[from] NotSigned),
    /// The TLS library refused its configuration.
    #[error("TLS could not be set up: {0}")]
    Library(#[from] tokio_rustls::rustls::Error),
}

impl Tls {
    /// Servers are checked against these roots.
    pub(crate) fn new(roots: Vec<CertificateDer<'static>>) -> Result<Self, NoTls> {
        let provider = Arc::new(provider());
        let mut store = RootCertStore::empty();
        // A root that this library cannot read verifies nothing: the servers below it are refused by name.
        store.add_parsable_certificates(roots);
        let store = Arc::new(store);
        let client = |protocols: &[&[u8]]| client(&provider, &store, protocols);
        let clients = [client(&[])?, client(&[H1])?, client(&[H2])?, client(&[H2, H1])?];
        Ok(Self { authority: Authority::new(provider.clone())?, clients })
    }

    /// The certificate that the sandbox has to trust.
    pub(crate) fn pem(&self) -> &str {
        self.authority.pem()
    }
}

/// With the cheapest cipher first of those that are as good; both sides of most connections have it.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    let is_first = |suite: CipherSuite| {
        use CipherSuite as Suite;
        let of_12 = [Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
        suite == Suite::TLS13_AES_128_GCM_SHA256 || of_12.contains(&suite)
    };
    // Of the same version: a stable order keeps TLS 1.3 before 1.2.
    provider.cipher_suites.sort_by_key(|suite| (suite.tls13().is_none(), !is_first(suite.suite())));
    provider
}

fn client(
    provider: &Arc<CryptoProvider>,
    roots: &Arc<RootCertStore>,
    protocols: &[&[u8]],
) -> Result<Arc<ClientConfig>, NoTls> {
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// What the client's first message asks for.
struct Offered {
    h1: bool,
    h2: bool,
    name_fits: bool,
    inside: String,
}

fn offered(hello: &ClientHello<'_>, to: &Destination) -> Offered {
    let mut protocols: Vec<&[u8]> = hello.alpn().into_iter().flatten().collect();
    protocols.dedup();
    let inside = hello.server_name().unwrap_or_default();
    let name_fits = match to {
        // Without a name in it TLS goes where it was dialled to: the requests still have to say the same.
        _ if inside.is_empty() => true,
        Destination::Name(name) => crate::name::HostName::ascii(inside).is_ok_and(|inside| inside == *name),
        Destination::Address(_) => true,
    };
    Offered { h1: protocols.contains(&H1), h2: protocols.contains(&H2), name_fits, inside: inside.to_owned() }
}

/// Opens a connection, and serves the requests in it.
pub(crate) async fn open(connection: Connection, client: Client) {
    let accepting = LazyConfigAcceptor::new(Acceptor::default(), Prefixed::new(client.read, Wide::new(client.stream)));
    let mut start = match timeout(connection.gate.limits.head, accepting).await {
        Ok(Ok(start)) => start,
        Ok(Err(error)) => return connection.ends(&format!("the client's TLS: {error}")),
        Err(_) => return connection.ends("the client's TLS came too slowly"),
    };
    let offered = offered(&start.client_hello(), &connection.to);
    if !offered.name_fits {
        connection.refuse(Reason::OtherName { inside: crate::name::shown(&offered.inside) });
        // It is cut in any case.
        let _ = start.io.write_all(&DENIED).await;
        return;
    }
    let (reached, protocol) = reach(&connection, &offered).await;
    let name = host(&connection.to);
    let config = match connection.gate.tls.authority.server(&name, protocol) {
        Ok(config) => config,
        Err(error) => return connection.ends(&error.to_string()),
    };
    match timeout(connection.gate.limits.head, handshake(start, config)).await {
        Ok(Ok(stream)) => http::serve_secure(connection, Gathered::new(stream), protocol == Some(H2), reached).await,
        Ok(Err(error)) => connection.ends(&format!("the client did not take the run's certificate: {error}")),
        Err(_) => connection.ends("the client's TLS came too slowly"),
    }
}

type Opened = tokio_rustls::server::TlsStream<Inside>;
/// A connection from inside of the sandbox.
type Inside = Prefixed<Wide<TcpStream>>;

async fn handshake(
    start: StartHandshake<Inside>,
    config: Arc<tokio_rustls::rustls::ServerConfig>,
) -> std::io::Result<Opened> {
    start.into_stream_with(config, |tls| tls.set_buffer_limit(Some(http::BUFFER))).await
}

/// The server with the protocol that both sides have. Where there is none the client still gets words, in a protocol of its own.
async fn reach(connection: &Connection, offered: &Offered) -> (Result<Reached, NotReached>, Option<&'static [u8]>) {
    let fallback = if offered.h1 { Some(H1) } else { offered.h2.then_some(H2) };
    match secured(connection, offered).await {
        Ok(stream) => {
            let agreed = match stream.get_ref().1.alpn_protocol() {
                Some(protocol) if protocol == H2 => Some(H2),
                _ => offered.h1.then_some(H1),
            };
            (Ok(stream), agreed)
        }
        Err(error) => (Err(error), fallback),
    }
}

async fn secured(connection: &Connection, offered: &Offered) -> Result<Reached, NotReached> {
    let server = connection.dial().await?;
    let failed = |words: String| {
        connection.ends(&words);
        NotReached::Failed(words)
    };
    let name = match &connection.to {
        Destination::Name(name) => ServerName::try_from(name.to_string()).map_err(|error| failed(error.to_string()))?,
        Destination::Address(address) => ServerName::from(*address),
    };
    let config = connection.gate.tls.clients[usize::from(offered.h1) + 2 * usize::from(offered.h2)].clone();
    let connecting =
        TlsConnector::from(config).connect(name, Wide::new(Metered::new(server, connection.meter.clone())));
    let what = shown(&connection.to, connection.port);
    match timeout(connection.gate.limits.dial, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(failed(format!("TLS with {what} failed: {error}"))),
        Err(_) => Err(failed(format!("TLS with {what} took too long"))),
    }
}

fn host(to: &Destination) -> String {
    match to {
        Destination::Name(name) => name.to_string(),
        Destination::Address(address) => IpAddr::to_string(address),
    }
}
