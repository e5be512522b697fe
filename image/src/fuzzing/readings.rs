//! The same bytes, read by others: whoever reads an archive that was taken must see the same entries.

use crate::Kind;
use crate::recipe::Replay;
use crate::tape::{Body, Entry, read_all};
use std::io::{BufReader, Read};
use std::path::Path;

type Seen = (Entry, Vec<u8>);

/// Panics where two readers of `tar` differ, unless it is refused.
pub(super) fn agree(tar: &[u8]) {
    let whole = read_all(tar);
    // Where the stream's buffers end must not matter.
    let size = [1, 7, 511, 513][tar.len() % 4];
    let chunked = read_all(BufReader::with_capacity(size, tar));
    match (&whole, &chunked) {
        (Ok(one), Ok(other)) => assert_eq!(one, other, "the same bytes in other chunks are other entries"),
        (Err(one), Err(other)) => {
            assert_eq!(one.what, other.what, "the same bytes in other chunks fail in another way")
        }
        _ => panic!("the same bytes in chunks of {size}: {:?} and {:?}", whole.is_ok(), chunked.is_ok()),
    }
    if let Ok(ours) = whole {
        same_as_the_tar_crate(tar, &ours);
    }
}

/// Panics where the recipe of an unpacked layer does not give its stream back, byte by byte.
pub(super) fn come_back(layer: &Path, tar: &[u8]) {
    let mut stream = Vec::new();
    let mut replay = Replay::open(layer, false).unwrap_or_else(|e| panic!("its recipe: {e}"));
    match replay.read_to_end(&mut stream) {
        Ok(_) => assert!(stream == tar, "the recipe makes {} bytes of {}", stream.len(), tar.len()),
        // An ordinary user cannot look into what the image closed.
        Err(e) => {
            let e = crate::Error::io("its recipe", e);
            let closed = e.kind == Kind::Storage && !rustix::process::geteuid().is_root();
            assert!(closed, "its recipe fails: {e}");
        }
    }
}

/// The crate's own walk over the stream shares no code with ours but the fields of one header.
fn same_as_the_tar_crate(tar: &[u8], ours: &[Seen]) {
    let mut archive = tar::Archive::new(tar);
    let theirs = archive.entries().unwrap_or_else(|e| panic!("the tar crate refuses it: {e}"));
    let mut theirs = theirs.filter(|entry| {
        let global = |entry: &tar::Entry<'_, &[u8]>| entry.header().entry_type().is_pax_global_extensions();
        !entry.as_ref().is_ok_and(global)
    });
    for (entry, data) in ours {
        let their = theirs.next().unwrap_or_else(|| panic!("the tar crate does not see {:?}", entry.path));
        let mut their = their.unwrap_or_else(|e| panic!("the tar crate refuses {:?}: {e}", entry.path));
        let mut pax_sparse = false;
        for record in their.pax_extensions().ok().flatten().into_iter().flatten() {
            // It cuts records at newlines instead of by their length, and then takes none of the entry's.
            let Ok(record) = record else { return };
            pax_sparse |= record.key_bytes().starts_with(b"GNU.sparse.");
        }
        // It leaves PAX's sparse records to its caller, as tools do that know no sparse files.
        if pax_sparse {
            continue;
        }
        // It takes one zero off a long name where others take all, and then makes nothing of that name.
        let plain = |name: &[u8]| name.iter().rposition(|b| *b != 0).map_or(Vec::new(), |last| name[..=last].to_vec());
        assert_eq!(plain(&their.path_bytes()), entry.path, "the tar crate reads another name");
        let link = their.link_name_bytes().map(|name| plain(&name));
        match &entry.body {
            Body::File { size } => {
                assert_eq!(their.size(), *size, "the tar crate reads another size of {:?}", entry.path);
                let mut content = Vec::new();
                their.read_to_end(&mut content).unwrap_or_else(|e| panic!("the tar crate: {e}"));
                assert_eq!(content, *data, "the tar crate reads another content of {:?}", entry.path);
            }
            Body::Sparse { size, .. } => assert_eq!(their.size(), *size, "of a sparse file"),
            Body::Symlink(target) | Body::Hard(target) => {
                assert_eq!(link.as_ref(), Some(target), "the tar crate reads another target of {:?}", entry.path);
            }
            Body::Folder | Body::CharDevice | Body::BlockDevice | Body::Fifo => {}
        }
    }
    if let Some(more) = theirs.next() {
        panic!("the tar crate sees more: {:?}", more.map(|entry| entry.path_bytes().into_owned()));
    }
}
