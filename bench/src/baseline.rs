//! What one would write instead, in a database of its own.

use anyhow::Context;
use ledger::ShardCount;

use crate::{
    fill::Filler,
    servers::{Servers, connect},
};

const SCHEMA: &str = include_str!("../sql/baseline.sql");

const CQRS_ES_SCHEMA: &str = include_str!("../sql/cqrs_es.sql");

/// Versions that one run may use of one account.
const VERSIONS_PER_RUN: i64 = 1_000_000;

/// A database with a table of events, and one of balances.
pub(crate) struct Baseline {
    pub(crate) url: String,
    next_version: i64,
}

impl Baseline {
    /// Makes one with as many rows as a log with so many accounts and further events begins with.
    pub(crate) async fn create(
        servers: &Servers,
        accounts: u32,
        events: u32,
    ) -> anyhow::Result<Self> {
        let url = servers.create_database().await?;
        let connection = connect(&url).await?;
        let statements = format!(
            "{SCHEMA}
             CREATE FUNCTION request_id(generation text, n int) RETURNS uuid LANGUAGE sql
             RETURN ('0190163d-8694-700' || generation || '-8000-' || lpad(to_hex(n), 12, '0'))::uuid;
             INSERT INTO events (shard, account, event_type, version, balance, status, account_id, currency, request_id)
             SELECT 0, n, 1, 1, 0, 1, 'a' || lpad((n - 1)::text, 8, '0'), 'EUR', request_id('1', n)
             FROM generate_series(1, {accounts}) n;
             INSERT INTO events (shard, account, event_type, version, balance, status, amount, request_id)
             SELECT 0, n, 2, 2, 1000000000, 1, 1000000000, request_id('2', n) FROM generate_series(1, {accounts}) n;
             INSERT INTO events (shard, account, event_type, version, balance, status, amount, request_id, reference)
             SELECT 0, 1 + floor(random() * {accounts})::int, 2, 2 + n, 1, 1, 1, request_id('3', n), 'incoming transfer'
             FROM generate_series(1, {events}) n;
             INSERT INTO accounts SELECT n, 2, 1000000000 FROM generate_series(1, {accounts}) n;
             ANALYZE;"
        );
        connection.client.batch_execute(&statements).await.context("make a baseline's tables")?;
        Ok(Self { url, next_version: 3 + i64::from(events) })
    }

    /// Makes one for cqrs-es, with the same accounts.
    pub(crate) async fn create_cqrs_es(servers: &Servers, accounts: u32) -> anyhow::Result<Self> {
        let url = servers.create_database().await?;
        let connection = connect(&url).await?;
        let statements = format!(
            r#"{CQRS_ES_SCHEMA}
             INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
             SELECT 'account', 'a' || lpad((n - 1)::text, 8, '0'), e.sequence, e.event_type, '1.0', e.payload::json, '{{}}'
             FROM generate_series(1, {accounts}) n,
             (VALUES (1, 'AccountOpened', '{{"AccountOpened":{{"currency":"EUR"}}}}'),
                     (2, 'MoneyDeposited', '{{"MoneyDeposited":{{"amount":1000000000,"balance":1000000000,'
                         '"request_id":"0190163d-8694-739b-88c3-d2f37f4c8f01","reference":"","counterparty":""}}}}')
             ) e (sequence, event_type, payload);
             ANALYZE;"#
        );
        connection.client.batch_execute(&statements).await.context("make the tables of cqrs-es")?;
        Ok(Self { url, next_version: 3 })
    }

    /// Makes a log with as much in it, to be appended to without services.
    pub(crate) async fn create_log(
        servers: &Servers,
        accounts: u32,
        events: u32,
    ) -> anyhow::Result<Self> {
        let url = servers.create_database().await?;
        let mut filler = Filler::create(&url, ShardCount::ONE).await?;
        filler.open_accounts(accounts).await?;
        filler.fund_accounts().await?;
        filler.deposit_uniformly(events).await?;
        Ok(Self { url, next_version: 3 + i64::from(events) })
    }

    /// A version that no event of any account has, for one run.
    pub(crate) fn versions(&mut self) -> i64 {
        let first = self.next_version;
        self.next_version += VERSIONS_PER_RUN;
        first
    }
}
