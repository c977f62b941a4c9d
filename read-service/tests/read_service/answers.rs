//! What answers say.

use dev_servers::Redis;
use ledger::Position;
use proto::read::{AccountBalance, GetReadModelStatusRequest, GetTotalsRequest};
use proto::types::{AccountStatus, Direction, Money, TransactionType};
use read_model::EntryKind;

use crate::support::events::time_of;
use crate::support::model::Happening;
use crate::support::*;

fn euros(minor_units: i64, display: &str) -> Option<Money> {
    Some(Money { currency_code: "EUR".to_owned(), minor_units, display: display.to_owned() })
}

fn at(position: i64) -> Option<prost_types::Timestamp> {
    let micros = time_of(Position::new(position).unwrap()).micros();
    Some(prost_types::Timestamp { seconds: micros / 1_000_000, nanos: 0 })
}

#[tokio::test]
async fn an_account_is_shown_with_all_that_is_known_of_it() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    model.happen("alice", Happening::LimitSet(50_00)).await;
    model.movement("alice", EntryKind::Withdrawal, 12_34).await;
    let token = model.happen("alice", Happening::Frozen).await;
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();

    let answer = client.get_account(account("alice")).await.unwrap().into_inner();
    let read = answer.read.unwrap();
    assert_eq!((read.as_of, read.as_of_time), (token.clone(), at(4)));
    let shown = answer.account.unwrap();
    assert_eq!((shown.account_id.as_str(), shown.owner_id.as_str()), ("alice", "acme"));
    assert_eq!((shown.currency_code.as_str(), shown.labels["tier"].as_str()), ("EUR", "gold"));
    assert_eq!((shown.status(), shown.version), (AccountStatus::Frozen, 4));
    assert_eq!(
        (shown.balance, shown.available),
        (euros(-12_34, "-12.34"), euros(-12_34, "-12.34"))
    );
    assert_eq!((shown.held, shown.overdraft_limit), (euros(0, "0.00"), 50_00));
    assert_eq!((shown.open_time, shown.update_time), (at(1), at(4)));

    let answer = client.get_balance(balance("alice")).await.unwrap().into_inner();
    assert_eq!((answer.account_id.as_str(), answer.version), ("alice", 4));
    assert_eq!((answer.balance, answer.held), (euros(-12_34, "-12.34"), euros(0, "0.00")));
    assert_eq!(answer.read.unwrap().as_of, token);
}

#[tokio::test]
async fn amounts_are_written_with_the_currencys_own_scale() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    for (id, currency) in [("jpy", "JPY"), ("bhd", "BHD")] {
        model.happen(id, Happening::Opened { owner: "", currency }).await;
        model.deposit(id, 1234).await;
    }
    let service = Service::start(&redis.url(), &[]).await;
    for (id, display) in [("jpy", "1234"), ("bhd", "1.234")] {
        let answer = service.client().get_balance(balance(id)).await.unwrap().into_inner();
        assert_eq!(answer.balance.unwrap().display, display);
    }
}

#[tokio::test]
async fn several_balances_come_in_the_order_asked_for() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 4).await;
    let ids: Vec<String> = (0..40).map(|number| format!("a{number}")).collect();
    for (id, amount) in ids.iter().zip(1..) {
        model.open(id, "acme").await;
        model.deposit(id, amount).await;
    }
    let service = Service::start(&redis.url(), &[]).await;
    // Backwards, and one of them twice.
    let asked: Vec<&str> = ids.iter().rev().chain([&ids[7]]).map(String::as_str).collect();
    let answer = service.client().batch_get_balances(balances(asked.clone())).await.unwrap();
    let answer = answer.into_inner();
    let amount = |shown: &AccountBalance| shown.balance.as_ref().unwrap().minor_units;
    let shown: Vec<_> =
        answer.balances.iter().map(|b| (b.account_id.as_str(), amount(b))).collect();
    let expected: Vec<_> = asked.into_iter().zip((1..=40).rev().chain([8])).collect();
    assert_eq!(shown, expected);
    assert_eq!(answer.read.unwrap().as_of, model.head());
}

