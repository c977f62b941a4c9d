//! The ledger once more: the rules as the contract states them, written without looking at how the ledger does it.
//!
//! It decides with plain numbers and plain texts, and folds the log into the life of every account. What the product says
//! is compared with it; nothing of the product's own rules is called.

mod replay;
mod row;

#[cfg(test)]
pub(crate) use replay::given as given_log;
pub(crate) use replay::{Life, Replay};
pub(crate) use row::{Fact, Place, Row, Stated};

/// Whether money may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Open,
    Frozen,
    Closed,
}

/// An account as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) version: i64,
    pub(crate) balance: i64,
    pub(crate) limit: i64,
    pub(crate) status: Status,
    pub(crate) currency: String,
}

/// A request to change something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) account: String,
    pub(crate) doing: Doing,
    pub(crate) expected_version: Option<i64>,
}

/// A sum of money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) currency: String,
    pub(crate) amount: i64,
}

/// What a command wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doing {
    Open { owner: String, currency: String, limit: i64 },
    Deposit(Sum),
    Withdraw(Sum),
    PayBill(Sum),
    Transfer { to: String, sum: Sum },
    SetLimit(i64),
    Freeze,
    Unfreeze,
    Close,
}

/// A reason of the contract.
pub(crate) type Reason = &'static str;

/// What somebody is told who may not see all accounts, of those that are not his and of those that are not there.
pub(crate) const ACCOUNT_ACCESS_DENIED: Reason = "ACCOUNT_ACCESS_DENIED";

/// The accounts after a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) account: Account,
    pub(crate) destination: Option<Account>,
}

impl Command {
    /// Whether it asks for an account that is not there yet.
    pub(crate) fn opens(&self) -> bool {
        matches!(self.doing, Doing::Open { .. })
    }

    /// The other account of a transfer.
    pub(crate) fn destination(&self) -> Option<&str> {
        match &self.doing {
            Doing::Transfer { to, .. } => Some(to),
            _ => None,
        }
    }
}

/// What a command does to the accounts as they stand, or why it does nothing. Rules are asked in the contract's order: existence,
/// version, closed, frozen, currency, amounts.
pub(crate) fn decide(
    account: Option<&Account>,
    destination: Option<&Account>,
    command: &Command,
) -> Result<After, Reason> {
    if let Doing::Open { currency, limit, .. } = &command.doing {
        if account.is_some() {
            return Err("ACCOUNT_ALREADY_EXISTS");
        }
        let currency = currency.clone();
        let opened =
            Account { version: 1, balance: 0, limit: *limit, status: Status::Open, currency };
        return Ok(After { account: opened, destination: None });
    }
    let account = account.ok_or("ACCOUNT_NOT_FOUND")?;
    if command.destination().is_some() && destination.is_none() {
        return Err("ACCOUNT_NOT_FOUND");
    }
    if command.expected_version.is_some_and(|expected| expected != account.version) {
        return Err("VERSION_CONFLICT");
    }
    let closed = |account: &Account| account.status == Status::Closed;
    if closed(account) || destination.is_some_and(closed) {
        return Err("ACCOUNT_CLOSED");
    }
    let after = match &command.doing {
        Doing::Open { .. } => unreachable!("decided above"),
        Doing::Deposit(sum) => credited(account, sum)?,
        Doing::Withdraw(sum) | Doing::PayBill(sum) => debited(account, sum)?,
        Doing::Transfer { sum, .. } => return transferred(account, destination, sum),
        Doing::SetLimit(limit) if account.balance < -limit => return Err("LIMIT_ABOVE_BALANCE"),
        Doing::SetLimit(limit) => Account { limit: *limit, ..next(account) },
        Doing::Freeze if account.status == Status::Frozen => return Err("ACCOUNT_FROZEN"),
        Doing::Freeze => Account { status: Status::Frozen, ..next(account) },
        Doing::Unfreeze if account.status == Status::Open => return Err("ACCOUNT_NOT_FROZEN"),
        Doing::Unfreeze => Account { status: Status::Open, ..next(account) },
        Doing::Close if account.balance != 0 => return Err("BALANCE_NOT_ZERO"),
        Doing::Close => Account { status: Status::Closed, ..next(account) },
    };
    Ok(After { account: after, destination: None })
}

/// Whether a refusal is kept under its request id. The others leave the id free.
pub(crate) fn is_kept(reason: &str, expected: Option<i64>, current: Option<i64>) -> bool {
    match reason {
        "ACCOUNT_NOT_FOUND"
        | ACCOUNT_ACCESS_DENIED
        | "ACCOUNT_ALREADY_EXISTS"
        | "BATCH_REFUSED" => false,
        // A version that has passed never comes again.
        "VERSION_CONFLICT" => expected > current,
        _ => true,
    }
}

fn next(account: &Account) -> Account {
    Account { version: account.version + 1, ..account.clone() }
}

