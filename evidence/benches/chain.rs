//! Events into their chain, and out of it.

use aido_evidence::measuring::{read, write};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use serde_json::{Value, json};

const EVENTS: usize = 1_000;

fn main() {
    divan::main();
}

fn denied() -> Value {
    json!({"what": "connect", "address": "192.0.2.7:443", "errno": "EPERM", "pid": 17, "program": "/usr/bin/python3"})
}

#[divan::bench]
fn written(bencher: Bencher) {
    let data = denied();
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| write(EVENTS, black_box(&data)));
}

#[divan::bench]
fn read_and_held(bencher: Bencher) {
    let lines = write(EVENTS, &denied());
    assert!(read(&lines), "a chain holds");
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| read(black_box(&lines)));
}
