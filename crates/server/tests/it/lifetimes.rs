//! Retention, storage classes, restores and lifecycle rules: `buckets.md` §§12, 14, `objects.md` §§13, 18, `extras.md` §§1, 7.

use std::time::Duration;

use crate::drive::*;

const DAY_MS: u64 = 86_400_000;

fn worm(root: &str, days: &str) -> String {
    format!("<{root}><RetentionPeriodInDays>{days}</RetentionPeriodInDays></{root}>")
}

async fn initiate(fixture: &Fixture, days: &str) -> String {
    let call = post("/bkt/?worm").body(worm("InitiateWormConfiguration", days));
    fixture.call(call).await.expect(200).must("x-oss-worm-id").to_owned()
}

#[tokio::test]
async fn a_policy_is_begun_aborted_locked_extended_and_told() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(get("/bkt/?worm")).await.error(404, "NoSuchWORMConfiguration");
    fixture.call(delete("/bkt/?worm")).await.error(404, "NoSuchWORMConfiguration");
    let id = initiate(&fixture, "1").await;
    let again = post("/bkt/?worm").body(worm("InitiateWormConfiguration", "1"));
    fixture.call(again).await.error(409, "WORMConfigurationAlreadyExists");
    let told = fixture.call(get("/bkt/?worm")).await.expect(200);
    assert_eq!(told.element("WormId").as_deref(), Some(&*id));
    assert_eq!(told.element("State").as_deref(), Some("InProgress"));
    assert_eq!(told.element("CreationDate").as_deref(), Some("2026-01-15T08:30:45.000Z"));
    let extend = |id: &str, days: &str| {
        post(&format!("/bkt/?wormExtend&wormId={id}")).body(worm("ExtendWormConfiguration", days))
    };
    fixture.call(extend(&id, "2")).await.error(400, "InvalidWORMConfiguration");
    fixture.call(delete("/bkt/?worm")).await.expect(204);
    let id = initiate(&fixture, "1").await;
    let unknown = fixture.call(post("/bkt/?wormId=ABC").body("")).await;
    let unknown = unknown.error(404, "NoSuchWORMConfiguration");
    assert_eq!(
        unknown.element("Message").as_deref(),
        Some("The specified WORM ID does not exist.")
    );
    fixture.call(post(&format!("/bkt/?wormId={id}")).body("")).await.expect(200);
    fixture.call(delete("/bkt/?worm")).await.error(403, "WORMConfigurationLocked");
    fixture.call(extend(&id, "3")).await.expect(200);
    fixture.call(extend(&id, "2")).await.error(400, "InvalidWORMConfiguration");
    fixture.call(extend("ABC", "9")).await.error(404, "NoSuchWORMConfiguration");
    let told = fixture.call(get("/bkt/?worm")).await.expect(200);
    assert_eq!(told.element("State").as_deref(), Some("Locked"));
    assert_eq!(told.element("RetentionPeriodInDays").as_deref(), Some("3"));
    for days in ["0", "25551", "x"] {
        let call = post("/bkt/?worm").body(worm("InitiateWormConfiguration", days));
        fixture.call(call).await.error(400, "InvalidArgument");
    }
    fixture.call(post("/bkt/?worm").body("<x/>")).await.error(400, "MalformedXML");
    fixture.call(get("/none/?worm")).await.error(404, "NoSuchBucket");
    fixture.call(get("/bkt/?worm").anonymous()).await.error(403, "AccessDenied");
}

#[tokio::test]
async fn what_is_protected_answers_409_file_immutable() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    fixture.call(put("/bkt/other").body("x")).await.expect(200);
    initiate(&fixture, "1").await;
    let immutable = async |call: Call| {
        let answer = fixture.call(call).await.error(409, "FileImmutable");
        let message = answer.element("Message");
        assert_eq!(message.as_deref(), Some("The object you specified is immutable."));
    };
    immutable(append("/bkt/log", 5, "x")).await;
    immutable(put("/bkt/log").body("x")).await;
    immutable(put("/bkt/log").header("x-oss-copy-source", "/bkt/other").no_body()).await;
    fixture.call(delete("/bkt/log")).await.error(409, "FileImmutable");
    fixture.call(get("/bkt/log")).await.expect(200);
    fixture.call(put("/bkt/log?acl").header("x-oss-object-acl", "private")).await.expect(200);
    fixture.call(put("/bkt/new").body("x")).await.expect(200);
    fixture.call(delete("/bkt/")).await.error(409, "BucketNotEmpty");
    // Not locked within a day, it lapses.
    fixture.clock.advance_ms(DAY_MS);
    fixture.call(append("/bkt/log", 5, "x")).await.expect(200);
    fixture.call(delete("/bkt/log")).await.expect(204);
    fixture.stop().await;
}

