//! What users and sessions may do, over the wire: `permissions.md` §2 and §10.

use ossia_access::{Given, actions};
use ossia_protocol::operation::Operation;
use serde_json::{Value, json};

use crate::{
    drive::*,
    policies::{policy, requests, set},
    ram::{ACCOUNT, Key, RAM, STS, done, root, rpc, text, user, with},
};

pub fn allow(action: impl Into<Value>, resource: impl Into<Value>) -> String {
    grant("Allow", action, resource)
}

fn grant(effect: &str, action: impl Into<Value>, resource: impl Into<Value>) -> String {
    let statement = json!({"Effect": effect, "Action": action.into(), "Resource": resource.into()});
    json!({"Version": "1", "Statement": [statement]}).to_string()
}

pub async fn attach(fixture: &Fixture, who: &str, name: &str, document: &str) {
    done(fixture, "CreatePolicy", &[("PolicyName", name), ("PolicyDocument", document)]).await;
    let (action, kind) = match who.split_once('/') {
        Some(("role", _)) => ("AttachPolicyToRole", "RoleName"),
        _ => ("AttachPolicyToUser", "UserName"),
    };
    let plain = who.rsplit('/').next().unwrap();
    let pairs = [("PolicyType", "Custom"), ("PolicyName", name), (kind, plain)];
    done(fixture, action, &pairs).await;
}

/// Makes a document the one that counts.
pub async fn change(fixture: &Fixture, name: &str, document: &str) {
    let strategy = "DeleteOldestNonDefaultVersionWhenLimitExceeded";
    let pairs = [
        ("PolicyName", name),
        ("PolicyDocument", document),
        ("SetAsDefault", "true"),
        ("RotateStrategy", strategy),
    ];
    done(fixture, "CreatePolicyVersion", &pairs).await;
}

pub async fn fails(fixture: &Fixture, key: &Key, call: Call) -> Response {
    fixture.call(with(call, key, Sign::V4)).await.error(403, "AccessDenied")
}

pub async fn works(fixture: &Fixture, key: &Key, call: Call) -> Response {
    let answer = fixture.call(with(call, key, Sign::V1)).await;
    assert!(answer.status < 300, "{answer:?}");
    answer
}

#[tokio::test]
async fn a_user_without_a_policy_may_nothing_and_is_told_so() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let lee = user(&fixture, "lee").await;
    for (call, message) in [
        (get("/bkt/k"), "You have no right to access this object because of bucket acl."),
        (put("/bkt/n").body("x"), "You have no right to access this object because of bucket acl."),
        (
            append("/bkt/n", 0, "x"),
            "You have no right to access this object because of bucket acl.",
        ),
        (post("/bkt/n?uploads"), "You have no right to access this object."),
        (get("/bkt/k?acl"), "You do not have read acl permission on this object."),
        (get("/"), "You are forbidden to list buckets."),
        (get("/bkt/"), "AccessDenied"),
        (put("/new/"), "AccessDenied"),
        (get("/bkt/?policy"), "AccessDenied"),
    ] {
        let told = fails(&fixture, &lee, call).await;
        assert_eq!(told.element("Message").as_deref(), Some(message));
        assert_eq!(told.element("AuthPrincipalType").as_deref(), Some("SubUser"));
        assert_eq!(told.element("NoPermissionType").as_deref(), Some("ImplicitDeny"));
        assert_eq!(told.element("AuthPrincipalOwnerId").as_deref(), Some(ACCOUNT));
    }
    fails(&fixture, &lee, get("/bkt/none")).await;
    fixture.call(with(get("/none/k"), &lee, Sign::V1)).await.error(404, "NoSuchBucket");
    // Public ACLs help a user like anybody.
    fixture.call(put("/bkt/?acl").header("x-oss-acl", "public-read")).await.expect(200);
    works(&fixture, &lee, get("/bkt/k")).await;
    fails(&fixture, &lee, get("/bkt/")).await;
}

