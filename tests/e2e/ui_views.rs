//! `aido ui`: both streams as one, and the mouse.

use crate::project::Project;
use crate::tmux::Tmux;

const UI: &str = "$AIDO ui; echo status $?";
const MIXED: &str =
    "echo first; sleep 0.1; echo wrong >&2; sleep 0.1; printf 'name? '; sleep 0.1; echo none >&2; sleep 0.1; echo last";

#[test]
fn both_streams_are_one_view_in_their_order() {
    let p = Project::new();
    p.sh(MIXED).ok();
    for (colour, line) in [(true, UI), (false, "NO_COLOR=1 $AIDO ui; echo status $?")] {
        let tmux = tmux!(&p, (90, 20), line);
        tmux.shows("exit 0");
        tmux.types("o");
        let screen = tmux.shows("  last");
        let lines: Vec<&str> = screen.lines().skip(3).take(5).collect();
        assert_eq!(lines, ["  first", "! wrong", "  name? ", "! none", "  last"].map(str::trim_end), "{screen}");
        assert_eq!(tmux.coloured().contains("\x1b[38;5;1m! wrong"), colour, "{:?}", tmux.coloured());
        tmux.types("5");
        let screen = tmux.until("one stream", |screen| !screen.contains("  first"));
        assert!(screen.contains("\nwrong\nnone\n"), "{screen}");
    }
}

#[test]
fn the_mouse_selects_and_scrolls_and_is_let_go() {
    let p = Project::new();
    p.sh("seq 100").ok();
    p.aido(["run", "--quiet", "--", "false"]).code(1);
    let tmux = tmux!(&p, (90, 20), UI);
    let list = tmux.shows("exit 1");
    assert!(list.lines().nth(3).unwrap().contains("exit 0"), "{list}");
    let mouse = |tmux: &Tmux<'_>| tmux.does(&["display-message", "-p", "#{mouse_standard_flag}#{mouse_sgr_flag}"]);
    assert_eq!(mouse(&tmux).trim(), "11");
    // A click on the second row, and one more.
    tmux.types("\x1b[<0;10;4M\x1b[<0;10;4m");
    tmux.shows("2/2");
    tmux.types("\x1b[<0;10;4M\x1b[<0;10;4m");
    tmux.shows("succeeded");
    // " 1 story  2 events  3 output "
    tmux.types("\x1b[<0;25;3M\x1b[<0;25;3m");
    tmux.shows("following");
    tmux.types("\x1b[<64;25;9M");
    tmux.until("three rows above the end", |screen| {
        screen.contains("/100") && screen.contains("\n97\n") && !screen.contains("\n98\n")
    });
    tmux.types(":mouse off");
    tmux.keys(&["Enter"]);
    tmux.shows("the terminal's");
    assert_eq!(mouse(&tmux).trim(), "00");
    tmux.types(":mouse on");
    tmux.keys(&["Enter"]);
    tmux.shows("moves and selects here");
    tmux.types("?");
    tmux.shows(":mouse off");
    tmux.types("qqq");
    tmux.is_given_back("status 0");
    assert_eq!(mouse(&tmux).trim(), "00");
}
