//! What an object is set to beside its content: `objects.md` §§9-12.

use crate::drive::*;

const TARGET: &str = "x-oss-symlink-target";

fn tagging(tags: &[(&str, &str)]) -> String {
    let tags: String = tags
        .iter()
        .map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"))
        .collect();
    format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
}

async fn set_acl(fixture: &Fixture, key: &str, acl: &str) {
    let call = put(&format!("/bkt/{key}?acl")).header("x-oss-object-acl", acl);
    let answer = fixture.call(call).await.expect(200);
    assert!(answer.body.is_empty());
}

async fn grant(fixture: &Fixture, key: &str) -> String {
    fixture.call(get(&format!("/bkt/{key}?acl"))).await.expect(200).element("Grant").unwrap()
}

#[tokio::test]
async fn an_objects_acl_is_set_read_back_and_obeyed_and_moves_no_time() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/k", 0, "hello")).await.expect(200);
    let before = fixture.call(head("/bkt/k")).await.expect(200);
    assert_eq!(grant(&fixture, "k").await, "default");
    fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
    fixture.clock.advance_ms(5_000);
    set_acl(&fixture, "k", "public-read").await;
    let told = fixture.call(get("/bkt/k?acl=")).await.expect(200);
    assert!(told.text().contains("<AccessControlPolicy><Owner><ID>"), "{}", told.text());
    assert_eq!(told.element("ID"), told.element("DisplayName"));
    assert_eq!(told.element("Grant").as_deref(), Some("public-read"));
    assert_eq!(fixture.call(get("/bkt/k").anonymous()).await.expect(200).body, b"hello");
    fixture.call(append("/bkt/k", 5, "x").anonymous()).await.error(403, "AccessDenied");
    let after = fixture.call(head("/bkt/k")).await.expect(200);
    for name in ["last-modified", "etag", "x-oss-hash-crc64ecma", "x-oss-next-append-position"] {
        assert_eq!(after.must(name), before.must(name), "{name}");
    }
    // Public writing does not open what is the owner's.
    set_acl(&fixture, "k", "public-read-write").await;
    fixture.call(append("/bkt/k", 5, " x").anonymous()).await.expect(200);
    fixture.call(get("/bkt/k?acl").anonymous()).await.error(403, "AccessDenied");
    let open = put("/bkt/k?acl").header("x-oss-object-acl", "private").anonymous();
    fixture.call(open).await.error(403, "AccessDenied");
    set_acl(&fixture, "k", "default").await;
    assert_eq!(grant(&fixture, "k").await, "default");
    assert_eq!(fixture.call(get("/bkt/k")).await.expect(200).body, b"hello x");
}

#[tokio::test]
async fn an_acl_is_refused_where_it_makes_no_sense() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("small")).await.expect(200);
    for value in [None, Some("public"), Some("PRIVATE"), Some("")] {
        let mut call = put("/bkt/k?acl");
        if let Some(value) = value {
            call = call.header("x-oss-object-acl", value);
        }
        let told = fixture.call(call).await.error(400, "InvalidArgument");
        assert_eq!(told.element("ArgumentName").as_deref(), Some("x-oss-object-acl"));
    }
    let absent = put("/bkt/none?acl").header("x-oss-object-acl", "private");
    fixture.call(absent).await.error(404, "NoSuchKey");
    fixture.call(get("/bkt/none?acl")).await.error(404, "NoSuchKey");
    fixture.call(get("/none/k?acl")).await.error(404, "NoSuchBucket");
    fixture.call(get("/bkt/k?acl&versionId=CAEQ")).await.error(404, "NoSuchVersion");
    fixture.call(get("/bkt/k?acl&versionId=null")).await.expect(200);
    assert_eq!(fixture.call(get("/bkt/k")).await.expect(200).body, b"small");
}

#[tokio::test]
async fn tags_are_replaced_counted_and_removed() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("x").header("x-oss-tagging", "a=1&b")).await.expect(200);
    let told = fixture.call(get("/bkt/k?tagging")).await.expect(200);
    assert_eq!(told.elements("Key"), ["a", "b"]);
    assert_eq!(told.elements("Value"), ["1", ""]);
    let before = fixture.call(head("/bkt/k")).await.expect(200);
    assert_eq!(before.must("x-oss-tagging-count"), "2");
    fixture.clock.advance_ms(5_000);
    let body = tagging(&[("c d", "1+1=2"), ("e", "x:/._-")]);
    let set = fixture.call(put("/bkt/k?tagging").body(&body)).await.expect(200);
    assert!(set.body.is_empty());
    let told = fixture.call(get("/bkt/k?tagging")).await.expect(200);
    assert!(told.text().ends_with(&body), "{}", told.text());
    let after = fixture.call(head("/bkt/k")).await.expect(200);
    assert_eq!(after.must("last-modified"), before.must("last-modified"));
    for _ in 0..2 {
        fixture.call(delete("/bkt/k?tagging")).await.expect(204);
        let told = fixture.call(get("/bkt/k?tagging")).await.expect(200);
        assert!(told.text().ends_with("<Tagging><TagSet></TagSet></Tagging>"), "{}", told.text());
    }
    assert_eq!(fixture.call(head("/bkt/k")).await.header("x-oss-tagging-count"), None);
    for call in
        [get("/bkt/no?tagging"), put("/bkt/no?tagging").body(body), delete("/bkt/no?tagging")]
    {
        fixture.call(call).await.error(404, "NoSuchKey");
    }
}

