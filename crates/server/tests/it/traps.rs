//! Each XML trap of `buckets.md` §2 and of `errors.md` under a name of its own: what breaks the parser of one SDK or another.

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::drive::*;

/// The requests that answer with a document of success, in a bucket that [`prepared`] has filled, with the root of each.
const DOCUMENTS: &[(&str, &str)] = &[
    ("/", "ListAllMyBucketsResult"),
    ("/?regions", "RegionInfoList"),
    ("/bkt/", "ListBucketResult"),
    ("/bkt/?list-type=2&fetch-owner=true", "ListBucketResult"),
    ("/bkt/?versions", "ListVersionsResult"),
    ("/bkt/?uploads", "ListMultipartUploadsResult"),
    ("/bkt/?bucketInfo", "BucketInfo"),
    ("/bkt/?location", "LocationConstraint"),
    ("/bkt/?stat", "BucketStat"),
    ("/bkt/?acl", "AccessControlPolicy"),
    ("/bkt/?versioning", "VersioningConfiguration"),
    ("/bkt/?tagging", "Tagging"),
    ("/bkt/?cors", "CORSConfiguration"),
    ("/bkt/?lifecycle", "LifecycleConfiguration"),
    ("/bkt/?website", "WebsiteConfiguration"),
    ("/bkt/?logging", "BucketLoggingStatus"),
    ("/bkt/?referer", "RefererConfiguration"),
    ("/bkt/?requestPayment", "RequestPaymentConfiguration"),
    ("/bkt/?inventory&inventoryId=i", "InventoryConfiguration"),
    ("/bkt/?inventory", "ListInventoryConfigurationsResult"),
    ("/bkt/?overwriteConfig", "OverwriteConfiguration"),
    ("/bkt/?publicAccessBlock", "PublicAccessBlockConfiguration"),
    ("/bkt/?policyStatus", "PolicyStatus"),
    ("/bkt/?quota", "QuotaConfiguration"),
    ("/bkt/?live", "ListLiveChannelResult"),
    ("/bkt/a%26b?acl", "AccessControlPolicy"),
    ("/bkt/a%26b?tagging", "Tagging"),
    ("/bkt/parts?uploadId=ID", "ListPartsResult"),
    ("/locked/?worm", "WormConfiguration"),
    ("/kept/?objectWorm", "ObjectWormConfiguration"),
    ("/kept/k?retention", "Retention"),
    ("/kept/k?legalHold", "LegalHold"),
];

const CONFIGURATIONS: &[(&str, &str)] = &[
    (
        "cors",
        "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>\
         </CORSConfiguration>",
    ),
    (
        "lifecycle",
        "<LifecycleConfiguration><Rule><Status>Enabled</Status><Expiration><Days>9</Days></Expiration></Rule>\
         </LifecycleConfiguration>",
    ),
    (
        "website",
        "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix><SupportSubDir>TRUE</SupportSubDir></IndexDocument>\
         </WebsiteConfiguration>",
    ),
    (
        "inventory&inventoryId=i",
        "<InventoryConfiguration><Id>i</Id><IsEnabled>True</IsEnabled><Destination><OSSBucketDestination>\
         <Format>CSV</Format><AccountId>1</AccountId><RoleArn>a</RoleArn><Bucket>acs:oss:::bkt</Bucket>\
         </OSSBucketDestination></Destination><Schedule><Frequency>Daily</Frequency></Schedule>\
         <IncludedObjectVersions>All</IncludedObjectVersions></InventoryConfiguration>",
    ),
    (
        "overwriteConfig",
        "<OverwriteConfiguration><Rule><Action>forbid</Action><Prefix>never/</Prefix></Rule></OverwriteConfiguration>",
    ),
    (
        "quota",
        "<QuotaConfiguration><StorageQuota>99999999</StorageQuota><Mode>Strict</Mode></QuotaConfiguration>",
    ),
];

