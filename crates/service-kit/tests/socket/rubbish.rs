//! Whatever bytes a client sends, well-behaved ones are served beside it, and nothing of it is kept when it is gone.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dev_rubbish::Dice;
use futures::{StreamExt, stream};
use http::Request;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::{Code, Status};

use service_kit::server::GrpcLimits;
use service_kit::transport_errors::{Side, UNCLASSIFIED};

use crate::raw::{Answer, CHECK, Client, Running, frame};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Connections with a changed call on each.
const OPEN_AT_ONCE: usize = 20;

/// Within this everything here is over that ends at all.
const SOON: Duration = Duration::from_secs(20);

/// An HTTP/2 frame.
fn http2(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// One header as HPACK writes it when it compresses nothing.
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.push(u8::try_from(text.len()).unwrap());
        bytes.extend(text.bytes());
    }
    bytes
}

fn call_headers() -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", CHECK),
        (":authority", "test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    headers.iter().flat_map(|(name, value)| header(name, value)).collect()
}

/// A whole, good call as bytes.
fn good_call() -> Vec<u8> {
    [
        PREFACE.to_vec(),
        http2(SETTINGS, 0, 0, &[]),
        http2(HEADERS, END_HEADERS, 1, &call_headers()),
        http2(DATA, END_STREAM, 1, &frame(&[])),
    ]
    .concat()
}

/// A server, and a client that must notice nothing.
struct Served {
    server: Running,
    good: Client,
}

impl Served {
    async fn start() -> Self {
        let limits = GrpcLimits {
            keepalive_interval: Duration::from_millis(500),
            keepalive_timeout: Duration::from_millis(500),
            ..GrpcLimits::default()
        };
        let server = Running::start_with(Side::Write, limits, Duration::from_secs(5)).await;
        let good = server.client().await;
        Self { server, good }
    }

    /// The good client's connection is the same all the time.
    async fn is_served(&mut self) {
        let call = self.good.call(CHECK, frame(&[]));
        assert_eq!(timeout(SOON, call).await.unwrap().code, Code::Ok);
        assert!(self.server.serving.try_join_next().is_none(), "the server has ended");
    }

    /// A connection on which these bytes were sent, as far as it took them.
    async fn sent(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.server.addr).await.unwrap();
        let _may_be_cut = timeout(SOON, stream.write_all(bytes)).await.expect("it is read or cut");
        stream
    }

    /// Stops, for which all that is left of the rubbish must be gone.
    async fn stop(mut self) {
        self.is_served().await;
        drop(self.good);
        self.server.shutdown.cancel();
        let ended = timeout(SOON, self.server.serving.join_next()).await;
        ended.expect("it stops").unwrap().unwrap().unwrap();
    }
}

/// What the server says until it closes the connection, which it must.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let reading = async {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            said.extend(&bytes[..count]);
        }
    };
    timeout(SOON, reading).await.expect("the server closes the connection");
    said
}

#[tokio::test]
async fn bytes_that_are_no_http2_are_cut() {
    let mut served = Served::start().await;
    let http1 = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n".as_slice();
    let tls = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3].repeat(10);
    let not_settings = [PREFACE, &http2(DATA, 0, 1, b"data")].concat();
    let huge_frame = [PREFACE, &http2(SETTINGS, 0, 0, &[]), &[0xff; 9]].concat();
    let half_a_setting = [PREFACE, &http2(SETTINGS, 0, 0, &[1, 2, 3])].concat();
    for bytes in [http1, &tls, &[0; 100], &not_settings, &huge_frame, &half_a_setting] {
        let mut stream = served.sent(bytes).await;
        until_closed(&mut stream).await;
        served.is_served().await;
    }
    served.stop().await;
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_of_anything_is_let_go() {
    let mut served = Served::start().await;
    let whole = good_call();
    // Cut behind the preface; whoever does not even send that is let go too, but later.
    let halves = (PREFACE.len()..whole.len()).step_by(7).map(async |end| {
        let mut stream = served.sent(&whole[..end]).await;
        until_closed(&mut stream).await;
    });
    futures::future::join_all(halves).await;
    served.is_served().await;
    served.stop().await;
}

