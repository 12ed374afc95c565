//! Counting a bucket: a scan of its heads, remembered in proportion to what it cost.
//!
//! Nothing is counted while objects are written, so a count costs an append nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ossia_store::{Item, SCAN_LIMIT_MAX, Scan, successor};
use tokio::time::Instant;

use crate::{
    BucketError, BucketStat, Failure,
    core::{Core, Place},
    keys,
    records::{Head, Stored},
    words::BucketName,
};

/// A count is kept so many times as long as it took, so that counting takes at most a hundredth of the time.
const KEPT_FACTOR: u32 = 100;
/// Counts quicker than this are not kept.
const KEPT_FROM: Duration = Duration::from_millis(50);
/// Counts of fewer records are not kept either, however long they took: a small bucket is exact on a busy machine too.
const KEPT_FROM_RECORDS: u64 = 10_000;
const KEPT_MAX: Duration = Duration::from_secs(3_600);
/// The most counts kept.
const ENTRIES_MAX: usize = 1_024;

/// Counts that were expensive.
#[derive(Debug, Default)]
pub(crate) struct StatCache {
    kept: Mutex<HashMap<u64, (Instant, BucketStat)>>,
    /// One count at a time.
    counting: tokio::sync::Mutex<()>,
}

impl StatCache {
    fn get(&self, id: u64) -> Option<BucketStat> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&id).filter(|(until, _)| *until > Instant::now()).map(|(_, stat)| stat.clone())
    }

    fn keep(&self, id: u64, took: Duration, stat: &BucketStat) {
        if took < KEPT_FROM || records(stat) < KEPT_FROM_RECORDS {
            return;
        }
        let now = Instant::now();
        let until = now + took.saturating_mul(KEPT_FACTOR).min(KEPT_MAX);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (until, _)| *until > now);
        if kept.len() < ENTRIES_MAX {
            kept.insert(id, (until, stat.clone()));
        }
    }
}

/// How many records were looked at for a count.
fn records(stat: &BucketStat) -> u64 {
    let uploads = stat.multipart_upload_count.saturating_add(stat.multipart_part_count);
    stat.object_count.saturating_add(stat.delete_marker_count).saturating_add(uploads)
}

impl Core {
    pub(crate) async fn bucket_stat(
        self: &Arc<Self>,
        name: &BucketName,
    ) -> Result<BucketStat, BucketError> {
        let place = self.place::<BucketError>(name).await?;
        let id = place.catalogue.id;
        if let Some(stat) = self.stats.get(id) {
            return Ok(stat);
        }
        let _turn = self.stats.counting.lock().await;
        if let Some(stat) = self.stats.get(id) {
            return Ok(stat);
        }
        let started = Instant::now();
        let stat = self.count(&place).await?;
        self.stats.keep(id, started.elapsed(), &stat);
        Ok(stat)
    }

    async fn count(&self, place: &Place) -> Result<BucketStat, Failure> {
        let mut stat = BucketStat { gathered: self.now_ms() / 1_000, ..BucketStat::default() };
        let mut part_bytes = 0_u64;
        for partition in place.partitions() {
            for tag in keys::VERSIONS {
                let mut next = Some(keys::tagged(tag, &[]));
                while let Some(start) = next {
                    let end = successor(&[tag]);
                    let scan = Scan { start, end, limit: SCAN_LIMIT_MAX, fold: None };
                    let page = self.store.scan(partition, scan).await?;
                    for item in &page.items {
                        let Item::Record(_, record) = item else { continue };
                        let head = Head::decode(&record.value)?;
                        if head.is_marker() {
                            stat.delete_marker_count += 1;
                        } else {
                            stat.classes.entry(head.storage_class).or_default().count(head.length);
                        }
                    }
                    next = page.resume;
                    tokio::task::yield_now().await;
                }
            }
            let (uploads, parts, bytes) = self.count_uploads(partition).await?;
            stat.multipart_upload_count += uploads;
            stat.multipart_part_count += parts;
            part_bytes = bytes.saturating_add(part_bytes);
        }
        stat.object_count = stat.classes.values().map(|class| class.object_count).sum();
        stat.storage =
            stat.classes.values().fold(part_bytes, |sum, class| class.storage.saturating_add(sum));
        Ok(stat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_count_that_is_large_and_slow_is_kept() {
        let (slow, quick) = (Duration::from_secs(60), Duration::from_millis(1));
        let (many, few) = (KEPT_FROM_RECORDS, KEPT_FROM_RECORDS - 1);
        for (took, parts, kept) in [(slow, many, true), (slow, few, false), (quick, many, false)] {
            let stat = BucketStat { multipart_part_count: parts, ..BucketStat::default() };
            let cache = StatCache::default();
            cache.keep(1, took, &stat);
            assert_eq!(cache.get(1), kept.then_some(stat), "{took:?}, {parts}");
        }
    }
}
