//! Real bank statements go in through the write service, and the read service answers with the bank's own balances.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
};

use dev_servers::{Postgres, Redis};
use serde_json::Value;

use crate::support::{
    Answer, PROGRAM, Proxy, Stack, Stores, end_of_log, eventually, number, send_signal, statements,
    until_the_log_has,
};

/// The account that overdraws.
const OVERDRAWN: &str = "cz-5868";

/// Every account's balances by the bank, oldest first.
fn banks_balances() -> BTreeMap<String, Vec<i64>> {
    let mut balances: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for line in fs::read_to_string(statements()).unwrap().lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        balances.entry(cells[1].to_owned()).or_default().push(cells[8].parse().unwrap());
    }
    balances
}

/// Every account's balances by the read service's statements, oldest first.
fn served_balances(stack: &Stack) -> BTreeMap<String, Vec<i64>> {
    let accounts = banks_balances().into_keys();
    let balances = accounts.map(|account| {
        let statement = stack.json(&["statement", &account, "--all"]);
        let entries = statement["transactions"].as_array().unwrap().iter().rev();
        let balances = entries.map(|entry| number(&entry["balanceAfter"]["minorUnits"])).collect();
        (account, balances)
    });
    balances.collect()
}

fn import(stack: &Stack, options: &[&str]) -> (i32, Value) {
    let file = statements();
    let args = [&["import", file.to_str().unwrap(), "--json"], options].concat();
    let answer = stack.run(&args);
    (answer.code(), answer.json())
}

/// Brings everything in, the account that overdraws included.
fn complete(stack: &Stack) {
    wait_for_account(stack, OVERDRAWN);
    stack.must(&["set-overdraft-limit", OVERDRAWN, "3370.30", "CZK"]);
    let (code, report) = import(stack, &["--retry-refused"]);
    assert_eq!((code, &report["complete"]), (0, &Value::Bool(true)), "{report:#}");
    wait_until_caught_up(stack);
}

/// The read side follows at a small distance.
fn wait_until_caught_up(stack: &Stack) {
    eventually("the views have all of the log", || {
        let status = stack.json(&["status"]);
        let verified = stack.run(&["verify"]).code() == 0;
        verified && status["views"].as_array().unwrap().iter().all(|view| view["lagEvents"] == "0")
    });
}

async fn events_in_log(stack: &Stack) -> i64 {
    let mut env = stack.env().into_iter();
    let (_, url) = env.find(|(name, _)| name == "DATABASE_URL").unwrap();
    end_of_log(&url).await.unwrap()
}

fn wait_for_account(stack: &Stack, account: &str) {
    eventually("the account can be read", || stack.run(&["account", account]).code() == 0);
}

fn expect_the_banks_state(stack: &Stack) {
    let (bank, served) = (banks_balances(), served_balances(stack));
    for (account, balances) in &bank {
        assert_eq!(&served[account], balances, "{account}");
    }
    let totals = stack.json(&["totals"]);
    let czk = &totals["totals"].as_array().unwrap()[0];
    assert_eq!((&czk["currencyCode"], &czk["balanced"]), (&"CZK".into(), &true.into()));
    let sum: i64 = bank.values().map(|balances| balances.last().unwrap()).sum();
    assert_eq!(number(&czk["balances"]), sum);
    stack.must(&["verify"]);
}

#[tokio::test]
async fn every_balance_after_every_entry_is_the_banks_own() {
    let stack = Stack::start(&Stores::fresh().await);
    let file = statements();
    let answer = stack.run(&["import", file.to_str().unwrap()]);
    assert_eq!(answer.code(), 1, "{}", answer.out());
    for part in [
        "2785 rows of 171 accounts",
        "line 303: cz-5868 withdraw 20991.00 CZK (transaction 1730586): refused",
        "INSUFFICIENT_FUNDS",
        "held back behind it: 31 rows, lines 312, 360",
    ] {
        assert!(answer.out().contains(part), "{part} in {}", answer.out());
    }
    let to_paste = [
        format!("    {PROGRAM} set-overdraft-limit cz-5868 3370.30 CZK\n"),
        format!("    {PROGRAM} import {} --retry-refused\n", file.display()),
    ];
    assert!(answer.out().contains(&to_paste.concat()), "{}", answer.out());
    wait_until_caught_up(&stack);
    let before = events_in_log(&stack).await;
    let (code, report) = import(&stack, &[]);
    assert_eq!(code, 1);
    let stopped = report["accountsStopped"].as_array().unwrap();
    assert_eq!((stopped.len(), &stopped[0]["account"]), (1, &OVERDRAWN.into()));
    assert_eq!(stopped[0]["heldBackLines"].as_array().unwrap().len(), 31);

    wait_until_caught_up(&stack);
    assert_eq!(events_in_log(&stack).await, before, "a row that stays refused is not sent anew");

    complete(&stack);
    expect_the_banks_state(&stack);
}

