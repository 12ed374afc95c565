//! Signing, verifying, tampering, times, order, leniencies.

use super::*;
use crate::auth::canonical::{self, V4Variant};
use crate::error::OssError;
use proptest::prelude::*;
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    V1Header,
    V1Url,
    V4Header,
    V4Url,
}

const WAYS: [Way; 4] = [Way::V1Header, Way::V1Url, Way::V4Header, Way::V4Url];

/// Signs a request in one of the four ways, then puts the query on the wire and back.
fn sign(made: Made, way: Way, signer: &Signer<'_>, additional: &[&str]) -> Made {
    let lines = match way {
        Way::V1Header => sign_v1_header(&made.parts(), signer, NOW),
        Way::V4Header => sign_v4_header(&made.parts(), signer, additional, NOW),
        Way::V1Url | Way::V4Url => Vec::new(),
    };
    let query = match way {
        Way::V1Header | Way::V4Header => made.query.clone(),
        Way::V1Url => presign_v1(&made.parts(), signer, NOW + 600),
        Way::V4Url => presign_v4(&made.parts(), signer, additional, NOW, 600),
    };
    let query = Query::parse(query.to_wire().as_bytes()).unwrap();
    Made { query, ..made.with(lines) }
}

fn example(way: Way, secret: &Secret) -> Made {
    let made = Made::new(
        "POST",
        "append&position=10&x-oss-process=a%2Fb",
        &[
            ("host", "examplebucket.localhost:9000"),
            ("content-type", "text/plain"),
            ("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
            ("x-oss-meta-a", "one  two"),
            ("range", "bytes=0-9"),
        ],
    );
    let signer = signer(secret).with_token(Some("CAIS+token/=="));
    sign(made, way, &signer, &["Host", "range", "host", "x-oss-meta-a"])
}

fn arbitrary_request() -> impl Strategy<Value = Made> {
    // Names that are a scheme's own are not a client's to use.
    let name = "[a-zA-Z0-9 +*~%/=&-]{1,12}".prop_filter("reserved", |name| {
        !["OSSAccessKeyId", "Expires", "Signature", "security-token"].contains(&name.as_str())
    });
    let name = prop_oneof![name, Just("append".to_owned()), Just("x-oss-process".to_owned())];
    (
        "GET|PUT|POST|DELETE|HEAD",
        proptest::option::of("[a-z0-9-]{3,10}"),
        ".{0,20}",
        proptest::collection::vec((name, ".{0,10}", any::<bool>()), 0..6),
        proptest::collection::vec(
            ("x-oss-meta-[a-c]{1,2}|content-type|content-md5|user-agent", "[!-~]{1,12}"),
            0..6,
        ),
    )
        .prop_map(|(method, bucket, key, parameters, lines)| {
            let mut query = Query::new();
            for (name, value, flag) in &parameters {
                if *flag { query.push_flag(name) } else { query.push(name, value) }
            }
            let target = Target::new(
                bucket.as_deref(),
                Some(&key).filter(|_| bucket.is_some()).map(|k| k.as_str()),
            );
            Made { method, target, query, headers: lines.into_iter().collect() }
        })
}

proptest! {
    #[test]
    fn what_a_client_signs_a_server_verifies(
        made in arbitrary_request(),
        token in proptest::option::of("[!-~]{1,30}"),
        way in proptest::sample::select(&WAYS[..]),
        offset in -900i64..=600,
    ) {
        let secret = secret();
        let signed = sign(made, way, &signer(&secret).with_token(token.as_deref()), &["user-agent"]);
        let parts = signed.parts();
        let Ok(Signed::Claimed(claim)) = detect(&parts) else {
            return Err(TestCaseError::fail("not a claim"));
        };
        prop_assert_eq!(claim.access_key_id(), ID);
        prop_assert_eq!(claim.token(), token.as_deref());
        let verdict = signed.verify(&secret, NOW + offset);
        prop_assert_eq!(verdict, Ok(Verified { leniency: None }));
    }

    #[test]
    fn a_changed_bit_of_a_signed_value_is_a_mismatch(
        way in proptest::sample::select(&WAYS[..]),
        line in 0usize..16,
        byte in 0usize..64,
        bit in 0u8..7,
    ) {
        let secret = secret();
        let signed = example(way, &secret);
        let lines: Vec<(String, Vec<u8>)> = signed
            .headers
            .iter()
            .filter(|(name, _)| {
                let listed = matches!(way, Way::V4Header | Way::V4Url) && ["host", "range"].contains(name);
                listed || name.starts_with("x-oss-") || name.starts_with("content-") || *name == "date"
            })
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .collect();
        let (name, mut value) = lines[line % lines.len()].clone();
        let at = byte % value.len();
        value[at] ^= 1 << bit;
        // Blanks around a value are not part of it.
        prop_assume!(value.trim_ascii().len() == value.len());
        let headers = signed
            .headers
            .iter()
            .map(|(line, old)| (line.to_owned(), if line == name { value.clone() } else { old.to_vec() }))
            .collect();
        let tampered = Made { headers, ..signed };
        prop_assert!(tampered.verify(&secret, NOW).is_err(), "{} {:?}", name, String::from_utf8_lossy(&value));
    }
}

fn is_mismatch(verdict: Result<Verified, AuthError>) -> bool {
    matches!(verdict, Err(AuthError::SignatureMismatch(_)))
}

#[test]
fn one_changed_part_breaks_every_signature() {
    let secret = secret();
    for way in WAYS {
        let signed = example(way, &secret);
        assert_eq!(signed.verify(&secret, NOW), Ok(Verified { leniency: None }), "{way:?}");
        assert!(is_mismatch(signed.verify(&Secret::new("another"), NOW)), "{way:?} secret");

        let with_query = |from: &str, to: &str| {
            let wire = signed.query.to_wire();
            assert!(wire.contains(from), "{wire}");
            Made {
                query: Query::parse(wire.replace(from, to).as_bytes()).unwrap(),
                ..signed.clone()
            }
        };
        let mut changes = vec![
            ("method", Made { method: "PUT".into(), ..signed.clone() }),
            (
                "bucket",
                Made { target: Target::new(Some("other"), Some("log/app.log")), ..signed.clone() },
            ),
            (
                "key",
                Made {
                    target: Target::new(Some("examplebucket"), Some("log/app.lo")),
                    ..signed.clone()
                },
            ),
            ("no key", Made { target: Target::new(Some("examplebucket"), None), ..signed.clone() }),
            ("position", with_query("position=10", "position=11")),
            ("no position", with_query("&position=10", "")),
            ("a second append", with_query("position=10", "append=1&append=2&position=10&seal")),
            ("a new sub-resource", with_query("append", "append&acl")),
            ("a new header", signed.clone().with(vec![("x-oss-object-acl", "public-read".into())])),
            ("a repeated header", signed.clone().with(vec![("x-oss-meta-a", "three".into())])),
            ("a repeated type", signed.clone().with(vec![("content-type", "text/html".into())])),
        ];
        if matches!(way, Way::V4Header | Way::V4Url) {
            changes.push(("any parameter", with_query("append", "append&x=1")));
            changes
                .push(("a listed header", signed.clone().with(vec![("range", "bytes=1-".into())])));
        }
        if way != Way::V1Header {
            changes.push(("an oss parameter", with_query("x-oss-process=a", "x-oss-process=b")));
        }
        for (what, changed) in changes {
            assert!(is_mismatch(changed.verify(&secret, NOW)), "{way:?} {what}");
        }
    }
}

#[test]
fn what_no_scheme_signs_may_change() {
    let secret = secret();
    for way in WAYS {
        let signed =
            example(way, &secret).with(vec![("user-agent", "x".into()), ("via", "y".into())]);
        assert_eq!(signed.verify(&secret, NOW), Ok(Verified { leniency: None }), "{way:?}");
    }
    let query = Query::parse(b"append=&position=10&x-oss-process=a%2fb&prefix=x").unwrap();
    let signed = Made { query, ..example(Way::V1Header, &secret) };
    assert_eq!(signed.verify(&secret, NOW), Ok(Verified { leniency: None }));
}

#[test]
fn a_kept_signing_key_gives_the_same_verdict() {
    let secret = secret();
    let signed = example(Way::V4Header, &secret);
    let parts = signed.parts();
    let Ok(Signed::Claimed(claim)) = detect(&parts) else { panic!("it is signed") };
    let scope = claim.scope().unwrap();
    assert_eq!((scope.day, scope.region, scope.product), ("20260115", "cn-hangzhou", "oss"));
    let right = SigningKey::derive(&secret, scope.day, scope.region, scope.product);
    let wrong = SigningKey::derive(&secret, "20260116", scope.region, scope.product);
    let with =
        |key| signed.verify_with(Lookup::Found { secret: &secret, signing_key: Some(key) }, NOW);
    assert_eq!(with(&right), Ok(Verified { leniency: None }));
    assert!(is_mismatch(with(&wrong)));
}

#[test]
fn times_are_good_up_to_their_last_second() {
    let secret = secret();
    for (way, now, expected) in [
        (Way::V1Header, NOW + 900, None),
        (Way::V1Header, NOW - 900, None),
        (Way::V1Header, NOW + 901, Some("403 RequestTimeTooSkewed 0002-00000504")),
        (Way::V1Header, NOW - 901, Some("403 RequestTimeTooSkewed 0002-00000504")),
        (Way::V4Header, NOW + 901, Some("403 RequestTimeTooSkewed 0002-00000504")),
        (Way::V1Url, NOW - 999_999, None),
        (Way::V1Url, NOW + 600, None),
        (Way::V1Url, NOW + 601, Some("403 AccessDenied -")),
        (Way::V4Url, NOW + 600, None),
        (Way::V4Url, NOW + 601, Some("403 AccessDenied -")),
        (Way::V4Url, NOW - 900, None),
        (Way::V4Url, NOW - 901, Some("403 AccessDenied -")),
        (Way::V4Url, i64::MIN, Some("403 AccessDenied -")),
        (Way::V1Header, i64::MAX, Some("403 RequestTimeTooSkewed 0002-00000504")),
    ] {
        let verdict = example(way, &secret).verify(&secret, now);
        assert_eq!(verdict.as_ref().err().map(brief).as_deref(), expected, "{way:?} {now}");
    }
}

#[test]
fn dates_may_have_either_form_and_must_be_there() {
    let secret = secret();
    let request =
        |name, value| Made::new("GET", "", &[(name, value), ("authorization", "OSS a:b")]);
    for (name, value) in [
        ("date", "Thu, 15 Jan 2026 08:30:45 GMT"),
        ("date", "20260115T083045Z"),
        ("x-oss-date", "Thu, 15 Jan 2026 08:30:45 GMT"),
        ("x-oss-date", " 20260115T083045Z "),
    ] {
        assert!(is_mismatch(request(name, value).verify(&secret, NOW)), "{name}: {value}");
    }
    for (name, value) in
        [("date", ""), ("date", "yesterday"), ("x-oss-date", ""), ("other", "20260115T083045Z")]
    {
        let error = request(name, value).verify(&secret, NOW).unwrap_err();
        assert_eq!(brief(&error), "403 AccessDenied 0002-00000503", "{name}: {value}");
    }
    // The header of the service's own wins, even when it cannot be read.
    let both = request("x-oss-date", "never").with(vec![("date", "20260115T083045Z".into())]);
    assert_eq!(both.verify(&secret, NOW), Err(AuthError::InvalidDate));
}

#[test]
fn the_day_of_the_scope_is_the_day_of_the_date() {
    let secret = secret();
    let signed = example(Way::V4Header, &secret);
    let headers = signed
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8(value.to_vec()).unwrap();
            (name.to_owned(), value.replace("/20260115/", "/20260116/"))
        })
        .collect();
    let error = Made { headers, ..signed }.verify(&secret, NOW).unwrap_err();
    assert_eq!(brief(&error), "400 InvalidArgument 0002-00000212");
}

