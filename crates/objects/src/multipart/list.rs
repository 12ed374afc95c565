//! Listing uploads and parts.
//!
//! An upload's id stands behind its key, so the index cannot roll keys up by itself: the page is looked through here, and what lies
//! below a common prefix is stepped over by a scan that begins behind it. A page of 1,000 prefixes takes as many seeks.

use bytes::Bytes;
use ossia_store::{Item, Partition, SCAN_LIMIT_MAX, Scan, successor};

use super::{
    ListPartsInput, ListPartsOutput, ListUploadsInput, ListUploadsOutput, UploadError, UploadId,
    UploadInfo, info, names, part_info,
};
use crate::{
    Failure, ListError,
    core::Core,
    records::{Damage, Stored, Upload},
    words::ObjectKey,
};

/// Uploads read at first behind a common prefix.
const PAGE_BEHIND_GROUP: usize = 4;

/// One entry of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Upload(Box<UploadInfo>),
    Prefix(String),
}

impl Entry {
    /// What entries sort by.
    fn name(&self) -> (&str, Option<UploadId>) {
        match self {
            Self::Upload(info) => (info.key.as_str(), Some(info.id)),
            Self::Prefix(prefix) => (prefix, None),
        }
    }
}

/// What is asked for.
struct Wanted {
    prefix: String,
    delimiter: String,
    start: Bytes,
    end: Option<Bytes>,
    /// Uploads of this key only with a greater id; for ids that are none.
    after: Option<(String, String)>,
    limit: usize,
}

impl Core {
    pub(super) async fn list_uploads(
        &self,
        input: ListUploadsInput,
    ) -> Result<ListUploadsOutput, ListError> {
        let place = self.place::<ListError>(&input.bucket).await?;
        let limit = input.limit.clamp(1, 1_000);
        let wanted = Wanted::new(input, limit + 1);
        let mut entries = Vec::new();
        for partition in place.partitions() {
            self.uploads_of(partition, &wanted, &mut entries).await?;
        }
        entries.sort_by(|a, b| a.name().cmp(&b.name()));
        // A key lies in one partition, a prefix may lie in all.
        entries.dedup();
        let truncated = entries.len() > limit;
        entries.truncate(limit);
        let mut output = ListUploadsOutput { truncated, ..ListUploadsOutput::default() };
        if let Some((key, id)) = entries.last().map(Entry::name) {
            output.last_key = Some(key.to_owned());
            output.last_upload = id;
        }
        for entry in entries {
            match entry {
                Entry::Upload(info) => output.uploads.push(*info),
                Entry::Prefix(prefix) => output.prefixes.push(prefix),
            }
        }
        Ok(output)
    }

