//! What may have been copied: every object that can have been anywhere, by its ETag.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use ossia_model::{
    Answer, Content, Key, Object, Operation, Reply, Step, Upload, UploadStep, joined,
};

use super::event::{Batch, Outcome};

/// The most objects that are thought of for one completion of whatever parts there were.
const COMPLETIONS_MAX: usize = 4_096;

/// What may have been copied.
#[derive(Debug, Default)]
pub(super) struct Contents {
    by_etag: HashMap<String, Object>,
    /// What each key may have held at some time, but for appendable objects. More than it can have held at the time of one copy: that
    /// only makes the checker believe more of a copy whose outcome is unknown.
    by_key: BTreeMap<String, BTreeSet<String>>,
    /// What the parts of each upload may have been.
    parts: BTreeMap<String, BTreeMap<u16, BTreeMap<String, Content>>>,
}

impl Contents {
    pub(super) fn of(batch: &Batch, before: &BTreeMap<String, Vec<Key>>) -> Self {
        let mut all = Self::default();
        for (key, states) in before {
            for state in states {
                state.versions.iter().for_each(|version| all.learn(key, &version.object));
                for (upload, Upload { parts, .. }) in &state.uploads {
                    for (number, part) in parts {
                        all.learn_part(upload, *number, part);
                    }
                }
            }
        }
        let mut copies = Vec::new();
        let done =
            batch.events.iter().filter(|event| !matches!(event.outcome, Outcome::NotDone(_)));
        for event in done.clone() {
            match (&event.operation, &event.outcome) {
                (Operation::On { key, step: Step::Put { content, .. } }, _) => {
                    all.learn(key, &Object::Normal(content.clone()));
                }
                (
                    Operation::On {
                        step: Step::Upload(UploadStep::Part { upload, number, content }),
                        ..
                    },
                    _,
                ) => {
                    all.learn_part(upload, *number, content);
                }
                (Operation::Copy { source, key, .. }, Outcome::Answered(Answer::Copied { .. }))
                | (Operation::Copy { source, key, .. }, Outcome::Unknown(_)) => {
                    copies.push((source, key));
                }
                _ => {}
            }
        }
        for event in done.clone() {
            if let Operation::CopyPart { range, if_match: Some(etag), upload, number, .. } =
                &event.operation
                && let Some(content) = all.part_of(etag, range.as_ref())
            {
                all.learn_part(upload, *number, &content);
            }
        }
        for event in done {
            let Operation::On {
                key,
                step: Step::Upload(UploadStep::Complete { upload, parts, .. }),
            } = &event.operation
            else {
                continue;
            };
            // One that was answered has told what it made, or that it made nothing.
            let told = match &event.outcome {
                Outcome::Answered(Answer::One(reply)) => match reply.plain() {
                    Reply::Completed { etag, .. } => Some(etag.as_str()),
                    _ => continue,
                },
                Outcome::Unknown(_) => None,
                _ => continue,
            };
            all.complete(key, upload, parts.as_deref(), told);
        }
        // What was copied may have been copied on.
        let mut grew = true;
        while std::mem::take(&mut grew) {
            for (source, key) in &copies {
                let more = all.by_key.get(*source).cloned().unwrap_or_default();
                let known = all.by_key.entry((*key).clone()).or_default();
                let count = known.len();
                known.extend(more);
                grew |= known.len() > count;
            }
        }
        all
    }

    fn learn(&mut self, key: &str, object: &Object) {
        let info = match object {
            Object::Normal(_) | Object::Multipart { .. } => object.info(),
            Object::Absent | Object::Appendable { .. } => None,
        };
        let Some(info) = info else { return };
        self.by_key.entry(key.to_owned()).or_default().insert(info.etag.clone());
        self.by_etag.insert(info.etag, object.clone());
    }

    fn learn_part(&mut self, upload: &str, number: u16, content: &Content) {
        let parts = self.parts.entry(upload.to_owned()).or_default().entry(number).or_default();
        parts.insert(content.md5(), content.clone());
    }

    /// What a completion may have made.
    fn complete(
        &mut self,
        key: &str,
        upload: &str,
        chosen: Option<&[(u16, String)]>,
        etag: Option<&str>,
    ) {
        let Some(parts) = self.parts.get(upload) else { return };
        let made = match chosen {
            Some(chosen) => {
                let part = |(number, etag): &(u16, String)| parts.get(number)?.get(etag);
                chosen.iter().map(part).collect::<Option<Vec<_>>>().into_iter().collect()
            }
            // Any choice of what each number may have been, or of none.
            None => parts.values().fold(vec![Vec::new()], choices),
        };
        let objects: Vec<_> =
            made.iter().filter(|parts| !parts.is_empty()).map(|parts| joined(parts)).collect();
        for object in objects {
            let named = object.info().map(|info| info.etag);
            if etag.is_none_or(|etag| named.as_deref() == Some(etag)) {
                self.learn(key, &object);
            }
        }
    }

    /// The object of this ETag.
    pub(super) fn by_etag(&self, etag: &str) -> Option<&Object> {
        self.by_etag.get(etag)
    }

    /// Some bytes of the object of this ETag.
    pub(super) fn part_of(&self, etag: &str, range: Option<&Range<u64>>) -> Option<Content> {
        let content = self.by_etag.get(etag)?.content()?;
        Some(range.map_or_else(|| content.clone(), |range| content.slice(range.clone())))
    }

    /// What a key may have held that can be copied.
    pub(super) fn possible(&self, key: &str) -> impl Iterator<Item = Object> {
        let etags = self.by_key.get(key).into_iter().flatten();
        etags.filter_map(|etag| self.by_etag.get(etag).cloned())
    }
}

/// What was chosen so far, each without one more part and with whatever that may have been.
fn choices<'a>(
    made: Vec<Vec<&'a Content>>,
    one: &'a BTreeMap<String, Content>,
) -> Vec<Vec<&'a Content>> {
    let mut all = Vec::new();
    for made in made {
        for part in one.values() {
            all.push([&made[..], &[part]].concat());
        }
        all.push(made);
    }
    all.truncate(COMPLETIONS_MAX);
    all
}
