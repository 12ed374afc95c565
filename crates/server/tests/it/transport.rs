//! HTTP itself: framing, kept connections, time-outs, limits, and what every answer carries.

use std::time::{Duration, Instant};

use ossia_server::config::Config;

use crate::drive::*;

fn short_limits(config: &mut Config) {
    config.limits.body_stall_ms = 150;
    config.limits.idle_ms = 300;
    config.limits.head_read_ms = 200;
}

async fn with_limits(change: impl FnOnce(&mut Config)) -> Fixture {
    let fixture = Fixture::with(change).await;
    fixture.make_bucket("bkt").await;
    fixture
}

#[tokio::test]
async fn every_answer_carries_id_date_server_and_time_under_lower_case_names() {
    let fixture = Fixture::with_bucket().await;
    let mut ids = std::collections::HashSet::new();
    for call in [
        get("/"),
        get("/bkt/none"),
        head("/bkt/none"),
        put("/bkt/key").body("x"),
        delete("/bkt/key"),
        get("/bkt/").anonymous(),
        get("/_ossia/health").anonymous(),
        call("BREW", "/bkt/key"),
        get("/bkt/?uploads"),
        get("/bkt/key?append"),
    ] {
        let answer = fixture.call(call).await;
        let id = answer.must("x-oss-request-id").to_owned();
        assert_eq!(id.len(), 24);
        assert!(id.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)), "{id}");
        assert!(id.starts_with(&format!("{NOW:08X}")), "{id}");
        assert!(ids.insert(id), "an id came twice");
        assert_eq!(answer.must("server"), "Ossia");
        assert_eq!(answer.must("date"), "Thu, 15 Jan 2026 08:30:45 GMT");
        assert_eq!(answer.must("connection"), "keep-alive");
        answer.must("x-oss-server-time").parse::<u64>().unwrap();
        for (name, _) in &answer.headers {
            assert_eq!(*name, name.to_ascii_lowercase());
        }
    }
}

#[tokio::test]
async fn a_connection_is_kept_and_closed_as_the_client_asks() {
    let fixture = Fixture::with_bucket().await;
    let mut connection = fixture.connect().await;
    for position in 0..5 {
        connection.call(&fixture, append("/bkt/log", position, "x")).await.expect(200);
    }
    let last = connection.call(&fixture, get("/bkt/log").header("connection", "close")).await;
    assert_eq!(last.must("connection"), "close");
    assert_eq!(last.text(), "xxxxx");
    assert!(connection.until_closed().await.is_empty());
    // HTTP/1.0 without Host: path style, closed, no keep-alive.
    let mut old = fixture.connect().await;
    old.send("GET /_ossia/health HTTP/1.0\r\n\r\n").await;
    let text = String::from_utf8(old.until_closed().await).unwrap();
    assert!(text.starts_with("HTTP/1.0 200"), "{text}");
    assert!(!text.contains("keep-alive"), "{text}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let fixture = Fixture::with_bucket().await;
    let mut connection = fixture.connect().await;
    let mut bytes = Vec::new();
    for position in 0..3 {
        let call = append("/bkt/log", position, "x");
        bytes.extend(call.head_bytes(&fixture));
        bytes.extend(call.body_bytes());
    }
    connection.send(bytes).await;
    for next in 1..=3 {
        let answer = connection.response(false).await.expect(200);
        assert_eq!(answer.must("x-oss-next-append-position"), next.to_string());
    }
}

#[tokio::test]
async fn a_refused_body_leaves_the_connection_in_step() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    let mut connection = fixture.connect().await;
    let wrong = |size: usize| append("/bkt/log", 99, vec![b'x'; size]);
    for call in [
        wrong(10),
        wrong(10).chunked(),
        wrong(300_000),
        wrong(300_000).chunked(),
        wrong(8 << 20),
        append("/none/log", 0, vec![b'x'; 1 << 20]),
        wrong(1 << 20).key(KEY_ID, "wrong"),
    ] {
        let answer = connection.call(&fixture, call).await;
        assert!(answer.status >= 400);
        assert_eq!(answer.must("connection"), "keep-alive");
        let next = connection.call(&fixture, get("/bkt/log")).await.expect(200);
        assert_eq!(next.text(), "hello");
    }
}

