//! What `benches/applier.rs` measures: a layer from its tar stream to its folder, without the store around it.

use crate::layer::{Budget, unpack_within};
use crate::recipe::Pen;
use crate::{Ownership, beneath};
use std::path::Path;

/// Unpacks `tar` into the empty folder `layer`; the recipe comes to lie beside it.
///
/// # Panics
/// Where that fails.
pub fn unpack(tar: &[u8], layer: &Path) {
    let root = beneath::own_folder(layer).unwrap_or_else(|e| panic!("the layer's folder: {e}"));
    let recipe = Pen::beside(layer).unwrap_or_else(|e| panic!("its recipe: {e}"));
    let made = unpack_within(Budget::FULL, tar, root, Ownership::Squash, recipe, std::io::sink());
    made.unwrap_or_else(|e| panic!("unpacking: {e}"));
}
