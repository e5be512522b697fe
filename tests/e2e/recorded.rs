//! What a task does is on record: every program that it executes, and what it is refused, with process and place.

use crate::host;
use crate::project::Project;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The data of all events of a type.
fn events(p: &Project, kind: &str) -> Vec<Value> {
    let text = String::from_utf8(p.evidence("events.log")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["type"] == kind).map(|record| record["data"].clone()).collect()
}

/// What was executed: the program's last part and its arguments.
fn executed(p: &Project) -> Vec<String> {
    let line = |data: &Value| {
        let args: Vec<&str> = data["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        let program = data["program"].as_str().unwrap();
        assert!(program.starts_with('/') && data["pid"].as_i64().unwrap() > 1, "{data}");
        format!("{}: {}", program.rsplit('/').next().unwrap(), args.join(" "))
    };
    events(p, "executed").iter().map(line).collect()
}

/// What was refused: cause, target, place, answer and process, without what the profile refused.
fn refused(p: &Project) -> Vec<String> {
    let list = p.summary()["outcome"]["refused"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_string();
    let line = |r: &Value| ["cause", "target", "place", "answer", "process"].map(|field| text(&r[field])).join(" ");
    list.iter().filter(|r| r["cause"] != "profile").map(line).collect()
}

#[test]
fn every_program_of_the_whole_family_is_on_record_with_its_arguments() {
    let daemon = "import os, subprocess, sys\n\
                  subprocess.run(['echo', 'from', 'python'])\n\
                  if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n\
                  \x20       os.execv('/bin/sh', ['a-name-of-its-own', '-c', 'echo here > /tmp/mark', '', 'ä b'])\n    os._exit(0)\n\
                  os.wait()\n";
    let p = Project::with(&[("daemon.py", daemon), ("x.sh", "#!/bin/sh\nexit 0\n")]);
    let script = "printf 'b\\na\\n' | /usr/bin/env sort | cat; python3 daemon.py; ./x.sh; none-such 2>/dev/null; \
                  until test -s /tmp/mark; do :; done; exec env -i true end";
    p.sh(script).ok().stdout("a\nb\nfrom python\n");
    let seen = executed(&p);
    let daemon = "sh: a-name-of-its-own -c echo here > /tmp/mark  ä b";
    for line in [
        &format!("sh: sh -c {script}"),
        "env: /usr/bin/env sort",
        "sort: sort",
        "cat: cat",
        "python3: python3 daemon.py",
        "echo: echo from python",
        daemon,
        "x.sh: ./x.sh",
        "env: env -i true end",
        "true: true end",
    ] {
        assert!(seen.iter().any(|one| one == line), "{line:?} is not among {seen:#?}");
    }
    assert!(!seen.iter().any(|line| line.contains("none-such: ")), "what is not there was executed: {seen:#?}");
    assert_eq!(seen.len(), 10, "{seen:#?}");
    // Who is whose child: the shell's, and after its father's death the first process's.
    let all = events(&p, "executed");
    let of = |program: &str| all.iter().find(|data| data["program"].as_str().unwrap().ends_with(program)).unwrap();
    assert_eq!(of("/python3")["parent"], of("/sh")["pid"]);
    let counts = p.summary()["outcome"]["executed"].clone();
    let count = |program: &str| counts.as_array().unwrap().iter().find(|one| one["program"] == program).cloned();
    assert_eq!(
        counts.as_array().unwrap().iter().map(|one| one["count"].as_u64().unwrap()).sum::<u64>(),
        10,
        "{counts}"
    );
    assert!(count("/workspace/x.sh").is_some(), "{counts}");
    let text = String::from_utf8(p.evidence("events.log")).unwrap();
    assert!(text.find("\"started\"").unwrap() < text.find("\"executed\"").unwrap(), "executed before it started");
}

#[test]
fn changes_that_were_refused_are_on_record_with_process_and_place() {
    let python = "import os\n\
        def vain(f, *a):\n    try: f(*a); print('DONE', a)\n    except OSError: pass\n\
        vain(open, '/usr/lib/new', 'w'); vain(open, 'made', 'x'); vain(open, 'data/x', 'a'); vain(os.mkdir, 'data/sub')\n\
        vain(os.unlink, 'data/x'); vain(os.rename, 'data/x', 'data/y'); vain(os.symlink, 'x', 'data/l')\n\
        vain(os.link, 'data/x', 'data/h'); vain(os.chmod, 'data/x', 0o777); vain(os.truncate, 'data/x', 0)\n\
        vain(os.utime, 'data/x', (1, 1)); vain(os.setxattr, 'data/x', 'user.a', b'b'); vain(os.mkfifo, '/etc/p')\n\
        os.chdir('data'); d = os.open('/etc', os.O_RDONLY); vain(lambda: os.mkdir('beside', dir_fd=d))\n\
        os.symlink('/usr/bin', '/tmp/bin'); vain(open, '/tmp/bin/through', 'w'); vain(open, '../../usr/up', 'w')\n\
        open('/tmp/kept', 'w').close(); os.chmod('/tmp/kept', 0o400); vain(open, '/tmp/kept', 'a')\n";
    let p = Project::with(&[("vain.py", python), ("data/x", "in\n")]);
    p.aido(["run", "-q", "--input", "data", "--input", "vain.py", "--", "sh", "-c", "(python3 vain.py; :) & wait"])
        .ok()
        .stdout("");
    let seen = refused(&p);
    for (target, place) in [
        ("/usr/lib/new", "/"),
        ("/workspace/made", "/workspace"),
        ("/workspace/data/x", "/workspace/data"),
        ("/workspace/data/sub", "/workspace/data"),
        ("/workspace/data/l", "/workspace/data"),
        ("/workspace/data/h", "/workspace/data"),
        ("/etc/p", "/"),
        ("/etc/beside", "/"),
        ("/usr/bin/through", "/"),
        ("/usr/up", "/"),
    ] {
        // An ordinary user is told of the mode first, where there is no whole file system that is read-only.
        let one = |answer| format!("read-only {target} {place} {answer} python3");
        assert!(seen.contains(&one("EROFS")) || seen.contains(&one("EACCES")), "{target} is not among {seen:#?}");
    }
    assert!(seen.contains(&"denied /tmp/kept /tmp EACCES python3".to_string()), "{seen:#?}");
    assert_eq!(seen.len(), 11, "{seen:#?}");
    let all = p.summary()["outcome"]["refused"].as_array().cloned().unwrap();
    let data = all.iter().find(|r| r["target"] == "/workspace/data/x").unwrap();
    assert_eq!(data["count"], 7, "each of the ways: {data}");
    assert_eq!(events(&p, "refused").len(), 11, "each kind once");
}

#[test]
fn connections_that_lead_nowhere_are_on_record_with_their_address() {
    let python = "import socket\n\
        def vain(f):\n    try: f(); print('DONE')\n    except OSError: pass\n\
        vain(lambda: socket.create_connection(('198.51.100.7', 443)))\n\
        vain(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('198.51.100.8', 9)))\n\
        vain(lambda: socket.create_connection(('2001:db8::1', 80)))\n\
        vain(lambda: socket.getaddrinfo('registry.example', 443))\n\
        vain(lambda: socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock'))\n\
        vain(lambda: socket.socket(socket.AF_UNIX).connect('\\0of-the-host'))\n\
        vain(lambda: socket.socket().bind(('198.51.100.9', 8080)))\n\
        vain(lambda: socket.socket(socket.AF_UNIX).bind('/usr/socket'))\n\
        s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); c = socket.create_connection(s.getsockname()); c.close()\n\
        u = socket.socket(socket.AF_UNIX); u.bind('/tmp/s'); u.listen(); socket.socket(socket.AF_UNIX).connect('/tmp/s')\n\
        a = socket.socket(socket.AF_UNIX); a.bind('\\0own'); a.listen(); socket.socket(socket.AF_UNIX).connect('\\0own')\n\
        vain(lambda: socket.create_connection(('127.0.0.1', 1)))\n";
    let p = Project::with(&[("vain.py", python)]);
    let expected = [
        "network 198.51.100.7:443/tcp - ENETUNREACH python3",
        "network 198.51.100.8:9/udp - ENETUNREACH python3",
        "network [2001:db8::1]:80/tcp - ENETUNREACH python3",
        "network 127.0.0.1:53/udp name resolution ECONNREFUSED python3",
        "absent unix:/var/run/docker.sock - ENOENT python3",
        "absent unix:@of-the-host - ECONNREFUSED python3",
        "network 198.51.100.9:8080/tcp - EADDRNOTAVAIL python3",
    ];
    for record in ["refusals", "standard"] {
        p.aido(["run", "-q", "--record", record, "vain.py"]).ok().stdout("");
        let seen = refused(&p);
        assert_eq!(seen[..7], expected, "{record}: {seen:#?}");
        // A socket's name is made in a folder, like a file.
        assert!(seen[7].starts_with("read-only /usr/socket / E"), "{record}: {seen:#?}");
        assert_eq!(seen.len(), 8, "{record}: {seen:#?}");
        assert_eq!(executed(&p).is_empty(), record == "refusals");
    }
}

#[test]
fn what_is_allowed_is_no_refusal() {
    let python = "import os, pwd, socket, subprocess, sys, tempfile, threading\n\
        os.makedirs('/usr/lib', exist_ok=True); os.makedirs('/tmp/a/b', exist_ok=True)\n\
        open('/dev/null', 'w').write('x'); open('/tmp/a/f', 'w').write('x'); os.rename('/tmp/a/f', '/tmp/a/g')\n\
        os.chmod('/tmp/a/g', 0o600); os.utime('/tmp/a/g'); os.link('/tmp/a/g', '/outputs/h') if False else None\n\
        tempfile.TemporaryFile().write(b'x'); open('/outputs/kept', 'w').write('x'); open('/dev/shm/s', 'w').close()\n\
        fd = os.open('/tmp/ro', os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o444); os.write(fd, b'x'); os.remove('/tmp/ro')\n\
        subprocess.run('true | cat > /dev/null 2>&1; ls / > /tmp/l', shell=True, check=True); os.listdir('/etc')\n\
        threading.Thread(target=lambda: None).start(); socket.getaddrinfo('localhost', 80); os.path.exists('/usr/none')\n";
    let p = Project::with(&[("allowed.py", python)]);
    p.aido(["run", "-q", "allowed.py"]).ok();
    assert_eq!(p.summary()["outcome"].get("refused"), None, "{}", p.summary());
    assert_eq!(executed(&p).len(), 4);
}

#[test]
fn reads_are_on_record_at_the_fullest_level_alone() {
    let p = Project::with(&[("data", "x"), (".env", "SECRET=1")]);
    let script = "cat .env; cat data; : > /tmp/closed; chmod 0 /tmp/closed; cat /tmp/closed; no-such-program; exit 0";
    p.aido(["run", "-q", "--", "sh", "-c", script]).ok().stdout("x");
    assert_eq!(refused(&p), Vec::<String>::new());
    p.write("sandbox.yaml", "record: full\n");
    p.aido(["run", "-q", "--", "sh", "-c", script]).ok().stdout("x");
    let seen = refused(&p);
    assert!(seen.contains(&"absent /workspace/.env - ENOENT cat".into()), "{seen:#?}");
    assert!(seen.contains(&"denied /tmp/closed /tmp EACCES cat".into()), "{seen:#?}");
    assert!(!seen.iter().any(|line| line.contains("/workspace/data ")), "{seen:#?}");
    p.aido(["run", "--record", "fuller", "--", "true"]).code(125).says("no amount of record");
}

#[test]
fn endless_programs_and_endless_refusals_are_bounded() {
    let chain = "#!/bin/sh\ntest $1 -gt 4500 || exec /workspace/chain $(($1 + 1))\n";
    let p = Project::with(&[("chain", chain)]);
    p.aido(["run", "-q", "--ttl", "10m", "--", "./chain", "0"]).ok();
    let told = events(&p, "executed").len();
    assert_eq!(told, 4096, "one event each, up to a bound");
    let counts = p.summary()["outcome"]["executed"].clone();
    assert_eq!(
        counts[counts.as_array().unwrap().len() - 1]["count"].as_u64().unwrap() + 1,
        4502,
        "all are counted: {counts}"
    );
    let storm = "import os\nfor n in range(3): os.fork()\nn = 0\nwhile True:\n    n += 1\n\
                 \x20   try: os.mkdir(f'/usr/{n}')\n    except OSError: pass\n";
    p.write("storm.py", storm);
    let out = p.aido(["run", "-q", "--ttl", "2s", "storm.py"]);
    out.code(124);
    assert!(out.took < Duration::from_secs(15), "the storm held the deadline up{out}");
    let all = p.summary()["outcome"]["refused"].as_array().cloned().unwrap();
    assert!((257..=258).contains(&all.len()), "{} kinds", all.len());
    assert_eq!(all.iter().filter(|r| r["call"] == "others").count(), 1);
    assert!(all.iter().map(|r| r["count"].as_u64().unwrap()).sum::<u64>() > 1000);
    assert_eq!(events(&p, "refused").len(), all.len());
}

/// Compiles one of `tests/record` into the project.
fn built(p: &Project, name: &str) -> bool {
    p.write(&format!("{name}.c"), host::ours(&format!("record/{name}.c")));
    let cc =
        Command::new("cc").current_dir(p.path()).args(["-O1", "-pthread", "-o", name, &format!("{name}.c")]).output();
    match cc {
        Ok(out) if out.status.success() => true,
        Ok(out) => panic!("cc: {}", String::from_utf8_lossy(&out.stderr)),
        Err(_) => false,
    }
}

#[test]
fn a_task_that_changes_what_is_read_of_it_misleads_and_holds_up_nobody() {
    let p = Project::new();
    if !built(&p, "race") {
        skip!("there is no C compiler");
    }
    for record in ["standard", "full"] {
        let out = p.aido(["run", "-q", "--record", record, "--ttl", "60s", "--", "./race"]);
        // A call that restarts after a signal is not seen as interrupted.
        out.ok().stdout("calls many, interrupted 0\n");
        assert!(out.took < Duration::from_secs(30), "{record}: somebody was held up{out}");
        // What it said is in the record, and nothing that is not of the sandbox.
        assert!(refused(&p).iter().any(|line| line.starts_with("read-only /usr/")), "{record}: {:#?}", refused(&p));
    }
}

#[test]
fn an_images_root_is_looked_up_in_its_own_terms() {
    let busybox = Path::new("/bin/busybox");
    if !busybox.exists() {
        skip!("there is no busybox for a root of its own");
    }
    let p = Project::new();
    for folder in ["bin", "srv", "etc"] {
        std::fs::create_dir_all(p.path().join("root").join(folder)).unwrap();
    }
    std::fs::copy(busybox, p.path().join("root/bin/busybox")).unwrap();
    for name in ["sh", "cat", "ls"] {
        std::os::unix::fs::symlink("busybox", p.path().join("root/bin").join(name)).unwrap();
    }
    // A link that would lead into the host, were it followed from outside.
    std::os::unix::fs::symlink("/etc", p.path().join("root/srv/link")).unwrap();
    let script = "echo x > /srv/link/new; echo y > /tmp/ok; /bin/cat /tmp/ok";
    let out = p.aido(["run", "-q", "--runtime", "rootfs:root", "--input", "root/bin", "--", "/bin/sh", "-c", script]);
    out.ok().stdout("y\n");
    assert_eq!(refused(&p), ["read-only /etc/new / EROFS sh"]);
    assert_eq!(executed(&p), [format!("sh: /bin/sh -c {script}"), "cat: /bin/cat /tmp/ok".into()]);
}

#[test]
fn without_namespaces_programs_and_refused_changes_are_on_record_too() {
    let p = Project::with(&[("data/x", "in\n")]);
    let script = "cat data/x; echo no > data/x; echo no > data/new; echo yes > $AIDO_OUTPUTS/o; echo yes > $TMPDIR/t; ls > /dev/null";
    let out = p.aido(["run", "-q", "--isolation", "landlock", "--", "sh", "-c", script]);
    if out.code == Some(125) && out.told().contains("landlock cannot be had") {
        skip!("this kernel has no Landlock");
    }
    out.ok();
    let seen = executed(&p);
    assert!(seen.contains(&"cat: cat data/x".into()) && seen.contains(&"ls: ls".into()), "{seen:#?}");
    let seen = refused(&p);
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert!(seen.iter().all(|line| line.starts_with("read-only ") && line.ends_with("EACCES sh")), "{seen:#?}");
}

#[test]
fn a_folder_that_is_another_one_by_now_is_refused_by_name() {
    let p = Project::new();
    let python = "import os\n\
                  def made(name):\n    try: open(name, 'x').close(); print('made')\n    except OSError as e: print(e.strerror)\n\
                  os.chdir('/tmp'); os.mkdir('a'); made('a/1'); made('a/2')\n\
                  os.rename('a', 'b'); os.symlink('/etc', 'a'); made('a/3')\n\
                  os.unlink('a'); os.mkdir('a'); made('a/4')\n\
                  os.rmdir('b') if not os.listdir('b') else os.chmod('b', 0o555); made('b/5')\n\
                  os.chmod('b', 0o755); made('b/6'); f = os.open('b', os.O_RDONLY); os.fchmod(f, 0o555); made('b/7')\n";
    p.write("made.py", python);
    let out = p.aido(["run", "--quiet", "--record", "standard", "python3", "made.py"]);
    let (ro, denied) = ("Read-only file system", "Permission denied");
    out.ok().stdout(&format!("made\nmade\n{ro}\nmade\n{denied}\nmade\n{denied}\n"));
    let seen = refused(&p);
    let one = |target: &str, rest: &str| seen.iter().any(|line| line.contains(target) && line.contains(rest));
    assert!(one(" /etc/3 ", "EROFS") && one(" /tmp/b/5 ", "EACCES") && one(" /tmp/b/7 ", "EACCES"), "{seen:#?}");
    assert_eq!(seen.len(), 3, "{seen:#?}");
}
