//! `given(events).when(operation).then(event)`, or `.then_rejected(why)`.

use std::sync::Arc;

use ledger::{
    Account, AccountId, AccountNumber, AccountState, Accounts, Amount, Command, Currency, Decision,
    Event, Money, Movement, Opening, Operation, Rejection, RequestId, StreamVersion, Transfer,
    could_follow, decide,
    event::{Entry, TransferEntry},
    evolve,
};
use uuid::Uuid;

/// The command's account, and of a transfer the source.
pub(crate) const ALICE: &str = "alice";
/// The destination of transfers.
pub(crate) const BOB: &str = "bob";

/// What has happened so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    alice: Option<Account>,
    bob: Option<Account>,
}

/// What was decided, and on what.
#[derive(Debug)]
pub(crate) struct Then {
    given: Given,
    decision: Result<Decision, Rejection>,
}

/// How the accounts stand afterwards.
#[derive(Debug)]
pub(crate) struct After {
    alice: AccountState,
    bob: Option<AccountState>,
}

/// No account at all.
pub(crate) fn nothing() -> Given {
    Given::default()
}

/// Alice's account after these events.
pub(crate) fn given(events: impl IntoIterator<Item = Event>) -> Given {
    Given { alice: Some(account(events)), bob: None }
}

impl Given {
    /// Bob's account after these events.
    pub(crate) fn and_bob(self, events: impl IntoIterator<Item = Event>) -> Self {
        Self { bob: Some(account(events)), ..self }
    }

    /// Money of Alice's set aside. There is no event for it yet, but the rules know it.
    pub(crate) fn holding(mut self, held: i64) -> Self {
        self.alice.as_mut().unwrap().state.held = held;
        self
    }

    /// Whether an auditor believes this event at Alice's account.
    pub(crate) fn could_be_followed_by(&self, event: &Event) -> bool {
        could_follow(&self.alice.as_ref().unwrap().state, event)
    }

    pub(crate) fn when(self, operation: Operation) -> Then {
        self.when_expecting(None, operation)
    }

    pub(crate) fn when_expecting(
        self,
        version: impl Into<Option<i64>>,
        operation: Operation,
    ) -> Then {
        let expected = version.into().map(|version| StreamVersion::new(version).unwrap());
        let command = Command {
            request_id: RequestId::new(Uuid::from_u128(1)).unwrap(),
            account_id: id(ALICE),
            expected_version: expected,
            operation,
        };
        let destination = self.bob.as_ref().filter(|_| command.destination().is_some());
        let accounts = Accounts { account: self.alice.as_ref(), destination };
        let decision = decide(accounts, &command);
        assert_eq!(decide(accounts, &command), decision, "the same again must be the same");
        Then { given: self, decision }
    }
}

impl Then {
    pub(crate) fn is_accepted(&self) -> bool {
        self.decision.is_ok()
    }

    #[track_caller]
    pub(crate) fn then(self, event: Event) -> After {
        let decision = self.decision.unwrap();
        assert_eq!(decision.event, event);
        assert_eq!(decision.destination_event, None);
        let alice = evolve(self.given.alice.map(|alice| alice.state), &event).unwrap();
        After { alice, bob: None }
    }

    #[track_caller]
    pub(crate) fn then_both(self, sent: Event, received: Event) -> After {
        let decision = self.decision.unwrap();
        assert_eq!(
            (&decision.event, decision.destination_event.as_ref()),
            (&sent, Some(&received))
        );
        let alice = evolve(self.given.alice.map(|alice| alice.state), &sent).unwrap();
        let bob = evolve(self.given.bob.map(|bob| bob.state), &received).unwrap();
        After { alice, bob: Some(bob) }
    }

    /// Refused, and kept in the log: the same request gets it again.
    #[track_caller]
    pub(crate) fn then_rejected(self, why: Rejection) {
        assert!(why.is_stored(), "{why} is not kept: say so with then_rejected_unstored");
        assert_eq!(self.decision, Err(why));
    }

    /// Refused, and forgotten: the request id stays undecided.
    #[track_caller]
    pub(crate) fn then_rejected_unstored(self, why: Rejection) {
        assert!(!why.is_stored(), "{why} is kept: say so with then_rejected");
        assert_eq!(self.decision, Err(why));
    }
}

impl After {
    #[track_caller]
    pub(crate) fn and_balance(self, balance: i64) -> Self {
        assert_eq!(self.alice.balance, balance);
        self
    }

    #[track_caller]
    pub(crate) fn and_bobs_balance(self, balance: i64) -> Self {
        assert_eq!(self.bob.unwrap().balance, balance);
        self
    }

    #[track_caller]
    pub(crate) fn and_version(self, version: i64) -> Self {
        assert_eq!(self.alice.version.get(), version);
        self
    }
}

