//! The Harmony guide's append programs against the real binary, and what its SDK needs of a server.

#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

// The example itself, not a copy of it.
#[expect(
    dead_code,
    unreachable_pub,
    reason = "an example stands by itself; its main is for people"
)]
#[path = "../../client/examples/harmony_append.rs"]
mod program;

use common::Server;
use common::wire::{Request, Sign, Wire};
use ossia_client::{
    Addressing, AppendObjectRequest, Client, ClientError, CreateBucketRequest, Credentials,
    GetObjectRequest, SignatureVersion,
};
use ossia_protocol::error::{parse_error_xml, parse_x_oss_err};
use std::sync::Arc;
use tokio::sync::Barrier;

async fn content(client: &Client, bucket: &str, key: &str) -> bytes::Bytes {
    let read = client.get_object(GetObjectRequest::new(bucket, key)).await.unwrap();
    read.body.collect(1 << 20).await.unwrap()
}

/// Runs the three programs, checks what they leave behind, and what they do the second time.
async fn run_programs(client: &Client, bucket: &str) {
    client.create_bucket(CreateBucketRequest::new(bucket)).await.unwrap();
    let string = program::append_a_string(client, bucket, "string.txt").await.unwrap();
    assert_eq!(string.next_position, 11);
    assert_eq!(string.crc64, Some(5_981_764_153_023_615_706));
    assert_eq!(content(client, bucket, "string.txt").await, "hello world");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("local.txt");
    let local = "a local file\n".repeat(10_000);
    std::fs::write(&path, &local).unwrap();
    let file = program::append_a_file(client, bucket, "dir/file.txt", &path).await.unwrap();
    assert_eq!(file.next_position, local.len() as u64);
    assert_eq!(content(client, bucket, "dir/file.txt").await, local);

    let blocks = program::append_two_blocks(client, bucket, "blocks.txt").await.unwrap();
    assert_eq!(blocks.next_position, 20);
    assert_eq!(content(client, bucket, "blocks.txt").await, "block one, block two");
    let head = client.head_object(bucket, "blocks.txt").await.unwrap().meta;
    assert_eq!((head.object_type.as_str(), head.next_append_position), ("Appendable", Some(20)));
    assert_eq!(head.crc64, blocks.crc64);

    let again = program::append_a_string(client, bucket, "string.txt").await.unwrap_err();
    assert_eq!(program::describe(&again), "the object ends at 11");
    let refused = program::append_a_string(client, "no-such-bucket", "k").await.unwrap_err();
    let told = program::describe(&refused);
    assert!(told.starts_with("404 NoSuchBucket: The specified bucket does not exist."), "{told}");
    assert!(told.ends_with("ec 0015-00000101)"), "{told}");
}

#[tokio::test]
async fn the_programs_run_in_both_signatures_and_all_addressings() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let port = server.address().port();
    let localhost = format!("http://localhost:{port}");
    let cases = [
        (server.endpoint(), Addressing::Auto, "by-address"),
        (localhost.clone(), Addressing::Path, "by-name"),
        (localhost, Addressing::VirtualHosted, "by-host"),
    ];
    for (endpoint, addressing, bucket) in cases {
        for (version, suffix) in [(SignatureVersion::V1, "v1"), (SignatureVersion::V4, "v4")] {
            let client = Client::builder(endpoint.as_str())
                .credentials(Credentials::new(common::KEY_ID, common::KEY_SECRET))
                .addressing(addressing)
                .signature(version)
                .build()
                .unwrap();
            run_programs(&client, &format!("{bucket}-{suffix}")).await;
        }
    }
}

#[tokio::test]
async fn one_of_ten_racing_appends_wins_and_nine_learn_the_position() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let client = server.client();
    client.create_bucket(CreateBucketRequest::new("race")).await.unwrap();
    for (round, size) in [(0, 10), (1, 3000), (2, 300_000)] {
        let key = format!("object-{round}");
        let barrier = Arc::new(Barrier::new(10));
        let mut racers = Vec::new();
        for racer in 0..10u8 {
            let (client, key, barrier) = (client.clone(), key.clone(), barrier.clone());
            racers.push(tokio::spawn(async move {
                barrier.wait().await;
                let data = vec![racer; size + usize::from(racer)];
                let request = AppendObjectRequest::new("race", key, data);
                (racer, client.append_object(request).await)
            }));
        }
        let mut won = Vec::new();
        let mut told = Vec::new();
        for racer in racers {
            match racer.await.unwrap() {
                (racer, Ok(output)) => won.push((racer, output.next_position)),
                (_, Err(ClientError::PositionNotEqualToLength { next_position, .. })) => {
                    told.push(next_position);
                }
                (_, Err(other)) => panic!("{other}"),
            }
        }
        let [(winner, length)] = won[..] else { panic!("{won:?} won") };
        assert_eq!(told, [length; 9]);
        let expected = vec![winner; size + usize::from(winner)];
        assert_eq!(content(&client, "race", &key).await, expected);
    }
}

