//! From any bytes to a tar stream that is nearly right: what a mutation would break at once (checksums, lengths,
//! padding) mostly holds, so that the mutations reach what lies behind.

const BLOCK: usize = 512;
/// Parts that names are made of. Several name the canaries that lie around a layer.
const NAMES: [&[u8]; 24] = [
    b"a",
    b"b",
    b"c",
    b"d",
    b"..",
    b".",
    b"",
    b".wh.a",
    b".wh.b",
    b".wh..wh..opq",
    b".wh..wh.plnk",
    b".wh.",
    b".wh...",
    b"canary",
    b"../canary",
    b"../closed/inside",
    b"here",
    b"\xff\xfe",
    b"A",
    b"a\0b",
    b"\xc3\xa4",
    b" ",
    b"a\nb",
    b"layer",
];
const KINDS: [u8; 22] = *b"0005550512346710S\0\0VDZ";
const KEYS: [&[u8]; 22] = [
    b"path",
    b"linkpath",
    b"size",
    b"uid",
    b"gid",
    b"mtime",
    b"SCHILY.xattr.user.a",
    b"SCHILY.xattr.security.capability",
    b"SCHILY.xattr.user.overlay.opaque",
    b"SCHILY.xattr.trusted.overlay.opaque",
    b"GNU.sparse.major",
    b"GNU.sparse.minor",
    b"GNU.sparse.name",
    b"GNU.sparse.size",
    b"GNU.sparse.realsize",
    b"GNU.sparse.numblocks",
    b"GNU.sparse.offset",
    b"GNU.sparse.numbytes",
    b"GNU.sparse.map",
    b"comment",
    b"hdrcharset",
    b"SCHILY.realsize",
];

/// The bytes that decide, one after the other; zeros at their end.
struct Wish<'a>(&'a [u8]);

impl<'a> Wish<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    fn rarely(&mut self) -> bool {
        self.byte() > 239
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn name(&mut self) -> Vec<u8> {
        let shape = self.byte();
        let mut name = Vec::new();
        if shape & 0x80 != 0 {
            name.extend_from_slice([&b"/"[..], b"./", b"//", b"../"][usize::from(shape >> 5 & 3)]);
        }
        for n in 0..=shape & 3 {
            if n > 0 {
                name.push(b'/');
            }
            let part = self.byte();
            match part {
                250.. => name.extend_from_slice(&b"long-".repeat(usize::from(part - 249) * 9)),
                _ => name.extend_from_slice(NAMES[usize::from(part) % NAMES.len()]),
            }
        }
        if shape & 0x0c == 0x0c {
            name.push(b'/');
        }
        name
    }

    /// A number as text: small mostly, else beyond what anything can hold.
    fn number(&mut self) -> String {
        match self.byte() {
            small @ ..200 => (u64::from(small) * [1, 1, 8, 512][self.below(4)]).to_string(),
            200..210 => "4294967296".to_owned(),
            210..220 => u64::MAX.to_string(),
            220..228 => "-1".to_owned(),
            228..236 => "0x10".to_owned(),
            236..244 => "+7".to_owned(),
            _ => String::from_utf8_lossy(self.bytes(3)).into_owned(),
        }
    }
}

/// The stream that `wish` asks for.
pub(super) fn archive(wish: &[u8]) -> Vec<u8> {
    let mut wish = Wish(wish);
    let mut out = Vec::new();
    while !wish.0.is_empty() && out.len() < 64 << 10 {
        match wish.below(16) {
            0..8 => entry(&mut wish, &mut out),
            8..10 => records(&mut wish, b'x', &mut out),
            10 => {
                let kind = [b'L', b'K'][wish.below(2)];
                let mut name = wish.name();
                name.extend_from_slice([&b"\0"[..], b"", b"\0\0", b"\0tail\0"][wish.below(8).saturating_sub(4)]);
                let header = header(kind, b"././@LongLink", b"", name.len() as u64, &mut wish);
                with_data(&header, &name, &mut out);
            }
            11 => sparse(&mut wish, &mut out),
            12 => pax_sparse(&mut wish, &mut out),
            13 => records(&mut wish, b'g', &mut out),
            14 => out.resize(out.len() + BLOCK * (1 + wish.below(3)), 0),
            _ => {
                let count = wish.below(BLOCK);
                out.extend_from_slice(wish.bytes(count));
                out.resize(out.len().next_multiple_of(BLOCK), 0);
            }
        }
    }
    let cut = if wish.rarely() { 100 } else { 0 };
    out.truncate(out.len().saturating_sub(cut));
    out
}

