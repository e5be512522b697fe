//! Bundles: the same run gives the same bytes, and hostile ones are refused with words.

use crate::verify::one;
use aido_evidence::{FindingKind, Report, Trust, verify_bundle, verify_folder};
use proptest::prelude::*;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

const ROOM: u64 = 1 << 20;

fn exported() -> (tempfile::TempDir, Vec<u8>, Trust) {
    let (dir, _project, run, trust) = one();
    let mut bundle = Vec::new();
    run.export(&mut bundle, Path::new("test"), "test", &mut |_| {}).unwrap();
    let mut again = Vec::new();
    run.export(&mut again, Path::new("test"), "test", &mut |_| {}).unwrap();
    assert_eq!(bundle, again, "there is one way to write a run");
    (dir, bundle, trust)
}

fn tar_of(bundle: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    zstd::Decoder::new(bundle).unwrap().read_to_end(&mut tar).unwrap();
    tar
}

fn packed(tar: &[u8]) -> Vec<u8> {
    zstd::encode_all(tar, 3).unwrap()
}

/// Why it was refused.
#[track_caller]
fn refused(bundle: &[u8], trust: &Trust) -> String {
    let report = verify_bundle(bundle, ROOM, trust).unwrap();
    assert!(!report.verified, "{report:#?}");
    let why = report.findings.iter().find(|f| f.kind == FindingKind::Unreadable && f.file.is_empty());
    why.unwrap_or_else(|| panic!("{report:#?}")).what.clone()
}

#[test]
fn a_bundle_holds_everything_and_other_programs_unpack_it() {
    let (_dir, bundle, trust) = exported();
    let report = verify_bundle(&bundle[..], ROOM, &trust).unwrap();
    assert!(report.verified && report.findings.is_empty() && report.files == 11, "{report:#?}");
    assert_eq!(verify_bundle(&bundle[..], ROOM, &Trust::default()).unwrap().findings.len(), 1);
    let place = tempfile::tempdir().unwrap();
    let mut tar = std::process::Command::new("tar")
        .args(["-x", "-C"])
        .arg(place.path())
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(&tar_of(&bundle)).unwrap();
    assert!(tar.wait().unwrap().success());
    let unpacked = verify_folder(place.path(), &trust).unwrap();
    assert!(unpacked.len() == 1 && unpacked[0].verified && unpacked[0].findings.is_empty(), "{unpacked:#?}");
    fs::write(place.path().join("outputs/a.txt"), "b").unwrap();
    assert!(!verify_folder(place.path(), &trust).unwrap()[0].verified);
}

#[test]
fn a_cut_bundle_and_what_follows_after_one_are_refused() {
    let (_dir, bundle, trust) = exported();
    for end in (0..bundle.len()).step_by(7) {
        refused(&bundle[..end], &trust);
    }
    for after in [&b"x"[..], &packed(b""), &bundle] {
        assert!(refused(&[&bundle, after].concat(), &trust).contains("follows"));
    }
    let tar = tar_of(&bundle);
    for end in (0..tar.len()).step_by(256) {
        refused(&packed(&tar[..end]), &trust);
    }
    assert!(refused(&packed(&[&tar[..], &[0; 512]].concat()), &trust).contains("follows"));
    let said = refused(&tar, &trust);
    assert!(said.contains("no bundle"), "what is not compressed: {said}");
}

