//! The warden's program, for each kind of engine that this build has one for.

use aido_runtime::Error;

/// The program for an engine of this architecture.
pub(crate) fn program(arch: &str) -> Result<&'static [u8], Error> {
    #[cfg(warden_x86_64)]
    if arch == "x86_64" {
        return Ok(include_bytes!(concat!(env!("OUT_DIR"), "/warden-x86_64")));
    }
    #[cfg(warden_aarch64)]
    if arch == "aarch64" {
        return Ok(include_bytes!(concat!(env!("OUT_DIR"), "/warden-aarch64")));
    }
    let what =
        format!("this aido was built without its first process for engines on {arch}, which holds the deadline there");
    Err(Error::new(what).remedy(match arch {
        "x86_64" | "aarch64" => {
            format!("a release of aido has it; or build it after: rustup target add {arch}-unknown-linux-musl")
        }
        _ => "an engine on x86_64 or aarch64".to_string(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_build_on_linux_has_the_program_of_its_own_kind() {
        let program = program(std::env::consts::ARCH).unwrap();
        assert!(program.starts_with(b"\x7fELF") && program.len() < 1 << 17);
    }

    #[test]
    fn where_there_is_none_the_remedy_is_named() {
        assert!(program("riscv64").unwrap_err().remedy.is_some());
    }
}
