//! Bucket configurations: `buckets.md` §§9-13, `extras.md` §§3-6, `permissions.md` §§7-8.

use crate::drive::*;

async fn set(fixture: &Fixture, sub: &str, body: &str) {
    let answer = fixture.call(put(&format!("/bkt/?{sub}")).body(body)).await.expect(200);
    assert!(answer.body.is_empty());
}

async fn told(fixture: &Fixture, sub: &str) -> String {
    let answer = fixture.call(get(&format!("/bkt/?{sub}"))).await.expect(200);
    assert_eq!(answer.must("content-type"), "application/xml");
    let text = answer.text();
    assert!(!text.contains("xmlns"), "{text}");
    let declaration = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    text.strip_prefix(declaration).unwrap_or_else(|| panic!("{text}")).to_owned()
}

const CORS: &str = "<CORSConfiguration><CORSRule><AllowedOrigin>https://*.example.com</AllowedOrigin><AllowedMethod>PUT\
    </AllowedMethod><AllowedMethod>GET</AllowedMethod><AllowedHeader>x-oss-*</AllowedHeader><ExposeHeader>ETag\
    </ExposeHeader><ExposeHeader>x-oss-next-append-position</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule>\
    <ResponseVary>false</ResponseVary></CORSConfiguration>";
const REFERER: &str = "<RefererConfiguration><AllowEmptyReferer>false</AllowEmptyReferer><AllowTruncateQueryString>true\
    </AllowTruncateQueryString><TruncatePath>false</TruncatePath><RefererList><Referer>http://good.com/*</Referer>\
    </RefererList></RefererConfiguration>";
const WEBSITE: &str = "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix>\
    <SupportSubDir>true</SupportSubDir>\
    <Type>0</Type></IndexDocument><ErrorDocument><Key>error.html</Key></ErrorDocument><RoutingRules><RoutingRule>\
    <RuleNumber>1</RuleNumber><Condition><KeyPrefixEquals>old/</KeyPrefixEquals><HttpErrorCodeReturnedEquals>404\
    </HttpErrorCodeReturnedEquals></Condition><Redirect><RedirectType>External</RedirectType><PassQueryString>true\
    </PassQueryString><Protocol>https</Protocol><HostName>new.example.com</HostName><ReplaceKeyPrefixWith>new/\
    </ReplaceKeyPrefixWith><HttpRedirectCode>302</HttpRedirectCode></Redirect></RoutingRule></RoutingRules>\
    </WebsiteConfiguration>";
const TAGS: &str = "<Tagging><TagSet><Tag><Key>team</Key><Value>a &amp; b</Value></Tag><Tag><Key>x</Key><Value></Value>\
    </Tag></TagSet></Tagging>";
const LIFECYCLE: &str = "<LifecycleConfiguration><Rule><ID>logs</ID><Prefix>logs/</Prefix><Status>Enabled</Status>\
    <Expiration><Days>90</Days></Expiration><Transition><Days>30</Days><StorageClass>IA</StorageClass></Transition>\
    <AbortMultipartUpload><Days>1</Days></AbortMultipartUpload></Rule></LifecycleConfiguration>";
const LOGGING: &str = "<BucketLoggingStatus><LoggingEnabled><TargetBucket>bkt</TargetBucket><TargetPrefix>日志+a/\
    </TargetPrefix></LoggingEnabled></BucketLoggingStatus>";
const PAYMENT: &str =
    "<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>";
const BLOCK: &str = "<PublicAccessBlockConfiguration><BlockPublicAccess>true</BlockPublicAccess>\
    </PublicAccessBlockConfiguration>";
const UNBLOCK: &str = "<PublicAccessBlockConfiguration><BlockPublicAccess>false</BlockPublicAccess>\
    </PublicAccessBlockConfiguration>";
const OVERWRITE: &str = "<OverwriteConfiguration><Rule><ID>keep</ID><Action>forbid</Action>\
    <Prefix>keep/</Prefix><Suffix>\
    </Suffix></Rule></OverwriteConfiguration>";
const QUOTA: &str =
    "<QuotaConfiguration><StorageQuota>10</StorageQuota><Mode>Strict</Mode></QuotaConfiguration>";

