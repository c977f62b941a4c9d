//! All that is wrong with a file, found before anything of it is sent.

use std::fmt;

/// So many problems tell what is wrong with a file.
pub(crate) const SHOWN_MAX: usize = 50;

/// What is wrong, by line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems(pub(crate) Vec<(u64, String)>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, problem) in self.0.iter().take(SHOWN_MAX) {
            writeln!(f, "line {line}: {problem}")?;
        }
        match self.0.len().checked_sub(SHOWN_MAX) {
            Some(more @ 1..) => writeln!(f, "and {more} more"),
            _ => Ok(()),
        }
    }
}
