//! A client that writes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{
    Manners, Mischief, Sender,
    mix::{Knowledge, request_id},
    sender::Together,
};
use crate::{
    dice::Dice,
    history::{Answer, Attempt, Call, Ending, Work},
};

/// How long callers wait for an answer; the shortest is often not enough.
const PATIENCE: [Duration; 4] = [
    Duration::from_millis(80),
    Duration::from_millis(700),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// Calls kept for later; the oldest is sent again when there are more.
const LATER_MAX: usize = 24;

/// One client, one call after another.
pub(super) struct Writer {
    pub(super) knowledge: Knowledge,
    pub(super) sender: Sender,
    pub(super) dice: Dice,
    pub(super) manners: Arc<Manners>,
    pub(super) mischief: Arc<Mischief>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Writer {
    /// Works until it is told to stop; gives back calls whose outcome is open, and by whom to ask for it.
    pub(super) async fn run(mut self) -> (Sender, Vec<Call>) {
        let mut later: Vec<Call> = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let mut calls = self.send_something().await;
            let unanswered = calls.iter().any(|call| call.ending() == Ending::Unresolved);
            for call in calls.drain(..) {
                self.keep_or_settle(call, &mut later);
            }
            if later.len() > LATER_MAX || (!later.is_empty() && self.dice.percent(10)) {
                let call = later.remove(self.dice.index(later.len()));
                let call = self.send_again(call).await;
                self.keep_or_settle(call, &mut later);
            }
            // Whoever is not answered does not go on as if nothing were the matter.
            let most = Duration::from_millis(if unanswered { 60 } else { 6 });
            let pause = self.dice.time(Duration::ZERO, most);
            sleep(pause).await;
        }
        // What is decided needs no more asking; what is not is asked for until it is.
        let is_open = |call: &Call| matches!(call.ending(), Ending::Unresolved | Ending::Undecided);
        let (open, settled): (Vec<_>, Vec<_>) = later.into_iter().partition(is_open);
        settled.into_iter().for_each(|call| self.sender.history.add(call));
        (self.sender, open)
    }

    async fn send_something(&mut self) -> Vec<Call> {
        let writer = self.dice.index(2);
        let within = *self.dice.pick(&PATIENCE);
        let together = match self.dice.roll(100) {
            0..8 => Some(Together::Batch),
            8..18 => Some(Together::Stream),
            _ => None,
        };
        if let Some(way) = together {
            let commands = self.knowledge.commands(&mut self.dice, 2, 12);
            let mut calls: Vec<Call> = commands
                .into_iter()
                .map(|command| Call::new(request_id(), Work::One(command)))
                .collect();
            if !calls.is_empty() {
                self.send_together(&mut calls, way, (writer, within)).await;
            }
            return calls;
        }
        let atomic = self.dice.percent(10);
        let work = match atomic {
            true => Work::Atomic(self.knowledge.commands(&mut self.dice, 1, 5)),
            false => Work::One(self.knowledge.command(&mut self.dice)),
        };
        if work.commands().is_empty() {
            return Vec::new();
        }
        let mut call = Call::new(request_id(), work);
        self.first_attempt(&mut call, writer, within).await;
        if let Some((_, done)) = call.applied()
            && let Some(seen) = done.iter().flat_map(|done| &done.accounts).next()
        {
            self.knowledge.seen = Some((seen.account.clone(), seen.version));
        }
        vec![call]
    }

    /// Sends them once, or twice at once: then a second time in reverse, so that each side has ids that the other one waits for.
    async fn send_together(
        &mut self,
        calls: &mut [Call],
        way: Together,
        (writer, within): (usize, Duration),
    ) {
        if !self.dice.percent(self.manners.hedged.load(Ordering::Relaxed)) {
            return self.sender.together(calls, way, writer, within).await;
        }
        let mut twins: Vec<Call> = calls.iter().rev().cloned().collect();
        let other = writer + self.dice.index(2);
        tokio::join!(
            self.sender.together(calls, way, writer, within),
            self.sender.together(&mut twins, way, other, within),
        );
        for (call, twin) in calls.iter_mut().zip(twins.into_iter().rev()) {
            call.attempts.extend(twin.attempts);
        }
    }

    /// Sends it to one service, or to two at once, or gives it up on its way.
    async fn first_attempt(&mut self, call: &mut Call, writer: usize, within: Duration) {
        if self.dice.percent(self.manners.hedged.load(Ordering::Relaxed)) {
            let (first, second) = tokio::join!(
                self.sender.attempt(call, writer, within),
                self.sender.attempt(call, writer + 1, within),
            );
            let answered = |attempt: &Attempt| {
                matches!(attempt.answer, Answer::Applied(_) | Answer::Refused(_))
            };
            if answered(&first) && answered(&second) {
                self.mischief.hedged.fetch_add(1, Ordering::Relaxed);
            }
            call.attempts.extend([first, second]);
        } else if self.dice.percent(self.manners.cancelled.load(Ordering::Relaxed)) {
            let sent = self.sender.history.now();
            let patience = self.dice.time(Duration::from_micros(200), Duration::from_millis(8));
            let attempt = timeout(patience, self.sender.attempt(call, writer, within)).await;
            let attempt = attempt.unwrap_or_else(|_| {
                self.mischief.cancelled.fetch_add(1, Ordering::Relaxed);
                self.sender.gave_up(sent)
            });
            call.attempts.push(attempt);
        } else {
            call.attempts.push(self.sender.attempt(call, writer, within).await);
        }
    }

    /// Asks again, about something old.
    async fn send_again(&mut self, mut call: Call) -> Call {
        let was_decided = matches!(call.ending(), Ending::Applied(_) | Ending::Refused(_));
        let writer = self.dice.index(2);
        call.attempts.push(self.sender.attempt(&call, writer, PATIENCE[2]).await);
        let replayed = match call.attempts.last().map(|attempt| &attempt.answer) {
            Some(Answer::Applied(done)) => done.iter().all(|done| done.replayed),
            Some(Answer::Refused(refused)) => refused.replayed,
            _ => false,
        };
        if was_decided && replayed {
            self.mischief.replayed.fetch_add(1, Ordering::Relaxed);
        }
        call
    }

    fn keep_or_settle(&mut self, call: Call, later: &mut Vec<Call>) {
        let again = match call.ending() {
            Ending::Unresolved => true,
            // Certain not to be applied: some callers try again, and some never do.
            Ending::Nothing => {
                let shed = |attempt: &Attempt| attempt.answer.is_shed();
                call.attempts.len() == 1 && call.attempts.iter().all(shed) && self.dice.percent(70)
            }
            Ending::Applied(_) | Ending::Refused(_) => {
                let repeated = self.manners.repeated.load(Ordering::Relaxed);
                call.attempts.len() < 4 && self.dice.percent(repeated)
            }
            // Once more in the end.
            Ending::Undecided => true,
        };
        match again {
            true => later.push(call),
            false => self.sender.history.add(call),
        }
    }
}
