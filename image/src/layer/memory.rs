//! Streams that would fill the memory of whoever unpacks them, unpacked in a process of their own.

use super::{Ownership, Total, unpack};
use crate::recipe::Pen;
use crate::{Error, Kind, beneath, limits};
use std::io::{BufReader, Read};
use std::process::Command;
use std::sync::Arc;

/// What all layers in flight together may add to the memory of the process: the paths they remember,
/// headers that are being read, the buffers of their streams, recipes and lists.
const MOST: u64 = limits::HELD_BYTES + 2 * limits::HELD_SHARE + 10 * (1 << 20);

const CHILD: &str = "AIDO_IMAGE_MEMORY_CASE";

/// Entries whose bytes take no memory worth the name while they are measured.
#[derive(Clone, Copy)]
enum Entries {
    /// With long names that have a number between these, for ever.
    Numbered(u8, &'static str, &'static str),
    /// The same ones so often, then a last one.
    Again(fn() -> Vec<u8>, u64, fn() -> Vec<u8>),
}

struct Stream<'a> {
    entries: Entries,
    /// What comes again and again, and the last one.
    again: &'a (Vec<u8>, Vec<u8>),
    number: u64,
    bytes: Vec<u8>,
    at: usize,
}

impl Stream<'_> {
    fn current(&self) -> &[u8] {
        match self.entries {
            Entries::Numbered(..) => &self.bytes,
            Entries::Again(_, times, _) if self.number <= times => &self.again.0,
            Entries::Again(_, times, _) if self.number == times + 1 => &self.again.1,
            Entries::Again(..) => &[],
        }
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.number == 0 || self.at == self.current().len() {
            (self.number, self.at) = (self.number + 1, 0);
            if let Entries::Numbered(_, start, _) = self.entries {
                let digits = 512 + start.len();
                self.bytes[digits..digits + DIGITS].copy_from_slice(format!("{:0>DIGITS$}", self.number).as_bytes());
            }
        }
        let got = (&self.current()[self.at..]).read(into)?;
        self.at += got;
        Ok(got)
    }
}

fn entry(kind: u8, name: &str, data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o755);
    header.set_size(data.len() as u64);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + rest.to_string().len();
        length = rest + length.to_string().len();
        data.extend_from_slice(format!("{length} {key}=").as_bytes());
        data.extend_from_slice(value);
        data.push(b'\n');
    }
    entry(b'x', "p", &data)
}

/// Name, entries, and what must come of them.
type Case = (&'static str, Entries, Option<Kind>);

const DIGITS: usize = 240;

fn long(kind: u8, start: &str, end: &str) -> Vec<u8> {
    let name = format!("{start}{}{end}", "0".repeat(DIGITS));
    [entry(b'L', "l", name.as_bytes()), entry(kind, "l", b"")].concat()
}

const WHITEOUTS: Case = ("whiteouts", Entries::Numbered(b'0', ".wh.", ""), Some(Kind::Limit));

const CASES: [Case; 6] = [
    ("folders", Entries::Numbered(b'5', "", "/"), Some(Kind::Limit)),
    WHITEOUTS,
    ("pipes", Entries::Numbered(b'6', "", ""), Some(Kind::Limit)),
    ("attributes", Entries::Again(attributes, 100, || entry(b'5', "d/", b"")), None),
    (
        "tiny records",
        Entries::Again(|| pax(&vec![("SCHILY.xattr.", &b""[..]); 40_000]), 1, Vec::new),
        Some(Kind::Limit),
    ),
    ("extents", Entries::Again(extents, 4, Vec::new), None),
];

fn attributes() -> Vec<u8> {
    let names: Vec<String> = (0..16).map(|at| format!("SCHILY.xattr.user.{at}")).collect();
    let records: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &[b'v'; 60_000][..])).collect();
    [pax(&records), entry(b'5', "d/", b"")].concat()
}

fn extents() -> Vec<u8> {
    let map: Vec<String> = (0..limits::EXTENTS).map(|at| format!("{},0", 2 * at)).collect();
    let (size, blocks, map) = ((2 * limits::EXTENTS - 2).to_string(), map.len().to_string(), map.join(","));
    let records = [("size", &size), ("numblocks", &blocks), ("name", &"f".to_owned()), ("map", &map)];
    let keys = records.map(|(key, _)| format!("GNU.sparse.{key}"));
    let records: Vec<_> = keys.iter().zip(records).map(|(key, (_, value))| (key.as_str(), value.as_bytes())).collect();
    [pax(&records), entry(b'0', "f", b"")].concat()
}

/// Peak of this process' resident memory, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn run((name, entries, meant): Case, again: &(Vec<u8>, Vec<u8>), total: &Arc<Total>) {
    // So many folders take long on a disk.
    let quick = (name == "folders").then(|| tempfile::tempdir_in("/dev/shm").ok()).flatten();
    let scratch = quick.unwrap_or_else(|| tempfile::tempdir().unwrap());
    let folder = scratch.path().join("layer");
    std::fs::create_dir(&folder).unwrap();
    let root = beneath::own_folder(&folder).unwrap();
    let bytes = if let Entries::Numbered(kind, start, end) = entries { long(kind, start, end) } else { Vec::new() };
    let stream = Stream { entries, again, number: 0, bytes, at: 0 };
    let stream = BufReader::with_capacity(limits::BUFFER_BYTES, stream);
    let (recipe, list) = (Pen::beside(&folder).unwrap(), std::fs::File::create(scratch.path().join("list")).unwrap());
    let made = unpack(stream, root, Ownership::Squash, recipe, list, total).map(|_| ());
    assert_eq!(made.as_ref().err().map(|e: &Error| e.kind), meant, "{name}: {made:?}");
}

/// Runs as the child of the test below, and does nothing otherwise.
#[test]
fn one_case() {
    let Ok(wanted) = std::env::var(CHILD) else { return };
    let case = CASES[wanted.parse::<usize>().unwrap()];
    let again = match case.1 {
        Entries::Numbered(..) => Default::default(),
        Entries::Again(entry, _, last) => (entry(), last()),
    };
    // Making that has left its own peak behind.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let total = Arc::<Total>::default();
    let (before, start) = (peak(), std::time::Instant::now());
    std::thread::scope(|scope| {
        for layer in 0..limits::LAYERS_AT_ONCE {
            // Folders take long to make: of these there is one layer, beside others that need memory.
            let case = if layer > 0 && case.0 == "folders" { WHITEOUTS } else { case };
            let (again, total) = (&again, &total);
            scope.spawn(move || run(case, again, total));
        }
    });
    println!("grew by {} bytes in {:?}", peak() - before, start.elapsed());
}

#[test]
fn layers_in_flight_take_bounded_memory_whatever_they_hold() {
    for (number, (name, ..)) in CASES.iter().enumerate() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "layer::memory::one_case", "--nocapture"]).env(CHILD, number.to_string());
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
        let grew = said.split("grew by ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        let grew: u64 = grew.parse().unwrap();
        println!(
            "{name}: {} KiB, {}",
            grew >> 10,
            said.split(" in ").last().unwrap_or_default().lines().next().unwrap_or_default()
        );
        assert!(grew <= MOST, "{name}: {grew} bytes, and {MOST} is the most");
    }
}
