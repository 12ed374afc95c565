//! What policies are told of a request beside its names, and what the audit log is told of RAM and STS.

use ossia_objects::Clock as _;
use serde_json::{Value, json};

use crate::{
    drive::*,
    policies::{conditional, set},
    ram::{ACCOUNT, Key, RAM, STS, assumer, by_form, done, parameters, root, rpc, signed, user},
    users::{allow, attach, change, fails, session, works},
};

const KEYS: &str = "acs:oss:*:*:bkt/*";

fn when(action: &str, resource: &str, condition: Value) -> String {
    let statement = json!({
        "Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition,
    });
    json!({"Version": "1", "Statement": [statement]}).to_string()
}

/// As `rpc`, with headers that are not signed.
async fn ask(
    fixture: &Fixture,
    key: &Key,
    (version, pairs): (&str, &[(&str, &str)]),
    headers: &[(&str, &str)],
) -> u16 {
    let query = signed("POST", key, parameters(fixture, key, version, pairs));
    let call = headers.iter().fold(by_form(&query), |call, (name, value)| call.header(name, value));
    fixture.call(call).await.status
}

#[tokio::test]
async fn policies_see_where_when_and_how_ram_is_asked() {
    let fixture = Fixture::with(|config| config.auth.proxies = vec!["127.0.0.1".into()]).await;
    let lee = user(&fixture, "lee").await;
    attach(&fixture, "lee", "own", &allow("ram:None", "*")).await;
    let headers = [("x-forwarded-for", "10.0.0.7"), ("user-agent", "good/1")];
    for (condition, allowed) in [
        (json!({"IpAddress": {"acs:SourceIp": "10.0.0.0/24"}}), true),
        (json!({"IpAddress": {"acs:SourceIp": "127.0.0.0/8"}}), false),
        (json!({"NotIpAddress": {"acs:SourceIp": "10.0.0.0/24"}}), false),
        (json!({"StringLike": {"acs:UserAgent": "good/*"}}), true),
        (json!({"StringLike": {"acs:UserAgent": "bad/*"}}), false),
        (json!({"Bool": {"acs:SecureTransport": "true"}}), false),
        (json!({"Bool": {"acs:SecureTransport": "false"}}), true),
        (json!({"DateGreaterThan": {"acs:CurrentTime": "2026-01-15T00:00:00Z"}}), true),
        (json!({"DateGreaterThan": {"acs:CurrentTime": "2036-01-15T00:00:00Z"}}), false),
        (json!({"StringEquals": {"acs:AccessId": lee.0}}), true),
        (json!({"StringNotEquals": {"acs:AccessId": lee.0}}), false),
    ] {
        change(&fixture, "own", &when("ram:GetUser", "acs:ram:*:*:user/lee", condition.clone()))
            .await;
        let pairs = [("Action", "GetUser"), ("UserName", "lee")];
        let status = ask(&fixture, &lee, (RAM, &pairs), &headers).await;
        assert_eq!(status, if allowed { 200 } else { 403 }, "{condition}");
    }
}

#[tokio::test]
async fn a_role_may_ask_for_an_id_that_only_its_partner_knows() {
    let fixture = Fixture::start().await;
    let (app, arn) = assumer(&fixture, 1).await;
    let trust = json!({"Version": "1", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"RAM": [format!("acs:ram::{ACCOUNT}:root")]},
        "Condition": {"StringEquals": {"sts:ExternalId": "partner"}},
    }]});
    let changed = [("RoleName", "writer"), ("NewAssumeRolePolicyDocument", &*trust.to_string())];
    done(&fixture, "UpdateRole", &changed).await;
    for (id, wanted) in [(Some("partner"), 200), (Some("Partner"), 403), (None, 403)] {
        let mut pairs = vec![("RoleArn", arn.as_str()), ("RoleSessionName", "s1")];
        pairs.extend(id.map(|id| ("ExternalId", id)));
        let (status, told) = rpc(&fixture, &app, (STS, "AssumeRole"), &pairs).await;
        assert_eq!(status, wanted, "{id:?}: {told}");
    }
}

