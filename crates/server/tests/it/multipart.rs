//! Multipart uploads: `multipart.md`, each row of its error table that can occur.

use crate::drive::*;

const PART_MIN: usize = 102_400;

async fn start(fixture: &Fixture, target: &str) -> String {
    let answer = fixture.call(post(&format!("{target}?uploads"))).await.expect(200);
    let id = answer.element("UploadId").unwrap();
    assert_eq!(id.len(), 32);
    id
}

async fn send(fixture: &Fixture, id: &str, number: u32, body: impl AsRef<[u8]>) -> String {
    let target = format!("/bkt/key?partNumber={number}&uploadId={id}");
    fixture.call(put(&target).body(body)).await.expect(200).must("etag").to_owned()
}

fn list_of(parts: &[(&str, &str)]) -> String {
    let one = |(number, etag): &(&str, &str)| {
        format!("<Part><ETag>{etag}</ETag><PartNumber>{number}</PartNumber></Part>")
    };
    let parts: String = parts.iter().map(one).collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}

fn complete(id: &str, body: &str) -> Call {
    post(&format!("/bkt/key?uploadId={id}")).body(body)
}

#[tokio::test]
async fn parts_become_an_object_of_type_multipart() {
    let fixture = Fixture::with_bucket().await;
    let call = post("/bkt/key?uploads=&encoding-type=url")
        .header("content-type", "text/plain")
        .header("x-oss-meta-a", "1")
        .header("x-oss-tagging", "t=");
    let started = fixture.call(call).await.expect(200);
    assert!(started.text().contains("<InitiateMultipartUploadResult><EncodingType>url"));
    let id = started.element("UploadId").unwrap();
    let first = fixture.call(
        put(&format!("/bkt/key?partNumber=1&uploadId={id}")).body(vec![b'a'; PART_MIN]).chunked(),
    );
    let first = first.await.expect(200);
    assert!(first.body.is_empty());
    assert!(first.must("content-md5").ends_with("=="));
    let one = first.must("etag").to_owned();
    let two = send(&fixture, &id, 3, "hello").await;
    assert_eq!(two, "\"5D41402ABC4B2A76B9719D911017C592\"");
    fixture.call(head("/bkt/key")).await.expect(404);

    let listed = fixture.call(get(&format!("/bkt/key?uploadId={id}"))).await.expect(200);
    assert_eq!(listed.elements("PartNumber"), ["1", "3"]);
    assert_eq!(listed.elements("HashCrc64ecma")[1], "11177612005948864433");
    assert_eq!(listed.element("NextPartNumberMarker").unwrap(), "3");
    assert_eq!(listed.element("StorageClass").unwrap(), "Standard");
    let paged = format!("/bkt/key?uploadId={id}&max-parts=1&part-number-marker=1");
    assert_eq!(fixture.call(get(&paged)).await.expect(200).elements("PartNumber"), ["3"]);

    let quoted = one.trim_matches('"').to_lowercase();
    let body = list_of(&[("1", &quoted), ("3", &two.replace('"', "&quot;"))]);
    let done = fixture.call(complete(&id, &body)).await.expect(200);
    assert!(done.text().contains("<CompleteMultipartUploadResult><Location>http://"));
    assert!(done.must("etag").ends_with("-2\""));
    let info = fixture.call(head("/bkt/key")).await.expect(200);
    assert_eq!(info.must("x-oss-object-type"), "Multipart");
    assert_eq!(info.must("etag"), done.must("etag"));
    assert_eq!(info.must("x-oss-hash-crc64ecma"), done.must("x-oss-hash-crc64ecma"));
    assert_eq!(info.must("content-type"), "text/plain");
    assert_eq!(info.must("x-oss-meta-a"), "1");
    assert_eq!(info.must("x-oss-tagging-count"), "1");
    assert!(info.header("content-md5").is_none());
    let read = fixture.call(get("/bkt/key")).await.expect(200);
    assert!(read.body == [vec![b'a'; PART_MIN], b"hello".to_vec()].concat());
    let list = fixture.call(get("/bkt/")).await.expect(200);
    assert_eq!(list.elements("Type"), ["Multipart"]);
    fixture.call(append("/bkt/key", 102_405, "x")).await.error(409, "ObjectNotAppendable");
    fixture.call(complete(&id, &body)).await.error(404, "NoSuchUpload");
}

