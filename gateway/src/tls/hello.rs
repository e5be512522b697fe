//! The first message of TLS, as far as it says where it wants to go. Passed-through connections are judged by it.

/// What a first message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// It is not whole yet.
    More,
    /// It is no such message, or none that is understood.
    Wrong(&'static str),
    /// It is one.
    Read {
        /// The name of the server that is meant, where one is named.
        name: Option<String>,
        /// Another name may be in a part that is encrypted.
        encrypted: bool,
    },
}

/// The longest first message that is waited for. Keys of post-quantum methods make some of 2 KiB.
pub(crate) const LONGEST: usize = 32 * 1024;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const RECORD_MOST: usize = 16 * 1024 + 256;
const SERVER_NAME: u16 = 0;
/// Encrypted client hello, as published and in the drafts that were in use.
const ENCRYPTED: [u16; 5] = [0xfe0d, 0xfe0c, 0xfe0a, 0xfe09, 0xffce];

/// Reads what has come so far.
pub(crate) fn read(bytes: &[u8]) -> Hello {
    match message(bytes) {
        Ok(Some(body)) => fields(&body).unwrap_or(Hello::Wrong("the first message of TLS is malformed")),
        Ok(None) if bytes.len() >= LONGEST => Hello::Wrong("the first message of TLS is too long"),
        Ok(None) => Hello::More,
        Err(wrong) => Hello::Wrong(wrong),
    }
}

/// The body of the first handshake message, which may be spread over records.
fn message(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut body = Vec::new();
    loop {
        match bytes {
            [] => return Ok(None),
            [HANDSHAKE] | [HANDSHAKE, 3] | [HANDSHAKE, 3, _] | [HANDSHAKE, 3, _, _] => return Ok(None),
            [HANDSHAKE, 3, _, high, low, rest @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length == 0 || length > RECORD_MOST {
                    return Err("a record of TLS has a wrong length");
                }
                body.extend_from_slice(&rest[..length.min(rest.len())]);
                if let Some(whole) = whole(&body)? {
                    return Ok(Some(whole));
                }
                let Some(next) = rest.get(length..) else { return Ok(None) };
                bytes = next;
            }
            _ => return Err("it is not TLS"),
        }
    }
}

fn whole(body: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    match body {
        [] => Ok(None),
        [CLIENT_HELLO, a, b, c, rest @ ..] => {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if length > LONGEST {
                return Err("the first message of TLS is too long");
            }
            Ok(rest.get(..length).map(<[u8]>::to_vec))
        }
        [CLIENT_HELLO, ..] => Ok(None),
        _ => Err("TLS does not begin with a client's hello"),
    }
}

/// Takes things off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    fn number(&mut self, width: usize) -> Option<usize> {
        Some(self.take(width)?.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)))
    }

    /// A part with its length in front.
    fn part(&mut self, width: usize) -> Option<Reader<'a>> {
        let length = self.number(width)?;
        self.take(length).map(Reader)
    }
}

fn fields(body: &[u8]) -> Option<Hello> {
    let mut body = Reader(body);
    body.take(2 + 32)?;
    body.part(1)?;
    body.part(2)?;
    body.part(1)?;
    let (mut name, mut encrypted) = (None, false);
    if !body.0.is_empty() {
        let mut extensions = body.part(2)?;
        while !extensions.0.is_empty() {
            let kind = extensions.number(2)? as u16;
            let content = extensions.part(2)?;
            if kind == SERVER_NAME {
                // Two of them would be read differently by different servers.
                if name.is_some() {
                    return None;
                }
                name = Some(server_name(content)?);
            }
            encrypted |= ENCRYPTED.contains(&kind);
        }
        if !body.0.is_empty() {
            return None;
        }
    }
    Some(Hello::Read { name, encrypted })
}

