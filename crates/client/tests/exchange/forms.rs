//! What the client puts on the wire, and what it reads from it.

use crate::stub::{Request, Step, Stub, answer, raw, refusal};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_core::Stream;
use ossia_client::{
    AppendObjectRequest, Body, ByteRange, Client, ClientError, ContentMd5, CopyObjectRequest,
    CreateBucketRequest, Credentials, GetObjectRequest, IntegrityError, ListBucketsRequest,
    ListObjectsRequest, ObjectAcl, ObjectAttributes, Outcome, PutObjectRequest, SealObjectRequest,
    SignatureVersion, StorageClass,
};
use ossia_protocol::addressing::{Addressing, RequestTarget};
use ossia_protocol::auth::{self, HeaderList, Lookup, RequestParts, Secret, Signed, VerifyOptions};
use ossia_protocol::crc64::checksum;
use ossia_protocol::query::Query;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

fn client(stub: &Stub) -> Client {
    Client::builder(&stub.endpoint).credentials(Credentials::new("id", "secret")).build().unwrap()
}

/// A stream over chunks that are there already.
struct Chunks(std::vec::IntoIter<&'static str>);

impl Stream for Chunks {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(|text| Ok(Bytes::from_static(text.as_bytes()))))
    }
}

fn chunks(texts: Vec<&'static str>) -> Body {
    Body::stream(Chunks(texts.into_iter()))
}

fn appended(position: u64, crc64: u64) -> Step {
    let (position, crc64) = (position.to_string(), crc64.to_string());
    let headers = [
        ("x-oss-next-append-position", position.as_str()),
        ("x-oss-hash-crc64ecma", crc64.as_str()),
        ("etag", "\"2776271A4A09D82CA518AC5C00000000\""),
    ];
    answer("200 OK", &headers, "")
}

/// Verifies a recorded request's signature as a server would, and says in which version it was.
fn verify(request: &Request, token: Option<&str>) -> auth::Version {
    let split = RequestTarget::split(&request.target);
    let query = Query::parse(split.query.unwrap_or_default().as_bytes()).unwrap();
    let no_names: [&str; 0] = [];
    let no_cnames: [(&str, &str); 0] = [];
    let target = Addressing::new(no_names, no_cnames).resolve(request.header("host"), split.path);
    let headers: HeaderList = request.headers.iter().map(|(name, value)| (name, value)).collect();
    let parts =
        RequestParts { method: &request.method, target: &target, query: &query, headers: &headers };
    let Signed::Claimed(claim) = auth::detect(&parts).unwrap() else { panic!("not signed") };
    assert_eq!((claim.access_key_id(), claim.token()), ("id", token));
    let secret = Secret::new("secret");
    let lookup = Lookup::Found { secret: &secret, signing_key: None };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let verified = auth::verify(&claim, &parts, lookup, now, &VerifyOptions::default()).unwrap();
    assert_eq!(verified.leniency, None, "a signature that only a lenient server takes");
    claim.version()
}

#[tokio::test]
async fn both_signatures_verify_over_hard_names_headers_and_tokens() {
    let key = "dir//a b+&=%2F?\u{4e2d}.txt";
    for (version, expected) in
        [(SignatureVersion::V1, auth::Version::V1), (SignatureVersion::V4, auth::Version::V4)]
    {
        for token in [None, Some("CAISxx+/==")] {
            let stub =
                Stub::start(vec![appended(3, checksum(b"abc")), answer("200 OK", &[], "x")]).await;
            let mut credentials = Credentials::new("id", "secret");
            if let Some(token) = token {
                credentials = credentials.with_security_token(token);
            }
            let client = Client::builder(&stub.endpoint)
                .signature(version)
                .credentials(credentials)
                .build()
                .unwrap();
            let request = AppendObjectRequest {
                attributes: ObjectAttributes {
                    content_type: Some("text/plain; charset=utf-8".to_owned()),
                    metadata: vec![("Who".to_owned(), "two  blanks".to_owned())],
                    acl: Some(ObjectAcl::PublicRead),
                    storage_class: Some(StorageClass::Ia),
                    ..ObjectAttributes::default()
                },
                content_md5: ContentMd5::Computed,
                ..AppendObjectRequest::new("bkt", key, "abc")
            };
            client.append_object(request).await.unwrap();
            let read = GetObjectRequest::new("bkt", key);
            client.get_object(read).await.unwrap().body.collect(10).await.unwrap();
            for request in stub.seen() {
                assert_eq!(verify(&request, token), expected);
            }
        }
    }
}

