use proptest::prelude::*;

use super::*;
use crate::attributes::{BucketAcl, StorageClass};
use crate::error::{EC_BUCKET_XML, EC_DELETE_XML, ErrorCode};

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// The document behind the declaration, which every one must have.
fn body(xml: &str) -> &str {
    xml.strip_prefix(DECLARATION).expect("a document starts with the declaration")
}

fn object(key: &str) -> ObjectSummary {
    ObjectSummary {
        key: key.to_owned(),
        last_modified: 1_554_781_349,
        etag: "5B3C1A2E053D763E1B002CC607C5A0FE".to_owned(),
        object_type: "Normal".into(),
        size: 344_606,
        storage_class: "Standard".into(),
        restore_info: None,
        transition_time: None,
    }
}

#[test]
fn a_version_1_listing_has_every_element_in_the_documented_order() {
    let listing = ListObjectsOutput {
        name: "b".into(),
        prefix: "".into(),
        marker: "".into(),
        delimiter: "/".into(),
        max_keys: 100,
        url_encoded: false,
        next_marker: Some("d/".into()),
        owner: Owner::account("1234"),
        contents: vec![object("a&b")],
        common_prefixes: vec!["d/".into()],
    };
    assert_eq!(
        body(&listing.to_xml()),
        "<ListBucketResult><Name>b</Name><Prefix></Prefix><Marker></Marker><MaxKeys>100</MaxKeys>\
         <Delimiter>/</Delimiter><IsTruncated>true</IsTruncated><NextMarker>d/</NextMarker>\
         <Contents><Key>a&amp;b</Key><LastModified>2019-04-09T03:42:29.000Z</LastModified>\
         <ETag>\"5B3C1A2E053D763E1B002CC607C5A0FE\"</ETag><Type>Normal</Type><Size>344606</Size>\
         <StorageClass>Standard</StorageClass><Owner><ID>1234</ID>\
         <DisplayName>1234</DisplayName></Owner></Contents>\
         <CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes></ListBucketResult>"
    );
}

#[test]
fn a_version_2_listing_tells_what_was_sent_and_encodes_what_is_asked() {
    let listing = ListObjectsV2Output {
        name: "b".into(),
        prefix: "a b+".into(),
        start_after: Some("a b+\u{1}".into()),
        continuation_token: None,
        delimiter: "/".into(),
        max_keys: 2,
        url_encoded: true,
        next_continuation_token: Some("dG9r".into()),
        owner: None,
        contents: vec![ObjectSummary {
            restore_info: Some("ongoing-request=\"true\"".into()),
            transition_time: Some(0),
            ..object("a b+目.~-_*")
        }],
        common_prefixes: vec!["a b+c/".into()],
    };
    assert_eq!(
        body(&listing.to_xml()),
        "<ListBucketResult><Name>b</Name><Prefix>a%20b%2B</Prefix>\
         <StartAfter>a%20b%2B%01</StartAfter><MaxKeys>2</MaxKeys><Delimiter>%2F</Delimiter>\
         <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
         <NextContinuationToken>dG9r</NextContinuationToken>\
         <Contents><Key>a%20b%2B%E7%9B%AE.~-_%2A</Key>\
         <LastModified>2019-04-09T03:42:29.000Z</LastModified>\
         <ETag>\"5B3C1A2E053D763E1B002CC607C5A0FE\"</ETag><Type>Normal</Type><Size>344606</Size>\
         <StorageClass>Standard</StorageClass>\
         <TransitionTime>1970-01-01T00:00:00.000Z</TransitionTime>\
         <RestoreInfo>ongoing-request=&quot;true&quot;</RestoreInfo></Contents>\
         <CommonPrefixes><Prefix>a%20b%2Bc%2F</Prefix></CommonPrefixes>\
         <KeyCount>2</KeyCount></ListBucketResult>"
    );
    let last = ListObjectsV2Output { continuation_token: Some("t".into()), ..Default::default() };
    let xml = last.to_xml();
    assert!(xml.contains("<ContinuationToken>t</ContinuationToken>"));
    assert!(xml.contains("<IsTruncated>false</IsTruncated>") && !xml.contains("<Next"));
}

