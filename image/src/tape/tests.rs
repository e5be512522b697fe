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
    read_all(bytes)
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
fn a_size_that_a_record_replaces_must_be_one_all_the_same() {
    let mut blank = header(b'0', 0);
    blank.as_mut_bytes()[124..136].fill(0);
    blank.set_cksum();
    refused(&[block(b'x', b"10 size=3\n"), with(blank, b"abc")], Kind::Hostile);
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
        let blocks = map.split(',').count() / 2;
        let records = [format!("GNU.sparse.size={size}\n"), format!("GNU.sparse.map={map}\n")];
        let records = records.into_iter().chain([format!("GNU.sparse.numblocks={blocks}\n")]);
        let records: String = records.map(|r| format!("{} {r}", r.len() + 3)).collect();
        all(&[block(b'x', records.as_bytes()), block(b'0', data)].concat())
    };
    let data = [7; 515];
    let good = sparse("0,512,1024,3,2000,0", 2000, &data).unwrap();
    let extent = |offset, length| Extent { offset, length };
    let extents = vec![extent(0, 512), extent(1024, 3), extent(2000, 0)];
    assert_eq!(good[0].0.body, Body::Sparse { size: 2000, extents });
    for (map, size) in [
        ("0,512,500,3", 503),
        ("0,512,1024,4", 1028),
        ("0,512", 512),
        ("0,512,1024", 1024),
        ("0,512,1024,3", 1000),
        ("1024,512,0,3", 1536),
        // Readers that pad extents to blocks, or end a file where its last extent ends, see other bytes.
        ("0,3,1024,512", 1536),
        ("0,512,1024,3", 2000),
    ] {
        assert!(sparse(map, size, &data).is_err(), "{map} of {size} was taken");
    }
}

