//! `aido completions` in real shells, and `aido man` for a real man.

use crate::host;
use crate::project::Project;
use crate::running::Running;
use crate::seat::Seat;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// A shell of the project that finds the program under its own name.
fn shell(p: &Project, program: &str, args: &[&str]) -> Command {
    let bin = p.home().join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        symlink(host::aido(), bin.join("aido")).unwrap();
    }
    let like = p.command(["unused"]);
    let mut command = Command::new(program);
    command.args(args).env_clear().current_dir(p.path());
    command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
    command.env("PATH", path).env("PS1", "").env("PROMPT", "").env("ZDOTDIR", p.home());
    command
}

/// What bash offers for the words, of which the last is being typed.
fn in_bash(p: &Project, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source <(aido completions bash); f=$(complete -p aido | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); \
         COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9; $f aido \"${{COMP_WORDS[COMP_CWORD]}}\" x 2>/dev/null; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1
    );
    let out = Running::start(shell(p, "bash", &["--norc", "--noprofile", "-c", &script])).end();
    out.ok().text().lines().map(|line| line.trim_end().to_string()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn bash_completes_commands_options_files_ids_and_runs() {
    let p = Project::with(&[("script.py", ""), ("data.csv", "")]);
    let id = p.aido(["sandbox", "up"]).ok().text().trim().to_string();
    p.sh("true").ok();
    let run = p.aido(["runs", "--json"]).ok().json()[0]["run"].as_str().unwrap().to_string();
    let offers = |words: &[&str], wanted: &str| {
        let offered = in_bash(&p, words);
        assert!(offered.iter().any(|offer| offer == wanted), "{words:?} offers no {wanted}: {offered:?}");
    };
    offers(&["aido", "sand"], "sandbox");
    offers(&["aido", "sandbox", "des"], "destroy");
    offers(&["aido", "run", "--accept"], "--accept-weaker");
    offers(&["aido", "run", "--sandbox", ""], &id);
    offers(&["aido", "sandbox", "destroy", &id[..3]], &id);
    offers(&["aido", "show", ""], &run);
    offers(&["aido", "logs", &run[..3]], &run);
    offers(&["aido", "diff", ""], &run);
    offers(&["aido", "show", "la"], "latest");
    offers(&["aido", "check", "dat"], "data.csv");
    offers(&["aido", "run", "scr"], "script.py");
    offers(&["aido", "run", "--runtime", "ho"], "host");
    offers(&["aido", "completions", "z"], "zsh");
    assert!(!in_bash(&p, &["aido", "key", "export", ""]).contains(&id), "a sandbox is offered where a key is named");
    // From elsewhere: what is there is offered, and its files.
    let (elsewhere, there) = (Project::new(), p.path().display().to_string());
    let offers = |words: &[&str], wanted: &str| {
        let offered = in_bash(&elsewhere, words);
        assert!(offered.iter().any(|offer| offer == wanted), "{words:?} offers no {wanted}: {offered:?}");
    };
    offers(&["aido", "-C", &there, "show", ""], &run);
    offers(&["aido", "sandbox", "destroy", "-C", &there, ""], &id);
    offers(&["aido", &format!("--project={there}"), "run", "scr"], "script.py");
    assert!(!in_bash(&elsewhere, &["aido", "show", ""]).contains(&run));
    assert!(!in_bash(&elsewhere, &["aido", "run", "make", "-C", &there, "scr"]).contains(&"script.py".into()));
    // To look is all that it does.
    assert_eq!(p.aido(["runs", "--json"]).ok().json().as_array().unwrap().len(), 1);
    p.aido(["sandbox", "destroy", &id]).ok();
}

#[test]
fn at_a_terminal_the_key_is_enough() {
    let p = Project::new();
    let mut seat = Seat::of(shell(&p, "bash", &["--norc", "--noprofile", "-i"]));
    seat.types("source <(aido completions bash); echo rea''dy\r");
    seat.shows("ready");
    seat.types("aido comple\tba\t | head -c 0; echo do''ne\r");
    seat.shows("completions bash");
    seat.shows("done");
    seat.types("exit\r");
    assert_eq!(seat.ends(), 0);
}

#[test]
fn a_project_of_strangers_cannot_type_anything() {
    let p = Project::new();
    p.sh("true").ok();
    let sandboxes = p.path().join(".aido/sandboxes");
    for name in ["s$(touch pwned)", "s\n-x", "s`id`"] {
        fs::create_dir(sandboxes.join(name)).unwrap();
    }
    let offered = in_bash(&p, &["aido", "run", "--sandbox", ""]);
    assert!(!offered.is_empty() && offered.iter().all(|offer| !offer.contains(['$', '`', '-'])), "{offered:?}");
    assert!(!p.path().join("pwned").exists());
    // No project at all is no reason to complain.
    assert_eq!(in_bash(&Project::new(), &["aido", "show", ""])[0], "latest");
    assert!(!in_bash(&p, &["aido", "show", ""]).is_empty());
}

#[test]
fn fish_completes_the_same() {
    if !is_there("fish") {
        skip!("fish is missing (apt-get install fish)");
    }
    let p = Project::new();
    p.sh("true").ok();
    let run = p.aido(["runs", "--json"]).ok().json()[0]["run"].as_str().unwrap().to_string();
    let there = format!("aido -C {} show ", p.path().display());
    let here = "cd /; ";
    for (place, line, wanted) in [
        ("", "aido sand", "sandbox"),
        ("", "aido show ", run.as_str()),
        ("", "aido run --fil", "--filesystem"),
        (here, &there, &run),
    ] {
        let script = format!("{place}aido completions fish | source; complete -C '{line}'");
        let out = Running::start(shell(&p, "fish", &["--no-config", "-c", &script])).end();
        let found = out.ok().text().lines().any(|offer| offer.split('\t').next() == Some(wanted));
        assert!(found, "{line:?} offers no {wanted}{out}");
    }
}

#[test]
fn zsh_completes_the_same() {
    if !is_there("zsh") {
        skip!("zsh is missing (apt-get install zsh)");
    }
    let p = Project::new();
    p.sh("true").ok();
    let run = p.aido(["runs", "--json"]).ok().json()[0]["run"].as_str().unwrap().to_string();
    let mut seat = Seat::of(shell(&p, "zsh", &["-f", "-i"]));
    seat.types("autoload -U compinit; compinit -u -D; source <(aido completions zsh); echo rea''dy\r");
    seat.shows("ready");
    seat.types(format!("aido sho\t{}\t | head -c 0; echo do''ne\r", &run[..run.len() - 3]));
    seat.shows(&run[..run.len() - 3]);
    seat.shows("done");
    seat.types("fc -ln -2 | cat; echo li''sted\r");
    seat.shows(&format!("aido show {run}"));
    seat.shows("listed");
    let there = format!("cd /; aido -C {} show {run}", p.path().display());
    seat.types(format!("{}\t | head -c 0; echo do''ne\r", &there[..there.len() - 3]));
    seat.shows("done");
    seat.types("fc -ln -2 | cat; echo li''sted\r");
    seat.shows(&there);
    seat.shows("listed");
    seat.types("exit\r");
    seat.ends();

    // As a package lays it down: in the search path, and read at the first key.
    let functions = p.home().join("functions");
    fs::create_dir(&functions).unwrap();
    fs::write(functions.join("_aido"), p.aido(["completions", "zsh"]).ok().text()).unwrap();
    let mut seat = Seat::of(shell(&p, "zsh", &["-f", "-i"]));
    seat.types(format!("fpath=({} $fpath); autoload -U compinit; compinit -u -D; echo rea''dy\r", functions.display()));
    seat.shows("ready");
    seat.types("aido comple\tfi\t | head -c 0; echo do''ne\r");
    seat.shows("done");
    seat.types("fc -ln -2 | cat; echo li''sted\r");
    seat.shows("aido completions fish");
    seat.shows("listed");
    seat.types("exit\r");
    seat.ends();
}

#[test]
fn what_a_shell_never_asked_for_is_refused() {
    let p = Project::new();
    let mut command = p.command(["run", "--", "touch", "/outputs/x"]);
    command.env("AIDO_COMPLETE", "no-such-shell");
    Running::start(command).end().code(125);
    p.aido(["completions", "tcsh"]).code(125).says("bash");
    p.aido(["completions", "powershell"]).ok().prints("Register-ArgumentCompleter");
}

#[test]
fn there_is_a_page_for_every_command_and_man_has_no_complaint() {
    let p = Project::new();
    p.aido(["man"]).ok().prints(".TH aido 1 \" \" \"aido ");
    p.aido(["man", "pages/man1"]).ok();
    let pages: Vec<_> = fs::read_dir(p.path().join("pages/man1")).unwrap().flatten().map(|page| page.path()).collect();
    let names: Vec<String> =
        pages.iter().map(|page| page.file_name().unwrap().to_string_lossy().into_owned()).collect();
    for page in ["aido.1", "aido-run.1", "aido-sandbox-up.1", "aido-image-pull.1", "aido-init.1"] {
        assert!(names.iter().any(|name| name == page), "no {page} among {names:?}");
    }
    if !is_there("man") {
        skip!("man is missing (apt-get install man-db)");
    }
    for page in pages {
        let mut man = Command::new("man");
        man.args(["--warnings=all", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(&page)
            .env("MANROFFSEQ", "")
            .env("LC_ALL", "C.UTF-8");
        let out = man.output().unwrap();
        let told = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && told.is_empty(), "{}: {told}", page.display());
    }
}
