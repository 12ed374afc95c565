//! Signatures and the order of their checks: `auth.md` §8. The canonical forms are the protocol crate's tests.

use ossia_protocol::auth::{HeaderList, RequestParts, Secret, Signer, presign_v1, presign_v4};

use crate::drive::*;

fn presigned(fixture: &Fixture, method: &str, target: &str, seconds: i64, sign: Sign) -> String {
    let host = fixture.host();
    let (parsed_target, query) = parsed(fixture, &host, target);
    let secret = Secret::new(KEY_SECRET);
    let signer = Signer::new(KEY_ID, &secret, "cn-hangzhou");
    let mut headers = HeaderList::new();
    headers.push("host", &host);
    let request = RequestParts { method, target: &parsed_target, query: &query, headers: &headers };
    let now = i64::try_from(NOW).unwrap();
    let query = match sign {
        Sign::V4 => presign_v4(&request, &signer, &[], now, seconds),
        _ => presign_v1(&request, &signer, now + seconds),
    };
    format!("{}?{}", target.split('?').next().unwrap(), query.to_wire())
}

#[tokio::test]
async fn v1_and_v4_hold_in_headers_and_urls() {
    let fixture = Fixture::with_bucket().await;
    for sign in [Sign::V1, Sign::V4] {
        let target = format!("/bkt/{sign:?}");
        fixture.call(append(&target, 0, "a").sign(sign)).await.expect(200);
        let url = presigned(&fixture, "POST", &format!("{target}?append&position=1"), 60, sign);
        fixture.call(post(&url).body("b").anonymous()).await.expect(200);
        let url = presigned(&fixture, "GET", &target, 60, sign);
        assert_eq!(fixture.call(get(&url).anonymous()).await.expect(200).text(), "ab");
        let other = url.replace(&target, "/bkt/other");
        fixture.call(get(&other).anonymous()).await.error(403, "SignatureDoesNotMatch");
        fixture.clock.advance_ms(61_000);
        let late = fixture.call(get(&url).anonymous()).await.error(403, "AccessDenied");
        assert_eq!(late.element("Message").as_deref(), Some("Request has expired."));
        fixture.clock.set_ms(NOW * 1000);
    }
}

#[tokio::test]
async fn a_wrong_secret_is_told_with_what_was_signed_and_never_with_the_secret() {
    let fixture = Fixture::with_bucket().await;
    for sign in [Sign::V1, Sign::V4] {
        let call = get("/bkt/key").sign(sign).key(KEY_ID, "wrong");
        let refused = fixture.call(call).await.error(403, "SignatureDoesNotMatch");
        for name in ["OSSAccessKeyId", "SignatureProvided", "StringToSign", "StringToSignBytes"] {
            assert!(refused.element(name).is_some(), "{name}");
        }
        assert!(!refused.text().contains(KEY_SECRET));
    }
}

#[tokio::test]
async fn an_unknown_key_hears_of_a_missing_bucket_first() {
    let fixture = Fixture::with_bucket().await;
    let unknown = |call: Call| call.key("nobody", "x");
    for call in [get("/none/"), get("/none/?acl"), head("/none/key"), append("/none/key", 0, "a")] {
        let answer = fixture.call(unknown(call)).await;
        assert_eq!(answer.status, 404);
    }
    let existing = fixture.call(unknown(get("/bkt/"))).await.error(403, "InvalidAccessKeyId");
    assert_eq!(existing.must("x-oss-ec"), "0002-00000902");
    assert_eq!(
        existing.element("Message").as_deref(),
        Some("The OSS Access Key Id you provided does not exist in our records.")
    );
    // Nothing need exist for these.
    fixture.call(unknown(put("/none/"))).await.error(403, "InvalidAccessKeyId");
    let acl = put("/none/?acl").header("x-oss-acl", "private");
    fixture.call(unknown(acl)).await.error(403, "InvalidAccessKeyId");
    fixture.call(unknown(get("/"))).await.error(403, "InvalidAccessKeyId");
    // A known key with a wrong signature is told so wherever it goes.
    let wrong = get("/none/").key(KEY_ID, "wrong");
    fixture.call(wrong).await.error(403, "SignatureDoesNotMatch");
    fixture.call(get("/none/").anonymous()).await.error(404, "NoSuchBucket");
}

