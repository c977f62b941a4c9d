//! What holds after any sequence of commands.
#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as the tests do")]

use std::{collections::BTreeMap, sync::Arc};

use ledger::{
    Account, AccountId, AccountNumber, AccountState, Accounts, Amount, Command, Currency, Decision,
    Event, Money, Movement, Opening, Operation, Rejection, RequestId, StreamVersion, Transfer,
    decide, event::RejectedCommand, evolve,
};
use proptest::{collection::vec, prelude::*};
use uuid::Uuid;

/// The first three are opened at the beginning.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const CODES: [&str; 2] = ["EUR", "JPY"];

/// Accounts as they stand, and everything that brought them there.
#[derive(Debug, Clone, Default, PartialEq)]
struct Ledger {
    accounts: BTreeMap<AccountId, Account>,
    log: Vec<(AccountId, Event)>,
}

impl Ledger {
    fn decide(&self, command: &Command) -> Result<Decision, Rejection> {
        let destination = command.destination().and_then(|id| self.accounts.get(id));
        decide(Accounts { account: self.accounts.get(&command.account_id), destination }, command)
    }

    /// What a writer does with a command: decides it, and stores what happened or, if that is to be kept, why not.
    fn execute(&mut self, command: &Command) -> Result<Decision, Rejection> {
        let decision = self.decide(command);
        match &decision {
            Ok(Decision { event, destination_event }) => {
                self.store(&command.account_id, event.clone());
                if let Some(event) = destination_event {
                    self.store(command.destination().unwrap(), event.clone());
                }
            }
            Err(rejection) if rejection.is_stored() => {
                let rejected = RejectedCommand {
                    operation: command.operation.clone(),
                    expected_version: command.expected_version,
                    rejection: rejection.clone(),
                };
                self.store(&command.account_id, Event::CommandRejected(Box::new(rejected)));
            }
            Err(_) => {}
        }
        decision
    }

    fn store(&mut self, id: &AccountId, event: Event) {
        let before = self.accounts.get(id).map(|account| account.state);
        let state = evolve(before, &event).unwrap();
        if let Event::AccountOpened { opening, .. } = &event {
            let number = AccountNumber::new(1).unwrap();
            let account = Account { number, opening: opening.clone(), state };
            self.accounts.insert(id.clone(), account);
        }
        self.accounts.get_mut(id).unwrap().state = state;
        self.log.push((id.clone(), event));
    }

    fn states(&self) -> BTreeMap<AccountId, AccountState> {
        self.accounts.iter().map(|(id, account)| (id.clone(), account.state)).collect()
    }

    fn balances(&self) -> BTreeMap<Currency, i128> {
        let mut sums = BTreeMap::new();
        for account in self.accounts.values() {
            *sums.entry(account.opening.currency).or_default() += i128::from(account.state.balance);
        }
        sums.retain(|_, sum| *sum != 0);
        sums
    }

    /// What came in from outside less what went there.
    fn what_came_in(&self) -> BTreeMap<Currency, i128> {
        let mut sums = BTreeMap::new();
        for (id, event) in &self.log {
            let sum: &mut i128 = sums.entry(self.accounts[id].opening.currency).or_default();
            match event {
                Event::MoneyDeposited(entry) => *sum += i128::from(entry.amount.minor_units()),
                Event::MoneyWithdrawn(entry) | Event::BillPaid(entry) => {
                    *sum -= i128::from(entry.amount.minor_units());
                }
                _ => {}
            }
        }
        sums.retain(|_, sum| *sum != 0);
        sums
    }
}

fn amounts() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 1..200_i64, 1 => i64::MAX - 200..=i64::MAX, 1 => 1..=i64::MAX]
}

fn limits() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0), 5 => 0..300_i64, 1 => Just(i64::MAX)]
}

fn names() -> impl Strategy<Value = AccountId> {
    (0..NAMES.len()).prop_map(|index| AccountId::new(NAMES[index]).unwrap())
}

fn currencies() -> impl Strategy<Value = Currency> {
    prop_oneof![9 => Just(CODES[0]), 1 => Just(CODES[1])]
        .prop_map(|code| Currency::new(code).unwrap())
}

fn movements() -> impl Strategy<Value = Movement> {
    (amounts(), currencies()).prop_map(|(amount, currency)| Movement {
        money: Money { amount: Amount::new(amount).unwrap(), currency },
        reference: None,
        counterparty: None,
        effective_at: None,
    })
}

