//! What a client can send that no handler ever sees.

use crate::raw::{self, Answer, CHECK, GZIP_CHECK, Running, frame};
use service_kit::server::MESSAGE_BYTES_MAX;
use service_kit::transport_errors::Side;
use tonic::Code;

/// A `HealthCheckRequest` with field 1 = "".
const EMPTY_MESSAGE: &[u8] = &[];

fn assert_refused(answer: &Answer, code: Code, reason: &str) {
    assert_eq!((answer.code, answer.reason.as_deref()), (code, Some(reason)), "{answer:?}");
    assert_eq!(answer.applied.as_deref(), Some("false"), "{answer:?}");
}

#[tokio::test]
async fn a_well_formed_call_passes_both_layers() {
    let server = Running::start(Side::Write).await;
    let answer = server.client().await.call(CHECK, frame(EMPTY_MESSAGE)).await;
    assert_eq!(answer.code, Code::Ok);
}

#[tokio::test]
async fn a_message_over_the_limit_is_too_large_and_not_applied() {
    let server = Running::start(Side::Write).await;
    let mut client = server.client().await;
    let mut body = vec![0];
    body.extend(u32::try_from(MESSAGE_BYTES_MAX + 1).unwrap().to_be_bytes());
    body.resize(body.len() + MESSAGE_BYTES_MAX + 1, 0);
    let answer = client.call(CHECK, body).await;
    assert_refused(&answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    // The connection is still good.
    assert_eq!(client.call(CHECK, frame(EMPTY_MESSAGE)).await.code, Code::Ok);
}

#[tokio::test]
async fn bytes_that_are_no_message_are_an_invalid_argument_and_not_applied() {
    let server = Running::start(Side::Write).await;
    let mut client = server.client().await;
    for (what, body) in [
        ("a varint without end", frame(&[0x0a, 0xff, 0xff, 0xff])),
        ("a length beyond the message", frame(&[0x0a, 0x7f, b'x'])),
        ("another wire type", frame(&[0x08, 0x01])),
        ("a field number of zero", frame(&[0x02, 0x00])),
        ("text that is not UTF-8", frame(&[0x0a, 0x02, 0xc3, 0x28])),
        ("a group without end", frame(&[0x0b])),
        ("a frame cut short", vec![0, 0, 0, 0, 9, 0x0a]),
        ("a frame header cut short", vec![0, 0]),
        ("no frame at all", Vec::new()),
        ("a compressed message without an encoding", vec![1, 0, 0, 0, 0]),
        ("a compression flag that does not exist", vec![7, 0, 0, 0, 0]),
        ("not even gRPC", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ] {
        let answer = client.call(CHECK, body).await;
        assert_eq!(answer.reason.as_deref(), Some("MESSAGE_MALFORMED"), "{what}: {answer:?}");
        assert_refused(&answer, Code::InvalidArgument, "MESSAGE_MALFORMED");
        assert!(answer.has_bad_request, "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn a_message_that_unpacks_beyond_the_limit_is_too_large() {
    let server = Running::start(Side::Write).await;
    let body = raw::gzip_frame(&vec![0; MESSAGE_BYTES_MAX + 1]);
    let answer = server.client().await.call_gzip(GZIP_CHECK, body).await;
    assert_refused(&answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn gzip_that_cannot_be_unpacked_is_malformed() {
    let server = Running::start(Side::Write).await;
    let mut body = frame(b"this is not gzip");
    body[0] = 1;
    let answer = server.client().await.call_gzip(GZIP_CHECK, body).await;
    assert_refused(&answer, Code::InvalidArgument, "MESSAGE_MALFORMED");
}

#[tokio::test]
async fn a_compression_the_service_does_not_take_says_so() {
    let server = Running::start(Side::Write).await;
    let answer = server.client().await.call_gzip(CHECK, raw::gzip_frame(EMPTY_MESSAGE)).await;
    assert_refused(&answer, Code::Unimplemented, "COMPRESSION_UNSUPPORTED");
}

#[tokio::test]
async fn an_unknown_method_and_an_unknown_service_have_a_reason() {
    let server = Running::start(Side::Write).await;
    let mut client = server.client().await;
    for path in ["/grpc.health.v1.Health/Nothing", "/counterfoil.v9.Nothing/Nothing", "/", "/x"] {
        let answer = client.call(path, frame(EMPTY_MESSAGE)).await;
        assert_refused(&answer, Code::Unimplemented, "METHOD_UNKNOWN");
    }
}

#[tokio::test]
async fn metadata_over_the_limit_has_a_reason() {
    let server = Running::start(Side::Write).await;
    let mut client = server.client().await;
    let metadata = "x".repeat(20 * 1024);
    let answer = client.send(CHECK, frame(EMPTY_MESSAGE), &[("x-large", &metadata)]).await.unwrap();
    assert_refused(&answer, Code::ResourceExhausted, "METADATA_TOO_LARGE");
    let metadata = "x".repeat(15 * 1024);
    let answer = client.send(CHECK, frame(EMPTY_MESSAGE), &[("x-large", &metadata)]).await.unwrap();
    assert_eq!(answer.code, Code::Ok, "{answer:?}");
}

#[tokio::test]
async fn the_read_side_does_not_speak_of_applying() {
    let server = Running::start(Side::Read).await;
    let answer = server.client().await.call(CHECK, vec![7, 0, 0, 0, 0]).await;
    assert_eq!(answer.reason.as_deref(), Some("MESSAGE_MALFORMED"));
    assert_eq!(answer.applied, None);
}

#[tokio::test]
async fn health_of_a_service_that_is_not_here_has_a_reason() {
    let server = Running::start(Side::Read).await;
    let answer = server.client().await.call(CHECK, frame(&[0x0a, 1, b'x'])).await;
    assert_eq!((answer.code, answer.reason.as_deref()), (Code::NotFound, Some("SERVICE_UNKNOWN")));
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_not_begun() {
    let server = Running::start(Side::Write).await;
    let mut client = server.client().await;
    for timeout in ["0n", "0S", "1n", "999u"] {
        let answer = client.call_within(raw::SLEEP, timeout).await;
        assert_refused(&answer, Code::DeadlineExceeded, "DEADLINE_BEFORE_START");
        assert!(answer.has_retry_info, "{answer:?}");
    }
    assert_eq!(server.sleeps_begun(), 0);
}

// On several threads, where two timers of one call can be seen out of order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_misses_the_deadline_is_answered_for_before_tonic_does() {
    for (side, reason) in [(Side::Write, "OUTCOME_UNKNOWN"), (Side::Read, "DEADLINE_PASSED")] {
        let server = Running::start(side).await;
        let mut client = server.client().await;
        for timeout in ["2m", "5m", "20m", "100m", "50000u"] {
            let answer = client.call_within(raw::SLEEP, timeout).await;
            assert_eq!(answer.code, Code::DeadlineExceeded, "{timeout}: {answer:?}");
            assert_eq!(answer.reason.as_deref(), Some(reason), "{timeout}: {answer:?}");
        }
        assert_eq!(server.sleeps_begun(), 5);
    }
}

#[tokio::test]
async fn a_handler_learns_its_deadline_and_can_answer_first() {
    let server = Running::start(Side::Write).await;
    let answer = server.client().await.call_within(raw::OBEY, "60m").await;
    assert_eq!((answer.code, answer.reason.as_deref()), (Code::Ok, None), "{answer:?}");
}

#[tokio::test]
async fn reflection_lists_every_service_in_both_versions() {
    use futures::{StreamExt, stream};
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let server = Running::start(Side::Read).await;
    let channel = server.channel().await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ]
    );
    let v1alpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
    assert_eq!(server.client().await.call(v1alpha, frame(&[0x3a, 0])).await.code, Code::Ok);
}
