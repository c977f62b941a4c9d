//! The rows of the matrix.

use std::path::PathBuf;

use super::fault::Fault;
use crate::preload::Library;

/// A row of the matrix of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub(crate) number: u32,
    /// What is done.
    pub(crate) title: &'static str,
    pub(crate) plan: Plan,
}

/// How a row is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Plan {
    /// These, one after another, in an order that the seed rolls.
    OneByOne(&'static [Fault]),
    /// These, several at once.
    Together(&'static [Fault]),
    /// The log itself is damaged, and everything has to stop.
    DamagedLog(Damage),
}

/// What is done to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damage {
    /// An event of a later version, as a newer binary would write it.
    Unreadable,
    /// An older backup takes its place, or rows are edited or deleted.
    Edited,
}

use Fault as F;

/// The order puts what takes long to heal next to what does not.
const EACH: &[Fault] = &[
    F::TerminateWriter,
    F::KillWriter,
    F::KillProjector,
    F::KillReader,
    F::LoseCommitReply,
    F::CutWaitingAppend,
    F::Retries,
    F::RaceWriters,
    F::Overload,
    F::PauseWriter,
    F::PauseProjector,
    F::PauseReader,
    F::PausePostgres,
    F::PauseRedis,
    F::ResetLink,
    F::SlowLink,
    F::TricklingLink,
    F::HalfBlackHole,
    F::BlackHole,
    F::CutBell,
    F::MuteBell,
    F::KillBackend,
    F::RestartPostgres,
    F::StopPostgresAtOnce,
    F::KillPostgres,
    #[cfg(target_os = "linux")]
    F::FullDisk,
    F::EditBalance,
    F::DeleteKey,
    F::Rebuild,
    F::MoreProjectors,
    F::RedisOutOfMemory,
    F::RestoreRedis,
    F::PromoteReplica,
    F::DeleteCheckpoint,
    F::FlushRedis,
    F::KillRedis,
];
const LINKS: &[Fault] =
    &[F::ResetLink, F::BlackHole, F::HalfBlackHole, F::SlowLink, F::TricklingLink];

/// What can be done together. A Redis that was edited by hand is not among them: what readers see until the sweep has found it is
/// judged where nothing else happens. Nor are clocks, which prove nothing about staleness while they are wrong, and floods of
/// commands, which would be most of a run. A Redis restored from an older copy is a stale replica to everybody else.
const EVERYTHING: &[Fault] = &[
    F::TerminateWriter,
    F::KillWriter,
    F::KillWriter,
    F::KillProjector,
    F::KillProjector,
    F::KillReader,
    F::PauseWriter,
    F::PauseProjector,
    F::PauseReader,
    F::PausePostgres,
    F::PauseRedis,
    F::RestartPostgres,
    F::StopPostgresAtOnce,
    F::KillPostgres,
    F::KillBackend,
    F::CutBell,
    F::LoseCommitReply,
    F::LoseCommitReply,
    F::CutWaitingAppend,
    F::ResetLink,
    F::BlackHole,
    F::HalfBlackHole,
    F::SlowLink,
    F::TricklingLink,
    F::KillRedis,
    F::FlushRedis,
    F::DeleteCheckpoint,
    F::Rebuild,
    F::Retries,
    F::RaceWriters,
    F::MoreProjectors,
    F::MuteBell,
    F::RedisOutOfMemory,
    F::PromoteReplica,
    #[cfg(target_os = "linux")]
    F::FullDisk,
];

