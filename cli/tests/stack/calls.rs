//! A sub-command per rpc: what people and scripts read, and exit codes.

use std::process::Command;

use crate::support::{Answer, PROGRAM, Stack, Stores, eventually, number};

async fn stack() -> Stack {
    Stack::start(&Stores::fresh().await)
}

#[tokio::test]
async fn every_command_and_query_can_be_called() {
    let stack = stack().await;
    stack.must(&["open", "alice", "EUR", "--owner", "smith", "--label", "branch=12"]);
    stack.must(&["open", "bob", "EUR", "--owner", "smith", "--overdraft-limit", "5.00"]);
    let deposit =
        ["deposit", "alice", "100", "EUR", "--counterparty", "cash", "--reference", "first"];
    let deposit = stack.json(&[&deposit[..], &["--effective-time", "2026-01-31"]].concat());
    assert_eq!(deposit["transaction"]["effectiveTime"], "2026-01-31T00:00:00Z");
    stack.must(&["withdraw", "alice", "10.50 EUR"]);
    stack.must(&["pay-bill", "alice", "9.50", "EUR", "--payee", "power company"]);
    let transfer = stack.json(&["transfer", "alice", "bob", "30 EUR", "--reference", "rent"]);
    let token = transfer["write"]["consistencyToken"].as_str().unwrap();
    let transaction = transfer["transaction"]["transactionId"].as_str().unwrap();
    stack.must(&["balance", "bob", "--at-least", token]);
    stack.must(&["set-overdraft-limit", "alice", "50 EUR"]);
    stack.must(&["freeze", "bob"]);
    stack.must(&["unfreeze", "bob"]);
    stack.must(&["withdraw", "bob", "30 EUR"]);
    let closed = stack.json(&["close", "bob"]);
    assert_eq!(closed["account"]["status"], "ACCOUNT_STATUS_CLOSED");
    let token = closed["write"]["consistencyToken"].as_str().unwrap();

    let account = stack.json(&["account", "alice", "--at-least", token]);
    assert_eq!(account["account"]["balance"]["display"], "50.00");
    assert_eq!(account["account"]["labels"]["branch"], "12");
    let balances = stack.must(&["balances", "bob", "alice"]).out();
    assert!(balances.find("bob").unwrap() < balances.find("alice").unwrap(), "{balances}");
    let accounts = stack.json(&["accounts", "smith", "--page-size", "1"]);
    let page_token = accounts["nextPageToken"].as_str().unwrap();
    let accounts = stack.json(&["accounts", "smith", "--page-token", page_token]);
    assert_eq!(accounts["accounts"][0]["accountId"], "bob");
    assert!(stack.must(&["transaction", transaction]).out().contains("transfer sent"));
    assert!(stack.must(&["latest", "bob"]).out().contains("30.00 EUR"));
    let statement = stack.must(&["statement", "alice"]).out();
    for part in ["-30.00 EUR", "power company", "2026-01-31T00:00:00Z", "100.00 EUR", "rent"] {
        assert!(statement.contains(part), "{part} in {statement}");
    }
    assert!(stack.must(&["totals"]).out().contains("yes"));
    assert!(stack.must(&["status", "--max-staleness", "10s"]).out().contains("transactions"));
    assert_eq!(stack.must(&["healthcheck", &address(&stack, "WRITE")]).out(), "ready\n");
    stack.must(&["healthcheck", &address(&stack, "READ")]);
}

fn address(stack: &Stack, side: &str) -> String {
    let name = format!("COUNTERFOIL_{side}_ADDR");
    stack.env().into_iter().find(|(found, _)| *found == name).unwrap().1
}

