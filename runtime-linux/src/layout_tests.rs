//! Plans against the operations they become: no privilege is needed for that.

use super::*;

fn mount(target: &str, kind: MountKind) -> Mount {
    Mount { target: target.into(), kind }
}

fn input(source: &Path, hidden: &[&str]) -> MountKind {
    MountKind::Input { source: source.into(), hidden: hidden.iter().map(|h| h.to_string()).collect(), secret: false }
}

/// The operations as short lines; system mounts, which every sandbox has, are left out.
fn lines(ops: &[Op]) -> Vec<String> {
    let text = |c: &std::ffi::CString| c.to_string_lossy().into_owned();
    let ro = |attributes: &u64| if attributes & libc::MOUNT_ATTR_RDONLY != 0 { "ro" } else { "rw" };
    let line = |op: &Op| match op {
        Op::Folder { path, mode, owned } => {
            format!("folder {} {mode:o}{}", text(path), if *owned { " own" } else { "" })
        }
        Op::File { path, .. } => format!("file {}", text(path)),
        Op::Link { path, target } => format!("link {} {}", text(path), text(target)),
        Op::Whiteout { path } => format!("hide {}", text(path)),
        Op::Lower { source, slot } => format!("lower {slot} {}", text(&source.path)),
        Op::StagedLower { path, slot } => format!("lower {slot} base:{}", text(path)),
        Op::Overlay { at, data, writable } => {
            format!("overlay {} {}{}", text(at), text(data), if *writable { " rw" } else { "" })
        }
        Op::EnterRoot { at } => format!("root {}", text(at)),
        Op::Bind { source, target, attributes } => {
            format!("bind {} {} {}", ro(attributes), text(&source.path), text(target))
        }
        Op::Staged { path, target, attributes } => {
            format!("bind {} base:{} {}", ro(attributes), text(path), text(target))
        }
        Op::Move { path, target, attributes } => {
            format!("move {} base:{} {}", ro(attributes), text(path), text(target))
        }
        Op::Proc { .. } => "proc".into(),
        Op::Pts { .. } => "pts".into(),
        Op::SealRoot => "seal".into(),
    };
    let system = |line: &String| {
        ["dev", "void", "proc", "pts", "shm", "skel/dev", "skel/proc"].iter().any(|word| {
            line.split([' ', ':'])
                .any(|part| part == *word || part.starts_with(&format!("{word}/")) || part == "void.d")
        })
    };
    ops.iter().map(line).filter(|line| !system(line)).collect()
}

#[test]
fn an_image_root_is_an_overlay_with_the_holes_on_top_and_layers_below() {
    let host = tempfile::tempdir().unwrap();
    let at = |name: &str| host.path().canonicalize().unwrap().join(name);
    for folder in ["low", "high", "project"] {
        std::fs::create_dir(at(folder)).unwrap();
    }
    let mounts = [
        mount("/outputs", MountKind::OutputFolder { path: String::new() }),
        mount("/workspace", input(&at("project"), &[".git", "a/.env"])),
        mount("/workspace/out", MountKind::OutputFolder { path: "out".into() }),
        mount("/workspace/b/run.log", MountKind::OutputFile { path: "b/run.log".into() }),
        mount("/tmp", MountKind::Scratch { mode: 0o1777 }),
    ];
    let ops = compile(&Ground::Layers(vec![at("high"), at("low")]), &mounts, &[], None).unwrap();
    let (high, low, project) = (at("high"), at("low"), at("project"));
    let expected = [
        "folder skel 755".to_string(),
        "folder skel/outputs 755".into(),
        "folder skel/workspace 755".into(),
        "folder p1 755".into(),
        "folder o1 755".into(),
        "hide p1/.git".into(),
        "folder p1/a 755".into(),
        "hide p1/a/.env".into(),
        "folder p1/out 755".into(),
        "folder out/out 755 own".into(),
        "folder p1/b 755".into(),
        "file p1/b/run.log".into(),
        "folder out/b 755 own".into(),
        "file out/b/run.log".into(),
        "folder skel/tmp 755".into(),
        "folder s4 1777 own".into(),
        "lower 0 base:skel".into(),
        format!("lower 1 {}", high.display()),
        format!("lower 2 {}", low.display()),
        "overlay /proc/fs/root userxattr,lowerdir=/proc/self/fd/128:/proc/self/fd/129:/proc/self/fd/130".into(),
        "root root".into(),
        "bind rw base:out outputs".into(),
        "lower 0 base:p1".into(),
        format!("lower 1 {}", project.display()),
        "overlay /proc/fs/o1 userxattr,lowerdir=/proc/self/fd/128:/proc/self/fd/129".into(),
        "move ro base:o1 workspace".into(),
        "bind rw base:out/out workspace/out".into(),
        "bind rw base:out/b/run.log workspace/b/run.log".into(),
        "bind rw base:s4 tmp".into(),
        "seal".into(),
    ];
    assert_eq!(lines(&ops), expected);
}

