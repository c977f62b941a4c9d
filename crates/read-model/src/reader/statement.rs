//! Statements: an account's money movements, newest first.

use ledger::{AccountId, Shard, StreamVersion};
use redis::{FromRedisValue, Value};

use super::{
    Bytes, Marks, Reader,
    account::{Certainty, Looks, confirm_absent, inconsistent, not_ahead},
    generation::field_number,
};
use crate::{
    AccountView, Error, LatestEntry, Marker, Snapshot, StatementEntry, StatementHeader, View,
    script,
    value::{BLOCK_ENTRIES, StoredEntry},
};

/// Blocks looked into for one page. An account that was frozen and unfrozen ten thousand times costs some short
/// pages, not one script that holds everybody up.
const BLOCKS_MAX: usize = 32;

/// A page of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementPage {
    /// How far the statement goes.
    pub header: StatementHeader,
    /// The entries, newest first. There can be fewer than asked for, also none, with `next` set.
    pub entries: Vec<StatementEntry>,
    /// What to give as `before` for the next, older page; `None` when nothing older is kept.
    pub next: Option<StreamVersion>,
}

impl Reader {
    /// The newest entry of each of some accounts of one shard. `None` is an account that is not there, confirmed
    /// as in [`Reader::accounts`].
    ///
    /// # Errors
    /// [`Error::NotBuilt`], [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn latest_entries(
        &self,
        shard: Shard,
        ids: &[AccountId],
    ) -> Result<Snapshot<Vec<Option<LatestEntry>>>, Error> {
        let ([marker], values) = self
            .read(shard, [View::Transactions], |[names]| {
                ids.iter().map(|id| names.header(id)).collect()
            })
            .await?;
        let mut latest = Vec::with_capacity(ids.len());
        for (id, value) in ids.iter().zip(values) {
            let Some(value) = value else {
                self.confirm_no_statement(shard, id).await?;
                latest.push(None);
                continue;
            };
            let found = LatestEntry::decode(shard, &value)
                .map_err(|malformed| Error::malformed(marker.view, shard, &malformed))?;
            not_ahead(&marker, id, found.header.position)?;
            if found.entry.is_none() {
                self.confirm_no_entry(shard, id, &found.header).await?;
            }
            latest.push(Some(found));
        }
        Ok(Snapshot { marker, value: latest })
    }

    /// An account whose money never moved has no entry up to the version of its header. A header that was lost and
    /// has come back with something that moved no money has none beside it, and the blocks tell.
    async fn confirm_no_entry(
        &self,
        shard: Shard,
        id: &AccountId,
        header: &StatementHeader,
    ) -> Result<(), Error> {
        if header.version == StreamVersion::FIRST {
            return Ok(()); // the opening
        }
        let before = Some(header.version.next());
        let Snapshot { marker, value: page } = self.statement(shard, id, before, 1).await?;
        match page {
            Some(page) if !page.entries.is_empty() => {
                Err(inconsistent(&marker, format!("the newest entry of {id} is lost")))
            }
            _ => Ok(()),
        }
    }

    /// Entries with a version below `before` (`None`: from the newest), newest first, at most `limit`.
    /// `None` is an account that is not there, confirmed as in [`Reader::accounts`].
    ///
    /// # Errors
    /// [`Error::NotBuilt`], [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn statement(
        &self,
        shard: Shard,
        id: &AccountId,
        before: Option<StreamVersion>,
        limit: usize,
    ) -> Result<Snapshot<Option<StatementPage>>, Error> {
        let keys = self.keys.view(View::Transactions, shard);
        let reply: Vec<Value> = script::STATEMENT
            .on(&[keys.visible(), self.keys.head(shard)])
            .arg(keys.base())
            .arg(id.as_str())
            .arg(before.map_or_else(String::new, |version| version.get().to_string()))
            .arg(limit)
            .arg(BLOCKS_MAX)
            .arg(BLOCK_ENTRIES)
            .run("read a statement", &self.connection)
            .await?;
        let (marker, stored_header, blocks) = parse_reply(shard, reply)?;
        let Some(header) = header(&marker, id, stored_header.as_deref())? else {
            self.confirm_no_statement(shard, id).await?;
            return Ok(Snapshot { marker, value: None });
        };
        let page = page(&marker, id, header, before, limit, &blocks)?;
        Ok(Snapshot { marker, value: Some(page) })
    }

    /// An account without a statement must be missing in the accounts view too.
    async fn confirm_no_statement(&self, shard: Shard, id: &AccountId) -> Result<(), Error> {
        let mut looks = Looks::default();
        loop {
            match self.look_for_account(shard, id).await? {
                Certainty::Certain(()) => return Ok(()),
                Certainty::Unclear(why) => looks.again(why).await?,
            }
        }
    }

    async fn look_for_account(&self, shard: Shard, id: &AccountId) -> Result<Certainty<()>, Error> {
        let views = [View::Transactions, View::Accounts];
        let both = self
            .read(shard, views, |[transactions, accounts]| {
                vec![transactions.header(id), accounts.account(id)]
            })
            .await;
        let ([marker, other], values) = match both {
            Err(Error::NotBuilt { view: View::Accounts, .. }) => return Ok(Certainty::Certain(())),
            both => both?,
        };
        match values.as_slice() {
            [None, Some(account)] => {
                let account = AccountView::decode(id, account)
                    .map_err(|malformed| Error::malformed(View::Accounts, shard, &malformed))?;
                confirm_absent(&marker, &other, id, (account.state.version, account.position))
            }
            _ => Ok(Certainty::Certain(())),
        }
    }
}

