//! Commands of any kind, as batches and streams carry them.

use access::Reach;
use ledger::Command;
use proto::write::{self, CommandResult, command::Kind, command_result::Outcome};
use service_kit::error_details::ErrorStatus;

use super::{
    permission::Permission,
    request::{Fields, IntoCommand, read},
    response::{FromApplied, Labels},
    status::{denied, invalid},
};
use crate::answer::Applied;

/// What is answered to a command of one kind.
type Respond = fn(Applied) -> Outcome;

/// Which of the commands it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommandKind {
    /// The rpc that takes it by itself.
    pub(super) rpc: &'static str,
    field: &'static str,
    respond: Respond,
}

impl CommandKind {
    /// The answer on the wire. Labels are left out: with them, a thousand answers would be more than clients accept.
    pub(super) fn result(self, answer: Result<Applied, ErrorStatus>) -> CommandResult {
        let outcome = match answer {
            Ok(applied) => (self.respond)(applied),
            Err(error) => Outcome::Error(error.into_rpc_status()),
        };
        CommandResult { outcome: Some(outcome) }
    }
}

macro_rules! kinds {
    ($($kind:ident $field:literal),*) => {
        fn kind_of(kind: &Kind) -> CommandKind {
            match kind {$(
                Kind::$kind(_) => CommandKind {
                    rpc: stringify!($kind),
                    field: $field,
                    respond: |applied| Outcome::$kind(FromApplied::from_applied(applied, Labels::LeftOut)),
                },
            )*}
        }

        fn request_id(kind: &mut Kind) -> &mut String {
            match kind {$(Kind::$kind(request) => &mut request.request_id,)*}
        }

        fn into_command(kind: Kind, fields: &mut Fields) -> Option<Command> {
            match kind {$(Kind::$kind(request) => request.into_command(fields),)*}
        }
    };
}

kinds!(
    OpenAccount "open_account",
    Deposit "deposit",
    Withdraw "withdraw",
    PayBill "pay_bill",
    Transfer "transfer",
    SetOverdraftLimit "set_overdraft_limit",
    FreezeAccount "freeze_account",
    UnfreezeAccount "unfreeze_account",
    CloseAccount "close_account"
);

/// What stands for the kind of a command that says none.
const NO_KIND: CommandKind =
    CommandKind { rpc: "Command", field: "kind", respond: |_| unreachable!("it is never decided") };

/// A command, and which one it is; or why its caller, with this reach, cannot have it decided.
pub(super) fn any_command(
    command: Option<write::Command>,
    amount_max: i64,
    reach: &Reach,
) -> (CommandKind, Result<Command, ErrorStatus>) {
    let is_denied = command.as_ref().is_some_and(|command| !command.may_be_permitted(reach));
    let Some(kind) = command.and_then(|command| command.kind) else {
        let missing = read(amount_max, |fields| {
            fields.wrong("kind", "COMMAND_MISSING", "one of the commands must be set")
        });
        return (NO_KIND, missing.map_err(|wrong| invalid(&wrong)));
    };
    let of = kind_of(&kind);
    if is_denied {
        return (of, Err(denied()));
    }
    let command = read(amount_max, |fields| into_command(kind, fields));
    (of, command.map_err(|wrong| invalid(&wrong)))
}

/// A command of an atomic batch, which gets the batch's request id.
pub(super) fn atomic_command(
    index: usize,
    command: write::Command,
    batch_request_id: &str,
    fields: &mut Fields,
) -> Option<(CommandKind, Command)> {
    let Some(mut kind) = command.kind else {
        let place = format!("commands[{index}]");
        return fields.wrong(&place, "COMMAND_MISSING", "one of the commands must be set");
    };
    let of = kind_of(&kind);
    let place = format!("commands[{index}].{}", of.field);
    let own = std::mem::replace(request_id(&mut kind), batch_request_id.to_owned());
    fields.within(&place, |fields| {
        if !own.is_empty() {
            let why = "must be unset: the batch has one";
            fields.wrong::<()>("request_id", "REQUEST_ID_UNEXPECTED", why);
        }
        Some((of, into_command(kind, fields)?))
    })
}