#[test]
fn a_key_that_xml_can_not_carry_spoils_a_listing_that_did_not_ask_for_encoding() {
    let listing = ListObjectsOutput { contents: vec![object("a\u{1}b")], ..Default::default() };
    assert!(listing.to_xml().contains("<Key>a\u{1}b</Key>"));
    let listing = ListObjectsOutput { url_encoded: true, ..listing };
    assert!(listing.to_xml().contains("<Key>a%01b</Key>"));
}

#[test]
fn buckets_are_listed_with_page_elements_only_when_cut() {
    let bucket = BucketSummary {
        name: "b".into(),
        creation_date: 0,
        extranet_endpoint: "oss-cn-hangzhou.aliyuncs.com".into(),
        intranet_endpoint: "oss-cn-hangzhou-internal.aliyuncs.com".into(),
        location: "oss-cn-hangzhou".into(),
        region: "cn-hangzhou".into(),
        storage_class: "Standard".into(),
        resource_group_id: None,
        tags: Vec::new(),
    };
    let mut listing =
        ListBucketsOutput { owner: Owner::account("1"), page: None, buckets: vec![bucket] };
    assert_eq!(
        body(&listing.to_xml()),
        "<ListAllMyBucketsResult><Owner><ID>1</ID><DisplayName>1</DisplayName></Owner><Buckets>\
         <Bucket><CreationDate>1970-01-01T00:00:00.000Z</CreationDate>\
         <ExtranetEndpoint>oss-cn-hangzhou.aliyuncs.com</ExtranetEndpoint>\
         <IntranetEndpoint>oss-cn-hangzhou-internal.aliyuncs.com</IntranetEndpoint>\
         <Location>oss-cn-hangzhou</Location><Name>b</Name><Region>cn-hangzhou</Region>\
         <StorageClass>Standard</StorageClass></Bucket></Buckets></ListAllMyBucketsResult>"
    );
    listing.buckets.clear();
    listing.page = Some(BucketsPage {
        prefix: "x".into(),
        max_keys: 1,
        next_marker: Some("xy".into()),
        ..BucketsPage::default()
    });
    assert_eq!(
        body(&listing.to_xml()),
        "<ListAllMyBucketsResult><Prefix>x</Prefix><Marker></Marker><MaxKeys>1</MaxKeys>\
         <IsTruncated>true</IsTruncated><NextMarker>xy</NextMarker>\
         <Owner><ID>1</ID><DisplayName>1</DisplayName></Owner><Buckets></Buckets>\
         </ListAllMyBucketsResult>"
    );
}

#[test]
fn bucket_info_carries_what_sdks_assert() {
    let mut info = BucketInfo {
        name: "b".into(),
        creation_date: 0,
        extranet_endpoint: "e".into(),
        intranet_endpoint: "i".into(),
        location: "oss-cn-hangzhou".into(),
        storage_class: StorageClass::Standard,
        data_redundancy_type: DataRedundancyType::Lrs,
        versioning: None,
        block_public_access: false,
        owner: Owner::account("1"),
        acl: BucketAcl::PublicRead,
        sse_algorithm: None,
        log_bucket: String::new(),
        log_prefix: String::new(),
    };
    let xml = info.to_xml();
    assert_eq!(
        body(&xml),
        "<BucketInfo><Bucket><AccessMonitor>Disabled</AccessMonitor>\
         <BlockPublicAccess>false</BlockPublicAccess><Comment></Comment>\
         <CreationDate>1970-01-01T00:00:00.000Z</CreationDate>\
         <CrossRegionReplication>Disabled</CrossRegionReplication>\
         <DataRedundancyType>LRS</DataRedundancyType><ExtranetEndpoint>e</ExtranetEndpoint>\
         <IntranetEndpoint>i</IntranetEndpoint><Location>oss-cn-hangzhou</Location><Name>b</Name>\
         <StorageClass>Standard</StorageClass><ResourceGroupId>rg-default-id</ResourceGroupId>\
         <TransferAcceleration>Disabled</TransferAcceleration>\
         <Owner><ID>1</ID><DisplayName>1</DisplayName></Owner>\
         <AccessControlList><Grant>public-read</Grant></AccessControlList>\
         <ServerSideEncryptionRule><SSEAlgorithm>None</SSEAlgorithm></ServerSideEncryptionRule>\
         <BucketPolicy><LogBucket></LogBucket><LogPrefix></LogPrefix></BucketPolicy>\
         </Bucket></BucketInfo>"
    );
    info.versioning = Some(VersioningStatus::Suspended);
    assert!(info.to_xml().contains("<Versioning>Suspended</Versioning>"));
}

