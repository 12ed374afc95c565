//! Form claims and their policies.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const CREDENTIAL: &str = "LTAI5tTestAccessKeyId01/20260115/cn-hangzhou/oss/aliyun_v4_request";

fn fields(pairs: &[(&str, &str)]) -> FormFields {
    let mut fields = FormFields::new();
    for (name, value) in pairs {
        fields.push(name, *value);
    }
    fields
}

fn policy_with(conditions: &str) -> String {
    STANDARD.encode(format!(
        r#"{{"expiration":"2026-01-15T09:30:45.000Z","conditions":[{conditions}]}}"#
    ))
}

fn v1_form(policy: &str, extra: &[(&str, &str)]) -> FormFields {
    let signature = key::hmac_sha1_base64(secret().expose(), policy.as_bytes());
    let mut form = fields(extra);
    form.push("ossACCESSkeyid", ID);
    form.push("Policy", policy);
    form.push("signature", signature);
    form
}

fn v4_form(policy: &str, date: &str, extra: &[(&str, &str)]) -> FormFields {
    let signature =
        SigningKey::derive(&secret(), "20260115", "cn-hangzhou", "oss").sign(policy.as_bytes());
    let mut form = fields(extra);
    form.push("x-oss-signature-version", "OSS4-HMAC-SHA256");
    form.push("x-oss-credential", CREDENTIAL);
    form.push("x-oss-date", date);
    form.push("policy", policy);
    form.push("x-oss-signature", signature);
    form
}

fn claim(form: &FormFields) -> FormClaim<'_> {
    match detect_form(form).unwrap() {
        FormSigned::Claimed(claim) => claim,
        FormSigned::Anonymous => panic!("it is signed"),
    }
}

fn verified(form: &FormFields, now: i64) -> Result<Policy, AuthError> {
    let secret = secret();
    let lookup = Lookup::Found { secret: &secret, signing_key: None };
    verify_form(&claim(form), None, lookup, now, &VerifyOptions::default())
}

/// The verdict of a policy on a form with key `user/eric/a.png` and type `image/png`, in bucket `photos`.
fn judged(conditions: &str) -> Result<(), AuthError> {
    let form = v1_form(
        &policy_with(conditions),
        &[("Key", "user/eric/a.png"), ("content-type", "image/png"), ("price", "$5")],
    );
    verified(&form, NOW)?.check(&claim(&form), "photos", &form, NOW)
}

