//! Bucket policies over the wire, and what the audit log tells of decisions: `permissions.md` §2, §5 to §10.

use std::collections::BTreeMap;

use ossia_protocol::operation::Operation;
use serde_json::{Value, json};

use crate::{dispatch::one_of_each, drive::*};

/// A policy of these statements, each an effect, principals, actions and resources.
pub fn policy(statements: &[(&str, Value, Value, Value)]) -> String {
    let statements = statements.iter().map(|(effect, principal, action, resource)| {
        json!({"Effect": effect, "Principal": principal, "Action": action, "Resource": resource})
    });
    json!({"Version": "1", "Statement": statements.collect::<Vec<_>>()}).to_string()
}

pub fn conditional(effect: &str, action: &str, resource: Value, condition: Value) -> String {
    let statement = json!({
        "Effect": effect, "Principal": ["*"], "Action": action, "Resource": resource,
        "Condition": condition,
    });
    json!({"Version": "1", "Statement": [statement]}).to_string()
}

const BUCKET: &str = "acs:oss:*:*:bkt";
const KEYS: &str = "acs:oss:*:*:bkt/*";

pub async fn set(fixture: &Fixture, text: &str) {
    fixture.call(put("/bkt/?policy").body(text)).await.expect(200);
}

async fn message(fixture: &Fixture, call: Call) -> String {
    fixture.call(call).await.error(403, "AccessDenied").element("Message").unwrap()
}

#[tokio::test]
async fn anonymous_callers_are_refused_each_thing_with_its_own_message() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let object = "Anonymous user has no right to access this object.";
    for call in [
        get("/bkt/k"),
        put("/bkt/n"),
        append("/bkt/n", 0, "x"),
        get("/bkt/none"),
        get("/bkt/k?acl"),
    ] {
        assert_eq!(message(&fixture, call.anonymous()).await, object);
    }
    let listing = "Anonymous user has no right to access this bucket.";
    for call in
        [get("/bkt/"), get("/bkt/?list-type=2"), get("/bkt/?versions"), get("/bkt/?uploads")]
    {
        assert_eq!(message(&fixture, call.anonymous()).await, listing);
    }
    let managing = "Anonymous access is forbidden for this operation.";
    for call in [get("/"), get("/bkt/?acl"), put("/new/"), delete("/bkt/?policy")] {
        assert_eq!(message(&fixture, call.anonymous()).await, managing);
    }
    fixture.call(get("/none/k").anonymous()).await.error(404, "NoSuchBucket");
}

#[tokio::test]
async fn a_bucket_policy_opens_what_it_names_and_nowhere_else() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/logs/k").body("x")).await.expect(200);
    set(
        &fixture,
        &policy(&[(
            "Allow",
            json!(["*"]),
            json!("oss:PutObject"),
            json!("acs:oss:*:*:bkt/logs/*"),
        )]),
    )
    .await;
    fixture.call(append("/bkt/logs/a", 0, "x").anonymous()).await.expect(200);
    fixture.call(append("/bkt/logs/a", 1, "y").anonymous()).await.expect(200);
    fixture.call(append("/bkt/other", 0, "x").anonymous()).await.error(403, "AccessDenied");
    fixture.call(head("/bkt/logs/a").anonymous()).await.expect(403);
    let tagged = |at| append("/bkt/logs/a", at, "z").header("x-oss-tagging", "a=b").anonymous();
    fixture.call(tagged(2)).await.error(403, "AccessDenied");
    let shown = append("/bkt/logs/a", 2, "z").header("x-oss-object-acl", "public-read").anonymous();
    fixture.call(shown).await.error(403, "AccessDenied");
    set(
        &fixture,
        &policy(&[(
            "Allow",
            json!(["*"]),
            json!(["oss:PutObject", "oss:putobjecttagging"]),
            json!(["acs:oss:*:*:bkt/logs/*"]),
        )]),
    )
    .await;
    fixture.call(tagged(2)).await.expect(200);
    assert_eq!(fixture.call(get("/bkt/logs/a")).await.expect(200).text(), "xyz");
    // An explicit deny wins, wherever it stands.
    set(
        &fixture,
        &policy(&[
            ("Allow", json!(["*"]), json!("*"), json!(KEYS)),
            ("Deny", json!([]), json!("oss:Put*"), json!("acs:oss:*:*:bkt/logs/*")),
        ]),
    )
    .await;
    assert_eq!(message(&fixture, tagged(3)).await, "Access denied by bucket policy.");
    fixture.call(put("/bkt/other").body("x").anonymous()).await.expect(200);
}