    /// The first entries of one partition.
    async fn uploads_of(
        &self,
        partition: Partition,
        wanted: &Wanted,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Failure> {
        let mut count = 0;
        // Where keys are rolled up, a long page is mostly stepped over.
        let mut page_limit = SCAN_LIMIT_MAX;
        let mut next = Some(wanted.start.clone());
        while let Some(start) = next.take() {
            if count >= wanted.limit || wanted.end.as_ref().is_some_and(|end| start >= *end) {
                break;
            }
            let limit = (wanted.limit - count).min(page_limit);
            page_limit = (page_limit * 2).min(SCAN_LIMIT_MAX);
            let scan = Scan { start, end: wanted.end.clone(), limit, fold: None };
            let page = self.store.scan(partition, scan).await?;
            next = page.resume;
            for item in page.items {
                let Item::Record(name, record) = item else { continue };
                let (key, id) = names::parse_upload(&name)
                    .ok_or_else(|| Damage::new("upload", "its key is no object's"))?;
                if let Some(group) = wanted.group(&key) {
                    next = successor(&names::uploads_below(&group));
                    entries.push(Entry::Prefix(group));
                    count += 1;
                    page_limit = PAGE_BEHIND_GROUP;
                    break;
                }
                if wanted.is_after(&key, id) {
                    let upload = info(key, id, Upload::decode(&record.value)?);
                    entries.push(Entry::Upload(Box::new(upload)));
                    count += 1;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn list_parts(
        &self,
        input: ListPartsInput,
    ) -> Result<ListPartsOutput, UploadError> {
        let ListPartsInput { bucket, key, upload: id, after, limit } = input;
        let place = self.place::<UploadError>(&bucket).await?;
        let upload = self.find_upload::<UploadError>(&place, &key, id).await?;
        let limit = limit.clamp(1, 1_000);
        let mut parts = self.parts_of(place.partition(&key), id, after, limit + 1).await?;
        // Parts are cleared only when their upload is over: while it is there, these are all.
        self.find_upload::<UploadError>(&place, &key, id).await?;
        let truncated = parts.len() > limit;
        parts.truncate(limit);
        Ok(ListPartsOutput {
            upload: info(key, id, upload),
            parts: parts.iter().map(|(number, part)| part_info(*number, part)).collect(),
            truncated,
        })
    }
}

impl Wanted {
    fn new(input: ListUploadsInput, limit: usize) -> Self {
        let delimiter = input.delimiter.unwrap_or_default();
        let start = names::uploads_from(&input.prefix).freeze();
        let end = successor(&names::uploads_below(&input.prefix));
        let mut wanted = Self { prefix: input.prefix, delimiter, start, end, after: None, limit };
        let Some(after) = input.after_key.filter(|after| !after.is_empty()) else {
            return wanted;
        };
        let above = match (wanted.group_of(&after), ObjectKey::new(&after)) {
            // Past the whole group, which ends with its first delimiter.
            (Some(group), _) if group == after => successor(&names::uploads_below(&group)),
            (_, Ok(key)) => {
                let uploads = names::uploads(&key);
                match input.after_upload.filter(|id| !id.is_empty()) {
                    None => successor(&uploads),
                    Some(text) => match UploadId::parse(&text) {
                        Some(id) => Some([&names::upload(&key, id)[..], &[0]].concat().into()),
                        None => {
                            wanted.after = Some((after, text));
                            Some(uploads.freeze())
                        }
                    },
                }
            }
            // No key, but what lies behind it is well defined.
            (_, Err(_)) => Some(names::uploads_from(&after).freeze()),
        };
        match above {
            Some(above) => wanted.start = wanted.start.max(above),
            None => wanted.end = Some(wanted.start.clone()),
        }
        wanted
    }

    /// The common prefix that a key is rolled up to.
    fn group(&self, key: &ObjectKey) -> Option<String> {
        self.group_of(key.as_str())
    }

    fn group_of(&self, text: &str) -> Option<String> {
        if self.delimiter.is_empty() {
            return None;
        }
        let at = text.strip_prefix(&self.prefix)?.find(&self.delimiter)?;
        text.get(..self.prefix.len() + at + self.delimiter.len()).map(str::to_owned)
    }

    fn is_after(&self, key: &ObjectKey, id: UploadId) -> bool {
        match &self.after {
            Some((after, text)) if key.as_str() == after => id.to_string() > *text,
            _ => true,
        }
    }
}

impl Core {
    /// A page of uploads under way in a partition, with the second of their begin, and where to go on.
    pub(crate) async fn uploads_page(
        &self,
        partition: Partition,
        start: Bytes,
        limit: usize,
    ) -> Result<(Vec<(ObjectKey, UploadId, u64)>, Option<Bytes>), Failure> {
        let scan = Scan { start, end: successor(&[crate::keys::UPLOAD]), limit, fold: None };
        let page = self.store.scan(partition, scan).await?;
        let mut found = Vec::with_capacity(page.items.len());
        for item in page.items {
            let Item::Record(name, record) = item else { continue };
            let parsed = names::parse_upload(&name);
            let (key, id) = parsed.ok_or_else(|| Damage::new("upload", "its key is none"))?;
            let upload = Upload::decode(&record.value)?;
            found.push((key, id, upload.initiated_ms / 1_000));
        }
        Ok((found, page.resume))
    }

    /// Uploads under way in a partition, their parts, and the bytes of these.
    pub(crate) async fn count_uploads(
        &self,
        partition: Partition,
    ) -> Result<(u64, u64, u64), Failure> {
        let (mut uploads, mut parts, mut bytes) = (0_u64, 0_u64, 0_u64);
        let mut next = Some(Bytes::from_static(&[crate::keys::UPLOAD]));
        while let Some(start) = next {
            let end = successor(&[crate::keys::UPLOAD]);
            let scan = Scan { start, end, limit: SCAN_LIMIT_MAX, fold: None };
            let page = self.store.scan(partition, scan).await?;
            for item in page.items {
                let Item::Record(name, _) = item else { continue };
                let Some((_, id)) = names::parse_upload(&name) else { continue };
                uploads += 1;
                for (_, part) in self.parts_of(partition, id, 0, usize::MAX).await? {
                    parts += 1;
                    bytes = bytes.saturating_add(part.length);
                }
                tokio::task::yield_now().await;
            }
            next = page.resume;
        }
        Ok((uploads, parts, bytes))
    }
}
