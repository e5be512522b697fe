//! Compiles the seccomp profiles for the target machine, in debug builds as in release builds, so that a start
//! pays for no parsing and a broken profile breaks the build.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/seccomp/compile/mod.rs"]
#[expect(dead_code, reason = "what is asked of a machine at run time")]
mod compile;

const PROFILES: &str = "../seccomp-profiles";

fn main() {
    println!("cargo::rerun-if-changed={PROFILES}");
    println!("cargo::rerun-if-changed=src/seccomp/compile");
    println!("cargo::rerun-if-changed=build.rs");
    // Elsewhere the crate is empty, and the build script is still run.
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("Cargo tells build scripts the target");
    let Some(machine) = compile::Machine::named(&arch) else {
        panic!("aido's Linux runtime knows x86_64 and aarch64; for {arch}, add it to src/seccomp/compile/machine.rs");
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo tells build scripts where to write"));
    for name in ["default", "strict", "guard"] {
        let json = Path::new(PROFILES).join(format!("{name}.json"));
        let upper = name.to_uppercase();
        let mut text = emit(&json, machine, compile::Hear::Nothing, &upper);
        // Nobody listens to the guard: it is aido's own.
        let heard = [
            (compile::Hear::Connections, "CONNECTIONS"),
            (compile::Hear::Changes, "CHANGES"),
            (compile::Hear::Reads, "READS"),
        ];
        for (hear, what) in heard.iter().filter(|_| name != "guard") {
            text += &emit(&json, machine, *hear, &format!("{upper}_{what}"));
        }
        let file = out.join(format!("seccomp_{name}.rs"));
        fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// A profile's program as a Rust array.
fn emit(profile: &Path, machine: compile::Machine, hear: compile::Hear, name: &str) -> String {
    let json = fs::read_to_string(profile).unwrap_or_else(|error| panic!("{}: {error}", profile.display()));
    let program = compile::read(&json, machine)
        .and_then(|profile| compile::compile(&[], &profile, machine, hear))
        .unwrap_or_else(|error| panic!("{}: {error}", profile.display()));
    let mut text = format!("static {name}: &[libc::sock_filter] = &[\n");
    for compile::Instruction { code, jt, jf, k } in program {
        writeln!(text, "    libc::sock_filter {{ code: {code:#x}, jt: {jt}, jf: {jf}, k: {k:#x} }},")
            .expect("a string takes what is written to it");
    }
    text.push_str("];\n");
    text
}
