//! The sweep finds whatever was changed behind the projector's back, and puts it right, also under load.

use dev_servers::{Postgres, TestServers};
use event_store::connect::{Purpose, connect};
use ledger::{AccountId, Shard};
use projector::{Verified, VerifyError};
use read_model::{Change, GenerationKeys, View};

use crate::{
    stage::{Running, Stage},
    world::{KnownAccount, World},
};

const SWEEPING: &[&str] = &["--sweep-accounts-per-second=100000"];

struct Swept {
    stage: Stage,
    projector: Running,
    id: AccountId,
}

async fn swept() -> Swept {
    let mut stage = Stage::new(1).await;
    stage.world.happens(300).await;
    stage.world.everybody_gets_money().await;
    let projector = stage.start(SWEEPING);
    stage.caught_up().await;
    let id = stage.world.account(0);
    Swept { stage, projector, id }
}

impl Swept {
    async fn keys(&self, view: View) -> GenerationKeys {
        let visible = self.stage.visible(view).await;
        self.stage.reader.keys().view(view, Shard::ZERO).generation(visible)
    }

    /// The sweep puts everything right, and counts it.
    async fn is_healed(&self) {
        let clean = async || {
            let found = self.stage.findings().await;
            found.iter().all(|findings| findings.count == 0)
        };
        self.stage.until("the sweep has healed it", clean).await;
        self.stage.is_right().await;
        let found = self.projector.metric("sweep_mismatches_total").await;
        assert!(found >= 1.0, "{found} mismatches counted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_that_is_right_is_found_right() {
    let mut swept = swept().await;
    let passes = async || swept.projector.metric("sweep_passes_total").await;
    for _ in 0..30 {
        swept.stage.world.happens(10).await;
        swept.stage.world.ring().await;
    }
    swept.stage.until("two passes", async || passes().await >= 2.0).await;
    assert!(swept.projector.metric("sweep_checked_total").await > 100.0);
    assert!(swept.projector.metric("sweep_mismatches_total").await.abs() < 0.5);
}

/// What it says is older than what Redis includes, and is not taken for what is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_lags_is_not_compared_with() {
    let servers = TestServers::get();
    let primary = Postgres::start_private().await.unwrap();
    let world = World::at(primary.create_database().await.unwrap(), 1).await;
    let standby = primary.start_standby().await.unwrap();
    let standby_url = standby.url_of(world.database_url.rsplit_once('/').unwrap().1);
    let mut stage = Stage::on(&servers.redis(), &servers.redis_prefix(), world).await;
    stage.world.happens(300).await;
    let _projector = stage.start(&[]);
    stage.caught_up().await;
    let compare = async || projector::verify(&standby_url, &stage.store, |_| {}).await;
    stage.until("the standby has come as far", async || compare().await.is_ok()).await;

    let replay = connect(&standby.url(), "test-replay", Purpose::Migrate).await.unwrap();
    replay.client.batch_execute("SELECT pg_wal_replay_pause()").await.unwrap();
    stage.world.happens(50).await;
    stage.world.everybody_gets_money().await;
    stage.caught_up().await;
    let mut found = Vec::new();
    let told = |verified: &Verified| found.push(verified.findings.count);
    let outcome = projector::verify(&standby_url, &stage.store, told).await;
    assert!(matches!(outcome, Err(VerifyError::Failed(_))), "{outcome:?}");
    assert!(found.iter().all(|count| *count == 0), "{found:?}");
    stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_balance_is_found() {
    let swept = swept().await;
    let stage = &swept.stage;
    let shard = std::slice::from_ref(&swept.id);
    let read = stage.reader.accounts(Shard::ZERO, shard).await.unwrap();
    let mut view = read.value[0].clone().unwrap();
    view.state.balance += 1_000_000;
    let key = swept.keys(View::Accounts).await.account(&swept.id);
    stage.set(&key, &view.encode()).await;
    swept.is_healed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_is_found_whatever_it_is() {
    let swept = swept().await;
    let stage = &swept.stage;
    let [accounts, transactions] = [View::Accounts, View::Transactions];
    let (accounts, transactions) = (swept.keys(accounts).await, swept.keys(transactions).await);
    let known = &stage.world.accounts[&swept.id];
    let version = known.state.version;
    for key in [
        accounts.account(&swept.id),
        transactions.header(&swept.id),
        transactions.numbers(known.number),
        transactions.block(&swept.id, version),
        transactions.transactions(stage.world.head(Shard::ZERO)),
    ] {
        assert_eq!(stage.redis(&["DEL", &key]).await, redis::Value::Int(1), "{key}");
        swept.is_healed().await;
    }
    let owners = stage.keys(":o:").await;
    assert!(!owners.is_empty());
    for key in owners {
        stage.redis(&["DEL", &key]).await;
        swept.is_healed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_log_is_found() {
    let swept = swept().await;
    let stage = &swept.stage;
    let accounts = swept.keys(View::Accounts).await;
    let transactions = swept.keys(View::Transactions).await;
    let ghost = AccountId::new("ghost").unwrap();
    // A copy of somebody else's account under a name that was never opened.
    stage.redis(&["COPY", &accounts.account(&swept.id), &accounts.account(&ghost)]).await;
    swept.is_healed().await;
    stage.redis(&["SET", &accounts.account(&ghost), "unreadable"]).await;
    swept.is_healed().await;
    stage.redis(&["COPY", &transactions.header(&swept.id), &transactions.header(&ghost)]).await;
    swept.is_healed().await;
    let version = stage.world.accounts[&swept.id].state.version;
    let block = transactions.block(&swept.id, version);
    stage.redis(&["HSET", &block, &version.next().get().to_string(), "ghost"]).await;
    swept.is_healed().await;
    let index = transactions.transactions(ledger::Position::ZERO.plus(1));
    // The account with number 1, at the position where some account was opened.
    let record = "\0\0\0\u{1}\0\0\0\0\0\0\0\u{1}";
    stage.redis(&["SETRANGE", &index, "12", record]).await;
    swept.is_healed().await;
    stage.redis(&["APPEND", &index, "ghost"]).await;
    swept.is_healed().await;
    let number = stage.world.accounts[&swept.id].number;
    stage.redis(&["HSET", &transactions.numbers(number), "63", "ghost"]).await;
    swept.is_healed().await;
    let owner = stage.keys(":o:").await.remove(0);
    stage.redis(&["ZADD", &owner, "0", "ghost"]).await;
    swept.is_healed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_is_replaced_whatever_it_is_and_whose() {
    let swept = swept().await;
    let stage = &swept.stage;
    let accounts = swept.keys(View::Accounts).await;
    let transactions = swept.keys(View::Transactions).await;
    let known = &stage.world.accounts[&swept.id];
    let ghost = AccountId::new("ghost").unwrap();
    let mut keys = vec![
        accounts.account(&swept.id),
        accounts.account(&ghost),
        accounts.owner(&ledger::OwnerId::new("nobody").unwrap()),
        transactions.header(&swept.id),
        transactions.header(&ghost),
        transactions.numbers(known.number),
        transactions.block(&swept.id, known.state.version),
        transactions.transactions(stage.world.head(Shard::ZERO)),
    ];
    keys.extend(stage.keys(":o:ann").await);
    assert_eq!(keys.len(), 9);
    for key in &keys {
        stage.redis(&["DEL", key]).await;
        stage.redis(&["LPUSH", key, "x"]).await;
    }
    swept.is_healed().await;
    let owner = stage.keys(":o:ann").await.remove(0);
    stage.redis(&["SET", &owner, "a string is in the way of what is added"]).await;
    swept.is_healed().await;
    let old = stage.visible(View::Totals).await;
    let totals = swept.keys(View::Totals).await.totals();
    stage.redis(&["DEL", &totals]).await;
    stage.redis(&["LPUSH", &totals, "x"]).await;
    let is_new = async || stage.visible(View::Totals).await > old;
    stage.until("the totals are folded anew", is_new).await;
    swept.stage.is_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_keeps_nothing_else_from_being_compared() {
    let mut stage = Stage::new(2).await;
    stage.world.happens(200).await;
    let projector = stage.start(SWEEPING);
    stage.caught_up().await;
    let edit =
        "UPDATE counterfoil.events SET reference = 'edited' WHERE shard = 0 AND position = 2";
    stage.world.tamper(edit).await;
    let failures = async || projector.metric("projector_errors_total").await;
    stage.until("the first shard cannot be compared", async || failures().await >= 1.0).await;
    let last = Shard::new(1).unwrap();
    let of_last = |(_, known): &(_, &KnownAccount)| known.shard == last;
    let (id, _) = stage.world.accounts.iter().find(of_last).unwrap();
    let status = stage.reader.view_status(View::Accounts, last).await.unwrap();
    let visible = status.visible.unwrap().generation;
    let key = stage.reader.keys().view(View::Accounts, last).generation(visible).account(id);
    let right = stage.redis(&["GET", &key]).await;
    stage.redis(&["SET", &key, "edited"]).await;
    let is_right = async || stage.redis(&["GET", &key]).await == right;
    stage.until("the last shard is compared and put right", is_right).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_of_ours_would_be_called_is_found_in_sets_and_hashes() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(300).await;
    stage.world.everybody_gets_money().await;
    let projector = stage.start(&[]);
    stage.caught_up().await;
    let id = stage.world.account(0);
    let known = &stage.world.accounts[&id];
    let visible = stage.visible(View::Transactions).await;
    let names = stage.reader.keys().view(View::Transactions, Shard::ZERO).generation(visible);
    let block = names.block(&id, known.state.version);
    let numbers = names.numbers(known.number);
    let owner = stage.keys(":o:ann").await.remove(0);
    let members = stage.redis(&["ZRANGE", &owner, "0", "-1"]).await;
    let members: Vec<String> = redis::FromRedisValue::from_redis_value(members).unwrap();
    let last = members.last().unwrap();
    for damage in [
        &["HSET", &block, "zz", "no number"][..],
        &["HSET", &block, "007", "not as we spell it"],
        &["HSET", &block, "9000", "of another block"],
        &["HSET", &numbers, "zz", "no number"],
        &["HSET", &numbers, "9000", "of another part"],
        // A set that is read in the order of its members has to have them at one score.
        &["ZADD", &owner, "-7.5", last],
        &["ZADD", &owner, "3", "ghost"],
    ] {
        let before = stage.findings().await.iter().map(|findings| findings.count).sum::<u64>();
        stage.redis(damage).await;
        let after = stage.findings().await.iter().map(|findings| findings.count).sum::<u64>();
        assert!(after > before, "{damage:?}");
    }
    let not_a_text = "return redis.call('ZADD', KEYS[1], 0, '\\255')";
    stage.redis(&["EVAL", not_a_text, "1", &owner]).await;
    assert_eq!(stage.statement(&id).await, known.movements, "what is nobody's entry is in no way");
    projector.stop().await;
    let projector = stage.start(SWEEPING);
    Swept { stage, projector, id }.is_healed().await;
}

/// A cent too much, as it is by hand.
async fn edit_totals(stage: &Stage) {
    let visible = stage.visible(View::Totals).await;
    let (_, mut totals) = stage.writer.totals(Shard::ZERO, visible).await.unwrap();
    totals.currencies.values_mut().for_each(|totals| totals.deposits += 1);
    let names = stage.reader.keys().view(View::Totals, Shard::ZERO).generation(visible);
    stage.set(&names.totals(), &Change::Totals(totals).bytes().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edited_totals_are_found() {
    let swept = swept().await;
    edit_totals(&swept.stage).await;
    swept.is_healed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edited_totals_are_found_also_when_they_have_been_folded_on() {
    let mut swept = swept().await;
    for _ in 0..50 {
        edit_totals(&swept.stage).await;
        swept.stage.world.happens(4).await;
        swept.stage.world.ring().await;
    }
    swept.is_healed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_under_load_is_healed_and_nothing_newer_is_overwritten() {
    let mut swept = swept().await;
    for round in 0..40 {
        swept.stage.world.happens(5).await;
        swept.stage.world.ring().await;
        let index = usize::try_from(swept.stage.world.below(4)).unwrap();
        let id = swept.stage.world.account(index);
        let key = match round % 3 {
            0 => swept.keys(View::Accounts).await.account(&id),
            1 => swept.keys(View::Transactions).await.header(&id),
            _ => swept
                .keys(View::Transactions)
                .await
                .transactions(swept.stage.world.head(Shard::ZERO)),
        };
        swept.stage.redis(&["SET", &key, "damaged"]).await;
    }
    swept.is_healed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verifying_finds_what_is_wrong_and_changes_nothing() {
    let mut stage = Stage::new(1).await;
    stage.world.happens(60).await;
    let _projector = stage.start(&[]);
    stage.caught_up().await;
    let visible = stage.visible(View::Accounts).await;
    let names = stage.reader.keys().view(View::Accounts, Shard::ZERO).generation(visible);
    let key = names.account(&stage.world.account(0));
    stage.redis(&["SET", &key, "edited"]).await;
    for _ in 0..2 {
        let found = stage.findings().await;
        let wrong: Vec<_> = found.iter().flat_map(|findings| &findings.mismatches).collect();
        assert!(wrong.iter().all(|mismatch| mismatch.place.key() == key), "{wrong:?}");
        assert!(!wrong.is_empty());
    }
}
