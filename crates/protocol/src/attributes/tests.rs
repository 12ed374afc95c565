use proptest::prelude::*;

use super::*;
use crate::auth::HeaderList;
use crate::error::ErrorCode;
use crate::names::{BucketName, ObjectKey};
use crate::query::Query;

fn headers(lines: &[(&str, &[u8])]) -> HeaderList {
    lines.iter().copied().collect()
}

fn one(name: &str, value: &str) -> HeaderList {
    headers(&[(name, value.as_bytes())])
}

#[test]
fn a_request_without_headers_makes_an_octet_stream_of_all_defaults() {
    let attributes = ObjectAttributes::parse(&HeaderList::new()).unwrap();
    assert_eq!(attributes, ObjectAttributes::default());
    assert_eq!(&attributes.headers.content_type[..], b"application/octet-stream");
    // One client sends an empty type where it knows none.
    let empty = headers(&[("Content-Type", b""), ("Cache-Control", b" ")]);
    assert_eq!(ObjectAttributes::parse(&empty).unwrap(), ObjectAttributes::default());
}

#[test]
fn stored_headers_come_back_byte_for_byte() {
    let sent: &[(&str, &[u8])] = &[
        ("content-type", b"text/plain; charset=\xe4"),
        ("cache-control", b"no-cache"),
        ("content-disposition", "attachment; filename=目录".as_bytes()),
        ("content-encoding", b"utf-8"),
        ("content-language", b"de"),
        ("expires", b"whenever, 0"),
        ("x-oss-meta-author-1", "作者".as_bytes()),
        ("x-oss-meta-latin", b"\xe9\xff"),
        ("x-oss-meta-empty", b""),
    ];
    let mut lines = sent.to_vec();
    lines.push(("x-oss-persistent-headers", b"X-Own:djE=,other:w6k="));
    lines.push(("X-Oss-Meta-Author-1", b"a second line does not count"));
    let attributes = ObjectAttributes::parse(&headers(&lines)).unwrap();
    let mut back = Vec::new();
    attributes.headers.for_each(|name, value| back.push((name.to_owned(), value.to_vec())));
    let mut expected: Vec<(String, Vec<u8>)> =
        sent.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    expected.push(("x-own".into(), b"v1".to_vec()));
    expected.push(("other".into(), "é".as_bytes().to_vec()));
    assert_eq!(back, expected);
}

#[test]
fn metadata_names_and_size_are_bounded() {
    let value = |length: usize| vec![b'x'; length];
    let full = headers(&[("x-oss-meta-a", &value(METADATA_BYTES_MAX - 1))]);
    assert_eq!(user_metadata(&full).unwrap().len(), 1);
    let over = headers(&[("x-oss-meta-a", &value(8000)), ("x-oss-meta-b", &value(191))]);
    for bad in [
        over,
        headers(&[("x-oss-meta-a", &value(METADATA_BYTES_MAX))]),
        one("x-oss-meta-", "v"),
        one("x-oss-meta-a_b", "v"),
        one("x-oss-meta-a.b", "v"),
    ] {
        let refusal = user_metadata(&bad).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::InvalidArgument);
        assert_eq!(refusal.ec(), Some("0011-00000002"));
    }
}

#[test]
fn persistent_headers_of_a_wrong_form_are_refused_with_a_reason() {
    for (value, reason) in [
        ("novalue", "format"),
        (":djE=", "token"),
        ("a b:djE=", "token"),
        ("n\u{e9}:djE=", "token"),
        ("a:%%%", "base64"),
        ("a:/w==", "UTF-8"),
        ("a:YQ0KYg==", "CR or LF"),
        ("a:YQBi", "CR or LF"),
        ("x-oss-request-id:djE=", "reserved"),
        ("Content-Type:djE=", "reserved"),
        ("set-cookie:djE=", "reserved"),
        ("a:djE=,A:djE=", "repeated"),
        ("a:djE=,", "format"),
    ] {
        let refusal = persistent_headers(&one("x-oss-persistent-headers", value)).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::InvalidArgument);
        assert!(refusal.message().contains(reason), "{value}: {}", refusal.message());
    }
    let empty = one("x-oss-persistent-headers", "");
    assert_eq!(persistent_headers(&empty), Ok(vec![]));
}

