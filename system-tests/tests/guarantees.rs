//! What is promised of the whole, each promise as one test, with one shard and with four.
#![allow(clippy::unwrap_used, reason = "a test says where it failed by failing there")]

use std::time::Duration;

use system_tests::{Dice, Size, System, Witnesses, account, euros, open_accounts, until};
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

/// Makes two tests of each promise.
macro_rules! with_one_shard_and_with_four {
    ($($promise:ident)*) => {
        mod with_one_shard { $(#[tokio::test(flavor = "multi_thread")] async fn $promise() { super::$promise(1).await })* }
        mod with_four_shards { $(#[tokio::test(flavor = "multi_thread")] async fn $promise() { super::$promise(4).await })* }
    };
}

with_one_shard_and_with_four! {
    a_read_that_gives_a_token_back_includes_its_write
    two_of_every_service_lose_nothing_double_nothing_and_converge
    killing_services_at_any_time_loses_and_doubles_nothing
    a_redis_flushed_under_load_heals_by_itself
    without_notifications_everything_still_arrives
}

/// Drives the system while `disturb` does its worst, and then judges everything.
async fn holds_while<F: Future<Output = System>>(
    system: System,
    seconds: u64,
    disturb: impl FnOnce(System, Instant) -> F,
) {
    let witnesses = Witnesses::start(&system, seconds).await;
    let stop = Instant::now() + Duration::from_secs(seconds);
    let system = disturb(system, stop).await;
    sleep_until(stop).await;
    witnesses.judge(&system).await;
}

async fn a_read_that_gives_a_token_back_includes_its_write(shards: i16) {
    let system = System::start(Size::doubled(shards)).await;
    open_accounts(&system, 2).await;
    for round in 0..100_usize {
        let deposit = proto::write::DepositRequest {
            request_id: Uuid::now_v7().to_string(),
            account_id: account(round as u64 % 2),
            amount: euros(1),
            ..Default::default()
        };
        let written = system.write_client(round).deposit(deposit).await.unwrap().into_inner();
        let query = proto::read::GetBalanceRequest {
            account_id: account(round as u64 % 2),
            consistency: Some(proto::read::ReadConsistency {
                requirement: Some(proto::read::read_consistency::Requirement::AtLeastAsFresh(
                    written.write.unwrap().consistency_token,
                )),
            }),
        };
        let read = system.read_client(round / 2).get_balance(query).await.unwrap().into_inner();
        let account = written.account.unwrap();
        assert_eq!((read.version, read.balance), (account.version, account.balance));
    }
}

async fn two_of_every_service_lose_nothing_double_nothing_and_converge(shards: i16) {
    let system = System::start(Size::doubled(shards)).await;
    holds_while(system, 4, |system, _| async { system }).await;
}

async fn killing_services_at_any_time_loses_and_doubles_nothing(shards: i16) {
    let system = System::start(Size::doubled(shards)).await;
    holds_while(system, 8, |mut system, stop| async move {
        let mut dice = Dice::new(7);
        while Instant::now() < stop {
            sleep(Duration::from_millis(100 + dice.roll(400))).await;
            let services = [&mut system.writers, &mut system.projectors, &mut system.readers];
            let [writers, projectors, readers] = services;
            let kind = match dice.roll(4) {
                0 => projectors,
                1 => readers,
                _ => writers,
            };
            let number = usize::try_from(dice.roll(2)).unwrap();
            kind[number].kill().await;
            sleep(Duration::from_millis(dice.roll(200))).await;
            kind[number].restart();
        }
        system.until_reading().await;
        system
    })
    .await;
}

async fn a_redis_flushed_under_load_heals_by_itself(shards: i16) {
    let system = System::start(Size::smallest(shards)).await;
    holds_while(system, 5, |system, _| async move {
        sleep(Duration::from_secs(2)).await;
        let _: String = system.on_redis(&["FLUSHALL"]).await;
        until("the read model is back", || async {
            let query =
                proto::read::GetBalanceRequest { account_id: account(0), consistency: None };
            match system.read_client(0).get_balance(query).await {
                Ok(balance) => balance.into_inner().version > 0,
                // Until then it says so, and never that there is nothing.
                Err(status) => {
                    assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
                    false
                }
            }
        })
        .await;
        system
    })
    .await;
}

async fn without_notifications_everything_still_arrives(shards: i16) {
    let system = System::start(Size::smallest(shards)).await;
    holds_while(system, 4, |system, stop| async move {
        while Instant::now() < stop {
            system
                .as_superuser(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND (application_name LIKE 'counterfoil-bell%' OR query LIKE 'LISTEN%')",
                )
                .await;
            sleep(Duration::from_millis(50)).await;
        }
        system
    })
    .await;
}
