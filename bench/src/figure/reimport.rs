//! Importing a file again: every request id of it is old.

use std::{fmt::Write as _, fs, path::Path, time::Instant};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::Context;
use crate::{
    row::{Row, Values},
    stage::{Size, Stage},
};

const ACCOUNTS: u32 = 1000;
const ROWS_PER_ACCOUNT: u32 = 40;
const AMOUNT: i64 = 100;

/// The same file twice, another file in every round.
pub(super) async fn rows(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let stage = Stage::start(context.servers, Size::of(10)).await?;
    let file = context.servers.folder.path().join("import.csv");
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for round in 1..=context.args.rounds() {
        fs::write(&file, statements(round)).context("write a file to import")?;
        first.push(import(&stage, &file, &context.servers.programs).await?);
        again.push(import(&stage, &file, &context.servers.programs).await?);
        let accounts = (0..ACCOUNTS).map(|account| format!("i{round}-{account}")).collect();
        stage.check_that_all_hold(accounts, AMOUNT * i64::from(ROWS_PER_ACCOUNT)).await?;
    }
    stage.end(context.servers).await?;
    let again = Values::new("commands of `counterfoil import` of a file again", "/s", again);
    Ok(vec![Row::beside("reimport", again, Values::new("the first time", "/s", first))])
}

/// Commands per second of one import.
async fn import(stage: &Stage, file: &Path, programs: &Path) -> anyhow::Result<f64> {
    let mut command = Command::new(programs.join("counterfoil"));
    command.arg("import").arg(file).args(["--write-addr", &stage.write_addr()]).kill_on_drop(true);
    let begun = Instant::now();
    let output = command.output().await.context("run `counterfoil import`")?;
    let took = begun.elapsed();
    ensure!(
        output.status.success(),
        "the import failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let commands = ACCOUNTS * (ROWS_PER_ACCOUNT + 1); // an account is opened first
    let rate = f64::from(commands) / took.as_secs_f64();
    eprintln!("import  {rate:9.0}/s");
    Ok(rate)
}

/// Rows of different accounts in turn, as a bank's day has them.
fn statements(round: u32) -> String {
    let mut text = "transaction,account,command,currency,minor_units,reference\n".to_owned();
    for row in 0..ROWS_PER_ACCOUNT {
        for account in 0..ACCOUNTS {
            let _ = writeln!(
                text,
                "{round}-{account}-{row},i{round}-{account},deposit,EUR,{AMOUNT},import"
            );
        }
    }
    text
}
