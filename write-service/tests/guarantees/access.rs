//! Who may do what: every method, every kind of caller. What must stay hidden is in `hiding`, what is kept in `kept`.

use std::{collections::BTreeSet, time::Duration};

use dev_credentials::claims;
use prost::Message;
use proto::write::BatchMode;
use serde_json::json;
use tonic::Code;
use uuid::Uuid;

use crate::support::{
    access::{Guarded, GuardedClient, Shown},
    *,
};

mod hiding;
mod kept;

/// The two ways of `ExecuteBatch`.
const ATOMIC: &str = "ExecuteBatch.atomic";
const INDEPENDENT: &str = "ExecuteBatch.independent";

/// The rpcs of the service, from the contract itself.
pub(crate) fn methods() -> BTreeSet<String> {
    let set = prost_types::FileDescriptorSet::decode(proto::WRITE_FILE_DESCRIPTOR_SET).unwrap();
    let services = set.file.iter().flat_map(|file| &file.service);
    services.flat_map(|service| &service.method).map(|method| method.name().to_owned()).collect()
}

/// Every way to call them: a batch has two, and each is asked by itself whose business it is.
fn ways() -> BTreeSet<String> {
    let mut ways = methods();
    assert!(ways.remove("ExecuteBatch"));
    ways.extend([ATOMIC, INDEPENDENT].map(str::to_owned));
    ways
}

/// Calls a method for an account.
async fn call(client: &GuardedClient, method: &str, account: &str) -> Result<(), Refusal> {
    let one = match method {
        "OpenAccount" => open_for(account, "acme"),
        "Deposit" => deposit(account, 5),
        "Withdraw" => withdraw(account, 5),
        "PayBill" => pay_bill(account, 5),
        "Transfer" => transfer(account, "payee", 5),
        "SetOverdraftLimit" => set_limit(account, 5),
        "FreezeAccount" => freeze(account),
        "UnfreezeAccount" => unfreeze(account),
        "CloseAccount" => close(account),
        ATOMIC => {
            let id = Some(Uuid::now_v7());
            return only(client.batch(BatchMode::Atomic, id, vec![deposit(account, 5)]).await?);
        }
        INDEPENDENT => {
            let results = client.batch(BatchMode::Independent, None, vec![deposit(account, 5)]);
            return only(results.await?);
        }
        "ExecuteStream" => return only(client.stream(vec![deposit(account, 5)]).await?),
        other => panic!("{other} has no test of who may call it"),
    };
    client.send(one).await.map(drop).map_err(Refusal::from)
}

/// The answer to the only command.
fn only(answers: Vec<Answer>) -> Result<(), Refusal> {
    answers.into_iter().next().unwrap().map(drop)
}

/// Makes an account of `acme` on which a method succeeds.
async fn prepare(operator: &GuardedClient, method: &str, account: &str) {
    if method == "OpenAccount" {
        return;
    }
    operator.done(open_for(account, "acme")).await;
    match method {
        "CloseAccount" => {}
        "UnfreezeAccount" => drop(operator.done(freeze(account)).await),
        _ => drop(operator.done(deposit(account, 100)).await),
    }
}

fn open_for(account: &str, owner: &str) -> Call {
    let Call::OpenAccount(request) = open(account) else { unreachable!() };
    Call::OpenAccount(proto::write::OpenAccountRequest { owner_id: owner.to_owned(), ..request })
}

#[tokio::test]
async fn nobody_calls_any_method_without_saying_who_he_is() {
    let log = Log::create(1).await;
    let service = Guarded::start(&log).await;
    let operator = service.operator().await;
    operator.done(open_for("account", "acme")).await;
    let before = log.admin().await.count_events().await;
    let everything = claims("teller", &json!({"scope": "write", "accounts": "*"}));
    for bad in service.issuer.bad_credentials(&everything) {
        let shown = bad.authorization.map_or(Shown::Nothing, Shown::Header);
        let client = service.client(&shown).await;
        for method in ways() {
            let refusal = call(&client, &method, "account").await.unwrap_err();
            let got = (refusal.code, refusal.reason.as_str(), refusal.applied());
            assert_eq!(got, (Code::Unauthenticated, bad.reason, "false"), "{}: {method}", bad.what);
        }
    }
    assert_eq!(log.admin().await.count_events().await, before);
}

