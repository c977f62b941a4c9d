//! `counterfoil healthcheck`

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::output::out;
use crate::{
    call::channel,
    failure::{Failure, REFUSED},
};

/// Asks a service whether it is ready: 0 if it is, 1 if it says that it is not, 3 if it does not answer.
#[derive(Args)]
pub(crate) struct Healthcheck {
    /// HOST:PORT asks by grpc.health.v1; http://HOST:PORT/readyz by HTTP
    addr: String,
    /// How long to wait for an answer
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration, value_name = "TIME")]
    timeout: Duration,
}

impl Healthcheck {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let asked = timeout(self.timeout, is_ready(&self.addr)).await;
        let asked = asked.with_context(|| format!("{} did not answer", self.addr))?;
        match asked? {
            true => {
                out!("ready\n");
                Ok(())
            }
            false => {
                out!("not ready\n");
                Err(Failure::reported(REFUSED))
            }
        }
    }
}

/// What the service at `addr` says of itself.
pub(crate) async fn is_ready(addr: &str) -> Result<bool, Failure> {
    match addr.strip_prefix("http://") {
        Some(rest) => Ok(is_ready_by_http(rest).await.with_context(|| format!("ask {addr}"))?),
        None => is_ready_by_grpc(addr).await,
    }
}

async fn is_ready_by_grpc(addr: &str) -> Result<bool, Failure> {
    let mut client = HealthClient::new(channel(addr)?);
    let answer = client.check(HealthCheckRequest { service: String::new() }).await;
    let answer = answer.with_context(|| format!("ask {addr}"))?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}

/// One request without a client library: all that counts is the first line of the answer.
async fn is_ready_by_http(rest: &str) -> std::io::Result<bool> {
    let (host, path) = rest.split_once('/').unwrap_or((rest, "readyz"));
    let mut stream = TcpStream::connect(host).await?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12]; // HTTP/1.1 200
    stream.read_exact(&mut answer).await?;
    Ok(answer.ends_with(b" 200"))
}
