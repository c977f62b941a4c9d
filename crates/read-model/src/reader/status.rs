//! How far the views are, generation by generation.

use ledger::{Shard, ShardCount};

use super::{Bytes, Reader, milliseconds, read_head};
use crate::{
    Checkpoint, Error, Filling, Generation, HeadStamp, Keyspace, View,
    script::{self, Invocation},
};

/// How one view stands on one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewStatus {
    /// The view.
    pub view: View,
    /// The shard.
    pub shard: Shard,
    /// The generation that queries see.
    pub visible: Option<GenerationStatus>,
    /// The generation being built.
    pub building: Option<GenerationStatus>,
    /// The stride that is being stored in it, or was when its projector ended.
    pub filling: Option<Filling>,
    /// The generation that was visible before; projected on until it is dropped.
    pub retired: Option<GenerationStatus>,
    /// When the retired generation ceased to be visible, by Redis's clock in milliseconds.
    pub retired_at_ms: Option<i64>,
    /// Whether somebody has asked for a rebuild that has not begun.
    pub rebuild_requested: bool,
    /// The end of the log as a projector last saw it.
    pub head: Option<HeadStamp>,
    /// Redis's clock in milliseconds.
    pub redis_now_ms: i64,
}

/// How far a generation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GenerationStatus {
    /// The generation.
    pub generation: Generation,
    /// What it includes. `None` when its checkpoint is lost: it answers nothing any more and cannot be continued.
    pub checkpoint: Option<Checkpoint>,
}

impl Reader {
    /// Every view on every shard, also those that are not built.
    ///
    /// # Errors
    /// [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn status(&self, shards: ShardCount) -> Result<Vec<ViewStatus>, Error> {
        let of_shard = |shard| View::ALL.map(|view| (view, shard));
        let all: Vec<_> = shards.shards().flat_map(of_shard).collect();
        let calls: Vec<_> =
            all.iter().map(|(view, shard)| call(&self.keys, *view, *shard)).collect();
        let replies: Vec<Reply> =
            Invocation::run_all(&calls, "read the views' status", &self.connection).await?;
        let parsed = all.into_iter().zip(replies);
        Ok(parsed.map(|((view, shard), reply)| parse(view, shard, reply).0).collect())
    }

    /// One view on one shard.
    ///
    /// # Errors
    /// [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn view_status(&self, view: View, shard: Shard) -> Result<ViewStatus, Error> {
        Ok(view_status(&self.connection, &self.keys, view, shard).await?.0)
    }
}

/// Pointers that cannot be any. They count as absent.
#[derive(Debug, Default)]
pub(crate) struct BrokenPointers {
    /// What each of them holds; nothing for what is no string.
    pub(crate) visible: Option<Vec<u8>>,
    pub(crate) building: Option<Vec<u8>>,
    pub(crate) retired: Option<Vec<u8>>,
}

/// One view on one shard.
pub(crate) async fn view_status(
    connection: &crate::connection::Connection,
    keys: &Keyspace,
    view: View,
    shard: Shard,
) -> Result<(ViewStatus, BrokenPointers), Error> {
    let reply = call(keys, view, shard).run("read a view's status", connection).await?;
    Ok(parse(view, shard, reply))
}

type Reply = (i64, i64, Bytes, Bytes, Bytes, Bytes, Bytes, Bytes, Bytes, Bytes, Bytes);

fn call(keys: &Keyspace, view: View, shard: Shard) -> Invocation {
    let names = keys.view(view, shard);
    let pointers =
        [names.visible(), names.building(), names.retired(), names.rebuild(), keys.head(shard)];
    script::STATUS.on(&pointers).arg(names.base())
}

fn parse(view: View, shard: Shard, reply: Reply) -> (ViewStatus, BrokenPointers) {
    let (seconds, microseconds, head, rebuild, visible, c1, building, c2, retired, c3, filling) =
        reply;
    let mut broken = BrokenPointers::default();
    let visible = pointer(visible, Generation::of_pointer, &mut broken.visible);
    // One that queries see is neither built nor retired.
    let hidden = |found: &[u8]| Generation::of_pointer(found).filter(|it| Some(*it) != visible);
    let building = pointer(building, hidden, &mut broken.building);
    let since = |found: &[u8]| {
        let space = found.iter().position(|byte| *byte == b' ')?;
        let (retired, at) = (found.get(..space)?, found.get(space + 1..)?);
        Some((hidden(retired)?, std::str::from_utf8(at).ok().and_then(|at| at.parse().ok())))
    };
    let retired = pointer(retired, since, &mut broken.retired);
    let with_checkpoint = |generation: Option<Generation>, checkpoint: Bytes| {
        let checkpoint = checkpoint.as_deref().map(Checkpoint::decode).transpose();
        // What cannot be read cannot be continued either.
        let checkpoint = checkpoint.unwrap_or_else(|malformed| {
            tracing::error!(view.name = %view, shard = shard.get(), error = %malformed, "checkpoint");
            None
        });
        generation.map(|generation| GenerationStatus { generation, checkpoint })
    };
    let mut building = with_checkpoint(building, c2);
    let filling = filling.as_deref().map(Filling::decode).transpose();
    if let (Err(malformed), Some(building)) = (&filling, &mut building) {
        // Nobody can tell how far its values are ahead of its checkpoint.
        tracing::error!(view.name = %view, shard = shard.get(), error = %malformed, "filling");
        building.checkpoint = None;
    }
    let status = ViewStatus {
        view,
        shard,
        visible: with_checkpoint(visible, c1),
        building,
        filling: filling.ok().flatten(),
        retired: with_checkpoint(retired.map(|(retired, _)| retired), c3),
        retired_at_ms: retired.and_then(|(_, at)| at),
        rebuild_requested: rebuild.is_some(),
        head: read_head(shard, head.as_deref()),
        redis_now_ms: milliseconds((seconds, microseconds)),
    };
    (status, broken)
}

/// Reads a pointer, and notes what it holds if it cannot be one.
fn pointer<T>(
    found: Bytes,
    read: impl Fn(&[u8]) -> Option<T>,
    broken: &mut Option<Vec<u8>>,
) -> Option<T> {
    let pointer = found.as_deref().and_then(read);
    if pointer.is_none() {
        *broken = found;
    }
    pointer
}
