//! Scans: byte order, ranges, limits, resuming, and rolled-up groups.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::tools::{
    P, Seeded, count, delete, fold, key, name, names, number, scan_all, whole, write,
};
use crate::{Item, KEY_BYTES_MAX, SCAN_LIMIT_MAX, Scan, Store, Writes, successor};

/// The pages' sizes that a scan is tried with.
const LIMITS: [usize; 5] = [1, 2, 3, 7, SCAN_LIMIT_MAX];

/// Puts keys with a value of their own.
async fn fill<K: AsRef<[u8]>>(store: &dyn Store, keys: impl IntoIterator<Item = K>) {
    let keys: Vec<Bytes> = keys.into_iter().map(key).collect();
    for some in keys.chunks(500) {
        let mut writes = Writes::none();
        for each in some {
            writes.put(each.clone(), [b"value of ", each.as_ref()].concat());
        }
        write(store, P, writes).await;
    }
}

/// What a scan tells, from the words of the contract: one key after the other, in the plainest way.
pub(super) fn expected<V: Clone>(
    records: &BTreeMap<Bytes, V>,
    scan: &Scan,
) -> Vec<(Bytes, Option<V>)> {
    let mut told: Vec<(Bytes, Option<V>)> = Vec::new();
    for (key, value) in records {
        if *key < scan.start || scan.end.as_ref().is_some_and(|end| key >= end) {
            continue;
        }
        let prefix = scan.fold.as_ref().and_then(|fold| {
            let width = fold.delimiter.len();
            let found = (fold.at..key.len()).find(|&at| key[at..].starts_with(&fold.delimiter))?;
            Some(key.slice(..found + width))
        });
        match prefix {
            None => told.push((key.clone(), Some(value.clone()))),
            Some(prefix) if told.last().is_some_and(|(last, _)| *last == prefix) => {}
            Some(prefix) => told.push((prefix, None)),
        }
    }
    told
}

/// The names that a scan tells, the same for pages of every size.
async fn told(store: &dyn Store, scan: Scan) -> Vec<Bytes> {
    let all = names(store, P, &scan).await;
    for limit in LIMITS {
        assert_eq!(names(store, P, &Scan { limit, ..scan.clone() }).await, all, "limit {limit}");
    }
    all
}

/// Keys come in byte order, with their records, from the start (inclusive) to the end (exclusive).
pub async fn a_range_is_told_in_byte_order(store: Arc<dyn Store>) {
    let long = key([b'l'; KEY_BYTES_MAX]);
    let sorted: Vec<Bytes> = [
        &b"\0"[..],
        b"\0\0",
        b"\x01",
        b"A",
        b"a",
        b"a\0",
        b"a\0b",
        b"a/",
        b"aa",
        b"b",
        &long,
        b"\x7f",
        b"\x80",
        b"\xfe\xff",
        b"\xff",
        b"\xff\0",
        b"\xff\xff",
        b"\xff\xff\xff",
    ]
    .map(key)
    .to_vec();
    fill(&*store, sorted.iter().rev()).await;
    assert_eq!(told(&*store, whole(5)).await, sorted);
    for item in scan_all(&*store, P, &whole(4)).await {
        let Item::Record(key, record) = item else { panic!("nothing was folded") };
        assert_eq!(record.value, [b"value of ", key.as_ref()].concat());
        assert_eq!(record.payload, None);
    }
    for from in 0..sorted.len() {
        for to in 0..sorted.len() {
            let end = Some(sorted[to].clone());
            let scan = Scan { start: sorted[from].clone(), end, ..whole(3) };
            let wanted = sorted.get(from..to).unwrap_or_default();
            assert_eq!(names(&*store, P, &scan).await, wanted, "{scan:?}");
        }
    }
}

/// An empty or inverted range is empty, and bounds need not be keys.
pub async fn bounds_need_not_be_keys(store: Arc<dyn Store>) {
    fill(&*store, ["b", "d", "f"]).await;
    let between =
        |start: &str, end: &str| Scan { start: key(start), end: Some(key(end)), ..whole(9) };
    assert_eq!(told(&*store, between("a", "c")).await, [key("b")]);
    assert_eq!(told(&*store, between("b", "d\0")).await, [key("b"), key("d")]);
    assert_eq!(told(&*store, between("c", "z")).await, [key("d"), key("f")]);
    assert_eq!(told(&*store, Scan { start: key([b'd'; 3_000]), ..whole(9) }).await, [key("f")]);
    for (start, end) in [("b", "b"), ("c", "c"), ("d", "b"), ("z", "a"), ("", "")] {
        assert!(told(&*store, between(start, end)).await.is_empty(), "{start:?} to {end:?}");
    }
}

