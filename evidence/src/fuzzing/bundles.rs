//! Bundles: whatever is in one, nobody is believed whose key nobody vouches for.

use crate::verify::{Trust, verify_bundle};

/// Bytes of all files together that are read.
const MOST: u64 = 1 << 20;

/// The archive as it is, and as if it had come compressed and with checksums that are right.
pub(super) fn any(bytes: &[u8]) {
    verified(bytes);
    let packed = zstd::stream::encode_all(with_checksums(bytes).as_slice(), 1);
    verified(&packed.unwrap_or_else(|e| panic!("{e}")));
}

fn verified(bytes: &[u8]) {
    let report = verify_bundle(bytes, MOST, &Trust::default()).unwrap_or_else(|e| panic!("{e}"));
    assert!(!report.verified, "it is believed without a key: {report:?}");
    assert!(!report.findings.is_empty() && report.bytes <= MOST, "{report:?}");
}

/// An archive whose headers, as far as they can be found, have the checksum that they should have.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let (mut archive, mut at) = (bytes.to_vec(), 0);
    while let Some(header) = archive.get_mut(at..at + BLOCK) {
        let size = std::str::from_utf8(&header[124..135]).ok().and_then(|text| u64::from_str_radix(text, 8).ok());
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let content = usize::try_from(size.unwrap_or(0)).unwrap_or(usize::MAX);
        at = at.saturating_add(BLOCK).saturating_add(content.div_ceil(BLOCK).saturating_mul(BLOCK));
    }
    archive
}
