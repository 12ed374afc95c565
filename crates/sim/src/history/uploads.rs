//! What clients do to uploads, and what they were told of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ossia_model::{Answer, Body, Content, Kind, Operation, Refusal, Reply, Step, UploadStep};

use super::body::stamped;
use crate::random::Random;

/// The least length of a part that is not the last, as the server has it.
const PART_MIN: u64 = 100 << 10;
/// Uploads that are under way at once, about.
const OPEN: usize = 4;
/// Uploads that are over and still asked for now and then.
const OVER: usize = 4;
/// Numbers of parts: few, so that they get in each other's way.
const NUMBERS: u64 = 3;

/// What all clients know of uploads.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: Vec<Upload>,
    over: Vec<Upload>,
    /// ETag and length of Normal objects: sources of parts.
    sources: HashMap<String, (String, u64)>,
}

#[derive(Debug, Clone)]
struct Upload {
    key: String,
    id: String,
    sequential: bool,
    parts: BTreeMap<u16, String>,
}

#[derive(Debug, Clone, Copy)]
enum Verb {
    Part,
    CopyPart,
    Parts,
    Complete,
    Abort,
    List,
}

impl Uploads {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next operation on an upload; `number` says whose, and which.
    pub(super) fn choose(
        &self,
        random: &mut Random,
        keys: &[String],
        (client, number): (u16, u32),
    ) -> Operation {
        let inner = self.lock();
        let on = |key: &str, step| Operation::On { key: key.to_owned(), step: Step::Upload(step) };
        let open = inner.open.len();
        if open < OPEN / 2 || (open < 2 * OPEN && random.percent(10)) {
            let key = pick(random, keys).cloned().unwrap_or_default();
            let (sequential, forbid_overwrite) = (random.percent(15), random.percent(10));
            return on(
                &key,
                UploadStep::Initiate { upload: String::new(), sequential, forbid_overwrite },
            );
        }
        let of_over = !inner.over.is_empty() && random.percent(5);
        let from = if of_over { &inner.over } else { &inner.open };
        let Some(Upload { key, id, sequential, parts }) = pick(random, from).cloned() else {
            return Operation::ListUploads { prefix: String::new() };
        };
        let upload = id.clone();
        let verb = random.weighted(&[
            (40, Verb::Part),
            (10, Verb::CopyPart),
            (8, Verb::Parts),
            (if parts.is_empty() { 1 } else { 22 }, Verb::Complete),
            (4, Verb::Abort),
            (4, Verb::List),
        ]);
        let mut part_number = || {
            let number = match sequential {
                true => parts.keys().next_back().copied().unwrap_or_default() + 1,
                false => 1 + u16::try_from(random.below(NUMBERS)).unwrap_or_default(),
            };
            number.min(9)
        };
        match verb {
            Verb::Part => {
                let part = part_number();
                let content =
                    Content::of(&Body::new(stamped(client, number, length(random, part))));
                on(&key, UploadStep::Part { upload, number: part, content })
            }
            Verb::CopyPart => {
                let number = part_number();
                let at = pick(random, keys).cloned().unwrap_or_default();
                let Some((etag, length)) = inner.sources.get(&at).cloned() else {
                    return on(&key, UploadStep::Parts { upload });
                };
                let range = (length > 1 && random.percent(50)).then(|| {
                    let start = random.below(length - 1);
                    start..start + 1 + random.below(length - start)
                });
                Operation::CopyPart { source: at, range, if_match: Some(etag), key, upload, number }
            }
            Verb::Parts => on(&key, UploadStep::Parts { upload }),
            Verb::Complete => {
                let listed = !parts.is_empty() && random.percent(60);
                let parts = listed.then(|| parts.into_iter().collect());
                let forbid_overwrite = random.percent(10);
                let part_min = PART_MIN;
                on(&key, UploadStep::Complete { upload, parts, forbid_overwrite, part_min })
            }
            Verb::Abort => on(&key, UploadStep::Abort { upload }),
            Verb::List => {
                let prefix = if random.percent(50) { String::new() } else { key };
                Operation::ListUploads { prefix }
            }
        }
    }

