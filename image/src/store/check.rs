//! Finds out whether what lies in the store is what was put there.

use super::Store;
use crate::{LayerId, Ownership, Result, layer};

impl Store {
    /// What is wrong with a layer, in words; nothing if it is as it was unpacked. An error is what kept
    /// this process from looking: it must be one that may read whatever the layer holds.
    pub fn check_layer(&self, id: &LayerId, ownership: Ownership) -> Result<Vec<String>> {
        layer::check(&self.layer_folder(id, ownership), id).map_err(|e| e.within(format!("layer {id}")))
    }
}
