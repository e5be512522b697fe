//! Work that was thought of.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// The work of a name in layer `n`.
pub(crate) fn work(name: &str, _n: usize, root: &Path) {
    match name {
        "specials" => {
            fs::remove_file(root.join("f")).unwrap();
            pipe(&root.join("f"));
            pipe(&root.join("pipe"));
            std::env::set_current_dir(root).unwrap();
            UnixListener::bind("socket").unwrap();
            std::env::set_current_dir("/").unwrap();
        }
        other => panic!("no work called {other}"),
    }
}

fn pipe(at: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, at, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
}
