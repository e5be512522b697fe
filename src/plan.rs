//! From settings, root, task and layout to the plan that an engine executes. Reads nothing but its arguments.

use crate::inputs::{HOME, Layout, OUTPUTS, WORKSPACE};
use crate::settings::{At, Error, Result, Settings, Variable, fits};
use crate::task::Invocation;
use aido_runtime::{Deadline, EnvValue, Identity, Network, PLAN_VERSION, Plan, Root, TRUST, TRUST_STORE, Task};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// Where programs are searched for, unless the root says otherwise.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where programs look for whom they trust, by their variables: OpenSSL, Python's requests and pip, curl, git, node, cargo,
/// the tools of AWS, deno, nix. Each program has its own; one that knows none of them reads its system's files.
const TRUSTED: [&str; 10] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
    "NIX_SSL_CERT_FILE",
];

/// Java has a store of its own, and is told of another one by this variable.
const JAVA: &str = "JAVA_TOOL_OPTIONS";

/// Values of the variables that are passed on from the caller; never stored.
pub type Secrets = BTreeMap<String, String>;

/// What is known of the root file system, from the host or from the image's configuration.
#[derive(Clone, Debug)]
pub struct RootFacts {
    pub root: Root,
    /// `NAME=VALUE`, as the image has it.
    pub env: Vec<String>,
    /// The image's own working folder; empty where it names none.
    pub workdir: String,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
}

impl RootFacts {
    /// The host's own toolchains, for a task under these numbers.
    pub fn host(uid: u32, gid: u32, groups: Vec<u32>) -> RootFacts {
        let (root, env, workdir) = (Root::Host, Vec::new(), String::new());
        RootFacts { root, env, workdir, uid, gid, groups, entrypoint: Vec::new(), cmd: Vec::new() }
    }
}

/// The plan, and apart from it the values that must not be stored. `caller` looks a variable of the caller up.
pub fn assemble(
    settings: &Settings,
    facts: &RootFacts,
    invocation: &Invocation,
    stdin: bool,
    layout: &Layout,
    caller: &dyn Fn(&str) -> Option<OsString>,
) -> Result<(Plan, Secrets)> {
    let secrets = secrets(settings, caller)?;
    let plan = Plan {
        version: PLAN_VERSION,
        name: settings.name.clone(),
        root: facts.root.clone(),
        mounts: layout.mounts.clone(),
        task: task(settings, facts, invocation, stdin)?,
        identity: Identity { uid: facts.uid, gid: facts.gid, groups: facts.groups.clone() },
        limits: settings.limits.clone(),
        network: settings.network.planned(),
        syscalls: settings.syscalls.clone(),
        isolation: settings.isolation,
        deadline: Deadline {
            ttl_ms: u64::try_from(settings.ttl.as_millis()).unwrap_or(u64::MAX),
            grace_ms: u64::try_from(settings.grace.as_millis()).unwrap_or(u64::MAX),
        },
        record: settings.record,
        exact_output: false,
        accept_weaker: settings.accept_weaker.clone(),
    };
    Ok((plan, secrets))
}

/// What a terminal is taken to be of which nothing is known.
const TERM: &str = "xterm-256color";

/// Makes the task's streams a terminal of its own, of the kind that the caller has.
pub fn give_terminal(plan: &mut Plan, caller: &dyn Fn(&str) -> Option<OsString>) {
    plan.task.tty = true;
    let plain = |kind: &String| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
        (1..64).contains(&kind.len()) && kind.chars().all(allowed)
    };
    let kind = caller("TERM").and_then(|kind| kind.into_string().ok()).filter(plain);
    let kind = EnvValue::Literal(kind.unwrap_or_else(|| TERM.to_string()));
    plan.task.env.entry("TERM".to_string()).or_insert(kind);
}

