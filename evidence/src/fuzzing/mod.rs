//! One entry point for each fuzzer of stored files, shared with the test that replays what the fuzzers found worth
//! keeping.
//!
//! A target takes any bytes and panics where a promise is broken; that it refuses them is no failure.

mod bundles;
mod chains;
mod documents;

/// The targets, by the names of their folders in `fuzz/corpus`.
pub const TARGETS: [&str; 6] = ["chain", "chain_built", "state", "seal", "anchor", "bundle"];

/// Runs one target on one input.
pub fn run(target: &str, bytes: &[u8]) {
    match target {
        "chain" => chains::any(bytes),
        "chain_built" => chains::any(&chains::built(bytes)),
        "state" => documents::state(bytes),
        "seal" => documents::seal(bytes),
        "anchor" => documents::anchor(bytes),
        "bundle" => bundles::any(bytes),
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
        for target in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
            let inputs = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
            let mut count = 0;
            for input in inputs {
                let path = input.unwrap().path();
                let bytes = std::fs::read(&path).unwrap();
                let held = std::panic::catch_unwind(|| run(target, &bytes));
                assert!(held.is_ok(), "{} breaks a promise", path.display());
                count += 1;
            }
            assert!(count > 2, "{target}: only {count} inputs");
        }
    }

    fn cases() -> u32 {
        std::env::var("AIDO_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(500)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(cases()))]

        /// Without a fuzzer's patience, but on every machine and for inputs that nobody has seen.
        #[test]
        fn nearly_valid_chains_break_no_promise(wish in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..200)) {
            run("chain_built", &wish);
        }
    }
}
