//! Clients that move money, retry what they must, and write down how every command ended.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use proto::{types::Money, write};
use tokio::{sync::Mutex, time::Instant};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{Clients, System};

/// How a command ended, as its caller knows it in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Acknowledged, with its place in the log and the token.
    Applied {
        /// Place of its first event.
        position: i64,
        /// What a read has to give back.
        token: String,
    },
    /// Refused by the rules: the reason.
    Refused(String),
    /// Still unknown when its caller gave up.
    Unknown,
}

/// One command.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its id.
    pub request_id: Uuid,
    /// How much it would move.
    pub amount: i64,
    /// How it ended.
    pub ended: Ended,
    /// How often it was sent.
    pub tries: u32,
}

/// Everything that clients did.
pub type History = Arc<Mutex<Vec<Call>>>;

/// A source of numbers that is the same for the same seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice for a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// The name of an account.
#[must_use]
pub fn account(number: u64) -> String {
    format!("account-{number}")
}

/// Whole euros and cents.
#[must_use]
pub fn euros(minor_units: i64) -> Option<Money> {
    Some(Money { currency_code: "EUR".into(), minor_units, display: String::new() })
}

/// Opens accounts with 100 euros in each.
pub async fn open_accounts(system: &System, accounts: u64) {
    for number in 0..accounts {
        let open = write::OpenAccountRequest {
            request_id: Uuid::now_v7().to_string(),
            account_id: account(number),
            owner_id: "owner".into(),
            currency_code: "EUR".into(),
            ..Default::default()
        };
        system.write_client(0).open_account(open).await.unwrap();
        let deposit = write::DepositRequest {
            request_id: Uuid::now_v7().to_string(),
            account_id: account(number),
            amount: euros(10_000),
            ..Default::default()
        };
        system.write_client(0).deposit(deposit).await.unwrap();
    }
}

/// Lets `clients` send commands one after another until `stop`, each to a write service of its own choice.
pub async fn run(system: &Clients, clients: u64, accounts: u64, stop: Instant) -> History {
    let history = History::default();
    let all = (0..clients).map(|number| {
        client(system, Dice::new(number + 1), number, accounts, stop, history.clone())
    });
    join_all(all).await;
    history
}

async fn client(
    system: &Clients,
    mut dice: Dice,
    number: u64,
    accounts: u64,
    stop: Instant,
    history: History,
) {
    let mut writer = usize::try_from(number).unwrap();
    while Instant::now() < stop {
        // Also one that was away comes to be used again.
        writer += usize::try_from(dice.roll(2)).unwrap();
        let command = Command::random(&mut dice, accounts);
        let mut tries = 0;
        // A caller that does not know asks again, under the same id and wherever somebody answers.
        let ended = loop {
            tries += 1;
            match command.send(system, writer).await {
                Ok(metadata) => {
                    let write::WriteMetadata { position, consistency_token: token, .. } = metadata;
                    break Ended::Applied { position, token };
                }
                Err(status) => match judge(&status) {
                    Some(ended) => break ended,
                    None if Instant::now() > stop + Duration::from_secs(30) => {
                        break Ended::Unknown;
                    }
                    None => {
                        writer += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                },
            }
        };
        history.lock().await.push(Call {
            request_id: command.request_id,
            amount: command.amount,
            ended,
            tries,
        });
    }
}

/// What an error says for good; `None` when the caller has to ask again.
fn judge(status: &Status) -> Option<Ended> {
    let reason = service_kit::error_details::reason(status).unwrap_or_default();
    match status.code() {
        Code::FailedPrecondition | Code::NotFound | Code::Aborted => Some(Ended::Refused(reason)),
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => {
            None
        }
        // What the transport itself makes of a connection that breaks in the middle of an answer.
        Code::Unknown | Code::Internal if reason.is_empty() => None,
        code => panic!("{code:?} {reason}: {}", status.message()),
    }
}

struct Command {
    request_id: Uuid,
    amount: i64,
    from: String,
    to: Option<String>,
    deposit: bool,
}

impl Command {
    /// One in three is a deposit, one a withdrawal, one a transfer; some are more than the account has.
    fn random(dice: &mut Dice, accounts: u64) -> Self {
        let (from, other) = (dice.roll(accounts), dice.roll(accounts - 1));
        let to = if other < from { other } else { other + 1 };
        let kind = dice.roll(3);
        Self {
            request_id: Uuid::now_v7(),
            amount: i64::try_from(dice.roll(6_000)).unwrap() + 1,
            from: account(from),
            to: (kind == 2).then(|| account(to)),
            deposit: kind == 0,
        }
    }

    async fn send(&self, system: &Clients, writer: usize) -> Result<write::WriteMetadata, Status> {
        let mut client = system.write(writer);
        let (request_id, amount) = (self.request_id.to_string(), euros(self.amount));
        let timeout = Duration::from_secs(10);
        let metadata = if let Some(to) = &self.to {
            let mut request = tonic::Request::new(write::TransferRequest {
                request_id,
                source_account_id: self.from.clone(),
                destination_account_id: to.clone(),
                amount,
                ..Default::default()
            });
            request.set_timeout(timeout);
            client.transfer(request).await?.into_inner().write
        } else if self.deposit {
            let account_id = self.from.clone();
            let mut request = tonic::Request::new(write::DepositRequest {
                request_id,
                account_id,
                amount,
                ..Default::default()
            });
            request.set_timeout(timeout);
            client.deposit(request).await?.into_inner().write
        } else {
            let account_id = self.from.clone();
            let mut request = tonic::Request::new(write::WithdrawRequest {
                request_id,
                account_id,
                amount,
                ..Default::default()
            });
            request.set_timeout(timeout);
            client.withdraw(request).await?.into_inner().write
        };
        Ok(metadata.expect("every answer has it"))
    }
}
