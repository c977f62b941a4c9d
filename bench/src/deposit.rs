//! The row of a deposit, for what is appended without services.

use event_store::{EventRow, row::event_type};
use uuid::Uuid;

use crate::load::Text;

/// A deposit that the event store takes: it does not ask whether the balance adds up.
pub(crate) fn deposit_row(
    account: i32,
    version: i64,
    (amount, balance): (i64, i64),
    text: &Text,
) -> EventRow {
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    EventRow {
        account,
        event_type: event_type::MONEY_DEPOSITED,
        version,
        balance,
        status: 1,
        amount: Some(amount),
        request_id: Some(Uuid::now_v7()),
        reference: some(&text.reference),
        counterparty: some(&text.counterparty),
        ..EventRow::default()
    }
}
