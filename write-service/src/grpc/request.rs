//! From request messages to commands. Everything is checked, and all that is wrong is said at once.

use std::{collections::BTreeMap, sync::Arc};

use ledger::{
    AccountId, Amount, Command, Currency, Money, Movement, Opening, Operation, OwnerId, RequestId,
    StreamVersion, Text, Timestamp, Transfer,
};
use prost_types::Timestamp as WireTimestamp;
use proto::{types::Money as WireMoney, write};
use uuid::Uuid;

/// Most labels of an account, and longest key and value in bytes.
const LABELS_MAX: usize = 32;
const LABEL_KEY_BYTES_MAX: usize = 64;
const LABEL_VALUE_BYTES_MAX: usize = 256;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) field: String,
    pub(crate) reason: &'static str,
    pub(crate) description: String,
}

/// A request that is no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// Nothing was filled in at all.
    pub(crate) is_empty: bool,
    /// Everything that is wrong; at least one.
    pub(crate) violations: Vec<Violation>,
}

/// Reads fields one by one, and remembers what was wrong with them.
#[derive(Debug)]
pub(crate) struct Fields {
    amount_max: i64,
    /// Stands before the names of fields.
    within: String,
    violations: Vec<Violation>,
}

/// A request that can be turned into a command.
pub(crate) trait IntoCommand {
    /// The command, or nothing if a field is wrong; what is wrong is then noted in `fields`.
    fn into_command(self, fields: &mut Fields) -> Option<Command>;
}

/// Turns a request into a command.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn command<R: IntoCommand + Default + PartialEq>(
    request: R,
    amount_max: i64,
) -> Result<Command, Invalid> {
    let is_empty = request == R::default();
    read(amount_max, |fields| request.into_command(fields))
        .map_err(|wrong| Invalid { is_empty, ..wrong })
}

/// What `from` reads, if nothing is wrong.
///
/// # Errors
/// Everything that is.
pub(crate) fn read<T>(
    amount_max: i64,
    from: impl FnOnce(&mut Fields) -> Option<T>,
) -> Result<T, Invalid> {
    let mut fields = Fields::new(amount_max);
    let value = from(&mut fields);
    fields.finish(value)
}

impl Fields {
    pub(crate) fn new(amount_max: i64) -> Self {
        Self { amount_max, within: String::new(), violations: Vec::new() }
    }

