//! What the SDKs' own suites ask of the service and no table of the protocol says.

use ossia_protocol::auth::{HeaderList, RequestParts, Secret, Signer, presign_v4};

use crate::drive::*;
use crate::post::form;

const NOTHING: &str = "<CompleteMultipartUpload></CompleteMultipartUpload>";

#[tokio::test]
async fn an_upload_without_parts_completes_to_an_empty_object() {
    let fixture = Fixture::with_bucket().await;
    let start = async || {
        let started = fixture.call(post("/bkt/k?uploads")).await.expect(200);
        format!("/bkt/k?uploadId={}", started.element("UploadId").unwrap())
    };
    let upload = start().await;
    let done = fixture.call(post(&upload).body(NOTHING)).await.expect(200);
    assert_eq!(done.must("etag"), "\"D41D8CD98F00B204E9800998ECF8427E-0\"");
    assert_eq!(done.must("x-oss-hash-crc64ecma"), "0");
    let there = fixture.call(head("/bkt/k")).await.expect(200);
    assert_eq!((there.must("content-length"), there.must("x-oss-object-type")), ("0", "Multipart"));
    // Parts that have come are not thrown away by mistake, nor is a body that says nothing taken for one.
    let upload = start().await;
    fixture.call(post(&upload).body("")).await.error(400, "MalformedXML");
    fixture
        .call(post(&upload).header("x-oss-complete-all", "yes"))
        .await
        .error(400, "MalformedXML");
    fixture.call(put(&format!("{upload}&partNumber=1")).body("x")).await.expect(200);
    let refused = fixture.call(post(&upload).body(NOTHING)).await.error(400, "MalformedXML");
    assert_eq!(refused.must("x-oss-ec"), "0042-00000205");
}

#[tokio::test]
async fn only_a_sequential_upload_has_the_digest_of_the_whole() {
    let fixture = Fixture::with_bucket().await;
    for (mode, digest) in [("", None), ("&sequential", Some("XUFAKrxLKna5cZ2REBfFkg=="))] {
        let started = fixture.call(post(&format!("/bkt/k?uploads{mode}"))).await.expect(200);
        let upload = format!("/bkt/k?uploadId={}", started.element("UploadId").unwrap());
        fixture.call(put(&format!("{upload}&partNumber=1")).body("hello")).await.expect(200);
        fixture.call(post(&upload).header("x-oss-complete-all", "yes")).await.expect(200);
        for call in [head("/bkt/k"), get("/bkt/k")] {
            assert_eq!(fixture.call(call).await.expect(200).header("content-md5"), digest);
        }
    }
}

#[tokio::test]
async fn a_url_used_without_a_header_that_was_signed_is_told_which() {
    let fixture = Fixture::with_bucket().await;
    let host = fixture.host();
    let (target, query) = parsed(&fixture, &host, "/bkt/k");
    let secret = Secret::new(KEY_SECRET);
    let signer = Signer::new(KEY_ID, &secret, "cn-hangzhou");
    let mut headers = HeaderList::new();
    headers.push("host", &host);
    headers.push("email", "a@b.com");
    let request = RequestParts { method: "PUT", target: &target, query: &query, headers: &headers };
    let query = presign_v4(&request, &signer, &["email"], i64::try_from(NOW).unwrap(), 60);
    let url = format!("/bkt/k?{}", query.to_wire());
    let send = |email: Option<&str>| {
        let call = put(&url).body("x").anonymous();
        email.map_or_else(|| call.clone(), |email| call.clone().header("email", email))
    };
    let refused = fixture.call(send(None)).await.error(400, "InvalidArgument");
    assert_eq!(refused.element("ArgumentValue").as_deref(), Some("email"));
    fixture.call(send(Some("c@d.com"))).await.error(403, "SignatureDoesNotMatch");
    fixture.call(send(Some("a@b.com"))).await.expect(200);
}

