//! One object: its states, and what each operation makes of them. This file is the specification of bytes; what is beside them, and
//! that there may be many versions of an object, is in [`crate::Key`].

use std::collections::BTreeMap;
use std::ops::Range;

use crate::{
    Body, Content,
    key::Retention,
    upload::{ListedPart, UploadStep, is_multipart_etag},
};

/// What stands under a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Object {
    /// Nothing.
    #[default]
    Absent,
    /// What was put or copied.
    Normal(Content),
    /// What was made by an append.
    Appendable {
        /// What was appended so far.
        content: Content,
        /// Whether nothing more may be appended.
        sealed: bool,
    },
    /// What was made of an upload's parts, or copied from such.
    Multipart {
        /// Its bytes.
        content: Content,
        /// Its ETag, which its parts decide.
        etag: String,
    },
}

/// What an operation does to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Adds bytes at the end, which must be at `position`; makes the object if there is none.
    Append {
        /// Where the client believes the end to be.
        position: u64,
        /// What is added.
        body: Body,
    },
    /// Replaces what is there.
    Put {
        /// What will be there.
        content: Content,
        /// Only if nothing is there.
        forbid_overwrite: bool,
    },
    /// The second half of a copy: replaces what is there by what was read.
    Place {
        /// What will be there.
        object: Object,
        /// Only if nothing is there.
        forbid_overwrite: bool,
    },
    /// Forbids further appends.
    Seal {
        /// Where the client believes the end to be.
        position: u64,
    },
    /// Removes what is there, if anything is.
    Delete,
    /// Reads the bytes.
    Get {
        /// Which; all if `None`. Not empty; may reach past the end.
        range: Option<Range<u64>>,
    },
    /// Asks for all but the bytes.
    Head,
    /// The part of a listing that concerns this object.
    List,
    /// The first half of a copy: reads what is to be copied.
    ReadSource,
    /// The first half of a part's copy.
    ReadPart {
        /// Which bytes; all if `None`.
        range: Option<Range<u64>>,
        /// Only if the object has this ETag.
        if_match: Option<String>,
    },
    /// Concerns an upload: [`crate::Key::step`].
    Upload(UploadStep),
    /// The same, with what belongs to the version that it makes, if it makes one. What follows is done by [`crate::Key::step`] alone.
    Making {
        /// The id. The server's choice: who records a history fills it in from the answer. No id is chosen twice.
        id: String,
        /// Whether the object is of a class that is read only after a restore.
        archived: bool,
        /// What is done.
        step: Box<Step>,
    },
    /// The same to a version that is named.
    Of {
        /// Its id.
        version: String,
        /// What is done: [`Step::Delete`], which removes it for ever, or what does not concern the bytes.
        step: Box<Step>,
    },
    /// A copy of an object onto itself where no versions are kept: its bytes stay where they are.
    Touch,
    /// Lists the versions.
    Versions,
    /// The part of a listing of versions that concerns this one.
    FindVersion {
        /// Its id.
        version: String,
    },
    /// Asks for an archived object to be readable.
    Restore {
        /// For so many days.
        days: u32,
    },
    /// Sets a retention.
    Retain {
        /// The new one.
        to: Retention,
        /// Whether one that is not of compliance may be shortened.
        bypass: bool,
    },
    /// Sets or takes away a hold.
    Hold(bool),
}

/// A version as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListedVersion {
    /// Its id.
    pub id: String,
    /// What it is: kind, length and ETag. A delete marker is nothing.
    pub object: Option<(Kind, u64, String)>,
}

/// What an operation answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reply {
    /// Bytes were appended, or none were and nothing changed.
    Appended {
        /// The length: where the next append goes.
        next_position: u64,
        /// The CRC-64 of everything before it (I8).
        crc64: u64,
        /// As [`stable_etag`] cuts it.
        etag: String,
    },
    /// It is there now.
    Stored {
        /// The MD5.
        etag: String,
        /// The CRC-64 of all of it.
        crc64: u64,
    },
    /// It is sealed now.
    Sealed,
    /// Nothing is there now.
    Deleted,
    /// Bytes.
    Read {
        /// What is said of the object along with them.
        info: Info,
        /// The CRC-64 of the bytes that came.
        crc64: u64,
        /// How many came.
        length: u64,
    },
    /// What is known of the object.
    Found(Info),
    /// Whether and how the object is listed. A listing tells no CRC-64 and no seal.
    Listed(Option<(Kind, u64, String)>),
    /// What is to be copied.
    Source(Object),
    /// What is to be a part.
    PartSource(Content),
    /// An upload is under way.
    Initiated {
        /// Its id.
        upload: String,
    },
    /// The part is there now.
    PartStored {
        /// The MD5.
        etag: String,
        /// The CRC-64 of all of it.
        crc64: u64,
    },
    /// The parts by number.
    Parts(BTreeMap<u16, ListedPart>),
    /// Whether the upload is listed.
    UploadListed(bool),
    /// The object is made of the parts, and the upload over.
    Completed {
        /// What the parts' ETags decide.
        etag: String,
        /// The CRC-64 of all of it.
        crc64: u64,
    },
    /// The upload is over.
    Aborted,
    /// The same, and which version it is about: in a bucket that has or had versions.
    Of {
        /// Its id.
        version: String,
        /// What is answered.
        reply: Box<Reply>,
    },
    /// The version is not there any more.
    Removed {
        /// Whether a delete marker was removed.
        marker: bool,
    },
    /// The versions, the newest first.
    Versions(Vec<ListedVersion>),
    /// Whether and how the version is listed.
    VersionFound(Option<ListedVersion>),
    /// The object is being restored, or stays so for longer.
    Restored {
        /// Whether it was readable before.
        extended: bool,
    },
    /// The retention or the hold is set.
    Retained,
    /// It was not done.
    Refused(Refusal),
}