#[test]
fn classes_and_acls_are_words_and_nothing_else() {
    assert_eq!(storage_class(&HeaderList::new()), Ok(None));
    let class = one("x-oss-storage-class", "IA");
    assert_eq!(storage_class(&class), Ok(Some(StorageClass::Ia)));
    let acl = one("x-oss-object-acl", "public-read");
    assert_eq!(object_acl(&acl), Ok(Some(ObjectAcl::PublicRead)));
    assert_eq!(bucket_acl(&one("x-oss-acl", "private")), Ok(Some(BucketAcl::Private)));
    for (refusal, ec) in [
        (storage_class(&one("x-oss-storage-class", "ia")).unwrap_err(), None),
        (object_acl(&one("x-oss-object-acl", "mine")).unwrap_err(), None),
        (bucket_acl(&one("x-oss-acl", "default")).unwrap_err(), Some("0015-00000204")),
    ] {
        assert_eq!((refusal.code(), refusal.ec()), (ErrorCode::InvalidArgument, ec));
        assert!(refusal.fields().iter().any(|(name, _)| *name == "ArgumentValue"));
    }
    assert!(object_acl(&headers(&[("x-oss-object-acl", b"\xff")])).is_err());
    for class in StorageClass::ALL {
        let cold = matches!(class, StorageClass::ColdArchive | StorageClass::DeepColdArchive);
        assert_eq!(class.takes_appends(), !cold);
    }
}

#[test]
fn tags_are_decoded_and_held_to_their_rules() {
    let parse = |value: &str| Tags::from_headers(&one("x-oss-tagging", value));
    let tags = |value: &str| {
        let tags = parse(value).unwrap().unwrap();
        tags.as_slice().iter().map(|tag| format!("{}|{}", tag.key, tag.value)).collect::<Vec<_>>()
    };
    assert_eq!(Tags::from_headers(&HeaderList::new()), Ok(None));
    assert!(parse("").unwrap().unwrap().is_empty());
    assert_eq!(tags("k1=v1&k2"), ["k1|v1", "k2|"]);
    assert_eq!(tags("a+b=c%2Bd%26".trim_end_matches("%26")), ["a b|c+d"]);
    assert_eq!(tags("%E7%9B%AE=+-=._:/"), ["目| -=._:/"]);
    assert_eq!(tags(&"k".repeat(128)), [format!("{}|", "k".repeat(128))]);
    assert_eq!(tags(&format!("k={}", "v".repeat(256))).len(), 1);
    let ten = (0..10).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join("&");
    assert_eq!(tags(&ten).len(), OBJECT_TAGS_MAX);

    for (bad, code) in [
        ("k=1&k=2".to_owned(), ErrorCode::InvalidArgument),
        (format!("{ten}&k10=v"), ErrorCode::InvalidArgument),
        (format!("{ten}&k1=v"), ErrorCode::InvalidArgument),
        ("k=%FF".to_owned(), ErrorCode::InvalidArgument),
        ("=v".to_owned(), ErrorCode::InvalidTag),
        ("k*=v".to_owned(), ErrorCode::InvalidTag),
        ("k=v%26".to_owned(), ErrorCode::InvalidTag),
        ("k".repeat(129), ErrorCode::InvalidTag),
        (format!("k={}", "v".repeat(257)), ErrorCode::InvalidTag),
    ] {
        assert_eq!(parse(&bad).unwrap_err().code(), code, "{bad}");
    }
}

#[test]
fn digests_are_sixteen_bytes_of_base64() {
    let empty = one("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
    let digest = content_md5(&empty).unwrap().unwrap();
    assert_eq!(digest[..4], [0xd4, 0x1d, 0x8c, 0xd9]);
    assert_eq!(content_md5(&HeaderList::new()), Ok(None));
    for bad in [
        "",
        "abc",
        "1B2M2Y8AsgTpgAmY7PhCfg",
        "1B2M2Y8AsgTpgAmY7PhC",
        "d41d8cd98f00b204e9800998ecf8427e",
    ] {
        let refusal = content_md5(&one("content-md5", bad)).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.ec()),
            (ErrorCode::InvalidDigest, Some("0017-00000502")),
            "{bad}"
        );
    }
    let crc = one("x-oss-hash-crc64ecma", "18446744073709551615");
    assert_eq!(hash_crc64(&crc), Ok(Some(u64::MAX)));
    for bad in ["", "-1", "+1", "18446744073709551616", "0x1", "1.0"] {
        assert!(hash_crc64(&one("x-oss-hash-crc64ecma", bad)).is_err(), "{bad}");
    }
}

