//! A hostile store does all that it threatens, the same for the same seed, and a plain one does none of it.

#![expect(clippy::unwrap_used, reason = "a panic is a failed assertion with a line number")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use ossia_store::{
    BlobError, Blobs, Fold, Hostility, Index, Item, MemoryOptions, MemoryStore, Partition, Payload,
    ReadError, Rejection, Scan, Settled, StoreError, Token, Transaction, View, Writes,
};

const P: Partition = Partition(5);

fn hostile(hostility: Hostility) -> MemoryStore {
    MemoryStore::new(MemoryOptions { hostility: Some(hostility), ..Default::default() })
}

fn key(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn whole(limit: usize) -> Scan {
    Scan { start: Bytes::new(), end: None, limit, fold: None }
}

/// What can be seen of a store's behaviour, and how often it was.
type Seen = BTreeMap<&'static str, u32>;

/// Puts numbers under two keys, sometimes deleting one, and notes how the store went about it.
async fn watched_put(store: &MemoryStore, step: u64, seen: &Mutex<Seen>) {
    let note = |what| *seen.lock().unwrap().entry(what).or_default() += 1;
    let runs = Arc::new(Mutex::new(Vec::new()));
    let watched = Arc::clone(&runs);
    let body = move |view: &dyn View| {
        let values = ["a", "b"].map(|name| view.get(&key(name)).map(|read| read.map(|r| r.value)));
        watched.lock().unwrap().push(values.clone());
        let [a, b] = values;
        let (_, _) = (a?, b?);
        let mut writes = Writes::none();
        writes.put_with(key("a"), step.to_string(), Payload::New(vec![key("payload")]));
        if step.is_multiple_of(3) {
            writes.delete(key("b"));
        } else {
            writes.put(key("b"), step.to_string());
        }
        Ok(writes)
    };
    let token = Token::unique();
    let body = Arc::new(body);
    let sent = store.submit(Transaction { partition: P, token, hints: vec![key("a")], body }).await;

    let runs = std::mem::take(&mut *runs.lock().unwrap());
    let last = runs.last().cloned();
    let complete = runs.iter().filter(|run| run.iter().all(Result::is_ok)).count();
    if complete < runs.len() {
        note("a key was not brought");
    }
    if complete > 1 {
        note("a complete run was thrown away");
    }
    if runs.iter().any(|run| run.iter().all(Result::is_ok) && Some(run) != last.as_ref()) {
        note("a run saw another state than the last");
    }
    match sent {
        Ok(()) => note("an outcome was told"),
        Err(StoreError::Rejected(why)) => {
            assert_eq!(why, Rejection::Busy);
            note("the store was busy");
        }
        Err(StoreError::Unknown(_)) => {
            let before = store.get(P, key("a")).await.map(|read| read.map(|r| r.value));
            loop {
                match store.settle(P, token).await {
                    Err(StoreError::Unknown(_)) => note("an outcome could not be settled yet"),
                    Err(StoreError::Rejected(why)) => panic!("{why}"),
                    Ok(Settled::Absent) => break note("an unknown outcome was absent"),
                    Ok(Settled::Committed) => {
                        let stood = before == Ok(Some(key(&step.to_string())));
                        break note(if stood {
                            "an unknown outcome was a commit"
                        } else {
                            "an unknown outcome became a commit while it was settled"
                        });
                    }
                }
            }
        }
    }
}

async fn watched_reads(store: &MemoryStore, seen: &Mutex<Seen>) {
    let note = |what| *seen.lock().unwrap().entry(what).or_default() += 1;
    let mut places = Vec::new();
    for _ in 0..2 {
        match store.get(P, key("standing")).await {
            Ok(read) => places.push(read.unwrap().payload),
            Err(why) => {
                assert!(matches!(why, ReadError::Io(_)));
                note("a read failed");
            }
        }
    }
    if places.windows(2).any(|two| two[0] != two[1]) {
        note("a payload moved under its record");
        let wanted = places.iter().map(|place| (key("standing"), place.unwrap())).collect();
        if let Ok(read) = store.payloads(P, wanted).await {
            assert_eq!(read, ["payload", "payload"], "both references are followed");
        }
    }
    let Ok(page) = store.scan(Partition(6), whole(10)).await else { return note("a read failed") };
    match (page.items.len(), &page.resume) {
        (0, Some(_)) => note("a page was empty and led on"),
        (1..10, Some(_)) => note("a page was short and led on"),
        (10, None) => note("a page ended with the range"),
        (10, Some(_)) => note("a page led on to nothing"),
        told => panic!("{told:?}"),
    }
}

async fn watched_blob(store: &MemoryStore, seen: &Mutex<Seen>) {
    let note = |what| *seen.lock().unwrap().entry(what).or_default() += 1;
    let made = async {
        let mut writer = store.create(key("owner")).await?;
        writer.write(key("content")).await?;
        let id = writer.finish().await?.id;
        assert_eq!(store.open(id).await?.read(0, 7).await?, "content");
        Ok(id)
    };
    let id = match made.await {
        Ok(id) => id,
        Err(why) => {
            assert!(matches!(why, BlobError::Io(_)));
            return note("a blob could not be made");
        }
    };
    if store.adopt(id).await.is_err() {
        note("a blob could not be adopted");
    }
    if store.delete(id).await.is_err() {
        note("a blob could not be deleted");
    }
}

/// A small workload, and what was seen of the store on the way.
async fn watch(store: &MemoryStore, steps: u64) -> Seen {
    let plain = |writes: Writes| Arc::new(move |_: &dyn View| Ok(writes.clone()));
    let mut standing = Writes::none();
    standing.put_with(key("standing"), "v", Payload::New(vec![key("payload")]));
    let mut ten = Writes::none();
    for number in 0..10 {
        ten.put(key(&format!("k{number}")), "v");
    }
    for (partition, writes) in [(P, standing), (Partition(6), ten)] {
        loop {
            let token = Token::unique();
            let body = plain(writes.clone());
            let told =
                store.submit(Transaction { partition, token, hints: Vec::new(), body }).await;
            if told.is_ok() {
                break;
            }
        }
    }
    let seen = Mutex::new(Seen::new());
    let watching = async {
        for step in 0..steps {
            watched_put(store, step, &seen).await;
            watched_reads(store, &seen).await;
            watched_blob(store, &seen).await;
        }
    };
    watching.await;
    seen.into_inner().unwrap()
}

const QUIET: [&str; 2] = ["a page ended with the range", "an outcome was told"];

const HIDDEN: [&str; 14] = [
    "a blob could not be adopted",
    "a blob could not be deleted",
    "a complete run was thrown away",
    "a key was not brought",
    "a page ended with the range",
    "a page led on to nothing",
    "a page was empty and led on",
    "a page was short and led on",
    "a payload moved under its record",
    "a run saw another state than the last",
    "an outcome could not be settled yet",
    "an outcome was told",
    "an unknown outcome was a commit",
    "an unknown outcome was absent",
];

#[tokio::test]
async fn a_plain_store_does_nothing_of_the_kind() {
    let seen = watch(&MemoryStore::new(MemoryOptions::default()), 50).await;
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), QUIET);
}

