//! AppendObject: `append.md` §1, §2 and §5.

use ossia_protocol::crc64;
use ossia_server::config::{CopySource, MissingPosition};

use crate::drive::*;

async fn length_of(fixture: &Fixture, target: &str) -> u64 {
    fixture.call(head(target)).await.expect(200).must("content-length").parse().unwrap()
}

#[tokio::test]
async fn an_object_grows_from_nothing_and_every_answer_names_the_next_position_and_the_crc() {
    let fixture = Fixture::with_bucket().await;
    let empty = fixture.call(append("/bkt/log", 0, "")).await.expect(200);
    assert_eq!(empty.must("x-oss-next-append-position"), "0");
    assert_eq!(empty.must("x-oss-hash-crc64ecma"), "0");
    let first = fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    assert_eq!(first.must("x-oss-next-append-position"), "5");
    assert_eq!(first.must("x-oss-hash-crc64ecma"), "11177612005948864433");
    let second = fixture.call(append("/bkt/log", 5, " world")).await.expect(200);
    assert_eq!(second.must("x-oss-next-append-position"), "11");
    assert_eq!(second.must("x-oss-hash-crc64ecma"), "5981764153023615706");
    assert_eq!(second.must("content-length"), "0");
    assert!(second.header("x-oss-version-id").is_none());
    assert_eq!(fixture.call(get("/bkt/log")).await.expect(200).text(), "hello world");
}

#[tokio::test]
async fn a_position_that_is_not_the_length_is_refused_with_the_length() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello world")).await.expect(200);
    for position in [0, 12, 1 << 40] {
        let refused = fixture
            .call(append("/bkt/log", position, "x"))
            .await
            .error(409, "PositionNotEqualToLength");
        assert_eq!(refused.must("x-oss-next-append-position"), "11");
        assert_eq!(refused.must("x-oss-hash-crc64ecma"), "5981764153023615706");
        assert_eq!(refused.must("x-oss-ec"), "0026-00000016");
        // Compared literally by an SDK's test: no full stop.
        assert_eq!(
            refused.element("Message").as_deref(),
            Some("Position is not equal to file length")
        );
    }
    let absent =
        fixture.call(append("/bkt/absent", 5, "x")).await.error(409, "PositionNotEqualToLength");
    assert_eq!(absent.must("x-oss-next-append-position"), "0");
    assert_eq!(length_of(&fixture, "/bkt/log").await, 11);
}

#[tokio::test]
async fn the_type_is_checked_before_the_position() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/normal").body("12345")).await.expect(200);
    for position in [0, 5, 3] {
        let refused = fixture
            .call(append("/bkt/normal", position, "x"))
            .await
            .error(409, "ObjectNotAppendable");
        assert_eq!(refused.must("x-oss-ec"), "0026-00000017");
        assert_eq!(refused.element("Message").as_deref(), Some("The object is not appendable."));
    }
    assert_eq!(fixture.call(get("/bkt/normal")).await.text(), "12345");
}

#[tokio::test]
async fn what_the_first_append_set_is_kept_whatever_later_ones_say() {
    let fixture = Fixture::with_bucket().await;
    let first = append("/bkt/log", 0, "a")
        .header("content-type", "text/x-log")
        .header("cache-control", "no-store")
        .header("content-disposition", "attachment")
        .header("content-encoding", "identity")
        .header("expires", "never")
        .header("x-oss-meta-author", "one")
        .header("x-oss-storage-class", "IA")
        .header("x-oss-tagging", "a=1&b=2");
    fixture.call(first).await.expect(200);
    let fifteen: Vec<String> = (0..15).map(|i| format!("k{i}=v")).collect();
    let later = append("/bkt/log", 1, "b")
        .header("content-type", "image/png")
        .header("cache-control", "public")
        .header("x-oss-meta-author", "two")
        .header("x-oss-meta-bad_name", "ignored")
        .header("x-oss-storage-class", "NoSuchClass")
        .header("x-oss-server-side-encryption", "AES256")
        .header("x-oss-forbid-overwrite", "true")
        .header("x-oss-request-payer", "requester")
        .header("x-oss-tagging", fifteen.join("&"));
    let answer = fixture.call(later).await.expect(200);
    assert!(answer.header("x-oss-server-side-encryption").is_none());
    let info = fixture.call(head("/bkt/log")).await.expect(200);
    for (name, value) in [
        ("content-type", "text/x-log"),
        ("cache-control", "no-store"),
        ("content-disposition", "attachment"),
        ("content-encoding", "identity"),
        ("expires", "never"),
        ("x-oss-meta-author", "one"),
        ("x-oss-storage-class", "IA"),
        ("x-oss-tagging-count", "2"),
        ("content-length", "2"),
    ] {
        assert_eq!(info.must(name), value, "{name}");
    }
}

