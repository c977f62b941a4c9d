//! What operators do: rebuild a view, and go on with a restored log.

use std::process::Command;

use crate::support::{Answer, PROGRAM, Stack, Stores, eventually};

fn generation(stack: &Stack, view: &str) -> String {
    let status = stack.json(&["status"]);
    let mut views = status["views"].as_array().unwrap().iter();
    views.find(|found| found["view"] == view).unwrap()["generation"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_view_is_rebuilt_while_queries_are_answered() {
    let stack = Stack::start(&Stores::fresh().await);
    stack.must(&["open", "alice", "EUR"]);
    stack.must(&["deposit", "alice", "12.34 EUR"]);
    let balance = || stack.json(&["balance", "alice"])["balance"]["display"].clone();
    eventually("the deposit can be read", || {
        stack.run(&["balance", "alice"]).code() == 0 && balance() == "12.34"
    });
    let before = [generation(&stack, "accounts"), generation(&stack, "totals")];
    assert!(stack.must(&["rebuild", "--view", "accounts"]).out().contains("requested"));
    eventually("the new generation is seen", || {
        assert_eq!(balance(), "12.34");
        generation(&stack, "accounts") != before[0]
    });
    assert_eq!(generation(&stack, "totals"), before[1]);
    assert_eq!(stack.run(&["rebuild", "--view", "nonsense"]).code(), 2);
    eventually("everything agrees", || stack.run(&["verify"]).code() == 0);
}

#[tokio::test]
async fn after_a_new_incarnation_old_tokens_are_refused_and_everything_else_is_there() {
    let stores = Stores::fresh().await;
    let stack = Stack::start(&stores);
    stack.must(&["open", "alice", "EUR"]);
    let deposit = stack.json(&["deposit", "alice", "12.34 EUR"]);
    let old_token = deposit["write"]["consistencyToken"].as_str().unwrap();
    stack.end("TERM");

    let new_incarnation = |options: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("new-incarnation").args(options).env("DATABASE_URL", &stores.database_url);
        Answer(command.stdin(std::process::Stdio::null()).output().unwrap())
    };
    assert_eq!(new_incarnation(&[]).code(), 2, "nobody could be asked");
    let answer = new_incarnation(&["--yes"]);
    assert_eq!(answer.code(), 0, "{}", answer.err());
    assert!(answer.out().contains("incarnation 2"), "{}", answer.out());

    let stack = Stack::start(&stores);
    eventually("the read model is built anew", || {
        stack.run(&["verify"]).code() == 0 && stack.run(&["balance", "alice"]).code() == 0
    });
    assert_eq!(stack.json(&["balance", "alice"])["balance"]["display"], "12.34");
    let refused = stack.run(&["balance", "alice", "--at-least", old_token]);
    assert_eq!(refused.code(), 1);
    assert!(refused.err().contains("LOG_CHANGED"), "{}", refused.err());
}
