//! What each bucket holds: counted from its heads and tombstones, one scan of records and no byte of content.

use std::{collections::BTreeMap, sync::Arc};

use ossia_store::{Item, SCAN_LIMIT_MAX, Scan, Store, successor};

use crate::{
    ClassStat, Failure,
    keys::{self, SYSTEM},
    records::{BucketState, Catalogue, Head, Stored, Tombstone},
    words::{BucketName, ObjectType, StorageClass},
};

/// What a bucket holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketUsage {
    /// Its name.
    pub bucket: String,
    /// Objects and their bytes together, older versions among them.
    pub all: ClassStat,
    /// Of these, versions that are not current.
    pub noncurrent: ClassStat,
    /// Delete markers, current or not.
    pub delete_markers: u64,
    /// By storage class, by its name on the wire.
    pub classes: BTreeMap<&'static str, ClassStat>,
    /// By object type, by its name on the wire.
    pub types: BTreeMap<&'static str, ClassStat>,
    /// Contents that were overwritten or deleted, and whose room is still to be given back; with their bytes.
    pub let_go: ClassStat,
    /// Heads and tombstones that cannot be read; `ossia check` tells more.
    pub damaged: u64,
}

impl ClassStat {
    /// One more object of this length.
    pub(crate) fn count(&mut self, length: u64) {
        self.object_count += 1;
        self.storage = self.storage.saturating_add(length);
    }
}

impl BucketUsage {
    /// Takes one object in.
    pub(crate) fn object(&mut self, class: StorageClass, kind: ObjectType, length: u64) {
        self.all.count(length);
        self.classes.entry(class.as_str()).or_default().count(length);
        self.types.entry(kind.as_str()).or_default().count(length);
    }
}

/// Counts all buckets, one after another; `each` gets them in the order of their names.
///
/// Cost follows the number of objects, not their bytes. Objects that are written meanwhile may or may not be counted.
///
/// # Errors
/// [`Failure`] when the store can no longer be read.
pub async fn usage(
    store: &Arc<dyn Store>,
    mut each: impl FnMut(BucketUsage),
) -> Result<(), Failure> {
    let mut next = Some(keys::tagged(keys::CATALOGUE, &[]));
    while let Some(start) = next {
        let end = successor(&[keys::CATALOGUE]);
        let page = store.scan(SYSTEM, Scan { start, end, limit: 256, fold: None }).await?;
        for item in page.items {
            let Item::Record(key, record) = item else { continue };
            let name = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            let Ok(catalogue) = Catalogue::decode(&record.value) else {
                each(BucketUsage { bucket: name, damaged: 1, ..BucketUsage::default() });
                continue;
            };
            if catalogue.state != BucketState::Creating && BucketName::new(&name).is_ok() {
                each(bucket(store, name, &catalogue).await?);
            }
        }
        next = page.resume;
    }
    Ok(())
}

async fn bucket(
    store: &Arc<dyn Store>,
    bucket: String,
    catalogue: &Catalogue,
) -> Result<BucketUsage, Failure> {
    let mut usage = BucketUsage { bucket, ..BucketUsage::default() };
    for partition in keys::partitions(catalogue.id, catalogue.partitions) {
        for tag in [keys::HEAD, keys::OLDER, keys::MARKER, keys::TOMBSTONE] {
            let mut next = Some(keys::tagged(tag, &[]));
            while let Some(start) = next {
                let (end, limit) = (successor(&[tag]), SCAN_LIMIT_MAX);
                let page = store.scan(partition, Scan { start, end, limit, fold: None }).await?;
                for item in &page.items {
                    let Item::Record(_, record) = item else { continue };
                    if tag != keys::TOMBSTONE {
                        match Head::decode(&record.value) {
                            Ok(head) if head.is_marker() => usage.delete_markers += 1,
                            Ok(head) => {
                                usage.object(head.storage_class, head.object_type(), head.length);
                                if tag == keys::OLDER {
                                    usage.noncurrent.count(head.length);
                                }
                            }
                            Err(_) => usage.damaged += 1,
                        }
                    } else {
                        match Tombstone::decode(&record.value) {
                            Ok(tombstone) => usage.let_go.count(tombstone.length),
                            Err(_) => usage.damaged += 1,
                        }
                    }
                }
                next = page.resume;
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(usage)
}
