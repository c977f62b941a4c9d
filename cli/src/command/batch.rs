//! `counterfoil batch`

mod independent;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use proto::write::{BatchMode, Command, ExecuteBatchRequest};
use tokio::io::AsyncReadExt;
use uuid::Uuid;

use super::{
    json_line::{self, Ended, JsonLine},
    problems::Problems,
};
use crate::{
    call::{WriteArgs, answer_of},
    contract::Contract,
    failure::{Failure, USAGE},
    output::{Fields, out, print_json},
};

/// Sends the commands of a file in batches: each by itself, or all or none.
///
/// Each by itself: every command has a request id, those on the same account are decided in the order of the file, and one that
/// is refused does not stop those after it. The same file again applies nothing twice.
/// All or none (--atomic): up to 1,000 commands without request ids of their own.
#[derive(Args)]
#[command(after_long_help = json_line::HELP)]
pub(crate) struct Batch {
    /// The file, with a command in each line; - is standard input
    file: PathBuf,
    /// Apply all commands or none, under one request id
    #[arg(long)]
    atomic: bool,
    #[command(flatten)]
    write: WriteArgs,
}

impl Batch {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if self.write.request_id.is_some() && !self.atomic {
            return Err(Failure::usage(
                "--request-id is the id of an atomic batch; without --atomic each command has its own",
            ));
        }
        let text = read(&self.file).await;
        let text = text.map_err(|error| Failure::usage(format!("{error:#}")))?;
        let contract = Contract::new()?;
        match parse(&contract, &text, self.atomic) {
            Err(problems) => {
                eprint!("{problems}");
                eprintln!("error: nothing was sent from {}", self.file.display());
                Err(Failure::reported(USAGE))
            }
            Ok(lines) if lines.is_empty() => {
                Err(Failure::usage(format!("{} has no commands", self.file.display())))
            }
            Ok(lines) if self.atomic => self.send_atomic(&lines).await,
            Ok(lines) => independent::send(&self.write, &contract, lines).await,
        }
    }

    async fn send_atomic(&self, lines: &[JsonLine]) -> Result<(), Failure> {
        let command = |line: &JsonLine| Command { kind: Some(line.command.clone()) };
        let commands: Vec<Command> = lines.iter().map(command).collect();
        let sent = self.write.send(async |mut attempt| {
            let request = attempt.request(ExecuteBatchRequest {
                mode: BatchMode::Atomic.into(),
                request_id: attempt.request_id.clone(),
                commands: commands.clone(),
            });
            attempt.client.execute_batch(request).await
        });
        let (request_id, response) = sent.await.map_err(|failure| name_line(failure, lines))?;
        if self.write.json {
            return print_json("counterfoil.write.v1.ExecuteBatchResponse", &response);
        }
        for (line, result) in lines.iter().zip(response.results) {
            out!("{line}: {}\n", Ended::of(answer_of(Some(result))));
        }
        let mut fields = Fields::default();
        fields.add("request id", request_id.to_string()).add("token", response.consistency_token);
        out!("{fields}");
        Ok(())
    }
}

/// A refused batch says which command by its place; whoever wrote the file counts lines.
fn name_line(mut failure: Failure, lines: &[JsonLine]) -> Failure {
    if let Some(refusal) = failure.refusal_mut()
        && let Some(index) = refusal.metadata.get("index").and_then(|index| index.parse().ok())
        && let Some(line) = lines.get::<usize>(index)
    {
        refusal.metadata.insert("line".to_owned(), line.line.to_string());
    }
    failure
}

async fn read(file: &Path) -> anyhow::Result<String> {
    if file != Path::new("-") {
        let text = tokio::fs::read_to_string(file).await;
        return text.with_context(|| format!("read {}", file.display()));
    }
    let mut text = String::new();
    tokio::io::stdin().read_to_string(&mut text).await.context("read standard input")?;
    Ok(text)
}

fn parse(contract: &Contract, text: &str, is_atomic: bool) -> Result<Vec<JsonLine>, Problems> {
    let mut lines = Vec::new();
    let mut problems = Problems::default();
    let mut request_ids = HashMap::new();
    for (number, text) in (1..).zip(text.lines()) {
        let mut note = |problem: String| problems.0.push((number, problem));
        match JsonLine::parse(contract, number, text) {
            Ok(None) => {}
            Ok(Some(line)) => {
                match (is_atomic, Uuid::try_parse(line.request_id())) {
                    (true, _) if line.request_id().is_empty() => {}
                    (true, _) => note(
                        "has a request_id; of an atomic batch only the batch has one".to_owned(),
                    ),
                    (false, Err(_)) => {
                        note(format!("request_id {:?} is not a UUID", line.request_id()))
                    }
                    (false, Ok(id)) => {
                        if let Some(earlier) = request_ids.insert(id, number) {
                            note(format!("request_id {id} stands in line {earlier} already"));
                        }
                    }
                }
                lines.push(line);
            }
            Err(problem) => note(problem),
        }
    }
    if problems.0.is_empty() { Ok(lines) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str, is_atomic: bool) -> String {
        match parse(&Contract::new().unwrap(), text, is_atomic) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn every_command_by_itself_needs_a_request_id_of_its_own_and_of_an_atomic_batch_none() {
        let with = r#"{"freeze_account": {"request_id": "0190163d-8694-739b-88c3-d2f37f4c8f7e", "account_id": "a"}}"#;
        let without = r#"{"freeze_account": {"account_id": "a"}}"#;
        assert_eq!(problems(&format!("{with}\n\n"), false), "");
        assert_eq!(problems(&format!("{without}\n{without}\n"), true), "");
        assert!(problems(without, false).starts_with("line 1: request_id \"\" is not a UUID"));
        assert!(
            problems(&format!("{without}\n{with}"), true).starts_with("line 2: has a request_id")
        );
        let twice = problems(&format!("{with}\n\n{with}\nx\n"), false);
        assert!(
            twice.contains(
                "line 3: request_id 0190163d-8694-739b-88c3-d2f37f4c8f7e stands in line 1"
            ),
            "{twice}"
        );
        assert!(twice.contains("\nline 4: "), "{twice}");
    }
}