#[tokio::test]
async fn an_unsigned_client_sends_no_authorization() {
    let stub = Stub::start(vec![appended(0, 0)]).await;
    let client = Client::builder(&stub.endpoint).build().unwrap();
    client.append_object(AppendObjectRequest::new("bkt", "k", "")).await.unwrap();
    assert_eq!(stub.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn an_append_has_the_form_of_the_official_clients() {
    let stub =
        Stub::start(vec![appended(5, checksum(b"hello")), appended(11, checksum(b"hello world"))])
            .await;
    let client = client(&stub);
    let first =
        client.append_object(AppendObjectRequest::new("bkt", "a/b", "hello")).await.unwrap();
    assert_eq!(first.next_position, 5);
    assert_eq!(first.crc64, Some(11_177_612_005_948_864_433));
    assert_eq!(first.etag, "2776271A4A09D82CA518AC5C00000000");
    assert_eq!((first.status, first.request_id.as_str()), (200, "5C3D8D2A0ACA54D87B43A1B2"));
    assert!(!first.recovered);
    let second = AppendObjectRequest::new("bkt", "a/b", chunks(vec![" wor", "", "ld"]))
        .position(5)
        .previous_crc64(first.crc64.unwrap());
    assert_eq!(client.append_object(second).await.unwrap().next_position, 11);

    let seen = stub.seen();
    // `position: None` is the first append, and the service refuses one without the parameter.
    assert_eq!(
        (seen[0].method.as_str(), seen[0].target.as_str()),
        ("POST", "/bkt/a/b?append&position=0")
    );
    assert_eq!(seen[0].header("content-length"), Some("5"));
    assert_eq!(seen[0].body, b"hello");
    assert_eq!(seen[1].target, "/bkt/a/b?append&position=5");
    assert_eq!(seen[1].header("transfer-encoding"), Some("chunked"));
    assert_eq!(seen[1].header("content-length"), None);
    assert_eq!(seen[1].body, b" world");
    assert_eq!(stub.connections(), 1, "the connection was not used again");
}

#[tokio::test]
async fn files_and_sized_streams_announce_their_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, "0123456789").unwrap();
    let stub =
        Stub::start(vec![appended(10, checksum(b"0123456789")), appended(13, 1), appended(15, 1)])
            .await;
    let client = client(&stub);
    client.append_object(AppendObjectRequest::new("bkt", "k", Body::file(&path))).await.unwrap();
    let part = AppendObjectRequest::new("bkt", "k", Body::file_part(&path, 4, 3)).position(10);
    client.append_object(part).await.unwrap();
    let sized = Body::sized_stream(Chunks(vec!["x", "y"].into_iter()), 2);
    client.append_object(AppendObjectRequest::new("bkt", "k", sized).position(13)).await.unwrap();
    let sent: Vec<_> = stub
        .seen()
        .into_iter()
        .map(|request| (request.header("content-length").unwrap().to_owned(), request.body))
        .collect();
    assert_eq!(sent[0], ("10".to_owned(), b"0123456789".to_vec()));
    assert_eq!(sent[1], ("3".to_owned(), b"456".to_vec()));
    assert_eq!(sent[2], ("2".to_owned(), b"xy".to_vec()));
}

