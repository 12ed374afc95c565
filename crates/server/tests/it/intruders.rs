//! Ways in for those who do not belong: each was open once, or looked as if it could be.

use ossia_objects::Clock as _;
use ossia_protocol::{
    auth::{HeaderList, RequestParts, Secret, Signer, presign_v1},
    query::Query,
};
use serde_json::{Value, json};

use crate::{
    drive::*,
    policies::{conditional, policy, set},
    post::form,
    ram::{ACCOUNT, Key, RAM, STS, done, rpc, user, with},
};

const KEYS: &str = "acs:oss:*:*:bkt/*";
const VERSIONED: &str =
    "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
const SITE: &str = "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument>\
    </WebsiteConfiguration>";

/// Attaches a policy of these statements to a user.
async fn may(fixture: &Fixture, name: &str, statements: Value) {
    let document = json!({"Version": "1", "Statement": statements}).to_string();
    let of = format!("of-{name}");
    done(fixture, "CreatePolicy", &[("PolicyName", &of), ("PolicyDocument", &document)]).await;
    let pairs = [("PolicyType", "Custom"), ("PolicyName", of.as_str()), ("UserName", name)];
    done(fixture, "AttachPolicyToUser", &pairs).await;
}

/// The target with a signature of this key in it.
fn presigned(fixture: &Fixture, key: &Key, target: &str) -> String {
    let (parsed_target, query) = parsed(fixture, &fixture.host(), target);
    let secret = Secret::new(&key.1);
    let signer = Signer::new(&key.0, &secret, "cn-hangzhou");
    let mut headers = HeaderList::new();
    headers.push("host", fixture.host());
    let request =
        RequestParts { method: "GET", target: &parsed_target, query: &query, headers: &headers };
    let now = i64::try_from(fixture.clock.now_ms() / 1000).unwrap();
    let query: Query = presign_v1(&request, &signer, now + 600);
    format!("{}?{}", target.split('?').next().unwrap(), query.to_wire())
}

#[tokio::test]
async fn a_site_shows_no_version_that_its_reader_may_not_see() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/?versioning").body(VERSIONED)).await.expect(200);
    let mut ids = Vec::new();
    for (body, acl) in [("secret", "private"), ("open", "public-read")] {
        let call = put("/bkt/page").body(body).header("x-oss-object-acl", acl);
        let stored = fixture.call(call).await.expect(200);
        ids.push(stored.must("x-oss-version-id").to_owned());
    }
    fixture.call(put("/bkt/?website").body(SITE)).await.expect(200);
    let old = format!("/bkt/page?versionId={}", ids[0]);
    assert_eq!(fixture.call(get("/bkt/page").anonymous()).await.expect(200).text(), "open");
    let new = format!("/bkt/page?versionId={}", ids[1]);
    assert_eq!(fixture.call(get(&new).anonymous()).await.expect(200).text(), "open");
    for method in ["GET", "HEAD"] {
        fixture.call(call(method, &old).anonymous()).await.expect(403);
    }
    // Nor does a signature in the URL get at versions by the right to what is current.
    let lee = user(&fixture, "lee").await;
    may(&fixture, "lee", json!([{"Effect": "Allow", "Action": "oss:GetObject", "Resource": KEYS}]))
        .await;
    let signed = |target: &str| get(&presigned(&fixture, &lee, target)).anonymous();
    fixture.call(signed("/bkt/page")).await.expect(200);
    fixture.call(signed(&old)).await.error(403, "AccessDenied");
}

#[tokio::test]
async fn a_redirect_leads_to_no_host_that_its_reader_chose() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/?acl").header("x-oss-acl", "public-read")).await.expect(200);
    let site = SITE.replace(
        "</WebsiteConfiguration>",
        "<RoutingRules><RoutingRule><RuleNumber>1</RuleNumber><Condition><KeySuffixEquals>/x</KeySuffixEquals>\
         </Condition>\
         <Redirect><RedirectType>External</RedirectType><ReplaceKeyWith>${key}/</ReplaceKeyWith>\
         <HttpRedirectCode>302</HttpRedirectCode></Redirect></RoutingRule></RoutingRules></WebsiteConfiguration>",
    );
    fixture.call(put("/bkt/?website").body(site)).await.expect(200);
    for (target, place) in [("/a/x", "/a/x/"), ("//evil.example/x", "/%2Fevil.example/x/")] {
        let shown = fixture.call(get(target).host("bkt.localhost").anonymous()).await.expect(302);
        assert_eq!(shown.must("location"), place);
    }
}

