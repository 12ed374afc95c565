//! Versions: `objects.md` sections 6, 7 and 17, `buckets.md` section 8, `append.md` section 1.9.

use crate::drive::*;

const ENABLED: &str = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
const SUSPENDED: &str =
    "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";

async fn versioned() -> Fixture {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/?versioning").body(ENABLED)).await.expect(200);
    fixture
}

async fn put_version(fixture: &Fixture, target: &str, body: &str) -> String {
    let answer = fixture.call(put(target).body(body)).await.expect(200);
    answer.must("x-oss-version-id").to_owned()
}

#[tokio::test]
async fn a_bucket_tells_how_it_keeps_versions_once_it_was_told() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/old").body("x")).await.expect(200);
    for (body, status) in [(ENABLED, "Enabled"), (SUSPENDED, "Suspended"), (ENABLED, "Enabled")] {
        fixture.call(put("/bkt/?versioning").body(body)).await.expect(200);
        for target in ["/bkt/?versioning", "/bkt/?bucketInfo"] {
            let told = fixture.call(get(target)).await.expect(200);
            let name = if target.ends_with("Info") { "Versioning" } else { "Status" };
            assert_eq!(told.element(name).as_deref(), Some(status), "{target}");
        }
    }
    for wrong in [
        "<VersioningConfiguration><Status>Disabled</Status></VersioningConfiguration>",
        "<VersioningConfiguration></VersioningConfiguration>",
        "<Versioning><Status>Enabled</Status></Versioning>",
        "",
        "<!DOCTYPE x [<!ENTITY a \"b\">]><VersioningConfiguration/>",
    ] {
        let call = put("/bkt/?versioning").body(wrong);
        fixture.call(call).await.error(400, "MalformedXML");
    }
    fixture.call(put("/none/?versioning").body(ENABLED)).await.error(404, "NoSuchBucket");
    // What was there before is the version null, and has no other name.
    let old = fixture.call(head("/bkt/old")).await.expect(200);
    assert_eq!(old.must("x-oss-version-id"), "null");
}

#[tokio::test]
async fn every_answer_names_its_version_and_every_operation_takes_one() {
    let fixture = versioned().await;
    let one = put_version(&fixture, "/bkt/k", "first").await;
    let two = put_version(&fixture, "/bkt/k", "second!").await;
    assert_ne!(one, two);
    for (query, id, body) in
        [(String::new(), &two, "second!"), (format!("?versionId={one}"), &one, "first")]
    {
        let read = fixture.call(get(&format!("/bkt/k{query}"))).await.expect(200);
        assert_eq!((read.must("x-oss-version-id"), &*read.text()), (&**id, body));
        let told = fixture.call(head(&format!("/bkt/k{query}"))).await.expect(200);
        assert_eq!(told.must("x-oss-version-id"), id);
        let and = query.replace('?', "&");
        let meta = fixture.call(head(&format!("/bkt/k?objectMeta{and}"))).await.expect(200);
        assert_eq!(meta.must("content-length"), body.len().to_string());
        for sub in ["acl", "tagging"] {
            let told = fixture.call(get(&format!("/bkt/k?{sub}{and}"))).await.expect(200);
            assert_eq!(told.must("x-oss-version-id"), id);
        }
    }
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";
    let call = put(&format!("/bkt/k?tagging&versionId={one}")).body(tags);
    assert_eq!(fixture.call(call).await.expect(200).must("x-oss-version-id"), one);
    let call =
        put(&format!("/bkt/k?acl&versionId={one}")).header("x-oss-object-acl", "public-read");
    assert_eq!(fixture.call(call).await.expect(200).must("x-oss-version-id"), one);
    let told = fixture.call(get("/bkt/k?tagging")).await.expect(200);
    assert!(told.element("Key").is_none());
    // The ACL of the version that is asked for counts.
    let open = get(&format!("/bkt/k?versionId={one}")).anonymous();
    fixture.call(open).await.expect(200);
    fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
    let call = delete(&format!("/bkt/k?tagging&versionId={one}"));
    assert_eq!(fixture.call(call).await.expect(204).must("x-oss-version-id"), one);
    let from = format!("/bkt/k?versionId={one}");
    let copy = put("/bkt/copy").no_body().header("x-oss-copy-source", &from);
    let copied = fixture.call(copy).await.expect(200);
    assert_eq!(copied.must("x-oss-copy-source-version-id"), one);
    assert_eq!(fixture.call(get("/bkt/copy")).await.expect(200).text(), "first");
    let link = put("/bkt/link?symlink").no_body().header("x-oss-symlink-target", "k");
    let linked = fixture.call(link).await.expect(200);
    let id = linked.must("x-oss-version-id");
    let told = fixture.call(get(&format!("/bkt/link?symlink&versionId={id}"))).await.expect(200);
    assert_eq!(told.must("x-oss-version-id"), id);
    // A copy onto itself brings an old version back as a new one.
    let copy = put("/bkt/k").no_body().header("x-oss-copy-source", &from);
    let third = fixture.call(copy).await.expect(200).must("x-oss-version-id").to_owned();
    assert!(third != one && third != two);
    assert_eq!(fixture.call(get("/bkt/k")).await.expect(200).text(), "first");
    let unknown = "0".repeat(31) + "1";
    for call in [
        get(&format!("/bkt/k?versionId={unknown}")),
        get(&format!("/bkt/k?acl&versionId={unknown}")),
        put("/bkt/x").no_body().header("x-oss-copy-source", format!("/bkt/k?versionId={unknown}")),
    ] {
        fixture.call(call).await.error(404, "NoSuchVersion");
    }
    for wrong in ["x", "Null", "a/b"] {
        let call = get(&format!("/bkt/k?versionId={wrong}"));
        fixture.call(call).await.error(400, "InvalidArgument");
    }
    let gone = fixture.call(delete(&format!("/bkt/k?versionId={unknown}"))).await.expect(204);
    assert_eq!(gone.must("x-oss-version-id"), unknown);
}

