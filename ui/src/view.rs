//! The screen's cells, from the model alone.

use crate::model::{Mode, Model, RunList, Screen};
use crate::program::{FileRow, Left, RunRow, SandboxRow, Went};
use crate::run::{RunScreen, Tab};
use crate::sheet::Sheet;
use crate::table::{Item, Table};
use crate::text::{Row, Span, clean, fit, put, row, width};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};

/// The smallest screen on which something can be read.
pub(crate) const SMALLEST: (u16, u16) = (40, 8);

/// The largest: what a terminal says of itself is no reason to take all memory.
const LARGEST: (u16, u16) = (1000, 400);

/// As much of a terminal as is drawn on.
pub(crate) fn bounded(size: (u16, u16)) -> (u16, u16) {
    (size.0.min(LARGEST.0), size.1.min(LARGEST.1))
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

/// A column of a list.
struct Column<T> {
    name: &'static str,
    /// Cells; 0 takes what is left.
    width: u16,
    /// The narrowest screen that has it.
    from: u16,
    cell: fn(&T, &Model) -> (String, Style),
}

/// What can be clicked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    Runs,
    Sandboxes,
    Tab(Tab),
    /// A row in sight of the list that is shown.
    Row(u16),
}

/// What is drawn at a place.
pub(crate) fn spot(model: &Model, x: u16, y: u16) -> Option<Spot> {
    let listed = |top: u16| y.checked_sub(top).filter(|row| *row < room(model)).map(Spot::Row);
    match (model.top()?, y) {
        (_, 0) => match x {
            5..11 => Some(Spot::Runs),
            11..22 => Some(Spot::Sandboxes),
            _ => None,
        },
        (Screen::Run(_), 2) => {
            let mut end = 0;
            tabs_of_a_run(model.size.0).find_map(|(name, tab)| {
                end += name.len();
                (usize::from(x) < end).then_some(Spot::Tab(tab))
            })
        }
        (Screen::Runs(_) | Screen::Sandboxes(_), _) => listed(2),
        (Screen::Run(run), _) if run.tab == Tab::Files => listed(4),
        _ => None,
    }
}

/// Rows that the content of the screen has.
pub(crate) fn room(model: &Model) -> u16 {
    let around = match model.top() {
        // Title and tabs beside header and footer; the list of files has a head, too.
        Some(Screen::Run(run)) => 4 + u16::from(run.tab == Tab::Files),
        _ => 3,
    };
    model.size.1.saturating_sub(around)
}

pub(crate) fn draw(model: &Model, buffer: &mut Buffer) {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    if columns < SMALLEST.0 || rows < SMALLEST.1 {
        let said = format!("too small: {columns}x{rows}, {}x{} at least", SMALLEST.0, SMALLEST.1);
        put(buffer, (0, 0), 0, columns, &row(said, Style::new()));
        return;
    }
    header(model, buffer);
    match model.top() {
        Some(Screen::Runs(list)) => table(buffer, 1, &list.table, RUNS, model, nothing_run(list)),
        Some(Screen::Sandboxes(list)) => {
            table(buffer, 1, list, SANDBOXES, model, "no sandboxes; `aido sandbox up` makes one");
        }
        Some(Screen::Run(run)) => one_run(buffer, run, model),
        Some(Screen::Sheet(titled)) => {
            put(buffer, (0, 1), 0, columns, &row(titled.title.as_str(), BOLD));
            sheet(buffer, 2, &titled.sheet);
        }
        None => {}
    }
    footer(model, buffer);
}

fn nothing_run(list: &RunList) -> &'static str {
    if list.of.is_some() {
        "nothing was run in it yet"
    } else {
        "no run in this project yet; `aido run TASK` makes one"
    }
}

