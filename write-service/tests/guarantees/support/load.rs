//! Many calls at once.

use std::time::Duration;

use futures::{StreamExt, future::join_all, stream};
use tonic::Code;

use super::{
    Answer, Call, Client, History, Service, deposit, open, pay_bill, transfer, withdraw, within,
};

/// Pause of a caller that was told to try again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Sends all calls at once, and waits for all answers, which come in the order of the calls.
pub(crate) async fn every_one(
    client: &Client,
    calls: impl IntoIterator<Item = Call>,
) -> Vec<Answer> {
    let sent = calls.into_iter().map(|call| client.send(call));
    within("every answer", join_all(sent)).await
}

/// Sends all calls, at most `at_once` at a time, each again and again until its outcome is certain.
pub(crate) async fn retried(
    client: &Client,
    calls: Vec<Call>,
    at_once: usize,
    history: &History,
) -> Vec<Answer> {
    let sent = calls.into_iter().map(|call| retried_one(client, call, history));
    within("every outcome", stream::iter(sent).buffered(at_once).collect()).await
}

async fn retried_one(client: &Client, call: Call, history: &History) -> Answer {
    loop {
        let answer = client.send(call.clone()).await;
        history.note(call.clone(), answer.clone());
        match &answer {
            Err(refusal) if is_transient(refusal.code) => tokio::time::sleep(RETRY_PAUSE).await,
            _ => return answer,
        }
    }
}

fn is_transient(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted)
}

/// Opens so many accounts, and says their names.
pub(crate) async fn opened_accounts(
    service: &Service,
    accounts: usize,
    history: &History,
) -> Vec<String> {
    let names: Vec<String> = (0..accounts).map(|number| format!("account-{number}")).collect();
    let calls = names.iter().map(|name| open(name)).collect();
    let answers = retried(&service.client, calls, accounts, history).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    names
}

/// Deposits, withdrawals, bills and transfers, more than the accounts can always pay.
pub(crate) fn mixed_calls(names: &[String], calls: usize) -> Vec<Call> {
    let call = |number: usize| {
        let name = &names[number % names.len()];
        let other = &names[(number * 7 + 1) % names.len()];
        match number % 5 {
            0 | 1 => deposit(name, 60),
            2 => withdraw(name, 70),
            3 => pay_bill(name, 60),
            _ if name == other => withdraw(name, 10),
            _ => transfer(name, other, 50),
        }
    };
    (0..calls).map(call).collect()
}