impl Reply {
    /// A reply about a version.
    pub fn of(version: &str, reply: Reply) -> Reply {
        Reply::Of { version: version.to_owned(), reply: Box::new(reply) }
    }

    /// What is answered, whatever version it is about.
    pub fn plain(&self) -> &Reply {
        match self {
            Reply::Of { reply, .. } => reply.plain(),
            reply => reply,
        }
    }

    /// The version that it is about, where one is named.
    pub fn version(&self) -> Option<&str> {
        match self {
            Reply::Of { version, .. } => Some(version),
            _ => None,
        }
    }
}

/// What is known of an object besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Info {
    /// What made it.
    pub kind: Kind,
    /// Its length in bytes.
    pub length: u64,
    /// The CRC-64 of all of it.
    pub crc64: u64,
    /// As [`stable_etag`] cuts it.
    pub etag: String,
    /// Whether it is sealed.
    pub sealed: bool,
}

/// What made an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A put or a copy.
    Normal,
    /// An append.
    Appendable,
    /// An upload's completion.
    Multipart,
}

/// Why an operation was not done. Each reveals what was there (I4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Nothing is there.
    NoSuchKey,
    /// Something is there.
    AlreadyExists,
    /// It was not made by an append.
    NotAppendable,
    /// It is sealed.
    Sealed,
    /// It has another length.
    WrongPosition {
        /// The length; 0 if nothing is there.
        length: u64,
        /// The CRC-64 of all of it.
        crc64: u64,
    },
    /// It was made by an append, and such are not copied.
    SourceAppendable,
    /// It ends before the range begins; a part's source, before the range ends.
    InvalidRange,
    /// The source has another ETag.
    SourceChanged,
    /// The upload is unknown or over.
    NoSuchUpload,
    /// The upload takes parts one after another, and this is not its turn.
    NotSequential,
    /// There is no part to make an object of.
    NoParts,
    /// The chosen parts do not ascend.
    OutOfOrder,
    /// A chosen part is not there, or not so.
    InvalidPart,
    /// A part that is not the last one is too short.
    PartTooSmall,
    /// There is no such version.
    NoSuchVersion,
    /// What is asked for is a delete marker.
    Marker {
        /// Its id.
        id: String,
        /// Whether it was named; else it is the current version.
        named: bool,
    },
    /// What would be changed or removed must stay as it is.
    Immutable,
    /// It is archived, and not restored.
    Frozen,
    /// It is not archived.
    NotArchived,
    /// A restore is under way.
    RestoreUnderWay,
    /// Too many days, or none.
    BadDays,
    /// It was made by an append, and such are not retained.
    NotNormal,
    /// A retention would end before now.
    Past,
    /// A retention or a policy would become shorter.
    Shorter,
    /// There is no policy.
    NoSuchPolicy,
    /// The policy is for ever.
    Locked,
    /// The policy is not locked yet.
    NotLocked,
    /// What the bucket is set to excludes it.
    Excluded,
    /// More bytes than the bucket may have.
    QuotaExceeded,
}

