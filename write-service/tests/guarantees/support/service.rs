//! A log of one's own, and services that write it, in this process but met over sockets.

use std::net::SocketAddr;

use clap::Parser;
use dev_servers::TestServers;
use event_store::{LogIdentity, migrate};
use ledger::ShardCount;
use proto::write::write_service_client::WriteServiceClient;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use write_service::{Config, serve};

use super::{
    Admin, Answer, Call, Done, Refusal,
    judge::{self, Findings},
    within,
};

/// A log that no other test has.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) url: String,
    pub(crate) identity: LogIdentity,
}

impl Log {
    pub(crate) async fn create(shards: i16) -> Self {
        Self::create_at(TestServers::get().database().await, shards).await
    }

    /// In a database of a server that the test has for itself.
    pub(crate) async fn create_at(url: String, shards: i16) -> Self {
        let identity = migrate(&url, ShardCount::new(shards)).await.unwrap();
        Self { url, identity }
    }

    pub(crate) async fn service(&self) -> Service {
        Service::start(&self.url, &[]).await
    }

    pub(crate) async fn service_with(&self, settings: &[&str]) -> Service {
        Service::start(&self.url, settings).await
    }

    pub(crate) async fn admin(&self) -> Admin {
        Admin::connect(&self.url).await
    }

    /// Reads all of the log, and checks everything that is promised of every log.
    pub(crate) async fn judge(&self) -> Findings {
        judge::judge(&self.url, &self.identity).await
    }
}

/// One write-service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) client: Client,
    stop: CancellationToken,
    running: JoinSet<Result<(), write_service::Error>>,
}

impl Service {
    pub(crate) async fn start(url: &str, settings: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let own = ["write-service", "--database-url", url, "--metrics-addr", "127.0.0.1:0"];
        let config = Config::parse_from(own.iter().chain(settings));
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(serve(listener, config, stop.clone()));
        Self { client: Client::connect(addr).await, stop, running }
    }

    pub(crate) async fn send(&self, call: Call) -> Answer {
        self.client.send(call).await
    }

    /// Sends what must be applied.
    #[track_caller]
    pub(crate) fn done(&self, call: Call) -> impl Future<Output = Done> {
        self.client.done(call)
    }

    /// Sends what must be refused.
    #[track_caller]
    pub(crate) fn refused(&self, call: Call) -> impl Future<Output = Refusal> {
        self.client.refused(call)
    }

    /// Asks it to end, without waiting.
    pub(crate) fn begin_to_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn stopped(mut self) {
        let ended = within("the service ends", self.running.join_next()).await;
        ended.unwrap().unwrap().unwrap();
    }

    pub(crate) async fn stop(self) {
        self.begin_to_stop();
        self.stopped().await;
    }

    /// Waits until health says so.
    pub(crate) async fn until_serving(&self, serving: bool) {
        let wanted = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        let service = "counterfoil.write.v1.WriteService".to_owned();
        let mut health = HealthClient::new(self.client.channel.clone());
        let mut said = health.watch(HealthCheckRequest { service }).await.unwrap().into_inner();
        let waiting = async { while said.message().await.unwrap().unwrap().status() != wanted {} };
        within("health says so", waiting).await;
    }
}

/// A caller with a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) addr: SocketAddr,
    pub(crate) channel: Channel,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{addr}")).unwrap();
        Self { addr, channel: endpoint.connect().await.unwrap() }
    }

    pub(crate) async fn send(&self, call: Call) -> Answer {
        let mut client =
            WriteServiceClient::new(self.channel.clone()).max_encoding_message_size(usize::MAX);
        macro_rules! sent {
            ($rpc:ident, $request:expr) => {{
                let response = client.$rpc($request).await?;
                Ok(response.into_inner().into())
            }};
        }
        match call {
            Call::OpenAccount(request) => sent!(open_account, request),
            Call::Deposit(request) => sent!(deposit, request),
            Call::Withdraw(request) => sent!(withdraw, request),
            Call::PayBill(request) => sent!(pay_bill, request),
            Call::Transfer(request) => sent!(transfer, request),
            Call::SetOverdraftLimit(request) => sent!(set_overdraft_limit, request),
            Call::FreezeAccount(request) => sent!(freeze_account, request),
            Call::UnfreezeAccount(request) => sent!(unfreeze_account, request),
            Call::CloseAccount(request) => sent!(close_account, request),
        }
    }

    pub(crate) async fn done(&self, call: Call) -> Done {
        let answer = within("an answer", self.send(call.clone())).await;
        answer.unwrap_or_else(|refusal| panic!("{call:?} was refused: {refusal:?}"))
    }

    pub(crate) async fn refused(&self, call: Call) -> Refusal {
        match within("an answer", self.send(call.clone())).await {
            Err(refusal) => refusal,
            Ok(done) => panic!("{call:?} was not refused: {done:?}"),
        }
    }
}