fn task(settings: &Settings, facts: &RootFacts, invocation: &Invocation, stdin: bool) -> Result<Task> {
    let workdir = workdir(settings, facts, invocation)?;
    let (programs, args) = match invocation {
        Invocation::Command { program, args } => (vec![program.clone()], args.clone()),
        Invocation::Script(script) => script.command(&workdir),
        Invocation::Image => {
            let argv: Vec<&String> = facts.entrypoint.iter().chain(&facts.cmd).collect();
            let Some((program, args)) = argv.split_first().filter(|(program, _)| !program.is_empty()) else {
                return Err(nothing_to_run(facts));
            };
            (vec![program.to_string()], args.iter().map(|arg| arg.to_string()).collect())
        }
    };
    let program = |p: &String| p.starts_with('/') || !p.contains('/');
    // A relative path is one of the working folder, as `execve` has it.
    let programs: Vec<String> =
        programs.into_iter().map(|p| if program(&p) { p } else { join(&workdir, &p) }).collect();
    if args.iter().chain(&programs).any(|word: &String| word.contains('\0')) {
        return Err(Error::new(At::Flag("TASK".to_string()), "an argument contains a NUL character"));
    }
    Ok(Task { programs, args, env: environment(settings, facts), workdir, stdin, tty: false })
}

fn nothing_to_run(facts: &RootFacts) -> Error {
    let what = match facts.root {
        Root::Host => "nothing to run: the host has no command of its own",
        Root::Image { .. } => "nothing to run: the image has no command of its own",
        Root::Folder { .. } => "nothing to run: a root folder has no command of its own",
    };
    Error::new(At::Flag("TASK".to_string()), what)
        .remedy("name a script of the project or a command: `aido run script.py`")
}

/// The user's choice, else the image's for its own command, else the workspace.
fn workdir(settings: &Settings, facts: &RootFacts, invocation: &Invocation) -> Result<String> {
    if let Some(told) = &settings.workdir {
        return Ok(join(WORKSPACE, &told.value));
    }
    if !matches!(invocation, Invocation::Image) || matches!(facts.root, Root::Host) {
        return Ok(WORKSPACE.to_string());
    }
    let workdir = facts.workdir.as_str();
    if workdir.split('/').any(|part| part == "..") || workdir.contains('\0') {
        let what = format!("the image's working folder `{workdir}` is no plain path");
        return Err(Error::new(At::Nowhere, what).remedy("choose one: `--workdir DIR`"));
    }
    Ok(join("/", workdir))
}

/// The path as seen from the folder, without doubled slashes and dots; a path that begins with a slash stands for itself.
fn join(folder: &str, path: &str) -> String {
    let base = if path.starts_with('/') { "" } else { folder };
    let parts: Vec<&str> = base.split('/').chain(path.split('/')).filter(|p| !p.is_empty() && *p != ".").collect();
    format!("/{}", parts.join("/"))
}

/// The root's own variables, over them aido's, over them the user's.
fn environment(settings: &Settings, facts: &RootFacts) -> BTreeMap<String, EnvValue> {
    let mut env: BTreeMap<String, EnvValue> = BTreeMap::new();
    let mut set = |name: &str, value: &str| env.insert(name.to_string(), EnvValue::Literal(value.to_string()));
    set("PATH", PATH);
    set("LANG", "C.UTF-8");
    for (name, value) in facts.env.iter().filter_map(|entry| entry.split_once('=')) {
        // An image is made by strangers: what no environment can hold is left out.
        if !name.is_empty() && !name.contains('\0') && fits(name, value).is_ok() {
            set(name, value);
        }
    }
    set("HOME", HOME);
    set("AIDO_OUTPUTS", OUTPUTS);
    set("AIDO_SANDBOX", &settings.name);
    if matches!(settings.network.planned(), Network::Gateway(egress) if egress.opens_tls()) {
        for name in TRUSTED {
            set(name, TRUST);
        }
        let mut java = format!("-Djavax.net.ssl.trustStore={TRUST_STORE} -Djavax.net.ssl.trustStoreType=PKCS12");
        if let Some(EnvValue::Literal(theirs)) = env.get(JAVA) {
            // What the image says to Java stays said.
            java = format!("{theirs} {java}");
        }
        env.insert(JAVA.to_string(), EnvValue::Literal(java));
    }
    for (name, told) in &settings.env {
        let value = match &told.value {
            Variable::Literal(value) => EnvValue::Literal(value.clone()),
            Variable::From(from) => EnvValue::From { from: from.clone() },
        };
        env.insert(name.clone(), value);
    }
    env
}

