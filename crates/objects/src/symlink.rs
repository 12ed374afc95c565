//! Symbolic links: heads without bytes that name another key of their bucket. They are followed when they are read, one step only.

use std::sync::Arc;

use md5::{Digest as _, Md5};

use crate::{
    Creation, ObjectInfo, PutError, VersionId,
    core::Core,
    records::Kind,
    version::{NewBytes, NewVersion},
    words::{BucketName, ObjectKey, etag},
};

/// Puts a symbolic link, replacing what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutSymlinkInput {
    /// The bucket.
    pub bucket: BucketName,
    /// The link's key.
    pub key: ObjectKey,
    /// The key that it points at. It need not exist, and may be a link; both only show when the link is read.
    pub target: ObjectKey,
    /// What the link is given.
    pub creation: Creation,
    /// Refuse when an object is there.
    pub forbid_overwrite: bool,
}

/// A link was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutSymlinkOutput {
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its version, in a bucket that has or had versions.
    pub version_id: Option<VersionId>,
}

impl Core {
    pub(crate) async fn put_symlink(
        self: &Arc<Self>,
        input: PutSymlinkInput,
    ) -> Result<PutSymlinkOutput, PutError> {
        let PutSymlinkInput { bucket, key, target, creation, forbid_overwrite } = input;
        let place = self.place::<PutError>(&bucket).await?;
        let class = creation.storage_class.unwrap_or(place.catalogue.storage_class);
        // Opaque to clients: that of what the link says.
        let etag = etag::from_md5(&Md5::digest(target.as_bytes()).into());
        let version = NewVersion {
            kind: Kind::Symlink { etag, target },
            length: 0,
            crc64: 0,
            attributes: creation.attributes,
            acl: creation.acl,
            tags: creation.tags,
            storage_class: class,
            sealing: None,
            new_key: None,
            over: None,
        };
        let bytes = NewBytes::Inline(Vec::new());
        let written =
            self.write_version::<PutError>(place, key, version, bytes, forbid_overwrite).await?;
        Ok(PutSymlinkOutput { etag: written.etag, version_id: written.version_id })
    }
}

impl ObjectInfo {
    /// What reading through this link tells: the target's bytes, the later time of the two, and all else of the link.
    pub fn through(self, target: &ObjectInfo) -> ObjectInfo {
        ObjectInfo {
            length: target.length,
            crc64: target.crc64,
            etag: target.etag.clone(),
            md5: target.md5,
            encrypted: target.encrypted,
            last_modified: self.last_modified.max(target.last_modified),
            ..self
        }
    }
}