#[tokio::test]
async fn objects_of_a_bucket_without_versions_have_no_retention_of_their_own() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/key").body("x")).await.expect(200);
    fixture.call(get("/bkt/?objectWorm")).await.error(404, "NoSuchObjectWormConfiguration");
    let enabled = "<ObjectWormConfiguration><ObjectWormEnabled>Enabled</ObjectWormEnabled></ObjectWormConfiguration>";
    fixture.call(put("/bkt/?objectWorm").body(enabled)).await.error(400, "InvalidArgument");
    let wrong = fixture.call(put("/bkt/?objectWorm").body("<x/>")).await.error(400, "MalformedXML");
    assert_eq!(wrong.must("x-oss-ec"), "0015-00000231");
    fixture.call(get("/bkt/key?retention")).await.error(404, "NoSuchObjectRetention");
    let until = "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>2027-01-01T00:00:00.000Z</RetainUntilDate>\
        </Retention>";
    fixture.call(put("/bkt/key?retention").body(until)).await.error(400, "InvalidRequest");
    let hold = "<LegalHold><Status>ON</Status></LegalHold>";
    fixture.call(put("/bkt/key?legalHold").body(hold)).await.error(400, "InvalidRequest");
    let told = fixture.call(get("/bkt/key?legalHold")).await.expect(200);
    assert_eq!(told.element("Status").as_deref(), Some("OFF"));
    fixture.call(get("/bkt/none?legalHold")).await.error(404, "NoSuchKey");
    fixture.call(put("/bkt/key?legalHold").body("<LegalHold/>")).await.error(400, "MalformedXML");
}

#[tokio::test]
async fn an_archived_object_is_frozen_restored_and_frozen_again() {
    let fixture = Fixture::with_bucket().await;
    let cold = put("/bkt/cold").header("x-oss-storage-class", "ColdArchive").body("cold");
    fixture.call(cold).await.expect(200);
    fixture
        .call(put("/bkt/old").header("x-oss-storage-class", "Archive").body("old"))
        .await
        .expect(200);
    fixture.call(put("/bkt/warm").body("warm")).await.expect(200);
    let told = fixture.call(head("/bkt/old")).await.expect(200);
    assert_eq!(told.must("x-oss-storage-class"), "Archive");
    assert_eq!(told.header("x-oss-restore"), None);
    let frozen = fixture.call(get("/bkt/old")).await.error(403, "InvalidObjectState");
    let message = "The operation is not valid for the object's state.";
    assert_eq!(frozen.element("Message").as_deref(), Some(message));
    let copy = || put("/bkt/copy").header("x-oss-copy-source", "/bkt/old").no_body();
    fixture.call(copy()).await.error(403, "InvalidObjectState");
    let upload = fixture.call(post("/bkt/up?uploads").body("")).await.expect(200);
    let upload = upload.element("UploadId").unwrap_or_default();
    let part = put(&format!("/bkt/up?partNumber=1&uploadId={upload}"))
        .header("x-oss-copy-source", "/bkt/old")
        .no_body();
    fixture.call(part).await.error(403, "InvalidObjectState");
    let link = put("/bkt/link?symlink").header("x-oss-symlink-target", "old").no_body();
    fixture.call(link).await.expect(200);
    fixture.call(get("/bkt/link")).await.error(403, "InvalidObjectState");

    let warm = fixture.call(post("/bkt/warm?restore").body("")).await;
    let warm = warm.error(400, "OperationNotSupported");
    assert_eq!(warm.must("x-oss-ec"), "0016-00000702");
    assert!(warm.element("Detail").is_some());
    fixture.call(post("/bkt/none?restore").body("")).await.error(404, "NoSuchKey");
    let job = |tier: &str| {
        format!(
            "<RestoreRequest><Days>2</Days><JobParameters><Tier>{tier}</Tier></JobParameters></RestoreRequest>"
        )
    };
    let strange = post("/bkt/old?restore").body(job("Standard"));
    fixture.call(strange).await.error(400, "MalformedXML");
    fixture.call(post("/bkt/cold?restore").body(job("Fast"))).await.error(400, "InvalidArgument");
    let eight = "<RestoreRequest><Days>8</Days></RestoreRequest>";
    fixture.call(post("/bkt/old?restore").body(eight)).await.error(400, "InvalidArgument");

    let taken = fixture.call(post("/bkt/old?restore").body("")).await.expect(202);
    assert_eq!(taken.header("x-oss-object-restore-priority"), None);
    let taken = fixture.call(post("/bkt/cold?restore").body(job("Bulk"))).await.expect(202);
    assert_eq!(taken.must("x-oss-object-restore-priority"), "Bulk");
    fixture.call(post("/bkt/old?restore").body("")).await.error(409, "RestoreAlreadyInProgress");
    let clean = fixture.call(post("/bkt/old?cleanRestoredObject").body("")).await;
    let clean = clean.error(409, "ArchiveRestoreNotFinished");
    assert_eq!(clean.must("x-oss-ec"), "0016-00000719");
    let told = fixture.call(head("/bkt/old")).await.expect(200);
    assert_eq!(told.must("x-oss-restore"), "ongoing-request=\"true\"");

    fixture.clock.advance_ms(5_000);
    let told = fixture.call(get("/bkt/old")).await.expect(200);
    let until = "ongoing-request=\"false\", expiry-date=\"Fri, 16 Jan 2026 08:30:50 GMT\"";
    assert_eq!((told.must("x-oss-restore"), told.text()), (until, "old".to_owned()));
    let list = fixture.call(get("/bkt/?prefix=old")).await.expect(200);
    assert!(list.text().contains("<RestoreInfo>ongoing-request=&quot;false&quot;, expiry-date"));
    fixture.call(post("/bkt/old?restore").body("")).await.expect(200);
    fixture.call(copy()).await.expect(200);
    fixture.call(get("/bkt/link")).await.expect(200);
    fixture.call(post("/bkt/old?cleanRestoredObject").body("")).await.expect(200);
    fixture.call(get("/bkt/old")).await.error(403, "InvalidObjectState");
}

