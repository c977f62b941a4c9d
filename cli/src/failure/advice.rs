//! What a person can do about an error, by its reason.

/// One sentence, where there is more to say than the error itself does.
pub(super) fn advice(reason: &str) -> Option<&'static str> {
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
        "HISTORY_NOT_KEPT" => "the read model keeps only newer entries; the log has all of them",
        "UNAVAILABLE" | "UNKNOWN" => {
            "check that the service runs there (`counterfoil up` starts everything) and that the address is right"
        }
        "DEADLINE_EXCEEDED" => {
            "the service did not answer in time: is it really the one at this address?"
        }
        "UNIMPLEMENTED" => {
            "another kind of server answers at this address: check --write-addr and --read-addr"
        }
        _ => return None,
    };
    Some(advice)
}
