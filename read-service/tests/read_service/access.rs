//! Who may ask what: every method, every kind of caller, and what must stay hidden.

use std::collections::BTreeSet;

use dev_credentials::{TokenIssuer, claims};
use dev_servers::Redis;
use prost::Message;
use proto::read::{GetReadModelStatusRequest, GetTotalsRequest};
use serde_json::json;
use service_kit::error_details::reason;
use tonic::{Code, Status};

use crate::support::access::{Guarded, GuardedClient, Shown, said};
use crate::support::*;

/// The rpcs of the service, from the contract itself.
pub(crate) fn methods() -> BTreeSet<String> {
    let set = prost_types::FileDescriptorSet::decode(proto::READ_FILE_DESCRIPTOR_SET).unwrap();
    let services = set.file.iter().flat_map(|file| &file.service);
    services.flat_map(|service| &service.method).map(|method| method.name().to_owned()).collect()
}

/// What is asked for.
struct Asked<'a> {
    account: &'a str,
    owner: &'a str,
    transaction: &'a str,
}

/// Calls a method.
async fn call(caller: &GuardedClient, method: &str, asked: &Asked<'_>) -> Result<(), Status> {
    let mut client = caller.client.clone();
    let Asked { account: id, owner, transaction: transaction_id } = *asked;
    macro_rules! called {
        ($rpc:ident, $message:expr) => {
            in_time(client.$rpc(caller.request($message))).await.map(|_| ())
        };
    }
    match method {
        "GetAccount" => called!(get_account, account(id)),
        "GetBalance" => called!(get_balance, balance(id)),
        "BatchGetBalances" => called!(batch_get_balances, balances([id, id])),
        "ListAccounts" => called!(list_accounts, owned(owner, 0, "")),
        "GetTransaction" => called!(get_transaction, transaction(transaction_id)),
        "GetLatestTransaction" => called!(get_latest_transaction, latest(id)),
        "ListTransactions" => called!(list_transactions, statement(id, 0, "")),
        "GetTotals" => called!(get_totals, GetTotalsRequest::default()),
        "GetReadModelStatus" => {
            called!(get_read_model_status, GetReadModelStatusRequest::default())
        }
        other => panic!("{other} has no test of who may call it"),
    }
}

const IS_OF_THE_BANK: [&str; 2] = ["GetTotals", "GetReadModelStatus"];

/// A bank with two owners, and the id of a transfer from the first to the second.
async fn world() -> (Redis, Model, Guarded, String) {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    for (account, owner) in [("mine", "acme"), ("theirs", "shop"), ("nobodys", "")] {
        model.open(account, owner).await;
        model.deposit(account, 100).await;
    }
    let transfer = model.transfer("mine", "theirs", 7).await;
    model.stamp_heads().await;
    let service = Guarded::start(&redis.url()).await;
    (redis, model, service, transfer)
}

#[tokio::test]
async fn nobody_calls_any_method_without_saying_who_he_is() {
    let (_redis, _model, service, transfer) = world().await;
    let asked = Asked { account: "mine", owner: "acme", transaction: &transfer };
    let everything = claims("teller", &json!({"scope": "read admin", "accounts": "*"}));
    for bad in service.issuer.bad_credentials(&everything) {
        let shown = bad.authorization.map_or(Shown::Nothing, Shown::Header);
        let client = service.client(&shown).await;
        for method in methods() {
            let status = call(&client, &method, &asked).await.unwrap_err();
            let got = (status.code(), reason(&status));
            assert_eq!(
                got,
                (Code::Unauthenticated, Some(bad.reason.into())),
                "{}: {method}",
                bad.what
            );
        }
    }
}

#[tokio::test]
async fn every_method_is_closed_to_whoever_has_no_right_to_it() {
    let (_redis, _model, service, transfer) = world().await;
    let asked = Asked { account: "mine", owner: "acme", transaction: &transfer };
    let stranger = Shown::Certificate(service.authority.client("stranger"));
    for (what, shown, is_admin) in [
        ("no claims", service.shown(&json!({})), false),
        ("no scope", service.shown(&json!({"accounts": "*"})), false),
        ("to write", service.shown(&json!({"scope": "write", "accounts": "*"})), false),
        ("admin only", service.shown(&json!({"scope": "admin", "accounts": "*"})), true),
        ("no accounts", service.shown(&json!({"scope": "read"})), false),
        (
            "another account",
            service.shown(&json!({"scope": "read", "accounts": ["theirs"]})),
            false,
        ),
        ("another owner", service.shown(&json!({"scope": "read", "owners": ["shop"]})), false),
        (
            "an owner as account",
            service.shown(&json!({"scope": "read", "accounts": ["acme"]})),
            false,
        ),
        (
            "an account as owner",
            service.shown(&json!({"scope": "read", "owners": ["mine"]})),
            false,
        ),
        ("a certificate that no rule names", stranger, false),
    ] {
        let client = service.client(&shown).await;
        for method in methods() {
            let answer = call(&client, &method, &asked).await;
            if is_admin && IS_OF_THE_BANK.contains(&&*method) {
                assert!(answer.is_ok(), "{what}: {method}: {answer:?}");
                continue;
            }
            let status = answer.expect_err(&format!("{what}: {method}"));
            let got = (status.code(), reason(&status));
            let denied = (Code::PermissionDenied, Some("ACCOUNT_ACCESS_DENIED".to_owned()));
            assert_eq!(got, denied, "{what}: {method}");
        }
    }
}

