//! Callbacks to an application server on loopback, which the settings allow; and traffic limits, which slow the same uploads down.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{drive::*, post::form};

/// What an application server was asked: head and body.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// An application server that gives every request the same answer, and keeps what it was asked. With an empty answer it is silent.
async fn application(answer: &'static str) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            let (head, length) = loop {
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer).await.unwrap_or(0);
                if count == 0 {
                    break (String::new(), 0);
                }
                bytes.extend(&buffer[..count]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head
                    .to_ascii_lowercase()
                    .split("content-length: ")
                    .nth(1)
                    .and_then(|rest| rest.lines().next()?.trim().parse().ok())
                    .unwrap_or(0);
                if body.len() >= length {
                    break (head.to_owned(), length);
                }
            };
            let body = String::from_utf8_lossy(&bytes[bytes.len() - length..]).into_owned();
            kept.lock().unwrap().push((head, body));
            match answer {
                "" => silent.push(stream),
                answer => stream.write_all(answer.as_bytes()).await.unwrap(),
            }
        }
    });
    (address, asked)
}

const JSON: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 15\r\n\r\n{\"Status\":\"OK\"}";

async fn served() -> Fixture {
    let fixture = Fixture::with(|config| {
        config.callback.allowed = vec!["127.0.0.0/8".to_owned()];
        config.callback.timeout_ms = 30_000;
    })
    .await;
    fixture.make_bucket("bkt").await;
    fixture
}

fn callback(url: &str, body: &str) -> String {
    let body = body.replace('"', "\\\"");
    let kind = if body.starts_with('{') {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    STANDARD.encode(format!(
        r#"{{"callbackUrl":"{url}","callbackBody":"{body}","callbackBodyType":"{kind}"}}"#
    ))
}

fn header(head: &str, name: &str) -> Option<String> {
    let line = head.lines().find(|line| {
        line.split_once(':').is_some_and(|(known, _)| known.eq_ignore_ascii_case(name))
    })?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

const BODY: &str = "b=${bucket}&o=${object}&e=${etag}&s=${size}&m=${mimeType}&c=${crc64}&p=${operation}&x=${x:who}";

#[tokio::test]
async fn the_application_servers_answer_is_the_answer_of_every_upload() {
    let fixture = served().await;
    let (address, asked) = application(JSON).await;
    let text = callback(&format!("http://{address}/p%20q?a=b"), BODY);
    let variables = STANDARD.encode(r#"{"x:who":"me & you"}"#);
    let with =
        |call: Call| call.header("x-oss-callback", &text).header("x-oss-callback-var", &variables);
    let id = fixture.call(post("/bkt/parts?uploads").header("content-type", "a/parts")).await;
    let id = id.expect(200).element("UploadId").unwrap();
    fixture
        .call(put(&format!("/bkt/parts?partNumber=1&uploadId={id}")).body("part"))
        .await
        .expect(200);
    let all = post(&format!("/bkt/parts?uploadId={id}")).header("x-oss-complete-all", "yes");
    let posted = form("form", "posted")
        .field("callback", text.clone())
        .field("x:who", "me & you")
        .v1(&format!(r#"[{{"callback":"{text}"}}]"#))
        .call();
    for (key, operation, kind, size, call) in [
        (
            "put",
            "PutObject",
            "a%2Fput",
            3,
            with(put("/bkt/put").header("content-type", "a/put").body("put")),
        ),
        (
            "log",
            "AppendObject",
            "a%2Flog",
            2,
            with(append("/bkt/log", 0, "12").header("content-type", "a/log")),
        ),
        ("log", "AppendObject", "a%2Flog", 5, with(append("/bkt/log", 2, "345"))),
        ("parts", "CompleteMultipartUpload", "a%2Fparts", 4, with(all)),
        ("form", "PostObject", "text%2Fx-part", 6, posted),
    ] {
        let answer = fixture.call(call).await.expect(200);
        assert_eq!(answer.text(), "{\"Status\":\"OK\"}");
        assert_eq!(answer.must("content-type"), "application/json");
        let (head, body) = asked.lock().unwrap().pop().unwrap();
        let info = fixture.call(crate::drive::head(&format!("/bkt/{key}"))).await.expect(200);
        let (etag, crc) = (info.must("etag").trim_matches('"'), info.must("x-oss-hash-crc64ecma"));
        assert_eq!(answer.must("etag").trim_matches('"'), etag);
        assert_eq!(answer.must("x-oss-hash-crc64ecma"), crc);
        assert_eq!(
            body,
            format!(
                "b=bkt&o={key}&e={etag}&s={size}&m={kind}&c={crc}&p={operation}&x=me%20%26%20you"
            )
        );
        assert!(head.starts_with("POST /p%20q?a=b HTTP/1.1\r\n"), "{head}");
        for (name, value) in [
            ("host", address.to_string()),
            ("connection", "close".to_owned()),
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("content-md5", STANDARD.encode(Md5::digest(&body))),
            ("user-agent", "aliyun-oss-callback".to_owned()),
            ("x-oss-bucket", "bkt".to_owned()),
            ("x-oss-request-id", answer.must("x-oss-request-id").to_owned()),
            ("x-oss-tag", "CALLBACK".to_owned()),
        ] {
            assert_eq!(header(&head, name), Some(value), "{name} in {head}");
        }
        if operation == "AppendObject" {
            assert_eq!(answer.must("x-oss-next-append-position"), size.to_string());
        }
    }
    // In the URL, and as JSON.
    let json = callback(&format!("{address}"), "{\"o\":${object},\"s\":${size}}");
    let encoded = json.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    fixture.call(put(&format!("/bkt/put?callback={encoded}")).body("1")).await.expect(200);
    let (head, body) = asked.lock().unwrap().pop().unwrap();
    assert_eq!(
        (body.as_str(), header(&head, "content-type").as_deref()),
        (r#"{"o":"put","s":1}"#, Some("application/json"))
    );
}

#[tokio::test]
async fn an_upload_whose_callback_fails_is_stored_and_told_so() {
    let fixture = served().await;
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let mut targets = vec![(
        nobody,
        "Error Status : -1.OSS can not connect to your callbackUrl, please check it.",
        None,
    )];
    for (answer, message, ec) in [
        (
            "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
            "Error status : 301.",
            Some("0007-00000203"),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntext",
            "Response body is not valid json format.",
            None,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "Response body is not valid json format.",
            None,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            "Error Status : 400.User server missing content-length.",
            None,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            "Response body is too large.",
            None,
        ),
        (
            "nonsense\r\n\r\n",
            "Error Status : -1.OSS can not connect to your callbackUrl, please check it.",
            None,
        ),
    ] {
        targets.push((application(answer).await.0, message, ec));
    }
    let mut position = 0;
    for (address, message, ec) in &targets {
        let text = callback(&format!("http://{address}"), BODY);
        let call = append("/bkt/log", position, "x").header("x-oss-callback", &text);
        let answer = fixture.call(call).await.error(203, "CallbackFailed");
        assert_eq!(answer.element("Message").as_deref(), Some(*message));
        assert_eq!(answer.header("x-oss-ec"), *ec);
        position += 1;
        assert_eq!(answer.must("x-oss-next-append-position"), position.to_string());
        answer.must("x-oss-hash-crc64ecma");
    }
    let info = fixture.call(head("/bkt/log")).await.expect(200);
    assert_eq!(info.must("content-length"), position.to_string());
    // Of several targets the first that answers counts.
    let (good, asked) = application(JSON).await;
    let urls = format!("http://{};http://{};http://{good}", targets[0].0, targets[1].0);
    let text = callback(&urls, BODY);
    let answer = fixture.call(put("/bkt/a").header("x-oss-callback", text).body("1")).await;
    assert_eq!(answer.expect(200).text(), "{\"Status\":\"OK\"}");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_application_server_that_says_nothing_holds_nobody_up() {
    let fixture = Fixture::with(|config| {
        config.callback.allowed = vec!["127.0.0.1".to_owned()];
        config.callback.timeout_ms = 200;
        config.callback.at_once = 1;
    })
    .await;
    fixture.make_bucket("bkt").await;
    let (address, _) = application("").await;
    let text = callback(&format!("http://{address}"), BODY);
    let slow = put("/bkt/a").header("x-oss-callback", &text).body("1");
    let (one, two, plain) = tokio::join!(
        fixture.call(slow.clone()),
        fixture.call(slow.clone()),
        fixture.call(put("/bkt/b").body("2"))
    );
    plain.expect(200);
    for answer in [one, two] {
        let answer = answer.error(203, "CallbackFailed");
        assert_eq!(answer.element("Message").as_deref(), Some("Cost too long time."));
    }
}

#[tokio::test]
async fn a_callback_that_must_not_be_made_refuses_the_upload() {
    let fixture = Fixture::with_bucket().await;
    let (address, asked) = application(JSON).await;
    let refused = |text: String| put("/bkt/a").header("x-oss-callback", text).body("1");
    for (url, message) in [
        (address.to_string(), "Private address is forbidden to callback."),
        (
            "http://169.254.169.254/latest/meta-data".into(),
            "Private address is forbidden to callback.",
        ),
        ("http://100.100.100.200/".into(), "Private address is forbidden to callback."),
        ("localhost".into(), "Private address is forbidden to callback."),
        ("http://name.invalid/".into(), "Can not get ip by this host."),
        ("http://[::1]/".into(), "The callback url configuration is invalid."),
    ] {
        let answer =
            fixture.call(refused(callback(&url, BODY))).await.error(400, "InvalidArgument");
        assert_eq!(answer.element("Message").as_deref(), Some(message), "{url}");
    }
    fixture.call(refused("*".into())).await.error(400, "InvalidArgument");
    let text = callback("8.8.8.8", BODY);
    let twice = put(&format!("/bkt/a?callback={}", text.replace('=', "%3D")))
        .header("x-oss-callback", &text)
        .body("1");
    fixture.call(twice).await.error(400, "InvalidArgument");
    let mixed = put("/bkt/a?callback-var=e30").header("x-oss-callback", &text).body("1");
    fixture.call(mixed).await.error(400, "InvalidArgument");
    fixture.call(get("/bkt/a")).await.error(404, "NoSuchKey");
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_traffic_limit_slows_its_own_request_down() {
    let fixture = Fixture::with_bucket().await;
    // The slowest that may be asked for is 30 KiB a second.
    let body = vec![7; 60 << 10];
    let least = std::time::Duration::from_millis(900);
    let id =
        fixture.call(post("/bkt/parts?uploads")).await.expect(200).element("UploadId").unwrap();
    for slow in [
        put("/bkt/a").header("x-oss-traffic-limit", "245760").body(&body),
        put("/bkt/a?x-oss-traffic-limit=245760").body(&body),
        append("/bkt/log", 0, &body).header("x-oss-traffic-limit", "245760"),
        put(&format!("/bkt/parts?partNumber=1&uploadId={id}"))
            .header("x-oss-traffic-limit", "245760")
            .body(&body),
        form("form", &body)
            .v1(r#"[{"bucket":"bkt"}]"#)
            .call()
            .header("x-oss-traffic-limit", "245760"),
        get("/bkt/a").header("x-oss-traffic-limit", "245760"),
        get("/bkt/a?x-oss-traffic-limit=245760"),
    ] {
        let started = Instant::now();
        let what = format!("{} {}", slow.method, slow.target);
        let (slowed, quick) = tokio::join!(fixture.call(slow), async {
            let answer = fixture.call(put("/bkt/quick").body("1")).await;
            (answer, started.elapsed())
        });
        assert!(slowed.status < 300, "{what}: {slowed:?}");
        assert!(started.elapsed() >= least, "{what}: {:?}", started.elapsed());
        quick.0.expect(200);
    }
    for bad in ["245759", "838860801", "x", ""] {
        let call = put("/bkt/a").header("x-oss-traffic-limit", bad).body("1");
        fixture.call(call).await.error(400, "InvalidArgument");
    }
    let both = put("/bkt/a?x-oss-traffic-limit=245760").header("x-oss-traffic-limit", "245760");
    fixture.call(both.body("1")).await.error(400, "InvalidArgument");
}