fn entry(wish: &mut Wish<'_>, out: &mut Vec<u8>) {
    let kind = KINDS[wish.below(KINDS.len())];
    let (name, link) = (wish.name(), if matches!(kind, b'1' | b'2') { wish.name() } else { Vec::new() });
    let holds = matches!(kind, b'0' | b'7' | 0) || wish.rarely();
    let count = if holds { usize::from(wish.byte()) * [0, 1, 3, 6][wish.below(4)] } else { 0 };
    let header = header(kind, &name, &link, count as u64, wish);
    let mut data = wish.bytes(count.min(8)).to_vec();
    data.resize(count, b'.');
    with_data(&header, &data, out);
}

fn with_data(header: &[u8; BLOCK], data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(header);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

fn header(kind: u8, name: &[u8], link: &[u8], size: u64, wish: &mut Wish<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block[..100], name);
    put(&mut block[157..257], link);
    block[156] = kind;
    put(&mut block[257..265], [&b"ustar  \0"[..], b"ustar\x0000", b"", b"ustar\0  "][wish.below(8).saturating_sub(4)]);
    if wish.rarely() {
        let (at, count) = (wish.below(160), wish.below(12));
        put(&mut block[345 + at.min(150)..500], wish.bytes(count));
    }
    for (at, value) in
        [(100..108, wish.byte()), (108..116, wish.byte()), (116..124, wish.byte()), (136..148, wish.byte())]
    {
        number(&mut block[at], u64::from(value) << (value & 4), wish);
    }
    number(&mut block[124..136], size, wish);
    sum(&mut block);
    if wish.rarely() {
        block[wish.below(BLOCK)] ^= 1 << wish.below(8);
    }
    block
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let count = bytes.len().min(field.len());
    field[..count].copy_from_slice(&bytes[..count]);
}

/// In one of the ways that numbers are written, seldom in one that is wrong.
fn number(field: &mut [u8], value: u64, wish: &mut Wish<'_>) {
    let wide = field.len() - 1;
    match wish.byte() {
        ..170 => put(field, format!("{value:0wide$o}").as_bytes()),
        170..190 => put(field, format!("{value:o} ").as_bytes()),
        190..210 => put(field, format!("  {value:o}").as_bytes()),
        210..235 => {
            let at = field.len() - 8;
            field[at..].copy_from_slice(&value.to_be_bytes());
            field[0] |= 0x80;
        }
        235..240 => field.fill(0xff),
        240..244 => field.fill(b' '),
        244..247 => put(field, format!("+{value:o}").as_bytes()),
        247..250 => put(field, format!("{value:o}\0junk").as_bytes()),
        _ => {
            let raw = wish.bytes(field.len());
            put(field, raw);
        }
    }
}

fn sum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn record(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let plain = key.len() + value.len() + 3;
    let digits = (plain + 2).to_string().len();
    let length = plain + digits;
    let length = if length.to_string().len() > digits { length + 1 } else { length };
    out.extend_from_slice(format!("{length} ").as_bytes());
    for part in [key, b"=", value, b"\n"] {
        out.extend_from_slice(part);
    }
}

fn records(wish: &mut Wish<'_>, kind: u8, out: &mut Vec<u8>) {
    let mut data = Vec::new();
    for _ in 0..=wish.below(3) {
        let key = KEYS[wish.below(KEYS.len())];
        let value = match key {
            b"path" | b"linkpath" | b"GNU.sparse.name" => wish.name(),
            _ if key.starts_with(b"SCHILY.xattr") => wish.bytes(4).to_vec(),
            b"mtime" => format!("{}.{}", wish.number(), wish.number()).into_bytes(),
            b"GNU.sparse.map" => [wish.number(), wish.number()].join(",").into_bytes(),
            _ => wish.number().into_bytes(),
        };
        record(key, &value, &mut data);
    }
    if wish.rarely() {
        let count = wish.below(9);
        data.extend_from_slice(wish.bytes(count));
    }
    let header = header(kind, b"PaxHeaders/x", b"", data.len() as u64, wish);
    with_data(&header, &data, out);
}

/// Ascending extents mostly, and how many bytes they store.
fn extents(wish: &mut Wish<'_>) -> (Vec<(u64, u64)>, u64, u64) {
    let (mut list, mut end, mut stored) = (Vec::new(), 0, 0);
    for _ in 0..wish.below(8) {
        let (gap, length) = (u64::from(wish.byte()) << (wish.byte() & 7), u64::from(wish.byte()));
        let offset: u64 = if wish.rarely() { gap } else { end + gap };
        list.push((offset, length));
        (end, stored) = (offset + length, stored + length);
    }
    let size = end + if wish.rarely() { u64::MAX / 2 } else { u64::from(wish.byte()) };
    (list, stored, size)
}

