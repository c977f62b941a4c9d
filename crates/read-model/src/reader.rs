//! The reader half: what queries ask for, each value together with the marker it was read with, in one atomic step.

mod account;
mod generation;
mod statement;
mod status;
mod subscribe;
mod totals;
mod transaction;

pub(crate) use generation::scan_step;
pub use generation::{
    Name, Observed, ScanCursor, ScanPage, ScannedPair, StoredFields, StoredGeneration,
};
pub use statement::StatementPage;
pub(crate) use status::{BrokenPointers, view_status};
pub use status::{GenerationStatus, ViewStatus};
pub(crate) use subscribe::announcement;
pub use subscribe::{CheckpointFeed, Published};
pub use transaction::FoundTransaction;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use ledger::Shard;

use crate::{
    Checkpoint, Error, Generation, HeadStamp, Keyspace, LogRecord, Marker, StoreConfig, View,
    connection::Connection, key::GenerationKeys, policy::PolicyCheck,
};

/// A swap of generations between two tries of one read is rare; so many in a row are not a coincidence.
const TRIES_MAX: usize = 5;

/// Reads the read model over one shared connection; cheap to clone.
#[derive(Clone)]
pub struct Reader {
    connection: Connection,
    policy: PolicyCheck,
    keys: Keyspace,
    /// The generations seen last: with them a read is one round trip, and it notices when they have changed.
    generations: Arc<Mutex<HashMap<(View, Shard), Generation>>>,
}

impl Reader {
    /// Connects, and makes sure that this Redis keeps what it is given.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::KeyPrefix`], [`Error::Unavailable`], [`Error::Evicting`].
    pub async fn connect(config: &StoreConfig) -> Result<Self, Error> {
        let reader = Self::new(config)?;
        reader.check().await?;
        Ok(reader)
    }

    /// Does not connect yet: the first use does.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::KeyPrefix`].
    pub fn new(config: &StoreConfig) -> Result<Self, Error> {
        Ok(Self {
            connection: Connection::new(config)?,
            policy: PolicyCheck::default(),
            keys: Keyspace::new(&config.key_prefix)?,
            generations: Arc::default(),
        })
    }

    /// Whether Redis answers and keeps what it is given.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Evicting`].
    pub async fn check(&self) -> Result<(), Error> {
        self.policy.run(&self.connection).await
    }

    /// Which log this read model is of. `None`: no projector was here since Redis was empty.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Inconsistent`] when the record cannot be read.
    pub async fn log(&self) -> Result<Option<LogRecord>, Error> {
        let mut get = redis::cmd("GET");
        get.arg(self.keys.log());
        let record: Bytes = self.connection.command("read the log record", &get).await?;
        let record = record.as_deref().map(LogRecord::decode).transpose();
        record.map_err(|malformed| Error::malformed(View::Accounts, Shard::ZERO, &malformed))
    }

    /// The names of all keys.
    #[must_use]
    pub fn keys(&self) -> &Keyspace {
        &self.keys
    }