#[tokio::test]
async fn the_answer_to_a_refused_body_comes_before_the_body_has_been_sent() {
    let fixture = Fixture::with_bucket().await;
    let call = append("/bkt/log", 7, vec![b'x'; 1 << 20]);
    let mut connection = fixture.connect().await;
    connection.send(call.head_bytes(&fixture)).await;
    connection.response(false).await.error(409, "PositionNotEqualToLength");
    connection.send(call.body_bytes()).await;
    connection.call(&fixture, get("/bkt/")).await.expect(200);
}

#[tokio::test]
async fn a_refused_body_beyond_the_bounds_of_draining_closes_the_connection() {
    let fixture = with_limits(|config| config.limits.drain_bytes = 1 << 20).await;
    let call = append("/bkt/log", 7, "").header("content-length", (2 << 20).to_string());
    let mut connection = fixture.connect().await;
    connection.send(call.head_bytes(&fixture)).await;
    let refused = connection.response(false).await.error(409, "PositionNotEqualToLength");
    assert_eq!(refused.must("connection"), "close");
    // Of a chunked body the length is not known: it is cut where the bound is reached.
    let fixture = with_limits(|config| config.limits.drain_ms = 50).await;
    let mut connection = fixture.connect().await;
    connection.send(append("/bkt/log", 7, "").chunked().head_bytes(&fixture)).await;
    connection.response(false).await.error(409, "PositionNotEqualToLength");
    connection.until_closed().await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_or_the_refusal() {
    let fixture = Fixture::with_bucket().await;
    let call = append("/bkt/log", 0, "hello").header("expect", "100-continue");
    let mut connection = fixture.connect().await;
    connection.send(call.head_bytes(&fixture)).await;
    assert_eq!(connection.response(false).await.status, 100);
    connection.send(call.body_bytes()).await;
    connection.response(false).await.expect(200);
    connection.call(&fixture, get("/bkt/log")).await.expect(200);

    // The same again is refused: no 100, and the client must not send its body.
    connection.send(call.head_bytes(&fixture)).await;
    let refused = connection.response(false).await.error(409, "PositionNotEqualToLength");
    assert_eq!(refused.must("connection"), "close");
    // A client that does not wait is answered all the same.
    let call = append("/bkt/log", 5, " world").header("expect", "100-continue");
    let mut eager = fixture.connect().await;
    let mut bytes = call.head_bytes(&fixture);
    bytes.extend(call.body_bytes());
    eager.send(bytes).await;
    let first = eager.response(false).await;
    let last = if first.status == 100 { eager.response(false).await } else { first };
    last.expect(200);
    assert_eq!(fixture.call(get("/bkt/log")).await.text(), "hello world");
}

#[tokio::test]
async fn a_get_that_announces_a_body_and_sends_none_is_answered_without_waiting() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key").body("hello")).await.expect(200);
    for call in [get("/bkt/key"), head("/bkt/key"), delete("/bkt/other")] {
        let to_head = call.method == "HEAD";
        let started = Instant::now();
        let mut connection = fixture.connect().await;
        let call = call.header("content-length", "9");
        connection.send(call.head_bytes(&fixture)).await;
        let answer = connection.response(to_head).await;
        assert!(answer.status < 300);
        assert_eq!(answer.must("connection"), "close");
        assert!(started.elapsed() < Duration::from_secs(3));
    }
    // One that does send it keeps its connection.
    let mut connection = fixture.connect().await;
    for _ in 0..3 {
        let answer = connection.call(&fixture, get("/bkt/key").body("123456789")).await;
        assert_eq!(answer.expect(200).text(), "hello");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_told_and_stores_nothing() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    let sized = |target: &str| append(target, 5, "").header("content-length", "1000");
    let put_sized = put("/bkt/key").header("content-length", "600000");
    for (call, sent) in [
        (sized("/bkt/log"), "part".to_owned()),
        (put_sized, "x".repeat(300_000)),
        (append("/bkt/log", 5, "").chunked(), "5\r\npart".to_owned()),
        (append("/bkt/log", 5, "").chunked(), "4\r\npart\r\n".to_owned()),
    ] {
        let mut connection = fixture.connect().await;
        connection.send(call.head_bytes(&fixture)).await;
        connection.send(sent).await;
        connection.finish().await;
        connection.response(false).await.error(400, "IncompleteBody");
        connection.until_closed().await;
    }
    // The connection is torn down: nobody hears the error, and nothing is stored either.
    for _ in 0..3 {
        let mut connection = fixture.connect().await;
        connection.send(sized("/bkt/log").head_bytes(&fixture)).await;
        connection.send("part").await;
        drop(connection);
    }
    let log = fixture.call(get("/bkt/log")).await.expect(200);
    assert_eq!(log.text(), "hello");
    fixture.call(head("/bkt/key")).await.expect(404);
    // Nobody holds the object: the next append goes through.
    fixture.call(append("/bkt/log", 5, "!")).await.expect(200);
}

#[tokio::test]
async fn bytes_beyond_the_announced_length_are_no_part_of_the_object() {
    let fixture = Fixture::with_bucket().await;
    let mut connection = fixture.connect().await;
    let call = append("/bkt/log", 0, "hello");
    let mut bytes = call.head_bytes(&fixture);
    bytes.extend(b"hello and more\r\n\r\n");
    connection.send(bytes).await;
    let answer = connection.response(false).await.expect(200);
    assert_eq!(answer.must("x-oss-next-append-position"), "5");
    connection.until_closed().await;
    assert_eq!(fixture.call(get("/bkt/log")).await.text(), "hello");
}

#[tokio::test]
async fn chunks_that_make_no_sense_are_refused() {
    let fixture = Fixture::with_bucket().await;
    for wire in ["zz\r\nabc\r\n0\r\n\r\n", "3\r\nabcdef\r\n0\r\n\r\n", "ffffffffffffffffff\r\n"] {
        let mut connection = fixture.connect().await;
        let call = append("/bkt/log", 0, "").chunked();
        connection.send(call.head_bytes(&fixture)).await;
        connection.send(wire).await;
        let refused = connection.response(false).await.error(400, "IncompleteBody");
        assert_eq!(refused.must("connection"), "close");
        connection.until_closed().await;
    }
    fixture.call(head("/bkt/log")).await.expect(404);
}

#[tokio::test]
async fn what_a_proxy_may_read_otherwise_is_refused() {
    let fixture = Fixture::with_bucket().await;
    let chunks = "3\r\nabc\r\n0\r\n\r\n";
    for codings in [&["gzip, chunked"][..], &["chunked", "chunked"], &["gzip", "chunked"]] {
        let mut call = append("/bkt/log", 0, "").no_body();
        for coding in codings {
            call = call.header("transfer-encoding", coding);
        }
        let mut connection = fixture.connect().await;
        connection.send(call.head_bytes(&fixture)).await;
        connection.send(chunks).await;
        let refused = connection.response(false).await.error(400, "NotImplemented");
        assert_eq!(refused.element("Header").as_deref(), Some("Transfer-Encoding"));
        connection.call(&fixture, get("/bkt/")).await.expect(200);
    }
    fixture.call(head("/bkt/log")).await.expect(404);
    let two_hosts = get("/bkt/").header("host", "other.localhost");
    fixture.call(two_hosts).await.error(400, "InvalidArgument");
    let call = append("/bkt/log", 0, "").no_body().header("transfer-encoding", "Chunked");
    let mut connection = fixture.connect().await;
    connection.send(call.head_bytes(&fixture)).await;
    connection.send(chunks).await;
    connection.response(false).await.expect(200);
}

#[tokio::test]
async fn a_stalled_body_times_out_and_stores_nothing() {
    let fixture = with_limits(short_limits).await;
    for call in [
        append("/bkt/log", 0, "").header("content-length", "1000"),
        put("/bkt/key").header("content-length", "1000"),
        append("/bkt/log", 0, "").chunked(),
        post("/bkt/?delete").header("content-length", "1000"),
    ] {
        let mut connection = fixture.connect().await;
        connection.send(call.head_bytes(&fixture)).await;
        connection.send("5\r\npart").await;
        let refused = connection.response(false).await.error(400, "RequestTimeout");
        assert_eq!(refused.must("connection"), "close");
    }
    fixture.call(head("/bkt/log")).await.expect(404);
    fixture.call(head("/bkt/key")).await.expect(404);
}

#[tokio::test]
async fn a_slow_body_that_keeps_moving_is_taken() {
    let fixture = with_limits(short_limits).await;
    let mut connection = fixture.connect().await;
    let call = append("/bkt/log", 0, "").header("content-length", "10");
    connection.send(call.head_bytes(&fixture)).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        connection.send("x").await;
    }
    connection.response(false).await.expect(200);
}