#[test]
fn a_host_root_needs_no_overlay_and_every_folder_is_shown_through_a_layer() {
    let host = tempfile::tempdir().unwrap();
    let at = |name: &str| host.path().canonicalize().unwrap().join(name);
    for folder in ["root/usr/bin", "root/home/me", "project"] {
        std::fs::create_dir_all(at(folder)).unwrap();
    }
    std::os::unix::fs::symlink("usr/bin", at("root/bin")).unwrap();
    let mounts = [
        mount("/workspace", MountKind::Empty),
        mount("/workspace/data", input(&at("project"), &[])),
        mount("/home/aido", MountKind::Scratch { mode: 0o700 }),
    ];
    let texts = [Text { path: "etc/passwd".into(), content: "x".into(), over: false }];
    let ops = compile(&Ground::Host { root: at("root") }, &mounts, &texts, None).unwrap();
    let kept: Vec<String> = lines(&ops).into_iter().filter(|line| !line.contains("root/dev")).collect();
    let expected = [
        "folder root/proc 755".to_string(),
        "folder root/etc 755".into(),
        "file root/etc/passwd".into(),
        "folder skel 755".into(),
        "link root/bin usr/bin".into(),
        "folder root/usr 755".into(),
        "folder root/workspace 755".into(),
        "folder root/workspace/data 755".into(),
        "folder p1 755".into(),
        "folder o1 755".into(),
        "folder root/home 755".into(),
        "folder root/home/aido 755".into(),
        "folder s2 700 own".into(),
        "root root".into(),
        format!("bind ro {} usr", at("root/usr").display()),
        "lower 0 base:p1".into(),
        format!("lower 1 {}", at("project").display()),
        "overlay /proc/fs/o1 userxattr,lowerdir=/proc/self/fd/128:/proc/self/fd/129".into(),
        "move ro base:o1 workspace/data".into(),
        "bind rw base:s2 home/aido".into(),
        "seal".into(),
    ];
    let mut sorted = (kept, expected.to_vec());
    sorted.0.retain(|line| line != "folder skel 755");
    sorted.1.retain(|line| line != "folder skel 755");
    assert_eq!(sorted.0, sorted.1);
}

#[test]
fn targets_that_climb_or_lie_in_a_file_are_refused() {
    let host = tempfile::tempdir().unwrap();
    let file = host.path().join("file");
    std::fs::write(&file, "").unwrap();
    let ground = Ground::Layers(vec![host.path().into()]);
    let scratch = || MountKind::Scratch { mode: 0o755 };
    for target in ["workspace", "/", "/a/../etc", "/a//b", "/./a", "", "/a/."] {
        assert!(compile(&ground, &[mount(target, scratch())], &[], None).is_err(), "{target:?}");
    }
    let output = |path: &str| mount("/outputs", MountKind::OutputFolder { path: path.into() });
    for path in ["../x", "/x", "a/../b", "a//b"] {
        assert!(compile(&ground, &[output(path)], &[], None).is_err(), "{path:?}");
    }
    let inside_a_file = [mount("/f", input(&file, &[])), mount("/f/x", scratch())];
    assert!(compile(&ground, &inside_a_file, &[], None).err().unwrap().what.contains("which is a file"));
    let climbing = [mount("/w", input(host.path(), &["../secret"]))];
    assert!(compile(&ground, &climbing, &[], None).is_err());
}
