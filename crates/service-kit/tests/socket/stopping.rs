//! A server that is told to stop does, whatever its clients do or leave undone.

use std::time::Duration;

use futures::StreamExt;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use service_kit::server::GrpcLimits;
use service_kit::transport_errors::Side;

use crate::raw::{CHECK, Running, SLEEP, frame};

/// Long enough that nothing here ends by it.
const NEVER: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_millis(300);

/// Waits for the server to close the connection; its SETTINGS may come first.
async fn closed(stream: &mut TcpStream) {
    let mut bytes = [0; 1024];
    let until_closed = async { while matches!(stream.read(&mut bytes).await, Ok(1..)) {} };
    timeout(NEVER / 2, until_closed).await.unwrap();
}

async fn stopped(mut server: Running) {
    timeout(NEVER / 2, server.serving.join_next()).await.unwrap().unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_server_stops_at_once_and_its_port_is_closed() {
    let server = Running::start_with(Side::Read, GrpcLimits::default(), NEVER).await;
    let mut client = server.client().await;
    assert_eq!(client.call(CHECK, frame(&[])).await.code, Code::Ok);
    let addr = server.addr;
    server.shutdown.cancel();
    stopped(server).await;
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut_when_grace_is_over() {
    let server = Running::start_with(Side::Read, GrpcLimits::default(), GRACE).await;
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    // A call on another connection, accepted later, shows that the silent one is in.
    assert_eq!(server.client().await.call(CHECK, frame(&[])).await.code, Code::Ok);
    server.shutdown.cancel();
    stopped(server).await;
    closed(&mut silent).await;
}

#[tokio::test]
async fn a_call_that_never_ends_is_cut_when_grace_is_over() {
    let server = Running::start_with(Side::Read, GrpcLimits::default(), GRACE).await;
    let mut client = server.client().await;
    let shutdown = server.shutdown.clone();
    let began = Instant::now();
    let (answer, ()) = tokio::join!(client.send(SLEEP, frame(&[]), &[]), async {
        while server.sleeps_begun() == 0 {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
        stopped(server).await;
    });
    assert!(answer.is_err(), "{answer:?}");
    assert!(began.elapsed() >= GRACE);
}

#[tokio::test]
async fn whoever_watches_health_is_told_and_does_not_hold_the_stop_up() {
    let server = Running::start_with(Side::Read, GrpcLimits::default(), NEVER).await;
    server.health.set_ready(true).await;
    let request = HealthCheckRequest { service: String::new() };
    let mut told =
        HealthClient::new(server.channel().await).watch(request).await.unwrap().into_inner();
    assert_eq!(told.next().await.unwrap().unwrap().status(), ServingStatus::Serving);

    server.shutdown.cancel();
    assert_eq!(told.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(told.next().await.is_none());
    stopped(server).await;
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_a_place_that_is_free_is_given_again() {
    let limits = GrpcLimits { connections_max: 1, ..GrpcLimits::default() };
    let server = Running::start_with(Side::Read, limits, GRACE).await;
    let mut first = server.client().await;
    assert_eq!(first.call(CHECK, frame(&[])).await.code, Code::Ok);

    let mut second = TcpStream::connect(server.addr).await.unwrap();
    closed(&mut second).await;
    assert_eq!(first.call(CHECK, frame(&[])).await.code, Code::Ok);

    drop(first);
    let admitted = async {
        loop {
            let answer = server.client().await.send(CHECK, frame(&[]), &[]).await;
            if answer.is_ok() {
                return;
            }
        }
    };
    timeout(NEVER / 2, admitted).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_speaks_http2_is_let_go() {
    let server = Running::start_with(Side::Read, GrpcLimits::default(), GRACE).await;
    let began = Instant::now();
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    closed(&mut silent).await;
    assert!(began.elapsed() >= Duration::from_secs(10));
}
