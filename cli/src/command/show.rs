//! `counterfoil show`

use anyhow::Context;
use clap::Args;
use event_store::{LoadedAccount, WriterReads};
use ledger::{AccountId, Currency, Status};
use proto::{
    read::{GetAccountRequest, read_service_client::ReadServiceClient},
    types::{Account, AccountStatus},
};
use read_model::{AccountView, Reader};
use tonic::Code;

use crate::{
    call::channel,
    failure::{Failure, REFUSED, Refusal},
    output::{Table, enum_word, minor_units, out, time},
    settings::{LogDatabase, ReadAddr, ReadModelStore},
};

/// Shows an account as the log, as Redis and as the read service have it, side by side.
///
/// Ends with 1 if the account is nowhere, or if they say different things of the same version.
#[derive(Args)]
pub(crate) struct Show {
    /// The account
    account: String,
    #[command(flatten)]
    log: LogDatabase,
    #[command(flatten)]
    store: ReadModelStore,
    #[command(flatten)]
    read_addr: ReadAddr,
}

/// What is compared, in this order.
const LABELS: [&str; 10] = [
    "version",
    "status",
    "balance",
    "held",
    "overdraft limit",
    "currency",
    "owner",
    "labels",
    "opened",
    "number in shard",
];

/// One column: as many values as there are labels, or why there are none.
type Column = Result<[String; LABELS.len()], String>;

impl Show {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let id = AccountId::new(&self.account).map_err(Failure::usage)?;
        // The log last: whatever the others include is in it by then, so only they can be behind.
        let served = self.served().await?;
        let stored = self.stored(&id).await?;
        let logged = self.logged(&id).await?;
        let mut table = Table::new(&["", "log", "Redis", "read service", ""]);
        let mut differences = 0;
        for (index, label) in LABELS.iter().enumerate() {
            let cell = |column: &Column| match column {
                Ok(values) => values[index].clone(),
                Err(why) => {
                    if index == 0 {
                        why.clone()
                    } else {
                        String::new()
                    }
                }
            };
            let cells = [&logged, &stored, &served].map(cell);
            // A service does not say the number, and a column that is not there says nothing.
            let said: Vec<&String> = cells.iter().filter(|cell| !cell.is_empty()).collect();
            let differs = said.windows(2).any(|two| two[0] != two[1]);
            differences += usize::from(differs);
            let mark = if differs { "<- differs" } else { "" };
            let [log, redis, service] = cells;
            table.row([(*label).to_owned(), log, redis, service, mark.to_owned()]);
        }
        out!("{table}");
        let version = |column: &Column| column.as_ref().ok().map(|values| values[0].clone());
        let versions = [version(&logged), version(&stored), version(&served)];
        if versions.iter().all(Option::is_none) {
            return Err(Failure::reported(REFUSED));
        }
        if differences == 0 {
            return Ok(());
        }
        if versions[0] != versions[1] || versions[0] != versions[2] {
            out!(
                "\nThey are not at the same version: look again in a moment, and see `counterfoil status`.\n"
            );
        }
        Err(Failure::reported(REFUSED))
    }

    async fn logged(&self, id: &AccountId) -> Result<Column, Failure> {
        let url = self.log.get()?;
        let reads = WriterReads::connect(url.expose(), "counterfoil-show").await;
        let reads = reads.map_err(Failure::other)?;
        let identity = reads.log().identity().await.map_err(Failure::other)?;
        let shard = id.shard(identity.shards);
        let (_, accounts) =
            reads.load(shard, std::slice::from_ref(id)).await.map_err(Failure::other)?;
        let account = accounts.into_iter().next();
        Ok(account.map(|account| of_log(&account)).ok_or_else(|| "not there".to_owned()))
    }

    async fn stored(&self, id: &AccountId) -> Result<Column, Failure> {
        let reader = Reader::connect(&self.store.config()?).await.map_err(Failure::other)?;
        let Some(log) = reader.log().await.map_err(Failure::other)? else {
            return Ok(Err("nothing there".to_owned()));
        };
        let shard = id.shard(log.shards);
        Ok(match reader.accounts(shard, std::slice::from_ref(id)).await {
            Ok(found) => {
                let account = found.value.into_iter().next().flatten();
                account.map(|account| of_redis(&account)).ok_or_else(|| "not there".to_owned())
            }
            Err(error) => Err(format!("{:#}", anyhow::Error::from(error))),
        })
    }

    async fn served(&self) -> Result<Column, Failure> {
        let mut client = ReadServiceClient::new(channel(&self.read_addr.get())?);
        let request = GetAccountRequest { account_id: self.account.clone(), consistency: None };
        Ok(match client.get_account(request).await {
            Ok(answer) => {
                let account =
                    answer.into_inner().account.context("an answer without an account")?;
                Ok(of_service(&account))
            }
            Err(status) if status.code() == Code::NotFound => Err("not there".to_owned()),
            Err(status) => Err(Refusal::new(&status).name().to_owned()),
        })
    }
}

fn of_log(account: &LoadedAccount) -> [String; LABELS.len()] {
    let LoadedAccount { number, opening, opened_at, state } = account;
    values(opening, state, opened_at.micros(), number.get())
}

fn of_redis(account: &AccountView) -> [String; LABELS.len()] {
    let AccountView { number, opening, opened_at, state, .. } = account;
    values(opening, state, opened_at.micros(), number.get())
}

fn values(
    opening: &ledger::Opening,
    state: &ledger::AccountState,
    opened_at_micros: i64,
    number: i32,
) -> [String; LABELS.len()] {
    let money = |amount| minor_units(amount, opening.currency.as_str());
    let status = match state.status {
        Status::Open => "open",
        Status::Frozen => "frozen",
        Status::Closed => "closed",
    };
    let opened = prost_types::Timestamp {
        seconds: opened_at_micros.div_euclid(1_000_000),
        nanos: i32::try_from(opened_at_micros.rem_euclid(1_000_000) * 1000).unwrap_or_default(),
    };
    [
        state.version.get().to_string(),
        status.to_owned(),
        money(state.balance),
        money(state.held),
        money(state.overdraft_limit),
        opening.currency.to_string(),
        opening.owner_id.as_ref().map(|owner| owner.as_str().to_owned()).unwrap_or_default(),
        labels(&opening.labels),
        time(Some(&opened)),
        number.to_string(),
    ]
}

fn of_service(account: &Account) -> [String; LABELS.len()] {
    let code = &account.currency_code;
    let money = |money: &Option<proto::types::Money>| {
        minor_units(money.as_ref().map_or(0, |money| money.minor_units), code)
    };
    [
        account.version.to_string(),
        enum_word(AccountStatus::as_str_name(&account.status()), "ACCOUNT_STATUS_"),
        money(&account.balance),
        money(&account.held),
        minor_units(account.overdraft_limit, code),
        Currency::new(code).map(|currency| currency.to_string()).unwrap_or_default(),
        account.owner_id.clone(),
        labels(&account.labels),
        time(account.open_time.as_ref()),
        String::new(),
    ]
}

fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}
