//! Strides: stored chunk by chunk in a generation that is being built, and included whole or not at all.

use read_model::{Change, Chunk, Error, Filling, Generation, SwapOutcome, View};

use crate::support::{SHARD, Store, account, account_id, checkpoint, owned, owner, page};

const VIEW: View = View::Accounts;

/// Chunk `number` of `count` of a stride from one place to another.
fn chunk(
    generation: Generation,
    stride: Filling,
    (number, count): (u64, u64),
    (from, to): (i64, i64),
) -> Chunk {
    let is_last = number == count;
    let named = |chunks| Filling { chunks, ..stride };
    Chunk {
        view: VIEW,
        shard: SHARD,
        generation,
        expected: checkpoint(from),
        before: (number > 1).then(|| named(number - 1)),
        after: (!is_last).then(|| named(number)),
        upto: is_last.then(|| checkpoint(to)),
        changes: vec![account(&format!("account-{number}"), to, to)],
    }
}

fn is_conflict(outcome: &Result<(), Error>) -> bool {
    matches!(outcome, Err(Error::Conflict { .. }))
}

async fn filling(store: &Store) -> Option<Filling> {
    store.writer.status(VIEW, SHARD).await.unwrap().filling
}

async fn position(store: &Store) -> i64 {
    let building = store.writer.status(VIEW, SHARD).await.unwrap().building;
    building.unwrap().checkpoint.unwrap().position.get()
}

#[tokio::test]
async fn a_stride_is_included_with_its_last_chunk_and_not_before() {
    let store = Store::new().await;
    let generation = store.begin(VIEW).await;
    let stride = Filling::begin(checkpoint(9));
    for number in 1..=2 {
        store.writer.fill(&chunk(generation, stride, (number, 3), (0, 9))).await.unwrap();
        assert_eq!(position(&store).await, 0);
        assert_eq!(filling(&store).await, Some(Filling { chunks: number, ..stride }));
    }
    store.writer.fill(&chunk(generation, stride, (3, 3), (0, 9))).await.unwrap();
    assert_eq!((position(&store).await, filling(&store).await), (9, None));
    assert_eq!(store.swap(VIEW, generation).await, SwapOutcome::Swapped);
    let ids = ["account-1", "account-2", "account-3"].map(account_id);
    let read = store.reader.accounts(SHARD, &ids).await.unwrap();
    assert!(read.value.iter().all(Option::is_some));
}

#[tokio::test]
async fn no_chunk_is_stored_behind_one_that_was_lost() {
    let store = Store::new().await;
    let generation = store.begin(VIEW).await;
    let stride = Filling::begin(checkpoint(9));
    store.writer.fill(&chunk(generation, stride, (1, 4), (0, 9))).await.unwrap();
    let before = store.dump().await;
    for number in [3, 4, 1] {
        let refused = store.writer.fill(&chunk(generation, stride, (number, 4), (0, 9))).await;
        assert!(is_conflict(&refused), "{number}: {refused:?}");
    }
    assert_eq!(store.dump().await, before);
}

#[tokio::test]
async fn no_chunk_is_stored_behind_one_that_failed_halfway() {
    let store = Store::new().await;
    let generation = store.begin(VIEW).await;
    let names = store.reader.keys().view(VIEW, SHARD).generation(generation);
    store.redis(&["SET", &names.owner(&owner()), "not a set"]).await;
    let stride = Filling::begin(checkpoint(9));
    let mut failing = chunk(generation, stride, (1, 2), (0, 9));
    failing.changes.push(owned("alice"));
    let failed = store.writer.fill(&failing).await;
    assert!(matches!(failed, Err(Error::WrongType { .. })), "{failed:?}");
    assert!(is_conflict(&store.writer.fill(&chunk(generation, stride, (2, 2), (0, 9))).await));
    assert_eq!(position(&store).await, 0);
}

#[tokio::test]
async fn a_redis_that_went_back_within_a_stride_takes_no_further_chunk() {
    let store = Store::new().await;
    let generation = store.begin(VIEW).await;
    let stride = Filling::begin(checkpoint(9));
    store.writer.fill(&chunk(generation, stride, (1, 3), (0, 9))).await.unwrap();
    let names = store.reader.keys().view(VIEW, SHARD).generation(generation);
    store.writer.fill(&chunk(generation, stride, (2, 3), (0, 9))).await.unwrap();
    // The copy was made before the second chunk.
    store.redis(&["DEL", &names.account(&account_id("account-2"))]).await;
    store.set(&names.filling(), &Filling { chunks: 1, ..stride }.encode()).await;
    assert!(is_conflict(&store.writer.fill(&chunk(generation, stride, (3, 3), (0, 9))).await));
    // Or before the stride.
    store.redis(&["DEL", &names.filling()]).await;
    assert!(is_conflict(&store.writer.fill(&chunk(generation, stride, (3, 3), (0, 9))).await));
    assert_eq!(position(&store).await, 0);
}

