//! Points in time, as the log keeps them. No clock here: times are handed in.

/// Microseconds since 1970-01-01 UTC: what Postgres can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0001-01-01, the earliest time that both protobuf and Postgres can write.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// 9999-12-31, the latest time that both can write.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// A time by its microseconds since 1970, if it lies in the years 1 to 9999.
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&micros).then_some(Self(micros))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }
}