fn header(model: &Model, buffer: &mut Buffer) {
    let columns = buffer.area.width;
    let root = model.stack.first();
    let tab = |name: &str, here: bool| Span {
        text: format!(" {name} "),
        style: if here { CHOSEN.add_modifier(Modifier::BOLD) } else { Style::new() },
    };
    let mut line: Row = vec![Span { text: "aido ".into(), style: BOLD.fg(Color::Cyan) }];
    line.push(tab("runs", matches!(root, Some(Screen::Runs(_)))));
    line.push(tab("sandboxes", matches!(root, Some(Screen::Sandboxes(_)))));
    if let Some(Screen::Runs(RunList { of: Some(sandbox), .. })) = model.top() {
        line.push(Span { text: format!(" runs of {}", clean(sandbox)), style: BOLD });
    }
    let used = put(buffer, (0, 0), 0, columns, &line);
    let room = columns.saturating_sub(used + 1);
    // The end of a path tells more than its beginning.
    let title: String = match width(&model.title) > usize::from(room) {
        true => {
            let tail: Vec<char> = model.title.chars().rev().take(usize::from(room.saturating_sub(1)) / 2).collect();
            std::iter::once('…').chain(tail.into_iter().rev()).collect()
        }
        false => model.title.clone(),
    };
    let at = columns.saturating_sub(u16::try_from(width(&title)).unwrap_or(columns));
    put(buffer, (at.max(used + 1), 0), 0, room, &row(title, DIM));
}

/// With their keys where there is room.
fn tabs_of_a_run(columns: u16) -> impl Iterator<Item = (String, Tab)> {
    Tab::ALL.into_iter().enumerate().map(move |(number, tab)| match columns {
        ..60 => (format!("{} ", tab.name()), tab),
        _ => (format!(" {} {} ", number + 1, tab.name()), tab),
    })
}

fn one_run(buffer: &mut Buffer, run: &RunScreen, model: &Model) {
    let columns = buffer.area.width;
    let lasted = run.row.lasted(model.now).map_or_else(String::new, |ms| format!(" after {}", (model.words.took)(ms)));
    let end = match run.row.went {
        Went::Running => format!("running{}", lasted.replace(" after ", " for ")),
        _ => format!("{}{lasted}", clean(&run.row.end)),
    };
    let title = vec![
        Span { text: format!("run {}  ", clean(&run.row.place.run)), style: BOLD },
        Span { text: end, style: colour(run.row.went) },
        Span { text: format!("  {}", clean(&run.row.task)), style: Style::new() },
    ];
    put(buffer, (0, 1), 0, columns, &title);
    let mut tabs = Row::new();
    for (name, tab) in tabs_of_a_run(columns) {
        let style = if tab == run.tab { CHOSEN } else { Style::new() };
        tabs.push(Span { text: name, style });
    }
    put(buffer, (0, 2), 0, columns, &tabs);
    match (run.sheet(), run.tab) {
        (Some(shown), _) => {
            sheet(buffer, 3, shown);
            if shown.count() == 0 && matches!(run.tab, Tab::Both | Tab::Out | Tab::Err) {
                let said = if run.row.went == Went::Running { "nothing written yet" } else { "nothing was written" };
                put(buffer, (0, 3), 0, columns, &row(said, DIM));
            }
        }
        (None, Tab::Files) => table(buffer, 3, &run.files, FILES, model, "it has left nothing"),
        _ => drop(put(buffer, (0, 3), 0, columns, &row("reading …", DIM))),
    }
}

fn sheet(buffer: &mut Buffer, top: u16, sheet: &Sheet) {
    let (columns, last) = (buffer.area.width, buffer.area.height.saturating_sub(1));
    for (at, shown) in (top..last).zip(&sheet.shown) {
        put(buffer, (0, at), sheet.left(), columns, shown);
    }
}

