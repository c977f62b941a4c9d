//! The nine rpcs: check the request, ask, put the answer on the wire.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use access::Access;
use proto::read::read_service_server::ReadService;
use proto::read::{
    BatchGetBalancesRequest, BatchGetBalancesResponse, GetAccountRequest, GetAccountResponse,
    GetBalanceRequest, GetBalanceResponse, GetLatestTransactionRequest,
    GetLatestTransactionResponse, GetReadModelStatusRequest, GetReadModelStatusResponse,
    GetTotalsRequest, GetTotalsResponse, GetTransactionRequest, GetTransactionResponse,
    ListAccountsRequest, ListAccountsResponse, ListTransactionsRequest, ListTransactionsResponse,
};
use service_kit::deadline::Deadline;
use service_kit::server::connection_number;
use service_kit::shares::Party;
use tonic::{Request, Response, Status};

use super::failure_log::FailureLog;
use super::request::Checker;
use super::response;
use super::status::{code_name, error_status};
use crate::error::QueryError;
use crate::metrics::{Method, Metrics, Observed};
use crate::page_token;
use crate::query::{Asker, Queries};

/// `ReadService` over the wire.
pub(crate) struct ReadGrpc {
    queries: Arc<Queries>,
    access: Access,
    metrics: Metrics,
    failures: FailureLog,
}

impl ReadGrpc {
    pub(crate) fn new(queries: Arc<Queries>, access: Access, metrics: Metrics) -> Self {
        Self { queries, access, metrics, failures: FailureLog::default() }
    }

    /// Answers one call: counted and timed however it ends, and a failure told once.
    async fn observed<Q, A, F>(
        &self,
        method: Method,
        request: Request<Q>,
        answer: impl FnOnce(Q, Asker) -> F,
    ) -> Result<Response<A>, Status>
    where
        F: Future<Output = Result<A, QueryError>>,
    {
        let observed = Observed::begin(&self.metrics, method);
        let caller = match self.access.caller(&request) {
            Ok(caller) => caller,
            Err(status) => {
                observed.ended(code_name(status.code), status.reason);
                return Err(status.into_status());
            }
        };
        let until = Deadline::of(&request).map(Deadline::at);
        let party = Party::of(caller.actor(), connection_number(&request));
        let asker = Asker { party, reach: caller.reach().clone(), until };
        match answer(request.into_inner(), asker).await {
            Ok(answer) => {
                observed.ended("OK", "");
                tracing::debug!(rpc = ?method, outcome = "OK", "query answered");
                Ok(Response::new(answer))
            }
            Err(error) => {
                let status = error_status(&error);
                observed.ended(code_name(status.code), status.reason);
                self.failures.tell(method, &error, status.reason, Instant::now());
                Err(status.into_status())
            }
        }
    }
}

#[tonic::async_trait]
impl ReadService for ReadGrpc {
    async fn get_account(
        &self,
        request: Request<GetAccountRequest>,
    ) -> Result<Response<GetAccountResponse>, Status> {
        self.observed(
            Method::GetAccount,
            request,
            async |asked: GetAccountRequest, asker: Asker| {
                asker.may_ask([asked.account_id.as_str()])?;
                let mut check = Checker::default();
                let fields = check
                    .account_id(&asked.account_id)
                    .zip(check.consistency(asked.consistency.as_ref()));
                let (id, consistency) = check.finish(fields)?;
                let call = self.queries.begin(consistency, asker).await?;
                let answer = self.queries.account(&call, &id).await?;
                let account = Some(response::account(&answer.value));
                Ok(GetAccountResponse { read: response::read(&answer), account })
            },
        )
        .await
    }

    async fn get_balance(
        &self,
        request: Request<GetBalanceRequest>,
    ) -> Result<Response<GetBalanceResponse>, Status> {
        self.observed(
            Method::GetBalance,
            request,
            async |asked: GetBalanceRequest, asker: Asker| {
                asker.may_ask([asked.account_id.as_str()])?;
                let mut check = Checker::default();
                let fields = check
                    .account_id(&asked.account_id)
                    .zip(check.consistency(asked.consistency.as_ref()));
                let (id, consistency) = check.finish(fields)?;
                let call = self.queries.begin(consistency, asker).await?;
                Ok(response::balance(self.queries.account(&call, &id).await?))
            },
        )
        .await
    }

