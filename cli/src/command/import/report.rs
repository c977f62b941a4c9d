//! What an import did, and what is left to do.

use std::{fmt, path::Path};

use serde_json::{Value, json};

use super::{
    lane::{Lane, LaneEnd, Progress},
    row::{Row, lowest_balance},
};
use crate::{
    call::{own_words, shown_command, sibling_command},
    failure::{REFUSED, Refusal, UNAVAILABLE},
    output::{Fields, minor_units},
    settings::WriteAddr,
};

/// So many line numbers of one account are enough to find the others.
const LINES_SHOWN_MAX: usize = 60;

/// So many accounts or balances show what is the matter; all of them are in the JSON form.
const SHOWN_MAX: usize = 50;

/// All accounts' ends together.
pub(super) struct Report {
    file: String,
    lanes: Vec<Lane>,
    is_stopped: bool,
    stop_reason: Option<Refusal>,
    /// What the user said about the service's address; the commands to paste say the same.
    told_addr: WriteAddr,
}

impl Report {
    pub(super) fn new(
        file: &Path,
        mut lanes: Vec<Lane>,
        progress: &Progress,
        addr: &str,
        told_addr: WriteAddr,
    ) -> Self {
        // In the order in which the accounts stopped in the file, not in which they were finished.
        lanes.sort_by_key(|lane| lane.end.left(lane).map(|rows| rows.first().map(|row| row.line)));
        Self {
            file: file.display().to_string(),
            lanes,
            is_stopped: progress.is_stopped(),
            stop_reason: progress.stop_reason().map(|reason| reason.at(addr)),
            told_addr,
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        let unanswered = |lane: &Lane| matches!(lane.end, LaneEnd::Unanswered(..));
        let wrong =
            |lane: &Lane| !matches!(lane.end, LaneEnd::Complete) || !lane.differences.is_empty();
        if self.is_stopped || self.lanes.iter().any(unanswered) {
            UNAVAILABLE
        } else if self.lanes.iter().any(wrong) {
            REFUSED
        } else {
            0
        }
    }

    fn sum(&self, count: impl Fn(&Lane) -> usize) -> usize {
        self.lanes.iter().map(count).sum()
    }

    pub(super) fn json(&self) -> Value {
        let lanes = || self.lanes.iter();
        let stopped: Vec<Value> = lanes().filter_map(stopped_json).collect();
        let differences: Vec<Value> = lanes().flat_map(differences_json).collect();
        json!({
            "file": self.file,
            "rows": self.sum(|lane| lane.account.rows.len()),
            "accounts": self.lanes.len(),
            "accountsOpened": self.sum(|lane| usize::from(lane.opened)),
            "applied": self.sum(|lane| lane.applied),
            "appliedBefore": self.sum(|lane| lane.replayed),
            "accountsStopped": stopped,
            "differences": differences,
            "stopReason": self.stop_reason.as_ref().map(Refusal::json),
            "complete": self.exit_code() == 0,
        })
    }
}

impl LaneEnd {
    /// The rows that are not in the log as far as we know, the one that stopped the account first.
    fn left<'a>(&self, lane: &'a Lane) -> Option<&'a [Row]> {
        match self {
            Self::Complete => None,
            Self::NotOpened(_) => Some(&lane.account.rows),
            Self::Refused(index, _) | Self::Unanswered(index, _) | Self::Stopped(index) => {
                lane.account.rows.get(*index..)
            }
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::NotOpened(_) => "account not opened",
            Self::Refused(..) => "refused",
            Self::Unanswered(..) => "not answered",
            Self::Stopped(_) => "not sent",
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::NotOpened(refusal) | Self::Refused(_, refusal) | Self::Unanswered(_, refusal) => {
                Some(refusal)
            }
            Self::Complete | Self::Stopped(_) => None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.sum(|lane| lane.account.rows.len());
        let lanes =
            |is_wanted: fn(&LaneEnd) -> bool| self.sum(|lane| usize::from(is_wanted(&lane.end)));
        let left = |is_stopped: bool| {
            self.sum(|lane| match (lane.end.left(lane), &lane.end) {
                (Some(rows), LaneEnd::Stopped(_)) if is_stopped => rows.len(),
                (Some(rows), end) if !is_stopped && end.refusal().is_some() => rows.len(),
                _ => 0,
            })
        };
        let refused = lanes(|end| matches!(end, LaneEnd::Refused(..)));
        let unanswered = lanes(|end| matches!(end, LaneEnd::Unanswered(..)));
        let mut fields = Fields::default();
        fields
            .add("accounts opened", self.sum(|lane| usize::from(lane.opened)).to_string())
            .add("applied now", self.sum(|lane| lane.applied).to_string())
            .add("applied before", self.sum(|lane| lane.replayed).to_string())
            .add("refused", refused.to_string())
            .add("not answered", unanswered.to_string())
            .add("held back", (left(false) - refused - unanswered).to_string())
            .add("not sent", left(true).to_string())
            .add("balances that differ", self.sum(|lane| lane.differences.len()).to_string());
        writeln!(f, "{}: {rows} rows of {} accounts\n{fields}", self.file, self.lanes.len())?;
        let differences: Vec<String> = self.lanes.iter().flat_map(difference_lines).collect();
        let ended = self.lanes.iter().filter(|lane| lane.end.refusal().is_some());
        let end_text = |lane| end_text(lane, &self.told_addr);
        let ends: Vec<String> = ended.filter_map(end_text).collect();
        for texts in [differences, ends] {
            texts.iter().take(SHOWN_MAX).try_for_each(|text| writeln!(f, "{text}"))?;
            if texts.len() > SHOWN_MAX {
                writeln!(f, "and {} more; --json shows all\n", texts.len() - SHOWN_MAX)?;
            }
        }
        if self.is_stopped {
            match &self.stop_reason {
                Some(reason) => {
                    let place = reason.metadata.get("address").map(|addr| format!(" at {addr}"));
                    let (name, place) = (reason.name(), place.unwrap_or_default());
                    writeln!(f, "The import was stopped: {name}{place}: {}", reason.message)?;
                }
                None => writeln!(f, "The import was broken off.")?,
            }
            writeln!(
                f,
                "Run it again to go on; what is applied is not applied again:\n  {}",
                again(false)
            )?;
        }
        Ok(())
    }
}

