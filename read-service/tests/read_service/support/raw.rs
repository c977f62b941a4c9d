//! Bytes instead of messages, and deadlines that the client itself does not watch.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BufMut};
use http_body_util::Full;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use proto::read::GetBalanceRequest;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Calls a method of the read service with these bytes as the message.
pub(crate) async fn call_raw(
    channel: Channel,
    method: &str,
    bytes: &[u8],
) -> Result<Vec<u8>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = format!("/counterfoil.read.v1.ReadService/{method}");
    let path = PathAndQuery::try_from(path).unwrap();
    let answer = client.unary(Request::new(bytes.to_vec()), path, Raw).await?;
    Ok(answer.into_inner())
}

/// What a query is refused with that may take so long, as the service says it.
pub(crate) async fn refused_in_time(
    addr: SocketAddr,
    query: &GetBalanceRequest,
    timeout: Duration,
) -> Status {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let message = query.encode_to_vec();
    let mut frame = vec![0];
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.extend(message);
    let path = "/counterfoil.read.v1.ReadService/GetBalance";
    let request = hyper::Request::post(format!("http://{addr}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", format!("{}m", timeout.as_millis()))
        .body(Full::new(bytes::Bytes::from(frame)));
    let response = sender.send_request(request.unwrap()).await.unwrap();
    Status::from_header_map(response.headers()).unwrap()
}

struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&bytes);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}
