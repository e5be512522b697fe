//! What the program tells and does: the only door between the screen and everything else.

use crate::bytes::Bytes;
use std::path::PathBuf;

/// The program behind the screen. Texts that are called pages may hold colours (SGR); what strangers wrote in them is
/// inert already. Everything else is taken for a stranger's.
pub trait Program: Send + Sync {
    /// Whose runs these are: the project's folder.
    fn title(&self) -> String;
    /// All runs, newest first.
    fn runs(&self) -> Result<Vec<RunRow>, String>;
    /// All sandboxes, newest first.
    fn sandboxes(&self) -> Result<Vec<SandboxRow>, String>;
    /// The story of a run, as a page.
    fn story(&self, run: &Place) -> Result<String, String>;
    /// What there is to open of a run.
    fn files(&self, run: &Place) -> Result<Vec<FileRow>, String>;
    /// Opens one of them.
    fn open(&self, run: &Place, what: &What) -> Result<Box<dyn Bytes>, String>;
    /// Checks the evidence of a run: a page.
    fn verify(&self, run: &Place) -> Result<String, String>;
    /// Ends what runs in a sandbox and removes it with all it has kept.
    fn destroy(&self, sandbox: &str) -> Result<(), String>;
    /// Folders whose entries change when runs begin and end, and sandboxes come and go.
    fn watched(&self) -> Vec<PathBuf>;
    /// The folder in which a run's files grow.
    fn folder(&self, run: &Place) -> PathBuf;
    /// How figures are put into words.
    fn words(&self) -> Words;
}

/// Figures and records in the program's own words.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// Milliseconds as a length of time.
    pub took: fn(u64) -> String,
    /// Milliseconds as a time that has passed.
    pub ago: fn(u64) -> String,
    /// Bytes.
    pub size: fn(u64) -> String,
    /// One line of a run's record.
    pub event: fn(&[u8]) -> String,
}

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The sandbox's ID.
    pub sandbox: String,
    /// Its own ID.
    pub run: String,
}

/// One run in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Where it is.
    pub place: Place,
    /// The sandbox's name.
    pub name: String,
    /// Its command line.
    pub task: String,
    /// When it began, in milliseconds since 1970; none where its record does not say.
    pub began: Option<u64>,
    /// How long it took; none while it goes on, or where nobody knows.
    pub took_ms: Option<u64>,
    /// How it ended, in a few words.
    pub end: String,
    /// The same in one word.
    pub went: Went,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// It goes on.
    Running,
    /// It is sealed, and its task ended with 0.
    Well,
    /// It is sealed, and its task ended in another way.
    Badly,
    /// Nobody sealed it, or it cannot be read.
    Unknown,
}

/// One sandbox in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxRow {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created: Option<u64>,
    /// The time that it has left.
    pub left: Left,
    /// Whether a task runs in it.
    pub running: bool,
    /// What else is to be said of it.
    pub note: String,
    /// How many runs it has.
    pub runs: usize,
}

/// How long a sandbox lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Until then, in milliseconds since 1970.
    Until(u64),
    /// It takes no more runs: why, in a word.
    Over(String),
}

/// One file of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    /// Which.
    pub what: What,
    /// What it is called.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// What else is to be said of it.
    pub note: String,
    /// Whether it needs a second look.
    pub alert: bool,
}

/// What can be opened of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// What its task wrote, in the order in which it came; standard error stands out.
    Both,
    /// What its task wrote to standard output.
    Stdout,
    /// What its task wrote to standard error.
    Stderr,
    /// Its record.
    Events,
    /// Another file of its folder.
    Part(String),
    /// A file among its sandbox's outputs.
    Output(String),
}

impl RunRow {
    /// How long it took, or goes on by now.
    pub(crate) fn lasted(&self, now: u64) -> Option<u64> {
        self.took_ms.or_else(|| Some(now.saturating_sub(self.began.filter(|_| self.went == Went::Running)?)))
    }
}
