//! Redis's own users: what projectors and read-services may do is enforced by Redis. That it is enough for everything this crate
//! does is shown by all other tests, whose stores log in as these users (see [`crate::support::Store`]).

use dev_servers::Redis;
use read_model::{DEFAULT_KEY_PREFIX, Reader, StoreConfig, View, Writer, acl_users};

use crate::support::{SHARD, Store, account, account_id, add_user, page};

/// What nobody may do.
const FORBIDDEN: &[&[&str]] = &[
    &["FLUSHALL"],
    &["FLUSHDB"],
    &["CONFIG", "GET", "maxmemory-policy"],
    &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"],
    &["CONFIG", "REWRITE"],
    &["KEYS", "*"],
    &["RANDOMKEY"],
    &["DEBUG", "SLEEP", "0"],
    &["SCRIPT", "FLUSH"],
    &["FUNCTION", "FLUSH"],
    &["FUNCTION", "KILL"],
    &["FUNCTION", "STATS"],
    &["EVAL", "return redis.call('FLUSHALL')", "0"],
    &["SHUTDOWN", "NOSAVE"],
    &["REPLICAOF", "127.0.0.1", "1"],
    &["FAILOVER"],
    &["SAVE"],
    &["BGSAVE"],
    &["BGREWRITEAOF"],
    &["MONITOR"],
    &["CLIENT", "LIST"],
    &["CLIENT", "KILL", "TYPE", "normal"],
    &["ACL", "LIST"],
    &["ACL", "SETUSER", "default", "on", "nopass", "~*", "+@all"],
    &["SLOWLOG", "GET"],
    &["LATENCY", "RESET"],
    &["MODULE", "LIST"],
    &["SWAPDB", "0", "1"],
    &["RENAME", "cf:v1:log", "cf:v1:other"],
    &["RESTORE", "cf:v1:x", "0", "x"],
    &["DUMP", "cf:v1:log"],
    &["MIGRATE", "127.0.0.1", "1", "cf:v1:log", "0", "10"],
    &["EXPIRE", "cf:v1:log", "1"],
    &["GETDEL", "cf:v1:log"],
    // What belongs to others.
    &["GET", "others"],
    &["GET", "cf:v2:x"],
    &["EVALSHA_RO", "{get}", "1", "others"],
];

/// What a reader may not do beside that.
const WRITES: &[&[&str]] = &[
    &["SET", "cf:v1:log", "x"],
    &["MSET", "cf:v1:log", "x"],
    &["DEL", "cf:v1:log"],
    &["UNLINK", "cf:v1:log"],
    &["HSET", "cf:v1:x", "f", "v"],
    &["ZADD", "cf:v1:x", "0", "m"],
    &["EVALSHA", "{get}", "1", "cf:v1:log"],
    &["EVAL", "return redis.call('SET', KEYS[1], 'x')", "1", "cf:v1:log"],
    &["EVAL_RO", "return redis.call('GET', KEYS[1])", "1", "cf:v1:log"],
    &["PUBLISH", "cf:v1:{0}:checkpoints", "x"],
    &["SCAN", "0"],
    &["SCRIPT", "KILL"],
];

