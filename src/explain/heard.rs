//! Error messages in what a task wrote: what went wrong, and with which file, host or program.
//!
//! The words of the C library, and how shells, coreutils, Python, Node.js, Go, Java, compilers, git and curl put a name
//! beside them. A line that is not understood is passed over.

/// Bytes of the end of a stream that are looked at.
pub(crate) const LOOKED_AT: usize = 64 * 1024;
/// Longer lines are no messages.
const LONGEST: usize = 2048;
/// Messages that are kept of one stream.
const MOST: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) error: Error,
    /// What it may be about, the likeliest first; bounded by the line.
    pub(super) names: Vec<String>,
    /// The line itself.
    pub(super) line: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    ReadOnly,
    Absent,
    /// Something was to be made in a folder that is not there.
    AbsentFolder,
    Denied,
    NotRepository,
    NoSpace,
    TooManyFiles,
    NoMemory,
    NoProcesses,
    Unreachable,
    NoProgram,
}

/// In lower case. The first that a line holds counts.
const PHRASES: [(&str, Error); 28] = [
    ("read-only file system", Error::ReadOnly),
    ("directory nonexistent", Error::AbsentFolder),
    ("command not found", Error::NoProgram),
    ("could not resolve host", Error::Unreachable),
    ("unable to resolve host", Error::Unreachable),
    ("temporary failure in name resolution", Error::Unreachable),
    ("temporary failure resolving", Error::Unreachable),
    ("name or service not known", Error::Unreachable),
    ("failed to lookup address", Error::Unreachable),
    ("network is unreachable", Error::Unreachable),
    ("no route to host", Error::Unreachable),
    ("enetunreach", Error::Unreachable),
    ("eai_again", Error::Unreachable),
    ("dial tcp", Error::Unreachable),
    ("getaddrinfo failed", Error::Unreachable),
    ("not a git repository", Error::NotRepository),
    ("no such file", Error::Absent),
    ("permission denied", Error::Denied),
    ("operation not permitted", Error::Denied),
    ("no space left on device", Error::NoSpace),
    ("too many open files", Error::TooManyFiles),
    ("cannot allocate memory", Error::NoMemory),
    ("memoryerror", Error::NoMemory),
    ("std::bad_alloc", Error::NoMemory),
    ("heap out of memory", Error::NoMemory),
    ("resource temporarily unavailable", Error::NoProcesses),
    ("can't start new thread", Error::NoProcesses),
    (": not found", Error::NoProgram),
];

/// The messages at the end of a stream, each once, in their order.
pub(super) fn listen(tail: &[u8]) -> Vec<Heard> {
    let tail = &tail[tail.len().saturating_sub(LOOKED_AT)..];
    let mut heard: Vec<Heard> = Vec::new();
    for line in tail.split(|byte| *byte == b'\n').filter(|line| line.len() <= LONGEST) {
        let line = String::from_utf8_lossy(line);
        if let Some(found) = message(line.trim_end())
            && !heard.iter().any(|known| known.error == found.error && known.names == found.names)
        {
            heard.push(found);
            if heard.len() == MOST {
                break;
            }
        }
    }
    heard
}

fn message(line: &str) -> Option<Heard> {
    let lower = line.to_ascii_lowercase();
    let (at, phrase, error) =
        PHRASES.iter().find_map(|(phrase, error)| Some((lower.find(phrase)?, *phrase, *error)))?;
    // Letters are one to one: only ASCII changed.
    let (before, after) = (&line[..at], &line[at + phrase.len()..]);
    let names = match error {
        Error::NoProgram => program(before, after)?,
        Error::Unreachable => hosts(before, after),
        Error::NoProcesses
            if !["fork", "thread", "process", "blockingioerror"].iter().any(|word| lower.contains(word)) =>
        {
            return None;
        }
        _ => paths(before, after),
    };
    Some(Heard { error, names, line: line.to_string() })
}

/// `sh: 1: NAME: not found`, `bash: line 2: NAME: command not found`, `zsh: command not found: NAME`. Other things are
/// "not found" as well.
fn program(before: &str, after: &str) -> Option<Vec<String>> {
    let parts: Vec<&str> = before.split(':').map(str::trim).filter(|part| !part.is_empty()).collect();
    let shells = ["sh", "dash", "bash", "zsh", "ash", "ksh", "fish"];
    let shell = parts.first().map(|first| first.rsplit('/').next().unwrap_or(first))?;
    let numbered = parts.get(1).is_some_and(|part| part.trim_start_matches("line ").parse::<u32>().is_ok());
    if !shells.contains(&shell) && !numbered {
        return None;
    }
    let name = match after.strip_prefix(": ") {
        Some(name) => name.trim(),
        None => parts.last().filter(|_| parts.len() > 1)?,
    };
    (!name.is_empty() && !name.contains(char::is_whitespace)).then(|| vec![name.to_string()])
}