fn credited(account: &Account, sum: &Sum) -> Result<Account, Reason> {
    if account.currency != sum.currency {
        return Err("CURRENCY_MISMATCH");
    }
    let balance = account.balance.checked_add(sum.amount).ok_or("BALANCE_OVERFLOW")?;
    Ok(Account { balance, ..next(account) })
}

fn debited(account: &Account, sum: &Sum) -> Result<Account, Reason> {
    if account.status == Status::Frozen {
        return Err("ACCOUNT_FROZEN");
    }
    if account.currency != sum.currency {
        return Err("CURRENCY_MISMATCH");
    }
    let balance = account.balance.checked_sub(sum.amount).ok_or("INSUFFICIENT_FUNDS")?;
    if i128::from(balance) < -i128::from(account.limit) {
        return Err("INSUFFICIENT_FUNDS");
    }
    Ok(Account { balance, ..next(account) })
}

fn transferred(
    account: &Account,
    destination: Option<&Account>,
    sum: &Sum,
) -> Result<After, Reason> {
    let destination = destination.ok_or("ACCOUNT_NOT_FOUND")?;
    if account.status == Status::Frozen {
        return Err("ACCOUNT_FROZEN");
    }
    if account.currency != sum.currency || destination.currency != sum.currency {
        return Err("CURRENCY_MISMATCH");
    }
    let account = debited(account, sum)?;
    let destination = Some(credited(destination, sum)?);
    Ok(After { account, destination })
}

#[cfg(test)]
pub(crate) mod given {
    //! Commands and accounts for tests.

    use super::*;

    pub(crate) fn euros(amount: i64) -> Sum {
        Sum { currency: "EUR".into(), amount }
    }

    pub(crate) fn command(account: &str, doing: Doing) -> Command {
        Command { account: account.into(), doing, expected_version: None }
    }

    pub(crate) fn account(version: i64, balance: i64) -> Account {
        let currency = "EUR".into();
        Account { version, balance, limit: 0, status: Status::Open, currency }
    }
}

#[cfg(test)]
mod tests {
    use super::{given::*, *};

    fn refused(state: &Account, doing: Doing) -> Reason {
        decide(Some(state), None, &command("a", doing)).unwrap_err()
    }

    #[test]
    fn money_can_be_taken_out_down_to_the_limit_and_not_further() {
        let poor = Account { limit: 50, ..account(3, 10) };
        let after = decide(Some(&poor), None, &command("a", Doing::Withdraw(euros(60)))).unwrap();
        assert_eq!((after.account.balance, after.account.version), (-50, 4));
        assert_eq!(refused(&poor, Doing::Withdraw(euros(61))), "INSUFFICIENT_FUNDS");
        assert_eq!(refused(&after.account, Doing::SetLimit(49)), "LIMIT_ABOVE_BALANCE");
    }

    #[test]
    fn a_frozen_account_takes_money_in_and_gives_none() {
        let frozen = Account { status: Status::Frozen, ..account(3, 10) };
        assert!(decide(Some(&frozen), None, &command("a", Doing::Deposit(euros(1)))).is_ok());
        assert_eq!(refused(&frozen, Doing::PayBill(euros(1))), "ACCOUNT_FROZEN");
        assert_eq!(refused(&frozen, Doing::Freeze), "ACCOUNT_FROZEN");
        assert_eq!(refused(&account(1, 0), Doing::Unfreeze), "ACCOUNT_NOT_FROZEN");
    }

    #[test]
    fn existence_comes_before_version_and_version_before_everything_else() {
        let mut deposit = command("a", Doing::Deposit(Sum { currency: "JPY".into(), amount: 1 }));
        deposit.expected_version = Some(7);
        assert_eq!(decide(None, None, &deposit), Err("ACCOUNT_NOT_FOUND"));
        let closed = Account { status: Status::Closed, ..account(3, 0) };
        assert_eq!(decide(Some(&closed), None, &deposit), Err("VERSION_CONFLICT"));
        deposit.expected_version = Some(3);
        assert_eq!(decide(Some(&closed), None, &deposit), Err("ACCOUNT_CLOSED"));
        let open = account(3, 0);
        assert_eq!(decide(Some(&open), None, &deposit), Err("CURRENCY_MISMATCH"));
    }

    #[test]
    fn a_transfer_moves_what_it_takes() {
        let transfer = command("a", Doing::Transfer { to: "b".into(), sum: euros(4) });
        let after = decide(Some(&account(2, 10)), Some(&account(5, 1)), &transfer).unwrap();
        assert_eq!((after.account.balance, after.destination.unwrap().balance), (6, 5));
        assert_eq!(decide(Some(&account(2, 10)), None, &transfer), Err("ACCOUNT_NOT_FOUND"));
    }

    #[test]
    fn what_says_nothing_for_ever_is_not_kept() {
        assert!(is_kept("INSUFFICIENT_FUNDS", None, None));
        assert!(!is_kept("ACCOUNT_NOT_FOUND", None, None));
        assert!(is_kept("VERSION_CONFLICT", Some(9), Some(3)));
        assert!(!is_kept("VERSION_CONFLICT", Some(2), Some(3)));
    }
}
