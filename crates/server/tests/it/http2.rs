//! HTTP/2, by hyper's client, and by frames written by hand where a client must misbehave.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::http2::SendRequest,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ossia_server::config::Config;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::client::TlsStream;

use crate::{drive::*, tls};

/// A body that ends when its other end is dropped.
struct Fed(mpsc::UnboundedReceiver<Bytes>);

impl Body for Fed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

struct Client {
    fixture: Fixture,
    sender: SendRequest<Fed>,
    _folder: TempDir,
}

async fn served(change: impl FnOnce(&mut Config)) -> (TempDir, Fixture) {
    let folder = tempfile::tempdir().unwrap();
    let fixture = tls::fixture_with(folder.path(), |config| {
        config.limits.head_read_ms = 60_000;
        change(config);
    })
    .await;
    (folder, fixture)
}

impl Client {
    /// With a bucket named `bkt`.
    async fn start(change: impl FnOnce(&mut Config)) -> Client {
        let (folder, fixture) = served(change).await;
        let stream = tls::connect_with(&fixture, &[b"h2", b"http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let client = Client { fixture, sender, _folder: folder };
        client.call(put("/bkt/")).await.expect(200);
        client
    }

    /// The head of a call as HTTP/2 has it, and where its body is fed.
    fn begin(&self, call: &Call) -> (http::Request<Fed>, mpsc::UnboundedSender<Bytes>) {
        let (feeder, fed) = mpsc::unbounded_channel();
        let mut request = http::Request::new(Fed(fed));
        *request.method_mut() = call.method.parse().unwrap();
        for (name, value) in heads(&self.fixture, call) {
            match &*name {
                "host" => {
                    let uri = format!("https://{value}{}", call.target);
                    *request.uri_mut() = uri.parse().unwrap();
                }
                "transfer-encoding" => {}
                _ => {
                    let name: http::HeaderName = name.parse().unwrap();
                    request.headers_mut().append(name, value.parse().unwrap());
                }
            }
        }
        (request, feeder)
    }

    async fn call(&self, call: Call) -> Response {
        let (request, feeder) = self.begin(&call);
        if let Some(body) = call.body {
            feeder.send(Bytes::from(body)).unwrap();
        }
        drop(feeder);
        answer(&self.sender, request).await
    }
}

async fn answer(sender: &SendRequest<Fed>, request: http::Request<Fed>) -> Response {
    tokio::time::timeout(3 * PATIENCE, async {
        let mut sender = sender.clone();
        sender.ready().await.unwrap();
        read(sender.send_request(request).await.unwrap()).await
    })
    .await
    .expect("no answer")
}

async fn read(response: http::Response<Incoming>) -> Response {
    assert_eq!(response.version(), http::Version::HTTP_2);
    let (parts, body) = response.into_parts();
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let (status, headers) = (parts.status.as_u16(), headers.collect());
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Response { status, headers, body }
}

/// The headers of a call, signed.
fn heads(fixture: &Fixture, call: &Call) -> Vec<(String, String)> {
    let head = String::from_utf8(call.head_bytes(fixture)).unwrap();
    let lines = head.trim_end().split("\r\n").skip(1);
    lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
/// How the head of such an answer begins by HPACK.
const STATUS_200: u8 = 0x88;

/// A client of frames.
struct Raw(TlsStream<TcpStream>);

#[derive(Debug)]
struct Got {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A length by HPACK, with a prefix of seven bits.
fn length(mut value: usize, out: &mut Vec<u8>) {
    if value < 127 {
        out.push(u8::try_from(value).unwrap());
        return;
    }
    out.push(127);
    value -= 127;
    while value >= 128 {
        out.push(u8::try_from(value % 128).unwrap() | 128);
        value /= 128;
    }
    out.push(u8::try_from(value).unwrap());
}

/// The head of a call by HPACK, without a table and without Huffman.
fn packed(fixture: &Fixture, call: &Call) -> Vec<u8> {
    let mut fields = vec![
        (":method".to_owned(), call.method.to_owned()),
        (":scheme".to_owned(), "https".to_owned()),
        (":path".to_owned(), call.target.clone()),
    ];
    for (name, value) in heads(fixture, call) {
        match &*name {
            "host" => fields.insert(0, (":authority".to_owned(), value)),
            _ => fields.push((name, value)),
        }
    }
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        length(name.len(), &mut out);
        out.extend(name.as_bytes());
        length(value.len(), &mut out);
        out.extend(value.as_bytes());
    }
    out
}

impl Raw {
    async fn open(fixture: &Fixture) -> Raw {
        let mut raw = Raw(tls::connect_with(fixture, &[b"h2"]).await);
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.send(&frame(SETTINGS, 0, 0, &[])).await;
        raw
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// A request without a body.
    async fn ask(&mut self, fixture: &Fixture, stream: u32, call: &Call) {
        let head = packed(fixture, call);
        self.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &head)).await;
    }

    /// The next frame; `None` when the connection has ended.
    async fn next(&mut self) -> Option<Got> {
        let got = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if head[3] == PING && head[4] & ACK == 0 {
                // It may be gone already.
                let _ = self.0.write_all(&frame(PING, ACK, 0, &payload)).await;
                let _ = self.0.flush().await;
            }
            Some(Got { kind: head[3], flags: head[4], stream, payload })
        };
        tokio::time::timeout(3 * PATIENCE, got).await.expect("neither a frame nor the end")
    }

    /// The frames up to the first of this kind, for this stream, which is the last of them.
    async fn until(&mut self, kind: u8, stream: u32) -> Vec<Got> {
        let mut all = Vec::new();
        loop {
            let got = self.next().await.unwrap_or_else(|| panic!("ended after {all:?}"));
            let is_it = (got.kind, got.stream) == (kind, stream);
            all.push(got);
            if is_it {
                return all;
            }
        }
    }
}

fn reason(got: &Got) -> u32 {
    u32::from_be_bytes(got.payload[..4].try_into().unwrap())
}

#[tokio::test]
async fn everything_works_over_http2() {
    let client = Client::start(|_| {}).await;
    let put_it = put("/bkt/one").body("hello").header("x-oss-meta-a", "b").sign(Sign::V4);
    let told = client.call(put_it).await.expect(200);
    assert_eq!(told.must("server"), "Ossia");
    assert_eq!(told.must("content-length"), "0");
    assert_eq!(told.must("x-oss-request-id").len(), 24);
    assert!(told.header("connection").is_none() && told.header("keep-alive").is_none());
    let read = client.call(get("/bkt/one")).await.expect(200);
    assert_eq!((read.text(), read.must("x-oss-meta-a")), ("hello".to_owned(), "b"));
    let seen = client.call(head("/bkt/one")).await.expect(200);
    assert_eq!((seen.must("content-length"), &*seen.body), ("5", &b""[..]));
    let same = get("/bkt/one").header("if-none-match", read.must("etag"));
    assert_eq!(client.call(same).await.expect(304).body, b"");
    client.call(get("/bkt/none")).await.error(404, "NoSuchKey");
    assert_eq!(client.call(head("/bkt/none")).await.expect(404).body, b"");
    let wrong = get("/bkt/one").key(KEY_ID, "wrong");
    client.call(wrong).await.error(403, "SignatureDoesNotMatch");

    let long = "0123456789".repeat(300_000);
    let told = client.call(append("/bkt/log", 0, &long)).await.expect(200);
    assert_eq!(told.must("x-oss-next-append-position"), "3000000");
    // Of no announced length.
    let mut open = append("/bkt/log", 3_000_000, "more").chunked();
    open.headers.retain(|(name, _)| name != "content-length");
    let told = client.call(open).await.expect(200);
    assert_eq!(told.must("x-oss-next-append-position"), "3000004");
    client.call(append("/bkt/log", 7, "x")).await.error(409, "PositionNotEqualToLength");
    let read = client.call(get("/bkt/log")).await.expect(200);
    assert!(read.text() == format!("{long}more"));
    // Refused at once, and read away.
    let refused = put("/none/one").body(&long);
    client.call(refused).await.error(404, "NoSuchBucket");
    client.call(put("/bkt/one").no_body()).await.error(411, "MissingContentLength");
    client.call(delete("/bkt/one")).await.expect(204);
    drop(client.sender);
    assert!(client.fixture.stop().await);
}

#[tokio::test]
async fn more_requests_than_streams_share_a_connection_and_all_are_answered() {
    let client = Client::start(|_| {}).await;
    let mut under_way = JoinSet::new();
    for number in 0..200_usize {
        let body = format!("{number} ").repeat(20_000);
        let (request, feeder) = client.begin(&append(&format!("/bkt/{number}"), 0, &body));
        feeder.send(Bytes::from(body)).unwrap();
        let sender = client.sender.clone();
        under_way.spawn(async move { answer(&sender, request).await.expect(200) });
    }
    assert_eq!(under_way.join_all().await.len(), 200);
    let mut under_way = JoinSet::new();
    for number in 0..200_usize {
        let (request, _) = client.begin(&get(&format!("/bkt/{number}")));
        let sender = client.sender.clone();
        under_way.spawn(async move {
            let read = answer(&sender, request).await.expect(200);
            assert!(read.text() == format!("{number} ").repeat(20_000));
        });
    }
    under_way.join_all().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_refused_while_others_go_on() {
    let client = Client::start(|config| config.limits.body_stall_ms = 500).await;
    let (slow, feeder) = client.begin(&append("/bkt/slow", 0, "0123456789"));
    feeder.send(Bytes::from("01234")).unwrap();
    let sender = client.sender.clone();
    let slow = tokio::spawn(async move { answer(&sender, slow).await });
    let mut length = 0;
    while !slow.is_finished() {
        client.call(append("/bkt/log", length, "x")).await.expect(200);
        length += 1;
    }
    slow.await.unwrap().error(400, "RequestTimeout");
    drop(feeder);
    client.call(append("/bkt/log", length, "x")).await.expect(200);
}

#[tokio::test]
async fn a_stream_whose_client_takes_nothing_is_reset_and_the_connection_goes_on() {
    let (_folder, fixture) = served(|config| config.limits.body_stall_ms = 500).await;
    let mut raw = Raw::open(&fixture).await;
    // The connection's window is wide, those of its streams are not.
    raw.send(&frame(WINDOW_UPDATE, 0, 0, &(16_u32 << 20).to_be_bytes())).await;
    let head = |id, call: Call| {
        let flags =
            if call.body.as_ref().is_some_and(|body| !body.is_empty()) { 0 } else { END_STREAM };
        frame(HEADERS, flags | END_HEADERS, id, &packed(&fixture, &call))
    };
    raw.send(&head(1, put("/bkt/"))).await;
    raw.until(HEADERS, 1).await;
    let body = vec![7; 60_000];
    let position = |at| append("/bkt/log", at, &body);
    for (id, at) in [(3, 0), (5, 60_000)] {
        raw.send(&head(id, position(at))).await;
        for (number, piece) in body.chunks(15_000).enumerate() {
            let flags = if number == 3 { END_STREAM } else { 0 };
            raw.send(&frame(DATA, flags, id, piece)).await;
        }
        raw.until(HEADERS, id).await;
    }
    // 120,000 bytes, of which the window takes 65,535.
    raw.send(&head(7, get("/bkt/log"))).await;
    let frames = raw.until(RESET, 7).await;
    let taken: usize =
        frames.iter().filter(|got| got.kind == DATA).map(|got| got.payload.len()).sum();
    assert_eq!(taken, 65_535);
    assert!(frames.iter().all(|got| got.kind != GOAWAY));
    raw.send(&head(9, get("/bkt/log").header("range", "bytes=0-9"))).await;
    let last = raw.until(DATA, 9).await.pop().unwrap();
    assert_eq!((last.payload, last.flags & END_STREAM), (vec![7; 10], END_STREAM));
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused_and_cost_their_stream_alone() {
    let client = Client::start(|_| {}).await;
    let large = |bytes: usize| get("/bkt/one").header("x-large", "x".repeat(bytes));
    client.call(large(40_000)).await.error(400, "InvalidArgument");
    // More than is kept to tell so nicely.
    let mut huge = get("/bkt/one");
    for number in 0..20 {
        huge = huge.header(&format!("x-large-{number}"), "x".repeat(10_000));
    }
    client.call(huge).await.expect(431);
    client.call(put("/bkt/one").body("x")).await.expect(200);
}

#[tokio::test]
async fn streams_beyond_the_bound_are_refused_and_those_within_go_on() {
    let (_folder, fixture) = served(|_| {}).await;
    let mut raw = Raw::open(&fixture).await;
    let call = append("/bkt/log", 0, "0123456789");
    let head = packed(&fixture, &call);
    raw.ask(&fixture, 1, &put("/bkt/")).await;
    raw.until(HEADERS, 1).await;
    for number in 1..=65 {
        raw.send(&frame(HEADERS, END_HEADERS, 2 * number + 1, &head)).await;
    }
    let frames = raw.until(RESET, 131).await;
    assert_eq!(reason(frames.last().unwrap()), REFUSED_STREAM);
    assert!(frames.iter().all(|got| got.kind != HEADERS), "{frames:?}");
    raw.send(&frame(DATA, END_STREAM, 129, b"0123456789")).await;
    raw.until(HEADERS, 129).await;
    // There is room again.
    raw.ask(&fixture, 133, &get("/bkt/log")).await;
    assert_eq!(raw.until(DATA, 133).await.last().unwrap().payload, b"0123456789");
}

#[tokio::test]
async fn streams_beyond_those_of_all_connections_are_told_so() {
    let (_folder, fixture) = served(|config| config.limits.connections_max = 1).await;
    let mut raw = Raw::open(&fixture).await;
    raw.ask(&fixture, 1, &put("/bkt/")).await;
    assert_eq!(raw.until(HEADERS, 1).await.last().unwrap().payload[0], STATUS_200);
    let head = packed(&fixture, &append("/bkt/log", 0, "0123456789"));
    raw.send(&frame(HEADERS, END_HEADERS, 3, &head)).await;
    raw.ask(&fixture, 5, &get("/bkt/log")).await;
    let told = raw.until(DATA, 5).await.pop().unwrap();
    let told = String::from_utf8(told.payload).unwrap();
    assert_eq!(element(&told, "Code").as_deref(), Some("ServiceUnavailable"), "{told}");
    raw.send(&frame(DATA, END_STREAM, 3, b"0123456789")).await;
    assert_eq!(raw.until(HEADERS, 3).await.last().unwrap().payload[0], STATUS_200);
    raw.ask(&fixture, 7, &get("/bkt/log")).await;
    assert_eq!(raw.until(DATA, 7).await.last().unwrap().payload, b"0123456789");
}

#[tokio::test]
async fn who_begins_requests_only_to_reset_them_is_hung_up_on() {
    let (_folder, fixture) = served(|_| {}).await;
    let raw = Raw::open(&fixture).await;
    let head = packed(&fixture, &append("/bkt/log", 0, "0123456789"));
    let (mut reader, mut writer) = tokio::io::split(raw.0);
    let flood = async {
        for number in 0..1_000_000 {
            let id = 2 * number + 1;
            let mut both = frame(HEADERS, END_HEADERS, id, &head);
            both.extend(frame(RESET, 0, id, &8_u32.to_be_bytes()));
            if writer.write_all(&both).await.is_err() {
                return;
            }
        }
        panic!("it may do so for ever");
    };
    let listen = async {
        let mut bytes = Vec::new();
        let _ = reader.read_to_end(&mut bytes).await;
    };
    tokio::time::timeout(3 * PATIENCE, async {
        tokio::select! {
            () = flood => {}
            () = listen => {}
        }
    })
    .await
    .expect("the end");
}

#[tokio::test]
async fn who_gives_up_requests_that_were_begun_is_hung_up_on_in_the_end() {
    let (_folder, fixture) = served(|_| {}).await;
    let mut raw = Raw::open(&fixture).await;
    let head = packed(&fixture, &append("/bkt/log", 0, "0123456789"));
    let (mut begun, mut asked) = (0, Vec::new());
    for number in 0..1_500_u32 {
        let id = 2 * number + 1;
        asked.extend(frame(HEADERS, END_HEADERS, id, &head));
        // Answered when what came before it has been looked at.
        asked.extend(frame(PING, 0, 0, &u64::from(number).to_be_bytes()));
        if raw.0.write_all(&asked).await.is_err() || raw.0.flush().await.is_err() {
            break;
        }
        let answered = loop {
            match raw.next().await {
                Some(got) if got.kind == PING && got.flags & ACK != 0 => break true,
                Some(got) if got.kind == GOAWAY => break false,
                Some(_) => {}
                None => break false,
            }
        };
        if !answered {
            break;
        }
        asked = frame(RESET, 0, id, &8_u32.to_be_bytes());
        begun = number;
    }
    assert!((900..1_200).contains(&begun), "hung up on after {begun}");
}

#[tokio::test]
async fn a_head_that_does_not_end_and_a_connection_without_requests_are_closed() {
    let (_folder, fixture) = served(|config| {
        config.limits.head_read_ms = 500;
        config.limits.idle_ms = 1_000;
    })
    .await;
    let mut slow = Raw::open(&fixture).await;
    slow.send(&frame(HEADERS, 0, 1, b"")).await;
    while let Some(got) = slow.next().await {
        assert_ne!(got.kind, HEADERS);
    }
    let mut idle = Raw::open(&fixture).await;
    idle.until(GOAWAY, 0).await;
    while idle.next().await.is_some() {}
    // One that had a request is without any again.
    let mut used = Raw::open(&fixture).await;
    used.ask(&fixture, 1, &get("/bkt/")).await;
    used.until(HEADERS, 1).await;
    used.until(GOAWAY, 0).await;
    while used.next().await.is_some() {}
}

#[tokio::test]
async fn a_connection_serves_any_number_of_requests_that_wait_for_their_answers() {
    let client = Client::start(|_| {}).await;
    client.call(append("/bkt/log", 0, "x")).await.expect(200);
    for _ in 0..1_100 {
        client.call(head("/bkt/log")).await.expect(200);
    }
}

#[tokio::test]
async fn a_server_that_stops_finishes_the_streams_that_it_has() {
    let (_folder, fixture) = served(|_| {}).await;
    let mut raw = Raw::open(&fixture).await;
    raw.ask(&fixture, 1, &put("/bkt/")).await;
    raw.until(HEADERS, 1).await;
    let head = packed(&fixture, &append("/bkt/log", 0, "0123456789"));
    raw.send(&frame(HEADERS, END_HEADERS, 3, &head)).await;
    raw.send(&frame(DATA, 0, 3, b"01234")).await;
    // Begun after the other, so that one has begun when this is answered.
    raw.ask(&fixture, 5, &get("/_ossia/health").anonymous()).await;
    raw.until(DATA, 5).await;
    let stopped = tokio::spawn(fixture.stop());
    raw.until(GOAWAY, 0).await;
    raw.send(&frame(DATA, END_STREAM, 3, b"56789")).await;
    assert_eq!(raw.until(HEADERS, 3).await.last().unwrap().payload[0], STATUS_200);
    while raw.next().await.is_some() {}
    assert!(stopped.await.unwrap());
}

#[tokio::test]
async fn http2_can_be_left_out() {
    let (_folder, fixture) = served(|config| config.tls.http2 = false).await;
    let stream = tls::connect_with(&fixture, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}
