//! The write-service: takes commands over gRPC, decides them in order, and appends them to the log.
//!
//! Deliberately absent: anything of the read side. It knows neither Redis nor who reads.
//!
//! Reading order: [`grpc`] (the border), [`queue`] (from a call to the sequencer), `sequencer` (decides and appends),
//! [`answer`].

pub mod answer;
mod bell;
mod config;
pub mod grpc;
mod metrics;
pub mod queue;
mod replay;
mod safety;
mod sequencer;

use std::{sync::Arc, time::Duration};

use access::Access;
use proto::write::write_service_server::WriteServiceServer;
use service_kit::{
    health::Health,
    metrics::MetricsServer,
    server::{GrpcServer, MESSAGE_BYTES_MAX, ServeError},
    tls::{Tls, TlsError},
    transport_errors::Side,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;

pub use crate::config::Config;
use crate::{
    grpc::Writer,
    queue::CommandQueue,
    safety::Safety,
    sequencer::{Limits, Parts, Sequencer, recovery::Condition},
};

/// The service's full name, as health checks ask for it.
const SERVICE_NAME: &str = "counterfoil.write.v1.WriteService";

/// Why the service could not be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The metrics address is taken.
    #[error("listen for metrics on {0}")]
    Metrics(std::net::SocketAddr, #[source] std::io::Error),
    /// The port would not be served as settings say.
    #[error("prepare the gRPC port")]
    Tls(#[from] TlsError),
    /// Access control cannot begin.
    #[error("prepare access control")]
    Access(#[from] access::BeginError),
    /// Reflection could not be set up.
    #[error("set up reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// gRPC could not be served.
    #[error("serve gRPC")]
    Serve(#[from] ServeError),
    /// The sequencer broke, which is a bug. Nothing was acknowledged that is not in the log.
    #[error("the sequencer broke")]
    Sequencer,
}

/// Serves until `shutdown` is cancelled; then takes nothing more, finishes what is queued, and ends.
///
/// `main` passes a bound port and SIGTERM; a test passes port 0 and its own token.
///
/// # Errors
/// When a port, its certificate, access control or reflection cannot be set up. A database that is away is no error: commands are refused until it is back.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let stop = shutdown.child_token();
    let tls = Tls::begin(&config.tls, &listener).await?;
    let access = Access::begin(&config.access).await?;
    let health = Health::new(&[SERVICE_NAME]).await;
    let (registry, metrics) = metrics::registry();
    let metrics_server = MetricsServer::bind(config.metrics_addr)
        .await
        .map_err(|cause| Error::Metrics(config.metrics_addr, cause))?;
    let database_url = config.database.database_url.expose().to_owned();
    let instance = instance_name(&config, &listener);
    let (queue, commands) = CommandQueue::new(config.queue_commands_max as usize);
    let (condition, conditions) = watch::channel(Condition::Starting);
    let (safety, safeties) = watch::channel(Safety::Fine);
    let appended = Arc::new(Notify::new());
    let sequencer = Sequencer::new(Parts {
        limits: Limits::from(&config),
        database_url: database_url.clone(),
        shards: config.shards,
        instance: instance.clone(),
        queue: commands,
        doorbell: appended.clone(),
        condition,
        metrics: metrics.clone(),
    });

    // Ends after everything else, so that the last appends still ring and the last metrics can still be read.
    let aftermath = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(metrics_server.serve(registry, health.clone(), aftermath.clone()));
    tasks.spawn(bell::ring_for_appends(
        database_url.clone(),
        instance.clone(),
        appended,
        metrics.clone(),
        aftermath.clone(),
    ));
    tasks.spawn(safety::watch_safety(database_url, instance, safety, aftermath.clone()));
    tasks.spawn(show_health(health.clone(), conditions, safeties.clone(), aftermath.clone()));
    let mut sequencing = JoinSet::new();
    sequencing.spawn(sequencer.run());

    let writer = Writer {
        queue,
        access,
        amount_max: config.amount_max_minor_units,
        safety: safeties,
        draining: stop.clone(),
        metrics,
        log_limit: Arc::default(),
    };
    let server = grpc_server(writer, &health)?.tls(tls);
    let grace = config.shutdown.shutdown_deadline.saturating_sub(GRACE_MARGIN);
    let mut serving = Box::pin(server.serve(listener, stop.clone(), grace));
    let mut broke = false;
    let served = tokio::select! {
        served = &mut serving => served,
        // It ends first only when it broke. A service without it would refuse for ever: better none.
        _ = sequencing.join_next() => {
            broke = true;
            stop.cancel();
            (&mut serving).await
        }
    };
    drop(serving);
    // The service and with it the last sender of the queue are gone: the sequencer ends when the queue is empty.
    while sequencing.join_next().await.is_some() {}
    aftermath.cancel();
    while tasks.join_next().await.is_some() {}
    served?;
    if broke { Err(Error::Sequencer) } else { Ok(()) }
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            batch_commands_max: config.batch_commands_max as usize,
            batches_under_way_max: config.batches_under_way_max as usize,
            accounts_max: config.accounts_max as usize,
            resolve_within: config.resolve_within,
        }
    }
}

fn grpc_server(writer: Writer, health: &Health) -> Result<GrpcServer, Error> {
    let gate = writer.access.gate();
    let service = WriteServiceServer::new(writer)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .accept_compressed(CompressionEncoding::Gzip);
    let descriptors = [proto::WRITE_FILE_DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET];
    let server = GrpcServer::new(Side::Write, health).gate(gate).add_service(service);
    Ok(server.reflection(&descriptors)?)
}

/// Left for the sequencer after calls were cut, before the process is ended hard.
const GRACE_MARGIN: Duration = Duration::from_secs(1);

/// The name that was given, or host name and port, made such that Postgres keeps names of connections as they are: short, and
/// plain ASCII. By these names it is found out whether a lost connection is gone, so a name that were changed would find nothing.
fn instance_name(config: &Config, listener: &TcpListener) -> String {
    if let Some(named) = &config.instance {
        return named.clone();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let port = listener.local_addr().map(|addr| addr.port()).unwrap_or_default();
    let host: String =
        host.trim().chars().rev().take(24).collect::<Vec<_>>().into_iter().rev().collect();
    // Not everywhere can the host be asked for its name so; without it, the port alone would not be unique.
    let host = if host.is_empty() { uuid::Uuid::new_v4().simple().to_string() } else { host };
    let plain = |letter: char| if letter.is_ascii_graphic() { letter } else { '_' };
    let host: String = host.chars().map(plain).take(24).collect();
    format!("{host}:{port}")
}

/// Keeps health true to what the sequencer and the safety watch say.
async fn show_health(
    health: Health,
    mut condition: watch::Receiver<Condition>,
    mut safety: watch::Receiver<Safety>,
    shutdown: CancellationToken,
) {
    loop {
        let why_not = match (&*condition.borrow_and_update(), &*safety.borrow_and_update()) {
            (Condition::Starting, _) => Some("not connected to the log yet".to_owned()),
            (Condition::Refusing(_, why), _) => Some(why.clone()),
            (Condition::Working, Safety::Unsafe(why)) => Some(why.clone()),
            (Condition::Working, Safety::Fine) => None,
        };
        match why_not {
            Some(why) => health.set_not_ready(why).await,
            None => health.set_ready(true).await,
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = condition.changed() => if changed.is_err() { return },
            changed = safety.changed() => if changed.is_err() { return },
        }
    }
}
