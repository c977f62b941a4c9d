//! What of a request is denied by itself, before it is checked: it names an account that its caller could have no right to, whoever
//! owns it. For what remains the sequencer decides, which knows who does.

use access::Reach;
use proto::write::{self, command::Kind};

/// A request that names the account it would act on.
pub(super) trait Permission {
    /// Whether a caller with this reach could have a right to it.
    fn may_be_permitted(&self, reach: &Reach) -> bool;
}

macro_rules! on_account {
    ($($request:ident),*) => {$(
        impl Permission for write::$request {
            fn may_be_permitted(&self, reach: &Reach) -> bool {
                reach.may_include(&self.account_id)
            }
        }
    )*};
}

on_account!(
    DepositRequest,
    WithdrawRequest,
    PayBillRequest,
    SetOverdraftLimitRequest,
    FreezeAccountRequest,
    UnfreezeAccountRequest,
    CloseAccountRequest
);

impl Permission for write::OpenAccountRequest {
    fn may_be_permitted(&self, reach: &Reach) -> bool {
        reach.may_open(&self.account_id, &self.owner_id)
    }
}

/// Anybody may be paid.
impl Permission for write::TransferRequest {
    fn may_be_permitted(&self, reach: &Reach) -> bool {
        reach.may_include(&self.source_account_id)
    }
}

impl Permission for write::Command {
    fn may_be_permitted(&self, reach: &Reach) -> bool {
        match &self.kind {
            None => true, // it names nothing
            Some(Kind::OpenAccount(request)) => request.may_be_permitted(reach),
            Some(Kind::Deposit(request)) => request.may_be_permitted(reach),
            Some(Kind::Withdraw(request)) => request.may_be_permitted(reach),
            Some(Kind::PayBill(request)) => request.may_be_permitted(reach),
            Some(Kind::Transfer(request)) => request.may_be_permitted(reach),
            Some(Kind::SetOverdraftLimit(request)) => request.may_be_permitted(reach),
            Some(Kind::FreezeAccount(request)) => request.may_be_permitted(reach),
            Some(Kind::UnfreezeAccount(request)) => request.may_be_permitted(reach),
            Some(Kind::CloseAccount(request)) => request.may_be_permitted(reach),
        }
    }
}
