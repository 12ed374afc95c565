use proptest::prelude::*;

use super::*;

const ID: &str = "5C3D9175B6FC201293ADA1B2";
const HOST: &str = "bucket.oss-cn-hangzhou.aliyuncs.com";

#[test]
fn the_xml_is_the_documented_one_to_the_byte() {
    assert_eq!(
        OssError::no_such_key("a<b").to_xml(ID, HOST),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>\
         <RequestId>5C3D9175B6FC201293ADA1B2</RequestId>\
         <HostId>bucket.oss-cn-hangzhou.aliyuncs.com</HostId>\
         <Key>a&lt;b</Key><EC>0026-00000001</EC></Error>"
    );
}

#[test]
fn a_wrong_position_tells_the_next_one_in_headers_that_sdks_read() {
    let error = OssError::position_not_equal_to_length(11, Some(u64::MAX));
    assert_eq!((error.status(), error.ec()), (409, Some("0026-00000016")));
    assert_eq!(error.message(), "Position is not equal to file length");
    assert_eq!(
        error.headers(),
        [
            ("x-oss-next-append-position", "11".to_owned()),
            ("x-oss-hash-crc64ecma", "18446744073709551615".to_owned())
        ]
    );
    let absent = OssError::position_not_equal_to_length(0, None);
    assert_eq!(absent.headers(), [("x-oss-next-append-position", "0".to_owned())]);
}

#[test]
fn every_error_of_append_has_its_status_message_and_ec() {
    let md5 = "The Content-MD5 you specified was invalid.";
    for (error, status, code, message, ec) in [
        (
            OssError::missing_position(),
            400,
            "MissingArgument",
            "Missing Some Required Arguments.",
            Some("0016-00000501"),
        ),
        (
            OssError::bad_position("-1"),
            400,
            "InvalidArgument",
            "The position must be a non-negative decimal integer.",
            Some("0016-00000502"),
        ),
        (
            OssError::append_storage_class("ColdArchive"),
            400,
            "InvalidArgument",
            "The storage class does not support appendable objects.",
            Some("0016-00000503"),
        ),
        (OssError::malformed_content_md5(), 400, "InvalidDigest", md5, Some("0017-00000502")),
        (OssError::content_md5_mismatch(), 400, "InvalidDigest", md5, Some("0017-00000503")),
        (
            OssError::append_sealed(),
            400,
            "AppendSealedObjectNotAllowed",
            "The object is sealed and can not be appended.",
            None,
        ),
        (
            OssError::inline_data_too_large(5, Some(6)),
            400,
            "InlineDataTooLarge",
            "Inline data exceeds the maximum allowed size.",
            None,
        ),
        (
            OssError::header_not_implemented("x-oss-server-side-encryption"),
            400,
            "NotImplemented",
            "A header you provided implies functionality that is not implemented.",
            None,
        ),
        (
            OssError::no_such_bucket("b"),
            404,
            "NoSuchBucket",
            "The specified bucket does not exist.",
            Some("0015-00000101"),
        ),
        (
            OssError::object_not_appendable(),
            409,
            "ObjectNotAppendable",
            "The object is not appendable.",
            Some("0026-00000017"),
        ),
        (
            ErrorCode::FileImmutable.into(),
            409,
            "FileImmutable",
            "The object you specified is immutable.",
            None,
        ),
        (
            ErrorCode::MissingContentLength.into(),
            411,
            "MissingContentLength",
            "You must provide the Content-Length HTTP header.",
            None,
        ),
    ] {
        assert_eq!(error.status(), status, "{code}");
        assert_eq!(error.code().as_str(), code);
        assert_eq!(error.message(), message);
        assert_eq!(error.ec(), ec, "{code}");
    }
}

#[test]
fn codes_are_unique_have_statuses_of_errors_and_are_found_by_name() {
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_name(code.as_str()), Some(*code));
        assert!(!code.message().is_empty());
        // 203 and 304 are the only ones outside 4xx and 5xx.
        assert!(
            (400..600).contains(&code.status()) || matches!(code.status(), 203 | 304),
            "{code:?}"
        );
        // Those that SDKs retry are kept for what may pass.
        assert!(!matches!(code.status(), 401 | 408 | 429), "{code:?}");
    }
    assert_eq!(ErrorCode::NotImplemented.status(), 400);
    assert_eq!(ErrorCode::from_name("BadDigest"), None);
}