fn inventory(id: &str) -> String {
    format!(
        "<InventoryConfiguration><Id>{id}</Id><IsEnabled>true</IsEnabled><Filter><Prefix>p/</Prefix></Filter>\
        <Destination>\
         <OSSBucketDestination><Format>CSV</Format><AccountId>1</AccountId><RoleArn>acs:ram::1:role/r</RoleArn><Bucket>\
         acs:oss:::bkt</Bucket><Prefix>out</Prefix></OSSBucketDestination></Destination><Schedule><Frequency>Daily\
         </Frequency></Schedule><IncludedObjectVersions>Current</IncludedObjectVersions><OptionalFields>\
         <Field>Size</Field>\
         <Field>Crc64</Field></OptionalFields></InventoryConfiguration>"
    )
}

/// Sub-resource, document, and what GET tells when nothing is set: a document, or an error.
const KINDS: &[(&str, &str, Result<&str, &str>)] = &[
    ("tagging", TAGS, Ok("<Tagging><TagSet></TagSet></Tagging>")),
    ("cors", CORS, Err("NoSuchCORSConfiguration")),
    (
        "referer",
        REFERER,
        Ok(
            "<RefererConfiguration><AllowEmptyReferer>true</AllowEmptyReferer><AllowTruncateQueryString>true\
            </AllowTruncateQueryString><TruncatePath>false</TruncatePath><RefererList></RefererList>\
            </RefererConfiguration>",
        ),
    ),
    ("website", WEBSITE, Err("NoSuchWebsiteConfiguration")),
    ("lifecycle", LIFECYCLE, Err("NoSuchLifecycle")),
    ("logging", LOGGING, Ok("<BucketLoggingStatus></BucketLoggingStatus>")),
    (
        "requestPayment",
        PAYMENT,
        Ok("<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>"),
    ),
    ("publicAccessBlock", BLOCK, Ok(UNBLOCK)),
    ("overwriteConfig", OVERWRITE, Err("NoSuchBucketOverwriteConfig")),
];

#[tokio::test]
async fn every_configuration_is_read_back_as_it_was_put_removed_and_gone_with_its_bucket() {
    let fixture = Fixture::with_bucket().await;
    for (sub, document, unset) in KINDS {
        let absent = async || match unset {
            Ok(wanted) => assert_eq!(told(&fixture, sub).await, *wanted),
            Err(code) => drop(fixture.call(get(&format!("/bkt/?{sub}="))).await.error(404, code)),
        };
        absent().await;
        set(&fixture, sub, document).await;
        assert_eq!(told(&fixture, sub).await, *document, "{sub}");
        fixture.call(get(&format!("/none/?{sub}"))).await.error(404, "NoSuchBucket");
        fixture.call(get(&format!("/bkt/?{sub}")).anonymous()).await.error(403, "AccessDenied");
        let broken = fixture.call(put(&format!("/bkt/?{sub}")).body("<a><b></a>")).await;
        let broken = broken.error(400, "MalformedXML");
        assert_eq!(broken.must("x-oss-ec"), "0015-00000231");
        assert_eq!(told(&fixture, sub).await, *document, "{sub}");
        if !matches!(*sub, "referer" | "requestPayment") {
            for _ in 0..2 {
                fixture.call(delete(&format!("/bkt/?{sub}"))).await.expect(204);
            }
            absent().await;
            set(&fixture, sub, document).await;
        }
    }
    fixture.call(delete("/bkt/")).await.expect(204);
    fixture.make_bucket("bkt").await;
    for (sub, _, unset) in KINDS {
        match unset {
            Ok(wanted) => assert_eq!(told(&fixture, sub).await, *wanted),
            Err(code) => drop(fixture.call(get(&format!("/bkt/?{sub}"))).await.error(404, code)),
        }
    }
}

#[tokio::test]
async fn documents_that_could_hurt_are_refused_in_every_kind() {
    let fixture = Fixture::with_bucket().await;
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><x>&b;</x>";
    let deep = "<a>".repeat(5_000);
    let wide = format!("<x>{}</x>", "<y/>".repeat(60_000));
    let long = "x".repeat(600 << 10);
    for (sub, document, _) in KINDS.iter().chain([&("quota", QUOTA, Ok(""))]) {
        for body in [bomb, &*deep, &*wide, &*long, "", "text"] {
            let answer = fixture.call(put(&format!("/bkt/?{sub}")).body(body)).await;
            answer.error(400, "MalformedXML");
        }
        let md5 = put(&format!("/bkt/?{sub}")).body(document);
        let md5 = md5.header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
        fixture.call(md5).await.error(400, "InvalidDigest");
    }
    for body in ["", "{", "[]", &*"[".repeat(9_000), "{\"Version\":\"1\",\"Statement\":[]}"] {
        let answer = fixture.call(put("/bkt/?policy").body(body)).await;
        answer.error(400, "InvalidPolicyDocument");
    }
}

