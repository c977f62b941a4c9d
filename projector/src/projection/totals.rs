//! Totals: the trial balance per currency. What came in less what went out must be what is there, plus what is
//! on its way between shards.

use event_store::{OpenedAccount, RecordedEvent};
use ledger::{Amount, Event};
use read_model::{CurrencyTotals, ShardTotals};

pub(super) fn add(totals: &mut ShardTotals, event: &RecordedEvent, opened: &OpenedAccount) {
    let currency = opened.opening.currency;
    let of_currency =
        totals.currencies.entry(currency).or_insert_with(|| CurrencyTotals::zero(currency));
    if add_to(of_currency, &event.event) {
        totals.position = Some(event.position);
    }
}

/// Adds an event; says whether it changed anything.
fn add_to(totals: &mut CurrencyTotals, event: &Event) -> bool {
    let minor_units = |amount: Amount| i128::from(amount.minor_units());
    match event {
        Event::AccountOpened { .. } => totals.accounts += 1,
        Event::MoneyDeposited(entry) => {
            totals.deposits += minor_units(entry.amount);
            totals.balances += minor_units(entry.amount);
        }
        Event::MoneyWithdrawn(entry) | Event::BillPaid(entry) => {
            totals.withdrawals += minor_units(entry.amount);
            totals.balances -= minor_units(entry.amount);
        }
        Event::TransferSent(entry) => {
            totals.sent += minor_units(entry.amount);
            totals.balances -= minor_units(entry.amount);
        }
        Event::TransferReceived(entry) => {
            totals.received += minor_units(entry.amount);
            totals.balances += minor_units(entry.amount);
        }
        Event::OverdraftLimitSet { .. }
        | Event::AccountFrozen
        | Event::AccountUnfrozen
        | Event::AccountClosed
        | Event::CommandRejected(_) => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::{Projection, given};

    #[test]
    fn what_came_in_less_what_went_out_is_there() {
        let mut log = given::Log::new();
        log.open(1).open(2).happens(1, given::deposit(50)).happens(1, given::withdrawal(5));
        log.transfer(1, 2, 20).happens(2, Event::AccountFrozen);
        for one_by_one in [false, true] {
            let mut projection = Projection::Totals(ShardTotals::default());
            if one_by_one {
                log.fold_one_by_one(&mut projection);
            } else {
                log.fold(&mut projection);
            }
            let Projection::Totals(totals) = projection else { panic!() };
            assert_eq!(totals.position.unwrap().get(), 6);
            let eur = totals.currencies.values().next().unwrap();
            assert_eq!((eur.accounts, eur.deposits, eur.withdrawals), (2, 50, 5));
            assert_eq!((eur.sent, eur.received, eur.balances), (20, 20, 45));
        }
    }

    #[test]
    fn sums_go_beyond_what_one_balance_can_hold() {
        let mut log = given::Log::new();
        log.open(1).open(2).open(3);
        for account in 1..=3 {
            log.happens(account, given::deposit(i64::MAX));
        }
        let mut projection = Projection::Totals(ShardTotals::default());
        log.fold(&mut projection);
        let Projection::Totals(totals) = projection else { panic!() };
        let eur = totals.currencies.values().next().unwrap();
        assert_eq!(eur.balances, i128::from(i64::MAX) * 3);
    }
}
