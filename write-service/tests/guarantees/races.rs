//! Races with another instance, each step of them arranged: what was read before another one wrote arrives after it.

use std::time::{Duration, Instant};

use crate::support::{batch::independent, *};

mod shards {
    crate::support::with_one_shard_and_four!(
        a_load_that_was_overtaken_is_not_believed,
        a_load_of_an_account_that_was_opened_meanwhile_is_not_believed,
        a_look_that_was_overtaken_is_not_believed,
        a_large_load_does_not_hold_up_what_is_read_behind_it,
    );
}

/// Statements of one load or look: the head, and what is asked for.
const READ: usize = 2;

/// Two instances. What the first one reads can be kept back; the second is always ahead.
struct Race {
    log: Log,
    proxy: Proxy,
    one: Service,
    other: Service,
}

impl Race {
    async fn prepare(shards: i16) -> Self {
        let log = Log::create(shards).await;
        let proxy = Proxy::start(&log.url).await;
        let other = log.service().await;
        other.done(open("warm")).await;
        other.done(open("cold")).await;
        let one = Service::start(&proxy.url, &[]).await;
        one.done(deposit("warm", 1)).await;
        Self { log, proxy, one, other }
    }

    /// Sends a call to the first instance, which has to read for it. When the log has answered, `others` are done by the
    /// second instance; the first learns of that by losing a race, and only then gets what it had read.
    async fn overtake(&self, call: Call, others: Vec<Call>) -> Answer {
        self.proxy.keep_reads();
        let overtaking = async {
            self.proxy.until_kept(READ).await;
            for other in others {
                self.other.done(other).await;
            }
            let learning = async {
                self.proxy.until_kept(READ + 1).await;
                self.proxy.give_reads();
            };
            tokio::join!(self.one.done(deposit("warm", 1)), learning);
        };
        within("an answer", async { tokio::join!(self.one.send(call), overtaking).0 }).await
    }
}

async fn a_load_that_was_overtaken_is_not_believed(shards: i16) {
    let race = Race::prepare(shards).await;
    // Without the deposit it would be refused, and the refusal kept.
    let answer = race.overtake(withdraw("cold", 10), vec![deposit("cold", 10)]).await;
    assert_eq!(answer.unwrap().balance(), 0);
    race.log.judge().await;
}

async fn a_load_of_an_account_that_was_opened_meanwhile_is_not_believed(shards: i16) {
    let race = Race::prepare(shards).await;
    let answer = race.overtake(deposit("new", 1), vec![open("new"), deposit("new", 10)]).await;
    assert_eq!(answer.unwrap().balance(), 11);
    race.log.judge().await;
}

async fn a_look_that_was_overtaken_is_not_believed(shards: i16) {
    let race = Race::prepare(shards).await;
    let call = deposit("new", 10).expecting(1);
    assert_eq!(race.one.refused(call.clone()).await.reason, "ACCOUNT_NOT_FOUND"); // now that is in memory
    let answer = race.overtake(call.clone(), vec![open("new"), call]).await.unwrap();
    assert!(answer.write.replayed, "it was decided by the other: {answer:?}");
    race.log.judge().await;
}

/// Its answer is many times what a connection holds for one who does not take it.
async fn a_large_load_does_not_hold_up_what_is_read_behind_it(shards: i16) {
    let race = Race::prepare(shards).await;
    let names: Vec<String> = (0..1_000).map(|number| format!("many-{number}")).collect();
    let opened: Vec<Call> = names.iter().map(|name| open(name)).collect();
    race.other.client.batch(independent(&opened)).await.unwrap();
    let deposits: Vec<Call> = names.iter().map(|name| deposit(name, 1)).collect();
    race.proxy.keep_reads();
    let learning = async {
        race.proxy.until_kept(READ).await;
        race.other.done(deposit("warm", 1)).await;
        let given = async {
            race.proxy.until_kept(READ + 1).await;
            race.proxy.give_reads();
        };
        let begun = Instant::now();
        tokio::join!(race.one.done(deposit("warm", 1)), given);
        begun.elapsed()
    };
    let (answers, took) = tokio::join!(race.one.client.batch(independent(&deposits)), learning);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(answers.unwrap().0.iter().all(Result::is_ok));
    race.log.judge().await;
}

/// Accounts are numbered when they are decided, and a number is another account's if the batch fails.
#[tokio::test]
async fn an_opening_that_lost_its_number_to_another_does_no_harm() {
    let Race { log, proxy, one, other } = Race::prepare(1).await;
    other.done(open("theirs")).await; // and `one` does not know
    proxy.keep_reads();
    let both = async {
        proxy.until_kept(READ).await;
        // They wait for the same load, and then become one batch, in which `mine` gets the number of `theirs`.
        let calls = every_one(&one.client, [withdraw("theirs", 1_000), open("mine")]);
        let arrived = async {
            assert_eq!(one.refused(deposit("mine", 0)).await.reason, "AMOUNT_NOT_POSITIVE");
            proxy.give_reads();
        };
        tokio::join!(calls, arrived).0
    };
    let (first, both) = tokio::join!(one.refused(deposit("nobody", 1)), both);
    assert_eq!(first.reason, "ACCOUNT_NOT_FOUND");
    assert_eq!(both[0].as_ref().unwrap_err().reason, "INSUFFICIENT_FUNDS");
    assert!(both[1].is_ok());
    for name in ["theirs", "mine"] {
        other.done(deposit(name, 10)).await;
        assert_eq!(one.done(withdraw(name, 10)).await.balance(), 0, "{name}");
    }
    log.judge().await;
}