fn changed(kind: u8, change: impl FnOnce(&mut [u8; 512])) -> Vec<u8> {
    let mut header = header(kind, 0);
    // The builder writes today's byte for an old plain file.
    header.as_mut_bytes()[156] = kind;
    change(header.as_mut_bytes());
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn nothing_may_stand_behind_the_end() {
    let (entry, end) = (block(b'0', b"x"), vec![0; 512]);
    for blank in [0, 1, 2, 19] {
        let bytes = [entry.clone(), end.repeat(blank)].concat();
        assert_eq!(all(&bytes).unwrap().len(), 1, "{blank} blocks");
    }
    // A second archive, an entry behind a lone block, and anything else at all.
    refused(&[entry.clone(), end.clone(), entry.clone()], Kind::Hostile);
    refused(&[entry.clone(), end.repeat(2), entry.clone(), end.repeat(2)], Kind::Hostile);
    refused(&[entry, end.repeat(20), b"x".to_vec()], Kind::Hostile);
}

#[test]
fn gnu_and_pax_headers_do_not_mix() {
    let (long, link) = (block(b'L', b"other\0"), block(b'K', b"target\0"));
    // The size is the entry's for some readers, and the long name's for others.
    let size = block(b'x', b"10 size=3\n");
    refused(&[size.clone(), long.clone(), block(b'0', b"abc")], Kind::Hostile);
    refused(&[long, size.clone(), block(b'0', b"abc")], Kind::Hostile);
    refused(&[size.clone(), link, block(b'2', b"")], Kind::Hostile);
    // Go's reader drops what stands before a global header.
    refused(&[size, block(b'g', b"15 comment=abc\n"), block(b'0', b"abc")], Kind::Hostile);
    refused(&[block(b'g', b"11 mtime=1\n"), block(b'0', b"")], Kind::Hostile);
}

#[test]
fn extended_headers_are_of_a_known_format() {
    for (kind, data) in [(b'L', &b"other\0"[..]), (b'K', b"other\0"), (b'x', b"10 path=b\n"), (b'g', b"10 gname=\n")] {
        let magic = |magic: &[u8; 8]| {
            let mut header = header(kind, data.len() as u64);
            header.as_mut_bytes()[257..265].copy_from_slice(magic);
            header.set_cksum();
            [with(header, data), block(if kind == b'K' { b'2' } else { b'0' }, b"")].concat()
        };
        all(&magic(b"ustar  \0")).unwrap();
        all(&magic(b"ustar\x0000")).unwrap();
        for unknown in [&[0; 8], b"ustar\0  ", b"\0\0\0\0\0\x0000"] {
            refused(&[magic(unknown)], Kind::Hostile);
        }
    }
}

#[test]
fn long_names_are_whole() {
    for name in [&b""[..], b"\0", b"a\0b", b"a\0b\0"] {
        refused(&[block(b'L', name), block(b'0', b"")], Kind::Hostile);
        refused(&[block(b'K', name), block(b'2', b"")], Kind::Hostile);
    }
    for name in [&b"ab"[..], b"ab\0", b"ab\0\0"] {
        assert_eq!(all(&[block(b'L', name), block(b'0', b"")].concat()).unwrap()[0].0.path, b"ab");
    }
}

#[test]
fn a_slash_at_the_end_of_a_files_name_is_refused() {
    let named = |kind: u8, name: &str| {
        changed(kind, |block| {
            block[..100].fill(0);
            block[..name.len()].copy_from_slice(name.as_bytes());
        })
    };
    assert_eq!(all(&named(0, "folder/")).unwrap()[0].0.body, Body::Folder);
    assert_eq!(all(&named(0, "file")).unwrap()[0].0.body, Body::File { size: 0 });
    for kind in *b"07S" {
        refused(&[named(kind, "file/")], Kind::Hostile);
    }
    // A short name that is cut at a slash says nothing of a file of today.
    assert_eq!(all(&[block(b'L', b"a/b"), named(b'0', "a/")].concat()).unwrap()[0].0.body, Body::File { size: 0 });
    for (long, short) in [("b/", "a"), ("b", "a/")] {
        refused(&[block(b'L', long.as_bytes()), named(0, short)], Kind::Hostile);
        refused(&[block(b'x', format!("{} path={long}\n", long.len() + 9).as_bytes()), named(0, short)], Kind::Hostile);
    }
}

#[test]
fn numbers_are_octal_for_every_reader() {
    let sized = |text: &[u8]| {
        changed(b'0', |block| {
            block[124..136].fill(0);
            block[124..124 + text.len()].copy_from_slice(text);
        })
    };
    for zero in [&b"00000000000\0"[..], b"          0\0", b"0 ", b"  0 ", b"0\0junk"] {
        assert!(all(&sized(zero)).is_ok(), "{}", zero.escape_ascii());
    }
    let owned = |blank: u8| changed(b'0', |block| block[108..124].fill(blank));
    assert!(all(&owned(0)).is_ok() && all(&owned(b' ')).is_ok());
    for wrong in [&b""[..], b"\0junk", b"           \0", b"+0", b"-0", b"0_0", b"0o0", b"0x0", b"8", b"0 0", b"0junk"] {
        refused(&[sized(wrong)], Kind::Hostile);
    }
}

#[test]
fn the_front_of_a_name_is_where_its_format_has_it() {
    let with = |magic: &[u8; 8], prefix: &[u8], tail: &[u8; 4]| {
        changed(b'0', |block| {
            block[257..265].copy_from_slice(magic);
            block[345..345 + prefix.len()].copy_from_slice(prefix);
            block[508..].copy_from_slice(tail);
        })
    };
    let none = b"\0\0\0\0";
    assert_eq!(all(&with(b"ustar\x0000", b"front", none)).unwrap()[0].0.path, b"front/name");
    assert_eq!(all(&with(b"ustar  \0", b"", none)).unwrap()[0].0.path, b"name");
    for magic in [b"ustar  \0", b"\0\0\0\0\0\0\0\0", b"ustar\0  ", b"ustar\x0001", b"ustar 00"] {
        refused(&[with(magic, b"front", none)], Kind::Hostile);
    }
    refused(&[with(b"ustar\x0000", &[b'p'; 155], b"tar\0")], Kind::Hostile);
    assert!(all(&with(b"ustar\x0000", &[b'p'; 130], b"tar\0")).is_ok());
}

#[test]
fn sparse_records_are_those_of_one_version() {
    let sparse = |records: &[&str], data: &[u8]| {
        let records: String = records.iter().map(|r| format!("{} GNU.sparse.{r}\n", r.len() + 15)).collect();
        all(&[block(b'x', records.as_bytes()), block(b'0', data)].concat())
    };
    assert!(sparse(&["size=7", "numblocks=1", "offset=4", "numbytes=3"], b"abc").is_ok());
    let mut one = b"1\n4\n3\n".to_vec();
    one.resize(512, 0);
    one.extend(b"abc");
    assert!(sparse(&["major=1", "minor=0", "realsize=7"], &one).is_ok());
    assert!(sparse(&["major=1", "minor=0", "realsize=7", "numblocks=1"], &one).is_err());
    assert!(sparse(&["major=1", "minor=1", "realsize=7"], &one).is_err());
    assert!(sparse(&["minor=0", "realsize=7"], &one).is_err());
    assert!(sparse(&["size=7", "map=4,3"], b"abc").is_err());
    assert!(sparse(&["size=7", "realsize=7", "numblocks=1", "map=4,3"], b"abc").is_err());
    // Without a map it is sparse to us, and empty to others.
    assert!(sparse(&["realsize=9"], b"").is_err());
    assert!(sparse(&["size=9", "numblocks=0"], b"").is_err());
    assert!(all(&[block(b'x', b"21 SUN.holesdata= 0 9\n"), block(b'0', b"")].concat()).is_err());
    let both = |real: u64| {
        let mut header = header(b'S', 0);
        header.as_gnu_mut().unwrap().set_real_size(real);
        header.set_cksum();
        with(header, b"")
    };
    assert!(all(&both(0)).is_ok());
    assert!(all(&both(9)).is_err(), "it ends before its size");
    assert!(all(&[block(b'x', b"22 GNU.sparse.size=10\n"), both(0)].concat()).is_err());
}

#[test]
fn the_checksum_is_the_sum_of_all_bytes_but_its_own() {
    let slowly = |block: &[u8]| -> u32 {
        block.iter().enumerate().map(|(n, b)| u32::from(if (148..156).contains(&n) { b' ' } else { *b })).sum()
    };
    let mut state = 7_u64;
    let noise: Vec<Vec<u8>> = (0..50)
        .map(|_| {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            };
            (0..512).map(|_| next()).collect()
        })
        .collect();
    for block in noise.into_iter().chain([vec![0; 512], vec![0xff; 512], vec![0x80; 512]]) {
        assert_eq!(checksum(&block), slowly(&block));
    }
}

#[test]
fn a_sparse_file_has_the_name_of_its_record_whatever_was_cut_from_the_headers() {
    let sparse = |name: &str| {
        let records = [format!("name={name}"), "size=7".into(), "numblocks=1".into(), "map=4,3".into()];
        let records: String = records.iter().map(|r| format!("{} GNU.sparse.{r}\n", r.len() + 15)).collect();
        let mut header = header(b'0', 3);
        header.as_mut_bytes()[..18].copy_from_slice(b"d/GNUSparseFile.1/");
        header.set_cksum();
        all(&[block(b'x', records.as_bytes()), with(header, b"abc")].concat())
    };
    assert_eq!(sparse("d/real").unwrap()[0].0.path, b"d/real");
    assert!(sparse("d/real/").is_err());
}
