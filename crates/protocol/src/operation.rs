//! The closed list of operations, and which one a request asks for.
//!
//! A sub-resource is a query parameter whose *presence* selects the operation: `?acl` and `?acl=` are the same. Other
//! parameters never matter here, with few exceptions that stand in the tables of `dispatch.rs`. The rule that must not break:
//! a sub-resource that is known, at whatever level, never falls through to the plain operation, so `PUT /?replication` can
//! never create a bucket nor `DELETE /key?uploadId=` delete an object.
//!
//! Every operation of the protocol is named here, whether a server has built it or not: a server matches on [`Operation`] and
//! answers 400 `NotImplemented` for the rest.

mod dispatch;
mod standing;

pub use self::{
    dispatch::{RequestShape, dispatch},
    standing::{CLIENTS, Standing, State},
};

/// What an operation works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The account: no bucket in the request.
    Service,
    /// A bucket, without a key.
    Bucket,
    /// An object, or at least a key.
    Object,
}

/// Declares [`Operation`] by level.
macro_rules! operations {
    ($($level:ident { $($name:ident,)* })*) => {
        /// An operation of the API, under its official name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the names are those of the API reference")]
        pub enum Operation { $($($name,)*)* }

        impl Operation {
            /// Every operation.
            pub const ALL: &'static [Operation] = &[$($(Operation::$name,)*)*];

            /// The official name, which is also the label of spans and metrics.
            pub const fn name(self) -> &'static str {
                match self { $($(Operation::$name => stringify!($name),)*)* }
            }

            /// What the operation works on. OptionObject counts as an object's although its key may be missing.
            pub const fn level(self) -> Level {
                match self { $($(Operation::$name => Level::$level,)*)* }
            }
        }
    };
}

operations! {
    Service {
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
    }
    Bucket {
        PutBucket,
        DeleteBucket,
        HeadBucket,
        ListObjects,
        ListObjectsV2,
        ListObjectVersions,
        ListMultipartUploads,
        DeleteMultipleObjects,
        PostObject,
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
        PutBucketTags,
        GetBucketTags,
        DeleteBucketTags,
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
        ListBucketInventory,
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
        ListBucketAccessPoints,
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
        ListBucketRequesterQoSInfos,
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
    }
    Object {
        PutObject,
        AppendObject,
        SealAppendObject,
        GetObject,
        HeadObject,
        GetObjectMeta,
        CopyObject,
        DeleteObject,
        OptionObject,
        InitiateMultipartUpload,
        UploadPart,
        UploadPartCopy,
        CompleteMultipartUpload,
        AbortMultipartUpload,
        ListParts,
        PutObjectAcl,
        GetObjectAcl,
        PutObjectTagging,
        GetObjectTagging,
        DeleteObjectTagging,
        PutSymlink,
        GetSymlink,
        RestoreObject,
        CleanRestoredObject,
        PutObjectRetention,
        GetObjectRetention,
        PutObjectLegalHold,
        GetObjectLegalHold,
        SelectObject,
        CreateSelectObjectMeta,
        ProcessObject,
        AsyncProcessObject,
        CreateDirectory,
        Rename,
        DeleteDirectory,
        PutLiveChannel,
        GetLiveChannelInfo,
        GetLiveChannelStat,
        GetLiveChannelHistory,
        PutLiveChannelStatus,
        DeleteLiveChannel,
        PostVodPlaylist,
        GetVodPlaylist,
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
