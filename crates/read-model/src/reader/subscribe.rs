//! Being told of commits. A doorbell: whoever is woken looks at the marker itself.

use std::time::Duration;

use futures::StreamExt as _;
use ledger::{Position, Shard, ShardCount};
use redis::{
    ErrorKind, RedisError,
    aio::{PubSubSink, PubSubStream},
};

use super::Reader;
use crate::{Error, Generation, View, connection::within};

/// After so long a silence the connection is asked whether it is still there.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// A commit or a swap, as it was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The shard.
    pub shard: Shard,
    /// The view.
    pub view: View,
    /// The generation that was written or became visible.
    pub generation: Generation,
    /// The position it includes.
    pub position: Position,
}

/// Announcements, on a connection of their own.
pub struct CheckpointFeed {
    sink: PubSubSink,
    stream: PubSubStream,
    channels: Vec<(String, Shard)>,
    patience: Duration,
}

impl Reader {
    /// Subscribes to the announcements of some shards. They are in force when this returns: what is committed
    /// later is announced.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn subscribe(&self, shards: ShardCount) -> Result<CheckpointFeed, Error> {
        let doing = "subscribe to checkpoints";
        let channels: Vec<_> =
            shards.shards().map(|shard| (self.keys.checkpoints(shard), shard)).collect();
        let names: Vec<_> = channels.iter().map(|(name, _)| name).collect();
        let patience = self.connection.response_timeout();
        let pubsub = self.connection.pubsub().await;
        let (mut sink, stream) = pubsub.map_err(|error| Error::redis(doing, error))?.split();
        let subscribed = within(patience, sink.subscribe(&names)).await;
        subscribed.map_err(|error| Error::redis(doing, error))?;
        Ok(CheckpointFeed { sink, stream, channels, patience })
    }
}

impl CheckpointFeed {
    /// Waits for the next announcement. May be dropped while it waits without losing one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the connection is lost: subscribe again, and look at everything anew, because
    /// announcements may have been missed.
    pub async fn next(&mut self) -> Result<Published, Error> {
        let doing = "wait for checkpoints";
        loop {
            match tokio::time::timeout(SILENCE_MAX, self.stream.next()).await {
                Ok(Some(message)) => {
                    if let Some(published) = self.parse(&message) {
                        return Ok(published);
                    }
                    tracing::warn!(channel = message.get_channel_name(), "unknown announcement");
                }
                Ok(None) => {
                    let closed = RedisError::from((ErrorKind::Io, "the connection is closed"));
                    return Err(Error::redis(doing, closed));
                }
                Err(_silence) => {
                    let answer = within(self.patience, self.sink.ping::<redis::Value>()).await;
                    answer.map_err(|error| Error::redis(doing, error))?;
                }
            }
        }
    }

    fn parse(&self, message: &redis::Msg) -> Option<Published> {
        let channel = message.get_channel_name();
        let (_, shard) = self.channels.iter().find(|(name, _)| name == channel)?;
        let payload = std::str::from_utf8(message.get_payload_bytes()).ok()?;
        let mut words = payload.split(' ');
        let view = View::by_name(words.next()?)?;
        let generation = Generation::parse(words.next()?)?;
        let position = Position::new(words.next()?.parse().ok()?)?;
        Some(Published { shard: *shard, view, generation, position })
    }
}

/// What is published of a commit or a swap.
pub(crate) fn announcement(view: View, generation: Generation, position: Position) -> String {
    format!("{view} {generation} {position}")
}
