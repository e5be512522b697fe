//! Parts of a start that are the program's own: the filter of system calls, and a plan into what is done for it.

use aido_runtime_linux::measuring::{default_filter, install_default, own_filter, plan};
use divan::{Bencher, black_box};

const OWN: &str = include_str!("../../seccomp-profiles/default.json");

fn main() {
    divan::main();
}

/// It was compiled with this program: what is left is to choose it.
#[divan::bench]
fn filter_of_the_default_profile() -> usize {
    default_filter()
}

/// `--syscalls FILE`, twice: with and without questions.
#[divan::bench]
fn filter_of_a_file() -> usize {
    own_filter(black_box(OWN))
}

/// What the kernel takes to check and translate it, and the thread that it binds.
#[divan::bench]
fn filter_installed() {
    std::thread::spawn(install_default).join().expect("the thread that is bound");
}

/// The thread alone, to be taken off the one above.
#[divan::bench]
fn thread_without_a_filter() {
    std::thread::spawn(|| ()).join().expect("a thread");
}

#[divan::bench(args = [1, 10, 100, 1_000])]
fn plan_with_inputs(bencher: Bencher, inputs: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..inputs {
        std::fs::write(folder.path().join(format!("f{number}")), "x").expect("a file");
    }
    let at = folder.path().canonicalize().expect("the folder");
    bencher.bench(|| plan(black_box(&at), inputs));
}
