//! Many objects, one operation after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::{Content, Key, Kind, Object, Refusal, Reply, Step, UploadStep};

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
}

/// A bucket with nobody else in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    all: BTreeMap<String, Key>,
}

impl Store {
    /// What stands under a key.
    pub fn key(&self, key: &str) -> Key {
        self.all.get(key).cloned().unwrap_or_default()
    }

    /// The object under a key.
    pub fn object(&self, key: &str) -> Object {
        self.all.get(key).map(|there| there.object.clone()).unwrap_or_default()
    }

    /// Every key of an object.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let objects = self.all.iter().filter(|(_, there)| there.object != Object::Absent);
        objects.map(|(key, _)| key.as_str())
    }

    /// Every upload: its key and its id.
    pub fn uploads(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().flat_map(|(key, there)| {
            there.uploads.keys().map(|upload| (key.as_str(), upload.as_str()))
        })
    }

    /// Does an operation.
    pub fn apply(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::On { key, step } => Answer::One(self.step(key, step)),
            Operation::Copy { source, key, forbid_overwrite } => {
                // What stands in the way is noticed before the source is looked at.
                if *forbid_overwrite && self.object(key) != Object::Absent {
                    return Answer::One(Reply::Refused(Refusal::AlreadyExists));
                }
                let object = match self.step(source, &Step::ReadSource) {
                    Reply::Source(object) => object,
                    refused => return Answer::One(refused),
                };
                let place = Step::Place { object, forbid_overwrite: *forbid_overwrite };
                match self.step(key, &place) {
                    Reply::Stored { etag, .. } => Answer::Copied { etag },
                    refused => Answer::One(refused),
                }
            }
            Operation::List { prefix } => {
                let matching = self.all.iter().filter(|(key, _)| key.starts_with(prefix));
                let entry = |(key, there): (&String, &Key)| match there.step(&Step::List).1 {
                    Reply::Listed(entry) => entry.map(|entry| (key.clone(), entry)),
                    _ => None,
                };
                Answer::Listed(matching.filter_map(entry).collect())
            }
            Operation::CopyPart { source, range, if_match, key, upload, number } => {
                let part = |content| {
                    let (upload, number) = (upload.clone(), *number);
                    Step::Upload(UploadStep::Part { upload, number, content })
                };
                // Whether the upload takes the part is looked at before the source is.
                if let (_, Reply::Refused(why)) = self.key(key).step(&part(Content::empty())) {
                    return Answer::One(Reply::Refused(why));
                }
                let read = Step::ReadPart { range: range.clone(), if_match: if_match.clone() };
                let content = match self.step(source, &read) {
                    Reply::PartSource(content) => content,
                    refused => return Answer::One(refused),
                };
                match self.step(key, &part(content)) {
                    Reply::PartStored { etag, crc64 } => Answer::CopiedPart { etag, crc64 },
                    refused => Answer::One(refused),
                }
            }
            Operation::ListUploads { prefix } => {
                let matching = self.uploads().filter(|(key, _)| key.starts_with(prefix));
                let owned = matching.map(|(key, upload)| (key.to_owned(), upload.to_owned()));
                Answer::Uploads(owned.collect())
            }
        }
    }

    fn step(&mut self, key: &str, step: &Step) -> Reply {
        let (after, reply) = self.key(key).step(step);
        match after.is_vacant() {
            true => drop(self.all.remove(key)),
            false => drop(self.all.insert(key.to_owned(), after)),
        }
        reply
    }
}
