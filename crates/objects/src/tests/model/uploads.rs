//! Uploads among the random operations: which come, how they are asked for, and a store that dies while one of them runs.

use std::{collections::BTreeMap, ops::Range};

use ossia_model::{
    self as model, Answer, Content, Operation, Refusal, Reply, Step, UploadStep, stable_etag,
};
use proptest::prelude::*;

use super::{At, Bed, KEYS, a_length, about, ask, at};
use crate::{
    AbortUploadInput, ChosenParts, CompleteUploadError, CompleteUploadInput, CopyRange, Creation,
    Failure, InitiateUploadError, InitiateUploadInput, ListPartsInput, ListUploadsInput, Objects,
    UploadError, UploadId, UploadPartCopyError, UploadPartCopyInput, UploadPartError,
    UploadPartInput, VersionId,
    tests::support::{body, key, logs, settings},
    words::Conditions,
};

/// Numbers of parts that are used.
const NUMBERS: Range<u16> = 1..6;

/// What happens next to uploads. `upload` counts back from the last one that was started; without any, one is started.
#[derive(Debug, Clone)]
pub(super) enum UploadAct {
    Initiate {
        key: usize,
        sequential: bool,
        forbid_overwrite: bool,
    },
    Part {
        upload: usize,
        number: u16,
        length: usize,
    },
    CopyPart {
        source: usize,
        range: Option<(At, u64)>,
        upload: usize,
        number: u16,
    },
    Parts {
        upload: usize,
    },
    Complete {
        upload: usize,
        chosen: Chosen,
        forbid_overwrite: bool,
    },
    Abort {
        upload: usize,
    },
    /// Of another key, so none.
    Astray {
        upload: usize,
    },
    ListUploads {
        prefix: usize,
    },
}

/// Which parts a completion names.
#[derive(Debug, Clone)]
pub(super) enum Chosen {
    All,
    Listed { skip: Option<u16>, mistake: Mistake },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Mistake {
    None,
    Order,
    Etag,
    Absent,
}

pub(super) fn upload_act() -> impl Strategy<Value = UploadAct> {
    let upload = || prop_oneof![6 => Just(0_usize), 2 => Just(1), 1 => Just(2)];
    let a_key = || 0..KEYS.len();
    let number = || NUMBERS;
    let range = proptest::option::of((at(), 1_u64..120));
    let mistake = prop_oneof![
        8 => Just(Mistake::None),
        1 => Just(Mistake::Order),
        1 => Just(Mistake::Etag),
        1 => Just(Mistake::Absent),
    ];
    let listed = (proptest::option::of(number()), mistake)
        .prop_map(|(skip, mistake)| Chosen::Listed { skip, mistake });
    let chosen = prop_oneof![1 => Just(Chosen::All), 1 => listed];
    prop_oneof![
        4 => (a_key(), proptest::bool::weighted(0.2), any::<bool>()).prop_map(
            |(key, sequential, forbid_overwrite)| UploadAct::Initiate {
                key,
                sequential,
                forbid_overwrite,
            }
        ),
        14 => (upload(), number(), a_length())
            .prop_map(|(upload, number, length)| UploadAct::Part { upload, number, length }),
        3 => (a_key(), range, upload(), number()).prop_map(|(source, range, upload, number)| {
            UploadAct::CopyPart { source, range, upload, number }
        }),
        1 => upload().prop_map(|upload| UploadAct::Parts { upload }),
        6 => (upload(), chosen, proptest::bool::weighted(0.2)).prop_map(
            |(upload, chosen, forbid_overwrite)| UploadAct::Complete {
                upload,
                chosen,
                forbid_overwrite,
            }
        ),
        2 => upload().prop_map(|upload| UploadAct::Abort { upload }),
        1 => upload().prop_map(|upload| UploadAct::Astray { upload }),
        1 => (0..=KEYS.len()).prop_map(|prefix| UploadAct::ListUploads { prefix }),
    ]
}

/// Uploads and versions by the names that the specification gave them.
#[derive(Debug, Default)]
pub(super) struct Ids {
    uploads: Vec<(String, UploadId)>,
    pub(super) versions: Vec<VersionId>,
    /// The last policy of the bucket.
    pub(super) policy: String,
}

impl Ids {
    fn name(&self, at: usize) -> Option<(&str, String)> {
        let place = self.uploads.len().checked_sub(1 + at)?;
        Some((self.uploads.get(place)?.0.as_str(), name(place)))
    }

    fn id(&self, upload: &str) -> UploadId {
        let place = upload.strip_prefix('u').and_then(|place| place.parse::<usize>().ok());
        self.uploads[place.unwrap()].1
    }

