//! Listing: the heads of all partitions of a bucket, merged in byte order, rolled up at the delimiter.
//!
//! Each partition's scan seeks past what it rolls up, so a page costs what it returns, not what lies below.

mod versions;

use std::{cmp::Ordering, collections::VecDeque};

pub use versions::{ListVersionsInput, ListVersionsOutput, VersionInfo};

use bytes::Bytes;
use ossia_store::{Fold, Item, Partition, SCAN_LIMIT_MAX, Scan, successor};

use crate::{
    Failure, ListError, ListInput, ListOutput, ObjectInfo,
    core::Core,
    keys,
    records::{Damage, Head, Stored},
    words::ObjectKey,
};

/// The fewest items asked of one partition at once.
const PAGE_MIN: usize = 32;

impl Core {
    pub(crate) async fn list(&self, input: ListInput) -> Result<ListOutput, ListError> {
        let place = self.place::<ListError>(&input.bucket).await?;
        let limit = input.limit.clamp(1, 1_000);
        let delimiter = input.delimiter.as_deref().unwrap_or("").as_bytes();
        let base = keys::tagged(keys::HEAD, input.prefix.as_bytes());
        let range = Range {
            start: start(&input.prefix, delimiter, input.after.as_deref().unwrap_or("")),
            end: successor(&base),
            fold: (!delimiter.is_empty())
                .then(|| Fold { at: base.len(), delimiter: Bytes::copy_from_slice(delimiter) }),
        };
        let count = usize::from(place.catalogue.partitions);
        // One more than the page holds, to know whether there are more.
        let page = (limit / count + 1).max(PAGE_MIN).min(limit + 1).min(SCAN_LIMIT_MAX);
        let lanes = place.partitions().map(|partition| Lane::new(partition, &range)).collect();
        let mut merge = Merge { core: self, range, page, lanes };
        let mut output = ListOutput::default();
        let mut items = 0;
        let mut last = Added::Object;
        while let Some(item) = merge.next().await? {
            if items == limit {
                output.truncated = true;
                break;
            }
            items += 1;
            last = add(&mut output, item, place.catalogue.versioning.is_some())?;
        }
        output.last = match last {
            Added::Object => output.objects.last().map(|info| info.key.as_str().to_owned()),
            Added::Prefix => output.prefixes.last().cloned(),
        };
        Ok(output)
    }
}

/// What was added to a page.
enum Added {
    Object,
    Prefix,
}

fn add(output: &mut ListOutput, item: Item, versioned: bool) -> Result<Added, Failure> {
    match item {
        Item::Record(key, record) => {
            output.objects.push(info(&key, &record.value, versioned)?);
            Ok(Added::Object)
        }
        Item::Prefix(prefix) => {
            let name = std::str::from_utf8(prefix.get(1..).unwrap_or_default());
            let name = name.map_err(|_| Damage::new("head", "its key is not UTF-8"))?.to_owned();
            output.prefixes.push(name);
            Ok(Added::Prefix)
        }
    }
}

/// What a head's record tells.
fn info(key: &[u8], value: &Bytes, versioned: bool) -> Result<ObjectInfo, Failure> {
    let key = ObjectKey::from_bytes(key.get(1..).unwrap_or_default());
    let key = key.map_err(|_| Damage::new("head", "its key is no object's"))?;
    Ok(Head::decode(value)?.info(key, versioned))
}

/// The first key that may be listed: above `after`, and past the whole group if that is a common prefix itself.
fn start(prefix: &str, delimiter: &[u8], after: &str) -> Bytes {
    let base = keys::tagged(keys::HEAD, prefix.as_bytes());
    if after.is_empty() {
        return base;
    }
    let after_key = keys::tagged(keys::HEAD, after.as_bytes());
    let rest = after.as_bytes().strip_prefix(prefix.as_bytes());
    // A group ends with its first delimiter.
    let is_group = rest.is_some_and(|rest| {
        !delimiter.is_empty()
            && find(rest, delimiter).is_some_and(|at| at + delimiter.len() == rest.len())
    });
    let above = match is_group.then(|| successor(&after_key)).flatten() {
        Some(past) => past,
        None => [&after_key[..], &[0]].concat().into(),
    };
    base.max(above)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

struct Range {
    start: Bytes,
    end: Option<Bytes>,
    fold: Option<Fold>,
}

/// One partition's part of the listing.
struct Lane {
    partition: Partition,
    items: VecDeque<Item>,
    next: Option<Bytes>,
}

impl Lane {
    fn new(partition: Partition, range: &Range) -> Self {
        let empty = range.end.as_ref().is_some_and(|end| range.start >= *end);
        let next = (!empty).then(|| range.start.clone());
        Self { partition, items: VecDeque::new(), next }
    }
}

struct Merge<'a> {
    core: &'a Core,
    range: Range,
    page: usize,
    lanes: Vec<Lane>,
}

impl Merge<'_> {
    /// The next item of all lanes, each common prefix once.
    async fn next(&mut self) -> Result<Option<Item>, Failure> {
        for lane in &mut self.lanes {
            fill(self.core, &self.range, self.page, lane).await?;
        }
        if let [lane] = &mut self.lanes[..] {
            return Ok(lane.items.pop_front());
        }
        let least = self.lanes.iter().filter_map(|lane| lane.items.front()).min_by(by_key);
        let Some(least) = least.cloned() else {
            return Ok(None);
        };
        for lane in &mut self.lanes {
            // A key lies in one partition, a prefix may lie in all.
            if lane.items.front().is_some_and(|item| by_key(&item, &&least) == Ordering::Equal) {
                lane.items.pop_front();
            }
        }
        Ok(Some(least))
    }
}

async fn fill(core: &Core, range: &Range, page: usize, lane: &mut Lane) -> Result<(), Failure> {
    while lane.items.is_empty()
        && let Some(start) = lane.next.take()
    {
        let scan = Scan { start, end: range.end.clone(), limit: page, fold: range.fold.clone() };
        let page = core.store.scan(lane.partition, scan).await?;
        lane.items.extend(page.items);
        lane.next = page.resume;
    }
    Ok(())
}

fn name(item: &Item) -> &Bytes {
    match item {
        Item::Record(key, _) | Item::Prefix(key) => key,
    }
}

fn by_key(a: &&Item, b: &&Item) -> Ordering {
    name(a).cmp(name(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_that_is_a_common_prefix_skips_its_group_and_no_other_does() {
        let from = |prefix, delimiter: &str, after| start(prefix, delimiter.as_bytes(), after);
        assert_eq!(from("", "/", ""), "h");
        assert_eq!(from("", "/", "a/"), "ha0");
        assert_eq!(from("", "/", "a/b"), "ha/b\0");
        assert_eq!(from("", "/", "a/b/"), "ha/b/\0");
        assert_eq!(from("a/", "/", "a/"), "ha/\0");
        assert_eq!(from("a/", "/", "a/b/"), "ha/b0");
        assert_eq!(from("", "", "a/"), "ha/\0");
        assert_eq!(from("x", "/", "a/"), "hx");
        assert_eq!(from("", "ab", "xaab"), "hxaac");
        assert_eq!(from("", "aa", "xaaa"), "hxaaa\0");
    }
}
