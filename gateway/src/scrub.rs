//! Takes injected secrets out of what servers answer, in the forms that services give them, however the answer is cut
//! into pieces. A secret is covered by as many asterisks, so that no length changes.

use aho_corasick::{AhoCorasick, MatchKind};
use std::sync::Arc;

/// Finds a set of secrets.
#[derive(Debug)]
pub(crate) struct Needles {
    finder: AhoCorasick,
    forms: Vec<Vec<u8>>,
    longest: usize,
}

impl Needles {
    /// None where there is nothing to look for.
    pub(crate) fn new<'a>(secrets: impl Iterator<Item = &'a str>) -> Option<Arc<Self>> {
        let mut forms: Vec<Vec<u8>> = secrets.flat_map(forms_of).collect();
        forms.sort();
        forms.dedup();
        let longest = forms.iter().map(Vec::len).max()?;
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&forms).ok()?;
        Some(Arc::new(Self { finder, forms, longest }))
    }

    /// Covers what is found; where the last of it ends, and how many there were.
    fn cover(&self, bytes: &mut [u8]) -> (usize, u64) {
        let found: Vec<(usize, usize)> =
            self.finder.find_iter(&*bytes).map(|found| (found.start(), found.end())).collect();
        for &(start, end) in &found {
            bytes[start..end].fill(b'*');
        }
        (found.last().map_or(0, |(_, end)| *end), found.len() as u64)
    }

    /// Covers secrets in something that is whole. None: there were none.
    pub(crate) fn covered(&self, bytes: &[u8]) -> Option<(Vec<u8>, u64)> {
        let mut bytes = bytes.to_vec();
        let (_, count) = self.cover(&mut bytes);
        (count > 0).then_some((bytes, count))
    }
}

/// What a URL may hold as it is: JavaScript's encodeURI.
const OF_A_URL: &str = ";/?:@&=+$,#!'()*";

/// How a secret may come back: as it is, in URLs, in JSON, in HTML, in hexadecimal, in Base64 within whatever text.
fn forms_of(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.as_bytes().to_vec(), secret.replace('/', "\\/").into_bytes()];
    let json = serde_json::Value::from(secret).to_string();
    forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
    // Some bytes stay as they are, where `plain` is there; libraries differ in which.
    let hex = |upper: bool, prefix: &str, plain: Option<&str>| -> Vec<u8> {
        let mut out = String::new();
        for byte in secret.bytes() {
            let usual = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            let stays = plain.is_some_and(|plain| usual || plain.bytes().any(|plain| plain == byte));
            match (!stays, upper) {
                (false, _) => out.push(char::from(byte)),
                (true, false) => out.push_str(&format!("{prefix}{byte:02x}")),
                (true, true) => out.push_str(&format!("{prefix}{byte:02X}")),
            }
        }
        out.into_bytes()
    };
    for upper in [false, true] {
        forms.extend(["", "/", ":/", OF_A_URL].map(|plain| hex(upper, "%", Some(plain))));
        forms.extend([hex(upper, "%", None), hex(upper, "", None)]);
    }
    // In HTML the quotes have several spellings, and `&` is always the same.
    for (double, single) in
        [("&quot;", "&#39;"), ("&#34;", "&#39;"), ("&quot;", "&#x27;"), ("&quot;", "'"), ("\"", "'")]
    {
        let text = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        forms.push(text.replace('"', double).replace('\'', single).into_bytes());
    }
    for offset in 0..3 {
        for alphabet in [&base64::alphabet::STANDARD, &base64::alphabet::URL_SAFE] {
            forms.push(base64_within(secret.as_bytes(), offset, alphabet));
        }
    }
    forms
}

/// The characters that depend on the secret alone when `offset` bytes stand before it in a group of three.
fn base64_within(secret: &[u8], offset: usize, alphabet: &base64::alphabet::Alphabet) -> Vec<u8> {
    use base64::Engine;
    let engine = base64::engine::GeneralPurpose::new(alphabet, base64::engine::general_purpose::NO_PAD);
    let encoded = engine.encode([&[0; 2][..offset], secret].concat()).into_bytes();
    let front = [0, 2, 3][offset];
    let whole = (offset + secret.len()) / 3 * 4;
    encoded[front..whole.max(front).min(encoded.len())].to_vec()
}

/// Covers secrets in a stream. What may be the beginning of one is kept back until it is clear.
#[derive(Debug)]
pub(crate) struct Scrub {
    needles: Arc<Needles>,
    held: Vec<u8>,
    /// How many secrets were covered.
    pub(crate) count: u64,
}