#[tokio::test]
async fn a_nonce_is_spent_for_its_key_for_as_long_as_its_request_would_be_taken() {
    let fixture = Fixture::start().await;
    let lee = user(&fixture, "lee").await;
    let query = |key: &Key| {
        let mut plain = ossia_protocol::query::Query::new();
        for parameter in parameters(&fixture, key, STS, &[("Action", "GetCallerIdentity")]).iter() {
            let (name, value) = (parameter.name_str().unwrap(), parameter.value_str().unwrap());
            plain.push(name, if name == "SignatureNonce" { "the same" } else { value });
        }
        signed("POST", key, plain)
    };
    let (one, other) = (query(&root()), query(&lee));
    fixture.call(by_form(&one)).await.expect(200);
    fixture.call(by_form(&other)).await.expect(200);
    for passed in [0, 1_000, 600_000, 298_000] {
        fixture.clock.advance_ms(passed);
        for spent in [&one, &other] {
            let told = fixture.call(by_form(spent)).await.expect(400).text();
            assert!(told.contains("SignatureNonceUsed"), "{passed}: {told}");
        }
    }
    assert!(fixture.clock.now_ms() > 0);
}

#[tokio::test]
async fn the_audit_log_is_told_of_ram_and_sts_by_action_and_without_what_they_carry() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let fixture = Fixture::with(|config| {
        config.audit.file = file.clone();
        config.auth.proxies = vec!["127.0.0.1".into()];
    })
    .await;
    let (app, arn) = assumer(&fixture, 1).await;
    let pairs = [("RoleArn", arn.as_str()), ("RoleSessionName", "s1")];
    let (_, told) = rpc(&fixture, &app, (STS, "AssumeRole"), &pairs).await;
    let given = |name: &str| told["Credentials"][name].as_str().unwrap().to_owned();
    let (secret, token) = (given("AccessKeySecret"), given("SecurityToken"));
    let session = Key(given("AccessKeyId"), secret.clone(), Some(token.clone()));
    assert_eq!(rpc(&fixture, &session, (STS, "GetCallerIdentity"), &[]).await.0, 200);
    let forwarded = [("x-forwarded-for", "10.0.0.7")];
    let (list, odd) = ([("Action", "ListUsers")], [("Action", "List<Users>\"\n")]);
    assert_eq!(ask(&fixture, &app, (RAM, &list), &forwarded).await, 403);
    assert_eq!(ask(&fixture, &app, (RAM, &odd), &[]).await, 400);
    let liar = Key(app.0.clone(), "another-secret".into(), None);
    assert_eq!(ask(&fixture, &liar, (RAM, &list), &[]).await, 400);
    assert!(fixture.stop().await);
    let text = std::fs::read_to_string(&file).unwrap();
    for carried in
        [&app.1, &secret, &token[8..40], KEY_SECRET, "another-secret", "Signature=", "List<"]
    {
        assert!(!text.contains(carried), "{carried}: {text}");
    }
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (operation, who, outcome, status, peer) in [
        ("CreateUser", "root", "allowed", 200, "127.0.0.1"),
        ("CreateAccessKey", "root", "allowed", 200, "127.0.0.1"),
        ("AssumeRole", "user:app", "allowed", 200, "127.0.0.1"),
        ("GetCallerIdentity", "role:writer/s1", "allowed", 200, "127.0.0.1"),
        ("ListUsers", "user:app", "denied", 403, "10.0.0.7"),
        ("Unknown", "user:app", "refused", 400, "127.0.0.1"),
        ("ListUsers", "-", "refused", 400, "127.0.0.1"),
    ] {
        let told = lines.iter().find(|line| line["operation"] == operation && line["who"] == who);
        let told = told.unwrap_or_else(|| panic!("{operation} by {who}: {text}"));
        let wanted = (&json!(outcome), &json!(status), &json!(peer));
        assert_eq!((&told["outcome"], &told["status"], &told["peer"]), wanted, "{told}");
    }
}

