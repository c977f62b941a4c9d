//! What a load generator is told, and what it tells.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One run of a load generator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    /// What to do.
    pub(crate) work: Work,
    /// How often.
    pub(crate) pace: Pace,
    /// Before anything is counted.
    pub(crate) warm_up: Duration,
    /// While everything is counted.
    pub(crate) time: Duration,
}

/// When the next call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// So many callers, each sending its next call when the one before is answered.
    Closed {
        /// How many.
        callers: u32,
    },
    /// At a fixed rate, whether or not the calls before are answered.
    Open {
        /// The rate.
        per_second: u32,
        /// Calls under way at once; one that finds none free waits, and its waiting counts.
        callers: u32,
    },
}

impl Pace {
    pub(crate) fn callers(self) -> u32 {
        match self {
            Self::Closed { callers } | Self::Open { callers, .. } => callers,
        }
    }
}

/// What is called.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Deposits on accounts picked uniformly.
    Deposit {
        /// Write services; callers are spread evenly over them.
        addrs: Vec<String>,
        /// The lowest account number.
        first: u32,
        /// How many accounts.
        accounts: u32,
        /// Where to watch the read model follow, if lag is to be measured.
        watch: Option<Watch>,
    },
    /// Deposits over one stream.
    Stream {
        /// The write service.
        addr: String,
        /// How many accounts.
        accounts: u32,
        /// Commands sent and not yet answered.
        outstanding: u32,
    },
    /// Deposits by callers who ask again when there is no room for them.
    Insist {
        /// The write service.
        addr: String,
        /// How many accounts.
        accounts: u32,
    },
    /// Transfers between accounts picked uniformly.
    Transfer {
        /// The write service.
        addr: String,
        /// How many accounts.
        accounts: u32,
    },
    /// Balances of accounts picked uniformly.
    GetBalance {
        /// The read service.
        addr: String,
        /// The lowest account number.
        first: u32,
        /// How many accounts.
        accounts: u32,
    },
    /// Many balances with each call.
    BatchGetBalances {
        /// The read service.
        addr: String,
        /// How many accounts.
        accounts: u32,
        /// Balances per call.
        batch: u32,
    },
    /// A deposit, and then the balance with the deposit's token.
    ReadOwnWrite {
        /// The write service.
        write_addr: String,
        /// The read service.
        read_addr: String,
        /// How many accounts.
        accounts: u32,
    },
    /// Something without Counterfoil.
    Baseline(BaselineWork),
    /// Appends to a log without services.
    Append(AppendWork),
    /// Deposits through cqrs-es.
    CqrsEs {
        /// The database.
        url: String,
        /// How many accounts.
        accounts: u32,
    },
    /// HMGET through one multiplexed connection.
    Redis {
        /// The server.
        url: String,
        /// How many hashes there are.
        keys: u32,
    },
}

/// Where commits of the read model are announced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// The server.
    pub(crate) redis_url: String,
    /// What its keys begin with.
    pub(crate) key_prefix: String,
}

/// What is done with Postgres alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BaselineWork {
    /// What.
    pub(crate) kind: BaselineKind,
    /// The database.
    pub(crate) url: String,
    /// How many accounts, by number from 0.
    pub(crate) accounts: u32,
    /// The lowest version that no event has yet.
    pub(crate) first_version: i64,
}

/// What is appended without services.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AppendWork {
    /// The database, with a log of one shard.
    pub(crate) url: String,
    /// How many accounts it has.
    pub(crate) accounts: u32,
    /// The lowest version that no event has yet.
    pub(crate) first_version: i64,
    /// Rows per append.
    pub(crate) rows: u32,
}

/// The kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum BaselineKind {
    /// One event row per transaction.
    Insert,
    /// The same with a notification.
    InsertNotify,
    /// Entry and balance in one transaction of four statements, as it is usually written.
    Classic,
    /// The same as one statement.
    ClassicStatement,
    /// The balance from its row.
    Row,
    /// The balance as the sum of the account's entries.
    Sum,
}

/// What a load generator measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct LoadResult {
    /// Operations answered while everything was counted.
    pub(crate) operations: u64,
    /// For how long that was.
    pub(crate) seconds: f64,
    /// Operations answered from the very beginning.
    pub(crate) operations_in_all: u64,
    /// How long calls took.
    pub(crate) latency: Latency,
    /// What this process used, without its start.
    pub(crate) cpu_seconds: f64,
    /// By account number, what acknowledged commands have moved in all.
    pub(crate) acknowledged: Vec<(u32, i64)>,
    /// Per second of the run, how long calls took: to see whether it grows.
    pub(crate) by_second: Vec<(f64, f64)>,
    /// How the read model followed, if that was watched.
    pub(crate) lags: Option<Lags>,
    /// What there was no room for, if callers asked again.
    pub(crate) shed: Option<Shed>,
}

impl LoadResult {
    /// Operations per second.
    #[allow(clippy::cast_precision_loss, reason = "a count of operations is small")]
    pub(crate) fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds
    }
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// The median.
    pub(crate) p50: f64,
    /// One in ten takes longer.
    pub(crate) p90: f64,
    /// One in a hundred.
    pub(crate) p99: f64,
    /// One in a thousand.
    pub(crate) p999: f64,
    /// The longest.
    pub(crate) max: f64,
    /// For a picture: percentile and latency.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// Calls for which there was no room, and those for which there was.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Shed {
    /// How many were refused.
    pub(crate) count: u64,
    /// How long that took.
    pub(crate) latency: Latency,
    /// How long the others took.
    pub(crate) accepted: Latency,
}

/// From a command's acknowledgement to the moment a query sees it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Lags {
    /// Over the whole run.
    pub(crate) all: Latency,
    /// Median and 99th percentile of each second.
    pub(crate) by_second: Vec<(f64, f64)>,
}
