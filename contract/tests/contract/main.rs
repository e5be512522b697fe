//! What every engine owes, written once against `aido_runtime::Runtime` and run on each.
//!
//! `AIDO_CONTRACT_ENGINES="linux docker=unix:///… podman=unix:///…"` names the engines; without it Linux is judged
//! alone, and the rest counts as skipped. Docker is the reference: what it does not pass judges nobody else. Where
//! engines differ by right, `differences.rs` says so by name, and the case holds each to its own side.

#![cfg(target_os = "linux")]

mod asked;
mod bent;
mod cases;
mod differences;
mod engines;
mod heard;
mod held;
mod image;
mod judged;
mod lawful;
mod ran;
mod remains;
mod way;

use libtest_mimic::Arguments;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(order) = std::env::var_os(held::ORDER) {
        return held::child(&order);
    }
    let arguments = Arguments::from_args();
    // Whoever only lists needs no engine.
    let prepared = if arguments.list { engines::named() } else { engines::prepared() };
    let (engines, missing, room) = match prepared {
        Ok(prepared) => prepared,
        Err(why) => {
            return unprepared(&why);
        }
    };
    let conclusion = libtest_mimic::run(&arguments, judged::trials(engines, missing));
    let cleared = room.map_or(Ok(()), engines::Room::clear);
    if let Err(why) = &cleared {
        eprintln!("contract: {why}");
    }
    if conclusion.has_failed() || cleared.is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whoever named engines wants them judged; `cargo test` on a machine without busybox says what it skips.
fn unprepared(why: &str) -> ExitCode {
    if engines::are_named() || judged::must_work() {
        eprintln!("contract: {why}");
        return ExitCode::FAILURE;
    }
    eprintln!("contract: SKIPPED, nothing is judged: {why}");
    ExitCode::SUCCESS
}
