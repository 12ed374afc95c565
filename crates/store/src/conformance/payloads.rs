//! Payloads: written once, then kept, moved and shared by name.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::tools::{
    P, Seeded, delete, get, key, name, new, payload, put, put_with, reference, referred, scan_all,
    value, whole, write,
};
use crate::{Item, PAYLOAD_BYTES_MAX, Payload, PayloadRef, ReadError, Store, Writes};

/// Payloads of all sizes come back byte for byte, whatever pieces they were written in.
pub async fn a_payload_is_read_back(store: Arc<dyn Store>) {
    let mut seeded = Seeded::new(2);
    let around = |size: usize| [size - 1, size, size + 1];
    let sizes = [1, 2, 100].into_iter().chain(around(4_096)).chain(around(65_536));
    for size in sizes.chain([1 << 20, PAYLOAD_BYTES_MAX]) {
        let bytes = seeded.bytes(size);
        let cut = seeded.below(size + 1);
        let pieces = vec![Bytes::new(), key(&bytes[..cut]), Bytes::new(), key(&bytes[cut..])];
        put_with(&*store, P, &key("k"), "v", Payload::New(pieces)).await;
        let read = payload(&*store, P, &key("k")).await;
        assert!(read.as_deref() == Some(&bytes[..]), "{size} bytes come back");
    }
}

/// No bytes are no payload, and a put without one lets the old one go.
pub async fn an_empty_payload_is_none(store: Arc<dyn Store>) {
    let empty = [
        Payload::None,
        Payload::New(Vec::new()),
        Payload::New(vec![Bytes::new(), Bytes::new()]),
        Payload::Of(key("absent")),
        Payload::Of(key("bare")),
    ];
    put(&*store, P, &key("bare"), "no payload").await;
    for none in empty {
        put_with(&*store, P, &key("k"), "full", new("bytes")).await;
        put_with(&*store, P, &key("k"), "empty", none.clone()).await;
        let record = get(&*store, P, &key("k")).await.expect("the record stands");
        assert_eq!((record.value, record.payload), (key("empty"), None), "{none:?}");
    }
}

/// A record changes many times over one payload.
pub async fn a_payload_is_kept_under_a_changed_record(store: Arc<dyn Store>) {
    put_with(&*store, P, &key("k"), "0", new("kept bytes")).await;
    let first = reference(&*store, P, &key("k")).await;
    for step in 1..30 {
        put_with(&*store, P, &key("k"), format!("{step}"), Payload::Of(key("k"))).await;
        assert_eq!(value(&*store, P, &key("k")).await, Some(key(format!("{step}"))));
        assert_eq!(payload(&*store, P, &key("k")).await, Some(key("kept bytes")));
    }
    let told = referred(&*store, P, &key("k"), first).await;
    assert_eq!(told, Ok(key("kept bytes")), "the key still has the payload of its first record");
}

/// A payload moves to another key while its old key goes, or takes another's.
pub async fn payloads_move_between_keys(store: Arc<dyn Store>) {
    put_with(&*store, P, &key("a"), "a", new("of a")).await;
    put_with(&*store, P, &key("b"), "b", new("of b")).await;
    let mut swap = Writes::none();
    swap.put_with(key("a"), "a2", Payload::Of(key("b")));
    swap.put_with(key("b"), "b2", Payload::Of(key("a")));
    write(&*store, P, swap).await;
    assert_eq!(payload(&*store, P, &key("a")).await, Some(key("of b")));
    assert_eq!(payload(&*store, P, &key("b")).await, Some(key("of a")));

    let mut moved = Writes::none();
    moved.delete(key("a"));
    moved.put_with(key("c"), "c", Payload::Of(key("a")));
    write(&*store, P, moved).await;
    assert_eq!(value(&*store, P, &key("a")).await, None);
    assert_eq!(payload(&*store, P, &key("c")).await, Some(key("of b")));
}

/// Shared payloads live until the last key lets go.
pub async fn payloads_are_shared(store: Arc<dyn Store>) {
    put_with(&*store, P, &key("origin"), "v", new("shared bytes")).await;
    let mut share = Writes::none();
    share.put_with(key("one"), "v", Payload::Of(key("origin")));
    share.put_with(key("two"), "v", Payload::Of(key("origin")));
    write(&*store, P, share).await;
    delete(&*store, P, &key("origin")).await;
    assert_eq!(payload(&*store, P, &key("one")).await, Some(key("shared bytes")));
    put_with(&*store, P, &key("one"), "v", new("its own")).await;
    assert_eq!(payload(&*store, P, &key("one")).await, Some(key("its own")));
    assert_eq!(payload(&*store, P, &key("two")).await, Some(key("shared bytes")));
}