#[tokio::test]
async fn of_what_a_request_needs_the_log_tells_what_is_denied_else_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let fixture = Fixture::with(|config| config.audit.file = file.clone()).await;
    fixture.make_bucket("bkt").await;
    let lee = user(&fixture, "lee").await;
    attach(&fixture, "lee", "write", &allow("oss:PutObject", KEYS)).await;
    let tagged = |key: &str| append(&format!("/bkt/{key}"), 0, "x").header("x-oss-tagging", "a=b");
    fails(&fixture, &lee, tagged("denied")).await;
    change(&fixture, "write", &allow("oss:PutObject*", KEYS)).await;
    works(&fixture, &lee, tagged("allowed")).await;
    assert!(fixture.stop().await);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (key, outcome, action) in
        [("denied", "denied", "oss:PutObjectTagging"), ("allowed", "allowed", "oss:PutObject")]
    {
        let of =
            |line: &&Value| line["resource"].as_str().unwrap().ends_with(&format!("bkt/{key}"));
        let told = lines.iter().find(of).unwrap();
        assert_eq!(
            (&told["outcome"], &told["action"]),
            (&json!(outcome), &json!(action)),
            "{told}"
        );
    }
}

#[tokio::test]
async fn conditions_see_tags_of_the_version_named_whoever_asks_for_them() {
    let fixture = Fixture::with_bucket().await;
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    fixture.call(put("/bkt/?versioning").body(on)).await.expect(200);
    let mut versions = Vec::new();
    for tags in ["status=ok", "status=no"] {
        let call = put("/bkt/k").body("x").header("x-oss-tagging", tags);
        let made = fixture.call(call).await.expect(200);
        versions.push(format!("/bkt/k?versionId={}", made.must("x-oss-version-id")));
    }
    let lee = user(&fixture, "lee").await;
    let tagged = json!({"StringEquals": {"oss:ExistingObjectTag/status": "ok"}});
    attach(&fixture, "lee", "all", &when("oss:*", "*", tagged.clone())).await;
    works(&fixture, &lee, get(&versions[0])).await;
    fails(&fixture, &lee, get(&versions[1])).await;
    fails(&fixture, &lee, get("/bkt/k")).await;
    // A session policy is told them though no other policy asks for them.
    let session = session(&fixture, &lee, "all", Some(&when("oss:*", "*", tagged))).await;
    attach(&fixture, "role/all", "everything", &allow("oss:*", "*")).await;
    works(&fixture, &session, get(&versions[0])).await;
    fails(&fixture, &session, get(&versions[1])).await;
}

#[tokio::test]
async fn conditions_see_the_prefix_of_every_list_and_the_key_that_signed() {
    let fixture = Fixture::with_bucket().await;
    for (action, list) in [
        ("oss:ListObjects", "/bkt/?prefix="),
        ("oss:ListObjects", "/bkt/?list-type=2&prefix="),
        ("oss:ListObjectVersions", "/bkt/?versions&prefix="),
    ] {
        let of = json!({"StringLike": {"oss:Prefix": "logs/*"}});
        set(&fixture, &conditional("Allow", action, json!("acs:oss:*:*:bkt"), of)).await;
        let list = |prefix: &str| get(&format!("{list}{prefix}")).anonymous();
        fixture.call(list("logs/a")).await.expect(200);
        fixture.call(list("")).await.error(403, "AccessDenied");
        fixture.call(list("log")).await.error(403, "AccessDenied");
    }
    let (lee, kim) = (user(&fixture, "lee").await, user(&fixture, "kim").await);
    let by = json!({"StringEquals": {"acs:AccessId": lee.0}});
    set(&fixture, &conditional("Allow", "oss:PutObject", json!(KEYS), by)).await;
    works(&fixture, &lee, append("/bkt/a", 0, "x")).await;
    fails(&fixture, &kim, append("/bkt/a", 1, "x")).await;
    fixture.call(append("/bkt/a", 1, "x").anonymous()).await.error(403, "AccessDenied");
}

