//! The service reads as a user of Redis who can do nothing else.

use std::time::Duration;

use dev_servers::Redis;
use proto::read::{GetReadModelStatusRequest, GetTotalsRequest};
use read_model::{DEFAULT_KEY_PREFIX, acl_users};

use crate::support::*;

#[tokio::test]
async fn every_query_is_answered_through_a_login_that_can_only_read() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    model.deposit("alice", 5).await;
    let [_, user] = acl_users(DEFAULT_KEY_PREFIX).unwrap();
    let mut set_user = vec!["ACL", "SETUSER", user.name, ">word"];
    set_user.extend(user.rules.split(' '));
    command(&redis.url(), &set_user).await;
    let url = redis.url().replacen("redis://", &format!("redis://{}:word@", user.name), 1);
    let service = Service::start(&url, &["--wait-recheck-ms", "3600000"]).await;
    let mut client = service.client();
    client.get_account(account("alice")).await.unwrap();
    client.get_balance(balance("alice")).await.unwrap();
    client.batch_get_balances(balances(["alice"])).await.unwrap();
    client.list_accounts(owned("acme", 0, "")).await.unwrap();
    client.get_transaction(transaction("0-2")).await.unwrap();
    client.get_latest_transaction(latest("alice")).await.unwrap();
    client.list_transactions(statement("alice", 0, "")).await.unwrap();
    client.get_totals(GetTotalsRequest { consistency: None }).await.unwrap();
    client.get_read_model_status(GetReadModelStatusRequest { consistency: None }).await.unwrap();
    // Publications are heard too: nothing else wakes a waiting call here.
    service.until_listening(&redis.url()).await;
    let waiting = service.waiting_balance("alice", &format!("cf1.{}.0-3", model.log_id));
    service.until_metric("counterfoil_read_waiters 1").await;
    model.deposit("alice", 2).await;
    let heard = tokio::time::timeout(Duration::from_secs(10), joined(waiting)).await;
    assert_eq!(heard.unwrap().unwrap().0, 7);
}
