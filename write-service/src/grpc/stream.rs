//! `ExecuteStream`: many commands outstanding, each answered by itself, in the order they came in.

use access::{Caller, expired};
use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use proto::write::{ExecuteStreamRequest, ExecuteStreamResponse};
use service_kit::{
    clock::Clock, deadline::Deadline, error_details::Applied, transport_errors::Side,
};
use tokio::time::Instant;
use tonic::{Request, Status, Streaming};

use super::{
    any_command::any_command,
    batch::settle,
    service::{Call, Named, Writer, origin},
    status::shutting_down,
};
use crate::queue::{Lane, Origin, Work};

/// Most commands of one stream that are outstanding; no more are read before answers are. Twice what is under way at the default settings.
const OUTSTANDING_MAX: usize = 1_024;

/// An answer to come, or how the stream ends.
type Answer = BoxFuture<'static, Result<ExecuteStreamResponse, Status>>;

/// The reading side of a stream.
struct Incoming {
    writer: Writer,
    commands: Streaming<ExecuteStreamRequest>,
    origin: Origin,
    deadline: Option<Instant>,
    /// When the caller's credential ends.
    until: Option<Instant>,
    has_ended: bool,
}

impl Writer {
    /// Dropping it abandons what was not begun. Nothing of it runs by itself, so it ends with its call.
    pub(super) fn stream(
        self,
        request: Request<Streaming<ExecuteStreamRequest>>,
        caller: &Caller,
    ) -> BoxStream<'static, Result<ExecuteStreamResponse, Status>> {
        let deadline = Deadline::of(&request).map(Deadline::at);
        let origin = origin(&request, caller, Some(Lane::new()));
        let (commands, until) = (request.into_inner(), caller.until().and_then(instant));
        let incoming =
            Incoming { writer: self, commands, origin, deadline, until, has_ended: false };
        let answers = stream::unfold(incoming, async |mut incoming| {
            let answer = incoming.next().await?;
            Some((answer, incoming))
        });
        answers.buffered(OUTSTANDING_MAX).boxed()
    }
}

impl Incoming {
    /// Queues the next command, and gives its answer to come. However the stream ends, what was read before is answered first.
    async fn next(&mut self) -> Option<Answer> {
        if self.has_ended {
            return None;
        }
        let draining = self.writer.draining.clone();
        let message = tokio::select! {
            biased;
            () = draining.cancelled() => Err(shutting_down().into_status()),
            () = passed(self.until) => Err(expired().applied(Applied::No).into_status()),
            message = self.commands.message() => message.map_err(|status| Side::Write.map(status)),
        };
        match message {
            Ok(Some(request)) => Some(self.queue(request).await),
            Ok(None) => None,
            Err(status) => {
                self.has_ended = true;
                Some(async { Err(status) }.boxed())
            }
        }
    }

    async fn queue(&self, request: ExecuteStreamRequest) -> Answer {
        let (kind, command) =
            any_command(request.command, self.writer.amount_max, &self.origin.reach);
        let call = Call::begin(kind.rpc, command.as_ref().ok());
        let submitted = match command {
            Ok(command) => {
                let named = Named::of(&command);
                let place = self.writer.queue.next_place().await;
                let submitted =
                    self.writer.submit(Work::Command(command), self.origin.clone(), place);
                Ok((named, submitted))
            }
            Err(refused) => Err(refused),
        };
        let (writer, deadline) = (self.writer.clone(), self.deadline);
        async move {
            let answer = settle(submitted, deadline).await;
            writer.finish(call, &answer);
            Ok(ExecuteStreamResponse { result: Some(kind.result(answer)) })
        }
        .boxed()
    }
}

/// A time in seconds since 1970 on the clock that waits; nothing if it is too far away to wait for.
fn instant(until: u64) -> Option<Instant> {
    let now = Clock::system().now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Instant::now().checked_add(std::time::Duration::from_secs(until).saturating_sub(now))
}

async fn passed(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
