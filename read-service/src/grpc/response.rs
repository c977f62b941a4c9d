//! Answers, put on the wire.

use std::collections::BTreeMap;
use std::time::Duration;

use ledger::{AccountId, Currency, OwnerId, Status, Text, Timestamp};
use prost::Message;
use proto::read::{
    AccountBalance, CurrencyTotals, GetBalanceResponse, GetReadModelStatusResponse, ReadMetadata,
    ViewStatus,
};
use proto::types::{Account, AccountStatus, Direction, Money, Transaction, TransactionType};
use read_model::{AccountView, EntryKind, StatementEntry};

use crate::query::{Answer, Entry, ReadModelStatus, Totals, ViewProgress};

/// Bytes of the accounts on one page. Clients take messages of up to 4 MiB unless told otherwise, and an account with all its labels
/// has about ten thousand.
const ACCOUNTS_BYTES_MAX: usize = 2 << 20;

/// Which prefix of the log an answer includes.
pub(super) fn read<T>(answer: &Answer<T>) -> Option<ReadMetadata> {
    Some(ReadMetadata {
        as_of: answer.point.as_of().to_owned(),
        as_of_time: answer.point.as_of_time().map(timestamp),
        staleness: answer.staleness.map(duration),
    })
}

pub(super) fn balance(answer: Answer<AccountView>) -> GetBalanceResponse {
    let read = read(&answer);
    let AccountBalance { account_id, balance, available, held, version } =
        account_balance(&answer.value);
    GetBalanceResponse { read, account_id, balance, available, held, version }
}

pub(super) fn account_balance(view: &AccountView) -> AccountBalance {
    let currency = view.opening.currency;
    AccountBalance {
        account_id: view.opening.account_id.as_str().to_owned(),
        balance: Some(money(currency, view.state.balance)),
        available: Some(money(currency, available(view))),
        held: Some(money(currency, view.state.held)),
        version: view.state.version.get(),
    }
}

pub(super) fn account(view: &AccountView) -> Account {
    let AccountBalance { account_id, balance, available, held, version } = account_balance(view);
    let status = match view.state.status {
        Status::Open => AccountStatus::Open,
        Status::Frozen => AccountStatus::Frozen,
        Status::Closed => AccountStatus::Closed,
    };
    Account {
        account_id,
        owner_id: view.opening.owner_id.as_ref().map_or("", OwnerId::as_str).to_owned(),
        currency_code: view.opening.currency.as_str().to_owned(),
        balance,
        available,
        held,
        overdraft_limit: view.state.overdraft_limit,
        status: status.into(),
        labels: view.opening.labels.clone(),
        version,
        open_time: Some(timestamp(view.opened_at)),
        update_time: Some(timestamp(view.updated_at)),
    }
}

/// As many of the first accounts as fit on a page.
pub(super) fn accounts(views: &[AccountView]) -> Vec<Account> {
    let mut room = ACCOUNTS_BYTES_MAX;
    let fits = |account: &Account| {
        let left = room.checked_sub(account.encoded_len());
        room = left.unwrap_or_default();
        left.is_some()
    };
    views.iter().map(account).take_while(fits).collect()
}

pub(super) fn transaction(entry: &Entry) -> Transaction {
    statement_line(&entry.account_id, entry.currency, &entry.entry)
}

pub(super) fn statement_line(
    account_id: &AccountId,
    currency: Currency,
    entry: &StatementEntry,
) -> Transaction {
    let kind = match entry.kind {
        EntryKind::Deposit => TransactionType::Deposit,
        EntryKind::Withdrawal => TransactionType::Withdrawal,
        EntryKind::BillPayment => TransactionType::BillPayment,
        EntryKind::TransferSent => TransactionType::TransferSent,
        EntryKind::TransferReceived => TransactionType::TransferReceived,
    };
    let direction = if entry.kind.is_credit() { Direction::Credit } else { Direction::Debit };
    let text = |text: &Option<Text>| text.as_ref().map_or("", Text::as_str).to_owned();
    Transaction {
        transaction_id: entry.transaction_id.to_string(),
        account_id: account_id.as_str().to_owned(),
        r#type: kind.into(),
        direction: direction.into(),
        amount: Some(money(currency, entry.amount.minor_units())),
        balance_after: Some(money(currency, entry.balance_after)),
        version: entry.version.get(),
        reference: text(&entry.reference),
        counterparty: text(&entry.counterparty),
        effective_time: entry.effective_at.map(timestamp),
        commit_time: Some(timestamp(entry.recorded_at)),
    }
}

pub(super) fn totals(totals: &BTreeMap<Currency, Totals>) -> Vec<CurrencyTotals> {
    let on_the_wire = |(currency, totals): (&Currency, &Totals)| CurrencyTotals {
        currency_code: currency.as_str().to_owned(),
        account_count: totals.accounts,
        deposits: totals.deposits.to_string(),
        withdrawals: totals.withdrawals.to_string(),
        in_transit: totals.in_transit.to_string(),
        balances: totals.balances.to_string(),
        balanced: totals.is_balanced(),
    };
    totals.iter().map(on_the_wire).collect()
}