#[tokio::test]
async fn the_first_append_validates_what_later_ones_ignore() {
    let fixture = Fixture::with_bucket().await;
    let eleven: Vec<String> = (0..11).map(|i| format!("k{i}=v")).collect();
    for (name, value, code) in [
        ("x-oss-storage-class", "NoSuchClass", "InvalidArgument"),
        ("x-oss-tagging", eleven.join("&").as_str(), "InvalidArgument"),
        ("x-oss-meta-bad_name", "x", "InvalidArgument"),
        ("x-oss-server-side-encryption", "SM4", "InvalidEncryptionAlgorithmError"),
        ("x-oss-server-side-encryption", "KMS", "KmsServiceNotEnabled"),
    ] {
        fixture.call(append("/bkt/log", 0, "a").header(name, value)).await.error(400, code);
        fixture.call(head("/bkt/log")).await.expect(404);
    }
}

#[tokio::test]
async fn an_acl_takes_effect_on_every_append_and_is_always_validated() {
    let fixture = Fixture::with_bucket().await;
    let anonymous = || get("/bkt/log").anonymous();
    fixture.call(append("/bkt/log", 0, "a")).await.expect(200);
    fixture.call(anonymous()).await.error(403, "AccessDenied");
    let opened = append("/bkt/log", 1, "b").header("x-oss-object-acl", "public-read");
    fixture.call(opened).await.expect(200);
    assert_eq!(fixture.call(anonymous()).await.expect(200).text(), "ab");
    let bad = append("/bkt/log", 2, "c").header("x-oss-object-acl", "public");
    fixture.call(bad).await.error(400, "InvalidArgument");
    fixture.call(append("/bkt/log", 2, "c")).await.expect(200);
    assert_eq!(fixture.call(anonymous()).await.expect(200).text(), "abc");
    let closed = append("/bkt/log", 3, "d").header("x-oss-object-acl", "private");
    fixture.call(closed).await.expect(200);
    fixture.call(anonymous()).await.error(403, "AccessDenied");
    let bad_first = append("/bkt/new", 0, "a").header("x-oss-object-acl", "");
    fixture.call(bad_first).await.error(400, "InvalidArgument");
}

#[tokio::test]
async fn cold_classes_cannot_be_appended_to_whether_named_or_the_buckets() {
    let fixture = Fixture::with_bucket().await;
    for class in ["ColdArchive", "DeepColdArchive"] {
        let refused = append("/bkt/log", 0, "a").header("x-oss-storage-class", class);
        let refused = fixture.call(refused).await.error(400, "InvalidArgument");
        assert_eq!(refused.must("x-oss-ec"), "0016-00000503");
    }
    for class in ["Standard", "IA", "Archive"] {
        let target = format!("/bkt/{class}");
        let call = append(&target, 0, "a").header("x-oss-storage-class", class);
        fixture.call(call).await.expect(200);
        let info = fixture.call(head(&target)).await;
        assert_eq!(info.must("x-oss-storage-class"), class);
    }
    let cold = put("/cold/").body(
        "<CreateBucketConfiguration><StorageClass>ColdArchive</StorageClass></CreateBucketConfiguration>",
    );
    fixture.call(cold).await.expect(200);
    let refused = fixture.call(append("/cold/log", 0, "a")).await.error(400, "InvalidArgument");
    assert_eq!(refused.must("x-oss-ec"), "0016-00000503");
    let standard = append("/cold/log", 0, "a").header("x-oss-storage-class", "Standard");
    fixture.call(standard).await.expect(200);
}