    fn told(&self, id: UploadId) -> String {
        name(
            self.uploads.iter().position(|(_, known)| *known == id).expect("an upload of nobody's"),
        )
    }
}

impl Ids {
    /// How the specification calls a version. One that was not seen before is the next that it names.
    pub(super) fn version(&mut self, id: VersionId) -> String {
        if id == VersionId::Null {
            return model::NULL.to_owned();
        }
        let place = self.versions.iter().position(|known| *known == id);
        model::Store::name(place.unwrap_or_else(|| {
            self.versions.push(id);
            self.versions.len() - 1
        }))
    }

    /// The version that the specification calls so; for a name of none an id that none has.
    pub(super) fn version_id(&self, version: &str) -> VersionId {
        if version == model::NULL {
            return VersionId::Null;
        }
        let place = version.strip_prefix('v').and_then(|place| place.parse::<usize>().ok());
        place.and_then(|place| self.versions.get(place)).copied().unwrap_or(VersionId::NOT_MADE)
    }
}

fn name(place: usize) -> String {
    format!("u{place:04}")
}

impl UploadAct {
    /// The operation that this is, now.
    pub(super) fn operation(
        &self,
        ids: &Ids,
        store: &model::Store,
        bytes: &dyn Fn(usize) -> model::Body,
    ) -> Operation {
        let on = |key: &str, step| Operation::On { key: key.to_owned(), step: Step::Upload(step) };
        let fresh = |key: usize, sequential, forbid_overwrite| {
            let upload = name(ids.uploads.len());
            on(KEYS[key], UploadStep::Initiate { upload, sequential, forbid_overwrite })
        };
        let at = match self {
            UploadAct::Initiate { key, sequential, forbid_overwrite } => {
                return fresh(*key, *sequential, *forbid_overwrite);
            }
            UploadAct::ListUploads { prefix } => {
                let prefix = KEYS.get(*prefix).copied().unwrap_or_default().to_owned();
                return Operation::ListUploads { prefix };
            }
            UploadAct::Part { upload, .. }
            | UploadAct::CopyPart { upload, .. }
            | UploadAct::Parts { upload }
            | UploadAct::Complete { upload, .. }
            | UploadAct::Abort { upload }
            | UploadAct::Astray { upload } => *upload,
        };
        let Some((key, upload)) = ids.name(at).or_else(|| ids.name(0)) else {
            return fresh(at, false, false);
        };
        match self {
            UploadAct::Part { number, length, .. } => {
                let content = Content::of(&bytes(*length));
                on(key, UploadStep::Part { upload, number: *number, content })
            }
            UploadAct::CopyPart { source, range, number, .. } => {
                let source = KEYS[*source].to_owned();
                let length = store.object(&source).content().map_or(0, Content::length);
                let range = range.as_ref().map(|(at, count)| {
                    let end = at.of(length).max(1);
                    end.saturating_sub(*count)..end
                });
                let (key, number) = (key.to_owned(), *number);
                Operation::CopyPart { source, range, if_match: None, key, upload, number }
            }
            UploadAct::Complete { chosen, forbid_overwrite, .. } => {
                let there = store.key(key).uploads.get(&upload).cloned().unwrap_or_default();
                let parts = chosen.of(&there);
                let (forbid_overwrite, part_min) = (*forbid_overwrite, settings().part_min_bytes);
                on(key, UploadStep::Complete { upload, parts, forbid_overwrite, part_min })
            }
            UploadAct::Abort { .. } => on(key, UploadStep::Abort { upload }),
            UploadAct::Astray { .. } => {
                let other = KEYS.iter().find(|other| **other != key).unwrap();
                on(other, UploadStep::Abort { upload })
            }
            _ => on(key, UploadStep::Parts { upload }),
        }
    }
}

impl Chosen {
    fn of(&self, upload: &model::Upload) -> Option<Vec<(u16, String)>> {
        let Chosen::Listed { skip, mistake } = self else { return None };
        let kept = upload.parts.iter().filter(|(number, _)| Some(**number) != *skip);
        let mut parts: Vec<_> = kept.map(|(number, part)| (*number, part.md5())).collect();
        match mistake {
            Mistake::None => {}
            Mistake::Order => parts.extend(parts.first().cloned()),
            Mistake::Etag => parts.iter_mut().for_each(|(_, etag)| *etag = "0".repeat(32)),
            Mistake::Absent => parts.push((NUMBERS.end, "0".repeat(32))),
        }
        Some(parts)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    Refused(Refusal),
    Store(Failure),
}

/// Does an operation on an upload and reads its answer.
pub(super) async fn ask_upload(
    objects: &Objects,
    ids: &mut Ids,
    at: &str,
    step: &UploadStep,
) -> Result<Reply, Trouble> {
    let (bucket, object) = (logs(), key(at));
    Ok(match step {
        UploadStep::Initiate { upload, sequential, forbid_overwrite } => {
            let input = InitiateUploadInput {
                bucket,
                key: object,
                creation: Creation::default(),
                acl: None,
                sequential: *sequential,
                forbid_overwrite: *forbid_overwrite,
            };
            let id = objects.initiate_upload(input).await?;
            assert_eq!(*upload, name(ids.uploads.len()));
            ids.uploads.push((at.to_owned(), id));
            Reply::Initiated { upload: upload.clone() }
        }
        UploadStep::Part { upload, number, content } => {
            let bytes = content.last_body().map(|body| body.bytes().clone()).unwrap_or_default();
            let (upload, number, body) = (ids.id(upload), *number, body(&bytes));
            let input = UploadPartInput { bucket, key: object, upload, number, body };
            let told = objects.upload_part(input).await?;
            assert_eq!(told.length, content.length());
            Reply::PartStored { etag: told.etag, crc64: told.crc64 }
        }
        UploadStep::Parts { upload } => {
            let mut all = BTreeMap::new();
            loop {
                let after = all.keys().next_back().copied().unwrap_or_default();
                let (upload, key, limit) = (ids.id(upload), object.clone(), 2);
                let input = ListPartsInput { bucket: logs(), key, upload, after, limit };
                let page = objects.list_parts(input).await?;
                let parts = page.parts.into_iter();
                all.extend(parts.map(|part| (part.number, (part.etag, part.crc64, part.length))));
                if !page.truncated {
                    break Reply::Parts(all);
                }
            }
        }
        UploadStep::Complete { upload, parts, forbid_overwrite, .. } => {
            let listed = |parts: &Vec<(u16, String)>| {
                let one = |(number, etag): &(u16, String)| ((*number).into(), etag.clone());
                ChosenParts::Listed(parts.iter().map(one).collect())
            };
            let input = CompleteUploadInput {
                bucket,
                key: object,
                upload: ids.id(upload),
                parts: parts.as_ref().map_or(ChosenParts::All, listed),
                acl: None,
                forbid_overwrite: *forbid_overwrite,
            };
            let told = objects.complete_upload(input).await?;
            let etag = stable_etag(model::Kind::Multipart, &told.etag).unwrap();
            about(ids, told.version_id, Reply::Completed { etag, crc64: told.crc64 })
        }
        UploadStep::Abort { upload } => {
            let input = AbortUploadInput { bucket, key: object, upload: ids.id(upload) };
            objects.abort_upload(input).await?;
            Reply::Aborted
        }
        UploadStep::Find { .. } => unreachable!("nobody asks for half an operation"),
    })
}

/// As [`ask_upload`], for what concerns more than one object.
pub(super) async fn copy_part(
    objects: &Objects,
    ids: &mut Ids,
    operation: &Operation,
) -> Result<Answer, Trouble> {
    let Operation::CopyPart { source, range, key: to, upload, number, .. } = operation else {
        unreachable!("a part is copied");
    };
    let range = match range {
        None => CopyRange::Whole,
        Some(range) => CopyRange::Bytes { first: range.start, last: Some(range.end - 1) },
    };
    let input = UploadPartCopyInput {
        source_bucket: logs(),
        source_key: key(source),
        source_version: None,
        range,
        conditions: Conditions::default(),
        bucket: logs(),
        key: key(to),
        upload: ids.id(upload),
        number: *number,
    };
    let told = objects.upload_part_copy(input).await;
    if let Err(UploadPartCopyError::SourceDeleteMarker { version, named }) = told {
        let id = ids.version(version);
        return Err(Trouble::Refused(Refusal::Marker { id, named }));
    }
    let part = told?.part;
    Ok(Answer::CopiedPart { etag: part.etag, crc64: part.crc64 })
}

/// Page after page.
pub(super) async fn list_uploads(objects: &Objects, ids: &Ids, prefix: &str) -> Answer {
    let mut all = std::collections::BTreeSet::new();
    let (mut after_key, mut after_upload) = (None, None);
    loop {
        let input = ListUploadsInput {
            bucket: logs(),
            prefix: prefix.to_owned(),
            delimiter: None,
            after_key: after_key.take(),
            after_upload: after_upload.take(),
            limit: 2,
        };
        let page = objects.list_uploads(input).await.unwrap();
        for upload in page.uploads {
            let told = (upload.key.as_str().to_owned(), ids.told(upload.id));
            assert!(all.insert(told), "listed twice");
        }
        if !page.truncated {
            return Answer::Uploads(all);
        }
        (after_key, after_upload) = (page.last_key, page.last_upload.map(|id| id.to_string()));
    }
}

/// The store dies at a change of its own while this runs, and everything starts again: it has happened, told or not, or it has not.
pub(super) async fn die(
    mut bed: Bed,
    ids: &mut Ids,
    store: &mut model::Store,
    operation: &Operation,
    (at, after): (u64, bool),
) -> Bed {
    let Bed::Memory(world) = &mut bed else { return bed };
    world.store.die_at(at, after);
    let told = match operation {
        // Nobody hears of one that was started and not told.
        Operation::On { step: Step::Upload(UploadStep::Initiate { .. }), .. } => {
            world.store.revive();
            return bed;
        }
        Operation::On { key, step: Step::Upload(step) } => {
            ask_upload(&world.objects, ids, key, step).await.map(Answer::One)
        }
        Operation::CopyPart { .. } => copy_part(&world.objects, ids, operation).await,
        _ => {
            world.store.revive();
            return bed;
        }
    };
    world.restart().await;
    let mut happened = store.clone();
    let expected = happened.apply(operation);
    match told {
        Ok(answer) => assert_eq!(answer, expected, "{operation:?}"),
        Err(Trouble::Refused(refusal)) => {
            assert_eq!(Answer::One(Reply::Refused(refusal)), expected, "{operation:?}");
        }
        Err(Trouble::Store(_)) if happened != *store => {
            let seen = seen(&bed, ids, store).await;
            if seen == expected_seen(store) {
                return bed;
            }
            assert_eq!(seen, expected_seen(&happened), "neither before nor after {operation:?}");
        }
        Err(Trouble::Store(_)) => {}
    }
    *store = happened;
    bed
}

/// Everything that can be seen, as questions.
fn questions(store: &model::Store) -> Vec<Operation> {
    let mut all = vec![
        Operation::List { prefix: String::new() },
        Operation::ListUploads { prefix: String::new() },
        Operation::ListVersions { prefix: String::new() },
    ];
    for key in KEYS {
        all.push(Operation::On { key: key.to_owned(), step: Step::Get { range: None } });
    }
    for (key, upload) in store.uploads() {
        let step = Step::Upload(UploadStep::Parts { upload: upload.to_owned() });
        all.push(Operation::On { key: key.to_owned(), step });
    }
    all
}

/// The answers, with uploads that are gone left out: which they are is told by the listing.
async fn seen(bed: &Bed, ids: &mut Ids, store: &model::Store) -> Vec<Answer> {
    let mut all = Vec::new();
    for operation in questions(store) {
        all.push(ask(bed.objects(), ids, &operation, 3).await);
    }
    all.retain(|answer| *answer != Answer::One(Reply::Refused(Refusal::NoSuchUpload)));
    all
}

fn expected_seen(store: &model::Store) -> Vec<Answer> {
    let mut store = store.clone();
    questions(&store).iter().map(|question| store.apply(question)).collect()
}

/// What the statistics of a bucket count: uploads, and their parts.
pub(super) fn counted(store: &model::Store) -> (u64, u64) {
    let uploads = store.uploads().map(|(key, upload)| store.key(key).uploads[upload].parts.len());
    uploads.fold((0, 0), |(count, all), parts| (count + 1, all + parts as u64))
}

macro_rules! troubles {
    ($($name:ident { $($from:ident $({ $($field:tt)* })? => $to:ident),+ $(,)? })+) => {$(
        impl From<$name> for Trouble {
            fn from(error: $name) -> Self {
                match error {
                    $($name::$from $({ $($field)* })? => Trouble::Refused(Refusal::$to),)+
                    $name::Store(failure) => Trouble::Store(failure),
                    #[allow(unreachable_patterns, reason = "some enums have no more")]
                    error => panic!("{error}"),
                }
            }
        }
    )+};
}

troubles! {
    InitiateUploadError { AlreadyExists => AlreadyExists }
    UploadPartError { NoSuchUpload => NoSuchUpload, NotSequential => NotSequential }
    UploadPartCopyError {
        NoSuchUpload => NoSuchUpload,
        NotSequential => NotSequential,
        NoSuchSourceKey => NoSuchKey,
        SourceFrozen => Frozen,
        OutOfRange { .. } => InvalidRange,
    }
    UploadError { NoSuchUpload => NoSuchUpload }
    CompleteUploadError {
        NoSuchUpload => NoSuchUpload,
        NoParts => NoParts,
        OutOfOrder => OutOfOrder,
        InvalidPart { .. } => InvalidPart,
        PartTooSmall { .. } => PartTooSmall,
        AlreadyExists => AlreadyExists,
        Immutable => Immutable,
    }
}
