//! The log folded into the life of every account.

use std::collections::BTreeMap;

use super::{Account, Doing, Fact, Place, Row, Status, Sum};

/// Every state an account ever had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) shard: i16,
    /// Ascending positions, each with the account from there on.
    pub(crate) steps: Vec<(i64, Account)>,
}

impl Life {
    /// The account as of a position, included. `None` before it was opened.
    pub(crate) fn at(&self, position: i64) -> Option<&Account> {
        let later = self.steps.partition_point(|(at, _)| *at <= position);
        later.checked_sub(1).map(|step| &self.steps[step].1)
    }
}

/// The whole log, folded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replay {
    pub(crate) lives: BTreeMap<String, Life>,
    /// The last position of each shard.
    pub(crate) heads: BTreeMap<i16, i64>,
    /// Rows that cannot follow what was before them.
    pub(crate) impossible: Vec<(Place, String)>,
}

impl Replay {
    /// Folds rows, which are in the order of their positions.
    pub(crate) fn of(rows: &[Row]) -> Self {
        let mut replay = Self::default();
        for row in rows {
            replay.heads.insert(row.place.shard, row.place.position);
            let before = replay.lives.get(&row.account).and_then(|life| life.steps.last());
            match fold(before.map(|(_, account)| account), &row.fact) {
                Ok(None) => {}
                Ok(Some(after)) => {
                    let life = replay.lives.entry(row.account.clone());
                    let shard = row.place.shard;
                    let life = life.or_insert_with(|| Life { shard, steps: Vec::new() });
                    life.steps.push((row.place.position, after));
                }
                Err(why) => replay.impossible.push((row.place, why.to_owned())),
            }
        }
        replay
    }

    /// An account as of a place.
    pub(crate) fn at(&self, account: &str, place: Place) -> Option<&Account> {
        self.lives.get(account).filter(|life| life.shard == place.shard)?.at(place.position)
    }

    /// An account as it stood just before a place.
    pub(crate) fn before(&self, account: &str, place: Place) -> Option<&Account> {
        self.at(account, Place { position: place.position - 1, ..place })
    }
}

/// The account after a fact, without asking whether it should have been allowed. Nothing, if it changes nothing.
fn fold(account: Option<&Account>, fact: &Fact) -> Result<Option<Account>, &'static str> {
    let Some(account) = account else {
        return match fact {
            Fact::Done(Doing::Open { currency, limit, .. }) => Ok(Some(Account {
                version: 1,
                balance: 0,
                limit: *limit,
                status: Status::Open,
                currency: currency.clone(),
            })),
            _ => Err("the account was never opened"),
        };
    };
    let version = account.version + 1;
    let next = Account { version, ..account.clone() };
    let plus = |sum: &Sum| account.balance.checked_add(sum.amount).ok_or("the balance overflows");
    let minus = |sum: &Sum| account.balance.checked_sub(sum.amount).ok_or("the balance overflows");
    let next = match fact {
        Fact::Refused { .. } => return Ok(None),
        Fact::Received { sum, .. } | Fact::Done(Doing::Deposit(sum)) => {
            Account { balance: plus(sum)?, ..next }
        }
        Fact::Done(Doing::Withdraw(sum) | Doing::PayBill(sum) | Doing::Transfer { sum, .. }) => {
            Account { balance: minus(sum)?, ..next }
        }
        Fact::Done(Doing::SetLimit(limit)) => Account { limit: *limit, ..next },
        Fact::Done(Doing::Freeze) => Account { status: Status::Frozen, ..next },
        Fact::Done(Doing::Unfreeze) => Account { status: Status::Open, ..next },
        Fact::Done(Doing::Close) => Account { status: Status::Closed, ..next },
        Fact::Done(Doing::Open { .. }) => return Err("the account was opened before"),
    };
    Ok(Some(next))
}

#[cfg(test)]
pub(crate) mod given {
    //! Logs for tests, with states that are right unless a test breaks them.

    use uuid::Uuid;

