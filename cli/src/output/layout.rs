//! Columns.

use std::fmt;

/// Lines of a label and a value, the values below each other. Empty values are left out.
#[derive(Default)]
pub(crate) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    pub(crate) fn add(&mut self, label: &'static str, value: impl Into<String>) -> &mut Self {
        let value = value.into();
        if !value.is_empty() {
            self.0.push((label, value));
        }
        self
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
        self.0.iter().try_for_each(|(label, value)| writeln!(f, "  {label:width$}  {value}"))
    }
}

/// Rows of cells below a heading. A heading that begins with `>` sets its column to the right, as numbers are.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<(bool, &str)> = self
            .headings
            .iter()
            .map(|heading| match heading.strip_prefix('>') {
                Some(heading) => (true, heading),
                None => (false, *heading),
            })
            .collect();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or_default();
            widest.max(columns[column].1.chars().count())
        };
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[&str]| {
            let mut text = String::new();
            for ((cell, width), (is_right, _)) in cells.iter().zip(&widths).zip(&columns) {
                text.push_str("  ");
                match is_right {
                    true => text.push_str(&format!("{cell:>width$}")),
                    false => text.push_str(&format!("{cell:width$}")),
                }
            }
            writeln!(f, "{}", text.trim_end())
        };
        line(f, &columns.iter().map(|(_, heading)| *heading).collect::<Vec<_>>())?;
        self.rows
            .iter()
            .try_for_each(|row| line(f, &row.iter().map(String::as_str).collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_set_to_the_right_and_words_to_the_left() {
        let mut table = Table::new(&["what", ">how much"]);
        table.row(["Žižkov".into(), "1.00".into()]);
        table.row(["rent".into(), "12345.00".into()]);
        assert_eq!(
            table.to_string(),
            "  what    how much\n  Žižkov      1.00\n  rent    12345.00\n"
        );
    }

    #[test]
    fn labels_are_as_wide_as_the_longest_and_nothing_is_said_of_nothing() {
        let mut fields = Fields::default();
        fields.add("id", "a").add("owner", "").add("balance", "1 EUR");
        assert_eq!(fields.to_string(), "  id       a\n  balance  1 EUR\n");
    }
}
