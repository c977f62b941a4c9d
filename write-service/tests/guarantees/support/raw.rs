//! Calls that no generated client would send: any bytes as the message, the message when the test says so, and a deadline
//! that the client itself does not watch.

use std::time::Duration;

use bytes::{Buf, BufMut};
use futures::stream::{self, Stream};
use http_body_util::Full;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{net::TcpStream, task::JoinSet};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

use super::{Client, Refusal};

/// Sends bytes as they are, and gives what comes back so.
#[derive(Debug, Default, Clone, Copy)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&bytes);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

impl Client {
    /// Calls an rpc with these bytes as the message.
    pub(crate) async fn send_bytes(&self, rpc: &str, bytes: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        self.send_stream(rpc, stream::iter([bytes])).await
    }

    /// Begins a call now, and sends its message when the stream brings it.
    pub(crate) async fn send_stream(
        &self,
        rpc: &str,
        messages: impl Stream<Item = Vec<u8>> + Send + 'static,
    ) -> Result<Vec<u8>, Refusal> {
        let mut grpc: Grpc<Channel> = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let path = format!("/counterfoil.write.v1.WriteService/{rpc}");
        let path = http_path(path);
        let answer = grpc.client_streaming(Request::new(messages), path, Bytes).await?;
        Ok(answer.into_inner())
    }
}

fn http_path(path: String) -> tonic::codegen::http::uri::PathAndQuery {
    path.parse().unwrap()
}

impl Client {
    /// Deposits, and says what the service answers when the deadline has passed. A client of tonic gives up by itself at the
    /// same moment, and so hears it or not.
    pub(crate) async fn refused_in_time(
        &self,
        deposit: proto::write::DepositRequest,
        timeout: Duration,
    ) -> Refusal {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let (mut sender, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        let message = deposit.encode_to_vec();
        let mut frame = vec![0];
        frame.put_u32(u32::try_from(message.len()).unwrap());
        frame.extend(message);
        let path = "/counterfoil.write.v1.WriteService/Deposit";
        let request = http::Request::post(format!("http://{}{path}", self.addr))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", format!("{}m", timeout.as_millis()))
            .body(Full::new(bytes::Bytes::from(frame)));
        let response = sender.send_request(request.unwrap()).await.unwrap();
        Status::from_header_map(response.headers()).unwrap().into()
    }
}
