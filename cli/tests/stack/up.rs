//! `counterfoil up` with private stores: what is kept, what is not, and that nothing is left running.

use std::{net::TcpListener, path::Path, process::Command};

use crate::support::{Answer, PROGRAM, Stack, eventually, send_signal};

fn addresses(stack: &Stack) -> Vec<String> {
    let urls = stack.env().into_iter().map(|(_, url)| url).filter(|url| url.contains(':'));
    urls.map(|url| url.rsplit('@').next().unwrap().split('/').next().unwrap().to_owned()).collect()
}

fn deposit_and_read_back(stack: &Stack, account: &str) {
    stack.must(&["open", account, "EUR"]);
    let deposit = stack.json(&["deposit", account, "12.34 EUR", "--reference", "first"]);
    let token = deposit["write"]["consistencyToken"].as_str().unwrap();
    let balance = stack.json(&["balance", account, "--at-least", token]);
    assert_eq!(balance["balance"]["minorUnits"], "1234");
}

#[test]
fn data_is_kept_between_runs_and_everything_ends_with_a_signal() {
    let stack = Stack::start_with(|_| {});
    deposit_and_read_back(&stack, "alice");
    let addresses = addresses(&stack);
    let (folder, ended) = stack.end("TERM");
    assert!(ended.success());
    for address in addresses {
        TcpListener::bind(&address).unwrap_or_else(|_| panic!("{address} is still in use"));
    }
    assert!(!folder.path().join(".counterfoil/env").exists());

    let stack = Stack::start_in(folder, |_| {});
    let balance = stack.json(&["balance", "alice"]);
    assert_eq!(balance["balance"]["minorUnits"], "1234");
    stack.must(&["verify"]);
}

#[test]
fn after_a_kill_of_it_nothing_is_lost_and_it_starts_again() {
    let stack = Stack::start_with(|_| {});
    deposit_and_read_back(&stack, "alice");
    let (folder, _) = stack.end("KILL");
    let stack = Stack::start_in(folder, |_| {}); // at once, while the rest is still being stopped
    assert_eq!(stack.json(&["balance", "alice"])["balance"]["minorUnits"], "1234");
    deposit_and_read_back(&stack, "bob");
}

#[test]
fn when_one_service_ends_the_rest_is_stopped_and_it_is_said() {
    let stack = Stack::start_with(|_| {});
    let addresses = addresses(&stack);
    send_signal("KILL", stack.service("projector"));
    let (_, ended) = stack.wait();
    assert_eq!(ended.code(), Some(3));
    for address in addresses {
        TcpListener::bind(&address).unwrap_or_else(|_| panic!("{address} is still in use"));
    }
}

#[test]
fn nothing_is_kept_of_an_ephemeral_run() {
    let stack = Stack::start_with(|command| {
        command.arg("--ephemeral");
    });
    let (folder, ended) = stack.end("INT");
    assert!(ended.success());
    assert!(!folder.path().join(".counterfoil").exists());
}

#[test]
fn a_taken_port_and_a_taken_folder_are_said_before_anything_is_started() {
    let stack = Stack::start_with(|_| {});
    let env = stack.env();
    let write_addr = &env.iter().find(|(name, _)| name == "COUNTERFOIL_WRITE_ADDR").unwrap().1;
    let run = |args: &[&str], folder: &Path| {
        Answer(Command::new(PROGRAM).arg("up").args(args).current_dir(folder).output().unwrap())
    };
    let folder = tempfile::tempdir().unwrap();
    let answer = run(&["--write-addr", write_addr], folder.path());
    assert_eq!(answer.code(), 2);
    assert!(answer.err().contains("--write-addr 127.0.0.1:0"), "{}", answer.err());
    assert!(!folder.path().join(".counterfoil").exists());

    let (folder, _) = stack.end("TERM");
    let stack = Stack::start_in(folder, |_| {});
    let free = ["--write-addr", "127.0.0.1:0", "--read-addr", "127.0.0.1:0"];
    let answer = Answer(stack.command(&[&["up"], &free[..]].concat()).output().unwrap());
    assert_eq!(answer.code(), 2);
    assert!(answer.err().contains("another `counterfoil up` runs"), "{}", answer.err());
}

#[test]
fn the_number_of_shards_is_chosen_once() {
    let stack = Stack::start_with(|command| {
        command.args(["--shards", "4"]);
    });
    for account in ["alice", "bob", "carol", "dave"] {
        deposit_and_read_back(&stack, account);
    }
    for [source, destination] in [["alice", "bob"], ["bob", "carol"], ["carol", "dave"]] {
        stack.must(&["transfer", source, destination, "5 EUR"]);
    }
    assert_eq!(stack.json(&["status"])["views"].as_array().unwrap().len(), 12);
    let (folder, _) = stack.end("TERM");
    let stack = Stack::start_in(folder, |_| {});
    assert_eq!(stack.json(&["status"])["views"].as_array().unwrap().len(), 12);
    eventually("everything agrees", || stack.run(&["verify"]).code() == 0);
}