#[tokio::test]
async fn objects_and_their_bucket_are_different_resources() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let all = json!("oss:*");
    set(&fixture, &policy(&[("Allow", json!(["*"]), all.clone(), json!(KEYS))])).await;
    fixture.call(get("/bkt/k").anonymous()).await.expect(200);
    fixture.call(get("/bkt/").anonymous()).await.error(403, "AccessDenied");
    set(&fixture, &policy(&[("Allow", json!(["*"]), all.clone(), json!(BUCKET))])).await;
    fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
    fixture.call(get("/bkt/").anonymous()).await.expect(200);
    fixture.call(get("/").anonymous()).await.error(403, "AccessDenied");
    set(&fixture, &policy(&[("Allow", json!(["*"]), all, json!("acs:oss:*:*:bkt*"))])).await;
    fixture.call(get("/bkt/k").anonymous()).await.expect(200);
    fixture.call(get("/bkt/").anonymous()).await.expect(200);
}

#[tokio::test]
async fn listing_may_be_bound_to_a_prefix() {
    let fixture = Fixture::with_bucket().await;
    let like = json!({"StringLike": {"oss:Prefix": ["logs/*"]}});
    set(&fixture, &conditional("Allow", "oss:ListObjects", json!(BUCKET), like)).await;
    for query in ["", "list-type=2"] {
        let target = |prefix: &str| format!("/bkt/?{query}{prefix}");
        fixture.call(get(&target("")).anonymous()).await.error(403, "AccessDenied");
        fixture.call(get(&target("&prefix=log")).anonymous()).await.error(403, "AccessDenied");
        fixture.call(get(&target("&prefix=logs%2F")).anonymous()).await.expect(200);
    }
}

#[tokio::test]
async fn a_denial_reaches_the_owner_only_by_a_condition_or_by_name_and_never_for_good() {
    let fixture = Fixture::with_bucket().await;
    let all = json!([BUCKET, KEYS]);
    set(&fixture, &policy(&[("Deny", json!(["*"]), json!("oss:*"), all.clone())])).await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let plain = json!({"Bool": {"acs:SecureTransport": ["false"]}});
    let locked = conditional("Deny", "oss:*", all.clone(), plain);
    set(&fixture, &locked).await;
    assert_eq!(message(&fixture, get("/bkt/k")).await, "Access denied by bucket policy.");
    fixture.call(put("/bkt/")).await.error(403, "AccessDenied");
    fixture.call(put("/bkt/?acl").header("x-oss-acl", "private")).await.error(403, "AccessDenied");
    assert_eq!(fixture.call(get("/bkt/?policy")).await.expect(200).text(), locked);
    // From elsewhere it is as closed.
    fixture.make_bucket("other").await;
    let copy = put("/other/k").header("x-oss-copy-source", "/bkt/k");
    fixture.call(copy).await.error(403, "AccessDenied");
    let both = "<Delete><Object><Key>k</Key></Object></Delete>";
    fixture.call(post("/bkt/?delete").body(both)).await.error(403, "AccessDenied");
    fixture.call(delete("/bkt/?policy")).await.expect(204);
    fixture.call(get("/bkt/k")).await.expect(200);
}