#[tokio::test]
async fn what_is_to_be_done_can_be_pasted_when_the_service_was_named_by_a_flag() {
    let stack = Stack::start(&Stores::fresh().await);
    let addr = stack.env().into_iter().find(|(name, _)| name == "COUNTERFOIL_WRITE_ADDR");
    let addr = addr.unwrap().1;
    let folder = tempfile::tempdir().unwrap(); // nothing here says where the service is
    let import = |options: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("import").arg(statements()).args(options).current_dir(&folder);
        Answer(command.output().unwrap())
    };
    let answer = import(&["--write-addr", &addr]);
    assert_eq!(answer.code(), 1, "{}{}", answer.out(), answer.err());
    let out = answer.out();
    let to_paste = out.lines().skip_while(|line| !line.contains("to do:")).skip(1);
    let to_paste: Vec<&str> = to_paste.take_while(|line| !line.is_empty()).collect();
    assert_eq!(to_paste.len(), 2, "{out}");
    for line in to_paste {
        let mut shell = Command::new("sh");
        let pasted = shell.args(["-ec", line]).current_dir(&folder).output().unwrap();
        let pasted = Answer(pasted);
        assert_eq!(pasted.code(), 0, "{line}: {}{}", pasted.out(), pasted.err());
    }
}

#[tokio::test]
async fn the_same_file_twice_changes_nothing() {
    let stack = Stack::start(&Stores::fresh().await);
    import(&stack, &[]);
    complete(&stack);
    let before = events_in_log(&stack).await;
    for options in [&[][..], &["--retry-refused"]] {
        let (code, report) = import(&stack, options);
        assert_eq!(code, 0, "{report:#}");
        assert_eq!((&report["applied"], &report["appliedBefore"]), (&0.into(), &2785.into()));
    }
    assert_eq!(events_in_log(&stack).await, before);
}

#[tokio::test]
async fn rows_of_another_namespace_are_other_rows() {
    let stack = Stack::start(&Stores::fresh().await);
    import(&stack, &[]);
    let (code, report) = import(&stack, &["--namespace", "another bank"]);
    assert_eq!(code, 1);
    assert_eq!(report["appliedBefore"], 0);
}

#[tokio::test]
async fn an_import_that_is_killed_anywhere_goes_on_when_it_is_run_again() {
    let stack = Stack::start(&Stores::fresh().await);
    let file = statements();
    for reached in [10, 400, 1700] {
        let mut command = stack.command(&["import", file.to_str().unwrap(), "--concurrency", "1"]);
        let mut process = command.stdout(Stdio::null()).spawn().unwrap();
        eventually("a part is imported", || stack.head() >= reached);
        process.kill().unwrap();
        process.wait().unwrap();
    }
    import(&stack, &[]);
    complete(&stack);
    expect_the_banks_state(&stack);
}

#[tokio::test]
async fn an_import_ends_in_the_same_state_whichever_service_is_killed_meanwhile() {
    let stores = Stores::fresh().await;
    for (service, reached) in [("write-service", 200), ("projector", 900), ("read-service", 1600)] {
        let stack = Stack::start(&stores);
        let file = statements();
        let args = ["import", file.to_str().unwrap(), "--concurrency", "1", "--patience", "1s"];
        let mut importing = stack.command(&args).stdout(Stdio::null()).spawn().unwrap();
        eventually("a part is imported", || stack.head() >= reached);
        send_signal("KILL", stack.service(service));
        let (_, ended) = stack.wait(); // one part gone is all gone, and said so
        assert_eq!(ended.code(), Some(3), "{service}");
        let code = importing.wait().unwrap().code();
        assert_eq!(code, Some(3), "{service}");
    }
    let stack = Stack::start(&stores);
    import(&stack, &[]);
    complete(&stack);
    expect_the_banks_state(&stack);
}

