//! The bounds on what an image may cost this machine, all in one place.

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A manifest or an index, in bytes.
pub const MANIFEST_BYTES: u64 = 4 * MIB;
/// An image's config, in bytes.
pub const CONFIG_BYTES: u64 = 4 * MIB;
/// Values and pairs of one such document: what it makes of itself in memory.
pub const DOCUMENT_PARTS: usize = 50_000;
/// Indexes within indexes.
pub const INDEX_DEPTH: usize = 3;
/// Layers of one image.
pub const LAYERS: usize = 1000;
/// Folders that an image's layers are stacked of at most, a mending one counted. The Linux engine
/// mounts at most 200 lower folders, and lays some of its own above and below.
pub const STACKED: usize = 190;
/// Lowest layers that become one folder where an image has more than [`STACKED`].
pub const MERGED: usize = 64;
/// One layer, uncompressed, in bytes; holes of sparse files count as if they were written. What it
/// makes is held to the same bound, with [`INODE_BYTES`] for each inode.
pub const LAYER_BYTES: u64 = 32 * GIB;
/// All layers of one image, uncompressed, in bytes, with [`INODE_BYTES`] for each inode: those that are
/// in the store, and what the others have made so far.
pub const IMAGE_BYTES: u64 = 64 * GIB;
/// Entries of one layer, and inodes that it makes: folders that its paths imply count too.
pub const ENTRIES: u64 = 2_000_000;
/// What an inode counts as beside its content: about what a file system takes for a folder.
pub const INODE_BYTES: u64 = 4 * KIB;
/// Memory for the paths that one layer has remembered until it is whole: enough for more than
/// 200,000 folders and whiteouts with names of common length.
pub const HELD_BYTES: u64 = 10 * MIB;
/// Of these, what every layer in flight may have; one at a time may have more.
pub const HELD_SHARE: u64 = MIB;
/// A buffer for a list of folders, in bytes.
pub const LIST_BYTES: usize = 16 * KIB as usize;
/// Folders below each other.
pub const DEPTH: usize = 256;
/// One component of a path, in bytes.
pub const NAME_BYTES: usize = 255;
/// A path, or what a symbolic link holds, in bytes.
pub const PATH_BYTES: usize = 4095;
/// An extended header of PAX records, in bytes.
pub const HEADER_BYTES: u64 = MIB;
/// Extended attributes of one entry.
pub const XATTRS: usize = 128;
/// Extents of a sparse file.
pub const EXTENTS: usize = 32_768;
/// Uncompressed bytes for one compressed byte, once a layer is over [`RATIO_FREE_BYTES`].
pub const RATIO: u64 = 200;
/// What a layer may unpack to whatever its ratio: small files of zeros compress a thousandfold.
pub const RATIO_FREE_BYTES: u64 = GIB;
/// The window that a zstd frame may ask for, as a power of two: 32 MiB.
pub const ZSTD_WINDOW_LOG: u32 = 25;
/// The windows of all zstd frames that are decoded at the same time, in bytes.
pub const ZSTD_WINDOWS: u64 = 32 * MIB;
/// Layers unpacked at the same time.
pub const LAYERS_AT_ONCE: usize = 3;
/// Buffers between the threads that unpack one layer, and their size: small, so that these threads take
/// short turns. Where others want the processors too, that is what makes them wait less for each other.
pub const FLOW_BUFFERS: usize = 16;
pub const FLOW_BYTES: usize = 64 * KIB as usize;
/// Bytes that wait between two stages of a layer's pipeline, in buffers of [`BUFFER_BYTES`].
pub const BUFFERS: usize = 8;
pub const BUFFER_BYTES: usize = 256 * KIB as usize;
/// Files of a docker-archive or OCI archive, and of an OCI layout's index.
pub const ARCHIVE_ENTRIES: usize = 100_000;
/// What the names of these files may take in memory, in bytes.
pub const ARCHIVE_NAMES: usize = 8 * MIB as usize;