    /// What was read, unless something was wrong.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Invalid> {
        match value {
            Some(value) if self.violations.is_empty() => Ok(value),
            _ => Err(Invalid { is_empty: false, violations: self.violations }),
        }
    }

    /// Reads fields of a message within the message.
    pub(crate) fn within<T>(&mut self, place: &str, from: impl FnOnce(&mut Self) -> T) -> T {
        let outside = std::mem::replace(&mut self.within, format!("{place}."));
        let value = from(self);
        self.within = outside;
        value
    }

    pub(crate) fn wrong<T>(
        &mut self,
        field: &str,
        reason: &'static str,
        description: impl Into<String>,
    ) -> Option<T> {
        self.violations.push(Violation {
            field: format!("{}{field}", self.within),
            reason,
            description: description.into(),
        });
        None
    }

    pub(crate) fn request_id(&mut self, text: &str) -> Option<RequestId> {
        if text.is_empty() {
            return self.wrong(
                "request_id",
                "REQUEST_ID_REQUIRED",
                "a UUID, the same on every retry",
            );
        }
        match Uuid::try_parse(text).ok().and_then(RequestId::new) {
            Some(id) => Some(id),
            None => self.wrong(
                "request_id",
                "REQUEST_ID_MALFORMED",
                "must be a UUID, and not the nil one",
            ),
        }
    }

    fn account_id(&mut self, field: &str, text: &str) -> Option<AccountId> {
        match AccountId::new(text) {
            Ok(id) => Some(id),
            Err(why) => self.wrong(field, "ACCOUNT_ID_MALFORMED", why.to_string()),
        }
    }

    fn owner_id(&mut self, text: &str) -> Option<Option<OwnerId>> {
        if text.is_empty() {
            return Some(None);
        }
        match OwnerId::new(text) {
            Ok(id) => Some(Some(id)),
            Err(why) => self.wrong("owner_id", "OWNER_ID_MALFORMED", why.to_string()),
        }
    }

    fn currency(&mut self, field: &str, code: &str) -> Option<Currency> {
        match Currency::new(code) {
            Ok(currency) => Some(currency),
            Err(why) => self.wrong(field, "CURRENCY_INVALID", why.to_string()),
        }
    }

    fn money(&mut self, money: Option<WireMoney>) -> Option<Money> {
        let Some(money) = money else {
            return self.wrong("amount", "FIELD_REQUIRED", "how much, of what");
        };
        let currency = self.currency("amount.currency_code", &money.currency_code);
        let amount = match Amount::new(money.minor_units) {
            None => self.wrong("amount.minor_units", "AMOUNT_NOT_POSITIVE", "must be positive"),
            Some(amount) if amount.minor_units() > self.amount_max => {
                let description = format!("must be at most {}", self.amount_max);
                self.wrong("amount.minor_units", "AMOUNT_TOO_LARGE", description)
            }
            Some(amount) => Some(amount),
        };
        Some(Money { amount: amount?, currency: currency? })
    }

    fn text(&mut self, field: &str, text: String) -> Option<Option<Text>> {
        if text.is_empty() {
            return Some(None);
        }
        match Text::new(text) {
            Ok(text) => Some(Some(text)),
            Err(why) => self.wrong(field, "TEXT_INVALID", why.to_string()),
        }
    }

    /// Cut to microseconds, which is what the log keeps: a retry then compares equal.
    fn effective_at(&mut self, time: Option<WireTimestamp>) -> Option<Option<Timestamp>> {
        let Some(time) = time else { return Some(None) };
        let micros = (0..1_000_000_000).contains(&time.nanos).then(|| {
            let whole = time.seconds.checked_mul(1_000_000)?;
            whole.checked_add(i64::from(time.nanos / 1_000))
        });
        match micros.flatten().and_then(Timestamp::from_micros) {
            Some(time) => Some(Some(time)),
            None => self.wrong("effective_time", "TIME_INVALID", "must lie in the years 1 to 9999"),
        }
    }

    fn overdraft_limit(&mut self, limit: i64) -> Option<i64> {
        if (0..=self.amount_max).contains(&limit) {
            return Some(limit);
        }
        let description = format!("must be 0 to {}", self.amount_max);
        self.wrong("overdraft_limit", "OVERDRAFT_LIMIT_INVALID", description)
    }

    fn expected_version(&mut self, version: Option<i64>) -> Option<Option<StreamVersion>> {
        let Some(version) = version else { return Some(None) };
        match StreamVersion::new(version).filter(|version| *version >= StreamVersion::FIRST) {
            Some(version) => Some(Some(version)),
            None => self.wrong("expected_version", "VERSION_INVALID", "must be at least 1"),
        }
    }

    fn labels(&mut self, labels: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
        if labels.len() > LABELS_MAX {
            return self.wrong("labels", "TEXT_INVALID", format!("at most {LABELS_MAX} labels"));
        }
        let mut fine = true;
        for (key, value) in &labels {
            let clean = !key.chars().chain(value.chars()).any(char::is_control);
            let short = key.len() <= LABEL_KEY_BYTES_MAX && value.len() <= LABEL_VALUE_BYTES_MAX;
            if key.is_empty() || !clean || !short {
                fine = false;
                let description = format!(
                    "keys are 1 to {LABEL_KEY_BYTES_MAX} bytes, values up to {LABEL_VALUE_BYTES_MAX}, without \
                     control characters"
                );
                self.wrong::<()>("labels", "TEXT_INVALID", description);
            }
        }
        fine.then_some(labels)
    }

    /// A command that only names its account.
    fn plain(
        &mut self,
        request_id: &str,
        account_id: &str,
        operation: Operation,
    ) -> Option<Command> {
        let request_id = self.request_id(request_id);
        let account_id = self.account_id("account_id", account_id);
        Some(Command {
            request_id: request_id?,
            account_id: account_id?,
            expected_version: None,
            operation,
        })
    }
}

impl IntoCommand for write::OpenAccountRequest {
    fn into_command(self, fields: &mut Fields) -> Option<Command> {
        let request_id = fields.request_id(&self.request_id);
        let account_id = fields.account_id("account_id", &self.account_id);
        let owner_id = fields.owner_id(&self.owner_id);
        let currency = fields.currency("currency_code", &self.currency_code);
        let overdraft_limit = fields.overdraft_limit(self.overdraft_limit);
        let labels = fields.labels(self.labels);
        let account_id = account_id?;
        let opening = Opening {
            account_id: account_id.clone(),
            owner_id: owner_id?,
            currency: currency?,
            labels: labels?,
        };
        let operation = Operation::OpenAccount {
            opening: Arc::new(opening),
            overdraft_limit: overdraft_limit?,
        };
        Some(Command { request_id: request_id?, account_id, expected_version: None, operation })
    }
}

/// What deposits, withdrawals and bill payments have in common.
struct MovementRequest {
    request_id: String,
    account_id: String,
    amount: Option<WireMoney>,
    reference: String,
    counterparty: Result<String, String>,
    effective_time: Option<WireTimestamp>,
    expected_version: Option<i64>,
}