#[test]
fn a_typing_error_never_lets_an_object_be_overwritten() {
    let forbid = |value: &str| forbid_overwrite(&one("x-oss-forbid-overwrite", value));
    assert_eq!(forbid_overwrite(&HeaderList::new()), Ok(false));
    assert_eq!(forbid("true"), Ok(true));
    assert_eq!(forbid("True"), Ok(true));
    assert_eq!(forbid("false"), Ok(false));
    assert_eq!(forbid(""), Ok(false));
    for bad in ["tru", "1", "yes"] {
        assert_eq!(forbid(bad).unwrap_err().code(), ErrorCode::InvalidArgument);
    }
}

#[test]
fn encryption_and_conditions_that_are_not_done_are_refused_by_name() {
    let asked = |lines: &[(&'static str, &'static str)]| {
        encryption(&lines.iter().copied().collect::<HeaderList>()).map_err(|error| error.code())
    };
    const NAME: &str = "x-oss-server-side-encryption";
    assert_eq!(asked(&[]), Ok(false));
    assert_eq!(asked(&[(NAME, "AES256")]), Ok(true));
    assert_eq!(asked(&[(NAME, "KMS")]), Err(ErrorCode::KmsServiceNotEnabled));
    for other in ["SM4", "aes256", ""] {
        assert_eq!(asked(&[(NAME, other)]), Err(ErrorCode::InvalidEncryptionAlgorithmError));
    }
    let key = ("x-oss-server-side-encryption-key-id", "k");
    assert_eq!(asked(&[(NAME, "AES256"), key]), Err(ErrorCode::InvalidArgument));
    assert_eq!(asked(&[key, (NAME, "KMS")]), Err(ErrorCode::KmsServiceNotEnabled));
    let data = ("x-oss-server-side-data-encryption", "SM4");
    assert_eq!(asked(&[data]), Err(ErrorCode::InvalidEncryptionAlgorithmError));
    let other = ("x-oss-server-side-other", "x");
    assert_eq!(asked(&[other, (NAME, "AES256")]), Err(ErrorCode::NotImplemented));
    // What a client encrypted by itself is plain metadata.
    let own = one("x-oss-meta-client-side-encryption-key", "x");
    assert_eq!(encryption(&own), Ok(false));
    let condition = refuse_conditions(&one("if-modified-since", "x")).unwrap_err();
    assert_eq!(condition.code(), ErrorCode::NotImplemented);
    assert_eq!(condition.fields(), [("Header", "If-Modified-Since".to_owned())]);
    assert_eq!(refuse_conditions(&HeaderList::new()), Ok(()));
}

#[test]
fn traffic_limits_come_from_one_place_and_within_bounds() {
    let limit = |header: Option<&str>, query: &str| {
        let lines = header.map(|value| ("x-oss-traffic-limit", value));
        let lines: HeaderList = lines.into_iter().collect();
        traffic_limit(&lines, &Query::parse(query.as_bytes()).unwrap())
    };
    assert_eq!(limit(None, ""), Ok(None));
    assert_eq!(limit(Some("245760"), ""), Ok(Some(245_760)));
    assert_eq!(limit(None, "x-oss-traffic-limit=838860800"), Ok(Some(838_860_800)));
    let both = limit(Some("245760"), "x-oss-traffic-limit=245760").unwrap_err();
    assert!(both.message().contains("not both"));
    for bad in ["245759", "838860801", "x", "", "-1"] {
        assert_eq!(limit(Some(bad), "").unwrap_err().code(), ErrorCode::InvalidArgument, "{bad}");
    }
}

