//! What the task finds, and what it cannot change.

use super::cases;
use crate::differences::Name;
use crate::engines::Engine;
use aido_runtime::MountKind;
use std::os::unix::fs::{PermissionsExt, symlink};

cases!("files":
    the_root_cannot_be_changed,
    inputs_cannot_be_changed,
    nor_by_who_owns_them_inside,
    what_is_hidden_is_not_there,
    inputs_come_as_they_are,
    modes_of_inputs_are_kept,
    odd_names_arrive,
    links_lead_nowhere_outside,
    pipes_and_sockets_of_inputs_do_not_connect,
    a_big_input_arrives_whole,
    two_thousand_inputs_arrive,
    a_single_file_is_an_input,
    texts_and_empty_places_are_there,
    nothing_of_the_host_is_there,
    no_engine_is_within_reach,
    proc_tells_nothing_and_takes_nothing,
    sys_takes_nothing,
    only_harmless_devices,
);

fn the_root_cannot_be_changed(on: &Engine) {
    let script = "for p in / /bin /etc /odd /home /dev /proc /sys; do touch $p/new 2>/dev/null && echo made $p; done
        echo x >>/etc/passwd; rm -f /bin/ls; mv /odd/link /odd/moved; chmod 777 /odd; chmod 666 /etc/passwd; ln /odd/script /odd/hard
        mkdir /newroot; rmdir /odd; touch -d @1 /odd/script; ls / /odd >/tmp/l; grep -c . /etc/passwd; test -e /bin/ls && ls /odd";
    for uid in [0, 1000] {
        let ran = on.sh(script).by_user(uid, uid).run();
        let made = if uid == 0 && on.differs(Name::RootHasDev) { "made /dev\n" } else { "" };
        let users = if uid != 0 && on.differs(Name::EtcIsTheEngines) { 2 } else { 1 };
        ran.says(&format!("{made}{users}\nclosed\ngarbage\nlink\norphan\nplain\nscript\nsetuid\n"));
    }
}

fn inputs_cannot_be_changed(on: &Engine) {
    let script = "touch new; echo x >>a; rm -f a; mv a b; chmod 777 a; ln a c; ln -s a d; mkdir e; rmdir sub; rm -rf sub; touch -d @1 a
        (: >sub/inner); mv sub sub2; truncate -s 0 a; chown 1:1 a; mknod n p; mv /workspace /w; cat a sub/inner; ls";
    let asked =
        on.sh(script).file_with("a", 0o666, "first\n").file_with("sub/inner", 0o666, "second\n").with(|project| {
            for folder in [project.to_path_buf(), project.join("sub")] {
                std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).expect("a mode");
            }
        });
    asked.run().exits(0).says("first\nsecond\na\nsub\n");
}

/// As root inside, too, who may be the owner of these files.
fn nor_by_who_owns_them_inside(on: &Engine) {
    let script =
        "echo x >>a; rm -f a; chmod 777 a; touch new; mount -o remount,rw /workspace; umount /workspace; cat a; ls";
    on.sh(script).by_user(0, 0).file("a", "first\n").run().exits(0).says("first\na\n");
}

fn what_is_hidden_is_not_there(on: &Engine) {
    let script = "find . | sort; cat .env deep/.env keys/id && echo READ; ls keys; test -e .env && echo THERE; cd keys && echo ENTERED; true";
    let asked = on
        .sh(script)
        .file(".env", "s3cret\n")
        .file("deep/.env", "s3cret\n")
        .file("deep/kept", "")
        .file("keys/id", "s3cret\n");
    let ran = asked.hiding(&[".env", "deep/.env", "keys"]).run();
    ran.exits(0).says(".\n./deep\n./deep/kept\n").is_silent_about("s3cret");
}

fn inputs_come_as_they_are(on: &Engine) {
    let asked = on.sh("cat a sub/b; test -d empty && ls -A empty | wc -l; readlink link; readlink broken; cat link; test -s none || echo zero");
    let asked = asked.file("a", "one\n").file("sub/b", [0u8, 255, 10, 13, 10]).file("none", "").with(|project| {
        std::fs::create_dir(project.join("empty")).expect("a folder");
        symlink("sub/../a", project.join("link")).expect("a link");
        symlink("nowhere/at all", project.join("broken")).expect("a link");
    });
    let ran = asked.run();
    ran.exits(0);
    assert_eq!(ran.stdout, b"one\n\x00\xff\n\r\n0\nsub/../a\nnowhere/at all\none\nzero\n", "{}", ran.account());
}

