//! Building views anew from a large log.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::TryStreamExt;
use ledger::ShardCount;
use read_model::{Reader, StoreConfig, View, ViewStatus, Writer};
use tokio::time::sleep;

use super::Context;
use crate::{
    row::{Row, Values},
    servers::connect,
    stage::{Size, Stage},
};

/// The goal's log.
const EVENTS: u32 = 5_000_000;
/// Each takes long.
const ROUNDS_MAX: u32 = 2;
const ACCOUNTS: &[View] = &[View::Accounts];
const ALL: &[View] = &View::ALL;
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// A rebuild that is not done by then hangs.
const TIMEOUT: Duration = Duration::from_secs(900);
/// Redis has a lot to do meanwhile.
const REDIS_TIMEOUT: Duration = Duration::from_secs(30);
/// In the order in which a reader needs them.
const COPY: &str =
    "COPY (SELECT * FROM counterfoil.events ORDER BY shard, position) TO STDOUT (FORMAT binary)";

/// Each beside a COPY of all rows to a client that throws them away. Both figures share a log: filling it takes longest.
pub(super) async fn rows(context: &mut Context<'_>) -> anyhow::Result<Vec<Row>> {
    let args = context.args;
    let mut size = Size::of(args.accounts);
    // The generation before is dropped at once: its memory is needed for the next round.
    size.settings.push(("PROJECTOR_RETIRED_GRACE_MS", "0".to_owned()));
    let mut stage = Stage::fill(context.servers, size).await?;
    let events = args.scaled(EVENTS, 1.0);
    eprintln!("rebuild: filling a log with {events} events");
    stage.fill_further(events).await?;
    stage.start_reading().await?;
    let count = events + 2 * args.accounts;
    let mut rows = Vec::new();
    for (name, views) in [("rebuild", ACCOUNTS), ("rebuild_all", ALL)] {
        if args.wants(name) {
            rows.push(row(&stage, args.rounds().min(ROUNDS_MAX), name, views, count).await?);
        }
    }
    stage.end(context.servers).await?;
    Ok(rows)
}

async fn row(
    stage: &Stage,
    rounds: u32,
    name: &'static str,
    views: &[View],
    count: u32,
) -> anyhow::Result<Row> {
    let (mut rebuilds, mut copies) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let copied = copy(&stage.database_url).await?;
        let rebuilt = rebuild(stage, views).await?;
        let rate = |took: Duration| f64::from(count) / took.as_secs_f64();
        eprintln!("round {round}  {name} {:9.0}/s  copy {:9.0}/s", rate(rebuilt), rate(copied));
        copies.push(rate(copied));
        rebuilds.push(rate(rebuilt));
        stage.check_balances().await?;
    }
    let what = if views.len() == 1 { "the accounts view" } else { "all views" };
    let what = format!("events into {what}, {count} of them");
    let copies = Values::new("rows by COPY, ordered", "/s", copies);
    Ok(Row::beside(name, Values::new(what, "/s", rebuilds), copies))
}

async fn copy(database_url: &str) -> anyhow::Result<Duration> {
    let connection = connect(database_url).await?;
    let begun = Instant::now();
    let stream = connection.client.copy_out(COPY).await.context("copy the events")?;
    let bytes = stream.try_fold(0, |sum, bytes| std::future::ready(Ok(sum + bytes.len()))).await?;
    anyhow::ensure!(bytes > 0, "nothing was copied");
    Ok(begun.elapsed())
}

/// From when a projector has begun until queries see the new generation.
async fn rebuild(stage: &Stage, views: &[View]) -> anyhow::Result<Duration> {
    let mut config = StoreConfig::new(&stage.redis_url);
    config.key_prefix.clone_from(&stage.key_prefix);
    config.response_timeout = REDIS_TIMEOUT;
    let (reader, writer) = (Reader::connect(&config).await?, Writer::connect(&config).await?);
    let before = look(&reader, views).await?;
    for view in &before {
        writer.request_rebuild(view.view, view.shard).await?;
    }
    until(&reader, views, |view| view.building.is_some()).await?;
    let begun = Instant::now();
    let old = |view: &ViewStatus| {
        let of_view = |before: &&ViewStatus| before.view == view.view && before.shard == view.shard;
        before.iter().find(of_view).and_then(|before| before.visible)
    };
    let is_new = |view: &ViewStatus| {
        let generation =
            |status: Option<read_model::GenerationStatus>| status.map(|status| status.generation);
        view.building.is_none() && generation(view.visible) != generation(old(view))
    };
    until(&reader, views, is_new).await?;
    let took = begun.elapsed();
    until(&reader, views, |view| view.retired.is_none()).await?;
    Ok(took)
}

async fn until(
    reader: &Reader,
    views: &[View],
    is_so: impl Fn(&ViewStatus) -> bool,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    while !look(reader, views).await?.iter().all(&is_so) {
        if Instant::now() > deadline {
            bail!("the rebuild does not end");
        }
        sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

async fn look(reader: &Reader, views: &[View]) -> anyhow::Result<Vec<ViewStatus>> {
    let status = reader.status(ShardCount::ONE).await?;
    Ok(status.into_iter().filter(|view| views.contains(&view.view)).collect())
}