#[test]
fn directives_are_taken_in_any_case() {
    let directive = |value: &str| metadata_directive(&one("x-oss-metadata-directive", value));
    assert_eq!(metadata_directive(&HeaderList::new()), Ok(Directive::Copy));
    assert_eq!(directive("COPY"), Ok(Directive::Copy));
    assert_eq!(directive("Replace"), Ok(Directive::Replace));
    assert_eq!(directive("move").unwrap_err().code(), ErrorCode::InvalidArgument);
    let tagging = one("x-oss-tagging-directive", "REPLACE");
    assert_eq!(tagging_directive(&tagging), Ok(Directive::Replace));
}

#[test]
fn a_copy_source_is_read_in_every_spelling_that_clients_use() {
    let parse = |value: &str| CopySource::from_headers(&one("x-oss-copy-source", value));
    assert_eq!(CopySource::from_headers(&HeaderList::new()), Ok(None));
    for (value, key, version) in [
        ("/src/a/b", "a/b", None),
        ("src/a/b", "a/b", None),
        ("/src/a%2Fb", "a/b", None),
        ("%2Fsrc%2Fa", "a", None),
        ("/src/a+b%2Bc%20d", "a b+c d", None),
        ("/src/%E7%9B%AE", "目", None),
        ("/src/a?b", "a?b", None),
        ("/src/a%3FversionId=1", "a?versionId=1", None),
        ("/src/a?versionId=CAEQ%2D", "a", Some("CAEQ-")),
        ("/src/a?versionId=1?versionId=2", "a?versionId=1", Some("2")),
        ("/src/a?versionId=null", "a", Some("null")),
    ] {
        let source = parse(value).unwrap().unwrap();
        assert_eq!(source.bucket.as_str(), "src", "{value}");
        assert_eq!(source.key.as_str(), key, "{value}");
        assert_eq!(source.version_id.as_deref(), version, "{value}");
    }
    for (bad, code) in [
        ("", ErrorCode::InvalidArgument),
        ("/", ErrorCode::InvalidArgument),
        ("/src", ErrorCode::InvalidArgument),
        ("/src/", ErrorCode::InvalidArgument),
        ("//key", ErrorCode::InvalidArgument),
        ("/src/%FF", ErrorCode::InvalidArgument),
        ("/src/a?versionId=", ErrorCode::InvalidArgument),
        ("/SRC/a", ErrorCode::InvalidBucketName),
        ("/src//a", ErrorCode::InvalidObjectName),
    ] {
        assert_eq!(parse(bad).unwrap_err().code(), code, "{bad}");
    }
}

proptest! {
    #[test]
    fn copy_sources_and_tags_are_read_back_as_they_were_written(
        key in "\\PC{1,30}",
        version_id in proptest::option::of("[A-Za-z0-9-]{1,20}"),
        value in "[a-z0-9 +=._:/-]{0,20}",
    ) {
        if let Ok(key) = ObjectKey::new(&key) {
            let bucket = BucketName::new("src").unwrap();
            let source = CopySource { bucket, key, version_id };
            let read = CopySource::from_headers(&one("x-oss-copy-source", &source.to_header()));
            prop_assert_eq!(read, Ok(Some(source)));
        }
        let tags = Tags::new(vec![Tag { key: "k".into(), value }]).unwrap();
        let read = Tags::from_headers(&one("x-oss-tagging", &tags.to_header()));
        prop_assert_eq!(read, Ok(Some(tags)));
    }

    #[test]
    fn garbage_in_any_header_never_panics(value: Vec<u8>) {
        for name in [
            "x-oss-meta-a", "x-oss-persistent-headers", "x-oss-tagging", "x-oss-storage-class",
            "x-oss-object-acl", "content-md5", "x-oss-hash-crc64ecma", "x-oss-copy-source",
            "x-oss-traffic-limit", "x-oss-forbid-overwrite", "x-oss-metadata-directive",
        ] {
            let headers = headers(&[(name, &value)]);
            let _ = ObjectAttributes::parse(&headers);
            let _ = content_md5(&headers);
            let _ = hash_crc64(&headers);
            let _ = CopySource::from_headers(&headers);
            let _ = traffic_limit(&headers, &Query::new());
            let _ = forbid_overwrite(&headers);
            let _ = metadata_directive(&headers);
        }
    }
}
