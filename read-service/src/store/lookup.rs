//! What many calls ask for alike, so that one round trip can serve them: something per account.

use std::future::Future;

use ledger::{AccountId, Shard};
use read_model::{AccountView, LatestEntry, Reader, Snapshot, View};

/// What is asked for by account id.
pub(crate) trait Lookup: Clone + Send + Sync + 'static {
    /// What an account has there.
    type Found: Send + 'static;

    /// Everything of one shard at one position, in the order asked for; for no ids only the marker.
    fn look(
        &self,
        shard: Shard,
        ids: &[AccountId],
    ) -> impl Future<Output = Result<Snapshot<Vec<Option<Self::Found>>>, read_model::Error>> + Send;
}

/// Accounts as they stand.
#[derive(Clone)]
pub(crate) struct AccountLookup(pub(crate) Reader);

impl Lookup for AccountLookup {
    type Found = AccountView;

    async fn look(
        &self,
        shard: Shard,
        ids: &[AccountId],
    ) -> Result<Snapshot<Vec<Option<AccountView>>>, read_model::Error> {
        if ids.is_empty() {
            let marker = self.0.marker(View::Accounts, shard).await?;
            return Ok(Snapshot { marker, value: Vec::new() });
        }
        self.0.accounts(shard, ids).await
    }
}

/// Accounts' newest entries.
#[derive(Clone)]
pub(crate) struct LatestLookup(pub(crate) Reader);

impl Lookup for LatestLookup {
    type Found = LatestEntry;

    async fn look(
        &self,
        shard: Shard,
        ids: &[AccountId],
    ) -> Result<Snapshot<Vec<Option<LatestEntry>>>, read_model::Error> {
        if ids.is_empty() {
            let marker = self.0.marker(View::Transactions, shard).await?;
            return Ok(Snapshot { marker, value: Vec::new() });
        }
        self.0.latest_entries(shard, ids).await
    }
}
