//! How long a registry may take, and when it is asked again.

use super::trouble::{Sort, Trouble};
use bytes::Bytes;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

/// However busy a registry looks: single bytes now and then are no answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For an answer with the login before it, and until a blob begins.
    pub(super) answer: Duration,
    /// In each stretch of so much waiting for a blob …
    pub(super) stretch: Duration,
    /// … so many bytes must come.
    pub(super) least: usize,
    /// Times that one thing is asked for without getting any further.
    pub(super) tries: u32,
    /// The bound of the first wait between them; it doubles each time …
    pub(super) pause: Duration,
    /// … up to this.
    pub(super) longest: Duration,
    /// What a registry may ask for with `Retry-After`.
    pub(super) asked: Duration,
}

pub(crate) const PATIENCE: Patience = Patience {
    answer: Duration::from_secs(60),
    stretch: Duration::from_secs(60),
    least: 256 << 10,
    tries: 6,
    pause: Duration::from_millis(500),
    longest: Duration::from_secs(20),
    asked: Duration::from_secs(120),
};

/// Where nobody ever answered, a wrong name is more likely than bad luck.
const TRIES_OF_STRANGERS: u32 = 3;

/// Counts how often something was asked for in vain.
#[derive(Debug)]
pub(super) struct Tries {
    patience: Patience,
    failed: u32,
}

impl Tries {
    pub(super) fn new(patience: Patience) -> Tries {
        Tries { patience, failed: 0 }
    }

    /// It went on: what failed before counts no more.
    pub(super) fn advanced(&mut self) {
        self.failed = 0;
    }

    /// How long to wait before the next try; nothing if there is none.
    pub(super) fn again(&mut self, trouble: &Trouble, known: bool) -> Option<Duration> {
        self.failed += 1;
        let most = if known { self.patience.tries } else { self.patience.tries.min(TRIES_OF_STRANGERS) };
        if self.failed >= most {
            return None;
        }
        match trouble.sort {
            Sort::Passing(Some(asked)) if asked > self.patience.asked => None,
            Sort::Passing(Some(asked)) => Some(asked.max(self.wait())),
            Sort::Passing(None) | Sort::Late | Sort::Unreachable => Some(self.wait()),
            _ => None,
        }
    }

    /// Anything up to the bound of this try, so that many who failed together do not come back together.
    fn wait(&self) -> Duration {
        let bound = self.patience.pause.saturating_mul(1 << (self.failed - 1).min(16)).min(self.patience.longest);
        let chance = std::hash::RandomState::new().build_hasher().finish();
        bound.mul_f64(chance as f64 / u64::MAX as f64)
    }
}

/// What a transfer brings, piece by piece. To drop a wait for a piece loses nothing.
pub(super) trait Chunks {
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, Trouble>> + Send;
}

/// Holds a transfer to the least speed. Only time spent waiting for the other end counts: a slow
/// disk on this side is not the registry's fault.
pub(super) struct Pace {
    patience: Patience,
    waited: Duration,
    came: usize,
}

impl Pace {
    pub(super) fn new(patience: Patience) -> Self {
        Pace { patience, waited: Duration::ZERO, came: 0 }
    }

    /// Bytes that came without waiting.
    pub(super) fn came(&mut self, bytes: usize) {
        self.came += bytes;
    }

