//! `aido diff` where no sandbox has a layer.

use super::changed::none;
use crate::cli::Diff;
use anyhow::Result;
use std::path::Path;

pub(crate) fn diff(_dir: &Path, _typed: &Diff) -> Result<u8> {
    Err(none().into())
}
