//! CopyObject: `objects.md` §8.

use crate::drive::*;

async fn with_source() -> Fixture {
    let fixture = Fixture::with_bucket().await;
    fixture.make_bucket("other").await;
    let call = put("/bkt/dir/a%20b")
        .body("hello")
        .header("content-type", "text/plain")
        .header("x-oss-meta-a", "1")
        .header("x-oss-tagging", "t=1")
        .header("x-oss-object-acl", "public-read");
    fixture.call(call).await.expect(200);
    fixture
}

fn copy(target: &str, source: &str) -> Call {
    put(target).header("x-oss-copy-source", source)
}

#[tokio::test]
async fn a_copy_takes_bytes_headers_and_tags_but_not_the_acl() {
    let fixture = with_source().await;
    for (i, source) in ["/bkt/dir/a%20b", "/bkt/dir%2Fa%20b", "bkt/dir/a%20b", "/bkt/dir/a+b"]
        .into_iter()
        .enumerate()
    {
        let target = format!("/other/copy{i}");
        // A header that only replacing copies take.
        let call = copy(&target, source).header("x-oss-meta-a", "2");
        let answer = fixture.call(call).await.expect(200);
        assert!(answer.text().contains("<CopyObjectResult><ETag>"), "{}", answer.text());
        let etag = "\"5D41402ABC4B2A76B9719D911017C592\"";
        assert_eq!(answer.element("ETag").unwrap().replace("&quot;", "\""), etag);
        assert_eq!(answer.element("LastModified").unwrap(), "2026-01-15T08:30:45.000Z");
        assert_eq!(answer.must("etag"), etag);
        let info = fixture.call(get(&target)).await.expect(200);
        assert_eq!(info.text(), "hello");
        assert_eq!(info.must("content-type"), "text/plain");
        assert_eq!(info.must("x-oss-meta-a"), "1");
        assert_eq!(info.must("x-oss-tagging-count"), "1");
        fixture.call(get(&target).anonymous()).await.error(403, "AccessDenied");
    }
}

#[tokio::test]
async fn directives_replace_headers_and_tags() {
    let fixture = with_source().await;
    let call = copy("/other/copy", "/bkt/dir/a%20b")
        .header("x-oss-metadata-directive", "REPLACE")
        .header("x-oss-tagging-directive", "Replace")
        .header("content-type", "image/png")
        .header("x-oss-object-acl", "public-read");
    fixture.call(call).await.expect(200);
    let info = fixture.call(get("/other/copy").anonymous()).await.expect(200);
    assert_eq!(info.must("content-type"), "image/png");
    assert!(info.header("x-oss-meta-a").is_none() && info.header("x-oss-tagging-count").is_none());
    for name in ["x-oss-metadata-directive", "x-oss-tagging-directive"] {
        let call = copy("/other/copy", "/bkt/dir/a%20b").header(name, "MERGE");
        fixture.call(call).await.error(400, "InvalidArgument");
    }
}

#[tokio::test]
async fn a_copy_onto_itself_changes_the_headers() {
    let fixture = with_source().await;
    let call = copy("/bkt/dir/a%20b", "/bkt/dir/a%20b").header("x-oss-meta-b", "2");
    fixture.call(call).await.expect(200);
    let info = fixture.call(get("/bkt/dir/a%20b")).await.expect(200);
    assert_eq!((info.text().as_str(), info.must("x-oss-meta-b")), ("hello", "2"));
    assert!(info.header("x-oss-meta-a").is_none());
}

#[tokio::test]
async fn conditions_on_the_source_answer_412_and_304() {
    let fixture = with_source().await;
    for (name, value, status) in [
        ("x-oss-copy-source-if-match", "\"5D41402ABC4B2A76B9719D911017C592\"", 200),
        ("x-oss-copy-source-if-match", "\"other\"", 412),
        ("x-oss-copy-source-if-none-match", "\"5D41402ABC4B2A76B9719D911017C592\"", 304),
        ("x-oss-copy-source-if-modified-since", "Thu, 15 Jan 2026 08:30:45 GMT", 304),
        ("x-oss-copy-source-if-unmodified-since", "Thu, 15 Jan 2026 08:30:44 GMT", 412),
        // What ali-oss sends along and nobody knows.
        ("x-oss-copy-source-content-type", "x", 200),
    ] {
        let answer = fixture.call(copy("/other/copy", "/bkt/dir/a%20b").header(name, value)).await;
        assert_eq!(answer.status, status, "{name}");
        match status {
            412 => {
                // By its plain name, which ali-oss shows.
                let plain = name.trim_start_matches("x-oss-copy-source-");
                let told = answer.element("Condition").unwrap();
                assert!(told.eq_ignore_ascii_case(plain), "{told}");
                answer.error(412, "PreconditionFailed");
            }
            304 => assert!(answer.body.is_empty()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn sources_that_are_missing_or_malformed_are_told() {
    let fixture = with_source().await;
    fixture.call(copy("/other/copy", "/bkt/none")).await.error(404, "NoSuchKey");
    fixture.call(copy("/other/copy", "/none/key")).await.error(404, "NoSuchBucket");
    fixture.call(copy("/none/copy", "/bkt/dir/a%20b")).await.error(404, "NoSuchBucket");
    let version = copy("/other/copy", "/bkt/dir/a%20b?versionId=CAEQabc");
    fixture.call(version).await.error(404, "NoSuchVersion");
    fixture.call(copy("/other/copy", "/bkt/dir/a%20b?versionId=null")).await.expect(200);
    for bad in ["/bkt", "/", "", "key"] {
        let refused = fixture.call(copy("/other/bad", bad)).await.error(400, "InvalidArgument");
        assert_eq!(
            refused.element("Message").as_deref(),
            Some("Copy Source must mention the source bucket and key: /sourcebucket/sourcekey."),
            "{bad}"
        );
    }
    fixture.call(head("/other/bad")).await.expect(404);
}

#[tokio::test]
async fn forbid_overwrite_holds_for_copies_and_encryption_by_others_is_refused() {
    let fixture = with_source().await;
    fixture.call(put("/other/copy").body("mine")).await.expect(200);
    let call = copy("/other/copy", "/bkt/dir/a%20b").header("x-oss-forbid-overwrite", "true");
    fixture.call(call).await.error(409, "FileAlreadyExists");
    let call = copy("/other/copy", "/bkt/dir/a%20b").header("x-oss-server-side-encryption", "KMS");
    fixture.call(call).await.error(400, "KmsServiceNotEnabled");
    assert_eq!(fixture.call(get("/other/copy")).await.text(), "mine");
}

#[tokio::test]
async fn large_objects_are_copied_whole() {
    let fixture = Fixture::with_bucket().await;
    let body: Vec<u8> = (0..1_000_000u32).map(|n| (n * 7) as u8).collect();
    fixture.call(put("/bkt/big").body(&body)).await.expect(200);
    fixture.call(copy("/bkt/copy", "/bkt/big")).await.expect(200);
    fixture.call(delete("/bkt/big")).await.expect(204);
    assert_eq!(fixture.call(get("/bkt/copy")).await.expect(200).body, body);
}
