//! Puts the service together, and takes it apart again.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use access::Access;
use proto::read::read_service_server::{ReadServiceServer, SERVICE_NAME};
use read_model::Reader;
use service_kit::health::Health;
use service_kit::metrics::MetricsServer;
use service_kit::server::{GrpcServer, MESSAGE_BYTES_MAX};
use service_kit::tls::{Tls, TlsError};
use service_kit::transport_errors::Side;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tracing::info;

use crate::Config;
use crate::grpc::ReadGrpc;
use crate::horizon::Horizons;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::query::Queries;
use crate::store::{AccountLookup, Batcher, CurrentLog, LatestLookup};
use crate::survey::Survey;
use crate::wait::{Bells, Waits, follow_publications};

/// Why the service could not begin, or ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The Redis settings are of no use.
    #[error("read the Redis settings")]
    Redis(#[source] read_model::Error),
    /// The metrics port is taken or not ours.
    #[error("listen for metrics")]
    Metrics(#[source] io::Error),
    /// The port would not be served as settings say.
    #[error("prepare the gRPC port")]
    Tls(#[source] TlsError),
    /// Access control cannot begin.
    #[error("prepare access control")]
    Access(#[source] access::BeginError),
    /// The contract that reflection shows cannot be decoded.
    #[error("set up reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// A task that should run for as long as the service does has ended.
    #[error("a part of the service has ended")]
    Part(#[source] Option<JoinError>),
    /// gRPC ended by itself.
    #[error(transparent)]
    Grpc(service_kit::server::ServeError),
}

/// Answers queries on this port until `shutdown`, then lets running calls end for a little less than the shutdown deadline.
///
/// Redis may be away at any time, also at the start: health says NOT_SERVING, calls are refused, and all is well again when it
/// is back.
///
/// # Errors
/// [`ServeError`]: settings that can never work, or a transport that gave up.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let tls = Tls::begin(&config.tls, &listener).await.map_err(ServeError::Tls)?;
    let access = Access::begin(&config.access).await.map_err(ServeError::Access)?;
    let (metrics, registry) = Metrics::new();
    let reader = Reader::new(&config.store()).map_err(ServeError::Redis)?;
    let health = Health::new(&[SERVICE_NAME]).await;
    let metrics_server =
        MetricsServer::bind(config.metrics_addr).await.map_err(ServeError::Metrics)?;
    info!(redis = %config.redis.redis_url, metrics = %metrics_server.local_addr(), "starting");

    let stop = shutdown.child_token();
    // Ends after the last call: what is stopping is worth watching, and calls need their batchers.
    let after_calls = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(metrics_server.serve(registry, health.clone(), after_calls.clone()));
    let parts = Parts { config: &config, reader, health: &health, metrics: &metrics };
    let queries = parts.start(&mut tasks, &stop, &after_calls);

    let gate = access.gate();
    let service = ReadServiceServer::new(ReadGrpc::new(queries, access, metrics))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .accept_compressed(CompressionEncoding::Gzip);
    let descriptors = [proto::READ_FILE_DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET];
    let serving = GrpcServer::new(Side::Read, &health)
        .tls(tls)
        .gate(gate)
        .add_service(service)
        .reflection(&descriptors)
        .map_err(ServeError::Reflection)?
        .serve(listener, stop.clone(), config.grace());
    let outcome = supervise(serving, &mut tasks, &stop).await;
    after_calls.cancel();
    while tasks.join_next().await.is_some() {}
    outcome
}

/// Serves until the end. A part that ends before it is told to takes the server with it: without the part, calls would fail
/// for ever and health would say that all is well.
async fn supervise(
    serving: impl Future<Output = Result<(), service_kit::server::ServeError>>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<(), ServeError> {
    let mut serving = pin!(serving);
    let mut broken = None;
    let served = loop {
        tokio::select! {
            served = &mut serving => break served,
            Some(ended) = tasks.join_next() => {
                if !stop.is_cancelled() {
                    broken = Some(ServeError::Part(ended.err()));
                    stop.cancel();
                }
            }
        }
    };
    stop.cancel();
    broken.map_or_else(|| served.map_err(ServeError::Grpc), Err)
}

/// What the parts of the service are made from.
struct Parts<'a> {
    config: &'a Config,
    reader: Reader,
    health: &'a Health,
    metrics: &'a Metrics,
}

impl Parts<'_> {
    /// Starts the tasks behind the queries. Those that look at Redis by themselves end with `shutdown`; those that calls
    /// need end after the calls.
    fn start(
        self,
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
        after_calls: &CancellationToken,
    ) -> Arc<Queries> {
        let Self { config, reader, health, metrics } = self;
        let read_limit = config.read_limit();
        let log = Arc::new(CurrentLog::new(reader.clone(), read_limit));
        let horizons = Arc::new(Horizons::default());
        let survey = Arc::new(Survey::new(
            reader.clone(),
            read_limit,
            log.clone(),
            horizons.clone(),
            health.clone(),
            metrics.clone(),
        ));
        tasks.spawn(survey.clone().run(shutdown.clone()));

        let bells = Bells::default();
        let following =
            follow_publications(reader.clone(), log.clone(), bells.clone(), shutdown.clone());
        tasks.spawn(following);

        let lookup = AccountLookup(reader.clone());
        let (accounts, batching) = Batcher::new(lookup, read_limit, metrics.clone());
        tasks.spawn(until(after_calls.clone(), batching));
        let lookup = LatestLookup(reader.clone());
        let (latest, batching) = Batcher::new(lookup, read_limit, metrics.clone());
        tasks.spawn(until(after_calls.clone(), batching));

        let waits = Waits::new(bells, config, shutdown.clone(), metrics.clone());
        let places = Places::new(config.queries_max);
        let shutdown = shutdown.clone();
        Arc::new(Queries {
            reader,
            accounts,
            latest,
            log,
            horizons,
            survey,
            waits,
            places,
            read_limit,
            shutdown,
        })
    }
}

async fn until(end: CancellationToken, task: impl Future<Output = ()>) {
    end.run_until_cancelled(task).await;
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::consistency::Consistency;
    use crate::error::QueryError;
    use crate::query::Asker;

    /// Serves until it is told to stop, with one task that ends by itself.
    async fn supervised(task: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(task);
        let stopping = stop.clone();
        let serving = async move {
            stopping.cancelled().await;
            Ok(())
        };
        supervise(serving, &mut tasks, &stop).await
    }

    #[tokio::test]
    async fn a_call_that_comes_while_the_server_stops_is_sent_elsewhere() {
        let args = ["read-service", "--redis-url", "redis://127.0.0.1:1"];
        let config = &Config::try_parse_from(args).unwrap();
        let (reader, (metrics, _)) = (Reader::new(&config.store()).unwrap(), Metrics::new());
        let health = &Health::new(&[]).await;
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let parts = Parts { config, reader, health, metrics: &metrics };
        let queries = parts.start(&mut tasks, &stop, &CancellationToken::new());
        let away = queries.begin(Consistency::Any, Asker::anyone()).await.err();
        assert!(matches!(away, Some(QueryError::StoreUnavailable(_))), "{away:?}");
        stop.cancel();
        let stopping = queries.begin(Consistency::Any, Asker::anyone()).await.err();
        assert!(matches!(stopping, Some(QueryError::ShuttingDown)), "{stopping:?}");
    }

    #[tokio::test]
    async fn a_part_that_ends_takes_the_server_with_it() {
        let ended = supervised(async {}).await;
        assert!(matches!(ended, Err(ServeError::Part(None))), "{ended:?}");
        let panicked = supervised(async { panic!("a bug") }).await;
        assert!(matches!(panicked, Err(ServeError::Part(Some(_)))), "{panicked:?}");
    }
}