fn table<T: Item>(buffer: &mut Buffer, top: u16, table: &Table<T>, columns: &[Column<T>], model: &Model, none: &str) {
    let all = buffer.area.width;
    let shown: Vec<&Column<T>> = columns.iter().filter(|column| column.from <= all).collect();
    let fixed: u16 = shown.iter().map(|column| column.width).sum();
    let widths: Vec<u16> =
        shown.iter().map(|c| if c.width == 0 { all.saturating_sub(fixed) } else { c.width }).collect();
    let mut x = 0;
    for (column, width) in shown.iter().zip(&widths) {
        put(buffer, (x, top), 0, *width, &row(column.name, DIM));
        x += width;
    }
    for (y, (item, chosen)) in (top + 1..).zip(table.shown()) {
        let mut x = 0;
        for (column, width) in shown.iter().zip(&widths) {
            let (text, style) = (column.cell)(item, model);
            // A cell is between this column and the next.
            let room = width.saturating_sub(2);
            put(buffer, (x, y), 0, room, &row(fit(&clean(&text), usize::from(room)), style));
            x += width;
        }
        if chosen {
            buffer.set_style(Rect::new(0, y, all, 1), CHOSEN);
        }
    }
    if table.is_read && table.place().1 == 0 {
        let said =
            if table.filter().is_empty() { none.to_owned() } else { "nothing has these words; esc shows all".into() };
        put(buffer, (0, top + 1), 0, all, &row(said, DIM));
    }
}

fn colour(went: Went) -> Style {
    match went {
        Went::Running => Style::new().fg(Color::Cyan),
        Went::Well => Style::new().fg(Color::Green),
        Went::Badly => Style::new().fg(Color::Red),
        Went::Unknown => Style::new().fg(Color::Yellow),
    }
}

fn since(then: Option<u64>, model: &Model) -> String {
    then.map_or_else(|| "-".to_owned(), |then| (model.words.ago)(model.now.saturating_sub(then)))
}

const RUNS: &[Column<RunRow>] = &[
    Column { name: "RUN", width: 15, from: 0, cell: |run, _| (run.place.run.clone(), BOLD) },
    Column { name: "END", width: 15, from: 0, cell: |run, _| (run.end.clone(), colour(run.went)) },
    Column { name: "SANDBOX", width: 15, from: 112, cell: |run, _| (run.place.sandbox.clone(), DIM) },
    Column { name: "NAME", width: 14, from: 96, cell: |run, _| (run.name.clone(), Style::new()) },
    Column { name: "TASK", width: 0, from: 0, cell: |run, _| (run.task.clone(), Style::new()) },
    Column { name: "STARTED", width: 10, from: 60, cell: |run, model| (since(run.began, model), Style::new()) },
    Column {
        name: "TOOK",
        width: 9,
        from: 70,
        cell: |run, model| (run.lasted(model.now).map_or_else(|| "-".into(), model.words.took), Style::new()),
    },
];

const SANDBOXES: &[Column<SandboxRow>] = &[
    Column { name: "SANDBOX", width: 15, from: 0, cell: |sandbox, _| (sandbox.id.clone(), BOLD) },
    Column { name: "LEFT", width: 11, from: 0, cell: left },
    Column { name: "RUNS", width: 6, from: 60, cell: |sandbox, _| (sandbox.runs.to_string(), Style::new()) },
    Column { name: "NAME", width: 0, from: 0, cell: |sandbox, _| (sandbox.name.clone(), Style::new()) },
    Column {
        name: "STATE",
        width: 22,
        from: 76,
        cell: |sandbox, _| match (sandbox.running, sandbox.note.as_str()) {
            (true, "") => ("a task runs in it".into(), Style::new().fg(Color::Cyan)),
            (_, note) => (note.into(), Style::new().fg(Color::Yellow)),
        },
    },
    Column { name: "MADE", width: 10, from: 60, cell: |sandbox, model| (since(sandbox.created, model), Style::new()) },
];

fn left(sandbox: &SandboxRow, model: &Model) -> (String, Style) {
    match &sandbox.left {
        Left::Until(end) if *end > model.now => {
            let ms = end - model.now;
            // Tenths would be wrong a moment later.
            let text = (model.words.took)(ms / 1000 * 1000);
            (text, Style::new().fg(if ms < 60_000 { Color::Yellow } else { Color::Green }))
        }
        Left::Until(_) => ("expired".into(), Style::new().fg(Color::Yellow)),
        Left::Over(word) => (word.clone(), DIM),
    }
}

