//! HTTP/2 by hand, for what no client library would send.

/// What a connection begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
/// Begins a call.
pub const HEADERS: u8 = 1;
/// Ends a call before it is over.
pub const RESET: u8 = 3;
const SETTINGS: u8 = 4;
/// More headers.
pub const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
/// There are no more headers.
pub const END_HEADERS: u8 = 4;

/// A frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers as HPACK writes them when it compresses nothing.
#[must_use]
pub fn headers(path: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    headers.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// A connection without any call.
#[must_use]
pub fn opening() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// A whole, good call. Where its message begins, too.
#[must_use]
pub fn call(path: &str, message: &[u8]) -> (Vec<u8>, usize) {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let message = [&[0], &length[..], message].concat();
    let before = [opening(), frame(HEADERS, END_HEADERS, 1, &headers(path))].concat();
    let place = before.len() + 9 + 5;
    ([before, frame(DATA, END_STREAM, 1, &message)].concat(), place)
}
