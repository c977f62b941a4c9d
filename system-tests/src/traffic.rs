//! Clients: they send every kind of command in every way there is, ask again when they must, sometimes long after, and read.

mod answers;
mod flood;
mod mix;
mod reading;
mod requests;
mod sender;
mod writing;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};

pub(crate) use flood::{Idlers, flood};
pub(crate) use mix::own_owner;
pub(crate) use sender::Sender;

use crate::{
    dice::Dice,
    history::{Call, Ending, History, Moment, Work},
    model::{Command, Doing, Sum},
    system::Clients,
};

/// Accounts in euros that everybody uses.
const EURO_ACCOUNTS: u64 = 12;
/// Accounts in another currency.
const YEN_ACCOUNTS: u64 = 2;
/// What each is opened with.
const FIRST_DEPOSIT: i64 = 10_000;
/// More than a floating-point number can count one by one: whatever takes an amount for one changes this balance.
const RICH_DEPOSIT: i64 = 90_000_000_000_000_001;

/// What nobody knows for certain is asked for once more when everything works again and nothing was sent for so long.
pub(crate) const QUIET: Duration = Duration::from_secs(2);

/// Calls by which everybody together asks in the end for what is not known yet.
const SETTLING_CALLS: usize = 64;

/// An account that nobody writes to once it is open.
pub(crate) const QUIET_ACCOUNT: &str = "quiet";
/// An account with very much money.
pub(crate) const RICH_ACCOUNT: &str = "rich";
/// Who has the accounts that everybody uses.
pub(crate) const OWNER: &str = "owner";
/// Whether an account is one of those that are opened at first, for [`OWNER`].
pub(crate) fn is_everybodys(account: &str) -> bool {
    !account.starts_with("new-")
}

/// The account that recoveries are measured with.
pub(crate) const PROBE_ACCOUNT: &str = "probe";

/// How clients behave; may be changed while they run.
#[derive(Debug)]
pub(crate) struct Manners {
    /// How many calls of a hundred are sent to two services at once.
    pub(crate) hedged: AtomicU64,
    /// How many are given up by their callers within milliseconds.
    pub(crate) cancelled: AtomicU64,
    /// How many that are decided are sent again later.
    pub(crate) repeated: AtomicU64,
}

impl Default for Manners {
    fn default() -> Self {
        Self { hedged: 3.into(), cancelled: 3.into(), repeated: 5.into() }
    }
}

/// What clients did that is not plain.
#[derive(Debug, Default)]
pub(crate) struct Mischief {
    /// Calls that two services answered.
    pub(crate) hedged: AtomicU64,
    /// Calls that were given up after they were sent.
    pub(crate) cancelled: AtomicU64,
    /// Repetitions that were answered from what is stored.
    pub(crate) replayed: AtomicU64,
}

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) history: Arc<History>,
    pub(crate) manners: Arc<Manners>,
    pub(crate) mischief: Arc<Mischief>,
    stop: Arc<AtomicBool>,
    /// Writers give back calls whose outcome they do not know yet.
    writers: JoinSet<(Sender, Vec<Call>)>,
    readers: JoinSet<()>,
}

impl Traffic {
    /// Opens the accounts.
    pub(crate) async fn prepare(clients: &Clients, history: &Arc<History>) {
        let sender = Sender::new(clients, history.clone());
        let euros = (0..EURO_ACCOUNTS).map(|number| (mix::euro_account(number), "EUR"));
        let yen = (0..YEN_ACCOUNTS).map(|number| (mix::yen_account(number), "JPY"));
        let others = [QUIET_ACCOUNT, RICH_ACCOUNT, PROBE_ACCOUNT];
        let others = others.map(|name| (name.to_owned(), "EUR"));
        for (account, currency) in euros.chain(yen).chain(others) {
            let (owner, currency) = (OWNER.to_owned(), currency.to_owned());
            let amount = if account == RICH_ACCOUNT { RICH_DEPOSIT } else { FIRST_DEPOSIT };
            let sum = Sum { currency: currency.clone(), amount };
            for doing in [Doing::Open { owner, currency, limit: 0 }, Doing::Deposit(sum)] {
                let command = Command { account: account.clone(), doing, expected_version: None };
                let mut call = Call::new(mix::request_id(), Work::One(command));
                sender.until_resolved(&mut call, 0, Duration::from_secs(30)).await;
                history.add(call);
            }
        }
    }

    /// Starts clients that write and clients that read.
    pub(crate) fn start(
        clients: &Clients,
        history: Arc<History>,
        dice: &Dice,
        (writers, readers): (u64, u64),
    ) -> Self {
        let mut traffic = Self {
            history,
            manners: Arc::default(),
            mischief: Arc::default(),
            stop: Arc::default(),
            writers: JoinSet::new(),
            readers: JoinSet::new(),
        };
        for number in 0..writers {
            let is_customer = clients.controls_access() && number % 2 == 1;
            let clients = if is_customer { clients.of_customer(number) } else { clients.clone() };
            let client = writing::Writer {
                knowledge: mix::Knowledge::of(number, is_customer),
                sender: Sender::new(&clients, traffic.history.clone()),
                dice: dice.of(1000 + number),
                manners: traffic.manners.clone(),
                mischief: traffic.mischief.clone(),
                stop: traffic.stop.clone(),
            };
            traffic.writers.spawn(client.run());
        }
        for number in 0..readers {
            let client = reading::Reader {
                clients: clients.clone(),
                history: traffic.history.clone(),
                dice: dice.of(2000 + number),
                stop: traffic.stop.clone(),
                seen: None,
            };
            traffic.readers.spawn(client.run());
        }
        traffic
    }

    /// Lets everybody finish, and asks until every outcome is known or `patience`, which is for all of them together, ends.
    pub(crate) async fn settle(mut self, patience: Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let mut open = Vec::new();
        while let Some(left) = self.writers.join_next().await {
            let (sender, calls) = left.unwrap();
            open.extend(calls.into_iter().map(|call| (sender.clone(), call)));
        }
        let until = self.history.now() + patience;
        let is_undecided = |(_, call): &(Sender, Call)| call.ending() == Ending::Undecided;
        let (undecided, open): (Vec<_>, Vec<_>) = open.into_iter().partition(is_undecided);
        self.resolve_all(open, until).await;
        if !undecided.is_empty() {
            sleep(QUIET).await;
            self.resolve_all(undecided, until).await;
        }
        while let Some(ended) = self.readers.join_next().await {
            ended.unwrap();
        }
    }

    async fn resolve_all(&self, open: Vec<(Sender, Call)>, until: Moment) {
        let mut settling = JoinSet::new();
        for (number, (sender, mut call)) in open.into_iter().enumerate() {
            settling.spawn(async move {
                let patience = until.saturating_sub(sender.history.now());
                sender.ask_again(&mut call, number, patience).await;
                sender.history.add(call);
            });
            if settling.len() >= SETTLING_CALLS
                && let Some(settled) = settling.join_next().await
            {
                settled.unwrap();
            }
        }
        while let Some(settled) = settling.join_next().await {
            settled.unwrap();
        }
    }
}
