//! Requests, short to write.

use std::time::Duration;

use proto::read::read_consistency::Requirement;
use proto::read::{
    BatchGetBalancesRequest, GetAccountRequest, GetBalanceRequest, GetLatestTransactionRequest,
    GetTransactionRequest, ListAccountsRequest, ListTransactionsRequest, ReadConsistency,
};

pub(crate) fn at_least(token: impl Into<String>) -> Option<ReadConsistency> {
    Some(ReadConsistency { requirement: Some(Requirement::AtLeastAsFresh(token.into())) })
}

pub(crate) fn stale_at_most(seconds: i64, nanos: i32) -> Option<ReadConsistency> {
    let duration = prost_types::Duration { seconds, nanos };
    Some(ReadConsistency { requirement: Some(Requirement::MaxStaleness(duration)) })
}

pub(crate) fn account(id: &str) -> GetAccountRequest {
    GetAccountRequest { account_id: id.to_owned(), consistency: None }
}

pub(crate) fn balance(id: &str) -> GetBalanceRequest {
    GetBalanceRequest { account_id: id.to_owned(), consistency: None }
}

pub(crate) fn fresh_balance(id: &str, consistency: Option<ReadConsistency>) -> GetBalanceRequest {
    GetBalanceRequest { account_id: id.to_owned(), consistency }
}

pub(crate) fn balances<'a>(ids: impl IntoIterator<Item = &'a str>) -> BatchGetBalancesRequest {
    let account_ids = ids.into_iter().map(str::to_owned).collect();
    BatchGetBalancesRequest { account_ids, consistency: None }
}

pub(crate) fn latest(id: &str) -> GetLatestTransactionRequest {
    GetLatestTransactionRequest { account_id: id.to_owned(), consistency: None }
}

pub(crate) fn transaction(id: &str) -> GetTransactionRequest {
    GetTransactionRequest { transaction_id: id.to_owned(), consistency: None }
}

pub(crate) fn statement(id: &str, page_size: i32, page_token: &str) -> ListTransactionsRequest {
    let (account_id, page_token) = (id.to_owned(), page_token.to_owned());
    ListTransactionsRequest { account_id, page_size, page_token, consistency: None }
}

pub(crate) fn owned(owner: &str, page_size: i32, page_token: &str) -> ListAccountsRequest {
    let (owner_id, page_token) = (owner.to_owned(), page_token.to_owned());
    ListAccountsRequest { owner_id, page_size, page_token, consistency: None }
}

/// With a deadline, as clients set it.
pub(crate) fn within<T>(timeout: Duration, request: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(request);
    request.set_timeout(timeout);
    request
}
