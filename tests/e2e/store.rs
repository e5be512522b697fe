//! The image store given a close look, and images given away.

use crate::output::find;
use crate::project::Project;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Brings an image in under a name.
fn import(p: &Project, images: &Path, image: &str, name: &str) -> String {
    p.aido(["image", "import", &format!("oci:{}/{image}", images.display()), name]).ok().text()
}

/// A file of some layer that the caller may write, and its layer's folder.
fn victim(p: &Project, name: &str) -> PathBuf {
    let store = p.home().join(".local/share/aido/images/layers");
    let mut todo = vec![store];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_file() && entry.file_name() == name {
                return entry.path();
            }
            if kind.is_dir() {
                todo.push(entry.path());
            }
        }
    }
    panic!("no {name} in the store");
}

#[test]
fn what_was_damaged_is_named_and_a_new_pull_mends_it() {
    let images = images!();
    let p = Project::new();
    import(&p, &images, "tiny", "tools:1");
    p.aido(["image", "verify"]).ok().prints("sound").says("are as they were pulled");
    let file = victim(&p, "motd");
    let whole = fs::metadata(&file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "from somewhere else").unwrap();
    let out = p.aido(["image", "verify", "tools:1"]);
    out.code(1).prints("damaged").prints("motd").says("aido image verify --remove");
    let told = p.aido(["image", "verify", "--json"]).code(1).json();
    assert_eq!(find(&told, "sound").unwrap(), false);
    p.aido(["image", "verify", "--remove", "--quiet"]).code(1).prints("damaged, removed");
    p.aido(["run", "--offline", "--runtime", "tools:1", "--", "true"]).refused(&["tools:1"]);
    import(&p, &images, "tiny", "tools:1");
    p.aido(["image", "verify", "tools:1"]).ok();
    assert_eq!(fs::metadata(victim(&p, "motd")).unwrap().permissions(), whole.permissions());
    p.aido(["image", "verify", "nothing:2"]).refused(&["nothing:2"]);
}

#[test]
fn real_layers_are_sound_whatever_they_hold() {
    let images = images!();
    let p = Project::new();
    for image in ["layers", "layers-zstd", "configured", "multi"] {
        import(&p, &images, image, &format!("{image}:1"));
    }
    let out = p.aido(["image", "verify", "--json"]);
    assert_eq!(find(&out.ok().json(), "sound").unwrap(), true, "{}", out.text());
}

