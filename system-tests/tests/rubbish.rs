//! Both services as they are run, under whatever bytes anybody may send: they go on, nobody else notices, their memory stays
//! within bounds, and no log has a panic or an answer that nobody has thought of. What becomes of each kind of rubbish by itself is tested beside the server that both have in common.
#![allow(clippy::unwrap_used, reason = "a test says where it failed by failing there")]

use std::{collections::VecDeque, time::Duration};

use prost::Message;
use proto::{
    read::{GetBalanceRequest, read_service_client::ReadServiceClient},
    write::DepositRequest,
};
use service_kit::transport_errors::UNCLASSIFIED;
use system_tests::{
    Dice, Process, Size, System, WriteClient, account, euros,
    http2::{CONTINUATION, END_HEADERS, HEADERS, PREFACE, RESET, call, frame, headers, opening},
    open_accounts,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tonic::transport::Channel;
use uuid::Uuid;

/// Calls with changed bytes, for each service.
const CHANGED: u64 = 1500;
/// Connections with a changed call on each.
const OPEN_AT_ONCE: usize = 20;
/// Connections at once over which nothing is sent, for each service. Ten thousand, where a process may have so many.
const SILENT_MAX: u64 = 10_000;
/// What a service may hold more than before, in KiB, when all of it is over. Its allocator gives back what thousands of connections
/// had (some 25 KiB each) when it likes.
const MEMORY_MORE_MAX_KIB: u64 = 300 * 1024;
/// Within this a connection takes bytes, or is cut.
const SOON: Duration = Duration::from_secs(20);

/// A service, how it is called, and a client that must notice nothing.
struct Target<'a> {
    addr: &'a str,
    path: &'static str,
    message: Vec<u8>,
}

impl Target<'_> {
    /// A connection over which this was sent, as far as it was taken.
    async fn sent(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let _may_be_cut = timeout(SOON, stream.write_all(bytes)).await.expect("it is read or cut");
        stream
    }

    /// Good calls with some bytes changed: half of them in their headers and frames, half in the message.
    async fn changed_calls(&self, dice: &mut Dice) {
        let (whole, message) = call(self.path, &self.message);
        let mut open = VecDeque::new();
        for _ in 0..CHANGED {
            let mut bytes = whole.clone();
            let first = if dice.percent(50) { message } else { PREFACE.len() };
            for _ in 0..=dice.roll(3) {
                let place = (first + dice.index(whole.len() - first)).min(bytes.len() - 1);
                match dice.roll(4) {
                    0 => bytes[place] ^= 1 << dice.roll(8),
                    1 => bytes.truncate(place.max(1)),
                    2 => bytes.insert(place, u8::try_from(dice.roll(256)).unwrap()),
                    _ => bytes[place] = 0xff,
                }
            }
            // Each is open while the next ones are sent, long enough to be answered.
            open.push_back(self.sent(&bytes).await);
            if open.len() > OPEN_AT_ONCE {
                open.pop_front();
            }
        }
    }

    async fn header_flood(&self) {
        let part = headers(self.path).repeat(30);
        let mut stream = self.sent(&[opening(), frame(HEADERS, 0, 1, &part)].concat()).await;
        let more = frame(CONTINUATION, 0, 1, &part);
        for _ in 0..20_000 {
            if timeout(SOON, stream.write_all(&more)).await.expect("it is read or cut").is_err() {
                return;
            }
        }
        panic!("{} bytes of one call's headers were taken", 20_000 * more.len());
    }

    async fn rapid_reset(&self) {
        let mut stream = self.sent(&opening()).await;
        for number in 0..200_000_u32 {
            let id = number * 2 + 1;
            let begin = frame(HEADERS, END_HEADERS, id, &headers(self.path));
            let both = [begin, frame(RESET, 0, id, &8_u32.to_be_bytes())].concat();
            if timeout(SOON, stream.write_all(&both)).await.expect("it is read or cut").is_err() {
                return;
            }
        }
        panic!("200,000 calls that nobody waits for were taken");
    }

    async fn silence(&self) -> Vec<TcpStream> {
        let mut all = Vec::new();
        for _ in 0..SILENT_MAX.min(system_tests::descriptors_max() / 4) {
            let Ok(Ok(stream)) = timeout(SOON, TcpStream::connect(self.addr)).await else { break };
            all.push(stream);
        }
        all
    }
}

/// Somebody whose connections are the same all the time.
struct Good {
    write: WriteClient,
    read: ReadServiceClient<Channel>,
    deposits: i64,
}

impl Good {
    async fn is_served(&mut self) {
        let deposit = DepositRequest { request_id: Uuid::now_v7().to_string(), ..deposit() };
        let written = timeout(SOON, self.write.deposit(deposit)).await.unwrap().unwrap();
        self.deposits += 1;
        assert_eq!(written.into_inner().account.unwrap().version, 1 + self.deposits);
        timeout(SOON, self.read.get_balance(balance())).await.unwrap().unwrap();
    }
}

fn deposit() -> DepositRequest {
    DepositRequest { account_id: account(0), amount: euros(1), ..DepositRequest::default() }
}

fn balance() -> GetBalanceRequest {
    GetBalanceRequest { account_id: account(0), consistency: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_as_they_are_run_outlive_all_rubbish() {
    let mut system = System::start(Size::smallest(1)).await;
    open_accounts(&system, 1).await;
    let clients = system.clients();
    let mut good = Good { write: system.write_client(0), read: system.read_client(0), deposits: 0 };
    let before =
        good.write.deposit(DepositRequest { request_id: Uuid::now_v7().to_string(), ..deposit() });
    good.deposits = before.await.unwrap().into_inner().account.unwrap().version - 1;
    let addrs: Vec<&str> = clients.addrs().collect();
    let targets = [
        Target {
            addr: addrs[0],
            path: "/counterfoil.write.v1.WriteService/Deposit",
            // Without an id: whatever is made of it, no money moves.
            message: deposit().encode_to_vec(),
        },
        Target {
            addr: addrs[1],
            path: "/counterfoil.read.v1.ReadService/GetBalance",
            message: balance().encode_to_vec(),
        },
    ];
    let held = |process: &Process| process.held().unwrap().0;
    let usual = [held(&system.writers[0]), held(&system.readers[0])];
    let mut dice = Dice::new(7);
    for target in &targets {
        target.changed_calls(&mut dice).await;
        good.is_served().await;
        target.header_flood().await;
        good.is_served().await;
        target.rapid_reset().await;
        good.is_served().await;
        let silent = target.silence().await;
        assert!(silent.len() >= 200, "only {} silent connections", silent.len());
        good.is_served().await;
        drop(silent);
        good.is_served().await;
    }
    let services = [&mut system.writers[0], &mut system.readers[0]];
    for (service, usual) in services.into_iter().zip(usual) {
        assert!(service.is_running(), "it has ended; its log: {}", service.log());
        assert!(!service.has_panicked(), "its log: {}", service.log());
        assert!(!service.log_text().contains(UNCLASSIFIED), "its log: {}", service.log());
        let now = held(service);
        assert!(now < usual + MEMORY_MORE_MAX_KIB, "{usual} KiB before, {now} KiB afterwards");
    }
}
