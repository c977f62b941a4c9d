//! Who calls, and how far their rights reach.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use ledger::{AccountId, Opening, OwnerId};

/// Longest name of an actor in the log. It is never cut: two that began alike would be one.
pub(crate) const ACTOR_BYTES_MAX: usize = 200;

/// What a method may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Queries about accounts.
    Read,
    /// Commands on accounts.
    Write,
    /// Queries about the whole bank.
    Admin,
}

impl Scope {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Who sent a call. Clones share it.
#[derive(Clone, Debug)]
pub struct Caller {
    identity: Arc<Identity>,
    until: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Identity {
    /// `None` when access is not controlled.
    pub(crate) actor: Option<String>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) reach: Reach,
}

impl Caller {
    pub(crate) fn new(identity: Identity) -> Self {
        Self { identity: Arc::new(identity), until: None }
    }

    /// The same, whose credential counts no longer from then on, in seconds since 1970.
    pub(crate) fn ending(self, until: u64) -> Self {
        Self { until: Some(until), ..self }
    }

    /// Whoever it is, where access is not controlled.
    pub(crate) fn anyone() -> Self {
        let (actor, scopes, reach) = (None, Vec::new(), Reach::everything());
        Self::new(Identity { actor, scopes, reach })
    }

    /// Its name in the log: `token:` and the subject, or the kind and name in its certificate, such as `uri:` or `subject:`.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.identity.actor.as_deref()
    }

    /// Which accounts are its business.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        &self.identity.reach
    }

    /// From when on its credential counts no longer, in seconds since 1970.
    #[must_use]
    pub fn until(&self) -> Option<u64> {
        self.until
    }

    pub(crate) fn has(&self, scope: Scope) -> bool {
        self.identity.scopes.contains(&scope)
    }
}

/// The accounts that are a caller's business. Clones share it.
///
/// To a caller whose reach is not everything, an account that does not exist and one out of reach are the same.
#[derive(Clone)]
pub struct Reach(Option<Arc<Part>>);

/// Some accounts: those named, and those of some owners.
struct Part {
    accounts: HashSet<String>,
    owners: HashSet<String>,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("everything"),
            Some(part) => {
                write!(f, "{} accounts, {} owners", part.accounts.len(), part.owners.len())
            }
        }
    }
}

impl Reach {
    /// Every account, whether it exists or not.
    #[must_use]
    pub fn everything() -> Self {
        Self(None)
    }

    /// These accounts, and all of these owners.
    #[must_use]
    pub fn of(accounts: &[AccountId], owners: &[OwnerId]) -> Self {
        let accounts = accounts.iter().map(|id| id.as_str().to_owned()).collect();
        let owners = owners.iter().map(|id| id.as_str().to_owned()).collect();
        Self(Some(Arc::new(Part { accounts, owners })))
    }

    /// Whether it is every account.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// Whether an account with this id could be in reach, for all that can be known without its owner. What could not need
    /// not be looked for.
    #[must_use]
    pub fn may_include(&self, account_id: &str) -> bool {
        self.0.as_ref().is_none_or(|part| !part.owners.is_empty() || part.names(account_id))
    }

    /// Whether this account is in reach by its id alone.
    #[must_use]
    pub fn names(&self, account_id: &str) -> bool {
        self.0.as_ref().is_none_or(|part| part.names(account_id))
    }

    /// Whether this account is in reach.
    #[must_use]
    pub fn includes(&self, opening: &Opening) -> bool {
        self.0.as_ref().is_none_or(|part| {
            let is_owned = |owner: &OwnerId| part.owns(owner.as_str());
            part.names(opening.account_id.as_str())
                || opening.owner_id.as_ref().is_some_and(is_owned)
        })
    }

    /// Whether all accounts of this owner are in reach, those to come included.
    #[must_use]
    pub fn includes_owner(&self, owner_id: &str) -> bool {
        self.0.as_ref().is_none_or(|part| part.owns(owner_id))
    }

    /// Whether an account with this id may be opened for this owner, who may be nobody. Nobody may put an account into another's
    /// list.
    #[must_use]
    pub fn may_open(&self, account_id: &str, owner_id: &str) -> bool {
        self.0.as_ref().is_none_or(|part| {
            part.owns(owner_id) || (owner_id.is_empty() && part.names(account_id))
        })
    }
}

impl Part {
    fn names(&self, account_id: &str) -> bool {
        self.accounts.contains(account_id)
    }

    fn owns(&self, owner_id: &str) -> bool {
        self.owners.contains(owner_id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ledger::Currency;

    use super::*;

    fn reach(accounts: &[&str], owners: &[&str]) -> Reach {
        let accounts: Vec<_> = accounts.iter().map(|id| AccountId::new(id).unwrap()).collect();
        let owners: Vec<_> = owners.iter().map(|id| OwnerId::new(id).unwrap()).collect();
        Reach::of(&accounts, &owners)
    }

    fn account(id: &str, owner: Option<&str>) -> Opening {
        Opening {
            account_id: AccountId::new(id).unwrap(),
            owner_id: owner.map(|owner| OwnerId::new(owner).unwrap()),
            currency: Currency::new("EUR").unwrap(),
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn an_account_is_in_reach_by_its_id_or_by_its_owner() {
        let reach = reach(&["a"], &["acme"]);
        assert!(reach.includes(&account("a", None)));
        assert!(reach.includes(&account("a", Some("other"))));
        assert!(reach.includes(&account("b", Some("acme"))));
        assert!(!reach.includes(&account("b", Some("other"))));
        assert!(!reach.includes(&account("b", None)));
        // An id of one kind is none of the other.
        assert!(!reach.includes(&account("acme", Some("a"))));
    }

    #[test]
    fn accounts_are_opened_for_oneself_only() {
        let by_owner = reach(&[], &["acme"]);
        assert!(by_owner.may_open("new", "acme"));
        assert!(!by_owner.may_open("new", "other") && !by_owner.may_open("new", ""));
        let by_account = reach(&["a"], &[]);
        assert!(by_account.may_open("a", ""));
        assert!(!by_account.may_open("a", "other") && !by_account.may_open("b", ""));
        assert!(Reach::everything().may_open("b", "other"));
    }

    #[test]
    fn without_owners_only_what_is_named_is_looked_for() {
        let by_account = reach(&["a"], &[]);
        assert!(by_account.may_include("a") && !by_account.may_include("b"));
        assert!(reach(&[], &["acme"]).may_include("b"));
        let nothing = reach(&[], &[]);
        assert!(!nothing.may_include("a") && !nothing.includes(&account("a", None)));
    }
}
