//! Which actions each operation needs, in one table (`permissions.md` §4).
//!
//! The match over operations is complete, so that one which becomes known must be given a line.

use ossia_protocol::operation::{Level, Operation};

/// What may grant an operation besides policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Manages the account or a bucket: nothing. Listing is among these.
    Manage,
    /// Manages an object: nothing.
    Own,
    /// Reads an object's bytes or headers: a public ACL.
    Read,
    /// Writes or deletes an object: an ACL that is public for writing.
    Write,
}

/// What an operation is called in policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The action.
    pub action: &'static str,
    /// The action instead, when the request names a version.
    pub of_version: &'static str,
    /// What else may grant it.
    pub right: Right,
}

/// Read and set beside the content of an object.
pub const PUT_OBJECT_ACL: &str = "oss:PutObjectAcl";
/// Tags that are set with the content of an object.
pub const PUT_OBJECT_TAGGING: &str = "oss:PutObjectTagging";
/// Tags that are copied from an object.
pub const GET_OBJECT_TAGGING: &str = "oss:GetObjectTagging";
const GET_OBJECT_VERSION_TAGGING: &str = "oss:GetObjectVersionTagging";
/// Writing an object.
pub const PUT_OBJECT: &str = "oss:PutObject";
const GET_OBJECT: &str = "oss:GetObject";
const GET_OBJECT_VERSION: &str = "oss:GetObjectVersion";
const PUT_BUCKET: &str = "oss:PutBucket";
const PUT_BUCKET_ACL: &str = "oss:PutBucketAcl";
const PUT_BUCKET_ENCRYPTION: &str = "oss:PutBucketEncryption";
const BYPASS_GOVERNANCE_RETENTION: &str = "oss:BypassGovernanceRetention";

/// What of a request decides on the actions that it needs besides that of its operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    /// It names a version of the object.
    pub version: bool,
    /// It names tags of the object (`x-oss-tagging` or a form field).
    pub tags: bool,
    /// It names an ACL of the object (`x-oss-object-acl` or a form field).
    pub object_acl: bool,
    /// It names an ACL of the bucket other than `private`.
    pub bucket_acl: bool,
    /// The bucket that it names is not there, and comes to be.
    pub creates: bool,
    /// It says how the bucket is to be encrypted.
    pub encryption: bool,
    /// It shortens what an object is retained for.
    pub bypass: bool,
}

/// What an operation does to what it copies from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GivenSource {
    /// The source is named with a version.
    pub version: bool,
    /// There are tags, and they are copied.
    pub tags: bool,
}

/// The actions that a request needs on what it names, the operation's own first. Empty for a preflight, which needs none.
pub fn actions(operation: Operation, given: Given) -> impl Iterator<Item = (&'static str, Right)> {
    use Operation::*;
    let rule = rule(operation);
    let own = rule.map(|rule| {
        let action = if given.version { rule.of_version } else { rule.action };
        (action, rule.right)
    });
    let writes =
        matches!(operation, PutObject | PostObject | AppendObject | CopyObject | PutSymlink);
    let completes = operation == CompleteMultipartUpload;
    let tags = (given.tags && (writes || completes || operation == InitiateMultipartUpload))
        .then_some((PUT_OBJECT_TAGGING, Right::Own));
    // An ACL that is named at the start of an upload is set, and the right to it needed, at its end.
    let acl = (given.object_acl && (writes || completes)).then_some((PUT_OBJECT_ACL, Right::Own));
    let bucket_acl =
        (given.bucket_acl && operation == PutBucket).then_some((PUT_BUCKET_ACL, Right::Manage));
    let creates =
        (given.creates && operation == PutBucketAcl).then_some((PUT_BUCKET, Right::Manage));
    // That of a bucket that comes to be is part of making it.
    let encryption = (given.encryption && !given.creates && operation == PutBucket)
        .then_some((PUT_BUCKET_ENCRYPTION, Right::Manage));
    let bypass = (given.bypass
        && matches!(operation, PutObjectRetention | DeleteObject | DeleteMultipleObjects))
    .then_some((BYPASS_GOVERNANCE_RETENTION, Right::Own));
    [own, tags, acl, bucket_acl, creates, encryption, bypass].into_iter().flatten()
}

