//! Putting right what was found wrong, without ever overwriting anything newer.

use ledger::Shard;

use super::Writer;
use crate::{
    Checkpoint, Error, Generation, Place, View, script,
    value::{LOG_BYTES, POSITION_OFFSET},
};

/// A place that holds something wrong, and what it should hold.
#[derive(Debug, Clone)]
pub struct Repair {
    /// The view.
    pub view: View,
    /// The shard.
    pub shard: Shard,
    /// The generation.
    pub generation: Generation,
    /// The checkpoint that the wrong value was read with; the right one is of exactly that position.
    pub seen: Checkpoint,
    /// Where.
    pub place: Place,
    /// What to do.
    pub replacement: Replacement,
}

/// What to do about a wrong place.
#[derive(Debug, Clone)]
pub enum Replacement {
    /// Replace a string or a field, if it still holds the same wrong value (`None`: is still missing); `None`
    /// deletes it.
    Value {
        /// What was found.
        wrong: Option<Vec<u8>>,
        /// What should be there.
        right: Option<Vec<u8>>,
    },
    /// Make the member part of its set, or not. A member is decided by the opening of its account, which never
    /// changes.
    Member {
        /// Whether it should be there.
        present: bool,
    },
    /// Remove what can belong to nothing that is ever written.
    Removed,
}

impl Writer {
    /// Repairs a place. `false`: something has happened since it was looked at, so look again.
    ///
    /// # Errors
    /// [`Error::WrongType`], [`Error::Unavailable`]; [`Error::Conflict`] for a replacement that does not fit
    /// the place.
    pub async fn repair(&self, repair: &Repair) -> Result<bool, Error> {
        let doing = "repair a value";
        let checkpoint = repair.seen.encode();
        let log = checkpoint.get(..LOG_BYTES).unwrap_or_default();
        let names = self.keys.view(repair.view, repair.shard).generation(repair.generation);
        let call = script::REPAIR
            .on(&[names.checkpoint(), repair.place.key().to_owned()])
            .arg(POSITION_OFFSET)
            .arg(log)
            .arg(repair.seen.position.get());
        let call = match (&repair.place, &repair.replacement) {
            (
                Place::Text { .. } | Place::Field { .. } | Place::Range { .. },
                Replacement::Value { wrong, right },
            ) => call
                .arg(kind(&repair.place))
                .arg(if wrong.is_some() { "there" } else { "missing" })
                .arg(wrong.as_deref().unwrap_or_default())
                .arg(if right.is_some() { "set" } else { "delete" })
                .arg(right.as_deref().unwrap_or_default()),
            (Place::Member { member, .. }, Replacement::Member { present }) => call
                .arg(kind(&repair.place))
                .arg(if *present { "add" } else { "remove" })
                .arg(member),
            (Place::Stray { name, .. }, Replacement::Removed) => {
                call.arg(kind(&repair.place)).arg(name)
            }
            (Place::WrongType { right, .. }, Replacement::Removed) => {
                call.arg(kind(&repair.place)).arg(right)
            }
            _ => return Err(Error::Conflict { doing }),
        };
        let call = match &repair.place {
            Place::Field { field, .. } => call.arg(field),
            Place::Range { start, length, .. } => call.arg(start).arg(length),
            Place::Text { .. }
            | Place::Member { .. }
            | Place::Hash { .. }
            | Place::Stray { .. }
            | Place::WrongType { .. } => call,
        };
        let done: i64 = call.run(doing, &self.connection).await?;
        Ok(done == 1)
    }
}

/// As the script names it.
fn kind(place: &Place) -> &'static str {
    match place {
        Place::Text { .. } | Place::Hash { .. } => "text",
        Place::Field { .. } => "field",
        Place::Range { .. } => "range",
        Place::Member { .. } => "member",
        Place::Stray { .. } => "stray",
        Place::WrongType { .. } => "type",
    }
}
