//! `aido ui`, in a real terminal.

use crate::project::Project;
use crate::seat::Seat;
use std::path::Path;
use std::time::{Duration, Instant};

const UI: &str = "$AIDO ui; echo status $?";

#[test]
fn a_run_is_looked_through_from_its_story_to_its_seal() {
    let script =
        "#!/bin/sh\necho to the log\necho '{\"ok\": true}' >out/result.json\ntouch /workspace/denied\nexit 3\n";
    let p = Project::with(&[("sandbox.yaml", "name: demo\noutputs: [out/]\n"), ("a.sh", script)]);
    p.aido(["run", "--quiet", "a.sh"]).code(3);
    p.aido(["run", "--quiet", "--", "true"]).ok();
    let tmux = tmux!(&p, (100, 30), UI);
    let list = tmux.shows("exit 3");
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[1].starts_with("RUN") && lines[2].contains("exit 0") && lines[3].contains("a.sh"), "{list}");
    tmux.keys(&["j", "Enter"]);
    let story = tmux.shows("exited with status 3");
    for told in ["denied", "/workspace/denied", "outputs:", "out/result.json"] {
        assert!(story.contains(told), "{told} is not in\n{story}");
    }
    tmux.keys(&["Tab"]);
    tmux.shows("refused ");
    tmux.types("3");
    tmux.shows("to the log");
    tmux.types("6");
    tmux.shows("new");
    tmux.keys(&["Enter"]);
    tmux.shows("{\"ok\": true}");
    tmux.types("x");
    tmux.shows("00000000  7b 22 6f 6b");
    tmux.keys(&["Escape"]);
    tmux.shows("seal.json");
    tmux.types("v");
    let page = tmux.shows("evidence of run");
    assert!(page.contains("sealed") && page.contains("verified"), "{page}");
    // What was there is looked at and not changed.
    tmux.types("qqq");
    tmux.is_given_back("status 0");
    p.aido(["verify", "--all"]).ok();
}

#[test]
fn what_a_task_changed_is_shown_as_a_patch_in_colours() {
    let p = Project::with(&[("file", "old\n")]);
    let out = p.aido(["run", "--quiet", "--filesystem", "overlay", "--", "sh", "-c", "echo new >file"]);
    if out.code == Some(125) {
        skip!("no overlay can be mounted here: {out}");
    }
    let tmux = tmux!(&p, (90, 20), UI);
    tmux.shows("exit 0");
    tmux.types("a");
    tmux.shows("changes.diff");
    tmux.keys(&["Enter"]);
    tmux.shows("changes.diff of run");
    let patch = tmux.coloured();
    assert!(patch.contains("\x1b[38;5;1m-old") && patch.contains("\x1b[38;5;2m+new"), "{patch:?}");
}

#[test]
fn a_log_is_followed_while_it_is_written_and_its_end_is_seen() {
    let p = Project::new();
    let tmux = tmux!(&p, (90, 20), "$AIDO run -q -- true; clear; $AIDO ui; echo status $?");
    tmux.shows("exit 0");
    let script = "i=0; while [ $i -lt 40 ]; do echo tick $i; i=$((i+1)); sleep 0.1; done; echo the end; exit 7";
    let running = p.start(["run", "--quiet", "--", "sh", "-c", script]);
    tmux.shows("running");
    tmux.types("g");
    tmux.keys(&["Enter"]);
    tmux.shows("tick 3");
    tmux.shows("following");
    tmux.shows("the end");
    let screen = tmux.shows("exit 7 after");
    assert!(screen.contains("tick 39") && !screen.contains("tick 1\n"), "{screen}");
    running.end().code(7);
    tmux.types("/TICK");
    tmux.keys(&["Enter"]);
    tmux.shows("not found: TICK");
    tmux.types("g/tick 2");
    tmux.keys(&["Enter"]);
    tmux.until("the first", |screen| screen.contains("tick 2\n"));
    tmux.types("n");
    tmux.shows("tick 20");
    let marked = tmux.coloured();
    assert!(marked.contains("7mtick 2\x1b[0"), "{marked:?}");
}

