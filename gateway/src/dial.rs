//! The way to a server: the true name is looked up once, every address is checked, and one of the checked addresses is
//! dialled. Nothing is looked up again in between, so a name cannot change its mind.

use crate::address::{Class, class_of};
use crate::name::HostName;
use crate::policy::Reason;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The addresses of a name, some time later.
pub type Resolving = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of names on the host's side.
pub trait Resolve: Send + Sync {
    /// All addresses, the best first.
    fn resolve(&self, name: &HostName) -> Resolving;
}

/// Lookups at once. A thread stands still for each.
const AT_ONCE: usize = 16;

/// The host's own way: its files, its servers, its order of addresses.
#[derive(Clone, Debug)]
pub struct SystemResolver(Arc<Semaphore>);

impl Default for SystemResolver {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: &HostName) -> Resolving {
        let (at_once, name) = (self.0.clone(), name.to_string());
        Box::pin(async move {
            let permit = at_once.acquire_owned().await.map_err(std::io::Error::other)?;
            let lookup = move || {
                // The thread lives on when nobody waits any more: it keeps its place until it is done.
                let _permit = permit;
                (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|at| at.ip()).collect())
            };
            tokio::task::spawn_blocking(lookup).await.map_err(std::io::Error::other)?
        })
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// The name leads where it must not.
    Refused(Reason),
    /// It could not be reached.
    Failed(String),
}

/// Addresses of one name that are looked at, and how long one has before the next is tried beside it.
const MOST_ADDRESSES: usize = 16;
const HEAD_START: Duration = Duration::from_millis(250);

/// Finds and reaches a server.
pub(crate) struct Dialler {
    resolver: Box<dyn Resolve>,
    limit: Duration,
}

impl Dialler {
    pub(crate) fn new(resolver: Box<dyn Resolve>, limit: Duration) -> Self {
        Self { resolver, limit }
    }

    /// A connection to a name, by addresses that were all checked.
    pub(crate) async fn name(
        &self,
        name: &HostName,
        port: u16,
        private: bool,
    ) -> Result<(TcpStream, SocketAddr), NoWay> {
        let late = || NoWay::Failed(format!("{name}:{port} did not answer within {} s", self.limit.as_secs()));
        let all = async {
            let found = self
                .resolver
                .resolve(name)
                .await
                .map_err(|error| NoWay::Failed(format!("{name} was not found: {error}")))?;
            let addresses = checked(found, private)?;
            if addresses.is_empty() {
                return Err(NoWay::Failed(format!("{name} has no address")));
            }
            race(addresses, port).await
        };
        timeout(self.limit, all).await.map_err(|_| late())?
    }

    /// A connection to an address that the policy has judged.
    pub(crate) async fn address(&self, address: IpAddr, port: u16) -> Result<(TcpStream, SocketAddr), NoWay> {
        let late = |_| NoWay::Failed(format!("{address} did not answer"));
        timeout(self.limit, race(vec![address], port)).await.map_err(late)?
    }
}

/// One wrong address makes the name wrong: who mixes them means to have the wrong one dialled some time.
fn checked(found: Vec<IpAddr>, private: bool) -> Result<Vec<IpAddr>, NoWay> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        let class = class_of(address);
        let fine = class == Class::Public || (private && class.can_be_granted());
        if !fine {
            return Err(NoWay::Refused(Reason::Class { address, class }));
        }
        if !addresses.contains(&address) && addresses.len() < MOST_ADDRESSES {
            addresses.push(address);
        }
    }
    Ok(alternating(addresses))
}

/// The families take turns, the first one first: a family that leads nowhere costs one head start.
fn alternating(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let (mut one, mut two): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let mut order = Vec::with_capacity(one.len() + two.len());
    one.reverse();
    two.reverse();
    while !one.is_empty() || !two.is_empty() {
        order.extend(one.pop());
        order.extend(two.pop());
    }
    order
}

