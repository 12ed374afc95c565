//! PutObject, GetObject, HeadObject, GetObjectMeta, deletes: `objects.md`.

use crate::drive::*;

const HELLO_MD5: &str = "XUFAKrxLKna5cZ2REBfFkg==";
const HELLO_ETAG: &str = "\"5D41402ABC4B2A76B9719D911017C592\"";
const HELLO_CRC: &str = "11177612005948864433";

#[tokio::test]
async fn a_put_answers_with_digests_and_reads_back_with_them() {
    let fixture = Fixture::with_bucket().await;
    for call in [put("/bkt/key").body("hello"), put("/bkt/key").body("hello").chunked()] {
        let answer = fixture.call(call).await.expect(200);
        assert_eq!(answer.must("etag"), HELLO_ETAG);
        assert_eq!(answer.must("x-oss-hash-crc64ecma"), HELLO_CRC);
        assert_eq!(answer.must("content-md5"), HELLO_MD5);
        assert_eq!(answer.must("content-length"), "0");
        assert!(answer.header("x-oss-version-id").is_none());
    }
    for call in [get("/bkt/key"), head("/bkt/key")] {
        let answer = fixture.call(call.clone()).await.expect(200);
        for (name, value) in [
            ("content-length", "5"),
            ("etag", HELLO_ETAG),
            ("x-oss-hash-crc64ecma", HELLO_CRC),
            ("content-md5", HELLO_MD5),
            ("content-type", "application/octet-stream"),
            ("accept-ranges", "bytes"),
            ("last-modified", "Thu, 15 Jan 2026 08:30:45 GMT"),
            ("x-oss-object-type", "Normal"),
            ("x-oss-storage-class", "Standard"),
        ] {
            assert_eq!(answer.must(name), value, "{} {name}", call.method);
        }
        for absent in [
            "content-range",
            "x-oss-next-append-position",
            "x-oss-version-id",
            "x-oss-tagging-count",
            "transfer-encoding",
        ] {
            assert!(answer.header(absent).is_none(), "{absent}");
        }
    }
    assert_eq!(fixture.call(get("/bkt/key")).await.text(), "hello");
}

#[tokio::test]
async fn an_empty_object_is_an_object() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/dir/")).await.expect(200);
    let answer = fixture.call(get("/bkt/dir/")).await.expect(200);
    assert_eq!((answer.must("content-length"), answer.must("x-oss-hash-crc64ecma")), ("0", "0"));
    assert_eq!(answer.must("etag"), "\"D41D8CD98F00B204E9800998ECF8427E\"");
    fixture.call(put("/bkt/none").no_body()).await.error(411, "MissingContentLength");
    fixture.call(head("/bkt/none")).await.expect(404);
}

#[tokio::test]
async fn stored_headers_come_back_byte_for_byte() {
    let fixture = Fixture::with_bucket().await;
    let call = put("/bkt/key")
        .body("x")
        .header("content-type", "text/plain; charset=utf-8")
        .header("cache-control", "max-age=5")
        .header("content-disposition", "inline")
        .header("content-language", "de")
        .header("expires", "whenever")
        .header("X-Oss-Meta-Author", "J\u{fc}rgen")
        .header("x-oss-tagging", "a=1&b")
        .header("x-oss-unknown", "ignored")
        .header("x-oss-storage-class", "Archive");
    fixture.call(call).await.expect(200);
    let mut connection = fixture.connect().await;
    connection.send(head("/bkt/key").head_bytes(&fixture)).await;
    let answer = connection.response(true).await;
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "max-age=5"),
        ("content-disposition", "inline"),
        ("content-language", "de"),
        ("expires", "whenever"),
        ("x-oss-meta-author", "J\u{fc}rgen"),
        ("x-oss-tagging-count", "2"),
        ("x-oss-storage-class", "Archive"),
    ] {
        assert_eq!(answer.must(name), value, "{name}");
    }
    fixture.call(put("/bkt/key").body("y")).await.expect(200);
    let replaced = fixture.call(head("/bkt/key")).await.expect(200);
    assert_eq!(replaced.must("content-type"), "application/octet-stream");
    for gone in ["x-oss-meta-author", "x-oss-tagging-count", "cache-control"] {
        assert!(replaced.header(gone).is_none(), "{gone}");
    }
}

