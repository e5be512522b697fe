//! What the fuzz targets share: the room that layers are unpacked in, and the settings' target.

use aido::settings::{Overrides, Policy, Settings};
use aido::summary::Summary;
use aido_image::fuzzing::Room;
use std::path::PathBuf;
use std::sync::LazyLock;

mod documents;
mod sandbox_yaml;

pub use aido_evidence::fuzzing::run as stored;
pub use aido_image::fuzzing::run;
pub use aido_secrets::fuzzing::redactor;
pub use libfuzzer_sys::fuzz_target;
pub use documents::{plan, summary};
pub use sandbox_yaml::sandbox_yaml;

/// In the folder that `ci/fuzz` made and removes afterwards.
pub static ROOM: LazyLock<Room> = LazyLock::new(|| {
    let folder = std::env::var_os("AIDO_FUZZ_ROOM").map_or_else(std::env::temp_dir, PathBuf::from);
    let own = folder.join(format!("aido-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&own).expect("the room can be made");
    Room::new(&own)
});