/// A bucket with objects of each kind, versions, a marker, an upload, and most configurations; the upload's id.
async fn prepared() -> (Fixture, String) {
    let fixture = Fixture::with_bucket().await;
    for (sub, document) in CONFIGURATIONS {
        fixture.call(put(&format!("/bkt/?{sub}")).body(document)).await.expect(200);
    }
    fixture.call(append("/bkt/log", 0, "x")).await.expect(200);
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    fixture.call(put("/bkt/?versioning").body(enabled)).await.expect(200);
    for key in ["a%26b", "a%26b", "gone"] {
        fixture.call(put(&format!("/bkt/{key}")).body("x")).await.expect(200);
    }
    fixture
        .call(
            put("/bkt/a%26b?tagging").body(
                "<Tagging><TagSet><Tag><Key>k</Key><Value>a b</Value></Tag></TagSet></Tagging>",
            ),
        )
        .await
        .expect(200);
    fixture.call(delete("/bkt/gone")).await.expect(204);
    let started = fixture.call(post("/bkt/parts?uploads")).await.expect(200);
    let id = started.element("UploadId").unwrap();
    let part = format!("/bkt/parts?partNumber=1&uploadId={id}");
    fixture.call(put(&part).body("x")).await.expect(200);

    fixture.make_bucket("locked").await;
    let days = "<InitiateWormConfiguration><RetentionPeriodInDays>1</RetentionPeriodInDays></InitiateWormConfiguration>";
    fixture.call(post("/locked/?worm").body(days)).await.expect(200);
    fixture.make_bucket("kept").await;
    fixture.call(put("/kept/?versioning").body(enabled)).await.expect(200);
    let worm = "<ObjectWormConfiguration><ObjectWormEnabled>Enabled</ObjectWormEnabled></ObjectWormConfiguration>";
    fixture.call(put("/kept/?objectWorm").body(worm)).await.expect(200);
    fixture.call(put("/kept/k").body("x")).await.expect(200);
    let until = "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2026-02-01T00:00:00.123Z</RetainUntilDate></Retention>";
    fixture.call(put("/kept/k?retention").body(until)).await.expect(200);
    (fixture, id)
}

async fn documents() -> Vec<(&'static str, &'static str, Response)> {
    let (fixture, id) = prepared().await;
    let mut told = Vec::new();
    for (target, root) in DOCUMENTS {
        let answer = fixture.call(get(&target.replace("ID", &id))).await.expect(200);
        told.push((*target, *root, answer));
    }
    told
}

/// Refusals of many kinds.
async fn refusals() -> (Fixture, Vec<Response>) {
    let fixture = Fixture::with_bucket().await;
    let mut told = Vec::new();
    for call in [
        get("/bkt/none"),
        get("/none/"),
        get("/bkt/?cors"),
        get("/bkt/?max-keys=0"),
        get("/bkt/").anonymous(),
        get("/bkt/").key("nobody", "x"),
        get("/bkt/").key(KEY_ID, "wrong"),
        put("/bkt/k").no_body(),
        put("/bkt/?cors").body("<Broken"),
        post("/bkt/k?uploadId=none").body("x"),
        append("/bkt/k", 7, "x"),
        delete("/bkt/k?live"),
        get("/bkt/?metaQuery"),
        put("/Invalid_/"),
        call("PATCH", "/bkt/k"),
    ] {
        told.push(fixture.call(call).await);
    }
    (fixture, told)
}

/// The tags of a document, in order, without their brackets.
fn tags(text: &str) -> Vec<&str> {
    text.split('<').skip(1).filter_map(|rest| rest.split('>').next()).collect()
}

#[tokio::test]
async fn no_document_has_a_name_space() {
    for (target, _, answer) in documents().await {
        assert!(!answer.text().contains("xmlns"), "{target}: {}", answer.text());
    }
}