#[tokio::test]
async fn idle_connections_and_slow_heads_are_closed() {
    let fixture = with_limits(short_limits).await;
    let started = Instant::now();
    let mut idle = fixture.connect().await;
    let mut head_only = fixture.connect().await;
    head_only.send("GET / HT").await;
    let mut used = fixture.connect().await;
    used.call(&fixture, get("/bkt/")).await.expect(200);
    assert!(idle.until_closed().await.is_empty());
    assert!(head_only.until_closed().await.is_empty());
    assert!(used.until_closed().await.is_empty());
    assert!(started.elapsed() >= Duration::from_millis(190));
}

#[tokio::test]
async fn oversized_heads_are_told_with_an_id() {
    let fixture = Fixture::with_bucket().await;
    let uri = get(&format!("/bkt/?prefix={}", "x".repeat(8 << 10)));
    fixture.call(uri).await.error(400, "InvalidArgument");
    let one = get("/bkt/").header("x-big", "x".repeat(33 << 10));
    fixture.call(one).await.error(400, "InvalidArgument");
    let mut many = get("/bkt/");
    for i in 0..400 {
        many = many.header(&format!("x-header-{i}"), "x".repeat(90));
    }
    fixture.call(many).await.error(400, "InvalidArgument");
    // Far beyond: turned away by the parser, and closed.
    let huge = get("/bkt/").header("x-big", "x".repeat(1 << 20));
    let mut connection = fixture.connect().await;
    let bytes = huge.head_bytes(&fixture);
    use tokio::io::AsyncWriteExt as _;
    let _ = connection.stream.write_all(&bytes).await;
    let answer = String::from_utf8(connection.until_closed().await).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    fixture.call(get("/bkt/").header("x-big", "x".repeat(30 << 10))).await.expect(200);
}

