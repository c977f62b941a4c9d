//! Which commands are sent.

use uuid::Uuid;

use super::{EURO_ACCOUNTS, RICH_ACCOUNT, YEN_ACCOUNTS};
use crate::{
    dice::Dice,
    model::{Command, Doing, Sum},
};

/// Largest sum of one command.
const AMOUNT_MAX: u64 = 6_000;

pub(super) fn euro_account(number: u64) -> String {
    format!("account-{number}")
}

pub(super) fn yen_account(number: u64) -> String {
    format!("yen-{number}")
}

/// Who has the accounts that a client opens.
pub(crate) fn own_owner(client: u64) -> String {
    format!("owner-{client}")
}

/// An id for a new request.
pub(super) fn request_id() -> Uuid {
    Uuid::now_v7()
}

/// What one client knows: accounts that it has opened itself, and versions that it has seen.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    client: u64,
    /// Whether accounts are closed to it: such a caller pays only those who are there, since which of its own account's rules and
    /// the payee's absence is told first is another question there than the model's.
    is_customer: bool,
    opened: u64,
    pub(super) seen: Option<(String, i64)>,
}

/// A sum in the currency that this account is known to have.
fn sum(account: &str, amount: u64) -> Sum {
    let currency = if account.starts_with("yen") { "JPY" } else { "EUR" };
    Sum { currency: currency.into(), amount: i64::try_from(amount).unwrap_or(i64::MAX) }
}

impl Knowledge {
    pub(super) fn of(client: u64, is_customer: bool) -> Self {
        Self { client, is_customer, ..Self::default() }
    }

    /// Mostly money; of everything else a little.
    pub(super) fn command(&mut self, dice: &mut Dice) -> Command {
        let account = self.account(dice);
        let amount = dice.roll(AMOUNT_MAX) + 1;
        let money = sum(&account, amount);
        let doing = match dice.roll(100) {
            0..30 => Doing::Deposit(money),
            30..52 => Doing::Withdraw(money),
            52..60 => Doing::PayBill(money),
            60..85 => self.transfer(dice, &account, money),
            85..89 => Doing::SetLimit(i64::try_from(dice.roll(20_000)).unwrap_or_default()),
            89..91 => Doing::Freeze,
            91..94 => Doing::Unfreeze,
            94 => Doing::Deposit(Sum { currency: "CHF".into(), ..money }),
            95 => Doing::Deposit(Sum { amount: 0, ..money }),
            _ => return self.about_new_accounts(dice),
        };
        let moves = matches!(
            doing,
            Doing::Deposit(_) | Doing::Withdraw(_) | Doing::PayBill(_) | Doing::Transfer { .. }
        );
        // Sometimes a version that it has just seen, which may have passed since, or one that will come.
        let expected_version = match &self.seen {
            Some((seen, version)) if moves && *seen == account && dice.percent(30) => {
                Some(version + i64::from(dice.percent(20)))
            }
            _ => None,
        };
        Command { account, doing, expected_version }
    }

    /// Commands that can be sent together: mostly on few accounts, so that they meet.
    pub(super) fn commands(&mut self, dice: &mut Dice, least: u64, most: u64) -> Vec<Command> {
        let count = least + dice.roll(most - least + 1);
        (0..count).map(|_| self.command(dice)).filter(is_well_formed).collect()
    }

    fn account(&self, dice: &mut Dice) -> String {
        match dice.roll(100) {
            0..8 => yen_account(dice.roll(YEN_ACCOUNTS)),
            8..14 if self.opened > 0 => self.own_account(dice.roll(self.opened)),
            14 => "never-opened".into(),
            15..18 => RICH_ACCOUNT.into(),
            _ => euro_account(dice.roll(EURO_ACCOUNTS)),
        }
    }

    fn transfer(&self, dice: &mut Dice, from: &str, sum: Sum) -> Doing {
        let to = match self.is_customer {
            true => euro_account(dice.roll(EURO_ACCOUNTS)),
            false => self.account(dice),
        };
        match to == from {
            true => Doing::Deposit(sum),
            false => Doing::Transfer { to, sum },
        }
    }

    /// Opens a new account, or one that is there, or closes one.
    fn about_new_accounts(&mut self, dice: &mut Dice) -> Command {
        let is_new = self.opened == 0 || dice.percent(45);
        let number = if is_new { self.opened } else { dice.roll(self.opened) };
        self.opened = self.opened.max(number + 1);
        let account = self.own_account(number);
        let doing = if is_new || dice.percent(30) {
            let limit = i64::try_from(dice.roll(1_000)).unwrap_or_default();
            let owner = own_owner(self.client);
            Doing::Open { owner, currency: "EUR".into(), limit }
        } else {
            Doing::Close
        };
        Command { account, doing, expected_version: None }
    }

    fn own_account(&self, number: u64) -> String {
        format!("new-{}-{number}", self.client)
    }
}

/// A batch with one malformed command is refused as a whole, which would test nothing else.
fn is_well_formed(command: &Command) -> bool {
    !matches!(&command.doing, Doing::Deposit(sum) if sum.amount == 0)
}