/// The actions that a copy needs on its source.
pub fn source_actions(given: GivenSource) -> impl Iterator<Item = (&'static str, Right)> {
    let (read, tags) = match given.version {
        true => (GET_OBJECT_VERSION, GET_OBJECT_VERSION_TAGGING),
        false => (GET_OBJECT, GET_OBJECT_TAGGING),
    };
    [Some((read, Right::Read)), given.tags.then_some((tags, Right::Own))].into_iter().flatten()
}

/// What else may grant an action, for a resource that is or is not an object. Unknown ones: nothing.
pub fn right_of(action: &str, object: bool) -> Right {
    let found = Operation::ALL.iter().filter_map(|operation| rule(*operation)).find(|rule| {
        rule.action.eq_ignore_ascii_case(action) || rule.of_version.eq_ignore_ascii_case(action)
    });
    match (found, object) {
        (Some(rule), true) => rule.right,
        (None, true) => Right::Own,
        (_, false) => Right::Manage,
    }
}

/// What an operation is called in policies; `None` for a preflight, which browsers do not sign.
pub fn rule(operation: Operation) -> Option<Rule> {
    use Operation::*;
    /// Those that are called as they are.
    macro_rules! table {
        (
            same { $($same:ident,)* }
            other { $($($other:ident)|+ => $action:literal $(, $version:literal)? $(, $right:ident)?;)* }
        ) => {
            match operation {
                $($same => plain(operation, concat!("oss:", stringify!($same))),)*
                $($($other)|+ => {
                    let rule = plain(operation, $action);
                    $(let rule = Rule { of_version: $version, ..rule };)?
                    $(let rule = Rule { right: Right::$right, ..rule };)?
                    rule
                })*
                OptionObject => return None,
            }
        };
    }
    let found = table! {
        same {
            ListBuckets,
            DescribeRegions,
            PutPublicAccessBlock,
            GetPublicAccessBlock,
            DeletePublicAccessBlock,
            GetUserQoSInfo,
            ListUserDataRedundancyTransition,
            ListCloudBoxes,
            ListAccessPoints,
            ListAccessPointsForObjectProcess,
            WriteGetObjectResponse,
            ListResourcePools,
            GetResourcePoolInfo,
            ListResourcePoolBuckets,
            PutResourcePoolRequesterQoSInfo,
            GetResourcePoolRequesterQoSInfo,
            ListResourcePoolRequesterQoSInfos,
            DeleteResourcePoolRequesterQoSInfo,
            PutBucket,
            DeleteBucket,
            ListObjects,
            ListObjectVersions,
            ListMultipartUploads,
            GetBucketInfo,
            GetBucketLocation,
            PutBucketAcl,
            GetBucketAcl,
            GetBucketStat,
            PutBucketVersioning,
            GetBucketVersioning,
            PutBucketLifecycle,
            GetBucketLifecycle,
            DeleteBucketLifecycle,
            PutBucketCors,
            GetBucketCors,
            DeleteBucketCors,
            PutBucketPolicy,
            GetBucketPolicy,
            DeleteBucketPolicy,
            GetBucketPolicyStatus,
            PutBucketReferer,
            GetBucketReferer,
            PutBucketWebsite,
            GetBucketWebsite,
            DeleteBucketWebsite,
            PutBucketLogging,
            GetBucketLogging,
            DeleteBucketLogging,
            PutBucketEncryption,
            GetBucketEncryption,
            DeleteBucketEncryption,
            PutBucketRequestPayment,
            GetBucketRequestPayment,
            PutBucketInventory,
            GetBucketInventory,
            DeleteBucketInventory,
            InitiateBucketWorm,
            AbortBucketWorm,
            CompleteBucketWorm,
            ExtendBucketWorm,
            GetBucketWorm,
            PutBucketObjectWormConfiguration,
            GetBucketObjectWormConfiguration,
            PutBucketOverwriteConfig,
            GetBucketOverwriteConfig,
            DeleteBucketOverwriteConfig,
            PutBucketPublicAccessBlock,
            GetBucketPublicAccessBlock,
            DeleteBucketPublicAccessBlock,
            PutBucketStorageQuota,
            GetBucketStorageQuota,
            DeleteBucketStorageQuota,
            PutBucketAccessMonitor,
            GetBucketAccessMonitor,
            PutBucketTransferAcceleration,
            GetBucketTransferAcceleration,
            DeleteBucketTransferAcceleration,
            PutBucketResourceGroup,
            GetBucketResourceGroup,
            PutBucketReplication,
            GetBucketReplication,
            DeleteBucketReplication,
            GetBucketReplicationLocation,
            GetBucketReplicationProgress,
            PutBucketRTC,
            PutStyle,
            GetStyle,
            ListStyle,
            DeleteStyle,
            PutCname,
            ListCname,
            DeleteCname,
            CreateCnameToken,
            GetCnameToken,
            OpenMetaQuery,
            GetMetaQueryStatus,
            DoMetaQuery,
            CloseMetaQuery,
            DoMetaQueryAction,
            DoDataPipelineAction,
            PutBucketArchiveDirectRead,
            GetBucketArchiveDirectRead,
            PutBucketHttpsConfig,
            GetBucketHttpsConfig,
            CreateBucketDataRedundancyTransition,
            GetBucketDataRedundancyTransition,
            ListBucketDataRedundancyTransition,
            DeleteBucketDataRedundancyTransition,
            CreateAccessPoint,
            GetAccessPoint,
            DeleteAccessPoint,
            PutAccessPointPolicy,
            GetAccessPointPolicy,
            DeleteAccessPointPolicy,
            PutAccessPointPublicAccessBlock,
            GetAccessPointPublicAccessBlock,
            DeleteAccessPointPublicAccessBlock,
            CreateAccessPointForObjectProcess,
            GetAccessPointForObjectProcess,
            DeleteAccessPointForObjectProcess,
            PutAccessPointConfigForObjectProcess,
            GetAccessPointConfigForObjectProcess,
            PutAccessPointPolicyForObjectProcess,
            GetAccessPointPolicyForObjectProcess,
            DeleteAccessPointPolicyForObjectProcess,
            PutUserDefinedLogFieldsConfig,
            GetUserDefinedLogFieldsConfig,
            DeleteUserDefinedLogFieldsConfig,
            PutBucketCallbackPolicy,
            GetBucketCallbackPolicy,
            DeleteBucketCallbackPolicy,
            PutBucketQoSInfo,
            GetBucketQoSInfo,
            DeleteBucketQoSInfo,
            PutBucketRequesterQoSInfo,
            GetBucketRequesterQoSInfo,
            DeleteBucketRequesterQoSInfo,
            PutBucketStorageCapacity,
            GetBucketStorageCapacity,
            PutBucketResponseHeader,
            GetBucketResponseHeader,
            DeleteBucketResponseHeader,
            PutAsyncFetchTask,
            GetAsyncFetchTask,
            CreateBucketMetadataConfiguration,
            GetBucketMetadataConfiguration,
            DeleteBucketMetadataConfiguration,
            UpdateBucketMetadataInventoryTableConfiguration,
            UpdateBucketMetadataJournalTableConfiguration,
            ListLiveChannel,
            SealAppendObject,
            ListParts,
            CleanRestoredObject,
            PutObjectRetention,
            GetObjectRetention,
            PutObjectLegalHold,
            GetObjectLegalHold,
            CreateDirectory,
            Rename,
            DeleteDirectory,
            PutLiveChannel,
            GetLiveChannelStat,
            GetLiveChannelHistory,
            PutLiveChannelStatus,
            DeleteLiveChannel,
            PostVodPlaylist,
            GetVodPlaylist,
        }
        other {
            HeadBucket => "oss:GetBucketInfo";
            ListObjectsV2 => "oss:ListObjects";
            PutBucketTags => "oss:PutBucketTagging";
            GetBucketTags => "oss:GetBucketTagging";
            DeleteBucketTags => "oss:DeleteBucketTagging";
            ListBucketInventory => "oss:GetBucketInventory";
            ListBucketAccessPoints => "oss:ListAccessPoints";
            ListBucketRequesterQoSInfos => "oss:ListBucketRequesterQoSInfo";
            GetLiveChannelInfo => "oss:GetLiveChannel";
            PutObject | PostObject | AppendObject | CopyObject | PutSymlink
                | InitiateMultipartUpload | UploadPart | UploadPartCopy | CompleteMultipartUpload
                => "oss:PutObject", Write;
            AbortMultipartUpload => "oss:AbortMultipartUpload", Write;
            DeleteObject | DeleteMultipleObjects
                => "oss:DeleteObject", "oss:DeleteObjectVersion", Write;
            GetObject | HeadObject | GetObjectMeta | GetSymlink | SelectObject
                | CreateSelectObjectMeta => "oss:GetObject", "oss:GetObjectVersion", Read;
            PutObjectAcl => "oss:PutObjectAcl", "oss:PutObjectVersionAcl";
            GetObjectAcl => "oss:GetObjectAcl", "oss:GetObjectVersionAcl";
            PutObjectTagging => "oss:PutObjectTagging", "oss:PutObjectVersionTagging";
            GetObjectTagging => "oss:GetObjectTagging", "oss:GetObjectVersionTagging";
            DeleteObjectTagging => "oss:DeleteObjectTagging", "oss:DeleteObjectVersionTagging";
            RestoreObject => "oss:RestoreObject", "oss:RestoreObjectVersion";
            ProcessObject | AsyncProcessObject => "oss:PostProcessTask";
        }
    };
    Some(found)
}

