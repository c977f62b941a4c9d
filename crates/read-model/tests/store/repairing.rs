//! A repair never overwrites anything newer than what was found wrong.

use read_model::{Generation, Place, Repair, Replacement, View};

use crate::support::{
    SHARD, Store, account, account_id, checkpoint, entry, header, indexed, no_entry, owned, owner,
    page, stored_entry, version, view,
};

async fn damaged(store: &Store) -> (Generation, Repair) {
    let generation = store.visible(View::Accounts).await;
    let changes = vec![account("alice", 3, 70), owned("alice")];
    store.writer.commit(&page(View::Accounts, generation, (0, 3), changes)).await.unwrap();
    let names = store.reader.keys().view(View::Accounts, SHARD).generation(generation);
    let key = names.account(&account_id("alice"));
    store.redis(&["SET", &key, "edited"]).await;
    let repair = Repair {
        view: View::Accounts,
        shard: SHARD,
        generation,
        seen: checkpoint(3),
        place: Place::Text { key },
        replacement: Replacement::Value {
            wrong: Some(b"edited".to_vec()),
            right: Some(view("alice", 3, 70).encode()),
        },
    };
    (generation, repair)
}

async fn balance(store: &Store) -> i64 {
    let read = store.reader.accounts(SHARD, &[account_id("alice")]).await.unwrap();
    read.value[0].as_ref().unwrap().state.balance
}

#[tokio::test]
async fn a_wrong_value_is_replaced() {
    let store = Store::new().await;
    let (_, repair) = damaged(&store).await;
    assert!(store.writer.repair(&repair).await.unwrap());
    assert_eq!(balance(&store).await, 70);
}

#[tokio::test]
async fn a_missing_value_is_put_back_and_a_foreign_one_removed() {
    let store = Store::new().await;
    let (_, mut repair) = damaged(&store).await;
    store.redis(&["DEL", repair.place.key()]).await;
    let right = Some(view("alice", 3, 70).encode());
    repair.replacement = Replacement::Value { wrong: None, right: right.clone() };
    assert!(store.writer.repair(&repair).await.unwrap());
    assert_eq!(balance(&store).await, 70);
    repair.replacement = Replacement::Value { wrong: right, right: None };
    assert!(store.writer.repair(&repair).await.unwrap());
    let read = store.reader.accounts(SHARD, &[account_id("alice")]).await.unwrap();
    assert_eq!(read.value, [None]);
}

#[tokio::test]
async fn a_key_of_another_kind_is_overwritten() {
    let store = Store::new().await;
    let (_, mut repair) = damaged(&store).await;
    store.redis(&["DEL", repair.place.key()]).await;
    store.redis(&["LPUSH", repair.place.key(), "x"]).await;
    let right = Some(view("alice", 3, 70).encode());
    repair.replacement = Replacement::Value { wrong: None, right };
    assert!(store.writer.repair(&repair).await.unwrap());
    assert_eq!(balance(&store).await, 70);
}

#[tokio::test]
async fn what_was_written_since_is_left_alone() {
    let store = Store::new().await;
    let (generation, repair) = damaged(&store).await;
    let newer = page(View::Accounts, generation, (3, 4), vec![account("alice", 4, 99)]);
    store.writer.commit(&newer).await.unwrap();
    assert!(!store.writer.repair(&repair).await.unwrap());
    assert_eq!(balance(&store).await, 99);
}

#[tokio::test]
async fn a_generation_that_went_back_or_away_is_not_repaired() {
    let store = Store::new().await;
    let (_, mut repair) = damaged(&store).await;
    repair.seen = checkpoint(4);
    assert!(!store.writer.repair(&repair).await.unwrap(), "the generation went back");
    repair.seen = checkpoint(3);
    repair.seen.log_id = ledger::LogId(uuid::Uuid::from_u128(2));
    assert!(!store.writer.repair(&repair).await.unwrap(), "the generation is of another log");
    repair.generation = Generation::new(1).unwrap();
    repair.seen = checkpoint(3);
    assert!(!store.writer.repair(&repair).await.unwrap(), "the generation is gone");
}