/// Appends and reads over one connection under this Host, and says what was read.
fn append_and_read(wire: &mut Wire, request: &Request<'_>, sign: Sign) -> String {
    let path = request.target;
    let append = format!("{path}?append&position=0");
    let answer =
        wire.exchange(&Request { method: "POST", target: &append, ..*request }, sign, b"x");
    assert_eq!(answer.status, 200, "{} {path} {sign:?}: {}", request.host, answer.body);
    assert_eq!(answer.header("x-oss-next-append-position"), Some("1"));
    let read = wire.exchange(&Request { method: "GET", ..*request }, sign, b"");
    assert_eq!(read.status, 200, "{} {path} {sign:?}: {}", request.host, read.body);
    read.body
}

#[tokio::test]
async fn a_bucket_is_found_under_every_name_that_clients_send() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--domain", "oss.example.test", "--cname", "files.example.test=bkt"];
    let server = Server::start_with(folder.path(), &arguments);
    server.client().create_bucket(CreateBucketRequest::new("bkt")).await.unwrap();
    let port = server.address().port();
    let hosts = [
        // path style on addresses and bare names
        (format!("127.0.0.1:{port}"), "/bkt/"),
        ("127.0.0.1".to_owned(), "/bkt/"),
        (format!("localhost:{port}"), "/bkt/"),
        ("somebodys-server".to_owned(), "/bkt/"),
        ("oss.example.test".to_owned(), "/bkt/"),
        // virtual-hosted under the server's own names
        (format!("bkt.localhost:{port}"), "/"),
        (format!("bkt.oss.example.test:{port}"), "/"),
        ("BKT.OSS.Example.Test".to_owned(), "/"),
        // virtual-hosted under the public names, whatever address the socket has, without a port
        ("bkt.oss-cn-hangzhou.aliyuncs.com".to_owned(), "/"),
        ("bkt.oss-ap-southeast-1.aliyuncs.com".to_owned(), "/"),
        ("bkt.oss-cn-beijing-internal.aliyuncs.com".to_owned(), "/"),
        // bound
        ("files.example.test".to_owned(), "/"),
    ];
    let mut wire = Wire::connect(server.address());
    for (index, (host, before)) in hosts.iter().enumerate() {
        for sign in [Sign::V1, Sign::V4, Sign::V1Url, Sign::V4Url] {
            // A slash of a key may arrive encoded.
            let path = format!("{before}dir%2F{index}-{sign:?}");
            let request = Request {
                domains: &["oss.example.test"],
                cnames: &[("files.example.test", "bkt")],
                ..Request::new("GET", host, &path)
            };
            assert_eq!(append_and_read(&mut wire, &request, sign), "x");
            let key = format!("dir/{index}-{sign:?}");
            assert_eq!(content(&server.client(), "bkt", &key).await, "x", "{host}");
        }
    }
    // A service call of one client: the bucket's label is there and empty.
    for host in [".oss-cn-hangzhou.aliyuncs.com", "oss-cn-hangzhou.aliyuncs.com", "127.0.0.1"] {
        let listed = wire.exchange(&Request::new("GET", host, "/"), Sign::V1, b"");
        assert_eq!(listed.status, 200, "{host}: {}", listed.body);
        assert!(listed.body.contains("<Name>bkt</Name>"), "{host}: {}", listed.body);
    }
}

/// A bucket, and a connection to its server.
async fn bucket() -> (tempfile::TempDir, Server, Wire) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    server.client().create_bucket(CreateBucketRequest::new("bkt")).await.unwrap();
    let wire = Wire::connect(server.address());
    (folder, server, wire)
}

#[tokio::test]
async fn additional_headers_and_odd_content_types_verify() {
    let (_folder, _server, mut wire) = bucket().await;
    let mut position = 0;
    let content_types: [&[(&str, &str)]; 3] =
        [&[], &[("content-type", "")], &[("content-type", "text/plain; charset=utf-8")]];
    for headers in content_types {
        for sign in [Sign::V1, Sign::V4, Sign::V4With(&["host", "content-length"])] {
            for flag in ["append", "append="] {
                let target = format!("/bkt/k?{flag}&position={position}");
                let request = Request::new("POST", "127.0.0.1:9000", &target).headers(headers);
                // An empty content type is not signed, and not sent by the signer's list either.
                let answer = wire.exchange(&request, sign, b"x");
                assert_eq!(answer.status, 200, "{headers:?} {sign:?} {flag}: {}", answer.body);
                position += 1;
            }
        }
    }
}