/// A page of exactly the limit, and one of a key less and a key more, all lead to the end.
pub async fn a_page_may_end_with_the_range(store: Arc<dyn Store>) {
    let keys: Vec<Bytes> = (0..40).map(|number| key(format!("k{number:02}"))).collect();
    fill(&*store, &keys).await;
    for limit in [39, 40, 41, SCAN_LIMIT_MAX] {
        assert_eq!(names(&*store, P, &whole(limit)).await, keys);
    }
    let scan = Scan { end: Some(key("k20")), ..whole(20) };
    assert_eq!(names(&*store, P, &scan).await, keys[..20]);
}

/// Keys that share all up to the first delimiter are one prefix; the others are records.
pub async fn a_fold_tells_each_group_once(store: Arc<dyn Store>) {
    let inside = (0..50).map(|number| format!("dir/{number}/deep"));
    let keys = ["/", "/x", "dir", "dir.txt", "dir0", "other/", "zz"].map(String::from);
    fill(&*store, keys.into_iter().chain(inside)).await;
    let wanted = ["/", "dir", "dir.txt", "dir/", "dir0", "other/", "zz"].map(key);
    let scan = Scan { fold: fold(0, b"/"), ..whole(9) };
    assert_eq!(told(&*store, scan.clone()).await, wanted);
    for item in scan_all(&*store, P, &scan).await {
        let is_prefix = matches!(item, Item::Prefix(_));
        assert_eq!(is_prefix, name(&item).ends_with(b"/"), "{item:?}");
    }
}

/// The search for the delimiter begins at a byte of the key; a key too short for it is a record.
pub async fn a_fold_starts_at_its_byte(store: Arc<dyn Store>) {
    fill(&*store, ["a/", "a/b", "a/b/", "a/b/c", "a/b/d", "a/c/e", "b/b/c", "x"]).await;
    let at = async |at: usize| told(&*store, Scan { fold: fold(at, b"/"), ..whole(9) }).await;
    assert_eq!(at(0).await, ["a/", "b/", "x"].map(key));
    assert_eq!(at(1).await, ["a/", "b/", "x"].map(key));
    assert_eq!(at(2).await, ["a/", "a/b", "a/b/", "a/c/", "b/b/", "x"].map(key));
    assert_eq!(at(3).await, ["a/", "a/b", "a/b/", "a/c/", "b/b/", "x"].map(key));
    let all = ["a/", "a/b", "a/b/", "a/b/c", "a/b/d", "a/c/e", "b/b/c", "x"].map(key);
    assert_eq!(at(4).await, all);
    assert_eq!(at(usize::MAX).await, all);
}

/// A delimiter of several bytes is found where it first stands whole.
pub async fn a_delimiter_may_have_several_bytes(store: Arc<dyn Store>) {
    fill(&*store, ["a-", "a--", "a---b", "a--b", "a-b--c", "a-b-c", "b--", "--", "---"]).await;
    let scan = Scan { fold: fold(0, b"--"), ..whole(9) };
    assert_eq!(told(&*store, scan).await, ["--", "a-", "a--", "a-b--", "a-b-c", "b--"].map(key));
    let scan = Scan { fold: fold(2, b"--"), ..whole(9) };
    let wanted = ["--", "---", "a-", "a--", "a---", "a--b", "a-b--", "a-b-c", "b--"].map(key);
    assert_eq!(told(&*store, scan).await, wanted);
    let scan = Scan { fold: fold(0, b"no such delimiter in any key"), ..whole(9) };
    assert_eq!(told(&*store, scan).await.len(), 9);
}

/// A range that begins or ends inside a group tells the group if any of its keys is in the range.
pub async fn a_range_may_cut_a_group(store: Arc<dyn Store>) {
    fill(&*store, ["a", "d/1", "d/2", "d/3", "e"]).await;
    let between = async |start: &str, end: &str| {
        let end = Some(key(end));
        told(&*store, Scan { start: key(start), end, limit: 9, fold: fold(0, b"/") }).await
    };
    assert_eq!(between("d/2", "z").await, ["d/", "e"].map(key));
    assert_eq!(between("d/3\0", "z").await, ["e"].map(key));
    assert_eq!(between("a", "d/2").await, ["a", "d/"].map(key));
    assert_eq!(between("a", "d/1").await, ["a"].map(key));
    assert_eq!(between("d/2", "d/3").await, ["d/"].map(key));
    assert!(between("d/4", "d/5").await.is_empty());
    assert_eq!(between("d0", "z").await, ["e"].map(key));
}