#[tokio::test]
async fn of_two_who_fill_one_generation_one_does() {
    let store = Store::new().await;
    let generation = store.begin(VIEW).await;
    let [ours, theirs] = [9, 7].map(|to| Filling::begin(checkpoint(to)));
    store.writer.fill(&chunk(generation, ours, (1, 3), (0, 9))).await.unwrap();
    // Who has not seen it cannot begin.
    assert!(is_conflict(&store.writer.fill(&chunk(generation, theirs, (1, 2), (0, 7))).await));
    // Who has seen it takes it over, and the other is out.
    let mut taking_over = chunk(generation, theirs, (1, 2), (0, 7));
    taking_over.before = filling(&store).await;
    store.writer.fill(&taking_over).await.unwrap();
    assert!(is_conflict(&store.writer.fill(&chunk(generation, ours, (2, 3), (0, 9))).await));
    store.writer.fill(&chunk(generation, theirs, (2, 2), (0, 7))).await.unwrap();
    assert!(is_conflict(&store.writer.fill(&chunk(generation, ours, (1, 3), (0, 9))).await));
    assert_eq!(position(&store).await, 7);
}

#[tokio::test]
async fn a_page_in_between_ends_a_stride() {
    let store = Store::new().await;
    let generation = store.begin(VIEW).await;
    let stride = Filling::begin(checkpoint(9));
    store.writer.fill(&chunk(generation, stride, (1, 2), (0, 9))).await.unwrap();
    store.writer.commit(&page(VIEW, generation, (0, 3), vec![])).await.unwrap();
    assert!(is_conflict(&store.writer.fill(&chunk(generation, stride, (2, 2), (0, 9))).await));
    assert_eq!(position(&store).await, 3);
}

#[tokio::test]
async fn a_generation_that_is_being_filled_is_not_shown() {
    let store = Store::new().await;
    store.visible(VIEW).await;
    let generation = store.begin(VIEW).await;
    let stride = Filling::begin(checkpoint(9));
    store.writer.fill(&chunk(generation, stride, (1, 2), (0, 9))).await.unwrap();
    assert_eq!(store.swap(VIEW, generation).await, SwapOutcome::Moved);
    store.writer.fill(&chunk(generation, stride, (2, 2), (0, 9))).await.unwrap();
    assert_eq!(store.swap(VIEW, generation).await, SwapOutcome::Swapped);
}

#[tokio::test]
async fn only_a_generation_that_is_being_built_is_filled() {
    let store = Store::new().await;
    let stride = Filling::begin(checkpoint(9));
    let fill = async |generation, number| {
        store.writer.fill(&chunk(generation, stride, (number, 2), (0, 9))).await
    };
    let visible = store.visible(VIEW).await;
    assert!(is_conflict(&fill(visible, 1).await), "queries see it");
    let replaced = store.begin(VIEW).await;
    fill(replaced, 1).await.unwrap();
    let dropped = store.begin(VIEW).await;
    assert!(is_conflict(&fill(replaced, 2).await), "another one is built");
    fill(dropped, 1).await.unwrap();
    assert!(store.writer.drop_generation(VIEW, SHARD, dropped).await.unwrap());
    for number in [1, 2] {
        assert!(is_conflict(&fill(dropped, number).await), "it is gone");
    }
    let left = store.dump().await;
    assert!(left.iter().all(|(key, _)| !key.contains(&dropped.to_string())), "{left:?}");
    store.visible(VIEW).await;
    assert!(is_conflict(&fill(visible, 1).await), "it is only kept to go back to");
}

#[tokio::test]
async fn a_filling_that_cannot_be_read_makes_a_generation_that_cannot_be_continued() {
    let store = Store::new().await;
    let generation = store.begin(VIEW).await;
    let names = store.reader.keys().view(VIEW, SHARD).generation(generation);
    store.redis(&["SET", &names.filling(), "edited"]).await;
    let status = store.writer.status(VIEW, SHARD).await.unwrap();
    assert_eq!((status.building.unwrap().checkpoint, status.filling), (None, None));
}

#[tokio::test]
async fn more_than_one_command_holds_is_stored() {
    let store = Store::new().await;
    let generation = store.visible(VIEW).await;
    let ids: Vec<_> = (0..2500).map(|number| format!("account-{number}")).collect();
    let changes: Vec<Change> = ids.iter().map(|id| account(id, 3, 7)).collect();
    store.writer.commit(&page(VIEW, generation, (0, 3), changes)).await.unwrap();
    let ids: Vec<_> = ids.iter().map(|id| account_id(id)).collect();
    let read = store.reader.accounts(SHARD, &ids).await.unwrap();
    assert!(read.value.iter().all(Option::is_some));
}
