//! Every operation that reads a document, with documents that are broken, or made to hurt: `buckets.md` §1, `errors.md` §3.
//!
//! One table for all of them. An operation that is refused as a whole is left out until it is done.

use ossia_protocol::operation::{Operation, State};

use crate::drive::*;

/// Longest document that any operation takes, in bytes.
const LONGEST: usize = 4 << 20;

/// An operation with a document that it takes. `#` stands where a number belongs.
struct Kind {
    operation: Operation,
    /// `{id}` is an upload that waits for its end.
    request: fn(&str) -> Call,
    document: &'static str,
    number: &'static str,
}

const fn kind(
    operation: Operation,
    request: fn(&str) -> Call,
    document: &'static str,
    number: &'static str,
) -> Kind {
    Kind { operation, request, document, number }
}

/// The table has a line for each operation of this list, which the test holds against what answers to a document.
const KINDS: &[Kind] = &[
    kind(
        Operation::PutBucket,
        |_| put("/new/"),
        "<CreateBucketConfiguration><StorageClass>IA</StorageClass></CreateBucketConfiguration>",
        "",
    ),
    kind(
        Operation::DeleteMultipleObjects,
        |_| post("/bkt/?delete"),
        "<Delete><Quiet>true</Quiet><Object><Key>other</Key></Object></Delete>",
        "",
    ),
    kind(
        Operation::CompleteMultipartUpload,
        |id| post(&format!("/bkt/parts?uploadId={id}")),
        "<CompleteMultipartUpload><Part><PartNumber>#</PartNumber><ETag>5D41402ABC4B2A76B9719D911017C592</ETag></Part>\
         </CompleteMultipartUpload>",
        "1",
    ),
    kind(
        Operation::PutBucketVersioning,
        |_| put("/bkt/?versioning"),
        "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
        "",
    ),
    kind(
        Operation::PutBucketLifecycle,
        |_| put("/bkt/?lifecycle"),
        "<LifecycleConfiguration><Rule><ID>a</ID><Prefix>a/</Prefix><Status>Enabled</Status><Expiration><Days>#</Days>\
         </Expiration></Rule></LifecycleConfiguration>",
        "9",
    ),
    kind(
        Operation::PutBucketCors,
        |_| put("/bkt/?cors"),
        "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>\
         <MaxAgeSeconds>#</MaxAgeSeconds></CORSRule></CORSConfiguration>",
        "9",
    ),
    kind(
        Operation::PutBucketTags,
        |_| put("/bkt/?tagging"),
        "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
        "",
    ),
    kind(
        Operation::PutBucketReferer,
        |_| put("/bkt/?referer"),
        "<RefererConfiguration><AllowEmptyReferer>true</AllowEmptyReferer><RefererList><Referer>http://a.test</Referer>\
         </RefererList></RefererConfiguration>",
        "",
    ),
    kind(
        Operation::PutBucketWebsite,
        |_| put("/bkt/?website"),
        "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument><RoutingRules><RoutingRule>\
         <RuleNumber>#</RuleNumber><Condition><KeyPrefixEquals>a</KeyPrefixEquals></Condition><Redirect><RedirectType>\
         External</RedirectType><HostName>a.test</HostName></Redirect></RoutingRule></RoutingRules></WebsiteConfiguration>",
        "1",
    ),
    kind(
        Operation::PutBucketLogging,
        |_| put("/bkt/?logging"),
        "<BucketLoggingStatus><LoggingEnabled><TargetBucket>bkt</TargetBucket><TargetPrefix>l/</TargetPrefix>\
         </LoggingEnabled></BucketLoggingStatus>",
        "",
    ),
    kind(
        Operation::PutBucketRequestPayment,
        |_| put("/bkt/?requestPayment"),
        "<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>",
        "",
    ),
    kind(
        Operation::PutBucketInventory,
        |_| put("/bkt/?inventory&inventoryId=a"),
        "<InventoryConfiguration><Id>a</Id><IsEnabled>false</IsEnabled><Destination><OSSBucketDestination><Format>CSV\
         </Format><AccountId>1</AccountId><RoleArn>acs:ram::1:role/r</RoleArn><Bucket>acs:oss:::bkt</Bucket>\
         </OSSBucketDestination></Destination><Schedule><Frequency>Daily</Frequency></Schedule><IncludedObjectVersions>\
         All</IncludedObjectVersions></InventoryConfiguration>",
        "",
    ),
    kind(
        Operation::InitiateBucketWorm,
        |_| post("/worm/?worm"),
        "<InitiateWormConfiguration><RetentionPeriodInDays>#</RetentionPeriodInDays></InitiateWormConfiguration>",
        "1",
    ),
    kind(
        Operation::PutBucketObjectWormConfiguration,
        |_| put("/held/?objectWorm"),
        "<ObjectWormConfiguration><ObjectWormEnabled>Enabled</ObjectWormEnabled><Rule><DefaultRetention><Mode>COMPLIANCE\
         </Mode><Days>#</Days></DefaultRetention></Rule></ObjectWormConfiguration>",
        "1",
    ),
    kind(
        Operation::PutBucketOverwriteConfig,
        |_| put("/bkt/?overwriteConfig"),
        "<OverwriteConfiguration><Rule><ID>a</ID><Action>forbid</Action></Rule></OverwriteConfiguration>",
        "",
    ),
    kind(
        Operation::PutBucketPublicAccessBlock,
        |_| put("/bkt/?publicAccessBlock"),
        "<PublicAccessBlockConfiguration><BlockPublicAccess>false</BlockPublicAccess></PublicAccessBlockConfiguration>",
        "",
    ),
    kind(
        Operation::PutPublicAccessBlock,
        |_| put("/?publicAccessBlock"),
        "<PublicAccessBlockConfiguration><BlockPublicAccess>false</BlockPublicAccess></PublicAccessBlockConfiguration>",
        "",
    ),
    kind(
        Operation::PutBucketStorageQuota,
        |_| put("/bkt/?quota"),
        "<QuotaConfiguration><StorageQuota>#</StorageQuota><Mode>Strict</Mode></QuotaConfiguration>",
        "1000000",
    ),
    kind(
        Operation::PutObjectTagging,
        |_| put("/bkt/key?tagging"),
        "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
        "",
    ),
    kind(
        Operation::RestoreObject,
        |_| post("/bkt/cold?restore"),
        "<RestoreRequest><Days>#</Days></RestoreRequest>",
        "1",
    ),
];