const FILES: &[Column<FileRow>] = &[
    Column { name: "FILE", width: 0, from: 0, cell: |file, _| (file.name.clone(), Style::new()) },
    Column { name: "SIZE", width: 11, from: 0, cell: |file, model| ((model.words.size)(file.size), Style::new()) },
    Column {
        name: "WHAT",
        width: 34,
        from: 70,
        cell: |file, _| (file.note.clone(), if file.alert { Style::new().fg(Color::Yellow) } else { DIM }),
    },
];

fn footer(model: &Model, buffer: &mut Buffer) {
    let (columns, y) = (buffer.area.width, buffer.area.height - 1);
    let place = place(model);
    let right = u16::try_from(width(&place)).unwrap_or(0).min(columns);
    let room = columns.saturating_sub(right + 1);
    match (&model.mode, &model.note) {
        (Mode::Question(_, [what, question]), _) => {
            let (room, style) = (usize::from(columns), BOLD.fg(Color::Yellow));
            for x in 0..columns {
                buffer[(x, y - 1)].reset();
            }
            put(buffer, (0, y - 1), 0, columns, &row(fit(what, room), style));
            put(buffer, (0, y), 0, columns, &row(fit(question, room - 6) + " [y/N]", style));
            return;
        }
        (Mode::Typing(line), _) => {
            let typed = format!("{}{}", line.sign(), clean(&line.text));
            let hidden = (width(&typed) + 1).saturating_sub(usize::from(room));
            let used = put(buffer, (0, y), hidden, room, &row(typed, BOLD));
            put(buffer, (used, y), 0, 1, &row(" ", CHOSEN));
        }
        (_, Some(note)) => {
            let style = if note.bad { Style::new().fg(Color::Red) } else { Style::new() };
            put(buffer, (0, y), 0, room, &row(fit(&note.text, room.into()), style));
        }
        _ => drop(put(buffer, (0, y), 0, room, &row(fit(hint(model), room.into()), DIM))),
    }
    put(buffer, (columns - right, y), 0, right, &row(place, DIM));
}

fn hint(model: &Model) -> &'static str {
    match model.top() {
        Some(Screen::Runs(RunList { of: None, .. })) => {
            "enter open  o output  v verify  / filter  tab sandboxes  ? keys  q quit"
        }
        Some(Screen::Runs(_)) => "enter open  o output  v verify  ^D destroy  / filter  esc back  ? keys",
        Some(Screen::Sandboxes(_)) => "enter its runs  ^D destroy  / filter  tab runs  ? keys  q quit",
        Some(Screen::Run(run)) => match run.tab {
            Tab::Files => "enter open  / filter  tab next  v verify  esc back  ? keys",
            Tab::Story => "tab next  / search  v verify  ^D destroy  esc back  ? keys",
            _ => "tab next  / search n N  f follow  ← →  x hex  esc back  ? keys",
        },
        _ => "/ search n N  ← → sideways  x hex  esc back  ? keys",
    }
}

/// Where one is in what is shown.
fn place(model: &Model) -> String {
    fn of_table<T: Item>(table: &Table<T>) -> String {
        let (at, kept, all) = table.place();
        match table.filter() {
            "" => format!("{at}/{all}"),
            filter => format!("/{}  {at}/{kept} of {all}", fit(&clean(filter), 20)),
        }
    }
    let of_sheet = |sheet: &Sheet| {
        let (first, last, all) = sheet.place();
        let follow = if sheet.is_following() { "  following" } else { "" };
        let sideways = if sheet.left() > 0 { format!("  +{}", sheet.left()) } else { String::new() };
        let hex = if sheet.is_hex() { "hex  " } else { "" };
        format!("{hex}{first}-{last}/{all}{sideways}{follow}")
    };
    match model.top() {
        Some(Screen::Runs(list)) => of_table(&list.table),
        Some(Screen::Sandboxes(table)) => of_table(table),
        Some(Screen::Run(run)) => match run.sheet() {
            Some(sheet) => of_sheet(sheet),
            None if run.tab == Tab::Files => of_table(&run.files),
            None => String::new(),
        },
        Some(Screen::Sheet(titled)) => of_sheet(&titled.sheet),
        None => String::new(),
    }
}
