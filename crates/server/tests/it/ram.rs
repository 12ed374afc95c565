//! RAM and STS on the port of OSS: `ram-rpc.md` and `auth.md` §9.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use ossia_objects::Clock as _;
use ossia_protocol::{
    auth::{HeaderList, RequestParts, Secret, Signer, presign_v1, presign_v4, sign_rpc},
    query::Query,
    time,
};
use serde_json::Value;
use sha2::Sha256;

use crate::{drive::*, post::form};

pub const RAM: &str = "2015-05-01";
pub const STS: &str = "2015-04-01";
pub const ACCOUNT: &str = "1000000000000001";

/// A key id, its secret, and a token if it is a temporary one.
#[derive(Clone, Debug)]
pub struct Key(pub String, pub String, pub Option<String>);

pub fn root() -> Key {
    Key(KEY_ID.into(), KEY_SECRET.into(), None)
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// The common parameters of the style 1.0.
pub fn parameters(fixture: &Fixture, key: &Key, version: &str, pairs: &[(&str, &str)]) -> Query {
    static NONCE: AtomicU64 = AtomicU64::new(0);
    let now = i64::try_from(fixture.clock.now_ms() / 1000).unwrap();
    let nonce = NONCE.fetch_add(1, Ordering::Relaxed).to_string();
    let mut query = Query::new();
    for (name, value) in pairs {
        query.push(name, value);
    }
    for (name, value) in [
        ("Version", version),
        ("AccessKeyId", &key.0),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("SignatureNonce", &nonce),
        ("Timestamp", &time::iso_seconds(now)),
    ] {
        query.push(name, value);
    }
    if let Some(token) = &key.2 {
        query.push("SecurityToken", token);
    }
    query
}

pub fn signed(method: &str, key: &Key, mut query: Query) -> Query {
    let signature = sign_rpc(method, &query, &Secret::new(&key.1));
    query.push("Signature", &signature);
    query
}

/// Signed by root, and with no parameters but these and the common ones.
pub fn signed_parameters(fixture: &Fixture, version: &str, pairs: &[(&str, &str)]) -> Query {
    signed("POST", &root(), parameters(fixture, &root(), version, pairs))
}

pub fn by_form(query: &Query) -> Call {
    post("/")
        .anonymous()
        .header("content-type", "application/x-www-form-urlencoded")
        .body(query.to_wire())
}

pub async fn rpc(
    fixture: &Fixture,
    key: &Key,
    (version, action): (&str, &str),
    pairs: &[(&str, &str)],
) -> (u16, Value) {
    let mut all = vec![("Action", action)];
    all.extend(pairs);
    let query = signed("POST", key, parameters(fixture, key, version, &all));
    let answer = fixture.call(by_form(&query)).await;
    assert_eq!(answer.must("x-oss-request-id").len(), 24);
    let value: Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!(text(&value["RequestId"]), answer.must("x-acs-request-id"));
    (answer.status, value)
}

/// As root, and it must succeed.
pub async fn done(fixture: &Fixture, action: &str, pairs: &[(&str, &str)]) -> Value {
    let (status, value) = rpc(fixture, &root(), (RAM, action), pairs).await;
    assert_eq!(status, 200, "{action} {pairs:?}: {value}");
    value
}

#[track_caller]
fn refused((status, value): (u16, Value), wanted: u16, code: &str) -> String {
    assert_eq!((status, value["Code"].as_str()), (wanted, Some(code)), "{value}");
    assert!(!text(&value["HostId"]).is_empty());
    text(&value["Message"])
}

/// A user with a key.
pub async fn user(fixture: &Fixture, name: &str) -> Key {
    done(fixture, "CreateUser", &[("UserName", name)]).await;
    let made = done(fixture, "CreateAccessKey", &[("UserName", name)]).await;
    let key = &made["AccessKey"];
    assert_eq!(key["Status"], "Active");
    Key(text(&key["AccessKeyId"]), text(&key["AccessKeySecret"]), None)
}

/// A server with a bucket that everybody may write into, so that it is only asked who somebody is.
async fn open_bucket() -> Fixture {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/?acl").header("x-oss-acl", "public-read-write")).await.expect(200);
    fixture
}

pub fn with(call: Call, key: &Key, sign: Sign) -> Call {
    let call = call.sign(sign).key(&key.0, &key.1);
    match &key.2 {
        Some(token) => call.header("x-oss-security-token", token),
        None => call,
    }
}

#[tokio::test]
async fn a_new_key_signs_at_once_and_one_that_is_off_or_gone_does_not() {
    let fixture = open_bucket().await;
    let key = user(&fixture, "alice").await;
    for (sign, target) in [(Sign::V1, "/bkt/v1"), (Sign::V4, "/bkt/v4")] {
        fixture.call(with(append(target, 0, "a"), &key, sign)).await.expect(200);
        let wrong = Key(key.0.clone(), "wrong".into(), None);
        let call = with(append(target, 1, "a"), &wrong, sign);
        fixture.call(call).await.error(403, "SignatureDoesNotMatch");
    }
    let named = [("UserName", "alice"), ("UserAccessKeyId", key.0.as_str())];
    let told = done(&fixture, "GetAccessKeyLastUsed", &named).await;
    assert_eq!(told["AccessKeyLastUsed"]["LastUsedDate"], "2026-01-15T08:30:45Z");
    let off = [named[0], named[1], ("Status", "Inactive")];
    done(&fixture, "UpdateAccessKey", &off).await;
    for sign in [Sign::V1, Sign::V4] {
        let answer = fixture.call(with(get("/bkt/v1"), &key, sign)).await;
        let refused = answer.error(403, "InvalidAccessKeyId");
        let message = "The OSS Access Key Id you provided is disabled.";
        assert_eq!(refused.element("Message").as_deref(), Some(message));
    }
    refused(
        rpc(&fixture, &key, (STS, "GetCallerIdentity"), &[]).await,
        403,
        "InvalidAccessKeyId.Inactive",
    );
    let on = [named[0], named[1], ("Status", "Active")];
    done(&fixture, "UpdateAccessKey", &on).await;
    fixture.call(with(get("/bkt/v1"), &key, Sign::V4)).await.expect(200);
    // A name is not what a key hangs on.
    done(&fixture, "UpdateUser", &[("UserName", "alice"), ("NewUserName", "Bob")]).await;
    fixture.call(with(get("/bkt/v1"), &key, Sign::V4)).await.expect(200);
    let (_, who) = rpc(&fixture, &key, (STS, "GetCallerIdentity"), &[]).await;
    assert_eq!(who["Arn"], format!("acs:ram::{ACCOUNT}:user/Bob"));
    done(&fixture, "DeleteAccessKey", &[("UserName", "bob"), named[1]]).await;
    for sign in [Sign::V1, Sign::V4] {
        let call = with(get("/bkt/v1"), &key, sign);
        fixture.call(call).await.error(403, "InvalidAccessKeyId");
    }
    refused(
        rpc(&fixture, &key, (STS, "GetCallerIdentity"), &[]).await,
        404,
        "InvalidAccessKeyId.NotFound",
    );
}

#[tokio::test]
async fn a_users_key_is_not_the_owners() {
    let fixture = Fixture::with_bucket().await;
    let key = user(&fixture, "alice").await;
    fixture.call(with(append("/bkt/a", 0, "a"), &key, Sign::V4)).await.error(403, "AccessDenied");
    fixture.call(with(get("/"), &key, Sign::V1)).await.error(403, "AccessDenied");
    for action in ["CreateUser", "GetUser", "ListUsers", "CreateAccessKey"] {
        let asked = rpc(&fixture, &key, (RAM, action), &[("UserName", "alice")]).await;
        refused(asked, 403, "NoPermission");
    }
}

#[tokio::test]
async fn what_a_user_may_do_with_identities_its_policies_say() {
    let fixture = Fixture::start().await;
    let key = user(&fixture, "alice").await;
    let document = format!(
        r#"{{"Version":"1","Statement":[
            {{"Effect":"Allow","Action":"ram:*AccessKey*","Resource":"acs:ram:*:{ACCOUNT}:user/alice"}},
            {{"Effect":"Allow","Action":["ram:AttachPolicyToUser"],"Resource":"acs:ram::{ACCOUNT}:user/*"}}]}}"#
    );
    let made = [("PolicyName", "own-keys"), ("PolicyDocument", document.as_str())];
    done(&fixture, "CreatePolicy", &made).await;
    let named = [("PolicyType", "Custom"), ("PolicyName", "own-keys"), ("UserName", "alice")];
    done(&fixture, "AttachPolicyToUser", &named).await;
    let (status, keys) = rpc(&fixture, &key, (RAM, "ListAccessKeys"), &[]).await;
    assert_eq!(
        (status, &keys["AccessKeys"]["AccessKey"][0]["AccessKeyId"]),
        (200, &key.0.as_str().into())
    );
    user(&fixture, "bob").await;
    let of_bob = rpc(&fixture, &key, (RAM, "ListAccessKeys"), &[("UserName", "bob")]).await;
    refused(of_bob, 403, "NoPermission");
    // Both must be allowed: the user, and the policy that is to be attached.
    let system =
        [("PolicyType", "System"), ("PolicyName", "AliyunOSSFullAccess"), ("UserName", "bob")];
    refused(rpc(&fixture, &key, (RAM, "AttachPolicyToUser"), &system).await, 403, "NoPermission");
    done(&fixture, "DetachPolicyFromUser", &named).await;
    refused(rpc(&fixture, &key, (RAM, "ListAccessKeys"), &[]).await, 403, "NoPermission");
}