impl Object {
    /// What becomes of the object, and what is answered. A refusal and a question change nothing.
    pub fn step(&self, step: &Step) -> (Object, Reply) {
        let refuse = |refusal| (self.clone(), Reply::Refused(refusal));
        let tell = |reply| (self.clone(), reply);
        match (step, self) {
            // The type is looked at before the seal, the seal before the position.
            (Step::Append { .. }, Object::Normal(_) | Object::Multipart { .. }) => {
                refuse(Refusal::NotAppendable)
            }
            (Step::Append { .. }, Object::Appendable { sealed: true, .. }) => {
                refuse(Refusal::Sealed)
            }
            (Step::Append { position, body }, _) => {
                let content = self.content().cloned().unwrap_or_default();
                if *position != content.length() {
                    return refuse(wrong_position(&content));
                }
                let content = content.with(body);
                let reply = Reply::Appended {
                    next_position: content.length(),
                    crc64: content.crc64(),
                    etag: appendable_etag(content.crc64()),
                };
                (Object::Appendable { content, sealed: false }, reply)
            }

            (
                Step::Put { forbid_overwrite: true, .. }
                | Step::Place { forbid_overwrite: true, .. },
                Object::Normal(_) | Object::Appendable { .. } | Object::Multipart { .. },
            ) => refuse(Refusal::AlreadyExists),
            (Step::Put { content, .. }, _) => stored(Object::Normal(content.clone())),
            (Step::Place { object, .. }, _) => stored(object.clone()),

            (Step::Seal { .. }, Object::Absent) => refuse(Refusal::NoSuchKey),
            (Step::Seal { .. }, Object::Normal(_) | Object::Multipart { .. }) => {
                refuse(Refusal::NotAppendable)
            }
            (Step::Seal { position }, Object::Appendable { content, .. }) => {
                if *position != content.length() {
                    return refuse(wrong_position(content));
                }
                (Object::Appendable { content: content.clone(), sealed: true }, Reply::Sealed)
            }

            (Step::Delete, _) => (Object::Absent, Reply::Deleted),

            (Step::List, _) => {
                tell(Reply::Listed(self.info().map(|info| (info.kind, info.length, info.etag))))
            }
            (Step::Head, _) => match self.info() {
                Some(info) => tell(Reply::Found(info)),
                None => refuse(Refusal::NoSuchKey),
            },
            (Step::Get { range }, _) => match self.content().zip(self.info()) {
                None => refuse(Refusal::NoSuchKey),
                Some((content, info)) => match read(content, range.as_ref()) {
                    Some((length, crc64)) => tell(Reply::Read { info, crc64, length }),
                    None => refuse(Refusal::InvalidRange),
                },
            },

            (Step::ReadSource, Object::Absent) => refuse(Refusal::NoSuchKey),
            (Step::ReadSource, Object::Appendable { .. }) => refuse(Refusal::SourceAppendable),
            (Step::ReadSource, Object::Normal(_) | Object::Multipart { .. }) => {
                tell(Reply::Source(self.clone()))
            }

            // A part may be copied from an appendable object.
            (Step::ReadPart { range, if_match }, _) => match self.content().zip(self.info()) {
                None => refuse(Refusal::NoSuchKey),
                Some((_, info)) if if_match.as_ref().is_some_and(|etag| *etag != info.etag) => {
                    refuse(Refusal::SourceChanged)
                }
                Some((content, _)) => match range {
                    None => tell(Reply::PartSource(content.clone())),
                    Some(range) if range.end > content.length() => refuse(Refusal::InvalidRange),
                    Some(range) => tell(Reply::PartSource(content.slice(range.clone()))),
                },
            },
            // An object by itself has none.
            (Step::Upload(_), _) => refuse(Refusal::NoSuchUpload),
            (
                Step::Making { .. }
                | Step::Of { .. }
                | Step::Touch
                | Step::Versions
                | Step::FindVersion { .. }
                | Step::Restore { .. }
                | Step::Retain { .. }
                | Step::Hold(_),
                _,
            ) => refuse(Refusal::NoSuchVersion),
        }
    }

    /// What is known of the object; `None` if nothing is there.
    pub fn info(&self) -> Option<Info> {
        let content = self.content()?;
        let (kind, etag, sealed) = match self {
            Object::Appendable { sealed, .. } => {
                (Kind::Appendable, appendable_etag(content.crc64()), *sealed)
            }
            Object::Multipart { etag, .. } => (Kind::Multipart, etag.clone(), false),
            _ => (Kind::Normal, content.md5(), false),
        };
        Some(Info { kind, length: content.length(), crc64: content.crc64(), etag, sealed })
    }

    /// Its bytes; `None` if nothing is there.
    pub fn content(&self) -> Option<&Content> {
        match self {
            Object::Absent => None,
            Object::Normal(content)
            | Object::Appendable { content, .. }
            | Object::Multipart { content, .. } => Some(content),
        }
    }
}

impl Reply {
    /// Whether an operation that answers so has changed nothing.
    pub fn changes_nothing(&self) -> bool {
        match self {
            Reply::Appended { .. } | Reply::Stored { .. } | Reply::Sealed | Reply::Deleted => false,
            Reply::Initiated { .. }
            | Reply::PartStored { .. }
            | Reply::Completed { .. }
            | Reply::Aborted => false,
            Reply::Of { reply, .. } => reply.changes_nothing(),
            Reply::Removed { .. } | Reply::Restored { .. } | Reply::Retained => false,
            Reply::Versions(_) | Reply::VersionFound(_) => true,
            Reply::PartSource(_) | Reply::Parts(_) | Reply::UploadListed(_) => true,
            Reply::Read { .. }
            | Reply::Found(_)
            | Reply::Listed(_)
            | Reply::Source(_)
            | Reply::Refused(_) => true,
        }
    }
}