#[test]
fn small_answers_are_the_documented_ones() {
    assert_eq!(
        body(&LocationConstraint("oss-cn-hangzhou".into()).to_xml()),
        "<LocationConstraint>oss-cn-hangzhou</LocationConstraint>"
    );
    let policy = AccessControlPolicy {
        owner: Owner::account("1"),
        grant: BucketAcl::Private.as_str().into(),
    };
    assert_eq!(
        body(&policy.to_xml()),
        "<AccessControlPolicy><Owner><ID>1</ID><DisplayName>1</DisplayName></Owner>\
         <AccessControlList><Grant>private</Grant></AccessControlList></AccessControlPolicy>"
    );
    assert_eq!(AccessControlPolicy::parse(policy.to_xml().as_bytes()), Ok(policy));
    assert_eq!(
        body(&ListLiveChannelOutput { max_keys: 100, ..Default::default() }.to_xml()),
        "<ListLiveChannelResult><Prefix></Prefix><Marker></Marker><MaxKeys>100</MaxKeys>\
         <IsTruncated>false</IsTruncated><NextMarker></NextMarker></ListLiveChannelResult>"
    );
    assert_eq!(
        body(&AccessMonitorConfiguration.to_xml()),
        "<AccessMonitorConfiguration><Status>Disabled</Status></AccessMonitorConfiguration>"
    );
    let copy = CopyObjectOutput { etag: "AB".into(), last_modified: 1_545_990_116 };
    assert_eq!(
        body(&copy.to_xml()),
        "<CopyObjectResult><ETag>\"AB\"</ETag>\
         <LastModified>2018-12-28T09:41:56.000Z</LastModified></CopyObjectResult>"
    );
    assert_eq!(CopyObjectOutput::parse(copy.to_xml().as_bytes()), Ok(copy));
}

#[test]
fn bucket_statistics_name_every_class() {
    let stat = BucketStat {
        storage: 10,
        object_count: 3,
        last_modified_time: 7,
        archive: ClassStat { storage: 4, object_count: 1 },
        ..Default::default()
    };
    let xml = stat.to_xml();
    for element in [
        "<Storage>10</Storage>",
        "<ObjectCount>3</ObjectCount>",
        "<MultipartUploadCount>0</MultipartUploadCount>",
        "<LiveChannelCount>0</LiveChannelCount>",
        "<LastModifiedTime>7</LastModifiedTime>",
        "<StandardStorage>0</StandardStorage>",
        "<StandardObjectCount>0</StandardObjectCount>",
        "<InfrequentAccessStorage>0</InfrequentAccessStorage>",
        "<InfrequentAccessRealStorage>0</InfrequentAccessRealStorage>",
        "<InfrequentAccessObjectCount>0</InfrequentAccessObjectCount>",
        "<ArchiveStorage>4</ArchiveStorage>",
        "<ArchiveRealStorage>4</ArchiveRealStorage>",
        "<ArchiveObjectCount>1</ArchiveObjectCount>",
        "<ColdArchiveStorage>0</ColdArchiveStorage>",
        "<ColdArchiveRealStorage>0</ColdArchiveRealStorage>",
        "<ColdArchiveObjectCount>0</ColdArchiveObjectCount>",
        "<DeepColdArchiveStorage>0</DeepColdArchiveStorage>",
        "<DeepColdArchiveRealStorage>0</DeepColdArchiveRealStorage>",
        "<DeepColdArchiveObjectCount>0</DeepColdArchiveObjectCount>",
        "<MultipartPartCount>0</MultipartPartCount>",
        "<DeleteMarkerCount>0</DeleteMarkerCount>",
    ] {
        assert!(xml.contains(element), "{element}");
    }
}

