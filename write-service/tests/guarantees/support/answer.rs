//! What a caller was told, in a form that can be compared.

use std::{collections::BTreeMap, time::Duration};

use proto::{types, write};
use tonic::{Code, Status};
use tonic_types::{ErrorInfo, StatusExt};

/// What a call was answered with.
pub(crate) type Answer = Result<Done, Refusal>;

/// A command that was applied.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Done {
    pub(crate) write: write::WriteMetadata,
    pub(crate) account: types::Account,
    pub(crate) destination: Option<types::Account>,
    pub(crate) transaction: Option<types::Transaction>,
}

/// A command that was not, or of which nobody knows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Fields and why they are wrong.
    pub(crate) violations: Vec<(String, String)>,
    /// Types and subjects.
    pub(crate) preconditions: Vec<(String, String)>,
    pub(crate) retry_after: Option<Duration>,
}

impl Done {
    pub(crate) fn position(&self) -> i64 {
        self.write.position
    }

    pub(crate) fn balance(&self) -> i64 {
        self.account.balance.as_ref().unwrap().minor_units
    }

    pub(crate) fn version(&self) -> i64 {
        self.account.version
    }

    /// The same answer, but for whether it was given before.
    pub(crate) fn like_first(mut self) -> Self {
        self.write.replayed = false;
        self
    }
}

impl Refusal {
    /// The same refusal, but for whether it was given before.
    pub(crate) fn like_first(mut self) -> Self {
        if let Some(replayed) = self.metadata.get_mut("replayed") {
            "false".clone_into(replayed);
        }
        self
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.metadata.get("replayed").map(String::as_str) == Some("true")
    }

    pub(crate) fn applied(&self) -> &str {
        self.metadata.get("applied").map_or("", String::as_str)
    }

    /// Whether the command may be in the log all the same.
    pub(crate) fn is_unknown(&self) -> bool {
        self.applied() != "false"
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        // What no server of ours has said, a cut connection for one, says nothing about the command.
        let info = details.error_info().cloned().unwrap_or_else(|| ErrorInfo::new("", "", []));
        assert!(["", "counterfoil"].contains(&info.domain.as_str()), "{status:?}");
        let violations = details.bad_request().map(|bad| bad.field_violations.clone());
        let preconditions =
            details.precondition_failure().map(|failure| failure.violations.clone());
        Self {
            code: status.code(),
            reason: info.reason,
            message: status.message().to_owned(),
            metadata: info.metadata.into_iter().collect(),
            violations: violations
                .into_iter()
                .flatten()
                .map(|violation| (violation.field, violation.reason))
                .collect(),
            preconditions: preconditions
                .into_iter()
                .flatten()
                .map(|violation| (violation.r#type, violation.subject))
                .collect(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        }
    }
}

macro_rules! done_from {
    ($($message:ident: $transaction:expr),* $(,)?) => {$(
        impl From<write::$message> for Done {
            fn from(response: write::$message) -> Self {
                let transaction: fn(&write::$message) -> Option<types::Transaction> = $transaction;
                Self {
                    transaction: transaction(&response),
                    write: response.write.unwrap(),
                    account: response.account.unwrap(),
                    destination: None,
                }
            }
        }
    )*};
}

done_from!(
    OpenAccountResponse: |_| None,
    DepositResponse: |response| response.transaction.clone(),
    WithdrawResponse: |response| response.transaction.clone(),
    PayBillResponse: |response| response.transaction.clone(),
    SetOverdraftLimitResponse: |_| None,
    FreezeAccountResponse: |_| None,
    UnfreezeAccountResponse: |_| None,
    CloseAccountResponse: |_| None,
);

impl From<write::TransferResponse> for Done {
    fn from(response: write::TransferResponse) -> Self {
        Self {
            write: response.write.unwrap(),
            account: response.source_account.unwrap(),
            destination: response.destination_account,
            transaction: response.transaction,
        }
    }
}
