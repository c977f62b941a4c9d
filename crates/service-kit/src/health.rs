//! Whether this process can serve, told the same way over gRPC, over HTTP and in the log.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tracing::{info, warn};

/// The name under which grpc.health.v1 keeps the state of the whole server.
const WHOLE_SERVER: &str = "";

/// Whether calls can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// They can.
    Ready,
    /// They cannot, and why.
    NotReady(String),
}

/// The health of one process. Clones share it.
///
/// It begins NOT_SERVING (tonic-health itself begins with SERVING, so a load balancer would send
/// calls to a process that has not found its database yet).
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

struct Shared {
    reporter: HealthReporter,
    services: Vec<String>,
    readiness: watch::Sender<Readiness>,
    /// Held while a change goes to every service, so that two changes cannot interleave; true once
    /// the process is stopping.
    closed: Mutex<bool>,
}

impl Health {
    /// Health of the whole server and of each named gRPC service, all NOT_SERVING.
    pub async fn new(services: &[&str]) -> Self {
        let mut names = vec![WHOLE_SERVER.to_owned()];
        names.extend(services.iter().map(|&name| name.to_owned()));
        let (readiness, _) = watch::channel(Readiness::NotReady("starting".to_owned()));
        let shared = Shared {
            reporter: HealthReporter::new(),
            services: names,
            readiness,
            closed: Mutex::new(false),
        };
        shared.report(ServingStatus::NotServing).await;
        Self { shared: Arc::new(shared) }
    }

    /// Tells everyone who asks or watches. Only a change is logged. Ignored after
    /// [`Health::close`].
    pub async fn set_ready(&self, ready: bool) {
        let readiness =
            if ready { Readiness::Ready } else { Readiness::NotReady("not ready".to_owned()) };
        self.set(readiness).await;
    }

    /// Not ready, with the reason for the log and `/readyz`.
    pub async fn set_not_ready(&self, why: impl Into<String>) {
        self.set(Readiness::NotReady(why.into())).await;
    }

    /// Whether calls can be served now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.shared.readiness.borrow() == Readiness::Ready
    }

    /// Why they cannot, if they cannot.
    #[must_use]
    pub fn not_ready_reason(&self) -> Option<String> {
        match &*self.shared.readiness.borrow() {
            Readiness::Ready => None,
            Readiness::NotReady(why) => Some(why.clone()),
        }
    }

    /// The state and every later one, for whoever waits for a change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Readiness> {
        self.shared.readiness.subscribe()
    }

    /// Not ready, for good: the process is stopping. A probe that still runs cannot undo it.
    pub async fn close(&self) {
        let mut closed = self.shared.closed.lock().await;
        *closed = true;
        self.shared.change(Readiness::NotReady("shutting down".to_owned())).await;
    }

    /// Ends every open `Watch` stream, after it has been told of the last change. A client that
    /// watches would otherwise hold a graceful shutdown up until its deadline.
    pub(crate) async fn end_watches(&self) {
        // Clearing needs `&mut` though it only takes a lock; a clone shares the same states.
        let mut reporter = self.shared.reporter.clone();
        for service in &self.shared.services {
            reporter.clear_service_status(service).await;
        }
    }

    /// The gRPC service that answers `grpc.health.v1.Health`.
    #[must_use]
    pub fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.shared.reporter.clone()))
    }

    async fn set(&self, readiness: Readiness) {
        let closed = self.shared.closed.lock().await;
        if !*closed {
            self.shared.change(readiness).await;
        }
    }
}

impl Shared {
    /// Called with `closed` held.
    async fn change(&self, readiness: Readiness) {
        let status = match &readiness {
            Readiness::Ready => ServingStatus::Serving,
            Readiness::NotReady(_) => ServingStatus::NotServing,
        };
        let changed = self.readiness.send_if_modified(|current| {
            let changed = *current != readiness;
            *current = readiness.clone();
            changed
        });
        if !changed {
            return;
        }
        match readiness {
            Readiness::Ready => info!("ready"),
            Readiness::NotReady(why) => warn!(reason = why, "not ready"),
        }
        self.report(status).await;
    }

    async fn report(&self, status: ServingStatus) {
        for service in &self.services {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Request;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus as Answer;
    use tonic_health::pb::health_server::Health as _;

    use super::*;

    const SERVICE: &str = "counterfoil.write.v1.WriteService";

    async fn answers(health: &Health) -> [Answer; 2] {
        let service = HealthService::from_health_reporter(health.shared.reporter.clone());
        let mut answers = [Answer::Unknown; 2];
        for (answer, name) in answers.iter_mut().zip([WHOLE_SERVER, SERVICE]) {
            let request = HealthCheckRequest { service: name.to_owned() };
            *answer = service.check(Request::new(request)).await.unwrap().get_ref().status();
        }
        answers
    }

    #[tokio::test]
    async fn a_process_is_not_serving_until_it_says_so() {
        let health = Health::new(&[SERVICE]).await;
        assert_eq!(answers(&health).await, [Answer::NotServing; 2]);
        assert_eq!(health.not_ready_reason().as_deref(), Some("starting"));

        health.set_ready(true).await;
        assert_eq!(answers(&health).await, [Answer::Serving; 2]);
        assert!(health.is_ready());

        health.set_not_ready("postgres is read-only").await;
        assert_eq!(answers(&health).await, [Answer::NotServing; 2]);
        assert_eq!(health.not_ready_reason().as_deref(), Some("postgres is read-only"));
    }

    #[tokio::test]
    async fn a_state_that_does_not_change_wakes_nobody() {
        let health = Health::new(&[SERVICE]).await;
        health.set_ready(true).await;
        let mut changes = health.changes();
        changes.mark_unchanged();
        health.set_ready(true).await;
        assert!(!changes.has_changed().unwrap());
        health.set_ready(false).await;
        assert!(changes.has_changed().unwrap());
    }

    #[tokio::test]
    async fn a_closed_process_never_serves_again() {
        let health = Health::new(&[SERVICE]).await;
        health.set_ready(true).await;
        health.close().await;
        health.set_ready(true).await;
        assert_eq!(answers(&health).await, [Answer::NotServing; 2]);
        assert!(!health.is_ready());
    }
}
