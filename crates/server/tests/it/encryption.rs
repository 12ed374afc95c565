//! Encryption at rest on the wire: who asks for it, and who is told.

use crate::drive::*;

const SSE: &str = "x-oss-server-side-encryption";

fn copy(target: &str, source: &str) -> Call {
    put(target).header("x-oss-copy-source", source)
}

fn is_told(answer: &Response) -> bool {
    match answer.header(SSE) {
        None => false,
        Some(value) => value == "AES256" || panic!("{value}"),
    }
}

/// Uploads a key in two parts; whether each answer told of encryption.
async fn upload(fixture: &Fixture, key: &str, asked: bool) -> Vec<bool> {
    let mut first = post(&format!("{key}?uploads"));
    if asked {
        first = first.header(SSE, "AES256");
    }
    let begun = fixture.call(first).await.expect(200);
    let id = begun.element("UploadId").unwrap();
    let mut told = vec![is_told(&begun)];
    for number in [1, 2] {
        let target = format!("{key}?partNumber={number}&uploadId={id}");
        let part = vec![number as u8; 110_000];
        told.push(is_told(&fixture.call(put(&target).body(part)).await.expect(200)));
    }
    let target = format!("{key}?uploadId={id}");
    let done = fixture.call(post(&target).header("x-oss-complete-all", "yes")).await.expect(200);
    told.push(is_told(&done));
    let expected = [vec![1; 110_000], vec![2; 110_000]].concat();
    assert!(fixture.call(get(key)).await.expect(200).body == expected);
    told
}

#[tokio::test]
async fn whoever_asks_for_encryption_is_told_of_it_by_every_answer() {
    let fixture = Fixture::with_bucket().await;
    let asked = fixture.call(put("/bkt/put").body("hello").header(SSE, "AES256")).await;
    assert!(is_told(&asked.expect(200)));
    let first = append("/bkt/log", 0, "hel").header(SSE, "AES256");
    assert!(is_told(&fixture.call(first).await.expect(200)));
    // Which says nothing, or something else, and is encrypted as the first one was.
    assert!(is_told(&fixture.call(append("/bkt/log", 3, "l")).await.expect(200)));
    let later = append("/bkt/log", 4, "o").header(SSE, "KMS");
    assert!(is_told(&fixture.call(later).await.expect(200)));
    let made = copy("/bkt/copy", "/bkt/put").header(SSE, "AES256");
    assert!(is_told(&fixture.call(made).await.expect(200)));
    for key in ["/bkt/put", "/bkt/log", "/bkt/copy"] {
        let read = fixture.call(get(key)).await.expect(200);
        assert!(is_told(&read) && read.text() == "hello", "{key}");
        let part = fixture.call(get(key).header("range", "bytes=1-3")).await.expect(206);
        assert!(is_told(&part) && part.text() == "ell", "{key}");
        assert!(is_told(&fixture.call(head(key)).await.expect(200)), "{key}");
    }
    // A copy is encrypted if it says so, and not because its source is.
    let plain = fixture.call(copy("/bkt/plain", "/bkt/put")).await.expect(200);
    assert!(!is_told(&plain) && !is_told(&fixture.call(head("/bkt/plain")).await));
    assert_eq!(fixture.call(get("/bkt/plain")).await.text(), "hello");
    assert_eq!(upload(&fixture, "/bkt/parts", true).await, [true; 4]);
    assert_eq!(upload(&fixture, "/bkt/plain-parts", false).await, [false; 4]);
    assert!(is_told(&fixture.call(head("/bkt/parts")).await));
}

#[tokio::test]
async fn what_a_later_append_says_of_encryption_is_not_looked_at() {
    let fixture = Fixture::with_bucket().await;
    let said = [
        (SSE, "KMS"),
        (SSE, "none such"),
        ("x-oss-server-side-encryption-key-id", "9468da86-3509-4f8d-a61e-6eab1eac"),
        ("x-oss-server-side-data-encryption", "SM4"),
    ];
    for (key, encrypted) in [("/bkt/plain", false), ("/bkt/sealed", true)] {
        let first = append(key, 0, "0");
        let first = if encrypted { first.header(SSE, "AES256") } else { first };
        fixture.call(first).await.expect(200);
        for (position, (name, value)) in (1..).zip(said) {
            let later = append(key, position, "1").header(name, value);
            assert_eq!(is_told(&fixture.call(later).await.expect(200)), encrypted, "{name}");
        }
        let all = said.into_iter().fold(append(key, 5, "2"), |call, (name, value)| {
            if value == "none such" { call } else { call.header(name, value) }
        });
        assert_eq!(is_told(&fixture.call(all).await.expect(200)), encrypted);
        assert_eq!(fixture.call(get(key)).await.expect(200).text(), "011112");
        // At the wrong place that is what is told, as without them.
        let again = append(key, 0, "3").header(SSE, "KMS");
        let refused = fixture.call(again).await.error(409, "PositionNotEqualToLength");
        assert_eq!(refused.must("x-oss-next-append-position"), "6");
    }
    let first = append("/bkt/new", 0, "0").header(SSE, "KMS");
    fixture.call(first).await.error(400, "KmsServiceNotEnabled");
    fixture.call(head("/bkt/new")).await.expect(404);
}

#[tokio::test]
async fn the_buckets_default_encrypts_what_does_not_say_and_only_what_comes_after() {
    let fixture = Fixture::with_bucket().await;
    fixture.call(put("/bkt/before").body("x")).await.expect(200);
    let rule = "<ServerSideEncryptionRule><ApplyServerSideEncryptionByDefault>\
                <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>\
                </ServerSideEncryptionRule>";
    fixture.call(put("/bkt/?encryption").body(rule)).await.expect(200);
    for call in
        [put("/bkt/put").body("x"), append("/bkt/log", 0, "x"), copy("/bkt/copy", "/bkt/put")]
    {
        assert!(is_told(&fixture.call(call).await.expect(200)));
    }
    assert_eq!(upload(&fixture, "/bkt/parts", false).await, [true; 4]);
    assert!(!is_told(&fixture.call(head("/bkt/before")).await.expect(200)));
    // New headers for an object leave its bytes alone, unless they name the encryption.
    let edit = || copy("/bkt/before", "/bkt/before").header("x-oss-metadata-directive", "REPLACE");
    assert!(!is_told(&fixture.call(edit()).await.expect(200)));
    assert!(is_told(&fixture.call(edit().header(SSE, "AES256")).await.expect(200)));
    let read = fixture.call(get("/bkt/before")).await.expect(200);
    assert!(is_told(&read) && read.text() == "x");
    fixture.call(delete("/bkt/?encryption")).await.expect(204);
    assert!(!is_told(&fixture.call(put("/bkt/after").body("x")).await.expect(200)));
    assert!(is_told(&fixture.call(append("/bkt/log", 1, "y")).await.expect(200)));
}
