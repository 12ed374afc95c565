//! RPC 1.0 and ACS3.

use super::*;
use crate::uri;

const RPC1: &str = "Action=GetCallerIdentity&Version=2015-04-01&AccessKeyId=LTAI5tTestAccessKeyId01&SignatureMethod=HMAC-SHA1\
                    &SignatureVersion=1.0&SignatureNonce=n1&Timestamp=2026-01-15T08%3A30%3A45Z";

fn service(method: &str, query: &str, headers: &[(&str, &str)]) -> Made {
    Made { target: Target::new(None, None), ..Made::new(method, query, headers) }
}

/// Signs RPC 1.0 parameters as a client does, from a sorted list.
fn rpc1_signature(method: &str, query: &str, form: &str) -> String {
    let all = Query::parse(format!("{query}&{form}").as_bytes()).unwrap();
    let mut pairs: Vec<String> = all
        .iter()
        .map(|one| format!("{}={}", uri::encode(one.name), uri::encode(one.value)))
        .collect();
    pairs.sort();
    let string = format!("{method}&%2F&{}", uri::encode(pairs.join("&").as_bytes()));
    let key = [secret().expose(), b"&"].concat();
    key::hmac_sha1_base64(&key, string.as_bytes())
}

fn judge(made: &Made, form: Option<&str>, now: i64) -> Result<(), RpcError> {
    let secret = secret();
    judge_with(made, form, Lookup::Found { secret: &secret, signing_key: None }, now)
}

fn judge_with(
    made: &Made,
    form: Option<&str>,
    lookup: Lookup<'_>,
    now: i64,
) -> Result<(), RpcError> {
    let body = form.unwrap_or_default().as_bytes();
    let form = form.map(|form| Query::parse(form.as_bytes()).unwrap());
    assert!(is_rpc(&made.parts(), form.as_ref()));
    let claim = detect_rpc(&made.parts(), form.as_ref())?;
    verify_rpc(&claim, &made.parts(), form.as_ref(), body, lookup, now, MAX_SKEW_SECONDS)
}

fn signed_query(query: &str) -> String {
    format!("{query}&Signature={}", uri::encode(rpc1_signature("GET", query, "").as_bytes()))
}

#[test]
fn parameters_count_wherever_they_stand() {
    assert_eq!(judge(&service("GET", &signed_query(RPC1), &[]), None, NOW), Ok(()));
    // Half in the query, half in the form, an empty value with its `=`.
    let (query, rest) = RPC1.split_once("&SignatureMethod").unwrap();
    let rest = format!("SignatureMethod{rest}&SignatureType=");
    let signature = rpc1_signature("POST", query, &rest);
    let form = format!("{rest}&Signature={}", uri::encode(signature.as_bytes()));
    assert_eq!(judge(&service("POST", query, &[]), Some(&form), NOW), Ok(()));
    assert!(matches!(
        judge(&service("POST", query, &[]), Some(&form.replace("n1", "n2")), NOW),
        Err(RpcError::SignatureMismatch { .. })
    ));
}

#[test]
fn rpc_requests_are_told_from_those_of_the_store() {
    let form = Query::parse(b"Action=a&Version=b").unwrap();
    let named = service("POST", "Action=a&Version=b", &[]);
    assert!(is_rpc(&named.parts(), None));
    assert!(is_rpc(&service("POST", "", &[]).parts(), Some(&form)));
    assert!(is_rpc(&service("POST", "", &[("x-acs-action", "a")]).parts(), None));
    assert!(!is_rpc(&service("GET", "Action=a", &[]).parts(), None));
    assert!(!is_rpc(&service("PUT", "Action=a&Version=b", &[]).parts(), None));
    let mut in_bucket = named;
    in_bucket.target = Target::new(Some("b"), None);
    assert!(!is_rpc(&in_bucket.parts(), Some(&form)));
}

#[test]
fn what_is_missing_or_unsupported_is_said() {
    for (query, code) in [
        (RPC1.replace("AccessKeyId=LTAI5tTestAccessKeyId01&", ""), "MissingParameter"),
        (RPC1.to_owned(), "MissingParameter"),
        (format!("{}&Signature=s", RPC1.replace("n1", "")), "MissingParameter"),
        (
            format!("{}&Signature=s", RPC1.replace("HMAC-SHA1", "HMAC-SHA256")),
            "IncompleteSignature",
        ),
        (format!("{}&Signature=s", RPC1.replace("1.0", "2.0")), "IncompleteSignature"),
        (format!("{}&Signature=s", RPC1.replace("2026-01-15T", "x")), "InvalidTimeStamp.Format"),
    ] {
        let error = judge(&service("GET", &query, &[]), None, NOW).unwrap_err();
        assert_eq!((error.status(), error.code()), (400, code), "{query}");
    }
}