#[tokio::test]
async fn tags_are_removed_by_name_and_filter_the_list_of_buckets() {
    let fixture = Fixture::with_bucket().await;
    fixture.make_bucket("other").await;
    set(&fixture, "tagging", TAGS).await;
    let names = async |query: &str| {
        let list = fixture.call(get(&format!("/?{query}"))).await.expect(200);
        list.elements("Name")
    };
    assert_eq!(names("tag-key=team").await, ["bkt"]);
    assert_eq!(names("tag-key=team&tag-value=a%20%26%20b").await, ["bkt"]);
    assert_eq!(names("tagging=%22team%22:%22a%20%26%20b%22").await, ["bkt"]);
    assert!(names("tag-key=team&tag-value=c").await.is_empty());
    // Several, which must all be there; those of the bucket are told.
    let both = "tagging=%22team%22:%22a%20%26%20b%22,%22x%22:%22%22";
    let listed = fixture.call(get(&format!("/?{both}"))).await.expect(200);
    assert_eq!(
        (listed.elements("Name"), listed.elements("Key")),
        (vec!["bkt".into()], vec!["team".into(), "x".into()])
    );
    assert!(names("tagging=%22team%22:%22a%20%26%20b%22,%22y%22:%22%22").await.is_empty());
    fixture.call(get("/?tag-value=c")).await.error(400, "InvalidArgument");
    fixture.call(delete("/bkt/?tagging=team,unknown")).await.expect(204);
    assert!(names("tag-key=team").await.is_empty());
    assert!(told(&fixture, "tagging").await.contains("<Key>x</Key>"));
    let reserved = TAGS.replace("team", "Aliyun-x");
    fixture.call(put("/bkt/?tagging").body(reserved)).await.error(400, "InvalidTag");
}

fn preflight(target: &str, origin: &str, method: &str) -> Call {
    call("OPTIONS", target)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .anonymous()
}