#[tokio::test]
async fn conditions_see_what_a_form_and_an_upload_set() {
    let fixture = Fixture::with_bucket().await;
    let write = |condition: Value| {
        json!({"Version": "1", "Statement": [
            {"Effect": "Allow", "Principal": ["*"], "Action": "oss:PutObject", "Resource": KEYS},
            {"Effect": "Allow", "Principal": ["*"], "Action": ["oss:PutObjectAcl", "oss:PutObjectTagging"],
             "Resource": KEYS, "Condition": condition},
        ]})
        .to_string()
    };
    let form = |name: &str, value: &str| crate::post::form("f", "x").field(name, value).call();
    set(&fixture, &write(json!({"StringEquals": {"oss:x-oss-object-acl": "private"}}))).await;
    fixture.call(form("x-oss-object-acl", "private")).await.expect(204);
    fixture.call(form("x-oss-object-acl", "public-read")).await.error(403, "AccessDenied");
    for (acl, status) in [("private", 200), ("public-read", 403)] {
        let begin = post("/bkt/u?uploads").header("x-oss-object-acl", acl).anonymous();
        let id = fixture.call(begin).await.expect(200).element("UploadId").unwrap();
        let part = put(&format!("/bkt/u?partNumber=1&uploadId={id}")).body("x").anonymous();
        let tag = fixture.call(part).await.expect(200).must("etag").to_owned();
        let parts = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>\
             </CompleteMultipartUpload>"
        );
        let end = post(&format!("/bkt/u?uploadId={id}")).body(parts).anonymous();
        assert_eq!(fixture.call(end).await.status, status, "{acl}");
    }
}

#[tokio::test]
async fn an_open_bucket_does_not_let_others_tell_the_server_to_write_into_it() {
    let fixture = Fixture::with_bucket().await;
    fixture.make_bucket("logs").await;
    fixture.call(put("/logs/?acl").header("x-oss-acl", "public-read-write")).await.expect(200);
    let lee = user(&fixture, "lee").await;
    attach(&fixture, "lee", "own", &allow("oss:PutBucketLogging", "acs:oss:*:*:bkt")).await;
    let logging = "<BucketLoggingStatus><LoggingEnabled><TargetBucket>logs</TargetBucket>\
        <TargetPrefix>bkt/</TargetPrefix></LoggingEnabled></BucketLoggingStatus>";
    fails(&fixture, &lee, put("/bkt/?logging").body(logging)).await;
    attach(&fixture, "lee", "target", &allow("oss:PutObject", "acs:oss:*:*:logs/bkt/*")).await;
    works(&fixture, &lee, put("/bkt/?logging").body(logging)).await;
}

