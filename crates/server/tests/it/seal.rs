//! SealAppendObject: `append.md` §3.

use crate::drive::*;

fn seal(target: &str, position: &str) -> Call {
    post(&format!("{target}?seal&position={position}"))
}

#[tokio::test]
async fn a_sealed_object_takes_no_appends_and_keeps_its_first_sealed_time() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    let sealed = fixture.call(seal("/bkt/log", "5")).await.expect(200);
    assert_eq!(sealed.must("x-oss-sealed-time"), "Thu, 15 Jan 2026 08:30:45 GMT");
    assert_eq!(sealed.must("content-length"), "0");
    fixture.clock.advance_ms(60_000);
    let again = fixture.call(seal("/bkt/log", "5")).await.expect(200);
    assert_eq!(again.must("x-oss-sealed-time"), sealed.must("x-oss-sealed-time"));
    fixture.call(append("/bkt/log", 5, "x")).await.error(400, "AppendSealedObjectNotAllowed");
    // Sealed comes before the position.
    fixture.call(append("/bkt/log", 3, "x")).await.error(400, "AppendSealedObjectNotAllowed");
    for call in [head("/bkt/log"), get("/bkt/log")] {
        let info = fixture.call(call).await.expect(200);
        assert_eq!(info.must("x-oss-sealed-time"), sealed.must("x-oss-sealed-time"));
        assert_eq!(info.must("x-oss-object-type"), "Appendable");
        assert_eq!(info.must("x-oss-next-append-position"), "5");
    }
}

#[tokio::test]
async fn the_position_is_checked_even_when_sealed_already() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    let refused = fixture.call(seal("/bkt/log", "4")).await.error(409, "PositionNotEqualToLength");
    assert_eq!(refused.must("x-oss-next-append-position"), "5");
    fixture.call(seal("/bkt/log", "5")).await.expect(200);
    fixture.call(seal("/bkt/log", "4")).await.error(409, "PositionNotEqualToLength");
    let missing = fixture.call(post("/bkt/log?seal")).await.error(400, "MissingArgument");
    assert_eq!(missing.must("x-oss-ec"), "0016-00000501");
    let bad = fixture.call(seal("/bkt/log", "x")).await.error(400, "InvalidArgument");
    assert_eq!(bad.must("x-oss-ec"), "0016-00000502");
}

#[tokio::test]
async fn only_appendable_objects_that_exist_can_be_sealed() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/normal").body("12345")).await.expect(200);
    fixture.call(seal("/bkt/normal", "5")).await.error(409, "ObjectNotAppendable");
    let absent = fixture.call(seal("/bkt/none", "0")).await.error(404, "NoSuchKey");
    assert_eq!(absent.element("Key").as_deref(), Some("none"));
    fixture.call(seal("/none/log", "0")).await.error(404, "NoSuchBucket");
}

#[tokio::test]
async fn the_form_that_sdks_send_is_taken() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    for sign in [Sign::V1, Sign::V4] {
        let call = seal("/bkt/log", "5")
            .sign(sign)
            .header("content-type", "application/xml")
            .header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
        fixture.call(call).await.expect(200);
    }
}

#[tokio::test]
async fn a_sealed_object_can_be_replaced_and_deleted() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    fixture.call(seal("/bkt/log", "5")).await.expect(200);
    fixture.call(put("/bkt/log").body("new")).await.expect(200);
    let info = fixture.call(head("/bkt/log")).await.expect(200);
    assert!(info.header("x-oss-sealed-time").is_none());
    fixture.call(delete("/bkt/log")).await.expect(204);
    fixture.call(append("/bkt/log", 0, "again")).await.expect(200);
}
