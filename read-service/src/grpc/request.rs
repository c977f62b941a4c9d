//! Requests, checked: every field is looked at, and all that is wrong is told at once.

use std::time::Duration;

use ledger::token::TokenError;
use ledger::{AccountId, OwnerId, StreamVersion, TransactionId};
use proto::read::ReadConsistency;
use proto::read::read_consistency::Requirement;

use crate::consistency::{Consistency, MAX_STALENESS_FIELD, TOKEN_FIELD};
use crate::error::{InvalidReason, Violations};
use crate::page_token;

/// Most accounts of one `BatchGetBalances`.
pub(super) const BATCH_ACCOUNTS_MAX: usize = 1000;

/// Accounts or transactions on a page whose size is not given.
const PAGE_SIZE_DEFAULT: usize = 50;

/// Most accounts or transactions on one page.
const PAGE_SIZE_MAX: usize = 500;

/// Looks at fields, and collects what is wrong with them.
#[derive(Default)]
pub(super) struct Checker {
    violations: Violations,
}

impl Checker {
    /// The checked fields, if nothing was wrong with any field.
    pub(super) fn finish<T>(self, fields: Option<T>) -> Result<T, Violations> {
        match fields {
            Some(fields) if self.violations.0.is_empty() => Ok(fields),
            _ => Err(self.violations),
        }
    }

    /// An empty one is malformed, as it is to the write-service.
    pub(super) fn account_id(&mut self, id: &str) -> Option<AccountId> {
        self.checked("account_id", InvalidReason::AccountIdMalformed, AccountId::new(id))
    }

    pub(super) fn account_ids(&mut self, ids: &[String]) -> Option<Vec<AccountId>> {
        let field = "account_ids";
        if ids.is_empty() {
            self.violations.add(field, InvalidReason::FieldRequired, "must name an account");
            return None;
        }
        if ids.len() > BATCH_ACCOUNTS_MAX {
            let limit =
                format_args!("names {} accounts; {BATCH_ACCOUNTS_MAX} are allowed", ids.len());
            self.violations.add(field, InvalidReason::BatchTooLarge, limit);
            return None; // its entries are not looked at: there may be a million of them
        }
        let mut checked = Vec::with_capacity(ids.len());
        for (index, id) in ids.iter().enumerate() {
            match AccountId::new(id) {
                Ok(id) => checked.push(id),
                Err(malformed) => {
                    let field = format!("{field}[{index}]");
                    self.violations.add(field, InvalidReason::AccountIdMalformed, malformed);
                }
            }
        }
        (checked.len() == ids.len()).then_some(checked)
    }

    pub(super) fn owner_id(&mut self, id: &str) -> Option<OwnerId> {
        let field = "owner_id";
        self.required(field, id)?;
        self.checked(field, InvalidReason::OwnerIdMalformed, OwnerId::new(id))
    }

    pub(super) fn transaction_id(&mut self, id: &str) -> Option<TransactionId> {
        let field = "transaction_id";
        self.required(field, id)?;
        self.checked(field, InvalidReason::TransactionIdMalformed, id.parse())
    }

    pub(super) fn page_size(&mut self, page_size: i32) -> Option<usize> {
        match usize::try_from(page_size) {
            Ok(0) => Some(PAGE_SIZE_DEFAULT),
            Ok(size) => Some(size.min(PAGE_SIZE_MAX)),
            Err(_) => {
                let reason = InvalidReason::PageSizeInvalid;
                self.violations.add("page_size", reason, "must not be negative");
                None
            }
        }
    }

    /// Where a page of an owner's accounts begins. Without an owner no token can be judged.
    pub(super) fn accounts_page(
        &mut self,
        owner: Option<&OwnerId>,
        token: &str,
    ) -> Option<Option<AccountId>> {
        if token.is_empty() {
            return Some(None);
        }
        let after = page_token::read_accounts_after(owner?, token);
        self.checked("page_token", InvalidReason::PageTokenInvalid, after).map(Some)
    }

    /// Where a page of a statement begins. Without an account no token can be judged.
    pub(super) fn statement_page(
        &mut self,
        account: Option<&AccountId>,
        token: &str,
    ) -> Option<Option<StreamVersion>> {
        if token.is_empty() {
            return Some(None);
        }
        let before = page_token::read_entries_before(account?, token);
        self.checked("page_token", InvalidReason::PageTokenInvalid, before).map(Some)
    }