#[tokio::test]
async fn a_user_appends_where_its_policy_says_and_tags_only_when_it_may() {
    let fixture = Fixture::with_bucket().await;
    let lee = user(&fixture, "lee").await;
    attach(&fixture, "lee", "append", &allow("oss:PutObject", "acs:oss:*:*:bkt/logs/*")).await;
    works(&fixture, &lee, append("/bkt/logs/a", 0, "x")).await;
    works(&fixture, &lee, append("/bkt/logs/a", 1, "y")).await;
    for elsewhere in ["/bkt/other", "/bkt/log", "/bkt/logsa"] {
        fails(&fixture, &lee, append(elsewhere, 0, "x")).await;
    }
    fails(&fixture, &lee, head_as_get("/bkt/logs/a")).await;
    let tagged = |at| append("/bkt/logs/a", at, "z").header("x-oss-tagging", "a=b");
    let told = fails(&fixture, &lee, tagged(2)).await;
    assert_eq!(told.element("AuthAction").as_deref(), Some("oss:PutObjectTagging"));
    attach(&fixture, "lee", "tag", &allow("oss:PutObjectTagging", "acs:oss:*:*:bkt/logs/*")).await;
    works(&fixture, &lee, tagged(2)).await;
    fails(&fixture, &lee, append("/bkt/logs/a", 3, "z").header("x-oss-object-acl", "private"))
        .await;
    // A denial wins, on whichever side it stands.
    let bucket =
        policy(&[("Deny", json!(["*"]), json!("oss:PutObject"), json!("acs:oss:*:*:bkt/*"))]);
    set(&fixture, &bucket).await;
    let told = fails(&fixture, &lee, append("/bkt/logs/a", 3, "z")).await;
    assert_eq!(told.element("Message").as_deref(), Some("Access denied by bucket policy."));
    assert_eq!(told.element("AuthAction"), None);
    let bucket = policy(&[("Allow", json!(["*"]), json!("oss:*"), json!("acs:oss:*:*:bkt/*"))]);
    set(&fixture, &bucket).await;
    works(&fixture, &lee, append("/bkt/logs/a", 3, "z")).await;
    change(&fixture, "append", &grant("Deny", "oss:PutObject", "*")).await;
    let told = fails(&fixture, &lee, append("/bkt/logs/a", 4, "z")).await;
    assert_eq!(told.element("NoPermissionType").as_deref(), Some("ExplicitDeny"));
}

/// HEAD has no body to look into; GET asks for the same right.
fn head_as_get(target: &str) -> Call {
    get(target)
}

#[tokio::test]
async fn a_bucket_policy_names_users_and_roles() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("x")).await.expect(200);
    let (lee, kim) = (user(&fixture, "lee").await, user(&fixture, "kim").await);
    let told = done(&fixture, "GetUser", &[("UserName", "lee")]).await;
    let id = text(&told["User"]["UserId"]);
    let open = |whom: &str| {
        policy(&[("Allow", json!([whom]), json!("oss:GetObject"), json!("acs:oss:*:*:bkt/*"))])
    };
    set(&fixture, &open(&id)).await;
    works(&fixture, &lee, get("/bkt/k")).await;
    fails(&fixture, &kim, get("/bkt/k")).await;
    fixture.call(get("/bkt/k").anonymous()).await.error(403, "AccessDenied");
    set(&fixture, &open(ACCOUNT)).await;
    works(&fixture, &kim, get("/bkt/k")).await;
    let writer = session(&fixture, &lee, "writer", None).await;
    set(&fixture, &open(&format!("arn:sts::{ACCOUNT}:assumed-role/writer/*"))).await;
    works(&fixture, &writer, get("/bkt/k")).await;
    fails(&fixture, &lee, get("/bkt/k")).await;
}

/// A session of a role that is made for it, and that everybody may assume who may assume roles.
pub async fn session(fixture: &Fixture, by: &Key, role: &str, narrowed: Option<&str>) -> Key {
    let trust = json!({"Version": "1", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"RAM": [format!("acs:ram::{ACCOUNT}:root")]},
    }]});
    let pairs = [("RoleName", role), ("AssumeRolePolicyDocument", &*trust.to_string())];
    // It may be there from before.
    let _ = rpc(fixture, &root(), (RAM, "CreateRole"), &pairs).await;
    let pairs = [
        ("PolicyType", "System"),
        ("PolicyName", "AliyunSTSAssumeRoleAccess"),
        ("UserName", "lee"),
    ];
    let _ = rpc(fixture, &root(), (RAM, "AttachPolicyToUser"), &pairs).await;
    let arn = format!("acs:ram::{ACCOUNT}:role/{role}");
    let mut pairs = vec![("RoleArn", &*arn), ("RoleSessionName", "s1")];
    pairs.extend(narrowed.map(|policy| ("Policy", policy)));
    let (status, told) = rpc(fixture, by, (STS, "AssumeRole"), &pairs).await;
    assert_eq!(status, 200, "{told}");
    let made = &told["Credentials"];
    let part = |name: &str| text(&made[name]);
    Key(part("AccessKeyId"), part("AccessKeySecret"), Some(part("SecurityToken")))
}