#[tokio::test]
async fn regions_have_the_accelerated_endpoint_unless_the_server_has_a_name_of_its_own() {
    let fixture = Fixture::start().await;
    let told = fixture.call(get("/?regions")).await.expect(200);
    assert_eq!(told.elements("AccelerateEndpoint"), ["oss-accelerate.aliyuncs.com"]);
    let own = Fixture::with(|config| config.domain = vec!["oss.example.com".into()]).await;
    let told = own.call(get("/?regions")).await.expect(200);
    assert_eq!(told.elements("AccelerateEndpoint"), told.elements("InternetEndpoint"));
}

#[tokio::test]
async fn of_two_documents_the_missing_bucket_is_told_as_their_own_fault() {
    let fixture = Fixture::start().await;
    for (sub, document) in [
        (
            "overwriteConfig",
            "<OverwriteConfiguration><Rule><Action>forbid</Action></Rule></OverwriteConfiguration>",
        ),
        (
            "objectWorm",
            "<ObjectWormConfiguration><ObjectWormEnabled>Enabled</ObjectWormEnabled></ObjectWormConfiguration>",
        ),
    ] {
        let call = put(&format!("/none/?{sub}")).body(document);
        let told = fixture.call(call).await.error(400, "MalformedXML");
        assert_eq!(told.must("x-oss-ec"), "0015-00000231");
        fixture.call(get(&format!("/none/?{sub}"))).await.error(404, "NoSuchBucket");
    }
}

#[tokio::test]
async fn an_upload_that_is_held_to_a_pace_is_told_its_delay() {
    let fixture = Fixture::with_bucket().await;
    let limit = |call: Call| call.header("x-oss-traffic-limit", "838860800");
    let started = fixture.call(post("/bkt/parts?uploads")).await.expect(200);
    let part = format!("/bkt/parts?partNumber=1&uploadId={}", started.element("UploadId").unwrap());
    for call in [put("/bkt/k").body("x"), append("/bkt/log", 0, "x"), put(&part).body("x")] {
        let held = fixture.call(limit(call)).await.expect(200);
        held.must("x-oss-qos-delay-time").parse::<u64>().unwrap();
    }
    let free = fixture.call(put("/bkt/k").body("x")).await.expect(200);
    assert_eq!(free.header("x-oss-qos-delay-time"), None);
    // A form says it in a field.
    let conditions = r#"[{"bucket":"bkt"}]"#;
    let paced = |limit: &str| form("form", "x").field("x-oss-traffic-limit", limit).v1(conditions);
    let held = fixture.call(paced("838860800").call()).await.expect(204);
    held.must("x-oss-qos-delay-time").parse::<u64>().unwrap();
    fixture.call(paced("1").call()).await.error(400, "InvalidArgument");
}

#[tokio::test]
async fn where_nothing_ever_had_a_version_none_is_told() {
    let fixture = Fixture::with_bucket().await;
    for _ in 0..2 {
        let gone = fixture.call(delete("/bkt/k?versionId=null")).await.expect(204);
        assert_eq!(gone.header("x-oss-version-id"), None);
    }
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    fixture.call(put("/bkt/?versioning").body(enabled)).await.expect(200);
    let gone = fixture.call(delete("/bkt/k?versionId=null")).await.expect(204);
    assert_eq!(gone.header("x-oss-version-id"), Some("null"));
}

#[tokio::test]
async fn buckets_are_not_looked_for_under_what_no_name_begins_with() {
    let fixture = Fixture::with_bucket().await;
    for (prefix, found) in [("", 1), ("b", 1), ("no-such", 0), ("a_b", 0)] {
        let told = fixture.call(get(&format!("/?prefix={prefix}"))).await.expect(200);
        assert_eq!(told.elements("Bucket").len(), found, "{prefix}");
    }
    fixture.call(get("/?prefix=BucketName")).await.error(400, "InvalidArgument");
}