#[tokio::test]
async fn complete_all_takes_every_part_and_no_body() {
    let fixture = Fixture::with_bucket().await;
    let id = start(&fixture, "/bkt/key").await;
    let all = |body: &str| complete(&id, body).header("x-oss-complete-all", "yes");
    fixture.call(all("")).await.error(400, "MalformedXML");
    send(&fixture, &id, 2, "two").await;
    let refused = fixture.call(all("<x/>")).await.error(400, "InvalidArgument");
    assert_eq!(refused.element("EC").unwrap(), "0042-00000216");
    let done = fixture.call(all("").no_body()).await.expect(200);
    assert!(done.must("etag").ends_with("-1\""));
    assert_eq!(fixture.call(get("/bkt/key")).await.text(), "two");
}

#[tokio::test]
async fn what_cannot_be_completed_is_refused_with_its_own_error_and_stays() {
    let fixture = Fixture::with_bucket().await;
    let id = start(&fixture, "/bkt/key").await;
    let one = send(&fixture, &id, 1, "one").await;
    let two = send(&fixture, &id, 2, "two").await;
    for (body, code, ec) in [
        (list_of(&[("2", &two), ("1", &one)]), "InvalidPartOrder", Some("0042-00000209")),
        (list_of(&[("1", &one), ("1", &one)]), "InvalidPartOrder", Some("0042-00000209")),
        (list_of(&[("1", &two)]), "InvalidPart", None),
        (list_of(&[("3", &one)]), "InvalidPart", None),
        (list_of(&[("0", &one)]), "InvalidPart", None),
        (list_of(&[("18446744073709551615", &one)]), "InvalidPart", None),
        (list_of(&[("1", &one), ("2", &two)]), "EntityTooSmall", Some("0042-00000213")),
        (list_of(&[]), "MalformedXML", Some("0042-00000205")),
        (list_of(&[("x", &one)]), "MalformedXML", Some("0042-00000205")),
        (list_of(&[("99999999999999999999", &one)]), "MalformedXML", Some("0042-00000205")),
        (String::new(), "MalformedXML", Some("0042-00000205")),
        ("<CompleteMultipartUpload><Part>".into(), "MalformedXML", Some("0042-00000205")),
        (
            format!(
                "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>{}",
                list_of(&[("1", "&b;")])
            ),
            "MalformedXML",
            Some("0042-00000205"),
        ),
        (" ".repeat((4 << 20) + 1), "MalformedXML", Some("0042-00000205")),
    ] {
        let refused = fixture.call(complete(&id, &body)).await.error(400, code);
        assert_eq!(refused.element("EC").as_deref(), ec, "{code}");
        if code == "InvalidPart" {
            assert_eq!(refused.element("UploadId").unwrap(), id);
            assert!(refused.element("PartNumber").is_some());
        }
    }
    let call =
        complete(&id, &list_of(&[("1", &one)])).header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
    fixture.call(call).await.error(400, "InvalidDigest");
    fixture.call(put("/bkt/key").body("old")).await.expect(200);
    let call = complete(&id, &list_of(&[("1", &one)])).header("x-oss-forbid-overwrite", "true");
    fixture.call(call).await.error(409, "FileAlreadyExists");
    let call = post("/bkt/key?uploads").header("x-oss-forbid-overwrite", "true");
    fixture.call(call).await.error(409, "FileAlreadyExists");
    assert_eq!(fixture.call(get("/bkt/key")).await.text(), "old");
    fixture.call(complete(&id, &list_of(&[("1", &one)]))).await.expect(200);
    assert_eq!(fixture.call(get("/bkt/key")).await.text(), "one");
}

#[tokio::test]
async fn parts_are_refused_one_by_one() {
    let fixture = Fixture::with(|config| config.limits.put_bytes = 1 << 20).await;
    fixture.make_bucket("bkt").await;
    let id = start(&fixture, "/bkt/key").await;
    for number in ["0", "10001", "-1", "x", "1.0", "99999999999999999999"] {
        let target = format!("/bkt/key?partNumber={number}&uploadId={id}");
        let refused = fixture.call(put(&target).body("x")).await.error(400, "InvalidArgument");
        assert_eq!(refused.element("EC").unwrap(), "0017-00000220");
        assert_eq!(refused.element("ArgumentValue").unwrap(), number);
    }
    let target = format!("/bkt/key?partNumber=1&uploadId={id}");
    fixture.call(put(&target).no_body()).await.error(411, "MissingContentLength");
    let call = put(&target).body("x").header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
    fixture.call(call).await.error(400, "InvalidDigest");
    let call = put(&target).body("x").header("x-oss-server-side-encryption", "AES256");
    fixture.call(call).await.error(400, "InvalidArgument");
    let long = vec![0; (1 << 20) + 1];
    fixture.call(put(&target).body(&long)).await.error(400, "EntityTooLarge");
    for unknown in ["0".repeat(32), format!("{id}0"), "x".into()] {
        let target = format!("/bkt/key?partNumber=1&uploadId={unknown}");
        let refused = fixture.call(put(&target).body("x")).await.error(404, "NoSuchUpload");
        assert_eq!(refused.element("EC").unwrap(), "0042-00000104");
    }
    let target = format!("/bkt/other?partNumber=1&uploadId={id}");
    fixture.call(put(&target).body("x")).await.error(404, "NoSuchUpload");
    assert!(fixture.call(get("/bkt/")).await.expect(200).elements("Key").is_empty());
}