#[tokio::test]
async fn puts_that_announce_something_else_than_they_bring_store_nothing() {
    let fixture = Fixture::with_bucket().await;
    for (name, value, code) in [
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==", "InvalidDigest"),
        ("content-md5", "short", "InvalidDigest"),
        ("x-oss-hash-crc64ecma", "1", "InvalidCRC64"),
        ("x-oss-hash-crc64ecma", "x", "InvalidArgument"),
        ("x-oss-storage-class", "Gold", "InvalidArgument"),
        ("x-oss-object-acl", "secret", "InvalidArgument"),
        ("x-oss-tagging", "a=1&a=2", "InvalidArgument"),
        ("x-oss-forbid-overwrite", "perhaps", "InvalidArgument"),
        ("x-oss-traffic-limit", "1000", "InvalidArgument"),
        ("x-oss-server-side-encryption", "SM4", "InvalidEncryptionAlgorithmError"),
        ("x-oss-callback", "e30=", "InvalidArgument"),
        ("if-modified-since", "Thu, 15 Jan 2026 08:30:45 GMT", "NotImplemented"),
        ("if-none-match", "*", "NotImplemented"),
    ] {
        let call = put("/bkt/key").body("hello").header(name, value);
        let answer = fixture.call(call).await;
        assert_eq!((answer.status, answer.element("Code").as_deref()), (400, Some(code)), "{name}");
        if code == "NotImplemented" {
            assert!(answer.element("Header").is_some(), "{name}");
        }
        fixture.call(head("/bkt/key")).await.expect(404);
    }
}

#[tokio::test]
async fn forbid_overwrite_keeps_what_is_there() {
    let fixture = Fixture::with_bucket().await;
    let call = |body: &str| put("/bkt/key").body(body).header("x-oss-forbid-overwrite", "true");
    fixture.call(call("one")).await.expect(200);
    let refused = fixture.call(call("two")).await.error(409, "FileAlreadyExists");
    assert_eq!(
        refused.element("Message").as_deref(),
        Some("The object you specified already exists and can not be overwritten.")
    );
    assert_eq!(fixture.call(get("/bkt/key")).await.text(), "one");
}

#[tokio::test]
async fn a_put_beyond_the_limit_is_refused_sized_and_chunked() {
    let fixture = Fixture::with(|config| config.limits.put_bytes = 10).await;
    fixture.make_bucket("bkt").await;
    fixture.call(put("/bkt/key").body("0123456789a")).await.error(400, "EntityTooLarge");
    fixture.call(put("/bkt/key").body("0123456789a").chunked()).await.error(400, "EntityTooLarge");
    fixture.call(head("/bkt/key")).await.expect(404);
    fixture.call(put("/bkt/key").body("0123456789").chunked()).await.expect(200);
}

#[tokio::test]
async fn ranges_follow_both_behaviours() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key").body("0123456789")).await.expect(200);
    let lenient = [
        ("bytes=0-4", Some((0, 4))),
        ("bytes=5-", Some((5, 9))),
        ("bytes=-3", Some((7, 9))),
        ("bytes=9-9", Some((9, 9))),
        ("bytes=0-1,5-6", Some((0, 1))),
        ("bytes=0-10", None),
        ("bytes=10-", None),
        ("bytes=-11", None),
        ("byte=0-4", None),
        ("bytes=5-2", None),
        ("nonsense", None),
    ];
    for (range, wanted) in lenient {
        let answer = fixture.call(get("/bkt/key").header("range", range)).await;
        check_range(range, &answer, wanted);
        let headed = fixture.call(head("/bkt/key").header("range", range)).await.expect(200);
        assert_eq!(headed.must("content-length"), "10", "HEAD ignores {range}");
    }
    let standard = |range: &str| {
        get("/bkt/key").header("range", range).header("x-oss-range-behavior", "standard")
    };
    check_range("clipped", &fixture.call(standard("bytes=8-20")).await, Some((8, 9)));
    check_range("clipped", &fixture.call(standard("bytes=-20")).await, Some((0, 9)));
    let refused = fixture.call(standard("bytes=10-")).await.error(416, "InvalidRange");
    assert_eq!(refused.must("content-range"), "bytes */10");
    assert_eq!(refused.element("ActualObjectSize").as_deref(), Some("10"));
}

