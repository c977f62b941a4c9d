//! Commands as lines of JSON: each by itself, all or none, and one answer after another.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Answer, PROGRAM, Proxy, Stack, Stores, send_signal, until_the_log_has};

/// A request id that is the same for the same number.
fn id(number: usize) -> String {
    format!("0190163d-8694-739b-88c3-{number:012x}")
}

fn open(number: usize, account: &str) -> String {
    let id = id(number);
    format!(
        r#"{{"open_account": {{"request_id": "{id}", "account_id": "{account}", "currency_code": "EUR"}}}}"#
    )
}

/// A deposit or withdrawal of so many cents.
fn moved(number: usize, command: &str, account: &str, cents: i64) -> String {
    let id = id(number);
    format!(
        r#"{{"{command}": {{"request_id": "{id}", "account_id": "{account}", "amount": {{"currency_code": "EUR", "minor_units": {cents}}}}}}}"#
    )
}

/// As `line`, for an atomic batch.
fn without_id(line: &str) -> String {
    let mut command: Value = serde_json::from_str(line).unwrap();
    let fields = command.as_object_mut().unwrap().values_mut().next().unwrap();
    fields.as_object_mut().unwrap().remove("request_id").unwrap();
    command.to_string()
}

/// A file of these lines; it is there as long as the folder is.
fn file(lines: &[String]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("commands.jsonl");
    fs::write(&path, lines.join("\n")).unwrap();
    (folder, path)
}

fn batch(stack: &Stack, lines: &[String], options: &[&str]) -> Answer {
    let (_folder, path) = file(lines);
    stack.run(&[&["batch", path.to_str().unwrap()], options].concat())
}