pub(super) fn status(status: &ReadModelStatus) -> GetReadModelStatusResponse {
    let read = ReadMetadata {
        as_of: status.as_of.to_string(),
        as_of_time: status.as_of_time.map(timestamp),
        staleness: status.staleness.map(duration),
    };
    let views = status.views.iter().map(view_status).collect();
    GetReadModelStatusResponse { read: Some(read), views }
}

fn view_status(progress: &ViewProgress) -> ViewStatus {
    let status = &progress.status;
    let building = status.building;
    let building_position = building.and_then(|building| building.checkpoint);
    ViewStatus {
        view: status.view.name().to_owned(),
        shard: status.shard.get().into(),
        position: progress.position.get(),
        head_position: status.head.map_or(0, |head| head.position.get()),
        lag_events: progress.lag_events,
        lag: progress.lag.map(duration),
        generation: status.visible.map_or(0, |visible| visible.generation.get()),
        building_generation: building.map_or(0, |building| building.generation.get()),
        building_position: building_position.map_or(0, |checkpoint| checkpoint.position.get()),
    }
}

fn money(currency: Currency, minor_units: i64) -> Money {
    Money {
        currency_code: currency.as_str().to_owned(),
        minor_units,
        display: currency.display(minor_units),
    }
}

/// Fits an `i64`: what is held is never negative, and the rest never below minus the overdraft limit.
fn available(view: &AccountView) -> i64 {
    let available = view.state.available();
    i64::try_from(available).unwrap_or(if available < 0 { i64::MIN } else { i64::MAX })
}

fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    const MICROS: i64 = 1_000_000;
    let nanos = time.micros().rem_euclid(MICROS) * 1000;
    prost_types::Timestamp {
        seconds: time.micros().div_euclid(MICROS),
        nanos: i32::try_from(nanos).unwrap_or(0), // below a thousand million
    }
}

fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0), // below a thousand million
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ledger::{AccountNumber, AccountState, Opening, Position, StreamVersion};

    use super::*;

    fn view(balance: i64, held: i64) -> AccountView {
        let opening = Opening {
            account_id: AccountId::new("alice").unwrap(),
            owner_id: None,
            currency: Currency::new("EUR").unwrap(),
            labels: BTreeMap::new(),
        };
        let version = StreamVersion::FIRST;
        let (overdraft_limit, status) = (i64::MAX, Status::Open);
        let at = Timestamp::from_micros(0).unwrap();
        AccountView {
            number: AccountNumber::new(1).unwrap(),
            opening: Arc::new(opening),
            state: AccountState { version, balance, held, overdraft_limit, status },
            position: Position::ZERO,
            opened_at: at,
            updated_at: at,
        }
    }

    #[test]
    fn what_is_held_is_in_the_balance_but_not_available() {
        let shown = account_balance(&view(10_000, 3_050));
        let displays =
            [shown.balance, shown.available, shown.held].map(|money| money.unwrap().display);
        assert_eq!(displays, ["100.00", "69.50", "30.50"]);
        let account = account(&view(10, 30));
        assert_eq!((account.owner_id.as_str(), account.status()), ("", AccountStatus::Open));
        assert_eq!(account.available.unwrap().minor_units, -20);
    }

    #[test]
    fn a_page_of_accounts_with_all_their_labels_is_shorter() {
        let label = |number: usize| (format!("{number:064}"), "x".repeat(256));
        let mut labelled = view(0, 0);
        let opening =
            Opening { labels: (0..32).map(label).collect(), ..(*labelled.opening).clone() };
        labelled.opening = Arc::new(opening);
        let page = accounts(&vec![labelled; 500]);
        assert!((100..500).contains(&page.len()), "{}", page.len());
        assert!(page.iter().map(Message::encoded_len).sum::<usize>() <= ACCOUNTS_BYTES_MAX);
        assert_eq!(accounts(&vec![view(0, 0); 500]).len(), 500);
    }

    #[test]
    fn the_extremes_of_amounts_and_times_have_a_form() {
        let available = |balance, held| available(&view(balance, held));
        assert_eq!([available(i64::MAX, 0), available(i64::MIN, 0)], [i64::MAX, i64::MIN]);
        assert_eq!(available(i64::MIN, 1), i64::MIN); // cannot be, and must not fail
        let on_the_wire = |micros| {
            let shown = timestamp(Timestamp::from_micros(micros).unwrap());
            (shown.seconds, shown.nanos)
        };
        assert_eq!(on_the_wire(1_500_001), (1, 500_001_000));
        assert_eq!(on_the_wire(-1), (-1, 999_999_000)); // nanos count forwards, also before 1970
        let shown = duration(Duration::new(7, 999_999_999));
        assert_eq!((shown.seconds, shown.nanos), (7, 999_999_999));
    }
}