#[tokio::test]
async fn the_limits_of_heads_are_settings() {
    let fixture = with_limits(|config| {
        config.limits.header_bytes = 4 << 10;
        config.limits.uri_bytes = 1 << 10;
    })
    .await;
    let uri = get(&format!("/bkt/?prefix={}", "x".repeat(1020)));
    fixture.call(uri).await.error(400, "InvalidArgument");
    let header = get("/bkt/").header("x-big", "x".repeat(4 << 10));
    fixture.call(header).await.error(400, "InvalidArgument");
}

#[tokio::test]
async fn what_is_no_http_is_closed() {
    let fixture = Fixture::with_bucket().await;
    for noise in [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
        "GET /%<> HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut connection = fixture.connect().await;
        connection.send(noise).await;
        connection.finish().await;
        let answer = connection.until_closed().await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{noise:?}: {answer}");
    }
    fixture.call(get("/bkt/")).await.expect(200);
}

#[tokio::test]
async fn a_client_that_closes_its_sending_half_is_still_answered() {
    let fixture = Fixture::with_bucket().await;
    // Slow enough that the server sees the end of the stream while it works.
    let slow = append("/bkt/slow", 0, vec![b'x'; 8 << 10]).header("x-oss-traffic-limit", "245760");
    for call in [append("/bkt/log", 0, "hello"), slow] {
        let mut connection = fixture.connect().await;
        let mut bytes = call.head_bytes(&fixture);
        bytes.extend(call.body_bytes());
        connection.send(bytes).await;
        connection.finish().await;
        connection.response(false).await.expect(200);
        connection.until_closed().await;
    }
}