#[tokio::test]
async fn positions_that_are_no_numbers_are_told_with_their_text() {
    let fixture = Fixture::with_bucket().await;
    for bad in [
        "test",
        "-1",
        "1.5",
        "0x10",
        "",
        "9223372036854775808",
        "99999999999999999999",
        "%2B1",
        "1%20",
    ] {
        let target = format!("/bkt/log?append&position={bad}");
        let refused = fixture.call(post(&target).body("a")).await.error(400, "InvalidArgument");
        assert_eq!(refused.must("x-oss-ec"), "0016-00000502", "{bad}");
        assert_eq!(refused.element("ArgumentName").as_deref(), Some("position"));
    }
    let refused = fixture.call(post("/bkt/log?append&position=test")).await;
    assert_eq!(refused.element("ArgumentValue").as_deref(), Some("test"));
    fixture.call(head("/bkt/log")).await.expect(404);
}

#[tokio::test]
async fn a_missing_position_is_refused_unless_the_setting_takes_it_for_zero() {
    let fixture = Fixture::with_bucket().await;
    let refused =
        fixture.call(post("/bkt/log?append").body("a")).await.error(400, "MissingArgument");
    assert_eq!(refused.must("x-oss-ec"), "0016-00000501");
    assert_eq!(refused.element("Message").as_deref(), Some("Missing Some Required Arguments."));
    let lenient =
        Fixture::with(|config| config.append.missing_position = MissingPosition::Zero).await;
    lenient.make_bucket("bkt").await;
    lenient.call(post("/bkt/log?append").body("a")).await.expect(200);
    let again = lenient.call(post("/bkt/log?append").body("b")).await;
    assert_eq!(
        again.error(409, "PositionNotEqualToLength").must("x-oss-next-append-position"),
        "1"
    );
}

#[tokio::test]
async fn every_spelling_of_the_query_that_clients_use_is_an_append() {
    let fixture = Fixture::with_bucket().await;
    for sign in [Sign::V1, Sign::V4] {
        for (i, query) in ["append&position=0", "append=&position=0", "position=0&append="]
            .into_iter()
            .enumerate()
        {
            let target = format!("/bkt/{sign:?}-{i}?{query}");
            let answer = fixture.call(post(&target).body("ab").sign(sign)).await.expect(200);
            assert_eq!(answer.must("x-oss-next-append-position"), "2");
        }
    }
}

#[tokio::test]
async fn sized_chunked_and_empty_bodies_are_taken_and_a_missing_framing_is_411() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "0123456789").chunked()).await.expect(200);
    fixture.call(append("/bkt/log", 10, "").chunked()).await.expect(200);
    fixture.call(append("/bkt/log", 10, "abc")).await.expect(200);
    fixture.call(append("/bkt/log", 13, "").no_body()).await.error(411, "MissingContentLength");
    assert_eq!(fixture.call(get("/bkt/log")).await.text(), "0123456789abc");
}