impl Scrub {
    pub(crate) fn new(needles: Arc<Needles>) -> Self {
        Self { needles, held: Vec::new(), count: 0 }
    }

    /// Takes a piece; what can go on.
    pub(crate) fn piece(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        // A longer form may go on where a shorter one ends, so the end is looked at before anything is covered.
        let from = self.undecided(&all);
        let mut rest = all.split_off(from);
        let (_, count) = self.needles.cover(&mut all);
        self.count += count;
        std::mem::swap(&mut self.held, &mut rest);
        all
    }

    /// The stream is over: what is left.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.held);
        self.count += self.needles.cover(&mut rest).1;
        rest
    }

    /// Nothing is kept back.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Where the first beginning of a secret is that could still become one, and that no whole one reaches into.
    fn undecided(&self, bytes: &[u8]) -> usize {
        let first = bytes.len().saturating_sub(self.needles.longest - 1);
        let begins = |at: &usize| {
            self.needles.forms.iter().any(|form| form.len() > bytes.len() - at && form.starts_with(&bytes[*at..]))
        };
        let from = (first..bytes.len()).find(begins).unwrap_or(bytes.len());
        // A whole one that begins before and ends behind it would be cut in two.
        let across = self.needles.finder.find_iter(bytes).find(|found| found.start() < from && found.end() > from);
        across.map_or(from, |found| found.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "sk-live/0123+456=789\"x";

    fn scrubbed(pieces: &[&[u8]], secrets: &[&str]) -> Vec<u8> {
        let mut scrub = Scrub::new(Needles::new(secrets.iter().copied()).unwrap());
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(scrub.piece(piece));
        }
        out.extend(scrub.rest());
        out
    }

    fn has(haystack: &[u8], needle: &[u8]) -> bool {
        haystack.windows(needle.len()).any(|window| window == needle)
    }

    #[test]
    fn every_form_is_covered_however_it_is_cut() {
        let base = |prefix: &str| {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.encode(format!("{prefix}{SECRET}:rest"))
        };
        let forms = [
            SECRET.to_owned(),
            serde_json::to_string(SECRET).unwrap(),
            "sk-live%2F0123%2B456%3D789%22x".to_owned(),
            "sk-live%2f0123%2b456%3d789%22x".to_owned(),
            "sk-live/0123%2B456%3D789%22x".to_owned(),
            "sk-live/0123+456=789%22x".to_owned(),
            "sk-live/0123+456=789&quot;x".to_owned(),
            "sk-live/0123+456=789&#34;x".to_owned(),
            SECRET.bytes().map(|b| format!("{b:02x}")).collect(),
            base(""),
            base("u"),
            base("us"),
            base("user:"),
        ];
        for form in forms {
            let text = format!("before {form} after");
            for cut in 0..text.len() {
                let out = scrubbed(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]], &[SECRET]);
                assert_eq!(out.len(), text.len());
                let middle = form.len() / 2;
                assert!(!has(&out, &form.as_bytes()[middle - 4..middle + 4]), "{}", String::from_utf8_lossy(&out));
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(scrubbed(&bytes, &[SECRET]), scrubbed(&[text.as_bytes()], &[SECRET]));
        }
    }

    #[test]
    fn what_cannot_be_a_secret_is_not_kept_back() {
        let mut scrub = Scrub::new(Needles::new([SECRET].into_iter()).unwrap());
        assert_eq!(scrub.piece(b"data: hello\n\n"), b"data: hello\n\n");
        assert!(scrub.is_empty());
        assert_eq!(scrub.piece(b"data: sk-l"), b"data: ");
        assert_eq!(scrub.piece(b"ong ago"), b"sk-long ago");
    }

    #[test]
    fn no_secrets_no_work() {
        assert!(Needles::new(std::iter::empty()).is_none());
    }

    proptest! {
        /// Whatever the pieces: the length stays, no secret is left, and what is no secret stays as it was.
        #[test]
        fn pieces_make_no_difference(text in "[ab]{0,60}", cuts in proptest::collection::vec(0usize..61, 0..6)) {
            let secrets = ["abababab", "bbbbabba"];
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|two| &text.as_bytes()[two[0]..two[1]]).collect();
            let out = scrubbed(&pieces, &secrets);
            prop_assert_eq!(out.len(), text.len());
            for secret in secrets {
                prop_assert!(!has(&out, secret.as_bytes()));
            }
            for (was, is) in text.bytes().zip(&out) {
                prop_assert!(*is == was || *is == b'*');
            }
        }
    }
}
