//! Listing versions: the current one of each key, and those that it stands on.
//!
//! What is current stands under `h` or under `n`, and goes from one to the other at any time; the older ones stand elsewhere. So that
//! a version which is there all the time is told, whatever happens meanwhile, all places where it may be are looked at in one state.

use std::{cmp::Ordering, collections::BTreeMap};

use bytes::Bytes;
use ossia_store::{Fold, Item, Partition, SCAN_LIMIT_MAX, Scan, successor};

use super::start;
use crate::{
    Failure, ListError, ObjectInfo, VersionId,
    core::{Core, Place},
    keys,
    read::alone,
    records::{Damage, Head, Stored},
    versioning::Names,
    words::{BucketName, ObjectKey},
};

/// The fewest keys asked for at once.
const PAGE_MIN: usize = 32;

/// Which versions to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListVersionsInput {
    /// The bucket.
    pub bucket: BucketName,
    /// Only keys that start with this.
    pub prefix: String,
    /// Rolls keys up to common prefixes; `None` or empty does not.
    pub delimiter: Option<String>,
    /// Only what comes after this key, or common prefix; with `after_version`, after that version of this key.
    pub after: Option<String>,
    /// See `after`; without that it means nothing.
    pub after_version: Option<VersionId>,
    /// At most this many versions, markers and prefixes together, 1 to 1,000.
    pub limit: usize,
}

/// A version, which may be a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// Its key.
    pub key: ObjectKey,
    /// Its id; null in a bucket that never had versions.
    pub version: VersionId,
    /// It is the current one.
    pub latest: bool,
    /// When it was made, in seconds since 1970; of an object its Last-Modified.
    pub last_modified: u64,
    /// When the one that came on top of it was made, in seconds since 1970; `None` of the current one.
    pub noncurrent_since: Option<u64>,
    /// What it is; `None` of a delete marker.
    pub object: Option<ObjectInfo>,
}

/// A page of versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListVersionsOutput {
    /// In ascending byte order of their keys, those of one key the newest first.
    pub versions: Vec<VersionInfo>,
    /// Common prefixes in ascending byte order, delimiter included.
    pub prefixes: Vec<String>,
    /// Whether there are more.
    pub truncated: bool,
    /// The last key or prefix of this page: the next page's `after`.
    pub last: Option<String>,
    /// The last version, where the page ends with one: the next page's `after_version`.
    pub last_version: Option<VersionId>,
}

impl ListVersionsOutput {
    fn add(&mut self, version: VersionInfo) {
        self.last = Some(version.key.as_str().to_owned());
        self.last_version = Some(version.version);
        self.versions.push(version);
    }

    fn items(&self) -> usize {
        self.versions.len() + self.prefixes.len()
    }
}

/// What a page of current versions has.
enum Top {
    Key(Box<Head>),
    Prefix,
}

/// A stretch of keys, without their tags.
struct Range {
    start: Bytes,
    end: Option<Bytes>,
    fold: Option<Fold>,
}

/// One partition's part.
struct Lane {
    partition: Partition,
    items: BTreeMap<Bytes, Top>,
    next: Option<Bytes>,
}

impl Core {
    pub(crate) async fn list_versions(
        &self,
        input: ListVersionsInput,
    ) -> Result<ListVersionsOutput, ListError> {
        let place = self.place::<ListError>(&input.bucket).await?;
        let limit = input.limit.clamp(1, 1_000);
        let delimiter = input.delimiter.as_deref().unwrap_or("");
        let after = input.after.as_deref().unwrap_or("");
        let mut output = ListVersionsOutput::default();
        if let Some(below) = input.after_version
            && let Some(rest) = after.strip_prefix(&*input.prefix)
            && (delimiter.is_empty() || !rest.contains(delimiter))
            && let Ok(key) = ObjectKey::new(after)
        {
            for version in self.versions_of(&place, &key, Some(below), limit + 1).await? {
                if output.items() == limit {
                    output.truncated = true;
                    return Ok(output);
                }
                output.add(version);
            }
        }
        let range = Range {
            start: start(&input.prefix, delimiter.as_bytes(), after).slice(1..),
            end: successor(input.prefix.as_bytes()),
            fold: (!delimiter.is_empty()).then(|| Fold {
                at: 1 + input.prefix.len(),
                delimiter: Bytes::copy_from_slice(delimiter.as_bytes()),
            }),
        };
        let page = (limit + 1).clamp(PAGE_MIN, SCAN_LIMIT_MAX);
        let lane = |partition| {
            let next = Some(range.start.clone());
            Lane { partition, items: BTreeMap::new(), next }
        };
        let mut lanes: Vec<Lane> = place.partitions().map(lane).collect();
        while let Some((name, top)) = self.next_top(&place, &range, page, &mut lanes).await? {
            let text = || {
                let text = std::str::from_utf8(&name).map(str::to_owned);
                text.map_err(|_| Failure::from(Damage::new("head", "its key is not UTF-8")))
            };
            if matches!(top, Top::Prefix)
                && output.prefixes.last().is_some_and(|p| p.as_bytes() == name)
            {
                continue;
            }
            if output.items() == limit {
                output.truncated = true;
                break;
            }
            let Top::Key(head) = top else {
                output.prefixes.push(text()?);
                (output.last, output.last_version) = (Some(text()?), None);
                continue;
            };
            let key = ObjectKey::from_bytes(&name)
                .map_err(|_| Failure::from(Damage::new("head", "its key is no object's")))?;
            if !head.below.any {
                output.add(info(&place, key, *head, true));
                continue;
            }
            let room = limit - output.items();
            for version in self.versions_of(&place, &key, None, room + 1).await? {
                if output.items() == limit {
                    output.truncated = true;
                    return Ok(output);
                }
                output.add(version);
            }
        }
        Ok(output)
    }