#[tokio::test]
async fn sized_and_chunked_bodies_and_expectations_share_a_connection() {
    let (_folder, server, mut wire) = bucket().await;
    let sized = Request::new("POST", "127.0.0.1", "/bkt/k?append&position=0");
    assert_eq!(wire.exchange(&sized, Sign::V4, b"one ").status, 200);

    let chunked = Request::new("POST", "127.0.0.1", "/bkt/k?append&position=4")
        .headers(&[("transfer-encoding", "chunked")]);
    wire.send(chunked.head(Sign::V4));
    wire.send("3\r\ntwo\r\n1;ext=1\r\n \r\n0\r\n\r\n");
    assert_eq!(wire.answer("POST").status, 200);

    let expecting = [("content-length", "5"), ("expect", "100-continue")];
    let right = Request::new("POST", "127.0.0.1", "/bkt/k?append&position=8").headers(&expecting);
    wire.send(right.head(Sign::V4));
    assert_eq!(wire.answer("POST").status, 100);
    wire.send("three");
    assert_eq!(wire.answer("POST").status, 200);

    // A body that was sent whole and refused leaves the connection in order.
    let wrong = Request::new("POST", "127.0.0.1", "/bkt/k?append&position=5");
    for body in [&b"refused"[..], &[b'x'; 200_000]] {
        let refused = wire.exchange(&wrong, Sign::V4, body);
        assert_eq!(
            (refused.status, refused.header("x-oss-next-append-position")),
            (409, Some("13"))
        );
    }
    let read = wire.exchange(&Request::new("GET", "127.0.0.1", "/bkt/k"), Sign::V4, b"");
    assert_eq!(read.body, "one two three");

    // Who expects 100 and is refused need not send the body at all: the answer is there at once.
    let mut other = Wire::connect(server.address());
    let expecting = [("content-length", "1000000"), ("expect", "100-continue")];
    let wrong = Request::new("POST", "127.0.0.1", "/bkt/k?append&position=5").headers(&expecting);
    other.send(wrong.head(Sign::V4));
    assert_eq!(other.answer("POST").status, 409);
}

#[tokio::test]
async fn every_answer_has_lower_case_names_and_an_id_that_its_error_repeats() {
    let (_folder, _server, mut wire) = bucket().await;
    let host = "127.0.0.1";
    // method, target, signature, status, code, EC
    let rows = [
        ("POST", "/bkt/k?append&position=0", Sign::V4, 200, "", ""),
        ("GET", "/bkt/k", Sign::V4, 200, "", ""),
        ("HEAD", "/bkt/k", Sign::V4, 200, "", ""),
        (
            "POST",
            "/bkt/k?append&position=9",
            Sign::V4,
            409,
            "PositionNotEqualToLength",
            "0026-00000016",
        ),
        ("POST", "/bkt/k?append", Sign::V4, 400, "MissingArgument", "0016-00000501"),
        ("POST", "/bkt/k?append&position=-1", Sign::V4, 400, "InvalidArgument", "0016-00000502"),
        ("PUT", "/bkt/put", Sign::V1, 200, "", ""),
        (
            "POST",
            "/bkt/put?append&position=0",
            Sign::V4,
            409,
            "ObjectNotAppendable",
            "0026-00000017",
        ),
        ("GET", "/bkt/missing", Sign::V4, 404, "NoSuchKey", "0026-00000001"),
        ("HEAD", "/bkt/missing", Sign::V1, 404, "NoSuchKey", "0026-00000001"),
        ("GET", "/no-such-bucket/k", Sign::V4, 404, "NoSuchBucket", "0015-00000101"),
        ("HEAD", "/no-such-bucket/k", Sign::V4, 404, "NoSuchBucket", "0015-00000101"),
        ("GET", "/bkt/k", Sign::Not, 403, "AccessDenied", ""),
        ("DELETE", "/bkt/k", Sign::V4, 204, "", ""),
    ];
    for (method, target, sign, status, code, ec) in rows {
        let row = format!("{method} {target} {sign:?}");
        let answer = wire.exchange(&Request::new(method, host, target), sign, b"");
        assert_eq!(answer.status, status, "{row}: {}", answer.body);
        for (name, _) in &answer.headers {
            assert_eq!(*name, name.to_ascii_lowercase(), "{row}");
        }
        let id = answer.header("x-oss-request-id").unwrap_or_else(|| panic!("{row}: no id"));
        let is_id = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
        assert!(id.len() == 24 && id.chars().all(is_id), "{row}: {id}");
        for name in ["date", "server", "x-oss-server-time"] {
            assert!(answer.header(name).is_some(), "{row}: no {name}");
        }
        let error = match method {
            "HEAD" => answer.header("x-oss-err").and_then(|err| parse_x_oss_err(err.as_bytes())),
            _ => parse_error_xml(answer.body.as_bytes()),
        };
        if code.is_empty() {
            assert_eq!(error, None, "{row}");
            continue;
        }
        let error = error.unwrap_or_else(|| panic!("{row}: no error document"));
        assert_eq!((error.code.as_str(), error.request_id.as_str()), (code, id), "{row}");
        assert_eq!(error.host_id, host, "{row}");
        assert_eq!(error.ec, answer.header("x-oss-ec").unwrap_or_default(), "{row}");
        if !ec.is_empty() {
            assert_eq!(error.ec, ec, "{row}");
        }
    }
}