#[tokio::test]
async fn conditions_see_what_the_request_says_and_what_is_stored() {
    let fixture = Fixture::with_bucket().await;
    let tagged = put("/bkt/k").body("x").header("x-oss-tagging", "status=ok");
    fixture.call(tagged).await.expect(200);
    fixture.call(put("/bkt/plain").body("x")).await.expect(200);
    let read = |condition| conditional("Allow", "oss:GetObject", json!(KEYS), condition);
    set(&fixture, &read(json!({"StringEquals": {"oss:ExistingObjectTag/status": "ok"}}))).await;
    fixture.call(get("/bkt/k").anonymous()).await.expect(200);
    fixture.call(get("/bkt/plain").anonymous()).await.error(403, "AccessDenied");
    fixture.call(get("/bkt/none").anonymous()).await.error(403, "AccessDenied");
    let now = |text: &str| json!({"DateLessThan": {"acs:CurrentTime": text}});
    set(&fixture, &read(now("2026-01-15T08:30:46Z"))).await;
    fixture.call(get("/bkt/k").anonymous()).await.expect(200);
    fixture.clock.advance_ms(2_000);
    fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
    set(&fixture, &read(json!({"IpAddress": {"acs:SourceIp": "127.0.0.0/8"}}))).await;
    // Whoever is no proxy is not believed.
    let forwarded = get("/bkt/k").header("x-forwarded-for", "10.0.0.1").anonymous();
    fixture.call(forwarded).await.expect(200);
    set(&fixture, &read(json!({"StringLike": {"acs:UserAgent": "good/*"}}))).await;
    fixture.call(get("/bkt/k").header("user-agent", "good/1").anonymous()).await.expect(200);
    fixture
        .call(get("/bkt/k").header("user-agent", "bad/1").anonymous())
        .await
        .error(403, "AccessDenied");
    fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
    let tags = "<Tagging><TagSet><Tag><Key>team</Key><Value>a</Value></Tag></TagSet></Tagging>";
    fixture.call(put("/bkt/?tagging").body(tags)).await.expect(200);
    set(&fixture, &read(json!({"StringEquals": {"oss:BucketTag/team": "a"}}))).await;
    fixture.call(get("/bkt/k").anonymous()).await.expect(200);
    fixture.call(delete("/bkt/?tagging")).await.expect(204);
    fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
    // Tags that are asked for are seen in headers and in documents.
    let write = json!({"StringEquals": {"oss:RequestObjectTag/team": "a"}});
    set(&fixture, &conditional("Allow", "oss:PutObject*", json!(KEYS), write)).await;
    let sent = |tags: &str| put("/bkt/new").body("x").header("x-oss-tagging", tags).anonymous();
    fixture.call(sent("team=a")).await.expect(200);
    fixture.call(sent("team=b")).await.error(403, "AccessDenied");
    fixture.call(put("/bkt/new").body("x").anonymous()).await.error(403, "AccessDenied");
    fixture.call(put("/bkt/k?tagging").body(tags).anonymous()).await.expect(200);
    let others = tags.replace("<Value>a", "<Value>b");
    fixture.call(put("/bkt/k?tagging").body(others).anonymous()).await.error(403, "AccessDenied");
    let shown = json!({"StringEquals": {"oss:x-oss-object-acl": "private"}});
    set(&fixture, &conditional("Allow", "oss:PutObject*", json!(KEYS), shown)).await;
    let sent = |acl: &str| put("/bkt/new").body("x").header("x-oss-object-acl", acl).anonymous();
    fixture.call(sent("private")).await.expect(200);
    fixture.call(sent("public-read")).await.error(403, "AccessDenied");
}

#[tokio::test]
async fn a_proxy_that_is_known_says_where_a_request_comes_from() {
    let fixture = Fixture::with(|config| {
        config.auth.proxies = vec!["127.0.0.1".into(), "10.9.0.0/16".into()]
    })
    .await;
    fixture.make_bucket("bkt").await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let from = json!({"IpAddress": {"acs:SourceIp": "10.0.0.0/24"}});
    set(&fixture, &conditional("Allow", "oss:GetObject", json!(KEYS), from)).await;
    for (hops, allowed) in [
        ("10.0.0.7", true),
        ("10.0.0.7, 10.9.0.1", true),
        ("192.168.0.1, 10.0.0.7", true),
        // Whatever a client writes stands before what the proxy adds.
        ("10.0.0.7, 192.168.0.1", false),
        ("10.0.0.7, nonsense", false),
        ("", false),
    ] {
        let call = get("/bkt/k").header("x-forwarded-for", hops).anonymous();
        assert_eq!(fixture.call(call).await.status, if allowed { 200 } else { 403 }, "{hops}");
    }
}