#[track_caller]
fn check_range(what: &str, answer: &Response, wanted: Option<(usize, usize)>) {
    match wanted {
        Some((first, last)) => {
            assert_eq!(answer.status, 206, "{what}");
            assert_eq!(answer.must("content-range"), format!("bytes {first}-{last}/10"), "{what}");
            assert_eq!(answer.text(), "0123456789"[first..=last], "{what}");
        }
        None => {
            assert_eq!((answer.status, answer.text().as_str()), (200, "0123456789"), "{what}");
            assert!(answer.header("content-range").is_none(), "{what}");
        }
    }
}

#[tokio::test]
async fn conditions_decide_between_the_object_304_and_412() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key").body("hello")).await.expect(200);
    let (same, before, after) = (
        "Thu, 15 Jan 2026 08:30:45 GMT",
        "Thu, 15 Jan 2026 08:30:44 GMT",
        "Thu, 15 Jan 2026 08:30:46 GMT",
    );
    for (name, value, status) in [
        ("if-match", HELLO_ETAG, 200),
        ("if-match", "5d41402abc4b2a76b9719d911017c592", 200),
        ("if-match", "*", 200),
        ("if-match", "\"other\"", 412),
        ("if-none-match", HELLO_ETAG, 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", same, 304),
        ("if-modified-since", after, 304),
        ("if-modified-since", before, 200),
        ("if-modified-since", "no date", 200),
        ("if-unmodified-since", same, 200),
        ("if-unmodified-since", before, 412),
    ] {
        for call in [get("/bkt/key"), head("/bkt/key")] {
            let method = call.method;
            let answer = fixture.call(call.header(name, value)).await;
            assert_eq!(answer.status, status, "{method} {name}: {value}");
            match status {
                304 => {
                    assert!(answer.body.is_empty());
                    assert_eq!(answer.must("etag"), HELLO_ETAG);
                    assert!(answer.header("x-oss-err").is_none());
                }
                412 if method == "GET" => {
                    let condition = answer.element("Condition").unwrap();
                    assert!(condition.eq_ignore_ascii_case(name), "{condition}");
                    answer.error(412, "PreconditionFailed");
                }
                _ => {}
            }
        }
    }
    // A kept connection is still in step after a 304.
    let mut connection = fixture.connect().await;
    let call = get("/bkt/key").header("if-none-match", "*");
    assert_eq!(connection.call(&fixture, call).await.status, 304);
    assert_eq!(connection.call(&fixture, get("/bkt/key")).await.expect(200).text(), "hello");
}

#[tokio::test]
async fn a_signed_reader_may_choose_response_headers() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key").body("hello").header("content-type", "a/b")).await.expect(200);
    let target = "/bkt/key?response-content-type=text%2Fplain&response-cache-control=no-cache\
                  &response-content-disposition=attachment%3B%20filename%3D%22x%22\
                  &response-expires=soon&response-content-language=en&response-content-encoding=x";
    for sign in [Sign::V1, Sign::V4] {
        let answer = fixture.call(get(target).sign(sign)).await.expect(200);
        for (name, value) in [
            ("content-type", "text/plain"),
            ("cache-control", "no-cache"),
            ("content-disposition", "attachment; filename=\"x\""),
            ("expires", "soon"),
            ("content-language", "en"),
            ("content-encoding", "x"),
        ] {
            assert_eq!(answer.must(name), value);
        }
    }
    let part = get("/bkt/key?response-content-type=c/d").header("range", "bytes=0-1");
    assert_eq!(fixture.call(part).await.expect(206).must("content-type"), "c/d");
    let split = get("/bkt/key?response-content-type=a%0D%0Ax-evil:%201");
    fixture.call(split).await.error(400, "InvalidArgument");
    let absent = get("/bkt/none?response-content-type=c/d");
    assert_eq!(
        fixture.call(absent).await.error(404, "NoSuchKey").must("content-type"),
        "application/xml"
    );
}

