//! Storing a page of changes together with the checkpoint that includes them.

use ledger::Shard;

use super::Writer;
use crate::{
    Change, Checkpoint, Error, Generation, GenerationKeys, Place, View,
    reader::announcement,
    script,
    script::Invocation,
    value::{index_of, record_start},
};

/// Texts and fields in one command. Lua takes some thousand words at once.
const TEXTS_MAX: usize = 1000;
const FIELDS_MAX: usize = 1000;

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
        let mut call = script::COMMIT
            .on(&[names.checkpoint()])
            .arg(page.expected.encode())
            .arg(page.upto.encode())
            .arg(self.keys.checkpoints(page.shard))
            .arg(announcement(page.view, page.generation, page.upto.position));
        write(&mut call, &names, &page.changes);
        call
    }
}

/// Adds the commands that make some changes, in the form in which the scripts run them.
pub(super) fn write(call: &mut Invocation, names: &GenerationKeys, changes: &[Change]) {
    // Texts are written together: one command for many costs much less.
    let mut texts: Vec<(String, Vec<u8>)> = Vec::with_capacity(changes.len().min(TEXTS_MAX));
    let mut changes = changes.iter().peekable();
    while let Some(change) = changes.next() {
        if let Change::Indexed { position, .. } = change {
            // Neighbours in one part are one write: where no transaction begins between them, there is nothing.
            let (key, first) = (names.transactions(*position), record_start(*position));
            let mut records = change.bytes().unwrap_or_default();
            while let Some(Change::Indexed { position: next, .. }) = changes.peek()
                && index_of(*next) == index_of(*position)
                && let Some(behind) = record_start(*next).checked_sub(first)
                && behind >= records.len()
                && let Some(next) = changes.next()
            {
                records.resize(behind, 0);
                records.extend(next.bytes().unwrap_or_default());
            }
            write_range(call, &key, first, records);
            continue;
        }
        if let Some((account, hash, field)) = change.field() {
            // Neighbours in one hash are one write.
            let mut fields = vec![(field, change)];
            while let Some(next) = changes.peek()
                && let Some((other, of_hash, field)) = next.field()
                && (other, of_hash) == (account, hash)
                && fields.len() < FIELDS_MAX
            {
                fields.push((field, next));
                changes.next();
            }
            command(call, "HSET", change.place(names).key(), 2 * fields.len());
            for (field, change) in fields {
                call.push(field);
                call.push(change.bytes().unwrap_or_default());
            }
            continue;
        }
        match (change.place(names), change.bytes()) {
            (Place::Text { key }, Some(value)) => {
                texts.push((key, value));
                if texts.len() == TEXTS_MAX {
                    write_texts(call, &mut texts);
                }
            }
            (Place::Range { key, start, .. }, Some(value)) => {
                write_texts(call, &mut texts);
                write_range(call, &key, start, value);
            }
            (Place::Member { key, member }, _) => {
                command(call, "ZADD", &key, 2);
                call.push(0);
                call.push(member);
            }
            (place, _) => {
                write_texts(call, &mut texts);
                command(call, "UNLINK", place.key(), 0);
            }
        }
    }
    write_texts(call, &mut texts);
}

fn write_texts(call: &mut Invocation, texts: &mut Vec<(String, Vec<u8>)>) {
    if texts.is_empty() {
        return;
    }
    call.push(1 + 2 * texts.len());
    call.push("MSET");
    for (key, value) in texts.drain(..) {
        call.push(key);
        call.push(value);
    }
}

fn write_range(call: &mut Invocation, key: &str, start: usize, bytes: Vec<u8>) {
    command(call, "SETRANGE", key, 2);
    call.push(start);
    call.push(bytes);
}

/// Begins a command with so many words behind its key.
fn command(call: &mut Invocation, name: &str, key: &str, more: usize) {
    call.push(2 + more);
    call.push(name);
    call.push(key);
}
