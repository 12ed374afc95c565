//! Overload and abuse: what one client, or very many, cannot do to the others.

use std::{collections::BTreeMap, time::Duration};

use ossia_server::config::Config;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::drive::*;

/// What is waited for comes in time, however busy the machine is.
const AT_LAST: Duration = Duration::from_secs(60);

async fn with(change: impl FnOnce(&mut Config)) -> Fixture {
    let fixture = Fixture::with(|config| {
        config.metrics.listen = "127.0.0.1:0".to_owned();
        change(config);
    })
    .await;
    fixture.make_bucket("bkt").await;
    fixture
}

async fn figures(fixture: &Fixture) -> BTreeMap<String, u64> {
    let mut socket = TcpStream::connect(fixture.metrics_address().unwrap()).await.unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(AT_LAST, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
        .lines()
        .filter(|line| line.starts_with("ossia_"))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// Waits until the figures are as wanted.
async fn until(fixture: &Fixture, what: &str, wanted: impl Fn(&BTreeMap<String, u64>) -> bool) {
    let looked = timeout(AT_LAST, async {
        while !wanted(&figures(fixture).await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(looked.await.is_ok(), "{what}: {:?}", figures(fixture).await);
}

/// Nothing is left of clients that have gone.
async fn until_all_is_given_back(fixture: &Fixture) {
    until(fixture, "all is given back", |told| {
        ["connections", "requests", "upload_reserved_bytes", "download_reserved_bytes"]
            .iter()
            .all(|name| told[&format!("ossia_{name}")] == 0)
    })
    .await;
}

#[tokio::test]
async fn what_the_parser_refuses_is_answered_in_the_form_of_every_error() {
    let fixture = with(|_| {}).await;
    let header = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(300 << 10));
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(600));
    let target = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70 << 10));
    let cases = [
        ("nonsense\r\n\r\n", "InvalidRequest"),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n", "InvalidRequest"),
        ("GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", "InvalidRequest"),
        ("PUT / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "InvalidRequest"),
        ("POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", "InvalidRequest"),
        ("\x16\x03\x01\x02\x00\x01\x00", "InvalidRequest"),
        (&header, "InvalidArgument"),
        (&headers, "InvalidArgument"),
        (&target, "InvalidArgument"),
    ];
    for (wire, code) in &cases {
        // As the first request, and as one of a connection that has served another.
        for used in [false, true] {
            let mut connection = fixture.connect().await;
            if used {
                connection.call(&fixture, get("/bkt/")).await.expect(200);
            }
            // The server may answer before all has been sent.
            let _ = connection.stream.write_all(wire.as_bytes()).await;
            let refused = connection.response(false).await.error(400, code);
            assert_eq!(refused.must("connection"), "close");
            assert_eq!(refused.must("x-oss-request-id").len(), 24);
            refused.must("date");
            let _ = connection.stream.shutdown().await;
            assert!(connection.until_closed().await.is_empty(), "one answer");
        }
    }
    assert_eq!(figures(&fixture).await["ossia_malformed_requests_total"], 2 * cases.len() as u64);
    until_all_is_given_back(&fixture).await;
}

#[tokio::test]
async fn object_bytes_that_look_like_a_refusal_are_left_alone() {
    let fixture = with(|_| {}).await;
    let body = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".repeat(20_000);
    fixture.call(put("/bkt/key").body(&body)).await.expect(200);
    let mut connection = fixture.connect().await;
    // The next head is there, and broken, before the answer has gone.
    connection.send(get("/bkt/key").head_bytes(&fixture)).await;
    connection.send("nonsense\r\n\r\n").await;
    let answer = connection.response(false).await.expect(200);
    assert!(answer.body == body.as_bytes(), "the object's own bytes");
    let rest = String::from_utf8(connection.until_closed().await).unwrap();
    assert!(rest.starts_with("HTTP/1.1 400 "), "{rest}");
}

#[tokio::test]
async fn an_address_with_its_share_of_connections_is_told_so() {
    let fixture = with(|config| {
        config.limits.trusted = Vec::new();
        config.limits.connections_per_address = 2;
    })
    .await;
    until_all_is_given_back(&fixture).await;
    let mut first = fixture.connect().await;
    first.call(&fixture, get("/bkt/")).await.expect(200);
    let mut second = fixture.connect().await;
    second.call(&fixture, get("/bkt/")).await.expect(200);
    let mut third = fixture.connect().await;
    third.send(get("/bkt/").head_bytes(&fixture)).await;
    let refused = third.response(false).await.error(503, "ServiceUnavailable");
    assert_eq!(refused.must("connection"), "close");
    refused.must("retry-after").parse::<u32>().unwrap();
    assert_eq!(figures(&fixture).await["ossia_connection_refusals_total"], 1);
    first.call(&fixture, get("/bkt/")).await.expect(200);
    drop((first, third));
    until(&fixture, "one has gone", |told| told["ossia_connections"] == 1).await;
    fixture.connect().await.call(&fixture, get("/bkt/")).await.expect(200);
}

#[tokio::test]
async fn a_trusted_address_has_no_bound_of_its_own() {
    let fixture = with(|config| {
        config.limits.connections_per_address = 1;
        config.limits.requests_per_address = 1;
        config.limits.body_bytes_per_address = 4096;
    })
    .await;
    let mut kept = Vec::new();
    for _ in 0..5 {
        let mut connection = fixture.connect().await;
        let call = put("/bkt/key").header("content-length", "5000");
        connection.send(call.header("expect", "100-continue").head_bytes(&fixture)).await;
        assert_eq!(connection.response(false).await.status, 100);
        kept.push(connection);
    }
}

#[tokio::test]
async fn requests_beyond_the_bound_are_refused_and_the_health_check_is_not() {
    type Change = fn(&mut Config);
    let all: Change = |config| config.limits.requests_max = 1;
    let own: Change = |config| {
        config.limits.trusted = Vec::new();
        config.limits.requests_per_address = 1;
    };
    for change in [all, own] {
        let fixture = with(change).await;
        let mut holder = fixture.connect().await;
        let call = append("/bkt/log", 0, "hello").header("expect", "100-continue");
        holder.send(call.head_bytes(&fixture)).await;
        assert_eq!(holder.response(false).await.status, 100);
        let refused = fixture.call(get("/bkt/")).await.error(503, "ServiceUnavailable");
        refused.must("retry-after").parse::<u32>().unwrap();
        assert_eq!(figures(&fixture).await["ossia_request_refusals_total"], 1);
        fixture.call(get("/_ossia/health").anonymous()).await.expect(200);
        holder.send("hello").await;
        holder.response(false).await.expect(200);
        fixture.call(get("/bkt/")).await.expect(200);
    }
}

#[tokio::test]
async fn an_address_with_its_share_of_body_bytes_waits_and_is_refused() {
    let fixture = with(|config| {
        config.limits.trusted = Vec::new();
        config.limits.body_bytes_per_address = 70_000;
        config.limits.body_wait_ms = 50;
        config.limits.body_lull_ms = 3_600_000;
    })
    .await;
    let mut holder = fixture.connect().await;
    let call = put("/bkt/slow").header("content-length", "60000").header("expect", "100-continue");
    holder.send(call.head_bytes(&fixture)).await;
    assert_eq!(holder.response(false).await.status, 100);
    let other = || append("/bkt/log", 0, vec![b'x'; 20_000]);
    fixture.call(other()).await.error(503, "ServiceUnavailable");
    fixture.call(get("/bkt/")).await.expect(200);
    drop(holder);
    until_all_is_given_back(&fixture).await;
    fixture.call(other()).await.expect(200);
}

#[tokio::test]
async fn with_little_room_a_body_that_trickles_is_as_good_as_one_that_stands_still() {
    let fixture = with(|config| {
        // Its own request is half of them.
        config.limits.requests_max = 2;
        config.limits.body_rate = 100_000;
        config.limits.body_rate_ms = 100;
    })
    .await;
    let mut connection = fixture.connect().await;
    let call = put("/bkt/key").header("content-length", "100000");
    connection.send(call.head_bytes(&fixture)).await;
    let trickle = async {
        while connection.stream.write_all(b"x").await.is_ok() {
            if timeout(Duration::from_millis(10), connection.stream.readable()).await.is_ok() {
                break;
            }
        }
    };
    timeout(AT_LAST, trickle).await.expect("it is cut in the end");
    connection.response(false).await.error(400, "RequestTimeout");
    fixture.call(head("/bkt/key")).await.expect(404);
}

#[tokio::test]
async fn a_live_feed_may_trickle_while_there_is_room() {
    let fixture = with(|config| {
        config.limits.body_rate = 1 << 30;
        config.limits.body_rate_ms = 10;
    })
    .await;
    let mut connection = fixture.connect().await;
    let call = append("/bkt/feed", 0, "").header("content-length", "20");
    connection.send(call.head_bytes(&fixture)).await;
    for _ in 0..20 {
        connection.send("x").await;
        // Each byte comes by itself, and after more than the time that the rate is looked at.
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    connection.response(false).await.expect(200);
}

#[tokio::test]
async fn the_rest_of_a_refused_body_is_not_taken_for_a_head() {
    let fixture = with(|config| config.limits.heads_bytes = 1 << 20).await;
    let mut connection = fixture.connect().await;
    let length = 8 << 20;
    let call = append("/bkt/log", 5, "").header("content-length", length.to_string());
    connection.send(call.head_bytes(&fixture)).await;
    // What is there already is read away before the answer: the rest must come after it.
    connection.response(false).await.error(409, "PositionNotEqualToLength");
    let piece = vec![b'x'; 256 << 10];
    for _ in 0..length / piece.len() {
        connection.send(&piece).await;
    }
    connection.call(&fixture, get("/bkt/")).await.expect(200);
}

#[tokio::test]
async fn a_request_may_last_no_longer_than_its_bound() {
    let fixture = with(|config| config.limits.request_ms = 100).await;
    let mut connection = fixture.connect().await;
    let call = put("/bkt/key").header("content-length", "1000");
    connection.send(call.head_bytes(&fixture)).await;
    assert!(connection.until_closed().await.is_empty());
    until_all_is_given_back(&fixture).await;
}

#[tokio::test]
async fn stalled_long_uploads_leave_room_for_others_and_can_still_finish() {
    // Three quarters of a MiB for long ones: room for not even one at its whole size.
    let fixture = with(|config| {
        config.limits.body_bytes = 1 << 20;
        config.limits.body_lull_ms = 20;
        config.limits.body_wait_ms = 60_000;
    })
    .await;
    let body: Vec<u8> = (0..2_u32 << 20).map(|at| (at % 251) as u8).collect();
    let mut stalled = Vec::new();
    for number in 0..9 {
        let mut connection = fixture.connect().await;
        let length = body.len().to_string();
        let call = match number % 2 {
            0 => put(&format!("/bkt/{number}")),
            _ => append(&format!("/bkt/{number}"), 0, ""),
        };
        let call = call.header("content-length", length);
        connection.send(call.head_bytes(&fixture)).await;
        connection.send(&body[..200_000]).await;
        stalled.push(connection);
        // It keeps what a slow one needs.
        let most = 64 << 10;
        until(&fixture, "it gives back", |told| {
            told["ossia_requests"] == number + 1
                && told["ossia_upload_reserved_bytes"] <= (number + 1) * most
        })
        .await;
    }
    fixture.call(append("/bkt/log", 0, &body)).await.expect(200);
    for (number, connection) in stalled.iter_mut().enumerate() {
        for piece in body[200_000..].chunks(300_000) {
            connection.send(piece).await;
        }
        connection.response(false).await.expect(200);
        let stored = fixture.call(get(&format!("/bkt/{number}"))).await.expect(200);
        assert!(stored.body == body, "{number}");
    }
    assert!(fixture.call(get("/bkt/log")).await.expect(200).body == body);
    drop(stalled);
    until_all_is_given_back(&fixture).await;
}

#[tokio::test]
async fn many_slow_readers_read_in_smaller_pieces_rather_than_not_at_all() {
    let fixture = with(|config| {
        config.limits.download_bytes = 4 << 20;
        config.limits.body_wait_ms = 50;
    })
    .await;
    // Of two kinds: in one blob, and in many small extents.
    let body: Vec<u8> = (0..8_u32 << 20).map(|at| (at % 249) as u8).collect();
    fixture.call(put("/bkt/one").body(&body)).await.expect(200);
    let mut position = 0;
    for piece in body[..1 << 20].chunks(50_000) {
        fixture.call(append("/bkt/many", position, piece)).await.expect(200);
        position += piece.len() as u64;
    }
    let mut readers = Vec::new();
    for number in 0..10 {
        let key = if number % 2 == 0 { "/bkt/one" } else { "/bkt/many" };
        let mut reader = fixture.connect().await;
        reader.send(get(key).head_bytes(&fixture)).await;
        reader.stream.readable().await.unwrap();
        readers.push((reader, key));
    }
    for (mut reader, key) in readers {
        let answer = reader.response(false).await.expect(200);
        let wanted = if key == "/bkt/one" { body.len() } else { 1 << 20 };
        assert!(answer.body == body[..wanted], "{key}");
    }
    until_all_is_given_back(&fixture).await;
}

#[tokio::test]
async fn long_listings_share_the_room_of_downloads() {
    let fixture = with(|config| {
        config.limits.download_bytes = 1 << 20;
        config.limits.body_wait_ms = 50;
    })
    .await;
    for number in 0..300 {
        fixture.call(put(&format!("/bkt/{number:0>500}"))).await.expect(200);
    }
    let all = || get("/bkt/?max-keys=1000");
    let whole = fixture.call(all()).await.expect(200);
    assert_eq!(whole.text().matches("<Key>").count(), 300, "a long one comes whole");
    until_all_is_given_back(&fixture).await;
    fixture.call(put("/bkt/long").body(vec![b'x'; 16 << 20])).await.expect(200);
    let mut reader = fixture.connect().await;
    reader.send(get("/bkt/long").head_bytes(&fixture)).await;
    reader.stream.readable().await.unwrap();
    let refused = fixture.call(all()).await.error(503, "ServiceUnavailable");
    refused.must("retry-after").parse::<u32>().unwrap();
    fixture.call(get("/bkt/?max-keys=10")).await.expect(200);
    drop(reader);
    until_all_is_given_back(&fixture).await;
    fixture.call(all()).await.expect(200);
}

#[tokio::test]
async fn the_idle_make_room_when_there_are_as_many_connections_as_there_may_be() {
    let fixture = with(|config| {
        config.limits.connections_max = 3;
        config.limits.idle_crowded_ms = 50;
    })
    .await;
    let mut silent = Vec::new();
    for beginning in ["", "GET / HT", ""] {
        let mut connection = fixture.connect().await;
        connection.send(beginning).await;
        silent.push(connection);
    }
    // None of them would have gone for half a minute.
    let mut connection = fixture.connect().await;
    connection.send(get("/bkt/").head_bytes(&fixture)).await;
    let answered = timeout(AT_LAST, connection.stream.readable()).await;
    answered.expect("it has its turn").unwrap();
    connection.response(false).await.expect(200);
}

#[tokio::test]
async fn heads_that_never_end_fill_no_more_memory_than_they_may() {
    let fixture = with(|config| config.limits.heads_bytes = 1 << 20).await;
    let mut open = Vec::new();
    let mut cut = false;
    for _ in 0..60 {
        let mut connection = fixture.connect().await;
        connection.send("GET /bkt/ HTTP/1.1\r\n").await;
        for _ in 0..16 {
            tokio::task::yield_now().await;
            cut |= connection.stream.write_all("x: y\r\n".repeat(600).as_bytes()).await.is_err();
        }
        open.push(connection);
    }
    for connection in &mut open {
        let mut byte = [0; 1];
        let gone = timeout(Duration::from_millis(1), connection.stream.read(&mut byte)).await;
        cut |= matches!(gone, Ok(Ok(0) | Err(_)));
    }
    assert!(cut, "3 MiB of heads were kept");
    fixture.call(get("/bkt/")).await.expect(200);
    drop(open);
    until_all_is_given_back(&fixture).await;
}

#[tokio::test]
async fn nothing_is_left_of_clients_that_did_all_sorts_of_things_and_went() {
    let fixture = with(|config| {
        config.limits.body_lull_ms = 20;
        config.limits.drain_ms = 200;
    })
    .await;
    fixture.call(put("/bkt/key").body(vec![b'x'; 4 << 20])).await.expect(200);
    let long = || put("/bkt/long").header("content-length", (3 << 20).to_string());
    let alone = |call: Call| call.head_bytes(&fixture);
    let joined = |call: Call, more: &[u8]| [alone(call).as_slice(), more].concat();
    let wires: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"GET / HTTP/1.1\r\nhost".to_vec(),
        b"\r\n\r\n\r\n".to_vec(),
        b"GET /bkt/key HTTP/1.0\r\n\r\n".to_vec(),
        vec![0xff; 5_000],
        alone(long()),
        joined(long(), &[b'x'; 500_000]),
        alone(long().header("expect", "100-continue")),
        joined(append("/bkt/log", 0, "").chunked(), b"5;ext=1\r\nhe"),
        joined(append("/bkt/log", 0, "").chunked(), &[b"5;".as_slice(), &[b'x'; 100_000]].concat()),
        joined(append("/bkt/log", 0, "").chunked(), &b"1\r\nx\r\n".repeat(5_000)),
        joined(append("/bkt/log", 0, "").chunked(), b"00000000000000000000000000000005\r\nhello"),
        joined(put("/bkt/lie").header("content-length", "18446744073709551615"), b"x"),
        joined(put("/bkt/lie").header("content-length", "99999999999999999999"), b"x"),
        alone(get("/bkt/key")),
        alone(get("/bkt/key")).repeat(20),
        alone(get("/bkt/key").anonymous()).repeat(20),
        alone(post("/bkt/?delete").header("content-length", "1000")),
    ];
    let mut clients = Vec::new();
    for wire in wires.iter().cycle().take(10 * wires.len()) {
        let mut connection = fixture.connect().await;
        // Some are refused before all has been sent.
        let _ = connection.stream.write_all(wire).await;
        clients.push(connection);
    }
    fixture.call(append("/bkt/good", 0, vec![b'x'; 1 << 20])).await.expect(200);
    fixture.call(get("/bkt/good")).await.expect(200);
    drop(clients);
    until_all_is_given_back(&fixture).await;
    fixture.call(head("/bkt/long")).await.expect(404);
    fixture.call(head("/bkt/lie")).await.expect(404);
    assert!(fixture.stop().await);
}