#[tokio::test]
async fn a_preflight_is_answered_by_the_first_rule_that_matches_or_refused() {
    let fixture = Fixture::with_bucket().await;
    let (good, evil) = ("https://a.example.com", "https://evil.com");
    fixture.call(preflight("/bkt/k", good, "PUT")).await.error(403, "AccessForbidden");
    set(&fixture, "cors", CORS).await;
    let asked = preflight("/bkt/k", good, "PUT");
    let asked = asked.header("access-control-request-headers", "x-oss-meta-a, X-OSS-Date");
    let answer = fixture.call(asked).await.expect(200);
    for (name, value) in [
        ("access-control-allow-origin", good),
        ("access-control-allow-methods", "PUT, GET"),
        ("access-control-allow-headers", "x-oss-meta-a, X-OSS-Date"),
        ("access-control-expose-headers", "ETag, x-oss-next-append-position"),
        ("access-control-max-age", "60"),
        ("vary", "Origin"),
        ("content-length", "0"),
    ] {
        assert_eq!(answer.must(name), value);
    }
    let header = preflight("/bkt/k", good, "PUT");
    let header = header.header("access-control-request-headers", "content-type");
    for refused in [
        header,
        preflight("/bkt/k", evil, "PUT"),
        preflight("/bkt/k", good, "DELETE"),
        preflight("/bkt/k", "http://a.example.com", "PUT"),
    ] {
        let answer = fixture.call(refused).await.error(403, "AccessForbidden");
        let message = answer.element("Message").unwrap();
        assert!(
            message.starts_with("CORSResponse: This CORS request is not allowed."),
            "{message}"
        );
        assert!(message.ends_with("CORS spec."), "{message}");
        assert_eq!(answer.must("vary"), "Origin");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    fixture.call(preflight("/none/k", good, "PUT")).await.error(404, "NoSuchBucket");
    let lacks = call("OPTIONS", "/bkt/k").anonymous();
    fixture.call(lacks.clone()).await.error(400, "BadRequest");
    fixture.call(lacks.header("origin", good)).await.error(400, "BadRequest");
    let star = CORS.replace("https://*.example.com", "*");
    set(&fixture, "cors", &star).await;
    let answer = fixture.call(preflight("/bkt/", evil, "GET")).await.expect(200);
    assert_eq!(answer.must("access-control-allow-origin"), "*");
    fixture.call(delete("/bkt/?cors")).await.expect(204);
    fixture.call(preflight("/bkt/k", evil, "GET")).await.error(403, "AccessForbidden");
}

#[tokio::test]
async fn answers_and_errors_carry_what_pages_of_other_origins_need() {
    let fixture = Fixture::with_bucket().await;
    let good = "https://a.example.com";
    let before = fixture.call(put("/bkt/k").body("x").header("origin", good)).await.expect(200);
    assert_eq!((before.header("vary"), before.header("access-control-allow-origin")), (None, None));
    set(&fixture, "cors", CORS).await;
    let done = fixture.call(put("/bkt/k").body("x").header("origin", good)).await.expect(200);
    assert_eq!(done.must("access-control-allow-origin"), good);
    assert_eq!(done.must("access-control-expose-headers"), "ETag, x-oss-next-append-position");
    assert_eq!(done.must("vary"), "Origin");
    let wrong_key = get("/bkt/k").header("origin", good).key("ossia", "wrong");
    for (call, status) in [
        (get("/bkt/none").header("origin", good), 404),
        (get("/bkt/k").header("origin", good).anonymous(), 403),
        (wrong_key, 403),
    ] {
        let error = fixture.call(call).await.expect(status);
        assert_eq!(error.must("access-control-allow-origin"), good, "{status}");
        assert_eq!(error.must("vary"), "Origin");
    }
    for call in [
        get("/bkt/k").header("origin", "https://evil.com"),
        get("/bkt/k"),
        delete("/bkt/k").header("origin", good),
    ] {
        let plain = fixture.call(call).await;
        assert!(plain.status < 300);
        assert_eq!(plain.header("access-control-allow-origin"), None);
        assert_eq!(plain.must("vary"), "Origin");
    }
}

#[tokio::test]
async fn a_referer_counts_where_no_header_signs_the_request() {
    let fixture = Fixture::with_bucket().await;
    let acl = put("/bkt/k").body("x").header("x-oss-object-acl", "public-read");
    fixture.call(acl).await.expect(200);
    set(&fixture, "referer", REFERER).await;
    let read = |referer: &str| get("/bkt/k").anonymous().header("referer", referer);
    fixture.call(read("http://good.com/page?x=1")).await.expect(200);
    for refused in [read("http://evil.com/"), read(""), get("/bkt/k").anonymous()] {
        let told = fixture.call(refused).await.error(403, "AccessDenied");
        let message = told.element("Message");
        assert_eq!(message.as_deref(), Some("You are denied by bucket referer policy."));
        assert_eq!(told.element("BucketName").as_deref(), Some("bkt"));
    }
    fixture.call(get("/bkt/k").header("referer", "http://evil.com/")).await.expect(200);
    let open = "<RefererConfiguration><AllowEmptyReferer>true</AllowEmptyReferer><RefererList/></RefererConfiguration>";
    set(&fixture, "referer", open).await;
    fixture.call(read("http://evil.com/")).await.expect(200);
}

#[tokio::test]
async fn a_site_shows_its_pages_to_readers_who_do_not_sign() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/?acl").header("x-oss-acl", "public-read")).await.expect(200);
    for (key, body) in [
        ("index.html", "root"),
        ("sub/index.html", "sub"),
        ("error.html", "sorry"),
        ("page", "page"),
    ] {
        let page = put(&format!("/bkt/{key}")).body(body).header("content-type", "text/html");
        fixture.call(page).await.expect(200);
    }
    fixture.call(get("/bkt/").anonymous()).await.error(403, "AccessDenied");
    set(&fixture, "website", WEBSITE).await;
    let read = async |key: &str| fixture.call(get(&format!("/bkt/{key}")).anonymous()).await;
    for (key, status, body) in [
        ("", 200, "root"),
        ("sub/", 200, "sub"),
        ("page", 200, "page"),
        ("none", 404, "sorry"),
        ("none/", 404, "sorry"),
        ("sub", 302, ""),
        ("old/x", 302, ""),
    ] {
        let shown = read(key).await.expect(status);
        assert_eq!(shown.text(), body, "{key}");
    }
    assert_eq!(read("").await.must("content-type"), "text/html");
    assert_eq!(read("sub").await.must("location"), "/bkt/sub/");
    assert_eq!(
        read("old/a%20b?q=1").await.must("location"),
        "https://new.example.com/new/a%20b?q=1"
    );
    fixture.call(head("/bkt/").anonymous()).await.expect(200);
    // A signed request is no reader of a site.
    assert!(fixture.call(get("/bkt/")).await.expect(200).text().contains("<ListBucketResult>"));
    fixture.call(get("/bkt/none")).await.error(404, "NoSuchKey");
    fixture.call(put("/bkt/?acl").header("x-oss-acl", "private")).await.expect(200);
    read("").await.error(403, "AccessDenied");
    set(&fixture, "website", &WEBSITE.replace("<Type>0</Type>", "<Type>2</Type>")).await;
    fixture.call(put("/bkt/?acl").header("x-oss-acl", "public-read")).await.expect(200);
    assert_eq!(read("sub").await.expect(200).text(), "sub");
}

