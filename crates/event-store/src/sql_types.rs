//! Times as Postgres keeps them: microseconds since 2000-01-01.

use std::error::Error;

use ledger::Timestamp;
use postgres_types::{FromSql, IsNull, ToSql, Type, accepts, private::BytesMut, to_sql_checked};

/// Microseconds from 1970-01-01 to 2000-01-01.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A `timestamptz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SqlTime(pub(crate) Timestamp);

/// The bytes Postgres itself uses for a time, which go under the hash.
pub(crate) fn timestamptz_send(time: Timestamp) -> [u8; 8] {
    (time.micros() - POSTGRES_EPOCH_MICROS).to_be_bytes()
}

impl ToSql for SqlTime {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&timestamptz_send(self.0));
        Ok(IsNull::No)
    }
    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for SqlTime {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        let time = micros.checked_add(POSTGRES_EPOCH_MICROS).and_then(Timestamp::from_micros);
        Ok(Self(time.ok_or("a time outside the years 1 to 9999")?))
    }
    accepts!(TIMESTAMPTZ);
}
