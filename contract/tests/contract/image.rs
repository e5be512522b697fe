//! The image that all engines get: busybox, the probe, and files that a task must not get anything from.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What it is called in an engine.
pub(crate) const REFERENCE: &str = "aido-contract:suite";

/// Writes it as a Docker archive, which both aido's store and every engine read.
pub(crate) fn build(folder: &Path) -> Result<PathBuf, String> {
    let layer = layer(folder)?;
    let diff_id = hex(&layer);
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
    })
    .to_string();
    let name = format!("{}.json", hex(config.as_bytes()));
    let path = format!("{diff_id}/layer.tar");
    let manifest = serde_json::json!([{ "Config": name, "RepoTags": [REFERENCE], "Layers": [path] }]).to_string();
    let mut archive = tar::Builder::new(Vec::new());
    let parts: [(&str, &[u8]); 3] =
        [(&name, config.as_bytes()), (&path, &layer), ("manifest.json", manifest.as_bytes())];
    for (name, data) in parts {
        put(&mut archive, name, 0o644, data)?;
    }
    let file = folder.join("image.tar");
    std::fs::write(&file, archive.into_inner().map_err(said)?).map_err(said)?;
    Ok(file)
}

fn layer(folder: &Path) -> Result<Vec<u8>, String> {
    let busybox = busybox()?;
    let bytes = std::fs::read(&busybox).map_err(said)?;
    let probe = compile(folder)?;
    let mut layer = tar::Builder::new(Vec::new());
    for (name, mode) in [("bin", 0o755), ("etc", 0o755), ("odd", 0o755), ("home", 0o755), ("tmp", 0o1777)] {
        entry(&mut layer, tar::EntryType::Directory, name, mode, "", &[])?;
    }
    put(&mut layer, "bin/busybox", 0o755, &bytes)?;
    let applets = Command::new(&busybox).arg("--list").output().map_err(said)?;
    for applet in String::from_utf8_lossy(&applets.stdout).lines().filter(|applet| *applet != "busybox") {
        entry(&mut layer, tar::EntryType::Symlink, &format!("bin/{applet}"), 0o777, "busybox", &[])?;
    }
    put(&mut layer, "bin/probe", 0o755, &probe)?;
    put(&mut layer, "etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
    put(&mut layer, "etc/group", 0o644, b"root:x:0:\n")?;
    // A program of root's that whoever runs it becomes, two that cannot be executed, and one that is for root alone.
    put(&mut layer, "odd/setuid", 0o4755, &probe)?;
    put(&mut layer, "odd/plain", 0o644, b"#!/bin/sh\necho never\n")?;
    put(&mut layer, "odd/garbage", 0o755, b"\x01\x02\x03 no format that a kernel knows\n")?;
    put(&mut layer, "odd/orphan", 0o755, b"#!/no/such/interpreter\n")?;
    put(&mut layer, "odd/script", 0o755, b"#!/bin/sh\necho \"script $*\"\n")?;
    put(&mut layer, "odd/closed", 0o600, b"for root\n")?;
    entry(&mut layer, tar::EntryType::Symlink, "odd/link", 0o777, "script", &[])?;
    layer.into_inner().map_err(said)
}

fn put(archive: &mut tar::Builder<Vec<u8>>, name: &str, mode: u32, data: &[u8]) -> Result<(), String> {
    entry(archive, tar::EntryType::Regular, name, mode, "", data)
}

fn entry(
    archive: &mut tar::Builder<Vec<u8>>,
    kind: tar::EntryType,
    name: &str,
    mode: u32,
    link: &str,
    data: &[u8],
) -> Result<(), String> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header.set_size(data.len() as u64);
    if link.is_empty() {
        archive.append_data(&mut header, name, data).map_err(said)
    } else {
        archive.append_link(&mut header, name, link).map_err(said)
    }
}

/// The machine's own, which must be a static program.
fn busybox() -> Result<PathBuf, String> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let missing = || "busybox is missing (apt-get install busybox-static)".to_string();
    let found = std::env::split_paths(&folders).map(|folder| folder.join("busybox")).find(|path| path.is_file());
    let path = found.ok_or_else(missing)?;
    let head = std::fs::read(&path).map_err(said)?;
    let dynamic = head.iter().take(4096).copied().collect::<Vec<u8>>().windows(8).any(|at| at == b"ld-linux");
    if dynamic { Err(format!("{} is not static (apt-get install busybox-static)", path.display())) } else { Ok(path) }
}

fn compile(folder: &Path) -> Result<Vec<u8>, String> {
    let (source, probe) = (folder.join("probe.c"), folder.join("probe"));
    std::fs::write(&source, include_str!("probe.c")).map_err(said)?;
    let made = Command::new("cc").args(["-static", "-O1", "-o"]).args([&probe, &source]).output();
    let made = made.map_err(|e| format!("cc: {e} (apt-get install gcc libc6-dev)"))?;
    if !made.status.success() {
        return Err(format!("cc could not compile the probe: {}", String::from_utf8_lossy(&made.stderr)));
    }
    std::fs::read(&probe).map_err(said)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
