//! A client of Ossia, and of anything else that speaks the Alibaba Cloud OSS protocol.
//!
//! Owns signing, sending, retries, streams and checksums. Knows nothing of servers and how they store; shares the words of the
//! protocol with them through `ossia-protocol`.
//!
//! ```no_run
//! use ossia_client::{AppendObjectRequest, Client, CreateBucketRequest, Credentials};
//!
//! # async fn example() -> Result<(), ossia_client::ClientError> {
//! let client = Client::builder("http://127.0.0.1:9000")
//!     .credentials(Credentials::new("key-id", "key-secret"))
//!     .build()?;
//! client.create_bucket(CreateBucketRequest::new("logs")).await?;
//!
//! let first = AppendObjectRequest::new("logs", "app.log", "one\n");
//! let answer = client.append_object(first).await?;
//! let second = AppendObjectRequest::new("logs", "app.log", "two\n").position(answer.next_position);
//! client.append_object(second).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is tried again
//!
//! After a transport failure, a timeout, a 5xx, 408 or 429, with pauses as [`RetryPolicy`] says:
//!
//! | operation | tried again |
//! | --- | --- |
//! | get, head, lists, bucket information | always, until the answer begins |
//! | put, copy, delete of an object, create bucket, seal | always: done twice is done once; see their notes on other writers |
//! | put and copy with `forbid_overwrite`, delete bucket | only if it surely did not happen |
//! | append | at the same position, and after a lost answer only once the object shows that it was not applied; see [`Client::append_object`] |
//! | anything with a stream as its body | never: the stream is read once |
//!
//! A refusal for a wrong clock (`RequestTimeTooSkewed`) corrects this client's idea of the time from the answer's `Date` and is
//! tried again once, at once.
//!
//! # What is checked
//!
//! Uploads: the CRC-64 that the service computed against that of the bytes sent (of an append where the CRC-64 before it is
//! known), and an append's next position. Downloads of whole objects: the CRC-64 of the bytes received. All of it at the speed
//! of memory, so there is no switch to turn it off.

mod body;
mod client;
mod config;
mod endpoint;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod operations;
mod send;

pub use body::Body;
pub use client::{Client, ClientBuilder};
pub use config::{Addressing, Credentials, RetryPolicy, SignatureVersion, Timeouts};
pub use error::{
    BodyError, ClientError, IntegrityError, InvalidInput, Observed, Outcome, Phase, Reach,
    ServiceError,
};
pub use http::Method;
pub use operations::{
    AppendObjectOutput, AppendObjectRequest, AssumeRoleOutput, AssumeRoleRequest, BucketDetails,
    ByteRange, CompleteUploadOutput, CompleteUploadRequest, ContentMd5, CopyObjectOutput,
    CopyObjectRequest, CreateBucketRequest, DeleteObjectOutput, Download, GetObjectOutput,
    GetObjectRequest, HeadObjectOutput, InitiateUploadRequest, ListBucketsOutput,
    ListBucketsRequest, ListObjectsOutput, ListObjectsPager, ListObjectsRequest,
    ListUploadsRequest, ObjectAttributes, ObjectMeta, PutObjectOutput, PutObjectRequest, RawOutput,
    RawRequest, RpcService, SealObjectOutput, SealObjectRequest, UploadPartCopyRequest,
    UploadPartOutput, UploadPartRequest, UploadTarget,
};
pub use ossia_protocol::attributes::{BucketAcl, ObjectAcl, StorageClass};
pub use ossia_protocol::xml::{
    BucketSummary, ListMultipartUploadsOutput, ListPartsOutput, ObjectSummary, PartSummary,
    UploadSummary,
};

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
