//! An account with a long history beside accounts with a short one.

use super::Context;
use crate::{
    child::generate,
    load::{Job, Pace, Work},
    row::{Row, Values},
    series::warm_up,
    stage::{Size, Stage},
};

/// The goal's history.
const ENTRIES: u32 = 1_000_000;
/// The short ones. Many, so that they stay short.
const SHORT_ACCOUNTS: u32 = 1000;
const SHORT_ENTRIES: u32 = 9;

/// With one caller: how long one call takes.
pub(super) async fn rows(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let entries = context.args.scaled(ENTRIES, 1.0);
    let mut stage = Stage::fill(context.servers, Size::of(SHORT_ACCOUNTS + 1)).await?;
    eprintln!("long_account: filling an account with {entries} entries");
    stage.filler.deposit_on(0, entries).await?;
    for account in 1..=SHORT_ACCOUNTS {
        stage.filler.deposit_on(usize::try_from(account)?, SHORT_ENTRIES).await?;
    }
    stage.balances = stage.filler.balances();
    stage.start_services().await?;
    let mut p50 = [const { Vec::new() }; 4];
    for _ in 0..context.args.rounds() {
        for (values, (first, accounts)) in
            p50.chunks_exact_mut(2).zip([(0, 1), (1, SHORT_ACCOUNTS)])
        {
            let addrs = stage.write_addrs();
            let deposit = Work::Deposit { addrs, first, accounts, watch: None };
            let balance = Work::GetBalance { addr: stage.read_addr(), first, accounts };
            for (values, work) in values.iter_mut().zip([deposit, balance]) {
                let pace = Pace::Closed { callers: 1 };
                let (warm_up, time) = (warm_up(context.args), context.args.time());
                let result = generate(&Job { work, pace, warm_up, time }).await?;
                stage.acknowledge(&result);
                stage.until_caught_up().await?;
                values.push(result.latency.p50);
            }
        }
    }
    stage.check_balances().await?;
    stage.end(context.servers).await?;
    let [long_deposit, long_balance, short_deposit, short_balance] = p50;
    let row = |what: &str, part, long, short| {
        let long =
            Values::new(format!("p50 of {what} on an account of {entries} entries"), "ms", long);
        Row::beside("long_account", long, Values::new("of 10 entries", "ms", short)).part(part)
    };
    Ok(vec![
        row("deposit", "deposit", long_deposit, short_deposit),
        row("get_balance", "balance", long_balance, short_balance),
    ])
}
