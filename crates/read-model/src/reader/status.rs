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
        all.into_iter()
            .zip(replies)
            .map(|((view, shard), reply)| parse(view, shard, reply))
            .collect()
    }

    /// One view on one shard.
    ///
    /// # Errors
    /// [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn view_status(&self, view: View, shard: Shard) -> Result<ViewStatus, Error> {
        view_status(&self.connection, &self.keys, view, shard).await
    }
}

/// One view on one shard.
pub(crate) async fn view_status(
    connection: &crate::connection::Connection,
    keys: &Keyspace,
    view: View,
    shard: Shard,
) -> Result<ViewStatus, Error> {
    let reply = call(keys, view, shard).run("read a view's status", connection).await?;
    parse(view, shard, reply)
}

type Reply = (i64, i64, Bytes, Bytes, Bytes, Bytes, Bytes, Bytes, Bytes, Bytes, Bytes);

fn call(keys: &Keyspace, view: View, shard: Shard) -> Invocation {
    let names = keys.view(view, shard);
    let pointers =
        [names.visible(), names.building(), names.retired(), names.rebuild(), keys.head(shard)];
    script::STATUS.on(&pointers).arg(names.base())
}

fn parse(view: View, shard: Shard, reply: Reply) -> Result<ViewStatus, Error> {
    let (seconds, microseconds, head, rebuild, visible, c1, building, c2, retired, c3, filling) =
        reply;
    let bad = |what: &str| Error::Inconsistent { view, shard, what: what.to_owned() };
    let generation = |pointer: &str, checkpoint: Bytes| {
        let generation = Generation::parse(pointer).ok_or_else(|| bad("malformed pointer"))?;
        let checkpoint = checkpoint.as_deref().map(Checkpoint::decode).transpose();
        // What cannot be read cannot be continued either.
        let checkpoint = checkpoint.unwrap_or_else(|malformed| {
            tracing::error!(view.name = %view, shard = shard.get(), error = %malformed, "checkpoint");
            None
        });
        Ok(GenerationStatus { generation, checkpoint })
    };
    let text = |pointer: Bytes| pointer.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let retired = text(retired);
    let (retired, retired_at) = match retired.as_deref().map(|retired| retired.split_once(' ')) {
        None => (None, None),
        Some(Some((retired, at))) => (Some(retired), at.parse().ok()),
        Some(None) => return Err(bad("malformed pointer at the retired generation")),
    };
    let of = |pointer: Option<&str>, checkpoint| {
        pointer.map(|pointer| generation(pointer, checkpoint)).transpose()
    };
    let filling = filling.as_deref().map(Filling::decode).transpose();
    let mut building = of(text(building).as_deref(), c2)?;
    if let (Err(malformed), Some(building)) = (&filling, &mut building) {
        // Nobody can tell how far its values are ahead of its checkpoint.
        tracing::error!(view.name = %view, shard = shard.get(), error = %malformed, "filling");
        building.checkpoint = None;
    }
    Ok(ViewStatus {
        view,
        shard,
        visible: of(text(visible).as_deref(), c1)?,
        building,
        filling: filling.ok().flatten(),
        retired: of(retired, c3)?,
        retired_at_ms: retired_at,
        rebuild_requested: rebuild.is_some(),
        head: read_head(shard, head.as_deref()),
        redis_now_ms: milliseconds((seconds, microseconds)),
    })
}