#[tokio::test]
async fn no_element_has_an_attribute_and_tags_are_spelled_plainly() {
    let mut versions = String::new();
    for (target, _, answer) in documents().await {
        let text = answer.text();
        for tag in tags(&text).into_iter().skip(1) {
            let name = tag.strip_prefix('/').unwrap_or(tag);
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{target}: <{tag}>");
        }
        if target == "/bkt/?versions" {
            versions = text;
        }
    }
    for tag in ["<Version>", "</Version>", "<DeleteMarker>", "</DeleteMarker>"] {
        assert!(versions.contains(tag), "{tag} in {versions}");
    }
}

#[tokio::test]
async fn the_declaration_comes_first_in_utf_8_without_a_mark_or_a_type() {
    for (target, _, answer) in documents().await {
        let text = answer.text();
        assert!(
            text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<"),
            "{target}: {text}"
        );
        assert!(!text.contains("DOCTYPE"), "{target}");
        assert_eq!(answer.must("content-type"), "application/xml", "{target}");
    }
}

#[tokio::test]
async fn each_document_has_its_own_root() {
    for (target, root, answer) in documents().await {
        let text = answer.text();
        assert_eq!(tags(&text).get(1), Some(&root), "{target}: {text}");
        assert!(text.trim_end().ends_with(&format!("</{root}>")), "{target}: {text}");
    }
}

#[tokio::test]
async fn dates_in_documents_end_in_three_zeros() {
    let mut seen = 0;
    for (target, _, answer) in documents().await {
        for name in ["CreationDate", "LastModified", "Initiated", "RetainUntilDate"] {
            for date in answer.elements(name) {
                seen += 1;
                let shape: String =
                    date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{target}: {date}");
                assert!(date.ends_with(".000Z"), "{target}: {date}");
            }
        }
    }
    assert!(seen > 10, "{seen}");
}

#[tokio::test]
async fn dates_in_headers_are_gmt_with_two_digits_for_the_day() {
    let fixture = Fixture::with_bucket().await;
    fixture.clock.advance_ms(24 * 24 * 3_600_000);
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let answer = fixture.call(get("/bkt/k")).await.expect(200);
    assert_eq!(answer.must("last-modified"), "Sun, 08 Feb 2026 08:30:45 GMT");
    assert_eq!(answer.must("date"), "Sun, 08 Feb 2026 08:30:45 GMT");
}

#[tokio::test]
async fn booleans_are_lower_case_however_they_were_written() {
    for (target, _, answer) in documents().await {
        let text = answer.text();
        for wrong in [">True<", ">TRUE<", ">False<", ">FALSE<"] {
            assert!(!text.contains(wrong), "{target}: {text}");
        }
        if target.contains("inventoryId") {
            assert_eq!(answer.element("IsEnabled").as_deref(), Some("true"));
        }
    }
}

#[tokio::test]
async fn etags_carry_their_quotes_and_upper_case_digits() {
    let mut seen = 0;
    for (target, _, answer) in documents().await {
        for etag in answer.elements("ETag") {
            seen += 1;
            let bare = etag.replace("&quot;", "\"");
            let bare = bare.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let bare = bare.unwrap_or_else(|| panic!("{target}: {etag}"));
            assert!(
                bare.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)),
                "{target}: {etag}"
            );
        }
    }
    assert!(seen > 4, "{seen}");
}

#[tokio::test]
async fn an_ampersand_is_always_escaped() {
    let mut seen = 0;
    for (target, _, answer) in documents().await {
        let text = answer.text();
        for (at, _) in text.match_indices('&') {
            seen += 1;
            let rest = &text[at..];
            assert!(
                ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;"].iter().any(|e| rest.starts_with(e)),
                "{target}: {rest}"
            );
        }
    }
    assert!(seen > 3, "{seen}");
}

