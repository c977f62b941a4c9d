//! The sub-commands, one file each.

mod account;
mod accounts;
mod balance;
mod balances;
mod close;
mod deposit;
mod freeze;
mod healthcheck;
mod import;
mod latest;
mod movement;
mod new_incarnation;
mod open;
mod pay_bill;
mod rebuild;
mod set_overdraft_limit;
mod show;
mod statement;
mod status;
mod totals;
mod transaction;
mod transfer;
mod unfreeze;
mod up;
mod verify;
mod withdraw;

use clap::Subcommand;

use crate::failure::Failure;

/// What `counterfoil` can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: a private Postgres and Redis and the three services
    Up(up::Up),
    /// Import bank statements from a CSV file
    Import(import::Import),

    /// Open an account
    Open(open::Open),
    /// Add money that comes from outside
    Deposit(deposit::Deposit),
    /// Take money out
    Withdraw(withdraw::Withdraw),
    /// Take money out to pay a bill
    PayBill(pay_bill::PayBill),
    /// Move money between two accounts
    Transfer(transfer::Transfer),
    /// Set how far below zero an account may go
    SetOverdraftLimit(set_overdraft_limit::SetOverdraftLimit),
    /// Refuse debits from an account
    Freeze(freeze::Freeze),
    /// Accept debits from an account again
    Unfreeze(unfreeze::Unfreeze),
    /// Close an empty account for ever
    Close(close::Close),

    /// Show an account
    Account(account::Account),
    /// Show an account's balance
    Balance(balance::Balance),
    /// Show the balances of several accounts at one moment
    Balances(balances::Balances),
    /// List an owner's accounts
    Accounts(accounts::Accounts),
    /// Show a transaction
    Transaction(transaction::Transaction),
    /// Show an account's newest transaction
    Latest(latest::Latest),
    /// Show an account's transactions, newest first
    Statement(statement::Statement),
    /// Show the trial balance of each currency
    Totals(totals::Totals),
    /// Show how far the views of the read model have come
    Status(status::Status),

    /// Recompute the log and compare Redis with it
    Verify(verify::Verify),
    /// Show an account as the log, Redis and the read service have it
    Show(show::Show),
    /// Have views of the read model built anew, without downtime
    Rebuild(rebuild::Rebuild),
    /// Go on with a log that was restored from a backup
    NewIncarnation(new_incarnation::NewIncarnation),
    /// Ask a service whether it is ready (for containers)
    Healthcheck(healthcheck::Healthcheck),
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Up(command) => command.run().await,
            Self::Import(command) => command.run().await,
            Self::Open(command) => command.run().await,
            Self::Deposit(command) => command.run().await,
            Self::Withdraw(command) => command.run().await,
            Self::PayBill(command) => command.run().await,
            Self::Transfer(command) => command.run().await,
            Self::SetOverdraftLimit(command) => command.run().await,
            Self::Freeze(command) => command.run().await,
            Self::Unfreeze(command) => command.run().await,
            Self::Close(command) => command.run().await,
            Self::Account(command) => command.run().await,
            Self::Balance(command) => command.run().await,
            Self::Balances(command) => command.run().await,
            Self::Accounts(command) => command.run().await,
            Self::Transaction(command) => command.run().await,
            Self::Latest(command) => command.run().await,
            Self::Statement(command) => command.run().await,
            Self::Totals(command) => command.run().await,
            Self::Status(command) => command.run().await,
            Self::Verify(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Rebuild(command) => command.run().await,
            Self::NewIncarnation(command) => command.run().await,
            Self::Healthcheck(command) => command.run().await,
        }
    }
}