#[tokio::test]
async fn a_marker_hides_the_object_and_is_refused_by_its_id() {
    let fixture = versioned().await;
    let one = put_version(&fixture, "/bkt/k", "x").await;
    let gone = fixture.call(delete("/bkt/k")).await.expect(204);
    assert_eq!(gone.must("x-oss-delete-marker"), "true");
    let marker = gone.must("x-oss-version-id").to_owned();
    for call in [get("/bkt/k"), get("/bkt/k?acl"), get("/bkt/k?tagging"), get("/bkt/k?symlink")] {
        let told = fixture.call(call).await.error(404, "NoSuchKey");
        assert_eq!(told.must("x-oss-delete-marker"), "true");
        assert_eq!(told.must("x-oss-version-id"), marker);
    }
    let told = fixture.call(head("/bkt/k")).await.expect(404);
    assert_eq!(told.must("x-oss-delete-marker"), "true");
    let told = fixture.call(get(&format!("/bkt/k?versionId={marker}"))).await;
    let told = told.error(405, "MethodNotAllowed");
    assert_eq!(told.must("allow"), "DELETE");
    assert_eq!(told.must("x-oss-delete-marker"), "true");
    assert_eq!(told.must("x-oss-version-id"), marker);
    assert_eq!(told.element("ResourceType").unwrap(), "DeleteMarker");
    assert_eq!(told.element("Method").unwrap(), "GET");
    fixture.call(head(&format!("/bkt/k?versionId={marker}"))).await.expect(405);
    let call = get(&format!("/bkt/k?acl&versionId={marker}"));
    fixture.call(call).await.error(404, "NoSuchKey");
    let copy = put("/bkt/x").no_body().header("x-oss-copy-source", "/bkt/k");
    fixture.call(copy).await.error(404, "NoSuchKey");
    assert!(fixture.call(get("/bkt/")).await.expect(200).element("Key").is_none());
    fixture.call(delete("/bkt")).await.error(409, "BucketNotEmpty");
    let back = fixture.call(delete(&format!("/bkt/k?versionId={marker}"))).await.expect(204);
    assert_eq!(back.must("x-oss-delete-marker"), "true");
    assert_eq!(back.must("x-oss-version-id"), marker);
    fixture.call(get("/bkt/k")).await.expect(200);
    let gone = fixture.call(delete(&format!("/bkt/k?versionId={one}"))).await.expect(204);
    assert!(gone.header("x-oss-delete-marker").is_none());
    fixture.call(delete("/bkt")).await.expect(204);
}

