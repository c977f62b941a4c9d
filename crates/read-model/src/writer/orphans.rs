//! Data of generations that nobody knows any more: a drop that was cut off, a pointer or checkpoint that was lost.

use std::collections::{BTreeMap, HashMap};

use ledger::{Shard, ShardCount};

use super::Writer;
use crate::{Error, Generation, View, reader::ScanCursor, reader::scan_step};

impl Writer {
    /// Removes the data of generations that no pointer names, and says how many keys there were.
    ///
    /// Only generations with a lower number than some generation that is known: a higher one may have been
    /// begun since the pointers were read, and a later look will find it if it is an orphan. And only as long as no pointer
    /// names them: an older copy of all keys may have been restored since.
    ///
    /// # Errors
    /// [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn drop_orphans(&self, shards: ShardCount) -> Result<usize, Error> {
        let mut known: HashMap<(View, Shard), Vec<Generation>> = HashMap::new();
        for (view, shard) in Self::all_views(shards) {
            let status = self.status(view, shard).await?;
            let generations = [status.visible, status.building, status.retired];
            let generations = generations.into_iter().flatten().map(|known| known.generation);
            known.insert((view, shard), generations.collect());
        }
        let orphan = |key: &str| {
            let (shard, view, generation, _) = self.keys.parse(key)?;
            let known = known.get(&(view, shard))?;
            let is_orphan =
                !known.contains(&generation) && known.iter().any(|known| generation < *known);
            is_orphan.then_some((view, shard, generation))
        };
        let mut removed = 0;
        let mut cursor = Some(ScanCursor::START);
        while let Some(at) = cursor {
            let (next, keys) =
                scan_step(&self.connection, &self.keys.all_views_pattern(), at).await?;
            let mut orphans: BTreeMap<_, Vec<String>> = BTreeMap::new();
            for key in keys {
                if let Some(generation) = orphan(&key) {
                    orphans.entry(generation).or_default().push(key);
                }
            }
            for ((view, shard, generation), keys) in orphans {
                removed += self.unlink(view, shard, generation, keys).await?.unwrap_or(0);
            }
            cursor = next;
        }
        Ok(removed)
    }
}
