//! Data of generations that nobody knows any more: a drop that was cut off, a pointer or checkpoint that was lost.

use std::collections::HashMap;

use ledger::{Shard, ShardCount};

use super::Writer;
use crate::{Error, Generation, View, reader::ScanCursor, reader::scan_step};

impl Writer {
    /// Removes the data of generations that no pointer names, and says how many keys there were.
    ///
    /// Only generations with a lower number than some generation that is known: a higher one may have been
    /// begun since the pointers were read, and a later look will find it if it is an orphan.
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
        let is_orphan = |key: &str| {
            let Some((shard, view, generation, _)) = self.keys.parse(key) else { return false };
            let known = known.get(&(view, shard)).map_or(&[][..], Vec::as_slice);
            !known.contains(&generation) && known.iter().any(|known| generation < *known)
        };
        let mut removed = 0;
        let mut cursor = Some(ScanCursor::START);
        while let Some(at) = cursor {
            let (next, mut keys) =
                scan_step(&self.connection, &self.keys.all_views_pattern(), at).await?;
            keys.retain(|key| is_orphan(key));
            self.unlink(&keys).await?;
            removed += keys.len();
            cursor = next;
        }
        Ok(removed)
    }
}
