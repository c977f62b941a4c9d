//! What the sweep repairs by itself after somebody edited Redis. What `verify` names: cli/tests/stack/verify.rs.
#![allow(clippy::unwrap_used, reason = "a test says where it failed by failing there")]

use system_tests::{Size, System, open_accounts, the_read_model_matches, until};

async fn system_with_some_history() -> System {
    let system = System::start(Size::smallest(1)).await;
    open_accounts(&system, 5).await;
    the_read_model_matches(&system).await;
    system
}

/// The key that holds an account's balance.
async fn account_key(system: &System) -> String {
    let keys: Vec<String> = system.on_redis(&["KEYS", "*:a:account-2"]).await;
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys[0].clone()
}

async fn notices_and_repairs(edit: impl AsyncFn(&System, &str)) {
    let mut system = system_with_some_history().await;
    let key = account_key(&system).await;
    // Nothing repairs it while nobody sweeps.
    for projector in &mut system.projectors {
        projector.kill().await;
    }
    edit(&system, &key).await;
    let (code, output) = system.counterfoil(&["verify"]).await;
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("account-2"), "{output}");
    for projector in &mut system.projectors {
        projector.restart();
    }
    until("the sweep has repaired it", || async { system.counterfoil(&["verify"]).await.0 == 0 })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_edited_in_redis_is_noticed_and_repaired() {
    notices_and_repairs(async |system, key| {
        let other: Vec<String> = system.on_redis(&["KEYS", "*:a:account-3"]).await;
        let _: i64 = system.on_redis(&["COPY", &other[0], key, "REPLACE"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_deleted_in_redis_is_noticed_and_repaired() {
    notices_and_repairs(async |system, key| {
        let _: i64 = system.on_redis(&["DEL", key]).await;
    })
    .await;
}