#[tokio::test]
async fn a_statement_of_several_pages_can_be_read_whole() {
    let stack = stack().await;
    stack.must(&["open", "alice", "JPY"]);
    let mut token = String::new();
    for amount in 1..=7 {
        let deposit = stack.json(&["deposit", "alice", &format!("{amount} JPY")]);
        token = deposit["write"]["consistencyToken"].as_str().unwrap().to_owned();
    }
    let mut page_token = String::new();
    let mut amounts = Vec::new();
    loop {
        let args = ["statement", "alice", "--page-size", "3", "--at-least", &token];
        let page = stack.json(&[&args[..], &["--page-token", &page_token]].concat());
        let entries = page["transactions"].as_array().unwrap().iter();
        amounts.extend(entries.map(|entry| number(&entry["amount"]["minorUnits"])));
        page_token = page["nextPageToken"].as_str().unwrap().to_owned();
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(amounts, [7, 6, 5, 4, 3, 2, 1]);
    let all = stack.json(&["statement", "alice", "--all"]);
    assert_eq!(all["transactions"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn the_same_request_id_is_applied_once() {
    let stack = stack().await;
    stack.must(&["open", "alice", "EUR"]);
    let id = "0190163d-8694-739b-88c3-d2f37f4c8f7e";
    stack.must(&["deposit", "alice", "1 EUR", "--request-id", id]);
    let again = stack.must(&["deposit", "alice", "1 EUR", "--request-id", id]).out();
    assert!(again.contains("replayed") && again.contains("1.00 EUR"), "{again}");
    let other = stack.run(&["deposit", "alice", "2 EUR", "--request-id", id]);
    assert_eq!(other.code(), 1);
    assert!(other.err().contains("REQUEST_ID_REUSED"), "{}", other.err());
}

#[tokio::test]
async fn a_refusal_says_why_and_what_to_do_and_ends_with_1() {
    let stack = stack().await;
    stack.must(&["open", "alice", "EUR"]);
    let refused = stack.run(&["withdraw", "alice", "1 EUR"]);
    assert_eq!((refused.code(), refused.out()), (1, String::new()));
    for part in ["INSUFFICIENT_FUNDS (FAILED_PRECONDITION)", "requested", "next: deposit more"] {
        assert!(refused.err().contains(part), "{part} in {}", refused.err());
    }
    let refused = stack.run(&["withdraw", "alice", "1 EUR", "--json"]);
    assert_eq!(refused.json()["error"]["reason"], "INSUFFICIENT_FUNDS");
    assert_eq!(stack.run(&["balance", "nobody"]).code(), 1);
    eventually("the account can be read", || stack.run(&["balance", "alice"]).code() == 0);
    let other_currency = stack.run(&["set-overdraft-limit", "alice", "1000 JPY"]);
    assert_eq!(other_currency.code(), 2);
    assert!(other_currency.err().contains("alice holds EUR, not JPY"), "{}", other_currency.err());
}

#[tokio::test]
async fn what_is_malformed_ends_with_2() {
    let stack = stack().await;
    for args in [
        &["deposit", "alice", "1,50 EUR"][..],
        &["deposit", "alice", "1"],
        &["deposit", "not an id", "1 EUR"],
        &["open", "alice", "euro"],
        &["balance", "alice", "--at-least", "nonsense"],
        &["balance", "alice", "--at-least", "cf1.x", "--max-staleness", "1s"],
        &["no-such-command"],
    ] {
        assert_eq!(stack.run(args).code(), 2, "{args:?}");
    }
}

#[test]
fn where_nobody_answers_it_says_so_with_3_and_how_to_repeat_a_command() {
    let run = |args: &[&str]| {
        let nowhere = ["--timeout", "300ms"];
        let mut command = Command::new(PROGRAM);
        command
            .env("COUNTERFOIL_WRITE_ADDR", "127.0.0.1:1")
            .env("COUNTERFOIL_READ_ADDR", "127.0.0.1:1");
        Answer(command.args(args).args(nowhere).output().unwrap())
    };
    let query = run(&["balance", "alice"]);
    assert_eq!(query.code(), 3);
    assert!(query.err().contains("127.0.0.1:1"), "{}", query.err());
    let command = run(&["deposit", "alice", "1 EUR"]);
    assert_eq!(command.code(), 3);
    assert!(
        command.err().contains("deposit alice '1 EUR' --timeout 300ms --request-id"),
        "{}",
        command.err()
    );
    assert_eq!(run(&["healthcheck", "127.0.0.1:1"]).code(), 3);
}

#[tokio::test]
async fn an_account_is_shown_as_all_three_have_it() {
    let stack = stack().await;
    stack.must(&["open", "alice", "EUR", "--owner", "smith"]);
    stack.must(&["deposit", "alice", "12.34 EUR"]);
    eventually("all three agree", || stack.run(&["show", "alice"]).code() == 0);
    let shown = stack.must(&["show", "alice"]).out();
    let balance = shown.lines().find(|line| line.trim_start().starts_with("balance")).unwrap();
    assert_eq!(balance.matches("12.34 EUR").count(), 3, "{shown}");
    assert_eq!(stack.run(&["show", "nobody"]).code(), 1);
}
