//! Completing: a content is made of the parts' bytes, and one transaction swaps it in. The story is told one level up.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use bytes::Bytes;
use md5::{Digest, Md5};
use ossia_store::{
    Item, Partition, Payload, SCAN_LIMIT_MAX, Scan, View, Writes,
    mutants::{self, Mutant},
    successor,
};

use super::{
    ChosenParts, CompleteUploadError, CompleteUploadInput, CompleteUploadOutput, UploadId,
    extent_of, making, names, read_upload,
};
use crate::{
    Failure,
    core::{Core, Gate, Place, Verdict, refuse},
    keys::{self, ContentId},
    records::{
        Content, Damage, Extent, HeadSealing, Kind, Leftover, Part, Reference, Source, Stored,
        Upload,
    },
    retention,
    version::{NewVersion, new_head, put_extent},
    versioning::{self, Names, read_current},
    words::{ObjectAcl, ObjectKey, crc64, etag},
};

/// How often a completion starts over because parts came in meanwhile.
const TRIES: usize = 16;

/// Whose turn it is to complete an upload. Two at once would do no harm, but take back each other's work for long.
#[derive(Debug, Default)]
pub(crate) struct Completions(Mutex<HashMap<UploadId, Weak<tokio::sync::Mutex<()>>>>);

impl Completions {
    /// One entry for each completion under way, so bounded by the connections.
    fn of(&self, id: UploadId) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = all.get(&id).and_then(Weak::upgrade) {
            return turn;
        }
        all.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        all.insert(id, Arc::downgrade(&turn));
        turn
    }
}

/// An upload that is being completed.
#[derive(Debug, Clone)]
struct Work {
    place: Place,
    partition: Partition,
    key: ObjectKey,
    id: UploadId,
    upload_key: Bytes,
    acl: Option<ObjectAcl>,
    forbid_overwrite: bool,
}

/// A part, and where its bytes end in the object.
#[derive(Debug, Clone, Copy)]
struct Placed {
    number: u16,
    part: Part,
    end: u64,
}

/// The object to be.
#[derive(Debug, Clone)]
struct Plan {
    parts: Vec<Placed>,
    length: u64,
    crc64: u64,
    etag: String,
}

/// Whether all is as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told<T> {
    Done(T),
    /// A part has come, or somebody else has completed or aborted: to be looked at anew.
    Changed,
}

impl Core {
    pub(super) async fn complete_upload(
        self: &Arc<Self>,
        input: CompleteUploadInput,
    ) -> Result<CompleteUploadOutput, CompleteUploadError> {
        let CompleteUploadInput { bucket, key, upload: id, parts, acl, forbid_overwrite } = input;
        let place = self.place::<CompleteUploadError>(&bucket).await?;
        let partition = place.partition(&key);
        let upload_key = names::upload(&key, id);
        let work = Work { place, partition, key, id, upload_key, acl, forbid_overwrite };
        let core = Arc::clone(self);
        self.detached(async move { core.complete(work, parts).await }).await
    }

    async fn complete(
        &self,
        work: Work,
        chosen: ChosenParts,
    ) -> Result<CompleteUploadOutput, CompleteUploadError> {
        let turn = self.completions.of(work.id);
        let _turn = turn.lock().await;
        let told = self.try_complete(&work, &chosen).await;
        if !matches!(told, Ok(_) | Err(CompleteUploadError::Store(_))) {
            // What was found wrong may be what somebody has left who ended the upload meanwhile: parts that are being cleared.
            self.find_upload::<CompleteUploadError>(&work.place, &work.key, work.id).await?;
        }
        told
    }