#[test]
fn checks_come_in_their_order() {
    let secret = secret();
    let good = example(Way::V4Header, &secret);
    let bad = Made { method: "PUT".into(), ..good.clone() };
    let late = NOW + 5000;
    let found = Lookup::Found { secret: &secret, signing_key: None };
    for (made, lookup, now, expected) in [
        (&bad, Lookup::Unknown, late, "403 InvalidAccessKeyId 0002-00000902"),
        (&bad, Lookup::Disabled, late, "403 InvalidAccessKeyId -"),
        (
            &bad,
            Lookup::BadToken(TokenFault::Expired),
            late,
            "403 RequestTimeTooSkewed 0002-00000504",
        ),
        (
            &bad,
            Lookup::BadToken(TokenFault::Expired),
            NOW,
            "403 SecurityTokenExpired 0002-00000007",
        ),
        (
            &bad,
            Lookup::BadToken(TokenFault::Invalid),
            NOW,
            "403 InvalidSecurityToken 0002-00000006",
        ),
        (
            &bad,
            Lookup::BadToken(TokenFault::Mismatch),
            NOW,
            "403 AccessKeyIdAndSecurityTokenNotMatch 0002-00000004",
        ),
        (
            &bad,
            Lookup::BadToken(TokenFault::OnLongTermKey),
            NOW,
            "403 InvalidAccessKeyId 0002-00000002",
        ),
        (&bad, Lookup::BadToken(TokenFault::NotSupported), NOW, "403 SecurityTokenNotSupported -"),
        (&bad, found, late, "403 RequestTimeTooSkewed 0002-00000504"),
        (&bad, found, NOW, "403 SignatureDoesNotMatch -"),
    ] {
        let error = made.verify_with(lookup, now).unwrap_err();
        assert_eq!(brief(&error), expected, "{lookup:?} at {now}");
    }
    assert_eq!(good.verify_with(found, NOW), Ok(Verified { leniency: None }));
}