/// A host, where the message names one: `Could not resolve host: NAME`, `lookup NAME`, `EAI_AGAIN NAME`, `'NAME'`.
fn hosts(before: &str, after: &str) -> Vec<String> {
    let quoted =
        in_quotes(before).into_iter().flat_map(|text| text.split_whitespace().map(str::to_string).collect::<Vec<_>>());
    let words = after.split_whitespace().take(6).map(str::to_string);
    // Before the words of the error stands mostly the program; what a look-up was for follows `lookup`.
    let looked_up =
        before.split_once("lookup ").and_then(|(_, rest)| rest.split_whitespace().next()).map(str::to_string);
    let trim = |word: String| word.trim_matches(|c: char| "\"'`‘’(),;:[]<>".contains(c)).to_string();
    words.chain(looked_up).chain(quoted).map(trim).find(|word| is_host(word)).into_iter().collect()
}

fn is_host(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:/".contains(c);
    let dotted = word.trim_matches('.').contains('.') || word.contains("://");
    word.len() > 3 && dotted && word.chars().all(plain) && !word.to_ascii_lowercase().contains("error")
}

/// A path beside the words of the C library.
fn paths(before: &str, after: &str) -> Vec<String> {
    let mut names = Vec::new();
    // Python: `…directory: 'a' -> 'b'`; Node.js: `…directory, open 'a'`; Ruby: `…directory @ rb_sysopen - a`.
    names.extend(in_quotes(after));
    if let Some((_, name)) = after.split_once(" - ") {
        names.push(name.split(" (").next().unwrap_or_default().trim().to_string());
    }
    // Java: `a (No such file or directory)`; the others: `tool: verb a: No such file or directory`.
    let told = before.trim_end().trim_end_matches(['(', ':', ' ']);
    names.extend(in_quotes(told).into_iter().rev());
    let segment = told.rsplit(": ").next().unwrap_or_default().trim();
    let word = segment.rsplit(' ').next().unwrap_or_default();
    names.extend([without_verb(segment), segment, word].map(str::to_string));
    let fits = |name: &String| !name.is_empty() && name.len() < 1024 && !name.starts_with('[') && !name.contains('\0');
    let mut kept: Vec<String> = Vec::new();
    for name in names.into_iter().filter(fits) {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    kept.truncate(6);
    kept
}

/// `cannot create regular file x` without what it says of x.
fn without_verb(segment: &str) -> &str {
    const WORDS: &str = " cannot can't can not could couldn't unable to failed failure error while when for opening open \
        create creating make making write writing touch remove access stat mkdir read reading lock link move rename \
        unlink delete chmod set save load find directory folder file regular output input the a an work tree dir \
        temporary temp fatal warning on of at with as ";
    let mut rest = segment;
    while let Some((word, more)) = rest.split_once(' ')
        && WORDS.contains(&format!(" {} ", word.to_ascii_lowercase()))
    {
        rest = more.trim_start();
    }
    rest
}

/// What stands in quotes, in order: 'a', "a", `a', ‘a’.
fn in_quotes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '"', '`', '‘']) {
        let open = rest[at..].chars().next().unwrap_or('\'');
        let close: &[char] = match open {
            '‘' => &['’'],
            '`' => &['`', '\''],
            '"' => &['"'],
            _ => &['\''],
        };
        let inner = &rest[at + open.len_utf8()..];
        let Some(end) = inner.find(close) else { break };
        found.push(inner[..end].to_string());
        let last = inner[end..].chars().next().map_or(1, char::len_utf8);
        rest = &inner[end + last..];
        if found.len() == 4 {
            break;
        }
    }
    found
}

