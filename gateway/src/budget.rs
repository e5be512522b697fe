//! Budgets of connections and bytes: taken before something moves, given back where it did not.

use crate::policy::{Budget, Policy};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is left of one budget.
#[derive(Debug)]
struct Purse {
    connections: AtomicU64,
    bytes: AtomicU64,
}

impl Purse {
    fn new(budget: Budget) -> Self {
        let most = |bound: Option<u64>| AtomicU64::new(bound.unwrap_or(u64::MAX));
        Self { connections: most(budget.connections), bytes: most(budget.bytes) }
    }
}

/// Takes up to `want`, and says how much it was. No bound stays no bound.
fn take(from: &AtomicU64, want: u64) -> u64 {
    let next = |left: u64| if left == u64::MAX { left } else { left.saturating_sub(want) };
    let before = from.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| Some(next(left))).unwrap_or(0);
    before.min(want)
}

fn give_back(to: &AtomicU64, amount: u64) {
    let next = |left: u64| if left == u64::MAX { left } else { left.saturating_add(amount).min(u64::MAX - 1) };
    // The closure always gives a value.
    let _ = to.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| Some(next(left)));
}

/// All budgets of a run.
#[derive(Debug)]
pub(crate) struct Budgets {
    whole: Arc<Purse>,
    rules: Vec<Arc<Purse>>,
    any: Arc<Purse>,
}

impl Budgets {
    pub(crate) fn new(policy: &Policy) -> Self {
        Self {
            whole: Arc::new(Purse::new(policy.budget())),
            rules: (0..policy.len()).map(|rule| Arc::new(Purse::new(policy.budget_of(rule)))).collect(),
            any: Arc::new(Purse::new(Budget::default())),
        }
    }

    /// One connection by this rule, with its meter. Else the words for the budget that is used up.
    pub(crate) fn connection(&self, rule: Option<usize>) -> Result<Meter, String> {
        let own = rule.and_then(|rule| self.rules.get(rule)).unwrap_or(&self.any);
        if take(&own.connections, 1) == 0 {
            return Err("connections of this rule".to_owned());
        }
        if take(&self.whole.connections, 1) == 0 {
            give_back(&own.connections, 1);
            return Err("connections of the run".to_owned());
        }
        Ok(Meter {
            purses: [own.clone(), self.whole.clone()],
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            started: Instant::now(),
            last: AtomicU64::new(0),
        })
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the server.
    Out,
    /// From the server.
    In,
}

/// Counts what one connection moves, within its budgets.
#[derive(Debug)]
pub(crate) struct Meter {
    purses: [Arc<Purse>; 2],
    sent: AtomicU64,
    received: AtomicU64,
    started: Instant,
    /// Milliseconds after the start when something last moved.
    last: AtomicU64,
}

/// What is said of a connection whose bytes are used up.
pub(crate) const USED_UP: &str = "the budget of bytes is used up";

impl Meter {
    /// Takes leave to move up to `want` bytes; how many they may be. Zero: the budget is used up.
    pub(crate) fn reserve(&self, want: usize) -> usize {
        let first = take(&self.purses[0].bytes, want as u64);
        let both = take(&self.purses[1].bytes, first);
        give_back(&self.purses[0].bytes, first - both);
        both as usize
    }

    /// Whether anything may be moved.
    pub(crate) fn has_left(&self) -> bool {
        let leave = self.reserve(1);
        self.moved(Way::Out, leave, 0);
        leave > 0
    }

    /// Says how many of the reserved bytes were moved.
    pub(crate) fn moved(&self, way: Way, reserved: usize, moved: usize) {
        for purse in &self.purses {
            give_back(&purse.bytes, reserved.saturating_sub(moved) as u64);
        }
        if moved > 0 {
            let counter = if way == Way::Out { &self.sent } else { &self.received };
            counter.fetch_add(moved as u64, Ordering::Relaxed);
            self.touch();
        }
    }

    /// Something happened.
    pub(crate) fn touch(&self) {
        self.last.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Bytes to and from the server.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }

    /// Since when it counts.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Comes back when nothing has moved for so long.
    pub(crate) async fn idle_for(&self, limit: Duration) {
        loop {
            let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
            let quiet = self.started.elapsed().saturating_sub(last);
            if quiet >= limit {
                return;
            }
            tokio::time::sleep(limit - quiet + Duration::from_millis(1)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{HostRule, Rules};

    fn budgets(whole: Budget, own: Budget) -> Budgets {
        let hosts = vec![HostRule { host: "a.example".into(), budget: own, ..HostRule::default() }];
        Budgets::new(&Policy::new(Rules { hosts, budget: whole, any: true }).unwrap())
    }

    fn bytes(bytes: u64) -> Budget {
        Budget { bytes: Some(bytes), connections: None }
    }

    #[test]
    fn connections_end_with_the_smaller_budget() {
        let both = budgets(Budget { connections: Some(3), bytes: None }, Budget { connections: Some(2), bytes: None });
        assert!(both.connection(Some(0)).is_ok() && both.connection(Some(0)).is_ok());
        assert!(both.connection(Some(0)).unwrap_err().contains("rule"));
        assert!(both.connection(None).is_ok());
        assert!(both.connection(None).unwrap_err().contains("run"));
    }

    #[test]
    fn bytes_are_exact_over_many_at_once() {
        let both = Arc::new(budgets(bytes(100_000), bytes(60_000)));
        let movers: Vec<_> = (0..4)
            .map(|n| {
                let meter = both.connection((n % 2 == 0).then_some(0)).unwrap();
                std::thread::spawn(move || {
                    loop {
                        let leave = meter.reserve(977);
                        if leave == 0 {
                            return meter.totals();
                        }
                        meter.moved(if n < 2 { Way::Out } else { Way::In }, leave, leave.min(500));
                    }
                })
            })
            .collect();
        let totals: Vec<u64> =
            movers.into_iter().map(|mover| mover.join().unwrap()).map(|(sent, received)| sent + received).collect();
        // Somebody may see nothing left while another holds leave that it gives back: never more, hardly less.
        let (all, own) = (totals.iter().sum::<u64>(), totals[0] + totals[2]);
        assert!(all <= 100_000 && own <= 60_000, "{totals:?}");
        assert!(all >= 90_000, "{totals:?}");
    }

    #[tokio::test]
    async fn silence_is_noticed_and_movement_is_too() {
        let meter = budgets(Budget::default(), Budget::default()).connection(None).unwrap();
        let moving = async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                meter.moved(Way::In, 1, 1);
            }
            std::future::pending::<()>().await;
        };
        let begun = Instant::now();
        tokio::select! {
            () = meter.idle_for(Duration::from_millis(100)) => {}
            () = moving => {}
        }
        assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
    }
}
