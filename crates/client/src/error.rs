//! What can go wrong, in the words that a caller decides by.
//!
//! Invariants:
//! - what the service said is never lost: every refusal carries its [`ServiceError`];
//! - [`ClientError::outcome`] answers the one question that matters after a failed write: can it have happened?

use std::fmt;
use std::time::Duration;

/// A refusal by the service: its `<Error>` document, or what the headers told in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// HTTP status.
    pub status: u16,
    /// OSS code, such as `NoSuchKey`. Where neither body nor headers named one: `BadErrorResponse`.
    pub code: String,
    /// Message for people.
    pub message: String,
    /// Request id, to find the request in the server's log; empty if the answer had none.
    pub request_id: String,
    /// Host that answered, as the document names it; may be empty.
    pub host_id: String,
    /// Fine-grained code, such as `0026-00000001`; empty where there is none.
    pub ec: String,
    /// The other elements of the document (`Key`, `Condition`, `ArgumentName`, ...) in its order.
    pub fields: Vec<(String, String)>,
}

impl ServiceError {
    /// The text of an extra element, such as `Key` or `Condition`.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.status, self.message)?;
        if !self.ec.is_empty() {
            write!(f, " [ec {}]", self.ec)?;
        }
        if !self.request_id.is_empty() {
            write!(f, " [request {}]", self.request_id)?;
        }
        Ok(())
    }
}

impl std::error::Error for ServiceError {}

/// Everything a call of this crate can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The service refused, for a reason that has no variant of its own.
    #[error("the service refused: {0}")]
    Service(Box<ServiceError>),

    /// An append or a seal named another position than the object's length. `next_position` is the length now.
    ///
    /// After a lost answer (a timeout, a broken connection) this can mean that the append *was* applied; the client tells
    /// the two apart for its own retries, see [`Client::append_object`](crate::Client::append_object).
    #[error("the object's length is {next_position}: {service}")]
    PositionNotEqualToLength {
        /// Length of the object: the position that would have been right. 0 if there is no object.
        next_position: u64,
        /// CRC-64 of the object's bytes, where the server tells it.
        crc64: Option<u64>,
        /// The refusal as it came.
        service: Box<ServiceError>,
    },

    /// The object exists and is not appendable: it was put, copied, uploaded in parts, or is a symlink.
    #[error("the object is not appendable: {service}")]
    ObjectNotAppendable {
        /// The refusal as it came.
        service: Box<ServiceError>,
    },

    /// No answer, or half of one: the name did not resolve, the connection failed or broke.
    #[error("no answer from {endpoint}: {source}")]
    Transport {
        /// Where the request was going, as scheme, host and port.
        endpoint: String,
        /// Whether any of the request can have reached the server.
        reached: Reach,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Nothing moved for as long as [`Timeouts`](crate::Timeouts) allow.
    #[error("{endpoint} was silent for {after:?} while {phase}")]
    Timeout {
        /// Where the request was going.
        endpoint: String,
        /// What was waited for.
        phase: Phase,
        /// The limit that passed.
        after: Duration,
        /// Whether any of the request can have reached the server.
        reached: Reach,
    },

    /// An append whose answer was lost, and what is there now neither proves nor excludes that it was applied.
    #[error("the append may have been applied: {observed}; the answer was lost to: {cause}")]
    AppendUnknown {
        /// What was found when looking.
        observed: Observed,
        /// How the answer was lost.
        cause: Box<ClientError>,
    },

    /// The request cannot be sent: a bad name, a header that HTTP cannot carry, a contradiction.
    #[error("invalid input: {0}")]
    InvalidInput(#[from] InvalidInput),

    /// The body to send could not be read.
    #[error("the body to send failed: {0}")]
    Body(#[from] BodyError),

    /// Bytes and checksum disagree: what was stored or received is not what was sent.
    #[error("integrity: {0}")]
    Integrity(#[from] IntegrityError),

    /// The service answered with success, but the answer cannot be understood.
    #[error("unreadable answer: {what} (request {request_id})")]
    BadAnswer {
        /// What is wrong with it.
        what: &'static str,
        /// Request id of the answer; may be empty.
        request_id: String,
    },
}

/// How much of a request can have reached the server when no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nothing, or less than the whole body: no server can have applied it.
    NotWhole,
    /// All of it: it may have been applied, now or soon.
    Whole,
}

/// What a [`ClientError::Timeout`] waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The server to take the request, or to begin its answer.
    Request,
    /// The next bytes of the answer's body.
    Response,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Request => "the request was on its way",
            Phase::Response => "its answer was read",
        })
    }
}

/// What was found when the client looked whether an append without an answer was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// The object has this length, which fits neither "not applied" nor "applied, and nothing since".
    Length(u64),
    /// The length fits "applied", but the bytes are not known to be ours.
    Unverified {
        /// Length of the object.
        length: u64,
    },
    /// The object is as long as before: not applied so far, and the body cannot be sent again.
    NotYet,
    /// Looking failed too.
    Nothing,
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Observed::Length(length) => write!(f, "the object's length is {length}"),
            Observed::Unverified { length } => {
                write!(f, "the length {length} fits, the bytes could not be verified")
            }
            Observed::NotYet => f.write_str("not applied so far"),
            Observed::Nothing => f.write_str("looking failed as well"),
        }
    }
}

