//! One shard of the log, from its beginning to its head.

use std::{
    collections::{HashSet, hash_map::RandomState},
    hash::BuildHasher,
};

use event_store::{ChainLink, Error, LogIdentity, LogReader, RecordedBatch, RecordedEvent};
use ledger::{AccountId, Event, Position, Shard, ShardCount};

use super::{findings::Findings, peers, states::States, unnamed::Unnamed};
use crate::failure::Failure;

/// How many events are read at a time.
const PAGE_EVENTS_MAX: usize = 2000;
/// How many rows of a broken batch are looked at one by one.
const BROKEN_ROWS_MAX: i64 = 10_000;

/// Reads a shard, checks everything that can be recomputed, and says where the shard ends.
pub(super) async fn verify(
    log: &LogReader,
    identity: &LogIdentity,
    shard: Shard,
    unnamed: &mut Unnamed,
    findings: &mut Findings,
) -> Result<Position, Failure> {
    let mut walk = Walk {
        log,
        shard,
        shards: identity.shards,
        misplaced: Misplaced::default(),
        opened: Opened::default(),
        link: identity.genesis(shard),
        accounts: Some(0),
        states: States::default(),
        unnamed,
        findings,
    };
    let mut page = PAGE_EVENTS_MAX;
    loop {
        match log.read_after(shard, &walk.link, page).await {
            Ok(batches) if batches.is_empty() => break,
            Ok(batches) => {
                walk.take(&batches).await?;
                page = (page * 2).min(PAGE_EVENTS_MAX);
            }
            // Again batch by batch, so that those before the broken one are taken as they are.
            Err(Error::Corrupt { .. } | Error::NotUnderstood { .. }) if page > 1 => page = 1,
            Err(error) => {
                let (position, finding) = finding_of(error)?;
                let position = position.max(walk.link.position.plus(1));
                walk.findings.add(shard, format!("from position {position}"), finding);
                if !walk.step_over().await? {
                    break;
                }
            }
        }
    }
    walk.note_misplaced();
    Ok(walk.link.position)
}

/// What is wrong, and where; other errors are the way to the log, and nothing of it.
pub(super) fn finding_of(error: Error) -> Result<(Position, String), Failure> {
    match error {
        Error::Corrupt { position, finding, .. } => Ok((position, finding)),
        Error::NotUnderstood { position, finding, .. } => {
            Ok((position, format!("{finding}; edited, or of a later version")))
        }
        error => Err(Failure::other(error)),
    }
}

struct Walk<'a> {
    log: &'a LogReader,
    shard: Shard,
    shards: ShardCount,
    misplaced: Misplaced,
    opened: Opened,
    /// The last batch that was passed.
    link: ChainLink,
    /// Accounts opened so far; unknown after a batch that was stepped over.
    accounts: Option<i32>,
    states: States,
    unnamed: &'a mut Unnamed,
    findings: &'a mut Findings,
}

/// Accounts that the log's number of shards puts into other shards. If that number was edited, most are: they are counted, not named.
#[derive(Default)]
struct Misplaced {
    count: u64,
    /// The row of the first, the account, and where it belongs.
    first: Option<(Position, AccountId, Shard)>,
}

/// The ids that were opened, as hashes: there may be many millions. That two of ten million ids have one hash by chance happens in one
/// of some hundred thousand runs.
#[derive(Default)]
struct Opened {
    hashes: HashSet<u64>,
    keys: RandomState,
}

impl Opened {
    /// Whether it was not opened before.
    fn add(&mut self, id: &AccountId) -> bool {
        self.hashes.insert(self.keys.hash_one(id))
    }
}

