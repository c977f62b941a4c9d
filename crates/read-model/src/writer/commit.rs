//! Storing a page of changes together with the checkpoint that includes them.

use ledger::Shard;

use super::Writer;
use crate::{
    Change, Checkpoint, Error, Generation, Place, View, reader::announcement, script,
    script::Invocation,
};

/// A page of changes to one generation of a view.
#[derive(Debug, Clone)]
pub struct Page {
    /// The view.
    pub view: View,
    /// The shard.
    pub shard: Shard,
    /// The generation.
    pub generation: Generation,
    /// What the generation must include before; the page is refused if it includes anything else.
    pub expected: Checkpoint,
    /// What it includes afterwards.
    pub upto: Checkpoint,
    /// The changes; later ones at the same place win.
    pub changes: Vec<Change>,
}

impl Writer {
    /// Stores a page and its checkpoint in one script, together or not at all, and announces it.
    ///
    /// When this fails, the page may have been stored all the same: read everything anew.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the generation includes something else than expected, or is gone;
    /// [`Error::WrongType`] when it cannot be continued; [`Error::Unavailable`].
    pub async fn commit(&self, page: &Page) -> Result<(), Error> {
        let doing = "commit a page";
        let stored: i64 = self.commit_call(page).run(doing, &self.connection).await?;
        if stored == 1 { Ok(()) } else { Err(Error::Conflict { doing }) }
    }

    fn commit_call(&self, page: &Page) -> Invocation {
        let names = self.keys.view(page.view, page.shard).generation(page.generation);
        let mut keys = vec![names.checkpoint()];
        let mut writes: Vec<Vec<u8>> = Vec::with_capacity(page.changes.len() * 3);
        let mut changes = page.changes.iter().peekable();
        while let Some(change) = changes.next() {
            let value = change.bytes(page.shard);
            let place = change.place(&names);
            keys.push(place.key().to_owned());
            match (place, value) {
                (Place::Text { .. }, Some(value)) => writes.extend([b"S".to_vec(), value]),
                (Place::Member { member, .. }, _) => {
                    writes.extend([b"Z".to_vec(), member.into_bytes()]);
                }
                (Place::Hash { .. }, _) | (Place::Text { .. }, None) => writes.push(b"D".to_vec()),
                (Place::Field { key, field }, value) => {
                    // Neighbours in one hash are one write.
                    let mut fields = vec![(field, value.unwrap_or_default())];
                    while let Some(next) = changes.peek()
                        && let Place::Field { key: other, field } = next.place(&names)
                        && other == key
                    {
                        fields.push((field, next.bytes(page.shard).unwrap_or_default()));
                        changes.next();
                    }
                    writes.extend([b"H".to_vec(), fields.len().to_string().into_bytes()]);
                    for (field, value) in fields {
                        writes.extend([field.to_string().into_bytes(), value]);
                    }
                }
            }
        }
        script::COMMIT
            .on(keys)
            .arg(page.expected.encode())
            .arg(page.upto.encode())
            .arg(self.keys.checkpoints(page.shard))
            .arg(announcement(page.view, page.generation, page.upto.position))
            .args(writes)
    }
}