fn difference_lines(lane: &Lane) -> impl Iterator<Item = String> {
    differences(lane).map(|(row, ours)| {
        let money = |amount| minor_units(amount, lane.account.currency.as_str());
        let theirs = money(row.balance_after.unwrap_or_default());
        let account = &lane.account.account_id;
        format!(
            "line {}: {account} stands at {}, but the file says {theirs}",
            row.line,
            money(*ours)
        )
    })
}

fn end_text(lane: &Lane, told_addr: &WriteAddr) -> Option<String> {
    let ([row, held_back @ ..], Some(refusal)) = (lane.end.left(lane)?, lane.end.refusal()) else {
        return None;
    };
    let account = &lane.account.account_id;
    let amount = minor_units(row.minor_units, lane.account.currency.as_str());
    let (line, transaction, command) = (row.line, &row.transaction, row.command.name());
    let held_back = match held_back {
        [] => String::new(),
        [one] => format!("  held back behind it: 1 row, line {}\n", one.line),
        many => format!("  held back behind it: {} rows, {}\n", many.len(), lines(many)),
    };
    Some(format!(
        "line {line}: {account} {command} {amount} (transaction {transaction}): {}\n  {}: {}\n{held_back}  to do: {}\n",
        lane.end.word(),
        refusal.name(),
        refusal.message,
        what_to_do(lane, refusal, told_addr).replace('\n', "\n    ")
    ))
}

fn what_to_do(lane: &Lane, refusal: &Refusal, told_addr: &WriteAddr) -> String {
    let account = lane.account.account_id.as_str();
    let retry = again(true);
    match refusal.reason.as_str() {
        "INSUFFICIENT_FUNDS" => match needed_limit(lane, refusal) {
            Some(limit) => {
                let money = minor_units(limit, lane.account.currency.as_str());
                let limit = match told_addr.flag() {
                    // An amount needs the read service, and where that is we were not told.
                    Some(_) => format!("--minor-units {limit}"),
                    None => money.clone(),
                };
                let words = ["set-overdraft-limit", account].into_iter().chain(limit.split(' '));
                let allow = sibling_command(words, told_addr);
                format!(
                    "if the account may fall to {money} below zero, allow it and try again:\n{allow}\n{retry}"
                )
            }
            None => format!("raise the account's overdraft limit and try again:\n{retry}"),
        },
        "ACCOUNT_FROZEN" => {
            let unfreeze = sibling_command(["unfreeze", account], told_addr);
            format!("let debits through and try again:\n{unfreeze}\n{retry}")
        }
        "REQUEST_ID_REUSED" => {
            "something else was imported under this transaction number: the file was changed since, or it is \
             another bank's (then give it a --namespace of its own)"
                .to_owned()
        }
        _ if !refusal.is_about_the_command() => format!("run the import again:\n{}", again(false)),
        _ => format!("correct the cause and try again:\n{retry}"),
    }
}

/// The smallest limit with which all that is left of the account goes through.
fn needed_limit(lane: &Lane, refusal: &Refusal) -> Option<i64> {
    let told = || refusal.metadata.get("available")?.parse().ok();
    let balance = lane.balance.or_else(told)?;
    let lowest = lowest_balance(i128::from(balance), lane.end.left(lane)?);
    i64::try_from(-lowest).ok().filter(|limit| *limit > 0)
}

/// This import once more.
fn again(retry_refused: bool) -> String {
    let mut command = shown_command(own_words(), None);
    if retry_refused && !command.contains("--retry-refused") {
        command.push_str(" --retry-refused");
    }
    command
}

fn lines(rows: &[Row]) -> String {
    let numbers = rows.iter().take(LINES_SHOWN_MAX).map(|row| row.line.to_string());
    let shown = numbers.collect::<Vec<_>>().join(", ");
    match rows.last() {
        Some(last) if rows.len() > LINES_SHOWN_MAX => format!("lines {shown} ... {}", last.line),
        _ => format!("lines {shown}"),
    }
}

fn differences(lane: &Lane) -> impl Iterator<Item = (&Row, &i64)> {
    lane.differences.iter().filter_map(|(index, ours)| Some((lane.account.rows.get(*index)?, ours)))
}

fn differences_json(lane: &Lane) -> impl Iterator<Item = Value> {
    differences(lane).map(|(row, ours)| {
        json!({
            "line": row.line,
            "transaction": row.transaction,
            "account": lane.account.account_id.as_str(),
            "balanceAfter": ours.to_string(),
            "balanceAfterInFile": row.balance_after.map(|balance| balance.to_string()),
        })
    })
}

fn stopped_json(lane: &Lane) -> Option<Value> {
    let rows = lane.end.left(lane)?;
    let first = rows.first()?;
    let held_back: Vec<u64> = rows.iter().skip(1).map(|row| row.line).collect();
    Some(json!({
        "account": lane.account.account_id.as_str(),
        "why": lane.end.word(),
        "line": first.line,
        "transaction": first.transaction,
        "error": lane.end.refusal().map(|refusal| refusal.json()["error"].take()),
        "heldBackLines": held_back,
    }))
}
