//! Where an attack is let loose: a project with bait, a host that listens, and the tools of its area.

use super::head::{Attack, Kind};
use super::room::Room;
use crate::host;
use crate::project::Project;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::{env, fs};
use tempfile::TempDir;

/// What all attacks of an area share.
pub(crate) struct Tools {
    programs: PathBuf,
    /// Keeps what was compiled, where `ci/test` had not done it.
    _made: Option<TempDir>,
    /// An image is unpacked once for all.
    store: Arc<Project>,
}

impl Tools {
    pub(crate) fn for_area(area: &str) -> Tools {
        static STORE: Mutex<Weak<Project>> = Mutex::new(Weak::new());
        let mut shared = STORE.lock().unwrap_or_else(|e| e.into_inner());
        let store = shared.upgrade().unwrap_or_else(|| Arc::new(Project::new()));
        *shared = Arc::downgrade(&store);
        if let Some(ready) = env::var_os("AIDO_ATTACKS") {
            return Tools { programs: Path::new(&ready).join(area), _made: None, store };
        }
        let made = tempfile::Builder::new().prefix("aido-attacks-").tempdir().expect("a temporary folder");
        let compile = super::attacks().join("compile");
        let status = Command::new("sh").arg(&compile).arg(made.path()).arg(area).status().expect("sh");
        assert!(status.success(), "{} {area}: {status}", compile.display());
        Tools { programs: made.path().join(area), _made: Some(made), store }
    }
}

pub(crate) struct Field {
    pub(crate) project: Project,
    pub(crate) mark: String,
    /// What the attack is told of its aims.
    aims: BTreeMap<&'static str, String>,
    store: Arc<Project>,
    task: Vec<String>,
    /// Held open for as long as the field is there.
    _tcp: TcpListener,
    _udp: UdpSocket,
    _sockets: [UnixListener; 3],
    _datagrams: UnixDatagram,
    /// On an input: who feels it could hold the host up with one.
    _lock: fs::File,
}

impl Field {
    pub(crate) fn prepared(attack: &Attack, tools: &Tools) -> Field {
        let project = bait();
        let mark = host::marker();
        let name = format!("aido-escape-{mark}");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at_home = project.home().join("host.sock");
        let of_name = SocketAddr::from_abstract_name(&name).unwrap();
        let bound = |path: &Path| UnixListener::bind(path).unwrap();
        let sockets =
            [UnixListener::bind_addr(&of_name).unwrap(), bound(&at_home), bound(&project.path().join("folder/socket"))];
        let aims = BTreeMap::from([
            ("AIM_TCP", tcp.local_addr().unwrap().port().to_string()),
            ("AIM_UDP", udp.local_addr().unwrap().port().to_string()),
            ("AIM_ABSTRACT", name),
            ("AIM_DATAGRAMS", host_path(&project.home().join("datagrams"))),
            ("AIM_SOCKET", host_path(&at_home)),
            ("AIM_HOME", host_path(&project.home())),
            ("AIM_PROJECT", host_path(&project.path())),
            ("AIM_PID", std::process::id().to_string()),
        ]);
        let lock = fs::File::open(project.path().join("input")).unwrap();
        lock.lock().unwrap();
        let datagrams = UnixDatagram::bind(project.home().join("datagrams")).unwrap();
        let task = placed(attack, tools, &project, &mark);
        let store = tools.store.clone();
        Field {
            project,
            mark,
            aims,
            store,
            task,
            _tcp: tcp,
            _udp: udp,
            _sockets: sockets,
            _datagrams: datagrams,
            _lock: lock,
        }
    }

    fn place(&self) -> PathBuf {
        self.project.path().parent().unwrap().to_path_buf()
    }

    /// The attack under aido, which is given descriptors that it must not pass on.
    pub(crate) fn inside(&self, attack: &Attack, room: Room, around: Option<&str>) -> Command {
        let mut command = self.leaking();
        if let Some(name) = around {
            command.arg("sh").arg(script("around", name));
        }
        command.arg(host::aido()).args(["run", "--quiet"]);
        for (key, value) in self.aims.iter().chain([(&"AIM_TMP", &"/tmp".to_string())]) {
            command.arg("-e").arg(format!("{key}={value}"));
        }
        command.args(room.runtime(attack.kind)).args(&attack.options).arg("--").args(&self.task);
        command
    }

    /// The attack without aido, with its words in a file: what it leaves behind may hold a pipe.
    pub(crate) fn outside(&self, weakened: Option<&str>) -> (Command, PathBuf) {
        let mut command = self.leaking();
        if let Some(name) = weakened {
            command.arg("sh").arg(script("weakened", name));
        }
        command.args(&self.task).envs(&self.aims);
        for (key, folder) in [("AIM_TMP", "tmp"), ("AIDO_OUTPUTS", "outputs")] {
            let path = self.place().join(folder);
            fs::create_dir_all(&path).unwrap();
            command.env(key, path);
        }
        let words = self.place().join("words");
        let file = fs::File::create(&words).unwrap();
        // In a process group of its own: an attack may signal all of its group.
        command.stderr(file.try_clone().unwrap()).stdout(file).process_group(0);
        (command, words)
    }

