//! What a token's claims and a line of the file of rights say alike.

use ledger::{AccountId, OwnerId};
use serde::Deserialize;

use crate::caller::{Reach, Scope};

/// Stands for every account.
const EVERYTHING: &str = "*";

/// What somebody may do. What is left out is not allowed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Claims {
    /// Words between spaces, of which `read`, `write` and `admin` mean something here.
    pub(crate) scope: String,
    /// `"*"`, or a list of account ids.
    pub(crate) accounts: Accounts,
    /// A list of owner ids.
    pub(crate) owners: Vec<String>,
}

/// The accounts named.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Accounts {
    Word(String),
    Ids(Vec<String>),
}

impl Default for Accounts {
    fn default() -> Self {
        Self::Ids(Vec::new())
    }
}

/// The claims make no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClaimsMalformed {
    #[error("accounts must be \"*\" or a list of account ids")]
    Accounts,
    #[error("owners must be a list of owner ids")]
    Owners,
}

impl Claims {
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        let has = |scope: &Scope| self.scope.split(' ').any(|word| word == scope.name());
        [Scope::Read, Scope::Write, Scope::Admin].into_iter().filter(has).collect()
    }

    pub(crate) fn reach(&self) -> Result<Reach, ClaimsMalformed> {
        let owners: Result<Vec<_>, _> = self.owners.iter().map(|id| OwnerId::new(id)).collect();
        let owners = owners.map_err(|_| ClaimsMalformed::Owners)?;
        let accounts: Result<Vec<_>, _> = match &self.accounts {
            Accounts::Word(word) if word == EVERYTHING => return Ok(Reach::everything()),
            Accounts::Word(_) => return Err(ClaimsMalformed::Accounts),
            Accounts::Ids(ids) => ids.iter().map(|id| AccountId::new(id)).collect(),
        };
        Ok(Reach::of(&accounts.map_err(|_| ClaimsMalformed::Accounts)?, &owners))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn nothing_said_is_nothing_allowed() {
        let silent = claims("{}");
        assert!(silent.scopes().is_empty());
        assert!(!silent.reach().unwrap().may_include("a"));
    }

    #[test]
    fn scopes_are_whole_words_and_imply_no_other() {
        assert_eq!(claims(r#"{"scope": "openid write"}"#).scopes(), [Scope::Write]);
        assert_eq!(claims(r#"{"scope": "admin"}"#).scopes(), [Scope::Admin]);
        for none in ["readonly", "rewrite", "READ", "read,write", "read\twrite"] {
            assert!(claims(&serde_json::json!({ "scope": none }).to_string()).scopes().is_empty());
        }
    }

    #[test]
    fn only_a_star_by_itself_is_everything() {
        assert!(claims(r#"{"accounts": "*"}"#).reach().unwrap().is_everything());
        for malformed in
            [r#"{"accounts": "a"}"#, r#"{"accounts": ["*"]}"#, r#"{"accounts": ["a", ""]}"#]
        {
            assert_eq!(claims(malformed).reach().unwrap_err(), ClaimsMalformed::Accounts);
        }
        assert_eq!(claims(r#"{"owners": ["*"]}"#).reach().unwrap_err(), ClaimsMalformed::Owners);
        assert!(serde_json::from_str::<Claims>(r#"{"owners": "*"}"#).is_err());
    }
}