#[tokio::test]
async fn what_is_explained_rests_on_what_is_said_of_the_request_and_what_is_stored() {
    let fixture = Fixture::with_bucket().await;
    fixture
        .call(put("/bkt/open").body("x").header("x-oss-object-acl", "public-read"))
        .await
        .expect(200);
    let told = async |action: &str, resource: &str, more: &[(&str, &str)]| {
        let pairs = [("Principal", "anonymous"), ("PolicyAction", action), ("Resource", resource)];
        let told = done(&fixture, "ExplainAccess", &[&pairs, more].concat()).await;
        (told["Allowed"] == true, told["Reason"].as_str().unwrap().to_owned())
    };
    let open = (true, "the object's ACL is public".to_owned());
    assert_eq!(told("oss:GetObject", "bkt/open", &[]).await, open);
    let block = "<PublicAccessBlockConfiguration><BlockPublicAccess>true</BlockPublicAccess>\
        </PublicAccessBlockConfiguration>";
    fixture.call(put("/bkt/?publicAccessBlock").body(block)).await.expect(200);
    assert!(!told("oss:GetObject", "bkt/open", &[]).await.0);
    fixture.call(delete("/bkt/?publicAccessBlock")).await.expect(204);
    let of =
        json!({"IpAddress": {"acs:SourceIp": "10.0.0.0/8"}, "StringEquals": {"oss:Prefix": "a"}});
    set(&fixture, &conditional("Allow", "oss:ListObjects", json!("acs:oss:*:*:bkt"), of)).await;
    for (more, wanted) in [
        (&[("SourceIp", "10.0.0.1"), ("Prefix", "a")][..], true),
        (&[("SourceIp", "10.0.0.1")], false),
        (&[("SourceIp", "11.0.0.1"), ("Prefix", "a")], false),
        (&[("Prefix", "a")], false),
    ] {
        assert_eq!(told("oss:ListObjects", "bkt", more).await.0, wanted, "{more:?}");
    }
}

#[tokio::test]
async fn whoever_shortens_a_retention_needs_the_right_to_that_beside() {
    let fixture = Fixture::with_bucket().await;
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    fixture.call(put("/bkt/?versioning").body(on)).await.expect(200);
    let kept = "<ObjectWormConfiguration><ObjectWormEnabled>Enabled</ObjectWormEnabled></ObjectWormConfiguration>";
    fixture.call(put("/bkt/?objectWorm").body(kept)).await.expect(200);
    let until = |day: &str| {
        format!(
            "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2026-{day}T00:00:00.000Z</RetainUntilDate></Retention>"
        )
    };
    let mut versions = Vec::new();
    for key in ["a", "b"] {
        let made = fixture.call(put(&format!("/bkt/{key}")).body("x")).await.expect(200);
        versions.push(made.must("x-oss-version-id").to_owned());
        let call = put(&format!("/bkt/{key}?retention")).body(until("03-01"));
        fixture.call(call).await.expect(200);
    }
    let lee = user(&fixture, "lee").await;
    // Days are counted down to what is asked for: 10 from the 15th of January are the 25th.
    let few = json!({"NumericLessThanEquals": {"oss:object-remaining-retention-days": "10"}});
    let rights = |more: &str, condition: Value| {
        json!({"Version": "1", "Statement": [
            {"Effect": "Allow", "Action": ["oss:Delete*", more], "Resource": "*"},
            {"Effect": "Allow", "Action": "oss:PutObjectRetention", "Resource": "*", "Condition": condition},
        ]})
        .to_string()
    };
    attach(&fixture, "lee", "own", &rights("oss:Delete*", few.clone())).await;
    let bypass = |call: Call| call.header("x-oss-bypass-governance-retention", "True");
    let remove = || bypass(delete(&format!("/bkt/a?versionId={}", versions[0])));
    let shorten = |day: &str| bypass(put("/bkt/b?retention").body(until(day)));
    let many = || {
        let key = format!("<Object><Key>a</Key><VersionId>{}</VersionId></Object>", versions[0]);
        bypass(post("/bkt/?delete").body(format!("<Delete>{key}</Delete>")))
    };
    fails(&fixture, &lee, remove()).await;
    fails(&fixture, &lee, shorten("01-20")).await;
    let told = fixture.call(crate::ram::with(many(), &lee, Sign::V4)).await;
    assert!(!told.text().contains("<Deleted>"), "{}", told.text());
    change(&fixture, "own", &rights("oss:BypassGovernanceRetention", few)).await;
    fails(&fixture, &lee, shorten("01-27")).await;
    works(&fixture, &lee, shorten("01-25")).await;
    works(&fixture, &lee, remove()).await;
}