#[test]
fn a_versioning_body_needs_a_known_status_unless_it_is_an_answer() {
    let parse = |xml: &str| VersioningConfiguration::parse(xml.as_bytes());
    for status in [None, Some(VersioningStatus::Enabled), Some(VersioningStatus::Suspended)] {
        let configuration = VersioningConfiguration { status };
        assert_eq!(parse(&configuration.to_xml()), Ok(configuration));
    }
    let unset = VersioningConfiguration::default();
    assert_eq!(body(&unset.to_xml()), "<VersioningConfiguration></VersioningConfiguration>");
    assert_eq!(parse("<VersioningConfiguration/>"), Ok(unset));
    let padded = "<VersioningConfiguration>\n<Status> Enabled </Status></VersioningConfiguration>";
    assert_eq!(parse(padded).unwrap().status, Some(VersioningStatus::Enabled));
    assert_eq!(
        parse("<VersioningConfiguration><Status>Disabled</Status></VersioningConfiguration>"),
        Err(XmlError::Value("Status"))
    );
}

#[test]
fn the_body_of_put_bucket_defaults_what_it_does_not_name() {
    let parse = |xml: &str| CreateBucketConfiguration::parse(xml.as_bytes());
    let none = CreateBucketConfiguration::default();
    for empty in [
        "",
        "  \n",
        "<CreateBucketConfiguration/>",
        "<CreateBucketConfiguration><StorageClass></StorageClass><DataRedundancyType/>\
         </CreateBucketConfiguration>",
    ] {
        assert_eq!(parse(empty).as_ref(), Ok(&none), "{empty}");
    }
    let both = CreateBucketConfiguration {
        storage_class: Some(StorageClass::Ia),
        data_redundancy_type: Some(DataRedundancyType::Zrs),
        location: Some("oss-cn-hangzhou".into()),
    };
    assert_eq!(parse(&both.to_xml()), Ok(both));
    let bad = |inner: &str| {
        parse(&format!("<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>"))
            .unwrap_err()
    };
    let class = bad("<StorageClass>Glacier</StorageClass>");
    assert_eq!(
        (class.code(), class.message()),
        (ErrorCode::InvalidArgument, "No such bucket storage class exists.")
    );
    assert_eq!(
        bad("<DataRedundancyType>X</DataRedundancyType>").code(),
        ErrorCode::InvalidArgument
    );
    let broken = parse("<CreateBucketConfiguration>").unwrap_err();
    assert_eq!((broken.code(), broken.ec()), (ErrorCode::MalformedXML, Some(EC_BUCKET_XML)));
    assert_eq!(parse("<Other/>").unwrap_err().code(), ErrorCode::MalformedXML);
}

#[test]
fn a_delete_body_is_read_in_every_spelling_that_clients_use() {
    let parse = |xml: &str| DeleteObjectsInput::parse(xml.as_bytes());
    let one = |key: &str| ObjectIdentifier { key: key.into(), version_id: None };
    let input = parse(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- c --><Delete xmlns=\"x\">\n\
         <Object><Key> a&amp;b&lt;&#39;&#x41;&quot;&apos;&gt; </Key></Object>\n\
         <Unknown><Key>no</Key></Unknown>\
         <Object><VersionId>v1</VersionId><Key><![CDATA[<raw>]]>&#13;</Key></Object>\
         <Quiet>True</Quiet></Delete>\n",
    )
    .unwrap();
    assert!(input.quiet);
    assert_eq!(
        input.objects,
        [
            one(" a&b<'A\"'> "),
            ObjectIdentifier { key: "<raw>\r".into(), version_id: Some("v1".into()) }
        ]
    );
    let loud = parse("<Delete><Object><Key>k</Key><VersionId/></Object></Delete>").unwrap();
    assert_eq!(loud, DeleteObjectsInput { quiet: false, objects: vec![one("k")] });
}

