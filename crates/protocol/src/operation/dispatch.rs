//! From a request's shape to its operation: one table of sub-resources a level.

use super::Level::{self, Bucket, Object, Service};
use super::Operation::{self, *};
use crate::error::{ErrorCode, OssError};
use crate::query::Query;

/// A method that some operation uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Delete,
    Get,
    Head,
    Options,
    Post,
    Put,
}

use Method::{Delete, Get, Head, Options, Post, Put};

impl Method {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "DELETE" => Delete,
            "GET" => Get,
            "HEAD" => Head,
            "OPTIONS" => Options,
            "POST" => Post,
            "PUT" => Put,
            _ => return None,
        })
    }
}

/// What else must hold for a row to apply. A parameter that is present but empty means "not set".
#[derive(Debug, Clone, Copy)]
enum When {
    /// Nothing.
    Always,
    /// The parameter is set.
    Set(&'static str),
    /// The parameter has exactly this value.
    Is(&'static str, &'static str),
    /// The parameter begins so.
    Begins(&'static str, &'static str),
    /// The request header is set.
    Header(&'static str),
}

use When::{Always, Begins, Header, Is, Set};

/// One sub-resource and what it selects: the first row whose method and condition hold.
struct SubResource {
    name: &'static str,
    rows: &'static [(Method, When, Operation)],
}

const fn sub(name: &'static str, rows: &'static [(Method, When, Operation)]) -> SubResource {
    SubResource { name, rows }
}

/// The parts of a request that select its operation.
pub struct RequestShape<'a> {
    /// The method, in upper case as HTTP has it.
    pub method: &'a str,
    /// Whether host or path name a bucket.
    pub has_bucket: bool,
    /// Whether the path names a key.
    pub has_key: bool,
    /// The query.
    pub query: &'a Query,
    /// Looks a header up by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<&'a [u8]>,
}

/// Sub-resources of the service, in the order in which they are looked for.
const SERVICE: &[SubResource] = &[
    // `"key":"value"` filters the list of buckets.
    sub("tagging", &[(Get, Begins("tagging", "\""), ListBuckets)]),
    sub("regions", &[(Get, Always, DescribeRegions)]),
    sub(
        "publicAccessBlock",
        &[
            (Put, Always, PutPublicAccessBlock),
            (Get, Always, GetPublicAccessBlock),
            (Delete, Always, DeletePublicAccessBlock),
        ],
    ),
    sub("qosInfo", &[(Get, Always, GetUserQoSInfo)]),
    sub("redundancyTransition", &[(Get, Always, ListUserDataRedundancyTransition)]),
    sub("cloudboxes", &[(Get, Always, ListCloudBoxes)]),
    sub("accessPoint", &[(Get, Always, ListAccessPoints)]),
    sub("accessPointForObjectProcess", &[(Get, Always, ListAccessPointsForObjectProcess)]),
    sub("x-oss-write-get-object-response", &[(Post, Always, WriteGetObjectResponse)]),
    sub(
        "requesterQosInfo",
        &[
            (Put, Always, PutResourcePoolRequesterQoSInfo),
            (Get, Set("qosRequester"), GetResourcePoolRequesterQoSInfo),
            (Get, Always, ListResourcePoolRequesterQoSInfos),
            (Delete, Always, DeleteResourcePoolRequesterQoSInfo),
        ],
    ),
    sub("resourcePoolInfo", &[(Get, Always, GetResourcePoolInfo)]),
    sub("resourcePoolBuckets", &[(Get, Always, ListResourcePoolBuckets)]),
    sub("resourcePool", &[(Get, Always, ListResourcePools)]),
];

/// Sub-resources of a bucket, in the order in which they are looked for. A name that is also a parameter of another
/// sub-resource (`wormId` of `wormExtend`, `cname` and `comp`) stands after it.
const BUCKET: &[SubResource] = &[
    sub("acl", &[(Put, Always, PutBucketAcl), (Get, Always, GetBucketAcl)]),
    sub("bucketInfo", &[(Get, Always, GetBucketInfo)]),
    sub("location", &[(Get, Always, GetBucketLocation)]),
    sub("stat", &[(Get, Always, GetBucketStat)]),
    sub("versioning", &[(Put, Always, PutBucketVersioning), (Get, Always, GetBucketVersioning)]),
    sub("versions", &[(Get, Always, ListObjectVersions)]),
    sub("uploads", &[(Get, Always, ListMultipartUploads)]),
    sub("delete", &[(Post, Always, DeleteMultipleObjects)]),
    sub(
        "lifecycle",
        &[
            (Put, Always, PutBucketLifecycle),
            (Get, Always, GetBucketLifecycle),
            (Delete, Always, DeleteBucketLifecycle),
        ],
    ),
    sub(
        "cors",
        &[
            (Put, Always, PutBucketCors),
            (Get, Always, GetBucketCors),
            (Delete, Always, DeleteBucketCors),
        ],
    ),
    sub(
        "policy",
        &[
            (Put, Is("comp", "callback"), PutBucketCallbackPolicy),
            (Get, Is("comp", "callback"), GetBucketCallbackPolicy),
            (Delete, Is("comp", "callback"), DeleteBucketCallbackPolicy),
            (Put, Always, PutBucketPolicy),
            (Get, Always, GetBucketPolicy),
            (Delete, Always, DeleteBucketPolicy),
        ],
    ),
    sub("policyStatus", &[(Get, Always, GetBucketPolicyStatus)]),
    sub(
        "tagging",
        &[
            (Put, Always, PutBucketTags),
            (Get, Always, GetBucketTags),
            (Delete, Always, DeleteBucketTags),
        ],
    ),
    sub("referer", &[(Put, Always, PutBucketReferer), (Get, Always, GetBucketReferer)]),
    sub(
        "website",
        &[
            (Put, Always, PutBucketWebsite),
            (Get, Always, GetBucketWebsite),
            (Delete, Always, DeleteBucketWebsite),
        ],
    ),
    sub(
        "logging",
        &[
            (Put, Always, PutBucketLogging),
            (Get, Always, GetBucketLogging),
            (Delete, Always, DeleteBucketLogging),
        ],
    ),
    sub(
        "encryption",
        &[
            (Put, Always, PutBucketEncryption),
            (Get, Always, GetBucketEncryption),
            (Delete, Always, DeleteBucketEncryption),
        ],
    ),
    sub(
        "requestPayment",
        &[(Put, Always, PutBucketRequestPayment), (Get, Always, GetBucketRequestPayment)],
    ),
    sub(
        "inventory",
        &[
            (Put, Always, PutBucketInventory),
            (Get, Set("inventoryId"), GetBucketInventory),
            (Get, Always, ListBucketInventory),
            (Delete, Always, DeleteBucketInventory),
        ],
    ),
    sub("wormExtend", &[(Post, Always, ExtendBucketWorm)]),
    sub(
        "worm",
        &[
            (Post, Always, InitiateBucketWorm),
            (Delete, Always, AbortBucketWorm),
            (Get, Always, GetBucketWorm),
        ],
    ),
    sub("wormId", &[(Post, Always, CompleteBucketWorm)]),
    sub(
        "objectWorm",
        &[
            (Put, Always, PutBucketObjectWormConfiguration),
            (Get, Always, GetBucketObjectWormConfiguration),
        ],
    ),
    sub(
        "overwriteConfig",
        &[
            (Put, Always, PutBucketOverwriteConfig),
            (Get, Always, GetBucketOverwriteConfig),
            (Delete, Always, DeleteBucketOverwriteConfig),
        ],
    ),
    sub(
        "publicAccessBlock",
        &[
            (Put, Set("x-oss-access-point-name"), PutAccessPointPublicAccessBlock),
            (Get, Set("x-oss-access-point-name"), GetAccessPointPublicAccessBlock),
            (Delete, Set("x-oss-access-point-name"), DeleteAccessPointPublicAccessBlock),
            (Put, Always, PutBucketPublicAccessBlock),
            (Get, Always, GetBucketPublicAccessBlock),
            (Delete, Always, DeleteBucketPublicAccessBlock),
        ],
    ),
    sub(
        "quota",
        &[
            (Put, Always, PutBucketStorageQuota),
            (Get, Always, GetBucketStorageQuota),
            (Delete, Always, DeleteBucketStorageQuota),
        ],
    ),
    sub(
        "accessmonitor",
        &[(Put, Always, PutBucketAccessMonitor), (Get, Always, GetBucketAccessMonitor)],
    ),
    sub(
        "transferAcceleration",
        &[
            (Put, Always, PutBucketTransferAcceleration),
            (Get, Always, GetBucketTransferAcceleration),
            (Delete, Always, DeleteBucketTransferAcceleration),
        ],
    ),
    sub(
        "resourceGroup",
        &[(Put, Always, PutBucketResourceGroup), (Get, Always, GetBucketResourceGroup)],
    ),
    sub(
        "replication",
        &[
            (Post, Is("comp", "add"), PutBucketReplication),
            (Post, Is("comp", "delete"), DeleteBucketReplication),
            (Get, Always, GetBucketReplication),
        ],
    ),
    sub("replicationLocation", &[(Get, Always, GetBucketReplicationLocation)]),
    sub("replicationProgress", &[(Get, Always, GetBucketReplicationProgress)]),
    sub("rtc", &[(Put, Always, PutBucketRTC)]),
    sub(
        "style",
        &[
            (Put, Always, PutStyle),
            (Get, Set("styleName"), GetStyle),
            (Get, Always, ListStyle),
            (Delete, Always, DeleteStyle),
        ],
    ),
    sub(
        "cname",
        &[
            (Post, Is("comp", "add"), PutCname),
            (Post, Is("comp", "delete"), DeleteCname),
            (Post, Is("comp", "token"), CreateCnameToken),
            (Get, Is("comp", "token"), GetCnameToken),
            (Get, Always, ListCname),
        ],
    ),
    sub(
        "metaQuery",
        &[
            (Post, Set("action"), DoMetaQueryAction),
            (Post, Is("comp", "add"), OpenMetaQuery),
            (Post, Is("comp", "query"), DoMetaQuery),
            (Post, Is("comp", "delete"), CloseMetaQuery),
            (Get, Always, GetMetaQueryStatus),
        ],
    ),
    // One SDK spells it with a capital.
    sub("MetaQuery", &[(Post, Set("action"), DoMetaQueryAction)]),
    sub("dataPipeline", &[(Post, Always, DoDataPipelineAction)]),
    sub(
        "bucketArchiveDirectRead",
        &[(Put, Always, PutBucketArchiveDirectRead), (Get, Always, GetBucketArchiveDirectRead)],
    ),
    sub("httpsConfig", &[(Put, Always, PutBucketHttpsConfig), (Get, Always, GetBucketHttpsConfig)]),
    sub(
        "redundancyTransition",
        &[
            (Post, Always, CreateBucketDataRedundancyTransition),
            (Get, Set("x-oss-redundancy-transition-taskid"), GetBucketDataRedundancyTransition),
            (Get, Always, ListBucketDataRedundancyTransition),
            (Delete, Always, DeleteBucketDataRedundancyTransition),
        ],
    ),
    sub(
        "accessPoint",
        &[
            (Put, Always, CreateAccessPoint),
            (Get, Header("x-oss-access-point-name"), GetAccessPoint),
            (Get, Always, ListBucketAccessPoints),
            (Delete, Always, DeleteAccessPoint),
        ],
    ),
    sub(
        "accessPointPolicy",
        &[
            (Put, Always, PutAccessPointPolicy),
            (Get, Always, GetAccessPointPolicy),
            (Delete, Always, DeleteAccessPointPolicy),
        ],
    ),
    sub(
        "accessPointForObjectProcess",
        &[
            (Put, Always, CreateAccessPointForObjectProcess),
            (Get, Always, GetAccessPointForObjectProcess),
            (Delete, Always, DeleteAccessPointForObjectProcess),
        ],
    ),
    sub(
        "accessPointConfigForObjectProcess",
        &[
            (Put, Always, PutAccessPointConfigForObjectProcess),
            (Get, Always, GetAccessPointConfigForObjectProcess),
        ],
    ),
    sub(
        "accessPointPolicyForObjectProcess",
        &[
            (Put, Always, PutAccessPointPolicyForObjectProcess),
            (Get, Always, GetAccessPointPolicyForObjectProcess),
            (Delete, Always, DeleteAccessPointPolicyForObjectProcess),
        ],
    ),
    sub(
        "userDefinedLogFieldsConfig",
        &[
            (Put, Always, PutUserDefinedLogFieldsConfig),
            (Get, Always, GetUserDefinedLogFieldsConfig),
            (Delete, Always, DeleteUserDefinedLogFieldsConfig),
        ],
    ),
    sub(
        "qosInfo",
        &[
            (Put, Always, PutBucketQoSInfo),
            (Get, Always, GetBucketQoSInfo),
            (Delete, Always, DeleteBucketQoSInfo),
        ],
    ),
    sub(
        "requesterQosInfo",
        &[
            (Put, Always, PutBucketRequesterQoSInfo),
            (Get, Set("qosRequester"), GetBucketRequesterQoSInfo),
            (Get, Always, ListBucketRequesterQoSInfos),
            (Delete, Always, DeleteBucketRequesterQoSInfo),
        ],
    ),
    sub("qos", &[(Put, Always, PutBucketStorageCapacity), (Get, Always, GetBucketStorageCapacity)]),
    sub(
        "responseHeader",
        &[
            (Put, Always, PutBucketResponseHeader),
            (Get, Always, GetBucketResponseHeader),
            (Delete, Always, DeleteBucketResponseHeader),
        ],
    ),
    sub("asyncFetch", &[(Post, Always, PutAsyncFetchTask), (Get, Always, GetAsyncFetchTask)]),
    sub(
        "metadataConfiguration",
        &[
            (Post, Always, CreateBucketMetadataConfiguration),
            (Get, Always, GetBucketMetadataConfiguration),
            (Delete, Always, DeleteBucketMetadataConfiguration),
        ],
    ),
    sub(
        "metadataInventoryTable",
        &[(Put, Always, UpdateBucketMetadataInventoryTableConfiguration)],
    ),
    sub("metadataJournalTable", &[(Put, Always, UpdateBucketMetadataJournalTableConfiguration)]),
    sub("live", &[(Get, Always, ListLiveChannel)]),
];

/// Sub-resources of an object, in the order in which they are looked for.
const OBJECT: &[SubResource] = &[
    sub("append", &[(Post, Always, AppendObject)]),
    sub("seal", &[(Post, Always, SealAppendObject)]),
    sub("objectMeta", &[(Head, Always, GetObjectMeta), (Get, Always, GetObjectMeta)]),
    sub("acl", &[(Put, Always, PutObjectAcl), (Get, Always, GetObjectAcl)]),
    sub(
        "tagging",
        &[
            (Put, Always, PutObjectTagging),
            (Get, Always, GetObjectTagging),
            (Delete, Always, DeleteObjectTagging),
        ],
    ),
    sub("symlink", &[(Put, Always, PutSymlink), (Get, Always, GetSymlink)]),
    sub("restore", &[(Post, Always, RestoreObject)]),
    sub("cleanRestoredObject", &[(Post, Always, CleanRestoredObject)]),
    sub("retention", &[(Put, Always, PutObjectRetention), (Get, Always, GetObjectRetention)]),
    sub("legalHold", &[(Put, Always, PutObjectLegalHold), (Get, Always, GetObjectLegalHold)]),
    sub("uploads", &[(Post, Always, InitiateMultipartUpload)]),
    sub(
        "uploadId",
        &[
            // An `uploadId` without a part number matches no row and is refused: a part must never be taken for an object.
            (Put, Set("partNumber"), UploadPart),
            (Post, Always, CompleteMultipartUpload),
            (Delete, Always, AbortMultipartUpload),
            (Get, Always, ListParts),
        ],
    ),
    sub(
        "live",
        &[
            (Put, Set("status"), PutLiveChannelStatus),
            (Put, Always, PutLiveChannel),
            (Get, Is("comp", "stat"), GetLiveChannelStat),
            (Get, Is("comp", "history"), GetLiveChannelHistory),
            (Get, Always, GetLiveChannelInfo),
            (Delete, Always, DeleteLiveChannel),
        ],
    ),
    sub("vod", &[(Post, Always, PostVodPlaylist), (Get, Always, GetVodPlaylist)]),
    sub("x-oss-dir", &[(Post, Always, CreateDirectory)]),
    sub("x-oss-rename", &[(Post, Always, Rename)]),
    sub("x-oss-delete", &[(Post, Always, DeleteDirectory)]),
    sub("x-oss-async-process", &[(Post, Always, AsyncProcessObject)]),
    sub(
        "x-oss-process",
        &[
            (Post, Begins("x-oss-process", "csv/meta"), CreateSelectObjectMeta),
            (Post, Begins("x-oss-process", "json/meta"), CreateSelectObjectMeta),
            (Post, Begins("x-oss-process", "csv/select"), SelectObject),
            (Post, Begins("x-oss-process", "json/select"), SelectObject),
            (Post, Always, ProcessObject),
            // Image processing on a read: refused as an operation, never answered with the raw object.
            (Get, Always, ProcessObject),
            (Head, Always, ProcessObject),
        ],
    ),
];

/// Sub-resources of families that share the URL space but are no part of this protocol. They have no [`Operation`], and still
/// must not fall through.
const FOREIGN: &[&str] = &[
    "agenticBucket",
    "putVectorIndex",
    "getVectorIndex",
    "listVectorIndexes",
    "deleteVectorIndex",
    "putVectors",
    "getVectors",
    "listVectors",
    "deleteVectors",
    "queryVectors",
];

/// Finds the operation that a request asks for.
///
/// ```
/// use ossia_protocol::operation::{Operation, RequestShape, dispatch};
/// use ossia_protocol::query::Query;
///
/// let query = Query::parse(b"position=0&append=").unwrap();
/// let request = RequestShape {
///     method: "POST",
///     has_bucket: true,
///     has_key: true,
///     query: &query,
///     header: &|_| None,
/// };
/// assert_eq!(dispatch(&request).unwrap(), Operation::AppendObject);
/// ```
///
/// # Errors
/// - 400 `InvalidArgument` for a POST on a key without a sub-resource, and for a part upload that lacks half of its address;
/// - 400 `RequestIsNotMultiPartContent` for a POST on a bucket that is neither a form nor any operation;
/// - 400 `NotImplemented` for sub-resources of families that are not part of this protocol;
/// - 405 `MethodNotAllowed` for other methods, and for known sub-resources with a method or level that they do not have;
/// - 403 `AccessForbidden` for a preflight without a bucket.
pub fn dispatch(request: &RequestShape<'_>) -> Result<Operation, OssError> {
    let level = match (request.has_bucket, request.has_key) {
        (false, _) => Service,
        (true, false) => Bucket,
        (true, true) => Object,
    };
    let Some(method) = Method::from_name(request.method) else {
        return Err(OssError::method_not_allowed(request.method, level_name(level)));
    };
    if method == Options {
        // A preflight asks about a later request: its own query selects nothing.
        return if level == Service { Err(OssError::cors_forbidden()) } else { Ok(OptionObject) };
    }
    match find_sub_resource(request.query, level, method) {
        Some(Found::Here(sub)) => of_sub_resource(sub, method, request),
        Some(Found::Elsewhere(name)) => Err(OssError::method_not_allowed(request.method, name)),
        Some(Found::Foreign(name)) => Err(OssError::operation_not_implemented(name)),
        None => plain(level, method, request),
    }
}

enum Found {
    /// A sub-resource of the request's level.
    Here(&'static SubResource),
    /// One of another level only.
    Elsewhere(&'static str),
    /// One without an operation.
    Foreign(&'static str),
}

fn find_sub_resource(query: &Query, level: Level, method: Method) -> Option<Found> {
    if query.is_empty() {
        return None;
    }
    let (here, elsewhere) = match level {
        Service => (SERVICE, [BUCKET, OBJECT]),
        Bucket => (BUCKET, [SERVICE, OBJECT]),
        Object => (OBJECT, [SERVICE, BUCKET]),
    };
    if let Some(sub) = here.iter().find(|sub| selects(query, sub.name, method)) {
        return Some(Found::Here(sub));
    }
    if let Some(sub) = elsewhere.into_iter().flatten().find(|sub| selects(query, sub.name, method))
    {
        return Some(Found::Elsewhere(sub.name));
    }
    FOREIGN.iter().find(|name| query.has(name)).map(|name| Found::Foreign(name))
}

/// Whether the sub-resource is there. `x-oss-process` is one for POST alone; elsewhere it is an optional parameter, which
/// counts only when it is set.
fn selects(query: &Query, name: &str, method: Method) -> bool {
    if name == "x-oss-process" && method != Post {
        return is_set(query, name);
    }
    query.has(name)
}

fn is_set(query: &Query, name: &str) -> bool {
    query.get_bytes(name).is_some_and(|value| !value.is_empty())
}

fn of_sub_resource(
    sub: &SubResource,
    method: Method,
    request: &RequestShape<'_>,
) -> Result<Operation, OssError> {
    let query = request.query;
    let holds = |when: When| match when {
        Always => true,
        Set(name) => is_set(query, name),
        Is(name, value) => query.get(name) == Some(value),
        Begins(name, start) => query.get(name).is_some_and(|value| value.starts_with(start)),
        Header(name) => (request.header)(name).is_some_and(|value| !value.is_empty()),
    };
    let row = sub.rows.iter().find(|(row_method, when, _)| *row_method == method && holds(*when));
    match row {
        Some((_, _, UploadPart)) if is_copy(request) => Ok(UploadPartCopy),
        Some((_, _, operation)) => Ok(*operation),
        None if sub.name == "uploadId" && method == Put => Err(lone_part_parameter("partNumber")),
        None => Err(OssError::method_not_allowed(request.method, sub.name)),
    }
}

/// The operation of a request without a sub-resource.
fn plain(level: Level, method: Method, request: &RequestShape<'_>) -> Result<Operation, OssError> {
    let query = request.query;
    match (level, method) {
        (Service, Get) => Ok(ListBuckets),
        (Bucket, Put) => Ok(PutBucket),
        (Bucket, Delete) => Ok(DeleteBucket),
        (Bucket, Head) => Ok(HeadBucket),
        (Bucket, Get) if query.get("list-type") == Some("2") => Ok(ListObjectsV2),
        (Bucket, Get) => Ok(ListObjects),
        (Bucket, Post) if is_form(request) => Ok(PostObject),
        (Bucket, Post) => Err(ErrorCode::RequestIsNotMultiPartContent.into()),
        // Half the address of a part: the body must not become an object.
        (Object, Put) if query.has("partNumber") => Err(lone_part_parameter("uploadId")),
        (Object, Put) if is_copy(request) => Ok(CopyObject),
        (Object, Put) => Ok(PutObject),
        (Object, Get) => Ok(GetObject),
        (Object, Head) => Ok(HeadObject),
        (Object, Delete) => Ok(DeleteObject),
        (Object, Post) => {
            let first = query.iter().next().map(|parameter| parameter.name).unwrap_or_default();
            let first = String::from_utf8_lossy(first);
            Err(OssError::new(ErrorCode::InvalidArgument)
                .with_message(format!("operation not support post: {first:.64}")))
        }
        (Service, Put | Post | Delete | Head) | (_, Options) => {
            Err(OssError::method_not_allowed(request.method, level_name(level)))
        }
    }
}

fn is_copy(request: &RequestShape<'_>) -> bool {
    (request.header)("x-oss-copy-source").is_some()
}

fn is_form(request: &RequestShape<'_>) -> bool {
    let content_type = (request.header)("content-type").unwrap_or_default();
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"multipart/form-data")
}

fn level_name(level: Level) -> &'static str {
    match level {
        Service => "Service",
        Bucket => "Bucket",
        Object => "Object",
    }
}

fn lone_part_parameter(missing: &'static str) -> OssError {
    OssError::invalid_argument("ResourceType", missing, "Unexpected query string parameter")
        .with_ec("0017-00000219")
}
