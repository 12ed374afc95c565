//! Buckets: create, delete, describe, list.

use http::Method;
use ossia_protocol::attributes::{BucketAcl, StorageClass};
use ossia_protocol::time::parse_iso8601;
use ossia_protocol::xml::{self, BucketSummary, CreateBucketConfiguration, Element, Limits};

use super::bad_answer;
use crate::body::Body;
use crate::client::Client;
use crate::error::ClientError;
use crate::send::{Call, Retry};

/// Longest list of buckets that is read.
const LIST_BYTES_MAX: usize = 4 << 20;

/// Bounds of a bucket's description.
const DETAILS: Limits = Limits { bytes: 64 * 1024, depth: 8, elements: 256 };

/// A bucket to make.
#[derive(Debug, Clone, Default)]
pub struct CreateBucketRequest {
    /// Its name.
    pub bucket: String,
    /// Access control; private by default.
    pub acl: Option<BucketAcl>,
    /// Class of objects that name none; `Standard` by default.
    pub storage_class: Option<StorageClass>,
}

impl CreateBucketRequest {
    /// A private bucket.
    pub fn new(bucket: impl Into<String>) -> Self {
        CreateBucketRequest { bucket: bucket.into(), ..Default::default() }
    }
}

/// What is known about a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketDetails {
    /// HTTP status.
    pub status: u16,
    /// Request id.
    pub request_id: String,
    /// Its name.
    pub name: String,
    /// `oss-` and the region.
    pub location: String,
    /// Unix seconds.
    pub creation_date: Option<i64>,
    /// Class of objects that name none.
    pub storage_class: String,
    /// `private`, `public-read` or `public-read-write`.
    pub acl: String,
    /// `Enabled` or `Suspended`; empty if versions were never kept.
    pub versioning: String,
}

/// Which buckets to list.
#[derive(Debug, Clone, Default)]
pub struct ListBucketsRequest {
    /// Only names that begin so.
    pub prefix: String,
    /// Only names behind this one.
    pub marker: Option<String>,
    /// Entries of a page, 1 to 1,000; the server's default is 100.
    pub max_keys: Option<u16>,
}

/// A page of the list of buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListBucketsOutput {
    /// HTTP status.
    pub status: u16,
    /// Request id.
    pub request_id: String,
    /// Buckets by name.
    pub buckets: Vec<BucketSummary>,
    /// Where the next page starts; `None` on the last.
    pub next_marker: Option<String>,
}

impl Client {
    /// Makes a bucket. One that is ours already is a success, and takes the ACL if one is given. Answers with the request id.
    ///
    /// # Errors
    /// [`ClientError::Service`], for example with code `BucketAlreadyExists` or `TooManyBuckets`.
    pub async fn create_bucket(&self, request: CreateBucketRequest) -> Result<String, ClientError> {
        let mut call = Call::new(Method::PUT, Retry::Repeatable).bucket(&request.bucket)?;
        call.header_if("x-oss-acl", request.acl.map(BucketAcl::as_str))?;
        if let Some(storage_class) = request.storage_class {
            let configuration = CreateBucketConfiguration {
                storage_class: Some(storage_class),
                ..CreateBucketConfiguration::default()
            };
            call.header("content-type", "application/xml")?;
            call.body = Body::from(configuration.to_xml());
        }
        self.without_content(call).await
    }

    /// Deletes an empty bucket. Answers with the request id.
    ///
    /// # Errors
    /// [`ClientError::Service`], for example with code `BucketNotEmpty` or `NoSuchBucket`.
    pub async fn delete_bucket(&self, bucket: &str) -> Result<String, ClientError> {
        // Made again after a lost answer it would say that there is no such bucket.
        self.without_content(Call::new(Method::DELETE, Retry::Once).bucket(bucket)?).await
    }

    async fn without_content(&self, call: Call) -> Result<String, ClientError> {
        let answer = self.inner.execute(call).await?;
        let request_id = answer.request_id.clone();
        self.inner.read_aside(answer).await?;
        Ok(request_id)
    }

    /// Asks what is known about a bucket.
    ///
    /// # Errors
    /// [`ClientError::Service`], for example with code `NoSuchBucket`.
    pub async fn get_bucket_info(&self, bucket: &str) -> Result<BucketDetails, ClientError> {
        let mut call = Call::new(Method::GET, Retry::Repeatable).bucket(bucket)?;
        call.query.push_flag("bucketInfo");
        let answer = self.inner.execute(call).await?;
        let (status, request_id) = (answer.status, answer.request_id);
        let body = self.inner.read_bounded(answer.body, DETAILS.bytes).await?;
        let unreadable = || bad_answer("not a BucketInfo", &request_id);
        let root = Element::parse_root(&body, "BucketInfo", DETAILS).map_err(|_| unreadable())?;
        let bucket = root.child("Bucket").ok_or_else(unreadable)?;
        let value = |name| bucket.child_value(name).unwrap_or_default().to_owned();
        let acl = bucket.child("AccessControlList").and_then(|list| list.child_value("Grant"));
        Ok(BucketDetails {
            status,
            name: value("Name"),
            location: value("Location"),
            creation_date: bucket.child_value("CreationDate").and_then(parse_iso8601),
            storage_class: value("StorageClass"),
            acl: acl.unwrap_or_default().to_owned(),
            versioning: value("Versioning"),
            request_id,
        })
    }

    /// Lists a page of the caller's buckets.
    ///
    /// # Errors
    /// [`ClientError::Service`], for example with code `AccessDenied` for an unsigned request.
    pub async fn list_buckets(
        &self,
        request: ListBucketsRequest,
    ) -> Result<ListBucketsOutput, ClientError> {
        let mut call = Call::new(Method::GET, Retry::Repeatable);
        if !request.prefix.is_empty() {
            call.query.push("prefix", &request.prefix);
        }
        if let Some(marker) = &request.marker {
            call.query.push("marker", marker);
        }
        if let Some(max_keys) = request.max_keys {
            call.query.push("max-keys", &max_keys.to_string());
        }
        let answer = self.inner.execute(call).await?;
        let (status, request_id) = (answer.status, answer.request_id);
        let body = self.inner.read_bounded(answer.body, LIST_BYTES_MAX).await?;
        let list = xml::ListBucketsOutput::parse(&body)
            .map_err(|_| bad_answer("not a ListAllMyBucketsResult", &request_id))?;
        Ok(ListBucketsOutput {
            status,
            request_id,
            buckets: list.buckets,
            next_marker: list.page.and_then(|page| page.next_marker),
        })
    }
}
