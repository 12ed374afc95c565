//! Service and bucket operations: `buckets.md` §§1-6.

use crate::drive::*;

const CONFIGURATION: &str = "<CreateBucketConfiguration>{}</CreateBucketConfiguration>";

#[tokio::test]
async fn a_bucket_is_made_listed_and_removed() {
    let fixture = Fixture::start().await;
    let made = fixture.call(put("/logs/")).await.expect(200);
    assert_eq!(made.must("location"), "/logs");
    fixture.call(head("/logs/")).await.expect(200);
    let list = fixture.call(get("/")).await.expect(200);
    for (name, value) in [
        ("Name", "logs"),
        ("Location", "oss-cn-hangzhou"),
        ("Region", "cn-hangzhou"),
        ("StorageClass", "Standard"),
        ("CreationDate", "2026-01-15T08:30:45.000Z"),
        ("ExtranetEndpoint", "oss-cn-hangzhou.aliyuncs.com"),
    ] {
        assert_eq!(list.element(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(list.element("ID").unwrap().len(), 16);
    assert_eq!(list.element("ID"), list.element("DisplayName"));
    assert!(list.text().contains("<ListAllMyBucketsResult>"));
    assert!(list.element("IsTruncated").is_none());
    fixture.call(put("/logs/key").body("x")).await.expect(200);
    let refused = fixture.call(delete("/logs/")).await.error(409, "BucketNotEmpty");
    assert_eq!(refused.must("x-oss-ec"), "0015-00000301");
    fixture.call(delete("/logs/key")).await.expect(204);
    fixture.call(delete("/logs/")).await.expect(204);
    fixture.call(delete("/logs/")).await.error(404, "NoSuchBucket");
    fixture.call(head("/logs/")).await.expect(404);
    let list = fixture.call(get("/")).await.expect(200);
    assert!(list.elements("Name").is_empty() && list.text().contains("<Buckets></Buckets>"));
}

#[tokio::test]
async fn names_that_no_bucket_may_have_are_refused() {
    let fixture = Fixture::start().await;
    for name in ["ab", "Abc", "a_b", "-abc", "abc-", &"a".repeat(64)] {
        fixture.call(put(&format!("/{name}/"))).await.error(400, "InvalidBucketName");
        // Underscores were once allowed: what is asked of such a bucket is that of one that is not there.
        let (status, code) = match name {
            "a_b" => (404, "NoSuchBucket"),
            _ => (400, "InvalidBucketName"),
        };
        fixture.call(get(&format!("/{name}/"))).await.error(status, code);
    }
}

#[tokio::test]
async fn making_a_bucket_again_is_no_error_unless_a_fixed_setting_differs() {
    let fixture = Fixture::start().await;
    let body = |inner: &str| CONFIGURATION.replace("{}", inner);
    let ia = body("<StorageClass>IA</StorageClass><DataRedundancyType>ZRS</DataRedundancyType>");
    fixture.call(put("/logs/").body(&ia)).await.expect(200);
    fixture.call(put("/logs/").body(&ia)).await.expect(200);
    fixture.call(put("/logs/")).await.expect(200);
    fixture.call(put("/logs/").no_body()).await.expect(200);
    for (inner, message) in [
        ("<StorageClass>Archive</StorageClass>", "Cannot modify existing bucket's storage class"),
        (
            "<DataRedundancyType>LRS</DataRedundancyType>",
            "Bucket already exists can't modify data redundancy type",
        ),
    ] {
        let call = put("/logs/").body(body(inner));
        let refused = fixture.call(call).await.error(409, "BucketAlreadyExists");
        let told = refused.element("Message").unwrap().replace("&apos;", "'").replace("&#39;", "'");
        assert_eq!(told, message);
    }
    let info = fixture.call(get("/logs/?bucketInfo")).await.expect(200);
    assert_eq!(info.element("StorageClass").as_deref(), Some("IA"));
    assert_eq!(info.element("DataRedundancyType").as_deref(), Some("ZRS"));
}

#[tokio::test]
async fn bad_settings_make_no_bucket() {
    let fixture = Fixture::start().await;
    let body = |inner: &str| CONFIGURATION.replace("{}", inner);
    let acl = put("/logs/").header("x-oss-acl", "public");
    let refused = fixture.call(acl).await.error(400, "InvalidArgument");
    assert_eq!(refused.must("x-oss-ec"), "0015-00000204");
    assert_eq!(refused.element("Message").unwrap(), "no such bucket access control exists");
    assert_eq!(refused.element("ArgumentName").unwrap(), "x-oss-acl");
    let class = put("/logs/").body(body("<StorageClass>Gold</StorageClass>"));
    let refused = fixture.call(class).await.error(400, "InvalidArgument");
    assert_eq!(refused.element("Message").unwrap(), "No such bucket storage class exists.");
    for xml in ["<Create", "nonsense", &format!("<a>{}</a>", " ".repeat(20_000))] {
        fixture.call(put("/logs/").body(xml)).await.error(400, "MalformedXML");
    }
    let hns = put("/logs/").header("x-oss-hns-status", "enabled");
    fixture.call(hns).await.error(400, "OperationNotSupported");
    let md5 = put("/logs/").body("").header("content-md5", "XUFAKrxLKna5cZ2REBfFkg==");
    fixture.call(md5).await.error(400, "InvalidDigest");
    fixture.call(head("/logs/")).await.expect(404);
    fixture.call(put("/logs/").body(body("<StorageClass></StorageClass>"))).await.expect(200);
}

#[tokio::test]
async fn there_are_only_as_many_buckets_as_allowed() {
    let fixture = Fixture::with(|config| config.buckets_max = 2).await;
    fixture.make_bucket("one").await;
    fixture.make_bucket("two").await;
    fixture.call(put("/three/")).await.error(400, "TooManyBuckets");
    fixture.make_bucket("two").await;
}

#[tokio::test]
async fn bucket_listings_are_filtered_and_paged() {
    let fixture = Fixture::start().await;
    for name in ["aaa", "app-1", "app-2", "zzz"] {
        fixture.make_bucket(name).await;
    }
    let page = fixture.call(get("/?prefix=app&max-keys=1")).await.expect(200);
    assert_eq!(page.elements("Name"), ["app-1"]);
    assert_eq!(page.element("IsTruncated").as_deref(), Some("true"));
    assert_eq!(page.element("NextMarker").as_deref(), Some("app-1"));
    let rest = fixture.call(get("/?prefix=app&max-keys=1&marker=app-1")).await.expect(200);
    assert_eq!(rest.elements("Name"), ["app-2"]);
    assert_eq!(rest.element("IsTruncated").as_deref(), Some("false"));
    assert!(rest.element("NextMarker").is_none());
    for bad in ["0", "1001", "-1", "x"] {
        let target = format!("/?max-keys={bad}");
        fixture.call(get(&target)).await.error(400, "InvalidArgument");
    }
    let other = get("/").header("x-oss-resource-group-id", "rg-other");
    assert!(fixture.call(other).await.expect(200).elements("Name").is_empty());
    let bad = get("/").header("x-oss-resource-group-id", "group");
    fixture.call(bad).await.error(400, "InvalidArgument");
    assert_eq!(fixture.call(get("/?marker&max-keys=")).await.expect(200).elements("Name").len(), 4);
}

#[tokio::test]
async fn bucket_info_has_everything_that_sdks_read() {
    let fixture = Fixture::start().await;
    fixture.call(put("/bkt/").header("x-oss-acl", "public-read")).await.expect(200);
    let info = fixture.call(get("/bkt/?bucketInfo")).await.expect(200);
    for (name, value) in [
        ("AccessMonitor", "Disabled"),
        ("BlockPublicAccess", "false"),
        ("Comment", ""),
        ("CreationDate", "2026-01-15T08:30:45.000Z"),
        ("DataRedundancyType", "LRS"),
        ("Location", "oss-cn-hangzhou"),
        ("Name", "bkt"),
        ("StorageClass", "Standard"),
        ("Grant", "public-read"),
        ("SSEAlgorithm", "None"),
    ] {
        assert_eq!(info.element(name).as_deref(), Some(value), "{name}");
    }
    assert!(info.element("Versioning").is_none());
    assert!(info.text().contains("<BucketInfo><Bucket>"));
    let location = fixture.call(get("/bkt/?location")).await.expect(200);
    assert_eq!(location.element("LocationConstraint").as_deref(), Some("oss-cn-hangzhou"));
}

#[tokio::test]
async fn a_buckets_acl_is_read_set_and_kept() {
    let fixture = Fixture::with_bucket().await;
    let grant =
        || async { fixture.call(get("/bkt/?acl")).await.expect(200).element("Grant").unwrap() };
    assert_eq!(grant().await, "private");
    let set = put("/bkt/?acl").header("x-oss-acl", "public-read-write");
    assert_eq!(fixture.call(set).await.expect(200).must("location"), "/bkt");
    assert_eq!(grant().await, "public-read-write");
    fixture.call(put("/bkt/?acl")).await.expect(200);
    fixture.call(put("/bkt/")).await.expect(200);
    assert_eq!(grant().await, "public-read-write");
    fixture.call(put("/bkt/").header("x-oss-acl", "private")).await.expect(200);
    assert_eq!(grant().await, "private");
    let bad = put("/bkt/?acl").header("x-oss-acl", "default");
    fixture.call(bad).await.error(400, "InvalidArgument");
    fixture.call(get("/none/?acl")).await.error(404, "NoSuchBucket");
}

#[tokio::test]
async fn setting_the_acl_of_a_missing_bucket_makes_it() {
    let fixture = Fixture::start().await;
    fixture.call(put("/none/?acl")).await.error(404, "NoSuchBucket");
    let set = put("/none/?acl").header("x-oss-acl", "public-read");
    assert_eq!(fixture.call(set).await.expect(200).must("location"), "/none");
    let acl = fixture.call(get("/none/?acl")).await.expect(200);
    assert_eq!(acl.element("Grant").as_deref(), Some("public-read"));
}

#[tokio::test]
async fn bucket_stat_counts_what_is_there() {
    let fixture = Fixture::with_bucket().await;
    let stat = fixture.call(get("/bkt/?stat")).await.expect(200);
    assert_eq!(stat.element("Storage").as_deref(), Some("0"));
    fixture.make_bucket("two").await;
    fixture.call(append("/two/log", 0, "hello")).await.expect(200);
    fixture.call(put("/two/ia").body("abc").header("x-oss-storage-class", "IA")).await.expect(200);
    let stat = fixture.call(get("/two/?stat")).await.expect(200);
    for (name, value) in [
        ("Storage", "8"),
        ("ObjectCount", "2"),
        ("StandardStorage", "5"),
        ("InfrequentAccessStorage", "3"),
        ("InfrequentAccessObjectCount", "1"),
        ("MultipartUploadCount", "0"),
        ("LiveChannelCount", "0"),
    ] {
        assert_eq!(stat.element(name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn what_clean_ups_ask_for_is_answered_with_the_empty_truth() {
    let fixture = Fixture::with_bucket().await;
    let live = fixture.call(get("/bkt/?live")).await.expect(200);
    assert!(live.text().contains("<ListLiveChannelResult>"));
    assert_eq!(live.element("IsTruncated").as_deref(), Some("false"));
    let monitor = fixture.call(get("/bkt/?accessmonitor")).await.expect(200);
    assert_eq!(monitor.element("Status").as_deref(), Some("Disabled"));
    let versioning = fixture.call(get("/bkt/?versioning")).await.expect(200);
    assert!(versioning.text().contains("VersioningConfiguration"));
    assert!(versioning.element("Status").is_none());
    for target in ["/none/?live", "/none/?accessmonitor", "/none/?versioning", "/none/?stat"] {
        fixture.call(get(target)).await.error(404, "NoSuchBucket");
    }
}
