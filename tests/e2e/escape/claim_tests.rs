//! Claims against summaries made by hand: each must hold where it is true, and must not where it is not.

use super::claim::{Claim, Left};
use super::verdict::Verdict;
use serde_json::{Value, json};

fn whole() -> Value {
    json!({
        "outcome": {
            "end": {"reason": "exited", "code": 3},
            "usage": {"pids_refused": 2},
            "refused": [
                {"call": "unshare", "number": 272, "answer": "EPERM", "process": "python3", "count": 4},
                {"call": "bpf", "number": 321, "answer": "EPERM", "process": "", "count": 1}
            ]
        },
        "enforced": {
            "network": {"force": "in-force", "by": "x", "proof": "a connect failed"},
            "files": {"force": "in-force", "by": "x"},
            "syscalls": {"force": "in-force", "by": "x", "proof": ""},
            "memory": {"force": "weaker", "by": "x"}
        },
        "hidden": [".env", ".git"],
        "outputs": {
            "artifacts": [{"path": "plain", "size": 1, "digest": "sha256:0"}],
            "omitted": [{"path": "pipe", "why": "a pipe"}, {"path": "blank", "why": ""}]
        },
        "output": {"stdout": {"kept": 1, "dropped": 9}, "stderr": {"kept": 0, "dropped": 0}}
    })
}

fn holds(claim: &str, summary: &Value) -> bool {
    let left = Left { summary: Some(summary), texts: "a plan with TOKEN=abc", code: Some(3), told: "no such key" };
    Claim::parse(claim).unwrap().fault(&left).is_none()
}

#[test]
fn claims_hold_where_they_are_true_and_fail_where_not() {
    let whole = whole();
    for (claim, expected) in [
        ("call unshare", true),
        ("call clone|unshare", true),
        ("call mount", false),
        // No process is named with it.
        ("call bpf", false),
        ("control network", true),
        ("control files", true),
        // A canary that saw nothing is none.
        ("control syscalls", false),
        ("control memory", false),
        ("control second-wall", false),
        ("end exited", true),
        ("end exited 3", true),
        ("end exited 4", false),
        ("end deadline", false),
        ("limit pids", true),
        ("limit output", true),
        ("limit memory", false),
        ("omitted pipe", true),
        ("omitted blank", false),
        ("omitted plain", false),
        ("collected plain", true),
        ("collected pipe", false),
        ("hidden .env", true),
        ("hidden .en", false),
        ("unsaid secret", true),
        ("unsaid abc", false),
        // The task ended with 3: aido refused nothing.
        ("config no such key", false),
    ] {
        assert_eq!(holds(claim, &whole), expected, "{claim}");
    }
    assert!(!holds("call unshare", &json!({"outcome": {}})), "a record without refusals has none");
    for text in ["call", "limit disk", "end exited x", "whatever x"] {
        assert!(Claim::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_refusal_by_aido_itself_is_told_by_status_and_words() {
    let config = Claim::parse("config unknown key").unwrap();
    let fault = |code, told| config.fault(&Left { summary: None, texts: "", code: Some(code), told }).is_some();
    assert!(!fault(125, "error: unknown key `x`"));
    assert!(fault(125, "error: something else") && fault(0, "unknown key"));
}

#[test]
fn verdicts_are_read_from_the_first_line_that_has_one() {
    assert_eq!(
        Verdict::told("noise\nREFUSED EPERM ENOSYS\n"),
        Some(Verdict::Refused(vec!["EPERM".into(), "ENOSYS".into()]))
    );
    assert_eq!(Verdict::told("SUCCEEDED a ring\nREFUSED EPERM\n"), Some(Verdict::Succeeded("a ring".into())));
    assert_eq!(Verdict::told("REFUSEDLY\n"), None);
    let refused = Verdict::told("REFUSED EPERM ENOSYS").unwrap();
    assert!(refused.is_refused_as(&["ENOSYS".into(), "EPERM".into()]) && !refused.is_refused_as(&["EPERM".into()]));
    assert!(!Verdict::Refused(Vec::new()).is_refused_as(&["EPERM".into()]), "nothing was tried");
}

#[test]
fn a_head_with_a_mistake_is_no_case() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        super::head::Attack::read("kernel", &path)
    };
    let whole =
        "# promise: 2\n# tries: x\n# refused: EPERM\n# record: call bpf\n# proof: bare\n#\n# prose: of any kind\n";
    let attack = read("a.py", &format!("#!/bin/python\n{whole}import os\n")).unwrap();
    assert_eq!((attack.title().as_str(), attack.promise, attack.record.len()), ("kernel/a", 2, 1));
    for line in ["promise", "tries", "refused", "record", "proof"] {
        let rest: String =
            whole.lines().filter(|l| !l.contains(&format!("{line}:"))).map(|l| format!("{l}\n")).collect();
        assert!(read("b.py", &rest).is_err(), "without `{line}:` it says too little");
    }
    for (from, to) in
        [("proof: bare", "proof: bear"), ("tries", "trys"), ("call bpf", "calls bpf"), ("promise: 2", "promise: 20")]
    {
        assert!(read("c.py", &whole.replace(from, to)).is_err(), "{to}");
    }
    assert!(read("d.txt", whole).is_err() && read("e.c", whole).is_err());
    assert!(read("f.py", &whole.replace("# proof: bare", "# proof: unwrapped")).is_err(), "nothing to unwrap");
}