#[tokio::test]
async fn rules_of_a_lifecycle_that_undo_each_other_are_refused_overlap_or_not() {
    let fixture = Fixture::with_bucket().await;
    let rules = |days: u32| {
        let rule = |prefix: &str, days: u32, class: &str| {
            format!(
                "<Rule><Prefix>{prefix}</Prefix><Status>Enabled</Status><Transition><Days>{days}</Days>\
                 <StorageClass>{class}</StorageClass></Transition></Rule>"
            )
        };
        let rules = rule("p", days, "IA") + &rule("p/q", 40, "Archive");
        let document = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
        put("/bkt/?lifecycle").body(document).header("x-oss-allow-same-action-overlap", "true")
    };
    let refused = fixture.call(rules(45)).await.error(400, "InvalidArgument");
    assert_eq!(refused.must("x-oss-ec"), "0014-00000082");
    fixture.call(rules(30)).await.expect(200);
}

#[tokio::test]
async fn a_site_that_mirrors_is_kept_and_its_reader_told_that_nothing_is_fetched() {
    let fixture = Fixture::with_bucket().await;
    let site = "<WebsiteConfiguration><RoutingRules><RoutingRule><RuleNumber>1</RuleNumber><Condition>\
        <KeyPrefixEquals>far/</KeyPrefixEquals><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals>\
        </Condition><Redirect><RedirectType>Mirror</RedirectType><MirrorURL>http://example.com/</MirrorURL>\
        </Redirect></RoutingRule></RoutingRules></WebsiteConfiguration>";
    fixture.call(put("/bkt/?website").body(site)).await.expect(200);
    let kept = fixture.call(get("/bkt/?website")).await.expect(200);
    assert_eq!(kept.element("MirrorFollowRedirect").as_deref(), Some("true"));
    fixture.call(put("/bkt/?acl").header("x-oss-acl", "public-read")).await.expect(200);
    fixture.call(put("/bkt/far/here").body("x")).await.expect(200);
    let read = async |key: &str| fixture.call(get(&format!("/bkt/{key}")).anonymous()).await;
    assert_eq!(read("far/here").await.expect(200).text(), "x");
    let told = read("far/away").await.error(424, "MirrorFailed");
    assert_eq!(told.element("RuleNumber").as_deref(), Some("1"));
    read("near").await.error(404, "NoSuchKey");
    // Who signs in a header is no reader of a site.
    fixture.call(get("/bkt/far/away")).await.error(404, "NoSuchKey");
}

#[tokio::test]
async fn a_signed_reader_gets_the_page_of_a_folder_and_nothing_else_of_a_site() {
    let fixture = Fixture::with_bucket().await;
    let site = "<WebsiteConfiguration><IndexDocument><Suffix>i.html</Suffix></IndexDocument><ErrorDocument>\
        <Key>e.html</Key></ErrorDocument></WebsiteConfiguration>";
    fixture.call(put("/bkt/?website").body(site)).await.expect(200);
    fixture.call(get("/bkt/folder/")).await.error(404, "NoSuchKey");
    for (key, body) in [("i.html", "index"), ("e.html", "error"), ("own/", "own")] {
        fixture.call(put(&format!("/bkt/{key}")).body(body)).await.expect(200);
    }
    assert_eq!(fixture.call(get("/bkt/folder/")).await.expect(200).text(), "index");
    assert_eq!(fixture.call(get("/bkt/own/")).await.expect(200).text(), "own");
    fixture.call(get("/bkt/none")).await.error(404, "NoSuchKey");
    fixture.call(head("/bkt/folder/")).await.expect(404);
    fixture
        .call(get("/bkt/folder/").key(KEY_ID, "wrong"))
        .await
        .error(403, "SignatureDoesNotMatch");
    assert!(fixture.call(get("/bkt/")).await.expect(200).text().contains("<ListBucketResult>"));
}

