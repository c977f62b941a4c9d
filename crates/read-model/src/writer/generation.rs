//! The life of a generation: begun, built beside the visible one, swapped in, retired, dropped.

use ledger::Shard;

use super::Writer;
use crate::{
    Checkpoint, Error, Generation, View, ViewStatus,
    reader::ScanCursor,
    reader::{announcement, scan_step},
    script,
    value::{LOG_BYTES, POSITION_OFFSET},
};

/// What became of a wish for a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildRequest {
    /// A projector will begin one.
    Requested,
    /// One is under way.
    AlreadyBuilding(Generation),
}

/// What became of a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapOutcome {
    /// Queries see the other generation now.
    Swapped,
    /// Things are not as the caller saw them. Look again.
    Moved,
    /// The other generation is behind the visible one: queries would go back in time.
    Behind,
}

impl Writer {
    /// Asks the projectors to build a view anew beside the visible generation. What is being built already fulfils the
    /// wish when it becomes visible; until then, the wish says that the log is to be believed and not a checkpoint.
    ///
    /// # Errors
    /// [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn request_rebuild(&self, view: View, shard: Shard) -> Result<RebuildRequest, Error> {
        let building = self.status(view, shard).await?.building;
        let mut set = redis::cmd("SET");
        set.arg(self.keys.view(view, shard).rebuild()).arg(1);
        self.connection.command::<()>("request a rebuild", &set).await?;
        Ok(match building {
            Some(building) => RebuildRequest::AlreadyBuilding(building.generation),
            None => RebuildRequest::Requested,
        })
    }

    /// Begins a generation at the beginning of the log, in place of whatever was being built. `None`: somebody
    /// else was faster.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn begin(
        &self,
        status: &ViewStatus,
        genesis: &Checkpoint,
    ) -> Result<Option<Generation>, Error> {
        let seen = [status.visible, status.building, status.retired];
        let highest = seen.into_iter().flatten().map(|seen| seen.generation.get()).max();
        // The time, so that a number is not given twice even if Redis has forgotten all of them; and more than
        // any number that is there, in case its clock went back.
        let next = highest.map_or(1, |highest| highest.saturating_add(1));
        // Only an edit leads to the last number there is. Then the time alone has to do.
        let next = if next < Generation::NUMBER_LIMIT { next } else { 1 };
        let number = self.now_ms().await?.max(next);
        let Some(generation) = Generation::new(number) else { return Ok(None) };
        let names = self.keys.view(status.view, status.shard);
        let building = status.building.map(|building| building.generation.to_string());
        let begun: i64 = script::BEGIN
            .on(&[names.building(), names.rebuild(), names.generation(generation).checkpoint()])
            .arg(building.unwrap_or_default())
            .arg(generation.get())
            .arg(genesis.encode())
            .run("begin a generation", &self.connection)
            .await?;
        Ok((begun == 1).then_some(generation))
    }

    /// Lets queries see another generation: the one being built, or, to go back, the retired one. Never takes
    /// queries back in one log: the other generation must include what the visible one does.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn swap(
        &self,
        status: &ViewStatus,
        target: Generation,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<SwapOutcome, Error> {
        let names = self.keys.view(status.view, status.shard);
        let visible = status.visible.map(|visible| visible.generation);
        // Without a visible generation there is nothing to compare with, and this key does not exist.
        let visible_checkpoint = visible
            .map_or_else(|| names.visible(), |visible| names.generation(visible).checkpoint());
        let known = [status.building, status.retired].into_iter().flatten();
        let known = known.filter(|known| known.generation == target);
        let announced = known.filter_map(|known| known.checkpoint).next();
        let position = announced.map_or(ledger::Position::ZERO, |checkpoint| checkpoint.position);
        let outcome: i64 = script::SWAP
            .on(&[
                names.visible(),
                names.building(),
                names.retired(),
                visible_checkpoint,
                names.generation(target).checkpoint(),
                names.generation(target).filling(),
                names.rebuild(),
            ])
            .arg(visible.map(|visible| visible.to_string()).unwrap_or_default())
            .arg(target.get())
            .arg(checkpoint.map(Checkpoint::encode).unwrap_or_default())
            .arg(POSITION_OFFSET)
            .arg(LOG_BYTES)
            .arg(self.keys.checkpoints(status.shard))
            .arg(announcement(status.view, target, position))
            .run("swap generations", &self.connection)
            .await?;
        Ok(match outcome {
            1 => SwapOutcome::Swapped,
            -1 => SwapOutcome::Behind,
            _ => SwapOutcome::Moved,
        })
    }

    /// Lets queries see the generation again that was visible before, if there still is one.
    ///
    /// # Errors
    /// [`Error::Conflict`] when no generation is retired; [`Error::Inconsistent`], [`Error::Unavailable`].
    pub async fn roll_back(&self, view: View, shard: Shard) -> Result<SwapOutcome, Error> {
        let status = self.status(view, shard).await?;
        let retired = status.retired.ok_or(Error::Conflict { doing: "roll back" })?;
        self.swap(&status, retired.generation, None).await
    }

    /// Takes a generation's checkpoint away, if it still is the one that was seen, whether or not queries see it: from now
    /// on it answers nothing and cannot be continued. `false`: its checkpoint is another one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn give_up(
        &self,
        view: View,
        shard: Shard,
        generation: Generation,
        seen: &Checkpoint,
    ) -> Result<bool, Error> {
        let names = self.keys.view(view, shard).generation(generation);
        self.forget(&names.checkpoint(), &seen.encode()).await
    }

    /// Forgets a generation that queries do not see: from now on nobody can write to it. Its data is left behind.
    /// `false`: queries see it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forget_generation(
        &self,
        view: View,
        shard: Shard,
        generation: Generation,
    ) -> Result<bool, Error> {
        let names = self.keys.view(view, shard);
        let checkpoint = names.generation(generation).checkpoint();
        let forgotten: i64 = script::DROP
            .on(&[names.visible(), names.building(), names.retired(), checkpoint])
            .arg(generation.get())
            .run("forget a generation", &self.connection)
            .await?;
        Ok(forgotten == 1)
    }

    /// Forgets a generation that queries do not see, then removes its data, step by step. `false`: queries see it, or a
    /// pointer names it again, and what is left of its data stays.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; what is left of the data is found by [`Writer::drop_orphans`].
    pub async fn drop_generation(
        &self,
        view: View,
        shard: Shard,
        generation: Generation,
    ) -> Result<bool, Error> {
        if !self.forget_generation(view, shard, generation).await? {
            return Ok(false);
        }
        let keys = self.keys.view(view, shard).generation(generation);
        let mut cursor = Some(ScanCursor::START);
        while let Some(at) = cursor {
            let (next, found) = scan_step(&self.connection, &keys.pattern(), at).await?;
            if self.unlink(view, shard, generation, found).await?.is_none() {
                return Ok(false);
            }
            cursor = next;
        }
        Ok(true)
    }

    /// Removes keys of a generation that no pointer names, and says how many were there. `None`: one names it.
    pub(super) async fn unlink(
        &self,
        view: View,
        shard: Shard,
        generation: Generation,
        found: Vec<String>,
    ) -> Result<Option<usize>, Error> {
        if found.is_empty() {
            return Ok(Some(0));
        }
        let names = self.keys.view(view, shard);
        let mut keys = vec![names.visible(), names.building(), names.retired()];
        keys.extend(found);
        let unlink = script::UNLINK.on(&keys).arg(generation.get());
        let removed: i64 = unlink.run("unlink keys", &self.connection).await?;
        Ok(usize::try_from(removed).ok())
    }
}