#[tokio::test]
async fn the_announced_digests_are_those_of_this_body_and_a_mismatch_leaves_the_object_alone() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    // The MD5 of " world".
    let right = "t5E6oVxDvn1TS07sbpnooA==";
    for (md5, ec) in [
        ("XUFAKrxLKna5cZ2REBfFkg==", "0017-00000503"), // of "hello"
        ("not base64", "0017-00000502"),
        ("c2hvcnQ=", "0017-00000502"),
    ] {
        let call = append("/bkt/log", 5, " world").header("content-md5", md5);
        let refused = fixture.call(call).await.error(400, "InvalidDigest");
        assert_eq!(refused.must("x-oss-ec"), ec);
        assert_eq!(
            refused.element("Message").as_deref(),
            Some("The Content-MD5 you specified was invalid.")
        );
    }
    let wrong_crc = append("/bkt/log", 5, " world").header("x-oss-hash-crc64ecma", "1");
    fixture.call(wrong_crc).await.error(400, "InvalidCRC64");
    assert_eq!(length_of(&fixture, "/bkt/log").await, 5);
    let crc = crc64::checksum(b" world").to_string();
    let call = append("/bkt/log", 5, " world")
        .header("content-md5", right)
        .header("x-oss-hash-crc64ecma", crc);
    let answer = fixture.call(call).await.expect(200);
    assert_eq!(answer.must("x-oss-hash-crc64ecma"), "5981764153023615706");
}

#[tokio::test]
async fn a_result_beyond_the_limit_is_refused_sized_and_chunked() {
    let fixture = Fixture::with(|config| config.append.max_bytes = 10).await;
    fixture.make_bucket("bkt").await;
    fixture.call(append("/bkt/log", 0, "12345678")).await.expect(200);
    for call in [append("/bkt/log", 8, "abc"), append("/bkt/log", 8, "abc").chunked()] {
        let refused = fixture.call(call).await.error(400, "InlineDataTooLarge");
        assert_eq!(
            refused.element("Message").as_deref(),
            Some("Inline data exceeds the maximum allowed size.")
        );
    }
    fixture.call(append("/bkt/log", 8, "ab")).await.expect(200);
    assert_eq!(fixture.call(get("/bkt/log")).await.text(), "12345678ab");
}

#[tokio::test]
async fn names_that_no_key_may_have_are_refused() {
    let fixture = Fixture::with_bucket().await;
    for key in ["%2Flog".to_owned(), "%5Clog".to_owned(), "x".repeat(1024), "a%FF".to_owned()] {
        let target = format!("/bkt/{key}?append&position=0");
        fixture.call(post(&target).body("a")).await.error(400, "InvalidObjectName");
    }
    for key in ["a//b", "a/../b", ".", "x%01y", &"x".repeat(1023)] {
        fixture.call(append(&format!("/bkt/{key}"), 0, "a")).await.expect(200);
        assert_eq!(fixture.call(get(&format!("/bkt/{key}"))).await.expect(200).text(), "a");
    }
}

#[tokio::test]
async fn checks_come_in_the_protocols_order() {
    let fixture = Fixture::with_bucket().await;
    // Bucket before key name before position before headers before framing.
    let all_wrong =
        || post("/none/%2Flog?append&position=x").header("x-oss-object-acl", "bad").no_body();
    fixture.call(all_wrong().key("other", "x")).await.error(404, "NoSuchBucket");
    let refused = fixture.call(all_wrong()).await.error(404, "NoSuchBucket");
    assert_eq!(refused.must("x-oss-ec"), "0015-00000101");
    assert_eq!(refused.element("BucketName").as_deref(), Some("none"));
    let mut call = all_wrong();
    call.target = "/bkt/%2Flog?append&position=x".into();
    fixture.call(call.clone().anonymous()).await.error(403, "AccessDenied");
    fixture.call(call.clone()).await.error(400, "InvalidObjectName");
    call.target = "/bkt/log?append&position=x".into();
    let refused = fixture.call(call.clone()).await.error(400, "InvalidArgument");
    assert_eq!(refused.must("x-oss-ec"), "0016-00000502");
    call.target = "/bkt/log?append&position=0".into();
    let refused = fixture.call(call.clone()).await.error(400, "InvalidArgument");
    assert_eq!(refused.element("ArgumentName").as_deref(), Some("x-oss-object-acl"));
    call.headers.clear();
    fixture.call(call).await.error(411, "MissingContentLength");
}