fn commands() -> impl Strategy<Value = Command> {
    let open = (currencies(), limits()).prop_map(|(currency, overdraft_limit)| {
        let account_id = AccountId::new("replaced").unwrap();
        let opening = Opening { account_id, owner_id: None, currency, labels: [].into() };
        Operation::OpenAccount { opening: Arc::new(opening), overdraft_limit }
    });
    let transfer = (names(), movements()).prop_map(|(destination, movement)| {
        let Movement { money, reference, effective_at, .. } = movement;
        Operation::Transfer(Transfer { destination, money, reference, effective_at })
    });
    let operation = prop_oneof![
        1 => open,
        6 => movements().prop_map(Operation::Deposit),
        5 => movements().prop_map(Operation::Withdraw),
        3 => movements().prop_map(Operation::PayBill),
        8 => transfer,
        2 => limits().prop_map(|limit| Operation::SetOverdraftLimit { overdraft_limit: limit }),
        1 => Just(Operation::FreezeAccount),
        3 => Just(Operation::UnfreezeAccount),
        1 => Just(Operation::CloseAccount),
    ];
    let expected = prop_oneof![9 => Just(None), 1 => (1..20_i64).prop_map(StreamVersion::new)];
    (names(), expected, operation)
        .prop_map(|(account_id, expected_version, mut operation)| {
            if let Operation::OpenAccount { opening, .. } = &mut operation {
                Arc::make_mut(opening).account_id = account_id.clone();
            }
            let request_id = RequestId::new(Uuid::from_u128(1)).unwrap();
            Command { request_id, account_id, expected_version, operation }
        })
        .prop_filter("a transfer has two accounts", |command| {
            command.destination() != Some(&command.account_id)
        })
}

/// Openings, and then whatever comes.
fn histories() -> impl Strategy<Value = Vec<Command>> {
    let openings = vec((currencies(), limits()), 3).prop_map(|openings| {
        let opened = NAMES.iter().zip(openings).map(|(name, (currency, overdraft_limit))| {
            let account_id = AccountId::new(name).unwrap();
            let opening = Opening {
                account_id: account_id.clone(),
                owner_id: None,
                currency,
                labels: [].into(),
            };
            Command {
                request_id: RequestId::new(Uuid::from_u128(1)).unwrap(),
                account_id,
                expected_version: None,
                operation: Operation::OpenAccount { opening: Arc::new(opening), overdraft_limit },
            }
        });
        opened.collect::<Vec<_>>()
    });
    (openings, vec(commands(), 0..80))
        .prop_map(|(openings, commands)| [openings, commands].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn money_comes_from_outside_or_not_at_all(commands in histories()) {
        let mut ledger = Ledger::default();
        for command in &commands {
            let _ = ledger.execute(command);
            prop_assert_eq!(ledger.balances(), ledger.what_came_in());
        }
    }

    #[test]
    fn no_account_is_ever_below_its_limit(commands in histories()) {
        let mut ledger = Ledger::default();
        for command in &commands {
            let _ = ledger.execute(command);
            for (id, state) in ledger.states() {
                prop_assert!(state.keeps_limit(), "{id} after {command:?}: {state:?}");
            }
        }
    }

    #[test]
    fn replaying_the_events_gives_the_live_accounts(commands in histories()) {
        let mut ledger = Ledger::default();
        for command in &commands {
            let _ = ledger.execute(command);
        }
        let mut replayed = BTreeMap::<AccountId, AccountState>::new();
        for (id, event) in &ledger.log {
            let state = evolve(replayed.get(id).copied(), event).unwrap();
            replayed.insert(id.clone(), state);
        }
        prop_assert_eq!(replayed, ledger.states());
    }

    #[test]
    fn a_refused_command_changes_no_account(commands in histories()) {
        let mut ledger = Ledger::default();
        for command in &commands {
            let before = ledger.states();
            let versions_before: i64 = before.values().map(|state| state.version.get()).sum();
            match ledger.execute(command) {
                Err(_) => prop_assert_eq!(ledger.states(), before),
                Ok(decision) => {
                    let touched = 1 + i64::from(decision.destination_event.is_some());
                    let versions: i64 = ledger.states().values().map(|state| state.version.get()).sum();
                    prop_assert_eq!(versions, versions_before + touched);
                }
            }
        }
    }

    #[test]
    fn deciding_again_decides_the_same(commands in histories()) {
        let mut ledger = Ledger::default();
        for command in &commands {
            let again = ledger.clone().decide(command);
            prop_assert_eq!(ledger.execute(command), again);
        }
    }
}

/// Random commands that are nearly all refused would prove nothing.
#[test]
fn the_random_commands_reach_every_kind_of_outcome() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::<String, usize>::new();
    for _ in 0..300 {
        let mut ledger = Ledger::default();
        for command in histories().new_tree(&mut runner).unwrap().current() {
            let outcome = match ledger.execute(&command) {
                Ok(decision) => format!("{:?}", decision.event),
                Err(rejection) => format!("{rejection:?}"),
            };
            let kind = outcome.split([' ', '(', '{']).next().unwrap_or_default();
            *seen.entry(kind.to_owned()).or_default() += 1;
        }
    }
    let expected = "AccountAlreadyExists AccountClosed AccountFrozen AccountNotFound AccountNotFrozen AccountOpened \
                    AccountUnfrozen BalanceNotZero BalanceOverflow BillPaid CurrencyMismatch InsufficientFunds \
                    LimitAboveBalance MoneyDeposited MoneyWithdrawn OverdraftLimitSet TransferSent VersionConflict";
    let found: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(found, expected.split_whitespace().collect::<Vec<_>>(), "{seen:?}");
    let moved = ["MoneyDeposited", "MoneyWithdrawn", "BillPaid", "TransferSent"];
    let accepted: usize = moved.iter().map(|kind| seen[*kind]).sum();
    assert!(accepted * 6 > seen.values().sum::<usize>(), "too few are accepted: {seen:?}");
}
