//! ListObjects, version 2, page by page.

use http::Method;
use ossia_protocol::xml::{ListObjectsV2Output, ObjectSummary};

use super::bad_answer;
use crate::client::Client;
use crate::error::ClientError;
use crate::send::{Call, Retry};

/// Longest page that is read: 1,000 keys of 1,023 bytes, each encoded threefold, and as much again.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// Which objects to list.
#[derive(Debug, Clone, Default)]
pub struct ListObjectsRequest {
    /// The bucket.
    pub bucket: String,
    /// Only keys that begin so.
    pub prefix: String,
    /// Roll keys up that have this text behind the prefix; empty lists every key.
    pub delimiter: String,
    /// Only keys behind this one.
    pub start_after: Option<String>,
    /// Where an earlier page said that it goes on.
    pub continuation_token: Option<String>,
    /// Entries of a page, 1 to 1,000; the server's default is 100.
    pub max_keys: Option<u16>,
}

impl ListObjectsRequest {
    /// All objects of a bucket; see the fields for the rest.
    pub fn new(bucket: impl Into<String>) -> Self {
        ListObjectsRequest { bucket: bucket.into(), ..Default::default() }
    }
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListObjectsOutput {
    /// HTTP status.
    pub status: u16,
    /// Request id.
    pub request_id: String,
    /// Objects, by key in byte order.
    pub objects: Vec<ObjectSummary>,
    /// Rolled-up prefixes, each ending in the delimiter.
    pub common_prefixes: Vec<String>,
    /// Where the next page starts; `None` on the last.
    pub next_continuation_token: Option<String>,
}

impl Client {
    /// Lists a page of objects.
    ///
    /// # Errors
    /// [`ClientError::Service`], for example with code `NoSuchBucket`.
    pub async fn list_objects(
        &self,
        request: ListObjectsRequest,
    ) -> Result<ListObjectsOutput, ClientError> {
        let mut call = Call::new(Method::GET, Retry::Repeatable).bucket(&request.bucket)?;
        call.query.push("list-type", "2");
        // Keys may have characters that XML cannot carry.
        call.query.push("encoding-type", "url");
        let mut push = |name: &str, value: &str| {
            if !value.is_empty() {
                call.query.push(name, value);
            }
        };
        push("prefix", &request.prefix);
        push("delimiter", &request.delimiter);
        push("start-after", request.start_after.as_deref().unwrap_or_default());
        push("continuation-token", request.continuation_token.as_deref().unwrap_or_default());
        if let Some(max_keys) = request.max_keys {
            push("max-keys", &max_keys.to_string());
        }
        let answer = self.inner.execute(call).await?;
        let (status, request_id) = (answer.status, answer.request_id);
        let body = self.inner.read_bounded(answer.body, PAGE_BYTES_MAX).await?;
        let page = ListObjectsV2Output::parse(&body)
            .map_err(|_| bad_answer("not a ListBucketResult", &request_id))?;
        Ok(ListObjectsOutput {
            status,
            request_id,
            objects: page.contents,
            common_prefixes: page.common_prefixes,
            next_continuation_token: page.next_continuation_token,
        })
    }

    /// Lists page after page.
    ///
    /// ```no_run
    /// use ossia_client::{Client, ListObjectsRequest};
    ///
    /// # async fn example(client: Client) -> Result<(), ossia_client::ClientError> {
    /// let mut pages = client.list_objects_pages(ListObjectsRequest::new("logs"));
    /// while let Some(page) = pages.next_page().await? {
    ///     for object in page.objects {
    ///         println!("{} {}", object.key, object.size);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_objects_pages(&self, request: ListObjectsRequest) -> ListObjectsPager {
        ListObjectsPager { client: self.clone(), request, over: false }
    }
}

/// The pages of a listing, asked for one at a time.
#[derive(Debug)]
pub struct ListObjectsPager {
    client: Client,
    request: ListObjectsRequest,
    over: bool,
}

impl ListObjectsPager {
    /// The next page; `None` behind the last. After an error the same page is asked for again.
    ///
    /// # Errors
    /// Those of [`Client::list_objects`].
    pub async fn next_page(&mut self) -> Result<Option<ListObjectsOutput>, ClientError> {
        if self.over {
            return Ok(None);
        }
        let page = self.client.list_objects(self.request.clone()).await?;
        match &page.next_continuation_token {
            // A server that sends the reader in a circle must not get away with it.
            Some(next) if self.request.continuation_token.as_ref() == Some(next) => {
                return Err(bad_answer(
                    "a page that says that it follows itself",
                    &page.request_id,
                ));
            }
            Some(next) => self.request.continuation_token = Some(next.clone()),
            None => self.over = true,
        }
        Ok(Some(page))
    }
}
