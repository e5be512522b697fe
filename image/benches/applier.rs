//! A layer from its tar stream to its folder, in a file system in memory where there is one: the disk is not what is asked about.

use aido_image::measuring::unpack;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use std::path::Path;

fn main() {
    divan::main();
}

fn room() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder for the layers")
}

fn archive(files: usize, size: usize) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let content = vec![b'x'; size];
    for number in 0..files {
        let mut header = tar::Header::new_ustar();
        header.set_size(size as u64);
        header.set_mode(0o644);
        let path = format!("usr/lib/python3/d{}/f{number}.py", number / 50);
        archive.append_data(&mut header, path, &content[..]).expect("an archive in memory");
    }
    archive.into_inner().expect("an archive in memory")
}

fn unpacked(bencher: Bencher, files: usize, size: usize) {
    let (room, tar) = (room(), archive(files, size));
    let mut count = 0;
    let next = || {
        count += 1;
        let layer = room.path().join(format!("layer{count}"));
        std::fs::create_dir(&layer).expect("a folder for a layer");
        layer
    };
    bencher
        .counter(ItemsCount::new(files))
        .counter(BytesCount::new(tar.len()))
        .with_inputs(next)
        .bench_local_values(|layer| unpack(&tar, &layer));
}

#[divan::bench(sample_count = 20)]
fn a_thousand_small_files(bencher: Bencher) {
    unpacked(bencher, 1_000, 4 << 10);
}

#[divan::bench(sample_count = 20)]
fn eight_large_files(bencher: Bencher) {
    unpacked(bencher, 8, 4 << 20);
}
