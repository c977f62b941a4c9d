//! Statements, and single transactions.

use ledger::{AccountId, Currency, Shard, StreamVersion, TransactionId};
use read_model::{FoundTransaction, StatementEntry, StatementPage, View};

use super::{Answer, Call, Queries, join_readings};
use crate::error::{QueryError, StoreFault};
use crate::store::{Reading, short_token, within};

/// Reads for one page. Each may come back short when an account was frozen, thawed and limited thousands of times between
/// two payments; then the page stays short, and the next token goes on from there.
const PAGE_READS_MAX: usize = 4;

/// The first event of every account is its opening, which is no entry: a statement kept from here on is complete.
const FIRST_ENTRY: i64 = 2;

/// A line of a statement, with what the line itself does not repeat.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) account_id: AccountId,
    pub(crate) currency: Currency,
    pub(crate) entry: StatementEntry,
}

/// A page of a statement, newest first.
#[derive(Debug)]
pub(crate) struct StatementPageOf {
    pub(crate) currency: Currency,
    pub(crate) entries: Vec<StatementEntry>,
    /// The next page begins below this number. Set also when what is older is not kept: a statement that is cut does not
    /// look complete.
    pub(crate) next: Option<StreamVersion>,
    /// Set when all that was asked for is older than what is kept: the oldest that is.
    not_kept: Option<StreamVersion>,
}

impl Queries {
    /// The account's newest entry, if it has any.
    pub(crate) async fn latest_entry(
        &self,
        call: &Call<'_>,
        id: &AccountId,
    ) -> Result<Answer<Option<Entry>>, QueryError> {
        self.require_reach(call, id).await?;
        let shard = id.shard(call.log.shards);
        let answer = self
            .answer(call, View::Transactions, || self.latest.one(shard, id.clone()))
            .await?
            .found(|as_of| QueryError::AccountNotFound { account_id: id.clone(), as_of })
            .map_err(|missing| call.missing(missing))?;
        Ok(answer.map(|latest| {
            let (account_id, currency) = (id.clone(), latest.header.currency);
            latest.entry.map(|entry| Entry { account_id, currency, entry })
        }))
    }

    /// The entries below this number, newest first.
    pub(crate) async fn statement(
        &self,
        call: &Call<'_>,
        id: &AccountId,
        before: Option<StreamVersion>,
        page_size: usize,
    ) -> Result<Answer<StatementPageOf>, QueryError> {
        self.require_reach(call, id).await?;
        let shard = id.shard(call.log.shards);
        let answer = self
            .answer(call, View::Transactions, || self.read_page(shard, id, before, page_size))
            .await?
            .found(|as_of| QueryError::AccountNotFound { account_id: id.clone(), as_of })
            .map_err(|missing| call.missing(missing))?;
        match answer.value.not_kept {
            Some(oldest) => Err(QueryError::HistoryNotKept { account_id: id.clone(), oldest }),
            None => Ok(answer),
        }
    }

    /// Fills a page, in several reads if they come back short. Entries never change, so reads at different positions fit
    /// together; what they include together is what the least of them includes.
    async fn read_page(
        &self,
        shard: Shard,
        id: &AccountId,
        before: Option<StreamVersion>,
        page_size: usize,
    ) -> Result<Reading<Option<StatementPageOf>>, StoreFault> {
        let (mut page, mut cursor) = (None::<StatementPageOf>, before);
        let mut reads = Vec::new();
        for _ in 0..PAGE_READS_MAX {
            let missing = page_size - page.as_ref().map_or(0, |page| page.entries.len());
            let read = self.reader.statement(shard, id, cursor, missing);
            let read = Reading::from(within(self.read_limit, read).await?);
            reads.push(Reading { point: read.point, value: () });
            let Some(found) = read.value else { break };
            cursor = found.next;
            let go_on = found.next.is_some() && found.entries.len() < missing;
            page = Some(extend(page, found, before));
            if !go_on {
                break;
            }
        }
        let point = join_readings(reads)?.point;
        Ok(Reading { point, value: page })
    }

    /// A transaction; of a transfer, the source's side.
    pub(crate) async fn transaction(
        &self,
        call: &Call<'_>,
        id: TransactionId,
    ) -> Result<Answer<Entry>, QueryError> {
        let missing = |as_of| QueryError::TransactionNotFound { transaction_id: id, as_of };
        if id.shard.get() >= call.log.shards.get() {
            // In no prefix.
            return Err(call.missing(missing(short_token(call.log.log_id, std::iter::empty()))));
        }
        let answer = self
            .answer(call, View::Transactions, || async move {
                within(self.read_limit, self.reader.transaction(id)).await.map(Reading::from)
            })
            .await?
            .found(missing);
        let answer = match answer {
            Ok(answer) => answer,
            Err(missing) => return Err(self.not_found(call, missing).await),
        };
        let Answer { point, staleness, value } = answer;
        let (FoundTransaction::Entry { account_id, .. }
        | FoundTransaction::NotKept { account_id, .. }) = &value;
        self.require_reach(call, account_id).await?;
        match value {
            FoundTransaction::Entry { account_id, currency, entry } => {
                Ok(Answer { point, staleness, value: Entry { account_id, currency, entry } })
            }
            FoundTransaction::NotKept { account_id, oldest, .. } => {
                Err(QueryError::HistoryNotKept { account_id, oldest })
            }
        }
    }
}

/// Adds a read to the page, which began below `before`.
fn extend(
    page: Option<StatementPageOf>,
    read: StatementPage,
    before: Option<StreamVersion>,
) -> StatementPageOf {
    let oldest = Some(read.header.oldest).filter(|oldest| oldest.get() > FIRST_ENTRY);
    let mut entries = page.map_or_else(Vec::new, |page| page.entries);
    entries.extend(read.entries);
    let asked_for_what_is_gone =
        before.zip(oldest).is_some_and(|(before, oldest)| before <= oldest);
    StatementPageOf {
        currency: read.header.currency,
        next: read.next.or(oldest),
        not_kept: oldest.filter(|_| asked_for_what_is_gone && entries.is_empty()),
        entries,
    }
}