#[test]
fn an_unknown_id_of_odd_characters_is_called_malformed() {
    let made =
        Made::new("GET", "", &[("date", "20260115T083045Z"), ("authorization", "OSS a-b:c")]);
    let error = made.verify_with(Lookup::Unknown, NOW).unwrap_err();
    assert_eq!(brief(&error), "403 InvalidAccessKeyId 0002-00000206");
    assert_eq!(error.fields(), [("OSSAccessKeyId", "a-b".to_owned())]);
}

#[test]
fn v1_parameters_left_unsigned_by_a_client_pass_in_headers_only() {
    let secret = secret();
    let plain = Made::new("GET", "acl", &[]);
    let with_process = |made: &Made| {
        let wire = format!("{}&x-oss-process=image%2Finfo", made.query.to_wire());
        Made { query: Query::parse(wire.as_bytes()).unwrap(), ..made.clone() }
    };
    let header = with_process(&sign(plain.clone(), Way::V1Header, &signer(&secret), &[]));
    let lenient = Ok(Verified { leniency: Some(Leniency::OssParametersUnsigned) });
    assert_eq!(header.verify(&secret, NOW), lenient);
    let url = with_process(&sign(plain, Way::V1Url, &signer(&secret), &[]));
    assert!(is_mismatch(url.verify(&secret, NOW)));
}

