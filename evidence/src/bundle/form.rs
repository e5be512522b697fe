//! The bytes between the files of a bundle. Readers compare with what would have been written.

use tar::{EntryType, Header};

pub(crate) const BLOCK: usize = 512;
/// Two empty blocks are the end.
pub(crate) const END: usize = 2 * BLOCK;
/// The longest name of a file.
pub(crate) const MAX_NAME: usize = 4096;

/// How the entry is called that tells a long name, and the file that has one, to programs that do not know of it.
const LONG: &str = "outputs/.long-name";

/// All that stands before the content of a file: its header, and before that a PAX header where the name is too long
/// for one.
pub(crate) fn head(name: &str, size: u64) -> Vec<u8> {
    let mut header = plain(size, EntryType::Regular);
    if header.set_path(name).is_ok() {
        header.set_cksum();
        return header.as_bytes().to_vec();
    }
    let record = pax("path", name);
    let mut long = plain(record.len() as u64, EntryType::XHeader);
    let mut bytes = Vec::new();
    for (header, content) in [(&mut long, record.as_bytes()), (&mut header, b"")] {
        // A constant that fits; an error would leave it empty, and the reader would say so.
        let _ = header.set_path(LONG);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len() + padding(content.len() as u64), 0);
    }
    bytes
}

/// How many bytes follow `size` bytes of content until the next block begins.
pub(crate) fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK as u64) - size) as usize
}

fn plain(size: u64, kind: EntryType) -> Header {
    let mut header = Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(kind);
    header
}

/// `30 path=…\n`: the length counts itself.
fn pax(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    loop {
        let whole = length.to_string().len() + rest.len();
        if whole == length {
            return format!("{length}{rest}");
        }
        length = whole;
    }
}

/// The name in a PAX header of ours.
pub(crate) fn name_in(record: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(record).ok()?;
    text.split_once(" path=")?.1.strip_suffix('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pax_record_counts_itself() {
        for length in [1, 10, 88, 89, 90, 987, 988, 989, 990, 4000] {
            let record = pax("path", &"x".repeat(length));
            let (count, _) = record.split_once(' ').unwrap();
            assert_eq!(count.parse::<usize>().unwrap(), record.len());
            assert_eq!(name_in(record.as_bytes()).unwrap().len(), length);
        }
    }

    #[test]
    fn long_names_and_great_sizes_have_a_form() {
        assert_eq!(head("run/events.log", 3).len(), BLOCK);
        let long = "outputs/".to_owned() + &"é".repeat(300);
        assert_eq!(head(&long, 3).len(), 2 * BLOCK + 1024);
        let great = 1u64 << 40;
        assert_eq!(Header::from_byte_slice(&head("a", great)).entry_size().unwrap(), great);
        assert_eq!((padding(0), padding(1), padding(512)), (0, 511, 0));
    }
}
