//! The sequencer's end of the queue: callers are served in turns, each caller's commands in the order they came. A turn is
//! one command, or an atomic batch, which cannot be served in parts.

use std::collections::{HashMap, VecDeque};

use service_kit::shares::Party;
use tokio::sync::mpsc;

use super::Ticket;

/// What has come and was not taken yet.
#[derive(Debug)]
pub(crate) struct Arrivals {
    receiver: mpsc::Receiver<Ticket>,
    /// Of each caller who waits, the oldest first.
    waiting: HashMap<Party, VecDeque<Ticket>>,
    /// All who wait, next first.
    turns: VecDeque<Party>,
}

impl Arrivals {
    pub(super) fn new(receiver: mpsc::Receiver<Ticket>) -> Self {
        Self { receiver, waiting: HashMap::new(), turns: VecDeque::new() }
    }

    /// The next, waiting for one if there is none; nothing when nobody can send any more. Dropping the wait loses nothing.
    pub(crate) async fn recv(&mut self) -> Option<Ticket> {
        match self.next() {
            Some(ticket) => Some(ticket),
            None => self.receiver.recv().await, // alone, it is next
        }
    }

    /// So many commands, if they are there; more only if a batch is the last of them.
    pub(crate) fn take(&mut self, commands: usize) -> Vec<Ticket> {
        let has_come = self.receiver.len();
        let mut come = Vec::with_capacity(has_come);
        come.extend(std::iter::from_fn(|| self.receiver.try_recv().ok()).take(has_come));
        if self.turns.is_empty() && come.iter().map(Ticket::commands).sum::<usize>() <= commands {
            return come; // all of them: whose turn it is makes no difference
        }
        come.drain(..).for_each(|ticket| self.line_up(ticket));
        let mut room = commands;
        while room > 0
            && let Some(ticket) = self.next()
        {
            room = room.saturating_sub(ticket.commands());
            come.push(ticket);
        }
        come
    }

    fn line_up(&mut self, ticket: Ticket) {
        let party = ticket.origin.party;
        let line = self.waiting.entry(party).or_default();
        if line.is_empty() {
            self.turns.push_back(party);
        }
        line.push_back(ticket);
    }

    fn next(&mut self) -> Option<Ticket> {
        let party = self.turns.pop_front()?;
        let line = self.waiting.get_mut(&party)?;
        let ticket = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&party);
        } else {
            self.turns.push_back(party);
        }
        ticket
    }
}

#[cfg(test)]
mod tests {
    use access::Reach;
    use ledger::{AccountId, Command, Operation, RequestId};

    use super::*;
    use crate::queue::{CommandQueue, Origin, Outstanding, Work};

    /// A command of a caller, told by its account's name.
    fn submit(queue: &CommandQueue, connection: u64, name: &str) -> Outstanding {
        submit_work(queue, connection, Work::Command(command(name)))
    }

    fn command(name: &str) -> Command {
        Command {
            request_id: RequestId::new(uuid::Uuid::new_v4()).unwrap(),
            account_id: AccountId::new(name).unwrap(),
            expected_version: None,
            operation: Operation::CloseAccount,
        }
    }

    fn submit_work(queue: &CommandQueue, connection: u64, work: Work) -> Outstanding {
        let party = Party::of(None, Some(connection));
        let origin = Origin {
            party,
            actor: None,
            reach: Reach::everything(),
            trace_context: None,
            lane: None,
        };
        let places = queue.places(party, work.commands().len()).unwrap();
        queue.submit(work, origin, places).unwrap()
    }

    fn names(tickets: &[Ticket]) -> Vec<&str> {
        tickets.iter().map(|ticket| ticket.work.key().account_id.as_str()).collect()
    }

    #[test]
    fn one_who_sends_much_does_not_make_others_wait_for_all_of_it() {
        let (queue, mut arrivals) = CommandQueue::new(1000);
        let much: Vec<_> =
            (0..100).map(|number| submit(&queue, 1, &format!("much-{number}"))).collect();
        let little: Vec<_> = ["a", "b"].iter().map(|name| submit(&queue, 2, name)).collect();
        assert_eq!(names(&arrivals.take(4)), ["much-0", "a", "much-1", "b"]);
        let late = submit(&queue, 3, "late");
        assert_eq!(names(&arrivals.take(2)), ["much-2", "late"]);
        let rest = arrivals.take(1000);
        let ordered: Vec<_> = (3..100).map(|number| format!("much-{number}")).collect();
        assert_eq!(names(&rest), ordered);
        drop((much, little, late));
    }

    #[test]
    fn one_who_sends_batches_makes_others_wait_for_one_of_them() {
        let (queue, mut arrivals) = CommandQueue::new(1000);
        let batch = |name: &str| Work::Atomic(vec![command(name); 100]);
        let batches: Vec<_> =
            ["b1", "b2", "b3"].iter().map(|name| submit_work(&queue, 1, batch(name))).collect();
        assert_eq!(names(&arrivals.take(128)), ["b1", "b2"], "as many commands as asked for");
        let newcomer = submit(&queue, 2, "newcomer");
        let more = submit_work(&queue, 1, batch("b4"));
        assert_eq!(names(&arrivals.take(101)), ["b3", "newcomer"]);
        drop((batches, newcomer, more));
    }

    #[tokio::test]
    async fn everything_that_came_is_received_before_the_end() {
        let (queue, mut arrivals) = CommandQueue::new(1000);
        let sent: Vec<_> =
            (0..10).map(|number| submit(&queue, number % 3, &format!("n-{number}"))).collect();
        assert_eq!(arrivals.take(2).len(), 2);
        drop(queue);
        let mut received = 2;
        while arrivals.recv().await.is_some() {
            received += 1;
        }
        assert_eq!(received, sent.len());
    }
}