fn account(events: impl IntoIterator<Item = Event>) -> Account {
    let mut state = None;
    let mut opening = None;
    for event in events {
        state = Some(evolve(state, &event).unwrap());
        if let Event::AccountOpened { opening: said, .. } = event {
            opening = Some(said);
        }
    }
    Account {
        number: AccountNumber::new(1).unwrap(),
        opening: opening.unwrap(),
        state: state.unwrap(),
    }
}

pub(crate) fn id(id: &str) -> AccountId {
    AccountId::new(id).unwrap()
}

pub(crate) fn currency(code: &str) -> Currency {
    Currency::new(code).unwrap()
}

fn opening(account_id: &str, code: &str) -> Arc<Opening> {
    Arc::new(Opening {
        account_id: id(account_id),
        owner_id: None,
        currency: currency(code),
        labels: [].into(),
    })
}

fn movement(amount: i64, code: &str) -> Movement {
    let money = Money { amount: Amount::new(amount).unwrap(), currency: currency(code) };
    Movement { money, reference: None, counterparty: None, effective_at: None }
}

// Events.

pub(crate) fn opened(account_id: &str) -> Event {
    opened_with_limit(account_id, 0)
}

pub(crate) fn opened_with_limit(account_id: &str, overdraft_limit: i64) -> Event {
    Event::AccountOpened { opening: opening(account_id, "EUR"), overdraft_limit }
}

pub(crate) fn opened_in(account_id: &str, code: &str) -> Event {
    Event::AccountOpened { opening: opening(account_id, code), overdraft_limit: 0 }
}

fn entry(amount: i64) -> Entry {
    let amount = Amount::new(amount).unwrap();
    Entry { amount, reference: None, counterparty: None, effective_at: None }
}

fn transfer_entry(peer: &str, amount: i64) -> TransferEntry {
    let amount = Amount::new(amount).unwrap();
    TransferEntry { amount, reference: None, peer: id(peer), effective_at: None }
}

pub(crate) fn deposited(amount: i64) -> Event {
    Event::MoneyDeposited(entry(amount))
}

pub(crate) fn withdrawn(amount: i64) -> Event {
    Event::MoneyWithdrawn(entry(amount))
}

pub(crate) fn bill_paid(amount: i64) -> Event {
    Event::BillPaid(entry(amount))
}

pub(crate) fn sent(to: &str, amount: i64) -> Event {
    Event::TransferSent(transfer_entry(to, amount))
}

pub(crate) fn received(from: &str, amount: i64) -> Event {
    Event::TransferReceived(transfer_entry(from, amount))
}

pub(crate) fn limit_set(overdraft_limit: i64) -> Event {
    Event::OverdraftLimitSet { overdraft_limit }
}

// Operations.

pub(crate) fn open(overdraft_limit: i64) -> Operation {
    Operation::OpenAccount { opening: opening(ALICE, "EUR"), overdraft_limit }
}

pub(crate) fn deposit(amount: i64) -> Operation {
    Operation::Deposit(movement(amount, "EUR"))
}

pub(crate) fn deposit_in(code: &str, amount: i64) -> Operation {
    Operation::Deposit(movement(amount, code))
}

pub(crate) fn withdraw(amount: i64) -> Operation {
    Operation::Withdraw(movement(amount, "EUR"))
}

pub(crate) fn withdraw_in(code: &str, amount: i64) -> Operation {
    Operation::Withdraw(movement(amount, code))
}

pub(crate) fn pay_bill(amount: i64) -> Operation {
    Operation::PayBill(movement(amount, "EUR"))
}

pub(crate) fn transfer(amount: i64) -> Operation {
    transfer_in("EUR", amount)
}

pub(crate) fn transfer_in(code: &str, amount: i64) -> Operation {
    let Movement { money, reference, effective_at, .. } = movement(amount, code);
    Operation::Transfer(Transfer { destination: id(BOB), money, reference, effective_at })
}

pub(crate) fn set_limit(overdraft_limit: i64) -> Operation {
    Operation::SetOverdraftLimit { overdraft_limit }
}

// Rejections.

pub(crate) fn insufficient(available: i128, overdraft_limit: i64, requested: i64) -> Rejection {
    Rejection::InsufficientFunds { available, overdraft_limit, requested }
}

pub(crate) fn not_found(account_id: &str) -> Rejection {
    Rejection::AccountNotFound { account_id: id(account_id) }
}

pub(crate) fn closed(account_id: &str) -> Rejection {
    Rejection::AccountClosed { account_id: id(account_id) }
}

pub(crate) fn frozen(account_id: &str) -> Rejection {
    Rejection::AccountFrozen { account_id: id(account_id) }
}

pub(crate) fn mismatch(account_id: &str, held: &str, requested: &str) -> Rejection {
    Rejection::CurrencyMismatch {
        account_id: id(account_id),
        held: currency(held),
        requested: currency(requested),
    }
}

pub(crate) fn conflict(expected: i64, current: i64) -> Rejection {
    let [expected, current] = [expected, current].map(|v| StreamVersion::new(v).unwrap());
    Rejection::VersionConflict { expected, current }
}