#[tokio::test]
async fn tags_by_header_and_by_document_are_the_same_and_copies_follow_the_directive() {
    let fixture = Fixture::with_bucket().await;
    let first = append("/bkt/log", 0, "1").header("x-oss-tagging", "k=first");
    fixture.call(first).await.expect(200);
    let later = append("/bkt/log", 1, "2").header("x-oss-tagging", "k=later");
    fixture.call(later).await.expect(200);
    let told = fixture.call(get("/bkt/log?tagging")).await.expect(200);
    assert_eq!(told.element("Value").as_deref(), Some("first"));
    fixture.call(put("/bkt/src").body("x")).await.expect(200);
    fixture.call(put("/bkt/src?tagging").body(tagging(&[("t", "set")]))).await.expect(200);
    for (directive, tags, wanted) in
        [("Copy", "t=asked", "set"), ("Replace", "t=asked", "asked"), ("", "", "set")]
    {
        let mut copy = put("/bkt/dst").header("x-oss-copy-source", "/bkt/src");
        if !directive.is_empty() {
            copy = copy.header("x-oss-tagging-directive", directive).header("x-oss-tagging", tags);
        }
        fixture.call(copy).await.expect(200);
        let told = fixture.call(get("/bkt/dst?tagging")).await.expect(200);
        assert_eq!(told.element("Value").as_deref(), Some(wanted), "{directive}");
    }
}

#[tokio::test]
async fn bad_tags_are_told_by_their_own_code() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let eleven: Vec<(String, String)> = (0..11).map(|i| (format!("k{i}"), "v".into())).collect();
    let eleven: Vec<(&str, &str)> = eleven.iter().map(|(k, v)| (&**k, &**v)).collect();
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><Tagging><TagSet><Tag><Key>&b;</Key>\
                <Value/></Tag></TagSet></Tagging>";
    let deep = "<a>".repeat(10_000);
    for (body, code) in [
        (tagging(&eleven), "TooManyTags"),
        (tagging(&[("a", "1"), ("a", "2")]), "RepeatedTags"),
        (tagging(&[("", "1")]), "InvalidTag"),
        (tagging(&[("a?", "1")]), "InvalidTag"),
        (tagging(&[(&*"k".repeat(129), "1")]), "InvalidTag"),
        (tagging(&[("a", &*"v".repeat(257))]), "InvalidTag"),
        (String::new(), "MalformedXML"),
        ("<Tagging>".into(), "MalformedXML"),
        ("<Tags><TagSet/></Tags>".into(), "MalformedXML"),
        (tagging(&[("a", "b&c")]), "MalformedXML"),
        (bomb.into(), "MalformedXML"),
        (deep, "MalformedXML"),
        (tagging(&[("a", &*"v".repeat(40 << 10))]), "MalformedXML"),
    ] {
        fixture.call(put("/bkt/k?tagging").body(&body)).await.error(400, code);
    }
    let wrong_md5 =
        put("/bkt/k?tagging").body(tagging(&[])).header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
    fixture.call(wrong_md5).await.error(400, "InvalidDigest");
    assert!(fixture.call(get("/bkt/k?tagging")).await.expect(200).elements("Key").is_empty());
}