#[tokio::test]
async fn every_method_is_closed_to_whoever_has_no_right_to_it() {
    let log = Log::create(1).await;
    let service = Guarded::start(&log).await;
    let operator = service.operator().await;
    operator.done(open_for("account", "acme")).await;
    operator.done(open_for("payee", "shop")).await;
    let before = log.admin().await.count_events().await;
    let other = service.authority.client("stranger");
    let teller_of_another = json!({"scope": "write", "owners": ["other"]});
    for (what, shown) in [
        ("no claims", service.shown("t", &json!({}))),
        ("no scope", service.shown("t", &json!({"accounts": "*"}))),
        ("other scopes", service.shown("t", &json!({"scope": "read admin", "accounts": "*"}))),
        ("no accounts", service.shown("t", &json!({"scope": "write"}))),
        ("another account", service.shown("t", &json!({"scope": "write", "accounts": ["other"]}))),
        ("another owner", service.shown("t", &teller_of_another)),
        (
            "an owner as account",
            service.shown("t", &json!({"scope": "write", "accounts": ["acme"]})),
        ),
        (
            "an account as owner",
            service.shown("t", &json!({"scope": "write", "owners": ["account"]})),
        ),
        ("a certificate that no rule names", Shown::Certificate(other)),
    ] {
        let client = service.client(&shown).await;
        for method in ways() {
            let refusal = call(&client, &method, "account").await.unwrap_err();
            let got = (refusal.code, refusal.reason.as_str(), refusal.applied());
            let denied = (Code::PermissionDenied, "ACCOUNT_ACCESS_DENIED", "false");
            assert_eq!(got, denied, "{what}: {method}: {refusal:?}");
        }
    }
    assert_eq!(log.admin().await.count_events().await, before);
}

#[tokio::test]
async fn every_method_is_open_to_whoever_has_the_right_to_it() {
    let log = Log::create(1).await;
    let service = Guarded::start(&log).await;
    let operator = service.operator().await;
    operator.done(open_for("payee", "shop")).await;
    for (kind, number) in ["account", "owner", "everything", "teller", "operator"].iter().zip(1..) {
        for method in ways() {
            let account = format!("{method}-{number}");
            prepare(&operator, &method, &account).await;
            let shown = match *kind {
                // Whoever has rights to accounts opens them for nobody.
                "account" if method == "OpenAccount" => continue,
                "account" => service.shown("t", &json!({"scope": "write", "accounts": [account]})),
                "owner" => service.shown("t", &json!({"scope": "write", "owners": ["x", "acme"]})),
                "everything" => service.shown("t", &json!({"scope": "write", "accounts": "*"})),
                name => Shown::Certificate(service.authority.client(name)),
            };
            let client = service.client(&shown).await;
            let answer = call(&client, &method, &account).await;
            assert!(answer.is_ok(), "{kind}: {method}: {answer:?}");
        }
    }
    log.judge().await;
}

#[tokio::test]
async fn a_bad_token_is_not_made_good_by_a_certificate() {
    let log = Log::create(1).await;
    let service = Guarded::start(&log).await;
    let shown = Shown::Certificate(service.authority.client("operator"));
    let mut client = service.client(&shown).await;
    client.done(open("a")).await;
    client = client.with_header("Bearer a.b.c");
    assert_eq!(client.refused(deposit("a", 1)).await.reason, "TOKEN_INVALID");
}

#[tokio::test]
async fn accounts_are_opened_for_oneself_only() {
    let log = Log::create(1).await;
    let service = Guarded::start(&log).await;
    let acme = service.owner("acme").await;
    acme.done(open_for("a", "acme")).await;
    for foreign in [open_for("b", "shop"), open_for("b", "")] {
        assert_eq!(acme.refused(foreign).await.reason, "ACCOUNT_ACCESS_DENIED");
    }
    let by_id = service.caller("t", &json!({"scope": "write", "accounts": ["c", "d"]})).await;
    assert_eq!(by_id.refused(open_for("c", "acme")).await.reason, "ACCOUNT_ACCESS_DENIED");
    by_id.done(open_for("c", "")).await;
    // It is his, so he is told; whose it is not, is not.
    assert_eq!(by_id.refused(open_for("c", "")).await.reason, "ACCOUNT_ALREADY_EXISTS");
    assert_eq!(acme.refused(open_for("c", "acme")).await.reason, "ACCOUNT_ACCESS_DENIED");
    assert_eq!(acme.refused(open_for("a", "acme")).await.reason, "ACCOUNT_ALREADY_EXISTS");
}

