//! Storing a stride in a generation that is being built: more than fits into one script, chunk by chunk.

use ledger::Shard;

use super::{Writer, commit::write};
use crate::{
    Change, Checkpoint, Error, Filling, Generation, View, reader::announcement, script,
    script::Invocation,
};

/// A part of a stride.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The view.
    pub view: View,
    /// The shard.
    pub shard: Shard,
    /// The generation, which must be the one that is being built.
    pub generation: Generation,
    /// What the generation includes.
    pub expected: Checkpoint,
    /// What must be known to be stored ahead of it: the chunk before.
    pub before: Option<Filling>,
    /// What is known to be after this chunk; nothing, when the generation then includes all of it.
    pub after: Option<Filling>,
    /// With the last chunk, what the generation then includes.
    pub upto: Option<Checkpoint>,
    /// The changes; later ones at the same place win.
    pub changes: Vec<Change>,
}

impl Writer {
    /// Stores a chunk, and with the last one the checkpoint.
    ///
    /// When this fails, the chunk may have been stored all the same: read everything anew.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the generation is not being built any more, or another chunk than the one before was the last;
    /// [`Error::WrongType`] when it cannot be continued; [`Error::Unavailable`].
    pub async fn fill(&self, chunk: &Chunk) -> Result<(), Error> {
        let doing = "store a chunk of a stride";
        let stored: i64 = self.fill_call(chunk).run(doing, &self.connection).await?;
        if stored == 1 { Ok(()) } else { Err(Error::Conflict { doing }) }
    }

    fn fill_call(&self, chunk: &Chunk) -> Invocation {
        let names = self.keys.view(chunk.view, chunk.shard);
        let building = names.building();
        let names = names.generation(chunk.generation);
        let filling = |filling: Option<Filling>| filling.map(|f| f.encode()).unwrap_or_default();
        let announced = chunk.upto.unwrap_or(chunk.expected).position;
        let mut call = script::FILL
            .on(&[building, names.checkpoint(), names.filling()])
            .arg(chunk.generation.get())
            .arg(chunk.expected.encode())
            .arg(filling(chunk.before))
            .arg(filling(chunk.after))
            .arg(chunk.upto.map(|upto| upto.encode()).unwrap_or_default())
            .arg(self.keys.checkpoints(chunk.shard))
            .arg(announcement(chunk.view, chunk.generation, announced));
        write(&mut call, &names, &chunk.changes);
        call
    }
}
