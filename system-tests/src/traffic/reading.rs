//! A client that reads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prost_types::Duration as WireDuration;
use proto::{
    read::{
        self, ReadConsistency, ReadMetadata, read_consistency::Requirement,
        read_service_client::ReadServiceClient,
    },
    types::{Money, Transaction},
};
use service_kit::error_details;
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status, transport::Channel};

use super::{EURO_ACCOUNTS, OWNER, QUIET_ACCOUNT, RICH_ACCOUNT, YEN_ACCOUNTS, answers, mix};
use crate::{
    dice::Dice,
    history::{AsOf, Found, Freshness, History, Read, ReadAnswer},
    system::Clients,
};

/// Lines of a statement asked for.
const PAGE_LINES: usize = 10;

/// One client, one query after another.
pub(super) struct Reader {
    pub(super) clients: Clients,
    pub(super) history: Arc<History>,
    pub(super) dice: Dice,
    pub(super) stop: Arc<AtomicBool>,
    /// The id of a transaction that was read.
    pub(super) seen: Option<String>,
}

/// Whom to ask about which account, and what is asked of the answer.
struct Question {
    client: ReadServiceClient<Channel>,
    account_id: String,
    consistency: Option<ReadConsistency>,
    within: Duration,
}

type Answered = Result<(Option<ReadMetadata>, Found), Status>;

impl Reader {
    pub(super) async fn run(mut self) {
        let clients: Vec<_> = (0..self.clients.readers()).map(|n| self.clients.read(n)).collect();
        while !self.stop.load(Ordering::Relaxed) {
            let reader = self.dice.index(clients.len());
            let starts = self.clients.reader_starts(reader);
            let (asked, consistency) = self.freshness();
            let within = self.dice.time(Duration::from_millis(100), Duration::from_secs(2));
            let (sent, life) = (self.history.now(), starts.load(Ordering::Relaxed));
            let account = self.account();
            let client = clients[reader].clone();
            let account_id = account.clone();
            let query = self.ask(Question { client, account_id, consistency, within });
            let answer = timeout(within + Duration::from_millis(500), query).await;
            let answer = answer.unwrap_or_else(|_| Err(Status::cancelled("given up")));
            let life = (starts.load(Ordering::Relaxed) == life).then_some(life);
            let ended = self.history.now();
            let answer = told(answer, &account);
            self.history.add_read(Read { reader, life, sent, ended, asked, answer });
            let pause = self.dice.time(Duration::ZERO, Duration::from_millis(8));
            sleep(pause).await;
        }
    }

    fn account(&mut self) -> String {
        match self.dice.roll(20) {
            0 => QUIET_ACCOUNT.into(),
            1 => mix::yen_account(self.dice.roll(YEN_ACCOUNTS)),
            2 => format!("new-{}-{}", self.dice.roll(8), self.dice.roll(4)),
            3 => RICH_ACCOUNT.into(),
            _ => mix::euro_account(self.dice.roll(EURO_ACCOUNTS)),
        }
    }

    fn freshness(&mut self) -> (Freshness, Option<ReadConsistency>) {
        let (asked, requirement) = match self.dice.roll(10) {
            0..4 => match self.history.some_token(self.dice.roll(1 << 32)) {
                Some(text) => {
                    let positions = answers::token(&text).unwrap_or_else(no_token).positions;
                    (Freshness::Token(positions), Requirement::AtLeastAsFresh(text))
                }
                None => return (Freshness::Any, None),
            },
            4..6 => {
                let most = self.dice.time(Duration::from_millis(100), Duration::from_secs(3));
                let nanos = i32::try_from(most.subsec_nanos()).unwrap_or_default();
                let wire = WireDuration { seconds: most.as_secs().try_into().unwrap(), nanos };
                (Freshness::Staleness(most), Requirement::MaxStaleness(wire))
            }
            _ => return (Freshness::Any, None),
        };
        (asked, Some(ReadConsistency { requirement: Some(requirement) }))
    }

    /// Asks one thing or another.
    async fn ask(&mut self, question: Question) -> Answered {
        match self.dice.roll(13) {
            kind @ 0..9 => ask_for_accounts(kind, question).await,
            kind => self.ask_for_transactions(kind, question).await,
        }
    }