#[tokio::test]
async fn a_governed_version_is_deleted_by_who_says_so_and_its_last_second_counts_whole() {
    let fixture = Fixture::with_bucket().await;
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    fixture.call(put("/bkt/?versioning").body(enabled)).await.expect(200);
    let worm = "<ObjectWormConfiguration><ObjectWormEnabled>Enabled</ObjectWormEnabled></ObjectWormConfiguration>";
    fixture.call(put("/bkt/?objectWorm").body(worm)).await.expect(200);
    let retain = async |key: &str, mode: &str| {
        let made = fixture.call(put(&format!("/bkt/{key}")).body("x")).await.expect(200);
        let until = format!(
            "<Retention><Mode>{mode}</Mode><RetainUntilDate>2026-02-01T00:00:00.001Z</RetainUntilDate></Retention>"
        );
        fixture.call(put(&format!("/bkt/{key}?retention")).body(until)).await.expect(200);
        format!("/bkt/{key}?versionId={}", made.must("x-oss-version-id"))
    };
    let governed = retain("g", "GOVERNANCE").await;
    let kept = fixture.call(get("/bkt/g?retention")).await.expect(200);
    assert_eq!(kept.element("RetainUntilDate").as_deref(), Some("2026-02-01T00:00:01.000Z"));
    let bypass = |target: &str| delete(target).header("x-oss-bypass-governance-retention", "true");
    fixture.call(delete(&governed)).await.error(409, "FileImmutable");
    fixture.call(bypass(&governed)).await.expect(204);
    fixture.call(get(&governed)).await.error(404, "NoSuchVersion");
    let complied = retain("c", "COMPLIANCE").await;
    fixture.call(bypass(&complied)).await.error(409, "FileImmutable");
}

#[tokio::test]
async fn a_restore_that_is_asked_for_twice_is_refused_with_a_number() {
    let fixture = Fixture::with_bucket().await;
    fixture
        .call(put("/bkt/k").body("x").header("x-oss-storage-class", "Archive"))
        .await
        .expect(200);
    fixture.call(post("/bkt/k?restore").body("")).await.expect(202);
    let again = fixture.call(post("/bkt/k?restore").body("")).await;
    let again = again.error(409, "RestoreAlreadyInProgress");
    assert!(again.header("x-oss-ec").is_some());
}

#[tokio::test]
async fn the_last_no_bytes_are_no_range_and_a_skewed_clock_has_its_number() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("hello")).await.expect(200);
    let none = get("/bkt/k").header("range", "bytes=-0");
    fixture.call(none).await.error(416, "InvalidRange");
    let early = get("/bkt/k").head_bytes(&fixture);
    fixture.clock.set_ms((NOW + 3600) * 1000);
    let mut connection = fixture.connect().await;
    connection.send(early).await;
    let refused = connection.response(false).await.error(403, "RequestTimeTooSkewed");
    assert_eq!(refused.must("x-oss-ec"), "0002-00000504");
    assert!(refused.element("RequestTime").is_some() && refused.element("ServerTime").is_some());
}

#[tokio::test]
async fn a_bucket_is_made_where_it_is_asked_for_or_not_at_all() {
    let fixture = Fixture::start().await;
    let at = |place: &str| {
        let place = format!("<LocationConstraint>{place}</LocationConstraint>");
        put("/new/").body(format!("<CreateBucketConfiguration>{place}</CreateBucketConfiguration>"))
    };
    for place in ["oss-cn-zhengzhou", "oss-", "cn"] {
        let refused = fixture.call(at(place)).await.error(400, "InvalidLocationConstraint");
        let message = refused.element("Message").unwrap();
        assert_eq!(message, "The specified location-constraint is not valid.");
    }
    fixture.call(get("/new/")).await.error(404, "NoSuchBucket");
    // Any region of the service will do: programs name their own.
    for place in ["oss-cn-hangzhou", "cn-hangzhou", "oss-cn-beijing", "us-west-1", ""] {
        fixture.call(at(place)).await.expect(200);
    }
    fixture.call(at("oss-cn-zhengzhou")).await.error(400, "InvalidLocationConstraint");
    let strict = Fixture::with(|config| config.auth.strict_region = true).await;
    strict.call(at("oss-cn-beijing")).await.error(400, "InvalidLocationConstraint");
    strict.call(at("oss-cn-hangzhou")).await.expect(200);
}