#[tokio::test]
async fn lifecycle_rules_get_an_id_and_are_refused_where_they_contradict() {
    let fixture = Fixture::with_bucket().await;
    let rule = |inside: &str| {
        format!(
            "<LifecycleConfiguration><Rule><Prefix/><Status>Enabled</Status>{inside}</Rule></LifecycleConfiguration>"
        )
    };
    set(&fixture, "lifecycle", &rule("<Expiration><Days>1</Days></Expiration>")).await;
    let kept = told(&fixture, "lifecycle").await;
    let id = element(&kept, "ID").unwrap();
    assert_eq!(id.len(), 36, "{kept}");
    assert!(kept.contains("<Prefix></Prefix><Status>Enabled</Status>"), "{kept}");
    for (inside, code) in [
        ("", "InvalidArgument"),
        (
            "<Transition><Days>1</Days><StorageClass>Standard</StorageClass></Transition>",
            "InvalidArgument",
        ),
        (
            "<Expiration><Days>9</Days></Expiration><Transition><CreatedBeforeDate>2026-01-01T00:00:00.000Z\
             </CreatedBeforeDate><StorageClass>IA</StorageClass></Transition>",
            "InvalidRequest",
        ),
    ] {
        fixture.call(put("/bkt/?lifecycle").body(rule(inside))).await.error(400, code);
    }
    let two = "<LifecycleConfiguration><Rule><ID>a</ID><Prefix>x/</Prefix><Status>Enabled</Status><Expiration>\
    <Days>1</Days>\
        </Expiration></Rule><Rule><ID>b</ID><Prefix>x/y</Prefix><Status>Enabled</Status><Expiration>\
        <Days>2</Days></Expiration>\
        </Rule></LifecycleConfiguration>";
    let told = fixture.call(put("/bkt/?lifecycle").body(two)).await.error(400, "InvalidArgument");
    assert_eq!(told.must("x-oss-ec"), "0014-00000084");
    let allowed =
        put("/bkt/?lifecycle").body(two).header("x-oss-allow-same-action-overlap", "true");
    fixture.call(allowed).await.expect(200);
}

#[tokio::test]
async fn logging_names_a_bucket_that_is_and_encryption_is_by_what_there_is() {
    let fixture = Fixture::with_bucket().await;
    let absent = LOGGING.replace("bkt", "none");
    let refused = fixture.call(put("/bkt/?logging").body(absent)).await;
    refused.error(400, "InvalidTargetBucketForLogging");
    set(&fixture, "logging", LOGGING).await;
    let info = fixture.call(get("/bkt/?bucketInfo")).await.expect(200);
    assert_eq!(info.element("LogBucket").as_deref(), Some("bkt"));
    assert_eq!(info.element("LogPrefix").as_deref(), Some("日志+a/"));
    set(&fixture, "logging", "<BucketLoggingStatus/>").await;
    assert_eq!(told(&fixture, "logging").await, "<BucketLoggingStatus></BucketLoggingStatus>");
    let rule = |inside: &str| {
        format!(
            "<ServerSideEncryptionRule>\
            <ApplyServerSideEncryptionByDefault>{inside}</ApplyServerSideEncryptionByDefault>\
             </ServerSideEncryptionRule>"
        )
    };
    for (inside, code) in [
        (
            "<SSEAlgorithm>AES256</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID>",
            "InvalidArgument",
        ),
        ("<SSEAlgorithm>KMS</SSEAlgorithm>", "KmsServiceNotEnabled"),
        ("<SSEAlgorithm>SM4</SSEAlgorithm>", "InvalidEncryptionAlgorithmError"),
        ("<SSEAlgorithm>x</SSEAlgorithm>", "InvalidEncryptionAlgorithmError"),
        ("", "MalformedXML"),
    ] {
        fixture.call(put("/bkt/?encryption").body(rule(inside))).await.error(400, code);
    }
    fixture.call(get("/bkt/?encryption")).await.error(404, "NoSuchServerSideEncryptionRule");
    let aes = rule("<SSEAlgorithm>AES256</SSEAlgorithm>");
    set(&fixture, "encryption", &aes).await;
    assert_eq!(told(&fixture, "encryption").await, aes);
    let info = fixture.call(get("/bkt/?bucketInfo")).await.expect(200);
    assert_eq!(info.element("SSEAlgorithm").as_deref(), Some("AES256"));
    for _ in 0..2 {
        fixture.call(delete("/bkt/?encryption")).await.expect(204);
    }
    fixture.call(get("/bkt/?encryption")).await.error(404, "NoSuchServerSideEncryptionRule");
}

