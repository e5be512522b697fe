//! What keys do, and what is then on the screen.

use super::*;
use crate::program::Went;
use proptest::prelude::*;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

const NOW: u64 = 1_800_000_000_000;

pub(crate) fn words() -> Words {
    let event = |line: &[u8]| format!("2025-01-02T03:04:05.123456Z  begun  {}", String::from_utf8_lossy(line));
    Words {
        took: |ms| format!("{}s", ms / 1000),
        ago: |ms| format!("{}s ago", ms / 1000),
        size: |n| format!("{n} B"),
        event,
    }
}

fn place(run: &str, sandbox: &str) -> Place {
    Place { sandbox: sandbox.into(), run: run.into() }
}

fn run(id: &str, sandbox: &str, went: Went, end: &str) -> RunRow {
    RunRow {
        place: place(id, sandbox),
        name: "name".into(),
        task: format!("python3 {id}.py"),
        began: Some(NOW - 5000),
        took_ms: (went != Went::Running).then_some(3000),
        end: end.into(),
        went,
    }
}

fn runs() -> Vec<RunRow> {
    vec![
        run("r3", "s1", Went::Running, "running"),
        run("r2", "s2", Went::Badly, "exit 1"),
        run("r1", "s1", Went::Well, "exit 0"),
    ]
}

fn sandbox(id: &str, left: Left) -> SandboxRow {
    let name = format!("name of {id}");
    SandboxRow { id: id.into(), name, created: Some(NOW - 60_000), left, running: false, note: String::new(), runs: 2 }
}

/// All runs on a screen of so many cells.
fn model(width: u16, height: u16) -> Model {
    let mut model = Model::new("/home/me/project".into(), words(), (width, height));
    model.now = NOW;
    model.asks.clear();
    model.update(Event::Runs(Ok(runs())));
    model
}

