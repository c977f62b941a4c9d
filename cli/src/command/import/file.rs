//! Reading a whole file, before anything of it is sent.

use std::collections::HashMap;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{
    fields::{Columns, Line},
    row::AccountRows,
};
use crate::command::problems::Problems;

/// The accounts in the order in which they first appear, each with its rows in the order of the file.
pub(super) fn read(text: &[u8]) -> Result<Vec<AccountRows>, Problems> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text);
    let mut problems = Problems::default();
    let columns = match reader.headers().map(Columns::find) {
        Ok(Ok(columns)) => columns,
        Ok(Err(missing)) => {
            return Err(Problems(missing.into_iter().map(|problem| (1, problem)).collect()));
        }
        Err(error) => return Err(Problems(vec![(1, error.to_string())])),
    };
    let mut accounts = Accounts::default();
    let mut record = StringRecord::new();
    let mut lines = Lines { text, byte: 0, line: 1 };
    loop {
        let line = lines.at(reader.position().byte());
        match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) => match columns.read(&record, line) {
                Ok(line) => accounts.add(line, &mut problems),
                Err(wrong) => problems.0.extend(wrong.into_iter().map(|problem| (line, problem))),
            },
            Err(error) => problems.0.push((line, explain(&error))),
        }
    }
    if problems.0.is_empty() { Ok(accounts.rows) } else { Err(problems) }
}

/// Counts lines. The reader's own count can be one too low where a line ends with its buffer.
struct Lines<'a> {
    text: &'a [u8],
    byte: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the record that begins at or right after this byte, where blank lines and line ends do not count.
    fn at(&mut self, byte: u64) -> u64 {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX);
        while let Some(next) = self.text.get(self.byte)
            && (self.byte < byte || matches!(next, b'\r' | b'\n'))
        {
            self.line += u64::from(*next == b'\n');
            self.byte += 1;
        }
        self.line
    }
}

fn explain(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} cells, but the heading has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

#[derive(Default)]
struct Accounts {
    rows: Vec<AccountRows>,
    places: HashMap<String, usize>,
    transactions: HashMap<String, u64>,
}

impl Accounts {
    fn add(&mut self, line: Line, problems: &mut Problems) {
        let Line { account_id, currency, owner_id, row } = line;
        let number = row.line;
        let mut note = |problem: String| problems.0.push((number, problem));
        if let Some(earlier) = self.transactions.insert(row.transaction.clone(), number) {
            note(format!("transaction {:?} stands in line {earlier} already", row.transaction));
        }
        let place = *self.places.entry(account_id.as_str().to_owned()).or_insert(self.rows.len());
        let Some(account) = self.rows.get_mut(place) else {
            self.rows.push(AccountRows { account_id, currency, owner_id, rows: vec![row] });
            return;
        };
        if account.currency != currency {
            note(format!("account {account_id} is in {} in its earlier rows", account.currency));
        }
        if owner_id.is_some() && account.owner_id != owner_id {
            note(format!("account {account_id} has another owner in its first row"));
        }
        account.rows.push(row);
    }
}

#[cfg(test)]
mod tests;