    async fn try_complete(
        &self,
        work: &Work,
        chosen: &ChosenParts,
    ) -> Result<CompleteUploadOutput, CompleteUploadError> {
        for _ in 0..TRIES {
            let found = self.find_upload::<CompleteUploadError>(&work.place, &work.key, work.id);
            let found = found.await?;
            let content = ContentId::new(self.now_ms());
            // Which parts are all is known only once those that come leave a mark.
            let begun = *chosen == ChosenParts::All && found.staged.is_none();
            if begun && self.stage_batch(work, content, true, &[]).await? == Told::Changed {
                continue;
            }
            let there = self.parts_of(work.partition, work.id, 0, usize::MAX).await?;
            let plan = plan(chosen, &there, self.settings.part_min_bytes)?;
            self.check_protected::<CompleteUploadError>(&work.place, &work.key).await?;
            if found.staged.is_some() {
                self.take_back(work, &there).await?;
                // What was read is no longer so.
                continue;
            }
            if self.stage_parts(work, content, &plan, begun).await? == Told::Changed {
                continue;
            }
            let md5 = match found.sequential && plan.length <= self.settings.put_max_bytes {
                // Which hash goes on where is not told by the parts, so they are read: no more than a put may bring.
                true => {
                    let md5 = self.md5_of(work.partition, content, found.key, plan.length);
                    match md5.await {
                        Ok(md5) => Some(md5),
                        Err(failure) => {
                            let now = self.find_upload::<CompleteUploadError>(
                                &work.place,
                                &work.key,
                                work.id,
                            );
                            // What ends an upload waits for no reader, nor does a part that comes in the place of another. As long as
                            // neither has happened, nothing of it is reclaimed.
                            let now = now.await?;
                            if now.staged == Some(content) && !now.stale {
                                return Err(failure.into());
                            }
                            continue;
                        }
                    }
                }
                false => None,
            };
            if let Told::Done(output) = self.swap_in(work, content, &plan, md5).await? {
                self.reaper.wake(work.partition);
                return Ok(output);
            }
        }
        Err(Failure::Busy.into())
    }

    /// Parts in order, of numbers greater than `after`.
    pub(super) async fn parts_of(
        &self,
        partition: Partition,
        id: UploadId,
        after: u16,
        limit: usize,
    ) -> Result<Vec<(u16, Part)>, Failure> {
        let end = successor(&names::parts(id));
        let mut found = Vec::new();
        let mut next = after.checked_add(1).map(|first| names::part(id, first));
        while let Some(start) = next.filter(|_| found.len() < limit) {
            let limit = (limit - found.len()).min(SCAN_LIMIT_MAX);
            let page =
                self.store.scan(partition, Scan { start, end: end.clone(), limit, fold: None });
            let page = page.await?;
            for item in page.items {
                if let Item::Record(key, record) = item {
                    let number = names::part_number(&key);
                    let number =
                        number.ok_or_else(|| Damage::new("part", "its key is no number"))?;
                    found.push((number, Part::decode(&record.value)?));
                }
            }
            next = page.resume;
        }
        Ok(found)
    }

    /// Gives the parts' bytes a second name each, in a content that nobody sees yet.
    async fn stage_parts(
        &self,
        work: &Work,
        content: ContentId,
        plan: &Plan,
        begun: bool,
    ) -> Result<Told<()>, CompleteUploadError> {
        let mut batches: Vec<&[Placed]> = plan.parts.chunks(self.settings.part_batch).collect();
        if batches.is_empty() {
            batches.push(&[]);
        }
        for (at, batch) in batches.into_iter().enumerate() {
            let begins = at == 0 && !begun;
            if self.stage_batch(work, content, begins, batch).await? == Told::Changed {
                return Ok(Told::Changed);
            }
        }
        Ok(Told::Done(()))
    }

    async fn stage_batch(
        &self,
        work: &Work,
        content: ContentId,
        begins: bool,
        batch: &[Placed],
    ) -> Result<Told<()>, CompleteUploadError> {
        let step = Stage {
            upload_key: work.upload_key.clone(),
            id: work.id,
            content,
            begins,
            batch: batch.to_vec(),
        };
        let mut hints = vec![work.upload_key.clone()];
        for placed in batch {
            hints.push(names::part(work.id, placed.number));
            hints.push(extent_of(&placed.part));
        }
        self.change(&work.place, work.partition, hints, Gate::Open, move |view| step.run(view))
            .await
    }