#[tokio::test]
async fn whoever_is_denied_a_name_of_ram_is_denied_it_in_any_case() {
    let fixture = Fixture::with_bucket().await;
    let deputy = user(&fixture, "Deputy").await;
    done(&fixture, "CreateUser", &[("UserName", "Boss")]).await;
    let trust = json!({"Version": "1", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"RAM": [format!("acs:ram::{ACCOUNT}:root")]},
    }]});
    let role = [("RoleName", "Vault"), ("AssumeRolePolicyDocument", &*trust.to_string())];
    done(&fixture, "CreateRole", &role).await;
    let statements = json!([
        {"Effect": "Allow", "Action": ["ram:*", "sts:*"], "Resource": "*"},
        {"Effect": "Deny", "Action": "ram:*", "Resource": [
            "acs:ram:*:*:user/boss", "acs:ram:*:system:policy/AliyunOSSFullAccess"]},
        {"Effect": "Deny", "Action": "sts:AssumeRole", "Resource": "acs:ram:*:*:role/Va*"},
    ]);
    may(&fixture, "Deputy", statements).await;
    for name in ["Boss", "boss", "BOSS"] {
        let (status, told) =
            rpc(&fixture, &deputy, (RAM, "CreateAccessKey"), &[("UserName", name)]).await;
        assert_eq!((status, &told["Code"]), (403, &json!("NoPermission")), "{name}");
    }
    for name in ["AliyunOSSFullAccess", "aliyunossfullaccess"] {
        let pairs = [("PolicyType", "System"), ("PolicyName", name), ("UserName", "Deputy")];
        let (status, told) = rpc(&fixture, &deputy, (RAM, "AttachPolicyToUser"), &pairs).await;
        assert_eq!((status, &told["Code"]), (403, &json!("NoPermission")), "{name}");
    }
    for name in ["Vault", "vault"] {
        let arn = format!("acs:ram::{ACCOUNT}:role/{name}");
        let pairs = [("RoleArn", arn.as_str()), ("RoleSessionName", "session")];
        let (status, told) = rpc(&fixture, &deputy, (STS, "AssumeRole"), &pairs).await;
        assert_eq!((status, &told["Code"]), (403, &json!("NoPermission")), "{name}");
    }
    let (status, told) =
        rpc(&fixture, &deputy, (RAM, "CreateAccessKey"), &[("UserName", "DEPUTY")]).await;
    assert_eq!(status, 200, "{told}");
}

#[tokio::test]
async fn who_may_rename_some_users_cannot_give_them_the_names_of_others() {
    let fixture = Fixture::with_bucket().await;
    let deputy = user(&fixture, "deputy").await;
    done(&fixture, "CreateUser", &[("UserName", "dev-1")]).await;
    done(&fixture, "CreateGroup", &[("GroupName", "dev-g")]).await;
    let on = ["acs:ram:*:*:user/dev-*", "acs:ram:*:*:group/dev-*"];
    may(&fixture, "deputy", json!([{"Effect": "Allow", "Action": "ram:*", "Resource": on}])).await;
    for (action, pairs, wanted) in [
        ("UpdateUser", [("UserName", "dev-1"), ("NewUserName", "deployer")], 403),
        ("UpdateGroup", [("GroupName", "dev-g"), ("NewGroupName", "admins")], 403),
        ("UpdateUser", [("UserName", "dev-1"), ("NewUserName", "dev-2")], 200),
        ("UpdateUser", [("UserName", "dev-2"), ("NewComments", "no name")], 200),
        ("UpdateGroup", [("GroupName", "dev-g"), ("NewGroupName", "dev-h")], 200),
    ] {
        let (status, told) = rpc(&fixture, &deputy, (RAM, action), &pairs).await;
        assert_eq!(status, wanted, "{pairs:?} {told}");
    }
}

