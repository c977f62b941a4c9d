//! Accounts: one, several, an owner's.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use ledger::{AccountId, OwnerId, Shard};
use read_model::{AccountView, View};

use super::{Answer, Call, Queries, join_readings};
use crate::error::{QueryError, StoreFault};
use crate::store::{Reading, within};

/// A page of an owner's accounts, by account id.
#[derive(Debug)]
pub(crate) struct AccountsPage {
    pub(crate) accounts: Vec<AccountView>,
    /// Whether there are more after the last one.
    pub(crate) more: bool,
}

impl Queries {
    /// One account.
    pub(crate) async fn account(
        &self,
        call: &Call<'_>,
        id: &AccountId,
    ) -> Result<Answer<AccountView>, QueryError> {
        let shard = id.shard(call.log.shards);
        let answer =
            self.answer(call, View::Accounts, || self.accounts.one(shard, id.clone())).await?;
        if !call.reach.is_everything() {
            let looked_at = answer.map(|view| vec![view]);
            let permitted = Box::pin(self.permitted(call, looked_at)).await?;
            return permitted
                .map(|views| views.into_iter().next().flatten())
                .found(|_| QueryError::AccessDenied);
        }
        answer.found(|as_of| QueryError::AccountNotFound { account_id: id.clone(), as_of })
    }

    /// Several accounts, in the order asked for, all of a shard at one position.
    pub(crate) async fn accounts(
        &self,
        call: &Call<'_>,
        ids: &[AccountId],
    ) -> Result<Answer<Vec<AccountView>>, QueryError> {
        let groups = &by_shard(ids, |id| id.shard(call.log.shards));
        let answer = self
            .answer(call, View::Accounts, || async move {
                let asked = groups.iter().map(|(shard, indexes)| {
                    let ids = indexes.iter().map(|index| ids[*index].clone()).collect();
                    self.accounts.many(*shard, ids)
                });
                join_readings(try_join_all(asked).await?)
            })
            .await?;
        let mut views = vec![None; ids.len()];
        for (indexes, found) in groups.values().zip(answer.value) {
            for (index, view) in indexes.iter().zip(found) {
                views[*index] = view;
            }
        }
        let Answer { point, staleness, .. } = answer;
        let answer = Answer { point, staleness, value: views };
        let Answer { point, staleness, value } = Box::pin(self.permitted(call, answer)).await?;
        let value = value
            .into_iter()
            .zip(ids)
            .map(|(view, id)| {
                view.ok_or_else(|| QueryError::AccountNotFound {
                    account_id: id.clone(),
                    as_of: point.short_as_of(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Answer { point, staleness, value })
    }

    /// The accounts of an owner that come after this one, by account id.
    pub(crate) async fn owner_accounts(
        &self,
        call: &Call<'_>,
        owner: &OwnerId,
        after: Option<&AccountId>,
        page_size: usize,
    ) -> Result<Answer<AccountsPage>, QueryError> {
        call.require_owner(owner)?;
        // One more than the page holds tells whether it is the last.
        let limit = page_size + 1;
        let read = |shard| self.owner_shard(shard, owner, after, limit);
        let answer =
            self.answer(call, View::Accounts, || self.read_shards(call.log.shards, read)).await?;
        Ok(answer.map(|shards| merge(shards, page_size)))
    }

    async fn owner_shard(
        &self,
        shard: Shard,
        owner: &OwnerId,
        after: Option<&AccountId>,
        limit: usize,
    ) -> Result<Reading<Vec<AccountView>>, StoreFault> {
        let read = self.reader.owner_accounts(shard, owner, after, limit);
        within(self.read_limit, read).await.map(Reading::from)
    }
}

/// Which of the ids, by their index, belong to each shard.
fn by_shard(
    ids: &[AccountId],
    shard_of: impl Fn(&AccountId) -> Shard,
) -> BTreeMap<Shard, Vec<usize>> {
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, id) in ids.iter().enumerate() {
        groups.entry(shard_of(id)).or_default().push(index);
    }
    groups
}

/// The first page of what the shards have together. Each has given at least one page of its own if it has one.
fn merge(shards: Vec<Vec<AccountView>>, page_size: usize) -> AccountsPage {
    let mut accounts: Vec<_> = shards.into_iter().flatten().collect();
    accounts.sort_unstable_by(|a, b| a.opening.account_id.cmp(&b.opening.account_id));
    let more = accounts.len() > page_size;
    accounts.truncate(page_size);
    AccountsPage { accounts, more }
}