#[tokio::test]
async fn meta_tells_the_bytes_and_nothing_else() {
    let fixture = Fixture::with_bucket().await;
    let call = put("/bkt/key").body("hello").header("x-oss-meta-a", "1");
    fixture.call(call).await.expect(200);
    let meta = fixture.call(head("/bkt/key?objectMeta")).await.expect(200);
    assert_eq!(meta.must("content-length"), "5");
    assert_eq!(meta.must("etag"), HELLO_ETAG);
    assert_eq!(meta.must("x-oss-hash-crc64ecma"), HELLO_CRC);
    assert_eq!(meta.must("last-modified"), "Thu, 15 Jan 2026 08:30:45 GMT");
    for absent in ["x-oss-meta-a", "x-oss-object-type", "x-oss-storage-class", "content-md5"] {
        assert!(meta.header(absent).is_none(), "{absent}");
    }
    // As a GET it is a whole answer without a body, and the connection goes on.
    let mut connection = fixture.connect().await;
    let meta = connection.call(&fixture, get("/bkt/key?objectMeta")).await.expect(200);
    assert_eq!((meta.must("content-length"), meta.must("etag")), ("0", HELLO_ETAG));
    assert_eq!(meta.must("x-oss-hash-crc64ecma"), HELLO_CRC);
    assert!(meta.body.is_empty());
    assert_eq!(connection.call(&fixture, get("/bkt/key")).await.expect(200).text(), "hello");
    let absent = fixture.call(head("/bkt/none?objectMeta")).await.expect(404);
    assert_head_error(&absent, "NoSuchKey");
}

/// A HEAD error: no body, the XML in a header.
#[track_caller]
pub fn assert_head_error(answer: &Response, code: &str) {
    assert!(answer.body.is_empty());
    let error =
        ossia_protocol::error::parse_x_oss_err(answer.must("x-oss-err").as_bytes()).unwrap();
    assert_eq!(error.code, code);
    assert_eq!(error.request_id.as_str(), answer.must("x-oss-request-id"));
}

#[tokio::test]
async fn head_errors_carry_their_xml_in_a_header() {
    let fixture = Fixture::with_bucket().await;
    let absent = fixture.call(head("/bkt/none")).await.expect(404);
    assert_head_error(&absent, "NoSuchKey");
    assert_eq!(absent.must("x-oss-ec"), "0026-00000001");
    let bucket = fixture.call(head("/none/key")).await.expect(404);
    assert_head_error(&bucket, "NoSuchBucket");
    assert_eq!(bucket.must("x-oss-ec"), "0015-00000101");
    assert_head_error(&fixture.call(head("/none/")).await.expect(404), "NoSuchBucket");
    let signature = fixture.call(head("/bkt/key").key(KEY_ID, "wrong")).await.expect(403);
    assert_head_error(&signature, "SignatureDoesNotMatch");
    // The connection is in step afterwards.
    let mut connection = fixture.connect().await;
    connection.call(&fixture, head("/bkt/none")).await.expect(404);
    connection.call(&fixture, get("/bkt/")).await.expect(200);
}

#[tokio::test]
async fn a_missing_key_is_told_as_sdks_compare_it() {
    let fixture = Fixture::with_bucket().await;
    let absent = fixture.call(get("/bkt/no%20such")).await.error(404, "NoSuchKey");
    assert_eq!(absent.element("Message").unwrap(), "The specified key does not exist.");
    assert_eq!(absent.element("Key").unwrap(), "no such");
    assert_eq!(absent.must("x-oss-ec"), "0026-00000001");
    assert_eq!(absent.element("HostId").unwrap(), fixture.host());
}

#[tokio::test]
async fn the_null_version_is_the_object_and_others_do_not_exist() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key").body("hello")).await.expect(200);
    fixture.call(get("/bkt/key?versionId=null")).await.expect(200);
    let other = fixture.call(get("/bkt/key?versionId=CAEQabc")).await.error(404, "NoSuchVersion");
    assert_eq!(other.element("VersionId").unwrap(), "CAEQabc");
    fixture.call(get("/bkt/key?versionId=abc")).await.error(400, "InvalidArgument");
    fixture.call(get("/bkt/key?versionId=")).await.error(400, "InvalidArgument");
    fixture.call(delete("/bkt/key?versionId=CAEQabc")).await.expect(204);
    fixture.call(head("/bkt/key?versionId=null")).await.expect(200);
    fixture.call(delete("/bkt/key?versionId=null")).await.expect(204);
    fixture.call(head("/bkt/key")).await.expect(404);
}

