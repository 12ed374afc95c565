//! Which scheme a request is taken for, and what is said about claims that cannot be read.

use super::*;
use proptest::prelude::*;

const V4: &str = "OSS4-HMAC-SHA256";
const SCOPE: &str = "20260115/cn-hangzhou/oss/aliyun_v4_request";

fn read(query: &str, authorization: Option<&str>) -> String {
    let mut made = Made::new("GET", query, &[("x-oss-date", "20260115T083045Z")]);
    if let Some(value) = authorization {
        made.headers.push("authorization", value);
    }
    match detect(&made.parts()) {
        Ok(Signed::Anonymous) => "anonymous".to_owned(),
        Ok(Signed::Form) => "form".to_owned(),
        Ok(Signed::Claimed(claim)) => {
            format!("{:?} {:?} {}", claim.version(), claim.carrier(), claim.access_key_id())
        }
        Err(error) => brief(&error),
    }
}

#[test]
fn schemes_are_told_apart_by_header_and_query() {
    let v4 = |rest: &str| format!("{V4} {rest}");
    let credential = format!("Credential=a/{SCOPE}");
    for (query, authorization, expected) in [
        ("prefix=Signature", None, "anonymous"),
        ("x-oss-signature-version=OSS9", None, "anonymous"),
        ("", Some("OSS a:b".to_owned()), "V1 Header a"),
        ("", Some("OSS  a : b ".to_owned()), "V1 Header a"),
        ("", Some("OSS2 AccessKeyId:a,Signature:b".to_owned()), "V2 Header a"),
        (
            "",
            Some("OSS2 Signature:b, AdditionalHeaders:range, AccessKeyId:a".to_owned()),
            "V2 Header a",
        ),
        ("", Some(v4(&format!("{credential},Signature=b"))), "V4 Header a"),
        (
            "",
            Some(v4(&format!("{credential}, Signature=b, AdditionalHeaders=host"))),
            "V4 Header a",
        ),
        ("", Some(v4(&format!("Credential=a/b/{SCOPE},Signature=b"))), "V4 Header a/b"),
        ("OSSAccessKeyId=a&Expires=1&Signature=b", None, "V1 Query a"),
        (
            "x-oss-signature-version=OSS2&x-oss-access-key-id=a&x-oss-expires=1&x-oss-signature=b",
            None,
            "V2 Query a",
        ),
        (
            "x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential=a/20260115/r/oss/aliyun_v4_request\
             &x-oss-date=20260115T083045Z&x-oss-expires=60&x-oss-signature=b&OSSAccessKeyId=c",
            None,
            "V4 Query a",
        ),
    ] {
        assert_eq!(read(query, authorization.as_deref()), expected, "{query} {authorization:?}");
    }
}

#[test]
fn unreadable_headers_are_refused_with_their_number() {
    let v4 = |rest: &str| format!("{V4} {rest}");
    let unknown = "400 InvalidArgument 0002-00000061";
    let malformed = "400 InvalidArgument 0002-00000063";
    let many = vec!["h"; 65].join(";");
    for (authorization, expected) in [
        ("".to_owned(), unknown),
        ("OSSxxx a:b".to_owned(), unknown),
        ("oss a:b".to_owned(), unknown),
        ("Basic YTpi".to_owned(), unknown),
        ("AWS4-HMAC-SHA256 Credential=a".to_owned(), unknown),
        ("OSS".to_owned(), malformed),
        ("OSS ab".to_owned(), malformed),
        ("OSS :b".to_owned(), malformed),
        ("OSS a:".to_owned(), "400 InvalidArgument 0002-00000065"),
        ("OSS2 AccessKeyId:a".to_owned(), malformed),
        ("OSS2 AccessKeyId:,Signature:b".to_owned(), malformed),
        (v4("Signature=b"), "400 InvalidArgument 0002-00000205"),
        (v4(&format!("Credential=a/{SCOPE}")), malformed),
        (v4("nonsense"), malformed),
        (v4("Credential=a/20260115/r/oss/other,Signature=b"), "400 InvalidArgument 0002-00000213"),
        (
            v4("Credential=20260115/r/oss/aliyun_v4_request,Signature=b"),
            "400 InvalidArgument 0002-00000213",
        ),
        (
            v4("Credential=a/2026011/r/oss/aliyun_v4_request,Signature=b"),
            "400 InvalidArgument 0002-00000212",
        ),
        (v4(&format!("Credential=a/{SCOPE},AdditionalHeaders={many},Signature=b")), malformed),
    ] {
        assert_eq!(read("", Some(&authorization)), expected, "{authorization}");
    }
}