#[tokio::test]
async fn who_does_not_own_the_bucket_must_say_that_he_pays() {
    let fixture = Fixture::with_bucket().await;
    let public = put("/bkt/k").body("x").header("x-oss-object-acl", "public-read");
    fixture.call(public).await.expect(200);
    set(&fixture, "requestPayment", PAYMENT).await;
    let refused = fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
    assert_eq!(refused.must("x-oss-ec"), "0003-00000703");
    assert_eq!(refused.element("BucketName").as_deref(), Some("bkt"));
    let pays = get("/bkt/k").anonymous().header("x-oss-request-payer", "requester");
    fixture.call(pays).await.expect(200);
    fixture.call(get("/bkt/k")).await.expect(200);
    let bad = "<RequestPaymentConfiguration><Payer>Nobody</Payer></RequestPaymentConfiguration>";
    fixture.call(put("/bkt/?requestPayment").body(bad)).await.error(400, "MalformedXML");
}

#[tokio::test]
async fn a_block_switches_public_acls_off_and_back_on() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/?acl").header("x-oss-acl", "public-read")).await.expect(200);
    let public = put("/bkt/k").body("x").header("x-oss-object-acl", "public-read");
    fixture.call(public.clone()).await.expect(200);
    let policy = "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":[\"*\"],\
        \"Action\":[\"oss:GetObject\"],\"Resource\":[\"acs:oss:*:*:bkt/*\"]}]}";
    for place in ["/bkt/?publicAccessBlock", "/?publicAccessBlock"] {
        fixture.call(get("/bkt/k").anonymous()).await.expect(200);
        fixture.call(put(place).body(BLOCK)).await.expect(200);
        assert_eq!(
            fixture.call(get(place)).await.expect(200).element("BlockPublicAccess").as_deref(),
            Some("true")
        );
        fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
        let acl = put("/bkt/?acl").header("x-oss-acl", "public-read-write");
        let object = put("/bkt/k?acl").header("x-oss-object-acl", "public-read");
        for refused in [public.clone(), acl, object, put("/bkt/?policy").body(policy)] {
            fixture.call(refused).await.error(403, "AccessDenied");
        }
        fixture
            .call(put("/bkt/k?acl").header("x-oss-object-acl", "public-read").anonymous())
            .await
            .expect(403);
        let info = fixture.call(get("/bkt/?bucketInfo")).await.expect(200);
        let own = if place == "/?publicAccessBlock" { "false" } else { "true" };
        assert_eq!(info.element("BlockPublicAccess").as_deref(), Some(own));
        fixture.call(delete(place)).await.expect(204);
    }
    fixture.call(get("/bkt/k").anonymous()).await.expect(200);
    fixture.call(put("/?publicAccessBlock").body(BLOCK)).await.expect(200);
    let new = put("/fresh/").header("x-oss-acl", "public-read");
    fixture.call(new).await.error(403, "AccessDenied");
    fixture.call(get("/?publicAccessBlock").anonymous()).await.error(403, "AccessDenied");
}