#[test]
fn a_delete_body_past_its_bounds_is_malformed() {
    let parse = |xml: &str| DeleteObjectsInput::parse(xml.as_bytes());
    let many = |count: usize| {
        let objects = (0..count)
            .map(|i| ObjectIdentifier { key: format!("k{i}"), version_id: Some("v".into()) });
        DeleteObjectsInput { quiet: true, objects: objects.collect() }
    };
    let full = many(DELETE_OBJECTS_MAX);
    assert_eq!(parse(&full.to_xml()), Ok(full));
    assert_eq!(
        parse(&many(DELETE_OBJECTS_MAX + 1).to_xml()),
        Err(XmlError::TooMany { element: "Object", limit: DELETE_OBJECTS_MAX })
    );
    let padding = " ".repeat(DELETE_BYTES_MAX);
    let one = "<Delete><Object><Key>k</Key></Object></Delete>";
    assert_eq!(
        parse(&format!("{one}{padding}")),
        Err(XmlError::TooLong { limit: DELETE_BYTES_MAX })
    );
    assert!(parse(&format!("{one}{}", &padding[one.len()..])).is_ok());
    for (bad, error) in [
        ("<Delete></Delete>", XmlError::Missing("Object")),
        ("<Delete><Object/></Delete>", XmlError::Missing("Key")),
        ("<Delete><Object><Key></Key></Object></Delete>", XmlError::Missing("Key")),
        (
            "<Delete><Quiet>maybe</Quiet><Object><Key>k</Key></Object></Delete>",
            XmlError::Value("Quiet"),
        ),
        ("<delete/>", XmlError::Root { expected: "Delete" }),
    ] {
        assert_eq!(parse(bad), Err(error), "{bad}");
    }
    let wire = XmlError::DocType.into_oss(EC_DELETE_XML);
    assert_eq!((wire.code(), wire.ec()), (ErrorCode::MalformedXML, Some(EC_DELETE_XML)));
    assert_eq!(wire.fields()[0].0, "ErrorDetail");
}

#[test]
fn the_reader_refuses_what_could_grow_or_loop() {
    const TINY: Limits = Limits { bytes: 4096, depth: 3, elements: 5 };
    let parse = |xml: &str| Element::parse(xml.as_bytes(), TINY).map(|_| ());
    let bomb = "<!DOCTYPE a [<!ENTITY x \"xxxx\"><!ENTITY y \"&x;&x;\">]><a>&y;</a>";
    for (bad, error) in [
        (bomb, XmlError::DocType),
        ("<!DOCTYPE a><a/>", XmlError::DocType),
        ("<a>&x;</a>", XmlError::Entity),
        ("<a>&#xFFFFFFFF;</a>", XmlError::Entity),
        ("<a>&#xD800;</a>", XmlError::Entity),
        ("<a>&#;</a>", XmlError::Entity),
        ("<a><b><c><d/></c></b></a>", XmlError::TooComplex),
        ("<a><b/><b/><b/><b/><b/></a>", XmlError::TooComplex),
        ("", XmlError::Malformed),
        ("   ", XmlError::Malformed),
        ("text", XmlError::Malformed),
        ("<a>", XmlError::Malformed),
        ("<a></b>", XmlError::Malformed),
        ("</a>", XmlError::Malformed),
        ("<a/><b/>", XmlError::Malformed),
        ("<a/>trailing", XmlError::Malformed),
        ("&amp;<a/>", XmlError::Malformed),
        ("<a>a & b</a>", XmlError::Malformed),
        ("<a>&amp</a>", XmlError::Malformed),
        ("<a", XmlError::Malformed),
        ("<a><![CDATA[x</a>", XmlError::Malformed),
        ("<a><!-- x</a>", XmlError::Malformed),
    ] {
        assert_eq!(parse(bad), Err(error), "{bad}");
    }
    assert_eq!(parse("<a><b><c/></b></a>"), Ok(()));
    assert_eq!(parse("<a><b/><b/><b/><b/></a>"), Ok(()));
    assert_eq!(Element::parse(b"<a>\xff</a>", TINY), Err(XmlError::NotUtf8));
    assert_eq!(parse(&"x".repeat(4097)), Err(XmlError::TooLong { limit: 4096 }));
}