#[tokio::test]
async fn every_method_is_open_to_whoever_has_the_right_to_it() {
    let (_redis, _model, service, transfer) = world().await;
    let asked = Asked { account: "mine", owner: "acme", transaction: &transfer };
    for (kind, shown) in [
        ("account", service.shown(&json!({"scope": "read", "accounts": ["x", "mine"]}))),
        ("owner", service.shown(&json!({"scope": "read", "owners": ["x", "acme"]}))),
        ("everything", service.shown(&json!({"scope": "read", "accounts": "*"}))),
        ("admin", service.shown(&json!({"scope": "read admin", "accounts": "*"}))),
        ("teller", Shown::Certificate(service.authority.client("teller"))),
        ("operator", Shown::Certificate(service.authority.client("operator"))),
    ] {
        let client = service.client(&shown).await;
        for method in methods() {
            let is_open = match &*method {
                method if IS_OF_THE_BANK.contains(&method) => ["admin", "operator"].contains(&kind),
                "ListAccounts" => kind != "account", // a list is its owner's
                _ => true,
            };
            let answer = call(&client, &method, &asked).await;
            assert_eq!(answer.is_ok(), is_open, "{kind}: {method}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn what_is_anothers_and_what_nobody_has_are_the_same() {
    let (_redis, _model, service, transfer) = world().await;
    let asked = |account, transaction| Asked { account, owner: "shop", transaction };
    for more in [
        json!({"scope": "read", "owners": ["bob"]}),
        json!({"scope": "read", "accounts": ["bobs", "absent"]}),
    ] {
        let client = service.caller(&more).await;
        for method in methods().iter().filter(|method| !IS_OF_THE_BANK.contains(&&***method)) {
            let theirs = said(call(&client, method, &asked("theirs", &transfer)).await);
            for (account, transaction) in
                [("nobodys", "0-2"), ("absent", "0-9999"), ("unknown", "7-1"), ("unknown", "0-1")]
            {
                let other = said(call(&client, method, &asked(account, transaction)).await);
                assert_eq!(theirs, other, "{method}: {account} {transaction}");
            }
        }
    }
}

#[tokio::test]
async fn one_account_out_of_reach_closes_the_whole_batch() {
    let (_redis, _model, service, _) = world().await;
    let client = service.caller(&json!({"scope": "read", "owners": ["acme"]})).await;
    let ask = async |ids: &[&str]| {
        let message = balances(ids.iter().copied());
        client.client.clone().batch_get_balances(client.request(message)).await
    };
    assert!(ask(&["mine"]).await.is_ok());
    let theirs = said(ask(&["mine", "theirs"]).await);
    assert_eq!(theirs, said(ask(&["mine", "unknown"]).await));
    assert_eq!(theirs.0, Code::PermissionDenied);
}

#[tokio::test]
async fn a_transfer_is_the_payers_transaction_and_on_the_payees_statement() {
    let (_redis, _model, service, transfer) = world().await;
    let payee = service.caller(&json!({"scope": "read", "owners": ["shop"]})).await;
    let mut client = payee.client.clone();
    let denied = client.get_transaction(payee.request(transaction(&transfer))).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let answer = client.list_transactions(payee.request(statement("theirs", 0, ""))).await.unwrap();
    let lines = answer.into_inner().transactions;
    assert_eq!(
        (lines[0].transaction_id.as_str(), lines[0].account_id.as_str()),
        (&*transfer, "theirs")
    );
    assert_eq!(lines[0].balance_after.as_ref().unwrap().minor_units, 107); // his own
}

#[tokio::test]
async fn rights_are_asked_for_before_anything_else_of_a_request() {
    let (_redis, _model, service, _) = world().await;
    let client = service.caller(&json!({"scope": "read", "accounts": ["mine"]})).await;
    let ask = async |id: &str| {
        let message = statement(id, -1, "");
        client.client.clone().list_transactions(client.request(message)).await.unwrap_err()
    };
    assert_eq!(ask("theirs").await.code(), Code::PermissionDenied);
    assert_eq!(ask("mine").await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn changed_keys_count_soon_and_broken_ones_not_at_all() {
    let (_redis, _model, service, _) = world().await;
    let client = service.caller(&json!({"scope": "read", "accounts": "*"})).await;
    let ask = async || client.client.clone().get_balance(client.request(balance("mine"))).await;
    assert!(ask().await.is_ok());
    service.issuer.write_keys("{");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(ask().await.is_ok(), "the last good keys stay");
    service.issuer.write_keys(&TokenIssuer::new().jwks());
    in_time(async {
        while ask().await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(reason(&ask().await.unwrap_err()).as_deref(), Some("TOKEN_INVALID"));
}

#[tokio::test]
async fn a_list_without_keys_ends_all_tokens_until_there_are_some_again() {
    let (_redis, _model, service, _) = world().await;
    let caller = async || service.caller(&json!({"scope": "read", "accounts": "*"})).await;
    let ask = async |client: &GuardedClient| {
        client.client.clone().get_balance(client.request(balance("mine"))).await
    };
    let old = caller().await;
    assert!(ask(&old).await.is_ok());
    let jwks = service.issuer.jwks();
    service.issuer.write_keys(r#"{"keys": []}"#);
    in_time(async {
        while ask(&old).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    for client in [old, caller().await] {
        let status = ask(&client).await.unwrap_err();
        let got = (status.code(), reason(&status));
        assert_eq!(got, (Code::Unauthenticated, Some("TOKEN_INVALID".into())));
    }
    service.issuer.write_keys(&jwks);
    in_time(async {
        while ask(&caller().await).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}