#[tokio::test]
async fn a_hostile_store_does_all_that_stays_hidden() {
    let seen = watch(&hostile(Hostility::new(3)), 2_000).await;
    let rare = "an unknown outcome became a commit while it was settled";
    let told: Vec<_> = seen.into_keys().filter(|what| *what != rare).collect();
    assert_eq!(told, HIDDEN);
}

#[tokio::test]
async fn what_must_surface_is_done_when_asked_for() {
    let loud = Hostility {
        busy_per_mille: 100,
        read_fails_per_mille: 100,
        blob_fails_per_mille: 100,
        ..Hostility::new(3)
    };
    let seen = watch(&hostile(loud), 100).await;
    for what in ["the store was busy", "a read failed", "a blob could not be made"] {
        assert!(seen.contains_key(what), "{what}: {seen:?}");
    }
}

#[tokio::test]
async fn chances_of_never_and_always_are_kept() {
    let tame = Hostility {
        brings_max: 0,
        discards_max: 0,
        stale_per_mille: 0,
        yields_max: 0,
        unknown_per_mille: 0,
        settle_unknown_max: 0,
        short_page_per_mille: 0,
        relocation_per_mille: 0,
        blob_move_fails_per_mille: 0,
        ..Hostility::new(4)
    };
    let seen = watch(&hostile(tame.clone()), 50).await;
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), QUIET);
    let seen = watch(&hostile(Hostility { relocation_per_mille: 1_000, ..tame }), 50).await;
    assert_eq!(seen["a payload moved under its record"], 50);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_history() {
    let one = watch(&hostile(Hostility::new(8)), 300).await;
    let same = watch(&hostile(Hostility::new(8)), 300).await;
    let other = watch(&hostile(Hostility::new(9)), 300).await;
    assert_eq!(one, same);
    assert_ne!(one, other);
}

/// The caller goes away, as a client's handler does; the transaction may well be done all the same.
#[tokio::test]
async fn a_transaction_goes_on_without_its_caller() {
    let store = hostile(Hostility { unknown_per_mille: 0, ..Hostility::new(5) });
    let ran = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&ran);
    let body = move |_: &dyn View| {
        noted.store(true, Ordering::SeqCst);
        let mut writes = Writes::none();
        writes.put(key("k"), "v");
        Ok(writes)
    };
    let body = Arc::new(body);
    let sent = Transaction { partition: P, token: Token::unique(), hints: Vec::new(), body };
    tokio::select! {
        biased;
        _ = store.submit(sent) => panic!("it takes more than one turn"),
        () = std::future::ready(()) => {}
    }
    assert!(!ran.load(Ordering::SeqCst));
    while store.get(P, key("k")).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_folded_page_that_is_cut_short_loses_no_group() {
    let store = hostile(Hostility { short_page_per_mille: 1_000, ..Hostility::new(6) });
    let mut writes = Writes::none();
    for group in 0..30 {
        for inside in 0..5 {
            writes.put(key(&format!("{group:02}/{inside}")), "v");
        }
    }
    let body = Arc::new(move |_: &dyn View| Ok(writes.clone()));
    loop {
        let (token, hints, body) = (Token::unique(), Vec::new(), Arc::clone(&body));
        let sent = Transaction { partition: P, token, hints, body };
        if store.submit(sent).await.is_ok() {
            break;
        }
    }
    for _ in 0..20 {
        let mut scan = Scan {
            fold: Some(Fold { at: 0, delimiter: key("/") }),
            end: Some(key("25")),
            ..whole(8)
        };
        let mut groups = Vec::new();
        loop {
            let page = store.scan(P, scan.clone()).await.unwrap();
            groups.extend(page.items);
            let Some(resume) = page.resume else { break };
            scan.start = resume;
        }
        let wanted: Vec<_> =
            (0..25).map(|group| Item::Prefix(key(&format!("{group:02}/")))).collect();
        assert_eq!(groups, wanted);
    }
}