/// What is named by another key is what it had before the transaction, whatever the transaction does to that key.
pub async fn a_named_payload_is_that_of_the_state_before(store: Arc<dyn Store>) {
    put_with(&*store, P, &key("a"), "v", new("before")).await;
    let mut writes = Writes::none();
    writes.put_with(key("a"), "v", new("after"));
    writes.put_with(key("b"), "v", Payload::Of(key("a")));
    writes.put_with(key("c"), "v", Payload::Of(key("b")));
    write(&*store, P, writes).await;
    assert_eq!(payload(&*store, P, &key("a")).await, Some(key("after")));
    assert_eq!(payload(&*store, P, &key("b")).await, Some(key("before")));
    assert_eq!(payload(&*store, P, &key("c")).await, None);
}

/// A reference whose record is gone, or has another payload, yields what it named or [`ReadError::Gone`]; never other bytes.
pub async fn a_stale_reference_never_yields_other_bytes(store: Arc<dyn Store>) {
    let mut stale = Vec::new();
    for each in 0..40 {
        let (key, bytes) = (key(format!("k{each}")), key(format!("first payload {each}")));
        put_with(&*store, P, &key, "v", new(bytes.clone())).await;
        stale.push((key.clone(), reference(&*store, P, &key).await, bytes));
    }
    for (number, (key, ..)) in stale.iter().enumerate() {
        match number % 4 {
            0 => delete(&*store, P, key).await,
            1 => put_with(&*store, P, key, "v", new(format!("other payload {number:02}"))).await,
            2 => put_with(&*store, P, key, "v", Payload::None).await,
            _ => {
                let mut moved = Writes::none();
                moved.delete(key.clone());
                moved.put_with(format!("moved {number}").into(), "v", Payload::Of(key.clone()));
                write(&*store, P, moved).await;
            }
        }
    }
    for (key, wanted, bytes) in &stale {
        match referred(&*store, P, key, *wanted).await {
            Ok(read) => assert_eq!(read, *bytes),
            Err(told) => assert_eq!(told, ReadError::Gone),
        }
    }
}

/// Many payloads come at once, in the order asked, also when one is asked for twice; none asked for is none told.
pub async fn payloads_come_in_the_order_asked(store: Arc<dyn Store>) {
    let mut writes = Writes::none();
    for number in 0..500 {
        let payload = new(format!("payload {number}").repeat(1 + number % 5));
        writes.put_with(key(format!("k{number:03}")), "v", payload);
    }
    write(&*store, P, writes).await;
    let mut wanted: Vec<(Bytes, PayloadRef)> = Vec::new();
    for item in scan_all(&*store, P, &whole(100)).await {
        let Item::Record(key, record) = item else { panic!("nothing was folded") };
        wanted.push((key, record.payload.expect("each record has a payload")));
    }
    let mut seeded = Seeded::new(3);
    for _ in 0..500 {
        let (one, other) = (seeded.below(500), seeded.below(500));
        wanted.swap(one, other);
    }
    wanted.extend_from_within(..10);
    let read = store.payloads(P, wanted.clone()).await.expect("nothing has changed");
    assert_eq!(read.len(), wanted.len());
    for ((key, _), read) in wanted.iter().zip(read) {
        let number: usize =
            std::str::from_utf8(&key[1..]).expect("digits").parse().expect("digits");
        assert_eq!(read, format!("payload {number}").repeat(1 + number % 5));
    }
    assert_eq!(store.payloads(P, Vec::new()).await, Ok(Vec::new()));
}

/// Readers that follow a record to its payload while it is rewritten always get a payload that the record had.
pub async fn readers_follow_payloads_under_writers(store: Arc<dyn Store>) {
    let keys: Vec<Bytes> = (0..4).map(|number| key(format!("k{number}"))).collect();
    for each in &keys {
        put_with(&*store, P, each, "0", new("payload 0")).await;
    }
    let mut tasks = JoinSet::new();
    for each in keys.clone() {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for step in 1..40 {
                let payload = if step % 3 == 0 {
                    Payload::Of(each.clone())
                } else {
                    new(format!("payload {step}"))
                };
                put_with(
                    &*store,
                    P,
                    &each,
                    format!("{}", step - usize::from(step % 3 == 0)),
                    payload,
                )
                .await;
            }
        });
    }
    for _ in 0..2 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for _ in 0..40 {
                for item in scan_all(&*store, P, &whole(3)).await {
                    let key = name(&item).clone();
                    let Item::Record(_, record) = item else { panic!("nothing was folded") };
                    let wanted = record.payload.expect("each record has a payload");
                    let step = std::str::from_utf8(&record.value).expect("digits");
                    match referred(&*store, P, &key, wanted).await {
                        Ok(read) => assert_eq!(read, format!("payload {step}")),
                        Err(told) => assert_eq!(told, ReadError::Gone),
                    }
                }
            }
        });
    }
    tasks.join_all().await;
}