#[cfg(test)]
mod unit {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_tools_print_is_understood() {
        for (line, error, name) in [
            ("sh: 1: cannot create results/a: Read-only file system", Error::ReadOnly, "results/a"),
            ("sh: 3: cannot create results/a: Directory nonexistent", Error::AbsentFolder, "results/a"),
            ("sh: 1: cannot open .env: No such file", Error::Absent, ".env"),
            ("bash: line 1: results/a b: Read-only file system", Error::ReadOnly, "results/a b"),
            ("/bin/bash: .env: No such file or directory", Error::Absent, ".env"),
            ("cat: .env: No such file or directory", Error::Absent, ".env"),
            ("cat: 'a b': No such file or directory", Error::Absent, "a b"),
            ("mkdir: cannot create directory ‘results’: Read-only file system", Error::ReadOnly, "results"),
            ("mkdir: cannot create directory 'results': Read-only file system", Error::ReadOnly, "results"),
            ("cp: cannot create regular file 'out/x': Read-only file system", Error::ReadOnly, "out/x"),
            ("touch: cannot touch 'x': Read-only file system", Error::ReadOnly, "x"),
            ("tee: out.log: Permission denied", Error::Denied, "out.log"),
            ("FileNotFoundError: [Errno 2] No such file or directory: '.env'", Error::Absent, ".env"),
            ("OSError: [Errno 30] Read-only file system: '/workspace/x'", Error::ReadOnly, "/workspace/x"),
            ("OSError: [Errno 30] Read-only file system: 'a' -> 'b'", Error::ReadOnly, "a"),
            ("PermissionError: [Errno 13] Permission denied: b'x'", Error::Denied, "x"),
            ("Error: EROFS: read-only file system, open 'x.json'", Error::ReadOnly, "x.json"),
            ("Error: ENOENT: no such file or directory, open '/workspace/.env'", Error::Absent, "/workspace/.env"),
            ("open config.yaml: no such file or directory", Error::Absent, "config.yaml"),
            ("panic: open out.txt: read-only file system", Error::ReadOnly, "out.txt"),
            ("java.io.FileNotFoundException: out.txt (Read-only file system)", Error::ReadOnly, "out.txt"),
            ("a.rb:1:in `read': No such file or directory @ rb_sysopen - .env (Errno::ENOENT)", Error::Absent, ".env"),
            ("main.c:1:10: fatal error: secret.h: No such file or directory", Error::Absent, "secret.h"),
            ("/usr/bin/ld: cannot open output file a.out: Read-only file system", Error::ReadOnly, "a.out"),
            ("Fatal error: can't create main.o: Read-only file system", Error::ReadOnly, "main.o"),
            ("fatal: could not create work tree dir 'x': Read-only file system", Error::ReadOnly, "x"),
            ("fatal: not a git repository (or any of the parent directories): .git", Error::NotRepository, ""),
            ("curl: (6) Could not resolve host: example.com", Error::Unreachable, "example.com"),
            (
                "fatal: unable to access 'https://github.com/x/': Could not resolve host: github.com",
                Error::Unreachable,
                "github.com",
            ),
            ("wget: unable to resolve host address ‘example.org’", Error::Unreachable, "example.org"),
            ("socket.gaierror: [Errno -3] Temporary failure in name resolution", Error::Unreachable, ""),
            ("Error: getaddrinfo EAI_AGAIN registry.npmjs.org", Error::Unreachable, "registry.npmjs.org"),
            (
                "Error: connect ENETUNREACH 93.184.216.34:443 - Local (0.0.0.0:0)",
                Error::Unreachable,
                "93.184.216.34:443",
            ),
            ("OSError: [Errno 101] Network is unreachable", Error::Unreachable, ""),
            ("sh: 1: frobnicate: not found", Error::NoProgram, "frobnicate"),
            ("bash: line 1: frobnicate: command not found", Error::NoProgram, "frobnicate"),
            ("zsh: command not found: frobnicate", Error::NoProgram, "frobnicate"),
            ("./build.sh: line 3: cargo: command not found", Error::NoProgram, "cargo"),
            ("dd: error writing '/tmp/big': No space left on device", Error::NoSpace, "/tmp/big"),
            ("OSError: [Errno 28] No space left on device", Error::NoSpace, ""),
            ("MemoryError", Error::NoMemory, ""),
            ("BlockingIOError: [Errno 11] Resource temporarily unavailable", Error::NoProcesses, ""),
            ("sh: 0: Cannot fork: Resource temporarily unavailable", Error::NoProcesses, ""),
        ] {
            let heard = listen(format!("before\n{line}\nafter\n").as_bytes());
            assert_eq!(heard.len(), 1, "{line}: {heard:?}");
            assert_eq!(heard[0].error, error, "{line}");
            // The likeliest is the first: a write is explained for that.
            let first = heard[0].names.first().map(String::as_str).unwrap_or_default();
            assert!(name.is_empty() && error != Error::Unreachable || first == name, "{line}: {:?}", heard[0].names);
        }
        for line in [
            "404: not found",
            "Package foo: not found",
            "all is well",
            "no such thing",
            "read: Resource temporarily unavailable",
        ] {
            assert_eq!(listen(line.as_bytes()), [], "{line}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let many: String = (0..100_000).map(|n| format!("cat: {n}: No such file or directory\n")).collect();
        let heard = listen(many.as_bytes());
        assert_eq!(heard.len(), MOST);
        let long = format!("cat: {}: No such file or directory", "x".repeat(LONGEST));
        assert_eq!(listen(long.as_bytes()), []);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..28, quote in "[`'\"‘’:( ,]{0,6}") {
            let line = [&bytes[..], quote.as_bytes(), PHRASES[at].0.as_bytes(), quote.as_bytes(), &bytes[..]].concat();
            for heard in listen(&line) {
                prop_assert!(heard.names.len() <= 6);
            }
        }
    }
}