#[tokio::test]
async fn copies_versions_and_uploads_ask_for_all_that_they_touch() {
    let fixture = Fixture::with_bucket().await;
    fixture.make_bucket("src").await;
    fixture.call(put("/src/k").body("x").header("x-oss-tagging", "a=b")).await.expect(200);
    fixture.call(put("/src/plain").body("x")).await.expect(200);
    let any = |action: Value, bucket: &str| {
        policy(&[("Allow", json!(["*"]), action, json!(format!("acs:oss:*:*:{bucket}/*")))])
    };
    let on = async |bucket: &str, action: Value| {
        let call = put(&format!("/{bucket}/?policy")).body(any(action, bucket));
        fixture.call(call).await.expect(200);
    };
    let copy =
        |key: &str| put("/bkt/copy").header("x-oss-copy-source", format!("/src/{key}")).anonymous();
    on("src", json!("oss:GetObject")).await;
    fixture.call(copy("plain")).await.error(403, "AccessDenied");
    on("bkt", json!("oss:PutObject")).await;
    fixture.call(copy("plain")).await.expect(200);
    on("src", json!("oss:GetObjectTagging")).await;
    fixture.call(copy("plain")).await.error(403, "AccessDenied");
    // Tags that are copied are read and set.
    on("src", json!("oss:GetObject")).await;
    fixture.call(copy("k")).await.error(403, "AccessDenied");
    on("src", json!(["oss:GetObject", "oss:GetObjectTagging"])).await;
    fixture.call(copy("k")).await.error(403, "AccessDenied");
    on("bkt", json!(["oss:PutObject", "oss:PutObjectTagging"])).await;
    fixture.call(copy("k")).await.expect(200);
    let replaced = copy("k").header("x-oss-tagging-directive", "Replace");
    on("bkt", json!("oss:PutObject")).await;
    fixture.call(replaced).await.expect(200);
    // A version is a right of its own.
    let versions = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    fixture.call(put("/bkt/?versioning").body(versions)).await.expect(200);
    let id =
        fixture.call(put("/bkt/v").body("x")).await.expect(200).must("x-oss-version-id").to_owned();
    let read = || get(&format!("/bkt/v?versionId={id}")).anonymous();
    on("bkt", json!("oss:GetObject")).await;
    fixture.call(read()).await.error(403, "AccessDenied");
    on("bkt", json!("oss:GetObjectVersion")).await;
    fixture.call(read()).await.expect(200);
    fixture.call(get("/bkt/v").anonymous()).await.error(403, "AccessDenied");
    let one = format!("<Delete><Object><Key>v</Key><VersionId>{id}</VersionId></Object></Delete>");
    on("bkt", json!("oss:DeleteObject")).await;
    fixture.call(post("/bkt/?delete").body(&one).anonymous()).await.error(403, "AccessDenied");
    on("bkt", json!("oss:DeleteObjectVersion")).await;
    fixture.call(post("/bkt/?delete").body(&one).anonymous()).await.expect(200);
    // What an upload was given at its start is set, and asked for, at its end.
    let start = post("/bkt/up?uploads")
        .header("x-oss-object-acl", "private")
        .header("x-oss-tagging", "a=b");
    let upload = fixture.call(start).await.expect(200).element("UploadId").unwrap();
    let part = put(&format!("/bkt/up?partNumber=1&uploadId={upload}")).body("x");
    fixture.call(part).await.expect(200);
    let complete = || {
        post(&format!("/bkt/up?uploadId={upload}")).header("x-oss-complete-all", "yes").no_body()
    };
    for actions in [
        json!("oss:PutObject"),
        json!(["oss:PutObject", "oss:PutObjectAcl"]),
        json!(["oss:PutObject", "oss:PutObjectTagging"]),
    ] {
        on("bkt", actions).await;
        fixture.call(complete().anonymous()).await.error(403, "AccessDenied");
    }
    on("bkt", json!(["oss:PutObject", "oss:PutObjectAcl", "oss:PutObjectTagging"])).await;
    fixture.call(complete().anonymous()).await.expect(200);
}

#[tokio::test]
async fn a_link_does_not_open_what_it_points_at() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/secret/k").body("x")).await.expect(200);
    let open = policy(&[(
        "Allow",
        json!(["*"]),
        json!(["oss:PutObject", "oss:GetObject"]),
        json!("acs:oss:*:*:bkt/open/*"),
    )]);
    set(&fixture, &open).await;
    let link = put("/bkt/open/k?symlink").header("x-oss-symlink-target", "secret%2Fk").no_body();
    fixture.call(link.anonymous()).await.expect(200);
    fixture.call(get("/bkt/open/k").anonymous()).await.error(403, "AccessDenied");
    fixture.call(head("/bkt/open/k").anonymous()).await.expect(403);
    fixture.call(get("/bkt/open/k")).await.expect(200);
}