#[tokio::test]
async fn reading_through_a_link_gives_the_targets_bytes_and_the_links_attributes() {
    let fixture = Fixture::with_bucket().await;
    let link = put("/bkt/link?symlink")
        .header(TARGET, "a%20b%2F%E6%97%A5%2Bx")
        .header("x-oss-meta-from", "link")
        .header("x-oss-storage-class", "IA");
    let made = fixture.call(link).await.expect(200);
    let etag = made.must("etag").to_owned();
    assert_eq!(etag.len(), 34);
    fixture.call(get("/bkt/link")).await.error(404, "SymlinkTargetNotExist");
    fixture.call(head("/bkt/link")).await.expect(404);
    fixture.clock.advance_ms(5_000);
    let target = put("/bkt/a%20b/%E6%97%A5+x").body("hello").header("x-oss-meta-from", "target");
    let target = fixture.call(target).await.expect(200);
    let target_head = fixture.call(head("/bkt/a%20b/%E6%97%A5+x")).await.expect(200);
    for call in [get("/bkt/link"), head("/bkt/link")] {
        let read = fixture.call(call).await.expect(200);
        assert_eq!(read.must("content-length"), "5");
        assert_eq!(read.must("x-oss-object-type"), "Symlink");
        assert_eq!(read.must("x-oss-storage-class"), "IA");
        assert_eq!(read.must("x-oss-meta-from"), "link");
        assert_eq!(read.must("last-modified"), target_head.must("last-modified"));
        for name in ["etag", "content-md5", "x-oss-hash-crc64ecma"] {
            assert_eq!(read.must(name), target.must(name), "{name}");
        }
        assert_eq!(read.header("x-oss-next-append-position"), None);
    }
    let part = fixture.call(get("/bkt/link").header("range", "bytes=1-3")).await.expect(206);
    assert_eq!(part.body, b"ell");
    let same = get("/bkt/link").header("if-none-match", target.must("etag"));
    fixture.call(same).await.expect(304);
    // The link itself.
    let told = fixture.call(get("/bkt/link?symlink")).await.expect(200);
    // A client that does not decode it reads plain keys as they were.
    assert_eq!(told.must(TARGET), "a%20b/%E6%97%A5%2Bx");
    assert_eq!(told.must("etag"), etag);
    assert_eq!(told.must("x-oss-meta-from"), "link");
    assert_eq!(told.must("content-length"), "0");
    let meta = fixture.call(head("/bkt/link?objectMeta")).await.expect(200);
    assert_eq!(meta.must("content-length"), "0");
    assert_eq!(meta.must("etag"), etag);
    let list = fixture.call(get("/bkt/?prefix=link")).await.expect(200);
    assert_eq!(list.element("Type").as_deref(), Some("Symlink"));
    assert_eq!(list.element("Size").as_deref(), Some("0"));
    // Through it to a growing log, and gone without its target.
    fixture.call(append("/bkt/log", 0, "one")).await.expect(200);
    fixture.call(put("/bkt/link?symlink").header(TARGET, "log")).await.expect(200);
    fixture.call(append("/bkt/log", 3, " two")).await.expect(200);
    assert_eq!(fixture.call(get("/bkt/link")).await.expect(200).body, b"one two");
    fixture.call(append("/bkt/link", 0, "x")).await.error(409, "ObjectNotAppendable");
    fixture.call(delete("/bkt/link")).await.expect(204);
    assert_eq!(fixture.call(get("/bkt/log")).await.expect(200).body, b"one two");
}

#[tokio::test]
async fn both_acls_count_and_a_link_to_a_link_is_not_followed() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/target").body("secret")).await.expect(200);
    let link = put("/bkt/link?symlink").header(TARGET, "target");
    fixture.call(link.header("x-oss-object-acl", "public-read")).await.expect(200);
    fixture.call(get("/bkt/link").anonymous()).await.error(403, "AccessDenied");
    fixture.call(head("/bkt/link").anonymous()).await.expect(403);
    fixture.call(get("/bkt/link?symlink").anonymous()).await.expect(200);
    set_acl(&fixture, "target", "public-read").await;
    assert_eq!(fixture.call(get("/bkt/link").anonymous()).await.expect(200).body, b"secret");
    set_acl(&fixture, "link", "private").await;
    fixture.call(get("/bkt/link").anonymous()).await.error(403, "AccessDenied");
    for target in ["link", "second"] {
        fixture.call(put("/bkt/second?symlink").header(TARGET, target)).await.expect(200);
        fixture.call(get("/bkt/second")).await.error(400, "InvalidTargetType");
        fixture.call(head("/bkt/second")).await.expect(400);
    }
}

#[tokio::test]
async fn a_link_is_copied_as_a_link_and_refused_where_it_makes_no_sense() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/target").body("bytes")).await.expect(200);
    fixture.call(put("/bkt/link?symlink").header(TARGET, "target")).await.expect(200);
    fixture.call(put("/bkt/copy").header("x-oss-copy-source", "/bkt/link")).await.expect(200);
    let told = fixture.call(get("/bkt/copy?symlink")).await.expect(200);
    assert_eq!(told.must(TARGET), "target");
    fixture.call(put("/bkt/link?tagging").body(tagging(&[("a", "b")]))).await.expect(200);
    let told = fixture.call(get("/bkt/link?symlink")).await.expect(200);
    assert_eq!((told.must(TARGET), told.must("x-oss-tagging-count")), ("target", "1"));
    for target in ["", "%2Fabsolute", "%FF", &*"k".repeat(1024)] {
        let call = put("/bkt/bad?symlink").header(TARGET, target);
        fixture.call(call).await.error(400, "InvalidArgument");
    }
    fixture.call(put("/bkt/bad?symlink")).await.error(400, "InvalidArgument");
    let cold = put("/bkt/bad?symlink").header(TARGET, "x");
    let cold = cold.header("x-oss-storage-class", "ColdArchive");
    fixture.call(cold).await.error(400, "InvalidArgument");
    let forbid = put("/bkt/link?symlink").header(TARGET, "x");
    let forbid = forbid.header("x-oss-forbid-overwrite", "true");
    fixture.call(forbid).await.error(409, "FileAlreadyExists");
    fixture.call(get("/bkt/target?symlink")).await.error(400, "NotSymlink");
    fixture.call(get("/bkt/none?symlink")).await.error(404, "NoSuchKey");
    fixture
        .call(put("/bkt/link?symlink").header(TARGET, "x").anonymous())
        .await
        .error(403, "AccessDenied");
}
