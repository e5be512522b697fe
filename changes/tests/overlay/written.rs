//! Work that was thought of.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// The work of a name in layer `n`.
pub(crate) fn work(name: &str, n: usize, root: &Path) {
    match name {
        "specials" => {
            fs::remove_file(root.join("f")).unwrap();
            pipe(&root.join("f"));
            pipe(&root.join("pipe"));
            std::env::set_current_dir(root).unwrap();
            UnixListener::bind("socket").unwrap();
            std::env::set_current_dir("/").unwrap();
        }
        "marks" if n == 0 => {}
        "marks" => {
            fs::write(root.join("opaque/mine"), "x").unwrap();
            fs::create_dir_all(root.join("white")).unwrap();
            fs::write(root.join("white/again"), "x").unwrap();
        }
        // What a task calls like a mark is none.
        "forged" => {
            fs::create_dir(root.join("new")).unwrap();
            for (file, name) in
                [("new", "user.overlay.opaque"), ("kept", "user.overlay.whiteout"), ("f", "user.overlay.redirect")]
            {
                let _ = rustix::fs::setxattr(root.join(file), name, b"y", rustix::fs::XattrFlags::empty());
            }
        }
        other => panic!("no work called {other}"),
    }
}

fn pipe(at: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, at, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
}
