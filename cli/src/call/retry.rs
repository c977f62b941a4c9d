//! Sending a command until its outcome is known.
//!
//! The request id stays the same, so a command that was applied although its answer got lost is not applied again: the
//! repetition gets the stored outcome.

use std::time::Duration;

use proto::write::write_service_client::WriteServiceClient;
use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status, transport::Channel};
use uuid::Uuid;

use crate::failure::Refusal;

/// First pause before a repetition; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause: a service that comes back is noticed soon after.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long to go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the first attempt until no other is begun.
    pub(crate) total: Duration,
    /// How long one attempt may take.
    pub(crate) attempt: Duration,
}

/// One sending of a command.
pub(crate) struct Attempt {
    pub(crate) client: WriteServiceClient<Channel>,
    pub(crate) request_id: String,
    timeout: Duration,
}

impl Attempt {
    /// The message with this attempt's deadline.
    pub(crate) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

/// A command without an answer that it was applied.
#[derive(Debug)]
pub(crate) enum Undelivered {
    /// Decided: it did nothing.
    Refused(Refusal),
    /// Not decided when patience ended, and certainly not applied by any attempt.
    NotApplied(Refusal),
    /// Not known: an attempt may have been applied, or still be.
    Unknown(Refusal),
}

/// Sends the command until it is answered or patience ends.
pub(crate) async fn deliver<R>(
    client: &WriteServiceClient<Channel>,
    request_id: Uuid,
    patience: Patience,
    send: impl AsyncFn(Attempt) -> Result<Response<R>, Status>,
) -> Result<R, Undelivered> {
    let begun = Instant::now();
    let mut pause = PAUSE_MIN;
    let mut is_unknown = false;
    loop {
        let timeout = patience.attempt;
        let request_id = request_id.to_string();
        let refusal = match send(Attempt { client: client.clone(), request_id, timeout }).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => Refusal::new(&status),
        };
        if !refusal.is_passing() {
            return Err(Undelivered::Refused(refusal));
        }
        // Once unknown it stays so: a later "not applied" speaks of its own attempt only.
        is_unknown |= !refusal.is_certainly_not_applied() && !is_never_sent(&refusal);
        if begun.elapsed() + pause >= patience.total {
            return Err(match is_unknown {
                true => Undelivered::Unknown(refusal),
                false => Undelivered::NotApplied(refusal),
            });
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// No connection came about, so nothing was sent.
fn is_never_sent(refusal: &Refusal) -> bool {
    refusal.reason.is_empty() && refusal.message.contains("tcp connect error")
}
