//! Lanes against a bank that answers as it is told.

use ledger::{AccountId, Currency};
use service_kit::error_details::ErrorStatus;
use tonic::{Code, Status};
use uuid::Uuid;

use super::*;
use crate::command::import::{
    request_ids::RequestIds,
    row::{Row, RowCommand},
    settle::{Applied, Opened},
};

/// Rows of 10 each are applied, except those that another answer is given for here.
struct ToldBank(fn(&Row) -> Option<Undelivered>);

impl Bank for ToldBank {
    async fn open(&self, _: &AccountRows, _: Uuid) -> Result<Opened, Undelivered> {
        Ok(Opened { replayed: false, balance: Some(0) })
    }

    async fn execute(&self, _: &AccountRows, row: &Row, _: Uuid) -> Result<Applied, Undelivered> {
        match (self.0)(row) {
            Some(undelivered) => Err(undelivered),
            None => Ok(Applied { replayed: false, balance_after: 10 * row.minor_units }),
        }
    }
}

fn refused(reason: &'static str) -> Undelivered {
    let code = if reason == "LEDGER_CORRUPT" { Code::DataLoss } else { Code::FailedPrecondition };
    let status = ErrorStatus::new(code, reason, "no").metadata("replayed", false);
    Undelivered::Refused(Refusal::new(&status.into_status()))
}

fn unanswered() -> Undelivered {
    Undelivered::Unknown(Refusal::new(&Status::unavailable("lost")))
}

/// Five rows in lines 2 to 6, whose balances the bank gives as 10, 20 ... 50.
fn account() -> AccountRows {
    let row = |number: i64| Row {
        line: number.unsigned_abs() + 1,
        transaction: number.to_string(),
        command: RowCommand::Deposit,
        minor_units: number,
        effective_time: None,
        counterparty: String::new(),
        reference: String::new(),
        balance_after: Some(10 * number),
    };
    AccountRows {
        account_id: AccountId::new("a").unwrap(),
        currency: Currency::new("EUR").unwrap(),
        owner_id: None,
        rows: (1..=5).map(row).collect(),
    }
}

async fn run(bank: ToldBank, patience: Duration) -> (Lane, Progress) {
    let settling = Settling { bank, ids: RequestIds::new("test"), retry_refused: false };
    let progress = Progress::new(ProgressBar::hidden(), patience);
    (run_lane(&settling, account(), &progress).await, progress)
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn rows_go_in_one_after_another_and_their_balances_are_compared() {
    let (lane, progress) = run(ToldBank(|_| None), LONG).await;
    assert!(matches!(lane.end, LaneEnd::Complete));
    assert_eq!((lane.opened, lane.applied, lane.balance), (true, 5, Some(50)));
    assert!(lane.differences.is_empty() && !progress.is_stopped());
}

#[tokio::test]
async fn a_refused_row_holds_back_the_rest_of_its_account_and_nothing_else() {
    let bank = ToldBank(|row| (row.line == 4).then(|| refused("ACCOUNT_FROZEN")));
    let (lane, progress) = run(bank, LONG).await;
    assert!(matches!(lane.end, LaneEnd::Refused(2, _)));
    assert_eq!((lane.applied, lane.balance), (2, Some(20)));
    assert!(!progress.is_stopped());
}

#[tokio::test]
async fn a_row_without_an_answer_holds_back_its_account_and_others_go_on() {
    let bank = ToldBank(|row| (row.line == 4).then(unanswered));
    let (lane, progress) = run(bank, LONG).await;
    assert!(matches!(lane.end, LaneEnd::Unanswered(2, _)));
    assert!(!progress.is_stopped());
}

#[tokio::test]
async fn when_no_row_at_all_is_answered_the_import_stops() {
    let (_, progress) = run(ToldBank(|_| Some(unanswered())), Duration::ZERO).await;
    assert!(progress.is_stopped() && progress.stop_reason().is_some());
}

#[tokio::test]
async fn a_ledger_in_trouble_stops_the_import_at_once() {
    let bank = ToldBank(|row| (row.line == 4).then(|| refused("LEDGER_CORRUPT")));
    let (lane, progress) = run(bank, LONG).await;
    assert!(matches!(lane.end, LaneEnd::Stopped(2)));
    assert_eq!(progress.stop_reason().unwrap().reason, "LEDGER_CORRUPT");
}

#[tokio::test]
async fn a_caller_who_is_sent_away_stops_the_import_at_once() {
    let sent_away = |_: &Row| {
        let status = ErrorStatus::new(Code::Unauthenticated, "TOKEN_INVALID", "over");
        Some(Undelivered::NotApplied(Refusal::new(&status.into_status())))
    };
    let (lane, progress) = run(ToldBank(sent_away), LONG).await;
    assert!(matches!(lane.end, LaneEnd::Stopped(0)));
    assert_eq!(progress.stop_reason().unwrap().reason, "TOKEN_INVALID");
}

#[tokio::test]
async fn a_stopped_import_sends_nothing_more() {
    let settling =
        Settling { bank: ToldBank(|_| None), ids: RequestIds::new("test"), retry_refused: false };
    let progress = Progress::new(ProgressBar::hidden(), LONG);
    progress.stop(None);
    let lane = run_lane(&settling, account(), &progress).await;
    assert!(matches!(lane.end, LaneEnd::Stopped(0)));
    assert_eq!((lane.opened, lane.applied), (false, 0));
}
