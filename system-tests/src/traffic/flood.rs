//! Callers who send much more than can be done.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    Sender,
    mix::{Knowledge, request_id},
    sender::Together,
};
use crate::{
    dice::Dice,
    history::{Answer, Call, Ending, History, Work},
    http2,
    system::Clients,
};

/// Together they have five times as many commands under way as may wait in the queues of two write services.
const CALLERS: u64 = 100;
/// As many as a batch may have.
const COMMANDS: u64 = 1000;
/// Connections to every service over which nothing is ever sent.
const SILENT: usize = 150;
/// Connections to every service over which half a call comes byte by byte, and never the rest.
const SLOW: usize = 10;
const BYTE_EVERY: Duration = Duration::from_millis(10);
const CONNECTS_WITHIN: Duration = Duration::from_secs(2);
/// How long one of them waits for a batch, and in the end for an outcome that he does not know.
const PATIENCE: Duration = Duration::from_secs(4);
/// Other than any usual client's, so that accounts have other names.
const FIRST_NUMBER: u64 = 100;

/// Floods the write services for a while. How many commands were refused because there were too many.
pub(crate) async fn flood(
    clients: &Clients,
    history: &Arc<History>,
    dice: &Dice,
    length: Duration,
) -> usize {
    let until = Instant::now() + length;
    let mut callers = JoinSet::new();
    for number in FIRST_NUMBER..FIRST_NUMBER + CALLERS {
        let sender = Sender::new(clients, history.clone());
        callers.spawn(send_batches(sender, number, dice.of(number), until));
    }
    callers.join_all().await.into_iter().sum()
}

async fn send_batches(sender: Sender, number: u64, mut dice: Dice, until: Instant) -> usize {
    let mut knowledge = Knowledge::of(number, false);
    let mut too_many = 0;
    let writer = usize::try_from(number).unwrap_or_default();
    while Instant::now() < until {
        let commands = knowledge.commands(&mut dice, COMMANDS, COMMANDS);
        let new = |command| Call::new(request_id(), Work::One(command));
        let mut calls: Vec<Call> = commands.into_iter().map(new).collect();
        sender.together(&mut calls, Together::Batch, writer, PATIENCE).await;
        for mut call in calls {
            too_many += usize::from(call.attempts.iter().any(|one| is_overload(&one.answer)));
            if call.ending() == Ending::Unresolved {
                sender.until_resolved(&mut call, writer, PATIENCE * 10).await;
            }
            sender.history.add(call);
        }
    }
    too_many
}

fn is_overload(answer: &Answer) -> bool {
    matches!(answer, Answer::NotApplied { code, .. } if code == "ResourceExhausted")
}

/// Connections on which too little comes, as long as they are kept.
#[derive(Debug)]
pub(crate) struct Idlers {
    _silent: Vec<TcpStream>,
    _slow: JoinSet<()>,
}

impl Idlers {
    pub(crate) async fn connect(clients: &Clients) -> Self {
        let (mut silent, mut slow) = (Vec::new(), JoinSet::new());
        for addr in clients.addrs() {
            for number in 0..SILENT + SLOW {
                let connecting = timeout(CONNECTS_WITHIN, TcpStream::connect(addr)).await;
                let Ok(Ok(stream)) = connecting else { continue };
                match number < SILENT {
                    true => silent.push(stream),
                    false => _ = slow.spawn(trickle_half_a_call(stream)),
                }
            }
        }
        Self { _silent: silent, _slow: slow }
    }
}

/// Of a call that every service takes, from anybody.
async fn trickle_half_a_call(mut stream: TcpStream) {
    let (whole, message) = http2::call("/grpc.health.v1.Health/Check", &[0; 100]);
    for byte in &whole[..message + 50] {
        if stream.write_all(&[*byte]).await.is_err() {
            return; // it was sent away
        }
        sleep(BYTE_EVERY).await;
    }
    std::future::pending().await
}
