//! Many objects, one operation after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::{
    Bucket, Content, Key, Kind, ListedVersion, Object, Refusal, Reply, Setting, Step, UploadStep,
    Versioning,
};

/// An operation as a client asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// One that concerns one object alone.
    On {
        /// Its key.
        key: String,
        /// What is done.
        step: Step,
    },
    /// A copy within the bucket.
    ///
    /// Among concurrent operations it has two moments: the source is read at one, the destination written at a later one.
    Copy {
        /// What is copied.
        source: String,
        /// Which version of it; the current one if `None`.
        version: Option<String>,
        /// Where to.
        key: String,
        /// Only if nothing is there.
        forbid_overwrite: bool,
    },
    /// A part made of an object's bytes, in the bucket of the upload. Among concurrent operations it has two moments as a copy has.
    CopyPart {
        /// What is copied.
        source: String,
        /// Which bytes; all if `None`.
        range: Option<Range<u64>>,
        /// Only if the source has this ETag.
        if_match: Option<String>,
        /// The upload's key.
        key: String,
        /// The upload.
        upload: String,
        /// The part's number.
        number: u16,
    },
    /// Names all uploads of keys that begin so. Among concurrent operations it has a moment of its own for each upload.
    ListUploads {
        /// What keys begin with.
        prefix: String,
    },
    /// Names all versions of keys that begin so. Among concurrent operations it has a moment of its own for each version.
    ListVersions {
        /// What keys begin with.
        prefix: String,
    },
    /// Changes what the bucket is set to.
    Set(Setting),
    /// The lifecycle goes one round. Nobody asks for it.
    Round,
    /// Names all objects whose keys begin so. Among concurrent operations it has a moment of its own for each object.
    List {
        /// What keys begin with.
        prefix: String,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To an operation on one object, and a refusal of any.
    One(Reply),
    /// The copy is there.
    Copied {
        /// Its ETag, which tells which bytes were copied.
        etag: String,
        /// The version that it made, in a bucket that has or had versions.
        version: Option<String>,
    },
    /// The names, and what is said of each.
    Listed(BTreeMap<String, (Kind, u64, String)>),
    /// The part is there.
    CopiedPart {
        /// Its ETag.
        etag: String,
        /// Its CRC-64.
        crc64: u64,
    },
    /// Keys and ids.
    Uploads(BTreeSet<(String, String)>),
    /// The versions of each key, the newest first.
    Versions(BTreeMap<String, Vec<ListedVersion>>),
    /// It is so now.
    Done,
}

/// A bucket with nobody else in it. It names the versions that it makes: [`Store::name`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    /// What it is set to, and the time.
    pub bucket: Bucket,
    all: BTreeMap<String, Key>,
    made: usize,
}