#[tokio::test]
async fn what_must_not_be_overwritten_is_not_but_may_grow_and_go() {
    let fixture = Fixture::with_bucket().await;
    set(&fixture, "overwriteConfig", OVERWRITE).await;
    let target = ("x-oss-symlink-target", "t");
    fixture.call(put("/bkt/keep/k").body("first")).await.expect(200);
    for again in [
        put("/bkt/keep/k").body("second"),
        put("/bkt/keep/k").header("x-oss-copy-source", "/bkt/other"),
        put("/bkt/keep/k?symlink").header(target.0, target.1),
    ] {
        fixture.call(put("/bkt/other").body("o")).await.expect(200);
        fixture.call(again).await.error(409, "FileAlreadyExists");
    }
    assert_eq!(fixture.call(get("/bkt/keep/k")).await.expect(200).body, b"first");
    fixture.call(append("/bkt/keep/log", 0, "1")).await.expect(200);
    fixture.call(append("/bkt/keep/log", 1, "2")).await.expect(200);
    fixture.call(delete("/bkt/keep/k")).await.expect(204);
    fixture.call(put("/bkt/keep/k").body("again")).await.expect(200);
    fixture.call(delete("/bkt/?overwriteConfig")).await.expect(204);
    fixture.call(put("/bkt/keep/k").body("free")).await.expect(200);
    let unnamed =
        "<OverwriteConfiguration><Rule><Action>forbid</Action></Rule></OverwriteConfiguration>";
    set(&fixture, "overwriteConfig", unnamed).await;
    let id = element(&told(&fixture, "overwriteConfig").await, "ID").unwrap();
    assert_eq!(id.len(), 36);
    let other = unnamed.replace("forbid", "allow");
    fixture.call(put("/bkt/?overwriteConfig").body(other)).await.error(400, "InvalidArgument");
}

#[tokio::test]
async fn two_uploads_at_once_are_not_given_the_same_room() {
    let fixture = Fixture::with_bucket().await;
    set(&fixture, "quota", QUOTA).await;
    let limit = element(QUOTA, "StorageQuota").unwrap().parse::<usize>().unwrap();
    let body = vec![b'x'; limit / 2 + 1];
    let mut first = fixture.connect().await;
    let call = put("/bkt/first").body(&body).header("expect", "100-continue");
    first.send(call.head_bytes(&fixture)).await;
    // It has been let in, and nothing of it is stored.
    assert_eq!(first.response(false).await.status, 100);
    for call in [put("/bkt/second"), append("/bkt/log", 0, "")] {
        fixture.call(call.body(&body)).await.error(403, "QuotaExceeded");
    }
    fixture.call(put("/bkt/small").body("x")).await.expect(200);
    first.send(&body).await;
    assert_eq!(first.response(false).await.status, 200);
    fixture.call(delete("/bkt/first")).await.expect(204);
    fixture.call(put("/bkt/second").body(&body)).await.expect(200);
}

#[tokio::test]
async fn a_strict_quota_refuses_growth_and_nothing_else() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(get("/bkt/?quota")).await.error(404, "NoSuchQuotaConfiguration");
    fixture.call(put("/bkt/a").body("1234567")).await.expect(200);
    set(&fixture, "quota", QUOTA).await;
    let told = fixture.call(get("/bkt/?quota")).await.expect(200);
    assert_eq!(told.element("CurrentUsage").as_deref(), Some("7"));
    assert_eq!(told.element("StorageQuota").as_deref(), Some("10"));
    for refused in [
        put("/bkt/b").body("1234"),
        append("/bkt/log", 0, "1234"),
        put("/bkt/copy").header("x-oss-copy-source", "/bkt/a"),
        put("/bkt/a").body("12345678901"),
    ] {
        fixture.call(refused).await.error(403, "QuotaExceeded");
    }
    fixture.call(put("/bkt/b").body("1234").chunked()).await.expect(400);
    fixture.call(append("/bkt/log", 0, "123")).await.expect(200);
    fixture.call(append("/bkt/log", 3, "4")).await.error(403, "QuotaExceeded");
    fixture.call(put("/bkt/a").body("7654321")).await.expect(200);
    fixture.call(put("/bkt/a").body("7")).await.expect(200);
    fixture.call(append("/bkt/log", 3, "456")).await.expect(200);
    set(&fixture, "quota", &QUOTA.replace("Strict", "Warning")).await;
    fixture.call(put("/bkt/b").body("1234567890")).await.expect(200);
    fixture.call(delete("/bkt/?quota")).await.expect(204);
    for bytes in ["0", "-1", "99999999999999999999"] {
        let absurd = QUOTA.replace("10", bytes);
        fixture.call(put("/bkt/?quota").body(absurd)).await.error(400, "InvalidArgument");
    }
}

