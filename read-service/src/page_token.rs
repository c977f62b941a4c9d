//! Page tokens: where the next page of a list begins, bound to the list it is of.
//!
//! A token names an account id or an entry number, never a place in Redis, so it stays valid when
//! the read model is rebuilt. The check sum covers the question too: a token that was altered or
//! belongs to another account or owner is refused. It keeps mistakes out, not attackers: whoever
//! forges one sees nothing but a page that could be asked for anyway.

use ledger::{AccountId, OwnerId, StreamVersion};
use sha2::{Digest, Sha256};

/// First byte of every token; another number will mean another form.
const VERSION: u8 = 1;

/// So many bytes of the check sum are kept.
const CHECK_BYTES: usize = 8;

/// Longest token in hex digits: an account id, with version and check sum around it.
const TEXT_BYTES_MAX: usize = 2 * (1 + 64 + CHECK_BYTES);

/// The text is not a token that this list gave.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the next_page_token of this very list")]
pub(crate) struct PageTokenInvalid;

/// The list a token is of.
#[derive(Clone, Copy)]
pub(crate) enum PagedList<'a> {
    /// The accounts of an owner.
    Accounts(&'a OwnerId),
    /// The statement of an account.
    Statement(&'a AccountId),
}

impl PagedList<'_> {
    fn check_sum(self, place: &[u8]) -> [u8; CHECK_BYTES] {
        let (kind, subject) = match self {
            Self::Accounts(owner) => (b"accounts\0", owner.as_str()),
            Self::Statement(account) => (b"entries-\0", account.as_str()),
        };
        let mut hash = Sha256::new_with_prefix(b"counterfoil.page.v1\0");
        hash.update(kind);
        hash.update(subject.as_bytes());
        hash.update(b"\0"); // ids have no NUL, so subject and place cannot run into each other
        hash.update(place);
        let mut check_sum = [0; CHECK_BYTES];
        check_sum.copy_from_slice(&hash.finalize()[..CHECK_BYTES]);
        check_sum
    }

    fn write(self, place: &[u8]) -> String {
        let mut bytes = Vec::with_capacity(1 + place.len() + CHECK_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(place);
        bytes.extend_from_slice(&self.check_sum(place));
        hex::encode(bytes)
    }

    /// The place, if this list wrote the token.
    fn read(self, text: &str) -> Result<Vec<u8>, PageTokenInvalid> {
        // One token has one spelling: capitals would decode to the same bytes.
        if text.len() > TEXT_BYTES_MAX || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(PageTokenInvalid);
        }
        let bytes = hex::decode(text).map_err(|_| PageTokenInvalid)?;
        let (rest, check_sum) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(PageTokenInvalid)?;
        let (version, place) = rest.split_first().ok_or(PageTokenInvalid)?;
        if *version != VERSION || self.check_sum(place) != *check_sum {
            return Err(PageTokenInvalid);
        }
        Ok(place.to_vec())
    }
}

/// The page of an owner's accounts that begins after this one.
pub(crate) fn accounts_after(owner: &OwnerId, last: &AccountId) -> String {
    PagedList::Accounts(owner).write(last.as_str().as_bytes())
}

/// Undoes [`accounts_after`].
pub(crate) fn read_accounts_after(
    owner: &OwnerId,
    text: &str,
) -> Result<AccountId, PageTokenInvalid> {
    let place = PagedList::Accounts(owner).read(text)?;
    let id = str::from_utf8(&place).map_err(|_| PageTokenInvalid)?;
    AccountId::new(id).map_err(|_| PageTokenInvalid)
}

/// The page of a statement with the entries below this number.
pub(crate) fn entries_before(account: &AccountId, before: StreamVersion) -> String {
    PagedList::Statement(account).write(&before.get().to_be_bytes())
}

/// Undoes [`entries_before`].
pub(crate) fn read_entries_before(
    account: &AccountId,
    text: &str,
) -> Result<StreamVersion, PageTokenInvalid> {
    let place = PagedList::Statement(account).read(text)?;
    let number = place.try_into().map_err(|_| PageTokenInvalid)?;
    StreamVersion::new(i64::from_be_bytes(number)).ok_or(PageTokenInvalid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account(id: &str) -> AccountId {
        AccountId::new(id).unwrap()
    }

    fn owner(id: &str) -> OwnerId {
        OwnerId::new(id).unwrap()
    }

    #[test]
    fn a_token_reads_back_in_its_own_list() {
        for number in [0, 1, 64, i64::MAX] {
            let before = StreamVersion::new(number).unwrap();
            let token = entries_before(&account("alice"), before);
            assert_eq!(read_entries_before(&account("alice"), &token), Ok(before));
        }
        for id in ["a", "a.b:c", &"x".repeat(64)] {
            let token = accounts_after(&owner("acme"), &account(id));
            assert_eq!(read_accounts_after(&owner("acme"), &token), Ok(account(id)));
        }
    }

    #[test]
    fn a_token_is_of_no_other_list() {
        let token = entries_before(&account("alice"), StreamVersion::FIRST);
        assert_eq!(read_entries_before(&account("bob"), &token), Err(PageTokenInvalid));
        // An owner and an account may have the same id.
        assert_eq!(read_accounts_after(&owner("alice"), &token), Err(PageTokenInvalid));
        let token = accounts_after(&owner("acme"), &account("alice"));
        assert_eq!(read_accounts_after(&owner("other"), &token), Err(PageTokenInvalid));
    }

    #[test]
    fn a_token_with_any_one_digit_changed_is_refused() {
        let token = entries_before(&account("alice"), StreamVersion::new(77).unwrap());
        for index in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[index] = if forged[index] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(
                read_entries_before(&account("alice"), &forged),
                Err(PageTokenInvalid),
                "{forged}"
            );
        }
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        let token = entries_before(&account("alice"), StreamVersion::new(77).unwrap());
        for text in
            ["", "0", "zz", "01", &token[2..], &token.to_uppercase(), "ä", &"00".repeat(5_000)]
        {
            assert_eq!(read_entries_before(&account("alice"), text), Err(PageTokenInvalid));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_given_for_a_token_is_read_as_it_was_written_or_refused(
            number in 0..=i64::MAX, text in "[0-9a-f]{0,60}|\\PC{0,40}", place in 0_usize..34, other in "[0-9a-z]",
        ) {
            let before = StreamVersion::new(number).unwrap();
            let token = entries_before(&account("alice"), before);
            prop_assert_eq!(read_entries_before(&account("alice"), &token), Ok(before));
            prop_assert_eq!(read_entries_before(&account("alice"), &text), Err(PageTokenInvalid));
            let forged = format!("{}{other}{}", &token[..place], &token[place + 1..]);
            prop_assert_eq!(read_entries_before(&account("alice"), &forged).is_ok(), forged == token);
        }
    }

    #[test]
    fn tokens_handed_out_yesterday_still_read_today() {
        let token = "01000000000000004d";
        let written = entries_before(&account("alice"), StreamVersion::new(77).unwrap());
        assert_eq!(written, format!("{token}{GOLDEN_CHECK_SUM}"));
    }

    /// Computed with another SHA-256 than ours.
    const GOLDEN_CHECK_SUM: &str = "8407c1fba6037996";
}
