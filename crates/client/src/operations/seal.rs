//! SealAppendObject.

use http::Method;

use crate::client::Client;
use crate::error::ClientError;
use crate::send::{Call, Retry, text};

/// A seal to set.
#[derive(Debug, Clone, Default)]
pub struct SealObjectRequest {
    /// The bucket.
    pub bucket: String,
    /// The object.
    pub key: String,
    /// Length that the object has now; a seal of another length is refused.
    pub position: u64,
}

/// A seal that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealObjectOutput {
    /// HTTP status.
    pub status: u16,
    /// Request id.
    pub request_id: String,
    /// When the object was sealed first, as the server wrote it (an HTTP date).
    pub sealed_time: Option<String>,
}

impl Client {
    /// Seals an appendable object: nothing can be appended to it afterwards. Sealing it again at the same length changes
    /// nothing, so it is tried again after a lost answer.
    ///
    /// # Errors
    /// [`ClientError::PositionNotEqualToLength`] if the object has another length, [`ClientError::ObjectNotAppendable`].
    pub async fn seal_object(
        &self,
        request: SealObjectRequest,
    ) -> Result<SealObjectOutput, ClientError> {
        let mut call =
            Call::new(Method::POST, Retry::Repeatable).object(&request.bucket, &request.key)?;
        call.query.push_flag("seal");
        call.query.push("position", &request.position.to_string());
        let answer = self.inner.execute(call).await?;
        let output = SealObjectOutput {
            status: answer.status,
            request_id: answer.request_id.clone(),
            sealed_time: text(&answer.headers, "x-oss-sealed-time").map(str::to_owned),
        };
        self.inner.read_aside(answer).await?;
        Ok(output)
    }
}