#[tokio::test]
async fn an_empty_append_changes_nothing() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    let before = fixture.call(head("/bkt/log")).await.expect(200);
    fixture.clock.advance_ms(60_000);
    let answer = fixture.call(append("/bkt/log", 5, "")).await.expect(200);
    assert_eq!(answer.must("x-oss-next-append-position"), "5");
    assert_eq!(answer.must("x-oss-hash-crc64ecma"), "11177612005948864433");
    let after = fixture.call(head("/bkt/log")).await.expect(200);
    for name in ["etag", "last-modified", "content-length", "x-oss-hash-crc64ecma"] {
        assert_eq!(after.must(name), before.must(name), "{name}");
    }
}

#[tokio::test]
async fn the_etag_is_made_of_crc_and_time_and_is_no_md5() {
    let fixture = Fixture::with_bucket().await;
    let answer = fixture.call(append("/bkt/log", 0, "abc")).await.expect(200);
    let wanted =
        ossia_protocol::etag::appendable(3_231_342_946_509_354_535, i64::try_from(NOW).unwrap());
    assert_eq!(answer.must("etag"), format!("\"{wanted}\""));
    fixture.clock.advance_ms(1000);
    let next = fixture.call(append("/bkt/log", 3, "d")).await.expect(200);
    assert_ne!(next.must("etag"), answer.must("etag"));
    let info = fixture.call(head("/bkt/log")).await;
    assert_eq!(info.must("etag"), next.must("etag"));
    assert_eq!(info.must("last-modified"), "Thu, 15 Jan 2026 08:30:46 GMT");
}

#[tokio::test]
async fn head_get_and_meta_show_an_appendable_for_what_it_is() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello world")).await.expect(200);
    for call in [head("/bkt/log"), get("/bkt/log"), get("/bkt/log").header("range", "bytes=0-1")] {
        let answer = fixture.call(call).await;
        assert_eq!(answer.must("x-oss-object-type"), "Appendable");
        assert_eq!(answer.must("x-oss-next-append-position"), "11");
        assert_eq!(answer.must("x-oss-hash-crc64ecma"), "5981764153023615706");
        assert!(answer.header("content-md5").is_none());
        assert!(answer.header("x-oss-sealed-time").is_none());
    }
    let meta = fixture.call(head("/bkt/log?objectMeta")).await.expect(200);
    assert_eq!(meta.must("content-length"), "11");
    assert_eq!(meta.must("x-oss-hash-crc64ecma"), "5981764153023615706");
    assert!(meta.header("x-oss-object-type").is_none());
    let list = fixture.call(get("/bkt/")).await.expect(200);
    assert_eq!(list.element("Type").as_deref(), Some("Appendable"));
    assert_eq!(list.element("Size").as_deref(), Some("11"));
}

#[tokio::test]
async fn a_put_replaces_an_appendable_and_a_delete_lets_it_begin_anew() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    fixture.call(put("/bkt/log").body("new")).await.expect(200);
    fixture.call(append("/bkt/log", 3, "x")).await.error(409, "ObjectNotAppendable");
    fixture.call(delete("/bkt/log")).await.expect(204);
    fixture.call(append("/bkt/log", 5, "x")).await.error(409, "PositionNotEqualToLength");
    fixture.call(append("/bkt/log", 0, "again")).await.expect(200);
    assert_eq!(fixture.call(get("/bkt/log")).await.text(), "again");
}