#[tokio::test]
async fn requests_are_taken_once_in_time_and_whole() {
    let fixture = Fixture::start().await;
    let ask = |method, query: &Query| match method {
        "GET" => get(&format!("/?{}", query.to_wire())).anonymous(),
        _ => by_form(query),
    };
    for method in ["GET", "POST"] {
        let query =
            parameters(&fixture, &root(), RAM, &[("Action", "ListUsers"), ("Format", "xml")]);
        let query = signed(method, &root(), query);
        let xml = fixture.call(ask(method, &query)).await.expect(200);
        assert_eq!(xml.must("content-type"), "text/xml; charset=utf-8");
        assert!(
            xml.text()
                .ends_with("<Users></Users><IsTruncated>false</IsTruncated></ListUsersResponse>")
        );
        let again = fixture.call(ask(method, &query)).await;
        assert_eq!(
            (again.status, again.element("Code").as_deref()),
            (400, Some("SignatureNonceUsed"))
        );
        fixture.clock.advance_ms(901_000);
        let late = fixture.call(ask(method, &query)).await;
        assert_eq!(late.element("Code").as_deref(), Some("InvalidTimeStamp.Expired"));
        let other = if method == "GET" { "POST" } else { "GET" };
        let query =
            signed(other, &root(), parameters(&fixture, &root(), RAM, &[("Action", "ListUsers")]));
        let answer = fixture.call(ask(method, &query)).await;
        let wrong: Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!((answer.status, &wrong["Code"]), (400, &"SignatureDoesNotMatch".into()));
        assert!(!answer.text().contains(KEY_SECRET));
    }
    refused(
        rpc(&fixture, &root(), (RAM, "CreateVirtualMFADevice"), &[]).await,
        400,
        "InvalidParameter",
    );
    refused(
        rpc(&fixture, &root(), ("2014-01-01", "ListUsers"), &[]).await,
        400,
        "InvalidParameter",
    );
    refused(rpc(&fixture, &root(), (STS, "ListUsers"), &[]).await, 400, "InvalidParameter");
    refused(rpc(&fixture, &root(), (RAM, "GetUser"), &[]).await, 400, "MissingParameter.UserName");
    let nobody = Key("nobody".into(), "secret".into(), None);
    refused(
        rpc(&fixture, &nobody, (RAM, "ListUsers"), &[]).await,
        404,
        "InvalidAccessKeyId.NotFound",
    );
    let unsigned = get("/?Action=ListUsers&Version=2015-05-01").anonymous();
    let unsigned = fixture.call(unsigned).await.expect(400);
    assert!(unsigned.text().contains("MissingParameter"));
    // A form that is neither RAM's nor STS's is nothing.
    let form = post("/").anonymous().header("content-type", "application/x-www-form-urlencoded");
    fixture.call(form.body("a=b")).await.error(405, "MethodNotAllowed");
    let long = post("/").anonymous().header("content-type", "application/x-www-form-urlencoded");
    let long = long.body(vec![b'a'; 200 << 10]);
    fixture.call(long).await.error(400, "InvalidArgument");
}