#[test]
fn listings_of_other_servers_are_read_whatever_their_layout() {
    let listing = ListObjectsOutput::parse(
        b"<ListBucketResult xmlns=\"http://doc.oss-cn-hangzhou.aliyuncs.com\">\n\
          <Contents><Size>5</Size><ETag>&quot;AB&quot;</ETag><Key>b</Key>\n\
          <LastModified>2012-02-24T08:43:07.123Z</LastModified><Type>Appendable</Type></Contents>\n\
          <IsTruncated>true</IsTruncated><NextMarker>b</NextMarker><EncodingType>URL</EncodingType>\
          <CommonPrefixes><Prefix>x%2F</Prefix><Prefix>y+z</Prefix></CommonPrefixes>\
          <Name>n</Name></ListBucketResult>",
    )
    .unwrap();
    assert_eq!(listing.contents[0].etag, "AB");
    assert_eq!(listing.contents[0].last_modified, 1_330_072_987);
    assert_eq!(listing.contents[0].object_type, "Appendable");
    assert_eq!(listing.common_prefixes, ["x/", "y+z"]);
    assert_eq!(listing.next_marker.as_deref(), Some("b"));
    let broken = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
    assert_eq!(ListObjectsOutput::parse(broken.as_bytes()), Err(XmlError::Missing("NextMarker")));
    assert_eq!(
        ListObjectsV2Output::parse(broken.as_bytes()),
        Err(XmlError::Missing("NextContinuationToken"))
    );
    let empty = broken.replace("</ListBucketResult>", "<NextMarker/></ListBucketResult>");
    assert_eq!(ListObjectsOutput::parse(empty.as_bytes()), Err(XmlError::Missing("NextMarker")));
}

#[test]
fn deleted_keys_are_read_back_and_an_empty_body_names_none() {
    let output = DeleteObjectsOutput {
        url_encoded: true,
        deleted: vec![
            DeletedObject {
                key: "a \u{1}".into(),
                version_id: None,
                delete_marker_version_id: None,
            },
            DeletedObject {
                key: "b".into(),
                version_id: Some("v".into()),
                delete_marker_version_id: Some("m".into()),
            },
        ],
    };
    let xml = output.to_xml();
    assert_eq!(
        body(&xml),
        "<DeleteResult><EncodingType>url</EncodingType><Deleted><Key>a%20%01</Key></Deleted>\
         <Deleted><Key>b</Key><VersionId>v</VersionId><DeleteMarker>true</DeleteMarker>\
         <DeleteMarkerVersionId>m</DeleteMarkerVersionId></Deleted></DeleteResult>"
    );
    assert_eq!(DeleteObjectsOutput::parse(xml.as_bytes()), Ok(output));
    assert_eq!(DeleteObjectsOutput::parse(b" "), Ok(DeleteObjectsOutput::default()));
}

/// Text that XML can carry, white space at the edges included.
const TEXT: &str = "[^\\p{Cc}\u{fffe}\u{ffff}]{0,12}[\r\n\t ]?";
/// As `TEXT`, never blank, for names of pages.
const NAME: &str = "[a-z&<>\"'+%/é目]{1,8}";

fn summaries() -> impl Strategy<Value = Vec<ObjectSummary>> {
    let summary = (TEXT, 0i64..10_000_000_000, "[0-9A-F]{32}(-[0-9]{1,4})?", any::<u64>());
    let entry = summary.prop_map(|(key, last_modified, etag, size)| ObjectSummary {
        key,
        last_modified,
        etag,
        size,
        ..object("")
    });
    proptest::collection::vec(entry, 0..4)
}