/// The bundle with other entries: name, kind, size in the header, content.
fn with(bundle: &[u8], add: &[(&str, tar::EntryType, u64, &[u8])]) -> Vec<u8> {
    let mut tar = tar_of(bundle);
    tar.truncate(tar.len() - 1024);
    for (name, kind, size, content) in add {
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(*size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(*kind);
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend_from_slice(&[0; 1024]);
    packed(&tar)
}

#[test]
fn hostile_entries_are_refused_and_cost_little() {
    use tar::EntryType::*;
    let (_dir, bundle, trust) = exported();
    let refused =
        |name: &str, kind, size, content: &[u8]| refused(&with(&bundle, &[(name, kind, size, content)]), &trust);
    // The last of an honest bundle is `sandbox/sandbox.yaml`.
    for name in ["/etc/passwd", "../x", "run/../../x", "outputs/./x", "outputs//x", "zzz", "run/a/b", "sandbox/x", ""] {
        assert!(refused(name, Regular, 0, b"").contains("no file of a run"), "{name}");
    }
    assert!(refused("sandbox/sandbox.yaml", Regular, 0, b"").contains("sorted"), "a name that comes twice");
    assert!(refused("run/z", Regular, 0, b"").contains("sorted"));
    for (kind, word) in [
        (Symlink, "symbolic link"),
        (Link, "hard link"),
        (Directory, "folder"),
        (Fifo, "FIFO"),
        (Char, "device"),
        (GNUSparse, "kind"),
    ] {
        assert!(refused("sandbox/z", kind, 0, b"").contains(word), "{word}");
    }
    assert!(refused("sandbox/z", XHeader, 1 << 30, b"").contains("header of"));
    assert!(refused("sandbox/z", XGlobalHeader, 10, b"10 a=bcd\n.").contains("kind"));
    // An entry that could be, were it not for its size.
    let tar = tar_of(&bundle);
    let first = tar::Header::from_byte_slice(&tar[..512]).entry_size().unwrap() as usize;
    let keep = 512 + first.next_multiple_of(512);
    let mut huge = tar[..keep].to_vec();
    let mut header = tar::Header::new_ustar();
    header.set_path("outputs/big").unwrap();
    header.set_size(1 << 50);
    for set in [tar::Header::set_uid, tar::Header::set_gid, tar::Header::set_mtime] {
        set(&mut header, 0);
    }
    header.set_mode(0o644);
    header.set_entry_type(Regular);
    header.set_cksum();
    huge.extend_from_slice(header.as_bytes());
    assert!(self::refused(&packed(&huge), &trust).contains("more than may be read"));
}

#[test]
fn a_bomb_ends_at_its_bound() {
    let (_dir, _bundle, trust) = exported();
    // Four gigabytes of zeros in some hundred kilobytes.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..4096 {
        encoder.write_all(&[0; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let began = Instant::now();
    refused(&bomb, &trust);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn every_changed_byte_of_the_archive_is_found() {
    let (_dir, bundle, trust) = exported();
    let tar = tar_of(&bundle);
    // `made_by` is the one word in it that nothing holds: it says who packed, and proves nothing.
    let made_by = tar.windows(7).position(|w| w == b"made_by").unwrap();
    let free = made_by + 11..made_by + 15;
    assert_eq!(&tar[free.clone()], b"test");
    for at in (0..tar.len()).filter(|at| !free.contains(at)) {
        let mut other = tar.clone();
        other[at] ^= [1, 2, 4, 8, 16, 32, 64, 128, 255][at % 9];
        let report = verify_bundle(&packed(&other)[..], ROOM, &trust).unwrap();
        assert!(!report.verified, "byte {at}: {report:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]
    #[test]
    fn anything_is_read_safely(bytes in prop::collection::vec(any::<u8>(), 0..2000), wrap: bool) {
        let bundle = if wrap { packed(&bytes) } else { bytes };
        let report: Report = verify_bundle(&bundle[..], ROOM, &Trust::default()).unwrap();
        prop_assert!(!report.verified);
    }
}

#[test]
fn long_names_travel() {
    let (_dir, project) = crate::project();
    let sandbox = crate::verify::new_sandbox(&project, aido_evidence::Kind::Single);
    let mut facts = aido_evidence::Facts::default();
    for name in ["ä".repeat(120), format!("{}/{}", "d".repeat(200), "e".repeat(200))] {
        let path = sandbox.outputs().join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &name).unwrap();
        facts.outputs.push((name.clone(), aido_evidence::sha256_hex(name.as_bytes())));
    }
    let recording = crate::begin(&sandbox, 10).unwrap();
    recording.seal(&serde_json::json!({"version": 3}), facts).unwrap().settle().unwrap();
    let run = sandbox.runs().unwrap().remove(0);
    let mut bundle = Vec::new();
    run.export(&mut bundle, Path::new("x"), "test", &mut |_| {}).unwrap();
    let report = verify_bundle(&bundle[..], ROOM, &crate::verify::trust(&project)).unwrap();
    assert!(report.verified, "{report:#?}");
}
