//! Views and their generations.

use std::fmt;

/// One projection of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// Every account as it stands, and the accounts of every owner.
    Accounts,
    /// Every account's statement, and every transaction by its id.
    Transactions,
    /// The trial balance per currency.
    Totals,
}

impl View {
    /// All views.
    pub const ALL: [Self; 3] = [Self::Accounts, Self::Transactions, Self::Totals];

    /// Its name, as operators say it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Transactions => "transactions",
            Self::Totals => "totals",
        }
    }

    /// The view of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }

    /// Version of what the view holds. Raise it when a projection begins to store something else: the new
    /// version is another view to Redis, built from position 1 beside the old one, which older binaries go on
    /// reading and writing.
    #[must_use]
    pub fn version(self) -> u32 {
        match self {
            Self::Accounts | Self::Totals => 1,
            Self::Transactions => 3,
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One complete copy of a view on one shard. A later copy has a higher number, also after Redis lost everything:
/// the number is the time of its beginning in milliseconds, or one more than any number seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(i64);

impl Generation {
    /// A generation by its number, which is positive.
    #[must_use]
    pub fn new(number: i64) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// No generation that was ever begun comes near this number, which is a time far away. A pointer at such a one was made
    /// by hand, and nothing could come after it.
    pub(crate) const NUMBER_LIMIT: i64 = 1 << 62;

    /// Reads what a pointer holds. `None`: it cannot be a pointer.
    pub(crate) fn of_pointer(pointer: &[u8]) -> Option<Self> {
        let generation = std::str::from_utf8(pointer).ok().and_then(Self::parse);
        generation.filter(|generation| generation.0 < Self::NUMBER_LIMIT)
    }

    /// Reads the one spelling of a generation: no sign, no leading zeros.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number: i64 = text.parse().ok()?;
        (number.to_string() == text).then_some(())?;
        Self::new(number)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