#[test]
fn regions_may_be_signed_or_not_in_v1() {
    let secret = secret();
    let mut made = Made::new("GET", "regions", &[]);
    made.target = Target::new(None, None);
    // One client signs the bare resource, another puts the parameter in.
    let unsigned = sign(made.clone(), Way::V1Header, &signer(&secret), &[]);
    assert_eq!(unsigned.verify(&secret, NOW), Ok(Verified { leniency: None }));
    let string = b"GET\n\n\n20260115T083045Z\n/?regions";
    let code = key::hmac_sha1_base64(secret.expose(), string);
    let signed = made.with(vec![
        ("date", "20260115T083045Z".into()),
        ("authorization", format!("OSS {ID}:{code}")),
    ]);
    assert_eq!(
        signed.verify(&secret, NOW),
        Ok(Verified { leniency: Some(Leniency::RegionsSigned) })
    );
}

/// A V1 header request signed over this canonical resource.
fn v1_signed_as(made: Made, secret: &Secret, resource: &str) -> Made {
    let string = format!("{}\n\n\n20260115T083045Z\n{resource}", made.method);
    let code = key::hmac_sha1_base64(secret.expose(), string.as_bytes());
    made.with(vec![
        ("date", "20260115T083045Z".into()),
        ("authorization", format!("OSS {ID}:{code}")),
    ])
}

#[test]
fn a_bucket_may_be_signed_without_its_slash_in_v1() {
    let secret = secret();
    let mut made = Made::new("GET", "list-type=2&prefix=odd/", &[]);
    made.target = Target::new(Some("examplebucket"), None);
    let signed = v1_signed_as(made.clone(), &secret, "/examplebucket");
    assert_eq!(signed.verify(&secret, NOW), Ok(Verified { leniency: Some(Leniency::BareBucket) }));
    let shorter = v1_signed_as(made, &secret, "/examplebucke");
    assert!(is_mismatch(shorter.verify(&secret, NOW)));
    let mut object = Made::new("GET", "", &[]);
    object.target = Target::new(Some("examplebucket"), Some("a/"));
    assert!(is_mismatch(v1_signed_as(object, &secret, "/examplebucket/a").verify(&secret, NOW)));
}

#[test]
fn an_empty_value_may_keep_its_equals_sign_in_v1() {
    let secret = secret();
    let resource = "/examplebucket/log/app.log?append=&position=3";
    let with = v1_signed_as(Made::new("POST", "append=&position=3", &[]), &secret, resource);
    assert_eq!(
        with.verify(&secret, NOW),
        Ok(Verified { leniency: Some(Leniency::EmptyValuesKept) })
    );
    let without = v1_signed_as(Made::new("POST", "append&position=3", &[]), &secret, resource);
    assert!(is_mismatch(without.verify(&secret, NOW)));
}

