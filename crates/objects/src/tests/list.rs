//! Listing, against the definition of `buckets.md` §7 in the plainest form.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::support::{Mode, World, in_every_world, key, logs, modes, name, plain, settings};
use crate::{ListError, ListInput, ListOutput};

fn input(prefix: &str, delimiter: &str, after: Option<&str>, limit: usize) -> ListInput {
    ListInput {
        bucket: logs(),
        prefix: prefix.into(),
        delimiter: Some(delimiter.into()),
        after: after.map(Into::into),
        limit,
    }
}

/// What a listing holds, one line for each key or common prefix, in order; prefixes are marked.
fn lines(output: &ListOutput) -> Vec<(String, bool)> {
    let keys = output.objects.iter().map(|object| (object.key.as_str().to_owned(), false));
    let prefixes = output.prefixes.iter().map(|prefix| (prefix.clone(), true));
    let mut lines: Vec<_> = keys.chain(prefixes).collect();
    lines.sort();
    lines
}

/// The definition: keys after the marker, rolled up, but for the group that the marker itself is.
fn model(keys: &BTreeSet<String>, input: &ListInput) -> (Vec<(String, bool)>, bool) {
    let delimiter = input.delimiter.as_deref().unwrap_or("");
    let after = input.after.as_deref().unwrap_or("");
    let group = |key: &str| {
        let rest = key.strip_prefix(&input.prefix)?;
        let at = if delimiter.is_empty() { None } else { rest.find(delimiter) }?;
        Some(key[..input.prefix.len() + at + delimiter.len()].to_owned())
    };
    let mut all = Vec::new();
    for key in keys.iter().filter(|key| key.starts_with(&input.prefix) && key.as_str() > after) {
        let line = match group(key) {
            Some(group) if group == after => continue,
            Some(group) => (group, true),
            None => (key.clone(), false),
        };
        if all.last() != Some(&line) {
            all.push(line);
        }
    }
    let truncated = all.len() > input.limit;
    all.truncate(input.limit);
    (all, truncated)
}

fn agree(world: &World, runtime: &tokio::runtime::Runtime, keys: &BTreeSet<String>, i: &ListInput) {
    let told = runtime.block_on(world.objects.list(i.clone())).unwrap();
    let (expected, truncated) = model(keys, i);
    assert_eq!(lines(&told), expected, "{i:?}");
    assert_eq!(told.truncated, truncated, "{i:?}");
    assert_eq!(told.last, expected.last().map(|(line, _)| line.clone()), "{i:?}");
    assert!(told.objects.is_sorted_by(|a, b| a.key < b.key));
    assert!(told.prefixes.is_sorted_by(|a, b| a < b));
}

/// Few letters, so that keys share prefixes; some beyond ASCII, where bytes and characters sort alike and UTF-16 would not.
const TEXT: &str = "[ab/é\u{ffee}\u{1f600}]{1,6}";

fn arb_mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        Just(plain(1)),
        Just(plain(3)),
        (1..100_u64).prop_map(|seed| Mode { partitions: 3, hostile: Some(seed) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_page_is_what_the_definition_says(
        mode in arb_mode(),
        keys in vec(TEXT, 0..40),
        prefixes in vec("[ab/é]{0,2}", 1..4),
        delimiters in vec(proptest::sample::select(vec!["", "/", "b", "ab", "aa", "é"]), 1..3),
        markers in vec(prop_oneof!["[ab/é\u{ffee}]{0,4}", Just(String::new())], 1..4),
        picks in vec(any::<Index>(), 3),
        limits in vec(1..12_usize, 1..3),
    ) {
        let keys: BTreeSet<String> = keys.into_iter().filter(|key| !key.starts_with('/')).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let world = runtime.block_on(World::new(mode, settings()));
        for at in &keys {
            runtime.block_on(world.put(at, b"x"));
        }
        let mut markers = markers;
        if !keys.is_empty() {
            let list: Vec<&String> = keys.iter().collect();
            markers.extend(picks.iter().map(|pick| pick.get(&list).to_string()));
        }
        for prefix in &prefixes {
            for delimiter in &delimiters {
                for &limit in &limits {
                    for marker in &markers {
                        let page = input(prefix, delimiter, Some(marker), limit);
                        agree(&world, &runtime, &keys, &page);
                    }
                    // Page by page all comes, once.
                    let whole = model(&keys, &input(prefix, delimiter, None, usize::MAX)).0;
                    let mut seen = Vec::new();
                    let mut after = None;
                    loop {
                        let page = input(prefix, delimiter, after.as_deref(), limit);
                        let told = runtime.block_on(world.objects.list(page)).unwrap();
                        seen.extend(lines(&told));
                        prop_assert!(seen.len() <= whole.len(), "{seen:?} {whole:?}");
                        if !told.truncated {
                            break;
                        }
                        after = told.last;
                    }
                    prop_assert_eq!(seen, whole);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_page_at_the_limit_is_truncated_only_if_more_follows() {
    in_every_world(async |world| {
        for at in ["a", "b/1", "b/2", "c"] {
            world.put(at, b"x").await;
        }
        let list = async |after: Option<&str>, limit| {
            world.objects.list(input("", "/", after, limit)).await.unwrap()
        };
        let all = list(None, 3).await;
        assert!(!all.truncated);
        assert_eq!((all.objects.len(), all.prefixes), (2, vec!["b/".to_owned()]));
        let two = list(None, 2).await;
        assert_eq!((two.truncated, two.last.as_deref()), (true, Some("b/")));
        let rest = list(Some("b/"), 1).await;
        assert_eq!((rest.truncated, rest.last.as_deref()), (false, Some("c")));
        let end = list(Some("c"), 1).await;
        assert_eq!(end, ListOutput::default());
        let mut none = input("", "", None, 1);
        none.bucket = name("none");
        assert_eq!(world.objects.list(none).await, Err(ListError::NoSuchBucket));
    })
    .await;
}

#[tokio::test]
async fn a_folded_page_costs_its_groups_and_not_the_keys_below() {
    let world = World::new(plain(1), settings()).await;
    for group in 0..10 {
        for i in 0..100 {
            world.put(&format!("g{group}/{i}"), b"x").await;
        }
    }
    let before = world.store.counts.all();
    let told = world.objects.list(input("", "/", None, 100)).await.unwrap();
    let after = world.store.counts.all();
    assert_eq!(told.prefixes.len(), 10);
    assert!(after[2] - before[2] <= 2, "{} scans", after[2] - before[2]);
}

#[tokio::test]
async fn a_listing_tells_what_head_tells_and_deleted_keys_are_absent() {
    for mode in modes() {
        let world = World::new(mode, settings()).await;
        world.put("put", b"hello").await;
        world.append("log", 0, b"hello world").await.unwrap();
        world.put("gone", b"x").await;
        world.objects.delete(&logs(), &key("gone")).await.unwrap();
        let told = world.objects.list(input("", "", None, 1_000)).await.unwrap();
        let mut heads = Vec::new();
        for at in ["log", "put"] {
            heads.push(world.objects.head(&logs(), &key(at)).await.unwrap());
        }
        assert_eq!(told.objects, heads);
        let stat = world.objects.bucket_stat(&logs()).await.unwrap();
        assert_eq!((stat.object_count, stat.storage), (2, 16));
    }
}