    pub(super) fn consistency(&mut self, asked: Option<&ReadConsistency>) -> Option<Consistency> {
        match asked.and_then(|asked| asked.requirement.as_ref()) {
            None => Some(Consistency::Any),
            Some(Requirement::AtLeastAsFresh(token)) => match token.parse() {
                Ok(token) => Some(Consistency::AtLeast(token)),
                Err(TokenError::DifferentLogs) => Some(Consistency::TokensOfSeveralLogs),
                Err(error @ TokenError::Malformed) => {
                    self.violations.add(TOKEN_FIELD, InvalidReason::TokenMalformed, error);
                    None
                }
            },
            Some(Requirement::MaxStaleness(duration)) => {
                let staleness = duration_of(duration);
                if staleness.is_none() {
                    let reason = InvalidReason::ConsistencyInvalid;
                    let rule = "must be a duration of zero or more";
                    self.violations.add(MAX_STALENESS_FIELD, reason, rule);
                }
                staleness.map(Consistency::StaleAtMost)
            }
        }
    }

    fn required(&mut self, field: &str, text: &str) -> Option<()> {
        if text.is_empty() {
            self.violations.add(field, InvalidReason::FieldRequired, "is required");
            return None;
        }
        Some(())
    }

    fn checked<T>(
        &mut self,
        field: &str,
        reason: InvalidReason,
        checked: Result<T, impl std::fmt::Display>,
    ) -> Option<T> {
        checked.inspect_err(|error| self.violations.add(field, reason, error)).ok()
    }
}

/// A protobuf duration that is not negative and has the one form the format allows.
fn duration_of(duration: &prost_types::Duration) -> Option<Duration> {
    const SECONDS_MAX: u64 = 315_576_000_000; // ten thousand years, by google/protobuf/duration.proto
    let seconds = u64::try_from(duration.seconds).ok().filter(|seconds| *seconds <= SECONDS_MAX)?;
    let nanos = u32::try_from(duration.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(checker: Checker) -> Vec<(String, InvalidReason)> {
        let violations = checker.finish(None::<()>).unwrap_err();
        violations.0.into_iter().map(|v| (v.field, v.reason)).collect()
    }

    fn staleness(seconds: i64, nanos: i32) -> ReadConsistency {
        let duration = prost_types::Duration { seconds, nanos };
        ReadConsistency { requirement: Some(Requirement::MaxStaleness(duration)) }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let mut checker = Checker::default();
        let token = ReadConsistency { requirement: Some(Requirement::AtLeastAsFresh("x".into())) };
        checker.account_id("");
        checker.page_size(-1);
        checker.consistency(Some(&token));
        let all = [
            ("account_id".to_owned(), InvalidReason::AccountIdMalformed),
            ("page_size".to_owned(), InvalidReason::PageSizeInvalid),
            (TOKEN_FIELD.to_owned(), InvalidReason::TokenMalformed),
        ];
        assert_eq!(reasons(checker), all);
    }

    #[test]
    fn every_malformed_account_of_a_batch_is_named_by_its_place() {
        let mut checker = Checker::default();
        let ids = ["a", "", "b", "-"].map(str::to_owned);
        assert_eq!(checker.account_ids(&ids), None);
        let fields: Vec<_> = reasons(checker).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["account_ids[1]", "account_ids[3]"]);
    }

    #[test]
    fn a_batch_has_1_to_1000_accounts() {
        let ids = |count| vec!["a".to_owned(); count];
        assert_eq!(Checker::default().account_ids(&ids(1000)).unwrap().len(), 1000);
        for (count, reason) in
            [(0, InvalidReason::FieldRequired), (1001, InvalidReason::BatchTooLarge)]
        {
            let mut checker = Checker::default();
            assert_eq!(checker.account_ids(&ids(count)), None);
            assert_eq!(reasons(checker), [("account_ids".to_owned(), reason)]);
        }
    }

    #[test]
    fn page_sizes_have_a_default_and_a_maximum() {
        let size = |size| Checker::default().page_size(size);
        assert_eq!([size(0), size(1), size(500)], [Some(50), Some(1), Some(500)]);
        assert_eq!([size(501), size(i32::MAX)], [Some(500), Some(500)]);
        assert_eq!([size(-1), size(i32::MIN)], [None, None]);
    }

    #[test]
    fn staleness_is_a_duration_of_zero_or_more() {
        let read =
            |seconds, nanos| Checker::default().consistency(Some(&staleness(seconds, nanos)));
        let most = |duration| Some(Consistency::StaleAtMost(duration));
        assert_eq!(read(0, 0), most(Duration::ZERO));
        assert_eq!(read(2, 500_000_000), most(Duration::from_millis(2500)));
        for (seconds, nanos) in
            [(-1, 0), (0, -1), (1, 1_000_000_000), (i64::MAX, 0), (i64::MIN, i32::MIN)]
        {
            assert_eq!(read(seconds, nanos), None, "{seconds} s {nanos} ns");
        }
    }

    #[test]
    fn asking_for_nothing_in_particular_means_what_is_there() {
        let unset = ReadConsistency { requirement: None };
        assert_eq!(Checker::default().consistency(None), Some(Consistency::Any));
        assert_eq!(Checker::default().consistency(Some(&unset)), Some(Consistency::Any));
    }
}
