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
    read::{self, ReadConsistency, ReadMetadata, read_consistency::Requirement},
    types::Money,
};
use service_kit::error_details;
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status};

use super::{EURO_ACCOUNTS, QUIET_ACCOUNT, RICH_ACCOUNT, YEN_ACCOUNTS, answers, mix};
use crate::{
    dice::Dice,
    history::{AsOf, Found, Freshness, History, Read, ReadAnswer},
    system::Clients,
};

/// Lines of a statement asked for.
const PAGE: i32 = 10;

/// One client, one query after another.
pub(super) struct Reader {
    pub(super) clients: Clients,
    pub(super) history: Arc<History>,
    pub(super) dice: Dice,
    pub(super) stop: Arc<AtomicBool>,
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
            let query = self.ask(clients[reader].clone(), &account, consistency, within);
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

    async fn ask(
        &mut self,
        mut client: read::read_service_client::ReadServiceClient<tonic::transport::Channel>,
        account: &str,
        consistency: Option<ReadConsistency>,
        within: Duration,
    ) -> Answered {
        let account_id = account.to_owned();
        fn request<T>(message: T, within: Duration) -> Request<T> {
            let mut request = Request::new(message);
            request.set_timeout(within);
            request
        }
        match self.dice.roll(10) {
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
            8 => {
                let (page_size, page_token) = (PAGE, String::new());
                let query = read::ListTransactionsRequest {
                    account_id,
                    page_size,
                    page_token,
                    consistency,
                };
                let answer = client.list_transactions(request(query, within)).await?.into_inner();
                let lines = answer.transactions.iter();
                let entries = lines.map(|line| (line.version, units(&line.balance_after)));
                let (account, entries) = (account.to_owned(), entries.collect());
                Ok((answer.read, Found::Statement { account, entries }))
            }
            _ => {
                let query = read::GetTotalsRequest { consistency };
                let answer = client.get_totals(request(query, within)).await?.into_inner();
                let sum = |text: &String| text.parse::<i128>().unwrap_or(i128::MIN);
                let totals = answer.totals.iter().map(|t| {
                    let sums = [&t.deposits, &t.withdrawals, &t.balances, &t.in_transit].map(sum);
                    (t.currency_code.clone(), t.account_count, sums)
                });
                Ok((answer.read, Found::Totals(totals.collect())))
            }
        }
    }
}

fn units(money: &Option<Money>) -> i64 {
    money.as_ref().map_or(i64::MIN, |money| money.minor_units)
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