#[tokio::test]
async fn an_action_that_nobody_signed_is_not_done() {
    let fixture = Fixture::with_bucket().await;
    // Signed in the older style, which covers parameters alone.
    for (version, named) in [(RAM, "CreateUser"), (STS, "GetCallerIdentity")] {
        let query = crate::ram::signed_parameters(&fixture, version, &[("UserName", "eve")]);
        let call = post("/").anonymous().body(query.to_wire());
        let call = call.header("content-type", "application/x-www-form-urlencoded");
        let told = fixture.call(call.header("x-acs-action", named)).await;
        assert_eq!(told.status, 400, "{named}");
        assert!(told.text().contains("\"InvalidParameter\""), "{}", told.text());
    }
}

#[tokio::test]
async fn an_address_that_a_client_wrote_is_not_believed_in_a_line_of_its_own_either() {
    let fixture = Fixture::with(|config| {
        config.auth.proxies = vec!["127.0.0.1".into(), "10.9.0.0/16".into(), "fd00::/8".into()]
    })
    .await;
    fixture.make_bucket("bkt").await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let from = json!({"IpAddress": {"acs:SourceIp": ["10.0.0.0/24", "2001:db8::/32"]}});
    set(&fixture, &conditional("Allow", "oss:GetObject", json!(KEYS), from)).await;
    let lines: &[(&[&str], bool)] = &[
        // As of proxies that add a line behind what the client sent.
        (&["10.0.0.7", "192.168.0.1"], false),
        (&["10.0.0.7, 10.0.0.8", "192.168.0.1", "10.9.0.1"], false),
        (&["192.168.0.1", "10.0.0.7"], true),
        (&["192.168.0.1", "10.0.0.7, 10.9.0.2", "10.9.0.1"], true),
        // As of those that write the port.
        (&["10.0.0.7:4711"], true),
        (&["192.168.0.1, [2001:db8::1]:4711, [fd00::1]"], true),
        (&["10.0.0.7, 192.168.0.1:4711"], false),
        (&["10.0.0.7, 192.168.0.1:port"], false),
    ];
    for (lines, allowed) in lines {
        let mut call = get("/bkt/k").anonymous();
        for line in *lines {
            call = call.header("x-forwarded-for", line);
        }
        let wanted = if *allowed { 200 } else { 403 };
        assert_eq!(fixture.call(call).await.status, wanted, "{lines:?}");
    }
}

