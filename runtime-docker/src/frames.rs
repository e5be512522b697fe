//! What the warden says among the task's output, taken out of it. The form stands in `warden/say.rs`.

const MARK: u8 = 0x1e;
const BETWEEN: char = '\x1d';
const FOR_CONTROLS: char = '\x1f';
const WORD: usize = 32;
/// The warden says no more than that at once.
const LONGEST: usize = 16384;

/// A word that nobody can guess: what it signs is the warden's.
pub(crate) type Word = [u8; WORD];

/// Something that the warden said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) word: Word,
    pub(crate) letter: u8,
    pub(crate) fields: Fields,
}

/// Names and values of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(text: &[u8]) -> Fields {
        let text = String::from_utf8_lossy(text).replace(FOR_CONTROLS, "\n");
        let items = text.split(BETWEEN).filter_map(|item| item.split_once('='));
        Fields(items.map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[cfg(test)]
    pub(crate) fn of(fields: &[(&str, &str)]) -> Fields {
        Fields(fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.trim().parse().ok()
    }

    /// What follows `name:` in a file whose lines are names and values.
    pub(crate) fn line(&self, field: &str, name: &str) -> Option<String> {
        let mut words = self.text(field)?.split(['\n', '\t']);
        words.find(|word| word.strip_suffix(':') == Some(name))?;
        Some(
            words.take_while(|word| !word.ends_with(':')).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "),
        )
    }

    /// The number after `name` in a file whose lines are words and numbers.
    pub(crate) fn count(&self, field: &str, name: &str) -> Option<u64> {
        let lines = self.text(field)?.split('\n');
        lines.filter_map(|line| line.split_once(' ')).find(|(own, _)| *own == name)?.1.trim().parse().ok()
    }
}

/// One stream of output, with what the warden said in it taken out.
#[derive(Default)]
pub(crate) struct Scanner {
    words: Vec<Word>,
    /// What may be the beginning of a frame.
    held: Vec<u8>,
}

/// How what begins with a mark goes on.
enum Begins {
    Nothing,
    Perhaps,
    Whole { word: Word, end: usize },
}

impl Scanner {
    /// From now on these words are believed, and no others.
    pub(crate) fn believe(&mut self, words: &[Word]) {
        self.words = words.to_vec();
    }

    /// Takes a piece of the stream; the task's own bytes go to `plain`.
    pub(crate) fn push(&mut self, piece: &[u8], plain: &mut Vec<u8>) -> Vec<Frame> {
        let mut frames = Vec::new();
        let joined;
        let mut rest = if self.held.is_empty() {
            piece
        } else {
            self.held.extend_from_slice(piece);
            joined = std::mem::take(&mut self.held);
            &joined
        };
        while let Some(at) = rest.iter().position(|byte| *byte == MARK) {
            plain.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            match self.begins(rest) {
                Begins::Nothing => {
                    plain.push(MARK);
                    rest = &rest[1..];
                }
                Begins::Perhaps => {
                    self.held = rest.to_vec();
                    return frames;
                }
                Begins::Whole { word, end } => {
                    let (letter, fields) = (rest[1 + WORD], Fields::parse(&rest[2 + WORD..end]));
                    frames.push(Frame { word, letter, fields });
                    rest = &rest[end + 1..];
                }
            }
        }
        plain.extend_from_slice(rest);
        frames
    }

    fn begins(&self, rest: &[u8]) -> Begins {
        let told = &rest[1..rest.len().min(1 + WORD)];
        let Some(word) = self.words.iter().find(|word| word.starts_with(told)) else { return Begins::Nothing };
        match rest.iter().skip(1 + WORD).position(|byte| *byte == MARK) {
            Some(0) => Begins::Nothing,
            Some(length) => Begins::Whole { word: *word, end: 1 + WORD + length },
            None if rest.len() > LONGEST => Begins::Nothing,
            None => Begins::Perhaps,
        }
    }

    /// What was held back, when nothing follows.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Word = [b'w'; WORD];

    fn frame(word: &Word, rest: &str) -> Vec<u8> {
        [&[MARK], &word[..], rest.as_bytes(), &[MARK]].concat()
    }

    #[test]
    fn frames_are_taken_out_however_the_stream_is_cut() {
        let theirs = frame(&[b'x'; WORD], "Estatus=0");
        let half = &frame(&OURS, "E")[..20];
        let mut stream = b"before\x1e\x1e".to_vec();
        stream.extend(&theirs);
        stream.extend(frame(&OURS, "E\x1dstatus=256\x1devents=low 0\x1foom_kill 2\x1f"));
        stream.extend(b"after\0");
        stream.extend(half);
        let mut expected = b"before\x1e\x1e".to_vec();
        expected.extend(&theirs);
        expected.extend(b"after\0");
        expected.extend(half);
        for size in 1..stream.len() {
            let mut scanner = Scanner::default();
            scanner.believe(&[[b'y'; WORD], OURS]);
            let (mut plain, mut frames) = (Vec::new(), Vec::new());
            for piece in stream.chunks(size) {
                frames.extend(scanner.push(piece, &mut plain));
            }
            plain.extend(scanner.finish());
            assert_eq!(plain, expected, "in pieces of {size}");
            assert_eq!(frames.len(), 1);
            assert_eq!((frames[0].word, frames[0].letter), (OURS, b'E'));
            assert_eq!(frames[0].fields.number("status"), Some(256));
            assert_eq!(frames[0].fields.count("events", "oom_kill"), Some(2));
        }
    }

    #[test]
    fn a_beginning_without_an_end_is_not_held_for_ever() {
        let mut scanner = Scanner::default();
        scanner.believe(&[OURS]);
        let mut stream = frame(&OURS, "E");
        stream.pop();
        stream.resize(LONGEST + 10, b'.');
        let mut plain = Vec::new();
        assert!(scanner.push(&stream, &mut plain).is_empty());
        assert_eq!(plain, stream);
    }

    #[test]
    fn lines_of_status_are_read_with_their_controls_replaced() {
        let fields = Fields::parse(b"R\x1dstatus=Name:\x1fx\x1fUid:\x1f1\x1f2\x1fSeccomp:\x1f2\x1f");
        assert_eq!(fields.line("status", "Uid").as_deref(), Some("1 2"));
        assert_eq!(fields.line("status", "Seccomp").as_deref(), Some("2"));
        assert_eq!(fields.line("status", "Gid"), None);
    }
}