    /// The one step that shows.
    async fn swap_in(
        &self,
        work: &Work,
        content: ContentId,
        plan: &Plan,
        md5: Option<[u8; 16]>,
    ) -> Result<Told<CompleteUploadOutput>, CompleteUploadError> {
        let names = Names::of(&work.key);
        let mut hints = names.hints(work.place.catalogue.versioning);
        hints.push(work.upload_key.clone());
        let (length, crc64, etag) = (plan.length, plan.crc64, plan.etag.clone());
        let mine = work.clone();
        let stamp = self.stamp();
        let now_ms = stamp.now_ms;
        self.change_in(&work.place, work.partition, hints, Gate::Open, move |view, bucket| {
            let work = &mine;
            let upload = read_upload::<CompleteUploadError>(view, &work.upload_key)?;
            let stale = upload.stale && !mutants::on(Mutant::CompletedStale);
            if upload.staged != Some(content) || stale {
                return Ok((Writes::none(), Told::Changed));
            }
            let old = read_current(view, &names, bucket)?;
            if work.forbid_overwrite && bucket.versioning.is_none() && old.is_some() {
                return refuse(CompleteUploadError::AlreadyExists);
            }
            if retention::forbids_over(bucket, old.as_ref(), now_ms) {
                return refuse(CompleteUploadError::Immutable);
            }
            let version = NewVersion {
                kind: Kind::Multipart { etag: etag.clone(), md5 },
                length,
                crc64,
                attributes: upload.attributes,
                acl: work.acl.or(upload.acl).unwrap_or_default(),
                tags: upload.tags,
                storage_class: upload.storage_class,
                sealing: None,
                new_key: None,
                over: None,
            };
            let at = match length {
                0 => Content::Inline,
                _ => Content::Extents(content),
            };
            let mut head = new_head(&version, at, old.as_ref(), &bucket.retention, now_ms);
            // It was written with the upload, and is the object's from here on.
            head.sealing = upload.key.map(|key| HeadSealing { key, salt: None });
            let mut writes = Writes::none();
            let both = (view, &mut writes);
            let none = Payload::None;
            versioning::add(both, &names, bucket, old.as_ref(), &mut head, none, stamp)?;
            writes.delete(work.upload_key.clone());
            writes.delete(keys::making(content));
            let left = Leftover { when_ms: now_ms, content: Some(content), kept: true, key: None };
            writes.put(names::leftover(work.id), left.encode());
            let output = CompleteUploadOutput {
                etag: head.etag(),
                crc64: head.crc64,
                length: head.length,
                last_modified: head.modified_s,
                version_id: bucket.versioning.map(|_| head.version_id),
                encrypted: head.sealing.is_some(),
            };
            Ok((writes, Told::Done(output)))
        })
        .await
    }

    /// Takes back what a completion that stopped has staged: nothing of it shows, and its parts are as they were.
    async fn take_back(
        &self,
        work: &Work,
        parts: &[(u16, Part)],
    ) -> Result<(), CompleteUploadError> {
        let staged: Vec<_> = parts.iter().filter(|(_, part)| part.staged_end.is_some()).collect();
        let mut batches: Vec<_> = staged.chunks(self.settings.part_batch).collect();
        // The last one, which may be empty, ends it.
        batches.push(&[]);
        let last = batches.len() - 1;
        for (at, batch) in batches.into_iter().enumerate() {
            let step = TakeBack {
                upload_key: work.upload_key.clone(),
                id: work.id,
                ends: at == last,
                numbers: batch.iter().map(|(number, _)| *number).collect(),
            };
            let mut hints = vec![work.upload_key.clone()];
            for (number, part) in batch {
                hints.push(names::part(work.id, *number));
                hints.push(extent_of(part));
            }
            let told = self
                .change(&work.place, work.partition, hints, Gate::Open, move |view| step.run(view));
            told.await?;
        }
        Ok(())
    }
}

/// One transaction: second names for the bytes of these parts.
struct Stage {
    upload_key: Bytes,
    id: UploadId,
    content: ContentId,
    /// The first of its content.
    begins: bool,
    batch: Vec<Placed>,
}

