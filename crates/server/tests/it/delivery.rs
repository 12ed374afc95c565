//! What the server writes into buckets by itself: access logs and inventory reports.

use std::time::Duration;

use md5::{Digest as _, Md5};

use crate::drive::*;
use crate::post::form;

/// Asks until the answer is as wanted, for as long as any test waits.
async fn until<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    let looked = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looked).await.expect("it never came")
}

async fn keys(fixture: &Fixture, bucket: &str) -> Vec<String> {
    fixture.call(get(&format!("/{bucket}/"))).await.expect(200).elements("Key")
}

async fn logging(fixture: &Fixture, prefix: &str) {
    let document = format!(
        "<BucketLoggingStatus><LoggingEnabled><TargetBucket>logs</TargetBucket>\
         <TargetPrefix>{prefix}</TargetPrefix></LoggingEnabled></BucketLoggingStatus>"
    );
    fixture.call(put("/bkt/?logging").body(document)).await.expect(200);
}

#[tokio::test]
async fn every_request_to_a_logged_bucket_is_a_line_of_its_log() {
    let fixture = Fixture::with(|config| config.logging.flush_ms = 5).await;
    fixture.make_bucket("bkt").await;
    fixture.make_bucket("logs").await;
    // Somebody else's object has the first name of the hour.
    let first = "p/bkt2026-01-15-08-00-00-0001";
    fixture.call(put(&format!("/logs/{first}")).body("mine")).await.expect(200);
    logging(&fixture, "p/").await;
    fixture
        .call(put("/bkt/a%20b").body("12345").header("user-agent", "me \"too\""))
        .await
        .expect(200);
    let read = get("/bkt/a%20b?x-tag=1").header("referer", "http://r/");
    let read = fixture.call(read).await.expect(200);
    fixture.call(append("/bkt/log", 0, "123")).await.expect(200);
    fixture.call(append("/bkt/log", 0, "123")).await.error(409, "PositionNotEqualToLength");
    fixture.call(get("/bkt/none?Signature=x").anonymous()).await;
    fixture.call(head("/bkt/a%20b")).await.expect(200);
    let posted = form("by form", "1").v1(r#"[{"bucket":"bkt"}]"#);
    fixture.call(posted.call()).await.expect(204);
    let second = "p/bkt2026-01-15-08-00-00-0002";
    let log = until(|| async {
        let found = fixture.call(get(&format!("/logs/{second}"))).await;
        (found.status == 200 && found.text().lines().count() >= 7).then_some(found)
    })
    .await;
    assert_eq!(log.must("x-oss-object-type"), "Appendable");
    assert_eq!(keys(&fixture, "logs").await, [first, second]);
    assert_eq!(fixture.call(get(&format!("/logs/{first}"))).await.text(), "mine");
    let text = log.text();
    let line = |operation: &str| {
        let found = text.lines().find(|line| line.contains(&format!("\"{operation}\"")));
        found.unwrap_or_else(|| panic!("no {operation} in {text}")).to_owned()
    };
    let account = element(&fixture.call(get("/bkt/?acl")).await.text(), "ID").unwrap();
    let got = line("GetObject");
    assert!(
        got.starts_with(
            "127.0.0.1 - - [15/Jan/2026:08:30:45 +0000] \"GET /bkt/a%20b?x-tag=1 HTTP/1.1\" 200 5 "
        ),
        "{got}"
    );
    let posted = line("PostObject");
    assert!(posted.contains("\"PostObject\" \"bkt\" \"by%20form\" "), "{posted}");
    let id = read.must("x-oss-request-id");
    let middle = format!(
        "\"http://r/\" \"-\" \"{}\" \"{id}\" \"true\" \"{account}\" \"GetObject\" \"bkt\" \"a%20b\" 5 ",
        fixture.host()
    );
    assert!(got.contains(&middle), "{got}\n{middle}");
    let end = format!(
        " \"{account}\" - \"-\" \"standard\" \"-\" \"-\" \"ossia\" \"acs:oss:*:{account}:bkt\""
    );
    assert!(got.ends_with(&end), "{got}\n{end}");
    assert!(line("PutObject").contains("\"me %22too%22\""));
    assert!(text.contains("\"PositionNotEqualToLength\""), "{text}");
    assert!(
        text.lines().any(|line| line.contains("\"AppendObject\" \"bkt\" \"log\" 3 ")),
        "{text}"
    );
    assert!(!text.contains("Signature"), "{text}");
    // What waits when the server stops is delivered; what the server writes is not logged.
    assert!(text.lines().all(|line| line.contains("\"bkt\"")), "{text}");
    assert!(fixture.stop().await);
}

#[tokio::test]
async fn a_bucket_that_logs_into_itself_does_not_log_its_log() {
    let fixture = Fixture::with(|config| config.logging.flush_ms = 5).await;
    fixture.make_bucket("bkt").await;
    fixture.make_bucket("logs").await;
    let document = "<BucketLoggingStatus><LoggingEnabled><TargetBucket>bkt</TargetBucket>\
                    <TargetPrefix>l/</TargetPrefix></LoggingEnabled></BucketLoggingStatus>";
    fixture.call(put("/bkt/?logging").body(document)).await.expect(200);
    fixture.call(put("/bkt/a").body("1")).await.expect(200);
    let name = "/bkt/l/bkt2026-01-15-08-00-00-0001";
    let found = until(|| async {
        let found = fixture.call(get(name)).await;
        (found.status == 200).then_some(found)
    })
    .await;
    assert!(found.text().contains("\"PutObject\" \"bkt\" \"a\""));
    // Everything is a request of this test: no line tells of an append.
    fixture.call(delete("/bkt/?logging")).await.expect(204);
    let end = fixture.call(get(name)).await.expect(200).text();
    assert!(!end.contains("AppendObject"), "{end}");
}

#[tokio::test]
async fn lines_for_a_target_that_is_gone_are_lost_and_nothing_else_is() {
    let fixture = Fixture::with(|config| config.logging.flush_ms = 5).await;
    fixture.make_bucket("bkt").await;
    fixture.make_bucket("logs").await;
    logging(&fixture, "").await;
    fixture.call(put("/bkt/first").body("1")).await.expect(200);
    until(|| async { (!keys(&fixture, "logs").await.is_empty()).then_some(()) }).await;
    for key in keys(&fixture, "logs").await {
        fixture.call(delete(&format!("/logs/{key}"))).await.expect(204);
    }
    fixture.call(delete("/logs/")).await;
    for number in 0..20 {
        fixture.call(put(&format!("/bkt/{number}")).body("1")).await.expect(200);
    }
    assert_eq!(keys(&fixture, "bkt").await.len(), 21);
    assert!(fixture.stop().await);
}

fn rule(id: &str, frequency: &str, versions: &str, filter: &str, fields: &str) -> String {
    format!(
        "<InventoryConfiguration><Id>{id}</Id><IsEnabled>true</IsEnabled>{filter}<Destination>\
         <OSSBucketDestination><Format>CSV</Format><AccountId>1</AccountId><RoleArn>r</RoleArn>\
         <Bucket>acs:oss:::reports</Bucket><Prefix>in/</Prefix></OSSBucketDestination></Destination>\
         <Schedule><Frequency>{frequency}</Frequency></Schedule>\
         <IncludedObjectVersions>{versions}</IncludedObjectVersions>\
         <OptionalFields>{fields}</OptionalFields></InventoryConfiguration>"
    )
}

async fn manifest(fixture: &Fixture, folder: &str) -> serde_json::Value {
    let target = format!("/reports/{folder}/manifest.json");
    let found = until(|| async {
        let found = fixture.call(get(&target)).await;
        (found.status == 200).then_some(found)
    })
    .await;
    let checksum = fixture.call(get(&format!("/reports/{folder}/manifest.checksum"))).await;
    let md5: String = Md5::digest(&found.body).iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(checksum.expect(200).text(), md5);
    serde_json::from_slice(&found.body).unwrap()
}

async fn rows(fixture: &Fixture, manifest: &serde_json::Value) -> Vec<Vec<String>> {
    let mut files = Vec::new();
    for file in manifest["files"].as_array().unwrap() {
        let found = fixture.call(get(&format!("/reports/{}", file["key"].as_str().unwrap()))).await;
        let found = found.expect(200);
        assert_eq!(file["size"], found.body.len());
        let md5: String =
            Md5::digest(&found.body).iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(file["MD5checksum"].as_str(), Some(md5.as_str()));
        let mut text = String::new();
        let mut decoder = flate2::read::GzDecoder::new(found.body.as_slice());
        std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
        files.push(text.lines().map(str::to_owned).collect());
    }
    files
}

#[tokio::test]
async fn a_report_is_encrypted_as_its_rule_asks() {
    let fixture = Fixture::with(|config| config.inventory.look_ms = 5).await;
    fixture.make_bucket("bkt").await;
    fixture.make_bucket("reports").await;
    fixture.call(put("/bkt/key").body("1")).await.expect(200);
    let plain = rule("plain", "Once", "Current", "", "");
    let end = "</Prefix></OSSBucketDestination>";
    let asking = |id: &str, way: &str| {
        let asked = format!("</Prefix><Encryption>{way}</Encryption></OSSBucketDestination>");
        rule(id, "Once", "Current", "", "").replace(end, &asked)
    };
    let sealed = asking("sealed", "<SSE-OSS/>");
    for (id, document) in [("plain", &plain), ("sealed", &sealed)] {
        let target = format!("/bkt/?inventory&inventoryId={id}");
        fixture.call(put(&target).body(document)).await.expect(200);
    }
    let told = fixture.call(get("/bkt/?inventory&inventoryId=sealed")).await.expect(200).text();
    assert!(told.contains("<Encryption><SSE-OSS></SSE-OSS></Encryption>"), "{told}");
    for (id, wanted) in [("plain", None), ("sealed", Some("AES256"))] {
        let made = manifest(&fixture, &format!("in/bkt/{id}/2026-01-15T08-30Z")).await;
        assert_eq!(rows(&fixture, &made).await, [vec!["bkt,\"key\"".to_owned()]]);
        let keys = keys(&fixture, "reports").await;
        let folder = format!("in/bkt/{id}/");
        let of_rule: Vec<_> = keys.iter().filter(|key| key.starts_with(&folder)).collect();
        assert_eq!(of_rule.len(), 3, "{keys:?}");
        for key in of_rule {
            let found = fixture.call(head(&format!("/reports/{key}"))).await.expect(200);
            assert_eq!(found.header("x-oss-server-side-encryption"), wanted, "{key}");
        }
    }
    for (way, code) in [
        ("<SSE-KMS><KeyId>k</KeyId></SSE-KMS>", "KmsServiceNotEnabled"),
        ("<SSE-OSS/><SSE-KMS/>", "KmsServiceNotEnabled"),
        ("<Other/>", "InvalidArgument"),
    ] {
        let call = put("/bkt/?inventory&inventoryId=other").body(asking("other", way));
        fixture.call(call).await.error(400, code);
    }
}

#[tokio::test]
async fn an_inventory_lists_the_bucket_in_its_turn() {
    let fixture = Fixture::with(|config| {
        config.inventory.look_ms = 5;
        config.inventory.file_rows = 2;
    })
    .await;
    fixture.make_bucket("bkt").await;
    fixture.make_bucket("reports").await;
    for (key, body) in [("dir/a%26b", "123"), ("dir/c", "12345"), ("dir/d", "1"), ("other", "1")] {
        fixture.call(put(&format!("/bkt/{key}")).body(body)).await.expect(200);
    }
    fixture.call(append("/bkt/dir/log", 0, "1234")).await.expect(200);
    let fields = "<Field>Size</Field><Field>StorageClass</Field><Field>LastModifiedDate</Field>\
                  <Field>ObjectType</Field><Field>TaggingCount</Field>\
                  <Field>IsMultipartUploaded</Field><Field>EncryptionStatus</Field>";
    let filter = "<Filter><Prefix>dir/</Prefix><LowerSizeBound>2</LowerSizeBound></Filter>";
    let document = rule("one", "Daily", "Current", filter, fields);
    fixture.call(put("/bkt/?inventory&inventoryId=one").body(document)).await.expect(200);
    let base = "in/bkt/one";
    let made = manifest(&fixture, &format!("{base}/2026-01-15T08-30Z")).await;
    assert_eq!(made["sourceBucket"], "bkt");
    assert_eq!(made["destinationBucket"], "reports");
    assert_eq!(made["fileFormat"], "CSV");
    assert_eq!(made["creationTimestamp"], NOW.to_string());
    assert_eq!(
        made["fileSchema"],
        "Bucket, Key, Size, StorageClass, LastModifiedDate, ObjectType, TaggingCount, \
         IsMultipartUploaded, EncryptionStatus"
    );
    let tail = "\"Standard\",\"2026-01-15T08-30-45Z\"";
    let more = "\"0\",\"false\",\"false\"";
    assert_eq!(
        rows(&fixture, &made).await,
        [
            vec![
                format!("bkt,\"dir%2Fa%26b\",\"3\",{tail},\"Normal\",{more}"),
                format!("bkt,\"dir%2Fc\",\"5\",{tail},\"Normal\",{more}"),
            ],
            vec![format!("bkt,\"dir%2Flog\",\"4\",{tail},\"Appendable\",{more}")],
        ]
    );
    let keys_now = keys(&fixture, "reports").await;
    assert_eq!(keys_now.len(), 4, "{keys_now:?}");
    // A day later the next one.
    fixture.clock.advance_ms(86_400_000);
    manifest(&fixture, &format!("{base}/2026-01-16T08-30Z")).await;
    // One that is made once, of all versions, without any other column.
    let once = rule("all", "Once", "All", "<Filter><Prefix>other</Prefix></Filter>", "");
    fixture.call(put("/bkt/?inventory&inventoryId=all").body(once)).await.expect(200);
    let made = manifest(&fixture, "in/bkt/all/2026-01-16T08-30Z").await;
    assert_eq!(made["fileSchema"], "Bucket, Key, VersionId, IsLatest, IsDeleteMarker");
    assert_eq!(
        rows(&fixture, &made).await,
        [vec!["bkt,\"other\",\"\",\"true\",\"false\"".to_owned()]]
    );
    // Versions and markers, in a bucket that has some.
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    fixture.call(put("/bkt/?versioning").body(enabled)).await.expect(200);
    let made = fixture.call(put("/bkt/other").body("12")).await.expect(200);
    let second = made.must("x-oss-version-id").to_owned();
    let gone = fixture.call(delete("/bkt/other")).await.expect(204);
    let marker = gone.must("x-oss-version-id").to_owned();
    let more = rule(
        "more",
        "Once",
        "All",
        "<Filter><Prefix>other</Prefix></Filter>",
        "<Field>Size</Field>",
    );
    fixture.call(put("/bkt/?inventory&inventoryId=more").body(more)).await.expect(200);
    let made = manifest(&fixture, "in/bkt/more/2026-01-16T08-30Z").await;
    assert_eq!(
        rows(&fixture, &made).await.concat(),
        [
            format!("bkt,\"other\",\"{marker}\",\"true\",\"true\",\"\""),
            format!("bkt,\"other\",\"{second}\",\"false\",\"false\",\"2\""),
            "bkt,\"other\",\"null\",\"false\",\"false\",\"1\"".to_owned(),
        ]
    );
    assert!(fixture.stop().await);
}
