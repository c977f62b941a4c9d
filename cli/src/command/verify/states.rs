//! Recomputing how every account stands, row by row.

use std::collections::HashMap;

use event_store::RecordedEvent;
use ledger::{AccountNumber, AccountState, Event, Status, StreamVersion, could_follow, evolve};

/// So many accounts are remembered; others are looked up in the log again.
const ACCOUNTS_MAX: usize = 500_000;

/// How the accounts of one shard stood after the rows seen so far.
#[derive(Default)]
pub(super) struct States {
    known: HashMap<AccountNumber, Prior>,
    /// Rows are missing, so the next row of an account may not follow the last that is there.
    rows_are_missing: bool,
}

/// What the next row of an account may follow.
#[derive(Debug, Clone, Copy)]
struct Prior {
    /// By the rules.
    computed: AccountState,
    /// By the row itself, where it says something else: then only that row is named, and not all after it as well.
    stored: AccountState,
}

impl States {
    /// The states that have to be looked up before `events` can be checked: an account and the version before.
    pub(super) fn missing(&self, events: &[RecordedEvent]) -> Vec<(AccountNumber, StreamVersion)> {
        let mut missing: HashMap<AccountNumber, StreamVersion> = HashMap::new();
        for event in events {
            if !self.known.contains_key(&event.account) {
                missing.entry(event.account).or_insert_with(|| version_before(event));
            }
        }
        missing.into_iter().filter(|(_, version)| version.get() > 0).collect()
    }

    /// Takes in what was looked up.
    pub(super) fn learn(&mut self, account: AccountNumber, state: AccountState) {
        self.known.insert(account, Prior { computed: state, stored: state });
    }

    /// It has been said that rows are missing: what follows from that need not be said of each account again.
    pub(super) fn rows_are_missing(&mut self) {
        self.known.clear();
        self.rows_are_missing = true;
    }

    /// Forgets all when there are too many.
    pub(super) fn shrink(&mut self) {
        if self.known.len() > ACCOUNTS_MAX {
            self.known.clear();
        }
    }

    /// Checks the next row of the shard.
    pub(super) fn check(&mut self, event: &RecordedEvent) -> Result<(), String> {
        let prior = self.known.get(&event.account).copied();
        if prior.is_none() && self.rows_are_missing {
            self.learn(event.account, event.state);
            return Ok(());
        }
        let follows = |state: Option<AccountState>| evolve(state, &event.event);
        let by_rules = follows(prior.map(|prior| prior.computed));
        let by_row = follows(prior.map(|prior| prior.stored));
        let stored = event.state;
        let fits = by_rules == Ok(stored) || by_row == Ok(stored);
        let computed = match (fits, &by_rules) {
            (false, Ok(computed)) => *computed,
            _ => stored,
        };
        self.known.insert(event.account, Prior { computed, stored });
        if !fits {
            let says = describe(&stored);
            return Err(match by_rules {
                Ok(computed) => format!(
                    "the row says {says}, but the rows before it and {} give {}",
                    name(&event.event),
                    describe(&computed)
                ),
                Err(why) => {
                    format!("{} cannot stand here: {why}; the row says {says}", name(&event.event))
                }
            });
        }
        if let Some(Prior { stored: before, .. }) = prior
            && !could_follow(&before, &event.event)
        {
            return Err(format!(
                "{} is against the rules where the account stands at {}",
                name(&event.event),
                describe(&before)
            ));
        }
        if !stored.keeps_limit() {
            return Err(format!("{} is below the overdraft limit", describe(&stored)));
        }
        Ok(())
    }
}

fn version_before(event: &RecordedEvent) -> StreamVersion {
    let version = event.state.version.get();
    let before =
        if matches!(event.event, Event::CommandRejected(_)) { version } else { version - 1 };
    StreamVersion::new(before.max(0)).unwrap_or(StreamVersion::FIRST)
}

