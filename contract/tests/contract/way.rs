//! A gateway beside a run, as a supervisor has one, and a server outside that is at every granted name.

use aido_gateway::{
    Carried, Families, Gateway, HostName, HostRule, Listeners, Memory, Policy, Resolve, Resolving, Rules, Setup, What,
};
use aido_runtime::{Doors, Egress, EgressRule, Error, Gate, Network};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the server says to whoever comes.
pub(crate) const HELLO: &str = "hello from outside";
/// May be reached, also where it is a private address.
pub(crate) const GRANTED: &str = "granted.example.com";
/// May be reached, and leads to a private address, which was not meant.
pub(crate) const INWARD: &str = "inward.example.com";

/// Every name is this machine.
struct Here;

impl Resolve for Here {
    fn resolve(&self, _: &HostName) -> Resolving {
        Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
    }
}

/// The way out of one run.
pub(crate) struct Way {
    gateway: Gateway,
    gate: Gate,
    memory: Memory,
    came: Arc<AtomicUsize>,
    pub(crate) port: u16,
}

/// What remains to be asked when the run is over.
#[derive(Clone)]
pub(crate) struct Account {
    memory: Memory,
    came: Arc<AtomicUsize>,
}

impl Way {
    pub(crate) fn new() -> Way {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = server.local_addr().expect("an address").port();
        let came = Arc::new(AtomicUsize::new(0));
        let counted = came.clone();
        // It ends with the suite.
        std::thread::spawn(move || {
            for mut stream in server.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = writeln!(stream, "{HELLO}");
            }
        });
        let rule = |host: &str, private| HostRule {
            host: host.into(),
            ports: Some(vec![port]),
            private,
            ..HostRule::default()
        };
        let rules = Rules { hosts: vec![rule(GRANTED, true), rule(INWARD, false)], ..Rules::default() };
        let policy = Policy::new(rules).expect("a policy");
        let ports = policy.ports().into_iter().collect();
        let memory = Memory::default();
        let setup = Setup { resolver: Box::new(Here), roots: Vec::new(), ..Setup::new(policy) };
        let gateway = Gateway::start(setup, Box::new(memory.clone())).expect("a gateway");
        let gate = Gate { ports, authority: gateway.authority().into() };
        Way { gateway, gate, memory, came, port }
    }

    /// What a plan says of it.
    pub(crate) fn network(&self) -> Network {
        let rule = |host: &str, private| EgressRule {
            host: host.into(),
            ports: Some(vec![self.port]),
            private,
            ..EgressRule::default()
        };
        Network::Gateway(Egress { rules: vec![rule(GRANTED, true), rule(INWARD, false)], ..Egress::default() })
    }

    /// What the engine is given.
    pub(crate) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    pub(crate) fn account(&self) -> Account {
        Account { memory: self.memory.clone(), came: self.came.clone() }
    }

    /// Serves the sandbox.
    pub(crate) fn open(&mut self, doors: Doors) -> Result<(), Error> {
        let failed = |e: &dyn std::fmt::Display| Error::new(e.to_string());
        let Doors { tcp, proxy, names_udp, names_tcp, strays, carried } = doors;
        let carried = carried.map(|carried| Carried::new(carried.from, carried.to, || ()));
        let carried = carried.transpose().map_err(|e| failed(&e))?;
        let v6 = tcp.iter().any(|door| door.local_addr().is_ok_and(|at| at.is_ipv6()));
        let families = carried.as_ref().map_or(Families { v4: true, v6 }, Carried::families);
        let listeners = Listeners { tcp, proxy, names_udp, names_tcp, strays, carried };
        self.gateway.open(listeners, families).map_err(|e| failed(&e))
    }
}

impl Account {
    /// How many connections came to the server.
    pub(crate) fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    /// What was refused: names that were asked for, and where connections were made to.
    pub(crate) fn refused(&self) -> BTreeSet<String> {
        let words = |what: What| match what {
            What::Lookup { decision, .. } | What::Connection { decision, .. } | What::Refused { decision, .. } => {
                decision.words
            }
            _ => None,
        };
        let of = |words: String| words.strip_prefix("policy refused ")?.split(": ").next().map(str::to_string);
        self.memory.events().into_iter().filter_map(|event| words(event.what).and_then(of)).collect()
    }
}
