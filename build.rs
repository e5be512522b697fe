//! How the released program is linked: the functions that ordinary commands call lie side by side (`ci/near` finds them),
//! with the constants and the data at the end of the file, so that a start reads a third of it from the disk.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

const NEAR: &str = "ci/near.txt";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={NEAR}");
    println!("cargo::rerun-if-env-changed=AIDO_LINK");
    println!("cargo::rerun-if-env-changed=AIDO_MAP");
    let cargo = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    // `ci/static` asks for it: there the linker is known, and names of functions are written so that the list knows them.
    if env::var("AIDO_LINK").as_deref() != Ok("near") || cargo("OS") != "linux" || cargo("ARCH") != "x86_64" {
        return;
    }
    let list = fs::read_to_string(NEAR).unwrap_or_else(|e| panic!("{NEAR}: {e}"));
    let script =
        PathBuf::from(env::var_os("OUT_DIR").expect("Cargo tells build scripts where to write")).join("near.ld");
    fs::write(&script, linker_script(&list)).unwrap_or_else(|e| panic!("{}: {e}", script.display()));
    // What the loader has to adjust takes 6 KB instead of 500, and is read at every start.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    // For `ci/near`: where everything came to lie. The program stays the same, byte for byte.
    if let Ok(map) = env::var("AIDO_MAP") {
        println!("cargo::rustc-link-arg-bins=-Wl,-Map={map}");
    }
}

/// In the file: what unwinds, the far functions; then what a start touches: relocations, constants, near functions, data.
/// The kernel reads around the end of the data first, before anything else of the program.
fn linker_script(list: &str) -> String {
    let mut script = String::from("SECTIONS { .text.near : {\n");
    for name in list.lines().filter(|line| !line.is_empty()) {
        let _ = writeln!(script, "  *(.text.{name} .text.unlikely.{name})");
    }
    script += "} } INSERT BEFORE .tdata;\n\
        SECTIONS { .text : { *libc.a:*(.text .text.*) *(.text) } } INSERT AFTER .bss;\n\
        SECTIONS { .rodata.far : { *libring-*:*(.rodata .rodata.*) *libzstd*:*(.rodata .rodata.*) } } INSERT BEFORE .eh_frame_hdr;\n\
        SECTIONS { .text.far : { *(.text.*) } } INSERT AFTER .eh_frame;\n\
        SECTIONS { .relr.dyn : { *(.relr.dyn) } .rodata : { *(.rodata .rodata.*) } } INSERT AFTER .text.far;\n";
    script
}
