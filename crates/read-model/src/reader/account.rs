//! Accounts by id, and by owner.

use std::time::Duration;

use ledger::{AccountId, OwnerId, Position, Shard, StreamVersion};

use super::{Bytes, Marks, Reader};
use crate::{AccountView, Error, Marker, Snapshot, StatementHeader, View, script};

/// How often two views that are not at the same place are looked at before they are taken to be at odds, and how
/// long after each other: together much longer than the scripts of one page take.
const LOOKS_MAX: u32 = 50;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

impl Reader {
    /// Any number of accounts of one shard, all at the marker's position, in the order asked for.
    ///
    /// `None` is an account that is not there: a missing key is looked for in the transactions view too, and a
    /// disagreement is an error.
    ///
    /// # Errors
    /// [`Error::NotBuilt`], [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn accounts(
        &self,
        shard: Shard,
        ids: &[AccountId],
    ) -> Result<Snapshot<Vec<Option<AccountView>>>, Error> {
        let ([marker], values) = self
            .read(shard, [View::Accounts], |[names]| {
                ids.iter().map(|id| names.account(id)).collect()
            })
            .await?;
        let accounts: Vec<_> = ids
            .iter()
            .zip(&values)
            .map(|(id, value)| account(&marker, id, value.as_deref()))
            .collect::<Result<_, _>>()?;
        if accounts.iter().all(Option::is_some) {
            return Ok(Snapshot { marker, value: accounts });
        }
        let mut looks = Looks::default();
        loop {
            match self.accounts_or_absent(shard, ids).await {
                // Nothing to compare with: what is missing is taken to be absent.
                Err(Error::NotBuilt { view: View::Transactions, .. }) => {
                    return Ok(Snapshot { marker, value: accounts });
                }
                Err(error) => return Err(error),
                Ok(Certainty::Certain(confirmed)) => return Ok(confirmed),
                Ok(Certainty::Unclear(why)) => looks.again(why).await?,
            }
        }
    }

    /// As [`Reader::accounts`], with the statement headers of the same moment to confirm what is absent.
    async fn accounts_or_absent(
        &self,
        shard: Shard,
        ids: &[AccountId],
    ) -> Result<Certainty<Snapshot<Vec<Option<AccountView>>>>, Error> {
        let ([marker, other], values) = self
            .read(shard, [View::Accounts, View::Transactions], |[accounts, transactions]| {
                let names = |id| [accounts.account(id), transactions.header(id)];
                ids.iter().flat_map(names).collect()
            })
            .await?;
        let mut accounts = Vec::with_capacity(ids.len());
        for (id, pair) in ids.iter().zip(values.chunks(2)) {
            let stored = account(&marker, id, pair.first().and_then(Option::as_deref))?;
            if stored.is_none()
                && let Some(Some(header)) = pair.get(1)
            {
                let header = StatementHeader::decode(header)
                    .map_err(|malformed| Error::malformed(View::Transactions, shard, &malformed))?;
                let there = (header.version, header.position);
                if let Certainty::Unclear(why) = confirm_absent(&marker, &other, id, there)? {
                    return Ok(Certainty::Unclear(why));
                }
            }
            accounts.push(stored);
        }
        Ok(Certainty::Certain(Snapshot { marker, value: accounts }))
    }

    /// The accounts of an owner in one shard whose id is above `after`, by id in byte order, at most `limit`,
    /// atomically with the index.
    ///
    /// # Errors
    /// [`Error::NotBuilt`], [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn owner_accounts(
        &self,
        shard: Shard,
        owner: &OwnerId,
        after: Option<&AccountId>,
        limit: usize,
    ) -> Result<Snapshot<Vec<AccountView>>, Error> {
        type Reply = (Bytes, Bytes, Bytes, i64, i64, Vec<String>, Vec<Bytes>);
        let keys = self.keys.view(View::Accounts, shard);
        let above = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        let (generation, checkpoint, head, seconds, microseconds, ids, values): Reply =
            script::OWNER
                .on(&[keys.visible(), self.keys.head(shard)])
                .arg(keys.base())
                .arg(owner.as_str())
                .arg(above)
                .arg(limit)
                .run("read an owner's accounts", &self.connection)
                .await?;
        let marks = Marks { generation, checkpoint, head, time: (seconds, microseconds) };
        let marker = marks.marker(View::Accounts, shard)?;
        let mut accounts = Vec::with_capacity(ids.len());
        for (id, value) in ids.iter().zip(values) {
            let contradiction = || inconsistent(&marker, format!("owner's account {id:?}"));
            let id = AccountId::new(id).map_err(|_| contradiction())?;
            let view = account(&marker, &id, value.as_deref())?.ok_or_else(contradiction)?;
            if view.opening.owner_id.as_ref() != Some(owner) {
                return Err(contradiction());
            }
            accounts.push(view);
        }
        Ok(Snapshot { marker, value: accounts })
    }
}

/// Reads an account, and refuses one that is ahead of the marker it was read with.
fn account(
    marker: &Marker,
    id: &AccountId,
    value: Option<&[u8]>,
) -> Result<Option<AccountView>, Error> {
    let Some(value) = value else { return Ok(None) };
    let view = AccountView::decode(id, value)
        .map_err(|malformed| Error::malformed(marker.view, marker.shard, &malformed))?;
    not_ahead(marker, id, view.position)?;
    Ok(Some(view))
}

/// A value that includes more than its marker is the rest of a script that failed halfway.
pub(super) fn not_ahead(marker: &Marker, id: &AccountId, position: Position) -> Result<(), Error> {
    if position <= marker.checkpoint.position {
        return Ok(());
    }
    Err(inconsistent(marker, format!("account {id} is ahead of the checkpoint")))
}

/// What a look at two views comes to.
pub(super) enum Certainty<T> {
    /// The answer.
    Certain(T),
    /// It cannot be told yet. The error to give if it never can.
    Unclear(Error),
}

/// An account that is missing in one view, and in another one stands at `there`, is absent only if it was opened
/// behind the first view's position. When it has moved behind that position, it may have been opened there too: a
/// page goes to each view in a script of its own, and between two scripts one view has all of it and the other
/// nothing. That is soon over.
pub(super) fn confirm_absent(
    marker: &Marker,
    other: &Marker,
    id: &AccountId,
    there: (StreamVersion, Position),
) -> Result<Certainty<()>, Error> {
    let (version, position) = there;
    let moved_later = position > marker.checkpoint.position;
    let opened_later = moved_later && version == StreamVersion::FIRST;
    if opened_later || marker.checkpoint.log_id != other.checkpoint.log_id {
        return Ok(Certainty::Certain(()));
    }
    let missing =
        inconsistent(marker, format!("account {id} is missing, but view {} has it", other.view));
    if moved_later { Ok(Certainty::Unclear(missing)) } else { Err(missing) }
}

/// How often two views were looked at.
#[derive(Default)]
pub(super) struct Looks(u32);

impl Looks {
    /// Waits for the next look, unless there were enough.
    pub(super) async fn again(&mut self, why: Error) -> Result<(), Error> {
        self.0 += 1;
        if self.0 == LOOKS_MAX {
            return Err(why);
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        Ok(())
    }
}

pub(super) fn inconsistent(marker: &Marker, what: String) -> Error {
    Error::Inconsistent { view: marker.view, shard: marker.shard, what }
}