impl Walk<'_> {
    /// Batches whose chain is in order.
    async fn take(&mut self, batches: &[RecordedBatch]) -> Result<(), Failure> {
        let begin = self.link.position;
        for batch in batches {
            self.check_account_count(batch);
            self.findings.looked_at("batches of the log", 1);
            self.link = batch.link;
        }
        self.check_nothing_overlaps(begin, batches.len()).await?;
        let events: Vec<RecordedEvent> =
            batches.iter().flat_map(|batch| batch.events.iter().cloned()).collect();
        self.check_events(&events).await
    }

    async fn check_events(&mut self, events: &[RecordedEvent]) -> Result<(), Failure> {
        let missing = self.states.missing(events);
        if !missing.is_empty() {
            match self.log.states_at(self.shard, &missing).await {
                Ok(found) => {
                    found.iter().for_each(|record| self.states.learn(record.number, record.state));
                }
                // That is found where it stands.
                Err(error) => {
                    finding_of(error)?;
                    self.states.rows_are_missing();
                }
            }
        }
        self.look_for_batches(events).await?;
        for event in events {
            self.check_opening(event);
            if let Err(what) = self.states.check(event) {
                let account = self.account_name(event).await;
                self.findings.add(self.shard, format!("row {} ({account})", event.position), what);
            }
        }
        self.states.shrink();
        self.findings
            .looked_at("events of the log", u64::try_from(events.len()).unwrap_or(u64::MAX));
        peers::verify(self.log, events, self.findings).await
    }

    /// Where atomic batches say their rows are, and which rows should be theirs.
    async fn look_for_batches(&mut self, events: &[RecordedEvent]) -> Result<(), Failure> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
        match self.log.batch_marks(self.shard, first.position, last.position).await {
            Ok(extents) => extents.into_iter().for_each(|extent| self.unnamed.batch(extent)),
            Err(error) => {
                let (position, finding) = finding_of(error)?;
                self.findings.add(self.shard, format!("row {position}"), finding);
                self.unnamed.marks_are_missing();
            }
        }
        for event in events {
            self.unnamed.note(event);
        }
        Ok(())
    }

    fn check_opening(&mut self, event: &RecordedEvent) {
        let Event::AccountOpened { opening, .. } = &event.event else { return };
        let belongs = opening.account_id.shard(self.shards);
        if belongs != self.shard {
            self.misplaced.count += 1;
            let first = || (event.position, opening.account_id.clone(), belongs);
            self.misplaced.first.get_or_insert_with(first);
        }
        if !self.opened.add(&opening.account_id) {
            let place = format!("row {} (account {})", event.position, opening.account_id);
            self.findings.add(self.shard, place, "an account of this id was opened before");
        }
    }

    fn note_misplaced(&mut self) {
        let Some((position, account, belongs)) = self.misplaced.first.take() else { return };
        let Misplaced { count, .. } = self.misplaced;
        let what = format!(
            "{count} accounts of this shard, this one first, do not belong here: in a log of {} shards this one is of shard \
             {belongs}. The number of shards in `incarnations` was edited, or they were opened by something else",
            self.shards.get()
        );
        self.findings.add(self.shard, format!("row {position} (account {account})"), what);
    }

    /// Accounts are numbered without a hole, and each batch says how many there are.
    fn check_account_count(&mut self, batch: &RecordedBatch) {
        let is_opening =
            |event: &&RecordedEvent| matches!(event.event, Event::AccountOpened { .. });
        let mut count = self.accounts;
        for event in batch.events.iter().filter(is_opening) {
            count = count.and_then(|before| before.checked_add(1));
            let number = event.account.get();
            if count.is_some_and(|count| count != number) {
                let what = format!("an account is opened as number {number}, and is not the next");
                self.findings.add(self.shard, format!("row {}", event.position), what);
            }
        }
        if let Some(opened) = count.filter(|opened| *opened != batch.accounts) {
            let place = format!("batch at {}", batch.first_position);
            let what = format!("it counts {} accounts, but {opened} were opened", batch.accounts);
            self.findings.add(self.shard, place, what);
        }
        self.accounts = Some(batch.accounts);
    }

    async fn account_name(&self, event: &RecordedEvent) -> String {
        let openings = self.log.openings(self.shard, &[event.account]).await.unwrap_or_default();
        match openings.get(&event.account) {
            Some(opened) => format!("account {}", opened.opening.account_id),
            None => format!("account number {}", event.account.get()),
        }
    }

    /// Between batches that follow each other there is no place for others, but somebody may have put them there.
    async fn check_nothing_overlaps(
        &mut self,
        begin: Position,
        batches: usize,
    ) -> Result<(), Failure> {
        let end = self.link.position;
        let there = self.log.count_batches(self.shard, begin, end).await.map_err(Failure::other)?;
        let more = there.saturating_sub(i64::try_from(batches).unwrap_or(i64::MAX));
        if more != 0 {
            let place = format!("positions {} to {end}", begin.plus(1));
            self.findings.add(self.shard, place, format!("{more} batches overlap with others"));
        }
        Ok(())
    }

    /// Looks at the rows of the broken batch and goes on behind it, from what the next batch was chained to. False at
    /// the end of the log.
    async fn step_over(&mut self) -> Result<bool, Failure> {
        let begin = self.link.position;
        let claims = self.log.claims_after(self.shard, begin, 2).await.map_err(Failure::other)?;
        let Some(broken) = claims.first() else { return Ok(false) };
        let end = broken.end(claims.get(1));
        if end <= begin {
            return Ok(false); // so far out that nothing is behind it
        }
        self.unnamed.marks_are_missing();
        self.look_at_rows(begin, end).await?;
        self.accounts = None;
        let unknown = [0; 32]; // then the next batch is named as well
        self.link = ChainLink {
            position: end,
            digest: broken.digest.unwrap_or(unknown),
            hash: broken.hash.unwrap_or(unknown),
        };
        Ok(true)
    }

    /// Names the rows whose states disagree; of others, that they are missing.
    async fn look_at_rows(&mut self, after: Position, upto: Position) -> Result<(), Failure> {
        let last = upto.get().min(after.get().saturating_add(BROKEN_ROWS_MAX));
        let positions: Vec<Position> = (after.get() + 1..=last).filter_map(Position::new).collect();
        let events = match self.log.events_at(self.shard, &positions).await {
            Ok(events) => events,
            Err(error) => {
                let (position, finding) = finding_of(error)?;
                self.findings.add(self.shard, format!("row {position}"), finding);
                self.states.rows_are_missing();
                return Ok(());
            }
        };
        let mut events = events;
        events.sort_by_key(|event| event.position);
        let is_there = |position: &Position| {
            events.binary_search_by_key(position, |event| event.position).is_ok()
        };
        let missing: Vec<Position> =
            positions.into_iter().filter(|position| !is_there(position)).collect();
        for run in missing.chunk_by(|one, next| one.plus(1) == *next) {
            let (first, last) = (run[0], run[run.len() - 1]);
            let place = if first == last {
                format!("row {first}")
            } else {
                format!("rows {first} to {last}")
            };
            self.findings.add(self.shard, place, "missing");
            self.states.rows_are_missing();
        }
        self.check_events(&events).await
    }
}