fn modes_of_inputs_are_kept(on: &Engine) {
    let asked = on.sh("stat -c '%a %n' run.sh plain wide; ./run.sh; ./plain 2>/dev/null || echo cannot");
    let asked = asked.file_with("run.sh", 0o755, "#!/bin/sh\necho ran\n").file("plain", "#!/bin/sh\necho ran\n");
    asked.file_with("wide", 0o664, "").run().exits(0).says("755 run.sh\n644 plain\n664 wide\nran\ncannot\n");
}

fn odd_names_arrive(on: &Engine) {
    let long = "l".repeat(200);
    let deep = format!("{}/x", vec!["d234567890"; 30].join("/"));
    let names = [
        " lead",
        "trail ",
        "new\nline",
        "tab\t",
        "-dash",
        "quote'\"",
        "back\\slash",
        "ünïcödé-日本",
        "*",
        "$(x)",
        "%s",
        "a:b",
        &long,
        &deep,
    ];
    let mut asked = on.sh("find . -type f -print0 | sort -z; cat ./-dash \"$(printf 'new\\nline')\"");
    for name in names {
        asked = asked.file(name, "k");
    }
    let ran = asked.run();
    let mut expected: Vec<Vec<u8>> = names.iter().map(|name| format!("./{name}\0").into_bytes()).collect();
    expected.sort();
    assert_eq!(ran.text(), String::from_utf8_lossy(&expected.concat()) + "kk", "{}", ran.account());
}

/// A link in the project means what it means inside, where no file of the host is.
fn links_lead_nowhere_outside(on: &Engine) {
    let outside = tempfile::tempdir().expect("a folder");
    let kept = outside.path().join("kept");
    std::fs::write(&kept, "s3cret\n").expect("a file");
    let script = "for l in absolute folder climbing root; do cat $l $l/kept 2>/dev/null; done; ls root/; echo over";
    let asked = on.sh(script).with(|project| {
        symlink(&kept, project.join("absolute")).expect("a link");
        symlink(outside.path(), project.join("folder")).expect("a link");
        symlink(format!("../../../../../..{}", kept.display()), project.join("climbing")).expect("a link");
        symlink("/", project.join("root")).expect("a link");
    });
    asked.run().exits(0).is_silent_about("s3cret").mentions("odd").mentions("over");
}

fn pipes_and_sockets_of_inputs_do_not_connect(on: &Engine) {
    let asked = on.sh(
        "timeout 3 sh -c 'echo x >pipe' 2>/dev/null; timeout 3 cat pipe; echo x | timeout 3 nc local:socket; echo over",
    );
    let mut listener = None;
    let asked = asked.file("a", "").with(|project| {
        listener = Some(std::os::unix::net::UnixListener::bind(project.join("socket")).expect("a socket"));
        let made = std::process::Command::new("mkfifo").arg(project.join("pipe")).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    });
    let listener = listener.expect("it is bound");
    listener.set_nonblocking(true).expect("a mode");
    asked.run().mentions("over");
    assert!(listener.accept().is_err(), "the task came out through a socket of the project");
}