#[tokio::test]
async fn a_class_comes_from_the_header_or_the_bucket_and_a_copy_changes_it() {
    let fixture = Fixture::with_bucket().await;
    let ia =
        "<CreateBucketConfiguration><StorageClass>IA</StorageClass></CreateBucketConfiguration>";
    fixture.call(put("/cool/").body(ia)).await.expect(200);
    fixture.call(put("/cool/key").body("x")).await.expect(200);
    fixture.call(append("/cool/log", 0, "x")).await.expect(200);
    let class = async |target: &str| {
        let told = fixture.call(head(target)).await.expect(200);
        told.must("x-oss-storage-class").to_owned()
    };
    assert_eq!((class("/cool/key").await, class("/cool/log").await), ("IA".into(), "IA".into()));
    let copy = |target, class| {
        put(target)
            .header("x-oss-copy-source", "/cool/key")
            .header("x-oss-storage-class", class)
            .no_body()
    };
    fixture.call(copy("/cool/key", "Archive")).await.expect(200);
    assert_eq!(class("/cool/key").await, "Archive");
    let list = fixture.call(get("/cool/")).await.expect(200);
    assert_eq!(list.elements("StorageClass"), ["Archive", "IA"]);
    fixture.call(copy("/cool/key", "Standard")).await.error(403, "InvalidObjectState");
    let wrong = put("/cool/x").header("x-oss-storage-class", "Warm").body("x");
    fixture.call(wrong).await.error(400, "InvalidArgument");
    // An archived log is appended to as it is.
    let first = append("/cool/a", 0, "a").header("x-oss-storage-class", "Archive");
    fixture.call(first).await.expect(200);
    fixture.call(append("/cool/a", 1, "b")).await.expect(200);
}

