//! `aido image` where the engine keeps the images.

use crate::cli::Image;
use aido_runtime::Error;
use anyhow::Result;

/// Refused, with the engine's own command.
pub(crate) fn image(typed: &Image) -> Result<u8> {
    let theirs = match typed {
        Image::Pull(typed) => format!("docker pull {}", typed.references.join(" ")),
        Image::Import(_) => "docker load -i FILE".to_owned(),
        Image::List(_) => "docker image ls".to_owned(),
        Image::Remove(typed) => format!("docker image rm {}", typed.references.join(" ")),
        Image::Prune(_) => "docker image prune".to_owned(),
        Image::Verify(_) => "docker image inspect IMAGE; the engine checks what it pulls".to_owned(),
        Image::Export(_) => "docker save -o FILE IMAGE".to_owned(),
    };
    Err(Error::new("aido keeps images on Linux only; on this platform the engine has them").remedy(theirs).into())
}