fn a_big_input_arrives_whole(on: &Engine) {
    let bytes: Vec<u8> = (0..24u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
    let hex = digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    on.sh("sha256sum <big").file("big", bytes).run().exits(0).says(&format!("{hex}  -\n"));
}

fn two_thousand_inputs_arrive(on: &Engine) {
    let asked = on.sh("find . -type f | wc -l; cat */* | sort -n | tail -1; cat */* | wc -l").with(|project| {
        for folder in 0..20 {
            let folder_path = project.join(format!("f{folder}"));
            std::fs::create_dir(&folder_path).expect("a folder");
            for file in 0..100 {
                std::fs::write(folder_path.join(format!("n{file}")), format!("{}\n", folder * 100 + file))
                    .expect("a file");
            }
        }
    });
    asked.run().exits(0).says("2000\n1999\n2000\n");
}

fn a_single_file_is_an_input(on: &Engine) {
    let single = |script: &str, place: &str| {
        let mut asked = on.sh(script).file("a", "one\n").file("other", "never\n");
        let source = asked.project().join("a");
        asked.plan.mounts.retain(|mount| mount.target == "/outputs");
        asked.mount("/workspace", MountKind::Empty);
        asked.mount(place, MountKind::Input { source, hidden: Vec::new(), secret: false });
        asked
    };
    let asked = single("cat a; ls; echo x >>a; rm a; mv a b; cat a", "/workspace/a");
    asked.run().exits(0).says("one\na\none\n");
    // Anywhere else, too.
    let asked = single("cat /data/deep/only", "/data/deep/only");
    if on.differs(Name::FilesNeedAFolder) {
        assert!(asked.refused().remedy.is_some());
    } else {
        asked.run().exits(0).says("one\n");
    }
}

fn texts_and_empty_places_are_there(on: &Engine) {
    let told = || MountKind::Text { content: "told\n".into() };
    let mut asked = on.sh("cat told; echo x >>told; rm told; touch /place/x; ls -A /place | wc -l; cat told");
    asked.mount("/workspace/told", told());
    asked.mount("/place", MountKind::Empty);
    asked.run().exits(0).says("told\n0\ntold\n");
    let mut asked = on.sh("cat /etc/own; echo x >>/etc/own; rm /etc/own; cat /etc/own");
    asked.mount("/etc/own", told());
    if on.differs(Name::FilesNeedAFolder) {
        assert!(asked.refused().remedy.is_some());
    } else {
        asked.run().exits(0).says("told\ntold\n");
    }
}

fn nothing_of_the_host_is_there(on: &Engine) {
    let marked = tempfile::Builder::new().prefix("suite-of-the-host").tempdir().expect("a folder");
    std::fs::write(marked.path().join("kept"), "s3cret\n").expect("a file");
    let at = marked.path().display();
    let script = format!(
        "cat {at}/kept; find / -xdev -name 'suite-of-the-host*' 2>/dev/null; ls /root /boot /var /usr 2>/dev/null; cat /proc/mounts /proc/self/mountinfo;
        for n in /proc/[0-9]*; do ls $n/root/ 2>/dev/null; cat $n/root{at}/kept; cat $n/cwd/kept; done; echo over"
    );
    let home = std::env::var("HOME").unwrap_or_default();
    let ran = on.sh(&script).by_user(0, 0).run();
    ran.exits(0).mentions("over").is_silent_about("s3cret").is_silent_about("suite-of-the-host-");
    if home.len() > 5 {
        ran.is_silent_about(&home);
    }
}

fn no_engine_is_within_reach(on: &Engine) {
    let script = "for s in /var/run/docker.sock /run/docker.sock /run/podman/podman.sock /run/containerd/containerd.sock; do test -e $s && echo $s; done
        find / -type s 2>/dev/null; env | grep -i -e docker -e podman; echo over";
    on.sh(script).by_user(0, 0).run().exits(0).says("over\n");
}

fn proc_tells_nothing_and_takes_nothing(on: &Engine) {
    let script = "for f in kcore kallsyms keys timer_list sched_debug slabinfo; do
            head -n 5 /proc/$f 2>/dev/null | grep -v '^0000000000000000' | grep -q . && echo read $f; done
        for f in sysrq-trigger sys/kernel/core_pattern sys/kernel/hostname sys/kernel/domainname sys/vm/drop_caches sys/fs/binfmt_misc/register \
            sys/net/ipv4/ip_forward sys/kernel/modprobe sys/kernel/ns_last_pid irq/default_smp_affinity; do
            (echo x >/proc/$f) 2>/dev/null && echo wrote $f; done
        (echo 1000 >/proc/1/oom_score_adj) 2>/dev/null && echo wrote oom_score_adj of 1; echo over";
    for uid in [0, 1000] {
        let ran = on.sh(script).by_user(uid, uid).run();
        if uid == 0 && on.differs(Name::RootSeesTheEnginesProc) {
            ran.exits(0).says("read slabinfo\nwrote oom_score_adj of 1\nover\n");
        } else {
            ran.exits(0).says("over\n");
        }
    }
}

fn sys_takes_nothing(on: &Engine) {
    let script = "find /sys -type f 2>/dev/null | head -2000 | while read -r f; do (: >>$f) 2>/dev/null && echo opened $f; done
        find /sys/fs/cgroup -maxdepth 3 -type d 2>/dev/null | while read -r d; do mkdir $d/new 2>/dev/null && echo made $d; done
        cat /sys/firmware/*/* 2>/dev/null | head -c 1; echo over";
    on.sh(script).by_user(0, 0).run().exits(0).says("over\n");
}

fn only_harmless_devices(on: &Engine) {
    let script = "find /dev -type b; find /dev -type c | grep -v -x -e /dev/null -e /dev/zero -e /dev/full -e /dev/random -e /dev/urandom -e /dev/tty \
            -e /dev/console -e '/dev/pts/.*'
        mknod /tmp/m c 1 1 2>/dev/null && cat /tmp/m && echo opened; head -c 3 /dev/zero | od -An -tx1; echo lost >/dev/null; echo x >/dev/full || echo full
        (chmod 600 /dev/null || rm /dev/null || mv /dev/null /dev/x) 2>/dev/null && echo changed; test -w /dev/shm && echo shm";
    for uid in [0, 1000] {
        let changed = if uid == 0 && on.differs(Name::RootHasDev) { "changed\n" } else { "" };
        on.sh(script).by_user(uid, uid).run().says(&format!(" 00 00 00\nfull\n{changed}shm\n"));
    }
}
