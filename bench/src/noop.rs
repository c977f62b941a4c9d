//! The limit of gRPC itself: a server that answers every Deposit and every `GetBalance` with the same prepared message, as
//! long as a real one, on the same runtime and allocator as the services.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io::Write,
    task::{Context, Poll},
};

use anyhow::Context as _;
use futures::future::BoxFuture;
use prost::Message;
use proto::{
    read::{GetBalanceRequest, GetBalanceResponse},
    write::{DepositRequest, DepositResponse},
};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncBufReadExt, net::TcpListener};
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tower::Service;

/// Answers of the real services, encoded.
#[derive(Serialize, Deserialize)]
pub(crate) struct Answers {
    pub(crate) deposit: Vec<u8>,
    pub(crate) balance: Vec<u8>,
}

/// Reads [`Answers`] from the first line of standard input, writes its address to standard output, and serves until
/// standard input ends.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let mut input = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    let line = input.next_line().await?.context("no answers were given")?;
    let answers: Answers = serde_json::from_str(&line).context("understand the answers")?;
    let deposit = Noop::new("counterfoil.write.v1.WriteService", &answers.deposit)?;
    let deposit: Noop<DepositRequest, DepositResponse> = deposit;
    let balance: Noop<GetBalanceRequest, GetBalanceResponse> =
        Noop::new("counterfoil.read.v1.ReadService", &answers.balance)?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?).context("say where")?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = Server::builder()
        .add_service(WriteNoop(deposit))
        .add_service(ReadNoop(balance))
        .serve_with_incoming(incoming);
    tokio::select! {
        served = serving => served.context("serve"),
        _ = input.next_line() => Ok(()),
    }
}

/// Answers one kind of call.
struct Noop<Q, A> {
    answer: A,
    request: std::marker::PhantomData<fn(Q)>,
}

impl<Q, A: Clone> Clone for Noop<Q, A> {
    fn clone(&self) -> Self {
        Self { answer: self.answer.clone(), request: std::marker::PhantomData }
    }
}

impl<Q, A: Message + Default> Noop<Q, A> {
    fn new(service: &str, answer: &[u8]) -> anyhow::Result<Self> {
        let answer = A::decode(answer).with_context(|| format!("decode an answer of {service}"))?;
        Ok(Self { answer, request: std::marker::PhantomData })
    }
}

impl<Q, A: Clone + Send + 'static> UnaryService<Q> for Noop<Q, A> {
    type Response = A;
    type Future = Ready<Result<Response<A>, Status>>;

    fn call(&mut self, _request: Request<Q>) -> Self::Future {
        ready(Ok(Response::new(self.answer.clone())))
    }
}

/// tonic finds a service by a name that belongs to its type.
macro_rules! service {
    ($type:ident, $request:ty, $response:ty, $name:literal) => {
        #[derive(Clone)]
        struct $type(Noop<$request, $response>);

        impl NamedService for $type {
            const NAME: &'static str = $name;
        }

        impl Service<http::Request<Body>> for $type {
            type Response = http::Response<Body>;
            type Error = Infallible;
            type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                let noop = self.0.clone();
                Box::pin(async move {
                    let mut grpc = Grpc::new(ProstCodec::<$response, $request>::default());
                    Ok(grpc.unary(noop, request).await)
                })
            }
        }
    };
}

service!(WriteNoop, DepositRequest, DepositResponse, "counterfoil.write.v1.WriteService");
service!(ReadNoop, GetBalanceRequest, GetBalanceResponse, "counterfoil.read.v1.ReadService");
