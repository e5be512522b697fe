//! A layer's recipe: how its tar stream is made again from the files it was unpacked to.
//!
//! All of the stream that is no file content (headers, padding, what follows the end) stands in the
//! recipe as it came; content is named by path, offset and length. So a layer can be hashed again,
//! and given away again, without a second copy of its files.
//!
//! A recipe is one zstd frame: a magic, a version, then steps. Numbers are LEB128.
//!
//! ```text
//! 0 END       bytes                          of the whole stream; nothing follows
//! 1 LITERAL   length, bytes
//! 2 FILE      entry, path, offset, length    content of the file that entry number `entry` made
//! 3 MORE      offset, length                 more of the same file
//! 4 SUM       CRC-32, 4 bytes                of all content of that file, to name it when it is damaged
//! 5 REPLACED  entry, path                    what lay there was put into `kept`, under the next number
//! ```
//!
//! What a later entry of the same layer replaces is put aside, not deleted: its content belongs to
//! the stream too. REPLACED stands behind the entry that replaced it.

mod kept;
mod read;
mod replay;
mod write;

pub(crate) use kept::Kept;
pub(crate) use replay::{Place, Replay, Tree, judged};
pub(crate) use write::{Pen, Recorded};

use std::path::{Path, PathBuf};

/// Endings of the names of a layer's recipe and of the folder of what it replaces within itself.
pub(crate) const TAPE: &str = ".tape";
pub(crate) const KEPT: &str = ".kept";

/// The place of a recipe, or of what was kept for it, by the folder of its layer.
pub(crate) fn beside(layer: &Path, ending: &str) -> PathBuf {
    let mut name = layer.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    layer.with_file_name(name)
}

const MAGIC: &[u8; 8] = b"aidotape";
/// Version of the form. 1: first. 2: a faster sum, of 64 bits.
const VERSION: u64 = 2;
/// How far back the compressor looks, as a power of two: headers repeat nearby.
const WINDOW_LOG: u32 = 18;

const END: u8 = 0;
const LITERAL: u8 = 1;
const FILE: u8 = 2;
const MORE: u8 = 3;
const SUM: u8 = 4;
const REPLACED: u8 = 5;