/// Groups of bytes 0xFF have no successor of the same length, or none at all.
pub async fn groups_of_the_last_byte_end(store: Arc<dyn Store>) {
    fill(&*store, [&b"a\xff"[..], b"a\xffb", b"b", b"\xff", b"\xff\xff", b"\xff\xff\xffz"]).await;
    let scan = Scan { fold: fold(0, b"\xff"), ..whole(9) };
    assert_eq!(told(&*store, scan).await, [&b"a\xff"[..], b"b", b"\xff"].map(key));
    let scan = Scan { fold: fold(1, b"\xff"), ..whole(9) };
    assert_eq!(told(&*store, scan).await, [&b"a\xff"[..], b"b", b"\xff", b"\xff\xff"].map(key));
}

/// A page that ends with a group resumes past it, whatever is put into the group between the pages.
pub async fn a_page_resumes_past_its_last_group(store: Arc<dyn Store>) {
    fill(&*store, ["a/1", "a/2", "b/1", "c"]).await;
    let mut start = Bytes::new();
    let mut seen = Vec::new();
    for round in 0..20 {
        let scan = Scan { start: start.clone(), end: None, limit: 1, fold: fold(0, b"/") };
        let page = store.scan(P, scan).await.expect("a range can be scanned");
        for item in &page.items {
            seen.push(name(item).clone());
            if let Item::Prefix(prefix) = item {
                let past = successor(prefix).expect("no byte here is 0xFF");
                assert!(page.resume.as_ref().is_some_and(|resume| *resume >= past));
            }
        }
        fill(&*store, [format!("a/new {round}"), format!("b/new {round}")]).await;
        match page.resume {
            Some(resume) => start = resume,
            None => break,
        }
    }
    assert_eq!(seen, ["a/", "b/", "c"].map(key));
}

/// A deleted key is told no more, and a group is gone with its last key.
pub async fn what_is_deleted_is_told_no_more(store: Arc<dyn Store>) {
    fill(&*store, ["d/1", "d/2", "k"]).await;
    let scan = Scan { fold: fold(0, b"/"), ..whole(9) };
    delete(&*store, P, &key("d/1")).await;
    assert_eq!(told(&*store, scan.clone()).await, ["d/", "k"].map(key));
    delete(&*store, P, &key("d/2")).await;
    assert_eq!(told(&*store, scan.clone()).await, ["k"].map(key));
    delete(&*store, P, &key("k")).await;
    assert!(told(&*store, scan.clone()).await.is_empty());
    fill(&*store, ["d/2"]).await;
    assert_eq!(told(&*store, scan).await, ["d/"].map(key));
}

/// A page shows one state: records that are always written together are never seen apart.
pub async fn a_page_is_one_state(store: Arc<dyn Store>) {
    const WIDTH: usize = 60;
    let keys: Vec<Bytes> = (0..WIDTH).map(|number| key(format!("k{number:03}"))).collect();
    let all = |step: u64| {
        let mut writes = Writes::none();
        for each in &keys {
            writes.put(each.clone(), number(step));
        }
        writes
    };
    write(&*store, P, all(0)).await;
    let mut writers = JoinSet::new();
    for writer in 0..3 {
        let store = Arc::clone(&store);
        let steps: Vec<Writes> = (0..40).map(|step| all(writer * 100 + step)).collect();
        writers.spawn(async move {
            for writes in steps {
                write(&*store, P, writes).await;
            }
        });
    }
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..2 {
        let (store, over) = (Arc::clone(&store), Arc::clone(&over));
        readers.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let page = store.scan(P, whole(WIDTH)).await.expect("a range can be scanned");
                let told = page.items.iter().map(|item| match item {
                    Item::Record(_, record) => count(Some(record)),
                    Item::Prefix(_) => panic!("nothing was folded"),
                });
                let told: Vec<u64> = told.collect();
                assert!(told.windows(2).all(|two| two[0] == two[1]), "one page tells {told:?}");
                tokio::task::yield_now().await;
            }
        });
    }
    writers.join_all().await;
    over.store(true, Ordering::SeqCst);
    readers.join_all().await;
}

