//! A service that asks who calls, and callers of every kind.

use std::{collections::BTreeMap, net::SocketAddr};

use clap::Parser;
use dev_credentials::{Authority, Pair, TokenIssuer};
use proto::write::{
    BatchMode, ExecuteBatchRequest, ExecuteStreamRequest, write_service_client::WriteServiceClient,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use uuid::Uuid;
use write_service::{Config, serve};

use super::{
    Answer, Call, Done, Log, Refusal,
    batch::{answer_of, command},
    within,
};

/// What a test's client certificates may do.
const RIGHTS: &str = r#"{"callers": [
    {"certificate": "uri:spiffe://example/operator", "scope": "write", "accounts": "*"},
    {"certificate": "subject:CN=teller,O=Example", "scope": "read write", "owners": ["acme"]}
]}"#;

/// A service with TLS that takes tokens and certificates.
pub(crate) struct Guarded {
    pub(crate) addr: SocketAddr,
    pub(crate) issuer: TokenIssuer,
    pub(crate) authority: Authority,
    ca: Vec<u8>,
    /// Ended with it.
    _running: JoinSet<Result<(), write_service::Error>>,
}

/// What is shown at the gate.
#[derive(Clone)]
pub(crate) enum Shown {
    Nothing,
    /// The whole header `authorization`.
    Header(String),
    Certificate(Pair),
}

/// The settings of a service with a certificate, whose clients may have one and whose callers are asked for a credential.
pub(crate) fn settings(authority: &Authority, issuer: &TokenIssuer) -> Vec<String> {
    authority.settings(RIGHTS).into_iter().chain(issuer.settings()).collect()
}

impl Guarded {
    pub(crate) async fn start(log: &Log) -> Self {
        Self::start_with(log, &[]).await
    }

    pub(crate) async fn start_with(log: &Log, more: &[&str]) -> Self {
        let (authority, issuer) = (Authority::new(), TokenIssuer::new());
        let own = ["write-service", "--database-url", &log.url, "--metrics-addr", "127.0.0.1:0"];
        let settings = settings(&authority, &issuer);
        let words = own.into_iter().chain(settings.iter().map(String::as_str));
        let config = Config::parse_from(words.chain(more.iter().copied()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut running = JoinSet::new();
        running.spawn(serve(listener, config, CancellationToken::new()));
        Self { _running: running, ..Self::at(addr, authority, issuer) }
    }

    /// One that runs by itself.
    pub(crate) fn at(addr: SocketAddr, authority: Authority, issuer: TokenIssuer) -> Self {
        let ca = std::fs::read(authority.ca_file()).unwrap();
        Self { addr, issuer, authority, ca, _running: JoinSet::new() }
    }

    /// Somebody with a good token that says so much more.
    pub(crate) async fn caller(&self, subject: &str, more: &Value) -> GuardedClient {
        self.client(&self.shown(subject, more)).await
    }

    pub(crate) fn shown(&self, subject: &str, more: &Value) -> Shown {
        Shown::Header(format!("Bearer {}", self.issuer.token(subject, more)))
    }

    /// Somebody who may do everything.
    pub(crate) async fn operator(&self) -> GuardedClient {
        self.caller("operator", &json!({"scope": "read write admin", "accounts": "*"})).await
    }

    /// Somebody whose business are the accounts of an owner.
    pub(crate) async fn owner(&self, owner: &str) -> GuardedClient {
        self.caller(&format!("{owner}-app"), &json!({"scope": "write", "owners": [owner]})).await
    }

    pub(crate) async fn channel(&self, shown: &Shown) -> Channel {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.ca));
        if let Shown::Certificate(Pair { cert, key }) = shown {
            let read = |path| std::fs::read(path).unwrap();
            tls = tls.identity(Identity::from_pem(read(cert), read(key)));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.addr)).unwrap();
        within("a connection", endpoint.tls_config(tls).unwrap().connect()).await.unwrap()
    }

    pub(crate) async fn client(&self, shown: &Shown) -> GuardedClient {
        let header = match shown {
            Shown::Header(header) => Some(header.parse().unwrap()),
            Shown::Nothing | Shown::Certificate(_) => None,
        };
        GuardedClient { channel: self.channel(shown).await, header }
    }
}