#[tokio::test]
async fn where_the_server_is_told_to_write_its_teller_must_be_able_to() {
    let fixture = Fixture::with_bucket().await;
    fixture.make_bucket("logs").await;
    set(&fixture, &policy(&[("Allow", json!(["*"]), json!("oss:*"), json!([BUCKET, KEYS]))])).await;
    let logging = "<BucketLoggingStatus><LoggingEnabled><TargetBucket>logs</TargetBucket>\
        <TargetPrefix>bkt/</TargetPrefix></LoggingEnabled></BucketLoggingStatus>";
    let call = || put("/bkt/?logging").body(logging).anonymous();
    fixture.call(call()).await.error(403, "AccessDenied");
    let open =
        policy(&[("Allow", json!(["*"]), json!("oss:PutObject"), json!("acs:oss:*:*:logs/bkt/*"))]);
    fixture.call(put("/logs/?policy").body(open)).await.expect(200);
    fixture.call(call()).await.expect(200);
}

#[tokio::test]
async fn a_policy_is_refused_that_is_none_or_of_another_bucket_or_public_while_that_is_blocked() {
    let fixture = Fixture::with_bucket().await;
    let good = policy(&[(
        "Allow",
        json!(["77"]),
        json!("oss:GetObject"),
        json!("acs:oss:*:1234567890:*/*"),
    )]);
    set(&fixture, &good).await;
    assert_eq!(fixture.call(get("/bkt/?policy")).await.text(), good);
    let status = async || {
        let told = fixture.call(get("/bkt/?policyStatus")).await.expect(200);
        told.element("IsPublic").unwrap()
    };
    assert_eq!(status().await, "false");
    for bad in [
        policy(&[("Allow", json!(["77"]), json!("oss:GetObject"), json!("acs:oss:*:*:other/*"))]),
        good.replace("Effect", "Efect"),
        good.replace("oss:GetObject", "GetObject"),
        good.replace("\"77\"", "\"7*\""),
        conditional("Allow", "oss:*", json!(KEYS), json!({"StringIs": {"oss:Prefix": "x"}})),
        format!("{good}{}", " ".repeat(16 << 10)),
        "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Deny\",\"Effect\":\"Allow\"}]}".to_owned(),
    ] {
        let answer = fixture.call(put("/bkt/?policy").body(bad)).await;
        answer.error(400, "InvalidPolicyDocument");
    }
    assert_eq!(fixture.call(get("/bkt/?policy")).await.text(), good);
    let public = policy(&[("Allow", json!(["*"]), json!("oss:GetObject"), json!(KEYS))]);
    set(&fixture, &public).await;
    assert_eq!(status().await, "true");
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    fixture.call(get("/bkt/k").anonymous()).await.expect(200);
    let block = "<PublicAccessBlockConfiguration><BlockPublicAccess>true</BlockPublicAccess>\
        </PublicAccessBlockConfiguration>";
    fixture.call(put("/bkt/?publicAccessBlock").body(block)).await.expect(200);
    fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
    fixture.call(put("/bkt/?policy").body(public)).await.error(403, "AccessDenied");
    fixture.call(delete("/bkt/?publicAccessBlock")).await.expect(204);
    fixture.call(get("/bkt/k").anonymous()).await.expect(200);
}

/// One well-made request for each operation.
pub fn requests() -> BTreeMap<&'static str, (Operation, Call)> {
    let mut all = one_of_each();
    let form = "--x\r\ncontent-disposition: form-data; name=\"key\"\r\n\r\nposted\r\n\
        --x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nbody\r\n--x--\r\n";
    if let Some((_, call)) = all.get_mut("PostObject") {
        *call = call.clone().body(form);
    }
    // Told by GET as well, with the length of a body that does not come.
    if let Some((_, call)) = all.get_mut("GetObjectMeta") {
        *call = head("/bkt/key?objectMeta");
    }
    if let Some((_, call)) = all.get_mut("DeleteMultipleObjects") {
        *call = call.clone().body("<Delete><Object><Key>key</Key></Object></Delete>");
    }
    all
}