#[test]
fn unreadable_urls_are_refused_with_their_number() {
    let v4 = |rest: &str| format!("x-oss-signature-version={V4}&{rest}");
    let credential = format!("x-oss-credential=a/{SCOPE}");
    let date = "x-oss-date=20260115T083045Z";
    let incomplete = "403 AccessDenied -";
    for (query, expected) in [
        ("OSSAccessKeyId=a".to_owned(), incomplete),
        ("Signature=b".to_owned(), incomplete),
        ("OSSAccessKeyId=a&Expires=1&Signature=".to_owned(), incomplete),
        ("OSSAccessKeyId=a&Expires=x&Signature=b".to_owned(), incomplete),
        ("OSSAccessKeyId=a&Expires=-1&Signature=b".to_owned(), incomplete),
        ("OSSAccessKeyId=a&Expires=99999999999999999999&Signature=b".to_owned(), incomplete),
        (
            "x-oss-signature-version=OSS2&x-oss-expires=1".to_owned(),
            "400 InvalidArgument 0002-00000115",
        ),
        (v4(date), "400 InvalidArgument 0002-00000217"),
        (v4("x-oss-credential="), "400 InvalidArgument 0002-00000218"),
        (v4(&credential), "400 InvalidArgument -"),
        (v4(&format!("{credential}&{date}")), "400 InvalidArgument 0002-00000215"),
        (v4(&format!("{credential}&{date}&x-oss-expires=")), "400 InvalidArgument 0002-00000216"),
        (v4(&format!("{credential}&{date}&x-oss-expires=1")), "400 InvalidArgument 0002-00000219"),
        (
            v4(&format!("{credential}&{date}&x-oss-expires=0&x-oss-signature=b")),
            "400 InvalidArgument 0002-00000232",
        ),
        (
            v4(&format!("{credential}&{date}&x-oss-expires=604801&x-oss-signature=b")),
            "400 InvalidArgument 0002-00000232",
        ),
        (
            v4(&format!("{credential}&{date}&x-oss-expires=+9&x-oss-signature=b")),
            "400 InvalidArgument 0002-00000232",
        ),
        (
            v4(&format!(
                "x-oss-credential=a/x/r/oss/aliyun_v4_request&{date}&x-oss-expires=9&x-oss-signature=b"
            )),
            "400 InvalidArgument 0002-00000223",
        ),
    ] {
        assert_eq!(read(&query, None), expected, "{query}");
    }
}

#[test]
fn a_signature_in_both_places_is_refused() {
    for query in [
        "Signature=b",
        "OSSAccessKeyId=a",
        "x-oss-signature=b",
        "x-oss-signature-version=OSS2",
        "x-oss-signature-version=OSS4-HMAC-SHA256",
    ] {
        assert_eq!(read(query, Some("OSS a:b")), "400 InvalidArgument -", "{query}");
        assert_eq!(read(query, Some("other")), "400 InvalidArgument -", "{query}");
    }
}

#[test]
fn only_a_multipart_post_to_a_bucket_is_a_form() {
    let form = "Multipart/Form-Data; boundary=b";
    for (method, key, kind, expected) in [
        ("POST", None, form, true),
        ("PUT", None, form, false),
        ("POST", Some("k"), form, false),
        ("POST", None, "multipart/mixed", false),
        ("POST", None, "application/xml", false),
    ] {
        let mut made =
            Made::new(method, "", &[("content-type", kind), ("authorization", "OSS a:b")]);
        made.target = Target::new(Some("b"), key);
        let is_form = matches!(detect(&made.parts()), Ok(Signed::Form));
        assert_eq!(is_form, expected, "{method} {key:?} {kind}");
    }
    let mut service = Made::new("POST", "", &[("content-type", form)]);
    service.target = Target::new(None, None);
    assert!(matches!(detect(&service.parts()), Ok(Signed::Anonymous)));
}

#[test]
fn a_hash_of_the_payload_is_refused_since_nobody_would_compare_it() {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let authorization = format!("{V4} Credential=a/{SCOPE},Signature=b");
    let made =
        Made::new("GET", "", &[("authorization", &authorization), ("x-oss-content-sha256", hash)]);
    assert_eq!(detect(&made.parts()).unwrap_err(), AuthError::PayloadHash);
}