pub(super) fn header(
    marker: &Marker,
    id: &AccountId,
    value: Option<&[u8]>,
) -> Result<Option<StatementHeader>, Error> {
    let Some(value) = value else { return Ok(None) };
    let header = StatementHeader::decode(value)
        .map_err(|malformed| Error::malformed(marker.view, marker.shard, &malformed))?;
    not_ahead(marker, id, header.position)?;
    Ok(Some(header))
}

/// The fields of one block: version and value.
type Block = (i64, Vec<(i64, Vec<u8>)>);

fn parse_reply(shard: Shard, reply: Vec<Value>) -> Result<(Marker, Bytes, Vec<Block>), Error> {
    let unexpected = |error: redis::ParsingError| Error::redis("read a statement", error.into());
    let mut reply = reply.into_iter();
    let mut next = || reply.next().unwrap_or(Value::Nil);
    let mut bytes = || Bytes::from_redis_value(next()).map_err(unexpected);
    let (generation, checkpoint, head) = (bytes()?, bytes()?, bytes()?);
    let mut number = || i64::from_redis_value(next()).map_err(unexpected);
    let time = (number()?, number()?);
    let marks = Marks { generation, checkpoint, head, time };
    let header = Bytes::from_redis_value(next()).map_err(unexpected)?;
    let mut blocks = Vec::new();
    while let (Some(block), Some(fields)) = (reply.next(), reply.next()) {
        let block = i64::from_redis_value(block).map_err(unexpected)?;
        let fields = Vec::<(Vec<u8>, Vec<u8>)>::from_redis_value(fields).map_err(unexpected)?;
        // What is under no number is nobody's entry, and the sweep removes it.
        let fields =
            fields.into_iter().filter_map(|(field, value)| Some((field_number(&field)?, value)));
        blocks.push((block, fields.collect()));
    }
    Ok((marks.marker(View::Transactions, shard)?, header, blocks))
}

/// Puts a page together. Every version of every block must be there: what is missing is a loss, not an entry less.
fn page(
    marker: &Marker,
    id: &AccountId,
    header: StatementHeader,
    before: Option<StreamVersion>,
    limit: usize,
    blocks: &[Block],
) -> Result<StatementPage, Error> {
    let above = header.version.next();
    let below = before.map_or(above, |before| before.min(above)).get();
    let mut page = StatementPage { header, entries: Vec::new(), next: None };
    let mut lowest = below;
    for (block, fields) in blocks {
        let first = block.saturating_mul(BLOCK_ENTRIES).max(header.oldest.get());
        for version in (first..lowest).rev() {
            let value = fields.iter().find(|(field, _)| *field == version);
            let version = StreamVersion::new(version);
            let (Some((_, value)), Some(version)) = (value, version) else {
                return Err(inconsistent(marker, format!("a hole in the statement of {id}")));
            };
            let entry = StoredEntry::decode(marker.shard, version, value)
                .map_err(|malformed| Error::malformed(marker.view, marker.shard, &malformed))?;
            let StoredEntry::Movement(entry) = entry else { continue };
            not_ahead(marker, id, entry.position)?;
            if page.entries.len() == limit {
                page.next = page.entries.last().map(|entry| entry.version);
                return Ok(page);
            }
            page.entries.push(entry);
        }
        lowest = lowest.min(first);
    }
    if lowest > header.oldest.get() {
        page.next = StreamVersion::new(lowest); // the script stopped early
    }
    Ok(page)
}