#[tokio::test]
async fn no_operation_is_reachable_without_a_decision_and_each_is_told_to_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let fixture = Fixture::with(|config| config.audit.file = file.clone()).await;
    fixture.make_bucket("bkt").await;
    fixture
        .call(put("/bkt/key").body("content").header("x-oss-object-acl", "private"))
        .await
        .expect(200);
    let all = requests();
    for operation in Operation::ALL {
        let (_, request) = &all[operation.name()];
        let answer = fixture.call(request.clone().anonymous()).await;
        // Browsers do not sign it, and nothing of the bucket is told but what its rules say.
        if *operation == Operation::OptionObject {
            assert_eq!(answer.status, 400);
            continue;
        }
        if request.method == "HEAD" {
            assert_eq!(answer.status, 403, "{operation}");
        } else {
            let told = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(answer.status == 403 && told.contains("AccessDenied"), "{operation}: {told}");
        }
    }
    assert_eq!(fixture.call(get("/bkt/key")).await.expect(200).text(), "content");
    assert!(fixture.stop().await);
    let lines = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for operation in Operation::ALL {
        let told: Vec<_> = lines
            .iter()
            .filter(|line| line["operation"] == operation.name() && line["who"] == "anonymous")
            .collect();
        if *operation == Operation::OptionObject {
            assert!(told.is_empty());
            continue;
        }
        let [told] = told[..] else { panic!("{operation}: {told:?}") };
        assert_eq!(told["outcome"], "denied", "{operation}: {told}");
        assert!(told["action"].as_str().unwrap().starts_with("oss:"), "{operation}: {told}");
        assert!(told["resource"].as_str().unwrap().starts_with("acs:oss:"), "{operation}: {told}");
        assert!(
            !told["reason"].as_str().unwrap().is_empty() && told["status"] == 403,
            "{operation}: {told}"
        );
    }
    let roots: Vec<_> = lines.iter().filter(|line| line["who"] == "root").collect();
    assert_eq!(roots.len(), 3);
    assert!(roots.iter().all(|line| line["outcome"] == "allowed" && line["reason"] == "the owner"));
}

#[tokio::test]
async fn the_audit_log_names_who_and_why_and_holds_no_secret_token_or_signature() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let fixture = Fixture::with(|config| config.audit.file = file.clone()).await;
    fixture.make_bucket("bkt").await;
    let text = json!({"Version": "1", "Statement": [
        {"Sid": "read all", "Effect": "Allow", "Principal": ["*"], "Action": "oss:GetObject", "Resource": KEYS},
    ]});
    set(&fixture, &text.to_string()).await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    fixture.call(get("/bkt/k").anonymous()).await.expect(200);
    let call = get("/bkt/k?x-oss-process=none&prefix=in-the-query");
    let head = String::from_utf8(call.head_bytes(&fixture)).unwrap();
    let signed =
        head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:")).unwrap();
    let signature =
        signed.rsplit([':', '=']).find(|part| part.len() > 20).unwrap_or(signed).to_owned();
    let _ = fixture.call(call).await;
    let link = "/bkt/k?OSSAccessKeyId=ossia&Expires=99999999999&Signature=c2VjcmV0LXNpZ25hdHVyZQ%3D%3D\
        &security-token=the-token";
    fixture.call(get(link).anonymous()).await;
    let wrong = get("/bkt/k").key(KEY_ID, "another-secret");
    fixture.call(wrong).await.error(403, "SignatureDoesNotMatch");
    let tokened = get("/bkt/k").header("x-oss-security-token", "a-session-token");
    fixture.call(tokened).await;
    assert!(fixture.stop().await);
    let lines = std::fs::read_to_string(&file).unwrap();
    for secret in [
        KEY_SECRET,
        "another-secret",
        "c2VjcmV0",
        "secret-signature",
        "the-token",
        "a-session-token",
        "in-the-query",
        &signature,
        "Signature=",
        "OSS4-HMAC",
        "uthorization",
    ] {
        assert!(!lines.contains(secret), "{secret}: {lines}");
    }
    let told: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let opened = told
        .iter()
        .find(|line| line["who"] == "anonymous" && line["outcome"] == "allowed")
        .unwrap();
    assert_eq!(opened["reason"], "statement 1 (\"read all\") of the bucket policy");
    assert_eq!(
        (&opened["action"], &opened["peer"]),
        (&json!("oss:GetObject"), &json!("127.0.0.1"))
    );
    assert!(told.iter().any(|line| line["outcome"] == "refused"
        && line["code"] == "SignatureDoesNotMatch"
        && line["who"] == "-"));
}
