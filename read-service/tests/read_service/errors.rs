//! Every row of the catalogue that exists for reads, through real gRPC.

use std::collections::BTreeSet;
use std::time::Duration;

use dev_servers::Redis;
use ledger::Shard;
use proto::read::{GetReadModelStatusRequest, GetTotalsRequest};
use read_model::View;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus as Serving;
use tonic_types::StatusExt;

use crate::support::*;

const LOG_OF_NOBODY: &str = "0190163d8694739b88c3d2f37f4c8f7e";

/// Whether a client may repeat the very same call.
#[derive(PartialEq)]
enum Retry {
    Yes,
    No,
}

/// Checks rows, and keeps the reasons seen.
#[derive(Default)]
struct Catalogue(BTreeSet<String>);

impl Catalogue {
    /// `got` is an error with this code and reason, all details that go with them, and this fact in its metadata.
    fn row<T: std::fmt::Debug>(
        &mut self,
        (code, reason, retry): (Code, &str, Retry),
        fact: &str,
        got: Result<T, Status>,
    ) -> Status {
        let status = got.unwrap_err();
        let details = status.get_error_details();
        let info = details.error_info().unwrap_or_else(|| panic!("{reason}: no details: {status}"));
        assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{status}");
        assert_eq!(info.domain, "counterfoil");
        assert!(!status.message().is_empty(), "{reason}");
        assert_eq!(details.bad_request().is_some(), code == Code::InvalidArgument, "{reason}");
        let precondition = code == Code::FailedPrecondition;
        assert_eq!(details.precondition_failure().is_some(), precondition, "{reason}");
        assert_eq!(details.retry_info().is_some(), retry == Retry::Yes, "{reason}");
        if !fact.is_empty() {
            assert!(
                info.metadata.get(fact).is_some_and(|fact| !fact.is_empty()),
                "{reason} {fact}"
            );
        }
        self.0.insert(reason.to_owned());
        status
    }

    /// `got` is refused for this field.
    fn invalid<T: std::fmt::Debug>(&mut self, reason: &str, field: &str, got: Result<T, Status>) {
        let status = self.row((Code::InvalidArgument, reason, Retry::No), "", got);
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let named: Vec<_> = violations.iter().map(|v| (&*v.field, &*v.reason)).collect();
        assert_eq!(named, [(field, reason)]);
    }
}

#[tokio::test]
async fn every_row_of_the_catalogue_has_its_code_its_reason_and_its_details() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    model.deposit("alice", 100).await;
    let service = Service::start(&redis.url(), &["--wait-max-ms", "20"]).await;
    let mut seen = Catalogue::default();

    malformed_fields(&mut seen, &service).await;
    malformed_consistency(&mut seen, &service).await;
    malformed_pages(&mut seen, &service).await;
    what_is_not_there(&mut seen, &service).await;
    freshness(&mut seen, &service, &model).await;
    transport(&mut seen, &service).await;
    deadlines(&mut seen).await;
    history(&mut seen).await;
    missing_views(&mut seen).await;
    overload_and_draining(&mut seen).await;
    no_store(&mut seen).await;

    let all = [
        "ACCOUNT_ID_MALFORMED",
        "ACCOUNT_NOT_FOUND",
        "BATCH_TOO_LARGE",
        "CONSISTENCY_INVALID",
        "DEADLINE_BEFORE_START",
        "DEADLINE_PASSED",
        "FIELD_REQUIRED",
        "HISTORY_NOT_KEPT",
        "LOG_CHANGED",
        "MESSAGE_MALFORMED",
        "MESSAGE_TOO_LARGE",
        "METHOD_UNKNOWN",
        "OVERLOADED",
        "OWNER_ID_MALFORMED",
        "PAGE_SIZE_INVALID",
        "PAGE_TOKEN_INVALID",
        "READ_MODEL_LAGGING",
        "READ_MODEL_REBUILDING",
        "READ_MODEL_STALE",
        "READ_STORE_UNAVAILABLE",
        "SHUTTING_DOWN",
        "TOKEN_MALFORMED",
        "TRANSACTION_ID_MALFORMED",
        "TRANSACTION_NOT_FOUND",
    ];
    assert_eq!(seen.0.iter().map(String::as_str).collect::<Vec<_>>(), all);
}

