//! What all sub-commands that ask something have in common.

use std::time::Duration;

use clap::Args;
use proto::read::{
    ReadConsistency, read_consistency::Requirement, read_service_client::ReadServiceClient,
};
use tonic::{Request, Response, Status};

use super::{Connection, channel};
use crate::{
    failure::{Failure, Refusal},
    settings::ReadAddr,
};

/// Where to ask, and how fresh the answer must be.
#[derive(Args)]
pub(crate) struct ReadArgs {
    #[command(flatten)]
    addr: ReadAddr,
    /// Wait until the answer includes the writes that gave these tokens (several joined by commas)
    #[arg(long, value_name = "TOKEN", conflicts_with = "max_staleness")]
    at_least: Option<String>,
    /// Refuse to answer from a read model that is further behind, such as `2s`
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    max_staleness: Option<Duration>,
    /// How long to wait for an answer
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
    timeout: Duration,
    /// Print the answer as JSON, with the field names of the contract
    #[arg(long)]
    pub(crate) json: bool,
}

impl ReadArgs {
    /// For the field `consistency` of a query.
    pub(crate) fn consistency(&self) -> Result<Option<ReadConsistency>, Failure> {
        let requirement = match (&self.at_least, self.max_staleness) {
            (Some(token), _) => Some(Requirement::AtLeastAsFresh(token.clone())),
            (None, Some(staleness)) => Some(Requirement::MaxStaleness(
                staleness.try_into().map_err(|_| Failure::usage("--max-staleness is too long"))?,
            )),
            (None, None) => None,
        };
        Ok(requirement.map(|requirement| ReadConsistency { requirement: Some(requirement) }))
    }

    /// Asks once.
    pub(crate) async fn ask<M, R>(
        &self,
        message: M,
        query: impl AsyncFnOnce(
            ReadServiceClient<Connection>,
            Request<M>,
        ) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let addr = self.addr.get();
        let client = ReadServiceClient::new(channel(&addr)?);
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        let answer = query(client, request).await;
        let answer = answer
            .map_err(|status| Failure::from(Refusal::new(&status).at(&addr)).in_json(self.json));
        Ok(answer?.into_inner())
    }
}