#[test]
fn nothing_that_a_task_writes_reaches_the_terminal() {
    let p = Project::new();
    let hostile = r"printf '\033]2;owned\007\033[2J\033[1;1Howned\033[?1049l\n\302\233 2J\n'; printf 'a\342\200\256b\342\200\213c\r\bd\n';
        printf '\360\237\221\215\360\237\217\275 \360\237\217\264 e\314\201\314\201\314\201 \346\274\242 \357\270\217 end\n'; printf '\377\376 done\n'; \
        head -c 10000000 /dev/zero | tr '\0' x; printf '\nafter the long line\n'";
    p.sh(hostile).ok();
    let tmux = tmux!(&p, (80, 24), UI);
    // The task's own words are in the list, too.
    tmux.shows("exit 0");
    tmux.types("o");
    let began = Instant::now();
    tmux.shows("after the long line");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    tmux.types("g");
    let screen = tmux.shows("]2;owned");
    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines[0].starts_with("aido  runs  sandboxes"), "{screen}");
    assert_eq!(lines[3], r"\x1b]2;owned\x07\x1b[2J\x1b[1;1Howned\x1b[?1049l");
    assert_eq!(lines[4], r"\u{9b} 2J");
    assert_eq!(lines[5], r"a\u{202e}b\u{200b}c\r\x08d");
    assert!(lines[6].contains(r"e\u{301}\u{301}\u{301} 漢 \u{fe0f} end"), "{screen}");
    assert_eq!(lines[7], r"\xff\xfe done");
    assert_eq!(lines[8], "x".repeat(80));
    assert!(lines[23].starts_with("tab next"), "{screen}");
    let title = tmux.does(&["display-message", "-p", "#{pane_title}#{alternate_on}"]);
    assert!(!title.contains("owned") && title.trim().ends_with('1'), "{title}");
    // What is far within the long line is found.
    tmux.types("/after");
    tmux.keys(&["Enter"]);
    tmux.shows("after the long line");
}

#[test]
fn sandboxes_are_destroyed_after_a_question_and_never_without() {
    let p = Project::with(&[("sandbox.yaml", "name: kept\nttl: 10m\n")]);
    let first = p.aido(["sandbox", "up", "--quiet"]).word();
    p.aido(["run", "--quiet", "--sandbox", &first, "--", "true"]).ok();
    let second = p.aido(["sandbox", "up", "--quiet", "--ttl", "20m"]).word();
    let tmux = tmux!(&p, (80, 24), UI);
    tmux.shows("exit 0");
    tmux.types(":sandboxes");
    tmux.keys(&["Enter"]);
    let list = tmux.shows(&first);
    assert!(list.contains(&second) && list.contains("19m5") && list.contains("9m5"), "{list}");
    tmux.types("G");
    tmux.keys(&["C-d"]);
    tmux.shows(&format!("destroy sandbox {first} (kept)? [y/N]"));
    assert!(tmux.screen().contains("Its run goes too"), "{}", tmux.screen());
    tmux.keys(&["Enter"]);
    tmux.shows("nothing was destroyed");
    let folder = |id: &str| p.path().join(".aido/sandboxes").join(id);
    assert!(folder(&first).is_dir() && folder(&second).is_dir());
    tmux.keys(&["C-d"]);
    tmux.shows("[y/N]");
    tmux.types("y");
    tmux.shows(&format!("sandbox {first} is destroyed"));
    assert!(!folder(&first).exists() && folder(&second).is_dir());
    tmux.until("only the other", |screen| !screen.lines().any(|line| line.starts_with(&first)));
    // What others do is seen without a key.
    p.aido(["sandbox", "destroy", &second]).ok();
    tmux.shows("no sandboxes");
    p.aido(["verify"]).ok();
}

