//! Settling against a bank in memory that keeps outcomes by request id, as the write service does.

use std::{cell::RefCell, collections::HashMap};

use ledger::{AccountId, Currency};
use service_kit::error_details::{Applied as ErrorApplied, ErrorStatus};

use super::*;
use crate::command::import::row::RowCommand;

#[derive(Default)]
struct State {
    balance: i64,
    limit: i64,
    /// Balance after, or refused.
    outcomes: HashMap<Uuid, Option<i64>>,
    executed: usize,
    /// Commands until the connection breaks, if it does.
    breaks_after: Option<usize>,
}

#[derive(Default)]
struct MemoryBank(RefCell<State>);

fn refusal(code: Code, reason: &'static str) -> Undelivered {
    let status = ErrorStatus::new(code, reason, reason).applied(ErrorApplied::No);
    Undelivered::Refused(Refusal::new(&status.into_status()))
}

impl MemoryBank {
    /// What is stored with the id, unless the connection breaks before it is looked up.
    fn look_up(&self, id: Uuid) -> Option<Option<Option<i64>>> {
        let mut state = self.0.borrow_mut();
        if let Some(left) = &mut state.breaks_after {
            *left = left.checked_sub(1)?;
        }
        Some(state.outcomes.get(&id).copied())
    }
}

fn lost() -> Undelivered {
    Undelivered::Unknown(Refusal::new(&Status::unavailable("lost")))
}

fn insufficient(replayed: bool) -> Undelivered {
    let status = ErrorStatus::new(Code::FailedPrecondition, "INSUFFICIENT_FUNDS", "too little");
    Undelivered::Refused(Refusal::new(&status.metadata("replayed", replayed).into_status()))
}

impl Bank for &MemoryBank {
    async fn open(&self, _: &AccountRows, id: Uuid) -> Result<Opened, Undelivered> {
        let reason = match self.look_up(id).ok_or_else(lost)? {
            Some(_) => "REQUEST_ID_REUSED",
            None => "ACCOUNT_ALREADY_EXISTS",
        };
        Err(refusal(Code::AlreadyExists, reason))
    }

    async fn execute(&self, _: &AccountRows, row: &Row, id: Uuid) -> Result<Applied, Undelivered> {
        if let Some(outcome) = self.look_up(id).ok_or_else(lost)? {
            let balance_after = outcome.ok_or_else(|| insufficient(true))?;
            return Ok(Applied { replayed: true, balance_after });
        }
        let mut state = self.0.borrow_mut();
        state.executed += 1;
        let balance = state.balance + i64::try_from(row.change()).unwrap();
        let outcome = (balance >= -state.limit).then_some(balance);
        state.outcomes.insert(id, outcome);
        state.balance = outcome.unwrap_or(state.balance);
        if state.breaks_after == Some(0) {
            return Err(lost()); // decided, but the answer is lost
        }
        let applied = outcome.map(|balance_after| Applied { replayed: false, balance_after });
        applied.ok_or_else(|| insufficient(false))
    }
}

fn account() -> AccountRows {
    AccountRows {
        account_id: AccountId::new("a").unwrap(),
        currency: Currency::new("EUR").unwrap(),
        owner_id: None,
        rows: vec![],
    }
}

fn withdrawal(minor_units: i64) -> Row {
    Row {
        line: 2,
        transaction: "t".into(),
        command: RowCommand::Withdraw,
        minor_units,
        effective_time: None,
        counterparty: String::new(),
        reference: String::new(),
        balance_after: None,
    }
}

/// One run of the import, as far as one row goes: its balance if the row is in the log, its reason if not.
async fn run(bank: &MemoryBank, retry_refused: bool) -> Result<i64, String> {
    let settling = Settling { bank, ids: RequestIds::new("test"), retry_refused };
    match settling.settle(&account(), &withdrawal(10)).await {
        Ok(applied) => Ok(applied.balance_after),
        Err(
            Undelivered::Refused(refusal)
            | Undelivered::NotApplied(refusal)
            | Undelivered::Unknown(refusal),
        ) => Err(refusal.name().to_owned()),
    }
}

#[tokio::test]
async fn a_refused_row_stays_refused_without_being_sent_anew() {
    let bank = MemoryBank::default();
    assert_eq!(run(&bank, false).await, Err("INSUFFICIENT_FUNDS".into()));
    bank.0.borrow_mut().limit = 100;
    for _ in 0..3 {
        assert_eq!(run(&bank, false).await, Err("INSUFFICIENT_FUNDS".into()));
    }
    assert_eq!(bank.0.borrow().executed, 1);
}

#[tokio::test]
async fn a_row_that_was_accepted_when_retried_is_found_by_every_later_run() {
    let bank = MemoryBank::default();
    run(&bank, false).await.unwrap_err();
    run(&bank, true).await.unwrap_err();
    bank.0.borrow_mut().limit = 100;
    assert_eq!(run(&bank, true).await, Ok(-10));
    for retry_refused in [false, true, false] {
        assert_eq!(run(&bank, retry_refused).await, Ok(-10));
    }
    assert_eq!(bank.0.borrow().balance, -10);
}

#[tokio::test]
async fn one_run_sends_a_refused_row_once_and_not_for_ever() {
    let bank = MemoryBank::default();
    for run_number in 1..=3 {
        run(&bank, true).await.unwrap_err();
        assert_eq!(bank.0.borrow().executed, run_number);
    }
}

#[tokio::test]
async fn a_row_is_applied_once_wherever_runs_are_broken_off() {
    for first_break in 0..6 {
        for second_break in 0..8 {
            let bank = MemoryBank::default();
            bank.0.borrow_mut().breaks_after = Some(first_break);
            let _ = run(&bank, true).await;
            bank.0.borrow_mut().limit = 100;
            bank.0.borrow_mut().breaks_after = Some(second_break);
            let _ = run(&bank, true).await;
            bank.0.borrow_mut().breaks_after = None;
            assert_eq!(run(&bank, true).await, Ok(-10), "{first_break} {second_break}");
            assert_eq!(run(&bank, false).await, Ok(-10), "{first_break} {second_break}");
            assert_eq!(bank.0.borrow().balance, -10, "{first_break} {second_break}");
        }
    }
}

#[tokio::test]
async fn a_row_that_changed_since_it_was_imported_is_never_tried_under_another_id() {
    struct Changed(MemoryBank);
    impl Bank for &Changed {
        async fn open(&self, _: &AccountRows, _: Uuid) -> Result<Opened, Undelivered> {
            Ok(Opened { replayed: true, balance: None })
        }
        async fn execute(&self, _: &AccountRows, _: &Row, _: Uuid) -> Result<Applied, Undelivered> {
            self.0.0.borrow_mut().executed += 1;
            Err(refusal(Code::AlreadyExists, "REQUEST_ID_REUSED"))
        }
    }
    let bank = Changed(MemoryBank::default());
    let settling = Settling { bank: &bank, ids: RequestIds::new("test"), retry_refused: true };
    settling.settle(&account(), &withdrawal(10)).await.unwrap_err();
    assert_eq!(bank.0.0.borrow().executed, 1);
}

#[tokio::test]
async fn an_account_that_somebody_else_opened_is_used() {
    let bank = MemoryBank::default();
    let settling = Settling { bank: &bank, ids: RequestIds::new("test"), retry_refused: false };
    assert_eq!(settling.open(&account()).await.unwrap(), Opened { replayed: true, balance: None });
}