async fn malformed_fields(seen: &mut Catalogue, service: &Service) {
    let mut client = service.client();
    for missing in ["", "-", "a b", "ä", "a\0", &"x".repeat(65)] {
        let reason = "ACCOUNT_ID_MALFORMED";
        seen.invalid(reason, "account_id", client.get_account(account(missing)).await);
        seen.invalid(reason, "account_id", client.get_balance(balance(missing)).await);
        seen.invalid(reason, "account_id", client.get_latest_transaction(latest(missing)).await);
        let listed = client.list_transactions(statement(missing, 0, "")).await;
        seen.invalid(reason, "account_id", listed);
        let reason = if missing.is_empty() { "FIELD_REQUIRED" } else { "OWNER_ID_MALFORMED" };
        seen.invalid(reason, "owner_id", client.list_accounts(owned(missing, 0, "")).await);
    }
    seen.invalid("FIELD_REQUIRED", "account_ids", client.batch_get_balances(balances([])).await);
    let many = balances(vec!["alice"; 1001]);
    seen.invalid("BATCH_TOO_LARGE", "account_ids", client.batch_get_balances(many).await);
    for bad in ["", "-"] {
        let one_bad = client.batch_get_balances(balances(["alice", bad])).await;
        seen.invalid("ACCOUNT_ID_MALFORMED", "account_ids[1]", one_bad);
    }
    seen.invalid("FIELD_REQUIRED", "transaction_id", client.get_transaction(transaction("")).await);
    for bad in ["0", "0-0", "00-1", "0-1-2", "-1-1", "0-9223372036854775808"] {
        let got = client.get_transaction(transaction(bad)).await;
        seen.invalid("TRANSACTION_ID_MALFORMED", "transaction_id", got);
    }
}

async fn malformed_consistency(seen: &mut Catalogue, service: &Service) {
    let mut client = service.client();
    let log = service_log(service).await;
    let field = "consistency.at_least_as_fresh";
    for bad in ["", "x", "cf1", "0-1", &format!("{log}.0"), &format!("{log}.1-1")] {
        let got = client.get_balance(fresh_balance("alice", at_least(bad))).await;
        seen.invalid("TOKEN_MALFORMED", field, got);
    }
    for (seconds, nanos) in [(-1, 0), (0, -1), (i64::MIN, 0), (0, i32::MAX)] {
        let asked = fresh_balance("alice", stale_at_most(seconds, nanos));
        let got = client.get_balance(asked).await;
        seen.invalid("CONSISTENCY_INVALID", "consistency.max_staleness", got);
    }
    let other = format!("cf1.{LOG_OF_NOBODY}.0-1");
    for token in [other.clone(), format!("{log}.0-1,{other}")] {
        let got = client.get_balance(fresh_balance("alice", at_least(token))).await;
        seen.row((Code::FailedPrecondition, "LOG_CHANGED", Retry::No), "log_id", got);
    }
}

/// `cf1.<log id>` of the log that the service reads.
async fn service_log(service: &Service) -> String {
    let answer = service.client().get_balance(balance("alice")).await.unwrap().into_inner();
    answer.read.unwrap().as_of.rsplit_once('.').unwrap().0.to_owned()
}

async fn malformed_pages(seen: &mut Catalogue, service: &Service) {
    let mut client = service.client();
    for size in [-1, i32::MIN] {
        let got = client.list_transactions(statement("alice", size, "")).await;
        seen.invalid("PAGE_SIZE_INVALID", "page_size", got);
        let got = client.list_accounts(owned("acme", size, "")).await;
        seen.invalid("PAGE_SIZE_INVALID", "page_size", got);
    }
    for token in ["0", "next", "01000000000000000100000000deadbeef"] {
        let got = client.list_transactions(statement("alice", 1, token)).await;
        seen.invalid("PAGE_TOKEN_INVALID", "page_token", got);
        let got = client.list_accounts(owned("acme", 1, token)).await;
        seen.invalid("PAGE_TOKEN_INVALID", "page_token", got);
    }
}

