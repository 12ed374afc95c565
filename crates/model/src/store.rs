//! Many objects, one operation after the other.

use std::collections::BTreeMap;

use crate::{Kind, Object, Refusal, Reply, Step};

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
}

/// A bucket with nobody else in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    objects: BTreeMap<String, Object>,
}

impl Store {
    /// What stands under a key.
    pub fn object(&self, key: &str) -> Object {
        self.objects.get(key).cloned().unwrap_or_default()
    }

    /// Every key under which anything stands.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.objects.keys().map(String::as_str)
    }

    /// Does an operation.
    pub fn apply(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::On { key, step } => Answer::One(self.step(key, step)),
            Operation::Copy { source, key, forbid_overwrite } => {
                // What stands in the way is noticed before the source is looked at.
                if *forbid_overwrite && self.objects.contains_key(key) {
                    return Answer::One(Reply::Refused(Refusal::AlreadyExists));
                }
                let content = match self.step(source, &Step::ReadSource) {
                    Reply::Source(content) => content,
                    refused => return Answer::One(refused),
                };
                let put = Step::Put { content, forbid_overwrite: *forbid_overwrite };
                match self.step(key, &put) {
                    Reply::Stored { etag, .. } => Answer::Copied { etag },
                    refused => Answer::One(refused),
                }
            }
            Operation::List { prefix } => {
                let matching = self.objects.iter().filter(|(key, _)| key.starts_with(prefix));
                let entry = |(key, object): (&String, &Object)| match object.step(&Step::List).1 {
                    Reply::Listed(entry) => entry.map(|entry| (key.clone(), entry)),
                    _ => None,
                };
                Answer::Listed(matching.filter_map(entry).collect())
            }
        }
    }

    fn step(&mut self, key: &str, step: &Step) -> Reply {
        let (after, reply) = self.object(key).step(step);
        match after {
            Object::Absent => drop(self.objects.remove(key)),
            after => drop(self.objects.insert(key.to_owned(), after)),
        }
        reply
    }
}