impl Kind {
    fn is_refused(&self) -> bool {
        matches!(self.operation.standing().state, State::Refused(_))
    }

    fn good(&self) -> String {
        self.document.replace('#', self.number)
    }

    /// The name of the root element.
    fn root(&self) -> &'static str {
        self.document.trim_start_matches('<').split('>').next().unwrap()
    }
}

/// A bucket with what the requests of the table need, and the id of an upload.
async fn prepared() -> (Fixture, String) {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key").body("x")).await.expect(200);
    let cold = put("/bkt/cold").header("x-oss-storage-class", "ColdArchive");
    fixture.call(cold.body("x")).await.expect(200);
    // A bucket keeps one policy of retention, and no versions that are suspended beside it.
    for bucket in ["/worm", "/held"] {
        fixture.call(put(bucket)).await.expect(200);
    }
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    fixture.call(put("/held/?versioning").body(enabled)).await.expect(200);
    let started = fixture.call(post("/bkt/parts?uploads")).await.expect(200);
    let id = started.element("UploadId").unwrap();
    let part = put(&format!("/bkt/parts?partNumber=1&uploadId={id}")).body("hello");
    fixture.call(part).await.expect(200);
    (fixture, id)
}

fn refused_as(answer: Response, what: &str, codes: &[&str]) {
    let shown = format!("{what}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.status, 400, "{shown}");
    let code = answer.element("Code").unwrap_or_default();
    assert!(codes.contains(&code.as_str()), "{shown}");
    answer.error(400, &code);
}

#[tokio::test]
async fn documents_that_are_broken_or_made_to_hurt_are_malformed_to_every_operation() {
    let (fixture, id) = prepared().await;
    for kind in KINDS.iter().filter(|kind| !kind.is_refused()) {
        let (good, root) = (kind.good(), kind.root());
        let inner = &good[root.len() + 2..];
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">\
                    <!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]>";
        let outside = "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/hostname\">]>";
        let documents: [(&str, Vec<u8>); 16] = [
            ("text", b"no document".to_vec()),
            ("cut short", good.as_bytes()[..good.len() / 2].to_vec()),
            ("an end too few", good.trim_end_matches('>').as_bytes().to_vec()),
            ("another root", good.replace(root, "Other").into_bytes()),
            ("a root in another case", good.replace(root, &root.to_lowercase()).into_bytes()),
            ("two roots", [good.as_str(), good.as_str()].concat().into_bytes()),
            ("ends crossed", format!("<{root}><a><b></a></b>{inner}").into_bytes()),
            ("an entity bomb", format!("{bomb}<{root}>&c;{inner}").into_bytes()),
            ("an entity from outside", format!("{outside}<{root}>&a;{inner}").into_bytes()),
            ("an entity that nobody defined", format!("<{root}>&nbsp;{inner}").into_bytes()),
            ("a character that cannot be", format!("<{root}>&#x110000;{inner}").into_bytes()),
            ("deep", format!("<{root}>{}{inner}", "<a>".repeat(50_000)).into_bytes()),
            ("deep and closed", {
                let (open, close) = ("<a>".repeat(5_000), "</a>".repeat(5_000));
                format!("<{root}>{open}{close}{inner}").into_bytes()
            }),
            ("wide", format!("<{root}>{}{inner}", "<a/>".repeat(200_000)).into_bytes()),
            ("long", format!("<{root}>{}{inner}", " ".repeat(LONGEST)).into_bytes()),
            ("no UTF-8", [format!("<{root}>").as_bytes(), b"\xff\xfe", inner.as_bytes()].concat()),
        ];
        for (what, document) in documents {
            let what = format!("{}, {what}", kind.operation);
            let answer = fixture.call((kind.request)(&id).body(&document)).await;
            refused_as(answer, &what, &["MalformedXML"]);
            if document.len() < 10_000 {
                let answer = fixture.call((kind.request)(&id).body(&document).chunked()).await;
                refused_as(answer, &what, &["MalformedXML"]);
            }
        }
        // What all of them were made of is taken.
        let answer = fixture.call((kind.request)(&id).body(&good)).await;
        assert!(matches!(answer.status, 200 | 202 | 204), "{}: {answer:?}", kind.operation);
    }
    fixture.call(head("/bkt/key")).await.expect(200);
}

#[tokio::test]
async fn absurd_numbers_are_refused_by_every_operation_that_reads_one() {
    let (fixture, id) = prepared().await;
    for kind in KINDS.iter().filter(|kind| !kind.is_refused() && !kind.number.is_empty()) {
        for number in [
            "-1",
            "-9223372036854775809",
            "18446744073709551616",
            "340282366920938463463374607431768211456",
            "1e9",
            "0x10",
            "1.5",
            "NaN",
            "one",
            "1 2",
            "\u{661}",
        ] {
            let what = format!("{}, {number}", kind.operation);
            let document = kind.document.replace('#', number);
            let answer = fixture.call((kind.request)(&id).body(&document)).await;
            refused_as(answer, &what, &["MalformedXML", "InvalidArgument"]);
        }
    }
}

#[tokio::test]
async fn a_document_without_end_is_refused_before_it_has_come() {
    let (fixture, id) = prepared().await;
    for kind in KINDS.iter().filter(|kind| !kind.is_refused()) {
        // Announced: nothing of it is waited for.
        let announced = (kind.request)(&id).header("content-length", "1099511627776");
        let mut connection = fixture.connect().await;
        connection.send(announced.head_bytes(&fixture)).await;
        let answer = connection.response(false).await;
        refused_as(answer, &format!("{}, announced", kind.operation), &["MalformedXML"]);
        // In chunks: as soon as it is longer than any may be.
        let unending = (kind.request)(&id).body("").chunked();
        let mut connection = fixture.connect().await;
        connection.send(unending.head_bytes(&fixture)).await;
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 65_536], b"\r\n"].concat();
        for _ in 0..=LONGEST / 65_536 {
            connection.send(&chunk).await;
        }
        let answer = connection.response(false).await;
        refused_as(answer, &format!("{}, in chunks", kind.operation), &["MalformedXML"]);
    }
}
