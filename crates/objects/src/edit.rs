//! Changes of a head that leave its bytes where they are: ACL and tags. Neither moves Last-Modified or the ETag.

use ossia_store::View;

use crate::{
    ReadObjectError, VersionId,
    core::{Core, Gate, Stop, refuse},
    records::{BucketRecord, Head},
    version::{read_head, rewrite_head},
    versioning::{Names, read_current},
    words::{BucketName, ObjectAcl, ObjectKey},
};

/// What an object is has been changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EditOutput {
    /// The version that was changed, in a bucket that has or had versions.
    pub version_id: Option<VersionId>,
}

impl Core {
    pub(crate) async fn set_acl(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        acl: ObjectAcl,
    ) -> Result<EditOutput, ReadObjectError> {
        self.edit(bucket, key, version, move |head| Ok(Head { acl, ..head })).await
    }

    pub(crate) async fn set_tags(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        tags: Vec<(String, String)>,
    ) -> Result<EditOutput, ReadObjectError> {
        self.edit(bucket, key, version, move |head| Ok(Head { tags: tags.clone(), ..head })).await
    }

    /// Changes the head of a version, the current one where none is named; `change` is pure and may refuse.
    pub(crate) async fn edit(
        &self,
        bucket: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        change: impl Fn(Head) -> Result<Head, ReadObjectError> + Send + Sync + 'static,
    ) -> Result<EditOutput, ReadObjectError> {
        let place = self.place::<ReadObjectError>(bucket).await?;
        let names = Names::of(key);
        let hints = names.hints(place.catalogue.versioning);
        let body = move |view: &dyn View, bucket: &BucketRecord| {
            let (at, head) = find(view, &names, bucket, version)?;
            let new = match change(head) {
                Ok(new) => new,
                Err(error) => return refuse(error),
            };
            let output = EditOutput { version_id: bucket.versioning.map(|_| new.version_id) };
            rewrite_head(&at, &new, output)
        };
        self.change_in(&place, place.partition(key), hints, Gate::Open, body).await
    }
}

/// The record of a version that is an object, as a body sees it, and its key.
pub(crate) fn find<E: From<ReadObjectError>>(
    view: &dyn View,
    names: &Names,
    bucket: &BucketRecord,
    version: Option<VersionId>,
) -> Result<(bytes::Bytes, Head), Stop<E>> {
    let current = read_current(view, names, bucket)?;
    let Some(id) = version else {
        return match current {
            None => refuse(ReadObjectError::NoSuchKey.into()),
            Some(head) if head.is_marker() => refuse(ReadObjectError::marker(&head, false).into()),
            Some(head) => Ok((names.head.clone(), head)),
        };
    };
    let found = match current {
        Some(head) if head.version_id == id => Some((names.current(&head), head)),
        current => match id.order().or(current.and_then(|current| current.below.null)) {
            None => None,
            Some(order) => {
                let at = names.older(order);
                let head = read_head(view, &at)?.filter(|head| head.version_id == id);
                head.map(|head| (at, head))
            }
        },
    };
    match found {
        None => refuse(ReadObjectError::NoSuchVersion.into()),
        Some((_, head)) if head.is_marker() => refuse(ReadObjectError::marker(&head, true).into()),
        Some(found) => Ok(found),
    }
}
