//! What a person can do about an error, by its reason.

/// One sentence, where there is more to say than the error itself does.
pub(super) fn advice(reason: &str) -> Option<&'static str> {
    about_what_was_asked(reason).or_else(|| about_whom_or_who_asked(reason))
}

fn about_what_was_asked(reason: &str) -> Option<&'static str> {
    let advice = match reason {
        "ACCOUNT_NOT_FOUND" => {
            "check the id, or open it with `counterfoil open`; an account opened a moment ago is seen by a query that \
             is given the token of its opening (--at-least)"
        }
        "ACCOUNT_ALREADY_EXISTS" => "choose another id; `counterfoil account` shows what is there",
        "ACCOUNT_CLOSED" => "a closed account stays closed: open another one",
        "ACCOUNT_FROZEN" => "`counterfoil unfreeze` lets debits through again",
        "ACCOUNT_NOT_FROZEN" => "nothing: debits are accepted",
        "INSUFFICIENT_FUNDS" => {
            "deposit more, or raise the limit with `counterfoil set-overdraft-limit`; then repeat it with a new \
             request id, because this one stays refused"
        }
        "LIMIT_ABOVE_BALANCE" => "the account is further below zero than that: deposit first",
        "BALANCE_NOT_ZERO" => {
            "withdraw or transfer what is left, then close it with a new request id"
        }
        "CURRENCY_MISMATCH" => "use the account's currency; Counterfoil does not exchange",
        "BATCH_REFUSED" => {
            "no command of the batch was applied: put right what is refused, and send all of it again"
        }
        "HOLDS_OPEN" => "close it when what is held back on it is settled, with a new request id",
        "BALANCE_OVERFLOW" => "an account cannot hold more: use another one",
        "VERSION_CONFLICT" => {
            "somebody else changed the account: look at it again, then decide with its present version and a new \
             request id"
        }
        "REQUEST_ID_REUSED" => {
            "another command has this request id: leave --request-id away to get a new one"
        }
        "TRANSACTION_NOT_FOUND" => {
            "check the id; of a transaction made a moment ago, give its token (--at-least)"
        }
        "TOKEN_MALFORMED" => "give a token as a write or read printed it, unshortened",
        "LOG_CHANGED" => "the log was replaced since that token was given: leave the token away",
        "HISTORY_NOT_KEPT" => "the read model keeps only newer entries; the log has all of them",
        "MESSAGE_TOO_LARGE" => "send less at once: fewer commands in a batch",
        "OUTCOME_UNKNOWN" => "send the same again, under the same request id: it tells the truth",
        _ => return None,
    };
    Some(advice)
}

