//! The trial balance.

use ledger::Shard;

use super::{Reader, account::inconsistent};
use crate::{CurrencyTotals, Error, Marker, ShardTotals, Snapshot, View};

impl Reader {
    /// The totals of one shard, by currency code.
    ///
    /// # Errors
    /// [`Error::NotBuilt`], [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn totals(&self, shard: Shard) -> Result<Snapshot<Vec<CurrencyTotals>>, Error> {
        let ([marker], values) =
            self.read(shard, [View::Totals], |[names]| vec![names.totals()]).await?;
        let totals = shard_totals(&marker, values.first().and_then(Option::as_deref))?;
        Ok(Snapshot { marker, value: totals.currencies.into_values().collect() })
    }
}

/// The totals read together with a marker. Every commit writes them, so they may be missing only before the first.
pub(crate) fn shard_totals(marker: &Marker, value: Option<&[u8]>) -> Result<ShardTotals, Error> {
    let Some(value) = value else {
        if marker.checkpoint.position > ledger::Position::ZERO {
            return Err(inconsistent(marker, "the totals are missing".to_owned()));
        }
        return Ok(ShardTotals::default());
    };
    let totals = ShardTotals::decode(value)
        .map_err(|malformed| Error::malformed(marker.view, marker.shard, &malformed))?;
    if totals.position.is_some_and(|position| position > marker.checkpoint.position) {
        return Err(inconsistent(marker, "the totals are ahead of the checkpoint".to_owned()));
    }
    Ok(totals)
}
