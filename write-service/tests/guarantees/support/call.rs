//! The nine calls, short to write down.

use prost::Message;
use proto::{types::Money, write};
use uuid::Uuid;

/// A request to one of the nine rpcs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    OpenAccount(write::OpenAccountRequest),
    Deposit(write::DepositRequest),
    Withdraw(write::WithdrawRequest),
    PayBill(write::PayBillRequest),
    Transfer(write::TransferRequest),
    SetOverdraftLimit(write::SetOverdraftLimitRequest),
    FreezeAccount(write::FreezeAccountRequest),
    UnfreezeAccount(write::UnfreezeAccountRequest),
    CloseAccount(write::CloseAccountRequest),
}

macro_rules! on_each {
    ($call:expr, $request:ident => $body:expr) => {
        match $call {
            Call::OpenAccount($request) => $body,
            Call::Deposit($request) => $body,
            Call::Withdraw($request) => $body,
            Call::PayBill($request) => $body,
            Call::Transfer($request) => $body,
            Call::SetOverdraftLimit($request) => $body,
            Call::FreezeAccount($request) => $body,
            Call::UnfreezeAccount($request) => $body,
            Call::CloseAccount($request) => $body,
        }
    };
}

impl Call {
    pub(crate) fn id(&self) -> Uuid {
        Uuid::parse_str(on_each!(self, request => &request.request_id)).unwrap()
    }

    /// Its message on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        on_each!(self, request => request.encode_to_vec())
    }

    pub(crate) fn with_id(self, id: Uuid) -> Self {
        self.with_id_text(&id.to_string())
    }

    pub(crate) fn with_id_text(mut self, id: &str) -> Self {
        on_each!(&mut self, request => request.request_id = id.to_owned());
        self
    }

    /// The account it is about; of a transfer, the source.
    pub(crate) fn account(&self) -> &str {
        match self {
            Self::OpenAccount(request) => &request.account_id,
            Self::Deposit(request) => &request.account_id,
            Self::Withdraw(request) => &request.account_id,
            Self::PayBill(request) => &request.account_id,
            Self::Transfer(request) => &request.source_account_id,
            Self::SetOverdraftLimit(request) => &request.account_id,
            Self::FreezeAccount(request) => &request.account_id,
            Self::UnfreezeAccount(request) => &request.account_id,
            Self::CloseAccount(request) => &request.account_id,
        }
    }

    pub(crate) fn expecting(mut self, version: i64) -> Self {
        *match &mut self {
            Self::Deposit(request) => &mut request.expected_version,
            Self::Withdraw(request) => &mut request.expected_version,
            Self::PayBill(request) => &mut request.expected_version,
            Self::Transfer(request) => &mut request.expected_version,
            other => panic!("{other:?} expects no version"),
        } = Some(version);
        self
    }

    pub(crate) fn referring_to(mut self, text: &str) -> Self {
        *match &mut self {
            Self::Deposit(request) => &mut request.reference,
            Self::Withdraw(request) => &mut request.reference,
            Self::PayBill(request) => &mut request.reference,
            Self::Transfer(request) => &mut request.reference,
            other => panic!("{other:?} has no reference"),
        } = text.to_owned();
        self
    }

    /// The same in another currency.
    pub(crate) fn in_currency(mut self, code: &str) -> Self {
        let amount = match &mut self {
            Self::OpenAccount(request) => {
                request.currency_code = code.to_owned();
                return self;
            }
            Self::Deposit(request) => &mut request.amount,
            Self::Withdraw(request) => &mut request.amount,
            Self::PayBill(request) => &mut request.amount,
            Self::Transfer(request) => &mut request.amount,
            other => panic!("{other:?} has no currency"),
        };
        amount.as_mut().unwrap().currency_code = code.to_owned();
        self
    }
}

fn fresh() -> String {
    Uuid::now_v7().to_string()
}

fn eur(minor_units: i64) -> Option<Money> {
    Some(Money { currency_code: "EUR".into(), minor_units, display: String::new() })
}

pub(crate) fn open(account: &str) -> Call {
    open_with_limit(account, 0)
}

pub(crate) fn open_with_limit(account: &str, overdraft_limit: i64) -> Call {
    Call::OpenAccount(write::OpenAccountRequest {
        request_id: fresh(),
        account_id: account.into(),
        owner_id: "owner-1".into(),
        currency_code: "EUR".into(),
        overdraft_limit,
        labels: [("branch".to_owned(), "7".to_owned())].into(),
    })
}

pub(crate) fn deposit(account: &str, amount: i64) -> Call {
    Call::Deposit(write::DepositRequest {
        request_id: fresh(),
        account_id: account.into(),
        amount: eur(amount),
        counterparty: "somebody".into(),
        ..Default::default()
    })
}

pub(crate) fn withdraw(account: &str, amount: i64) -> Call {
    Call::Withdraw(write::WithdrawRequest {
        request_id: fresh(),
        account_id: account.into(),
        amount: eur(amount),
        ..Default::default()
    })
}

pub(crate) fn pay_bill(account: &str, amount: i64) -> Call {
    Call::PayBill(write::PayBillRequest {
        request_id: fresh(),
        account_id: account.into(),
        amount: eur(amount),
        payee: "landlord".into(),
        ..Default::default()
    })
}

pub(crate) fn transfer(source: &str, destination: &str, amount: i64) -> Call {
    Call::Transfer(write::TransferRequest {
        request_id: fresh(),
        source_account_id: source.into(),
        destination_account_id: destination.into(),
        amount: eur(amount),
        ..Default::default()
    })
}

pub(crate) fn set_limit(account: &str, overdraft_limit: i64) -> Call {
    let (request_id, account_id) = (fresh(), account.into());
    Call::SetOverdraftLimit(write::SetOverdraftLimitRequest {
        request_id,
        account_id,
        overdraft_limit,
    })
}

pub(crate) fn freeze(account: &str) -> Call {
    let (request_id, account_id) = (fresh(), account.into());
    Call::FreezeAccount(write::FreezeAccountRequest { request_id, account_id })
}

pub(crate) fn unfreeze(account: &str) -> Call {
    let (request_id, account_id) = (fresh(), account.into());
    Call::UnfreezeAccount(write::UnfreezeAccountRequest { request_id, account_id })
}

pub(crate) fn close(account: &str) -> Call {
    let (request_id, account_id) = (fresh(), account.into());
    Call::CloseAccount(write::CloseAccountRequest { request_id, account_id })
}