/// The error that a command of this user gets.
async fn refusal(url: &str, words: &[&str]) -> Option<String> {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg("return redis.call('GET', KEYS[1])");
    let get: String = load.query_async(&mut connection).await.unwrap();
    let mut command = redis::Cmd::new();
    words.iter().for_each(|word| _ = command.arg(word.replace("{get}", &get)));
    let answer = command.query_async::<redis::Value>(&mut connection).await;
    answer.err().map(|error| error.code().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn nobody_flushes_or_looks_around_and_readers_write_nothing() {
    let redis = Redis::start_private().await.unwrap();
    let store = Store::at(&redis.url(), DEFAULT_KEY_PREFIX).await;
    let generation = store.visible(View::Accounts).await;
    let first = page(View::Accounts, generation, (0, 3), vec![account("alice", 3, 1)]);
    store.writer.commit(&first).await.unwrap();
    store.redis(&["SET", "others", "secret"]).await;
    let before = store.dump().await;
    let [projector, reader] = acl_users(DEFAULT_KEY_PREFIX).unwrap();
    let projector = add_user(&redis.url(), projector.name, &projector.rules).await;
    let reader = add_user(&redis.url(), reader.name, &reader.rules).await;
    for url in [&projector, &reader] {
        for words in FORBIDDEN {
            // This one is refused to everybody, before it is asked who it is.
            let wanted = if words[0] == "DEBUG" { "ERR" } else { "NOPERM" };
            assert_eq!(refusal(url, words).await.as_deref(), Some(wanted), "{url}: {words:?}");
        }
    }
    for words in WRITES {
        assert_eq!(refusal(&reader, words).await.as_deref(), Some("NOPERM"), "{words:?}");
    }
    assert!(refusal(&projector, &["SET", "others", "x"]).await.is_some());
    assert!(refusal(&projector, &["PUBLISH", "others", "x"]).await.is_some());
    assert_eq!(store.dump().await, before);
}

#[tokio::test]
async fn a_script_that_a_reader_has_loaded_writes_nothing() {
    let redis = Redis::start_private().await.unwrap();
    let store = Store::at(&redis.url(), DEFAULT_KEY_PREFIX).await;
    let [_, reader] = acl_users(DEFAULT_KEY_PREFIX).unwrap();
    let reader = add_user(&redis.url(), reader.name, &reader.rules).await;
    let client = redis::Client::open(reader).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg("return redis.call('SET', KEYS[1], 'x')");
    let set: String = load.query_async(&mut connection).await.unwrap();
    let mut run = redis::cmd("EVALSHA_RO");
    run.arg(set).arg(1).arg("cf:v1:x");
    run.query_async::<redis::Value>(&mut connection).await.unwrap_err();
    assert_eq!(store.redis(&["EXISTS", "cf:v1:x"]).await, redis::Value::Int(0));
}

#[tokio::test]
async fn a_script_of_a_reader_that_never_ends_can_be_ended_by_the_projectors_user() {
    let redis = Redis::start_private().await.unwrap();
    let store = Store::at(&redis.url(), DEFAULT_KEY_PREFIX).await;
    let [projector, reader] = acl_users(DEFAULT_KEY_PREFIX).unwrap();
    let projector = add_user(&redis.url(), projector.name, &projector.rules).await;
    let reader = add_user(&redis.url(), reader.name, &reader.rules).await;
    // After so many milliseconds of a script, Redis listens to those who would end it.
    store.redis(&["CONFIG", "SET", "busy-reply-threshold", "10"]).await;
    let connect = async |url: String| {
        let client = redis::Client::open(url).unwrap();
        let patient = redis::AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None);
        client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
    };
    let (mut reader, mut other) = (connect(reader.clone()).await, connect(reader).await);
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg("while true do end");
    let endless: String = load.query_async(&mut reader).await.unwrap();
    let mut run = redis::cmd("EVALSHA_RO");
    run.arg(endless).arg(0);
    let running = run.query_async::<redis::Value>(&mut reader);
    let rescue = async {
        let ping = redis::cmd("PING");
        while ping.query_async::<redis::Value>(&mut other).await.is_ok() {}
        // As an administrator does it: connects only now.
        let mut projector = connect(projector).await;
        let kill = redis::cmd("SCRIPT").arg("KILL").to_owned();
        kill.query_async::<redis::Value>(&mut projector).await.unwrap();
    };
    let (ran, ()) = tokio::join!(running, rescue);
    assert!(ran.unwrap_err().to_string().contains("killed by user"));
    let pong = redis::cmd("PING").query_async::<String>(&mut other).await.unwrap();
    assert_eq!(pong, "PONG");
}

#[tokio::test]
async fn a_reader_reads_and_hears_through_a_login_that_can_do_nothing_else() {
    let redis = Redis::start_private().await.unwrap();
    let store = Store::at(&redis.url(), DEFAULT_KEY_PREFIX).await;
    let generation = store.visible(View::Accounts).await;
    let [_, user] = acl_users(DEFAULT_KEY_PREFIX).unwrap();
    let url = add_user(&redis.url(), user.name, &user.rules).await;
    let config = StoreConfig::new(url);
    let reader = Reader::connect(&config).await.unwrap();
    let mut feed = reader.subscribe(ledger::ShardCount::ONE).await.unwrap();
    let first = page(View::Accounts, generation, (0, 3), vec![account("alice", 3, 1)]);
    store.writer.commit(&first).await.unwrap();
    assert_eq!(feed.next().await.unwrap().position.get(), 3);
    reader.accounts(SHARD, &[account_id("alice")]).await.unwrap();
    reader.status(ledger::ShardCount::ONE).await.unwrap();
    let writer = Writer::new(&config).unwrap();
    writer.commit(&first).await.unwrap_err();
}