/// Pages that are asked for together show one state, in the order asked: what goes to and fro between two ranges is always in exactly
/// one of them.
pub async fn pages_asked_for_together_are_of_one_state(store: Arc<dyn Store>) {
    let (here, there) = (key("a/k"), key("b/k"));
    fill(&*store, ["a/first", "b/last"]).await;
    let to = |new: &Bytes, old: &Bytes, step: u64| {
        let mut writes = Writes::none();
        writes.put(new.clone(), number(step));
        writes.delete(old.clone());
        writes
    };
    write(&*store, P, to(&here, &there, 0)).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..2 {
        let (store, over) = (Arc::clone(&store), Arc::clone(&over));
        readers.spawn(async move {
            let within = |from: &str, to: &str| Scan {
                start: key(from),
                end: Some(key(to)),
                limit: 10,
                fold: None,
            };
            while !over.load(Ordering::SeqCst) {
                let scans = vec![within("b/k", "b/l"), within("a/k", "a/l")];
                let pages = store.scans(P, scans).await.expect("ranges can be scanned");
                let told: Vec<usize> = pages.iter().map(|page| page.items.len()).collect();
                assert!(told == [0, 1] || told == [1, 0], "{told:?}");
                tokio::task::yield_now().await;
            }
        });
    }
    for step in 0..60 {
        write(&*store, P, to(&there, &here, step)).await;
        write(&*store, P, to(&here, &there, step)).await;
    }
    over.store(true, Ordering::SeqCst);
    readers.join_all().await;
    let pages = store.scans(P, Vec::new()).await.expect("nothing can be asked for");
    assert!(pages.is_empty());
}

/// A scan that pages along while others write tells every key that stood throughout, once.
pub async fn paging_under_writers_misses_nothing_that_stands(store: Arc<dyn Store>) {
    let standing: Vec<Bytes> = (0..120).map(|number| key(format!("k{number:03}"))).collect();
    fill(&*store, &standing).await;
    let mut tasks = JoinSet::new();
    for writer in 0..2 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for step in 0..40 {
                let passing = key(format!("k{:03} passing {writer}", step * 3));
                super::tools::put(&*store, P, &passing, "v").await;
                delete(&*store, P, &passing).await;
            }
        });
    }
    for _ in 0..5 {
        let mut seen = names(&*store, P, &whole(7)).await;
        seen.retain(|key| !key.windows(7).any(|word| word == b"passing"));
        assert_eq!(seen, standing);
    }
    tasks.join_all().await;
}

/// Random ranges, limits and folds over random keys tell what an ordered map tells.
pub async fn random_scans_agree_with_an_ordered_map(store: Arc<dyn Store>) {
    const LETTERS: &[u8] = b"ab/-\0\xff";
    let mut seeded = Seeded::new(9);
    let word = |seeded: &mut Seeded, most: usize| -> Bytes {
        let length = seeded.below(most + 1);
        (0..length).map(|_| LETTERS[seeded.below(LETTERS.len())]).collect()
    };
    let mut records = BTreeMap::new();
    for _ in 0..400 {
        let key = word(&mut seeded, 6);
        if !key.is_empty() {
            records.insert(key.clone(), Bytes::from([b"value of ", key.as_ref()].concat()));
        }
    }
    fill(&*store, records.keys()).await;
    for _ in 0..250 {
        let fold = (seeded.below(4) > 0).then(|| {
            let delimiter = [&b"/"[..], b"-", b"--", b"/-", b"\xff", b"a"][seeded.below(6)];
            crate::Fold { at: seeded.below(5), delimiter: key(delimiter) }
        });
        let end = (seeded.below(3) > 0).then(|| word(&mut seeded, 4));
        let start = word(&mut seeded, 4);
        let most = [2, 10, SCAN_LIMIT_MAX][seeded.below(3)];
        let limit = 1 + seeded.below(most);
        let scan = Scan { start, end, limit, fold };
        let told: Vec<_> = scan_all(&*store, P, &scan)
            .await
            .into_iter()
            .map(|item| match item {
                Item::Record(key, record) => (key, Some(record.value)),
                Item::Prefix(prefix) => (prefix, None),
            })
            .collect();
        assert_eq!(told, expected(&records, &scan), "{scan:?}");
    }
}
