//! ListObjects and ListObjectsV2: `buckets.md` §7.

use crate::drive::*;

async fn with_keys(keys: &[&str]) -> Fixture {
    let fixture = Fixture::with_bucket().await;
    for key in keys {
        fixture.call(put(&format!("/bkt/{key}")).body("x")).await.expect(200);
    }
    fixture
}

fn prefixes(answer: &Response) -> Vec<String> {
    answer.elements("CommonPrefixes").iter().filter_map(|p| element(p, "Prefix")).collect()
}

#[tokio::test]
async fn keys_come_in_byte_order_with_all_that_sdks_read() {
    let fixture = with_keys(&["b", "a/2", "a/1", "a", "%E9%94%AE", "Z"]).await;
    let list = fixture.call(get("/bkt/")).await.expect(200);
    assert_eq!(list.must("content-type"), "application/xml");
    assert!(list.text().contains("<ListBucketResult>"));
    assert_eq!(list.elements("Key"), ["Z", "a", "a/1", "a/2", "b", "\u{952e}"]);
    let text = list.text();
    for present in ["<Prefix></Prefix>", "<Marker></Marker>", "<Delimiter></Delimiter>"] {
        assert!(text.contains(present), "{present}");
    }
    assert_eq!(list.element("MaxKeys").as_deref(), Some("100"));
    assert_eq!(list.element("IsTruncated").as_deref(), Some("false"));
    assert!(list.element("NextMarker").is_none() && list.element("EncodingType").is_none());
    for contents in list.elements("Contents") {
        let read = |name| element(&contents, name).unwrap();
        assert_eq!(read("Type"), "Normal");
        assert_eq!(read("Size"), "1");
        assert_eq!(read("StorageClass"), "Standard");
        assert_eq!(read("LastModified"), "2026-01-15T08:30:45.000Z");
        assert_eq!(read("ETag").replace("&quot;", "\""), "\"9DD4E461268C8034F5C8564E155C67A6\"");
        assert_eq!(read("ID"), read("DisplayName"));
    }
}

#[tokio::test]
async fn a_delimiter_rolls_keys_up_and_a_marker_on_a_prefix_skips_all_of_it() {
    let fixture = with_keys(&["a/1", "a/2", "b", "c/1", "d"]).await;
    let list = fixture.call(get("/bkt/?delimiter=%2F")).await.expect(200);
    assert_eq!(list.elements("Key"), ["b", "d"]);
    assert_eq!(prefixes(&list), ["a/", "c/"]);
    let mut marker = String::new();
    let mut seen = Vec::new();
    loop {
        let target = format!("/bkt/?delimiter=/&max-keys=1&marker={marker}");
        let page = fixture.call(get(&target)).await.expect(200);
        seen.extend(page.elements("Key"));
        seen.extend(prefixes(&page));
        match page.element("NextMarker") {
            Some(next) => marker = next,
            None => break,
        }
        assert_eq!(page.element("IsTruncated").as_deref(), Some("true"));
        assert!(seen.len() <= 4, "{seen:?}");
    }
    assert_eq!(seen, ["a/", "b", "c/", "d"]);
    let folder = fixture.call(get("/bkt/?prefix=a/&delimiter=/")).await.expect(200);
    assert_eq!(folder.elements("Key"), ["a/1", "a/2"]);
    assert!(prefixes(&folder).is_empty());
}