#[test]
fn conditions_hold_or_fail_by_their_operator() {
    for (conditions, holds) in [
        (r#"{"bucket":"photos"}"#, true),
        (r#"{"bucket":"other"}"#, false),
        (r#"{"BUCKET":"photos"}"#, true),
        (r#"["eq","$bucket","photos"]"#, true),
        (r#"["eq","$Key","user/eric/a.png"]"#, true),
        (r#"["eq","$key","user/eric/A.png"]"#, false),
        (r#"["starts-with","$key","user/eric/"]"#, true),
        (r#"["starts-with","$key","user/e/"]"#, false),
        (r#"["starts-with","$key",""]"#, true),
        (r#"["starts-with","$absent",""]"#, false),
        (r#"["in","$content-type",["image/jpg","image/png"]]"#, true),
        (r#"["in","$content-type",[]]"#, false),
        (r#"["in","$absent",["a"]]"#, false),
        (r#"["not-in","$content-type",["image/jpg"]]"#, true),
        (r#"["not-in","$content-type",["image/png"]]"#, false),
        (r#"["not-in","$absent",["a"]]"#, false),
        (r#"["eq","$price","\$5"]"#, true),
        (r#"["starts-with","$price","\$"]"#, true),
        (r#"{"bucket":"photos"},{"bucket":"other"}"#, false),
        (r#"["content-length-range",0,1]"#, true),
    ] {
        assert_eq!(judged(conditions).is_ok(), holds, "{conditions}");
    }
}

#[test]
fn a_failed_condition_is_named() {
    let message = judged(r#"{"bucket":"x"}"#).unwrap_err().to_string();
    assert_eq!(
        message,
        r#"Invalid according to Policy: Policy Condition failed: ["eq", "$bucket", "x"]"#
    );
    let error = judged(r#"["starts-with","$key","a"]"#).unwrap_err();
    assert_eq!(brief(&error), "403 AccessDenied -");
    assert!(error.to_string().ends_with(r#"["starts-with", "$key", "a"]"#), "{error}");
}

#[test]
fn what_is_not_a_policy_is_refused() {
    let text = |json: &str| STANDARD.encode(json);
    for policy in [
        "not base64".to_owned(),
        STANDARD.encode([0xff, 0xfe]),
        text(""),
        text("[]"),
        text(r#"{"conditions":[{"a":"b"}]}"#),
        text(r#"{"expiration":"soon","conditions":[{"a":"b"}]}"#),
        text(r#"{"expiration":"2026-01-15T09:30:45Z"}"#),
        policy_with(""),
        policy_with("{}"),
        policy_with(r#"{"a":"b","c":"d"}"#),
        policy_with(r#"{"a":["b"]}"#),
        policy_with(r#"["eq","$a"]"#),
        policy_with(r#"["eq","a","b"]"#),
        policy_with(r#"["like","$a","b"]"#),
        policy_with(r#"["in","$a","b"]"#),
        policy_with(r#"["content-length-range",-1,5]"#),
        policy_with(r#"["content-length-range","a",5]"#),
        policy_with("7"),
        text(&"[".repeat(100_000)),
    ] {
        let error = Policy::parse(&policy).unwrap_err();
        assert_eq!(brief(&error), "400 InvalidPolicyDocument -", "{policy:.80}");
    }
}

#[test]
fn the_policy_expires_after_its_second() {
    let form = v1_form(&policy_with(r#"{"bucket":"photos"}"#), &[]);
    let policy = verified(&form, NOW).unwrap();
    let check = |now| policy.check(&claim(&form), "photos", &form, now);
    assert_eq!(check(NOW + 3600), Ok(()));
    assert_eq!(check(NOW + 3601), Err(AuthError::PolicyExpired));
}

#[test]
fn the_size_of_the_file_is_held_against_the_range() {
    let policy = Policy::parse(&policy_with(
        r#"["content-length-range",1,"10"],["content-length-range",5,20]"#,
    ))
    .unwrap();
    assert_eq!(policy.length_range(), (5, 10));
    assert_eq!((policy.check_length(5), policy.check_length(10)), (Ok(()), Ok(())));
    assert_eq!(policy.check_length(11), Err(AuthError::FormTooLarge { size: 11, limit: 10 }));
    assert_eq!(policy.check_length(4), Err(AuthError::FormTooSmall { size: 4, limit: 5 }));
    assert_eq!(Policy::parse(&policy_with(r#"{"a":"b"}"#)).unwrap().length_range(), (0, u64::MAX));
}

fn v4_conditions(date: &str) -> String {
    format!(
        r#"{{"x-oss-signature-version":"OSS4-HMAC-SHA256"}},{{"x-oss-credential":"{CREDENTIAL}"}},["eq","$x-oss-date","{date}"]"#
    )
}

#[test]
fn a_v4_policy_must_demand_its_own_claim() {
    let date = "20260115T083045Z";
    let form = v4_form(&policy_with(&v4_conditions(date)), date, &[]);
    let policy = verified(&form, NOW).unwrap();
    assert_eq!(policy.check(&claim(&form), "photos", &form, NOW), Ok(()));

    let loose =
        v4_form(&policy_with(r#"["starts-with","$x-oss-date",""],{"bucket":"photos"}"#), date, &[]);
    let error =
        verified(&loose, NOW).unwrap().check(&claim(&loose), "photos", &loose, NOW).unwrap_err();
    assert!(matches!(error, AuthError::PolicyCondition { .. }), "{error}");

    // With a token, the token too.
    let form = v4_form(&policy_with(&v4_conditions(date)), date, &[("x-oss-security-token", "t")]);
    let error =
        verified(&form, NOW).unwrap().check(&claim(&form), "photos", &form, NOW).unwrap_err();
    assert!(error.to_string().contains(r#"$x-oss-security-token"#), "{error}");
    let conditions = format!(r#"{},{{"x-oss-security-token":"t"}}"#, v4_conditions(date));
    let form = v4_form(&policy_with(&conditions), date, &[("x-oss-security-token", "t")]);
    assert_eq!(verified(&form, NOW).unwrap().check(&claim(&form), "photos", &form, NOW), Ok(()));
}

#[test]
fn a_v4_form_has_a_date_that_is_neither_ahead_nor_a_week_old() {
    let form = v4_form(&policy_with(r#"{"a":"b"}"#), "20260115T083045Z", &[]);
    for (now, expected) in [
        (NOW - 900, None),
        (NOW - 901, Some("403 AccessDenied -")),
        (NOW + 604_800, None),
        (NOW + 604_801, Some("403 AccessDenied -")),
    ] {
        let verdict = verified(&form, now);
        assert_eq!(verdict.as_ref().err().map(brief).as_deref(), expected, "{now}");
    }
    let other_day = v4_form(&policy_with(r#"{"a":"b"}"#), "20260114T083045Z", &[]);
    assert_eq!(brief(&verified(&other_day, NOW).unwrap_err()), "400 InvalidArgument 0002-00000223");
}

#[test]
fn an_incomplete_form_is_refused() {
    let credential = ("x-oss-credential", CREDENTIAL);
    let version = ("x-oss-signature-version", "OSS4-HMAC-SHA256");
    let date = ("x-oss-date", "20260115T083045Z");
    for (pairs, expected) in [
        (vec![("policy", "p"), ("Signature", "s")], "400 InvalidArgument 0002-00000706"),
        (vec![("OSSAccessKeyId", ""), ("Signature", "s")], "400 InvalidArgument 0002-00000706"),
        (vec![("OSSAccessKeyId", "a"), ("policy", "p")], "400 InvalidArgument 0002-00000703"),
        (vec![("OSSAccessKeyId", "a"), ("Signature", "")], "400 InvalidArgument 0002-00000704"),
        (vec![("OSSAccessKeyId", "a"), ("Signature", "s")], "400 InvalidArgument -"),
        (vec![credential], "400 InvalidArgument -"),
        (vec![version], "400 InvalidArgument 0002-00000706"),
        (vec![version, ("x-oss-credential", "a/b")], "400 InvalidArgument 0002-00000710"),
        (vec![version, credential], "400 InvalidArgument -"),
        (vec![version, credential, date], "400 InvalidArgument 0002-00000703"),
        (vec![version, credential, date, ("x-oss-signature", "s")], "400 InvalidArgument -"),
    ] {
        assert_eq!(brief(&detect_form(&fields(&pairs)).unwrap_err()), expected, "{pairs:?}");
    }
    let unsigned = fields(&[("key", "a"), ("x-oss-security-token", "t")]);
    assert!(matches!(detect_form(&unsigned), Ok(FormSigned::Anonymous)));
}

#[test]
fn a_changed_policy_or_a_wrong_lookup_is_refused_in_order() {
    let good = policy_with(r#"{"bucket":"photos"}"#);
    let form = v1_form(&good, &[]);
    let secret = secret();
    let options = VerifyOptions::default();
    let verdict = |lookup| verify_form(&claim(&form), None, lookup, NOW, &options).unwrap_err();
    assert_eq!(brief(&verdict(Lookup::Unknown)), "403 InvalidAccessKeyId 0002-00000902");
    assert!(matches!(verdict(Lookup::BadToken(TokenFault::Invalid)), AuthError::InvalidToken));

    let mut forged =
        fields(&[("OSSAccessKeyId", ID), ("Signature", form.get("Signature").unwrap())]);
    forged.push("policy", policy_with(r#"{"bucket":"other"}"#));
    let lookup = Lookup::Found { secret: &secret, signing_key: None };
    let error = verify_form(&claim(&forged), None, lookup, NOW, &options).unwrap_err();
    assert_eq!(brief(&error), "403 SignatureDoesNotMatch 0002-00000040");

    // A cloud box has a product of its own.
    let date = "20260115T083045Z";
    let form = v4_form(&policy_with(&v4_conditions(date)), date, &[]);
    let error = verify_form(&claim(&form), Some("cb-1"), lookup, NOW, &options).unwrap_err();
    assert_eq!(error, AuthError::ScopeProduct);
}