#[test]
fn the_token_is_found_where_each_scheme_carries_it() {
    let v4 = format!("{V4} Credential=STS.a/{SCOPE},Signature=b");
    for (query, headers, expected) in [
        ("", vec![("authorization", "OSS STS.a:b"), ("x-oss-security-token", "t")], Some("t")),
        ("", vec![("authorization", "OSS STS.a:b"), ("security-token", "t")], Some("t")),
        (
            "",
            vec![
                ("authorization", "OSS STS.a:b"),
                ("security-token", "u"),
                ("x-oss-security-token", "t"),
            ],
            Some("t"),
        ),
        // A long-term key has no token, and only V1 clients send the bare header.
        ("", vec![("authorization", "OSS LTAIa:b"), ("security-token", "t")], None),
        ("", vec![("authorization", v4.as_str()), ("security-token", "t")], None),
        ("", vec![("authorization", v4.as_str()), ("x-oss-security-token", "t")], Some("t")),
        ("OSSAccessKeyId=a&Expires=1&Signature=b&security-token=t%2B", vec![], Some("t+")),
        ("OSSAccessKeyId=a&Expires=1&Signature=b", vec![("x-oss-security-token", "t")], None),
    ] {
        let made = Made::new("GET", query, &headers);
        let Ok(Signed::Claimed(claim)) = detect(&made.parts()) else {
            panic!("{query} {headers:?}");
        };
        assert_eq!(claim.token(), expected, "{query} {headers:?}");
    }
}

#[test]
fn debug_output_holds_no_secrets() {
    let made = Made::new(
        "GET",
        "",
        &[("authorization", "OSS STS.a:SIGNATURE"), ("x-oss-security-token", "TOKEN")],
    );
    let secret = Secret::new("SECRET");
    let lookup = Lookup::Found { secret: &secret, signing_key: None };
    let key = SigningKey::derive(&secret, "20260115", "r", "oss");
    let signer = signer(&secret).with_token(Some("TOKEN"));
    let mut form = FormFields::new();
    form.push("Signature", "SIGNATURE");
    let mismatch =
        made.clone().with(vec![("date", "20260115T083045Z".into())]).verify(&secret, NOW);
    let text = format!(
        "{:?} {signer:?} {lookup:?} {key:?} {form:?} {made:?} {mismatch:?}",
        detect(&made.parts())
    );
    assert!(text.contains("SignatureMismatch"), "{text}");
    for hidden in ["SIGNATURE", "TOKEN", "SECRET"] {
        assert!(!text.contains(hidden), "{text}");
    }
}

proptest! {
    #[test]
    fn garbage_is_never_accepted_and_never_panics(
        authorization in proptest::option::of(prop_oneof![
            "(OSS|OSS2|OSS4-HMAC-SHA256) [ -~]{0,80}",
            "OSS2 (AccessKeyId|Signature|AdditionalHeaders|,|:|;|a| ){0,12}",
            "OSS4-HMAC-SHA256 (Credential|=|a/20260115/r/oss/aliyun_v4_request|,|Signature|AdditionalHeaders|;|h){0,12}",
            ".{0,40}",
        ]),
        query in prop_oneof![
            "[ -~]{0,60}",
            "((x-oss-signature-version|x-oss-signature|x-oss-credential|x-oss-date|x-oss-expires|OSSAccessKeyId|\
              Expires|Signature)=(OSS2|OSS4-HMAC-SHA256|a/20260115/r/oss/aliyun_v4_request|20260115T083045Z|9|b|)&){0,9}",
        ],
        lines: Vec<(String, Vec<u8>)>,
    ) {
        let mut made = Made::new("POST", &query, &[("x-oss-date", "20260115T083045Z")]);
        for (name, value) in &lines {
            made.headers.push(name, value);
        }
        if let Some(value) = &authorization {
            made.headers.push("authorization", value);
        }
        if let Ok(Signed::Claimed(claim)) = detect(&made.parts()) {
            let secret = secret();
            let lookup = Lookup::Found { secret: &secret, signing_key: None };
            let verdict = verify(&claim, &made.parts(), lookup, NOW, &VerifyOptions::default());
            let error = verdict.expect_err("nobody signed this");
            prop_assert!((400..500).contains(&error.code().status()));
            let _ = (error.fields(), error.to_string());
        }
    }
}