    async fn ask_for_transactions(&mut self, kind: u64, question: Question) -> Answered {
        let Question { mut client, account_id, consistency, within } = question;
        let account = account_id.clone();
        match (kind, self.seen.clone()) {
            (9, _) => {
                let query = read::GetLatestTransactionRequest { account_id, consistency };
                let query = request(query, within);
                let answer = client.get_latest_transaction(query).await?.into_inner();
                let entries = answer.transaction.iter().map(entry).collect();
                Ok((answer.read, Found::Statement { account, most: 1, entries }))
            }
            (10, Some(transaction_id)) => {
                let query = read::GetTransactionRequest { transaction_id, consistency };
                let answer = client.get_transaction(request(query, within)).await?.into_inner();
                let line = answer.transaction.unwrap_or_default();
                let (account, entry) = (line.account_id.clone(), entry(&line));
                Ok((answer.read, Found::Transaction { account, entry }))
            }
            (11, _) => {
                let query = read::GetTotalsRequest { consistency };
                let answer = client.get_totals(request(query, within)).await?.into_inner();
                let sum = |text: &String| text.parse::<i128>().unwrap_or(i128::MIN);
                let totals = answer.totals.iter().map(|t| {
                    let sums = [&t.deposits, &t.withdrawals, &t.balances, &t.in_transit].map(sum);
                    (t.currency_code.clone(), t.account_count, sums)
                });
                Ok((answer.read, Found::Totals(totals.collect())))
            }
            _ => {
                let page_size = i32::try_from(PAGE_LINES).unwrap_or_default();
                let query = read::ListTransactionsRequest {
                    account_id,
                    page_size,
                    page_token: String::new(),
                    consistency,
                };
                let answer = client.list_transactions(request(query, within)).await?.into_inner();
                self.seen = answer.transactions.last().map(|line| line.transaction_id.clone());
                let entries = answer.transactions.iter().map(entry).collect();
                Ok((answer.read, Found::Statement { account, most: PAGE_LINES, entries }))
            }
        }
    }
}

async fn ask_for_accounts(kind: u64, question: Question) -> Answered {
    let Question { mut client, account_id, consistency, within } = question;
    match kind {
        0..4 => {
            let query = read::GetBalanceRequest { account_id, consistency };
            let answer = client.get_balance(request(query, within)).await?.into_inner();
            let balance = units(&answer.balance);
            let found = Found::Balances(vec![(answer.account_id, answer.version, balance)]);
            Ok((answer.read, found))
        }
        4..6 => {
            let query = read::GetAccountRequest { account_id, consistency };
            let answer = client.get_account(request(query, within)).await?.into_inner();
            let account = answer.account.ok_or_else(|| Status::data_loss("no account"))?;
            Ok((answer.read, Found::Account(answers::seen(&account))))
        }
        6..8 => {
            let account_ids = (0..EURO_ACCOUNTS).map(mix::euro_account).collect();
            let query = read::BatchGetBalancesRequest { account_ids, consistency };
            let answer = client.batch_get_balances(request(query, within)).await?.into_inner();
            let balances = answer.balances.into_iter();
            let balances = balances.map(|b| {
                let balance = units(&b.balance);
                (b.account_id, b.version, balance)
            });
            Ok((answer.read, Found::Balances(balances.collect())))
        }
        _ => {
            let owner_id = OWNER.to_owned();
            let query = read::ListAccountsRequest { owner_id, consistency, ..Default::default() };
            let answer = client.list_accounts(request(query, within)).await?.into_inner();
            let accounts = answer.accounts.iter().map(answers::seen).collect();
            Ok((answer.read, Found::OfOwner(accounts)))
        }
    }
}

fn request<T>(message: T, within: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(within);
    request
}

/// Version and balance after it.
fn entry(line: &Transaction) -> (i64, i64) {
    (line.version, units(&line.balance_after))
}

fn units(money: &Option<Money>) -> i64 {
    money.as_ref().map_or(i64::MIN, |money| money.minor_units)
}

/// Shard and position, as in a transaction's id.
fn place(transaction_id: &str) -> Option<(i16, i64)> {
    let (shard, position) = transaction_id.split_once('-')?;
    Some((shard.parse().ok()?, position.parse().ok()?))
}

fn no_token() -> AsOf {
    AsOf { log_id: uuid::Uuid::nil(), positions: [].into() }
}

fn told(answer: Answered, account: &str) -> ReadAnswer {
    match answer {
        Ok((metadata, found)) => {
            let metadata = metadata.unwrap_or_default();
            let staleness = metadata.staleness.and_then(|staleness| staleness.try_into().ok());
            let as_of = answers::token(&metadata.as_of).unwrap_or_else(no_token);
            ReadAnswer::Found { as_of, staleness, found }
        }
        Err(status) if status.code() == Code::NotFound => {
            let metadata = error_details::metadata(&status);
            let as_of = metadata.get("as_of").and_then(|text| answers::token(text));
            if let Some(place) = metadata.get("transaction_id").and_then(|id| place(id)) {
                return ReadAnswer::NoTransaction { place, as_of };
            }
            // Of several that were asked for, it says which.
            let account = metadata.get("account_id").map_or(account, String::as_str).to_owned();
            ReadAnswer::Missing { account, as_of }
        }
        Err(status) => {
            let (code, reason) = (format!("{:?}", status.code()), answers::reason(&status));
            ReadAnswer::Failed { code, reason }
        }
    }
}