#[test]
fn rpc_checks_come_in_their_order() {
    let good = service("GET", &signed_query(RPC1), &[]);
    let late = NOW + 901;
    for (lookup, now, status, code) in [
        (Lookup::Unknown, late, 404, "InvalidAccessKeyId.NotFound"),
        (Lookup::Disabled, late, 403, "InvalidAccessKeyId.Inactive"),
        (Lookup::BadToken(TokenFault::Expired), late, 400, "InvalidTimeStamp.Expired"),
        (Lookup::BadToken(TokenFault::Expired), NOW, 400, "InvalidSecurityToken.Expired"),
        (
            Lookup::BadToken(TokenFault::Mismatch),
            NOW,
            400,
            "InvalidSecurityToken.MismatchWithAccessKey",
        ),
        (Lookup::BadToken(TokenFault::Invalid), NOW, 400, "InvalidSecurityToken.Malformed"),
        (
            Lookup::Found { secret: &Secret::new("wrong"), signing_key: None },
            late,
            400,
            "InvalidTimeStamp.Expired",
        ),
        (
            Lookup::Found { secret: &Secret::new("wrong"), signing_key: None },
            NOW,
            400,
            "SignatureDoesNotMatch",
        ),
    ] {
        let error = judge_with(&good, None, lookup, now).unwrap_err();
        assert_eq!((error.status(), error.code()), (status, code), "{lookup:?} at {now}");
    }
    let query = Query::parse(signed_query(RPC1).as_bytes()).unwrap();
    let claim_of = Made { query, ..good };
    let parts = claim_of.parts();
    let claim = detect_rpc(&parts, None).unwrap();
    assert_eq!((claim.access_key_id(), claim.token(), claim.nonce()), (ID, None, "n1"));
}

const EMPTY_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// An ACS3 request without a body, signed over `signed_headers`.
fn acs3(signed_headers: &str) -> Made {
    let mut made = service(
        "POST",
        "RoleSessionName=a+b&Empty",
        &[
            ("host", "sts.example.test"),
            ("x-acs-action", "AssumeRole"),
            ("x-acs-version", "2015-04-01"),
            ("x-acs-date", "2026-01-15T08:30:45Z"),
            ("x-acs-signature-nonce", "n1"),
            ("x-acs-content-sha256", EMPTY_HASH),
        ],
    );
    let lines: String = signed_headers
        .split(';')
        .map(|name| {
            let value = made.headers.first(name).unwrap_or_default();
            format!("{name}:{}\n", String::from_utf8_lossy(value))
        })
        .collect();
    let canonical =
        format!("POST\n/\nEmpty=&RoleSessionName=a%20b\n{lines}\n{signed_headers}\n{EMPTY_HASH}");
    let string = format!("ACS3-HMAC-SHA256\n{}", key::sha256_hex(canonical.as_bytes()));
    let signature = uri::lower_hex(&key::hmac_sha256(secret().expose(), string.as_bytes()));
    made.headers.push(
        "authorization",
        format!("ACS3-HMAC-SHA256 Credential={ID}, SignedHeaders={signed_headers}, Signature={signature}"),
    );
    made
}

const ALL_SIGNED: &str =
    "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";

#[test]
fn an_acs3_request_verifies_and_its_body_is_held_against_the_hash() {
    let made = acs3(ALL_SIGNED);
    assert_eq!(judge(&made, None, NOW), Ok(()));
    assert_eq!(judge(&made, Some("Action=x"), NOW), Err(RpcError::BodyHash));
    assert_eq!(judge(&made, None, NOW + 901), Err(RpcError::Expired));
    let mut other = made.clone();
    other.query.push("DurationSeconds", "900");
    assert!(matches!(judge(&other, None, NOW), Err(RpcError::SignatureMismatch { .. })));
}

#[test]
fn every_acs_header_must_be_signed() {
    let without_date = ALL_SIGNED.replace("x-acs-date;", "");
    let error = judge(&acs3(&without_date), None, NOW).unwrap_err();
    assert_eq!(error.code(), "IncompleteSignature");
    let many = format!("{ALL_SIGNED}{}", ";h".repeat(64));
    assert_eq!(judge(&acs3(&many), None, NOW).unwrap_err().code(), "IncompleteSignature");
    let other = service("POST", "", &[("x-acs-action", "a"), ("authorization", "OSS a:b")]);
    assert_eq!(judge(&other, None, NOW).unwrap_err().code(), "IncompleteSignature");
}