fn sparse(wish: &mut Wish<'_>, out: &mut Vec<u8>) {
    let (list, stored, size) = extents(wish);
    let name = wish.name();
    let mut block = header(b'S', &name, b"", stored, wish);
    put(&mut block[257..265], b"ustar  \0");
    let slot = |into: &mut [u8], (offset, length): (u64, u64)| {
        put(&mut into[..12], format!("{offset:011o}").as_bytes());
        put(&mut into[12..24], format!("{length:011o}").as_bytes());
    };
    block[345..500].fill(0);
    for (n, extent) in list.iter().take(4).enumerate() {
        slot(&mut block[386 + 24 * n..386 + 24 * (n + 1)], *extent);
    }
    block[482] = u8::from(list.len() > 4);
    number(&mut block[483..495], size, wish);
    sum(&mut block);
    out.extend_from_slice(&block);
    for part in list.get(4..).unwrap_or_default().chunks(21) {
        let mut more = [0; BLOCK];
        part.iter().enumerate().for_each(|(n, extent)| slot(&mut more[24 * n..24 * (n + 1)], *extent));
        out.extend_from_slice(&more);
    }
    out.resize((out.len() + stored as usize).next_multiple_of(BLOCK), b's');
}

fn pax_sparse(wish: &mut Wish<'_>, out: &mut Vec<u8>) {
    let (list, stored, size) = extents(wish);
    let (mut data, mut ahead) = (Vec::new(), Vec::new());
    let text = |n: u64| n.to_string().into_bytes();
    match wish.below(3) {
        0 => {
            record(b"GNU.sparse.size", &text(size), &mut data);
            record(b"GNU.sparse.numblocks", &text(list.len() as u64), &mut data);
            for (offset, length) in &list {
                record(b"GNU.sparse.offset", &text(*offset), &mut data);
                record(b"GNU.sparse.numbytes", &text(*length), &mut data);
            }
        }
        1 => {
            record(b"GNU.sparse.size", &text(size), &mut data);
            record(b"GNU.sparse.numblocks", &text(list.len() as u64), &mut data);
            record(b"GNU.sparse.name", &wish.name(), &mut data);
            let map: Vec<String> = list.iter().map(|(offset, length)| format!("{offset},{length}")).collect();
            record(b"GNU.sparse.map", map.join(",").as_bytes(), &mut data);
        }
        _ => {
            record(b"GNU.sparse.major", b"1", &mut data);
            record(b"GNU.sparse.minor", b"0", &mut data);
            record(b"GNU.sparse.name", &wish.name(), &mut data);
            record(b"GNU.sparse.realsize", &text(size), &mut data);
            let lines: String = list.iter().map(|(offset, length)| format!("{offset}\n{length}\n")).collect();
            ahead = format!("{}\n{lines}", list.len()).into_bytes();
            ahead.resize(ahead.len().next_multiple_of(BLOCK), 0);
        }
    }
    if wish.rarely() {
        record(KEYS[wish.below(KEYS.len())], &text(1), &mut data);
    }
    let extended = header(b'x', b"PaxHeaders/s", b"", data.len() as u64, wish);
    with_data(&extended, &data, out);
    let count = ahead.len() + stored as usize;
    ahead.resize(count, b'p');
    let name = wish.name();
    let plain = header(b'0', &name, b"", count as u64, wish);
    with_data(&plain, &ahead, out);
}

/// `input` after its first byte, whose lowest bit asks for right checksums.
pub(super) fn with_checksums(input: &[u8]) -> Vec<u8> {
    let Some((how, tar)) = input.split_first() else { return Vec::new() };
    let mut tar = tar.to_vec();
    let mut at = 0;
    while how & 1 == 1 && at + BLOCK <= tar.len() {
        let block = &mut tar[at..at + BLOCK];
        at += BLOCK;
        if block.iter().all(|b| *b == 0) {
            continue;
        }
        sum(block);
        let digits = block[124..136].iter().filter(|b| matches!(b, b'0'..=b'7'));
        let size = digits.fold(0_usize, |size, digit| size.saturating_mul(8).saturating_add(usize::from(digit - b'0')));
        let mut more = block[156] == b'S' && block[482] != 0;
        while more && at + BLOCK <= tar.len() {
            more = tar[at + 504] != 0;
            at += BLOCK;
        }
        at = at.saturating_add(size.min(tar.len()).next_multiple_of(BLOCK));
    }
    tar
}