#[tokio::test]
async fn sequential_uploads_take_parts_in_their_turn() {
    let fixture = Fixture::with_bucket().await;
    let started = fixture.call(post("/bkt/key?uploads&sequential")).await.expect(200);
    let id = started.element("UploadId").unwrap();
    let target = format!("/bkt/key?partNumber=2&uploadId={id}");
    fixture.call(put(&target).body("x")).await.error(400, "PartNotSequential");
    send(&fixture, &id, 1, "x").await;
    send(&fixture, &id, 2, "x").await;
}

#[tokio::test]
async fn parts_are_copied_with_ranges_and_conditions() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/dir/a%20b", 0, "hello world")).await.expect(200);
    let id = start(&fixture, "/bkt/key").await;
    let copy = |number: u32, source: &str| {
        let target = format!("/bkt/key?partNumber={number}&uploadId={id}");
        put(&target).header("x-oss-copy-source", source)
    };
    let range = |number, range: &str| {
        copy(number, "/bkt/dir%2Fa%20b").header("x-oss-copy-source-range", range)
    };
    let part = fixture.call(range(1, "bytes=6-10")).await.expect(200);
    assert_eq!(part.must("content-range"), "bytes 6-10/11");
    assert_eq!(part.must("etag"), "\"7D793037A0760186574B0282F2F435E7\"");
    assert!(part.text().contains("<CopyPartResult><LastModified>2026-01-15T08:30:45.000Z<"));
    assert_eq!(fixture.call(range(1, "bytes=6-")).await.must("content-range"), "bytes 6-10/11");
    for no_range in ["6-10", "bytes=10-6", "bytes=-5", "lines=1-2"] {
        let part = fixture.call(range(2, no_range)).await.expect(200);
        assert!(part.header("content-range").is_none(), "{no_range}");
        assert_eq!(part.must("etag"), "\"5EB63BBBE01EEED093CB22BB8F5ACDC3\"");
    }
    for beyond in ["bytes=0-11", "bytes=11-", "bytes=5-18446744073709551615"] {
        fixture.call(range(3, beyond)).await.error(416, "InvalidRange");
    }
    fixture.call(copy(3, "/bkt/none")).await.error(404, "NoSuchKey");
    fixture.call(copy(3, "/none/none")).await.error(404, "NoSuchBucket");
    fixture.call(copy(3, "none")).await.error(400, "InvalidArgument");
    let call = copy(3, "/bkt/dir/a%20b").header("x-oss-copy-source-if-match", "\"0\"");
    fixture.call(call).await.error(412, "PreconditionFailed");
    let call = copy(3, "/bkt/dir/a%20b")
        .header("x-oss-copy-source-if-modified-since", "Thu, 15 Jan 2026 08:30:45 GMT");
    fixture.call(call).await.expect(304);
    let unknown = put(&format!("/bkt/key?partNumber=1&uploadId={}", "0".repeat(32)))
        .header("x-oss-copy-source", "/bkt/dir/a%20b");
    let refused = fixture.call(unknown).await.error(404, "NoSuchUpload");
    assert_eq!(refused.element("EC").unwrap(), "0042-00000311");
}

