//! One entry point for each fuzzer, shared with the test that replays what the fuzzers found worth keeping.
//!
//! A target takes any bytes and panics where a promise is broken; that it refuses them is no failure.

mod built;
mod documents;
mod readings;
mod room;
mod tree;

pub use room::Room;

/// The targets, by the names of their folders in `fuzz/corpus`.
pub const TARGETS: [&str; 7] = ["tar", "tar_built", "decoder", "manifest", "config", "reference", "archive"];

/// Runs one target on one input; `room` is where layers are unpacked.
pub fn run(target: &str, room: &Room, bytes: &[u8]) {
    match target {
        "tar" => room.layer(bytes.first().copied().unwrap_or(0), &built::with_checksums(bytes)),
        "tar_built" => room.layer(bytes.first().copied().unwrap_or(0), &built::archive(bytes.get(1..).unwrap_or(&[]))),
        "decoder" => documents::decoder(bytes),
        "manifest" => documents::manifest(bytes),
        "config" => documents::config(bytes),
        "reference" => documents::reference(bytes),
        "archive" => room.archive(bytes),
        other => panic!("no target is called `{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// What the fuzzers kept goes through the same entry points on every machine.
    #[test]
    fn the_corpus_of_every_target_holds() {
        let scratch = tempfile::tempdir().unwrap();
        let room = Room::new(scratch.path());
        for target in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
            let inputs = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
            let mut count = 0;
            for input in inputs {
                let path = input.unwrap().path();
                let bytes = std::fs::read(&path).unwrap();
                let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(target, &room, &bytes)));
                assert!(held.is_ok(), "{} breaks a promise", path.display());
                count += 1;
            }
            assert!(count > 2, "{target}: only {count} inputs");
        }
    }

    fn cases() -> u32 {
        std::env::var("AIDO_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(cases()))]

        /// Without a fuzzer's patience, but on every machine and for inputs that nobody has seen.
        #[test]
        fn nearly_valid_archives_break_no_promise(wish in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..160)) {
            let scratch = tempfile::tempdir().unwrap();
            run("tar_built", &Room::new(scratch.path()), &wish);
        }
    }

    /// The checks themselves are tried: the canaries see what a careless unpacker does.
    #[test]
    fn the_canaries_see_what_happens_around_a_layer() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path();
        type Harm = fn(&Path);
        let careless: [(&str, Harm); 6] = [
            ("a new file beside it", |dir| std::fs::write(dir.join("store/new"), "").unwrap()),
            ("a new file", |dir| std::fs::write(dir.join("new"), "").unwrap()),
            ("a written file", |dir| std::fs::write(dir.join("canary"), "dead!").unwrap()),
            ("a mode", |dir| {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
                std::fs::set_permissions(dir.join("closed"), mode).unwrap();
            }),
            ("a removed file", |dir| std::fs::remove_file(dir.join("closed/inside")).unwrap()),
            ("a hard link", |dir| std::fs::hard_link(dir.join("canary"), dir.join("store/layer/stolen")).unwrap()),
        ];
        for (what, harm) in careless {
            let dir = dir.join(what);
            std::fs::create_dir(&dir).unwrap();
            let room = Room::new(&dir);
            let harmed = || room.around(|layer| harm(layer.parent().unwrap().parent().unwrap()));
            assert!(std::panic::catch_unwind(harmed).is_err(), "{what} goes unnoticed");
        }
    }
}
