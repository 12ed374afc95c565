//! DeleteObject.

use http::Method;

use super::version_id;
use crate::client::Client;
use crate::error::ClientError;
use crate::send::{Call, Retry, text};

/// What DeleteObject answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteObjectOutput {
    /// HTTP status.
    pub status: u16,
    /// Request id.
    pub request_id: String,
    /// Version of the delete marker that was made, in a bucket that keeps versions.
    pub version_id: Option<String>,
    /// Whether a delete marker was made.
    pub delete_marker: bool,
}

impl Client {
    /// Deletes an object. That it was not there is a success too, so it is tried again after a lost answer; what another
    /// client stored between the two attempts is then deleted.
    ///
    /// # Errors
    /// [`ClientError::Service`], for example with code `NoSuchBucket`.
    pub async fn delete_object(
        &self,
        bucket: &str,
        key: &str,
    ) -> Result<DeleteObjectOutput, ClientError> {
        let call = Call::new(Method::DELETE, Retry::Repeatable).object(bucket, key)?;
        let answer = self.inner.execute(call).await?;
        let output = DeleteObjectOutput {
            status: answer.status,
            request_id: answer.request_id.clone(),
            version_id: version_id(&answer.headers),
            delete_marker: text(&answer.headers, "x-oss-delete-marker") == Some("true"),
        };
        self.inner.read_aside(answer).await?;
        Ok(output)
    }
}