/// An image of one layer, whose files and folders nobody but root may read. Made by the system's tar.
fn closed(p: &Project) -> String {
    let script = r#"set -e
        mkdir -p tree/shut/deep out/blobs/sha256
        echo secret >tree/shut/deep/file
        echo x >tree/none
        tar -C tree --mode=000 --owner=0 --group=0 -cf layer.tar .
        rm -r tree
        put() { sum=$(sha256sum <$1 | cut -d' ' -f1); size=$(wc -c <$1); cp $1 out/blobs/sha256/$sum; }
        case $(uname -m) in x86_64) arch=amd64;; aarch64) arch=arm64;; *) arch=$(uname -m);; esac
        v=application/vnd.oci.image
        put layer.tar
        layer="{\"mediaType\":\"$v.layer.v1.tar\",\"digest\":\"sha256:$sum\",\"size\":$size}"
        id=$sum
        echo "{\"os\":\"linux\",\"architecture\":\"$arch\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$sum\"]}}" >config
        put config
        config="{\"mediaType\":\"$v.config.v1+json\",\"digest\":\"sha256:$sum\",\"size\":$size}"
        echo "{\"schemaVersion\":2,\"config\":$config,\"layers\":[$layer]}" >manifest
        put manifest
        manifest="{\"mediaType\":\"$v.manifest.v1+json\",\"digest\":\"sha256:$sum\",\"size\":$size}"
        echo "{\"schemaVersion\":2,\"manifests\":[$manifest]}" >out/index.json
        echo '{"imageLayoutVersion":"1.0.0"}' >out/oci-layout
        echo $id"#;
    let made = Command::new("sh").args(["-c", script]).current_dir(p.path()).output().expect("a shell is needed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

#[test]
fn what_nobody_may_read_is_read_and_stays_closed() {
    let p = Project::new();
    let layer = closed(&p);
    p.aido(["image", "import", "oci:out", "closed"]).ok();
    p.aido(["image", "verify", "closed"]).ok();
    p.aido(["image", "export", "closed", "-o", "again/"]).ok();
    assert_eq!(
        fs::read(p.path().join("again/blobs/sha256").join(&layer)).unwrap(),
        fs::read(p.path().join("layer.tar")).unwrap()
    );
    let store = p.home().join(".local/share/aido/images/layers");
    for flavour in fs::read_dir(store).unwrap().flatten() {
        let folder = flavour.path().join(&layer);
        if let Ok(there) = fs::symlink_metadata(&folder) {
            assert_eq!(there.permissions().mode() & 0o7777, 0, "{}", folder.display());
        }
    }
    p.aido(["image", "remove", "closed"]).ok();
}

#[test]
fn an_image_goes_out_and_comes_back_as_itself() {
    let images = images!();
    let p = Project::new();
    import(&p, &images, "layers", "here:1");
    let diff_ids = |p: &Project, source: &str| {
        let out = p.aido(["image", "import", source, "back:1", "--json"]);
        find(&out.ok().json(), "layers").unwrap().to_string()
    };
    let first = diff_ids(&p, &format!("oci:{}/layers", images.display()));
    let mut ids = Vec::new();
    for (n, (format, source)) in
        [("oci-archive", "oci-archive"), ("docker-archive", "docker-archive"), ("oci", "oci")].into_iter().enumerate()
    {
        for compress in [None, Some("gzip"), Some("zstd")] {
            let file = format!("out{n}{}", compress.unwrap_or(""));
            let mut line = vec!["image", "export", "here:1", "-o", &file, "--format", format, "--json"];
            line.extend(compress.map(|_| "--compress").into_iter().chain(compress));
            ids.push(find(&p.aido(line).ok().json(), "config").unwrap().to_string());
            let other = Project::new();
            let from = format!("{source}:{}", p.path().join(&file).display());
            assert_eq!(diff_ids(&other, &from), first, "{format} {compress:?}");
            other.aido(["image", "verify"]).ok();
        }
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "the image's ID changed on its way out: {ids:?}");
    // To standard output, in one stream.
    let piped = p.aido(["image", "export", "here:1", "-o", "-"]);
    assert!(piped.ok().stdout == fs::read(p.path().join("out0")).unwrap());
}

#[test]
fn an_export_replaces_nothing_unasked_and_leaves_nothing_half_done() {
    let images = images!();
    let p = Project::new();
    import(&p, &images, "tiny", "tools:1");
    p.write("there.tar", "mine");
    fs::create_dir(p.path().join("empty")).unwrap();
    fs::create_dir(p.path().join("full")).unwrap();
    p.write("full/mine", "mine");
    p.aido(["image", "export", "tools:1", "-o", "there.tar"]).refused(&["there.tar", "--force"]);
    assert_eq!(p.read("there.tar"), "mine");
    p.aido(["image", "export", "tools:1", "-o", "full"]).refused(&["full"]);
    p.aido(["image", "export", "tools:1", "-o", "full", "--force"]).refused(&["full"]);
    p.aido(["image", "export", "tools:1", "-o", "-", "--format", "oci"]).refused(&["oci-archive"]);
    p.aido(["image", "export", "none:1", "-o", "x.tar"]).refused(&["none:1"]);
    p.aido(["image", "export", "tools:1", "-o", "missing/x.tar"]).refused(&["missing"]);
    p.aido(["image", "export", "tools:1", "-o", "empty"]).ok();
    assert!(p.path().join("empty/index.json").is_file());
    p.aido(["image", "export", "tools:1", "-o", "there.tar", "--force"]).ok();
    assert!(p.read("full/mine") == "mine" && fs::metadata(p.path().join("there.tar")).unwrap().len() > 10_000);
    // What is damaged does not go out, and leaves no file.
    let file = victim(&p, "motd");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "something else").unwrap();
    p.aido(["image", "export", "tools:1", "-o", "bad.tar"]).refused(&["motd", "aido image verify"]);
    p.aido(["image", "export", "tools:1", "-o", "bad/"]).refused(&["motd"]);
    let mut left: Vec<String> =
        fs::read_dir(p.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    left.retain(|name| name != ".aido");
    assert_eq!(left, ["empty", "full", "there.tar"]);
}