#[test]
fn screens_of_every_size_are_drawn() {
    let p = Project::new();
    p.sh("seq 1 200").ok();
    let tmux = tmux!(&p, (80, 24), UI);
    tmux.shows("exit 0");
    tmux.types("o");
    tmux.shows("200");
    for (columns, rows) in [(50u16, 12u16), (30, 6), (200, 60), (2, 2), (80, 24)] {
        tmux.does(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
        match (columns, rows) {
            (2, 2) => std::thread::sleep(Duration::from_millis(300)),
            (30, 6) => drop(tmux.shows("too small: 30x6")),
            _ => {
                let fits = |screen: &str| {
                    let lines: Vec<&str> = screen.lines().collect();
                    lines.len() == usize::from(rows)
                        && lines[lines.len() - 1].contains("following")
                        && lines[lines.len() - 2] == "200"
                };
                tmux.until(&format!("{columns}x{rows}"), fits);
            }
        }
    }
}

#[test]
fn colours_can_be_turned_off() {
    let p = Project::new();
    p.sh("exit 1").code(1);
    let paint = |screen: &str| {
        let codes = screen
            .split("\x1b[")
            .skip(1)
            .filter_map(|rest| rest.split_once('m'))
            .flat_map(|(codes, _)| codes.split(';'));
        codes
            .filter_map(|code| code.parse::<u32>().ok())
            .any(|code| (30..=49).contains(&code) && code != 39 && code != 49)
    };
    let tmux = tmux!(&p, (80, 24), "NO_COLOR=1 $AIDO ui; echo status $?");
    tmux.shows("exit 1");
    assert!(!paint(&tmux.coloured()), "{:?}", tmux.coloured());
    // What is selected can be told all the same.
    assert!(tmux.coloured().contains("\x1b[7m") || tmux.coloured().contains("\x1b[1;7m"), "{:?}", tmux.coloured());
    tmux.types("q");
    tmux.shows("status 0");
    tmux.types("clear; $AIDO ui");
    tmux.keys(&["Enter"]);
    tmux.shows("exit 1");
    assert!(paint(&tmux.coloured()), "{:?}", tmux.coloured());
}

#[test]
fn the_terminal_is_given_back_whatever_ends_it() {
    let p = Project::new();
    p.sh("true").ok();
    for (ends, status) in [("-TERM", "status 143"), ("-HUP", "status 129"), ("-INT", "status 130"), ("key", "status 0")]
    {
        let tmux = tmux!(&p, (80, 24), UI);
        tmux.shows("exit 0");
        if ends == "key" {
            tmux.keys(&["C-c"])
        } else {
            tmux.kill(ends)
        }
        tmux.is_given_back(status);
    }
    if !cfg!(debug_assertions) {
        return;
    }
    let tmux = tmux!(&p, (80, 24), UI);
    tmux.shows("exit 0");
    tmux.types(":panic");
    tmux.keys(&["Enter"]);
    tmux.shows("asked for");
    tmux.is_given_back("status 101");
}

#[test]
fn it_is_stopped_and_goes_on() {
    let p = Project::new();
    p.sh("true").ok();
    let tmux = tmux!(&p, (80, 24), "$AIDO ui; echo status $?");
    for stops in ["key", "-TSTP", "-STOP"] {
        tmux.shows("exit 0");
        if stops == "key" {
            tmux.keys(&["C-z"])
        } else {
            tmux.kill(stops)
        }
        if stops == "-STOP" {
            // Nobody could give the terminal back: the shell does what it can.
            std::thread::sleep(Duration::from_millis(500));
        } else {
            tmux.shows("Stopped");
            assert_eq!(tmux.does(&["display-message", "-p", "#{alternate_on}"]).trim(), "0");
        }
        tmux.types("fg");
        tmux.keys(&["Enter"]);
        tmux.until("the list again", |screen| screen.starts_with("aido  runs  sandboxes") && screen.contains("q quit"));
    }
    tmux.types("?");
    tmux.shows("the next view");
    tmux.types("q");
    tmux.types("q");
    tmux.shows("out>");
}

#[test]
fn without_a_terminal_it_says_so() {
    let p = Project::new();
    p.aido(["ui"]).refused(&["TERM"]);
    p.sh("true").ok();
    let mut command = p.command(["ui"]);
    command.env("TERM", "xterm");
    crate::running::Running::start(command).end().refused(&["needs a terminal", "aido runs"]);
    let q = Project::new();
    let mut command = q.command(["ui"]);
    command.env("TERM", "xterm");
    crate::running::Running::start(command).end().refused(&["nothing was run"]);
}

/// Copies of a run under other names: lists do not look into what was signed.
fn multiply(p: &Project, copies: u32) {
    let folder = p.path().join(".aido/sandboxes");
    let sandbox = std::fs::read_link(folder.join("latest")).unwrap();
    let run = std::fs::read_link(folder.join(&sandbox).join("runs/latest")).unwrap();
    for n in 0..copies {
        let (other, other_run) = (format!("s{n:012x}"), format!("r{n:012x}"));
        let to = folder.join(&other);
        copy(&folder.join(&sandbox), &to);
        std::fs::rename(to.join("runs").join(&run), to.join("runs").join(&other_run)).unwrap();
        let state = std::fs::read_to_string(to.join("state.json")).unwrap();
        std::fs::write(to.join("state.json"), state.replace(&*sandbox.to_string_lossy(), &other)).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Processor time in hundredths of a second.
fn cpu(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_thousand_runs_open_at_once_and_cost_nothing_while_nobody_types() {
    let p = Project::new();
    p.sh("true").ok();
    multiply(&p, 1000);
    p.aido(["runs"]).ok().prints("r0000000003e7");
    // Both with the index that the list before has written. The best of three: others are busy here, too.
    let listed = (0..3).map(|_| p.aido(["runs"]).took).min().unwrap();
    let mut took = Duration::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        let mut seat = Seat::at(&p, &["ui"]);
        seat.shows("1/1001");
        took = took.min(began.elapsed());
        seat.types("q");
        assert_eq!(seat.ends(), 0);
    }
    eprintln!("a list of 1,001 runs took {listed:?}, the screen with them {took:?}");
    assert!(took < listed * 3 + Duration::from_millis(150), "{took:?}, and the list {listed:?}");
    let mut seat = Seat::at(&p, &["ui"]);
    seat.shows("1/1001");
    seat.types("?");
    // Of the page only what differs is written, but for its number of rows.
    seat.shows("1-26/26");
    std::thread::sleep(Duration::from_millis(300));
    let before = cpu(seat.pid());
    std::thread::sleep(Duration::from_secs(10));
    let used = cpu(seat.pid()) - before;
    assert!(used <= 1, "{used} hundredths of a second in ten seconds");
    seat.types(":q\r");
    assert_eq!(seat.ends(), 0);
}
