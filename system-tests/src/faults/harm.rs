//! Doing each fault, holding it for a while, undoing it, and saying whether its effect was seen.

mod clocks;
mod links;
mod postgres;
mod projectors;
mod redis;
mod services;
mod writers;

use std::time::Duration;

pub(super) use services::old_binaries;

use super::{fault::Fault, stage::Stage};
use crate::dice::Dice;

/// Shortest time that anything is held down.
const HOLD_LEAST: Duration = Duration::from_millis(150);

/// Does a fault from its beginning to its end. Whether it had an effect.
pub(super) async fn harm(stage: &Stage, fault: Fault, dice: &mut Dice) -> bool {
    let hold = dice.time(HOLD_LEAST, stage.hold);
    match fault {
        Fault::TerminateWriter => services::terminate(stage, dice.pick(&stage.writers)).await,
        Fault::KillWriter => services::kill(stage, dice.pick(&stage.writers), hold / 2).await,
        Fault::KillProjector => services::kill(stage, dice.pick(&stage.projectors), hold / 2).await,
        Fault::KillReader => services::kill(stage, dice.pick(&stage.readers), hold / 2).await,
        Fault::PauseWriter => services::pause(dice.pick(&stage.writers), hold).await,
        Fault::PauseProjector => services::pause(dice.pick(&stage.projectors), hold).await,
        Fault::PauseReader => services::pause(dice.pick(&stage.readers), hold).await,
        Fault::Upgrade => services::upgrade(stage, dice, hold).await,
        Fault::PausePostgres => postgres::pause(stage, hold).await,
        Fault::RestartPostgres => postgres::restart(stage).await,
        Fault::StopPostgresAtOnce => postgres::stop_at_once(stage, hold / 4).await,
        Fault::KillPostgres => postgres::kill(stage, hold / 4).await,
        Fault::FullDisk => postgres::fill_disk(stage, hold).await,
        Fault::KillBackend => postgres::kill_backend(stage, dice).await,
        Fault::CutBell => postgres::cut_bell(stage, hold).await,
        Fault::MuteBell => projectors::mute_bell(stage, hold).await,
        Fault::LoseCommitReply => links::lose_commit_reply(stage, dice, hold).await,
        Fault::CutWaitingAppend => links::cut_waiting_append(stage, hold).await,
        Fault::ResetLink => links::reset(stage, hold).await,
        Fault::BlackHole => links::black_hole(stage, hold).await,
        Fault::HalfBlackHole => links::half_black_hole(stage, dice, hold).await,
        Fault::SlowLink => links::slow(stage, dice, hold).await,
        Fault::TricklingLink => links::trickle(stage, hold).await,
        Fault::PauseRedis => redis::pause(stage, hold).await,
        Fault::KillRedis => redis::kill(stage, hold / 2).await,
        Fault::FlushRedis => redis::flush(stage).await,
        Fault::DeleteKey => redis::delete_key(stage).await,
        Fault::DeleteCheckpoint => redis::delete_checkpoint(stage, dice).await,
        Fault::EditBalance => redis::edit_balance(stage).await,
        Fault::RestoreRedis => redis::restore(stage, hold).await,
        Fault::PromoteReplica => redis::promote_replica(stage, hold).await,
        Fault::RedisOutOfMemory => redis::out_of_memory(stage, hold).await,
        Fault::MoreProjectors => projectors::more(stage, hold).await,
        Fault::Rebuild => projectors::rebuild(stage, dice).await,
        Fault::Retries => writers::retries(stage, hold).await,
        Fault::Overload => writers::overload(stage, dice, hold).await,
        Fault::SetClock => clocks::set(stage, dice, hold).await,
        Fault::RaceWriters => writers::race(stage, dice, hold).await,
    }
}