    fn leaking(&self) -> Command {
        let mut command = self.project.command(["-c", "exec 7<\"$1\" 8<\"$2\"; shift 2; exec \"$@\"", "sh"]);
        let mut shell = Command::new("sh");
        shell.args(command.get_args()).arg(self.project.home().join("secret")).arg(self.project.home());
        shell.current_dir(self.project.path()).env_clear().stdin(Stdio::null());
        let env: Vec<(OsString, Option<OsString>)> =
            command.get_envs().map(|(k, v)| (k.into(), v.map(Into::into))).collect();
        shell.envs(env.into_iter().filter_map(|(k, v)| Some((k, v?))));
        shell.env("XDG_DATA_HOME", self.store.home());
        command = shell;
        command
    }

    /// The program of `judge/` over what was left.
    pub(crate) fn judged(&self, name: &str, left: &[(&str, OsString)]) -> super::verdict::Verdict {
        let mut command = Command::new("python3");
        command.arg("-B").arg(super::attacks().join("judge").join(name).with_extension("py"));
        command.env("JUDGE_MARK", &self.mark).env("JUDGE_PROJECT", self.project.path());
        command.env("JUDGE_AIDO", host::aido()).env("HOME", self.project.home());
        command.envs(left.iter().map(|(k, v)| (k, v))).stdin(Stdio::null());
        let out = command.output().expect("python3");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        super::verdict::Verdict::told(&text).unwrap_or_else(|| {
            let why = String::from_utf8_lossy(&out.stderr).into_owned();
            super::verdict::Verdict::Silent(format!("judge {name} ({}): {text}{why}", out.status))
        })
    }

    /// Ends what an attack that succeeded has left, by its mark.
    pub(crate) fn clear(&self) {
        for _ in 0..20 {
            let left = host::alive(&self.mark);
            if left.is_empty() {
                return;
            }
            for pid in left.iter().filter_map(|line| line.split(':').next()?.parse().ok()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("these could not be ended: {:?}", host::alive(&self.mark));
    }
}

pub(crate) fn script(folder: &str, name: &str) -> PathBuf {
    super::attacks().join(folder).join(name).with_extension("sh")
}

/// With a sign before it, so that nobody takes it for a path of the sandbox's and translates it.
fn host_path(path: &Path) -> String {
    format!("@{}", path.display())
}

/// A project and a home with what an attack might want.
fn bait() -> Project {
    let p = Project::with(&[
        ("input", "in\n"),
        ("folder/inner", "inner\n"),
        (".env", "PASSWORD=of-the-project\n"),
        ("folder/.env", "PASSWORD=of-the-folder\n"),
        (".git/config", "[remote]\n"),
    ]);
    fs::create_dir(p.home().join(".ssh")).unwrap();
    for (name, text) in [("secret", "a file of the host\n"), (".ssh/id_ed25519", "PRIVATE\n")] {
        fs::write(p.home().join(name), text).unwrap();
    }
    symlink(p.home().join("secret"), p.path().join("leads-out")).unwrap();
    symlink("../../home/secret", p.path().join("folder/climbs-out")).unwrap();
    p
}

/// Puts the attack into the project; returns how it is started. Its mark is on the command line, so that whatever
/// it starts can be told.
fn placed(attack: &Attack, tools: &Tools, project: &Project, mark: &str) -> Vec<String> {
    let here = |name: &str| project.path().join(name);
    let helper = |name: &str| {
        fs::copy(super::attacks().join(name), here(name)).unwrap();
    };
    if !attack.yaml.is_empty() {
        project.write("sandbox.yaml", attack.yaml.join("\n") + "\n");
    }
    let line: Vec<&str> = match attack.kind {
        Kind::C => {
            fs::copy(tools.programs.join(&attack.name), here("attack.bin")).unwrap();
            vec!["./attack.bin"]
        }
        Kind::Python => {
            helper("attack.py");
            fs::copy(&attack.path, here("case.py")).unwrap();
            // Not by its name: Python would look for `attack` where a link leads to.
            vec!["python3", "-B", "-c", "exec(compile(open('case.py').read(), 'case.py', 'exec'))"]
        }
        Kind::Shell => {
            helper("attack.sh");
            fs::copy(&attack.path, here("case.sh")).unwrap();
            vec!["sh", "./case.sh"]
        }
        Kind::Yaml => {
            fs::copy(&attack.path, here("sandbox.yaml")).unwrap();
            vec!["sh", "-c", "echo SUCCEEDED the task was started"]
        }
    };
    line.into_iter().chain([mark]).map(str::to_string).collect()
}
