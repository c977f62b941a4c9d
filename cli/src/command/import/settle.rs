//! Bringing one row into the log, once.
//!
//! A row is sent under its first id. A refusal is stored with that id for ever, so trying again needs another id, and
//! the row has a row of them: attempt 1, 2, 3 ... The rule that keeps a row from being applied twice, over any number of
//! runs, broken off anywhere:
//!
//! > attempt n + 1 is sent only after attempt n was answered with a *stored* refusal.
//!
//! Then at most one attempt of a row is ever accepted. The log alone knows which; there is no file beside it that could
//! be lost, or not yet be written when the process is killed.
//!
//! A run without `--retry-refused` must find an attempt that an earlier run with it made, and make none itself. No call
//! looks an id up, but opening the account once more under that id does: the account is there, so it is never
//! opened, and that answer is not stored and leaves the id open; an id that has been decided is answered with
//! `REQUEST_ID_REUSED`.

use tonic::{Code, Status};
use uuid::Uuid;

use super::{
    request_ids::RequestIds,
    row::{AccountRows, Row},
};
use crate::{call::Undelivered, failure::Refusal};

/// A row that was refused so often is not going to be accepted, and each run walks over all its attempts.
const ATTEMPTS_MAX: u32 = 100;

/// Refusals that are kept in the log with their request id. Others leave it open, or mean that it is another command's.
const STORED: [&str; 5] = [
    "INSUFFICIENT_FUNDS",
    "ACCOUNT_FROZEN",
    "ACCOUNT_CLOSED",
    "CURRENCY_MISMATCH",
    "BALANCE_OVERFLOW",
];

/// The write side, as far as an import needs it.
pub(super) trait Bank {
    /// Opens an account.
    async fn open(&self, account: &AccountRows, request_id: Uuid) -> Result<Opened, Undelivered>;
    /// Sends a row as a command. `Applied` also when it had been applied before.
    async fn execute(
        &self,
        account: &AccountRows,
        row: &Row,
        request_id: Uuid,
    ) -> Result<Applied, Undelivered>;
}

/// An account was opened, now or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) replayed: bool,
    /// In minor units, if the answer says it.
    pub(super) balance: Option<i64>,
}

/// A row was applied, now or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) replayed: bool,
    /// In minor units, right after the row.
    pub(super) balance_after: i64,
}

/// Sends rows.
pub(super) struct Settling<B> {
    pub(super) bank: B,
    pub(super) ids: RequestIds,
    pub(super) retry_refused: bool,
}

impl<B: Bank> Settling<B> {
    /// Opens the account; fine if somebody else did.
    pub(super) async fn open(&self, account: &AccountRows) -> Result<Opened, Undelivered> {
        let id = self.ids.opening(account.account_id.as_str());
        match self.bank.open(account, id).await {
            Err(Undelivered::Refused(refusal)) if refusal.reason == "ACCOUNT_ALREADY_EXISTS" => {
                Ok(Opened { replayed: true, balance: None }) // in another currency, its first row will be refused
            }
            result => result,
        }
    }

    /// Brings the row into the log unless it is there, and says how it stands.
    pub(super) async fn settle(
        &self,
        account: &AccountRows,
        row: &Row,
    ) -> Result<Applied, Undelivered> {
        let mut refused: Option<Refusal> = None;
        for attempt in 1..=ATTEMPTS_MAX {
            let id = self.ids.row(&row.transaction, attempt);
            if let Some(earlier) = &refused
                && !self.retry_refused
                && !self.is_decided(account, id).await?
            {
                return Err(Undelivered::Refused(earlier.clone()));
            }
            match self.bank.execute(account, row, id).await {
                Err(Undelivered::Refused(refusal)) if is_stored_before(&refusal) => {
                    refused = Some(refusal);
                }
                result => return result,
            }
        }
        let mut refusal = refused.unwrap_or_else(|| Refusal::new(&Status::ok("")));
        refusal.message =
            format!("refused {ATTEMPTS_MAX} times, the last time: {}", refusal.message);
        Err(Undelivered::Refused(refusal))
    }

    /// Whether an outcome is stored with this id. Changes nothing.
    async fn is_decided(&self, account: &AccountRows, id: Uuid) -> Result<bool, Undelivered> {
        match self.bank.open(account, id).await {
            Err(Undelivered::Refused(refusal)) if refusal.reason == "ACCOUNT_ALREADY_EXISTS" => {
                Ok(false)
            }
            Err(Undelivered::Refused(refusal)) if refusal.reason == "REQUEST_ID_REUSED" => Ok(true),
            Err(undelivered) => Err(undelivered),
            Ok(_) => {
                let account_id = &account.account_id;
                let lost = Status::data_loss(format!("account {account_id} was there and is gone"));
                Err(Undelivered::Refused(Refusal::new(&lost)))
            }
        }
    }
}

/// A refusal of this very moment ends the attempts of this run; one that is repeated from the log may have been followed
/// by another attempt.
fn is_stored_before(refusal: &Refusal) -> bool {
    let is_new = refusal.metadata.get("replayed").is_some_and(|replayed| replayed == "false");
    is_stored(refusal) && !is_new
}

fn is_stored(refusal: &Refusal) -> bool {
    refusal.code == Code::FailedPrecondition && STORED.contains(&refusal.reason.as_str())
}

#[cfg(test)]
mod tests;