#[tokio::test]
async fn a_transaction_is_shown_from_the_sources_side() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 4).await;
    for id in ["alice", "cz-5868"] {
        model.open(id, "acme").await;
        model.deposit(id, 100).await;
    }
    let id = model.transfer("alice", "cz-5868", 30).await;
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();

    let sent = client.get_transaction(transaction(&id)).await.unwrap().into_inner();
    let sent = sent.transaction.unwrap();
    assert_eq!((sent.transaction_id.as_str(), sent.account_id.as_str()), (id.as_str(), "alice"));
    assert_eq!(
        (sent.r#type(), sent.direction()),
        (TransactionType::TransferSent, Direction::Debit)
    );
    assert_eq!((sent.amount, sent.balance_after), (euros(30, "0.30"), euros(70, "0.70")));
    assert_eq!((sent.counterparty.as_str(), sent.version), ("cz-5868", 3));
    assert_eq!((sent.reference.as_str(), sent.commit_time), ("number 3", at(3)));

    // The other side has a line of its own, which names the same transaction.
    let received = client.get_latest_transaction(latest("cz-5868")).await.unwrap().into_inner();
    let received = received.transaction.unwrap();
    assert_eq!(received.transaction_id, id);
    assert_eq!(received.r#type(), TransactionType::TransferReceived);
    assert_eq!(
        (received.direction(), received.counterparty.as_str()),
        (Direction::Credit, "alice")
    );
    assert_eq!(received.balance_after, euros(130, "1.30"));
}

#[tokio::test]
async fn an_account_without_transactions_has_no_newest_one() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    let token = model.open("alice", "acme").await;
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    let answer = client.get_latest_transaction(latest("alice")).await.unwrap().into_inner();
    assert_eq!((answer.transaction, answer.read.unwrap().as_of), (None, token));
    let page = client.list_transactions(statement("alice", 0, "")).await.unwrap().into_inner();
    assert_eq!((page.transactions.len(), page.next_page_token.as_str()), (0, ""));
}

#[tokio::test]
async fn the_trial_balance_counts_all_money_of_all_shards() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 4).await;
    let service = Service::start(&redis.url(), &[]).await;
    let mut client = service.client();
    let empty = client.get_totals(GetTotalsRequest::default()).await.unwrap().into_inner();
    assert_eq!((empty.totals.len(), empty.read.unwrap().as_of_time), (0, None));

    for id in ["alice", "cz-5868", "cz-539"] {
        model.open(id, "acme").await;
        model.deposit(id, 100).await;
    }
    model.transfer("alice", "cz-5868", 30).await;
    model.movement("cz-5868", EntryKind::BillPayment, 5).await;
    let answer = client.get_totals(GetTotalsRequest::default()).await.unwrap().into_inner();
    let [totals] = answer.totals.as_slice() else { panic!("{answer:?}") };
    assert_eq!((totals.currency_code.as_str(), totals.account_count), ("EUR", 3));
    assert_eq!((totals.deposits.as_str(), totals.withdrawals.as_str()), ("300", "5"));
    assert_eq!((totals.balances.as_str(), totals.in_transit.as_str()), ("295", "0"));
    assert!(totals.balanced);
    assert_eq!(answer.read.unwrap().as_of, model.head());
}

#[tokio::test]
async fn the_status_names_every_view_on_every_shard() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 2).await;
    model.open("alice", "acme").await;
    model.hold_back(read_model::View::Totals);
    model.deposit("alice", 1).await;
    model.stamp_heads().await;
    let service = Service::start(&redis.url(), &["--wait-max-ms", "30"]).await;
    let mut client = service.client();
    let asked = GetReadModelStatusRequest::default();
    let answer = client.get_read_model_status(asked).await.unwrap().into_inner();
    assert_eq!(answer.views.len(), 6);
    let shard = i32::from(model.shard_of("alice").get());
    let of = |view: &str| answer.views.iter().find(|v| v.view == view && v.shard == shard).unwrap();
    let (accounts, totals) = (of("accounts"), of("totals"));
    assert_eq!((accounts.position, accounts.head_position, accounts.lag_events), (2, 2, 0));
    assert_eq!((totals.position, totals.head_position, totals.lag_events), (1, 2, 1));
    assert!(accounts.lag.is_some() && totals.lag.is_none());
    assert!(accounts.generation > 0 && accounts.building_generation == 0);
    // What all views include together is what the slowest does.
    let at_1 = |other: i32| {
        format!("cf1.{}.{}", model.log_id, if other == 0 { "0-0.1-1" } else { "0-1.1-0" })
    };
    assert_eq!(answer.read.unwrap().as_of, at_1(1 - shard));

    let asked = GetReadModelStatusRequest { consistency: at_least(model.head()) };
    client.get_read_model_status(asked.clone()).await.unwrap_err();
    model.let_go(read_model::View::Totals).await;
    let answer = client.get_read_model_status(asked).await.unwrap().into_inner();
    assert_eq!(answer.read.unwrap().as_of, model.head());
}