impl MovementRequest {
    /// `counterparty` is `Ok` with what may be empty, or `Err` with a payee, who may not.
    fn into_command(
        self,
        fields: &mut Fields,
        operation: fn(Movement) -> Operation,
    ) -> Option<Command> {
        let request_id = fields.request_id(&self.request_id);
        let account_id = fields.account_id("account_id", &self.account_id);
        let money = fields.money(self.amount);
        let reference = fields.text("reference", self.reference);
        let counterparty = match self.counterparty {
            Ok(counterparty) => fields.text("counterparty", counterparty),
            Err(payee) if payee.is_empty() => {
                fields.wrong("payee", "FIELD_REQUIRED", "who is paid")
            }
            Err(payee) => fields.text("payee", payee),
        };
        let effective_at = fields.effective_at(self.effective_time);
        let expected_version = fields.expected_version(self.expected_version);
        let movement = Movement {
            money: money?,
            reference: reference?,
            counterparty: counterparty?,
            effective_at: effective_at?,
        };
        Some(Command {
            request_id: request_id?,
            account_id: account_id?,
            expected_version: expected_version?,
            operation: operation(movement),
        })
    }
}

impl IntoCommand for write::DepositRequest {
    fn into_command(self, fields: &mut Fields) -> Option<Command> {
        let Self {
            request_id,
            account_id,
            amount,
            reference,
            counterparty,
            effective_time,
            expected_version,
        } = self;
        let counterparty = Ok(counterparty);
        MovementRequest {
            request_id,
            account_id,
            amount,
            reference,
            counterparty,
            effective_time,
            expected_version,
        }
        .into_command(fields, Operation::Deposit)
    }
}

impl IntoCommand for write::WithdrawRequest {
    fn into_command(self, fields: &mut Fields) -> Option<Command> {
        let Self {
            request_id,
            account_id,
            amount,
            reference,
            counterparty,
            effective_time,
            expected_version,
        } = self;
        let counterparty = Ok(counterparty);
        MovementRequest {
            request_id,
            account_id,
            amount,
            reference,
            counterparty,
            effective_time,
            expected_version,
        }
        .into_command(fields, Operation::Withdraw)
    }
}

impl IntoCommand for write::PayBillRequest {
    fn into_command(self, fields: &mut Fields) -> Option<Command> {
        let Self {
            request_id,
            account_id,
            amount,
            payee,
            reference,
            effective_time,
            expected_version,
        } = self;
        let counterparty = Err(payee);
        MovementRequest {
            request_id,
            account_id,
            amount,
            reference,
            counterparty,
            effective_time,
            expected_version,
        }
        .into_command(fields, Operation::PayBill)
    }
}

impl IntoCommand for write::TransferRequest {
    fn into_command(self, fields: &mut Fields) -> Option<Command> {
        let request_id = fields.request_id(&self.request_id);
        let source = fields.account_id("source_account_id", &self.source_account_id);
        let destination = fields.account_id("destination_account_id", &self.destination_account_id);
        let money = fields.money(self.amount);
        let reference = fields.text("reference", self.reference);
        let effective_at = fields.effective_at(self.effective_time);
        let expected_version = fields.expected_version(self.expected_version);
        let (source, destination) = (source?, destination?);
        if source == destination {
            return fields.wrong(
                "destination_account_id",
                "SAME_ACCOUNT",
                "must be another account than the source",
            );
        }
        let transfer = Transfer {
            destination,
            money: money?,
            reference: reference?,
            effective_at: effective_at?,
        };
        Some(Command {
            request_id: request_id?,
            account_id: source,
            expected_version: expected_version?,
            operation: Operation::Transfer(transfer),
        })
    }
}

impl IntoCommand for write::SetOverdraftLimitRequest {
    fn into_command(self, fields: &mut Fields) -> Option<Command> {
        let limit = fields.overdraft_limit(self.overdraft_limit);
        let operation = Operation::SetOverdraftLimit { overdraft_limit: limit.unwrap_or_default() };
        let command = fields.plain(&self.request_id, &self.account_id, operation);
        limit.and(command)
    }
}

impl IntoCommand for write::FreezeAccountRequest {
    fn into_command(self, fields: &mut Fields) -> Option<Command> {
        fields.plain(&self.request_id, &self.account_id, Operation::FreezeAccount)
    }
}

impl IntoCommand for write::UnfreezeAccountRequest {
    fn into_command(self, fields: &mut Fields) -> Option<Command> {
        fields.plain(&self.request_id, &self.account_id, Operation::UnfreezeAccount)
    }
}

impl IntoCommand for write::CloseAccountRequest {
    fn into_command(self, fields: &mut Fields) -> Option<Command> {
        fields.plain(&self.request_id, &self.account_id, Operation::CloseAccount)
    }
}