#[tokio::test]
async fn names_are_encoded_by_percent_alone_and_only_when_that_is_asked_for() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/a%20%2B~%2F%E6%97%A5.*").body("x")).await.expect(200);
    let plain = fixture.call(get("/bkt/")).await.expect(200);
    assert_eq!(plain.elements("Key"), ["a +~/日.*"]);
    assert!(!plain.text().contains("EncodingType"));
    let encoded = fixture.call(get("/bkt/?encoding-type=url")).await.expect(200);
    // A plus would be a blank to some readers and a plus to others.
    assert_eq!(encoded.elements("Key"), ["a%20%2B~%2F%E6%97%A5.%2A"]);
    assert_eq!(encoded.elements("EncodingType"), ["url"]);
}

#[tokio::test]
async fn a_name_that_xml_cannot_carry_is_carried_encoded() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/a%01b").body("x")).await.expect(200);
    let encoded = fixture.call(get("/bkt/?encoding-type=url")).await.expect(200);
    assert_eq!(encoded.elements("Key"), ["a%01b"]);
}

#[tokio::test]
async fn elements_that_a_reader_insists_on_are_there_though_empty() {
    let fixture = Fixture::with_bucket().await;
    let started = fixture.call(post("/bkt/parts?uploads")).await.expect(200);
    let id = started.element("UploadId").unwrap();
    fixture.call(delete(&format!("/bkt/parts?uploadId={id}"))).await.expect(204);
    let lists: &[(&str, &[&str])] = &[
        ("/bkt/", &["Name", "Prefix", "Marker", "MaxKeys", "Delimiter", "IsTruncated"]),
        ("/bkt/?uploads", &["KeyMarker", "UploadIdMarker", "NextKeyMarker", "NextUploadIdMarker"]),
        (
            "/bkt/?versions",
            &["Name", "Prefix", "KeyMarker", "VersionIdMarker", "MaxKeys", "Delimiter"],
        ),
        ("/bkt/?referer", &["AllowEmptyReferer", "RefererList"]),
        ("/bkt/?bucketInfo", &["Comment", "DataRedundancyType", "ExtranetEndpoint"]),
    ];
    for (target, names) in lists {
        let answer = fixture.call(get(target)).await.expect(200);
        for name in *names {
            assert_eq!(answer.elements(name).len(), 1, "{target}: {name} in {}", answer.text());
        }
    }
    let started = fixture.call(post("/bkt/parts?uploads")).await.expect(200);
    let id = started.element("UploadId").unwrap();
    let parts = fixture.call(get(&format!("/bkt/parts?uploadId={id}"))).await.expect(200);
    assert_eq!(parts.elements("NextPartNumberMarker").len(), 1, "{}", parts.text());
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    for target in ["/bkt/", "/bkt/?list-type=2", "/bkt/?versions"] {
        let answer = fixture.call(get(target)).await.expect(200);
        for name in ["Type", "StorageClass"] {
            assert_eq!(answer.elements(name).len(), 1, "{target}: {name}");
        }
    }
}

#[tokio::test]
async fn an_owner_has_both_names_wherever_one_is_looked_for() {
    for (target, _, answer) in documents().await {
        let owners = answer.elements("Owner");
        let wanted = match target {
            "/" | "/bkt/?bucketInfo" | "/bkt/?acl" | "/bkt/a%26b?acl" => 1,
            "/bkt/" | "/bkt/?list-type=2&fetch-owner=true" => answer.elements("Contents").len(),
            "/bkt/?versions" => {
                answer.elements("Version").len() + answer.elements("DeleteMarker").len()
            }
            _ => continue,
        };
        assert!(wanted > 0 && owners.len() == wanted, "{target}: {}", answer.text());
        for owner in owners {
            let id = element(&owner, "ID").filter(|id| !id.is_empty());
            assert!(id.is_some() && element(&owner, "DisplayName") == id, "{target}: {owner}");
        }
    }
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let unasked = fixture.call(get("/bkt/?list-type=2")).await.expect(200);
    assert!(unasked.elements("Owner").is_empty());
}

