//! The sub-commands, one file each.

mod account;
mod accounts;
mod anchor;
mod balance;
mod balances;
mod batch;
mod bench;
mod close;
mod deposit;
mod freeze;
mod healthcheck;
mod import;
mod json_line;
mod latest;
mod migrate;
mod movement;
mod new_incarnation;
mod open;
mod pay_bill;
mod problems;
mod rebuild;
mod redis_acl;
mod set_overdraft_limit;
mod show;
mod statement;
mod status;
mod stream;
mod totals;
mod transaction;
mod transfer;
mod unfreeze;
mod up;
mod verify;
mod withdraw;

use clap::Subcommand;

use crate::failure::Failure;

/// What `counterfoil` can do. Help is the documentation of each sub-command's arguments.
#[derive(Subcommand)]
pub(crate) enum Command {
    Up(up::Up),
    Import(import::Import),
    Batch(batch::Batch),
    Stream(stream::Stream),

    Open(open::Open),
    Deposit(deposit::Deposit),
    Withdraw(withdraw::Withdraw),
    PayBill(pay_bill::PayBill),
    Transfer(transfer::Transfer),
    SetOverdraftLimit(set_overdraft_limit::SetOverdraftLimit),
    Freeze(freeze::Freeze),
    Unfreeze(unfreeze::Unfreeze),
    Close(close::Close),

    Account(account::Account),
    Balance(balance::Balance),
    Balances(balances::Balances),
    Accounts(accounts::Accounts),
    Transaction(transaction::Transaction),
    Latest(latest::Latest),
    Statement(statement::Statement),
    Totals(totals::Totals),
    Status(status::Status),

    Verify(verify::Verify),
    Anchor(anchor::AnchorCommand),
    Show(show::Show),
    Rebuild(rebuild::Rebuild),
    NewIncarnation(new_incarnation::NewIncarnation),
    Migrate(migrate::Migrate),
    RedisAcl(redis_acl::RedisAcl),
    Healthcheck(healthcheck::Healthcheck),
    Bench(bench::Bench),
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Up(command) => command.run().await,
            Self::Import(command) => command.run().await,
            Self::Batch(command) => command.run().await,
            Self::Stream(command) => command.run().await,
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
            Self::Anchor(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Rebuild(command) => command.run().await,
            Self::NewIncarnation(command) => command.run().await,
            Self::Migrate(command) => command.run().await,
            Self::RedisAcl(command) => command.run(),
            Self::Healthcheck(command) => command.run().await,
            Self::Bench(command) => command.run(),
        }
    }
}