async fn what_is_not_there(seen: &mut Catalogue, service: &Service) {
    let mut client = service.client();
    let row = || (Code::NotFound, "ACCOUNT_NOT_FOUND", Retry::No);
    seen.row(row(), "as_of", client.get_account(account("nobody")).await);
    seen.row(row(), "as_of", client.get_balance(balance("nobody")).await);
    seen.row(row(), "as_of", client.get_latest_transaction(latest("nobody")).await);
    seen.row(row(), "as_of", client.list_transactions(statement("nobody", 0, "")).await);
    let batch = client.batch_get_balances(balances(["alice", "nobody", "none"])).await;
    let status = seen.row(row(), "as_of", batch);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["account_id"], "nobody");
    for id in ["0-1", "0-99", "7-1"] {
        let row = (Code::NotFound, "TRANSACTION_NOT_FOUND", Retry::No);
        seen.row(row, "transaction_id", client.get_transaction(transaction(id)).await);
    }
}

async fn freshness(seen: &mut Catalogue, service: &Service, model: &Model) {
    let mut client = service.client();
    let token = format!("cf1.{}.0-999", model.log_id);
    let lagging = client.get_balance(fresh_balance("alice", at_least(token))).await;
    let status = seen.row((Code::Unavailable, "READ_MODEL_LAGGING", Retry::Yes), "as_of", lagging);
    assert_eq!(status.get_details_error_info().unwrap().metadata["as_of"], model.head());
    // No projector has ever said that it has seen the head.
    let stale = client.get_balance(fresh_balance("alice", stale_at_most(3600, 0))).await;
    seen.row((Code::FailedPrecondition, "READ_MODEL_STALE", Retry::Yes), "as_of", stale);
}

async fn transport(seen: &mut Catalogue, service: &Service) {
    let id = "x".repeat(5 * 1024 * 1024);
    let got = service.client().get_balance(balance(&id)).await;
    seen.row((Code::ResourceExhausted, "MESSAGE_TOO_LARGE", Retry::No), "", got);
    // Cut short; a number where a text belongs; a text that is not UTF-8.
    for bytes in [&b"\x0a\x05al"[..], b"\x08\x05", b"\x0a\x02\xff\xfe", b"\xff"] {
        let got = call_raw(service.channel.clone(), "GetBalance", bytes).await;
        seen.row((Code::InvalidArgument, "MESSAGE_MALFORMED", Retry::No), "", got);
    }
    let got = call_raw(service.channel.clone(), "GetEverything", b"").await;
    seen.row((Code::Unimplemented, "METHOD_UNKNOWN", Retry::No), "", got);
}

async fn deadlines(seen: &mut Catalogue) {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &[]).await;
    let query = balance("alice");
    let late = refused_in_time(service.addr, &query, Duration::ZERO).await;
    let row = (Code::DeadlineExceeded, "DEADLINE_BEFORE_START", Retry::Yes);
    seen.row(row, "", Err::<(), _>(late));
    redis.pause().unwrap();
    let late = refused_in_time(service.addr, &query, Duration::from_millis(50)).await;
    let row = (Code::DeadlineExceeded, "DEADLINE_PASSED", Retry::Yes);
    seen.row(row, "", Err::<(), _>(late));
    redis.resume().unwrap();
}

async fn history(seen: &mut Catalogue) {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::keeping(&redis.url(), 2).await;
    model.open("alice", "acme").await;
    let old = model.deposit("alice", 1).await;
    for _ in 0..4 {
        model.deposit("alice", 1).await;
    }
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    let page = client.list_transactions(statement("alice", 10, "")).await.unwrap().into_inner();
    assert_eq!(page.transactions.len(), 2);
    let row = || (Code::FailedPrecondition, "HISTORY_NOT_KEPT", Retry::No);
    let older = client.list_transactions(statement("alice", 10, &page.next_page_token)).await;
    seen.row(row(), "oldest", older);
    let id = old.rsplit_once('.').unwrap().1;
    seen.row(row(), "oldest", client.get_transaction(transaction(id)).await);
}