    pub(super) async fn next(&mut self, source: &mut impl Chunks) -> Result<Option<Bytes>, Trouble> {
        let Patience { stretch, least, .. } = self.patience;
        loop {
            let start = Instant::now();
            let got = tokio::time::timeout(stretch.saturating_sub(self.waited), source.chunk()).await;
            self.waited += start.elapsed();
            if let Ok(Ok(Some(bytes))) = &got {
                self.came += bytes.len();
            }
            match got {
                Ok(got) if self.waited < stretch => return got,
                _ if self.came < least => {
                    let (came, time) = (self.came, self.waited.as_secs_f32());
                    let what =
                        format!("sends too slowly: {came} bytes came in {time:.0} seconds, {least} are the least");
                    return Err(Trouble::new(Sort::Late, what));
                }
                got => {
                    (self.waited, self.came) = (Duration::ZERO, 0);
                    if let Ok(got) = got {
                        return got;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const SHORT: Patience = Patience {
        answer: Duration::from_millis(400),
        stretch: Duration::from_millis(200),
        least: 1000,
        tries: 4,
        pause: Duration::from_millis(10),
        longest: Duration::from_millis(20),
        asked: Duration::from_secs(2),
    };

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    /// Chunks of so many bytes, each after a while.
    struct Slow {
        left: usize,
        size: usize,
        each: Duration,
        next: Option<tokio::time::Instant>,
    }

    impl Chunks for Slow {
        async fn chunk(&mut self) -> Result<Option<Bytes>, Trouble> {
            let each = self.each;
            let at = *self.next.get_or_insert_with(|| tokio::time::Instant::now() + each);
            tokio::time::sleep_until(at).await;
            self.next = None;
            self.left = self.left.wrapping_sub(1);
            Ok((self.left != usize::MAX).then(|| vec![0_u8; self.size].into()))
        }
    }

    /// Chunks of so many bytes, each after so many milliseconds; the milliseconds that it takes to
    /// handle one on this side; how it ends.
    fn transfer(chunks: usize, size: usize, each: u64, ours: u64) -> Result<usize, Trouble> {
        run(async {
            let mut source = Slow { left: chunks, size, each: Duration::from_millis(each), next: None };
            let (mut pace, mut all) = (Pace::new(SHORT), 0);
            while let Some(chunk) = pace.next(&mut source).await? {
                all += chunk.len();
                tokio::time::sleep(Duration::from_millis(ours)).await;
            }
            Ok(all)
        })
    }

    #[test]
    fn a_blob_that_drips_is_given_up_and_a_slow_one_is_not() {
        for trouble in [transfer(100, 10, 20, 0).unwrap_err(), transfer(1, 9, 60_000, 0).unwrap_err()] {
            assert!(trouble.sort == Sort::Late && trouble.what.contains("1000 are the least"), "{trouble:?}");
        }
        assert_eq!(transfer(25, 900, 20, 0).unwrap(), 25 * 900);
        // Few bytes, but it is this side that takes its time.
        assert_eq!(transfer(10, 10, 1, 60).unwrap(), 100);
    }

    #[test]
    fn what_may_pass_is_tried_again_so_often_and_waits_longer_each_time() {
        let mut tries = Tries::new(PATIENCE);
        let passing = Trouble::new(Sort::Passing(None), "is busy");
        let waits: Vec<Duration> = std::iter::from_fn(|| tries.again(&passing, true)).collect();
        assert_eq!(waits.len(), 5);
        for (n, wait) in waits.iter().enumerate() {
            assert!(*wait <= PATIENCE.pause * (1 << n), "{waits:?}");
        }
        tries.advanced();
        assert!(tries.again(&passing, true).is_some());
        let mut tries = Tries::new(PATIENCE);
        let far: Vec<_> = std::iter::from_fn(|| tries.again(&Trouble::new(Sort::Unreachable, ""), false)).collect();
        assert_eq!(far.len(), 2);
        for sort in [Sort::Final, Sort::Denied, Sort::Missing, Sort::Untrue, Sort::Limit, Sort::Unsafe] {
            assert_eq!(Tries::new(PATIENCE).again(&Trouble::new(sort, ""), true), None, "{sort:?}");
        }
    }

    #[test]
    fn many_who_failed_together_do_not_come_back_together() {
        let passing = Trouble::new(Sort::Passing(None), "");
        let waits: Vec<u128> =
            (0..200).map(|_| Tries::new(PATIENCE).again(&passing, true).unwrap().as_millis()).collect();
        let early = waits.iter().filter(|wait| **wait < 250).count();
        assert!((40..160).contains(&early), "{early} of 200 in the first half");
    }

    #[test]
    fn a_registry_may_say_when_but_not_that_nobody_comes_back_today() {
        let asked = |seconds| {
            let trouble = Trouble::new(Sort::Passing(Some(Duration::from_secs(seconds))), "");
            Tries::new(PATIENCE).again(&trouble, true)
        };
        assert_eq!(asked(100), Some(Duration::from_secs(100)));
        assert!(asked(0).unwrap() <= PATIENCE.pause);
        assert_eq!((asked(121), asked(u64::MAX)), (None, None));
    }
}