#[tokio::test]
async fn a_session_is_its_role_narrowed_by_its_policy() {
    let fixture = Fixture::with_bucket().await;
    for key in ["x/k", "y"] {
        fixture.call(put(&format!("/bkt/{key}")).body("x")).await.expect(200);
    }
    let lee = user(&fixture, "lee").await;
    let narrow = allow("oss:GetObject", "acs:oss:*:*:bkt/x/*");
    let bare = session(&fixture, &lee, "all", Some(&narrow)).await;
    // A session policy grants nothing.
    fails(&fixture, &bare, get("/bkt/x/k")).await;
    attach(&fixture, "role/all", "everything", &allow("oss:*", "*")).await;
    let narrowed = session(&fixture, &lee, "all", Some(&narrow)).await;
    works(&fixture, &narrowed, get("/bkt/x/k")).await;
    for call in [get("/bkt/y"), put("/bkt/x/k").body("x"), get("/bkt/")] {
        let told = fails(&fixture, &narrowed, call).await;
        assert_eq!(
            told.element("Message").as_deref(),
            Some("Access denied by authorizer's policy.")
        );
        assert_eq!(told.element("PolicyType").as_deref(), Some("SessionPolicy"));
        assert_eq!(told.element("AuthPrincipalDisplayName").as_deref(), Some("all:s1"));
    }
    let whole = session(&fixture, &lee, "all", None).await;
    works(&fixture, &whole, append("/bkt/log", 0, "x")).await;
    works(&fixture, &whole, get("/bkt/")).await;
    change(&fixture, "everything", &allow("oss:GetObject", "acs:oss:*:*:bkt/y")).await;
    fails(&fixture, &narrowed, get("/bkt/x/k")).await;
    works(&fixture, &whole, get("/bkt/y")).await;
}

#[tokio::test]
async fn buckets_are_made_by_those_who_may_with_the_acls_that_they_may_set() {
    let fixture = Fixture::with_bucket().await;
    let lee = user(&fixture, "lee").await;
    attach(&fixture, "lee", "make", &allow("oss:PutBucket", "acs:oss:*:*:lee-*")).await;
    works(&fixture, &lee, put("/lee-a/")).await;
    fails(&fixture, &lee, put("/kim-a/")).await;
    let public = || put("/lee-b/").header("x-oss-acl", "public-read");
    fails(&fixture, &lee, public()).await;
    let set_acl = |bucket: &str| put(&format!("/{bucket}/?acl")).header("x-oss-acl", "public-read");
    change(&fixture, "make", &allow("oss:PutBucketAcl", "acs:oss:*:*:lee-*")).await;
    works(&fixture, &lee, set_acl("lee-a")).await;
    // Of one that is not there it would make one.
    fails(&fixture, &lee, set_acl("lee-c")).await;
    change(
        &fixture,
        "make",
        &allow(json!(["oss:PutBucketAcl", "oss:PutBucket"]), "acs:oss:*:*:lee-*"),
    )
    .await;
    works(&fixture, &lee, set_acl("lee-c")).await;
    works(&fixture, &lee, public()).await;
    let only = json!({"Version": "1", "Statement": [{
        "Effect": "Allow", "Action": "oss:PutBucketAcl", "Resource": "*",
        "Condition": {"StringEquals": {"oss:x-oss-acl": "private"}},
    }]});
    change(&fixture, "make", &only.to_string()).await;
    fails(&fixture, &lee, set_acl("lee-a")).await;
    works(&fixture, &lee, put("/lee-a/?acl").header("x-oss-acl", "private")).await;
}