#[tokio::test]
async fn a_long_policy_may_stand_in_the_target() {
    let fixture = Fixture::start().await;
    let filler = "\u{4e2d}".repeat(5_900);
    let document = format!(
        r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Action":"oss:*","Resource":"acs:oss:*:*:{filler}"}}]}}"#
    );
    let pairs =
        [("Action", "CreatePolicy"), ("PolicyName", "long"), ("PolicyDocument", document.as_str())];
    let query = signed("GET", &root(), parameters(&fixture, &root(), RAM, &pairs));
    fixture.call(get(&format!("/?{}", query.to_wire())).anonymous()).await.expect(200);
    let named = [("PolicyName", "long"), ("PolicyType", "Custom")];
    let told = done(&fixture, "GetPolicy", &named).await;
    assert_eq!(told["DefaultPolicyVersion"]["PolicyDocument"], document);
    fixture
        .call(get(&format!("/?prefix={}", "a".repeat(9_000))))
        .await
        .error(400, "InvalidArgument");
}

const TRUST_ALL: &str = r#"{"Version":"1","Statement":[
    {"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"RAM":["acs:ram::1000000000000001:root"]}}]}"#;

/// A user that may assume the role `writer`, and the role's ARN.
pub async fn assumer(fixture: &Fixture, hours: u64) -> (Key, String) {
    let key = user(fixture, "app").await;
    let seconds = (hours * 3_600).to_string();
    let role = [
        ("RoleName", "writer"),
        ("AssumeRolePolicyDocument", TRUST_ALL),
        ("MaxSessionDuration", seconds.as_str()),
    ];
    let role = done(fixture, "CreateRole", &role).await;
    let attach = [
        ("PolicyType", "System"),
        ("PolicyName", "AliyunSTSAssumeRoleAccess"),
        ("UserName", "app"),
    ];
    done(fixture, "AttachPolicyToUser", &attach).await;
    (key, text(&role["Role"]["Arn"]))
}

async fn assume(fixture: &Fixture, by: &Key, arn: &str, more: &[(&str, &str)]) -> (Key, Value) {
    let mut pairs = vec![("RoleArn", arn), ("RoleSessionName", "session-1")];
    pairs.extend(more);
    let (status, told) = rpc(fixture, by, (STS, "AssumeRole"), &pairs).await;
    assert_eq!(status, 200, "{told}");
    let given = &told["Credentials"];
    let key = Key(
        text(&given["AccessKeyId"]),
        text(&given["AccessKeySecret"]),
        Some(text(&given["SecurityToken"])),
    );
    (key, told)
}

fn presigned(fixture: &Fixture, key: &Key, target: &str, sign: Sign) -> String {
    let host = fixture.host();
    let (parsed_target, query) = parsed(fixture, &host, target);
    let secret = Secret::new(&key.1);
    let signer = Signer::new(&key.0, &secret, "cn-hangzhou").with_token(key.2.as_deref());
    let mut headers = HeaderList::new();
    headers.push("host", &host);
    let request =
        RequestParts { method: "GET", target: &parsed_target, query: &query, headers: &headers };
    let now = i64::try_from(fixture.clock.now_ms() / 1000).unwrap();
    let query = match sign {
        Sign::V4 => presign_v4(&request, &signer, &[], now, 86_400),
        _ => presign_v1(&request, &signer, now + 86_400),
    };
    format!("{target}?{}", query.to_wire())
}

#[tokio::test]
async fn a_session_signs_with_its_token_until_it_is_over() {
    let fixture = open_bucket().await;
    let (app, arn) = assumer(&fixture, 1).await;
    let (key, told) = assume(&fixture, &app, &arn, &[("DurationSeconds", "900")]).await;
    assert!(key.0.starts_with("STS."));
    assert_eq!(told["Credentials"]["Expiration"], "2026-01-15T08:45:45Z");
    assert_eq!(told["AssumedRoleUser"]["Arn"], format!("{arn}/session-1"));
    let (_, who) = rpc(&fixture, &key, (STS, "GetCallerIdentity"), &[]).await;
    assert_eq!(who["IdentityType"], "AssumedRoleUser");
    assert_eq!(who["Arn"], format!("acs:ram::{ACCOUNT}:assumed-role/writer/session-1"));
    assert_eq!(who["PrincipalId"], told["AssumedRoleUser"]["AssumedRoleId"]);
    let urls: Vec<String> = [Sign::V1, Sign::V4]
        .into_iter()
        .map(|sign| presigned(&fixture, &key, "/bkt/V4", sign))
        .collect();
    for sign in [Sign::V1, Sign::V4] {
        let call = with(append(&format!("/bkt/{sign:?}"), 0, "a"), &key, sign);
        fixture.call(call).await.expect(200);
    }
    for url in &urls {
        assert_eq!(fixture.call(get(url).anonymous()).await.expect(200).text(), "a");
    }
    fixture.clock.advance_ms(899_000);
    fixture.call(with(get("/bkt/V4"), &key, Sign::V4)).await.expect(200);
    fixture.clock.advance_ms(1_000);
    for sign in [Sign::V1, Sign::V4] {
        let over = fixture.call(with(get("/bkt/V4"), &key, sign)).await;
        let over = over.error(403, "SecurityTokenExpired");
        assert_eq!(over.must("x-oss-ec"), "0002-00000007");
        let message = "The security token you provided has expired.";
        assert_eq!(over.element("Message").as_deref(), Some(message));
    }
    // A URL dies with its token, though its own time is not over.
    for url in &urls {
        fixture.call(get(url).anonymous()).await.error(403, "SecurityTokenExpired");
    }
    let over = rpc(&fixture, &key, (STS, "GetCallerIdentity"), &[]).await;
    refused(over, 400, "InvalidSecurityToken.Expired");
}

/// A call that a key signs.
type Signed = dyn Fn(&Fixture, &Key) -> Call;

/// The code of V2.
fn v2_code(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A GET of `/bkt/v2` signed by V2 in a header.
fn v2_header(fixture: &Fixture, key: &Key) -> Call {
    let now = i64::try_from(fixture.clock.now_ms() / 1000).unwrap();
    let date = time::http_date(now);
    let (mut lines, mut call) = (String::new(), get("/bkt/v2").anonymous().header("date", &date));
    if let Some(token) = &key.2 {
        lines = format!("x-oss-security-token:{token}\n");
        call = call.header("x-oss-security-token", token);
    }
    let code = v2_code(&key.1, &format!("GET\n\n\n{date}\n{lines}\n%2Fbkt%2Fv2"));
    call.header("authorization", format!("OSS2 AccessKeyId:{},Signature:{code}", key.0))
}

/// The same by a URL that lasts a day.
fn v2_url(fixture: &Fixture, key: &Key) -> Call {
    let until = fixture.clock.now_ms() / 1000 + 86_400;
    let mut query = Query::new();
    if let Some(token) = &key.2 {
        query.push("security-token", token);
    }
    query.push("x-oss-access-key-id", &key.0);
    query.push("x-oss-expires", &until.to_string());
    query.push("x-oss-signature-version", "OSS2");
    let text = format!("GET\n\n\n{until}\n\n%2Fbkt%2Fv2?{}", query.to_wire());
    query.push("x-oss-signature", &v2_code(&key.1, &text));
    get(&format!("/bkt/v2?{}", query.to_wire())).anonymous()
}

/// What a session's token is told that is turned, of another session, left out, over.
async fn token_faults(fixture: &Fixture, sessions: [&Key; 2], signed: &Signed) {
    let [key, other] = sessions;
    let token = key.2.clone().unwrap();
    let letter = if token.as_bytes()[20] == b'A' { "B" } else { "A" };
    let turned = format!("{}{letter}{}", &token[..20], &token[21..]);
    for (token, code) in [
        (Some(turned), "InvalidSecurityToken"),
        (other.2.clone(), "AccessKeyIdAndSecurityTokenNotMatch"),
        (None, "InvalidAccessKeyId"),
    ] {
        let wrong = Key(key.0.clone(), key.1.clone(), token);
        fixture.call(signed(fixture, &wrong)).await.error(403, code);
    }
    let wrong = Key(key.0.clone(), "wrong".into(), key.2.clone());
    fixture.call(signed(fixture, &wrong)).await.error(403, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn a_session_signs_by_v2_with_its_token() {
    let fixture = open_bucket().await;
    fixture.call(put("/bkt/v2").body("two")).await.expect(200);
    let (app, arn) = assumer(&fixture, 1).await;
    let (key, _) = assume(&fixture, &app, &arn, &[("DurationSeconds", "900")]).await;
    let (other, _) = assume(&fixture, &app, &arn, &[]).await;
    let signed: [&Signed; 2] = [&v2_header, &v2_url];
    for signed in signed {
        for key in [&app, &key] {
            assert_eq!(fixture.call(signed(&fixture, key)).await.expect(200).text(), "two");
        }
        token_faults(&fixture, [&key, &other], signed).await;
    }
    let url = v2_url(&fixture, &key);
    fixture.clock.advance_ms(900_000);
    for call in [v2_header(&fixture, &key), v2_url(&fixture, &key), url] {
        fixture.call(call).await.error(403, "SecurityTokenExpired");
    }
}

#[tokio::test]
async fn a_session_signs_a_form_with_its_token() {
    let fixture = open_bucket().await;
    fixture.call(put("/bkt/?acl").header("x-oss-acl", "private")).await.expect(200);
    let (app, arn) = assumer(&fixture, 1).await;
    let full =
        [("PolicyType", "System"), ("PolicyName", "AliyunOSSFullAccess"), ("RoleName", "writer")];
    done(&fixture, "AttachPolicyToRole", &full).await;
    let (key, _) = assume(&fixture, &app, &arn, &[("DurationSeconds", "900")]).await;
    let (other, _) = assume(&fixture, &app, &arn, &[]).await;
    // Policies of forms need not demand the token: SDKs that do are taken too.
    let v1 = |_: &Fixture, key: &Key| {
        let form = form("v1", "one").v1_by((&key.0, &key.1), r#"[{"bucket":"bkt"}]"#);
        match &key.2 {
            Some(token) => form.field("x-oss-security-token", token).call(),
            None => form.call(),
        }
    };
    let v4 = |_: &Fixture, key: &Key| {
        let Some(token) = &key.2 else { return form("v4", "4").v4_by((&key.0, &key.1), "").call() };
        let demand = format!(r#",{{"x-oss-security-token":"{token}"}}"#);
        let form = form("v4", "four").v4_by((&key.0, &key.1), &demand);
        form.field("x-oss-security-token", token).call()
    };
    let signed: [&Signed; 2] = [&v1, &v4];
    for signed in signed {
        fixture.call(signed(&fixture, &key)).await.expect(204);
        // The user itself may not write, its session may.
        fixture.call(signed(&fixture, &app)).await.error(403, "AccessDenied");
        token_faults(&fixture, [&key, &other], signed).await;
    }
    for (target, body) in [("/bkt/v1", "one"), ("/bkt/v4", "four")] {
        assert_eq!(fixture.call(get(target)).await.expect(200).text(), body);
    }
    fixture.clock.advance_ms(900_000);
    for signed in signed {
        fixture.call(signed(&fixture, &key)).await.error(403, "SecurityTokenExpired");
    }
}

#[tokio::test]
async fn a_token_with_one_bit_turned_is_none_wherever_the_bit_is() {
    let fixture = open_bucket().await;
    let (app, arn) = assumer(&fixture, 1).await;
    let (key, _) = assume(&fixture, &app, &arn, &[]).await;
    let token = key.2.clone().unwrap();
    let mut connection = fixture.connect().await;
    for at in (0..token.len()).step_by(7).chain([token.len() - 1]) {
        for bit in [1, 2, 4] {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= bit;
            if !bytes[at].is_ascii_graphic() {
                continue;
            }
            let turned = Key(key.0.clone(), key.1.clone(), String::from_utf8(bytes).ok());
            let answer = connection.call(&fixture, with(get("/bkt/a"), &turned, Sign::V4)).await;
            answer.error(403, "InvalidSecurityToken");
        }
    }
    let (other, _) = assume(&fixture, &app, &arn, &[]).await;
    let mixed = Key(other.0.clone(), other.1.clone(), key.2.clone());
    let refused_mixed = fixture.call(with(get("/bkt/a"), &mixed, Sign::V4)).await;
    let refused_mixed = refused_mixed.error(403, "AccessKeyIdAndSecurityTokenNotMatch");
    assert_eq!(refused_mixed.must("x-oss-ec"), "0002-00000004");
    let bare = Key(key.0.clone(), key.1.clone(), None);
    fixture.call(with(get("/bkt/a"), &bare, Sign::V4)).await.error(403, "InvalidAccessKeyId");
    refused(
        rpc(&fixture, &bare, (STS, "GetCallerIdentity"), &[]).await,
        400,
        "MissingSecurityToken",
    );
    let on_long_term = Key(app.0.clone(), app.1.clone(), Some("CAISnothing".into()));
    let on_long_term = fixture.call(with(get("/bkt/a"), &on_long_term, Sign::V4)).await;
    let on_long_term = on_long_term.error(403, "InvalidAccessKeyId");
    assert_eq!(on_long_term.must("x-oss-ec"), "0002-00000002");
}

#[tokio::test]
async fn a_session_ends_with_its_role_and_follows_its_policies() {
    let fixture = open_bucket().await;
    let (app, arn) = assumer(&fixture, 1).await;
    let (key, _) = assume(&fixture, &app, &arn, &[]).await;
    fixture.call(with(append("/bkt/a", 0, "a"), &key, Sign::V4)).await.expect(200);
    let ask = || rpc(&fixture, &key, (RAM, "ListUsers"), &[]);
    refused(ask().await, 403, "NoPermission");
    let document =
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"ram:List*","Resource":"*"}]}"#;
    done(&fixture, "CreatePolicy", &[("PolicyName", "list"), ("PolicyDocument", document)]).await;
    let named = [("PolicyType", "Custom"), ("PolicyName", "list"), ("RoleName", "writer")];
    done(&fixture, "AttachPolicyToRole", &named).await;
    assert_eq!(ask().await.0, 200);
    // A session that was narrowed to something else is not widened by its role.
    let narrow =
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:*","Resource":"*"}]}"#;
    let (narrowed, _) = assume(&fixture, &app, &arn, &[("Policy", narrow)]).await;
    refused(rpc(&fixture, &narrowed, (RAM, "ListUsers"), &[]).await, 403, "NoPermission");
    done(&fixture, "DetachPolicyFromRole", &named).await;
    refused(ask().await, 403, "NoPermission");
    done(&fixture, "DeleteRole", &[("RoleName", "writer")]).await;
    let gone = fixture.call(with(get("/bkt/a"), &key, Sign::V4)).await;
    gone.error(403, "InvalidSecurityToken");
    // Another role of the same name is another role.
    let role = [("RoleName", "writer"), ("AssumeRolePolicyDocument", TRUST_ALL)];
    done(&fixture, "CreateRole", &role).await;
    let gone = fixture.call(with(get("/bkt/a"), &key, Sign::V1)).await;
    gone.error(403, "InvalidSecurityToken");
}

#[tokio::test]
async fn a_role_is_assumed_by_whom_it_trusts_and_who_may_and_by_nobody_else() {
    let fixture = Fixture::start().await;
    let (app, arn) = assumer(&fixture, 2).await;
    let ask = |key: Key, pairs: Vec<(&'static str, String)>| {
        let fixture = &fixture;
        async move {
            let pairs: Vec<(&str, &str)> =
                pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            rpc(fixture, &key, (STS, "AssumeRole"), &pairs).await
        }
    };
    let of = |arn: &str| vec![("RoleArn", arn.to_owned()), ("RoleSessionName", "s-1".to_owned())];
    let with = |name: &'static str, value: &str| {
        let mut pairs = of(&arn);
        pairs.retain(|(known, _)| *known != name);
        pairs.push((name, value.to_owned()));
        pairs
    };
    let message = refused(ask(root(), of(&arn)).await, 403, "NoPermission");
    assert_eq!(message, "Roles may not be assumed by root accounts.");
    let other = user(&fixture, "other").await;
    refused(ask(other.clone(), of(&arn)).await, 403, "NoPermission");
    refused(ask(app.clone(), with("RoleArn", "writer")).await, 400, "InvalidParameter.RoleArn");
    let absent = format!("acs:ram::{ACCOUNT}:role/nobody");
    refused(ask(app.clone(), of(&absent)).await, 404, "EntityNotExist.Role");
    refused(ask(app.clone(), of("acs:ram::2:role/writer")).await, 404, "EntityNotExist.Role");
    for bad in ["a", "a b", &"s".repeat(65)] {
        let asked = ask(app.clone(), with("RoleSessionName", bad)).await;
        refused(asked, 400, "InvalidParameter.RoleSessionName");
    }
    for bad in ["899", "7201", "x", "-1"] {
        let asked = ask(app.clone(), with("DurationSeconds", bad)).await;
        refused(asked, 400, "InvalidParameter.DurationSeconds");
    }
    assert_eq!(ask(app.clone(), with("DurationSeconds", "7200")).await.0, 200);
    for (policy, code) in [
        ("{", "InvalidParameter.PolicyGrammar"),
        (r#"{"Version":"1"}"#, "InvalidParameter.PolicyGrammar"),
        (&" ".repeat(2_049), "InvalidParameter.PolicySize"),
    ] {
        refused(ask(app.clone(), with("Policy", policy)).await, 400, code);
    }
    // The right alone is not enough: the role must trust the user.
    let trust = TRUST_ALL.replace(":root", ":user/somebody");
    let changed = [("RoleName", "writer"), ("NewAssumeRolePolicyDocument", trust.as_str())];
    done(&fixture, "UpdateRole", &changed).await;
    refused(ask(app.clone(), of(&arn)).await, 403, "NoPermission");
    let trust = TRUST_ALL.replace(":root", ":user/app");
    let changed = [("RoleName", "writer"), ("NewAssumeRolePolicyDocument", trust.as_str())];
    done(&fixture, "UpdateRole", &changed).await;
    assert_eq!(ask(app, of(&arn)).await.0, 200);
}

#[tokio::test]
async fn names_limits_conflicts_and_pages_are_told_as_the_service_tells_them() {
    let fixture = Fixture::with(|config| {
        config.ram.users = 3;
        config.ram.custom_policies_per_user = 1;
    })
    .await;
    let failed = |action: &'static str, pairs: &'static [(&'static str, &'static str)]| {
        let fixture = &fixture;
        async move { rpc(fixture, &root(), (RAM, action), pairs).await }
    };
    for name in ["c", "A", "b"] {
        done(&fixture, "CreateUser", &[("UserName", name)]).await;
    }
    let bad = failed("CreateUser", &[("UserName", "a b")]).await;
    let message = refused(bad, 400, "InvalidParameter.UserName.InvalidChars");
    assert_eq!(message, "The parameter - \"UserName\" contains invalid chars.");
    let twice =
        refused(failed("CreateUser", &[("UserName", "a")]).await, 409, "EntityAlreadyExists.User");
    assert_eq!(twice, "The user does already EXIST.");
    refused(failed("CreateUser", &[("UserName", "d")]).await, 409, "LimitExceeded.User");
    refused(failed("GetUser", &[("UserName", "d")]).await, 404, "EntityNotExist.User");
    let page = done(&fixture, "ListUsers", &[("MaxItems", "2")]).await;
    let names = |page: &Value| {
        let users = page["Users"]["User"].as_array().unwrap().iter();
        users.map(|user| text(&user["UserName"])).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(&page), &page["IsTruncated"]),
        (vec!["A".to_owned(), "b".to_owned()], &true.into())
    );
    let marker = text(&page["Marker"]);
    let page = done(&fixture, "ListUsers", &[("MaxItems", "2"), ("Marker", &marker)]).await;
    assert_eq!((names(&page), page.get("Marker")), (vec!["c".to_owned()], None));
    refused(failed("ListUsers", &[("MaxItems", "1001")]).await, 400, "InvalidParameter.MaxItems");
    refused(failed("ListGroups", &[("MaxItems", "101")]).await, 400, "InvalidParameter.MaxItems");
    refused(failed("CreateAccessKey", &[]).await, 404, "EntityNotExist.User");
    let document =
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:*","Resource":"*"}]}"#;
    for name in ["one", "two"] {
        done(&fixture, "CreatePolicy", &[("PolicyName", name), ("PolicyDocument", document)]).await;
    }
    let bad = failed("CreatePolicy", &[("PolicyName", "p"), ("PolicyDocument", "{}")]).await;
    refused(bad, 400, "MalformedPolicyDocument");
    let attach: &[_] = &[("PolicyType", "Custom"), ("PolicyName", "one"), ("UserName", "a")];
    done(&fixture, "AttachPolicyToUser", attach).await;
    let again = rpc(&fixture, &root(), (RAM, "AttachPolicyToUser"), attach).await;
    refused(again, 409, "EntityAlreadyExists.User.Policy");
    let two = failed(
        "AttachPolicyToUser",
        &[("PolicyType", "Custom"), ("PolicyName", "two"), ("UserName", "a")],
    );
    refused(two.await, 409, "LimitExceeded.User.Policy");
    refused(
        failed("DeletePolicy", &[("PolicyName", "one")]).await,
        409,
        "DeleteConflict.Policy.User",
    );
    refused(failed("DeleteUser", &[("UserName", "a")]).await, 409, "DeleteConflict.User.Policy");
    let told =
        done(&fixture, "GetPolicy", &[("PolicyType", "Custom"), ("PolicyName", "One")]).await;
    assert_eq!(told["Policy"]["AttachmentCount"], 1);
    let entities = done(&fixture, "ListEntitiesForPolicy", &[attach[0], attach[1]]).await;
    assert_eq!(entities["Users"]["User"][0]["UserName"], "A");
    assert_eq!(entities["Roles"], serde_json::json!({ "Role": [] }));
    for number in 2..=5 {
        let version =
            [("PolicyName", "one"), ("PolicyDocument", document), ("SetAsDefault", "true")];
        let made = done(&fixture, "CreatePolicyVersion", &version).await;
        assert_eq!(made["PolicyVersion"]["VersionId"], format!("v{number}"));
    }
    let version: &[_] = &[("PolicyName", "one"), ("PolicyDocument", document)];
    let full = rpc(&fixture, &root(), (RAM, "CreatePolicyVersion"), version).await;
    refused(full, 409, "LimitExceeded.Policy.Version");
    let rotate = ("RotateStrategy", "DeleteOldestNonDefaultVersionWhenLimitExceeded");
    let made = done(&fixture, "CreatePolicyVersion", &[version[0], version[1], rotate]).await;
    assert_eq!(made["PolicyVersion"]["IsDefaultVersion"], false);
    let default = failed("DeletePolicyVersion", &[("PolicyName", "one"), ("VersionId", "v5")]);
    refused(default.await, 409, "DeleteConflict.Policy.Version.Default");
    let gone = failed("DeletePolicyVersion", &[("PolicyName", "one"), ("VersionId", "v1")]);
    refused(gone.await, 404, "EntityNotExist.Policy.Version");
    let system = failed("DeletePolicy", &[("PolicyName", "AliyunOSSFullAccess")]);
    refused(system.await, 404, "EntityNotExist.Policy");
    done(&fixture, "DetachPolicyFromUser", attach).await;
    let again = rpc(&fixture, &root(), (RAM, "DetachPolicyFromUser"), attach).await;
    refused(again, 404, "EntityNotExist.User.Policy");
    refused(
        failed("DeletePolicy", &[("PolicyName", "one")]).await,
        409,
        "DeleteConflict.Policy.Version",
    );
    done(&fixture, "DeletePolicy", &[("PolicyName", "one"), ("CascadingDelete", "true")]).await;
}