#[tokio::test]
async fn an_abort_is_told_once_and_the_bucket_waits_for_it() {
    let fixture = Fixture::with_bucket().await;
    let id = start(&fixture, "/bkt/key").await;
    send(&fixture, &id, 1, "x").await;
    let stat = fixture.call(get("/bkt/?stat")).await.expect(200);
    assert_eq!(stat.element("MultipartUploadCount").unwrap(), "1");
    assert_eq!(stat.element("MultipartPartCount").unwrap(), "1");
    assert_eq!(stat.element("Storage").unwrap(), "1");
    fixture.call(delete("/bkt/")).await.error(409, "BucketNotEmpty");
    let target = format!("/bkt/key?uploadId={id}");
    fixture.call(delete(&target)).await.expect(204);
    let refused = fixture.call(delete(&target)).await.error(404, "NoSuchUpload");
    assert_eq!(refused.element("EC").unwrap(), "0042-00000002");
    assert_eq!(refused.element("UploadId").unwrap(), id);
    fixture.call(get(&target)).await.error(404, "NoSuchUpload");
    fixture.call(get("/none/?uploads")).await.error(404, "NoSuchBucket");
    fixture.call(delete("/bkt/")).await.expect(204);
}

#[tokio::test]
async fn uploads_are_listed_with_markers_that_are_always_there() {
    let fixture = Fixture::with_bucket().await;
    let empty = fixture.call(get("/bkt/?uploads")).await.expect(200);
    for name in ["NextKeyMarker", "NextUploadIdMarker"] {
        assert_eq!(empty.element(name).as_deref(), Some(""), "{name}");
    }
    assert_eq!(empty.element("MaxUploads").unwrap(), "1000");
    for i in 0..20 {
        start(&fixture, &format!("/bkt/obj{i}")).await;
    }
    let folded = fixture.call(get("/bkt/?uploads&delimiter=4")).await.expect(200);
    assert_eq!(folded.elements("UploadId").len(), 18);
    assert_eq!(folded.text().matches("<CommonPrefixes>").count(), 2);
    let mut found = Vec::new();
    let mut target = "/bkt/?uploads&max-uploads=7".to_owned();
    loop {
        let page = fixture.call(get(&target)).await.expect(200);
        found.extend(page.elements("UploadId"));
        if page.element("IsTruncated").unwrap() == "false" {
            break;
        }
        let (key, id) = (page.element("NextKeyMarker"), page.element("NextUploadIdMarker"));
        let (key, id) = (key.unwrap(), id.unwrap());
        target = format!("/bkt/?uploads&max-uploads=7&key-marker={key}&upload-id-marker={id}");
    }
    assert_eq!(found.len(), 20);
    start(&fixture, "/bkt/%E7%9B%AE%20a").await;
    let listed =
        fixture.call(get("/bkt/?uploads&prefix=%E7%9B%AE&encoding-type=url")).await.expect(200);
    assert_eq!(listed.element("Key").unwrap(), "%E7%9B%AE%20a");
    for wrong in ["max-uploads=0", "max-uploads=1001", "max-uploads=x", "encoding-type=x"] {
        fixture.call(get(&format!("/bkt/?uploads&{wrong}"))).await.error(400, "InvalidArgument");
    }
    let id = start(&fixture, "/bkt/key").await;
    for wrong in ["max-parts=0", "max-parts=1001", "part-number-marker=-1"] {
        let target = format!("/bkt/key?uploadId={id}&{wrong}");
        fixture.call(get(&target)).await.error(400, "InvalidArgument");
    }
}

#[tokio::test]
async fn everyone_may_upload_where_the_acl_lets_them_but_not_name_an_acl_or_list() {
    let fixture = Fixture::start().await;
    fixture.call(put("/bkt/").header("x-oss-acl", "public-read-write")).await.expect(200);
    let started = fixture.call(post("/bkt/key?uploads").anonymous()).await.expect(200);
    let id = started.element("UploadId").unwrap();
    let target = format!("/bkt/key?partNumber=1&uploadId={id}");
    let etag = fixture.call(put(&target).body("x").anonymous()).await.expect(200);
    let body = list_of(&[("1", etag.must("etag"))]);
    let call = complete(&id, &body).header("x-oss-object-acl", "private").anonymous();
    fixture.call(call).await.error(403, "AccessDenied");
    let list = get(&format!("/bkt/key?uploadId={id}")).anonymous();
    fixture.call(list).await.error(403, "AccessDenied");
    fixture.call(complete(&id, &body).anonymous()).await.expect(200);
    let tagged = post("/bkt/key?uploads").header("x-oss-tagging", "a=b").anonymous();
    fixture.call(tagged).await.error(403, "AccessDenied");
    let acl = post("/bkt/key?uploads").header("x-oss-object-acl", "private").anonymous();
    let id = fixture.call(acl).await.expect(200).element("UploadId").unwrap();
    fixture.call(complete(&id, &body).anonymous()).await.error(403, "AccessDenied");
}