#[tokio::test]
async fn every_operation_needs_its_actions_and_no_others() {
    let fixture = Fixture::with_bucket().await;
    let lee = user(&fixture, "lee").await;
    attach(&fixture, "lee", "walk", &grant("Deny", "ram:Nothing", "*")).await;
    let all = requests();
    let mut walked = 0;
    for operation in Operation::ALL {
        // Browsers do not sign preflights, and forms are signed in their fields.
        if matches!(operation, Operation::OptionObject | Operation::PostObject) {
            continue;
        }
        let (_, request) = &all[operation.name()];
        let mut needed: Vec<&str> =
            actions(*operation, Given::default()).map(|(action, _)| action).collect();
        // The upload of the part that is copied is not there, which is told before its source is looked at.
        if *operation == Operation::CopyObject {
            needed.push("oss:GetObject");
        }
        let denied = async || {
            let private = put("/bkt/key").body("content").header("x-oss-object-acl", "private");
            fixture.call(private).await.expect(200);
            let answer = fixture.call(with(request.clone(), &lee, Sign::V1)).await;
            answer.status == 403
                && (request.method == "HEAD"
                    || String::from_utf8_lossy(&answer.body).contains("<Code>AccessDenied</Code>"))
        };
        change(&fixture, "walk", &grant("Deny", "ram:Nothing", "*")).await;
        assert!(denied().await, "{operation} without a policy");
        for left_out in &needed {
            let others = json!({"Version": "1", "Statement": [
                {"Effect": "Allow", "NotAction": [left_out], "Resource": "*"},
            ]});
            change(&fixture, "walk", &others.to_string()).await;
            assert!(denied().await, "{operation} without {left_out}");
        }
        change(&fixture, "walk", &allow(json!(needed), "*")).await;
        assert!(!denied().await, "{operation} with {needed:?}");
        walked += 1;
    }
    assert_eq!(walked, Operation::ALL.len() - 2);
    fixture.call(head("/bkt/")).await.expect(200);
}

#[tokio::test]
async fn the_server_explains_who_may_do_what_by_which_statement_to_its_owner_alone() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/k").body("x").header("x-oss-tagging", "a=b")).await.expect(200);
    let lee = user(&fixture, "lee").await;
    attach(&fixture, "lee", "read", &allow("oss:Get*", "acs:oss:*:*:bkt/*")).await;
    let ask = async |key: &Key, who: &str, action: &str, resource: &str| {
        let pairs = [("Principal", who), ("PolicyAction", action), ("Resource", resource)];
        rpc(&fixture, key, (RAM, "ExplainAccess"), &pairs).await
    };
    let told = async |who: &str, action: &str, resource: &str| {
        let (status, told) = ask(&root(), who, action, resource).await;
        assert_eq!(status, 200, "{told}");
        (told["Allowed"] == true, text(&told["Reason"]))
    };
    assert_eq!(
        told("user/lee", "oss:GetObject", "bkt/k").await,
        (true, "statement 1 of the policy read".into())
    );
    assert!(!told("user/lee", "oss:PutObject", "bkt/k").await.0);
    assert!(!told("user/lee", "oss:ListObjects", "bkt").await.0);
    assert!(!told("user/lee", "ram:GetUser", "*").await.0);
    assert_eq!(told("root", "oss:PutObject", "bkt/k").await, (true, "the owner".into()));
    assert_eq!(
        told("anonymous", "oss:GetObject", "bkt/k").await,
        (false, "the bucket's ACL does not let the caller, and no policy does".into())
    );
    let tagged = json!({"Version": "1", "Statement": [{
        "Sid": "tagged", "Effect": "Deny", "Principal": ["*"], "Action": "oss:*", "Resource": "acs:oss:*:*:bkt/*",
        "Condition": {"StringEquals": {"oss:ExistingObjectTag/a": "b"}},
    }]});
    set(&fixture, &tagged.to_string()).await;
    let denied = (false, "statement 1 (\"tagged\") of the bucket policy".to_owned());
    assert_eq!(told("user/lee", "oss:GetObject", "bkt/k").await, denied);
    assert_eq!(
        told("root", "oss:GetObject", &format!("acs:oss:cn-hangzhou:{ACCOUNT}:bkt/k")).await,
        denied
    );
    assert_eq!(ask(&root(), "user/none", "oss:GetObject", "bkt/k").await.0, 404);
    assert_eq!(ask(&root(), "root", "oss:GetObject", "none/k").await.0, 404);
    assert_eq!(ask(&lee, "user/lee", "oss:GetObject", "bkt/k").await.0, 403);
}