#[tokio::test]
async fn any_change_to_a_good_call_harms_nobody_else() {
    let log = Log::default();
    let _logged = tracing::subscriber::set_default(log.subscriber());
    let mut served = Served::start().await;
    let mut dice = Dice::default();
    let whole = good_call();
    let mut open = VecDeque::new();
    for round in 0..1500 {
        let mut bytes = whole.clone();
        for _ in 0..=dice.roll(4) {
            let place = dice.roll(bytes.len());
            match dice.roll(4) {
                0 => bytes[place] ^= 1 << dice.roll(8),
                1 => bytes.truncate(place.max(1)),
                2 => bytes.insert(place, dice.byte()),
                _ => _ = bytes.remove(place),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        // Each is open while the next ones are sent, long enough to be answered.
        open.push_back(served.sent(&bytes).await);
        if open.len() > OPEN_AT_ONCE {
            open.pop_front();
        }
        if round % 100 == 0 {
            served.is_served().await;
        }
    }
    drop(open);
    served.stop().await;
    let text = log.text();
    assert!(text.contains("serving gRPC") && !text.contains(UNCLASSIFIED), "{text}");
}

/// What a server in this thread logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn subscriber(&self) -> impl tracing::Subscriber + Send + Sync + 'static {
        let lines = self.clone();
        tracing_subscriber::fmt().with_writer(move || lines.clone()).finish()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_flood_of_headers_is_cut_before_it_fills_memory() {
    let mut served = Served::start().await;
    let part = header("x-flood", &"y".repeat(100)).repeat(100);
    let begin = [PREFACE, &http2(SETTINGS, 0, 0, &[]), &http2(HEADERS, 0, 1, &part)].concat();
    let mut stream = served.sent(&begin).await;
    let mut taken = 0;
    // A gigabyte, if it were taken.
    for _ in 0..100_000 {
        let more = http2(CONTINUATION, 0, 1, &part);
        match timeout(SOON, stream.write_all(&more)).await.expect("it is read or cut") {
            Ok(()) => taken += more.len(),
            Err(_cut) => break,
        }
    }
    assert!(taken < 20 << 20, "{taken} bytes of one call's metadata were taken");
    served.is_served().await;
    served.stop().await;
}

#[tokio::test]
async fn calls_begun_and_reset_without_end_are_cut() {
    let mut served = Served::start().await;
    let mut stream = served.sent(&[PREFACE, &http2(SETTINGS, 0, 0, &[])].concat()).await;
    let mut is_cut = false;
    for number in 0..200_000_u32 {
        let id = number * 2 + 1;
        let call = http2(HEADERS, END_HEADERS, id, &call_headers());
        let reset = http2(RESET, 0, id, &8_u32.to_be_bytes());
        let sent = timeout(SOON, stream.write_all(&[call, reset].concat())).await;
        if sent.expect("it is read or cut").is_err() {
            is_cut = true;
            break;
        }
        if number % 10_000 == 0 {
            served.is_served().await;
        }
    }
    assert!(is_cut, "200,000 calls that nobody waits for were taken");
    served.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_not_answered_without_end() {
    let mut served = Served::start().await;
    let mut stream = served.sent(&[PREFACE, &http2(SETTINGS, 0, 0, &[])].concat()).await;
    let pings = http2(PING, 0, 0, &[7; 8]).repeat(1000);
    let mut sent = 0_usize;
    // Each wants an answer of its own length, and none is read: at some point the server must read no further.
    let flood = async {
        while stream.write_all(&pings).await.is_ok() {
            sent += pings.len();
        }
    };
    let ended = timeout(Duration::from_secs(3), flood).await;
    assert!(ended.is_ok() || sent < 64 << 20, "{sent} bytes of pings were taken");
    served.is_served().await;
    drop(stream);
    served.stop().await;
}

#[tokio::test]
async fn a_thousand_silent_connections_and_slow_senders_hold_nobody_up() {
    let mut served = Served::start().await;
    let whole = good_call();
    let mut slow = Vec::new();
    for _ in 0..500 {
        slow.push(TcpStream::connect(served.server.addr).await.unwrap());
        slow.push(served.sent(&whole[..PREFACE.len()]).await);
    }
    served.is_served().await;
    // One byte of each at a time.
    for byte in &whole[PREFACE.len()..PREFACE.len() + 20] {
        for stream in slow.iter_mut().skip(1).step_by(2) {
            let _may_be_cut = stream.write_all(&[*byte]).await;
        }
        served.is_served().await;
    }
    drop(slow);
    served.stop().await;
}

#[tokio::test]
async fn whoever_only_connects_shuts_out_nobody_who_calls() {
    let limits = GrpcLimits { connections_max: 10, ..GrpcLimits::default() };
    let server = Running::start_with(Side::Write, limits, Duration::from_secs(5)).await;
    let mut early = server.client().await;
    assert_eq!(early.call(CHECK, frame(&[])).await.code, Code::Ok);
    // Some say nothing at all, some speak HTTP/2 and never call.
    let silent = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    };
    let speaks = [PREFACE, &http2(SETTINGS, 0, 0, &[])].concat();
    let mut oldest = silent(&speaks).await;
    let mut crowd = Vec::new();
    for _ in 0..4 {
        crowd.push(silent(&[]).await);
        crowd.push(silent(&speaks).await);
    }
    let mut callers = Vec::new();
    for _ in 0..5 {
        let mut late = server.client().await;
        assert_eq!(timeout(SOON, late.call(CHECK, frame(&[]))).await.unwrap().code, Code::Ok);
        callers.push(late);
    }
    until_closed(&mut oldest).await;
    // Who has called is not sent away, however many connect.
    for _ in 0..20 {
        crowd.push(silent(&speaks).await);
    }
    for caller in callers.iter_mut().chain([&mut early]) {
        assert_eq!(timeout(SOON, caller.call(CHECK, frame(&[]))).await.unwrap().code, Code::Ok);
    }
}

#[tokio::test]
async fn messages_that_are_begun_and_not_finished_have_a_limit_together() {
    let limits = GrpcLimits { unfinished_bytes_max: 1 << 20, ..GrpcLimits::default() };
    let server = Running::start_with(Side::Write, limits, Duration::from_secs(5)).await;
    let mut good = server.client().await;
    let part = part_of_two_megabytes(100 << 10);
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(unfinished(server.addr, part.clone()).await);
    }
    let (_connection, answer) = unfinished(server.addr, part.clone()).await;
    is_overloaded(&timeout(SOON, answer).await.expect("the eleventh is refused"));
    assert_eq!(good.call(CHECK, frame(&[])).await.code, Code::Ok);
    // What was begun by those who are gone is held no longer.
    drop(held);
    let admitted = async {
        loop {
            let (_connection, answer) = unfinished(server.addr, part.clone()).await;
            if timeout(Duration::from_millis(300), answer).await.is_err() {
                return; // it is waited for
            }
        }
    };
    timeout(SOON, admitted).await.unwrap();
}

#[tokio::test]
async fn one_connection_does_not_take_all_memory_for_unfinished_messages() {
    let limits = GrpcLimits { unfinished_bytes_max: 1 << 20, ..GrpcLimits::default() };
    let server = Running::start_with(Side::Write, limits, Duration::from_secs(5)).await;
    let (_connection, answer) = unfinished(server.addr, part_of_two_megabytes(200 << 10)).await;
    is_overloaded(&timeout(SOON, answer).await.expect("more than an eighth is refused"));
    let (_connection, answer) = unfinished(server.addr, part_of_two_megabytes(100 << 10)).await;
    assert!(timeout(Duration::from_millis(300), answer).await.is_err(), "it is waited for");
}

#[tokio::test]
async fn the_rest_of_a_message_is_not_waited_for_without_end() {
    let patience = Duration::from_millis(500);
    let limits = GrpcLimits { unfinished_patience: patience, ..GrpcLimits::default() };
    let server = Running::start_with(Side::Write, limits, Duration::from_secs(5)).await;
    let begun = std::time::Instant::now();
    let (_connection, answer) = unfinished(server.addr, part_of_two_megabytes(100)).await;
    is_overloaded(&timeout(SOON, answer).await.expect("it is given up"));
    assert!(begun.elapsed() >= patience, "{:?}", begun.elapsed());
}

/// The beginning of a message that says it has two megabytes.
fn part_of_two_megabytes(bytes: usize) -> Vec<u8> {
    let mut part = frame(&vec![0; bytes]);
    part[1..5].copy_from_slice(&(2_u32 << 20).to_be_bytes());
    part
}

fn is_overloaded(answer: &Answer) {
    assert_eq!(answer.code, Code::ResourceExhausted);
    assert_eq!(
        (answer.reason.as_deref(), answer.applied.as_deref()),
        (Some("OVERLOADED"), Some("false"))
    );
    assert!(answer.has_retry_info);
}

/// A call whose message does not end, with its answer to come; it lasts as long as its connection is kept.
async fn unfinished(
    addr: std::net::SocketAddr,
    part: Vec<u8>,
) -> (JoinSet<()>, std::pin::Pin<Box<dyn Future<Output = Answer>>>) {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        // How the connection ends is seen by the call on it.
        let _ended = connection.await;
    });
    let data = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(part)))]);
    let request = Request::post(format!("http://test{CHECK}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(StreamBody::new(data.chain(stream::pending())))
        .unwrap();
    let answer = sender.send_request(request);
    // Long enough that the part has come.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = async move {
        let _open = sender;
        let (parts, _body) = answer.await.unwrap().into_parts();
        Answer::from(&Status::from_header_map(&parts.headers).unwrap())
    };
    (tasks, Box::pin(answer))
}
