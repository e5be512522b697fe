//! An image on its way into the store: what its layers take together, and what goes if it is refused.

use crate::layer::Total;
use crate::store::Store;
use crate::{Digest, Kind, LayerId, Ownership, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// An image on its way into the store.
pub(crate) struct Arrival {
    pub(crate) total: Arc<Total>,
    /// Layers of which nothing was there before.
    brought: Mutex<Vec<LayerId>>,
    /// Of which something may be kept for another try.
    blobs: Mutex<Vec<Digest>>,
    stop: AtomicBool,
}

impl Arrival {
    pub(crate) fn new(most: u64) -> Self {
        let (brought, blobs, stop) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        Arrival { total: Arc::new(Total::new(most)), brought, blobs, stop }
    }

    /// These blobs are fetched.
    pub(crate) fn expect(&self, blobs: impl Iterator<Item = Digest>) {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner).extend(blobs);
    }

    /// This layer is whole, and was not there before in any state.
    pub(crate) fn brought(&self, layer: LayerId) {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner).push(layer);
    }

    /// One layer failed: the others need not come in.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether nobody needs the layers that come in now.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.total.passed()
    }
}

impl Store {
    /// Takes back what came in of an image, if that was refused for what it is: no other try of it will
    /// need that. After a failure of the network or of this machine whole layers stay.
    pub(crate) fn refuse(&self, arrival: Arrival, why: Kind, ownership: Ownership) -> Result<()> {
        if !matches!(why, Kind::Limit | Kind::Hostile | Kind::Unverified | Kind::NoImage) {
            return Ok(());
        }
        for blob in arrival.blobs.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if let Some(head) = self.head(&blob)? {
                head.remove()?;
            }
        }
        let brought = arrival.brought.into_inner().unwrap_or_else(PoisonError::into_inner);
        if brought.is_empty() { Ok(()) } else { self.take_back(&brought, ownership) }
    }
}