impl Step {
    /// What is done, to whatever version and making whichever.
    pub fn bare(&self) -> &Step {
        match self {
            Step::Making { step, .. } | Step::Of { step, .. } => step.bare(),
            step => step,
        }
    }

    /// Whether it can change anything at all.
    pub fn may_change(&self) -> bool {
        match self {
            Step::Append { .. } | Step::Put { .. } | Step::Seal { .. } | Step::Delete => true,
            Step::Place { .. } => true,
            Step::Get { .. } | Step::Head | Step::List | Step::ReadSource => false,
            Step::ReadPart { .. } => false,
            Step::Upload(UploadStep::Parts { .. } | UploadStep::Find { .. }) => false,
            Step::Upload(_) => true,
            Step::Making { step, .. } | Step::Of { step, .. } => step.may_change(),
            Step::Versions | Step::FindVersion { .. } => false,
            Step::Touch | Step::Restore { .. } | Step::Retain { .. } | Step::Hold(_) => true,
        }
    }
}

/// An object that stands there from now on, whatever stood there.
fn stored(object: Object) -> (Object, Reply) {
    let (etag, crc64) = object.info().map(|info| (info.etag, info.crc64)).unwrap_or_default();
    (object, Reply::Stored { etag, crc64 })
}

fn wrong_position(content: &Content) -> Refusal {
    Refusal::WrongPosition { length: content.length(), crc64: content.crc64() }
}

fn read(content: &Content, range: Option<&Range<u64>>) -> Option<(u64, u64)> {
    let length = content.length();
    match range {
        None => Some((length, content.crc64())),
        Some(range) if range.start >= length => None,
        Some(range) => {
            let range = range.start..range.end.min(length);
            Some((range.end - range.start, content.crc64_of(range)))
        }
    }
}

/// The part of an appendable's ETag that its bytes decide: the CRC-64, as the bytes of a little-endian number in upper-case hex.
fn appendable_etag(crc64: u64) -> String {
    format!("{:016X}", crc64.swap_bytes())
}

/// The part of an ETag that bytes decide. An appendable's ETag is its CRC-64 and the time of its last append, 16 hex digits each;
/// the time is cut off. `None` if it is not of that form, a Normal object's not 32 upper-case hex digits, or a Multipart object's
/// not such with the number of its parts behind them.
pub fn stable_etag(kind: Kind, etag: &str) -> Option<String> {
    if kind == Kind::Multipart {
        return is_multipart_etag(etag).then(|| etag.to_owned());
    }
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    if etag.len() != 32 || !etag.bytes().all(is_hex) {
        return None;
    }
    match kind {
        Kind::Normal | Kind::Multipart => Some(etag.to_owned()),
        Kind::Appendable => Some(etag.get(..16)?.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::joined;

    #[test]
    fn the_published_etag_is_that_of_its_crc() {
        let published = "2776271A4A09D82CA518AC5C00000000";
        let etag = appendable_etag(3_231_342_946_509_354_535);
        assert_eq!(stable_etag(Kind::Appendable, published), Some(etag));
        assert_eq!(stable_etag(Kind::Normal, "2776271a4a09d82ca518ac5c00000000"), None);
    }

    #[test]
    fn whoever_says_that_nothing_changes_changes_nothing() {
        let body = Body::new("some");
        let content = Content::of(&body);
        let appendable = |sealed| Object::Appendable { content: content.clone(), sealed };
        let put = |forbid_overwrite| Step::Put { content: content.clone(), forbid_overwrite };
        let append = |position| Step::Append { position, body: body.clone() };
        let objects = [
            Object::Absent,
            Object::Normal(content.clone()),
            appendable(false),
            appendable(true),
            joined(&[&content]),
        ];
        let steps = [
            append(0),
            append(4),
            put(true),
            put(false),
            Step::Seal { position: 0 },
            Step::Seal { position: 4 },
            Step::Delete,
            Step::Get { range: None },
            Step::Get { range: Some(4..5) },
            Step::Head,
            Step::List,
            Step::ReadSource,
            Step::ReadPart { range: Some(1..3), if_match: None },
            Step::ReadPart { range: Some(1..5), if_match: None },
            Step::Place { object: joined(&[&content]), forbid_overwrite: false },
        ];
        for object in &objects {
            for step in &steps {
                let (after, reply) = object.step(step);
                if reply.changes_nothing() || !step.may_change() {
                    assert_eq!(after, *object, "{object:?} {step:?}");
                }
            }
        }
    }
}
