//! What the answer to an append means for the commands in it.

use event_store::{AppendError, Appended, Error};

use super::{Deferred, Sequencer, batch::SealedBatch};

/// Why nothing more is sent until [`Sequencer::recover`] has been through. In the order of weight: the heaviest counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// Another instance wrote.
    HeadMoved,
    /// A command is in the log already.
    RequestIdTaken,
    /// Another append holds the head and does not end.
    HeadBusy,
    /// Nothing can be stored.
    Storage,
    /// Memory and log disagree.
    Contradiction,
    /// The log is another incarnation.
    LogChanged,
    /// The connections are lost, or were never made.
    Lost,
    /// The log contradicts itself.
    Corrupt(String),
}

impl Sequencer {
    /// Answers a batch that is stored; keeps one that is not for [`Sequencer::recover`].
    pub(super) fn settle(
        &mut self,
        batch: SealedBatch,
        result: Result<Vec<Appended>, AppendError>,
    ) {
        match result {
            // One before it was given up, and must be in the log after all. Both are found there; answered now, this one would
            // be undone with it.
            Ok(_) if !self.failed.is_empty() => {
                self.note(Trouble::Lost);
                self.failed.push((batch, AppendError::Silent));
            }
            // The answer to another statement: something between us and the server has sent it twice, or has lost one.
            Ok(appended) if !self.is_answer_to(&batch, &appended) => {
                tracing::error!(
                    commands = batch.len(),
                    "the answer to an append is not that append's"
                );
                self.note(Trouble::Lost);
                self.failed.push((batch, AppendError::Silent));
            }
            Ok(appended) => {
                for Appended { shard, head } in &appended {
                    self.confirmed[shard.index()] = *head;
                    self.metrics.head(*shard, head.link.position);
                    self.heads_under_way.pop_front(); // in the order they were sent
                }
                self.batches_confirmed += 1;
                self.contradictions = 0;
                self.resolved_in_a_row = 0;
                for request_id in batch.answer(&appended) {
                    self.release(request_id);
                }
                self.doorbell.notify_one();
                self.answer_deferred();
            }
            Err(error) => {
                self.note(match &error {
                    AppendError::HeadMoved => Trouble::HeadMoved,
                    AppendError::RequestIdTaken => Trouble::RequestIdTaken,
                    AppendError::LogChanged => Trouble::LogChanged,
                    AppendError::HeadBusy => Trouble::HeadBusy,
                    AppendError::Contradiction(cause) => {
                        tracing::error!(error = %cause, "the log refused a batch that contradicts it");
                        Trouble::Contradiction
                    }
                    AppendError::Storage(_) => Trouble::Storage,
                    AppendError::Silent => {
                        tracing::warn!(commands = batch.len(), "the database does not answer an append");
                        Trouble::Lost
                    }
                    AppendError::Unknown(cause) => {
                        tracing::warn!(error = %cause, commands = batch.len(), "the answer to an append was lost");
                        Trouble::Lost
                    }
                });
                self.metrics.append_failed(&error);
                self.failed.push((batch, error));
            }
        }
    }

    /// Whether this is what the database says of this batch: only it can hash behind the confirmed heads.
    fn is_answer_to(&self, batch: &SealedBatch, appended: &[Appended]) -> bool {
        batch.attempt.heads_after().count() == appended.len()
            && appended.iter().all(|part| part.follows(&self.confirmed[part.shard.index()].link))
    }

    /// Answers refusals that rest on nothing that is still under way.
    pub(super) fn answer_deferred(&mut self) {
        let confirmed = self.batches_confirmed;
        let (due, waiting) = std::mem::take(&mut self.deferred)
            .into_iter()
            .partition::<Vec<_>, _>(|deferred| deferred.after_batch <= confirmed);
        self.deferred = waiting;
        for Deferred { pending, refusal, .. } in due {
            self.refuse(pending, refusal);
        }
    }

    /// Notes trouble; the heaviest counts.
    pub(super) fn note(&mut self, trouble: Trouble) {
        if self.trouble.as_ref().is_none_or(|noted| *noted < trouble) {
            self.trouble = Some(trouble);
        }
    }

    /// Notes trouble with reading.
    pub(super) fn note_failure(&mut self, error: &Error) {
        match error {
            Error::Corrupt { .. } => self.note(Trouble::Corrupt(error.to_string())),
            Error::Unavailable { .. }
            | Error::Refused { .. }
            | Error::Silent(_)
            | Error::Standby
            | Error::Unsafe(_)
            | Error::NotUnderstood { .. }
            | Error::Settings(_) => {
                tracing::warn!(error = error.detail(), "the log cannot be read");
                self.note(Trouble::Lost);
            }
        }
    }
}