#[tokio::test]
async fn a_seal_announces_that_it_has_no_body() {
    let headers = [("x-oss-sealed-time", "Wed, 07 May 2025 23:00:00 GMT")];
    let stub = Stub::start(vec![answer("200 OK", &headers, "")]).await;
    let request = SealObjectRequest { bucket: "bkt".into(), key: "k".into(), position: 7 };
    let sealed = client(&stub).seal_object(request).await.unwrap();
    assert_eq!(sealed.sealed_time.as_deref(), Some("Wed, 07 May 2025 23:00:00 GMT"));
    let seen = &stub.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/bkt/k?seal&position=7"));
    assert_eq!(seen.header("content-length"), Some("0"));
}

#[tokio::test]
async fn a_refused_append_tells_where_the_object_ends() {
    let headers =
        [("x-oss-next-append-position", "11"), ("x-oss-hash-crc64ecma", "5981764153023615706")];
    let stub = Stub::start(vec![
        refusal("409 Conflict", "PositionNotEqualToLength", &headers),
        refusal("409 Conflict", "ObjectNotAppendable", &[]),
    ])
    .await;
    let client = client(&stub);
    let error = client.append_object(AppendObjectRequest::new("bkt", "k", "x")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected);
    let ClientError::PositionNotEqualToLength { next_position, crc64, service } = error else {
        panic!("{error:?}")
    };
    assert_eq!((next_position, crc64), (11, Some(5_981_764_153_023_615_706)));
    assert_eq!((service.status, service.code.as_str()), (409, "PositionNotEqualToLength"));
    assert_eq!((service.ec.as_str(), service.host_id.as_str()), ("0000-00000001", "h"));
    assert_eq!(service.request_id, "5C3D8D2A0ACA54D87B43A1B2");
    let error = client.append_object(AppendObjectRequest::new("bkt", "k", "x")).await.unwrap_err();
    assert!(matches!(error, ClientError::ObjectNotAppendable { .. }), "{error:?}");
    // A conflict is an answer: nothing was looked up or tried again.
    assert_eq!(stub.methods(), ["POST", "POST"]);
}

#[tokio::test]
async fn refusals_without_a_body_are_read_from_the_header_or_the_status() {
    let xml = "<Error><Code>NoSuchKey</Code><Message>m</Message><RequestId>5C3D8D2A0ACA54D87B43A1B2</RequestId>\
               <HostId>h</HostId><Key>k</Key><EC>0026-00000001</EC></Error>";
    let encoded = STANDARD.encode(xml);
    let stub = Stub::start(vec![
        answer("404 Not Found", &[("x-oss-err", &encoded)], ""),
        answer("403 Forbidden", &[("x-oss-ec", "0003-00000001")], ""),
        answer("418 Odd", &[("content-type", "text/html")], "<html>"),
    ])
    .await;
    let client = client(&stub);
    let missing = client.head_object("bkt", "k").await.unwrap_err();
    assert!(missing.is_not_found());
    assert_eq!(missing.code(), Some("NoSuchKey"));
    assert_eq!(missing.service().unwrap().field("Key"), Some("k"));
    let bare = client.head_object("bkt", "k").await.unwrap_err();
    let service = bare.service().unwrap();
    assert_eq!((service.status, service.code.as_str()), (403, "BadErrorResponse"));
    assert_eq!(
        (service.ec.as_str(), bare.request_id()),
        ("0003-00000001", Some("5C3D8D2A0ACA54D87B43A1B2"))
    );
    let odd = client.delete_object("bkt", "k").await.unwrap_err();
    assert_eq!((odd.status(), odd.code()), (Some(418), Some("BadErrorResponse")));
}

