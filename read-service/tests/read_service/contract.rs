//! What clients without our files need, and what operators see.

use dev_servers::Redis;
use tokio_stream::iter;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1alpha;

use crate::support::*;

/// What a generic client must be able to look up: the service, and every error detail.
const SYMBOLS: [&str; 6] = [
    "counterfoil.read.v1.ReadService",
    "counterfoil.type.v1.Money",
    "google.rpc.ErrorInfo",
    "google.rpc.BadRequest",
    "google.rpc.PreconditionFailure",
    "google.rpc.RetryInfo",
];

#[tokio::test]
async fn reflection_knows_the_service_and_the_details_of_its_errors() {
    let redis = Redis::start_private().await.unwrap();
    let service = Service::start_unready(&redis.url(), &[]).await;
    let asked = SYMBOLS.map(|symbol| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(symbol.to_owned())),
    });
    let mut client = ServerReflectionClient::new(service.channel.clone());
    let mut answers = client.server_reflection_info(iter(asked)).await.unwrap().into_inner();
    for symbol in SYMBOLS {
        let answer = answers.message().await.unwrap().unwrap().message_response;
        let found = matches!(answer, Some(MessageResponse::FileDescriptorResponse(_)));
        assert!(found, "{symbol}: {answer:?}");
    }
    // Older clients ask for v1alpha.
    let asked = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let channel = service.channel.clone();
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(iter([asked])).await.unwrap().into_inner();
    let listed = format!("{:?}", answers.message().await.unwrap());
    assert!(listed.contains("counterfoil.read.v1.ReadService"), "{listed}");
}

#[tokio::test]
async fn metrics_count_answers_refusals_waits_and_round_trips() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    model.open("alice", "acme").await;
    model.stamp_heads().await;
    let service = Service::start(&redis.url(), &["--wait-max-ms", "1"]).await;
    let mut client = service.client();
    client.get_balance(balance("alice")).await.unwrap();
    client.get_balance(balance("nobody")).await.unwrap_err();
    let token = format!("cf1.{}.0-9", model.log_id);
    client.get_balance(fresh_balance("alice", at_least(&token))).await.unwrap_err();
    let text = service.metrics().await;
    let ok = r#"counterfoil_reads_total{method="GetBalance",code="OK",reason=""} 1"#;
    let not_found = r#"code="NOT_FOUND",reason="ACCOUNT_NOT_FOUND"} 1"#;
    for line in [
        ok,
        not_found,
        r#"counterfoil_read_seconds_count{method="GetBalance"} 3"#,
        r#"counterfoil_read_waits_total{outcome="TimedOut"} 1"#,
        "counterfoil_read_waiters 0",
        "counterfoil_read_round_trip_calls_count",
        r#"counterfoil_read_staleness_seconds{view="accounts",shard="0"}"#,
        r#"counterfoil_read_lag_events{view="totals",shard="0"} 0"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn calls_that_come_together_share_round_trips_and_get_their_own_answers() {
    let redis = Redis::start_private().await.unwrap();
    let mut model = Model::new(&redis.url(), 1).await;
    for number in 1..=50 {
        model.open(&format!("a{number}"), "acme").await;
        model.deposit(&format!("a{number}"), number).await;
    }
    let service = Service::start(&redis.url(), &[]).await;
    let mut calls = tokio::task::JoinSet::new();
    for call in 0..1000 {
        let mut client = service.client();
        calls.spawn(async move {
            let number = call % 51; // there is no a0
            let answer = client.get_balance(balance(&format!("a{number}"))).await;
            let shown = answer.map(|answer| answer.into_inner().balance.unwrap().minor_units);
            assert_eq!(shown.ok(), (number > 0).then_some(number));
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.unwrap();
    }
    let text = service.metrics().await;
    let trips = text.lines().find_map(|line| {
        line.strip_prefix("counterfoil_read_round_trip_calls_count ")?.parse::<u32>().ok()
    });
    assert!(trips.unwrap() < 500, "{trips:?}");
}
