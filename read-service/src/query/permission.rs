//! What a caller may be told. To one whose reach is not everything, what does not exist and what is out of reach are the same:
//! the same error, after as many looks at Redis.

use ledger::{AccountId, OwnerId};
use read_model::{AccountView, View};

use super::{Answer, Asker, Call, Queries};
use crate::error::QueryError;

impl Asker {
    /// Somebody who may be told everything, and has time.
    #[cfg(test)]
    pub(crate) fn anyone() -> Self {
        let party = service_kit::shares::Party::of(None, None);
        Self { party, reach: access::Reach::everything(), until: None }
    }

    /// Refuses what could not be in reach whatever exists, before anything is looked at.
    pub(crate) fn may_ask<'a>(
        &self,
        account_ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), QueryError> {
        let mut ids = account_ids.into_iter();
        require(self.reach.is_everything() || ids.all(|id| self.reach.may_include(id)))
    }

    /// As [`Asker::may_ask`], for all accounts of an owner.
    pub(crate) fn may_ask_owner(&self, owner_id: &str) -> Result<(), QueryError> {
        require(self.reach.includes_owner(owner_id))
    }
}

impl Call<'_> {
    /// Refuses an owner whose accounts are not all in reach.
    pub(super) fn require_owner(&self, owner: &OwnerId) -> Result<(), QueryError> {
        require(self.reach.includes_owner(owner.as_str()))
    }

    /// What is said when something is not there.
    pub(super) fn missing(&self, why: QueryError) -> QueryError {
        if self.reach.is_everything() { why } else { QueryError::AccessDenied }
    }
}

impl Queries {
    /// Lets accounts through that are all there and in reach.
    pub(super) async fn permitted(
        &self,
        call: &Call<'_>,
        answer: Answer<Vec<Option<AccountView>>>,
    ) -> Result<Answer<Vec<Option<AccountView>>>, QueryError> {
        if call.reach.is_everything() {
            return Ok(answer);
        }
        let is_missing = answer.value.iter().any(Option::is_none);
        let in_reach = |view: &AccountView| call.reach.includes(&view.opening);
        if answer.value.iter().flatten().all(in_reach) && !is_missing {
            return Ok(answer);
        }
        if !is_missing {
            // An account that is not there is looked for a second time: so is one that is not theirs.
            let shard = answer.point.markers().first().map(|marker| marker.shard);
            if let Some(shard) = shard {
                self.position(View::Accounts, shard).await?;
            }
        }
        Err(QueryError::AccessDenied)
    }

    /// Refuses an account that is out of reach or not there. Views do not all say who owns what, so the one that does is asked.
    pub(super) async fn require_reach(
        &self,
        call: &Call<'_>,
        id: &AccountId,
    ) -> Result<(), QueryError> {
        if !call.reach.names(id.as_str()) {
            Box::pin(self.account(call, id)).await?;
        }
        Ok(())
    }

    /// Refuses what was not found. A caller who may not be told so waits as if it had been found with somebody else's account.
    pub(super) async fn not_found(&self, call: &Call<'_>, why: QueryError) -> QueryError {
        if !call.reach.is_everything()
            && let Some(shard) = call.log.shards.shards().next()
        {
            for _ in 0..2 {
                if let Err(error) = self.position(View::Accounts, shard).await {
                    return error;
                }
            }
        }
        call.missing(why)
    }
}

fn require(is_permitted: bool) -> Result<(), QueryError> {
    if is_permitted { Ok(()) } else { Err(QueryError::AccessDenied) }
}
