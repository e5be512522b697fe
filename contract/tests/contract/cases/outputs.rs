//! What is brought out of the sandbox, and what is not.

use super::cases;
use crate::asked::MIB;
use crate::differences::Name;
use crate::engines::Engine;
use crate::ran::Ran;
use aido_runtime::Limit;
use sha2::{Digest, Sha256};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

cases!("outputs":
    files_come_with_their_digests,
    links_pipes_sockets_and_devices_do_not,
    links_to_the_host_bring_nothing,
    set_id_bits_and_modes_do_not,
    closed_files_come_all_the_same,
    hard_links_are_files,
    odd_names_are_told_and_left_out,
    deep_trees_have_an_end,
    a_sparse_file_stays_small,
    a_file_that_is_larger_than_everything_is_left_out,
    more_than_the_disk_is_left_out,
    many_files_come,
    nothing_is_brought_out_of_nothing,
    a_run_that_failed_has_outputs_too,
    secrets_are_replaced,
    exact_output_is_exact,
    replaced_mounts_are_outputs,
);

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".into(), |text, byte| format!("{text}{byte:02x}"))
}

/// Every file that came out is listed as it is, and every file that is listed came out.
#[track_caller]
fn honest(ran: &Ran) {
    let mut found = Vec::new();
    let mut folders = vec![ran.outputs()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let kind = entry.file_type().expect("a kind");
            let mode = entry.metadata().expect("a file").permissions().mode() & 0o7777;
            assert!(
                kind.is_dir() && mode == 0o755 || kind.is_file() && mode == 0o644,
                "{:?} came out as {kind:?} {mode:o}",
                entry.path()
            );
            if kind.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(ran.outputs()).expect("below").to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    let listed: Vec<String> = ran.collected().artifacts.iter().map(|artifact| artifact.path.clone()).collect();
    assert_eq!(found, listed, "what came out, and what is listed, in order; {}", ran.account());
    for artifact in &ran.collected().artifacts {
        let bytes = ran.file(&artifact.path);
        assert_eq!((artifact.size, &artifact.digest), (bytes.len() as u64, &digest(&bytes)), "{}", artifact.path);
    }
}

fn files_come_with_their_digests(on: &Engine) {
    let ran = on.sh("cd /outputs; printf one >a; : >empty; mkdir -p d/e; probe pattern 1 300000 >d/e/binary; printf 'a\\r\\nb' >'with space'").run();
    ran.exits(0);
    honest(&ran);
    let paths: Vec<&str> = ran.collected().artifacts.iter().map(|artifact| artifact.path.as_str()).collect();
    assert_eq!(paths, ["a", "d/e/binary", "empty", "with space"]);
    assert_eq!(ran.artifact("a").digest, digest(b"one"));
    assert_eq!(ran.artifact("d/e/binary").size, 300_000);
}

fn links_pipes_sockets_and_devices_do_not(on: &Engine) {
    let script = "cd /outputs; echo x >real; ln -s real link; mkdir d; ln -s d folder; ln -s /nowhere broken; mkfifo pipe; probe place /outputs/socket; mknod dev c 1 3 2>/dev/null; true";
    let ran = on.sh(script).by_user(0, 0).run();
    ran.exits(0);
    honest(&ran);
    let links = [("link", "link"), ("folder", "link"), ("broken", "link"), ("pipe", "pipe"), ("socket", "socket")];
    for (path, word) in links {
        if path == "socket" && on.differs(Name::SocketsAreNotTold) {
            let told = ran.collected().omitted.iter().any(|omitted| omitted.path == path);
            assert!(!told, "the difference is gone: {}", ran.account());
        } else {
            assert!(ran.omitted(path).contains(word), "{path}: {}", ran.account());
        }
    }
    assert_eq!(ran.collected().artifacts.len(), 1, "{}", ran.account());
}

fn links_to_the_host_bring_nothing(on: &Engine) {
    let outside = tempfile::tempdir().expect("a folder");
    std::fs::write(outside.path().join("kept"), "s3cret").expect("a file");
    std::fs::set_permissions(outside.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let at = outside.path().display();
    let script = format!(
        "cd /outputs; ln -s {at}/kept a; ln -s {at} b; ln -s /etc/passwd c; ln -s /proc/self/environ d; ln -s .. up; mkdir out2; ln -s {at} out/e; ln -s /outputs/f f"
    );
    let ran = on.sh(&script).output_folder("out").run();
    honest(&ran);
    assert!(ran.collected().artifacts.is_empty(), "{}", ran.account());
    assert!(std::fs::read_dir(outside.path()).map(Iterator::count).is_ok_and(|count| count == 1));
}

fn set_id_bits_and_modes_do_not(on: &Engine) {
    let ran = on.sh("cd /outputs; for m in 4755 2755 6777 0777 1777; do echo $m >f$m; chmod $m f$m; done; mkdir d; chmod 3777 d; echo x >d/x; chmod 777 /outputs").run();
    ran.exits(0);
    honest(&ran);
    assert_eq!(ran.collected().artifacts.len(), 6);
}

fn closed_files_come_all_the_same(on: &Engine) {
    for uid in [0, 1000] {
        let ran =
            on.sh("cd /outputs; mkdir d; echo in >d/x; echo x >f; chmod 0 f d/x; chmod 0 d").by_user(uid, uid).run();
        ran.exits(0);
        honest(&ran);
        assert_eq!((ran.file("f"), ran.file("d/x")), (b"x\n".to_vec(), b"in\n".to_vec()));
        // They are the caller's.
        let me = std::fs::metadata("/proc/self").expect("this process").uid();
        assert_eq!(std::fs::metadata(ran.outputs().join("f")).expect("it").uid(), me);
    }
}

fn hard_links_are_files(on: &Engine) {
    let ran = on.sh("cd /outputs; echo same >a; ln a b; mkdir d; ln a d/c").run();
    ran.exits(0);
    honest(&ran);
    for path in ["a", "b", "d/c"] {
        assert_eq!(ran.file(path), b"same\n");
        assert_eq!(std::fs::metadata(ran.outputs().join(path)).expect("it").nlink(), 1, "{path}");
    }
}

fn odd_names_are_told_and_left_out(on: &Engine) {
    let script = "cd /outputs; for n in \"$(printf 'a\\nb')\" \"$(printf 'esc\\033[31m')\" \"$(printf 'turn\\342\\200\\256x')\" \"$(printf 'bad\\377')\"; do echo x >\"$n\"; done
        echo k >-dash; echo k >'sp ace'; echo k >'ünï'; echo k >'*'; echo k >'back\\slash'; echo k >...";
    let ran = on.sh(script).run();
    ran.exits(0);
    honest(&ran);
    assert_eq!(ran.collected().artifacts.len(), 6, "{}", ran.account());
    assert_eq!(ran.collected().omitted.len(), 4, "{}", ran.account());
    for omitted in &ran.collected().omitted {
        assert!(omitted.path.chars().all(|c| c.is_ascii_graphic()), "{:?}", omitted.path);
    }
}

fn deep_trees_have_an_end(on: &Engine) {
    let script = "cd /outputs; echo x >top; i=0; while [ $i -lt 90 ]; do mkdir d && cd d || exit 1; echo $i >f; i=$((i+1)); done";
    let ran = on.sh(script).run();
    ran.exits(0);
    honest(&ran);
    let deepest = ran.collected().artifacts.iter().map(|artifact| artifact.path.matches('/').count()).max();
    assert!(deepest.is_some_and(|depth| (60..=64).contains(&depth)), "{deepest:?}");
    assert!(!ran.collected().omitted.is_empty(), "the rest is not told of");
}

fn a_sparse_file_stays_small(on: &Engine) {
    let script =
        "cd /outputs; truncate -s 20M sparse; printf end | dd of=sparse bs=1M seek=19 conv=notrunc 2>/dev/null";
    let ran = on.sh(script).run();
    ran.exits(0);
    honest(&ran);
    assert_eq!(ran.artifact("sparse").size, 20 << 20);
    let found = std::fs::metadata(ran.outputs().join("sparse")).expect("it");
    assert!(found.len() == 20 << 20 && found.blocks() * 512 < 8 << 20, "{} bytes on the disk", found.blocks() * 512);
}

fn a_file_that_is_larger_than_everything_is_left_out(on: &Engine) {
    let ran = on.sh("cd /outputs; echo a >a; truncate -s 900G huge; echo z >z").run();
    ran.exits(0);
    honest(&ran);
    assert!(ran.omitted("huge").contains("966367641600"), "{}", ran.account());
    let came = ran.collected().artifacts.len();
    if on.differs(Name::OutputsAreOneStream) {
        // By the order of the folder; what did not come is told of.
        let told = ran.collected().omitted.iter().any(|omitted| omitted.why.contains("follows"));
        assert!(came == 2 || told, "{}", ran.account());
    } else {
        assert_eq!(came, 2, "{}", ran.account());
    }
}

fn more_than_the_disk_is_left_out(on: &Engine) {
    let script = "cd /outputs; truncate -s 6M a; truncate -s 6M b; echo small >c";
    let ran = on.sh(script).plan(|plan| plan.limits.disk = Limit::default(8 * MIB)).run();
    ran.exits(0);
    honest(&ran);
    let total: u64 = ran.collected().artifacts.iter().map(|artifact| artifact.size).sum();
    assert!(
        total <= 8 * MIB && ran.collected().artifacts.len() == 2 && ran.collected().omitted.len() == 1,
        "{}",
        ran.account()
    );
}

fn many_files_come(on: &Engine) {
    let ran = on.sh("cd /outputs; i=0; while [ $i -lt 1500 ]; do echo $i >f$i; i=$((i+1)); done").run();
    ran.exits(0);
    honest(&ran);
    assert_eq!(ran.collected().artifacts.len(), 1500);
}

fn nothing_is_brought_out_of_nothing(on: &Engine) {
    let ran = on.sh("true").run();
    assert_eq!((ran.collected().artifacts.len(), ran.collected().omitted.len()), (0, 0), "{}", ran.account());
}

fn a_run_that_failed_has_outputs_too(on: &Engine) {
    let ran = on.sh("echo part >/outputs/part; exit 9").run();
    assert_eq!(ran.exits(9).file("part"), b"part\n");
    let ran = on.sh("echo part >/outputs/part; sleep 100").deadline(1_500, 500).run();
    assert_eq!(ran.file("part"), b"part\n");
    let ran = on.sh("echo part >/outputs/part; kill -9 $$").run();
    assert_eq!(ran.file("part"), b"part\n");
}

const SECRET: &str = "correct-horse-battery-staple";

fn secrets_are_replaced(on: &Engine) {
    let script = "cd /outputs; echo \"before $TOKEN after\" >a; cat /workspace/key >>a; printf %s \"$TOKEN\" | base64 >b; echo clean >c; echo x >\"$TOKEN\"; mkdir -p d/$TOKEN; (head -c 100000 /dev/zero; printf %s \"$TOKEN\") >far";
    let asked = on.sh(script).secret("TOKEN", SECRET).secret_file("key", b"-----a key of many letters-----\n");
    let ran = asked.run();
    ran.exits(0);
    honest(&ran);
    let listing = format!("{:?}", ran.collected());
    assert!(!listing.contains(SECRET), "{listing}");
    for path in ["a", "b", "far"] {
        let text = String::from_utf8_lossy(&ran.file(path)).into_owned();
        assert!(
            !text.contains(SECRET) && !text.contains("many letters") && !text.contains("Y29ycmVjdC1ob3JzZS"),
            "{path}: {text:.200}"
        );
        assert!(ran.artifact(path).redacted > 0, "{path}: {}", ran.account());
    }
    assert_eq!((ran.file("c"), ran.artifact("c").redacted), (b"clean\n".to_vec(), 0));
    assert_eq!(ran.collected().artifacts.len(), 4, "{}", ran.account());
}

fn exact_output_is_exact(on: &Engine) {
    let asked = on.sh("echo \"$TOKEN\" >/outputs/a").secret("TOKEN", SECRET).plan(|plan| plan.exact_output = true);
    assert_eq!(asked.run().file("a"), format!("{SECRET}\n").as_bytes());
}

/// The task replaces its output places by what it likes: only what is a file is brought out.
fn replaced_mounts_are_outputs(on: &Engine) {
    let script = "rm -f log; ln -s /etc/passwd log; rm -rf out; ln -s /etc out; mkdir /outputs/extra; ln -s ../../etc /outputs/extra/up; echo over";
    let ran = on.sh(script).output_folder("out").output_file("log").run();
    ran.mentions("over");
    honest(&ran);
    for artifact in &ran.collected().artifacts {
        assert!(!ran.file(&artifact.path).starts_with(b"root:"), "{}", artifact.path);
    }
}