const fn plain(operation: Operation, action: &'static str) -> Rule {
    let right = match operation.level() {
        Level::Service | Level::Bucket => Right::Manage,
        Level::Object => Right::Own,
    };
    Rule { action, of_version: action, right }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(operation: Operation, given: Given) -> Vec<&'static str> {
        actions(operation, given).map(|(action, _)| action).collect()
    }

    #[test]
    fn every_operation_but_the_preflight_has_an_action() {
        for operation in Operation::ALL {
            let found = rule(*operation);
            assert_eq!(found.is_none(), *operation == Operation::OptionObject, "{operation}");
            assert!(found.is_none_or(|rule| rule.action.starts_with("oss:")), "{operation}");
        }
    }

    /// From the rules of names and rights, not from the table.
    fn by_the_rules(operation: Operation) -> Rule {
        use Operation::*;
        let action: &'static str = match operation {
            HeadBucket => "oss:GetBucketInfo",
            ListObjectsV2 => "oss:ListObjects",
            PutBucketTags => "oss:PutBucketTagging",
            GetBucketTags => "oss:GetBucketTagging",
            DeleteBucketTags => "oss:DeleteBucketTagging",
            ListBucketInventory => "oss:GetBucketInventory",
            ListBucketAccessPoints => "oss:ListAccessPoints",
            ListBucketRequesterQoSInfos => "oss:ListBucketRequesterQoSInfo",
            GetLiveChannelInfo => "oss:GetLiveChannel",
            PostObject
            | AppendObject
            | CopyObject
            | PutSymlink
            | InitiateMultipartUpload
            | UploadPart
            | UploadPartCopy
            | CompleteMultipartUpload => "oss:PutObject",
            DeleteMultipleObjects => "oss:DeleteObject",
            HeadObject | GetObjectMeta | GetSymlink | SelectObject | CreateSelectObjectMeta => {
                "oss:GetObject"
            }
            ProcessObject | AsyncProcessObject => "oss:PostProcessTask",
            other => format!("oss:{}", other.name()).leak(),
        };
        let of_version = match operation {
            PutObjectAcl => "oss:PutObjectVersionAcl",
            GetObjectAcl => "oss:GetObjectVersionAcl",
            PutObjectTagging => "oss:PutObjectVersionTagging",
            GetObjectTagging => "oss:GetObjectVersionTagging",
            DeleteObjectTagging => "oss:DeleteObjectVersionTagging",
            RestoreObject => "oss:RestoreObjectVersion",
            _ if action == "oss:GetObject" => "oss:GetObjectVersion",
            _ if action == "oss:DeleteObject" => "oss:DeleteObjectVersion",
            _ => action,
        };
        let right = match action {
            "oss:GetObject" => Right::Read,
            "oss:PutObject" | "oss:DeleteObject" | "oss:AbortMultipartUpload" => Right::Write,
            _ if operation.level() == Level::Object => Right::Own,
            _ => Right::Manage,
        };
        Rule { action, of_version, right }
    }

    #[test]
    fn operations_are_called_and_granted_as_the_rules_say() {
        for operation in Operation::ALL {
            let wanted = Some(by_the_rules(*operation));
            let wanted = wanted.filter(|_| *operation != Operation::OptionObject);
            assert_eq!(rule(*operation), wanted, "{operation}");
            let Some(rule) = wanted else { continue };
            for action in [rule.action, rule.of_version] {
                let object = rule.right != Right::Manage;
                assert_eq!(right_of(&action.to_uppercase(), object), rule.right, "{action}");
                assert_eq!(right_of(action, false), Right::Manage, "{action}");
            }
        }
        assert_eq!(right_of("oss:Nothing", true), Right::Own);
    }

    #[test]
    fn headers_and_versions_add_what_they_set() {
        use Operation::*;
        let all = Given {
            version: true,
            tags: true,
            object_acl: true,
            bucket_acl: true,
            creates: true,
            encryption: true,
            bypass: true,
        };
        let none = Given::default();
        assert_eq!(needed(AppendObject, none), ["oss:PutObject"]);
        let both = ["oss:PutObject", "oss:PutObjectTagging", "oss:PutObjectAcl"];
        for operation in
            [PutObject, AppendObject, PostObject, CopyObject, PutSymlink, CompleteMultipartUpload]
        {
            assert_eq!(needed(operation, all), both, "{operation}");
        }
        assert_eq!(needed(InitiateMultipartUpload, all), ["oss:PutObject", "oss:PutObjectTagging"]);
        assert_eq!(needed(UploadPart, all), ["oss:PutObject"]);
        assert_eq!(needed(GetObject, all), ["oss:GetObjectVersion"]);
        assert_eq!(needed(GetObjectAcl, all), ["oss:GetObjectVersionAcl"]);
        assert_eq!(
            needed(DeleteObject, all),
            ["oss:DeleteObjectVersion", "oss:BypassGovernanceRetention"]
        );
        let each = ["oss:DeleteObjectVersion", "oss:BypassGovernanceRetention"];
        assert_eq!(needed(DeleteMultipleObjects, all), each);
        let shortened = ["oss:PutObjectRetention", "oss:BypassGovernanceRetention"];
        assert_eq!(needed(PutObjectRetention, all), shortened);
        assert_eq!(needed(PutBucket, all), ["oss:PutBucket", "oss:PutBucketAcl"]);
        let there = Given { creates: false, encryption: true, ..none };
        assert_eq!(needed(PutBucket, there), ["oss:PutBucket", "oss:PutBucketEncryption"]);
        assert_eq!(needed(PutObject, there), ["oss:PutObject"]);
        assert_eq!(needed(PutBucketAcl, all), ["oss:PutBucketAcl", "oss:PutBucket"]);
        assert_eq!(needed(HeadBucket, none), ["oss:GetBucketInfo"]);
        assert_eq!(needed(PutBucketTags, none), ["oss:PutBucketTagging"]);
        assert!(needed(OptionObject, all).is_empty());
        let of = |given| source_actions(given).map(|(action, _)| action).collect::<Vec<_>>();
        assert_eq!(of(GivenSource::default()), ["oss:GetObject"]);
        let copied = ["oss:GetObjectVersion", "oss:GetObjectVersionTagging"];
        assert_eq!(of(GivenSource { version: true, tags: true }), copied);
    }
}