fn screen(model: &mut Model) -> Vec<String> {
    model.lay_out();
    let (width, height) = model.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    view::draw(model, &mut buffer);
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

fn press(model: &mut Model, keys: &str) {
    keys.chars().for_each(|c| model.update(Event::Key(Key::Char(c))));
}

fn key(model: &mut Model, key: Key) {
    model.update(Event::Key(key));
}

fn asked(model: &mut Model) -> Vec<Ask> {
    model.asks.drain(..).collect()
}

#[track_caller]
fn shows(model: &mut Model, words: &[&str]) {
    let all = screen(model).join("\n");
    words.iter().for_each(|word| assert!(all.contains(word), "{word:?} is not in\n{all}"));
}

#[test]
fn the_list_of_runs_has_its_columns() {
    let lines = screen(&mut model(80, 10));
    assert_eq!(lines[0], "aido  runs  sandboxes                                           /home/me/project");
    assert_eq!(lines[1], "RUN            END            TASK                           STARTED   TOOK");
    assert_eq!(lines[2], "r3             running        python3 r3.py                  5s ago    5s");
    assert_eq!(lines[3], "r2             exit 1         python3 r2.py                  5s ago    3s");
    assert_eq!(lines[9], "enter open  o output  v verify  / filter  tab sandboxes  ? keys  q quit      1/3");
    let wide = screen(&mut model(120, 10));
    assert!(wide[1].contains("SANDBOX") && wide[2].contains("s1") && wide[2].contains("name"), "{wide:?}");
}

#[test]
fn lists_are_filtered_while_one_types() {
    let mut model = model(80, 10);
    press(&mut model, "/exit");
    assert_eq!(
        screen(&mut model)[9],
        "/exit                                                            /exit  1/2 of 3"
    );
    assert!(!screen(&mut model).join("").contains("r3.py"));
    key(&mut model, Key::Enter);
    press(&mut model, "j");
    assert!(matches!(model.top(), Some(Screen::Runs(list)) if list.table.selected().unwrap().place.run == "r1"));
    key(&mut model, Key::Esc);
    shows(&mut model, &["r3.py", "3/3"]);
    press(&mut model, "/nothing");
    shows(&mut model, &["nothing has these words"]);
    key(&mut model, Key::Esc);
    shows(&mut model, &["r3.py"]);
}

#[test]
fn a_sealed_run_opens_with_its_story_and_a_running_one_with_its_output() {
    let mut model = model(80, 12);
    key(&mut model, Key::Enter);
    assert_eq!(asked(&mut model), [Ask::Open(place("r3", "s1"), What::Both)]);
    model.update(Event::Opened(place("r3", "s1"), What::Both, Ok(Box::new(b"hello\nthere".to_vec()))));
    shows(&mut model, &["run r3  running for 5s  python3 r3.py", " 3 output ", "hello", "there", "1-2/2  following"]);
    assert_eq!((model.next_tick(), model.watched()), (Some(1000), Some(&place("r3", "s1"))));
    key(&mut model, Key::Esc);
    assert_eq!(asked(&mut model), [Ask::Runs]);
    press(&mut model, "jl");
    assert_eq!(asked(&mut model), [Ask::Story(place("r2", "s2"))]);
    shows(&mut model, &["reading …"]);
    model.update(Event::Story(place("r2", "s2"), Ok("\u{1b}[1mRun r2\u{1b}[0m exited with status 1\n".into())));
    shows(&mut model, &["Run r2 exited with status 1", "exit 1 after 3s"]);
    // Nothing on it moves by itself.
    assert_eq!(model.next_tick(), None);
    press(&mut model, "2");
    assert_eq!(asked(&mut model), [Ask::Open(place("r2", "s2"), What::Events)]);
    model.update(Event::Opened(place("r2", "s2"), What::Events, Ok(Box::new(b"x\n".to_vec()))));
    shows(&mut model, &["03:04:05.123  begun  x"]);
    // What was read is not read again.
    press(&mut model, "1");
    assert_eq!(asked(&mut model), []);
    key(&mut model, Key::Tab);
    key(&mut model, Key::BackTab);
    key(&mut model, Key::BackTab);
    assert_eq!(asked(&mut model), [Ask::Files(place("r2", "s2"))]);
}

#[test]
fn the_end_of_a_run_that_is_shown_is_seen() {
    let mut model = model(80, 12);
    press(&mut model, "s");
    model.update(Event::Story(place("r3", "s1"), Ok("is still running".into())));
    asked(&mut model);
    model.update(Event::Store);
    assert_eq!(asked(&mut model), [Ask::Runs]);
    let mut ended = runs();
    ended[0] = run("r3", "s1", Went::Well, "exit 0");
    model.update(Event::Runs(Ok(ended)));
    assert_eq!(asked(&mut model), [Ask::Story(place("r3", "s1"))]);
    shows(&mut model, &["exit 0 after 3s"]);
}

#[test]
fn files_are_opened_as_what_they_are() {
    let mut model = model(80, 12);
    press(&mut model, "ja");
    let of = |what, name: &str| FileRow { what, name: name.into(), size: 7, note: "new".into(), alert: false };
    let files = vec![
        of(What::Output("out/a.bin".into()), "out/a.bin"),
        of(What::Part("changes.diff".into()), "changes.diff"),
        of(What::Stderr, "stderr.log"),
    ];
    model.update(Event::Files(place("r2", "s2"), Ok(files)));
    shows(&mut model, &["FILE", "out/a.bin", "7 B", "new", "1/3"]);
    asked(&mut model);
    key(&mut model, Key::Enter);
    assert_eq!(asked(&mut model), [Ask::Open(place("r2", "s2"), What::Output("out/a.bin".into()))]);
    let what = What::Output("out/a.bin".into());
    model.update(Event::Opened(place("r2", "s2"), what, Ok(Box::new(b"\x00ELF".to_vec()))));
    shows(&mut model, &["out/a.bin of run r2", "00000000  00 45 4c 46", "hex  1-1/1"]);
    press(&mut model, "x");
    shows(&mut model, &["\\x00ELF"]);
    press(&mut model, "q");
    let what = What::Output("out/a.bin".into());
    model.update(Event::Opened(place("r2", "s2"), what, Err("replaced\u{1b}[2J".into())));
    shows(&mut model, &["out/a.bin: replaced\\x1b[2J"]);
    asked(&mut model);
    press(&mut model, "jj");
    key(&mut model, Key::Enter);
    assert_eq!(asked(&mut model), [Ask::Open(place("r2", "s2"), What::Stderr)]);
}

#[test]
fn sandboxes_have_time_left_and_are_destroyed_after_a_question() {
    let mut model = model(80, 10);
    key(&mut model, Key::Tab);
    assert_eq!(asked(&mut model), [Ask::Sandboxes]);
    let rows = vec![sandbox("s1", Left::Until(NOW + 65_900)), sandbox("s2", Left::Over("ended".into()))];
    model.update(Event::Sandboxes(Ok(rows)));
    shows(&mut model, &["s1             65s", "name of s1", "s2             ended"]);
    assert_eq!(model.next_tick(), Some(1000));
    key(&mut model, Key::Ctrl('d'));
    shows(&mut model, &["Its 2 runs go too, outputs, logs and evidence.\ndestroy sandbox s1 (name of s1)? [y/N]"]);
    key(&mut model, Key::Enter);
    assert_eq!(asked(&mut model), []);
    shows(&mut model, &["nothing was destroyed"]);
    key(&mut model, Key::Ctrl('d'));
    press(&mut model, "y");
    assert_eq!(asked(&mut model), [Ask::Destroy("s1".into())]);
    model.update(Event::Destroyed("s1".into(), Err("it is busy".into())));
    shows(&mut model, &["sandbox s1: it is busy"]);
    model.update(Event::Destroyed("s1".into(), Ok(())));
    shows(&mut model, &["sandbox s1 is destroyed"]);
    assert_eq!(asked(&mut model), [Ask::Sandboxes]);
    key(&mut model, Key::Enter);
    assert_eq!(asked(&mut model), [Ask::Runs]);
    model.update(Event::Runs(Ok(runs())));
    shows(&mut model, &["runs of s1", "1/2"]);
}

#[test]
fn the_question_is_about_what_was_selected_when_it_was_asked() {
    let mut model = model(80, 10);
    press(&mut model, "jj");
    key(&mut model, Key::Ctrl('d'));
    shows(
        &mut model,
        &["What runs in it is ended. Its 2 runs go too, outputs, logs and evidence.\ndestroy sandbox s1 (name)? [y/N]"],
    );
    // Another run comes, and the list moves.
    let mut more = runs();
    more.insert(0, run("r9", "s9", Went::Running, "running"));
    model.update(Event::Runs(Ok(more)));
    press(&mut model, "y");
    assert_eq!(asked(&mut model), [Ask::Destroy("s1".into())]);
    // The views of what is gone go with it.
    press(&mut model, "s");
    assert_eq!(model.stack.len(), 2);
    model.update(Event::Destroyed("s1".into(), Ok(())));
    assert_eq!(model.stack.len(), 1);
}

#[test]
fn commands_do_what_they_say() {
    let mut model = model(80, 10);
    press(&mut model, ":sandboxes");
    shows(&mut model, &[":sandboxes"]);
    key(&mut model, Key::Enter);
    assert!(matches!(model.top(), Some(Screen::Sandboxes(_))));
    press(&mut model, ":events\u{1b}");
    key(&mut model, Key::Enter);
    shows(&mut model, &["no such command: events\\x1b"]);
    press(&mut model, ":events");
    key(&mut model, Key::Enter);
    shows(&mut model, &["no run is selected"]);
    press(&mut model, ":runs");
    key(&mut model, Key::Enter);
    model.update(Event::Runs(Ok(runs())));
    asked(&mut model);
    press(&mut model, ":events");
    key(&mut model, Key::Enter);
    assert_eq!(asked(&mut model), [Ask::Open(place("r3", "s1"), What::Events)]);
    press(&mut model, ":verify");
    key(&mut model, Key::Enter);
    assert_eq!(asked(&mut model), [Ask::Verify(place("r3", "s1"))]);
    model.update(Event::Verified(place("r3", "s1"), Ok("verified".into())));
    shows(&mut model, &["evidence of run r3", "verified"]);
    press(&mut model, "?");
    shows(&mut model, &["keys", "the next view"]);
    press(&mut model, "qqq");
    assert_eq!((model.stack.len(), model.over), (1, None));
    press(&mut model, ":q");
    key(&mut model, Key::Enter);
    assert_eq!(model.over, Some(0));
}

#[test]
fn texts_are_searched() {
    let mut model = model(80, 10);
    press(&mut model, "o");
    let log: String = (0..100).map(|n| format!("line {n}\n")).collect();
    model.update(Event::Opened(place("r3", "s1"), What::Both, Ok(Box::new(log.into_bytes()))));
    screen(&mut model);
    press(&mut model, "g/LINE");
    key(&mut model, Key::Backspace);
    press(&mut model, "E 42");
    key(&mut model, Key::Enter);
    while model.is_working() {
        model.work();
        screen(&mut model);
    }
    shows(&mut model, &["not found: LINE 42"]);
    press(&mut model, "/line 42");
    key(&mut model, Key::Enter);
    while model.is_working() {
        model.work();
        screen(&mut model);
    }
    shows(&mut model, &["line 42"]);
    key(&mut model, Key::Esc);
    assert!(model.sheet().unwrap().needle().is_none());
    press(&mut model, "n");
    shows(&mut model, &["nothing was searched for"]);
    key(&mut model, Key::Esc);
    assert!(matches!(model.top(), Some(Screen::Runs(_))));
}

#[test]
fn what_strangers_wrote_breaks_no_line() {
    let mut model = model(80, 10);
    let mut rows = runs();
    for row in &mut rows {
        row.task = "a\u{1b}]0;owned\u{7}\u{202e}漢字\u{200b}e\u{301}\u{301}\u{301}\nsecond".repeat(20);
        row.name.clone_from(&row.task);
        row.end = "\u{9b}2J漢漢漢漢漢漢漢漢".into();
    }
    model.update(Event::Runs(Ok(rows)));
    for width in 40..130 {
        model.size.0 = width;
        let lines = screen(&mut model);
        let plain = |c: char| !c.is_control() && unicode_width::UnicodeWidthChar::width(c).is_some_and(|w| w > 0);
        assert!(lines.iter().all(|line| line.chars().all(plain)), "{lines:?}");
        assert!(lines[2].starts_with("r3             \\u{9b}2J"), "{lines:?}");
    }
}

#[test]
fn small_screens_say_so() {
    for (width, height) in [(0, 0), (1, 1), (39, 24), (80, 7)] {
        let lines = screen(&mut model(width, height)).join("");
        assert!("too small: ".starts_with(&lines[..lines.len().min(11)]), "{lines:?}");
    }
    assert!(screen(&mut model(40, 8))[2].starts_with("r3 "));
    let mut huge = model(u16::MAX, u16::MAX);
    assert_eq!(screen(&mut huge).len(), 400);
    huge.update(Event::Size(u16::MAX, 9));
    assert_eq!(screen(&mut huge).len(), 9);
}

fn keys() -> impl Strategy<Value = Key> {
    let named =
        [Key::Up, Key::Down, Key::Left, Key::Right, Key::PageUp, Key::PageDown, Key::Home, Key::End, Key::Enter]
            .into_iter()
            .chain([Key::Esc, Key::Tab, Key::BackTab, Key::Backspace, Key::Ctrl('d'), Key::Ctrl('z'), Key::Enter]);
    prop_oneof![
        prop::sample::select(named.collect::<Vec<_>>()),
        prop::sample::select("hjklgGfxnNsotrav123456:/?qy ".chars().collect::<Vec<_>>()).prop_map(Key::Char),
    ]
}

fn mouse() -> impl Strategy<Value = Mouse> {
    prop_oneof![
        prop::sample::select(vec![-3, 3, i64::MIN, i64::MAX]).prop_map(Mouse::Wheel),
        (0u16..140, 0u16..50).prop_map(|(x, y)| Mouse::Click(x, y)),
    ]
}

/// Answers as a program would, with contents that are as bad as can be.
fn answer(model: &mut Model, bytes: &[u8]) {
    while let Some(ask) = model.asks.pop_front() {
        let text = String::from_utf8_lossy(bytes).into_owned();
        model.update(match ask {
            Ask::Runs => Event::Runs(Ok(runs())),
            Ask::Sandboxes => Event::Sandboxes(Ok(vec![sandbox("s1", Left::Until(NOW + 9))])),
            Ask::Story(run) => Event::Story(run, Ok(text)),
            Ask::Files(run) => {
                let file = FileRow { what: What::Part("p".into()), name: text, size: 1, note: "n".into(), alert: true };
                Event::Files(run, Ok(vec![file]))
            }
            Ask::Open(run, what) => Event::Opened(run, what, Ok(Box::new(bytes.to_vec()))),
            Ask::Verify(run) => Event::Verified(run, Err(text)),
            Ask::Destroy(sandbox) => Event::Destroyed(sandbox, Ok(())),
            Ask::Suspend | Ask::Redraw | Ask::Mouse(_) => Event::Tick,
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_keys_on_no_screen_panic(
        keys in prop::collection::vec(
            (keys(), prop::option::weighted(0.05, (0u16..130, 0u16..40)), prop::option::weighted(0.2, mouse())),
            1..80,
        ),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut model = model(80, 24);
        for (key, size, mouse) in keys {
            model.update(Event::Key(key));
            if let Some(mouse) = mouse {
                model.update(Event::Mouse(mouse));
            }
            if let Some((width, height)) = size {
                model.update(Event::Size(width, height));
            }
            answer(&mut model, &bytes);
            let lines = screen(&mut model);
            let steers = |c: char| c.is_control() || c == '\u{202e}';
            prop_assert!(!lines.iter().any(|line| line.contains(steers)));
            for _ in 0..4 {
                model.work();
            }
        }
    }
}

/// Two lines of one stream, and one of the other between them.
struct Streams;

impl Bytes for Streams {
    fn size(&self) -> u64 {
        12
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> std::io::Result<usize> {
        b"one\nerr\ntwo\n".to_vec().read_at(at, into)
    }

    fn has_some_that_stand_out(&self) -> bool {
        true
    }

    fn stands_out(&self, at: u64) -> bool {
        (4..8).contains(&at)
    }
}

#[test]
fn standard_error_stands_out_in_the_output() {
    let mut model = model(80, 12);
    press(&mut model, "o");
    model.update(Event::Opened(place("r3", "s1"), What::Both, Ok(Box::new(Streams))));
    let lines = screen(&mut model);
    assert_eq!(lines[3..6], ["  one", "! err", "  two"]);
    let sheet = model.sheet().unwrap();
    let colours: Vec<_> = sheet.shown.iter().map(|row| row[1].style.fg).collect();
    assert_eq!(colours, [None, Some(ratatui_core::style::Color::Red), None]);
    // It is two files and no file.
    press(&mut model, "x");
    shows(&mut model, &["no bytes to show"]);
    press(&mut model, "/!");
    key(&mut model, Key::Enter);
    for _ in 0..4 {
        model.work();
    }
    shows(&mut model, &["not found: !"]);
}

#[test]
fn the_wheel_moves_and_a_click_selects_and_opens() {
    let mut model = model(80, 12);
    screen(&mut model);
    let selected = |model: &Model| match model.top() {
        Some(Screen::Runs(list)) => list.table.selected().unwrap().place.run.clone(),
        _ => String::new(),
    };
    let does = |model: &mut Model, mouse| model.update(Event::Mouse(mouse));
    does(&mut model, Mouse::Click(30, 3));
    assert_eq!(selected(&model), "r2");
    for nowhere in [(30, 1), (30, 5), (30, 11), (2, 0), (500, 500)] {
        does(&mut model, Mouse::Click(nowhere.0, nowhere.1));
        assert_eq!(selected(&model), "r2", "{nowhere:?}");
    }
    does(&mut model, Mouse::Wheel(3));
    assert_eq!(selected(&model), "r1");
    does(&mut model, Mouse::Wheel(-3));
    assert_eq!(selected(&model), "r3");
    // On the one that is selected: it opens.
    asked(&mut model);
    does(&mut model, Mouse::Click(0, 2));
    assert_eq!(asked(&mut model), [Ask::Open(place("r3", "s1"), What::Both)]);
    // " 1 story  2 events ": the second view.
    does(&mut model, Mouse::Click(10, 2));
    assert_eq!(asked(&mut model), [Ask::Open(place("r3", "s1"), What::Events)]);
    does(&mut model, Mouse::Click(12, 0));
    assert!(matches!(model.top(), Some(Screen::Sandboxes(_))));
    press(&mut model, ":mouse off");
    key(&mut model, Key::Enter);
    assert!(asked(&mut model).contains(&Ask::Mouse(false)));
    shows(&mut model, &[":mouse on"]);
}