#[tokio::test]
async fn a_field_is_replaced_and_its_neighbours_stay() {
    let store = Store::new().await;
    let generation = store.visible(View::Transactions).await;
    let changes = vec![no_entry("alice", 1), stored_entry("alice", 2), header("alice", 2)];
    store.writer.commit(&page(View::Transactions, generation, (0, 2), changes)).await.unwrap();
    let names = store.reader.keys().view(View::Transactions, SHARD).generation(generation);
    let key = names.block(&account_id("alice"), version(2));
    store.redis(&["HSET", &key, "2", "edited"]).await;
    let mut repair = Repair {
        view: View::Transactions,
        shard: SHARD,
        generation,
        seen: checkpoint(2),
        place: Place::Field { key, field: 2 },
        replacement: Replacement::Value {
            wrong: Some(b"other".to_vec()),
            right: stored_entry("alice", 2).bytes(),
        },
    };
    assert!(!store.writer.repair(&repair).await.unwrap(), "something else is there");
    repair.replacement = Replacement::Value {
        wrong: Some(b"edited".to_vec()),
        right: stored_entry("alice", 2).bytes(),
    };
    assert!(store.writer.repair(&repair).await.unwrap());
    let read = store.reader.statement(SHARD, &account_id("alice"), None, 10).await.unwrap();
    assert_eq!(read.value.unwrap().entries, [entry(2)]);
}

#[tokio::test]
async fn a_range_is_replaced_and_its_neighbours_stay() {
    let store = Store::new().await;
    let generation = store.visible(View::Transactions).await;
    let changes = (2..=4).map(indexed).collect();
    store.writer.commit(&page(View::Transactions, generation, (0, 4), changes)).await.unwrap();
    let stored = store.reader.generation(View::Transactions, SHARD, generation);
    let places = [2, 3, 4].map(|at| indexed(at).place(stored.keys()));
    let right = [2, 3, 4].map(|at| indexed(at).bytes());
    let held = async || stored.observe(&places).await.unwrap().values;
    assert_eq!(held().await, right);
    let Place::Range { key, start, .. } = &places[1] else { panic!("not a range") };
    store.redis(&["SETRANGE", key, &start.to_string(), "edited"]).await;
    let wrong = held().await;
    assert_eq!((&wrong[0], &wrong[2]), (&right[0], &right[2]));
    let mut repair = Repair {
        view: View::Transactions,
        shard: SHARD,
        generation,
        seen: checkpoint(4),
        place: places[1].clone(),
        replacement: Replacement::Value { wrong: None, right: right[1].clone() },
    };
    assert!(!store.writer.repair(&repair).await.unwrap(), "something is there");
    let wrong = wrong[1].clone();
    repair.replacement = Replacement::Value { wrong, right: right[1].clone() };
    assert!(store.writer.repair(&repair).await.unwrap());
    assert_eq!(held().await, right);
    // Nothing is there any more, and then something of another type.
    repair.replacement = Replacement::Value { wrong: None, right: right[1].clone() };
    for command in [&["DEL", key][..], &["HSET", key, "a", "b"]] {
        store.redis(&["DEL", key]).await;
        store.redis(command).await;
        assert!(store.writer.repair(&repair).await.unwrap());
        let [before, found, behind] = &held().await[..] else { panic!() };
        assert_eq!((found, behind), (&right[1], &None));
        assert!(before.iter().flatten().all(|byte| *byte == 0), "{before:?}");
    }
}

#[tokio::test]
async fn membership_is_put_right() {
    let store = Store::new().await;
    let (generation, mut repair) = damaged(&store).await;
    let names = store.reader.keys().view(View::Accounts, SHARD).generation(generation);
    repair.place = Place::Member { key: names.owner(&owner()), member: "alice".to_owned() };
    repair.replacement = Replacement::Member { present: false };
    assert!(store.writer.repair(&repair).await.unwrap());
    assert!(!store.writer.repair(&repair).await.unwrap(), "nothing left to remove");
    let list = async || store.reader.owner_accounts(SHARD, &owner(), None, 10).await;
    assert_eq!(list().await.unwrap().value, []);
    repair.replacement = Replacement::Member { present: true };
    assert!(store.writer.repair(&repair).await.unwrap());
    assert!(list().await.is_err(), "the index has an account again whose value is damaged");
}
