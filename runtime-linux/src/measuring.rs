//! What `benches/start.rs` measures: parts of a start that are the program's own, each by itself.

use crate::layout::{Ground, compile};
use crate::seccomp::Filters;
use aido_runtime::{Mount, MountKind, Record, SyscallProfile};
use std::path::Path;

/// Instructions of the filter that the default profile means; it was compiled when this program was.
pub fn default_filter() -> usize {
    filter(&SyscallProfile::Default)
}

/// The same of a profile that is compiled now.
pub fn own_filter(json: &str) -> usize {
    filter(&SyscallProfile::File { path: "own.json".into(), profile: json.to_string() })
}

fn filter(profile: &SyscallProfile) -> usize {
    let filters = Filters::of(profile, Record::default()).unwrap_or_else(|e| panic!("{e}"));
    filters.plain.instructions().len()
}

/// Installs the default profile's filter in the calling thread, which it binds from now on.
pub fn install_default() {
    rustix::thread::set_no_new_privs(true).unwrap_or_else(|e| panic!("no-new-privs: {e}"));
    let filters = Filters::of(&SyscallProfile::Default, Record::default()).unwrap_or_else(|e| panic!("{e}"));
    crate::sys::filter::install(filters.plain.instructions()).unwrap_or_else(|e| panic!("the filter: {e:?}"));
}

/// Operations that so many inputs below one folder of the host become.
pub fn plan(folder: &Path, inputs: usize) -> usize {
    let input = |number| Mount {
        target: format!("/workspace/f{number}"),
        kind: MountKind::Input { source: folder.join(format!("f{number}")), hidden: Vec::new(), secret: false },
    };
    let mounts: Vec<Mount> = (0..inputs).map(input).collect();
    let ground = Ground::Layers(vec![folder.to_path_buf()]);
    compile(&ground, &mounts, &[], None).unwrap_or_else(|e| panic!("{e}")).len()
}
