//! One function an operation: reads headers into an input of the object layer, and writes its output as an answer.
//!
//! Handlers translate and decide nothing about objects. What went wrong becomes a wire error in one place, `error.rs`.

mod append;
mod attributes;
mod bucket;
mod callback;
mod config;
mod copy;
pub(crate) mod cors;
mod delete;
pub(crate) mod error;
mod fields;
mod list;
mod multipart;
mod post;
mod put;
mod read;
mod retention;
pub(crate) mod upload;
pub(crate) mod versions;
pub(crate) mod website;

pub(crate) use upload::pairs;

use ossia_protocol::{error::OssError, operation::Operation};

use crate::{http::Reply, service::Call};

/// Runs the operation of a call. The match is complete, so that an operation that becomes known must be placed here.
pub(crate) async fn handle(call: &Call<'_>) -> Result<Reply, OssError> {
    use Operation::*;
    // What is not asked for all the time is boxed: the future of a call is as long as its longest operation's.
    match call.operation {
        ListBuckets => Box::pin(bucket::list_buckets(call)).await,
        PutBucket => Box::pin(bucket::put_bucket(call)).await,
        DeleteBucket => Box::pin(bucket::delete_bucket(call)).await,
        HeadBucket => Ok(Reply::ok()),
        GetBucketInfo => bucket::get_bucket_info(call),
        GetBucketLocation => bucket::get_bucket_location(call),
        PutBucketAcl => Box::pin(bucket::put_bucket_acl(call)).await,
        GetBucketAcl => bucket::get_bucket_acl(call),
        GetBucketStat => Box::pin(bucket::get_bucket_stat(call)).await,
        PutBucketVersioning => Box::pin(versions::put_bucket_versioning(call)).await,
        GetBucketVersioning => versions::get_bucket_versioning(call),
        ListObjectVersions => Box::pin(versions::list_object_versions(call)).await,
        GetBucketAccessMonitor => bucket::get_bucket_access_monitor(),
        ListLiveChannel => bucket::list_live_channel(call),
        ListObjects => Box::pin(list::list_objects(call)).await,
        ListObjectsV2 => Box::pin(list::list_objects_v2(call)).await,
        PutObject => put::put_object(call).await,
        PostObject => Box::pin(post::post_object(call)).await,
        AppendObject => append::append_object(call).await,
        SealAppendObject => Box::pin(append::seal_append_object(call)).await,
        GetObject => read::get_object(call).await,
        HeadObject => read::head_object(call).await,
        GetObjectMeta => Box::pin(read::get_object_meta(call)).await,
        CopyObject => Box::pin(copy::copy_object(call)).await,
        DeleteObject => Box::pin(delete::delete_object(call)).await,
        DeleteMultipleObjects => Box::pin(delete::delete_multiple_objects(call)).await,
        InitiateMultipartUpload => Box::pin(multipart::initiate(call)).await,
        UploadPart => Box::pin(multipart::upload_part(call)).await,
        UploadPartCopy => Box::pin(multipart::upload_part_copy(call)).await,
        CompleteMultipartUpload => Box::pin(multipart::complete(call)).await,
        AbortMultipartUpload => Box::pin(multipart::abort(call)).await,
        ListMultipartUploads => Box::pin(multipart::list_uploads(call)).await,
        ListParts => Box::pin(multipart::list_parts(call)).await,
        PutObjectAcl => Box::pin(attributes::put_object_acl(call)).await,
        GetObjectAcl => Box::pin(attributes::get_object_acl(call)).await,
        PutObjectTagging => Box::pin(attributes::put_object_tagging(call)).await,
        GetObjectTagging => Box::pin(attributes::get_object_tagging(call)).await,
        DeleteObjectTagging => Box::pin(attributes::delete_object_tagging(call)).await,
        PutSymlink => Box::pin(attributes::put_symlink(call)).await,
        GetSymlink => Box::pin(attributes::get_symlink(call)).await,
        // Answered before a caller is looked for, see `cors`.
        OptionObject => cors::preflight(call.headers(), &call.rules),
        DescribeRegions
        | PutPublicAccessBlock
        | GetPublicAccessBlock
        | DeletePublicAccessBlock
        | PutBucketLifecycle
        | GetBucketLifecycle
        | DeleteBucketLifecycle
        | PutBucketCors
        | GetBucketCors
        | DeleteBucketCors
        | PutBucketPolicy
        | GetBucketPolicy
        | DeleteBucketPolicy
        | GetBucketPolicyStatus
        | PutBucketTags
        | GetBucketTags
        | DeleteBucketTags
        | PutBucketReferer
        | GetBucketReferer
        | PutBucketWebsite
        | GetBucketWebsite
        | DeleteBucketWebsite
        | PutBucketLogging
        | GetBucketLogging
        | DeleteBucketLogging
        | PutBucketEncryption
        | GetBucketEncryption
        | DeleteBucketEncryption
        | PutBucketRequestPayment
        | GetBucketRequestPayment
        | PutBucketInventory
        | GetBucketInventory
        | ListBucketInventory
        | DeleteBucketInventory
        | PutBucketOverwriteConfig
        | GetBucketOverwriteConfig
        | DeleteBucketOverwriteConfig
        | PutBucketPublicAccessBlock
        | GetBucketPublicAccessBlock
        | DeleteBucketPublicAccessBlock
        | PutBucketStorageQuota
        | GetBucketStorageQuota
        | DeleteBucketStorageQuota => Box::pin(config::handle(call)).await,
        InitiateBucketWorm
        | AbortBucketWorm
        | CompleteBucketWorm
        | ExtendBucketWorm
        | GetBucketWorm
        | PutBucketObjectWormConfiguration
        | GetBucketObjectWormConfiguration
        | RestoreObject
        | CleanRestoredObject
        | PutObjectRetention
        | GetObjectRetention
        | PutObjectLegalHold
        | GetObjectLegalHold => Box::pin(retention::handle(call)).await,
        GetUserQoSInfo
        | ListUserDataRedundancyTransition
        | ListCloudBoxes
        | ListAccessPoints
        | ListAccessPointsForObjectProcess
        | WriteGetObjectResponse
        | ListResourcePools
        | GetResourcePoolInfo
        | ListResourcePoolBuckets
        | PutResourcePoolRequesterQoSInfo
        | GetResourcePoolRequesterQoSInfo
        | ListResourcePoolRequesterQoSInfos
        | DeleteResourcePoolRequesterQoSInfo
        | PutBucketAccessMonitor
        | PutBucketTransferAcceleration
        | GetBucketTransferAcceleration
        | DeleteBucketTransferAcceleration
        | PutBucketResourceGroup
        | GetBucketResourceGroup
        | PutBucketReplication
        | GetBucketReplication
        | DeleteBucketReplication
        | GetBucketReplicationLocation
        | GetBucketReplicationProgress
        | PutBucketRTC
        | PutStyle
        | GetStyle
        | ListStyle
        | DeleteStyle
        | PutCname
        | ListCname
        | DeleteCname
        | CreateCnameToken
        | GetCnameToken
        | OpenMetaQuery
        | GetMetaQueryStatus
        | DoMetaQuery
        | CloseMetaQuery
        | DoMetaQueryAction
        | DoDataPipelineAction
        | PutBucketArchiveDirectRead
        | GetBucketArchiveDirectRead
        | PutBucketHttpsConfig
        | GetBucketHttpsConfig
        | CreateBucketDataRedundancyTransition
        | GetBucketDataRedundancyTransition
        | ListBucketDataRedundancyTransition
        | DeleteBucketDataRedundancyTransition
        | CreateAccessPoint
        | GetAccessPoint
        | DeleteAccessPoint
        | ListBucketAccessPoints
        | PutAccessPointPolicy
        | GetAccessPointPolicy
        | DeleteAccessPointPolicy
        | PutAccessPointPublicAccessBlock
        | GetAccessPointPublicAccessBlock
        | DeleteAccessPointPublicAccessBlock
        | CreateAccessPointForObjectProcess
        | GetAccessPointForObjectProcess
        | DeleteAccessPointForObjectProcess
        | PutAccessPointConfigForObjectProcess
        | GetAccessPointConfigForObjectProcess
        | PutAccessPointPolicyForObjectProcess
        | GetAccessPointPolicyForObjectProcess
        | DeleteAccessPointPolicyForObjectProcess
        | PutUserDefinedLogFieldsConfig
        | GetUserDefinedLogFieldsConfig
        | DeleteUserDefinedLogFieldsConfig
        | PutBucketCallbackPolicy
        | GetBucketCallbackPolicy
        | DeleteBucketCallbackPolicy
        | PutBucketQoSInfo
        | GetBucketQoSInfo
        | DeleteBucketQoSInfo
        | PutBucketRequesterQoSInfo
        | GetBucketRequesterQoSInfo
        | ListBucketRequesterQoSInfos
        | DeleteBucketRequesterQoSInfo
        | PutBucketStorageCapacity
        | GetBucketStorageCapacity
        | PutBucketResponseHeader
        | GetBucketResponseHeader
        | DeleteBucketResponseHeader
        | PutAsyncFetchTask
        | GetAsyncFetchTask
        | CreateBucketMetadataConfiguration
        | GetBucketMetadataConfiguration
        | DeleteBucketMetadataConfiguration
        | UpdateBucketMetadataInventoryTableConfiguration
        | UpdateBucketMetadataJournalTableConfiguration
        | SelectObject
        | CreateSelectObjectMeta
        | ProcessObject
        | AsyncProcessObject
        | CreateDirectory
        | Rename
        | DeleteDirectory
        | PutLiveChannel
        | GetLiveChannelInfo
        | GetLiveChannelStat
        | GetLiveChannelHistory
        | PutLiveChannelStatus
        | DeleteLiveChannel
        | PostVodPlaylist
        | GetVodPlaylist => Err(OssError::operation_not_implemented(call.operation.name())),
    }
}
