//! One run: its files as they come, and what they say together.

use super::hash::{self, Hashed, Mark, Tee};
use super::log::Log;
use super::report::{Finding, FindingKind, Level, Report, SignedBy, Trusted, VerifiedState, clean};
use super::seal::{self, Sealed};
use super::{Trust, older};
use crate::bundle::{ABOUT, About, BUNDLE_VERSION, KEY, MAX_NOTE};
use crate::error::Error;
use crate::files::{EVENTS, MAX_SEAL, PREPARED};
use crate::id::Id;
use crate::parts::{CONFIG, Content, Found, Parts, RUN, Stop};
use crate::statement::ClosedBy;
use std::collections::BTreeMap;
use std::io::Read;

/// What is known before a file was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    /// The folder's name, where it is one of ours.
    pub(super) run: Option<String>,
    pub(super) sandbox: Option<String>,
    pub(super) running: bool,
    pub(super) outputs: Outputs,
}

/// Where the outputs of the run are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Outputs {
    #[default]
    Here,
    /// A later run of the same sandbox has them.
    Replaced(String),
    /// The bundle says that it has none of them.
    LeftOut,
}

/// The files that were read, by the names that the seal has for them, with digests in hex.
#[derive(Debug, Default)]
pub(super) struct Files(pub(super) BTreeMap<String, String>);

