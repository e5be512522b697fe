use super::*;

fn header(kind: u8, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_path("name").unwrap();
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header
}

fn with(header: tar::Header, data: &[u8]) -> Vec<u8> {
    let mut bytes = [header.as_bytes().as_slice(), data].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn block(kind: u8, data: &[u8]) -> Vec<u8> {
    with(header(kind, data.len() as u64), data)
}

fn all(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>> {
    let mut tape = Tape::new(bytes);
    let mut read = Vec::new();
    while let Some(entry) = tape.next()? {
        let mut data = Vec::new();
        loop {
            let chunk = tape.chunk()?;
            if chunk.is_empty() {
                break;
            }
            data.extend_from_slice(chunk);
            let count = chunk.len();
            tape.consume(count);
        }
        read.push((entry, data));
    }
    tape.drain()?;
    Ok(read)
}

#[track_caller]
fn refused(parts: &[Vec<u8>], kind: Kind) {
    assert_eq!(all(&parts.concat()).unwrap_err().kind, kind);
}

#[test]
fn data_ends_where_its_entry_ends() {
    let bytes = [block(b'0', &[7; 513]), block(b'0', b""), block(b'5', b""), vec![0; 1024]].concat();
    let read = all(&bytes).unwrap();
    assert_eq!(read.iter().map(|(_, data)| data.len()).collect::<Vec<_>>(), [513, 0, 0]);
    assert_eq!(read[2].0.body, Body::Folder);
}

#[test]
fn pax_and_gnu_names_take_the_place_of_the_headers() {
    let long = "n".repeat(300);
    let pax = format!("310 path={long}\n");
    let named = |extension: Vec<u8>| all(&[extension, block(b'0', b"x")].concat()).unwrap().remove(0).0.path;
    assert_eq!(named(block(b'x', pax.as_bytes())), long.as_bytes());
    assert_eq!(named(block(b'L', format!("{long}\0").as_bytes())), long.as_bytes());
    assert_eq!(named(block(b'g', b"15 comment=abc\n")), b"name");
}

#[test]
fn what_readers_read_differently_is_refused() {
    let long = block(b'L', b"other\0");
    let pax = block(b'x', b"10 path=b\n");
    refused(&[long.clone(), pax.clone(), block(b'0', b"")], Kind::Hostile);
    refused(&[long.clone(), long.clone(), block(b'0', b"")], Kind::Hostile);
    refused(&[pax.clone(), pax.clone(), block(b'0', b"")], Kind::Hostile);
    refused(&[block(b'g', b"10 path=b\n"), block(b'0', b"")], Kind::Hostile);
    refused(&[long], Kind::Hostile);
    for kind in *b"12345" {
        refused(&[block(kind, b"data")], Kind::Hostile);
    }
    for kind in *b"VMNDX9" {
        refused(&[block(kind, b"")], Kind::Hostile);
    }
    refused(&[block(b'x', b"22 GNU.sparse.name=ab\n"), block(b'0', b"")], Kind::Hostile);
    refused(&[block(b'x', b"22 GNU.sparse.size=10\n"), block(b'5', b"")], Kind::Hostile);
}

#[test]
fn sizes_in_pax_records_rule_over_the_header() {
    let mut bytes = [block(b'x', b"10 size=3\n"), block(b'0', b"")].concat();
    bytes.extend([b"abc".to_vec(), vec![0; 509]].concat());
    assert_eq!(all(&bytes).unwrap()[0].1, b"abc");
}

#[test]
fn numbers_in_base_256_are_read_and_bounded() {
    let mut big = header(b'0', 0);
    big.set_uid(1 << 40);
    big.set_cksum();
    assert_eq!(all(&with(big, b"")).unwrap()[0].0.uid, 1 << 40);
    for field in [[0xff_u8; 12], [0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
        let mut size = header(b'0', 0);
        size.as_old_mut().size = field;
        size.set_cksum();
        refused(&[with(size, b"")], Kind::Hostile);
    }
    let mut old = header(b'0', 0);
    old.as_old_mut().mtime = [0xff; 12];
    old.set_cksum();
    assert_eq!(all(&with(old, b"")).unwrap()[0].0.mtime, (-1, 0));
}

#[test]
fn bounds_hold_before_anything_is_read() {
    refused(&[with(header(b'x', limits::HEADER_BYTES + 1), b"")], Kind::Limit);
    refused(&[with(header(b'L', u64::MAX >> 1), b"")], Kind::Limit);
    refused(&[with(header(b'0', limits::LAYER_BYTES + 1), b"")], Kind::Limit);
    let extents = "1,1,".repeat(limits::EXTENTS + 1);
    let map = format!("GNU.sparse.map={}\n", extents.trim_end_matches(','));
    let map = format!("{} {map}", map.len() + 7);
    refused(&[block(b'x', map.as_bytes()), block(b'0', b"")], Kind::Limit);
}

#[test]
fn a_cut_archive_is_an_error_wherever_it_is_cut() {
    let bytes = [block(b'x', b"10 path=b\n"), block(b'0', &[1; 600])].concat();
    for cut in 1..bytes.len() {
        let whole_entries = cut == 0;
        // Only the padding of the last entry may be missing without loss, and it is not forgiven either.
        assert!(all(&bytes[..cut]).is_err() || whole_entries, "cut at {cut}");
    }
    assert!(all(&bytes).is_ok());
}

#[test]
fn damage_is_seen_by_the_checksum() {
    let mut bytes = block(b'0', b"data");
    bytes[3] ^= 1;
    refused(&[bytes], Kind::Hostile);
}

#[test]
fn extents_of_sparse_files_must_add_up() {
    let sparse = |map: &str, size: u64, data: &[u8]| {
        let records = [format!("GNU.sparse.size={size}\n"), format!("GNU.sparse.map={map}\n")];
        let records: String = records.iter().map(|r| format!("{} {r}", r.len() + 3)).collect();
        all(&[block(b'x', records.as_bytes()), block(b'0', data)].concat())
    };
    let good = sparse("0,2,5,1", 10, b"abc").unwrap();
    let extents = vec![Extent { offset: 0, length: 2 }, Extent { offset: 5, length: 1 }];
    assert_eq!(good[0].0.body, Body::Sparse { size: 10, extents });
    for (map, size) in [("0,2,1,1", 10), ("0,2,9,2", 10), ("0,2", 10), ("0,2,5", 10), ("0,2,5,1", 5), ("5,1,0,2", 10)] {
        assert!(sparse(map, size, b"abc").is_err(), "{map} of {size} was taken");
    }
}