    /// Only the marker of a view: how far it is.
    ///
    /// # Errors
    /// [`Error::NotBuilt`], [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn marker(&self, view: View, shard: Shard) -> Result<Marker, Error> {
        let ([marker], _) = self.read(shard, [view], |_| Vec::new()).await?;
        Ok(marker)
    }

    /// Reads the markers of some views and some of their keys in one MGET.
    ///
    /// The key names need the generations; those seen last are used, and their pointers are read too: if one
    /// has moved, everything is read again under the new names.
    async fn read<const N: usize>(
        &self,
        shard: Shard,
        views: [View; N],
        keys: impl Fn(&[GenerationKeys; N]) -> Vec<String>,
    ) -> Result<([Marker; N], Vec<Bytes>), Error> {
        for _ in 0..TRIES_MAX {
            let generations = self.known_generations(shard, views).await?;
            let names: [GenerationKeys; N] =
                std::array::from_fn(|i| self.keys.view(views[i], shard).generation(generations[i]));
            let mut get = redis::cmd("MGET");
            get.arg(self.keys.head(shard));
            for (view, names) in views.iter().zip(&names) {
                get.arg(self.keys.view(*view, shard).visible()).arg(names.checkpoint());
            }
            get.arg(keys(&names));
            let mut pipeline = redis::pipe();
            pipeline.add_command(get).cmd("TIME");
            let (values, time): (Vec<Bytes>, (i64, i64)) =
                self.connection.pipeline("read the read model", &pipeline).await?;
            let mut values = values.into_iter();
            let mut next = || values.next().flatten();
            let head = next();
            let marks = views.map(|_| Marks {
                generation: next(),
                checkpoint: next(),
                head: head.clone(),
                time,
            });
            let mut moved = false;
            let mut markers = Vec::with_capacity(N);
            for ((view, used), marks) in views.into_iter().zip(generations).zip(&marks) {
                // Compared with what this read used: another read may have learned of the swap meanwhile.
                moved |= self.note_visible(view, shard, marks.generation.as_deref())? != used;
                markers.push(marks.marker(view, shard));
            }
            if moved {
                continue;
            }
            let markers: Vec<Marker> = markers.into_iter().collect::<Result<_, _>>()?;
            if let Ok(markers) = markers.try_into() {
                return Ok((markers, values.collect()));
            }
        }
        Err(Error::Inconsistent {
            view: views[0],
            shard,
            what: "its generation keeps changing".to_owned(),
        })
    }

    async fn known_generations<const N: usize>(
        &self,
        shard: Shard,
        views: [View; N],
    ) -> Result<[Generation; N], Error> {
        let known = || {
            let cache = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
            views.map(|view| cache.get(&(view, shard)).copied())
        };
        let known = known();
        let mut generations = Vec::with_capacity(N);
        for (view, known) in views.into_iter().zip(known) {
            generations.push(match known {
                Some(generation) => generation,
                None => self.look_up_generation(view, shard).await?,
            });
        }
        generations.try_into().map_err(|_| Error::NotBuilt { view: views[0], shard })
    }

    async fn look_up_generation(&self, view: View, shard: Shard) -> Result<Generation, Error> {
        // As the reads do: what is no string reads as nothing.
        let mut get = redis::cmd("MGET");
        get.arg(self.keys.view(view, shard).visible());
        let (pointer,): (Bytes,) =
            self.connection.command("read the visible generation", &get).await?;
        self.note_visible(view, shard, pointer.as_deref())
    }

    /// Remembers which generation is visible.
    fn note_visible(
        &self,
        view: View,
        shard: Shard,
        pointer: Option<&[u8]>,
    ) -> Result<Generation, Error> {
        let generation = pointer_generation(view, shard, pointer);
        let mut cache = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        match generation {
            Ok(generation) => _ = cache.insert((view, shard), generation),
            Err(_) => _ = cache.remove(&(view, shard)),
        }
        generation
    }
}

/// Reads the pointer at the visible generation.
fn pointer_generation(
    view: View,
    shard: Shard,
    pointer: Option<&[u8]>,
) -> Result<Generation, Error> {
    // What is no pointer is as good as none: a projector forgets it, and builds the view anew.
    pointer.and_then(Generation::of_pointer).ok_or(Error::NotBuilt { view, shard })
}

/// What a key holds, or nothing.
type Bytes = Option<Vec<u8>>;

/// The parts of a marker as they come from Redis.
struct Marks {
    generation: Bytes,
    checkpoint: Bytes,
    head: Bytes,
    time: (i64, i64),
}

impl Marks {
    fn marker(&self, view: View, shard: Shard) -> Result<Marker, Error> {
        let generation = pointer_generation(view, shard, self.generation.as_deref())?;
        let checkpoint = self.checkpoint.as_deref().ok_or(Error::NotBuilt { view, shard })?;
        let checkpoint = Checkpoint::decode(checkpoint)
            .map_err(|malformed| Error::malformed(view, shard, &malformed))?;
        let head = read_head(shard, self.head.as_deref());
        let redis_now_ms = milliseconds(self.time);
        Ok(Marker { view, shard, generation, checkpoint, head, redis_now_ms })
    }
}

/// A stamp that cannot be read is as good as none: it only makes answers look older.
pub(crate) fn read_head(shard: Shard, head: Option<&[u8]>) -> Option<HeadStamp> {
    let head = HeadStamp::decode(head?);
    head.inspect_err(|error| tracing::warn!(shard = shard.get(), error = %error, "head stamp")).ok()
}

/// What TIME answers, in milliseconds.
pub(crate) fn milliseconds((seconds, microseconds): (i64, i64)) -> i64 {
    seconds.saturating_mul(1000).saturating_add(microseconds / 1000)
}