#[test]
fn what_a_client_sent_can_not_break_the_xml() {
    let hostile = "\u{0}\u{1b}]]>&<!--\u{fffe}\r\n\"'";
    let xml = OssError::invalid_argument("marker", hostile, "bad").to_xml(ID, hostile);
    let parsed = parse_error_xml(xml.as_bytes()).unwrap();
    let shown = "\u{fffd}\u{fffd}]]>&<!--\u{fffd}\r\n\"'";
    assert_eq!(parsed.field("ArgumentValue"), Some(shown));
    assert_eq!(parsed.host_id, shown.trim());
}

#[test]
fn every_character_that_xml_can_not_carry_is_replaced() {
    for number in (0..=0x1f).chain([0x7f, 0x80, 0xfffd, 0xfffe, 0xffff, 0x1_0000]) {
        let character = char::from_u32(number).unwrap();
        let xml = OssError::no_such_key(&character.to_string()).to_xml(ID, HOST);
        let illegal = (number < 0x20 && !matches!(character, '\t' | '\n' | '\r'))
            || matches!(number, 0xfffe | 0xffff);
        let parsed = parse_error_xml(xml.as_bytes()).unwrap();
        let shown = if illegal { '\u{fffd}' } else { character };
        assert_eq!(parsed.field("Key"), Some(shown.to_string().as_str()), "{number:x}");
    }
}

#[test]
fn long_values_are_cut_and_the_header_form_stays_short() {
    let error = OssError::no_such_key(&"é".repeat(20_000));
    let (_, value) = &error.fields()[0];
    assert_eq!(value.len(), FIELD_BYTES_MAX);

    let short = parse_x_oss_err(OssError::no_such_key("k").x_oss_err(ID, HOST).as_bytes()).unwrap();
    assert_eq!(short.field("Key"), Some("k"));
    let header = error.x_oss_err(ID, HOST);
    assert!(header.len() < 4096 && !header.contains('\n'), "{}", header.len());
    let parsed = parse_x_oss_err(header.as_bytes()).unwrap();
    assert_eq!((parsed.code.as_str(), parsed.ec.as_str()), ("NoSuchKey", "0026-00000001"));
    assert_eq!(parsed.field("Key"), None);
}

#[test]
fn errors_of_other_servers_are_read_whatever_their_layout() {
    let parsed = parse_error_xml(
        b"<Error xmlns=\"http://doc.oss-cn-hangzhou.aliyuncs.com\">\n  <HostId> h </HostId>\n\
          <Code>\n NoSuchKey </Code><Unknown><Deep>x</Deep></Unknown><Message>no &amp; no</Message>\
          <EC/><Key> k </Key></Error>",
    )
    .unwrap();
    assert_eq!(parsed.code, "NoSuchKey");
    assert_eq!(parsed.message, "no & no");
    assert_eq!(parsed.host_id, "h");
    assert_eq!(parsed.request_id, "");
    assert_eq!(parsed.fields, [("Key".to_owned(), " k ".to_owned())]);
    for other in
        [&b""[..], b"<Error/>", b"<Errors><Code>x</Code></Errors>", b"{}", b"<Error><Code>"]
    {
        assert_eq!(parse_error_xml(other), None);
    }
    assert_eq!(parse_x_oss_err(b"not base64!"), None);
}

proptest! {
    #[test]
    fn an_error_is_read_back_as_it_was_written(
        code in prop::sample::select(ErrorCode::ALL),
        message in "[^\\p{Cc}\u{fffe}\u{ffff}]{0,40}",
        value in "[^\\p{Cc}\u{fffe}\u{ffff}]{0,40}",
    ) {
        let error = OssError::new(code).with_message(message.clone()).with_field("Key", &value);
        let parsed = parse_error_xml(error.to_xml(ID, HOST).as_bytes()).unwrap();
        prop_assert_eq!(parsed.code, code.as_str());
        prop_assert_eq!(parsed.message, message);
        prop_assert_eq!(parsed.request_id, ID);
        prop_assert_eq!(parsed.host_id, HOST);
        prop_assert_eq!(parsed.ec, code.ec().unwrap_or_default());
        prop_assert_eq!(parsed.fields, [("Key".to_owned(), value)]);
    }

    #[test]
    fn garbage_is_no_error_document(bytes: Vec<u8>) {
        prop_assert_eq!(parse_error_xml(&bytes), None);
        let _ = parse_x_oss_err(&bytes);
    }
}