/// Input that no request can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidInput {
    /// A bucket name outside the rules.
    #[error("bucket name {name:?}: {reason}")]
    BucketName {
        /// The name.
        name: String,
        /// The rule it breaks.
        reason: ossia_protocol::names::BucketNameError,
    },
    /// An object key outside the rules.
    #[error("object key {key:?}: {reason}")]
    ObjectKey {
        /// The key.
        key: String,
        /// The rule it breaks.
        reason: ossia_protocol::names::ObjectKeyError,
    },
    /// An endpoint that is not `http://host[:port]` or `https://host[:port]`.
    #[error("endpoint {endpoint:?}: {reason}")]
    Endpoint {
        /// The endpoint as given.
        endpoint: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A header whose name or value HTTP cannot carry.
    #[error("header {name:?} cannot be sent")]
    Header {
        /// The header's name.
        name: String,
    },
    /// Key id, secret or token with characters that no credential has.
    #[error("the {what} has characters that cannot be sent")]
    Credentials {
        /// Which part.
        what: &'static str,
    },
    /// A position or length past 2^63-1, or past that together.
    #[error("position {position} is out of range")]
    Position {
        /// The position.
        position: u64,
    },
    /// Two settings that exclude each other.
    #[error("{0}")]
    Contradiction(&'static str),
}

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The file could not be opened or read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The body ended before the length that was announced.
    #[error("{missing} bytes are missing at the end of the body")]
    TooShort {
        /// How many.
        missing: u64,
    },
    /// The body has more bytes than were announced.
    #[error("the body is longer than announced")]
    TooLong,
    /// The caller's stream failed.
    #[error("{0}")]
    Stream(Box<dyn std::error::Error + Send + Sync>),
}

/// Which bytes do not fit which checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrityError {
    /// The CRC-64 that the service computed is not the one of the bytes that were sent (or received).
    #[error("crc-64 is {theirs} at the service and {ours} here (request {request_id})")]
    Crc64 {
        /// What the bytes here give.
        ours: u64,
        /// What the service says.
        theirs: u64,
        /// Request id of the answer.
        request_id: String,
    },
    /// After an append, the next position is not the old one plus the bytes sent.
    #[error("the next position is {theirs} at the service and {ours} here (request {request_id})")]
    NextPosition {
        /// Position plus length.
        ours: u64,
        /// What the service says.
        theirs: u64,
        /// Request id of the answer.
        request_id: String,
    },
}

/// Whether a write that failed can have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did not happen and will not.
    Rejected,
    /// It may have happened, or may still.
    Unknown,
}

impl ClientError {
    /// The service's refusal, if there is one.
    pub fn service(&self) -> Option<&ServiceError> {
        match self {
            ClientError::Service(service)
            | ClientError::PositionNotEqualToLength { service, .. }
            | ClientError::ObjectNotAppendable { service } => Some(service),
            ClientError::AppendUnknown { cause, .. } => cause.service(),
            ClientError::Transport { .. }
            | ClientError::Timeout { .. }
            | ClientError::InvalidInput(_)
            | ClientError::Body(_)
            | ClientError::Integrity(_)
            | ClientError::BadAnswer { .. } => None,
        }
    }

    /// The OSS code of the service's refusal.
    pub fn code(&self) -> Option<&str> {
        self.service().map(|service| service.code.as_str())
    }

    /// The HTTP status of the service's refusal.
    pub fn status(&self) -> Option<u16> {
        self.service().map(|service| service.status)
    }

    /// The request id, where an answer came that had one.
    pub fn request_id(&self) -> Option<&str> {
        let id = match self {
            ClientError::BadAnswer { request_id, .. } => request_id,
            ClientError::Integrity(
                IntegrityError::Crc64 { request_id, .. }
                | IntegrityError::NextPosition { request_id, .. },
            ) => request_id,
            _ => &self.service()?.request_id,
        };
        (!id.is_empty()).then_some(id.as_str())
    }

    /// Whether the bucket or the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether a write that failed so can have taken effect. A refusal below 500 says no; a server error, a lost answer
    /// after the whole request went out, and an answer that does not fit say perhaps.
    pub fn outcome(&self) -> Outcome {
        match self {
            ClientError::Service(service) if service.status >= 500 => Outcome::Unknown,
            ClientError::Transport { reached: Reach::Whole, .. }
            | ClientError::Timeout { reached: Reach::Whole, .. }
            | ClientError::AppendUnknown { .. }
            | ClientError::Integrity(_)
            | ClientError::BadAnswer { .. } => Outcome::Unknown,
            ClientError::Service(_)
            | ClientError::PositionNotEqualToLength { .. }
            | ClientError::ObjectNotAppendable { .. }
            | ClientError::Transport { reached: Reach::NotWhole, .. }
            | ClientError::Timeout { reached: Reach::NotWhole, .. }
            | ClientError::InvalidInput(_)
            | ClientError::Body(_) => Outcome::Rejected,
        }
    }
}