/// In minor units, because a row does not say which currency.
pub(super) fn describe(state: &AccountState) -> String {
    let AccountState { version, balance, held, overdraft_limit, status } = state;
    let status = match status {
        Status::Open => "open",
        Status::Frozen => "frozen",
        Status::Closed => "closed",
    };
    let held = if *held == 0 { String::new() } else { format!(", held {held}") };
    format!("version {}, balance {balance}{held}, limit {overdraft_limit}, {status}", version.get())
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::AccountOpened { .. } => "AccountOpened",
        Event::MoneyDeposited(_) => "MoneyDeposited",
        Event::MoneyWithdrawn(_) => "MoneyWithdrawn",
        Event::BillPaid(_) => "BillPaid",
        Event::TransferSent(_) => "TransferSent",
        Event::TransferReceived(_) => "TransferReceived",
        Event::OverdraftLimitSet { .. } => "OverdraftLimitSet",
        Event::AccountFrozen => "AccountFrozen",
        Event::AccountUnfrozen => "AccountUnfrozen",
        Event::AccountClosed => "AccountClosed",
        Event::CommandRejected(_) => "CommandRejected",
    }
}

#[cfg(test)]
mod tests {
    use ledger::{Amount, Position, Shard, Timestamp, event::Entry};

    use super::*;

    fn state(version: i64, balance: i64) -> AccountState {
        AccountState {
            version: StreamVersion::new(version).unwrap(),
            balance,
            held: 0,
            overdraft_limit: 0,
            status: Status::Open,
        }
    }

    fn deposit(minor_units: i64, state: AccountState) -> RecordedEvent {
        RecordedEvent {
            shard: Shard::ZERO,
            position: Position::ZERO.plus(1),
            recorded_at: Timestamp::MIN,
            account: AccountNumber::new(1).unwrap(),
            event: Event::MoneyDeposited(Entry {
                amount: Amount::new(minor_units).unwrap(),
                reference: None,
                counterparty: None,
                effective_at: None,
            }),
            state,
            request_id: None,
            peer: None,
        }
    }

    /// The versions of the rows that were found to be wrong.
    fn wrong(rows: &[RecordedEvent]) -> Vec<i64> {
        let mut states = States::default();
        states.learn(AccountNumber::new(1).unwrap(), state(1, 0));
        let rows = rows.iter().filter(|row| states.check(row).is_err());
        rows.map(|row| row.state.version.get()).collect()
    }

    #[test]
    fn rows_that_follow_each_other_are_in_order() {
        let rows = [deposit(10, state(2, 10)), deposit(5, state(3, 15)), deposit(1, state(4, 16))];
        assert_eq!(wrong(&rows), [0; 0]);
    }

    #[test]
    fn of_an_edited_balance_only_the_edited_row_is_named() {
        let rows = [deposit(10, state(2, 99)), deposit(5, state(3, 15)), deposit(1, state(4, 16))];
        assert_eq!(wrong(&rows), [2]);
    }

    #[test]
    fn of_an_edited_amount_only_the_edited_row_is_named() {
        let rows = [deposit(99, state(2, 10)), deposit(5, state(3, 15)), deposit(1, state(4, 16))];
        assert_eq!(wrong(&rows), [2]);
    }

    #[test]
    fn a_row_after_a_missing_one_is_named() {
        let rows = [deposit(10, state(2, 10)), deposit(1, state(4, 16)), deposit(1, state(5, 17))];
        assert_eq!(wrong(&rows), [4]);
    }

    #[test]
    fn when_rows_are_known_to_be_missing_those_after_them_are_not_named_as_well() {
        let mut states = States::default();
        states.learn(AccountNumber::new(1).unwrap(), state(1, 0));
        states.rows_are_missing();
        assert_eq!(states.check(&deposit(1, state(4, 16))), Ok(()));
        assert!(states.check(&deposit(1, state(5, 16))).is_err());
    }

    #[test]
    fn a_balance_below_the_limit_is_found_although_the_rows_agree() {
        let mut states = States::default();
        states.learn(AccountNumber::new(1).unwrap(), state(1, -100));
        assert!(states.check(&deposit(10, state(2, -90))).unwrap_err().contains("below"));
    }

    #[test]
    fn what_the_rules_do_not_allow_is_found_although_the_rows_agree() {
        let mut states = States::default();
        let closed = AccountState { status: Status::Closed, ..state(1, 0) };
        states.learn(AccountNumber::new(1).unwrap(), closed);
        let next = AccountState { status: Status::Closed, ..state(2, 10) };
        assert!(states.check(&deposit(10, next)).unwrap_err().contains("against the rules"));
    }

    #[test]
    fn an_account_that_was_not_seen_is_looked_up_at_the_version_before() {
        let rows = [deposit(10, state(7, 10)), deposit(5, state(8, 15))];
        let missing = States::default().missing(&rows);
        assert_eq!(missing, [(AccountNumber::new(1).unwrap(), StreamVersion::new(6).unwrap())]);
    }
}
