//! A list that can be filtered and walked through. Who is selected stays so when the list is read anew.

/// One row.
pub(crate) trait Item {
    /// What tells it from all others.
    fn key(&self) -> &str;
    /// What a filter looks at.
    fn text(&self) -> String;
}

pub(crate) struct Table<T> {
    rows: Vec<T>,
    filter: String,
    /// Those that pass the filter.
    kept: Vec<usize>,
    at: usize,
    top: usize,
    height: usize,
    /// It was read at least once.
    pub(crate) is_read: bool,
}

impl<T: Item> Table<T> {
    pub(crate) fn new() -> Table<T> {
        Table { rows: Vec::new(), filter: String::new(), kept: Vec::new(), at: 0, top: 0, height: 0, is_read: false }
    }

    pub(crate) fn set(&mut self, rows: Vec<T>) {
        let selected = self.selected().map(|row| row.key().to_owned());
        (self.rows, self.is_read) = (rows, true);
        self.sift(selected);
    }

    pub(crate) fn rows(&self) -> &[T] {
        &self.rows
    }

    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    /// All words must be there, in any order; letters may be small or large.
    pub(crate) fn set_filter(&mut self, filter: &str) {
        let selected = self.selected().map(|row| row.key().to_owned());
        filter.clone_into(&mut self.filter);
        self.sift(selected);
    }

    fn sift(&mut self, selected: Option<String>) {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let passes = |row: &T| {
            let text = if words.is_empty() { String::new() } else { row.text().to_lowercase() };
            words.iter().all(|word| text.contains(word))
        };
        self.kept = (0..self.rows.len()).filter(|at| passes(&self.rows[*at])).collect();
        let again = selected.and_then(|key| self.kept.iter().position(|at| self.rows[*at].key() == key));
        self.at = again.unwrap_or(self.at).min(self.kept.len().saturating_sub(1));
        self.lay_out(self.height);
    }

    pub(crate) fn selected(&self) -> Option<&T> {
        self.kept.get(self.at).map(|at| &self.rows[*at])
    }

    /// Number of the selected row, of those that are kept, of all.
    pub(crate) fn place(&self) -> (usize, usize, usize) {
        ((self.at + 1).min(self.kept.len()), self.kept.len(), self.rows.len())
    }

    pub(crate) fn scroll(&mut self, rows: i64) {
        let rows = isize::try_from(rows).unwrap_or(if rows < 0 { isize::MIN } else { isize::MAX });
        self.at = self.at.saturating_add_signed(rows).min(self.kept.len().saturating_sub(1));
        self.lay_out(self.height);
    }

    pub(crate) fn scroll_page(&mut self, pages: i64) {
        self.scroll(pages * i64::try_from(self.height.saturating_sub(1).max(1)).unwrap_or(1));
    }

    /// Selects one of the rows in sight; whether it was selected before.
    pub(crate) fn select(&mut self, row: usize) -> bool {
        let at = self.top + row;
        if row >= self.height || at >= self.kept.len() {
            return false;
        }
        std::mem::replace(&mut self.at, at) == at
    }

    /// Brings the selected row into sight.
    pub(crate) fn lay_out(&mut self, height: usize) {
        self.height = height;
        let last = self.kept.len().saturating_sub(height);
        self.top = self.top.min(last).min(self.at).max((self.at + 1).saturating_sub(height.max(1)));
    }

    /// The rows in sight, each with whether it is selected.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&T, bool)> {
        let kept = self.kept.iter().enumerate().skip(self.top).take(self.height);
        kept.map(|(number, at)| (&self.rows[*at], number == self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Item for &'static str {
        fn key(&self) -> &str {
            self
        }

        fn text(&self) -> String {
            (*self).to_owned()
        }
    }

    fn shown(table: &Table<&'static str>) -> Vec<&'static str> {
        table.shown().map(|(row, _)| *row).collect()
    }

    #[test]
    fn the_selected_row_stays_in_sight_and_stays_itself() {
        let mut table = Table::new();
        table.set(vec!["a", "b", "c", "d", "e"]);
        table.lay_out(2);
        table.scroll(3);
        assert_eq!((shown(&table), *table.selected().unwrap()), (vec!["c", "d"], "d"));
        table.set(vec!["new", "a", "b", "c", "d", "e"]);
        assert_eq!((shown(&table), *table.selected().unwrap()), (vec!["c", "d"], "d"));
        table.set(vec!["a", "b"]);
        assert_eq!(*table.selected().unwrap(), "b");
        table.scroll(i64::MIN);
        assert_eq!((shown(&table), table.place()), (vec!["a", "b"], (1, 2, 2)));
        table.set(vec![]);
        assert_eq!((table.selected(), table.place()), (None, (0, 0, 0)));
        table.scroll_page(1);
        table.lay_out(0);
    }

    #[test]
    fn all_words_of_a_filter_must_be_there() {
        let mut table = Table::new();
        table.set(vec!["exit 0 python", "exit 1 Python", "exit 1 sh"]);
        table.lay_out(9);
        table.scroll(2);
        table.set_filter("python 1");
        assert_eq!((shown(&table), table.place()), (vec!["exit 1 Python"], (1, 1, 3)));
        table.set_filter("nothing");
        assert_eq!(table.selected(), None);
        table.set_filter("");
        assert_eq!(shown(&table).len(), 3);
    }
}
