//! PostObject: forms, their policies, what becomes of their fields, and how they are refused.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use ossia_protocol::auth::{Secret, SigningKey};

use crate::drive::*;

/// A form by its fields; the file last.
pub struct Form {
    fields: Vec<(String, String)>,
    file: Option<(&'static str, Vec<u8>)>,
    after: String,
}

const BOUNDARY: &str = "----ossia-7MA4";
const EXPIRATION: &str = "2026-01-15T09:30:45.000Z";

pub fn form(key: &str, file: impl AsRef<[u8]>) -> Form {
    Form {
        fields: vec![("key".into(), key.into())],
        file: Some(("a.txt", file.as_ref().to_vec())),
        after: String::new(),
    }
}

impl Form {
    pub fn field(mut self, name: &str, value: impl Into<String>) -> Form {
        self.fields.push((name.into(), value.into()));
        self
    }

    fn without_file(mut self) -> Form {
        self.file = None;
        self
    }

    /// Signed by V1 over a policy with these conditions.
    pub fn v1(self, conditions: &str) -> Form {
        self.v1_by((KEY_ID, KEY_SECRET), conditions)
    }

    /// [`Form::v1`] by another key.
    pub fn v1_by(self, key: (&str, &str), conditions: &str) -> Form {
        let policy = format!(r#"{{"expiration":"{EXPIRATION}","conditions":{conditions}}}"#);
        self.v1_policy_by(key, &policy)
    }

    fn v1_policy(self, policy: &str) -> Form {
        self.v1_policy_by((KEY_ID, KEY_SECRET), policy)
    }

    fn v1_policy_by(self, (id, secret): (&str, &str), policy: &str) -> Form {
        let policy = STANDARD.encode(policy);
        let signature = ossia_protocol::auth::sign_form_v1(&Secret::new(secret), &policy);
        self.field("OSSAccessKeyId", id).field("policy", policy).field("Signature", signature)
    }

    /// Signed by V4; the fields that it must demand come by themselves.
    fn v4(self, more: &str) -> Form {
        self.v4_by((KEY_ID, KEY_SECRET), more)
    }

    /// [`Form::v4`] by another key.
    pub fn v4_by(self, (id, secret): (&str, &str), more: &str) -> Form {
        let credential = format!("{id}/20260115/cn-hangzhou/oss/aliyun_v4_request");
        let policy = format!(
            r#"{{"expiration":"{EXPIRATION}","conditions":[{{"x-oss-signature-version":"OSS4-HMAC-SHA256"}},
                {{"x-oss-credential":"{credential}"}},{{"x-oss-date":"20260115T083045Z"}}{more}]}}"#
        );
        let policy = STANDARD.encode(policy);
        let key = SigningKey::derive(&Secret::new(secret), "20260115", "cn-hangzhou", "oss");
        let signature = key.sign(policy.as_bytes());
        self.field("x-oss-signature-version", "OSS4-HMAC-SHA256")
            .field("x-oss-credential", credential)
            .field("x-oss-date", "20260115T083045Z")
            .field("policy", policy)
            .field("x-oss-signature", signature)
    }

    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, value) in &self.fields {
            body.extend(
                format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                )
                .into_bytes(),
            );
        }
        if let Some((name, file)) = &self.file {
            body.extend(
                format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; \
                     filename=\"{name}\"\r\nContent-Type: text/x-part\r\n\r\n"
                )
                .into_bytes(),
            );
            body.extend(file);
            body.extend(b"\r\n");
        }
        body.extend(self.after.as_bytes());
        body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
        body
    }

    pub fn call(&self) -> Call {
        self.call_at("/bkt/")
    }

    fn call_at(&self, target: &str) -> Call {
        post(target)
            .anonymous()
            .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
            .body(self.body())
    }
}