#[tokio::test]
async fn fifteen_minutes_of_skew_are_taken_and_no_more() {
    let fixture = Fixture::with_bucket().await;
    for sign in [Sign::V1, Sign::V4] {
        for (shift, ok) in [(900, true), (-900, true), (901, false), (-901, false)] {
            let mut bytes = head("/bkt/").sign(sign).head_bytes(&fixture);
            let get_bytes = get("/bkt/").sign(sign).head_bytes(&fixture);
            fixture.clock.set_ms(NOW.checked_add_signed(shift).unwrap() * 1000);
            let mut connection = fixture.connect().await;
            connection.send(&mut bytes).await;
            let answer = connection.response(true).await;
            assert_eq!(answer.status, if ok { 200 } else { 403 }, "{sign:?} {shift}");
            connection.send(&get_bytes).await;
            let answer = connection.response(false).await;
            if !ok {
                let refused = answer.error(403, "RequestTimeTooSkewed");
                assert_eq!(
                    refused.element("MaxAllowedSkewMilliseconds").as_deref(),
                    Some("900000")
                );
                assert!(refused.element("ServerTime").unwrap().ends_with(".000Z"));
            }
            fixture.clock.set_ms(NOW * 1000);
        }
    }
}

#[tokio::test]
async fn a_request_without_a_readable_date_is_denied() {
    let fixture = Fixture::with_bucket().await;
    let call = get("/bkt/").anonymous().header("authorization", "OSS ossia:c2ln");
    let refused = fixture.call(call).await.error(403, "AccessDenied");
    assert_eq!(refused.must("x-oss-ec"), "0002-00000503");
}

#[tokio::test]
async fn header_and_url_signatures_together_and_odd_schemes_are_refused() {
    let fixture = Fixture::with_bucket().await;
    let url = presigned(&fixture, "GET", "/bkt/key", 60, Sign::V1);
    fixture.call(get(&url)).await.error(400, "InvalidArgument");
    for (value, ec) in [
        ("Basic abc", "0002-00000061"),
        ("OSS nocolon", "0002-00000063"),
        ("OSS id:", "0002-00000065"),
    ] {
        let call = get("/bkt/").anonymous().header("authorization", value);
        let refused = fixture.call(call).await.error(400, "InvalidArgument");
        assert_eq!(refused.must("x-oss-ec"), ec, "{value}");
    }
}

#[tokio::test]
async fn a_token_on_a_long_term_key_is_refused() {
    let fixture = Fixture::with_bucket().await;
    let call = get("/bkt/").header("x-oss-security-token", "CAISsomething");
    let refused = fixture.call(call).await.error(403, "InvalidAccessKeyId");
    assert_eq!(refused.must("x-oss-ec"), "0002-00000002");
}

#[tokio::test]
async fn another_region_is_refused_only_when_the_server_is_strict() {
    let lenient = Fixture::with(|config| config.region = "cn-beijing".into()).await;
    lenient.call(get("/").sign(Sign::V4)).await.expect(200);
    let strict = Fixture::with(|config| {
        config.region = "cn-beijing".into();
        config.auth.strict_region = true;
    })
    .await;
    let refused = strict.call(get("/").sign(Sign::V4)).await.error(400, "InvalidArgument");
    assert_eq!(refused.must("x-oss-ec"), "0002-00000226");
    let same = Fixture::with(|config| config.auth.strict_region = true).await;
    same.call(get("/").sign(Sign::V4)).await.expect(200);
}

#[tokio::test]
async fn an_unsigned_header_added_on_the_way_breaks_a_v4_signature() {
    let fixture = Fixture::with_bucket().await;
    let bytes = get("/bkt/").sign(Sign::V4).head_bytes(&fixture);
    let text = String::from_utf8(bytes).unwrap();
    let text = text.replacen("\r\n\r\n", "\r\nx-oss-added: 1\r\n\r\n", 1);
    let mut connection = fixture.connect().await;
    connection.send(text).await;
    connection.response(false).await.error(403, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn an_empty_content_type_is_left_out_of_a_v4_signature() {
    let fixture = Fixture::with_bucket().await;
    let call = append("/bkt/log", 0, "a").sign(Sign::V4);
    let mut bytes = call.head_bytes(&fixture);
    bytes.truncate(bytes.len() - 2);
    bytes.extend(b"content-type: \r\n\r\na");
    let mut connection = fixture.connect().await;
    connection.send(bytes).await;
    connection.response(false).await.expect(200);
    let info = fixture.call(head("/bkt/log")).await;
    assert_eq!(info.must("content-type"), "application/octet-stream");
}