    async fn batch_get_balances(
        &self,
        request: Request<BatchGetBalancesRequest>,
    ) -> Result<Response<BatchGetBalancesResponse>, Status> {
        let answer = async |asked: BatchGetBalancesRequest, asker: Asker| {
            asker.may_ask(asked.account_ids.iter().map(String::as_str))?;
            let mut check = Checker::default();
            let fields = check
                .account_ids(&asked.account_ids)
                .zip(check.consistency(asked.consistency.as_ref()));
            let (ids, consistency) = check.finish(fields)?;
            let call = self.queries.begin(consistency, asker).await?;
            let answer = self.queries.accounts(&call, &ids).await?;
            let balances = answer.value.iter().map(response::account_balance).collect();
            Ok(BatchGetBalancesResponse { read: response::read(&answer), balances })
        };
        self.observed(Method::BatchGetBalances, request, answer).await
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        self.observed(
            Method::ListAccounts,
            request,
            async |asked: ListAccountsRequest, asker: Asker| {
                asker.may_ask_owner(&asked.owner_id)?;
                let mut check = Checker::default();
                let owner = check.owner_id(&asked.owner_id);
                let size = check.page_size(asked.page_size);
                let after = check.accounts_page(owner.as_ref(), &asked.page_token);
                let consistency = check.consistency(asked.consistency.as_ref());
                let fields = owner.zip(size).zip(after).zip(consistency);
                let (((owner, size), after), consistency) = check.finish(fields)?;
                let call = self.queries.begin(consistency, asker).await?;
                let answer =
                    self.queries.owner_accounts(&call, &owner, after.as_ref(), size).await?;
                let page = &answer.value;
                let accounts = response::accounts(&page.accounts);
                let more = page.more || accounts.len() < page.accounts.len();
                let last = page.accounts[..accounts.len()].last().filter(|_| more);
                let next =
                    last.map(|last| page_token::accounts_after(&owner, &last.opening.account_id));
                Ok(ListAccountsResponse {
                    read: response::read(&answer),
                    accounts,
                    next_page_token: next.unwrap_or_default(),
                })
            },
        )
        .await
    }

    async fn get_transaction(
        &self,
        request: Request<GetTransactionRequest>,
    ) -> Result<Response<GetTransactionResponse>, Status> {
        let answer = async |asked: GetTransactionRequest, asker: Asker| {
            let mut check = Checker::default();
            let fields = check
                .transaction_id(&asked.transaction_id)
                .zip(check.consistency(asked.consistency.as_ref()));
            let (id, consistency) = check.finish(fields)?;
            let call = self.queries.begin(consistency, asker).await?;
            let answer = self.queries.transaction(&call, id).await?;
            let transaction = Some(response::transaction(&answer.value));
            Ok(GetTransactionResponse { read: response::read(&answer), transaction })
        };
        self.observed(Method::GetTransaction, request, answer).await
    }

    async fn get_latest_transaction(
        &self,
        request: Request<GetLatestTransactionRequest>,
    ) -> Result<Response<GetLatestTransactionResponse>, Status> {
        let answer = async |asked: GetLatestTransactionRequest, asker: Asker| {
            asker.may_ask([asked.account_id.as_str()])?;
            let mut check = Checker::default();
            let fields = check
                .account_id(&asked.account_id)
                .zip(check.consistency(asked.consistency.as_ref()));
            let (id, consistency) = check.finish(fields)?;
            let call = self.queries.begin(consistency, asker).await?;
            let answer = self.queries.latest_entry(&call, &id).await?;
            let transaction = answer.value.as_ref().map(response::transaction);
            Ok(GetLatestTransactionResponse { read: response::read(&answer), transaction })
        };
        self.observed(Method::GetLatestTransaction, request, answer).await
    }

    async fn list_transactions(
        &self,
        request: Request<ListTransactionsRequest>,
    ) -> Result<Response<ListTransactionsResponse>, Status> {
        let answer = async |asked: ListTransactionsRequest, asker: Asker| {
            asker.may_ask([asked.account_id.as_str()])?;
            let mut check = Checker::default();
            let id = check.account_id(&asked.account_id);
            let size = check.page_size(asked.page_size);
            let before = check.statement_page(id.as_ref(), &asked.page_token);
            let consistency = check.consistency(asked.consistency.as_ref());
            let fields = id.zip(size).zip(before).zip(consistency);
            let (((id, size), before), consistency) = check.finish(fields)?;
            let call = self.queries.begin(consistency, asker).await?;
            let answer = self.queries.statement(&call, &id, before, size).await?;
            let page = &answer.value;
            let line = |entry| response::statement_line(&id, page.currency, entry);
            let next = page.next.map(|before| page_token::entries_before(&id, before));
            Ok(ListTransactionsResponse {
                read: response::read(&answer),
                transactions: page.entries.iter().map(line).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        };
        self.observed(Method::ListTransactions, request, answer).await
    }

    async fn get_totals(
        &self,
        request: Request<GetTotalsRequest>,
    ) -> Result<Response<GetTotalsResponse>, Status> {
        self.observed(Method::GetTotals, request, async |asked: GetTotalsRequest, asker: Asker| {
            let mut check = Checker::default();
            let consistency = check.consistency(asked.consistency.as_ref());
            let consistency = check.finish(consistency)?;
            let call = self.queries.begin(consistency, asker).await?;
            let answer = self.queries.totals(&call).await?;
            let totals = response::totals(&answer.value);
            Ok(GetTotalsResponse { read: response::read(&answer), totals })
        })
        .await
    }

    async fn get_read_model_status(
        &self,
        request: Request<GetReadModelStatusRequest>,
    ) -> Result<Response<GetReadModelStatusResponse>, Status> {
        let answer = async |asked: GetReadModelStatusRequest, asker: Asker| {
            let mut check = Checker::default();
            let consistency = check.consistency(asked.consistency.as_ref());
            let consistency = check.finish(consistency)?;
            let call = self.queries.begin(consistency, asker).await?;
            Ok(response::status(&self.queries.read_model_status(&call).await?))
        };
        self.observed(Method::GetReadModelStatus, request, answer).await
    }
}