#[tokio::test]
async fn inventories_are_kept_by_id_and_listed_in_pages() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(get("/bkt/?inventory")).await.error(404, "NoSuchInventory");
    fixture.call(get("/bkt/?inventory&inventoryId=no")).await.error(404, "NoSuchInventory");
    set(&fixture, "inventory&inventoryId=r1", &inventory("r1")).await;
    assert_eq!(told(&fixture, "inventory&inventoryId=r1").await, inventory("r1"));
    let again = put("/bkt/?inventory&inventoryId=r1").body(inventory("r1"));
    fixture.call(again).await.error(409, "InventoryConfigurationAlreadyExists");
    for (id, body) in [
        ("r2", inventory("other")),
        ("", inventory("r2")),
        ("r2", inventory("r2").replace("acs:oss:::bkt", "acs:oss:::none")),
        ("r2", inventory("r2").replace("CSV", "ORC")),
        ("r2", inventory("r2").replace("Daily", "Hourly")),
        ("r2", inventory("r2").replace("Crc64", "Colour")),
    ] {
        let call = put(&format!("/bkt/?inventory&inventoryId={id}")).body(body);
        fixture.call(call).await.error(400, "InvalidArgument");
    }
    for i in 0..100 {
        set(&fixture, &format!("inventory&inventoryId=n{i:03}"), &inventory(&format!("n{i:03}")))
            .await;
    }
    let first = told(&fixture, "inventory").await;
    assert_eq!(elements(&first, "Id").len(), 100);
    let next = element(&first, "NextContinuationToken").unwrap();
    let rest = told(&fixture, &format!("inventory&continuation-token={next}")).await;
    assert_eq!(elements(&rest, "Id"), ["r1"]);
    for _ in 0..2 {
        fixture.call(delete("/bkt/?inventory&inventoryId=r1")).await.expect(204);
    }
    fixture.call(get("/bkt/?inventory&inventoryId=r1")).await.error(404, "NoSuchInventory");
}

#[tokio::test]
async fn a_policy_is_told_byte_for_byte_and_what_it_may_deny_is_closed() {
    let fixture = Fixture::with_bucket().await;
    let public = put("/bkt/k").body("x").header("x-oss-object-acl", "public-read");
    fixture.call(public).await.expect(200);
    fixture.call(get("/bkt/?policy")).await.error(404, "NoSuchBucketPolicy");
    let status =
        async || fixture.call(get("/bkt/?policyStatus")).await.expect(200).element("IsPublic");
    assert_eq!(status().await.as_deref(), Some("false"));
    let policy = |effect: &str| {
        format!(
            " {{ \"Version\":\"1\", \"Statement\":[{{\"Effect\":\"{effect}\",\"Principal\":[\"*\"],\
             \"Action\":\"oss:*\",\"Resource\":\"acs:oss:*:*:bkt*\"}}]}}\n"
        )
    };
    set(&fixture, "policy", &policy("Allow")).await;
    let kept = fixture.call(get("/bkt/?policy")).await.expect(200);
    assert_eq!((kept.text(), kept.must("content-type")), (policy("Allow"), "application/json"));
    assert_eq!(status().await.as_deref(), Some("true"));
    fixture.call(get("/bkt/k").anonymous()).await.expect(200);
    set(&fixture, "policy", &policy("Deny")).await;
    fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
    fixture.call(get("/bkt/k")).await.expect(200);
    fixture.call(delete("/bkt/?policy")).await.expect(204);
    fixture.call(get("/bkt/k").anonymous()).await.expect(200);
}

#[tokio::test]
async fn the_one_region_is_described() {
    let fixture = Fixture::start().await;
    for target in ["/?regions", "/?regions=oss-cn-hangzhou"] {
        let told = fixture.call(get(target)).await.expect(200);
        assert!(
            told.text().contains("<RegionInfoList><RegionInfo><Region>oss-cn-hangzhou</Region>")
        );
        assert_eq!(
            told.element("InternetEndpoint").as_deref(),
            Some("oss-cn-hangzhou.aliyuncs.com")
        );
        assert!(
            told.element("InternalEndpoint").is_some()
                && told.element("AccelerateEndpoint").is_some()
        );
    }
    fixture.call(get("/?regions=oss-nowhere")).await.error(404, "NoSuchRegion");
}