/// Exactly one name, of the only kind that there is.
fn server_name(mut content: Reader<'_>) -> Option<String> {
    let mut list = content.part(2)?;
    let kind = list.number(1)?;
    let name = list.part(2)?;
    let alone = kind == 0 && list.0.is_empty() && content.0.is_empty() && !name.0.is_empty();
    if !alone || !name.0.is_ascii() {
        return None;
    }
    String::from_utf8(name.0.to_vec()).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sized(width: usize, bytes: &[u8]) -> Vec<u8> {
        let length = (bytes.len() as u32).to_be_bytes();
        [&length[4 - width..], bytes].concat()
    }

    pub(crate) fn sni(name: &str) -> (u16, Vec<u8>) {
        (0, sized(2, &[&[0][..], &sized(2, name.as_bytes())].concat()))
    }

    /// A first message with these extensions, in records of at most `record` bytes.
    pub(crate) fn hello(extensions: &[(u16, Vec<u8>)], record: usize) -> Vec<u8> {
        let extensions: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &sized(2, content)].concat())
            .collect();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &sized(1, &[9; 32]),
            &sized(2, &[0x13, 1]),
            &sized(1, &[0]),
            &sized(2, &extensions),
        ]
        .concat();
        let message = [&[1][..], &sized(3, &body)].concat();
        message.chunks(record).flat_map(|chunk| [&[22, 3, 1][..], &sized(2, chunk)].concat()).collect()
    }

    fn named(name: &str) -> Hello {
        Hello::Read { name: Some(name.to_owned()), encrypted: false }
    }

    #[test]
    fn the_name_is_found_however_it_is_cut() {
        let other = (43, vec![2, 3, 4]);
        for record in [1, 7, 60, 10_000] {
            let bytes = hello(&[other.clone(), sni("docs.example.com")], record);
            assert_eq!(read(&bytes), named("docs.example.com"), "records of {record}");
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Hello::More, "{cut} bytes of {}", bytes.len());
            }
        }
        assert_eq!(read(&hello(&[], 1000)), Hello::Read { name: None, encrypted: false });
    }

    #[test]
    fn a_hidden_name_is_noticed() {
        for kind in ENCRYPTED {
            assert!(matches!(
                read(&hello(&[sni("a.example"), (kind, vec![0; 40])], 1000)),
                Hello::Read { encrypted: true, .. }
            ));
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_wrong() {
        let two = sized(
            2,
            &[sized(2, b"a.example"), sized(2, b"b.example")]
                .iter()
                .flat_map(|n| [&[0][..], n].concat())
                .collect::<Vec<_>>(),
        );
        for extensions in [
            vec![sni("a.example"), sni("b.example")],
            vec![(0, two)],
            vec![(0, vec![])],
            vec![sni("")],
            vec![sni("b\u{fc}.example")],
        ] {
            assert!(matches!(read(&hello(&extensions, 1000)), Hello::Wrong(_)), "{extensions:?}");
        }
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"SSH-2.0-x",
            &[22, 2, 0, 0, 5],
            &[22, 3, 1, 0, 0],
            &[22, 3, 1, 0xff, 0xff],
            &[21, 3, 1, 0, 2, 2, 40],
            &[22, 3, 1, 0, 4, 2, 0, 0, 0],
            &[0x80, 0x2e, 1, 3, 1],
        ] {
            assert!(matches!(read(bytes), Hello::Wrong(_)), "{bytes:?}");
        }
        let mut endless = vec![22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
        assert!(matches!(read(&endless), Hello::Wrong(_)));
        endless = [22, 3, 1, 0, 1, 1].to_vec();
        endless.extend([22, 3, 1, 0, 1, 0].repeat(LONGEST / 6 + 1));
        assert!(!matches!(read(&endless), Hello::More));
    }

    proptest! {
        #[test]
        fn no_message_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..100, record in 1usize..200) {
            let good = hello(&[(43, vec![2, 3, 4]), sni("docs.example.com")], record);
            read(&bytes);
            let mut bent = good.clone();
            let at = at % bent.len();
            bent.splice(at..(at + bytes.len() % 5).min(good.len()), bytes);
            read(&bent);
        }
    }
}