#[tokio::test]
async fn a_put_is_checked_before_and_after_it_is_stored() {
    let crc = checksum(b"data").to_string();
    let good = [("x-oss-hash-crc64ecma", crc.as_str()), ("etag", "\"E\"")];
    let bad = [("x-oss-hash-crc64ecma", "1")];
    let stub = Stub::start(vec![answer("200 OK", &good, ""), answer("200 OK", &bad, "")]).await;
    let client = client(&stub);
    let mut request = PutObjectRequest::new("bkt", "k", "data");
    request.forbid_overwrite = true;
    let stored = client.put_object(request).await.unwrap();
    assert_eq!((stored.etag.as_str(), stored.crc64), ("E", Some(checksum(b"data"))));
    let seen = stub.seen();
    assert_eq!(seen[0].header("x-oss-hash-crc64ecma"), Some(crc.as_str()));
    assert_eq!(seen[0].header("x-oss-forbid-overwrite"), Some("true"));
    let error = client.put_object(PutObjectRequest::new("bkt", "k", "data")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    let ClientError::Integrity(IntegrityError::Crc64 { ours, theirs, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!((ours, theirs), (checksum(b"data"), 1));
}

#[tokio::test]
async fn an_append_whose_answer_does_not_fit_is_an_integrity_error() {
    let stub = Stub::start(vec![
        appended(5, 1),
        appended(6, checksum(b"hello")),
        appended(10, 1),
        appended(10, 1),
        answer("200 OK", &[], ""),
    ])
    .await;
    let client = client(&stub);
    let append = |position| AppendObjectRequest::new("bkt", "k", "hello").position(position);
    // At position 0 the CRC-64 before is known to be 0.
    let crc = client.append_object(append(0)).await.unwrap_err();
    assert!(
        matches!(crc, ClientError::Integrity(IntegrityError::Crc64 { theirs: 1, .. })),
        "{crc:?}"
    );
    let moved = client.append_object(append(0)).await.unwrap_err();
    let expected = |error: &ClientError| {
        matches!(
            error,
            ClientError::Integrity(IntegrityError::NextPosition { ours: 5, theirs: 6, .. })
        )
    };
    assert!(expected(&moved), "{moved:?}");
    // Without the CRC-64 before there is nothing to compare with.
    client.append_object(append(5)).await.unwrap();
    let known =
        client.append_object(append(5).previous_crc64(checksum(b"12345"))).await.unwrap_err();
    assert!(matches!(known, ClientError::Integrity(IntegrityError::Crc64 { .. })), "{known:?}");
    let silent = client.append_object(append(0)).await.unwrap_err();
    assert!(matches!(silent, ClientError::BadAnswer { .. }), "{silent:?}");
}

#[tokio::test]
async fn a_download_is_checked_as_a_whole_and_not_in_part() {
    let crc = checksum(b"0123456789").to_string();
    let whole = [("x-oss-hash-crc64ecma", crc.as_str()), ("x-oss-object-type", "Appendable")];
    let part = [("x-oss-hash-crc64ecma", crc.as_str()), ("content-range", "bytes 2-4/10")];
    let stub = Stub::start(vec![
        answer("200 OK", &whole, "0123456789"),
        answer("200 OK", &whole, "0123456780"),
        answer("206 Partial Content", &part, "234"),
        answer("200 OK", &whole, "0123456789"),
    ])
    .await;
    let client = client(&stub);
    let read = || GetObjectRequest::new("bkt", "k");
    let good = client.get_object(read()).await.unwrap();
    assert_eq!((good.meta.length, good.meta.object_type.as_str()), (10, "Appendable"));
    assert_eq!(good.body.collect(10).await.unwrap(), "0123456789");
    let damaged = client.get_object(read()).await.unwrap().body.collect(10).await.unwrap_err();
    assert!(matches!(damaged, ClientError::Integrity(_)), "{damaged:?}");
    let range = ByteRange::Span { first: 2, last: 4 };
    let some = client.get_object(read().range(range)).await.unwrap();
    assert_eq!((some.status, some.meta.length), (206, 10));
    assert_eq!(some.body.collect(3).await.unwrap(), "234");
    // A service that does not know the range answers with everything; that is not what was asked for.
    let all = client.get_object(read().range(range)).await.unwrap_err();
    assert!(matches!(all, ClientError::BadAnswer { .. }), "{all:?}");
    let seen = stub.seen();
    assert_eq!(seen[2].header("range"), Some("bytes=2-4"));
    assert_eq!(seen[2].header("x-oss-range-behavior"), Some("standard"));
    assert_eq!(seen[0].header("x-oss-range-behavior"), None);
}

#[tokio::test]
async fn a_download_that_breaks_off_or_is_longer_than_wanted_is_an_error() {
    let cut = raw("200 OK", &[("content-length", "10")], "01234");
    let long = answer("200 OK", &[], "0123456789");
    let stub = Stub::start(vec![Step::AnswerAndClose(cut), long]).await;
    let client = client(&stub);
    let mut body = client.get_object(GetObjectRequest::new("bkt", "k")).await.unwrap().body;
    assert_eq!(body.next_chunk().await.unwrap().unwrap(), "01234");
    let error = body.next_chunk().await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Transport { .. }), "{error:?}");
    assert!(body.next_chunk().await.is_none());
    let body = client.get_object(GetObjectRequest::new("bkt", "k")).await.unwrap().body;
    let error = body.collect(9).await.unwrap_err();
    assert!(matches!(error, ClientError::BadAnswer { .. }), "{error:?}");
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let page = |entries: &str, next: &str| {
        let next = match next {
            "" => "<IsTruncated>false</IsTruncated>".to_owned(),
            next => format!(
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>"
            ),
        };
        let body = format!(
            "<ListBucketResult><Name>bkt</Name><EncodingType>url</EncodingType>{next}{entries}</ListBucketResult>"
        );
        answer("200 OK", &[("content-type", "application/xml")], &body)
    };
    let entry = "<Contents><Key>a%0Ab</Key><LastModified>2025-11-05T08:01:02.000Z</LastModified><ETag>\"E\"</ETag>\
                 <Type>Appendable</Type><Size>7</Size><StorageClass>Standard</StorageClass></Contents>";
    let prefix = "<CommonPrefixes><Prefix>p%2F</Prefix></CommonPrefixes>";
    let stub = Stub::start(vec![page(entry, "t+1"), page(prefix, "")]).await;
    let mut pages = client(&stub).list_objects_pages(ListObjectsRequest {
        prefix: "a&".to_owned(),
        delimiter: "/".to_owned(),
        max_keys: Some(1),
        ..ListObjectsRequest::new("bkt")
    });
    let first = pages.next_page().await.unwrap().unwrap();
    assert_eq!((first.objects[0].key.as_str(), first.objects[0].size), ("a\nb", 7));
    let second = pages.next_page().await.unwrap().unwrap();
    assert_eq!(second.common_prefixes, ["p/"]);
    assert!(pages.next_page().await.unwrap().is_none());
    let seen = stub.seen();
    let common = "/bkt/?list-type=2&encoding-type=url&prefix=a%26&delimiter=%2F";
    assert_eq!(seen[0].target, format!("{common}&max-keys=1"));
    assert_eq!(seen[1].target, format!("{common}&continuation-token=t%2B1&max-keys=1"));
}

#[tokio::test]
async fn a_listing_that_goes_in_a_circle_ends() {
    let body = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
    let stub = Stub::start(vec![answer("200 OK", &[], body), answer("200 OK", &[], body)]).await;
    let mut pages = client(&stub).list_objects_pages(ListObjectsRequest::new("bkt"));
    pages.next_page().await.unwrap();
    assert!(matches!(pages.next_page().await, Err(ClientError::BadAnswer { .. })));
}

#[tokio::test]
async fn buckets_are_made_described_listed_and_removed() {
    let info = "<BucketInfo><Bucket><Name>bkt</Name><Location>oss-cn-hangzhou</Location>\
                <CreationDate>2025-11-05T08:01:02.000Z</CreationDate><StorageClass>IA</StorageClass>\
                <AccessControlList><Grant>private</Grant></AccessControlList></Bucket></BucketInfo>";
    let list = "<ListAllMyBucketsResult><Owner><ID>1</ID><DisplayName>1</DisplayName></Owner><Buckets><Bucket>\
                <CreationDate>2025-11-05T08:01:02.000Z</CreationDate><ExtranetEndpoint>e</ExtranetEndpoint>\
                <IntranetEndpoint>i</IntranetEndpoint><Location>oss-r</Location><Name>bkt</Name><Region>r</Region>\
                <StorageClass>IA</StorageClass></Bucket></Buckets></ListAllMyBucketsResult>";
    let stub = Stub::start(vec![
        answer("200 OK", &[], ""),
        answer("200 OK", &[], info),
        answer("200 OK", &[], list),
        answer("204 No Content", &[("content-length", "0")], ""),
    ])
    .await;
    let client = client(&stub);
    let mut create = CreateBucketRequest::new("bkt");
    create.storage_class = Some(StorageClass::Ia);
    assert_eq!(client.create_bucket(create).await.unwrap(), "5C3D8D2A0ACA54D87B43A1B2");
    let details = client.get_bucket_info("bkt").await.unwrap();
    assert_eq!((details.storage_class.as_str(), details.acl.as_str()), ("IA", "private"));
    let buckets = client.list_buckets(ListBucketsRequest::default()).await.unwrap();
    assert_eq!((buckets.buckets[0].name.as_str(), buckets.next_marker), ("bkt", None));
    client.delete_bucket("bkt").await.unwrap();
    let seen = stub.seen();
    let lines: Vec<_> =
        seen.iter().map(|request| format!("{} {}", request.method, request.target)).collect();
    assert_eq!(lines, ["PUT /bkt/", "GET /bkt/?bucketInfo", "GET /", "DELETE /bkt/"]);
    assert!(String::from_utf8_lossy(&seen[0].body).contains("<StorageClass>IA</StorageClass>"));
}

#[tokio::test]
async fn a_copy_names_its_source_encoded() {
    let body = "<CopyObjectResult><ETag>\"E\"</ETag><LastModified>2018-12-28T09:41:56.000Z</LastModified></CopyObjectResult>";
    let stub = Stub::start(vec![answer("200 OK", &[], body)]).await;
    let copied = client(&stub)
        .copy_object(CopyObjectRequest {
            source_bucket: "src".into(),
            source_key: "a b/\u{e9}".into(),
            bucket: "bkt".into(),
            key: "k".into(),
            ..CopyObjectRequest::default()
        })
        .await
        .unwrap();
    assert_eq!((copied.etag.as_str(), copied.last_modified), ("E", 1_545_990_116));
    assert_eq!(stub.seen()[0].header("x-oss-copy-source"), Some("/src/a%20b/%C3%A9"));
}

#[tokio::test]
async fn invalid_names_never_leave_the_machine() {
    let stub = Stub::start(vec![]).await;
    let client = client(&stub);
    for (bucket, key) in [("B", "k"), ("bkt", ""), ("bkt", "/k"), ("b/t", "k")] {
        let error =
            client.append_object(AppendObjectRequest::new(bucket, key, "x")).await.unwrap_err();
        assert!(matches!(error, ClientError::InvalidInput(_)), "{bucket} {key}: {error:?}");
        assert_eq!(error.outcome(), Outcome::Rejected);
    }
    let far = AppendObjectRequest::new("bkt", "k", "x").position(1 << 63);
    assert!(matches!(client.append_object(far).await, Err(ClientError::InvalidInput(_))));
    assert_eq!(stub.connections(), 0);
}