async fn missing_views(seen: &mut Catalogue) {
    let row = || (Code::Unavailable, "READ_MODEL_REBUILDING", Retry::Yes);
    let redis = Redis::start_private().await.unwrap();
    let service = Service::start_unready(&redis.url(), &[]).await;
    seen.row(row(), "view", service.client().get_balance(balance("alice")).await);

    let model = Model::new(&redis.url(), 1).await;
    service.until(Serving::Serving).await;
    for view in View::ALL {
        let pointer = model.keys().view(view, Shard::ZERO).visible();
        command(&redis.url(), &["DEL", &pointer]).await;
        model.begin(view, Shard::ZERO).await;
    }
    service.until(Serving::NotServing).await;
    let mut client = service.client();
    let fact = "building_position";
    seen.row(row(), fact, client.get_account(account("alice")).await);
    seen.row(row(), fact, client.get_balance(balance("alice")).await);
    seen.row(row(), fact, client.batch_get_balances(balances(["alice"])).await);
    seen.row(row(), fact, client.list_accounts(owned("acme", 0, "")).await);
    seen.row(row(), fact, client.get_transaction(transaction("0-1")).await);
    seen.row(row(), fact, client.get_latest_transaction(latest("alice")).await);
    seen.row(row(), fact, client.list_transactions(statement("alice", 0, "")).await);
    seen.row(row(), fact, client.get_totals(GetTotalsRequest::default()).await);
    // Who asks how far it is gets told.
    let status = client.get_read_model_status(GetReadModelStatusRequest::default()).await;
    let views = status.unwrap().into_inner().views;
    assert!(views.len() == 3 && views.iter().all(|view| view.building_generation > 0), "{views:?}");
}

async fn overload_and_draining(seen: &mut Catalogue) {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let flags = ["--waiters-max", "1", "--wait-max-ms", "60000"];
    let service = Service::start(&redis.url(), &flags).await;
    let token = |position: i64| format!("cf1.{}.0-{position}", model.log_id);
    let first = service.waiting_balance("alice", &token(2));
    service.until_metric("counterfoil_read_waiters 1").await;
    let row = || (Code::ResourceExhausted, "OVERLOADED", Retry::Yes);
    let mut client = service.client();
    let second = client.get_balance(fresh_balance("alice", at_least(token(2)))).await;
    seen.row(row(), "", second);
    let full =
        Service::start(&redis.url(), &["--queries-max", "1", "--wait-max-ms", "60000"]).await;
    let only = full.waiting_balance("alice", &token(2));
    full.until_metric("counterfoil_read_waiters 1").await;
    seen.row(row(), "", full.client().get_balance(balance("alice")).await);
    // Who need not wait is not kept out by those who do.
    client.get_balance(balance("alice")).await.unwrap();
    model.deposit("alice", 5).await;
    assert_eq!(joined(first).await.unwrap().0, 5);
    assert_eq!(joined(only).await.unwrap().0, 5);

    let waiting = service.waiting_balance("alice", &format!("cf1.{}.0-99", model.log_id));
    service.until_metric("counterfoil_read_waiters 1").await;
    service.stop().await;
    seen.row((Code::Unavailable, "SHUTTING_DOWN", Retry::Yes), "", joined(waiting).await);
}

async fn no_store(seen: &mut Catalogue) {
    let row = || (Code::Unavailable, "READ_STORE_UNAVAILABLE", Retry::Yes);
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &[]).await;
    command(&redis.url(), &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let evicting = Service::start_unready(&redis.url(), &[]).await;
    seen.row(row(), "", evicting.client().get_balance(balance("alice")).await);
    service.until(Serving::NotServing).await;
    seen.row(row(), "", service.client().get_balance(balance("alice")).await);
    command(&redis.url(), &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    service.until(Serving::Serving).await;

    redis.kill().await.unwrap();
    let mut client = service.client();
    for _ in 0..3 {
        let soon = Duration::from_secs(2);
        let got = tokio::time::timeout(soon, client.get_balance(balance("alice"))).await;
        seen.row(row(), "", got.expect("an answer at once"));
    }
}