fn balance(stack: &Stack, account: &str, token: &str) -> String {
    let balance = stack.json(&["balance", account, "--at-least", token]);
    balance["balance"]["display"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn commands_of_a_file_are_applied_or_refused_each_by_itself_and_once() {
    let stack = Stack::start(&Stores::fresh().await);
    let lines = [
        open(1, "alice"),
        moved(2, "deposit", "alice", 1234),
        String::new(),
        moved(3, "withdraw", "alice", 5000),
        moved(4, "withdraw", "alice", 234),
    ];
    let answer = batch(&stack, &lines, &[]);
    assert_eq!(answer.code(), 1, "{}{}", answer.out(), answer.err());
    for part in [
        "line 1: open_account alice: applied, balance 0.00 EUR\n",
        "line 2: deposit alice: applied, balance 12.34 EUR\n",
        "line 4: withdraw alice: refused: INSUFFICIENT_FUNDS: ",
        "line 5: withdraw alice: applied, balance 10.00 EUR\n",
    ] {
        assert!(answer.out().contains(part), "{part} in {}", answer.out());
    }
    let again = batch(&stack, &lines, &["--json"]);
    assert_eq!(again.code(), 1);
    let again = again.json();
    let results = again["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    assert_eq!(results[1]["deposit"]["write"]["replayed"], true);
    assert_eq!(results[2]["error"]["reason"], "INSUFFICIENT_FUNDS");
    assert_eq!(results[2]["error"]["metadata"]["replayed"], "true");
    assert_eq!(balance(&stack, "alice", again["consistencyToken"].as_str().unwrap()), "10.00");
}

#[tokio::test]
async fn more_commands_than_a_batch_takes_are_sent_in_several_and_have_one_token() {
    let stack = Stack::start(&Stores::fresh().await);
    let deposits = (2..=2_501).map(|number| moved(number, "deposit", "alice", 1));
    let lines: Vec<String> = [open(1, "alice")].into_iter().chain(deposits).collect();
    let answer = batch(&stack, &lines, &["--json"]);
    assert_eq!(answer.code(), 0, "{}", answer.err());
    let answer = answer.json();
    assert_eq!(answer["results"][2_500]["deposit"]["account"]["balance"]["display"], "25.00");
    assert_eq!(balance(&stack, "alice", answer["consistencyToken"].as_str().unwrap()), "25.00");
}

#[tokio::test]
async fn a_file_whose_connection_is_cut_again_and_again_is_applied_once() {
    let stores = Stores::fresh().await;
    let stack = Stack::start(&stores);
    let proxy = Proxy::before_the_write_service(&stack).await;
    let deposits = (2..=10_001).map(|number| moved(number, "deposit", "alice", 1));
    let lines: Vec<String> = [open(1, "alice")].into_iter().chain(deposits).collect();
    let (_folder, path) = file(&lines);
    let mut command = stack.command(&["batch", path.to_str().unwrap(), "--json"]);
    command.args(["--write-addr", &proxy.addr]).stdout(Stdio::piped());
    let sending = command.spawn().unwrap();
    for reached in [500, 3_500, 7_000] {
        until_the_log_has(&stores.database_url, reached).await;
        proxy.cut();
    }
    let ended = tokio::task::spawn_blocking(|| sending.wait_with_output());
    let answer = Answer(ended.await.unwrap().unwrap());
    assert_eq!(answer.code(), 0, "{}", answer.out());
    let answer = answer.json();
    assert_eq!(answer["results"].as_array().unwrap().len(), lines.len());
    assert_eq!(balance(&stack, "alice", answer["consistencyToken"].as_str().unwrap()), "100.00");
}

#[tokio::test]
async fn an_atomic_batch_is_applied_whole_or_not_at_all_and_once() {
    let stack = Stack::start(&Stores::fresh().await);
    stack.must(&["open", "bob", "EUR"]);
    let mut lines = [
        open(0, "alice"),
        moved(0, "deposit", "alice", 1000),
        moved(0, "withdraw", "alice", 1001),
        moved(0, "deposit", "bob", 1001),
    ]
    .map(|line| without_id(&line));
    let id = id(1);
    let options = ["--atomic", "--request-id", &id];
    let refused = batch(&stack, &lines, &options);
    assert_eq!((refused.code(), refused.out()), (1, String::new()));
    let said: Vec<String> = refused.err().lines().map(|line| line.replace(' ', "")).collect();
    for part in
        ["error:BATCH_REFUSED(FAILED_PRECONDITION)", "command_reasonINSUFFICIENT_FUNDS", "line3"]
    {
        assert!(said.iter().any(|line| line == part), "{part} in {}", refused.err());
    }
    lines[2] = lines[2].replace("1001", "1000");
    for said in ["applied, ", "applied before, "] {
        let answer = batch(&stack, &lines, &options);
        assert_eq!(answer.code(), 0, "{}", answer.err());
        let expected = format!("line 4: deposit bob: {said}balance 10.01 EUR\n");
        assert!(answer.out().contains(&expected), "{}", answer.out());
        let token = answer.out().lines().last().unwrap().trim().replace("token", "");
        assert_eq!(balance(&stack, "bob", token.trim()), "10.01");
        assert_eq!(balance(&stack, "alice", token.trim()), "0.00");
    }
}

#[tokio::test]
async fn a_file_with_a_malformed_line_is_refused_before_anything_is_sent() {
    let stack = Stack::start(&Stores::fresh().await);
    let lines = [open(1, "alice"), moved(1, "deposit", "alice", 1), "nonsense".to_owned()];
    let answer = batch(&stack, &lines, &[]);
    assert_eq!((answer.code(), answer.out()), (2, String::new()));
    for part in ["line 2: request_id", "stands in line 1 already", "line 3: "] {
        assert!(answer.err().contains(part), "{part} in {}", answer.err());
    }
    assert_eq!(batch(&stack, &lines[..1], &["--request-id", &id(1)]).code(), 2);
    assert_eq!(batch(&stack, &[], &[]).code(), 2);
    assert_eq!(stack.run(&["account", "alice"]).code(), 1);
}

#[test]
fn where_nobody_answers_a_batch_is_not_applied_and_says_how_to_go_on() {
    let (_folder, path) = file(&[open(1, "alice")]);
    let mut command = Command::new(PROGRAM);
    let nowhere = ["--write-addr", "127.0.0.1:1", "--timeout", "300ms"];
    let answer = Answer(command.arg("batch").arg(&path).args(nowhere).output().unwrap());
    assert_eq!(answer.code(), 3);
    for part in ["line 1: open_account alice: not answered: ", "Run it again to go on"] {
        assert!(answer.out().contains(part), "{part} in {}", answer.out());
    }
}

#[tokio::test]
async fn a_stream_answers_each_line_as_it_comes() {
    let stack = Stack::start(&Stores::fresh().await);
    let mut command = stack.command(&["stream"]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    let mut answers = BufReader::new(process.stdout.take().unwrap()).lines();
    for (line, answer) in [
        (open(1, "alice"), "line 1: open_account alice: applied, balance 0.00 EUR"),
        (moved(2, "withdraw", "alice", 1), "line 2: withdraw alice: refused: INSUFFICIENT_FUNDS: "),
        (moved(3, "deposit", "alice", 1234), "line 3: deposit alice: applied, balance 12.34 EUR"),
        (
            moved(3, "deposit", "alice", 1234),
            "line 4: deposit alice: applied before, balance 12.34",
        ),
    ] {
        writeln!(input, "{line}").unwrap();
        let found = answers.next().unwrap().unwrap();
        assert!(found.starts_with(answer), "{found}");
    }
    drop(input);
    assert!(answers.next().is_none());
    assert_eq!(process.wait().unwrap().code(), Some(1), "one was refused");
}

#[tokio::test]
async fn many_lines_at_once_are_answered_in_their_order_and_one_that_is_malformed_ends_them() {
    let stack = Stack::start(&Stores::fresh().await);
    let mut lines = open(1, "alice");
    for number in 2..=3_000 {
        write!(lines, "\n{}", moved(number, "deposit", "alice", 1)).unwrap();
    }
    write!(lines, "\n{{}}\n{}\n", moved(3_001, "deposit", "alice", 1)).unwrap();
    let mut command = stack.command(&["stream", "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let answer = Answer(process.wait_with_output().unwrap());
    let _ = writing.join().unwrap(); // it may have stopped reading
    assert_eq!(answer.code(), 2);
    assert!(answer.err().starts_with("line 3001: has no command"), "{}", answer.err());
    let out = answer.out();
    let results: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(results.len(), 3_000);
    for (cents, result) in results.iter().skip(1).enumerate() {
        let balance = &result["deposit"]["account"]["balance"]["minorUnits"];
        assert_eq!(balance, &(cents + 1).to_string());
    }
}

#[tokio::test]
async fn a_stream_that_breaks_names_the_lines_that_were_not_answered() {
    let stack = Stack::start(&Stores::fresh().await);
    let mut command = stack.command(&["stream"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    writeln!(input, "{}", open(1, "alice")).unwrap();
    let mut answers = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(answers.next().unwrap().unwrap().contains("applied"));
    let service = stack.service("write-service");
    send_signal("STOP", service); // it answers no more
    // More than a pipe holds: when all is written, the first of it is read.
    for number in 2..=700 {
        writeln!(input, "{}", moved(number, "deposit", "alice", 1)).unwrap();
    }
    send_signal("KILL", service);
    let answer = Answer(process.wait_with_output().unwrap());
    assert_eq!(answer.code(), 3, "{}", answer.err());
    assert!(answer.err().contains("next: lines 2 to "), "{}", answer.err());
    stack.wait();
}

/// A batch is stored in all of its shards at once, and they are verified one after another.
#[tokio::test]
async fn verify_beside_atomic_batches_over_several_shards_finds_nothing() {
    const ACCOUNTS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let stores = Stores::fresh().await;
    let stack = Stack::start_with(|command| {
        command
            .args(["--shards", "4"])
            .env("DATABASE_URL", &stores.database_url)
            .env("REDIS_URL", &stores.redis_url)
            .env("REDIS_KEY_PREFIX", &stores.redis_prefix);
    });
    let openings = ACCOUNTS.iter().enumerate().map(|(number, account)| open(number, account));
    assert_eq!(batch(&stack, &openings.collect::<Vec<_>>(), &[]).code(), 0);
    let deposits = ACCOUNTS.map(|account| without_id(&moved(0, "deposit", account, 1)));
    let (_folder, path) = file(&deposits);
    let args = ["batch", path.to_str().unwrap(), "--atomic"];
    let verified = AtomicBool::default();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !verified.load(Ordering::Acquire) {
                    stack.must(&args);
                }
            });
        }
        let answers: Vec<Answer> = (0..20).map(|_| stack.run(&["verify", "--log-only"])).collect();
        verified.store(true, Ordering::Release);
        for answer in answers {
            assert_eq!(answer.code(), 0, "{}", answer.out());
        }
    });
}