#[tokio::test]
async fn many_are_deleted_with_their_versions() {
    let fixture = versioned().await;
    let one = put_version(&fixture, "/bkt/k", "x").await;
    let body = "<Delete><Object><Key>k</Key></Object><Object><Key>none</Key></Object></Delete>";
    let told = fixture.call(post("/bkt/?delete").body(body)).await.expect(200);
    assert_eq!(told.elements("DeleteMarker"), ["true", "true"]);
    assert!(told.element("VersionId").is_none());
    let markers = told.elements("DeleteMarkerVersionId");
    let body = format!(
        "<Delete><Object><Key>k</Key><VersionId>{one}</VersionId></Object>\
         <Object><Key>k</Key><VersionId>{}</VersionId></Object>\
         <Object><Key>none</Key><VersionId>{}</VersionId></Object>\
         <Object><Key>none</Key><VersionId>other</VersionId></Object></Delete>",
        markers[0], markers[1]
    );
    let told = fixture.call(post("/bkt/?delete").body(body)).await.expect(200);
    assert_eq!(told.elements("VersionId"), [&*one, &markers[0], &markers[1], "other"]);
    assert_eq!(told.elements("DeleteMarkerVersionId"), markers);
    let left = fixture.call(get("/bkt/?versions")).await.expect(200);
    assert!(left.element("Key").is_none());
    fixture.call(delete("/bkt")).await.expect(204);
}

#[tokio::test]
async fn versions_are_listed_in_the_form_that_sdks_read() {
    let fixture = versioned().await;
    let one = put_version(&fixture, "/bkt/a%20b", "x").await;
    let two = put_version(&fixture, "/bkt/a%20b", "xy").await;
    put_version(&fixture, "/bkt/dir/c", "z").await;
    let gone = fixture.call(delete("/bkt/a%20b")).await.expect(204);
    let marker = gone.must("x-oss-version-id").to_owned();
    let all = fixture.call(get("/bkt/?versions&delimiter=/&encoding-type=url")).await.expect(200);
    let text = all.text();
    assert!(
        text.contains(
            "<ListVersionsResult><Name>bkt</Name><Prefix></Prefix><KeyMarker></KeyMarker>\
         <VersionIdMarker></VersionIdMarker><MaxKeys>100</MaxKeys><Delimiter>%2F</Delimiter>\
         <EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><DeleteMarker>"
        ),
        "{text}"
    );
    assert_eq!(all.elements("VersionId"), [marker.clone(), two.clone(), one.clone()]);
    assert_eq!(all.elements("IsLatest"), ["true", "false", "false"]);
    assert_eq!(all.elements("Size"), ["2", "1"]);
    assert_eq!(all.elements("Type"), ["Normal", "Normal"]);
    assert_eq!(all.elements("Key"), ["a%20b", "a%20b", "a%20b"]);
    assert!(text.contains("<CommonPrefixes><Prefix>dir%2F</Prefix></CommonPrefixes>"));
    let page = fixture.call(get("/bkt/?versions&max-keys=2")).await.expect(200);
    assert_eq!(page.element("NextKeyMarker").unwrap(), "a b");
    assert_eq!(page.element("NextVersionIdMarker").unwrap(), two);
    let next = format!("/bkt/?versions&max-keys=2&key-marker=a%20b&version-id-marker={two}");
    let page = fixture.call(get(&next)).await.expect(200);
    assert_eq!(page.elements("Key"), ["a b", "dir/c"]);
    assert_eq!(page.element("IsTruncated").unwrap(), "false");
    let page = fixture.call(get("/bkt/?versions&key-marker=a%20b")).await.expect(200);
    assert_eq!(page.elements("Key"), ["dir/c"]);
    let bare = "/bkt/?versions&key-marker&version-id-marker&prefix&delimiter&max-keys";
    assert_eq!(fixture.call(get(bare)).await.expect(200).elements("Key").len(), 4);
    let long = "x".repeat(1025);
    for wrong in [
        "version-id-marker=null".to_owned(),
        "max-keys=0".into(),
        "max-keys=1001".into(),
        "key-marker=a&version-id-marker=wrong".into(),
        "encoding-type=x".into(),
        format!("prefix={long}"),
        format!("key-marker={long}"),
        format!("delimiter={long}"),
    ] {
        let call = get(&format!("/bkt/?versions&{wrong}"));
        fixture.call(call).await.error(400, "InvalidArgument");
    }
    let stat = fixture.call(get("/bkt/?stat")).await.expect(200);
    for (name, count) in [("Storage", "4"), ("ObjectCount", "3"), ("DeleteMarkerCount", "1")] {
        assert_eq!(stat.element(name).unwrap(), count, "{name}");
    }
}