const ROWS: [(u32, &str, Plan); 22] = [
    (1, "kill -9 write-service", Plan::OneByOne(&[F::KillWriter])),
    (2, "kill -9 projector", Plan::OneByOne(&[F::KillProjector])),
    (3, "kill -9 read-service", Plan::OneByOne(&[F::KillReader])),
    (
        4,
        "SIGSTOP, then SIGCONT",
        Plan::OneByOne(&[
            F::PauseWriter,
            F::PauseProjector,
            F::PauseReader,
            F::PausePostgres,
            F::PauseRedis,
        ]),
    ),
    (
        5,
        "Postgres restarted, stopped at once, killed, one backend killed",
        Plan::OneByOne(&[
            F::RestartPostgres,
            F::StopPostgresAtOnce,
            F::KillPostgres,
            F::KillBackend,
        ]),
    ),
    (6, "listeners cut, notifications off", Plan::OneByOne(&[F::CutBell, F::MuteBell])),
    (
        7,
        "the commit's reply lost, an append cut off while it waits",
        Plan::OneByOne(&[F::LoseCommitReply, F::CutWaitingAppend]),
    ),
    (8, "links: reset, black hole, slow, byte by byte", Plan::OneByOne(LINKS)),
    (9, "Redis killed, with and without persistence", Plan::OneByOne(&[F::KillRedis])),
    (
        10,
        "Redis flushed, keys deleted, a balance edited",
        Plan::OneByOne(&[F::FlushRedis, F::DeleteKey, F::DeleteCheckpoint, F::EditBalance]),
    ),
    (
        11,
        "Redis restored from an older snapshot, a stale replica promoted",
        Plan::OneByOne(&[F::RestoreRedis, F::PromoteReplica]),
    ),
    (12, "more projectors, a zombie", Plan::OneByOne(&[F::MoreProjectors, F::PauseProjector])),
    (13, "a rebuild, with kills", Plan::OneByOne(&[F::Rebuild])),
    (
        14,
        "Postgres out of disk, Redis out of memory",
        Plan::OneByOne(&[F::FullDisk, F::RedisOutOfMemory]),
    ),
    (15, "clocks set by an hour or a day, ahead and back", Plan::OneByOne(&[F::SetClock])),
    (16, "retries: duplicate, delayed, hedged; cancels", Plan::OneByOne(&[F::Retries])),
    (17, "an event that cannot be decoded", Plan::DamagedLog(Damage::Unreadable)),
    (18, "an older backup of the log, rows edited or deleted", Plan::DamagedLog(Damage::Edited)),
    (19, "five times as many commands as may wait, slow clients", Plan::OneByOne(&[F::Overload])),
    (20, "rolling upgrade", Plan::OneByOne(&[F::Upgrade])),
    (21, "two writers: paused, cold, the same ids", Plan::OneByOne(&[F::RaceWriters])),
    (22, "everything at once", Plan::Together(EVERYTHING)),
];

impl Row {
    /// All rows.
    #[must_use]
    pub fn all() -> Vec<Self> {
        ROWS.map(|(number, title, plan)| Self { number, title, plan }).into()
    }

    /// The row with a number.
    #[must_use]
    pub fn numbered(number: u32) -> Option<Self> {
        Self::all().into_iter().find(|row| row.number == number)
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Why it cannot be run here, if it cannot.
    #[must_use]
    pub fn not_tested(&self) -> Option<&'static str> {
        match self.plan {
            Plan::OneByOne([Fault::Upgrade]) if super::harm::old_binaries().is_none() => {
                Some("COUNTERFOIL_OLD_BINARIES names no folder with older binaries")
            }
            _ if self.library().is_some() && !cfg!(target_os = "linux") => {
                Some("clocks and disks can be made wrong on Linux only")
            }
            Plan::OneByOne(_) | Plan::Together(_) | Plan::DamagedLog(_) => None,
        }
    }

    /// Where the older binaries are that it runs, if it runs any.
    pub(super) fn older_binaries(&self) -> Option<PathBuf> {
        match self.plan {
            Plan::OneByOne([Fault::Upgrade]) => super::harm::old_binaries(),
            _ => None,
        }
    }

    /// Not where clocks are wrong, nor beside older services, which may not know of tokens.
    pub(super) fn keeps_tokens_good(&self) -> bool {
        let (Plan::OneByOne(faults) | Plan::Together(faults)) = self.plan else { return false };
        !faults.iter().any(|fault| matches!(fault, Fault::SetClock | Fault::Upgrade))
    }

    /// Whether what is done in one stretch is compared with another: what else the machine does would be judged, too.
    #[must_use]
    pub fn compares_rates(&self) -> bool {
        matches!(self.plan, Plan::OneByOne(faults) if faults.contains(&Fault::Overload))
    }

    /// Whether nothing but the log is harmed: then only what is said of that is judged.
    pub(super) fn damages_the_log(&self) -> bool {
        matches!(self.plan, Plan::DamagedLog(_))
    }

    /// What has to stand before its processes.
    pub(crate) fn library(&self) -> Option<Library> {
        let (Plan::OneByOne(faults) | Plan::Together(faults)) = self.plan else { return None };
        faults.iter().find_map(|fault| match fault {
            Fault::SetClock => Some(Library::Clock),
            Fault::FullDisk => Some(Library::Disk),
            _ => None,
        })
    }

    /// Every fault once, one after another: the shortest run that has them all.
    #[must_use]
    pub fn each_once() -> Self {
        Self { number: 0, title: "each fault once", plan: Plan::OneByOne(EACH) }
    }
}
