//! The diff of two texts in unified form.

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline, group_diff_ops};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const CONTEXT: usize = 3;
/// More lines are put into a patch as binary.
const MOST_LINES: usize = 500_000;
/// After that the diff is as good as it is: longer than needed, but right.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lines added and removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Counted {
    pub added: usize,
    pub removed: usize,
}

/// How many lines differ; `None` where there are too many to look at.
pub(crate) fn count(old: &[u8], new: &[u8]) -> Option<Counted> {
    let (old, new) = (lines(old)?, lines(new)?);
    let (mut added, mut removed) = (0, 0);
    for op in ops(&old, &new) {
        if !matches!(op, DiffOp::Equal { .. }) {
            removed += op.old_range().len();
            added += op.new_range().len();
        }
    }
    Some(Counted { added, removed })
}

/// The hunks; empty where nothing differs, `None` where there are too many lines.
pub(super) fn hunks(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let (old, new) = (lines(old)?, lines(new)?);
    let mut out = Vec::new();
    for group in group_diff_ops(ops(&old, &new), CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let range = |start: usize, end: usize| match end - start {
            // As diff has it: an empty range is named by the line before it.
            0 => format!("{start},0"),
            1 => format!("{}", start + 1),
            n => format!("{},{n}", start + 1),
        };
        let olds = range(first.old_range().start, last.old_range().end);
        let news = range(first.new_range().start, last.new_range().end);
        out.extend(format!("@@ -{olds} +{news} @@\n").bytes());
        for op in &group {
            if let DiffOp::Equal { .. } = op {
                put(&mut out, b' ', &old[op.old_range()]);
            } else {
                put(&mut out, b'-', &old[op.old_range()]);
                put(&mut out, b'+', &new[op.new_range()]);
            }
        }
    }
    Some(out)
}

fn put(out: &mut Vec<u8>, sign: u8, lines: &[&[u8]]) {
    for line in lines {
        out.push(sign);
        out.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            out.extend(b"\n\\ No newline at end of file\n");
        }
    }
}

/// Only a line feed ends a line, as git counts them.
fn lines(text: &[u8]) -> Option<Vec<&[u8]>> {
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').take(MOST_LINES + 1).collect();
    (lines.len() <= MOST_LINES).then_some(lines)
}

/// Lines are compared as numbers: long lines that share their beginnings cost nothing more.
fn ops(old: &[&[u8]], new: &[&[u8]]) -> Vec<DiffOp> {
    let mut numbers: HashMap<&[u8], u32> = HashMap::new();
    let (old, new) = (number(old, &mut numbers), number(new, &mut numbers));
    capture_diff_slices_deadline(Algorithm::Myers, &old, &new, Some(Instant::now() + PATIENCE))
}

fn number<'a>(lines: &[&'a [u8]], numbers: &mut HashMap<&'a [u8], u32>) -> Vec<u32> {
    let mut of = |line| {
        let next = numbers.len() as u32;
        *numbers.entry(line).or_insert(next)
    };
    lines.iter().map(|line| of(*line)).collect()
}
