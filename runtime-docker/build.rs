//! Builds the warden for each kind of engine that this tool chain can build for: a few kilobytes without any library.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Architectures of engines, and the targets whose `core` will do: the first that is installed.
const KINDS: [(&str, [&str; 2]); 2] = [
    ("x86_64", ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"]),
    ("aarch64", ["aarch64-unknown-linux-gnu", "aarch64-unknown-linux-musl"]),
];

fn main() {
    println!("cargo::rerun-if-changed=warden");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(warden_x86_64)");
    println!("cargo::rustc-check-cfg=cfg(warden_aarch64)");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let sysroot = Command::new(&rustc).args(["--print", "sysroot"]).output().ok();
    let sysroot = sysroot.and_then(|told| String::from_utf8(told.stdout).ok()).unwrap_or_default();
    let libraries = Path::new(sysroot.trim()).join("lib/rustlib");
    let host = std::env::var("HOST").unwrap_or_default();
    let linker = libraries.join(&host).join("bin").join(if cfg!(windows) { "rust-lld.exe" } else { "rust-lld" });
    let mut built = 0;
    for (kind, targets) in KINDS {
        let Some(target) = targets.into_iter().find(|target| libraries.join(target).join("lib").is_dir()) else {
            continue;
        };
        match build(&rustc, target, &linker, &out.join(format!("warden-{kind}"))) {
            Ok(()) => {
                println!("cargo::rustc-cfg=warden_{kind}");
                built += 1;
            }
            Err(why) => println!("cargo::warning=no warden for engines on {kind}: {why}"),
        }
    }
    if built == 0 {
        let remedy = "rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl";
        println!("cargo::warning=without a warden no run on a container engine is possible: {remedy}");
    }
}

fn build(rustc: &std::ffi::OsStr, target: &str, linker: &Path, output: &Path) -> Result<(), String> {
    let mut command = Command::new(rustc);
    // Flags for the project's own target are none of the warden's.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.args(["--edition", "2024", "--crate-name", "warden", "--crate-type", "bin", "--target", target]);
    command.args(["-Dwarnings", "-Copt-level=2", "-Cpanic=abort", "-Coverflow-checks=off", "-Cdebuginfo=0"]);
    command.args(["-Cstrip=symbols", "-Crelocation-model=static", "-Ctarget-feature=+crt-static"]);
    command.args(["-Clink-self-contained=no", "-Clink-arg=-nostdlib", "-Clink-arg=-static"]);
    if linker.is_file() {
        command.arg("-Clinker-flavor=ld.lld").arg(format!("-Clinker={}", linker.display()));
    } else {
        command.arg("-Clink-arg=-nostartfiles");
    }
    let done = command.arg("-o").arg(output).arg("warden/main.rs").output().map_err(|e| e.to_string())?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).replace('\n', " | ")) }
}
