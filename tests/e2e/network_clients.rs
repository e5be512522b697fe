//! Unmodified clients against servers as distributions install them: by TLS that is opened, and by TLS and other
//! protocols that are passed on.

use crate::output::Output;
use crate::project::Project;
use crate::running::Running;
use crate::world::{World, events};

const HOSTS: &str = "
permissions:
  network:
    - {host: www.example.com, ports: [443], paths: [/ok/**, /moved/**]}
    - {host: passed.example.com, tls: pass}
    - {host: git.example.com, ports: [443], methods: [GET, POST], paths: [/repo.git/**]}
    - {host: npm.example.com, ports: [443], paths: [/tiny*]}
    - {host: pypi.example.com, ports: [443], paths: [/simple/**]}
    - {host: files.example.com, tls: pass}
    - {host: db.example.com, ports: [5432]}
    - {host: ssh.example.com, ports: [22]}
";

/// A client that fetches a page. It gets one of a host that is opened and one of a host that is passed on; a path and a host
/// that are not granted it does not get.
fn fetches(tools: &[&str], before: &str, files: &[(&str, &str)], fetch: &str) {
    let project = Project::with(&[&[("sandbox.yaml", HOSTS)], files].concat());
    let task = format!(
        "fetch() {{ {fetch}; }}\n\
         fetch https://www.example.com/ok/page || exit 1; fetch https://passed.example.com/page || exit 2\n\
         fetch https://www.example.com/no/page >/tmp/no; fetch https://www.example.com/moved/page >>/tmp/no\n\
         fetch https://other.example.com/other >>/tmp/no; grep -E '^(www|other).example.com GET|^GET .* of ' /tmp/no && echo REACHED; true\n"
    );
    project.write("task.sh", task);
    let world = World { servers: "nginx", tools, ..World::default() };
    let script = format!("{before}\nexec \"$AIDO\" run --quiet --input . -- sh task.sh");
    let ran = Running::start(or_skipped!(world.inside(&project, &["sh", "-c", &script]))).end();
    ran.ok().prints("www.example.com GET /ok/page").prints("passed.example.com GET /page");
    assert!(!ran.text().contains("REACHED"), "{ran}");
    let asked: Vec<String> = events(&project, "network_request").iter().map(|one| one["path"].to_string()).collect();
    for path in ["\"/ok/page\"", "\"/no/page\"", "\"/moved/page\""] {
        assert!(asked.iter().any(|asked| asked == path), "{path} is not on record: {asked:?}");
    }
    // What is passed on is nobody's to read.
    assert!(!asked.contains(&"\"/page\"".to_string()), "{asked:?}");
    let refused = project.summary()["network"]["refused"].to_string();
    assert!(refused.contains("other.example.com") && refused.contains("/no/page"), "{refused}");
}

/// Something else than pages.
fn runs(world: World<'_>, before: &str, task: &str) -> Option<(Project, Output)> {
    let project = Project::with(&[("sandbox.yaml", HOSTS), ("task.sh", task)]);
    let script = format!("{before}\nexec \"$AIDO\" run --quiet --input . -- sh task.sh");
    let ran = Running::start(world.inside(&project, &["sh", "-c", &script])?).end();
    Some((project, ran))
}

#[test]
fn curl() {
    fetches(&["curl"], "", &[], "curl -sSL -m 20 \"$1\"");
}

#[test]
fn curl_by_the_proxy() {
    fetches(&["curl"], "", &[], "curl -sSL -m 20 -x http://127.0.0.1:3128 \"$1\"");
}

#[test]
fn wget() {
    fetches(&["wget"], "", &[], "wget -q -O - -T 20 -t 1 \"$1\"");
}

#[test]
fn pythons_urllib() {
    let get = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=20).read().decode())";
    fetches(&["python3"], "", &[], &format!("/usr/bin/python3 -c '{get}' \"$1\""));
}

#[test]
fn pythons_requests() {
    if !has_module("requests") {
        skip!("Python's requests is not installed");
    }
    let get = "import sys, requests; print(requests.get(sys.argv[1], timeout=20).text)";
    fetches(&["python3"], "", &[], &format!("/usr/bin/python3 -c '{get}' \"$1\""));
}

#[test]
fn nodes_fetch() {
    let get = "fetch(process.argv[1]).then(answer => answer.text()).then(console.log)";
    fetches(&["node"], "", &[], &format!("node -e '{get}' \"$1\""));
}

#[test]
fn java() {
    let source = r#"public class Fetch {
        public static void main(String[] urls) throws Exception {
            var asked = (javax.net.ssl.HttpsURLConnection) new java.net.URL(urls[0]).openConnection();
            System.out.print(new String(asked.getInputStream().readAllBytes()));
        } }"#;
    fetches(&["java", "javac"], "javac Fetch.java", &[("Fetch.java", source)], "java -Xshare:auto -cp . Fetch \"$1\"");
}

#[test]
fn go() {
    let source = r#"package main
        import ("io"; "net/http"; "os")
        func main() {
            answer, err := http.Get(os.Args[1])
            if err != nil { println(err.Error()); os.Exit(1) }
            io.Copy(os.Stdout, answer.Body)
        }"#;
    // With the system's C library, as Debian builds it: what is compiled already is used.
    let build = "GO111MODULE=off GOCACHE=$HOME/go go build -o fetch fetch.go";
    fetches(&["go", "cc"], build, &[("fetch.go", source)], "./fetch \"$1\"");
}

#[test]
fn git_clones_and_pushes() {
    let world = World { servers: "nginx git", tools: &["git"], ..World::default() };
    let task = "
        git clone -q https://git.example.com/repo.git /tmp/cloned && cat /tmp/cloned/hello.txt && cd /tmp/cloned || exit 1
        echo more >more && git add more && git -c user.name=task -c user.email=task@example.com commit -qm two
        git push -q origin HEAD:pushed && git ls-remote origin
        git clone -q https://git.example.com/other.git /tmp/other && echo REACHED; true";
    let (project, ran) = or_skipped!(runs(world, "", task));
    ran.ok()
        .prints("hello from git\n")
        .prints("refs/heads/pushed")
        .says("policy refused GET git.example.com:443/other.git");
    assert!(!ran.text().contains("REACHED"), "{ran}");
    let asked = events(&project, "network_request");
    assert!(asked.iter().any(|one| one["path"] == "/repo.git/git-receive-pack"), "{asked:?}");
}

#[test]
fn npm_installs() {
    let world = World { servers: "nginx packages", tools: &["npm", "node"], ..World::default() };
    let task = "
        npm='npm install --prefix /tmp/n --registry https://npm.example.com/ --cache /tmp/c --no-audit --no-fund'
        $npm tiny >/tmp/said && cd /tmp/n && node -p 'require(\"tiny\")' || exit 1
        $npm absent && echo REACHED; true";
    let (_, ran) = or_skipped!(runs(world, "", task));
    ran.ok().stdout("hello from npm\n").says("E403");
}

#[test]
fn pip_installs_from_two_hosts() {
    if !has_module("pip") {
        skip!("pip is not installed");
    }
    let world = World { servers: "nginx packages", tools: &["python3"], ..World::default() };
    let task = "
        pip='/usr/bin/python3 -m pip install -q --no-cache-dir --disable-pip-version-check --target /tmp/p'
        $pip --index-url https://pypi.example.com/simple/ tiny || exit 1
        PYTHONPATH=/tmp/p /usr/bin/python3 -c 'import tiny; print(tiny.said)'
        $pip --index-url https://pypi.example.com/other/ tiny && echo REACHED; true";
    let (project, ran) = or_skipped!(runs(world, "", task));
    ran.ok().stdout("hello from pypi\n");
    let asked = events(&project, "network_request");
    assert!(
        asked.iter().any(|one| one["path"] == "/simple/tiny/") && !format!("{asked:?}").contains(".whl"),
        "{asked:?}"
    );
}

#[test]
fn psql_by_a_protocol_that_is_no_http() {
    let world = World { servers: "postgres", tools: &["psql"], ..World::default() };
    let task = "
        psql 'host=db.example.com user=postgres sslmode=verify-full sslrootcert=/etc/aido/trust.pem' -Atc 'select 6 * 7'
        psql 'host=www.example.com user=postgres connect_timeout=5' -Atc 'select 1' && echo REACHED; true";
    let (project, ran) = or_skipped!(runs(world, "", task));
    ran.ok().stdout("42\n");
    let dialled = events(&project, "network_dialled");
    assert_eq!(dialled.len(), 1, "{dialled:?}");
    assert_eq!(dialled[0]["address"], "93.184.215.16:5432");
}

#[test]
fn ssh_by_its_name() {
    let world = World { servers: "sshd", tools: &["ssh"], ..World::default() };
    let task = "
        install -m 600 user-key /tmp/key
        ssh='ssh -q -i /tmp/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5'
        $ssh somebody@ssh.example.com 'echo hello from ssh'
        $ssh somebody@93.184.215.16 'echo REACHED'; $ssh somebody@web.example.com 'echo REACHED'; true";
    let (_, ran) = or_skipped!(runs(world, "cp /mnt/user user-key", task));
    ran.ok().stdout("hello from ssh\n");
}

fn has_module(name: &str) -> bool {
    let ran = std::process::Command::new("/usr/bin/python3").args(["-c", &format!("import {name}")]).output();
    ran.is_ok_and(|ran| ran.status.success())
}