impl Stage {
    fn run(&self, view: &dyn View) -> Verdict<Told<()>, CompleteUploadError> {
        let upload = read_upload::<CompleteUploadError>(view, &self.upload_key)?;
        let mut writes = Writes::none();
        if self.begins && upload.staged.is_none() {
            let marked = Upload { staged: Some(self.content), stale: false, ..upload };
            writes.put(self.upload_key.clone(), marked.encode());
            writes.put(keys::making(self.content), making(self.id));
        } else if upload.staged != Some(self.content) || upload.stale {
            return Ok((Writes::none(), Told::Changed));
        }
        for Placed { number, part, end } in &self.batch {
            let part_key = names::part(self.id, *number);
            let now = Part::decode_option(view.get(&part_key)?.as_ref())?;
            if now != Some(*part) {
                return Ok((Writes::none(), Told::Changed));
            }
            if part.length == 0 {
                continue;
            }
            let from = extent_of(part);
            let extent = Extent::decode_option(view.get(&from)?.as_ref())?;
            let extent = extent.filter(|extent| extent.length == part.length);
            let extent = extent.ok_or_else(|| Damage::new("part", "its bytes are missing"))?;
            // The blob's reference names the new extent from here on.
            put_extent(&mut writes, self.content, *end, extent, Payload::Of(from));
            writes.put(part_key, Part { staged_end: Some(*end), ..*part }.encode());
        }
        Ok((writes, Told::Done(())))
    }
}

/// One transaction: these parts' bytes have one name again.
struct TakeBack {
    upload_key: Bytes,
    id: UploadId,
    /// Nothing is left of it.
    ends: bool,
    numbers: Vec<u16>,
}

impl TakeBack {
    fn run(&self, view: &dyn View) -> Verdict<(), CompleteUploadError> {
        let upload = read_upload::<CompleteUploadError>(view, &self.upload_key)?;
        let mut writes = Writes::none();
        let Some(content) = upload.staged else {
            return Ok((writes, ()));
        };
        for number in &self.numbers {
            let part_key = names::part(self.id, *number);
            let Some(part) = Part::decode_option(view.get(&part_key)?.as_ref())? else {
                continue;
            };
            // One that has come since is in no content but its own.
            let Some(end) = part.staged_end else { continue };
            let own = extent_of(&part);
            if let Some(extent) = Extent::decode_option(view.get(&own)?.as_ref())?
                && let Source::Blob { id, .. } = extent.source
            {
                let reference = Reference { content: part.content, end: part.length };
                writes.put(keys::reference(id), reference.encode());
            }
            writes.delete(keys::extent(content, end));
            writes.put(part_key, Part { staged_end: None, ..part }.encode());
        }
        if self.ends {
            let clean = Upload { staged: None, stale: false, ..upload };
            writes.put(self.upload_key.clone(), clean.encode());
            writes.delete(keys::making(content));
        }
        Ok((writes, ()))
    }
}

/// Decides what the object is made of, in OSS's order of checks.
fn plan(
    chosen: &ChosenParts,
    there: &[(u16, Part)],
    part_min: u64,
) -> Result<Plan, CompleteUploadError> {
    let parts = match chosen {
        ChosenParts::All => there.to_vec(),
        ChosenParts::Listed(listed) => choose(listed, there)?,
    };
    // A list that is empty says so of an upload that is: it must not throw away what has come.
    let nothing = there.is_empty() && *chosen != ChosenParts::All;
    if parts.is_empty() && !nothing {
        return Err(CompleteUploadError::NoParts);
    }
    let but_last = parts.split_last().map_or(&[][..], |(_, but_last)| but_last);
    if let Some((number, part)) = but_last.iter().find(|(_, part)| part.length < part_min) {
        return Err(CompleteUploadError::PartTooSmall {
            number: *number,
            etag: etag::from_md5(&part.md5),
            length: part.length,
            min: part_min,
        });
    }
    let mut names = Md5::new();
    let mut plan = Plan { parts: Vec::new(), length: 0, crc64: 0, etag: String::new() };
    for (number, part) in &parts {
        // OSS's formula: over the text of the ETags, where S3 takes their bytes.
        names.update(etag::from_md5(&part.md5));
        plan.crc64 = crc64::combine(plan.crc64, part.crc64, part.length);
        let end = plan.length.checked_add(part.length);
        plan.length =
            end.ok_or_else(|| Damage::new("part", "its length")).map_err(Failure::from)?;
        plan.parts.push(Placed { number: *number, part: *part, end: plan.length });
    }
    let names: [u8; 16] = names.finalize().into();
    plan.etag = format!("{}-{}", etag::from_md5(&names), parts.len());
    Ok(plan)
}