#[tokio::test]
async fn version_two_pages_with_opaque_tokens() {
    let fixture = with_keys(&["a", "b", "c", "d%20e%2Bf"]).await;
    let first = fixture.call(get("/bkt/?list-type=2&max-keys=3")).await.expect(200);
    assert_eq!(first.elements("Key"), ["a", "b", "c"]);
    assert_eq!(first.element("KeyCount").as_deref(), Some("3"));
    assert_eq!(first.element("IsTruncated").as_deref(), Some("true"));
    assert!(first.element("Owner").is_none() && first.element("StartAfter").is_none());
    let token = first.element("NextContinuationToken").unwrap();
    for sign in [Sign::V1, Sign::V4] {
        let target = format!("/bkt/?list-type=2&start-after=zzz&continuation-token={token}");
        let rest = fixture.call(get(&target).sign(sign)).await.expect(200);
        assert_eq!(rest.elements("Key"), ["d e+f"]);
        assert_eq!(rest.element("ContinuationToken").as_deref(), Some(token.as_str()));
        assert_eq!(rest.element("StartAfter").as_deref(), Some("zzz"));
        assert!(rest.element("NextContinuationToken").is_none());
    }
    for bad in ["abc", "CgJiYw--", "%00"] {
        let target = format!("/bkt/?list-type=2&continuation-token={bad}");
        fixture.call(get(&target)).await.error(400, "InvalidArgument");
    }
    let after = get("/bkt/?list-type=2&start-after=b&fetch-owner=true&continuation-token=");
    let after = fixture.call(after).await.expect(200);
    assert_eq!(after.elements("Key"), ["c", "d e+f"]);
    assert_eq!(after.elements("Owner").len(), 2);
    assert!(after.element("ContinuationToken").is_none());
}

#[tokio::test]
async fn url_encoding_covers_names_and_nothing_else() {
    let fixture = with_keys(&["a%20b/%01c", "a%20b/+d", "e%26f"]).await;
    let target = "/bkt/?encoding-type=url&prefix=a%20b/&marker=a%20b&max-keys=1";
    let list = fixture.call(get(target)).await.expect(200);
    assert_eq!(list.element("EncodingType").as_deref(), Some("url"));
    assert_eq!(list.element("Prefix").as_deref(), Some("a%20b%2F"));
    assert_eq!(list.element("Marker").as_deref(), Some("a%20b"));
    assert_eq!(list.elements("Key"), ["a%20b%2F%01c"]);
    assert_eq!(list.element("NextMarker").as_deref(), Some("a%20b%2F%01c"));
    let second = fixture.call(get("/bkt/?list-type=2&encoding-type=URL&delimiter=/")).await;
    assert_eq!(second.element("Delimiter").as_deref(), Some("%2F"));
    assert_eq!(prefixes(&second), ["a%20b%2F"]);
    assert_eq!(second.elements("Key"), ["e%26f"]);
    fixture.call(get("/bkt/?encoding-type=base64")).await.error(400, "InvalidArgument");
}

#[tokio::test]
async fn bounds_of_the_parameters_are_kept() {
    let fixture = with_keys(&["a"]).await;
    let long = "x".repeat(1025);
    for name in ["prefix", "marker", "delimiter", "start-after"] {
        let version = if name == "start-after" { "list-type=2&" } else { "" };
        let target = format!("/bkt/?{version}{name}={long}");
        let refused = fixture.call(get(&target)).await.error(400, "InvalidArgument");
        assert_eq!(refused.element("ArgumentName").as_deref(), Some(name));
        let fits = format!("/bkt/?{version}{name}={}", &long[..1024]);
        fixture.call(get(&fits)).await.expect(200);
    }
    for bad in ["0", "1001", "-1", "ten", "1.0"] {
        for version in ["", "list-type=2&"] {
            let target = format!("/bkt/?{version}max-keys={bad}");
            fixture.call(get(&target)).await.error(400, "InvalidArgument");
        }
    }
    fixture.call(get("/bkt/?prefix=%FF")).await.error(400, "InvalidArgument");
    let empty = get("/bkt/?prefix&marker&delimiter=&max-keys=&encoding-type=");
    assert_eq!(fixture.call(empty).await.expect(200).elements("Key"), ["a"]);
    fixture.call(get("/none/")).await.error(404, "NoSuchBucket");
    fixture.call(get("/none/?list-type=2")).await.error(404, "NoSuchBucket");
}