/// By the name of the caller's variable.
fn secrets(settings: &Settings, caller: &dyn Fn(&str) -> Option<OsString>) -> Result<Secrets> {
    let mut secrets = Secrets::new();
    for (name, told) in &settings.env {
        let Variable::From(from) = &told.value else { continue };
        let value = passed_on(&told.at, &format!("`{name}`"), from, caller, &format!(", or give `{name}` a value"))?;
        fits(name, &value).map_err(|what| Error::new(told.at.clone(), what))?;
        secrets.insert(from.clone(), value);
    }
    for told in settings.network.variables() {
        let value = passed_on(&told.at, "a header", told.value, caller, "")?;
        secrets.insert(told.value.to_string(), value);
    }
    Ok(secrets)
}

/// The value of the caller's variable `from`, which goes to `whom`.
fn passed_on(at: &At, whom: &str, from: &str, caller: &dyn Fn(&str) -> Option<OsString>, or: &str) -> Result<String> {
    let fail = |what: String| Error::new(at.clone(), what);
    let Some(value) = caller(from) else {
        return Err(fail(format!("{whom} takes the value of your variable `{from}`, which is not set"))
            .remedy(format!("set it before: `export {from}=…`{or}")));
    };
    value.into_string().map_err(|_| fail(format!("the value of your variable `{from}` is not UTF-8")))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::inputs;
    use crate::settings::Overrides;
    use aido_runtime::{Limit, MountKind};
    use std::path::Path;

    const FILE: &str = "name: demo\nttl: 90s\ninputs: [data]\noutputs: [out/]\nenv: {STAGE: test, TOKEN: {from: MY_TOKEN}}\nresources: {cpus: 1.5}\n";

    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("a.py"), "").unwrap();
        folder
    }

    fn image() -> RootFacts {
        let root = Root::Image { reference: "x".into(), digest: "sha256:0".into(), layers: vec![] };
        RootFacts {
            root,
            env: vec!["PATH=/opt/bin".into(), "STAGE=image".into(), "BAD".into(), "=x".into(), "HOME=/root".into()],
            workdir: "/srv//app/".into(),
            entrypoint: vec!["run".into()],
            cmd: vec!["--all".into()],
            ..RootFacts::host(5, 6, vec![7])
        }
    }

    fn plan(
        project: &Path,
        yaml: &str,
        overrides: &Overrides,
        facts: &RootFacts,
        task: &[&str],
    ) -> Result<(Plan, Secrets)> {
        let settings = Settings::from_text(yaml, "sandbox.yaml", project, overrides)?;
        let task: Vec<String> = task.iter().map(|word| word.to_string()).collect();
        let invocation = Invocation::read(&settings.project, &task)?;
        let layout = inputs::lay_out(&settings, invocation.script(), &inputs::Own::default())?;
        let caller = |name: &str| (name == "MY_TOKEN").then(|| OsString::from("s3cret"));
        assemble(&settings, facts, &invocation, false, &layout, &caller)
    }

    #[test]
    fn a_plan_holds_everything_but_the_secret_and_survives_storing() {
        let p = project();
        let (plan, secrets) =
            plan(p.path(), FILE, &Overrides::default(), &RootFacts::host(1000, 1000, vec![]), &["a.py", "-v"]).unwrap();
        let stored = serde_json::to_string_pretty(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&stored).unwrap(), plan);
        assert!(!stored.contains("s3cret"), "{stored}");
        assert_eq!(secrets["MY_TOKEN"], "s3cret");
        assert_eq!(plan.task.env["TOKEN"], EnvValue::From { from: "MY_TOKEN".into() });
        assert_eq!((plan.task.programs[0].as_str(), plan.task.workdir.as_str()), ("python3", "/workspace"));
        assert_eq!(plan.task.args, ["a.py", "-v"]);
        assert_eq!(
            (plan.deadline.ttl_ms, plan.deadline.grace_ms, plan.limits.cpus),
            (90_000, 5_000, Limit::asked(1500))
        );
        let targets: Vec<&str> = plan.mounts.iter().map(|m| m.target.as_str()).collect();
        let expected =
            ["/outputs", "/workspace", "/workspace/a.py", "/workspace/data", "/workspace/out", "/tmp", "/home/aido"];
        assert_eq!(targets, expected);
        assert_eq!(plan.mounts[5].kind, MountKind::Scratch { mode: 0o1777 });
        let names: Vec<&str> = plan.task.env.keys().map(String::as_str).collect();
        assert_eq!(names, ["AIDO_OUTPUTS", "AIDO_SANDBOX", "HOME", "LANG", "PATH", "STAGE", "TOKEN"]);
    }

    #[test]
    fn the_image_speaks_where_the_task_does_not() {
        let p = project();
        let none = Overrides::default();
        let (own, _) = plan(p.path(), FILE, &none, &image(), &[]).unwrap();
        assert_eq!((own.task.programs, own.task.args), (vec!["run".to_string()], vec!["--all".to_string()]));
        assert_eq!(own.task.workdir, "/srv/app");
        let literal = |name: &str| match &own.task.env[name] {
            EnvValue::Literal(value) => value.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (literal("PATH"), literal("STAGE"), literal("HOME")),
            ("/opt/bin".into(), "test".into(), HOME.into())
        );
        assert_eq!((own.identity.uid, own.identity.gid, own.identity.groups), (5, 6, vec![7]));
        let (named, _) = plan(p.path(), FILE, &none, &image(), &["tool", "x"]).unwrap();
        assert_eq!((named.task.programs[0].as_str(), named.task.workdir.as_str()), ("tool", "/workspace"));
        let chosen = Overrides { workdir: Some("data/./".into()), ..Overrides::default() };
        let (chosen, _) = plan(p.path(), FILE, &chosen, &image(), &["a.py"]).unwrap();
        assert_eq!(
            (chosen.task.workdir.as_str(), chosen.task.args[0].as_str()),
            ("/workspace/data", "/workspace/a.py")
        );
        let climbing = RootFacts { workdir: "/a/../..".into(), ..image() };
        assert!(plan(p.path(), FILE, &none, &climbing, &[]).is_err());
        let empty = RootFacts { entrypoint: vec![], cmd: vec![], ..image() };
        assert!(plan(p.path(), FILE, &none, &empty, &[]).unwrap_err().to_string().contains("nothing to run"));
    }

    #[test]
    fn a_terminal_is_of_the_callers_kind_unless_somebody_chose_another() {
        let p = project();
        let kind = |facts: &RootFacts, term: &str| {
            let (mut plan, _) = plan(p.path(), "", &Overrides::default(), facts, &["true"]).unwrap();
            give_terminal(&mut plan, &|name| (name == "TERM").then(|| OsString::from(term)));
            assert!(plan.task.tty);
            plan.task.env["TERM"].clone()
        };
        let (host, literal) = (RootFacts::host(1, 1, vec![]), |kind: &str| EnvValue::Literal(kind.into()));
        assert_eq!(kind(&host, "screen.xterm-256color"), literal("screen.xterm-256color"));
        for odd in ["", "a b", "../../etc", "x\u{1b}[2J", &"x".repeat(64)] {
            assert_eq!(kind(&host, odd), literal("xterm-256color"), "{odd:?}");
        }
        let image = RootFacts { env: vec!["TERM=linux".into()], ..RootFacts::host(1, 1, vec![]) };
        assert_eq!(kind(&image, "xterm"), literal("linux"));
    }

    #[test]
    fn a_missing_variable_of_the_caller_is_an_error_with_its_place() {
        let p = project();
        let yaml = "env:\n  TOKEN: {from: NOT_SET}\n";
        let error = plan(p.path(), yaml, &Overrides::default(), &RootFacts::host(1, 1, vec![]), &["true"]).unwrap_err();
        assert!(
            error.to_string().starts_with("sandbox.yaml:2:10: `TOKEN` takes the value of your variable `NOT_SET`"),
            "{error}"
        );
    }
}