#[tokio::test]
async fn an_unversioned_bucket_lists_its_objects_as_versions_null() {
    let fixture = Fixture::with_bucket().await;
    let plain = fixture.call(put("/bkt/k").body("x")).await.expect(200);
    assert!(plain.header("x-oss-version-id").is_none());
    let all = fixture.call(get("/bkt/?versions")).await.expect(200);
    assert_eq!(all.elements("VersionId"), ["null"]);
    assert_eq!(all.elements("IsLatest"), ["true"]);
    let gone = fixture.call(delete("/bkt/k")).await.expect(204);
    assert!(gone.header("x-oss-version-id").is_none());
    assert!(gone.header("x-oss-delete-marker").is_none());
}

#[tokio::test]
async fn appends_stay_in_their_version() {
    let fixture = versioned().await;
    let first = fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    let id = first.must("x-oss-version-id").to_owned();
    assert_ne!(id, "null");
    let more = fixture.call(append("/bkt/log", 5, " world")).await.expect(200);
    assert_eq!(more.must("x-oss-version-id"), id);
    let read = fixture.call(get(&format!("/bkt/log?versionId={id}"))).await.expect(200);
    assert_eq!(read.text(), "hello world");
    let gone = fixture.call(delete("/bkt/log")).await.expect(204);
    let marker = gone.must("x-oss-version-id").to_owned();
    let told = fixture.call(append("/bkt/log", 11, "x")).await;
    let told = told.error(409, "PositionNotEqualToLength");
    assert_eq!(told.must("x-oss-next-append-position"), "0");
    let anew = fixture.call(append("/bkt/log", 0, "anew")).await.expect(200);
    let second = anew.must("x-oss-version-id").to_owned();
    assert_ne!(second, id);
    for version in [&second, &marker] {
        fixture.call(delete(&format!("/bkt/log?versionId={version}"))).await.expect(204);
    }
    let more = fixture.call(append("/bkt/log", 11, "!")).await.expect(200);
    assert_eq!(more.must("x-oss-version-id"), id);
    put_version(&fixture, "/bkt/log", "put").await;
    fixture.call(append("/bkt/log", 12, "x")).await.error(409, "ObjectNotAppendable");
    fixture.call(put("/bkt/?versioning").body(SUSPENDED)).await.expect(200);
    let gone = fixture.call(delete("/bkt/log")).await.expect(204);
    assert_eq!(gone.must("x-oss-version-id"), "null");
    let null = fixture.call(append("/bkt/log", 0, "n")).await.expect(200);
    assert_eq!(null.must("x-oss-version-id"), "null");
}

#[tokio::test]
async fn where_versions_are_kept_nothing_must_not_be_overwritten() {
    let fixture = versioned().await;
    for _ in 0..2 {
        let call = put("/bkt/k").body("x").header("x-oss-forbid-overwrite", "true");
        fixture.call(call).await.expect(200);
    }
    let started = fixture.call(post("/bkt/k?uploads")).await.expect(200);
    let upload = started.element("UploadId").unwrap();
    fixture
        .call(put(&format!("/bkt/k?partNumber=1&uploadId={upload}")).body("p"))
        .await
        .expect(200);
    let call = post(&format!("/bkt/k?uploadId={upload}"))
        .no_body()
        .header("x-oss-complete-all", "yes")
        .header("x-oss-forbid-overwrite", "true");
    let done = fixture.call(call).await.expect(200);
    assert_eq!(done.must("x-oss-version-id").len(), 64);
    let all = fixture.call(get("/bkt/?versions")).await.expect(200);
    assert_eq!(all.elements("Type"), ["Multipart", "Normal", "Normal"]);
}
