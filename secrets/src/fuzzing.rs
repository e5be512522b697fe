//! The check of the fuzz target, shared with the test that replays its corpus.

use crate::{Redactor, Secrets, reference};

/// So many bytes of text: the reference is slow.
const TEXT: usize = 1024;

/// `N SECRET M SECRET SIZES(4) TEXT`: in pieces of such sizes the text comes out as it does in one, and as the reference has
/// it; and so it does where formats are known, but for the reference.
pub fn redactor(bytes: &[u8]) {
    let Some((first, rest)) = secret(bytes) else { return };
    let Some((second, rest)) = secret(rest) else { return };
    let Some((sizes, text)) = rest.split_at_checked(4) else { return };
    let text = &text[..text.len().min(TEXT)];
    let values = [first, second];
    let secrets = Secrets::new(values.iter().enumerate().map(|(n, value)| (n.to_string(), value)));
    for formats in [false, true] {
        let whole = redacted(&secrets, formats, text, &[usize::MAX]);
        let sizes: Vec<usize> = sizes.iter().map(|size| usize::from(*size) + 1).collect();
        assert_eq!(redacted(&secrets, formats, text, &sizes), whole, "other pieces, other bytes");
        // Marks that are not of the usual form are not the reference's.
        let plain = secrets.text("[secret 0][secret 1]").is_none();
        if !formats && plain {
            assert_eq!(reference::redact(&values, text), whole, "not what the reference says");
        }
    }
}

fn secret(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length % 80))
}

fn redacted(secrets: &Secrets, formats: bool, text: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut redactor, mut out, mut rest) = (Redactor::new(secrets, formats), Vec::new(), text);
    let (mut other, mut room) = (Redactor::new(secrets, formats), Vec::new());
    for size in sizes.iter().cycle() {
        let (piece, more) = rest.split_at((*size).min(rest.len()));
        let before = out.len();
        redactor.push(piece, &mut out);
        assert_eq!(other.pass(piece, &mut room), &out[before..], "copied or not, other bytes");
        rest = more;
        if rest.is_empty() {
            break;
        }
    }
    redactor.finish(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// What the fuzzer kept, on every machine.
    #[test]
    fn the_corpus_of_the_fuzzer_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/redactor");
        let inputs: Vec<_> = std::fs::read_dir(folder).unwrap().map(|input| input.unwrap().path()).collect();
        assert!(inputs.len() > 5, "{} inputs", inputs.len());
        for path in inputs {
            let bytes = std::fs::read(&path).unwrap();
            let held = std::panic::catch_unwind(|| super::redactor(&bytes));
            assert!(held.is_ok(), "{} breaks a promise", path.display());
        }
    }
}