#[tokio::test]
async fn a_full_account_of_body_bytes_answers_503_with_a_time_to_retry() {
    let fixture = with_limits(|config| {
        config.limits.body_bytes = 1 << 20;
        config.limits.body_bytes_each = 1 << 20;
        config.limits.body_wait_ms = 50;
    })
    .await;
    let mut holder = fixture.connect().await;
    let slow = put("/bkt/slow").header("content-length", (2 << 20).to_string());
    holder.send(slow.header("expect", "100-continue").head_bytes(&fixture)).await;
    assert_eq!(holder.response(false).await.status, 100, "the holder has its reservation");
    let long = || append("/bkt/long", 0, vec![b'x'; 300_000]);
    let keys = "<Object><Key>absent</Key></Object>".repeat(900);
    let delete =
        post("/bkt/?delete").body(format!("<Delete>{keys}{}</Delete>", " ".repeat(300_000)));
    for call in [long(), long().chunked(), delete.clone(), delete.chunked()] {
        let refused = fixture.call(call).await.error(503, "ServiceUnavailable");
        refused.must("retry-after").parse::<u32>().unwrap();
    }
    // What needs no body goes on, and so do short appends: long bodies never take the whole account.
    fixture.call(append("/bkt/short", 0, "x")).await.expect(200);
    fixture.call(get("/bkt/")).await.expect(200);
    fixture.call(append("/bkt/log", 0, "")).await.expect(200);
    drop(holder);
    let mut status = 503;
    for _ in 0..100 {
        status = fixture.call(long()).await.status;
        if status == 200 {
            break;
        }
    }
    assert_eq!(status, 200);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let fixture = Fixture::with(|config| config.limits.connections_max = 1).await;
    let mut first = fixture.connect().await;
    first.call(&fixture, put("/bkt/")).await.expect(200);
    let mut second = fixture.connect().await;
    second.send(get("/bkt/").head_bytes(&fixture)).await;
    let waited = tokio::time::timeout(Duration::from_millis(100), second.stream.readable()).await;
    assert!(waited.is_err(), "the second connection was served beside the first");
    first.call(&fixture, get("/bkt/")).await.expect(200);
    drop(first);
    second.response(false).await.expect(200);
}

#[tokio::test]
async fn a_slow_reader_holds_nobody_up() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, vec![b'x'; 16 << 20])).await.expect(200);
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut reader = fixture.connect().await;
        reader.send(get("/bkt/log").head_bytes(&fixture)).await;
        reader.stream.readable().await.unwrap();
        readers.push(reader);
    }
    fixture.call(append("/bkt/log", 16 << 20, "more")).await.expect(200);
    fixture.call(put("/bkt/log").body("replaced")).await.expect(200);
    fixture.call(delete("/bkt/log")).await.expect(204);
    // Each still gets the object as it was when it was opened.
    for mut reader in readers {
        let answer = reader.response(false).await.expect(200);
        assert_eq!(answer.body.len(), 16 << 20);
    }
}

