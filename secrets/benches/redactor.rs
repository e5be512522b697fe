//! A log of ordinary lines through the redactor, with and without secrets to look for.

use aido_secrets::{Redactor, Secrets};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// 4 MiB of lines as tools print them; none holds a secret.
fn lines() -> Vec<u8> {
    let mut log = Vec::new();
    for number in 0.. {
        log.extend_from_slice(
            format!(
                "2026-01-02T03:04:05Z INFO worker-{}: request {number} took {} ms, status 200\n",
                number % 8,
                number % 977
            )
            .as_bytes(),
        );
        if log.len() >= 4 << 20 {
            return log;
        }
    }
    log
}

/// `secrets`: how many values are looked for.
#[divan::bench(args = [0, 1, 8, 64])]
fn lines_of_a_log(bencher: Bencher, secrets: usize) {
    let values =
        (0..secrets).map(|number| (format!("TOKEN_{number}"), format!("k{number:04}-Zx9dQ27hLw0PtR5yVb{number:08x}")));
    let (secrets, log) = (Secrets::new(values), lines());
    let mut room = Vec::new();
    bencher.counter(BytesCount::new(log.len())).bench_local(|| {
        let mut redactor = Redactor::new(&secrets, true);
        for piece in log.chunks(128 << 10) {
            black_box(redactor.pass(black_box(piece), &mut room));
        }
        redactor.finish(&mut room);
    });
}

/// Needles of many secrets in all their forms: once a run.
#[divan::bench(args = [1, 8, 64])]
fn made_ready(bencher: Bencher, secrets: usize) {
    let values: Vec<(String, String)> = (0..secrets)
        .map(|number| (format!("TOKEN_{number}"), format!("k{number:04}-Zx9dQ27hLw0PtR5yVb{number:08x}")))
        .collect();
    bencher.bench(|| Secrets::new(values.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))));
}