#[tokio::test]
async fn a_field_that_is_read_without_blanks_is_decided_on_without_blanks() {
    let fixture = Fixture::with_bucket().await;
    let not_public = json!({"StringEquals": {"oss:x-oss-object-acl": ["public-read"]}});
    set(&fixture, &conditional("Deny", "oss:PutObject*", json!(KEYS), not_public)).await;
    for acl in ["public-read", " public-read", "public-read ", "\tpublic-read\t"] {
        let form = form("k", "x").field("x-oss-object-acl", acl).v1(r#"[{"bucket":"bkt"}]"#);
        fixture.call(form.call()).await.error(403, "AccessDenied");
    }
    let form = form("k", "x").field("x-oss-object-acl", " private ").v1(r#"[{"bucket":"bkt"}]"#);
    fixture.call(form.call()).await.expect(204);
}

#[tokio::test]
async fn the_field_that_overrides_a_type_is_held_to_what_the_policy_says_of_types() {
    let fixture = Fixture::with_bucket().await;
    let policy = r#"[["in","$content-type",["image/png","image/gif"]]]"#;
    let sent = |own: &str| {
        let form = form("k", "x").field("Content-Type", "image/png");
        form.field("x-oss-content-type", own).v1(policy).call()
    };
    fixture.call(sent("text/html")).await.error(403, "AccessDenied");
    fixture.call(sent("image/gif")).await.expect(204);
    fixture.call(sent(" ")).await.expect(204);
    // It does not stand for the field that the policy wants either.
    let alone = form("k", "x").field("x-oss-content-type", "image/gif").v1(policy);
    fixture.call(alone.call()).await.error(403, "AccessDenied");
}

#[tokio::test]
async fn where_logs_are_to_go_is_decided_by_the_names_that_they_will_have() {
    let fixture = Fixture::with_bucket().await;
    fixture.make_bucket("logs").await;
    let lee = user(&fixture, "lee").await;
    may(
        &fixture,
        "lee",
        json!([
            {"Effect": "Allow", "Action": "oss:*", "Resource": ["acs:oss:*:*:bkt", KEYS]},
            {"Effect": "Allow", "Action": "oss:PutObject",
             "Resource": ["acs:oss:*:*:logs/app", "acs:oss:*:*:logs/in/*"]},
            {"Effect": "Deny", "Action": "oss:PutObject", "Resource": "acs:oss:*:*:logs/in/bkt*"},
        ]),
    )
    .await;
    let logging = |prefix: &str| {
        let target =
            format!("<TargetBucket>logs</TargetBucket><TargetPrefix>{prefix}</TargetPrefix>");
        let document = format!(
            "<BucketLoggingStatus><LoggingEnabled>{target}</LoggingEnabled></BucketLoggingStatus>"
        );
        with(put("/bkt/?logging").body(document), &lee, Sign::V4)
    };
    // What begins so is not what may be written, and what is denied begins so.
    for prefix in ["app", "in/"] {
        fixture.call(logging(prefix)).await.error(403, "AccessDenied");
    }
    fixture.call(logging("in/x-")).await.expect(200);
}

#[tokio::test]
async fn a_signed_url_for_one_place_is_good_nowhere_else() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let root = crate::ram::root();
    for (limit, allowed) in [
        ("x-oss-ac-source-ip=127.0.0.1", true),
        ("x-oss-ac-source-ip=127.0.0.0/8", true),
        ("x-oss-ac-source-ip=127.0.0.0&x-oss-ac-subnet-mask=8", true),
        ("x-oss-ac-source-ip=10.0.0.1", false),
        ("x-oss-ac-source-ip=10.0.0.0&x-oss-ac-subnet-mask=8", false),
        ("x-oss-ac-source-ip=127.0.0.1&x-oss-ac-subnet-mask=99", false),
        ("x-oss-ac-source-ip=nonsense", false),
        ("x-oss-ac-subnet-mask=8", false),
        ("x-oss-ac-vpc-id=vpc-1", false),
        ("x-oss-ac-source-ip=127.0.0.1&x-oss-ac-vpc-id=vpc-1", false),
    ] {
        let target = presigned(&fixture, &root, &format!("/bkt/k?{limit}"));
        let wanted = if allowed { 200 } else { 403 };
        assert_eq!(fixture.call(get(&target).anonymous()).await.status, wanted, "{limit}");
    }
}

#[tokio::test]
async fn a_bucket_that_was_made_private_stays_so_among_readers() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let open = policy(&[("Allow", json!(["*"]), json!("oss:GetObject"), json!(KEYS))]);
    for _ in 0..20 {
        fixture.call(put("/bkt/?policy").body(&open)).await.expect(200);
        let readers = async {
            for _ in 0..20 {
                let told = fixture.call(get("/bkt/k").anonymous()).await.status;
                assert!([200, 403].contains(&told), "{told}");
            }
        };
        let closing = async {
            fixture.call(delete("/bkt/?policy")).await.expect(204);
            fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
        };
        tokio::join!(readers, closing);
        fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_replaces_a_public_object_is_not_read_by_its_right() {
    let fixture = Fixture::with_bucket().await;
    fixture.make_bucket("open").await;
    fixture.call(put("/open/?acl").header("x-oss-acl", "public-read-write")).await.expect(200);
    let store = async |body: &'static str, acl: &str| {
        let call = put("/bkt/k").body(body).header("x-oss-object-acl", acl);
        fixture.call(call).await.expect(200);
    };
    store("open", "public-read").await;
    let writer = async {
        for _ in 0..150 {
            store("secret", "private").await;
            store("open", "public-read").await;
        }
    };
    let reader = async {
        let mut connection = fixture.connect().await;
        for _ in 0..600 {
            let told = connection.call(&fixture, get("/bkt/k").anonymous()).await;
            match told.status {
                200 => assert_eq!(told.text(), "open"),
                status => assert_eq!(status, 403),
            }
        }
    };
    let copier = async {
        let mut connection = fixture.connect().await;
        for _ in 0..300 {
            let copy = put("/open/copy").header("x-oss-copy-source", "/bkt/k").anonymous();
            let told = connection.call(&fixture, copy).await;
            assert!([200, 403, 503].contains(&told.status), "{told:?}");
            if told.status == 200 {
                let told = connection.call(&fixture, get("/open/copy").anonymous()).await;
                assert_eq!(told.expect(200).text(), "open");
            }
        }
    };
    tokio::join!(writer, reader, copier);
}