/// A V4 header request signed over a deviating canonical form.
fn v4_signed_as(made: Made, secret: &Secret, variant: V4Variant) -> Made {
    let scope = "20260115/cn-hangzhou/oss/aliyun_v4_request";
    let made = made.with(vec![("x-oss-date", "20260115T083045Z".into())]);
    let canonical = canonical::v4_request(&made.parts(), Carrier::Header, &[], variant);
    let signing_key = SigningKey::derive(secret, "20260115", "cn-hangzhou", "oss");
    let (_, signature) = canonical::v4_sign(&signing_key, "20260115T083045Z", scope, &canonical);
    let authorization = format!("OSS4-HMAC-SHA256 Credential={ID}/{scope},Signature={signature}");
    made.with(vec![("authorization", authorization)])
}

#[test]
fn empty_values_may_be_signed_with_or_without_in_v4() {
    let secret = secret();
    for (keep_equals, keep_empty_headers) in
        [(false, false), (true, false), (false, true), (true, true)]
    {
        let variant = V4Variant { keep_equals, keep_empty_headers };
        let made =
            Made::new("GET", "prefix=&acl&marker=a", &[("content-type", ""), ("content-md5", " ")]);
        let verdict = v4_signed_as(made, &secret, variant).verify(&secret, NOW);
        let expected = (keep_equals || keep_empty_headers).then_some(Leniency::EmptyValuesKept);
        assert_eq!(verdict, Ok(Verified { leniency: expected }), "{variant:?}");
    }
}

#[test]
fn canonical_texts_follow_their_rules() {
    let made = Made::new(
        "GET",
        "b=2&a-b=1&a=%2F+x&position=%20&acl=&uploads&x-oss-y=&x-oss-signature=zz&uploads=2",
        &[
            ("x-oss-meta-b", " padded  value "),
            ("content-type", "t"),
            ("x-oss-meta-a", "1"),
            ("x-oss-meta-a", "2"),
            ("range", "r"),
        ],
    );
    let v1 = canonical::v1_string(&made.parts(), "D", Default::default());
    let expected = "GET\n\nt\nD\nx-oss-meta-a:1,2\nx-oss-meta-b:padded  value\n\
                    /examplebucket/log/app.log?acl&position= &uploads&x-oss-signature=zz&x-oss-y";
    assert_eq!(String::from_utf8(v1).unwrap(), expected);

    let additional: Vec<Cow<'_, str>> = vec!["absent".into(), "range".into()];
    let v4 = canonical::v4_request(&made.parts(), Carrier::Query, &additional, Default::default());
    let expected = "GET\n/examplebucket/log/app.log\n\
                    a=%2F%20x&a-b=1&acl&b=2&position=%20&uploads&uploads=2&x-oss-y\n\
                    absent:\ncontent-type:t\nrange:r\nx-oss-meta-a:1,2\nx-oss-meta-b:padded  value\n\n\
                    absent;range\nUNSIGNED-PAYLOAD";
    assert_eq!(String::from_utf8(v4).unwrap(), expected);

    let v2 = canonical::v2_string(&made.parts(), "D", &additional);
    let expected = "GET\n\nt\nD\nabsent:\nrange:r\nx-oss-meta-a:1,2\nx-oss-meta-b:padded  value\n\
                    absent;range\n%2Fexamplebucket%2Flog%2Fapp.log\
                    ?a=%2F%20x&a-b=1&acl&b=2&position=%20&uploads&uploads=2&x-oss-y";
    assert_eq!(String::from_utf8(v2).unwrap(), expected);
}

#[test]
fn a_mismatch_tells_the_client_what_was_signed() {
    let secret = secret();
    let made = Made::new("GET", "", &[("date", "20260115T083045Z"), ("authorization", "OSS a:b")]);
    let answer = OssError::from(made.verify(&secret, NOW).unwrap_err());
    let string = "GET\n\n\n20260115T083045Z\n/examplebucket/log/app.log";
    let bytes: String = string.bytes().map(|byte| format!("{byte:02X} ")).collect();
    let expected = [
        ("OSSAccessKeyId", "a".to_owned()),
        ("SignatureProvided", "b".to_owned()),
        ("StringToSign", string.to_owned()),
        ("StringToSignBytes", bytes),
    ];
    assert_eq!(answer.fields(), expected);
    assert_eq!((answer.status(), answer.ec()), (403, Some("0002-00000040")));
}

#[test]
fn a_skewed_clock_is_told_the_servers_time() {
    let secret = secret();
    let error = example(Way::V1Header, &secret).verify(&secret, NOW + 1000).unwrap_err();
    let expected = [
        ("RequestTime", "2026-01-15T08:30:45.000Z".to_owned()),
        ("ServerTime", "2026-01-15T08:47:25.000Z".to_owned()),
        ("MaxAllowedSkewMilliseconds", "900000".to_owned()),
    ];
    assert_eq!(error.fields(), expected);
}