#[tokio::test]
async fn rights_are_asked_for_before_anything_else_of_a_request() {
    let log = Log::create(1).await;
    let service = Guarded::start(&log).await;
    let client = service.caller("t", &json!({"scope": "write", "accounts": ["mine"]})).await;
    // Everything is wrong with it; what counts is whose it is.
    let foreign = deposit("other", -1).with_id_text("");
    assert_eq!(client.refused(foreign).await.reason, "ACCOUNT_ACCESS_DENIED");
    assert_eq!(client.refused(deposit("mine", -1)).await.reason, "AMOUNT_NOT_POSITIVE");
}

#[tokio::test]
async fn commands_in_one_batch_or_stream_are_judged_as_accounts_come_to_be() {
    for shards in [1, 4] {
        let log = Log::create(shards).await;
        let service = Guarded::start(&log).await;
        let acme = service.owner("acme").await;
        let calls = |prefix: &str| {
            let (a, b) = (format!("{prefix}-a"), format!("{prefix}-b"));
            vec![
                open_for(&a, "acme"),
                deposit(&a, 9),
                open_for(&b, "acme"),
                transfer(&a, &b, 4),
                withdraw(&b, 4),
            ]
        };
        let atomic = acme.batch(BatchMode::Atomic, Some(Uuid::now_v7()), calls("atomic")).await;
        let independent = acme.batch(BatchMode::Independent, None, calls("independent")).await;
        let streamed = acme.stream(calls("streamed")).await;
        for answers in [atomic, independent, streamed] {
            for answer in answers.unwrap() {
                answer.unwrap();
            }
        }
        log.judge().await;
    }
}

/// The accounts of whoever has not all rights are loaded before anything else, while those behind go on.
#[tokio::test]
async fn request_ids_that_cross_between_two_streams_wait_for_each_other_never() {
    let log = Log::create(1).await;
    let proxy = Proxy::start(&log.url).await;
    let (url, identity) = (proxy.url.clone(), log.identity);
    let service = Guarded::start(&Log { url, identity }).await;
    let operator = service.operator().await;
    operator.done(open_for("a", "acme")).await;
    operator.done(open_for("b", "acme")).await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    let [one, other] = [service.owner("acme").await, service.owner("acme").await];
    proxy.keep_reads();
    let calls = vec![transfer("a", "unknown", 1).with_id(first), deposit("a", 1).with_id(second)];
    let loading = one.stream(calls);
    let crossing = async {
        proxy.until_kept(1).await;
        let calls = vec![deposit("b", 1).with_id(second), deposit("b", 1).with_id(first)];
        let waiting = async {
            tokio::time::sleep(Duration::from_millis(200)).await; // until those are in work
            proxy.give_reads();
        };
        tokio::join!(other.stream(calls), waiting).0
    };
    let (loading, crossing) = tokio::join!(loading, crossing);
    let answers: Vec<_> = loading.unwrap().into_iter().chain(crossing.unwrap()).collect();
    let applied = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((answers.len(), applied), (4, 2), "each id is applied once: {answers:?}");
    log.judge().await;
}

#[tokio::test]
async fn health_is_open_and_reflection_only_if_settings_say_so() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let log = Log::create(1).await;
    for (settings, is_open) in [(&[][..], false), (&["--access-reflection-open"][..], true)] {
        let service = Guarded::start_with(&log, settings).await;
        let nobody = service.client(&Shown::Nothing).await;
        let mut health = HealthClient::new(nobody.channel.clone());
        health.check(HealthCheckRequest { service: String::new() }).await.unwrap();
        assert_eq!(nobody.list_services().await.is_ok(), is_open);
        // It shows the contract and no account: any credential will do.
        assert!(service.caller("t", &json!({})).await.list_services().await.is_ok());
    }
}

/// Over the connection that was opened while he had the right.
#[tokio::test]
async fn a_right_of_a_certificate_that_is_taken_away_is_gone_soon_and_broken_rights_change_nothing()
{
    let log = Log::create(1).await;
    let service = Guarded::start(&log).await;
    let operator = service.client(&Shown::Certificate(service.authority.client("operator"))).await;
    operator.done(open("a")).await;
    let rights = service.authority.path("rights.json");
    std::fs::write(&rights, "{").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    operator.done(deposit("a", 1)).await;
    std::fs::write(&rights, r#"{"callers": []}"#).unwrap();
    within("a refusal", async {
        while operator.send(deposit("a", 1)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let refusal = operator.refused(deposit("a", 1)).await;
    assert_eq!((refusal.code, refusal.applied()), (Code::PermissionDenied, "false"));
}