#[tokio::test]
async fn a_delete_is_204_whether_or_not_there_was_anything() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key").body("hello")).await.expect(200);
    for _ in 0..2 {
        let md5_of_nothing = delete("/bkt/key").header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
        let answer = fixture.call(md5_of_nothing).await.expect(204);
        assert!(answer.header("x-oss-version-id").is_none());
        assert!(answer.header("x-oss-delete-marker").is_none());
    }
    fixture.call(get("/bkt/key")).await.error(404, "NoSuchKey");
    fixture.call(delete("/none/key")).await.error(404, "NoSuchBucket");
}

#[tokio::test]
async fn many_keys_are_deleted_at_once() {
    let fixture = Fixture::with_bucket().await;
    for key in ["a", "b%26c", "d%22e%27f", "%E9%94%AE"] {
        fixture.call(put(&format!("/bkt/{key}")).body("x")).await.expect(200);
    }
    // Escaped as ali-oss does it, with the named and the numeric forms.
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Delete>\n<Object><Key>a</Key></Object>\
        <Object><Key>b&amp;c</Key></Object><Object><Key>d&quot;e&#39;f</Key></Object>\
        <Object><Key>\u{952e}</Key></Object><Object><Key>absent</Key></Object>\
        <Quiet>false</Quiet></Delete>";
    let call = post("/bkt/?delete&encoding-type=url").body(body);
    let answer = fixture.call(call).await.expect(200);
    assert_eq!(answer.must("content-type"), "application/xml");
    assert_eq!(answer.element("EncodingType").as_deref(), Some("url"));
    assert!(answer.text().contains("<DeleteResult>"));
    let keys = ["a", "b%26c", "d%22e%27f", "%E9%94%AE", "absent"];
    assert_eq!(answer.elements("Key"), keys);
    let list = fixture.call(get("/bkt/")).await.expect(200);
    assert!(list.elements("Key").is_empty());
}

#[tokio::test]
async fn a_quiet_delete_answers_nothing() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/a").body("x")).await.expect(200);
    let body = "<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>";
    let answer = fixture.call(post("/bkt/?delete").body(body)).await.expect(200);
    assert_eq!(answer.must("content-length"), "0");
    fixture.call(head("/bkt/a")).await.expect(404);
}

#[tokio::test]
async fn a_malformed_list_of_keys_deletes_nothing() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/a").body("x")).await.expect(200);
    let thousand: String = (0..1001).map(|i| format!("<Object><Key>{i}</Key></Object>")).collect();
    let bomb =
        "<!DOCTYPE Delete [<!ENTITY a \"a\">]><Delete><Object><Key>&a;</Key></Object></Delete>";
    for body in [
        "",
        "nonsense",
        "<Delete><Object><Key>a</Key></Object>",
        "<Other><Object><Key>a</Key></Object></Other>",
        "<Delete></Delete>",
        "<Delete><Object></Object></Delete>",
        "<Delete><Object><Key>a</Key></Object><Object/></Delete>",
        bomb,
        &format!("<Delete><Object><Key>a</Key></Object>{thousand}</Delete>"),
        &format!("<Delete><Object><Key>a</Key></Object>{}</Delete>", " ".repeat(2 << 20)),
    ] {
        for call in [post("/bkt/?delete").body(body), post("/bkt/?delete").body(body).chunked()] {
            let refused = fixture.call(call).await.error(400, "MalformedXML");
            assert_eq!(refused.must("x-oss-ec"), "0016-00000608");
        }
    }
    let good = "<Delete><Object><Key>a</Key></Object></Delete>";
    let wrong = post("/bkt/?delete").body(good).header("content-md5", HELLO_MD5);
    fixture.call(wrong).await.error(400, "InvalidDigest");
    fixture.call(post("/bkt/?delete").no_body()).await.error(411, "MissingContentLength");
    fixture.call(head("/bkt/a")).await.expect(200);
}

#[tokio::test]
async fn image_processing_is_not_answered_with_the_raw_object() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key").body("hello")).await.expect(200);
    let call = get("/bkt/key?x-oss-process=image/resize,w_100");
    fixture.call(call).await.error(400, "NotImplemented");
}
