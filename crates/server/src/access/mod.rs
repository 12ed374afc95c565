//! Whether a caller may do an operation here, as one pure function with its reason.
//!
//! Today there are the root key and anonymous callers, and ACLs decide between them; users, policies and sessions join
//! [`Caller`] and [`Circumstances`] without a second place of decision. It must not read anything: what it needs is handed in.

use ossia_access::{Caller, Principal};
use ossia_protocol::{
    attributes::{BucketAcl, ObjectAcl},
    error::{ErrorCode, OssError},
    operation::{Level, Operation},
};

/// What the decision rests on besides caller and operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Circumstances {
    /// The ACL of the bucket, at bucket and object level.
    pub(crate) bucket: Option<BucketAcl>,
    /// The ACL of the object, if the key exists. A new key has none, and the bucket's counts.
    pub(crate) object: Option<ObjectAcl>,
}

/// Why a caller may or may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The root key owns everything.
    Root,
    /// The ACL of the object or of the bucket lets everyone.
    PublicAcl,
    /// The operation manages the account or a bucket, or is the owner's alone; no ACL grants it.
    OwnersOnly,
    /// The object's own ACL does not let this caller.
    ObjectAcl,
    /// The bucket's ACL does not let this caller.
    BucketAcl,
}

/// A decision with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    pub(crate) reason: Reason,
}

impl Decision {
    const fn allow(reason: Reason) -> Decision {
        Decision { allowed: true, reason }
    }

    const fn deny(reason: Reason) -> Decision {
        Decision { allowed: false, reason }
    }

    /// `Ok`, or the 403 that tells the reason as OSS does.
    pub(crate) fn into_result(self) -> Result<(), OssError> {
        if self.allowed {
            return Ok(());
        }
        Err(OssError::new(ErrorCode::AccessDenied).with_message(match self.reason {
            Reason::OwnersOnly => "Anonymous access is forbidden for this operation.",
            Reason::BucketAcl => "You have no right to access this object because of bucket acl.",
            Reason::ObjectAcl | Reason::Root | Reason::PublicAcl => {
                "You have no right to access this object."
            }
        }))
    }
}

/// What an ACL can say about an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grade {
    /// Reads an object's bytes or headers.
    Read,
    /// Writes or deletes an object.
    Write,
    /// Neither: never granted by an ACL. Listing is among these.
    Owner,
}

/// The grade of an operation. What is not named is the owner's: a new operation is closed until it is opened here.
pub(crate) fn grade(operation: Operation) -> Grade {
    use Operation::*;
    match operation {
        GetObject | HeadObject | GetObjectMeta | SelectObject | GetSymlink => Grade::Read,
        PutObject
        | PostObject
        | AppendObject
        | CopyObject
        | PutSymlink
        | InitiateMultipartUpload
        | UploadPart
        | UploadPartCopy
        | CompleteMultipartUpload
        | AbortMultipartUpload
        | DeleteObject
        | DeleteMultipleObjects => Grade::Write,
        _ => Grade::Owner,
    }
}

/// Decides. For operations on several objects it is asked once for each.
pub(crate) fn decide(
    caller: &Caller,
    operation: Operation,
    circumstances: Circumstances,
) -> Decision {
    match caller.principal {
        Principal::Account => Decision::allow(Reason::Root),
        Principal::User { .. } | Principal::Session { .. } | Principal::Anonymous => {
            if operation.level() == Level::Service {
                return Decision::deny(Reason::OwnersOnly);
            }
            by_acl(grade(operation), circumstances)
        }
    }
}

/// An object's ACL overrides the bucket's both ways, unless it is `default`.
fn by_acl(grade: Grade, circumstances: Circumstances) -> Decision {
    let bucket = circumstances.bucket.unwrap_or(BucketAcl::Private);
    let (effective, denial) = match circumstances.object.unwrap_or(ObjectAcl::Default) {
        ObjectAcl::Default => (bucket, Reason::BucketAcl),
        ObjectAcl::Private => (BucketAcl::Private, Reason::ObjectAcl),
        ObjectAcl::PublicRead => (BucketAcl::PublicRead, Reason::ObjectAcl),
        ObjectAcl::PublicReadWrite => (BucketAcl::PublicReadWrite, Reason::ObjectAcl),
    };
    match (grade, effective) {
        (Grade::Owner, _) => Decision::deny(Reason::OwnersOnly),
        (_, BucketAcl::PublicReadWrite) | (Grade::Read, BucketAcl::PublicRead) => {
            Decision::allow(Reason::PublicAcl)
        }
        (Grade::Read | Grade::Write, BucketAcl::Private)
        | (Grade::Write, BucketAcl::PublicRead) => Decision::deny(denial),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anonymous(operation: Operation, bucket: BucketAcl, object: Option<ObjectAcl>) -> Decision {
        let circumstances = Circumstances { bucket: Some(bucket), object };
        decide(&Caller::anonymous(), operation, circumstances)
    }

    #[test]
    fn the_root_key_may_do_everything() {
        for operation in Operation::ALL {
            let decision = decide(&Caller::account("id"), *operation, Circumstances::default());
            assert_eq!(decision, Decision::allow(Reason::Root), "{operation}");
        }
    }

    #[test]
    fn acls_open_reading_and_writing_of_objects_and_nothing_else() {
        for operation in Operation::ALL {
            for bucket in BucketAcl::ALL {
                let allowed = anonymous(*operation, *bucket, None).allowed;
                let wanted = match (grade(*operation), bucket) {
                    (Grade::Owner, _) | (_, BucketAcl::Private) => false,
                    (Grade::Read, _) | (_, BucketAcl::PublicReadWrite) => true,
                    (Grade::Write, BucketAcl::PublicRead) => false,
                };
                assert_eq!(allowed, wanted, "{operation} in a {bucket} bucket");
            }
        }
    }

    #[test]
    fn listing_is_never_granted_by_an_acl() {
        use Operation::*;
        for operation in [ListBuckets, ListObjects, ListObjectsV2, ListObjectVersions, ListParts] {
            let decision = anonymous(operation, BucketAcl::PublicReadWrite, None);
            assert_eq!(decision, Decision::deny(Reason::OwnersOnly), "{operation}");
        }
    }

    #[test]
    fn an_objects_acl_overrides_the_buckets_both_ways() {
        use ObjectAcl::*;
        let get = |bucket, object| anonymous(Operation::GetObject, bucket, Some(object)).allowed;
        let append =
            |bucket, object| anonymous(Operation::AppendObject, bucket, Some(object)).allowed;
        assert!(get(BucketAcl::Private, PublicRead));
        assert!(!get(BucketAcl::PublicReadWrite, Private));
        assert!(get(BucketAcl::PublicRead, Default));
        assert!(append(BucketAcl::Private, PublicReadWrite));
        assert!(!append(BucketAcl::PublicReadWrite, PublicRead));
        assert!(append(BucketAcl::PublicReadWrite, Default));
    }
}