#[tokio::test]
async fn an_import_goes_on_through_kills_of_postgres_redis_and_itself() {
    let postgres = Postgres::start_private().await.unwrap();
    let redis = Redis::start_private().await.unwrap(); // keeps nothing
    let database_url = postgres.create_database().await.unwrap();
    let stores = Stores {
        database_url: database_url.clone(),
        redis_url: redis.url(),
        redis_prefix: "cf".to_owned(),
    };
    let stack = Stack::start(&stores);
    let file = statements();
    let start = || {
        let mut command = stack.command(&["import", file.to_str().unwrap(), "--concurrency", "4"]);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let mut importing = start();
    for (reached, with_itself) in [(400, false), (1400, true)] {
        until_the_log_has(&database_url, reached).await;
        assert!(importing.try_wait().unwrap().is_none(), "all is imported; nothing was tested");
        postgres.kill().await.unwrap();
        redis.kill().await.unwrap();
        if with_itself {
            importing.kill().unwrap();
            importing.wait().unwrap();
            importing = start();
        }
        postgres.restart().await.unwrap();
        redis.restart().await.unwrap();
    }
    let code = importing.wait().unwrap().code();
    assert_eq!(code, Some(1), "one account is refused, and every other row was brought in");
    complete(&stack);
    expect_the_banks_state(&stack);
}

#[tokio::test]
async fn an_import_whose_stream_is_cut_again_and_again_loses_and_doubles_nothing() {
    let stores = Stores::fresh().await;
    let stack = Stack::start(&stores);
    let proxy = Proxy::before_the_write_service(&stack).await;
    let file = statements();
    let mut command = stack.command(&["import", file.to_str().unwrap(), "--json"]);
    command.args(["--concurrency", "16", "--write-addr", &proxy.addr]).stdout(Stdio::piped());
    let importing = command.spawn().unwrap();
    for reached in [200, 600, 1000, 1400, 1800] {
        until_the_log_has(&stores.database_url, reached).await;
        proxy.cut();
    }
    let ended = tokio::task::spawn_blocking(|| importing.wait_with_output());
    let answer = Answer(ended.await.unwrap().unwrap());
    let report = answer.json();
    assert_eq!(answer.code(), 1, "{report:#}");
    let rows = ["applied", "appliedBefore"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(rows[0] + rows[1], 2785 - 32, "all but those of the account that overdraws");
    complete(&stack);
    expect_the_banks_state(&stack);
}

#[tokio::test]
async fn a_malformed_file_is_refused_before_anything_is_sent() {
    let stack = Stack::start(&Stores::fresh().await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("statements.csv");
    let text = "transaction,account,command,currency,amount\n1,a,deposit,EUR,1.00\n1,a,deposit,EUR,1.234\n";
    fs::write(&file, text).unwrap();
    let answer = stack.run(&["import", file.to_str().unwrap()]);
    assert_eq!(answer.code(), 2);
    assert!(answer.err().contains("line 3: amount \"1.234\" is not"), "{}", answer.err());
    assert_eq!(stack.run(&["account", "a"]).code(), 1);
}

#[tokio::test]
async fn a_balance_that_is_not_the_banks_is_reported_by_line() {
    let stack = Stack::start(&Stores::fresh().await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("statements.csv");
    let text = "transaction,account,command,currency,amount,balance_after\n\
                1,a,deposit,EUR,1.00,1.00\n2,a,deposit,EUR,1.00,2.50\n3,a,withdraw,EUR,1.00,1.00\n";
    fs::write(&file, text).unwrap();
    let answer = stack.run(&["import", file.to_str().unwrap()]);
    assert_eq!(answer.code(), 1);
    let expected = "line 3: a stands at 2.00 EUR, but the file says 2.50 EUR";
    assert!(answer.out().contains(expected), "{}", answer.out());
}
