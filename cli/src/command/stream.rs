//! `counterfoil stream`

use clap::Args;
use futures::stream;
use proto::write::{Command, ExecuteStreamRequest, write_service_client::WriteServiceClient};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines, Stdin},
    sync::mpsc,
};
use tonic::Status;

use super::json_line::{self, Ended, JsonLine};
use crate::{
    call::{answer_of, channel},
    contract::Contract,
    failure::{Failure, REFUSED, Refusal, UNAVAILABLE, USAGE},
    output::out,
    settings::WriteAddr,
};

/// Sends commands from standard input as they come, and prints each answer as it comes, in the same order.
///
/// Many may be outstanding. Commands on the same account are decided in the order sent; one that is refused does not stop those
/// after it. Nothing is sent twice: when the stream breaks, the lines that were not answered are named, and can be sent
/// again, because every command has a request id.
#[derive(Args)]
#[command(after_long_help = json_line::HELP)]
pub(crate) struct Stream {
    #[command(flatten)]
    addr: WriteAddr,
    /// Print each answer as a line of JSON, with the field names of the contract
    #[arg(long)]
    json: bool,
}

/// What was read from standard input.
enum Input {
    Line(JsonLine),
    /// It is not sent, and nothing after it.
    Malformed(u64, String),
}

impl Stream {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let addr = self.addr.get();
        let mut client = WriteServiceClient::new(channel(&addr)?);
        let contract = Contract::new()?;
        let (read, mut inputs) = mpsc::unbounded_channel();
        let lines = BufReader::new(tokio::io::stdin()).lines();
        let commands = Commands { contract: Contract::new()?, lines, number: 0, read };
        let answers = client.execute_stream(stream::unfold(commands, Commands::next)).await;
        let mut answers = match answers {
            Ok(response) => response.into_inner(),
            Err(status) => {
                let refusal = Refusal::new(&status).at(&addr);
                return Err(unanswered(refusal, &[]).in_json(self.json));
            }
        };
        let mut exit_code = 0;
        let end = loop {
            let result = match answers.message().await {
                Ok(Some(response)) => response.result,
                Ok(None) => break None,
                Err(status) => break Some(status),
            };
            let Some(Input::Line(line)) = inputs.recv().await else { break None };
            let ended = Ended::of(answer_of(result));
            exit_code = exit_code.max(match &ended {
                Ended::Applied(_) => 0,
                Ended::Unanswered(_) => UNAVAILABLE,
                Ended::Refused(_) | Ended::NotSent => REFUSED,
            });
            match self.json {
                true => out!("{}\n", ended.json(&contract)?),
                false => out!("{line}: {ended}\n"),
            }
        };
        inputs.close();
        let mut open = Vec::new();
        while let Some(input) = inputs.recv().await {
            match input {
                Input::Line(line) => open.push(line.line),
                Input::Malformed(line, problem) => {
                    eprintln!("line {line}: {problem}\nerror: nothing was sent from there on");
                    exit_code = exit_code.max(USAGE);
                }
            }
        }
        let early = || Status::unavailable("the stream ended before all was answered");
        match end.or_else(|| (!open.is_empty()).then(early)) {
            Some(status) => {
                let refusal = Refusal::new(&status).at(&addr);
                Err(unanswered(refusal, &open).in_json(self.json))
            }
            None if exit_code > 0 => Err(Failure::reported(exit_code)),
            None => Ok(()),
        }
    }
}

/// An error that names the lines whose outcome it leaves open.
fn unanswered(mut refusal: Refusal, open: &[u64]) -> Failure {
    if let (Some(first), Some(last)) = (open.first(), open.last()) {
        let lines = match first == last {
            true => format!("line {first} was"),
            false => format!("lines {first} to {last} were"),
        };
        refusal.next = Some(format!(
            "{lines} not answered: send the same again to learn what became of it, and have it applied once in any case"
        ));
    }
    match refusal.is_about_the_caller() {
        true => Failure::undecided(refusal),
        false => refusal.into(),
    }
}

/// Reads commands, only as fast as the service takes them, and notes each where answers are waited for.
struct Commands {
    contract: Contract,
    lines: Lines<BufReader<Stdin>>,
    number: u64,
    read: mpsc::UnboundedSender<Input>,
}

impl Commands {
    async fn next(mut self) -> Option<(ExecuteStreamRequest, Self)> {
        loop {
            self.number += 1;
            let line = match self.lines.next_line().await {
                Ok(text) => JsonLine::parse(&self.contract, self.number, &text?),
                Err(error) => Err(error.to_string()),
            };
            match line {
                Ok(None) => {}
                Ok(Some(line)) => {
                    let command = Some(Command { kind: Some(line.command.clone()) });
                    self.read.send(Input::Line(line)).ok()?;
                    return Some((ExecuteStreamRequest { command }, self));
                }
                Err(problem) => {
                    let _ = self.read.send(Input::Malformed(self.number, problem));
                    return None;
                }
            }
        }
    }
}
