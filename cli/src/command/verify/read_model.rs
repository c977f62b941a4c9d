//! What queries see, against the log, value by value. The comparing itself is the projector's, whose sweep does the same all the time.

use std::error::Error;

use ledger::{AccountId, StreamVersion};
use projector::{Mismatch, Verified, VerifyError};
use read_model::{AccountView, Place, StatementEntry, StatementHeader, StoreConfig, View};
use service_kit::config::DatabaseUrl;

use super::{findings::Findings, states};
use crate::failure::Failure;

/// A generation that is swapped or dropped meanwhile is rare; twice in a row is a projector at work.
const ATTEMPTS_MAX: usize = 3;
/// Bytes that are shown of a value that is not understood.
const BYTES_SHOWN_MAX: usize = 24;

/// Compares every view on every shard.
pub(super) async fn verify(
    database_url: &DatabaseUrl,
    store: &StoreConfig,
    findings: &mut Findings,
) -> Result<(), Failure> {
    for attempt in 1..=ATTEMPTS_MAX {
        let mut views = Vec::new();
        let compared =
            projector::verify(database_url.expose(), store, |view| views.push(view.clone())).await;
        match compared {
            Err(VerifyError::Moved) if attempt < ATTEMPTS_MAX => {}
            Err(error) => return could_not_compare(error, findings),
            Ok(_) => {
                views.iter().for_each(|view| note(view, findings));
                break;
            }
        }
    }
    Ok(())
}

/// With a broken log there is nothing to compare with; what is broken has been found before.
fn could_not_compare(error: VerifyError, findings: &mut Findings) -> Result<(), Failure> {
    if findings.is_empty() {
        return Err(Failure::other(error));
    }
    let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    findings.add_overall("Redis", format!("not compared with a log that is broken: {cause}"));
    Ok(())
}

fn note(verified: &Verified, findings: &mut Findings) {
    let Verified { view, shard, findings: found, .. } = verified;
    findings.looked_at(&format!("values of the view {} in Redis", view.name()), found.checked);
    for mismatch in &found.mismatches {
        let (place, what) = describe(mismatch);
        findings.add(*shard, place, what);
    }
    let named = u64::try_from(found.mismatches.len()).unwrap_or(u64::MAX);
    if let Some(more @ 1..) = found.count.checked_sub(named) {
        let place = format!("view {}", view.name());
        findings.add(*shard, place, format!("{more} more values are not what the log gives"));
    }
}

/// Names the place, and says what is there and what should be.
fn describe(mismatch: &Mismatch) -> (String, String) {
    let place = match &mismatch.place {
        Place::Text { key } | Place::Hash { key } => format!("key {key}"),
        Place::Stray { key, name } => {
            format!("key {key}, {:?}", String::from_utf8_lossy(name))
        }
        Place::WrongType { key, right } => format!("type of key {key}, which should be {right}"),
        Place::Field { key, field } => format!("key {key}, field {field}"),
        Place::Range { key, start, .. } => format!("key {key}, from byte {start}"),
        Place::Member { key, member } => format!("key {key}, member {member}"),
    };
    if let Place::Member { .. } = mismatch.place {
        let what = match (&mismatch.wrong, &mismatch.right) {
            (_, None) => "it should not be there",
            (None, Some(_)) => "it is missing",
            (Some(_), Some(_)) => "it stands at another score than 0, out of order",
        };
        return (place, what.to_owned());
    }
    if let (Place::WrongType { .. }, Some(found)) = (&mismatch.place, &mismatch.wrong) {
        return (place, format!("it is {}", String::from_utf8_lossy(found)));
    }
    let value =
        |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| describe_value(mismatch, bytes));
    let what = match (value(&mismatch.wrong), value(&mismatch.right)) {
        (None, Some(right)) => format!("it is missing; the log gives {right}"),
        (Some(wrong), None) => format!("it should not be there, and holds {wrong}"),
        (Some(wrong), Some(right)) => format!("it holds {wrong}, but the log gives {right}"),
        (None, None) => "it is not as it should be".to_owned(),
    };
    (place, what)
}

/// In words as far as the value is one that is known here.
fn describe_value(mismatch: &Mismatch, bytes: &[u8]) -> String {
    let words = match (&mismatch.place, mismatch.view) {
        (Place::Text { key }, View::Accounts) => account(key, bytes),
        (Place::Text { .. }, View::Transactions) => header(bytes),
        (Place::Field { field, .. }, View::Transactions) => entry(mismatch, *field, bytes),
        _ => None,
    };
    words.unwrap_or_else(|| {
        let shown = bytes.iter().take(BYTES_SHOWN_MAX).map(|byte| format!("{byte:02x}"));
        let dots = if bytes.len() > BYTES_SHOWN_MAX { "..." } else { "" };
        format!("{} bytes ({}{dots})", bytes.len(), shown.collect::<String>())
    })
}

fn account(key: &str, bytes: &[u8]) -> Option<String> {
    let id = AccountId::new(key.split_once(":a:")?.1).ok()?;
    let view = AccountView::decode(&id, bytes).ok()?;
    Some(format!("{} at position {}", states::describe(&view.state), view.position))
}

fn header(bytes: &[u8]) -> Option<String> {
    let header = StatementHeader::decode(bytes).ok()?;
    Some(format!("a statement up to version {}", header.version.get()))
}

fn entry(mismatch: &Mismatch, field: i64, bytes: &[u8]) -> Option<String> {
    let version = StreamVersion::new(field)?;
    let entry = StatementEntry::decode(mismatch.shard, version, bytes).ok()?;
    Some(format!(
        "transaction {} of {} with balance {}",
        entry.transaction_id,
        entry.amount.minor_units(),
        entry.balance_after
    ))
}