#[tokio::test]
async fn a_signed_form_becomes_an_object_with_what_its_fields_say() {
    let fixture = Fixture::with_bucket().await;
    for (number, signed) in [0, 1].into_iter().zip([true, false]) {
        let key = format!("dir/{number}/${{filename}}");
        let plain = form(&key, "hello\r\n--no")
            .field("Content-Type", "text/field")
            .field("X-OSS-Content-Type", "text/own")
            .field("Cache-Control", "no-cache")
            .field("x-oss-meta-Who", "née")
            .field("x-oss-object-acl", "public-read")
            .field("x-oss-tagging", "a=1&b=2")
            .field("x-oss-storage-class", "IA");
        let form = if signed {
            plain.v1(r#"[{"bucket":"bkt"},["starts-with","$key","dir/"],["content-length-range",1,100]]"#)
        } else {
            plain.v4(r#",["in","$cache-control",["no-cache"]]"#)
        };
        let answer = fixture.call(form.call()).await.expect(204);
        let target = format!("/bkt/dir/{number}/a.txt");
        let read = fixture.call(get(&target)).await.expect(200);
        assert_eq!(read.text(), "hello\r\n--no");
        for name in ["etag", "x-oss-hash-crc64ecma"] {
            assert_eq!(read.must(name), answer.must(name));
        }
        for (name, value) in [
            ("content-type", "text/own"),
            ("cache-control", "no-cache"),
            ("x-oss-meta-who", "née"),
            ("x-oss-tagging-count", "2"),
            ("x-oss-storage-class", "IA"),
            ("x-oss-object-type", "Normal"),
        ] {
            assert_eq!(read.must(name), value);
        }
        let acl = fixture.call(get(&format!("{target}?acl"))).await.expect(200);
        assert_eq!(acl.element("Grant").unwrap(), "public-read");
    }
    // By the bucket's host, chunked, in small pieces.
    let chunked = form("host", vec![b'\r'; 300_000]).v1(r#"[{"bucket":"bkt"}]"#);
    let host = format!("bkt.localhost:{}", fixture.address.port());
    fixture.call(chunked.call_at("/").host(host).chunked()).await.expect(204);
    let read = fixture.call(get("/bkt/host")).await.expect(200);
    assert!(read.body == vec![b'\r'; 300_000]);
    assert_eq!(read.must("content-type"), "text/x-part");
}

#[tokio::test]
async fn success_is_told_as_the_form_asks() {
    let fixture = Fixture::with_bucket().await;
    let signed = |form: Form| form.v1(r#"[["starts-with","$key",""]]"#).call();
    let status = |text: &str| signed(form("k y", "x").field("success_action_status", text));
    assert!(fixture.call(status("200")).await.expect(200).body.is_empty());
    fixture.call(status("204")).await.expect(204);
    fixture.call(status("302")).await.expect(204);
    let made = fixture.call(status("201")).await.expect(201);
    assert_eq!(made.element("Bucket").unwrap(), "bkt");
    assert_eq!(made.element("Key").unwrap(), "k y");
    assert!(made.element("Location").unwrap().ends_with("/bkt/k%20y"));
    assert!(made.text().contains("<PostResponse><Bucket>"), "{}", made.text());
    let redirect = |url: &str| signed(form("k y", "x").field("success_action_redirect", url));
    let answer = fixture.call(redirect("http://a.example/done?x=1")).await.expect(303);
    let place = answer.must("location");
    assert!(
        place.starts_with("http://a.example/done?x=1&bucket=bkt&key=k%20y&etag=%22"),
        "{place}"
    );
    fixture.call(redirect("javascript:alert(1)")).await.expect(204);
    fixture.call(redirect("http://a/\r\nx: y")).await.expect(204);
}

#[tokio::test]
async fn a_policy_that_does_not_hold_refuses_the_form() {
    let fixture = Fixture::with_bucket().await;
    for conditions in [
        r#"[{"bucket":"other"}]"#,
        r#"[["eq","$key","other"]]"#,
        r#"[["starts-with","$key","other/"]]"#,
        r#"[["in","$key",["a","b"]]]"#,
        r#"[["not-in","$key",["key"]]]"#,
        r#"[{"x-oss-meta-a":"1"}]"#,
        r#"[{"success_action_status":"200"}]"#,
    ] {
        let refused = fixture.call(form("key", "x").v1(conditions).call()).await;
        let refused = refused.error(403, "AccessDenied");
        let message = refused.element("Message").unwrap();
        assert!(message.starts_with("Invalid according to Policy: Policy Condition failed: ["));
    }
    for (range, code) in [("5,100", "EntityTooSmall"), ("0,3", "EntityTooLarge")] {
        let conditions = format!(r#"[["content-length-range",{range}]]"#);
        let refused = fixture.call(form("key", "four").v1(&conditions).call()).await;
        refused.error(400, code);
    }
    let late = r#"{"expiration":"2026-01-15T08:30:44Z","conditions":[{"bucket":"bkt"}]}"#;
    let refused = fixture.call(form("key", "x").v1_policy(late).call()).await;
    let refused = refused.error(403, "AccessDenied");
    assert_eq!(refused.element("Message").unwrap(), "Invalid according to Policy: Policy expired.");
    for policy in ["{", r#"{"conditions":[]}"#, "[]"] {
        let refused = fixture.call(form("key", "x").v1_policy(policy).call()).await;
        refused.error(400, "InvalidPolicyDocument");
    }
    let mut forged = form("key", "x").v1(r#"[{"bucket":"bkt"}]"#);
    forged.fields.last_mut().unwrap().1 = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=".into();
    fixture.call(forged.call()).await.error(403, "SignatureDoesNotMatch");
    let mut stranger = form("key", "x").v1(r#"[{"bucket":"bkt"}]"#);
    stranger.fields[1].1 = "nobody".into();
    fixture.call(stranger.call()).await.error(403, "InvalidAccessKeyId");
    let half = form("key", "x").field("OSSAccessKeyId", KEY_ID).field("policy", "e30=");
    fixture.call(half.call()).await.error(400, "InvalidArgument");
    fixture.call(get("/bkt/key")).await.error(404, "NoSuchKey");
}

#[tokio::test]
async fn whoever_is_nobody_posts_only_where_anybody_may_write() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(form("key", "x").call()).await.error(403, "AccessDenied");
    let acl = put("/bkt/?acl").header("x-oss-acl", "public-read-write");
    fixture.call(acl).await.expect(200);
    fixture.call(form("key", "x").call()).await.expect(204);
    for (name, value) in [("x-oss-object-acl", "private"), ("x-oss-tagging", "a=b")] {
        fixture.call(form("key", "y").field(name, value).call()).await.error(403, "AccessDenied");
    }
    fixture
        .call(put("/bkt/mine").header("x-oss-object-acl", "private").body("1"))
        .await
        .expect(200);
    fixture.call(form("mine", "y").call()).await.error(403, "AccessDenied");
    assert_eq!(fixture.call(get("/bkt/key")).await.text(), "x");
    fixture.call(form("key", "x").call_at("/none-such/")).await.error(404, "NoSuchBucket");
}

#[tokio::test]
async fn what_is_no_whole_form_makes_no_object() {
    let fixture = Fixture::with_bucket().await;
    let signed = || form("key", "x").v1(r#"[{"bucket":"bkt"}]"#);
    let mut two = signed();
    two.after =
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n2\r\n");
    fixture.call(two.call()).await.error(400, "IncorrectNumberOfFilesInPOSTRequest");
    let none = signed().without_file();
    fixture.call(none.call()).await.error(400, "IncorrectNumberOfFilesInPOSTRequest");
    let mut late = signed();
    late.fields.remove(0);
    late.after =
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nkey\r\n");
    let refused = fixture.call(late.call()).await.error(400, "InvalidArgument");
    assert!(refused.element("Message").unwrap().contains("specified 'key'"));
    let mut cut = signed().body();
    cut.truncate(cut.len() - 8);
    fixture.call(signed().call().body(cut)).await.error(400, "MalformedPOSTRequest");
    let wrong = STANDARD.encode(Md5::digest("other"));
    let refused = fixture.call(signed().call().header("content-md5", wrong)).await;
    refused.error(400, "InvalidDigest");
    let many =
        signed().field("x-oss-meta-a", "v".repeat(2 << 20)).field("more", "v".repeat(65 << 10));
    fixture.call(many.call()).await.error(400, "MaxPOSTPreDataLengthExceededError");
    let long = signed().field("a", "v".repeat((2 << 20) + 1));
    fixture.call(long.call()).await.error(400, "FieldItemTooLong");
    let forged = signed().field("Content-Disposition", "a\r\nx-oss-forged: 1");
    fixture.call(forged.call()).await.error(400, "InvalidArgument");
    let encrypted = signed().field("x-oss-server-side-encryption", "KMS");
    fixture.call(encrypted.call()).await.error(400, "KmsServiceNotEnabled");
    fixture.call(get("/bkt/key")).await.error(404, "NoSuchKey");
    let right = STANDARD.encode(Md5::digest(signed().body()));
    let big = signed().field("padding", "v".repeat(1 << 20));
    fixture.call(big.call()).await.expect(204);
    fixture.call(signed().call().header("content-md5", right)).await.expect(204);
    assert_eq!(fixture.call(get("/bkt/key")).await.text(), "x");
}

#[tokio::test]
async fn a_form_keeps_to_the_rules_on_overwriting_and_to_the_quota() {
    let fixture = Fixture::with_bucket().await;
    let signed = |key: &str, file: &str| form(key, file).v1(r#"[{"bucket":"bkt"}]"#);
    fixture.call(signed("key", "1").call()).await.expect(204);
    let once = signed("key", "2").field("x-oss-forbid-overwrite", "true");
    fixture.call(once.call()).await.error(409, "FileAlreadyExists");
    let rule = "<OverwriteConfiguration><Rule><ID>1</ID><Action>forbid</Action><Prefix>k</Prefix>\
                </Rule></OverwriteConfiguration>";
    fixture.call(put("/bkt/?overwriteConfig").body(rule)).await.expect(200);
    fixture.call(signed("key", "2").call()).await.error(409, "FileAlreadyExists");
    fixture.call(signed("other", "2").call()).await.expect(204);
    let id = fixture.call(post("/bkt/key?uploads")).await.expect(200).element("UploadId").unwrap();
    let part = format!("/bkt/key?partNumber=1&uploadId={id}");
    fixture.call(put(&part).body("part")).await.expect(200);
    let all = post(&format!("/bkt/key?uploadId={id}")).header("x-oss-complete-all", "yes");
    fixture.call(all).await.error(409, "FileAlreadyExists");
    let quota = "<QuotaConfiguration><StorageQuota>10</StorageQuota><Mode>Strict</Mode></QuotaConfiguration>";
    fixture.call(put("/bkt/?quota").body(quota)).await.expect(200);
    fixture.call(signed("more", "123456").call()).await.error(403, "QuotaExceeded");
    let part = |number: u32| format!("/bkt/key?partNumber={number}&uploadId={id}");
    fixture.call(put(&part(2)).body("12345")).await.error(403, "QuotaExceeded");
    let copy = put(&part(3)).no_body().header("x-oss-copy-source", "/bkt/other");
    fixture.call(copy.clone()).await.expect(200);
    fixture.call(put(&part(4)).body("123")).await.expect(200);
    fixture.call(copy).await.error(403, "QuotaExceeded");
}