impl Files {
    pub(super) fn digest(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Takes the files of one run in order.
pub(super) struct Examiner<'a> {
    trust: &'a Trust,
    pub(super) expected: Expected,
    pub(super) files: Files,
    count: u64,
    bytes: u64,
    pub(super) log: Log,
    seal: Option<Vec<u8>>,
    pub(super) summary: Option<Vec<u8>>,
    about: Option<About>,
    key: Option<Vec<u8>>,
    /// How much of each log is proven by a milestone.
    proven: Vec<(&'static str, Mark)>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Examiner<'a> {
    /// All of one run. Only what is not the evidence's fault is an error.
    pub(super) fn run(parts: &mut dyn Parts, trust: &'a Trust, expected: Expected) -> Result<Report, Error> {
        let mut examiner = Examiner {
            trust,
            expected,
            files: Files::default(),
            count: 0,
            bytes: 0,
            log: Log::default(),
            seal: None,
            summary: None,
            about: None,
            key: None,
            proven: Vec::new(),
            findings: Vec::new(),
        };
        match parts.each(&mut |found| examiner.take(found)) {
            Ok(()) => {}
            Err(Stop::Refused(what)) => examiner.findings.push(Finding::fault(FindingKind::Unreadable, "", what)),
            Err(Stop::Failed(error)) => return Err(error),
        }
        Ok(examiner.finish())
    }

    fn take(&mut self, found: Found<'_>) -> Result<(), Stop> {
        let name = called(found.name);
        let (size, content) = match found.content {
            Content::Odd(what) => {
                self.findings.push(Finding::fault(FindingKind::Unreadable, name, format!("it {what}")));
                return Ok(());
            }
            Content::Plain(size, content) => (size, content),
        };
        let read = match found.name {
            ABOUT => self.note(name, size, content).map(|note| self.about(note)),
            KEY => self.note(name, size, content).map(|note| self.key = note),
            "run/events.log" => {
                let mut tee = Tee::new(content);
                self.log = Log::read(&mut tee, self.trust);
                tee.finish().map(|hashed| self.count(name, hashed))
            }
            "run/seal.json" => self.document(name, size, content).map(|seal| self.seal = seal),
            "run/summary.json" => self.document(name, size, content).map(|summary| self.summary = summary),
            "run/stdout.log" => self.stream("stdout.log", content),
            "run/stderr.log" => self.stream("stderr.log", content),
            _ => hash::hash(content, &[]).map(|hashed| self.count(name, hashed)),
        };
        if let Err(error) = read {
            self.findings.push(Finding::fault(FindingKind::Unreadable, name, format!("it cannot be read: {error}")));
        }
        Ok(())
    }

    fn count(&mut self, name: &str, hashed: Hashed) {
        self.count += 1;
        self.bytes += hashed.size;
        self.files.0.insert(name.to_owned(), hashed.sha256);
    }

    /// A file whose content is needed as well; of one that is too long only the digest.
    fn document(&mut self, name: &str, size: u64, content: &mut dyn Read) -> std::io::Result<Option<Vec<u8>>> {
        let mut tee = Tee::new(content);
        let kept = if size <= MAX_SEAL { Some(whole(&mut tee)?) } else { None };
        let hashed = tee.finish()?;
        self.count(name, hashed);
        Ok(kept)
    }

    /// What stands in a bundle beside the run.
    fn note(&mut self, name: &str, size: u64, content: &mut dyn Read) -> std::io::Result<Option<Vec<u8>>> {
        if size <= MAX_NOTE {
            return whole(content).map(Some);
        }
        self.findings.push(Finding::fault(FindingKind::Unreadable, name, format!("it has {size} bytes")));
        Ok(None)
    }

    fn stream(&mut self, name: &'static str, content: &mut dyn Read) -> std::io::Result<()> {
        let marks = if name == "stdout.log" { &self.log.stdout } else { &self.log.stderr };
        let hashed = hash::hash(content, marks)?;
        if let Some(mark) = &hashed.broken {
            let what = match hashed.size < mark.kept {
                true => {
                    format!("it ends after {} bytes, and record {} speaks of {}", hashed.size, mark.record, mark.kept)
                }
                false => format!("its first {} bytes are not those that record {} speaks of", mark.kept, mark.record),
            };
            self.findings.push(Finding::fault(FindingKind::Changed, name, what));
        }
        // What no checkpoint signs says nothing.
        let signed = self.log.proven.as_ref().map(|proven| proven.through);
        let held = hashed.held.as_ref().map(|mark| mark.record);
        let proven = marks.iter().rfind(|mark| Some(mark.record) <= signed && Some(mark.record) <= held);
        self.proven.extend(proven.cloned().map(|mark| (name, mark)));
        self.count(name, hashed);
        Ok(())
    }

    fn finish(mut self) -> Report {
        self.findings.append(&mut self.log.findings);
        self.whose();
        self.leftovers();
        let seal = match self.seal.take() {
            Some(bytes) => seal::read(&bytes, self.trust).map_err(|finding| self.findings.push(finding)).ok(),
            None => None,
        };
        let state = self.state(seal.as_ref());
        match &seal {
            Some(sealed) => self.compare(sealed),
            None => self.unsealed(state),
        }
        self.notes(seal.as_ref());
        let signers: Vec<SignedBy> =
            seal.iter().map(|sealed| sealed.signer.clone()).chain(self.log.signers.clone()).collect();
        self.vouched(&signers);
        let trusted = self.trusted(seal.as_ref());
        Report {
            run: self.log.run.as_ref().map(ToString::to_string).or(self.expected.run).unwrap_or_default(),
            sandbox: self.log.sandbox.as_ref().map(ToString::to_string).or(self.expected.sandbox).unwrap_or_default(),
            state,
            verified: clean(&self.findings),
            signer: signers.into_iter().next(),
            records: self.log.records,
            checkpoints: self.log.checkpoints,
            files: self.count,
            bytes: self.bytes,
            findings: self.findings,
            trusted,
        }
    }

    pub(super) fn fault(&mut self, kind: FindingKind, file: &str, what: impl Into<String>) {
        self.findings.push(Finding::fault(kind, file, what));
    }

    /// Whether the record is that of this run.
    fn whose(&mut self) {
        if self.log.records == 0 {
            let there = self.files.digest(EVENTS).is_some();
            let (kind, what) = if there {
                (FindingKind::Broken, "no record in it holds")
            } else {
                (FindingKind::Missing, "it is not there")
            };
            return self.fault(kind, EVENTS, what);
        }
        let (Some(run), Some(sandbox)) = (self.log.run.clone(), self.log.sandbox.clone()) else {
            return self.fault(FindingKind::Broken, EVENTS, "it does not begin with a run and its sandbox");
        };
        let expected = [self.expected.run.clone(), self.expected.sandbox.clone()];
        for ((what, found), expected) in [("run", run), ("sandbox", sandbox)].into_iter().zip(expected) {
            if let Some(expected) = expected.filter(|expected| expected != found.as_str()) {
                let what = format!("it is the record of {what} {found}, in the place of {expected}");
                return self.fault(FindingKind::Swapped, EVENTS, what);
            }
        }
    }

    /// What a write leaves that was cut short has a name that nothing looks for.
    fn leftovers(&mut self) {
        let left = |name: &&String| name.starts_with("run/.new-") || name.as_str() == PREPARED;
        let names: Vec<String> = self.files.0.keys().filter(left).cloned().collect();
        for name in names {
            self.files.0.remove(&name);
            let what = "a write that was cut short left it; it is no part of the evidence";
            self.findings.push(Finding::new(Level::Note, FindingKind::Leftover, &name, what));
        }
    }

    fn state(&self, seal: Option<&Sealed>) -> VerifiedState {
        match seal.map(|sealed| sealed.statement.predicate.closed_by) {
            Some(ClosedBy::Writer) => VerifiedState::Sealed,
            Some(ClosedBy::Recovery) => VerifiedState::Interrupted,
            None if self.expected.running => VerifiedState::Running,
            None if older::summary(self.summary.as_deref(), &self.log).is_some() => VerifiedState::Older,
            None => VerifiedState::Unsealed,
        }
    }

    /// What a bundle says of itself.
    fn about(&mut self, note: Option<Vec<u8>>) {
        let Some(bytes) = note else { return };
        match serde_json::from_slice::<About>(&bytes) {
            Ok(about) if about.version == BUNDLE_VERSION => {
                if !about.outputs {
                    self.expected.outputs = Outputs::LeftOut;
                }
                self.about = Some(about);
            }
            Ok(about) => {
                let what = format!("it has version {}, and this program knows version {BUNDLE_VERSION}", about.version);
                self.fault(FindingKind::Unreadable, ABOUT, what);
            }
            Err(error) => self.fault(FindingKind::Unreadable, ABOUT, format!("it cannot be read: {error}")),
        }
    }

    /// What a bundle says beside the run must be true as well.
    fn notes(&mut self, seal: Option<&Sealed>) {
        if let Some(about) = self.about.take() {
            let other = |id: &Option<Id>, said: &str| id.as_ref().is_some_and(|id| id.as_str() != said);
            if other(&self.log.run, &about.run) || other(&self.log.sandbox, &about.sandbox) {
                let what = format!("it speaks of run {} of sandbox {}", about.run, about.sandbox);
                self.fault(FindingKind::Swapped, ABOUT, what);
            }
        }
        if let (Some(key), Some(sealed)) = (self.key.take(), seal)
            && key != sealed.signer.public.as_bytes()
        {
            self.fault(FindingKind::Changed, KEY, "it is not the key that the seal names");
        }
    }

    /// Every key that signed must be one that somebody vouches for.
    fn vouched(&mut self, signers: &[SignedBy]) {
        let mut told: Vec<&str> = Vec::new();
        for signer in signers.iter().filter(|signer| !signer.known) {
            if told.contains(&signer.keyid.as_str()) {
                continue;
            }
            told.push(&signer.keyid);
            let kept = if signer.kept { "" } else { ", which lived as long as the process that made it" };
            self.findings.push(Finding::fault(
                FindingKind::UnknownKey,
                "",
                format!("it is signed by a key that you do not know{kept}: {}", signer.keyid),
            ));
        }
    }

    /// What can be believed, if one believes the keys.
    fn trusted(&self, seal: Option<&Sealed>) -> Vec<Trusted> {
        let mut trusted = Vec::new();
        let mut sealed_files: Vec<&str> = Vec::new();
        if let Some(sealed) = seal {
            let keyid = &sealed.signer.keyid;
            let holds = |name: &str, sha256: &str| self.files.digest(name) == Some(sha256);
            for subject in sealed.statement.subject.iter().filter(|s| holds(&s.name, &s.digest.sha256)) {
                sealed_files.push(&subject.name);
                let what = "all of it, as sealed".to_owned();
                trusted.push(Trusted { file: subject.name.clone(), whole: true, what, keyid: keyid.clone() });
            }
        }
        let Some(proven) = &self.log.proven else { return trusted };
        let mut add = |file: &str, what: String| {
            if !sealed_files.contains(&file) {
                trusted.push(Trusted { file: file.to_owned(), whole: false, what, keyid: proven.keyid.clone() });
            }
        };
        add(EVENTS, format!("records 0 to {}, as signed by the checkpoint that follows", proven.through));
        for (name, mark) in &self.proven {
            add(name, format!("the first {} bytes, as record {} says, which is signed", mark.kept, mark.record));
        }
        trusted
    }
}

/// How the seal and people call a file.
fn called(name: &str) -> &str {
    match name.strip_prefix(RUN) {
        // They go by their place: a file of the run with the name of something else is not that.
        Some(own) if own != "sandbox.yaml" && own != "outputs" && !own.starts_with(".new-") => own,
        _ if name == CONFIG => "sandbox.yaml",
        _ => name,
    }
}

fn whole(content: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).map(|_| bytes)
}
