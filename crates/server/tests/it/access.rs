//! Anonymous callers and ACLs: `permissions.md` §3.

use crate::drive::*;

async fn bucket_with(acl: &str) -> Fixture {
    let fixture = Fixture::start().await;
    fixture.call(put("/bkt/").header("x-oss-acl", acl)).await.expect(200);
    fixture.call(put("/bkt/key").body("content")).await.expect(200);
    fixture.call(append("/bkt/log", 0, "a")).await.expect(200);
    fixture
}

#[tokio::test]
async fn a_private_bucket_is_closed_to_anonymous_callers() {
    let fixture = bucket_with("private").await;
    for call in
        [get("/bkt/key"), put("/bkt/new").body("x"), append("/bkt/log", 1, "b"), delete("/bkt/key")]
    {
        let refused = fixture.call(call.anonymous()).await.error(403, "AccessDenied");
        assert_eq!(
            refused.element("Message").as_deref(),
            Some("Anonymous user has no right to access this object.")
        );
    }
    // Neither does a key that is not there show.
    fixture.call(get("/bkt/none").anonymous()).await.error(403, "AccessDenied");
    let head = fixture.call(head("/bkt/key").anonymous()).await.expect(403);
    assert!(head.header("x-oss-err").is_some());
}

#[tokio::test]
async fn a_public_read_bucket_can_be_read_and_no_more() {
    let fixture = bucket_with("public-read").await;
    assert_eq!(fixture.call(get("/bkt/key").anonymous()).await.expect(200).text(), "content");
    fixture.call(head("/bkt/key").anonymous()).await.expect(200);
    fixture.call(head("/bkt/key?objectMeta").anonymous()).await.expect(200);
    fixture.call(get("/bkt/none").anonymous()).await.error(404, "NoSuchKey");
    fixture.call(put("/bkt/new").body("x").anonymous()).await.error(403, "AccessDenied");
    fixture.call(append("/bkt/log", 1, "b").anonymous()).await.error(403, "AccessDenied");
    fixture.call(delete("/bkt/key").anonymous()).await.error(403, "AccessDenied");
}

#[tokio::test]
async fn a_public_read_write_bucket_takes_anonymous_appends_puts_and_deletes() {
    let fixture = bucket_with("public-read-write").await;
    fixture.call(append("/bkt/log", 1, "b").anonymous()).await.expect(200);
    fixture.call(append("/bkt/other", 0, "b").anonymous()).await.expect(200);
    fixture.call(put("/bkt/new").body("x").anonymous()).await.expect(200);
    let copy = put("/bkt/copy").header("x-oss-copy-source", "/bkt/key");
    fixture.call(copy.anonymous()).await.expect(200);
    fixture.call(delete("/bkt/new").anonymous()).await.expect(204);
    assert_eq!(fixture.call(get("/bkt/log").anonymous()).await.expect(200).text(), "ab");
}

#[tokio::test]
async fn listing_and_managing_are_never_open() {
    let fixture = bucket_with("public-read-write").await;
    for call in [
        get("/"),
        get("/bkt/"),
        get("/bkt/?list-type=2"),
        get("/bkt/?acl"),
        get("/bkt/?bucketInfo"),
        get("/bkt/?stat"),
        get("/bkt/key?acl"),
        get("/bkt/?uploads"),
        put("/bkt/?acl").header("x-oss-acl", "private"),
        put("/other/"),
        delete("/bkt/"),
        post("/bkt/log?seal&position=1"),
    ] {
        let target = call.target.clone();
        let answer = fixture.call(call.anonymous()).await;
        assert_eq!(answer.status, 403, "{target}");
        answer.error(403, "AccessDenied");
    }
    assert_eq!(fixture.call(head("/bkt/").anonymous()).await.status, 403);
}

#[tokio::test]
async fn an_objects_own_acl_overrides_the_buckets_both_ways() {
    let fixture = bucket_with("public-read-write").await;
    let closed = put("/bkt/closed").body("x").header("x-oss-object-acl", "private");
    fixture.call(closed).await.expect(200);
    fixture.call(get("/bkt/closed").anonymous()).await.error(403, "AccessDenied");
    fixture.call(put("/bkt/closed").body("y").anonymous()).await.error(403, "AccessDenied");
    let copy = put("/bkt/copy").header("x-oss-copy-source", "/bkt/closed");
    fixture.call(copy.anonymous()).await.error(403, "AccessDenied");
    let readable = put("/bkt/readable").body("x").header("x-oss-object-acl", "public-read");
    fixture.call(readable).await.expect(200);
    fixture.call(get("/bkt/readable").anonymous()).await.expect(200);
    fixture.call(delete("/bkt/readable").anonymous()).await.error(403, "AccessDenied");
}

#[tokio::test]
async fn of_many_keys_an_anonymous_caller_deletes_only_what_is_open() {
    let fixture = bucket_with("public-read-write").await;
    let closed = put("/bkt/closed").body("x").header("x-oss-object-acl", "private");
    fixture.call(closed).await.expect(200);
    let both = "<Delete><Object><Key>key</Key></Object><Object><Key>closed</Key></Object></Delete>";
    let answer = fixture.call(post("/bkt/?delete").body(both).anonymous()).await.expect(200);
    assert_eq!(answer.elements("Key"), ["key"]);
    fixture.call(head("/bkt/closed")).await.expect(200);
    fixture.call(head("/bkt/key")).await.expect(404);
    let one = "<Delete><Object><Key>closed</Key></Object></Delete>";
    let refused = post("/bkt/?delete").body(one).anonymous();
    fixture.call(refused).await.error(403, "AccessDenied");
    let private = bucket_with("private").await;
    let refused = post("/bkt/?delete").body(both).anonymous();
    private.call(refused).await.error(403, "AccessDenied");
    private.call(head("/bkt/key")).await.expect(200);
}

#[tokio::test]
async fn anonymous_readers_may_not_choose_response_headers() {
    let fixture = bucket_with("public-read").await;
    let call = get("/bkt/key?response-content-type=text/html").anonymous();
    let refused = fixture.call(call).await.error(400, "InvalidRequest");
    assert_eq!(
        refused.element("Message").as_deref(),
        Some("Request specific response headers cannot be used for anonymous GET requests.")
    );
}

#[tokio::test]
async fn a_public_bucket_lets_nobody_set_acls_or_tags_by_a_header() {
    let fixture = Fixture::start().await;
    fixture.call(put("/open/").header("x-oss-acl", "public-read-write")).await.expect(200);
    fixture.call(append("/open/log", 0, "a").anonymous()).await.expect(200);
    for (name, value) in [("x-oss-object-acl", "public-read-write"), ("x-oss-tagging", "a=1")] {
        for call in [
            put("/open/key").body("x"),
            append("/open/new", 0, "x"),
            append("/open/log", 1, "x"),
            put("/open/copy").header("x-oss-copy-source", "/open/log"),
        ] {
            let call = call.header(name, value).anonymous();
            fixture.call(call).await.error(403, "AccessDenied");
        }
    }
    fixture.call(append("/open/log", 1, "b").anonymous()).await.expect(200);
    fixture.call(append("/open/log", 2, "c").header("x-oss-tagging", "a=1")).await.expect(200);
}