proptest! {
    #[test]
    fn a_version_1_listing_is_read_back_as_it_was_written(
        texts in proptest::collection::vec(TEXT, 3),
        next_marker in proptest::option::of(NAME),
        url_encoded: bool,
        contents in summaries(),
        common_prefixes in proptest::collection::vec(NAME, 0..3),
    ) {
        let owner = if contents.is_empty() { Owner::default() } else { Owner::account("12") };
        let [prefix, marker, delimiter] = texts.try_into().unwrap();
        let listing = ListObjectsOutput {
            name: "bucket".into(), prefix, marker, delimiter, max_keys: 7, url_encoded,
            next_marker, owner, contents, common_prefixes,
        };
        prop_assert_eq!(ListObjectsOutput::parse(listing.to_xml().as_bytes()), Ok(listing));
    }

    #[test]
    fn a_version_2_listing_is_read_back_as_it_was_written(
        texts in proptest::collection::vec(TEXT, 2),
        start_after in proptest::option::of(TEXT),
        continuation_token in proptest::option::of(NAME),
        next_continuation_token in proptest::option::of(NAME),
        url_encoded: bool,
        contents in summaries(),
        with_owner: bool,
    ) {
        let owner = (with_owner && !contents.is_empty()).then(|| Owner::account("12"));
        let [prefix, delimiter] = texts.try_into().unwrap();
        let listing = ListObjectsV2Output {
            name: "bucket".into(), prefix, start_after, continuation_token, delimiter, max_keys: 7,
            url_encoded, next_continuation_token, owner, contents, common_prefixes: vec![],
        };
        prop_assert_eq!(ListObjectsV2Output::parse(listing.to_xml().as_bytes()), Ok(listing));
    }

    #[test]
    fn a_bucket_listing_is_read_back_as_it_was_written(
        names in proptest::collection::vec("[a-z]{3,9}", 0..4),
        page in proptest::option::of((TEXT, TEXT, proptest::option::of("[a-z]{3}"))),
    ) {
        let listing = ListBucketsOutput {
            owner: Owner::account("1"),
            page: page.map(|(prefix, marker, next_marker)| BucketsPage {
                prefix, marker, max_keys: 3, next_marker,
            }),
            buckets: names.into_iter().map(|name| BucketSummary {
                tags: vec![("k".into(), name.clone())], name, storage_class: "IA".into(), ..Default::default()
            }).collect(),
        };
        prop_assert_eq!(ListBucketsOutput::parse(listing.to_xml().as_bytes()), Ok(listing));
    }

    #[test]
    fn keys_to_delete_are_read_back_as_they_were_written(
        keys in proptest::collection::vec("\\PC[\\x01-\\x7f]{0,9}", 1..5),
        quiet: bool,
    ) {
        // Even control characters, which a lenient reader takes from clients that do not escape them.
        let objects = keys.into_iter().map(|key| ObjectIdentifier { key, version_id: None });
        let input = DeleteObjectsInput { quiet, objects: objects.collect() };
        prop_assert_eq!(DeleteObjectsInput::parse(input.to_xml().as_bytes()), Ok(input));
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>, xmlish in "(<[a-zA-Z/!?\\[\\]-]{0,9}>?|&#?x?[0-9a-z]{0,4};?|[a-z ]){0,20}") {
        for document in [&bytes[..], xmlish.as_bytes()] {
            let _ = DeleteObjectsInput::parse(document);
            let _ = ListObjectsOutput::parse(document);
            let _ = ListObjectsV2Output::parse(document);
            let _ = ListBucketsOutput::parse(document);
            let _ = DeleteObjectsOutput::parse(document);
            let _ = CopyObjectOutput::parse(document);
            let _ = VersioningConfiguration::parse(document);
            let _ = CreateBucketConfiguration::parse(document);
            let _ = AccessControlPolicy::parse(document);
        }
    }

    #[test]
    fn a_damaged_listing_never_panics(at: prop::sample::Index, byte: u8) {
        let listing = ListObjectsOutput {
            contents: vec![object("a")], url_encoded: true, ..Default::default()
        };
        let mut xml = listing.to_xml().into_bytes();
        let at = at.index(xml.len());
        xml[at] = byte;
        let _ = ListObjectsOutput::parse(&xml);
    }
}