#[tokio::test]
async fn rules_expire_move_and_give_up_and_objects_tell_when() {
    let fixture = Fixture::with(|config| {
        config.lifecycle.every_s = 1;
        config.metrics.listen = "127.0.0.1:0".into();
    })
    .await;
    fixture.make_bucket("bkt").await;
    let rules = "<LifecycleConfiguration><Rule><ID>tmp</ID><Prefix>tmp/</Prefix><Status>Enabled</Status><Expiration>\
        <Days>2</Days></Expiration><AbortMultipartUpload><Days>1</Days></AbortMultipartUpload></Rule><Rule>\
        <ID>cool</ID>\
        <Prefix>cool/</Prefix><Status>Enabled</Status><Transition><Days>1</Days><StorageClass>IA</StorageClass>\
        </Transition></Rule></LifecycleConfiguration>";
    fixture.call(put("/bkt/?lifecycle").body(rules)).await.expect(200);
    for target in ["/bkt/tmp/a", "/bkt/cool/a", "/bkt/stays"] {
        fixture.call(put(target).body("x")).await.expect(200);
    }
    fixture.call(post("/bkt/tmp/up?uploads")).await.expect(200);
    for call in [get("/bkt/tmp/a"), head("/bkt/tmp/a")] {
        let told = fixture.call(call).await.expect(200);
        // Put on the 15th in the morning: two days later at the next midnight.
        let wanted = "expiry-date=\"Sun, 18 Jan 2026 00:00:00 GMT\", rule-id=\"tmp\"";
        assert_eq!(told.must("x-oss-expiration"), wanted);
    }
    assert_eq!(fixture.call(head("/bkt/stays")).await.expect(200).header("x-oss-expiration"), None);
    fixture.clock.advance_ms(3 * DAY_MS);
    let patience = Duration::from_secs(60);
    let done = tokio::time::timeout(patience, async {
        loop {
            let gone = fixture.call(head("/bkt/tmp/a")).await.status == 404;
            let cool = fixture.call(head("/bkt/cool/a")).await.expect(200);
            let uploads = fixture.call(get("/bkt/?uploads")).await.expect(200);
            let none = uploads.element("UploadId").is_none();
            if gone && none && cool.must("x-oss-storage-class") == "IA" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    done.await.unwrap();
    let list = fixture.call(get("/bkt/?prefix=cool/")).await.expect(200);
    assert!(list.element("TransitionTime").is_some_and(|time| time.starts_with("2026-01-18T08:")));
    fixture.call(get("/bkt/stays")).await.expect(200);
    fixture.stop().await;
}

#[tokio::test]
async fn versions_of_objects_are_retained_and_held_and_tell_so() {
    let fixture = Fixture::with_bucket().await;
    let versioning = |status: &str| {
        put("/bkt/?versioning").body(format!(
            "<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"
        ))
    };
    fixture.call(versioning("Enabled")).await.expect(200);
    let enabled = "<ObjectWormConfiguration><ObjectWormEnabled>Enabled</ObjectWormEnabled><Rule><DefaultRetention>\
        <Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectWormConfiguration>";
    fixture.call(put("/bkt/?objectWorm").body(enabled)).await.expect(200);
    let told = fixture.call(get("/bkt/?objectWorm")).await.expect(200);
    assert!(told.text().ends_with(enabled), "{}", told.text());
    fixture.call(versioning("Suspended")).await.error(400, "InvalidArgument");
    fixture.call(append("/bkt/log", 0, "x")).await.error(400, "OperationNotSupported");
    let made = fixture.call(put("/bkt/key").body("x")).await.expect(200);
    let version = made.must("x-oss-version-id").to_owned();
    let told = fixture.call(get("/bkt/key?retention")).await.expect(200);
    assert_eq!(told.element("Mode").as_deref(), Some("COMPLIANCE"));
    assert_eq!(told.element("RetainUntilDate").as_deref(), Some("2026-01-16T08:30:45.000Z"));
    let until = |mode: &str, date: &str| {
        put(&format!("/bkt/key?retention&versionId={version}")).body(format!(
            "<Retention><Mode>{mode}</Mode><RetainUntilDate>{date}</RetainUntilDate></Retention>"
        ))
    };
    let shorter = until("COMPLIANCE", "2026-01-16T00:00:00.000Z");
    fixture.call(shorter).await.error(409, "FileImmutable");
    let past = until("COMPLIANCE", "2020-01-01T00:00:00.000Z");
    fixture.call(past).await.error(400, "InvalidArgument");
    fixture.call(until("COMPLIANCE", "2026-01-17T00:00:00.000Z")).await.expect(200);
    let hold = |status: &str| {
        put("/bkt/key?legalHold").body(format!("<LegalHold><Status>{status}</Status></LegalHold>"))
    };
    fixture.call(hold("ON")).await.expect(200);
    let told = fixture.call(get(&format!("/bkt/key?legalHold&versionId={version}"))).await;
    assert_eq!(told.expect(200).element("Status").as_deref(), Some("ON"));
    let remove = || delete(&format!("/bkt/key?versionId={version}"));
    fixture.clock.advance_ms(3 * DAY_MS);
    fixture.call(remove()).await.error(409, "FileImmutable");
    fixture.call(hold("OFF")).await.expect(200);
    fixture.call(remove()).await.expect(204);
    fixture.call(get("/bkt/key?legalHold")).await.error(404, "NoSuchKey");
}