async fn race(addresses: Vec<IpAddr>, port: u16) -> Result<(TcpStream, SocketAddr), NoWay> {
    let mut waiting = addresses.into_iter();
    let mut tries = JoinSet::new();
    let mut last = String::new();
    loop {
        let next = waiting.next();
        let more = next.is_some();
        if let Some(address) = next {
            let at = SocketAddr::new(address, port);
            tries.spawn(async move { (at, TcpStream::connect(at).await) });
        }
        let finished = tokio::select! {
            finished = tries.join_next() => finished,
            () = sleep(HEAD_START), if more => continue,
        };
        match finished {
            Some(Ok((at, Ok(stream)))) => {
                // Small messages go at once: what gathers them is the client.
                let _ = stream.set_nodelay(true);
                return Ok((stream, at));
            }
            Some(Ok((at, Err(error)))) => last = format!("{at}: {error}"),
            Some(Err(_)) => {}
            None if more => {}
            None => return Err(NoWay::Failed(last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::net::TcpListener;

    fn addresses(text: &str) -> Vec<IpAddr> {
        text.split(' ').map(|one| one.parse().unwrap()).collect()
    }

    /// Answers differently each time, as a rebinding server does.
    struct Fickle(Vec<&'static str>, Arc<AtomicUsize>);

    impl Resolve for Fickle {
        fn resolve(&self, _: &HostName) -> Resolving {
            let turn = self.1.fetch_add(1, Ordering::SeqCst);
            let found = addresses(self.0[turn.min(self.0.len() - 1)]);
            Box::pin(async move { Ok(found) })
        }
    }

    fn dialler(answers: Vec<&'static str>) -> (Dialler, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        (Dialler::new(Box::new(Fickle(answers, asked.clone())), Duration::from_secs(3)), asked)
    }

    fn name() -> HostName {
        HostName::written("a.example").unwrap()
    }

    #[tokio::test]
    async fn no_name_leads_to_an_address_that_is_not_public() {
        for wrong in [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "::1",
            "::ffff:127.0.0.1",
            "8.8.8.8 127.0.0.1",
            "127.0.0.1 8.8.8.8",
            "fe80::1",
            "0.0.0.0",
            "64:ff9b::7f00:1",
        ] {
            let (dialler, _) = dialler(vec![wrong]);
            let result = dialler.name(&name(), 9, false).await;
            assert!(matches!(result, Err(NoWay::Refused(Reason::Class { .. }))), "{wrong}: {result:?}");
        }
        for never in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "::ffff:127.0.0.1", "ff02::1"] {
            let (dialler, _) = dialler(vec![never]);
            assert!(matches!(dialler.name(&name(), 9, true).await, Err(NoWay::Refused(_))), "{never} though private");
        }
    }

    #[tokio::test]
    async fn the_checked_address_is_the_dialled_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (dialler, asked) = dialler(vec!["127.0.0.1", "127.0.0.2"]);
        let (stream, at) = dialler.name(&name(), port, true).await.unwrap();
        assert_eq!((at.ip().to_string().as_str(), asked.load(Ordering::SeqCst)), ("127.0.0.1", 1));
        assert_eq!(stream.peer_addr().unwrap(), at);
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hold_up_a_live_one() {
        let listener = TcpListener::bind("127.0.0.3:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (dialler, _) = dialler(vec!["127.0.0.1 127.0.0.2 ::1 127.0.0.3"]);
        assert_eq!(dialler.name(&name(), port, true).await.unwrap().1.ip().to_string(), "127.0.0.3");
        drop(listener);
        assert!(matches!(dialler.name(&name(), port, true).await, Err(NoWay::Failed(_))));
    }

    #[test]
    fn families_take_turns_and_the_best_comes_first() {
        let order = alternating(addresses("2606::1 2606::2 2606::3 1.1.1.1 2.2.2.2"));
        assert_eq!(order, addresses("2606::1 1.1.1.1 2606::2 2.2.2.2 2606::3"));
        assert_eq!(alternating(Vec::new()), Vec::<IpAddr>::new());
    }

    #[tokio::test]
    async fn a_resolver_that_hangs_is_given_up() {
        struct Hangs;
        impl Resolve for Hangs {
            fn resolve(&self, _: &HostName) -> Resolving {
                Box::pin(std::future::pending())
            }
        }
        let dialler = Dialler::new(Box::new(Hangs), Duration::from_millis(50));
        assert!(
            matches!(dialler.name(&name(), 9, true).await, Err(NoWay::Failed(words)) if words.contains("did not answer"))
        );
    }
}