#[tokio::test]
async fn what_repeats_stands_under_the_name_that_readers_collect() {
    for (target, _, answer) in documents().await {
        let (name, wanted) = match target {
            "/" => ("Bucket", 3),
            "/bkt/" => ("Contents", 2),
            "/bkt/?uploads" => ("Upload", 1),
            "/bkt/parts?uploadId=ID" => ("Part", 1),
            "/bkt/?versions" => ("Version", 4),
            "/bkt/?cors" => ("CORSRule", 1),
            "/bkt/?lifecycle" => ("Rule", 1),
            "/bkt/?inventory" => ("InventoryConfiguration", 1),
            "/bkt/a%26b?tagging" => ("Tag", 1),
            _ => continue,
        };
        assert_eq!(answer.elements(name).len(), wanted, "{target}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_bucket_without_a_rule_tells_the_algorithm_none() {
    let fixture = Fixture::with_bucket().await;
    let info = fixture.call(get("/bkt/?bucketInfo")).await.expect(200);
    let rule = info.element("ServerSideEncryptionRule").unwrap();
    assert_eq!(rule, "<SSEAlgorithm>None</SSEAlgorithm>");
}

#[tokio::test]
async fn making_a_bucket_and_setting_its_acl_tell_where_it_is() {
    let fixture = Fixture::start().await;
    for call in [put("/new/"), put("/new/?acl").header("x-oss-acl", "public-read")] {
        assert_eq!(fixture.call(call).await.expect(200).must("location"), "/new");
    }
}

#[tokio::test]
async fn elements_of_a_list_come_in_the_documented_order() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let list = fixture.call(get("/bkt/?max-keys=5")).await.expect(200).text();
    let order = [
        "<Name>",
        "<Prefix>",
        "<Marker>",
        "<MaxKeys>",
        "<Delimiter>",
        "<IsTruncated>",
        "<Contents>",
    ];
    let at: Vec<usize> = order.iter().map(|tag| list.find(tag).unwrap()).collect();
    assert!(at.is_sorted(), "{list}");
}

#[tokio::test]
async fn every_refusal_is_xml_and_never_json_under_a_plain_root() {
    for answer in refusals().await.1 {
        assert_eq!(answer.must("content-type"), "application/xml");
        let text = answer.text();
        assert_eq!(tags(&text).get(1), Some(&"Error"), "{text}");
        assert!(!text.contains("xmlns") && !answer.elements("Message")[0].is_empty(), "{text}");
    }
}

#[tokio::test]
async fn a_refusal_has_one_id_of_24_characters_in_header_and_document() {
    for answer in refusals().await.1 {
        let id = answer.must("x-oss-request-id");
        let legal = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
        assert!(id.len() == 24 && id.bytes().all(legal), "{id}");
        assert_eq!(answer.elements("RequestId"), [id]);
    }
}

#[tokio::test]
async fn a_refusal_names_the_host_that_was_asked() {
    let (fixture, all) = refusals().await;
    for answer in all {
        assert_eq!(answer.elements("HostId"), [fixture.host()]);
    }
}

#[tokio::test]
async fn the_fine_grained_code_is_the_same_in_header_and_document() {
    let (_fixture, all) = refusals().await;
    for answer in &all {
        assert_eq!(answer.element("EC").as_deref(), answer.header("x-oss-ec"), "{}", answer.text());
    }
    assert_eq!(all[0].must("x-oss-ec"), "0026-00000001");
    assert_eq!(all[1].must("x-oss-ec"), "0015-00000101");
}

#[tokio::test]
async fn a_refusal_has_a_date_a_server_and_its_time() {
    for answer in refusals().await.1 {
        assert!(!answer.must("server").is_empty() && answer.must("date").ends_with(" GMT"));
        answer.must("x-oss-server-time").parse::<u64>().unwrap();
    }
}

#[tokio::test]
async fn a_head_tells_its_error_in_a_header_on_one_line() {
    let fixture = Fixture::with_bucket().await;
    for (target, code) in
        [("/bkt/none", "NoSuchKey"), ("/none/", "NoSuchBucket"), ("/none/k", "NoSuchBucket")]
    {
        let answer = fixture.call(head(target)).await.expect(404);
        assert!(answer.body.is_empty());
        let text = BASE64_STANDARD.decode(answer.must("x-oss-err")).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(element(&text, "Code").as_deref(), Some(code));
        assert_eq!(element(&text, "RequestId").as_deref(), answer.header("x-oss-request-id"));
        assert_eq!(element(&text, "HostId"), Some(fixture.host()));
        assert_eq!(element(&text, "EC").as_deref(), answer.header("x-oss-ec"));
    }
}

#[tokio::test]
async fn what_has_not_changed_has_neither_a_body_nor_an_error() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let etag = fixture.call(head("/bkt/k")).await.must("etag").to_owned();
    for call in [get("/bkt/k"), head("/bkt/k")] {
        let answer = fixture.call(call.header("if-none-match", &etag)).await.expect(304);
        assert!(answer.body.is_empty() && answer.header("x-oss-err").is_none());
    }
}

