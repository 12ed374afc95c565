//! What stands in partition 1: one record for each user, group, role and policy, each a format byte and protobuf behind it.
//!
//! ```text
//!   G            the number of the last change: read and written by every change, so that all of them are in one order
//!   u user id    a user with its keys, policies and groups
//!   g group id   a group with its policies
//!   r role id    a role with its policies
//!   p name       a policy with its versions; the name in lower case
//!   n until hash a nonce that was spent, of what changed something or assumed a role (`nonces`)
//!   l key id     when a key was last used; written now and then, apart from the order of changes
//! ```
//!
//! Everything goes by ids but policies, which cannot be renamed. Tags are never reused.

use bytes::{BufMut, Bytes, BytesMut};
use ossia_store::Partition;
use prost::Message;

/// Where identities are. Bucket ids start at 1 and their partitions at 65,536, so no bucket's partition is this one.
pub(crate) const PARTITION: Partition = Partition(1);

const FORMAT: u8 = 1;

pub(crate) const USER: u8 = b'u';
pub(crate) const GROUP: u8 = b'g';
pub(crate) const ROLE: u8 = b'r';
pub(crate) const POLICY: u8 = b'p';
pub(crate) const LAST_USE: u8 = b'l';
pub(crate) const NONCE: u8 = b'n';
/// Behind the last key of a nonce.
pub(crate) const BEHIND_NONCES: u8 = NONCE + 1;

/// The key of the number of the last change.
pub(crate) fn generation() -> Bytes {
    Bytes::from_static(b"G")
}

/// A record's key.
pub(crate) fn key(tag: u8, name: &str) -> Bytes {
    let mut key = BytesMut::with_capacity(1 + name.len());
    key.put_u8(tag);
    key.put_slice(name.as_bytes());
    key.freeze()
}

/// A record in its stored form.
pub(crate) fn encode(record: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + record.encoded_len());
    bytes.put_u8(FORMAT);
    record.encode_raw(&mut bytes);
    bytes.freeze()
}

/// The record of a nonce: that it is there says everything.
pub(crate) fn spent() -> Bytes {
    Bytes::from_static(&[FORMAT])
}

/// Reads a record; the reason if it cannot be read.
pub(crate) fn decode<R: Message + Default>(bytes: &Bytes) -> Result<R, String> {
    match bytes.first() {
        Some(&FORMAT) => R::decode(bytes.slice(1..)).map_err(|error| error.to_string()),
        Some(other) => Err(format!("format {other}")),
        None => Err("empty".to_owned()),
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Generation {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LastUse {
    #[prost(uint64, tag = "1")]
    pub(crate) ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct User {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) display_name: String,
    #[prost(string, tag = "4")]
    pub(crate) mobile: String,
    #[prost(string, tag = "5")]
    pub(crate) email: String,
    #[prost(string, tag = "6")]
    pub(crate) comments: String,
    #[prost(uint64, tag = "7")]
    pub(crate) created_ms: u64,
    #[prost(uint64, tag = "8")]
    pub(crate) updated_ms: u64,
    #[prost(message, repeated, tag = "9")]
    pub(crate) keys: Vec<AccessKey>,
    #[prost(message, repeated, tag = "10")]
    pub(crate) policies: Vec<Attached>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) groups: Vec<Joined>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AccessKey {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    /// The secret, sealed under the master key for this id.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) sealed: Bytes,
    #[prost(bool, tag = "3")]
    pub(crate) active: bool,
    #[prost(uint64, tag = "4")]
    pub(crate) created_ms: u64,
}

/// A policy that is attached to something.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attached {
    #[prost(bool, tag = "1")]
    pub(crate) system: bool,
    /// In lower case.
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(uint64, tag = "3")]
    pub(crate) since_ms: u64,
}

/// A group that a user is in.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Joined {
    #[prost(string, tag = "1")]
    pub(crate) group: String,
    #[prost(uint64, tag = "2")]
    pub(crate) since_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Group {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) comments: String,
    #[prost(uint64, tag = "4")]
    pub(crate) created_ms: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) updated_ms: u64,
    #[prost(message, repeated, tag = "6")]
    pub(crate) policies: Vec<Attached>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Role {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) description: String,
    /// Who may assume it, as it was sent.
    #[prost(string, tag = "4")]
    pub(crate) trust: String,
    #[prost(uint64, tag = "5")]
    pub(crate) session_seconds_max: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) created_ms: u64,
    #[prost(uint64, tag = "7")]
    pub(crate) updated_ms: u64,
    #[prost(message, repeated, tag = "8")]
    pub(crate) policies: Vec<Attached>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Policy {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) description: String,
    #[prost(uint64, tag = "3")]
    pub(crate) created_ms: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) updated_ms: u64,
    #[prost(message, repeated, tag = "5")]
    pub(crate) versions: Vec<PolicyVersion>,
    #[prost(uint32, tag = "6")]
    pub(crate) default_version: u32,
    /// The greatest number that was ever given out.
    #[prost(uint32, tag = "7")]
    pub(crate) last_version: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PolicyVersion {
    #[prost(uint32, tag = "1")]
    pub(crate) number: u32,
    /// As it was sent.
    #[prost(string, tag = "2")]
    pub(crate) document: String,
    #[prost(uint64, tag = "3")]
    pub(crate) created_ms: u64,
}

impl Policy {
    pub(crate) fn version(&self, number: u32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|version| version.number == number)
    }
}

/// What an STS token holds, before it is sealed.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(crate) struct Token {
    #[prost(string, tag = "1")]
    pub(crate) key_id: String,
    #[prost(string, tag = "2")]
    pub(crate) secret: String,
    #[prost(string, tag = "3")]
    pub(crate) role_id: String,
    #[prost(string, tag = "4")]
    pub(crate) session: String,
    /// Unix seconds: the first second in which it is no longer good.
    #[prost(uint64, tag = "5")]
    pub(crate) expires_s: u64,
    /// What the session was narrowed to; empty for nothing.
    #[prost(string, tag = "6")]
    pub(crate) policy: String,
}

/// Never shows the secret.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