fn about_whom_or_who_asked(reason: &str) -> Option<&'static str> {
    let advice = match reason {
        "READ_MODEL_LAGGING" => {
            "ask again in a moment; `counterfoil status` shows how far behind the views are"
        }
        "READ_MODEL_STALE" => {
            "allow more with --max-staleness; `counterfoil status` shows how far behind the views are"
        }
        "READ_MODEL_REBUILDING" => {
            "ask again when the view is built; `counterfoil status` shows how far it is"
        }
        "READ_STORE_UNAVAILABLE" => "check that Redis runs and that the read service reaches it",
        "LEDGER_UNAVAILABLE" => "check that Postgres runs and that the write service reaches it",
        "STORAGE_UNAVAILABLE" => "check Postgres: it is full, read-only or a standby",
        "LEDGER_UNSAFE" => "the message names the setting of Postgres to be changed",
        "LEDGER_CORRUPT" => {
            "no more writes until an operator has looked: `counterfoil verify` names the place; after restoring a \
             backup on purpose, `counterfoil new-incarnation`"
        }
        "RATE_LIMITED" => {
            "others are waiting too: have fewer commands under way, or ask again in a moment"
        }
        "OVERLOADED" => "the service has more to do than it takes on: ask again in a moment",
        "SHUTTING_DOWN" => {
            "ask again: another instance answers at once, or this one when it is back"
        }
        "CREDENTIALS_MISSING" => {
            "give --token-file, or --tls-cert-file and --tls-key-file with a client certificate"
        }
        "TOKEN_INVALID" => {
            "the message says what is wrong with the token: put another one into its file (--token-file), which is read \
             anew with every call"
        }
        "ACCOUNT_ACCESS_DENIED" => {
            "check the account's id, and what the token's claims `scope`, `accounts` and `owners`, or the service's \
             file of rights for client certificates, allow this caller"
        }
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => {
            "something on the way to the service asks for credentials, or for others: check the address, --token-file \
             and --tls-cert-file"
        }
        "UNAVAILABLE" | "UNKNOWN" => {
            "check that the service runs there (`counterfoil up` starts everything) and that the address is right"
        }
        "DEADLINE_EXCEEDED" | "DEADLINE_BEFORE_START" | "DEADLINE_PASSED" => {
            "the service did not answer in time: it has much to do, or is not the one at this address"
        }
        "UNIMPLEMENTED" | "METHOD_UNKNOWN" => {
            "another kind of server answers at this address: check --write-addr and --read-addr"
        }
        _ => return None,
    };
    Some(advice)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tonic::Code;

    use super::*;
    use crate::failure::Refusal;

    /// They say what is wrong with the request, and what it should be instead.
    const SAY_ALL: [&str; 26] = [
        "ACCOUNT_ID_MALFORMED",
        "AMOUNT_NOT_POSITIVE",
        "AMOUNT_TOO_LARGE",
        "BATCH_EMPTY",
        "BATCH_TOO_LARGE",
        "COMMAND_MISSING",
        "COMPRESSION_UNSUPPORTED",
        "CONSISTENCY_INVALID",
        "CURRENCY_INVALID",
        "ENUM_UNKNOWN",
        "FIELD_REQUIRED",
        "MESSAGE_MALFORMED",
        "METADATA_TOO_LARGE",
        "OVERDRAFT_LIMIT_INVALID",
        "OWNER_ID_MALFORMED",
        "PAGE_SIZE_INVALID",
        "PAGE_TOKEN_INVALID",
        "REQUEST_ID_DUPLICATE",
        "REQUEST_ID_MALFORMED",
        "REQUEST_ID_REQUIRED",
        "REQUEST_ID_UNEXPECTED",
        "SAME_ACCOUNT",
        "TEXT_INVALID",
        "TIME_INVALID",
        "TRANSACTION_ID_MALFORMED",
        "VERSION_INVALID",
    ];

    /// Every reason that the contract names.
    fn reasons() -> BTreeSet<&'static str> {
        let contract = [
            include_str!("../../../proto/counterfoil/write/v1/write_service.proto"),
            include_str!("../../../proto/counterfoil/read/v1/read_service.proto"),
        ];
        let codes: Vec<Refusal> =
            (0..17).map(|code| Refusal::new(&tonic::Status::new(Code::from(code), ""))).collect();
        let is_reason = |word: &&str| {
            word.len() > 1
                && word.contains('_')
                && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
                && codes.iter().all(|code| code.name() != *word)
        };
        let comments = contract.iter().flat_map(|text| text.lines());
        let comments = comments.filter_map(|line| line.trim_start().strip_prefix("//"));
        let is_apart = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
        comments.flat_map(|line| line.split(is_apart)).filter(is_reason).collect()
    }

    #[test]
    fn for_every_reason_of_the_contract_there_is_advice_unless_it_says_all_itself() {
        let known = reasons();
        assert!(known.len() > 50, "{known:?}");
        let without = known.iter().copied().filter(|reason| advice(reason).is_none());
        assert_eq!(without.collect::<Vec<_>>(), SAY_ALL);
    }

    #[test]
    fn for_what_is_said_on_the_way_there_is_advice() {
        for code in [Code::Unauthenticated, Code::PermissionDenied, Code::Unavailable] {
            let shown = Refusal::new(&tonic::Status::new(code, "no")).to_string();
            assert!(shown.contains("\nnext: "), "{shown}");
        }
    }
}
