//! `aido apply` and `aido discard` where no sandbox has a layer.

use super::changed::none;
use crate::cli::{Apply, Discard};
use anyhow::Result;
use std::path::Path;

pub(crate) fn apply(_dir: &Path, _typed: &Apply) -> Result<u8> {
    Err(none().into())
}

pub(crate) fn discard(_dir: &Path, _typed: &Discard) -> Result<u8> {
    Err(none().into())
}
