//! `aido check --pin` where the engine keeps the images.

use crate::cli::Check;
use crate::settings::Settings;
use aido_runtime::Error;
use anyhow::Result;

/// Refused, with the engine's own command.
pub(crate) fn pin(settings: &Settings, _asked: &Check) -> Result<bool> {
    let image = &settings.runtime.value;
    Err(Error::new(format!("`{image}` cannot be pinned here: the engine keeps the images on this platform"))
        .remedy(format!(
            "docker image inspect --format '{{{{index .RepoDigests 0}}}}' {image} tells the digest; write it as `runtime:`"
        ))
        .into())
}