/// A caller with its credential.
#[derive(Clone)]
pub(crate) struct GuardedClient {
    pub(crate) channel: Channel,
    header: Option<AsciiMetadataValue>,
}

impl GuardedClient {
    /// The same connection, with this as `authorization`.
    pub(crate) fn with_header(self, header: &str) -> Self {
        Self { header: Some(header.parse().unwrap()), ..self }
    }

    /// Asks reflection for the services.
    pub(crate) async fn list_services(&self) -> Result<(), Status> {
        let asked = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = ServerReflectionClient::new(self.channel.clone());
        let asked = self.request(tokio_stream::iter([asked]));
        let mut answers = client.server_reflection_info(asked).await?.into_inner();
        answers.message().await.map(|_| ())
    }

    pub(crate) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(header) = &self.header {
            request.metadata_mut().insert("authorization", header.clone());
        }
        request
    }

    /// Sends a command by itself.
    pub(crate) async fn send(&self, call: Call) -> Result<Done, Status> {
        let mut client = WriteServiceClient::new(self.channel.clone());
        macro_rules! sent {
            ($rpc:ident, $message:expr) => {
                Ok(client.$rpc(self.request($message)).await?.into_inner().into())
            };
        }
        let answer = async {
            match call {
                Call::OpenAccount(message) => sent!(open_account, message),
                Call::Deposit(message) => sent!(deposit, message),
                Call::Withdraw(message) => sent!(withdraw, message),
                Call::PayBill(message) => sent!(pay_bill, message),
                Call::Transfer(message) => sent!(transfer, message),
                Call::SetOverdraftLimit(message) => sent!(set_overdraft_limit, message),
                Call::FreezeAccount(message) => sent!(freeze_account, message),
                Call::UnfreezeAccount(message) => sent!(unfreeze_account, message),
                Call::CloseAccount(message) => sent!(close_account, message),
            }
        };
        within("an answer", answer).await
    }

    pub(crate) async fn done(&self, call: Call) -> Done {
        let answer = self.send(call.clone()).await;
        answer.unwrap_or_else(|status| panic!("{call:?} was refused: {:?}", Refusal::from(status)))
    }

    pub(crate) async fn refused(&self, call: Call) -> Refusal {
        match self.send(call.clone()).await {
            Err(status) => status.into(),
            Ok(done) => panic!("{call:?} was not refused: {done:?}"),
        }
    }

    /// Sends commands as one batch, and gives the whole status of a refusal.
    pub(crate) async fn batch(
        &self,
        mode: BatchMode,
        request_id: Option<Uuid>,
        calls: Vec<Call>,
    ) -> Result<Vec<Answer>, Status> {
        let request_id = request_id.map(|id| id.to_string()).unwrap_or_default();
        let is_atomic = mode == BatchMode::Atomic;
        let commands = calls
            .into_iter()
            .map(|call| command(if is_atomic { call.with_id_text("") } else { call }));
        let message =
            ExecuteBatchRequest { mode: mode.into(), request_id, commands: commands.collect() };
        let mut client = WriteServiceClient::new(self.channel.clone());
        let answer = client.execute_batch(self.request(message));
        let results = within("an answer", answer).await?.into_inner().results;
        Ok(results.into_iter().map(answer_of).collect())
    }

    /// Sends commands over one stream, which ends after them.
    pub(crate) async fn stream(&self, calls: Vec<Call>) -> Result<Vec<Answer>, Status> {
        let commands: Vec<_> = calls.into_iter().map(command).collect();
        let messages = tokio_stream::iter(
            commands.into_iter().map(|command| ExecuteStreamRequest { command: Some(command) }),
        );
        let mut client = WriteServiceClient::new(self.channel.clone());
        let answer = client.execute_stream(self.request(messages));
        let mut answers = within("an answer", answer).await?.into_inner();
        let mut results = Vec::new();
        while let Some(answer) = within("an answer", answers.message()).await? {
            results.extend(answer.result.map(answer_of));
        }
        Ok(results)
    }
}

/// A refusal as a caller could compare it with another: everything of it.
pub(crate) type Said = (tonic::Code, String, String, BTreeMap<String, String>);

pub(crate) fn said(refusal: Refusal) -> Said {
    (refusal.code, refusal.reason, refusal.message, refusal.metadata)
}
