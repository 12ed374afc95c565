//! Changes of a head that leave its bytes where they are: ACL and tags. Neither moves Last-Modified or the ETag.

use crate::{
    ReadObjectError,
    core::{Core, Gate, refuse},
    keys,
    records::Head,
    version::{read_head, rewrite_head},
    words::{BucketName, ObjectAcl, ObjectKey},
};

/// What an object is has been changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EditOutput {
    /// The version that was changed, in a bucket that has or had versions.
    pub version_id: Option<String>,
}

impl Core {
    pub(crate) async fn set_acl(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        acl: ObjectAcl,
    ) -> Result<EditOutput, ReadObjectError> {
        self.edit(bucket, key, move |head| Head { acl, ..head }).await
    }

    pub(crate) async fn set_tags(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        tags: Vec<(String, String)>,
    ) -> Result<EditOutput, ReadObjectError> {
        self.edit(bucket, key, move |head| Head { tags: tags.clone(), ..head }).await
    }

    async fn edit(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        change: impl Fn(Head) -> Head + Send + Sync + 'static,
    ) -> Result<EditOutput, ReadObjectError> {
        let place = self.place::<ReadObjectError>(bucket).await?;
        let head_key = keys::head(key);
        let hints = vec![head_key.clone()];
        let body = move |view: &dyn ossia_store::View| {
            let Some(head) = read_head(view, &head_key)? else {
                return refuse(ReadObjectError::NoSuchKey);
            };
            let new = change(head);
            let output = EditOutput { version_id: new.version_id.clone() };
            rewrite_head(&head_key, &new, output)
        };
        self.change(&place, place.partition(key), hints, Gate::Open, body).await
    }
}