fn choose(
    listed: &[(u64, String)],
    there: &[(u16, Part)],
) -> Result<Vec<(u16, Part)>, CompleteUploadError> {
    if !listed.iter().map(|(number, _)| number).is_sorted_by(|a, b| a < b) {
        return Err(CompleteUploadError::OutOfOrder);
    }
    let one = |(number, sent): &(u64, String)| {
        let at = there.binary_search_by_key(number, |(known, _)| (*known).into()).ok();
        at.and_then(|at| there.get(at))
            .filter(|(_, part)| etag::same(sent, &etag::from_md5(&part.md5)))
            .copied()
            .ok_or_else(|| CompleteUploadError::InvalidPart { number: *number, etag: sent.clone() })
    };
    listed.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(md5: u128, length: u64) -> Part {
        Part {
            content: ContentId::new(1),
            length,
            md5: md5.to_be_bytes(),
            crc64: 0,
            modified_s: 0,
            staged_end: None,
        }
    }

    fn etag_of(parts: &[u128]) -> String {
        let there: Vec<_> =
            parts.iter().zip(1..).map(|(md5, number)| (number, part(*md5, 1))).collect();
        plan(&ChosenParts::All, &there, 0).unwrap().etag
    }

    #[test]
    fn the_etag_is_the_one_of_published_answers() {
        assert_eq!(
            etag_of(&[
                0x3349DC700140D7F86A078484278075A9,
                0x8EFDA8BE206636A695359836FE0A0E0A,
                0x8C315065167132444177411FDA149B92,
            ]),
            "B864DB6A936D376F9F8D3ED3BBE540DD-3"
        );
        assert_eq!(
            etag_of(&[0x4DE8075FB607DF4D13FBC480EA488EFA, 0xAF947EC157726CEA88ED83B3C989063B]),
            "1C787C506EABFB9B45EAAA8DB039F4B2-2"
        );
        assert!(etag_of(&[1]).ends_with("-1"));
    }

    #[test]
    fn order_comes_before_presence_and_presence_before_size() {
        let there = [(1, part(1, 5)), (3, part(3, 2)), (4, part(4, 9))];
        let etag = |md5: u128| etag::from_md5(&md5.to_be_bytes());
        let told = |listed: &[(u64, &str)], min| {
            let listed = listed.iter().map(|(n, etag)| (*n, (*etag).to_owned())).collect();
            plan(&ChosenParts::Listed(listed), &there, min).map(|plan| plan.length)
        };
        let (one, three, four) = (etag(1), etag(3), etag(4));
        assert_eq!(told(&[(1, &one), (4, &four)], 5), Ok(14));
        assert_eq!(told(&[(3, &format!("\"{}\"", three.to_lowercase()))], 5), Ok(2));
        assert_eq!(told(&[], 0), Err(CompleteUploadError::NoParts));
        assert_eq!(plan(&ChosenParts::All, &[], 0).err(), Some(CompleteUploadError::NoParts));
        let nothing = plan(&ChosenParts::Listed(Vec::new()), &[], 0).unwrap();
        assert_eq!(
            (nothing.length, nothing.crc64, &*nothing.etag),
            (0, 0, "D41D8CD98F00B204E9800998ECF8427E-0")
        );
        for wrong in [&[(9, &*one), (1, &*one)][..], &[(1, &*one), (1, &*one)]] {
            assert_eq!(told(wrong, 9), Err(CompleteUploadError::OutOfOrder));
        }
        for (number, sent) in
            [(1, &*three), (2, &*one), (0, ""), (u64::MAX, &*one), (65_537, &*one)]
        {
            let etag = sent.to_owned();
            let wrong = CompleteUploadError::InvalidPart { number, etag };
            assert_eq!(told(&[(number, sent)], 9), Err(wrong));
        }
        let small = told(&[(3, &three), (4, &four)], 5).unwrap_err();
        let (number, length, min) = (3, 2, 5);
        assert_eq!(small, CompleteUploadError::PartTooSmall { number, etag: three, length, min });
    }
}