#[tokio::test]
async fn no_lasting_refusal_is_one_that_clients_repeat() {
    for answer in refusals().await.1 {
        assert!((400..500).contains(&answer.status), "{}", answer.text());
        assert!(![401, 408, 429].contains(&answer.status), "{}", answer.text());
        let code = answer.element("Code").unwrap();
        assert!(!["BadRequest", "RequestTimeTooSkewed"].contains(&&*code), "{}", answer.text());
    }
}

/// A request, its status and code, and elements with their values.
type Refusal<'a> = (Call, u16, &'a str, &'a [(&'a str, &'a str)]);

#[tokio::test]
async fn refusals_carry_the_elements_that_sdks_show() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "abc")).await.expect(200);
    let etag = fixture.call(head("/bkt/log")).await.must("etag").to_owned();
    let cases: [Refusal<'_>; 8] = [
        (get("/bkt/none"), 404, "NoSuchKey", &[("Key", "none")]),
        (get("/none/"), 404, "NoSuchBucket", &[("BucketName", "none")]),
        (
            get("/bkt/?max-keys=0"),
            400,
            "InvalidArgument",
            &[("ArgumentName", "max-keys"), ("ArgumentValue", "0")],
        ),
        (
            get("/bkt/log").header("if-match", "\"other\""),
            412,
            "PreconditionFailed",
            &[("Condition", "If-Match")],
        ),
        (
            get("/bkt/log").header("if-unmodified-since", "Wed, 14 Jan 2026 00:00:00 GMT"),
            412,
            "PreconditionFailed",
            &[("Condition", "If-Unmodified-Since")],
        ),
        (
            put("/bkt/log").header("if-modified-since", "Wed, 14 Jan 2026 00:00:00 GMT"),
            400,
            "NotImplemented",
            &[("Header", "If-Modified-Since")],
        ),
        (put("/bkt/?cors").body("<Broken"), 400, "MalformedXML", &[("EC", "0015-00000231")]),
        (
            post("/bkt/k?uploadId=none").body("x"),
            404,
            "NoSuchUpload",
            &[("UploadId", "none"), ("EC", "0042-00000002")],
        ),
    ];
    for (call, status, code, fields) in cases {
        let answer = fixture.call(call).await.error(status, code);
        for (name, value) in fields {
            assert_eq!(answer.element(name).as_deref(), Some(*value), "{}", answer.text());
        }
    }
    assert!(!etag.is_empty());
    let broken = fixture.call(put("/bkt/?cors").body("<Broken")).await;
    assert!(broken.element("ErrorDetail").is_some(), "{}", broken.text());
}