#[tokio::test]
async fn readers_that_take_nothing_stop_neither_writers_nor_short_reads() {
    let fixture = with_limits(|config| {
        config.limits.body_bytes = 1 << 20;
        config.limits.download_bytes = 1 << 20;
        config.limits.body_wait_ms = 50;
    })
    .await;
    fixture.call(append("/bkt/log", 0, vec![b'x'; 16 << 20])).await.expect(200);
    let mut reader = fixture.connect().await;
    reader.send(get("/bkt/log").head_bytes(&fixture)).await;
    reader.stream.readable().await.unwrap();
    // The account of downloads has no room for a second long one.
    let refused = fixture.call(get("/bkt/log")).await.error(503, "ServiceUnavailable");
    refused.must("retry-after").parse::<u32>().unwrap();
    fixture.call(get("/bkt/log").header("range", "bytes=0-99")).await.expect(206);
    fixture.call(append("/bkt/log", 16 << 20, vec![b'x'; 1 << 20])).await.expect(200);
    fixture.call(put("/bkt/key").body("short")).await.expect(200);
    assert_eq!(reader.response(false).await.expect(200).body.len(), 16 << 20);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut() {
    let fixture = with_limits(|config| config.limits.body_stall_ms = 200).await;
    fixture.call(append("/bkt/log", 0, vec![b'x'; 32 << 20])).await.expect(200);
    let mut reader = fixture.connect().await;
    reader.send(get("/bkt/log").head_bytes(&fixture)).await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let got = reader.until_closed().await;
    assert!(got.len() < 32 << 20, "the whole object was kept for a reader that had gone to sleep");
}

#[tokio::test]
async fn a_traffic_limit_slows_both_ways_down() {
    let fixture = Fixture::with_bucket().await;
    // 30 KiB a second: 60 KiB take two seconds, less what the first piece is ahead.
    let body = vec![b'x'; 60 << 10];
    let started = Instant::now();
    let mut connection = fixture.connect().await;
    let call = put("/bkt/key").body(&body).header("x-oss-traffic-limit", "245760");
    connection.send(call.head_bytes(&fixture)).await;
    for piece in body.chunks(10 << 10) {
        connection.send(piece).await;
        tokio::task::yield_now().await;
    }
    connection.response(false).await.expect(200);
    let up = started.elapsed();
    let started = Instant::now();
    let call = get("/bkt/key?x-oss-traffic-limit=245760");
    assert_eq!(fixture.call(call).await.expect(200).body, body);
    let down = started.elapsed();
    assert!(down >= Duration::from_millis(1_200), "{down:?}");
    assert!(down < Duration::from_secs(6), "{down:?}");
    assert!(up >= Duration::from_millis(1_200), "{up:?}");
    assert!(up < Duration::from_secs(6), "{up:?}");
    for bad in ["245759", "838860801", "x", "-1"] {
        let call = get("/bkt/key").header("x-oss-traffic-limit", bad);
        fixture.call(call).await.error(400, "InvalidArgument");
    }
    let both = get("/bkt/key?x-oss-traffic-limit=245760").header("x-oss-traffic-limit", "245760");
    fixture.call(both).await.error(400, "InvalidArgument");
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_closes_what_is_idle() {
    let fixture = Fixture::with_bucket().await;
    let mut idle = fixture.connect().await;
    idle.call(&fixture, get("/bkt/")).await.expect(200);
    let mut busy = fixture.connect().await;
    let call = append("/bkt/log", 0, "hello").header("expect", "100-continue");
    busy.send(call.head_bytes(&fixture)).await;
    assert_eq!(busy.response(false).await.status, 100);
    let stopping = tokio::spawn(fixture.stop());
    idle.until_closed().await;
    busy.send("hello").await;
    let answer = busy.response(false).await.expect(200);
    assert_eq!(answer.must("connection"), "close");
    assert!(stopping.await.unwrap(), "a request was cut off");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let fixture = with_limits(|config| config.limits.shutdown_ms = 100).await;
    let mut busy = fixture.connect().await;
    let call = append("/bkt/log", 0, "hello").header("expect", "100-continue");
    busy.send(call.head_bytes(&fixture)).await;
    assert_eq!(busy.response(false).await.status, 100);
    assert!(!fixture.stop().await);
    busy.until_closed().await;
}
