//! Views are built anew beside the visible ones, and nobody who asks notices.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use ledger::{AccountId, Position, Shard};
use read_model::{Error, Generation, SwapOutcome, View};

use crate::stage::Stage;

/// Asks all the time until `done`: every answer is at or behind the one before, none is refused, and the
/// generations only go up.
async fn is_never_refused(stage: &Stage, id: &AccountId, done: &AtomicBool) -> usize {
    let mut seen = [Position::ZERO; 3];
    let mut answers = 0;
    while !done.load(Ordering::Relaxed) {
        let account = stage.reader.accounts(Shard::ZERO, std::slice::from_ref(id)).await.unwrap();
        let statement = stage.reader.statement(Shard::ZERO, id, None, 10).await.unwrap();
        let totals = stage.reader.totals(Shard::ZERO).await.unwrap();
        assert!(account.value[0].is_some() && statement.value.is_some());
        let markers = [account.marker, statement.marker, totals.marker];
        for (seen, marker) in seen.iter_mut().zip(markers) {
            assert!(marker.checkpoint.position >= *seen, "back from {seen}: {marker:?}");
            *seen = marker.checkpoint.position;
        }
        answers += 1;
    }
    answers
}

async fn request(stage: &Stage, view: View) {
    for shard in stage.world.shards() {
        stage.writer.request_rebuild(view, shard).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_takes_another_number_of_entries_that_are_kept() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(20).await;
    for _ in 0..200 {
        stage.world.everybody_gets_money().await;
    }
    let id = stage.world.account(0);
    let mut kept = Vec::new();
    for entries_max in [0, 70, 0] {
        let setting = format!("--statement-entries-max={entries_max}");
        let projector = stage.start(&[&setting]);
        stage.caught_up().await;
        let old = stage.visible(View::Transactions).await;
        request(&stage, View::Transactions).await;
        let is_new = async || stage.visible(View::Transactions).await != old;
        stage.until("another generation", is_new).await;
        kept.push(stage.statement(&id).await.len());
        assert!(stage.findings().await.iter().all(|findings| findings.count == 0));
        projector.stop().await;
    }
    assert!(kept[0] >= 200 && kept[1] < 70 + 64 && kept[2] == kept[0], "{kept:?}");
}

async fn rebuilds_under_load(shards: i16) {
    let mut stage = Stage::new(shards).await;
    stage.world.happens(200).await;
    let projector = stage.start(&["--page-events-max=10", "--retired-grace-ms=100"]);
    stage.caught_up().await;
    let first = stage.world.accounts.iter().find(|(_, account)| account.shard == Shard::ZERO);
    let id = first.unwrap().0.clone();
    let asking = Stage::on(
        &stage.store.redis_url,
        &stage.store.key_prefix,
        crate::world::World::at(stage.world.database_url.clone(), shards).await,
    )
    .await;
    let done = AtomicBool::new(false);
    let rebuild = async {
        for _ in 0..3 {
            for view in View::ALL {
                let old = stage.visible(view).await;
                request(&stage, view).await;
                while stage.visible(view).await == old {
                    stage.world.happens(5).await;
                    stage.world.ring().await;
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    };
    let (answers, ()) = tokio::join!(is_never_refused(&asking, &id, &done), rebuild);
    assert!(answers > 10, "{answers}");
    assert!(projector.metric("generations_swapped_total").await >= 12.0);
    assert!(projector.metric("generation_differences_total").await.abs() < 0.5);
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_under_load_is_not_noticed() {
    rebuilds_under_load(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_of_four_shards_under_load_is_not_noticed() {
    rebuilds_under_load(4).await;
}

async fn rebuilt(stage: &Stage, view: View) -> Generation {
    let old = stage.visible(view).await;
    request(stage, view).await;
    stage.until("another generation", async || stage.visible(view).await != old).await;
    stage.visible(view).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generation_before_is_kept_up_to_date_and_can_be_gone_back_to() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let _projector = stage.start(&[]);
    stage.caught_up().await;
    let old = stage.visible(View::Accounts).await;
    let new = rebuilt(&stage, View::Accounts).await;
    stage.world.happens(20).await;
    stage.caught_up().await;
    let back = async || {
        let outcome = stage.writer.roll_back(View::Accounts, Shard::ZERO).await.unwrap();
        outcome == SwapOutcome::Swapped
    };
    stage.until("back", back).await;
    assert_eq!(stage.visible(View::Accounts).await, old);
    stage.is_right().await;
    let status = stage.reader.view_status(View::Accounts, Shard::ZERO).await.unwrap();
    assert_eq!(status.retired.unwrap().generation, new);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generation_before_goes_after_a_while_with_all_its_keys() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let _projector = stage.start(&["--retired-grace-ms=200"]);
    stage.caught_up().await;
    let old = stage.visible(View::Transactions).await;
    rebuilt(&stage, View::Transactions).await;
    let keys = format!("transactions.3:{old}:");
    stage.until("the old keys are gone", async || stage.keys(&keys).await.is_empty()).await;
    let gone = stage.writer.roll_back(View::Transactions, Shard::ZERO).await;
    assert!(matches!(gone, Err(Error::Conflict { .. })), "{gone:?}");
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_puts_right_what_was_wrong_and_says_so() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let projector = stage.start(&[]);
    stage.caught_up().await;
    let id = stage.world.account(0);
    let old = stage.visible(View::Accounts).await;
    let names = stage.reader.keys().view(View::Accounts, Shard::ZERO).generation(old);
    stage.redis(&["SET", &names.account(&id), "edited"]).await;
    rebuilt(&stage, View::Accounts).await;
    stage.is_right().await;
    assert!(projector.metric("generation_differences_total").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_generation_that_the_log_does_not_bear_out_is_not_shown() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(300).await;
    let projector = stage.start(&["--page-events-max=1"]);
    stage.caught_up().await;
    let old = stage.visible(View::Transactions).await;
    let names = stage.reader.keys().view(View::Transactions, Shard::ZERO);
    request(&stage, View::Transactions).await;
    let building = async || {
        let status = stage.reader.view_status(View::Transactions, Shard::ZERO).await.unwrap();
        status.building.map(|building| building.generation)
    };
    stage.until("building", async || building().await.is_some()).await;
    let wrong = building().await.unwrap();
    // Something that no event of the log explains, as a projection with a bug would store it.
    let ghost = AccountId::new("ghost").unwrap();
    stage.set(&names.generation(wrong).header(&ghost), b"wrong").await;
    stage.until("dropped", async || building().await != Some(wrong)).await;
    assert_eq!(stage.visible(View::Transactions).await, old, "shown although it is wrong");
    assert!(projector.metric("generation_differences_total").await >= 1.0);
    let keys = format!("transactions.3:{wrong}:");
    stage.until("its keys are gone", async || stage.keys(&keys).await.is_empty()).await;
    stage.is_right().await;
    let right = rebuilt(&stage, View::Transactions).await;
    assert!(right > wrong);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_goes_on_when_its_projector_is_killed() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(300).await;
    let mut projector = stage.start(&["--page-events-max=2"]);
    stage.caught_up().await;
    for micros in (0..12).map(|n| n * 7_000) {
        let old = stage.visible(View::Accounts).await;
        request(&stage, View::Accounts).await;
        tokio::time::sleep(Duration::from_micros(micros)).await;
        drop(projector);
        stage.world.happens(5).await;
        projector = stage.start(&["--page-events-max=2"]);
        let changed = async || stage.visible(View::Accounts).await != old;
        stage.until("another generation", changed).await;
    }
    stage.is_right().await;
}