    /// Remembers what an answer told.
    pub(super) fn learn(&self, operation: &Operation, answer: &Answer) {
        let mut inner = self.lock();
        let plain = match answer {
            Answer::One(reply) => Answer::One(reply.plain().clone()),
            answer => answer.clone(),
        };
        match (operation, &plain) {
            (Operation::On { key, step: Step::Upload(step) }, Answer::One(reply)) => {
                inner.learn_step(key, step, reply);
            }
            (
                Operation::On { key, step: Step::Put { content, .. } },
                Answer::One(Reply::Stored { etag, .. }),
            ) => {
                inner.sources.insert(key.clone(), (etag.clone(), content.length()));
            }
            (
                Operation::On { key, .. },
                Answer::One(Reply::Found(info) | Reply::Read { info, .. }),
            ) if info.kind == Kind::Normal => {
                inner.sources.insert(key.clone(), (info.etag.clone(), info.length));
            }
            (Operation::CopyPart { upload, number, .. }, Answer::CopiedPart { etag, .. }) => {
                inner.learn_part(upload, *number, etag);
            }
            (
                Operation::CopyPart { upload, .. },
                Answer::One(Reply::Refused(Refusal::NoSuchUpload)),
            ) => {
                inner.end(upload);
            }
            // Started by somebody who was not told.
            (_, Answer::Uploads(listed)) => {
                for (key, id) in listed {
                    let known = |it: &Upload| it.id == *id;
                    if !inner.open.iter().any(known) && !inner.over.iter().any(known) {
                        inner.begin(key, id, false);
                    }
                }
            }
            _ => {}
        }
    }
}

impl Inner {
    fn learn_step(&mut self, key: &str, step: &UploadStep, reply: &Reply) {
        match (step, reply) {
            (UploadStep::Initiate { sequential, .. }, Reply::Initiated { upload }) => {
                self.begin(key, upload, *sequential);
            }
            (UploadStep::Part { upload, number, .. }, Reply::PartStored { etag, .. }) => {
                self.learn_part(upload, *number, etag);
            }
            (UploadStep::Parts { upload }, Reply::Parts(parts)) => {
                if let Some(known) = self.open.iter_mut().find(|it| it.id == *upload) {
                    let etags = parts.iter().map(|(number, (etag, ..))| (*number, etag.clone()));
                    known.parts = etags.collect();
                }
            }
            (
                UploadStep::Part { upload, .. }
                | UploadStep::Parts { upload }
                | UploadStep::Complete { upload, .. }
                | UploadStep::Abort { upload },
                Reply::Completed { .. } | Reply::Aborted | Reply::Refused(Refusal::NoSuchUpload),
            ) => self.end(upload),
            _ => {}
        }
    }

    fn begin(&mut self, key: &str, id: &str, sequential: bool) {
        let (key, id) = (key.to_owned(), id.to_owned());
        self.open.push(Upload { key, id, sequential, parts: BTreeMap::new() });
    }

    fn learn_part(&mut self, id: &str, number: u16, etag: &str) {
        if let Some(known) = self.open.iter_mut().find(|it| it.id == id) {
            known.parts.insert(number, etag.to_owned());
        }
    }

    fn end(&mut self, id: &str) {
        let Some(at) = self.open.iter().position(|it| it.id == id) else { return };
        let over = self.open.swap_remove(at);
        self.over.push(over);
        if self.over.len() > OVER {
            self.over.remove(0);
        }
    }
}

fn pick<'a, T>(random: &mut Random, all: &'a [T]) -> Option<&'a T> {
    let at = random.below((all.len() as u64).max(1));
    all.get(usize::try_from(at).unwrap_or_default())
}

/// Long enough not to be the last, kept inline or staged; or short, so that only the last may be so.
fn length(random: &mut Random, number: u16) -> usize {
    let short = if u64::from(number) == NUMBERS { 60 } else { 12 };
    let length = match random.below(100) {
        any if any < short => 16 + random.below(2_000),
        any if any % 3 == 0 => 140_000 + random.below(60_000),
        _ => PART_MIN + random.below(20_000),
    };
    usize::try_from(length).unwrap_or_default()
}
