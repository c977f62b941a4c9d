//! An account as the accounts view keeps it: one value per account.

use std::{collections::BTreeMap, sync::Arc};

use ledger::{
    AccountId, AccountNumber, AccountState, Currency, Opening, OwnerId, Position, Status,
    StreamVersion, Timestamp,
};

use crate::codec::{Decoder, Encoder, Malformed};

const FORMAT: u8 = 1;

/// An account as it stands after the event with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// Its number within its shard, by which the log is asked about it.
    pub number: AccountNumber,
    /// What never changes. Its id is not in the value but in the key.
    pub opening: Arc<Opening>,
    /// How it stands.
    pub state: AccountState,
    /// Place of the event that brought it to `state.version`.
    pub position: Position,
    /// When the opening was recorded.
    pub opened_at: Timestamp,
    /// When the event with `state.version` was recorded.
    pub updated_at: Timestamp,
}

impl AccountView {
    /// The value to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut value = Encoder::new(FORMAT);
        value
            .byte(status_code(self.state.status))
            .natural(self.state.version.get())
            .natural(self.position.get())
            .signed(self.state.balance.into())
            .signed(self.state.held.into())
            .signed(self.state.overdraft_limit.into())
            .bytes(self.opening.currency.as_str().as_bytes())
            .natural(self.number.get().into())
            .signed(self.opened_at.micros().into())
            .signed(self.updated_at.micros().into())
            .text(self.opening.owner_id.as_ref().map_or("", OwnerId::as_str))
            .unsigned(self.opening.labels.len() as u128);
        for (name, label) in &self.opening.labels {
            value.text(name).text(label);
        }
        value.finish()
    }

    /// Reads a stored value.
    ///
    /// # Errors
    /// [`Malformed`] for anything that [`AccountView::encode`] does not write.
    pub fn decode(account_id: &AccountId, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut value = Decoder::new("account", bytes, FORMAT)?;
        let status = value.byte()?;
        let status = status_by_code(status).ok_or_else(|| value.malformed("status"))?;
        let version = version(&mut value)?;
        let position = position(&mut value)?;
        let [balance, held, overdraft_limit] = [value.int64()?, value.int64()?, value.int64()?];
        let currency = currency(&mut value)?;
        let number = number(&mut value)?;
        let opened_at = timestamp(&mut value)?;
        let updated_at = timestamp(&mut value)?;
        let owner_id = match value.text()? {
            "" => None,
            owner => Some(OwnerId::new(owner).map_err(|_| value.malformed("owner"))?),
        };
        let labels = labels(&mut value)?;
        value.finish()?;
        let opening = Opening { account_id: account_id.clone(), owner_id, currency, labels };
        Ok(Self {
            number,
            opening: Arc::new(opening),
            state: AccountState { version, balance, held, overdraft_limit, status },
            position,
            opened_at,
            updated_at,
        })
    }
}

fn labels(value: &mut Decoder<'_>) -> Result<BTreeMap<String, String>, Malformed> {
    let mut labels = BTreeMap::new();
    for _ in 0..value.natural::<u32>()? {
        let (name, label) = (value.text()?, value.text()?);
        let ascends = labels.last_key_value().is_none_or(|(last, _): (&String, _)| &**last < name);
        if !ascends {
            return Err(value.malformed("labels out of order"));
        }
        labels.insert(name.to_owned(), label.to_owned());
    }
    Ok(labels)
}

fn status_code(status: Status) -> u8 {
    match status {
        Status::Open => 1,
        Status::Frozen => 2,
        Status::Closed => 3,
    }
}

fn status_by_code(code: u8) -> Option<Status> {
    match code {
        1 => Some(Status::Open),
        2 => Some(Status::Frozen),
        3 => Some(Status::Closed),
        _ => None,
    }
}

pub(super) fn version(value: &mut Decoder<'_>) -> Result<StreamVersion, Malformed> {
    let version = value.natural()?;
    StreamVersion::new(version)
        .filter(|version| *version >= StreamVersion::FIRST)
        .ok_or_else(|| value.malformed("version"))
}

pub(super) fn position(value: &mut Decoder<'_>) -> Result<Position, Malformed> {
    let position = value.natural()?;
    Position::new(position).ok_or_else(|| value.malformed("position"))
}

pub(super) fn number(value: &mut Decoder<'_>) -> Result<AccountNumber, Malformed> {
    let number = value.natural()?;
    AccountNumber::new(number).ok_or_else(|| value.malformed("account number"))
}

pub(super) fn timestamp(value: &mut Decoder<'_>) -> Result<Timestamp, Malformed> {
    let micros = value.int64()?;
    Timestamp::from_micros(micros).ok_or_else(|| value.malformed("time"))
}

pub(super) fn currency(value: &mut Decoder<'_>) -> Result<Currency, Malformed> {
    let code = value.array::<3>()?;
    std::str::from_utf8(&code)
        .ok()
        .and_then(|code| Currency::new(code).ok())
        .ok_or_else(|| value.malformed("currency"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{account_id, hex, refuses_every_cut_and_addition, sample_account};

    #[test]
    fn the_format_is_held_by_golden_bytes() {
        let view = sample_account();
        let golden = "0102072aab02c801a09c01455552058080f281838985068280f28183898506056f776e\
                      657201047469657204676f6c64";
        assert_eq!(hex(&view.encode()), golden);
        assert_eq!(AccountView::decode(&account_id("alice"), &view.encode()), Ok(view));
    }

    #[test]
    fn only_whole_values_are_read() {
        let bytes = sample_account().encode();
        refuses_every_cut_and_addition(&bytes, |bytes| {
            AccountView::decode(&account_id("alice"), bytes).is_ok()
        });
    }

    #[test]
    fn extreme_amounts_read_back() {
        let mut view = sample_account();
        view.state.balance = i64::MIN;
        view.state.overdraft_limit = i64::MAX;
        let read = AccountView::decode(&account_id("alice"), &view.encode());
        assert_eq!(read.unwrap().state, view.state);
    }
}