    use super::*;
    use crate::model::{Command, Reason, Stated, given::euros};

    /// A log of one shard.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct GivenLog(pub(crate) Vec<Row>);

    impl GivenLog {
        /// Accounts `a` and `b` at version 2 with 100 in each: positions 1 to 4.
        pub(crate) fn two_accounts() -> Self {
            let mut log = Self::default();
            for name in ["a", "b"] {
                let (owner, currency) = ("owner".into(), "EUR".into());
                log.done(name, 0, Doing::Open { owner, currency, limit: 0 });
                log.done(name, 0, Doing::Deposit(euros(100)));
            }
            log
        }

        /// Adds a row for a command that was accepted; request id 0 is none of a test's.
        pub(crate) fn done(&mut self, account: &str, request: u128, doing: Doing) -> Place {
            self.push(account, request, Fact::Done(doing), None)
        }

        /// Adds both sides of a transfer.
        pub(crate) fn transfer(
            &mut self,
            from: &str,
            to: &str,
            request: u128,
            amount: i64,
        ) -> Place {
            let sum = euros(amount);
            let place = self.next();
            let peer = Place { position: place.position + 1, ..place };
            let doing = Doing::Transfer { to: to.into(), sum: sum.clone() };
            self.push(from, request, Fact::Done(doing), Some(peer));
            let received = Fact::Received { from: from.into(), sum };
            self.push(to, u128::MAX, received, Some(place));
            place
        }

        /// Adds a refusal that is kept.
        pub(crate) fn refused(&mut self, request: u128, command: Command, reason: Reason) -> Place {
            let account = command.account.clone();
            self.push(&account, request, Fact::Refused { command, reason }, None)
        }

        pub(crate) fn next(&self) -> Place {
            Place { shard: 0, position: self.0.len() as i64 + 1 }
        }

        fn push(&mut self, account: &str, id: u128, fact: Fact, peer: Option<Place>) -> Place {
            let place = self.next();
            // The destination's side of a transfer has none, and neither has what a test does not care about.
            let request_id = match id {
                u128::MAX => None,
                0 => Some(Uuid::from_u128(1_000_000 + self.0.len() as u128)),
                id => Some(Uuid::from_u128(id)),
            };
            let stated = Stated { version: 0, balance: 0, held: 0, limit: 0, status: Status::Open };
            let (account, recorded_at) = (account.to_owned(), place.position);
            self.0.push(Row { place, account, request_id, fact, stated, recorded_at, peer });
            let replay = Replay::of(&self.0);
            if let (Some(after), Some(row)) =
                (replay.at(&self.0[self.0.len() - 1].account, place), self.0.last_mut())
            {
                let Account { version, balance, limit, status, .. } = *after;
                row.stated = Stated { version, balance, held: 0, limit, status };
            }
            place
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{given::GivenLog, *};
    use crate::model::given::{command, euros};

    #[test]
    fn every_state_an_account_had_can_be_found_by_position() {
        let mut log = GivenLog::two_accounts();
        log.transfer("a", "b", 7, 30);
        log.refused(8, command("a", Doing::Withdraw(euros(71))), "INSUFFICIENT_FUNDS");
        let replay = Replay::of(&log.0);
        let at = |account, position| {
            replay.at(account, Place { shard: 0, position }).map(|account| account.balance)
        };
        assert_eq!(
            (at("a", 0), at("a", 1), at("a", 4), at("a", 7)),
            (None, Some(0), Some(100), Some(70))
        );
        assert_eq!((at("b", 5), at("b", 6)), (Some(100), Some(130)));
        assert_eq!(replay.heads[&0], 7);
        assert!(replay.impossible.is_empty());
    }

    #[test]
    fn a_row_that_cannot_follow_is_noticed() {
        let mut log = GivenLog::two_accounts();
        log.done("c", 7, Doing::Deposit(euros(1)));
        assert_eq!(Replay::of(&log.0).impossible[0].0.position, 5);
    }
}