#[tokio::test]
async fn copying_an_appendable_is_refused_unless_the_setting_allows_it() {
    let copy = || put("/bkt/copy").header("x-oss-copy-source", "/bkt/log");
    let itself = || put("/bkt/log").header("x-oss-copy-source", "/bkt/log");
    let fixture = Fixture::with_bucket().await;
    fixture.call(append("/bkt/log", 0, "hello")).await.expect(200);
    fixture.call(copy()).await.error(400, "OperationNotSupported");
    fixture.call(itself()).await.error(400, "OperationNotSupported");
    fixture.call(head("/bkt/copy")).await.expect(404);

    let lenient = Fixture::with(|config| config.append.copy_source = CopySource::Allow).await;
    lenient.make_bucket("bkt").await;
    lenient.call(append("/bkt/log", 0, "hello")).await.expect(200);
    lenient.call(copy()).await.expect(200);
    let info = lenient.call(head("/bkt/copy")).await.expect(200);
    assert_eq!(info.must("x-oss-object-type"), "Normal");
    assert_eq!(info.must("etag"), "\"5D41402ABC4B2A76B9719D911017C592\"");
    lenient.call(itself().header("x-oss-meta-a", "1")).await.expect(200);
    let info = lenient.call(head("/bkt/log")).await.expect(200);
    assert_eq!(info.must("x-oss-object-type"), "Appendable");
    assert_eq!(info.must("x-oss-meta-a"), "1");
    lenient.call(append("/bkt/log", 5, "!")).await.expect(200);
}

#[tokio::test]
async fn a_callback_that_cannot_be_read_is_not_taken_for_an_append_without_one() {
    let fixture = Fixture::with_bucket().await;
    let call = append("/bkt/log", 0, "a").header("x-oss-callback", "e30=");
    let refused = fixture.call(call).await.error(400, "InvalidArgument");
    assert_eq!(refused.element("ArgumentName").as_deref(), Some("callback"));
    let call = post("/bkt/log?append&position=0&callback=e30%3D").body("a");
    fixture.call(call).await.error(400, "InvalidArgument");
    fixture.call(head("/bkt/log")).await.expect(404);
}

#[tokio::test]
async fn a_post_with_an_unknown_subresource_is_no_append() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(post("/bkt/log?unknown").body("a")).await.error(400, "InvalidArgument");
    fixture.call(head("/bkt/log")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_racing_appends_at_one_position_have_one_winner_and_nine_that_hear_the_position() {
    let fixture = std::sync::Arc::new(Fixture::with_bucket().await);
    for round in 0..20u64 {
        let racing: Vec<_> = (0..10)
            .map(|writer| {
                let fixture = std::sync::Arc::clone(&fixture);
                tokio::spawn(async move {
                    let body = format!("{writer}{round:04}");
                    fixture.call(append("/bkt/race", round * 5, body)).await
                })
            })
            .collect();
        let mut winners = 0;
        for racer in racing {
            let answer = racer.await.unwrap();
            let next = ((round + 1) * 5).to_string();
            assert_eq!(answer.must("x-oss-next-append-position"), next);
            match answer.status {
                200 => winners += 1,
                _ => drop(answer.error(409, "PositionNotEqualToLength")),
            }
        }
        assert_eq!(winners, 1);
    }
    let whole = fixture.call(get("/bkt/race")).await.expect(200);
    assert_eq!(whole.body.len(), 100);
    assert_eq!(whole.must("x-oss-hash-crc64ecma"), crc64::checksum(&whole.body).to_string());
}

#[tokio::test]
async fn large_appends_are_read_back_whole_and_in_ranges() {
    let fixture = Fixture::with_bucket().await;
    let mut whole = Vec::new();
    for (i, size) in [1_000, 300_000, 1, 700_000, 128 << 10].into_iter().enumerate() {
        let piece: Vec<u8> = (0..size).map(|n| (n * 31 + i) as u8).collect();
        let call = append("/bkt/big", whole.len() as u64, &piece);
        whole.extend(piece);
        let answer = fixture.call(call).await.expect(200);
        assert_eq!(answer.must("x-oss-hash-crc64ecma"), crc64::checksum(&whole).to_string());
    }
    assert_eq!(fixture.call(get("/bkt/big")).await.expect(200).body, whole);
    let range = get("/bkt/big").header("range", "bytes=999-301001");
    assert_eq!(fixture.call(range).await.expect(206).body, whole[999..=301_001]);
}