impl Store {
    /// An empty one.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket, ..Self::default() }
    }

    /// How the version is called that was made as the so many-th, of those that have an id of their own.
    pub fn name(number: usize) -> String {
        format!("v{number:05}")
    }

    /// What stands under a key.
    pub fn key(&self, key: &str) -> Key {
        self.all.get(key).cloned().unwrap_or_default()
    }

    /// The object under a key.
    pub fn object(&self, key: &str) -> Object {
        self.all.get(key).map(|there| there.object().clone()).unwrap_or_default()
    }

    /// Every key of an object.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let objects = self.all.iter().filter(|(_, there)| *there.object() != Object::Absent);
        objects.map(|(key, _)| key.as_str())
    }

    /// Every version of every key, the newest of each key last.
    pub fn versions(&self) -> impl Iterator<Item = (&str, &crate::Version)> {
        self.all.iter().flat_map(|(key, there)| there.versions.iter().map(move |it| (&**key, it)))
    }

    /// How many bytes all versions and parts have.
    pub fn bytes(&self) -> u64 {
        let parts = self.all.values().flat_map(|there| there.uploads.values());
        let parts = parts.flat_map(|upload| upload.parts.values()).map(Content::length);
        let versions = self.versions().filter_map(|(_, version)| version.object.content());
        versions.map(Content::length).chain(parts).sum()
    }

    /// Every upload: its key and its id.
    pub fn uploads(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().flat_map(|(key, there)| {
            there.uploads.keys().map(|upload| (key.as_str(), upload.as_str()))
        })
    }

    /// Does an operation.
    pub fn apply(&mut self, operation: &Operation) -> Answer {
        let refused = |refusal| Answer::One(Reply::Refused(refusal));
        if !self.has_room_for(operation) {
            return refused(Refusal::QuotaExceeded);
        }
        match operation {
            Operation::On { key, step } => Answer::One(self.step(key, step)),
            Operation::Copy { .. } => self.copy(operation).unwrap_or_else(refused),
            Operation::List { prefix } => {
                let matching = self.all.iter().filter(|(key, _)| key.starts_with(prefix));
                let entry = |(key, there): (&String, &Key)| match there.object().step(&Step::List).1
                {
                    Reply::Listed(entry) => entry.map(|entry| (key.clone(), entry)),
                    _ => None,
                };
                Answer::Listed(matching.filter_map(entry).collect())
            }
            Operation::ListVersions { prefix } => {
                let matching = self.all.iter().filter(|(key, _)| key.starts_with(prefix));
                let entry = |(key, there): (&String, &Key)| match there
                    .step(&Step::Versions, &self.bucket)
                    .1
                {
                    Reply::Versions(all) if !all.is_empty() => Some((key.clone(), all)),
                    _ => None,
                };
                Answer::Versions(matching.filter_map(entry).collect())
            }
            Operation::CopyPart { source, range, if_match, key, upload, number } => {
                let part = |content| {
                    let (upload, number) = (upload.clone(), *number);
                    Step::Upload(UploadStep::Part { upload, number, content })
                };
                // Whether the upload takes the part is looked at before the source is.
                let empty = part(Content::empty());
                if let (_, Reply::Refused(why)) = self.key(key).step(&empty, &self.bucket) {
                    return refused(why);
                }
                let read = Step::ReadPart { range: range.clone(), if_match: if_match.clone() };
                let content = match self.step(source, &read).plain() {
                    Reply::PartSource(content) => content.clone(),
                    reply => return Answer::One(reply.clone()),
                };
                match self.step(key, &part(content)) {
                    Reply::PartStored { etag, crc64 } => Answer::CopiedPart { etag, crc64 },
                    reply => Answer::One(reply),
                }
            }
            Operation::ListUploads { prefix } => {
                let matching = self.uploads().filter(|(key, _)| key.starts_with(prefix));
                let owned = matching.map(|(key, upload)| (key.to_owned(), upload.to_owned()));
                Answer::Uploads(owned.collect())
            }
            Operation::Set(setting) => {
                self.bucket.set(*setting).map_or_else(refused, |()| Answer::Done)
            }
            Operation::Round => {
                let Store { bucket, all, made } = self;
                for there in all.values_mut() {
                    there.follow(bucket, || {
                        *made += 1;
                        Store::name(*made - 1)
                    });
                }
                all.retain(|_, there| !there.is_vacant());
                Answer::Done
            }
        }
    }

    fn copy(&mut self, operation: &Operation) -> Result<Answer, Refusal> {
        let Operation::Copy { source, version, key, forbid_overwrite } = operation else {
            return Err(Refusal::NoSuchKey);
        };
        let read = match version {
            None => Step::ReadSource,
            Some(version) => {
                Step::Of { version: version.clone(), step: Box::new(Step::ReadSource) }
            }
        };
        let stays = source == key && self.bucket.versioning == Versioning::Never;
        if stays {
            // Its head alone is changed, and looked at first.
            let there = self.key(key);
            if version.as_ref().is_some_and(|version| version != crate::NULL) {
                return Err(Refusal::NoSuchVersion);
            }
            if there.versions.is_empty() {
                return Err(Refusal::NoSuchKey);
            }
            if *forbid_overwrite {
                return Err(Refusal::AlreadyExists);
            }
        } else if self.bucket.versioning == Versioning::Never {
            // What stands in the way is noticed before the source is looked at.
            self.key(key).may_replace(*forbid_overwrite, &self.bucket)?;
        }
        let object = match self.step(source, &read).plain() {
            Reply::Source(object) => object.clone(),
            Reply::Refused(refusal) => return Err(refusal.clone()),
            _ => return Err(Refusal::NoSuchKey),
        };
        let place = match stays {
            true => Step::Touch,
            false => Step::Place { object, forbid_overwrite: *forbid_overwrite },
        };
        let reply = self.step(key, &place);
        match reply.plain() {
            Reply::Stored { etag, .. } => {
                let version = reply.version().map(str::to_owned);
                Ok(Answer::Copied { etag: etag.clone(), version })
            }
            Reply::Refused(refusal) => Err(refusal.clone()),
            _ => Err(Refusal::NoSuchKey),
        }
    }

    /// Whether the quota lets it grow the bucket so. What an object replaces that keeps no versions is free.
    fn has_room_for(&self, operation: &Operation) -> bool {
        let Some(quota) = self.bucket.quota else { return true };
        let length = |key: &str| self.object(key).content().map_or(0, Content::length);
        let (adds, replaced) = match operation {
            Operation::On { key, step } => match step.bare() {
                Step::Append { body, .. } => (body.length(), 0),
                Step::Put { content, .. } => (content.length(), length(key)),
                Step::Upload(UploadStep::Part { content, .. }) => (content.length(), 0),
                _ => return true,
            },
            Operation::Copy { source, key, .. } => (length(source), length(key)),
            _ => return true,
        };
        let replaced = if self.bucket.versioning == Versioning::Never { replaced } else { 0 };
        adds <= quota.saturating_sub(self.bytes().saturating_sub(replaced)).max(replaced)
    }

    fn step(&mut self, key: &str, step: &Step) -> Reply {
        let id = Store::name(self.made);
        let (archived, step) = match step {
            Step::Making { archived, step, .. } => (*archived, (**step).clone()),
            step => (false, step.clone()),
        };
        let step = Step::Making { id: id.clone(), archived, step: Box::new(step) };
        let (after, reply) = self.key(key).step(&step, &self.bucket);
        self.made += usize::from(after.versions.iter().any(|version| version.id == id));
        match after.is_vacant() {
            true => drop(self.all.remove(key)),
            false => drop(self.all.insert(key.to_owned(), after)),
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

    fn put(key: &str, length: usize) -> Operation {
        let content = Content::of(&Body::new(vec![7; length]));
        let step = Step::Put { content, forbid_overwrite: false };
        Operation::On { key: key.to_owned(), step }
    }

    fn is_full(answer: &Answer) -> bool {
        *answer == Answer::One(Reply::Refused(Refusal::QuotaExceeded))
    }

    #[test]
    fn a_quota_refuses_growth_and_what_replaces_as_much_is_free() {
        let mut store = Store::default();
        store.apply(&Operation::Set(Setting::Quota(Some(10))));
        assert!(!is_full(&store.apply(&put("a", 10))));
        assert!(is_full(&store.apply(&put("b", 1))));
        assert!(!is_full(&store.apply(&put("a", 10))));
        // Where versions are kept nothing is replaced.
        store.apply(&Operation::Set(Setting::Versioning(Versioning::Enabled)));
        assert!(is_full(&store.apply(&put("a", 1))));
        assert_eq!(store.bytes(), 10);
        store.apply(&Operation::Set(Setting::Quota(None)));
        assert!(!is_full(&store.apply(&put("a", 1))));
        assert_eq!(store.versions().count(), 2);
    }
}
