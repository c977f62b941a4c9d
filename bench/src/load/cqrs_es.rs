//! The same deposit through cqrs-es with postgres-es, as its guide sets it up: the account's events are loaded, folded, and
//! one more is stored.

use std::sync::Arc;

use anyhow::Context;
use cqrs_es::{Aggregate, AggregateError, DomainEvent, event_sink::EventSink};
use postgres_es::{PostgresCqrs, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use super::{
    account::{Dice, account_id},
    job::{Job, LoadResult},
    pace::{self, Caller},
    texts::Texts,
};

/// Largest amount of a benchmark's command.
const AMOUNT_MAX: u32 = 1000;

/// Does the job with a connection for every caller.
pub(super) async fn run(job: &Job, url: &str, accounts: u32) -> anyhow::Result<LoadResult> {
    let connections = job.pace.callers();
    let pool = PgPoolOptions::new().max_connections(connections).min_connections(connections);
    let pool = pool.connect(url).await.context("connect to Postgres")?;
    let bank = Arc::new(postgres_cqrs::<Account>(pool, Vec::new(), ()));
    let texts = Arc::new(Texts::of_statements()?);
    let callers = (0..connections).map(|_| Depositor {
        bank: bank.clone(),
        texts: texts.clone(),
        dice: Dice::new(),
        accounts,
    });
    pace::run(job, callers.collect()).await
}

struct Depositor {
    bank: Arc<PostgresCqrs<Account>>,
    texts: Arc<Texts>,
    dice: Dice,
    accounts: u32,
}

impl Caller for Depositor {
    async fn call(&mut self) -> anyhow::Result<u64> {
        let account = account_id(self.dice.roll(self.accounts));
        let text = self.texts.get(self.dice.roll(u32::MAX));
        let entry = Entry {
            amount: i64::from(self.dice.roll(AMOUNT_MAX)) + 1,
            request_id: Uuid::now_v7(),
            reference: text.reference.clone(),
            counterparty: text.counterparty.clone(),
        };
        loop {
            match self.bank.execute(&account, entry.clone()).await {
                Ok(()) => return Ok(1),
                Err(AggregateError::AggregateConflict) => {} // another deposit was faster
                Err(error) => return Err(error).context("deposit through cqrs-es"),
            }
        }
    }
}

/// The command is what the event says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    amount: i64,
    request_id: Uuid,
    reference: String,
    counterparty: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Event {
    AccountOpened {
        currency: String,
    },
    MoneyDeposited {
        #[serde(flatten)]
        entry: Entry,
        balance: i64,
    },
}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        match self {
            Self::AccountOpened { .. } => "AccountOpened".to_owned(),
            Self::MoneyDeposited { .. } => "MoneyDeposited".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    is_open: bool,
    balance: i64,
}

#[derive(Debug, thiserror::Error)]
#[error("the account is not open, or would hold too much")]
struct Refused;

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Entry;
    type Event = Event;
    type Error = Refused;
    type Services = ();

    async fn handle(
        &mut self,
        entry: Entry,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refused> {
        let balance = self.balance.checked_add(entry.amount).filter(|_| self.is_open);
        let balance = balance.ok_or(Refused)?;
        sink.write(Event::MoneyDeposited { entry, balance }, self).await;
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::AccountOpened { .. } => self.is_open = true,
            Event::MoneyDeposited { balance, .. } => self.balance = balance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_the_schema_can_be_read() {
        let opened = r#"{"AccountOpened":{"currency":"EUR"}}"#;
        let deposited = r#"{"MoneyDeposited":{"amount":5,"balance":5,
            "request_id":"0190163d-8694-739b-88c3-d2f37f4c8f01","reference":"","counterparty":""}}"#;
        let mut account = Account::default();
        for event in [opened, deposited] {
            account.apply(serde_json::from_str(event).unwrap());
        }
        assert!(account.is_open && account.balance == 5);
    }
}