#[tokio::test]
async fn a_bucket_can_be_made_with_its_encryption() {
    let fixture = Fixture::with_bucket().await;
    let making = |name: &str, way: &str| {
        put(&format!("/{name}/")).header("x-oss-server-side-encryption", way)
    };
    fixture.call(making("new", "KMS")).await.error(400, "KmsServiceNotEnabled");
    fixture.call(get("/new/")).await.error(404, "NoSuchBucket");
    fixture.call(making("new", "AES256")).await.expect(200);
    let told = fixture.call(get("/new/?encryption")).await.expect(200);
    assert_eq!(told.element("SSEAlgorithm").as_deref(), Some("AES256"));
    let stored = fixture.call(put("/new/k").body("x")).await.expect(200);
    assert_eq!(stored.must("x-oss-server-side-encryption"), "AES256");
    // What is asked for again is what the bucket then has, whatever became of the first answer.
    fixture.call(making("bkt", "AES256")).await.expect(200);
    let told = fixture.call(get("/bkt/?encryption")).await.expect(200);
    assert_eq!(told.element("SSEAlgorithm").as_deref(), Some("AES256"));
}

#[tokio::test]
async fn the_bucket_of_the_service_belongs_to_somebody_else() {
    let fixture = Fixture::start().await;
    for making in [put("/oss/"), put("/oss/?acl").header("x-oss-acl", "private")] {
        fixture.call(making).await.error(409, "BucketAlreadyExists");
    }
    for call in [get("/oss/"), get("/oss/?acl"), delete("/oss/"), put("/oss/k").body("x")] {
        fixture.call(call).await.error(403, "AccessDenied");
    }
}

#[tokio::test]
async fn a_rule_that_says_no_type_leads_outside_and_a_mirror_tells_all_its_flags() {
    let fixture = Fixture::with_bucket().await;
    let site = |redirect: &str| {
        put("/bkt/?website").body(format!(
            "<WebsiteConfiguration><RoutingRules><RoutingRule><RuleNumber>5</RuleNumber><Condition>\
             <HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition><Redirect>{redirect}</Redirect>\
             </RoutingRule></RoutingRules></WebsiteConfiguration>"
        ))
    };
    let outside = "<HostName>a.com</HostName><HttpRedirectCode>303</HttpRedirectCode>";
    fixture.call(site(outside)).await.expect(200);
    fixture.call(put("/bkt/?acl").header("x-oss-acl", "public-read")).await.expect(200);
    let sent = fixture.call(get("/bkt/none").anonymous()).await.expect(303);
    assert!(sent.must("location").ends_with("://a.com/none"));
    let mirror = "<RedirectType>Mirror</RedirectType><MirrorURL>http://b.com/</MirrorURL>";
    fixture.call(site(mirror)).await.expect(200);
    let told = fixture.call(get("/bkt/?website")).await.expect(200);
    assert_eq!(told.element("MirrorPassOriginalSlashes").as_deref(), Some("false"));
}

#[tokio::test]
async fn a_policy_may_have_its_lists_as_texts() {
    let fixture = Fixture::with_bucket().await;
    let policy = r#"{"Version":"1","Statement":[{"Action":["oss:GetObject"],"Effect":"Deny",
        "Principal":"[123456790]","Resource":"[\"acs:oss:*:1234567890:*\/*\"]"}]}"#;
    fixture.call(put("/bkt/?policy").body(policy)).await.expect(200);
    assert_eq!(fixture.call(get("/bkt/?policy")).await.expect(200).text(), policy);
    // One of nobody is not one of everybody.
    let nobody = policy.replace("[123456790]", "[]");
    fixture.call(put("/bkt/?policy").body(nobody)).await.error(400, "InvalidPolicyDocument");
}