    /// Versions of a key, the newest first; those older than `below`, or all where that is none of them any more.
    async fn versions_of(
        &self,
        place: &Place,
        key: &ObjectKey,
        below: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>, Failure> {
        let partition = place.partition(key);
        let names = Names::of(key);
        // An order stays where it is in time, whatever becomes of its version.
        let mut under = match below {
            Some(below @ VersionId::Made(_)) => below.order(),
            Some(VersionId::Null) => match self.current(place, partition, &names).await? {
                Some(top) if top.head.version_id == VersionId::Null => Some(top.head.order),
                Some(top) => top.head.below.null,
                None => None,
            },
            None => None,
        };
        let end = successor(&keys::olders(&names.head));
        let mut found: Vec<VersionInfo> = Vec::new();
        loop {
            let start = match under {
                Some(0) => break,
                Some(under) => names.older(under - 1),
                None => names.older(u64::MAX),
            };
            let room = limit.saturating_sub(found.len()).clamp(1, SCAN_LIMIT_MAX);
            let older = Scan { start, end: end.clone(), limit: room, fold: None };
            let [head, marker] = [names.head.clone(), names.marker()].map(alone);
            let mut pages = self.store.scans(partition, vec![head, marker, older]).await?;
            let older = pages.pop().unwrap_or_default();
            let tops = pages.into_iter().flat_map(|page| page.items).map(|item| (item, true));
            let items = tops.chain(older.items.into_iter().map(|item| (item, false)));
            for (item, latest) in items {
                let Item::Record(_, record) = item else { continue };
                let head = Head::decode(&record.value)?;
                // One that was older than what has been told may have become the current one since.
                if under.is_none_or(|under| head.order < under) {
                    under = Some(head.order);
                    found.push(info(place, key.clone(), head, latest));
                }
            }
            if older.resume.is_none() || found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    /// The next key or prefix of all partitions; a prefix may come twice in a row.
    async fn next_top(
        &self,
        place: &Place,
        range: &Range,
        page: usize,
        lanes: &mut [Lane],
    ) -> Result<Option<(Bytes, Top)>, Failure> {
        for lane in &mut *lanes {
            while lane.items.is_empty()
                && let Some(start) = lane.next.take()
            {
                lane.next = self.fill_top(place, range, page, start, lane).await?;
            }
        }
        let least = lanes.iter_mut().filter(|lane| !lane.items.is_empty());
        let least = least.min_by(|a, b| a.items.keys().next().cmp(&b.items.keys().next()));
        Ok(least.and_then(|lane| lane.items.pop_first()))
    }

    /// A stretch of what is current in one partition, and where to go on.
    async fn fill_top(
        &self,
        place: &Place,
        range: &Range,
        limit: usize,
        start: Bytes,
        lane: &mut Lane,
    ) -> Result<Option<Bytes>, Failure> {
        let scan = |tag| {
            let start = keys::tagged(tag, &start);
            let last = match &range.end {
                Some(end) => Some(keys::tagged(tag, end)),
                None => successor(&[tag]),
            };
            let goes_on = last.as_ref().is_none_or(|last| start < *last);
            goes_on.then(|| Scan { start, end: last, limit, fold: range.fold.clone() })
        };
        let tags: &[u8] = match place.catalogue.versioning {
            Some(_) => &[keys::HEAD, keys::MARKER],
            None => &[keys::HEAD],
        };
        let scans: Vec<Scan> = tags.iter().copied().filter_map(scan).collect();
        let pages = self.store.scans(lane.partition, scans).await?;
        // What one page has not come to counts in none.
        let stops =
            pages.iter().filter_map(|page| page.resume.as_ref()).map(|stop| stop.slice(1..));
        let next = stops.min();
        for item in pages.into_iter().flat_map(|page| page.items) {
            let (name, top) = match item {
                Item::Prefix(name) => (name.slice(1..), Top::Prefix),
                Item::Record(name, record) => {
                    (name.slice(1..), Top::Key(Box::new(Head::decode(&record.value)?)))
                }
            };
            if next.as_ref().is_some_and(|next| name.cmp(next) != Ordering::Less) {
                continue;
            }
            lane.items.insert(name, top);
        }
        Ok(next)
    }
}

fn info(place: &Place, key: ObjectKey, head: Head, latest: bool) -> VersionInfo {
    VersionInfo {
        version: head.version_id,
        latest,
        last_modified: head.modified_s,
        noncurrent_since: head.noncurrent_s,
        object: (!head.is_marker())
            .then(|| head.info(key.clone(), place.catalogue.versioning.is_some())),
        key,
    }
}
